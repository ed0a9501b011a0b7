"""Positions and vectors."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vmpz.sky.covers import lon_lat_deg, unit_vectors


@given(st.floats(-720.0, 720.0), st.floats(-89.0, 89.0), st.floats(1e-3, 1e3))
def test_positions_of_vectors_are_those_that_made_them(lon: float, lat: float, length: float) -> None:
    found, height = lon_lat_deg(length * unit_vectors([lon], [lat]))
    assert 0.0 <= found[0] < 360.0
    assert abs((found[0] - lon + 180.0) % 360.0 - 180.0) < 1e-11 and abs(height[0] - lat) < 1e-11


def test_no_longitude_is_360() -> None:
    lon, lat = lon_lat_deg([[1.0, -1e-20, 0.0], [0.0, 0.0, -2.0]])
    assert lon.tolist() == [0.0, 0.0] and lat.tolist() == [0.0, -90.0]
    assert np.shape(lon_lat_deg([0.0, 1.0, 0.0])[0]) == ()
