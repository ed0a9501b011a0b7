"""The tiles on the sky: their outlines, and a row a tile and band of what they hold."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.io.metadata import COVERAGE_TYPE
from vmpz.run.overview.content import Missing, Part
from vmpz.run.overview.listing import Listing
from vmpz.run.overview.pictures import angle_of, direction_of
from vmpz.run.overview.reading import Reading
from vmpz.run.runfile import RunFile
from vmpz.run.store import Entry
from vmpz.sky import hpx
from vmpz.sky.covers import unit_vectors
from vmpz.tiles import WideTile, tile

__all__ = ["Parts", "Polygons", "envelope_of", "outline_of"]

Floats = NDArray[np.float64]
Polygons = Sequence[Floats]

ALONG = 8
"""Points along an edge that is no great circle."""
OF_AREA = ("footprint", "coverage", "effectivecoverage")
"""Kinds that say what is observed of a tile, the first that there is."""
OBSERVED = ("coverage", "footprint", "effectivecoverage")


# -- outlines ---------------------------------------------------------------------------------------------------------


def outline_of(area: str, envelope: str, run: RunFile | None) -> Polygons:
    """The polygons of a tile: of a grid by its id, or as they were given; else the envelope of its cells.

    Parameters
    ----------
    area : str
    envelope : str
        STC-S, or ''.
    run : RunFile or None

    Returns
    -------
    sequence of float64 (m, 2)
        Longitude and latitude in degrees, counter-clockwise on the sky (east to the left); none where nothing is known.
    """
    if run is not None and area in run.areas:
        polygons = run.areas[area]
    else:
        polygons = (_of_grid(area, run) if run is not None else []) or _polygons(envelope)
    return [_counter_clockwise(one) for one in polygons]


def _of_grid(area: str, run: RunFile) -> list[Floats]:
    """The tile of a grid that is called so; none where no tile is: a patch, or a tile of an earlier tiling."""
    if run.tiling == "euclid-wide":
        try:
            return [_core(tile(area))]
        except InputError:
            return []
    if run.tiling != "healpix" or run.order is None or not area.isdigit():
        return []
    if int(area) >= hpx.number_of_cells(run.order):
        return []
    lon, lat = hpx.vertices([int(area)], run.order, ALONG)
    return [np.stack((lon[0] % 360.0, lat[0]), axis=1)]


def envelope_of(entries: Iterable[Entry]) -> str:
    """STC-S about the product of most cells, as manifests say it; '' where none does."""
    told = [entry.summary for entry in entries if entry.summary.get("envelope")]
    return str(max(told, key=lambda one: int(one["cells"]))["envelope"]) if told else ""


def _core(one: WideTile) -> Floats:
    """The core of a tile of the regular grid; its northern and southern edges are small circles."""
    south, north = max(one.south_deg, -90.0), min(one.north_deg, 90.0)
    lon = np.linspace(one.west_deg, one.east_deg, ALONG + 1)
    along = np.concatenate((lon, lon[::-1]))
    return np.stack((along % 360.0, np.repeat((south, north), ALONG + 1)), axis=1)


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
    """Direction of the mean of all vertices, degrees; NaN of none."""
    if not polygons:
        return float("nan"), float("nan")
    x, y, z = np.concatenate([unit_vectors(*one.T) for one in polygons]).mean(axis=0)
    return math.degrees(math.atan2(y, x)) % 360.0, math.degrees(math.atan2(z, math.hypot(x, y)))


# -- rows -------------------------------------------------------------------------------------------------------------


@dataclass
class _Row:
    products: int = 0
    missing: int = 0
    area_deg2: float = 0.0
    observed_deg2: float | None = None
    hole_deg2: float | None = None
    values: dict[str, float] = field(default_factory=dict)


class Parts:
    """Rows of tiles and bands, gathered tile by tile."""

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._rows: dict[tuple[str, str], _Row] = {}

    def add(self, reading: Reading) -> None:
        """Count an area in."""
        for key in reading.entries:
            if self._listing.asks_for(key):
                self._row(reading.area.name, key.band).products += 1
        for band in sorted({piece.listed.key.band for piece in reading.pieces}):
            self._measure(reading, band, self._row(reading.area.name, band))

    def add_missing(self, missing: Iterable[Missing]) -> None:
        """Count what is not there."""
        for one in missing:
            if one.key.area != "-":
                self._row(one.key.area, one.key.band).missing += 1

    def finish(self, outlines: Mapping[str, Polygons]) -> tuple[Part, ...]:
        """All rows, by tile and band."""
        centres = {area: centre_of(outlines.get(area, ())) for area, _ in self._rows}
        return tuple(
            Part(
                area,
                band,
                *centres[area],
                row.area_deg2,
                row.observed_deg2,
                row.hole_deg2,
                row.values,
                row.products,
                row.missing,
            )
            for (area, band), row in sorted(self._rows.items())
        )

    def _row(self, area: str, band: str) -> _Row:
        return self._rows.setdefault((area, band), _Row())

    def _measure(self, reading: Reading, band: str, row: _Row) -> None:
        """Areas and means of the maps of a band."""
        pieces = [piece for piece in reading.pieces if piece.listed.key.band == band]
        kinds = {kind: [one for one in pieces if one.listed.key.kind == kind] for kind in COVERAGE_TYPE}
        whole = next((kinds[kind][0] for kind in OF_AREA if kinds[kind]), None)
        observed = next((kinds[kind][0] for kind in OBSERVED if kinds[kind]), None)
        row.area_deg2 = max((piece.map.cells.area_deg2 for piece in pieces), default=0.0)
        if whole is not None:
            cells = int(np.count_nonzero(whole.map.values > 0))
            row.area_deg2 = cells * hpx.cell_area_deg2(whole.map.order)
            if reading.own_deg2 is not None:
                row.hole_deg2 = max(reading.own_deg2 - row.area_deg2, 0.0)
        if observed is not None:
            row.observed_deg2 = observed.map.integral_deg2()
        for piece in pieces:
            mean = reading.area.means[piece.listed.key]
            if piece.listed.is_circular and len(piece.map):
                mean = angle_of(direction_of(piece.map))
            if mean is not None:
                row.values[piece.listed.short] = float(mean)
