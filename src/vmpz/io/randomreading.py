"""Random catalogues, and catalogues of other software, read block by block in bounded memory.

A FITS table, a Parquet file and a HATS folder look alike: keywords, number of rows, columns, blocks of rows. Positions
are RIGHT_ASCENSION and DECLINATION (float64 degrees) whatever the file calls them (`vmpz.io.objects.POSITIONS`, or the
properties of a HATS folder), the nested index of order 29 is HPIX_29, a WEIGHT and an OBJECT_ID may be in any case.
Checksums are verified on the way: DATASUM of a FITS table after its last block, those of Parquet page by page.
"""

import csv
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vmpz.errors import InputError, meant
from vmpz.files.fits import open_fits
from vmpz.files.nearby import what_is_at
from vmpz.files.write import sha256_of
from vmpz.io.hats import (
    COMMON,
    PARTITION_INFO,
    PROPERTY_FILES,
    SEALS,
    SEARCHED,
    Partition,
    partition_path,
)
from vmpz.io.inventory import token_of
from vmpz.io.metadata import keyword
from vmpz.io.objects import (
    MAX_BYTES,
    PARQUET,
    ObjectTable,
    no_positions,
    open_objects,
    parquet_positions,
    position_columns,
    reading_parquet,
)
from vmpz.io.parquet import DIGEST, KEY, KEYWORDS, SUM, UNIT, seal_of
from vmpz.io.randomcolumns import HATS_INDEX, HPIX_29, LATITUDE, LONGITUDE, must_be_positions
from vmpz.io.reading import words_of
from vmpz.products import ProductKey, Scalar

__all__ = ["RandomCatalogue", "is_hats", "is_random", "open_random", "random_faults"]

ROWS = 1 << 16
IN_ANY_CASE = ("WEIGHT", "OBJECT_ID", HPIX_29)
TOKEN = token_of(ProductKey("-", "random"), "catalogue")

Block = dict[str, NDArray[Any]]


