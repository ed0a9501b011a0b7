"""Tables of objects, read block by block: where the positions are, and the rows of FITS tables and Parquet files.

What is in memory is one block. DATASUM of a FITS table and page checksums of Parquet are verified on the way.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vmpz.errors import InputError, meant
from vmpz.files.fits import FitsFile, decoding, open_fits
from vmpz.files.hdu import Hdu, check_data_sum, fold
from vmpz.files.tables import Column, columns_of, physical
from vmpz.io.headers import sum_of

__all__ = [
    "DEGREES",
    "MAX_BYTES",
    "PARQUET",
    "POSITIONS",
    "ROWS",
    "ObjectTable",
    "must_be_numbers",
    "no_positions",
    "only_column",
    "open_objects",
    "parquet_blocks",
    "parquet_positions",
    "position_columns",
    "reading_parquet",
]

Floats = NDArray[np.float64]

POSITIONS = (
    ("RA", "DEC"), ("RIGHT_ASCENSION", "DECLINATION"), ("RA_J2000", "DEC_J2000"), ("RAJ2000", "DEJ2000"),
    ("RAJ2000", "DECJ2000"), ("RA_ICRS", "DE_ICRS"), ("RA_ICRS", "DEC_ICRS"), ("RA_DEG", "DEC_DEG"),
    ("ALPHA_J2000", "DELTA_J2000"), ("ALPHAWIN_J2000", "DELTAWIN_J2000"), ("ALPHA", "DELTA"),
    ("LON", "LAT"), ("LONGITUDE", "LATITUDE"),
)  # fmt: skip
"""Usual names of right ascension and declination, in any case; the first pair that is there counts."""

PARQUET = (".parquet", ".pq")
ROWS = 1 << 16
DEGREES = ("", "DEG", "DEGREE", "DEGREES")
MAX_BYTES = 1 << 50
"""Of a table; nothing of its size is ever allocated."""


def position_columns(names: Sequence[str], asked: Sequence[str] | None) -> tuple[str, str] | None:
    """The position columns among those that there are, None if they are not; names in any case, exact ones first."""
    for pair in POSITIONS if asked is None else [asked]:
        one, two = (_column_named(names, name) for name in pair)
        if one is not None and two is not None:
            return one, two
    return None


def only_column(names: Sequence[str], asked: str, where: str) -> str:
    """The column of a name in any case.

    Raises
    ------
    InputError
        There is none, or several have the name.
    """
    name = _column_named(names, asked)
    if name is None:
        raise InputError(
            f"{where}: column {asked} must be present, found {', '.join(names)}{meant(asked, names)}"
        )
    if list(names).count(name) > 1:
        raise InputError(f"{where}: column {name} must stand once, found it {list(names).count(name)} times")
    return name


def _column_named(names: Sequence[str], asked: str) -> str | None:
    """The name among those that there are, in any case, the exact one first."""
    if asked in names:
        return asked
    return next((name for name in names if name.upper() == asked.upper()), None)


def no_positions(names: Sequence[str], asked: Sequence[str] | None, where: str) -> InputError:
    """The error that says which columns of position must be there."""
    wanted = " or ".join("/".join(pair) for pair in (POSITIONS if asked is None else [asked]))
    return InputError(f"{where}: columns of position {wanted} must be present, found {', '.join(names)}")


# -- FITS -------------------------------------------------------------------------------------------------------------


@contextmanager
def open_objects(path: Path, asked: Sequence[str] | None) -> Iterator[tuple[FitsFile, "ObjectTable"]]:
    """Open a FITS file, plain or gzip, at its first table with positions, however large.

    Raises
    ------
    InputError
        The file is not a whole FITS file or has no such table.
    """
    with open_fits(str(path), MAX_BYTES) as file:
        yield file, _table_of(file, asked)


def _table_of(file: FitsFile, asked: Sequence[str] | None) -> "ObjectTable":
    """The first binary table that has columns of position."""
    tables = [
        unit for unit in file.hdus if unit.header.get("XTENSION") == "BINTABLE" and not unit.is_compressed
    ]
    if not tables:
        raise InputError(f"{file.location}: must hold a binary table, found none in {len(file.hdus)} HDUs")
    found = [ObjectTable(unit, asked) for unit in tables]
    for table in found:
        if table.has_positions:
            return table
    raise no_positions(found[0].names, asked, found[0].unit.where)


class ObjectTable:
    """A binary table of objects: its columns, and its rows in blocks."""

    def __init__(self, unit: Hdu, asked: Sequence[str] | None) -> None:
        self.unit = unit
        self.width = unit.cards.integer("NAXIS1")
        self.rows = unit.cards.integer("NAXIS2")
        self.heap_bytes = unit.cards.integer("PCOUNT")
        self.columns = columns_of(unit)
        self.names = [one.name for one in self.columns]
        self._found = position_columns(self.names, asked)

    @property
    def has_positions(self) -> bool:
        """Whether columns of position were found."""
        return self._found is not None

    @cached_property
    def pair(self) -> tuple[Column, Column]:
        """Columns of right ascension and declination, numbers in degrees.

        Raises
        ------
        InputError
            They are not.
        """
        one, two = (self.columns[self.names.index(name)] for name in self._found or ())
        for column in (one, two):
            cards, number = self.unit.cards, column.number
            if column.kind not in "ED" or column.repeat != 1:
                raise cards.error(f"TFORM{number}", f"of {column.name} must be one number (E or D)")
            if any(f"{name}{number}" in cards for name in ("TSCAL", "TZERO")):
                raise cards.error(f"TTYPE{number}", "of a position must not be scaled (TSCAL, TZERO)")
            if (cards.optional_text(f"TUNIT{number}") or "").upper() not in DEGREES:
                raise cards.error(f"TUNIT{number}", f"of {column.name} must be deg")
        return one, two

    def column(self, name: str) -> Column:
        """A column of one number a row; its name in any case.

        Raises
        ------
        InputError
            There is none, there are several, or it holds something else.
        """
        column = self.columns[self.names.index(only_column(self.names, name, self.unit.where))]
        if column.kind not in "BIJKED" or column.repeat != 1:
            raise self.unit.cards.error(f"TFORM{column.number}", f"of {name} must be one number")
        return column

    def blocks(self, file: FitsFile) -> Iterator[NDArray[np.uint8]]:
        """Rows as bytes (n, width), block by block.

        Raises
        ------
        InputError
            The file is cut.
        """
        with decoding(self.unit.where):
            stream = file.stream()
            stream.seek(self.unit.data_offset)
            for start in range(0, self.rows, ROWS):
                count = min(ROWS, self.rows - start)
                block = np.frombuffer(stream.read(count * self.width), np.uint8)
                if block.size != count * self.width:
                    raise InputError(
                        f"{self.unit.where}: must hold {self.rows} rows, found fewer: the file is cut"
                    )
                yield block.reshape(count, self.width)

    def verified_blocks(self, file: FitsFile) -> Iterator[NDArray[np.uint8]]:
        """The same; DATASUM is verified after the last.

        Raises
        ------
        InputError
            The file is cut, or its data were altered.
        """
        total = 0
        for block in self.blocks(file):
            total = fold(total + sum_of(block.reshape(-1)))
            yield block
        if self.heap_bytes:
            file.verify_data(self.unit)
        elif self.unit.datasum is not None:
            check_data_sum(total, self.unit.datasum, self.unit.where)

    def numbers(self, block: NDArray[np.uint8], column: Column) -> Floats:
        """A column of a block as float64, scaled as the header says, NaN where there is none."""
        bytes_ = block[:, column.offset : column.offset + column.width]
        return physical(np.ascontiguousarray(bytes_).view(column.dtype).ravel(), self.unit, column)


# -- Parquet ----------------------------------------------------------------------------------------------------------


def parquet_positions(schema: Any, asked: Sequence[str] | None, where: str) -> tuple[str, str]:
    """The columns of position of a Parquet file, numbers.

    Raises
    ------
    InputError
        They are not there, or hold something else.
    """
    pair = position_columns(schema.names, asked)
    if pair is None:
        raise no_positions(schema.names, asked, where)
    for name in pair:
        must_be_numbers(schema, name, where)
    return pair


def must_be_numbers(schema: Any, name: str, where: str) -> None:
    """Refuse a column of an Arrow schema that holds anything but numbers."""
    kind = schema.field(name).type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
        raise InputError(f"{where}: column {name} must hold numbers, found {kind}")


def parquet_blocks(path: Path, columns: Sequence[str] | None = None) -> Iterator[Any]:
    """Rows of a Parquet file, block by block; page checksums are verified where there are any."""
    with reading_parquet(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
        yield from file.iter_batches(ROWS, columns=None if columns is None else list(columns))


@contextmanager
def reading_parquet(path: Path) -> Iterator[None]:
    """Turn what the Parquet reader raises about damaged files into an `InputError`."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:  # the last: bytes that are no text
        raise InputError(
            f"{path}: must be whole Parquet whose page checksums hold, found: {error}"
        ) from error
