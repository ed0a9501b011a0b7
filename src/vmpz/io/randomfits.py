"""Random catalogues as FITS tables of any size, written by any number of processes.

The number of rows is known before the first is written, so the file has its final size from the beginning and every
row its place: whoever has rows writes them where they belong (`write_rows`), in any order, and hands in a receipt. A
row is a whole number of 32-bit words, so the DATASUM of the table is the sum of what the receipts say, and nothing is
read again. The file gets its name when every row has been written once.
"""

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.files.fits import open_fits
from vmpz.files.hdu import BLOCK, fold
from vmpz.files.write import as_storage_error, write_whole
from vmpz.io.fits import verify
from vmpz.io.headers import cards_of, primary_cards, table_cards, unit_header, write_unit
from vmpz.io.inventory import token_of
from vmpz.io.metadata import OWN, PRIMARY, keyword, keywords_of
from vmpz.io.objects import MAX_BYTES
from vmpz.io.randomcolumns import (
    FORMS,
    Arrays,
    RandomColumn,
    counted,
    must_be_columns,
    must_be_positions,
    must_suit,
    row_type,
)
from vmpz.kernels.packing import pack_long_words, pack_words
from vmpz.products import Product

__all__ = ["Part", "Place", "RandomFits", "create_random_fits", "write_rows"]

WORD = 4
ROWS = 1 << 14
"""Rows that are packed at a time: they stay in the cache."""


@dataclass(frozen=True)
class Place:
    """Where the rows of a table are: small and picklable, for any process that sees the file system.

    Attributes
    ----------
    path : Path
        The file that is being written, not yet under its name.
    offset : int
        Of the first row in it.
    rows : int
    columns : tuple of RandomColumn
    """

    path: Path
    offset: int
    rows: int
    columns: tuple[RandomColumn, ...]


@dataclass(frozen=True)
class Part:
    """The receipt of rows that were written: the first, how many, and the ones-complement sum of their words."""

    first_row: int
    rows: int
    total: int


@dataclass
class RandomFits:
    """A table that is being written.

    Attributes
    ----------
    place : Place
        To be given to whoever writes rows.
    """

    place: Place
    _parts: list[Part] = field(default_factory=list)

    def take(self, part: Part) -> None:
        """Take the receipt of rows that were written, in any order."""
        self._parts.append(part)

    def datasum(self) -> int:
        """Ones-complement sum of the table.

        Raises
        ------
        InputError
            A row was not written, or was written twice.
        """
        total = expected = 0
        for part in sorted(self._parts, key=lambda one: (one.first_row, one.rows)):
            if part.first_row != expected:
                told = "twice" if part.first_row < expected else "never"
                row = min(part.first_row, expected)
                raise InputError(f"{self.place.path}: every row must be written once, found row {row} {told}")
            total, expected = fold(total + part.total), expected + part.rows
        if expected != self.place.rows:
            raise InputError(f"{self.place.path}: {self.place.rows} rows must be written, found {expected}")
        return total


