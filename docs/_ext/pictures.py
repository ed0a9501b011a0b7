"""Pictures of how it works, drawn from what the package itself computes: cells, owners, runs, exact shares, points."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from astropy.wcs import WCS
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from vmpz import Cap, CellSet, Polygon, Rules, SkyMap, covered_fractions, random_points, run_table
from vmpz.report.palette import INK, MUTED, SERIES, SURFACE
from vmpz.sky import hpx
from vmpz.sky.regions import cells_touched
from vmpz.sky.shares import subcells_inside
from vmpz.tiles import tiling
from vmpz.tiles.wide import tiles_near

__all__ = ["PICTURES"]

Floats = NDArray[np.float64]
WIDTH_IN = 7.2
ROW = 8
"""Row of the small image that is taken out."""


# -- drawing on a small piece of the sky -------------------------------------------------------------------------------


def plane(lon_deg: float, lat_deg: float) -> Callable[[Any, Any], Floats]:
    """Gnomonic projection about a position: (lon, lat) -> (x, y) in degrees, x to the west, as on a page."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.cdelt, wcs.wcs.crpix = [lon_deg, lat_deg], [-1.0, 1.0], [1.0, 1.0]
    return lambda lon, lat: np.stack(wcs.all_world2pix(lon, lat, 0), axis=-1)


def shapes(cells: NDArray[np.int64], order: int, project: Callable[[Any, Any], Floats]) -> Floats:
    """Corners of cells on the page, (cells, corners, 2); edges of cells as small as these are straight."""
    return project(*hpx.vertices(cells, order, 1))


def panel(figure: Figure, box: tuple[float, float, float, float], title: str = "") -> Axes:
    """Axes without a frame, with equal scales, in a part of the figure."""
    axes = figure.add_axes(box)
    axes.set_aspect("equal")
    axes.set_axis_off()
    if title:
        axes.set_title(title, loc="left", color=INK, fontsize=11, fontweight="bold")
    return axes


def paint(
    axes: Axes, corners: Floats, colours: Any, alpha: Any = 1.0, edge: str = MUTED, width: float = 0.6
) -> None:
    """Fill cells; colours and alpha one for all or one each."""
    faces = to_rgba_array(colours)
    faces = np.repeat(faces, len(corners), axis=0) if len(faces) == 1 else faces
    faces[:, 3] = alpha
    axes.add_collection(PolyCollection(list(corners), facecolors=faces, edgecolors=edge, linewidths=width))


def closed(points: Floats) -> Floats:
    """A ring that ends where it starts."""
    return np.concatenate((points, points[:1]))


# -- the pictures ------------------------------------------------------------------------------------------------------


def ownership() -> Figure:
    """Two tiles of the regular grid, the images around them, and which tile owns which cell."""
    order, tiles = 10, sorted(tiles_near(58.0, -51.5, 2), key=lambda one: one.lon_deg)
    middle = np.mean([(one.lon_deg, one.lat_deg) for one in tiles], axis=0)
    project = plane(*middle)
    figure = Figure(figsize=(WIDTH_IN, 3.6), facecolor="none")
    axes = panel(figure, (0.0, 0.0, 1.0, 1.0))
    for number, one in enumerate(tiles):
        colour = SERIES[number]
        owned = tiling("euclid-wide").owned(one.id, order)
        paint(axes, shapes(owned.cells(), order, project), colour, 0.35)
        outline = closed(project(*one.outline().vertices.T))
        axes.plot(*outline.T, color=colour, linewidth=2.0)
        axes.text(*outline.mean(axis=0), f"tile {one.id}", color=INK, ha="center", va="center", fontsize=11,
                  bbox={"facecolor": SURFACE, "edgecolor": "none", "alpha": 0.8, "pad": 2})  # fmt: skip
    axes.autoscale_view()
    return figure


