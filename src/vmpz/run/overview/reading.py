"""The maps of one area, read once, for all who want to know something of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError, MissingProductError
from vmpz.products import Product, ProductKey
from vmpz.run.mapfiles import map_path, read_map
from vmpz.run.overview.listing import Area, Listed, Listing
from vmpz.run.store import Entry
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap

__all__ = ["Piece", "Reading", "Stack", "read_area"]


@dataclass(frozen=True)
class Piece:
    """What one map has in an area: its place among all maps, and the product."""

    place: int
    listed: Listed
    product: Product

    @property
    def map(self) -> SkyMap:
        """Its WEIGHT."""
        return self.product.map


@dataclass(frozen=True)
class Stack:
    """Maps of one order on the cells that any map of this order lists.

    Attributes
    ----------
    cells : CellSet
    pieces : tuple of Piece
        Those of floating point.
    values : float32 or float64 (pieces, cells)
        NaN where a map lists nothing.
    sets : tuple of bool (cells,)
        Where maps list something, each different set once.
    which : int64 (pieces,)
        The set of each piece.
    """

    cells: CellSet
    pieces: tuple[Piece, ...]
    values: NDArray[np.floating]
    sets: tuple[NDArray[np.bool_], ...]
    which: NDArray[np.int64]


@dataclass(frozen=True)
class Reading:
    """An area: what the index and the manifests say, and its maps."""

    area: Area
    entries: Mapping[ProductKey, Entry]
    pieces: tuple[Piece, ...]

    @cached_property
    def stacks(self) -> tuple[Stack, ...]:
        """Its maps by order."""
        orders = sorted({piece.map.order for piece in self.pieces if len(piece.map)})
        return tuple(
            _stacked([piece for piece in self.pieces if piece.map.order == order]) for order in orders
        )

    @cached_property
    def own_deg2(self) -> float | None:
        """Area that the tile owns (TILEAREA), None where no file says it."""
        told = (piece.product.keywords.get("TILEAREA") for piece in self.pieces)
        return next((float(one) for one in told if isinstance(one, float) and one >= 0.0), None)

    @property
    def listed_deg2(self) -> float:
        """Area of the cells that any map lists."""
        return max((stack.cells.area_deg2 for stack in self.stacks), default=0.0)


def read_area(listing: Listing, area: Area, entries: Iterable[Entry]) -> Reading:
    """Read every map of an area that is wanted, once.

    Raises
    ------
    MissingProductError
        A product of the index is no longer there.
    InputError
        A file is not whole.
    """
    by_key = {entry.key: entry for entry in entries}
    places = sorted((listing.places[key], key) for key in area.means)
    pieces = []
    for place, key in places:
        entry = by_key.get(replace(key, area=area.name))
        if entry is None:
            raise MissingProductError(
                f"{replace(key, area=area.name)} must be there as the index says, found it incomplete (vmpz check "
                "tells more)"
            )
        pieces.append(Piece(place, listing.maps[place], _read(entry)))
    return Reading(area, by_key, tuple(pieces))


def _read(entry: Entry) -> Product:
    try:
        return replace(read_map(map_path(entry)), key=entry.key)
    except InputError as error:
        error.add_note(f"product: {entry.key}")
        raise


def _stacked(pieces: list[Piece]) -> Stack:
    distinct: list[CellSet] = []
    for piece in pieces:
        if piece.map.cells not in distinct:
            distinct.append(piece.map.cells)
    cells = CellSet.union(distinct)
    index = [cells.index(one.cells()) for one in distinct]
    floats = tuple(piece for piece in pieces if piece.map.values.dtype.kind == "f" and len(piece.map))
    kind = np.result_type(np.float32, *(piece.map.values.dtype for piece in floats))
    values = np.full((len(floats), len(cells)), np.nan, kind)
    which = np.array([distinct.index(piece.map.cells) for piece in floats], np.int64)
    for row, piece in enumerate(floats):
        values[row, index[which[row]]] = piece.map.values
    return Stack(cells, floats, values, tuple(_members(len(cells), one) for one in index), which)


def _members(count: int, index: NDArray[np.int64]) -> NDArray[np.bool_]:
    inside = np.zeros(count, bool)
    inside[index] = True
    return inside
