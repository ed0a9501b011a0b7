"""Exact quantiles, modes and weighted medians of pixels per cell, in bounded memory.

A cell whose pixels all lie in one row block is finished there; the pixels of the others wait until the last block that
touches the cell has passed. So at any time only the cells at the border of a block are kept.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.kernels import quantiles, sortedpixels
from vmpz.make.runtable import RunBlock, RunTable
from vmpz.sky.cells import CellSet

__all__ = ["LISTED", "BlockLists", "ClosedLists", "OrderStatistics", "Orders", "Pool"]

LISTED = ("mode", "wmedian")
"""What a list of pixels gives besides quantiles: its most frequent value and its median weighted by 1/RMS**2."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Orders:
    """What is wanted of the list of pixels of a cell: quantiles (whole per cents) and names among `LISTED`."""

    percents: tuple[int, ...] = ()
    listed: tuple[str, ...] = ()

    @classmethod
    def of(cls, percents: Iterable[float], listed: Iterable[str]) -> "Orders":
        """Per cents ascending, none twice.

        Raises
        ------
        InputError
            A per cent is no whole number from 0 to 100, or a name is none of `LISTED`.
        """
        many, names = sorted(set(percents)), set(listed)
        if any(percent != int(percent) or not 0 <= percent <= 100 for percent in many):
            raise InputError(f"order statistics must be whole per cents from 0 to 100, found {many}")
        if not names <= set(LISTED):
            raise InputError(f"statistics of lists must be among {', '.join(LISTED)}, found {sorted(names)}")
        return cls(tuple(int(percent) for percent in many), tuple(one for one in LISTED if one in names))

    def __bool__(self) -> bool:
        """Whether anything is wanted."""
        return bool(self.percents or self.listed)

    @property
    def weighted(self) -> bool:
        """Whether the noise of each pixel is needed."""
        return "wmedian" in self.listed

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns of `values`."""
        return (*(f"q{percent:02d}" for percent in self.percents), *self.listed)

    def values(self, lists: NDArray[np.int32], begin: NDArray[np.int64], end: NDArray[np.int64]) -> Floats:
        """Float64 (n, names) of the lists; see `BlockLists.words`."""
        found = np.empty((begin.size, len(self.percents)))
        quantiles.select(lists[0], begin, end, np.array(self.percents, np.float64) / 100.0, found)
        more = {name: np.empty(begin.size) for name in self.listed}
        if "mode" in more:
            sortedpixels.most_frequent(lists[0], begin, end, more["mode"])
        if "wmedian" in more:
            sortedpixels.weighted_medians(lists[0], lists[-1], begin, end, more["wmedian"])
        return np.column_stack((found, *more.values()))


@dataclass
class BlockLists:
    """Pixels of each slot of a block, one list a slot.

    Attributes
    ----------
    begin, end : int64 arrays (slots,)
        Where each list lies in `words`.
    words : int32 array (1 or 2, pixels)
        Ordered words of the plane and, where weights are wanted of a plane that is not the noise itself, of the noise.
    """

    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    words: NDArray[np.int32]

    @classmethod
    def empty(cls, block: RunBlock, beside: bool) -> "BlockLists":
        """Room for every pixel that the block found, with its noise beside it or without."""
        end = np.cumsum(block.found)
        return cls(
            end - block.found, end - block.found, np.empty((1 + beside, int(block.found.sum())), np.int32)
        )

    @property
    def beside(self) -> NDArray[np.int32]:
        """Words of the noise beside those of the plane; empty where there are none."""
        return self.words[1] if len(self.words) > 1 else self.words[0, :0]

    def close(self, finished: NDArray[np.bool_], orders: Orders) -> "ClosedLists":
        """Statistics of finished slots, lists of the others; the lists themselves can go."""
        values = np.full((finished.size, len(orders.names)), np.nan)
        values[finished] = orders.values(self.words, self.begin[finished], self.end[finished])
        waiting = {
            int(slot): self.words[:, self.begin[slot] : self.end[slot]].copy()
            for slot in np.flatnonzero(~finished)
        }
        return ClosedLists(values, waiting)


@dataclass
class ClosedLists:
    """Statistics (slots, names) of finished slots, and the lists that wait for other blocks, by slot."""

    values: Floats
    waiting: dict[int, NDArray[np.int32]]


@dataclass(frozen=True)
class Listed:
    """Cells whose pixels are listed, and how many pixels each has (over all images): what a `RunTable` says of one."""

    cells: CellSet
    found: NDArray[np.int64]


@dataclass
class OrderStatistics:
    """Statistics of the lists of one plane over one sample, filled block by block in block order."""

    table: RunTable | Listed
    orders: Orders
    values: Floats = field(init=False)
    missing: NDArray[np.int64] = field(init=False)
    waiting: dict[int, list[NDArray[np.int32]]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.values = np.full((len(self.table.cells), len(self.orders.names)), np.nan)
        self.missing = self.table.found.copy()

    def add(self, block: RunBlock, closed: ClosedLists) -> None:
        """Take over what a block gave and finish the cells that the scan has passed."""
        here = block.cells
        self.missing[here] -= block.found
        known = ~np.isnan(closed.values).any(axis=1)
        self.values[here[known]] = closed.values[known]
        complete = []
        for slot, words in closed.waiting.items():
            cell = int(here[slot])
            self.waiting.setdefault(cell, []).append(words)
            if self.missing[cell] == 0:
                complete.append(cell)
        if complete:
            self._finish(complete)

    def _finish(self, cells: list[int]) -> None:
        lists = [np.concatenate(self.waiting.pop(cell), axis=1) for cell in cells]
        size = np.array([one.shape[1] for one in lists])
        end = np.cumsum(size)
        self.values[cells] = self.orders.values(np.concatenate(lists, axis=1), end - size, end)

    def columns(self, prefix: str) -> dict[str, NDArray[Any]]:
        """``<prefix>.qNN``, ``<prefix>.median`` for 50 per cent, and what was listed."""
        columns = {f"{prefix}.{name}": self.values[:, k].copy() for k, name in enumerate(self.orders.names)}
        if 50 in self.orders.percents:
            columns[f"{prefix}.median"] = columns[f"{prefix}.q50"]
        return columns


class Pool:
    """Order statistics over the pixels of several images, filled image by image in a fixed order.

    Parameters
    ----------
    cells : CellSet
    found : int64 array (len(cells),)
        Pixels that all images together have in each.
    orders : Orders
    """

    def __init__(self, cells: CellSet, found: NDArray[np.int64], orders: Orders) -> None:
        self.listed, self.orders = Listed(cells, found), orders
        self.statistics: dict[tuple[str, str], OrderStatistics] = {}

    def add(self, table: RunTable, block: RunBlock, lists: Mapping[tuple[str, str], ClosedLists]) -> None:
        """Take over what a block of an image gave."""
        place = self.listed.cells.index(table.cells.cells()).astype(np.int32)
        moved = replace(block, cells=place[block.cells])
        for key, closed in lists.items():
            self.statistics.setdefault(key, OrderStatistics(self.listed, self.orders)).add(moved, closed)

    def columns(self) -> dict[str, NDArray[Any]]:
        """Columns of all planes and samples."""
        parts = (one.columns(f"{plane}.{sample}") for (plane, sample), one in sorted(self.statistics.items()))
        return {name: values for part in parts for name, values in part.items()}
