"""Shares of outlines in one node of the tree of cells at a time: a square of 2**depth by 2**depth cells of a face.

Every outline is rasterised in its box, by chords (`vmpz.kernels.chords`) or along its curves
(`vmpz.kernels.curves`); one sweep along every row, from right to left, turns heights and areas into shares, which are
added to the square. What lies in other nodes is left to them, so that each cell is computed by one caller alone.

For unions every cell holds the largest share, the sum, and 64 bits, one for each of 8 x 8 sub-cells whose centre an
outline holds: crossings with 8 scan lines a row toggle all sub-cells on their left.
"""

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from vmpz.kernels.boxes import MOST_POINTS, SUB_CELL_TOLERANCE
from vmpz.kernels.chords import accumulate_chords, outline_points
from vmpz.kernels.clipping import spread
from vmpz.kernels.curves import accumulate_curves

__all__ = ["NOTHING", "add_outlines", "add_pairs", "add_ranges", "collect", "list_shares"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Words = NDArray[np.uint64]

NOTHING = 1e-9  # shares by chords closer to 0 or 1 are 0 or 1
BYTE = np.uint64(0xFF)


@njit(cache=True, nogil=True, error_model="numpy")
def _touched(height: FloatArray, area: FloatArray) -> tuple[int, int]:
    """First column of a row that an edge passes, and the one after the last; nothing lies beyond."""
    low, end = 0, height.size
    while low < end and height[end - 1] == 0.0 and area[end - 1] == 0.0:
        end -= 1
    while low < end and height[low] == 0.0 and area[low] == 0.0:
        low += 1
    return low, end


@njit(cache=True, nogil=True, error_model="numpy")
def _settled(share: float, blur: float, alone: bool) -> float:
    """A share within `blur` of 0 or 1 is 0 or 1, unless the outline lies in one cell alone."""
    if alone:
        return min(max(share, 0.0), 1.0)
    return 0.0 if share < blur else (1.0 if share > 1.0 - blur else share)


@njit(cache=True, nogil=True, error_model="numpy")
def _sweep(
    height: FloatArray, area: FloatArray, sign: int, blur: float, first: int, alone: bool
) -> tuple[int, int]:
    """Turn the heights and areas of one row into shares, in `area`; the columns between which there are any.

    The way goes from the right down to column `first`. A cell that no edge passes is in or out.
    """
    low, end = _touched(height, area)
    low, covered = max(low, first), 0.0
    for i in range(end - 1, low - 1, -1):
        if height[i] == 0.0 and area[i] == 0.0:
            area[i] = 1.0 if covered > 0.5 else 0.0
        else:
            area[i] = _settled(covered + sign * area[i], blur, alone)
            covered += sign * height[i]
    return low, end


@njit(cache=True, nogil=True, error_model="numpy")
def _scan(points: FloatArray, count: int, left: int, bottom: int, part: Words, flip: Words) -> None:
    """Leave in a cell its sub-cells left of crossings in it, and the scan lines that toggle all cells on its left."""
    last = part.shape[1] - 1
    for k in range(count - 1):
        x0, y0 = points[k, 0] - left, 8.0 * (points[k, 1] - bottom)
        x1, y1 = points[k + 1, 0] - left, 8.0 * (points[k + 1, 1] - bottom)
        if y0 == y1:
            continue
        slope = (x1 - x0) / (y1 - y0)
        for line in range(math.ceil(min(y0, y1) - 0.5), math.ceil(max(y0, y1) - 0.5)):
            x = x0 + (line + 0.5 - y0) * slope
            column = min(max(int(x), 0), last)
            passed = min(max(math.ceil(8.0 * (x - column) - 0.5), 0), 8)
            shift = np.uint64(8 * (line & 7))
            part[line >> 3, column] ^= np.uint64((1 << passed) - 1) << shift
            flip[line >> 3, column] ^= BYTE << shift


@njit(cache=True, nogil=True, error_model="numpy")
def _rasterise(
    corners: FloatArray,
    left: int,
    bottom: int,
    nside: float,
    tolerance: float,
    needs_points: bool,
    points: FloatArray,
    height: FloatArray,
    area: FloatArray,
) -> int:
    """Heights and areas of one outline in its box, and the number of its chord points where there are any."""
    many = 0
    if needs_points or tolerance > 0.0:
        near = tolerance if tolerance > 0.0 else SUB_CELL_TOLERANCE
        many, _ = outline_points(corners, nside, near, points)
    if tolerance > 0.0:
        accumulate_chords(points, many, left, bottom, height, area)
    else:
        accumulate_curves(corners, nside, left, bottom, height, area)
    return many


@njit(cache=True, nogil=True)
def _clear(rows: NDArray[Any]) -> None:
    for row in rows:
        for i in range(row.size):
            row[i] = 0


@njit(cache=True, nogil=True, error_model="numpy")
def add_outlines(
    corners: FloatArray,
    first_corner: IntArray,
    rows: IntArray,
    box: IntArray,
    order: int,
    tolerance: float,
    blur: float,
    corner: tuple[int, int],
    depth: int,
    weights: FloatArray,
    sums: FloatArray,
    seen: NDArray[np.bool_],
    union: FloatArray,
    words: Words,
) -> None:
    """Add the shares of outlines to the cells of a node.

    Parameters
    ----------
    corners, first_corner, box, order, tolerance
        As for `find_boxes`; outlines `rows` are `DONE`.
    rows : int64 (r,)
        Outlines, added in this order.
    blur : float
        Shares so close to 0 or 1 are 0 or 1.
    corner : tuple of int
        First column and row of the node in its face.
    weights : float64 (n, k)
    sums : float64 (4**depth, k)
        In nested order; added to.
    seen : bool (4**depth,)
        Set where an outline has a share.
    union : float64 (4**depth, 2)
        Sum and largest of the shares; (0, 2) where no union is asked for.
    words : uint64 (4**depth,)
        Sub-cells, joined; (0,) where no union is asked for.
    """
    nside, side = float(1 << order), 1 << depth
    points = np.empty((MOST_POINTS, 2))
    scratch, bits = np.zeros((2, 1 << 12)), np.zeros((2, 1 << 12), np.uint64)
    joined = words.size > 0
    bits_of = np.empty(side, np.int64)
    for i in range(side):
        bits_of[i] = spread(i)
    for row in rows:
        x0, y0 = box[row, 1], box[row, 3]
        width, high = box[row, 2] - x0 + 1, box[row, 4] - y0 + 1
        if width * high > scratch.shape[1]:
            scratch, bits = np.zeros((2, 2 * width * high)), np.zeros((2, 2 * width * high), np.uint64)
        height = scratch[0, : width * high].reshape(high, width)
        area = scratch[1, : width * high].reshape(high, width)
        part, flip = (
            bits[0, : width * high].reshape(high, width),
            bits[1, : width * high].reshape(high, width),
        )
        many = _rasterise(
            corners[first_corner[row] : first_corner[row + 1]],
            x0,
            y0,
            nside,
            tolerance,
            joined,
            points,
            height,
            area,
        )
        if joined:
            _scan(points, many, x0, y0, part, flip)
        first, last = max(corner[0] - x0, 0), min(corner[0] + side - x0, width)
        sign, alone = box[row, 5], width * high == 1
        for j in range(max(corner[1] - y0, 0), min(corner[1] + side - y0, high)):
            low, end = _sweep(height[j], area[j], sign, blur, first, alone)
            across = bits_of[y0 + j - corner[1]] << 1
            for i in range(low, min(end, last)):
                share = area[j, i]
                if share > 0.0:
                    here = across | bits_of[x0 + i - corner[0]]
                    seen[here] = True
                    for k in range(sums.shape[1]):
                        sums[here, k] += weights[row, k] * share
                    if joined:
                        union[here, 0] += share
                        union[here, 1] = max(union[here, 1], share)
            if joined:
                carry = np.uint64(0)
                for i in range(min(end, width - 1), max(low - 1, first) - 1, -1):
                    if i < last:
                        words[across | bits_of[x0 + i - corner[0]]] |= carry ^ part[j, i]
                    carry ^= flip[j, i]
        _clear(scratch[:, : width * high])
        if joined:
            _clear(bits[:, : width * high])


@njit(cache=True, nogil=True, error_model="numpy")
def add_pairs(
    cell: IntArray,
    owner: IntArray,
    share: FloatArray,
    word: Words,
    weights: FloatArray,
    sums: FloatArray,
    seen: NDArray[np.bool_],
    union: FloatArray,
    words: Words,
) -> None:
    """Add shares given one by one: cells (counted in the node), outlines, shares and sub-cells (p,)."""
    for p in range(cell.size):
        here = cell[p]
        seen[here] = True
        for k in range(sums.shape[1]):
            sums[here, k] += weights[owner[p], k] * share[p]
        if words.size:
            union[here, 0] += share[p]
            union[here, 1] = max(union[here, 1], share[p])
            words[here] |= word[p]


@njit(cache=True, nogil=True, error_model="numpy")
def add_ranges(
    ranges: IntArray,
    owner: IntArray,
    weights: FloatArray,
    sums: FloatArray,
    seen: NDArray[np.bool_],
    union: FloatArray,
    words: Words,
) -> None:
    """Add outlines that hold whole ranges (r, 2) of cells (counted in the node)."""
    for r in range(owner.size):
        for here in range(ranges[r, 0], ranges[r, 1]):
            seen[here] = True
            for k in range(sums.shape[1]):
                sums[here, k] += weights[owner[r], k]
            if words.size:
                union[here, 0] += 1.0
                union[here, 1] = 1.0


@njit(cache=True, nogil=True)
def _ones(word: np.uint64) -> int:
    """Number of bits that are set."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    word = word + (word >> np.uint64(8))
    word = word + (word >> np.uint64(16))
    return int((word + (word >> np.uint64(32))) & np.uint64(0x7F))


@njit(cache=True, nogil=True, error_model="numpy")
def collect(
    begin: int, sums: FloatArray, seen: NDArray[np.bool_], union: FloatArray, words: Words
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Cells of a node that have a share, ascending, their sums (n, k) and unions (n,); the node is cleared.

    `begin` is the first cell of the node. A union lies between the largest share and the sum: it is exact where one
    outline covers the cell or touches it alone.
    """
    many = int(np.sum(seen))
    cells, values = np.empty(many, np.int64), np.empty((many, sums.shape[1]))
    covered = np.empty(many if words.size else 0)
    count = 0
    for here in range(seen.size):
        if not seen[here]:
            continue
        seen[here] = False
        cells[count] = begin + here
        for k in range(sums.shape[1]):
            values[count, k] = sums[here, k]
            sums[here, k] = 0.0
        if words.size:
            part = max(_ones(words[here]) / 64.0, union[here, 1])
            covered[count] = min(part, min(union[here, 0], 1.0))
            union[here, 0], union[here, 1], words[here] = 0.0, 0.0, 0
        count += 1
    return cells, values, covered


@njit(cache=True, nogil=True, error_model="numpy")
def list_shares(
    corners: FloatArray,
    first_corner: IntArray,
    rows: IntArray,
    box: IntArray,
    order: int,
    tolerance: float,
    blur: float,
    corner: tuple[int, int],
    depth: int,
) -> tuple[IntArray, IntArray, FloatArray]:
    """Shares of outlines in the cells of a node: outline, cell (counted in the node) and share.

    Parameters are those of `add_outlines`; rows of the answer ascend by cell, and keep the order of `rows` in it.
    """
    nside, side = float(1 << order), 1 << depth
    points, scratch = np.empty((MOST_POINTS, 2)), np.zeros((2, 1 << 12))
    owners, cells, shares = np.empty(1 << 12, np.int64), np.empty(1 << 12, np.int64), np.empty(1 << 12)
    start = np.zeros((1 << (2 * depth)) + 1, np.int64)
    count = 0
    for row in rows:
        x0, y0 = box[row, 1], box[row, 3]
        width, high = box[row, 2] - x0 + 1, box[row, 4] - y0 + 1
        if width * high > scratch.shape[1]:
            scratch = np.zeros((2, 2 * width * high))
        if count + width * high > cells.size:
            owners, cells, shares = _longer(owners, cells, shares, 2 * (count + width * high))
        height = scratch[0, : width * high].reshape(high, width)
        area = scratch[1, : width * high].reshape(high, width)
        _rasterise(
            corners[first_corner[row] : first_corner[row + 1]],
            x0,
            y0,
            nside,
            tolerance,
            False,
            points,
            height,
            area,
        )
        first, last = max(corner[0] - x0, 0), min(corner[0] + side - x0, width)
        for j in range(max(corner[1] - y0, 0), min(corner[1] + side - y0, high)):
            low, end = _sweep(height[j], area[j], box[row, 5], blur, first, width * high == 1)
            across = spread(y0 + j - corner[1]) << 1
            for i in range(low, min(end, last)):
                if area[j, i] > 0.0:
                    owners[count], shares[count] = row, area[j, i]
                    cells[count] = across | spread(x0 + i - corner[0])
                    start[cells[count] + 1] += 1
                    count += 1
        _clear(scratch[:, : width * high])
    for k in range(1, start.size):
        start[k] += start[k - 1]
    outline, cell, share = np.empty(count, np.int64), np.empty(count, np.int64), np.empty(count)
    for p in range(count):
        to = start[cells[p]]
        start[cells[p]] += 1
        outline[to], cell[to], share[to] = owners[p], cells[p], shares[p]
    return outline, cell, share


@njit(cache=True, nogil=True)
def _longer(
    owners: IntArray, cells: IntArray, shares: FloatArray, size: int
) -> tuple[IntArray, IntArray, FloatArray]:
    """The three columns with more room."""
    more_owners, more_cells, more_shares = np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size)
    more_owners[: owners.size] = owners
    more_cells[: cells.size] = cells
    more_shares[: shares.size] = shares
    return more_owners, more_cells, more_shares
