"""The envelope of a set of cells as polygons, for the descriptor.

The convex hull is taken in the gnomonic plane about the mean direction, where great circles are straight, of
a few hundred coarse cells, and drawn larger by the share that their curved edges may bulge: the polygon covers
every cell. A set that reaches farther than 60 degrees from its middle is given as the quadrilaterals of coarse
cells.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.covers import unit_vectors

__all__ = ["coarse_cells", "envelope"]

ENOUGH = 512
REACH = 0.5
"""Cosine of the farthest distance from the middle that is projected."""

Vectors = NDArray[np.float64]


def envelope(cells: CellSet) -> tuple[NDArray[np.float64], ...]:
    """Polygons (n, 2) of ICRS longitudes and latitudes in degrees that cover all cells; none for the empty set."""
    return _around(coarse_cells(cells)) if cells else ()


def coarse_cells(cells: CellSet) -> CellSet:
    """The few cells about all of them that the envelope looks at: those of both have the same."""
    return _coarse(cells, ENOUGH)


@lru_cache(maxsize=64)
def _around(coarse: CellSet) -> tuple[NDArray[np.float64], ...]:
    """Kept for the products of one area, most of which stand on the same cells."""
    corners = unit_vectors(*hpx.vertices(coarse.cells(), coarse.order, step=4))
    points = corners.reshape(-1, 3)
    middle = points.mean(axis=0)
    length = float(np.linalg.norm(middle))
    if length < REACH or float((points @ (middle / length)).min()) < REACH:
        few = _coarse(coarse, 192)
        lon, lat = hpx.vertices(few.cells(), few.order)
        return tuple(np.stack((one, other), axis=1) for one, other in zip(lon, lat, strict=True))
    bulge = np.sqrt(hpx.cell_area_sr(coarse.order))
    return (_hull(points, middle / length, 1.0 + bulge),)


def _coarse(cells: CellSet, most: int) -> CellSet:
    order = cells.order
    while len(cells.at_order(order)) > most:
        order -= 1
    return cells.at_order(order)


def _hull(points: Vectors, middle: Vectors, scale: float) -> NDArray[np.float64]:
    """Convex hull of directions in the plane about `middle`, drawn larger by `scale`."""
    east = np.cross([0.0, 0.0, 1.0], middle) if abs(middle[2]) < 0.9 else np.cross([1.0, 0.0, 0.0], middle)
    east /= np.linalg.norm(east)
    north = np.cross(middle, east)
    depth = points @ middle
    flat = np.unique(np.stack((points @ east / depth, points @ north / depth), axis=1), axis=0)
    chain = _half(flat)[:-1] + _half(flat[::-1])[:-1]
    x, y = scale * np.array(chain).T
    corner = middle + x[:, None] * east + y[:, None] * north
    lon = np.degrees(np.arctan2(corner[:, 1], corner[:, 0])) % 360.0
    return np.stack((lon, np.degrees(np.arcsin(corner[:, 2] / np.linalg.norm(corner, axis=1)))), axis=1)


def _half(points: NDArray[np.float64]) -> list[tuple[float, float]]:
    """Lower half of the hull of points sorted by x (Andrew's monotone chain)."""
    chain: list[tuple[float, float]] = []
    for x, y in points.tolist():
        while len(chain) > 1:
            (ax, ay), (bx, by) = chain[-2:]
            if (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 1e-15:
                break
            chain.pop()
        chain.append((x, y))
    return chain
