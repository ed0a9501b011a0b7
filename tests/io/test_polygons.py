"""Masks of polygons: positions, areas and maps, against pymangle, exact shares and slow obvious sums."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mangle_helpers
from mangle_helpers import PLACES, cap, great_circles, mask_text, rectangle
from vmpz import io
from vmpz.errors import InputError
from vmpz.io.polygons import MangleMask
from vmpz.parameters import MangleParameters
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.regions import Cap, Polygon, covered_fractions

SQUARE_DEGREE = math.radians(1) ** 2


@pytest.fixture
def mask_of(tmp_path):
    """Reads a mask of lists of caps."""

    def read(polygons, weights=None, header="balkanized"):
        path = tmp_path / "mask.ply"
        path.write_text(mask_text(polygons, weights, header=header))
        return io.read_polygons(path)

    return read


def everywhere(count, seed=3):
    random = np.random.default_rng(seed)
    return random.uniform(0, 360, count), np.degrees(np.arcsin(random.uniform(-1, 1, count)))


def regular(lon, lat, radius, turns):
    """Great circles at a distance from a point, in some directions."""
    axis = np.array(mangle_helpers.unit(lon, lat))
    east = np.cross(axis, [0.36, 0.48, 0.8])
    east /= np.linalg.norm(east)
    way = np.cos(turns)[:, None] * east + np.sin(turns)[:, None] * np.cross(axis, east)
    normals = math.sin(math.radians(radius)) * axis - math.cos(math.radians(radius)) * way
    return [(*one, 1.0) for one in normals]


def some_polygon(kind, random):
    """Caps of a polygon of one of six kinds, anywhere, from half a minute to a hemisphere."""
    radius = 10 ** random.uniform(-2, 1.5)
    lon, lat = random.uniform(0, 360), math.degrees(math.asin(random.uniform(-1, 1)))
    near = list(zip(*mangle_helpers.points_near(lon, lat, radius, 6, random.integers(1 << 30)), strict=True))
    if kind == 0:
        return [cap(lon, lat, radius)]
    if kind == 1:
        return [cap(lon, lat, radius), cap(*near[0], radius, outside=True)]
    if kind == 2:
        return [cap(lon, lat, radius), *(cap(*one, radius) for one in near)]
    if kind == 3:
        return rectangle(lon, lon + radius, max(lat - radius, -90), lat)
    if kind == 4:
        return regular(lon, lat, radius, np.sort(random.uniform(0, 6.28, random.integers(3, 9))))
    return [(*mangle_helpers.unit(*one), 1.0) for one in near[:2]]


def some_masks(count, seed):
    """Polygons, many of which overlap, and their weights; those that may be large come last."""
    random = np.random.default_rng(seed)
    return [some_polygon(kind, random) for kind in np.sort(random.integers(6, size=count))], random.random(
        count
    )


# -- other people's software --------------------------------------------------------------------------------


@pytest.mark.gpl
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("convention", ["OBSERVED", "MER"])
def test_pymangle_finds_the_map_in_our_file(place, convention, tmp_path):
    """Numbers, weights, areas and positions of acceptance experiment 7."""
    pymangle = mangle_helpers.pymangle()
    lon, lat = PLACES[place]
    coverage = mangle_helpers.coverage(lon, lat)
    cells = coverage.map.cells
    mangle = MangleParameters(convention=convention)
    path = io.write_file(coverage, tmp_path / "a.ply", mangle=mangle)
    theirs, ours = pymangle.Mangle(str(path)), io.read_polygons(path)
    assert theirs.npoly == len(ours) == mangle_helpers.polygons_of(path)
    weights = np.asarray(theirs.weights, np.float64)
    assert np.array_equal(weights, ours.weights)
    assert np.asarray(theirs.areas, np.float64) == pytest.approx(ours.areas / SQUARE_DEGREE, rel=1e-14)
    area = float(np.sum(theirs.areas))
    assert area == pytest.approx(cells.area_deg2, rel=1e-6)
    weighted = float(np.sum(weights * theirs.areas))
    observed = weighted if convention == "OBSERVED" else area - weighted
    assert observed == pytest.approx(coverage.map.integral_deg2(), rel=1e-6)
    points = mangle_helpers.points_near(lon, lat, 0.3, 4000)
    found = np.asarray(theirs.weight(*points), np.float64)
    assert np.array_equal(found, ours.weight_at(*points))
    assert np.array_equal(np.asarray(theirs.contains(*points), bool), ours.polygon_at(*points) >= 0)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("order", [12, 14])
def test_positions_and_areas_of_a_map_survive(place, order, tmp_path):
    lon, lat = PLACES[place]
    coverage = mangle_helpers.coverage(lon, lat, order=order, holes=0.02)
    mask = io.read_polygons(io.write_file(coverage, tmp_path / "a.ply"))
    near = 2e-6 if place == "seam" else 1e-6
    assert mask.area_deg2 == pytest.approx(coverage.map.cells.area_deg2, rel=near)
    assert mask.observed_area_deg2 == pytest.approx(coverage.map.integral_deg2(), rel=near)
    points = mangle_helpers.points_near(lon, lat, 0.3, 200_000)
    wrong = mask.weight_at(*points) != coverage.map.at(*points, absent=0.0)
    assert wrong.mean() <= 1e-4


@pytest.mark.gpl
@pytest.mark.parametrize("header", ["pixelization 0s\nsnapped", "real 10\nbalkanized"])
def test_pymangle_agrees_about_masks_of_any_make(header, tmp_path):
    """Also where polygons overlap: the first one counts."""
    pymangle = mangle_helpers.pymangle()
    polygons, weights = some_masks(120, 5)
    path = tmp_path / "a.ply"
    path.write_text(mask_text(polygons, weights, header=header))
    theirs, ours = pymangle.Mangle(str(path)), io.read_polygons(path)
    near = [mangle_helpers.points_near(*everywhere(1, k), 10.0, 500, k) for k in range(100)]
    lon, lat = np.concatenate((everywhere(50_000), *near), axis=1)
    found = ours.polygon_at(lon, lat)
    assert np.array_equal(theirs.polyid(lon, lat), found)
    assert np.array_equal(np.asarray(theirs.weight(lon, lat), np.float64), ours.weight_at(lon, lat))
    assert 50 < np.unique(found).size < 121


# -- positions ----------------------------------------------------------------------------------------------


def test_positions_have_any_shape(mask_of):
    mask = mask_of([[cap(0, 90, 1)], [cap(359.9, 0, 1)]], [0.25, 0.5])
    assert mask.weight_at(0.0, 89.5).shape == () and mask.weight_at(0.0, 89.5) == 0.25
    assert mask.weight_at([[0.5, -0.5], [360.5, 2]], 0.0).tolist() == [[0.5, 0.5], [0.5, 0]]
    assert mask.polygon_at(np.empty((0, 3)), np.empty((0, 3))).shape == (0, 3)
    assert mask.polygon_at([10, 0, 0], [90, -90, 0]).tolist() == [0, -1, 1]
    with pytest.raises(ValueError, match="must be"):
        mask.weight_at(0.0, 91.0)


def test_without_caps_a_polygon_is_everywhere_and_a_mask_without_polygons_nowhere(mask_of):
    points = everywhere(100)
    whole = mask_of([[], [cap(0, 0, 9)]])
    assert np.all(whole.polygon_at(*points) == 0) and whole.to_map(2).cells == CellSet.everything(2)
    empty = mask_of([])
    assert np.all(empty.weight_at(*points) == 0) and len(empty.to_map(5)) == 0
    assert empty.area_deg2 == empty.observed_area_deg2 == 0
    nothing = mask_of([[(0, 0, 1.0, 0.0)], [(0, 0, 1.0, -2.0)], [(0, 0, 1.0, 1.0), (0, 0, -1.0, 1.0)]])
    assert np.all(nothing.polygon_at(*points) == -1) and len(nothing.to_map(4)) == 0


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1 << 30))
def test_the_index_misses_no_polygon(seed):
    """Against every cap of every polygon."""
    polygons, weights = some_masks(12, seed)
    caps = np.array([one for polygon in polygons for one in polygon])
    first = np.concatenate(([0], np.cumsum([len(one) for one in polygons])))
    mask = MangleMask(caps, first, weights, np.full(12, np.nan))
    lon, lat = np.concatenate(
        (everywhere(300, seed), mangle_helpers.points_near(*everywhere(1, seed), 3, 100)), axis=1
    )
    points = np.stack(mangle_helpers.unit(lon, lat), axis=1)
    height = np.sum((points[:, None] - caps[:, :3]) ** 2, axis=2) / 2
    on_edge = (np.abs(height - np.abs(caps[:, 3])) < 1e-14).any(axis=1)
    inside = np.where(caps[:, 3] < 0, height > -caps[:, 3], height < caps[:, 3])
    held = np.stack([inside[:, a:b].all(axis=1) for a, b in pairwise(first)])
    expected = np.where(held.any(axis=0), held.argmax(axis=0), -1)
    assert np.array_equal(mask.polygon_at(lon, lat)[~on_edge], expected[~on_edge])


# -- maps ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [3, 8, 11])
def test_great_circles_and_single_circles_have_exact_shares(order, mask_of):
    triangle, square = [(10, -5), (20, -4), (14, 6)], [(350, 80), (80, 80), (170, 80), (260, 80)]
    mask = mask_of(
        [great_circles(triangle), great_circles(square), [cap(200, -40, 2.5)], [cap(280, 0, 1)]],
        [1, 0.5, 0.25, 1],
    )
    regions = [Polygon(triangle), Polygon(square), Cap(200, -40, 2.5), Cap(280, 0, 1)]
    found = mask.to_map(order)
    for region, weight in zip(regions, mask.weights, strict=True):
        expected = covered_fractions(region, order)
        inside = found.of_cells(expected.cells.cells(), 0.0)
        assert np.allclose(inside, weight * expected.values, rtol=0, atol=1e-9) or order == 3
    assert found.integral_deg2() == pytest.approx(mask.observed_area_deg2, rel=1e-9)
    assert mask.area_deg2 == pytest.approx(sum(one.area_deg2 for one in regions), rel=1e-9)


def test_a_cap_and_what_is_outside_it_are_everything(mask_of):
    mask = mask_of([[cap(100, 30, 20)], [cap(100, 30, 20, outside=True)]])
    found = mask.to_map(6)
    assert found.cells == CellSet.everything(6) and np.allclose(found.values, 1, rtol=0, atol=1e-12)
    assert mask.area_deg2 == pytest.approx(hpx.SQUARE_DEGREES_ON_THE_SPHERE, rel=1e-14)


def test_several_small_circles_are_divided_to_the_stated_accuracy(mask_of):
    """A rectangle between parallels, over a pole too, and a ring."""
    boxes = [(350, 371, -10, 12), (20, 110, 84, 90), (200, 207, -60, -50)]
    mask = mask_of([*(rectangle(*one) for one in boxes), [cap(150, 0, 5), cap(150, 0, 4, outside=True)]])
    found = mask.to_map(8)
    ring = Cap(150, 0, 5).area_deg2 - Cap(150, 0, 4).area_deg2
    area = sum(mangle_helpers.rectangle_deg2(*one) for one in boxes) + ring
    assert found.integral_deg2() == pytest.approx(area, rel=1e-5)
    exact = covered_fractions(Cap(150, 0, 5), 8).clip(found.cells)
    inner = covered_fractions(Cap(150, 0, 4), 8)
    expected = exact.values - inner.of_cells(exact.cells.cells(), 0.0)
    off = found.of_cells(exact.cells.cells(), 0.0) - expected
    cut = (expected > 0) & (expected < 1)
    assert off[cut].std() < 4e-4 and np.abs(off[~cut]).max() < 1e-9


def test_borders_along_parallels_and_meridians_lose_nothing(mask_of):
    """A whole sphere of rectangles whose edges pass through rows of cell centres."""
    boxes = [
        rectangle(a, a + 45, b, c) for a in range(0, 360, 45) for b, c in ((-90, 0), (0, 41.8), (41.8, 90))
    ]
    found = mask_of(boxes, header="snapped").to_map(5)
    assert found.cells == CellSet.everything(5)
    assert found.integral_deg2() == pytest.approx(hpx.SQUARE_DEGREES_ON_THE_SPHERE, rel=1e-6)


@pytest.mark.parametrize("header", ["snapped", "balkanized"])
def test_disjoint_neighbours_are_exact_whether_the_file_says_so_or_not(header, mask_of):
    corners = [(10, 10), (13, 10), (13, 14), (10, 14)], [(13, 10), (17, 10), (17, 14), (13, 14)]
    found = mask_of([great_circles(one) for one in corners], [1, 0.5], header).to_map(7)
    west, east = (covered_fractions(Polygon(one), 7) for one in corners)
    cells = found.cells.cells()
    expected = west.of_cells(cells, 0.0) + east.of_cells(cells, 0.0) / 2
    assert np.allclose(found.values, expected, rtol=0, atol=1e-9)


def test_where_polygons_overlap_the_first_counts_on_the_map_too(mask_of):
    mask = mask_of([[cap(50, 20, 3)], [cap(52, 20, 3)], [cap(51, 21, 1)]], [0.5, 1.0, 0.125], "snapped")
    found = mask.to_map(7)
    slow = mangle_helpers.brute_force(found, mask)
    assert np.abs(found.values - slow).max() < 0.02 and (found.values - slow).std() < 2e-3
    assert found.at([51.0], [20.5])[0] == 0.5
    union = mask_of([[cap(50, 20, 3)], [cap(52, 20, 3)]], header="snapped").to_map(7)
    assert union.values.max() == 1.0


def test_a_mean_is_over_what_is_covered(mask_of):
    mask = mask_of([great_circles([(10, 0), (12, 0), (12, 2), (10, 2)])], [25.0])
    assert np.allclose(mask.to_map(8, mean=True).values, 25.0, rtol=1e-12)
    assert mask.to_map(8).values.min() < 20


def test_maps_too_large_for_memory_are_refused(mask_of, monkeypatch):
    with pytest.raises(InputError, match="at most 67108864 cells, found 10313"):
        mask_of([[cap(0, 0, 60)]]).to_map(16)
    monkeypatch.setattr("vmpz.io.polygons.MOST_CELLS", 1000)
    with pytest.raises(InputError, match="at most 1000 cells, found more at order 6"):
        mask_of([rectangle(0, 80, -40, 40)]).to_map(6)


def test_arrays_that_do_not_belong_together_are_refused():
    caps, first, ones = np.array([[0, 0, 1.0, 1]]), np.array([0, 1]), np.ones(1)
    mask = MangleMask(caps, first, ones, ones)
    assert len(mask) == 1
    with pytest.raises(ValueError, match="read-only"):
        mask.weights[0] = 2
    for wrong in (
        (caps[:, :3], first, ones, ones),
        (caps, first[:1], ones, ones),
        (caps, first, ones, np.ones(2)),
        (caps, np.array([0, 2]), ones, ones),
        (caps, np.array([1, 1]), ones, ones),
        (2 * caps, first, ones, ones),
        (caps * np.nan, first, ones, ones),
    ):
        with pytest.raises(InputError):
            MangleMask(*wrong)
