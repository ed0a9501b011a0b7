"""Tiles, patches, what a tiling is, and the small geometry that tilings share."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vmpz.sky.cells import CellSet
from vmpz.sky.covers import unit_vectors

__all__ = ["Patch", "Tile", "Tiling", "grouped", "tangent_frame"]


@dataclass(frozen=True)
class Tile:
    """A tile and the cells it owns.

    Examples
    --------
    >>> from vmpz import Tile
    >>> from vmpz.tiles import tiling
    >>> tile = Tile("102018211", tiling("euclid-wide").owned("102018211", 12))
    >>> len(tile.cells)
    1196
    """

    id: str
    cells: CellSet


@dataclass(frozen=True)
class Patch:
    """A named region of stage 2 and its cells.

    Examples
    --------
    >>> from vmpz import Cap, Patch
    >>> from vmpz.sky.regions import cells_inside
    >>> patch = Patch("south", cells_inside(Cap(0.0, -90.0, 10.0), 8))
    >>> round(patch.cells.area_deg2)
    312
    """

    name: str
    cells: CellSet


class Tiling(Protocol):
    """Who owns which cell."""

    kind: str

    @property
    def names(self) -> Sequence[str] | None:
        """Ids of all tiles, None where they are numbers."""
        ...

    def owned(self, tile_id: str, order: int) -> CellSet:
        """Cells of `order` whose centre lies in the core of the tile.

        Raises
        ------
        InputError
            The tiling has no such tile.
        """
        ...

    def sharing(self, cells: CellSet) -> Iterator[tuple[str, CellSet]]:
        """Ids of the tiles that own any of these cells, ascending, and which."""
        ...


def grouped(
    order: int, cells: NDArray[np.int64], owners: NDArray[np.int64], name: Callable[[int], str]
) -> Iterator[tuple[str, CellSet]]:
    """Cells by owner."""
    by_owner = np.argsort(owners, kind="stable")
    ids, first = np.unique(owners[by_owner], return_index=True)
    for owner, mine in zip(ids, np.split(cells[by_owner], first[1:]), strict=True):
        yield name(int(owner)), CellSet.from_cells(order, mine)


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
