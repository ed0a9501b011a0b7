"""Tiles and patches, the Euclid tiling, and who owns which cell.

A tiling is disjoint: a HEALPix cell of the working order belongs to the one tile whose core holds the cell's centre.
Images of neighbouring tiles overlap; owned cells never do. Each cell is thus computed once, by the one job that sees
every pixel touching it, and merging is concatenation.

Four tilings, rows of `TILINGS`:

``euclid-wide``
    The regular grid of the Euclid wide survey. Rows stand at declinations d = -90, -89.5, ... 90 deg; the step in
    right ascension is ``s = 0.5 deg / cos(|d| - 0.5 deg)``, a row has ``n = ceil(360 deg / s)`` tiles with centres
    ``(k s, d)``, and the tile index is ``102000000 - 64 + N(d) + k`` with N(d) the number of tiles south of the row.
    In the rows |d| = 60.5 deg, where s is exactly 1 deg, n is 361: the last tile there is empty. The core of a tile is
    RA in ``[(k - 1/2) s, (k + 1/2) s)``, Dec in ``[d - 0.25, d + 0.25)``; the last core of a row ends at the first.
``mer-tiles``
    Inner areas as given: sets of cells (the NUNIQ list of a tile descriptor) or polygons.
``healpix``
    The cells of a coarse order are the tiles; the id is the nested cell number.
``inputs``
    Each image is its own tile and owns every cell that its outline touches, so that no edge is lost; a cell that two
    outlines touch goes to the nearer centre, ties by id.

The grid was inferred from real tile indices and centres (DPDD, data product DpdMerTile; Kuemmel et al., ADASS XXX).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vmpz.errors import InputError
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.covers import unit_vectors
from vmpz.sky.regions import Polygon, cells_inside, cells_touched

__all__ = [
    "TILINGS",
    "Patch",
    "Tile",
    "Tiling",
    "WideTile",
    "tangent_frame",
    "tile",
    "tile_at",
    "tiles_near",
    "tiling",
]

FIRST_INDEX = 102000000 - 64
ROW_STEP_DEG = 0.5
ROWS = 361
OUTER_HALF_WIDTH_PX = 9600
OUTER_PIXEL_DEG = 0.1 / 3600.0


@dataclass(frozen=True)
class Tile:
    """A tile and the cells it owns."""

    id: str
    cells: CellSet


@dataclass(frozen=True)
class Patch:
    """A named region of stage 2 and its cells."""

    name: str
    cells: CellSet


class Tiling(Protocol):
    """Who owns which cell."""

    kind: str

    def owned(self, tile_id: str, order: int) -> CellSet:
        """Cells of `order` whose centre lies in the core of the tile.

        Raises
        ------
        InputError
            The tiling has no such tile.
        """
        ...


def tiling(kind: str, **options: Any) -> Tiling:
    """The tiling of that kind.

    Parameters
    ----------
    kind : str
        A key of `TILINGS`.
    **options
        ``healpix``: `order`, the order of the tiles (default 6). ``mer-tiles``: `areas`, mapping of tile id to CellSet
        or Polygon. ``inputs``: `areas`, mapping of image id to outline (Polygon). ``euclid-wide``: none.

    Raises
    ------
    InputError
        There is no such tiling, or its areas overlap where they must not.
    """
    if kind not in TILINGS:
        raise InputError(f"tiling must be one of {', '.join(TILINGS)}, found {kind}")
    return TILINGS[kind](**options)


# -- the regular grid of the wide survey --------------------------------------------------------------------


@dataclass(frozen=True)
class WideTile:
    """One tile of the regular Euclid grid: place and core.

    Attributes
    ----------
    id : str
        Nine digits, as in file names and TileIndex.
    lon_deg, lat_deg : float
        Centre.
    west_deg, east_deg, south_deg, north_deg : float
        Core, half-open: RA in [west, east) modulo 360, Dec in [south, north). West is negative for the first tile of a
        row; north and south may pass a pole by 0.25 deg.
    """

    id: str
    lon_deg: float
    lat_deg: float
    west_deg: float
    east_deg: float
    south_deg: float
    north_deg: float

    @property
    def empty(self) -> bool:
        """Whether the core has no area (the last tile of the rows at +-60.5 deg)."""
        return self.east_deg <= self.west_deg

    def holds(self, lon_deg: ArrayLike, lat_deg: ArrayLike) -> NDArray[np.bool_]:
        """Whether positions lie in the core."""
        return np.asarray(_indices(lon_deg, lat_deg) == int(self.id))

    def outline(self) -> Polygon:
        """Outer pixel edges of the tile's image of 19200 x 19200 pixels of 0.1 arcsec (TAN).

        The reference pixel is 9600, so the image centre lies half a pixel to the north-west of the tile centre,
        which headers give with 7 decimals.
        """
        low, high = 0.5 - OUTER_HALF_WIDTH_PX, 0.5 + OUTER_HALF_WIDTH_PX
        pixels = np.array([(low, low), (high, low), (high, high), (low, high)]) * math.radians(
            OUTER_PIXEL_DEG
        )
        centre, east, north = tangent_frame(round(self.lon_deg, 7), round(self.lat_deg, 7))
        vector = centre - pixels[:, :1] * east + pixels[:, 1:] * north
        return Polygon(np.stack(_angles(vector), axis=1))


def tile(tile_id: str | int) -> WideTile:
    """The tile of the regular grid with that index.

    Raises
    ------
    InputError
        The grid has no such index.
    """
    text = str(tile_id)
    _, count, before = _rows()
    place = int(text) - FIRST_INDEX if text.isdigit() else -1
    if not 0 <= place < before[-1]:
        raise InputError(
            f"tile {text}: an index of the regular wide grid must lie between {FIRST_INDEX} and "
            f"{FIRST_INDEX + before[-1] - 1}; other tiles need the tiling mer-tiles"
        )
    row = int(np.searchsorted(before, place, side="right")) - 1
    k, lat = place - int(before[row]), -90.0 + ROW_STEP_DEG * row
    step = float(_rows()[0][row])
    last = k == count[row] - 1
    return WideTile(
        id=f"{int(text):09d}",
        lon_deg=(k * step) % 360.0,
        lat_deg=lat,
        west_deg=_west_edge(k, step),
        east_deg=360.0 + _west_edge(0, step) if last else _west_edge(k + 1, step),
        south_deg=lat - 0.25,
        north_deg=lat + 0.25,
    )


def tile_at(lon_deg: float, lat_deg: float) -> WideTile:
    """The tile of the regular grid whose core holds a position (ICRS degrees)."""
    return tile(int(_indices(lon_deg, lat_deg)))


def tiles_near(lon_deg: float, lat_deg: float, number: int) -> tuple[WideTile, ...]:
    """The tiles of the regular grid with the nearest centres, nearest first, ties by id; empty tiles are left out."""
    step, count, before = _rows()
    reach = 0.5 * math.sqrt(number) + 1.5
    rows = np.flatnonzero(np.abs(-90.0 + ROW_STEP_DEG * np.arange(ROWS) - lat_deg) <= reach)
    index = np.concatenate([np.arange(before[row], before[row] + count[row]) for row in rows])
    row = np.searchsorted(before, index, side="right") - 1
    lon, lat = (index - before[row]) * step[row], -90.0 + ROW_STEP_DEG * row
    # Distances are rounded so that centres which are equally far stay so on every machine.
    far = np.round(1.0 - unit_vectors(lon, lat) @ unit_vectors(lon_deg, lat_deg), 12)
    nearest = (tile(FIRST_INDEX + int(index[i])) for i in np.lexsort((index, far)))
    return tuple(islice((one for one in nearest if not one.empty), number))


class _Wide:
    """The regular grid of the Euclid wide survey."""

    kind = "euclid-wide"

    def owned(self, tile_id: str, order: int) -> CellSet:
        """Cells whose centre lies in the core, found by descending from the base cells."""
        core = tile(tile_id)
        whole: list[NDArray[np.int64]] = []
        cells = np.arange(0 if core.empty else 12, dtype=np.int64)
        for level in range(order):
            inside, outside = _classify(core, cells, level)
            whole.append(_ranges(cells[inside], order - level))
            cells = (4 * cells[~inside & ~outside, None] + np.arange(4)).ravel()
        inside = core.holds(*hpx.centres(cells, order))
        whole.append(_ranges(cells[inside], 0))
        return CellSet.from_ranges(order, np.concatenate(whole))


@cache
def _rows() -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """RA step (deg) and number of tiles of each row, and number of tiles before it (one more entry: the total)."""
    lat = np.abs(-90.0 + ROW_STEP_DEG * np.arange(ROWS))
    step = ROW_STEP_DEG / np.cos(np.radians(lat - ROW_STEP_DEG))
    count = np.ceil(360.0 / step).astype(np.int64)
    step[lat == 60.5], count[lat == 60.5] = 1.0, 361
    return step, count, np.concatenate(([0], np.cumsum(count)))


def _west_edge(k: Any, step: Any) -> Any:
    return (k - 0.5) * step


def _indices(lon_deg: ArrayLike, lat_deg: ArrayLike) -> NDArray[np.int64]:
    """Tile index of positions; the same comparisons with core edges whoever asks."""
    lon, lat = np.broadcast_arrays(np.mod(np.asarray(lon_deg, float), 360.0), np.asarray(lat_deg, float))
    row = np.floor((lat + 90.25) / ROW_STEP_DEG).astype(np.int64)
    row -= lat < -90.25 + ROW_STEP_DEG * row
    row += lat >= -89.75 + ROW_STEP_DEG * row
    steps, counts, before = _rows()
    step, count = steps[row], counts[row]
    lon = np.where(lon >= 360.0 + _west_edge(0, step), lon - 360.0, lon)
    k = np.floor(lon / step + 0.5).astype(np.int64)
    k = np.clip(k, 0, count - 1 - (step == 1.0))
    k -= (lon < _west_edge(k, step)) & (k > 0)
    k += (lon >= _west_edge(k + 1, step)) & (k < count - 1 - (step == 1.0))
    return np.asarray(FIRST_INDEX + before[row] + k, np.int64)


def _classify(
    core: WideTile, cells: NDArray[np.int64], order: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Cells whose every inner point is certainly inside, certainly outside the core; the others need a closer look.

    A point of a cell lies within the cell's radius r of the centre, hence within r in declination and within
    asin(sin r / cos dec) in right ascension.
    """
    lon, lat = hpx.centres(cells, order)
    radius = _cell_radius_deg(order)
    half = 0.5 * (core.east_deg - core.west_deg)
    off_lon = np.abs(np.mod(lon - core.west_deg - half + 180.0, 360.0) - 180.0)
    off_lat = np.abs(lat - core.lat_deg)
    spread = np.sin(np.radians(radius)) / np.maximum(np.cos(np.radians(lat)), 1e-300)
    reach = (
        np.where(np.abs(lat) + radius < 90.0, np.degrees(np.arcsin(np.minimum(spread, 1.0))), 360.0) + 1e-9
    )
    inside = (off_lat + radius < 0.25) & (off_lon + reach < half)
    outside = (off_lat - radius > 0.25) | (off_lon - reach > half)
    return inside, outside


