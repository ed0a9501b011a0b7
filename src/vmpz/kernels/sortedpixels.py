"""Most frequent value and weighted median of the pixels of each cell, by sorting them.

Pixels are the ordered words that `quantiles.gather_rows` gathers. They are sorted as unsigned integers, digit by digit
from the lowest, leaving out digits that all pixels of the cell share: the time is linear in the number of pixels.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from vmpz.kernels.words import ordered_float

__all__ = ["most_frequent", "weighted_medians"]

DIGIT_BITS = 8
HALF_RANGE = 1 << 31

Array = NDArray[Any]


@njit(cache=True, nogil=True)
def most_frequent(lists: Array, begin: Array, end: Array, out: Array) -> None:
    """The most frequent value of each list, exact on float32 values, the lowest on ties.

    Parameters
    ----------
    lists : int32 array
        Ordered words.
    begin, end : int64 arrays (n,)
        Where each list lies.
    out : float64 array (n,)
        Output, NaN for an empty list.
    """
    keys, spare, counts = _room(begin, end)
    for k in range(begin.size):
        n = end[k] - begin[k]
        if n == 0:
            out[k] = np.nan
            continue
        for i in range(n):
            keys[i] = _key(lists[begin[k] + i])
        ascending = _sort(keys[:n], spare[:n], counts)
        best, most, times = ascending[0], 1, 1
        for i in range(1, n):
            times = times + 1 if ascending[i] == ascending[i - 1] else 1
            if times > most:
                best, most = ascending[i], times
        out[k] = _value(best)


@njit(cache=True, nogil=True, error_model="numpy")
def weighted_medians(lists: Array, noise: Array, begin: Array, end: Array, out: Array) -> None:
    """Value at half of the weight 1/noise**2; between two values where the half falls exactly between them.

    Weights are taken relative to the heaviest of the list, so that equal ones add up exactly, in ascending order of
    value, then weight.

    Parameters
    ----------
    lists, noise : int32 arrays
        Ordered words of the values and of the noise of the same pixels, which is positive.
    begin, end : int64 arrays (n,)
        Where each list lies.
    out : float64 array (n,)
        Output, NaN for an empty list.
    """
    keys, spare, counts = _room(begin, end)
    weight = np.empty(keys.size)
    for k in range(begin.size):
        n = end[k] - begin[k]
        if n == 0:
            out[k] = np.nan
            continue
        least = noise[begin[k]]
        for i in range(n):
            word = noise[begin[k] + i]
            least = min(least, word)
            keys[i] = (_key(lists[begin[k] + i]) << np.uint64(32)) | np.uint64(0x7FFFFFFF - np.int64(word))
        ascending = _sort(keys[:n], spare[:n], counts)
        heaviest, total = 1.0 / ordered_float(least) ** 2, 0.0
        for i in range(n):
            word = np.int32(0x7FFFFFFF - np.int64(ascending[i] & np.uint64(0x7FFFFFFF)))
            weight[i] = 1.0 / ordered_float(word) ** 2 / heaviest
            total += weight[i]
        i, running = 0, weight[0]
        while running < total / 2.0:
            i += 1
            running += weight[i]
        reached = _value(ascending[i] >> np.uint64(32))
        while running <= total / 2.0:
            i += 1
            running += weight[i]
        out[k] = (reached + _value(ascending[i] >> np.uint64(32))) / 2.0


@njit(cache=True, nogil=True)
def _room(begin: Array, end: Array) -> tuple[Array, Array, Array]:
    """Arrays for the keys of the longest list, twice, and for the counts of digits."""
    longest = 0
    for k in range(begin.size):
        longest = max(longest, end[k] - begin[k])
    return np.empty(longest, np.uint64), np.empty(longest, np.uint64), np.empty(1 << DIGIT_BITS, np.int64)


@njit(cache=True, nogil=True)
def _key(word: np.int32) -> np.uint64:
    """Unsigned integer in the order of the ordered words; the two zeros are one value."""
    signed = np.int64(word)
    return np.uint64((np.int64(0) if signed == -1 else signed) + HALF_RANGE)


@njit(cache=True, nogil=True)
def _value(key: np.uint64) -> Any:
    """The float of a key."""
    return ordered_float(np.int32(np.int64(key) - HALF_RANGE))


@njit(cache=True, nogil=True)
def _sort(keys: Array, spare: Array, counts: Array) -> Array:
    """The keys in ascending order, in one of the first two arrays; all three are overwritten."""
    differing = np.uint64(0)
    for i in range(1, keys.size):
        differing |= keys[i] ^ keys[0]
    digit = np.uint64((1 << DIGIT_BITS) - 1)
    for place in range(0, 64, DIGIT_BITS):
        shift = np.uint64(place)
        if (differing >> shift) & digit == np.uint64(0):
            continue
        counts[:] = 0
        for i in range(keys.size):
            counts[(keys[i] >> shift) & digit] += 1
        first = 0
        for value in range(counts.size):
            n = counts[value]
            counts[value] = first
            first += n
        for i in range(keys.size):
            value = (keys[i] >> shift) & digit
            spare[counts[value]] = keys[i]
            counts[value] += 1
        keys, spare = spare, keys
    return keys
