r"""What changes where two tiles meet.

**Estimator.** Cells a and b share an edge that is a border: a is listed in one tile, b in the other; a' and b' are the
next cells on the far side of either, seen across the same edge. Of each such pair

``f = (b - a) - ((a - a') + (b' - b)) / 2``

is the step across the border less the mean of the steps one row inside: a map that varies smoothly (up to the square of
the distance) gives 0, so that what is left is due to the border. The step of a seam is the mean of f.

**Error.** The mean is a sum of values with weights w that follow from the pairs (a cell in two pairs counts twice).
Noise that is independent from cell to cell, of variance s^2, gives

``error^2 = s_1^2 sum(w^2 in the one tile) + s_2^2 sum(w^2 in the other)``,

where 2 s^2 is the variance of the steps inside (a - a', b' - b), measured in either tile. What the sky or the exposures
change along a line that happens to be a border (a gap between detectors) looks like a seam, and is none.

Borders of earlier tiles are kept until the last tile that may touch them has been read.
"""

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmpz.run.overview.content import Seam, SeamSummary
from vmpz.run.overview.listing import Area, Listing
from vmpz.run.overview.reading import Piece, Reading, Stack
from vmpz.sky import hpx
from vmpz.sky.covers import lon_lat_deg, unit_vectors

__all__ = ["KEPT", "LEAST", "Seams"]

LEAST = 10
"""Pairs of cells that a seam must have."""
KEPT = 200
"""Seams of a map that are told, those of the largest |step| / error."""
SIGNIFICANT = 5.0
NEAR = 6
"""Order of the coarse cells by which tiles are found that may touch."""
EDGES = list(hpx.EDGES)

Cells = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Border:
    """Edges of a tile behind which its maps list nothing.

    Attributes
    ----------
    area : str
    order, until : int
        Of the cells; place of the last tile that may touch it.
    pieces : tuple of Piece
    edge, reverse : int64 (edges,)
        ``4 * cell + side`` of the cell inside, and of the cell outside, ascending in `edge`.
    inner, behind : int64 (edges,)
        Cells a and a'.
    values, further : float (pieces, edges)
        Of these cells.
    """

    area: str
    order: int
    until: int
    pieces: tuple[Piece, ...]
    edge: Cells
    reverse: Cells
    inner: Cells
    behind: Cells
    values: NDArray[np.floating]
    further: NDArray[np.floating]

    @property
    def near_outside(self) -> set[int]:
        """Coarse cells in which the cells outside lie."""
        return _near(self.reverse >> 2, self.order)

    @property
    def near_inside(self) -> set[int]:
        """Coarse cells in which the cells inside lie."""
        return _near(self.inner, self.order)


class Seams:
    """Steps between tiles, gathered tile by tile."""

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._until = _last_to_touch(listing.areas)
        self._waiting: dict[tuple[int, int], list[Border]] = {}
        self._ending: dict[int, list[Border]] = {}
        self._tallies = [_Tally() for _ in listing.maps]

    def add(self, reading: Reading, place: int) -> None:
        """Compare a tile with the earlier ones around it; `place` is its own among all."""
        self._forget(place)
        for stack in reading.stacks:
            if not stack.pieces:
                continue
            border = _border(reading.area.name, self._until[place], stack)
            for other in self._around(border):
                for which, seam in _compared(other, border):
                    self._tallies[which].add(seam)
            if border.until > place:
                self._keep(border)

    def _around(self, border: Border) -> list[Border]:
        """Earlier borders that may meet this one, by the names of their tiles."""
        found = {
            other.area: other
            for coarse in border.near_inside
            for other in self._waiting.get((border.order, coarse), ())
        }
        return [found[area] for area in sorted(found)]

    def _keep(self, border: Border) -> None:
        self._ending.setdefault(border.until, []).append(border)
        for coarse in border.near_outside:
            self._waiting.setdefault((border.order, coarse), []).append(border)

    def _forget(self, place: int) -> None:
        """Drop borders that no tile from here on can touch."""
        for border in [one for last in self._ending if last < place for one in self._ending[last]]:
            for coarse in border.near_outside:
                self._waiting[border.order, coarse].remove(border)
        self._ending = {last: borders for last, borders in self._ending.items() if last >= place}

    def finish(self) -> tuple[tuple[Seam, ...], tuple[SeamSummary, ...]]:
        """The most significant seams of every map, and what all of a map's are like."""
        told = [
            (one.name, tally)
            for one, tally in zip(self._listing.maps, self._tallies, strict=True)
            if tally.count
        ]
        seams = [seam for _, tally in told for seam in tally.largest()]
        return tuple(seams), tuple(tally.summary(name) for name, tally in told)


# -- borders ----------------------------------------------------------------------------------------------------------


