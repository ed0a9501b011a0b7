"""Regions, unions and multi-order maps side by side with what a user would write today.

Every row is measured in one run, ours and theirs in turn, best of a few repetitions of process time; ratios are
what survives a noisy machine. ``python benchmarks/geometry.py`` prints the table; `rows` gives it to a runner.
"""

import time
from collections.abc import Callable
from typing import Any

import hpgeom  # type: ignore[import-untyped]
import numpy as np
from mocpy import MOC
from numpy.typing import NDArray

from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.multiorder import to_multiorder
from vmpz.sky.regions import Cap, Polygon, cells_inside, covered_fractions, sum_fractions, union_fractions
from vmpz.sky.skymap import SkyMap

ORDER = 14
CHORDS = 1e-4

FloatArray = NDArray[np.float64]


def quadrants(exposures: int) -> FloatArray:
    """Outlines (n, 4, 2): exposures of 144 detector quadrants of 204.8" x 206.6", four dithers a pointing."""
    step, width, height = np.arange(12.0), 204.8, 206.6
    x, y = (grid.ravel() for grid in np.meshgrid(step * 215.0, step * 230.0))
    corner = np.array([[0.0, 0.0], [width, 0.0], [width, height], [0.0, height]])
    one = np.stack((x, y), axis=1)[:, np.newaxis] + corner
    dither = np.array([(0.0, 0.0), (-50.0, -100.0), (0.0, -200.0), (50.0, -300.0)])
    pointing = np.array([(0.0, 0.0), (2400.0, 0.0), (0.0, 2400.0), (2400.0, 2400.0)])
    shifts = [dither[k % 4] + pointing[k // 4 % 4] + [0.0, 4800.0 * (k // 16)] for k in range(exposures)]
    outlines = np.concatenate([one + shift for shift in shifts]) / 3600.0
    lat = outlines[..., 1] - 51.6
    return np.stack((58.0 + outlines[..., 0] / np.cos(np.radians(lat)), lat), axis=-1)


def seconds(work: Callable[[], Any], repeats: int = 5) -> float:
    """Least process time of a few repetitions, after one that compiles."""
    work()
    best = np.inf
    for _ in range(repeats):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def row(
    operation: str, unit: str, ours: float, today: float, floor: float | None, target: float | None
) -> dict[str, Any]:
    """One line of the table; `ours`, `today` and `floor` in `unit`."""
    return {
        "operation": operation,
        "unit": unit,
        "ours": ours,
        "today": today,
        "floor": floor,
        "ratio": today / ours,
        "target": target,
    }


def copied(size: int) -> float:
    """Seconds to write so many rows of cell and share, 16 bytes each: the floor of a fill."""
    rows, out = np.ones((size, 2)), np.empty((size, 2))
    return seconds(lambda: np.copyto(out, rows))


def summed(array: NDArray[Any]) -> float:
    """Seconds to read an array once: the floor of a scan."""
    return seconds(lambda: array.sum())


def hpgeom_shares(outlines: FloatArray, order: int, deep: int) -> None:
    """Shares by super-sampling: centres of cells of order `deep` inside, counted by their parents."""
    for outline in outlines:
        fine = hpgeom.query_polygon(2**deep, outline[:, 0], outline[:, 1], inclusive=False, nest=True)
        np.unique(fine >> 2 * (deep - order), return_counts=True)


def hpgeom_union(outlines: FloatArray, order: int, deep: int) -> None:
    """Union by super-sampling."""
    fine = [hpgeom.query_polygon(2**deep, *outline.T, inclusive=False, nest=True) for outline in outlines]
    np.unique(np.unique(np.concatenate(fine)) >> 2 * (deep - order), return_counts=True)


def polygon_rows() -> list[dict[str, Any]]:
    """Quadrant polygons: sum and union of shares, by chords and exactly."""
    outlines = quadrants(16)
    few = outlines[::72]
    micro = 1e6 / len(outlines)
    today = seconds(lambda: hpgeom_shares(few, ORDER, ORDER + 3), 2) * 1e6 / len(few)
    deeper = seconds(lambda: hpgeom_shares(few[:8], ORDER, ORDER + 5), 1) * 1e6 / 8
    joined = seconds(lambda: hpgeom_union(few, ORDER, ORDER + 3), 2) * 1e6 / len(few)
    floor = copied(302) * 1e6
    unit = "us a polygon"
    return [
        row("sum of shares by chords (1e-4) | hpgeom at order 17 (1.6e-2)", unit,
            seconds(lambda: sum_fractions(outlines, ORDER, chord_tolerance=CHORDS)) * micro, today, floor, 100.0),
        row("sum of shares by chords (1e-4) | hpgeom at order 19 (1.2e-3)", unit,
            seconds(lambda: sum_fractions(outlines, ORDER, chord_tolerance=CHORDS)) * micro, deeper, floor, None),
        row("sum of exact shares (1e-9) | hpgeom at order 17 (1.6e-2)", unit,
            seconds(lambda: sum_fractions(outlines, ORDER), 2) * micro, today, floor, None),
        row("union, 8 x 8 sub-cells | hpgeom at order 17", unit,
            seconds(lambda: union_fractions(outlines, ORDER, chord_tolerance=CHORDS), 3) * micro, joined, floor, None),
    ]  # fmt: skip


def tile_row() -> dict[str, Any]:
    """One 30' outline, exactly."""
    tile = np.array([(57.6, -51.84), (58.4, -51.84), (58.4, -51.34), (57.6, -51.34)])
    ours = seconds(lambda: covered_fractions(Polygon(tile), ORDER))
    today = seconds(lambda: hpgeom_shares(tile[np.newaxis], ORDER, ORDER + 3), 3)
    return row("exact shares of a 30' tile | hpgeom at order 17", "ms", ours * 1e3, today * 1e3, None, None)


def wide_cells() -> CellSet:
    """Some 6e6 cells of order 14 with star holes, as a patch has them."""
    random = np.random.default_rng(5)
    patch = cells_inside(Cap(58.0, -51.6, 5.0), ORDER)
    stars = [
        cells_inside(Cap(lon, lat, radius), ORDER)
        for lon, lat, radius in zip(
            random.uniform(50, 66, 3000), random.uniform(-56, -47, 3000), random.uniform(5, 60, 3000) / 3600
        )
    ]
    return patch - CellSet.union(stars)


def moc_rows(cells: CellSet) -> list[dict[str, Any]]:
    """A map, and a list of sorted cells, to a MOC."""
    listed = cells.cells()
    unsigned, depth = listed.astype(np.uint64), np.full(listed.size, ORDER, np.uint8)
    scale, unit = 1e9 / listed.size, "ns a cell"
    if cells.to_moc() != MOC.from_healpix_cells(unsigned, depth, ORDER):
        raise RuntimeError("both MOCs must be equal")
    today = seconds(lambda: MOC.from_healpix_cells(unsigned, depth, ORDER), 3) * scale
    from_map = seconds(cells.to_moc) * scale
    from_list = seconds(lambda: CellSet.from_cells(ORDER, listed).to_moc()) * scale
    return [
        row("map to a MOC | mocpy from_healpix_cells", unit, from_map, today, None, 50.0),
        row(
            "sorted cells to a MOC | mocpy from_healpix_cells",
            unit,
            from_list,
            today,
            summed(listed) * scale,
            None,
        ),
    ]


def merged_by_levels(cells: NDArray[np.int64], values: NDArray[Any], order: int) -> None:
    """Equal siblings merged level after level, in plain numpy."""
    found = []
    while order > 0 and cells.size > 3:
        first = np.flatnonzero(cells[:-3] % 4 == 0)
        first = first[cells[first + 3] == cells[first] + 3]
        same = (values[first] == values[first + 1]) & (values[first] == values[first + 2])
        first = first[same & (values[first] == values[first + 3])]
        kept = np.ones(cells.size, bool)
        for k in range(4):
            kept[first + k] = False
        found.append((hpx.to_uniq(cells[kept], order), values[kept]))
        cells, values, order = cells[first] >> 2, values[first], order - 1
    found.append((hpx.to_uniq(cells, order), values))
    uniq = np.concatenate([one for one, _ in found])
    by_uniq = np.argsort(uniq)
    uniq[by_uniq], np.concatenate([one for _, one in found])[by_uniq]


def sibling_rows(cells: CellSet) -> list[dict[str, Any]]:
    """Lossless multi-order form of a constant map and of a map of exposure counts."""
    counts = sum_fractions(quadrants(64), ORDER, chord_tolerance=CHORDS)
    found = []
    for name, sky_map in (
        ("constant", SkyMap(cells, np.ones(len(cells), np.float32))),
        ("exposure counts", SkyMap(counts.cells, np.rint(counts.values).astype(np.float32))),
    ):
        listed, values = sky_map.cells.cells(), np.asarray(sky_map.values)
        scale = 1e9 / len(sky_map)
        ours = seconds(lambda: to_multiorder(sky_map)) * scale  # noqa: B023
        today = seconds(lambda: merged_by_levels(listed, values, ORDER), 3) * scale  # noqa: B023
        floor = (summed(listed) + summed(values)) * scale
        found.append(row(f"equal siblings, {name} | numpy by levels", "ns a cell", ours, today, floor, 4.0))
    return found


def rows() -> list[dict[str, Any]]:
    """All rows: operation, unit, ours, today, floor (or None), ratio today/ours, target (or None)."""
    cells = wide_cells()
    return [*polygon_rows(), tile_row(), *moc_rows(cells), *sibling_rows(cells)]


def main() -> None:
    """Print the table."""
    print(
        f"{'operation | today':62} {'unit':13} {'ours':>9} {'today':>9} {'floor':>9} {'ratio':>7} {'target':>7}"
    )
    for one in rows():
        floor = "" if one["floor"] is None else f"{one['floor']:.3g}"
        target = "" if one["target"] is None else f"{one['target']:g}x"
        print(
            f"{one['operation']:62} {one['unit']:13} {one['ours']:9.3g} {one['today']:9.3g} {floor:>9} "
            f"{one['ratio']:6.1f}x {target:>7}"
        )


if __name__ == "__main__":
    main()
