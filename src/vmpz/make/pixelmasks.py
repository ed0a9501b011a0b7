"""Geometric masks on the pixels of an image: which pixel centres lie inside caps and polygons of the sky.

A region is drawn where it is: on the patches of 128 pixels that its bounding circle reaches, wherever its centre lies.
Inside a patch the direction of a pixel is a polynomial with a known error, and a pixel in doubt is decided by the
image's own mapping, so the answer is that of evaluating every pixel. Masks enter the pass as virtual bits of runs cut
at their borders.
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
from vmpz.sky.regions import Cap, Polygon, Region

__all__ = ["PixelMasks", "bounding_circles"]

PATCH = 128
POINTS = np.linspace(-1.0, 1.0, 5)
ROUNDING = 4e-15
LARGEST_POLYGON_DEG = 30.0
NO_CIRCLE = -1.0
HEMISPHERE = math.sqrt(2.0)
ALL_AROUND = 2.0
"""Chords of a hemisphere and of the whole sphere."""

Floats = NDArray[np.float64]


def bounding_circles(regions: Sequence[Region]) -> tuple[Floats, Floats]:
    """Circles that hold regions whole.

    Parameters
    ----------
    regions : sequence of Cap or Polygon

    Returns
    -------
    centres : float64 array (n, 3)
        Unit vectors.
    reaches : float64 array (n,)
        Chords; 2, the whole sphere, for what is outside of a region and for a polygon of more than a hemisphere.
    """
    caps = np.array([isinstance(one, Cap) for one in regions], bool)
    centres, reaches = np.empty((len(regions), 3)), np.empty(len(regions))
    table = np.array([(one.lon_deg, one.lat_deg, one.radius_deg) for one in regions if isinstance(one, Cap)])
    table = table.reshape(-1, 3)
    centres[caps], reaches[caps] = _directions(table[:, 0], table[:, 1]), _chords(table[:, 2])
    vertices, start = _vertices(regions)
    if start.size:
        middle = np.add.reduceat(vertices, start)
        middle /= np.linalg.norm(middle, axis=1, keepdims=True)
        apart = np.linalg.norm(np.repeat(middle, _lengths(start, vertices), axis=0) - vertices, axis=1)
        reach = np.maximum.reduceat(apart, start)
        centres[~caps], reaches[~caps] = middle, np.where(reach < HEMISPHERE, reach + ROUNDING, ALL_AROUND)
    reaches[np.array([one.outside for one in regions], bool)] = ALL_AROUND
    return centres, reaches


def _vertices(regions: Sequence[Region]) -> tuple[Floats, NDArray[np.int64]]:
    """Directions (m, 3) of the vertices of all polygons, and where those of each begin."""
    loops = [one.vertices for one in regions if isinstance(one, Polygon)]
    lengths = np.array([len(one) for one in loops], np.int64)
    lon, lat = np.concatenate([*loops, np.empty((0, 2))]).T
    return _directions(lon, lat), np.cumsum(lengths) - lengths


def _lengths(start: NDArray[np.int64], rows: Floats) -> NDArray[np.int64]:
    return np.diff(np.append(start, len(rows)))


@dataclass(frozen=True)
class _Regions:
    """Regions as the kernel takes them (`vmpz.kernels.spans.draw`)."""

    frames: Floats
    inner: Floats
    outer: Floats
    first: NDArray[np.int64]
    corners: Floats
    outside: NDArray[np.bool_]
    bits: NDArray[np.uint8]

    @classmethod
    def of(cls, masks: Sequence[Sequence[Region]]) -> "_Regions":
        """The regions of all masks, those of mask k with bit k."""
        regions = [one for mask in masks for one in mask]
        bits = np.repeat(1 << np.arange(len(masks)), [len(mask) for mask in masks]).astype(np.uint8)
        frames = _tangent_frames(bounding_circles(regions)[0])
        edges = np.array([0 if isinstance(one, Cap) else len(one.vertices) for one in regions], np.int64)
        radii = np.array([(one.hole_deg, one.radius_deg) for one in regions if isinstance(one, Cap)])
        inner, outer = np.full(len(regions), NO_CIRCLE), np.empty(len(regions))
        hole, outer[edges == 0] = _chords(radii.reshape(-1, 2)).T
        inner[edges == 0] = np.where(hole > 0.0, hole, NO_CIRCLE)
        corners, outer[edges > 0] = _gnomonic(np.repeat(frames, edges, axis=0), *_vertices(regions))
        outside = np.array([one.outside for one in regions], bool)
        return cls(frames, inner, outer, np.cumsum([0, *edges]), corners, outside, bits)

    def hold(self, rows: NDArray[np.int64], directions: Floats) -> NDArray[np.bool_]:
        """Whether directions (m, 3) lie in the regions (m,) of each."""
        apart = np.sqrt(np.sum((directions - self.frames[rows, 0]) ** 2, axis=-1))
        held = (apart > self.inner[rows]) & (apart <= self.outer[rows])
        edged = held & (self.first[rows] != self.first[rows + 1])
        for k in np.unique(rows[edged]):
            here = np.flatnonzero(edged & (rows == k))
            corners = self.corners[self.first[k] : self.first[k + 1]]
            held[here] = _in_polygon(corners, _components(self.frames[k], directions[here]))
        return np.asarray(held != self.outside[rows])


class PixelMasks:
    """Masks of a frame, drawn block by block.

    Parameters
    ----------
    table : RunTable
        Of the frame's grid.
    masks : sequence of sequences of Cap or Polygon
        Up to 8; mask k sets bit k, which is the virtual bit ``32 + k``.

    Raises
    ------
    InputError
        A polygon has a corner more than 30 degrees from its middle.
    """

    def __init__(self, table: RunTable, masks: Sequence[Sequence[Region]]) -> None:
        self.table = table
        self.positions = pixel_positions(table.wcs)
        self.regions = _Regions.of(masks)

    def cut(self, block: RunBlock) -> tuple[RunBlock, NDArray[np.uint8]]:
        """Runs of a block cut at the borders of the masks, and the bits of each; no bits where there is no mask."""
        marked = self.draw(block.start, block.stop)
        if not marked.any():
            return block, np.zeros(0, np.uint8)
        room = block.first.size + int(np.count_nonzero(marked[:, 1:] != marked[:, :-1]))
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
        """Bits of the masks that the pixel centres of rows [start, stop) lie in, uint8 (rows, columns)."""
        columns = self.table.shape[1]
        if not self.regions.bits.size:
            return np.zeros((1, 1), np.uint8)
        marked = np.zeros((stop - start, columns), np.uint8)
        patches = _Patches.of(self.positions, start, stop, columns)
        regions = self.regions
        doubt, rough = spans.draw(
            regions.frames, regions.inner, regions.outer, regions.first, regions.corners, regions.outside,
            regions.bits, patches.box, patches.shapes, patches.middles, patches.reaches, patches.guards,
            patches.smooth, marked,
        )  # fmt: skip
        self._decide(regions, doubt, start, marked)
        for patch in np.unique(rough[:, 1]):
            row, column, height, width = patches.box[patch]
            pixel = np.argwhere(np.ones((height, width), bool)) + np.array((row, column))
            for region in rough[rough[:, 1] == patch, 0]:
                self._decide(regions, np.insert(pixel, 0, region, axis=1), start, marked)
        return marked

    def _decide(
        self, regions: _Regions, doubt: NDArray[np.int64], start: int, marked: NDArray[np.uint8]
    ) -> None:
        """Set the bits of pixels (region, row, column) by the mapping itself."""
        if not doubt.size:
            return
        region, row, column = doubt.T
        lon, lat = self.positions(column.astype(np.float64), (row + start).astype(np.float64))
        held = regions.hold(region, _directions(lon, lat))
        np.bitwise_or.at(marked, (row[held], column[held]), regions.bits[region[held]])


@dataclass(frozen=True)
class _Patches:
    """Patches of a block of rows as the kernel takes them (`vmpz.kernels.spans.draw`)."""

    box: NDArray[np.int64]
    shapes: Floats
    middles: Floats
    reaches: Floats
    guards: Floats
    smooth: NDArray[np.bool_]

    @classmethod
    def of(cls, positions: Positions, start: int, stop: int, columns: int) -> "_Patches":
        column, row = (a.ravel() for a in np.mgrid[0:columns:PATCH, 0 : stop - start : PATCH])
        height, width = np.minimum(PATCH, stop - start - row), np.minimum(PATCH, columns - column)
        half_height, half_width = 0.5 * (height - 1), 0.5 * (width - 1)
        v, u = half_height[:, None] * POINTS, half_width[:, None] * POINTS
        rows, across = np.broadcast_arrays(
            (start + row + half_height)[:, None, None] + v[:, :, None],
            (column + half_width)[:, None, None] + u[:, None, :],
        )
        nodes = np.moveaxis(_directions(*positions(across, rows)), -1, 0)
        shapes = pixelcells.biquadratic(nodes[:, :, ::2, ::2], half_height, half_width)
        powers_v, powers_u = v[..., None] ** np.arange(3), u[..., None] ** np.arange(3)
        predicted = np.einsum("anij,nri,ncj->anrc", shapes, powers_v, powers_u)
        error = np.linalg.norm(predicted - nodes, axis=0).max(axis=(1, 2))
        step = np.linalg.norm(shapes[:, :, [0, 1], [1, 0]], axis=0).max(axis=1)
        smooth = error <= 1e-3 * step + ROUNDING
        middles = nodes[:, :, 2, 2].T
        reach = np.linalg.norm(nodes - nodes[:, :, 2:3, 2:3], axis=0).max(axis=(1, 2))
        return cls(
            np.stack((row, column, height, width), axis=1),
            np.ascontiguousarray(np.moveaxis(shapes, 1, 0)),
            np.ascontiguousarray(np.where(np.isfinite(middles), middles, 0.0)),
            np.where(np.isfinite(reach), np.where(smooth, 1.1, 2.0) * reach + ROUNDING, ALL_AROUND),
            8.0 * error + ROUNDING,
            smooth,
        )


def _gnomonic(frames: Floats, vertices: Floats, start: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Vertices in the tangent planes about the middles of their polygons; chord of the farthest of each polygon."""
    if not start.size:
        return np.empty((0, 2)), np.empty(0)
    offset = vertices - frames[:, 0]
    reach = np.maximum.reduceat(np.linalg.norm(offset, axis=1), start) + ROUNDING
    if np.any(reach > _chords(LARGEST_POLYGON_DEG)):
        raise InputError(
            f"a polygonal mask must lie within {LARGEST_POLYGON_DEG:g} degrees of its middle, found "
            f"{math.degrees(2.0 * math.asin(min(float(reach.max()) / 2.0, 1.0))):.3g}"
        )
    across, up, depth = np.moveaxis(np.einsum("mij,mj->mi", frames[:, [1, 2, 0]], offset), -1, 0)
    return np.stack((across, up), axis=1) / (1.0 + depth)[:, None], reach


