"""Merging tile files into one map of a patch, beside numpy + fitsio and healsparse; how time and memory grow.

Tiles are those of the Euclid grid about one place, each with a coverage file of all the cells it owns. Ours runs in a
process of its own, whose peak resident memory is read from the kernel; it verifies every checksum on reading, writes
both checksums, reads the result back and flushes it to disk. Today's ways read the same files with fitsio (astropy
where there is none) without looking at a checksum; they need all rows at once, so they are measured on fewer tiles.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table

from vmpz.io.fits import cell_chunks, columns_of, forms_of, partial_layout, row_type, split_keywords
from vmpz.io.headers import cards_of, primary_cards, table_cards, write_unit
from vmpz.parameters import MapParameters
from vmpz.products import Product, ProductKey, Provenance
from vmpz.sky.skymap import SkyMap
from vmpz.tiles import tiles_near, tiling

try:
    import fitsio  # type: ignore[import-not-found, import-untyped, unused-ignore]
except ImportError:
    fitsio = None

ORDER = 14
SIZES = (1_000, 3_000, 10_000)
FEW = 1_000
CREATED = datetime(2026, 1, 1, tzinfo=UTC)

OURS = """
import resource, sys, time
from pathlib import Path
from vmpz.run.tasks import merge_files
started = time.process_time()
merge_files(["@" + sys.argv[1]], Path(sys.argv[2]), order=int(sys.argv[3]) if len(sys.argv) > 3 else None, weights=[])
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(time.process_time() - started, int(peak.split()[1]) / 2**20)
"""


def make_tiles(folder: Path, number: int) -> list[Path]:
    """Coverage files of the tiles nearest to one place, without flushing each to disk."""
    grid, maps = tiling("euclid-wide"), MapParameters()
    written = []
    for one in tiles_near(58.0, -51.5, number):
        cells = grid.owned(one.id, ORDER)
        values = (0.5 + 0.5 * np.cos(cells.cells() * 1e-3)).astype(np.float32).clip(0.01, 1)
        key = ProductKey(
            one.id, "coverage", selection="0", instrument="VIS", band="VIS", order=ORDER, release="0.1"
        )
        provenance = Provenance("coverage", 1, {}, {"tile": one.id}, {"vmpz": "0.1"}, CREATED, True)
        area = cells.area_deg2
        product = Product(
            key, {"WEIGHT": SkyMap(cells, values)}, None,
            {"TILEAREA": area, "OBSAREA": area, "TELESCOP": "Euclid", "BITSEL": "0"}, "", provenance,
        )  # fmt: skip
        listed, columns = columns_of(product, maps)
        columns = {"PIXEL": np.empty(0, np.int64), **columns}
        primary, table = split_keywords(product, maps)
        cards = table_cards(
            forms_of(columns, ""), row_type(columns).itemsize, len(listed), partial_layout(key)
        )
        path = folder / f"{one.id}.fits"
        with path.open("wb") as stream:
            write_unit(stream, primary_cards(primary))
            write_unit(stream, cards + cards_of(table), cell_chunks(listed, columns))
        written.append(path)
    return written


def rows() -> list[dict[str, Any]]:
    """The table: operation, unit, ours, today, floor, ratio, target, note."""
    with tempfile.TemporaryDirectory() as folder:
        return list(_rows(Path(folder)))


def _rows(folder: Path) -> Iterator[dict[str, Any]]:
    tiles = make_tiles(folder, SIZES[-1])
    few = tiles[:FEW]
    cells = {number: sum(_rows_of(path) for path in tiles[:number]) for number in (*SIZES, FEW)}
    today = {
        "numpy + fitsio" if fitsio else "numpy + astropy": cpu_seconds(
            lambda: by_numpy(few, folder / "numpy.fits")
        ),
        "healsparse": cpu_seconds(lambda: by_healsparse(few, folder / "today.hsp")),
    }
    for number in SIZES:
        ours, wall, peak = _ours(folder, tiles[:number])
        floor = cpu_seconds(lambda number=number: _copy(tiles[:number], folder / "floor"))  # type: ignore[misc]
        per = {name: seconds / cells[FEW] * 1e9 for name, seconds in today.items()}
        mine = ours / cells[number] * 1e9
        for name, theirs in per.items():
            yield {
                "operation": f"merge {number} tile files, {cells[number]:.3g} cells; {name}",
                "unit": "ns a cell",
                "ours": mine,
                "today": theirs,
                "floor": floor / cells[number] * 1e9,
                "ratio": theirs / mine,
                "target": ">= 8x",
                "note": f"{wall:.1f} s wall; today's on {FEW} tiles",
            }
        yield {
            "operation": f"peak resident memory, {number} tiles",
            "unit": "GiB",
            "ours": peak,
            "target": "<= 0.5",
        }
    ours, wall, peak = _ours(folder, tiles, 12)
    yield {
        "operation": f"the same {SIZES[-1]} tiles to order 12",
        "unit": "ns a cell",
        "ours": ours / cells[SIZES[-1]] * 1e9,
        "note": f"{wall:.1f} s wall, {peak:.2f} GiB",
    }


def _rows_of(path: Path) -> int:
    return (path.stat().st_size - 3 * 2880) // 12


def _ours(folder: Path, tiles: list[Path], *order: int) -> tuple[float, float, float]:
    """CPU seconds, wall seconds and peak resident GiB of a process that merges."""
    names = folder / "tiles.txt"
    names.write_text("\n".join(map(str, tiles)))
    started = time.perf_counter()
    arguments = [sys.executable, "-c", OURS, str(names), str(folder / "ours.fits"), *map(str, order)]
    out = subprocess.run(arguments, check=True, capture_output=True, text=True).stdout
    cpu, peak = out.split()
    return float(cpu), time.perf_counter() - started, float(peak)


def by_numpy(tiles: list[Path], out: Path) -> None:
    """What one writes first: read all, concatenate, sort, write."""
    pixels, weights = [], []
    for path in tiles:
        data = fitsio.read(str(path), ext=1) if fitsio else fits.getdata(path, 1)
        pixels.append(np.asarray(data["PIXEL"], np.int64))
        weights.append(np.asarray(data["WEIGHT"], np.float32))
    pixel, weight = np.concatenate(pixels), np.concatenate(weights)
    found, first = np.unique(pixel, return_index=True)
    if fitsio:
        fitsio.write(str(out), {"PIXEL": found, "WEIGHT": weight[first]}, clobber=True)
    else:
        Table({"PIXEL": found, "WEIGHT": weight[first]}).write(out, overwrite=True)


def by_healsparse(tiles: list[Path], out: Path) -> None:
    """A sparse map, updated tile by tile and written."""
    import healsparse

    sky = healsparse.HealSparseMap.make_empty(32, 1 << ORDER, np.float32)
    for path in tiles:
        data = fitsio.read(str(path), ext=1) if fitsio else fits.getdata(path, 1)
        sky.update_values_pix(np.asarray(data["PIXEL"], np.int64), np.asarray(data["WEIGHT"], np.float32))
    sky.write(str(out), clobber=True)


def _copy(tiles: list[Path], out: Path) -> None:
    """Read the same bytes and write as many, flushed."""
    with out.open("wb") as stream:
        for path in tiles:
            stream.write(path.read_bytes())
        stream.flush()
        os.fsync(stream.fileno())


def cpu_seconds(call: Callable[[], object]) -> float:
    """CPU seconds of this process."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    call()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    print(json.dumps(rows(), indent=1))
