"""What readers share: file references, canonical planes, one pixel grid for all planes of a frame, strict options."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError, meant
from vmpz.files.fits import MAX_PIXELS, FitsFile
from vmpz.files.hdu import Hdu
from vmpz.files.planes import BlockReader, open_plane
from vmpz.files.wcs import CelestialWcs, read_wcs, wcs_images
from vmpz.frames import FileRef, FrameRef, Plane

__all__ = [
    "SECONDS_PER_DAY",
    "UNOBSERVED_RMS",
    "GridCheck",
    "canonical_plane",
    "check_options",
    "check_texts",
    "choice_option",
    "file_ref",
    "grid_of",
    "is_selected",
    "is_wanted",
    "number_option",
    "open_planes",
    "pixel_limit",
    "require_integers",
    "require_listed",
    "rms_of",
]

UNOBSERVED_RMS = np.float32(1e16)
"""Sentinel of MER mosaics for pixels without data."""
FLOAT_BITPIX, FLAG_BITPIX = -32, 32
SELECTION = ("bands", "instruments", "tiles", "planes")
"""Options of every reader: what to take; None or absent = all. Tables beside the planes are always listed."""
SAME_GRID_PX = 1e-3
SECONDS_PER_DAY = 86_400.0

Convert = Callable[[NDArray[Any]], NDArray[Any]]


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
            f"{meant(unknown[0], known)}"
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


def pixel_limit(options: Mapping[str, Any]) -> int:
    """The option `max_pixels`: larger images are refused."""
    return int(number_option(options, "max_pixels", MAX_PIXELS))


def choice_option(options: Mapping[str, Any], key: str, choices: Sequence[str]) -> str:
    """One of some words among the options, the first where it is not given.

    Raises
    ------
    InputError
        It is none of them.
    """
    value = options.get(key, choices[0])
    if value not in choices:
        raise InputError(
            f"reader option {key} must be one of {', '.join(choices)}, found {value!r}{meant(value, choices)}"
        )
    return str(value)


def check_texts(options: Mapping[str, Any], keys: Collection[str]) -> None:
    """Refuse options that must be texts and are something else.

    Raises
    ------
    InputError
        One is.
    """
    for key in keys:
        if not isinstance(options.get(key) or "", str):
            raise InputError(f"reader option {key} must be text, found {options[key]!r}")


def is_wanted(options: Mapping[str, Any], key: str, name: str) -> bool:
    """Whether the selection `key` (bands, instruments, tiles, planes) includes a name."""
    chosen = options.get(key)
    return chosen is None or name in chosen


def is_selected(
    options: Mapping[str, Any], *, area: str = "-", instrument: str = "-", band: str = "-"
) -> bool:
    """Whether the selection includes a frame; '-' is what is not known yet."""
    named = {"tiles": area, "instruments": instrument, "bands": band}
    return all(value == "-" or is_wanted(options, key, value) for key, value in named.items())


def file_ref(file: FitsFile, hdu: Hdu) -> FileRef:
    """Reference to one HDU of an open file."""
    return FileRef(
        file.location, hdu.index, file.size, file.identity(hdu), hdu.datasum is not None, hdu.offset
    )


def require_listed(found: str, listed: str, where: str) -> None:
    """Refuse a file whose identity is no longer the one that was listed.

    Raises
    ------
    InputError
        It is another.
    """
    if found != listed:
        raise InputError(f"{where}: must be the file that was listed, found other header cards or size")


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


def grid_of(hdu: Hdu, known: Sequence[GridCheck], *, may_lack_wcs: bool = False) -> GridCheck:
    """Grid of a plane, which must be that of the first known one.

    Parameters
    ----------
    hdu : Hdu
    known : sequence of GridCheck
    may_lack_wcs : bool
        Whether a plane without any WCS card takes the mapping of the first.

    Raises
    ------
    InputError
        The WCS is not what it must be, or is another than that of the first plane.
    """
    images = wcs_images(hdu.header_bytes)
    same = known and (known[0].images, known[0].shape) == (images, hdu.shape)
    taken = same or (known and may_lack_wcs and not images)
    wcs = known[0].wcs if taken else read_wcs(hdu.cards, hdu.shape)
    grid = GridCheck(hdu.where, hdu.shape, wcs, images)
    if known:
        known[0].require_same(grid)
    return grid


def require_integers(hdu: Hdu) -> None:
    """Refuse a flag plane of other numbers.

    Raises
    ------
    InputError
        BITPIX is that of floating-point numbers.
    """
    if hdu.bitpix < 0:
        raise hdu.cards.error("BITPIX", "of a flag plane must be one of integers")


def rms_of(kind: str) -> Convert:
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


def open_planes(
    ref: FrameRef, planes: Collection[str], convert: Mapping[str, Convert] | None = None
) -> dict[str, Plane]:
    """Open the planes of an image that are asked for and there, all or none.

    Parameters
    ----------
    ref : FrameRef
        Its option `max_pixels` limits them.
    planes : collection of str
        Canonical names.
    convert : mapping of str to callable, optional
        Plane to what brings it from stored physical values to canonical ones.

    Raises
    ------
    InputError
        A file is not what it must be or changed since it was listed.
    """
    limit = int(ref.options.get("max_pixels", MAX_PIXELS))
    opened: dict[str, Plane] = {}
    with ExitStack() as stack:
        for name in [name for name in ref.planes if name in planes]:
            plane = canonical_plane(ref.planes[name], name, (convert or {}).get(name), limit)
            stack.callback(plane.close)
            if plane.shape != ref.shape:
                raise InputError(f"{plane.where}: shape must be {ref.shape}, found {plane.shape}")
            opened[name] = plane
        stack.pop_all()
    return opened


def canonical_plane(
    ref: FileRef,
    name: str,
    convert: Convert | None = None,
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

    def __init__(self, plane: BlockReader, convert: Convert, dtype: np.dtype[Any]) -> None:
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


def _to_words(where: str) -> Convert:
    def convert(values: NDArray[Any]) -> NDArray[np.int32]:
        if values.dtype.itemsize < 4:
            return values.astype(np.int32)
        if values.size and (
            values.max() > 0xFFFFFFFF or (values.dtype.kind == "i" and values.min() < -(1 << 31))
        ):
            raise InputError(f"{where}: flags must fit 32 bits, found {values.min()} to {values.max()}")
        return values.astype(np.uint64).astype(np.uint32).view(np.int32)

    return convert
