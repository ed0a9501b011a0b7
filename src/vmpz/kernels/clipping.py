"""Regions on the sphere against HEALPix cells, exactly: boundary integrals along the true arcs.

HEALPix is equal-area, so the share of a cell that a region covers is an area in the coordinates of the cell,
``u, v`` in [0, 1], and by Green's theorem an integral of ``u dv`` along the boundary of the region inside the
cell, closed along the sides of the cell. On the sides ``u dv`` is ``dv`` on the right one and nothing on the
others; a turn around the whole cell adds 1. Hence, modulo 1, the share is local: the sum over the passages
of the boundary through the cell of ::

    integral of u dv  +  (v where it came in by the right side)  -  (v where it went out by the right side)

Nothing else about the region matters, and a touch of a corner or of a side changes nothing: both terms are
continuous modulo 1. Whether a cell that the boundary leaves alone is in or out is asked at one point
(`vmpz.kernels.pointinside`).

An arc is ten numbers: ``p(s) = origin + a cos s + b sin s`` for s from 0 to the length in the last place, the
region on its left (seen from outside the sphere). Great circles have origin 0. The face coordinates (Gorski et
al. 2005) are smooth in the equatorial belt and in each quadrant of the polar caps; an arc is cut there
exactly, then wherever it crosses the side of a cell, and each piece is integrated by Gauss and Legendre.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["QUARTER", "TRANSITION", "spread", "trace"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Five-point Gauss-Legendre rule on [-1, 1].
NODES = (-0.9061798459386640, -0.5384693101056831, 0.0, 0.5384693101056831, 0.9061798459386640)
WEIGHTS = (0.2369268850561891, 0.4786286704993665, 0.5688888888888889, 0.4786286704993665, 0.2369268850561891)

QUARTER = 2.0 / math.pi
TRANSITION = 2.0 / 3.0
SMOOTH_STEP = 0.1  # radian: with five nodes the quadrature error stays below 1e-15 of the piece
POLE_STEP = 0.2  # a step is at most this part of the distance from the pole
AT_POLE = 1e-8  # of a cell: closer to the pole the area left is below 1e-15 of a cell


@njit(cache=True, nogil=True, error_model="numpy")
def _at(
    arc: FloatArray, s: float, quadrant: int, zone: int, nside: float
) -> tuple[float, float, float, float]:
    """Chart coordinates X, Y in cells, and their derivatives by s.

    Belt (zone 0): X = nside (1/2 + t + 3z/4), Y = -nside (1/2 + t - 3z/4), t = quarter turns since the
    meridian of the quadrant. Caps (zone +1, -1): coordinates of the polar face of the quadrant.
    """
    c, n = math.cos(s), math.sin(s)
    x0, y0 = arc[0] + arc[3] * c + arc[6] * n, arc[1] + arc[4] * c + arc[7] * n
    dx0, dy0 = arc[6] * c - arc[3] * n, arc[7] * c - arc[4] * n
    z, dz = arc[2] + arc[5] * c + arc[8] * n, arc[8] * c - arc[5] * n
    if quadrant == 0:
        x, y, dx, dy = x0, y0, dx0, dy0
    elif quadrant == 1:
        x, y, dx, dy = y0, -x0, dy0, -dx0
    elif quadrant == 2:
        x, y, dx, dy = -x0, -y0, -dx0, -dy0
    else:
        x, y, dx, dy = -y0, x0, -dy0, dx0
    rho2 = x * x + y * y
    t = QUARTER * math.atan2(y, x)
    dt = QUARTER * (x * dy - y * dx) / rho2 if rho2 > 0.0 else 0.0
    if zone == 0:
        return (
            nside * (0.5 + t + 0.75 * z),
            -nside * (0.5 + t - 0.75 * z),
            nside * (dt + 0.75 * dz),
            nside * (0.75 * dz - dt),
        )
    t = min(max(t, 0.0), 1.0)
    w = math.sqrt(3.0 * rho2 / (1.0 + abs(z)))
    dw = -1.5 * zone * dz / w if w > 0.0 else 0.0
    if zone > 0:
        return (
            nside * (1.0 - (1.0 - t) * w),
            nside * (1.0 - t * w),
            nside * (dt * w - (1.0 - t) * dw),
            -nside * (dt * w + t * dw),
        )
    return nside * t * w, nside * (1.0 - t) * w, nside * (dt * w + t * dw), nside * ((1.0 - t) * dw - dt * w)


@njit(cache=True, nogil=True)
def spread(number: int) -> int:
    """Bits of a 29-bit number on the even places."""
    number = (number | (number << 16)) & 0x0000FFFF0000FFFF
    number = (number | (number << 8)) & 0x00FF00FF00FF00FF
    number = (number | (number << 4)) & 0x0F0F0F0F0F0F0F0F
    number = (number | (number << 2)) & 0x3333333333333333
    return (number | (number << 1)) & 0x5555555555555555


@njit(cache=True, nogil=True)
def _cell(x: float, y: float, quadrant: int, zone: int, order: int) -> tuple[int, float, float]:
    """Nested cell at chart coordinates, and the chart coordinates of its lower left corner."""
    nside = 1 << order
    if zone != 0:
        ix = min(max(math.floor(x), 0), nside - 1)
        iy = min(max(math.floor(y), 0), nside - 1)
        face = quadrant if zone > 0 else quadrant + 8
        return (face << (2 * order)) | spread(ix) | (spread(iy) << 1), float(ix), float(iy)
    column, row = math.floor(x), math.floor(y)
    across = column + quadrant * nside
    down = quadrant * nside - row - 1
    right, left = across >> order, down >> order
    if right - left > 1:  # rounding at a corner of the belt
        across, right = ((left + 2) << order) - 1, left + 1
    elif left - right > 1:
        down, left = ((right + 2) << order) - 1, right + 1
    if right == left:
        face = (left & 3) | 4
    elif left < right:
        face = left & 3
    else:
        face = (right & 3) + 8
    ix = across & (nside - 1)
    iy = nside - 1 - (down & (nside - 1))
    cell = (face << (2 * order)) | spread(ix) | (spread(iy) << 1)
    return cell, float(across - quadrant * nside), float(quadrant * nside - down - 1)


@njit(cache=True, nogil=True)
def _sort(values: FloatArray, count: int) -> None:
    for i in range(1, count):
        value = values[i]
        j = i - 1
        while j >= 0 and values[j] > value:
            values[j + 1] = values[j]
            j -= 1
        values[j + 1] = value


@njit(cache=True, nogil=True, error_model="numpy")
def _add_level(
    origin: float, a: float, b: float, level: float, length: float, out: FloatArray, count: int
) -> int:
    """Append the s in (0, length) where ``origin + a cos s + b sin s`` equals the level."""
    amplitude = math.hypot(a, b)
    if not amplitude > abs(level - origin):
        return count
    middle = math.atan2(b, a)
    half = math.acos((level - origin) / amplitude)
    for side in (-half, half):
        s = (middle + side) % (2.0 * math.pi)
        if 0.0 < s < length:
            out[count] = s
            count += 1
    return count


@njit(cache=True, nogil=True)
def _breaks(arc: FloatArray, out: FloatArray) -> int:
    """Ends of the smooth stretches of an arc: quarter meridians and abs(z) = 2/3, sorted, ends included."""
    length = arc[9]
    out[0] = 0.0
    count: int = _add_level(arc[2], arc[5], arc[8], TRANSITION, length, out, 1)
    count = _add_level(arc[2], arc[5], arc[8], -TRANSITION, length, out, count)
    count = _add_level(arc[0], arc[3], arc[6], 0.0, length, out, count)
    count = _add_level(arc[1], arc[4], arc[7], 0.0, length, out, count)
    out[count] = length
    count += 1
    _sort(out, count)
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def _chart(arc: FloatArray, s: float) -> tuple[int, int, float]:
    """Quadrant (0-3) and zone (-1, 0, +1) at s, and the distance from the axis."""
    c, n = math.cos(s), math.sin(s)
    x, y = arc[0] + arc[3] * c + arc[6] * n, arc[1] + arc[4] * c + arc[7] * n
    z = arc[2] + arc[5] * c + arc[8] * n
    if y >= 0.0:
        quadrant = 0 if x > 0.0 else 1
    else:
        quadrant = 2 if x <= 0.0 else 3
    zone = 1 if z > TRANSITION else (-1 if z < -TRANSITION else 0)
    return quadrant, zone, math.hypot(x, y)


@njit(cache=True, nogil=True, error_model="numpy")
def _turning(
    arc: FloatArray, low: float, high: float, quadrant: int, zone: int, nside: float, axis: int
) -> float:
    """Where the derivative of a coordinate changes sign between low and high (bisection)."""
    start = _at(arc, low, quadrant, zone, nside)[2 + axis] > 0.0
    for _ in range(50):
        middle = 0.5 * (low + high)
        if middle <= low or middle >= high:
            break
        if (_at(arc, middle, quadrant, zone, nside)[2 + axis] > 0.0) == start:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


@njit(cache=True, nogil=True, error_model="numpy")
def _add_turnings(
    arc: FloatArray,
    low: float,
    high: float,
    start: tuple[float, float, float, float],
    end: tuple[float, float, float, float],
    quadrant: int,
    zone: int,
    nside: float,
    axis: int,
    out: FloatArray,
    count: int,
) -> int:
    """Append the extremes of a coordinate inside a step, `_at` of whose ends is given.

    A pair of extremes between derivatives of one sign shows at the least slope, which the cubic through both
    ends foretells.
    """
    d0, d1 = start[2 + axis], end[2 + axis]
    if (d0 > 0.0) != (d1 > 0.0):
        out[count] = _turning(arc, low, high, quadrant, zone, nside, axis)
        return count + 1
    slope = (end[axis] - start[axis]) / (high - low)
    bend = 6.0 * (d0 + d1 - 2.0 * slope)
    place = (4.0 * d0 + 2.0 * d1 - 6.0 * slope) / bend if bend != 0.0 else -1.0
    if not 0.0 < place < 1.0:
        return count
    least = d0 + place * (6.0 * slope - 4.0 * d0 - 2.0 * d1) + 0.5 * bend * place * place
    if least * d0 > 0.2 * min(abs(d0), abs(d1)) * abs(d0):
        return count
    middle = low + place * (high - low)
    if (_at(arc, middle, quadrant, zone, nside)[2 + axis] > 0.0) == (d0 > 0.0):
        return count
    out[count] = _turning(arc, low, middle, quadrant, zone, nside, axis)
    out[count + 1] = _turning(arc, middle, high, quadrant, zone, nside, axis)
    return count + 2


@njit(cache=True, nogil=True, error_model="numpy")
def _root(
    arc: FloatArray,
    low: float,
    high: float,
    f_low: float,
    f_high: float,
    level: float,
    quadrant: int,
    zone: int,
    nside: float,
    axis: int,
) -> float:
    """Where a coordinate, monotone between low and high, takes a level: Newton inside a bracket."""
    rising = f_high > f_low
    s = low + (high - low) * (level - f_low) / (f_high - f_low)
    for _ in range(80):
        at = _at(arc, s, quadrant, zone, nside)
        miss = at[axis] - level
        if miss == 0.0:
            return s
        if (miss > 0.0) == rising:
            high = s
        else:
            low = s
        step = miss / at[2 + axis]
        guess: float = s - step
        if not low < guess < high:
            guess = 0.5 * (low + high)
        if abs(guess - s) <= 1e-16:
            return guess
        s = guess
    return s


@njit(cache=True, nogil=True, error_model="numpy")
def _add_crossings(
    arc: FloatArray,
    low: float,
    high: float,
    f_low: float,
    f_high: float,
    quadrant: int,
    zone: int,
    nside: float,
    axis: int,
    out: FloatArray,
    count: int,
) -> int:
    """Append where a monotone coordinate passes whole numbers strictly inside a step."""
    first = math.floor(min(f_low, f_high)) + 1.0
    last = math.ceil(max(f_low, f_high)) - 1.0
    level = first
    while level <= last and count < out.size - 1:
        out[count] = _root(arc, low, high, f_low, f_high, level, quadrant, zone, nside, axis)
        count += 1
        level += 1.0
    return count


@njit(cache=True, nogil=True)
def _on_side(u: float, v: float) -> tuple[float, float]:
    """A point on a side of the cell but for rounding: v (whole at bottom and top), and v again if on the right."""
    right, bottom, top = abs(1.0 - u), abs(v), abs(1.0 - v)
    nearest = min(min(right, abs(u)), min(bottom, top))
    if nearest == right:
        return v, v
    if nearest == bottom:
        return 0.0, 0.0
    return (1.0, 0.0) if nearest == top else (v, 0.0)


@njit(cache=True, nogil=True, error_model="numpy")
def _area(
    arc: FloatArray, low: float, high: float, quadrant: int, zone: int, nside: float, x: float
) -> float:
    """Integral of (X - x) dY along a piece of an arc."""
    middle, half = 0.5 * (low + high), 0.5 * (high - low)
    area = 0.0
    for k in range(5):
        at = _at(arc, middle + half * NODES[k], quadrant, zone, nside)
        area += WEIGHTS[k] * (at[0] - x) * at[3]
    return half * area


@njit(cache=True, nogil=True, error_model="numpy")
def _stops(
    arc: FloatArray, low: float, high: float, quadrant: int, zone: int, nside: float, out: FloatArray
) -> int:
    """Every place inside one step of an arc where it may change cells: sorted, ends included."""
    start = _at(arc, low, quadrant, zone, nside)
    end = _at(arc, high, quadrant, zone, nside)
    turns = np.empty(8)
    turns[0] = low
    many = 1
    for axis in range(2):
        many = _add_turnings(arc, low, high, start, end, quadrant, zone, nside, axis, turns, many)
    turns[many] = high
    many += 1
    _sort(turns, many)
    count = 0
    here = start
    for k in range(many - 1):
        there = _at(arc, turns[k + 1], quadrant, zone, nside) if k < many - 2 else end
        out[count] = turns[k]
        count += 1
        for axis in range(2):
            count = _add_crossings(
                arc, turns[k], turns[k + 1], here[axis], there[axis], quadrant, zone, nside, axis, out, count
            )
        here = there
    out[count] = high
    count += 1
    _sort(out, count)
    return count


@njit(cache=True, nogil=True)
def _room(
    cells: IntArray, shares: FloatArray, owners: IntArray, need: int
) -> tuple[IntArray, FloatArray, IntArray]:
    """The three columns, twice as long when `need` rows do not fit."""
    if need <= cells.size:
        return cells, shares, owners
    size = 2 * need
    more_cells, more_shares, more_owners = np.empty(size, np.int64), np.empty(size), np.empty(size, np.int64)
    more_cells[: cells.size] = cells
    more_shares[: cells.size] = shares
    more_owners[: cells.size] = owners
    return more_cells, more_shares, more_owners


@njit(cache=True, nogil=True, error_model="numpy")
def trace(arcs: FloatArray, first: IntArray, order: int) -> tuple[IntArray, IntArray, FloatArray]:
    """Follow the boundaries of regions through the cells.

    Parameters
    ----------
    arcs : float64 (n, 10)
        Arcs of all regions, region after region, each a closed loop with the region on its left.
    first : int64 (regions + 1,)
        First arc of each region, and the number of arcs.
    order : int

    Returns
    -------
    owner : int64 (m,)
        Region of each passage.
    cell : int64 (m,)
        Its cell.
    share : float64 (m,)
        What it adds to the covered share of the cell, modulo 1 in the sum over the region's passages.
    """
    nside = float(1 << order)
    cells, shares, owners = np.empty(1024, np.int64), np.empty(1024), np.empty(1024, np.int64)
    breaks, stops = np.empty(12), np.empty(64)
    count = 0
    for region in range(first.size - 1):
        current, first_cell, many = np.int64(-1), np.int64(-1), 0
        share, u0, v_in, v_out = 0.0, 0.0, 0.0, 0.0  # integral of (u - u0) dv, which keeps small areas
        v_last, first_term, term_in, term_out = 0.0, 0.0, 0.0, 0.0
        for k in range(first[region], first[region + 1]):
            arc = arcs[k]
            speed = math.sqrt(arc[3] * arc[3] + arc[4] * arc[4] + arc[5] * arc[5])
            panels = _breaks(arc, breaks)
            for panel in range(panels - 1):
                low, end = breaks[panel], breaks[panel + 1]
                quadrant, zone, _ = _chart(arc, 0.5 * (low + end))
                while low < end:
                    reach = max(POLE_STEP * _chart(arc, low)[2], AT_POLE / nside)
                    high = low + min(SMOOTH_STEP, min(1.0 / nside, min(reach, SMOOTH_STEP)) / speed)
                    if not high < end:
                        high = end
                    pieces = _stops(arc, low, high, quadrant, zone, nside, stops)
                    for j in range(pieces - 1):
                        if not stops[j] < stops[j + 1]:
                            continue
                        at = _at(arc, 0.5 * (stops[j] + stops[j + 1]), quadrant, zone, nside)
                        cell, x0, y0 = _cell(at[0], at[1], quadrant, zone, order)
                        if cell != current:
                            start = _at(arc, stops[j], quadrant, zone, nside)
                            v, term = _on_side(start[0] - x0, start[1] - y0)
                            if current >= 0:
                                cells, shares, owners = _room(cells, shares, owners, count + 3)
                                cells[count], owners[count] = current, region
                                shares[count] = share + u0 * (v_out - v_in) + term_in - term_out
                                count += 1
                                term_in = term
                            else:  # the loop may begin inside a cell: its side terms wait for the end
                                first_cell, first_term, v = cell, term, start[1] - y0
                            current, share, u0, v_in = cell, 0.0, at[0] - x0, v
                            many += 1
                        share += _area(arc, stops[j], stops[j + 1], quadrant, zone, nside, x0 + u0)
                        last = _at(arc, stops[j + 1], quadrant, zone, nside)
                        v_out, term_out = _on_side(last[0] - x0, last[1] - y0)
                        v_last = last[1] - y0
                    low = high
        if current < 0:
            continue
        cells, shares, owners = _room(cells, shares, owners, count + 3)
        cells[count], owners[count] = current, region
        if many == 1:  # a loop inside one cell closes by itself
            shares[count] = share
        elif current == first_cell:
            shares[count] = share + u0 * (v_last - v_in) + term_in
        else:
            shares[count] = share + u0 * (v_out - v_in) + term_in - term_out
            count += 1
            cells[count], owners[count], shares[count] = first_cell, region, first_term
        count += 1
    return owners[:count].copy(), cells[:count].copy(), shares[:count].copy()
