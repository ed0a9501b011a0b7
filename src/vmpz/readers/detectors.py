"""What readers of exposures share: detectors as rows, their outlines and pixel scales, planes of many HDUs or files."""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.files.fits import FitsFile
from vmpz.files.hdu import Hdu
from vmpz.frames import Exposures, FileRef, FrameRef, outline_corners
from vmpz.readers.common import file_ref
from vmpz.sky.covers import unit_vectors
from vmpz.sky.regions import Polygon

__all__ = [
    "IMAGE_SCALARS",
    "detector_names",
    "exposure_of_image",
    "exposure_plane",
    "image_scalars",
    "joined_plane",
    "joint_identity",
    "mean_scale_arcsec",
    "middles_deg",
    "outline_of",
    "row_scalars",
    "rows_of",
    "stacked_outlines",
]

Array = NDArray[np.float64]

OUTLINE_SAMPLES = 8
"""Points an edge of the outline of a distorted image."""
IMAGE_SCALARS = {
    "zero_point": "Zeropoint",
    "pixel_scale_arcsec": "PixelScale",
    "exposure_time_s": "ExposureTime",
    "psf_fwhm_arcsec": "PSF",
}
"""Scalar of an image to that of an exposure."""


# -- planes ---------------------------------------------------------------------------------------------------


def exposure_plane(file: FitsFile, hdus: Sequence[Hdu]) -> FileRef:
    """Reference to one plane of an exposure: its HDUs of all detectors, in that order."""
    parts = [file_ref(file, hdu) for hdu in hdus]
    return FileRef(file.location, 0, file.size, joint_identity(parts), all(part.verifiable for part in parts))


def joined_plane(files: Sequence[FileRef]) -> FileRef:
    """One plane of an exposure in a file a detector: the first file stands for all, its size is that of all."""
    return FileRef(
        files[0].location,
        0,
        sum(file.size for file in files),
        joint_identity(files),
        all(file.verifiable for file in files),
    )


def joint_identity(files: Iterable[FileRef]) -> str:
    """What identifies some HDUs in that order."""
    return hashlib.sha256("\n".join(file.identity for file in files).encode()).hexdigest()


# -- rows -----------------------------------------------------------------------------------------------------


def rows_of(ref: FrameRef) -> Exposures:
    """The rows of an exposure.

    Raises
    ------
    InputError
        The frame is an image.
    """
    if ref.exposures is None:
        raise InputError(f"{ref.name}: must be an exposure that lists its detectors, found an image")
    return ref.exposures


def detector_names(ref: FrameRef, rows: Sequence[int]) -> list[str]:
    """Names of the detectors of some rows, from their ids ``<area>[<name>]``."""
    ids = rows_of(ref).ids
    return [ids[row].removeprefix(f"{ref.area}[").removesuffix("]") for row in rows]


def row_scalars(exposures: Exposures, row: int) -> dict[str, float]:
    """The scalars of a row that are known."""
    values = {name: float(column[row]) for name, column in exposures.scalars.items()}
    return {name: value for name, value in values.items() if math.isfinite(value)}


def image_scalars(known: Mapping[str, float]) -> dict[str, float]:
    """Scalars of the image of one detector from those of its row that are known; its FWHM is PSF, else Seeing."""
    widths = {"PSF": known["Seeing"]} if "Seeing" in known else {}
    known = {**widths, **known}
    return {name: known[quantity] for name, quantity in IMAGE_SCALARS.items() if quantity in known}


def exposure_of_image(ref: FrameRef) -> Exposures:
    """An image, a coadd for instance, as one exposure: those of its scalars that go by the names of quantities, and
    those of every image under theirs."""
    named = {IMAGE_SCALARS.get(name, name): value for name, value in ref.scalars.items()}
    scalars = {name: np.array([value]) for name, value in named.items() if name[0].isupper()}
    return Exposures((ref.area,), outline_of(ref.wcs, ref.shape)[None], scalars)


# -- outlines -------------------------------------------------------------------------------------------------


def outline_of(wcs: WCS, shape: tuple[int, int]) -> Array:
    """Outline (n, 2) of a detector, degrees."""
    return outline_corners(wcs, shape, OUTLINE_SAMPLES)


def stacked_outlines(outlines: Sequence[Array]) -> Array:
    """Outlines (n, m, 2) of detectors; one of fewer vertices repeats its last."""
    most = max(len(one) for one in outlines)
    return np.stack([np.pad(one, ((0, most - len(one)), (0, 0)), "edge") for one in outlines])


def middles_deg(corners: Array) -> tuple[Array, Array]:
    """Longitude and latitude (...) of the middles of outlines (..., m, 2): the sums of the directions of corners."""
    x, y, z = np.moveaxis(unit_vectors(corners[..., 0], corners[..., 1]).sum(axis=-2), -1, 0)
    return np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))


def mean_scale_arcsec(corners: Array, shape: tuple[int, int]) -> float:
    """Root of the mean area of a pixel of an image of that outline."""
    return 3600.0 * math.sqrt(Polygon(corners).area_deg2 / (shape[0] * shape[1]))
