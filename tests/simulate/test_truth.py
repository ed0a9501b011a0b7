"""The stated truth against counting pixels, integrating numerically and exact cell fractions."""

import json
import math

import numpy as np
import pytest
from astropy.io import fits

from vmpz.simulate import truth
from vmpz.simulate.bands import BANDS, INSTRUMENTS
from vmpz.simulate.field import Sky
from vmpz.simulate.geometry import (
    SQUARE_DEGREES_PER_STERADIAN,
    Plane,
    polygon_area_sr,
    rectangle_area_sr,
    to_angles,
)
from vmpz.simulate.pixels import BandPixels, Grid
from vmpz.sky.regions import Polygon
from vmpz.tiles import tiles_near, tiling

PLACES = [(52.9, -28.25), (0.0, 0.1), (10.0, 89.9), (200.0, -89.8)]


def survey(place, size=400, tiles=2, seed=5):
    near = tiles_near(*place, tiles)
    return Sky(near, 1920.0 / size, seed), near


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_rectangles_are_disjoint_and_count_exposures(instrument):
    sky, _ = survey((52.9, -28.25))
    rectangles, number = truth.exposure_rectangles(sky, instrument)
    draw = np.random.default_rng(1)
    x0, x1, y0, y1 = sky.extent
    x, y = draw.uniform(x0, x1, 3000), draw.uniform(y0, y1, 3000)

    def over(r):
        return (x > r.x0[:, None]) & (x < r.x1[:, None]) & (y > r.y0[:, None]) & (y < r.y1[:, None])

    hits = over(rectangles)
    assert hits.sum(axis=0).max() == 1
    counted = over(sky.detectors(instrument).rectangles).sum(axis=0)
    assert np.array_equal((hits * number[:, None]).sum(axis=0), counted)
    assert (counted == 0).any() and {1, 2, 3, 4} <= set(number)


@pytest.mark.parametrize("place", PLACES)
def test_core_polygon_has_the_area_between_meridians_and_parallels(place):
    sky, near = survey(place)
    for one in near:
        south, north = max(one.south_deg, -90.0), min(one.north_deg, 90.0)
        area = math.radians(one.east_deg - one.west_deg) * (
            math.sin(math.radians(north)) - math.sin(math.radians(south))
        )
        assert abs(polygon_area_sr(truth.core_polygon(one, sky.plane))) == pytest.approx(area, rel=1e-10)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("instrument", ["VIS", "NISP"])
def test_core_areas_against_a_fine_grid(place, instrument):
    """One random point in each of n x n equal parts of the core, tested against every feature."""
    sky, near = survey(place)
    one = near[1]
    found = truth.covered_areas(sky, one, instrument)
    n = 300
    draw = np.random.default_rng(2)
    u, v = (np.stack(np.meshgrid(np.arange(n), np.arange(n))) + draw.random((2, n, n))) / n
    lon = np.radians(one.west_deg + u * (one.east_deg - one.west_deg))
    low, high = (math.sin(math.radians(np.clip(a, -90, 90))) for a in (one.south_deg, one.north_deg))
    z = low + v * (high - low)
    vectors = np.stack((np.sqrt(1 - z * z) * np.cos(lon), np.sqrt(1 - z * z) * np.sin(lon), z), axis=-1)
    x, y = sky.plane.project(vectors)
    count = np.zeros(x.shape, int)
    for box in _boxes(sky.detectors(instrument).rectangles):
        count += (x > box[0]) & (x < box[1]) & (y > box[2]) & (y < box[3])
    columns = np.zeros(x.shape, bool)
    for box in _boxes(sky.columns(instrument)):
        columns |= (x > box[0]) & (x < box[1]) & (y > box[2]) & (y < box[3])
    cores = np.zeros(x.shape, bool)
    for centre, radius in zip(sky.cores.centres, sky.cores.radii, strict=True):
        cores |= np.linalg.norm(vectors - centre, axis=-1) < 2 * math.sin(radius / 2)
    cell = math.radians(one.east_deg - one.west_deg) * (high - low) / n**2 * SQUARE_DEGREES_PER_STERADIAN
    # Each of about 40 edges across the core passes through n parts; a part errs by 0.4 rms: 5 sigma.
    tolerance = 5 * 0.4 * math.sqrt(40 * n) * cell
    for exposures, area in found["area_by_exposures_deg2"].items():
        assert np.sum(count == exposures) * cell == pytest.approx(area, abs=tolerance)
    assert np.sum(count > 0) * cell == pytest.approx(found["observed_deg2"], abs=tolerance)
    assert np.sum(cores & (count > 0)) * cell == pytest.approx(found["saturated_deg2"], abs=tolerance / 4)
    bad = columns | cores
    masks = _in_masks(sky, vectors)
    assert not np.any(cores & ~masks)
    masked, free = found["star_masks_deg2"], found["covered_outside_star_masks_deg2"]
    assert np.sum(masks & (count > 0)) * cell == pytest.approx(masked, abs=tolerance / 2)
    assert np.sum((count > 0) & ~masks & ~columns) * cell == pytest.approx(free, abs=tolerance)
    assert not np.any(columns & cores)
    assert np.sum((count > 0) & ~bad) * cell == pytest.approx(found["covered_deg2"], abs=tolerance)


