"""Star masks on the pixels of an image: which pixel centres lie inside a cap or a polygon of the sky.

A mask is drawn where it is: patches of 128 pixels that its bounding circle reaches. Inside a patch the direction of
a pixel is a polynomial with a known error, and a pixel in doubt is decided by the image's own mapping, so the answer
is that of evaluating every pixel. Masks enter the pass as the virtual bit STARMASK of runs cut at their borders.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.kernels import pixelcells, spans
from vmpz.make.leaves import Positions, pixel_positions
from vmpz.make.runtable import RunBlock, RunTable
from vmpz.sky.regions import Cap, Polygon

__all__ = ["StarMasks"]

PATCH = 128
POINTS = np.linspace(-1.0, 1.0, 5)
ROUNDING = 1e-15
LARGEST_POLYGON_DEG = 30.0

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Mask:
    """A region in its tangent frame: centre, east, north; what bounds it; its own shape."""

    frame: Floats
    reach: float
    chord: float
    outside: bool
    corners: Floats | None

    @classmethod
    def of(cls, region: Cap | Polygon) -> "_Mask":
        """The tangent frame of a region."""
        if isinstance(region, Cap):
            chord = 2.0 * math.sin(math.radians(region.radius_deg) / 2.0)
            frame = _tangent_frame(_directions(np.array(region.lon_deg), np.array(region.lat_deg)))
            return cls(frame, chord, chord, region.outside, None)
        vertices = _directions(region.vertices[:, 0], region.vertices[:, 1])
        frame = _tangent_frame(vertices.sum(axis=0))
        across, up, depth = _components(frame, vertices)
        reach = float(np.sqrt(across**2 + up**2 + depth**2).max())
        if reach > 2.0 * math.sin(math.radians(LARGEST_POLYGON_DEG) / 2.0):
            raise InputError(
                f"a polygonal star mask must lie within {LARGEST_POLYGON_DEG:g} degrees of its centre, found "
                f"{math.degrees(2.0 * math.asin(min(reach / 2.0, 1.0))):.3g}"
            )
        return cls(frame, reach, 0.0, region.outside, np.stack((across, up), axis=1) / (1.0 - depth)[:, None])

    def holds(self, directions: Floats) -> NDArray[np.bool_]:
        """Whether directions lie inside, without the complement."""
        a, b, h = _components(self.frame, directions)
        if self.corners is None:
            return np.asarray(a * a + b * b + h * h <= self.chord**2)
        x, y = a / (1.0 - h), b / (1.0 - h)
        x0, y0 = np.roll(self.corners, 1, axis=0).T[:, :, None] - np.stack((x, y))[:, None, :]
        dx, dy = (self.corners - np.roll(self.corners, 1, axis=0)).T[:, :, None]
        crosses = (y0 > 0) != (y0 + dy > 0)
        right = x0 - y0 * dx / np.where(dy == 0, 1.0, dy) > 0
        return np.asarray((crosses & right).sum(axis=0) % 2 == 1)


class StarMasks:
    """The star masks of a frame, drawn block by block.

    Parameters
    ----------
    table : RunTable
        Of the frame's grid.
    regions : sequence of Cap or Polygon
    """

    def __init__(self, table: RunTable, regions: Sequence[Cap | Polygon]) -> None:
        self.table = table
        self.positions = pixel_positions(table.wcs)
        self.masks = [_Mask.of(region) for region in regions]

    def cut(self, block: RunBlock) -> tuple[RunBlock, NDArray[np.uint8]]:
        """Runs of a block cut at the borders of the masks, and 1 for those inside a mask."""
        marked = self.draw(block.start, block.stop)
        if not marked.any():
            return block, np.zeros(0, np.uint8)
        room = block.first.size + int(np.count_nonzero(np.diff(marked, axis=1)))
        first, slot = np.empty(room, block.first.dtype), np.empty(room, np.int32)
        virtual, row_start = np.empty(room, np.uint8), np.empty_like(block.row_start)
        count = spans.cut_runs(
            self.table.shape[1],
            block.first,
            block.slot,
            block.row_start,
            marked,
            first,
            slot,
            virtual,
            row_start,
        )
        return replace(block, first=first[:count], slot=slot[:count], row_start=row_start), virtual[:count]

    def draw(self, start: int, stop: int) -> NDArray[np.uint8]:
        """1 where a pixel centre of rows [start, stop) lies inside a mask, uint8 (rows, columns)."""
        marked = np.zeros((stop - start, self.table.shape[1]), np.uint8)
        patches = _Patches.of(self.positions, start, stop, self.table.shape[1])
        for mask in self.masks:
            near = np.flatnonzero(patches.distance(mask.frame[0]) <= mask.reach + patches.reach)
            if mask.outside:
                rest = np.zeros_like(marked)
                self._draw(mask, patches, near, start, rest)
                marked |= rest ^ 1
            else:
                self._draw(mask, patches, near, start, marked)
        return marked

    def _draw(
        self,
        mask: _Mask,
        patches: "_Patches",
        chosen: NDArray[np.int64],
        start: int,
        marked: NDArray[np.uint8],
    ) -> None:
        """Draw a mask on the patches that it may reach."""
        for k in chosen:
            row, column, height, width = patches.box[k]
            shape, guard, smooth = _polynomials(_components(mask.frame, patches.nodes[k]), height, width)
            patch = np.zeros((height, width), np.uint8)
            middle = (0.5 * (height - 1), 0.5 * (width - 1))
            if not smooth:
                patch[:] = spans.DOUBT
            elif mask.corners is None:
                spans.fill_cap(shape, guard, *middle, mask.chord, patch)
            else:
                spans.fill_polygon(shape, guard, *middle, mask.corners, patch)
            doubt = np.argwhere(patch == spans.DOUBT)
            if doubt.size:
                lon, lat = self.positions(column + doubt[:, 1].astype(float), row + doubt[:, 0].astype(float))
                patch[tuple(doubt.T)] = mask.holds(_directions(lon, lat))
            marked[row - start : row - start + height, column : column + width] |= patch


@dataclass(frozen=True)
class _Patches:
    """Patches of rows: row, column, height, width; directions of 5 x 5 nodes; reach of each about its middle."""

    box: NDArray[np.int64]
    nodes: Floats
    reach: Floats

    @classmethod
    def of(cls, positions: Positions, start: int, stop: int, columns: int) -> "_Patches":
        row, column = (a.ravel() for a in np.mgrid[start:stop:PATCH, 0:columns:PATCH])
        height, width = np.minimum(PATCH, stop - row), np.minimum(PATCH, columns - column)
        rows = row[:, None, None] + 0.5 * (height - 1)[:, None, None] * (1.0 + POINTS[:, None])
        across = column[:, None, None] + 0.5 * (width - 1)[:, None, None] * (1.0 + POINTS)
        rows, across = np.broadcast_arrays(rows, across)
        nodes = _directions(*positions(across, rows))
        reach = np.sqrt(np.sum((nodes - nodes[:, 2:3, 2:3]) ** 2, axis=-1)).max(axis=(1, 2))
        reach = np.where(np.isfinite(reach), 1.1 * reach, np.inf)
        return cls(np.stack((row, column, height, width), axis=1), nodes, reach)

    def distance(self, centre: Floats) -> Floats:
        """Chord from the middle of each patch; patches off the sky are far."""
        chord = np.sqrt(np.sum((self.nodes[:, 2, 2] - centre) ** 2, axis=-1))
        return np.asarray(np.where(np.isfinite(chord), chord, np.inf))


def _polynomials(nodes: Floats, height: int, width: int) -> tuple[NDArray[Any], float, bool]:
    """Biquadratic polynomials of three components (3, 5, 5), bound on their error, whether that is of any use."""
    half_height, half_width = np.array([0.5 * (height - 1)]), np.array([0.5 * (width - 1)])
    shape = pixelcells.biquadratic(nodes[:, None, ::2, ::2], half_height, half_width)[:, 0]
    v = (POINTS[:, None] * half_height) ** np.arange(3)
    u = (POINTS[:, None] * half_width) ** np.arange(3)
    error = float(np.abs(np.einsum("aij,ri,cj->arc", shape, v, u) - nodes).max())
    step = float(np.abs(shape[:2, [0, 1], [1, 0]]).max())
    return shape, 8.0 * error + ROUNDING, error <= 1e-3 * step


def _directions(lon_deg: Floats, lat_deg: Floats) -> Floats:
    """Unit vectors, shape (..., 3)."""
    lon, lat = np.radians(lon_deg), np.radians(lat_deg)
    return np.stack((np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)), axis=-1)


def _tangent_frame(direction: Floats) -> Floats:
    """Centre, east and north as rows."""
    centre = direction / np.linalg.norm(direction)
    lon = math.atan2(centre[1], centre[0])
    east = np.array([-math.sin(lon), math.cos(lon), 0.0])
    return np.stack((centre, east, np.cross(centre, east)))


def _components(frame: Floats, directions: Floats) -> Floats:
    """East, north and depth below the tangent plane of directions, shape (3, ...)."""
    offset = directions - frame[0]
    return np.stack((offset @ frame[1], offset @ frame[2], -(offset @ frame[0])))
