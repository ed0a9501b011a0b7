"""Pixels to cells in one pass: counts of flags and moments of planes, run by run.

A run is a piece of an image row inside one cell (see `pixelcells`). Every loop over its pixels is a plain loop over
contiguous memory that the compiler turns into vector instructions; what a run adds to its cell is scattered once.

Flags. Counts of all 32 bits come from eight counters of four bytes each, ``s_k += (word >> k) & 0x01010101``; runs are cut in
pieces of at most `PIECE` pixels so that no byte overflows. A piece whose words are all zero costs one comparison.

Moments. Within a piece ``sum d`` and ``sum d**2`` are taken in float32 about a pixel of the piece itself, across pieces in
float64. Where the pivot turns out far from the mean (``(sum d)**2 > 0.9 n sum d**2``) the piece is summed again about its
mean, and where squares overflow, underflow or meet a NaN, in float64 over finite pixels: the mean and the sum of squared deviations
keep about six digits whatever offset and unit the plane has. Minima and maxima are taken on the words of the floats as
ordered integers, ``w ^ ((w >> 31) & 0x7fffffff)``.

Planes are 32-bit words, big-endian ones (``swap``) as a FITS file holds them.
"""

import numpy as np
from numba import njit

__all__ = ["BITS", "GOOD", "PIECE", "USABLE", "VALID", "add_rows", "count_good", "ones_complement_sum"]

PIECE = 240
"""Longest piece of a run, pixels: byte counters and ten-bit fields do not overflow."""

VALID, USABLE, GOOD = 0, 10, 20
"""A pixel's state: bit VALID, bit USABLE, bit GOOD. Sums over a piece keep the three counts apart."""

BITS = 33
"""Flag bits counted: 32 of the words and one virtual."""

SUMS = {"reassoc", "contract", "nsz", "arcp"}
MAGNITUDE = np.int32(0x7FFFFFFF)
TOP = np.int32(0x7FFFFFFF)
BOTTOM = np.int32(-0x80000000)
EVERY_BYTE = np.uint32(0x01010101)


@njit(cache=True, nogil=True)
def _stage(words, swap, out):
    """A row of words in native order."""
    if swap:
        for c in range(out.size):
            w = words[c]
            out[c] = np.uint32(
                np.uint32(w << np.uint32(24))
                | np.uint32((w & np.uint32(0xFF00)) << np.uint32(8))
                | np.uint32((w >> np.uint32(8)) & np.uint32(0xFF00))
                | np.uint32(w >> np.uint32(24))
            )
    else:
        for c in range(out.size):
            out[c] = words[c]


@njit(cache=True, nogil=True)
def _decode(words):
    """Codes to words: code k to bit k alone, 0 to none; codes beyond 31 to bit 31."""
    for c in range(words.size):
        code = words[c]
        if code > np.uint32(0):
            words[c] = np.uint32(np.uint32(1) << min(code, np.uint32(31)))


@njit(cache=True, nogil=True, error_model="numpy")
def _state_from_rms(rms, flags, veto, rms_max, state):
    """State of each pixel of a row from its noise and its flags."""
    smallest, limit = np.float32(1.1754944e-38), np.float32(1e15)
    for c in range(state.size):
        noise = rms[c]
        valid = np.int32((noise >= smallest) & (noise < limit))
        usable = np.int32(valid & np.int32(noise <= rms_max))
        good = np.int32(usable & np.int32((flags[c] & veto) == np.uint32(0)))
        state[c] = np.int32(valid | np.int32(usable << np.int32(10)) | np.int32(good << np.int32(20)))


@njit(cache=True, nogil=True)
def _state_from_image(image, flags, veto, state):
    """State of each pixel of a row without a noise plane: valid where the image's word is finite."""
    exponent = np.uint32(0x7F800000)
    for c in range(state.size):
        valid = np.int32((image[c] & exponent) != exponent)
        good = np.int32(valid & np.int32((flags[c] & veto) == np.uint32(0)))
        state[c] = np.int32(valid | np.int32(valid << np.int32(10)) | np.int32(good << np.int32(20)))


