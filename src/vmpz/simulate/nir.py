"""Exposures of the NISP photometer in the form of the public calibrated frames.

Four files an exposure and band: image and background (16 detectors x SCI, RMS, DQ), PSF image, PSF model; and their
descriptor. The focal plane is four rows of four detectors of 612 arcsec, DET11 to DET44; the two rows whose names
begin with 1 and 2 are turned by 180 degrees against the others, as their readout is. Distortion is radial, a SIP
polynomial of 0.2 per cent at 20 arcmin. The background file stands in reverse order and keeps an older astrometry, half
an arcsecond off and without distortion. The spacecraft moves about the second Lagrange point; no header states the
angle to the Sun.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.io.fits import Header
from astropy.wcs import WCS
from numpy.typing import NDArray

from vmpz.bits import bit_table
from vmpz.simulate.bands import BANDS, FLAG_ROLES, INSTRUMENTS, Band
from vmpz.simulate.descriptors import (
    MJD_EPOCH,
    add_element,
    add_polygon,
    finish_descriptor,
    root_element,
    time_text,
)
from vmpz.simulate.exposures import Camera, Detector, Shot, flag_words, grid_of_detectors, shots
from vmpz.simulate.field import Sky
from vmpz.simulate.fitsfile import Compression, fits_file
from vmpz.simulate.headers import START, instant
from vmpz.simulate.orbit import spacecraft_km
from vmpz.simulate.stamps import gaussian_stamps, middle_turn

__all__ = [
    "CAMERA",
    "FOLDER",
    "INPUTS",
    "detector_header",
    "detector_planes",
    "exposure_id",
    "file_name",
    "write_exposure",
    "write_nir",
]

Array = NDArray[np.floating[Any]]
Planes = dict[str, NDArray[Any]]
Layers = Iterator[tuple[Detector, str, Header, NDArray[Any]]]

FOLDER = "NIR"
INPUTS = f"""
[[inputs]]
reader = "euclid-nir"
location = "{FOLDER}"
"""

DISTORTION = 2e-3
DISTORTION_AT_ARCSEC = 1200.0
OLD_ASTROMETRY_DEG = (0.4 / 3600.0, -0.3 / 3600.0)
ELAPSED_S = 112.0
"""From the first to the last read of an exposure, longer than what is integrated."""
FIRST_OBSERVATION = 2681
SEQUENCE = ("NIR_J", "NIR_H", "NIR_Y")
"""Order of the bands in a pointing."""
KINDS = {"IMAGE": "fits", "IMAGE-BKG": "fits", "PSF-I": "fits", "PSF-M": "psf"}
STORAGES = {
    "IMAGE": "DataStorage",
    "IMAGE-BKG": "BackgroundStorage",
    "PSF-I": "PsfImageStorage",
    "PSF-M": "PsfModelStorage",
}
STAMP_PX = 61
SAMPLE_ARCSEC = 0.1
PIPELINE = "NIR_ProcessField_EUCLID_2.0.3"


def _camera() -> Camera:
    one = INSTRUMENTS["NISP"]
    names = [[f"{row}{column}" for column in range(1, 5)] for row in range(1, 5)]
    places = grid_of_detectors(names, one.width_arcsec, one.height_arcsec, one.gap_x_arcsec, one.gap_y_arcsec)
    levels = {"NIR_Y": (29.77, 34.0), "NIR_J": (30.05, 38.0), "NIR_H": (29.95, 33.0)}
    bands = {
        # One exposure has twice the noise of the mean of four.
        name: replace(BANDS[name], zero_point_mag=zero_point, rms=2.0 * BANDS[name].rms, background=level)
        for name, (zero_point, level) in levels.items()
    }
    return Camera("NISP", places, bands)


CAMERA = _camera()


def write_nir(
    folder: Path,
    sky: Sky,
    *,
    pixels: int = 64,
    compress: Compression = None,
    xml: bool = True,
    camera: Camera = CAMERA,
) -> None:
    """Write all exposures of a sky below ``folder/NIR``, a folder an observation.

    Parameters
    ----------
    folder : Path
    sky : Sky
    pixels : int
        Along a side of a detector; 2040 are 0.3 arcsec.
    compress : {None, 'gz'}
        Of images and backgrounds.
    xml : bool
        Whether descriptors are written.
    camera : Camera
        The bands and detectors to write.
    """
    for shot in shots(sky, camera):
        write_exposure(folder / FOLDER, shot, pixels=pixels, compress=compress, xml=xml)


def write_exposure(
    folder: Path, shot: Shot, *, pixels: int = 64, compress: Compression = None, xml: bool = True
) -> dict[str, Path]:
    """Write the files of one exposure into the folder of its observation; returns kind to path."""
    names = {kind: file_name(shot, kind) for kind in KINDS}
    paths = {kind: folder / str(_observation(shot)) / name for kind, name in names.items()}
    headers = [detector_header(shot, index, pixels) for index in range(len(shot.camera.detectors))]
    planes = [detector_planes(shot, index, pixels) for index in range(len(headers))]
    image, background = _image(shot, headers, planes), _background(shot, headers, planes)
    _write_detectors(paths["IMAGE"], shot, "calibratedScienceFrame", image, compress)
    _write_detectors(paths["IMAGE-BKG"], shot, "backgroundModel", background, compress)
    stamps = [_stamp(shot, header, pixels) for header in headers]
    _write_psf_image(paths["PSF-I"], shot, stamps, _samples(headers[0], pixels))
    _write_psf_model(paths["PSF-M"], shot, headers, stamps, pixels)
    if compress:
        for kind in ("IMAGE", "IMAGE-BKG"):
            paths[kind] = paths[kind].with_name(f"{names[kind]}.{compress}")
    if xml:
        stored = {kind: path.name for kind, path in paths.items()}
        paths["XML"] = paths["IMAGE"].with_name(f"{_stem(shot, 'DpdNirCalibratedFrame')}.xml")
        _write_descriptor(paths["XML"], shot, headers, pixels, stored)
    return paths


def _observation(shot: Shot) -> int:
    return FIRST_OBSERVATION + shot.pointing


def _letter(shot: Shot) -> str:
    return shot.band.name[-1]


def exposure_id(shot: Shot) -> str:
    """The id of an exposure's frame: band, observation and number as in its file names."""
    return f"{shot.band.name}-{_observation(shot)}-{shot.dither}"


