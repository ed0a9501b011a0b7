"""Polygons of caps against cells and their outlines, compiled and interpreted."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmpz.kernels import caps, outlines
from vmpz.sky import hpx
from vmpz.sky.covers import unit_vectors
from vmpz.sky.regions import Polygon

EDGES = np.array([[1.0, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 1]])
OCTANT = np.array([0, 3])


def radii(rows):
    return np.where(
        np.abs(rows[:, 3]) < 2, 2 * np.arcsin(np.sqrt(np.minimum(np.abs(rows[:, 3]), 2) / 2)), 4.0
    )


def run(function, compiled, *arguments):
    return (function if compiled else function.py_func)(*arguments)


@pytest.mark.parametrize("compiled", [True, False])
def test_an_octant_by_hand(compiled):
    start, arcs, areas, circles = run(outlines.outlines, compiled, EDGES, OCTANT)
    assert start.tolist() == [0, 3] and areas[0] == pytest.approx(math.pi / 2, rel=1e-14)
    assert np.allclose(arcs[np.argmax(arcs[:, 3:6], axis=1).argsort(), 3:6], np.eye(3), atol=1e-15)
    assert np.allclose(arcs[:, 9], math.pi / 2)
    assert np.allclose(circles[0], [*[3**-0.5] * 3, math.acos(3**-0.5)])
    parts, whole = run(caps.cover, compiled, EDGES, radii(EDGES), OCTANT, np.array([0]), 2, 1)
    area = parts[:, 2].sum() / 4 + (whole[:, 2] - whole[:, 1]).sum()
    assert area == pytest.approx(hpx.number_of_cells(2) / 8, rel=0.05)
    rows = run(caps.register, compiled, EDGES, radii(EDGES), OCTANT, circles, np.array([1.2]))
    assert set(rows[:, 2]) == {0} and set(rows[:, 0]) == {0} and {0, 4, 5} <= set(rows[:, 1])


@pytest.mark.parametrize("compiled", [True, False])
def test_points_in_caps_by_hand(compiled):
    """The first polygon that holds a point, a small cap and a complement among them."""
    rows = np.array([[0, 0, 1.0, 1e-12], [0, 0, 1, -1e-12], [1, 0, 0, 1]])
    first = np.array([0, 1, 2, 3, 3])
    points = np.array([[0, 0, 1.0], [1e-6, 0, 1], [2e-6, 0, 1], [0.6, 0, 0.8], [-0.6, 0, 0.8]])
    best = np.full(5, 4)
    every = np.arange(4)
    run(caps.first_holding, compiled, points, np.zeros(5, int), np.full(5, 4), every, rows, first, best)
    assert best.tolist() == [0, 0, 1, 1, 1]
    best = np.full(5, 4)
    run(caps.first_holding, compiled, points, np.full(5, 2), np.full(5, 4), every, rows, first, best)
    assert best.tolist() == [3, 2, 2, 2, 3]  # the last has no caps: it is everywhere


def quadrilaterals(order, cells):
    corners = unit_vectors(*hpx.vertices(cells, order))
    return corners, *outlines.quadrilaterals(corners)


@pytest.mark.parametrize("order", [0, 1, 2, 3, 5])
def test_every_cell_is_a_convex_quadrilateral_and_its_outline_comes_back(order):
    corners, normals, areas = quadrilaterals(order, np.arange(hpx.number_of_cells(order)))
    rows = np.ones((len(corners), 4, 4))
    rows[..., :3] = normals[:, [2, 0, 3, 1]]
    start, arcs, found, circles = outlines.outlines(rows.reshape(-1, 4), 4 * np.arange(len(corners) + 1))
    assert np.all(np.diff(start) == 4)
    assert np.allclose(found, areas, rtol=1e-12)
    loops = arcs[:, 3:6].reshape(-1, 4, 3)
    turn = np.linalg.norm(loops[:, :1] - corners, axis=2).argmin(axis=1)
    assert np.allclose(loops, corners[np.arange(len(corners))[:, None], (turn[:, None] + np.arange(4)) % 4])
    assert np.all(np.einsum("nki,ni->nk", corners, circles[:, :3]) > np.cos(circles[:, 3:]) - 1e-12)


@pytest.mark.parametrize("order", [8, 14, 20, 29])
def test_small_cells(order):
    cells = np.random.default_rng(order).integers(0, hpx.number_of_cells(order), 2000)
    corners, normals, areas = quadrilaterals(order, cells)
    rows = np.concatenate((normals, np.ones((2000, 4, 1))), axis=2).reshape(-1, 4)
    start, arcs, found, _ = outlines.outlines(rows, 4 * np.arange(2001))
    side = math.sqrt(hpx.cell_area_sr(order))
    assert np.all(np.diff(start) == 4)
    loops = arcs[:, 3:6].reshape(-1, 4, 3)
    assert np.linalg.norm(loops[:, :, None] - corners[:, None], axis=3).min(axis=2).max() < 4e-15
    assert np.abs(found - areas).max() < 1e-14 * side
    away = np.abs(hpx.centres(cells, order)[1]) < 85
    assert np.abs(areas[away] / hpx.cell_area_sr(order) - 1).max() < (1e-3 if order == 8 else 2e-5)


@settings(deadline=None, max_examples=100)
@given(
    st.floats(0, 360),
    st.floats(-90, 90),
    st.floats(1e-4, 1.2),
    st.lists(st.floats(0, 2 * math.pi), min_size=3, max_size=8, unique=True),
)
def test_polygons_around_a_point(lon, lat, radius, turns):
    """Great circles at a distance from a point: area as of the polygon of the corners, redundant caps or not."""
    centre = unit_vectors(lon, lat)
    east = np.cross(centre, [0.36, 0.48, 0.8])
    east /= np.linalg.norm(east)
    north = np.cross(centre, east)
    turns = np.sort(turns)
    gaps = np.diff(np.append(turns, turns[0] + 2 * math.pi))
    if gaps.max() > 2.5 or gaps.min() < 0.05:
        return
    way = np.cos(turns)[:, None] * east + np.sin(turns)[:, None] * north
    rows = np.concatenate(
        (math.sin(radius) * centre - math.cos(radius) * way, np.ones((len(turns), 1))), axis=1
    )
    flipped = np.concatenate((-rows[:, :3], -rows[:, 3:]), axis=1)
    far = np.array([[*centre, 1.0]])
    areas = []
    for table in (rows, flipped[::-1], np.concatenate((rows, rows, far))):
        start, arcs, found, _ = outlines.outlines(table, np.array([0, len(table)]))
        if start[1] == 0:  # it reaches beyond the hemisphere of its point, where `far` cuts it
            return
        areas.append(found[0])
        corners = arcs[:, 3:6]
        ends = arcs[:, 3:6] * np.cos(arcs[:, 9:]) + arcs[:, 6:9] * np.sin(arcs[:, 9:])
        assert np.abs(ends - np.roll(corners, -1, axis=0)).max() < 1e-12
    corner_lon = np.degrees(np.arctan2(corners[:, 1], corners[:, 0]))
    corner_lat = np.degrees(np.arctan2(corners[:, 2], np.hypot(corners[:, 0], corners[:, 1])))
    expected = Polygon(np.stack((corner_lon, corner_lat), axis=1)).area_deg2 * math.radians(1) ** 2
    assert areas[0] == pytest.approx(areas[1], rel=1e-9)
    assert areas[2] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("rows", "area"),
    [
        ([[0, 0, 1, 0.5]], math.pi),
        ([[0, 0, 1, -0.5]], 3 * math.pi),
        ([[0, 0, 1, 1]], 2 * math.pi),
        ([[0, 0, 1, 2]], None),  # everything
        ([[0, 0, 1, 0]], None),  # nothing
        ([[0, 0, 1, 1], [0, 1, 0, 1]], None),  # edges of half a turn
        ([[0, 0, 1, 1], [0, 0, -1, 1], [1, 0, 0, 1]], None),  # nothing
        ([[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1]], None),
        ([[0, 0, 1, 1], [0, 1, 0, 1], [1, 0, 0, 0.9]], None),  # a small circle
    ],
)
def test_which_outlines_are_known(rows, area):
    table = np.array(rows, float)
    start, _, areas, _ = outlines.outlines(table, np.array([0, len(table)]))
    assert (start[1] > 0) == (area is not None)
    assert np.isnan(areas[0]) if area is None else areas[0] == pytest.approx(area, rel=1e-15)


def test_the_reach_of_cells_is_that_of_their_corners():
    for order in range(6):
        cells = np.arange(hpx.number_of_cells(order))
        middle = unit_vectors(*hpx.centres(cells, order))
        far = np.einsum("nki,ni->nk", unit_vectors(*hpx.vertices(cells, order)), middle).min()
        assert caps.REACH[order] == pytest.approx(math.acos(far), abs=1e-9)
        assert caps.REACH[order] >= math.acos(far) - 1e-12
