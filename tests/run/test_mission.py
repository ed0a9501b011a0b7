"""The mission's table on a simulated survey of VIS, NIR and three ground surveys, every row against its truth."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
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
from vmpz.frames import Exposures
from vmpz.parameters import InputParameters, Parameters, PatchParameters, load
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

    def changed(self, readers: tuple[str, ...] | None = None, **sections: Any) -> Parameters:
        """The same survey with other values (of a section, or a whole list), and inputs of some readers alone."""
        update: dict[str, Any] = {
            name: getattr(self.parameters, name).model_copy(update=values)
            if isinstance(values, dict)
            else values
            for name, values in sections.items()
        }
        if readers is not None:
            chosen = [one for one in self.parameters.inputs if one.reader in readers]
            update = {
                "inputs": chosen,
                "survey": self.parameters.survey.model_copy(update={"bands": None}),
            } | update
        return self.parameters.model_copy(update={"patches": [], **update})

    def run(self, store: str, parameters: Parameters) -> "Run":
        account = run_survey(parameters, self.folder / store, created=CREATED)
        return Run(self, account.outcomes)

    @cached_property
    def listed(self) -> Exposures:
        """Exposures of LSST that see the tile, in the order of their numbers."""
        parameters = self.changed(("lsst",))
        manifest = scan_inputs(parameters.inputs)
        (ref,) = gather(manifest, parameters, tiling_of(parameters, manifest))
        assert ref.exposures is not None
        return ref.exposures


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
def survey(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    folder, frames = tmp_path_factory.mktemp("mission"), mission.small_frames()
    simulate(
        folder, tiles=1, size=SIZE, bands=("VIS", "NIR_J", "DECAM_r"), frames=list(frames.values()),
        frame_pixels=PIXELS, seed=SEED,
    )  # fmt: skip
    sky = Sky(tiles_near(57.9988, -51.5, 1), OUTER_ARCSEC / SIZE, SEED)
    cells = tiling("euclid-wide").owned(TILE, ORDER)
    truths = {
        FRAMES[name]: Truth(cells, mission.rows_of(name, sky, one, PIXELS)) for name, one in frames.items()
    }
    return Survey(folder, sky, cells, truths)


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
    assert (table["EXTNAME"], table["ORDERING"], table["NSIDE"]) == (
        f"HP{name.upper()}",
        "NESTED",
        1 << ORDER,
    )
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

EXPECTED = {"MJD": 1e-6, "Airmass": 5e-5, "AtmosphericExtinction": 1e-5, "SAA": 1e-4, "AA": 5e-4, "BA": 1e-4}
EXPECTED |= {"ParallacticAngle": 5e-3, "DCR1": 2e-4, "DCR2": 2e-4, "DCRE1": 3e-4, "DCRE2": 3e-4}
"""Absolute differences between formulas: what is left out of the plain ones (nutation, aberration, UT1 - UTC), and
digits of headers."""
SCALARS = [
    (source, name)
    for name in ("Exposures", "ExposureTime", "MJD", "Seeing", "Airmass", "AtmosphericExtinction", "DCR1", "DCR2",
                 "DCRE1", "DCRE2", "SAA", "AA", "BA", "ParallacticAngle")
    for source in MISSION[name]
]  # fmt: skip


def compare(
    found: Array, expected: Array, slack: Array, absolute: float = 0.0, relative: float = SINGLE
) -> None:
    """Every cell, to float32 and the slack that is allowed there; absent where nothing is expected."""
    assert np.array_equal(np.isfinite(found), np.isfinite(expected))
    here = np.isfinite(found)
    limit = relative * np.abs(expected) + absolute + slack
    wrong = np.abs(found - expected)[here] > limit[here]
    assert not wrong.any(), (
        wrong.sum(),
        found[here][wrong][:5],
        expected[here][wrong][:5],
        limit[here][wrong][:5],
    )


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
    compare(found, expected, slack, EXPECTED.get(name, 0.0), precision(name))


def precision(name: str) -> float:
    """Of a value kept as its quantity is: dates are float64."""
    return 1e-14 if QUANTITIES[name].dtype == "float64" else SINGLE


# -- pixels ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mosaic:
    """Pixels of a mosaic as astropy reads them from the file, by cell."""

    geom: Array
    place: NDArray[np.int64]
    planes: dict[str, Array]

    def per_cell(self, values: Array, of: Callable[[Array], float], keep: NDArray[np.bool_]) -> Array:
        """A function of the kept pixels of each cell, NaN where there are none."""
        order = np.argsort(self.place, kind="stable")
        order = order[keep[order]]
        edges = np.searchsorted(self.place[order], np.arange(self.geom.size + 1))
        parts = [values[order[low:high]] for low, high in pairwise(edges)]
        return np.array([of(part) if part.size else np.nan for part in parts])


TOKENS = {"rms": "MOSAIC-{}-RMS", "flag": "MOSAIC-{}-FLAG", "background": "BGMOD-{}"}


@pytest.fixture(scope="module")
def mosaics(survey: Survey) -> dict[tuple[str, str], Mosaic]:
    found = {}
    for instrument, band in (VIS, NISP, EXT):
        planes = {}
        for plane, token in TOKENS.items():
            pattern = f"EUC_MER_{token.format(BANDS[band].token)}_TILE*.fits"
            (path,) = (survey.folder / "MER" / TILE / instrument).glob(pattern)
            with fits.open(path) as hdus:
                planes[plane] = hdus[0].data.astype(np.float64).ravel()
                header = hdus[0].header
        x, y = np.meshgrid(np.arange(SIZE), np.arange(SIZE))
        lon, lat = WCS(header).all_pix2world(x.ravel(), y.ravel(), 0)
        place = survey.cells.index(hpx.cells_at(lon, lat, ORDER))
        found[instrument, band] = Mosaic(np.ones(len(survey.cells)), place, planes)
    return found


@pytest.mark.parametrize("source", [VIS, NISP, EXT], ids=str)
def test_planes_of_mosaics(run: Run, mosaics: dict[tuple[str, str], Mosaic], source: tuple[str, str]) -> None:
    one = mosaics[source]
    rms, background = one.planes["rms"], one.planes["background"]
    valid = (rms > 0) & (rms < 1e15)
    expected = one.per_cell(rms, lambda x: math.sqrt(np.mean(x**2)), valid)
    assert run.values(source, "Noise") == pytest.approx(expected, rel=SINGLE, nan_ok=True)
    expected = one.per_cell(background, np.mean, valid)
    assert run.values(source, "Background") == pytest.approx(expected, rel=SINGLE, nan_ok=True)
    inside = one.place >= 0
    share = np.bincount(one.place[inside & valid], minlength=one.geom.size) / np.bincount(one.place[inside])
    expected = one.per_cell(1.0 / rms**2, np.mean, valid) * share
    assert run.values(source, "Weight") == pytest.approx(expected, rel=SINGLE, nan_ok=True)
    assert run.product(source, "Noise").keywords["MAGZERO"] == BANDS[source[1]].zero_point_mag


def test_persistence_of_a_mosaic(run: Run, mosaics: dict[tuple[str, str], Mosaic]) -> None:
    one = mosaics[NISP]
    hit = one.planes["flag"].astype(np.int64) >> 13 & 1
    expected = one.per_cell(hit.astype(float), np.mean, np.ones(hit.size, bool))
    assert expected.max() > 0.1
    assert run.values(NISP, "Persistence") == pytest.approx(expected, rel=SINGLE)


@pytest.mark.parametrize("source", GROUND, ids=str)
def test_noise_and_weight_of_exposures(run: Run, source: tuple[str, str]) -> None:
    truth = run.survey.truths[source]
    kept = [np.isfinite(row.rms) for row in truth.rows]
    pooled = truth.pooled([row.rms * row.factor for row in truth.rows], kept)
    expected = np.array([math.sqrt(np.mean(x**2)) if x.size else np.nan for x in pooled])
    assert np.isfinite(expected).sum() > 600  # a pixel of KIDS is larger than a cell here
    assert run.values(source, "Noise") == pytest.approx(expected, rel=SINGLE, nan_ok=True)
    total, slack, any_ = summed(truth, [(row.rms * row.factor) ** -2.0 for row in truth.rows], kept)
    compare(run.values(source, "Weight"), np.where(any_, total, np.nan), slack)
    for name in ("Noise", "Weight"):
        assert run.product(source, name).keywords["MAGZERO"] == mission.ZERO_POINT


def summed(
    truth: Truth, values: list[Array], kept: list[NDArray[np.bool_]]
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Sum over exposures of the mean over their kept pixels times what these cover."""
    total, slack = np.zeros((2, len(truth.cells)))
    some = np.zeros(len(truth.cells), bool)
    for k, (place, value, keep) in enumerate(zip(truth.places, values, kept, strict=True)):
        inside = place >= 0
        found = np.bincount(place[inside], minlength=total.size)
        use = inside & keep.ravel()
        mean = np.bincount(place[use], value.ravel()[use], total.size) / np.maximum(found, 1)
        some |= np.bincount(place[use], minlength=total.size) > 0
        total += truth.share[k] * mean
        slack += 0.03 * truth.edge[k] * mean
    return total, slack, some


