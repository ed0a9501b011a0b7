"""One full mosaic tile (19200 x 19200: flags, RMS, background) through the pass, beside today's script and the floor.

The tile is synthetic and made once in a temporary folder (4.4 GB, removed at the end), then read from the page cache:
stars, bad columns, cosmic rays and borders flag a tenth of the pixels; RMS is a patchwork with 3 % noise; background
0.2 +- 0.02. Figures are CPU seconds (user and system) unless said otherwise, ours the best of three, today's on 1/16
of the tile, times 16. The floor is a plain sum of the same words by one thread. ``python -m benchmarks.tile`` prints
the rows.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numba import njit

from vmpz.bits import Selection
from vmpz.files.planes import open_plane
from vmpz.frames import Frame, FrameRef, image_outline
from vmpz.make.accumulate import accumulate
from vmpz.make.runtable import RunTable, run_table
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet

__all__ = ["rows"]

SIZE = int(os.environ.get("VMPZ_BENCH_SIZE", "19200"))
ORDER = 14
CENTRE = (57.9988, -51.5884)
PLANES = {"FLAG": "flag.fits", "RMS": "rms.fits", "BACKGROUND": "background.fits"}
SELECTIONS = (Selection(("INVALID", "SAT", "NO_DATA"), (0, 2, 6)), Selection(("STARSIGNAL",), (18,)))
REPEAT = 3
PART = 16


def mosaic_wcs(lon: float = CENTRE[0], lat: float = CENTRE[1], rotation: float = 0.0) -> WCS:
    """TAN, 0.1 arcsec."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = [lon, lat], [SIZE / 2 + 0.5] * 2
    c, s = np.cos(np.radians(rotation)), np.sin(np.radians(rotation))
    wcs.wcs.cd = 0.1 / 3600 * np.array([[-c, s], [s, c]])
    wcs.wcs.set()
    return wcs


# -- the tile -------------------------------------------------------------------------------------------


