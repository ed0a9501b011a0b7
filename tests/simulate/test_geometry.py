"""Solid angles of the simulator against the exact spherical polygons of the sky room."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmpz.simulate import geometry
from vmpz.sky.regions import Polygon

SIDE = st.floats(-0.02, 0.02)
DEG2 = geometry.SQUARE_DEGREES_PER_STERADIAN


@given(SIDE, SIDE, st.floats(1e-4, 0.03), st.floats(1e-4, 0.03), st.floats(0, 360), st.floats(-90, 90))
@settings(max_examples=50, deadline=None)
def test_rectangles_have_the_area_of_the_spherical_polygon(x, y, width, height, lon, lat):
    box = np.array([(x, y), (x + width, y), (x + width, y + height), (x, y + height)])
    area = geometry.rectangle_area_sr(x, x + width, y, y + height)
    corners = np.stack(geometry.Plane.at(lon, lat).angles(*box.T), axis=1)
    assert Polygon(corners).area_deg2 == pytest.approx(area * DEG2, rel=1e-8, abs=1e-13)
    assert geometry.polygon_area_sr(box) == pytest.approx(area, rel=1e-10, abs=1e-16)
    assert geometry.polygon_area_sr(box[::-1]) == pytest.approx(-area, rel=1e-10, abs=1e-16)


def test_the_square_of_a_tile():
    half = np.tan(np.radians(0.25))
    assert geometry.rectangle_area_sr(-half, half, -half, half) * DEG2 == pytest.approx(0.24999841, abs=1e-8)


@given(st.integers(0, 2**32 - 1), st.floats(-0.01, 0.01), st.floats(-0.01, 0.01))
@settings(max_examples=50, deadline=None)
def test_clipping_cuts_without_loss(seed, x, y):
    """The four parts about a point add up to the polygon, concave or not."""
    draw = np.random.default_rng(seed)
    angle = np.sort(draw.uniform(0, 2 * np.pi, 9))
    star = (draw.uniform(0.003, 0.012, 9) * np.stack((np.cos(angle), np.sin(angle)))).T
    parts = [
        geometry.polygon_area_sr(geometry.clip_to_rectangle(star, x0, x1, y0, y1))
        for x0, x1 in ((-1, x), (x, 1))
        for y0, y1 in ((-1, y), (y, 1))
    ]
    assert sum(parts) == pytest.approx(geometry.polygon_area_sr(star), abs=1e-16)
    assert len(geometry.clip_to_rectangle(star, 0.5, 0.6, 0.5, 0.6)) == 0


@given(st.floats(0, 360, exclude_max=True), st.floats(-89.9, 89.9), SIDE, SIDE)
@settings(max_examples=50, deadline=None)
def test_projection_is_the_inverse_of_the_plane(lon, lat, x, y):
    plane = geometry.Plane.at(lon, lat)
    np.testing.assert_allclose(plane.project(plane.vectors(x, y)), (x, y), rtol=0, atol=1e-15)
    found = geometry.to_angles(plane.vectors(0.0, 0.0))
    assert abs((found[0] - lon + 180.0) % 360.0 - 180.0) * np.cos(np.radians(lat)) < 1e-12
    assert found[1] == pytest.approx(lat, abs=1e-12)
