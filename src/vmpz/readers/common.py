"""What readers share: file references, canonical planes, one pixel grid for all planes of a frame, strict options."""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.files.fits import MAX_PIXELS, FitsFile
from vmpz.files.hdu import Hdu
from vmpz.files.planes import BlockReader, open_plane
from vmpz.files.wcs import CelestialWcs, read_wcs, wcs_images
from vmpz.frames import Exposures, FileRef, FrameRef, Plane, outline_corners

__all__ = [
    "FLOAT_BITPIX",
    "UNOBSERVED_RMS",
    "GridCheck",
    "canonical_plane",
    "check_options",
    "exposure_of_image",
    "exposure_plane",
    "file_ref",
    "grid_of",
    "is_wanted",
    "number_option",
    "rms_of",
]

UNOBSERVED_RMS = np.float32(1e16)
"""Sentinel of MER mosaics for pixels without data."""
FLOAT_BITPIX, FLAG_BITPIX = -32, 32
SELECTION = ("bands", "instruments", "tiles", "planes")
"""Options of every reader: what to take; None or absent = all. Tables beside the planes are always listed."""
SAME_GRID_PX = 1e-3
OUTLINE_SAMPLES = 8
IMAGE_SCALARS = {
    "zero_point": "Zeropoint",
    "pixel_scale_arcsec": "PixelScale",
    "exposure_time_s": "ExposureTime",
    "psf_fwhm_arcsec": "PSF",
}
"""Scalar of an image to that of an exposure."""


def check_options(options: Mapping[str, Any], known: Collection[str], reader: str) -> None:
    """Refuse an option that the reader does not have.

    Raises
    ------
    InputError
        The message lists those it has.
    """
    unknown = sorted(set(options) - set(known) - set(SELECTION))
    if unknown:
        raise InputError(
            f"options of reader {reader} must be among {', '.join(sorted(known))}; found {', '.join(unknown)}"
        )


def number_option(options: Mapping[str, Any], key: str, default: float) -> float:
    """A positive number among the options.

    Raises
    ------
    InputError
        It is something else.
    """
    value = options.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise InputError(f"reader option {key} must be a positive number, found {value!r}")
    return value


def is_wanted(options: Mapping[str, Any], key: str, name: str) -> bool:
    """Whether the selection `key` (bands, instruments, tiles, planes) includes a name."""
    chosen = options.get(key)
    return chosen is None or name in chosen


def file_ref(file: FitsFile, hdu: Hdu) -> FileRef:
    """Reference to one HDU of an open file."""
    return FileRef(
        file.location, hdu.index, file.size, file.identity(hdu), hdu.datasum is not None, hdu.offset
    )


def exposure_plane(file: FitsFile, hdus: Sequence[Hdu]) -> FileRef:
    """Reference to one plane of an exposure: its HDUs of all detectors, in that order."""
    parts = [file_ref(file, hdu) for hdu in hdus]
    identity = hashlib.sha256("\n".join(part.identity for part in parts).encode()).hexdigest()
    return FileRef(file.location, 0, file.size, identity, all(part.verifiable for part in parts))


def exposure_of_image(ref: FrameRef) -> Exposures:
    """An image, a coadd for instance, as one exposure: those of its scalars that go by the names of quantities, and
    those of every image under theirs."""
    named = {IMAGE_SCALARS.get(name, name): value for name, value in ref.scalars.items()}
    scalars = {name: np.array([value]) for name, value in named.items() if name[0].isupper()}
    return Exposures((ref.area,), outline_corners(ref.wcs, ref.shape, OUTLINE_SAMPLES)[None], scalars)


class GridCheck(NamedTuple):
    """The pixel grid of a plane: shape and WCS, with the place it was read at."""

    where: str
    shape: tuple[int, int]
    wcs: CelestialWcs
    images: bytes = b""

    def require_same(self, other: "GridCheck") -> None:
        """Refuse another shape or mapping.

        Raises
        ------
        InputError
            The shapes differ, or corners and centre lie more than 1/1000 pixel apart.
        """
        if self.shape != other.shape:
            raise InputError(
                f"{other.where}: planes of one frame must have one shape, found {other.shape}, "
                f"{self.shape} in {self.where}"
            )
        if self.wcs.cards == other.wcs.cards:
            return
        rows, columns = self.shape
        x = np.array([0.0, columns - 1.0, 0.0, columns - 1.0, columns / 2])
        y = np.array([0.0, 0.0, rows - 1.0, rows - 1.0, rows / 2])
        back = self.wcs.wcs.all_world2pix(*other.wcs.wcs.all_pix2world(x, y, 0), 0)
        shift = float(np.abs(np.array(back) - (x, y)).max())
        if not shift < SAME_GRID_PX:
            raise InputError(
                f"{other.where}: planes of one frame must have one WCS, found pixels {shift:.3g} px away "
                f"from those of {self.where}"
            )