def make_tile(folder: Path) -> dict[str, str]:
    """Write the three planes; paths by name."""
    rng = np.random.default_rng(20261122)
    paths = {name: str(folder / file) for name, file in PLANES.items()}
    _write(paths["FLAG"], _flags(rng))
    noise = np.empty((SIZE, SIZE), ">f4")
    column = np.arange(SIZE)
    for row in range(0, SIZE, 480):
        stop = min(row + 480, SIZE)
        level = 0.01 * (1 + 0.3 * ((column // 2000 + row // 2000) % 3))
        noise[row:stop] = level * (1 + 0.03 * rng.standard_normal((stop - row, SIZE), dtype=np.float32))
    noise[:, :25] = 1e16
    _write(paths["RMS"], noise)
    for row in range(0, SIZE, 480):
        stop = min(row + 480, SIZE)
        wave = 0.2 + 0.02 * np.sin(column / 3000)
        noise[row:stop] = wave + 1e-4 * rng.standard_normal((stop - row, SIZE), dtype=np.float32)
    _write(paths["BACKGROUND"], noise)
    return paths


def _flags(rng: np.random.Generator) -> np.ndarray:
    """Star disks with saturated cores, bad columns, cosmic rays, a few areas and the border."""
    flags = np.zeros((SIZE, SIZE), ">i4")
    for step in range(6):
        hits = SIZE * SIZE // 3000
        row, column = rng.integers(0, SIZE - 8, (2, hits))
        flags[row + step, column + step // 2] |= 1 << int(rng.integers(3, 10))
    flags[:, rng.integers(0, SIZE, SIZE // 300)] |= 1 << 1
    for _ in range(SIZE * SIZE // 340000):
        radius = int(rng.choice([20, 40, 80, 160, 320], p=[0.4, 0.3, 0.15, 0.1, 0.05]))
        y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
        row, column = rng.integers(radius, SIZE - radius, 2)
        disk = flags[row - radius : row + radius + 1, column - radius : column + radius + 1]
        disk[x**2 + y**2 <= radius**2] |= 1 << 18
        disk[x**2 + y**2 <= (radius // 5) ** 2] |= 1 << 2
    for bit in (12, 13):
        row, column = rng.integers(0, SIZE - SIZE // 20, 2)
        flags[row : row + SIZE // 20, column : column + SIZE // 20] |= 1 << bit
    for edge in (np.s_[:20], np.s_[-20:], np.s_[:, :20], np.s_[:, -20:]):
        flags[edge] |= 1
    return flags


def _write(path: str, data: np.ndarray) -> None:
    """A plain FITS image."""
    header = fits.PrimaryHDU(np.zeros((1, 1), data.dtype)).header
    header.update(mosaic_wcs().to_header())
    header["NAXIS1"], header["NAXIS2"] = SIZE, SIZE
    with open(path, "wb") as file:
        file.write(header.tostring(padding=True).encode())
        data.tofile(file)
        file.write(b"\0" * (-data.nbytes % 2880))


@contextmanager
def opened(paths: dict[str, str], names: tuple[str, ...]) -> Iterator[Frame]:
    """The frame with some of its planes."""
    cards = mosaic_wcs().to_header().tostring(sep="\n")
    ref = FrameRef("benchmark", "102018211", "VIS", "VIS", (SIZE, SIZE), cards, {})
    with Frame(ref, {name: open_plane(paths[name], 0, name) for name in names}) as frame:
        yield frame


# -- what is timed --------------------------------------------------------------------------------------


def timed(function: Callable[[], Any], repeat: int = REPEAT) -> tuple[float, float]:
    """Least CPU and wall seconds."""
    figures = []
    for _ in range(repeat):
        cpu, wall = time.process_time(), time.perf_counter()
        function()
        figures.append((time.process_time() - cpu, time.perf_counter() - wall))
    return min(cpu for cpu, _ in figures), min(wall for _, wall in figures)


@njit(cache=True, nogil=True)
def _sum(values: np.ndarray) -> np.uint32:
    total = np.uint32(0)
    for row in range(values.shape[0]):
        line = values[row]
        for c in range(line.size):
            total = np.uint32(total + line[c])
    return total


def plain_sum(paths: dict[str, str], names: tuple[str, ...]) -> None:
    """The floor: add up the words as they lie in the mapped file."""
    for name in names:
        _sum(fits.open(paths[name], memmap=True)[0].data.view(np.uint32))


def reduce(paths: dict[str, str], table: RunTable, names: tuple[str, ...], **options: Any) -> None:
    """The pass over some planes."""
    with opened(paths, names) as frame:
        accumulate(frame, table, selections=SELECTIONS, good=SELECTIONS[0], **options)


def table_at(lon: float = CENTRE[0], lat: float = CENTRE[1], rotation: float = 0.0) -> RunTable:
    """The run table of a tile."""
    wcs, shape = mosaic_wcs(lon, lat, rotation), (SIZE, SIZE)
    return run_table(wcs, shape, CellSet.everything(ORDER), outline=image_outline(wcs, shape))


def today(paths: dict[str, str]) -> float:
    """CPU seconds of the script of today for the whole tile, from 1/16 of it."""
    from benchmarks.reference import reduce_rows

    start = SIZE // 2
    return PART * timed(lambda: reduce_rows(paths, 1 << ORDER, start, start + SIZE // PART), 1)[0]


def today_median(paths: dict[str, str], table: RunTable) -> float:
    """CPU seconds of sorting and splitting for the whole tile, cells given, from one block of it."""
    from benchmarks.reference import median

    block = table.blocks[len(table.blocks) // 2]
    cells = table.places(block)
    values = fits.open(paths["RMS"], memmap=True)[0].data[block.start : block.stop].astype(np.float32)
    return SIZE / (block.stop - block.start) * timed(lambda: median(values, cells), 1)[0]


def mismatches(table: RunTable) -> int:
    """Pixels of the whole tile whose cell is not that of the WCS and the HEALPix library."""
    cells, bad = table.cells.cells(), 0
    for block in table.blocks:
        places = table.places(block)
        for row in range(0, block.stop - block.start, 32):
            part = places[row : row + 32]
            y, x = np.mgrid[block.start + row : block.start + row + part.shape[0], 0:SIZE]
            lon, lat = table.wcs.all_pix2world(x.ravel().astype(float), y.ravel().astype(float), 0)
            bad += int(np.sum(cells[part.ravel()] != hpx.cells_at(lon, lat, ORDER)))
    return bad


def whole_process(folder: str) -> dict[str, float]:
    """Seconds and memory of a fresh process that reduces the tile, compiled code from the cache."""
    start = time.perf_counter()
    text = subprocess.run(
        [sys.executable, "-m", "benchmarks.tile", "process", folder],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return {**json.loads(text), "wall": time.perf_counter() - start}


def _process(folder: str) -> None:
    paths = {name: str(Path(folder) / file) for name, file in PLANES.items()}
    table, anonymous = table_at(), []
    with opened(paths, tuple(PLANES)) as frame:
        accumulate(
            frame, table, selections=SELECTIONS, good=SELECTIONS[0], keep_good=SELECTIONS[0],
            progress=lambda _: anonymous.append(_status("RssAnon")),
        )  # fmt: skip
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu = usage.ru_utime + usage.ru_stime
    print(json.dumps({"cpu": cpu, "anonymous": max(anonymous), "highest": _status("VmHWM")}))


def _status(key: str) -> float:
    """A figure of /proc/self/status in GiB."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(float(line.split()[1]) / 2**20 for line in lines if line.startswith(key))


# -- the table ------------------------------------------------------------------------------------------


def rows() -> list[dict[str, Any]]:
    """Rows of the table of performance: operation, unit, ours, today, floor, ratio (today / ours), target, note."""
    with tempfile.TemporaryDirectory(prefix="vmpz-bench-") as folder:
        return _rows(Path(folder))


def _rows(folder: Path) -> list[dict[str, Any]]:
    paths = make_tile(folder)
    every = tuple(PLANES)
    table = table_at()
    reduce(paths, table, every, percents=(50,), keep_good=SELECTIONS[0])
    plain_sum(paths, every)
    floors = {name: timed(lambda name=name: plain_sum(paths, (name,)))[0] for name in every}
    floor = sum(floors.values())
    script = today(paths)
    geometry = timed(table_at)[0]
    one, _ = timed(lambda: reduce(paths, table, every))
    two, wall = timed(lambda: reduce(paths, table, every, threads=2))
    flags = timed(lambda: reduce(paths, table, ("FLAG",)))[0]
    plane = timed(lambda: reduce(paths, table, ("RMS",)))[0]
    middle = timed(lambda: reduce(paths, table, ("RMS",), percents=(50,)))[0] - plane
    weighed = timed(lambda: reduce(paths, table, ("RMS", "BACKGROUND"), inverse_variance=True))[0]
    sorting = today_median(paths, table)
    process = min((whole_process(str(folder)) for _ in range(3)), key=lambda one: one["wall"])
    pixels = SIZE * SIZE
    return [
        _row("tile, geometry and pass", "CPU s", geometry + one, script, floor, ">= 100x today"),
        _row("tile, pass alone", "CPU s", one, None, floor, "<= 6x the floor"),
        _row("tile, pass alone, 2 threads", "wall s", wall, None, None, "", f"{two:.3g} CPU s"),
        _row("run table, away from seams", "CPU s", geometry, None, None, "<= 0.2 s"),
        _row(
            "run table on a seam (10, 41.81)",
            "CPU s",
            timed(lambda: table_at(10, 41.81))[0],
            None,
            None,
            "<= 1.2 s",
        ),
        _row(
            "run table at the pole (12, 89.95)",
            "CPU s",
            timed(lambda: table_at(12, 89.95), 1)[0],
            None,
            None,
            "",
        ),
        _row(
            "flags: 32 bits, 2 selections",
            "ns/pixel",
            flags / pixels * 1e9,
            None,
            floors["FLAG"] / pixels * 1e9,
            "",
        ),
        _row("RMS: moments", "ns/pixel", plane / pixels * 1e9, None, floors["RMS"] / pixels * 1e9, ""),
        _row(
            "RMS: exact median",
            "ns/pixel",
            middle / pixels * 1e9,
            sorting / pixels * 1e9,
            None,
            "<= 5 ns, >= 15x",
        ),
        _row("RMS and background, inverse variance", "ns/pixel", weighed / pixels * 1e9, None, None, ""),
        _row(
            "whole process, tile",
            "wall s",
            process["wall"],
            script,
            None,
            ">= 50x today",
            f"{process['cpu']:.3g} CPU s",
        ),
        _row("private memory (RssAnon)", "GiB", process["anonymous"], None, None, "<= 0.7"),
        _row("resident memory (VmHWM)", "GiB", process["highest"], None, None, "<= 1"),
        _row(
            "pixels in another cell than the exact one",
            f"of {pixels}",
            float(mismatches(table)),
            None,
            None,
            "0",
        ),
    ]


def _row(
    operation: str,
    unit: str,
    ours: float,
    theirs: float | None,
    floor: float | None,
    target: str,
    note: str = "",
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "operation": operation,
        "unit": unit,
        "ours": ours,
        "today": theirs,
        "floor": floor,
    }
    return {**row, "ratio": None if theirs is None else theirs / ours, "target": target, "note": note}


if __name__ == "__main__":
    if sys.argv[1:2] == ["process"]:
        _process(sys.argv[2])
    else:
        for line in rows():
            print({key: f"{value:.4g}" if isinstance(value, float) else value for key, value in line.items()})