def _in_polygon(corners: Floats, components: Floats) -> NDArray[np.bool_]:
    """Whether directions lie in a polygon of the tangent plane, by the even-odd rule."""
    a, b, h = components
    x, y = a / (1.0 - h), b / (1.0 - h)
    before = np.roll(corners, 1, axis=0)
    x0, y0 = before.T[:, :, None] - np.stack((x, y))[:, None, :]
    dx, dy = (corners - before).T[:, :, None]
    y1 = corners[:, 1:] - y
    crosses = (y0 > 0) != (y1 > 0)
    right = x0 - y0 * dx / np.where(dy == 0, 1.0, dy) > 0
    return np.asarray((crosses & right).sum(axis=0) % 2 == 1)


def _chords(angle_deg: Any) -> Any:
    """Distance in space of two points at an angle."""
    return 2.0 * np.sin(np.radians(angle_deg) / 2.0)


def _directions(lon_deg: Floats, lat_deg: Floats) -> Floats:
    """Unit vectors, shape (..., 3)."""
    lon, lat = np.radians(lon_deg), np.radians(lat_deg)
    return np.stack((np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)), axis=-1)


def _tangent_frames(centres: Floats) -> Floats:
    """Centre, east and north of directions (n, 3) as rows, shape (n, 3, 3)."""
    lon = np.arctan2(centres[:, 1], centres[:, 0])
    east = np.stack((-np.sin(lon), np.cos(lon), np.zeros_like(lon)), axis=-1)
    return np.stack((centres, east, np.cross(centres, east)), axis=1)


def _components(frame: Floats, directions: Floats) -> Floats:
    """East, north and depth below the tangent plane of directions, shape (3, ...)."""
    offset = directions - frame[0]
    return np.stack((offset @ frame[1], offset @ frame[2], -(offset @ frame[0])))
