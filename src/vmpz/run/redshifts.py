"""n(z) of visibility classes: the tables of tiles, added up.

A table of a tile holds the galaxies seen by class of visibility and redshift bin, and the area of each class
(`vmpz.make.visibility`); both add. For class c with N_i galaxies in bins of width dz_i and centres z_i,

``n_i = N_i / (dz_i sum_j N_j)``, ``mean_z = sum N_i z_i / sum N_i``,
``width_z**2 = sum N_i ((z_i - mean_z)**2 + dz_i**2 / 12) / sum N_i``,

galaxies being spread evenly over their bins. All are NaN in a class of which nothing is seen.
"""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz import io
from vmpz.errors import InputError, MapMismatchError, meant
from vmpz.files.nearby import what_is_at
from vmpz.products import Product, ProductKey, Scalar
from vmpz.run.expanding import expanded
from vmpz.run.store import Entry, Store

__all__ = ["Distribution", "distribution_of", "is_cut", "redshift_tables"]

Floats = NDArray[np.float64]

KIND = "redshifts"
MUST_AGREE = ("VISCLASS", "VISREF", "VISSEL", "FILTLST", "DEPTHEST", "SNRLEVEL")
UNITS = {"area_deg2": "deg2"}


@dataclass(frozen=True)
class Distribution:
    """n(z) of the visibility classes of a class of galaxies.

    Attributes
    ----------
    name : str
        The class of galaxies.
    borders : float64 (classes - 1,)
        Between the visibility classes, in V / coverage.
    edges : float64 (bins + 1,)
        Of the redshift bins.
    galaxies : float64 (classes, bins)
        Seen, in the unit of the weights of the class times deg2.
    area_deg2 : float64 (classes,)
        Covered.
    tiles : tuple of str
    keywords : mapping
        What all tables say.
    """

    name: str
    borders: Floats
    edges: Floats
    galaxies: Floats
    area_deg2: Floats
    tiles: tuple[str, ...]
    keywords: dict[str, Scalar]

    @property
    def density(self) -> Floats:
        """n(z) of every class, per unit of redshift, of integral 1, float64 (classes, bins)."""
        return _ratio(self.galaxies / np.diff(self.edges), self.galaxies.sum(axis=1)[:, None])

    @property
    def mean_z(self) -> Floats:
        """Mean redshift, float64 (classes,)."""
        return _ratio(self.galaxies @ self._centres, self.galaxies.sum(axis=1))

    @property
    def width_z(self) -> Floats:
        """Standard deviation of redshift, float64 (classes,)."""
        away = (self._centres - self.mean_z[:, None]) ** 2 + np.diff(self.edges) ** 2 / 12
        variance = _ratio((self.galaxies * away).sum(axis=1), self.galaxies.sum(axis=1))
        return np.asarray(np.sqrt(variance))

    @property
    def _centres(self) -> Floats:
        return 0.5 * (self.edges[1:] + self.edges[:-1])

    def columns(self) -> dict[str, NDArray[Any]]:
        """One row a class and bin: the columns of a tile's table, then n(z) and what is the same in a class."""
        classes, bins = self.galaxies.shape
        return {
            "vis_class": np.repeat(np.arange(classes), bins),
            "z_low": np.tile(self.edges[:-1], classes),
            "z_high": np.tile(self.edges[1:], classes),
            "galaxies": self.galaxies.ravel(),
            "area_deg2": np.repeat(self.area_deg2, bins),
            "n_z": self.density.ravel(),
            "mean_z": np.repeat(self.mean_z, bins),
            "width_z": np.repeat(self.width_z, bins),
        }

    def classes(self) -> list[dict[str, Any]]:
        """One row a class: its borders (None where it has none), area, galaxies, mean and width; None where unknown."""
        low, high = [0.0, *self.borders.tolist()], [*self.borders.tolist(), None]
        numbers = {
            "area_deg2": self.area_deg2,
            "galaxies": self.galaxies.sum(axis=1),
            "mean_z": self.mean_z,
            "width_z": self.width_z,
        }
        return [
            {"vis_class": place, "from": low[place], "to": high[place]}
            | {name: _known(float(values[place])) for name, values in numbers.items()}
            for place in range(len(self.area_deg2))
        ]

    def write(self, path: Path) -> None:
        """Write the columns as FITS, CSV or Parquet."""
        io.write_columns(path, self.columns(), UNITS, self.keywords, name="REDSHIFTS")


