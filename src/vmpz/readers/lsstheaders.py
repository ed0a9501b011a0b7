"""What the headers and the archive of an image of the LSST pipelines tell, in canonical form.

Since 2017 all but the WCS stands in the primary header and the images inherit it; before, all stood in the header of
the image. Both are looked at. The photometric calibration is one of: the unit of the pixels (nJy); FLUXMAG0, counts of
a source of magnitude 0; a `PhotoCalib` in the archive, the tables behind the images: nJy per count. An AB magnitude is
-2.5 log10(flux / nJy) + 31.4.

References: FITS metadata of lsst.afw.image Exposures and the schemas of lsst.afw.table.io (LSST Data Management).
"""

import math
import re
from dataclasses import dataclass

import erfa
import numpy as np
from astropy.io.fits import VerifyError
from astropy.io.fits.card import Undefined
from numpy.typing import ArrayLike, NDArray

from vmpz.errors import InputError
from vmpz.files.cards import Cards
from vmpz.files.fits import FitsFile
from vmpz.files.hdu import Hdu
from vmpz.files.tables import Table, read_table

__all__ = [
    "Headers",
    "image_hdus",
    "middle_mjd",
    "pointing",
    "site",
    "stated_zero_point",
    "to_iso",
    "utc_of_tai",
]

NJY_ZERO_POINT = 31.4
SAME_ZERO_POINT_MAG = 1e-4
MJD_ZERO_JD = 2_400_000.5
MJD_ZERO = np.datetime64("1858-11-17", "ns")
DAY = np.timedelta64(1, "D")
ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?")
KINDS = ("IMAGE", "MASK", "VARIANCE", "BACKGROUND")
BUTLER = "LSST BUTLER DATAID "


@dataclass(frozen=True)
class Headers:
    """The primary header and that of the image, looked up as one; a card without value counts as absent."""

    primary: Cards
    image: Cards

    def number(self, *keys: str) -> float | None:
        """The first of some keywords that is there, a finite number."""
        found = self._find(keys)
        return None if found is None else found[0].number(found[1])

    def text(self, *keys: str) -> str | None:
        """The first of some keywords that is there and not empty, as text."""
        for key in keys:
            found = self._find([key])
            if found is not None:
                value = found[0].header[key]
                text = found[0].text(key) if isinstance(value, str) else str(value)
                if text:
                    return text
        return None

    def error(self, key: str, rule: str) -> InputError:
        """The error about a keyword, at the header that has it."""
        found = self._find([key])
        return (self.primary if found is None else found[0]).error(key, rule)

    def dataid(self, name: str) -> str | None:
        """A value of the butler's data id, which newer files repeat."""
        return self.text(BUTLER + name)

    def _find(self, keys: tuple[str, ...] | list[str]) -> tuple[Cards, str] | None:
        for key in keys:
            for cards in (self.primary, self.image):
                if _has_value(cards, key):
                    return cards, key
        return None


def _has_value(cards: Cards, key: str) -> bool:
    try:
        return not isinstance(cards.header.get(key), Undefined | None)
    except (VerifyError, ValueError) as error:
        raise cards.error(key, "must be readable") from error


def image_hdus(file: FitsFile) -> dict[str, Hdu]:
    """The HDUs whose EXTNAME or EXTTYPE is IMAGE, MASK, VARIANCE or BACKGROUND, by that name.

    Raises
    ------
    InputError
        One stands more than once, or IMAGE is missing.
    """
    found: dict[str, Hdu] = {}
    for hdu in file.hdus[1:]:
        for kind in {hdu.name.upper(), _extension_type(hdu)} & set(KINDS):
            if kind in found:
                raise InputError(
                    f"{file.location}: HDU {kind} must stand once, found {found[kind].where} and {hdu.where}"
                )
            found[kind] = hdu
    if "IMAGE" not in found:
        raise InputError(f"{file.location}: HDU IMAGE must be present, found none among {len(file.hdus)}")
    return found


def middle_mjd(headers: Headers) -> float | None:
    """Middle of the exposure, MJD in UTC: DATE-AVG (of the time system TIMESYS), else TIME-MID, which is UTC.

    MJD-OBS is not used: in images of HSC it is one constant.

    Raises
    ------
    InputError
        TIMESYS is missing or neither TAI nor UTC, or a date is not one.
    """
    if headers.text("DATE-AVG") is None:
        return None if headers.text("TIME-MID") is None else _mjd(headers, "TIME-MID")
    scale = headers.text("TIMESYS")
    if scale not in ("TAI", "UTC"):
        raise headers.error("TIMESYS", "must be TAI or UTC where DATE-AVG stands")
    value = _mjd(headers, "DATE-AVG")
    return value if scale == "UTC" else float(utc_of_tai(value))


