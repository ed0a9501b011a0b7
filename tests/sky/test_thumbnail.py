"""The view of a picture against the ZEA projection of astropy.wcs, and against cells that it must show."""

import numpy as np
import pytest
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st

from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.regions import Cap, covered_fractions
from vmpz.sky.thumbnail import _middle, _projected, _sky, view_of

POINTS = st.tuples(st.floats(0, 360), st.floats(-90, 90))


@given(POINTS, st.lists(POINTS, min_size=1, max_size=20))
def test_the_projection_is_zea(middle: tuple[float, float], points: list[tuple[float, float]]) -> None:
    lon, lat = np.array(points).T
    x, y = _projected(lon, lat, *middle)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---ZEA", "DEC--ZEA"]
    wcs.wcs.crval = middle
    wcs.wcs.cdelt = [-1.0, 1.0]
    expected = wcs.all_world2pix(lon, lat, 0)
    distance = np.hypot(x, y)
    near = distance < 1.99  # the opposite point is a circle
    # astropy counts pixels from its reference, 0-based here at -1
    assert np.degrees(x)[near] == pytest.approx(expected[0][near] + 1, abs=1e-5)
    assert np.degrees(y)[near] == pytest.approx(expected[1][near] + 1, abs=1e-5)


@given(POINTS, st.lists(st.tuples(st.floats(-1.3, 1.3), st.floats(-1.3, 1.3)), min_size=1, max_size=20))
def test_plane_to_sky_and_back(middle: tuple[float, float], points: list[tuple[float, float]]) -> None:
    x, y = np.array(points).T
    again = _projected(*_sky(x, y, *middle), *middle)
    assert again[0] == pytest.approx(x, abs=1e-7) and again[1] == pytest.approx(y, abs=1e-7)


def test_outside_the_sphere_is_no_sky() -> None:
    lon, lat = _sky(np.array([0.0, 2.1]), np.array([0.0, 0.0]), 10.0, 20.0)
    assert lon[0] == pytest.approx(10.0) and lat[0] == pytest.approx(20.0)
    assert np.isnan(lon[1]) and np.isnan(lat[1])


@pytest.mark.parametrize("centre", [(0.0, 0.0), (359.9, -51.5), (12.0, 90.0), (200.0, -89.5)])
@pytest.mark.parametrize("radius", [0.01, 1.0, 40.0])
def test_a_view_holds_all_cells_and_is_filled_by_them(centre: tuple[float, float], radius: float) -> None:
    order = max(3, int(np.ceil(np.log2(60.0 / radius))) + 4)
    cells = covered_fractions(Cap(*centre, radius), order).cells
    lon, lat, told = view_of(cells.cells(), order)
    shown = hpx.cells_at(lon, lat, order)
    assert "east to the left" in told
    share = np.mean(cells.index(shown) >= 0)
    assert 0.25 < share < 0.9
    edge = np.concatenate((shown[0], shown[-1], shown[:, 0], shown[:, -1]))
    assert np.mean(cells.index(edge) >= 0) < 0.02
    assert len(np.unique(shown[cells.index(shown) >= 0])) > 0.9 * min(len(cells), 200)
    assert lat[0].mean() > lat[-1].mean() or abs(centre[1]) > 89


def test_the_whole_sky_is_a_disc() -> None:
    lon, lat, told = view_of(CellSet.everything(3).cells(), 3)
    assert told.startswith("the sky") and _middle(*hpx.centres(np.arange(768), 3)) == (0.0, 0.0)
    known = np.isfinite(lon)
    assert not known[0, 0] and known[66, 110]
    counts = np.bincount(hpx.cells_at(lon[known], lat[known], 1), minlength=48)
    assert counts.min() > 0.85 * counts.mean() and counts.max() < 1.15 * counts.mean()  # equal areas