@pytest.mark.parametrize("source", GROUND, ids=str)
def test_background_of_exposures_is_that_of_their_headers(run: Run, source: tuple[str, str]) -> None:
    truth = run.survey.truths[source]
    expected, slack = of_exposures(truth, truth.scalar("Background"), "MEAN")
    edge = ~truth.certain & (truth.share.sum(axis=0) < 0.1)
    found, expected = (np.where(edge, np.nan, one) for one in (run.values(source, "Background"), expected))
    compare(found, expected, slack, 1e-5 * np.nanmax(expected))
    assert run.product(source, "Background").keywords["INFOSRC"] == "HEADER"


# -- the PSF --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [VIS, NISP, EXT], ids=str)
def test_psf_of_mosaics(run: Run, source: tuple[str, str]) -> None:
    """Round stamps whose width grows by two per cent a degree: within its change over half a tile."""
    sky, band = run.survey.sky, BANDS[source[1]]
    x, y = sky.plane.project(mission.unit(*hpx.centres(run.survey.cells.cells(), ORDER)))
    expected = sky.fwhm_arcsec(band, x, y)
    found = run.values(source, "PSF")
    seen = np.isfinite(found)
    assert np.abs(found - expected)[seen].max() < 0.01 * band.fwhm_arcsec
    assert np.corrcoef(found[seen], expected[seen])[0, 1] > 0.8
    assert run.product(source, "PSF").maps["NSTAMPS"].values.min() >= 1
    for name in ("PSFE1", "PSFE2"):
        values = run.values(source, name)
        assert np.abs(values[np.isfinite(values)]).max() < 2e-3


