"""Random catalogues, beside healsparse, pymangle and the disk.

The visibility is 0 to 1, 0.5 on average, on a cap of order-14 cells half of which lie beyond |dec| = 41.8 deg, where
positions cost more. Today's way is healsparse: points spread evenly over the map, V looked up, each kept with
probability V, the table written by astropy or fitsio. Ours includes checksums, verification, flushing and renaming.
CPU seconds of the process, best of a few, in turn; wall where it says so. What takes memory or threads runs in a
process of its own, whose peak resident memory is read from the kernel.

With VMPZ_BENCH_BILLION set, 1e9 points are drawn too, which takes minutes.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import healsparse  # type: ignore[import-untyped]
import numpy as np
from astropy.table import Table
from numba import njit

from benchmarks.merge import cpu_seconds
from vmpz import io
from vmpz.kernels.philox import philox, unit
from vmpz.make import randoms
from vmpz.make.randoms import Draw, Field, Rules, Totals
from vmpz.products import Product, ProductKey, Provenance
from vmpz.run.randomrequests import request_of_maps
from vmpz.run.randoms import draw_catalogue
from vmpz.run.randomwriting import mapped
from vmpz.sky.regions import Cap, cells_inside
from vmpz.sky.skymap import SkyMap

try:
    import fitsio  # type: ignore[import-not-found, import-untyped, unused-ignore]
except ImportError:
    fitsio = None
try:
    import pymangle  # type: ignore[import-not-found, import-untyped, unused-ignore]
except ImportError:
    pymangle = None

ORDER = 14
CENTRE = (58.0, -42.0)
RADIUS = 5.7
CREATED = datetime(2026, 1, 1, tzinfo=UTC)
POINTS = 20_000_000
MANY = 100_000_000
BILLION = 1_000_000_000
FEW = 5_000_000
SHARED = 4
"""Points a cell of a map of a few dozen shards, which two threads share."""
DENSITIES = (1, 10, 40)

DRAWN = """
import json, sys, time
from pathlib import Path
from vmpz import io
from vmpz.run.randomrequests import request_of_maps
from vmpz.run.randoms import draw_catalogue, prepared
from vmpz.run.randomwriting import Work

def draw(path, said, threads, out):
    request = request_of_maps([path], said)
    if out != "-":
        return draw_catalogue(request, Path(out), threads=threads, created="2026-01-01")["rows"]
    visibility, settled = prepared(request, threads)
    work, row = Work(visibility, settled, request.extras.columns(request.random.columns), request.extras), 0
    place = io.Place(Path("/dev/null"), 0, 1 << 62, work.columns)
    for shard in work.shards:
        for arrays in work.blocks(shard):
            row += io.write_rows(place, row, work.own(arrays)).rows
    return row