def _in_masks(sky, vectors):
    """Points inside the written star masks: within a radius, or on the inner side of every edge of an octagon."""
    inside = np.zeros(vectors.shape[:2], bool)
    for number, (centre, radius) in enumerate(zip(sky.halos.centres, sky.halos.radii, strict=True)):
        near = np.linalg.norm(vectors - centre, axis=-1) < 2 * math.sin(radius / 2)
        if number % 3 == 0 and near.any():
            lon, lat = (float(a) for a in to_angles(centre))
            x, y = Plane.at(lon, lat).project(vectors[near])
            angle = (np.arange(8) + 0.5) * math.pi / 4
            reach = (x[:, None] * np.cos(angle) + y[:, None] * np.sin(angle)).max(axis=1)
            near[near] = reach < math.tan(radius) * math.cos(math.pi / 8)
        inside |= near
    return inside


def _boxes(r):
    return zip(r.x0, r.x1, r.y0, r.y1, strict=True)


@pytest.mark.parametrize("instrument", ["VIS", "DECAM"])
def test_image_areas_against_counted_pixels(instrument):
    size = 800
    sky, near = survey((52.9, -28.25), size)
    band = next(band for band in BANDS.values() if band.instrument == instrument)
    grid = Grid(near[0], size)
    stated = truth.areas_by_exposures(
        truth.image_polygon(grid, sky.plane), *truth.exposure_rectangles(sky, instrument)
    )
    count = BandPixels(sky, grid, band).block(0, size).exposures
    x, y = grid.x(np.arange(size))[None], grid.y(np.arange(size))[:, None]
    pixel = math.radians(grid.cd_deg) ** 2 * (1 + x * x + y * y) ** -1.5 * SQUARE_DEGREES_PER_STERADIAN
    assert sum(stated.values()) <= pixel.sum() * (1 + 1e-9)
    for exposures in {*stated, *np.unique(count[count > 0]).tolist()}:
        perimeter = 40 * size * pixel.max() * 0.05
        assert pixel[count == exposures].sum() == pytest.approx(stated.get(exposures, 0.0), abs=perimeter)