@njit(cache=True, nogil=True)
def _state_from_flags(flags, veto, state):
    """State of each pixel of a row where nothing says that a pixel is invalid."""
    for c in range(state.size):
        good = np.int32((flags[c] & veto) == np.uint32(0))
        state[c] = np.int32(np.int32(1 + (1 << 10)) | np.int32(good << np.int32(20)))


@njit(cache=True, nogil=True)
def _survey(flags, state):
    """OR of the flags and sum of the states of a piece."""
    union = np.uint32(0)
    total = np.int32(0)
    for i in range(flags.size):
        union = np.uint32(union | flags[i])
        total = np.int32(total + state[i])
    return union, total


@njit(cache=True, nogil=True)
def _count_bits(flags, counts):
    """Add the number of pixels with each of 32 bits."""
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


@njit(cache=True, nogil=True)
def _count_selection(flags, state, mask):
    """Pixels hit by a selection, and usable pixels that are not."""
    total = np.int32(0)
    for i in range(flags.size):
        hit = np.int32((flags[i] & mask) != np.uint32(0))
        usable = np.int32((state[i] >> np.int32(10)) & np.int32(1))
        total = np.int32(
            total + np.int32(hit | np.int32(np.int32(usable & np.int32(hit ^ np.int32(1))) << np.int32(10)))
        )
    return total & np.int32(1023), total >> np.int32(10)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=SUMS)
def _sums(values, words, pivot):
    """Sums of d and d**2, d = value - pivot, and ordered words of minimum and maximum, over all pixels."""
    s1 = np.float32(0)
    s2 = np.float32(0)
    low, high = TOP, BOTTOM
    for i in range(values.size):
        d = np.float32(values[i] - pivot)
        s1 = np.float32(s1 + d)
        s2 = np.float32(s2 + d * d)
        w = words[i]
        w = np.int32(w ^ np.int32(np.int32(w >> np.int32(31)) & MAGNITUDE))
        low = min(low, w)
        high = max(high, w)
    return s1, s2, low, high


@njit(cache=True, nogil=True, error_model="numpy", fastmath=SUMS)
def _sums_where(values, words, pivot, state, sample):
    """The same over pixels whose state has the bit `sample`."""
    s1 = np.float32(0)
    s2 = np.float32(0)
    low, high = TOP, BOTTOM
    bit = np.int32(np.int32(1) << sample)
    for i in range(values.size):
        inside = (state[i] & bit) != np.int32(0)
        d = np.float32(values[i] - pivot) if inside else np.float32(0)
        s1 = np.float32(s1 + d)
        s2 = np.float32(s2 + d * d)
        w = words[i]
        w = np.int32(w ^ np.int32(np.int32(w >> np.int32(31)) & MAGNITUDE))
        low = min(low, w if inside else TOP)
        high = max(high, w if inside else BOTTOM)
    return s1, s2, low, high


@njit(cache=True, nogil=True, error_model="numpy")
def _finite_moments(values, state, sample):
    """Number, mean, sum of squared deviations, minimum and maximum of finite pixels of a sample, in float64."""
    n = 0
    mean = 0.0
    low, high = np.inf, -np.inf
    bit = np.int32(np.int32(1) << sample)
    for i in range(values.size):
        value = np.float64(values[i])
        if (state[i] & bit) != np.int32(0) and np.isfinite(value):
            n += 1
            mean += value
            low = min(low, value)
            high = max(high, value)
    mean = mean / max(n, 1)
    m2 = 0.0
    for i in range(values.size):
        value = np.float64(values[i])
        if (state[i] & bit) != np.int32(0) and np.isfinite(value):
            m2 += (value - mean) ** 2
    return n, mean, m2, low, high


