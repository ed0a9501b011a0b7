"""Pictures and histograms of maps, gathered area by area in memory that the number of areas does not change.

A map that has no more cells than a picture may have is shown as it is. Of a larger one the picture holds means over
the cells of the finest order at which they are few enough: sums and counts of coarse cells are kept, and whenever there
are too many of them they move one order up. Angles that wrap are averaged as unit vectors.

Bins of the histogram follow from the smallest and largest value, which the index knows beforehand.
"""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vmpz.products import Product
from vmpz.run.overview.content import MapOverview, Spread
from vmpz.run.overview.listing import Listed, Listing
from vmpz.run.overview.reading import Reading
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap

__all__ = ["BINS", "Histogram", "Picture", "Pictures", "angle_of", "direction_of"]

BINS = 256
"""Bins of a spread; the largest number of different whole numbers that have a bin each."""
FINE = 1 << 16
"""Bins of a histogram while it is gathered: a few values far away leave those that matter apart."""
TAIL = 0.001
"""Share of the area at either end that may have one bin of a spread."""

Floats = NDArray[np.float64]
Cells = NDArray[np.int64]
Sums = tuple[Cells, Floats]


class Picture:
    """A map while it is gathered.

    Parameters
    ----------
    order : int
        Of the map.
    cells : int
        That it lists in all.
    most : int
        Cells that the picture may have.
    circular : bool
        Whether values are angles in degrees that wrap.
    """

    def __init__(self, order: int, cells: int, most: int, circular: bool = False) -> None:
        self._map_order, self._most, self._circular = order, most, circular
        self._parts: list[SkyMap] | None = [] if cells <= most else None
        steps = math.ceil(math.log(cells / most, 4)) if cells > most else 0
        self._order = max(order - steps, 0)
        self._pending: list[Sums] = []
        self._waiting = 0

    def add(self, one: SkyMap) -> None:
        """Count a piece in; pieces share no cells."""
        if self._parts is not None:
            self._parts.append(one)
            return
        values = one.values.astype(np.float64)
        angle = np.radians(values)
        columns = (np.cos(angle), np.sin(angle)) if self._circular else (values,)
        rows = np.stack([*columns, np.ones(len(one))])
        self._pending.append(_summed(one.cells.cells() >> 2 * (self._map_order - self._order), rows))
        self._waiting += self._pending[-1][0].size
        if self._waiting > 2 * self._most:
            self._gather()

    def _gather(self) -> None:
        """Bring what is pending together, at the finest order at which it is few enough."""
        cells = np.concatenate([cells for cells, _ in self._pending])
        by_cell = np.argsort(cells, kind="stable")
        sums = np.concatenate([sums for _, sums in self._pending], axis=1)
        cells, sums = _summed(cells[by_cell], sums[:, by_cell])
        while cells.size > self._most and self._order:
            self._order -= 1
            cells, sums = _summed(cells >> 2, sums)
        self._pending, self._waiting = [(cells, sums)], int(cells.size)

    def finish(self) -> SkyMap:
        """The picture: the map in its own type, or means, float64."""
        if self._parts is not None:
            return SkyMap.join(self._parts) if self._parts else SkyMap(CellSet(self._map_order), np.empty(0))
        self._gather()
        ((cells, sums),) = self._pending
        means = np.degrees(np.arctan2(sums[1], sums[0])) if self._circular else sums[0] / sums[-1]
        return SkyMap.from_cells(self._order, cells, means)


