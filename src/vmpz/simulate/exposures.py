"""Single exposures of the simulated sky: cameras, pointings, and what every detector sees.

The focal plane of a camera is a tangent plane at the pointing, turned by the position angle: a detector is a rectangle
there, so the outline of an undistorted detector is a quadrilateral of great circles. What a survey's files hold is
written by one file a survey; what the pixels hold is said here, as functions of position: noise is one number a
detector, the background a plane on the sky, flags are stars, persistence, columns and cosmic rays.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from astropy.io.fits import Header
from numpy.typing import NDArray

from vmpz.simulate.bands import Band
from vmpz.simulate.field import DITHERS_ARCSEC, Sky, generator
from vmpz.simulate.geometry import ARCSEC, Plane
from vmpz.sky.covers import unit_vectors

__all__ = ["Camera", "Detector", "Shot", "flag_words", "grid_of_detectors", "shots"]

Array = NDArray[np.floating[Any]]

SHOTS_OVERLAP = 150.0 * ARCSEC
COSMIC_CHANCE = 0.01
COLUMN_EVERY = 5
"""Every so many detectors one has a bad column."""


@dataclass(frozen=True)
class Detector:
    """A rectangle of the focal plane, arcsec; x to the east and y to the north at position angle 0."""

    name: str
    x0: float
    x1: float
    y0: float
    y1: float


@dataclass(frozen=True)
class Camera:
    """A focal plane, its bands and where it stands.

    Attributes
    ----------
    instrument : str
        INSTRUME of products.
    detectors : tuple of Detector
    bands : mapping of str to Band
        By name (FILTER of products); `rms` is the noise of a pixel of 0.1 arcsec of a single exposure.
    dithers : int
        Exposures of a pointing and band.
    site_deg : (float, float), optional
        Longitude (east) and latitude of the observatory.
    first_mjd : float
        Beginning of the first exposure (UTC).
    """

    instrument: str
    detectors: tuple[Detector, ...]
    bands: Mapping[str, Band]
    dithers: int = 4
    site_deg: tuple[float, float] | None = None
    first_mjd: float = 60604.0

    @cached_property
    def field_arcsec(self) -> tuple[float, float, float, float]:
        """x0, x1, y0, y1 of the whole focal plane."""
        edges = np.array([(one.x0, one.x1, one.y0, one.y1) for one in self.detectors])
        return (
            float(edges[:, 0].min()),
            float(edges[:, 1].max()),
            float(edges[:, 2].min()),
            float(edges[:, 3].max()),
        )


def grid_of_detectors(
    names: Sequence[Sequence[str]],
    width_arcsec: float,
    height_arcsec: float,
    gap_x_arcsec: float,
    gap_y_arcsec: float,
) -> tuple[Detector, ...]:
    """Equal detectors in rows of ascending y, each of ascending x, about the middle.

    Rows of fewer names stand in the middle; '' leaves a place empty.
    """
    made = []
    step_x, step_y = width_arcsec + gap_x_arcsec, height_arcsec + gap_y_arcsec
    for row, line in enumerate(names):
        y0 = (row - len(names) / 2.0) * step_y + gap_y_arcsec / 2.0
        for column, name in enumerate(line):
            x0 = (column - len(line) / 2.0) * step_x + gap_x_arcsec / 2.0
            if name:
                made.append(Detector(name, x0, x0 + width_arcsec, y0, y0 + height_arcsec))
    return tuple(made)


@dataclass(frozen=True)
class Shot:
    """One exposure of one band.

    Attributes
    ----------
    sky, camera, band
    number : int
        Of all exposures of the camera and band, from 0.
    pointing, dither : int
    lon_deg, lat_deg : float
        Of the middle of the focal plane.
    position_angle_deg : float
        Of the y axis of the focal plane, from north through east.
    mjd : float
        Beginning (UTC).
    """

    sky: Sky = field(repr=False)
    camera: Camera
    band: Band
    number: int
    pointing: int
    dither: int
    lon_deg: float
    lat_deg: float
    position_angle_deg: float
    mjd: float

    @cached_property
    def plane(self) -> Plane:
        """The focal plane on the sky."""
        flat = Plane.at(self.lon_deg, self.lat_deg)
        c, s = (
            math.cos(math.radians(self.position_angle_deg)),
            math.sin(math.radians(self.position_angle_deg)),
        )
        return Plane(flat.centre, c * flat.east - s * flat.north, s * flat.east + c * flat.north)

    def corners_deg(self, one: Detector) -> Array:
        """Corners (4, 2) of an undistorted detector, ICRS degrees."""
        x = np.array([one.x0, one.x1, one.x1, one.x0]) * ARCSEC
        y = np.array([one.y0, one.y0, one.y1, one.y1]) * ARCSEC
        return np.stack(self.plane.angles(x, y), axis=1)

    @property
    def field_deg(self) -> Array:
        """Corners (4, 2) of the whole focal plane, ICRS degrees."""
        return self.corners_deg(Detector("", *self.camera.field_arcsec))

    def wcs_header(self, one: Detector, shape: tuple[int, int]) -> Header:
        """TAN cards of a detector of (rows, columns) pixels that fill it: columns run to the west, rows to the north
        at position angle 0, about the pointing."""
        rows, columns = shape
        sx, sy = (one.x1 - one.x0) / columns, (one.y1 - one.y0) / rows
        c, s = (
            math.cos(math.radians(self.position_angle_deg)),
            math.sin(math.radians(self.position_angle_deg)),
        )
        header = Header()
        header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
        header["CUNIT1"], header["CUNIT2"] = "deg", "deg"
        header["RADESYS"], header["EQUINOX"] = "ICRS", 2000.0
        header["CRVAL1"], header["CRVAL2"] = self.lon_deg, self.lat_deg
        header["CRPIX1"], header["CRPIX2"] = one.x1 / sx + 0.5, -one.y0 / sy + 0.5
        header["CD1_1"], header["CD1_2"] = -sx / 3600.0 * c, sy / 3600.0 * s
        header["CD2_1"], header["CD2_2"] = sx / 3600.0 * s, sy / 3600.0 * c
        return header

    @property
    def middle_mjd(self) -> float:
        """Middle of the exposure (UTC)."""
        return self.mjd + 0.5 * self.band.exposure_time_s / 86400.0

    # -- what the pixels hold ---------------------------------------------------------------------------------

    def rms(self, index: int, pixel_arcsec: float) -> float:
        """Noise per pixel of a detector, by its place in the camera."""
        share = index / max(len(self.camera.detectors) - 1, 1)
        return self.band.rms * pixel_arcsec / 0.1 * (1.0 + 0.05 * (self.number % 4)) * (1.0 + 0.1 * share)

    def background(self, lon_deg: Array, lat_deg: Array) -> Array:
        """Background per pixel: a plane on the sky, another level in each exposure."""
        x, y = self.sky.plane.project(unit_vectors(lon_deg, lat_deg))
        return np.asarray(self.sky.background(self.band, x, y) * (1.0 + 0.1 * (self.number % 3)))

    @property
    def fwhm_arcsec(self) -> float:
        """FWHM of the PSF, the same over the field."""
        return self.band.fwhm_arcsec * (1.0 + 0.04 * (self.number % 3))

    @property
    def ellipticity(self) -> tuple[float, float]:
        """e1, e2 of the PSF on the sky (x to the west, y to the north), the same over the field."""
        return 0.03 + 0.01 * (self.number % 3), -0.02 + 0.005 * (self.number % 4)

    def roles(self, index: int, lon_deg: Array, lat_deg: Array) -> dict[str, NDArray[np.bool_]]:
        """What each pixel of a detector is hit by: core, halo, trail (discs on the sky), column, cosmic, edge.

        Parameters
        ----------
        index : int
            Place of the detector in the camera.
        lon_deg, lat_deg : array (rows, columns)
            Pixel centres.
        """
        shape = lon_deg.shape
        directions = unit_vectors(lon_deg, lat_deg)
        hit = {
            name: _inside(directions, discs.centres, discs.radii)
            for name, discs in (
                ("core", self.sky.cores),
                ("halo", self.sky.halos),
                ("trail", self.sky.trails),
            )
        }
        column = np.zeros(shape, bool)
        if index % COLUMN_EVERY == 0:
            column[:, (7 * index + 3) % shape[1]] = True
        cosmic = self._draw("hits", index).random(shape) < COSMIC_CHANCE
        edge = np.ones(shape, bool)
        edge[1:-1, 1:-1] = False
        return {**hit, "column": column, "cosmic": cosmic, "edge": edge}

    def noise(self, index: int, shape: tuple[int, int]) -> Array:
        """White noise of unit variance for the pixels of a detector."""
        return self._draw("noise", index).standard_normal(shape)

    def _draw(self, what: str, index: int) -> np.random.Generator:
        """A stream of its own for every detector, whichever others there are."""
        name = self.camera.detectors[index].name
        return generator(
            self.sky.seed, f"{what} {self.camera.instrument} {self.band.name} {name}", self.number
        )


def flag_words(
    roles: Mapping[str, NDArray[np.bool_]],
    names: Mapping[str, Sequence[str]],
    numbers: Mapping[str, int],
) -> NDArray[np.int32]:
    """Flags of pixels by what hits them.

    Parameters
    ----------
    roles : mapping of str to bool array
        As `Shot.roles` gives them.
    names : mapping of str to names
        Role to the bits that it sets; other roles set none.
    numbers : mapping of str to int
        Name of a bit to its number.
    """
    words = np.zeros(roles["core"].shape, np.int32)
    for role, bits in names.items():
        for name in bits:
            words[roles[role]] |= 1 << numbers[name]
    return words


def _inside(directions: Array, centres: Array, radii: Array) -> NDArray[np.bool_]:
    hit = np.zeros(directions.shape[:-1], bool)
    middle = directions.reshape(-1, 3).mean(axis=0)
    reach = np.linalg.norm(directions - middle, axis=-1).max()
    chords = 2.0 * np.sin(radii / 2.0)
    for k in np.flatnonzero(np.linalg.norm(centres - middle, axis=1) <= reach + chords):
        hit |= np.sum((directions - centres[k]) ** 2, axis=-1) <= chords[k] ** 2
    return hit


def shots(sky: Sky, camera: Camera) -> Iterator[Shot]:
    """All exposures of a camera over the observed part of a sky, band by band, pointing by pointing."""
    for place, band in enumerate(camera.bands.values()):
        for pointing, (x, y) in enumerate(_pointings(sky, camera)):
            for dither in range(camera.dithers):
                dx, dy = DITHERS_ARCSEC[dither % len(DITHERS_ARCSEC)]
                lon, lat = sky.plane.angles(x + dx * ARCSEC, y + dy * ARCSEC)
                number = pointing * camera.dithers + dither
                yield Shot(
                    sky, camera, band, number, pointing, dither,
                    float(lon), float(lat), 1.5 * (number % 5) - 3.0,
                    camera.first_mjd + 0.4 * place + number / 64.0,
                )  # fmt: skip


def _pointings(sky: Sky, camera: Camera) -> list[tuple[float, float]]:
    """Middles of fields in the survey plane, side by side over the observed area, each band's the same."""
    x0, x1, y0, y1 = sky.observed
    left, right, low, high = (edge * ARCSEC for edge in camera.field_arcsec)
    step_x, step_y = right - left - SHOTS_OVERLAP, high - low - SHOTS_OVERLAP
    nx, ny = max(1, math.ceil((x1 - x0) / step_x)), max(1, math.ceil((y1 - y0) / step_y))
    return [
        (0.5 * (x0 + x1) + (i - 0.5 * (nx - 1)) * step_x, 0.5 * (y0 + y1) + (j - 0.5 * (ny - 1)) * step_y)
        for j in range(ny)
        for i in range(nx)
    ]
