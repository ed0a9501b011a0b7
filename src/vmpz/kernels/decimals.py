"""Doubles as decimal text and back: what C's ``%.17g`` and ``strtod`` do, without a call for every number.

A number times a power of ten is taken as the sum of two doubles (Dekker's product), which holds 106 bits; 17 digits,
which name a double among all others, are the whole part of it, and the way back is one such product rounded once.
"""

import math
from fractions import Fraction

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["LEAST", "LONGEST", "MOST", "put_integer", "put_number", "take_number"]

Text = NDArray[np.uint8]

LONGEST = 24
"""Most characters of a number."""
LEAST, MOST = 1e-28, 1e16
"""Magnitudes between which numbers are written; what is smaller is written as 0."""
DIGITS = 17
ZERO, POINT, MINUS, PLUS, EXPONENT = (ord(one) for one in "0.-+e")
TEN = np.uint64(10)
TENS = np.array([10**k for k in range(19)], np.int64)
SPLIT = 134217729.0  # 2**27 + 1
REACH = 80


def _powers() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """10**k for k from -REACH to REACH, as sums of two doubles."""
    exact = [Fraction(10) ** k for k in range(-REACH, REACH + 1)]
    high = [float(one) for one in exact]
    low = [float(one - Fraction(near)) for one, near in zip(exact, high, strict=True)]
    return np.array(high), np.array(low)


HIGH, LOW = _powers()


@njit(cache=True, nogil=True)
def _product(value: float, power: int) -> tuple[float, float]:
    """``value * 10**power`` as the sum of its nearest double and a remainder."""
    high = HIGH[power + REACH]
    whole = value * high
    a = SPLIT * value
    a = a - (a - value)
    b = SPLIT * high
    b = b - (b - high)
    rest = ((a * b - whole) + a * (high - b) + (value - a) * b) + (value - a) * (high - b)
    return whole, rest + value * LOW[power + REACH]


@njit(cache=True, nogil=True)
def _seventeen(value: float) -> tuple[np.int64, int]:
    """The first 17 digits of a positive number, correctly rounded, and the exponent of the first."""
    exponent = math.floor(math.log10(value))
    while True:
        whole, rest = _product(value, DIGITS - 1 - exponent)
        below = math.floor(rest)
        number = np.int64(whole) + np.int64(below)
        if number < TENS[DIGITS - 1]:
            exponent -= 1
            continue
        if number >= TENS[DIGITS]:
            exponent += 1
            continue
        part = rest - below
        if part > 0.5 or (part == 0.5 and number & 1):
            number += 1
        if number == TENS[DIGITS]:
            return TENS[DIGITS - 1], exponent + 1
        return number, exponent


@njit(cache=True, nogil=True, error_model="numpy")
def _put_digits(out: Text, place: int, number: int, size: int) -> int:
    """Write an integer of 0 or more in so many digits; the place after it."""
    rest = np.uint64(number)
    for k in range(place + size - 1, place - 1, -1):
        less = rest // TEN
        out[k] = ZERO + np.uint8(rest - TEN * less)
        rest = less
    return place + size


@njit(cache=True, nogil=True)
def put_integer(out: Text, place: int, number: int) -> int:
    """Write an integer of 0 or more; the place after it."""
    size = 1
    while size < 19 and number >= TENS[size]:
        size += 1
    end: int = _put_digits(out, place, number, size)
    return end


@njit(cache=True, nogil=True, error_model="numpy")
def _trimmed(number: np.uint64) -> tuple[np.int64, int]:
    """17 digits without zeros at the end, and how many are left."""
    count = DIGITS
    less = number // TEN
    while TEN * less == number:
        number, less = less, less // TEN
        count -= 1
    return np.int64(number), count


@njit(cache=True, nogil=True, error_model="numpy")
def put_number(out: Text, place: int, value: float) -> int:
    """Write a number as ``%.17g`` does, in at most `LONGEST` characters; the place after it.

    Magnitudes below `LEAST` are written as 0; those from `MOST` on are not for this function.
    """
    if value < 0.0:
        out[place] = MINUS
        place += 1
        value = -value
    if value < LEAST:
        out[place] = ZERO
        return place + 1
    number, exponent = _seventeen(value)
    number, count = _trimmed(np.uint64(number))
    scientific = exponent < -4
    after = count - 1 - (0 if scientific else exponent)
    if after < 0:
        number *= TENS[-after]
    whole = 0 if after >= count else number // TENS[max(after, 0)]
    place = put_integer(out, place, whole)
    if after > 0:
        out[place] = POINT
        place = _put_digits(out, place + 1, number - whole * TENS[min(after, 18)], after)
    if scientific:
        out[place], out[place + 1] = EXPONENT, MINUS
        place = _put_digits(out, place + 2, -exponent, 2)
    return place


@njit(cache=True, nogil=True)
def take_number(text: Text, place: int, stop: int) -> tuple[float, int]:
    """Read a number; the place after it, or the place given where there is none.

    Of more than 18 digits the rest is dropped; magnitudes beyond 1e-60 and 1e60 may be off in the last bit.
    """
    at = place
    negative = at < stop and text[at] == MINUS
    if negative or (at < stop and text[at] == PLUS):
        at += 1
    number, used, exponent, digits, fraction = np.int64(0), 0, 0, 0, False
    while at < stop:
        code = text[at]
        if code == POINT and not fraction:
            fraction = True
        elif ZERO <= code <= ZERO + 9:
            digits += 1
            if used < 18:
                number = 10 * number + np.int64(code - ZERO)
                used += 1 if number > 0 else 0
                exponent -= 1 if fraction else 0
            else:
                exponent += 0 if fraction else 1
        else:
            break
        at += 1
    if digits == 0:
        return 0.0, place
    if at < stop and text[at] | 32 == EXPONENT:
        power, after = _take_power(text, at + 1, stop)
        exponent += power
        at = after if after > at + 1 else at
    value = _scaled(number, exponent)
    return -value if negative else value, at


@njit(cache=True, nogil=True)
def _take_power(text: Text, place: int, stop: int) -> tuple[int, int]:
    """Read the exponent of a number; the place after it, or the place given where there is none."""
    at = place
    negative = at < stop and text[at] == MINUS
    if negative or (at < stop and text[at] == PLUS):
        at += 1
    first, power = at, 0
    while at < stop and ZERO <= text[at] <= ZERO + 9:
        power = min(10 * power + int(text[at] - ZERO), 9999)
        at += 1
    return (-power if negative else power), at if at > first else place


@njit(cache=True, nogil=True)
def _scaled(number: int, exponent: int) -> float:
    """``number * 10**exponent``, rounded once where the power is in reach."""
    high = np.float64(number)
    low = np.float64(number - np.int64(high))
    if number == 0 or exponent < -REACH - 320:
        return 0.0
    if -REACH <= exponent <= REACH:
        whole, rest = _product(high, exponent)
        return float(whole + (rest + low * HIGH[exponent + REACH]))
    return float(high * 10.0 ** (exponent // 2) * 10.0 ** (exponent - exponent // 2))
