"""Regions of the sky and the exact share of every cell that they cover.

A region is a `Cap` (any small circle, or what is outside it) or a `Polygon` (great-circle edges, concave or
not, across longitude 0 and over the poles). The edges of an undistorted tangential image are great circles,
so its four corners are its outline; a distorted image is a polygon with vertices sampled along its edges.

>>> tile = Polygon([(10.0, -2.0), (10.5, -2.0), (10.5, -1.5), (10.0, -1.5)])
>>> share = covered_fractions(tile, order=10)
>>> abs(share.integral_deg2() / tile.area_deg2 - 1) < 1e-12
True

Shares are boundary integrals along the true arcs (`vmpz.sky.overlaps`): no chord, no sampling. They are right to
1e-9 of a cell at orders up to 14 (double precision allows no better beyond: about ``1e-15 * 2**order``). Cells inside
have exactly 1.0, cells outside are absent. With a `chord_tolerance` edges become chords in the plane of the cells,
which is faster for many small outlines; the tolerance bounds the error of each share. Tables of outlines with scalars
are the business of `vmpz.sky.shares`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vmpz.errors import InputError
from vmpz.sky.cells import CellSet
from vmpz.sky.covers import (
    Boundaries,
    area_sr,
    checked_outlines,
    cover,
    distinct,
    outline_arcs,
    points_in_cells,
    rounding,
    unit_vectors,
)
from vmpz.sky.overlaps import Outlines, Overlaps
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
    hole_deg : float
        Radius of a concentric hole: what is left is a ring.

    Raises
    ------
    InputError
        The latitude is outside [-90, 90], the radius outside [0, 180], a hole is not smaller than the cap or the
        complement of a ring is meant, or a number is not finite.

    Examples
    --------
    >>> from vmpz import Cap
    >>> round(Cap(58.0, -51.5, 1.0).area_deg2, 6)
    3.141513
    """

    lon_deg: float
    lat_deg: float
    radius_deg: float
    outside: bool = False
    hole_deg: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.lon_deg) and abs(self.lat_deg) <= 90.0):
            raise InputError(
                f"the centre of a cap must be a position in degrees, found {self.lon_deg}, {self.lat_deg}"
            )
        if not 0.0 <= self.radius_deg <= 180.0:
            raise InputError(f"the radius of a cap must lie in 0-180 degrees, found {self.radius_deg}")
        if self.hole_deg != 0.0 and (self.outside or not 0.0 < self.hole_deg < self.radius_deg):
            raise InputError(
                f"the hole of a cap must be smaller than the cap, {self.radius_deg} degrees, and not that of a "
                f"complement; found {self.hole_deg}"
            )

    @property
    def area_deg2(self) -> float:
        """2 pi (1 - cos r), less the hole, or what is left of the sphere, in square degrees."""
        half, hole = math.radians(self.radius_deg) / 2.0, math.radians(self.hole_deg) / 2.0
        if self.outside:
            return 4.0 * math.pi * math.cos(half) ** 2 / SQUARE_DEGREE
        return 4.0 * math.pi * math.sin(half - hole) * math.sin(half + hole) / SQUARE_DEGREE

    @property
    def everything(self) -> bool:
        """Whether no boundary is left and the cap is the whole sphere."""
        return self.radius_deg == (0.0 if self.outside else 180.0) and self.hole_deg == 0.0

    @cached_property
    def arcs(self) -> FloatArray:
        """Boundary for the kernels, one row a circle, none where there is no boundary."""
        return np.concatenate(
            (self._circle(self.radius_deg, self.outside), self._circle(self.hole_deg, True))
        )

    def _circle(self, radius_deg: float, outside: bool) -> FloatArray:
        """A circle about the centre as an arc (1, 10), what is inside or outside on its left."""
        if radius_deg in (0.0, 180.0):
            return np.empty((0, 10))
        radius = math.radians(min(radius_deg, 180.0 - radius_deg))
        height = math.copysign(math.cos(radius), 90.0 - radius_deg)
        axis = unit_vectors(self.lon_deg, self.lat_deg)
        east = unit_vectors(self.lon_deg + 90.0, 0.0)
        north = np.cross(axis, east) * (-1.0 if outside else 1.0)
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

    Examples
    --------
    >>> from vmpz import Polygon
    >>> square = Polygon([(10.0, 0.0), (11.0, 0.0), (11.0, 1.0), (10.0, 1.0)])
    >>> round(square.area_deg2, 6)
    0.999975
    """

    __slots__ = ("__dict__", "_outside", "_vertices")

    @classmethod
    def unchecked(cls, vertices: FloatArray) -> "Polygon":
        """One whose vertices (n, 2) are known to make an outline, such as a convex one: for very many at once."""
        polygon = cls.__new__(cls)
        vertices.setflags(write=False)
        polygon._vertices, polygon._outside = vertices, False
        return polygon

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
        return distinct(points)

    @cached_property
    def _area_left_sr(self) -> float:
        """Area on the left of the line as given: positive, or minus that of the right side if smaller."""
        return area_sr(self.corners)

    @property
    def area_deg2(self) -> float:
        """Solid angle in square degrees."""
        area = abs(self._area_left_sr)
        return (4.0 * math.pi - area if self._outside else area) / SQUARE_DEGREE

    @cached_property
    def arcs(self) -> FloatArray:
        """Boundary for the kernels, (n, 10), the region on the left."""
        return outline_arcs(self.corners, self._outside)

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


def polygon_area_deg2(vertices: ArrayLike) -> float:
    """Area in square degrees of the smaller side of a polygon, vertices (n, 2) in degrees."""
    return Polygon(vertices).area_deg2


# -- shares ---------------------------------------------------------------------------------------------


def covered_fractions(
    region: Region | Sequence[Region] | FloatArray,
    order: int,
    *,
    cells: CellSet | None = None,
    chord_tolerance: float | None = None,
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

    Examples
    --------
    >>> from vmpz import Cap, covered_fractions
    >>> share = covered_fractions(Cap(58.0, -51.5, 0.5), order=8)
    >>> len(share), round(share.integral_deg2(), 6), round(Cap(58.0, -51.5, 0.5).area_deg2, 6)
    (26, 0.785393, 0.785393)
    """
    pieces = _outlines(region)
    found, covered, _ = _added(pieces, order, cells, chord_tolerance)
    most = float(covered.max(initial=0.0))
    if most > 1.0 + len(pieces) * (chord_tolerance or rounding(order)):
        raise InputError(
            f"regions given together must not overlap, found a cell covered {most:.6g} times: "
            "use union_fractions or sum_fractions"
        )
    return SkyMap(found, np.minimum(covered[:, 0], 1.0))


