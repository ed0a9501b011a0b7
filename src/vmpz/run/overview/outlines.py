"""Outlines of the tiles of a store on the sky."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.run.index import Row
from vmpz.run.runfile import RunFile
from vmpz.run.store import Store
from vmpz.sky import hpx
from vmpz.sky.covers import lon_lat_deg, unit_vectors
from vmpz.tiles import tile

__all__ = ["Polygons", "centre_of", "envelopes_of", "outlines_of"]

Floats = NDArray[np.float64]
Polygons = Sequence[Floats]

ALONG = 8
"""Points along an edge that is no great circle."""


def outlines_of(store: Store, envelopes: Mapping[str, str]) -> dict[str, Polygons]:
    """The polygons of tiles: of a grid by their ids, or as they were given to the run; else the envelopes.

    Parameters
    ----------
    store : Store
        Whose last run says how the sky was tiled.
    envelopes : mapping of str to str
        By area: STC-S about its cells (as the index has it), or ''.

    Returns
    -------
    dict of str to sequence of float64 (m, 2)
        By area, of those of which anything is known: longitude and latitude in degrees, counter-clockwise on the sky
        (east to the left).

    Raises
    ------
    InputError
        ``run.json`` is not what a run writes.
    """
    run = RunFile.read(store)
    found = {area: _outline(area, envelopes[area], run) for area in sorted(envelopes)}
    return {area: polygons for area, polygons in found.items() if polygons}


def envelopes_of(rows: Iterable[Row]) -> dict[str, str]:
    """By area the envelope of the product of most cells, '' where none is known, of rows of the index."""
    found: dict[str, tuple[int, str]] = {}
    for row in rows:
        one = (row.get("cells") or 0, row.get("envelope") or "")
        if one[1] or row["area"] not in found:
            found[row["area"]] = max(found.get(row["area"], (-1, "")), one)
    return {area: envelope for area, (_, envelope) in found.items()}


def _outline(area: str, envelope: str, run: RunFile | None) -> Polygons:
    if run is not None and area in run.areas:
        polygons = run.areas[area]
    else:
        polygons = (_of_grid(area, run) if run is not None else []) or _polygons(envelope)
    return [_counter_clockwise(one) for one in polygons]


def _of_grid(area: str, run: RunFile) -> list[Floats]:
    """The tile of a grid that is called so; none where no tile is: a patch, or a tile of an earlier tiling."""
    if run.tiling == "euclid-wide":
        try:
            return [tile(area).core_outline()]
        except InputError:
            return []
    if run.tiling != "healpix" or run.order is None or not area.isdigit():
        return []
    if int(area) >= hpx.number_of_cells(run.order):
        return []
    lon, lat = hpx.vertices([int(area)], run.order, ALONG)
    return [np.stack((lon[0] % 360.0, lat[0]), axis=1)]


def _polygons(text: str) -> list[Floats]:
    """The polygons of an envelope in STC-S."""
    words = text.replace("(", " ").replace(")", " ").replace("Union", " ").replace("ICRS", " ")
    parts = [part.split() for part in words.split("Polygon")]
    return [np.array(part, np.float64).reshape(-1, 2) for part in parts if part]


def _counter_clockwise(polygon: Floats) -> Floats:
    """The polygon in this sense, seen from inside the sphere."""
    corners = unit_vectors(*polygon.T)
    turn = np.cross(corners, np.roll(corners, -1, axis=0)).sum(axis=0) @ corners.mean(axis=0)
    return polygon[::-1] if turn > 0 else polygon


def centre_of(polygons: Polygons) -> tuple[float, float]:
    """Centroid of polygons that are small on the sphere, degrees; NaN of none.

    Triangles between the mean of the vertices and each edge, by their areas.
    """
    if not polygons:
        return float("nan"), float("nan")
    total = np.zeros(3)
    for one in polygons:
        corners = unit_vectors(*one.T)
        after, middle = np.roll(corners, -1, axis=0), corners.mean(axis=0)
        area = np.abs(np.cross(corners - middle, after - middle) @ middle)
        total += area @ (corners + after + middle)
    lon, lat = lon_lat_deg(total)
    return float(lon), float(lat)
