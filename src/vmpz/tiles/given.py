"""Tilings that are given: inner areas, cells of a coarse order, outlines of images, patches."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from vmpz.errors import InputError
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.covers import unit_vectors
from vmpz.sky.regions import Polygon, cells_inside, cells_touched
from vmpz.tiles.base import Tiling, grouped

__all__ = ["Given", "Healpix", "Outlines", "Patches"]


class Given:
    """Inner areas given as sets of cells or polygons."""

    kind = "mer-tiles"

    def __init__(self, areas: Mapping[str, CellSet | Polygon]) -> None:
        self._sets = {name: area for name, area in areas.items() if isinstance(area, CellSet)}
        polygons = {name: area for name, area in areas.items() if isinstance(area, Polygon)}
        self._outlines = Outlines(polygons, cells_inside)
        _require_disjoint(self._sets)

    def owned(self, tile_id: str, order: int) -> CellSet:
        """Cells whose centre lies in the inner area; a set of cells comes before a polygon that overlaps it."""
        if tile_id in self._sets:
            return self._sets[tile_id].centred(order)
        cells = self._outlines.owned(tile_id, order)
        for area in self._sets.values():
            cells = cells - (cells & area.centred(order))
        return cells

    def sharing(self, cells: CellSet) -> Iterator[tuple[str, CellSet]]:
        """Areas that own any of these cells."""
        yield from _owning(self, self.names, cells)

    def area(self, tile_id: str) -> CellSet | Polygon:
        """An inner area as it was given."""
        return self._sets[tile_id] if tile_id in self._sets else self._outlines.area(tile_id)

    @property
    def names(self) -> list[str]:
        """Ids of all areas."""
        return sorted({*self._sets, *self._outlines.names})


class Healpix:
    """The cells of a coarse order."""

    kind = "healpix"
    names = None

    def __init__(self, order: int = 6) -> None:
        self._order = order

    @property
    def order(self) -> int:
        """Order of the tiles."""
        return self._order

    def owned(self, tile_id: str, order: int) -> CellSet:
        """All descendants of the cell."""
        if not tile_id.isdigit() or int(tile_id) >= hpx.number_of_cells(self._order):
            raise InputError(
                f"tile {tile_id}: must be a cell of order {self._order}, below {hpx.number_of_cells(self._order)}"
            )
        if order < self._order:
            raise InputError(
                f"the working order must be at least that of the tiles, {self._order}; found {order}"
            )
        return CellSet.from_cells(self._order, [int(tile_id)]).at_order(order)

    def sharing(self, cells: CellSet) -> Iterator[tuple[str, CellSet]]:
        """Tiles that own any of these cells, which must not be larger than tiles."""
        number = cells.cells()
        yield from grouped(cells.order, number, number >> 2 * (cells.order - self._order), str)


class Outlines:
    """Outlines that may overlap: a cell in several goes to the nearest centre."""

    kind = "inputs"

    def __init__(
        self, areas: Mapping[str, Polygon], cells_of: Callable[[Polygon, int], CellSet] = cells_touched
    ) -> None:
        self._areas = dict(areas)
        self._cells_of = cells_of
        self._names = {name: place for place, name in enumerate(self._areas)}
        corners = [unit_vectors(*np.asarray(area.vertices).T) for area in self._areas.values()]
        sums = np.array([one.sum(axis=0) for one in corners]).reshape(-1, 3)
        self._centres = sums / np.linalg.norm(sums, axis=1, keepdims=True)
        reach = [np.linalg.norm(one - c, axis=1).max() for one, c in zip(corners, self._centres, strict=True)]
        self._radii = 2.0 * np.arcsin(0.5 * np.array(reach))

    def owned(self, tile_id: str, order: int) -> CellSet:
        """Cells of the outline that are not nearer to the centre of another whose cells they are too."""
        if tile_id not in self._areas:
            raise InputError(f"tile {tile_id}: the tiling {self.kind} has no such area")
        cells = self._cells_of(self._areas[tile_id], order)
        for other in self._neighbours(tile_id):
            shared = (cells & self._cells_of(self._areas[other], order)).cells()
            centre = unit_vectors(*hpx.centres(shared, order))
            # Row by row, so that both sides of a near tie see the same two numbers.
            mine = (centre * self._centres[self._names[tile_id]]).sum(axis=1)
            theirs = (centre * self._centres[self._names[other]]).sum(axis=1)
            lost = (theirs > mine) | ((theirs == mine) & (other < tile_id))
            cells = cells - CellSet.from_cells(order, shared[lost])
        return cells

    def area(self, tile_id: str) -> Polygon:
        """An outline as it was given."""
        return self._areas[tile_id]

    @property
    def names(self) -> list[str]:
        """Ids of all areas."""
        return sorted(self._names)

    def sharing(self, cells: CellSet) -> Iterator[tuple[str, CellSet]]:
        """Areas that own any of these cells."""
        yield from _owning(self, self.names, cells)

    def _neighbours(self, tile_id: str) -> list[str]:
        """Other areas that may overlap, by bounding circles."""
        here = self._names[tile_id]
        apart = 2.0 * np.arcsin(
            0.5 * np.linalg.norm(self._centres - self._centres[here], axis=1).clip(max=2.0)
        )
        near = apart < self._radii + self._radii[here]
        return [name for name, place in self._names.items() if near[place] and name != tile_id]


class Patches(Given):
    """The patches of stage 2 as areas of stage 1."""

    kind = "patches"


def _owning(grid: Tiling, names: Sequence[str], cells: CellSet) -> Iterator[tuple[str, CellSet]]:
    for name in names:
        shared = _owned(grid, name, cells.order) & cells  # type: ignore[arg-type]  # tilings are hashed by identity
        if shared:
            yield name, shared


@lru_cache(1024)
def _owned(grid: Any, name: str, order: int) -> CellSet:
    """Own cells, kept since many exposures ask for those of the same areas."""
    owned: CellSet = grid.owned(name, order)
    return owned


def _require_disjoint(sets: Mapping[str, CellSet]) -> None:
    """Inner areas must not overlap."""
    if not sets:
        return
    deepest = max(one.order for one in sets.values())
    ranges = [one.at_order(deepest).ranges for one in sets.values()]
    owner = np.repeat(np.arange(len(ranges)), [len(one) for one in ranges])
    table = np.concatenate(ranges)
    by_start = np.argsort(table[:, 0], kind="stable")
    table, owner = table[by_start], owner[by_start]
    clash = np.flatnonzero(table[1:, 0] < table[:-1, 1])
    if clash.size:
        names = list(sets)
        one, two = names[owner[clash[0]]], names[owner[clash[0] + 1]]
        raise InputError(f"tiles {one} and {two}: inner areas must not overlap")
