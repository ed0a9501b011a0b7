"""Scalars of exposures from the columns of a table: which column is which quantity, and in what unit.

Names are compared without case. `COLUMNS` lists those that are known, the name of the quantity itself first; the option
`columns` says others, or gives a number for all rows. A unit is that of the option `units`, else of the column, else
the one of the quantity. What differs from survey to survey must be said: the unit of columns fwhm, psf_fwhm and seeing
(pixels in DES and HSC, arcsec in LSST), and whether a column mjd is the start or the middle; a column that is spelled
as the quantity is (Seeing, MJD) is what the quantity is.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError, meant
from vmpz.physics.moments import FWHM_PER_SIGMA
from vmpz.quantities import QUANTITIES
from vmpz.readers.common import SECONDS_PER_DAY
from vmpz.readers.lsstheaders import utc_of_tai
from vmpz.readers.plaintables import PlainTable

__all__ = ["COLUMNS", "Scalars", "read_scalars"]

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Row(NamedTuple):
    """A scalar: its unit ('' = taken as it is), the names of its columns, and the values it may have."""

    unit: str
    names: tuple[str, ...] = ()
    lowest: float = -math.inf


COLUMNS: dict[str, Row] = {
    "ExposureTime": Row("s", ("exptime", "exposure_time", "exp_time", "visitexposuretime", "t_exptime"), 0.0),
    "MJD": Row(
        "d",
        (
            "mjd_mid",
            "mid_mjd",
            "mjd_avg",
            "expmidptmjd",
            "mjd_obs",
            "mjd-obs",
            "mjd_start",
            "obsstartmjd",
            "t_min",
        ),
    ),
    "Airmass": Row("", (), 0.0),
    "Seeing": Row("arcsec", ("fwhm_asec", "fwhm_arcsec", "seeing_arcsec", "fwhm", "psf_fwhm"), 0.0),
    "PsfSigma": Row("arcsec", (), 0.0),
    "Background": Row("", ("skybg", "sky_bg", "skybrite", "skylevel", "sky_level")),
    "Noise": Row("", ("skynoise", "sky_noise", "skysigma", "sky_sigma", "sigma_sky"), 0.0),
    "Variance": Row("", ("skyvar", "sky_var"), 0.0),
    "VarianceA": Row("", ("skyvara",), 0.0),
    "VarianceB": Row("", ("skyvarb",), 0.0),
    "Weight": Row("", (), 0.0),
    "Zeropoint": Row("", ("zero_point", "mag_zero", "zeropt", "magzero")),
    "PixelScale": Row("arcsec", ("pixel_scale", "pixel_scale_arcsec", "pixscale"), 0.0),
    "PSF": Row("arcsec", (), 0.0),
    "SAA": Row("deg", ("solar_aspect_angle",)),
    "AA": Row("deg", ("alpha_angle",)),
    "BA": Row("deg", ("beta_angle",)),
    "ParallacticAngle": Row("deg", ("parallactic_angle",)),
    "SiteLon": Row("deg", ("site_lon",)),
    "SiteLat": Row("deg", ("site_lat",)),
    "PointingLon": Row("deg", ("pointing_lon", "boresight_ra", "telra")),
    "PointingLat": Row("deg", ("pointing_lat", "boresight_dec", "teldec")),
    "PositionAngle": Row("deg", ("position_angle",)),
    "PositionX": Row("", ("position_x", "pos_x")),
    "PositionY": Row("", ("position_y", "pos_y")),
    "PositionZ": Row("", ("position_z", "pos_z")),
    "Exposures": Row("", ("ncombine", "n_exposures"), 0.0),
}
"""Scalar to its columns."""
COLUMNS |= {
    name: Row("") for name, row in QUANTITIES.items() if name not in COLUMNS and row.source == "exposure"
}
AMBIGUOUS = ("fwhm", "psf_fwhm", "seeing")
"""Columns whose unit differs from survey to survey."""
MIDDLE, START = (
    ("mjd_mid", "mid_mjd", "mjd_avg", "expmidptmjd"),
    ("mjd_obs", "mjd-obs", "mjd_start", "obsstartmjd", "t_min"),
)
IN_TAI = ("expmidptmjd", "obsstartmjd")
"""Columns of LSST, which count TAI."""
MJD_IS = ("start", "middle")
TIME_SCALES = ("utc", "tai")
UNITS = {
    "s": {"s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "ms": 1e-3},
    "d": {"d": 1.0, "day": 1.0, "days": 1.0, "mjd": 1.0, "jd": 1.0, "s": 1.0 / 86400.0},
    "deg": {"deg": 1.0, "degree": 1.0, "degrees": 1.0, "arcmin": 1 / 60, "arcsec": 1 / 3600, "rad": 180 / math.pi},
    "arcsec": {"arcsec": 1.0, "arcmin": 60.0, "deg": 3600.0, "mas": 1e-3, "rad": 648000 / math.pi},
}  # fmt: skip
PIXELS = ("pixel", "pixels", "pix")
JD_OF_MJD = 2_400_000.5
MJD_RANGE = (15_000.0, 100_000.0)
"""From 1899 to 2132: Julian dates and seconds lie outside."""
BETTER = {
    "PsfSigma": {"Seeing"},
    "Variance": {"Noise"},
    "VarianceA": {"Noise", "Variance"},
    "VarianceB": {"Noise", "Variance"},
}
"""What is of use only where nothing better is there."""


class Scalars(NamedTuple):
    """Scalars of the rows by quantity; rows whose values cannot be, and what must hold; what was taken for what."""

    values: dict[str, Array]
    faults: tuple[tuple[Bools, str], ...]
    notes: tuple[str, ...]


def _scalar_columns(table: PlainTable, options: Mapping[str, Any]) -> dict[str, str | float]:
    """Scalar to its column (in lower case), or to a number that holds for all rows.

    Raises
    ------
    InputError
        The option `columns` names what is no scalar or no column.
    """
    given = options.get("columns") or {}
    if not isinstance(given, Mapping) or set(given) - set(COLUMNS):
        raise InputError(
            f"reader option columns must give columns to some of {', '.join(COLUMNS)}, found {given!r}"
        )
    found: dict[str, str | float] = {}
    for name, row in COLUMNS.items():
        said = given.get(name)
        if isinstance(said, str):
            if said not in table:
                raise InputError(
                    f"{table.where}: column {said} must be present, found {', '.join(table.units)}"
                    f"{meant(said, table.units)}"
                )
            found[name] = said.lower()
        elif isinstance(said, int | float) and not isinstance(said, bool):
            found[name] = float(said)
        elif said is not None:
            raise InputError(f"reader option columns.{name} must be a column or a number, found {said!r}")
        else:
            known = next((one for one in (name.lower(), *row.names) if one in table), None)
            found |= {} if known is None else {name: known}
    return {name: column for name, column in found.items() if not BETTER.get(name, set()) & found.keys()}


def read_scalars(table: PlainTable, rows: NDArray[np.int64], options: Mapping[str, Any]) -> Scalars:
    """Scalars of some rows.

    Parameters
    ----------
    table : PlainTable
    rows : int64 array
    options : mapping
        `columns`, `units` (by scalar), `mjd_is` ('start' or 'middle'), `time_scale` ('utc' or 'tai') and `missing` (the
        numbers that stand for no value; default -9999).

    Raises
    ------
    InputError
        A column holds no numbers, or its unit is not known or must be said.
    """
    columns = _scalar_columns(table, options)
    stored = table.read([name for name in columns.values() if isinstance(name, str)])
    missing = [float(value) for value in options.get("missing", (-9999.0,))]
    values: dict[str, Array] = {}
    faults: list[tuple[Bools, str]] = []
    for name, column in columns.items():
        if isinstance(column, str):
            values[name] = _numbers(stored[column], column, table)[rows]
            values[name][np.isin(values[name], missing) | ~np.isfinite(values[name])] = np.nan
        else:
            values[name] = np.full(len(rows), column)
        lowest = COLUMNS[name].lowest
        faults.append((values[name] <= lowest, f"{name} ({column}) must be above {lowest:g}"))
    notes = tuple(f"{name} is column {column}" for name, column in columns.items() if isinstance(column, str))
    _convert(values, columns, table, options)
    _derive(values)
    if "MJD" in values:
        _middle(values, str(columns["MJD"]), table, options)
        outside = (values["MJD"] < MJD_RANGE[0]) | (values["MJD"] > MJD_RANGE[1])
        faults.append((outside, f"MJD ({columns['MJD']}) must be a modified Julian date"))
    known = {name: column for name, column in values.items() if np.isfinite(column).any()}
    return Scalars(known, tuple(faults), notes)


def _numbers(values: NDArray[Any], name: str, table: PlainTable) -> Array:
    if values.dtype.kind not in "iuf" or values.ndim != 1:
        raise InputError(f"{table.where}: column {name} must hold one number a row, found {values.dtype}")
    return values.astype(np.float64)


def _convert(
    values: dict[str, Array],
    columns: Mapping[str, str | float],
    table: PlainTable,
    options: Mapping[str, Any],
) -> None:
    """Bring all to the units of the quantities; the pixel scale first, others may be in pixels."""
    said = options.get("units") or {}
    for name in sorted(values, key=lambda name: name != "PixelScale"):
        row, column = COLUMNS[name], columns[name]
        own = table.units[column] if isinstance(column, str) else ""
        unit = str(said.get(name, own)).strip().lower()
        if not row.unit:
            if name in said:
                raise InputError(f"reader option units.{name} must not be given: {name} is taken as it is")
            continue
        if not unit and column in AMBIGUOUS and table.spelled(str(column)) != name:
            raise InputError(
                f"{table.where}: the unit of {column} must be said: units = {{{name} = 'pixel'}} or 'arcsec'"
            )
        unit = "pixel" if name == "PsfSigma" and not unit else unit
        if row.unit == "arcsec" and unit in PIXELS and name != "PixelScale":
            if "PixelScale" not in values:
                raise InputError(
                    f"{table.where}: {name} in pixels needs PixelScale: columns = {{PixelScale = 0.263}}"
                )
            values[name] = values[name] * values["PixelScale"]
        elif unit and unit not in UNITS[row.unit]:
            raise InputError(
                f"{table.where}: the unit of {name} ({column}) must be like {row.unit}, found {unit!r}"
            )
        else:
            values[name] = values[name] * UNITS[row.unit].get(unit, 1.0) - (
                JD_OF_MJD if unit == "jd" else 0.0
            )


def _derive(values: dict[str, Array]) -> None:
    """Noise from variances (of a detector, or the mean of its two halves), Seeing from the sigma of the PSF."""
    variances = [values.pop(name) for name in ("Variance", "VarianceA", "VarianceB") if name in values]
    if variances:
        values["Noise"] = np.sqrt(np.mean(variances, axis=0))
    if "PsfSigma" in values:
        values["Seeing"] = FWHM_PER_SIGMA * values.pop("PsfSigma")


def _middle(values: dict[str, Array], column: str, table: PlainTable, options: Mapping[str, Any]) -> None:
    """Epochs in UTC, in the middle of the exposures."""
    scale = options.get("time_scale") or ("tai" if column in IN_TAI else "utc")
    is_middle = column in MIDDLE or (column in table and table.spelled(column) == "MJD")
    what = options.get("mjd_is") or ("middle" if is_middle else "start" if column in START else None)
    if scale not in TIME_SCALES or what not in (*MJD_IS, None):
        raise InputError(
            f"reader options time_scale and mjd_is must be of {', '.join(TIME_SCALES)} and {', '.join(MJD_IS)}, "
            f"found {scale!r} and {what!r}"
        )
    if what is None:
        raise InputError(
            f"{table.where}: whether {column} is the start or the middle must be said by the option mjd_is"
        )
    if what == "start":
        length = values.get("ExposureTime", np.full(len(values["MJD"]), np.nan))
        values["MJD"] = values["MJD"] + 0.5 * length / SECONDS_PER_DAY
    known = (values["MJD"] > MJD_RANGE[0]) & (values["MJD"] < MJD_RANGE[1])
    if scale == "tai" and known.any():
        values["MJD"][known] = utc_of_tai(values["MJD"][known])
