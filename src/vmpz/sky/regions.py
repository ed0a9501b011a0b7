"""Regions of the sky and the exact share of every cell that they cover.

A region is a `Cap` (any small circle, or what is outside it) or a `Polygon` (great-circle edges, concave or
not, across longitude 0 and over the poles). The edges of an undistorted tangential image are great circles,
so its four corners are its outline; a distorted image is a polygon with vertices sampled along its edges.

>>> tile = Polygon([(10.0, -2.0), (10.5, -2.0), (10.5, -1.5), (10.0, -1.5)])
>>> share = covered_fractions(tile, order=10)
>>> abs(share.integral_deg2() / tile.area_deg2 - 1) < 1e-12
True

Shares are boundary integrals along the true arcs (`vmpz.kernels.clipping`): no chord, no sampling. They are
right to 1e-9 of a cell at orders up to 14 (double precision allows no better beyond: about ``1e-15 * 2**order``).
Cells inside have exactly 1.0, cells outside are absent. With a `chord_tolerance` edges become chords in the
plane of the cells, which is much faster for many small outlines; the tolerance bounds the error of each share.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vmpz.errors import InputError
from vmpz.kernels import chords, pointinside
from vmpz.sky.cells import CellSet
from vmpz.sky.covers import (
    NO_CELLS,
    Boundaries,
    Cover,
    add_up,
    changes,
    cover,
    points_in_cells,
    rounding,
    unit_vectors,
)
from vmpz.sky.overlaps import CellSums, sub_cells_inside, unite
from vmpz.sky.skymap import SkyMap

__all__ = [
    "Cap",
    "Polygon",
    "Region",
    "cells_inside",
    "cells_touched",
    "covered_fractions",
    "polygon_area_deg2",
    "sum_fractions",
    "union_fractions",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

GENERIC = np.array([0.36, 0.48, 0.8])  # a direction without a part in any symmetry
SQUARE_DEGREE = (math.pi / 180.0) ** 2


@dataclass(frozen=True)
class Cap:
    """Everything within (or, `outside`, beyond) an angular distance of a centre.

    Parameters
    ----------
    lon_deg, lat_deg : float
        Centre, ICRS degrees.
    radius_deg : float
        0 (nothing) to 180 (everything).
    outside : bool
        The complement.

    Raises
    ------
    InputError
        The latitude is outside [-90, 90], the radius outside [0, 180], or a number is not finite.
    """

    lon_deg: float
    lat_deg: float
    radius_deg: float
    outside: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.lon_deg) and abs(self.lat_deg) <= 90.0):
            raise InputError(
                f"the centre of a cap must be a position in degrees, found {self.lon_deg}, {self.lat_deg}"
            )
        if not 0.0 <= self.radius_deg <= 180.0:
            raise InputError(f"the radius of a cap must lie in 0-180 degrees, found {self.radius_deg}")

    @property
    def area_deg2(self) -> float:
        """2 pi (1 - cos r), or what is left of the sphere, in square degrees."""
        half = math.radians(self.radius_deg) / 2.0
        side = math.cos(half) if self.outside else math.sin(half)
        return 4.0 * math.pi * side * side / SQUARE_DEGREE

    @property
    def everything(self) -> bool:
        """Whether no boundary is left and the cap is the whole sphere."""
        return self.radius_deg == (0.0 if self.outside else 180.0)

    @cached_property
    def arcs(self) -> FloatArray:
        """Boundary for the kernels, (1, 10), or (0, 10) where there is none."""
        if self.radius_deg in (0.0, 180.0):
            return np.empty((0, 10))
        radius = math.radians(min(self.radius_deg, 180.0 - self.radius_deg))
        height = math.copysign(math.cos(radius), 90.0 - self.radius_deg)
        axis = unit_vectors(self.lon_deg, self.lat_deg)
        east = unit_vectors(self.lon_deg + 90.0, 0.0)
        north = np.cross(axis, east) * (-1.0 if self.outside else 1.0)
        size = math.sin(radius)
        return np.concatenate((height * axis, size * east, size * north, [2.0 * math.pi]))[np.newaxis]


class Polygon:
    """What a closed line of great-circle edges encloses.

    Parameters
    ----------
    vertices : array_like of float64, shape (n, 2)
        Longitude and latitude in degrees, in either orientation, the first not repeated at the end (a
        repeated vertex is dropped). Edges are shorter than 180 degrees.
    outside : bool
        The inside is the smaller side; `outside` takes the other.

    Raises
    ------
    InputError
        Fewer than three distinct vertices, a position that is none, an edge of 180 degrees, edges that
        cross, or no area.
    """

    __slots__ = ("__dict__", "_outside", "_vertices")

    def __init__(self, vertices: ArrayLike, outside: bool = False) -> None:
        table = np.array(vertices, dtype=np.float64)
        if table.ndim != 2 or table.shape[1] != 2:
            raise InputError(f"vertices must be a table of longitude, latitude; found shape {table.shape}")
        if not (np.all(np.isfinite(table)) and np.all(np.abs(table[:, 1]) <= 90.0)):
            raise InputError("vertices must be positions in degrees, latitudes in [-90, 90]")
        table.setflags(write=False)
        self._vertices = table
        self._outside = bool(outside)
        self.arcs  # noqa: B018  the outline is checked once, here

    @property
    def vertices(self) -> FloatArray:
        """Read-only (n, 2) longitudes and latitudes in degrees, as given."""
        return self._vertices

    @property
    def outside(self) -> bool:
        """Whether the larger side is meant."""
        return self._outside

    @property
    def everything(self) -> bool:
        """Never: a polygon has a boundary."""
        return False

    @cached_property
    def corners(self) -> FloatArray:
        """Unit vectors (n, 3) of the vertices, without repeated ones."""
        points = unit_vectors(self._vertices[:, 0], self._vertices[:, 1])
        points = points[np.any(points != np.roll(points, -1, axis=0), axis=1)]
        if len(points) < 3:
            raise InputError(f"a polygon needs three distinct vertices, found {len(points)}")
        return points

    @cached_property
    def _area_left_sr(self) -> float:
        """Area on the left of the line as given: positive, or minus that of the right side if smaller."""
        return _area_sr(self.corners)

    @property
    def area_deg2(self) -> float:
        """Solid angle in square degrees."""
        area = abs(self._area_left_sr)
        return (4.0 * math.pi - area if self._outside else area) / SQUARE_DEGREE

    @cached_property
    def arcs(self) -> FloatArray:
        """Boundary for the kernels, (n, 10), the region on the left."""
        corners = self.corners
        first, second = pointinside.first_crossing(corners)
        if first >= 0:
            raise InputError(f"edges of a polygon must not cross, found edges {first} and {second} crossing")
        edges = _edges(corners)
        if self._area_left_sr == 0.0:
            raise InputError("a polygon must enclose an area, found its vertices on one line")
        return edges if (self._area_left_sr > 0.0) != self._outside else _edges(corners[::-1])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Polygon):
            return NotImplemented
        return self._outside == other.outside and np.array_equal(self._vertices, other.vertices)

    def __hash__(self) -> int:
        return hash((self._outside, self._vertices.tobytes()))

    def __reduce__(self) -> tuple[type, tuple[FloatArray, bool]]:
        return (Polygon, (np.asarray(self._vertices), self._outside))

    def __repr__(self) -> str:
        return f"Polygon({len(self._vertices)} vertices, area={self.area_deg2:.6g} deg2)"


Region = Cap | Polygon
Outlines = Region | Sequence[Region] | FloatArray
Listed = list[Region] | FloatArray

OUTLINES_AT_ONCE = 512
SUB_CELL_TOLERANCE = 1e-3  # of a cell, for the outline among the sub-cells: 1/125 of one


def polygon_area_deg2(vertices: ArrayLike) -> float:
    """Area in square degrees of the smaller side of a polygon, vertices (n, 2) in degrees."""
    return Polygon(vertices).area_deg2


def _area_sr(corners: FloatArray) -> float:
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


# -- shares ---------------------------------------------------------------------------------------------


def covered_fractions(
    region: Outlines, order: int, *, cells: CellSet | None = None, chord_tolerance: float | None = None
) -> SkyMap:
    """Share of every touched cell that a region covers.

    Parameters
    ----------
    region : Cap, Polygon, a sequence of them, or an array (n, m, 2) of n outlines of m vertices
        Several are disjoint pieces of one region: their shares add.
    order : int
        0 to 29.
    cells : CellSet, optional
        The answer is limited to these cells.
    chord_tolerance : float, optional
        Largest error of the share of one region in a cell, for instance 1e-4; exact without it.

    Returns
    -------
    SkyMap
        float64, in (0, 1]; cells without a share are absent.

    Raises
    ------
    InputError
        The regions overlap.
    """
    pieces = _listed(region)
    covered = add_up(Cover.join(list(_covers(pieces, order, chord_tolerance)), order), cells)
    most = float(covered.values.max(initial=0.0))
    if most > 1.0 + len(pieces) * (chord_tolerance or rounding(order)):
        raise InputError(
            f"regions given together must not overlap, found a cell covered {most:.6g} times: "
            "use union_fractions or sum_fractions"
        )
    return SkyMap(covered.cells, np.minimum(covered.values, 1.0))


def sum_fractions(
    outlines: Outlines, order: int, cells: CellSet | None = None, *, chord_tolerance: float | None = None
) -> SkyMap:
    """Sum over outlines of the share of each cell: the mean number of outlines (exposures) over the cell.

    Parameters
    ----------
    outlines, order, cells, chord_tolerance
        As for `covered_fractions`; outlines may overlap.

    Returns
    -------
    SkyMap
        float64, above 0; cells that no outline touches are absent.
    """
    sums = CellSums(order)
    for covered in _covers(_listed(outlines), order, chord_tolerance):
        sums.add(covered)
    return sums.map(cells)


def union_fractions(
    outlines: Outlines, order: int, cells: CellSet | None = None, *, chord_tolerance: float | None = None
) -> SkyMap:
    """Share of each cell that the union of overlapping outlines covers.

    Parameters
    ----------
    outlines, order, cells, chord_tolerance
        As for `covered_fractions`; outlines may overlap.

    Returns
    -------
    SkyMap
        float64, in (0, 1]: exact where one outline covers the whole cell or only one touches it, elsewhere
        from 8 x 8 sub-cells (steps of 1/64), never below the largest single share nor above their sum.
    """
    listed = _listed(outlines)
    covered = Cover.join(list(_covers(listed, order, chord_tolerance)), order)
    return unite(covered, cells, lambda owner, cell: _sub_cells(listed, owner, cell, order))


def cells_inside(region: Region, order: int) -> CellSet:
    """Cells whose centre lies in a region."""
    boundaries = _boundaries([region])
    covered = cover(boundaries, order)
    held = boundaries.hold(points_in_cells(covered.cell, order, 0.5, 0.5), covered.owner)
    return CellSet.from_ranges(order, covered.whole) | CellSet.from_cells(order, covered.cell[held])


def cells_touched(region: Region, order: int) -> CellSet:
    """Cells of which a region covers a share."""
    covered = cover(_boundaries([region]), order)
    return CellSet.from_ranges(order, covered.whole) | CellSet.from_cells(
        order, covered.cell[covered.share > 0.0]
    )


def _listed(outlines: Outlines) -> Listed:
    if isinstance(outlines, Cap | Polygon):
        return [outlines]
    if not isinstance(outlines, np.ndarray):
        return list(outlines)
    if outlines.ndim != 3 or outlines.shape[1] < 3 or outlines.shape[2] != 2:
        raise InputError(f"an array of outlines must have shape (n, m >= 3, 2), found {outlines.shape}")
    if not (np.all(np.isfinite(outlines)) and np.all(np.abs(outlines[..., 1]) <= 90.0)):
        raise InputError("vertices must be positions in degrees, latitudes in [-90, 90]")
    return outlines


def _regions(listed: Listed) -> list[Region]:
    return [Polygon(one) for one in listed] if isinstance(listed, np.ndarray) else listed


def _boundaries(regions: Sequence[Region]) -> Boundaries:
    return Boundaries.of([one.arcs for one in regions], [one.everything for one in regions])


def _covers(listed: Listed, order: int, tolerance: float | None) -> Iterator[Cover]:
    """Covers of outlines, some at a time, exact or by chords."""
    for begin in range(0, len(listed), OUTLINES_AT_ONCE):
        part = listed[begin : begin + OUTLINES_AT_ONCE]
        found = (
            cover(_boundaries(_regions(part)), order)
            if tolerance is None
            else _by_chords(part, order, tolerance)
        )
        yield found.owned_by(np.arange(begin, begin + len(part)))


def _by_chords(part: Listed, order: int, tolerance: float) -> Cover:
    """Cover by chords; exact for caps, complements and outlines over a seam of the projection."""
    if not tolerance > 0.0:
        raise InputError(f"the chord tolerance must be positive, found {tolerance}")
    corners, first = _corners(part)
    state, start, cell, share = chords.fill(corners, first, order, tolerance)
    if np.any(state == chords.CROSSED):
        raise InputError(f"edges of outline {int(np.argmax(state == chords.CROSSED))} must not cross")
    owner = np.repeat(np.arange(len(part)), np.diff(start))
    fast = Cover(order, owner, cell, share, NO_CELLS, np.empty((0, 2), np.int64))
    left = np.flatnonzero(state == chords.SEAM)
    if left.size == 0:
        return fast
    return Cover.join([fast, cover(_boundaries(_regions(_chosen(part, left))), order).owned_by(left)], order)


def _chosen(listed: Listed, rows: IntArray) -> Listed:
    return listed[rows] if isinstance(listed, np.ndarray) else [listed[row] for row in rows]


def _corners(listed: Listed) -> tuple[FloatArray, IntArray]:
    """Corners (n, 3) of all outlines and the first of each; none for what is not a plain polygon."""
    if isinstance(listed, np.ndarray):
        corners = unit_vectors(listed[..., 0], listed[..., 1]).reshape(-1, 3)
        return corners, np.arange(len(listed) + 1) * listed.shape[1]
    nothing = np.empty((0, 3))
    loops = [one.corners if isinstance(one, Polygon) and not one.outside else nothing for one in listed]
    return np.concatenate([*loops, nothing]), np.cumsum([0, *(len(one) for one in loops)])


def _sub_cells(listed: Listed, owner: IntArray, cell: IntArray, order: int) -> NDArray[np.uint64]:
    """Words of the 8 x 8 sub-cells inside, for pairs of outline and cell ascending by outline."""
    fresh = changes(owner)
    row = np.cumsum(fresh) - 1
    chosen = _chosen(listed, owner[fresh])
    words: NDArray[np.uint64]
    words, known = chords.mark(*_corners(chosen), row, cell, order, SUB_CELL_TOLERANCE)
    if not np.all(known):
        words[~known] = sub_cells_inside(_boundaries(_regions(chosen)), row[~known], cell[~known], order)
    return words
