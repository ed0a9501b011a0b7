"""Values that the options of a reader give: numbers and texts as they are, or ``header:KEYWORD``.

Keywords are looked up in the header of an image, then in the primary header of its file.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from vmpz.errors import InputError, meant
from vmpz.files.cards import Cards
from vmpz.files.fits import FitsFile
from vmpz.files.hdu import Hdu
from vmpz.quantities import quantity
from vmpz.readers.common import SECONDS_PER_DAY

__all__ = ["SCALARS", "TEXTS", "literal", "middle_of_exposure", "numbers_of", "quantities_in", "texts_of"]

SCALARS = ("zero_point", "exposure_time_s", "gain", "saturate", "psf_fwhm_arcsec")
TEXTS = ("band", "instrument", "telescope", "release", "created", "date_obs", "date_end")
BESIDE = (
    "SiteLon", "SiteLat", "PointingLon", "PointingLat", "PositionAngle", "PositionX", "PositionY", "PositionZ",
)  # fmt: skip
"""Scalars of exposures that are no quantities but lead to them."""
MJD_IS = ("middle", "start")
HEADER = "header:"


def quantities_in(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Options that are named like scalars of exposures: quantities, and what leads to them."""
    return tuple(key for key in sorted(options) if key in BESIDE or _is_quantity(key))


def _is_quantity(name: str) -> bool:
    try:
        return bool(quantity(name))
    except InputError:
        return False


def numbers_of(
    file: FitsFile, hdu: Hdu, options: Mapping[str, Any], names: Iterable[str]
) -> dict[str, float]:
    """The numbers that are given.

    Raises
    ------
    InputError
        One is neither a number nor a keyword, or the keyword is missing or holds none.
    """
    values: dict[str, float] = {}
    for name in names:
        given = options.get(name)
        if given is None:
            continue
        keyword = _keyword(given)
        if keyword is not None:
            values[name] = _cards_with(keyword, file, hdu).number(keyword)
        elif isinstance(given, bool) or not isinstance(given, int | float):
            raise InputError(f"reader option {name} must be a number or 'header:KEYWORD', found {given!r}")
        else:
            values[name] = float(given)
    return values


def texts_of(file: FitsFile, hdu: Hdu, options: Mapping[str, Any]) -> dict[str, Any]:
    """The texts that are given; the others are '-' (band, instrument) or '-1'.

    Raises
    ------
    InputError
        A keyword is missing.
    """
    values = {name: "-" if name in ("band", "instrument") else "-1" for name in TEXTS}
    for name in [name for name in TEXTS if options.get(name) is not None]:
        keyword = _keyword(options[name])
        cards = hdu.cards if keyword is None else _cards_with(keyword, file, hdu)
        values[name] = str(options[name]) if keyword is None else _text(cards, keyword)
    return values


def literal(options: Mapping[str, Any]) -> tuple[str, str]:
    """Instrument and band as far as the options alone tell them."""
    texts = [str(options.get(key) or "-") for key in ("instrument", "band")]
    instrument, band = ("-" if _keyword(text) else text for text in texts)
    return instrument, band


def middle_of_exposure(scalars: dict[str, float], options: Mapping[str, Any]) -> None:
    """Bring MJD to the middle of the exposure where the option `mjd_is` says that it is the start.

    Raises
    ------
    InputError
        The option is neither 'start' nor 'middle', or the exposure time is not given.
    """
    what = options.get("mjd_is") or MJD_IS[0]
    if what not in MJD_IS:
        raise InputError(f"reader option mjd_is must be one of {', '.join(MJD_IS)}, found {what!r}")
    if what == "start" and "MJD" in scalars:
        seconds = scalars.get("exposure_time_s", scalars.get("ExposureTime"))
        if seconds is None:
            raise InputError("reader option mjd_is = start needs exposure_time_s")
        scalars["MJD"] += 0.5 * seconds / SECONDS_PER_DAY


def _keyword(given: Any) -> str | None:
    return given.removeprefix(HEADER) if isinstance(given, str) and given.startswith(HEADER) else None


def _cards_with(keyword: str, file: FitsFile, hdu: Hdu) -> Cards:
    for cards in (hdu.cards, file.hdus[0].cards):
        if keyword in cards:
            return cards
    known = {*hdu.cards, *file.hdus[0].cards}
    raise InputError(f"{hdu.where}: {keyword} must be present, found no such keyword{meant(keyword, known)}")


def _text(cards: Cards, keyword: str) -> str:
    value = cards.header.get(keyword)
    return cards.text(keyword) if value is None or isinstance(value, str) else str(value)