class RandomCatalogue(ABC):
    """A catalogue on disk.

    Attributes
    ----------
    path : Path
    keywords : mapping of str to value
        Those that the package knows.
    rows : int
    columns : tuple of str
        Columns of one number a row.
    """

    path: Path
    keywords: Mapping[str, Scalar]
    rows: int
    _names: Mapping[str, str]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of one number a row, positions first."""
        return tuple(self._names)

    def blocks(self, columns: Sequence[str] | None = None, rows: int = ROWS) -> Iterator[Block]:
        """Rows in the order of the file, at most `rows` at a time.

        Parameters
        ----------
        columns : sequence of str, optional
            Among `columns`; default all.
        rows : int

        Yields
        ------
        dict of str to array (n,)
            Native byte order, types of the file; float64 for positions; NaN where a scaled or nullable column has no
            value.

        Raises
        ------
        InputError
            There is no such column, the file is cut, or a checksum does not hold.
        """
        names = self.columns if columns is None else columns
        for name in names:
            if name not in self._names:
                raise InputError(
                    f"{self.path}: column {name} must be present, found {', '.join(self.columns)}"
                    f"{meant(name, self.columns)}"
                )
        yield from self._blocks({name: self._names[name] for name in names}, rows)

    @abstractmethod
    def _blocks(self, names: Mapping[str, str], rows: int) -> Iterator[Block]:
        """Blocks of some columns; `names`: here -> in the file."""


def open_random(path: str | Path, positions: Sequence[str] | None = None) -> RandomCatalogue:
    """The catalogue in a FITS file (its first table with positions), a Parquet file or a HATS folder.

    Parameters
    ----------
    path : path
    positions : two str, optional
        Names of the columns of right ascension and declination; default the usual ones.

    Raises
    ------
    InputError
        There is no such file, it is not whole, it has no positions, or what it says of itself is not so.
    """
    path = Path(path)
    if is_hats(path):
        return _Hats(path, positions)
    if not path.is_file():
        raise InputError(
            f"{path}: must be a catalogue (.fits, .fits.gz, .parquet or a HATS folder), found {what_is_at(path)}"
        )
    return _Parquet(path, positions) if path.name.endswith(PARQUET) else _Fits(path, positions)


def is_hats(path: Path) -> bool:
    """Whether a path is the folder of a HATS catalogue."""
    return path.is_dir() and any(
        (path / name).is_file() for name in (PARTITION_INFO, COMMON, "hats.properties")
    )


def is_random(path: Path) -> bool:
    """Whether a file or folder says that it is a random catalogue."""
    if is_hats(path):
        return True
    if path.name.endswith(PARQUET):
        with reading_parquet(path):
            told = pq.read_metadata(path).metadata or {}
        return b"~random~" in told.get(KEY, b"")
    if not path.is_file() or ".fits" not in path.name:
        return False
    with open_fits(str(path), MAX_BYTES) as file:
        return any(unit.name == TOKEN for unit in file.hdus)


def _named(names: Sequence[str], pair: Sequence[str], index: str = HATS_INDEX) -> dict[str, str]:
    """Name here -> name in the file, positions first."""
    found = {LONGITUDE: pair[0], LATITUDE: pair[1]}
    for name in names:
        here = HPIX_29 if name == index else name.upper() if name.upper() in IN_ANY_CASE else name
        if name not in pair:
            found.setdefault(here, name)
    return found


# -- FITS -------------------------------------------------------------------------------------------------------------


class _Fits(RandomCatalogue):
    def __init__(self, path: Path, positions: Sequence[str] | None) -> None:
        self.path, self._positions = path, positions
        with open_objects(path, positions) as (file, table):
            self.keywords = {**words_of(file.hdus[0].header), **words_of(table.unit.header)}
            self.rows = table.rows
            numbers = [one.name for one in table.columns if one.kind in "BIJKED" and one.repeat == 1]
            self._names = _named(numbers, [one.name for one in table.pair])

    def _blocks(self, names: Mapping[str, str], rows: int) -> Iterator[Block]:
        with open_objects(self.path, self._positions) as (file, table):
            for block in table.verified_blocks(file):
                for start in range(0, len(block), rows):
                    some = block[start : start + rows]
                    yield {here: self._values(table, some, here, name) for here, name in names.items()}

    def _values(self, table: ObjectTable, block: NDArray[np.uint8], here: str, name: str) -> NDArray[Any]:
        column = table.column(name)
        scaled = any(f"{key}{column.number}" in table.unit.cards for key in ("TSCAL", "TZERO", "TNULL"))
        if scaled:
            return table.numbers(block, column)
        rows, width = block.shape
        stored = np.ndarray((rows,), column.dtype, np.ascontiguousarray(block), column.offset, (width,))
        is_position = here in (LONGITUDE, LATITUDE)
        return stored.astype(np.float64 if is_position else column.dtype.newbyteorder("="))


# -- Parquet ----------------------------------------------------------------------------------------------------------


class _Parquet(RandomCatalogue):
    def __init__(self, path: Path, positions: Sequence[str] | None) -> None:
        self.path = path
        with reading_parquet(path):
            schema, metadata = pq.read_schema(path), pq.read_metadata(path)
        self.rows = metadata.num_rows
        self.told = metadata.metadata or {}
        _must_hold(path, self.told, schema, self.rows)
        self.keywords = _keywords(self.told)
        self._names = _named(_numbers(schema), parquet_positions(schema, positions, str(path)))

    def _blocks(self, names: Mapping[str, str], rows: int) -> Iterator[Block]:
        yield from _parquet_blocks(self.path, names, rows)


def _numbers(schema: Any) -> list[str]:
    return [
        one.name
        for one in schema
        if pa.types.is_integer(one.type) or (pa.types.is_floating(one.type) and one.type != pa.float16())
    ]


def _must_hold(path: Path, told: Mapping[bytes, bytes], schema: Any, rows: int) -> None:
    """Metadata of a file of the package are those that were written."""
    label = {name: told[name] for name in (KEY, KEYWORDS, UNIT, DIGEST) if name in told}
    if (label or SUM in told) and told.get(SUM) != seal_of(label, schema, rows):
        raise InputError(
            f"{path}: metadata, columns and number of rows must be those written, found them altered"
        )


def _keywords(told: Mapping[bytes, bytes]) -> dict[str, Scalar]:
    """Keywords in the metadata of a file of the package, none in that of another."""
    words = json.loads(told.get(KEYWORDS, b"{}"))
    return {name: value for name, value in words.items() if keyword(name) is not None}


def _parquet_blocks(path: Path, names: Mapping[str, str], rows: int) -> Iterator[Block]:
    """Blocks of a Parquet file; `names`: here -> in the file."""
    with reading_parquet(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
        missing = sorted({*names.values()} - {*file.schema_arrow.names})
        if missing:
            raise InputError(f"{path}: column {missing[0]} must be present, found {file.schema_arrow.names}")
        for batch in file.iter_batches(rows, columns=list(dict.fromkeys(names.values()))):
            found = {here: batch[name].to_numpy(zero_copy_only=False) for here, name in names.items()}
            yield {
                here: values.astype(np.float64, copy=False) if here in (LONGITUDE, LATITUDE) else values
                for here, values in found.items()
            }


# -- a HATS folder ----------------------------------------------------------------------------------------------------


class _Hats(RandomCatalogue):
    def __init__(self, path: Path, positions: Sequence[str] | None) -> None:
        self.path = path
        told = _properties(path)
        _must_be_sealed(path, told)
        self.partitions = _listed(path)
        _must_be_there(path, self.partitions)
        with reading_parquet(path / COMMON):
            schema = pq.read_schema(path / COMMON)
        stated = [one.get("num_rows") for one in self.partitions.values()]
        self.rows = sum(map(_count, stated)) if None not in stated else _count(told.get("hats_nrows", ""))
        self.keywords = _keywords(schema.metadata or {})
        if positions is None and "hats_col_ra" in told:
            positions = (told["hats_col_ra"], told.get("hats_col_dec", ""))
        pair = position_columns(schema.names, positions)
        if pair is None:
            raise no_positions(schema.names, positions, str(path))
        at_29 = told.get("hats_col_healpix_order", "29") == "29"
        index = told.get("hats_col_healpix", HATS_INDEX) if at_29 else ""
        self._names = _named(_numbers(schema), pair, index)
        self.index_name = self._names.get(HPIX_29, "")

    def _blocks(self, names: Mapping[str, str], rows: int) -> Iterator[Block]:
        for place, told in self.partitions.items():
            with reading_parquet(self.path / place):
                count = pq.read_metadata(self.path / place).num_rows
            if "num_rows" in told and _count(told["num_rows"]) != count:
                raise InputError(
                    f"{self.path / place}: must have {told['num_rows']} rows as {PARTITION_INFO} says, "
                    f"found {count}"
                )
            yield from _parquet_blocks(self.path / place, names, rows)


def _count(text: str | None) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() else -1


def _properties(folder: Path) -> dict[str, str]:
    """Properties of a folder, those of the newer name first."""
    for name in PROPERTY_FILES:
        if (folder / name).is_file():
            lines = (folder / name).read_text("utf-8", errors="replace").splitlines()
            pairs = (line.partition("=") for line in lines if not line.lstrip().startswith(("#", "!")))
            return {key.strip(): value.strip() for key, _, value in pairs}
    raise InputError(f"{folder}: a HATS catalogue must have {' or '.join(PROPERTY_FILES)}, found neither")


def _listed(folder: Path) -> dict[str, dict[str, str]]:
    """Path of every partition -> its row of the list."""
    path = folder / PARTITION_INFO
    if not path.is_file():
        raise InputError(f"{path}: must list the partitions, found no such file")
    found: dict[str, dict[str, str]] = {}
    for number, row in enumerate(csv.DictReader(path.read_text("utf-8", errors="replace").splitlines()), 2):
        order, pixel = _count(row.get("Norder")), _count(row.get("Npix"))
        if not 0 <= order <= 29 or not 0 <= pixel < 12 << 2 * order:
            raise InputError(f"{path}:{number}: Norder and Npix must be a cell, found {dict(row)}")
        found[partition_path(order, pixel)] = {name: text for name, text in row.items() if text is not None}
    return found


def _must_be_there(folder: Path, partitions: Mapping[str, Any]) -> None:
    there = {path.relative_to(folder).as_posix() for path in folder.glob("dataset/Norder=*/Dir=*/Npix=*")}
    for told, names in (
        ("must be there as", partitions.keys() - there),
        ("must not be there, as", there - partitions.keys()),
    ):
        if names:
            raise InputError(f"{folder / min(names)}: {told} {PARTITION_INFO} says, found otherwise")


def _must_be_sealed(folder: Path, told: Mapping[str, str]) -> None:
    """Properties agree with one another, and what they hold the SHA-256 of is as it was written.

    Raises
    ------
    InputError
        They do not, or it is not.
    """
    files = [folder / name for name in PROPERTY_FILES if (folder / name).is_file()]
    is_ours = any(key in told for key in SEALS)
    if is_ours and len(files) < len(PROPERTY_FILES):
        raise InputError(f"{folder}: must have {' and '.join(PROPERTY_FILES)}, found {files[0].name} alone")
    if len({one.read_bytes() for one in files}) > 1:
        raise InputError(f"{folder}: {' and '.join(PROPERTY_FILES)} must be equal, found that they differ")
    for key, name in SEALS.items():
        if key in told and (not (folder / name).is_file() or sha256_of(folder / name) != told[key]):
            raise InputError(f"{folder / name}: must be as it was written, found it altered or gone")


# -- what is wrong with a catalogue -----------------------------------------------------------------------------------


def random_faults(path: Path) -> Iterator[str]:
    """What is wrong with a random catalogue: structure, checksums, counts, positions; nothing where all is well.

    Raises
    ------
    InputError
        It cannot be read to its end.
    """
    catalogue = open_random(path)
    for name in ("NSIMOBJ", "CAT_NOBJ"):
        told = catalogue.keywords.get(name, -1)
        if told not in (-1, catalogue.rows):
            yield f"{path}: {name} must be the number of rows, {catalogue.rows}; found {told}"
    if isinstance(catalogue, _Hats):
        yield from _partition_faults(catalogue)
    rows = 0
    for block in catalogue.blocks():
        must_be_positions(block, path)
        if "WEIGHT" in block and not np.isfinite(block["WEIGHT"]).all():
            yield f"{path}: WEIGHT must be finite, found {np.sum(~np.isfinite(block['WEIGHT']))} that are not"
        rows += len(block[LONGITUDE])
    if rows != catalogue.rows:
        yield f"{path}: must hold {catalogue.rows} rows, found {rows}"
    if (
        isinstance(catalogue, _Parquet) and KEY in catalogue.told
    ):  # read to its end, so its metadata can be looked at
        yield from _statistics_faults(path)


def _statistics_faults(path: Path) -> Iterator[str]:
    """Least and largest values of row groups, which no checksum covers, are those of their rows.

    The library aborts the process where it is asked for metadata that reading would have refused.
    """
    with reading_parquet(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
        for group in range(file.num_row_groups):
            told = file.metadata.row_group(group)
            for chunk in (told.column(number) for number in range(told.num_columns)):
                name, stated = chunk.path_in_schema, chunk.statistics
                if name not in SEARCHED:
                    continue
                values = file.read_row_group(group, [name]).column(0).to_numpy()
                least, largest = (stated.min, stated.max) if stated and stated.has_min_max else (None, None)
                if (least, largest) != (values.min(), values.max()):
                    yield (
                        f"{path}: statistics of {name} in row group {group} must be {values.min()} and "
                        f"{values.max()}, found {least} and {largest}"
                    )


def _partition_faults(catalogue: _Hats) -> Iterator[str]:
    """Every partition is the file that was written, and its points ascend and lie in its cell."""
    for place, told in catalogue.partitions.items():
        path = catalogue.path / place
        if told.get("sha256", "") not in ("", found := sha256_of(path)):
            yield f"{path}: SHA-256 must be that of {PARTITION_INFO}, {told['sha256']}; found {found}"
            continue
        if not catalogue.index_name:
            continue
        low, high = Partition(int(told["Norder"]), int(told["Npix"]), 0, 0, "").pixels_29
        last = low
        for block in _parquet_blocks(path, {HPIX_29: catalogue.index_name}, ROWS):
            index = block[HPIX_29]
            if index[0] < last or index[-1] >= high or (index[1:] < index[:-1]).any():
                yield f"{path}: {HPIX_29} must ascend and lie in [{low}, {high}), found that it does not"
                break
            last = index[-1]
