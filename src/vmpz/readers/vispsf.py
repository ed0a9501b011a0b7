"""PSF files of VIS: an image a quadrant, a grid of stamps side by side (9 x 9 of 21 x 21 pixels), without coordinates.

Stamp (i, j) is taken to stand at the centre of cell (i, j) of a regular partition of the quadrant's pixels, columns
along x and rows along y. Its moments and FWHM are those of the stamp as it is, the response of a pixel included,
adaptive and Gaussian-weighted (`vmpz.physics.moments`), turned to the sky by the local derivative of the WCS.
"""

from collections.abc import Mapping

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.files.hdu import check_data_sum, data_sum
from vmpz.frames import FileRef, PsfStamps
from vmpz.physics.moments import adaptive_moments, fwhm, rotate
from vmpz.readers.common import canonical_plane
from vmpz.readers.stamps import grid_positions, pixel_jacobian, sky_positions

__all__ = ["read_stamps"]

Array = NDArray[np.float64]


def read_stamps(
    refs: Mapping[int, FileRef],
    wcs: Mapping[int, WCS],
    shapes: Mapping[int, tuple[int, int]],
    stamp_px: int,
    pixel_arcsec: float | None,
) -> PsfStamps:
    """Stamps of the quadrants of one exposure.

    Parameters
    ----------
    refs, wcs, shapes : mapping
        By row of the exposure: image of stamps; WCS and shape (rows, columns) of the quadrant.
    stamp_px : int
        Side of a stamp.
    pixel_arcsec : float, optional
        Side of a pixel of the stamps where it is not that of the quadrant (binned or simulated frames).

    Raises
    ------
    InputError
        An image is not a grid of stamps, is damaged, or has no stamp with a shape. Single stamps without one (no light)
        are left out.
    """
    parts = [_quadrant(refs[row], wcs[row], shapes[row], stamp_px, pixel_arcsec) for row in sorted(refs)]
    lon, lat, width, moments = (np.concatenate(column) for column in zip(*parts, strict=True))
    counts = [len(part[0]) for part in parts]
    return PsfStamps(lon, lat, width, moments, np.repeat(np.array(sorted(refs), np.int64), counts))


def _quadrant(
    ref: FileRef, wcs: WCS, shape: tuple[int, int], stamp_px: int, pixel_arcsec: float | None
) -> tuple[Array, Array, Array, Array]:
    """Longitude, latitude, FWHM and moments of the stamps of one quadrant."""
    stamps, across, down = _cut(ref, stamp_px)
    x, y = grid_positions(shape, across, down)
    jacobian = pixel_jacobian(wcs, x, y)
    if pixel_arcsec is not None:
        jacobian *= (pixel_arcsec / np.sqrt(np.abs(np.linalg.det(jacobian))))[:, None, None]
    pixels = adaptive_moments(stamps)
    moments = np.stack(rotate(pixels.ixx, pixels.iyy, pixels.ixy, jacobian), axis=1)
    width = fwhm(*moments.T)
    good = np.isfinite(width)
    if not good.any():
        raise InputError(f"{ref.location}[{ref.hdu}]: must hold PSF stamps, found none with a shape")
    lon, lat = sky_positions(wcs, x[good], y[good])
    return lon, lat, width[good], moments[good]


def _cut(ref: FileRef, stamp_px: int) -> tuple[Array, int, int]:
    """Stamps (n, side, side), row by row, and how many stand across and down."""
    plane = canonical_plane(ref, "PSF")
    try:
        rows, columns = plane.shape
        image = np.array(plane.read(0, rows))
        if plane.datasum is not None:
            check_data_sum(data_sum(image.tobytes()), plane.datasum, plane.where)
        if rows % stamp_px or columns % stamp_px or not rows or not columns:
            raise InputError(
                f"{plane.where}: must hold stamps of {stamp_px} x {stamp_px} pixels side by side, "
                f"found {columns} x {rows} pixels"
            )
        if not np.isfinite(image).all():
            raise InputError(f"{plane.where}: PSF stamps must be finite, found values that are not")
    finally:
        plane.close()
    down, across = rows // stamp_px, columns // stamp_px
    stamps = image.astype(np.float64).reshape(down, stamp_px, across, stamp_px).swapaxes(1, 2)
    return stamps.reshape(-1, stamp_px, stamp_px), across, down
