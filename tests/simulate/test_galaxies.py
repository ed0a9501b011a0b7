"""Simulated galaxies: the law, the ground that they are seen on, and both together, by the truth alone."""

import json
import math
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from astropy.io import fits
from scipy import stats

from vmpz import io
from vmpz.cli import _status_of
from vmpz.errors import InputError
from vmpz.parameters import load
from vmpz.simulate import simulate
from vmpz.simulate.bands import BANDS
from vmpz.simulate.field import Sky
from vmpz.simulate.galaxies import write_galaxies
from vmpz.simulate.galaxylaw import (
    LAW,
    PHOTO_Z,
    SCATTER,
    GalaxyClass,
    classes_of,
    colour,
    flux_ujy,
    relative_densities,
    sigma_ujy,
)
from vmpz.simulate.geometry import polygon_area_sr, rectangle_area_sr
from vmpz.simulate.pixels import BandPixels, Grid
from vmpz.simulate.survey import map_order
from vmpz.simulate.truth import depth_mag, star_mask_polygons
from vmpz.simulate.usable import Usable, in_star_masks
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.covers import unit_vectors
from vmpz.sky.skymap import SkyMap
from vmpz.tiles import tiles_near, tiling

TWO = (BANDS["VIS"], BANDS["NIR_Y"])
TILES, SIZE, SEED, PLACE = 2, 320, 5, (57.9988, -51.5)
CLASSES = ("counts", "deep")


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("galaxies")
    simulate(folder, tiles=TILES, size=SIZE, at=PLACE, seed=SEED, galaxies=True)
    return folder


@pytest.fixture(scope="module")
def sky() -> Sky:
    return Sky(sorted(tiles_near(*PLACE, TILES), key=lambda one: one.id), 1920.0 / SIZE, SEED)


def columns(path: Path) -> dict[str, np.ndarray]:
    table = pyarrow.parquet.read_table(path)
    return {name: table[name].to_numpy() for name in table.column_names}


@pytest.fixture(scope="module")
def seen(survey: Path) -> dict[str, np.ndarray]:
    return columns(survey / "galaxies" / "catalogue.parquet")


@pytest.fixture(scope="module")
def truth(survey: Path) -> dict:
    return json.loads((survey / "truth" / "galaxies.json").read_text())


def visibility(folder: Path, name: str) -> SkyMap:
    """The true map, read without our reader."""
    with fits.open(folder / "truth" / f"visibility-{name}.fits", checksum=True) as hdus:
        table, header = hdus[1].data, hdus[1].header
    order = int(header["NSIDE"]).bit_length() - 1
    return SkyMap.from_cells(order, table["PIXEL"].astype(np.int64), table["WEIGHT"].astype(float))