@njit(cache=True, nogil=True)
def _first_of(state, sample):
    """Place of the first pixel of a sample."""
    bit = np.int32(np.int32(1) << sample)
    for i in range(state.size):
        if (state[i] & bit) != np.int32(0):
            return i
    return 0


@njit(cache=True, nogil=True)
def _float_of(ordered):
    """The float32 of an ordered word."""
    word = np.int32(ordered ^ np.int32(np.int32(ordered >> np.int32(31)) & MAGNITUDE))
    return np.float64(word.view(np.float32))


@njit(cache=True, nogil=True, error_model="numpy")
def _merge(moments, n, pivot, s1, s2, low, high):
    """Add a piece to a cell's (n, pivot, sum d, sum d**2, min, max)."""
    if n == 0:
        return
    if moments[0] == 0.0:
        moments[1] = pivot + s1 / n
    d = pivot - moments[1]
    moments[0] += n
    moments[2] += s1 + n * d
    moments[3] += s2 + d * (2.0 * s1 + n * d)
    moments[4] = min(moments[4], low)
    moments[5] = max(moments[5], high)


@njit(cache=True, nogil=True, error_model="numpy")
def _piece(values, words, state, sample, n):
    """Moments of the n pixels of a sample in a piece: (n, pivot, sum d, sum d**2, min, max)."""
    everything = n == values.size
    pivot = values[0] if everything else values[_first_of(state, sample)]
    for _ in range(2):
        if everything:
            s1, s2, low, high = _sums(values, words, pivot)
        else:
            s1, s2, low, high = _sums_where(values, words, pivot, state, sample)
        if not s1 * s1 > np.float32(0.9) * np.float32(n) * s2:
            break
        pivot = np.float32(pivot + s1 / np.float32(n))
    if s2 < np.float32(1e30) and (s2 > np.float32(1e-25) or low == high):
        return n, np.float64(pivot), np.float64(s1), np.float64(s2), _float_of(low), _float_of(high)
    found, mean, m2, least, most = _finite_moments(values, state, sample)
    return found, mean, 0.0, m2, least, most


@njit(cache=True, nogil=True, error_model="numpy")
def _weigh(values, rms, state, sample, sums):
    """Add sum of 1/rms**2 and of value/rms**2 over finite pixels of a sample."""
    bit = np.int32(np.int32(1) << sample)
    total, weighted = 0.0, 0.0
    for i in range(values.size):
        value = np.float64(values[i])
        if (state[i] & bit) != np.int32(0) and np.isfinite(value):
            weight = 1.0 / np.float64(rms[i]) ** 2
            total += weight
            weighted += weight * value
    sums[0] += total
    sums[1] += weighted


@njit(cache=True, nogil=True)
def _pack(state, flags, veto, bits):
    """Usable pixels of a row not hit by `veto`, 64 pixels a word, first pixel lowest."""
    for word in range(bits.size):
        packed = np.uint64(0)
        begin = 64 * word
        for i in range(begin, min(begin + 64, state.size)):
            kept = ((state[i] >> np.int32(10)) & np.int32(1)) != 0 and (flags[i] & veto) == np.uint32(0)
            packed |= np.uint64(np.uint64(kept) << np.uint64(i - begin))
        bits[word] = packed


@njit(cache=True, nogil=True, error_model="numpy")
def _add_piece(values, words, state, valid, good, moments):
    """Add a piece to the moments of both samples of a cell."""
    n, pivot, s1, s2, low, high = _piece(values, words, state, np.int32(0), valid)
    _merge(moments[0], n, pivot, s1, s2, low, high)
    if good > 0:
        if good != valid:
            n, pivot, s1, s2, low, high = _piece(values, words, state, np.int32(20), good)
        _merge(moments[1], n, pivot, s1, s2, low, high)


