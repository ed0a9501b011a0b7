"""Visits and coadds of LSST and HSC as their pipelines write them.

LSST is the central raft of LSSTCam (R22, nine detectors) in files like those of a data release: tile-compressed,
calibrated to nJy, seeing and sky in a table of visits. HSC is the inner 20 of its 104 CCDs in two forms: the r band
as the pipelines of the first releases wrote it (FLUXMAG0, TIME-MID, extensions without names), the i band as later
ones do (a PhotoCalib in the archive, DATE-AVG in TAI); seeing and sky stand in the headers of both.

Detectors have their real names, numbers and places; few pixels fill them, so a pixel is large. The radial distortion
of each camera is written as TAN-SIP, which then defines where a pixel is. Detectors of odd numbers count the later
mask planes the other way round, as files of different processes do.

References: lsst/obs_lsst (policy of R22, radial distortion), lsst/obs_subaru (camera of HSC).
"""

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.io.fits import Header
from astropy.wcs import WCS
from numpy.typing import NDArray

from vmpz.simulate.bands import Band
from vmpz.simulate.exposures import Camera, Detector, Shot, flag_words, shots
from vmpz.simulate.field import Sky
from vmpz.simulate.fitsfile import fits_file, packed
from vmpz.simulate.geometry import ARCSEC
from vmpz.simulate.headers import tan_header
from vmpz.simulate.lsstcards import (
    NJY_ZERO_POINT,
    PATCHES,
    archive,
    day_of,
    image_cards,
    patch_cards,
    visit_cards,
)
from vmpz.sky.covers import unit_vectors

__all__ = [
    "HSC_CAMERA",
    "LSST_CAMERA",
    "Scene",
    "coadd_zero_point",
    "detector_number",
    "hsc_inputs",
    "lsst_inputs",
    "patch_scene",
    "plane_numbers",
    "scene",
    "sky_level",
    "visit_of",
    "write_hsc",
    "write_lsst",
]

Array = NDArray[np.floating[Any]]

MM = 20.005867576692737
"""Plate scale of LSSTCam, arcsec per mm."""
HSC_PIXEL = 0.168
FIXED_PLANES = ("BAD", "SAT", "INTRP", "CR", "EDGE", "DETECTED", "DETECTED_NEGATIVE", "SUSPECT", "NO_DATA")
LATER_PLANES = {
    "LSSTCam": ("CROSSTALK", "NOT_DEBLENDED", "SPIKE", "STREAK", "UNMASKEDNAN", "VIGNETTED"),
    "HSC": ("BRIGHT_OBJECT", "CROSSTALK", "NOT_DEBLENDED", "UNMASKEDNAN"),
}
COADD_PLANES = ("CLIPPED", "INEXACT_PSF", "REJECTED", "SENSOR_EDGE")
ROLES = {
    "LSSTCam": {
        "core": ("SAT", "DETECTED"),
        "halo": ("SPIKE", "DETECTED"),
        "trail": ("STREAK",),
        "column": ("BAD", "INTRP"),
        "cosmic": ("CR", "INTRP"),
        "edge": ("EDGE",),
    },
    "HSC": {
        "core": ("SAT", "DETECTED"),
        "halo": ("BRIGHT_OBJECT",),
        "trail": ("CROSSTALK",),
        "column": ("BAD", "INTRP"),
        "cosmic": ("CR", "INTRP"),
        "edge": ("EDGE",),
    },
}
"""Camera, and what hits a pixel, to the mask planes that it sets."""
DISTORTION = {"LSSTCam": -8.33713991e-09 / MM**2, "HSC": -1.0957097072e-10 / HSC_PIXEL**2}
"""Cubic term of the radial distortion, per square arcsec."""


def _raft() -> tuple[Detector, ...]:
    """R22: E2V detectors of 4004 x 4096 pixels of 0.01 mm, 42.25 mm apart."""
    half_x, half_y, step = 0.5 * 40.04 * MM, 0.5 * 40.96 * MM, 42.25 * MM
    return tuple(
        Detector(f"R22_S{row}{column}", x - half_x, x + half_x, y - half_y, y + half_y)
        for row in range(3)
        for column in range(3)
        for x, y in [((column - 1) * step, (row - 1) * step)]
    )


def _ccds() -> tuple[Detector, ...]:
    """CCDs 32-35, 40-43, 48-51, 56-59 and 64-67 of 2048 x 4176 pixels: five columns, four rows."""
    half_x, half_y = 0.5 * 2048 * HSC_PIXEL, 0.5 * 4176 * HSC_PIXEL
    rows = (-6402.0 * HSC_PIXEL, -1925.5 * HSC_PIXEL, 2324.5 * HSC_PIXEL, 6801.5 * HSC_PIXEL)
    made = []
    for column in range(5):
        x = (2 - column) * 2123.0 * HSC_PIXEL
        names = (
            f"0_{21 - 4 * column:02d}", f"0_{20 - 4 * column:02d}",
            f"1_{4 + 4 * column:02d}", f"1_{5 + 4 * column:02d}",
        )  # fmt: skip
        made += [
            Detector(name, x - half_x, x + half_x, y - half_y, y + half_y)
            for name, y in zip(names, rows, strict=True)
        ]
    return tuple(made)


