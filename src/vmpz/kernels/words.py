"""Words of 32 bits as files hold them: byte order, floats that order like integers, codes, checksums.

Words of FITS files are big-endian and stay so in memory; loops swap them in registers, at almost no cost.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = [
    "bit_places",
    "flag_words",
    "float_of",
    "native_word",
    "ones_complement_sum",
    "ordered_float",
    "ordered_word",
    "ordered_words",
    "renumber",
    "scale",
]

MAGNITUDE = np.int32(0x7FFFFFFF)

Array = NDArray[Any]


def ordered_words(values: NDArray[np.float32]) -> NDArray[np.int32]:
    """Integers that order like the floats, ``w ^ ((w >> 31) & 0x7fffffff)``: NaN lie beyond the infinities."""
    words = np.asarray(values, np.float32).view(np.int32)
    return words ^ ((words >> 31) & 0x7FFFFFFF)


def bit_places(swap: bool) -> NDArray[np.int64]:
    """Number that bits 0 to 31 have in words as stored."""
    bit = np.arange(32)
    return 8 * (3 - bit // 8) + bit % 8 if swap else bit


@njit(cache=True, nogil=True)
def native_word(word: np.uint32, swap: bool) -> np.uint32:
    """A stored word in native byte order."""
    if swap:
        return np.uint32(
            np.uint32(word << np.uint32(24))
            | np.uint32(np.uint32(word & np.uint32(0xFF00)) << np.uint32(8))
            | np.uint32(np.uint32(word >> np.uint32(8)) & np.uint32(0xFF00))
            | np.uint32(word >> np.uint32(24))
        )
    return np.uint32(word)


@njit(cache=True, nogil=True)
def float_of(word: np.uint32, swap: bool) -> np.float32:
    """The float32 of a stored word."""
    return np.uint32(native_word(word, swap)).view(np.float32)


@njit(cache=True, nogil=True)
def ordered_word(word: np.uint32) -> np.int32:
    """Integer that orders like the float of a native word; its own inverse."""
    signed = np.uint32(word).view(np.int32)
    return np.int32(signed ^ np.int32(np.int32(signed >> np.int32(31)) & MAGNITUDE))


@njit(cache=True, nogil=True)
def ordered_float(ordered: np.int32) -> np.float64:
    """The float of an ordered word."""
    word = np.int32(ordered ^ np.int32(np.int32(ordered >> np.int32(31)) & MAGNITUDE))
    return np.float64(np.int32(word).view(np.float32))


@njit(cache=True, nogil=True)
def flag_words(codes: Array, words: Array) -> None:
    """Codes to flag words: code k to bit k alone, 0 to none, codes beyond 31 to bit 31; uint32 (rows, columns)."""
    for row in range(codes.shape[0]):
        for c in range(codes.shape[1]):
            code = np.uint32(codes[row, c])
            bit = np.uint32(np.uint32(1) << min(code, np.uint32(31)))
            words[row, c] = bit if code != np.uint32(0) else np.uint32(0)


@njit(cache=True, nogil=True)
def ones_complement_sum(words: Array, swap: bool) -> np.uint64:
    """Sum of the 32-bit words of uint32 (rows, columns), not yet folded: the DATASUM of FITS."""
    total = np.uint64(0)
    for row in range(words.shape[0]):
        line = words[row]
        part = np.uint64(0)
        for c in range(line.size):
            part += np.uint64(native_word(line[c], swap))
        total += part
    return total


@njit(cache=True, nogil=True)
def scale(words: Array, swap: bool, factor: np.float32, limit: np.float32, out: Array) -> None:
    """Stored words of floats below a limit times a factor, others (and NaN) as they are; float32 (rows, columns)."""
    for row in range(words.shape[0]):
        line, values = words[row], out[row]
        for i in range(line.size):
            value = float_of(line[i], swap)
            values[i] = np.float32(value * factor) if abs(value) < limit else value


@njit(cache=True, nogil=True)
def renumber(words: Array, swap: bool, table: Array, out: Array) -> None:
    """Stored flag words with their bits at other places.

    Parameters
    ----------
    words, swap : uint32 array (rows, columns), bool
    table : uint32 array (4, 256)
        What each value of each byte becomes, lowest byte first.
    out : uint32 array (rows, columns)
    """
    byte = np.uint32(255)
    for row in range(words.shape[0]):
        line, values = words[row], out[row]
        for i in range(line.size):
            word = native_word(line[i], swap)
            values[i] = np.uint32(
                table[0, word & byte]
                | table[1, np.uint32(word >> np.uint32(8)) & byte]
                | table[2, np.uint32(word >> np.uint32(16)) & byte]
                | table[3, word >> np.uint32(24)]
            )
