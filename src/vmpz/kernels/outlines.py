"""Outlines of the polygons that circles bound, from their caps, and caps from outlines.

The great circles of a convex polygon are known by its caps; which part of each bounds it is where all other caps hold,
an intersection of half circles. Arcs have the form of `vmpz.kernels.clipping`; what a cap is says `vmpz.kernels.caps`.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["outlines", "quadrilaterals"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

GREAT = 1e-12  # difference of |cm| from 1 of a great circle
SAME = 1e-13  # radian: vectors so close are one, edges so short are none
LONGEST_EDGE = 3.1  # radian
CLOSED = 1e-11  # radian: a gap that is none


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
    """The part of the circle of cap k, a great one, that bounds the polygon, as an arc; False if there is none."""
    side = math.copysign(1.0, caps[k, 3])
    a, b, c = side * caps[k, 0], side * caps[k, 1], side * caps[k, 2]
    ux, uy, uz = _across(a, b, c)
    vx, vy, vz = b * uz - c * uy, c * ux - a * uz, a * uy - b * ux
    low, high, middle, bounded = -math.pi, math.pi, 0.0, False
    for j in range(begin, end):
        if j == k:
            continue
        side = math.copysign(1.0, caps[j, 3])
        p, q, r = side * caps[j, 0], side * caps[j, 1], side * caps[j, 2]
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
    arc[0], arc[1], arc[2] = 0.0, 0.0, 0.0
    arc[3], arc[4], arc[5] = ux * cos + vx * sin, uy * cos + vy * sin, uz * cos + vz * sin
    arc[6], arc[7], arc[8] = vx * cos - ux * sin, vy * cos - uy * sin, vz * cos - uz * sin
    arc[9] = high - low
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def _apart2(one: FloatArray, other: FloatArray) -> float:
    """Squared distance between the end of an arc and the beginning of another."""
    cos, sin = math.cos(one[9]), math.sin(one[9])
    distance = 0.0
    for i in range(3, 6):
        distance += (one[i] * cos + one[i + 3] * sin - other[i]) ** 2
    return distance


@njit(cache=True, nogil=True, error_model="numpy")
def _chain(arcs: FloatArray, begin: int, end: int) -> bool:
    """Sort the arcs around a polygon, each beginning where the one before ends; whether they close."""
    for k in range(begin, end - 2):
        nearest = k + 1
        for j in range(k + 2, end):
            if _apart2(arcs[k], arcs[j]) < _apart2(arcs[k], arcs[nearest]):
                nearest = j
        for i in range(10):
            arcs[k + 1, i], arcs[nearest, i] = arcs[nearest, i], arcs[k + 1, i]
    gap = 0.0
    for k in range(begin, end):
        gap = max(gap, _apart2(arcs[k], arcs[k + 1 if k + 1 < end else begin]))
    return gap < CLOSED * CLOSED


@njit(cache=True, nogil=True, error_model="numpy")
def _excess(a: FloatArray, b: FloatArray, c: FloatArray) -> float:
    """Solid angle of a triangle, ``tan(E/2) = det / (1 + ab + bc + ca)``, the determinant of differences."""
    px, py, pz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    qx, qy, qz = c[0] - a[0], c[1] - a[1], c[2] - a[2]
    volume = a[0] * (py * qz - pz * qy) + a[1] * (pz * qx - px * qz) + a[2] * (px * qy - py * qx)
    cosines = 0.0
    for i in range(3):
        cosines += a[i] * b[i] + b[i] * c[i] + c[i] * a[i]
    excess: float = 2.0 * math.atan2(volume, 1.0 + cosines)
    return excess


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
    return 2.0 * math.pi * float(cm if side > 0.0 else 2.0 - cm)


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
    start, areas, circles = np.zeros(many + 1, np.int64), np.empty(many), np.empty((many, 4))
    arcs = np.empty((len(caps), 10))
    count = 0
    for polygon in range(many):
        begin, end = first[polygon], first[polygon + 1]
        found, great = 0, 0
        areas[polygon] = np.nan
        for k in range(begin, end):
            great += abs(abs(caps[k, 3]) - 1.0) <= GREAT
        _smallest(caps, begin, end, circles[polygon])
        if end - begin == 1 and 0.0 < abs(caps[begin, 3]) < 2.0:
            areas[polygon] = _circle(caps[begin], arcs[count])
            found = 1
        elif great == end - begin >= 3:
            for k in range(begin, end):
                if _edge(caps, k, begin, end, arcs[count + found]):
                    found += 1
            found = found if found >= 3 and _chain(arcs, count, count + found) else 0
            if found:
                _around(arcs, count, count + found, circles[polygon])
                areas[polygon] = 0.0
            for k in range(count + 1, count + found - 1):
                areas[polygon] += max(_excess(arcs[count, 3:6], arcs[k, 3:6], arcs[k + 1, 3:6]), 0.0)
        count += found
        start[polygon + 1] = count
    return start, arcs[:count].copy(), areas, circles
