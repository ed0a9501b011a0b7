"""Tables of exposures without pixels: those of MegaCam (CFHT), one table a band, each in another usual form.

============  ===================================================================================================
MEGACAM_u     ``exposures_u.csv``: outlines as STC-S text, variance of the sky, beginning of the exposure
MEGACAM_g     ``exposures_g.parquet``: corners and names as in a ccdVisit table of LSST, middle of the exposure
MEGACAM_r     ``exposures_r.fits``: corners and names as in tables of DES, seeing in pixels, beginning of the exposure
============  ===================================================================================================

The pixel is the real one, 0.185 arcsec; fluxes are at zero point 30, as in MegaPipe. Where a field is below 85 degrees
of zenith distance its airmass is missing.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from astropy.io import fits
from numpy.typing import NDArray

from vmpz.files.write import write_text, write_whole
from vmpz.physics.atmosphere import airmass, zenith_distance_deg
from vmpz.simulate.bands import Band
from vmpz.simulate.exposures import Camera, Detector, Shot, shots
from vmpz.simulate.field import Sky
from vmpz.simulate.fitsfile import fits_file
from vmpz.simulate.geometry import ARCSEC
from vmpz.simulate.kids import highest_mjd

__all__ = ["CAMERA", "INPUTS", "NAMES", "PIXEL_ARCSEC", "SITE_DEG", "band_shots", "rows_of", "write_tables"]

Array = NDArray[np.float64]
Columns = dict[str, Any]

SITE_DEG = (-155.468876, 19.825252)
PIXEL_ARCSEC = 0.185
SECONDS_PER_DAY = 86_400.0


def _detectors() -> tuple[Detector, ...]:
    """36 CCDs in four rows of nine; gaps of 13 arcsec, but of 80 arcsec beside the outer rows (MegaPrime handbook)."""
    width, height = 2048 * PIXEL_ARCSEC, 4612 * PIXEL_ARCSEC
    low = (-6.5 - height - 80.0 - height, -6.5 - height, 6.5, 6.5 + height + 80.0)
    left = [(column - 4.5) * (width + 13.0) + 6.5 for column in range(9)]
    return tuple(
        Detector(f"ccd{9 * row + column:02d}", x, x + width, y, y + height)
        for row, y in enumerate(low)
        for column, x in enumerate(left)
    )


CAMERA = Camera(
    "MEGACAM",
    _detectors(),
    {
        "MEGACAM_u": Band("MEGACAM_u", "u.MP9302", "MEGACAM", 30.0, 1.6, 30.0, 0.85, 25, 80.0),
        "MEGACAM_g": Band("MEGACAM_g", "g.MP9402", "MEGACAM", 30.0, 1.4, 90.0, 0.78, 25, 120.0),
        "MEGACAM_r": Band("MEGACAM_r", "r.MP9602", "MEGACAM", 30.0, 2.4, 210.0, 0.69, 25, 200.0),
    },
    dithers=3,
    site_deg=SITE_DEG,
    first_mjd=60604.25,
)
NAMES = {"MEGACAM_u": "exposures_u.csv", "MEGACAM_g": "exposures_g.parquet", "MEGACAM_r": "exposures_r.fits"}
"""Band to its table."""

INPUTS = """\
[[inputs]]
reader = "exposures"
location = "{location}"
[inputs.options]
instrument = "MEGACAM"
band = "MEGACAM_{{band}}"
columns = {{PixelScale = 0.185, SiteLon = -155.468876, SiteLat = 19.825252}}
telescope = "CFHT"
"""
"""The block of a survey file that reads what `write_tables` wrote at `location`."""


def band_shots(sky: Sky, band: str) -> Iterator[Shot]:
    """Exposures of a band: a night each, from when the middle of the sky is highest."""
    night = CAMERA.first_mjd + list(CAMERA.bands).index(band)
    first = highest_mjd(*sky.centre_deg, SITE_DEG, night)
    yield from shots(sky, replace(CAMERA, bands={band: CAMERA.bands[band]}, first_mjd=first))


def rows_of(shot: Shot) -> Columns:
    """What the rows of an exposure say, a row a detector: corners (n, 4, 2) in degrees, and scalars by quantity."""
    many = len(CAMERA.detectors)
    x, y = (np.array([middle(one) for one in CAMERA.detectors]) * ARCSEC for middle in (_middle_x, _middle_y))
    site = {"site_lon_deg": SITE_DEG[0], "site_lat_deg": SITE_DEG[1]}
    slant = zenith_distance_deg(shot.lon_deg, shot.lat_deg, shot.middle_mjd, **site)
    scalars = {
        "ExposureTime": shot.band.exposure_time_s,
        "MJD": shot.middle_mjd,
        "Airmass": float(airmass(slant)),
        "Seeing": shot.fwhm_arcsec,
        "Zeropoint": shot.band.zero_point_mag,
        "PixelScale": PIXEL_ARCSEC,
    }
    return {
        "exposure": [exposure_number(shot)] * many,
        "detector": [one.name for one in CAMERA.detectors],
        "corners": np.stack([shot.corners_deg(one) for one in CAMERA.detectors]),
        **{name: np.full(many, value) for name, value in scalars.items()},
        "Noise": np.array([shot.rms(index, PIXEL_ARCSEC) for index in range(many)]),
        "Background": shot.background(*shot.plane.angles(x, y)),
    }


def exposure_number(shot: Shot) -> int:
    """Odometer of the telescope."""
    return 2_700_000 + 1000 * list(CAMERA.bands).index(shot.band.name) + shot.number


def _middle_x(one: Detector) -> float:
    return 0.5 * (one.x0 + one.x1)


def _middle_y(one: Detector) -> float:
    return 0.5 * (one.y0 + one.y1)


def write_tables(folder: Path, sky: Sky, *, names: Mapping[str, str] = NAMES) -> None:
    """Write a table a band.

    Parameters
    ----------
    folder : Path
    sky : Sky
    names : mapping of str to str
        Band to the name of its table, whose ending (.csv, .parquet or .fits) says the form.
    """
    for band, name in names.items():
        parts = [rows_of(shot) for shot in band_shots(sky, band)]
        rows = {key: np.concatenate([np.asarray(part[key]) for part in parts]) for key in parts[0]}
        rows["band"] = np.full(len(rows["exposure"]), band.removeprefix("MEGACAM_"))
        WRITERS[Path(name).suffix](folder / name, rows)


def _start(rows: Columns) -> Array:
    return np.asarray(rows["MJD"] - 0.5 * rows["ExposureTime"] / SECONDS_PER_DAY)


def _write_csv(path: Path, rows: Columns) -> None:
    """Numbers with as many digits as they have; text of outlines holds blanks alone."""
    outlines = [
        "POLYGON ICRS " + " ".join(f"{number:.10f}" for number in corners.ravel().tolist())
        for corners in rows["corners"]
    ]
    columns: Columns = {
        "exposure": rows["exposure"],
        "ccd": rows["detector"],
        "band": rows["band"],
        "s_region": outlines,
        "exptime": rows["ExposureTime"],
        "mjd_obs": _start(rows),
        "airmass": rows["Airmass"],
        "seeing_arcsec": rows["Seeing"],
        "skylevel": rows["Background"],
        "skyvar": rows["Noise"] ** 2,
        "zeropt": rows["Zeropoint"],
    }
    lines = [",".join(map(_as_text, row)) for row in zip(*columns.values(), strict=True)]
    write_text(path, "\n".join(["# exposures of MegaCam", ",".join(columns), *lines]) + "\n")


def _as_text(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else repr(float(value))
    return str(value)


def _write_parquet(path: Path, rows: Columns) -> None:
    columns: Columns = {"visitId": rows["exposure"], "detector": rows["detector"], "band": rows["band"]}
    for corner, name in enumerate(("llc", "lrc", "urc", "ulc")):
        columns |= {f"{name}ra": rows["corners"][:, corner, 0], f"{name}dec": rows["corners"][:, corner, 1]}
    columns |= {"expTime": rows["ExposureTime"], "mjd_mid": rows["MJD"], "airmass": rows["Airmass"]}
    columns |= {"seeing": rows["Seeing"], "skyBg": rows["Background"], "skyNoise": rows["Noise"]}
    columns |= {"zeroPoint": rows["Zeropoint"], "pixelScale": rows["PixelScale"]}
    arrays = {name: pa.array(values, from_pandas=True) for name, values in columns.items()}
    units = {"seeing": "arcsec", "pixelScale": "arcsec", "expTime": "s"}
    fields = [
        pa.field(name, array.type, metadata={"unit": units[name]} if name in units else None)
        for name, array in arrays.items()
    ]
    with write_whole(path) as temporary:
        pa.parquet.write_table(pa.table(list(arrays.values()), schema=pa.schema(fields)), temporary)


def _write_fits(path: Path, rows: Columns) -> None:
    numbers = [int(name.removeprefix("ccd")) for name in rows["detector"]]
    columns = [
        fits.Column("EXPNUM", "K", array=rows["exposure"]),
        fits.Column("CCDNUM", "I", array=numbers),
        fits.Column("BAND", "5A", array=rows["band"]),
        *(
            fits.Column(f"{name}{corner + 1}", "D", "deg", array=rows["corners"][:, corner, axis])
            for corner in range(4)
            for axis, name in enumerate(("RAC", "DECC"))
        ),
        fits.Column("EXPTIME", "D", "s", array=rows["ExposureTime"]),
        fits.Column("MJD_OBS", "D", "d", array=_start(rows)),
        fits.Column("AIRMASS", "D", array=rows["Airmass"]),
        fits.Column("FWHM", "D", "pixel", array=rows["Seeing"] / rows["PixelScale"]),
        fits.Column("SKYBRITE", "D", array=rows["Background"]),
        fits.Column("SKYSIGMA", "D", array=rows["Noise"]),
        fits.Column("MAG_ZERO", "D", "mag", array=rows["Zeropoint"]),
    ]
    with fits_file(path) as writer:
        writer.add(fits.PrimaryHDU())
        writer.add(fits.BinTableHDU.from_columns(columns, name="EXPOSURES"))


WRITERS: dict[str, Callable[[Path, Columns], None]] = {
    ".csv": _write_csv,
    ".parquet": _write_parquet,
    ".fits": _write_fits,
}
"""Ending of a name to what writes it."""