@cache
def _cell_radius_deg(order: int) -> float:
    """Upper bound of the distance from a cell's centre to its points, 1.1 / nside rad.

    The largest is that of the cells at the corner |z| = 2/3 between two base cells: 0.841 rad at nside 1, and
    ``hypot(2 / sqrt 5, pi sqrt 5 / 12) / nside = 1.068 / nside`` in the limit (Gorski et al. 2005, eqs. 4-8).
    """
    return math.degrees(1.1 / (1 << order))


# -- the other tilings --------------------------------------------------------------------------------------


class _Given:
    """Inner areas given as sets of cells or polygons."""

    kind = "mer-tiles"

    def __init__(self, areas: Mapping[str, CellSet | Polygon]) -> None:
        self._sets = {name: area for name, area in areas.items() if isinstance(area, CellSet)}
        polygons = {name: area for name, area in areas.items() if isinstance(area, Polygon)}
        self._outlines = _Outlines(polygons, cells_inside)
        _require_disjoint(self._sets)

    def owned(self, tile_id: str, order: int) -> CellSet:
        """Cells whose centre lies in the inner area; a set of cells comes before a polygon that overlaps it."""
        if tile_id in self._sets:
            return self._sets[tile_id].centred(order)
        cells = self._outlines.owned(tile_id, order)
        for area in self._sets.values():
            cells = cells - (cells & area.centred(order))
        return cells


