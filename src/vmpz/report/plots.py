"""Plots of what an overview holds: distributions of area, correlations, densities, n(z), bits, seams.

Every function gives a `matplotlib.figure.Figure` for a column of a page (`vmpz.report.themes.inline_svg` makes it
part of one); where there is nothing to show, the figure says so.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vmpz.products import Product
from vmpz.report.figures import INLINE_IN, INLINE_PT
from vmpz.report.palette import ABSENT, GRID, INK, LAW, MUTED, SERIES, SURFACE
from vmpz.report.scales import axis_label, colour_map
from vmpz.run.overview.content import (
    Bit,
    Correlations,
    Floats,
    MapOverview,
    RandomsOverview,
    Seam,
    Spread,
)
from vmpz.run.redshifts import Distribution
from vmpz.sky import hpx

__all__ = [
    "area_deeper", "area_kept", "bit_areas", "correlation_matrix", "density_by_visibility", "depth_area_figure",
    "histogram", "redshift_distribution", "seam_steps",
]  # fmt: skip

HEIGHT_IN = 3.9
MOST_BARS = 60
"""Bars of a histogram; finer bins are joined."""
TAIL = 0.002
"""Share of the area at either end that may lie outside a plot."""
MOST_NUMBERED = 12
"""Maps up to which a matrix of correlations says its numbers."""
DASHES = ("solid", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
"""Lines beyond the eighth differ by these."""


def histogram(one: MapOverview) -> Figure:
    """Area by value."""
    figure, axes = _plot(axis_label(one.key, one.unit, one.keywords), "area [deg²]")
    edges, area = _coarser(_within(one.spread), MOST_BARS)
    if not area.size:
        return _nothing(figure, axes, "no cells")
    axes.stairs(area, edges, fill=True, color=SERIES[0], alpha=0.85, linewidth=0)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0.0, None)
    return figure


def area_deeper(maps: Sequence[MapOverview]) -> Figure:
    """Area of value at least m, a line a map: deeper than m, of depths."""
    shown = [one for one in maps if one.spread.total_deg2 > 0.0]
    what = axis_label(maps[0].key, maps[0].unit, maps[0].keywords) if maps else ""
    depth = bool(maps) and all(one.key.kind == "depth" for one in maps)
    figure, axes = _plot(what, "area deeper [deg²]" if depth else "area of at least this [deg²]")
    if not shown:
        return _nothing(figure, axes, "no cells")
    for number, one in enumerate(shown):
        axes.plot(*_thinned(one.spread.edges, one.spread.above()), **_line(number), label=one.key.band)
    low = min(one.spread.quantile(TAIL) for one in shown)
    high = max(one.spread.quantile(1.0 - TAIL) for one in shown)
    _span(axes, low, high)
    axes.set_ylim(0.0, None)
    _legend(axes, len(shown))
    return figure


def area_kept(one: MapOverview) -> Figure:
    """Area that a cut keeps, in either direction."""
    figure, axes = _plot(f"cut in {axis_label(one.key, one.unit, one.keywords)}", "area kept [deg²]")
    spread = one.spread
    if not spread.total_deg2:
        return _nothing(figure, axes, "no cells")
    axes.plot(*_thinned(spread.edges, spread.above()), **_line(0), label="value ≥ cut")
    axes.plot(*_thinned(spread.edges, spread.below()), **_line(1), label="value < cut")
    _span(axes, spread.quantile(TAIL), spread.quantile(1.0 - TAIL))
    axes.set_ylim(0.0, 1.04 * spread.total_deg2)
    _legend(axes, 2)
    return figure


def correlation_matrix(found: Correlations) -> Figure:
    """Pearson's coefficients of every two maps; blank where they are not defined."""
    names, number = list(found.names), len(found.names)
    longest = max((len(name) for name in names), default=1)
    size = 8.5 if number <= MOST_NUMBERED else 8.0
    margin = 0.62 * size / 72.0 * longest + 0.12
    side = max(INLINE_IN - margin - 0.1, number * (0.46 if number <= MOST_NUMBERED else 0.2))
    bar = 0.62
    width, height = margin + side + 0.1, 0.1 + side + margin + bar
    figure = Figure((width, height), facecolor=SURFACE)
    axes = figure.add_axes((margin / width, (margin + bar) / height, side / width, side / height))
    table = colour_map("RdBu_r")
    if not number:
        return _nothing(figure, axes, "no maps")
    axes.set_facecolor(ABSENT)
    image = np.ma.masked_invalid(found.matrix)
    shown = axes.imshow(image, cmap=table, vmin=-1.0, vmax=1.0, interpolation="none", aspect="auto")
    axes.set_xticks(
        range(number), names, rotation=90, rotation_mode="anchor", ha="right", va="center", fontsize=size
    )
    axes.set_yticks(range(number), names, fontsize=size)
    axes.tick_params(length=0, labelcolor=INK)
    axes.spines[:].set_visible(False)
    if number <= MOST_NUMBERED:
        _numbers(axes, found.matrix, size)
    place = (margin / width, 0.36 / height, side / width, 0.13 / height)
    colours = figure.colorbar(shown, cax=figure.add_axes(place), orientation="horizontal")
    if colours.solids is not None:
        colours.solids.set_rasterized(True)
    colours.outline.set_visible(False)
    colours.set_ticks([-1.0, -0.5, 0.0, 0.5, 1.0], labels=["−1", "−0.5", "0", "0.5", "1"])
    colours.ax.tick_params(labelsize=9, color=MUTED, labelcolor=INK, length=2.5, pad=2)
    return figure


