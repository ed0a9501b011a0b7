"""The values of all maps at a position, as their files hold them.

A file of ours is mapped, verified when it is first touched, and asked by bisection of its ascending cells: a look-up
reads a few pages and keeps nothing. Files of other forms are read, and the last few of them kept.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from vmpz.errors import InputError
from vmpz.io.rows import RowsFile
from vmpz.products import Product
from vmpz.run.index import Row
from vmpz.run.store import Store
from vmpz.run.summaries import cover_of
from vmpz.run.viewing.maps import ListedMap, opened
from vmpz.sky import hpx

__all__ = ["Reading", "Values"]

KEPT = 512
"""Pieces of maps that are kept open."""

Number = float | int


@dataclass(frozen=True)
class Reading:
    """The value of a map in the cell that holds a position.

    `value` is that of the file, exactly; where the cell is not listed it is 0 of a fraction, else None. `text` has the
    digits that tell it from every other value of its type; `area` is the tile or patch that lists the cell, or ''.
    """

    map: str
    value: Number | None
    text: str
    unit: str
    order: int
    cell: int
    area: str


class Values:
    """What maps hold at positions.

    Parameters
    ----------
    store : Store
    maps : sequence of ListedMap
    """

    def __init__(self, store: Store, maps: Sequence[ListedMap]) -> None:
        self._maps = maps
        self._rows = {row["key"]: row for one in maps for row in one.rows}
        self._areas = _Areas(self._rows.values())
        self._pieces = [{row["area"]: row["key"] for row in one.rows} for one in maps]
        self._piece = lru_cache(KEPT)(lambda key: _piece_of(opened(store, self._rows[key])))

    def at(self, lon_deg: float, lat_deg: float) -> list[Reading]:
        """Values of all maps at a position (ICRS degrees), in the order of the maps.

        Raises
        ------
        InputError
            The position is none, or a file was altered.
        MissingProductError
            A product is no longer there.
        """
        if not (np.isfinite(lon_deg) and abs(lat_deg) <= 90.0):
            raise InputError(
                f"a position must be finite with a latitude in [-90, 90] degrees, found {lon_deg} {lat_deg}"
            )
        deep = int(hpx.cells_at(lon_deg, lat_deg, hpx.MAX_ORDER))
        near = self._areas.near(deep)
        return [self._reading(one, pieces, near, deep) for one, pieces in zip(self._maps, self._pieces)]

    def _reading(self, one: ListedMap, pieces: Mapping[str, str], near: Sequence[str], deep: int) -> Reading:
        order = one.key.order
        cell = deep >> (2 * (hpx.MAX_ORDER - order))
        for area in near:
            found = self._piece(pieces[area]).value(cell, one.column) if area in pieces else None
            if found is not None:
                return Reading(one.name, found.item(), str(found), one.unit, order, cell, area)
        absent = 0 if one.is_fraction else None
        return Reading(one.name, absent, "" if absent is None else "0", one.unit, order, cell, "")


class _Areas:
    """Which areas may hold a cell: those with a coarse cell of a cover above it, and those without cover."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._above: dict[tuple[int, int], list[str]] = {}
        self._anywhere: list[str] = []
        for area, cover in sorted({(row["area"], row["cover"] or "") for row in rows}):
            if not cover:
                self._anywhere.append(area)
                continue
            coarse = cover_of(cover)
            for cell in coarse.cells().tolist():
                areas = self._above.setdefault((coarse.order, cell), [])
                if area not in areas:
                    areas.append(area)
        self._orders = sorted({order for order, _ in self._above})

    def near(self, deep: int) -> list[str]:
        """Areas that may hold a cell of the deepest order."""
        found = (
            self._above.get((order, deep >> (2 * (hpx.MAX_ORDER - order))), ()) for order in self._orders
        )
        return list(dict.fromkeys([area for areas in found for area in areas] + self._anywhere))


class _Mapped:
    """Rows of a file of ours."""

    def __init__(self, file: RowsFile) -> None:
        self._records = file.rows().view(file.row_type).ravel()
        self._cells = self._records["PIXEL"]

    def value(self, cell: int, column: str) -> Any:
        place = bisect_left(self._cells, cell)
        if place == self._cells.size or self._cells[place] != cell:
            return None
        return self._records[column][place] if column in (self._records.dtype.names or ()) else None


class _Loaded:
    """A product in memory."""

    def __init__(self, product: Product) -> None:
        self._maps = product.maps

    def value(self, cell: int, column: str) -> Any:
        one = self._maps.get(column)
        place = -1 if one is None else int(one.cells.index(cell))
        return None if one is None or place < 0 else one.values[place]


def _piece_of(piece: RowsFile | Product) -> _Mapped | _Loaded:
    return _Loaded(piece) if isinstance(piece, Product) else _Mapped(piece)
