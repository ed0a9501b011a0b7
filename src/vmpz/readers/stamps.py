"""PSF stamps of single exposures: from pixels of a detector to widths and moments on the sky."""

from typing import Any

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from vmpz.frames import PsfStamps
from vmpz.physics.moments import adaptive_moments, fwhm, rotate
from vmpz.physics.sphere import unit_vectors

__all__ = [
    "grid_positions",
    "joined_stamps",
    "middle_scale_arcsec",
    "pixel_jacobian",
    "sky_positions",
    "stamps_on_sky",
]

Array = NDArray[np.float64]


def grid_positions(shape: tuple[int, int], across: int, down: int) -> tuple[Array, Array]:
    """Centres (x, y; 0-based pixels) of a regular partition of an image of (rows, columns), row by row."""
    x = (np.arange(across) + 0.5) * shape[1] / across - 0.5
    y = (np.arange(down) + 0.5) * shape[0] / down - 0.5
    return np.tile(x, down), np.repeat(y, across)


def pixel_jacobian(wcs: WCS, x: Array, y: Array) -> Array:
    """Arcsec on the sky for a step of one pixel, shape (n, 2, 2): rows west and north, columns x and y.

    Central differences over one pixel; their error is of third order in the distortion over a pixel.
    """
    half = 0.5
    places = [(x, y), (x + half, y), (x - half, y), (x, y + half), (x, y - half)]
    here, right, left, up, down = (unit_vectors(*sky_positions(wcs, *place)) for place in places)
    lon = np.radians(sky_positions(wcs, x, y)[0])
    west = np.stack((np.sin(lon), -np.cos(lon), np.zeros_like(lon)), axis=-1)
    north = np.cross(west, here)
    steps = np.stack((right - left, up - down), axis=-1)
    axes = np.stack((west, north), axis=-2)
    return np.asarray(np.degrees(axes @ steps) * 3600.0)


def middle_scale_arcsec(wcs: WCS, shape: tuple[int, int]) -> float:
    """Square root of the area of the middle pixel of an image of (rows, columns)."""
    return float(np.sqrt(np.abs(np.linalg.det(pixel_jacobian(wcs, *grid_positions(shape, 1, 1))[0]))))


def sky_positions(wcs: WCS, x: Array, y: Array) -> tuple[Array, Array]:
    """Longitude and latitude, degrees, of pixel coordinates counted from 0, whichever axis is first."""
    lon, lat = wcs.all_pix2world(x, y, 0)
    return (lat, lon) if wcs.wcs.lng == 1 else (lon, lat)


def stamps_on_sky(
    stamps: NDArray[Any], samples_per_pixel: float, wcs: WCS, x: Array, y: Array, detector: int
) -> PsfStamps:
    """Positions, widths and adaptive moments of the stamps of one detector.

    Parameters
    ----------
    stamps : array (n, height, width)
        Rows to growing y.
    samples_per_pixel : float
        Samples of a stamp along a pixel of the detector.
    wcs : astropy.wcs.WCS
        Of the detector.
    x, y : array (n,)
        Where on the detector the stamps stand, 0 at the centre of the first pixel.
    detector : int
        Row of the frame's exposures.

    Returns
    -------
    PsfStamps
        NaN where a stamp has no moments.
    """
    found = adaptive_moments(stamps)
    jacobian = pixel_jacobian(wcs, x, y) / samples_per_pixel
    moments = rotate(found.ixx, found.iyy, found.ixy, jacobian)
    lon, lat = sky_positions(wcs, x, y)
    rows = np.full(len(x), detector, np.int64)
    return PsfStamps(lon, lat, fwhm(*moments), np.stack(moments, axis=1), rows)


def joined_stamps(parts: list[PsfStamps]) -> PsfStamps:
    """Stamps of several detectors, one after the other; all have moments and detectors."""
    moments = [one.moments_arcsec2 for one in parts if one.moments_arcsec2 is not None]
    detectors = [one.detector for one in parts if one.detector is not None]
    return PsfStamps(
        np.concatenate([np.empty(0), *(one.lon_deg for one in parts)]),
        np.concatenate([np.empty(0), *(one.lat_deg for one in parts)]),
        np.concatenate([np.empty(0), *(one.fwhm_arcsec for one in parts)]),
        np.concatenate([np.empty((0, 3)), *moments]),
        np.concatenate([np.empty(0, np.int64), *detectors]),
    )
