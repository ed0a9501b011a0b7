"""Columns of numbers as a table of one's own: FITS, CSV or Parquet, by the end of the name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vmpz.errors import InputError, meant
from vmpz.files.write import write_text, write_whole
from vmpz.io.fits import FORMS, record_chunks, row_type, verify
from vmpz.io.headers import cards_of, primary_cards, table_cards, write_unit
from vmpz.products import Scalar

__all__ = ["write_columns"]

ENDS = (".fits", ".csv", ".parquet")


def write_columns(
    path: Path,
    columns: Mapping[str, NDArray[Any]],
    units: Mapping[str, str],
    keywords: Mapping[str, Scalar],
    *,
    name: str,
) -> None:
    """Write columns of one length, whole or not at all.

    Parameters
    ----------
    path : Path
        ``.fits``: a binary table with checksums, names in upper case; ``.csv``; ``.parquet``, units as metadata of the
        columns.
    columns : mapping of str to array
        int64, float32 or float64.
    units : mapping of str to str
        FITS units, of the columns that have one.
    keywords : mapping
        Of the FITS table.
    name : str
        EXTNAME of the FITS table.

    Raises
    ------
    InputError
        The name has another end.
    """
    if path.suffix not in ENDS:
        raise InputError(
            f"{path}: a table must end in {', '.join(ENDS)}, found {path.suffix or 'no end'}{meant(path.suffix, ENDS)}"
        )
    if path.suffix == ".fits":
        _write_fits(path, columns, units, keywords, name)
    elif path.suffix == ".csv":
        _write_csv(path, columns)
    else:
        _write_parquet(path, columns, units)


def _write_fits(
    path: Path,
    columns: Mapping[str, NDArray[Any]],
    units: Mapping[str, str],
    keywords: Mapping[str, Scalar],
    name: str,
) -> None:
    upper = {key.upper(): values for key, values in columns.items()}
    forms = {
        key.upper(): (FORMS[f"{values.dtype.kind}{values.dtype.itemsize}"], units.get(key, ""))
        for key, values in columns.items()
    }
    rows = len(next(iter(columns.values())))
    cards = table_cards(forms, row_type(upper).itemsize, rows, {"EXTNAME": (name, "what this is")})
    with write_whole(path, verify) as temporary, temporary.open("wb") as stream:
        write_unit(stream, primary_cards({}))
        write_unit(stream, cards + cards_of(keywords), record_chunks(upper))


def _write_csv(path: Path, columns: Mapping[str, NDArray[Any]]) -> None:
    rows = zip(*(values.tolist() for values in columns.values()), strict=True)
    lines = [",".join(columns), *(",".join(map(_text, row)) for row in rows)]
    write_text(path, "\n".join(lines) + "\n")


def _text(number: float) -> str:
    """The shortest text that is read as the same number; nothing for one that is not known."""
    return "" if number != number else repr(number)


def _write_parquet(path: Path, columns: Mapping[str, NDArray[Any]], units: Mapping[str, str]) -> None:
    fields = [
        pa.field(
            name, pa.from_numpy_dtype(values.dtype), metadata={"unit": units[name]} if name in units else None
        )
        for name, values in columns.items()
    ]
    table = pa.table([pa.array(np.asarray(one)) for one in columns.values()], schema=pa.schema(fields))
    with write_whole(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)
