"""Where a simulated survey can be used: exposures at any place, and shares of cells by what is seen there.

Detectors and bad columns are rectangles of the survey plane. The edges of all of them cut the plane into rectangles
with a constant number of usable exposures of each instrument (0 where a bad column lies); star masks hide the rest. So
the number at a place is a look-up, and the mean over a cell of any quantity that depends on these numbers alone is a
sum of exact shares.
"""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from vmpz.simulate.field import Rectangles, Sky
from vmpz.simulate.geometry import clip_to_rectangle, polygon_area_sr, to_angles
from vmpz.simulate.tables import is_disc
from vmpz.simulate.truth import star_mask_polygons
from vmpz.sky.cells import CellSet
from vmpz.sky.shares import weighted_sums
from vmpz.sky.skymap import SkyMap

__all__ = ["Usable", "in_star_masks"]

Array = NDArray[np.float64]

SMALLEST_SR = 1e-18
"""Pieces below it (4e-8 square arcsec) are left out: their edges are rounding."""
SMALLEST_SHARE = 1e-9


class Usable:
    """Usable exposures of some instruments over the survey plane, star masks aside.

    Parameters
    ----------
    sky : Sky
    instruments : sequence of str
    """

    def __init__(self, sky: Sky, instruments: Sequence[str]) -> None:
        self._sky = sky
        layers = [(sky.detectors(name).rectangles, sky.columns(name)) for name in instruments]
        edges = list(itertools.chain.from_iterable(layers))
        self._x = np.unique([edge for one in edges for edge in (*one.x0, *one.x1)])
        self._y = np.unique([edge for one in edges for edge in (*one.y0, *one.y1)])
        self._number = np.stack(
            [np.where(self._count(columns) > 0, 0, self._count(detectors)) for detectors, columns in layers]
        )

    def _count(self, rect: Rectangles) -> NDArray[np.int64]:
        """Number of rectangles over each part of the plane; outside of all edges there are none."""
        change = np.zeros((self._x.size + 1, self._y.size + 1), np.int64)
        for edge_x, edge_y, step in (
            (rect.x0, rect.y0, 1),
            (rect.x1, rect.y0, -1),
            (rect.x0, rect.y1, -1),
            (rect.x1, rect.y1, 1),
        ):
            np.add.at(
                change, (np.searchsorted(self._x, edge_x) + 1, np.searchsorted(self._y, edge_y) + 1), step
            )
        return change.cumsum(axis=0).cumsum(axis=1)

    def at(self, vectors: Array) -> NDArray[np.int64]:
        """Exposures of each instrument at directions (n, 3), shape (instruments, n)."""
        x, y = self._sky.plane.project(vectors)
        found = self._number[:, np.searchsorted(self._x, x, "right"), np.searchsorted(self._y, y, "right")]
        return np.asarray(found)

    def pieces(self) -> tuple[Rectangles, list[tuple[int, ...]]]:
        """Disjoint rectangles that every instrument saw, and the exposures of each instrument there."""
        kind, kinds = self._kinds()
        column, first = np.nonzero(np.diff(kind, axis=1, prepend=-1))
        end = np.where(np.append(column[1:], -1) == column, np.append(first[1:], 0), kind.shape[1])
        told = kind[column, first]
        seen = np.all(kinds[told] > 0, axis=1)
        column, first, end = column[seen], first[seen], end[seen]
        rectangles = Rectangles(self._x[column - 1], self._x[column], self._y[first - 1], self._y[end - 1])
        return rectangles, [tuple(row) for row in kinds[told[seen]].tolist()]

    def _kinds(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Parts of the plane by combination of exposures, and the combinations (kinds, instruments)."""
        table = self._number.reshape(len(self._number), -1)
        most = int(table.max(initial=0)) + 1
        code = np.zeros(table.shape[1], np.int64)
        for row in table:
            code = code * most + row
        codes, kind = np.unique(code, return_inverse=True)
        kinds = np.stack([codes // most**power % most for power in range(len(table) - 1, -1, -1)], axis=1)
        return kind.reshape(self._number.shape[1:]), kinds

    def mean(self, values: Mapping[tuple[int, ...], float], cells: CellSet) -> SkyMap:
        """Mean over each cell of a quantity that is known by number of exposures of each instrument.

        It is 0 where an instrument saw nothing, in bad columns and inside star masks; cells without any are absent.

        Parameters
        ----------
        values : mapping of tuple of int to float
            For every combination of exposures that there is.
        cells : CellSet

        Returns
        -------
        SkyMap
            float64.
        """
        rectangles, numbers = self.pieces()
        weight = np.array([values[one] for one in numbers])
        outlines = np.stack(to_angles(rectangles.quads(self._sky.plane).corners), axis=2).astype(np.float64)
        hidden, lost = self._hidden(rectangles, weight)
        total = np.zeros(len(cells))
        for table, amount in ((outlines, weight), (hidden, -lost)):
            found, sums = weighted_sums(table, amount[:, None], cells.order, cells)
            total[cells.index(found.cells())] += sums[:, 0]
        kept = total > SMALLEST_SHARE
        return SkyMap(CellSet.from_cells(cells.order, cells.cells()[kept]), total[kept])

    def _hidden(self, rectangles: Rectangles, weight: Array) -> tuple[Array, Array]:
        """The parts of the rectangles inside star masks, outlines (n, m, 2) in degrees, and their weights."""
        pieces: list[Array] = []
        weights: list[float] = []
        for mask in star_mask_polygons(self._sky):
            points = np.stack(self._sky.plane.project(mask), axis=1)
            (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
            near = (rectangles.x0 < x1) & (rectangles.x1 > x0) & (rectangles.y0 < y1) & (rectangles.y1 > y0)
            for i in np.flatnonzero(near):
                box = (rectangles.x0[i], rectangles.x1[i], rectangles.y0[i], rectangles.y1[i])
                piece = clip_to_rectangle(points, *box).astype(np.float64)
                if len(piece) > 2 and abs(polygon_area_sr(piece)) > SMALLEST_SR:
                    pieces.append(piece)
                    weights.append(float(weight[i]))
        width = max(map(len, pieces), default=3)
        table = np.empty((len(pieces), width, 2))
        for row, piece in zip(table, pieces, strict=True):
            angles = np.stack(self._sky.plane.angles(*piece.T), axis=1)
            row[:] = angles[np.minimum(np.arange(width), len(angles) - 1)]
        return table, np.array(weights)


def in_star_masks(sky: Sky, vectors: Array) -> NDArray[np.bool_]:
    """Whether directions (n, 3) lie inside a bright-star mask."""
    inside = np.zeros(len(vectors), bool)
    masks = zip(sky.halos.centres, sky.halos.radii.tolist(), star_mask_polygons(sky), strict=True)
    for number, (centre, radius, outline) in enumerate(masks):
        near = np.flatnonzero(vectors @ centre >= np.cos(radius))
        if not is_disc(number):
            normals = np.cross(outline, np.roll(outline, -1, axis=0))
            near = near[np.all(vectors[near] @ normals.T >= 0.0, axis=1)]
        inside[near] = True
    return inside
