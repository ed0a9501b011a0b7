"""Catalogues of objects that get further columns: FITS tables and Parquet, copied block by block.

Nothing of the input is interpreted but the positions. Of a FITS table the bytes of every row, the cards of every column
(of any type, variable-length ones included) and all other cards are copied as they are; of a Parquet file the columns,
types and metadata. Only the positions and the new columns are ever in memory as a whole.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.files.fits import FitsFile, decoding, open_fits
from vmpz.files.hdu import Hdu, check_data_sum, data_sum, fold
from vmpz.files.write import write_whole
from vmpz.io.fits import FORMS, verify
from vmpz.io.headers import card, primary_cards, write_unit

__all__ = ["POSITIONS", "Added", "Catalogue", "open_catalogue"]

Floats = NDArray[np.float64]
Columns = Mapping[str, "Added"]

POSITIONS = (
    ("RA", "DEC"), ("RIGHT_ASCENSION", "DECLINATION"), ("RA_J2000", "DEC_J2000"), ("RAJ2000", "DEJ2000"),
    ("RAJ2000", "DECJ2000"), ("RA_ICRS", "DE_ICRS"), ("RA_ICRS", "DEC_ICRS"), ("RA_DEG", "DEC_DEG"),
    ("ALPHA_J2000", "DELTA_J2000"), ("ALPHAWIN_J2000", "DELTAWIN_J2000"), ("ALPHA", "DELTA"),
    ("LON", "LAT"), ("LONGITUDE", "LATITUDE"),
)  # fmt: skip
"""Usual names of right ascension and declination, in any case; the first pair that is there counts."""

PARQUET = (".parquet", ".pq")
ROWS = 1 << 16
CARD = 80
MOST_COLUMNS = 999
DEGREES = ("", "DEG", "DEGREE", "DEGREES")
WIDTHS = {"L": 1, "B": 1, "A": 1, "I": 2, "J": 4, "K": 8, "E": 4, "D": 8, "C": 8, "M": 16, "P": 8, "Q": 16}
NUMBERS = {"E": ">f4", "D": ">f8"}


@dataclass(frozen=True)
class Added:
    """A new column: values (n,), FITS unit, and what it is."""

    values: NDArray[Any]
    unit: str = ""
    meaning: str = ""


class Catalogue(Protocol):
    """A catalogue on disk."""

    def positions(self, columns: Sequence[str] | None = None) -> tuple[Floats, Floats]:
        """Right ascension and declination (degrees) of all rows; NaN where there is none.

        Parameters
        ----------
        columns : two str, optional
            Their names; default the first of `POSITIONS`.

        Raises
        ------
        InputError
            There are no such columns, or they are not numbers in degrees.
        """
        ...

    def write(self, path: Path, added: Columns) -> None:
        """Write the catalogue with further columns, whole or not at all.

        Raises
        ------
        InputError
            A name is there already, or the file name says another form than that of the catalogue.
        """
        ...


def open_catalogue(path: Path) -> Catalogue:
    """The catalogue in a FITS file (plain or gzip; its first table with positions) or a Parquet file.

    Raises
    ------
    InputError
        The file is neither, is not whole, or is not there.
    """
    if not path.is_file():
        raise InputError(f"{path}: must be a catalogue (.fits, .fits.gz, .parquet), found nothing")
    if path.name.endswith(PARQUET):
        return _ParquetCatalogue(path)
    return _FitsCatalogue(path)


def _pair(names: Sequence[str], asked: Sequence[str] | None) -> tuple[str, str] | None:
    """The position columns among those that there are, None if they are not; names in any case, exact ones first."""
    known = {name.upper(): name for name in reversed(names)} | {name: name for name in names}
    for pair in POSITIONS if asked is None else [asked]:
        one, two = (known.get(name, known.get(name.upper())) for name in pair)
        if one is not None and two is not None:
            return one, two
    return None


def _no_positions(names: Sequence[str], asked: Sequence[str] | None, where: str) -> InputError:
    wanted = " or ".join("/".join(pair) for pair in (POSITIONS if asked is None else [asked]))
    return InputError(f"{where}: columns of position {wanted} must be present, found {', '.join(names)}")


def _must_be_new(names: Iterable[str], added: Columns, where: str) -> None:
    there = {name.upper() for name in names}
    twice = [name for name in added if name.upper() in there]
    if twice:
        raise InputError(f"{where}: must not have the columns to be added yet, found {', '.join(twice)}")


# -- FITS -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Column:
    """A column of a binary table: number, name, repeat count, type letter, place in the row."""

    number: int
    name: str
    repeat: int
    kind: str
    offset: int


class _FitsCatalogue:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._asked: Sequence[str] | None = None

    def positions(self, columns: Sequence[str] | None = None) -> tuple[Floats, Floats]:
        """See `Catalogue`; DATASUM is verified on the way."""
        self._asked = columns
        with open_fits(str(self._path)) as file:
            table = _table_of(file, columns)
            lon, lat = np.empty(table.rows), np.empty(table.rows)
            start = total = 0
            for block in table.blocks(file):
                stop = start + len(block)
                lon[start:stop], lat[start:stop] = (table.numbers(block, one) for one in table.pair)
                start, total = stop, fold(total + data_sum(block))
            if table.heap_bytes:
                file.verify_data(table.unit)
            elif table.unit.datasum is not None:
                check_data_sum(total, table.unit.datasum, table.unit.where)
        return lon, lat

    def write(self, path: Path, added: Columns) -> None:
        """See `Catalogue`."""
        if not path.name.endswith(".fits"):
            raise InputError(
                f"{path}: the catalogue with new columns must end in .fits as {self._path.name} does"
            )
        with open_fits(str(self._path)) as file:
            table = _table_of(file, self._asked)
            where = table.unit.where
            _must_be_new(table.names, added, where)
            if len(table.columns) + len(added) > MOST_COLUMNS:
                raise InputError(f"{where}: a FITS table holds at most {MOST_COLUMNS} columns")
            with write_whole(path, verify) as temporary, temporary.open("wb") as stream:
                write_unit(stream, _primary(file.hdus[0]))
                write_unit(stream, table.cards(added), _aligned(table.chunks(file, added)))


class _FitsTable:
    """A binary table that is copied: its columns, its rows in blocks, its heap, its cards."""

    def __init__(self, unit: Hdu, asked: Sequence[str] | None) -> None:
        self.unit = unit
        self.width = unit.cards.integer("NAXIS1")
        self.rows = unit.cards.integer("NAXIS2")
        self.heap_bytes = unit.cards.integer("PCOUNT")
        self.columns = list(_columns(unit))
        self.names = [one.name for one in self.columns]
        self._found = _pair(self.names, asked)
        if self.columns and sum(_bytes(one) for one in self.columns) != self.width:
            raise unit.cards.error("NAXIS1", "must be the sum of the column widths")

    @property
    def heap_begin(self) -> int:
        """Place of the heap in the data."""
        cards = self.unit.cards
        return cards.integer("THEAP") if "THEAP" in cards else self.width * self.rows

    @property
    def has_positions(self) -> bool:
        """Whether columns of position were found."""
        return self._found is not None

    @cached_property
    def pair(self) -> tuple[_Column, _Column]:
        """Columns of right ascension and declination, numbers in degrees.

        Raises
        ------
        InputError
            They are not.
        """
        one, two = (self.columns[self.names.index(name)] for name in self._found or ())
        for column in (one, two):
            cards, number = self.unit.cards, column.number
            if column.kind not in NUMBERS or column.repeat != 1:
                raise cards.error(f"TFORM{number}", f"of {column.name} must be one number (E or D)")
            if any(f"{name}{number}" in cards for name in ("TSCAL", "TZERO")):
                raise cards.error(f"TTYPE{number}", "of a position must not be scaled (TSCAL, TZERO)")
            if (cards.optional_text(f"TUNIT{number}") or "").upper() not in DEGREES:
                raise cards.error(f"TUNIT{number}", f"of {column.name} must be deg")
        return one, two

    def blocks(self, file: FitsFile) -> Iterator[NDArray[np.uint8]]:
        """Rows as bytes (n, width), block by block."""
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

    def numbers(self, block: NDArray[np.uint8], column: _Column) -> Floats:
        """A column of a block as float64."""
        bytes_ = block[:, column.offset : column.offset + _bytes(column)]
        return np.ascontiguousarray(bytes_).view(NUMBERS[column.kind]).ravel().astype(np.float64)

    def chunks(self, file: FitsFile, added: Columns) -> Iterator[NDArray[np.uint8]]:
        """The new data: rows with the new columns behind the old ones, then the heap as it is."""
        start = 0
        for block in self.blocks(file):
            stop = start + len(block)
            more = [_big_endian(one.values[start:stop]) for one in added.values()]
            yield np.concatenate([block, *more], axis=1).ravel()
            start = stop
        if self.heap_bytes:
            yield from self._heap(file)

    def _heap(self, file: FitsFile) -> Iterator[NDArray[np.uint8]]:
        stream, left = file.stream(), self.unit.data_bytes - self.heap_begin
        stream.seek(self.unit.data_offset + self.heap_begin)
        while left > 0:
            piece = np.frombuffer(stream.read(min(left, 1 << 22)), np.uint8)
            if not piece.size:
                raise InputError(f"{self.unit.where}: the heap must be whole, found that it is cut")
            yield piece
            left -= piece.size

    def cards(self, added: Columns) -> list[str]:
        """Cards of the new table: all old ones but sizes and checksums, then those of the new columns."""
        heap = self.unit.data_bytes - self.heap_begin if self.heap_bytes else 0
        width = self.width + sum(one.values.dtype.itemsize for one in added.values())
        changed = {
            "NAXIS1": card("NAXIS1", width, "bytes of a row"),
            "PCOUNT": card("PCOUNT", heap, "bytes of the heap"),
            "TFIELDS": card("TFIELDS", len(self.columns) + len(added), "number of columns"),
        }
        cards = [changed.get(image[:8].strip(), image) for image in _images(self.unit, {"THEAP"})]
        for number, (name, one) in enumerate(added.items(), len(self.columns) + 1):
            dtype = one.values.dtype
            cards += [
                card(f"TTYPE{number}", name),
                card(f"TFORM{number}", FORMS[f"{dtype.kind}{dtype.itemsize}"]),
            ]
            cards += [card(f"TUNIT{number}", one.unit)] if one.unit else []
            cards += [card(f"TCOMM{number}", one.meaning)] if one.meaning else []
        return cards


def _table_of(file: FitsFile, asked: Sequence[str] | None) -> _FitsTable:
    """The first binary table that has columns of position."""
    tables = [
        unit for unit in file.hdus if unit.header.get("XTENSION") == "BINTABLE" and not unit.is_compressed
    ]
    if not tables:
        raise InputError(f"{file.location}: must hold a binary table, found none in {len(file.hdus)} HDUs")
    found = [_FitsTable(unit, asked) for unit in tables]
    for table in found:
        if table.has_positions:
            return table
    raise _no_positions(found[0].names, asked, found[0].unit.where)


def _columns(unit: Hdu) -> Iterator[_Column]:
    offset = 0
    for number in range(1, unit.cards.integer("TFIELDS") + 1):
        match = re.fullmatch(r"(\d{0,9})([LXBAIJKEDCMPQ])(.*)", unit.cards.text(f"TFORM{number}").strip())
        if match is None:
            raise unit.cards.error(f"TFORM{number}", "must be a table format of the standard")
        name = unit.cards.optional_text(f"TTYPE{number}") if f"TTYPE{number}" in unit.cards else None
        repeat = int(match[1]) if match[1] else 1
        column = _Column(number, (name or f"column{number}").strip(), repeat, match[2], offset)
        offset += _bytes(column)
        yield column


def _bytes(column: _Column) -> int:
    return -(-column.repeat // 8) if column.kind == "X" else WIDTHS[column.kind] * column.repeat


def _images(unit: Hdu, without: set[str]) -> Iterator[str]:
    """Cards as they stand, but for the end, checksums and those named."""
    text = unit.header_bytes.decode("ascii")
    images = [text[at : at + CARD] for at in range(0, len(text), CARD)]
    end = images.index(f"{'END':<{CARD}}")
    left_out = {"CHECKSUM", "DATASUM", *without}
    yield from (image for image in images[:end] if image[:8].strip() not in left_out)


def _primary(unit: Hdu) -> list[str]:
    """Cards of the primary header; a new one where the old one has data, which are left out."""
    return list(_images(unit, set())) if unit.data_bytes == 0 else primary_cards({})


def _big_endian(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Values as the bytes of their rows (n, bytes)."""
    stored = np.ascontiguousarray(values.astype(values.dtype.newbyteorder(">"), copy=False))
    return stored.view(np.uint8).reshape(len(values), values.dtype.itemsize)


