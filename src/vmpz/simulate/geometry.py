"""Tangent planes: straight lines are great circles, so areas on the sky have closed forms.

The simulated survey is laid out in one tangent (gnomonic) plane: every detector, bad column and survey edge is a
rectangle there, whose solid angle is exact (`rectangle_area_sr`). A great circle is a straight line in any tangent
plane, so a rectangle of the survey plane is a quadrilateral with straight edges in the plane of every tile, and
its pixels are row spans with ends in closed form.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vmpz.tiles import tangent_frame

__all__ = ["Plane", "clip_to_rectangle", "polygon_area_sr", "rectangle_area_sr", "to_angles"]

Array = NDArray[np.floating[Any]]

ARCSEC = math.radians(1.0 / 3600.0)
SQUARE_DEGREES_PER_STERADIAN = (180.0 / math.pi) ** 2


@dataclass(frozen=True)
class Plane:
    """The plane that touches the sphere at one point; x runs east, y north, in units of the radius.

    Attributes
    ----------
    centre, east, north : array (3,)
        Unit vectors.
    """

    centre: Array
    east: Array
    north: Array

    @classmethod
    def at(cls, lon_deg: float, lat_deg: float) -> "Plane":
        """Plane at a position (degrees)."""
        return cls(*tangent_frame(lon_deg, lat_deg))

    def vectors(self, x: ArrayLike, y: ArrayLike) -> Array:
        """Directions of points of the plane, not normalised, shape (..., 3)."""
        return np.asarray(
            self.centre
            + np.asarray(x, float)[..., None] * self.east
            + np.asarray(y, float)[..., None] * self.north
        )

    def angles(self, x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
        """Longitude and latitude (degrees) of points of the plane."""
        return to_angles(self.vectors(x, y))

    def project(self, vectors: Array) -> tuple[Array, Array]:
        """Plane coordinates of directions on this side of the sphere."""
        depth = vectors @ self.centre
        return (vectors @ self.east) / depth, (vectors @ self.north) / depth


def to_angles(vectors: Array) -> tuple[Array, Array]:
    """Longitude in [0, 360) and latitude, degrees."""
    x, y, z = np.moveaxis(vectors, -1, 0)
    return np.mod(np.degrees(np.arctan2(y, x)), 360.0), np.degrees(np.arctan2(z, np.hypot(x, y)))


def regular_polygon(centre: Array, radius: float, corners: int) -> Array:
    """Directions (n, 3) of points all around a centre at an angular distance (radian)."""
    lon, lat = to_angles(centre)
    angle = 2.0 * math.pi * np.arange(corners) / corners
    size = math.tan(radius)
    return Plane.at(float(lon), float(lat)).vectors(size * np.cos(angle), size * np.sin(angle))


def rectangle_area_sr(x0: ArrayLike, x1: ArrayLike, y0: ArrayLike, y1: ArrayLike) -> Array:
    """Solid angle of rectangles of a tangent plane, steradian.

    The corner function ``atan(x y / sqrt(1 + x^2 + y^2))`` is the solid angle of the rectangle from the origin.
    """

    def corner(x: ArrayLike, y: ArrayLike) -> Array:
        x, y = np.asarray(x, float), np.asarray(y, float)
        return np.asarray(np.arctan(x * y / np.sqrt(1.0 + x * x + y * y)))

    return np.asarray(corner(x1, y1) - corner(x0, y1) - corner(x1, y0) + corner(x0, y0))


def polygon_area_sr(points: Array) -> float:
    """Solid angle of a polygon of a tangent plane, points (n, 2), whose edges are great circles; positive when
    it runs counter-clockwise in the plane.

    Sum over edges of the signed triangle with the tangent point (Van Oosterom and Strackee 1983).
    """
    x, y = np.asarray(points, float).T
    u, v = np.roll(x, -1), np.roll(y, -1)
    one, two = np.sqrt(1.0 + x * x + y * y), np.sqrt(1.0 + u * u + v * v)
    return float(2.0 * np.sum(np.arctan2(x * v - u * y, one * two + one + two + 1.0 + x * u + y * v)))


def clip_to_rectangle(points: Array, x0: float, x1: float, y0: float, y1: float) -> Array:
    """The part of a polygon (n, 2) inside a rectangle (Sutherland and Hodgman 1974).

    Pieces of a concave polygon stay joined by edges of no width, which add no area.
    """
    for axis, sign, bound in ((0, 1.0, x0), (0, -1.0, x1), (1, 1.0, y0), (1, -1.0, y1)):
        points = _clip_to_half_plane(points, axis, sign, bound)
    return points


def _clip_to_half_plane(points: Array, axis: int, sign: float, bound: float) -> Array:
    if len(points) == 0:
        return points
    height = sign * (points[:, axis] - bound)
    after, next_height = np.roll(points, -1, axis=0), np.roll(height, -1)
    crosses = (height >= 0) != (next_height >= 0)
    share = np.divide(height, height - next_height, out=np.zeros_like(height), where=crosses)
    crossing = points + share[:, None] * (after - points)
    kept = np.stack((height >= 0, crosses), axis=1).ravel()
    return np.asarray(np.stack((points, crossing), axis=1).reshape(-1, 2)[kept])
