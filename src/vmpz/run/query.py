"""Asking a store: the values of all maps at positions, and what lies in a region.

A map is called as in expressions (`vmpz.run.named.name_of`): ``depth_VIS``, ``coverage_NIR_H``, ``Noise_RMSQ_VIS``;
further columns of a product follow its name (``bitmask_VIS_BIT03``). Where two maps of a store would have one name, the
fields of their keys in which they differ are added (selection, instrument, order, release).

A position has the value of the cell it lies in, in the tile that owns the cell; patches are asked only by their name,
since they repeat what tiles hold. Where a map has nothing it is NaN, or 0 for the fractions (coverage, bit masks), in
which absent means 0. Positions are sorted by cell once; the index tells which of them a file may concern (its cover),
so every file is read at most once, one is in memory at a time, and files without any position are not read at all.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vmpz import io
from vmpz.errors import InputError, MissingProductError
from vmpz.files.nearby import what_is_at
from vmpz.io.catalogue import Added, open_catalogue
from vmpz.make.scene import Layer
from vmpz.products import SUBCELL, Product, ProductKey
from vmpz.run.index import Index, Row
from vmpz.run.mapfiles import map_path, read_map
from vmpz.run.named import KINDS, name_of
from vmpz.run.store import Store
from vmpz.run.summaries import cover_of
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet

__all__ = ["StoredMap", "Wanted", "add_values", "map_names", "region_of_store", "stored_maps", "values_at"]


@dataclass(frozen=True)
class Wanted:
    """Which maps are asked: kinds, bands, areas (tiles or patches); None means all kinds, all bands, all tiles."""

    kinds: Collection[str] | None = None
    bands: Collection[str] | None = None
    areas: Collection[str] | None = None


@dataclass(frozen=True)
class StoredMap:
    """One map of a store, in pieces: its name, and rows of the index, one an area."""

    name: str
    rows: tuple[Row, ...]


def stored_maps(store: Store, wanted: Wanted | None = None) -> list[StoredMap]:
    """The maps of a store in the order of their names.

    Raises
    ------
    InputError
        There is no such store, or no map that is asked for.
    """
    asked = wanted or Wanted()
    with Index(store) as index:
        index.must_know(kinds=asked.kinds, bands=asked.bands, areas=asked.areas)
        level = "tile" if asked.areas is None else None
        rows = list(index.rows(kinds=asked.kinds, bands=asked.bands, areas=asked.areas, level=level))
    groups: dict[ProductKey, list[Row]] = {}
    for row in rows:
        if row["kind"] in KINDS:
            groups.setdefault(_group(row), []).append(row)
    if not groups:
        raise InputError(
            f"{store.root}: must hold maps of the kinds and bands asked for, found none"
            + (" of tiles; a patch is asked by its name" if asked.areas is None else " of these areas")
        )
    names = map_names(groups)
    return sorted(
        (StoredMap(names[key], tuple(rows)) for key, rows in groups.items()), key=lambda one: one.name
    )


def _group(row: Row) -> ProductKey:
    fields = ("kind", "quantity", "statistic", "selection", "instrument", "band", "order", "release")
    return ProductKey("-", **{name: row[name] for name in fields})


def map_names(keys: Iterable[ProductKey]) -> dict[ProductKey, str]:
    """Names of maps, whose keys have no area; keys that share one are told apart by the fields in which they differ."""
    alike: dict[str, list[ProductKey]] = {}
    for key in keys:
        alike.setdefault(name_of(key), []).append(key)
    names = {}
    for name, group in alike.items():
        differing = [
            field
            for field in ("selection", "instrument", "order", "release")
            if len({getattr(key, field) for key in group}) > 1
        ]
        for key in group:
            names[key] = "_".join([name, *(_word(getattr(key, field)) for field in differing)])
    return names


def _word(value: object) -> str:
    """A field as part of a name."""
    return "".join(letter if letter.isalnum() else "_" for letter in str(value))


# -- at positions -----------------------------------------------------------------------------------------------------


def values_at(
    store: Store, lon_deg: ArrayLike, lat_deg: ArrayLike, wanted: Wanted | None = None
) -> dict[str, Added]:
    """Values of all maps at positions.

    Parameters
    ----------
    store : Store
    lon_deg, lat_deg : array_like (n,)
        ICRS degrees; NaN is nowhere.
    wanted : Wanted, optional

    Returns
    -------
    dict of str to Added
        By name: values (n,) in the type of the map (float64 for integers), unit, and what the map is.

    Raises
    ------
    InputError
        There is no such store or no such map, or a latitude lies outside [-90, 90].
    MissingProductError
        A product of the index is no longer there.
    """
    places = _Places(lon_deg, lat_deg)
    found: dict[str, Added] = {}
    for one in stored_maps(store, wanted):
        found |= _values_of(one, store, places)
    return found


class _Places:
    """Positions, sorted by cell."""

    def __init__(self, lon_deg: ArrayLike, lat_deg: ArrayLike) -> None:
        lon, lat = np.asarray(lon_deg, np.float64).ravel(), np.asarray(lat_deg, np.float64).ravel()
        known = np.flatnonzero(np.isfinite(lon) & np.isfinite(lat))
        wrong = known[np.abs(lat[known]) > 90.0]
        if wrong.size:
            raise InputError(
                f"row {wrong[0] + 1}: a latitude must lie in [-90, 90] degrees, found {lat[wrong[0]]}"
            )
        deep = hpx.cells_at(lon[known], lat[known], hpx.MAX_ORDER)
        by_cell = np.argsort(deep, kind="stable")
        self.count = lon.size
        self.rows = known[by_cell]
        self.deep = deep[by_cell]

    def near(self, cover: str | None) -> NDArray[np.int64]:
        """Which positions may lie in a product, as places in `rows`; all where nothing is known of it."""
        if cover is None:
            return np.arange(self.rows.size)
        bounds = np.searchsorted(self.deep, cover_of(cover).at_order(hpx.MAX_ORDER).ranges)
        spans = [np.arange(start, stop) for start, stop in bounds.tolist() if stop > start]
        return np.concatenate(spans) if spans else np.empty(0, np.int64)

    def cells(self, places: NDArray[np.int64], order: int) -> NDArray[np.int64]:
        """Cells of some positions at an order: nested numbers of a coarser order are shorter ones."""
        return self.deep[places] >> (2 * (hpx.MAX_ORDER - order))


def _values_of(one: StoredMap, store: Store, places: _Places) -> dict[str, Added]:
    """Values of one map, column by column; a piece without positions is read only to know the columns."""
    pieces = [(row, places.near(row["cover"])) for row in one.rows]
    found: dict[str, Added] = {}
    for row, near in [(row, near) for row, near in pieces if near.size] or pieces[:1]:
        product = _read(store, row)
        for column, piece in product.maps.items():
            if column == SUBCELL:  # bits, of no use as a number
                continue
            name = one.name if column == "WEIGHT" else f"{one.name}_{column}"
            if name not in found:
                found[name] = _nothing(product, column, places.count)
            place = piece.cells.index(places.cells(near, piece.order))
            inside = place >= 0
            found[name].values[places.rows[near[inside]]] = piece.values[place[inside]]
    return found


def _nothing(product: Product, column: str, count: int) -> Added:
    """The column of a map that has nothing anywhere."""
    kind = product.maps[column].values.dtype
    dtype = kind if kind.kind == "f" else np.dtype(np.float64)
    absent = 0.0 if Layer(product, column).is_fraction else np.nan
    unit = product.unit if column == "WEIGHT" else ""
    return Added(np.full(count, absent, dtype), unit, _told(product.key))


def _told(key: ProductKey) -> str:
    parts = (key.kind, key.quantity, key.statistic, key.selection, key.instrument, key.band)
    return " ".join(
        [*(part for part in parts if part != "-"), f"order {key.order}", f"release {key.release}"]
    )


def _read(store: Store, row: Row) -> Product:
    """The product of a row, as its manifest says now."""
    key = ProductKey.parse(row["key"])
    entry = store.entry(key)
    if entry is None:
        raise MissingProductError(
            f"{store.root}: {key} must be there as the index says, found it incomplete (vmpz check tells more)"
        )
    try:
        return replace(read_map(map_path(entry)), key=key)
    except InputError as error:
        error.add_note(f"product: {key}")
        raise


def add_values(
    store: Store,
    catalogue: Path,
    out: Path,
    wanted: Wanted | None = None,
    columns: Sequence[str] | None = None,
) -> list[str]:
    """Write a catalogue again with the values of all maps as further columns; returns their names.

    Parameters
    ----------
    store : Store
    catalogue, out : Path
        FITS or Parquet, both of one kind.
    wanted : Wanted, optional
    columns : two str, optional
        Right ascension and declination (degrees); default the first pair of usual names.

    Raises
    ------
    InputError
        The catalogue cannot be read, has no such columns, or has one of the new names already.
    """
    table = open_catalogue(catalogue)
    lon, lat = table.positions(columns)
    try:
        added = values_at(store, lon, lat, wanted)
    except InputError as error:
        error.add_note(f"catalogue: {catalogue}")
        raise
    table.write(out, added)
    return list(added)


# -- in a region ------------------------------------------------------------------------------------------------------


def region_of_store(store: Store, moc: Path, wanted: Wanted | None = None) -> dict[str, Any]:
    """What lies in a region: products with the area they share with it, and the values of each map inside.

    Parameters
    ----------
    store : Store
    moc : Path
        A MOC, or any product; its cells are the region.
    wanted : Wanted, optional

    Returns
    -------
    dict
        ``region_deg2``; ``products``, with ``overlap_deg2``; ``maps``: of each name the area inside that has a value
        (``area_deg2``), the area-weighted ``mean``, ``minimum``, ``maximum`` there, and ``integral_deg2`` (value x
        area) of fractions. A cell that the edge of the region cuts counts by the part inside.
    """
    region = _Region(_cells_of(moc))
    products: list[dict[str, Any]] = []
    maps: list[dict[str, Any]] = []
    for one in stored_maps(store, wanted):
        tally = _Tally()
        for row in one.rows:
            if not region.may_touch(row["cover"]):
                continue
            overlap = tally.add(_read(store, row), region)
            if overlap > 0:
                told = {name: row[name] for name in ("key", "area", "file")}
                products.append({"map": one.name, **told, "overlap_deg2": overlap})
        maps += [{"map": one.name, **tally.numbers()}] if tally.cells else []
    return {"region_deg2": region.cells.area_deg2, "products": products, "maps": maps}


def _cells_of(path: Path) -> CellSet:
    if not path.exists():
        raise InputError(f"{path}: must be a MOC, found {what_is_at(path)}")
    return io.read(path).map.cells


class _Region:
    """A set of cells that tells how much of other cells it holds."""

    def __init__(self, cells: CellSet) -> None:
        self.cells = cells
        lengths = cells.ranges[:, 1] - cells.ranges[:, 0]
        self._before = np.concatenate(([0], np.cumsum(lengths)))

    def may_touch(self, cover: str | None) -> bool:
        """Whether a product with this cover may share an area with the region."""
        if cover is None:
            return True
        cells = cover_of(cover)
        order = max(cells.order, self.cells.order)
        return bool(cells.at_order(order) & self.cells.at_order(order))

    def share(self, cells: CellSet) -> NDArray[np.float64]:
        """Share of each cell, in ascending order, that lies in the region."""
        if cells.order >= self.cells.order:
            inside = cells & self.cells.at_order(cells.order)
            share = np.zeros(len(cells))
            share[cells.index(inside.cells())] = 1.0
            return share
        shift = 2 * (self.cells.order - cells.order)
        number = cells.cells()
        return (self._below((number + 1) << shift) - self._below(number << shift)) / float(1 << shift)

    def _below(self, bounds: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many cells of the region lie below a number."""
        ranges = self.cells.ranges
        row = np.searchsorted(ranges[:, 0], bounds, side="right") - 1
        safe = np.maximum(row, 0)
        partial = np.minimum(bounds, ranges[safe, 1]) - ranges[safe, 0]
        return np.where(row < 0, 0, self._before[safe] + partial)


