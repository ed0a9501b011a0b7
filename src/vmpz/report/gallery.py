"""Figures of a store: one sheet a band, one a class of visibility, and the area deeper than a magnitude."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import matplotlib
import numpy as np

from vmpz.products import Product
from vmpz.report.figures import INK, draw, panel_of
from vmpz.run.tasks import products_of_area
from vmpz.sky import hpx

matplotlib.use("Agg")

import matplotlib.pyplot as plt

__all__ = ["draw_depth_area", "gallery"]

ORDER_OF_KINDS = ("footprint", "coverage", "bitmask", "depth", "info", "effectivecoverage", "visibility")


def gallery(store: Path, area: str, folder: Path) -> list[Path]:
    """Draw every map of one area (a tile or a patch) of a store; gives the PNG files written."""
    folder.mkdir(parents=True, exist_ok=True)
    sheets: dict[str, list[Product]] = {}
    for product in products_of_area(store, area):
        sheets.setdefault(_sheet_of(product), []).append(product)
    written = []
    for name, products in sorted(sheets.items()):
        products.sort(key=lambda one: (ORDER_OF_KINDS.index(one.key.kind), one.key))
        path = folder / f"{area}-{name}.png"
        first = products[0]
        heading = f"{area}   {name}   HEALPix order {first.key.order}"
        draw([panel_of(product) for product in products], path, heading)
        written.append(path)
    depths = [product for products in sheets.values() for product in products if product.key.kind == "depth"]
    if depths:
        written.append(folder / f"{area}-depth-area.png")
        draw_depth_area(depths, written[-1])
    return written


def _sheet_of(product: Product) -> str:
    """Name of the figure that shows a map: its band; a class of visibility has one of its own."""
    if product.key.kind == "visibility":
        return f"visibility-{product.key.quantity}"
    return "all-bands" if product.key.band == "-" else product.key.band


def draw_depth_area(depths: Sequence[Product], path: Path) -> None:
    """Distribution of depth, and the area deeper than a magnitude, of several bands."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", facecolor="white")
    for number, product in enumerate(_with_cells(depths)):
        values = np.sort(product.map.values.astype(np.float64))
        area = hpx.cell_area_deg2(product.key.order)
        low, high = np.percentile(values, (0.5, 99.9))
        label, colour = product.key.band, f"C{number}"
        left.hist(values, np.linspace(low - 0.05, high + 0.05, 60), weights=np.full(values.size, area),
                  histtype="stepfilled", alpha=0.55, color=colour, label=label)  # fmt: skip
        right.step(values, area * np.arange(values.size, 0, -1), where="pre", color=colour, label=label)
    left.set(xlabel="depth [AB mag]", ylabel="area per bin [deg$^2$]")
    right.set(xlabel="depth m [AB mag]", ylabel="area deeper than m [deg$^2$]")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=INK)
        axes.legend(frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _with_cells(products: Iterable[Product]) -> list[Product]:
    return [product for product in products if len(product.map)]
