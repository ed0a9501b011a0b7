"""Random points inside HEALPix cells: uniform on the sphere, and functions of the cell and a number alone.

Point i of a cell comes from one block of Philox, ``philox(i, uniq, stream, batch)``: its words are the coordinates u
and v inside the cell, a deviate to thin by, and a priority. The map from a face to the sphere is equal-area (Gorski et
al. 2005, ApJ 622, 759), so that points uniform in u and v are uniform on the sky. The order-29 cell of a point is
integer arithmetic of its words. Whole cells and fractions are kept apart in all coordinates, and near the poles
distances are taken from the pole, so that positions keep all digits that degrees in float64 can hold. They are made by
IEEE operations alone, never fused: the same bits on every machine.

A cell may be observed in part: bit k of its word is sub-cell ``64 * cell + k``, three orders deeper. The first random
word times the number of set bits gives both which of them the point lies in (the high word of the product) and where
(the low word, with a grain of 2**-58 of a sub-cell at worst): every point counts, none is rejected.
"""

import numpy as np
from numba import njit, types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

from vmpz.kernels.philox import multiply, philox, unit

__all__ = ["chances", "draw_listed", "draw_points"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Words = NDArray[np.uint64]

DEEPEST, SUB_ORDERS = 29, 3
WHOLE = np.uint64(0xFFFFFFFFFFFFFFFF)
TOGETHER, FEW = 512, 12  # points drawn together; points of a cell that are sorted by insertion alone
DEGREES = 57.29577951308232
BELOW_360 = 360.0 - 2.0**-44  # the largest float64 below
INVERSE_ROOT_6 = 0.408248290463863
BASE = np.array([1, 3, 5, 7, 0, 2, 4, 6, 1, 3, 5, 7])  # middle meridians of the faces, in units of 45 degrees
ARCSINE = np.array(
    [
        0.16666666666666669, 0.07499999999996113, 0.044642857151222626, 0.030381943733930876, 0.0223721907503002,
        0.017351911636652, 0.01397992824970938, 0.011367224451542044, 0.011376968588272026, -0.0019297935707789145,
        0.05593558041156816, -0.16260294001723624, 0.4351447351413617, -0.7725519764999901, 0.9616766464792718,
        -0.7208422219605465, 0.2663266997356614,
    ]
)  # fmt: skip
"""Chebyshev fit of (asin(x) - x) / x**3 in powers of x**2 up to 4/9: 6e-17."""


def _ones(word: np.uint64) -> int:
    """Number of bits that are set."""
    return int(word).bit_count()


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def _population(context, word):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, words):  # type: ignore[no-untyped-def]
        return builder.ctpop(words[0])

    return types.int64(types.uint64), generate


@overload(_ones)  # type: ignore[untyped-decorator, unused-ignore]
def _ones_compiled(word):  # type: ignore[no-untyped-def]
    return lambda word: _population(word)


@njit(cache=True, nogil=True, forceinline=True)
def _place(word: np.uint64, rank: np.uint64) -> np.uint64:
    """Place of the set bit that `rank` others precede."""
    place = np.uint64(0)
    half = np.uint64(32)
    while half > np.uint64(0):
        below = np.uint64(_ones(word & ((np.uint64(1) << half) - np.uint64(1))))
        if rank >= below:
            rank -= below
            word >>= half
            place += half
        half >>= np.uint64(1)
    return place


