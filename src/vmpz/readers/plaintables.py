"""Plain tables, of exposures for instance: FITS (the first binary table), Parquet, CSV.

Columns are read by name, in any case; those that nobody asks for are not decoded. Numbers come as float64 or integers,
NULL as NaN; columns of lists of one length as arrays (n, k); text as text, NULL as ''. Lines of a CSV file that begin
with # (comments, the header of ECSV) are left out.
"""

import hashlib
import io
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from vmpz.errors import InputError, meant
from vmpz.files.fits import open_fits, open_regular
from vmpz.files.hdu import Hdu
from vmpz.files.tables import columns_of, read_table
from vmpz.frames import FileRef

__all__ = ["CSV", "PARQUET", "PlainTable"]

PARQUET = (".parquet", ".parq", ".pq")
CSV = (".csv", ".ecsv")
UNIT_KEYS = (b"unit", b"units")


class PlainTable:
    """A table on disk.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    where : str
        For messages.
    rows : int
    units : mapping of str to str
        Every column by its name in lower case, and its unit, '' where none is stated.

    Raises
    ------
    InputError
        The file is not there or is no such table, or two names differ only in case.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.where = path, str(path)
        if not path.is_file():
            raise InputError(f"{path}: must be a table (FITS, Parquet, CSV), found no such file")
        names, self.rows = self._named_units()
        self.units = {name.lower(): unit for name, unit in names}
        self._stored = {name.lower(): name for name, _ in names}
        if len(self.units) < len(names):
            raise InputError(
                f"{path}: names of columns must differ in more than case, found {[*dict(names)]}"
            )

    def __contains__(self, name: str) -> bool:
        return name.lower() in self.units

    def spelled(self, name: str) -> str:
        """A column as the table spells it."""
        return self._stored[name.lower()]

    def read(self, names: Collection[str]) -> dict[str, NDArray[Any]]:
        """Some columns, by their names in lower case.

        Raises
        ------
        InputError
            One is missing or of a type that is not read.
        """
        wanted = dict.fromkeys(name.lower() for name in names)
        missing = [name for name in wanted if name not in self.units]
        if missing:
            raise InputError(
                f"{self.where}: column {missing[0]} must be present, found {', '.join(self.units)}"
                f"{meant(missing[0], self.units)}"
            )
        stored = {self._stored[name]: name for name in wanted}
        return {stored[name]: values for name, values in self._read(list(stored)).items()}

    @cached_property
    def file(self) -> FileRef:
        """Reference to the file, identified by its whole content."""
        with open_regular(str(self.path)) as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
        return FileRef(str(self.path), 0, self.path.stat().st_size, digest, True)

    def _named_units(self) -> tuple[list[tuple[str, str]], int]:
        """Columns with their units, and the number of rows."""
        if self.path.suffix in PARQUET:
            with _arrow_errors(self.path):
                stored = pa.parquet.ParquetFile(self.path)
            return [(one.name, _unit(one.metadata)) for one in stored.schema_arrow], stored.metadata.num_rows
        if self.path.suffix in CSV:
            return [(name, "") for name in self._csv.column_names], self._csv.num_rows
        with open_fits(str(self.path)) as file:
            unit = _table_hdu(file.hdus, self.path)
            names = [
                (one.name, unit.cards.optional_text(f"TUNIT{one.number}") or "") for one in columns_of(unit)
            ]
            return names, unit.cards.integer("NAXIS2")

    def _read(self, names: list[str]) -> dict[str, NDArray[Any]]:
        if self.path.suffix in PARQUET:
            with _arrow_errors(self.path):
                table = pa.parquet.ParquetFile(self.path).read(columns=names)
            return {name: self._plain(table.column(name), name) for name in names}
        if self.path.suffix in CSV:
            return {name: self._plain(self._csv.column(name), name) for name in names}
        with open_fits(str(self.path)) as file:
            return dict(read_table(file, _table_hdu(file.hdus, self.path), names).columns)

    @cached_property
    def _csv(self) -> Any:
        lines = self.path.read_bytes().splitlines(keepends=True)
        text = b"".join(line for line in lines if not line.startswith(b"#"))
        with _arrow_errors(self.path):
            table = pa.csv.read_csv(io.BytesIO(text))
        return table.rename_columns([name.strip() for name in table.column_names])

    def _plain(self, column: Any, name: str) -> NDArray[Any]:
        """An Arrow column as an array."""
        kind = column.type
        if pa.types.is_dictionary(kind):
            column, kind = column.cast(kind.value_type), kind.value_type
        if pa.types.is_integer(kind) or pa.types.is_floating(kind):
            return np.asarray(column.to_numpy(zero_copy_only=False))
        if pa.types.is_null(kind):
            return np.full(len(column), np.nan)
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return np.asarray(column.fill_null("").to_numpy(zero_copy_only=False)).astype(str)
        if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
            return self._lists(column.combine_chunks(), name)
        raise InputError(f"{self.where}: column {name} must hold numbers, text or lists, found {kind}")

    def _lists(self, column: Any, name: str) -> NDArray[Any]:
        if isinstance(column, pa.ChunkedArray):
            column = pa.concat_arrays(column.chunks)
        lengths = np.asarray(pa.compute.list_value_length(column).to_numpy(zero_copy_only=False))
        if not len(lengths) or not np.all(lengths == lengths[0]):
            raise InputError(f"{self.where}: lists of column {name} must have one length, found several")
        flat = self._plain(pa.chunked_array([column.flatten()]), name)
        return flat.reshape(len(column), int(lengths[0]))


def _unit(metadata: Mapping[bytes, bytes] | None) -> str:
    found = (metadata[key].decode() for key in UNIT_KEYS if metadata and key in metadata)
    return next(found, "")


def _table_hdu(hdus: Collection[Hdu], path: Path) -> Hdu:
    found = (hdu for hdu in hdus if hdu.header.get("XTENSION") == "BINTABLE" and not hdu.is_compressed)
    unit = next(found, None)
    if unit is None:
        raise InputError(f"{path}: must hold a binary table, found none")
    return unit


@contextmanager
def _arrow_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: must be a readable table, found: {str(error).splitlines()[0]}") from error
