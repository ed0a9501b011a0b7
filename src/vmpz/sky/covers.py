"""Which cells the boundaries of regions pass, how much of each is covered, and which cells lie inside.

Three steps, for many regions at once: follow the boundaries through the cells (`vmpz.kernels.clipping.trace`),
which gives the share of every passed cell modulo 1; settle the whole number; then descend the tree of cells,
where a node that no boundary enters is inside or outside as a whole, and asks at its centre.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vmpz.errors import VmpzError
from vmpz.kernels import clipping, pointinside
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap

__all__ = [
    "NO_CELLS",
    "Boundaries",
    "Cover",
    "add_up",
    "changes",
    "cover",
    "points_in_cells",
    "rounding",
    "unit_vectors",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

NO_CELLS = np.empty(0, np.int64)
PROBES = ((0.3183, 0.4142), (0.7321, 0.2361), (0.5772, 0.7854))  # generic points of a cell


def unit_vectors(lon_deg: ArrayLike, lat_deg: ArrayLike) -> FloatArray:
    """Unit vectors (..., 3) of positions in degrees; quarter meridians, equator and poles are exact."""
    lon, lat = np.broadcast_arrays(np.asarray(lon_deg, np.float64), np.asarray(lat_deg, np.float64))
    quarter = np.rint(lon / 90.0)
    rest = np.radians(lon - 90.0 * quarter)
    c, s = np.cos(rest), np.sin(rest)
    turn = np.mod(quarter, 4.0).astype(np.int64)
    x, y = np.choose(turn, (c, -s, -c, s)), np.choose(turn, (s, c, -s, -c))
    rho = np.sin(np.radians(90.0 - np.abs(lat)))
    return np.stack((rho * x, rho * y, np.sin(np.radians(lat))), axis=-1)


def points_in_cells(cells: IntArray, order: int, x: float, y: float) -> FloatArray:
    """Unit vectors (n, 3) of the point x, y in [0, 1) of each cell."""
    return unit_vectors(*hpx.positions(cells, order, x, y))


def rounding(order: int) -> float:
    """What double precision leaves undecided of a share: coordinates are of the size of 2**order cells."""
    return max(1e-12, 2.0 ** (order - 49))


@dataclass(frozen=True)
class Boundaries:
    """Closed loops of arcs, one a region (form: `vmpz.kernels.clipping`).

    `first` holds the first arc of each region, then the number of arcs; `everything` tells the whole sphere
    from nothing where a region has no boundary.
    """

    arcs: FloatArray
    first: IntArray
    everything: NDArray[np.bool_]

    @classmethod
    def of(cls, loops: Sequence[FloatArray], everything: Sequence[bool]) -> Self:
        """Boundaries of regions given one by one."""
        first = np.concatenate(([0], np.cumsum([len(one) for one in loops]))).astype(np.int64)
        return cls(np.concatenate([*loops, np.empty((0, 10))]), first, np.array(everything, bool))

    def __len__(self) -> int:
        return self.everything.size

    def hold(self, points: FloatArray, owner: IntArray) -> NDArray[np.bool_]:
        """Whether points (n, 3) lie in the region of their owner (n,)."""
        by_owner = np.argsort(owner, kind="stable")
        answer = np.empty(owner.size, bool)
        answer[by_owner] = pointinside.inside(points[by_owner], owner[by_owner], self.arcs, self.first)
        bare = self.first[owner] == self.first[owner + 1]
        return np.where(bare, self.everything[owner], answer)


@dataclass(frozen=True)
class Cover:
    """What regions cover: pairs (owner, cell) with a share in (0, 1], and pairs (whole_owner, whole) of ranges."""

    order: int
    owner: IntArray
    cell: IntArray
    share: FloatArray
    whole_owner: IntArray
    whole: IntArray

    def owned_by(self, names: IntArray) -> "Cover":
        """The same with region k called ``names[k]``."""
        return replace(self, owner=names[self.owner], whole_owner=names[self.whole_owner])

    @staticmethod
    def join(covers: Sequence["Cover"], order: int) -> "Cover":
        """All of several covers of one order."""
        columns = [(one.owner, one.cell, one.share, one.whole_owner, one.whole) for one in covers]
        columns.append((NO_CELLS, NO_CELLS, np.empty(0), NO_CELLS, np.empty((0, 2), np.int64)))
        return Cover(order, *(np.concatenate(column) for column in zip(*columns, strict=True)))


def cover(boundaries: Boundaries, order: int) -> Cover:
    """Shares of the cells that boundaries pass, and ranges of the cells inside."""
    owner, cell, passage = clipping.trace(boundaries.arcs, boundaries.first, order)
    by_cell = np.lexsort((cell, owner))
    owner, cell, passage = owner[by_cell], cell[by_cell], passage[by_cell]
    start = np.flatnonzero(changes(owner, cell))
    owner, cell = owner[start], cell[start]
    share = np.add.reduceat(passage, start) if start.size else passage
    whole_owner, whole = _whole_cells(boundaries, owner, cell, order)
    return Cover(order, owner, cell, _settle(boundaries, owner, cell, share, order), whole_owner, whole)


def add_up(covered: Cover, cells: CellSet | None = None) -> SkyMap:
    """Sum over the regions of the share of each cell, float64; cells without a share are absent."""
    begin, end, times = _levels(covered.whole)
    some = covered.share > 0.0
    by_cell = np.argsort(covered.cell[some], kind="stable")
    cell, share = covered.cell[some][by_cell], covered.share[some][by_cell]
    start = np.flatnonzero(changes(cell))
    share = np.add.reduceat(share, start) if start.size else share
    cell = cell[start]
    every = CellSet.from_ranges(covered.order, np.stack((begin, end), axis=1))
    every |= CellSet.from_cells(covered.order, cell)
    if cells is not None:
        every &= cells
    number = every.cells()
    values = np.zeros(number.size)
    if begin.size:
        row = np.maximum(np.searchsorted(begin, number, side="right") - 1, 0)
        values += np.where((number >= begin[row]) & (number < end[row]), times[row], 0)
    place = every.index(cell)
    values[place[place >= 0]] += share[place >= 0]
    return SkyMap(every, values)


def changes(*columns: IntArray) -> NDArray[np.bool_]:
    """Where a row of sorted columns differs from the one before; the first always does."""
    changed = np.zeros(columns[0].size, bool)
    changed[:1] = True
    for column in columns:
        changed[1:] |= column[1:] != column[:-1]
    return changed


def _levels(ranges: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Disjoint ranges (begin, end) and how many of the given ranges hold each."""
    if len(ranges) == 0:
        return ranges[:, 0], ranges[:, 1], ranges[:, 0]
    edges, place = np.unique(ranges, return_inverse=True)
    steps = np.bincount(place.ravel(), weights=np.tile((1.0, -1.0), len(ranges)))
    times = np.cumsum(steps).astype(np.int64)
    held = np.flatnonzero(times > 0)
    return edges[held], edges[held + 1], times[held]


