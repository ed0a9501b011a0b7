"""Info maps: planes, flags, stamps, exposures and the tile, with every statistic, against slow obvious counts."""

import numpy as np
import pytest

from make_helpers import ORDER, TABLE, cell_set, count, exposures, frame, key, parameters, ref
from vmpz.errors import InputError, MissingProductError
from vmpz.frames import Exposures, PsfStamps
from vmpz.make import info
from vmpz.make.info import exposure_map, flag_map, plane_map, psf_maps, tile_map
from vmpz.sky import hpx
from vmpz.sky.regions import Polygon, covered_fractions
from vmpz.statistics import STATISTICS

CELLS = cell_set(6)
LON, LAT = hpx.centres(CELLS.cells(), ORDER)
GENERATOR = np.random.Generator(np.random.Philox(5))


# -- planes ---------------------------------------------------------------------------------------------


def test_planes() -> None:
    cell = GENERATOR.integers(0, 6, 200)
    rms = np.where(cell == 3, 1e16, GENERATOR.uniform(1, 2, 200))
    back = GENERATOR.normal(3, 1, 200)
    counted = count(cell, planes={"RMS": rms, "BACKGROUND": back}, percents=(25,))
    known = [one for one in range(6) if one != 3]
    plain = {
        ("RMS", "RMSQ"): lambda x: np.sqrt(np.mean(x**2)),
        ("BACKGROUND", "MEAN"): np.mean,
        ("BACKGROUND", "MEDIAN"): np.median,
        ("BACKGROUND", "Q25"): lambda x: np.percentile(x, 25),
        ("BACKGROUND", "STD"): np.std,
    }
    for (plane, how), function in plain.items():
        found = plane_map(counted, plane, how)
        assert found.cells.cells().tolist() == [1000 + one for one in known]
        assert found.values.dtype == np.float32
        values = rms if plane == "RMS" else back
        assert np.allclose(found.values, [function(values[cell == one]) for one in known], rtol=1e-6)


def test_a_plane_product_states_unit_zero_point_and_rule() -> None:
    counted = count(np.array([0, 0]), planes={"RMS": np.array([3.0, 4.0])})
    product = info.make(key("info", quantity="Noise", statistic="RMSQ"), frame(ref()), counted, parameters())
    assert product.map.values == pytest.approx([np.sqrt(12.5)])
    expected = {
        "INFO": "Noise", "STATIST": "RMSQ", "SAMPLE": "PIXEL", "WGTKIND": "VALUE", "DEGRULE": "QUAD", "MAGZERO": 24.6,
    }  # fmt: skip
    assert product.keywords.items() >= expected.items()
    background = key("info", quantity="Background", statistic="MEAN")
    with pytest.raises(MissingProductError, match="plane BACKGROUND"):
        info.make(background, frame(ref(planes=("RMS",))), counted, parameters())
    with pytest.raises(MissingProductError, match="needs pixels"):
        info.make(product.key, frame(ref()), counted, parameters(info={"per": "exposure"}))


# -- flags ----------------------------------------------------------------------------------------------

BITS = {
    "MEAN": np.mean, "MIN": np.min, "MAX": np.max, "STD": np.std, "RMSQ": lambda x: np.sqrt(np.mean(x)),
    "MEDIAN": np.median, "Q10": lambda x: np.percentile(x, 10), "Q95": lambda x: np.percentile(x, 95),
    "MODE": lambda x: float(np.mean(x) > 0.5), "SUM": np.mean, "COUNT": lambda x: 1.0,
}  # fmt: skip


@pytest.mark.parametrize("how", BITS)
def test_flag_statistics_are_those_of_zeros_and_ones(how: str) -> None:
    cell = np.repeat(np.arange(5), [1, 7, 4, 10, 3])
    ones = GENERATOR.random(cell.size) < 0.5
    ones[cell == 4] = True
    counted = count(cell, np.where(ones, 1 << 13, 4).astype(np.uint64))
    found = flag_map(counted, 13, how)
    expected = [BITS[how](ones[cell == one].astype(float)) for one in range(5)]
    assert np.allclose(found.values, expected, rtol=1e-6, atol=1e-7)


