"""Planes of one bit a pixel: usable pixels that a selection of flags does not hit.

Rows are packed in 64-bit words, first pixel in the lowest bit. Runs are those of `pixelcells`.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from vmpz.kernels.words import native_word, ordered_word

__all__ = ["count_rows", "pack_rows"]

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
        bit_row = bits[row]
        for k in range(row_start[row], row_start[row + 1]):
            if slot[k] < 0 or (virtual.size > 0 and (virtual[k] & virtual_veto) != 0):
                continue
            end = np.int64(first[k + 1]) if k + 1 < row_start[row + 1] else np.int64(columns)
            _pack(flag_row, deciding_row, swap, limits[0], limits[2], veto, np.int64(first[k]), end, bit_row)


@njit(cache=True, nogil=True)
def _pack(
    flags: Array, words: Array, swap: bool, lower: np.int32, upper: np.int32, veto: np.uint32,
    begin: int, end: int, bits: Array,
) -> None:  # fmt: skip
    """The pixels [begin, end) of a row."""
    for word in range(begin >> 6, (end + 63) >> 6):
        packed = np.uint64(0)
        for i in range(max(begin, 64 * word), min(end, 64 * word + 64)):
            place = ordered_word(native_word(words[i], swap))
            good = (place >= lower) & (place <= upper) & ((flags[i] & veto) == np.uint32(0))
            packed |= np.uint64(np.uint64(good) << np.uint64(i & 63))
        bits[word] |= packed


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
        for k in range(row_start[row], row_start[row + 1]):
            if slot[k] >= 0:
                end = np.int64(first[k + 1]) if k + 1 < row_start[row + 1] else np.int64(columns)
                counts[slot[k]] += _bits_between(bits[row], np.int64(first[k]), end)


@njit(cache=True, nogil=True)
def _bits_between(bits: Array, begin: int, end: int) -> int:
    """Number of bits set in [begin, end) of a row."""
    count = 0
    for word in range(begin >> 6, (end + 63) >> 6):
        w = np.uint64(bits[word])
        if word == begin >> 6:
            w &= np.uint64(0xFFFFFFFFFFFFFFFF) << np.uint64(begin & 63)
        if word == end >> 6:
            w &= (np.uint64(1) << np.uint64(end & 63)) - np.uint64(1)
        count += _population(w)
    return count


@njit(cache=True, nogil=True)
def _population(word: np.uint64) -> int:
    """Number of bits set in a word (Hacker's Delight 5-1)."""
    w = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    w = (w & np.uint64(0x3333333333333333)) + ((w >> np.uint64(2)) & np.uint64(0x3333333333333333))
    w = (w + (w >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    w = w + (w >> np.uint64(8))
    w = w + (w >> np.uint64(16))
    w = w + (w >> np.uint64(32))
    return int(w & np.uint64(0x7F))
