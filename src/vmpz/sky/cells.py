"""`CellSet`: an immutable set of HEALPix cells at one order, held as sorted, disjoint, half-open ranges.

>>> tile = CellSet.from_cells(2, [5, 6, 7, 9])
>>> tile.ranges.tolist()
[[5, 8], [9, 10]]
>>> len(tile & CellSet.from_ranges(2, [(6, 12)]))
3

Exchange with the rest of the world goes through `mocpy`. The set algebra is a few lines on the ranges: it needs no
import of a second, and does not depend on `MOC.difference`, which mocpy 0.21 gets wrong for sets that lie apart.
"""

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vmpz.display import card, facts, picture
from vmpz.errors import MapMismatchError
from vmpz.kernels import lookup
from vmpz.sky import hpx
from vmpz.sky.thumbnail import view_of

if TYPE_CHECKING:
    from mocpy import MOC

__all__ = ["CellSet"]

SAMPLE = 4096
"""Cells that tell where a picture is to be."""


class CellSet:
    """A set of nested HEALPix cells of one order.

    Parameters
    ----------
    order : int
        HEALPix order, 0 to 29.
    ranges : array_like of int64, shape (n, 2)
        Half-open intervals of cell numbers: ascending, disjoint and not touching (canonical). Use
        `from_ranges` or `from_cells` for anything else.

    Raises
    ------
    ValueError
        The order is outside 0-29 or the ranges are not canonical.

    Examples
    --------
    >>> from vmpz import CellSet
    >>> one, two = CellSet.from_ranges(8, [(100, 200)]), CellSet.from_cells(8, [150, 300])
    >>> len(one | two), (one & two).cells(), one.at_order(7).ranges.tolist()
    (101, array([150]), [[25, 50]])
    """

    __slots__ = ("__dict__", "_order", "_ranges")

    def __init__(self, order: int, ranges: ArrayLike = ()) -> None:
        if not 0 <= order <= hpx.MAX_ORDER:
            raise ValueError(f"order must be between 0 and {hpx.MAX_ORDER}, found {order}")
        table = np.array(ranges, dtype=np.int64).reshape(-1, 2)
        bounds = table.ravel()
        if bounds.size and (
            np.any(np.diff(bounds) <= 0) or bounds[0] < 0 or bounds[-1] > hpx.number_of_cells(order)
        ):
            raise ValueError(
                f"ranges must ascend without touching inside [0, {hpx.number_of_cells(order)}) at order {order}"
            )
        table.setflags(write=False)
        self._order = order
        self._ranges = table

    # -- making -----------------------------------------------------------------------------------------

    @classmethod
    def from_ranges(cls, order: int, ranges: ArrayLike) -> Self:
        """Set of half-open ranges in any order, overlapping or not."""
        table = np.array(ranges, dtype=np.int64).reshape(-1, 2)
        table = table[table[:, 1] > table[:, 0]]
        if len(table) == 0:
            return cls(order)
        table = table[np.argsort(table[:, 0], kind="stable")]
        reach = np.maximum.accumulate(table[:, 1])
        first = np.concatenate(([True], table[1:, 0] > reach[:-1]))
        last = np.concatenate((first[1:], [True]))
        return cls(order, np.stack((table[first, 0], reach[last]), axis=1))

    @classmethod
    def from_cells(cls, order: int, cells: ArrayLike) -> Self:
        """Set of listed cells (any order, repeats allowed)."""
        number = np.asarray(cells, dtype=np.int64).ravel()
        if number.size == 0:
            return cls(order)
        gap = np.flatnonzero(number[1:] != number[:-1] + 1)
        if np.any(number[gap + 1] <= number[gap]):
            number = np.sort(number)
            number = number[np.concatenate(([True], number[1:] != number[:-1]))]
            gap = np.flatnonzero(number[1:] != number[:-1] + 1)
        start = number[np.concatenate(([0], gap + 1))]
        stop = number[np.concatenate((gap, [number.size - 1]))] + 1
        return cls(order, np.stack((start, stop), axis=1))

    @classmethod
    def from_uniq(cls, uniq: ArrayLike, order: int | None = None) -> Self:
        """Set of NUNIQ cells of mixed orders, at `order` (default the deepest among them).

        Raises
        ------
        ValueError
            A cell is deeper than `order`.
        """
        orders, cells = hpx.from_uniq(np.asarray(uniq, dtype=np.int64).ravel())
        deepest = int(orders.max(initial=0))
        order = deepest if order is None else order
        if deepest > order:
            raise ValueError(f"cells must not be deeper than order {order}, found order {deepest}")
        shift = 2 * (order - orders)
        return cls.from_ranges(order, np.stack((cells << shift, (cells + 1) << shift), axis=1))

    @classmethod
    def from_moc(cls, moc: "MOC", order: int | None = None) -> Self:
        """Set of the cells of a MOC, at its own deepest order or the one given.

        A coarser `order` keeps every cell that the MOC touches.
        """
        order = int(moc.max_order) if order is None else order
        return cls._from_depth29(order, np.asarray(moc.to_depth29_ranges))

    @classmethod
    def everything(cls, order: int) -> Self:
        """The whole sphere."""
        return cls(order, [(0, hpx.number_of_cells(order))])

    @classmethod
    def _from_depth29(cls, order: int, ranges: NDArray[np.uint64]) -> Self:
        shift = 2 * (hpx.MAX_ORDER - order)
        table = ranges.astype(np.int64).reshape(-1, 2)
        return cls.from_ranges(order, np.stack((table[:, 0] >> shift, -((-table[:, 1]) >> shift)), axis=1))

    # -- reading ----------------------------------------------------------------------------------------

    @property
    def order(self) -> int:
        """HEALPix order of the cells."""
        return self._order

    @property
    def ranges(self) -> NDArray[np.int64]:
        """Read-only int64 array (n, 2) of half-open, sorted, disjoint ranges."""
        return self._ranges

    @cached_property
    def _offsets(self) -> NDArray[np.int64]:
        """Number of cells before each range, and the total at the end."""
        lengths = self._ranges[:, 1] - self._ranges[:, 0]
        return np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)

    def __len__(self) -> int:
        return int(self._offsets[-1])

    def __bool__(self) -> bool:
        return len(self._ranges) > 0

    @property
    def area_deg2(self) -> float:
        """Solid angle in square degrees."""
        return len(self) * hpx.cell_area_deg2(self._order)

    def cells(self) -> NDArray[np.int64]:
        """All cell numbers, ascending, int64 (n,)."""
        lengths = np.diff(self._offsets)
        return np.arange(len(self), dtype=np.int64) + np.repeat(
            self._ranges[:, 0] - self._offsets[:-1], lengths
        )

    def blocks(self, size: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """All cell numbers, ascending, `size` at a time: the place of the first in `cells()`, and the numbers."""
        before = self._offsets
        for start in range(0, len(self), size):
            stop = min(start + size, len(self))
            first, last = np.searchsorted(before, (start, stop - 1), side="right") - 1
            shift = self._ranges[first : last + 1, 0] - before[first : last + 1]
            if first == last:
                yield start, np.arange(start + shift[0], stop + shift[0])
            else:
                bounds = np.clip(before[first : last + 2], start, stop)
                yield start, np.arange(start, stop) + np.repeat(shift, bounds[1:] - bounds[:-1])

    def index(self, cells: ArrayLike) -> NDArray[np.int64]:
        """Place of each cell in `cells()`, -1 where it is not a member; shape of the argument."""
        number = np.asarray(cells, dtype=np.int64)
        if not self:
            return np.full(number.shape, -1, np.int64)
        flat, place = np.ascontiguousarray(number).ravel(), np.empty(number.size, np.int64)
        lookup.places(self._ranges, self._offsets, *self._blocks, flat, place)
        return place.reshape(number.shape)

    @cached_property
    def _blocks(self) -> tuple[int, int, NDArray[np.int64]]:
        """First cell, bits of a block, and the table of blocks: about as many blocks as ranges."""
        first, last = int(self._ranges[0, 0]), int(self._ranges[-1, 1])
        shift = max((last - first).bit_length() - (4 * len(self._ranges)).bit_length(), 0)
        table = np.empty(((last - 1 - first) >> shift) + 2, np.int64)
        lookup.block_table(self._ranges, first, shift, table)
        return first, shift, table

    def contains(self, lon_deg: ArrayLike, lat_deg: ArrayLike) -> NDArray[np.bool_]:
        """Whether positions (ICRS degrees) lie in a member cell."""
        return self.index(hpx.cells_at(lon_deg, lat_deg, self._order)) >= 0

    # -- set algebra ------------------------------------------------------------------------------------

    def to_moc(self) -> "MOC":
        """The same set as a `mocpy.MOC`, in canonical form."""
        from mocpy import MOC

        shift = 2 * (hpx.MAX_ORDER - self._order)
        return MOC.from_depth29_ranges(self._order, (self._ranges << shift).astype(np.uint64))

    def __or__(self, other: "CellSet") -> "CellSet":
        self._must_match(other)
        return CellSet.from_ranges(self._order, np.concatenate((self._ranges, other.ranges)))

    def __and__(self, other: "CellSet") -> "CellSet":
        self._must_match(other)
        mine, theirs = self._ranges, other.ranges
        first = np.searchsorted(theirs[:, 1], mine[:, 0], side="right")
        count = np.maximum(np.searchsorted(theirs[:, 0], mine[:, 1], side="left") - first, 0)
        one = np.repeat(np.arange(len(mine)), count)
        two = np.arange(one.size) + np.repeat(first - np.cumsum(count) + count, count)
        start = np.maximum(mine[one, 0], theirs[two, 0])
        return CellSet(self._order, np.stack((start, np.minimum(mine[one, 1], theirs[two, 1])), axis=1))

    def __sub__(self, other: "CellSet") -> "CellSet":
        return self & ~other

    def __xor__(self, other: "CellSet") -> "CellSet":
        return (self | other) - (self & other)

    def __invert__(self) -> "CellSet":
        bounds = np.concatenate(([0], self._ranges.ravel(), [hpx.number_of_cells(self._order)])).reshape(
            -1, 2
        )
        return CellSet(self._order, bounds[bounds[:, 1] > bounds[:, 0]])

    def _must_match(self, other: "CellSet") -> None:
        if not isinstance(other, CellSet):
            raise TypeError(f"a CellSet combines with a CellSet, found {type(other).__name__}")
        if other.order != self._order:
            raise MapMismatchError(
                f"cell sets must have one order, found {self._order} and {other.order}: "
                "bring them to one with `at_order`"
            )

    def at_order(self, order: int) -> "CellSet":
        """The same area at another order; a coarser one keeps every parent that holds a member."""
        if order >= self._order:
            return CellSet(order, self._ranges << (2 * (order - self._order)))
        shift = 2 * (self._order - order)
        return CellSet.from_ranges(
            order, np.stack((self._ranges[:, 0] >> shift, -((-self._ranges[:, 1]) >> shift)), axis=1)
        )

    def centred(self, order: int) -> "CellSet":
        """Cells of another order whose centre lies in the set.

        The centre of a cell is the south corner of its northern child, which therefore holds it.
        """
        if order >= self._order:
            return self.at_order(order)
        depth = 2 * (self._order - order)
        whole = ~(~self).at_order(order)
        edge = (self.at_order(order) - whole).cells()
        centre = (edge << depth) + (3 << (depth - 2))
        return whole | CellSet.from_cells(order, edge[self.index(centre) >= 0])

    # -- identity ---------------------------------------------------------------------------------------

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content, the same in every process."""
        return hashlib.sha256(f"{self._order};".encode() + self._ranges.astype("<i8").tobytes()).hexdigest()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CellSet):
            return NotImplemented
        return self._order == other.order and np.array_equal(self._ranges, other.ranges)

    def __hash__(self) -> int:
        return hash(self.digest)

    def __dask_tokenize__(self) -> tuple[str, str]:
        return ("vmpz.CellSet", self.digest)

    def __reduce__(self) -> tuple[type, tuple[int, NDArray[np.int64]]]:
        return (CellSet, (self._order, np.asarray(self._ranges)))

    def __repr__(self) -> str:
        return f"CellSet(order={self._order}, cells={len(self)}, area={self.area_deg2:.6g} deg2)"

    def _repr_html_(self) -> str:
        """What a notebook shows: the facts and a picture."""
        return card("CellSet", facts(self.facts()), beside=self.picture())

    def facts(self) -> list[tuple[str, Any]]:
        """Order, number of cells, area, for display."""
        return [
            ("order", f"{self._order}, cells of {_size_told(self._order)}"),
            ("cells", len(self)),
            ("area", f"{self.area_deg2:.6g} deg\u00b2"),
        ]

    def picture(self, values: NDArray[Any] | None = None, unit: str = "") -> str:
        """A small picture as HTML, '' of no cells: the cells, or one value for each, sampled at the pixels."""
        if not self:
            return ""
        places = np.linspace(0, len(self) - 1, min(SAMPLE, len(self))).astype(np.int64)
        row = np.searchsorted(self._offsets, places, side="right") - 1
        lon, lat, told = view_of(self._ranges[row, 0] + places - self._offsets[row], self._order)
        place = np.full(lon.shape, -1, np.int64)
        on_sky = np.isfinite(lon)
        place[on_sky] = self.index(hpx.cells_at(lon[on_sky], lat[on_sky], self._order))
        shown = np.full(lon.shape, np.nan)
        shown[place >= 0] = 1.0 if values is None else values[place[place >= 0]]
        return picture(shown, told, unit)

    @staticmethod
    def shared(sets: Sequence["CellSet"]) -> tuple[int, int, int] | None:
        """A cell that two of the sets hold: the places of the two, and the cell; None if they are disjoint."""
        owner = np.repeat(np.arange(len(sets)), [len(one.ranges) for one in sets])
        ranges = np.concatenate([one.ranges for one in sets])
        by_start = np.argsort(ranges[:, 0], kind="stable")
        ranges, owner = ranges[by_start], owner[by_start]
        again = np.flatnonzero(ranges[1:, 0] < ranges[:-1, 1])
        if not again.size:
            return None
        k = int(again[0])
        return int(owner[k]), int(owner[k + 1]), int(ranges[k + 1, 0])

    @staticmethod
    def union(sets: Iterable["CellSet"]) -> "CellSet":
        """Union of many sets of one order (at least one)."""
        many = list(sets)
        orders = {one.order for one in many}
        if len(orders) != 1:
            raise MapMismatchError(f"cell sets must have one order, found {sorted(orders)}")
        return CellSet.from_ranges(orders.pop(), np.concatenate([one.ranges for one in many]))


def _size_told(order: int) -> str:
    """Side of a square as large as a cell, in the unit that suits it."""
    side_arcsec = 3600.0 * math.sqrt(hpx.cell_area_deg2(order))
    for unit, size in (("\u00b0", 3600.0), ("\u2032", 60.0), ("\u2033", 1.0)):
        if side_arcsec >= size:
            return f"{side_arcsec / size:.3g}{unit}"
    return f"{1000 * side_arcsec:.3g} mas"
