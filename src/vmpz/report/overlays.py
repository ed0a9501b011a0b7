"""What is drawn over a map: outlines of tiles and regions, points, a scale bar."""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np
from astropy.units import deg as degree
from astropy.visualization.wcsaxes import WCSAxes
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Line
from matplotlib.patheffects import withStroke
from numpy.typing import ArrayLike, NDArray

from vmpz.errors import InputError
from vmpz.report.palette import GRID, INK, MUTED, SURFACE
from vmpz.report.projections import SkyFrame, sampled
from vmpz.report.scales import nice
from vmpz.sky.cells import CellSet
from vmpz.sky.covers import lon_lat_deg, unit_vectors
from vmpz.sky.skymap import SkyMap
from vmpz.tiles.wide import Wide, tile

__all__ = ["Outlines", "draw_outlines", "draw_points", "draw_scale_bar", "rings_of", "tile_outlines"]

Floats = NDArray[np.float64]
Outlines = Mapping[str, Sequence[Floats]] | Sequence[Floats] | CellSet
"""Polygons (m, 2) of lon and lat in degrees, by name or not; or the cells of a region."""

LEAST_SHARE = 0.05
STRIDE_DEG = 2.0
"""Edges of polygons are drawn as great circles in pieces of at most this."""
INKED = 0.06
"""Share of the map that points may cover: of more every k-th is drawn."""
VECTORS = 2_000
"""More points than this are an image in vector formats too."""
BAR_SHARE = 0.28
"""Largest share of the width of a figure that the scale bar takes."""
UNITS = ((1.0, "°"), (1.0 / 60.0, "′"), (1.0 / 3600.0, "″"))


def tile_outlines(cells: CellSet, most_order: int = 8) -> dict[str, list[Floats]]:
    """Cores of the tiles of the regular Euclid grid on which these cells lie, by tile index.

    Tiles are left out of which they cover less than `LEAST_SHARE`: cells reach over the borders of the tiles that they
    were made for.
    """
    found: dict[str, list[Floats]] = {}
    for name, _ in Wide().sharing(cells.at_order(min(cells.order, most_order))):
        own = Wide().owned(name, cells.order)
        if len(own & cells) >= LEAST_SHARE * len(own):
            found[name] = [tile(name).core_outline()]
    return found


def draw_outlines(axes: Axes, frame: SkyFrame, outlines: Outlines, width_pt: float = 0.6) -> None:
    """Draw outlines as lines with a light seam, so that they show on any colour."""
    if isinstance(outlines, CellSet):
        path = _border(outlines, frame)
    else:
        path = _joined(rings_of(outlines), frame)
    if path is None:
        return
    for colour, width, alpha in ((SURFACE, 2.2 * width_pt, 0.6), (INK, width_pt, 1.0)):
        axes.add_patch(
            PathPatch(path, fill=False, edgecolor=colour, linewidth=width, alpha=alpha, joinstyle="round")
        )


def rings_of(outlines: Outlines) -> list[Floats]:
    """All polygons; none of a region of cells.

    Raises
    ------
    InputError
        One is no list of positions.
    """
    if isinstance(outlines, CellSet):
        return []
    if isinstance(outlines, Mapping):
        rings: Iterable[ArrayLike] = (ring for name in sorted(outlines) for ring in outlines[name])
    else:
        rings = outlines
    found = [np.asarray(ring, np.float64) for ring in rings]
    for ring in found:
        if ring.ndim != 2 or ring.shape[1] != 2 or len(ring) < 2:
            raise InputError(f"an outline must be positions (m, 2) in degrees, found an array {ring.shape}")
    return found


def _joined(rings: Sequence[Floats], frame: SkyFrame) -> Line | None:
    """One path of all rings, broken where it leaves the plane or jumps across it."""
    vertices, codes = [], []
    rows, columns = frame.shape
    for ring in rings:
        x, y = frame.pixels(*_strided(np.concatenate((ring, ring[:1]))))
        if not np.any((x > -1) & (x < columns) & (y > -1) & (y < rows)):
            continue
        known = np.isfinite(x) & np.isfinite(y)
        jump = (
            np.hypot(np.diff(x), np.diff(y)) > columns / 4.0
            if frame.kind == "allsky"
            else np.zeros(x.size - 1, bool)
        )
        starts = np.concatenate(([True], jump | ~known[:-1]))[known]
        vertices.append(np.round(np.stack((x, y), axis=1)[known], 3))
        codes.append(np.where(starts, Line.MOVETO, Line.LINETO))
    if not vertices:
        return None
    return Line(np.concatenate(vertices), np.concatenate(codes).astype(np.uint8))