def _aligned(chunks: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    """The same bytes in chunks of whole 32-bit words, but for the last."""
    rest = np.empty(0, np.uint8)
    for chunk in chunks:
        whole = np.concatenate((rest, chunk)) if rest.size else chunk
        cut = whole.size // 4 * 4
        rest = whole[cut:]
        if cut:
            yield whole[:cut]
    if rest.size:
        yield rest


# -- Parquet ----------------------------------------------------------------------------------------------------------


class _ParquetCatalogue:
    def __init__(self, path: Path) -> None:
        self._path = path
        with _reading(path):
            self._schema = pq.read_schema(path)

    def positions(self, columns: Sequence[str] | None = None) -> tuple[Floats, Floats]:
        """See `Catalogue`."""
        names, where = self._schema.names, str(self._path)
        pair = _pair(names, columns)
        if pair is None:
            raise _no_positions(names, columns, where)
        for name in pair:
            kind = self._schema.field(name).type
            if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
                raise InputError(f"{where}: column {name} must hold numbers, found {kind}")
        batches = list(_batches(self._path, pair))
        lon, lat = (
            np.concatenate([np.empty(0), *(batch[name].to_numpy(zero_copy_only=False) for batch in batches)])
            for name in pair
        )
        return lon, lat

    def write(self, path: Path, added: Columns) -> None:
        """See `Catalogue`."""
        if not path.name.endswith(PARQUET):
            raise InputError(
                f"{path}: the catalogue with new columns must end in .parquet as {self._path.name} does"
            )
        _must_be_new(self._schema.names, added, str(self._path))
        schema = self._schema
        for name, one in added.items():
            told = {key: text for key, text in (("unit", one.unit), ("description", one.meaning)) if text}
            schema = schema.append(
                pa.field(name, pa.from_numpy_dtype(one.values.dtype), metadata=told or None)
            )
        start = 0
        with (
            write_whole(path, _verify_parquet) as temporary,
            pq.ParquetWriter(
                temporary,
                schema,
                compression="zstd",
                use_dictionary=_words(schema),  # type: ignore[arg-type]
                write_page_checksum=True,
            ) as writer,
        ):
            for batch in _batches(self._path):
                more = [pa.array(one.values[start : start + len(batch)]) for one in added.values()]
                writer.write_batch(pa.record_batch([*batch.columns, *more], schema=schema))
                start += len(batch)


def _words(schema: Any) -> list[str]:
    """Columns in which values repeat: a dictionary of floats costs time and saves nothing."""
    return [field.name for field in schema if not pa.types.is_floating(field.type)]


def _batches(path: Path, columns: Sequence[str] | None = None) -> Iterator[Any]:
    """Rows of a Parquet file, block by block; page checksums are verified where there are any."""
    with _reading(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
        yield from file.iter_batches(ROWS, columns=None if columns is None else list(columns))


def _verify_parquet(path: Path) -> None:
    for _ in _batches(path):
        pass


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{path}: must be whole Parquet whose page checksums hold, found: {error}"
        ) from error
