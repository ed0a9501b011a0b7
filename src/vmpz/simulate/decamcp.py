"""DECam exposures as the Community Pipeline writes them: image, quality and weight of 60 CCDs in three files.

The focal plane has its 62 places with their names and numbers; S30 and N30 give no data, as through most of the
camera's life. Columns of a CCD run to the south and rows to the east at position angle 0, the distortion is radial
(TPV), 0.4 per cent at the edge of the field as the real one. Values are ADU, the sky is left in, quality is one code a
pixel. Images are quantised as fpack does; weights are not, so that their truth is exact. Exposures follow one another
from three hours before the field culminates at Cerro Tololo; one of them lacks its AIRMASS card.
"""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.io import fits
from astropy.io.fits import Header
from astropy.wcs import WCS
from numpy.typing import NDArray

from vmpz.simulate.bands import Band
from vmpz.simulate.descriptors import MJD_EPOCH
from vmpz.simulate.exposures import Array, Camera, Detector, Shot, grid_of_detectors, shots
from vmpz.simulate.field import Sky
from vmpz.simulate.fitsfile import FitsWriter, fits_file
from vmpz.simulate.geometry import ARCSEC, polygon_area_sr
from vmpz.sky.covers import unit_vectors

__all__ = [
    "CAMERA",
    "CCDS",
    "GAIN",
    "SITE_DEG",
    "Ccd",
    "add_compressed",
    "airmass",
    "ccd_header",
    "community_name",
    "community_shots",
    "desdm_shot",
    "detector_cards",
    "exposure_number",
    "look",
    "observation_cards",
    "pixel_scale_arcsec",
    "places",
    "quality_codes",
    "sky_level",
    "write_community",
    "zero_point_mag",
]

SITE_DEG = (-70.81489, -30.16606)
ROWS = (
    ("N29", "N30", "N31"),
    ("N25", "N26", "N27", "N28"),
    ("N20", "N21", "N22", "N23", "N24"),
    ("N14", "N15", "N16", "N17", "N18", "N19"),
    ("N8", "N9", "N10", "N11", "N12", "N13"),
    ("N1", "N2", "N3", "N4", "N5", "N6", "N7"),
    ("S1", "S2", "S3", "S4", "S5", "S6", "S7"),
    ("S8", "S9", "S10", "S11", "S12", "S13"),
    ("S14", "S15", "S16", "S17", "S18", "S19"),
    ("S20", "S21", "S22", "S23", "S24"),
    ("S25", "S26", "S27", "S28"),
    ("S29", "S30", "S31"),
)
"""Names of the CCDs in rows from south to north, each from west to east: the south of the camera is that of the focal
plane, whose image is turned over."""
CCDS = {name: number for number, name in enumerate((name for row in reversed(ROWS) for name in row), 1)}
"""Name (EXTNAME, DETPOS) to CCDNUM."""
DEAD = ("S30", "N30")
DISTORTION_PER_DEG2 = -1.5e-3
GAIN = 4.0
"""Electrons per ADU."""

CAMERA = Camera(
    "DECAM",
    grid_of_detectors(
        [["" if name in DEAD else name for name in row] for row in ROWS], 1077.2, 538.6, 40.2, 52.9
    ),
    {
        "DECAM_g": Band("DECAM_g", "DES-G", "DECAM", 30.03, 1.98, 105.0, 1.11, 49, 90.0),
        "DECAM_r": Band("DECAM_r", "DES-R", "DECAM", 30.29, 2.90, 220.0, 0.95, 49, 90.0),
    },
    dithers=2,
    site_deg=SITE_DEG,
)
"""Noise and background in ADU."""

FILTERS = {
    "DECAM_g": "g DECam SDSS c0001 4720.0 1520.0",
    "DECAM_r": "r DECam SDSS c0002 6415.0 1480.0",
}
WITHOUT_AIRMASS = 1
"""Number of the exposure of the first band that lacks the card."""
ROTATION_DEG_PER_DAY = 360.98564736629
EAST_DEG = 45.0
"""Hour angle at which the exposures of a night begin, three hours east of the meridian."""
SHUT = 85.0
"""Zenith distance (deg) beyond which no air mass is written."""