def _numbers(axes: Axes, matrix: Floats, size: float) -> None:
    """Coefficients in their cells, dark on light and light on dark whatever the page is."""
    for (row, column), value in np.ndenumerate(matrix):
        if math.isfinite(value):
            colour = "#ffffff" if abs(value) > 0.6 else "#101418"
            text = (
                f"{value:.2f}".replace("-", "−").replace("0.", ".", 1)
                if abs(value) < 0.995
                else f"{value:.0f}".replace("-", "−")
            )
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=size)


def density_by_visibility(found: RandomsOverview) -> Figure:
    """Points found over points expected by class of visibility, with Poisson errors."""
    figure, axes = _plot("visibility (mean of the class)", "points found / expected")
    curves = found.curves
    if "visibility" not in curves or not len(curves["visibility"]):
        return _nothing(figure, axes, "not tested")
    axes.axhline(1.0, color=LAW, linewidth=1.4, label="expected")
    axes.errorbar(
        curves["visibility"], curves["ratio"], curves["error"], fmt="o", color=SERIES[0], markersize=4.5, capsize=2.5,
        linewidth=1.2, label="found",
    )  # fmt: skip
    _legend(axes, 2)
    return figure


def redshift_distribution(found: Distribution) -> Figure:
    """n(z) of every class of visibility, of integral 1."""
    figure, axes = _plot("redshift z", "n(z)")
    borders = [0.0, *found.borders.tolist(), math.inf]
    shown = 0
    for place, density in enumerate(found.density):
        if not np.isfinite(density).all():
            continue
        low, high = borders[place], borders[place + 1]
        name = f"V {low:.2g} to {high:.2g}" if math.isfinite(high) else f"V from {low:.2g}"
        axes.stairs(density, found.edges, **_line(place), label=name if len(borders) > 2 else found.name)
        shown += 1
    if not shown:
        return _nothing(figure, axes, "no galaxies")
    axes.set_ylim(0.0, None)
    seen = np.flatnonzero(np.nansum(found.density, axis=0) > 0.0)
    axes.set_xlim(found.edges[seen[0]], found.edges[seen[-1] + 1])
    _legend(axes, shown)
    return figure


