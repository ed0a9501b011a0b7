"""Positions of catalogues, to look at: read block by block, and thinned so that memory stays small."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vmpz import io
from vmpz.io.randomcolumns import LATITUDE, LONGITUDE
from vmpz.sky.cells import CellSet

__all__ = ["thinned_positions"]

Floats = NDArray[np.float64]

MOST = 1_000_000
WHOLE = (".vot", ".votable", ".xml", ".csv", ".vot.gz", ".votable.gz", ".xml.gz", ".csv.gz")
"""Forms of catalogues that are no tables of random points."""


def thinned_positions(path: Path, cells: CellSet, most: int = MOST) -> tuple[Floats, Floats, int]:
    """Positions of a catalogue inside some cells, of too many every k-th.

    Parameters
    ----------
    path : Path
        FITS, Parquet, HATS, VOTable or CSV.
    cells : CellSet
    most : int
        Largest number that is kept.

    Returns
    -------
    lon_deg, lat_deg : float64 (n,)
    every : int
        k, a power of two.

    Raises
    ------
    InputError
        It is no catalogue with positions.
    """
    kept: list[Floats] = [np.empty((0, 2))]
    every, seen = 1, 0
    for lon, lat in _blocks(path, cells):
        inside = np.flatnonzero(cells.contains(lon, lat))
        mine = (seen + np.arange(inside.size)) % every == 0
        seen += inside.size
        kept.append(np.stack((lon, lat), axis=1)[inside[mine]])
        while sum(map(len, kept)) > most:
            kept, every = [np.concatenate(kept)[::2]], 2 * every
    lon, lat = np.concatenate(kept).T
    return lon, lat, every


def _blocks(path: Path, cells: CellSet) -> Iterator[tuple[Floats, Floats]]:
    if path.name.lower().endswith(WHOLE):
        found = io.read_sources(path, cells=cells)
        yield found.lon_deg, found.lat_deg
        return
    for block in io.open_random(path).blocks((LONGITUDE, LATITUDE)):
        yield block[LONGITUDE], block[LATITUDE]