def utc_of_tai(mjd: ArrayLike) -> NDArray[np.float64]:
    """Instants (MJD) in UTC from TAI; leap seconds as the library knows them."""
    one, two = erfa.taiutc(MJD_ZERO_JD, mjd)
    return np.asarray((one - MJD_ZERO_JD) + two)


def to_iso(mjd: float) -> str:
    """An instant (MJD, UTC) as ISO text to the millisecond."""
    milliseconds = np.timedelta64(round(mjd * 86_400_000), "ms")
    return str(MJD_ZERO.astype("datetime64[ms]") + milliseconds)


def site(headers: Headers) -> dict[str, float | None]:
    """Longitude (east) and latitude of the observatory, degrees."""
    return {"SiteLon": headers.number("OBS-LONG"), "SiteLat": headers.number("OBS-LAT")}


def pointing(headers: Headers) -> dict[str, float | None]:
    """ICRS position of the boresight, and position angle of the y axis of the focal plane (north through east) if
    the rotator's angle is one on the sky."""
    on_sky = headers.text("ROTTYPE") == "SKY"
    return {
        "PointingLon": headers.number("BORE-RA"),
        "PointingLat": headers.number("BORE-DEC"),
        "PositionAngle": headers.number("BORE-ROTANG") if on_sky else None,
    }


def stated_zero_point(file: FitsFile, image: Hdu, headers: Headers) -> tuple[float | None, str]:
    """AB zero point of the pixel values as the file states it, and from what; (None, '') if it does not.

    Raises
    ------
    InputError
        What it states is not a calibration, or two statements differ by more than 1e-4 mag.
    """
    stated: dict[str, float] = {}
    if _is_njy(headers):
        stated["the unit nJy"] = NJY_ZERO_POINT
    flux = headers.number("FLUXMAG0")
    if flux is not None:
        if not flux > 0:
            raise headers.error(
                "FLUXMAG0", "must be the counts of a source of magnitude 0, a positive number"
            )
        stated["FLUXMAG0"] = 2.5 * math.log10(flux)
    scale = _photo_calib(file, headers)
    if scale is not None:
        stated["PhotoCalib in the archive"] = NJY_ZERO_POINT - 2.5 * math.log10(scale)
    if not stated:
        return None, ""
    if max(stated.values()) - min(stated.values()) > SAME_ZERO_POINT_MAG:
        told = ", ".join(f"{value:.6g} by {name}" for name, value in stated.items())
        raise InputError(f"{image.where}: zero points must agree to {SAME_ZERO_POINT_MAG} mag, found {told}")
    name, value = next(iter(stated.items()))
    return value, name


def _is_njy(headers: Headers) -> bool:
    return (headers.text("BUNIT") or "").replace(" ", "").lower() == "njy"


def _extension_type(hdu: Hdu) -> str:
    return str(hdu.header.get("EXTTYPE", "")).strip().upper()


def _mjd(headers: Headers, key: str) -> float:
    text = (headers.text(key) or "").removesuffix("Z")
    try:
        if not ISO.fullmatch(text):
            raise ValueError
        return float((np.datetime64(text, "ns") - MJD_ZERO) / DAY)
    except ValueError:
        raise headers.error(key, "must be a date YYYY-MM-DDThh:mm:ss") from None


def _photo_calib(file: FitsFile, headers: Headers) -> float | None:
    """nJy per count of the image's own PhotoCalib; a coadd's archive holds those of its inputs too."""
    key = next((key for key in ("ARCHIVE_ID_PHOTOCALIB", "PHOTOCALIB_ID") if headers.number(key)), None)
    index = next((hdu for hdu in file.hdus if _extension_type(hdu) == "ARCHIVE_INDEX"), None)
    if key is None or index is None:
        return None
    entries = read_table(file, index, ("id", "cat.archive", "row0"))
    (rows,) = np.nonzero(entries["id"] == headers.number(key))
    if len(rows) != 1:
        raise InputError(f"{index.where}: {key} must be the id of one entry, found {len(rows)}")
    number = index.index + int(entries["cat.archive"][rows[0]])
    if number >= len(file.hdus):
        raise InputError(f"{index.where}: {key} must lead to a table of the file, found HDU {number}")
    return _calibration_mean(read_table(file, number, ("calibrationMean",)), int(entries["row0"][rows[0]]))


def _calibration_mean(table: Table, row: int) -> float:
    values = table.finite("calibrationMean")
    if not 0 <= row < len(values) or not values[row] > 0:
        raise InputError(
            f"{table.where}: calibrationMean of row {row + 1} must be positive, found {values.tolist()[:8]}"
        )
    return float(values[row])