def community_shots(sky: Sky, camera: Camera = CAMERA) -> Iterator[Shot]:
    """Exposures that the Community Pipeline has processed: all but the one for DESDM."""
    return (shot for shot in _all_shots(sky, camera) if not _is_for_desdm(shot, camera))


def desdm_shot(sky: Sky, camera: Camera = CAMERA) -> Shot:
    """The exposure that DESDM has processed: the last of the first pointing, in the last band."""
    return next(shot for shot in _all_shots(sky, camera) if _is_for_desdm(shot, camera))


def _is_for_desdm(shot: Shot, camera: Camera) -> bool:
    return shot.band.name == list(camera.bands)[-1] and shot.number == camera.dithers - 1


def _all_shots(sky: Sky, camera: Camera) -> Iterator[Shot]:
    """Exposures band by band, a sidereal night each."""
    for night, (name, band) in enumerate(camera.bands.items()):
        first = observed_from(sky, camera.first_mjd) + night * 360.0 / ROTATION_DEG_PER_DAY
        yield from shots(sky, replace(camera, bands={name: band}, first_mjd=first))


def observed_from(sky: Sky, after_mjd: float) -> float:
    """When the middle of a sky is three hours east of the meridian, the next time after a date."""
    turn = sky.centre_deg[0] - EAST_DEG - _sidereal_deg(after_mjd)
    return after_mjd + (turn % 360.0) / ROTATION_DEG_PER_DAY


def _sidereal_deg(mjd: float) -> float:
    """Local mean sidereal time at the site (Meeus 1998, equation 12.4, without its terms below 0.001 deg)."""
    return (280.46061837 + ROTATION_DEG_PER_DAY * (mjd - 51544.5) + SITE_DEG[0]) % 360.0


def hour_angle_deg(shot: Shot) -> float:
    """Of the pointing at the middle of an exposure, -180 to 180."""
    return (_sidereal_deg(shot.middle_mjd) - _of_date(shot)[0] + 180.0) % 360.0 - 180.0


def zenith_distance_deg(shot: Shot) -> float:
    """Of the pointing at the middle of an exposure."""
    phi, delta, hour = (math.radians(a) for a in (SITE_DEG[1], _of_date(shot)[1], hour_angle_deg(shot)))
    sine = math.sin(phi) * math.sin(delta) + math.cos(phi) * math.cos(delta) * math.cos(hour)
    return math.degrees(math.acos(sine))


def airmass(shot: Shot) -> float:
    """Secant of the zenith distance; NaN towards the horizon."""
    distance = zenith_distance_deg(shot)
    return 1.0 / math.cos(math.radians(distance)) if distance < SHUT else math.nan


def _of_date(shot: Shot) -> tuple[float, float]:
    """Mean place of the pointing (Meeus 1998, chapter 21, annual rates of J2000)."""
    years = (shot.middle_mjd - 51544.5) / 365.25
    alpha, delta = math.radians(shot.lon_deg), math.radians(shot.lat_deg)
    lon = shot.lon_deg + years * (0.0128123 + 0.0055675 * math.sin(alpha) * math.tan(delta))
    return lon, shot.lat_deg + years * 0.0055675 * math.cos(alpha)


def zero_point_mag(shot: Shot) -> float:
    """MAGZERO: AB, for the ADU of the exposure."""
    return round(shot.band.zero_point_mag + 0.01 * (shot.number % 4), 3)


def sky_level(shot: Shot, one: Detector) -> float:
    """Background in the middle of a CCD, ADU a pixel."""
    x, y = 0.5 * (one.x0 + one.x1) * ARCSEC, 0.5 * (one.y0 + one.y1) * ARCSEC
    return float(shot.background(*shot.plane.angles(x, y)))


# -- geometry -------------------------------------------------------------------------------------------------


