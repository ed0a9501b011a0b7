"""Pixels inside small regions of the sky, and runs cut where such a region begins or ends.

Over a patch of the image the direction of a pixel is biquadratic in row and column to within a guard, as in
`pixelcells`. A region is a ring about a centre (a disc where its inner circle is none) or a polygon of great-circle
edges, in the gnomonic plane about its centre, where these are straight. The distance from a pixel to the boundary
says how many pixels of its row have the same state, so that a row costs a few looks however long it is. Pixels closer
to the boundary than the guard are left to the caller.
"""

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["cut_runs", "draw"]

OUTSIDE, INSIDE, CROSSED = 0, 1, 2
GROUP = 16
"""Patches that are passed over together."""

NEVER = 1e300
NARROWEST = 0.3
"""Least cosine of the angle between the centre of a polygon and a patch on which it is drawn in its plane."""

Array = NDArray[Any]
Line = tuple[tuple[float, float, float], ...]


@njit(cache=True, nogil=True)
def _grown(rows: Array, count: int) -> Array:
    """The same rows, with room for one more."""
    if count < len(rows):
        return rows
    more = np.empty((2 * len(rows), rows.shape[1]), rows.dtype)
    more[:count] = rows
    return more


@njit(cache=True, nogil=True, error_model="numpy")
def draw(
    frames: Array, inner: Array, outer: Array, first: Array, corners: Array, outside: Array, bits: Array,
    box: Array, shapes: Array, middles: Array, reaches: Array, guards: Array, smooth: Array, marked: Array,
) -> tuple[Array, Array]:  # fmt: skip
    """Set the bits of the regions that pixels lie in.

    Parameters
    ----------
    frames : float64 array (n, 3, 3)
        Centre, east and north of each region, unit vectors.
    inner, outer : float64 arrays (n,)
        A ring holds the points farther than the inner and not farther than the outer chord from the centre; a polygon
        none beyond the outer one.
    first, corners : int64 array (n + 1,), float64 array (c, 2)
        Where the corners of each region begin, none for a ring; gnomonic coordinates east and north.
    outside : bool array (n,)
        The complement is meant.
    bits : uint8 array (n,)
    box : int64 array (p, 4)
        Row, column, height, width of each patch, rows counted as in `marked`.
    shapes : float64 array (p, 3, 3, 3)
        Coefficients of the three coordinates of the direction, by powers of v and u: pixels from the middle.
    middles, reaches : float64 arrays (p, 3), (p,)
        Direction of the middle; chord beyond which no pixel lies from it.
    guards, smooth : float64 array (p,), bool array (p,)
        Bound on the error of the direction; whether the polynomials are of use.
    marked : uint8 array (rows, columns)
        Or-ed into.

    Returns
    -------
    int64 array (m, 3)
        Region, row and column of pixels in doubt.
    int64 array (k, 2)
        Region and patch of pairs that are in doubt as a whole.
    """
    doubt, rough = np.empty((256, 3), np.int64), np.empty((16, 2), np.int64)
    doubts, roughs = 0, 0
    groups, extents = _groups(middles, reaches)
    for region in range(len(frames)):
        ring = first[region] == first[region + 1]
        for group in range(len(groups)):
            apart = _distance(groups[group], frames[region, 0])
            if apart > outer[region] + extents[group] and not outside[region]:
                continue
            for patch in range(group * GROUP, min((group + 1) * GROUP, len(box))):
                near = _distance(middles[patch], frames[region, 0])
                place = _place(near, reaches[patch], inner[region], outer[region], ring)
                if place != CROSSED:
                    if (place == INSIDE) != outside[region]:
                        _fill(marked, box[patch], bits[region])
                    continue
                stretch = 1.0 if ring else _stretch(near, reaches[patch])
                if not smooth[patch] or stretch == NEVER:
                    rough = _grown(rough, roughs)
                    rough[roughs, 0], rough[roughs, 1] = region, patch
                    roughs += 1
                    continue
                doubt, doubts = _trace(
                    region, ring, _turned(shapes[patch], frames[region]), inner[region], outer[region],
                    corners[first[region] : first[region + 1]], outside[region], bits[region],
                    box[patch], guards[patch], stretch, marked, doubt, doubts,
                )  # fmt: skip
    return doubt[:doubts].copy(), rough[:roughs].copy()