def test_persistence_is_a_fraction_of_the_cell_by_the_name_of_its_bit() -> None:
    flags = np.array([1 << 13, 0, 0, 1 << 13], np.uint64)
    counted = count(np.array([0, 0, 1, 1]), flags, geom=np.array([1.0, 0.5]))
    wanted = key("info", quantity="Persistence", statistic="MEAN")
    product = info.make(wanted, frame(ref()), counted, parameters())
    assert np.array_equal(product.map.values, [0.5, 0.25])
    expected = {"DEGRULE": "COVERAGE", "BITSEL": "13", "BITN13": "PERSIST", "BITTABLE": "toy"}
    assert product.keywords.items() >= expected.items()
    assert info.needs(wanted, ref(), parameters()).planes == {"FLAG"}
    for bits in (None, type(TABLE)("bare", "1", "VIS", ())):
        with pytest.raises(MissingProductError, match="bit named PERSIST"):
            info.make(wanted, frame(ref(), bits=bits), counted, parameters())


@pytest.mark.parametrize(
    ("how", "why"), [("WMEAN", "RMS"), ("WMEDIAN", "RMS"), ("ARGMIN", "number of an exp")]
)
def test_what_flags_cannot_give_is_said(how: str, why: str) -> None:
    with pytest.raises(MissingProductError, match=why):
        flag_map(count(np.array([0, 0]), np.array([1, 0], np.uint64)), 0, how)


def test_the_only_value_of_a_flag() -> None:
    cell, flags = np.array([0, 0, 1, 1]), np.array([1, 1, 0, 0], np.uint64)
    assert flag_map(count(cell, flags), 0, "VALUE").values.tolist() == [1.0, 0.0]
    with pytest.raises(InputError, match="1 cells where samples differ"):
        flag_map(count(cell, flags[[0, 2, 2, 2]]), 0, "VALUE")


# -- exposures ------------------------------------------------------------------------------------------


def four_exposures() -> Exposures:
    made = []
    for number, radius in enumerate((0.03, 0.08, 0.05, 0.3)):
        angle = np.arange(0, 360, 30)
        lon = LON[number] + radius * np.sin(np.radians(angle)) / np.cos(np.radians(LAT[number]))
        outline = Polygon(np.stack((lon, LAT[number] + radius * np.cos(np.radians(angle))), axis=1))
        scalars = {
            "ExposureTime": 100.0 * (number + 1),
            "SAA": 90.0 - number,
            "MJD": 60000.123456789 + number,
        }
        made.append((f"e{number}", outline, scalars))
    return exposures(*made)


EXPOSURES = four_exposures()
OUTLINES = [EXPOSURES.outline(row) for row in range(4)]
SHARE = np.stack(
    [covered_fractions(one, ORDER, cells=CELLS).of_cells(CELLS.cells(), 0.0) for one in OUTLINES]
)
TIME, SAA = EXPOSURES.scalars["ExposureTime"], EXPOSURES.scalars["SAA"]


def test_number_and_time_of_exposures_are_sums_of_exact_fractions() -> None:
    number = exposure_map(EXPOSURES, "Exposures", "COUNT", CELLS)
    assert np.array_equal(number.of_cells(CELLS.cells(), 0.0), SHARE.sum(axis=0).astype(np.float32))
    time = exposure_map(EXPOSURES, "ExposureTime", "SUM", CELLS)
    assert np.allclose(time.of_cells(CELLS.cells(), 0.0), TIME @ SHARE, rtol=1e-6)
    assert np.array_equal(
        exposure_map(EXPOSURES[np.arange(4)[::-1]], "ExposureTime", "SUM", CELLS).values, time.values
    )