def file_name(shot: Shot, kind: str) -> str:
    """Name of a file of an exposure: IMAGE, IMAGE-BKG, PSF-I or PSF-M."""
    time = instant("time", shot.sky.seed, exposure_id(shot), kind).strftime("%Y%m%dT%H%M%S.%f")
    return f"{_stem(shot, f'EUC_NIR_W-CAL-{kind}')}_{time}Z.{KINDS[kind]}"


def _stem(shot: Shot, prefix: str) -> str:
    return f"{prefix}_{_letter(shot)}-{_observation(shot)}-{shot.dither}"


# -- what a detector sees -----------------------------------------------------------------------------------------


def detector_header(shot: Shot, index: int, pixels: int) -> Header:
    """TAN-SIP cards of a detector, by its place in the camera."""
    one = shot.camera.detectors[index]
    header = shot.wcs_header(one, (pixels, pixels))
    if one.name[0] in "12":
        for key in ("CRPIX1", "CRPIX2"):
            header[key] = pixels + 1.0 - header[key]
        for key in ("CD1_1", "CD1_2", "CD2_1", "CD2_2"):
            header[key] = -header[key]
    side = (one.x1 - one.x0) / pixels
    cubic = DISTORTION * (side / DISTORTION_AT_ARCSEC) ** 2
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN-SIP", "DEC--TAN-SIP"
    for axis, terms in (("A", ("3_0", "1_2")), ("B", ("0_3", "2_1"))):
        header[f"{axis}_ORDER"] = 3
        for term in terms:
            header[f"{axis}_{term}"] = cubic
    return header