class _Healpix:
    """The cells of a coarse order."""

    kind = "healpix"

    def __init__(self, order: int = 6) -> None:
        self._order = order

    def owned(self, tile_id: str, order: int) -> CellSet:
        """All descendants of the cell."""
        if not tile_id.isdigit() or int(tile_id) >= hpx.number_of_cells(self._order):
            raise InputError(
                f"tile {tile_id}: must be a cell of order {self._order}, below {hpx.number_of_cells(self._order)}"
            )
        if order < self._order:
            raise InputError(
                f"the working order must be at least that of the tiles, {self._order}; found {order}"
            )
        return CellSet.from_cells(self._order, [int(tile_id)]).at_order(order)


class _Outlines:
    """Outlines that may overlap: a cell in several goes to the nearest centre."""

    kind = "inputs"

    def __init__(
        self, areas: Mapping[str, Polygon], cells_of: Callable[[Polygon, int], CellSet] = cells_touched
    ) -> None:
        self._areas = dict(areas)
        self._cells_of = cells_of
        self._names = {name: place for place, name in enumerate(self._areas)}
        corners = [unit_vectors(*np.asarray(area.vertices).T) for area in self._areas.values()]
        sums = np.array([one.sum(axis=0) for one in corners]).reshape(-1, 3)
        self._centres = sums / np.linalg.norm(sums, axis=1, keepdims=True)
        reach = [np.linalg.norm(one - c, axis=1).max() for one, c in zip(corners, self._centres, strict=True)]
        self._radii = 2.0 * np.arcsin(0.5 * np.array(reach))

    def owned(self, tile_id: str, order: int) -> CellSet:
        """Cells of the outline that are not nearer to the centre of another whose cells they are too."""
        if tile_id not in self._areas:
            raise InputError(f"tile {tile_id}: the tiling {self.kind} has no such area")
        cells = self._cells_of(self._areas[tile_id], order)
        for other in self._neighbours(tile_id):
            shared = (cells & self._cells_of(self._areas[other], order)).cells()
            centre = unit_vectors(*hpx.centres(shared, order))
            # Row by row, so that both sides of a near tie see the same two numbers.
            mine = (centre * self._centres[self._names[tile_id]]).sum(axis=1)
            theirs = (centre * self._centres[self._names[other]]).sum(axis=1)
            lost = (theirs > mine) | ((theirs == mine) & (other < tile_id))
            cells = cells - CellSet.from_cells(order, shared[lost])
        return cells

    def _neighbours(self, tile_id: str) -> list[str]:
        """Other areas that may overlap, by bounding circles."""
        here = self._names[tile_id]
        apart = 2.0 * np.arcsin(
            0.5 * np.linalg.norm(self._centres - self._centres[here], axis=1).clip(max=2.0)
        )
        near = apart < self._radii + self._radii[here]
        return [name for name, place in self._names.items() if near[place] and name != tile_id]


