"""HEALPix geometry against itself; other people's libraries are in `test_sky_interoperability`."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sky_helpers import mp_point
from vmpz.sky import hpx

orders = st.integers(0, 29)


@st.composite
def cells_of_an_order(draw):
    order = draw(orders)
    return order, draw(st.lists(st.integers(0, hpx.number_of_cells(order) - 1), min_size=1, max_size=20))


def test_numbers_and_areas():
    assert hpx.number_of_cells(0) == 12 and hpx.number_of_cells(29) == 12 * 4**29
    assert hpx.cell_area_deg2(14) == pytest.approx(1 / 78084.709, rel=1e-8)
    assert hpx.cell_area_sr(11) * (180 / np.pi) ** 2 == pytest.approx(hpx.cell_area_deg2(11), rel=1e-15)


@settings(max_examples=60, deadline=None)
@given(cells_of_an_order())
def test_centres_lie_in_their_cells(drawn):
    order, cells = drawn
    assert hpx.cells_at(*hpx.centres(cells, order), order).tolist() == cells


@settings(max_examples=60, deadline=None)
@given(cells_of_an_order())
def test_faces_and_uniq_invert(drawn):
    order, cells = drawn
    face, ix, iy = hpx.faces(cells, order)
    assert hpx.nested_cells(face, ix, iy, order).tolist() == cells
    assert np.all((face >= 0) & (face < 12) & (ix >= 0) & (ix < 2**order) & (iy >= 0) & (iy < 2**order))
    back_order, back = hpx.from_uniq(hpx.to_uniq(cells, order))
    assert set(back_order.tolist()) == {order} and back.tolist() == cells


@pytest.mark.parametrize("order", range(30))
def test_uniq_of_the_first_and_last_cell(order):
    ends = np.array([0, hpx.number_of_cells(order) - 1])
    uniq = hpx.to_uniq(ends, order)
    assert uniq.tolist() == [4 * 4**order, 16 * 4**order - 1]
    assert [one.tolist() for one in hpx.from_uniq(uniq)] == [[order, order], ends.tolist()]


def test_uniq_below_four_is_refused():
    with pytest.raises(ValueError, match="at least 4"):
        hpx.from_uniq([16, 3])


@settings(max_examples=40, deadline=None)
@given(st.floats(-720, 720), st.floats(-90, 90), orders)
def test_face_coordinates_give_the_cell(lon, lat, order):
    face, x, y = hpx.face_coordinates(lon, lat)
    near = 1e-9 * 2**order
    across, up = float(x) * 2**order, float(y) * 2**order
    if min(across % 1, 1 - across % 1, up % 1, 1 - up % 1) > near:
        assert hpx.cells_at(lon, lat, order) == hpx.nested_cells(face, int(across), int(up), order)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 24), st.data())
def test_positions_are_the_equal_area_points(order, data):
    cell = data.draw(st.integers(0, hpx.number_of_cells(order) - 1))
    x, y = data.draw(st.floats(0.01, 0.99)), data.draw(st.floats(0.01, 0.99))
    (face,), (ix,), (iy,) = (one.tolist() for one in hpx.faces([cell], order))
    vector = mp_point(face, (ix + mp.mpf(x)) / 2**order, (iy + mp.mpf(y)) / 2**order)
    for lon, lat in (hpx.positions(cell, order, x, y), hpx.positions([cell], order, [x], [y])):
        lon, lat = np.radians(np.ravel(lon)[0]), np.radians(np.ravel(lat)[0])
        found = (np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat))
        assert [float(one) for one in vector] == pytest.approx(found, abs=4e-9)


@pytest.mark.parametrize(
    "place", [(0, -90), (123, 90), (360, 0), (-1e-20, 45), (45, 0), (89.9999999999, -89.99999)]
)
def test_face_coordinates_are_finite_everywhere(place):
    face, x, y = hpx.face_coordinates(*place)
    assert 0 <= face < 12 and 0 <= x <= 1 and 0 <= y <= 1


def test_shapes_are_kept():
    lon = np.zeros((3, 4))
    assert hpx.cells_at(lon, 10.0, 5).shape == (3, 4)
    assert hpx.centres(np.zeros((2, 3), int), 4)[0].shape == (2, 3)
    assert hpx.positions(np.zeros((2, 1), int), 4, np.full(5, 0.5), 0.5)[1].shape == (2, 5)
    assert hpx.positions(np.empty(0, int), 4, 0.5, 0.5)[0].shape == (0,)
    assert hpx.vertices([1, 2, 3], 4, 8)[0].shape == (3, 32)
    assert hpx.cells_at(10.0, 20.0, 3).shape == ()


def test_vertices_surround_the_cell():
    _, lat = hpx.vertices([700], 4)
    assert hpx.centres([700], 4)[1][0] == pytest.approx(lat[0, [0, 2]].mean(), abs=0.5)
    assert lat[0, 0] == lat.min()


def test_latitudes_beyond_the_poles_are_refused():
    with pytest.raises(ValueError, match=r"[Ll]atitude"):
        hpx.cells_at(0.0, 90.1, 3)
    with pytest.raises(ValueError, match=r"[Ll]atitude"):
        hpx.face_coordinates(0.0, -90.1)


@given(cells_of_an_order())
def test_ring_and_nested_numbers_are_one_another_s_inverse(given_cells):
    order, cells = given_cells
    ring = hpx.to_ring(cells, order)
    np.testing.assert_array_equal(hpx.from_ring(ring, order), cells)
    assert ring.min() >= 0 and ring.max() < hpx.number_of_cells(order)


@given(orders, st.integers(0, 2**32))
@settings(max_examples=50)
def test_bilinear_weights_are_those_of_four_cells_around(order, seed):
    rng = np.random.default_rng(seed)
    lon, lat = rng.uniform(0, 360, 50), np.degrees(np.arcsin(rng.uniform(-1, 1, 50)))
    cells, weights = hpx.bilinear(lon, lat, order)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-12)
    assert weights.min() >= 0
    held = hpx.cells_at(lon, lat, order)
    assert (cells == held[:, None]).any(axis=1).all()
    four = np.diff(np.sort(cells, axis=1), axis=1).all(axis=1)
    np.testing.assert_array_equal(cells[four, weights[four].argmax(axis=1)], held[four])  # it is the heaviest
    assert (weights[~four].min(axis=1) == 0).all()


def test_bilinear_is_linear_in_the_coordinates_of_a_face():
    """Away from the borders of faces: cell (ix, iy) is a point of a lattice, and x + 10 y is reproduced."""
    rng = np.random.default_rng(1)
    order, x, y = 6, rng.uniform(0.02, 0.98, 500), rng.uniform(0.02, 0.98, 500)
    lon, lat = hpx.positions(rng.integers(0, 12, 500), 0, x, y)
    cells, weights = hpx.bilinear(lon, lat, order)
    _, ix, iy = hpx.faces(cells, order)
    _, u, v = hpx.face_coordinates(lon, lat)
    found = (weights * (ix + 0.5 + 10 * (iy + 0.5))).sum(axis=1) / 64
    np.testing.assert_allclose(found, u + 10 * v, rtol=1e-9)
