"""What several bands, or finer cells, make of the pixels found good: a plane of one bit a pixel.

The statistics of one band cannot tell which pixels are good in all bands, nor where in a cell they lie; the good-pixel
plane can, without reading an image again. It is counted over the run table of its grid.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError, MapMismatchError
from vmpz.kernels import goodpixels
from vmpz.make.runtable import RunTable, subcell_runs
from vmpz.sky.cells import CellSet
from vmpz.sky.regions import Region, cells_inside

__all__ = ["SUBCELL_ORDERS", "GoodPixels", "joint_good", "subcell_words"]

SUBCELL_ORDERS = 3
"""A word of 64 bits holds the sub-cells this many orders deeper."""


@dataclass(frozen=True)
class GoodPixels:
    """Usable pixels of an area's own cells that a selection does not hit, one bit each.

    Attributes
    ----------
    shape : (int, int)
        Rows, columns.
    bits : uint64 array (rows, ceil(columns / 64))
        Lowest bit first.
    """

    shape: tuple[int, int]
    bits: NDArray[np.uint64]


def joint_good(table: RunTable, planes: Iterable[GoodPixels]) -> NDArray[np.int64]:
    """Pixels of each cell that are good in all bands.

    Parameters
    ----------
    table : RunTable
    planes : iterable of GoodPixels
        Of the table's grid, at least one.

    Returns
    -------
    int64 array (len(table.cells),)

    Raises
    ------
    InputError
        There is no plane, or one has another shape.
    """
    many = list(planes)
    _must_fit(table, many)
    total = np.zeros(len(table.cells), np.int64)
    for block in table.blocks:
        bits = np.bitwise_and.reduce([one.bits[block.start : block.stop] for one in many])
        counts = np.zeros(block.cells.size, np.int64)
        goodpixels.count_rows(table.shape[1], block.first, block.slot, block.row_start, bits, counts)
        total[block.cells] += counts
    return total


def subcell_words(
    cells: CellSet,
    table: RunTable,
    good: GoodPixels,
    *,
    outline: Region | None = None,
    threads: int = 1,
) -> NDArray[np.uint64]:
    """Where in each cell the good pixels are: one bit for each of its 64 sub-cells.

    Parameters
    ----------
    cells : CellSet
    table : RunTable
        Of the plane's grid and the order of the cells.
    good : GoodPixels
    outline : Polygon or Cap, optional
        Of the image. A sub-cell whose centre it holds, but in which no pixel has its centre because pixels are larger,
        is taken to be as the smallest cell around it that has pixels; without outline it is not good.
    threads : int

    Returns
    -------
    uint64 array (len(cells),)
        Bit k is set if more than half of the pixels found in sub-cell ``64 cell + k`` (nested) are good.

    Raises
    ------
    InputError
        The plane has another shape.
    MapMismatchError
        The table is of another order.
    """
    if table.cells.order != cells.order:
        raise MapMismatchError(f"the run table must have order {cells.order}, found {table.cells.order}")
    _must_fit(table, [good])
    found, counts = np.zeros((2, len(table.cells) << 2 * SUBCELL_ORDERS), np.int64)
    for runs in subcell_runs(table, SUBCELL_ORDERS, threads=threads):
        where = (table.shape[1], runs.first, runs.cell, runs.row_start)
        goodpixels.count_pixels(*where, found)
        goodpixels.count_rows(*where, good.bits[runs.start : runs.stop], counts)
    well = 2 * counts > found
    if outline is not None and not _every_subcell_has_pixels(table):
        sub = table.cells.at_order(table.cells.order + SUBCELL_ORDERS)
        inside = np.zeros(well.size, np.bool_)
        inside[sub.index((cells_inside(outline, sub.order) & sub).cells())] = True
        well |= inside & _as_around(counts, found)
    bits = np.packbits(well.reshape(-1, 8), axis=1, bitorder="little")
    words = np.zeros(len(cells), np.uint64)
    place = cells.index(table.cells.cells())
    words[place[place >= 0]] = bits.reshape(-1, 8).view("<u8")[place >= 0, 0]
    return words


def _every_subcell_has_pixels(table: RunTable) -> bool:
    """Whether pixels are so small that each sub-cell whose centre the image holds has the centre of a pixel."""
    return table.leaves.longest_step * (1 << (table.cells.order + SUBCELL_ORDERS)) < 1.0


def _as_around(counts: NDArray[np.int64], found: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Sub-cells without pixels that are good by the majority of the smallest cell around them that has pixels."""
    known, well = found > 0, np.zeros(found.size, np.bool_)
    for level in range(1, SUBCELL_ORDERS + 1):
        size = 1 << (2 * level)
        good, many = (np.repeat(one.reshape(-1, size).sum(axis=1), size) for one in (counts, found))
        well |= ~known & (2 * good > many)
        known |= many > 0
    return well


def _must_fit(table: RunTable, planes: Sequence[GoodPixels]) -> None:
    if not planes or any(one.shape != table.shape for one in planes):
        raise InputError(
            f"good-pixel planes must have shape {table.shape}, found {[one.shape for one in planes]}"
        )
