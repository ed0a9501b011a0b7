"""Maps of different orders on one set of cells, cut into pieces on which every map is constant.

Values are intensive, so a cell of a coarse map gives its value to all cells of the finest inside it, and a set (a plain
MOC, a footprint of ones) has one value along a whole range of cells. A piece is the longest range on which nothing
changes: its number grows with the listed cells and the borders of sets, never with the sky or the order of a set.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import MapMismatchError
from vmpz.make.expressions import TRUE, Expression, Operand, truth_of
from vmpz.make.joining import AVERAGED
from vmpz.products import Product
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap

__all__ = ["Layer", "Pieces", "Scene", "scene_of"]

BLOCK = 1 << 19
"""Cells of maps that are looked at together."""
FRACTIONS = frozenset({"OBSFRAC", "FLAGFRAC", "PROBAB"})
"""WGTKIND of maps in which an absent cell counts as 0."""

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Layer:
    """A map that an expression names.

    Attributes
    ----------
    product : Product
        Its keywords say what the values are (WGTKIND) and how they are degraded (DEGRULE).
    column : str
        WEIGHT, or BITnn of a bit mask.
    weight : SkyMap, optional
        Coverage of the same order, for averaging rules; without it every listed cell weighs 1.
    """

    product: Product
    column: str = "WEIGHT"
    weight: SkyMap | None = None

    @property
    def map(self) -> SkyMap:
        """Its map."""
        return self.product.maps[self.column]

    @property
    def is_fraction(self) -> bool:
        """Whether an absent cell counts as 0."""
        return self.product.keywords.get("WGTKIND") in FRACTIONS

    def at_order(self, order: int) -> SkyMap:
        """The map, degraded by its own rule if it is finer than `order`.

        Raises
        ------
        MapMismatchError
            It is finer and cannot be degraded.
        """
        if order >= self.map.order:
            return self.map
        rule = str(self.product.keywords.get("DEGRULE", "NONE"))
        try:
            coarse = self.map.degrade(order, rule, self.weight if rule in AVERAGED else None)
        except MapMismatchError as error:
            error.add_note(f"map: {self.product.key}, order {self.map.order}, wanted at order {order}")
            raise
        return SkyMap(coarse.cells, coarse.values.astype(self.map.values.dtype))


@dataclass(frozen=True)
class Pieces:
    """Ranges of cells on which every map is constant: first cells, numbers of cells, and the maps' values."""

    start: IntArray
    length: IntArray
    maps: Mapping[str, Operand]


@dataclass(frozen=True)
class Scene:
    """Maps on one set of cells.

    Attributes
    ----------
    order : int
        Of the cells; no map is finer.
    within : CellSet
    maps : mapping of str to SkyMap or CellSet
        A `CellSet` is a fraction that is 1 inside.
    fractions : frozenset of str
        Maps in which an absent cell is 0; in others it is unknown.
    """

    order: int
    within: CellSet
    maps: Mapping[str, SkyMap | CellSet]
    fractions: frozenset[str]

    def pieces(self) -> Iterator[Pieces]:
        """All pieces in the order of the sky, in blocks."""
        base, listed = self._listed()
        shift = 2 * (self.order - base)
        sets = [one.at_order(self.order) for one in self.maps.values() if isinstance(one, CellSet)]
        borders = [one.ranges.ravel() for one in (self.within, listed.at_order(self.order), *sets)]
        low = 0
        blocks = (cells for _, cells in listed.blocks(BLOCK))
        for cells in itertools.chain(blocks, [np.empty(0, np.int64)]):
            high = (int(cells[-1]) + 1) << shift if cells.size else hpx.number_of_cells(self.order)
            inner = [one[slice(*np.searchsorted(one, (low, high)))] for one in borders]
            start = _ascending(np.concatenate([[low], cells << shift, *inner]))
            length = np.diff(start, append=high)
            inside = (self.within.index(start) >= 0) & (length > 0)
            if inside.any():
                yield self._pieces(start[inside], length[inside])
            low = high

    def _listed(self) -> tuple[int, CellSet]:
        """The finest order of maps that are no sets, and the cells that these list there."""
        maps = [one for one in self.maps.values() if isinstance(one, SkyMap)]
        base = max((one.order for one in maps), default=0)
        cells = CellSet.union([CellSet(base), *(one.cells.at_order(base) for one in maps)])
        return base, cells & self.within.at_order(base)

    def _pieces(self, start: IntArray, length: IntArray) -> Pieces:
        maps = {}
        for name, one in self.maps.items():
            cells = start >> 2 * (self.order - one.order)
            if isinstance(one, CellSet):
                values = (one.index(cells) >= 0).astype(np.float32)
            else:
                values = one.of_cells(cells, 0.0 if name in self.fractions else np.nan)
            maps[name] = Operand(values, name in self.fractions)
        return Pieces(start, length, maps)


def _ascending(numbers: IntArray) -> IntArray:
    """Each number once, sorted; `np.unique` hashes integers, which takes ten times as long."""
    ordered = np.sort(numbers)
    is_new = np.concatenate(([True], ordered[1:] != ordered[:-1]))
    return ordered[is_new]


def scene_of(
    expression: Expression,
    layers: Mapping[str, Layer],
    order: int | None = None,
    within: CellSet | None = None,
) -> Scene:
    """Bring maps to one order and one set of cells.

    Parameters
    ----------
    expression : Expression
        What will be asked of them.
    layers : mapping of str to Layer
        At least one; those that the expression does not name (a weight) are looked up only.
    order : int, optional
        Default that of the finest map.
    within : CellSet, optional
        Default all cells that any map lists; for a set expression that holds where there is nothing, the whole sky.

    Raises
    ------
    MapMismatchError
        A map is finer than the order and cannot be degraded.
    """
    order = max(one.map.order for one in layers.values()) if order is None else order
    fractions = frozenset(name for name, one in layers.items() if one.is_fraction)
    coarse = {name: one.at_order(order) for name, one in layers.items()}
    maps = {name: _as_set(one) if name in fractions else one for name, one in coarse.items()}
    if within is None and _holds_of_nothing(expression, fractions):
        within = CellSet.everything(order)
    if within is None:
        within = CellSet.union([one.cells.at_order(order) for one in coarse.values()])
    return Scene(order, within.at_order(order), maps, fractions)


def _as_set(one: SkyMap) -> SkyMap | CellSet:
    """A fraction that is 1 in all its cells as their set."""
    return one.cells if (one.values == 1).all() else one


def _holds_of_nothing(expression: Expression, fractions: frozenset[str]) -> bool:
    """Whether a set expression is true of a cell that no map has."""
    if not expression.is_set_algebra or not expression.is_logical(fractions):
        return False
    nothing = {
        name: Operand(np.array([0.0 if name in fractions else np.nan]), name in fractions)
        for name in expression.names
    }
    return bool(truth_of(expression.root, nothing)[0] == TRUE)
