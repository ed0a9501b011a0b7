"""Catalogues of objects that get further columns: FITS tables and Parquet, copied block by block.

Nothing of the input is interpreted but the positions. Of a FITS table the bytes of every row, the cards of every column
(of any type, variable-length ones included) and all other cards are copied as they are; of a Parquet file the columns,
types and metadata. Only the positions and the new columns are ever in memory as a whole.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.files.fits import FitsFile
from vmpz.files.hdu import Hdu
from vmpz.files.nearby import what_is_at
from vmpz.files.write import write_whole
from vmpz.io.fits import FORMS, verify
from vmpz.io.headers import card, primary_cards, write_unit
from vmpz.io.objects import (
    PARQUET,
    POSITIONS,
    ObjectTable,
    open_objects,
    parquet_blocks,
    parquet_positions,
    reading_parquet,
)

__all__ = ["POSITIONS", "Added", "Catalogue", "open_catalogue"]

Floats = NDArray[np.float64]
Columns = Mapping[str, "Added"]

CARD = 80
MOST_COLUMNS = 999


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
        raise InputError(f"{path}: must be a catalogue (.fits, .fits.gz, .parquet), found {what_is_at(path)}")
    if path.name.endswith(PARQUET):
        return _ParquetCatalogue(path)
    return _FitsCatalogue(path)


def _must_be_new(names: Iterable[str], added: Columns, where: str) -> None:
    there = {name.upper() for name in names}
    twice = [name for name in added if name.upper() in there]
    if twice:
        raise InputError(f"{where}: must not have the columns to be added yet, found {', '.join(twice)}")


# -- FITS -------------------------------------------------------------------------------------------------------------


class _FitsCatalogue:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._asked: Sequence[str] | None = None

    def positions(self, columns: Sequence[str] | None = None) -> tuple[Floats, Floats]:
        """See `Catalogue`; DATASUM is verified on the way."""
        self._asked = columns
        with open_objects(self._path, columns) as (file, table):
            lon, lat = np.empty(table.rows), np.empty(table.rows)
            start = 0
            for block in table.verified_blocks(file):
                stop = start + len(block)
                lon[start:stop], lat[start:stop] = (table.numbers(block, one) for one in table.pair)
                start = stop
        return lon, lat

    def write(self, path: Path, added: Columns) -> None:
        """See `Catalogue`."""
        if not path.name.endswith(".fits"):
            raise InputError(
                f"{path}: the catalogue with new columns must end in .fits as {self._path.name} does"
            )
        with open_objects(self._path, self._asked) as (file, table):
            where = table.unit.where
            _must_be_new(table.names, added, where)
            if len(table.columns) + len(added) > MOST_COLUMNS:
                raise InputError(f"{where}: a FITS table holds at most {MOST_COLUMNS} columns")
            with write_whole(path, verify) as temporary, temporary.open("wb") as stream:
                write_unit(stream, _primary(file.hdus[0]))
                write_unit(stream, _table_cards(table, added), _aligned(_chunks(file, table, added)))


def _chunks(file: FitsFile, table: ObjectTable, added: Columns) -> Iterator[NDArray[np.uint8]]:
    """The new data: rows with the new columns behind the old ones, then the heap as it is."""
    start = 0
    for block in table.blocks(file):
        stop = start + len(block)
        more = [_big_endian(one.values[start:stop]) for one in added.values()]
        yield np.concatenate([block, *more], axis=1).ravel()
        start = stop
    if table.heap_bytes:
        yield from _heap(file, table)


def _heap_begin(table: ObjectTable) -> int:
    """Place of the heap in the data."""
    cards = table.unit.cards
    return cards.integer("THEAP") if "THEAP" in cards else table.width * table.rows


def _heap(file: FitsFile, table: ObjectTable) -> Iterator[NDArray[np.uint8]]:
    stream, left = file.stream(), table.unit.data_bytes - _heap_begin(table)
    stream.seek(table.unit.data_offset + _heap_begin(table))
    while left > 0:
        piece = np.frombuffer(stream.read(min(left, 1 << 22)), np.uint8)
        if not piece.size:
            raise InputError(f"{table.unit.where}: the heap must be whole, found that it is cut")
        yield piece
        left -= piece.size


def _table_cards(table: ObjectTable, added: Columns) -> list[str]:
    """Cards of the new table: all old ones but sizes and checksums, then those of the new columns."""
    heap = table.unit.data_bytes - _heap_begin(table) if table.heap_bytes else 0
    width = table.width + sum(one.values.dtype.itemsize for one in added.values())
    changed = {
        "NAXIS1": card("NAXIS1", width, "bytes of a row"),
        "PCOUNT": card("PCOUNT", heap, "bytes of the heap"),
        "TFIELDS": card("TFIELDS", len(table.columns) + len(added), "number of columns"),
    }
    cards = [changed.get(image[:8].strip(), image) for image in _images(table.unit, {"THEAP"})]
    for number, (name, one) in enumerate(added.items(), len(table.columns) + 1):
        dtype = one.values.dtype
        cards += [
            card(f"TTYPE{number}", name),
            card(f"TFORM{number}", FORMS[f"{dtype.kind}{dtype.itemsize}"]),
        ]
        cards += [card(f"TUNIT{number}", one.unit)] if one.unit else []
        cards += [card(f"TCOMM{number}", one.meaning)] if one.meaning else []
    return cards


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
        with reading_parquet(path):
            self._schema = pq.read_schema(path)

    def positions(self, columns: Sequence[str] | None = None) -> tuple[Floats, Floats]:
        """See `Catalogue`."""
        pair = parquet_positions(self._schema, columns, str(self._path))
        batches = list(parquet_blocks(self._path, pair))
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
            for batch in parquet_blocks(self._path):
                more = [pa.array(one.values[start : start + len(batch)]) for one in added.values()]
                writer.write_batch(pa.record_batch([*batch.columns, *more], schema=schema))
                start += len(batch)


def _words(schema: Any) -> list[str]:
    """Columns in which values repeat: a dictionary of floats costs time and saves nothing."""
    return [field.name for field in schema if not pa.types.is_floating(field.type)]


def _verify_parquet(path: Path) -> None:
    for _ in parquet_blocks(path):
        pass
