"""One image of the LSST pipelines, known from its headers: whose it is, its grid, its planes and its scalars."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.bits import bit_table
from vmpz.errors import InputError
from vmpz.files.fits import FitsFile, open_fits
from vmpz.files.hdu import Hdu
from vmpz.files.wcs import CelestialWcs
from vmpz.frames import FileRef
from vmpz.readers.common import GridCheck, file_ref, grid_of, is_wanted, pixel_limit, require_integers
from vmpz.readers.detectors import outline_of
from vmpz.readers.headerbits import header_bits, join_table
from vmpz.readers.lsstheaders import Headers, image_hdus, middle_mjd, pointing, site, stated_zero_point
from vmpz.readers.lsstnames import INSTRUMENTS, Name, band_named, instrument_named, name_of, patch_area
from vmpz.readers.visits import VisitTable

__all__ = ["PLANES", "Image", "known_name", "read_image"]

PLANES = {"IMAGE": "IMAGE", "RMS": "VARIANCE", "FLAG": "MASK", "BACKGROUND": "BACKGROUND"}
"""Canonical plane to the HDU that holds it."""
TABLE = "lsst"
FILTER_CARDS = ("LSST BUTLER DATAID PHYSICAL_FILTER", "FILTER", "PHYSICALFILTER", "FILTER01", "FILTBAND",
                "LSST BUTLER DATAID BAND")  # fmt: skip
INSTRUMENT_CARDS = ("LSST BUTLER DATAID INSTRUMENT", "INSTRUMENT", "INSTRUME")


@dataclass(frozen=True)
class Image:
    """A detector of a visit, or a patch.

    Attributes
    ----------
    path : Path
    where : str
        File and HDU of the image.
    is_patch : bool
    area, detector : str
        Visit and name of the detector; tract and patch, and ''.
    number : int
        Of the detector in its camera, -1 if it is not known.
    instrument, band : str
    shape : (int, int)
    wcs : CelestialWcs
    corners : float64 array (n, 2)
        Outline, degrees.
    planes : mapping of str to FileRef
    flag_bits : mapping of str to int
        As MASK states them.
    bit_table, created : str
    scalars : mapping of str to float
        By quantity; those that are known.
    notes : tuple of str
    """

    path: Path
    where: str
    is_patch: bool
    area: str
    detector: str
    number: int
    instrument: str
    band: str
    shape: tuple[int, int]
    wcs: CelestialWcs
    corners: NDArray[np.float64]
    planes: Mapping[str, FileRef]
    flag_bits: Mapping[str, int]
    bit_table: str
    created: str
    scalars: Mapping[str, float]
    notes: tuple[str, ...]

    @property
    def id(self) -> str:
        """Visit and detector, or the patch."""
        return self.area if self.is_patch else f"{self.area}[{self.detector}]"


def known_name(path: Path, options: Mapping[str, Any]) -> tuple[str, str, str]:
    """Area, instrument and band as far as a file name and the options tell them, '-' where they do not."""
    name = name_of(path) or Name()
    instrument = options.get("instrument") or INSTRUMENTS.get(name.instrument.upper(), name.instrument)
    band = f"{_prefix(instrument)}_{name.band}" if instrument and name.band else ""
    return name.area or "-", instrument or "-", options.get("band") or band or "-"


def read_image(
    path: Path,
    visits: VisitTable | None,
    options: Mapping[str, Any],
    known: Mapping[str, float] | None = None,
) -> Image:
    """Read the headers of a file.

    Parameters
    ----------
    path : Path
    visits : VisitTable, optional
    options : mapping
        Of the reader.
    known : mapping of str to float, optional
        Scalars of an earlier reading, taken as they are.

    Raises
    ------
    InputError
        An HDU or a card is missing or not what it must be, or name and header tell different things.
    """
    with open_fits(str(path), pixel_limit(options)) as file:
        units = image_hdus(file)
        image = units["IMAGE"]
        headers = Headers(file.hdus[0].cards, image.cards)
        name = _identity(headers, name_of(path) or Name())
        grid = grid_of(image, [])
        notes = list(grid.wcs.notes)
        instrument = _instrument(headers, name, options, notes)
        band = _band(headers, name, instrument, options)
        planes, flag_bits, table = _planes(file, units, grid, instrument, options, notes)
        scalars = known or _scalars(
            file, image, headers, name, instrument, grid.wcs.scale_arcsec, visits, options, notes
        )
        return Image(
            path,
            image.where,
            bool(name.is_patch),
            name.area,
            name.detector,
            name.number,
            instrument,
            band,
            grid.shape,
            grid.wcs,
            outline_of(grid.wcs.wcs, grid.shape),
            planes,
            flag_bits,
            table,
            headers.text("DATE") or "-1",
            scalars,
            tuple(notes),
        )


# -- whose it is ----------------------------------------------------------------------------------------------


def _identity(headers: Headers, name: Name) -> Name:
    """What name and header tell together."""
    is_patch = name.is_patch
    if is_patch is None:
        is_patch = headers.dataid("TRACT") is not None and headers.dataid("VISIT") is None
    if is_patch:
        tract, patch = headers.dataid("TRACT"), headers.dataid("PATCH")
        stated = patch_area(tract, patch) if tract and patch else ""
        return name._replace(is_patch=True, area=_one("tract and patch", name.area, stated, headers))
    number = _integer(headers, name.number, "LSST BUTLER DATAID DETECTOR", "DET-ID")
    detector = _one("DETNAME", name.detector, headers.text("DETNAME") or "", headers, f"{number:03d}")
    if detector == "-01":
        raise headers.error("DETNAME", "must be present where the file name does not tell the detector")
    visit = _integer(headers, -1, "LSST BUTLER DATAID VISIT", "IDNUM")
    area = _one("the visit (IDNUM)", name.area, str(visit) if visit > 0 else "", headers)
    return name._replace(is_patch=False, area=area, detector=detector, number=number)


def _one(what: str, named: str, stated: str, headers: Headers, default: str = "") -> str:
    """What the file name and the header say of one thing; both must agree, one must tell."""
    if named and stated and named != stated:
        raise InputError(
            f"{headers.image.where}: {what} must be {named}, as the file name says, found {stated}"
        )
    found = named or stated or default
    if not found:
        raise InputError(
            f"{headers.image.where}: the header or the file name must tell {what}, found neither"
        )
    return found


def _integer(headers: Headers, default: int, *keys: str) -> int:
    value = headers.number(*keys)
    if value is None:
        return default
    if value != int(value):
        raise InputError(f"{headers.primary.where}: {' or '.join(keys)} must be an integer, found {value}")
    return int(value)


def _instrument(headers: Headers, name: Name, options: Mapping[str, Any], notes: list[str]) -> str:
    if options.get("instrument"):
        return str(options["instrument"])
    text = headers.text(*INSTRUMENT_CARDS) or name.instrument
    if not text:  # coadds name their instrument in the filter alone, or not at all
        if (headers.text(*FILTER_CARDS) or "").startswith("HSC"):
            return "HSC"
        notes.append("no card names the instrument: it is taken to be LSST")
        return "LSST"
    try:
        return instrument_named(text)
    except InputError as error:
        raise InputError(f"{headers.primary.where}: {error}") from None


def _band(headers: Headers, name: Name, instrument: str, options: Mapping[str, Any]) -> str:
    if options.get("band"):
        return str(options["band"])
    text = headers.text(*FILTER_CARDS) or name.band
    if not text:
        raise InputError(f"{headers.primary.where}: FILTER must be present (or the option band), found none")
    try:
        band = band_named(text.split()[0])
    except InputError as error:
        raise InputError(f"{headers.primary.where}: {error}") from None
    return f"{_prefix(instrument)}_{_one('the band', name.band, band, headers)}"


def _prefix(instrument: str) -> str:
    return "LSST" if instrument.startswith("LSST") else instrument


# -- what it holds --------------------------------------------------------------------------------------------


def _planes(
    file: FitsFile,
    units: Mapping[str, Hdu],
    grid: GridCheck,
    instrument: str,
    options: Mapping[str, Any],
    notes: list[str],
) -> tuple[dict[str, FileRef], dict[str, int], str]:
    """The wanted planes, the bits that MASK names, and the table that gives them meaning."""
    planes: dict[str, FileRef] = {}
    flag_bits: dict[str, int] = {}
    table = "-"
    for plane in [plane for plane in PLANES if is_wanted(options, "planes", plane)]:
        hdu = units.get(PLANES[plane])
        if hdu is None:
            if plane == "BACKGROUND":
                continue
            raise InputError(f"{file.location}: HDU {PLANES[plane]} must be present, found none")
        grid_of(hdu, [grid])
        planes[plane] = file_ref(file, hdu)
        if plane == "FLAG":
            flag_bits, table = _flags(hdu, instrument, options, notes)
        elif hdu.bitpix > 0:
            raise hdu.cards.error(
                "BITPIX", f"of the plane {PLANES[plane]} must be one of floating-point numbers"
            )
    return planes, flag_bits, table


def _flags(
    hdu: Hdu, instrument: str, options: Mapping[str, Any], notes: list[str]
) -> tuple[dict[str, int], str]:
    require_integers(hdu)
    flag_bits, given = header_bits(hdu.cards), options.get("bit_table")
    if not flag_bits and not given:
        raise InputError(
            f"{hdu.where}: MP_<NAME> cards must name the bits of the mask (or the option bit_table), found none"
        )
    if not flag_bits:
        notes.append(f"the mask names no bits: they are numbered as in the table {given}")
    table = str(given or TABLE)
    join_table(bit_table(table), flag_bits, instrument, hdu.where, by_name=True)
    return flag_bits, table


def _scalars(
    file: FitsFile,
    image: Hdu,
    headers: Headers,
    name: Name,
    instrument: str,
    scale_arcsec: float,
    visits: VisitTable | None,
    options: Mapping[str, Any],
    notes: list[str],
) -> dict[str, float]:
    """Everything known of the image by quantity."""
    of_table = visits.scalars(name.area, name.number, scale_arcsec) if visits and not name.is_patch else {}
    zero_point, source = stated_zero_point(file, image, headers)
    known: dict[str, float | None] = {"PixelScale": scale_arcsec}
    if not name.is_patch:
        known |= {
            "ExposureTime": headers.number("EXPTIME"),
            "MJD": middle_mjd(headers),
            "Airmass": headers.number("BORE-AIRMASS"),
            **site(headers),
            **pointing(headers),
        }
        if instrument == "HSC":
            known["Seeing"] = _seeing(headers, scale_arcsec)
        if source != "the unit nJy":
            known |= {
                "Background": headers.number("BGMEAN", "SKYLEVEL"),
                "Noise": headers.number("SKYSIGMA"),
            }
        if visits and not of_table:
            notes.append(f"{name.area}[{name.detector}] has no row in {visits.where}")
        known |= {key: value for key, value in of_table.items() if key != "Zeropoint"}
    known["Zeropoint"] = _zero_point(zero_point, source, of_table, options, image, notes)
    noise = known.get("Noise")
    if noise is not None:
        if not noise > 0:
            raise InputError(f"{image.where}: the noise (SKYSIGMA, skyNoise) must be positive, found {noise}")
        known["Weight"] = noise**-2
    return {key: value for key, value in known.items() if value is not None and math.isfinite(value)}


def _seeing(headers: Headers, scale_arcsec: float) -> float | None:
    """FWHM of HSC, arcsec: measured on the image (SEEING_MODE, pixels), or SEEING (arcsec); 0 is 'not measured'."""
    pixels = headers.number("SEEING_MODE")
    arcsec = headers.number("SEEING") if pixels is None else pixels * scale_arcsec
    return arcsec if arcsec is not None and arcsec > 0 else None


def _zero_point(
    stated: float | None,
    source: str,
    of_table: Mapping[str, float],
    options: Mapping[str, Any],
    image: Hdu,
    notes: list[str],
) -> float:
    """The zero point of the option, else of the file, else of the table of visits; what was taken is noted."""
    given = options.get("zero_point")
    if given is not None:
        instead = "" if stated is None else f" instead of {stated:.6g} by {source}"
        notes.append(f"the zero point is that of the option, {given}{instead}")
        return float(given)
    if stated is not None:
        notes.append(f"the zero point is given by {source}")
        return stated
    if "Zeropoint" in of_table:
        notes.append("the zero point is that of the table of visits")
        return of_table["Zeropoint"]
    raise InputError(
        f"{image.where}: the zero point must be known from BUNIT = nJy, FLUXMAG0, a PhotoCalib in the archive, "
        "zeroPoint in the table of visits (option summary), or the option zero_point; found none"
    )
