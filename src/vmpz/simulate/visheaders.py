"""Headers of VIS files, card by card as in the public frames."""

import math
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

import numpy as np
from astropy.io.fits import Header
from astropy.wcs import WCS
from numpy.typing import NDArray

from vmpz.simulate.bands import Band
from vmpz.simulate.descriptors import MJD_EPOCH
from vmpz.simulate.exposures import Shot
from vmpz.simulate.geometry import ARCSEC
from vmpz.simulate.headers import DATASET_RELEASE, START
from vmpz.simulate.orbit import spacecraft_km
from vmpz.simulate.stamps import middle_turn

__all__ = [
    "LONG_S",
    "Seen",
    "exposure_id",
    "extension_cards",
    "is_short",
    "observation",
    "primary_header",
    "sequence",
    "structure",
]

Array = NDArray[np.floating[Any]]

FIRST_OBSERVATION = 2681
LONG_S = 560.52
AB_ZERO_JY = 3631.0


def is_short(shot: Shot) -> bool:
    """Whether this is the short exposure of its dither."""
    return shot.band.exposure_time_s < LONG_S


def observation(shot: Shot) -> int:
    """Number of the observation, one a pointing."""
    return FIRST_OBSERVATION + shot.pointing


def exposure_id(shot: Shot) -> str:
    """Observation, dither and number, as in file names."""
    return f"{observation(shot):06d}-{shot.dither:02d}-{1 + is_short(shot)}"


@dataclass(frozen=True)
class Seen:
    """A detector of an exposure: its name, its WCS as cards and as a mapping, its planes by canonical name."""

    name: str
    cards: str
    wcs: WCS
    planes: dict[str, NDArray[Any]]


def structure(data: NDArray[Any] | None) -> Header:
    """The cards that a header begins with."""
    if data is None:
        return Header([("SIMPLE", True), ("BITPIX", 8), ("NAXIS", 0), ("EXTEND", True)])
    bits = 8 * data.dtype.itemsize
    return Header(
        [
            ("XTENSION", "IMAGE", "Image extension"),
            ("BITPIX", -bits if data.dtype.kind == "f" else bits),
            ("NAXIS", 2),
            ("NAXIS1", data.shape[1]),
            ("NAXIS2", data.shape[0]),
            ("PCOUNT", 0),
            ("GCOUNT", 1),
        ]
    )


def sequence(shot: Shot) -> dict[str, int]:
    """Place in the observation sequence, by keyword."""
    return {
        "OBS_ID": observation(shot),
        "DITHOBS": shot.dither,
        "PTGID": shot.camera.dithers * shot.pointing + shot.dither + 1,
        "EXPNUM": 1 + is_short(shot),
        "TOTEXP": 2,
    }


def primary_header(shot: Shot) -> Header:
    """Primary header: instrument, times, attitude, orbit and place in the observation sequence."""
    angles, orbit = shot.sky.scalars(shot.number), spacecraft_km(shot.middle_mjd)
    lon, lat = shot.field_deg.T
    start = (MJD_EPOCH + timedelta(days=shot.mjd)).isoformat(timespec="milliseconds")[:-6]
    header = structure(None)
    for card in (
        ("FITS_DEF", "vis.calibratedQuadFrame"),
        ("FITS_VER", "0.1"),
        ("TELESCOP", "Euclid"),
        ("INSTRUME", "VIS"),
        ("ORIGIN", "OU-VIS"),
        ("DATE", f"{START:%Y-%m-%dT%H:%M:%S}"),
        ("DATASETR", DATASET_RELEASE, "Data set release"),
        ("IMG_CAT", "SCIENCE"),
        ("OBSMODE", "WIDE", "Observation mode"),
        ("EXPTIME", shot.band.exposure_time_s, "Exposure time (s)"),
        ("PATCH_ID", 1),
        *((key, value) for key, value in sequence(shot).items()),
        ("DATE-OBS", start, "Date of observation (start)"),
        ("MJD-OBS", shot.mjd, "MJD start time"),
        ("RA", shot.lon_deg, "Reconstructed pointing (deg)"),
        ("DEC", shot.lat_deg, "Reconstructed pointing (deg)"),
        ("PA", shot.position_angle_deg, "Reconstructed position angle (deg)"),
        ("SAA", angles["SAA"], "Solar aspect angle (deg)"),
        ("ALPHA", angles["ALPHA"], "Alpha angle (deg)"),
        ("BETA", angles["BETA"], "Beta angle (deg)"),
        *((f"FOV_LON{n}", float(value)) for n, value in enumerate(lon, 1)),
        *((f"FOV_LAT{n}", float(value)) for n, value in enumerate(lat, 1)),
        *(
            (f"POS_{axis}", float(km), "Spacecraft position (km)")
            for axis, km in zip("XYZ", orbit, strict=True)
        ),
        *(
            (f"VEL_{axis}", value, "Spacecraft velocity (km/s)")
            for axis, value in (("X", 0.1), ("Y", -0.2), ("Z", 0.05))
        ),
        ("MAGZEROP", f"{shot.band.zero_point_mag:.5f}", "zero-point"),
        ("N_CCD", 36),
    ):
        header.append(card)
    return header


def extension_cards(shot: Shot, one: Seen, content: str, data: NDArray[Any]) -> str:
    """Card images of one extension; background, weight and PSF have names without a content and no WCS."""
    ccd, _, quadrant = one.name.partition(".")
    in_frame = content in ("SCI", "RMS", "FLG")
    names = [("EXTNAME", f"{one.name}.{content}" if in_frame else one.name), ("CCDID", ccd)]
    names += [("QUADID", quadrant)] if quadrant else []
    text = _images(structure(data)) + "".join(f"{key:8}= '{value:<8}'".ljust(80) for key, value in names)
    if in_frame:
        return text + _instrument_cards(shot.band) + one.cards
    return text + (_images(_surface(shot, one.wcs, data)) if content == "BKG" else "")


def _images(header: Header) -> str:
    return str(header.tostring(endcard=False, padding=False))


@cache
def _instrument_cards(band: Band) -> str:
    cards = (
        ("EXPTIME", band.exposure_time_s, "Exposure time (s)"),
        ("GAIN", 3.48, "e-/ADU"),
        ("RDNOISE", 4.2, "e-"),
        ("SATURATE", 50000.0, "ADU"),
        ("COSMICPC", 1.0, "Percentage of pixels hit by cosmic rays"),
        ("MAGZEROP", f"{band.zero_point_mag:.5f}", "zero-point"),
        ("FLXSCALE", 1.0),
    )
    return _images(Header(cards))


def _surface(shot: Shot, wcs: WCS, data: NDArray[Any]) -> Header:
    """Median and median deviation of the background, MJy/sr."""
    turn = middle_turn(wcs, (data.shape[0], data.shape[1]))
    zero_point = shot.band.zero_point_mag + 2.5 * math.log10(shot.band.exposure_time_s)
    unit = AB_ZERO_JY / 1e6 * 10.0 ** (-0.4 * zero_point) / (abs(float(np.linalg.det(turn))) * ARCSEC**2)
    level = np.median(data.astype(np.float64))
    return Header(
        [
            ("BKG_MED", float(level * unit), "Median background (MJy/sr)"),
            ("BKG_MAD", float(np.median(np.abs(data - level)) * unit), "Median deviation of it (MJy/sr)"),
        ]
    )