def runs() -> Figure:
    """A small image, the cells under it, and the runs of its rows."""
    order, shape = 14, (11, 26)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [58.0, -51.5], [13.5, 6.0]
    scale, turn = 2.0 / 3600, np.radians(17)
    wcs.wcs.cd = scale * np.array([[-np.cos(turn), np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    columns, rows = np.meshgrid(np.arange(shape[1]), np.arange(shape[0]))
    cell = hpx.cells_at(*wcs.all_pix2world(columns, rows, 0), order)
    table = run_table(wcs, shape, CellSet.from_cells(order, np.unique(cell)))
    colour = {one: SERIES[number % 6] for number, one in enumerate(np.unique(cell))}
    figure = Figure(figsize=(WIDTH_IN, 5.0), facecolor="none")
    axes = panel(figure, (0.0, 0.36, 1.0, 0.64))
    squares = np.array([[(x - 0.5, y - 0.5), (x + 0.5, y - 0.5), (x + 0.5, y + 0.5), (x - 0.5, y + 0.5)]
                        for y in range(shape[0]) for x in range(shape[1])])  # fmt: skip
    paint(axes, squares, [colour[one] for one in cell.ravel()], 0.4, SURFACE, 0.8)
    for one in np.unique(cell):
        corners = np.stack(wcs.all_world2pix(*hpx.vertices(np.array([one]), order, 1), 0), axis=-1)[0]
        axes.plot(*closed(corners).T, color=INK, linewidth=1.2)
    axes.plot(
        [-0.5, shape[1] - 0.5, shape[1] - 0.5, -0.5, -0.5],
        [ROW - 0.5, ROW - 0.5, ROW + 0.5, ROW + 0.5, ROW - 0.5],
        color=INK,
        linewidth=2.2,
    )
    axes.set(xlim=(-1.0, shape[1]), ylim=(-1.0, shape[0]))
    _run_rows(figure, table, cell, colour, shape[1])
    return figure


def _run_rows(figure: Figure, table: Any, cell: Any, colour: dict[int, str], width: int) -> None:
    """The middle row as its runs, and as the run table keeps it."""
    axes = panel(figure, (0.0, 0.0, 1.0, 0.36))
    axes.set_aspect("auto")
    block, row = table.blocks[0], ROW
    begin, end = block.row_start[row], block.row_start[row + 1]
    firsts = [*block.first[begin:end].astype(int), width]
    lines = []
    for number, (first, after) in enumerate(pairwise(firsts)):
        one = int(cell[row, first])
        axes.add_patch(_bar(first - 0.5, after - 0.5, 0.0, 1.0, colour[one], 0.4))
        axes.text(
            (first + after - 1) / 2, 0.5, f"{number + 1}", ha="center", va="center", color=INK, fontsize=10
        )
        lines.append((f"run {number + 1}", f"row {ROW}", f"first column {first}", f"cell {one}"))
    for number, line in enumerate(lines):
        for place, text in zip((0.0, 3.2, 6.4, 12.4), line):
            axes.text(place - 0.5, -1.0 - 1.15 * number, text, color=INK, fontsize=10.5, va="center")
    axes.set(xlim=(-1.0, width), ylim=(-1.6 - 1.15 * (len(lines) - 1), 1.4))


def _bar(left: float, right: float, low: float, high: float, colour: str, alpha: float) -> Any:
    return Rectangle(
        (left, low), right - left, high - low, facecolor=colour, alpha=alpha, edgecolor=INK, linewidth=1.2
    )


def shares() -> Figure:
    """Cells cut by an outline and by a star mask, with the exact share of each."""
    order = 14
    detector = Polygon(np.array([(57.985, -51.515), (58.016, -51.511), (58.013, -51.489), (57.981, -51.493)]))
    star = Cap(58.005, -51.4975, 0.0062)
    project = plane(58.0, -51.5)
    figure = Figure(figsize=(WIDTH_IN, 3.9), facecolor="none")
    for number, (region, title) in enumerate(((detector, "a detector"), (star, "a star mask"))):
        axes = panel(figure, (0.5 * number, 0.0, 0.5, 0.9), title)
        cells = cells_touched(region, order).cells()
        found = covered_fractions(region, order).of_cells(cells, 0.0)
        paint(axes, shapes(cells, order, project), SERIES[number], np.clip(found, 0, 1) * 0.75)
        for (x, y), share in zip(project(*hpx.centres(cells, order)), found):
            axes.text(x, y, f"{share:.2f}".removeprefix("0") if share < 0.995 else "1", color=INK, ha="center",
                      va="center", fontsize=7.5 if number == 0 else 9)  # fmt: skip
        axes.plot(*_edge(region, project).T, color=INK, linewidth=2.0)
        axes.autoscale_view()
    return figure


def _edge(region: Any, project: Callable[[Any, Any], Floats]) -> Floats:
    if isinstance(region, Polygon):
        return closed(project(*region.vertices.T))
    angle = np.linspace(0, 2 * np.pi, 200)
    lat = region.lat_deg + region.radius_deg * np.sin(angle)
    return project(
        region.lon_deg + region.radius_deg * np.cos(angle) / np.cos(np.radians(region.lat_deg)), lat
    )


def degrading() -> Figure:
    """One coverage at three orders: the parents hold the mean of their four children."""
    face, start = 8, (5400, 5400)
    order, across = 13, 8
    ix, iy = (start[one] + np.arange(across) for one in (0, 1))
    cells = hpx.nested_cells(np.full(across**2, face), *(one.ravel() for one in np.meshgrid(ix, iy)), order)
    area = CellSet.from_cells(order, cells)
    middle = hpx.nested_cells(np.array([face]), np.array([start[0] + 4]), np.array([start[1] + 3]), order)
    lon, lat = hpx.centres(middle, order)
    hole = covered_fractions(Cap(float(lon[0]), float(lat[0]), 0.0165), order).of_cells(area.cells(), 0.0)
    fine = SkyMap(area, 1.0 - hole)
    figure = Figure(figsize=(WIDTH_IN, 2.75), facecolor="none")
    for number, level in enumerate((order, order - 1, order - 2)):
        axes = panel(figure, (number / 3 + 0.01, 0.0, 0.31, 0.88), f"order {level}")
        one = fine if level == order else fine.degrade(level, "COVERAGE")
        _squares(axes, one, start, order - level)
    return figure


def _squares(axes: Axes, one: SkyMap, start: tuple[int, int], levels: int) -> None:
    """A map on one face of the sphere, where cells are squares."""
    _, ix, iy = hpx.faces(one.cells.cells(), one.order)
    for x, y, value in zip(ix - (start[0] >> levels), iy - (start[1] >> levels), one.values):
        side = 1 << levels
        corners = np.array([[(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1)]]) * side
        paint(axes, corners, SERIES[0], 0.08 + 0.72 * float(value), SURFACE, 1.2)
        text = "1" if value > 0.995 else f"{value:.2f}".removeprefix("0")
        axes.text(
            (x + 0.5) * side,
            (y + 0.5) * side,
            text,
            ha="center",
            va="center",
            color=INK,
            fontsize=6.5 + 2.2 * levels,
        )
    axes.autoscale_view()


def points() -> Figure:
    """Visibility of some cells, their observed sub-cells, and points that follow both."""
    order, project = 12, plane(58.0, -51.5)
    detector = np.array([(57.972, -51.5285), (58.0315, -51.521), (58.028, -51.470), (57.969, -51.478)])
    share = covered_fractions(Polygon(detector), order)
    cells = share.cells.cells()
    _, lat = hpx.centres(cells, order)
    seen = SkyMap(share.cells, share.values * np.clip(0.2 + 0.8 * (lat + 51.5285) / 0.058, 0.1, 1.0))
    words = subcells_inside(detector[np.newaxis], np.zeros(cells.size, np.int64), cells, order)
    drawn = random_points(
        seen, Rules(seed=3, scheme="exact", number=600), SkyMap(share.cells, words.view(np.int64))
    )
    bits = ((words[:, np.newaxis] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)).astype(bool)
    inner = ((cells[:, np.newaxis] << 6) + np.arange(64))[bits]
    figure = Figure(figsize=(WIDTH_IN, 3.8), facecolor="none")
    for number, title in enumerate(("visibility", "observed sub-cells", "points that follow it")):
        axes = panel(figure, (number / 3, 0.0, 0.33, 0.9), title)
        if number == 1:
            paint(axes, shapes(inner, order + 3, project), SERIES[2], 0.5, SURFACE, 0.4)
        paint(axes, shapes(cells, order, project), SERIES[0], 0.85 * seen.values if number == 0 else 0.0)
        if number == 2:
            axes.scatter(*project(drawn.lon, drawn.lat).T, s=3.0, color=SERIES[1], linewidths=0)
        axes.plot(*closed(project(*detector.T)).T, color=INK, linewidth=1.6)
        axes.autoscale_view()
    return figure


PICTURES: dict[str, tuple[Callable[[], Figure], str, str]] = {
    "ownership": (
        ownership,
        "Cells and the tile that owns them",
        "Two overlapping square tiles of the Euclid grid. Every HEALPix cell has the colour of one tile: the one whose "
        "core holds its centre. No cell has two colours.",
    ),
    "runs": (
        runs,
        "Runs of image rows inside cells",
        "A small rotated image whose pixels have the colour of the cell that holds their centre. One row is taken out: "
        "it is six runs, each with its first column and its cell.",
    ),
    "shares": (
        shares,
        "Exact shares of cells",
        "Cells cut by the outline of a detector and by a circular star mask, each with the share of its area inside.",
    ),
    "degrading": (
        degrading,
        "A coverage at three orders",
        "64 cells with a hole, their 16 parents and 4 grandparents: each holds the mean of its four children.",
    ),
    "points": (
        points,
        "Visibility, sub-cells and points",
        "Cells of a detector shaded by visibility; which of their 64 sub-cells are observed; and 600 random points, "
        "all inside the outline and denser where the visibility is higher.",
    ),
}
"""Name -> how it is drawn, its title, and what it shows, for those who cannot see it."""