def _ratio(above: Floats, below: Floats) -> Floats:
    """A ratio, NaN where nothing is seen."""
    ratio = np.full(np.shape(above), np.nan)
    np.divide(above, below, out=ratio, where=below > 0)
    return ratio


def _known(number: float) -> float | None:
    return None if math.isnan(number) else number


# -- adding up --------------------------------------------------------------------------------------------------------


def distribution_of(tables: Iterable[tuple[str, Product]]) -> Distribution:
    """Add up tables; one that is there twice counts once.

    Parameters
    ----------
    tables : iterable of (str, Product)
        Name for messages, and what `io.read` gives; in any order.

    Raises
    ------
    InputError
        There is none, or one holds no redshifts by class.
    MapMismatchError
        Two are of other bins, classes, depths or releases, or of one tile and not the same; the message names both.
    """
    by_key: dict[ProductKey, tuple[str, Product]] = {}
    for name, one in sorted(tables, key=lambda pair: (pair[1].key, pair[0])):
        _must_be_redshifts(name, one)
        other = by_key.setdefault(one.key, (name, one))
        if not one.table.equals(other[1].table):
            raise MapMismatchError(f"{other[0]} and {name}: a tile must have one table, found two")
    if not by_key:
        raise InputError("n(z) needs at least one table of redshifts, found none")
    chosen = list(by_key.values())
    first = chosen[0]
    for other in chosen[1:]:
        _must_agree(first, other)
    table = first[1].table
    classes = int(table["vis_class"].to_numpy().max()) + 1
    low, high = (table[name].to_numpy().reshape(classes, -1)[0] for name in ("z_low", "z_high"))
    words = {name: value for name, value in first[1].keywords.items() if name in (*MUST_AGREE, "BINSEL")}
    borders = [float(part) for part in str(words.get("VISCLASS", "")).split(",") if part]
    return Distribution(
        first[1].key.quantity,
        np.array(borders),
        np.append(low, high[-1]),
        _summed(chosen, "galaxies").reshape(classes, -1),
        _summed(chosen, "area_deg2").reshape(classes, -1)[:, 0],
        tuple(one.key.area for _, one in chosen),
        words,
    )


def _summed(tables: Sequence[tuple[str, Product]], column: str) -> Floats:
    """Sums by row, exact to the last bit whatever the order."""
    rows = zip(*(one.table[column].to_pylist() for _, one in tables), strict=True)
    return np.array([math.fsum(row) for row in rows])


def _must_be_redshifts(name: str, one: Product) -> None:
    if one.key.kind != KIND or one.table is None:
        raise InputError(f"{name}: must be a table of redshifts by visibility class, found {one.key.kind}")


def _must_agree(one: tuple[str, Product], other: tuple[str, Product]) -> None:
    for what, first, second in _compared(one[1], other[1]):
        if first != second:
            raise MapMismatchError(
                f"{one[0]} and {other[0]}: {what} must agree, found {first!r} and {second!r}"
            )


def _compared(one: Product, other: Product) -> list[tuple[str, Any, Any]]:
    bins = [(one.table[name].to_pylist(), other.table[name].to_pylist()) for name in ("z_low", "z_high")]
    classes = [item.table["vis_class"].to_pylist() for item in (one, other)]
    return [
        *(
            (name, getattr(one.key, name), getattr(other.key, name))
            for name in ("quantity", "order", "release")
        ),
        *((name, one.keywords.get(name, "-1"), other.keywords.get(name, "-1")) for name in MUST_AGREE),
        ("visibility classes", *classes),
        *(("redshift bins", *pair) for pair in bins),
    ]


