"""Planes of one bit a pixel: usable pixels that a selection of flags does not hit.

Rows are packed in 64-bit words, first pixel in the lowest bit. Runs are those of `pixelcells`.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from vmpz.kernels.words import native_word, ordered_word

__all__ = ["count_pixels", "count_rows", "pack_rows"]

Array = NDArray[Any]


@njit(cache=True, nogil=True)
def pack_rows(
    columns: int, first: Array, slot: Array, virtual: Array, row_start: Array, flags: Array,
    deciding: Array, swap: bool, limits: Array, veto: np.uint32, virtual_veto: np.uint8, bits: Array,
) -> None:  # fmt: skip
    """Set the bits of good pixels of wanted cells.

    Parameters
    ----------
    columns, first, slot, virtual, row_start, flags, limits, veto, virtual_veto :
        As in `binning.add_rows`.
    deciding, swap : uint32 array (rows or 1, columns), bool
        The plane that decides validity.
    bits : uint64 array (rows, ceil(columns / 64))
        Output, zero before.
    """
    for row in range(row_start.size - 1):
        flag_row = flags[row if flags.shape[0] > 1 else 0]
        deciding_row = deciding[row if deciding.shape[0] > 1 else 0]
        stop = row_start[row + 1]
        k = row_start[row]
        while k < stop:
            if slot[k] < 0 or (virtual.size > 0 and (virtual[k] & virtual_veto) != 0):
                k += 1
                continue
            begin = np.int64(first[k])
            while k < stop and slot[k] >= 0 and (virtual.size == 0 or (virtual[k] & virtual_veto) == 0):
                k += 1
            end = np.int64(first[k]) if k < stop else np.int64(columns)
            _pack(flag_row, deciding_row, swap, limits[0], limits[2], veto, begin, end, bits[row])


@njit(cache=True, nogil=True)
def _pack(
    flags: Array, words: Array, swap: bool, lower: np.int32, upper: np.int32, veto: np.uint32,
    begin: int, end: int, bits: Array,
) -> None:  # fmt: skip
    """The pixels [begin, end) of a row."""
    for word in range(begin >> 6, (end + 63) >> 6):
        low, high = max(begin, 64 * word), min(end, 64 * word + 64)
        flag, noise = flags[low:high], words[low:high]
        packed = np.uint64(0)
        for i in range(noise.size):
            place = ordered_word(native_word(noise[i], swap))
            good = (place >= lower) & (place <= upper) & ((flag[i] & veto) == np.uint32(0))
            packed |= np.uint64(good) << np.uint64(i)
        bits[word] |= packed << np.uint64(low & 63)


@njit(cache=True, nogil=True)
def count_rows(columns: int, first: Array, slot: Array, row_start: Array, bits: Array, counts: Array) -> None:
    """Add the number of set bits of each slot.

    Parameters
    ----------
    columns, first, slot, row_start :
        Runs, as in `binning.add_rows`.
    bits : uint64 array (rows, ceil(columns / 64))
    counts : int64 array (slots,)
        Added to.
    """
    for row in range(row_start.size - 1):
        bit_row = bits[row]
        word, whole, before = np.uint64(0), np.int64(0), np.int64(0)
        start, stop = row_start[row], row_start[row + 1]
        for k in range(start - 1, stop):
            end = np.uint64(first[k + 1]) if k + 1 < stop else np.uint64(columns)
            while word < end >> np.uint64(6):
                whole += _population(bit_row[word])
                word += np.uint64(1)
            until = whole  # bits before the end of the run, which is the beginning of the next
            if end & np.uint64(63):
                until += _population(bit_row[word] & ((np.uint64(1) << (end & np.uint64(63))) - np.uint64(1)))
            if k >= start and slot[k] >= 0:
                counts[np.uint64(slot[k])] += until - before
            before = until


@njit(cache=True, nogil=True)
def count_pixels(columns: int, first: Array, slot: Array, row_start: Array, counts: Array) -> None:
    """Add the number of pixels of each slot; runs and counts as in `count_rows`."""
    for row in range(row_start.size - 1):
        start, stop = row_start[row], row_start[row + 1]
        for k in range(start, stop):
            end = np.int64(first[k + 1]) if k + 1 < stop else np.int64(columns)
            if slot[k] >= 0:
                counts[np.uint64(slot[k])] += end - np.int64(first[k])


@njit(cache=True, nogil=True)
def _population(word: np.uint64) -> int:
    """Number of bits set in a word (Hacker's Delight 5-1), in the form that compilers know as one instruction."""
    w = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    w = (w & np.uint64(0x3333333333333333)) + ((w >> np.uint64(2)) & np.uint64(0x3333333333333333))
    w = (w + (w >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return int((w * np.uint64(0x0101010101010101)) >> np.uint64(56))
