"""Which file of a product is read, where it has several forms, and how."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vmpz import io
from vmpz.io.forms import FORMS
from vmpz.io.rows import open_rows
from vmpz.products import Product
from vmpz.run.store import Entry
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap

__all__ = ["map_file", "map_path", "read_map"]

READ_FIRST = ("healpix", "parquet", "moc", "hips")
"""Forms of which one is read where a product has several."""


def map_path(entry: Entry) -> Path:
    """The file of a map of the store that is read (`map_file`); errors as of `Entry.path`."""
    return entry.path(map_file(entry.files))


def map_file(files: Sequence[dict[str, Any]]) -> str:
    """The file (or folder of files) of a product that is read, in the form that holds most and is read fastest."""
    tops = list(dict.fromkeys(str(item["name"]).partition("/")[0] for item in files))
    return min(tops, key=_rank)


def _rank(name: str) -> int:
    for form in FORMS.values():
        if name.endswith(form.suffixes):
            return READ_FIRST.index(form.name) if form.name in READ_FIRST else len(READ_FIRST)
    return len(READ_FIRST) + 1


def read_map(path: Path) -> Product:
    """The product in a file; of a file of ours the rows are taken as they stand, which is ten times as fast.

    Raises
    ------
    InputError
        As of `vmpz.io.read`.
    """
    file = open_rows(path) if path.name.endswith(".fits") else None
    if file is None:
        return io.read(path)
    records = file.rows().view(file.row_type).ravel()
    cells = CellSet.from_cells(file.key.order, records["PIXEL"].astype(np.int64))
    columns = {name: records[name] for name in (file.row_type.names or ())[1:]}
    maps = {name: SkyMap(cells, one.astype(one.dtype.newbyteorder("="))) for name, one in columns.items()}
    return Product(file.key, maps, None, file.keywords, file.unit)
