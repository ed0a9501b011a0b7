"""The run table of an image grid: which of an area's cells holds which pixel, built once for all bands and planes.

The face coordinates of HEALPix are evaluated through the image's own mapping on 5 x 5 points of each leaf (512
pixels, halved down to 16 where needed). A leaf is smooth if all points have one base face and lie on one side of
the parallels sin(dec) = +-2/3, where the projection has a kink, and if the biquadratic polynomial through 3 x 3 of
them predicts the others to 1e-4 pixel. Eight times the worst prediction error is the guard: any pixel closer to a cell
edge is decided by the mapping and the HEALPix library themselves, and so is every pixel of what is not smooth at 16
pixels. So no pixel differs from the exact assignment.
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.kernels import pixelcells
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.regions import Region, covered_fractions

__all__ = ["BLOCK_ROWS", "RunBlock", "RunTable", "pixel_positions", "run_table"]

BLOCK_ROWS = 512
"""Height of a row block: fixed, so that sums do not depend on threads or memory."""

LARGEST, SMALLEST = BLOCK_ROWS, 16
POINTS = np.linspace(-1.0, 1.0, 5)
ROUNDING = 4e-13
"""Rounding of mapping and face coordinates, in units of a base face (8e-8 arcsec)."""
TRANSITION_DEG = math.degrees(math.asin(2.0 / 3.0))

Positions = Callable[
    [NDArray[np.float64], NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float64]]
]


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


@dataclass(frozen=True)
class _Leaves:
    """Leaves of the image and what was learned about them; polynomials are in units of the base face."""

    row: NDArray[np.int64]
    column: NDArray[np.int64]
    height: NDArray[np.int64]
    width: NDArray[np.int64]
    face: NDArray[np.int64]
    smooth: NDArray[np.bool_]
    shape: NDArray[np.float64]
    guard: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def take(self, chosen: NDArray[Any]) -> "_Leaves":
        axis = {"shape": 1, "low": 1, "high": 1}
        return _Leaves(*(np.take(a, chosen, axis=axis.get(k, 0)) for k, a in vars(self).items()))

    @staticmethod
    def join(parts: list["_Leaves"]) -> "_Leaves":
        axis = {"shape": 1, "low": 1, "high": 1}
        return _Leaves(
            *(np.concatenate([vars(part)[k] for part in parts], axis=axis.get(k, 0)) for k in vars(parts[0]))
        )


def pixel_positions(wcs: WCS) -> Positions:
    """Function (column, row) -> (lon, lat) in degrees, through every term of a celestial WCS; NaN off the sky.

    Raises
    ------
    InputError
        The axes are not two axes of right ascension and declination.
    """
    if wcs.naxis != 2 or (wcs.wcs.lngtyp.strip(), wcs.wcs.lattyp.strip()) != ("RA", "DEC"):
        raise InputError(f"image axes must be RA and DEC, found {', '.join(map(str, wcs.wcs.ctype))}")
    longitude, latitude = wcs.wcs.lng, wcs.wcs.lat

    def positions(
        column: NDArray[np.float64], row: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        world = wcs.all_pix2world(column.ravel(), row.ravel(), 0)
        return world[longitude].reshape(column.shape), world[latitude].reshape(column.shape)

    return positions


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
    leaves = _leaves(positions, shape)
    exact = _exact_cells(positions, leaves, cells.order)
    table, box_cells, owned = _boxes(leaves, cells, exact)
    exact_places = _places(owned, exact)
    shapes = leaves.shape * float(1 << cells.order)
    shapes[:, :, 0, 0] -= table[:, pixelcells.BOX_X : pixelcells.BOX_Y + 1].T
    guard = leaves.guard * float(1 << cells.order)

    def block(start: int) -> tuple[RunBlock, int]:
        stop = min(start + BLOCK_ROWS, shape[0])
        here = np.flatnonzero((leaves.row >= start) & (leaves.row < stop))
        here = here[np.argsort(leaves.column[here], kind="stable")]
        runs = _trace(
            start, stop, shape[1], table[here], shapes[:, here], guard[here], box_cells, exact_places
        )
        decided = _decide(positions, start, runs, cells.order, owned)
        return _number(start, stop, shape[1], runs, owned.size), decided

    starts = range(0, shape[0], BLOCK_ROWS)
    if threads > 1:
        with ThreadPoolExecutor(threads) as pool:
            done = list(pool.map(block, starts))
    else:
        done = [block(start) for start in starts]
    blocks = [one for one, _ in done]
    touched, numbered = _touched(owned, cells.order, blocks)
    if outline is None:
        geom = _pixel_share(positions, touched, numbered)
    else:
        geom = covered_fractions(outline, cells.order, cells=touched).of_cells(touched.cells(), 0.0)
    decided = exact.size + sum(number for _, number in done)
    return RunTable(wcs, shape, touched, geom, numbered, decided)


# -- leaves ---------------------------------------------------------------------------------------------


def _leaves(positions: Positions, shape: tuple[int, int]) -> _Leaves:
    """Quadtree of leaves, smooth where they can be, in any order."""
    size = LARGEST
    row, column = (a.ravel() for a in np.mgrid[0 : shape[0] : size, 0 : shape[1] : size])
    done = []
    while row.size:
        leaves = _examine(
            positions, row, column, np.minimum(size, shape[0] - row), np.minimum(size, shape[1] - column)
        )
        keep = leaves.smooth if size > SMALLEST else np.ones(row.size, bool)
        done.append(leaves.take(np.flatnonzero(keep)))
        size //= 2
        quarter = np.array([[0, 0, size, size], [0, size, 0, size]])[:, None, :]
        row, column = (np.stack((row[~keep], column[~keep]))[:, :, None] + quarter).reshape(2, -1)
        inside = (row < shape[0]) & (column < shape[1])
        row, column = row[inside], column[inside]
    return _Leaves.join(done)


def _examine(
    positions: Positions,
    row: NDArray[np.int64],
    column: NDArray[np.int64],
    height: NDArray[np.int64],
    width: NDArray[np.int64],
) -> _Leaves:
    """Polynomials, guard and smoothness of leaves."""
    half_height, half_width = (np.asarray(0.5 * (size - 1), np.float64) for size in (height, width))
    v = half_height[:, None, None] * POINTS[:, None]
    u = half_width[:, None, None] * POINTS
    rows, columns = np.broadcast_arrays(
        row[:, None, None] + half_height[:, None, None] + v,
        column[:, None, None] + half_width[:, None, None] + u,
    )
    lon, lat = positions(columns, rows)
    known = np.isfinite(lon) & np.isfinite(lat)
    face, x, y = hpx.face_coordinates(np.where(known, lon, 0.0), np.where(known, lat, 0.0))
    xy = np.stack((x, y))
    shape = pixelcells.biquadratic(xy[:, :, ::2, ::2], half_height, half_width)
    powers_v, powers_u = v[..., None] ** np.arange(3), u[..., None] ** np.arange(3)
    predicted = np.einsum("anij,nrki,nkcj->anrc", shape, powers_v, powers_u)
    error = np.abs(predicted - xy).max(axis=(0, 2, 3))
    step = np.abs(shape[:, :, [0, 1], [1, 0]]).max(axis=(0, 2))
    low, high = xy.min(axis=(2, 3)), xy.max(axis=(2, 3))
    margin = 0.02 * (high - low) + 1e-12
    beyond = np.abs(lat) - TRANSITION_DEG
    least, most = beyond.min(axis=(1, 2)), beyond.max(axis=(1, 2))
    clear = 0.02 * (most - least) + 1e-12
    smooth = (
        known.all(axis=(1, 2))
        & (face == face[:, :1, :1]).all(axis=(1, 2))
        & ((low > margin) & (high < 1 - margin)).all(axis=0)
        & ((least > clear) | (most < -clear))
        & (error <= 1e-4 * step + ROUNDING)
    )
    return _Leaves(
        row,
        column,
        height,
        width,
        face[:, 0, 0],
        smooth,
        shape,
        8 * error + ROUNDING,
        low - margin,
        high + margin,
    )


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


def _exact_cells(positions: Positions, leaves: _Leaves, order: int) -> NDArray[np.int64]:
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
    leaves: _Leaves, cells: CellSet, exact: NDArray[np.int64]
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

_Runs = tuple[NDArray[Any], NDArray[np.int32], NDArray[np.int64]]


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
            return first[:count].copy(), cell[:count].copy(), row_start
        if count == -2:
            raise InputError(
                f"rows {start} to {stop}: the pixel-to-sky mapping must be continuous, found a jump"
            )
        room *= 2


def _decide(positions: Positions, start: int, runs: _Runs, order: int, owned: NDArray[np.int64]) -> int:
    """Fill in the cells of open pixels; their number."""
    first, cell, row_start = runs
    open_ = np.flatnonzero(cell == pixelcells.OPEN)
    if open_.size:
        row = start + np.searchsorted(row_start, open_, side="right") - 1
        cell[open_] = _places(owned, _cells_of_pixels(positions, first[open_], row, order))
    return int(open_.size)


def _number(start: int, stop: int, columns: int, runs: _Runs, owned: int) -> RunBlock:
    """A block with its own dense numbering of cells."""
    first, cell, row_start = runs
    most = min(owned, cell.size)
    slot_cell, found = np.empty(most, np.int32), np.empty(most, np.int64)
    slots = pixelcells.number_slots(
        first, cell, row_start, columns, np.full(owned, -1, np.int32), slot_cell, found
    )
    return RunBlock(start, stop, first, cell, row_start, slot_cell[:slots].copy(), found[:slots].copy())


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
        slot, run = np.unique(block.slot, return_index=True)
        slot, run = slot[slot >= 0], run[slot >= 0]
        row = (block.start + np.searchsorted(block.row_start, run, side="right") - 1).astype(np.float64)
        column = block.first[run].astype(np.float64)
        area = _pixel_area_sr(positions, column, row) / hpx.cell_area_sr(cells.order)
        share[block.cells[slot]] += block.found[slot] * area
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