def ccd_header(shot: Shot, one: Detector, pixels: int) -> Header:
    """TPV cards of a CCD of `pixels` rows and half as many columns."""
    sx, sy = (one.y1 - one.y0) / (pixels // 2), (one.x1 - one.x0) / pixels
    c, s = (f(math.radians(shot.position_angle_deg)) for f in (math.cos, math.sin))
    header = Header()
    header["WCSAXES"] = 2
    header["CTYPE1"], header["CTYPE2"] = "RA---TPV", "DEC--TPV"
    header["CUNIT1"], header["CUNIT2"] = "deg", "deg"
    header["CRVAL1"], header["CRVAL2"] = shot.lon_deg, shot.lat_deg
    header["CRPIX1"], header["CRPIX2"] = one.y1 / sx + 0.5, -one.x0 / sy + 0.5
    header["CD1_1"], header["CD1_2"] = -sx / 3600.0 * s, sy / 3600.0 * c
    header["CD2_1"], header["CD2_2"] = -sx / 3600.0 * c, -sy / 3600.0 * s
    for axis in (1, 2):
        for term in range(11):
            cubic = DISTORTION_PER_DEG2 if term in (7, 9) else 0.0
            header[f"PV{axis}_{term}"] = 1.0 if term == 1 else cubic
    return header


def pixel_angles_deg(wcs: WCS, pixels: int) -> tuple[Array, Array]:
    """Longitudes and latitudes (rows, columns) of the pixel centres of a CCD."""
    x, y = np.meshgrid(np.arange(pixels // 2), np.arange(pixels))
    lon, lat = wcs.all_pix2world(x, y, 0)
    return np.asarray(lon), np.asarray(lat)


def pixel_scale_arcsec(wcs: WCS, pixels: int) -> float:
    """Root of the mean area of a pixel, from the outline of the CCD in the tangent plane of its first corner."""
    t = np.linspace(0.0, 1.0, 16, endpoint=False)
    x = np.concatenate((t, np.ones(16), 1.0 - t, np.zeros(16))) * (pixels // 2) - 0.5
    y = np.concatenate((np.zeros(16), t, np.ones(16), 1.0 - t)) * pixels - 0.5
    edge = unit_vectors(*wcs.all_pix2world(x, y, 0))
    normal = edge[0]
    east = np.cross((0.0, 0.0, 1.0), normal)
    east /= np.linalg.norm(east)
    plane = np.stack((edge @ east, edge @ np.cross(normal, east)), axis=1) / (edge @ normal)[:, None]
    return math.sqrt(abs(polygon_area_sr(plane)) / (pixels * (pixels // 2))) / ARCSEC


# -- pixels ---------------------------------------------------------------------------------------------------


def quality_codes(roles: dict[str, NDArray[np.bool_]]) -> NDArray[np.int32]:
    """One code a pixel: 1 bad, 3 saturated, 4 bleed, 5 cosmic ray; where several hold, the first."""
    order = (("column", 1), ("core", 3), ("trail", 4), ("cosmic", 5))
    return np.select([roles[name] for name, _ in order], [code for _, code in order], 0).astype(np.int32)


class Ccd(NamedTuple):
    """What one CCD of an exposure sees: its cards, noise, hits and values, ADU."""

    header: Header
    rms: float
    roles: dict[str, NDArray[np.bool_]]
    image: Array


def look(shot: Shot, index: int, pixels: int) -> Ccd:
    """One CCD by its place in the camera, with the sky left in and no defects painted yet."""
    one = CAMERA.detectors[index]
    header = ccd_header(shot, one, pixels)
    wcs = WCS(header)
    scale, (lon, lat) = pixel_scale_arcsec(wcs, pixels), pixel_angles_deg(wcs, pixels)
    rms = shot.rms(index, scale)
    for axis, text in enumerate(("system=image", "wtype=tpv axtype=ra", "wtype=tpv axtype=dec")):
        header[f"WAT{axis}_001"] = text
    header["FWHM"], header["ELLIPTIC"] = shot.fwhm_arcsec / scale, 0.05
    image = shot.background(lon, lat) + rms * shot.noise(index, lon.shape)
    return Ccd(header, rms, shot.roles(index, lon, lat), image)


def places(ccds: Collection[str] | None) -> list[int]:
    """Places in the camera of the CCDs of these names (None = all), in order of CCDNUM."""
    chosen = [i for i, one in enumerate(CAMERA.detectors) if ccds is None or one.name in ccds]
    return sorted(chosen, key=lambda i: CCDS[CAMERA.detectors[i].name])


def write_community(
    folder: Path,
    sky: Sky,
    *,
    pixels: int = 64,
    ccds: Collection[str] | None = None,
    camera: Camera = CAMERA,
) -> None:
    """Write the three files of every exposure.

    Parameters
    ----------
    folder : Path
    sky : Sky
    pixels : int
        Rows of a CCD, even; the columns are half as many.
    ccds : collection of str, optional
        Names of the CCDs that are written.
    camera : Camera
        With all its detectors; its bands and dithers are written.
    """
    for shot in community_shots(sky, camera):
        made = [_ccd(shot, index, pixels) for index in places(ccds)]
        for kind, place in (("i", 1), ("d", 2), ("w", 3)):
            with fits_file(folder / community_name(shot, kind)) as writer:
                writer.add(fits.PrimaryHDU(header=_primary(shot, kind)))
                for ccd in made:
                    add_compressed(writer, ccd[0], ccd[place], kind == "i")


def community_name(shot: Shot, kind: str) -> str:
    """Name of a file; kind i, d or w."""
    band = shot.band.name.removeprefix("DECAM_")
    return f"c4d_{_begin(shot):%y%m%d_%H%M%S}_oo{kind}_{band}_v1.fits.fz"


def _ccd(shot: Shot, index: int, pixels: int) -> tuple[Header, Array, NDArray[Any], Array]:
    """Header, image, quality and weight of one CCD."""
    one, seen = CAMERA.detectors[index], look(shot, index, pixels)
    codes = quality_codes(seen.roles)
    image = np.where(codes == 3, seen.image + 300.0 * seen.rms, seen.image)
    weight = np.where(codes == 0, seen.rms**-2.0, 0.0)
    header = detector_cards(one)
    header.extend(seen.header, strip=False)
    header["SATURATE"] = 300.0 * seen.rms
    header["AVSKY"], header["AVSIG"] = sky_level(shot, one), seen.rms
    return header, image.astype(np.float32), codes, weight.astype(np.float32)


def add_compressed(writer: FitsWriter, header: Header, data: NDArray[Any], method: int = 0) -> None:
    """Append an image as fpack does, row by row.

    Parameters
    ----------
    writer : FitsWriter
    header : Header
        Its cards.
    data : array
        Integers are packed with RICE.
    method : int
        Of floats: quantised with a dither and packed with RICE (1; 2 keeps zeros), or kept as they are (0).
    """
    how: dict[str, Any] = {"compression_type": "RICE_1"}
    if data.dtype.kind == "f" and method:
        how |= {"quantize_level": 4.0, "quantize_method": method, "dither_seed": header.get("CCDNUM", 1)}
    elif data.dtype.kind == "f":
        how = {"compression_type": "GZIP_2", "quantize_level": 0.0}
    writer.add_tiles(header, data, **how)


# -- headers --------------------------------------------------------------------------------------------------


def _begin(shot: Shot) -> datetime:
    return MJD_EPOCH + timedelta(days=shot.mjd)


def exposure_number(shot: Shot) -> int:
    """EXPNUM."""
    return 840000 + 1000 * list(CAMERA.bands).index(shot.band.name) + shot.number


def observation_cards(shot: Shot) -> Header:
    """Cards of the camera and telescope that both pipelines keep."""
    begin, seconds = _begin(shot), shot.band.exposure_time_s
    header = Header(
        [
            ("OBS-LONG", -SITE_DEG[0], "[deg] Observatory east longitude"),
            ("TELESCOP", "CTIO 4.0-m telescope", "Telescope name"),
            ("OBSERVAT", "CTIO", "Observatory name"),
            ("OBS-LAT", SITE_DEG[1], "[deg] Observatory latitude"),
            ("OBS-ELEV", 2215.0, "[m] Observatory elevation"),
            ("INSTRUME", "DECam", "Instrument used to obtain these data"),
            ("EXPREQ", seconds, "[s] Requested exposure duration"),
            ("EXPTIME", seconds, "[s] Exposure duration"),
            ("DARKTIME", seconds + 0.7646399, "[s] Dark time"),
            ("OBSID", f"ct4m{begin:%Y%m%dt%H%M%S}", "Unique Observation ID"),
            ("DATE-OBS", f"{begin:%Y-%m-%dT%H:%M:%S.%f}", "Observation start (UTC)"),
            ("TIME-OBS", f"{begin:%H:%M:%S.%f}", "Time of observation start (UTC)"),
            ("MJD-OBS", round(shot.mjd, 8), "MJD of observation start"),
            ("TIMESYS", "UTC", "Time system"),
            ("EXPNUM", exposure_number(shot), "DECam exposure number"),
            ("OBSTYPE", "object", "Observation type"),
            ("PROGRAM", "vmpz simulate", "Program name"),
            ("PROPID", "2026A-0001", "Proposal ID"),
            ("FILTER", FILTERS[shot.band.name], "Unique filter"),
            ("TELEQUIN", 2000.0, "Equinox of telescope coordinates"),
            ("TELSTAT", "Track", "Telescope tracking status"),
            ("TELRA", sexagesimal(shot.lon_deg / 15.0, 3), "[HH:MM:SS] Telescope RA"),
            ("TELDEC", sexagesimal(shot.lat_deg, 3, signed=True), "[DD:MM:SS] Telescope DEC"),
            ("HA", sexagesimal(hour_angle_deg(shot) / 15.0, 3, signed=True), "[HH:MM:SS] Hour angle"),
            ("ZD", round(zenith_distance_deg(shot), 2), "[deg] Telescope zenith distance"),
        ]
    )
    lacks = shot.number == WITHOUT_AIRMASS and shot.band.name == next(iter(CAMERA.bands))
    if not lacks and math.isfinite(airmass(shot)):
        header["AIRMASS"] = (round(airmass(shot), 2), "Airmass")
    return header


def sexagesimal(value: float, digits: int, signed: bool = False) -> str:
    """Hours or degrees as h:m:s with so many digits of the second."""
    ticks = round(abs(value) * 3600.0 * 10**digits)
    seconds, rest = divmod(ticks, 10**digits)
    sign = "-" if value < 0 else "+" if signed else ""
    return f"{sign}{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{rest:0{digits}d}"


def _primary(shot: Shot, kind: str) -> Header:
    product = {"i": "image", "d": "dqmask", "w": "wtmap"}[kind]
    magzero = zero_point_mag(shot)
    header = Header(
        [
            ("DATE", "2026-01-15T08:30:00", "Date FITS file was generated"),
            ("ORIGIN", "NOAO-IRAF FITS Image Kernel July 2003", "FITS file originator"),
            ("PROCTYPE", "InstCal", "Data processing level"),
            ("PRODTYPE", product, "Data product type"),
            ("PIXSCAL1", 0.27, "[arcsec/pixel] Pixel scale, axis 1"),
            ("PIXSCAL2", 0.27, "[arcsec/pixel] Pixel scale, axis 2"),
        ]
    )
    header.extend(observation_cards(shot), strip=False)
    more: Sequence[tuple[Any, ...]] = (
        ("MJD-END", round(shot.mjd + shot.band.exposure_time_s / 86400.0, 8), "Exposure end"),
        ("DTNSANAM", community_name(shot, kind), "file name in archive"),
        ("RADESYS", "FK5", "Default coordinate system"),
        ("EQUINOX", 2000.0, "Default coordinate system"),
        ("PHOTFLAG", 1, "Night Photometric (1) or not (0)"),
        ("BAND", shot.band.name.removeprefix("DECAM_"), ""),
        ("PHOTREF", "PS1", "Photometric reference"),
        ("MAGZERO", magzero, "[mag] Magnitude zero point"),
        ("MAGZPT", round(magzero - 2.5 * math.log10(shot.band.exposure_time_s), 3), "[mag] per second"),
        ("PLVER", "V4.8.2", "Pipeline version"),
        ("WCSCAL", "Successful", "WCS calibration"),
        ("CENTRA", shot.lon_deg, "[deg] Frame center"),
        ("CENTDEC", shot.lat_deg, "[deg] Frame center"),
    )
    header.extend(more, strip=False)
    return header


def detector_cards(one: Detector) -> Header:
    """Cards of a CCD that both pipelines keep."""
    return Header(
        [
            ("EXTNAME", one.name, "Extension name"),
            ("INHERIT", True, "Inherits global header"),
            ("CCDNUM", CCDS[one.name], "CCD number"),
            ("DETPOS", one.name, "detector position ID"),
            ("GAINA", GAIN, "[electrons/adu] Gain for amp A"),
            ("RDNOISEA", 6.1, "[electrons] Read noise for amp A"),
            ("GAINB", GAIN, "[electrons/adu] Gain for amp B"),
            ("RDNOISEB", 6.0, "[electrons] Read noise for amp B"),
        ]
    )
