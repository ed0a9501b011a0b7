"""HEALPix geometry in degrees: the one importer of the HEALPix library.

All numbering is NESTED, all angles are ICRS degrees as ``lon, lat``, all cell numbers int64, and a resolution
is given as ``order`` (NSIDE = 2**order). Geometry comes from `cdshealpix`; the bit arithmetic of nested
numbers (faces, parents, NUNIQ) is exact integer arithmetic and lives here too.
"""

import math

import numpy as np
from astropy.coordinates import Latitude, Longitude
from astropy.units import deg
from cdshealpix import bilinear_interpolation, nested
from cdshealpix import from_ring as _from_ring
from cdshealpix import to_ring as _to_ring
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "EDGES",
    "MAX_ORDER",
    "FloatArray",
    "IntArray",
    "bilinear",
    "cell_area_deg2",
    "cell_area_sr",
    "cells_at",
    "centres",
    "face_coordinates",
    "faces",
    "from_ring",
    "from_uniq",
    "neighbours",
    "nested_cells",
    "number_of_cells",
    "positions",
    "to_ring",
    "to_uniq",
    "vertices",
]

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

MAX_ORDER = 29
EDGES = (1, 3, 4, 6)
"""Columns of `neighbours` across the edges: south-east, south-west, north-east, north-west; opposite ones mirrored."""
SQUARE_DEGREES_ON_THE_SPHERE = 4.0 * math.pi * (180.0 / math.pi) ** 2


def number_of_cells(order: int) -> int:
    """Number of cells on the whole sphere, 12 * 4**order."""
    return 12 << (2 * order)


def cell_area_sr(order: int) -> float:
    """Solid angle of one cell in steradian."""
    return 4.0 * math.pi / number_of_cells(order)


def cell_area_deg2(order: int) -> float:
    """Solid angle of one cell in square degrees."""
    return SQUARE_DEGREES_ON_THE_SPHERE / number_of_cells(order)


def cells_at(lon_deg: ArrayLike, lat_deg: ArrayLike, order: int) -> IntArray:
    """Cells that hold the given positions.

    Parameters
    ----------
    lon_deg, lat_deg : array_like
        ICRS degrees, same shape; any longitude, latitudes in [-90, 90].
    order : int
        0 to 29.

    Returns
    -------
    int64 array of the common shape.

    Raises
    ------
    ValueError
        A latitude lies outside [-90, 90].
    """
    lon, lat = np.broadcast_arrays(np.asarray(lon_deg, float), np.asarray(lat_deg, float))
    cells = nested.lonlat_to_healpix(_longitude(lon), Latitude(lat, deg), order, num_threads=1)
    numbers: IntArray = cells.astype(np.int64).reshape(lon.shape)
    return numbers


def bilinear(lon_deg: ArrayLike, lat_deg: ArrayLike, order: int) -> tuple[IntArray, FloatArray]:
    """The four cells around positions, and their weights, which sum to 1.

    Bilinear in the coordinates of the base faces, in which cells are squares: the four cells are those that meet at the
    corner nearest to the position, and each weighs by the area opposite to its centre. Where three cells meet, one is
    listed twice, once with weight 0. healpy's ``get_interp_weights`` is another definition: linear along the two rings
    around the position, and between them. A linear function on the sky comes out to second order where the map of the
    faces is smooth, to a tenth of its change over a cell's step at |sin lat| = 2/3, and to a third of it on the
    meridians in which faces meet around the poles (measured, orders 6 and 9; healpy: a fifth at the poles).

    Parameters
    ----------
    lon_deg, lat_deg : array_like (n,)
    order : int

    Returns
    -------
    cells : int64 (n, 4)
    weights : float64 (n, 4)

    Raises
    ------
    ValueError
        A latitude lies outside [-90, 90].
    """
    lon, lat = (np.atleast_1d(np.asarray(one, np.float64)) for one in (lon_deg, lat_deg))
    if lon.size == 0:
        return np.empty((0, 4), np.int64), np.empty((0, 4))
    cells, weights = bilinear_interpolation(_longitude(lon), Latitude(lat, deg), order, num_threads=1)
    return np.asarray(cells.data).astype(np.int64), np.asarray(weights.data)


