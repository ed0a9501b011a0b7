"""What several bands, or finer cells, make of the pixels found good: a plane of one bit a pixel.

The statistics of one band cannot tell which pixels are good in all bands, nor where in a cell they lie; the good-pixel
plane can, without reading an image again. It is counted over the run table of its grid.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError, MapMismatchError
from vmpz.kernels import goodpixels
from vmpz.make.runtable import RunTable
from vmpz.sky.cells import CellSet

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
    if not many or any(one.shape != table.shape for one in many):
        raise InputError(
            f"good-pixel planes must have shape {table.shape}, found {[one.shape for one in many]}"
        )
    total = np.zeros(len(table.cells), np.int64)
    for block in table.blocks:
        bits = np.bitwise_and.reduce([one.bits[block.start : block.stop] for one in many])
        counts = np.zeros(block.cells.size, np.int64)
        goodpixels.count_rows(table.shape[1], block.first, block.slot, block.row_start, bits, counts)
        total[block.cells] += counts
    return total


def subcell_words(cells: CellSet, fine: RunTable, good: GoodPixels) -> NDArray[np.uint64]:
    """Where in each cell the good pixels are: one bit for each of its 64 sub-cells.

    Parameters
    ----------
    cells : CellSet
    fine : RunTable
        Of the plane's grid, on these cells at an order deeper by `SUBCELL_ORDERS`.
    good : GoodPixels

    Returns
    -------
    uint64 array (len(cells),)
        Bit k is set if more than half of the pixels found in sub-cell ``64 cell + k`` (nested) are good.

    Raises
    ------
    MapMismatchError
        The table is of another order.
    """
    if fine.cells.order != cells.order + SUBCELL_ORDERS:
        raise MapMismatchError(
            f"sub-cells of order {cells.order} have order {cells.order + SUBCELL_ORDERS}, found {fine.cells.order}"
        )
    number = fine.cells.cells()[2 * joint_good(fine, [good]) > fine.found]
    place = cells.index(number >> (2 * SUBCELL_ORDERS))
    words = np.zeros(len(cells), np.uint64)
    known = place >= 0
    bit = np.uint64(1) << (number[known] & 63).astype(np.uint64)
    np.bitwise_or.at(words, place[known], bit)
    return words