@pytest.mark.parametrize("source", GROUND, ids=str)
def test_psf_of_exposures_without_stamps_is_their_seeing(run: Run, source: tuple[str, str]) -> None:
    truth = run.survey.truths[source]
    expected, slack = of_exposures(truth, truth.scalar("PSF"), "MEAN")
    edge = ~truth.certain & (truth.share.sum(axis=0) < 0.1)
    found, expected = (np.where(edge, np.nan, one) for one in (run.values(source, "PSF"), expected))
    compare(found, expected, slack, 1e-6)


# -- models and the sky ---------------------------------------------------------------------------------------------

LEINERT_LON = (0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 60, 75, 90, 105, 120, 135, 150, 165, 180)
LEINERT_60 = (150, 150, 148, 146, 141, 136, 131, 125, 120, 116, 104, 93, 86, 82, 77, 77, 79, 82, 83)
LEINERT_75 = (100, 100, 100, 100, 99, 97, 95, 93, 92, 90, 86, 82, 79, 77, 74, 73, 72, 72, 72)
"""Table 17 at latitudes 60 and 75 degrees, 1e-8 W m-2 sr-1 um-1."""
WAVELENGTHS = {
    VIS: (0.720, 0.701),
    NISP: (1.367, 0.188 * (0.258 / 0.188) ** (math.log(1.37 / 1.367) / math.log(1.37 / 1.2))),
}
"""um, and solar flux relative to 0.5 um; that of J a little below the 1.37 um of its number, towards 1.20 um."""


def zodiacal(source: tuple[str, str], lon_deg: Array, lat_deg: Array, mjd: float) -> Array:
    """MJy/sr by hand: log-bilinear in the table, reddened, I_nu = I_lambda lambda^2 / c."""
    wavelength, flux = WAVELENGTHS[source]
    tilt = math.radians(mission.OBLIQUITY_DEG)
    turn = np.array([[1, 0, 0], [0, math.cos(tilt), math.sin(tilt)], [0, -math.sin(tilt), math.cos(tilt)]])
    x, y, z = turn @ mission.unit(lon_deg, lat_deg).T
    sun = turn @ mission.sun_from(mjd)
    latitude = np.degrees(np.arcsin(np.abs(z)))
    apart = np.degrees(
        np.abs((np.arctan2(y, x) - math.atan2(sun[1], sun[0]) + math.pi) % (2 * math.pi) - math.pi)
    )
    assert np.all((latitude > 60) & (latitude < 75))
    rows = [np.interp(apart, LEINERT_LON, np.log(column)) for column in (LEINERT_60, LEINERT_75)]
    radiance = np.exp(rows[0] + (rows[1] - rows[0]) * (latitude - 60.0) / 15.0) * 1e-8
    elongation = np.degrees(np.arccos(np.cos(np.radians(latitude)) * np.cos(np.radians(apart))))
    slope = np.interp(elongation, [30.0, 90.0], [0.8, 0.6])
    radiance *= flux * (1.0 + slope * math.log10(wavelength / 0.5))
    return radiance * wavelength**2 * 1e-6 / 299_792_458.0 * 1e20  # W m-2 sr-1 um-1 to MJy/sr


@pytest.mark.parametrize("source", WAVELENGTHS, ids=str)
def test_zodiacal_light(run: Run, source: tuple[str, str]) -> None:
    """At every cell and epoch; the ecliptic of J2000 and that of date differ by 0.01 degrees."""
    truth, centres = run.survey.truths[source], hpx.centres(run.survey.cells.cells(), ORDER)
    at = {mjd: zodiacal(source, *centres, mjd) for mjd in set(truth.scalar("MJD").tolist())}
    values = np.stack([at[row.scalars["MJD"]] for row in truth.rows])
    expected, slack = of_exposures(truth, values, "WMEAN")
    found = run.values(source, "ZodiacalLight")
    edge = ~truth.certain & (truth.share.sum(axis=0) < 0.1)
    found, expected = (np.where(edge, np.nan, one) for one in (found, expected))
    compare(found, expected, slack, 1e-4 * np.nanmax(expected))
    assert np.nanmax(found) - np.nanmin(found) > 20e-4 * np.nanmean(found)


COEFFICIENTS = {
    VIS: 2.081, NISP: 0.691, EXT: 2.140 / 0.86, DES: 3.186 / 0.86, LSST: 2.701, KIDS: 2.285 / 0.86,
}  # fmt: skip


@pytest.mark.parametrize("source", EVERY, ids=str)
def test_galactic_extinction(run: Run, source: tuple[str, str]) -> None:
    """The closed form of E(B-V) in galactic coordinates; the map between its pixels of 55' is straight to 1e-4."""
    lon, lat = hpx.centres(run.survey.cells.cells(), ORDER)
    place = SkyCoord(lon * u.deg, lat * u.deg, frame="icrs").galactic
    expected = COEFFICIENTS[source] * ebv(place.l.deg, place.b.deg)
    assert run.values(source, "GalacticExtinction") == pytest.approx(expected, rel=3e-4)
    assert run.product(source, "GalacticExtinction").keywords["EXTLAW"] == "F99-RV3.1"


@dataclass(frozen=True)
class Catalogue:
    """Sources as read from the files, in coarse cells of order 9."""

    place: NDArray[np.int64]
    columns: dict[str, Array]


