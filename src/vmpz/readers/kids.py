"""Reader `kids`: coadded tiles of the Kilo-Degree Survey (OmegaCAM at the VST), an image of one band each.

Files ``KiDS_DR4.0_<RA>_<Dec>_<filter>_<what>.fits`` (plain, .gz or .fz): sci the coadd, wei its weight (inverse
variance), msk its flags; filters u, g, r, i, i2. They are joined by tile, filter and release. The detection images of
the lensing pipeline (r_det_sci) and the masks of all bands together (ugriZYJHKs_msk) have names of their own and are
passed by: read them with `generic`.

The header is that of the ESO science data products. A coadd is an image, and one exposure that stands for all that
went into it:

=============  ==================================================================================================
zero point     PHOTZP or MAGZPT; without either 0 (fluxes are relative to magnitude 0), noted
Exposures      NCOMBINE
ExposureTime   number times single time: NCOMBINE times EXPTIME; where TEXPTIME stands, the sum over all exposures,
               EXPTIME is that of a pixel and TEXPTIME counts
MJD            middle of MJD-OBS (beginning of the first exposure) and MJD-END (end of the last); without an end,
               the beginning and half the exposure time
Airmass        mean at the start, the middle and the end: the cards ESO TEL AIRM START and END, the middle computed
               for the centre of the tile from site and time, or, where the time is not known, the mean of the two.
               AIRMASS alone counts as it is. Without a card: none (the run computes it from site and time)
Seeing         PSF_FWHM or PSF_RAD, arcsec
Background     only through the option `keywords`: the sky is subtracted and no card of it is public
=============  ==================================================================================================

The form of these frames in Euclid (DpdExtKidsStackedFrame) is not public. What its headers call differently is said by
the option `keywords`, for instance ``{Exposures = "NEXP", AirmassStart = "AIRMSTRT", Background = "BKGMED"}``; names
are those of `KEYWORDS`.

Flags are read with the table ``kids``, published for KiDS-ESO-DR1; `bit_table` names another, or '-' for none.
Further option: `max_pixels`.
"""

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmpz.bits import bit_table
from vmpz.errors import InputError
from vmpz.files.cards import Cards
from vmpz.files.fits import open_fits
from vmpz.files.hdu import Hdu
from vmpz.frames import FileRef, Frame, FrameRef, Refused, outline_corners
from vmpz.physics.atmosphere import airmass, zenith_distance_deg
from vmpz.readers.common import (
    SECONDS_PER_DAY,
    GridCheck,
    check_options,
    file_ref,
    grid_of,
    is_selected,
    is_wanted,
    open_planes,
    pixel_limit,
    require_integers,
    rms_of,
)
from vmpz.readers.detectors import exposure_of_image, middles_deg
from vmpz.readers.folders import grouped, newest, walk
from vmpz.readers.headerbits import bits_of, header_bits, join_table

__all__ = ["INSTRUMENT", "KEYWORDS", "SITE_DEG", "open_frame", "scan"]

INSTRUMENT, TELESCOPE = "OMEGACAM", "VST"
SITE_DEG = (-70.4042, -24.6276)
"""Longitude (east) and latitude of the VST on Cerro Paranal, which OmegaCAM never left."""
NAME = re.compile(
    r"KiDS_(?P<release>DR\d+(?:\.\d+)?)_(?P<tile>\d+(?:\.\d+)?_-?\d+(?:\.\d+)?)_(?P<filter>u|g|r|i2?)"
    r"_(?P<what>sci|wei|msk)\.fits(?:\.gz|\.fz)?"
)
PLANES = {"sci": "IMAGE", "wei": "RMS", "msk": "FLAG"}
KEYWORDS: dict[str, tuple[str, ...]] = {
    "Zeropoint": ("PHOTZP", "MAGZPT"),
    "Exposures": ("NCOMBINE",),
    "ExposureTime": ("EXPTIME",),
    "TotalTime": ("TEXPTIME",),
    "MJDStart": ("MJD-OBS",),
    "MJDEnd": ("MJD-END",),
    "Airmass": ("AIRMASS",),
    "AirmassStart": ("ESO TEL AIRM START",),
    "AirmassEnd": ("ESO TEL AIRM END",),
    "Seeing": ("PSF_FWHM", "PSF_RAD"),
    "Background": (),
    "Noise": (),
}
"""What a header may tell to the keywords that tell it, the first one that stands."""
POSITIVE = {
    "Exposures",
    "ExposureTime",
    "TotalTime",
    "Airmass",
    "AirmassStart",
    "AirmassEnd",
    "Seeing",
    "Noise",
}
OPTIONS = ("keywords", "bit_table", "max_pixels")
DEFAULT_TABLE = "kids"
TABLE_NOTE = "flags are read with the table kids, published for KiDS-ESO-DR1"


@dataclass(frozen=True)
class _Files:
    """The files of one tile and band of a release: what to path."""

    area: str
    band: str
    release: str
    files: Mapping[str, str]
    notes: tuple[str, ...]


