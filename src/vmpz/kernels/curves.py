"""Edges of an outline through the cells of one face, exactly: each is a polynomial of the fourth degree.

Along a great circle the face coordinates are analytic, with the pole as nearest singularity: an edge cut into parts
short against the distance from the pole is a polynomial through five of its points to a chosen rounding. Where the
polynomial passes the sides of cells is solved by Newton's method, and every passage leaves in its cell its height and
the area on its left, as the chords of `vmpz.kernels.chords` do.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from vmpz.kernels.chords import chart, place

__all__ = ["accumulate_curves"]

FloatArray = NDArray[np.float64]

EXACT = 2e-16  # of a face, for the polynomials: what double precision leaves of a coordinate
SETTLED = 1e-8  # a Newton step after which the next one would be below rounding
SHORTEST = 1e-9  # of the parameter: where a coordinate turns back


@njit(cache=True, nogil=True, error_model="numpy")
def _longest(nside: float, scale: float) -> float:
    """Length of a part, radian: the fifth difference, and the fourth in the area of a passage, stay below `EXACT`.

    `scale` is the distance from the pole. A passage is no longer than its cell.
    """
    longest = 4.0 * scale * (0.25 * EXACT) ** 0.2
    passage = scale * (100.0 * EXACT) ** 0.25
    return float(longest if passage > 1.5 / nside else min(longest, passage))


@njit(cache=True, nogil=True, error_model="numpy")
def _fit(values: FloatArray, c: FloatArray) -> None:
    """Coefficients of the polynomial that takes five values at 0, 1, 2, 3, 4."""
    one = values[1] - values[0]
    two = values[2] - 2.0 * values[1] + values[0]
    three = values[3] - 3.0 * (values[2] - values[1]) - values[0]
    four = values[4] - 4.0 * (values[3] + values[1]) + 6.0 * values[2] + values[0]
    c[0] = values[0]
    c[1] = one - two / 2.0 + three / 3.0 - four / 4.0
    c[2] = two / 2.0 - three / 2.0 + 11.0 * four / 24.0
    c[3] = three / 6.0 - four / 4.0
    c[4] = four / 24.0


@njit(cache=True, nogil=True, error_model="numpy")
def _value(c: FloatArray, s: float) -> float:
    return float(c[0] + s * (c[1] + s * (c[2] + s * (c[3] + s * c[4]))))


@njit(cache=True, nogil=True, error_model="numpy")
def _slope(c: FloatArray, s: float) -> float:
    return float(c[1] + s * (2.0 * c[2] + s * (3.0 * c[3] + s * 4.0 * c[4])))


@njit(cache=True, nogil=True, error_model="numpy")
def _is_monotone(c: FloatArray, low: float, high: float) -> bool:
    """Whether a polynomial surely does not turn back: its slope is a line but for the third derivative."""
    one, two = _slope(c, low), _slope(c, high)
    bend = (6.0 * abs(c[3]) + 24.0 * abs(c[4]) * high) * (high - low) ** 2 / 8.0
    return bool(one * two > 0.0 and min(abs(one), abs(two)) > bend)


@njit(cache=True, nogil=True, error_model="numpy")
def _solve(c: FloatArray, level: float, low: float, high: float, guess: float, rising: bool) -> float:
    """Where a monotone polynomial takes a level: Newton inside a bracket."""
    s = guess if low < guess < high else 0.5 * (low + high)
    for _ in range(60):
        miss = _value(c, s) - level
        if miss == 0.0:
            return s
        if (miss > 0.0) == rising:
            high = s
        else:
            low = s
        step = miss / _slope(c, s)
        better = s - step
        if not low <= better <= high:
            better = 0.5 * (low + high)
        if (abs(better - s) < SETTLED and abs(step) < SETTLED) or high - low < 1e-15:
            return float(better)
        s = better
    return s


@njit(cache=True, nogil=True, error_model="numpy")
def _span(a: float, b: float) -> tuple[int, int, int]:
    """First and last cell of a way from a to b, and the step between cells."""
    step = 1 if b > a else -1
    first, last = math.floor(a), math.floor(b)
    if step > 0 and last == b and last > first:
        last -= 1
    if step < 0 and first == a and first > last:
        first -= 1
    return int(first), int(last), step


@njit(cache=True, nogil=True, error_model="numpy")
def _walk(
    cx: FloatArray,
    cy: FloatArray,
    s: float,
    end: float,
    start: tuple[float, float],
    goal: tuple[float, float],
    height: FloatArray,
    area: FloatArray,
) -> None:
    """One monotone stretch through its cells. Area of a passage: chord, and two thirds of its arrow."""
    x, y = start
    column, last_column, right = _span(x, goal[0])
    row, last_row, up = _span(y, goal[1])
    to_x = to_y = np.inf
    span_x = (end - s) / (goal[0] - x) if column != last_column else 0.0
    span_y = (end - s) / (goal[1] - y) if row != last_row else 0.0
    while True:
        if column != last_column and to_x == np.inf:
            level = column + 1.0 if right > 0 else float(column)
            to_x = _solve(cx, level, s, end, s + (level - x) * span_x, right > 0)
        if row != last_row and to_y == np.inf:
            level = row + 1.0 if up > 0 else float(row)
            to_y = _solve(cy, level, s, end, s + (level - y) * span_y, up > 0)
        to = min(min(to_x, to_y), end)
        if to_x == np.inf and to_y == np.inf:
            x_next, y_next = goal
        elif to_x <= to_y:
            x_next, y_next = (column + 1.0 if right > 0 else float(column)), _value(cy, to)
        else:
            x_next, y_next = _value(cx, to), (row + 1.0 if up > 0 else float(row))
        middle = 0.5 * (s + to)
        dx, dy = x_next - x, y_next - y
        mean_x, mean_y = 0.5 * (x + x_next), 0.5 * (y + y_next)
        arrow = (_value(cx, middle) - mean_x) * dy - (_value(cy, middle) - mean_y) * dx
        height[row, column] += dy
        area[row, column] += (mean_x - column) * dy + arrow * (2.0 / 3.0)
        if to_x == np.inf and to_y == np.inf:
            return
        if to_x <= to_y:
            column += right
            to_x = np.inf
        else:
            row += up
            to_y = np.inf
        s, x, y = to, x_next, y_next


@njit(cache=True, nogil=True, error_model="numpy")
def _pass(
    cx: FloatArray, cy: FloatArray, xs: FloatArray, ys: FloatArray, height: FloatArray, area: FloatArray
) -> None:
    """One part of an edge, stretch after stretch in which neither coordinate turns back."""
    s, x, y = 0.0, xs[0], ys[0]
    end = 4.0
    while s < 4.0:
        if end - s > SHORTEST and not (_is_monotone(cx, s, end) and _is_monotone(cy, s, end)):
            end = 0.5 * (s + end)
            continue
        goal = (xs[4], ys[4]) if end == 4.0 else (_value(cx, end), _value(cy, end))
        _walk(cx, cy, s, end, (x, y), goal, height, area)
        s, x, y = end, goal[0], goal[1]
        end = 4.0


@njit(cache=True, nogil=True, error_model="numpy")
def accumulate_curves(
    corners: FloatArray, nside: float, left: int, bottom: int, height: FloatArray, area: FloatArray
) -> None:
    """Leave in every cell the height that an outline climbs in it and the area between it and the left side.

    Parameters
    ----------
    corners : float64 (n, 3)
        Unit vectors of the vertices of an outline inside one smooth piece of a face.
    nside : float
    left, bottom : int
        First column and row of the box in its face.
    height, area : float64 (rows, columns)
        The box; added to.
    """
    quadrant, zone, column, row = chart(corners[0], nside)
    x_left, y_bottom = column * nside + left, row * nside + bottom
    xs, ys, cx, cy = np.empty(5), np.empty(5), np.empty(5), np.empty(5)
    a = corners[0]
    x, y, _ = place(a[0], a[1], a[2], quadrant, zone, nside)
    xs[4], ys[4] = x - x_left, y - y_bottom
    for k in range(corners.shape[0]):
        b = corners[k + 1 if k + 1 < corners.shape[0] else 0]
        dx, dy, dz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
        chord = math.sqrt(dx * dx + dy * dy + dz * dz)
        if chord == 0.0:
            continue
        scale = math.sqrt(min(a[0] * a[0] + a[1] * a[1], b[0] * b[0] + b[1] * b[1]))
        parts = int(chord / _longest(nside, scale)) + 1
        for part in range(parts):
            xs[0], ys[0] = xs[4], ys[4]
            for j in range(1, 5):
                g = (part + 0.25 * j) / parts
                px, py, pz = a[0] + g * dx, a[1] + g * dy, a[2] + g * dz
                norm = 1.0 / math.sqrt(px * px + py * py + pz * pz)
                px, py, pz = px * norm, py * norm, pz * norm
                if j == 4 and part + 1 == parts:  # to the bit, so that the outline closes
                    px, py, pz = b[0], b[1], b[2]
                x, y, _ = place(px, py, pz, quadrant, zone, nside)
                xs[j], ys[j] = x - x_left, y - y_bottom
            _fit(xs, cx)
            _fit(ys, cy)
            _pass(cx, cy, xs, ys, height, area)
        a = b
