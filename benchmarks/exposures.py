"""Maps of a survey of exposures from their outlines, side by side with super-sampling.

2000 exposures of 144 detector quadrants, four dithers a pointing, each pointing turned otherwise: exposure count,
exposure time and union at order 14. Ours does the whole survey; the others a part of one pointing, and are compared by
outline. ``python -m benchmarks.exposures`` prints the table; `rows` gives it to a runner.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import healsparse  # type: ignore[import-untyped]
import hpgeom  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

from benchmarks.tile import _status
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.shares import sums_and_union, weighted_sums
from vmpz.sky.skymap import SkyMap

ORDER, DEEP = 14, 17
EXPOSURES, CHORDS = 2000, 1e-4
DITHERS_ARCSEC = np.array([(0.0, 0.0), (-50.0, -100.0), (0.0, -200.0), (50.0, -300.0)])
NAMES = ("count", "time", "union")

FloatArray = NDArray[np.float64]
Maps = Sequence[SkyMap]


# -- the survey -----------------------------------------------------------------------------------------


def focal_plane() -> FloatArray:
    """Outlines (144, 4, 2) of 12 x 12 quadrants of 204.8" x 206.6" about the middle, arcsec."""
    x, y = (grid.ravel() for grid in np.meshgrid(np.arange(-5.5, 6.0) * 215.0, np.arange(-5.5, 6.0) * 230.0))
    corner = np.array([[-102.4, -103.3], [102.4, -103.3], [102.4, 103.3], [-102.4, 103.3]])
    return np.stack((x, y), axis=1)[:, np.newaxis] + corner


def survey(exposures: int = EXPOSURES) -> tuple[FloatArray, FloatArray]:
    """Outlines (n, 4, 2) in degrees around (58, -51), and ones and exposure times in seconds (n, 2)."""
    number = np.arange(exposures)
    pointing, dither = number // 4, DITHERS_ARCSEC[number % 4]
    side = int(np.sqrt(EXPOSURES / 4.0))
    plane = np.radians((focal_plane() + dither[:, np.newaxis, np.newaxis]) / 3600.0)
    turn = np.radians(7.3 * pointing)[:, np.newaxis, np.newaxis]
    x = plane[..., 0] * np.cos(turn) - plane[..., 1] * np.sin(turn)
    y = plane[..., 0] * np.sin(turn) + plane[..., 1] * np.cos(turn)
    lat = np.radians(-51.0 + 0.7 * (pointing % side - side / 2.0))[:, np.newaxis, np.newaxis]
    lon = np.radians(58.0) + np.radians(0.7 * (pointing // side - side / 2.0))[
        :, np.newaxis, np.newaxis
    ] / np.cos(lat)
    depth = np.cos(lat) - y * np.sin(lat)  # from the tangent planes to the sphere
    lon, lat = lon + np.arctan2(x, depth), np.arctan2(np.sin(lat) + y * np.cos(lat), np.hypot(x, depth))
    seconds = np.repeat(np.where(number % 4 == 3, 112.0, 566.0), plane.shape[1])
    return np.degrees(np.stack((lon, lat), axis=-1)).reshape(-1, 4, 2), np.stack(
        (np.ones(seconds.size), seconds), axis=1
    )


# -- ours and theirs ------------------------------------------------------------------------------------


def ours(outlines: FloatArray, weights: FloatArray, tolerance: float | None) -> Maps:
    """The three maps; exact without a tolerance."""
    cells, sums, union = sums_and_union(outlines, weights, ORDER, chord_tolerance=tolerance)
    return [SkyMap(cells, values) for values in (*sums.T, union)]


def pixels_inside(outline: FloatArray) -> NDArray[np.int64]:
    """Cells of the deep order whose centre lies in an outline."""
    return np.asarray(hpgeom.query_polygon(2**DEEP, *outline.T, inclusive=False, nest=True))


def by_hpgeom(outlines: FloatArray, weights: FloatArray) -> tuple[Maps, float]:
    """The three maps by super-sampling in numpy, and the CPU seconds that count and time took."""
    start = time.process_time()
    fine = [pixels_inside(outline) for outline in outlines]
    parts = [np.unique(deep >> 2 * (DEEP - ORDER), return_counts=True) for deep in fine]
    cells, place = np.unique(np.concatenate([cell for cell, _ in parts]), return_inverse=True)
    share = np.concatenate([count for _, count in parts]) / 64.0
    owner = np.repeat(np.arange(len(parts)), [cell.size for cell, _ in parts])
    number, seconds = (np.bincount(place, share * weight[owner]) for weight in weights.T)
    until_sums = time.process_time() - start
    deep = np.sort(np.concatenate(fine))  # several times as fast as np.unique
    joined = deep[np.concatenate(([True], deep[1:] != deep[:-1]))] >> 2 * (DEEP - ORDER)
    _, count = np.unique(joined, return_counts=True)
    found = CellSet.from_cells(ORDER, cells)
    return [SkyMap(found, values) for values in (number, seconds, count / 64.0)], until_sums


def by_healsparse(outlines: FloatArray, weights: FloatArray) -> Maps:
    """The three maps by super-sampling in healsparse maps."""
    number, seconds = (healsparse.HealSparseMap.make_empty(2**7, 2**DEEP, np.float64) for _ in range(2))
    for outline, (_, exposure) in zip(outlines, weights, strict=True):
        deep = healsparse.Polygon(ra=outline[:, 0], dec=outline[:, 1], value=1).get_pixels(nside=2**DEEP)
        number.update_values_pix(deep, np.ones(deep.size), operation="add")
        seconds.update_values_pix(deep, np.full(deep.size, exposure), operation="add")
    maps = [one.degrade(2**ORDER, reduction="sum") for one in (number, seconds)] + [
        number.fracdet_map(2**ORDER)
    ]
    cells = np.sort(maps[0].valid_pixels)
    found = CellSet.from_cells(ORDER, cells)
    return [SkyMap(found, one[cells] / scale) for one, scale in zip(maps, (64.0, 64.0, 1.0), strict=True)]


def differences(maps: Maps, exact: Maps, longest_s: float) -> str:
    """Largest differences from exact maps; of times in units of the longest exposure, so that all are shares."""
    found = []
    for name, one, two in zip(NAMES, maps, exact, strict=True):
        cells = (one.cells | two.cells).cells()
        apart = np.abs(one.of_cells(cells, 0.0) - two.of_cells(cells, 0.0)).max()
        found.append(f"{name} {apart / (longest_s if name == 'time' else 1.0):.1e}")
    return ", ".join(found)


# -- the table ------------------------------------------------------------------------------------------


def cpu_seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Least process time of two calls, the first of which gets its memory warm, and what it gives."""
    best, found = np.inf, None
    for _ in range(2):
        found = None
        start = time.process_time()
        found = work()
        best = min(best, time.process_time() - start)
    return best, found


