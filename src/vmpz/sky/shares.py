"""Tables of outlines: sums over them of shares times weights, their union, and the shares one by one.

An exposure is an outline with scalars. The mean number of exposures over a cell, their total time and every other sum
over exposures is ``sum_i a_i w_i``, where ``a_i`` is the share of the cell inside outline i; the footprint is the
share inside their union.

>>> squares = np.array([[(10, 0), (11, 0), (11, 1), (10, 1)], [(10.5, 0), (11.5, 0), (11.5, 1), (10.5, 1)]])
>>> cells, sums, union = sums_and_union(squares, [(1, 100.0), (1, 300.0)], 10)
>>> sums.max(axis=0).round(9).tolist(), float(union.max())
([2.0, 400.0], 1.0)

Sums and unions are the same bytes for any order of the outlines and any number of threads: terms are added one by one
in an order that depends on the content of the table alone. Shares follow the true arcs (to 1e-11 of a cell at order 14,
about ``1e-15 * 2**order`` beyond), or chords to a tolerance.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vmpz.errors import InputError
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.covers import checked_outlines, points_in_cells
from vmpz.sky.overlaps import Outlines, Overlaps, Shares

__all__ = ["iterate_shares", "outline_shares", "subcells_inside", "sums_and_union", "weighted_sums"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

PAIRS_AT_ONCE = 1 << 13


def weighted_sums(
    outlines: FloatArray,
    weights: ArrayLike,
    order: int,
    cells: CellSet | None = None,
    *,
    chord_tolerance: float | None = None,
    threads: int = 1,
) -> tuple[CellSet, FloatArray]:
    """Sums over outlines of the share of each cell times weights, several at once.

    Parameters
    ----------
    outlines : float64 (n, m, 2)
        Longitudes and latitudes in degrees of the vertices of n outlines (great-circle edges, either orientation,
        the smaller side is inside); a vertex may be repeated to fill a row. Outlines may overlap.
    weights : array_like of float64, shape (n, k)
        For instance ones (the mean number of exposures) and exposure times.
    order : int
        0 to 29.
    cells : CellSet, optional
        The answer is limited to these cells.
    chord_tolerance : float, optional
        Largest error of the share of one outline in a cell, for instance 1e-4; exact without it.
    threads : int
        They change the time alone.

    Returns
    -------
    cells : CellSet
        Cells of which an outline has a share.
    sums : float64 (len(cells), k)

    Raises
    ------
    InputError
        Shapes do not agree, a weight is not finite, a position is none, the tolerance is not positive, the edges of
        an outline cross or it encloses no area.
    """
    found, sums, _ = _added(outlines, weights, order, cells, chord_tolerance, threads, union=False)
    return found, sums


def sums_and_union(
    outlines: FloatArray,
    weights: ArrayLike,
    order: int,
    cells: CellSet | None = None,
    *,
    chord_tolerance: float | None = None,
    threads: int = 1,
) -> tuple[CellSet, FloatArray, FloatArray]:
    """`weighted_sums`, and the share of each cell that the union of the outlines covers.

    Returns
    -------
    cells, sums
        As for `weighted_sums`.
    union : float64 (len(cells),)
        In (0, 1]: exact where one outline covers the whole cell or only one touches it,
        elsewhere from 8 x 8 sub-cells (steps of 1/64), never below the largest single share nor above their sum.
    """
    return _added(outlines, weights, order, cells, chord_tolerance, threads, union=True)


def outline_shares(
    outlines: FloatArray,
    order: int,
    cells: CellSet | None = None,
    *,
    chord_tolerance: float | None = None,
    threads: int = 1,
) -> Shares:
    """Share of every cell in every outline that touches it.

    Parameters
    ----------
    outlines, order, cells, chord_tolerance, threads
        As for `weighted_sums`.

    Returns
    -------
    outline : int32 (p,)
        Row of `outlines`.
    cell : int64 (p,)
    share : float64 (p,)
        In (0, 1]. Rows ascend by cell, then by outline.

    Raises
    ------
    InputError
        As for `weighted_sums`.
    """
    found = list(iterate_shares(outlines, order, cells, chord_tolerance=chord_tolerance, threads=threads))
    found.append((np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0)))
    outline, cell, share = (np.concatenate(column) for column in zip(*found, strict=True))
    return outline, cell, share


def iterate_shares(
    outlines: FloatArray,
    order: int,
    cells: CellSet | None = None,
    *,
    chord_tolerance: float | None = None,
    threads: int = 1,
) -> Iterator[Shares]:
    """`outline_shares` piece by piece, each with all outlines of its cells; cells ascend from piece to piece."""
    overlaps = Overlaps.of(Outlines.of_table(checked_outlines(outlines)), order, cells, chord_tolerance)
    yield from overlaps.shares(threads)


def subcells_inside(
    outlines: FloatArray, outline: IntArray, cell: IntArray, order: int
) -> NDArray[np.uint64]:
    """Which of the 8 x 8 sub-cells of cells have their centre in an outline.

    Parameters
    ----------
    outlines : float64 (n, m, 2)
        As for `weighted_sums`.
    outline, cell : int64 (p,)
        Pairs of row and cell.
    order : int
        Of these cells.

    Returns
    -------
    uint64 (p,)
        Bit k is that of sub-cell ``64 cell + k`` (nested).

    Raises
    ------
    InputError
        As for `weighted_sums`.
    """
    asked, row = np.unique(outline, return_inverse=True)
    boundaries = Outlines.of_table(checked_outlines(outlines)).boundaries(asked.tolist())
    words = np.empty(cell.size, np.uint64)
    for begin in range(0, cell.size, PAIRS_AT_ONCE):
        some = slice(begin, begin + PAIRS_AT_ONCE)
        number, place = np.unique(cell[some], return_inverse=True)
        children = (number[:, np.newaxis] << 6) + np.arange(64)
        points = points_in_cells(children.ravel(), order + 3, 0.5, 0.5).reshape(-1, 64, 3)[place]
        held = boundaries.hold(points.reshape(-1, 3), np.repeat(row[some], 64)).reshape(-1, 64)
        words[some] = np.packbits(held, axis=1, bitorder="little").view("<u8")[:, 0]
    return words


def _added(
    outlines: FloatArray,
    weights: ArrayLike,
    order: int,
    cells: CellSet | None,
    chord_tolerance: float | None,
    threads: int,
    *,
    union: bool,
) -> tuple[CellSet, FloatArray, FloatArray]:
    """Cells, sums and unions."""
    table, columns = checked_outlines(outlines), np.ascontiguousarray(weights, np.float64)
    if columns.ndim != 2 or len(columns) != len(table) or not np.all(np.isfinite(columns)):
        raise InputError(f"weights must be finite, of shape ({len(table)}, k), found shape {columns.shape}")
    overlaps = Overlaps.of(
        Outlines.of_table(table),
        order,
        cells,
        chord_tolerance,
        sequence=_by_content(table, columns),
        union=union,
    )
    return overlaps.add_up(columns, threads, union)


def _by_content(outlines: FloatArray, weights: FloatArray) -> IntArray:
    """Rows by the place of the first vertex on the sky, ties by every vertex and weight."""
    place = hpx.cells_at(outlines[:, 0, 0], outlines[:, 0, 1], hpx.MAX_ORDER)
    rows = np.argsort(place, kind="stable")
    same = place[rows[1:]] == place[rows[:-1]]
    tied = np.flatnonzero(np.concatenate((same, [False])) | np.concatenate(([False], same)))
    if tied.size:
        some = rows[tied]
        columns = np.concatenate((outlines[some].reshape(tied.size, -1), weights[some]), axis=1)
        rows[tied] = some[np.lexsort((*columns.T, place[some]))]
    return rows