def _strided(ring: Floats) -> tuple[Floats, Floats]:
    """The positions of a closed ring with points between them along great circles."""
    corners = unit_vectors(ring[:, 0], ring[:, 1])
    lines = []
    for one, other in pairwise(corners):
        length = math.degrees(2.0 * math.asin(min(1.0, float(np.linalg.norm(other - one)) / 2.0)))
        share = np.linspace(0.0, 1.0, max(1, math.ceil(length / STRIDE_DEG)) + 1)[:-1, None]
        lines.append((1.0 - share) * one + share * other)
    return lon_lat_deg(np.concatenate([*lines, corners[-1:]]))


def _border(cells: CellSet, frame: SkyFrame) -> Line | None:
    """Where pixels change between inside and outside, along the sides of pixels."""
    if not cells:
        return None
    inside = sampled(SkyMap(cells, np.ones(len(cells), np.float32)), frame).listed >= 0.5
    padded = np.pad(inside, 1)
    below, beside = padded[1:, 1:-1] != padded[:-1, 1:-1], padded[1:-1, 1:] != padded[1:-1, :-1]
    lines = []
    for y, x in _runs(below):
        lines.append(((x[0] - 0.5, y - 0.5), (x[1] - 0.5, y - 0.5)))
    for x_, y_ in _runs(beside.T):
        lines.append(((x_ - 0.5, y_[0] - 0.5), (x_ - 0.5, y_[1] - 0.5)))
    if not lines:
        return None
    points = np.array(lines, np.float64).reshape(-1, 2)
    return Line(points, np.tile([Line.MOVETO, Line.LINETO], len(lines)).astype(np.uint8))


