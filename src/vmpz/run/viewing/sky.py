"""`Sky`: everything that a viewer asks of a store, by number or name."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from vmpz.files.remote import cache_folder
from vmpz.run.index import Index
from vmpz.run.overview.outlines import Polygons, envelopes_of, outlines_of
from vmpz.run.query import Wanted
from vmpz.run.store import Store
from vmpz.run.summaries import DEEPEST, cover_of
from vmpz.run.viewing.maps import ListedMap, listed_maps
from vmpz.run.viewing.overlays import Points, Shown, moc_of_file, moc_of_map
from vmpz.run.viewing.pictures import Pictures
from vmpz.run.viewing.values import Reading, Values
from vmpz.sky.cells import CellSet

__all__ = ["Sky"]

REGIONS_KEPT = 32
OBSERVED = ("footprint", "coverage", "effectivecoverage")
"""Kinds whose observed part is offered as a region."""
OF_A_TILE = ("cells", "area_deg2", "minimum", "mean", "maximum", "unit", "file", "digest")


class Sky:
    """Maps, values, regions and points of a store, as it was when this was made.

    Parameters
    ----------
    store : Store
    wanted : Wanted
        Which maps: kinds, bands, areas; default those of all tiles.
    regions : sequence of Path
        MOCs (or products) to draw over them.
    points : sequence of Path
        Catalogues to draw over them.
    cache : Path, optional
        Where HiPS are kept; default a folder that goes with this process, unless VMPZ_CACHE names one.

    Raises
    ------
    InputError
        There is no such store, or no map that is asked for; a region or catalogue is none.
    """

    def __init__(
        self,
        store: Store,
        wanted: Wanted | None = None,
        *,
        regions: Sequence[Path] = (),
        points: Sequence[Path] = (),
        cache: Path | None = None,
    ) -> None:
        self.store = store
        self.areas = (wanted or Wanted()).areas
        self.maps: tuple[ListedMap, ...] = tuple(listed_maps(store, wanted or Wanted()))
        self.points = tuple(Points(path) for path in points)
        self._values = Values(store, self.maps)
        self._pictures = Pictures(store, (cache or cache_folder()) / "pictures")
        given: list[tuple[str, str | int]] = [(path.name, moc_of_file(path)) for path in regions]
        observed = [
            (f"{one.name} > 0", number)
            for number, one in enumerate(self.maps)
            if one.key.kind in OBSERVED and one.column == "WEIGHT"
        ]
        self._regions = [*given, *observed]
        self._moc = lru_cache(REGIONS_KEPT)(lambda number: moc_of_map(store, self.maps[number]))

    @property
    def regions(self) -> list[str]:
        """Names of the regions: files that were given, then maps of observed fractions."""
        return [name for name, _ in self._regions]

    def values(self, lon_deg: float, lat_deg: float) -> list[Reading]:
        """Values of all maps at a position; see `Values.at`."""
        return self._values.at(lon_deg, lat_deg)

    def picture(self, number: int) -> Path:
        """The HiPS folder of a map; see `Pictures.of`."""
        return self._pictures.of(self.maps[number])

    def region(self, number: int) -> str:
        """A region as a MOC in JSON; see `moc_of_map`."""
        found = self._regions[number][1]
        return found if isinstance(found, str) else self._moc(found)

    def points_inside(
        self, number: int, lon_deg: float, lat_deg: float, radius_deg: float, most: int
    ) -> Shown:
        """Points of a catalogue within an angle of a position; see `Points.inside`."""
        return self.points[number].inside(lon_deg, lat_deg, radius_deg, most)

    def tile(self, area: str) -> list[dict[str, Any]]:
        """What the index says of the maps of a tile or patch."""
        rows = ((one, row) for one in self.maps if one.column == "WEIGHT" for row in one.rows)
        return [
            {"map": one.name, **{name: row[name] for name in OF_A_TILE}}
            for one, row in rows
            if row["area"] == area
        ]

    def outlines(self) -> dict[str, Polygons]:
        """Polygons of the tiles that the maps are of, or lie in, by name."""
        rows = [row for one in self.maps for row in one.rows]
        if self.areas is None:
            return outlines_of(self.store, envelopes_of(rows))
        with Index(self.store) as index:
            tiles = [row for row in index.rows(level="tile") if row["cover"]]
        covers = [cover_of(text).at_order(DEEPEST) for text in {row["cover"] for row in rows} if text]
        here = CellSet.union(covers) if covers else CellSet(DEEPEST)
        named = {row["area"] for row in rows}
        some = (
            row for row in tiles if row["area"] in named or cover_of(row["cover"]).at_order(DEEPEST) & here
        )
        return outlines_of(self.store, envelopes_of(some))

    def close(self) -> None:
        """Wait for a picture that is being made, so that no half of it is left."""
        with self._pictures.at_rest():
            pass
