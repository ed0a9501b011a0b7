"""Many overlapping outlines: the sum of their shares of each cell, and the share that their union covers.

The sum is the mean number of outlines over a cell and needs no more than the exact shares. The union is the
largest single share where that is 1 or only one outline touches the cell; elsewhere, and only there, every cell
is divided into 8 x 8, one 64-bit word an outline tells whose centres it holds, and the words are joined.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vmpz.kernels import chords
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.covers import NO_CELLS, Boundaries, Cover, add_up, changes, unit_vectors
from vmpz.sky.skymap import SkyMap

__all__ = ["CellSums", "sub_cells_inside", "unite"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Words = NDArray[np.uint64]

BLOCK_ORDERS = 7  # a block of sums holds 4**7 cells, more where there would be too many blocks
LAST_BLOCK_ORDER = 8
DEEPEST_BLOCKS = 18  # beyond, a block would hold more cells than outlines touch


class CellSums:
    """Running sum of the shares of covers, in blocks of cells, so that memory follows the area."""

    def __init__(self, order: int) -> None:
        self._order = order
        self._shift = 2 * (order - max(min(order - BLOCK_ORDERS, LAST_BLOCK_ORDER), 0))
        self._whole: list[IntArray] = []
        self._sparse: list[tuple[IntArray, FloatArray]] = []
        self._slot = np.full(hpx.number_of_cells(order) >> self._shift, -1, np.int32)
        self._used = 0
        self._total = np.zeros((0, 1 << self._shift)) if order <= DEEPEST_BLOCKS else np.empty((0, 0))

    def add(self, covered: Cover) -> None:
        """Add the shares of a cover."""
        self._whole.append(covered.whole)
        if self._order > DEEPEST_BLOCKS:
            self._sparse.append((covered.cell, covered.share))
            return
        self._used = chords.find_blocks(covered.cell, self._shift, self._slot, self._used)
        if self._used > len(self._total):
            grown = np.zeros((2 * self._used, 1 << self._shift))
            grown[: len(self._total)] = self._total
            self._total = grown
        chords.add_to_blocks(covered.cell, covered.share, self._shift, self._slot, self._total)

    def map(self, cells: CellSet | None) -> SkyMap:
        """The sums, float64, of the cells that have one."""
        block = np.flatnonzero(self._slot >= 0)
        found = [self._of_block(int(one)) for one in block] + self._sparse + [(NO_CELLS, np.empty(0))]
        cell, share = (np.concatenate(column) for column in zip(*found, strict=True))
        whole = np.concatenate([*self._whole, np.empty((0, 2), np.int64)])
        if len(whole) or self._sparse:
            return add_up(Cover(self._order, np.zeros_like(cell), cell, share, whole[:, 0], whole), cells)
        total = SkyMap.from_cells(self._order, cell, share)
        return total if cells is None else total.clip(cells)

    def _of_block(self, block: int) -> tuple[IntArray, FloatArray]:
        total = self._total[self._slot[block]]
        some = np.flatnonzero(total)
        return some + (block << self._shift), total[some]


def unite(covered: Cover, cells: CellSet | None, words: Callable[[IntArray, IntArray], Words]) -> SkyMap:
    """Share of each cell that the union of the regions of a cover holds.

    `words` gives, for pairs (region, cell) ascending by region, the sub-cells inside as 64 bits.
    """
    full = covered.share == 1.0
    whole = CellSet.from_ranges(covered.order, covered.whole)
    whole |= CellSet.from_cells(covered.order, covered.cell[full])
    part = ~full & (covered.share > 0.0) & (whole.index(covered.cell) < 0)
    if cells is not None:
        whole &= cells
        part &= cells.index(covered.cell) >= 0
    by_cell = np.lexsort((covered.owner[part], covered.cell[part]))
    owner, cell, share = (column[part][by_cell] for column in (covered.owner, covered.cell, covered.share))
    start = np.flatnonzero(changes(cell))
    if start.size == 0:
        return SkyMap(whole, np.ones(len(whole)))
    most = np.maximum.reduceat(share, start)
    several = np.diff(np.append(start, cell.size)) > 1
    rows = np.flatnonzero(np.repeat(several, np.diff(np.append(start, cell.size))))
    joined = _joined(owner[rows], cell[rows], words)
    most[several] = np.clip(joined, most[several], np.minimum(np.add.reduceat(share, start)[several], 1.0))
    number = np.concatenate((whole.cells(), cell[start]))
    return SkyMap.from_cells(covered.order, number, np.concatenate((np.ones(len(whole)), most)))


def _joined(owner: IntArray, cell: IntArray, words: Callable[[IntArray, IntArray], Words]) -> FloatArray:
    """Part of the 64 sub-cells of each cell (rows ascending by cell) that any of its owners holds."""
    if cell.size == 0:
        return np.empty(0)
    by_owner = np.argsort(owner, kind="stable")
    word = np.empty(cell.size, np.uint64)
    word[by_owner] = words(owner[by_owner], cell[by_owner])
    return np.bitwise_count(np.bitwise_or.reduceat(word, np.flatnonzero(changes(cell)))) / 64.0


def sub_cells_inside(boundaries: Boundaries, owner: IntArray, cell: IntArray, order: int) -> Words:
    """Words of pairs by a test of all 64 points, for regions that `chords.mark` does not know."""
    bit = np.arange(64)
    lon, lat = hpx.positions(cell[:, np.newaxis], order, (bit % 8 + 0.5) / 8.0, (bit // 8 + 0.5) / 8.0)
    points = unit_vectors(lon, lat).reshape(-1, 3)
    held = boundaries.hold(points, np.repeat(owner, 64)).reshape(-1, 64)
    words: Words = np.bitwise_or.reduce(held.astype(np.uint64) << bit.astype(np.uint64), axis=1)
    return words
