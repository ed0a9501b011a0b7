"""Polygons against cells by chords: the fast path for many small outlines, to a stated tolerance.

The outline is mapped to the face coordinates of its cells and each edge replaced by chords there, as many as
keep the distance between edge and chord below half the tolerance (in cells). The chords are then accumulated
as a font rasteriser does: each leaves, in the cell it passes, its height and the area on its left; one sweep
along every row turns both into shares. The cost is that of the cells on the edges and of the bounding box; no
clipping, and concave outlines need nothing more.

Outlines that leave one smooth piece of the projection (base face, belt or cap) are left to
`vmpz.kernels.clipping`, which knows no seams.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from vmpz.kernels.clipping import QUARTER, TRANSITION, spread
from vmpz.kernels.pointinside import first_crossing

__all__ = ["CROSSED", "DONE", "SEAM", "add_to_blocks", "fill", "find_blocks", "mark"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

DONE, SEAM, CROSSED = 0, 1, 2  # states of an outline
NOTHING = 1e-9  # shares closer to 0 or 1 are 0 or 1
LARGEST_BOX = 1 << 20  # cells


@njit(cache=True, nogil=True, error_model="numpy")
def _place(x: float, y: float, z: float, quadrant: int, zone: int, nside: float) -> tuple[float, float, bool]:
    """Coordinates in cells in the chart of a quadrant (`clipping`), and whether the point belongs there."""
    if quadrant == 1:
        x, y = y, -x
    elif quadrant == 2:
        x, y = -x, -y
    elif quadrant == 3:
        x, y = -y, x
    t = QUARTER * math.atan2(y, x)
    if zone == 0:
        return nside * (0.5 + t + 0.75 * z), -nside * (0.5 + t - 0.75 * z), abs(z) <= TRANSITION
    w = math.sqrt(3.0 * (x * x + y * y) / (1.0 + abs(z)))
    here = z * zone > TRANSITION and x >= 0.0 and y >= 0.0
    if zone > 0:
        return nside * (1.0 - (1.0 - t) * w), nside * (1.0 - t * w), here
    return nside * t * w, nside * (1.0 - t) * w, here


@njit(cache=True, nogil=True, error_model="numpy")
def _outline(corners: FloatArray, nside: float, tolerance: float, points: FloatArray) -> tuple[int, int]:
    """Chord points of an outline in cells of its base face: count (0 where it leaves its chart), face.

    An edge is cut so that the parabola through the images of its ends and middle is right to a tenth of the
    tolerance, then the parabola into chords.
    """
    many = corners.shape[0]
    if many == 0:
        return 0, 0
    a = corners[0]
    quadrant = (0 if a[0] > 0.0 else 1) if a[1] >= 0.0 else (2 if a[0] <= 0.0 else 3)
    zone = 1 if a[2] > TRANSITION else (-1 if a[2] < -TRANSITION else 0)
    x0, y0, here = _place(a[0], a[1], a[2], quadrant, zone, nside)
    column, row = math.floor(x0 / nside), math.floor(y0 / nside)
    left, bottom = column * nside, row * nside
    longest = (10.0 * tolerance / nside) ** (1.0 / 3.0)
    points[0, 0], points[0, 1] = x0 - left, y0 - bottom
    count = 1
    for k in range(many):
        b = corners[k + 1] if k + 1 < many else corners[0]
        chord = math.sqrt((b[0] - a[0]) ** 2 + (b[1] - a[1]) ** 2 + (b[2] - a[2]) ** 2)
        scale = 1.0 if zone == 0 else math.sqrt(min(a[0] * a[0] + a[1] * a[1], b[0] * b[0] + b[1] * b[1]))
        parts = int(chord / (longest * scale)) + 1 if scale > 0.0 else LARGEST_BOX
        if parts > points.shape[0] // 8:
            return 0, 0
        for part in range(parts):
            g, h = (part + 0.5) / parts, (part + 1.0) / parts
            mx, my, mz = a[0] + g * (b[0] - a[0]), a[1] + g * (b[1] - a[1]), a[2] + g * (b[2] - a[2])
            norm = 1.0 / math.sqrt(mx * mx + my * my + mz * mz)
            xm, ym, here_m = _place(mx * norm, my * norm, mz * norm, quadrant, zone, nside)
            ex, ey, ez = b[0], b[1], b[2]
            if part + 1 < parts:
                ex, ey, ez = a[0] + h * (b[0] - a[0]), a[1] + h * (b[1] - a[1]), a[2] + h * (b[2] - a[2])
                norm = 1.0 / math.sqrt(ex * ex + ey * ey + ez * ez)
                ex, ey, ez = ex * norm, ey * norm, ez * norm
            x1, y1, here_e = _place(ex, ey, ez, quadrant, zone, nside)
            here = here and here_m and here_e
            here = here and math.floor(xm / nside) == column and math.floor(ym / nside) == row
            here = here and math.floor(x1 / nside) == column and math.floor(y1 / nside) == row
            bend_x, bend_y = xm - 0.5 * (x0 + x1), ym - 0.5 * (y0 + y1)
            chords = int(math.sqrt(2.0 * math.sqrt(bend_x * bend_x + bend_y * bend_y) / tolerance)) + 1
            if not here or count + chords >= points.shape[0]:
                return 0, 0
            for j in range(1, chords + 1):
                t = j / chords
                curve = 4.0 * t * (1.0 - t)
                points[count, 0] = x0 + t * (x1 - x0) + curve * bend_x - left
                points[count, 1] = y0 + t * (y1 - y0) + curve * bend_y - bottom
                count += 1
            x0, y0 = x1, y1
        a = b
    points[count - 1] = points[0]
    if zone != 0:
        return count, quadrant if zone > 0 else quadrant + 8
    right = int(column) + quadrant
    upper = quadrant - int(row) - 1
    if right == upper:
        return count, (upper & 3) | 4
    return count, (upper & 3) if upper < right else (right & 3) + 8


@njit(cache=True, nogil=True, error_model="numpy")
def _accumulate(
    points: FloatArray, count: int, left: int, bottom: int, height: FloatArray, area: FloatArray
) -> None:
    """Leave in every cell the height that chords climb in it and the area between them and its left side."""
    for k in range(count - 1):
        x0, y0 = points[k, 0] - left, points[k, 1] - bottom
        x1, y1 = points[k + 1, 0] - left, points[k + 1, 1] - bottom
        dx, dy = x1 - x0, y1 - y0
        if dy == 0.0:
            continue
        slope = dx / dy
        step = 1 if dy > 0.0 else -1
        row = int(y0)
        last = int(y1)
        if step < 0 and row == y0:  # leaves a row side downwards
            row -= 1
        if step > 0 and last == y1:
            last -= 1
        x, y = x0, y0
        while True:
            if row == last:
                x_next, y_next = x1, y1
            else:
                y_next = row + 1.0 if step > 0 else float(row)
                x_next = x0 + (y_next - y0) * slope
            _accumulate_row(x, x_next, y_next - y, height[row], area[row])
            if row == last:
                break
            x, y = x_next, y_next
            row += step


@njit(cache=True, nogil=True, error_model="numpy")
def _accumulate_row(x0: float, x1: float, dy: float, height: FloatArray, area: FloatArray) -> None:
    """One chord inside one row of cells."""
    low, high = (x0, x1) if x0 <= x1 else (x1, x0)
    first, last = int(low), int(high)
    if first == last:
        height[first] += dy
        area[first] += (0.5 * (x0 + x1) - first) * dy
        return
    rate = dy / (high - low)
    part = (first + 1.0 - low) * rate
    height[first] += part
    area[first] += 0.5 * (low - first + 1.0) * part
    for column in range(first + 1, last):
        height[column] += rate
        area[column] += 0.5 * rate
    part = (high - last) * rate
    height[last] += part
    area[last] += 0.5 * (high - last) * part


@njit(cache=True, nogil=True, error_model="numpy")
def fill(
    corners: FloatArray, first: IntArray, order: int, tolerance: float
) -> tuple[IntArray, IntArray, IntArray, FloatArray]:
    """Shares of the cells that outlines touch.

    Parameters
    ----------
    corners : float64 (n, 3)
        Unit vectors of the vertices, outline after outline, in either orientation.
    first : int64 (outlines + 1,)
        First corner of each outline, and the number of corners; an outline without corners is a `SEAM`.
    order : int
    tolerance : float
        Largest error of a share.

    Returns
    -------
    state : int64 (outlines,)
        `DONE`; `SEAM` where the outline does not lie in one smooth piece, `CROSSED` where edges cross:
        nothing is given for these.
    start : int64 (outlines + 1,)
        First row of each outline in `cell` and `share`.
    cell, share : int64 and float64 (m,)
    """
    nside = float(1 << order)
    outlines = first.size - 1
    state, start = np.zeros(outlines, np.int64), np.zeros(outlines + 1, np.int64)
    cells, shares = np.empty(1 << 16, np.int64), np.empty(1 << 16)
    points = np.empty((1 << 14, 2))
    scratch = np.zeros((2, 1 << 12))
    columns = np.empty(1 << 8, np.int64)
    count = 0
    for k in range(outlines):
        start[k + 1] = count
        corner = corners[first[k] : first[k + 1]]
        if first_crossing(corner)[0] >= 0:
            state[k] = CROSSED
            continue
        many, face = _outline(corner, nside, tolerance, points)
        left, right, bottom, top = np.inf, -np.inf, np.inf, -np.inf
        twice = 0.0
        for j in range(many):
            x, y = points[j, 0], points[j, 1]
            left, right, bottom, top = min(left, x), max(right, x), min(bottom, y), max(top, y)
            if j > 0:
                twice += points[j - 1, 0] * y - x * points[j - 1, 1]
        state[k] = SEAM
        if many == 0 or left < 0.0 or bottom < 0.0 or right >= nside or top >= nside:
            continue
        x0, y0 = int(left), int(bottom)
        width, rows = int(right) - x0 + 1, int(top) - y0 + 1
        if width * rows > LARGEST_BOX:
            continue
        state[k] = DONE
        if width * rows > scratch.shape[1]:
            scratch = np.zeros((2, 2 * width * rows))
        if width > columns.size:
            columns = np.empty(2 * width, np.int64)
        if count + width * rows > cells.size:
            size = 2 * (count + width * rows)
            more_cells, more_shares = np.empty(size, np.int64), np.empty(size)
            more_cells[:count] = cells[:count]
            more_shares[:count] = shares[:count]
            cells, shares = more_cells, more_shares
        height = scratch[0, : width * rows].reshape(rows, width)
        area = scratch[1, : width * rows].reshape(rows, width)
        _accumulate(points, many, x0, y0, height, area)
        sign = 1.0 if twice > 0.0 else -1.0
        for i in range(width):
            columns[i] = spread(x0 + i)
        for j in range(rows):
            base = (np.int64(face) << (2 * order)) | (spread(y0 + j) << 1)
            covered = 0.0
            for i in range(width - 1, -1, -1):
                share = sign * (covered + area[j, i])
                covered += height[j, i]
                height[j, i] = 0.0
                area[j, i] = 0.0
                if share > NOTHING:
                    cells[count] = base | columns[i]
                    shares[count] = share if share < 1.0 - NOTHING else 1.0
                    count += 1
        start[k + 1] = count
    return state, start, cells[:count].copy(), shares[:count].copy()


@njit(cache=True, nogil=True)
def _gather(number: int) -> int:
    """Every other bit of a number: the inverse of `spread`."""
    number = number & 0x5555555555555555
    number = (number | (number >> 1)) & 0x3333333333333333
    number = (number | (number >> 2)) & 0x0F0F0F0F0F0F0F0F
    number = (number | (number >> 4)) & 0x00FF00FF00FF00FF
    number = (number | (number >> 8)) & 0x0000FFFF0000FFFF
    return (number | (number >> 16)) & 0x00000000FFFFFFFF


@njit(cache=True, nogil=True, error_model="numpy")
def _sub_cells(points: FloatArray, count: int, column: float, row: float) -> np.uint64:
    """Bit 8 j + i tells whether the centre of sub-cell (i, j) of 8 x 8 is inside: parity along scan lines."""
    word = np.uint64(0)
    for k in range(count - 1):
        x0, y0 = 8.0 * (points[k, 0] - column), 8.0 * (points[k, 1] - row)
        x1, y1 = 8.0 * (points[k + 1, 0] - column), 8.0 * (points[k + 1, 1] - row)
        low, high = min(y0, y1), max(y0, y1)
        if high <= 0.5 or low > 7.5:
            continue
        begin, end = max(math.ceil(low - 0.5), 0), min(math.ceil(high - 0.5), 8)
        for j in range(begin, end):
            x = x0 + (j + 0.5 - y0) * (x1 - x0) / (y1 - y0)
            passed = min(max(math.ceil(x - 0.5), 0), 8)
            word ^= np.uint64((0xFF << passed) & 0xFF) << np.uint64(8 * j)
    return word


@njit(cache=True, nogil=True, error_model="numpy")
def mark(
    corners: FloatArray, first: IntArray, owner: IntArray, cell: IntArray, order: int, tolerance: float
) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Sub-cells whose centres lie in an outline, for pairs of outline and cell.

    Parameters
    ----------
    corners, first, order, tolerance
        As for `fill`.
    owner, cell : int64 (m,)
        Pairs, ascending by owner.

    Returns
    -------
    words : uint64 (m,)
        Bit 8 j + i is sub-cell (i, j) of the 8 x 8 in x and y.
    known : bool (m,)
        False where the outline does not lie in one smooth piece; the word is then void.
    """
    words, known = np.zeros(cell.size, np.uint64), np.zeros(cell.size, np.bool_)
    points = np.empty((1 << 14, 2))
    held, many, face = np.int64(-1), 0, 0
    for k in range(cell.size):
        if owner[k] != held:
            held = owner[k]
            many, face = _outline(
                corners[first[held] : first[held + 1]], float(1 << order), tolerance, points
            )
        known[k] = many > 0
        if many > 0 and cell[k] >> (2 * order) == face:
            inner = cell[k] & ((1 << (2 * order)) - 1)
            words[k] = _sub_cells(points, many, float(_gather(inner)), float(_gather(inner >> 1)))
    return words, known


@njit(cache=True, nogil=True)
def find_blocks(cell: IntArray, shift: int, slot: NDArray[np.int32], used: int) -> int:
    """Give the blocks (cells >> shift) that have no slot yet the next ones; the number of slots in use."""
    for k in range(cell.size):
        block = cell[k] >> shift
        if slot[block] < 0:
            slot[block] = used
            used += 1
    return used


@njit(cache=True, nogil=True)
def add_to_blocks(
    cell: IntArray, share: FloatArray, shift: int, slot: NDArray[np.int32], total: FloatArray
) -> None:
    """Add shares to the sums of their cells, `total` (slots, 1 << shift)."""
    low = (np.int64(1) << shift) - 1
    for k in range(cell.size):
        total[slot[cell[k] >> shift], cell[k] & low] += share[k]
