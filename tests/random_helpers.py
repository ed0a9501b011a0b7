"""A random catalogue small enough to be written many times, as arrays."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

import io_helpers
from vmpz import io
from vmpz.files.write import write_whole_folder
from vmpz.products import Product, ProductKey
from vmpz.sky import hpx

KEY = ProductKey("demo", "random", quantity="bright", order=14, release="0.12")
WORDS = {
    "LISTID": "demo",
    "SEED": "18446744073709551615",
    "DEPTHEST": "APERTURE",
    "DENSITY": 1000.0,
    "SURVAREA": 0.75,
    "SAMPALGO": "EXACT",
    "VISINTEG": 0.5,
    "RUNSEED": "7",
}
PARTITION_ORDER = 5


def product(**words: Any) -> Product:
    """A random catalogue, what is said of it."""
    told = {**io_helpers.COMMON, **WORDS, **words}
    return Product(KEY, {}, None, told, "", io_helpers.provenance())


def points(rows: int, seed: int = 1, columns: Any = None) -> dict[str, np.ndarray[Any, Any]]:
    """Points in a few square degrees, ascending in HPIX_29; further columns hold any values of their type."""
    rng = np.random.default_rng(seed)
    lon, lat = rng.uniform(10, 13, rows), rng.uniform(-2, 2, rows)
    pixel = hpx.cells_at(lon, lat, 29)
    order = np.argsort(pixel, kind="stable")
    found = {
        "OBJECT_ID": (pixel[order] >> 30 << 31) | np.arange(rows) % 7,
        "RIGHT_ASCENSION": lon[order],
        "DECLINATION": lat[order],
        "WEIGHT": np.ones(rows),
        "HPIX_29": pixel[order],
        "TOM_BIN_ID": rng.integers(-1, 6, rows).astype(np.int32),
    }
    columns = io.random_columns() if columns is None else columns
    more = [one for one in columns if one.name not in found]
    found |= {one.name: (1e3 * rng.standard_normal(rows)).astype(one.dtype) for one in more}
    return {one.name: found[one.name] for one in columns}


def some(arrays: dict[str, Any], start: int, stop: int) -> dict[str, Any]:
    """Rows of a catalogue."""
    return {name: array[start:stop] for name, array in arrays.items()}


def write_hats(path: Path, arrays: dict[str, Any], columns: Any = None, order: int = PARTITION_ORDER) -> Path:
    """A HATS folder of a catalogue; its partitions are written last one first."""
    columns = io.random_columns() if columns is None else columns
    of_rows = arrays["HPIX_29"] >> 2 * (29 - order)
    with write_whole_folder(path) as folder:
        partitions = []
        for pixel in np.unique(of_rows)[::-1].tolist():
            start, stop = np.searchsorted(of_rows, [pixel, pixel + 1])
            mine = some(arrays, start, stop)
            partitions.append(io.write_partition(folder, order, pixel, columns, mine))
        io.finish_hats(folder, partitions, columns, product())
    return path


def write_fits(path: Path, arrays: dict[str, Any], columns: Any = None, **options: Any) -> Path:
    """A FITS table of a catalogue."""
    columns = io.random_columns() if columns is None else columns
    rows = len(arrays["RIGHT_ASCENSION"])
    with io.create_random_fits(path, columns, rows, product(), **options) as table:
        table.take(io.write_rows(table.place, 0, arrays))
    return path


def write_parquet(path: Path, arrays: dict[str, Any], columns: Any = None, cuts: Any = ()) -> Path:
    """A Parquet file of a catalogue, given in pieces."""
    columns = io.random_columns() if columns is None else columns
    ends = [0, *cuts, len(arrays["RIGHT_ASCENSION"])]
    with io.create_random_parquet(path, columns, product()) as file:
        for start, stop in pairwise(ends):
            file.write(some(arrays, start, stop))
    return path


def everything(path: Path, **options: Any) -> dict[str, Any]:
    """All columns of a catalogue as it is read."""
    catalogue = io.open_random(path)
    blocks = list(catalogue.blocks(**options))
    return {name: np.concatenate([block[name] for block in blocks]) for name in catalogue.columns}
