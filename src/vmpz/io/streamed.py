"""Partial HEALPix files written from a stream of rows, of which no more than a piece is ever in memory.

The file is the one that `vmpz.io.fits.write_partial` would write of the whole map, to the byte. Rows that are not
needed on disk (zeros of coverage type) are dropped on the way, and what the header says of the content (rows, observed
area) is filled in when the last row is written.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.files.write import write_whole
from vmpz.io.fits import forms_of, must_be_values, must_be_whole, partial_layout, split_keywords, verify
from vmpz.io.headers import cards_of, primary_cards, table_cards, write_unit
from vmpz.io.metadata import COVERAGE_TYPE, to_disk
from vmpz.io.rows import RowsFile, Words
from vmpz.kernels.rows import covered_ranges
from vmpz.parameters import MapParameters
from vmpz.products import Product, Scalar
from vmpz.sky.cells import CellSet
from vmpz.sky.hpx import cell_area_deg2

__all__ = ["Content", "read_span", "write_rows"]


@dataclass
class Content:
    """What was written.

    Attributes
    ----------
    order : int
    rows : int
    total, minimum, maximum : float
        Of WEIGHT as the package holds it (observed fractions).
    spans : dict of int to (first row, rows)
        Where the rows of each piece are.
    """

    order: int
    rows: int = 0
    total: float = 0.0
    minimum: float = np.inf
    maximum: float = -np.inf
    spans: dict[int, tuple[int, int]] = field(default_factory=dict)
    ranges: list[NDArray[np.int64]] = field(default_factory=list)

    @property
    def cells(self) -> CellSet:
        """The cells that are listed."""
        return CellSet.from_ranges(self.order, np.concatenate(self.ranges) if self.ranges else ())

    @property
    def integral_deg2(self) -> float:
        """Sum of value times cell area."""
        return self.total * cell_area_deg2(self.order)


def write_rows(
    product: Product,
    path: Path,
    maps: MapParameters,
    row_type: np.dtype[Any],
    pieces: Iterable[tuple[int, Words]],
    described: Callable[[Content], Mapping[str, Scalar]],
) -> Content:
    """Write a partial HEALPix file from its rows, whole or not at all.

    Parameters
    ----------
    product : Product
        Key, keywords, unit and provenance; its maps are not looked at.
    path : Path
    maps : MapParameters
        Convention, zeros, strictness.
    row_type : numpy.dtype
        Big-endian record: PIXEL, WEIGHT, further columns.
    pieces : iterable of (number, rows)
        Rows as big-endian words, uint32 (n, words), ascending in PIXEL over all pieces; valid until the next piece.
    described : callable
        Keywords of the table that depend on the content; the same names whatever it is.

    Raises
    ------
    InputError
        A value cannot be written: NaN, a fraction outside [0, 1], a keyword that is not in the table; or a piece does
        not follow the one before.
    MapMismatchError
        The MER convention is asked of a map that does not list its whole area.
    """
    content = Content(product.key.order)
    is_mer = maps.coverage_convention == "MER" and product.key.kind in COVERAGE_TYPE
    on_disk = _as_mer(row_type) if is_mer else row_type

    def finished() -> Product:
        return replace(product, keywords={**product.keywords, **described(content)})

    def table() -> list[str]:
        columns = {name: np.empty(0, on_disk[name].newbyteorder("=")) for name in on_disk.names or ()}
        cards = table_cards(
            forms_of(columns, product.unit), on_disk.itemsize, content.rows, partial_layout(product.key)
        )
        return cards + cards_of(split_keywords(finished(), maps)[1])

    def chunks() -> Iterator[NDArray[Any]]:
        for number, rows in pieces:
            records = _kept(rows.view(row_type).ravel(), product, maps)
            _take_note(content, number, records, product)
            if records.size:
                yield _converted(records, on_disk) if is_mer else records
        if is_mer:
            must_be_whole(finished(), content.rows)

    with write_whole(path, verify) as temporary, temporary.open("wb") as stream:
        write_unit(stream, primary_cards(split_keywords(product, maps)[0]))
        write_unit(stream, table, chunks())
    return content


def _as_mer(row_type: np.dtype[Any]) -> np.dtype[Any]:
    """In the MER convention WEIGHT is a float64: see `vmpz.io.metadata`."""
    names = row_type.names or ()
    return np.dtype([(name, np.dtype(">f8") if name == "WEIGHT" else row_type[name]) for name in names])


def _kept(records: NDArray[Any], product: Product, maps: MapParameters) -> NDArray[Any]:
    """Rows that are listed on disk."""
    drops = product.key.kind in COVERAGE_TYPE and not maps.write_zeros and maps.coverage_convention != "MER"
    if not drops:
        return records
    some = records["WEIGHT"] != 0  # a NaN or a negative fraction stays, to be refused
    return records if some.all() else records[some]


def _take_note(content: Content, number: int, records: NDArray[Any], product: Product) -> None:
    content.spans[number] = (content.rows, records.size)
    if not records.size:
        return
    weight = records["WEIGHT"].astype(records.dtype["WEIGHT"].newbyteorder("="))
    low, high = must_be_values(weight, product)
    content.rows += records.size
    content.total += float(np.sum(weight, dtype=np.float64))
    content.minimum, content.maximum = min(content.minimum, low), max(content.maximum, high)
    ranges = np.empty((records.size, 2), np.int64)
    count = covered_ranges(records.view(np.uint32).reshape(records.size, -1), ranges)
    if content.ranges and ranges[0, 0] < content.ranges[-1][-1, 1]:
        raise InputError(
            f"{product.key}: rows must ascend, found {ranges[0, 0]} after {content.ranges[-1][-1, 1] - 1}"
        )
    content.ranges.append(ranges[:count].copy())


def _converted(records: NDArray[Any], on_disk: np.dtype[Any]) -> NDArray[Any]:
    converted = np.empty(records.size, on_disk)
    for name in on_disk.names or ():
        values = records[name]
        converted[name] = to_disk(values, "MER") if name == "WEIGHT" else values
    return converted


def read_span(file: RowsFile, first: int, count: int) -> Words:
    """Some rows of a file, read and not mapped: a large file does not stay in memory."""
    size = file.row_type.itemsize
    with file.path.open("rb") as stream:
        data = os.pread(stream.fileno(), count * size, file.offset + first * size)
    if len(data) != count * size:
        raise InputError(f"{file.path}: must not change while it is read, found it cut")
    return np.frombuffer(data, np.uint32).reshape(count, size // 4)
