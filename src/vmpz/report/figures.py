"""Figures of maps, for papers, pages and notebooks.

Every figure is a plain `matplotlib.figure.Figure`, made without `pyplot`: no backend is chosen and no global setting
is left changed. A map is sampled at the pixels of the figure without smoothing (`vmpz.report.projections`), with
colours that fit what it is (`vmpz.report.scales`).

>>> import vmpz
>>> from vmpz.report.figures import map_figure, save
>>> figure = map_figure(vmpz.read("depth.fits"), title="Depth in VIS")    # doctest: +SKIP
>>> save(figure, "depth.pdf")    # doctest: +SKIP

What has a position on the sky can be added, as in any figure of astropy: the axes of the map are ``figure.axes[0]``,
and ``figure.axes[0].plot(lon, lat, transform=figure.axes[0].get_transform("icrs"))`` draws a line.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from astropy.visualization.wcsaxes import WCSAxes
from astropy.visualization.wcsaxes.frame import EllipticalFrame
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse, Rectangle
from numpy.typing import ArrayLike, NDArray

from vmpz.errors import InputError
from vmpz.files.write import write_whole
from vmpz.products import SUBCELL, Product
from vmpz.report.layout import Box, Place
from vmpz.report.overlays import (
    Outlines,
    draw_graticule,
    draw_outlines,
    draw_points,
    draw_scale_bar,
    rings_of,
)
from vmpz.report.palette import ABSENT, INK, MUTED, SURFACE
from vmpz.report.projections import Picture, SkyFrame, chosen, sampled
from vmpz.report.scales import LEVELS, Scale, axis_label, scale_name, scale_of
from vmpz.run.overview.content import Floats, MapOverview, RandomsOverview
from vmpz.sky.skymap import SkyMap

__all__ = [
    "COLUMN_IN",
    "FORMATS",
    "PAGE_IN",
    "TITLES",
    "Panel",
    "map_figure",
    "overview_map",
    "page_frame",
    "page_lines",
    "panel_of",
    "randoms_map",
    "save",
    "sheet",
]

FORMATS = (".png", ".pdf", ".svg", ".jpg")
"""Suffixes of the figures that can be written."""
COLUMN_IN, PAGE_IN = 3.4, 7.1
"""Widths of one and of two columns of a journal, inches."""
SIZE_PT = 8.0
"""Of text, in a figure as wide as a column."""
INLINE_IN, INLINE_PT, INLINE_DPI, INLINE_LEVELS = 6.4, 12.0, 108, 64
"""Figures of a page: 460 units of 1/72 inch wide, text of 12, 1.5 pixels of the map a unit, 64 colours."""
PAGE_BOX = Box(round(INLINE_IN * INLINE_DPI), INLINE_PT, INLINE_DPI, titled=False)
SHEET_IN, HEADING_IN = 4.2, 0.5
"""Width of a panel among several, height of the heading."""
WIDEST_IN, DENSEST_DPI, LEAST_COLUMNS = 100.0, 2400, 16
TITLES = {
    "footprint": "Footprint",
    "bitmask": "Flagged fraction",
    "coverage": "Coverage",
    "effectivecoverage": "Effective coverage",
    "depth": "Depth",
    "visibility": "Visibility",
}
"""Of maps, by kind."""
REPRODUCIBLE: Any = {
    "svg.hashsalt": "vmpz",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "path.simplify": True,
}
HOW: dict[str, dict[str, Any]] = {
    ".png": {"metadata": {"Software": None}},
    ".pdf": {"metadata": {"CreationDate": None, "Creator": None, "Producer": None}},
    ".svg": {"metadata": {"Date": None, "Creator": None}},
    ".jpg": {"pil_kwargs": {"quality": 95}},
}
"""Neither clock nor versions: the same figure is the same bytes."""


@dataclass(frozen=True)
class Panel:
    """One map and how it is shown.

    Attributes
    ----------
    map : SkyMap
    title : str
    label : str
        Of the colour bar.
    scale : str
        A key of `vmpz.report.scales.COLOURS`.
    limits : (low, high), optional
    colours : str, optional
        A matplotlib colour map instead of the scale's own.
    levels : int
        Colours of a continuous scale: fewer make a smaller file of a page.
    """

    map: SkyMap
    title: str = ""
    label: str = ""
    scale: str = "number"
    limits: tuple[float, float] | None = None
    colours: str | None = None
    levels: int = LEVELS


def panel_of(product: Product, column: str = "WEIGHT") -> Panel:
    """The panel of a column of a product: title, label and scale by its kind, quantity and statistic.

    Raises
    ------
    InputError
        The product is a table, or has no such column, or it holds words of bits.
    """
    key, words = product.key, product.keywords
    if column not in product.maps:
        listed = ", ".join(product.maps) or "a table"
        raise InputError(f"{key}: a column to draw must be one of its maps, found {column}, not in {listed}")
    if column == SUBCELL:
        raise InputError(f"{key}: {SUBCELL} holds a bit for each sub-cell, which has no value to draw")
    band = key.band if key.band != "-" else str(words.get("FILTLST", "")).replace("-1", "")
    title = TITLES.get(key.kind, key.quantity if key.quantity != "-" else "")
    if key.kind == "info":
        title = f"{key.quantity} ({key.statistic.lower()})"
    elif key.kind == "visibility" and key.quantity != "-":
        title = f"{title} {key.quantity}"
    return Panel(
        product.maps[column],
        _literal("  ".join(part for part in (title, band) if part and part != "-")),
        _literal(axis_label(key, product.unit, words, column)),
        scale_name(key, words, column),
    )


def _literal(text: str) -> str:
    """Text of a file, in which a dollar begins no formula."""
    return text.replace("$", r"\$")


def map_figure(
    what: Product | SkyMap | Panel,
    *,
    column: str = "WEIGHT",
    title: str | None = None,
    label: str | None = None,
    limits: tuple[float, float] | None = None,
    colours: str | None = None,
    projection: str = "auto",
    centre_deg: tuple[float, float] | None = None,
    radius_deg: float | None = None,
    outlines: Outlines | None = None,
    points: tuple[ArrayLike, ArrayLike] | tuple[ArrayLike, ArrayLike, int] | None = None,
    width_in: float = COLUMN_IN,
    size_pt: float = SIZE_PT,
    dpi: int = 300,
) -> Figure:
    """A map with its graticule, colour bar and, if asked for, outlines and points.

    Parameters
    ----------
    what : Product, SkyMap or Panel
    column : str
        Of a product: WEIGHT, BIT03, ...
    title, label : str, optional
        Above the map, and of the colour bar; default by the kind of the product. '' for none.
    limits : (low, high), optional
        Of the colours; default those that what is shown suggests.
    colours : str, optional
        A matplotlib colour map; default that of the scale.
    projection, centre_deg, radius_deg
        As in `vmpz.report.projections.chosen`.
    outlines : polygons or CellSet, optional
        Arrays (m, 2) of lon and lat in degrees, as a sequence or by name, which the figure then shows whole; or the
        cells of a region.
    points : (lon_deg, lat_deg) or (lon_deg, lat_deg, every), optional
        Of very many every k-th is drawn, which the figure then says; `every` is how they were thinned before.
    width_in : float
        Of the figure, inches: `COLUMN_IN` or `PAGE_IN` of a journal.
    size_pt : float
        Of text.
    dpi : int
        Pixels an inch: the map is sampled at these.

    Raises
    ------
    InputError
        The product has no such map, or what was asked for cannot be drawn; the message says what must hold.
    """
    panel = _as_panel(what, column)
    panel = replace(
        panel,
        title=panel.title if title is None else title,
        label=panel.label if label is None else label,
        limits=limits or panel.limits,
        colours=colours or panel.colours,
    )
    box = Box(_pixels(width_in, dpi), size_pt, dpi, bool(panel.title), bool(panel.label))
    if box.columns < LEAST_COLUMNS:
        raise InputError(
            f"a figure {width_in:g} inches wide has no room for a map between labels of {size_pt:g} pt"
        )
    rings = [] if outlines is None else rings_of(outlines)
    frame = chosen([panel.map], box.columns, projection, centre_deg, radius_deg, rings)
    figure, size = _figure((box.width, box.height(frame)), dpi)
    axes = _draw_panel(figure, box, box.places(frame, size, 0, 0), panel, frame)
    if outlines is not None:
        draw_outlines(axes, frame, outlines, size_pt / 10.0)
    if points is not None:
        every = draw_points(axes, frame, points[0], points[1], size_pt / 8.0) * (*points, 1)[2]
        if every > 1:
            axes.set_title(f"1 point in {every}", loc="right", fontsize=0.85 * size_pt, color=MUTED)
    return figure


def sheet(panels: Sequence[Panel], heading: str = "", columns: int = 3, dpi: int = 110) -> Figure:
    """Several maps on one frame of the sky, side by side.

    Parameters
    ----------
    panels : sequence of Panel
        At least one.
    heading : str
        Title of the whole figure.
    columns : int
        Panels in a row.
    dpi : int
    """
    columns = min(len(panels), columns)
    box = Box(round(SHEET_IN * dpi), 9.0, dpi)
    frame = chosen([panel.map for panel in panels], box.columns)
    above, high = round(HEADING_IN * dpi) if heading else 0, box.height(frame)
    rows = math.ceil(len(panels) / columns)
    figure, size = _figure((columns * box.width, above + rows * high), dpi)
    for number, panel in enumerate(panels):
        row, column = divmod(number, columns)
        _draw_panel(
            figure, box, box.places(frame, size, column * box.width, above + row * high), panel, frame
        )
    if heading:
        fitting = 108.0 * size[0] / dpi / len(heading)
        middle = 1.0 - 0.55 * above / size[1]
        figure.text(
            0.02, middle, heading, va="center", color=INK, fontsize=min(13.0, fitting), fontweight="bold"
        )
    return figure


# -- maps of a page ---------------------------------------------------------------------------------------------------


def page_frame(maps: Iterable[SkyMap], outlines: Mapping[str, Sequence[Floats]]) -> SkyFrame:
    """The part of the sky that all maps of a page show: that of all of them, and of the outlines."""
    different = {one.cells: one for one in maps}
    return chosen([*different.values()], PAGE_BOX.columns, beside=rings_of(outlines))


def page_lines(frame: SkyFrame, outlines: Mapping[str, Sequence[Floats]]) -> Figure:
    """What lies over every map of a page, and is in it once: graticule, scale bar, outlines."""
    figure, size = _figure((PAGE_BOX.width, PAGE_BOX.height(frame)), INLINE_DPI)
    axes = _sky_axes(figure, PAGE_BOX.places(frame, size, 0, 0)[0], frame)
    axes.patch.set_visible(False)
    _draw_lines(axes, frame, INLINE_PT)
    draw_outlines(axes, frame, outlines, INLINE_PT / 10.0)
    return figure


def overview_map(one: MapOverview, frame: SkyFrame) -> Figure:
    """A map of an overview for a page, without the lines (`page_lines`)."""
    label = axis_label(one.key, one.unit, one.keywords)
    return _bare(Panel(one.picture, "", label, scale_name(one.key, one.keywords)), frame)


def randoms_map(found: RandomsOverview, frame: SkyFrame) -> Figure:
    """Density of random points over visibility for a page, without the lines (`page_lines`)."""
    return _bare(Panel(found.density, "", "points over visibility [deg⁻²]", "number"), frame)


def _bare(panel: Panel, frame: SkyFrame) -> Figure:
    """The image of a map and its colour bar."""
    figure, size = _figure((PAGE_BOX.width, PAGE_BOX.height(frame)), INLINE_DPI)
    sky, bar = PAGE_BOX.places(frame, size, 0, 0)
    axes = figure.add_axes(sky)
    axes.set_axis_off()
    rows, columns = frame.shape
    how: Any = {"facecolor": ABSENT, "linewidth": 0.0, "zorder": -1.0}
    ground = (
        Ellipse(((columns - 1) / 2.0, (rows - 1) / 2.0), columns, rows, **how)
        if frame.kind == "allsky"
        else Rectangle((-0.5, -0.5), columns, rows, **how)
    )
    axes.add_patch(ground)
    scale = _draw_image(axes, replace(panel, levels=INLINE_LEVELS), frame)
    axes.images[0].set_clip_path(ground)
    _draw_bar(figure, PAGE_BOX, bar, scale)
    return figure


# -- files ------------------------------------------------------------------------------------------------------------


def save(figure: Figure, path: str | Path, dpi: int | None = None) -> None:
    """Write a figure, whole or not at all, in the format that its suffix says; the same bytes every time.

    Parameters
    ----------
    figure : Figure
    path : path
        Ends in one of `FORMATS`.
    dpi : int, optional
        Pixels an inch; default those for which the figure was made.

    Raises
    ------
    InputError
        The suffix is none of them.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise InputError(f"{path}: a figure must end in {', '.join(FORMATS)}")
    written = BytesIO()
    with matplotlib.rc_context(REPRODUCIBLE):
        figure.savefig(written, format=suffix[1:], dpi=dpi or "figure", **HOW[suffix])
    with write_whole(path) as temporary:
        temporary.write_bytes(written.getvalue())


