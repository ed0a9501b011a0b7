"""Exact quantiles of the pixels of each cell.

Pixels are gathered run by run in the order of their cells, as ordered integers (see `binning`), so that gathering is
a copy of contiguous memory. An order statistic is found by counting the values of a cell in 1024 equal intervals of
integers and going on inside the interval that holds its rank, until few are left: a few passes whatever the values are.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from vmpz.kernels.words import native_word, ordered_float, ordered_word

__all__ = ["gather_rows", "select"]

BINS_LOG2 = 10
FEW = 24
LARGEST_FINITE = np.int32(0x7F7FFFFF)
SMALLEST_FINITE = np.int32(-0x7F800000)

Array = NDArray[Any]


@njit(cache=True, nogil=True)
def gather_rows(
    columns: int, first: Array, slot: Array, virtual: Array, row_start: Array, flags: Array, words: Array, swap: bool,
    deciding: Array, deciding_swap: bool, limits: Array, good: bool, veto: np.uint32, virtual_veto: np.uint8,
    end: Array, out: Array, beside: Array,
) -> None:  # fmt: skip
    """Append the finite pixels of a sample to the lists of their slots.

    Parameters
    ----------
    columns, first, slot, virtual, row_start, flags, limits, veto, virtual_veto :
        As in `binning.add_rows`.
    words, swap : uint32 array (rows, columns), bool
        The plane, and whether its words are byte-swapped.
    deciding, deciding_swap : uint32 array (rows or 1, columns), bool
        The plane that decides validity.
    good : bool
        The sample: good pixels, or valid ones.
    end : int64 array (slots,)
        Where the list of each slot ends so far; moved on.
    out : int32 array
        The lists: ordered words.
    beside : int32 array
        Like `out`, for the deciding plane of the same pixels; empty where it is not wanted.
    """
    upper = limits[2] if good else limits[1]
    masked = veto if good else np.uint32(0)
    for row in range(row_start.size - 1):
        flag_row = flags[row if flags.shape[0] > 1 else 0]
        deciding_row = deciding[row if deciding.shape[0] > 1 else 0]
        word_row = words[row]
        for k in range(row_start[row], row_start[row + 1]):
            if slot[k] < 0 or (good and virtual.size > 0 and (virtual[k] & virtual_veto) != 0):
                continue
            begin = np.int64(first[k])
            stop = np.int64(first[k + 1]) if k + 1 < row_start[row + 1] else np.int64(columns)
            at = end[slot[k]]
            end[slot[k]] += _append(
                flag_row[begin:stop], masked, deciding_row[begin:stop], deciding_swap, limits[0], upper,
                word_row[begin:stop], swap, out[at : at + stop - begin], beside[at : at + stop - begin],
            )  # fmt: skip


@njit(cache=True, nogil=True)
def _append(
    flags: Array, veto: np.uint32, deciding: Array, deciding_swap: bool, lower: np.int32, upper: np.int32,
    words: Array, swap: bool, out: Array, beside: Array,
) -> int:  # fmt: skip
    """Copy the pixels of a run that are in the sample; their number."""
    union = np.uint32(0)
    low, high = np.int32(0x7FFFFFFF), np.int32(-0x80000000)
    least, most = low, high
    for i in range(words.size):
        union = np.uint32(union | flags[i])
        place = ordered_word(native_word(deciding[i], deciding_swap))
        low, high = min(low, place), max(high, place)
        value = ordered_word(native_word(words[i], swap))
        least, most = min(least, value), max(most, value)
        out[i] = value
    finite = least >= SMALLEST_FINITE and most <= LARGEST_FINITE
    if finite and low >= lower and high <= upper and (union & veto) == np.uint32(0):
        for i in range(beside.size):
            beside[i] = ordered_word(native_word(deciding[i], deciding_swap))
        return words.size
    n = 0
    for i in range(words.size):
        place = ordered_word(native_word(deciding[i], deciding_swap))
        value = ordered_word(native_word(words[i], swap))
        if (
            lower <= place <= upper
            and (flags[i] & veto) == np.uint32(0)
            and SMALLEST_FINITE <= value <= LARGEST_FINITE
        ):
            out[n] = value
            if beside.size > 0:
                beside[n] = place
            n += 1
    return n


@njit(cache=True, nogil=True, error_model="numpy")
def select(lists: Array, begin: Array, end: Array, fractions: Array, out: Array) -> None:
    """Quantiles of lists, linear between values (numpy's default).

    Parameters
    ----------
    lists : int32 array
        Ordered words.
    begin, end : int64 arrays (n,)
        Where each list lies.
    fractions : float64 array (q,)
        0 to 1.
    out : float64 array (n, q)
        Output, NaN for an empty list.
    """
    longest = 0
    for k in range(begin.size):
        longest = max(longest, end[k] - begin[k])
    scratch = np.empty(longest, np.int32)
    counts = np.empty(1 << BINS_LOG2, np.int32)
    for k in range(begin.size):
        values = lists[begin[k] : end[k]]
        for q in range(fractions.size):
            if values.size == 0:
                out[k, q] = np.nan
                continue
            place = fractions[q] * (values.size - 1)
            rank = int(place)
            below = _nth(values, rank, scratch, counts)
            lower = ordered_float(below)
            share = place - rank
            if share > 0.0:
                lower += (ordered_float(_next_after(values, rank, below)) - lower) * share
            out[k, q] = lower


@njit(cache=True, nogil=True)
def _next_after(values: Array, rank: int, at_rank: np.int32) -> np.int32:
    """The value of the next rank."""
    upto = 0
    above = np.int32(0x7FFFFFFF)
    for i in range(values.size):
        upto += 1 if values[i] <= at_rank else 0
        above = min(above, values[i] if values[i] > at_rank else np.int32(0x7FFFFFFF))
    return at_rank if upto > rank + 1 else above


@njit(cache=True, nogil=True)
def _nth(values: Array, rank: int, scratch: Array, counts: Array) -> Any:
    """The value of a rank (0 = lowest)."""
    left = values
    while True:
        low, high = np.int32(0x7FFFFFFF), np.int32(-0x80000000)
        for i in range(left.size):
            low, high = min(low, left[i]), max(high, left[i])
        if low == high:
            return low
        if left.size <= FEW:
            return _nth_of_few(left, rank, scratch)
        shift = np.int64(0)
        while (np.int64(high) - np.int64(low)) >> shift >= 1 << BINS_LOG2:
            shift += 1
        counts[:] = 0
        for i in range(left.size):
            counts[(np.int64(left[i]) - np.int64(low)) >> shift] += np.int32(1)
        chosen = 0
        while rank >= counts[chosen]:
            rank -= counts[chosen]
            chosen += 1
        first = np.int64(low) + (np.int64(chosen) << shift)
        last = first + (np.int64(1) << shift)
        n = 0
        for i in range(left.size):
            value = left[i]
            scratch[n] = value
            n += 1 if (value >= first) & (value < last) else 0
        left = scratch[:n]


@njit(cache=True, nogil=True)
def _nth_of_few(values: Array, rank: int, scratch: Array) -> np.int32:
    """The same by insertion sort in the scratch array, which may be where the values are."""
    for i in range(values.size):
        value = values[i]
        j = i
        while j > 0 and scratch[j - 1] > value:
            scratch[j] = scratch[j - 1]
            j -= 1
        scratch[j] = value
    return np.int32(scratch[rank])
