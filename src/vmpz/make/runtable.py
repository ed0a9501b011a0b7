"""The run table of an image grid: which of an area's cells holds which pixel, built once for all bands and planes.

On smooth leaves of the image (`vmpz.make.leaves`) the crossings of cell edges along a row are solved for. Any pixel
closer to a cell edge than the leaf's guard is decided by the mapping and the HEALPix library themselves, and so is
every pixel of what is not smooth. So no pixel differs from the exact assignment.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.kernels import pixelcells
from vmpz.make.leaves import LARGEST, Leaves, Positions, find_leaves, pixel_positions
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.regions import Region, covered_fractions

__all__ = ["BLOCK_ROWS", "RunBlock", "RunTable", "run_table"]

BLOCK_ROWS = LARGEST
"""Height of a row block: fixed, so that sums do not depend on threads or memory."""


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
    geom : float64 array (len(cells),)
        Share of each cell inside the outline: exact, or from the local pixel area where no outline was given.
    blocks : tuple of RunBlock
        In row order.
    exact : int
        Pixels that were decided one by one.
    """

    wcs: WCS
    shape: tuple[int, int]
    cells: CellSet
    geom: NDArray[np.float64]
    blocks: tuple[RunBlock, ...]
    exact: int

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
        What the image covers, for `geom`. Without it `geom` is the share that the pixels found in a cell stand for, by
        the solid angle of the pixel there.
    threads : int

    Returns
    -------
    RunTable
        The same for any number of threads.
    """
    positions = pixel_positions(wcs)
    leaves = find_leaves(positions, shape)
    exact = _exact_cells(positions, leaves, cells.order)
    table, box_cells, owned = _boxes(leaves, cells, exact)
    exact_places = _places(owned, exact)
    shapes = leaves.shape * float(1 << cells.order)
    shapes[:, :, 0, 0] -= table[:, pixelcells.BOX_X : pixelcells.BOX_Y + 1].T
    guard = leaves.guard * float(1 << cells.order)

    def trace(start: int) -> _Runs:
        stop = min(start + BLOCK_ROWS, shape[0])
        here = np.flatnonzero((leaves.row >= start) & (leaves.row < stop))
        here = here[np.argsort(leaves.column[here], kind="stable")]
        return _trace(
            start, stop, shape[1], table[here], shapes[:, here], guard[here], box_cells, exact_places
        )

    def number(runs: _Runs) -> RunBlock:
        return _number(runs, shape[1], owned.size)

    with ThreadPoolExecutor(threads) as pool:
        traced = list(pool.map(trace, range(0, shape[0], BLOCK_ROWS)))
        decided = _decide(positions, traced, cells.order, owned)
        blocks = list(pool.map(number, traced))
    touched, numbered = _touched(owned, cells.order, blocks)
    if outline is None:
        geom = _pixel_share(positions, touched, numbered)
    else:
        geom = covered_fractions(outline, cells.order, cells=touched).of_cells(touched.cells(), 0.0)
    return RunTable(wcs, shape, touched, geom, numbered, exact.size + decided)


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
    for chunk in np.array_split(rough, max(1, rough.size // 2048)):
        size = leaves.height[chunk] * leaves.width[chunk]
        leaf = np.repeat(chunk, size)
        pixel = np.arange(leaf.size) - np.repeat(np.cumsum(size) - size, size)
        row, column = np.divmod(pixel, leaves.width[leaf])
        parts.append(_cells_of_pixels(positions, leaves.column[leaf] + column, leaves.row[leaf] + row, order))
    return np.concatenate(parts)


def _boxes(
    leaves: Leaves, cells: CellSet, exact: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
    """Table of leaves, cell numbers inside the boxes, and the area's cells that the numbers count, ascending.

    There is one box of cells a base face: the smallest that holds all smooth leaves on it.
    """
    nside = 1 << cells.order
    table = np.zeros((leaves.row.size, 10), np.int64)
    table[:, : pixelcells.EXACT] = np.stack((leaves.row, leaves.column, leaves.height, leaves.width), axis=1)
    size = np.where(leaves.smooth, 0, leaves.height * leaves.width)
    table[:, pixelcells.EXACT] = np.where(leaves.smooth, -1, np.cumsum(size) - size)
    inside: list[NDArray[np.int64]] = []
    offset = 0
    for face in np.unique(leaves.face[leaves.smooth]):
        chosen = leaves.smooth & (leaves.face == face)
        low = np.maximum(np.floor(leaves.low[:, chosen].min(axis=1) * nside).astype(np.int64) - 1, 0)
        high = np.minimum(
            np.floor(leaves.high[:, chosen].max(axis=1) * nside).astype(np.int64) + 1, nside - 1
        )
        width, height = high - low + 1
        table[chosen, pixelcells.BOX :] = (offset, *low, width, height)
        iy, ix = np.mgrid[low[1] : high[1] + 1, low[0] : high[0] + 1]
        inside.append(hpx.nested_cells(face, ix.ravel(), iy.ravel(), cells.order))
        offset += width * height
    number = np.concatenate([*inside, exact])
    member = cells.index(number) >= 0
    owned = np.unique(number[member])
    return table, _places(owned, number[: number.size - exact.size]), owned


def _places(owned: NDArray[np.int64], cells: NDArray[np.int64]) -> NDArray[np.int32]:
    """Place of each cell among the owned ones, -1 if it is not there."""
    if owned.size == 0:
        return np.full(cells.size, pixelcells.NOT_WANTED, np.int32)
    place = np.minimum(np.searchsorted(owned, cells), owned.size - 1)
    return np.where(owned[place] == cells, place, pixelcells.NOT_WANTED).astype(np.int32)


# -- runs -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Runs:
    """Runs of the rows [start, stop), cells as places among the owned ones."""

    start: int
    stop: int
    first: NDArray[Any]
    cell: NDArray[np.int32]
    row_start: NDArray[np.int64]


def _trace(
    start: int,
    stop: int,
    columns: int,
    leaves: NDArray[np.int64],
    shape: NDArray[np.float64],
    guard: NDArray[np.float64],
    box_cells: NDArray[np.int32],
    exact: NDArray[np.int32],
) -> _Runs:
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
            return _Runs(start, stop, first[:count].copy(), cell[:count].copy(), row_start)
        if count == -2:
            raise InputError(
                f"rows {start} to {stop}: the pixel-to-sky mapping must be continuous, found a jump"
            )
        room *= 2


def _decide(positions: Positions, blocks: list[_Runs], order: int, owned: NDArray[np.int64]) -> int:
    """Fill in the cells of open pixels; their number."""
    places = [np.flatnonzero(runs.cell == pixelcells.OPEN) for runs in blocks]
    row = np.concatenate(
        [
            runs.start + np.searchsorted(runs.row_start, place, side="right") - 1
            for runs, place in zip(blocks, places, strict=True)
        ]
    )
    column = np.concatenate([runs.first[place] for runs, place in zip(blocks, places, strict=True)])
    cells = _places(owned, _cells_of_pixels(positions, column, row, order))
    parts = np.split(cells, np.cumsum([place.size for place in places])[:-1])
    for runs, place, part in zip(blocks, places, parts, strict=True):
        runs.cell[place] = part
    return int(row.size)


def _number(runs: _Runs, columns: int, owned: int) -> RunBlock:
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
