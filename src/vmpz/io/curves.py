"""Small tables from outside: luminosity functions, corrections in redshift, number counts, efficiencies.

The forms of `vmpz.io.deep`: FITS, Parquet and CSV with a header line; columns by name in any case, all numbers finite.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.files.fits import open_fits
from vmpz.files.tables import columns_of
from vmpz.io.deep import read_deep
from vmpz.io.objects import PARQUET, reading_parquet
from vmpz.io.sources import CSV, comment_lines

__all__ = ["read_curve", "read_efficiencies"]

Floats = NDArray[np.float64]


def read_curve(path: Path, abscissa: str, ordinate: str) -> tuple[Floats, Floats]:
    """Two columns of a table that are a curve.

    Parameters
    ----------
    path : Path
        .parquet, .pq; .csv, .csv.gz; else a FITS file.
    abscissa, ordinate : str
        Names of the columns: MAG and PHI, Z and K, Z and E, MAG and COUNTS.

    Returns
    -------
    abscissa, ordinate : float64 (n,)
        n >= 2, the abscissa ascending.

    Raises
    ------
    InputError
        A column is missing, a number is not finite, the abscissa does not ascend, there are less than two rows, or the
        file is not whole.
    """
    found = _finite(path, [abscissa, ordinate])
    x, y = found[abscissa], found[ordinate]
    if x.size < 2:
        raise InputError(f"{path}: a curve must have at least two rows, found {x.size}")
    fallen = np.flatnonzero(np.diff(x) <= 0.0)
    if fallen.size:
        row = int(fallen[0])
        raise InputError(
            f"{path}: column {abscissa} must ascend, found {x[row]} and then {x[row + 1]} in row {row + 2}"
        )
    return x, y


def read_efficiencies(path: Path, columns: Sequence[str]) -> tuple[Floats, list[Floats], Floats | None]:
    """A table of efficiencies: DELTA_MAG, the columns that are multiplied, and MAG where there is one.

    Parameters
    ----------
    path : Path
        As for `read_curve`.
    columns : sequence of str
        Columns of efficiency.

    Returns
    -------
    delta_mag : float64 (rows,)
        Magnitude minus depth.
    efficiencies : list of float64 (rows,)
    mag : float64 (rows,) or None
        Magnitudes; None where the table has no such column.

    Raises
    ------
    InputError
        A column is missing, a number is not finite, or the file is not whole.
    """
    has_mag = "MAG" in {name.upper() for name in _names(path)}
    found = _finite(path, ["DELTA_MAG", *columns, *(["MAG"] if has_mag else [])])
    return found["DELTA_MAG"], [found[name] for name in columns], found.get("MAG") if has_mag else None


def _finite(path: Path, columns: list[str]) -> dict[str, Floats]:
    """Columns of finite numbers."""
    found = read_deep(path, columns)
    for name, values in found.items():
        bad = np.flatnonzero(~np.isfinite(values))
        if bad.size:
            raise InputError(
                f"{path}: column {name} must be finite, found {values[bad[0]]} in row {bad[0] + 1}"
            )
    return found


def _names(path: Path) -> list[str]:
    """The columns of a table of efficiencies; none of what is no such table, which `read_deep` refuses."""
    if not path.is_file():
        return []
    if path.name.lower().endswith(PARQUET):
        with reading_parquet(path):
            return list(pq.read_schema(path).names)
    if path.name.lower().endswith(CSV):
        return _csv_names(path)
    with open_fits(str(path)) as file:
        tables = [unit for unit in file.hdus if unit.header.get("XTENSION") == "BINTABLE"]
        named = [[column.name for column in columns_of(unit)] for unit in tables]
        return next((names for names in named if "DELTA_MAG" in {name.upper() for name in names}), [])


def _csv_names(path: Path) -> list[str]:
    try:
        with pa_csv.open_csv(path, pa_csv.ReadOptions(skip_rows=comment_lines(path))) as table:
            return list(table.schema.names)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: must be CSV with a header line, found: {error}") from error