@pytest.fixture(scope="module")
def catalogues(survey: Survey) -> dict[str, Catalogue]:
    folder = survey.folder / "outside"
    stars = {name: column.to_numpy() for name, column in zip(
        ("ra", "dec", "phot_g_mean_mag"), pyarrow.parquet.read_table(folder / "stars.parquet").columns, strict=True
    )}  # fmt: skip
    with fits.open(folder / "galaxies.fits") as hdus:
        galaxies = {name: hdus[1].data[name].astype(float) for name in ("RA", "DEC", "MAG", "PHZ_QUALITY")}
    made = {}
    for name, columns in (("stars", stars), ("galaxies", galaxies)):
        lon, lat, *_ = columns.values()
        made[name] = Catalogue(survey.cells.index(hpx.cells_at(lon, lat, ORDER)), columns)
    return made


def coverage(run: Run, source: tuple[str, str]) -> Array:
    (outcome,) = [
        one for key, one in run.outcomes.items()
        if key.kind == "coverage" and (key.instrument, key.band) == source and one.path
    ]  # fmt: skip
    return io.read(Path(outcome.path)).map.of_cells(run.survey.cells.cells(), 0.0).astype(np.float64)


def coarse(run: Run, share: Array) -> tuple[NDArray[np.int64], Array]:
    """Coarse cell of every own cell, and the unmasked area (deg2) of the coarse cells."""
    parent = np.unique(run.survey.cells.cells() >> 2 * (ORDER - 9), return_inverse=True)[1]
    return parent, np.bincount(parent, share) * 41252.96124941928 / (12 * 4**ORDER)


@pytest.mark.parametrize(
    ("source", "name", "population", "window"),
    [
        (VIS, "StarDensity", STARS, (15.0, 20.0)),
        *((one, "GalaxyDensity", GALAXIES, (20.0, 24.5)) for one in EVERY),
    ],
)
def test_densities(
    run: Run,
    catalogues: dict[str, Catalogue],
    source: tuple[str, str],
    name: str,
    population: Any,
    window: Any,
) -> None:
    one = catalogues[population.name]
    share = coverage(run, DES if name == "StarDensity" else source)
    magnitude = one.columns["phot_g_mean_mag" if population is STARS else "MAG"]
    keep = (one.place >= 0) & (magnitude >= window[0]) & (magnitude < window[1])
    parent, area = coarse(run, share)
    number = np.bincount(parent[one.place[keep]], share[one.place[keep]], area.size)
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = np.where(share > 0, (number / area)[parent], np.nan)
    found = run.values(ONCE[0] if name == "StarDensity" else source, name)
    assert found == pytest.approx(expected, rel=SINGLE, nan_ok=True)
    mean = number.sum() / area.sum()
    known = population.per_deg2 * population.share(*window)
    assert abs(mean - known) < 5.0 * math.sqrt(known / area.sum())


