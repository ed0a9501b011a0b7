"""The celestial WCS of an untrusted header: what it must hold, and the few cards that the WCS library gets to see.

wcslib fills what it cannot read with defaults (CRVAL 0, a linear axis) and overruns a buffer on long diagnostics, so
every card is judged here and only the needed ones are passed on. A mirrored image is accepted and noted. TAN with PV2_m
terms is the SCAMP convention, passed on under its registered name, TPV.
"""

import math
import re
import warnings
from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np
from astropy.io.fits import Card, Header
from astropy.wcs import WCS
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.files.cards import Cards

__all__ = ["CelestialWcs", "read_wcs", "wcs_images"]

PROJECTIONS = re.compile(
    "AZP|SZP|TAN|STG|SIN|ARC|ZPN|ZEA|AIR|CYP|CEA|CAR|MER|COP|COE|COD|COO|SFL|PAR|MOL|AIT|BON|PCO|TSC|CSC|QSC|HPX|XPH|TPV"
)
NEEDED = re.compile(
    r"(WCSAXES|CTYPE[12]|CUNIT[12]|CRVAL[12]|CRPIX[12]|CDELT[12]|CROTA[12]|CD[12]_[12]|PC[12]_[12]|PV[12]_\d+"
    r"|LONPOLE|LATPOLE|EQUINOX|RADESYS|RADECSYS|(A|B|AP|BP)_(ORDER|\d+_\d+))$"
)
TEXT = re.compile(r"CTYPE|CUNIT|RADE")
REFUSED = re.compile(r"(CPDIS|CQDIS|D2IMDIS|DP|DQ|PS)[12](_\d+)?$|WAT\d_\d+$")
IRAF_ATTRIBUTES = "system=image|wtype={} axtype=(ra|dec)"
"""What WATi_nnn may hold: the projection that CTYPE names as well, no coefficients of its own."""
CARD = 80
SMALLEST_ARCSEC, LARGEST_ARCSEC = 1e-3, 3600.0
LARGEST_STRETCH = 100.0
REMEMBERED = 2304
"""Mappings that are kept, at 18 kB each: detectors are looked at again for every tile, at 4 ms a judgement."""


@dataclass(frozen=True)
class CelestialWcs:
    """A WCS that holds what it must.

    Attributes
    ----------
    cards : str
        The needed header cards, as `Header.tostring(sep='\\n')`.
    scale_arcsec : float
        Square root of the pixel area at the reference point.
    notes : tuple of str
        What was assumed.
    wcs : WCS
        The library's object.
    """

    cards: str
    scale_arcsec: float
    notes: tuple[str, ...]
    wcs: WCS = field(repr=False, compare=False)


_judged: OrderedDict[tuple[bytes, tuple[int, int]], CelestialWcs] = OrderedDict()


def read_wcs(cards: Cards, shape: tuple[int, int]) -> CelestialWcs:
    """Judge the WCS of an image header.

    Parameters
    ----------
    cards : Cards
        The header.
    shape : (int, int)
        Rows and columns; the corners must lie on the sky.

    Raises
    ------
    InputError
        CTYPE, CRVAL, CRPIX or the matrix is missing, not finite or singular; the projection is unknown; SIP terms and
        CTYPE disagree; the frame is not ICRS or FK5 J2000; the pixel scale is absurd.
    """
    if not cards.raw or b"CONTINUE" in cards.raw:  # values that are not in the cards themselves
        return _judge(cards, shape)
    asked = wcs_images(cards.raw), shape
    known = _judged.get(asked)
    if known is None:
        known = _judged[asked] = _judge(cards, shape)
        while len(_judged) > REMEMBERED:
            _judged.popitem(last=False)
    return known


def _judge(cards: Cards, shape: tuple[int, int]) -> CelestialWcs:
    """The same of a header not seen before."""
    notes = [*_check_axes(cards), *_check_frame(cards)]
    for key in cards:
        if REFUSED.match(key) and not _repeats_ctype(cards, key):
            raise cards.error(key, "must not be present: distortion tables of this kind are not read")
        if NEEDED.match(key):
            _ = cards.text(key) if TEXT.match(key) else cards.number(key)
    for key in ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2"):
        cards.number(key)
    if abs(cards.number(f"CRVAL{_latitude_axis(cards)}")) > 90:
        raise cards.error(f"CRVAL{_latitude_axis(cards)}", "must be a declination between -90 and 90")
    scale = _check_matrix(cards, notes)
    needed = _needed(cards, notes)
    wcs = _check_sky(needed, shape, scale, cards.where)
    return CelestialWcs(needed.tostring(sep="\n", endcard=False, padding=False), scale, tuple(notes), wcs)