def test_parts_of_a_disc_add_up_to_the_disc():
    """The first star stands where tiles meet; its parts in all tiles around are the whole, where observed."""
    near = tiles_near(52.9, -28.25, 4)
    sky = Sky(near, 1.6, 5)
    first = truth.Discs(sky.cores.centres[:1], sky.cores.radii[:1])
    around = tiles_near(*sky.centre_deg, 9)
    rectangles, number = truth.exposure_rectangles(sky, "VIS")
    outline = truth.disc_polygons(first)[0]
    disc = np.stack(sky.plane.project(outline), axis=1)
    observed = sum(truth.areas_by_exposures(disc, rectangles, number).values())
    parts = [truth.outlines_area(sky, one, [outline], rectangles, number) for one in around]
    assert sum(part > 0 for part in parts) >= 2
    assert sum(parts) == pytest.approx(observed, rel=1e-4)
    whole = 2 * math.pi * (1 - math.cos(first.radii[0])) * SQUARE_DEGREES_PER_STERADIAN
    assert abs(polygon_area_sr(disc)) * SQUARE_DEGREES_PER_STERADIAN == pytest.approx(whole, rel=1e-6)


@pytest.mark.parametrize("place", PLACES)
def test_stars_are_disjoint_and_columns_clear_of_them(place):
    sky, _ = survey(place, tiles=4)
    halos = sky.halos
    distance = np.linalg.norm(halos.centres[:, None] - halos.centres[None], axis=-1)
    assert np.all(distance + np.eye(len(halos.radii)) > halos.radii[:, None] + halos.radii[None])
    assert len(halos.radii) > 20
    for instrument in INSTRUMENTS:
        strips = list(_boxes(sky.columns(instrument)))
        assert strips
        for i, (a0, a1, b0, b1) in enumerate(strips):
            assert not any(a0 < c1 and c0 < a1 and b0 < d1 and d0 < b1 for c0, c1, d0, d1 in strips[:i])


def test_observed_fractions_of_cells_sum_to_the_area():
    sky, near = survey((52.9, -28.25), tiles=1)
    rectangles, _ = truth.exposure_rectangles(sky, "NISP")
    total = rectangle_area_sr(rectangles.x0, rectangles.x1, rectangles.y0, rectangles.y1).sum()
    cells = tiling("euclid-wide").owned(near[0].id, 11)
    fractions = truth.observed_fractions(sky, "NISP", cells)
    assert fractions.values.max() <= 1.0
    assert 0.5 * cells.area_deg2 < fractions.integral_deg2() < cells.area_deg2 < total * 1e4


def test_truth_is_written_whole(small_survey):
    folder, made = small_survey
    content = json.loads((folder / "truth" / "truth.json").read_text())
    assert tuple(content["tiles"]) == made.tiles
    assert content["order"] == made.order
    vis = content["bands"]["VIS"]
    sigma = vis["rms_by_exposures"]["4"]
    assert sigma == pytest.approx(0.004 * content["pixel_arcsec"] / 0.1)
    assert vis["depth_5sigma_2arcsec_mag_by_exposures"]["4"] == pytest.approx(
        24.6 - 2.5 * math.log10(5 * 0.004 * math.sqrt(math.pi / 0.1**2)), abs=1e-12
    )
    deeper = vis["depth_5sigma_2arcsec_mag_by_exposures"]
    assert deeper["4"] - deeper["1"] == pytest.approx(0.752575, abs=1e-6)
    assert deeper["4"] - deeper["3"] == pytest.approx(0.156173, abs=1e-6)
    for one in content["tiles"].values():
        assert one["image_area_deg2"] == pytest.approx(0.28443828, abs=1e-8)
        for name, core in one["core"].items():
            assert core["observed_deg2"] <= one["core_area_deg2"] * (1 + 1e-9)
            assert 0 < core["covered_deg2"] < core["observed_deg2"], name
    with fits.open(folder / "truth" / "exposures-VIS.fits", checksum=True) as hdus:
        table = hdus[1].data
    for row in table[:: max(1, len(table) // 50)]:
        # The area of a rectangle is rounded like the corners, 1e-14 deg times its sides.
        assert Polygon(row["POLYGON"].reshape(4, 2)).area_deg2 == pytest.approx(
            row["AREA"], rel=1e-6, abs=1e-14
        )