@pytest.mark.parametrize("source", EVERY, ids=str)
def test_brightness_and_quality(run: Run, catalogues: dict[str, Catalogue], source: tuple[str, str]) -> None:
    share = coverage(run, source)
    parent, area = coarse(run, share)
    for name, one, column, window in (
        ("StarBrightnessMean", catalogues["stars"], "phot_g_mean_mag", (15.0, 20.0)),
        ("StarBrightnessStd", catalogues["stars"], "phot_g_mean_mag", (15.0, 20.0)),
        ("PhzQuality", catalogues["galaxies"], "PHZ_QUALITY", (0.0, 1.0)),
    ):
        x = one.columns[column]
        keep = (one.place >= 0) & (x >= window[0]) & (x < window[1])
        place, x = one.place[keep], x[keep]
        n, first, second = (
            np.bincount(parent[place], share[place] * x**power, area.size) for power in (0, 1, 2)
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = first / n
            value = np.sqrt(second / n - mean**2) if name == "StarBrightnessStd" else mean
        expected = np.where(share > 0, value[parent], np.nan)
        assert run.values(source, name) == pytest.approx(expected, rel=2e-5, nan_ok=True)


def test_the_tile_has_its_number(run: Run) -> None:
    values = run.product(ONCE[0], "Tile").map.values
    assert values.dtype == np.int64
    assert set(values.tolist()) == {int(TILE)}


# -- every statistic ------------------------------------------------------------------------------------------------

SAMPLED = ("COUNT", "SUM", "MEAN", "WMEAN", "MIN", "MAX", "STD", "RMSQ", "MEDIAN", "WMEDIAN", "MODE")
NUMBERED = ("ARGMIN", "ARGMAX")
BY_EXPOSURE = ("MJD", "Airmass", "DCR1", "Seeing", "PSF", "ZodiacalLight")
"""A header scalar, one that a header states, a computed one, scalars behind two kinds of quantity, a model."""


def maps(*names: str) -> dict[str, Any]:
    return {"maps": [f"{name}:{statistic}" for name in names for statistic in (*SAMPLED, *NUMBERED, "VALUE")]}


@pytest.fixture(scope="module")
def ground(survey: Survey) -> Run:
    """Every statistic of exposures of LSST."""
    chosen = maps(*BY_EXPOSURE, "Noise", "GalacticExtinction", "StarBrightnessMean")
    return survey.run("ground", survey.changed(("lsst",), info=chosen))


@pytest.fixture(scope="module")
def space(survey: Survey) -> Run:
    """Every statistic of exposures of NISP, pixels and stamps as well."""
    chosen = maps("SAA", "PSF", "PSFE1", "Noise", "Background", "Persistence")
    return survey.run("space", survey.changed(("euclid-nir",), info=chosen, exposures={"planes": "frames"}))


def in_filled_cells(truth: Truth, values: Array, statistic: str) -> Array:
    """A statistic of the detectors that see a cell, where each holds the whole cell; NaN elsewhere."""
    expected = np.full(len(truth.cells), np.nan)
    for cell in np.flatnonzero(truth.seen):
        x, w, _ = truth.samples(values, cell)
        expected[cell] = mission.STATISTICS[statistic](x, w)
    return expected


@pytest.mark.parametrize("statistic", SAMPLED)
@pytest.mark.parametrize("name", BY_EXPOSURE)
def test_every_statistic_of_scalars(ground: Run, name: str, statistic: str) -> None:
    truth = ground.survey.truths[LSST]
    if name == "ZodiacalLight":
        values = np.stack(
            [ground.values(LSST, name, "MEAN")] * len(truth.rows)
        )  # a day moves it by less than 1e-5
        tolerance = 2e-5 * np.nanmax(values) * (20 if statistic == "SUM" else 1)
        if statistic == "STD":
            tolerance = 1e-5 * np.nanmax(values)
        if statistic == "COUNT":
            values = np.ones(values.shape)
    else:
        values = truth.scalar(name)
        tolerance = (EXPECTED.get(name, 1e-6)) * (5 if statistic == "SUM" else 1)
    expected = in_filled_cells(truth, values, statistic)
    found = np.where(np.isfinite(expected), ground.values(LSST, name, statistic), np.nan)
    assert np.isfinite(expected).sum() > 500
    exact = SINGLE if statistic == "COUNT" else precision(name)
    compare(found, expected, np.zeros(found.size), tolerance if statistic != "COUNT" else 0.0, exact)
    if statistic in ("MEAN", "WMEAN", "SUM", "COUNT") and name != "ZodiacalLight":  # in all other cells too
        given = np.ones(values.size) if statistic == "COUNT" else values
        expected, slack = of_exposures(truth, given, "SUM" if statistic == "COUNT" else statistic)
        edge = ~truth.certain & (truth.share.sum(axis=0) < 0.1)
        found, expected = (
            np.where(edge, np.nan, one) for one in (ground.values(LSST, name, statistic), expected)
        )
        compare(found, expected, slack, tolerance, exact)


@pytest.mark.parametrize("statistic", NUMBERED)
@pytest.mark.parametrize("name", BY_EXPOSURE[:-1])
def test_numbers_are_those_of_the_extreme_exposures(ground: Run, name: str, statistic: str) -> None:
    """The number of an exposure with the extreme value; of several the first."""
    truth = ground.survey.truths[LSST]
    ids = ground.survey.listed.ids
    row = {one.id: k for k, one in enumerate(truth.rows)}
    values, found = truth.scalar(name), ground.values(LSST, name, statistic)
    numbered = np.array([values[row[name_]] for name_ in ids])
    holds = np.array([truth.share[row[name_]] > 0 for name_ in ids])
    best = np.min if statistic == "ARGMIN" else np.max
    for cell in np.flatnonzero(truth.seen):
        seen = np.flatnonzero(holds[:, cell])
        extreme = best(numbered[seen])
        expected = seen[np.isclose(numbered[seen], extreme, rtol=0, atol=1e-9)][0] + 1
        assert found[cell] == expected


@pytest.mark.parametrize("statistic", [*SAMPLED[2:], "COUNT", "SUM"])
def test_every_statistic_of_noise_pixels(ground: Run, statistic: str) -> None:
    truth = ground.survey.truths[LSST]
    kept = [np.isfinite(row.rms) for row in truth.rows]
    noise = [np.float32(row.rms * row.factor).astype(float) for row in truth.rows]
    found = ground.values(LSST, "Noise", statistic)
    if statistic in ("COUNT", "SUM"):
        values = noise if statistic == "SUM" else [np.ones(one.shape) for one in noise]
        total, slack, some = summed(truth, values, kept)
        compare(found, np.where(some, total, np.nan), slack, 2e-6)
        return
    expected = [
        mission.STATISTICS[statistic](x, x**-2.0) if x.size else np.nan for x in truth.pooled(noise, kept)
    ]
    assert found == pytest.approx(np.array(expected), rel=SINGLE, abs=2e-6, nan_ok=True)


@pytest.mark.parametrize("name", ["Noise", "Background"])
@pytest.mark.parametrize("statistic", [*SAMPLED[2:], "COUNT", "SUM"])
def test_every_statistic_of_planes_of_frames(space: Run, name: str, statistic: str) -> None:
    truth = space.survey.truths[NISP]
    planes = [row.rms if name == "Noise" else row.background for row in truth.rows]
    kept = [np.isfinite(row.rms) for row in truth.rows]
    factor = np.float32(truth.rows[0].factor)
    values = [(np.float32(one) * factor).astype(float) for one in planes]
    weights = [(np.float32(row.rms) * factor).astype(float) ** -2.0 for row in truth.rows]
    found = space.values(NISP, name, statistic)
    if statistic in ("COUNT", "SUM"):
        taken = values if statistic == "SUM" else [np.ones(one.shape) for one in values]
        total, slack, some = summed(truth, taken, kept)
        compare(found, np.where(some, total, np.nan), slack, 2e-6)
        return
    pairs = zip(truth.pooled(values, kept), truth.pooled(weights, kept), strict=True)
    expected = np.array([mission.STATISTICS[statistic](x, w) if x.size else np.nan for x, w in pairs])
    scale = np.nanmax(np.abs(expected)) if statistic == "STD" else 0.0
    assert found == pytest.approx(expected, rel=1e-5, abs=2e-6 + 2e-6 * scale, nan_ok=True)


@pytest.mark.parametrize("statistic", [one for one in SAMPLED if one not in ("WMEAN", "WMEDIAN")])
def test_every_statistic_of_a_flag_of_frames(space: Run, statistic: str) -> None:
    """Flagged area over observed area, both summed over exposures."""
    truth = space.survey.truths[NISP]
    every = [np.ones(row.shape, bool) for row in truth.rows]
    hit, hit_slack, _ = summed(truth, [row.flags["PERSIST"].astype(float) for row in truth.rows], every)
    seen, seen_slack, some = summed(truth, [np.ones(row.shape) for row in truth.rows], every)
    share = np.divide(hit, seen, out=np.zeros(hit.size), where=some)
    expected = {
        "COUNT": seen, "SUM": hit, "MEAN": share, "MIN": (share == 1.0) * 1.0, "MAX": (share > 0.0) * 1.0,
        "STD": np.sqrt(share * (1.0 - share)), "RMSQ": np.sqrt(share), "MEDIAN": (share > 0.5) * 1.0,
        "MODE": (share > 0.5) * 1.0,
    }[statistic]  # fmt: skip
    found = space.values(NISP, "Persistence", statistic)
    where = truth.seen if statistic not in ("COUNT", "SUM") else some
    compare(
        np.where(where, found, np.nan), np.where(where, expected, np.nan),
        {"COUNT": seen_slack, "SUM": hit_slack}.get(statistic, np.zeros(found.size)), 1e-6,
    )  # fmt: skip
    assert np.nanmax(share) > 0.1


@pytest.mark.parametrize("statistic", SAMPLED)
@pytest.mark.parametrize("name", ["SAA", "PSF", "PSFE1"])
def test_every_statistic_of_the_spacecraft_and_of_stamps(space: Run, name: str, statistic: str) -> None:
    truth = space.survey.truths[NISP]
    expected = in_filled_cells(truth, truth.scalar(name), statistic)
    if name == "PSFE1" and statistic in ("MEAN", "WMEAN"):  # of averaged moments: wide stamps count for more
        e1, e2, fwhm = (truth.scalar(one) for one in ("PSFE1", "PSFE2", "PSF"))
        trace = fwhm**2 / np.sqrt(1.0 - e1**2 - e2**2)
        above, below = (in_filled_cells(truth, one, statistic) for one in (trace * e1, trace))
        expected = above / below
    found = np.where(np.isfinite(expected), space.values(NISP, name, statistic), np.nan)
    tolerance = 0.0 if statistic == "COUNT" else {"SAA": 1e-4, "PSF": 1e-6, "PSFE1": 1e-6}[name]
    assert np.isfinite(expected).sum() > 300
    compare(found, expected, np.zeros(found.size), tolerance)


def test_stamps_of_frames_are_samples_of_exposures(space: Run) -> None:
    assert space.product(NISP, "PSF", "MEAN").keywords["SAMPLE"] == "EXPOSURE"
    assert space.product(NISP, "PSF", "MEAN").keywords["INFOSRC"] == "STAMPS"


REFUSALS = [
    ("ground", LSST, "Noise", "ARGMIN", "image pixels .* have none"),
    ("ground", LSST, "GalacticExtinction", "STD", "one number a cell"),
    ("ground", LSST, "StarBrightnessMean", "ARGMAX", "sources have none"),
    ("space", NISP, "Persistence", "WMEAN", "weighs pixels by 1/RMS"),
    ("space", NISP, "Background", "ARGMIN", "image pixels .* have none"),
]


@pytest.mark.parametrize(("which", "source", "name", "statistic", "why"), REFUSALS)
def test_statistics_without_meaning_are_not_made(
    request: pytest.FixtureRequest, which: str, source: tuple[str, str], name: str, statistic: str, why: str
) -> None:
    outcome = request.getfixturevalue(which).info[*source, name, statistic]
    assert outcome.state == "NOINPUT"
    assert re.search(why, outcome.reason)


def test_a_value_must_be_one(ground: Run) -> None:
    outcome = ground.info[*LSST, "MJD", "VALUE"]
    assert outcome.state == "FAILED"
    assert "samples differ" in outcome.reason
    assert ground.info[*LSST, "GalacticExtinction", "VALUE"].state == "DONE"


# -- what is missing, and what a model does not reach ---------------------------------------------------------------

LACKING = {
    "StarDensity": "needs a catalogue of role stars", "GalaxyDensity": "needs a catalogue of role galaxies",
    "PhzQuality": "needs a catalogue of role photoz", "GalacticExtinction": "[extinction] map names none",
    "AtmosphericExtinction": "AtmosphericExtinction needs a value for every exposure",
}  # fmt: skip


def test_what_comes_from_outside_may_be_missing(survey: Survey) -> None:
    default = {"maps": [f"{name}:{QUANTITIES[name].statistic}" for name in LACKING]}
    parameters = survey.changed(
        ("lsst",), info=default, catalogues=[], site={"extinction": {}}, extinction={"map": None}
    )
    for (_, _, name, _), outcome in survey.run("lacking", parameters).info.items():
        assert outcome.state == "NOINPUT"
        assert LACKING[name] in outcome.reason


def test_a_file_from_outside_must_be_there(survey: Survey) -> None:
    gone = {"map": str(survey.folder / "outside" / "none.fits")}
    one = {"maps": ["GalacticExtinction:MEAN", "Exposures:COUNT"]}
    run = survey.run("gone", survey.changed(("lsst",), info=one, extinction=gone))
    assert run.info[*LSST, "Exposures", "COUNT"].state == "DONE"
    outcome = run.info[*LSST, "GalacticExtinction", "MEAN"]
    assert outcome.state == "FAILED"
    assert "none.fits" in outcome.reason


def test_models_and_laws_are_refused_where_they_do_not_reach(survey: Survey) -> None:
    chosen = {"maps": ["ZodiacalLight:WMEAN", "GalacticExtinction:MEAN"]}
    run = survey.run(
        "reach",
        survey.changed(
            ("lsst",), info=chosen, zodiacal={"model": "kelsall"}, extinction={"coefficients": {}}
        ),
    )
    for name, why in (
        ("ZodiacalLight", "1.25 um"),
        ("GalacticExtinction", "covers VIS, NIR_Y, NIR_J, NIR_H, not LSST_r"),
    ):
        outcome = run.info[*LSST, name, QUANTITIES[name].statistic]
        assert outcome.state == "FAILED"
        assert why in outcome.reason, outcome.reason


# -- tables of exposures --------------------------------------------------------------------------------------------

TABLE_COLUMNS = (
    "ExposureTime", "MJD", "Airmass", "Seeing", "Background", "Noise", "Zeropoint", "PixelScale", "SiteLon", "SiteLat",
    "PointingLon", "PointingLat",
)  # fmt: skip


def write_table(path: Path, exposures: Exposures, columns: tuple[str, ...]) -> None:
    """What a survey tool keeps of its exposures: a line a detector, the outline as an STC-S polygon."""
    lines = [",".join(("visit", "detector", "s_region", *columns))]
    for row, name in enumerate(exposures.ids):
        visit, _, detector = name.partition("[")
        corners = " ".join(repr(number) for number in exposures.corners[row].ravel().tolist())
        numbers = (repr(float(exposures.scalars[column][row])) for column in columns)
        lines.append(",".join((visit, detector.rstrip("]"), f"POLYGON ICRS {corners}", *numbers)))
    path.write_text("\n".join(lines) + "\n")


def from_table(survey: Survey, name: str, columns: tuple[str, ...], info: dict[str, Any]) -> Run:
    path = survey.folder / f"{name}.csv"
    write_table(path, survey.listed, columns)
    options = {"instrument": "LSSTCam", "band": "LSST_r", "outline": "polygon"}
    given = [InputParameters(reader="exposures", location=str(path), options=options)]
    return survey.run(name, survey.changed((), inputs=given, info=info))


def test_a_table_of_exposures_gives_the_same_maps(survey: Survey, ground: Run) -> None:
    table = from_table(survey, "table", TABLE_COLUMNS, maps(*BY_EXPOSURE))
    for name in BY_EXPOSURE:
        for statistic in (*SAMPLED, *(NUMBERED if name != "ZodiacalLight" else ())):
            found, expected = (one.values(LSST, name, statistic) for one in (table, ground))
            if statistic in (
                "WMEAN",
                "WMEDIAN",
            ):  # weights: of the noise in the table, of the variance in the images
                assert found == pytest.approx(expected, rel=1e-7, nan_ok=True)
            else:
                assert np.array_equal(found, expected, equal_nan=True), (name, statistic)


def test_a_table_gives_planes_by_exposure(survey: Survey) -> None:
    """Noise, Background and Weight of scalars, each for its whole outline."""
    truth = survey.truths[LSST]
    chosen = {"maps": ["Noise:RMSQ", "Background:MEAN", "Weight:SUM", "Exposures:COUNT", "ExposureTime:SUM"]}
    table = from_table(survey, "scalars", TABLE_COLUMNS, chosen)
    edge = ~truth.certain & (truth.share.sum(axis=0) < 0.1)
    weight = np.array([row.weight for row in truth.rows])
    for name, statistic, values in (
        ("Noise", "RMSQ", weight**-0.5), ("Background", "MEAN", truth.scalar("Background")), ("Weight", "SUM", weight),
        ("Exposures", "COUNT", np.ones(weight.size)), ("ExposureTime", "SUM", truth.scalar("ExposureTime")),
    ):  # fmt: skip
        squared = statistic == "RMSQ"
        expected, slack = of_exposures(
            truth, values**2 if squared else values, "MEAN" if squared else statistic
        )
        found = table.values(LSST, name) ** (2 if squared else 1)
        found, expected = (np.where(edge, np.nan, one) for one in (found, expected))
        compare(found, expected, slack, 1e-5 * np.nanmax(np.abs(expected)))


def test_an_epoch_may_be_missing(survey: Survey) -> None:
    known = tuple(name for name in TABLE_COLUMNS if name not in ("MJD", "Airmass"))
    chosen = {"maps": ["ZodiacalLight:WMEAN", "MJD:MEAN", "Airmass:WMEAN", "SAA:MEAN", "Seeing:MEDIAN"]}
    run = from_table(survey, "timeless", known, chosen)
    assert run.info[*LSST, "Seeing", "MEDIAN"].state == "DONE"
    for name in ("ZodiacalLight", "MJD", "Airmass", "SAA"):
        outcome = run.info[*LSST, name, QUANTITIES[name].statistic]
        assert outcome.state == "NOINPUT"
        assert "epoch of every exposure" in outcome.reason or f"{name} needs a value" in outcome.reason


# -- patches --------------------------------------------------------------------------------------------------------


def test_a_patch_may_be_the_area_of_frames(survey: Survey, run: Run) -> None:
    lon, lat = survey.sky.centre_deg
    field = PatchParameters(name="field", cap=(lon, lat, 0.1))
    chosen = {"maps": ["Exposures:COUNT", "Noise:RMSQ", "Seeing:MEDIAN", "Airmass:WMEAN"]}
    parameters = survey.changed(("decam",), info=chosen, tiling={"kind": "patches"}, patches=[field])
    parameters = parameters.model_copy(
        update={"survey": parameters.survey.model_copy(update={"tiles": None})}
    )
    made = survey.run("patch", parameters)
    areas = {key.area for key in made.outcomes if key.kind == "info"}
    assert areas == {"field"}
    for name in ("Exposures", "Noise", "Seeing", "Airmass"):
        found = made.product(DES, name).map
        centre = mission.unit(*hpx.centres(found.cells.cells(), ORDER)) @ mission.unit(lon, lat)
        assert len(found) > 150
        assert np.all(centre > math.cos(math.radians(0.1)))
        tile = run.product(DES, name).map.of_cells(found.cells.cells())
        same = np.isfinite(tile)
        assert same.sum() > 100
        assert np.array_equal(found.values[same], tile[same])


@pytest.fixture(scope="module")
def merged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """Two tiles of exposures alone, joined at their order and one below."""
    folder, frames = tmp_path_factory.mktemp("merged"), mission.small_frames()
    simulate(folder, tiles=2, size=SIZE, bands=(), frames=[frames["LSST"]], frame_pixels=PIXELS, seed=SEED)
    parameters = load(folder / "survey.toml")
    patches = [PatchParameters(name=f"at {order}", all=True, order=order) for order in (ORDER, ORDER - 1)]
    account = run_survey(
        parameters.model_copy(update={"patches": patches}), folder / "store", created=CREATED
    )
    return account, folder


RULED = {
    "Exposures": ("COUNT", lambda x, f: x.sum(axis=1) / 4.0),
    "ExposureTime": ("SUM", lambda x, f: x.sum(axis=1) / 4.0),
    "Airmass": ("WMEAN", lambda x, f: (f * x).sum(axis=1) / f.sum(axis=1)),
    "Noise": ("RMSQ", lambda x, f: np.sqrt((f * x**2).sum(axis=1) / f.sum(axis=1))),
    "GalaxyDensity": ("VALUE", lambda x, f: (f * x).sum(axis=1) / f.sum(axis=1)),
}


def test_maps_of_frames_are_merged_over_tiles(merged: tuple[Any, Path]) -> None:
    account, _ = merged
    assert not account.has_failed
    products = {
        (key.area, key.kind, key.quantity): io.read(Path(outcome.path)).map
        for key, outcome in account.outcomes.items()
        if outcome.state == "DONE" and key.kind in ("info", "coverage")
    }
    tiles = sorted({area for area, _, _ in products if area.isdigit()})
    assert len(tiles) == 2
    for name in RULED:
        whole = products[f"at {ORDER}", "info", name]
        for tile in tiles:
            part = products[tile, "info", name]
            assert np.array_equal(whole.of_cells(part.cells.cells()), part.values)
    assert ("at 12", "info", "Seeing") in products
    assert ("at 11", "info", "Seeing") not in products


@pytest.mark.parametrize("name", RULED)
def test_maps_of_frames_are_degraded_by_their_rules(merged: tuple[Any, Path], name: str) -> None:
    account, _ = merged
    _, rule = RULED[name]
    fine, coarse_, weights = (
        next(
            io.read(Path(outcome.path)).map
            for key, outcome in account.outcomes.items()
            if (key.area, key.kind) == (area, kind)
            and key.quantity in (name, "-")
            and outcome.state == "DONE"
        )
        for area, kind in (("at 12", "info"), ("at 11", "info"), ("at 12", "coverage"))
    )
    children = 4 * coarse_.cells.cells()[:, None] + np.arange(4)
    values = fine.of_cells(children.ravel(), 0.0).reshape(-1, 4).astype(float)
    share = weights.of_cells(children.ravel(), 0.0).reshape(-1, 4).astype(float)
    seen = share.sum(axis=1) > 0
    assert seen.sum() > 400
    assert coarse_.values[seen] == pytest.approx(rule(values[seen], share[seen]), rel=1e-5)


def test_what_has_no_rule_is_said_and_not_made(merged: tuple[Any, Path]) -> None:
    account, _ = merged
    reasons = {
        key.quantity: outcome.reason
        for key, outcome in account.outcomes.items()
        if key.area == "at 11" and outcome.state == "NOINPUT"
    }
    assert set(reasons) == {"Seeing", "ParallacticAngle", "StarBrightnessStd"}
    assert reasons["Seeing"].endswith("MEDIAN of order 11 cannot be had from a map of order 12")
