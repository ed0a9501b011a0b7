"""Pixels inside small regions of the sky, and runs cut where such a region begins or ends.

Over a patch of the image the tangent-frame components of the direction of a pixel (a, b east and north of the
region's centre, h the distance below the tangent plane) are biquadratic in row and column to within a guard, as in
`pixelcells`. A pixel closer to the boundary than the guard is marked `DOUBT` and left to the caller.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["DOUBT", "INSIDE", "cut_runs", "fill_cap", "fill_polygon"]

INSIDE, DOUBT = np.uint8(1), np.uint8(2)

Array = NDArray[Any]


@njit(cache=True, nogil=True, error_model="numpy")
def _component(shape: Array, axis: int, v: float, u: float) -> Any:
    """Value of the biquadratic polynomial of one component."""
    value = 0.0
    for i in range(2, -1, -1):
        value = value * v + (shape[axis, i, 0] + u * (shape[axis, i, 1] + u * shape[axis, i, 2]))
    return value


@njit(cache=True, nogil=True, error_model="numpy")
def fill_cap(
    shape: Array, guard: float, half_height: float, half_width: float, chord: float, out: Array
) -> None:
    """Mark the pixels of a patch within a chord of the centre.

    Parameters
    ----------
    shape : float64 array (3, 3, 3)
        Coefficients of a, b, h, by powers of v and u: pixels from the middle of the patch.
    guard : float
        Bound on the error of each component.
    half_height, half_width : float
        Of the patch, between the centres of its outer pixels.
    chord : float
        Distance in space on the unit sphere, 2 sin(radius / 2).
    out : uint8 array (rows, columns)
        Or-ed into.
    """
    near, far = max(chord - 2.0 * guard, 0.0) ** 2, (chord + 2.0 * guard) ** 2
    for row in range(out.shape[0]):
        v = row - half_height
        for column in range(out.shape[1]):
            u = column - half_width
            a, b = _component(shape, 0, v, u), _component(shape, 1, v, u)
            h = _component(shape, 2, v, u)
            distance = a * a + b * b + h * h
            if distance <= near:
                out[row, column] |= INSIDE
            elif distance < far:
                out[row, column] |= DOUBT


@njit(cache=True, nogil=True, error_model="numpy")
def fill_polygon(
    shape: Array, guard: float, half_height: float, half_width: float, corners: Array, out: Array
) -> None:
    """Mark the pixels of a patch inside a polygon of the tangent plane (gnomonic: its edges are great circles).

    Parameters
    ----------
    shape, guard, half_height, half_width, out :
        As in `fill_cap`; the patch lies within 60 degrees of the centre.
    corners : float64 array (n, 2)
        Gnomonic coordinates.
    """
    for row in range(out.shape[0]):
        v = row - half_height
        for column in range(out.shape[1]):
            u = column - half_width
            depth = 1.0 - _component(shape, 2, v, u)
            x, y = _component(shape, 0, v, u) / depth, _component(shape, 1, v, u) / depth
            out[row, column] |= _side(x, y, 8.0 * guard, corners)


@njit(cache=True, nogil=True, error_model="numpy")
def _side(x: float, y: float, guard: float, corners: Array) -> Any:
    """INSIDE by the even-odd rule, DOUBT within the guard of an edge, else 0."""
    inside = False
    for k in range(corners.shape[0]):
        x0, y0 = corners[k - 1, 0] - x, corners[k - 1, 1] - y
        dx, dy = corners[k, 0] - corners[k - 1, 0], corners[k, 1] - corners[k - 1, 1]
        length = dx * dx + dy * dy
        along = min(max(-(x0 * dx + y0 * dy) / length, 0.0), 1.0)
        if (x0 + along * dx) ** 2 + (y0 + along * dy) ** 2 <= guard * guard:
            return DOUBT
        if (y0 > 0.0) != (y0 + dy > 0.0) and x0 - y0 * dx / dy > 0.0:
            inside = not inside
    return INSIDE if inside else np.uint8(0)


@njit(cache=True, nogil=True)
def cut_runs(
    columns: int, first: Array, slot: Array, row_start: Array, marked: Array,
    out_first: Array, out_slot: Array, out_virtual: Array, out_row_start: Array,
) -> int:  # fmt: skip
    """Cut runs where marked pixels begin or end.

    Parameters
    ----------
    columns, first, slot, row_start :
        Runs of a block.
    marked : uint8 array (rows, columns)
        0 or 1.
    out_first, out_slot, out_virtual, out_row_start :
        Output: runs and the mark of each.

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
