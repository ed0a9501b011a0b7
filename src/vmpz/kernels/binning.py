"""Pixels to cells in one pass: counts of flags and moments of planes, run by run.

A run is a piece of an image row inside one cell (see `pixelcells`). Every loop over its pixels is a plain loop over
contiguous memory that the compiler turns into vector instructions; what a run adds to its cell is scattered once.
Planes are taken as 32-bit words as they lie in the file: words of floats are swapped in registers (``swap``), words
of flags not at all, since masks and counters of bits can be permuted instead.

*Validity.* Floats are compared as ordered integers, ``w ^ ((w >> 31) & 0x7fffffff)``: a pixel is valid if the ordered
word of the deciding plane (RMS, else IMAGE) lies between two limits, which leaves NaN and infinity out as well.
One look at a piece gives the OR of its flags and the moments, minimum and maximum of that plane; the usual piece is
thereby seen to be usable throughout and needs no mask. Otherwise each pixel gets a *state* (bits VALID, USABLE, GOOD).

*Flags.* Few different bits are counted one by one, many by eight counters of four bytes each,
``s_k += (word >> k) & 0x01010101``; runs are cut in pieces of at most `PIECE` pixels so that no byte overflows.

*Moments.* Within a piece ``sum d`` and ``sum d**2`` are taken in float32 about a pixel of the piece itself, across
pieces in float64. Where the pivot turns out far from the mean (``(sum d)**2 > 0.9 n sum d**2``) the piece is summed
again about its mean, and where squares overflow, underflow or meet a NaN, in float64 over finite pixels: mean and
sum of squared deviations keep about six digits whatever offset and unit the plane has.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from vmpz.kernels.words import float_of, native_word, ordered_float, ordered_word

__all__ = ["BITS", "add_rows"]

PIECE = 240
"""Longest piece of a run, pixels: byte counters and ten-bit fields do not overflow."""

VALID, USABLE, GOOD = np.int32(0), np.int32(10), np.int32(20)
"""Bits of a pixel's state; the sum of states over a piece keeps the three counts apart."""

BITS = 32
"""Flag bits of the words."""

FEW = 5
"""So many different bits in a piece are counted one by one."""

DE_BRUIJN = np.uint32(0x077CB531)
BIT_NUMBER = np.zeros(32, np.int64)
BIT_NUMBER[[(0x077CB531 << bit & 0xFFFFFFFF) >> 27 for bit in range(32)]] = range(32)
"""Number of the bit in a word of one bit, by the upper five bits of its product with a de Bruijn sequence."""

SUMS = {"reassoc", "contract", "nsz", "arcp"}
TOP, BOTTOM = np.int32(0x7FFFFFFF), np.int32(-0x80000000)
EVERY_BYTE = np.uint32(0x01010101)

Array = NDArray[Any]
Sums = tuple[np.float32, np.float32, np.int32, np.int32]
Piece = tuple[int, float, float, float, float, float]


# -- flags ----------------------------------------------------------------------------------------------


@njit(cache=True, nogil=True)
def _hits(flags: Array, mask: np.uint32) -> np.int32:
    """Number of words that have a bit of the mask."""
    n = np.int32(0)
    for i in range(flags.size):
        n = np.int32(n + np.int32((flags[i] & mask) != np.uint32(0)))
    return n


@njit(cache=True, nogil=True)
def _usable_hits(flags: Array, state: Array, mask: np.uint32) -> np.int32:
    """Number of usable pixels whose word has a bit of the mask."""
    n = np.int32(0)
    for i in range(flags.size):
        n = np.int32(n + np.int32(np.int32((flags[i] & mask) != np.uint32(0)) & np.int32(state[i] >> USABLE)))
    return n


