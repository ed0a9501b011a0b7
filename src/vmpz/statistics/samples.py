"""Samples of cells, put into one order before anything is added."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vmpz.errors import InputError

__all__ = ["A_MIN", "Samples", "SortedSamples"]

Array = NDArray[np.float64]

A_MIN = 1e-9
"""Share of a cell up to which an overlap is none: the accuracy of exact covered fractions."""


class Samples:
    """Samples collected so far, in whatever order and portions.

    Parameters
    ----------
    n_cells : int
        Cells are numbered 0 to n_cells - 1.
    """

    def __init__(self, n_cells: int) -> None:
        self.n_cells = n_cells
        self._parts: list[tuple[NDArray[Any], ...]] = []

    def add(
        self, cell: ArrayLike, x: ArrayLike, a: ArrayLike = 1.0, w: ArrayLike = 1.0, number: ArrayLike = 0
    ) -> "Samples":
        """Add samples: cell, value, covered fraction, weight, number of the sample; broadcast to one length.

        Raises
        ------
        InputError
            A value is not finite, or a fraction or weight is negative or not finite.
        """
        part = np.broadcast_arrays(
            np.asarray(cell, np.int64),
            np.asarray(x, np.float64),
            np.asarray(a, np.float64),
            np.asarray(w, np.float64),
            np.asarray(number, np.int64),
        )
        _, values, *shares, _ = part
        if not np.all(np.isfinite(values)):
            raise InputError("values of samples must be finite")
        if any(not np.all(np.isfinite(share) & (share >= 0)) for share in shares):
            raise InputError("covered fractions and weights of samples must be finite and >= 0")
        touching = part[2] > A_MIN
        part = (
            part[0],
            part[1] + 0.0,
            *part[2:],
        )  # no negative zero: it would compare equal and print otherwise
        self._parts.append(tuple(np.asarray(column[touching]).ravel() for column in part))
        return self

    def sorted(self) -> "SortedSamples":
        """All samples in their one order: by cell, value, fraction, weight, number."""
        empty = (np.empty(0, np.int64), np.empty(0), np.empty(0), np.empty(0), np.empty(0, np.int64))
        columns = [np.concatenate(parts) for parts in zip(empty, *self._parts, strict=True)]
        order = np.lexsort((columns[4], columns[3], columns[2], columns[1], columns[0]))
        return SortedSamples(self.n_cells, *(column[order] for column in columns))


@dataclass(frozen=True)
class SortedSamples:
    """Samples by cell and value; what the statistics are computed from."""

    n_cells: int
    cell: NDArray[np.int64]
    x: Array
    a: Array
    w: Array
    number: NDArray[np.int64]

    def total(self, value: Array) -> Array:
        """Sum per cell, one addition after the other."""
        return np.asarray(np.bincount(self.cell, value, self.n_cells), np.float64)

    @property
    def n(self) -> NDArray[np.int64]:
        """Samples per cell."""
        return np.bincount(self.cell, minlength=self.n_cells)

    def at(self, place: NDArray[np.floating[Any]], known: NDArray[np.bool_]) -> Array:
        """Value at a fractional place (0 = lowest) of each cell's list, linear between values."""
        first = np.cumsum(self.n) - self.n
        values = np.full(self.n_cells, np.nan)
        low = np.floor(place[known]).astype(np.int64)
        high = np.minimum(low + 1, self.n[known] - 1)
        begin, share = first[known], place[known] - low
        below, above = self.x[begin + low], self.x[begin + high]
        values[known] = below + (above - below) * share
        return values
