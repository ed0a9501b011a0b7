"""KiDS coadds as the survey releases them: image, weight and flags of a tile of a square degree, one file each.

A coadd is a tangent-plane image, north up, about the middle of a pointing of OmegaCAM; its header is that of the ESO
science data products. Fluxes are relative to magnitude 0. The noise is one number a tile, that of a single exposure
over the root of their number; the east of a tile is empty. The exposures of a tile follow one another around its
culmination at Paranal, one night a band.

Headers of the four bands differ in what they tell, as those of releases and of single pipelines do:

======  ===================================================================================
KIDS_u  EXPTIME of one exposure, AIRMASS; no zero point
KIDS_g  EXPTIME of one exposure; no air mass
KIDS_r  EXPTIME of a pixel and TEXPTIME of all; air mass at start and end
KIDS_i  EXPTIME of one exposure; air mass at start and end
======  ===================================================================================

No public card holds the sky that was subtracted; it is written as BKGMED (see `INPUTS`).
"""

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io.fits import Header
from astropy.wcs import WCS
from numpy.typing import NDArray

from vmpz.bits import bit_table
from vmpz.physics.atmosphere import airmass, zenith_distance_deg
from vmpz.simulate.bands import Band
from vmpz.simulate.descriptors import MJD_EPOCH
from vmpz.simulate.exposures import Array, Camera, Detector, Shot, flag_words, shots
from vmpz.simulate.field import Sky, generator
from vmpz.simulate.fitsfile import FitsWriter, fits_file
from vmpz.simulate.headers import tan_header

__all__ = [
    "CAMERA",
    "EMPTY_SHARE",
    "EXPOSURES",
    "INPUTS",
    "SITE_DEG",
    "Coadd",
    "coadds",
    "highest_mjd",
    "write_kids",
]

SITE_DEG = (-70.4042, -24.6276)
RELEASE = "DR4.0"
PIXEL_ARCSEC = 0.214
COADD_PX, COADD_PIXEL_ARCSEC = (20000, 18800), 0.2
"""Rows and columns of a real coadd."""
EMPTY_SHARE = 16
"""One column in so many, in the east of a coadd, is empty."""
EXPOSURES = {"KIDS_u": 4, "KIDS_g": 5, "KIDS_r": 5, "KIDS_i": 5}
"""Band to the exposures of a tile."""
OVERHEAD_S = 45.0
ROLES = {"core": "SATURATION", "halo": "HALO1", "trail": "HALO2", "column": "BADPIXEL"}
"""What a pixel is hit by to its flag."""


def _detectors() -> tuple[Detector, ...]:
    """32 CCDs in four rows of eight; the gap between the middle rows is narrow (OmegaCAM user manual, VST-MAN-OCM)."""
    width, height, gap = 2048 * PIXEL_ARCSEC, 4100 * PIXEL_ARCSEC, 100 * PIXEL_ARCSEC
    wide, narrow = 376 * PIXEL_ARCSEC, 55 * PIXEL_ARCSEC
    low = np.array([-2 * height - wide, -height, 0.0, height + wide]) + np.array([-1, -1, 1, 1]) * narrow / 2
    left = (np.arange(8) - 4.0) * (width + gap) + gap / 2
    return tuple(
        Detector(f"ESO_CCD_#{65 + 8 * row + column}", x, x + width, y, y + height)
        for row, y in enumerate(low.tolist())
        for column, x in enumerate(left.tolist())
    )


CAMERA = Camera(
    "OMEGACAM",
    _detectors(),
    {
        "KIDS_u": Band("KIDS_u", "u_SDSS", "OMEGACAM", 0.0, 3.6e-12, 1.2e-10, 1.01, 25, 250.0),
        "KIDS_g": Band("KIDS_g", "g_SDSS", "OMEGACAM", 0.0, 1.8e-12, 2.1e-10, 0.89, 25, 180.0),
        "KIDS_r": Band("KIDS_r", "r_SDSS", "OMEGACAM", 0.0, 2.5e-12, 5.2e-10, 0.68, 25, 360.0),
        "KIDS_i": Band("KIDS_i", "i_SDSS", "OMEGACAM", 0.0, 6.8e-12, 1.1e-9, 0.81, 25, 240.0),
    },
    site_deg=SITE_DEG,
)
"""Noise and background relative to magnitude 0."""