def wcs_images(raw: bytes) -> bytes:
    """The raw cards of a header that `read_wcs` looks at: headers that agree in them have the same WCS."""
    images = (raw[at : at + CARD] for at in range(0, len(raw), CARD))
    keys = ((image[:8].decode("ascii", "replace").rstrip(), image) for image in images)
    return b"".join(image for key, image in keys if NEEDED.match(key) or REFUSED.match(key))


def _repeats_ctype(cards: Cards, key: str) -> bool:
    """Whether a card is an attribute of IRAF that says nothing new, as DECam files have them."""
    same = IRAF_ATTRIBUTES.format(cards.text("CTYPE1")[5:8].lower())
    return key.startswith("WAT") and bool(re.fullmatch(same, cards.text(key)))


def _latitude_axis(cards: Cards) -> int:
    return 2 if cards.text("CTYPE2").startswith("DEC") else 1


def _check_axes(cards: Cards) -> list[str]:
    """CTYPE names one RA and one DEC axis of one known projection; SIP terms stand if and only if CTYPE says so."""
    types = [cards.text("CTYPE1"), cards.text("CTYPE2")]
    parts = [re.fullmatch(r"(RA--|DEC-)-([A-Z]{3})(-SIP)?", text) for text in types]
    if parts[0] is None or parts[1] is None:
        raise InputError(
            f"{cards.where}: CTYPE1, CTYPE2 must be RA---ppp and DEC--ppp, found {types[0]!r}, {types[1]!r}"
        )
    one, two = parts[0], parts[1]
    if one[1] == two[1] or one.groups()[1:] != two.groups()[1:]:
        raise InputError(f"{cards.where}: CTYPE1, CTYPE2 must be RA and DEC of one projection, found {types}")
    if not PROJECTIONS.fullmatch(one[2]):
        raise cards.error("CTYPE1", f"must name a known projection ({PROJECTIONS.pattern})")
    sip = [key for key in ("A_ORDER", "B_ORDER") if key in cards]
    terms = any(re.match(r"[AB]_\d+_\d+$", key) for key in cards)
    if one[3] and len(sip) != 2:
        raise cards.error("CTYPE1", "says -SIP, so A_ORDER and B_ORDER must be present")
    if (sip or terms) and not one[3]:
        raise cards.error("CTYPE1", "must end in -SIP where SIP coefficients stand")
    if "CUNIT1" in cards and {cards.text("CUNIT1"), cards.text("CUNIT2")} != {"deg"}:
        raise cards.error("CUNIT1", "must be deg on both axes")
    return []


def _check_frame(cards: Cards) -> list[str]:
    """ICRS, or FK5 of J2000 (the same within 0.03 arcsec)."""
    key = next((key for key in ("RADESYS", "RADECSYS") if key in cards), None)
    frame = cards.text(key).upper() if key else ""
    equinox = cards.optional_number("EQUINOX")
    if frame in ("ICRS", "FK5", "") and (equinox in (None, 2000.0) or frame == "ICRS"):
        if frame == "ICRS" or (not frame and equinox is None):
            return []
        return ["FK5 J2000 is taken as ICRS (they agree to 0.03 arcsec)"]
    raise InputError(
        f"{cards.where}: the frame must be ICRS or FK5 J2000, found {key} {frame!r}, EQUINOX {equinox}"
    )