@njit(cache=True, nogil=True)
def _count_bits(flags: Array, union: np.uint32, counts: Array) -> np.int32:
    """Add the number of words with each of 32 bits, given their OR; that number if there is one bit only, else -1."""
    rest, few = union, 0
    while rest != np.uint32(0) and few <= FEW:
        rest = np.uint32(rest & np.uint32(rest - np.uint32(1)))
        few += 1
    if few > FEW:
        _count_every_bit(flags, counts)
        return np.int32(-1)
    n = np.int32(0)
    rest = union
    while rest != np.uint32(0):
        lowest = np.uint32(rest & np.uint32(~rest + np.uint32(1)))
        rest = np.uint32(rest ^ lowest)
        n = _hits(flags, lowest)
        counts[BIT_NUMBER[np.uint32(lowest * DE_BRUIJN) >> np.uint32(27)]] += n
    return n if few == 1 else np.int32(-1)


@njit(cache=True, nogil=True)
def _count_every_bit(flags: Array, counts: Array) -> None:
    """The same by byte counters."""
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = np.uint32(0)
    for i in range(flags.size):
        w = flags[i]
        s0 = np.uint32(s0 + np.uint32(w & EVERY_BYTE))
        s1 = np.uint32(s1 + np.uint32(np.uint32(w >> np.uint32(1)) & EVERY_BYTE))
        s2 = np.uint32(s2 + np.uint32(np.uint32(w >> np.uint32(2)) & EVERY_BYTE))
        s3 = np.uint32(s3 + np.uint32(np.uint32(w >> np.uint32(3)) & EVERY_BYTE))
        s4 = np.uint32(s4 + np.uint32(np.uint32(w >> np.uint32(4)) & EVERY_BYTE))
        s5 = np.uint32(s5 + np.uint32(np.uint32(w >> np.uint32(5)) & EVERY_BYTE))
        s6 = np.uint32(s6 + np.uint32(np.uint32(w >> np.uint32(6)) & EVERY_BYTE))
        s7 = np.uint32(s7 + np.uint32(np.uint32(w >> np.uint32(7)) & EVERY_BYTE))
    for byte in range(4):
        shift = np.uint32(8 * byte)
        counts[8 * byte] += np.int32((s0 >> shift) & np.uint32(255))
        counts[8 * byte + 1] += np.int32((s1 >> shift) & np.uint32(255))
        counts[8 * byte + 2] += np.int32((s2 >> shift) & np.uint32(255))
        counts[8 * byte + 3] += np.int32((s3 >> shift) & np.uint32(255))
        counts[8 * byte + 4] += np.int32((s4 >> shift) & np.uint32(255))
        counts[8 * byte + 5] += np.int32((s5 >> shift) & np.uint32(255))
        counts[8 * byte + 6] += np.int32((s6 >> shift) & np.uint32(255))
        counts[8 * byte + 7] += np.int32((s7 >> shift) & np.uint32(255))


# -- moments of a piece ---------------------------------------------------------------------------------


@njit(cache=True, nogil=True, error_model="numpy", fastmath=SUMS)
def _look(
    flags: Array, words: Array, swap: bool, pivot: np.float32
) -> tuple[np.uint32, np.float32, np.float32, np.int32, np.int32]:
    """OR of the flags, and of all pixels sum d, sum d**2 (d = value - pivot), lowest and highest ordered word."""
    union = np.uint32(0)
    s1, s2 = np.float32(0), np.float32(0)
    low, high = TOP, BOTTOM
    for i in range(words.size):
        union = np.uint32(union | flags[i])
        word = native_word(words[i], swap)
        d = np.float32(np.uint32(word).view(np.float32) - pivot)
        s1 = np.float32(s1 + d)
        s2 = np.float32(s2 + d * d)
        place = ordered_word(word)
        low = min(low, place)
        high = max(high, place)
    return union, s1, s2, low, high


@njit(cache=True, nogil=True, error_model="numpy", fastmath=SUMS)
def _sums(words: Array, swap: bool, pivot: np.float32) -> Sums:
    """The same without flags."""
    s1, s2 = np.float32(0), np.float32(0)
    low, high = TOP, BOTTOM
    for i in range(words.size):
        word = native_word(words[i], swap)
        d = np.float32(np.uint32(word).view(np.float32) - pivot)
        s1 = np.float32(s1 + d)
        s2 = np.float32(s2 + d * d)
        place = ordered_word(word)
        low = min(low, place)
        high = max(high, place)
    return s1, s2, low, high


