"""Slow, obvious answers to what `vmpz.sky` computes: forty-digit integrals, stepped cells, Python sets."""

from collections.abc import Sequence
from itertools import pairwise

import mpmath as mp
import numpy as np
import spherely

from vmpz.sky import hpx
from vmpz.sky.regions import Cap, Polygon


def tangent_square(lon_deg, lat_deg, side_deg, angle_deg=0.0):
    """Corners (4, 2) of a square of the tangent plane, |x|, |y| <= tan(side/2), turned by an angle."""
    half = np.tan(np.radians(side_deg) / 2.0)
    turn = np.radians(angle_deg)
    x = half * np.array([-1.0, 1.0, 1.0, -1.0])
    y = half * np.array([-1.0, -1.0, 1.0, 1.0])
    return from_tangent_plane(
        lon_deg, lat_deg, x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
    )


def from_tangent_plane(lon_deg, lat_deg, x, y):
    """Longitude and latitude (n, 2), degrees, of points of the tangent plane, x to the east, in radians."""
    lon, lat = np.radians(lon_deg), np.radians(lat_deg)
    centre = np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    east = np.array([-np.sin(lon), np.cos(lon), 0.0])
    north = np.cross(centre, east)
    p = centre + np.multiply.outer(x, east) + np.multiply.outer(y, north)
    return np.stack(
        (
            np.degrees(np.arctan2(p[:, 1], p[:, 0])) % 360,
            np.degrees(np.arctan2(p[:, 2], np.hypot(p[:, 0], p[:, 1]))),
        ),
        axis=1,
    )


def stepped_shares(polygon: Polygon, cells, order: int, step: int):
    """Shares by S2 (spherely), cells stepped with great circles between `step` points an edge."""
    outline = spherely.create_polygon([tuple(one) for one in polygon.vertices])
    lon, lat = hpx.vertices(cells, order, step)
    shares = []
    for a, b in zip(lon, lat, strict=True):
        cell = spherely.create_polygon(list(zip(a, b, strict=True)))
        shares.append(spherely.area(spherely.intersection(outline, cell)) / spherely.area(cell))
    return np.array(shares)


# -- forty digits -----------------------------------------------------------------------------------------


def mp_vector(lon_deg, lat_deg):
    """Unit vector of a position in degrees, to the working precision."""
    lon, lat = mp.radians(mp.mpf(float(lon_deg))), mp.radians(mp.mpf(float(lat_deg)))
    return (mp.cos(lat) * mp.cos(lon), mp.cos(lat) * mp.sin(lon), mp.sin(lat))


def mp_cross(a, b):
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


def mp_dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def mp_sides(region: Cap | Polygon):
    """Planes (normal, height) whose positive sides meet in a cap or in a convex polygon."""
    if isinstance(region, Cap):
        sign = -1 if region.outside else 1
        centre = mp_vector(region.lon_deg, region.lat_deg)
        return [
            (tuple(sign * c for c in centre), sign * mp.cos(mp.radians(mp.mpf(float(region.radius_deg)))))
        ]
    corners = [mp_vector(*one) for one in region.vertices]
    middle = tuple(sum(c[k] for c in corners) for k in range(3))
    normals = [mp_cross(a, b) for a, b in zip(corners, corners[1:] + corners[:1], strict=True)]
    return [(n if mp_dot(n, middle) > 0 else tuple(-c for c in n), mp.mpf(0)) for n in normals]


def mp_point(face, x, y):
    """Unit vector of face coordinates (section "a uniform point in a cell" of the HEALPix papers)."""
    r = 1 - face // 4
    b = 2 * (face % 4) + (1 if r else 0)
    h = r - 1 + x + y
    m = 2 - r * h
    if m > 1:
        z, phi, rho = 2 * h / 3, mp.pi / 4 * (b + x - y), None
        rho = mp.sqrt(1 - z * z)
    else:
        z = r * (1 - m * m / 3)
        phi = mp.pi / 4 * (b + ((x - y) / m if m else 0))
        rho = mp.sqrt(m * m / 3 * (2 - m * m / 3))
    return (rho * mp.cos(phi), rho * mp.sin(phi), z)


class PassedTwiceError(Exception):
    """The cell is of a kind that the slow integral does not do."""


def mp_share(region: Cap | Polygon, cell: int, order: int, digits: int = 40) -> float:
    """Share of a cell that a cap or a convex polygon covers: integral over u of the length in v inside.

    Every side is taken to pass each line of constant u in the cell at most once.

    Raises
    ------
    PassedTwiceError
        One passes twice.
    """
    with mp.workdps(digits):
        (face,), (ix,), (iy,) = (one.tolist() for one in hpx.faces([cell], order))
        nside = mp.mpf(1 << order)
        sides = mp_sides(region)

        def height(side, u, v):
            return mp_dot(side[0], mp_point(face, (ix + u) / nside, (iy + v) / nside)) - side[1]

        def passage(side, u):
            """Where the line of u passes a side: v, and the sign above; or None and the sign throughout."""
            low, high = height(side, u, mp.mpf(0)), height(side, u, mp.mpf(1))
            if low * height(side, u, mp.mpf(1) / 2) < 0 and low * high > 0:
                raise PassedTwiceError
            if low * high >= 0:
                return None, mp.sign(low + high)
            return mp_bisected(lambda v: height(side, u, v), mp.mpf(0), mp.mpf(1)), mp.sign(high)

        def length(u):
            bottom, top = mp.mpf(0), mp.mpf(1)
            for side in sides:
                v, sign = passage(side, u)
                if v is None and sign < 0:
                    return mp.mpf(0)
                if v is not None:
                    bottom, top = (max(bottom, v), top) if sign > 0 else (bottom, min(top, v))
            return max(top - bottom, mp.mpf(0))

        return mp.quad(length, mp_breaks(sides, height, length, face, ix, iy, nside), maxdegree=7)


