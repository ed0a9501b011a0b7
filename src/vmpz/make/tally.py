"""A catalogue, counted as it streams by: objects per cell, inside cells, and samples of bounded size.

Everything that a test needs of 1e9 rows is kept in arrays of the size of the map and in three samples: all objects of a
few compact regions (`near`), those of a cap, and some of the whole map (`wide`). Which rows are taken follows from a
hash of the row number alone, so the same file gives the same numbers.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vmpz.errors import InputError, MapMismatchError
from vmpz.kernels.tallies import add_counts, add_folded
from vmpz.make.paircounts import unit_vectors
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.regions import Cap
from vmpz.sky.skymap import SkyMap

__all__ = ["Expectation", "Sample", "Tally"]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

NEAR, CAPPED, WIDE = 120_000, 16_000, 10_000
"""Objects that the samples are made to hold."""
REGIONS = 8
"""Compact regions of the near sample."""
FOLDS = 6
"""Levels below the cells that are folded: 64 x 64 sub-cells."""
CLASSES = 10
"""Classes of visibility."""
ALL_SUBCELLS = -1
"""Word of a cell of which every sub-cell is observed, as int64."""


@dataclass(frozen=True)
class Expectation:
    """What a map says about a catalogue.

    Attributes
    ----------
    cells : CellSet
        Cells with V > 0.
    visibility : float64 (n,)
    whole : bool (n,)
        Cells that are observed as a whole, as far as is known: points are uniform inside them.
    """

    cells: CellSet
    visibility: Floats
    whole: Flags

    @classmethod
    def of(
        cls, visibility: SkyMap, subcells: SkyMap | None = None, coverage: SkyMap | None = None
    ) -> "Expectation":
        """From a map of V, and either words of observed sub-cells or the observed fraction, if they are known.

        Raises
        ------
        MapMismatchError
            V is negative or not finite somewhere, or nowhere positive; or the coverage has another order.
        """
        values = visibility.values.astype(np.float64)
        if not np.all(np.isfinite(values) & (values >= 0.0)):
            raise MapMismatchError("a visibility must be finite and not negative in every cell")
        kept = visibility.where(values > 0.0)
        if not len(kept):
            raise MapMismatchError("a visibility must be positive in a cell at least, found none")
        whole = np.ones(len(kept), bool)
        number = kept.cells.cells()
        if subcells is not None:
            words = subcells.of_cells(number, 0).astype(np.int64)
            whole &= (words == ALL_SUBCELLS) | (words == 0)
        if coverage is not None:
            if coverage.order != kept.order:
                raise MapMismatchError(
                    f"the coverage must have the order of the visibility, {kept.order}; found {coverage.order}"
                )
            whole &= coverage.of_cells(number, 0.0) >= 1.0 - 1e-6
        return cls(kept.cells, values[values > 0.0], whole)

    @property
    def order(self) -> int:
        """HEALPix order of the cells."""
        return self.cells.order

    @property
    def integral_deg2(self) -> float:
        """Sum of V times area, square degrees."""
        return float(np.sum(self.visibility)) * hpx.cell_area_deg2(self.order)

    def classes(self) -> NDArray[np.int64]:
        """Class of visibility of each cell: deciles of V; equal values are in one class."""
        edges = np.unique(np.quantile(self.visibility, np.linspace(0.0, 1.0, CLASSES + 1)[1:-1]))
        _, dense = np.unique(np.searchsorted(edges, self.visibility, side="left"), return_inverse=True)
        return np.asarray(dense, np.int64)


@dataclass(frozen=True)
class Sample:
    """Some objects: positions (degrees), weights, a deviate of each in [0, 1), and the share of all that they are."""

    lon_deg: Floats
    lat_deg: Floats
    weight: Floats
    deviate: Floats
    share: float

    def __len__(self) -> int:
        return int(self.lon_deg.size)

    @property
    def vectors(self) -> Floats:
        """Unit vectors (3, n)."""
        return unit_vectors(self.lon_deg, self.lat_deg)


class _Collected:
    """A sample while it grows; it stops at four times what it is made to hold."""

    def __init__(self, most: int, expected: float) -> None:
        self.share = min(1.0, most / expected) if expected > 0 else 1.0
        self._left = 4 * most
        self._parts: list[Floats] = []

    def add(self, columns: Floats, here: Flags, deviate: Floats) -> None:
        taken = columns[:, here & (deviate < self.share)][:, : self._left]
        self._left -= taken.shape[1]
        self._parts.append(taken)

    def finish(self) -> Sample:
        lon, lat, weight, other = np.concatenate([*self._parts, np.empty((4, 0))], axis=1)
        return Sample(lon, lat, weight, other, self.share)


class Tally:
    """Counts of a catalogue.

    Parameters
    ----------
    expectation : Expectation
    rows : int
        Objects to come; sizes of samples follow from it.
    cap : Cap, optional
        Where pairs are counted.
    second : bool
        Rows of the samples are chosen otherwise: rows of one number lie at about one place in two sorted catalogues, so
        samples that are compared must not be of the same rows.
    """

    def __init__(
        self, expectation: Expectation, rows: int, cap: Cap | None = None, *, second: bool = False
    ) -> None:
        self.expectation, self.cap = expectation, cap
        self._stream = 5 if second else 1
        cells = len(expectation.cells)
        self.counts = np.zeros(cells, np.int64)
        self.sums, self.squares = np.zeros(cells), np.zeros(cells)
        self.rows, self.outside = 0, 0
        self.total, self.total_squares = 0.0, 0.0
        self.depth = min(FOLDS, hpx.MAX_ORDER - expectation.order)
        self.grid = np.zeros(4**self.depth, np.int64)
        self.digits = np.zeros((max(hpx.MAX_ORDER - 1 - expectation.order, 0), 16), np.int64)
        per_visibility = rows / float(np.sum(expectation.visibility))
        self.near_cells = _near(expectation, per_visibility)
        chosen = expectation.visibility[self.near_cells]
        self._near = _Collected(NEAR, per_visibility * float(np.sum(chosen)))
        self._capped = _Collected(CAPPED, per_visibility * _within(expectation, cap))
        self._wide = _Collected(WIDE, rows)
        self._axis = None if cap is None else unit_vectors(cap.lon_deg, cap.lat_deg)

    def add(self, lon_deg: ArrayLike, lat_deg: ArrayLike, weight: ArrayLike | None = None) -> None:
        """Count objects: ICRS degrees, and weights (default 1).

        Raises
        ------
        InputError
            A position is none, or a weight is negative or not finite; the message names the row.
        """
        lon, lat = (np.ascontiguousarray(one, np.float64) for one in (lon_deg, lat_deg))
        weights = np.ones(lon.size) if weight is None else np.ascontiguousarray(weight, np.float64)
        self._must_be_positions(lon, lat, weights)
        pixel = hpx.cells_at(lon, lat, hpx.MAX_ORDER)
        place = self.expectation.cells.index(pixel >> (2 * (hpx.MAX_ORDER - self.expectation.order)))
        self.outside += add_counts(place, weights, self.counts, self.sums, self.squares)
        self.total += float(np.sum(weights))
        self.total_squares += float(np.sum(weights**2))
        if self.depth:
            whole = (place >= 0) & self.expectation.whole[place]
            add_folded(pixel, whole, self.expectation.order, self.depth, self.grid, self.digits)
        row = np.arange(self.rows, self.rows + lon.size, dtype=np.uint64)
        columns = np.stack((lon, lat, weights, _deviates(row, self._stream)))
        self._near.add(columns, (place >= 0) & self.near_cells[place], _deviates(row, self._stream + 1))
        self._wide.add(columns, np.ones(lon.size, bool), _deviates(row, self._stream + 2))
        if self.cap is not None and self._axis is not None:
            chord = np.sum((unit_vectors(lon, lat) - self._axis[:, None]) ** 2, axis=0)
            radius = 4.0 * math.sin(math.radians(self.cap.radius_deg) / 2.0) ** 2
            self._capped.add(columns, chord <= radius, _deviates(row, self._stream + 3))
        self.rows += lon.size

    def _must_be_positions(self, lon: Floats, lat: Floats, weight: Floats) -> None:
        good = np.isfinite(lon) & (np.abs(lat) <= 90.0) & np.isfinite(weight) & (weight >= 0.0)
        if not np.all(good):
            k = int(np.argmin(good))
            raise InputError(
                f"row {self.rows + k + 1}: longitude must be finite, latitude in [-90, 90], weight finite and not "
                f"negative, found {lon[k]}, {lat[k]}, {weight[k]}"
            )

    # -- what was counted ---------------------------------------------------------------------------------------------

    @property
    def expected(self) -> Floats:
        """Weight that every cell should hold, given that of all, float64 (n,)."""
        visibility = self.expectation.visibility
        return visibility * (float(np.sum(self.sums)) / float(np.sum(visibility)))

    @property
    def mean_weight(self) -> tuple[Floats, Floats]:
        """Mean weight of objects, and sum of squares over sum, in the class of visibility of every cell (1 if none)."""
        group = self.expectation.classes()
        counts, sums, squares = (np.bincount(group, one) for one in (self.counts, self.sums, self.squares))
        mean = np.divide(sums, counts, out=np.ones_like(sums), where=counts > 0)
        ratio = np.divide(squares, sums, out=np.ones_like(sums), where=sums > 0)
        return mean[group], ratio[group]

    @property
    def density_sr(self) -> float:
        """Weight per steradian where V is 1."""
        integral = float(np.sum(self.expectation.visibility)) * hpx.cell_area_sr(self.expectation.order)
        return float(np.sum(self.sums)) / integral

    @property
    def near(self) -> Sample:
        """Objects of a few compact regions."""
        return self._near.finish()

    @property
    def capped(self) -> Sample:
        """Objects of the cap."""
        return self._capped.finish()

    @property
    def wide(self) -> Sample:
        """Objects of the whole map."""
        return self._wide.finish()


def _deviates(row: NDArray[np.uint64], stream: int) -> Floats:
    """Numbers in [0, 1) that look random: the mixer of SplitMix64 (Steele et al. 2014) on the row number."""
    word = row * np.uint64(16) + np.uint64(stream)
    word = word * np.uint64(0x9E3779B97F4A7C15)
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray((word ^ (word >> np.uint64(31))) >> np.uint64(11), np.float64) * 2.0**-53


def _near(expectation: Expectation, per_visibility: float) -> Flags:
    """Cells of the near sample: all, or the cells of a few parents that hold about an equal part of it."""
    expected = expectation.visibility * per_visibility
    if np.sum(expected) <= NEAR:
        return np.ones(expected.size, bool)
    order, number = expectation.order, expectation.cells.cells()
    for coarse in range(order + 1):
        parent, group = np.unique(number >> (2 * (order - coarse)), return_inverse=True)
        held = np.bincount(group, expected)
        if held.max() <= NEAR / REGIONS or coarse == order:
            break
    rich = np.flatnonzero(held >= 0.5 * held.max())
    chosen = np.zeros(parent.size, bool)
    chosen[rich[np.linspace(0, rich.size - 1, min(REGIONS, rich.size)).astype(np.int64)]] = True
    return np.asarray(chosen[group])


def _within(expectation: Expectation, cap: Cap | None) -> float:
    """Sum of V over the cells whose centres lie in a cap."""
    if cap is None:
        return 0.0
    axis, total = unit_vectors(cap.lon_deg, cap.lat_deg), 0.0
    least = 1.0 - 2.0 * math.sin(math.radians(cap.radius_deg) / 2.0) ** 2
    for start, cells in expectation.cells.blocks(1 << 18):
        inside = axis @ unit_vectors(*hpx.centres(cells, expectation.order)) >= least
        total += float(np.sum(expectation.visibility[start : start + cells.size][inside]))
    return total
