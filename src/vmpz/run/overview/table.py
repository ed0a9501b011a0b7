"""The table of tiles and bands as a file: CSV, Parquet or FITS."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz import io
from vmpz.files.write import write_text
from vmpz.run.overview.content import Overview, Part
from vmpz.run.overview.listing import short_name

__all__ = ["parts_columns", "parts_csv", "write_parts"]

UNITS = {
    "lon_deg": "deg",
    "lat_deg": "deg",
    "area_deg2": "deg2",
    "observed_deg2": "deg2",
    "hole_deg2": "deg2",
}


def parts_csv(overview: Overview) -> str:
    """One line a tile and band, with a header line; what is not known is empty.

    Numbers have the digits that they are worth: positions 6 decimals, areas 8 digits, means 7, or 4 decimals where that
    is more (dates, indices of tiles).
    """
    columns, units = parts_columns(overview)
    return io.csv_of({name: _shortened(name, units, values) for name, values in columns.items()})


def write_parts(overview: Overview, path: Path) -> None:
    """Write the table as CSV (the text of `parts_csv`), Parquet or FITS, whole or not at all.

    Raises
    ------
    InputError
        The name of the file has another end.
    """
    if path.suffix == ".csv":
        write_text(path, parts_csv(overview))
        return
    columns, units = parts_columns(overview)
    io.write_columns(path, columns, units, {}, name="TILES")


def _shortened(name: str, units: Mapping[str, str], values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind != "f":
        return values
    if name in ("lon_deg", "lat_deg"):
        rounded = np.round(values, 6)
        return np.where(rounded == 360.0, 0.0, rounded)
    form = "{:.8g}" if units.get(name) == "deg2" else "{:.7g}"
    short = np.array([float(form.format(value)) for value in values.tolist()], np.float64)
    return np.where(np.abs(values) < 1e3, short, np.round(values, 4))


def parts_columns(overview: Overview) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Columns of the table, and the units of those that have one.

    Names of means are those of maps without the band, and end in their unit: ``depth_mag``.
    """
    parts = overview.parts
    columns: dict[str, NDArray[Any]] = {
        "area": np.array([one.area for one in parts], np.str_),
        "band": np.array([one.band for one in parts], np.str_),
        **{name: _numbers(parts, name) for name in UNITS},
        "products": np.array([one.products for one in parts], np.int64),
        "missing": np.array([one.missing for one in parts], np.int64),
    }
    units = dict(UNITS)
    for name, unit in _units_of_means(overview).items():
        column = re.sub(r"\W+", "_", f"{name}_{unit}").rstrip("_")
        columns[column] = np.array([one.values.get(name, np.nan) for one in parts], np.float64)
        units |= {column: unit} if unit else {}
    return columns, units


def _numbers(parts: Sequence[Part], name: str) -> NDArray[np.float64]:
    values = [getattr(one, name) for one in parts]
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _units_of_means(overview: Overview) -> dict[str, str]:
    """Names of maps without their bands, and their unit where all bands have the same."""
    units: dict[str, set[str]] = {}
    for one in overview.maps:
        units.setdefault(short_name(one.name, one.key), set()).add(one.unit)
    return {name: next(iter(units[name])) if len(units[name]) == 1 else "" for name in sorted(units)}
