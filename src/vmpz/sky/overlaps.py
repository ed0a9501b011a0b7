"""Many overlapping outlines, node by node of the tree of cells: sums of shares times weights, unions, single shares.

Each node is done by one thread that sees every outline in it, in one order: answers are the same bytes for any number
of threads, and whatever cells are asked for. Memory is that of a node, the outlines and the answer.

Outlines that lie in one smooth piece of a face are rasterised (`vmpz.kernels.nodes`). Circles, complements and outlines
over a seam of the projection are left to `vmpz.sky.covers`, which knows no seams, and come after the others.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.kernels import boxes, nodes
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.covers import Boundaries, cover, outline_arcs, rounding, unit_vectors

__all__ = ["Outlines", "Overlaps", "Shares"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Words = NDArray[np.uint64]
Shares = tuple[NDArray[np.int32], IntArray, FloatArray]
Found = TypeVar("Found")

NODE_LEVELS = 9
"""A node is a square of 512 x 512 cells: 2 MiB a sum, and few outlines lie in two."""
OUTLINES_AT_ONCE = 512


@dataclass(frozen=True)
class Outlines:
    """Polygons, and other regions after them.

    `corners` are unit vectors (c, 3), polygon after polygon; `first` (n + 1,) the first of each, and their number.
    """

    corners: FloatArray
    first: IntArray
    others: Boundaries

    @classmethod
    def of_table(cls, table: FloatArray) -> Self:
        """Polygons (n, m, 2), longitudes and latitudes in degrees."""
        corners = unit_vectors(table[..., 0], table[..., 1]).reshape(-1, 3)
        return cls(corners, np.arange(len(table) + 1) * table.shape[1], Boundaries.of([], []))

    def __len__(self) -> int:
        return self.first.size - 1 + len(self.others)

    def boundaries(self, rows: Sequence[int]) -> Boundaries:
        """Boundaries of some, by their numbers."""
        plain = self.first.size - 1
        loops, everything = [], []
        for row in rows:
            if row >= plain:
                k = row - plain
                loops.append(self.others.arcs[self.others.first[k] : self.others.first[k + 1]])
                everything.append(bool(self.others.everything[k]))
                continue
            try:
                loops.append(outline_arcs(self.corners[self.first[row] : self.first[row + 1]]))
            except InputError as error:
                raise InputError(f"outline {row}: {error}") from error
            everything.append(False)
        return Boundaries.of(loops, everything)


class _Square(NamedTuple):
    """Sums in a node, cleared after use: see `nodes.add_outlines`."""

    sums: FloatArray
    seen: NDArray[np.bool_]
    union: FloatArray
    words: Words

    @classmethod
    def empty(cls, depth: int, columns: int, union: bool) -> Self:
        size = 1 << (2 * depth)
        joined = size if union else 0
        return cls(
            np.zeros((size, columns)),
            np.zeros(size, bool),
            np.zeros((joined, 2)),
            np.zeros(joined, np.uint64),
        )


@dataclass(frozen=True)
class _Listed:
    """What outlines that are not rasterised cover: pairs ascending by cell, and whole ranges ascending by node."""

    depth: int
    owner: IntArray
    cell: IntArray
    share: FloatArray
    word: Words
    whole_owner: IntArray
    whole: IntArray

    @classmethod
    def of(
        cls, outlines: Outlines, rows: IntArray, order: int, depth: int, cells: CellSet | None, union: bool
    ) -> Self:
        """Ranges do not reach over a node; ties stay in the order of `rows`."""
        found: list[tuple[Any, ...]] = [
            (*(np.empty(0, kind) for kind in (int, int, float, np.uint64, int)), np.empty((0, 2), np.int64))
        ]
        for begin in range(0, rows.size, OUTLINES_AT_ONCE):
            some = rows[begin : begin + OUTLINES_AT_ONCE]
            boundaries = outlines.boundaries(some.tolist())
            covered = cover(boundaries, order)
            kept = covered.share > 0.0
            if cells is not None:
                kept &= cells.index(covered.cell) >= 0
            owner, cell = covered.owner[kept], covered.cell[kept]
            word = _words(boundaries, owner, cell, order) if union else np.zeros(cell.size, np.uint64)
            row, whole = _in_nodes(covered.whole, order, depth, cells)
            found.append(
                (some[owner], cell, covered.share[kept], word, some[covered.whole_owner[row]], whole)
            )
        owner, cell, share, word, whole_owner, whole = (
            np.concatenate(one) for one in zip(*found, strict=True)
        )
        by_cell, by_node = (np.argsort(one, kind="stable") for one in (cell, whole[:, 0] >> (2 * depth)))
        columns = owner[by_cell], cell[by_cell], share[by_cell], word[by_cell]
        return cls(depth, *columns, whole_owner[by_node], whole[by_node])

    def inside(self, node: int) -> "_Listed":
        """Those of a node, cells counted from its first."""
        begin, end = node << (2 * self.depth), (node + 1) << (2 * self.depth)
        pairs = slice(*np.searchsorted(self.cell, (begin, end)))
        ranges = slice(*np.searchsorted(self.whole[:, 0] >> (2 * self.depth), (node, node + 1)))
        return _Listed(
            self.depth,
            self.owner[pairs],
            self.cell[pairs] - begin,
            self.share[pairs],
            self.word[pairs],
            self.whole_owner[ranges],
            self.whole[ranges] - begin,
        )

    def pairs(self) -> tuple[IntArray, IntArray, FloatArray]:
        """Owner, cell and share, whole cells too."""
        size = self.whole[:, 1] - self.whole[:, 0]
        whole = np.arange(size.sum()) + np.repeat(self.whole[:, 0] - np.cumsum(size) + size, size)
        owner = np.concatenate((self.owner, np.repeat(self.whole_owner, size)))
        return owner, np.concatenate((self.cell, whole)), np.concatenate((self.share, np.ones(whole.size)))


def _words(boundaries: Boundaries, owner: IntArray, cell: IntArray, order: int) -> Words:
    """Bit 8 j + i tells whether the centre of sub-cell (i, j) of 8 x 8 is inside."""
    bit = np.arange(64)
    places = hpx.positions(cell[:, np.newaxis], order, (bit % 8 + 0.5) / 8.0, (bit // 8 + 0.5) / 8.0)
    points = unit_vectors(*places).reshape(-1, 3)
    held = boundaries.hold(points, np.repeat(owner, 64)).reshape(-1, 64)
    words: Words = np.bitwise_or.reduce(held.astype(np.uint64) << bit.astype(np.uint64), axis=1)
    return words


def _in_nodes(ranges: IntArray, order: int, depth: int, cells: CellSet | None) -> tuple[IntArray, IntArray]:
    """Parts (n, 2) of ranges, each in one node and in the cells asked for, and the range of each."""
    limits = (CellSet.everything(order) if cells is None else cells).ranges
    low = np.searchsorted(limits[:, 1], ranges[:, 0], side="right")
    count = np.maximum(np.searchsorted(limits[:, 0], ranges[:, 1], side="left") - low, 0)
    row = np.repeat(np.arange(len(ranges)), count)
    limit = limits[np.arange(row.size) + np.repeat(low - np.cumsum(count) + count, count)]
    begin, end = np.maximum(ranges[row, 0], limit[:, 0]), np.minimum(ranges[row, 1], limit[:, 1])
    first = begin >> (2 * depth)
    count = ((end - 1) >> (2 * depth)) - first + 1
    row, begin, end = (np.repeat(one, count) for one in (row, begin, end))
    node = (np.arange(row.size) + np.repeat(first - np.cumsum(count) + count, count)) << (2 * depth)
    return row, np.stack((np.maximum(begin, node), np.minimum(end, node + (1 << (2 * depth)))), axis=1)


@dataclass(frozen=True)
class Overlaps:
    """Outlines by the nodes they lie in: those of node ``number[k]`` are ``rows[start[k] : end[k]]``."""

    order: int
    depth: int
    tolerance: float
    cells: CellSet | None
    outlines: Outlines
    box: IntArray
    listed: _Listed
    number: IntArray
    start: IntArray
    end: IntArray
    rows: IntArray

    @classmethod
    def of(
        cls,
        outlines: Outlines,
        order: int,
        cells: CellSet | None,
        chord_tolerance: float | None,
        *,
        sequence: IntArray | None = None,
        union: bool = False,
    ) -> Self:
        """Outlines are taken in the order of `sequence` (a permutation), by default as given.

        Raises
        ------
        InputError
            The tolerance is not positive, the edges of an outline cross or it encloses no area.
        """
        if chord_tolerance is not None and not chord_tolerance > 0.0:
            raise InputError(f"the chord tolerance must be positive, found {chord_tolerance}")
        tolerance, depth = chord_tolerance or 0.0, min(order, NODE_LEVELS)
        state, box = boxes.find_boxes(outlines.corners, outlines.first, order, tolerance)
        if np.any(state == boxes.CROSSED):
            raise InputError(f"edges of outline {int(np.argmax(state == boxes.CROSSED))} must not cross")
        rows = np.arange(len(outlines)) if sequence is None else sequence
        left = np.concatenate((state == boxes.SEAM, np.ones(len(outlines.others), bool)))[rows]
        listed = _Listed.of(outlines, rows[left], order, depth, cells, union)
        node, row = boxes.list_nodes(box, rows[~left], order - depth, depth)
        by_node = np.argsort(node, kind="stable")
        node, row = node[by_node], row[by_node]
        more = np.concatenate((listed.cell, listed.whole[:, 0])) >> (2 * depth)
        number = np.union1d(node, more)
        if cells is not None:
            number = number[cells.at_order(order - depth).index(number) >= 0]
        start, end = np.searchsorted(node, number), np.searchsorted(node, number, side="right")
        return cls(order, depth, tolerance, cells, outlines, box, listed, number, start, end, row)

    def add_up(
        self, weights: FloatArray, threads: int = 1, union: bool = False
    ) -> tuple[CellSet, FloatArray, FloatArray]:
        """Cells with a share, sums (cells, k) for weights (outlines, k), and unions (cells,) if made for them."""
        squares: SimpleQueue[_Square] = SimpleQueue()
        for _ in range(threads):
            squares.put(_Square.empty(self.depth, weights.shape[1], union))
        room, count = self._most_cells(), 0
        sums, covered = np.empty((room, weights.shape[1])), np.empty(room if union else 0)
        ranges = [np.empty((0, 2), np.int64)]
        for number, some, part in self._over_nodes(partial(self._sums, weights, squares), threads):
            sums[count : count + number.size] = some
            covered[count : count + part.size] = part
            ranges.append(CellSet.from_cells(self.order, number).ranges)
            count += number.size
        sums.resize((count, weights.shape[1]), refcheck=False)
        covered.resize(count if union else 0, refcheck=False)
        return CellSet.from_ranges(self.order, np.concatenate(ranges)), sums, covered

    def shares(self, threads: int = 1) -> Iterator[Shares]:
        """Outlines, cells and shares, node after node: ascending by cell, then as the outlines are taken."""
        yield from self._over_nodes(self._shares, threads)

    def _most_cells(self) -> int:
        """A bound on the number of cells with a share."""
        wide, high = self.box[:, 2] - self.box[:, 1] + 1, self.box[:, 4] - self.box[:, 3] + 1
        before = np.concatenate(([0], np.cumsum((wide * high)[self.rows])))
        most = int(np.minimum(before[self.end] - before[self.start], 1 << (2 * self.depth)).sum())
        most += self.listed.cell.size + int(np.diff(self.listed.whole, axis=1).sum())
        most = min(most, self.number.size << (2 * self.depth))
        return most if self.cells is None else min(most, len(self.cells))

    def _over_nodes(self, work: Callable[[int], Found], threads: int) -> Iterator[Found]:
        """What `work` makes of the nodes, one after the other; some are under way at once."""
        if threads == 1:
            yield from map(work, range(self.number.size))
            return
        with ThreadPoolExecutor(threads) as pool:
            under_way: deque[Future[Found]] = deque()
            for k in range(self.number.size):
                under_way.append(pool.submit(work, k))
                if len(under_way) > threads + 1:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()

    def _sums(
        self, weights: FloatArray, squares: "SimpleQueue[_Square]", k: int
    ) -> tuple[IntArray, FloatArray, FloatArray]:
        """Cells, sums and unions of node k."""
        square, begin, rows, listed = squares.get(), *self._node(k)
        nodes.add_outlines(*self._asked(rows, k), weights, *square)
        nodes.add_pairs(listed.cell, listed.owner, listed.share, listed.word, weights, *square)
        nodes.add_ranges(listed.whole, listed.whole_owner, weights, *square)
        number, sums, union = nodes.collect(begin, *square)
        squares.put(square)
        if self.cells is None:
            return number, sums, union
        kept = self.cells.index(number) >= 0
        return number[kept], sums[kept], union[kept] if union.size else union

    def _shares(self, k: int) -> Shares:
        """Outlines, cells and shares of node k."""
        begin, rows, listed = self._node(k)
        owner, cell, share = nodes.list_shares(*self._asked(rows, k))
        if listed.cell.size or listed.whole.size:
            owner, cell, share = (
                np.concatenate(both) for both in zip((owner, cell, share), listed.pairs(), strict=True)
            )
            by_cell = np.lexsort((owner, cell))
            owner, cell, share = owner[by_cell], cell[by_cell], share[by_cell]
        cell = cell + begin
        kept = slice(None) if self.cells is None else self.cells.index(cell) >= 0
        return owner[kept].astype(np.int32), cell[kept], share[kept]

    def _node(self, k: int) -> tuple[int, IntArray, _Listed]:
        """First cell of node k, its outlines, and what others cover of it."""
        node, rows = int(self.number[k]), self.rows[self.start[k] : self.end[k]]
        return node << (2 * self.depth), rows, self.listed.inside(node)

    def _asked(self, rows: IntArray, k: int) -> tuple[Any, ...]:
        """What kernels ask for, from the corners to the depth."""
        _, (column,), (line,) = hpx.faces(self.number[k : k + 1], self.order - self.depth)
        corner = (int(column) << self.depth, int(line) << self.depth)
        blur = nodes.NOTHING if self.tolerance else rounding(self.order)
        one = self.outlines
        return one.corners, one.first, rows, self.box, self.order, self.tolerance, blur, corner, self.depth