def detector_planes(shot: Shot, index: int, pixels: int) -> Planes:
    """IMAGE, RMS, FLAG and BACKGROUND of a detector, (pixels, pixels)."""
    shape = (pixels, pixels)
    one = shot.camera.detectors[index]
    y, x = np.mgrid[:pixels, :pixels]
    lon, lat = WCS(detector_header(shot, index, pixels)).all_pix2world(x, y, 0)
    background = shot.background(lon, lat)
    rms = shot.rms(index, (one.x1 - one.x0) / pixels)
    return {
        "IMAGE": (background + rms * shot.noise(index, shape)).astype(np.float32),
        "RMS": np.full(shape, rms, np.float32),
        "FLAG": _flags(shot.roles(index, lon, lat)),
        "BACKGROUND": background.astype(np.float32),
    }


def _flags(roles: Mapping[str, NDArray[np.bool_]]) -> NDArray[np.int32]:
    """As in real frames nearly all pixels are NLINEAR, half of them DARKNODET as well."""
    number = {bit.name: bit.number for bit in bit_table("nir").bits}
    names = {role: bits for role, bits in FLAG_ROLES["NISP"].items() if role in roles}
    words = flag_words(roles, {**names, "edge": ("INVALID",)}, number) | 1 << number["NLINEAR"]
    words[1::2] |= 1 << number["DARKNODET"]
    return words


def _samples(header: Header, pixels: int) -> int:
    """Samples of a PSF stamp along a pixel: about one for every 0.1 arcsec."""
    side = math.sqrt(abs(header["CD1_1"] * header["CD2_2"] - header["CD1_2"] * header["CD2_1"])) * 3600.0
    return max(1, round(side / SAMPLE_ARCSEC))


def _stamp(shot: Shot, header: Header, pixels: int) -> Array:
    """The PSF in the middle of a detector: a Gaussian on the sky, sampled along the axes of the detector."""
    turn = middle_turn(WCS(header), (pixels, pixels)) / _samples(header, pixels)
    return np.asarray(gaussian_stamps(shot, turn[None], STAMP_PX)[0])


# -- the files ----------------------------------------------------------------------------------------------------


def _primary(shot: Shot, kind: str) -> fits.PrimaryHDU:
    """Primary header: instrument, times, attitude and place in the observation sequence."""
    start_mjd = shot.middle_mjd - 0.5 * ELAPSED_S / 86_400.0
    start = (MJD_EPOCH + timedelta(days=start_mjd)).isoformat(timespec="milliseconds")[:-6]
    orbit = spacecraft_km(shot.middle_mjd)
    header = Header()
    for card in (
        ("FITS_DEF", f"nir.{kind}", "FITS name definition"),
        ("FITS_VER", "0.3", "FITS version"),
        ("TELESCOP", "Euclid"),
        ("INSTRUME", "NISP"),
        ("ORIGIN", "OU-NIR", "Euclid SGS origin"),
        ("SOFTVERS", "4.2", "Version of the processing function"),
        ("DATE", f"{START:%Y-%m-%dT%H:%M:%S}", "UT date when this file was created"),
        ("IMG_CAT", "SCIENCE"),
        ("IMG_T1", "OBJECT"),
        ("IMG_T2", "SKY"),
        ("OBSMODE", "WIDE"),
        ("OBSTYPE", "IMAGE"),
        ("DATE-OBS", start, "Date of observation (start)"),
        ("UTC-OBS", f"{start}Z", "UTC time correlated to the on-board time"),
        ("MJD-OBS", start_mjd, "MJD start time"),
        ("READMODE", "MULTIACCUM"),
        ("NR", 16),
        ("NG", 4),
        ("ND", 4),
        ("FRTIME", 1.41, "Time of a single readout sample (s)"),
        ("EXPTIME", shot.band.exposure_time_s, "Effective integration time in seconds"),
        ("ELAPTIME", ELAPSED_S, "Elapsed time of the observation in seconds"),
        ("RA", shot.lon_deg, "Right ascension of the field (deg)"),
        ("DEC", shot.lat_deg, "Declination of the field (deg)"),
        ("PA", shot.position_angle_deg, "Orientation of field of view (deg)"),
        *(
            (f"POS_{axis}", float(km), "Spacecraft position (km)")
            for axis, km in zip("XYZ", orbit, strict=True)
        ),
        ("FILTER", _letter(shot), "Filter name"),
        ("OBS_ID", _observation(shot), "Running Sequence number of the Observed block"),
        ("DITHOBS", shot.dither + 1, "Number sequence of dithering"),
        ("PTGID", shot.camera.dithers * shot.pointing + shot.dither + 1),
        ("EXPNUM", SEQUENCE.index(shot.band.name) + 1, "Internal counter for single images"),
        ("TOTEXP", len(SEQUENCE), "Total number of exposures in specific pointing"),
    ):
        header.append(card)
    return fits.PrimaryHDU(header=header)