@contextmanager
def create_random_fits(
    path: Path,
    columns: Sequence[RandomColumn],
    rows: int,
    product: Product,
    *,
    strict: bool = False,
    reread: bool = False,
) -> Iterator[RandomFits]:
    """Write a random catalogue as a FITS table, whole or not at all.

    Parameters
    ----------
    path : Path
    columns : sequence of RandomColumn
    rows : int
        Of the whole table.
    product : Product
        Key (kind 'random'), keywords and provenance. NSIMOBJ, CAT_NOBJ and HPXORDER are filled in.
    strict : bool
        Leave the project's own keywords out.
    reread : bool
        Read all of it back before it gets its name; else its headers alone.

    Yields
    ------
    RandomFits
        Its `place` says where rows are written, by `write_rows`; every receipt goes to its `take`.

    Raises
    ------
    InputError
        A keyword or column cannot be written, or a row was never written, or twice.
    StorageError
        There is no room for the file, or the system refuses.
    """
    columns = tuple(columns)
    must_be_columns(columns)
    first, cards = _cards(counted(product, rows), columns, rows, strict)
    with write_whole(path, verify if reread else _verify_headers) as temporary:
        with temporary.open("wb") as stream:
            write_unit(stream, first)
            start = stream.tell()
            offset = start + len(unit_header(cards, 0))
            size = offset + -(-rows * row_type(columns).itemsize // BLOCK) * BLOCK
            _must_fit(size, temporary)
            stream.truncate(size)
        table = RandomFits(Place(temporary, offset, rows, columns))
        yield table
        header = unit_header(cards, table.datasum())
        with temporary.open("r+b") as stream:
            stream.seek(start)
            stream.write(header)


def write_rows(place: Place, first_row: int, arrays: Arrays) -> Part:
    """Write rows at their place, from any process.

    Parameters
    ----------
    place : Place
    first_row : int
        Number of the first of them, from 0.
    arrays : mapping of str to array (n,)
        Every column, in its type.

    Returns
    -------
    Part
        The receipt, for `RandomFits.take`.

    Raises
    ------
    InputError
        The arrays are not those of the columns, a position is not on the sphere, or the rows reach beyond the table.
    StorageError
        The system refuses.
    """
    count = must_suit(place.columns, arrays, place.path)
    if first_row < 0 or first_row + count > place.rows:
        raise InputError(
            f"{place.path}: rows must lie in the table of {place.rows}, "
            f"found {first_row} to {first_row + count}"
        )
    must_be_positions(arrays, place.path)
    bits = [_bits(arrays[one.name]) for one in place.columns]
    row_bytes = row_type(place.columns).itemsize
    buffer, total = np.empty((min(count, ROWS), row_bytes // WORD), np.uint32), 0
    with as_storage_error(place.path), place.path.open("r+b", buffering=0) as stream:
        for start in range(0, count, ROWS):
            block = buffer[: min(ROWS, count - start)]
            total = fold(total + _pack([one[start : start + ROWS] for one in bits], block))
            _write_at(stream.fileno(), block, place.offset + (first_row + start) * row_bytes)
    return Part(first_row, count, total)


def _bits(array: NDArray[Any]) -> NDArray[Any]:
    """Values as unsigned integers of their size."""
    return np.ascontiguousarray(array).view(f"u{array.itemsize}")


def _pack(columns: Sequence[NDArray[Any]], block: NDArray[np.uint32]) -> int:
    """Fill rows with columns; returns the sum of their words."""
    total = first = 0
    for values in columns:
        pack = pack_words if values.itemsize == WORD else pack_long_words
        total += int(pack(values, bool(np.little_endian), block[:, first:]))
        first += values.itemsize // WORD
    return total


def _write_at(handle: int, block: NDArray[np.uint32], offset: int) -> None:
    data = block.data.cast("B")
    while data:
        done = os.pwrite(handle, data, offset)
        data, offset = data[done:], offset + done


def _cards(
    product: Product, columns: Sequence[RandomColumn], rows: int, strict: bool
) -> tuple[list[str], list[str]]:
    """Cards of the primary header and of the table."""
    words = keywords_of(product)
    primary = {name: value for name, value in words.items() if keyword(name) in PRIMARY}
    own = {
        name: value
        for name, value in words.items()
        if name not in primary and not (strict and (row := keyword(name)) and row.name in OWN)
    }
    forms = {one.name: (FORMS[one.kind], one.unit) for one in columns}
    layout = {
        "EXTNAME": (token_of(product.key, "catalogue"), "what this is"),
        "CAT_TYPE": ("RANDOM", "kind of catalogue"),
        "COORD": ("EQUATORIAL", "coordinates (ICRS)"),
        "ANGLE": ("DEG", "unit of angles"),
    }
    table = table_cards(forms, row_type(columns).itemsize, rows, layout)
    return primary_cards(primary), table + cards_of(own)


def _must_fit(size: int, path: Path) -> None:
    free = shutil.disk_usage(path.parent).free
    if size > free:
        raise OSError(errno.ENOSPC, f"the catalogue needs {size} bytes")


def _verify_headers(path: Path) -> None:
    with open_fits(str(path), MAX_BYTES):
        pass