def _runs(marks: NDArray[np.bool_]) -> Iterable[tuple[int, tuple[int, int]]]:
    """Row, and first and last + 1 of every run of marks in it."""
    edges = np.diff(np.pad(marks.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    starts, stops = np.nonzero(edges == 1), np.nonzero(edges == -1)
    for row, first, last in zip(starts[0].tolist(), starts[1].tolist(), stops[1].tolist(), strict=True):
        yield row, (first, last)


def draw_points(
    axes: WCSAxes, frame: SkyFrame, lon_deg: ArrayLike, lat_deg: ArrayLike, size_pt: float
) -> int:
    """Draw points, of very many every k-th; gives k.

    Raises
    ------
    InputError
        There is not one latitude a longitude.
    """
    lon, lat = (np.asarray(one, np.float64).ravel() for one in (lon_deg, lat_deg))
    if lon.shape != lat.shape:
        raise InputError(f"points must have one latitude a longitude, found {lon.size} and {lat.size}")
    x, y = frame.pixels(lon, lat)
    rows, columns = frame.shape
    shown = np.flatnonzero((x > -0.5) & (x < columns - 0.5) & (y > -0.5) & (y < rows - 0.5))
    width, height = axes.get_window_extent().size * 72.0 / axes.figure.dpi
    every = max(1, math.ceil(float(shown.size * size_pt**2 / (INKED * width * height))))
    shown = shown[::every]
    axes.scatter(
        x[shown], y[shown], size_pt**2, c=INK, linewidths=0, rasterized=shown.size > VECTORS, zorder=3
    )
    return every


def draw_graticule(axes: WCSAxes, frame: SkyFrame, size_pt: float) -> None:
    """Draw parallels and meridians with their degrees."""
    for coordinate, name, side in zip(axes.coords, ("RA", "Dec"), ("b", "l"), strict=True):
        coordinate.set_format_unit("deg", decimal=True)
        coordinate.grid(color=GRID, alpha=0.6, linewidth=0.5)
        coordinate.set_ticks(number=5)
        coordinate.tick_params(color=MUTED, length=2.5)
        coordinate.set_ticklabel(size=0.9 * size_pt, color=INK, exclude_overlapping=True)
        if frame.kind == "gnomonic":
            coordinate.set_ticks_position(side)
            coordinate.set_ticklabel_position(side)
            coordinate.set_axislabel_position(side)
        coordinate.set_axislabel(f"{name} [deg]", size=0.95 * size_pt, color=INK, minpad=0.8)
    axes.coords.frame.set_color(MUTED)
    axes.coords.frame.set_linewidth(0.6)
    if frame.kind == "allsky":
        _allsky_ticks(axes, float(frame.wcs.wcs.crval[0]))
    elif frame.pole is not None:
        _polar_ticks(axes, frame, frame.pole, size_pt)


def _allsky_ticks(axes: WCSAxes, middle_deg: float) -> None:
    """Meridians every 60 degrees, named on the equator and not at the limb; parallels every 30."""
    longitude, latitude = axes.coords
    every = np.arange(0.0, 360.0, 60.0)
    away = np.abs(np.mod(every - middle_deg, 360.0) - 180.0)
    longitude.set_ticks(values=every[away > 15.0] * degree)
    longitude.set_ticklabel(path_effects=_seam(2.0))
    latitude.set_ticks(spacing=30 * degree)
    for coordinate in (longitude, latitude):
        coordinate.set_major_formatter("d")
        coordinate.set_ticks_visible(False)
        coordinate.set_axislabel("")


def _polar_ticks(axes: WCSAxes, frame: SkyFrame, pole: float, size_pt: float) -> None:
    """Around a pole: meridians every 30 degrees, named at the sides that they cross; parallels named inside."""
    longitude, latitude = axes.coords
    longitude.set_ticks(spacing=30 * degree)
    longitude.set_major_formatter("d")
    longitude.set_ticklabel_position("lb")
    longitude.set_ticks_position("lb")
    step = float(nice(0.2 * max(frame.shape) * frame.pixel_deg))
    latitude.set_ticks(spacing=step * degree)
    latitude.set_ticklabel_visible(False)
    latitude.set_ticks_visible(False)
    latitude.set_axislabel("")
    lat = pole - math.copysign(step, pole) * np.arange(1.0, 8.0)
    x, y = frame.pixels(np.full(lat.size, float(frame.wcs.wcs.crval[0]) + 165.0), lat)
    for column, row, value in zip(x, y, lat.tolist(), strict=True):
        if 0 < column < 0.93 * frame.shape[1] and 0.05 * frame.shape[0] < row < 0.95 * frame.shape[0]:
            axes.text(
                column, row, f"{value:g}°".replace("-", "−"), ha="center", va="center", color=INK,
                fontsize=0.8 * size_pt, zorder=4, path_effects=_seam(2.0),
            )  # fmt: skip


def _seam(width_pt: float) -> list[withStroke]:
    """A light seam around what is drawn."""
    return [withStroke(linewidth=width_pt, foreground=SURFACE, alpha=0.85)]


def draw_scale_bar(axes: Axes, frame: SkyFrame, size_pt: float) -> None:
    """Draw a bar of a round length, true in the centre of a gnomonic frame, in the lower left corner."""
    length, text = _round_length(BAR_SHARE * frame.shape[1] * frame.pixel_deg)
    x, y, long = 0.035 * frame.shape[1], 0.035 * frame.shape[1], length / frame.pixel_deg
    axes.plot(
        [x, x + long], [y, y], color=INK, lw=1.6, solid_capstyle="butt", path_effects=_seam(3.2), zorder=4
    )
    axes.text(
        x + long / 2.0, y + 0.012 * frame.shape[1], text, ha="center", va="bottom", color=INK, fontsize=size_pt,
        zorder=4, path_effects=_seam(2.2),
    )  # fmt: skip


def _round_length(most_deg: float) -> tuple[float, str]:
    """The largest 1, 2, 5 times a power of ten degrees, minutes or seconds (10, 20, 30) that fits."""
    for unit, sign in UNITS:
        steps = (1, 2, 5, 10, 20, 30) if unit < 1.0 else (1, 2, 5, 10, 20, 30, 60)
        fitting = [step for step in steps if step * unit <= most_deg]
        if fitting:
            return fitting[-1] * unit, f"{fitting[-1]}{sign}"
    power = 10.0 ** math.floor(math.log10(most_deg * 3600.0))
    return power / 3600.0, f"{power:g}″"