@njit(cache=True, nogil=True, error_model="numpy", fastmath=SUMS)
def _sums_where(words: Array, swap: bool, pivot: np.float32, state: Array, sample: np.int32) -> Sums:
    """The same over the pixels of a sample, a bit of their state."""
    s1, s2 = np.float32(0), np.float32(0)
    low, high = TOP, BOTTOM
    bit = np.int32(np.int32(1) << sample)
    for i in range(words.size):
        inside = (state[i] & bit) != np.int32(0)
        word = native_word(words[i], swap)
        d = np.float32(np.uint32(word).view(np.float32) - pivot) if inside else np.float32(0)
        s1 = np.float32(s1 + d)
        s2 = np.float32(s2 + d * d)
        place = ordered_word(word)
        low = min(low, place if inside else TOP)
        high = max(high, place if inside else BOTTOM)
    return s1, s2, low, high


@njit(cache=True, nogil=True)
def _survey(flags: Array, words: Array, swap: bool, limits: Array, veto: np.uint32, state: Array) -> np.int32:
    """Set the state of each pixel; their sum."""
    total = np.int32(0)
    lowest, valid_to, usable_to = limits[0], limits[1], limits[2]
    for i in range(words.size):
        place = ordered_word(native_word(words[i], swap))
        valid = np.int32((place >= lowest) & (place <= valid_to))
        usable = np.int32(valid & np.int32(place <= usable_to))
        good = np.int32(usable & np.int32((flags[i] & veto) == np.uint32(0)))
        state[i] = np.int32(valid | np.int32(usable << USABLE) | np.int32(good << GOOD))
        total = np.int32(total + state[i])
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def _finite_moments(
    words: Array, swap: bool, state: Array, sample: np.int32
) -> tuple[int, float, float, float, float]:
    """Number, mean, sum of squared deviations, minimum and maximum of finite pixels of a sample, in float64."""
    n = 0
    mean = 0.0
    low, high = np.inf, -np.inf
    bit = np.int32(np.int32(1) << sample)
    for i in range(words.size):
        value = np.float64(float_of(words[i], swap))
        if (state[i] & bit) != np.int32(0) and np.isfinite(value):
            n += 1
            mean += value
            low = min(low, value)
            high = max(high, value)
    mean = mean / max(n, 1)
    m2 = 0.0
    for i in range(words.size):
        value = np.float64(float_of(words[i], swap))
        if (state[i] & bit) != np.int32(0) and np.isfinite(value):
            m2 += (value - mean) ** 2
    return n, mean, m2, low, high


@njit(cache=True, nogil=True, error_model="numpy")
def _off_centre(n: int, s1: np.float32, s2: np.float32) -> bool:
    """Whether the pivot is so far from the mean that digits are lost."""
    return bool(s1 * s1 > np.float32(0.9) * np.float32(n) * s2)


@njit(cache=True, nogil=True, error_model="numpy")
def _in_range(s2: np.float32, low: np.int32, high: np.int32) -> bool:
    """Whether squares neither overflowed nor underflowed nor met a NaN."""
    return bool(s2 < np.float32(1e30) and (s2 > np.float32(1e-25) or low == high))


@njit(cache=True, nogil=True)
def _moments(
    n: int, pivot: np.float32, s1: np.float32, s2: np.float32, low: np.int32, high: np.int32
) -> Piece:
    """Moments of a piece in float64."""
    return n, np.float64(pivot), np.float64(s1), np.float64(s2), ordered_float(low), ordered_float(high)


@njit(cache=True, nogil=True)
def _first_of(state: Array, sample: np.int32) -> int:
    """Place of the first pixel of a sample."""
    bit = np.int32(np.int32(1) << sample)
    for i in range(state.size):
        if (state[i] & bit) != np.int32(0):
            return i
    return 0


