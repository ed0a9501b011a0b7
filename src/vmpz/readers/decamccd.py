"""CCDs of DECam exposures: what their headers say, in canonical terms, whichever pipeline wrote them.

Both pipelines keep the cards of the camera: FILTER ('g DECam SDSS c0001 4720.0 1520.0'), EXPTIME and MJD-OBS (UTC,
beginning), AIRMASS (two decimals), TELRA and TELDEC (sexagesimal strings, J2000), FWHM (pixels, a value a CCD).
OBS-LONG counts west positive (70.81489), though its comment says east; the camera has never left Cerro Tololo, so the
longitude is always taken as west. A value that no card gives, or that is not positive where it must be, is NaN.
"""

import filecmp
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.files.cards import Cards
from vmpz.files.fits import FitsFile
from vmpz.files.hdu import Hdu
from vmpz.frames import Exposures, FileRef, FrameRef
from vmpz.readers.common import SECONDS_PER_DAY, GridCheck, grid_of, is_wanted, require_integers
from vmpz.readers.detectors import (
    image_scalars,
    mean_scale_arcsec,
    outline_of,
    row_scalars,
    rows_of,
    stacked_outlines,
)

__all__ = [
    "BANDS",
    "INSTRUMENT",
    "PLANES",
    "TELESCOPE",
    "Ccd",
    "Headers",
    "angle_deg",
    "band_of",
    "ccd_of",
    "exposure_of",
    "image_of",
    "missing_planes",
    "one_grid",
    "the_file",
    "wanted_planes",
]

INSTRUMENT, TELESCOPE = "DECAM", "NOAO"
PLANES = ("IMAGE", "FLAG", "RMS")
BANDS = "u|g|r|i|z|Y|VR"
"""Filters of the camera, as a pattern."""
SMALLEST_WEIGHT = 0.01
"""Of a weight plane compressed with losses, the share of 1/sigma^2 below which a weight is meant to be 0."""
NAN = float("nan")


class Headers(NamedTuple):
    """The cards of an HDU and those of the primary header of its file, which hold for all its HDUs."""

    own: Cards
    primary: Cards

    @classmethod
    def of(cls, file: FitsFile, hdu: Hdu) -> "Headers":
        """Headers of one HDU of an open file."""
        return cls(hdu.cards, file.hdus[0].cards)

    def holding(self, key: str) -> Cards:
        """The cards that have a keyword; those of the HDU where neither does."""
        return self.primary if key not in self.own and key in self.primary else self.own

    def number(self, key: str) -> float:
        """A finite number; InputError where it is missing or is none."""
        return self.holding(key).number(key)

    def optional_number(self, key: str) -> float:
        """A finite number, NaN where the card is missing."""
        value = self.holding(key).optional_number(key)
        return NAN if value is None else value

    def positive(self, key: str) -> float:
        """A positive number, NaN where the card is missing or holds another: pipelines write 0 or -1 for unknown."""
        value = self.optional_number(key)
        return value if value > 0 else NAN

    def optional_text(self, key: str) -> str | None:
        """A string, None where the card is missing or empty."""
        return self.holding(key).optional_text(key)


@dataclass(frozen=True, eq=False)
class Ccd:
    """One CCD of an exposure.

    Attributes
    ----------
    name : str
        As in the id of its row.
    grid : GridCheck
    corners : float64 array (n, 2)
        Outline, degrees.
    planes : mapping of str to FileRef
    scalars : mapping of str to float
        By quantity; NaN where unknown.
    saturate : float
        NaN where unknown.
    smallest_weight : float
        Weights below it are 0.
    """

    name: str
    grid: GridCheck
    corners: NDArray[np.float64]
    planes: Mapping[str, FileRef]
    scalars: Mapping[str, float]
    saturate: float
    smallest_weight: float


def wanted_planes(found: Collection[str], options: Mapping[str, Any]) -> list[str]:
    """The selected planes among those found; without any, the first, whose headers describe the exposure as well."""
    there = [plane for plane in PLANES if plane in found]
    return [plane for plane in there if is_wanted(options, "planes", plane)] or there[:1]


def missing_planes(found: Collection[str], options: Mapping[str, Any]) -> list[str]:
    """What to note of selected planes that are not there."""
    return [f"there is no {p} plane" for p in PLANES if p not in found and is_wanted(options, "planes", p)]


def the_file(paths: Iterable[str], what: str, notes: list[str]) -> str:
    """The one file of its kind; copies count once.

    Raises
    ------
    InputError
        There are several that differ.
    """
    first, *others = sorted(paths)
    for other in others:
        same_name = Path(first).name == Path(other).name
        if not same_name or not filecmp.cmp(first, other, shallow=False):
            raise InputError(f"{what}: must be one file or copies of it, found {first} and {other}")
        notes.append(f"{first} and {other} are copies")
    return first


