"""Tiles and patches, the Euclid tiling, and who owns which cell.

A tiling is disjoint: a HEALPix cell of the working order belongs to the one tile whose core holds the cell's centre.
Images of neighbouring tiles overlap; owned cells never do. Each cell is thus computed once, by the one job that sees
every pixel touching it, and merging is concatenation.

Five tilings, rows of `TILINGS`:

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
``patches``
    The patches of stage 2 are the areas, for exposures of surveys without tiles; they must not overlap.

The grid was inferred from real tile indices and centres (DPDD, data product DpdMerTile; Kuemmel et al., ADASS XXX).
"""

from collections.abc import Callable
from typing import Any

from vmpz.errors import InputError, meant
from vmpz.tiles.base import Patch, Tile, Tiling, tangent_frame
from vmpz.tiles.given import Given, Healpix, Outlines, Patches
from vmpz.tiles.wide import Wide, WideTile, tile, tile_at, tiles_near

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

TILINGS: dict[str, Callable[..., Tiling]] = {
    "euclid-wide": Wide,
    "mer-tiles": Given,
    "healpix": Healpix,
    "inputs": Outlines,
    "patches": Patches,
}
"""Kind of tiling to its maker; options of each in `tiling`."""


def tiling(kind: str, **options: Any) -> Tiling:
    """The tiling of that kind.

    Parameters
    ----------
    kind : str
        A key of `TILINGS`.
    **options
        ``healpix``: `order`, the order of the tiles (default 6). ``mer-tiles``: `areas`, mapping of tile id to CellSet
        or Polygon; ``patches`` likewise. ``inputs``: `areas`, mapping of image id to outline (Polygon).
        ``euclid-wide``: none.

    Raises
    ------
    InputError
        There is no such tiling, or its areas overlap where they must not.
    """
    if kind not in TILINGS:
        raise InputError(f"tiling must be one of {', '.join(TILINGS)}, found {kind}{meant(kind, TILINGS)}")
    return TILINGS[kind](**options)
