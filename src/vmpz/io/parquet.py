"""Cell statistics and good pixels as Parquet: what leaves the pass besides maps.

One row per cell. The metadata hold the key, the keywords, the provenance digest and the scalars; every page
carries a checksum, which is verified on reading (Parquet readers do not, unless asked to). Bytes depend on
the content alone.
"""

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
from vmpz.parameters import MapParameters
from vmpz.products import Product, ProductKey
from vmpz.sky.cells import CellSet
from vmpz.statistics import CellStatistics

__all__ = [
    "bit_plane_table",
    "read_bit_plane",
    "read_parquet",
    "read_statistics",
    "statistics_table",
    "write_parquet",
]

CELL = "cell"
ORDER, SCALARS = b"vmpz.order", b"vmpz.scalars"
KEY, KEYWORDS, UNIT, DIGEST = b"vmpz.key", b"vmpz.keywords", b"vmpz.unit", b"vmpz.digest"


def statistics_table(statistics: CellStatistics) -> pa.Table:
    """Cell statistics as a table: column `cell` (nested), then the statistics; order and scalars as metadata."""
    columns = {CELL: statistics.cells.cells(), **statistics.columns}
    metadata = {ORDER: str(statistics.cells.order), SCALARS: _json(statistics.scalars)}
    table = pa.table({name: pa.array(np.asarray(values)) for name, values in columns.items()})
    return table.replace_schema_metadata(metadata)


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
    """Write the table of a product, whole or not at all.

    Raises
    ------
    InputError
        The product has no table.
    """
    table = product.table
    if table is None:
        raise InputError(f"{product.key}: only a product with a table can be written as Parquet")
    metadata = {
        **(table.schema.metadata or {}),
        KEY: product.key.text,
        KEYWORDS: _json(product.keywords),
        UNIT: product.unit,
        DIGEST: "" if product.provenance is None else product.provenance.digest,
    }
    with write_whole(path, _verify) as temporary:
        pq.write_table(
            table.replace_schema_metadata(metadata),
            temporary,
            compression="zstd",
            use_dictionary=False,
            column_encoding=_encodings(table),
            write_page_checksum=True,
        )


def read_parquet(path: Path) -> Product:
    """The product in a Parquet file that `write_parquet` wrote.

    Raises
    ------
    InputError
        A page checksum does not hold, the file is cut or not Parquet, or it has no product key.
    """
    try:
        table = pq.read_table(path, page_checksum_verification=True, partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{path}: must be whole Parquet whose page checksums hold, found: {error}"
        ) from error
    metadata = dict(table.schema.metadata or {})
    try:
        key = ProductKey.parse(metadata.pop(KEY).decode())
        words = json.loads(metadata.pop(KEYWORDS))
        unit = metadata.pop(UNIT).decode()
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{path}: metadata must hold a product key and its keywords, found: {error!r}"
        ) from error
    digest = metadata.pop(DIGEST, b"").decode()
    if digest:
        words.setdefault("PRODDIG", digest)
    return Product(key, {}, table.replace_schema_metadata(metadata), words, unit)


def _encodings(table: pa.Table) -> dict[str, str]:
    """Differences for integers, split bytes for floats; plain for everything else."""
    found = {}
    for field in table.schema:
        if pa.types.is_int64(field.type) or pa.types.is_int32(field.type):
            found[field.name] = "DELTA_BINARY_PACKED"
        elif pa.types.is_floating(field.type) and not pa.types.is_float16(field.type):
            found[field.name] = "BYTE_STREAM_SPLIT"
    return found


def _verify(path: Path) -> None:
    pq.read_table(path, page_checksum_verification=True, partitioning=None)


def _json(values: Mapping[str, Any]) -> str:
    plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in values.items()}
    return json.dumps(plain, sort_keys=True)


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
