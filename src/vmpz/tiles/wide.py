"""The regular grid of the Euclid wide survey."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vmpz.errors import InputError
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.covers import unit_vectors
from vmpz.sky.regions import Polygon
from vmpz.tiles.base import grouped, tangent_frame

__all__ = ["Wide", "WideTile", "tile", "tile_at", "tiles_near"]

FIRST_INDEX = 102000000 - 64
ROW_STEP_DEG = 0.5
ROWS = 361
OUTER_HALF_WIDTH_PX = 9600
OUTER_PIXEL_DEG = 0.1 / 3600.0
CORE_PARTS = 8
"""Of an edge of a core that is no great circle, where it is drawn."""


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

    def core_outline(self) -> NDArray[np.float64]:
        """Border of the core (m, 2): longitude in [0, 360) and latitude, degrees; parallels in eight straight parts."""
        south, north = max(self.south_deg, -90.0), min(self.north_deg, 90.0)
        along = np.linspace(self.west_deg, self.east_deg, CORE_PARTS + 1)
        lon = np.concatenate((along, along[::-1]))
        return np.stack((lon % 360.0, np.repeat((south, north), CORE_PARTS + 1)), axis=1)

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


class Wide:
    """The regular grid of the Euclid wide survey."""

    kind = "euclid-wide"
    names = None

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

    def sharing(self, cells: CellSet) -> Iterator[tuple[str, CellSet]]:
        """Tiles that own any of these cells."""
        number = cells.cells()
        owners = _indices(*hpx.centres(number, cells.order))
        yield from grouped(cells.order, number, owners, "{:09d}".format)


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


def _ranges(cells: NDArray[np.int64], levels: int) -> NDArray[np.int64]:
    """Ranges of the descendants of cells, `levels` orders deeper."""
    return np.stack((cells << (2 * levels), (cells + 1) << (2 * levels)), axis=1)


def _angles(vector: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y, z = np.moveaxis(vector, -1, 0)
    return np.mod(np.degrees(np.arctan2(y, x)), 360.0), np.degrees(np.arctan2(z, np.hypot(x, y)))
