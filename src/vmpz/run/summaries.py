"""What a manifest says of the content of a product, so that no index or question about the sky opens its file.

``cells``, ``area_deg2``, ``observed_area_deg2``, ``minimum``, ``mean``, ``maximum``, ``unit``; ``envelope``, polygons
of ICRS degrees that cover all cells; ``cover``, a few coarse cells (nested, at their ``order``) that do so too: the
product has nothing at a position whose coarse cell is not among them.
"""

from typing import Any

from vmpz import io
from vmpz.io.envelope import envelope
from vmpz.io.metadata import COVERAGE_TYPE
from vmpz.io.streamed import Content
from vmpz.products import Product, ProductKey
from vmpz.sky.cells import CellSet

__all__ = ["streamed_summary", "summary_of"]

MOST = 32
"""Largest number of cells of a cover."""
DECIMALS = 7
"""Of degrees: 0.4 milli-arcseconds, far less than the margin of an envelope."""


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


def _extent(cells: CellSet) -> dict[str, Any]:
    polygons = [polygon.round(DECIMALS).tolist() for polygon in envelope(cells)]
    order = min(cells.order, 8)
    while len(cells.at_order(order)) > MOST and order:
        order -= 1
    coarse = cells.at_order(order)
    return {"envelope": polygons, "cover": {"order": order, "cells": coarse.cells().tolist()}}
