"""Masks of mangle polygons of any make: weights at positions, areas, and the map of a mask.

A polygon is an intersection of caps (`vmpz.kernels.caps`) with a weight; where polygons overlap, the first counts, as
in pymangle. On a map a polygon that one circle or great circles alone bound has its exact share of every cell
(`vmpz.kernels.clipping`); one that several small circles bound is divided down to 7 orders below the cells (an error of
3e-4 of a boundary cell, rms). Where several polygons meet in a cell and the file does not say that they are disjoint
(`balkanized`), 16 x 16 points of the cell are asked whether they are; if not, the mean weight at 32 x 32 points is the
value (an error of 2e-3 of the cell, rms).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vmpz.errors import InputError
from vmpz.kernels import caps as kernels
from vmpz.kernels.outlines import outlines
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.covers import Boundaries, Cover, cover, unit_vectors
from vmpz.sky.skymap import SkyMap

__all__ = ["MOST_CELLS", "MangleMask"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

SQUARE_DEGREE = (math.pi / 180.0) ** 2
MOST_CELLS = 1 << 26
"""Largest number of cells that a mask may unfold to."""
AT_ONCE = 1 << 12
DEEPER = 7
DEEPER_SHARED = (4, 5)
EVERYTHING = 4.0  # radius of a cap without edge
ROUNDING = 1e-9  # of a share
UNIT = 1e-6  # a unit vector may be as far from length 1


@dataclass(frozen=True, eq=False)
class MangleMask:
    """Weighted polygons.

    Attributes
    ----------
    caps : float64 (m, 4)
        Polygon after polygon: unit vector n and cm of each cap, the points p with ``1 - n.p < cm`` (negative: with
        ``1 - n.p > -cm``).
    first : int64 (n + 1,)
        First cap of each polygon, and the number of caps.
    weights : float64 (n,)
    areas : float64 (n,)
        Steradian, as stated; NaN where the file states none and they are not known.
    balkanized : bool
        Whether no two polygons overlap.

    Raises
    ------
    InputError
        The arrays do not belong together, or an axis is no unit vector.
    """

    caps: FloatArray
    first: IntArray
    weights: FloatArray
    areas: FloatArray
    balkanized: bool = False

    def __post_init__(self) -> None:
        for name, kind in {"caps": float, "first": np.int64, "weights": float, "areas": float}.items():
            array = np.ascontiguousarray(getattr(self, name), kind).view()
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        many = self.weights.size
        if self.caps.shape[1:] != (4,) or self.first.shape != (many + 1,) or self.areas.shape != (many,):
            raise InputError(
                "a mask must have caps (m, 4), weights (n,), areas (n,) and first caps (n + 1,), found shapes "
                f"{self.caps.shape}, {self.weights.shape}, {self.areas.shape}, {self.first.shape}"
            )
        if self.first[0] != 0 or self.first[-1] != len(self.caps) or np.any(np.diff(self.first) < 0):
            raise InputError(f"first caps must ascend from 0 to the number of caps, {len(self.caps)}")
        if not np.all(np.abs(np.linalg.norm(self.caps[:, :3], axis=1) - 1.0) <= UNIT):
            raise InputError("axes of caps must be unit vectors, found one that is not")

    def __len__(self) -> int:
        return self.weights.size

    # -- areas ------------------------------------------------------------------------------------------

    @property
    def area_deg2(self) -> float:
        """Sum of the areas of the polygons, square degrees."""
        return float(np.nansum(self.areas)) / SQUARE_DEGREE

    @property
    def observed_area_deg2(self) -> float:
        """Sum of weight times area, square degrees."""
        return float(np.nansum(self.weights * self.areas)) / SQUARE_DEGREE

    # -- positions --------------------------------------------------------------------------------------

    def polygon_at(self, lon_deg: ArrayLike, lat_deg: ArrayLike) -> IntArray:
        """Number of the first polygon that holds each position (ICRS degrees, any shape), -1 where there is none."""
        lon, lat = np.broadcast_arrays(np.asarray(lon_deg, np.float64), np.asarray(lat_deg, np.float64))
        points = unit_vectors(lon, lat).reshape(-1, 3)
        best = np.full(len(points), len(self), np.int64)
        for order, cells, polygons in self._places:
            here = hpx.cells_at(lon.ravel(), lat.ravel(), order)
            begin, end = np.searchsorted(cells, here, "left"), np.searchsorted(cells, here, "right")
            kernels.first_holding(points, begin, end, polygons, self.caps, self.first, best)
        return np.where(best == len(self), -1, best).reshape(lon.shape)

    def weight_at(self, lon_deg: ArrayLike, lat_deg: ArrayLike) -> FloatArray:
        """Weight at each position (ICRS degrees, any shape), 0 outside of all polygons."""
        return np.append(self.weights, 0.0)[self.polygon_at(lon_deg, lat_deg)]

    @cached_property
    def _radii(self) -> FloatArray:
        """Angle of the edge of each cap from its axis, radian."""
        height = np.abs(self.caps[:, 3])
        return np.where(height < 2.0, 2.0 * np.arcsin(np.sqrt(np.minimum(height, 2.0) / 2.0)), EVERYTHING)

    @cached_property
    def _places(self) -> list[tuple[int, IntArray, IntArray]]:
        """By order: cells of about the size of polygons, ascending, and the polygons that may reach into each."""
        circles = np.concatenate(
            [np.empty((0, 4)), *(outlines(*self._part(begin))[3] for begin in self._parts)]
        )
        sizes = np.sqrt(np.where(self.areas > 0.0, self.areas, circles[:, 3] ** 2))
        rows = kernels.register(self.caps, self._radii, self.first, circles, sizes)
        rows = rows[np.lexsort((rows[:, 2], rows[:, 1], rows[:, 0]))]
        cuts = np.flatnonzero(np.diff(rows[:, 0])) + 1
        return [
            (int(part[0, 0]), part[:, 1].copy(), part[:, 2].copy())
            for part in np.split(rows, cuts)
            if len(part)
        ]

    @property
    def _parts(self) -> range:
        """First polygon of each of several parts."""
        return range(0, len(self), AT_ONCE)

    def _part(self, begin: int) -> tuple[FloatArray, IntArray]:
        """Caps of the polygons of a part, and the first of each."""
        first = self.first[begin : begin + AT_ONCE + 1]
        return self.caps[first[0] : first[-1]], first - first[0]

    # -- map --------------------------------------------------------------------------------------------

    def to_map(self, order: int, *, mean: bool = False) -> SkyMap:
        """The mask on cells.

        Parameters
        ----------
        order : int
        mean : bool
            Mean weight over what polygons hold of a cell (for weights that are no fractions), instead of the sum of
            weight times share.

        Returns
        -------
        SkyMap
            float64, on the cells that a polygon touches.

        Raises
        ------
        InputError
            There would be more than `MOST_CELLS` cells.
        """
        if self.area_deg2 > MOST_CELLS * hpx.cell_area_deg2(order):
            raise InputError(
                f"a mask must unfold to at most {MOST_CELLS} cells, found {self.area_deg2:.6g} deg2 at order {order}"
            )
        polygon, cell, share = self._shares(order)
        start = np.flatnonzero(np.diff(cell, prepend=-1))
        held = np.add.reduceat(share, start) if start.size else share
        value = np.add.reduceat(self.weights[polygon] * share, start) if start.size else share
        several = np.diff(np.append(start, cell.size)) > 1
        if several.any() and not self.balkanized:
            value, held = self._resolved(order, polygon, cell, start, several, value, held)
        value = np.divide(value, held, where=held > 0.0, out=np.zeros_like(value)) if mean else value
        return SkyMap(CellSet.from_cells(order, cell[start]), value)

    def _shares(self, order: int) -> tuple[IntArray, IntArray, FloatArray]:
        """Polygon, cell and share of every pair that touches, by cell, then by polygon."""
        found, many = [], 0
        for covered in self._covers(order):
            ranges = covered.whole
            many += covered.cell.size + int(np.sum(ranges[:, 1] - ranges[:, 0]))
            if many > MOST_CELLS:
                raise InputError(
                    f"a mask must unfold to at most {MOST_CELLS} cells, found more at order {order}"
                )
            sizes = ranges[:, 1] - ranges[:, 0]
            inside = np.arange(sizes.sum()) + np.repeat(ranges[:, 0] - np.cumsum(sizes) + sizes, sizes)
            some = covered.share > 0.0
            found.append(
                (
                    np.concatenate((covered.owner[some], np.repeat(covered.whole_owner, sizes))),
                    np.concatenate((covered.cell[some], inside)),
                    np.concatenate((covered.share[some], np.ones(inside.size))),
                )
            )
        found.append((np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)))
        polygon, cell, share = (np.concatenate(column) for column in zip(*found, strict=True))
        by_cell = np.lexsort((polygon, cell))
        return polygon[by_cell], cell[by_cell], share[by_cell]

    def _covers(self, order: int) -> Iterator[Cover]:
        """What polygons cover, some of them at a time: exactly where their outlines are known, else by division."""
        for begin in self._parts:
            start, arcs, *_ = outlines(*self._part(begin))
            bounded = np.diff(start) > 0
            known = begin + np.flatnonzero(bounded)
            if known.size:
                bounds = Boundaries(
                    arcs, np.append(start[:-1][bounded], start[-1]), np.zeros(known.size, bool)
                )
                yield cover(bounds, order).owned_by(known)
            yield self._by_division(begin + np.flatnonzero(~bounded), order)

    def _by_division(self, polygons: IntArray, order: int) -> Cover:
        deeper = min(DEEPER, hpx.MAX_ORDER - order)
        parts, whole = kernels.cover(self.caps, self._radii, self.first, polygons, order, deeper)
        share = parts[:, 2] / 4.0**deeper
        return Cover(order, parts[:, 0], parts[:, 1], share, whole[:, 0], whole[:, 1:])

    def _resolved(
        self,
        order: int,
        polygon: IntArray,
        cell: IntArray,
        start: IntArray,
        several: NDArray[np.bool_],
        value: FloatArray,
        held: FloatArray,
    ) -> tuple[FloatArray, FloatArray]:
        """Values and held shares where polygons that overlap in a cell count once, the first of them."""
        stop = np.append(start[1:], cell.size)
        places = np.flatnonzero(several)
        for deeper in DEEPER_SHARED:  # a coarse look first, for most masks are disjoint
            counts = (stop - start)[places]
            rows = np.repeat(start[places] - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
            weight, share, shared = kernels.holders(
                np.stack(hpx.faces(cell[start[places]], order), axis=1),
                order,
                min(deeper, hpx.MAX_ORDER - order),
                np.concatenate(([0], np.cumsum(counts))),
                polygon[rows],
                self.caps,
                self.first,
                self.weights,
            )
            shared |= held[places] > 1.0 + ROUNDING
            places, weight, share = places[shared], weight[shared], share[shared]
        value, held = value.copy(), held.copy()
        value[places], held[places] = weight, share
        return value, held