# -- finding tables ---------------------------------------------------------------------------------------------------


def redshift_tables(
    where: Sequence[str], name: str | None = None, areas: Collection[str] | None = None
) -> list[tuple[str, Product]]:
    """Tables of redshifts of one class of galaxies.

    Parameters
    ----------
    where : sequence of str
        A store, or files (@LIST for a list of them).
    name : str, optional
        The class of galaxies; not needed where there is one.
    areas : collection of str, optional
        Tiles, or patches, which stand for their tiles; default all tiles.

    Raises
    ------
    InputError
        There is no such store, file, class or area, or several classes; or a patch is cut by a region, in which n(z)
        is not known.
    """
    if len(where) == 1 and not where[0].startswith("@") and not Path(where[0]).is_file():
        return _of_store(Store(where[0]), name, areas)
    if areas is not None:
        raise InputError("areas are those of a store: files say themselves which tiles count")
    tables = [(str(path), io.read(path)) for path in expanded(where)]
    for path, one in tables:
        _must_be_redshifts(path, one)
    chosen = _class_among({one.key.quantity for _, one in tables}, name, ", ".join(where))
    return [(path, one) for path, one in tables if one.key.quantity == chosen]


def _of_store(store: Store, name: str | None, areas: Collection[str] | None) -> list[tuple[str, Product]]:
    if not store.exists():
        raise InputError(
            f"{store.root}: must be a store or files of redshifts, found {what_is_at(store.root)}"
        )
    entries = [entry for entry in store.entries() if entry.key.kind in (KIND, "visibility")]
    tables = [entry for entry in entries if entry.key.kind == KIND]
    chosen = _class_among({entry.key.quantity for entry in tables}, name, str(store.root))
    mine = [entry for entry in entries if entry.key.quantity == chosen]
    tiles = None if areas is None else {tile for area in areas for tile in _tiles_of(area, mine)}
    return [
        (str(entry.key), replace(io.read(entry.path(".parquet")), key=entry.key))
        for entry in tables
        if entry.key.quantity == chosen and (tiles is None or entry.key.area in tiles)
    ]


def _class_among(found: Collection[str], name: str | None, where: str) -> str:
    if name in found or (name is None and len(found) == 1):
        return name or next(iter(found))
    listed = ", ".join(sorted(found)) or "none"
    if name is None:
        raise InputError(
            f"{where}: the class of galaxies must be said where there are several, found {listed}"
        )
    raise InputError(
        f"{where}: must hold redshifts of the class {name}, found those of {listed}{meant(name, found)}"
    )


def is_cut(entry: Entry) -> bool:
    """Whether a region cuts the tiles of a patch product, so that n(z) is not known in it."""
    source = entry.provenance
    return bool(source["parameters"].get("region")) or any(one.startswith("MOC:") for one in source["inputs"])


def _tiles_of(area: str, entries: Sequence[Entry]) -> set[str]:
    """A tile, or the tiles that the visibility of a patch was merged of."""
    if any(entry.key.kind == KIND and entry.key.area == area for entry in entries):
        return {area}
    for entry in entries:
        if entry.key.area == area and entry.provenance["recipe"] == "merge":
            if is_cut(entry):
                raise InputError(
                    f"{area}: n(z) is that of whole tiles, but a region cuts those of this patch: name its tiles"
                )
            return {ProductKey.parse(text).area for text in entry.provenance["inputs"]}
    known = sorted({entry.key.area for entry in entries})
    raise InputError(
        f"{area}: must be a tile or patch with this class, found {', '.join(known) or 'none'}{meant(area, known)}"
    )
