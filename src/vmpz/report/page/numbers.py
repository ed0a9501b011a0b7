"""Numbers as people read them."""

import math

__all__ = ["area", "count", "decimals_of", "number", "percent", "with_unit"]

THIN = "\N{NARROW NO-BREAK SPACE}"
UNITS = {
    "deg2": "deg²", "deg-2": "deg⁻²", "mag": "mag", "MJy sr-1": "MJy sr⁻¹", "arcsec": "arcsec", "s": "s", "d": "d",
}  # fmt: skip


def count(value: int) -> str:
    """A whole number, thousands apart.

    >>> count(1234567).replace(THIN, " ")
    '1 234 567'
    """
    return f"{value:,}".replace(",", THIN)


def number(value: float | None, digits: int = 4) -> str:
    """A number with so many significant digits; a dash where it is not known.

    >>> number(25.61808), number(25), number(0.0), number(None), number(123456.7), number(2.5e-7)
    ('25.62', '25.00', '0', '–', '123457', '2.500e-07')
    """
    if value is None or not math.isfinite(value):
        return "–"
    if not value:
        return "0"
    if abs(value) >= 10 ** (digits - 1) and abs(value) < 1e7:
        return f"{value:.0f}"
    return f"{value:#.{digits}g}"


def with_unit(value: float | None, unit: str, digits: int = 4) -> str:
    """A number and its unit."""
    text = number(value, digits)
    return f"{text} {UNITS.get(unit, unit)}" if unit and text != "–" else text


def area(value_deg2: float | None) -> str:
    """An area in square degrees."""
    return with_unit(value_deg2, "deg2")


def percent(share: float) -> str:
    """A share in percent.

    >>> percent(0.12345)
    '12.3 %'
    """
    return f"{number(100 * share, 3)} %"


def decimals_of(largest: float, digits: int = 5) -> int:
    """Decimals with which numbers up to this one show so many significant digits, at most 7.

    >>> decimals_of(25.6), decimals_of(0.24), decimals_of(4e6)
    (3, 5, 0)
    """
    if not math.isfinite(largest) or largest <= 0:
        return 0
    return min(7, max(0, digits - 1 - max(-3, math.floor(math.log10(largest)))))
