"""Bringing what makers want from outside the survey: maps sampled on the cells of an area, catalogues inside them."""

from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import numpy as np

from vmpz import io
from vmpz.frames import Sources
from vmpz.make.outside import Outside
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap

__all__ = ["bring", "identity_of", "stamp_of"]

END_BYTES = 1 << 20


def bring(wanted: Outside, cells: CellSet) -> SkyMap | Sources:
    """The map on these cells, or the sources inside them.

    Raises
    ------
    InputError
        The file is not what it must be.
    """
    return _brought(wanted, cells, stamp_of(wanted.location))


def identity_of(wanted: Outside) -> str:
    """What identifies the file, 'missing' where there is none: the maker then says so.

    Digest of the size, the beginning and the end, where FITS headers and Parquet footers are; such files are too large
    to be read for this alone. Of a map also that of its name and header cards.
    """
    stamp = stamp_of(wanted.location)
    return "missing" if stamp == (0, 0) else _identity(wanted, stamp)


def stamp_of(location: str) -> tuple[int, int]:
    """Tells a file that was replaced, so that what is remembered of it is not that of the old one."""
    path = Path(location)
    there = path.stat() if path.is_file() else None
    return (there.st_mtime_ns, there.st_size) if there else (0, 0)


@lru_cache(8)
def _identity(wanted: Outside, stamp: tuple[int, int]) -> str:
    path = Path(wanted.location)
    named = ""
    if wanted.kind == "map":
        column = next(iter(wanted.columns), None)
        named = io.describe_map(path, column=column, coordsys=wanted.coordsys).identity
    with path.open("rb") as stream:
        told = sha256(f"{named}{stamp[1]}".encode() + stream.read(END_BYTES))
        stream.seek(max(stamp[1] - END_BYTES, 0))
        told.update(stream.read(END_BYTES))
    return told.hexdigest()


@lru_cache(4)
def _brought(wanted: Outside, cells: CellSet, stamp: tuple[int, int]) -> SkyMap | Sources:
    path = Path(wanted.location)
    if wanted.kind == "sources":
        return io.read_sources(path, wanted.columns, positions=wanted.positions or None, cells=cells)
    values = io.sample_map(
        path,
        *hpx.centres(cells.cells(), cells.order),
        column=next(iter(wanted.columns), None),
        method=wanted.method,
        coordsys=wanted.coordsys,
    )
    return SkyMap(cells, values).where(np.isfinite(values))