def test_means_weigh_by_covered_fraction_and_exposure_time() -> None:
    seen = SHARE.sum(axis=0) > 0
    mean = exposure_map(EXPOSURES, "SAA", "MEAN", CELLS)
    assert np.allclose(mean.values, ((SAA @ SHARE) / SHARE.sum(axis=0))[seen], rtol=1e-6)
    weighted = exposure_map(EXPOSURES, "SAA", "WMEAN", CELLS)
    assert np.allclose(weighted.values, (((SAA * TIME) @ SHARE) / (TIME @ SHARE))[seen], rtol=1e-6)
    longest = exposure_map(EXPOSURES, "ExposureTime", "ARGMAX", CELLS)
    assert np.array_equal(longest.values, [np.flatnonzero(column > 1e-9)[-1] + 1 for column in SHARE.T[seen]])


def test_weights_may_be_chosen() -> None:
    noise = np.array([1.0, 2.0, 4.0, 0.5])
    both = Exposures(EXPOSURES.ids, EXPOSURES.corners, {**EXPOSURES.scalars, "Weight": noise**-2})
    for kind, weights in ((None, noise**-2), ("inverse-variance", noise**-2), ("exposure-time", TIME)):
        found = exposure_map(both, "SAA", "WMEAN", CELLS, weight=kind)
        expected = ((SAA * weights) @ SHARE) / (weights @ SHARE)
        assert np.allclose(found.values, expected[SHARE.sum(axis=0) > 0], rtol=1e-6)
    with pytest.raises(MissingProductError, match="Weight needs a value for every exposure; e0 has none"):
        exposure_map(EXPOSURES, "SAA", "WMEAN", CELLS, weight="inverse-variance")


def test_dates_stay_float64() -> None:
    date = exposure_map(EXPOSURES[np.arange(1)], "MJD", "MEAN", CELLS)
    assert date.values.dtype == np.float64
    assert np.allclose(date.values, 60000.123456789, rtol=0, atol=1e-9)


@pytest.mark.parametrize("how", [*STATISTICS, "Q25"])
@pytest.mark.parametrize("per", ["exposure", "pixel"])
def test_every_statistic_of_every_kind_of_sample(how: str, per: str) -> None:
    alone = EXPOSURES[np.array([3])] if how == "VALUE" else EXPOSURES
    if per == "pixel" and how.startswith("ARG"):
        with pytest.raises(MissingProductError, match="points of a cell have none"):
            exposure_map(alone, "SAA", how, CELLS, per=per)
        return
    found = exposure_map(alone, "SAA", how, CELLS, per=per)
    assert len(found) > 0
    assert np.all(np.isfinite(found.values))