def mp_bisected(function, low, high):
    """Root between two signs (Ridders), to the working precision."""
    f_low, f_high = function(low), function(high)
    for _ in range(200):
        middle = (low + high) / 2
        f_middle = function(middle)
        if f_middle == 0 or abs(high - low) < mp.eps * 100:
            return middle
        root = middle + (middle - low) * mp.sign(f_low) * f_middle / mp.sqrt(f_middle**2 - f_low * f_high)
        f_root = function(root)
        if abs(f_root) < mp.eps:
            return root
        ends = [(low, f_low), (middle, f_middle), (root, f_root), (high, f_high)]
        ends.sort()
        for (x0, f0), (x1, f1) in pairwise(ends):
            if f0 * f1 < 0:
                low, f_low, high, f_high = x0, f0, x1, f1
                break
        else:
            return root
    return (low + high) / 2


def mp_breaks(sides, height, length, face, ix, iy, nside):
    """Where the length in v may have a kink: sides leave the cell, meet, or the cell's chart changes."""
    grid = [mp.mpf(k) / 48 for k in range(49)]
    curves = [lambda u: mp.mpf(0), lambda u: mp.mpf(1)]
    if face < 4 or face > 7:
        step = nside - ix - iy
        curves.append(lambda u: step - u)
    breaks = {mp.mpf(0), mp.mpf(1)}
    for side in sides:
        for curve in curves:
            values = [height(side, u, curve(u)) for u in grid]
            for k in range(48):
                if values[k] * values[k + 1] < 0:
                    breaks.add(mp_bisected(lambda u: height(side, u, curve(u)), grid[k], grid[k + 1]))  # noqa: B023
    for k, a in enumerate(sides):
        for b in sides[k + 1 :]:
            meeting = mp_cross(a[0], b[0])
            for sign in (1, -1):
                u = mp_coordinate(tuple(sign * c for c in meeting), face, nside) - ix
                if 0 < u < 1:
                    breaks.add(u)
    return sorted(breaks)


def mp_coordinate(vector, face, nside):
    """x in cells of a direction in a face (meaningless outside it)."""
    norm = mp.sqrt(mp_dot(vector, vector))
    x, y, z = (c / norm for c in vector)
    turns = mp.atan2(y, x) / (mp.pi / 2) % 4
    if abs(z) <= mp.mpf(2) / 3:
        across = turns + mp.mpf(1) / 2 + 3 * z / 4
    else:
        s = mp.sqrt(3 * (1 - abs(z)))
        part = turns - mp.floor(turns)
        across = 1 - (1 - part) * s if z > 0 else part * s
    return (across - mp.floor(across)) * nside


def mp_polygon_area_deg2(vertices: Sequence[Sequence[float]], digits: int = 40) -> float:
    """Area of a polygon seen from its first corner, by l'Huilier's theorem with the sign of each triangle."""
    with mp.workdps(digits):
        corners = [mp_vector(*one) for one in vertices]

        def side(a, b):
            chord = tuple(p - q for p, q in zip(a, b, strict=True))
            return 2 * mp.asin(mp.sqrt(mp_dot(chord, chord)) / 2)

        total = mp.mpf(0)
        for b, c in pairwise(corners[1:]):
            a = corners[0]
            p, q, r = side(a, b), side(b, c), side(c, a)
            s = (p + q + r) / 2
            inside = mp.tan(s / 2) * mp.tan((s - p) / 2) * mp.tan((s - q) / 2) * mp.tan((s - r) / 2)
            excess = 4 * mp.atan(mp.sqrt(max(inside, mp.mpf(0))))
            total += excess * mp.sign(mp_dot(a, mp_cross(b, c)))
        return float(abs(total) * (180 / mp.pi) ** 2)


# -- numpy, level by level --------------------------------------------------------------------------------


def levelwise_merge(sky_map):
    """NUNIQ cells and values, siblings of equal value merged level after level, as one would in plain numpy."""
    cells, values, order = sky_map.cells.cells(), np.asarray(sky_map.values), sky_map.order
    found = []
    while order > 0 and cells.size:
        first = np.flatnonzero(cells[: max(cells.size - 3, 0)] % 4 == 0)
        family = first[:, np.newaxis] + np.arange(4)
        full = np.all(cells[family] == cells[first][:, np.newaxis] + np.arange(4), axis=1)
        full &= np.all(values[family] == values[first][:, np.newaxis], axis=1)
        merged = np.zeros(cells.size, bool)
        merged[family[full]] = True
        found.append((4 * 4**order + cells[~merged], values[~merged]))
        cells, values, order = cells[first[full]] // 4, values[first[full]], order - 1
    found.append((4 * 4**order + cells, values))
    uniq, value = (np.concatenate(column) for column in zip(*found, strict=True))
    ascending = np.argsort(uniq)
    return uniq[ascending], value[ascending]