@njit(cache=True, nogil=True, error_model="numpy")
def _piece(words: Array, swap: bool, state: Array, sample: np.int32, n: int) -> Any:
    """Moments (n, pivot, sum d, sum d**2, minimum, maximum) of the finite ones among the n pixels of a sample."""
    pivot = float_of(words[_first_of(state, sample)], swap)
    s1, s2, low, high = _sums_where(words, swap, pivot, state, sample)
    if _off_centre(n, s1, s2):
        pivot = np.float32(pivot + s1 / np.float32(n))
        s1, s2, low, high = _sums_where(words, swap, pivot, state, sample)
    if _in_range(s2, low, high):
        return _moments(n, pivot, s1, s2, low, high)
    found, mean, m2, least, most = _finite_moments(words, swap, state, sample)
    return found, mean, 0.0, m2, least, most


@njit(cache=True, nogil=True, error_model="numpy")
def _merge(moments: Array, slot: np.uint64, plane: int, part: int, piece: Piece) -> None:
    """Add a piece to a cell's (n, pivot, sum d, sum d**2, minimum, maximum)."""
    n, pivot, s1, s2, low, high = piece
    if n == 0:
        return
    if moments[slot, plane, part, 0] == 0.0:
        moments[slot, plane, part, 1] = pivot + s1 / n
    d = pivot - moments[slot, plane, part, 1]
    moments[slot, plane, part, 0] += n
    moments[slot, plane, part, 2] += s1 + n * d
    moments[slot, plane, part, 3] += s2 + d * (2.0 * s1 + n * d)
    moments[slot, plane, part, 4] = min(moments[slot, plane, part, 4], low)
    moments[slot, plane, part, 5] = max(moments[slot, plane, part, 5], high)


# -- rows -----------------------------------------------------------------------------------------------


