"""Noise of images in files: the correlated-noise factors that a depth needs."""

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.bits import bit_table
from vmpz.errors import InputError
from vmpz.files.fits import open_fits
from vmpz.files.planes import BlockReader, open_plane
from vmpz.files.wcs import read_wcs
from vmpz.make.correlated import NoisePlanes, correlated_noise
from vmpz.run.plan import PlanError

__all__ = ["NoiseRequest", "calibrate_noise"]


@dataclass(frozen=True)
class NoiseRequest:
    """An image whose noise is to be measured.

    Attributes
    ----------
    image, rms, flags, background : str
        FITS images, ``FILE`` (its first image) or ``FILE[HDU]``; the background is subtracted.
    apertures_arcsec : tuple of float
        Diameters; the first is that of the depth.
    seed : int
        Of the places of apertures.
    bits : tuple of str
        Flags that mask a pixel: names of `table`, or numbers; default any.
    table : str or None
        Flag bit table.
    number : int
        Places tried for each diameter.
    grow_arcsec : float
        By which detected sources are grown.
    pixel_scale_arcsec : float or None
        Instead of that of the WCS.
    """

    image: str
    rms: str
    apertures_arcsec: tuple[float, ...]
    seed: int
    flags: str | None = None
    background: str | None = None
    bits: tuple[str, ...] = ()
    table: str | None = None
    number: int = 10_000
    grow_arcsec: float = 1.0
    pixel_scale_arcsec: float | None = None


def calibrate_noise(request: NoiseRequest) -> dict[str, Any]:
    """Measure the correlated-noise factors of an image.

    Returns
    -------
    dict
        Ready for JSON: image, rms, seed, pixel_scale_arcsec, and `vmpz.make.correlated.CorrelatedNoise` by the names of
        its attributes; for every aperture also `too_deep_mag`, the excess of a depth that takes noise as white.

    Raises
    ------
    PlanError
        Flags are named without a plane or table.
    InputError
        A plane is not what it must be, or too little of the image is empty.
    """
    mask = _mask(request)
    with ExitStack() as stack:
        scale = request.pixel_scale_arcsec or _pixel_scale(request.image)
        named = {name: getattr(request, name) for name in ("image", "rms", "flags", "background")}
        planes = {
            name: stack.enter_context(_opened(place, name.upper()))
            for name, place in named.items()
            if place is not None
        }
        image = planes["image"]
        for plane in planes.values():
            if plane.shape != image.shape:
                raise InputError(f"{plane.where}: shape must be {image.shape}, found {plane.shape}")
        found = correlated_noise(
            NoisePlanes(image.shape, lambda start, stop: _rows(planes, mask, start, stop)),
            scale,
            request.apertures_arcsec,
            seed=request.seed,
            number=request.number,
            grow_arcsec=request.grow_arcsec,
        )
    told = asdict(found)
    for one in told["apertures"]:
        one["too_deep_mag"] = float(2.5 * np.log10(one["factor"]))
    return {
        "image": request.image,
        "rms": request.rms,
        "seed": request.seed,
        "pixel_scale_arcsec": scale,
        **told,
    }


def _mask(request: NoiseRequest) -> int:
    """Bits that mask a pixel."""
    if not request.bits:
        return 0xFFFFFFFF
    if request.flags is None:
        raise PlanError("bits are those of a plane of flags, which must be given, found none")
    if request.table is not None:
        return bit_table(request.table).select(request.bits).mask
    if not all(bit.isdigit() and int(bit) < 32 for bit in request.bits):
        raise PlanError(
            f"bits must be numbers from 0 to 31, or names of a bit table that is given, found {request.bits}"
        )
    return sum(1 << number for number in {int(bit) for bit in request.bits})


def _placed(place: str) -> tuple[str, int | str | None]:
    """File and HDU of ``FILE[HDU]``."""
    match = re.fullmatch(r"(.+?)\[([^\[\]]+)\]", place)
    if match is None or Path(place).is_file():
        return place, None
    return match[1], int(match[2]) if match[2].isdigit() else match[2]


def _pixel_scale(place: str) -> float:
    path, which = _placed(place)
    with open_fits(path) as file:
        unit = file.image() if which is None else file.hdu(which)
        return read_wcs(unit.cards, unit.shape).scale_arcsec


@contextmanager
def _opened(place: str, name: str) -> Iterator[BlockReader]:
    path, which = _placed(place)
    if which is None:
        with open_fits(path) as file:
            which = file.image().index
    plane = open_plane(path, which, name, direct=())
    try:
        if name == "FLAGS" and plane.dtype.kind not in "iu":
            raise InputError(f"{plane.where}: a flag plane must hold integers, found {plane.dtype}")
        yield plane
    finally:
        plane.close()


def _rows(
    planes: Mapping[str, BlockReader], mask: int, start: int, stop: int
) -> tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.bool_]]:
    """Image without background, RMS, and where no chosen flag is set."""
    image = planes["image"].read(start, stop).astype(np.float64)
    if "background" in planes:
        image -= planes["background"].read(start, stop)
    good = np.ones(image.shape, bool)
    if "flags" in planes:
        good = (planes["flags"].read(start, stop).astype(np.int64) & mask) == 0
    return image, planes["rms"].read(start, stop).astype(np.float64), good