@njit(cache=True, nogil=True, error_model="numpy")
def _add_weights(values, rms, state, good, weights):
    """Add a piece to the weighted sums of both samples of a cell."""
    _weigh(values, rms, state, np.int32(0), weights[0])
    if good > 0:
        _weigh(values, rms, state, np.int32(20), weights[1])


@njit(cache=True, nogil=True, error_model="numpy")
def add_rows(
    columns, first, slot, virtual, row_start, flags, flag_swap, coded, known, planes, swaps, rms_max,
    low_masks, high_masks, veto, virtual_veto, counts, moments, weights, kept_veto, kept_virtual, kept, stray,
):  # type: ignore[no-untyped-def]  # fmt: skip
    """Add rows of one band to the statistics of a block.

    Parameters
    ----------
    columns : int
        Width of the image.
    first, slot, virtual : uint16 or uint32, int32, uint8 array
        Runs: first column, slot of the block (-1: not wanted), 1 where the virtual bit is set. `virtual` may be empty.
    row_start : int64 array (rows + 1,)
        Where each row's runs begin.
    flags : uint32 array (rows, columns)
        Flag words, or shape (0, 0) where there are none; `flag_swap` tells that they are byte-swapped, `coded` that they
        are codes, `known` which bits are no stray ones.
    planes : three uint32 arrays (rows, columns)
        Words of RMS, BACKGROUND and IMAGE, (0, 0) where there is none; `swaps` likewise. Pixels are valid by RMS, without
        it where IMAGE is finite, without both everywhere.
    rms_max : float32
        Largest usable noise.
    low_masks, high_masks : uint32 array (s,), bool array (s,)
        Real bits of each joint selection; whether it holds the virtual bit.
    veto, virtual_veto : uint32, bool
        The selection that good pixels must not be hit by.
    counts : int32 array (slots, 3 + 33 + 2 s)
        Added to: found, valid, usable; each bit; hit by each selection; usable and not hit by each selection.
    moments : float64 array (slots, 3, 2, 6)
        Added to, by plane and sample (valid, good): n, pivot, sum d, sum d**2, min, max; starts as 0, 0, 0, 0, inf, -inf.
    weights : float64 array (slots, 3, 2, 2)
        Added to: sum of weights 1/RMS**2, weighted sum. Empty if not wanted.
    kept_veto, kept_virtual, kept : uint32, bool, uint64 array (rows, ceil(columns / 64))
        Output: usable pixels of wanted cells that a selection does not hit, one bit each; (0, 0) if not wanted.
    stray : int64 array (2,)
        Added to: pixels with unknown bits, OR of these bits.
    """
    flag_row = np.zeros(columns, np.uint32)
    words = np.zeros((3, columns), np.uint32)
    signed = words.view(np.int32)
    values = words.view(np.float32)
    state = np.zeros(columns, np.int32)
    selections = low_masks.size
    unknown = np.uint32(~np.uint32(known))
    for row in range(row_start.size - 1):
        if flags.size:
            _stage(flags[row], flag_swap, flag_row)
            if coded:
                _decode(flag_row)
        for p in range(3):
            if planes[p].size:
                _stage(planes[p][row], swaps[p], words[p])
        if planes[0].size:
            _state_from_rms(values[0], flag_row, veto, rms_max, state)
        elif planes[2].size:
            _state_from_image(words[2], flag_row, veto, state)
        else:
            _state_from_flags(flag_row, veto, state)
        for k in range(row_start[row], row_start[row + 1]):
            begin = np.int64(first[k])
            end = np.int64(first[k + 1]) if k + 1 < row_start[row + 1] else np.int64(columns)
            here = slot[k]
            inside = virtual.size > 0 and virtual[k] != 0
            if here < 0:
                state[begin:end] = np.int32(0)
                continue
            while begin < end:
                stop = min(begin + PIECE, end)
                flag = flag_row[begin:stop]
                condition = state[begin:stop]
                n = stop - begin
                union, total = _survey(flag, condition)
                valid = np.int64(total & np.int32(1023))
                usable = np.int64((total >> np.int32(10)) & np.int32(1023))
                good = np.int64(total >> np.int32(20))
                if inside and virtual_veto:
                    good = np.int64(0)
                count = counts[here]
                count[0] += np.int32(n)
                count[1] += np.int32(valid)
                count[2] += np.int32(usable)
                if union != np.uint32(0):
                    _count_bits(flag, count[3:35])
                    if (union & unknown) != np.uint32(0):
                        stray[0] += _count_selection(flag, condition, unknown)[0]
                        stray[1] |= np.int64(union & unknown)
                if inside:
                    count[35] += np.int32(n)
                for s in range(selections):
                    if inside and high_masks[s]:
                        count[36 + s] += np.int32(n)
                    elif (union & low_masks[s]) != np.uint32(0):
                        hit, left = _count_selection(flag, condition, low_masks[s])
                        count[36 + s] += hit
                        count[36 + selections + s] += left
                    else:
                        count[36 + selections + s] += np.int32(usable)
                for p in range(3):
                    if planes[p].size and valid > 0:
                        value = values[p, begin:stop]
                        word = signed[p, begin:stop]
                        _add_piece(value, word, condition, valid, good, moments[here, p])
                        if weights.size:
                            _add_weights(value, values[0, begin:stop], condition, good, weights[here, p])
                begin = stop
            if kept.size and inside and kept_virtual:
                state[np.int64(first[k]) : end] = np.int32(0)
        if kept.size:
            _pack(state, flag_row, kept_veto, kept[row])


