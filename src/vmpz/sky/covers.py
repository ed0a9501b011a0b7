"""Which cells the boundaries of regions pass, how much of each is covered, and which cells lie inside.

Three steps, for many regions at once: follow the boundaries through the cells (`vmpz.kernels.clipping.trace`),
which gives the share of every passed cell modulo 1; settle the whole number; then descend the tree of cells,
where a node that no boundary enters is inside or outside as a whole, and asks at its centre.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vmpz.errors import InputError, VmpzError
from vmpz.kernels import clipping, pointinside
from vmpz.sky import hpx

__all__ = [
    "Boundaries",
    "Cover",
    "area_sr",
    "checked_outlines",
    "cover",
    "distinct",
    "lon_lat_deg",
    "outline_arcs",
    "points_in_cells",
    "rounding",
    "unit_vectors",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

GENERIC = np.array([0.36, 0.48, 0.8])  # a direction without a part in any symmetry
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


def lon_lat_deg(vectors: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Longitudes in [0, 360) and latitudes, degrees, of vectors (..., 3) of any length."""
    x, y, z = np.moveaxis(np.asarray(vectors, np.float64), -1, 0)
    lon = np.mod(np.degrees(np.arctan2(y, x)), 360.0)
    return np.where(lon < 360.0, lon, 0.0), np.degrees(np.arctan2(z, np.hypot(x, y)))


def checked_outlines(outlines: ArrayLike) -> FloatArray:
    """Outlines (n, m, 2), positions in degrees.

    Raises
    ------
    InputError
        Another shape, or no positions.
    """
    table = np.asarray(outlines, np.float64)
    if table.ndim != 3 or table.shape[1] < 3 or table.shape[2] != 2:
        raise InputError(f"an array of outlines must have shape (n, m >= 3, 2), found {table.shape}")
    if not (np.all(np.isfinite(table)) and np.all(np.abs(table[..., 1]) <= 90.0)):
        raise InputError("vertices must be positions in degrees, latitudes in [-90, 90]")
    return table


def points_in_cells(cells: IntArray, order: int, x: float, y: float) -> FloatArray:
    """Unit vectors (n, 3) of the point x, y in [0, 1) of each cell."""
    return unit_vectors(*hpx.positions(cells, order, x, y))


def rounding(order: int) -> float:
    """What double precision leaves undecided of a share: coordinates are of the size of 2**order cells."""
    return max(1e-12, 2.0 ** (order - 49))


def distinct(points: FloatArray) -> FloatArray:
    """Vertices (n, 3) of a polygon without repeated ones.

    Raises
    ------
    InputError
        Fewer than three are left.
    """
    points = points[np.any(points != np.roll(points, -1, axis=0), axis=1)]
    if len(points) < 3:
        raise InputError(f"a polygon needs three distinct vertices, found {len(points)}")
    return points


def outline_arcs(points: FloatArray, outside: bool = False) -> FloatArray:
    """Boundary (n, 10) of the polygon of unit vectors (n, 3), its smaller side on the left, or on the right.

    Raises
    ------
    InputError
        Fewer than three distinct vertices, an edge of 180 degrees, edges that cross, or no area.
    """
    corners = distinct(points)
    first, second = pointinside.first_crossing(corners)
    if first >= 0:
        raise InputError(f"edges of a polygon must not cross, found edges {first} and {second} crossing")
    edges, area = _edges(corners), area_sr(corners)
    if area == 0.0:
        raise InputError("a polygon must enclose an area, found its vertices on one line")
    return edges if (area > 0.0) != outside else _edges(corners[::-1])


def area_sr(corners: FloatArray) -> float:
    """Signed area (counter-clockwise positive) in [-2 pi, 2 pi] of a polygon of unit vectors (n, 3).

    Triangles from the middle by ``tan(E/2) = det / (1 + ab + bc + ca)`` (Eriksson 1990), which like l'Huilier's
    formula, and unlike Girard's, keeps small areas; the determinant is taken of differences.
    """
    a = corners.mean(axis=0)
    length = float(np.linalg.norm(a))
    a = a / length if length > 1e-3 else GENERIC
    b, c = corners, np.roll(corners, -1, axis=0)
    volume = np.cross(b - a, c - a) @ a
    total = 2.0 * np.sum(np.arctan2(volume, 1.0 + b @ a + np.sum(b * c, axis=1) + c @ a))
    return math.remainder(float(total), 4.0 * math.pi)


def _edges(corners: FloatArray) -> FloatArray:
    """Great-circle arcs between successive corners."""
    ends = np.roll(corners, -1, axis=0)
    step = ends - corners
    opposite = np.linalg.norm(corners + ends, axis=1)
    if np.any(opposite < 1e-9):
        edge = int(np.argmin(opposite))
        raise InputError(f"edges of a polygon must be shorter than 180 degrees, found edge {edge} of 180")
    length = 2.0 * np.arctan2(np.linalg.norm(step, axis=1), opposite)
    tangent = step - np.sum(step * corners, axis=1, keepdims=True) * corners
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    tangent -= np.sum(tangent * corners, axis=1, keepdims=True) * corners
    return np.concatenate((np.zeros_like(corners), corners, tangent, length[:, np.newaxis]), axis=1)


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

    @property
    def loops(self) -> IntArray:
        """First arc of each closed loop, of which a ring has two, then the number of arcs."""
        rings = np.flatnonzero(np.diff(self.first) == 2)
        return np.sort(np.concatenate((self.first, self.first[rings] + 1)))

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


def cover(boundaries: Boundaries, order: int) -> Cover:
    """Shares of the cells that boundaries pass, and ranges of the cells inside."""
    loops = boundaries.loops
    loop, cell, passage = clipping.trace(boundaries.arcs, loops, order)
    owner = np.searchsorted(boundaries.first, loops[loop], side="right") - 1
    by_cell = np.lexsort((cell, owner))
    owner, cell, passage = owner[by_cell], cell[by_cell], passage[by_cell]
    start = np.flatnonzero(_changes(owner, cell))
    owner, cell = owner[start], cell[start]
    share = np.add.reduceat(passage, start) if start.size else passage
    whole_owner, whole = _whole_cells(boundaries, owner, cell, order)
    return Cover(order, owner, cell, _settle(boundaries, owner, cell, share, order), whole_owner, whole)


def _changes(*columns: IntArray) -> NDArray[np.bool_]:
    """Where a row of sorted columns differs from the one before; the first always does."""
    changed = np.zeros(columns[0].size, bool)
    changed[:1] = True
    for column in columns:
        changed[1:] |= column[1:] != column[:-1]
    return changed


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
        fresh = _changes(owner, cell >> 2)
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
