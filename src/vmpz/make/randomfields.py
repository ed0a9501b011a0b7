"""The visibility of which a random catalogue is drawn: fields of shards of the sky, and exact sums over them.

The sky is cut into *shards*, cells that hold 4**9 cells of the order in which points are drawn. A `Field` is what is
known of one; `Totals` is what must be known of all before any is drawn, and adds up over any partition.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vmpz.errors import InputError, MapMismatchError
from vmpz.kernels import thinning
from vmpz.make.joining import block_order

__all__ = [
    "LARGEST",
    "ONE",
    "Field",
    "Listed",
    "Totals",
    "fixed_point",
    "listed",
    "shard_order",
    "shards_in",
    "split_field",
    "totals_of",
]

IntArray = NDArray[np.int64]
Words = NDArray[np.uint64]

ONE = 1 << 32
"""Visibility 1 in fixed point."""
LARGEST = 1024.0
"""Largest visibility: sums over a shard fit a word of 64 bits with room to spare."""

shard_order = block_order
"""Order of the shards of cells of an order: 4**9 cells, or a base cell."""


@dataclass(frozen=True, eq=False)
class Field:
    """Visibility on the cells of one shard, or a part of it; n of them.

    Attributes
    ----------
    order : int
        At which points are drawn (HPXORDER).
    cells : int64 (n,)
        Ascending. Those whose visibility is 0 take no part.
    visibility : float32 (n,)
        Observed fraction included.
    words : uint64 (n,) or None
        Observed sub-cells of each, bit k for nested sub-cell ``64 cell + k``; 0 and all ones are the whole cell.
    """

    order: int
    cells: IntArray
    visibility: NDArray[np.float32]
    words: Words | None = None


@dataclass(frozen=True)
class Totals:
    """What a draw must know of the whole map; pieces add (`summed` for many).

    Attributes
    ----------
    integrals : mapping of shard to int
        Sum of the visibility in units of 2**-32: exact.
    listed : mapping of shard to int
        Number of cells with a visibility above 0 in that unit.
    largest : float
        Largest visibility.
    """

    integrals: Mapping[int, int] = field(default_factory=dict)
    listed: Mapping[int, int] = field(default_factory=dict)
    largest: float = 0.0

    def __add__(self, other: "Totals") -> "Totals":
        return Totals.summed((self, other))

    @staticmethod
    def summed(pieces: Iterable["Totals"]) -> "Totals":
        """Sum of any pieces in any order; the shards of the sum ascend."""
        integrals: dict[int, int] = {}
        listed: dict[int, int] = {}
        largest = 0.0
        for piece in pieces:
            for total, part in ((integrals, piece.integrals), (listed, piece.listed)):
                for shard, number in part.items():
                    total[shard] = total.get(shard, 0) + number
            largest = max(largest, piece.largest)
        return Totals(dict(sorted(integrals.items())), dict(sorted(listed.items())), largest)

    @property
    def integral(self) -> int:
        """Sum of the visibility of the whole map in units of 2**-32."""
        return sum(self.integrals.values())

    @property
    def cells(self) -> int:
        """Number of cells with a visibility above 0."""
        return sum(self.listed.values())


def fixed_point(values: ArrayLike) -> Words:
    """Visibility in units of 2**-32, rounded to the nearest (half to even); uint64, shape of `values`.

    The product with a power of two is exact, and so are sums of the result: in any order, over any partition.

    Raises
    ------
    InputError
        A value is not a number, negative, or above `LARGEST`.
    """
    return _fixed_point(np.asarray(values, np.float32))[0]


def _fixed_point(values: NDArray[np.float32]) -> tuple[Words, int]:
    """The same, and how many are above 0."""
    fixed = np.empty(values.shape, np.uint64)
    above = thinning.to_fixed(np.ascontiguousarray(values).ravel(), float(ONE), LARGEST, fixed.ravel())
    if above < 0:
        wrong = values[~((values >= 0.0) & (values <= LARGEST))].flat[0]
        raise InputError(f"visibility must lie in [0, {LARGEST:g}], found {wrong:g}")
    return fixed, int(above)


@dataclass(frozen=True, eq=False)
class Listed:
    """The cells of a field that take part, n of them: their places in the field, numbers and fixed-point visibility."""

    place: IntArray
    cells: IntArray
    fixed: Words

    def __getitem__(self, those: "slice | NDArray[np.bool_]") -> "Listed":
        return Listed(self.place[those], self.cells[those], self.fixed[those])


def listed(one: Field, shard: int | None = None) -> Listed:
    """The cells of a field with a visibility above 0 in units of 2**-32.

    Raises
    ------
    MapMismatchError
        Cells do not ascend, lie outside the shard, or the arrays differ in length.
    InputError
        A visibility is out of range.
    """
    cells = np.asarray(one.cells, np.int64)
    fixed, above = _fixed_point(np.asarray(one.visibility, np.float32))
    if fixed.shape != cells.shape or (one.words is not None and one.words.shape != cells.shape):
        raise MapMismatchError(f"a field needs one value for each of its {cells.size} cells")
    if np.any(cells[1:] <= cells[:-1]):
        raise MapMismatchError("the cells of a field must ascend")
    if cells.size:
        shift = 2 * (one.order - shard_order(one.order))
        first, last = int(cells[0]) >> shift, int(cells[-1]) >> shift
        shard = first if shard is None else shard
        if not first == last == shard:
            raise MapMismatchError(f"the cells of a field must lie in shard {shard}, found {first} to {last}")
    if above == cells.size:
        return Listed(np.arange(cells.size), cells, fixed)
    place = np.flatnonzero(fixed)
    return Listed(place, cells[place], fixed[place])


def totals_of(one: Field) -> Totals:
    """Totals of one field: of a shard, or of any part of one."""
    there = listed(one)
    if not there.cells.size:
        return Totals()
    shard = int(there.cells[0]) >> 2 * (one.order - shard_order(one.order))
    integral = int(there.fixed.sum())
    return Totals({shard: integral}, {shard: there.cells.size}, float(one.visibility.max()))


def shards_in(order: int, cells: IntArray) -> list[int]:
    """Shards of ascending cells, ascending."""
    return [int(one) for one in np.unique(cells >> 2 * (order - shard_order(order)))]


def split_field(
    order: int, cells: IntArray, visibility: NDArray[np.float32], words: Words | None = None
) -> Iterator[tuple[int, Field]]:
    """A map in memory, cut into the fields of its shards, ascending; cells must ascend."""
    shift = 2 * (order - shard_order(order))
    for shard in shards_in(order, cells):
        begin, end = np.searchsorted(cells, (shard << shift, (shard + 1) << shift))
        part = slice(begin, end)
        yield shard, Field(order, cells[part], visibility[part], None if words is None else words[part])
