"""Every statistic of every quantity that mosaics serve, through a whole run: made, or the reason why not."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from conftest import CREATED
from pass_helpers import cells_of_pixels
from vmpz import io
from vmpz.parameters import Parameters, load
from vmpz.quantities import degrade_rule
from vmpz.run import measure
from vmpz.run.account import Account
from vmpz.run.plan import Choice
from vmpz.run.survey import run_survey
from vmpz.statistics import STATISTICS, Samples, statistic

ALL = (*STATISTICS, "Q25")
QUANTITIES = (
    "Noise", "Background", "PSF", "Exposures", "ExposureTime", "SAA", "AA", "BA", "MJD", "Tile", "Persistence",
)  # fmt: skip
PIXELS_HAVE_NO_NUMBER = dict.fromkeys(("ARGMIN", "ARGMAX"), "image pixels")
DIFFERENT = {"VALUE": "VALUE needs one value per cell"}
NO_WEIGHT = dict.fromkeys(("WMEAN", "WMEDIAN"), "without a valid RMS")
REFUSED = {
    "Noise": DIFFERENT | PIXELS_HAVE_NO_NUMBER,
    "Background": DIFFERENT | PIXELS_HAVE_NO_NUMBER,
    "PSF": DIFFERENT,
    "Exposures": DIFFERENT | dict.fromkeys(("ARGMIN", "ARGMAX"), "points of a cell have none"),
    "ExposureTime": {},
    **dict.fromkeys(("SAA", "AA", "BA", "MJD"), DIFFERENT),
    "Tile": {how: f"for which {how} has no meaning" for how in ALL if how not in ("VALUE", "MODE", "MIN", "MAX")},
    "Persistence": DIFFERENT | PIXELS_HAVE_NO_NUMBER | NO_WEIGHT,
}  # fmt: skip
"""What a quantity of the simulated survey cannot have, and words of the reason."""


def asking(survey: Path, maps: list[str]) -> Parameters:
    content = load(survey).model_dump()
    content["info"]["maps"] = maps
    return Parameters.model_validate(content)


def run(survey: Path, store: Path, maps: list[str], tile: str) -> Account:
    choice = Choice(tiles=[tile], bands=["NIR_Y"], products=["info"])
    return run_survey(asking(survey, maps), store, created=CREATED, choice=choice)


@pytest.fixture(scope="module")
def tile(survey: Path) -> str:
    return sorted(path.name for path in (survey.parent / "MER").iterdir())[0]


@pytest.fixture(scope="module")
def everything(survey: Path, tile: str, tmp_path_factory: pytest.TempPathFactory) -> Account:
    maps = [f"{what}:{how}" for what in QUANTITIES for how in ALL]
    return run(survey, tmp_path_factory.mktemp("all"), maps, tile)


@pytest.mark.parametrize("what", QUANTITIES)
def test_every_statistic_is_made_or_says_why_not(everything: Account, what: str) -> None:
    outcomes = {key.statistic: one for key, one in everything.outcomes.items() if key.quantity == what}
    assert set(outcomes) == set(ALL)
    for how, one in outcomes.items():
        if how in REFUSED[what]:
            assert one.state == "FAILED" and REFUSED[what][how] in one.reason, one.line
            continue
        assert one.state == "DONE", one.line
        product = io.read(Path(one.path))
        assert product.keywords["STATIST"] == how and product.keywords["INFO"] == what
        assert product.keywords["DEGRULE"] == degrade_rule(what, how)
        assert len(product.map) > 0 and np.all(np.isfinite(product.map.values))


@pytest.mark.parametrize(("what", "pattern"), [("Noise", "NIR-Y-RMS"), ("Background", "BGMOD-NIR-Y")])
def test_maps_of_planes_are_the_statistics_of_their_pixels(
    survey: Path, tile: str, everything: Account, what: str, pattern: str
) -> None:
    """By another way: all pixels of the files as samples of their cells."""

    def plane(kind: str) -> tuple[np.ndarray, fits.Header]:
        (path,) = (survey.parent / "MER" / tile).rglob(f"*{kind}_*.fits*")
        with fits.open(path) as hdus:
            return np.asarray(hdus[0].data, np.float64), hdus[0].header

    (rms, header), (values, _) = plane("NIR-Y-RMS"), plane(pattern)
    made = {key.statistic: one for key, one in everything.outcomes.items() if key.quantity == what}
    valid = np.isfinite(rms) & (rms > 0) & (rms < 1e15)
    for how in ("MEAN", "WMEAN", "MIN", "MAX", "STD", "RMSQ", "MEDIAN", "WMEDIAN", "MODE", "Q25"):
        found = io.read(Path(made[how].path)).map
        place = found.cells.index(cells_of_pixels(WCS(header), rms.shape, found.order))
        here = valid & (place >= 0)
        samples = Samples(len(found)).add(place[here], values[here], w=1 / rms[here] ** 2)
        expected = statistic(how).finish(samples)
        if how in ("MIN", "MAX", "MODE", "WMEDIAN", "MEDIAN", "Q25"):
            np.testing.assert_array_equal(found.values, expected.astype(np.float32), err_msg=how)
        else:  # sums within a run are float32
            np.testing.assert_allclose(found.values, expected, rtol=5e-6, err_msg=how)


def test_a_pass_is_made_again_only_for_what_it_did_not_keep(
    survey: Path, tile: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    real = measure.open_area

    def counting(ref, planes):
        opened.extend(name for name in planes if name in ref.planes)
        return real(ref, planes)

    monkeypatch.setattr(measure, "open_area", counting)
    run(survey, tmp_path, ["Background:WMEDIAN", "Background:MODE", "Noise:RMSQ"], tile)
    assert sorted(opened) == ["BACKGROUND", "RMS"]
    opened.clear()
    for maps in (["Noise:MODE", "Noise:WMEDIAN"], ["Background:MODE"]):
        account = run(survey, tmp_path, maps, tile)
        assert {one.state for one in account.outcomes.values()} <= {"DONE", "KEPT"} and opened == []
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    run(survey, tmp_path, ["Noise:RMSQ"], tile)
    opened.clear()
    run(survey, tmp_path, ["Noise:MODE"], tile)
    assert opened == ["RMS"]
