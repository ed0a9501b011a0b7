"""Looking maps up and changing their form, beside healsparse, healpy, mocpy and pyarrow.

The map is the coverage of 64 tiles of the Euclid grid at order 14, joined. CPU seconds, best of three, in turn.
"""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import healsparse  # type: ignore[import-untyped]
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from mocpy import MOC

from benchmarks.merge import ORDER, cpu_seconds, make_tiles
from vmpz import io
from vmpz.make.merge import merge
from vmpz.products import Product
from vmpz.sky import hpx

TILES = 64
POSITIONS = 1_000_000


def rows() -> list[dict[str, Any]]:
    """The table: operation, unit, ours, today, floor, ratio, target, note."""
    with tempfile.TemporaryDirectory() as folder:
        return list(_rows(Path(folder)))


def _rows(folder: Path) -> Iterator[dict[str, Any]]:
    tiles = [io.read(path) for path in make_tiles(folder, TILES)]
    product = merge(tiles, "patch")
    cells, values = product.map.cells.cells(), product.map.values
    sparse = healsparse.HealSparseMap.make_empty(32, 1 << ORDER, np.float32)
    sparse.update_values_pix(cells, values)
    yield from _in_memory(tiles, cells.size)
    yield from _look_up(product, sparse)
    yield from _degraded(product, sparse)
    yield from _written(product, sparse, folder)


def _in_memory(tiles: list[Product], count: int) -> Iterator[dict[str, Any]]:
    parts = [(one.map.cells.cells(), one.map.values) for one in tiles]

    def mean() -> None:
        pixel, value = (np.concatenate(one) for one in zip(*parts, strict=True))
        found, inverse = np.unique(pixel, return_inverse=True)
        np.bincount(inverse, value, found.size) / np.bincount(inverse, minlength=found.size)

    def sparse() -> None:
        total = healsparse.HealSparseMap.make_empty(32, 1 << ORDER, np.float32)
        for pixel, value in parts:
            total.update_values_pix(pixel, value)

    ours = best(lambda: merge(tiles, "patch"))
    yield row(
        f"merge {TILES} tiles in memory; np.unique + bincount", "ns a cell", ours, best(mean), count, ">= 20x"
    )
    yield row(f"merge {TILES} tiles in memory; healsparse", "ns a cell", ours, best(sparse), count, ">= 20x")


def _look_up(product: Product, sparse: Any) -> Iterator[dict[str, Any]]:
    random = np.random.default_rng(1)
    lon, lat = 58.0 + 4.0 * random.random(POSITIONS), -52.0 + random.random(POSITIONS)
    ours = best(lambda: product.map.at(lon, lat))
    today = best(lambda: sparse.get_values_pos(lon, lat, lonlat=True))
    yield row(f"values at {POSITIONS} positions; healsparse", "ns a position", ours, today, POSITIONS)
    number = hpx.cells_at(lon, lat, ORDER)
    ours = best(lambda: product.map.of_cells(number))
    today = best(lambda: sparse.get_values_pix(number))
    yield row(f"values of {POSITIONS} cells; healsparse", "ns a cell", ours, today, POSITIONS)


def _degraded(product: Product, sparse: Any) -> Iterator[dict[str, Any]]:
    ours = best(lambda: product.map.degrade(12, "MEAN"))
    today = best(lambda: sparse.degrade(1 << 12))
    yield row("degrade to order 12, mean; healsparse", "ns a cell", ours, today, len(product.map), ">= 5x")


def _written(product: Product, sparse: Any, folder: Path) -> Iterator[dict[str, Any]]:
    cells, values = product.map.cells.cells(), product.map.values
    count = cells.size
    path = folder / "theirs"
    table = pa.table({"PIXEL": cells, "WEIGHT": values})
    pairs: dict[str, tuple[str, Callable[[], object]]] = {
        "healpix": (".fits", lambda: sparse.write(str(path), clobber=True)),
        "parquet": (".parquet", lambda: pq.write_table(table, path)),
        "plainmoc": (".plain.moc.fits", lambda: MOC.from_healpix_cells(
            cells.astype(np.uint64), np.full(count, ORDER, np.uint8), ORDER).save(str(path), overwrite=True)),
        "healsparse": (".hsp", lambda: sparse.write(str(path), clobber=True)),
    }  # fmt: skip
    for form, (suffix, theirs) in pairs.items():
        ours = best(lambda suffix=suffix: io.write_file(product, folder / f"ours{suffix}"))  # type: ignore[misc]
        who = {"parquet": "pyarrow", "plainmoc": "mocpy"}.get(form, "healsparse")
        yield row(f"write as {form}; {who}", "ns a cell", ours, best(theirs), count)
    for form, suffix in {"weighted MOC": ".moc.fits", "HiPS": ".hips"}.items():
        ours = best(lambda suffix=suffix: io.write_file(product, folder / f"ours{suffix}"))  # type: ignore[misc]
        yield row(f"write as {form}", "ns a cell", ours, None, count)


def best(call: Callable[[], object]) -> float:
    """Least CPU seconds of three calls."""
    return min(cpu_seconds(call) for _ in range(3))


def row(
    operation: str, unit: str, ours: float, today: float | None, count: int, target: str = ""
) -> dict[str, Any]:
    """One row of the table, per item."""
    return {
        "operation": operation,
        "unit": unit,
        "ours": ours / count * 1e9,
        "today": None if today is None else today / count * 1e9,
        "ratio": None if today is None else today / ours,
        "target": target,
    }