LSST_CAMERA = Camera(
    "LSSTCam",
    _raft(),
    {
        "LSST_r": Band("LSST_r", "r_57", "LSSTCam", 31.4, 10.5, 480.0, 0.85, 41, 30.0),
        "LSST_i": Band("LSST_i", "i_39", "LSSTCam", 31.4, 15.0, 700.0, 0.80, 41, 30.0),
    },
    dithers=2,
    site_deg=(-70.749417, -30.244639),
    first_mjd=60981.2,
)
HSC_CAMERA = Camera(
    "HSC",
    _ccds(),
    {
        "HSC_r": Band("HSC_r", "HSC-R", "HSC", 32.9, 12.0, 950.0, 0.70, 43, 150.0),
        "HSC_i": Band("HSC_i", "HSC-I2", "HSC", 33.1, 15.0, 1400.0, 0.60, 43, 200.0),
    },
    dithers=2,
    site_deg=(-155.476667, 19.825556),
    first_mjd=58140.3,
)
OLD_BANDS = ("HSC_r",)
"""Bands that are written as by the pipelines of the first releases."""


# -- what the files hold ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scene:
    """What the file of a detector or a patch holds.

    Attributes
    ----------
    wcs : Header
        Cards of the WCS.
    image, variance : float32 array (rows, columns)
    mask : int32 array (rows, columns)
    numbers : dict of str to int
        Bit of each mask plane.
    pixel_arcsec : float
        Side of a pixel at the reference point.
    noise, background : float
        Of a pixel; the background at the middle, before it was subtracted.
    """

    wcs: Header
    image: NDArray[np.float32]
    variance: NDArray[np.float32]
    mask: NDArray[np.int32]
    numbers: dict[str, int]
    pixel_arcsec: float
    noise: float
    background: float


