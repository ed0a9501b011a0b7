"""Exposures of VIS in the form of the public calibrated frames.

An exposure is a frame of 144 quadrants x SCI, RMS, FLG in shuffled order, its background, its weight (the small-scale
flat), its PSF stamps, and the descriptor that names them. The focal plane is the real one: six rows of six CCDs, row 1
in the north at position angle 0, each cut into quadrants E F G H, turned by 180 degrees in columns 4 to 6. Distortion
is a TPV polynomial about the pointing, of the size of published coefficients. Every dither has a long and a short
exposure. Detectors keep their size on the sky, so pixels are larger than real ones; PSF stamps have pixels of 0.1
arcsec whatever those of the frame are. The FWHM is larger than the real 0.16 arcsec, so that a stamp samples it well.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from astropy.io.fits import Header
from astropy.wcs import WCS
from numpy.typing import NDArray

from vmpz.bits import bit_table
from vmpz.simulate.bands import FLAG_ROLES, INSTRUMENTS, Band
from vmpz.simulate.exposures import Camera, Detector, Shot, flag_words, shots
from vmpz.simulate.field import Sky, generator
from vmpz.simulate.fitsfile import Compression, fits_file
from vmpz.simulate.headers import instant
from vmpz.simulate.stamps import gaussian_stamps, west_north
from vmpz.simulate.visheaders import (
    LONG_S,
    Seen,
    exposure_id,
    extension_cards,
    is_short,
    observation,
    primary_header,
    sequence,
    structure,
)
from vmpz.simulate.visxml import write_descriptor

__all__ = [
    "CAMERA",
    "CCD_CAMERA",
    "FOLDER",
    "INPUTS",
    "Form",
    "detector_header",
    "detector_planes",
    "detector_shape",
    "exposure_id",
    "is_short",
    "shortened",
    "write_exposure",
    "write_vis",
]

Array = NDArray[np.floating[Any]]
Planes = dict[str, NDArray[Any]]
Unit = tuple[Seen, str, NDArray[Any]]
"""An extension: detector, content, data."""

FOLDER = "VIS"
STAMP_ARCSEC = 0.1
INPUTS = f"""
[[inputs]]
reader = "euclid-vis"
location = "{FOLDER}"
[inputs.options]
psf_pixel_arcsec = {STAMP_ARCSEC}
"""

SHORT_S = 95.0
SHORT_AFTER_S = 600.0
QUADRANT_PX = (2066, 2048)
"""Rows and columns of a real quadrant."""
TPV = {
    1: (1.0, 0.0, -0.0021, 0.0034, -0.0011, 0.0152, -0.0017, 0.0139, 0.0004),
    2: (1.0, 0.0, 0.0046, -0.0018, 0.0015, 0.0146, 0.0012, 0.0158, -0.0009),
}
"""PVi_1, 2, 4 to 10: no constant and no radial term, as in public frames."""
TPV_TERMS = (1, 2, 4, 5, 6, 7, 8, 9, 10)
STAMP_PX = 21
FLAT_SCATTER = 0.008


def _quadrants(row: int, column: int, one: Detector) -> Iterator[Detector]:
    """Quadrants of a CCD: E and F at the readout of one side, G and H at the other."""
    x, y = (one.x0 + one.x1) / 2.0, (one.y0 + one.y1) / 2.0
    west = {"left": (one.x0, x), "right": (x, one.x1)}
    south = {"low": (one.y0, y), "high": (y, one.y1)}
    places = {"E": ("left", "low"), "F": ("right", "low"), "G": ("right", "high"), "H": ("left", "high")}
    if column > 3:
        places = {"E": ("right", "high"), "F": ("left", "high"), "G": ("left", "low"), "H": ("right", "low")}
    for letter, (across, up) in places.items():
        yield Detector(f"{row}-{column}.{letter}", *west[across], *south[up])


def _cameras() -> tuple[Camera, Camera]:
    one = INSTRUMENTS["VIS"]
    step_x, step_y = one.width_arcsec + one.gap_x_arcsec, one.height_arcsec + one.gap_y_arcsec
    ccds = []
    for row in range(1, 7):
        for column in range(1, 7):
            x, y = (column - 3.5) * step_x, (3.5 - row) * step_y
            half_x, half_y = one.width_arcsec / 2.0, one.height_arcsec / 2.0
            ccds.append(Detector(f"{row}-{column}", x - half_x, x + half_x, y - half_y, y + half_y))
    band = Band("VIS", "VIS", "VIS", 24.56605, 3.7, 43.0, 0.22, STAMP_PX, LONG_S)
    quadrants = [part for ccd in ccds for part in _quadrants(int(ccd.name[0]), int(ccd.name[2]), ccd)]
    return Camera("VIS", tuple(quadrants), {"VIS": band}), Camera("VIS", tuple(ccds), {"VIS": band})


CAMERA, CCD_CAMERA = _cameras()
"""Quadrants, and CCDs as in the older product."""


@dataclass(frozen=True)
class Form:
    """How an exposure is written.

    Attributes
    ----------
    pixels : int
        Columns of a detector.
    stamps : int
        PSF stamps along a side of a detector; 9 in public files.
    split : bool
        Three files for image, RMS and flags instead of one.
    background, rms, xml : bool
        Whether there is a background file, an RMS plane, a descriptor.
    weight : {'flat', 'rms', 'inverse_variance'}
        What the weight file holds.
    compress : {None, 'gz'}
        Of the frame and the background.
    """

    pixels: int = 64
    stamps: int = 9
    split: bool = False
    background: bool = True
    rms: bool = True
    xml: bool = True
    weight: Literal["flat", "rms", "inverse_variance"] = "flat"
    compress: Compression = None


def write_vis(
    folder: Path,
    sky: Sky,
    *,
    pixels: int = 64,
    stamps: int = 9,
    short: bool = True,
    compress: Compression = None,
    camera: Camera = CAMERA,
) -> None:
    """Write all exposures of a sky below ``folder/VIS``, a folder an observation.

    The last exposure of the first observation has no background file.

    Parameters
    ----------
    folder : Path
    sky : Sky
    pixels : int
        Columns of a quadrant; 2048 are 0.1 arcsec.
    stamps : int
        PSF stamps along a side of a quadrant.
    short : bool
        Whether short exposures are written too.
    compress : {None, 'gz'}
        Of frames and backgrounds.
    camera : Camera
        The quadrants to write: all, or some of them; the extent of these is the field that pointings are laid by.
    """
    for shot in shots(sky, camera):
        for one in (shot, shortened(shot)) if short else (shot,):
            is_last = shot.number == camera.dithers - 1 and is_short(one) == short
            form = Form(pixels, stamps, background=not is_last, compress=compress)
            write_exposure(folder / FOLDER, one, form)


def shortened(shot: Shot) -> Shot:
    """The short exposure after a long one, at the same pointing."""
    share = SHORT_S / shot.band.exposure_time_s
    band = replace(
        shot.band,
        exposure_time_s=SHORT_S,
        background=shot.band.background * share,
        rms=shot.band.rms * math.sqrt(share),
    )
    return replace(shot, band=band, mjd=shot.mjd + SHORT_AFTER_S / 86400.0)


def write_exposure(folder: Path, shot: Shot, form: Form) -> dict[str, Path]:
    """Write the files of one exposure into the folder of its observation; returns kind to path."""
    here = folder / str(observation(shot))
    seen = [_see(shot, index, form.pixels) for index in range(len(shot.camera.detectors))]
    contents = {"SCI": "IMAGE", "RMS": "RMS", "FLG": "FLAG"}
    if not form.rms:
        del contents["RMS"]
    units: dict[str, list[Unit]] = {}
    for content, plane in contents.items():
        kind = f"DET_{content.lower()}" if form.split else "DET"
        units.setdefault(kind, []).extend((one, content, one.planes[plane]) for one in seen)
    if form.background:
        units["BKG"] = [(one, "BKG", one.planes["BACKGROUND"]) for one in seen]
    units["WGT"] = [
        (one, "WGT", _weight(shot, number, one.planes, form.weight)) for number, one in enumerate(seen)
    ]
    units["PSF"] = [(one, "PSF", _stamps(shot, one, form)) for one in seen]
    paths = {kind: _write_units(here, shot, kind, some, form.compress) for kind, some in units.items()}
    if form.xml:
        product = "DpdVisCalibratedQuadFrame" if len(seen) > 36 else "DpdVisCalibratedFrame"
        paths["XML"] = here / f"{product}_{exposure_id(shot)}.xml"
        write_descriptor(
            paths["XML"], shot, product, sequence(shot), {kind: path.name for kind, path in paths.items()}
        )
    return paths


# -- what a detector sees -----------------------------------------------------------------------------------------


def detector_shape(one: Detector, pixels: int) -> tuple[int, int]:
    """Rows and columns of a detector of so many columns."""
    rows, columns = QUADRANT_PX
    return round(pixels * rows / columns), pixels


def detector_header(shot: Shot, index: int, pixels: int) -> Header:
    """TPV cards of a detector, by its place in the camera."""
    one = shot.camera.detectors[index]
    header = shot.wcs_header(one, detector_shape(one, pixels))
    header["CTYPE1"], header["CTYPE2"] = "RA---TPV", "DEC--TPV"
    for axis, values in TPV.items():
        for term, value in zip(TPV_TERMS, values, strict=True):
            header[f"PV{axis}_{term}"] = value
    return header


def detector_planes(shot: Shot, index: int, pixels: int) -> Planes:
    """IMAGE, RMS, FLAG and BACKGROUND of a detector, ADU."""
    return _see(shot, index, pixels).planes


def _see(shot: Shot, index: int, pixels: int) -> Seen:
    one = shot.camera.detectors[index]
    header = detector_header(shot, index, pixels)
    wcs = WCS(header)
    rows, columns = detector_shape(one, pixels)
    y, x = np.mgrid[:rows, :columns]
    lon, lat = wcs.all_pix2world(x, y, 0)
    background = shot.background(lon, lat)
    rms = shot.rms(index, math.sqrt((one.x1 - one.x0) * (one.y1 - one.y0) / (rows * columns)))
    planes = {
        "IMAGE": (background + rms * shot.noise(index, (rows, columns))).astype(np.float32),
        "RMS": np.full((rows, columns), rms, np.float32),
        "FLAG": _flags(shot.roles(index, lon, lat)),
        "BACKGROUND": background.astype(np.float32),
    }
    return Seen(one.name, str(header.tostring(endcard=False, padding=False)), wcs, planes)


def _flags(roles: Mapping[str, NDArray[np.bool_]]) -> NDArray[np.int32]:
    number = {bit.name: bit.number for bit in bit_table("vis-pf14").bits}
    names = {role: bits for role, bits in FLAG_ROLES["VIS"].items() if role in roles}
    return flag_words(roles, {**names, "edge": ("QUADEDGE",)}, number)


def _weight(shot: Shot, index: int, planes: Planes, kind: str) -> NDArray[np.float32]:
    """The weight file: 0 where INVALID."""
    rms = planes["RMS"].astype(np.float64)
    draw = generator(shot.sky.seed, "small-scale flat", index)
    flat = 1.0 + FLAT_SCATTER * draw.standard_normal(rms.shape)
    values = {"flat": flat, "rms": rms, "inverse_variance": rms**-2.0}[kind]
    return np.where(planes["FLAG"] & 1, 0.0, values).astype(np.float32)


def _stamps(shot: Shot, one: Seen, form: Form) -> NDArray[np.float32]:
    """A grid of stamps of the PSF, a Gaussian on the sky, each in pixels that lie as those of the detector there."""
    rows, columns = one.planes["IMAGE"].shape
    across = (np.arange(form.stamps) + 0.5) / form.stamps
    x, y = np.meshgrid(across * columns - 0.5, across * rows - 0.5)
    turn = west_north(one.wcs, x.ravel(), y.ravel())
    turn *= (STAMP_ARCSEC / np.sqrt(np.abs(np.linalg.det(turn))))[:, None, None]
    stamps = gaussian_stamps(shot, turn, STAMP_PX)
    side = form.stamps * STAMP_PX
    grid = stamps.reshape(form.stamps, form.stamps, STAMP_PX, STAMP_PX).swapaxes(1, 2)
    return np.asarray(grid.reshape(side, side), np.float32)


# -- the files ----------------------------------------------------------------------------------------------------


def _name(shot: Shot, kind: str) -> str:
    stem, _, part = kind.partition("_")
    time = instant("time", shot.sky.seed, "VIS", exposure_id(shot), stem).strftime("%Y%m%dT%H%M%S.%f")
    if kind == "PSF":
        return f"EUC_VIS_GRD-PSF-000-000000-0000000__{time}Z.fits"
    middle = "" if part else "-0000000"
    return f"EUC_VIS_SWL-{stem}-{exposure_id(shot)}{middle}__{time}Z{f'_{part}' if part else ''}.fits"


def _write_units(here: Path, shot: Shot, kind: str, units: list[Unit], compress: Compression) -> Path:
    """One file, its extensions in any order: it is not fixed."""
    path, order = here / _name(shot, kind), generator(shot.sky.seed, f"order {kind} {exposure_id(shot)}")
    packed = None if kind in ("PSF", "WGT") else compress
    with fits_file(path, packed) as file:
        file.copy(structure(None) if kind == "PSF" else primary_header(shot), b"")
        for place in order.permutation(len(units)):
            one, content, data = units[place]
            words = data.astype(data.dtype.newbyteorder(">")).tobytes()
            file.cards(extension_cards(shot, one, content, data), words + bytes(-len(words) % 2880))
    return path if packed is None else path.with_name(f"{path.name}.{packed}")
