"""Products as Parquet: cell statistics, good pixels, maps (`vmpz.io.mapparquet`).

One row per cell. The metadata hold the key, the keywords, the provenance digest and the scalars, and a digest of all
these; every page carries a checksum, which is verified on reading (Parquet readers do not, unless asked to). Bytes
depend on the content alone.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.files.write import write_whole
from vmpz.io.labels import as_json, label_words
from vmpz.io.mapparquet import is_map, map_groups, read_map_table
from vmpz.parameters import MapParameters
from vmpz.products import Product, ProductKey, Scalar
from vmpz.sky.cells import CellSet
from vmpz.statistics import CellStatistics

__all__ = [
    "DIGEST",
    "KEY",
    "KEYWORDS",
    "SUM",
    "UNIT",
    "bit_plane_table",
    "encodings_of",
    "plain_table",
    "read_bit_plane",
    "read_parquet",
    "read_statistics",
    "seal_of",
    "statistics_table",
    "write_parquet",
]

CELL = "cell"
ORDER, SCALARS = b"vmpz.order", b"vmpz.scalars"
KEY, KEYWORDS, UNIT, DIGEST, SUM = b"vmpz.key", b"vmpz.keywords", b"vmpz.unit", b"vmpz.digest", b"vmpz.sum"


def statistics_table(statistics: CellStatistics) -> pa.Table:
    """Cell statistics as a table: column `cell` (nested), then the statistics; order and scalars as metadata."""
    columns = {CELL: statistics.cells.cells(), **statistics.columns}
    metadata = {ORDER: str(statistics.cells.order), SCALARS: as_json(statistics.scalars)}
    table = pa.table({name: pa.array(np.asarray(values)) for name, values in columns.items()})
    return table.replace_schema_metadata(metadata)


def plain_table(columns: Mapping[str, NDArray[Any]]) -> pa.Table:
    """Arrays of one length as a table."""
    return pa.table({name: pa.array(values) for name, values in columns.items()})


def read_statistics(table: pa.Table) -> CellStatistics:
    """The inverse of `statistics_table`.

    Raises
    ------
    InputError
        The table has no `cell` column or no order.
    """
    metadata = table.schema.metadata or {}
    if ORDER not in metadata or CELL not in table.column_names:
        raise InputError(f"cell statistics must have a column {CELL} and the metadata {ORDER.decode()}")
    columns = {name: table[name].to_numpy() for name in table.column_names if name != CELL}
    cells = CellSet.from_cells(int(metadata[ORDER]), table[CELL].to_numpy())
    if len(cells) != table.num_rows:
        raise InputError(
            f"cell statistics must list every cell once, found {table.num_rows} rows of {len(cells)} cells"
        )
    return CellStatistics(cells, columns, json.loads(metadata.get(SCALARS, b"{}")))


def write_parquet(product: Product, path: Path, maps: MapParameters) -> None:
    """Write the table of a product, or its maps as a table, whole or not at all.

    Parameters
    ----------
    product : Product
    path : Path
    maps : MapParameters
        Convention and zeros of a coverage. The project's keywords are kept whatever `strict_dpdd` says: no published
        product has this form.

    Raises
    ------
    InputError
        The product has neither, or a value or keyword cannot be written.
    """
    if not product.maps and product.table is None:
        raise InputError(f"{product.key}: only a product with maps or a table can be written as Parquet")
    table = product.table
    schema, rows, groups = (
        map_groups(product, maps) if product.maps else (table.schema, table.num_rows, [table])
    )
    words = label_words(product, maps.coverage_convention) if product.maps else product.keywords
    metadata = {
        **(schema.metadata or {}),
        KEY: product.key.text,
        KEYWORDS: as_json(words),
        UNIT: product.unit,
        DIGEST: "" if product.provenance is None else product.provenance.digest,
    }
    schema = schema.with_metadata({SUM: seal_of(metadata, schema, rows), **metadata})
    with (
        write_whole(path, _verify) as temporary,
        pq.ParquetWriter(
            temporary,
            schema,
            compression="zstd",
            use_dictionary=False,
            column_encoding=encodings_of(schema),
            write_page_checksum=True,
        ) as writer,
    ):
        for group in groups:
            writer.write_table(group)


def read_parquet(path: Path) -> Product:
    """The product in a Parquet file: the table that `write_parquet` wrote, or maps where it lists cells as PIXEL.

    Raises
    ------
    InputError
        A page checksum does not hold, the metadata were altered, the file is cut or not Parquet, or it is neither a
        map nor has a product key.
    """
    table = _table(path)
    metadata = dict(table.schema.metadata or {})
    stated = metadata.pop(SUM, None)
    if stated is not None and stated != seal_of(metadata, table.schema, table.num_rows):
        raise InputError(
            f"{path}: metadata, columns and number of rows must be those written, found them altered"
        )
    if is_map(table.schema) and KEY not in metadata:
        return read_map_table(path, table, metadata, {}, "", None)
    key, words, unit = _label(path, metadata)
    if is_map(table.schema):
        return read_map_table(path, table, metadata, words, unit, key)
    digest = metadata.get(DIGEST, b"").decode()
    if digest:
        words.setdefault("PRODDIG", digest)
    own = {name: value for name, value in metadata.items() if name not in (KEY, KEYWORDS, UNIT, DIGEST)}
    return Product(key, {}, table.replace_schema_metadata(own), words, unit)


def _table(path: Path) -> pa.Table:
    try:
        table = pq.read_table(path, page_checksum_verification=True, partitioning=None)
        _ = table.column_names  # bytes that may be no text
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(
            f"{path}: must be whole Parquet whose page checksums hold, found: {error}"
        ) from error
    return table


def _label(path: Path, metadata: Mapping[bytes, bytes]) -> tuple[ProductKey, dict[str, Scalar], str]:
    try:
        key, words, unit = (metadata[name].decode() for name in (KEY, KEYWORDS, UNIT))
        return ProductKey.parse(key), json.loads(words), unit
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{path}: metadata must hold a product key and its keywords, found: {error!r}"
        ) from error


def seal_of(metadata: Mapping[bytes, str | bytes], schema: pa.Schema, rows: int) -> bytes:
    """What page checksums do not cover: SHA-256 of metadata, names and types of columns, and the number of rows."""
    told = {name: value if isinstance(value, bytes) else value.encode() for name, value in metadata.items()}
    columns = [(field.name, str(field.type)) for field in schema]
    return hashlib.sha256(repr((sorted(told.items()), columns, rows)).encode()).hexdigest().encode()


def encodings_of(schema: pa.Schema) -> dict[str, str]:
    """Differences for integers, split bytes for floats; plain for everything else."""
    found = {}
    for field in schema:
        if pa.types.is_int64(field.type) or pa.types.is_int32(field.type):
            found[field.name] = "DELTA_BINARY_PACKED"
        elif pa.types.is_floating(field.type) and not pa.types.is_float16(field.type):
            found[field.name] = "BYTE_STREAM_SPLIT"
    return found


def _verify(path: Path) -> None:
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        for _ in file.iter_batches():
            pass


def bit_plane_table(shape: tuple[int, int], bits: NDArray[np.uint64]) -> pa.Table:
    """A plane of one bit a pixel as a table: one row of bytes an image row, the shape in the metadata.

    Parameters
    ----------
    shape : (int, int)
        Rows, columns.
    bits : uint64 array (rows, ceil(columns / 64))
        Lowest bit first.
    """
    rows = pa.array([row.tobytes() for row in bits.astype("<u8", copy=False)], pa.binary())
    return pa.table({"BITS": rows}).replace_schema_metadata({"shape": f"{shape[0]} {shape[1]}"})


def read_bit_plane(table: pa.Table) -> tuple[tuple[int, int], NDArray[np.uint64]]:
    """Shape and bits of `bit_plane_table`."""
    rows, columns = (int(part) for part in table.schema.metadata[b"shape"].split())
    words = np.frombuffer(b"".join(row.as_py() for row in table["BITS"]), "<u8")
    return (rows, columns), words.reshape(rows, -1)