def of_class(seen: dict[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    return {key: one[seen[f"IS_{name.upper()}"]] for key, one in seen.items()}


def expected(truth: dict, name: str, found: SkyMap) -> np.ndarray:
    """Mean number of galaxies of every cell."""
    return truth["classes"][name]["per_deg2_at_reference"] * found.values * hpx.cell_area_deg2(found.order)


# -- the law ----------------------------------------------------------------------------------------------------------


def test_draws_follow_the_law() -> None:
    found = LAW.draw(np.random.default_rng(1), 200_000)
    edges = np.array([LAW.brightest, 22.0, 24.0, 25.5, 26.5, 27.0, 27.5, 28.0, LAW.faintest])
    share = LAW.per_deg2(edges[:-1], edges[1:]) / LAW.per_deg2(LAW.brightest, LAW.faintest)
    counted = np.histogram(found["magnitude"], edges)[0]
    assert counted.sum() == 200_000
    assert stats.chisquare(counted, 200_000 * share).pvalue > 1e-3
    assert LAW.per_deg2(24.0, 25.0) / LAW.per_deg2(23.0, 24.0) == pytest.approx(10.0**LAW.slope)
    assert LAW.per_deg2(-90.0, 25.0) == pytest.approx(60_000.0)
    time = (found["Z"] / (0.25 + 0.087 * (found["magnitude"] - 20.0)).clip(0.05)) ** 1.5
    assert stats.kstest(time, stats.gamma(2.0).cdf).pvalue > 1e-3
    wrong = (found["Z_PHOT"] - found["Z"]) / (1.0 + found["Z"]) / SCATTER
    assert stats.kstest(wrong, stats.norm.cdf).pvalue > 1e-3


def test_noise_is_that_of_the_depth() -> None:
    """The depth of n exposures is where a flux is five times its noise."""
    for band in BANDS.values():
        for exposures in (1, 3, 4, 9):
            assert flux_ujy(depth_mag(band, exposures)) == pytest.approx(5.0 * sigma_ujy(band, exposures))


@pytest.mark.parametrize("name", CLASSES)
def test_densities_are_those_of_drawn_galaxies(name: str) -> None:
    """The integral over the law against measuring a million galaxies, at several depths."""
    one = next(one for one in classes_of(TWO) if one.name == name)
    draw = np.random.default_rng(2)
    true = LAW.draw(draw, 1_000_000)
    per_deg2 = float(LAW.per_deg2(LAW.brightest, LAW.faintest)) / true["Z"].size
    for exposures in (1, 4, 8):
        sigma = {band.name: float(sigma_ujy(band, exposures)) for band in TWO}
        told = {"Z_PHOT": true["Z_PHOT"]}
        for band in TWO:
            flux = flux_ujy(true["magnitude"] + colour(band.name, "VIS", true["Z"]))
            told[f"FLUX_{band.name}"] = flux + sigma[band.name] * draw.standard_normal(flux.size)
            told[f"FLUXERR_{band.name}"] = np.full(flux.size, sigma[band.name])
        number = np.count_nonzero(one.holds(told))
        density = LAW.density(one.cuts, sigma, one.window)
        assert abs(number - density / per_deg2) < 4.0 * math.sqrt(number)


def test_counts_obey_the_shift_law() -> None:
    """``10**(slope (depth - reference))``, but for what is brighter than the brightest (6e-4 of all)."""
    one, bands = classes_of(TWO)[0], {band.name: band for band in TWO}
    _, relative = relative_densities(one, bands, [(n,) for n in range(1, 17)])
    for (exposures,), value in relative.items():
        shift = depth_mag(BANDS["VIS"], exposures) - depth_mag(BANDS["VIS"], 4)
        assert value == pytest.approx(10.0 ** (LAW.slope * shift), rel=1e-3)
    assert relative[(4,)] == 1.0


def test_depth_in_either_band_counts() -> None:
    _, deep = classes_of(TWO)
    numbers = [(vis, nir) for vis in (1, 4, 8) for nir in (1, 4, 8)]
    reference, relative = relative_densities(deep, {band.name: band for band in TWO}, numbers)
    table = np.array([relative[one] for one in numbers]).reshape(3, 3)
    assert np.all(np.diff(table, axis=0) > 0) and np.all(np.diff(table, axis=1) > 0)
    assert table[1, 1] == 1.0 and 10_000 < reference < 60_000
    assert deep.expression == "snr_VIS > 5 and snr_NIR_Y > 3 and 0.5 < z_phot < 1.0"
    assert GalaxyClass("a", {"VIS": 5.0}).expression == "snr_VIS > 5"


# -- the ground -------------------------------------------------------------------------------------------------------


def test_exposures_at_a_place_are_the_detectors_over_it(sky: Sky) -> None:
    draw = np.random.default_rng(3)
    x0, x1, y0, y1 = sky.extent
    x, y = draw.uniform(x0 - 1e-3, x1 + 1e-3, 4000), draw.uniform(y0 - 1e-3, y1 + 1e-3, 4000)

    def over(r):
        return (x > r.x0[:, None]) & (x < r.x1[:, None]) & (y > r.y0[:, None]) & (y < r.y1[:, None])

    found = Usable(sky, ["VIS", "NISP"]).at(sky.plane.vectors(x, y))
    for row, name in zip(found, ("VIS", "NISP"), strict=True):
        number = over(sky.detectors(name).rectangles).sum(axis=0)
        assert np.array_equal(row, np.where(over(sky.columns(name)).any(axis=0), 0, number))
        assert {0, 3, 4} <= set(row)


def test_pieces_of_the_plane_are_what_both_instruments_saw(sky: Sky) -> None:
    rectangles, numbers = Usable(sky, ["VIS", "NISP"]).pieces()
    middle = sky.plane.vectors(0.5 * (rectangles.x0 + rectangles.x1), 0.5 * (rectangles.y0 + rectangles.y1))
    assert np.array_equal(Usable(sky, ["VIS", "NISP"]).at(middle).T, numbers)
    area = rectangle_area_sr(rectangles.x0, rectangles.x1, rectangles.y0, rectangles.y1).sum()
    draw = np.random.default_rng(4)
    x0, x1, y0, y1 = sky.extent
    x0, x1, y0, y1 = x0 - 0.02, x1 + 0.02, y0 - 0.02, y1 + 0.02
    x, y = draw.uniform(x0, x1, 100_000), draw.uniform(y0, y1, 100_000)
    both = np.all(Usable(sky, ["VIS", "NISP"]).at(sky.plane.vectors(x, y)) > 0, axis=0)
    part = both * (1.0 + x * x + y * y) ** -1.5 * (x1 - x0) * (y1 - y0)
    assert part.mean() == pytest.approx(area, abs=4.0 * part.std() / math.sqrt(part.size))


def test_star_masks_have_their_area(sky: Sky) -> None:
    """Points around each star: discs, and octagons that are smaller than the disc."""
    outlines = star_mask_polygons(sky)
    draw = np.random.default_rng(5)
    for number in range(6):
        centre, radius = sky.halos.centres[number], float(sky.halos.radii[number])
        offset = draw.uniform(-1.1 * radius, 1.1 * radius, (20_000, 3))
        offset -= np.outer(offset @ centre, centre)
        points = centre + offset
        points /= np.linalg.norm(points, axis=1)[:, None]
        near = np.arccos(np.clip(points @ centre, -1, 1)) < radius
        inside = in_star_masks(sky, points) & near
        area = abs(polygon_area_sr(np.stack(sky.plane.project(outlines[number]), axis=1)))
        share = area / (math.pi * radius**2)
        assert share == pytest.approx(1.0 if number % 3 else math.sin(math.pi / 4) * 4 / math.pi, rel=1e-3)
        # projected cubes are not uniform over the disc, but rings are: the same share of every radius is covered
        ring = np.linalg.norm(points - centre, axis=1) < 0.9 * radius
        assert np.all(inside[near & ring]) and (number % 3 == 0 or np.all(inside[near]))


def test_means_over_cells_are_those_of_many_points(sky: Sky) -> None:
    """Cells where a detector ends, or a star or column hides a part, against 4096 points in each."""
    usable = Usable(sky, ["VIS"])
    near = hpx.cells_at(*sky.centre_deg, 13)
    cells = CellSet.from_cells(13, np.unique(near // 1024 * 1024 + np.arange(1024)))
    found = usable.mean({(n,): float(n) for n in range(1, 40)}, cells)
    broken = found.cells.cells()[np.abs(found.values - np.round(found.values)) > 1e-6]
    broken = broken[:: broken.size // 24]
    u, v = (np.stack(np.meshgrid(np.arange(64), np.arange(64))).reshape(2, -1) + 0.5) / 64
    for cell in broken.tolist():
        vectors = unit_vectors(*hpx.positions(np.full(u.size, cell), 13, u, v))
        number = np.where(in_star_masks(sky, vectors), 0, usable.at(vectors)[0])
        assert found.of_cells([cell])[0] == pytest.approx(number.mean(), abs=0.12)
    assert usable.mean({(n,): 1.0 for n in range(1, 40)}, cells).values.max() <= 1.0 + 1e-9


# -- the survey -------------------------------------------------------------------------------------------------------


def test_the_deep_sample_is_two_magnitudes_deeper(survey: Path) -> None:
    found = columns(survey / "deep" / "deep.parquet")
    assert 20_000 < found["Z"].size < 100_000
    for band in TWO:
        error = found[f"FLUXERR_{band.name}"]
        assert np.all(error == error[0])
        assert error[0] == pytest.approx(flux_ujy(depth_mag(band, 4) + 2.0) / 5.0)
    assert np.all(found["FLUX_VIS"] > 5.0 * found["FLUXERR_VIS"])
    bright = found["FLUX_VIS"] > flux_ujy(26.5)
    mean = 0.12 * float(LAW.per_deg2(LAW.brightest, 26.5))
    assert abs(np.count_nonzero(bright) - mean) < 5.0 * math.sqrt(mean)


def test_galaxies_are_seen_in_good_pixels_with_the_noise_of_their_place(sky: Sky, seen: dict) -> None:
    """Against rows of planes with fine pixels: noise is that of the pixel or of one beside it, never all unusable."""
    first, rows, size = 1000, 256, 2400
    tile = int(np.unique(seen["OBJECT_ID"] // 10**9)[1])
    grid = Grid(next(one for one in tiles_near(*PLACE, TILES) if int(one.id) == tile), size)
    x, y = grid.plane.project(unit_vectors(seen["RIGHT_ASCENSION"], seen["DECLINATION"]))
    column, row = np.rint(grid.column(x)).astype(int), np.rint(grid.row(y)).astype(int) - first
    here = (seen["OBJECT_ID"] // 10**9 == tile) & (row > 0) & (row < rows - 1)
    assert np.count_nonzero(here) > 1000
    column, row = column[here], row[here]
    around = [(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    for band in TWO:
        block = BandPixels(sky, grid, band).block(first, first + rows)
        noise = 5.0 * block.rms.astype(float) * math.sqrt(math.pi) / grid.pixel_arcsec
        depth = band.zero_point_mag - 2.5 * np.log10(noise)
        error = seen[f"FLUXERR_{band.name}"][here]
        known = np.isfinite(error)
        limit = 23.9 - 2.5 * np.log10(5.0 * error[known])
        apart = [np.abs(depth[at][known] - limit) for at in around]
        assert np.mean(apart[4] < 1e-5) > 0.98
        assert (
            np.mean(np.min(apart, axis=0) < 1e-5) > 0.998
        )  # strips between two edges may be narrower than a pixel
        assert np.all(seen[f"EXPOSURES_{band.name}"][here][~known] == 0)
        unusable = np.all([block.flags[at] & 1 for at in around], axis=0)  # INVALID
        assert not np.any(unusable & known)
        assert np.mean((block.flags[row, column] & 1 == 0) == known) > 0.98
    assert np.isfinite(seen["FLUX_VIS"]).all() and not np.isfinite(seen["FLUX_NIR_Y"]).all()


@pytest.mark.parametrize("name", CLASSES)
def test_counts_follow_the_number_of_exposures(
    name: str, survey: Path, sky: Sky, seen: dict, truth: dict
) -> None:
    """At every combination of depths there are as many galaxies as the area times the law says."""
    told = truth["classes"][name]
    cells = CellSet.union(
        tiling("euclid-wide").owned(one.id, visibility(survey, name).order)
        for one in tiles_near(*PLACE, TILES)
    )
    usable = Usable(sky, told["instruments"])
    relative = {tuple(map(int, key.split(","))): one for key, one in told["relative_by_exposures"].items()}
    mine = of_class(seen, name)
    at = np.stack([mine[f"EXPOSURES_{band}"] for band in told["bands"]], axis=1)
    level = {one: round(8.0 * value) for one, value in relative.items()}
    found = np.array([level[tuple(row)] for row in at.tolist()])
    pulls, total = [], 0.0
    for here in sorted(set(level.values())):
        values = {one: value * (level[one] == here) for one, value in relative.items()}
        mean = told["per_deg2_at_reference"] * usable.mean(values, cells).integral_deg2()
        total += mean
        if mean > 25.0:
            pulls.append((np.count_nonzero(found == here) - mean) / math.sqrt(mean))
    assert len(pulls) >= 5
    assert stats.chi2.sf(np.sum(np.square(pulls)), len(pulls)) > 1e-3
    assert total == pytest.approx(expected(truth, name, visibility(survey, name)).sum(), rel=1e-6)
    assert abs(found.size - total) < 4.0 * math.sqrt(total)


@pytest.mark.parametrize("name", CLASSES)
def test_galaxies_over_the_true_visibility_are_flat(name: str, survey: Path, seen: dict, truth: dict) -> None:
    found, mine = visibility(survey, name), of_class(seen, name)
    cell = hpx.cells_at(mine["RIGHT_ASCENSION"], mine["DECLINATION"], found.order)
    place = found.cells.index(cell)
    assert np.all(place >= 0)
    number, mean = np.bincount(place, minlength=len(found)), expected(truth, name, found)
    # by visibility, by place, and cell by cell
    decile = np.digitize(found.values, np.quantile(found.values, np.linspace(0, 1, 11)[1:-1]))
    region = np.unique(found.cells.cells() >> 2 * (found.order - 8), return_inverse=True)[1]
    for group in (decile, region):
        n, mu = np.bincount(group, number), np.bincount(group, mean)
        pulls = ((n - mu) / np.sqrt(mu))[mu > 25.0]
        assert len(pulls) >= 10
        assert stats.chi2.sf(np.sum(pulls**2), pulls.size) > 1e-3
    big = mean > 1.0
    excess = np.sum((number - mean)[big] ** 2 / mean[big]) / np.count_nonzero(big)
    assert excess == pytest.approx(1.0, abs=5.0 * math.sqrt(3.0 / np.count_nonzero(big)))
    # the same galaxies are not flat over the area, or over the exposures: the test can tell
    covered = np.bincount(decile, np.full(len(found), mean.sum() / len(found)))
    n = np.bincount(decile, number)
    assert stats.chi2.sf(np.sum((n - covered) ** 2 / covered), 10) < 1e-9


def test_redshifts_of_the_class_are_in_its_window_and_noise_is_gaussian(seen: dict) -> None:
    mine = of_class(seen, "deep")
    assert mine["Z_PHOT"].min() > PHOTO_Z[0] and mine["Z_PHOT"].max() < PHOTO_Z[1]
    assert np.all(mine["FLUX_NIR_Y"] > 3.0 * mine["FLUXERR_NIR_Y"])
    assert np.all(seen["FLUX_VIS"] > 5.0 * seen["FLUXERR_VIS"]) and np.all(seen["IS_COUNTS"])
    assert np.unique(seen["OBJECT_ID"]).size == seen["OBJECT_ID"].size
    # the second band plays no part in detection: its noise is seen as it is
    known = np.isfinite(seen["FLUX_NIR_Y"])
    bright = known & (seen["FLUX_VIS"] > 100.0 * seen["FLUXERR_VIS"])
    magnitude = 23.9 - 2.5 * np.log10(seen["FLUX_VIS"][bright])
    told = flux_ujy(magnitude + colour("NIR_Y", "VIS", seen["Z"][bright]))
    noise = (seen["FLUX_NIR_Y"][bright] - told) / seen["FLUXERR_NIR_Y"][bright]
    assert np.median(np.abs(noise)) == pytest.approx(0.6745, abs=0.1)


def test_the_true_maps_are_read_as_visibility(survey: Path) -> None:
    for name in CLASSES:
        product = io.read(survey / "truth" / f"visibility-{name}.fits")
        assert (product.key.kind, product.key.quantity) == ("visibility", name)
        assert np.array_equal(product.map.values, visibility(survey, name).values.astype(np.float32))
        assert 0.5 < product.map.values.mean() < 1.2


def test_the_parameter_file_has_both_classes(survey: Path, truth: dict) -> None:
    parameters = load(survey / "survey.toml")
    counts, deep = parameters.visibility
    assert (counts.name, deep.name) == CLASSES
    assert counts.counts.slope == LAW.slope and counts.counts.magnitudes == (LAW.brightest, LAW.faintest)
    for one in (counts, deep):
        assert one.reference == truth["classes"][one.name]["reference_depth_mag"]
    assert deep.selection.expression == truth["classes"]["deep"]["expression"]
    assert Path(deep.deep.catalogue) == (survey / "deep" / "deep.parquet").resolve()
    assert parameters.coverage.subcells and parameters.coverage.effective == ["VIS", "NIR_Y"]
    assert parameters.random.seed == deep.seed == SEED


def test_the_same_bytes_every_time_and_for_any_size_of_pixel(survey: Path, sky: Sky, tmp_path: Path) -> None:
    places = sorted(tiles_near(*PLACE, TILES), key=lambda one: one.id)
    order = map_order(SIZE, max(abs(one.lat_deg) for one in places))
    write_galaxies(tmp_path, sky, [Grid(one, SIZE) for one in places], TWO, order)
    for path in sorted(tmp_path.rglob("*.*")):
        assert path.read_bytes() == (survey / path.relative_to(tmp_path)).read_bytes()
    alone = tmp_path / "alone"
    write_galaxies(alone, sky, [Grid(places[1], SIZE)], TWO, order)
    whole = columns(survey / "galaxies" / "catalogue.parquet")
    here = whole["OBJECT_ID"] // 10**9 == int(places[1].id)
    part = columns(alone / "galaxies" / "catalogue.parquet")
    assert all(np.array_equal(part[name], whole[name][here], equal_nan=True) for name in part)


def test_nothing_changes_without_galaxies(tmp_path: Path) -> None:
    with_them, without = tmp_path / "with", tmp_path / "without"
    for folder, galaxies in ((with_them, True), (without, False)):
        simulate(folder, tiles=1, size=64, bands=("VIS",), seed=SEED, galaxies=galaxies)
    assert not any((without / name).exists() for name in ("deep", "galaxies", "truth/galaxies.json"))
    for path in (path for path in sorted(without.rglob("*.*")) if path.is_file()):
        if path.name != "survey.toml":
            assert path.read_bytes() == (with_them / path.relative_to(without)).read_bytes()
    assert "visibility" not in (without / "survey.toml").read_text()


@pytest.mark.parametrize("bands", [("DECAM_g", "VIS"), ("NIR_H",)])
def test_other_bands_and_a_pole(bands: tuple[str, ...], tmp_path: Path) -> None:
    made = simulate(tmp_path, tiles=1, size=64, bands=bands, at=(10.0, 89.9), seed=2**64 - 1, galaxies=True)
    parameters = load(made.parameters)
    assert parameters.coverage.effective == (list(bands) if len(bands) > 1 else [])
    assert [one.coverage for one in parameters.visibility] == [
        bands[0],
        bands[0] if len(bands) == 1 else None,
    ]
    assert (parameters.coverage.bits is not None) == ("DECAM_g" in bands)
    seen = columns(tmp_path / "galaxies" / "catalogue.parquet")
    truth = json.loads((tmp_path / "truth" / "galaxies.json").read_text())
    for name in CLASSES:
        mean = expected(truth, name, visibility(tmp_path, name)).sum()
        assert abs(np.count_nonzero(seen[f"IS_{name.upper()}"]) - mean) < 4.5 * math.sqrt(mean)


def test_galaxies_need_mosaics(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="galaxies need bands of mosaics, found none"):
        simulate(tmp_path, bands=(), frames=("VIS",), seed=1, galaxies=True)
    said = ["simulate", str(tmp_path), "--bands", "", "--frames", "VIS", "--galaxies"]
    assert _status_of(said) == 3 and not any(tmp_path.iterdir())
