"""Polygons as the text of mangle files and back: blocks of bytes, no object a polygon.

A polygon is a line ``polygon <id> ( <n> caps, <weight> weight, <pixel> pixel, <area> str):`` and n times the four
numbers of a cap. In the first line values may stand in any order, each before its name, and all but the number of caps
may be missing; ``polygon <id> <n>`` and ``polygon <id> <n> <weight>`` are read as well.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from vmpz.kernels.decimals import LONGEST, put_integer, put_number, take_number

__all__ = [
    "BYTES",
    "CAPS",
    "FULL",
    "MANY",
    "MORE",
    "MOST_CAPS",
    "NUMBER",
    "OTHER",
    "VALUE",
    "VECTOR",
    "put_quadrilaterals",
    "take_polygons",
]

Text = NDArray[np.uint8]
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

BYTES = 64 + 3 * LONGEST + 4 * (3 * (LONGEST + 1) + 3)
"""Most bytes of the text of a quadrilateral."""
MOST_CAPS = 1 << 16
"""Most caps of a polygon that is read."""


MORE, FULL, OTHER, CAPS, MANY, NUMBER, VECTOR, VALUE = range(8)
"""Why reading stopped: the text ends (here or inside a polygon); as many polygons as asked for are there; what follows
is no polygon; faults: number of caps missing or no number, more than `MOST_CAPS`, a number was expected, the axis of a
cap is no unit vector, a weight or an area is not finite or an area is negative."""

UNIT = 1e-6  # a unit vector may be as far from length 1
MISSING = -1.0

_POLYGON = np.frombuffer(b"polygon", np.uint8)
_FOUR_CAPS = np.frombuffer(b" ( 4 caps, ", np.uint8)
_WEIGHT = np.frombuffer(b" weight, 0 pixel, ", np.uint8)
_AREA = np.frombuffer(b" str):\n", np.uint8)
_GREAT_CIRCLE = np.frombuffer(b" 1\n", np.uint8)
SPACE, TAB, RETURN, LINE = 32, 9, 13, 10
OPEN, CLOSE, COMMA = ord("("), ord(")"), ord(",")
C, W, S = (ord(one) for one in "cws")


@njit(cache=True, nogil=True)
def _put(out: Text, place: int, text: Text) -> int:
    for k in range(text.size):
        out[place + k] = text[k]
    return place + text.size


@njit(cache=True, nogil=True)
def put_quadrilaterals(
    out: Text, first: int, weights: Text, row: IntArray, areas: FloatArray, normals: FloatArray
) -> int:
    """Write polygons of four great circles; the number of bytes.

    Parameters
    ----------
    out : uint8 (at least n * BYTES,)
    first : int
        Number of the first polygon; the others follow.
    weights : uint8 (u, LONGEST)
        Different weights as text, filled with zero bytes.
    row : int64 (n,)
        The weight of each polygon.
    areas : float64 (n,)
        Steradian.
    normals : float64 (n, 4, 3)
        Unit vectors that point inward.
    """
    at = 0
    for k in range(row.size):
        at = _put(out, at, _POLYGON)
        out[at] = SPACE
        at = put_integer(out, at + 1, first + k)
        at = _put(out, at, _FOUR_CAPS)
        text = weights[row[k]]
        size = 0
        while size < text.size and text[size] != 0:
            out[at + size] = text[size]
            size += 1
        at = _put(out, at + size, _WEIGHT)
        at = put_number(out, at, areas[k])
        at = _put(out, at, _AREA)
        for j in range(4):
            for i in range(3):
                out[at] = SPACE
                at = put_number(out, at + 1, normals[k, j, i])
            at = _put(out, at, _GREAT_CIRCLE)
    return at


# -- reading ------------------------------------------------------------------------------------------------


@njit(cache=True, nogil=True)
def _is_blank(code: int) -> bool:
    return code in (SPACE, TAB, RETURN)


@njit(cache=True, nogil=True)
def _skip(text: Text, at: int, stop: int) -> int:
    """The first place that is no blank of this line."""
    while at < stop and _is_blank(text[at]):
        at += 1
    return at


@njit(cache=True, nogil=True)
def _skip_lines(text: Text, at: int, stop: int) -> tuple[int, int]:
    """The first place that is neither blank nor end of line, and how many lines end before it."""
    lines = 0
    while at < stop and (_is_blank(text[at]) or text[at] == LINE):
        lines += text[at] == LINE
        at += 1
    return at, lines


@njit(cache=True, nogil=True)
def _word_end(text: Text, at: int, stop: int) -> int:
    while at < stop and not (_is_blank(text[at]) or text[at] in (LINE, OPEN, CLOSE, COMMA)):
        at += 1
    return at


@njit(cache=True, nogil=True)
def _take_header(text: Text, at: int, stop: int) -> tuple[int, float, float, float]:
    """State, number of caps, weight and area (-1 where there is none) of the first line, from the id to its end."""
    caps, weight, area = MISSING, 1.0, MISSING
    at = _skip(text, _word_end(text, _skip(text, at, stop), stop), stop)
    if at < stop and text[at] != OPEN:
        caps, end = take_number(text, at, stop)
        if end == at or end != _word_end(text, at, stop):
            return CAPS, caps, weight, area
        at = _skip(text, end, stop)
        value, end = take_number(text, at, stop)
        return MORE, caps, value if end > at else weight, area
    at += 1
    while at < stop:
        at = _skip(text, at, stop)
        if at >= stop or text[at] == CLOSE:
            break
        if text[at] == COMMA:
            at += 1
            continue
        value, end = take_number(text, at, stop)
        if end == at or end != _word_end(text, at, stop):
            return NUMBER, caps, weight, area
        at = _skip(text, end, stop)
        end = _word_end(text, at, stop)
        if end == at:
            return NUMBER, caps, weight, area
        name = text[at]
        if name == C:
            caps = value
        elif name == W:
            weight = value
        elif name == S:
            area = value
        at = end
    return MORE, caps, weight, area


@njit(cache=True, nogil=True)
def _fault(caps: float, weight: float, area: float) -> int:
    """What is wrong with the numbers of a first line."""
    if not caps >= 0.0 or caps != math.floor(caps):
        return CAPS
    if caps > MOST_CAPS:
        return MANY
    if not (math.isfinite(weight) and math.isfinite(area)) or (area < 0.0 and area != MISSING):
        return VALUE
    return MORE


@njit(cache=True, nogil=True)
def _take_cap(text: Text, at: int, stop: int, is_last: bool, cap: FloatArray) -> tuple[int, int, int]:
    """Four numbers: state (MORE: the text ends first; FULL: all are there), place after them, lines passed."""
    lines = 0
    for i in range(4):
        at, passed = _skip_lines(text, at, stop)
        lines += passed
        cap[i], end = take_number(text, at, stop)
        if at == stop or (end == stop and not is_last):
            return MORE, at, lines
        if end == at or not (end == stop or _is_blank(text[end]) or text[end] == LINE):
            is_cut = not is_last and _word_end(text, at, stop) == stop
            return MORE if is_cut else NUMBER, at, lines
        at = end
    norm = math.sqrt(cap[0] * cap[0] + cap[1] * cap[1] + cap[2] * cap[2])
    if not abs(norm - 1.0) <= UNIT or not math.isfinite(cap[3]):
        return VECTOR, at, lines
    for i in range(3):
        cap[i] /= norm
    return FULL, at, lines


@njit(cache=True, nogil=True)
def _begins(text: Text, at: int, stop: int) -> bool:
    """Whether a line begins with 'polygon' and a blank."""
    size = _POLYGON.size
    if at + size >= stop or not _is_blank(text[at + size]):
        return False
    same = 0
    for k in range(size):
        same += text[at + k] == _POLYGON[k]
    return bool(same == size)


@njit(cache=True, nogil=True)
def take_polygons(
    text: Text, is_last: bool, most: int, heads: FloatArray, lines: IntArray, caps: FloatArray
) -> tuple[int, int, int, int, int]:
    """Read whole polygons from the beginning of a text.

    Parameters
    ----------
    text : uint8 (m,)
    is_last : bool
        Whether nothing follows the text.
    most : int
        Most polygons to read.
    heads : float64 (at least m // 8 + 1, 3)
        Gets number of caps, weight and area (-1 where none is stated).
    lines : int64 (at least m // 8 + 1,)
        Gets the line of each polygon; line 0 is the first of the text.
    caps : float64 (at least m // 8 + 1, 4)
        Gets the caps, polygon after polygon: unit vector, cm.

    Returns
    -------
    state, polygons, caps, place, line : int
        Why it stopped, how many were read, and where the next polygon, or the fault, is.
    """
    stop = text.size
    at, line = 0, 0
    polygons, total = 0, 0
    while True:
        at, passed = _skip_lines(text, at, stop)
        line += passed
        if polygons == most:
            return FULL, polygons, total, at, line
        end = at
        while end < stop and text[end] != LINE:
            end += 1
        if at == stop or (end == stop and not is_last):
            return MORE, polygons, total, at, line
        if not _begins(text, at, end):
            return OTHER, polygons, total, at, line
        state, many, weight, area = _take_header(text, at + _POLYGON.size, end)
        state = state if state != MORE else _fault(many, weight, area)
        if state != MORE:
            return state, polygons, total, at, line
        place, below = end, line
        for k in range(int(many)):
            if total + k >= len(caps):
                return MORE, polygons, total, at, line
            state, place, passed = _take_cap(text, place, stop, is_last, caps[total + k])
            below += passed
            if state == MORE:
                return MORE, polygons, total, at, line
            if state != FULL:
                return state, polygons, total, place, below
        heads[polygons, 0], heads[polygons, 1], heads[polygons, 2] = many, weight, area
        lines[polygons] = line
        polygons, total = polygons + 1, total + int(many)
        at, line = place, below
