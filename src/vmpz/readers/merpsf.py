"""Stamps of MER PSF files: positions and FWHM from their table, moments from their image.

The image of a catalogue PSF is a mosaic of stamps, each about the pixel (x_center, y_center), and (x, y) is where it
belongs on the mosaic of the tile; that of a grid PSF has each stamp at its place (x, y). Stamps have STMPSIZE pixels a
side, on the axes of the mosaic. Positions count from 1.
"""

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.files.fits import open_fits
from vmpz.files.planes import open_plane
from vmpz.files.tables import Table
from vmpz.frames import FileRef, PsfStamps
from vmpz.physics.moments import FWHM_PER_SIGMA, adaptive_moments, rotate
from vmpz.readers.stamps import pixel_jacobian
from vmpz.readers.tables import listed_table

__all__ = ["read_psf", "with_moments"]

Array = NDArray[np.float64]


def read_psf(ref: FileRef, wcs: WCS) -> PsfStamps:
    """PSF stamps of a catalogue PSF (RA, Dec, FWHM) or a grid PSF (x, y of the mosaic, counted from 1, and FWHM).

    Raises
    ------
    InputError
        A column is missing or not finite, a position is off the sky, or a FWHM is not positive.
    """
    table = listed_table(ref)
    fwhm = table.finite("FWHM")
    if "RA" in table and "Dec" in table:
        lon, lat = table.finite("RA"), table.finite("Dec")
    else:
        lon, lat = wcs.all_pix2world(table.finite("x"), table.finite("y"), 1)
        lon, lat = (lat, lon) if wcs.wcs.lng == 1 else (lon, lat)
    if not (np.isfinite(lon).all() and np.all(np.abs(lat) <= 90) and np.all(fwhm > 0)):
        raise InputError(f"{table.where}: stamps must lie on the sky and have FWHM > 0")
    return PsfStamps(np.asarray(lon, np.float64), np.asarray(lat, np.float64), fwhm)


def with_moments(psf: PsfStamps, table: FileRef, image: FileRef, wcs: WCS) -> PsfStamps:
    """The same stamps with their moments: shape from the image, size from the FWHM; NaN where a stamp has no moments.

    Raises
    ------
    InputError
        A column or STMPSIZE is missing, or a stamp lies outside the image.
    """
    columns = listed_table(table)
    stamps = _stamps(columns, image)
    found = adaptive_moments(stamps)
    jacobian = pixel_jacobian(wcs, columns.finite("x") - 1.0, columns.finite("y") - 1.0)
    xx, yy, xy = rotate(found.ixx, found.iyy, found.ixy, jacobian)
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = (psf.fwhm_arcsec / FWHM_PER_SIGMA) ** 2 / np.sqrt(xx * yy - xy**2)
    moments = np.stack((xx, yy, xy), axis=1) * scale[:, np.newaxis]
    return PsfStamps(psf.lon_deg, psf.lat_deg, psf.fwhm_arcsec, moments)


def _stamps(table: Table, image: FileRef) -> Array:
    """Cut-outs (n, size, size), read row of stamps by row of stamps."""
    with open_fits(image.location) as file:
        size = file.hdu(image.hdu).cards.integer("STMPSIZE")
    at = ("x_center", "y_center") if "x_center" in table else ("x", "y")
    column, row = (np.rint(table.finite(name)).astype(np.int64) - 1 - size // 2 for name in at)
    plane = open_plane(image.location, image.hdu, "PSF", identity=image.identity)
    try:
        rows, columns = plane.shape
        if row.size and not (
            row.min() >= 0
            and row.max() + size <= rows
            and column.min() >= 0
            and column.max() + size <= columns
        ):
            raise InputError(
                f"{plane.where}: stamps of {size} pixels must lie inside its {rows} x {columns} pixels"
            )
        stamps = np.empty((row.size, size, size))
        for first in np.unique(row):
            strip = plane.read(int(first), int(first) + size).astype(np.float64)
            for one in np.flatnonzero(row == first):
                stamps[one] = strip[:, column[one] : column[one] + size]
        return stamps
    finally:
        plane.close()
