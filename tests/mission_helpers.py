"""The truth of a simulated survey of several instruments: every detector of every exposure, and cells looked at one by
one. Formulas are plain numpy and astropy; nothing here uses the physics of the package."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from astropy.coordinates import get_body_barycentric
from astropy.io.fits import Header
from astropy.time import Time
from astropy.wcs import WCS
from numpy.typing import NDArray

from vmpz.bits import bit_table
from vmpz.simulate import decamcp, kids, lsst, lsstcards, nir, vis
from vmpz.simulate.exposures import Detector, Shot, shots
from vmpz.simulate.field import Sky
from vmpz.simulate.frames import FRAMES, Frames
from vmpz.simulate.orbit import spacecraft_km
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet

Array = NDArray[np.float64]

ZERO_POINT = 23.9
KM_PER_AU = 149_597_870.7
OBLIQUITY_DEG = 23.4392911
POINTS = 4
"""Orders below a cell: 256 points in it."""


def small_frames() -> dict[str, Frames]:
    """Exposures as few as still give every row a meaning: real focal planes, two or three dithers, one band each."""
    dithers = {"VIS": 2, "NISP": 2, "DECAM": 3, "LSST": 2, "KIDS": 5}
    band = {"VIS": "VIS", "NISP": "NIR_J", "DECAM": "DECAM_g", "LSST": "LSST_r", "KIDS": "KIDS_r"}
    made = {}
    for name, number in dithers.items():
        one = FRAMES[name].of_band(band[name])
        made[name] = replace(one, camera=replace(one.camera, dithers=number))
    for name, reach in (("DECAM", 1700.0), ("VIS", 1150.0)):
        camera = made[name].camera
        near = tuple(one for one in camera.detectors if _distance(one) < reach)
        made[name] = replace(made[name], camera=replace(camera, detectors=near))
    return made


def _distance(one: Detector) -> float:
    """Of the middle of a detector from that of the focal plane, along either axis, arcsec."""
    return 0.5 * max(abs(one.x0 + one.x1), abs(one.y0 + one.y1))


@dataclass(frozen=True)
class Row:
    """One detector of one exposure: where it is, what is said of it, what its pixels hold.

    `scalars` are by quantity; `rms`, `background` (at their own zero point) and `flags` (by name) arrays.
    """

    id: str
    header: Header
    shape: tuple[int, int]
    zero_point: float
    scalars: dict[str, float]
    weight: float
    rms: Array
    flags: dict[str, NDArray[np.bool_]]
    background: Array | None = None

    @property
    def factor(self) -> float:
        """From its flux units to those of the products."""
        return float(10.0 ** (0.4 * (ZERO_POINT - self.zero_point)))

    @cached_property
    def wcs(self) -> WCS:
        return WCS(self.header)

    @cached_property
    def pixels(self) -> tuple[Array, Array]:
        """Positions of all pixels."""
        y, x = np.mgrid[: self.shape[0], : self.shape[1]]
        return self.wcs.all_pix2world(x.ravel(), y.ravel(), 0)


# -- rows by instrument ---------------------------------------------------------------------------------------------


def rows_of(name: str, sky: Sky, one: Frames, pixels: int) -> list[Row]:
    """All detectors of an instrument."""
    return list(
        {"VIS": _vis, "NISP": _nir, "DECAM": _decam, "LSST": _lsst, "KIDS": _kids}[name](sky, one, pixels)
    )


def named(words: NDArray[Any], table: str) -> dict[str, NDArray[np.bool_]]:
    return {bit.name: (words >> bit.number & 1).astype(bool) for bit in bit_table(table).bits}


def _common(shot: Shot) -> dict[str, float]:
    return {"Exposures": 1.0, "ExposureTime": shot.band.exposure_time_s, "MJD": shot.middle_mjd}


def _vis(sky: Sky, one: Frames, pixels: int) -> Iterator[Row]:
    for shot in shots(sky, one.camera):
        told = sky.scalars(shot.number)
        e1, e2 = shot.ellipticity
        scalars = _common(shot) | {"SAA": told["SAA"], "AA": told["ALPHA"], "BA": told["BETA"]}
        scalars |= {"PSF": shot.fwhm_arcsec, "PSFE1": e1, "PSFE2": e2}
        zero_point = shot.band.zero_point_mag + 2.5 * math.log10(shot.band.exposure_time_s)
        for index, detector in enumerate(shot.camera.detectors):
            planes = vis.detector_planes(shot, index, pixels)
            yield Row(
                f"VIS-{vis.exposure_id(shot)}[{detector.name}]", vis.detector_header(shot, index, pixels),
                planes["RMS"].shape, zero_point, scalars, shot.band.exposure_time_s, planes["RMS"].astype(float),
                named(planes["FLAG"], "vis-pf14"), planes["BACKGROUND"].astype(float),
            )  # fmt: skip


def _nir(sky: Sky, one: Frames, pixels: int) -> Iterator[Row]:
    for shot in shots(sky, one.camera):
        saa, alpha = solar_angles(shot)
        e1, e2 = shot.ellipticity
        scalars = _common(shot) | {"SAA": saa, "AA": alpha, "BA": saa - 90.0}
        scalars |= {"PSF": shot.fwhm_arcsec, "PSFE1": e1, "PSFE2": e2}
        for index, detector in enumerate(shot.camera.detectors):
            planes = nir.detector_planes(shot, index, pixels)
            yield Row(
                f"{nir.exposure_id(shot)}[DET{detector.name}]", nir.detector_header(shot, index, pixels),
                planes["RMS"].shape, shot.band.zero_point_mag, scalars, shot.band.exposure_time_s,
                planes["RMS"].astype(float), named(planes["FLAG"], "nir"), planes["BACKGROUND"].astype(float),
            )  # fmt: skip


def _decam(sky: Sky, one: Frames, pixels: int) -> Iterator[Row]:
    names = [detector.name for detector in one.camera.detectors]
    camera = replace(one.camera, detectors=decamcp.CAMERA.detectors)
    for shot in decamcp.community_shots(sky, camera):
        site = decamcp.SITE_DEG
        airmass = round(decamcp.airmass(shot), 2)
        if shot.number == decamcp.WITHOUT_AIRMASS:
            airmass = mean_airmass(shot, site)
        zero_point = decamcp.zero_point_mag(shot)
        for index in decamcp.places(names):
            seen = decamcp.look(shot, index, pixels)
            codes = decamcp.quality_codes(seen.roles)
            weight = np.where(codes == 0, seen.rms**-2.0, 0.0).astype(np.float32).astype(float)
            rms = np.divide(1.0, np.sqrt(weight), out=np.full(weight.shape, np.inf), where=weight > 0)
            level = decamcp.sky_level(shot, decamcp.CAMERA.detectors[index])
            table = bit_table("decam-cp-codes")
            row = Row(
                f"c4d_{decamcp.community_name(shot, 'i')[4:17]}[{decamcp.CAMERA.detectors[index].name}]",
                seen.header, codes.shape, zero_point, {}, seen.rms**-2.0, rms,
                {bit.name: codes == bit.number for bit in table.bits},
            )  # fmt: skip
            scalars = _common(shot) | atmosphere(shot, site, airmass, 0.181)
            scalars |= {"Seeing": shot.fwhm_arcsec, "PSF": shot.fwhm_arcsec, "Background": level * row.factor}
            yield replace(row, scalars=scalars, weight=(seen.rms * row.factor) ** -2.0)


def _lsst(sky: Sky, one: Frames, pixels: int) -> Iterator[Row]:
    for shot in shots(sky, one.camera):
        for index, detector in enumerate(shot.camera.detectors):
            seen = lsst.scene(shot, index, pixels)
            flags = {name: (seen.mask >> number & 1).astype(bool) for name, number in seen.numbers.items()}
            row = Row(
                f"{lsst.visit_of(shot)}[{detector.name}]", seen.wcs, seen.mask.shape, shot.band.zero_point_mag, {}, 0.0,
                np.sqrt(seen.variance).astype(float), flags,
            )  # fmt: skip
            scalars = _common(shot) | atmosphere(shot, one.camera.site_deg, lsstcards.airmass(shot), 0.10)
            scalars |= {"Seeing": shot.fwhm_arcsec, "PSF": shot.fwhm_arcsec}
            scalars["Background"] = seen.background * row.factor
            yield replace(row, scalars=scalars, weight=(seen.noise * row.factor) ** -2.0)


def _kids(sky: Sky, one: Frames, pixels: int) -> Iterator[Row]:
    for coadd in kids.coadds(sky, pixels=2 * pixels, bands=one.camera.bands):
        middle = replace(coadd.first, mjd=coadd.middle_mjd - 0.5 * coadd.band.exposure_time_s / 86400.0)
        scalars = atmosphere(middle, kids.SITE_DEG, coadd.airmass, 0.09)
        scalars |= {
            "Exposures": float(len(coadd.shots)),
            "ExposureTime": coadd.total_time_s,
            "MJD": coadd.middle_mjd,
        }
        scalars |= {"Seeing": coadd.seeing_arcsec, "PSF": coadd.seeing_arcsec}
        reached = coadd.reached()
        rms = np.where(reached, 1.0 / np.sqrt(np.float64(np.float32(coadd.rms**-2.0))), np.inf)
        row = Row(
            coadd.area, coadd.wcs_header(), coadd.shape, coadd.band.zero_point_mag, {}, coadd.total_time_s, rms,
            named(coadd.flags(), "kids"),
        )  # fmt: skip
        yield replace(row, scalars=scalars | {"Background": coadd.background * row.factor})


# -- formulas -------------------------------------------------------------------------------------------------------


def unit(lon_deg: Any, lat_deg: Any) -> Array:
    lon, lat = np.radians(lon_deg), np.radians(lat_deg)
    return np.stack((np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)), axis=-1)


def sun_from(mjd: float, position_km: Any = 0.0) -> Array:
    """Direction from a spacecraft (from the Earth's centre, km) to the Sun."""
    time = Time(mjd, format="mjd", scale="utc")
    sun, earth = (get_body_barycentric(body, time).xyz.to_value("km") for body in ("sun", "earth"))
    way = sun - earth - position_km
    return np.asarray(way / np.linalg.norm(way))


def solar_angles(shot: Shot) -> tuple[float, float]:
    """Solar aspect angle, and angle of the Sun about the pointing from the y axis of the focal plane."""
    sun = sun_from(shot.middle_mjd, spacecraft_km(shot.middle_mjd))
    pointing = unit(shot.lon_deg, shot.lat_deg)
    east = np.cross((0.0, 0.0, 1.0), pointing)
    east /= np.linalg.norm(east)
    angle = math.degrees(math.atan2(sun @ east, sun @ np.cross(pointing, east))) - shot.position_angle_deg
    return math.degrees(math.acos(sun @ pointing)), (angle + 180.0) % 360.0 - 180.0


def horizon(shot: Shot, site: Any, mjd: float) -> tuple[float, float]:
    """Zenith distance and parallactic angle, radian, from hour angle and latitude, with the mean place of date.

    The parallactic angle is turned back to the north of J2000.
    """
    years = (mjd - 51544.5) / 365.25
    alpha, delta = math.radians(shot.lon_deg), math.radians(shot.lat_deg)
    right = shot.lon_deg + years * (0.0128123 + 0.0055675 * math.sin(alpha) * math.tan(delta))
    declination = math.radians(shot.lat_deg + years * 0.0055675 * math.cos(alpha))
    sidereal = 280.46061837 + 360.98564736629 * (mjd - 51544.5) + site[0]
    hour, latitude = math.radians(sidereal - right), math.radians(site[1])
    cosine = math.sin(latitude) * math.sin(declination) + math.cos(latitude) * math.cos(
        declination
    ) * math.cos(hour)
    angle = math.atan2(
        math.sin(hour),
        math.tan(latitude) * math.cos(declination) - math.sin(declination) * math.cos(hour),
    )
    turned = math.radians(years * 0.0055675 * math.sin(alpha) / math.cos(delta))
    return math.acos(cosine), angle - turned


def hardie(zenith_distance_rad: float) -> float:
    """Airmass."""
    s = 1.0 / math.cos(zenith_distance_rad) - 1.0
    return 1.0 + s - 0.0018167 * s - 0.002875 * s**2 - 0.0008083 * s**3


def mean_airmass(shot: Shot, site: Any) -> float:
    days = shot.band.exposure_time_s / 86400.0
    return sum(hardie(horizon(shot, site, shot.mjd + step * days)[0]) for step in (0.0, 0.5, 1.0)) / 3.0


def atmosphere(shot: Shot, site: Any, airmass: float, per_airmass: float) -> dict[str, float]:
    z, q = horizon(shot, site, shot.middle_mjd)
    slant = math.tan(z)
    return {
        "Airmass": airmass,
        "AtmosphericExtinction": per_airmass * airmass,
        "ParallacticAngle": math.degrees(q),
        "DCR1": slant * math.sin(q),
        "DCR2": slant * math.cos(q),
        "DCRE1": slant**2 * math.cos(2.0 * q),
        "DCRE2": slant**2 * math.sin(2.0 * q),
    }


# -- cells ----------------------------------------------------------------------------------------------------------


class Truth:
    """Which share of which cell every detector sees, from points and half planes in its own pixels.

    Attributes
    ----------
    share : float64 (rows, cells)
        Of 256 points.
    edge : bool (rows, cells)
        A side of the detector may cut the cell; elsewhere the share is exactly 0 or 1.
    """

    def __init__(self, cells: CellSet, rows: list[Row]) -> None:
        self.cells, self.rows = cells, rows
        number, order = cells.cells(), cells.order
        self.share = np.zeros((len(rows), number.size))
        self.edge = np.zeros(self.share.shape, bool)
        centre = unit(*hpx.centres(number, order))
        corner = np.stack(hpx.vertices(number, order), axis=-1)
        points = np.stack(hpx.centres(cells.at_order(order + POINTS).cells(), order + POINTS), axis=-1)
        points = points.reshape(number.size, 4**POINTS, 2)
        for k, row in enumerate(rows):
            middle = unit(*row.wcs.all_pix2world((row.shape[1] - 1) / 2.0, (row.shape[0] - 1) / 2.0, 0))
            reach = np.linalg.norm(unit(*row.wcs.all_pix2world(-0.5, -0.5, 0)) - middle) * 1.05
            near = np.flatnonzero(np.linalg.norm(centre - middle, axis=1) < reach + math.radians(0.02))
            whole, none = self._clear(row, corner[near])
            self.share[k, near[whole]] = 1.0
            edge = near[~whole & ~none]
            self.edge[k, edge] = True
            if edge.size:
                x, y = self._pixels(row, points[edge])
                inside = (np.abs(x - (row.shape[1] - 1) / 2) <= row.shape[1] / 2) & (
                    np.abs(y - (row.shape[0] - 1) / 2) <= row.shape[0] / 2
                )
                self.share[k, edge] = inside.mean(axis=1)

    @staticmethod
    def _pixels(row: Row, places: Array) -> tuple[Array, Array]:
        flat = row.wcs.all_world2pix(places.reshape(-1, 2), 0)
        return flat[:, 0].reshape(places.shape[:-1]), flat[:, 1].reshape(places.shape[:-1])

    def _clear(self, row: Row, corners: Array) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Cells wholly inside a detector, and wholly beyond one of its sides."""
        x, y = self._pixels(row, corners)
        margin = 0.02
        sides = np.stack((x + 0.5, row.shape[1] - 0.5 - x, y + 0.5, row.shape[0] - 0.5 - y))
        return np.all(sides > margin, axis=(0, 2)), np.any(np.all(sides < -margin, axis=2), axis=0)

    @cached_property
    def certain(self) -> NDArray[np.bool_]:
        """Cells that every detector holds wholly or not at all."""
        return ~self.edge.any(axis=0)

    @cached_property
    def seen(self) -> NDArray[np.bool_]:
        """Certain cells that some detector sees."""
        return self.certain & (self.share.sum(axis=0) > 0)

    def samples(self, values: Array, cell: int) -> tuple[Array, Array, Array]:
        """Values, weights and numbers (from 0) of the detectors that see a cell; `values` (rows,) or (rows, cells)."""
        here = np.flatnonzero(self.share[:, cell] > 0)
        weights = np.array([self.rows[k].weight for k in here])
        return (values[here] if values.ndim == 1 else values[here, cell]), weights, here

    def scalar(self, name: str) -> Array:
        return np.array([row.scalars[name] for row in self.rows])

    @cached_property
    def places(self) -> list[NDArray[np.int64]]:
        """Place of the cell of every pixel of every detector, -1 outside."""
        return [self.cells.index(hpx.cells_at(*row.pixels, self.cells.order)) for row in self.rows]

    def pooled(self, values: list[Array], kept: list[NDArray[np.bool_]]) -> list[Array]:
        """Pixels of all detectors, cell by cell."""
        place = np.concatenate([one[keep.ravel()] for one, keep in zip(self.places, kept, strict=True)])
        value = np.concatenate([one.ravel()[keep.ravel()] for one, keep in zip(values, kept, strict=True)])
        order = np.argsort(place, kind="stable")
        edges = np.searchsorted(place[order], np.arange(len(self.cells) + 1))
        return [value[order[low:high]] for low, high in pairwise(edges)]


def weighted_median(x: Array, w: Array) -> float:
    """Half of the weight on either side; the middle where the half falls between two values."""
    order = np.argsort(x, kind="stable")
    running, half = np.cumsum(w[order]), 0.5 * np.sum(w)
    low = x[order][np.searchsorted(running, half * (1.0 - 1e-12))]
    high = x[order][min(np.searchsorted(running, half * (1.0 + 1e-12)), x.size - 1)]
    return float(0.5 * (low + high))


def commonest(x: Array) -> float:
    values, times = np.unique(x, return_counts=True)
    return float(values[np.argmax(times)])


STATISTICS: dict[str, Any] = {
    "COUNT": lambda x, w: float(x.size),
    "SUM": lambda x, w: x.sum(),
    "MEAN": lambda x, w: x.mean(),
    "WMEAN": lambda x, w: np.sum(w * x) / w.sum(),
    "MIN": lambda x, w: x.min(),
    "MAX": lambda x, w: x.max(),
    "STD": lambda x, w: np.sqrt(np.mean((x - x.mean()) ** 2)),
    "RMSQ": lambda x, w: np.sqrt(np.mean(x**2)),
    "MEDIAN": lambda x, w: np.median(x),
    "WMEDIAN": weighted_median,
    "MODE": lambda x, w: commonest(x),
}
"""Every statistic of exposures that fill a cell, plain."""
