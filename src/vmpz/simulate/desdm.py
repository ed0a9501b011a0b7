"""DES files as DESDM writes them: single CCDs of one exposure, and a coadded tile.

Single-epoch files are in electrons, the sky subtracted, with SKYBRITE and SKYSIGMA in their headers. MAG_ZERO is
written into them, as is done after calibration. The coadd is a tangent-plane image at zero point 30.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.io.fits import Header
from numpy.typing import NDArray

from vmpz.bits import bit_table
from vmpz.simulate import decamcp
from vmpz.simulate.bands import Band
from vmpz.simulate.exposures import Array, Camera, Shot, flag_words
from vmpz.simulate.field import Sky, generator
from vmpz.simulate.fitsfile import FitsWriter, fits_file
from vmpz.simulate.headers import tan_header

__all__ = [
    "COADD_PIXELS",
    "DESDM_CCDS",
    "EMPTY_SHARE",
    "coadd_name",
    "coadd_rms",
    "mask_words",
    "single_epoch_name",
    "tile_name",
    "write_coadd",
    "write_single_epoch",
]

DESDM_CCDS = ("S29", "S4", "N4", "N31")
"""CCDs that are written: two in the middle, two at the rim."""
RUN = "r3630p01"
ROLES = {
    "column": "BPM",
    "core": "SATURATE",
    "halo": "STAR",
    "trail": "TRAIL",
    "cosmic": "CRAY",
    "edge": "EDGE",
}
"""What a pixel is hit by to its bit."""
WEIGHTLESS = ("column", "edge")
COADD_PIXELS = 100
COADD_RUN = "r2590p01"
TILE_PX, TILE_PIXEL_ARCSEC = 10000, 0.263
COADD_ZERO_POINT = 30.0
COADDED_EXPOSURES = 4
EMPTY_SHARE = 16
"""One column in so many, in the east of a coadd, is empty."""
PLANES = (("SCI", "IMAGE"), ("MSK", "MASK"), ("WGT", "WEIGHT"))


# -- single-epoch files -------------------------------------------------------------------------------------------


def write_single_epoch(folder: Path, sky: Sky, *, pixels: int = 64, camera: Camera = decamcp.CAMERA) -> None:
    """Write a file a CCD of one exposure."""
    shot = decamcp.desdm_shot(sky, camera)
    for index in decamcp.places(DESDM_CCDS):
        name = decamcp.CAMERA.detectors[index].name
        with fits_file(folder / single_epoch_name(shot, name)) as writer:
            writer.add(fits.PrimaryHDU())
            _write_planes(writer, *_single_epoch(shot, index, pixels))


def single_epoch_name(shot: Shot, ccd: str) -> str:
    """Name of the file of a CCD."""
    band = shot.band.name.removeprefix("DECAM_")
    return f"D{decamcp.exposure_number(shot):08d}_{band}_c{decamcp.CCDS[ccd]:02d}_{RUN}_immasked.fits.fz"


def mask_words(roles: dict[str, NDArray[np.bool_]]) -> NDArray[np.int16]:
    """Bits of the mask."""
    numbers = {bit.name: bit.number for bit in bit_table("desdm").bits}
    return flag_words(roles, {role: [name] for role, name in ROLES.items()}, numbers).astype(np.int16)


def _single_epoch(shot: Shot, index: int, pixels: int) -> tuple[Header, Array, NDArray[Any], Array]:
    one, seen = decamcp.CAMERA.detectors[index], decamcp.look(shot, index, pixels)
    level, sigma = decamcp.sky_level(shot, one) * decamcp.GAIN, seen.rms * decamcp.GAIN
    null = np.any([seen.roles[role] for role in WEIGHTLESS], axis=0)
    header = decamcp.observation_cards(shot)
    header.extend(decamcp.detector_cards(one), strip=False, update=True)
    header.extend(seen.header, strip=False, update=True)
    for key, value in (
        ("PROCTYPE", "RAW"),
        ("BAND", shot.band.name.removeprefix("DECAM_")),
        ("BUNIT", "electrons"),
        ("RADESYS", "ICRS"),
        ("EQUINOX", 2000.0),
        ("DESFNAME", single_epoch_name(shot, one.name).removesuffix(".fz")),
        ("SKYBRITE", level),
        ("SKYSIGMA", sigma),
        ("SATURATE", 300.0 * sigma),
        ("MAG_ZERO", decamcp.zero_point_mag(shot) + 2.5 * math.log10(decamcp.GAIN)),
    ):
        header[key] = value
    image = (seen.image * decamcp.GAIN - level).astype(np.float32)
    weight = np.where(null, 0.0, sigma**-2.0).astype(np.float32)
    return header, image, mask_words(seen.roles), weight


def _write_planes(
    writer: FitsWriter, header: Header, image: Array, mask: NDArray[Any], weight: Array
) -> None:
    for (name, kind), data in zip(PLANES, (image, mask, weight), strict=True):
        header["EXTNAME"], header["DES_EXT"] = name, kind
        decamcp.add_compressed(writer, header, data, 2 if name == "SCI" else 0)


# -- a coadded tile -----------------------------------------------------------------------------------------------


def write_coadd(folder: Path, sky: Sky, *, pixels: int = COADD_PIXELS) -> None:
    """Write the coadd of the first band in the middle of a sky."""
    band = next(iter(decamcp.CAMERA.bands.values()))
    header, shape = coadd_header(sky, band, pixels), (pixels, pixels)
    seen = np.arange(pixels)[None, :] >= pixels // EMPTY_SHARE
    reached = np.broadcast_to(seen, shape)
    rms = coadd_rms(band, pixels)
    noise = generator(sky.seed, f"coadd {band.name}").standard_normal(shape)
    image = np.where(reached, rms * noise, 0.0)
    with fits_file(folder / coadd_name(sky, band)) as writer:
        writer.add(fits.PrimaryHDU())
        weight = np.where(reached, rms**-2.0, 0.0).astype(np.float32)
        _write_planes(writer, header, image.astype(np.float32), (~reached).astype(np.int16), weight)


def tile_name(sky: Sky) -> str:
    """Name of a DES tile: hours and minutes, degrees and minutes of its centre, cut off."""
    lon, lat = sky.centre_deg
    minutes, arcmin = int(lon * 4.0), int(abs(lat) * 60.0)
    return f"DES{minutes // 60:02d}{minutes % 60:02d}{'-' if lat < 0 else '+'}{arcmin // 60:02d}{arcmin % 60:02d}"


def coadd_name(sky: Sky, band: Band) -> str:
    """Name of the file."""
    return f"{tile_name(sky)}_{COADD_RUN}_{band.name.removeprefix('DECAM_')}.fits.fz"


def coadd_rms(band: Band, pixels: int) -> float:
    """Noise per pixel at zero point 30."""
    pixel = TILE_PX * TILE_PIXEL_ARCSEC / pixels
    scale: float = 10.0 ** (0.4 * (COADD_ZERO_POINT - band.zero_point_mag))
    return band.rms * pixel / 0.1 * scale / math.sqrt(COADDED_EXPOSURES)


def coadd_header(sky: Sky, band: Band, pixels: int) -> Header:
    """Cards of a coadd: TAN, north up, about the middle."""
    middle = 0.5 * (pixels + 1)
    header = tan_header(sky.centre_deg, (middle, middle), TILE_PX * TILE_PIXEL_ARCSEC / pixels / 3600.0)
    for card in (
        ("FILTER", decamcp.FILTERS[band.name]),
        ("BAND", band.name.removeprefix("DECAM_"), "Short name for filter"),
        ("MAGZERO", COADD_ZERO_POINT, "Mag Zero-point in magnitudes/s"),
        ("TILENAME", tile_name(sky), "DES Tilename"),
        ("TILEID", 119590, "Tile ID for DES Tilename"),
    ):
        header.append(card)
    return header
