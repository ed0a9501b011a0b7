"""Columns of numbers of a catalogue, without positions: the galaxies of a deeper survey.

FITS tables (plain or gzip; the first binary table that has all the columns), Parquet, and CSV with a header line. Only
the columns that are asked for are decoded, block by block, so that memory holds them alone, however wide the catalogue
is. A number that is missing (NULL, NaN) is NaN: what a column must hold is known where it is used
(`vmpz.make.deepsample`).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.files.fits import open_fits
from vmpz.files.nearby import what_is_at
from vmpz.io.objects import (
    MAX_BYTES,
    PARQUET,
    ROWS,
    ObjectTable,
    must_be_numbers,
    only_column,
    reading_parquet,
)
from vmpz.io.sources import CSV, comment_lines

__all__ = ["read_deep"]

Floats = NDArray[np.float64]


def read_deep(path: Path, columns: Sequence[str]) -> dict[str, Floats]:
    """Columns of a catalogue.

    Parameters
    ----------
    path : Path
        .parquet, .pq; .csv, .csv.gz; else a FITS file.
    columns : sequence of str
        Names in any case, at least one.

    Returns
    -------
    dict of str to float64 (n,)
        In the order of the file, under the names that were asked for; NaN where there is no number.

    Raises
    ------
    InputError
        A column is missing, stands twice or holds no numbers, there is no row, or the file is not whole.
    """
    if not path.is_file():
        raise InputError(f"{path}: must be a catalogue (FITS, Parquet, CSV), found {what_is_at(path)}")
    kinds = ((PARQUET, _parquet), (CSV, _csv))
    reader = next((read for ends, read in kinds if path.name.lower().endswith(ends)), _fits)
    wanted = list(dict.fromkeys(columns))
    blocks = list(reader(path, wanted))
    if not sum(len(block[0]) for block in blocks):
        raise InputError(f"{path}: must hold at least one row, found none")
    return {name: np.concatenate(parts) for name, parts in zip(wanted, zip(*blocks), strict=True)}


def _fits(path: Path, columns: list[str]) -> Iterator[list[Floats]]:
    with open_fits(str(path), MAX_BYTES) as file:
        tables = [
            ObjectTable(unit, None)
            for unit in file.hdus
            if unit.header.get("XTENSION") == "BINTABLE" and not unit.is_compressed
        ]
        if not tables:
            raise InputError(f"{path}: must hold a binary table, found none in {len(file.hdus)} HDUs")
        wanted = {name.upper() for name in columns}
        table = next((one for one in tables if wanted <= {name.upper() for name in one.names}), tables[0])
        chosen = [table.column(name) for name in columns]
        for block in table.verified_blocks(file):
            yield [table.numbers(block, one) for one in chosen]
        file.unchanged()


def _parquet(path: Path, columns: list[str]) -> Iterator[list[Floats]]:
    with reading_parquet(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
        schema, where = file.schema_arrow, str(path)
        names = [only_column(schema.names, name, where) for name in columns]
        for name in names:
            must_be_numbers(schema, name, where)
        for batch in file.iter_batches(ROWS, columns=list(dict.fromkeys(names))):
            yield [_floats(batch[name]) for name in names]


def _csv(path: Path, columns: list[str]) -> Iterator[list[Floats]]:
    where = str(path)
    try:
        told = pa_csv.ReadOptions(skip_rows=comment_lines(path))
        with pa_csv.open_csv(path, told) as reader:
            known = reader.schema.names
        names = [only_column(known, name, where) for name in columns]
        types = {name: pa.float64() for name in names}
        chosen = pa_csv.ConvertOptions(include_columns=list(types), column_types=types)
        with pa_csv.open_csv(path, told, convert_options=chosen) as reader:
            for batch in reader:
                yield [_floats(batch[name]) for name in names]
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{where}: must be CSV with a header line and numbers, found: {error}") from error


def _floats(column: Any) -> Floats:
    """An Arrow column as float64, NULL as NaN."""
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)
