"""Looking cells up in sorted ranges: a table of blocks leads to the few ranges that can hold a cell."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["block_table", "copy_ranges", "places"]

Array = NDArray[Any]
IntArray = NDArray[np.int64]


@njit(cache=True, nogil=True)
def block_table(ranges: IntArray, first: int, shift: int, table: IntArray) -> None:
    """First range that ends after the begin of each block of 2**shift cells from `first` on; int64 (blocks + 1,)."""
    place = 0
    for block in range(table.size):
        begin = first + (np.int64(block) << shift)
        while place < ranges.shape[0] and ranges[place, 1] <= begin:
            place += 1
        table[block] = place


@njit(cache=True, nogil=True)
def places(
    ranges: IntArray,
    offsets: IntArray,
    first: int,
    shift: int,
    table: IntArray,
    cells: IntArray,
    out: IntArray,
) -> None:
    """Place of each cell among the cells of the ranges, -1 where it is in none.

    Parameters
    ----------
    ranges : int64 (n, 2)
        Sorted, disjoint, half-open.
    offsets : int64 (n + 1,)
        Cells before each range.
    first, shift, table
        See `block_table`.
    cells, out : int64 (m,)
    """
    for k in range(cells.size):
        cell = cells[k]
        block = (cell - first) >> shift
        out[k] = -1
        if cell < first or block >= table.size - 1:
            continue
        low, high = table[block], table[block + 1]
        while low < high:
            middle = (low + high) >> 1
            if ranges[middle, 1] <= cell:
                low = middle + 1
            else:
                high = middle
        if low < ranges.shape[0] and ranges[low, 0] <= cell < ranges[low, 1]:
            out[k] = offsets[low] + cell - ranges[low, 0]


@njit(cache=True, nogil=True)
def copy_ranges(values: Array, begin: IntArray, length: IntArray, out: Array) -> None:
    """Pieces of an array, one after the other: ``values[begin : begin + length]`` of each."""
    count = 0
    for k in range(begin.size):
        for i in range(begin[k], begin[k] + length[k]):
            out[count] = values[i]
            count += 1