def detector_number(camera: Camera, index: int) -> int:
    """Number of a detector by its place in the camera here."""
    return 90 + index if camera.instrument == "LSSTCam" else 32 + 8 * (index // 4) + index % 4


def plane_numbers(camera: Camera, number: int) -> dict[str, int]:
    """Mask planes of a detector with their bits."""
    later = LATER_PLANES[camera.instrument]
    return {name: bit for bit, name in enumerate((*FIXED_PLANES, *(later[::-1] if number % 2 else later)))}


def visit_of(shot: Shot) -> int:
    """The number of a visit: day and sequence for LSST, even numbers for HSC."""
    place = list(shot.camera.bands).index(shot.band.name)
    if shot.camera.instrument == "LSSTCam":
        return day_of(shot.mjd) * 100_000 + 100 * place + shot.number + 1
    return 1_000 * (place + 1) + 2 * shot.number


def scene(shot: Shot, index: int, pixels: int) -> Scene:
    """What a detector of an exposure sees, in `pixels` columns and as many rows as keep pixels square."""
    header, shape, pixel = _grid(shot, index, pixels)
    lon, lat = _sky(header, shape)
    numbers = plane_numbers(shot.camera, detector_number(shot.camera, index))
    mask = flag_words(shot.roles(index, lon, lat), ROLES[shot.camera.instrument], numbers)
    noise = shot.rms(index, pixel)
    image = (noise * shot.noise(index, shape)).astype(np.float32)
    variance = np.full(shape, noise**2, np.float32)
    return Scene(header, image, variance, mask, numbers, pixel, noise, sky_level(shot, header, shape))


def sky_level(shot: Shot, wcs: Header, shape: tuple[int, int]) -> float:
    """Background per pixel in the middle of a detector, before it was subtracted."""
    lon, lat = WCS(wcs).all_pix2world(0.5 * (shape[1] - 1), 0.5 * (shape[0] - 1), 0)
    return float(shot.background(np.asarray(lon), np.asarray(lat)))


def patch_scene(camera: Camera, sky: Sky, band: Band, pixels: int) -> Scene:
    """A patch over the western edge of the observed area: no data beyond it."""
    width = PATCHES[camera.instrument].width_arcsec
    x0, _, y0, y1 = sky.observed
    lon, lat = sky.plane.angles(x0 + 0.3 * width * ARCSEC, 0.5 * (y0 + y1))
    shape, pixel = (pixels, pixels), width / pixels
    header = _patch_wcs(float(lon), float(lat), shape, pixel)
    x, _ = sky.plane.project(unit_vectors(*_sky(header, shape)))
    empty = np.asarray(x < x0)
    numbers = {name: bit for bit, name in enumerate((*FIXED_PLANES, *COADD_PLANES))}
    mask = np.where(empty, 1 << numbers["NO_DATA"], 0).astype(np.int32)
    mask[~empty & (np.asarray(x) < x0 + 2.0 * pixel * ARCSEC)] |= (
        1 << numbers["SENSOR_EDGE"] | 1 << numbers["INEXACT_PSF"]
    )
    to_coadd = 10.0 ** (0.4 * (coadd_zero_point(camera, band) - band.zero_point_mag))
    noise = 0.5 * to_coadd * band.rms * pixel / 0.1
    image, variance = np.zeros(shape, np.float32), np.full(shape, noise**2, np.float32)
    image[empty] = variance[empty] = np.nan
    return Scene(header, image, variance, mask, numbers, pixel, noise, 0.0)


def coadd_zero_point(camera: Camera, band: Band) -> float:
    """AB zero point of a coadd: nJy for LSST, 27 for HSC."""
    return band.zero_point_mag if camera.instrument == "LSSTCam" else 27.0


def visit_table(sky: Sky, pixels: int, camera: Camera = LSST_CAMERA) -> dict[str, NDArray[Any]]:
    """Columns of the table of visits of LSST, one row a detector."""
    rows: list[tuple[Any, ...]] = []
    for shot in shots(sky, camera):
        for index in range(len(camera.detectors)):
            wcs, shape, pixel = _grid(shot, index, pixels)
            sigma = shot.fwhm_arcsec / math.sqrt(8.0 * math.log(2.0)) / pixel
            rows.append(
                (visit_of(shot), detector_number(camera, index), shot.band.token, sigma,
                 sky_level(shot, wcs, shape), shot.rms(index, pixel), shot.band.zero_point_mag, pixel)
            )  # fmt: skip
    names = (
        "visitId",
        "detector",
        "physical_filter",
        "psfSigma",
        "skyBg",
        "skyNoise",
        "zeroPoint",
        "pixelScale",
    )
    return {name: np.array(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def _grid(shot: Shot, index: int, pixels: int) -> tuple[Header, tuple[int, int], float]:
    """WCS, shape, and side of a pixel (arcsec) of a detector."""
    one = shot.camera.detectors[index]
    shape = (round(pixels * (one.y1 - one.y0) / (one.x1 - one.x0)), pixels)
    header = shot.wcs_header(one, shape)
    step = (one.x1 - one.x0) / shape[1], (one.y1 - one.y0) / shape[0]
    _add_sip(header, DISTORTION[shot.camera.instrument], *step)
    return header, shape, math.sqrt(step[0] * step[1])


def _add_sip(header: Header, cubic: float, x_arcsec: float, y_arcsec: float) -> None:
    """Turn TAN cards into TAN-SIP with the term r -> r (1 + cubic r^2), and its inverse to first order."""
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN-SIP", "DEC--TAN-SIP"
    for letters, sign in (("A", 1.0), ("B", 1.0), ("AP", -1.0), ("BP", -1.0)):
        along, across = ((3, 0), (1, 2)) if letters[0] == "A" else ((2, 1), (0, 3))
        header[f"{letters}_ORDER"] = 3
        header[f"{letters}_{along[0]}_{along[1]}"] = sign * cubic * x_arcsec**2
        header[f"{letters}_{across[0]}_{across[1]}"] = sign * cubic * y_arcsec**2


def _sky(header: Header, shape: tuple[int, int]) -> tuple[Array, Array]:
    """Longitude and latitude (degrees) of the centres of all pixels."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    lon, lat = WCS(header).all_pix2world(x.ravel(), y.ravel(), 0)
    return lon.reshape(shape), lat.reshape(shape)


def _patch_wcs(lon_deg: float, lat_deg: float, shape: tuple[int, int], pixel_arcsec: float) -> Header:
    """TAN about the middle of the tract, half a degree south of the patch, as all patches of a tract share it."""
    step = pixel_arcsec / 3600.0
    crpix = 0.5 * (shape[1] + 1), 0.5 * (shape[0] + 1) - 0.5 / step
    return tan_header((lon_deg, lat_deg - 0.5), crpix, step)


# -- files ------------------------------------------------------------------------------------------------------


def write_lsst(
    folder: Path, sky: Sky, *, pixels: int = 64, compress: bool = True, camera: Camera = LSST_CAMERA
) -> None:
    """Visits, a coadd patch a band, and the table of visits of LSST below a folder."""
    for shot in shots(sky, camera):
        visit, letter = visit_of(shot), shot.band.name[-1]
        place = folder / "visit_image" / str(day_of(shot.mjd)) / letter / shot.band.token / str(visit)
        for index, one in enumerate(camera.detectors):
            name = f"visit_image_LSSTCam_{letter}_{shot.band.token}_{visit}_{one.name}_LSSTCam_runs_SIM.fits"
            _write_detector(place / name, shot, index, pixels, compress)
    for band in camera.bands.values():
        name = (
            f"deep_coadd_{PATCHES['LSSTCam'].name('_')}_{band.name[-1]}_lsst_cells_v1_LSSTCam_runs_SIM.fits"
        )
        _write_patch(folder / "deep_coadd" / name, camera, sky, band, pixels, compress)
    columns = [_column(name, values) for name, values in visit_table(sky, pixels, camera).items()]
    with fits_file(folder / "ccdVisitTable.fits") as file:
        file.add(fits.PrimaryHDU())
        file.add(fits.BinTableHDU.from_columns(columns))


def write_hsc(
    folder: Path, sky: Sky, *, pixels: int = 64, compress: bool = False, camera: Camera = HSC_CAMERA
) -> None:
    """CCDs of visits and a coadd patch a band of HSC below a folder."""
    for shot in shots(sky, camera):
        place = folder / f"{shot.pointing:05d}" / shot.band.token / "corr"
        for index in range(len(camera.detectors)):
            number = detector_number(camera, index)
            name = f"CORR-{visit_of(shot):07d}-{number:03d}.fits"
            _write_detector(place / name, shot, index, pixels, compress)
    patch = PATCHES["HSC"]
    for band in camera.bands.values():
        token = band.token.removesuffix("2")
        place = folder / "deepCoadd-results" / token / str(patch.tract) / patch.patch
        name = f"calexp-{token}-{patch.name('-')}.fits"
        _write_patch(place / name, camera, sky, band, pixels, compress)


def lsst_inputs(location: str) -> str:
    """The block of a survey file that reads what `write_lsst` wrote there."""
    return (
        f'[[inputs]]\nreader = "lsst"\nlocation = "{location}"\n[inputs.options]\n'
        'summary = "ccdVisitTable.fits"\n'
    )


def hsc_inputs(location: str) -> str:
    """The block of a survey file that reads what `write_hsc` wrote there."""
    return f'[[inputs]]\nreader = "lsst"\nlocation = "{location}"\n'


def _write_detector(path: Path, shot: Shot, index: int, pixels: int, compress: bool) -> None:
    seen = scene(shot, index, pixels)
    old = shot.band.name in OLD_BANDS
    primary = visit_cards(shot, index, visit_of(shot), detector_number(shot.camera, index), old=old)
    if shot.camera.instrument == "HSC":
        primary["SKYLEVEL"], primary["SKYSIGMA"] = seen.background, seen.noise
        primary["HIERARCH SEEING_MODE"] = shot.fwhm_arcsec / seen.pixel_arcsec
    _write(path, primary, seen, shot.band.zero_point_mag, compress, old=old)


def _write_patch(path: Path, camera: Camera, sky: Sky, band: Band, pixels: int, compress: bool) -> None:
    old = band.name in OLD_BANDS
    seen, zero_point = patch_scene(camera, sky, band, pixels), coadd_zero_point(camera, band)
    primary = patch_cards(camera.instrument, band, zero_point, old=old)
    _write(path, primary, seen, zero_point, compress, old=old)


def _write(
    path: Path, primary: Header, seen: Scene, zero_point_mag: float, compress: bool, *, old: bool
) -> None:
    """Primary header, image, mask, variance, archive."""
    unit = "nJy" if zero_point_mag == NJY_ZERO_POINT else None
    path.parent.mkdir(parents=True, exist_ok=True)
    with fits_file(path) as file:
        file.add(fits.PrimaryHDU(header=primary))
        for kind, data in (("IMAGE", seen.image), ("MASK", seen.mask), ("VARIANCE", seen.variance)):
            header = image_cards(seen.wcs, kind, unit, seen.numbers, named=not old)
            if compress:
                method = "RICE_1" if kind == "MASK" else "GZIP_2"
                file.add_tiles(header, data, compression_type=method, quantize_level=0.0)
            else:
                file.add(fits.ImageHDU(data, header))
        for table in () if old else _archive(zero_point_mag):
            file.copy(*table)


@cache
def _archive(zero_point_mag: float) -> tuple[tuple[Header, memoryview], ...]:
    """The tables behind the images, the same in every file of one zero point."""
    return tuple(packed(unit) for unit in archive(zero_point_mag))


def _column(name: str, values: NDArray[Any]) -> fits.Column:
    kind = {"i": "K", "f": "D"}.get(values.dtype.kind, f"{values.dtype.itemsize // 4}A")
    return fits.Column(name, kind, array=values)
