"""Columns of numbers and names as a table of one's own: FITS, CSV or Parquet, by the end of the name."""

import re
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
from vmpz.io.metadata import encode
from vmpz.products import Scalar

__all__ = ["csv_of", "write_columns"]

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
        int64, float32, float64, or text (percent-encoded in FITS where it is not ASCII).
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
        write_text(path, csv_of(columns))
    else:
        _write_parquet(path, columns, units)


def _write_fits(
    path: Path,
    columns: Mapping[str, NDArray[Any]],
    units: Mapping[str, str],
    keywords: Mapping[str, Scalar],
    name: str,
) -> None:
    upper = {key.upper(): _on_disk(values) for key, values in columns.items()}
    forms = {key.upper(): (_form(upper[key.upper()].dtype), units.get(key, "")) for key in columns}
    rows = len(next(iter(columns.values())))
    cards = table_cards(forms, row_type(upper).itemsize, rows, {"EXTNAME": (name, "what this is")})
    with write_whole(path, verify) as temporary, temporary.open("wb") as stream:
        write_unit(stream, primary_cards({}))
        write_unit(stream, cards + cards_of(keywords), record_chunks(upper))


def _on_disk(values: NDArray[Any]) -> NDArray[Any]:
    """Text as the ASCII that a FITS column holds."""
    if values.dtype.kind != "U":
        return values
    texts = [encode(text) for text in values.tolist()]
    return np.array(texts, f"S{max(1, *map(len, texts))}" if texts else "S1")


def _form(dtype: np.dtype[Any]) -> str:
    return f"{dtype.itemsize}A" if dtype.kind == "S" else FORMS[f"{dtype.kind}{dtype.itemsize}"]


def csv_of(columns: Mapping[str, NDArray[Any]]) -> str:
    """Columns of one length as CSV with a header line; nothing for a number that is not known."""
    rows = zip(*(values.tolist() for values in columns.values()), strict=True)
    lines = [",".join(map(_text, columns)), *(",".join(map(_text, row)) for row in rows)]
    return "\n".join(lines) + "\n"


def _text(value: float | str) -> str:
    """The shortest text that is read as the same number; text in quotes where it must be (RFC 4180)."""
    if isinstance(value, str):
        return '"{}"'.format(value.replace('"', '""')) if re.search('[",\\r\\n]', value) else value
    return "" if value != value else repr(value)


def _write_parquet(path: Path, columns: Mapping[str, NDArray[Any]], units: Mapping[str, str]) -> None:
    fields = [
        pa.field(
            name,
            pa.string() if values.dtype.kind == "U" else pa.from_numpy_dtype(values.dtype),
            metadata={"unit": units[name]} if name in units else None,
        )
        for name, values in columns.items()
    ]
    table = pa.table([pa.array(np.asarray(one)) for one in columns.values()], schema=pa.schema(fields))
    with write_whole(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)
