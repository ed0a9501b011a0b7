"""The simulated sky: pointings, stars, objects and defects as functions of position.

Everything is laid out once, in the tangent plane of the survey centre, from the seed alone. Tiles only look at it:
two tiles that overlap see the same detectors, stars, columns and cosmic rays, each on its own pixels.

A feature is a quadrilateral with great-circle edges (`Quads`) or a disc (`Discs`).
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.simulate.bands import INSTRUMENTS, Band, Instrument
from vmpz.simulate.geometry import ARCSEC, Plane
from vmpz.sky.covers import unit_vectors
from vmpz.tiles import WideTile

__all__ = ["DITHERS_ARCSEC", "Detectors", "Discs", "Quads", "Rectangles", "Sky", "generator"]

Array = NDArray[np.floating[Any]]

DITHERS_ARCSEC = ((0.0, 0.0), (50.0, 100.0), (50.0, 200.0), (100.0, 300.0))
"""Offsets of the four exposures of a pointing, the S-pattern of the wide survey."""

UNOBSERVED_STRIP = math.radians(0.1)
"""The western strip of the survey's bounding box that no exposure reaches."""

POINTING_OVERLAP = 150.0 * ARCSEC
STARS_PER_DEG2 = 40.0
STAR_RADIUS_ARCSEC = (10.0, 80.0)
CORE_SHARE = 0.35
OBJECTS_PER_DEG2 = 9000.0
COSMIC_SHARE = 0.02
BAD_COLUMN_CHANCE = 0.08
TRAIL_OFFSET_ARCSEC = 100.0
FARTHEST_TILE_DEG = 20.0
FIRST_MJD = 60604.0


@dataclass(frozen=True)
class Quads:
    """Quadrilaterals: unit-free corner directions (n, 4, 3), counter-clockwise in the survey plane."""

    corners: Array


@dataclass(frozen=True)
class Discs:
    """Discs: unit vectors of the centres (n, 3) and radii (n,) in radian."""

    centres: Array
    radii: Array


@dataclass(frozen=True)
class Rectangles:
    """Rectangles of the survey plane, each edge an array (n,)."""

    x0: Array
    x1: Array
    y0: Array
    y1: Array

    def __len__(self) -> int:
        return len(self.x0)

    def __getitem__(self, chosen: NDArray[np.bool_]) -> "Rectangles":
        return Rectangles(self.x0[chosen], self.x1[chosen], self.y0[chosen], self.y1[chosen])

    def quads(self, plane: Plane) -> Quads:
        """The same on the sky."""
        x = np.stack((self.x0, self.x1, self.x1, self.x0), axis=1)
        y = np.stack((self.y0, self.y0, self.y1, self.y1), axis=1)
        return Quads(plane.vectors(x, y))


@dataclass(frozen=True)
class Detectors:
    """Every detector of every exposure of one instrument, row by row the same detector in all arrays.

    Attributes
    ----------
    rectangles : Rectangles
    exposure : int64 (n,)
        Number of the exposure, pointing * 4 + dither.
    names : tuple of str
        Extension name of the detector.
    """

    rectangles: Rectangles
    exposure: NDArray[np.int64]
    names: tuple[str, ...]


