"""Values of header cards, taken strictly: one that is missing, unreadable or not finite is an error, never a default.

Libraries repair such cards silently (a CRVAL1 of NaN becomes 0 and a footprint lands at right ascension 0); here the
file, the HDU, the keyword and what was found are named instead.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from astropy.io.fits import Header, VerifyError

from vmpz.errors import InputError

__all__ = ["Cards"]

CARD = 80


@dataclass(frozen=True)
class Cards:
    """A header with the place it stands at, read by type.

    Parameters
    ----------
    header : astropy.io.fits.Header
    where : str
        File and HDU, for messages.
    raw : bytes
        The header as stored, to show cards as they are (astropy mends them first).
    """

    header: Header
    where: str
    raw: bytes = b""

    def __contains__(self, key: str) -> bool:
        return key in self.header

    def __iter__(self) -> Iterator[str]:
        """Distinct keywords in order."""
        return iter(self._keys)

    @cached_property
    def _keys(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.header))

    @cached_property
    def _known(self) -> dict[str, Any]:
        """Values that were already taken: files of hundreds of headers are looked at card by card."""
        return {}

    def error(self, key: str, rule: str) -> InputError:
        """The error that says what keyword `key` must hold and shows its card."""
        return InputError(f"{self.where}: {key} {rule}, found {self._shown(key)}")

    def number(self, key: str) -> float:
        """A finite number; a string that spells one is taken too (some pipelines write MAGZEROP so).

        Raises
        ------
        InputError
            The card is missing, stands twice with different values, or is not a finite number.
        """
        value = self._value(key)
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                raise self.error(key, "must be a number") from None
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self.error(key, "must be a finite number")
        return float(value)

    def integer(self, key: str) -> int:
        """An integer.

        Raises
        ------
        InputError
            The card is missing, stands twice with different values, or is not an integer.
        """
        value = self._value(key)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.error(key, "must be an integer")
        return value

    def text(self, key: str) -> str:
        """A string without surrounding blanks.

        Raises
        ------
        InputError
            The card is missing, stands twice with different values, or is not a string.
        """
        value = self._value(key)
        if not isinstance(value, str):
            raise self.error(key, "must be a string")
        return value.strip()

    def optional_text(self, key: str) -> str | None:
        """A string, None where the card is missing or empty."""
        return (self.text(key) or None) if key in self.header else None

    def optional_number(self, key: str) -> float | None:
        """A finite number, None where the card is missing."""
        return self.number(key) if key in self.header else None

    def _value(self, key: str) -> Any:
        if key in self._known:
            return self._known[key]
        if key not in self.header:
            raise InputError(f"{self.where}: {key} must be present, found no such keyword")
        try:
            first = self.header[key]
            others = [self.header[key, n] for n in range(1, self.header.count(key))]
        except (VerifyError, ValueError) as error:
            raise self.error(key, "must be readable") from error
        if any(value != first for value in others):
            raise self.error(key, f"must stand once ({1 + len(others)} different cards)")
        self._known[key] = first
        return first

    def _shown(self, key: str) -> str:
        if key not in self.header:
            return "nothing"
        begins = (f"{key:8}=".encode(), f"HIERARCH {key}".encode())
        cards = (self.raw[at : at + CARD] for at in range(0, len(self.raw), CARD))
        return next((repr(card.decode("ascii").strip()) for card in cards if card.startswith(begins)), key)
