"""Edges of an outline as chords in the plane of the cells, to a stated tolerance.

The outline is mapped to the face coordinates of its cells and each edge replaced by chords there, as many as keep the
distance between edge and chord below half the tolerance (in cells). The chords are then accumulated as a font
rasteriser does: each leaves, in the cell it passes, its height and the area on its left; one sweep along every row
(`vmpz.kernels.nodes`) turns both into shares. The cost is that of the cells on the edges; there is no clipping, and
concave outlines need nothing more.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from vmpz.kernels.clipping import QUARTER, TRANSITION

__all__ = ["LARGEST_BOX", "accumulate_chords", "chart", "outline_points", "place"]

FloatArray = NDArray[np.float64]

LARGEST_BOX = 1 << 20  # cells


@njit(cache=True, nogil=True, error_model="numpy")
def place(x: float, y: float, z: float, quadrant: int, zone: int, nside: float) -> tuple[float, float, bool]:
    """Coordinates in cells in the chart of a quadrant (`clipping`), and whether the point belongs there."""
    if quadrant == 1:
        x, y = y, -x
    elif quadrant == 2:
        x, y = -x, -y
    elif quadrant == 3:
        x, y = -y, x
    t = QUARTER * math.atan2(y, x)
    if zone == 0:
        return nside * (0.5 + t + 0.75 * z), -nside * (0.5 + t - 0.75 * z), abs(z) <= TRANSITION
    w = math.sqrt(3.0 * (x * x + y * y) / (1.0 + abs(z)))
    here = z * zone > TRANSITION and x >= 0.0 and y >= 0.0
    if zone > 0:
        return nside * (1.0 - (1.0 - t) * w), nside * (1.0 - t * w), here
    return nside * t * w, nside * (1.0 - t) * w, here


@njit(cache=True, nogil=True, error_model="numpy")
def chart(a: FloatArray, nside: float) -> tuple[int, int, int, int]:
    """Quadrant and zone of a point, and column and row of its base face in their chart."""
    quadrant = (0 if a[0] > 0.0 else 1) if a[1] >= 0.0 else (2 if a[0] <= 0.0 else 3)
    zone = 1 if a[2] > TRANSITION else (-1 if a[2] < -TRANSITION else 0)
    x, y, _ = place(a[0], a[1], a[2], quadrant, zone, nside)
    return quadrant, zone, math.floor(x / nside), math.floor(y / nside)


@njit(cache=True, nogil=True, error_model="numpy")
def outline_points(
    corners: FloatArray, nside: float, tolerance: float, points: FloatArray
) -> tuple[int, int]:
    """Chord points of an outline in cells of its base face: count (0 where it leaves its chart), face.

    An edge is cut so that the parabola through the images of its ends and middle is right to a tenth of the
    tolerance, then the parabola into chords.
    """
    many = corners.shape[0]
    if many == 0:
        return 0, 0
    a = corners[0]
    quadrant, zone, column, row = chart(a, nside)
    x0, y0, here = place(a[0], a[1], a[2], quadrant, zone, nside)
    left, bottom = column * nside, row * nside
    longest = (10.0 * tolerance / nside) ** (1.0 / 3.0)
    points[0, 0], points[0, 1] = x0 - left, y0 - bottom
    count = 1
    for k in range(many):
        b = corners[k + 1] if k + 1 < many else corners[0]
        chord = math.sqrt((b[0] - a[0]) ** 2 + (b[1] - a[1]) ** 2 + (b[2] - a[2]) ** 2)
        scale = 1.0 if zone == 0 else math.sqrt(min(a[0] * a[0] + a[1] * a[1], b[0] * b[0] + b[1] * b[1]))
        parts = int(chord / (longest * scale)) + 1 if scale > 0.0 else LARGEST_BOX
        if parts > points.shape[0] // 8:
            return 0, 0
        for part in range(parts):
            g, h = (part + 0.5) / parts, (part + 1.0) / parts
            mx, my, mz = a[0] + g * (b[0] - a[0]), a[1] + g * (b[1] - a[1]), a[2] + g * (b[2] - a[2])
            norm = 1.0 / math.sqrt(mx * mx + my * my + mz * mz)
            xm, ym, here_m = place(mx * norm, my * norm, mz * norm, quadrant, zone, nside)
            ex, ey, ez = b[0], b[1], b[2]
            if part + 1 < parts:
                ex, ey, ez = a[0] + h * (b[0] - a[0]), a[1] + h * (b[1] - a[1]), a[2] + h * (b[2] - a[2])
                norm = 1.0 / math.sqrt(ex * ex + ey * ey + ez * ez)
                ex, ey, ez = ex * norm, ey * norm, ez * norm
            x1, y1, here_e = place(ex, ey, ez, quadrant, zone, nside)
            here = here and here_m and here_e
            here = here and math.floor(xm / nside) == column and math.floor(ym / nside) == row
            here = here and math.floor(x1 / nside) == column and math.floor(y1 / nside) == row
            bend_x, bend_y = xm - 0.5 * (x0 + x1), ym - 0.5 * (y0 + y1)
            chords = int(math.sqrt(2.0 * math.sqrt(bend_x * bend_x + bend_y * bend_y) / tolerance)) + 1
            if not here or count + chords >= points.shape[0]:
                return 0, 0
            for j in range(1, chords + 1):
                t = j / chords
                curve = 4.0 * t * (1.0 - t)
                points[count, 0] = x0 + t * (x1 - x0) + curve * bend_x - left
                points[count, 1] = y0 + t * (y1 - y0) + curve * bend_y - bottom
                count += 1
            x0, y0 = x1, y1
        a = b
    points[count - 1] = points[0]
    if zone != 0:
        return count, quadrant if zone > 0 else quadrant + 8
    right = column + quadrant
    upper = quadrant - row - 1
    if right == upper:
        return count, (upper & 3) | 4
    return count, (upper & 3) if upper < right else (right & 3) + 8


@njit(cache=True, nogil=True, error_model="numpy")
def accumulate_chords(
    points: FloatArray, count: int, left: int, bottom: int, height: FloatArray, area: FloatArray
) -> None:
    """Leave in every cell the height that chords climb in it and the area between them and its left side."""
    for k in range(count - 1):
        x0, y0 = points[k, 0] - left, points[k, 1] - bottom
        x1, y1 = points[k + 1, 0] - left, points[k + 1, 1] - bottom
        dx, dy = x1 - x0, y1 - y0
        if dy == 0.0:
            continue
        slope = dx / dy
        step = 1 if dy > 0.0 else -1
        row = int(y0)
        last = int(y1)
        if step < 0 and row == y0:  # leaves a row side downwards
            row -= 1
        if step > 0 and last == y1:
            last -= 1
        x, y = x0, y0
        while True:
            if row == last:
                x_next, y_next = x1, y1
            else:
                y_next = row + 1.0 if step > 0 else float(row)
                x_next = x0 + (y_next - y0) * slope
            _accumulate_row(x, x_next, y_next - y, row, height, area)
            if row == last:
                break
            x, y = x_next, y_next
            row += step


@njit(cache=True, nogil=True, error_model="numpy")
def _accumulate_row(x0: float, x1: float, dy: float, row: int, height: FloatArray, area: FloatArray) -> None:
    """One chord inside one row of cells."""
    low, high = (x0, x1) if x0 <= x1 else (x1, x0)
    first, last = int(low), int(high)
    if first == last:
        height[row, first] += dy
        area[row, first] += (0.5 * (x0 + x1) - first) * dy
        return
    rate = dy / (high - low)
    part = (first + 1.0 - low) * rate
    height[row, first] += part
    area[row, first] += 0.5 * (low - first + 1.0) * part
    for column in range(first + 1, last):
        height[row, column] += rate
        area[row, column] += 0.5 * rate
    part = (high - last) * rate
    height[row, last] += part
    area[row, last] += 0.5 * (high - last) * part
