"""Regions as STC-S text: the cells of a product as a union of polygons.

One polygon a cell of the canonical MOC, its edges divided where deeper cells meet them, so neighbours leave no gap:
the union is that of the great-circle quadrilaterals of the cells. Vertices run counter-clockwise on the sky (east to
the left, as DALI has it).
(mocpy's tracing of borders is deprecated and wants a graph library, and a border does not say on which side its hole
lies.) A region has no order, so this form is written alone: read it with ``MOC.from_stcs(text, order)``.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np

from vmpz.errors import InputError
from vmpz.files.write import write_text
from vmpz.io.plainmoc import covered
from vmpz.parameters import MapParameters
from vmpz.products import Product
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet

__all__ = ["read_stcs", "write_stcs"]

FINEST_EDGE = 6
"""Edges are divided as cells up to this many orders deeper would."""


def write_stcs(product: Product, path: Path, maps: MapParameters) -> None:
    """Write the cells of a product (at `moc_order`, if that is coarser) as STC-S.

    Raises
    ------
    InputError
        There is no cell: STC-S has no word for nothing.
    """
    cells = covered(product, maps.moc_order)
    if not cells:
        raise InputError(f"{product.key}: a region must hold at least one cell, found none")
    write_text(path, "\n".join(["Union ICRS (", *_polygons(cells), ")"]) + "\n")


def read_stcs(path: Path) -> NoReturn:
    """Refuse.

    Raises
    ------
    InputError
        Always: what order the cells had is not known.
    """
    raise InputError(
        f"{path}: a map must have an order, an STC-S region has none; "
        "`mocpy.MOC.from_stcs(text, order)` makes a MOC of it"
    )


def _polygons(cells: CellSet) -> Iterator[str]:
    orders, numbers = hpx.from_uniq(np.sort(np.asarray(cells.to_moc().uniq_hpx)))
    for order in np.unique(orders).tolist():
        step = 1 << min(cells.order - order, FINEST_EDGE)
        lon, lat = hpx.vertices(numbers[orders == order], order, step)
        corners = np.stack((lon % 360.0, lat), axis=2)[:, ::-1]
        for polygon in corners.reshape(len(corners), -1):
            yield "  Polygon " + " ".join(f"{number:.10f}" for number in polygon.tolist())
