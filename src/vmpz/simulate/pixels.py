"""From the sky to the pixels of one tile: row blocks of image, noise, flags and background.

A pixel belongs to a feature when its centre does. Along a row the centre moves on a straight line of the tile's
tangent plane, so a feature covers one run of columns whose ends solve a linear (quadrilateral) or quadratic (disc)
inequality; runs are painted, no pixel is tested. Every value depends on the pixel and the seed alone: any split
into blocks gives the same bytes.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.bits import bit_table
from vmpz.simulate.bands import FLAG_ROLES, Band, instrument_of
from vmpz.simulate.field import Discs, Quads, Sky, generator
from vmpz.simulate.geometry import Plane
from vmpz.tiles import WideTile

__all__ = ["OUTER_ARCSEC", "UNOBSERVED_RMS", "BandPixels", "Block", "Grid"]

Array = NDArray[np.floating[Any]]

OUTER_ARCSEC = 1920.0
"""Side of the outer area of a wide tile."""

UNOBSERVED_RMS = np.float32(1e16)
"""RMS of a pixel without data."""

REFERENCE_PIXEL_ARCSEC = 0.1
FULL_DEPTH_EXPOSURES = 4
ROWS_AT_ONCE = 128


@dataclass(frozen=True)
class Runs:
    """Runs of columns: feature, row and half-open column range, arrays of one length."""

    feature: NDArray[np.int64]
    row: NDArray[np.int64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]


@dataclass(frozen=True)
class Block:
    """Rows [start, start + height) of every plane of a band."""

    start: int
    image: NDArray[np.float32]
    rms: NDArray[np.float32]
    flags: NDArray[np.int32]
    background: NDArray[np.float32]
    exposures: NDArray[np.int16]


class Grid:
    """The pixels of a tile: the header's WCS in unit vectors.

    The reference pixel is half the size, an integer, as in real mosaics: the image centre lies half a pixel off.
    """

    def __init__(self, tile: WideTile, size: int) -> None:
        self.tile = tile
        self.size = size
        self.crval = (round(tile.lon_deg, 7), round(tile.lat_deg, 7))
        self.crpix = size // 2
        self.cd_deg = float(f"{OUTER_ARCSEC / size / 3600.0:.12E}")
        self.plane = Plane.at(*self.crval)
        self._step = math.radians(self.cd_deg)

    @property
    def pixel_arcsec(self) -> float:
        """Side of a pixel."""
        return OUTER_ARCSEC / self.size

    def x(self, column: NDArray[np.int64] | Array) -> Array:
        """Plane coordinate (east) of pixel columns, counted from 0."""
        return -(np.asarray(column, float) + 1 - self.crpix) * self._step

    def y(self, row: NDArray[np.int64] | Array) -> Array:
        """Plane coordinate (north) of pixel rows, counted from 0."""
        return (np.asarray(row, float) + 1 - self.crpix) * self._step

    def column(self, x: Array) -> Array:
        """Column (from 0, not whole) of a plane coordinate."""
        return -x / self._step + self.crpix - 1

    def row(self, y: Array) -> Array:
        """Row (from 0, not whole) of a plane coordinate."""
        return y / self._step + self.crpix - 1

    def corners(self) -> Array:
        """Plane coordinates of the outer pixel edges, (4, 2), counter-clockwise on the sky plane."""
        low, high = -0.5, self.size - 0.5
        columns, rows = np.array([high, low, low, high]), np.array([low, low, high, high])
        return np.stack((self.x(columns), self.y(rows)), axis=1)

    def vectors(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Array:
        """Unit vectors of pixel centres."""
        vectors = self.plane.vectors(self.x(columns), self.y(rows))
        return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))

    # -- which features touch which rows --------------------------------------------------------------------

    def place_quads(self, quads: Quads) -> tuple[Quads, Array]:
        """The quadrilaterals near the image and their first and last row, (n, 2)."""
        ahead = np.all(quads.corners @ self.plane.centre > 0.5, axis=1)
        corners = quads.corners[ahead]
        x, y = self.plane.project(corners)
        column, row = self.column(x), self.row(y)
        near = (column.max(axis=1) > -1) & (column.min(axis=1) < self.size)
        return Quads(corners[near]), np.stack((row.min(axis=1), row.max(axis=1)), axis=1)[near]

    def quads_touching(self, quads: Quads) -> NDArray[np.int64]:
        """Numbers of the quadrilaterals that cover at least one pixel centre."""
        ahead = np.flatnonzero(np.all(quads.corners @ self.plane.centre > 0.5, axis=1))
        near = Quads(quads.corners[ahead])
        starts = range(0, self.size, ROWS_AT_ONCE)
        runs = [self.quad_runs(near, start, min(start + ROWS_AT_ONCE, self.size)).feature for start in starts]
        return np.asarray(ahead[np.unique(np.concatenate(runs))])

    def place_discs(self, discs: Discs) -> tuple[Discs, NDArray[np.int64], Array]:
        """The discs near the image, their numbers, and their first and last row, (n, 2)."""
        ahead = np.flatnonzero(discs.centres @ self.plane.centre > 0.5)
        x, y = self.plane.project(discs.centres[ahead])
        reach = 1.1 * np.tan(discs.radii[ahead]) * (1.0 + x * x + y * y)
        near = (self.column(x + reach) < self.size) & (self.column(x - reach) > -1)
        chosen = ahead[near]
        bounds = np.stack((self.row((y - reach)[near]), self.row((y + reach)[near])), axis=1)
        return Discs(discs.centres[chosen], discs.radii[chosen]), chosen, bounds

    # -- runs -----------------------------------------------------------------------------------------------

    def quad_runs(self, quads: Quads, start: int, stop: int) -> Runs:
        """Runs of quadrilaterals in rows [start, stop). A point v is inside when ``v . (a x b) >= 0`` for each edge
        a to b, linear in x along a row."""
        normals = np.cross(quads.corners, np.roll(quads.corners, -1, axis=1))
        y = self.y(np.arange(start, stop))
        constant = (normals @ self.plane.centre)[:, None] + y[:, None] * (normals @ self.plane.north)[:, None]
        slope = np.broadcast_to((normals @ self.plane.east)[:, None], constant.shape)
        with np.errstate(divide="ignore", invalid="ignore"):
            root = -constant / slope
        low = np.where(slope > 0, root, np.where((slope == 0) & (constant < 0), np.inf, -np.inf)).max(axis=2)
        high = np.where(slope < 0, root, np.inf).min(axis=2)
        return self._runs(low, high, start)

    def disc_runs(self, discs: Discs, start: int, stop: int) -> Runs:
        """Runs of discs in rows [start, stop): ``(a x + b)^2 >= cos^2 r (x^2 + 1 + y^2)`` with a, b the star's
        components along the row and at its middle."""
        y = self.y(np.arange(start, stop))
        a = (discs.centres @ self.plane.east)[:, None]
        b = (discs.centres @ self.plane.centre)[:, None] + y * (discs.centres @ self.plane.north)[:, None]
        sine2 = np.sin(discs.radii)[:, None] ** 2
        k = 1.0 - sine2
        inner = b * b + (1.0 + y * y) * (a * a - k)
        root = np.sqrt(np.maximum(k * inner, 0.0))
        low = np.where(inner >= 0, (a * b - root) / (k - a * a), np.inf)
        high = np.where(inner >= 0, (a * b + root) / (k - a * a), -np.inf)
        return self._runs(low, high, start)

    def _runs(self, low: Array, high: Array, start: int) -> Runs:
        """Columns whose centres lie between plane coordinates low and high (n, rows); x falls as columns rise."""
        size = float(self.size)
        first = np.ceil(np.clip(self.column(high), 0.0, size)).astype(np.int64)
        last = np.floor(np.clip(self.column(low), -1.0, size - 1.0)).astype(np.int64) + 1
        feature, row = np.nonzero((first < last) & (low <= high))
        return Runs(feature, row + start, first[feature, row], last[feature, row])


class BandPixels:
    """The planes of one band of one tile, made in row blocks.

    Parameters
    ----------
    sky : Sky
    grid : Grid
    band : Band
    """

    def __init__(self, sky: Sky, grid: Grid, band: Band) -> None:
        self.sky, self.grid, self.band = sky, grid, band
        self._table = bit_table(instrument_of(band).bit_table)
        self._roles = FLAG_ROLES[band.instrument]
        self._detectors = grid.place_quads(sky.detectors(band.instrument).rectangles.quads(sky.plane))
        quads = {"column": sky.columns(band.instrument).quads(sky.plane), "cosmic": sky.cosmics(band)}
        discs = {"halo": sky.halos, "core": sky.cores, "object": sky.objects, "trail": sky.trails}
        self._quads = {role: grid.place_quads(quads[role]) for role in quads}
        self._discs = {role: grid.place_discs(discs[role]) for role in discs}
        self._noise_stream = f"noise {grid.tile.id} {band.name}"

    @cached_property
    def rms_by_exposures(self) -> NDArray[np.float32]:
        """Noise of a pixel by number of exposures, index 0 the sentinel."""
        number = np.arange(64)
        scale = self.grid.pixel_arcsec / REFERENCE_PIXEL_ARCSEC
        rms = self.band.rms * scale * np.sqrt(FULL_DEPTH_EXPOSURES / np.maximum(number, 1))
        return np.where(number > 0, rms, UNOBSERVED_RMS).astype(np.float32)

    def mask(self, role: str) -> int:
        """Bits that a kind of feature sets."""
        return self._table.select(self._roles.get(role, ())).mask

    def blocks(self, height: int = ROWS_AT_ONCE) -> Iterator[Block]:
        """All rows in blocks of `height`."""
        for start in range(0, self.grid.size, height):
            yield self.block(start, min(start + height, self.grid.size))

    def block(self, start: int, stop: int) -> Block:
        """Rows [start, stop) of every plane."""
        exposures = self._exposures(start, stop)
        rms = self.rms_by_exposures[exposures]
        image = self._image(exposures, rms, start, stop)
        return Block(
            start, image, rms, self._flags(exposures, start, stop), self._background(start, stop), exposures
        )

    def _exposures(self, start: int, stop: int) -> NDArray[np.int16]:
        """Number of detectors over each pixel."""
        runs = self.grid.quad_runs(_in_rows(self._detectors, start, stop), start, stop)
        change = np.zeros((stop - start, self.grid.size + 1), np.int16)
        np.add.at(change, (runs.row - start, runs.start), 1)
        np.add.at(change, (runs.row - start, runs.stop), -1)
        return np.cumsum(change, axis=1, dtype=np.int16)[:, :-1]

    def _flags(self, exposures: NDArray[np.int16], start: int, stop: int) -> NDArray[np.int32]:
        flags = np.full(exposures.shape, self.mask("observed"), np.uint32)
        for role, placed in self._quads.items():
            runs = self.grid.quad_runs(_in_rows(placed, start, stop), start, stop)
            self._paint(flags, runs, start, self.mask(role))
        for role, (discs, _, bounds) in self._discs.items():
            if mask := self.mask(role):
                chosen = _overlaps(bounds, start, stop)
                runs = self.grid.disc_runs(Discs(discs.centres[chosen], discs.radii[chosen]), start, stop)
                self._paint(flags, runs, start, mask)
        flags[exposures == 0] = self.mask("unobserved")
        return flags.view(np.int32)

    def _paint(self, flags: NDArray[np.uint32], runs: Runs, start: int, mask: int) -> None:
        flags.reshape(-1)[_pixels(runs, start, self.grid.size)[0]] |= np.uint32(mask)

    def _image(
        self, exposures: NDArray[np.int16], rms: NDArray[np.float32], start: int, stop: int
    ) -> NDArray[np.float32]:
        """Noise, objects (Gaussian) and stars (a core with wings, cut at saturation); 0 where nothing is observed."""
        image = np.empty(exposures.shape, np.float64)
        for row in range(start, stop):
            draw = generator(self.sky.seed, self._noise_stream, row)
            image[row - start] = draw.standard_normal(self.grid.size, np.float32)
        image *= rms
        unit = float(self.rms_by_exposures[FULL_DEPTH_EXPOSURES])
        self._add_profiles(image, "object", start, stop, lambda t, i: unit * (3 + i % 30) * np.exp(-2.0 * t))
        self._add_profiles(
            image, "halo", start, stop, lambda t, i: np.minimum(300.0 * unit, unit / (1e-3 + t) ** 2 - unit)
        )
        image[exposures == 0] = 0.0
        return image.astype(np.float32)

    def _add_profiles(
        self,
        image: Array,
        role: str,
        start: int,
        stop: int,
        profile: Callable[[Array, NDArray[np.int64]], Array],
    ) -> None:
        """Add to each pixel of the discs `profile(t, number)`, t the squared distance in units of the radius."""
        discs, numbers, bounds = self._discs[role]
        chosen = np.flatnonzero(_overlaps(bounds, start, stop))
        runs = self.grid.disc_runs(Discs(discs.centres[chosen], discs.radii[chosen]), start, stop)
        flat, which = _pixels(runs, start, self.grid.size)
        owner = chosen[runs.feature[which]]
        pixels = self.grid.vectors(start + flat // self.grid.size, flat % self.grid.size)
        distance2 = np.sum((pixels - discs.centres[owner]) ** 2, axis=1)
        np.add.at(image.reshape(-1), flat, profile(distance2 / discs.radii[owner] ** 2, numbers[owner]))

    def _background(self, start: int, stop: int) -> NDArray[np.float32]:
        x, y = self.survey_coordinates(np.arange(start, stop)[:, None], np.arange(self.grid.size)[None])
        return self.sky.background(self.band, x, y).astype(np.float32)

    def survey_coordinates(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> tuple[Array, Array]:
        """Survey-plane coordinates of pixel centres; the two index arrays are broadcast."""
        x, y = self.grid.x(columns), self.grid.y(rows)
        own, survey = self.grid.plane, self.sky.plane

        def along(axis: Array) -> Array:
            return np.asarray((own.centre @ axis + y * (own.north @ axis)) + x * (own.east @ axis))

        depth = along(survey.centre)
        return along(survey.east) / depth, along(survey.north) / depth


def _overlaps(bounds: Array, start: int, stop: int) -> NDArray[np.bool_]:
    return np.asarray((bounds[:, 1] >= start) & (bounds[:, 0] < stop))


def _in_rows(placed: tuple[Quads, Array], start: int, stop: int) -> Quads:
    quads, bounds = placed
    return Quads(quads.corners[_overlaps(bounds, start, stop)])


def _pixels(runs: Runs, start: int, size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Flat pixel numbers inside a block and, for each, the run it comes from."""
    length = runs.stop - runs.start
    which = np.repeat(np.arange(length.size), length)
    within = np.arange(which.size) - np.repeat(np.cumsum(length) - length, length)
    return ((runs.row - start) * size + runs.start)[which] + within, which