@njit(cache=True, nogil=True, forceinline=True)
def _spread(number: np.uint64) -> np.uint64:
    """The lower 32 bits, to the even places."""
    number = (number | (number << np.uint64(16))) & np.uint64(0x0000FFFF0000FFFF)
    number = (number | (number << np.uint64(8))) & np.uint64(0x00FF00FF00FF00FF)
    number = (number | (number << np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    number = (number | (number << np.uint64(2))) & np.uint64(0x3333333333333333)
    return np.uint64((number | (number << np.uint64(1))) & np.uint64(0x5555555555555555))


@njit(cache=True, nogil=True, forceinline=True)
def _gather(number: np.uint64) -> np.uint64:
    """The even bits side by side: the inverse of `_spread`."""
    number = number & np.uint64(0x5555555555555555)
    number = (number | (number >> np.uint64(1))) & np.uint64(0x3333333333333333)
    number = (number | (number >> np.uint64(2))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    number = (number | (number >> np.uint64(4))) & np.uint64(0x00FF00FF00FF00FF)
    number = (number | (number >> np.uint64(8))) & np.uint64(0x0000FFFF0000FFFF)
    return np.uint64((number | (number >> np.uint64(16))) & np.uint64(0x00000000FFFFFFFF))


@njit(cache=True, nogil=True, forceinline=True)
def _within(word: np.uint64, w0: np.uint64, w1: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Coordinates in a cell, in units of 2**-64, of two random words; `WHOLE` stands for a cell without sub-cells."""
    if word == WHOLE:
        return w0, w1
    rank, low = multiply(w0, np.uint64(_ones(word)))
    sub = _place(word, rank)
    x, y = _gather(sub), _gather(sub >> np.uint64(1))
    three, top = np.uint64(3), np.uint64(61)
    return (x << top) | (low >> three), (y << top) | (w1 >> three)


@njit(cache=True, nogil=True, forceinline=True)
def _deepest(u: np.uint64, v: np.uint64, order: int) -> np.uint64:
    """Order-29 cell, counted in its cell."""
    down = np.uint64(63 - DEEPEST + order)
    x, y = _spread((u >> np.uint64(1)) >> down), _spread((v >> np.uint64(1)) >> down)
    return np.uint64(x | (y << np.uint64(1)))


@njit(cache=True, nogil=True, forceinline=True)
def _arcsine(x: float) -> float:
    """Arcsine in degrees, of x in [-2/3, 2/3]."""
    s = x * x
    s2 = s * s
    s4 = s2 * s2
    s8 = s4 * s4
    c = ARCSINE
    low = ((c[0] + c[1] * s) + (c[2] + c[3] * s) * s2) + ((c[4] + c[5] * s) + (c[6] + c[7] * s) * s2) * s4
    high = ((c[8] + c[9] * s) + (c[10] + c[11] * s) * s2) + (
        (c[12] + c[13] * s) + (c[14] + c[15] * s) * s2
    ) * s4
    return float((x + x * s * (low + (high + c[16] * s8) * s8)) * DEGREES)


@njit(cache=True, nogil=True, forceinline=True)
def _square(cell: int, order: int) -> tuple[int, np.int64, np.int64]:
    """Face of a cell, and its column and row there."""
    inside = np.uint64(cell & ((1 << (2 * order)) - 1))
    return cell >> (2 * order), np.int64(_gather(inside)), np.int64(_gather(inside >> np.uint64(1)))


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _position(square: tuple[int, np.int64, np.int64], order: int, u: float, v: float) -> tuple[float, float]:
    """Longitude and latitude (degrees) of the point u, v in [0, 1) of a cell."""
    face, ix, iy = square
    side = 1 << order
    row = 1 - (face >> 2)
    height = float((row - 1) * side + ix + iy + 1) + ((u - 0.5) + (v - 0.5))  # exact around the equator
    if row * height <= side:
        along = BASE[face] * side + ix - iy
        turn = float(along) + (u - v)
        if turn < 0.0:
            turn = float(along + 8 * side) + (u - v)
        return min(turn * (45.0 / side), BELOW_360), _arcsine(height * (2.0 / 3.0 / side))
    if row > 0:
        p, q = float(side - 1 - iy), float(side - 1 - ix)
        u, v = 1.0 - v, 1.0 - u
    else:
        p, q = float(ix), float(iy)
    distance = (p + q) + (u + v)
    share = ((p - q) + (u - v)) / distance if distance > 0.0 else 0.0
    lat = 90.0 - 2.0 * _arcsine(distance * (INVERSE_ROOT_6 / side))
    return min((BASE[face] + share) * 45.0, BELOW_360), row * lat


@njit(cache=True, nogil=True, forceinline=True)
def _insert(keys: Words, index: IntArray, many: int) -> None:
    """Keys and their indices sorted by insertion, equal keys as they come."""
    for k in range(1, many):
        key = keys[k]
        if keys[k - 1] > key:
            one, at = index[k], k
            while at > 0 and keys[at - 1] > key:
                keys[at], index[at] = keys[at - 1], index[at - 1]
                at -= 1
            keys[at], index[at] = key, one


@njit(cache=True, nogil=True)
def _sort_even(
    keys: Words, index: IntArray, bits: int, spare_keys: Words, spare_index: IntArray, start: IntArray
) -> None:
    """The same for many keys that are spread evenly over their last `bits` bits: a bucket for each, then insertion."""
    lead = 0
    while 2 << lead <= keys.size and lead < bits:
        lead += 1
    down, last = np.uint64(bits - lead), np.uint64((1 << lead) - 1)
    start[: (1 << lead) + 1] = 0
    for i in range(keys.size):
        spare_keys[i], spare_index[i] = keys[i], index[i]
        start[((keys[i] >> down) & last) + np.uint64(1)] += 1
    for bucket in range(1 << lead):
        start[bucket + 1] += start[bucket]
    for i in range(keys.size):
        bucket = (spare_keys[i] >> down) & last
        keys[start[bucket]], index[start[bucket]] = spare_keys[i], spare_index[i]
        start[bucket] += 1
    _insert(keys, index, keys.size)


@njit(cache=True, nogil=True)
def _mask(words: Words, cell: int, order: int) -> np.uint64:
    """Word of a cell, `WHOLE` where none of its sub-cells are apart."""
    if order > DEEPEST - SUB_ORDERS or words[cell] == np.uint64(0):
        return WHOLE
    return np.uint64(words[cell])


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _draw(
    order: int, cells: IntArray, words: Words, counts: IntArray, first: int, stream: np.uint64, batch: np.uint64,
    k0: np.uint64, k1: np.uint64, lon: FloatArray, lat: FloatArray, keys: Words, number: IntArray,
) -> tuple[int, int, int]:  # fmt: skip
    """Points of some cells from `first` on, by number; the cell after the last, how many points, and most in a cell.

    The cells ascend, and have `TOGETHER` points in all or are one; keys are order-29 cells.
    """
    bits, base = 2 * (DEEPEST - order), np.int64(4) << (2 * order)
    last, many, most = first, 0, 0
    while last == first or (
        last < cells.size and many + counts[last] <= TOGETHER and cells[last] > cells[last - 1]
    ):
        cell, word = cells[last], _mask(words, last, order)
        square, uniq, above = _square(cell, order), np.uint64(base + cell), np.uint64(cell << bits)
        for i in range(counts[last]):
            w0, w1, _, _ = philox(np.uint64(i), uniq, stream, batch, k0, k1)
            u, v = _within(word, w0, w1)
            lon[many], lat[many] = _position(square, order, unit(u), unit(v))
            keys[many], number[many] = above | _deepest(u, v, order), i
            many += 1
        most = max(most, counts[last])
        last += 1
    return last, many, most


@njit(cache=True, nogil=True, error_model="numpy")
def draw_points(
    order: int, cells: IntArray, words: Words, counts: IntArray,
    stream: np.uint64, batch: np.uint64, k0: np.uint64, k1: np.uint64,
    lon: FloatArray, lat: FloatArray, pixel29: IntArray, draw: IntArray,
) -> None:  # fmt: skip
    """Points 0 to count - 1 of every cell, one cell after the other; in a cell by order-29 cell, then by number.

    Takes 64 bytes for each point of the fullest cell beside its output.

    Parameters
    ----------
    order : int
    cells : int64 (n,)
        Nested.
    words : uint64 (n,)
        Observed sub-cells, of order + 3; 0, as all ones, is the whole cell, and so is every word where order > 26.
    counts : int64 (n,)
    stream, batch : uint64
        Third and fourth word of the counters; the first two are the number of the point and the cell's NUNIQ number.
    k0, k1 : uint64
        Key.
    lon, lat : float64 (N,)
        Output: degrees in [0, 360) and [-90, 90]; N is the sum of the counts.
    pixel29, draw : int64 (N,), or (0,) where they are not wanted
        Output: order-29 cells; numbers of the points in their cells.
    """
    room = TOGETHER
    for count in counts:
        room = max(room, count)
    x, y, number, index = np.empty(room), np.empty(room), np.empty(room, np.int64), np.empty(room, np.int64)
    keys, spare_keys = np.empty(room, np.uint64), np.empty(room, np.uint64)
    spare_index, start = np.empty(room, np.int64), np.empty(room + 2, np.int64)
    first, done = int(np.int64(0)), 0  # not a literal, for which `_draw` would be compiled apart
    while first < cells.size:
        last, many, most = _draw(
            order, cells, words, counts, first, stream, batch, k0, k1, x, y, keys, number
        )
        for k in range(many):
            index[k] = k
        if most <= FEW:
            _insert(keys, index, many)
        else:
            begin = 0
            for count in counts[first:last]:
                one = slice(begin, begin + count)
                _sort_even(keys[one], index[one], 2 * (DEEPEST - order), spare_keys, spare_index, start)
                begin += count
        for k in range(many):
            lon[done + k], lat[done + k] = x[index[k]], y[index[k]]
        if pixel29.size:
            for k in range(many):
                pixel29[done + k] = np.int64(keys[k])
        if draw.size:
            for k in range(many):
                draw[done + k] = number[index[k]]
        first, done = last, done + many


@njit(cache=True, nogil=True, error_model="numpy")
def draw_listed(
    order: int, cells: IntArray, words: Words, place: IntArray, draw: IntArray,
    stream: np.uint64, batch: np.uint64, k0: np.uint64, k1: np.uint64,
    lon: FloatArray, lat: FloatArray, pixel29: IntArray,
) -> None:  # fmt: skip
    """Points ``draw[k]`` of cells ``cells[place[k]]``, as `draw_points` gives them, in the order of the list.

    Parameters
    ----------
    order, cells, words, stream, batch, k0, k1
        As for `draw_points`.
    place, draw : int64 (N,)
        Which cell, and which of its points.
    lon, lat, pixel29
        As for `draw_points`.
    """
    base = np.int64(4) << (2 * order)
    bits = 2 * (DEEPEST - order)
    for k in range(place.size):
        cell = cells[place[k]]
        w0, w1, _, _ = philox(np.uint64(draw[k]), np.uint64(base + cell), stream, batch, k0, k1)
        u, v = _within(_mask(words, place[k], order), w0, w1)
        lon[k], lat[k] = _position(_square(cell, order), order, unit(u), unit(v))
        if pixel29.size:
            pixel29[k] = (cell << bits) | np.int64(_deepest(u, v, order))


@njit(cache=True, nogil=True)
def chances(
    cells: IntArray, order: int, counts: IntArray,
    stream: np.uint64, batch: np.uint64, k0: np.uint64, k1: np.uint64,
    out_deviate: Words, out_priority: Words,
) -> None:  # fmt: skip
    """Deviates and priorities of points 0 to count - 1 of every cell, by number: third and fourth word of their blocks.

    Parameters
    ----------
    cells, order, counts, stream, batch, k0, k1
        As for `draw_points`.
    out_deviate, out_priority : uint64 (N,)
        Output; N is the sum of the counts.
    """
    base = np.int64(4) << (2 * order)
    at = 0
    for place in range(cells.size):
        for i in range(counts[place]):
            _, _, out_deviate[at], out_priority[at] = philox(
                np.uint64(i), np.uint64(base + cells[place]), stream, batch, k0, k1
            )
            at += 1