def scan(location: str, options: Mapping[str, Any]) -> Iterator[FrameRef | Refused]:
    """Coadds below a folder, from headers alone.

    Parameters
    ----------
    location : str
        A folder, searched through.
    options : mapping
        See the module; `bands` (KIDS_u, KIDS_g, KIDS_r, KIDS_i, KIDS_i2), `instruments`, `tiles` (KIDS_<RA>_<Dec>) and
        `planes` select.

    Yields
    ------
    FrameRef or Refused
        In order of area, band and release.

    Raises
    ------
    InputError
        The location or an option is not what it must be.
    """
    check_options(options, OPTIONS, "kids")
    keywords = _keywords(options)
    table = str(options.get("bit_table") or DEFAULT_TABLE)
    if table != "-":
        bit_table(table)
    root = Path(location)
    if not root.is_dir():
        raise InputError(f"{location}: must be a folder of KiDS files, found none")
    index = walk(root)
    if not any(NAME.fullmatch(name) for name in index):
        raise InputError(f"{location}: must hold files named KiDS_DR..._sci, _wei or _msk, found none")
    for found in _grouped(index, options):
        if isinstance(found, Refused):
            yield found
            continue
        try:
            yield _reference(found, keywords, table, options)
        except InputError as error:
            yield Refused(found.area, INSTRUMENT, found.band, str(error))


def open_frame(ref: FrameRef, planes: Collection[str]) -> Frame:
    """Open the planes asked for, the weight as RMS; LAYERS gives the coadd as one exposure.

    Raises
    ------
    InputError
        A file is not what it must be or changed since it was listed.
    """
    exposures = exposure_of_image(ref) if "LAYERS" in planes else None
    opened = open_planes(ref, planes, {"RMS": rms_of("inverse_variance")})
    return Frame(ref, opened, exposures=exposures, bits=bits_of(ref))


# -- which files ----------------------------------------------------------------------------------------------


