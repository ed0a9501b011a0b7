"""The figure of a file: its map, with outlines and points of other files."""

from pathlib import Path

from matplotlib.figure import Figure

from vmpz.report.figures import COLUMN_IN, map_figure
from vmpz.report.overlays import Outlines, tile_outlines
from vmpz.run.pointing import thinned_positions
from vmpz.run.tasks import read_product
from vmpz.sky.cells import CellSet
from vmpz.sky.regions import Cap, cells_touched

__all__ = ["TILES", "figure_of_file"]

TILES = "tiles"
"""Outlines: the tiles of the regular Euclid grid on which the map lies."""
NEAR_ORDER = 6
"""Points are read that lie in cells of this order which the map touches: holes may hold some."""


def figure_of_file(
    path: Path,
    *,
    band: str | None = None,
    column: str = "WEIGHT",
    outlines: str | None = None,
    points: Path | None = None,
    projection: str = "auto",
    centre_deg: tuple[float, float] | None = None,
    radius_deg: float | None = None,
    limits: tuple[float, float] | None = None,
    colours: str | None = None,
    title: str | None = None,
    width_in: float = COLUMN_IN,
    dpi: int = 300,
) -> Figure:
    """The map in a file of any form.

    Parameters
    ----------
    path : Path
    band : str, optional
        Of a file that holds several.
    column : str
    outlines : str, optional
        `TILES`, or a file: a MOC, a map, polygons.
    points : Path, optional
        A catalogue, of very many points thinned while it is read.
    projection, centre_deg, radius_deg, limits, colours, title, width_in, dpi
        As in `vmpz.report.figures.map_figure`.

    Raises
    ------
    InputError
        A file is not what it must be, or its map cannot be drawn as it was asked for.
    """
    product = read_product(path, band)
    cells = product.map.cells if product.maps else CellSet(0)
    near = cells.at_order(min(cells.order, NEAR_ORDER))
    if centre_deg is not None and radius_deg is not None:
        near = near & cells_touched(Cap(*centre_deg, min(1.5 * radius_deg, 90.0)), near.order)
    return map_figure(
        product,
        column=column,
        title=title,
        limits=limits,
        colours=colours,
        projection=projection,
        centre_deg=centre_deg,
        radius_deg=radius_deg,
        outlines=None if outlines is None else _outlines(outlines, cells),
        points=None if points is None else thinned_positions(points, near),
        width_in=width_in,
        dpi=dpi,
    )


def _outlines(name: str, cells: CellSet) -> Outlines:
    return tile_outlines(cells) if name == TILES else read_product(name).map.cells