def sum_fractions(
    outlines: Region | Sequence[Region] | FloatArray,
    order: int,
    cells: CellSet | None = None,
    *,
    chord_tolerance: float | None = None,
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
    found, sums, _ = _added(_outlines(outlines), order, cells, chord_tolerance)
    return SkyMap(found, sums[:, 0])


def union_fractions(
    outlines: Region | Sequence[Region] | FloatArray,
    order: int,
    cells: CellSet | None = None,
    *,
    chord_tolerance: float | None = None,
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
    found, _, union = _added(_outlines(outlines), order, cells, chord_tolerance, union=True)
    return SkyMap(found, union)


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


def _outlines(regions: Region | Sequence[Region] | FloatArray) -> Outlines:
    """Plain polygons, and other regions after them."""
    if isinstance(regions, np.ndarray):
        return Outlines.of_table(checked_outlines(regions))
    listed = [regions] if isinstance(regions, Cap | Polygon) else regions
    loops = [one.corners for one in listed if isinstance(one, Polygon) and not one.outside]
    others = [one for one in listed if not isinstance(one, Polygon) or one.outside]
    first = np.cumsum([0, *(len(loop) for loop in loops)])
    return Outlines(np.concatenate([np.empty((0, 3)), *loops]), first, _boundaries(others))


def _added(
    outlines: Outlines, order: int, cells: CellSet | None, chord_tolerance: float | None, union: bool = False
) -> tuple[CellSet, FloatArray, FloatArray]:
    """Cells, sums (cells, 1) and unions of shares."""
    overlaps = Overlaps.of(outlines, order, cells, chord_tolerance, union=union)
    return overlaps.add_up(np.ones((len(outlines), 1)), union=union)


def _boundaries(regions: Sequence[Region]) -> Boundaries:
    return Boundaries.of([one.arcs for one in regions], [one.everything for one in regions])
