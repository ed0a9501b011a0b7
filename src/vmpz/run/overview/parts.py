"""A row a tile and band: where it is, what is observed of it, the means of its maps, what is missing."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from vmpz.io.metadata import COVERAGE_TYPE
from vmpz.run.overview.content import Missing, Part
from vmpz.run.overview.listing import Listing
from vmpz.run.overview.outlines import Polygons, centre_of
from vmpz.run.overview.pictures import angle_of, direction_of
from vmpz.run.overview.reading import Reading
from vmpz.sky import hpx

__all__ = ["Parts"]

OF_AREA = ("footprint", "coverage", "effectivecoverage")
"""Kinds that say where a tile is observed at all, the first that there is."""
OBSERVED = ("coverage", "footprint", "effectivecoverage")
"""Kinds whose integral is the observed area."""


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
        """Count what is not there, of a patch only where it is asked for."""
        for one in missing:
            if one.key.area not in self._listing.passed_over and one.key.area != "-":
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
