"""A small view of a set of cells: which point of the sky each pixel of a picture shows.

The projection is Lambert's azimuthal equal-area one (Snyder 1987, USGS Professional Paper 1395, eqs 20-14, 20-15 and
24-16), about the middle of the cells: like a gnomonic one where the cells are close together, and still right where
they cover the sky, which it shows as a disc. North is up, east to the left.
"""

import numpy as np
from numpy.typing import NDArray

from vmpz.sky import hpx

__all__ = ["PIXELS", "view_of"]

PIXELS = (220, 132)
"""Width and height of a picture."""
MARGIN = 1.06
NOWHERE = 0.05
"""Length of the mean of unit vectors below which cells lie all over the sky."""

Floats = NDArray[np.float64]


def view_of(cells: NDArray[np.int64], order: int) -> tuple[Floats, Floats, str]:
    """Longitudes and latitudes (degrees) of the pixels of a view of some cells, NaN off the sky, and what it shows.

    Parameters
    ----------
    cells : int64 array (n,), n > 0
        Cells that tell where the view is to be: all, or a sample.
    order : int
    """
    lon, lat = hpx.centres(cells, order)
    lon0, lat0 = _middle(lon, lat)
    x, y = _projected(lon, lat, lon0, lat0)
    half_cell = np.sqrt(hpx.cell_area_sr(order))
    left, right = x.min() - half_cell, x.max() + half_cell
    low, high = y.min() - half_cell, y.max() + half_cell
    step = MARGIN * max((right - left) / PIXELS[0], (high - low) / PIXELS[1])
    across = (left + right) / 2 + step * (np.arange(PIXELS[0]) + 0.5 - PIXELS[0] / 2)
    up = (low + high) / 2 - step * (np.arange(PIXELS[1]) + 0.5 - PIXELS[1] / 2)
    pixels = _sky(across[None, :], up[:, None], lon0, lat0)
    width_deg = np.degrees(step * PIXELS[0])
    told = "the sky" if width_deg > 180 else f"{width_deg:.3g}° across,"
    return *pixels, f"{told} about {lon0:.2f}, {lat0:.2f}; east to the left"


def _middle(lon_deg: Floats, lat_deg: Floats) -> tuple[float, float]:
    """Direction of the mean of unit vectors; the vernal equinox where there is none."""
    lon, lat = np.radians(lon_deg), np.radians(lat_deg)
    x, y = np.mean(np.cos(lat) * np.cos(lon)), np.mean(np.cos(lat) * np.sin(lon))
    z = np.mean(np.sin(lat))
    if np.sqrt(x * x + y * y + z * z) < NOWHERE:
        return 0.0, 0.0
    return float(np.degrees(np.arctan2(y, x)) % 360.0), float(np.degrees(np.arctan2(z, np.hypot(x, y))))


def _projected(lon_deg: Floats, lat_deg: Floats, lon0_deg: float, lat0_deg: float) -> tuple[Floats, Floats]:
    """Plane coordinates in radians at the middle, x to the west."""
    away, lat, lat0 = np.radians(lon_deg - lon0_deg), np.radians(lat_deg), np.radians(lat0_deg)
    along = np.sin(lat0) * np.sin(lat) + np.cos(lat0) * np.cos(lat) * np.cos(away)
    scale = np.sqrt(2.0 / np.maximum(1.0 + along, 1e-12))
    x = -scale * np.cos(lat) * np.sin(away)
    y = scale * (np.cos(lat0) * np.sin(lat) - np.sin(lat0) * np.cos(lat) * np.cos(away))
    return x, y


def _sky(x: Floats, y: Floats, lon0_deg: float, lat0_deg: float) -> tuple[Floats, Floats]:
    """Degrees of plane coordinates; NaN outside the disc of the sphere."""
    lat0 = np.radians(lat0_deg)
    distance = np.hypot(x, y)
    inside = distance <= 2.0
    angle = 2.0 * np.arcsin(np.minimum(distance / 2.0, 1.0))
    safe = np.maximum(distance, 1e-300)
    sine = np.cos(angle) * np.sin(lat0) + y * np.sin(angle) * np.cos(lat0) / safe
    lat = np.degrees(np.arcsin(np.clip(sine, -1.0, 1.0)))
    turn = np.arctan2(
        -x * np.sin(angle), safe * np.cos(lat0) * np.cos(angle) - y * np.sin(lat0) * np.sin(angle)
    )
    lon = (lon0_deg + np.degrees(turn)) % 360.0
    return np.where(inside, lon, np.nan), np.where(inside, lat, np.nan)
