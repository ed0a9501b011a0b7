"""The account of a store: what the runs made of every product that was asked for, and why something is missing.

States: DONE, EMPTY (made, no cell has a value), KEPT (made earlier, still right), NOINPUT (an optional input is
missing), FAILED (with the reason). The account is a convenience: products and their manifests alone are the truth.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vmpz.display import card, facts, table, unfolding
from vmpz.errors import InputError
from vmpz.products import ProductKey
from vmpz.run.store import Store

__all__ = ["ACCOUNT", "Account", "Outcome", "gathered"]

ACCOUNT = "account.json"
MOST = 200
"""Rows of a table that a notebook shows."""


@dataclass(frozen=True)
class Outcome:
    """What became of one product; `reason` says why it is missing, or what it lacks."""

    key: ProductKey
    state: str
    reason: str = ""
    path: str = ""
    seconds: float = 0.0

    @property
    def line(self) -> str:
        """``STATE: product: the last line of the reason``."""
        why = self.reason.strip().splitlines()[-1:] or [""]
        return f"{self.state}: {self.key}: {why[0].removeprefix(f'{self.key}: ')}"


@dataclass
class Account:
    """Outcomes by key, and what planning had to say."""

    outcomes: dict[ProductKey, Outcome] = field(default_factory=dict)
    plan: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    incomplete: list[str] = field(default_factory=list)
    """What the patches of this run lack, a line each."""

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Record outcomes; a later one of the same key replaces the earlier."""
        self.outcomes |= {outcome.key: outcome for outcome in outcomes}

    @property
    def has_failed(self) -> bool:
        """Whether any product failed."""
        return any(outcome.state == "FAILED" for outcome in self.outcomes.values())

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "plan": self.plan,
            "notes": list(self.notes),
            "incomplete": self.incomplete,
            "counts": dict(sorted(Counter(outcome.state for outcome in self.outcomes.values()).items())),
            "products": [
                {
                    "key": key.text,
                    "state": one.state,
                    "reason": one.reason,
                    "path": one.path,
                    "seconds": one.seconds,
                }
                for key, one in sorted(self.outcomes.items())
            ],
        }

    def text(self) -> str:
        """For people: a line per kind and band, then every product that is missing."""
        if self.plan:
            lines = [
                f"{self.plan['jobs']} jobs, {self.plan['tiles']} tiles, {self.plan['products']} products",
                f"reads {self.plan['input_bytes'] / 1e9:.3g} GB, about {self.plan['seconds']:.3g} s, "
                f"memory {self.plan['memory_bytes'] / 1e9:.2g} GB",
                *(f"cannot be made: {line}" for line in self.plan["cannot_be_made"]),
            ]
            return "\n".join([*lines, *(f"note: {note}" for note in gathered(self.notes))])
        rows = Counter(
            (one.key.band, one.key.kind, _what(one.key), one.state) for one in self.outcomes.values()
        )
        width = max((len(f"{kind} {what}") for _, kind, what, _ in rows), default=0)
        lines = [
            f"{band:<9} {kind + ' ' + what:<{width}} {state:<8} {count:>6}"
            for (band, kind, what, state), count in sorted(rows.items())
        ]
        lines += [one.line for _, one in sorted(self.outcomes.items()) if one.reason]
        lines += (
            [f"patches are incomplete: {len(self.incomplete)} products missing"] if self.incomplete else []
        )
        lines += [f"note: {note}" for note in gathered(self.notes)]
        if self.outcomes:
            lines += [f"{len(self.outcomes)} products: {self._totals()}"]
        return "\n".join(lines) or "nothing was asked for"

    def _totals(self) -> str:
        """Products by state: ``DONE 95, NOINPUT 3``."""
        counts = Counter(one.state for one in self.outcomes.values())
        return ", ".join(f"{state} {count}" for state, count in sorted(counts.items()))

    def __repr__(self) -> str:
        return f"Account({self._totals() or ('a plan' if self.plan else 'nothing')})"

    def _repr_html_(self) -> str:
        """What a notebook shows: products by kind, band and state, then what is missing and why."""
        if self.plan:
            return card("Plan of a run", facts((name, _told(value)) for name, value in self.plan.items()))
        counts = Counter(
            (one.key.kind, _what(one.key), one.key.band, one.state) for one in self.outcomes.values()
        )
        rows = [(*place, count) for place, count in sorted(counts.items())]
        missing = [
            (str(one.key), one.state, one.reason) for _, one in sorted(self.outcomes.items()) if one.reason
        ]
        return card(
            f"Account: {len(self.outcomes)} products",
            table(
                ("kind", "what", "band", "state", "products"),
                rows,
                [place for place, row in enumerate(rows) if row[3] == "FAILED"],
            ),
            unfolding(
                "missing, and why",
                table(("product", "state", "reason"), missing[:MOST]),
                f"{len(missing)}",
                shown=self.has_failed,
            ),
            unfolding(
                "patches lack",
                facts(("", line) for line in self.incomplete[:MOST]),
                f"{len(self.incomplete)}",
            )
            if self.incomplete
            else "",
            unfolding("notes", facts(("", line) for line in gathered(self.notes)), f"{len(self.notes)}")
            if self.notes
            else "",
        )

    def write(self, store: str | Path, covers: Callable[[ProductKey], bool] = lambda key: False) -> None:
        """Keep the account in the store, over what an earlier one says of the same keys.

        Earlier outcomes of keys that this account `covers` and does not name are forgotten: the run they are of
        would make them no more, or has mended them.
        """
        try:
            earlier = Account.read(store).outcomes
        except InputError:
            earlier = {}
        kept = {key: one for key, one in earlier.items() if not covers(key)}
        whole = Account(kept | self.outcomes, notes=self.notes)
        Store(store).write_text(ACCOUNT, json.dumps(whole.as_dict(), indent=1) + "\n")

    @classmethod
    def read(cls, store: str | Path) -> "Account":
        """The account of a store; empty if it has none.

        Raises
        ------
        InputError
            The file is not an account.
        """
        text = Store(store).read_text(ACCOUNT)
        if text is None:
            return cls()
        try:
            content = json.loads(text)
            account = cls(notes=tuple(content["notes"]))
            account.add(
                Outcome(
                    ProductKey.parse(row["key"]), row["state"], row["reason"], row["path"], row["seconds"]
                )
                for row in content["products"]
            )
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{store}/{ACCOUNT}: must be the account of a store, found {error!r}") from error
        return account


def _told(value: Any) -> Any:
    return "; ".join(map(str, value)) if isinstance(value, list) else value


def _what(key: ProductKey) -> str:
    return " ".join(part for part in (key.quantity, key.statistic, key.selection) if part != "-")


def gathered(notes: Iterable[str]) -> list[str]:
    """Notes ``<area> <band>: <text>``, each text once with the number of frames it is about."""
    counts = Counter(note.partition(": ")[2] or note for note in notes)
    return [f"{text}{f' ({count} frames)' if count > 1 else ''}" for text, count in counts.items()]
