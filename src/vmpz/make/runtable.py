"""The run table of an image grid: which of an area's cells holds which pixel, built once for all bands and planes.

On smooth leaves of the image (`vmpz.make.leaves`) the crossings of cell edges along a row are solved for. Any pixel
closer to a cell edge than the leaf's guard is decided by the mapping and the HEALPix library themselves, and so is
every pixel of what is not smooth. So no pixel differs from the exact assignment.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.kernels import pixelcells
from vmpz.kernels.pixelcells import NOT_WANTED
from vmpz.make.leaves import LARGEST, Leaves, Positions, find_leaves, pixel_positions
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.regions import Region, covered_fractions

__all__ = ["BLOCK_ROWS", "RunBlock", "RunTable", "Runs", "run_table", "subcell_runs"]

BLOCK_ROWS = LARGEST
"""Height of a row block: fixed, so that sums do not depend on threads or memory."""
PIXELS_AT_ONCE = 1 << 23
"""Pixels whose runs by sub-cells are made at once."""


@dataclass(frozen=True)
class RunBlock:
    """Runs of the rows [start, stop).

    Attributes
    ----------
    first : uint16 or uint32 array (runs,)
        First column of each run.
    slot : int32 array (runs,)
        Place of its cell in `cells`, -1 where the cell is not one of the area.
    row_start : int64 array (stop - start + 1,)
        First run of each row, and the number of runs.
    cells : int32 array (slots,)
        Place of each slot's cell in the table's `cells`.
    found : int64 array (slots,)
        Pixels of each slot.
    """

    start: int
    stop: int
    first: NDArray[Any]
    slot: NDArray[np.int32]
    row_start: NDArray[np.int64]
    cells: NDArray[np.int32]
    found: NDArray[np.int64]


@dataclass(frozen=True)
class Runs:
    """Runs of the rows [start, stop): first column and cell of each, the latter by a numbering of its own."""

    start: int
    stop: int
    first: NDArray[Any]
    cell: NDArray[np.int32]
    row_start: NDArray[np.int64]


@dataclass(frozen=True)
class RunTable:
    """Which cell holds which pixel centre.

    Attributes
    ----------
    wcs : WCS
        The mapping of the grid.
    shape : (int, int)
        Rows, columns.
    cells : CellSet
        The area's own cells in which a pixel centre lies.
    blocks : tuple of RunBlock
        In row order.
    exact : int
        Pixels that were decided one by one.
    leaves : Leaves
        The pieces that the mapping is smooth on.
    outline : Polygon or Cap, optional
        What the image covers.
    """

    wcs: WCS
    shape: tuple[int, int]
    cells: CellSet
    blocks: tuple[RunBlock, ...]
    exact: int
    leaves: Leaves
    outline: Region | None = None

    @cached_property
    def geom(self) -> NDArray[np.float64]:
        """Share of each cell inside the outline, float64 (len(cells),).

        Exact, or, without an outline, what the pixels found there stand for, by the solid angle of a pixel there.
        """
        if self.outline is None:
            return _pixel_share(pixel_positions(self.wcs), self.cells, self.blocks)
        share = covered_fractions(self.outline, self.cells.order, cells=self.cells)
        return share.of_cells(self.cells.cells(), 0.0)

    @cached_property
    def found(self) -> NDArray[np.int64]:
        """Pixels whose centre lies in each cell, int64 (len(cells),)."""
        total = np.zeros(len(self.cells), np.int64)
        for block in self.blocks:
            total[block.cells] += block.found
        total.flags.writeable = False
        return total

    def places(self, block: RunBlock) -> NDArray[np.int32]:
        """Place in `cells` of every pixel of a block, -1 outside; int32 (rows, columns)."""
        out = np.empty((block.stop - block.start, self.shape[1]), np.int32)
        pixelcells.expand(block.first, block.slot, block.row_start, self.shape[1], out)
        return np.append(block.cells, np.int32(-1))[out]


def run_table(
    wcs: WCS, shape: tuple[int, int], cells: CellSet, *, outline: Region | None = None, threads: int = 1
) -> RunTable:
    """Assign the pixels of an image to cells by their centres.

    Parameters
    ----------
    wcs : WCS
        Any celestial mapping: projection, distortion, rotation, order of axes.
    shape : (int, int)
        Rows, columns.
    cells : CellSet
        The area's own cells, at the working order.
    outline : Polygon or Cap, optional
        What the image covers, for `geom`.
    threads : int

    Returns
    -------
    RunTable
        The same for any number of threads.

    Examples
    --------
    >>> wcs = WCS({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CDELT1": -0.01, "CDELT2": 0.01})
    >>> int(run_table(wcs, (100, 100), CellSet.everything(3)).found.sum())
    10000
    """
    positions = pixel_positions(wcs)
    leaves = find_leaves(positions, shape)
    exact = _exact_cells(positions, leaves, cells.order)
    boxes = _Boxes.of(leaves, cells.order)
    number = np.concatenate((boxes.cells(), exact))
    owned = np.unique(number[cells.index(number) >= 0])
    places = _places(owned, number)
    trace = _tracer(
        leaves, boxes, shape[1], places[: number.size - exact.size], places[number.size - exact.size :]
    )
    starts = range(0, shape[0], BLOCK_ROWS)
    with _pool(threads) as every:
        traced = list(every(lambda start: trace(start, min(start + BLOCK_ROWS, shape[0])), starts))
        decided = _decide(positions, traced, cells.order, lambda cell: _places(owned, cell))
        blocks = list(every(lambda runs: _number(runs, shape[1], owned.size), traced))
    touched, numbered = _touched(owned, cells.order, blocks)
    return RunTable(wcs, shape, touched, numbered, exact.size + decided, leaves, outline)


def subcell_runs(table: RunTable, levels: int, *, threads: int = 1) -> Iterator[Runs]:
    """Runs of the same pixels by the cells `levels` orders deeper inside the cells of a table, block after block.

    Parameters
    ----------
    table : RunTable
    levels : int
    threads : int

    Yields
    ------
    Runs
        Cell ``k`` is child ``k % 4**levels`` (nested) of the cell at place ``k // 4**levels`` of the table.

    Raises
    ------
    InputError
        There are more than 2**31 of them.
    """
    if len(table.cells) << 2 * levels >= 1 << 31:
        raise InputError(
            f"an image must touch at most 2**31 sub-cells, found {len(table.cells)} * 4**{levels}"
        )
    order, depth, rows = table.cells.order + levels, 2 * levels, table.shape[0]
    positions, leaves = pixel_positions(table.wcs), table.leaves

    def places(cell: NDArray[np.int64]) -> NDArray[np.int32]:
        parent = table.cells.index(cell >> depth)
        return np.where(parent >= 0, (parent << depth) | (cell & ((1 << depth) - 1)), NOT_WANTED).astype(
            np.int32
        )

    boxes = _Boxes.of(leaves, order, levels)
    exact = places(_exact_cells(positions, leaves, order))
    trace = _tracer(leaves, boxes, table.shape[1], boxes.children(table.cells, levels), exact)
    height = BLOCK_ROWS * max(1, PIXELS_AT_ONCE // (BLOCK_ROWS * table.shape[1]))
    with _pool(threads) as every:
        for runs in every(lambda start: trace(start, min(start + height, rows)), range(0, rows, height)):
            _decide(positions, [runs], order, places)
            yield runs


@contextmanager
def _pool(threads: int) -> Iterator[Any]:
    """`map`, over threads where there are several."""
    if threads == 1:
        yield map
        return
    with ThreadPoolExecutor(threads) as pool:
        yield pool.map


# -- cells ----------------------------------------------------------------------------------------------


def _cells_of_pixels(
    positions: Positions, column: NDArray[Any], row: NDArray[Any], order: int
) -> NDArray[np.int64]:
    """Cells of pixel centres by the mapping and the HEALPix library, -1 off the sky."""
    lon, lat = positions(column.astype(np.float64), row.astype(np.float64))
    known = np.isfinite(lon) & np.isfinite(lat)
    if known.all():
        return hpx.cells_at(lon, lat, order)
    out = np.full(lon.shape, -1, np.int64)
    out[known] = hpx.cells_at(lon[known], lat[known], order)
    return out


def _exact_cells(positions: Positions, leaves: Leaves, order: int) -> NDArray[np.int64]:
    """Cells of all pixels of leaves that are not smooth, leaf after leaf, row by row."""
    parts = [np.empty(0, np.int64)]
    rough = np.flatnonzero(~leaves.smooth)
    for chunk in np.array_split(rough, max(1, rough.size // 2048)) if rough.size else ():
        size = leaves.height[chunk] * leaves.width[chunk]
        leaf = np.repeat(chunk, size)
        pixel = np.arange(leaf.size) - np.repeat(np.cumsum(size) - size, size)
        row, column = np.divmod(pixel, leaves.width[leaf])
        parts.append(_cells_of_pixels(positions, leaves.column[leaf] + column, leaves.row[leaf] + row, order))
    return np.concatenate(parts)


@dataclass(frozen=True)
class _Boxes:
    """Boxes of cells, one a base face: the smallest that hold all smooth leaves on it.

    `table` holds the leaves (`pixelcells`); `boxes` base face, first ix and iy, width and height of each box.
    """

    order: int
    table: NDArray[np.int64]
    boxes: NDArray[np.int64]

    @classmethod
    def of(cls, leaves: Leaves, order: int, levels: int = 0) -> "_Boxes":
        """Boxes of whole cells `levels` orders up."""
        nside = 1 << order
        table = np.zeros((leaves.row.size, 10), np.int64)
        table[:, : pixelcells.EXACT] = np.stack(
            (leaves.row, leaves.column, leaves.height, leaves.width), axis=1
        )
        size = np.where(leaves.smooth, 0, leaves.height * leaves.width)
        table[:, pixelcells.EXACT] = np.where(leaves.smooth, -1, np.cumsum(size) - size)
        boxes, offset = [], 0
        for face in np.unique(leaves.face[leaves.smooth]):
            chosen = leaves.smooth & (leaves.face == face)
            low = np.floor(leaves.low[:, chosen].min(axis=1) * nside).astype(np.int64) - 1
            high = np.floor(leaves.high[:, chosen].max(axis=1) * nside).astype(np.int64) + 1
            low = np.maximum(low, 0) >> levels << levels
            width, height = (np.minimum(high, nside - 1) >> levels) + 1 - (low >> levels) << levels
            table[chosen, pixelcells.BOX :] = (offset, *low, width, height)
            boxes.append((int(face), *low, width, height))
            offset += width * height
        return cls(order, table, np.array(boxes, np.int64).reshape(-1, 5))

    def cells(self) -> NDArray[np.int64]:
        """Numbers of all cells of the boxes, row by row."""
        return np.concatenate(
            [np.empty(0, np.int64), *(self._numbers(box, self.order) for box in self.boxes)]
        )

    def children(self, cells: CellSet, levels: int) -> NDArray[np.int32]:
        """All cells of the boxes as children of cells `levels` orders up, see `subcell_runs`."""
        side = np.arange(1 << levels)
        child = hpx.nested_cells(0, *np.meshgrid(side, side), levels).astype(np.int32)
        parts = [np.empty(0, np.int32)]
        for face, x, y, width, height in self.boxes:
            shape = (height >> levels, width >> levels)
            upper = np.array((face, x >> levels, y >> levels, *shape[::-1]))
            parent = cells.index(self._numbers(upper, cells.order)).astype(np.int32).reshape(shape)
            first = np.where(parent >= 0, parent << 2 * levels, NOT_WANTED)[:, None, :, None]
            parts.append(np.where(first >= 0, first + child[:, None, :], NOT_WANTED).ravel())
        return np.concatenate(parts)

    @staticmethod
    def _numbers(box: NDArray[np.int64], order: int) -> NDArray[np.int64]:
        face, x, y, width, height = box
        iy, ix = np.mgrid[y : y + height, x : x + width]
        return hpx.nested_cells(face, ix.ravel(), iy.ravel(), order)


def _places(owned: NDArray[np.int64], cells: NDArray[np.int64]) -> NDArray[np.int32]:
    """Place of each cell among the owned ones, -1 if it is not there."""
    if owned.size == 0:
        return np.full(cells.size, NOT_WANTED, np.int32)
    place = np.minimum(np.searchsorted(owned, cells), owned.size - 1)
    return np.where(owned[place] == cells, place, NOT_WANTED).astype(np.int32)


# -- runs -----------------------------------------------------------------------------------------------


def _tracer(
    leaves: Leaves, boxes: _Boxes, columns: int, box_cells: NDArray[np.int32], exact: NDArray[np.int32]
) -> Callable[[int, int], Runs]:
    """Function (start, stop) -> runs of these rows, the cells of boxes and of exact pixels being numbered so."""
    table, nside = boxes.table, float(1 << boxes.order)
    shapes, guard = leaves.shape * nside, leaves.guard * nside
    shapes[:, :, 0, 0] -= table[:, pixelcells.BOX_X : pixelcells.BOX_Y + 1].T

    def trace(start: int, stop: int) -> Runs:
        here = np.flatnonzero((leaves.row >= start) & (leaves.row < stop))
        here = here[np.argsort(leaves.column[here], kind="stable")]
        return _trace(start, stop, columns, table[here], shapes[:, here], guard[here], box_cells, exact)

    return trace


def _trace(
    start: int,
    stop: int,
    columns: int,
    leaves: NDArray[np.int64],
    shape: NDArray[np.float64],
    guard: NDArray[np.float64],
    box_cells: NDArray[np.int32],
    exact: NDArray[np.int32],
) -> Runs:
    """Runs of a block in arrays of the right length."""
    height, width = leaves[:, pixelcells.HEIGHT], leaves[:, pixelcells.WIDTH]
    slopes = np.abs(shape[:, :, 0, 1]).sum(axis=0)
    room = int(np.sum(height * np.minimum(width, slopes * width * 1.05 + 2.0))) + 4096
    row_start = np.empty(stop - start + 1, np.int64)
    while True:
        first = np.empty(room, np.uint16 if columns <= 1 << 16 else np.uint32)
        cell = np.empty(room, np.int32)
        count = pixelcells.trace(
            start, stop, columns, leaves, shape, guard, box_cells, exact, first, cell, row_start
        )
        if count >= 0:
            return Runs(start, stop, first[:count].copy(), cell[:count].copy(), row_start)
        if count == -2:
            raise InputError(
                f"rows {start} to {stop}: the pixel-to-sky mapping must be continuous, found a jump"
            )
        room *= 2


def _decide(
    positions: Positions,
    blocks: list[Runs],
    order: int,
    place_of: Callable[[NDArray[np.int64]], NDArray[np.int32]],
) -> int:
    """Fill in the cells of open pixels; their number."""
    places = [np.flatnonzero(runs.cell == pixelcells.OPEN) for runs in blocks]
    row = np.concatenate(
        [
            runs.start + np.searchsorted(runs.row_start, place, side="right") - 1
            for runs, place in zip(blocks, places, strict=True)
        ]
    )
    column = np.concatenate([runs.first[place] for runs, place in zip(blocks, places, strict=True)])
    cells = place_of(_cells_of_pixels(positions, column, row, order))
    parts = np.split(cells, np.cumsum([place.size for place in places])[:-1])
    for runs, place, part in zip(blocks, places, parts, strict=True):
        runs.cell[place] = part
    return int(row.size)


def _number(runs: Runs, columns: int, owned: int) -> RunBlock:
    """A block with its own dense numbering of cells."""
    most = min(owned, runs.cell.size)
    slot_cell, found = np.empty(most, np.int32), np.empty(most, np.int64)
    slots = pixelcells.number_slots(
        runs.first, runs.cell, runs.row_start, columns, np.full(owned, -1, np.int32), slot_cell, found
    )
    return RunBlock(
        runs.start,
        runs.stop,
        runs.first,
        runs.cell,
        runs.row_start,
        slot_cell[:slots].copy(),
        found[:slots].copy(),
    )


def _touched(
    owned: NDArray[np.int64], order: int, blocks: list[RunBlock]
) -> tuple[CellSet, tuple[RunBlock, ...]]:
    """The cells that were found, and the blocks numbered by them."""
    touched = np.zeros(owned.size, bool)
    for block in blocks:
        touched[block.cells] = True
    place = (np.cumsum(touched) - 1).astype(np.int32)
    return (
        CellSet.from_cells(order, owned[touched]),
        tuple(replace(block, cells=place[block.cells]) for block in blocks),
    )


def _pixel_share(positions: Positions, cells: CellSet, blocks: tuple[RunBlock, ...]) -> NDArray[np.float64]:
    """Number of pixels of each cell times their solid angle, taken at a pixel in it, in cells."""
    share = np.zeros(len(cells))
    for block in blocks:
        highest = np.maximum.accumulate(block.slot)
        run = np.flatnonzero(np.diff(highest, prepend=-1) > 0)  # slots are numbered by their first run
        row = (block.start + np.searchsorted(block.row_start, run, side="right") - 1).astype(np.float64)
        column = block.first[run].astype(np.float64)
        area = _pixel_area_sr(positions, column, row) / hpx.cell_area_sr(cells.order)
        share[block.cells] += block.found * area
    return share


def _pixel_area_sr(
    positions: Positions, column: NDArray[np.float64], row: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Solid angle of pixels: half the cross product of the diagonals."""
    corners = []
    for right, up in ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)):
        lon, lat = np.radians(positions(column + right, row + up))
        corners.append(np.stack((np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)), axis=-1))
    cross = np.cross(corners[2] - corners[0], corners[3] - corners[1])
    return np.asarray(0.5 * np.linalg.norm(cross, axis=-1))
