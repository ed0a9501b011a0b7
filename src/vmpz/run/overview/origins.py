"""Where products come from: recipes, versions, parameters, by recipe and in bounded memory."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from vmpz.run.instant import instant_of
from vmpz.run.store import Entry

__all__ = ["Origins"]

MANY = 8
"""Different values of a parameter, or of a version, that are told one by one."""


class Origins:
    """Provenance of products, gathered one by one."""

    def __init__(self) -> None:
        self._recipes: dict[str, _Recipe] = {}
        self.products = self.bytes = 0

    def add(self, entries: Iterable[Entry]) -> None:
        """Count products in."""
        for entry in entries:
            self.products += 1
            self.bytes += sum(int(item["size"]) for item in entry.files)
            self._recipes.setdefault(str(entry.provenance.get("recipe", "")), _Recipe()).add(entry)

    @property
    def created(self) -> datetime | None:
        """Of the newest product."""
        newest = [one.newest for one in self._recipes.values() if one.newest]
        return instant_of(max(newest)) if newest else None

    @property
    def versions(self) -> dict[str, str]:
        """Of every package all versions that were used."""
        found: dict[str, _Values] = {}
        for one in self._recipes.values():
            for name, values in one.versions.items():
                found.setdefault(name, _Values()).update(values)
        return {name: str(found[name]) for name in sorted(found)}

    def rows(self) -> tuple[Mapping[str, Any], ...]:
        """One row a recipe: see `_Recipe.row`."""
        return tuple(self._recipes[name].row(name) for name in sorted(self._recipes))


class _Values:
    """Different texts, as many as are told one by one; and whether there are more."""

    def __init__(self) -> None:
        self.texts: set[str] = set()
        self.more = False

    def add(self, text: str) -> None:
        self.texts.add(text)
        if len(self.texts) > MANY:
            self.texts.remove(max(self.texts))
            self.more = True

    def update(self, other: "_Values") -> None:
        self.more |= other.more
        for text in sorted(other.texts):
            self.add(text)

    def __str__(self) -> str:
        return ", ".join([*sorted(self.texts), *(["..."] if self.more else [])])


class _Recipe:
    """Products of one recipe."""

    def __init__(self) -> None:
        self.products = self.inputs = self.verified = 0
        self.oldest = self.newest = ""
        self.recipe_versions = _Values()
        self.versions: dict[str, _Values] = {}
        self.parameters: dict[str, _Values] = {}
        self.said: dict[str, int] = {}

    def add(self, entry: Entry) -> None:
        source = entry.provenance
        self.products += 1
        self.inputs += len(source.get("inputs", {}))
        self.verified += bool(source.get("verified"))
        created = _utc(source)
        self.oldest = min(self.oldest or created, created)
        self.newest = max(self.newest, created)
        self.recipe_versions.add(str(source.get("recipe_version", "")))
        for name, version in source.get("versions", {}).items():
            self.versions.setdefault(name, _Values()).add(str(version))
        for name, value in source.get("parameters", {}).items():
            self.parameters.setdefault(name, _Values()).add(json.dumps(value, sort_keys=True))
            self.said[name] = self.said.get(name, 0) + 1

    def row(self, name: str) -> Mapping[str, Any]:
        """Recipe, its versions, numbers of products, of their inputs and of verified ones; parameters that all share.

        `differing` names the parameters that are not the same in all, with the number of different values (as text:
        of more than a few, that there are more).
        """
        shared = {
            key: json.loads(next(iter(values.texts)))
            for key, values in sorted(self.parameters.items())
            if len(values.texts) == 1 and not values.more and self.said[key] == self.products
        }
        return {
            "recipe": name,
            "recipe_version": str(self.recipe_versions),
            "products": self.products,
            "inputs": self.inputs,
            "verified": self.verified,
            "created": [self.oldest, self.newest],
            "versions": {key: str(self.versions[key]) for key in sorted(self.versions)},
            "parameters": shared,
            "differing": {
                key: f"more than {MANY}" if values.more else str(len(values.texts))
                for key, values in sorted(self.parameters.items())
                if key not in shared
            },
        }


def _utc(source: Mapping[str, Any]) -> str:
    text = str(source.get("created", ""))
    return instant_of(text).isoformat() if text else ""
