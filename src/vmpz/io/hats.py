"""Random catalogues as Parquet: a HATS folder of partitions that any number of processes write, or one file.

A HATS catalogue (IVOA note "HATS", read by LSDB) is a folder of Parquet files, one a HEALPix cell that holds points:
``dataset/Norder=<k>/Dir=<d>/Npix=<p>.parquet``, d = p rounded down to ten thousands, rows ascending in the nested index
of order 29. That column is HPIX_29, here under the name that HATS readers look for, ``_healpix_29``; it is not there
twice. Beside the partitions stand ``partition_info.csv`` (cells, rows and SHA-256 of every partition), the schema
(``dataset/_common_metadata``, with key and keywords of the catalogue), and the properties (``hats.properties``, and
``properties`` for older readers), which hold the SHA-256 of both.

One file (``create_random_parquet``) has the columns under their own names and the keywords in its metadata.

In both, integers are stored as differences, floats byte by byte, both by zstd; every page has a checksum; row groups
have 2**20 rows; bytes depend on the content alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.files.write import as_storage_error, sha256_of, write_whole
from vmpz.io.labels import as_json, label_words
from vmpz.io.metadata import encode
from vmpz.io.objects import parquet_blocks, reading_parquet
from vmpz.io.parquet import DIGEST, KEY, KEYWORDS, SUM, UNIT, encodings_of, seal_of
from vmpz.io.randomcolumns import (
    HATS_INDEX,
    HPIX_29,
    LATITUDE,
    LONGITUDE,
    Arrays,
    RandomColumn,
    counted,
    hats_columns,
    must_be_columns,
    must_be_positions,
    must_suit,
    schema_of,
)
from vmpz.products import Product

__all__ = [
    "COMMON",
    "PARTITION_INFO",
    "PROPERTY_FILES",
    "SEALS",
    "SEARCHED",
    "Partition",
    "RandomParquet",
    "create_random_parquet",
    "finish_hats",
    "partition_path",
    "write_partition",
]

GROUP = 1 << 20
SEARCHED = (HATS_INDEX, HPIX_29, LONGITUDE, LATITUDE)
"""Columns whose least and largest value of every row group is kept, so that searches leave groups out."""
DEEPEST = 29
PARTITION_INFO, COMMON = "partition_info.csv", "dataset/_common_metadata"
PROPERTY_FILES = ("hats.properties", "properties")
SEALS = {"vmpz_sha256_partitions": PARTITION_INFO, "vmpz_sha256_schema": COMMON}
"""Property -> file whose SHA-256 it is; the properties themselves stand there twice."""


@dataclass(frozen=True)
class Partition:
    """A partition that was written: its cell (order, nested number), rows, bytes, and SHA-256 of its file."""

    order: int
    pixel: int
    rows: int
    bytes: int
    sha256: str

    @property
    def pixels_29(self) -> tuple[int, int]:
        """The half-open range of its cell at order 29."""
        shift = 2 * (DEEPEST - self.order)
        return self.pixel << shift, (self.pixel + 1) << shift


def partition_path(order: int, pixel: int) -> str:
    """Path of a partition in its folder."""
    return f"dataset/Norder={order}/Dir={pixel // 10_000 * 10_000}/Npix={pixel}.parquet"


# -- a folder ---------------------------------------------------------------------------------------------------------


def write_partition(
    folder: Path, order: int, pixel: int, columns: Sequence[RandomColumn], arrays: Arrays
) -> Partition:
    """Write one partition of a HATS folder, from any process.

    Parameters
    ----------
    folder : Path
        Of the catalogue, not yet under its name (`vmpz.files.write.write_whole_folder`).
    order, pixel : int
        Its cell.
    columns : sequence of RandomColumn
        Of the catalogue.
    arrays : mapping of str to array (n,)
        Every column, in its type, and HPIX_29 even where the columns are minimal; n > 0 rows ascending in HPIX_29,
        all of them in the cell.

    Returns
    -------
    Partition
        For `finish_hats`.

    Raises
    ------
    InputError
        The arrays are not those of the columns, do not ascend, or hold a point outside the cell or the sphere.
    StorageError
        The system refuses.
    """
    where = f"{folder}: partition {order}/{pixel}"
    columns = hats_columns(columns)
    arrays = {HATS_INDEX if name == HPIX_29 else name: array for name, array in arrays.items()}
    rows = must_suit(columns, arrays, where)
    must_be_positions(arrays, where)
    low, high = Partition(order, pixel, rows, 0, "").pixels_29
    _must_ascend(arrays[HATS_INDEX], low, high, where)
    path = folder / partition_path(order, pixel)
    with as_storage_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        table = pa.table([pa.array(arrays[one.name]) for one in columns], schema=schema_of(columns))
        pq.write_table(table, path, row_group_size=GROUP, **_options(table.schema))
        return Partition(order, pixel, rows, path.stat().st_size, sha256_of(path))


def finish_hats(
    folder: Path, partitions: Sequence[Partition], columns: Sequence[RandomColumn], product: Product
) -> None:
    """Write what a HATS folder holds beside its partitions.

    Parameters
    ----------
    folder : Path
        With all partitions.
    partitions : sequence of Partition
        In any order.
    columns : sequence of RandomColumn
        Of the catalogue.
    product : Product
        Key (kind 'random'), keywords and provenance. NSIMOBJ, CAT_NOBJ and HPXORDER are filled in.

    Raises
    ------
    InputError
        Two partitions overlap, one is not there as it was written, there is another, or a keyword cannot be written.
    """
    partitions = sorted(partitions, key=lambda one: one.pixels_29)
    _must_be_all(folder, partitions)
    rows = sum(one.rows for one in partitions)
    product = counted(product, rows)
    listed = "".join(f"{one.order},{one.pixel},{one.rows},{one.sha256}\n" for one in partitions)
    listed = f"Norder,Npix,num_rows,sha256\n{listed}"
    (folder / PARTITION_INFO).write_text(listed, "utf-8")
    schema = schema_of(hats_columns(columns)).with_metadata(_label(product))
    (folder / COMMON).parent.mkdir(exist_ok=True)
    pq.write_metadata(schema, str(folder / COMMON))
    seals = {key: sha256_of(folder / name) for key, name in SEALS.items()}
    for name in PROPERTY_FILES:
        (folder / name).write_text(_properties(product, partitions, seals), "utf-8")


def _must_ascend(index: NDArray[np.int64], low: int, high: int, where: str) -> None:
    if not index.size:
        raise InputError(f"{where}: a partition must have rows, found none")
    if (index[1:] < index[:-1]).any():
        row = int(np.flatnonzero(index[1:] < index[:-1])[0]) + 1
        raise InputError(f"{where}: {HPIX_29} must ascend, found row {row} below the one before")
    if index[0] < low or index[-1] >= high:
        raise InputError(f"{where}: {HPIX_29} must lie in [{low}, {high}), found {index[0]} to {index[-1]}")


def _must_be_all(folder: Path, partitions: Sequence[Partition]) -> None:
    """The partitions are disjoint, each is there as it was written, and there is nothing else."""
    for one, other in pairwise(partitions):
        if other.pixels_29[0] < one.pixels_29[1]:
            raise InputError(
                f"{folder}: partitions must be disjoint, found {one.order}/{one.pixel} and "
                f"{other.order}/{other.pixel}"
            )
    there = {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file()
    }
    given = {partition_path(one.order, one.pixel): one.bytes for one in partitions}
    for name in sorted(there.keys() | given.keys()):
        if there.get(name) != given.get(name):
            raise InputError(
                f"{folder / name}: must have {given.get(name, 'no')} bytes as it was written, "
                f"found {there.get(name, 'none')}"
            )


def _properties(product: Product, partitions: Sequence[Partition], seals: Mapping[str, str]) -> str:
    """Properties as the HATS note lists them, then the keywords of the catalogue; fixed order, no clock."""
    source, key = product.provenance, product.key
    area = sum(4.0**-one.order for one in partitions) / 12
    told: dict[str, Any] = {
        "obs_collection": "_".join(part for part in ("random", key.area, key.quantity) if part != "-"),
        "dataproduct_type": "object",
        "hats_nrows": sum(one.rows for one in partitions),
        "hats_col_ra": LONGITUDE,
        "hats_col_dec": LATITUDE,
        "hats_col_healpix": HATS_INDEX,
        "hats_col_healpix_order": DEEPEST,
        "hats_npix_suffix": ".parquet",
        "hats_order": max((one.order for one in partitions), default=0),
        "hats_max_rows": max((one.rows for one in partitions), default=0),
        "hats_estsize": sum(one.bytes for one in partitions) // 1024,
        "moc_sky_fraction": repr(area),
        "hats_version": "v1.0",
        "hats_builder": f"vmpz {source.versions.get('vmpz', '')}".strip() if source else "vmpz",
    }
    if source is not None:
        told["hats_creation_date"] = source.created.astimezone(UTC).strftime("%Y-%m-%dT%H:%MUTC")
    told |= seals
    told |= {f"vmpz_{name}": value for name, value in label_words(product, "OBSERVED").items()}
    return "".join(f"{name}={encode(str(value)).replace(chr(92), '%5C')}\n" for name, value in told.items())


# -- one file ---------------------------------------------------------------------------------------------------------


class RandomParquet:
    """One Parquet file that is being written, row group by row group."""

    def __init__(self, writer: pq.ParquetWriter, columns: Sequence[RandomColumn], where: Path) -> None:
        self._writer, self._columns, self._where = writer, columns, where
        self._schema = schema_of(columns)
        self._waiting = {one.name: np.empty(GROUP, one.dtype) for one in columns}
        self._count = 0
        self.rows = 0
        """Rows that were given."""

    def write(self, arrays: Arrays) -> None:
        """Write rows behind those before; the arrays may be used again afterwards.

        Parameters
        ----------
        arrays : mapping of str to array (n,)
            Every column, in its type.

        Raises
        ------
        InputError
            The arrays are not those of the columns, or a position is not on the sphere.
        """
        count, start = must_suit(self._columns, arrays, self._where), 0
        must_be_positions(arrays, self._where)
        while start < count:
            some = min(count - start, GROUP - self._count)
            for name, waiting in self._waiting.items():
                waiting[self._count : self._count + some] = arrays[name][start : start + some]
            start, self._count = start + some, self._count + some
            if self._count == GROUP:
                self.flush()
        self.rows += count

    def flush(self) -> None:
        """Write the rows that wait as a row group."""
        if self._count:
            group = [pa.array(self._waiting[one.name][: self._count]) for one in self._columns]
            self._writer.write_table(pa.table(group, schema=self._schema), GROUP)
            self._count = 0


@contextmanager
def create_random_parquet(
    path: Path, columns: Sequence[RandomColumn], product: Product, *, reread: bool = False
) -> Iterator[RandomParquet]:
    """Write a random catalogue as one Parquet file, whole or not at all; from one process, in the order it is given.

    Parameters
    ----------
    path : Path
    columns : sequence of RandomColumn
    product : Product
        Key (kind 'random'), keywords and provenance. NSIMOBJ, CAT_NOBJ and HPXORDER are filled in.
    reread : bool
        Read all of it back before it gets its name; else its metadata alone.

    Yields
    ------
    RandomParquet
        Rows go to its `write`; how they are cut leaves no trace in the file.

    Raises
    ------
    InputError
        A keyword or column cannot be written.
    StorageError
        The system refuses.
    """
    must_be_columns(columns)
    schema = schema_of(columns)
    _label(counted(product, 0))  # refused now, not after the last row
    with (
        write_whole(path, _verify if reread else _verify_metadata) as temporary,
        pq.ParquetWriter(temporary, schema, **_options(schema)) as writer,
    ):
        file = RandomParquet(writer, columns, path)
        yield file
        file.flush()
        told = _label(counted(product, file.rows))
        writer.add_key_value_metadata({SUM: seal_of(told, schema, file.rows), **told})  # type: ignore[dict-item]


def _options(schema: Any) -> dict[str, Any]:
    return {
        "compression": "zstd",
        "compression_level": 1,
        "use_dictionary": False,
        "column_encoding": encodings_of(schema),
        "write_page_checksum": True,
        "write_statistics": [name for name in SEARCHED if name in schema.names],
    }


def _label(product: Product) -> dict[bytes, str]:
    """What a catalogue is: key, keywords, digest of its provenance."""
    return {
        KEY: product.key.text,
        KEYWORDS: as_json(label_words(product, "OBSERVED")),
        UNIT: product.unit,
        DIGEST: "" if product.provenance is None else product.provenance.digest,
    }


def _verify_metadata(path: Path) -> None:
    with reading_parquet(path):
        pq.read_metadata(path)


def _verify(path: Path) -> None:
    for _ in parquet_blocks(path):
        pass
