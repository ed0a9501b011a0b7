"""Where cells are in a table of depths: at one place, or at two where the depth is not the same all over the cell.

A depth map has one value a cell, that of the quadratic mean of its noise. A cell across the edge of an exposure has
noise of two levels, and what is seen there is the mean of what is seen at both, not what is seen at their mean depth.
The pass keeps mean m, scatter s, least and greatest value of the noise over the pixels of a cell; the part of the cell
with the higher level is ``p = (m - least) / (greatest - least)``, and the levels are ``m - s sqrt(p / (1 - p))`` and
``m + s sqrt((1 - p) / p)``: exact for any two levels, and right in the first two moments whatever the mixture. In
several bands p is that of the band of the largest scatter. Scatter below `LEAST_SCATTER` of the noise is that of the
noise map itself, and left alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import MissingProductError
from vmpz.make.lattice import Corners
from vmpz.make.visibilitytable import Table
from vmpz.parameters import VisibilityParameters
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap
from vmpz.statistics import CellStatistics, Moments, statistic

__all__ = ["LEAST_SCATTER", "Places", "Scatter", "places_of", "scatter_of", "visible"]

Floats = NDArray[np.float64]

LEAST_SCATTER = 0.05
"""Scatter of the noise over its root mean square, 0.05 mag of depth: below it a cell has one depth."""
DEEPEST = 0.1
"""Lower level of the noise over its root mean square, at least: no noise would be no limit."""
FEWEST = 0.01
"""Part of a cell with either level, at least."""


@dataclass(frozen=True)
class Scatter:
    """Scatter of the noise of a band inside cells.

    Attributes
    ----------
    size : SkyMap
        Over the root mean square, in [0, 1).
    higher : SkyMap
        Part of the cell with the higher level, in (0, 1); on the same cells.
    """

    size: SkyMap
    higher: SkyMap


@dataclass(frozen=True)
class Places:
    """Covered cells whose depths are known, n of them, and their m >= n places in the table.

    Attributes
    ----------
    cells : CellSet
    coverage : float64 (n,)
    row : int64 (m,)
        The cell of each place.
    share : float64 (m,)
        The part of the cell that is there.
    positions : float64 (m, d)
        In the lattice: depths of the bands of the reference, and E(B-V) where it has an axis.
    """

    cells: CellSet
    coverage: Floats
    row: NDArray[np.int64]
    share: Floats
    positions: Floats

    def shifted(self, shift: Floats) -> "Places":
        """The same cells at other depths."""
        return replace(self, positions=self.positions + shift)

    def mean(self, values: Floats) -> Floats:
        """Values at the places, (m,), to those of cells, (n,)."""
        return np.bincount(self.row, self.share * values, len(self.cells)).astype(np.float64)


def places_of(
    chosen: VisibilityParameters,
    coverage: SkyMap,
    depths: Mapping[str, SkyMap],
    ebv: SkyMap | None = None,
    scatter: Mapping[str, Scatter] | None = None,
) -> Places:
    """The covered cells in which every band has a depth (and E(B-V) is known, where it counts).

    Parameters
    ----------
    chosen : VisibilityParameters
    coverage : SkyMap
    depths : mapping of str to SkyMap
        By band.
    ebv : SkyMap, optional
    scatter : mapping of str to Scatter, optional
        By band (`scatter_of`); cells have one depth where it is not known.

    Raises
    ------
    MissingProductError
        A band of the reference has no depth map, or E(B-V) is wanted and not given.
    """
    lacking = [band for band in chosen.reference if band not in depths]
    if lacking:
        raise MissingProductError(
            f"visibility {chosen.name} needs the depth of {', '.join(chosen.reference)}; there is none of "
            f"{', '.join(lacking)}"
        )
    axes = [depths[band] for band in chosen.reference]
    if chosen.extinction != "none":
        if ebv is None:
            raise MissingProductError(
                f"visibility {chosen.name} needs a map of E(B-V): [extinction] map names none"
            )
        axes.append(ebv)
    number = coverage.cells.cells()
    positions = np.stack([one.of_cells(number).astype(np.float64) for one in axes], axis=1)
    known = np.isfinite(positions).all(axis=1) & (coverage.values > 0)
    cells = CellSet.from_cells(coverage.order, number[known])
    fraction = coverage.values[known].astype(np.float64)
    return _two_levels(chosen, cells, fraction, positions[known], scatter or {})


def _two_levels(
    chosen: VisibilityParameters,
    cells: CellSet,
    coverage: Floats,
    positions: Floats,
    scatter: Mapping[str, Scatter],
) -> Places:
    """Cells of one depth at one place, the others at two."""
    number, count = cells.cells(), len(chosen.reference)
    size, higher = np.zeros((count, len(cells))), np.full((count, len(cells)), 0.5)
    for axis, band in enumerate(chosen.reference):
        if band in scatter:
            size[axis] = scatter[band].size.of_cells(number, 0.0)
            higher[axis] = scatter[band].higher.of_cells(number, 0.5)
    size[size < LEAST_SCATTER] = 0.0
    part = np.take_along_axis(higher, size.argmax(axis=0)[None], axis=0)[0]
    mean, ratio = np.sqrt(1.0 - size**2), np.sqrt(part / (1.0 - part))
    mixed = np.flatnonzero(size.any(axis=0))
    change = np.zeros((2, *positions.shape))
    change[0, :, :count] = -2.5 * np.log10(np.maximum(mean - size * ratio, DEEPEST)).T
    change[1, :, :count] = -2.5 * np.log10(mean + size / ratio).T
    row = np.concatenate((np.arange(len(cells)), mixed))
    share = np.ones(row.size)
    share[mixed], share[len(cells) :] = 1.0 - part[mixed], part[mixed]
    where = np.concatenate((positions + change[0], (positions + change[1])[mixed]))
    return Places(cells, coverage, row, share, where)


def visible(table: Table, places: Places, corners: Corners | None = None) -> Floats:
    """V / f_cov of every cell, float64 (n,); `corners` of the places where they are known."""
    corners = table.lattice.corners(places.positions) if corners is None else corners
    return places.mean(corners.logarithmic(table.relative(corners)))


def scatter_of(statistics: CellStatistics, sample: str = "good") -> Scatter | None:
    """Scatter of the noise inside cells, None where the pass has kept no moments of it.

    Parameters
    ----------
    statistics : CellStatistics
        Of a mosaic; moments of RMS over the sample.
    sample : {'good', 'valid'}
        That of the depth.
    """
    if statistics.of_exposures or f"RMS.{sample}.n" not in statistics.columns:
        return None
    moments = Moments(statistics, f"RMS.{sample}")
    mean, low, high = moments["mean"], moments["min"], moments["max"]
    std = statistic("STD").of_moments(moments)
    known = np.isfinite(mean) & (high > low)
    part = np.divide(mean - low, high - low, out=np.full(mean.size, 0.5), where=known)
    size = np.divide(std, np.hypot(mean, std), out=np.zeros(mean.size), where=known)
    cells = statistics.cells
    return Scatter(SkyMap(cells, size), SkyMap(cells, np.clip(part, FEWEST, 1.0 - FEWEST)))
