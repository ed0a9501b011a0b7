"""Binary tables as numpy columns, read strictly.

Only what input tables of surveys hold: fixed-length columns of numbers, logicals and text. Variable-length columns and
scaled columns are refused by name where they are asked for.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError, meant
from vmpz.files.fits import FitsFile, decoding
from vmpz.files.hdu import Hdu, check_data_sum, data_sum

__all__ = ["Column", "Table", "columns_of", "physical", "read_table"]

TYPES = {
    "L": "S1",
    "B": "u1",
    "I": ">i2",
    "J": ">i4",
    "K": ">i8",
    "E": ">f4",
    "D": ">f8",
    "P": ">i4",
    "Q": ">i8",
}
WIDTHS = {"L": 1, "B": 1, "A": 1, "I": 2, "J": 4, "K": 8, "E": 4, "D": 8, "C": 8, "M": 16, "P": 8, "Q": 16}
MAX_BYTES = 1 << 31


@dataclass(frozen=True)
class Column:
    """A column of a binary table: number, name, repeat count, type letter, first byte in the row."""

    number: int
    name: str
    repeat: int
    kind: str
    offset: int

    @property
    def width(self) -> int:
        """Bytes in a row."""
        return -(-self.repeat // 8) if self.kind == "X" else WIDTHS[self.kind] * self.repeat

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of one stored element, big-endian, of a column of numbers or logicals."""
        return np.dtype(TYPES[self.kind])


@dataclass(frozen=True)
class Table:
    """Columns of one length, their units ('' where none is stated), and where they stand."""

    columns: Mapping[str, NDArray[Any]]
    units: Mapping[str, str]
    where: str

    def __getitem__(self, name: str) -> NDArray[Any]:
        """A column; its name in any case.

        Raises
        ------
        InputError
            There is none; the message lists those there are.
        """
        for key, values in self.columns.items():
            if key.upper() == name.upper():
                return values
        raise InputError(
            f"{self.where}: column {name} must be present, found {', '.join(self.columns)}"
            f"{meant(name, self.columns)}"
        )

    def __contains__(self, name: str) -> bool:
        return any(key.upper() == name.upper() for key in self.columns)

    def finite(self, name: str) -> NDArray[np.float64]:
        """A column of finite numbers as float64.

        Raises
        ------
        InputError
            It is missing, not of numbers, or holds NaN or infinities.
        """
        values = self[name]
        if values.dtype.kind not in "iuf":
            raise InputError(f"{self.where}: column {name} must hold numbers, found {values.dtype}")
        number = values.astype(np.float64)
        if not np.isfinite(number).all():
            raise InputError(
                f"{self.where}: column {name} must be finite, found {np.sum(~np.isfinite(number))} that are not"
            )
        return number


def read_table(file: FitsFile, hdu: int | str | Hdu, columns: Collection[str] | None = None) -> Table:
    """Read a binary table, or some of its columns (native byte order), and verify its DATASUM.

    Parameters
    ----------
    file : FitsFile
    hdu : int, str or Hdu
    columns : collection of str, optional
        Names in any case; default all fixed-length ones.

    Raises
    ------
    InputError
        It is not a binary table, its widths do not add up, or a column is missing or of a kind that is not read.
    """
    unit = hdu if isinstance(hdu, Hdu) else file.hdu(hdu)
    if unit.header.get("XTENSION") != "BINTABLE" or unit.data_bytes > MAX_BYTES:
        raise InputError(f"{unit.where}: must be a BINTABLE of at most {MAX_BYTES} bytes")
    record = _record(unit)
    rows = unit.cards.integer("NAXIS2")
    with decoding(unit.where):
        stream = file.stream()
        stream.seek(unit.data_offset)
        data = stream.read(unit.padded_bytes)
    if unit.datasum is not None:
        check_data_sum(data_sum(data), unit.datasum, unit.where)
    table = np.frombuffer(data, record, rows)
    wanted = None if columns is None else {name.upper() for name in columns}
    names = [name for name in record.names or () if wanted is None or name.upper() in wanted]
    found = {
        name: _native(table[name]) for name in names if _is_readable(unit, record, name, wanted is not None)
    }
    units = {name: unit.cards.optional_text(f"TUNIT{_number(record, name)}") or "" for name in found}
    result = Table(found, units, unit.where)
    for name in columns or ():
        result[name]
    return result


def columns_of(unit: Hdu) -> list[Column]:
    """The columns of a binary table, of any type.

    Raises
    ------
    InputError
        A TFORM is none of the standard, or the widths do not add up to NAXIS1.
    """
    cards, columns, offset = unit.cards, [], 0
    for number in range(1, cards.integer("TFIELDS") + 1):
        match = re.fullmatch(r"(\d{0,9})([LXBAIJKEDCMPQ])(.*)", cards.text(f"TFORM{number}"))
        if match is None:
            raise cards.error(f"TFORM{number}", "must be a format of the standard")
        name = cards.optional_text(f"TTYPE{number}") or f"column{number}"
        columns.append(Column(number, name, int(match[1] or 1), match[2], offset))
        offset += columns[-1].width
    if offset != cards.integer("NAXIS1"):
        raise cards.error("NAXIS1", f"must be the sum of the column widths, {offset}")
    return columns


def physical(stored: NDArray[Any], unit: Hdu, column: Column) -> NDArray[np.float64]:
    """Stored numbers of a column as float64: NaN where TNULL, else TZERO + TSCAL times the number."""
    cards, number = unit.cards, column.number
    values = stored.astype(np.float64)
    if f"TNULL{number}" in cards and stored.dtype.kind in "iu":
        values[stored == cards.integer(f"TNULL{number}")] = np.nan
    scale, zero = (cards.optional_number(f"{key}{number}") for key in ("TSCAL", "TZERO"))
    if scale is not None:
        values *= scale
    return values if zero is None else values + zero


def _record(unit: Hdu) -> np.dtype[Any]:
    """The row as a structured type; variable-length columns as their descriptors."""
    fields = [(column.name, *_field(unit, column)) for column in columns_of(unit)]
    try:
        return np.dtype(fields)
    except ValueError as error:
        raise InputError(f"{unit.where}: column names must differ, found: {error}") from error


def _field(unit: Hdu, column: Column) -> tuple[Any, tuple[int, ...]]:
    if column.kind in "AX":
        return f"{'S' if column.kind == 'A' else 'V'}{column.width}", ()
    if column.kind not in TYPES:
        raise unit.cards.error(f"TFORM{column.number}", "must be a format of numbers, logicals or text")
    count = 2 * column.repeat if column.kind in "PQ" else column.repeat
    return TYPES[column.kind], () if count == 1 else (count,)


def _is_readable(unit: Hdu, record: np.dtype[Any], name: str, asked: bool) -> bool:
    """Whether a column has a fixed length and no scaling; one that has not is an error if it was asked for."""
    number = _number(record, name)
    plain = unit.cards.text(f"TFORM{number}").lstrip("0123456789")[0] not in "PQX"
    plain = plain and (unit.cards.optional_number(f"TSCAL{number}") or 1.0) == 1.0
    plain = plain and (unit.cards.optional_number(f"TZERO{number}") or 0.0) == 0.0
    if asked and not plain:
        raise InputError(f"{unit.where}: column {name} must have a fixed length and no scaling")
    return plain


def _number(record: np.dtype[Any], name: str) -> int:
    return (record.names or ()).index(name) + 1


def _native(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind == "S":
        return np.char.rstrip(values).astype(str) if values.dtype.itemsize else values.astype(str)
    return np.ascontiguousarray(values.astype(values.dtype.newbyteorder("=")))
