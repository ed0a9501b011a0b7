"""Which cell holds which pixel: the run table of an image.

Along an image row the cell of a pixel changes only every hundred columns or so, so the assignment of all pixels is
kept as *runs*: first column and cell. A run ends where the next one of its row begins.

The image is cut into leaves (512 pixels wide and less). In a smooth leaf the face coordinates of HEALPix
(x, y; a cell is a unit square) are biquadratic in column and row to within a known guard: the crossings of cell
edges along a row are roots of a quadratic. A pixel closer to an edge than the guard is left *open*; every pixel of a
leaf that is not smooth comes with its cell. The caller decides both by the image's own mapping, hence the table is that
of the exact assignment, whatever the leaves.

Rows and columns count from 0, pixel centres are integers, and cell -1 is one that nobody asked for.
"""

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["NOT_WANTED", "OPEN", "biquadratic", "expand", "number_slots", "trace"]

NOT_WANTED = -1
OPEN = -2
"""Cell of a run of one pixel that the caller must decide."""

DOUBT = 1.0 / 32.0
"""Pixels: crossings are placed to better than this wherever they are solved for."""

ROW, COLUMN, HEIGHT, WIDTH, EXACT, BOX, BOX_X, BOX_Y, BOX_WIDTH, BOX_HEIGHT = range(10)
"""Columns of a table of leaves (int64): first row, first column, size; place of its first pixel in the list of exact
cells, -1 if it is smooth; and its box of cells: offset, first ix and iy, size."""