class Sky:
    """The sky of a survey over given tiles.

    Parameters
    ----------
    tiles : sequence of WideTile
        At least one, all within 20 deg of their common centre.
    pixel_arcsec : float
        Side of a pixel: cosmic rays and bad columns are at least as wide as pixels.
    seed : int

    Attributes
    ----------
    plane : Plane
        The survey plane.
    extent : (float, float, float, float)
        x0, x1, y0, y1 of the bounding box of all images in it.
    observed : the same
        The part that pointings are laid on.
    """

    def __init__(self, tiles: Sequence[WideTile], pixel_arcsec: float, seed: int) -> None:
        self.seed = seed
        self.pixel_arcsec = pixel_arcsec
        centres = unit_vectors([one.lon_deg for one in tiles], [one.lat_deg for one in tiles])
        middle = centres.sum(axis=0)
        x, y, z = middle / np.linalg.norm(middle)
        self.centre_deg = (
            math.degrees(math.atan2(y, x)) % 360.0,
            math.degrees(math.atan2(z, math.hypot(x, y))),
        )
        self.plane = Plane.at(*self.centre_deg)
        if np.any(centres @ self.plane.centre < math.cos(math.radians(FARTHEST_TILE_DEG))):
            raise InputError(
                f"tiles of one simulation must lie within {FARTHEST_TILE_DEG:g} deg of their centre"
            )
        corners = np.concatenate([_image_corners(one) for one in tiles])
        px, py = self.plane.project(corners)
        self.extent = (float(px.min()), float(px.max()), float(py.min()), float(py.max()))
        self.observed = (self.extent[0] + UNOBSERVED_STRIP, self.extent[1], self.extent[2], self.extent[3])

    # -- exposures ------------------------------------------------------------------------------------------

    @cached_property
    def _detectors(self) -> dict[str, Detectors]:
        return {name: self._lay_out(one) for name, one in INSTRUMENTS.items()}

    def detectors(self, instrument: str) -> Detectors:
        """All detectors of all exposures of an instrument."""
        return self._detectors[instrument]

    def _lay_out(self, one: Instrument) -> Detectors:
        """Pointings from the south-west corner of the observed area, each with four dithers."""
        columns, rows = (index.ravel() for index in np.meshgrid(np.arange(one.columns), np.arange(one.rows)))
        names = np.array([f"{row + 1}-{column + 1}" for row, column in zip(rows, columns, strict=True)])
        alive = names != one.dead
        left = columns[alive] * (one.width_arcsec + one.gap_x_arcsec) * ARCSEC
        low = rows[alive] * (one.height_arcsec + one.gap_y_arcsec) * ARCSEC
        dithers = np.array(DITHERS_ARCSEC) * ARCSEC
        origin = (self._pointings(one)[:, None] + dithers).reshape(-1, 2)
        x0 = (origin[:, :1] + left).ravel()
        y0 = (origin[:, 1:] + low).ravel()
        rectangles = Rectangles(x0, x0 + one.width_arcsec * ARCSEC, y0, y0 + one.height_arcsec * ARCSEC)
        exposure = np.repeat(np.arange(len(origin)), left.size)
        return Detectors(rectangles, exposure, tuple(names[alive].tolist()) * len(origin))

    def _pointings(self, one: Instrument) -> Array:
        width, height = (side * ARCSEC for side in one.field_arcsec)
        x0, x1, y0, y1 = self.observed
        nx = max(1, math.ceil((x1 - x0) / (width - POINTING_OVERLAP)))
        ny = max(1, math.ceil((y1 - y0) / (height - POINTING_OVERLAP)))
        x = x0 + np.arange(nx) * (width - POINTING_OVERLAP)
        y = y0 - 0.1 * height + np.arange(ny + 1) * (height - POINTING_OVERLAP)
        return np.stack([grid.ravel() for grid in np.meshgrid(x, y)], axis=1)

    def scalars(self, exposure: int) -> dict[str, float]:
        """MJD-OBS (d), SAA, ALPHA and BETA (deg) of an exposure."""
        pointing, dither = divmod(exposure, len(DITHERS_ARCSEC))
        return {
            "MJD-OBS": FIRST_MJD + pointing / 16.0 + dither / 64.0,
            "SAA": 89.0 + 0.5 * pointing + 0.125 * dither,
            "ALPHA": -2.0 + 0.25 * (pointing % 16) + 0.0625 * dither,
            "BETA": 1.0 - 0.125 * (pointing % 16),
        }

    # -- stars and objects ----------------------------------------------------------------------------------

    @cached_property
    def halos(self) -> Discs:
        """Halos of bright stars: disjoint discs, the first at the centre of the survey, where tiles meet."""
        draw = generator(self.seed, "stars")
        number = 1 + draw.poisson(self._area_deg2 * STARS_PER_DEG2)
        x, y = self._scatter(draw, number)
        x[0] = y[0] = 0.0
        low, high = STAR_RADIUS_ARCSEC
        radius = (low * (high / low) ** draw.random(number)) * ARCSEC
        radius[0] = 60.0 * ARCSEC
        vectors = self._directions(x, y)
        kept: list[int] = []
        for star in range(number):
            apart = np.linalg.norm(vectors[kept] - vectors[star], axis=1)
            if np.all(apart > 1.01 * (radius[kept] + radius[star])):
                kept.append(star)
        return Discs(vectors[kept], radius[kept])

    @cached_property
    def cores(self) -> Discs:
        """Saturated cores of the stars."""
        return Discs(self.halos.centres, CORE_SHARE * self.halos.radii)

    @cached_property
    def trails(self) -> Discs:
        """Persistence: images of the star cores, 100 arcsec to the north in the survey plane."""
        x, y = self.plane.project(self.halos.centres)
        return Discs(self._directions(x, y + TRAIL_OFFSET_ARCSEC * ARCSEC), self.cores.radii)

    @cached_property
    def objects(self) -> Discs:
        """Detected objects, mostly small."""
        draw = generator(self.seed, "objects")
        x, y = self._scatter(draw, draw.poisson(self._area_deg2 * OBJECTS_PER_DEG2))
        radius = np.maximum(0.6 * 5.0 ** draw.random(x.size), 0.75 * self.pixel_arcsec) * ARCSEC
        return Discs(self._directions(x, y), radius)

    # -- defects --------------------------------------------------------------------------------------------

    def columns(self, instrument: str) -> Rectangles:
        """Bad columns: one strip over the height of a detector, in the first exposure of a pointing; disjoint, and
        clear of saturated cores, so that flagged areas add."""
        detectors = self.detectors(instrument)
        first = detectors.rectangles[detectors.exposure % len(DITHERS_ARCSEC) == 0]
        draw = generator(self.seed, f"columns {instrument}")
        bad = draw.random(len(first)) < BAD_COLUMN_CHANCE
        place = draw.random(len(first))
        bad[0] = True
        width = max(2.0 * self.pixel_arcsec, 0.6) * ARCSEC
        x0 = first.x0 + 0.1 * (first.x1 - first.x0) + 0.8 * place * (first.x1 - first.x0)
        return self._clear_of_cores(Rectangles(x0, x0 + width, first.y0, first.y1)[bad])

    def _clear_of_cores(self, strips: Rectangles) -> Rectangles:
        x, y = self.plane.project(self.cores.centres)
        # A disc of radius r about (x, y) stays within r (1 + x^2 + y^2) of it in the plane, nearly.
        reach = 1.05 * self.cores.radii * (1.0 + x * x + y * y)
        kept: list[int] = []
        for i in range(len(strips)):
            near_x = np.maximum(np.maximum(strips.x0[i] - x, x - strips.x1[i]), 0.0)
            near_y = np.maximum(np.maximum(strips.y0[i] - y, y - strips.y1[i]), 0.0)
            touches = any(
                strips.x0[i] < strips.x1[j]
                and strips.x0[j] < strips.x1[i]
                and strips.y0[i] < strips.y1[j]
                and strips.y0[j] < strips.y1[i]
                for j in kept
            )
            if not touches and np.all(np.hypot(near_x, near_y) > reach):
                kept.append(i)
        return strips[np.isin(np.arange(len(strips)), kept)]

    def cosmics(self, band: Band) -> Quads:
        """Cosmic rays of a band: thin rectangles at any angle, about 2 % of the area."""
        draw = generator(self.seed, f"cosmics {band.name}")
        width = max(1.2 * self.pixel_arcsec, 0.3) * ARCSEC
        number = draw.poisson(COSMIC_SHARE * math.radians(1.0) ** 2 * self._area_deg2 / (10.0 * width**2))
        x, y = self._scatter(draw, number)
        half_length = 0.5 * width * draw.uniform(4.0, 16.0, number)
        angle = draw.uniform(0.0, math.pi, number)
        along = half_length * np.stack((np.cos(angle), np.sin(angle)))
        across = 0.5 * width * np.stack((-np.sin(angle), np.cos(angle)))
        corners = [np.stack((x, y)) + i * along + j * across for i, j in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
        table = np.stack(corners, axis=-1)
        return Quads(self.plane.vectors(table[0], table[1]))

    # -- smooth fields --------------------------------------------------------------------------------------

    def background(self, band: Band, x: Array, y: Array) -> Array:
        """Background model at points of the survey plane: a gradient of 5 % and 3 % a degree."""
        return band.background * (1.0 + math.degrees(0.05) * x + math.degrees(0.03) * y)

    def fwhm_arcsec(self, band: Band, x: Array, y: Array) -> Array:
        """Width of the PSF at points of the survey plane: a gradient of 2 % and -1 % a degree."""
        return band.fwhm_arcsec * (1.0 + math.degrees(0.02) * x - math.degrees(0.01) * y)

    # -- helpers --------------------------------------------------------------------------------------------

    @property
    def _area_deg2(self) -> float:
        x0, x1, y0, y1 = self.extent
        return math.degrees(x1 - x0) * math.degrees(y1 - y0)

    def _scatter(self, draw: np.random.Generator, number: int) -> tuple[Array, Array]:
        x0, x1, y0, y1 = self.extent
        return draw.uniform(x0, x1, number), draw.uniform(y0, y1, number)

    def _directions(self, x: Array, y: Array) -> Array:
        vectors = self.plane.vectors(x, y)
        return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def generator(seed: int, stream: str, counter: int = 0) -> np.random.Generator:
    """Generator of a named stream: Philox keyed by seed and name, starting at its own counter."""
    word = int.from_bytes(hashlib.sha256(stream.encode()).digest()[:8], "little")
    return np.random.Generator(
        np.random.Philox(
            key=np.array([seed, word], np.uint64), counter=np.array([0, 0, 0, counter], np.uint64)
        )
    )


def _image_corners(one: WideTile) -> Array:
    """Directions of the corners of a tile's image, with a little margin for its half pixel."""
    half = math.tan(math.radians(16.05 / 60.0))
    return Plane.at(one.lon_deg, one.lat_deg).vectors(
        np.array([-half, half, half, -half]), np.array([-half, -half, half, half])
    )