def band_of(headers: Headers, key: str = "FILTER") -> str:
    """Band from a card: its first word ('g DECam SDSS c0001 4720.0 1520.0'), or the whole (DECAM_g).

    Raises
    ------
    InputError
        The card is missing or begins with no filter of the camera.
    """
    cards = headers.holding(key)
    word = (cards.text(key).split() or [""])[0].removeprefix(f"{INSTRUMENT}_")
    if not re.fullmatch(BANDS, word):
        raise cards.error(key, f"must begin with one of {BANDS.replace('|', ', ')}")
    return f"{INSTRUMENT}_{word}"


def angle_deg(text: str, hours: bool) -> float:
    """An angle written as degrees, or sexagesimally in degrees or hours; NaN if it is none.

    >>> angle_deg("-00:30:00.0", hours=False), angle_deg("14:00:00", hours=True)
    (-0.5, 210.0)
    """
    match = re.fullmatch(r"([+-]?)(\d{1,3}):([0-5]?\d):([0-5]?\d(?:\.\d*)?|60(?:\.0*)?)", text.strip())
    if match is None:
        try:
            return float(text)
        except ValueError:
            return NAN
    whole = int(match[2]) + int(match[3]) / 60.0 + float(match[4]) / 3600.0
    return (-whole if match[1] == "-" else whole) * (15.0 if hours else 1.0)


def _exposure_scalars(headers: Headers) -> dict[str, float]:
    """Scalars that all CCDs of an exposure share.

    Raises
    ------
    InputError
        EXPTIME or MJD-OBS is missing, EXPTIME is not positive, or a card is not what it must be.
    """
    seconds = headers.number("EXPTIME")
    if not seconds > 0:
        raise headers.holding("EXPTIME").error("EXPTIME", "must be positive")
    lon, lat = _pointing(headers)
    return {
        "ExposureTime": seconds,
        "MJD": headers.number("MJD-OBS") + 0.5 * seconds / SECONDS_PER_DAY,
        "Airmass": headers.positive("AIRMASS"),
        "SiteLon": -abs(headers.optional_number("OBS-LONG")),
        "SiteLat": headers.optional_number("OBS-LAT"),
        "PointingLon": lon,
        "PointingLat": lat,
    }


def _pointing(headers: Headers) -> tuple[float, float]:
    """TELRA, TELDEC, else RA, DEC; NaN where neither pair stands."""
    for keys in (("TELRA", "TELDEC"), ("RA", "DEC")):
        if all(key in headers.holding(key) for key in keys):
            lon, lat = (_angle(headers.holding(key), key) for key in keys)
            if not (0.0 <= lon < 360.0 and abs(lat) <= 90.0):
                raise headers.holding(keys[0]).error(keys[0], "and the declination must be on the sky")
            return lon, lat
    return NAN, NAN


def _angle(cards: Cards, key: str) -> float:
    value = cards.header[key]
    angle = angle_deg(value, key.endswith("RA")) if isinstance(value, str) else cards.number(key)
    if not math.isfinite(angle):
        raise cards.error(key, "must be an angle (hh:mm:ss.s, dd:mm:ss.s or degrees)")
    return angle


def one_grid(hdus: Mapping[str, Hdu]) -> GridCheck:
    """The grid of all planes of a CCD or coadd.

    Raises
    ------
    InputError
        Their grids differ, one has no usable WCS, or a flag plane holds no integers.
    """
    grids: list[GridCheck] = []
    for plane, hdu in hdus.items():
        grids.append(grid_of(hdu, grids))
        if plane == "FLAG":
            require_integers(hdu)
    return grids[0]


def ccd_of(
    name: str,
    headers: Headers,
    hdus: Mapping[str, Hdu],
    planes: Mapping[str, FileRef],
    sky: tuple[str, str],
    zero_point: float,
) -> Ccd:
    """One CCD from its headers.

    Parameters
    ----------
    name : str
    headers : Headers
        Those that hold the scalars.
    hdus, planes : mapping
        By canonical plane.
    sky : (str, str)
        Keywords of the sky level and of its scatter per pixel.
    zero_point : float
        NaN where unknown.

    Raises
    ------
    InputError
        A card is missing or not what it must be, or the planes do not belong together.
    """
    grid = one_grid(hdus)
    corners = outline_of(grid.wcs.wcs, grid.shape)
    # The mean area of a pixel: the matrix alone is the scale at the reference point, off the CCD.
    scale = mean_scale_arcsec(corners, grid.shape)
    level, sigma = sky
    noise = headers.positive(sigma)
    scalars = {
        **_exposure_scalars(headers),
        "PixelScale": scale,
        "Seeing": headers.positive("FWHM") * scale,
        "Background": headers.optional_number(level),
        "Noise": noise,
        "Weight": noise**-2.0,
        "Zeropoint": zero_point,
    }
    smallest = _smallest_weight(hdus["RMS"], noise) if "RMS" in hdus else 0.0
    return Ccd(name, grid, corners, planes, scalars, headers.positive("SATURATE"), smallest)


