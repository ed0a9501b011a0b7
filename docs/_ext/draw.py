"""Draw the pictures of the documentation: ``python docs/_ext/draw.py DEMO``, DEMO being what `vmpz demo` leaves.

They go into images/, as SVG elements in the colours of the page (`vmpz.report.themes`). Without DEMO only those that
need no survey.
"""

import sys
from pathlib import Path

import numpy as np
from flow import flow
from pictures import PICTURES

from vmpz import io
from vmpz.files.write import write_text
from vmpz.products import Product
from vmpz.report.figures import map_figure, panel_of
from vmpz.report.themes import inline_svg
from vmpz.run.tasks import products_of_area

IMAGES = Path(__file__).parents[1] / "images"
AREA = "demo"
SHOWN = {
    "footprint": ("footprint", "-", "VIS"),
    "bitmask": ("bitmask", "-", "VIS"),
    "coverage": ("coverage", "-", "VIS"),
    "effectivecoverage": ("effectivecoverage", "-", "-"),
    "info": ("info", "PSF", "VIS"),
    "depth": ("depth", "-", "VIS"),
    "visibility": ("visibility", "counts", "-"),
}
"""Kind of product -> kind, quantity and band of the map on its page."""
POINTS = 12_000


def main(demo: Path | None) -> None:
    """Write every picture."""
    for name, (draw, title, told) in PICTURES.items():
        keep(name, inline_svg(draw(), title, told))
    keep("flow", flow())
    if demo is not None:
        draw_products(demo)


def draw_products(demo: Path) -> None:
    """The map on the page of each product, and the points of randoms."""
    products = {
        (one.key.kind, one.key.quantity, one.key.band): one for one in products_of_area(demo / "store", AREA)
    }
    for name, wanted in SHOWN.items():
        keep(f"product-{name}", of_map(products[wanted]))
    catalogue = io.open_random(demo / "randoms.fits")
    parts = [np.stack(list(block.values())) for block in catalogue.blocks(["RIGHT_ASCENSION", "DECLINATION"])]
    lon, lat = np.concatenate(parts, axis=1)
    every = max(1, len(lon) // POINTS)
    keep("product-random", of_map(products[SHOWN["visibility"]], points=(lon[::every], lat[::every])))


def of_map(product: Product, **options: object) -> str:
    """A map with the outlines of its tiles, and what its values are in words."""
    values = product.map.values
    title = panel_of(product).title
    told = (
        f"{len(product.map)} cells of order {product.map.order}, {product.map.cells.area_deg2:.2f} deg2; "
        f"values from {values.min():.4g} to {values.max():.4g}, median {np.median(values):.4g}."
    )
    return inline_svg(map_figure(product, width_in=4.6, size_pt=9.0, dpi=120, **options), title, told)  # type: ignore[arg-type]


def keep(name: str, svg: str) -> None:
    """Write a picture, whole or not at all."""
    write_text(IMAGES / f"{name}.svg", svg + "\n")
    sys.stdout.write(f"{name}.svg  {len(svg) / 1000:.0f} kB\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
