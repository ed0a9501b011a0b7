"""Polygons of mangle files: intersections of caps, against points and HEALPix cells.

A cap is four numbers, a unit vector n and cm: the points p with ``1 - n.p < cm``, or where cm is negative those with
``1 - n.p > -cm``. A great circle has cm = 1. Distances are chords, ``1 - n.p = |n - p|**2 / 2``, so small caps lose no
digits. Polygon k has the caps from ``first[k]`` to ``first[k + 1]``; without caps it is the whole sphere.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from vmpz.kernels.clipping import spread

__all__ = ["cover", "first_holding", "holders", "register"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

INSIDE, OUTSIDE, BETWEEN = 1, -1, 0
SLACK = 1e-12  # radian, for rounding
SIDE = math.sqrt(math.pi / 3.0)  # of a cell of order 0
DEEPEST = 29


def _reach(order: int) -> float:
    """Largest distance, radian, between the centre and a corner of a cell of an order."""
    nside = float(1 << order)
    z, phi = 1.0 - (1.0 - 1.0 / nside) ** 2 / 3.0, 0.25 * math.pi / nside
    belt, rho = math.sqrt(5.0) / 3.0, math.sqrt((1.0 - z) * (1.0 + z))
    chord = math.hypot(belt * math.cos(phi) - rho, belt * math.sin(phi), 2.0 / 3.0 - z)
    return 2.0 * math.asin(0.5 * chord) + SLACK


REACH = np.array([_reach(order) for order in range(DEEPEST + 1)])
FACE_ROW = np.array([2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4], np.float64)
FACE_COLUMN = np.array([1, 3, 5, 7, 0, 2, 4, 6, 1, 3, 5, 7], np.float64)


@njit(cache=True, nogil=True)
def _holds(caps: FloatArray, begin: int, end: int, x: float, y: float, z: float) -> bool:
    """Whether a point lies in all caps from begin to end."""
    for k in range(begin, end):
        dx, dy, dz = caps[k, 0] - x, caps[k, 1] - y, caps[k, 2] - z
        height = 0.5 * (dx * dx + dy * dy + dz * dz)
        cm = caps[k, 3]
        if not (height > -cm if cm < 0.0 else height < cm):
            return False
    return True


@njit(cache=True, nogil=True)
def first_holding(
    points: FloatArray,
    begin: IntArray,
    end: IntArray,
    polygons: IntArray,
    caps: FloatArray,
    first: IntArray,
    best: IntArray,
) -> None:
    """Lower `best` to the first polygon that holds each point.

    Parameters
    ----------
    points : float64 (m, 3)
        Unit vectors.
    begin, end : int64 (m,)
        Candidates of each point in `polygons`, ascending there.
    polygons : int64 (k,)
    caps : float64 (c, 4)
    first : int64 (n + 1,)
    best : int64 (m,)
        Changed in place.
    """
    for i in range(best.size):
        for place in range(begin[i], end[i]):
            polygon = polygons[place]
            if polygon >= best[i]:
                break
            if _holds(caps, first[polygon], first[polygon + 1], points[i, 0], points[i, 1], points[i, 2]):
                best[i] = polygon
                break


# -- cells --------------------------------------------------------------------------------------------------


@njit(cache=True, nogil=True, error_model="numpy")
def _point(face: int, ix: int, iy: int, order: int, u: float, v: float) -> tuple[float, float, float]:
    """Unit vector of the point u, v in [0, 1] of a cell, by base face and coordinates there (Gorski et al. 2005)."""
    size = 1.0 / (np.int64(1) << order)
    x, y = size * (ix + u), size * (iy + v)
    row = FACE_ROW[face] - x - y
    north = row < 1.0
    if north or row > 3.0:
        ring = row if north else 4.0 - row
        z = 1.0 - ring * ring / 3.0
        rho = ring * math.sqrt((1.0 + z) / 3.0)
        z = z if north else -z
    else:
        ring, z = 1.0, (2.0 - row) * 2.0 / 3.0
        rho = math.sqrt((1.0 - z) * (1.0 + z))
    phi = 0.25 * math.pi * (FACE_COLUMN[face] + (x - y) / ring)
    return rho * math.cos(phi), rho * math.sin(phi), z


@njit(cache=True, nogil=True, error_model="numpy")
def _place(
    caps: FloatArray, radii: FloatArray, begin: int, end: int, face: int, ix: int, iy: int, order: int
) -> int:
    """Whether a cell lies INSIDE or OUTSIDE of a polygon; BETWEEN where its circumcircle leaves that open."""
    x, y, z = _point(face, ix, iy, order, 0.5, 0.5)
    reach = REACH[order]
    state = INSIDE
    for k in range(begin, end):
        a, b, c = caps[k, 0], caps[k, 1], caps[k, 2]
        near = (a - x) * (a - x) + (b - y) * (b - y) + (c - z) * (c - z)
        far = (a + x) * (a + x) + (b + y) * (b + y) + (c + z) * (c + z)
        within = radii[k] - 2.0 * math.atan2(math.sqrt(near), math.sqrt(far))
        if caps[k, 3] < 0.0:
            within = -within
        if within < -reach:
            return OUTSIDE
        if within <= reach:
            state = BETWEEN
    return state


@njit(cache=True, nogil=True)
def _number(face: int, ix: int, iy: int, order: int) -> int:
    """Nested number of a cell."""
    number: int = (face << (2 * order)) | spread(ix) | (spread(iy) << 1)
    return number


@njit(cache=True, nogil=True)
def _some_point(face: int, ix: int, iy: int, order: int) -> tuple[float, float, float]:
    """A point of a cell that looks drawn at random and is always the same (splitmix64 of its number).

    The centre will not do: parallels and meridians, which bound many masks, pass along whole rows of centres.
    """
    bits = np.uint64(_number(face, ix, iy, order)) * np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    bits ^= bits >> np.uint64(31)
    u, v = bits >> np.uint64(32), bits & np.uint64(0xFFFFFFFF)
    x, y, z = _point(face, ix, iy, order, u * 2.0**-32, v * 2.0**-32)
    return x, y, z


@njit(cache=True, nogil=True)
def _grown(rows: IntArray, count: int) -> IntArray:
    """The same rows, with room for one more."""
    if count < len(rows):
        return rows
    more = np.empty((2 * count, 3), np.int64)
    for k in range(count):
        more[k, 0], more[k, 1], more[k, 2] = rows[k, 0], rows[k, 1], rows[k, 2]
    return more


@njit(cache=True, nogil=True)
def _push(stack: IntArray, place: int, face: int, ix: int, iy: int, order: int) -> None:
    stack[place, 0], stack[place, 1], stack[place, 2], stack[place, 3] = face, ix, iy, order


@njit(cache=True, nogil=True, error_model="numpy")
def cover(
    caps: FloatArray, radii: FloatArray, first: IntArray, polygons: IntArray, order: int, deeper: int
) -> tuple[IntArray, IntArray]:
    """Cells that polygons touch, and how much of each they hold, counted in sub-cells.

    A cell is inside, outside or divided, down to `deeper` orders below its own, where any point of it decides.

    Parameters
    ----------
    caps : float64 (c, 4)
    radii : float64 (c,)
        Angle of the edge of each cap from its axis, radian; 4 for ``|cm| >= 2``.
    first : int64 (n + 1,)
    polygons : int64 (k,)
        Those to follow.
    order, deeper : int

    Returns
    -------
    parts : int64 (m, 3)
        Polygon, cell, sub-cells held: 1 to ``4**deeper``.
    whole : int64 (w, 3)
        Polygon, and the range of cells inside it.
    """
    parts, whole = np.empty((64, 3), np.int64), np.empty((64, 3), np.int64)
    many, ranges = 0, 0
    stack = np.empty((12 + 3 * (order + deeper), 4), np.int64)
    for polygon in polygons:
        begin, end = first[polygon], first[polygon + 1]
        for face in range(12):
            _push(stack, 11 - face, face, 0, 0, 0)
        size = 12
        while size > 0:
            size -= 1
            face, ix, iy, level = stack[size, 0], stack[size, 1], stack[size, 2], stack[size, 3]
            state = _place(caps, radii, begin, end, face, ix, iy, level)
            if state == BETWEEN and level < order + deeper:
                for k in range(3, -1, -1):
                    _push(stack, size, face, 2 * ix + (k & 1), 2 * iy + (k >> 1), level + 1)
                    size += 1
                continue
            if state == BETWEEN:
                x, y, z = _some_point(face, ix, iy, level)
                state = INSIDE if _holds(caps, begin, end, x, y, z) else OUTSIDE
            if state == OUTSIDE:
                continue
            cell = _number(face, ix, iy, level)
            if level <= order:
                shift = 2 * (order - level)
                whole = _grown(whole, ranges)
                whole[ranges, 0], whole[ranges, 1], whole[ranges, 2] = (
                    polygon,
                    cell << shift,
                    (cell + 1) << shift,
                )
                ranges += 1
                continue
            cell >>= 2 * (level - order)
            if many == 0 or parts[many - 1, 0] != polygon or parts[many - 1, 1] != cell:
                parts = _grown(parts, many)
                parts[many, 0], parts[many, 1], parts[many, 2] = polygon, cell, 0
                many += 1
            parts[many - 1, 2] += np.int64(1) << (2 * (order + deeper - level))
    return parts[:many].copy(), whole[:ranges].copy()


@njit(cache=True, nogil=True, error_model="numpy")
def _meets(circle: FloatArray, face: int, ix: int, iy: int, order: int) -> bool:
    """Whether the circumcircle of a cell meets a circle."""
    x, y, z = _point(face, ix, iy, order, 0.5, 0.5)
    apart = min(circle[3] + REACH[order], math.pi)
    chord = 2.0 * math.sin(0.5 * apart)
    distance = (circle[0] - x) ** 2 + (circle[1] - y) ** 2 + (circle[2] - z) ** 2
    return bool(distance <= chord * chord)


@njit(cache=True, nogil=True, error_model="numpy")
def register(
    caps: FloatArray, radii: FloatArray, first: IntArray, circles: FloatArray, sizes: FloatArray
) -> IntArray:
    """A few cells that cover each polygon, for finding the polygons near a point.

    Parameters
    ----------
    caps, radii, first
        As for `cover`.
    circles : float64 (n, 4)
        Unit vector and radius (radian) of a circle around each polygon.
    sizes : float64 (n,)
        Side, radian, above which cells are divided.

    Returns
    -------
    int64 (m, 3)
        Order, cell, polygon.
    """
    rows = np.empty((4 * len(circles) + 16, 3), np.int64)
    count = 0
    stack = np.empty((12 + 3 * DEEPEST, 4), np.int64)
    for polygon in range(len(circles)):
        begin, end = first[polygon], first[polygon + 1]
        order, side = 0, SIDE
        while order < DEEPEST and side > sizes[polygon]:
            order, side = order + 1, 0.5 * side
        for face in range(12):
            _push(stack, face, face, 0, 0, 0)
        size = 12
        while size > 0:
            size -= 1
            face, ix, iy, level = stack[size, 0], stack[size, 1], stack[size, 2], stack[size, 3]
            if not _meets(circles[polygon], face, ix, iy, level):
                continue
            if _place(caps, radii, begin, end, face, ix, iy, level) == OUTSIDE:
                continue
            if level < order:
                for j in range(4):
                    _push(stack, size, face, 2 * ix + (j & 1), 2 * iy + (j >> 1), level + 1)
                    size += 1
                continue
            rows = _grown(rows, count)
            rows[count, 0], rows[count, 1], rows[count, 2] = level, _number(face, ix, iy, level), polygon
            count += 1
    return rows[:count].copy()


@njit(cache=True, nogil=True)
def holders(
    faces: IntArray,
    order: int,
    deeper: int,
    start: IntArray,
    polygons: IntArray,
    caps: FloatArray,
    first: IntArray,
    weights: FloatArray,
) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
    """Mean weight of cells over points in their sub-cells, where the first polygon that holds a point counts.

    Parameters
    ----------
    faces : int64 (m, 3)
        Base face and coordinates there of each cell.
    order, deeper : int
        Of the cells; orders from them to the sub-cells.
    start : int64 (m + 1,)
        Candidates of each cell in `polygons`, ascending there.
    polygons : int64 (k,)
    caps, first, weights
        Of all polygons.

    Returns
    -------
    weight, share : float64 (m,)
        Mean weight, 0 where no polygon is; part of the points that a polygon holds.
    shared : bool (m,)
        Whether two polygons hold one of the points.
    """
    weight, share, shared = np.zeros(len(faces)), np.zeros(len(faces)), np.zeros(len(faces), np.bool_)
    side = np.int64(1) << deeper
    for i in range(len(faces)):
        face, ix, iy = faces[i, 0], faces[i, 1], faces[i, 2]
        for sub in range(side * side):
            column, row = side * ix + sub % side, side * iy + sub // side
            x, y, z = _some_point(face, column, row, order + deeper)
            found = 0
            for place in range(start[i], start[i + 1]):
                polygon = polygons[place]
                if _holds(caps, first[polygon], first[polygon + 1], x, y, z):
                    found += 1
                    if found == 2:
                        shared[i] = True
                        break
                    weight[i] += weights[polygon]
                    share[i] += 1.0
        weight[i] /= side * side
        share[i] /= side * side
    return weight, share, shared