def _smallest_weight(hdu: Hdu, noise: float) -> float:
    """The weight below which a plane means 0.

    fpack quantises floating-point planes; unless it keeps zeros (SUBTRACTIVE_DITHER_2), a weight of 0 comes back as a
    small number of either sign.
    """
    method = (
        (hdu.cards.optional_text("ZQUANTIZ") or "NONE") if hdu.is_compressed and hdu.bitpix < 0 else "NONE"
    )
    loses_zeros = method not in ("NONE", "SUBTRACTIVE_DITHER_2")
    return SMALLEST_WEIGHT * noise**-2.0 if loses_zeros and noise > 0 else 0.0


def exposure_of(
    form: str,
    area: str,
    band: str,
    ccds: Sequence[Ccd],
    *,
    planes: Mapping[str, FileRef],
    files: Mapping[str, Any],
    begin: str,
    notes: Iterable[str],
    max_pixels: int,
    bit_table: str,
    release: str,
    created: str,
) -> FrameRef:
    """The reference of an exposure; scalars that are known of no CCD are left out, and named in its notes.

    Parameters
    ----------
    form, area, band : str
    ccds : sequence of Ccd
        Its rows.
    planes : mapping of str to FileRef
    files : mapping
        What `detectors` needs to find them again.
    begin : str
        DATE-OBS.
    notes : iterable of str
    max_pixels : int
    bit_table, release, created : str
        As in `FrameRef`.
    """
    said = list(notes)
    exposures = _exposures_of(area, ccds, said)
    seconds, zero_points = ccds[0].scalars["ExposureTime"], {ccd.scalars["Zeropoint"] for ccd in ccds}
    scalars = {
        "exposure_time_s": seconds,
        "pixel_scale_arcsec": float(np.mean(exposures.scalars["PixelScale"])),
    }
    if len(zero_points) == 1 and "Zeropoint" in exposures.scalars:
        scalars["zero_point"] = zero_points.pop()
    return FrameRef(
        reader="decam",
        area=area,
        instrument=INSTRUMENT,
        band=band,
        shape=(0, 0),
        wcs_cards="",
        planes=planes,
        scalars=scalars,
        bit_table=bit_table,
        release=release,
        created=created,
        date_obs=begin,
        date_end=_date_end(begin, seconds),
        telescope=TELESCOPE,
        notes=tuple(said),
        options={"form": form, "max_pixels": max_pixels, "files": files},
        exposures=exposures,
    )


def _exposures_of(area: str, ccds: Sequence[Ccd], notes: list[str]) -> Exposures:
    scalars: dict[str, NDArray[np.float64]] = {}
    for name in ccds[0].scalars:
        values = np.array([ccd.scalars[name] for ccd in ccds], np.float64)
        missing = int(np.count_nonzero(np.isnan(values)))
        if missing:
            notes.append(f"the headers give no {name} of {missing} of {len(ccds)} CCDs")
        if missing < len(ccds):
            scalars[name] = values
    if "SiteLon" in scalars:
        notes.append("OBS-LONG counts west positive (Cerro Tololo)")
    notes += dict.fromkeys(note for ccd in ccds for note in ccd.grid.wcs.notes)
    if any(ccd.smallest_weight for ccd in ccds):
        notes.append(
            f"weights below {SMALLEST_WEIGHT:g} / sigma^2 of the sky are taken as 0 (quantised by fpack)"
        )
    return Exposures(
        tuple(f"{area}[{ccd.name}]" for ccd in ccds), stacked_outlines([ccd.corners for ccd in ccds]), scalars
    )


def image_of(exposure: FrameRef, row: int, ccd: Ccd) -> FrameRef:
    """The image of one CCD, that of a row of an exposure."""
    known = image_scalars(row_scalars(rows_of(exposure), row))
    if math.isfinite(ccd.saturate):
        known["saturate"] = ccd.saturate
    return replace(
        exposure,
        area=f"{exposure.area}[{ccd.name}]",
        shape=ccd.grid.shape,
        wcs_cards=ccd.grid.wcs.cards,
        planes={plane: ccd.planes[plane] for plane in exposure.planes},
        scalars=known,
        notes=ccd.grid.wcs.notes,
        options={"max_pixels": exposure.options["max_pixels"], "smallest_weight": ccd.smallest_weight},
        exposures=None,
    )


def _date_end(begin: str, seconds: float) -> str:
    """End of an exposure in the form of its DATE-OBS; '-1' where that is no time."""
    try:
        return (datetime.fromisoformat(begin) + timedelta(seconds=seconds)).isoformat()
    except ValueError:
        return "-1"
