"""Pearson correlation of every two maps, over the cells that both list.

Of each pair the sums of x, y, x^2, y^2, xy and 1 are kept, x and y less a pivot (the mean of the whole map), so that
nothing is lost where values are large and vary little:
``r = (n Sxy - Sx Sy) / sqrt((n Sxx - Sx^2) (n Syy - Sy^2))``. Maps of different orders are not compared, nor
bit masks (whose absent cells are zeros), nor angles that wrap.
"""

import numpy as np
from numpy.typing import NDArray

from vmpz.run.overview.content import Correlations
from vmpz.run.overview.listing import Listed, Listing
from vmpz.run.overview.reading import Reading, Stack

__all__ = ["Correlating"]

Floats = NDArray[np.float64]


class Correlating:
    """Sums of pairs of maps, gathered area by area."""

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        maps = len(listing.maps)
        self._count = np.zeros((maps, maps), np.int64)
        self._sums = np.zeros((3, maps, maps))
        self._there: set[int] = set()

    def add(self, reading: Reading) -> None:
        """Count an area in."""
        for stack in reading.stacks:
            rows = [row for row, piece in enumerate(stack.pieces) if _counts(piece.listed)]
            if rows:
                self._add(stack, rows)

    def _add(self, stack: Stack, rows: list[int]) -> None:
        """Sums by products of matrices: einsum adds in one order, whatever the threads of a BLAS."""
        place = np.array([stack.pieces[row].place for row in rows])
        self._there |= set(place.tolist())
        pivots = np.array([stack.pieces[row].listed.mean for row in rows])
        values = np.nan_to_num(stack.values[rows].astype(np.float64) - pivots[:, None])
        member = np.array(stack.sets, np.float64)
        which, pairs = stack.which[rows], np.ix_(place, place)
        self._count[pairs] += np.rint(_product(member, member))[np.ix_(which, which)].astype(np.int64)
        self._sums[0][pairs] += _product(values, member)[:, which]
        self._sums[1][pairs] += _product(values**2, member)[:, which]
        self._sums[2][pairs] += _product(values, values)

    def finish(self) -> Correlations | None:
        """The matrix, None where there are not two maps."""
        rows = sorted(self._there)
        if len(rows) < 2:
            return None
        pairs = np.ix_(rows, rows)
        n, (x, xx, xy) = self._count[pairs], (one[pairs] for one in self._sums)
        spread = n * xx - x**2
        with np.errstate(invalid="ignore", divide="ignore"):
            # What is left of a constant after rounding is no spread.
            spread = np.where(spread > 1e-12 * n * xx, spread, np.nan)
            matrix = (n * xy - x * x.T) / np.sqrt(spread * spread.T)
        matrix[n < 2] = np.nan
        return Correlations(
            tuple(self._listing.maps[row].name for row in rows), np.clip(matrix, -1.0, 1.0), n
        )


def _counts(one: Listed) -> bool:
    return not one.is_circular and one.key.kind != "bitmask"


def _product(one: Floats, other: Floats) -> Floats:
    return np.asarray(np.einsum("ik,jk->ij", one, other))
