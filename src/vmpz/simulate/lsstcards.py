"""Header cards and archive tables of images of the LSST pipelines (lsst.afw.image, lsst.afw.table.io)."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.io.fits import Header

from vmpz.simulate.bands import Band
from vmpz.simulate.exposures import Shot

__all__ = [
    "NJY_ZERO_POINT",
    "PATCHES",
    "Patch",
    "airmass",
    "archive",
    "day_of",
    "image_cards",
    "patch_cards",
    "visit_cards",
]

MJD_ZERO = np.datetime64("1858-11-17", "us")
TAI_MINUS_UTC_S = 37.0
"""Since 2017."""
NJY_ZERO_POINT = 31.4
HSC_MJD_OBS = 51544.4992571308
"""What MJD-OBS is in every file of HSC."""
PHOTO_CALIB_ID = 7


@dataclass(frozen=True)
class Patch:
    """A patch of a tract, and its width."""

    tract: int
    patch: str
    width_arcsec: float

    def name(self, between: str) -> str:
        """Tract and patch as in file names."""
        return f"{self.tract}{between}{self.patch}"


PATCHES = {"LSSTCam": Patch(5063, "14", 820.0), "HSC": Patch(9813, "4,4", 705.6)}


def airmass(shot: Shot) -> float:
    """Airmass that the header of a visit states."""
    return 1.05 + 0.11 * (shot.number % 5)


def day_of(mjd: float) -> int:
    """Date YYYYMMDD at the beginning of the night."""
    return int(str((MJD_ZERO + np.timedelta64(int(mjd - 0.5), "D")).astype("datetime64[D]")).replace("-", ""))


def visit_cards(shot: Shot, index: int, visit: int, number: int, *, old: bool) -> Header:
    """Primary header of a detector of a visit."""
    header = Header()
    header["TELESCOP"] = "Subaru" if shot.camera.instrument == "HSC" else "Simonyi Survey Telescope"
    header["INSTRUME"] = "Hyper Suprime-Cam" if shot.camera.instrument == "HSC" else "LSSTCam"
    header["FILTER"] = shot.band.token
    header["EXPTIME"] = (shot.band.exposure_time_s, "Exposure time (sec)")
    header["DARKTIME"] = (shot.band.exposure_time_s + 0.04, "Time from CCD flush to readout (sec)")
    _add_dates(header, shot, old)
    _add_pointing(header, shot)
    header["DETNAME"], header["DETSER"] = shot.camera.detectors[index].name, str(number)
    header["EXPID"] = visit * 200 + number
    header["AR_HDU"] = (5, "HDU (1-indexed) containing the archive")
    if shot.camera.instrument == "HSC":
        header["DET-ID"], header["EXP-ID"] = number, f"HSCE{visit:08d}"
        header["MJD-OBS"], header["SEEING"] = HSC_MJD_OBS, 0.0
    else:
        header["FILTBAND"], header["SEEING"] = shot.band.name[-1], (1.31, "of the monitor")
        _add_data_id(header, INSTRUMENT="LSSTCam", BAND=shot.band.name[-1], PHYSICAL_FILTER=shot.band.token,
                     VISIT=visit, DETECTOR=number, DAY_OBS=day_of(shot.mjd))  # fmt: skip
    if old:
        header["FLUXMAG0"] = 10.0 ** (0.4 * shot.band.zero_point_mag)
        header["HIERARCH FLUXMAG0ERR"] = 0.0
    else:
        header["HIERARCH INSTRUMENT"] = shot.camera.instrument
        header["IDNUM"] = (visit, "identifier of this full focal plane exposure")
        _add_archive_ids(header)
    return header


def patch_cards(instrument: str, band: Band, zero_point_mag: float, *, old: bool) -> Header:
    """Primary header of a patch of a coadd."""
    header, patch = Header(), PATCHES[instrument]
    header["FILTER"] = band.token.removesuffix("2") if instrument == "HSC" else band.name[-1]
    if old:
        header["FLUXMAG0"] = 10.0 ** (0.4 * zero_point_mag)
        return header
    if instrument != "HSC":
        _add_data_id(
            header, SKYMAP="lsst_cells_v1", TRACT=patch.tract, PATCH=int(patch.patch), BAND=band.name[-1]
        )
    _add_archive_ids(header)
    return header


def image_cards(wcs: Header, kind: str, unit: str | None, numbers: dict[str, int], *, named: bool) -> Header:
    """Header of IMAGE, MASK or VARIANCE; the MASK names its planes."""
    header = Header()
    header["INHERIT"], header["EXTTYPE"] = True, kind
    if named:
        header["EXTNAME"] = kind
    header.update(wcs)
    header["LTV1"], header["LTV2"] = 0.0, 0.0
    for axis in (1, 2):
        header[f"CTYPE{axis}A"], header[f"CUNIT{axis}A"] = "LINEAR", "PIXEL"
        header[f"CRPIX{axis}A"], header[f"CRVAL{axis}A"] = 1.0, 0.0
    if unit is not None and kind != "MASK":
        header["BUNIT"] = unit if kind == "IMAGE" else f"{unit}**2"
    if kind == "MASK":
        for name in sorted(numbers):
            key = f"MP_{name}"
            header[key if len(key) <= 8 else f"HIERARCH {key}"] = numbers[name]
    return header


def archive(zero_point_mag: float) -> list[Any]:
    """The index of an archive and two of its tables, the PhotoCalib of the image after those of others."""
    scale = 10.0 ** (-0.4 * (zero_point_mag - NJY_ZERO_POINT))
    index = {
        "id": ("J", [3, PHOTO_CALIB_ID, 4]),
        "cat.archive": ("J", [2, 2, 1]),
        "cat.persistable": ("J", [0, 0, 0]),
        "row0": ("J", [0, 1, 0]),
        "nrows": ("J", [1, 1, 4]),
        "name": ("64A", ["PhotoCalib", "PhotoCalib", "Polygon"]),
        "module": ("64A", ["lsst.afw.image", "lsst.afw.image", "lsst.afw.geom"]),
    }
    polygon = {"x": ("D", [0.0, 9.0, 9.0, 0.0]), "y": ("D", [0.0, 0.0, 9.0, 9.0])}
    calibration = {
        "flags": ("1X", [[True], [True]]),
        "calibrationMean": ("D", [777.0, scale]),
        "calibrationErr": ("D", [0.0, 0.0]),
        "field": ("J", [0, 0]),
        "version": ("J", [1, 1]),
    }
    return [
        _table(index, "ARCHIVE_INDEX", "ARCHIVE_INDEX", 0),
        _table(polygon, "Polygon", "ARCHIVE_DATA", 1),
        _table(calibration, "PhotoCalib", "ARCHIVE_DATA", 2),
    ]


def _table(columns: dict[str, tuple[str, Any]], name: str, kind: str, number: int) -> Any:
    made = [fits.Column(key, form, array=np.array(values)) for key, (form, values) in columns.items()]
    unit = fits.BinTableHDU.from_columns(made, name=name)
    unit.header["EXTTYPE"], unit.header["AR_CATN"], unit.header["AR_NAME"] = kind, number, name
    return unit


def _add_dates(header: Header, shot: Shot, old: bool) -> None:
    """The middle of the exposure: in UTC and called TIME-MID by old pipelines, else in TAI."""
    ut1 = shot.middle_mjd
    if old:
        header["TIME-MID"] = f"{_iso(ut1)}Z"
        return
    header["DATE-AVG"] = (f"{_iso(ut1, TAI_MINUS_UTC_S)}000", "TAI date at middle of observation")
    header["TIMESYS"] = "TAI"
    header["DATE"] = (_iso(ut1 + 30.0)[:23], "UTC date this HDU was written.")
    header["HIERARCH MJD-AVG-UT1"] = (ut1, "UT1 MJD date at ctr of obs")
    turns = 0.7790572732640 + 1.00273781191135448 * (ut1 - 51544.5)
    header["AVG-ERA"] = (360.0 * (turns % 1.0), "Earth rot ang at ctr of obs (deg)")


def _add_pointing(header: Header, shot: Shot) -> None:
    header["BORE-RA"] = (shot.lon_deg, "ICRS RA (deg) at boresight")
    header["BORE-DEC"] = (shot.lat_deg, "ICRS Dec (deg) at boresight")
    header["BORE-AZ"] = (120.0, "Refr app topo az (deg) at bore")
    header["BORE-ALT"] = (math.degrees(math.asin(1.0 / airmass(shot))), "Refr app topo alt (deg) at bore")
    header["HIERARCH BORE-AIRMASS"] = (airmass(shot), "Airmass at boresight")
    header["HIERARCH BORE-ROTANG"] = (shot.position_angle_deg % 360.0, "Rotation angle (deg) at boresight")
    header["ROTTYPE"] = ("SKY", "Type of rotation angle")
    lon, lat = shot.camera.site_deg or (0.0, 0.0)
    header["OBS-LONG"], header["OBS-LAT"] = (
        (lon, "Telescope longitude (+E, deg)"),
        (lat, "Telescope latitude (deg)"),
    )
    header["OBS-ELEV"] = (4163.0 if shot.camera.instrument == "HSC" else 2663.0, "Telescope elevation (m)")
    header["AIRTEMP"], header["AIRPRESS"], header["HUMIDITY"] = 8.5, 74300.0, 31.0


def _add_archive_ids(header: Header) -> None:
    header["HIERARCH PHOTOCALIB_ID"] = (PHOTO_CALIB_ID, "archive ID for generic component 'PHOTOCALIB'")
    header["HIERARCH ARCHIVE_ID_PHOTOCALIB"] = PHOTO_CALIB_ID


def _add_data_id(header: Header, **values: int | str) -> None:
    for name, value in values.items():
        header[f"HIERARCH LSST BUTLER DATAID {name}"] = value


def _iso(mjd: float, later_s: float = 0.0) -> str:
    """An instant as ISO text to the microsecond."""
    return str(MJD_ZERO + np.timedelta64(round(mjd * 86_400e6 + later_s * 1e6), "us"))
