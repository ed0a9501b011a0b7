"""What is drawn over the maps of a viewer: regions as MOCs, points of catalogues.

A region has at most `MOST_RANGES` ranges and is drawn at the finest order that fits: a coarser one keeps every cell
that holds any of it. Of a catalogue every k-th row is shown, k being the power of two that leaves as many inside the
view as are asked for: a thinning that follows the density of the catalogue, is the same every time, and of which a
larger k keeps a part of a smaller one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from vmpz import io
from vmpz.errors import InputError
from vmpz.io.plainmoc import covered
from vmpz.io.randomcolumns import LATITUDE, LONGITUDE
from vmpz.io.rows import RowsFile
from vmpz.products import Product
from vmpz.run.store import Store
from vmpz.run.viewing.maps import ListedMap, opened
from vmpz.sky.cells import CellSet
from vmpz.sky.covers import unit_vectors

__all__ = ["Points", "Shown", "moc_of_file", "moc_of_map"]

MOST_RANGES = 100_000
MOST_POINTS = 20_000
MOST_KEPT = 1 << 21
"""Positions of a catalogue that are held in memory (40 bytes each)."""
BATCH = 1 << 20
"""Ranges that are gathered before they become one set."""

Floats = NDArray[np.float64]


# -- regions ----------------------------------------------------------------------------------------------------------


def moc_of_map(store: Store, one: ListedMap) -> str:
    """Where a map is above 0, as a MOC in JSON.

    Raises
    ------
    InputError
        A file of the map cannot be read.
    MissingProductError
        A product is no longer there.
    """
    found = CellSet(one.key.order)
    for batch in _batches(_observed(opened(store, row)) for row in one.rows):
        order = min(found.order, *(piece.order for piece in batch))
        found = _fitting(CellSet.union([piece.at_order(order) for piece in (found, *batch)]))
    return _text(found)


def moc_of_file(path: Path) -> str:
    """The cells of a MOC file, or what any product covers, as a MOC in JSON.

    Raises
    ------
    InputError
        There is no such file, or it is no product.
    """
    if not path.exists():
        raise InputError(f"{path}: must be a MOC or a product, found nothing")
    return _text(_fitting(covered(io.read(path))))


def _observed(piece: RowsFile | Product) -> CellSet:
    if isinstance(piece, Product):
        return covered(piece)
    records = piece.rows().view(piece.row_type).ravel()
    return CellSet.from_cells(piece.key.order, records["PIXEL"][records["WEIGHT"] > 0].astype(np.int64))


def _batches(pieces: Iterator[CellSet]) -> Iterator[list[CellSet]]:
    held: list[CellSet] = []
    for piece in pieces:
        held.append(piece)
        if sum(len(one.ranges) for one in held) > BATCH:
            yield held
            held = []
    if held:
        yield held


def _fitting(cells: CellSet) -> CellSet:
    while len(cells.ranges) > MOST_RANGES:
        cells = cells.at_order(cells.order - 1)
    return cells


def _text(cells: CellSet) -> str:
    return str(cells.to_moc().to_string("json"))


# -- points -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shown:
    """Points inside a view: every `every`-th row of the catalogue that lies there, of about `inside` rows."""

    lon_deg: Floats
    lat_deg: Floats
    every: int
    inside: int


class Points:
    """The points of a catalogue.

    Parameters
    ----------
    path : Path
        A random catalogue, or one of other software with positions (FITS, Parquet, HATS).

    Raises
    ------
    InputError
        It is none.
    """

    def __init__(self, path: Path) -> None:
        self._catalogue = io.open_random(path)
        self._loading = Lock()
        self.name = path.name

    @property
    def rows(self) -> int:
        """Number of rows of the catalogue."""
        return self._catalogue.rows

    def inside(self, lon_deg: float, lat_deg: float, radius_deg: float, most: int = MOST_POINTS) -> Shown:
        """Points within an angle of a position, at most so many.

        Raises
        ------
        InputError
            The catalogue is cut, or a checksum does not hold.
        """
        with self._loading:  # the first who asks reads it
            lon, lat, vectors = self._kept
        near = np.flatnonzero(vectors @ unit_vectors(lon_deg, lat_deg) >= np.cos(np.radians(radius_deg)))
        inside, every = near.size * self._step, 1
        while near.size > min(max(most, 1), MOST_POINTS):
            every *= 2
            near = near[near % every == 0]
        return Shown(lon[near], lat[near], every * self._step, inside)

    @cached_property
    def _step(self) -> int:
        step = 1
        while self.rows > step * MOST_KEPT:
            step *= 2
        return step

    @cached_property
    def _kept(self) -> tuple[Floats, Floats, Floats]:
        """Longitudes, latitudes and directions of every `_step`-th row."""
        lon, lat, first = [np.empty(0)], [np.empty(0)], 0
        for block in self._catalogue.blocks((LONGITUDE, LATITUDE)):
            some = slice(-first % self._step, None, self._step)
            lon.append(block[LONGITUDE][some])
            lat.append(block[LATITUDE][some])
            first += block[LONGITUDE].size
        positions = np.concatenate(lon), np.concatenate(lat)
        return *positions, unit_vectors(*positions)
