"""Maps of catalogues: density of sources, and statistics of their columns, in cells coarse enough to hold some.

**Area.** A coarse cell is known through the area's own cells in it: sources count in own cells of observed fraction
f > 0 alone, the area is ``Omega sum f`` over them (Omega the solid angle of an own cell), and the value of the coarse
cell stands in each of them; own cells with f = 0 are absent. So density times ``Omega f``, summed over the cells, is
the number of sources that counted, also for parts of a coarse cell that belong to different areas.

**Whose sources.** A catalogue made from the images themselves has no sources in the masked share of a cell, and each
source counts once. A catalogue from elsewhere (Gaia) lists sources there too; then (`everywhere`) each counts with the
fraction f of its cell, the chance that it lies in the observed share. Either way the density of a uniform sky is found
without bias.

**Window.** Sources with ``low <= column < high``; one whose number is missing is outside. Adjacent windows add.

A coarse cell without sources has density 0, and no statistic of them.
"""

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError, MapMismatchError, MissingProductError
from vmpz.frames import Sources
from vmpz.make.values import measured_map
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap
from vmpz.statistics import Samples, statistic

__all__ = ["Window", "density_map", "source_map"]

Array = NDArray[np.float64]
Window = tuple[str, float, float]
"""Column, lowest value, and the value below which."""


def density_map(
    sources: Sources,
    cells: CellSet,
    fraction: Array,
    *,
    order: int,
    window: Window | None = None,
    everywhere: bool = False,
) -> SkyMap:
    """Number of sources per unmasked square degree, float32.

    Parameters
    ----------
    sources : Sources
        At least those inside the cells.
    cells : CellSet
        The area's own cells.
    fraction : float64 (n,)
        Observed (or unmasked) fraction of each of the n cells, in [0, 1].
    order : int
        Of the coarse cells, at most that of the cells.
    window : Window, optional
        Which sources count; default all.
    everywhere : bool
        The catalogue also lists sources where the area is masked.

    Raises
    ------
    MapMismatchError
        There is not one fraction in [0, 1] per cell, or the order is finer than that of the cells.
    InputError
        The sources lack the column of the window.
    """
    coarse = _CoarseCells(cells, fraction, order)
    place = coarse.places(sources)
    counts = np.bincount(place[(place >= 0) & _inside(sources, window)], minlength=len(cells))
    weight = coarse.fraction if everywhere else np.ones(len(cells))
    number, area = coarse.total(counts * weight), coarse.area_deg2
    return coarse.spread(np.divide(number, area, out=np.zeros(area.size), where=area > 0.0))


def source_map(
    sources: Sources,
    cells: CellSet,
    fraction: Array,
    *,
    column: str,
    name: str = "MEAN",
    order: int,
    window: Window | None = None,
    everywhere: bool = False,
) -> SkyMap:
    """A statistic of a column of the sources, float32; absent where no source has a number.

    Parameters
    ----------
    column : str
        Of `sources`; missing numbers (NaN) are left out.
    name : str
        Statistic; a sample is a source, its share of the cell 1, or with `everywhere` the fraction of its own cell.
    sources, cells, fraction, order, window, everywhere
        As of `density_map`.

    Raises
    ------
    MapMismatchError
        As of `density_map`.
    InputError
        The sources lack a column, or there is no such statistic.
    MissingProductError
        The number of a source is asked for (ARGMIN, ARGMAX): it would depend on the order of the catalogue.
    """
    chosen = statistic(name)
    if chosen.name in ("ARGMIN", "ARGMAX"):
        raise MissingProductError(f"{column}: {name} is the number of an exposure; sources have none")
    coarse, values = _CoarseCells(cells, fraction, order), _column(sources, column)
    place = coarse.places(sources)
    kept = (place >= 0) & _inside(sources, window) & np.isfinite(values)
    own = place[kept]
    samples = Samples(coarse.number)
    samples.add(coarse.parent[own], values[kept], coarse.fraction[own] if everywhere else 1.0)
    return coarse.spread(chosen.finish(samples))


class _CoarseCells:
    """Coarse cells as known through own cells: the place of each own cell's parent, and the observed area."""

    def __init__(self, cells: CellSet, fraction: Array, order: int) -> None:
        if not 0 <= order <= cells.order:
            raise MapMismatchError(
                f"sources must be counted at an order of 0 to {cells.order}, found {order}"
            )
        if fraction.shape != (len(cells),) or not np.all((fraction >= 0.0) & (fraction <= 1.0)):
            raise MapMismatchError(
                f"sources need one observed fraction in [0, 1] per cell: {len(cells)} cells, found shape "
                f"{fraction.shape}, {fraction.min(initial=0.0)} to {fraction.max(initial=0.0)}"
            )
        self.cells, self.fraction = cells, fraction
        coarse = cells.at_order(order)
        self.parent = coarse.index(cells.cells() >> (2 * (cells.order - order)))
        self.number = len(coarse)
        self.area_deg2 = self.total(fraction) * hpx.cell_area_deg2(cells.order)

    def places(self, sources: Sources) -> NDArray[np.int64]:
        """Place of the own cell of each source, -1 where there is none or it was not observed."""
        place = self.cells.index(hpx.cells_at(sources.lon_deg, sources.lat_deg, self.cells.order))
        place[place >= 0] = np.where(self.fraction[place[place >= 0]] > 0.0, place[place >= 0], -1)
        return place

    def total(self, values: Array) -> Array:
        """Sum over the own cells of each coarse cell."""
        return np.asarray(np.bincount(self.parent, values, self.number), np.float64)

    def spread(self, values: Array) -> SkyMap:
        """The values of coarse cells in the own cells that were observed."""
        return measured_map(self.cells, np.where(self.fraction > 0.0, values[self.parent], np.nan))


def _inside(sources: Sources, window: Window | None) -> NDArray[np.bool_]:
    if window is None:
        return np.ones(len(sources), np.bool_)
    values = _column(sources, window[0])
    return (values >= window[1]) & (values < window[2])


def _column(sources: Sources, name: str) -> Array:
    if name not in sources.columns:
        raise InputError(f"sources must have a column {name}, found {', '.join(sources.columns) or 'none'}")
    return sources.columns[name]
