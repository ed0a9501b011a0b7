"""Exact quantiles of pixels per cell, in bounded memory.

A cell whose pixels all lie in one row block is finished there; the pixels of the others wait until the last block that
touches the cell has passed. So at any time only the cells at the border of a block are kept.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.kernels import quantiles
from vmpz.make.runtable import RunBlock, RunTable

__all__ = ["BlockLists", "ClosedLists", "OrderStatistics", "checked_percents"]

Floats = NDArray[np.float64]


def checked_percents(percents: Iterable[float]) -> tuple[int, ...]:
    """Whole per cents, ascending, none twice.

    Raises
    ------
    InputError
        One is no whole number from 0 to 100.
    """
    many = sorted(set(percents))
    if any(percent != int(percent) or not 0 <= percent <= 100 for percent in many):
        raise InputError(f"order statistics must be whole per cents from 0 to 100, found {many}")
    return tuple(int(percent) for percent in many)


@dataclass
class BlockLists:
    """Ordered words of the pixels of each slot of a block, one list a slot.

    Attributes
    ----------
    begin, end : int64 arrays (slots,)
        Where each list lies in `words`.
    """

    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    words: NDArray[np.int32]

    @classmethod
    def empty(cls, block: RunBlock) -> "BlockLists":
        """Room for every pixel that the block found."""
        end = np.cumsum(block.found)
        return cls(end - block.found, end - block.found, np.empty(int(block.found.sum()), np.int32))

    def close(self, finished: NDArray[np.bool_], percents: tuple[int, ...]) -> "ClosedLists":
        """Quantiles of finished slots, lists of the others; the lists themselves can go."""
        values = np.full((finished.size, len(percents)), np.nan)
        found = np.empty((int(finished.sum()), len(percents)))
        fractions = np.array(percents, np.float64) / 100.0
        quantiles.select(self.words, self.begin[finished], self.end[finished], fractions, found)
        values[finished] = found
        waiting = {
            int(slot): self.words[self.begin[slot] : self.end[slot]].copy()
            for slot in np.flatnonzero(~finished)
        }
        return ClosedLists(values, waiting)


@dataclass
class ClosedLists:
    """Quantiles (slots, q) of finished slots, and the lists that wait for other blocks, by slot."""

    values: Floats
    waiting: dict[int, NDArray[np.int32]]


@dataclass
class OrderStatistics:
    """Quantiles of one plane over one sample, filled block by block in block order."""

    table: RunTable
    percents: tuple[int, ...]
    values: Floats = field(init=False)
    missing: NDArray[np.int64] = field(init=False)
    waiting: dict[int, list[NDArray[np.int32]]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.values = np.full((len(self.table.cells), len(self.percents)), np.nan)
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
        lists = [np.concatenate(self.waiting.pop(cell)) for cell in cells]
        end = np.cumsum([one.size for one in lists])
        begin = end - np.array([one.size for one in lists])
        found = np.empty((len(cells), len(self.percents)))
        quantiles.select(
            np.concatenate(lists), begin, end, np.array(self.percents, np.float64) / 100.0, found
        )
        self.values[cells] = found

    def columns(self, prefix: str) -> dict[str, NDArray[Any]]:
        """``<prefix>.qNN``, and ``<prefix>.median`` for 50 per cent."""
        columns = {
            f"{prefix}.q{percent:02d}": self.values[:, k].copy() for k, percent in enumerate(self.percents)
        }
        if 50 in self.percents:
            columns[f"{prefix}.median"] = columns[f"{prefix}.q50"]
        return columns