def _keywords(options: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    given = options.get("keywords") or {}
    if not isinstance(given, Mapping) or set(given) - set(KEYWORDS):
        raise InputError(
            f"reader option keywords must give keywords to some of {', '.join(KEYWORDS)}, found {given!r}"
        )
    wrong = [name for name, key in given.items() if not isinstance(key, str) or not key]
    if wrong:
        raise InputError(
            f"reader option keywords.{wrong[0]} must be a header keyword, found {given[wrong[0]]!r}"
        )
    return {**KEYWORDS, **{name: (key,) for name, key in given.items()}}


def _grouped(index: Mapping[str, Sequence[Path]], options: Mapping[str, Any]) -> Iterator[_Files | Refused]:
    def told(name: str) -> tuple[tuple[str, str, str], str] | None:
        match = NAME.fullmatch(name)
        if match is None:
            return None
        area, band = f"KIDS_{match['tile']}", f"KIDS_{match['filter']}"
        wanted = is_selected(options, area=area, instrument=INSTRUMENT, band=band)
        if not wanted or not is_wanted(options, "planes", PLANES[match["what"]]):
            return None
        return (area, band, match["release"]), match["what"]

    for (area, band, release), files in grouped(index, told):
        notes: list[str] = []
        try:
            chosen = {what: str(newest(files[what], notes)) for what in PLANES if what in files}
        except InputError as error:
            yield Refused(area, INSTRUMENT, band, str(error))
            continue
        yield _Files(area, band, release, chosen, tuple(notes))


# -- what their headers say -----------------------------------------------------------------------------------


@dataclass
class _Read:
    """Headers of the files of one coadd."""

    planes: dict[str, FileRef]
    hdus: dict[str, Hdu]
    grids: list[GridCheck]


def _read(one: _Files, limit: int) -> _Read:
    read = _Read({}, {}, [])
    for what, path in one.files.items():
        with open_fits(path, limit) as file:
            hdu = file.image()
            read.grids.append(grid_of(hdu, read.grids))
            read.planes[PLANES[what]], read.hdus[what] = file_ref(file, hdu), hdu
            if what == "msk":
                require_integers(hdu)
            _must_be(hdu.cards, one)
    return read


def _must_be(cards: Cards, one: _Files) -> None:
    """A header that names tile or filter names those of the file."""
    tile, band = cards.optional_text("OBJECT"), cards.optional_text("FILTER")
    if tile is not None and tile.upper().startswith("KIDS_") and tile.upper() != one.area:
        raise cards.error("OBJECT", f"must be {one.area}, as the file name says")
    named = None if band is None else re.fullmatch(r"(?:OCAM_)?([ugri])_SDSS", band)
    if named is not None and named[1] != one.band[len("KIDS_")]:
        raise cards.error("FILTER", f"must be that of {one.band}, as the file name says")


def _reference(
    one: _Files, keywords: Mapping[str, Sequence[str]], table: str, options: Mapping[str, Any]
) -> FrameRef:
    limit = pixel_limit(options)
    read = _read(one, limit)
    first, cards = read.grids[0], next(iter(read.hdus.values())).cards
    wanted = [what for what, plane in PLANES.items() if is_wanted(options, "planes", plane)]
    notes = [*one.notes, *(f"there is no {PLANES[what]} plane" for what in wanted if what not in one.files)]
    scalars = _scalars(
        {name: _value(cards, name, keys) for name, keys in keywords.items()}, first, cards, notes
    )
    flag_bits: dict[str, int] = {}
    if "FLAG" in read.planes:
        flag_bits = header_bits(read.hdus["msk"].cards)
        join_table(None if table == "-" else bit_table(table), flag_bits, INSTRUMENT, read.hdus["msk"].where)
        notes += [TABLE_NOTE] if table == DEFAULT_TABLE else []
        notes += ["flags have no bit table, so no flag names can be used"] if table == "-" else []
    return FrameRef(
        reader="kids",
        area=one.area,
        instrument=INSTRUMENT,
        band=one.band,
        shape=first.shape,
        wcs_cards=first.wcs.cards,
        planes=read.planes,
        tables={"LAYERS": next(iter(read.planes.values()))},
        scalars=scalars,
        bit_table=table if "FLAG" in read.planes else "-",
        release=one.release,
        created=cards.optional_text("DATE") or "-1",
        date_obs=cards.optional_text("DATE-OBS") or "-1",
        date_end=cards.optional_text("DATE-END") or "-1",
        telescope=TELESCOPE,
        notes=(*notes, *first.wcs.notes),
        options={"max_pixels": limit, "flag_bits": flag_bits},
    )


def _value(cards: Cards, name: str, keys: Sequence[str]) -> float:
    """The number of the first keyword that stands, NaN where none does."""
    key = next((key for key in keys if key in cards), None)
    if key is None:
        return math.nan
    value = cards.number(key)
    if name in POSITIVE and not value > 0:
        raise cards.error(key, "must be positive")
    if name == "Exposures" and value != int(value):
        raise cards.error(key, "must be an integer")
    return value


def _scalars(found: Mapping[str, float], grid: GridCheck, cards: Cards, notes: list[str]) -> dict[str, float]:
    """The known ones: those of every image under their names, the others by quantity."""
    zero_point = found["Zeropoint"]
    if math.isnan(zero_point):
        zero_point = 0.0
        notes.append("no card states the zero point: fluxes are taken relative to magnitude 0")
    if math.isnan(found["Exposures"]):
        notes.append("no card states the number of exposures: the coadd counts as one")
    seconds = _total_time(found, cards, notes)
    middle = _middle_mjd(found, seconds)
    lon, lat = _centre_deg(grid)
    known = {
        "zero_point": zero_point,
        "pixel_scale_arcsec": grid.wcs.scale_arcsec,
        "exposure_time_s": seconds,
        "psf_fwhm_arcsec": found["Seeing"],
        "Exposures": found["Exposures"],
        "MJD": middle,
        "Airmass": _airmass(found, middle, lon, lat, notes),
        "Seeing": found["Seeing"],
        "Background": found["Background"],
        "Noise": found["Noise"],
        "SiteLon": SITE_DEG[0],
        "SiteLat": SITE_DEG[1],
        "PointingLon": lon,
        "PointingLat": lat,
    }
    return {name: value for name, value in known.items() if not math.isnan(value)}


def _total_time(found: Mapping[str, float], cards: Cards, notes: list[str]) -> float:
    """Number times single exposure time, or the total that stands; NaN where neither is known."""
    total, number, single = found["TotalTime"], found["Exposures"], found["ExposureTime"]
    if math.isnan(total):
        return number * single
    if not math.isnan(single) and total < single * (1.0 - 1e-6):
        raise InputError(
            f"{cards.where}: the time of all exposures must be at least that of a pixel, {single:g} s, found {total:g}"
        )
    notes.append("the exposure time is TEXPTIME, the sum over all exposures")
    return total


def _middle_mjd(found: Mapping[str, float], seconds: float) -> float:
    start, end = found["MJDStart"], found["MJDEnd"]
    return start + 0.5 * seconds / SECONDS_PER_DAY if math.isnan(end) else 0.5 * (start + end)


def _airmass(
    found: Mapping[str, float], mjd: float, lon_deg: float, lat_deg: float, notes: list[str]
) -> float:
    """Mean at start, middle and end; see the module."""
    start, end = found["AirmassStart"], found["AirmassEnd"]
    if math.isnan(start + end):
        return found["Airmass"]
    site = {"site_lon_deg": SITE_DEG[0], "site_lat_deg": SITE_DEG[1]}
    middle = (
        math.nan if math.isnan(mjd) else float(airmass(zenith_distance_deg(lon_deg, lat_deg, mjd, **site)))
    )
    if math.isnan(middle):
        notes.append("the air mass at the middle of the exposures is the mean of those at start and end")
        return 0.5 * (start + end)
    notes.append("the air mass at the middle of the exposures is computed from site and time")
    return (start + middle + end) / 3.0


def _centre_deg(grid: GridCheck) -> tuple[float, float]:
    lon, lat = middles_deg(outline_corners(grid.wcs.wcs, grid.shape, 1))
    return float(lon), float(lat)