def _settle(
    boundaries: Boundaries, owner: IntArray, cell: IntArray, share: FloatArray, order: int
) -> FloatArray:
    """Shares known modulo 1, as shares: next to a whole number two of three points inside the cell decide."""
    share = share - np.floor(share)
    blur = rounding(order)
    doubt = np.flatnonzero(np.minimum(share, 1.0 - share) < max(1e-9, 4.0 * blur))
    if doubt.size == 0:
        return share
    votes = np.zeros(doubt.size, np.int64)
    for x, y in PROBES:
        votes += boundaries.hold(points_in_cells(cell[doubt], order, x, y), owner[doubt])
    near = share[doubt] - np.rint(share[doubt]) + np.where(votes >= 2, 1.0, 0.0)
    wrong = np.flatnonzero((near < -blur) | (near > 1.0 + blur))
    if wrong.size:
        raise VmpzError(
            f"a share must lie in 0-1, found {near[wrong[0]]!r} for cell {cell[doubt[wrong[0]]]} of order {order}"
        )
    alone = np.bincount(owner, minlength=len(boundaries))[owner[doubt]] == 1  # smaller than its cell
    near = np.where((near > 1.0 - blur) & ~alone, 1.0, np.where((near < blur) & ~alone, 0.0, near))
    share[doubt] = np.clip(near, 0.0, 1.0)
    return share


def _whole_cells(
    boundaries: Boundaries, owner: IntArray, cell: IntArray, order: int
) -> tuple[IntArray, IntArray]:
    """Ranges (n, 2) of whole cells inside each region, and their regions."""
    owners, nodes, levels = [], [], []
    for level in range(order, 0, -1):
        fresh = changes(owner, cell >> 2)
        family = np.cumsum(fresh) - 1
        free = np.ones((int(fresh.sum()), 4), bool)
        free[family, cell & 3] = False
        owner, cell = owner[fresh], cell[fresh] >> 2
        row, child = np.nonzero(free)
        owners.append(owner[row])
        nodes.append(4 * cell[row] + child)
        levels.append(np.full(row.size, level))
    free = np.ones((len(boundaries), 12), bool)
    free[owner, cell] = False
    row, child = np.nonzero(free)
    region, node = np.concatenate([*owners, row]), np.concatenate([*nodes, child])
    depth = 2 * (order - np.concatenate([*levels, np.zeros(row.size, np.int64)]))
    held = boundaries.hold(_node_centres(node, order - depth // 2), region)
    return region[held], np.stack((node << depth, (node + 1) << depth), axis=1)[held]


def _node_centres(node: IntArray, order: IntArray) -> FloatArray:
    """Unit vectors of the centres of cells of mixed orders, to the size of a cell of order 29."""
    deeper = 2 * (hpx.MAX_ORDER - order)
    middle = np.where(deeper > 0, np.int64(3) << np.maximum(deeper - 2, 0), 0)
    return points_in_cells((node << deeper) + middle, hpx.MAX_ORDER, 0.5, 0.5)
