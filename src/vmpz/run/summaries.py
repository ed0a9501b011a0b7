"""What a manifest says of the content of a product, so that no index or question about the sky opens its file.

``cells``, ``area_deg2``, ``observed_area_deg2``, ``minimum``, ``mean``, ``maximum``, ``unit``; ``envelope``, the
polygon about all cells (`vmpz.io.envelope`), as the STC-S text that ObsCore calls s_region; ``cover``, a few coarse
cells that hold all of them, as a MOC in text: the product has nothing where none of these is.
"""

from typing import Any

from vmpz import io
from vmpz.io.envelope import envelope
from vmpz.io.metadata import COVERAGE_TYPE
from vmpz.io.streamed import Content
from vmpz.products import Product, ProductKey
from vmpz.sky.cells import CellSet

__all__ = ["cover_of", "streamed_summary", "summary_of"]

MOST = 32
"""Largest number of cells of a cover."""
DEEPEST = 8
DECIMALS = 5
"""Of degrees: 0.04 arcsec, far less than the margin of an envelope."""


def summary_of(product: Product) -> dict[str, Any]:
    """The summary of a product with maps, or with a table of one row a cell; {} of any other table."""
    if product.maps:
        numbers = {**io.map_numbers(product.map, product.key.kind), "unit": product.unit}
        return numbers | _extent(product.map.cells)
    if product.table is None or "cell" not in product.table.column_names:
        return {}
    cells = CellSet.from_cells(product.key.order, product.table["cell"].to_numpy())
    return {"cells": len(cells), "area_deg2": cells.area_deg2} | _extent(cells)


def streamed_summary(key: ProductKey, unit: str, content: Content) -> dict[str, Any]:
    """The summary of a product whose map was written piece by piece."""
    cells, some = content.cells, content.rows > 0
    return {
        "cells": content.rows,
        "area_deg2": cells.area_deg2,
        "observed_area_deg2": content.integral_deg2 if key.kind in COVERAGE_TYPE else None,
        "minimum": float(content.minimum) if some else None,
        "mean": float(content.total / content.rows) if some else None,
        "maximum": float(content.maximum) if some else None,
        "unit": unit,
        **_extent(cells),
    }


def cover_of(text: str) -> CellSet:
    """The cells of a cover."""
    order, _, ranges = text.partition("/")
    bounds = [part.partition("-") for part in ranges.split()]
    return CellSet(int(order), [(int(first), int(last or first) + 1) for first, _, last in bounds])


def _extent(cells: CellSet) -> dict[str, Any]:
    order = min(cells.order, DEEPEST)
    while len(cells.at_order(order)) > MOST and order:
        order -= 1
    coarse = cells.at_order(order)
    ranges = [
        f"{first}-{stop - 1}" if stop - first > 1 else f"{first}" for first, stop in coarse.ranges.tolist()
    ]
    return {"envelope": _region(cells), "cover": f"{order}/{' '.join(ranges)}"}


def _region(cells: CellSet) -> str | None:
    """The envelope as STC-S; vertices run counter-clockwise on the sky."""
    polygons = [
        " ".join(f"{number:.{DECIMALS}f}" for number in polygon[::-1].ravel().tolist())
        for polygon in envelope(cells)
    ]
    if len(polygons) < 2:
        return f"Polygon ICRS {polygons[0]}" if polygons else None
    return f"Union ICRS ({' '.join(f'Polygon {polygon}' for polygon in polygons)})"
