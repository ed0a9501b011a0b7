"""Which tiling a run has, and which images the regular grid refuses."""

from dataclasses import replace
from pathlib import Path

import pytest

from vmpz.errors import InputError
from vmpz.parameters import load
from vmpz.readers import scan_inputs
from vmpz.run.survey import run_survey
from vmpz.run.tilings import must_be_regular, tiling_of


def test_simulated_tiles_are_regular(survey: Path) -> None:
    parameters = load(survey)
    manifest = scan_inputs(parameters.inputs)
    assert tiling_of(parameters, manifest).kind == "euclid-wide"
    for ref in manifest:
        must_be_regular(ref)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"area": "102018212"}, "centre off by"),  # the image of another tile
        ({"shape": (720, 810)}, "must be that of regular tile"),  # an extended tile
        ({"shape": (380, 380)}, "need .tiling. kind = mer-tiles"),  # a DEEP tile
    ],
)
def test_images_that_are_no_regular_tile_are_refused_by_name(
    survey: Path, change: dict[str, object], message: str
) -> None:
    ref = next(ref for ref in scan_inputs(load(survey).inputs) if ref.area == "102018211")
    changed = replace(ref, **change)
    with pytest.raises(InputError, match=message) as caught:
        must_be_regular(changed)
    assert changed.area in str(caught.value)


def test_such_a_tile_fails_alone(survey: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vmpz.run import jobs

    def refuse(ref: object) -> None:
        if getattr(ref, "area", "") == "102018211":
            raise InputError("the image must be that of regular tile 102018211")

    monkeypatch.setattr(jobs, "must_be_regular", refuse)
    account = run_survey(load(survey), tmp_path / "s")
    failed = {key.area for key, one in account.outcomes.items() if one.state == "FAILED"}
    assert failed == {"102018211"}