def _check_matrix(cards: Cards, notes: list[str]) -> float:
    """Pixel scale from CD, or PC and CDELT, or CDELT and CROTA; singular or missing is refused, mirrored is noted."""
    matrix = _matrix(cards)
    area = float(np.linalg.det(matrix))
    norm = float(np.hypot(*matrix[0]) * np.hypot(*matrix[1]))
    if not norm or abs(area) < 1e-6 * norm:
        raise InputError(
            f"{cards.where}: the matrix of the WCS (CD, PC, CDELT) must not be singular, found {matrix.tolist()}"
        )
    scale = 3600.0 * math.sqrt(abs(area))
    if not SMALLEST_ARCSEC <= scale <= LARGEST_ARCSEC:
        raise InputError(
            f"{cards.where}: the pixel scale must lie between {SMALLEST_ARCSEC} and {LARGEST_ARCSEC} arcsec, "
            f"found {scale:.6g}"
        )
    if (area > 0) == (_latitude_axis(cards) == 2):
        notes.append("the image is mirrored (right ascension grows with x when north is up)")
    return scale


def _matrix(cards: Cards) -> NDArray[np.float64]:
    def value(key: str, default: float) -> float:
        found = cards.optional_number(key)
        return default if found is None else found

    if any(f"CD{i}_{j}" in cards for i in (1, 2) for j in (1, 2)):
        return np.array([[value(f"CD{i}_{j}", 0.0) for j in (1, 2)] for i in (1, 2)])
    delta = np.array([cards.number("CDELT1"), cards.number("CDELT2")])
    if any(f"PC{i}_{j}" in cards for i in (1, 2) for j in (1, 2)):
        rotation = np.array([[value(f"PC{i}_{j}", float(i == j)) for j in (1, 2)] for i in (1, 2)])
        return np.asarray(delta[:, None] * rotation)
    angle = math.radians(value("CROTA2", 0.0))  # Calabretta & Greisen (2002), equation 194
    (sin, cos), (x, y) = (math.sin(angle), math.cos(angle)), delta
    return np.array([[x * cos, -y * sin], [x * sin, y * cos]])


def _needed(cards: Cards, notes: list[str]) -> Header:
    """The cards passed on; the first of each keyword (they were found equal)."""
    header = Header()
    for key in cards:
        if NEEDED.match(key):
            value = cards.text(key) if TEXT.match(key) else cards.header[key]
            value = float(value) if isinstance(value, str) and not TEXT.match(key) else value
            header.append(Card("RADESYS" if key == "RADECSYS" else key, value))
    lonely = [key for key in header if key.startswith("PV")]
    if "-TAN" in header["CTYPE1"] and lonely:
        latitude = f"PV{_latitude_axis(cards)}_"
        if not any(key.startswith(latitude) for key in lonely) or header["CTYPE1"].endswith("-SIP"):
            raise cards.error(lonely[0], "must be distortion terms of both axes, without SIP, under TAN")
        for key in ("CTYPE1", "CTYPE2"):
            header[key] = header[key].replace("-TAN", "-TPV")
        notes.append("TAN with PV terms is read as TPV (SCAMP convention)")
    return header


def _check_sky(header: Header, shape: tuple[int, int], scale_arcsec: float, where: str) -> WCS:
    """The outer corners lie on the sky, and the middle pixel has about the area that the matrix says."""
    rows, columns = shape
    x = np.array([-0.5, columns - 0.5, columns - 0.5, -0.5, *(columns / 2 + np.array([0, 1, 0]))])
    y = np.array([-0.5, -0.5, rows - 0.5, rows - 0.5, *(rows / 2 + np.array([0, 0, 1]))])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            wcs = WCS(header)
            flat = wcs if wcs.naxis == 2 else wcs.celestial
            lon, lat = np.radians(flat.all_pix2world(x, y, 0))
        except Exception as error:  # wcslib and astropy have a dozen classes for it
            raise InputError(
                f"{where}: the WCS must be valid, found: {' '.join(str(error).split())[:300]}"
            ) from error
    sky = np.stack((np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)), axis=1)
    if not np.isfinite(sky).all():
        raise InputError(f"{where}: the corners of the image must lie on the sky, found that some do not")
    area = np.linalg.norm(np.cross(sky[5] - sky[4], sky[6] - sky[4]))
    ratio = float(area) / np.radians(scale_arcsec / 3600.0) ** 2
    if not 1.0 / LARGEST_STRETCH <= ratio <= LARGEST_STRETCH:
        raise InputError(
            f"{where}: the middle pixel must have the area that the matrix says within a factor {LARGEST_STRETCH:g}, "
            f"found {ratio:.3g} of it"
        )
    return wcs