def unit_vectors(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    a, b = np.radians(lon), np.radians(lat)
    return np.stack((np.cos(b) * np.cos(a), np.cos(b) * np.sin(a), np.sin(b)), axis=-1)


def test_points_see_the_number_of_exposures_above_them() -> None:
    """Against half-spaces: a point is inside a convex polygon if it is on one side of all its edges."""
    points = unit_vectors(*hpx.centres(CELLS.at_order(ORDER + 3).cells(), ORDER + 3))
    seen = np.zeros(len(points))
    for one in OUTLINES:
        corner = unit_vectors(*one.vertices.T)
        side = points @ np.cross(corner, np.roll(corner, -1, axis=0)).T
        seen += np.all(side > 0, axis=1) | np.all(side < 0, axis=1)
    seen = seen.reshape(len(CELLS), 64)
    for how, function in {"MIN": np.min, "MAX": np.max, "MEAN": np.mean, "MEDIAN": np.median}.items():
        found = exposure_map(EXPOSURES, "Exposures", how, CELLS, per="pixel")
        expected = [function(row[row > 0]) for row in seen if (row > 0).any()]
        assert np.allclose(found.values, expected)


def test_per_point_means_differ_from_per_exposure_means_by_design() -> None:
    """Two exposures over the same half and one over all of a cell: 1/2 of the points see the mean of two."""
    lon, lat = hpx.vertices([1000], ORDER)
    whole = Polygon(np.stack((lon[0], lat[0]), axis=1))
    half = Polygon(np.stack((lon[0], lat[0]), axis=1)[:3])
    pair = exposures(("a", whole, {"SAA": 0.0}), ("b", half, {"SAA": 30.0}))
    cells = cell_set(1)
    share = covered_fractions(half, ORDER, cells=cells).of_cells([1000])[0]
    per_exposure = exposure_map(pair, "SAA", "MEAN", cells)
    assert per_exposure.values == pytest.approx([30 * share / (1 + share)], rel=1e-3)
    per_point = exposure_map(pair, "SAA", "MEAN", cells, per="pixel")
    assert per_point.values == pytest.approx([15 * share], rel=0.2)


def test_exposure_products() -> None:
    counted = count(np.arange(6))
    opened = frame(ref(), exposures=EXPOSURES)
    number = info.make(key("info", quantity="Exposures", statistic="COUNT"), opened, counted, parameters())
    assert (
        number.keywords.items() >= {"SAMPLE": "EXPOSURE", "WGTKIND": "COUNT", "DEGRULE": "COVERAGE"}.items()
    )
    assert number.unit == ""
    lowest = info.make(key("info", quantity="Exposures", statistic="MIN"), opened, counted, parameters())
    assert lowest.keywords["SAMPLE"] == "PIXEL"
    assert np.all(lowest.map.values == np.rint(lowest.map.values))
    angle = info.make(key("info", quantity="SAA", statistic="MEAN"), opened, counted, parameters())
    assert angle.unit == "deg"
    with pytest.raises(MissingProductError, match="table of exposures"):
        info.make(angle.key, frame(ref()), counted, parameters())
    with pytest.raises(MissingProductError, match="e0 has none"):
        info.make(key("info", quantity="Airmass", statistic="MEAN"), opened, counted, parameters())
    zodiacal = info.make(
        key("info", quantity="ZodiacalLight", statistic="MEAN"), opened, counted, parameters()
    )
    assert zodiacal.keywords["INFOSRC"] == "LEINERT" and zodiacal.unit == "MJy sr-1"
    with pytest.raises(MissingProductError, match="needs a catalogue of role stars"):
        info.make(key("info", quantity="StarDensity", statistic="VALUE"), opened, counted, parameters())


# -- PSF and tile ---------------------------------------------------------------------------------------


def test_psf_means_stamps_inside_and_interpolates_elsewhere() -> None:
    lon = np.array([LON[0], LON[0] + 0.001, LON[2], LON[3], LON[5], LON[1]])
    lat = np.array([LAT[0], LAT[0], LAT[2], LAT[3], LAT[5], LAT[1]])
    fwhm = np.array([0.2, 0.3, 0.25, 0.35, 0.4, np.nan])
    maps = psf_maps(PsfStamps(lon, lat, fwhm), count(np.arange(6)))
    fwhm_map, number = maps["WEIGHT"].values, maps["NSTAMPS"].values
    assert fwhm_map[[0, 2, 3, 5]] == pytest.approx([0.25, 0.25, 0.35, 0.4], rel=1e-6)
    assert number.tolist() == [2, 4, 1, 1, 4, 1]
    unit = np.radians([lon[:5], lat[:5]])
    for one in (1, 4):
        here = np.radians([LON[one], LAT[one]])
        cosine = np.sin(unit[1]) * np.sin(here[1]) + np.cos(unit[1]) * np.cos(here[1]) * np.cos(
            unit[0] - here[0]
        )
        distance = np.arccos(cosine)
        near = np.argsort(distance)[:4]
        expected = (fwhm[near] / distance[near]).sum() / (1 / distance[near]).sum()
        assert fwhm_map[one] == pytest.approx(expected, rel=1e-5)


def test_extreme_stamps_by_their_number_in_the_table() -> None:
    lon, lat = LON[[0, 0, 0, 2]], LAT[[0, 0, 0, 2]]
    stamps = PsfStamps(lon, lat, np.array([np.nan, 0.4, 0.3, 0.2]))
    lowest, highest = (psf_maps(stamps, count(np.arange(6)), how)["WEIGHT"] for how in ("ARGMIN", "ARGMAX"))
    assert lowest.values.tolist() == [3, 4, 4, 4, 4, 4]
    assert highest.values.tolist() == [2, 2, 4, 2, 2, 2]


def test_psf_product_and_its_absence() -> None:
    rms = np.array([1, 1, 1e16, 1, 1, 1.0])  # the third cell was not observed
    counted = count(np.arange(6), planes={"RMS": rms})
    stamps = PsfStamps(LON, LAT, np.full(6, 0.2))
    wanted = key("info", quantity="PSF", statistic="MEAN")
    product = info.make(wanted, frame(ref(), psf=stamps), counted, parameters())
    assert len(product.map) == 5
    assert product.keywords.items() >= {"SAMPLE": "STAMP", "DEGRULE": "QUAD"}.items()
    assert product.maps["NSTAMPS"].cells == product.map.cells
    for psf in (None, PsfStamps(LON, LAT, np.zeros(6))):
        with pytest.raises(MissingProductError, match="stamps"):
            info.make(wanted, frame(ref(), psf=psf), counted, parameters())


@pytest.mark.parametrize("how", [*STATISTICS, "Q25"])
def test_every_statistic_of_stamps(how: str) -> None:
    found = psf_maps(PsfStamps(LON[:2], LAT[:2], np.full(2, 0.25)), count(np.arange(6)), how)["WEIGHT"]
    assert len(found) == 6


def test_tile() -> None:
    counted = count(np.arange(3), geom=np.array([1.0, 0.0, 0.5]))
    made = tile_map("102018211", counted)
    assert made.values.dtype == np.int64
    assert made.values.tolist() == [102018211, 102018211]
    wanted = key("info", quantity="Tile", statistic="VALUE", instrument="-", band="-")
    product = info.make(wanted, frame(ref()), counted, parameters())
    assert product.keywords["DEGRULE"] == "MODE"
    with pytest.raises(MissingProductError, match="number as the name"):
        tile_map("field-a", counted)
    with pytest.raises(MissingProductError, match="Tile is an index, for which MEAN has no meaning"):
        info.make(key("info", quantity="Tile", statistic="MEAN"), frame(ref()), counted, parameters())


# -- keys and needs -------------------------------------------------------------------------------------


def test_keys_and_needs() -> None:
    maps = [
        "Noise:RMSQ",
        "Background:MEDIAN",
        "Noise:WMEAN",
        "PSF:MEAN",
        "SAA:MEAN",
        "Tile:VALUE",
        "Noise:RMSQ",
    ]
    settings = parameters(info={"maps": maps})
    made = info.keys(ref(), settings)
    assert [f"{one.quantity}:{one.statistic}" for one in made] == maps[:-1]
    assert made[5].band == made[5].instrument == "-"
    wanted = [info.needs(one, ref(), settings) for one in made]
    assert [one.planes for one in wanted] == [{"RMS"}, {"RMS", "BACKGROUND"}, {"RMS"}, {"RMS"}, set(), set()]
    assert [one.tables for one in wanted] == [set(), set(), set(), {"PSF"}, {"LAYERS"}, set()]
    assert wanted[1].percents == {50.0}
    assert not any(one.listed for one in wanted)
    median = info.needs(key("info", quantity="Background", statistic="WMEDIAN"), ref(), settings)
    assert median.planes == {"RMS", "BACKGROUND"} and median.listed == {"wmedian"}
    both = median | info.needs(key("info", quantity="Noise", statistic="MODE"), ref(), settings)
    assert both.listed == {"mode", "wmedian"}
    assert [one.inverse_variance for one in wanted] == [False, False, True, False, False, False]
    for wrong in ("Noize:MEAN", "Noise:AVERAGE"):
        with pytest.raises((InputError, ValueError), match="must be one of"):
            info.keys(ref(), parameters(info={"maps": [wrong]}))
