"""Columns in memory to rows as FITS files hold them: big-endian 32-bit words, one record after the other."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from vmpz.kernels.words import native_word

__all__ = ["pack_long_words", "pack_words"]


@njit(cache=True, nogil=True)
def pack_words(values: NDArray[np.uint32], swap: bool, rows: Any) -> np.uint64:
    """Write a column of 4 bytes into its place in every row, and sum its words.

    Parameters
    ----------
    values : uint32 (n,)
        The bits of the values.
    swap : bool
        Whether numbers in memory are little-endian.
    rows : uint32 (n, >= 1)
        Output: the rows, from the place of the column on.

    Returns
    -------
    uint64
        Sum of the words, not yet folded: the part of the column in the DATASUM of FITS.
    """
    total = np.uint64(0)
    for k in range(values.size):
        word = values[k]
        total += np.uint64(word)
        row = rows[k]
        row[0] = native_word(word, swap)
    return total


@njit(cache=True, nogil=True)
def pack_long_words(values: NDArray[np.uint64], swap: bool, rows: Any) -> np.uint64:
    """The same for a column of 8 bytes: uint64 (n,) into rows of uint32 (n, >= 2)."""
    total = np.uint64(0)
    for k in range(values.size):
        value = np.uint64(values[k])
        high, low = np.uint32(value >> np.uint64(32)), np.uint32(value & np.uint64(0xFFFFFFFF))
        total += np.uint64(high) + np.uint64(low)
        row = rows[k]
        row[0] = native_word(high, swap)
        row[1] = native_word(low, swap)
    return total