def written(size: int) -> float:
    """CPU seconds to write so many float64 into new memory."""
    return cpu_seconds(lambda: np.full(size, 1.0))[0]


def apart() -> dict[str, float]:
    """Figures of a fresh process that makes the three maps with two threads, compiled code from the cache."""
    command = [sys.executable, "-m", "benchmarks.exposures", "process"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return dict(json.loads(text))


def _process() -> None:
    start, (outlines, weights) = time.perf_counter(), survey()
    cells, _, _ = sums_and_union(outlines, weights, ORDER, chord_tolerance=CHORDS, threads=2)
    wall = time.perf_counter() - start
    print(json.dumps({"wall": wall, "highest": _status("VmHWM"), "cells": len(cells)}))


def hundred_square_degrees() -> dict[str, Any]:
    """The row for 100 deg2 of exact coverage with two threads."""
    outlines, _ = survey(960)
    start = time.perf_counter()
    cells, _, union = sums_and_union(outlines, np.empty((len(outlines), 0)), ORDER, threads=2)
    wall = time.perf_counter() - start
    area = float(union.sum()) * hpx.cell_area_deg2(ORDER)
    note = f"{area:.4g} deg2 covered by {len(outlines)} outlines, {len(cells)} cells"
    return _row(
        "coverage of 100 deg2 from outlines, exact, 2 threads",
        "wall s",
        wall * 100.0 / area,
        None,
        None,
        "< 60 s",
        note,
    )


def rows() -> list[dict[str, Any]]:
    """All rows: operation, unit, ours, today, floor (or None), ratio today/ours, target (or None), note."""
    outlines, weights = survey()
    part, few = outlines[:576:2], weights[:576:2]
    exact, chorded = ours(part, few, None), ours(part, few, CHORDS)  # compiles, too
    hpgeom_s, (sampled, sums_s) = cpu_seconds(lambda: by_hpgeom(part, few))
    healsparse_s, sparse = cpu_seconds(lambda: by_healsparse(part, few))
    today = {"sums": sums_s, "hpgeom": hpgeom_s, "healsparse": healsparse_s}
    today = {name: seconds * 1e6 / len(part) for name, seconds in today.items()}
    found = [*_rows_of(outlines, weights, CHORDS, today), *_rows_of(outlines, weights, None, today)]
    longest = float(weights[:, 1].max())
    found[0]["note"] = (
        f"ours: {len(outlines)} outlines; today's: {len(part)} of them. Largest differences from exact, as shares: "
        f"chords {differences(chorded, exact, longest)}; hpgeom {differences(sampled, exact, longest)}; "
        f"healsparse {differences(sparse, exact, longest)}"
    )
    fresh = apart()
    return [
        *found,
        _row(
            f"the three maps of {len(outlines)} outlines, 2 threads",
            "wall s",
            fresh["wall"],
            None,
            None,
            None,
        ),
        _row("resident memory of that process (VmHWM)", "GiB", fresh["highest"], None, None, "<= 1"),
        hundred_square_degrees(),
    ]


def _rows_of(
    outlines: FloatArray, weights: FloatArray, tolerance: float | None, today: dict[str, float]
) -> list[dict[str, Any]]:
    """Ours of one mode beside today's, in microseconds an outline."""
    micro, unit = 1e6 / len(outlines), "us an outline"
    sums, (cells, _) = cpu_seconds(lambda: weighted_sums(outlines, weights, ORDER, chord_tolerance=tolerance))
    two, three = (written(number * len(cells)) * micro for number in (2, 3))
    three_maps, _ = cpu_seconds(lambda: sums_and_union(outlines, weights, ORDER, chord_tolerance=tolerance))
    sums, three_maps = sums * micro, three_maps * micro
    how, target = ("exact, 1e-9", None) if tolerance is None else (f"chords, {tolerance:g}", 100.0)
    what = f"exposure count, time and union ({how})"
    return [
        _row(
            f"exposure count and time ({how}) | hpgeom at order {DEEP}",
            unit,
            sums,
            today["sums"],
            two,
            target,
        ),
        _row(f"{what} | hpgeom at order {DEEP}", unit, three_maps, today["hpgeom"], three, target),
        _row(f"{what} | healsparse", unit, three_maps, today["healsparse"], three, target),
    ]


def _row(
    operation: str,
    unit: str,
    measured: float,
    today: float | None,
    floor: float | None,
    target: float | str | None,
    note: str | None = None,
) -> dict[str, Any]:
    ratio = None if today is None else today / measured
    columns = {"operation": operation, "unit": unit, "ours": measured, "today": today, "floor": floor}
    return {**columns, "ratio": ratio, "target": target, "note": note}


if __name__ == "__main__":
    if sys.argv[1:] == ["process"]:
        _process()
    else:
        for one in rows():
            print(one)
