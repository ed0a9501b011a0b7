import numpy as np
import pytest

from vmpz.io.envelope import envelope
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet


def vectors(lon, lat):
    lon, lat = np.radians(lon), np.radians(lat)
    return np.stack((np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)), axis=-1)


def patch(lon, lat, radius, order):
    side = np.linspace(-radius, radius, 60)
    x, y = (one.ravel() for one in np.meshgrid(side, side))
    near = np.clip(lat + y, -90, 90)
    return CellSet.from_cells(order, hpx.cells_at(lon + x / max(np.cos(np.radians(lat)), 0.02), near, order))


@pytest.mark.parametrize(
    ("lon", "lat", "radius", "order"),
    [
        (58, -51.5, 0.25, 12),
        (0, 0, 0.25, 14),
        (359.9, 41.8, 5, 9),
        (123, 89.9, 0.3, 12),
        (200, -89.99, 2, 10),
    ],
)
def test_a_region_has_one_convex_polygon_that_holds_every_corner(lon, lat, radius, order):
    cells = patch(lon, lat, radius, order)
    (polygon,) = envelope(cells)
    corners = vectors(*polygon.T)
    inward = np.cross(corners, np.roll(corners, -1, axis=0))
    points = vectors(*hpx.vertices(cells.cells(), order)).reshape(-1, 3)
    assert (points @ inward.T).min() > 0
    assert 3 <= len(polygon) <= 200
    middle = points.mean(axis=0)
    reach = (points @ (middle / np.linalg.norm(middle))).min()
    assert (corners @ (middle / np.linalg.norm(middle))).min() > 1 - 1.6 * (1 - reach) - 1e-9
    assert np.all((polygon[:, 0] >= 0) & (polygon[:, 0] < 360))


def test_what_is_too_wide_is_given_as_coarse_cells():
    wide = CellSet.from_cells(4, np.arange(0, 3072, 2))
    polygons = envelope(wide)
    assert 1 < len(polygons) <= 192
    assert all(one.shape == (4, 2) for one in polygons)
    assert len(envelope(CellSet.everything(3))) <= 192


def test_nothing_has_no_envelope():
    assert envelope(CellSet(5)) == ()
