"""Rows of sorted tables as files hold them: big-endian 32-bit words, the cell number in the first two.

Several sorted lists become one by runs: the list with the lowest cell gives rows until the next list's cell comes.
Tiles are compact and cells nested, so runs are long and most rows are copied without a choice.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from vmpz.kernels.words import native_word

__all__ = ["cells_of", "covered_ranges", "first_row", "merge_sorted"]

IntArray = NDArray[np.int64]
Words = NDArray[np.uint32]
Array = NDArray[Any]

SWAP = np.little_endian


@njit(cache=True, nogil=True)
def _cell(row: Words) -> np.int64:
    return np.int64(
        (np.uint64(native_word(row[0], SWAP)) << np.uint64(32)) | np.uint64(native_word(row[1], SWAP))
    )


@njit(cache=True, nogil=True)
def cells_of(rows: Words, cells: IntArray) -> None:
    """Cell numbers of rows, uint32 (n, words) -> int64 (n,)."""
    for k in range(rows.shape[0]):
        cells[k] = _cell(rows[k])


@njit(cache=True, nogil=True)
def first_row(rows: Words, cell: int, low: int) -> int:
    """The first row from `low` on whose cell is at least `cell`, of sorted rows; by bisection."""
    high = rows.shape[0]
    while low < high:
        middle = (low + high) // 2
        if _cell(rows[middle]) < cell:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, nogil=True)
def merge_sorted(rows: Words, start: IntArray, out: Words, at_fault: IntArray) -> bool:
    """Merge sorted lists of rows into one.

    Parameters
    ----------
    rows : uint32 (n, words)
        The lists, one after the other.
    start : int64 (lists + 1,)
        Where each list begins, and n.
    out : uint32 (n, words)
        Output, sorted by cell.
    at_fault : int64 (3,)
        Output where the result is false: two lists (the same one if it does not ascend) and the cell that stands
        twice, or out of order.

    Returns
    -------
    bool
        Whether every list ascends and no cell is in two.
    """
    lists = start.size - 1
    place, words = start[:-1].copy(), rows.shape[1]
    never = np.int64(0x7FFFFFFFFFFFFFFF)
    head = np.empty(lists, np.int64)
    for k in range(lists):
        head[k] = _cell(rows[place[k]]) if place[k] < start[k + 1] else never
    count, last, before = 0, np.int64(-1), -1
    while count < out.shape[0]:
        best, limit = 0, never
        for k in range(1, lists):
            if head[k] < head[best]:
                limit = head[best]
                best = k
            elif head[k] < limit:
                limit = head[k]
        row, end, cell = place[best], start[best + 1], head[best]
        while True:
            if cell <= last:
                at_fault[0], at_fault[1], at_fault[2] = best if before < 0 else before, best, cell
                return False
            for word in range(words):
                out[count, word] = rows[row, word]
            count += 1
            last, before = cell, best
            row += 1
            if row == end:
                cell = never
                break
            cell = _cell(rows[row])
            if cell >= limit:
                break
            if cell <= last:
                at_fault[0], at_fault[1], at_fault[2] = best, best, cell
                return False
        place[best], head[best] = row, cell
    return True


@njit(cache=True, nogil=True)
def covered_ranges(rows: Words, ranges: IntArray) -> int:
    """Half-open ranges of the cells of sorted rows.

    Parameters
    ----------
    rows : uint32 (n, words)
    ranges : int64 (n, 2)
        Output; the number of ranges is returned.
    """
    count, last = 0, np.int64(-2)
    for k in range(rows.shape[0]):
        cell = _cell(rows[k])
        if cell != last + 1:
            ranges[count, 0] = cell
            count += 1
        ranges[count - 1, 1] = cell + 1
        last = cell
    return count