INPUTS = """\
[[inputs]]
reader = "kids"
location = "{location}"
[inputs.options]
keywords = {{Background = "BKGMED"}}
"""
"""The block of a survey file that reads what `write_kids` wrote at `location`."""


@dataclass(frozen=True)
class Coadd:
    """A tile in one band, and the exposures that went into it.

    Attributes
    ----------
    shots : tuple of Shot
    pixels : int
        Columns of the image.
    """

    shots: tuple[Shot, ...]
    pixels: int

    @property
    def first(self) -> Shot:
        """The first exposure, whose pointing is the middle of the tile."""
        return self.shots[0]

    @property
    def band(self) -> Band:
        """Its band."""
        return self.first.band

    @property
    def area(self) -> str:
        """Name of the tile."""
        return f"KIDS_{self.first.lon_deg:.1f}_{self.first.lat_deg:.1f}"

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, columns."""
        return round(self.pixels * COADD_PX[0] / COADD_PX[1]), self.pixels

    @property
    def pixel_arcsec(self) -> float:
        """Side of a pixel."""
        return COADD_PX[1] * COADD_PIXEL_ARCSEC / self.pixels

    @property
    def rms(self) -> float:
        """Noise per pixel."""
        return self.band.rms * self.pixel_arcsec / 0.1 / math.sqrt(len(self.shots))

    @property
    def total_time_s(self) -> float:
        """Number times single time."""
        return len(self.shots) * self.band.exposure_time_s

    @property
    def seeing_arcsec(self) -> float:
        """Mean FWHM of the exposures."""
        return float(np.mean([shot.fwhm_arcsec for shot in self.shots]))

    @cached_property
    def background(self) -> float:
        """Mean level of the sky that was subtracted, in the middle of the tile."""
        lon, lat = (np.array(angle) for angle in (self.first.lon_deg, self.first.lat_deg))
        return float(np.mean([shot.background(lon, lat) for shot in self.shots]))

    @property
    def start_mjd(self) -> float:
        """Beginning of the first exposure, as written."""
        return round(self.first.mjd, 8)

    @property
    def end_mjd(self) -> float:
        """End of the last exposure, as written."""
        return round(self.shots[-1].mjd + self.band.exposure_time_s / 86400.0, 8)

    @property
    def middle_mjd(self) -> float:
        """Middle between them."""
        return 0.5 * (self.start_mjd + self.end_mjd)

    def airmass_at(self, mjd: float) -> float:
        """Of the middle of the tile; NaN towards the horizon."""
        return float(airmass(_zenith_distance_deg(self.first, mjd)))

    @property
    def written_airmass(self) -> tuple[float, float]:
        """At start and end, as written."""
        return round(self.airmass_at(self.start_mjd), 3), round(self.airmass_at(self.end_mjd), 3)

    @property
    def airmass(self) -> float:
        """Mean at start, middle and end; NaN if one of them is."""
        return (sum(self.written_airmass) + self.airmass_at(self.middle_mjd)) / 3.0

    def name(self, what: str) -> str:
        """Name of a file: sci, wei or msk."""
        return f"KiDS_{RELEASE}_{self.area.removeprefix('KIDS_')}_{self.band.name.removeprefix('KIDS_')}_{what}.fits"

    def wcs_header(self) -> Header:
        """TAN cards, north up."""
        rows, columns = self.shape
        header = tan_header(
            (self.first.lon_deg, self.first.lat_deg),
            (0.5 * (columns + 1), 0.5 * (rows + 1)),
            self.pixel_arcsec / 3600.0,
        )
        header["RADESYS"] = "FK5"
        return header

    def reached(self) -> NDArray[np.bool_]:
        """Pixels that any exposure reaches."""
        seen = np.arange(self.pixels) >= self.pixels // EMPTY_SHARE
        return np.broadcast_to(seen, self.shape)

    def flags(self) -> NDArray[np.int16]:
        """Words of the flag image."""
        x, y = np.meshgrid(np.arange(self.shape[1]), np.arange(self.shape[0]))
        lon, lat = WCS(self.wcs_header()).all_pix2world(x, y, 0)
        roles = self.first.roles(0, np.asarray(lon), np.asarray(lat))
        numbers = {bit.name: bit.number for bit in bit_table("kids").bits}
        return flag_words(roles, {role: [name] for role, name in ROLES.items()}, numbers).astype(np.int16)


def coadds(sky: Sky, *, pixels: int = 100, bands: Collection[str] | None = None) -> Iterator[Coadd]:
    """All tiles of a sky, band by band.

    Parameters
    ----------
    sky : Sky
    pixels : int
        Columns of an image; the rows are 1.06 times as many.
    bands : collection of str, optional
        Default all.
    """
    for night, (name, band) in enumerate(CAMERA.bands.items()):
        if bands is not None and name not in bands:
            continue
        camera = replace(
            CAMERA, bands={name: band}, dithers=EXPOSURES[name], first_mjd=CAMERA.first_mjd + night
        )
        all_shots = list(shots(sky, camera))
        for begin in range(0, len(all_shots), camera.dithers):
            yield Coadd(_around_culmination(all_shots[begin : begin + camera.dithers]), pixels)


def _around_culmination(exposures: list[Shot]) -> tuple[Shot, ...]:
    """The exposures of a tile one after the other, their middle an hour before the tile is highest."""
    first, step = exposures[0], (exposures[0].band.exposure_time_s + OVERHEAD_S) / 86400.0
    highest = highest_mjd(first.lon_deg, first.lat_deg, SITE_DEG, first.camera.first_mjd)
    begin = highest - 1.0 / 24.0 - 0.5 * step * len(exposures)
    return tuple(replace(shot, mjd=begin + step * n) for n, shot in enumerate(exposures))


def highest_mjd(lon_deg: float, lat_deg: float, site_deg: tuple[float, float], after_mjd: float) -> float:
    """When a position is highest above a site in the day that follows an instant, to five minutes."""
    day = after_mjd + np.arange(288) / 288.0
    distance = zenith_distance_deg(lon_deg, lat_deg, day, site_lon_deg=site_deg[0], site_lat_deg=site_deg[1])
    return float(day[np.argmin(distance)])


def _zenith_distance_deg(shot: Shot, mjd: float | Array) -> Array:
    return zenith_distance_deg(
        shot.lon_deg, shot.lat_deg, mjd, site_lon_deg=SITE_DEG[0], site_lat_deg=SITE_DEG[1]
    )


def write_kids(folder: Path, sky: Sky, *, pixels: int = 100, bands: Collection[str] | None = None) -> None:
    """Write image, weight and flags of every tile and band.

    Parameters
    ----------
    folder : Path
    sky : Sky
    pixels : int
        Columns of an image; the rows are 1.06 times as many.
    bands : collection of str, optional
        Default all.
    """
    for coadd in coadds(sky, pixels=pixels, bands=bands):
        reached = coadd.reached()
        noise = generator(sky.seed, f"coadd {coadd.area} {coadd.band.name}").standard_normal(coadd.shape)
        planes: dict[str, NDArray[Any]] = {
            "sci": np.where(reached, coadd.rms * noise, 0.0).astype(np.float32),
            "wei": np.where(reached, coadd.rms**-2.0, 0.0).astype(np.float32),
            "msk": coadd.flags(),
        }
        for what, plane in planes.items():
            with fits_file(folder / coadd.name(what)) as writer:
                _write(writer, _header(coadd, what), plane)


def _write(writer: FitsWriter, cards: Header, plane: NDArray[Any]) -> None:
    header = Header(
        [("SIMPLE", True), ("BITPIX", plane.dtype.itemsize * (-8 if plane.dtype.kind == "f" else 8))]
    )
    header.extend([("NAXIS", 2), ("NAXIS1", plane.shape[1]), ("NAXIS2", plane.shape[0])], strip=False)
    header.extend(cards, strip=False)
    kind = f"{plane.dtype.kind}{plane.dtype.itemsize}"
    with writer.plane(header, kind, (plane.shape[0], plane.shape[1])) as rows:
        rows.write(plane)


# -- headers --------------------------------------------------------------------------------------------------


def _header(coadd: Coadd, what: str) -> Header:
    category = {"sci": "SCIENCE.IMAGE", "wei": "ANCILLARY.WEIGHTMAP", "msk": "ANCILLARY.MASK"}[what]
    header = Header(
        [
            ("PRODCATG", category, "Data product category"),
            ("ORIGFILE", coadd.name(what), "Original file name"),
            ("ORIGIN", "ESO", "European Southern Observatory"),
            ("TELESCOP", "ESO-VST", "ESO Telescope designation"),
            ("INSTRUME", "OMEGACAM", "Instrument name"),
            ("OBJECT", coadd.area, "Survey tile designation"),
            ("FILTER", coadd.band.token, "Filter name"),
            ("DATE", "2026-01-15T08:30:00", "Date the file was written"),
        ]
    )
    if what == "sci":
        header.extend(_science_cards(coadd), strip=False)
    header.extend(coadd.wcs_header(), strip=False)
    return header


def _science_cards(coadd: Coadd) -> list[tuple[str, Any, str]]:
    dates = [
        f"{MJD_EPOCH + timedelta(days=mjd):%Y-%m-%dT%H:%M:%S.%f}"[:-3]
        for mjd in (coadd.start_mjd, coadd.end_mjd)
    ]
    cards: list[tuple[str, Any, str]] = [
        ("RA", coadd.first.lon_deg, "Tile centre (J2000.0)"),
        ("DEC", coadd.first.lat_deg, "Tile centre (J2000.0)"),
        ("PROG_ID", "177.A-3016(A)", "ESO programme identification"),
        ("OBID1", 200000000 + coadd.first.number, "Observation block ID"),
        ("NCOMBINE", len(coadd.shots), "Number of combined raw science data files"),
        ("OBSTECH", "IMAGE,JITTER", "Technique of observation"),
        ("DATE-OBS", dates[0], "Start of observations"),
        ("DATE-END", dates[1], "End of observations"),
        ("MJD-OBS", coadd.start_mjd, "Start of observations (days)"),
        ("MJD-END", coadd.end_mjd, "End of observations (days)"),
        ("FLUXCAL", "ABSOLUTE", "Certifies the validity of PHOTZP"),
        ("PROCSOFT", "Astro-WISE", "Data reduction software"),
        *((f"PROV{n}", f"OMEGA.{n}.fits", "Originating science file") for n in range(1, len(coadd.shots) + 1)),
        ("ASSON1", coadd.name("wei"), "Associated file"),
        ("ASSOC1", "ANCILLARY.WEIGHTMAP", "Category of associated file"),
        ("ASSON2", coadd.name("msk"), "Associated file"),
        ("ASSOC2", "ANCILLARY.MASK", "Category of associated file"),
        ("PSF_FWHM", coadd.seeing_arcsec, "Spatial resolution (arcsec)"),
        ("ELLIPTIC", 0.05, "Average ellipticity of point sources"),
        ("PHOTSYS", "AB", "Photometric system"),
        ("BKGMED", coadd.background, "Sky that was subtracted, per pixel"),
        *_time_cards(coadd),
        *_airmass_cards(coadd),
    ]  # fmt: skip
    if coadd.band.name != "KIDS_u":
        cards.append(("PHOTZP", coadd.band.zero_point_mag, "MAG = -2.5 log10(data) + PHOTZP"))
    return cards


def _time_cards(coadd: Coadd) -> list[tuple[str, Any, str]]:
    if coadd.band.name != "KIDS_r":
        return [("EXPTIME", coadd.band.exposure_time_s, "Time of one exposure (s)")]
    return [
        ("EXPTIME", coadd.total_time_s, "Total integration time per pixel (s)"),
        ("TEXPTIME", coadd.total_time_s, "Total integration time of all exposures (s)"),
    ]


def _airmass_cards(coadd: Coadd) -> list[tuple[str, Any, str]]:
    """What the band tells of the air mass, where there is one."""
    if math.isnan(coadd.airmass) or coadd.band.name == "KIDS_g":
        return []
    if coadd.band.name == "KIDS_u":
        return [("AIRMASS", coadd.airmass, "Mean air mass")]
    return [
        ("HIERARCH ESO TEL AIRM START", coadd.written_airmass[0], "Airmass at start"),
        ("HIERARCH ESO TEL AIRM END", coadd.written_airmass[1], "Airmass at end"),
    ]