class _Tally:
    """Values inside a region, summed piece by piece, each cell by the share that is inside."""

    def __init__(self) -> None:
        self.cells = self.total = 0.0
        self.minimum, self.maximum = np.inf, -np.inf
        self.unit, self.order, self.is_fraction = "", 0, False

    def add(self, product: Product, region: _Region) -> float:
        """Count a piece of the map in; the area (deg2) that it shares with the region."""
        share = region.share(product.map.cells)
        inside = share > 0
        values, share = product.map.values[inside].astype(np.float64), share[inside]
        self.cells += float(share.sum())
        self.total += float((values * share).sum())
        self.minimum = min(self.minimum, float(values.min(initial=np.inf)))
        self.maximum = max(self.maximum, float(values.max(initial=-np.inf)))
        self.unit, self.order, self.is_fraction = product.unit, product.map.order, Layer(product).is_fraction
        return float(share.sum()) * hpx.cell_area_deg2(self.order)

    def numbers(self) -> dict[str, Any]:
        """Area, mean, minimum, maximum, unit; the integral of a fraction."""
        area = hpx.cell_area_deg2(self.order)
        told = {
            "area_deg2": self.cells * area,
            "mean": self.total / self.cells,
            "minimum": self.minimum,
            "maximum": self.maximum,
            "unit": self.unit,
        }
        return told | ({"integral_deg2": self.total * area} if self.is_fraction else {})