def _last_to_touch(areas: tuple[Area, ...]) -> list[int]:
    """Of each area the place of the last one that may touch it; that of the very last where a cover is not known."""
    covers = [cover.cells() for area in areas if (cover := area.cover(NEAR)) is not None]
    if len(covers) < len(areas):
        return [len(areas) - 1] * len(areas)
    last: dict[int, int] = {}
    for place, cells in enumerate(covers):
        last |= dict.fromkeys(cells.tolist(), place)
    around = [np.concatenate((cells, hpx.neighbours(cells, NEAR).ravel())) for cells in covers]
    return [max((last.get(cell, -1) for cell in cells.tolist()), default=-1) for cells in around]


def _near(cells: Cells, order: int) -> set[int]:
    """Numbers of coarse cells, of an order that both sides of a border share."""
    return set(np.unique(cells >> 2 * max(order - NEAR, 0)).tolist())


def _border(area: str, until: int, stack: Stack) -> Border:
    """The edges of a tile's cells across which none of its maps lists anything."""
    cells, order = stack.cells.cells(), stack.cells.order
    around = hpx.neighbours(cells, order)[:, EDGES]
    row, side = np.nonzero(stack.cells.index(around) < 0)
    inner, outer = cells[row], around[row, side]
    back = hpx.neighbours(outer, order)[:, EDGES] == inner[:, None]
    behind = around[row, 3 - side]
    place = stack.cells.index(behind)
    further = np.where(place >= 0, stack.values[:, place], np.nan)
    return Border(
        area, order, until, stack.pieces, 4 * inner + side, 4 * outer + back.argmax(axis=1), inner, behind,
        stack.values[:, row], further,
    )  # fmt: skip


# -- steps ------------------------------------------------------------------------------------------------------------


def _compared(one: Border, other: Border) -> Iterator[tuple[int, Seam]]:
    """Seams of all maps that two tiles have: the place of the map, and its seam."""
    _, mine, theirs = np.intersect1d(one.edge, other.reverse, assume_unique=True, return_indices=True)
    if mine.size < LEAST:
        return
    where = _middle(one.inner[mine], one.order)
    rows = {piece.place: row for row, piece in enumerate(other.pieces)}
    for row, piece in enumerate(one.pieces):
        if piece.place not in rows:
            continue
        with_it = rows[piece.place]
        values = np.array(
            [
                one.further[row, mine],
                one.values[row, mine],
                other.values[with_it, theirs],
                other.further[with_it, theirs],
            ],
            np.float64,
        )
        known = np.isfinite(values).all(axis=0)
        if np.count_nonzero(known) >= LEAST:
            weights = [
                _weight(border.inner[at[known]], border.behind[at[known]])
                for border, at in ((one, mine), (other, theirs))
            ]
            step, error = _step(values[:, known], weights, piece.listed.is_circular)
            pairs = int(np.count_nonzero(known))
            yield piece.place, Seam(piece.listed.name, one.area, other.area, *where, pairs, step, error)


def _middle(cells: Cells, order: int) -> tuple[float, float]:
    lon, lat = lon_lat_deg(unit_vectors(*hpx.centres(cells, order)).mean(axis=0))
    return float(lon), float(lat)


def _step(values: Floats, weights: list[float], circular: bool) -> tuple[float, float]:
    """Step and error; `values` (4, pairs) are those of a', a, b, b', `weights` the sums of squares of either tile."""
    steps = np.diff(values, axis=0)
    if circular:
        steps = (steps + 180.0) % 360.0 - 180.0
    variance = 0.5 * np.var(steps[[0, 2]], axis=1, ddof=1)
    step = np.mean(steps[1] - 0.5 * (steps[0] + steps[2]))
    return float(step), math.sqrt(float(variance @ weights))


def _weight(near: Cells, far: Cells) -> float:
    """Sum of squares of the weights of a tile's values in the mean of f: 3/2 and -1/2 in a pair, over the pairs."""
    _, cell = np.unique(np.concatenate((near, far)), return_inverse=True)
    weights = np.bincount(cell, np.repeat((1.5, -0.5), near.size))
    return float(np.sum(weights**2)) / near.size**2


class _Tally:
    """All seams of a map: the largest, and sums over all."""

    def __init__(self) -> None:
        self.count = self.significant = 0
        self._sum = self._squares = 0.0
        self._heap: list[tuple[float, int, Seam]] = []

    def add(self, seam: Seam) -> None:
        """Count one in; of equals the earlier is kept."""
        self.count += 1
        self.significant += seam.significance > SIGNIFICANT
        self._sum += seam.step
        self._squares += seam.step**2
        heapq.heappush(self._heap, (seam.significance, -self.count, seam))
        if len(self._heap) > KEPT:
            heapq.heappop(self._heap)

    def largest(self) -> list[Seam]:
        """The most significant first."""
        return [seam for _, _, seam in sorted(self._heap, key=lambda one: one[:2], reverse=True)]

    def summary(self, name: str) -> SeamSummary:
        """What all of them are like."""
        mean = self._sum / self.count
        return SeamSummary(name, self.count, self.significant, mean, math.sqrt(self._squares / self.count))