def _as_panel(what: Product | SkyMap | Panel, column: str) -> Panel:
    if isinstance(what, Product):
        return panel_of(what, column)
    return Panel(what) if isinstance(what, SkyMap) else what


def _pixels(width_in: float, dpi: int) -> int:
    if not (0.0 < width_in <= WIDEST_IN and 0 < dpi <= DENSEST_DPI):
        raise InputError(
            f"a figure must be at most {WIDEST_IN:g} inches wide at {DENSEST_DPI} dpi, found {width_in:g} at {dpi}"
        )
    return round(width_in * dpi)


def _figure(pixels: tuple[int, int], dpi: int) -> tuple[Figure, tuple[int, int]]:
    """An empty figure of that many pixels."""
    return Figure((pixels[0] / dpi, pixels[1] / dpi), dpi=dpi, facecolor=SURFACE), pixels


def _draw_panel(
    figure: Figure, box: Box, places: tuple[Place, Place], panel: Panel, frame: SkyFrame
) -> WCSAxes:
    """The axes of a map, drawn."""
    axes = _sky_axes(figure, places[0], frame)
    scale = _draw_image(axes, panel, frame)
    _draw_lines(axes, frame, box.size_pt)
    if panel.title:
        axes.set_title(panel.title, color=INK, fontsize=1.1 * box.size_pt, loc="left", pad=0.5 * box.size_pt)
    _draw_bar(figure, box, places[1], scale)
    return axes


