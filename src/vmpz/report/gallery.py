"""Figures of a store: one sheet a band, one a class of visibility, and the area deeper than a magnitude."""

from pathlib import Path

from vmpz.products import Product
from vmpz.report.figures import panel_of, save, sheet
from vmpz.report.plots import depth_area_figure
from vmpz.run.tasks import products_of_area

__all__ = ["gallery"]

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
        save(sheet([panel_of(product) for product in products], heading), path)
        written.append(path)
    depths = [product for products in sheets.values() for product in products if product.key.kind == "depth"]
    if depths:
        written.append(folder / f"{area}-depth-area.png")
        save(depth_area_figure(depths), written[-1])
    return written


def _sheet_of(product: Product) -> str:
    """Name of the figure that shows a map: its band; a class of visibility has one of its own."""
    if product.key.kind == "visibility":
        return f"visibility-{product.key.quantity}"
    return "all-bands" if product.key.band == "-" else product.key.band
