"""Joining: sorted rows of many tiles to the rows of a patch, block after block.

The sky is cut into *blocks* of 4**9 cells; a tile's part of a block is found by bisection, the parts are merged into
one sorted list, degraded, and given out in the order of the sky. A tile is loaded when its first block comes and
dropped after its last, or when many others have been used since (the borders of large cells are long, and a loaded file
is an open one), so memory is set by a block, never by the patch. Blocks are gathered into *units*, the smallest pieces
of the sky that hold whole families of the result; a unit's digest names all it is made of, so a unit whose tiles have
not changed need not be made again. The result depends neither on the order of the products nor on where the work was
cut.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import MapMismatchError
from vmpz.kernels import rows as kernel
from vmpz.products import SUBCELL, ProductKey
from vmpz.sky.cells import CellSet
from vmpz.sky.degrading import MEANS, Families

__all__ = [
    "AVERAGED",
    "MOST_LOADED",
    "MergePlan",
    "Source",
    "Unit",
    "Words",
    "block_order",
    "cells_in",
    "merged_units",
    "native",
    "places_of",
    "rows_of",
]

Words = NDArray[np.uint32]

VERSION = 1
"""Changes whenever the same products would give other rows."""
BLOCK_LEVELS = 9
MOST_LOADED = 128
"""Largest number of tiles, and of weights, that are loaded at a time."""
AVERAGED = {*MEANS, "MODE"}
"""Rules that weigh the children by their coverage."""


@dataclass(frozen=True)
class Source:
    """A tile product whose rows can be loaded.

    Attributes
    ----------
    name : str
        Its file or key, for messages.
    key : ProductKey
    identity : str
        Changes whenever the rows do.
    places : tuple of (block, first row, end row)
        Where its rows of each block are (`places_of`).
    load : callable
        -> rows, uint32 (n, words): big-endian records sorted by cell.
    """

    name: str
    key: ProductKey
    identity: str
    places: tuple[tuple[int, int, int], ...]
    load: Callable[[], Words]


@dataclass(frozen=True)
class MergePlan:
    """How a patch is made.

    Attributes
    ----------
    order, out_order : int
        Of the tiles and of the result.
    rule : str
        Degrade rule.
    row_type, weight_type : numpy.dtype
        Records of the tiles, and of the weights.
    region : CellSet or None
        Cells of the tiles' order that count; None for all.
    """

    order: int
    out_order: int
    rule: str
    row_type: np.dtype[Any]
    weight_type: np.dtype[Any] | None = None
    region: CellSet | None = None

    @property
    def out_type(self) -> "np.dtype[Any]":
        """Records of the result: what is said of sub-cells has no place at another order."""
        fields = [(name, self.row_type[name]) for name in self.row_type.names or ()]
        kept = [one for one in fields if one[0] != SUBCELL or self.out_order == self.order]
        return np.dtype(kept)

    @property
    def unit_order(self) -> int:
        """Order of the pieces of the sky that are made one by one."""
        return min(block_order(self.order), self.out_order)


@dataclass(frozen=True)
class Unit:
    """One piece of the result: a cell of `MergePlan.unit_order`.

    `rows()` makes its rows, uint32 (n, words), valid until the next unit; `digest` names all they are made of.
    """

    number: int
    digest: str
    rows: Callable[[], Words]


def block_order(order: int) -> int:
    """Order of the blocks of a map."""
    return max(order - BLOCK_LEVELS, 0)


def places_of(rows: Words, order: int) -> tuple[tuple[int, int, int], ...]:
    """Blocks of sorted rows: number, first row, end row.

    Raises
    ------
    MapMismatchError
        A cell is not on the sphere, or rows are seen not to ascend; rows inside a block are not looked at.
    """
    shift, row = 2 * (order - block_order(order)), 0
    found: list[tuple[int, int, int]] = []
    while row < len(rows):
        cell = _cell_of(rows[row])
        block = cell >> shift
        if not 0 <= cell < 12 << 2 * order:
            raise MapMismatchError(f"PIXEL must lie in [0, {12 << 2 * order}), found {cell}")
        end = kernel.first_row(rows, (block + 1) << shift, row)
        if end == row or _cell_of(rows[end - 1]) >> shift != block or (found and block <= found[-1][0]):
            raise MapMismatchError(f"rows must be sorted by PIXEL, found {cell} out of order")
        found.append((block, row, end))
        row = end
    return tuple(found)


def _cell_of(row: Words) -> int:
    return int.from_bytes(row[:2].tobytes(), "big", signed=True)


# -- the stream -------------------------------------------------------------------------------------------------------


def merged_units(sources: Sequence[Source], weights: Sequence[Source], plan: MergePlan) -> Iterator[Unit]:
    """Units of the result in the order of the sky.

    Parameters
    ----------
    sources, weights : sequence of Source
        Tile products, and their coverages where the rule is weighted; in any order.
    plan : MergePlan

    Raises
    ------
    MapMismatchError
        While a unit is made: two products list one cell; the message names both.
    """
    shift = 2 * (block_order(plan.order) - plan.unit_order)
    tiles, shares = _Shelf(sources, shift), _Shelf(weights if plan.weight_type is not None else (), shift)
    room = _Room()
    for number in sorted(tiles.units):
        inside = None if plan.region is None else _inside(plan.region, number, plan)
        if inside is not None and not inside:
            continue
        digest = _digest(tiles.identities(number), shares.identities(number), inside, plan)

        def rows(number: int = number, inside: CellSet | None = inside) -> Words:
            return _rows_of_unit(number, tiles, shares, plan, inside, room)

        yield Unit(number, digest, rows)
        tiles.drop_unit(number)
        shares.drop_unit(number)


class _Shelf:
    """Sources by unit and block; rows are loaded when they are asked for, the least recently used are dropped first."""

    def __init__(self, sources: Sequence[Source], shift: int) -> None:
        self.sources, self.shift = sources, shift
        self.units: dict[int, dict[int, list[tuple[int, int, int]]]] = {}
        self.loaded: dict[int, Words] = {}
        for place, source in enumerate(sources):
            for block, first, end in source.places:
                self.units.setdefault(block >> shift, {}).setdefault(block, []).append((place, first, end))

    def parts(self, unit: int, block: int) -> list[tuple[int, int, int]]:
        """Sources of a block: place, first row, end row."""
        return self.units.get(unit, {}).get(block, [])

    def rows(self, place: int) -> Words:
        """All rows of a source."""
        rows = self.loaded.pop(place, None)
        rows = self.loaded[place] = self.sources[place].load() if rows is None else rows
        if len(self.loaded) > MOST_LOADED:
            del self.loaded[next(iter(self.loaded))]
        return rows

    def identities(self, unit: int) -> list[str]:
        places = {place for parts in self.units.get(unit, {}).values() for place, _, _ in parts}
        return sorted(self.sources[place].identity for place in places)

    def drop(self, block: int) -> None:
        """What has no rows beyond a block is not needed again."""
        for place in [one for one in self.loaded if self.sources[one].places[-1][0] <= block]:
            del self.loaded[place]

    def drop_unit(self, unit: int) -> None:
        self.drop(((unit + 1) << self.shift) - 1)


@dataclass
class _Room:
    """Work arrays that are kept from block to block: fresh memory costs more than the merge."""

    arrays: dict[str, Words] = field(default_factory=dict)

    def take(self, name: str, rows: int, words: int) -> Words:
        array = self.arrays.get(name)
        if array is None or array.size < rows * words:
            array = self.arrays[name] = np.empty(rows * words, np.uint32)
        return array[: rows * words].reshape(rows, words)


def _rows_of_unit(
    unit: int, tiles: _Shelf, shares: _Shelf, plan: MergePlan, inside: CellSet | None, room: _Room
) -> Words:
    made: list[Words] = []
    coarser = _Coarser(plan) if plan.out_order < plan.order else None
    for block in sorted(tiles.units[unit]):
        joined = _joined(tiles, unit, block, room, "tiles")
        if inside is not None:
            joined = joined[inside.index(cells_in(joined)) >= 0]
        if coarser is None:
            made.append(joined)  # the only block of its unit
        else:
            share = None
            if plan.weight_type is not None:
                share = _joined(shares, unit, block, room, "weights")
            made.append(coarser.add(joined, share))
        tiles.drop(block)
        shares.drop(block)
    if coarser is not None:
        made.append(coarser.finish())
    return made[0] if len(made) == 1 else np.concatenate(made)


def _joined(shelf: _Shelf, unit: int, block: int, room: _Room, name: str) -> Words:
    """Parts of one block as one sorted list."""
    parts = shelf.parts(unit, block)
    if not parts:
        return np.empty((0, 3), np.uint32)
    start = np.cumsum([0, *(end - first for _, first, end in parts)], dtype=np.int64)
    total, words = int(start[-1]), shelf.rows(parts[0][0]).shape[1]
    rows, out = room.take(f"{name} in", total, words), room.take(f"{name} out", total, words)
    for begin, (place, first, end) in zip(start.tolist(), parts):
        rows[begin : begin + end - first] = shelf.rows(place)[first:end]
    at_fault = np.zeros(3, np.int64)
    if not kernel.merge_sorted(rows, start, out, at_fault):
        one, other = (shelf.sources[parts[int(place)][0]].name for place in at_fault[:2])
        if one == other:
            raise MapMismatchError(f"{one}: rows must be sorted by PIXEL, found {at_fault[2]} out of order")
        raise MapMismatchError(f"{one} and {other}: cells must be disjoint, found {at_fault[2]} in both")
    return out


def cells_in(rows: Words) -> NDArray[np.int64]:
    """Cells of rows, int64 (n,)."""
    cells = np.empty(len(rows), np.int64)
    kernel.cells_of(rows, cells)
    return cells


class _Coarser:
    """Rows of children to rows of parents, column by column."""

    def __init__(self, plan: MergePlan) -> None:
        self.plan, self.weight_type = plan, plan.weight_type or plan.row_type
        names = list(plan.out_type.names or ())[1:]
        self.columns = {name: Families(plan.rule, plan.order - plan.out_order) for name in names}

    def add(self, rows: Words, weights: Words | None) -> Words:
        records, cells = rows.view(self.plan.row_type).ravel(), cells_in(rows)
        share = None if weights is None else self._share(cells, weights)
        return self._rows(
            {
                name: families.add(cells, native(records[name]), share)
                for name, families in self.columns.items()
            }
        )

    def finish(self) -> Words:
        return self._rows({name: families.finish() for name, families in self.columns.items()})

    def _share(self, cells: NDArray[np.int64], weights: Words) -> NDArray[np.float64]:
        """Coverage of each cell, 0 where there is none."""
        share = np.zeros(cells.size)
        if not len(weights):
            return share
        known = cells_in(weights)
        place = np.searchsorted(known, cells)
        there = place < known.size
        there[there] = known[place[there]] == cells[there]
        share[there] = native(weights.view(self.weight_type).ravel()["WEIGHT"])[place[there]]
        return share

    def _rows(self, columns: dict[str, tuple[NDArray[np.int64], NDArray[Any]]]) -> Words:
        cells = next(iter(columns.values()))[0]
        records = np.empty(cells.size, self.plan.out_type)
        records["PIXEL"] = cells
        for name, (parents, values) in columns.items():
            if not np.array_equal(parents, cells):
                raise MapMismatchError(
                    f"column {name} must be known where WEIGHT is, found a parent where one is not"
                )
            records[name] = values
        return rows_of(records)


def rows_of(records: NDArray[Any]) -> Words:
    """Big-endian records as rows, uint32 (n, words); a view."""
    return records.view(np.uint32).reshape(records.size, records.dtype.itemsize // 4)


def native(values: NDArray[Any]) -> NDArray[Any]:
    """Values in the byte order of the machine, contiguous."""
    return np.ascontiguousarray(values, values.dtype.newbyteorder("="))


def _inside(region: CellSet, unit: int, plan: MergePlan) -> CellSet | None:
    """The part of the region in a unit; None if that is all of it."""
    shift = 2 * (plan.order - plan.unit_order)
    whole = CellSet(plan.order, [(unit << shift, (unit + 1) << shift)])
    part = whole & region  # looked up in the region, whose every range would be looked at the other way round
    return None if part == whole else part


def _digest(tiles: list[str], weights: list[str], inside: CellSet | None, plan: MergePlan) -> str:
    recipe = [VERSION, plan.order, plan.out_order, plan.rule, plan.row_type.descr]
    content = [recipe, tiles, weights, None if inside is None else inside.digest]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