def face_coordinates(lon_deg: ArrayLike, lat_deg: ArrayLike) -> tuple[IntArray, FloatArray, FloatArray]:
    """Base face (0-11) and equal-area coordinates x, y in [0, 1] inside it, of each position (degrees).

    The cell at an order is ``floor(x * nside), floor(y * nside)`` of that face (Gorski et al. 2005). Near the
    poles the distance is taken from the pole, so nothing is lost there.

    Raises
    ------
    ValueError
        A latitude lies outside [-90, 90].
    """
    lon, lat = np.broadcast_arrays(np.asarray(lon_deg, float), np.asarray(lat_deg, float))
    if np.any(np.abs(lat) > 90.0):
        raise ValueError("latitudes must lie in [-90, 90] degrees")
    quarter = np.floor(lon / 90.0)
    t, q = lon / 90.0 - quarter, np.mod(quarter, 4.0).astype(np.int64)
    z = np.sin(np.radians(lat))
    down, up = 0.5 + t - 0.75 * z, 0.5 + t + 0.75 * z
    left, right = np.floor(down), np.floor(up)
    nearest = q + np.minimum(left, right).astype(np.int64)
    belt_face = np.where(left == right, 4, np.where(left < right, 0, 8)) + nearest % 4
    s = math.sqrt(6.0) * np.sin(np.radians(90.0 - np.abs(lat)) / 2.0)
    north = lat > 0.0
    cap = np.abs(z) > 2.0 / 3.0
    face = np.where(cap, np.where(north, q, q + 8), belt_face)
    x = np.where(cap, np.where(north, 1.0 - (1.0 - t) * s, t * s), up - right)
    y = np.where(cap, np.where(north, 1.0 - t * s, (1.0 - t) * s), 1.0 - (down - left))
    return face, np.clip(x, 0.0, 1.0), np.clip(y, 0.0, 1.0)


def centres(cells: ArrayLike, order: int) -> tuple[FloatArray, FloatArray]:
    """Longitude and latitude (degrees) of the cell centres, shape of `cells`."""
    return positions(cells, order, 0.5, 0.5)


