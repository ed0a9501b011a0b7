"""What is not there: outcomes of the account, and what the collections of patches say besides."""

from collections.abc import Iterable

from vmpz import io
from vmpz.products import ProductKey
from vmpz.run.account import Account
from vmpz.run.overview.content import Missing
from vmpz.run.overview.listing import Listing
from vmpz.run.store import Entry

__all__ = ["Absent", "in_short"]

STATES = ("FAILED", "NOINPUT")


class Absent:
    """Missing products by key, those of the account first."""

    def __init__(self, listing: Listing, account: Account) -> None:
        self._listing = listing
        self._found: dict[ProductKey, Missing] = {}
        areas = listing.wanted.areas
        for key, one in account.outcomes.items():
            if one.state in STATES and (areas is None or key.area in (*areas, "-")):
                self._add(key, one.state, one.reason)

    def add(self, entries: Iterable[Entry]) -> None:
        """Read the collections among products: what they lack, be it of their tiles.

        What a patch has not since its tiles have it not is told of these alone.
        """
        for entry in entries:
            if entry.key.kind == "collection":
                for one in io.read_collection(entry.path(".xml")).missing():
                    if one.state in STATES or one.key.area != entry.key.area:
                        self._add(one.key, one.state, one.reason)

    def finish(self) -> tuple[Missing, ...]:
        """All of them, by key."""
        return tuple(self._found[key] for key in sorted(self._found))

    def _add(self, key: ProductKey, state: str, reason: str) -> None:
        if key.kind == "frame" or self._listing.asks_for(key):
            self._found.setdefault(key, Missing(key, state, in_short(reason)))


def in_short(reason: str) -> str:
    """First and last line of a reason.

    >>> in_short("a.fits: cut\\ntile 7\\njob 3")
    'a.fits: cut ... job 3'
    """
    lines = [line.strip() for line in reason.strip().splitlines() if line.strip()]
    return " ... ".join(dict.fromkeys(lines[:1] + lines[-1:]))