def bit_areas(bits: Sequence[Bit]) -> Figure:
    """Area that each flag bit hits; bits that count for the mask are filled."""
    ordered = sorted(bits, key=lambda one: (one.band, one.number))
    bands = len({one.band for one in ordered}) > 1
    names = [
        f"{one.band}  {one.number} {one.name}" if bands else f"{one.number} {one.name}" for one in ordered
    ]
    height = 0.95 + 0.27 * max(1, len(ordered))
    margin = 0.15 + 0.11 * max((len(name) for name in names), default=0)
    figure = Figure((INLINE_IN, height), facecolor=SURFACE)
    place = (margin / INLINE_IN, 0.58 / height, 1.0 - (margin + 0.75) / INLINE_IN, (height - 0.95) / height)
    axes = figure.add_axes(place)
    _furnish(axes, "area hit [deg²]", "", along="x")
    if not ordered:
        return _nothing(figure, axes, "no bits")
    area = np.array([one.area_deg2 for one in ordered])
    rows = np.arange(len(ordered))
    axes.barh(
        rows, area, 0.66, color=[SERIES[0] if one.selected else GRID for one in ordered], linewidth=0,
    )  # fmt: skip
    for row, one in enumerate(ordered):
        share = 100.0 * one.area_deg2 / one.of_deg2 if one.of_deg2 else 0.0
        axes.annotate(
            f"{share:.2g} %", (one.area_deg2, row), (4, 0), textcoords="offset points", va="center",
            color=INK, fontsize=0.85 * INLINE_PT,
        )  # fmt: skip
    axes.set_yticks(rows, names)
    axes.set_ylim(len(ordered) - 0.4, -0.6)
    axes.set_xlim(0.0, float(area.max(initial=0.0)) * 1.02 or 1.0)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return figure


def seam_steps(seams: Sequence[Seam], total: int | None = None) -> Figure:
    """Steps across the borders of tiles in units of their errors, against the normal law.

    `total` is how many there are, where `seams` are the most significant ones alone.
    """
    figure, axes = _plot("step across a border / its error", "borders of tiles, by map")
    pulls = np.array([one.step / one.error for one in seams if one.error > 0.0])
    pulls = pulls[np.isfinite(pulls)]
    if not pulls.size:
        return _nothing(figure, axes, "no borders")
    total = max(total or 0, pulls.size)
    reach = max(4.0, min(20.0, math.ceil(float(np.abs(pulls).max()))))
    edges = np.linspace(-reach, reach, 2 * math.ceil(reach / max(0.5, reach / 20.0)) + 1)
    counts, _ = np.histogram(np.clip(pulls, -reach, reach), edges)
    found = "found" if total == pulls.size else f"the {pulls.size} most significant of {total}"
    axes.stairs(counts, edges, fill=True, color=SERIES[0], alpha=0.85, linewidth=0, label=found)
    x = np.linspace(-min(reach, 5.0), min(reach, 5.0), 101)
    law = total * (edges[1] - edges[0]) * np.exp(-(x**2) / 2.0) / math.sqrt(2.0 * math.pi)
    axes.plot(x, law, color=LAW, linewidth=1.6, label="normal law")
    axes.set_xlim(-reach, reach)
    axes.set_ylim(0.0, None)
    _legend(axes, 2)
    return figure


def depth_area_figure(depths: Sequence[Product], width_in: float = 7.1) -> Figure:
    """Distribution of depth, and the area deeper than a magnitude, of the depth maps of several bands."""
    figure = Figure((width_in, 0.42 * width_in), dpi=150, layout="constrained", facecolor=SURFACE)
    left, right = figure.subplots(1, 2)
    shown = [one for one in depths if len(one.map)]
    for number, product in enumerate(shown):
        values = np.sort(product.map.values.astype(np.float64))
        area = hpx.cell_area_deg2(product.key.order)
        low, high = np.percentile(values, (0.5, 99.9))
        counts, edges = np.histogram(values, np.linspace(low - 0.05, high + 0.05, 61))
        left.stairs(area * counts, edges, fill=True, alpha=0.55, color=SERIES[number % len(SERIES)])
        right.step(
            *_thinned(values, area * np.arange(values.size, 0, -1)),
            where="pre",
            **_line(number),
            label=product.key.band,
        )
    for axes, label in ((left, "area in a bin [deg²]"), (right, "area deeper [deg²]")):
        _furnish(
            axes,
            axis_label(shown[0].key, "mag", shown[0].keywords) if shown else "depth [AB mag]",
            label,
            size=9.0,
        )
        axes.set_ylim(0.0, None)
    if shown:
        _legend(right, len(shown), 9.0)
    return figure