@njit(cache=True, nogil=True, error_model="numpy")
def add_rows(
    columns: int,
    first: Array,
    slot: Array,
    virtual: Array,
    row_start: Array,
    flags: Array,
    known: np.uint32,
    planes: tuple[Array, ...],
    swaps: tuple[bool, ...],
    decider: int,
    limits: Array,
    low_masks: Array,
    high_masks: Array,
    veto: np.uint32,
    virtual_veto: np.uint8,
    counts: Array,
    moments: Array,
    stray: Array,
) -> None:
    """Add rows of one band to the statistics of a block.

    Parameters
    ----------
    columns : int
        Width of the image.
    first, slot, virtual : uint16 or uint32, int32, uint8 array
        Runs: first column, slot of the block (-1: not wanted), virtual bits. `virtual` may be empty: there are none.
    row_start : int64 array (rows + 1,)
        Where each row's runs begin.
    flags : uint32 array (rows, columns) or (1, columns)
        Flag words as stored; one row stands for all.
    known : uint32
        Bits that are no stray ones, in the byte order of `flags`, as are all masks.
    planes : four uint32 arrays, (rows, columns), (1, columns) or (0, 0)
        Words of RMS, BACKGROUND, IMAGE and of a plane that stands in for validity; (0, 0) where there is none.
    swaps : four bool
        Whether the words of each plane are byte-swapped.
    decider, limits : int, int32 array (3,)
        Plane that decides validity; lowest ordered word of a valid pixel, highest of a valid and of a usable one.
    low_masks, high_masks : uint32 array (s,), uint8 array (s,)
        Real bits of each joint selection; its virtual bits.
    veto, virtual_veto : uint32, uint8
        The selection that good pixels must not be hit by.
    counts : int32 array (slots, 2 + 32 + v + 2 s)
        Added to: pixels not valid, not usable; with each bit of the words; with each of the v lowest virtual bits;
        hit by each selection; usable and hit by it.
    moments : float64 array (slots, 3, 2, 6)
        Added to, by plane and sample (valid, good): n, pivot, sum d, sum d**2, min, max; starts as 0, 0, 0, 0, inf,
        -inf. What is added for valid pixels does not depend on what makes a pixel good.
    stray : int64 array (2,)
        Added to: pixels with unknown bits, OR of these bits.
    """
    state = np.zeros(PIECE, np.int32)
    selections = low_masks.size
    hits = counts.shape[1] - 2 * selections
    unknown = np.uint32(~np.uint32(known))
    flag_rows, decider_rows = flags.shape[0], planes[decider].shape[0]
    for row in range(row_start.size - 1):
        flag_row = flags[row if flag_rows > 1 else 0]
        deciding = planes[decider][row if decider_rows > 1 else 0]
        for k in range(row_start[row], row_start[row + 1]):
            here = slot[k]
            if here < 0:
                continue
            cell = np.uint64(here)
            begin = np.int64(first[k])
            end = np.int64(first[k + 1]) if k + 1 < row_start[row + 1] else np.int64(columns)
            inside = np.uint8(virtual[k]) if virtual.size > 0 else np.uint8(0)
            while begin < end:
                stop = min(begin + PIECE, end)
                flag = flag_row[begin:stop]
                word = deciding[begin:stop]
                n = stop - begin
                pivot = float_of(word[0], swaps[decider])
                union, s1, s2, low, high = _look(flag, word, swaps[decider], pivot)
                clear = low >= limits[0] and high <= limits[2]
                valid = usable = good = n
                if not clear or (union & veto) != np.uint32(0):
                    total = _survey(flag, word, swaps[decider], limits, veto, state)
                    valid = np.int64(total & np.int32(1023))
                    usable = np.int64((total >> USABLE) & np.int32(1023))
                    good = np.int64(total >> GOOD)
                    counts[cell, 0] += np.int32(n - valid)
                    counts[cell, 1] += np.int32(n - usable)
                if inside != 0:
                    for bit in range(hits - 2 - BITS):
                        counts[cell, 2 + BITS + bit] += np.int32(n) * np.int32((inside >> bit) & 1)
                    if (inside & virtual_veto) != 0:
                        good = np.int64(0)
                alone = np.int32(0)
                if union != np.uint32(0):
                    alone = _count_bits(flag, union, counts[cell, 2 : 2 + BITS])
                    if (union & unknown) != np.uint32(0):
                        stray[0] += _hits(flag, unknown)
                        stray[1] |= np.int64(union & unknown)
                if inside != 0 or union != np.uint32(0):
                    for s in range(selections):
                        if (inside & high_masks[s]) != 0:
                            counts[cell, hits + s] += np.int32(n)
                            counts[cell, hits + selections + s] += np.int32(usable)
                        elif (union & low_masks[s]) != np.uint32(0):
                            hit = alone if alone >= 0 else _hits(flag, low_masks[s])
                            counts[cell, hits + s] += hit
                            counts[cell, hits + selections + s] += (
                                hit if usable == n else _usable_hits(flag, state, low_masks[s])
                            )
                for p in range(3):
                    if planes[p].size == 0 or valid == 0:
                        continue
                    value, swap = planes[p][row, begin:stop], swaps[p]
                    if p == decider:
                        centre, t1, t2, least, most = pivot, s1, s2, low, high
                    elif valid == n:
                        centre = float_of(value[0], swap)
                        t1, t2, least, most = _sums(value, swap, centre)
                    if valid == n and not _off_centre(n, t1, t2) and _in_range(t2, least, most):
                        one = _moments(n, centre, t1, t2, least, most)
                    else:
                        if clear:
                            state[:n] |= np.int32(1)
                        one = _piece(value, swap, state, VALID, valid)
                    _merge(moments, cell, p, 0, one)
                    if good == valid:
                        _merge(moments, cell, p, 1, one)
                    elif good > 0:
                        _merge(moments, cell, p, 1, _piece(value, swap, state, GOOD, good))
                begin = stop