@njit(cache=True, nogil=True)
def ones_complement_sum(words, swap):
    """Sum of 32-bit big-endian words, uint64, not yet folded; `words` uint32 (rows, columns)."""
    total = np.uint64(0)
    for row in range(words.shape[0]):
        line = words[row]
        part = np.uint64(0)
        for c in range(line.size):
            w = line[c]
            if swap:
                w = np.uint32(
                    np.uint32(w << np.uint32(24))
                    | np.uint32((w & np.uint32(0xFF00)) << np.uint32(8))
                    | np.uint32((w >> np.uint32(8)) & np.uint32(0xFF00))
                    | np.uint32(w >> np.uint32(24))
                )
            part += np.uint64(w)
        total += part
    return total


@njit(cache=True, nogil=True)
def _bits_between(bits, begin, end):
    """Number of bits set in [begin, end) of a row of packed words."""
    count = 0
    for word in range(begin >> 6, (end + 63) >> 6):
        w = bits[word]
        if word == begin >> 6:
            w &= np.uint64(0xFFFFFFFFFFFFFFFF) << np.uint64(begin & 63)
        if word == end >> 6:
            w &= (np.uint64(1) << np.uint64(end & 63)) - np.uint64(1)
        w -= (w >> np.uint64(1)) & np.uint64(0x5555555555555555)
        w = (w & np.uint64(0x3333333333333333)) + ((w >> np.uint64(2)) & np.uint64(0x3333333333333333))
        w = (w + (w >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
        count += np.int64((w * np.uint64(0x0101010101010101)) >> np.uint64(56))
    return count


@njit(cache=True, nogil=True)
def count_good(first, slot, row_start, columns, bits, counts):  # type: ignore[no-untyped-def]
    """Add the number of set bits of each slot.

    Parameters
    ----------
    first, slot, row_start : arrays
        Runs of a block.
    columns : int
        Width of the image.
    bits : uint64 array (rows, ceil(columns / 64))
        One bit a pixel, first pixel lowest.
    counts : int64 array (slots,)
        Added to.
    """
    for row in range(row_start.size - 1):
        for k in range(row_start[row], row_start[row + 1]):
            if slot[k] >= 0:
                end = np.int64(first[k + 1]) if k + 1 < row_start[row + 1] else columns
                counts[slot[k]] += _bits_between(bits[row], np.int64(first[k]), end)