class Histogram:
    """Area by value while it is gathered.

    Parameters
    ----------
    minimum, maximum : float
        Of the map.
    """

    def __init__(self, minimum: float, maximum: float) -> None:
        low, high = (minimum, maximum) if math.isfinite(minimum) else (0.0, 0.0)
        steps = (high - low) / (4.0 * math.ulp(max(abs(low), abs(high))))
        self._is_whole = high - low < BINS
        self._by_number = np.zeros(BINS + 1, np.int64)
        self._low, beside = low, abs(low) / 100.0 or 0.5
        self._ends = (low - beside, low + beside) if steps < 1.0 else (low, high)
        self._counts = np.zeros(int(min(FINE, max(steps, 1.0))), np.int64)

    def add(self, values: NDArray[np.number]) -> None:
        """Count values."""
        wide = values.astype(np.float64)
        self._counts += np.histogram(wide, bins=self._counts.size, range=self._ends)[0]
        self._is_whole = self._is_whole and bool(np.all(wide == np.rint(wide)))
        if self._is_whole:
            places = (wide - math.floor(self._low)).astype(np.int64)
            self._by_number += np.bincount(places, minlength=self._by_number.size)

    def spread(self, cell_deg2: float) -> Spread:
        """Area by value in at most `BINS` bins: whole numbers have one each, the tails of others two."""
        if self._is_whole:
            return _of_numbers(math.floor(self._low), self._by_number, cell_deg2)
        starts, only = np.arange(self._counts.size), None
        if starts.size == 1:
            only = np.array([self._low])
        elif starts.size > BINS:
            below = np.cumsum(self._counts)
            first, last = np.searchsorted(below, (TAIL * below[-1], (1.0 - TAIL) * below[-1]))
            step = -(-(last + 1 - first) // (BINS - 3))
            starts = np.unique([0, *range(first, last + 1, step), min(last + 1, below.size - 1)])
        edges = np.linspace(*self._ends, self._counts.size + 1)[np.append(starts, self._counts.size)]
        return Spread(edges, np.add.reduceat(self._counts, starts) * cell_deg2, only)


def _of_numbers(smallest: float, counts: Cells, cell_deg2: float) -> Spread:
    """Whole numbers, from the smallest that there is to the largest."""
    there = np.flatnonzero(counts)
    first, last = (there[0], there[-1] + 1) if there.size else (0, 1)
    numbers = smallest + np.arange(first, last, dtype=np.float64)
    edges = np.append(numbers - 0.5, numbers[-1] + 0.5)
    return Spread(edges, np.multiply(counts[first:last], cell_deg2), numbers)


def _summed(cells: Cells, rows: Floats) -> Sums:
    """Sums of rows (k, n) over runs of equal cells."""
    first = np.flatnonzero(np.diff(cells, prepend=-1))
    return cells[first], np.add.reduceat(rows, first, axis=1) if first.size else rows


class Pictures:
    """Every map: its picture, its histogram, what one of its files says."""

    def __init__(self, listing: Listing, most_cells: int) -> None:
        self._listing = listing
        self._pictures = [
            Picture(one.key.order, one.cells, most_cells, one.is_circular) for one in listing.maps
        ]
        self._histograms: dict[int, Histogram] = {}
        self._told: dict[int, Product] = {}
        self._directions = np.zeros((2, len(listing.maps)))

    def add(self, reading: Reading) -> None:
        """Count an area in."""
        for piece in reading.pieces:
            place, listed = piece.place, piece.listed
            if place not in self._told:
                self._told[place] = replace(piece.product, maps={})
                self._histograms[place] = Histogram(listed.minimum, listed.maximum)
            self._pictures[place].add(piece.map)
            self._histograms[place].add(piece.map.values)
            if listed.is_circular:
                self._directions[:, place] += direction_of(piece.map)

    def finish(self) -> tuple[MapOverview, ...]:
        """All maps, in the order of their names."""
        return tuple(self._finished(place, one) for place, one in enumerate(self._listing.maps))

    def _finished(self, place: int, one: Listed) -> MapOverview:
        told, histogram, areas = self._told[place], self._histograms[place], self._listing.areas
        area = areas[0].name if len(areas) == 1 else "-"
        return MapOverview(
            name=one.name,
            key=replace(one.key, area=area),
            unit=told.unit,
            keywords=told.keywords,
            picture=self._pictures[place].finish(),
            spread=histogram.spread(hpx.cell_area_deg2(one.key.order)),
            cells=one.cells,
            area_deg2=one.area_deg2,
            observed_deg2=one.observed_deg2,
            minimum=one.minimum,
            mean=angle_of(self._directions[:, place]) if one.is_circular else one.mean,
            maximum=one.maximum,
        )


def direction_of(angles: SkyMap) -> Floats:
    """Sum of the unit vectors of angles in degrees, float64 (2,)."""
    angle = np.radians(angles.values.astype(np.float64))
    return np.array([np.cos(angle).sum(), np.sin(angle).sum()])


def angle_of(direction: Floats) -> float:
    """Angle of a vector, degrees."""
    return math.degrees(math.atan2(direction[1], direction[0]))
