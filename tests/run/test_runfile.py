"""What a run leaves at the top of its store: the instant, the tiling, the parameters; no product knows of it."""

import json
import shutil
from pathlib import Path

import pytest

from conftest import CREATED
from vmpz.errors import InputError
from vmpz.parameters import Parameters, as_toml, load
from vmpz.run.plan import Choice
from vmpz.run.runfile import RunFile, keep_parameters
from vmpz.run.store import Store
from vmpz.run.survey import run_survey
from vmpz.run.tasks import check_path, list_store


def seeded(survey: Path, seed: int) -> Parameters:
    parameters = load(survey)
    return parameters.model_copy(update={"random": parameters.random.model_copy(update={"seed": seed})})


def test_a_run_keeps_its_parameters_and_its_tiling(survey: Path, store: Path) -> None:
    assert (store / "parameters.toml").read_text() == as_toml(load(survey))
    assert load(store / "parameters.toml") == load(survey)
    found = RunFile.read(Store(store))
    assert found == RunFile(CREATED.isoformat(), "euclid-wide")
    assert list(json.loads((store / "run.json").read_text())) == ["created", "tiling"]


def test_nothing_trips_over_them(store: Path) -> None:
    count, faults = check_path(store)
    assert count and not faults
    assert not {row["file"] for row in list_store(store)} & {"parameters.toml", "run.json"}
    assert not [one for one in Store(store).place.stamps() if not (store / one).is_dir()]


def test_another_run_replaces_the_parameters_alone(survey: Path, store: Path, tmp_path: Path) -> None:
    copy = tmp_path / "s"
    shutil.copytree(store, copy)
    tile = sorted(path.name for path in copy.iterdir() if path.name.isdigit())[0]
    before = {path: path.read_bytes() for path in (copy / tile).rglob("*") if path.is_file()}
    run_file = (copy / "run.json").read_bytes()
    choice = Choice(tiles=[tile], bands=["VIS"], products=["footprint"])
    account = run_survey(seeded(survey, 4711), copy, choice=choice)
    assert {one.state for one in account.outcomes.values()} == {"KEPT"}
    assert load(copy / "parameters.toml").random.seed == 4711
    assert (copy / "run.json").read_bytes() == run_file  # the instant is that of the run it resumes
    assert {path: path.read_bytes() for path in (copy / tile).rglob("*") if path.is_file()} == before


def test_equal_parameters_are_not_written_again(
    survey: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    keep_parameters(store, load(survey))
    monkeypatch.setattr(Store, "write_text", lambda *_: pytest.fail("written again"))
    keep_parameters(store, load(survey))


def test_options_that_no_file_can_say_are_told(survey: Path, tmp_path: Path) -> None:
    parameters = load(survey)
    odd = parameters.inputs[0].model_copy(update={"options": {"map": object()}})
    keep_parameters(Store(tmp_path), parameters.model_copy(update={"inputs": [odd]}))
    assert (
        (tmp_path / "parameters.toml").read_text().startswith("# The parameters of the last run are no TOML")
    )


def test_a_store_of_an_earlier_version_has_no_tiling(tmp_path: Path) -> None:
    assert RunFile.read(Store(tmp_path)) is None
    (tmp_path / "run.json").write_text('{"created": "2026-01-01T00:00:00+00:00"}\n')
    assert RunFile.read(Store(tmp_path)) == RunFile("2026-01-01T00:00:00+00:00")


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"created": "2026", "tiling": {"areas": {"a": [[1]]}}}'])
def test_what_is_no_run_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(InputError, match=r"run\.json: must hold the creation instant"):
        RunFile.read(Store(tmp_path))