def positions(cells: ArrayLike, order: int, x: ArrayLike, y: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Longitude and latitude (degrees) of the points x, y in [0, 1) inside cells (broadcast shapes)."""
    ipix, dx, dy = np.broadcast_arrays(
        np.asarray(cells, np.uint64), np.asarray(x, np.float64), np.asarray(y, np.float64)
    )
    if ipix.size == 0:
        return np.empty(ipix.shape), np.empty(ipix.shape)
    # cdshealpix takes one offset a call for all cells, so group by offset when there are few, else go deeper.
    depth = MAX_ORDER
    if np.ndim(x) == 0 and np.ndim(y) == 0:
        lon, lat = nested.healpix_to_lonlat(ipix.ravel(), order, float(x), float(y), num_threads=1)  # type: ignore[arg-type]
    else:
        face, ix, iy = faces(ipix.astype(np.int64), order)
        scale = float(1 << (depth - order))
        deep = nested_cells(
            face,
            (ix << (depth - order)) + np.minimum(dx * scale, scale - 1).astype(np.int64),
            (iy << (depth - order)) + np.minimum(dy * scale, scale - 1).astype(np.int64),
            depth,
        )
        lon, lat = nested.healpix_to_lonlat(deep.ravel().astype(np.uint64), depth, num_threads=1)
    return np.asarray(lon.deg).reshape(ipix.shape), np.asarray(lat.deg).reshape(ipix.shape)


def vertices(cells: ArrayLike, order: int, step: int = 1) -> tuple[FloatArray, FloatArray]:
    """Corners of cells: longitudes and latitudes in degrees, shape ``(n, 4 * step)``, south corner first.

    `step` is the number of points along each edge (1 = the corners alone).
    """
    lon, lat = nested.vertices(np.atleast_1d(np.asarray(cells, np.uint64)), order, step, num_threads=1)
    return np.asarray(lon.deg), np.asarray(lat.deg)


def neighbours(cells: ArrayLike, order: int) -> IntArray:
    """Cells that touch each cell, int64 (n, 8): S, SE, E, SW, NE, W, NW, N as seen from it; -1 where there is none.

    Across an edge (`EDGES`) there is always one; beyond a corner none where only three cells meet.
    """
    number = np.asarray(cells, np.int64).ravel()
    if number.size == 0:
        return np.empty((0, 8), np.int64)
    table = nested.neighbours(number.astype(np.uint64), order, num_threads=1)
    return np.delete(np.asarray(table, np.int64), 4, axis=1)


def faces(cells: ArrayLike, order: int) -> tuple[IntArray, IntArray, IntArray]:
    """Base face and integer coordinates (ix, iy) of nested cells: even bits are x, odd bits are y."""
    number = np.asarray(cells, np.int64)
    inside = number & ((1 << (2 * order)) - 1)
    return number >> (2 * order), _every_other_bit(inside), _every_other_bit(inside >> 1)


def nested_cells(face: ArrayLike, ix: ArrayLike, iy: ArrayLike, order: int) -> IntArray:
    """Nested cell numbers of face coordinates; the inverse of `faces`."""
    return (
        (np.asarray(face, np.int64) << (2 * order))
        | _spread_bits(np.asarray(ix, np.int64))
        | (_spread_bits(np.asarray(iy, np.int64)) << 1)
    )


def from_ring(cells: ArrayLike, order: int) -> IntArray:
    """Nested cell numbers of RING cell numbers; files alone know that ordering."""
    number = np.asarray(cells, np.uint64)
    if number.size == 0:
        return np.empty(number.shape, np.int64)
    return np.asarray(_from_ring(number.ravel(), order, num_threads=1)).astype(np.int64).reshape(number.shape)


def to_ring(cells: ArrayLike, order: int) -> IntArray:
    """RING cell numbers of nested cell numbers; the inverse of `from_ring`."""
    number = np.asarray(cells, np.uint64)
    if number.size == 0:
        return np.empty(number.shape, np.int64)
    return np.asarray(_to_ring(number.ravel(), order, num_threads=1)).astype(np.int64).reshape(number.shape)


def to_uniq(cells: ArrayLike, order: ArrayLike) -> IntArray:
    """NUNIQ numbers, ``4 * 4**order + cell`` (IVOA MOC 2.0)."""
    return (np.int64(4) << (2 * np.asarray(order, np.int64))) + np.asarray(cells, np.int64)


def from_uniq(uniq: ArrayLike) -> tuple[IntArray, IntArray]:
    """Order and cell of NUNIQ numbers, by integer arithmetic alone (a floating log2 fails from order 24 on)."""
    number = np.asarray(uniq, np.int64)
    if number.size and int(number.min()) < 4:
        raise ValueError(f"a NUNIQ number must be at least 4, found {int(number.min())}")
    order = np.zeros(number.shape, np.int64)
    for step in (16, 8, 4, 2, 1):
        deeper = number >> (2 * (order + step)) >= 4
        order = np.where(deeper, order + step, order)
    return order, number - (np.int64(4) << (2 * order))


def _longitude(lon_deg: FloatArray) -> Longitude:
    return Longitude(np.mod(lon_deg, 360.0), deg)


_MASKS = (
    0x5555555555555555,
    0x3333333333333333,
    0x0F0F0F0F0F0F0F0F,
    0x00FF00FF00FF00FF,
    0x0000FFFF0000FFFF,
    0x00000000FFFFFFFF,
)


def _every_other_bit(number: IntArray) -> IntArray:
    number = number & _MASKS[0]
    for shift, mask in zip((1, 2, 4, 8, 16), _MASKS[1:], strict=True):
        number = (number | (number >> shift)) & mask
    return number


def _spread_bits(number: IntArray) -> IntArray:
    for shift, mask in zip((16, 8, 4, 2, 1), _MASKS[4::-1], strict=True):
        number = (number | (number << shift)) & mask
    return number