def grid_of(hdu: Hdu, known: Sequence[GridCheck]) -> GridCheck:
    """Grid of a plane, which must be that of the first known one.

    Raises
    ------
    InputError
        The WCS is not what it must be, or is another than that of the first plane.
    """
    images = wcs_images(hdu.header_bytes)
    same = known and (known[0].images, known[0].shape) == (images, hdu.shape)
    wcs = known[0].wcs if same else read_wcs(hdu.cards, hdu.shape)
    grid = GridCheck(hdu.where, hdu.shape, wcs, images)
    if known:
        known[0].require_same(grid)
    return grid


def rms_of(kind: str) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
    """Conversion of a plane of that kind to noise sigma: rms, variance, weight, inverse_variance.

    Pixels without a positive finite value become the sentinel 1e16. A relative weight is taken as an inverse variance.
    """
    power = {"rms": 1.0, "variance": 0.5, "weight": -0.5, "inverse_variance": -0.5}[kind]

    def convert(values: NDArray[Any]) -> NDArray[np.float32]:
        with np.errstate(all="ignore"):
            positive = np.asarray(values > 0) & np.isfinite(values)
            sigma = np.power(values, power, where=positive, out=np.ones(values.shape), dtype=np.float64)
            return np.where(positive, sigma, UNOBSERVED_RMS).astype(np.float32)

    return convert


def canonical_plane(
    ref: FileRef,
    name: str,
    convert: Callable[[NDArray[Any]], NDArray[Any]] | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Plane:
    """Open a plane in its canonical type: 32-bit integers for FLAG, 32-bit floating point for all others.

    Parameters
    ----------
    ref : FileRef
    name : str
        Canonical name.
    convert : callable, optional
        From stored physical values to canonical ones.
    max_pixels : int
        Larger images are refused.

    Raises
    ------
    InputError
        The file is not what it must be, or a FLAG plane holds no integers.
    """
    direct = () if convert else (FLAG_BITPIX if name == "FLAG" else FLOAT_BITPIX,)
    plane = open_plane(
        ref.location,
        ref.hdu,
        name,
        identity=ref.identity,
        direct=direct,
        max_pixels=max_pixels,
        offset=ref.offset,
    )
    kind, size = plane.dtype.kind, plane.dtype.itemsize
    if name == "FLAG":
        if kind not in "iu":
            plane.close()
            raise InputError(f"{plane.where}: a flag plane must hold integers, found {plane.dtype}")
        return plane if size == 4 else _Converted(plane, _to_words(plane.where), np.dtype(np.int32))
    if convert is None and kind == "f" and size == 4:
        return plane
    return _Converted(plane, convert or _to_single, np.dtype(np.float32))


class _Converted:
    """A plane whose blocks go through a function."""

    datasum: int | None = None

    def __init__(
        self, plane: BlockReader, convert: Callable[[NDArray[Any]], NDArray[Any]], dtype: np.dtype[Any]
    ) -> None:
        self.name, self.shape, self.where = plane.name, plane.shape, plane.where
        self.sequential = plane.sequential
        self.dtype = dtype
        self._plane = plane
        self._convert = convert

    def read(self, start: int, stop: int, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Rows [start, stop), converted."""
        return self._convert(self._plane.read(start, stop))

    def close(self) -> None:
        """Release the file."""
        self._plane.close()


def _to_single(values: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(all="ignore"):
        return values.astype(np.float32)


def _to_words(where: str) -> Callable[[NDArray[Any]], NDArray[np.int32]]:
    def convert(values: NDArray[Any]) -> NDArray[np.int32]:
        if values.dtype.itemsize < 4:
            return values.astype(np.int32)
        if values.size and (
            values.max() > 0xFFFFFFFF or (values.dtype.kind == "i" and values.min() < -(1 << 31))
        ):
            raise InputError(f"{where}: flags must fit 32 bits, found {values.min()} to {values.max()}")
        return values.astype(np.uint64).astype(np.uint32).view(np.int32)

    return convert