# -- furniture --------------------------------------------------------------------------------------------------------


def _plot(x: str, y: str) -> tuple[Figure, Axes]:
    """An empty plot for a page; places are set by hand, for the page's font is not known here."""
    figure = Figure((INLINE_IN, HEIGHT_IN), facecolor=SURFACE)
    axes = figure.add_axes((0.135, 0.165, 0.84, 0.8))
    _furnish(axes, x, y)
    axes.xaxis.set_label_coords(0.5, -0.1)
    axes.yaxis.set_label_coords(-0.118, 0.5)
    return figure, axes


def _furnish(axes: Axes, x: str, y: str, along: str = "y", size: float = INLINE_PT) -> None:
    axes.set_facecolor("none")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(color=MUTED, labelcolor=INK, labelsize=0.92 * size, length=3, width=0.8)
    axes.grid(axis=along, color=GRID, linewidth=0.7)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
    axes.set_xlabel(x, color=INK, fontsize=size, labelpad=5)
    axes.set_ylabel(y, color=INK, fontsize=size, labelpad=6)


def _nothing(figure: Figure, axes: Axes, why: str) -> Figure:
    axes.set_axis_off()
    axes.text(
        0.5, 0.5, why, ha="center", va="center", transform=axes.transAxes, color=MUTED, fontsize=INLINE_PT
    )
    return figure


def _legend(axes: Axes, entries: int, size: float = INLINE_PT) -> None:
    axes.legend(
        frameon=False, fontsize=0.92 * size, labelcolor=INK, loc="best", ncols=1 if entries <= 6 else 2,
        handlelength=1.6, borderaxespad=0.3,
    )  # fmt: skip


def _line(number: int) -> dict[str, Any]:
    return {
        "color": SERIES[number % len(SERIES)],
        "linestyle": DASHES[number // len(SERIES) % len(DASHES)],
        "linewidth": 1.8,
    }


def _span(axes: Axes, low: float, high: float) -> None:
    spare = 0.03 * (high - low) or 0.5
    axes.set_xlim(low - spare, high + spare)


def _within(spread: Spread) -> Spread:
    """The bins without the thin tails."""
    if not spread.total_deg2:
        return Spread(np.empty(0), np.empty(0))
    low, high = spread.quantile(TAIL), spread.quantile(1.0 - TAIL)
    first = max(int(np.searchsorted(spread.edges, low, side="right")) - 1, 0)
    last = min(int(np.searchsorted(spread.edges, high, side="left")), len(spread.area_deg2))
    last = max(last, first + 1)
    return Spread(spread.edges[first : last + 1], spread.area_deg2[first:last])


def _coarser(spread: Spread, most: int) -> tuple[Floats, NDArray[np.float64]]:
    """Bins joined by equal numbers, so that there are at most so many; the last, which must be seen, may join more."""
    number = len(spread.area_deg2)
    joined = max(1, math.ceil(number / most))
    starts = np.arange(0, number - joined + 1, joined)
    if not number:
        return spread.edges, spread.area_deg2
    return np.append(spread.edges[starts], spread.edges[-1]), np.add.reduceat(spread.area_deg2, starts)


def _thinned(x: NDArray[Any], y: NDArray[Any], most: int = 200) -> tuple[NDArray[Any], NDArray[Any]]:
    """Every k-th point of a curve, and its last."""
    if len(x) <= most:
        return x, y
    kept = np.unique(np.rint(np.linspace(0, len(x) - 1, most)).astype(np.int64))
    return x[kept], y[kept]