path, warm, said, threads, out = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
draw(warm, said | ({"number": 1000} if "number" in said else {"density": 1.0}), threads, out)
cpu, wall = time.process_time(), time.perf_counter()
rows = draw(path, said, threads, out)
cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps({"rows": rows, "cpu": cpu, "wall": wall, "peak": int(peak.split()[1]) / 2**20}))
"""
"""Draws into a file, or packs and sums the rows and throws them away; first a few, so that all is compiled."""


def rows() -> list[dict[str, Any]]:
    """The table: operation, unit, ours, today, floor, ratio, target, note."""
    with tempfile.TemporaryDirectory(prefix="vmpz-bench-") as folder:
        return list(_rows(Path(folder)))


def _rows(folder: Path) -> Iterator[dict[str, Any]]:
    there, few = make_map(folder / "map.fits", RADIUS), make_map(folder / "few.fits", RADIUS / 2)
    yield from _written(folder, there)
    yield from _generated()
    yield from _schemes(folder, few)
    yield from _full(folder, there, few)
    if os.environ.get("VMPZ_BENCH_BILLION"):
        yield from _billion(folder, few)


# -- what is drawn ----------------------------------------------------------------------------------------------------


def visibility(radius_deg: float) -> SkyMap:
    """0 to 1 in every cell of a cap."""
    cells = cells_inside(Cap(*CENTRE, radius_deg), ORDER)
    return SkyMap(cells, np.random.default_rng(20261126).random(len(cells), np.float32))


def make_map(path: Path, radius_deg: float) -> Path:
    """A visibility as a file."""
    key = ProductKey("whole", "visibility", "bench", order=ORDER, release="0.1")
    product = Product(key, {"WEIGHT": visibility(radius_deg)}, keywords={"BINSEL": "bench"})
    return io.write_file(product, path, provenance=Provenance("bench", 1, {}, {}, {}, CREATED, True))


def catalogue(path: Path, out: Path, **said: object) -> None:
    """A catalogue by one thread."""
    draw_catalogue(request_of_maps([str(path)], {"seed": 1, **said}), out, created=CREATED)


def drawn(path: Path, warm: Path, said: dict[str, object], threads: int, out: Path) -> dict[str, float]:
    """Rows, CPU and wall seconds, and peak resident GiB of a process that draws."""
    arguments = [sys.executable, "-c", DRAWN, str(path), str(warm), json.dumps(said), str(threads), str(out)]
    done = subprocess.run(arguments, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout))


# -- thinned and written ----------------------------------------------------------------------------------------------


def _written(folder: Path, there: Path) -> Iterator[dict[str, Any]]:
    said = {"number": POINTS, "columns": "minimal"}
    catalogue(there, folder / "ours.fits", **said)
    sparse, found = sparse_map(RADIUS), [np.empty(0)]

    def fast() -> None:
        found[:] = thinned(sparse, 2 * POINTS, healsparse.make_uniform_randoms_fast)

    ours = best(lambda: catalogue(there, folder / "ours.fits", **said)) / POINTS
    drawing = best(fast, 2) / found[0].size
    exact = cpu_seconds(lambda: thinned(sparse, POINTS // 50, healsparse.make_uniform_randoms)) / (
        POINTS // 100
    )
    by_astropy = best(lambda: Table(columns(found)).write(folder / "today.fits", overwrite=True), 2)
    today = {
        "healsparse fast, look-up, astropy": drawing + by_astropy / found[0].size,
        "healsparse exact, look-up, astropy": exact + by_astropy / found[0].size,
    }
    if fitsio:
        writing = best(lambda: fitsio.write(str(folder / "today.fits"), columns(found), clobber=True), 2)
        today["healsparse fast, look-up, fitsio"] = drawing + writing / found[0].size
    today |= mangled(folder / "mask.ply")
    floor = best(lambda: doubles(POINTS)) + best(lambda: write_plain(folder / "floor", 16 * POINTS))
    for name, theirs in today.items():
        yield {
            "operation": f"{POINTS:.0e} points thinned by a visibility, as FITS; {name}",
            "unit": "ns a point",
            "ours": ours * 1e9,
            "today": theirs * 1e9,
            "floor": floor / POINTS * 1e9,
            "ratio": theirs / ours,
            "target": ">= 6x" if "fast" in name else "",
        }


def sparse_map(radius_deg: float) -> Any:
    """The visibility as a map of healsparse."""
    sparse, chances = healsparse.HealSparseMap.make_empty(32, 1 << ORDER, np.float32), visibility(radius_deg)
    sparse.update_values_pix(chances.cells.cells(), chances.values)
    return sparse


def thinned(sparse: Any, trials: int, draw: Callable[[Any, int], Any]) -> list[np.ndarray]:
    """Positions, each kept with the probability that the map gives."""
    lon, lat = draw(sparse, trials)
    kept = np.random.default_rng(1).random(trials) < sparse.get_values_pos(lon, lat, lonlat=True)
    return [lon[kept], lat[kept]]


def columns(found: list[np.ndarray]) -> Any:
    """The same as columns of a table."""
    return dict(zip(("RIGHT_ASCENSION", "DECLINATION"), found, strict=True))


def mangled(path: Path) -> dict[str, float]:
    """CPU seconds a point by pymangle, unwritten, in as large an area cut into 900 rectangles of weights around 0.5."""
    if pymangle is None:
        return {}
    random = np.random.default_rng(1)
    lon, lat = np.linspace(50.0, 63.0, 31), np.linspace(-47.0, -37.0, 31)
    text = ["900 polygons"]
    for k in range(900):
        west, east = np.radians(lon[k // 30 : k // 30 + 2])
        south, north = np.sin(np.radians(lat[k % 30 : k % 30 + 2]))
        area = (east - west) * (north - south)
        text += [
            f"polygon {k} ( 4 caps, {random.random():.6f} weight, 0 pixel, {area:.17g} str):",
            f" {-np.sin(west):.17g} {np.cos(west):.17g} 0 1",
            f" {np.sin(east):.17g} {-np.cos(east):.17g} 0 1",
            f" 0 0 1 {1 - south:.17g}",
            f" 0 0 1 {north - 1:.17g}",
        ]
    path.write_text("\n".join(text) + "\n", "utf-8")
    mask = pymangle.Mangle(str(path))
    box = (lon[0], lon[-1], lat[0], lat[-1])
    return {
        "pymangle genrand_range": cpu_seconds(lambda: mask.genrand_range(20_000, *box)) / 20_000,
        "pymangle genrand": cpu_seconds(lambda: mask.genrand(200)) / 200,
    }


# -- generated alone --------------------------------------------------------------------------------------------------


def _generated() -> Iterator[dict[str, Any]]:
    sparse, copied, copy = sparse_map(RADIUS / 2), np.ones((FEW, 2)), np.ones((FEW, 2))
    floor = (best(lambda: doubles(FEW)) + best(lambda: np.copyto(copy, copied))) / FEW
    theirs = best(lambda: healsparse.make_uniform_randoms_fast(sparse, FEW)) / FEW
    for density in DENSITIES:
        draw, fields = in_memory(density)
        draw_all = partial(generated, draw, fields)
        number, cells = draw_all(1), draw.totals.cells
        ours = best(partial(draw_all, 1)) / number
        yield {
            "operation": f"points generated, {density} a cell; healsparse fast",
            "unit": "ns a point",
            "ours": ours * 1e9,
            "today": theirs * 1e9,
            "floor": floor * 1e9,
            "ratio": theirs / ours,
            "note": f"{ours * number / cells * 1e9:.3g} ns a cell; floor: two doubles of Philox, rows copied",
        }
    draw_all, walls = partial(generated, *in_memory(SHARED)), {1: [], 2: []}
    number = draw_all(2)
    for threads in (1, 2) * 5:
        walls[threads].append(wall_seconds(partial(draw_all, threads)))
    yield {
        "operation": f"points generated, {SHARED} a cell, by 2 threads, against one",
        "unit": "times as fast",
        "ours": min(walls[1]) / min(walls[2]),
        "target": ">= 1.7",
        "note": f"{number / min(walls[2]) / 1e6:.3g} million points a second by both (wanted: 20)",
    }


def in_memory(density: int) -> tuple[Draw, dict[int, Field]]:
    """A map of visibility 1 for that many points a cell, of 2e6 cells or 8e6 points."""
    cells = visibility(RADIUS / max(4, density) ** 0.5).cells
    fields = dict(randoms.split_field(ORDER, cells.cells(), np.ones(len(cells), np.float32)))
    totals = Totals.summed(map(randoms.totals_of, fields.values()))
    return randoms.prepare(Rules(seed=1, number=density * len(cells)), ORDER, totals), fields


def generated(draw: Draw, fields: dict[int, Field], threads: int) -> int:
    """Number of the points, drawn block after block."""

    def number(shard: int) -> int:
        return sum(len(one) for one in randoms.blocks(draw, fields[shard], shard))

    return sum(mapped(number, draw.shards, threads))


@njit(cache=True, nogil=True)
def doubles(number: int) -> float:
    """Sum of two deviates of so many blocks of Philox."""
    total = 0.0
    for k in range(number):
        w0, w1, _, _ = philox(
            np.uint64(k), np.uint64(0), np.uint64(1), np.uint64(0), np.uint64(1), np.uint64(0)
        )
        total += unit(w0) + unit(w1)
    return total


# -- schemes and forms ------------------------------------------------------------------------------------------------


def _schemes(folder: Path, few: Path) -> Iterator[dict[str, Any]]:
    density = FEW / visibility(RADIUS / 2).integral_deg2()
    size: dict[str, dict[str, object]] = {
        "poisson": {"number": FEW},
        "exact": {"number": FEW, "scheme": "exact"},
        "indexed": {"number": FEW, "scheme": "indexed"},
        "trim": {"number": FEW, "scheme": "trim"},
        "nested": {"density": density, "nested": True},
    }
    calls = {
        f"scheme {name}, FITS": partial(catalogue, few, folder / "s.fits", columns="minimal", **said)
        for name, said in size.items()
    }
    calls["rows of 44 B, HATS"] = partial(catalogue, few, folder / "hats", number=FEW)
    for name, call in calls.items():
        call()
        ours = best(call) / FEW * 1e9
        yield {"operation": f"{FEW:.0e} points, {name}", "unit": "ns a point", "ours": ours}


def _full(folder: Path, there: Path, few: Path) -> Iterator[dict[str, Any]]:
    out = folder / "full.fits"
    told = drawn(there, few, {"seed": 1, "number": MANY}, 2, out)
    size = out.stat().st_size
    out.unlink()
    floor = wall_seconds(lambda: write_plain(folder / "floor", size))
    yield {
        "operation": f"{MANY:.0e} points of 44 B as FITS, 2 threads; floor: the same bytes, plain, flushed",
        "unit": "wall s",
        "ours": told["wall"],
        "floor": floor,
        "target": "<= 1.67 floor",
        "note": f"{told['cpu'] / told['rows'] * 1e9:.3g} CPU ns a point, {size / told['wall'] / 1e9:.3g} GB/s; "
        f"plain {size / floor / 1e9:.3g} GB/s",
    }
    yield {
        "operation": f"resident memory (VmHWM), {MANY:.0e} points",
        "unit": "GiB",
        "ours": told["peak"],
        "target": "<= 1",
    }


def _billion(folder: Path, few: Path) -> Iterator[dict[str, Any]]:
    said = {"seed": 1, "number": BILLION, "columns": "minimal"}
    told = drawn(make_map(folder / "wide.fits", 2 * RADIUS), few, said, 1, Path("-"))
    name = f"{BILLION:.0e} points of 16 B, packed and summed, not kept"
    yield {
        "operation": name,
        "unit": "wall s",
        "ours": told["wall"],
        "target": "< 180 s",
        "note": f"one thread, {told['cpu'] / told['rows'] * 1e9:.3g} CPU ns a point",
    }
    yield {
        "operation": f"resident memory (VmHWM), {name}",
        "unit": "GiB",
        "ours": told["peak"],
        "target": "<= 1",
    }


# -- what is timed ----------------------------------------------------------------------------------------------------


def write_plain(path: Path, size: int) -> None:
    """So many bytes, flushed."""
    block = np.ones(1 << 20, np.uint8)
    with path.open("wb", buffering=0) as stream:
        for begin in range(0, size, block.size):
            stream.write(block[: size - begin].data)
        os.fsync(stream.fileno())
    path.unlink()


def best(call: Callable[[], object], times: int = 3) -> float:
    """Least CPU seconds."""
    return min(cpu_seconds(call) for _ in range(times))


def wall_seconds(call: Callable[[], object]) -> float:
    """Wall seconds."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


if __name__ == "__main__":
    for one in rows():
        print(
            {key: f"{value:.4g}" if isinstance(value, float) else value for key, value in one.items()},
            flush=True,
        )
