"""The mission's table on a simulated survey of VIS, NIR and three ground surveys, every row against its truth."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from lxml import etree
from numpy.typing import NDArray

import mission_helpers as mission
from mission_helpers import Truth
from vmpz import io
from vmpz.parameters import Parameters, load
from vmpz.products import Product
from vmpz.quantities import QUANTITIES
from vmpz.readers import scan_inputs
from vmpz.run.gathering import gather
from vmpz.run.survey import run_survey
from vmpz.run.tilings import tiling_of
from vmpz.simulate import simulate
from vmpz.simulate.bands import BANDS
from vmpz.simulate.field import Sky
from vmpz.simulate.outside import GALAXIES, STARS, ebv
from vmpz.simulate.pixels import OUTER_ARCSEC
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.tiles import tiles_near, tiling

Array = NDArray[np.float64]

TILE, ORDER, SIZE, PIXELS, SEED = "102018211", 12, 200, 32, 1
CREATED = "2026-01-01T00:00:00Z"
SINGLE = 2e-6
"""Relative error of a value kept as float32, and of the sums behind it."""

VIS, NISP, EXT = ("VIS", "VIS"), ("NISP", "NIR_J"), ("DECAM", "DECAM_r")
DES, LSST, KIDS = ("DECAM", "DECAM_g"), ("LSSTCam", "LSST_r"), ("OMEGACAM", "KIDS_r")
FRAMES = {"VIS": VIS, "NISP": NISP, "DECAM": DES, "LSST": LSST, "KIDS": KIDS}
EVERY, GROUND, SPACE = (VIS, NISP, EXT, DES, LSST, KIDS), (DES, LSST, KIDS), (VIS, NISP)
EXPOSED = (*SPACE, *GROUND)
ONCE = (("-", "-"),)

MISSION = {
    "Noise": EVERY, "Weight": EVERY, "Background": EVERY,
    "Exposures": EXPOSED, "ExposureTime": EXPOSED, "MJD": EXPOSED,
    "PSF": EVERY, "PSFE1": (VIS, NISP, EXT), "PSFE2": (VIS, NISP, EXT),
    "Seeing": GROUND, "Airmass": GROUND, "AtmosphericExtinction": GROUND,
    "ParallacticAngle": GROUND, "DCR1": GROUND, "DCR2": GROUND, "DCRE1": GROUND, "DCRE2": GROUND,
    "SAA": SPACE, "AA": SPACE, "BA": SPACE,
    "ZodiacalLight": EXPOSED, "GalacticExtinction": EVERY,
    "StarDensity": ONCE, "StarBrightnessMean": EVERY, "StarBrightnessStd": EVERY,
    "Persistence": (NISP,), "GalaxyDensity": EVERY, "PhzQuality": EVERY, "Tile": ONCE,
}  # fmt: skip
"""Quantity to the sources that give it: mosaics of VIS, NISP, EXT; exposures of VIS, NISP, DES, LSST, KIDS."""


@dataclass(frozen=True)
class Survey:
    """The files, the sky behind them, and the truth of every instrument."""

    folder: Path
    sky: Sky
    cells: CellSet
    truths: dict[tuple[str, str], Truth]

    @cached_property
    def parameters(self) -> Parameters:
        return load(self.folder / "survey.toml")

    def changed(self, readers: tuple[str, ...] | None = None, **sections: dict[str, Any]) -> Parameters:
        """The same survey with other values, and inputs of some readers alone."""
        update: dict[str, Any] = {
            name: getattr(self.parameters, name).model_copy(update=values) for name, values in sections.items()
        }
        if readers is not None:
            chosen = [one for one in self.parameters.inputs if one.reader in readers]
            update |= {"inputs": chosen, "survey": self.parameters.survey.model_copy(update={"bands": None})}
        return self.parameters.model_copy(update={"patches": [], **update})

    def run(self, store: str, parameters: Parameters) -> "Run":
        account = run_survey(parameters, self.folder / store, created=CREATED)
        return Run(self, account.outcomes)

    def ids(self, source: tuple[str, str], parameters: Parameters) -> tuple[str, ...]:
        """Ids of the exposures of the tile, in the order of their numbers."""
        manifest = scan_inputs(parameters.inputs)
        frames = gather(manifest, parameters, tiling_of(parameters, manifest))
        (ref,) = [one for one in frames if (one.instrument, one.band) == source and one.area == TILE]
        assert ref.exposures is not None
        return ref.exposures.ids


@dataclass(frozen=True)
class Run:
    survey: Survey
    outcomes: dict[Any, Any]

    @cached_property
    def info(self) -> dict[tuple[str, str, str, str], Any]:
        """Outcomes of information maps by instrument, band, quantity, statistic."""
        return {
            (key.instrument, key.band, key.quantity, key.statistic): outcome
            for key, outcome in self.outcomes.items()
            if key.kind == "info"
        }

    def product(self, source: tuple[str, str], quantity: str, statistic: str = "") -> Product:
        outcome = self.info[*source, quantity, statistic or QUANTITIES[quantity].statistic]
        assert outcome.state == "DONE", outcome.line
        return io.read(Path(outcome.path))

    def values(self, source: tuple[str, str], quantity: str, statistic: str = "") -> Array:
        """On all own cells, NaN where absent."""
        made = self.product(source, quantity, statistic).map
        return made.of_cells(self.survey.cells.cells(), np.nan).astype(np.float64)


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Survey]:
    folder, frames = tmp_path_factory.mktemp("mission"), mission.small_frames()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda number: None)  # hundreds of files: nothing here asks whether they last
        simulate(
            folder, tiles=1, size=SIZE, bands=("VIS", "NIR_J", "DECAM_r"), frames=list(frames.values()),
            frame_pixels=PIXELS, seed=SEED,
        )  # fmt: skip
        sky = Sky(tiles_near(57.9988, -51.5, 1), OUTER_ARCSEC / SIZE, SEED)
        cells = tiling("euclid-wide").owned(TILE, ORDER)
        truths = {
            FRAMES[name]: Truth(cells, mission.rows_of(name, sky, one, PIXELS)) for name, one in frames.items()
        }
        yield Survey(folder, sky, cells, truths)


@pytest.fixture(scope="module")
def run(survey: Survey) -> Run:
    """The survey as it was written."""
    return survey.run("store", survey.changed())


# -- the table ------------------------------------------------------------------------------------------------------


def test_the_table_names_every_quantity() -> None:
    assert set(MISSION) == set(QUANTITIES)


def test_every_row_is_made_of_every_source(run: Run) -> None:
    made = {key for key, outcome in run.info.items() if outcome.state == "DONE"}
    wanted = {
        (*source, name, QUANTITIES[name].statistic) for name, sources in MISSION.items() for source in sources
    }
    assert made == wanted
    assert not [outcome.line for outcome in run.outcomes.values() if outcome.state == "FAILED"]


WHY_NOT = {
    "PSFE1": "has no PSF", "PSFE2": "has no PSF", "Persistence": "a bit named PERSIST",
    **dict.fromkeys(("Exposures", "ExposureTime", "MJD", "ZodiacalLight"), "has no LAYERS"),
}  # fmt: skip


def test_what_cannot_be_made_says_why(run: Run) -> None:
    for (instrument, band, name, _), outcome in run.info.items():
        if (instrument, band) in MISSION[name]:
            continue
        assert outcome.state == "NOINPUT"
        default = "has no LAYERS" if (instrument, band) == EXT else f"{name} needs a value for every exposure"
        expected = WHY_NOT.get(name, default) if name in ("PSFE1", "PSFE2", "Persistence") else default
        assert expected in outcome.reason, outcome.line


KEYWORDS = {
    "Noise": ("PIXEL", "PLANE"), "Persistence": ("PIXEL", "FLAG"), "PSF": ("STAMP", "STAMPS"),
    "Exposures": ("EXPOSURE", "OUTLINE"), "MJD": ("EXPOSURE", "HEADER"), "ZodiacalLight": ("EXPOSURE", "LEINERT"),
    "GalacticExtinction": ("PIXEL", "MAP bilinear"), "StarBrightnessMean": ("SOURCE", "CATALOGUE"),
}  # fmt: skip
RULES = {
    "COUNT": "COVERAGE", "SUM": "COVERAGE", "MEDIAN": "NONE", "STD": "NONE", "Noise": "QUAD", "PSF": "QUAD",
    "Persistence": "COVERAGE", "ParallacticAngle": "NONE", "Tile": "MODE",
}  # fmt: skip


@pytest.mark.parametrize("name", MISSION)
def test_files_say_what_they_are(run: Run, name: str) -> None:
    source, statistic = MISSION[name][0], QUANTITIES[name].statistic
    path = Path(run.info[*source, name, statistic].path)
    if path.is_dir():
        (path,) = path.glob("*.fits")
    assert f"_HP{name.upper()}-{TILE}_" in path.name
    table = fits.getheader(path, 1)
    assert (table["EXTNAME"], table["ORDERING"], table["NSIDE"]) == (f"HP{name.upper()}", "NESTED", 1 << ORDER)
    keywords = dict(fits.getheader(path)) | dict(table)
    unit = "" if statistic == "COUNT" else QUANTITIES[name].unit
    assert keywords.get("TUNIT2", "") == unit
    assert (keywords["INFO"], keywords["STATIST"]) == (name, statistic)
    assert keywords["DEGRULE"] == RULES.get(statistic, RULES.get(name, "MEAN"))
    if name in KEYWORDS:
        assert (keywords["SAMPLE"], keywords["INFOSRC"]) == KEYWORDS[name]
    (descriptor,) = path.parent.glob("*.xml")
    text = etree.parse(descriptor)
    found = {element.text for element in text.iter() if element.text}
    assert {name, path.name} <= found


# -- scalars of exposures -------------------------------------------------------------------------------------------

EXPECTED = {"MJD": 1e-6, "Airmass": 2e-4, "AtmosphericExtinction": 2e-5, "SAA": 2e-3, "AA": 5e-3, "BA": 2e-3}
EXPECTED |= {"ParallacticAngle": 0.05, "DCR1": 2e-3, "DCR2": 2e-3, "DCRE1": 4e-3, "DCRE2": 4e-3}
"""Absolute differences between formulas: what is left out of the plain ones (nutation, aberration, UT1 - UTC)."""
SCALARS = [
    (source, name)
    for name in ("Exposures", "ExposureTime", "MJD", "Seeing", "Airmass", "AtmosphericExtinction", "DCR1", "DCR2",
                 "DCRE1", "DCRE2", "SAA", "AA", "BA", "ParallacticAngle")
    for source in MISSION[name]
]  # fmt: skip


def compare(found: Array, expected: Array, slack: Array, absolute: float = 0.0) -> None:
    """Every cell, to float32 and the slack that is allowed there; absent where nothing is expected."""
    assert np.array_equal(np.isfinite(found), np.isfinite(expected))
    here = np.isfinite(found)
    limit = SINGLE * np.abs(expected) + absolute + slack
    wrong = np.abs(found - expected)[here] > limit[here]
    assert not wrong.any(), (wrong.sum(), found[here][wrong][:5], expected[here][wrong][:5], limit[here][wrong][:5])


def of_exposures(truth: Truth, values: Array, statistic: str, circular: bool = False) -> tuple[Array, Array]:
    """A statistic of exposures in every cell, and what the 256 points leave open at the edges of detectors."""
    x = values if values.ndim == 2 else np.broadcast_to(values[:, None], truth.share.shape)
    share, weight = truth.share, np.ones(len(values))
    if statistic == "WMEAN":
        weight = np.array([row.weight for row in truth.rows])
        weight = weight / weight.mean()
    n = (weight[:, None] * share).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        if circular:
            angle = np.radians(x)
            mean = np.degrees(np.arctan2((share * np.sin(angle)).sum(0), (share * np.cos(angle)).sum(0)))
        else:
            mean = (weight[:, None] * share * x).sum(axis=0) / n
    open_ = 0.03 * weight[:, None] * truth.edge
    if statistic in ("SUM", "COUNT"):
        return np.where(n > 0, n * mean, np.nan), (open_ * np.abs(x)).sum(axis=0)
    return mean, (open_ * np.abs(x - mean)).sum(axis=0) / np.maximum(n, 0.2)


@pytest.mark.parametrize(("source", "name"), SCALARS)
def test_scalars_of_exposures(run: Run, source: tuple[str, str], name: str) -> None:
    truth, statistic = run.survey.truths[source], QUANTITIES[name].statistic
    found, values = run.values(source, name), truth.scalar(name)
    if statistic == "MEDIAN":
        found = np.where(truth.seen, found, np.nan)
        cells = np.flatnonzero(truth.seen)
        expected = np.full(found.size, np.nan)
        expected[cells] = [np.median(truth.samples(values, cell)[0]) for cell in cells]
        slack = np.zeros(found.size)
    else:
        expected, slack = of_exposures(truth, values, statistic, name == "ParallacticAngle")
        ignored = ~truth.certain & (truth.share.sum(axis=0) < 0.1)
        found, expected = (np.where(ignored, np.nan, one) for one in (found, expected))
    assert np.isfinite(expected).sum() > 40
    compare(found, expected, slack, EXPECTED.get(name, 0.0))
