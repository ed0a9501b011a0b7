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

__all__ = ["cover", "first_holding", "holders", "outlines", "quadrilaterals", "register"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

INSIDE, OUTSIDE, BETWEEN = 1, -1, 0
GREAT = 1e-12  # |cm - 1| of a great circle
SAME = 1e-13  # radian: vectors so close are one, edges so short are none
LONGEST_EDGE = 3.1  # radian
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
def _centre(face: int, ix: int, iy: int, order: int) -> tuple[float, float, float]:
    """Unit vector of the centre of a cell, by its base face and coordinates there (Gorski et al. 2005)."""
    size = 1.0 / (np.int64(1) << order)
    x, y = size * (ix + 0.5), size * (iy + 0.5)
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
    x, y, z = _centre(face, ix, iy, order)
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
    return (face << (2 * order)) | spread(ix) | (spread(iy) << 1)


@njit(cache=True, nogil=True)
def _grown(rows: IntArray, count: int) -> IntArray:
    """The same rows, with room for one more."""
    if count < len(rows):
        return rows
    more = np.empty((2 * len(rows), rows.shape[1]), np.int64)
    more[:count] = rows[:count]
    return more


@njit(cache=True, nogil=True)
def _push(stack: IntArray, place: int, face: int, ix: int, iy: int, order: int) -> None:
    stack[place, 0], stack[place, 1], stack[place, 2], stack[place, 3] = face, ix, iy, order


@njit(cache=True, nogil=True, error_model="numpy")
def cover(
    caps: FloatArray, radii: FloatArray, first: IntArray, polygons: IntArray, order: int, deeper: int
) -> tuple[IntArray, IntArray]:
    """Cells that polygons touch, and how much of each they hold, counted in sub-cells.

    A cell is inside, outside or divided, down to `deeper` orders below its own, where the centre decides.

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
                x, y, z = _centre(face, ix, iy, level)
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
    x, y, z = _centre(face, ix, iy, order)
    apart = min(circle[3] + REACH[order], math.pi)
    chord = 2.0 * math.sin(0.5 * apart)
    distance = (circle[0] - x) ** 2 + (circle[1] - y) ** 2 + (circle[2] - z) ** 2
    return distance <= chord * chord


@njit(cache=True, nogil=True, error_model="numpy")
def register(circles: FloatArray) -> IntArray:
    """A few cells that cover each circle, no smaller than its radius: for finding the polygons near a point.

    Parameters
    ----------
    circles : float64 (n, 4)
        Unit vector of the centre, radius in radian.

    Returns
    -------
    int64 (m, 3)
        Order, cell, circle.
    """
    rows = np.empty((4 * len(circles) + 16, 3), np.int64)
    count = 0
    stack = np.empty((12 + 3 * DEEPEST, 4), np.int64)
    for k in range(len(circles)):
        order = 0
        while order < DEEPEST and SIDE > 2.0 * circles[k, 3] * (np.int64(1) << order):
            order += 1
        for face in range(12):
            _push(stack, face, face, 0, 0, 0)
        size = 12
        while size > 0:
            size -= 1
            face, ix, iy, level = stack[size, 0], stack[size, 1], stack[size, 2], stack[size, 3]
            if not _meets(circles[k], face, ix, iy, level):
                continue
            if level < order:
                for j in range(4):
                    _push(stack, size, face, 2 * ix + (j & 1), 2 * iy + (j >> 1), level + 1)
                    size += 1
                continue
            rows = _grown(rows, count)
            rows[count, 0], rows[count, 1], rows[count, 2] = level, _number(face, ix, iy, level), k
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
    """Mean weight of cells over their sub-cells, where the first polygon that holds a centre counts.

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
        Mean weight, 0 where no polygon is; part of the centres that a polygon holds.
    shared : bool (m,)
        Whether two polygons hold one of the centres.
    """
    weight, share, shared = np.zeros(len(faces)), np.zeros(len(faces)), np.zeros(len(faces), np.bool_)
    side = np.int64(1) << deeper
    for i in range(len(faces)):
        face, ix, iy = faces[i, 0], faces[i, 1], faces[i, 2]
        for sub in range(side * side):
            x, y, z = _centre(face, side * ix + sub % side, side * iy + sub // side, order + deeper)
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


# -- edges --------------------------------------------------------------------------------------------------


@njit(cache=True, nogil=True, error_model="numpy")
def _across(a: float, b: float, c: float) -> tuple[float, float, float]:
    """A unit vector across another."""
    if abs(c) < 0.9:
        size = math.sqrt(a * a + b * b)
        return -b / size, a / size, 0.0
    size = math.sqrt(b * b + c * c)
    return 0.0, -c / size, b / size


@njit(cache=True, nogil=True, error_model="numpy")
def _edge(caps: FloatArray, k: int, begin: int, end: int, arc: FloatArray) -> bool:
    """The part of the great circle of cap k that bounds the polygon, as an arc of `clipping`; False if there is none."""
    a, b, c = caps[k, 0], caps[k, 1], caps[k, 2]
    ux, uy, uz = _across(a, b, c)
    vx, vy, vz = b * uz - c * uy, c * ux - a * uz, a * uy - b * ux
    low, high, middle, bounded = -math.pi, math.pi, 0.0, False
    for j in range(begin, end):
        if j == k:
            continue
        p, q, r = caps[j, 0], caps[j, 1], caps[j, 2]
        along, across = p * ux + q * uy + r * uz, p * vx + q * vy + r * vz
        if along * along + across * across < SAME * SAME:
            if a * p + b * q + c * r < 0.0 or j < k:  # nothing lies between; or the same cap once more
                return False
            continue
        apart = math.atan2(across, along) - middle
        apart -= 2.0 * math.pi * math.floor(apart / (2.0 * math.pi) + 0.5)
        if bounded:
            low, high = max(low, apart - 0.5 * math.pi), min(high, apart + 0.5 * math.pi)
        else:
            low, high, bounded = apart - 0.5 * math.pi, apart + 0.5 * math.pi, True
        if high - low < SAME:
            return False
        shift = 0.5 * (low + high)
        middle, low, high = middle + shift, low - shift, high - shift
    if not bounded or high - low > LONGEST_EDGE:
        return False
    cos, sin = math.cos(middle + low), math.sin(middle + low)
    arc[:3] = 0.0
    arc[3], arc[4], arc[5] = ux * cos + vx * sin, uy * cos + vy * sin, uz * cos + vz * sin
    arc[6], arc[7], arc[8] = vx * cos - ux * sin, vy * cos - uy * sin, vz * cos - uz * sin
    arc[9] = high - low
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def _chain(arcs: FloatArray, begin: int, end: int) -> None:
    """Sort the arcs around a polygon, each beginning where the one before ends."""
    for k in range(begin, end - 2):
        cos, sin = math.cos(arcs[k, 9]), math.sin(arcs[k, 9])
        next_one, nearest = k + 1, 9.0
        for j in range(k + 1, end):
            distance = 0.0
            for i in range(3, 6):
                distance += (arcs[k, i] * cos + arcs[k, i + 3] * sin - arcs[j, i]) ** 2
            if distance < nearest:
                next_one, nearest = j, distance
        for i in range(10):
            arcs[k + 1, i], arcs[next_one, i] = arcs[next_one, i], arcs[k + 1, i]


@njit(cache=True, nogil=True, error_model="numpy")
def _excess(a: FloatArray, b: FloatArray, c: FloatArray) -> float:
    """Solid angle of a triangle, ``tan(E/2) = det / (1 + ab + bc + ca)``, the determinant of differences."""
    px, py, pz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    qx, qy, qz = c[0] - a[0], c[1] - a[1], c[2] - a[2]
    volume = a[0] * (py * qz - pz * qy) + a[1] * (pz * qx - px * qz) + a[2] * (px * qy - py * qx)
    cosines = 0.0
    for i in range(3):
        cosines += a[i] * b[i] + b[i] * c[i] + c[i] * a[i]
    return 2.0 * math.atan2(volume, 1.0 + cosines)


@njit(cache=True, nogil=True, error_model="numpy")
def quadrilaterals(corners: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Great circles through the corners of quadrilaterals, and their areas.

    Parameters
    ----------
    corners : float64 (n, 4, 3)
        Unit vectors, counter-clockwise.

    Returns
    -------
    normals : float64 (n, 4, 3)
        Unit vectors that point inward, of the edges from each corner to the next.
    areas : float64 (n,)
        Steradian.
    """
    normals, areas = np.empty(corners.shape), np.empty(len(corners))
    for k in range(len(corners)):
        for j in range(4):
            a, b = corners[k, j], corners[k, (j + 1) & 3]
            dx, dy, dz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
            nx, ny, nz = a[1] * dz - a[2] * dy, a[2] * dx - a[0] * dz, a[0] * dy - a[1] * dx
            size = math.sqrt(nx * nx + ny * ny + nz * nz)
            normals[k, j, 0], normals[k, j, 1], normals[k, j, 2] = nx / size, ny / size, nz / size
        areas[k] = _excess(corners[k, 0], corners[k, 1], corners[k, 2])
        areas[k] += _excess(corners[k, 0], corners[k, 2], corners[k, 3])
    return normals, areas


@njit(cache=True, nogil=True, error_model="numpy")
def _circle(cap: FloatArray, arc: FloatArray) -> float:
    """The edge of a cap as an arc of `clipping`, and its solid angle."""
    a, b, c, cm = cap[0], cap[1], cap[2], abs(cap[3])
    side = 1.0 if cap[3] > 0.0 else -1.0
    size = math.sqrt(cm * (2.0 - cm))
    ux, uy, uz = _across(a, b, c)
    arc[0], arc[1], arc[2] = (1.0 - cm) * a, (1.0 - cm) * b, (1.0 - cm) * c
    arc[3], arc[4], arc[5] = size * ux, size * uy, size * uz
    size *= side
    arc[6], arc[7], arc[8] = size * (b * uz - c * uy), size * (c * ux - a * uz), size * (a * uy - b * ux)
    arc[9] = 2.0 * math.pi
    return 2.0 * math.pi * (cm if side > 0.0 else 2.0 - cm)


@njit(cache=True, nogil=True, error_model="numpy")
def _around(arcs: FloatArray, begin: int, end: int, circle: FloatArray) -> None:
    """A circle around a convex polygon, about the mean of its corners."""
    x, y, z = 0.0, 0.0, 0.0
    for k in range(begin, end):
        x, y, z = x + arcs[k, 3], y + arcs[k, 4], z + arcs[k, 5]
    size = math.sqrt(x * x + y * y + z * z)
    x, y, z = x / size, y / size, z / size
    chord2 = 0.0
    for k in range(begin, end):
        chord2 = max(chord2, (arcs[k, 3] - x) ** 2 + (arcs[k, 4] - y) ** 2 + (arcs[k, 5] - z) ** 2)
    if chord2 < 2.0:  # beyond a quarter turn the corners bound it no longer
        circle[0], circle[1], circle[2], circle[3] = x, y, z, 2.0 * math.asin(0.5 * math.sqrt(chord2))


@njit(cache=True, nogil=True, error_model="numpy")
def _smallest(caps: FloatArray, begin: int, end: int, circle: FloatArray) -> None:
    """The smallest of the caps as a circle; the whole sphere without caps."""
    least = 2.0
    circle[0], circle[1], circle[2], circle[3] = 0.0, 0.0, 1.0, math.pi
    for k in range(begin, end):
        side = 1.0 if caps[k, 3] >= 0.0 else -1.0
        height = caps[k, 3] if caps[k, 3] >= 0.0 else 2.0 + caps[k, 3]
        if height < least:
            least = max(height, 0.0)
            circle[0], circle[1], circle[2] = side * caps[k, 0], side * caps[k, 1], side * caps[k, 2]
            circle[3] = 2.0 * math.asin(math.sqrt(0.5 * least))


@njit(cache=True, nogil=True, error_model="numpy")
def outlines(caps: FloatArray, first: IntArray) -> tuple[IntArray, FloatArray, FloatArray, FloatArray]:
    """Outlines of the polygons that one circle bounds, or three great circles or more.

    Returns
    -------
    start : int64 (n + 1,)
        First arc of each polygon; none for other polygons and for those without an edge.
    arcs : float64 (m, 10)
        In the form of `vmpz.kernels.clipping`, counter-clockwise.
    areas : float64 (n,)
        Steradian; NaN where there are no arcs.
    circles : float64 (n, 4)
        Unit vector and radius of a circle around each polygon.
    """
    many = first.size - 1
    start, areas, circles = np.zeros(many + 1, np.int64), np.full(many, np.nan), np.empty((many, 4))
    arcs = np.empty((len(caps), 10))
    count = 0
    for polygon in range(many):
        begin, end = first[polygon], first[polygon + 1]
        found = 0
        _smallest(caps, begin, end, circles[polygon])
        if end - begin == 1 and 0.0 < abs(caps[begin, 3]) < 2.0:
            areas[polygon] = _circle(caps[begin], arcs[count])
            found = 1
        elif end - begin >= 3 and _are_great(caps, begin, end):
            for k in range(begin, end):
                if _edge(caps, k, begin, end, arcs[count + found]):
                    found += 1
            found = found if found >= 3 else 0
            if found:
                _chain(arcs, count, count + found)
                _around(arcs, count, count + found, circles[polygon])
                areas[polygon] = 0.0
            for k in range(count + 1, count + found - 1):
                areas[polygon] += _excess(arcs[count, 3:6], arcs[k, 3:6], arcs[k + 1, 3:6])
        count += found
        start[polygon + 1] = count
    return start, arcs[:count].copy(), areas, circles


@njit(cache=True, nogil=True)
def _are_great(caps: FloatArray, begin: int, end: int) -> bool:
    for k in range(begin, end):
        if abs(caps[k, 3] - 1.0) > GREAT:
            return False
    return True