@njit(cache=True, nogil=True, error_model="numpy")
def _groups(middles: Array, reaches: Array) -> tuple[Array, Array]:
    """Circles, in space, around successive patches: centre (g, 3) and chord (g,)."""
    many = -(-len(middles) // GROUP)
    centres, extents = np.zeros((many, 3)), np.zeros(many)
    for group in range(many):
        begin, end = group * GROUP, min((group + 1) * GROUP, len(middles))
        for axis in range(3):
            for patch in range(begin, end):
                centres[group, axis] += middles[patch, axis] / (end - begin)
        for patch in range(begin, end):
            extents[group] = max(extents[group], _distance(centres[group], middles[patch]) + reaches[patch])
    return centres, extents


@njit(cache=True, nogil=True)
def _place(near: float, reach: float, inner: float, outer: float, ring: bool) -> int:
    """Where a patch lies of a ring, or of the circle around a polygon."""
    if near - reach > outer or near + reach <= inner:
        return OUTSIDE
    return INSIDE if ring and near - reach > inner and near + reach <= outer else CROSSED


@njit(cache=True, nogil=True, error_model="numpy")
def _distance(a: Array, b: Array) -> float:
    """Distance in space."""
    return math.sqrt((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 + (a[2] - b[2]) ** 2)


@njit(cache=True, nogil=True)
def _fill(marked: Array, box: Array, bits: np.uint8) -> None:
    """Set bits in a whole patch."""
    for row in range(box[0], box[0] + box[2]):
        for column in range(box[1], box[1] + box[3]):
            marked[row, column] |= bits


@njit(cache=True, nogil=True, error_model="numpy")
def _stretch(near: float, reach: float) -> float:
    """How much longer a step is in the gnomonic plane than in space, at most, within a reach of a distance."""
    cosine = 1.0 - 0.5 * (near + reach) ** 2
    if not cosine > NARROWEST:
        return NEVER
    return 1.0 / cosine + math.sqrt(1.0 - cosine * cosine) / (cosine * cosine)


@njit(cache=True, nogil=True, error_model="numpy")
def _turned(shape: Array, frame: Array) -> Array:
    """Polynomials (3, 3, 3) of the components east and north, and of the depth below the tangent plane."""
    turned = np.empty((3, 3, 3))
    for axis in range(3):
        sign, along = (-1.0, frame[0]) if axis == 2 else (1.0, frame[axis + 1])
        for i in range(3):
            for j in range(3):
                value = 0.0
                for k in range(3):
                    offset = frame[0, k] if i == 0 and j == 0 else 0.0
                    value += along[k] * (shape[k, i, j] - offset)
                turned[axis, i, j] = sign * value
    return turned


@njit(cache=True, nogil=True, error_model="numpy")
def _along(shape: Array, axis: int, v: float) -> tuple[float, float, float]:
    """Coefficients of one component along a row."""
    return (
        shape[axis, 0, 0] + v * (shape[axis, 1, 0] + v * shape[axis, 2, 0]),
        shape[axis, 0, 1] + v * (shape[axis, 1, 1] + v * shape[axis, 2, 1]),
        shape[axis, 0, 2] + v * (shape[axis, 1, 2] + v * shape[axis, 2, 2]),
    )


@njit(cache=True, nogil=True, error_model="numpy")
def _longest_step(shape: Array, half_height: float, half_width: float) -> float:
    """Bound on the way in space from a pixel of a row to the next."""
    total = 0.0
    for i in range(3):
        for j in range(1, 3):
            size = math.sqrt(shape[0, i, j] ** 2 + shape[1, i, j] ** 2 + shape[2, i, j] ** 2)
            total += size * half_height**i * (1.0 if j == 1 else 2.0 * half_width)
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def _trace(
    region: int, ring: bool, shape: Array, inner: float, outer: float, corners: Array, outside: bool, bits: np.uint8,
    box: Array, guard: float, stretch: float, marked: Array, doubt: Array, doubts: int,
) -> tuple[Array, int]:  # fmt: skip
    """Draw a region on a patch, row by row; the list of pixels in doubt and its length."""
    height, width = box[2], box[3]
    half_height, half_width = 0.5 * (height - 1), 0.5 * (width - 1)
    step = stretch * _longest_step(shape, half_height, half_width)
    blur = (2.0 if ring else 8.0) * stretch * guard
    wide = stretch * outer
    disc = ring and inner < 0.0
    for row in range(height):
        v = row - half_height
        line = (_along(shape, 0, v), _along(shape, 1, v), _along(shape, 2, v))
        (a0, a1, a2), (b0, b1, b2), (h0, h1, h2) = line
        begin, end = _reached(line, half_width, outer + blur, 1)
        sure, unsure = _reached(line, half_width, outer - blur, -1) if disc else (width, width)
        here = marked[box[0] + row, box[1] : box[1] + width]
        if outside:
            here[:begin] |= bits
            here[end:] |= bits
        column = begin
        while column < end:
            if sure <= column < unsure:
                inside, stop = True, unsure
            else:
                u = column - half_width
                a, b, h = a0 + u * (a1 + u * a2), b0 + u * (b1 + u * b2), h0 + u * (h1 + u * h2)
                if ring:
                    distance = math.sqrt(a * a + b * b + h * h)
                    gap = min(abs(distance - inner), abs(distance - outer))
                    inside = distance > inner and distance <= outer
                else:
                    x, y = a / (1.0 - h), b / (1.0 - h)
                    gap, inside = math.sqrt(x * x + y * y) - wide, False
                    if gap <= blur:
                        gap, inside = _side(x, y, corners)
                if gap <= blur:
                    doubt = _grown(doubt, doubts)
                    doubt[doubts, 0], doubt[doubts, 1], doubt[doubts, 2] = (
                        region,
                        box[0] + row,
                        box[1] + column,
                    )
                    doubts += 1
                    column += 1
                    continue
                stop = column + 1
                if step > 0.0:
                    stop += int(min((gap - blur) / step, end - 1.0 - column))
            if inside != outside:
                for k in range(column, stop):
                    here[k] |= bits
            column = stop
    return doubt, doubts


@njit(cache=True, nogil=True, error_model="numpy")
def _reached(line: Line, half_width: float, reach: float, more: int) -> tuple[int, int]:
    """Columns of a row that lie within a reach of the centre: no fewer and some more, or no more and some fewer.

    The row is a straight line in space, passed at some speed, to within its bend.
    """
    (a0, a1, a2), (b0, b1, b2), (h0, h1, h2) = line
    width = int(2.0 * half_width) + 1
    reach += more * half_width * half_width * math.sqrt(a2 * a2 + b2 * b2 + h2 * h2)
    speed2 = a1 * a1 + b1 * b1 + h1 * h1
    if speed2 == 0.0 or reach < 0.0:
        return (0, width) if more > 0 else (width, width)
    middle = -(a0 * a1 + b0 * b1 + h0 * h1) / speed2
    a, b, h = a0 + middle * a1, b0 + middle * b1, h0 + middle * h1
    rest = reach * reach - (a * a + b * b + h * h)
    if rest < 0.0:
        return width, width
    half = math.sqrt(rest / speed2) + more
    begin = max(middle - half + half_width, 0.0)
    end = min(middle + half + half_width, width - 1.0)
    if more > 0:
        begin, end = math.floor(begin), math.ceil(end)
    else:
        begin, end = math.ceil(begin), math.floor(end)
    return (int(begin), int(end) + 1) if begin <= end else (width, width)


@njit(cache=True, nogil=True, error_model="numpy")
def _side(x: float, y: float, corners: Array) -> tuple[float, bool]:
    """Distance to the nearest edge of a polygon, and whether a point is inside by the even-odd rule."""
    inside = False
    nearest = NEVER
    x0, y0 = corners[-1, 0] - x, corners[-1, 1] - y
    for k in range(len(corners)):
        x1, y1 = corners[k, 0] - x, corners[k, 1] - y
        dx, dy = x1 - x0, y1 - y0
        length = dx * dx + dy * dy
        along = min(max(-(x0 * dx + y0 * dy) / length, 0.0), 1.0) if length > 0.0 else 0.0
        nearest = min(nearest, (x0 + along * dx) ** 2 + (y0 + along * dy) ** 2)
        if (y0 > 0.0) != (y1 > 0.0) and x0 - y0 * dx / dy > 0.0:
            inside = not inside
        x0, y0 = x1, y1
    return math.sqrt(nearest), inside


@njit(cache=True, nogil=True)
def cut_runs(
    columns: int, first: Array, slot: Array, row_start: Array, marked: Array,
    out_first: Array, out_slot: Array, out_virtual: Array, out_row_start: Array,
) -> int:  # fmt: skip
    """Cut runs where marks change.

    Parameters
    ----------
    columns, first, slot, row_start :
        Runs of a block.
    marked : uint8 array (rows, columns)
        Virtual bits of each pixel.
    out_first, out_slot, out_virtual, out_row_start :
        Output: runs and the marks of each.

    Returns
    -------
    int
        Number of runs; if it is larger than the output has room for, the output holds nothing of use.
    """
    count = 0
    room = out_first.size
    for row in range(row_start.size - 1):
        out_row_start[row] = count
        for k in range(row_start[row], row_start[row + 1]):
            end = np.int64(first[k + 1]) if k + 1 < row_start[row + 1] else np.int64(columns)
            begin = np.int64(first[k])
            while begin < end:
                mark = marked[row, begin]
                if count < room:
                    out_first[count] = begin
                    out_slot[count] = slot[k]
                    out_virtual[count] = mark
                count += 1
                while begin < end and marked[row, begin] == mark:
                    begin += 1
    out_row_start[row_start.size - 1] = count
    return count