def _sky_axes(figure: Figure, place: Place, frame: SkyFrame) -> WCSAxes:
    shape = {"frame_class": EllipticalFrame} if frame.kind == "allsky" else {}
    axes = figure.add_axes(place, projection=frame.wcs, **shape)
    axes.set_facecolor(ABSENT)
    axes.patch.set_linewidth(0.0)
    axes.set_xlim(-0.5, frame.shape[1] - 0.5)
    axes.set_ylim(-0.5, frame.shape[0] - 0.5)
    return axes


def _draw_image(axes: Axes, panel: Panel, frame: SkyFrame) -> Scale:
    """Draw the values of a map on the pixels of its frame; gives their scale."""
    angle, label = panel.scale == "angle", panel.scale == "label"
    picture = sampled(panel.map, frame, circular=angle, classes=label)
    scale = scale_of(panel.scale, picture.values, panel.label, panel.limits, panel.colours, panel.levels)
    axes.imshow(_colours(picture, scale), origin="lower", aspect="auto", interpolation="none")
    if not picture.listed.any():
        words = "no values here" if len(panel.map) else "no cells"
        axes.text(0.5, 0.5, words, ha="center", va="center", transform=axes.transAxes, color=MUTED)
    return scale


def _draw_lines(axes: WCSAxes, frame: SkyFrame, size_pt: float) -> None:
    draw_graticule(axes, frame, size_pt)
    if frame.kind == "gnomonic":
        draw_scale_bar(axes, frame, 0.9 * size_pt)


def _colours(picture: Picture, scale: Scale) -> NDArray[np.uint8]:
    """RGBA of a picture: transparent where nothing is listed, in part where part is."""
    colours = scale.colours(scale.norm(np.ma.masked_invalid(picture.values)), bytes=True)
    colours[..., 3] = np.rint(255.0 * picture.listed)
    return np.asarray(colours, np.uint8)


def _draw_bar(figure: Figure, box: Box, place: Place, scale: Scale) -> None:
    axes = figure.add_axes(place)
    shown = ScalarMappable(scale.norm, scale.colours)
    bar = figure.colorbar(shown, cax=axes, orientation="horizontal", extend=scale.extend, extendfrac=0.03)
    if bar.solids is not None:
        bar.solids.set_rasterized(True)
    bar.set_ticks(list(scale.ticks), labels=list(scale.names))
    bar.minorticks_off()
    bar.outline.set_visible(False)
    axes.tick_params(labelsize=0.9 * box.size_pt, length=2.5, color=MUTED, labelcolor=INK, pad=2)
    if scale.label:
        bar.set_label(scale.label, color=INK, fontsize=0.95 * box.size_pt, labelpad=2)