def _write_detectors(path: Path, shot: Shot, kind: str, layers: Layers, compress: Compression) -> None:
    """A file of extensions DETxy.<layer>: detector, layer, WCS and data of each."""
    with fits_file(path, compress) as file:
        file.add(_primary(shot, kind))
        for one, layer, wcs, data in layers:
            header = Header(
                [
                    ("XTENSION", "IMAGE", "Image extension"),
                    ("BITPIX", 32 if layer == "DQ" else -32, "array data type"),
                    ("NAXIS", 2, "number of array dimensions"),
                    ("NAXIS1", data.shape[1]),
                    ("NAXIS2", data.shape[0]),
                    ("PCOUNT", 0, "number of parameters"),
                    ("GCOUNT", 1, "number of groups"),
                    ("EXTNAME", f"DET{one.name}.{layer}", "extension name"),
                    ("DET_ID", one.name, "Detector identifier"),
                ]
            )
            header.extend(wcs, strip=False)
            header.extend(_meaning(layer, shot.band), strip=False)
            with file.plane(header, "i4" if layer == "DQ" else "f4", data.shape) as plane:
                plane.write(data)


def _meaning(layer: str, band: Band) -> list[tuple[str, object]]:
    """Bits of the flags; unit, gain and zero point of the others."""
    if layer == "DQ":
        return [(f"HIERARCH MSK_FLAG_{bit.name}", bit.number) for bit in bit_table("nir").bits]
    return [("BUNIT", "electron"), ("GAIN", 2.0), ("ZPAB", band.zero_point_mag)]


def _image(shot: Shot, headers: list[Header], planes: list[Planes]) -> Layers:
    for one, wcs, layers in zip(shot.camera.detectors, headers, planes, strict=True):
        for layer, plane in (("SCI", "IMAGE"), ("RMS", "RMS"), ("DQ", "FLAG")):
            yield one, layer, wcs, layers[plane]


def _background(shot: Shot, headers: list[Header], planes: list[Planes]) -> Layers:
    """Its own RMS and DQ are those of the model: a tenth of its square root, and no flags."""
    for one, wcs, layers in reversed(list(zip(shot.camera.detectors, headers, planes, strict=True))):
        level = layers["BACKGROUND"]
        own = {"SCI": level, "RMS": 0.1 * np.sqrt(level), "DQ": np.zeros(level.shape, np.int32)}
        for layer, data in own.items():
            yield one, layer, _older(wcs), data


def _older(wcs: Header) -> Header:
    """The astrometry before the last fit: shifted, and without distortion."""
    old = wcs.copy()
    for key in [key for key in old if key[:2] in ("A_", "B_")]:
        del old[key]
    old["CTYPE1"], old["CTYPE2"] = "RA---TAN", "DEC--TAN"
    for axis, shift in enumerate(OLD_ASTROMETRY_DEG, 1):
        old[f"CRVAL{axis}"] = old[f"CRVAL{axis}"] + shift
    return old


def _write_psf_image(path: Path, shot: Shot, stamps: list[Array], samples: int) -> None:
    with fits_file(path) as file:
        file.add(fits.PrimaryHDU())
        for one, stamp in zip(shot.camera.detectors, stamps, strict=True):
            header = Header(
                [
                    ("EXTNAME", f"DET{one.name}.PSF"),
                    ("DET_ID", one.name),
                    ("FILTER", _letter(shot)),
                    ("OBS_ID", _observation(shot)),
                    ("POLNAXIS", 0, "Number of context parameters"),
                    ("OVERSAMP", float(samples), "Samples per pixel"),
                ]
            )
            file.add(fits.ImageHDU(stamp.astype(np.float32), header))


