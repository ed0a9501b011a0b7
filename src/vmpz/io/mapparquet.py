"""Maps as Parquet tables: PIXEL, WEIGHT, further columns; one row a cell.

Any Parquet reader opens them. PIXEL (int64) holds nested cell numbers, ascending; the metadata say in plain words what
they count (``order``, ``nside``, ``ordering``, ``coordsys``). WEIGHT is what a FITS file of the product would hold, in
its type: float32, int64 for identities, float64 for MJD and for the MER convention, which ``covconv`` names. Rows come
in groups of about a million, so a reader takes what it needs and the writer holds one group.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from vmpz.errors import InputError
from vmpz.io.fits import Columns, columns_of
from vmpz.io.labels import product_of
from vmpz.io.metadata import COVERAGE_TYPE
from vmpz.parameters import MapParameters
from vmpz.products import Product, ProductKey, Scalar
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet

__all__ = ["is_map", "map_groups", "read_map_table"]

GROUP = 1 << 20


def _metadata(product: Product, maps: MapParameters) -> dict[bytes, str]:
    """What PIXEL counts, and the convention of a coverage."""
    told = {
        b"order": str(product.key.order),
        b"nside": str(1 << product.key.order),
        b"ordering": "NESTED",
        b"coordsys": "C",
    }
    return told | ({b"covconv": maps.coverage_convention} if product.key.kind in COVERAGE_TYPE else {})


def map_groups(product: Product, maps: MapParameters) -> tuple[pa.Schema, int, Iterator[pa.Table]]:
    """Schema, number of rows, and row groups of the table of a product with maps.

    Raises
    ------
    InputError
        A value cannot be written: NaN, a fraction outside [0, 1].
    MapMismatchError
        The MER convention is asked of a map that does not list its whole area.
    """
    cells, columns = columns_of(product, maps)
    types = {"PIXEL": np.dtype(np.int64), **{name: array.dtype for name, array in columns.items()}}
    schema = pa.schema([(name, pa.from_numpy_dtype(dtype)) for name, dtype in types.items()])
    return schema.with_metadata(_metadata(product, maps)), len(cells), _groups(cells, columns)


def _groups(cells: CellSet, columns: Columns) -> Iterator[pa.Table]:
    for start, numbers in cells.blocks(GROUP):
        rows = slice(start, start + numbers.size)
        yield pa.table({"PIXEL": numbers, **{name: array[rows] for name, array in columns.items()}})


def is_map(schema: pa.Schema) -> bool:
    """Whether a table is a map."""
    return "PIXEL" in schema.names


def read_map_table(
    path: Path,
    table: pa.Table,
    told: Mapping[bytes, bytes],
    words: Mapping[str, Scalar],
    unit: str,
    key: ProductKey | None,
) -> Product:
    """The product of a table with a column PIXEL.

    Parameters
    ----------
    path : Path
    table : pyarrow.Table
    told : mapping
        Metadata: ``order`` or ``nside``; absent ``ordering`` and ``coordsys`` mean nested and equatorial.
    words : mapping
        Keywords.
    unit : str
    key : ProductKey or None
        None for a table of other software.

    Raises
    ------
    InputError
        The columns or the metadata are not those of a map.
    """
    order = _order(path, told)
    for name, wanted in ((b"ordering", "NESTED"), (b"coordsys", "C")):
        found = told.get(name, wanted.encode()).decode()
        if found != wanted:
            raise InputError(f"{path}: metadata {name.decode()} must be {wanted}, found {found}")
    arrays = {
        name: table[name].to_numpy()
        for name in ("PIXEL", "WEIGHT", *table.column_names)
        if name in table.column_names
    }
    numbers = {name: array for name, array in arrays.items() if array.dtype.kind in "iuf"}
    if list(numbers)[:2] != ["PIXEL", "WEIGHT"] or numbers["PIXEL"].dtype.kind == "f":
        raise InputError(
            f"{path}: a map must have columns PIXEL (integers) and WEIGHT (numbers), found {table.schema}"
        )
    cells = numbers.pop("PIXEL").astype(np.int64, copy=False)
    return product_of(path, order, cells, numbers, words, unit, key)


def _order(path: Path, told: Mapping[bytes, bytes]) -> int:
    try:
        order = int(told[b"order"]) if b"order" in told else int(told[b"nside"]).bit_length() - 1
        if not 0 <= order <= hpx.MAX_ORDER or int(told.get(b"nside", str(1 << order))) != 1 << order:
            raise ValueError(f"order {order}, nside {told.get(b'nside')!r}")
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{path}: metadata must hold the order (0 to {hpx.MAX_ORDER}) or nside of PIXEL, found {error!r}"
        ) from error
    return order