TILINGS: dict[str, Callable[..., Tiling]] = {
    "euclid-wide": _Wide,
    "mer-tiles": _Given,
    "healpix": _Healpix,
    "inputs": _Outlines,
}
"""Kind of tiling to its maker; options of each in `tiling`."""


def _require_disjoint(sets: Mapping[str, CellSet]) -> None:
    """Inner areas must not overlap."""
    if not sets:
        return
    deepest = max(one.order for one in sets.values())
    ranges = [one.at_order(deepest).ranges for one in sets.values()]
    owner = np.repeat(np.arange(len(ranges)), [len(one) for one in ranges])
    table = np.concatenate(ranges)
    by_start = np.argsort(table[:, 0], kind="stable")
    table, owner = table[by_start], owner[by_start]
    clash = np.flatnonzero(table[1:, 0] < table[:-1, 1])
    if clash.size:
        names = list(sets)
        one, two = names[owner[clash[0]]], names[owner[clash[0] + 1]]
        raise InputError(f"tiles {one} and {two}: inner areas must not overlap")


# -- small geometry -----------------------------------------------------------------------------------------


def _ranges(cells: NDArray[np.int64], levels: int) -> NDArray[np.int64]:
    """Ranges of the descendants of cells, `levels` orders deeper."""
    return np.stack((cells << (2 * levels), (cells + 1) << (2 * levels)), axis=1)


def _angles(vector: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y, z = np.moveaxis(vector, -1, 0)
    return np.mod(np.degrees(np.arctan2(y, x)), 360.0), np.degrees(np.arctan2(z, np.hypot(x, y)))


def tangent_frame(lon_deg: float, lat_deg: float) -> tuple[NDArray[np.float64], ...]:
    """Unit vectors to the point, to its east and to its north: the axes of a TAN image that is not rotated.

    At the north pole itself both axes turn by 180 deg, as the default LONPOLE of FITS images does there
    (Calabretta and Greisen 2002, section 2.4: 0 instead of 180 deg where the reference point is the pole).
    """
    lon, lat = math.radians(lon_deg), math.radians(lat_deg)
    turn = -1.0 if lat_deg == 90.0 else 1.0
    east = turn * np.array([-math.sin(lon), math.cos(lon), 0.0])
    north = turn * np.array([-math.sin(lat) * math.cos(lon), -math.sin(lat) * math.sin(lon), math.cos(lat)])
    return unit_vectors(lon_deg, lat_deg), east, north