def _write_psf_model(path: Path, shot: Shot, headers: list[Header], stamps: list[Array], pixels: int) -> None:
    """Models of PSFEx without a polynomial, as the public ones are."""
    with fits_file(path) as file:
        file.add(fits.PrimaryHDU())
        for one, wcs, stamp in zip(shot.camera.detectors, headers, stamps, strict=True):
            shape = (1, STAMP_PX, STAMP_PX)
            column = fits.Column(
                "PSF_MASK",
                f"{stamp.size}E",
                dim=str(shape[::-1]),
                array=stamp.reshape(1, *shape).astype("f4"),
            )
            table = fits.BinTableHDU.from_columns([column], name="PSF_DATA")
            side = math.sqrt(abs(np.linalg.det(middle_turn(WCS(wcs), (pixels, pixels)))))
            for card in (
                ("LOADED", 120, "Number of loaded sources"),
                ("ACCEPTED", 96, "Number of accepted sources"),
                ("CHI2", 1.02, "Final reduced chi2"),
                ("POLNAXIS", 0, "Number of context parameters"),
                ("POLNGRP", 0, "Number of context groups"),
                ("PSF_FWHM", shot.fwhm_arcsec / side, "PSF FWHM"),
                ("PSF_SAMP", 1.0 / _samples(wcs, pixels), "Sampling step of the PSF data"),
                ("PSFNAXIS", 3, "Dimensionality of the PSF data"),
                *((f"PSFAXIS{axis}", length) for axis, length in enumerate(shape[::-1], 1)),
                ("DET_ID", one.name),
                ("FILTER", _letter(shot)),
                ("OBS_ID", _observation(shot)),
            ):
                table.header.append(card)
            file.add(table)


def _write_descriptor(
    path: Path, shot: Shot, headers: list[Header], pixels: int, stored: Mapping[str, str]
) -> None:
    """DpdNirCalibratedFrame: filter, outline, detectors, observation sequence, files."""
    root = root_element(
        "DpdNirCalibratedFrame", "nir/calibratedframe", f"{exposure_id(shot)} {shot.sky.seed}",
        software=("NIR_ProcessField", "4.2"), pipeline=PIPELINE,
    )  # fmt: skip
    data = add_element(root, "Data")
    for key, value in (("AxisNumber", 2), ("AxisLengths", f"{pixels} {pixels}")):
        add_element(data, key, value)
    add_element(add_element(data, "Filter"), "Name", shot.band.name)
    add_polygon(add_element(data, "ImgSpatialFootprint"), shot.field_deg)
    listed = add_element(data, "DetectorList")
    for one, wcs in zip(shot.camera.detectors, headers, strict=True):
        detector = add_element(listed, "Detector")
        add_element(detector, "DetectorId", one.name)
        mapping = add_element(detector, "WCS")
        for key in ("CTYPE1", "CTYPE2", "CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2"):
            add_element(mapping, key, wcs[key])
        add_element(add_element(detector, "ZeroPoint"), "Value", shot.band.zero_point_mag)
    sequence = add_element(data, "ObservationSequence")
    for key, number in (
        ("ObservationId", _observation(shot)),
        ("DitherObservation", shot.dither + 1),
        ("PointingId", shot.camera.dithers * shot.pointing + shot.dither + 1),
        ("Exposure", SEQUENCE.index(shot.band.name) + 1),
        ("TotalExposure", len(SEQUENCE)),
    ):
        add_element(sequence, key, number)
    first: datetime = MJD_EPOCH + timedelta(days=shot.middle_mjd - 0.5 * ELAPSED_S / 86_400.0)
    add_element(data, "ObservationDateTime", time_text(first))
    for kind, element in STORAGES.items():
        box = add_element(add_element(data, element), "DataContainer", filestatus="PROPOSED")
        add_element(box, "FileName", stored[kind])
    finish_descriptor(root, path)
