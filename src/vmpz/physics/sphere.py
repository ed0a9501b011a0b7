"""Directions as unit vectors, and the angles between them.

Components stand on the last axis, x towards (0, 0) and z towards the pole of the coordinates.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["angle_between_deg", "position_angle_deg", "unit_vectors"]

Array = NDArray[np.float64]


def unit_vectors(lon_deg: ArrayLike, lat_deg: ArrayLike) -> Array:
    """Unit vectors ``(..., 3)`` of positions in degrees; the two broadcast."""
    lon, lat = np.radians(lon_deg), np.radians(lat_deg)
    return np.stack(
        np.broadcast_arrays(np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)), axis=-1
    )


def angle_between_deg(first: Array, second: Array) -> Array:
    """Angle between vectors ``(..., 3)`` of any length, 0 to 180 degrees; exact near 0 and 180, unlike arccos."""
    across = np.linalg.norm(np.cross(first, second), axis=-1)
    along: Array = np.einsum("...i,...i->...", first, second)
    return np.asarray(np.degrees(np.arctan2(across, along)))


def position_angle_deg(lon_deg: ArrayLike, lat_deg: ArrayLike, towards: Array) -> Array:
    """Position angle of a direction seen from a position: from north through east, -180 to 180 degrees.

    Parameters
    ----------
    lon_deg, lat_deg : array_like
        Where the angle is measured.
    towards : array (..., 3)
        Vectors of any length; the angle is that of the great circle through both directions.
    """
    lon, lat = np.radians(lon_deg), np.radians(lat_deg)
    x, y, z = np.moveaxis(towards, -1, 0)
    east = y * np.cos(lon) - x * np.sin(lon)
    north = z * np.cos(lat) - (x * np.cos(lon) + y * np.sin(lon)) * np.sin(lat)
    return np.asarray(np.degrees(np.arctan2(east, north)))
