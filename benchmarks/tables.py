"""Writing and reading products, side by side with what a user would write today.

Ours includes what today's way leaves out: both checksums, reading the file back to verify it, flushing it to disk and
renaming it. CPU time of the process, ours and theirs in turn, best of a few repetitions.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import healpy  # type: ignore[import-untyped]
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.table import Table

from vmpz import io
from vmpz.io.fits import cell_chunks, columns_of, forms_of
from vmpz.io.headers import primary_cards, table_cards, write_unit
from vmpz.parameters import MapParameters
from vmpz.products import Product, ProductKey
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap
from vmpz.statistics import CellStatistics

try:
    import fitsio  # type: ignore[import-not-found, import-untyped, unused-ignore]
except ImportError:
    fitsio = None

ROWS = 4_000_000
ORDER = 14


def rows() -> list[dict[str, Any]]:
    """The table: operation, unit, ours, today, floor, ratio, target, note."""
    with tempfile.TemporaryDirectory() as folder:
        return list(_rows(Path(folder)))


def _rows(folder: Path) -> Iterator[dict[str, Any]]:
    big, tile = coverage(ROWS), coverage(22_687)
    path, other = folder / "ours.fits", folder / "today.fits"
    record = native_rows(big)
    columns = {"PIXEL": record["PIXEL"], "WEIGHT": record["WEIGHT"]}
    plain = record.tobytes()
    floor = seconds(lambda: other.write_bytes(plain))

    ours = seconds(lambda: io.write_file(big, path))
    today = seconds(lambda: Table(columns).write(other, overwrite=True))
    yield row(f"write PIXEL, WEIGHT; {ROWS:.0e} rows; astropy Table.write", ours, today, floor, ROWS, None)
    if fitsio is not None:
        today = seconds(lambda: fitsio.write(str(other), record, clobber=True))
        yield row(f"write PIXEL, WEIGHT; {ROWS:.0e} rows; fitsio.write", ours, today, floor, ROWS, ">= 15")

    if fitsio is not None:
        ours = seconds(lambda: plain_write(big, path.with_suffix(".plain")))
        yield {
            **row("the same without flush and verification; fitsio.write", ours, today, floor, ROWS, None),
            "note": "header, records and checksums, straight to the file; 15 x astropy would be below the floor",
        }

    ours = seconds(lambda: io.read(path))
    today = seconds(lambda: verified_table(path))
    yield row("read the same, checksums verified; astropy Table", ours, today, None, ROWS, None)

    small, full = folder / "small.fits", coverage(22_687, 10)
    count = 20
    ours = seconds(lambda: [io.write_file(tile, path) for _ in range(count)]) / count
    today = seconds(lambda: [healpy_partial(full, small) for _ in range(3)]) / 3
    yield {
        **row(
            "write one tile, partial HEALPix; healpy.write_map (NSIDE 1024)", ours, today, None, 1, None, 1e3
        ),
        "unit": "ms",
        "note": "healpy needs the whole sky in memory: at NSIDE 16384 it would be 25.8 GB",
    }
    yield from _parquet(folder)


def _parquet(folder: Path) -> Iterator[dict[str, Any]]:
    cells = coverage(ROWS // 4)
    path, other = folder / "ours.parquet", folder / "today.parquet"
    columns = {"good": cells.map.values.astype(np.float64)}
    ours_product = Product(
        replace(cells.key, kind="statistics"),
        table=io.statistics_table(CellStatistics(cells.map.cells, columns)),
    )
    table = pa.table({"cell": cells.map.cells.cells(), "good": columns["good"]})
    ours = seconds(lambda: io.write_file(ours_product, path))
    today = seconds(lambda: pq.write_table(table, other, compression="zstd"))
    yield {
        **row("write cell statistics, Parquet; pyarrow defaults + zstd", ours, today, None, ROWS // 4, None),
        "note": f"{path.stat().st_size / (ROWS // 4):.2f} bytes a row, today {other.stat().st_size / (ROWS // 4):.2f}",
    }


def coverage(count: int, order: int = ORDER) -> Product:
    """A coverage of so many cells, a third of them partly covered."""
    rng = np.random.default_rng(1)
    values = np.where(rng.random(count) < 0.33, rng.random(count) * 0.999 + 0.001, 1.0).astype(np.float32)
    start = 123 << 2 * max(order - 6, 0)
    cells = CellSet.from_ranges(order, [(start, start + count)])
    return Product(ProductKey("1", "coverage", band="VIS", order=order), {"WEIGHT": SkyMap(cells, values)})


def plain_write(product: Product, path: Path) -> None:
    """The rows of a product as one checksummed table, neither flushed nor verified."""
    cells, values = columns_of(product, MapParameters())
    columns = {"PIXEL": np.empty(0, np.int64), **values}
    cards = table_cards(forms_of(columns, ""), 12, len(cells), {})
    with path.open("wb") as stream:
        write_unit(stream, primary_cards({}))
        write_unit(stream, cards, cell_chunks(cells, columns))


def native_rows(product: Product) -> np.ndarray[Any, Any]:
    """The rows as a native record array, as a user would have them."""
    record = np.empty(len(product.map), [("PIXEL", "i8"), ("WEIGHT", "f4")])
    record["PIXEL"], record["WEIGHT"] = product.map.cells.cells(), product.map.values
    return record


def verified_table(path: Path) -> Table:
    """Read with checksums, as astropy does it."""
    with fits.open(path, checksum=True) as hdus:
        return Table(hdus[1].data)


def healpy_partial(product: Product, path: Path) -> None:
    """A partial file by way of the whole sky."""
    full = np.full(12 << 2 * product.key.order, healpy.UNSEEN, np.float32)
    full[product.map.cells.cells()] = product.map.values
    healpy.write_map(str(path), full, nest=True, partial=True, coord="C", overwrite=True, dtype=np.float32)


def seconds(work: Callable[[], Any], repeats: int = 5) -> float:
    """Least process time of a few repetitions, after one that warms up."""
    work()
    best = np.inf
    for _ in range(repeats):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def row(
    operation: str,
    ours: float,
    today: float,
    floor: float | None,
    count: int,
    target: str | None,
    scale: float = 1e9,
) -> dict[str, Any]:
    """One line of the table, in ns a row unless said otherwise."""
    return {
        "operation": operation,
        "unit": "ns/row",
        "ours": ours / count * scale,
        "today": today / count * scale,
        "floor": None if floor is None else floor / count * scale,
        "ratio": today / ours,
        "target": target,
    }


if __name__ == "__main__":
    for line in rows():
        print(line)