def biquadratic(
    nodes: NDArray[np.float64], half_height: NDArray[np.float64], half_width: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Biquadratic polynomials through 3 x 3 nodes.

    Parameters
    ----------
    nodes : float64 array (..., n, 3, 3)
        Values at rows -h, 0, h and columns -w, 0, w about the centre of each of n leaves.
    half_height, half_width : float64 array (n,)
        h and w, pixels; 0 for a leaf of one row or one column.

    Returns
    -------
    float64 array (..., n, 3, 3)
        Coefficients ``c[i, j]`` of ``v**i u**j``, u and v counted from the centre in pixels.
    """
    along = _parabola(nodes, half_width[:, None])
    return np.swapaxes(_parabola(np.swapaxes(along, -1, -2), half_height[:, None]), -1, -2)


def _parabola(values: NDArray[np.float64], half: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coefficients of 1, t, t**2 from values at -half, 0, half along the last axis."""
    safe = np.where(half > 0, half, 1.0)
    low, middle, high = values[..., 0], values[..., 1], values[..., 2]
    return np.stack((middle, (high - low) / (2 * safe), (high + low - 2 * middle) / (2 * safe**2)), axis=-1)


@njit(cache=True, nogil=True, error_model="numpy")
def _crossings(start: float, end: float, slope: float, curvature: float, places: Any) -> float:
    """Distances at which ``start + slope t + curvature t**2`` passes from one cell to the next, monotone up to `end`.

    They go to `places`, ascending, infinity behind them; the step from cell to cell is returned, 1 or -1.
    """
    step = 1.0 if slope > 0.0 else -1.0
    first = np.floor(start) + (1.0 if slope > 0.0 else 0.0)
    last = np.floor(end) if slope > 0.0 else np.ceil(end)
    n = int(step * (last - first)) + 1
    for k in range(n):
        rise = (first - start) + step * k
        places[k] = 2.0 * rise / (slope + step * math.sqrt(slope * slope + 4.0 * curvature * rise))
    places[n] = np.inf
    return step


@njit(cache=True, nogil=True, error_model="numpy")
def _turns(slope: float, curvature: float, length: float, guard: float) -> bool:
    """Whether a parabola turns within `length` pixels, is too flat for the guard, or passes over a cell a pixel."""
    last = slope + 2.0 * curvature * length
    low, high = min(abs(slope), abs(last)), max(abs(slope), abs(last))
    return slope * last <= 0.0 or low < guard / DOUBT or high > 1.0


@njit(cache=True, nogil=True, error_model="numpy")
def trace(start, stop, columns, leaves, shape, guard, box_cells, exact_cells, first, cell, row_start):  # type: ignore[no-untyped-def]
    """Runs of rows [start, stop).

    Parameters
    ----------
    start, stop, columns : int
        Rows wanted, width of the image.
    leaves : int64 array (n, 10)
        The leaves that these rows cross, ascending in column; together they cover the rows.
    shape : float64 array (2, n, 3, 3)
        Polynomials of x and y of each leaf, in cells from the origin of its box.
    guard : float64 array (n,)
        Bound on the error of the polynomials, in cells.
    box_cells : int32 array
        Cell number of each (iy, ix) of the boxes, box after box.
    exact_cells : int32 array
        Cell numbers of the pixels of leaves that are not smooth.
    first, cell : uint16 or uint32 array, int32 array
        Output: first column and cell of each run.
    row_start : int64 array (stop - start + 1,)
        Output: where each row begins.

    Returns
    -------
    int
        Number of runs, -1 if the output is too short for them, -2 if a leaf leaves its box.
    """
    count = 0
    room = first.size - 2
    x_edges, y_edges = np.empty(columns + 3), np.empty(columns + 3)
    for row in range(start, stop):
        row_start[row - start] = count
        last = -9
        for k in range(leaves.shape[0]):
            top = leaves[k, 0]
            if row < top or row >= top + leaves[k, 2]:
                continue
            begin = leaves[k, 1]
            width = leaves[k, 3]
            if leaves[k, 4] >= 0:
                place = leaves[k, 4] + (row - top) * width
                for c in range(width):
                    now = exact_cells[place + c]
                    if now != last:
                        if count > room:
                            return -1
                        first[count] = begin + c
                        cell[count] = now
                        count += 1
                        last = now
                continue
            v = row - (top + 0.5 * (leaves[k, 2] - 1))
            x0 = shape[0, k, 0, 0] + v * (shape[0, k, 1, 0] + v * shape[0, k, 2, 0])
            x1 = shape[0, k, 0, 1] + v * (shape[0, k, 1, 1] + v * shape[0, k, 2, 1])
            x2 = shape[0, k, 0, 2] + v * (shape[0, k, 1, 2] + v * shape[0, k, 2, 2])
            y0 = shape[1, k, 0, 0] + v * (shape[1, k, 1, 0] + v * shape[1, k, 2, 0])
            y1 = shape[1, k, 0, 1] + v * (shape[1, k, 1, 1] + v * shape[1, k, 2, 1])
            y2 = shape[1, k, 0, 2] + v * (shape[1, k, 1, 2] + v * shape[1, k, 2, 2])
            half = 0.5 * (width - 1)
            near = guard[k]
            xs, ys = x1 - 2.0 * x2 * half, y1 - 2.0 * y2 * half
            x, y = x0 - half * (x1 - half * x2), y0 - half * (y1 - half * y2)
            by_pixel = _turns(xs, x2, width, near) or _turns(ys, y2, width, near)
            right, up, before_x, before_y = 0.0, 0.0, 0, 0
            if not by_pixel:
                u = half + 0.5
                right = _crossings(x, x0 + u * (x1 + u * x2), xs, x2, x_edges)
                up = _crossings(y, y0 + u * (y1 + u * y2), ys, y2, y_edges)
            first_x, first_y = np.floor(x), np.floor(y)
            offset, box_width, box_height = leaves[k, 5], leaves[k, 8], leaves[k, 9]
            c, in_doubt = 0, True
            while c < width:
                column, line = first_x + right * before_x, first_y + up * before_y
                if in_doubt:
                    u = c - half
                    x = x0 + u * (x1 + u * x2)
                    y = y0 + u * (y1 + u * y2)
                    column, line = np.floor(x), np.floor(y)
                if count > room:
                    return -1
                if in_doubt and (abs(x - np.floor(x + 0.5)) < near or abs(y - np.floor(y + 0.5)) < near):
                    now = np.int32(OPEN)
                else:
                    ix, iy = int(column), int(line)
                    if ix < 0 or iy < 0 or ix >= box_width or iy >= box_height:
                        return -2
                    now = box_cells[offset + iy * box_width + ix]
                if now != last or now == OPEN:
                    first[count] = begin + c
                    cell[count] = now
                    count += 1
                    last = now
                c += 1
                if by_pixel:
                    continue
                sure = min(x_edges[before_x], y_edges[before_y]) - DOUBT
                if now != OPEN and sure > c:
                    if sure > width - 1.0:
                        break
                    c = int(np.ceil(sure))
                while x_edges[before_x] < c - DOUBT:
                    before_x += 1
                while y_edges[before_y] < c - DOUBT:
                    before_y += 1
                in_doubt = min(x_edges[before_x], y_edges[before_y]) <= c + DOUBT
    row_start[stop - start] = count
    return count


@njit(cache=True, nogil=True)
def number_slots(first, cell, row_start, columns, mark, slot_cell, slot_pixels):  # type: ignore[no-untyped-def]
    """Renumber the cells of a block of runs as slots 0, 1, 2... in the order of their first run.

    Parameters
    ----------
    first, cell, row_start : arrays
        Runs as `trace` leaves them, open ones decided; `cell` is overwritten by slots, -1 stays.
    columns : int
        Width of the image.
    mark : int32 array
        Work space, one a cell, all -1; left so.
    slot_cell, slot_pixels : int32 array, int64 array
        Output: cell and number of pixels of each slot.

    Returns
    -------
    int
        Number of slots.
    """
    slots = 0
    for row in range(row_start.size - 1):
        for k in range(row_start[row], row_start[row + 1]):
            end = np.int64(first[k + 1]) if k + 1 < row_start[row + 1] else columns
            if cell[k] < 0:
                continue
            slot = mark[cell[k]]
            if slot < 0:
                slot = np.int32(slots)
                mark[cell[k]] = slot
                slot_cell[slots] = cell[k]
                slot_pixels[slots] = 0
                slots += 1
            slot_pixels[slot] += end - np.int64(first[k])
            cell[k] = slot
    for slot in range(slots):
        mark[slot_cell[slot]] = -1
    return slots


@njit(cache=True, nogil=True)
def expand(first, slot, row_start, columns, out):  # type: ignore[no-untyped-def]
    """Write the slot of every pixel of a block, int32 array (rows, columns)."""
    for row in range(row_start.size - 1):
        for k in range(row_start[row], row_start[row + 1]):
            end = np.int64(first[k + 1]) if k + 1 < row_start[row + 1] else columns
            for c in range(np.int64(first[k]), end):
                out[row, c] = slot[k]
