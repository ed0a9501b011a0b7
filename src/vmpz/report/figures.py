"""Figures: maps sampled at the figure's own pixels, in a gnomonic projection centred on them.

Every panel shows the value of the cell under each figure pixel (no smoothing), so holes, seams and single cells stand
as they are in the file.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from astropy.wcs import WCS
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vmpz.products import Product
from vmpz.sky import hpx
from vmpz.sky.skymap import SkyMap

matplotlib.use("Agg")

import matplotlib.pyplot as plt

__all__ = ["FORMATS", "Panel", "draw", "panel_of"]

FORMATS = (".png", ".pdf", ".svg", ".jpg")
"""Suffixes of the figures that can be drawn."""

INK = "#1f2933"
ABSENT = "#eceff1"
COLOURS = {
    "OBSFRAC": ("viridis", (0.0, 1.0)),
    "FLAGFRAC": ("magma_r", None),
    "PROBAB": ("viridis", None),
    "MAG": ("cividis", None),
}
TITLES = {
    "footprint": "Footprint",
    "bitmask": "Flagged fraction",
    "coverage": "Coverage",
    "effectivecoverage": "Effective coverage",
    "depth": "Depth",
}


@dataclass(frozen=True)
class Panel:
    """One map with its title, the label of its colour bar, its colours and, if fixed, its range."""

    map: SkyMap
    title: str
    label: str
    colours: str = "viridis"
    limits: tuple[float, float] | None = None


def panel_of(product: Product) -> Panel:
    """The panel of a product: title, unit and colours by its kind."""
    key = product.key
    words = dict(product.keywords)
    colours, limits = COLOURS.get(str(words.get("WGTKIND")), ("plasma", None))
    band = key.band if key.band != "-" else str(words.get("FILTLST", ""))
    title = TITLES.get(key.kind, f"{key.quantity} ({key.statistic.lower()})")
    if key.kind == "visibility":
        title, label = f"Visibility {key.quantity}".removesuffix(" -"), "visibility"
        limits = (0.0, float(product.map.values.max(initial=0.0)) or 1.0)
    elif key.kind == "depth":
        label = f"{words.get('SNRLEVEL', 5):g} sigma depth [AB mag]"
    elif key.kind == "bitmask":
        label = f"fraction hit by {key.selection}"
    else:
        label = product.unit or ("fraction of the cell" if limits == (0.0, 1.0) else str(key.quantity))
    return Panel(product.map, f"{title}  {band}", label, colours, limits)


def draw(panels: Sequence[Panel], path: str | Path, heading: str = "", pixels: int = 600) -> None:
    """Draw panels side by side and write a PNG (or what the suffix of the path says).

    Parameters
    ----------
    panels : sequence of Panel
        Shown three in a row on one common sky frame.
    path : path
        Where the figure goes; its suffix is one of `FORMATS`.
    heading : str
        Title of the whole figure.
    pixels : int
        Size of the sampling grid of each panel.
    """
    known = [panel.map for panel in panels if len(panel.map)]
    frame = _sky_frame(known, pixels) if known else None
    columns = min(len(panels), 3)
    rows = math.ceil(len(panels) / columns)
    tall = 1.0 if frame is None else frame.lon_deg.shape[0] / frame.lon_deg.shape[1]
    size = (5.0 * columns, (4.0 * tall + 0.75) * rows + 0.4)
    figure = plt.figure(figsize=size, layout="constrained", facecolor="white")
    for number, panel in enumerate(panels, 1):
        if frame is None:
            axes = figure.add_subplot(rows, columns, number)
            axes.text(0.5, 0.5, "no cells", ha="center", va="center", transform=axes.transAxes)
            axes.set_title(panel.title)
        else:
            _draw_panel(figure, (rows, columns, number), panel, frame)
    if heading:
        fitting = 108 * size[0] / len(heading)
        figure.suptitle(heading, color=INK, fontsize=min(13, fitting), fontweight="bold")
    figure.savefig(path, dpi=110)
    plt.close(figure)


@dataclass(frozen=True)
class _SkyFrame:
    """A gnomonic pixel grid: its WCS and the position of every pixel."""

    wcs: WCS
    lon_deg: NDArray[np.float64]
    lat_deg: NDArray[np.float64]


def _sky_frame(maps: Sequence[SkyMap], pixels: int) -> _SkyFrame:
    lon, lat = (np.concatenate(part) for part in zip(*(_some_centres(one) for one in maps), strict=True))
    vectors = np.stack(
        (
            np.cos(np.radians(lat)) * np.cos(np.radians(lon)),
            np.cos(np.radians(lat)) * np.sin(np.radians(lon)),
            np.sin(np.radians(lat)),
        )
    )
    middle = vectors.mean(axis=1)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [
        math.degrees(math.atan2(middle[1], middle[0])) % 360.0,
        math.degrees(math.atan2(middle[2], math.hypot(middle[0], middle[1]))),
    ]
    wcs.wcs.cdelt = [-1.0, 1.0]
    wcs.wcs.crpix = [1.0, 1.0]
    x, y = wcs.all_world2pix(lon, lat, 0)
    cell = 2 * math.sqrt(hpx.cell_area_deg2(min(one.order for one in maps)))
    width, height = np.ptp(x) * 1.04 + cell, np.ptp(y) * 1.04 + cell
    step = max(width, height) / pixels
    shape = max(1, round(height / step)), max(1, round(width / step))
    wcs.wcs.cdelt = [-step, step]
    wcs.wcs.crpix = [
        (shape[1] + 1) / 2 - (x.max() + x.min()) / 2 / step,
        (shape[0] + 1) / 2 - (y.max() + y.min()) / 2 / step,
    ]
    columns, rows = np.meshgrid(np.arange(shape[1]), np.arange(shape[0]))
    lon, lat = wcs.all_pix2world(columns, rows, 0)
    return _SkyFrame(wcs, lon, lat)


def _some_centres(skymap: SkyMap, most: int = 200_000) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    cells = skymap.cells.cells()
    return hpx.centres(cells[:: max(1, len(cells) // most)], skymap.order)


def _draw_panel(figure: Figure, place: tuple[int, int, int], panel: Panel, frame: _SkyFrame) -> None:
    image = np.ma.masked_invalid(panel.map.at(frame.lon_deg, frame.lat_deg).astype(np.float64))
    axes = figure.add_subplot(*place, projection=frame.wcs)
    axes.set_facecolor(ABSENT)
    if panel.limits is not None:
        low, high = panel.limits
    elif len(panel.map):
        low, high = (float(one) for one in np.percentile(panel.map.values, (0.5, 99.5)))
        if low == high:
            low, high = low - 0.5, high + 0.5
    else:
        low, high = 0.0, 1.0
    shown = axes.imshow(
        image, origin="lower", cmap=panel.colours, vmin=low, vmax=high, interpolation="nearest"
    )
    bar = figure.colorbar(shown, ax=axes, shrink=0.9, pad=0.02, extend="neither" if panel.limits else "both")
    bar.set_label(panel.label, color=INK)
    bar.outline.set_visible(False)
    axes.set_title(panel.title, color=INK, fontsize=11, loc="left")
    for coordinate, label in zip(axes.coords, ("RA", "Dec"), strict=False):
        coordinate.set_axislabel(label, minpad=0.6)
        coordinate.set_ticklabel(size=8, exclude_overlapping=True)
        coordinate.grid(color="white", alpha=0.35, linewidth=0.6)
