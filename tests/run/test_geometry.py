"""Geometric masks named in a survey: bits of mosaics and of single exposures, from catalogues on disk."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vmpz import io
from vmpz.errors import InputError
from vmpz.products import Product
from vmpz.run.plan import Choice
from vmpz.run.survey import run_survey
from vmpz.simulate import simulate
from vmpz.sky.regions import Cap, covered_fractions

TILE = "102018211"
CENTRE = (57.9988, -51.5)
MASKS = """
[bitmask]
bits = ["HALO", "INVALID"]

[coverage]
bits = ["INVALID", "HALO"]
star_masks = false

[[masks]]
name = "HALO"
shape = "disc"
catalogue = "bright.parquet"
magnitude = "G"
a_arcsec = 4000.0
b = 0.15
"""


def radius_deg(magnitude: float) -> float:
    return float(4000.0 * 10.0 ** (-0.15 * magnitude) / 3600.0)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("masks")
    made = simulate(folder, tiles=1, size=600, bands=("VIS",), at=CENTRE, seed=3)
    rows = {
        "ra": [CENTRE[0], CENTRE[0] + 0.3, CENTRE[0] + 60.0],
        "dec": [CENTRE[1], CENTRE[1] + 0.33, 0.0],
        "G": [9.0, 6.0, 2.0],
    }
    pq.write_table(pa.table(rows), folder / "bright.parquet")
    made.parameters.write_text(made.parameters.read_text() + MASKS)
    account = run_survey(made.parameters, choice=Choice(tiles=[TILE]))
    assert not account.has_failed, str(account)
    return folder


def product(folder: Path, kind: str) -> Product:
    (path,) = (folder / "store" / TILE).rglob(f"*{kind}*.fits")
    return io.read(path)


def test_the_bit_of_a_mask_is_the_area_of_its_discs(made: Path) -> None:
    mask, footprint = product(made, "BITMASK"), product(made, "FOOTPRINT")
    assert mask.keywords["BITN33"] == "HALO" and mask.keywords["BITSEL"] == "0,33"
    halo = mask.maps["BIT33"]
    discs = [Cap(*CENTRE, radius_deg(9.0)), Cap(CENTRE[0] + 0.3, CENTRE[1] + 0.33, radius_deg(6.0))]
    expected = sum(
        covered_fractions(one, halo.order, cells=footprint.map.cells).of_cells(halo.cells.cells(), 0.0)
        for one in discs
    )
    assert (
        np.abs(halo.values - expected).max() < 0.05
    )  # of a cell of some 100 pixels, counted by their centres
    assert halo.values.sum() == pytest.approx(np.sum(expected), rel=5e-3)
    assert len(halo) > 50


def test_coverage_leaves_out_what_a_mask_covers(made: Path) -> None:
    coverage, halo = product(made, "COVERAGE"), product(made, "BITMASK").maps["BIT33"]
    whole = halo.where(halo.values == 1.0).cells
    assert len(whole) > 10
    assert not coverage.map.cells & whole


def test_a_star_of_another_place_masks_nothing(made: Path) -> None:
    assert not product(made, "BITMASK").maps["BIT33"].at([CENTRE[0] + 60.0], [0.0])[0] > 0


def test_a_new_catalogue_makes_products_again(made: Path) -> None:
    parameters = made / "survey.toml"
    assert {one.state for one in run_survey(parameters, choice=Choice(tiles=[TILE])).outcomes.values()} == {
        "KEPT"
    }
    pq.write_table(pa.table({"ra": [CENTRE[0]], "dec": [CENTRE[1]], "G": [12.0]}), made / "bright.parquet")
    again = run_survey(parameters, choice=Choice(tiles=[TILE]))
    assert "DONE" in {one.state for one in again.outcomes.values()}
    halo = product(made, "BITMASK").maps["BIT33"]
    assert halo.integral_deg2() == pytest.approx(Cap(*CENTRE, radius_deg(12.0)).area_deg2, rel=0.02)


def test_a_name_that_no_mask_has_lists_those_there_are(made: Path) -> None:
    text = (made / "survey.toml").read_text()
    (made / "wrong.toml").write_text(text.replace('bits = ["HALO", "INVALID"]', 'bits = ["HALOS"]'))
    with pytest.raises(Exception, match="HALO"):
        run_survey(made / "wrong.toml", made / "other")


def test_a_catalogue_that_is_not_there_is_refused_before_anything_is_made(made: Path) -> None:
    text = (made / "survey.toml").read_text()
    (made / "lost.toml").write_text(text.replace("bright.parquet", "lost.parquet"))
    with pytest.raises(
        InputError, match=r"\[\[masks\]\] HALO: catalogue must be a file, found none at .*lost.parquet"
    ):
        run_survey(made / "lost.toml", made / "nothing")
    assert not (made / "nothing").exists()
