"""Sub-cells kept on request: where in each cell the good pixels are."""

from pathlib import Path

import numpy as np

from conftest import CREATED
from vmpz import io
from vmpz.parameters import Parameters, load
from vmpz.run.plan import Choice
from vmpz.run.store import Store
from vmpz.run.survey import run_survey


def test_words_agree_with_the_coverage_and_are_counted_once(
    survey: Path, store: Path, tmp_path: Path
) -> None:
    content = load(survey).model_dump()
    content["coverage"]["subcells"] = True
    content["maps"]["order"] = 11  # sub-cells of order 14 hold a few dozen pixels
    content["patches"] = []
    parameters = Parameters.model_validate(content)
    tile = min(path.name for path in store.iterdir() if path.name.isdigit())
    choice = Choice(tiles=[tile], bands=["VIS"], products=["coverage"])
    account = run_survey(parameters, tmp_path / "s", created=CREATED, choice=choice)
    assert not account.has_failed, account.text()
    entries = {entry.key.kind: entry for entry in Store(tmp_path / "s").entries()}
    statistics = io.read_statistics(io.read(entries["statistics"].path(".parquet")).table)
    coverage = io.read(entries["coverage"].path(".fits")).map
    words = statistics.column("subcells")
    assert words.dtype == np.uint64
    share = np.array([int(word).bit_count() for word in words]) / 64.0
    exact = coverage.of_cells(statistics.cells.cells(), 0.0)
    inside = statistics.column("geom") > 1.0 - 1e-9
    assert inside.sum() > 100
    assert np.all(share[inside & (exact == 1.0)] == 1.0)
    assert np.all(share[exact == 0.0] == 0.0)
    assert np.abs(share - exact)[inside].max() < 0.1  # majorities of 64 sub-cells against counted pixels
    again = run_survey(parameters, tmp_path / "s", created=CREATED, choice=choice)
    assert {one.state for one in again.outcomes.values()} == {"KEPT"}
