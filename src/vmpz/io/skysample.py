"""Values at positions of a HEALPix map in a FITS file that may be as large as the sky: only the rows touched are read.

Read are the forms in which maps of E(B-V) and the like are published: full-sky tables without index (one or more values
a row, 1024 as healpy writes them, of any number of columns) and partial ones that list their pixels (PIXEL), RING or
NESTED, equatorial or galactic, any resolution, any numbers, scaled or not. Values are NaN where a map has none: UNSEEN,
BAD_DATA, TNULL, NaN, or a pixel that is not listed.

Of a full-sky table the rows of the wanted pixels are mapped, one page each. Of a partial one the index is read through
once, block by block; a gzip file has no rows that could be found without inflating it to them, so it is read through as
well. DATASUM is not verified: that would read the whole map.

**Interpolation.** ``nearest`` is the value of the pixel that holds the position, ``bilinear`` that of
`vmpz.sky.hpx.bilinear`, NaN where one of the pixels that weigh has no value. Both are done in the frame of the map.
"""

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vmpz.errors import InputError
from vmpz.files.fits import FitsFile, Hdu, decoding, open_fits
from vmpz.files.tables import Column, columns_of, physical
from vmpz.io.objects import MAX_BYTES
from vmpz.io.pixelisation import EQUATORIAL, GALACTIC, order_of, ordering_of, with_gaps
from vmpz.sky import hpx
from vmpz.sky.galactic import galactic

__all__ = ["Frame", "MapDescription", "Method", "describe_map", "sample_map"]

Floats = NDArray[np.float64]
IntArray = NDArray[np.int64]
Method = Literal["nearest", "bilinear"]
Frame = Literal["C", "G"]

REDDENING = ("EBV", "E(B-V)", "E_BV", "E_B_V")
"""Usual names of a column of E(B-V), in any case."""
PIXEL = ("PIXEL", "HPXPIXEL", "IPIX")
BLOCK_BYTES = 1 << 22
PAGES = 1 << 12
"""Pages of a map that are mapped at once."""


@dataclass(frozen=True)
class MapDescription:
    """What a map is, for its provenance.

    Attributes
    ----------
    order : int
        NSIDE = 2**order.
    ordering : str
        RING or NESTED.
    coordsys : str
        C (equatorial) or G (galactic).
    column, unit : str
        The column of values; its TUNIT, '' where none is stated.
    partial : bool
        Whether the table lists its pixels.
    identity : str
        Digest of file name, size and header cards (DATASUM among them).
    """

    order: int
    ordering: str
    coordsys: str
    column: str
    unit: str
    partial: bool
    identity: str


def sample_map(
    path: Path,
    lon_deg: ArrayLike,
    lat_deg: ArrayLike,
    *,
    column: str | None = None,
    method: Method = "nearest",
    coordsys: Frame | None = None,
) -> Floats:
    """Values of a map at positions.

    Parameters
    ----------
    path : Path
        FITS file, plain or gzip.
    lon_deg, lat_deg : array_like
        ICRS degrees, broadcast shapes.
    column : str, optional
        Column of the values, in any case; default that of E(B-V), or the only one.
    method : {'nearest', 'bilinear'}
    coordsys : {'C', 'G'}, optional
        Frame of a map whose header has no COORDSYS.

    Returns
    -------
    float64 of the common shape
        In the unit of the map; NaN where it has no value.

    Raises
    ------
    InputError
        The file does not hold what it must; the message names file, HDU and keyword or column.
    ValueError
        A latitude lies outside [-90, 90], or there is no such method.
    """
    if method not in get_args(Method):
        raise ValueError(f"method must be one of {', '.join(get_args(Method))}, found {method}")
    lon, lat = np.broadcast_arrays(np.asarray(lon_deg, np.float64), np.asarray(lat_deg, np.float64))
    with _open_map(path, column, coordsys) as one:
        x, y = galactic(lon.ravel(), lat.ravel()) if one.told.coordsys == "G" else (lon.ravel(), lat.ravel())
        if method == "nearest":
            return one.values(hpx.cells_at(x, y, one.told.order)).reshape(lon.shape)
        cells, weights = hpx.bilinear(x, y, one.told.order)
        terms = np.where(weights > 0, weights * one.values(cells), 0.0)
        return np.asarray(terms.sum(axis=1)).reshape(lon.shape)


def describe_map(path: Path, *, column: str | None = None, coordsys: Frame | None = None) -> MapDescription:
    """What the map of a file is, from its headers; parameters and errors as of `sample_map`."""
    with _open_map(path, column, coordsys) as one:
        return one.told


@contextmanager
def _open_map(path: Path, column: str | None, coordsys: Frame | None) -> Iterator["_Map"]:
    with open_fits(str(path), MAX_BYTES) as file:
        yield _Map(file, *_table_and_column(file, column), coordsys)
        file.unchanged()


class _Map:
    """An open map: its table, the column of its values, and that of its pixels where it lists them."""

    def __init__(self, file: FitsFile, unit: Hdu, column: Column, coordsys: Frame | None) -> None:
        self._file, self._unit, self._column = file, unit, column
        self._rows, self._width = unit.cards.integer("NAXIS2"), unit.cards.integer("NAXIS1")
        self._pixel = _pixel_column(unit)
        self.told = MapDescription(
            order_of(unit),
            _ordering(unit),
            _frame(unit, coordsys),
            column.name,
            unit.cards.optional_text(f"TUNIT{column.number}") or "",
            self._pixel is not None,
            file.identity(unit),
        )
        if self._pixel is None:
            self._must_be_full()
        elif column.repeat != 1 or self._pixel.repeat != 1 or self._pixel.kind not in "BIJK":
            raise InputError(
                f"{unit.where}: a map that lists its pixels must have one integer {self._pixel.name} and one number "
                f"{column.name} a row, found TFORM of {self._pixel.repeat}{self._pixel.kind} and "
                f"{column.repeat}{column.kind}"
            )

    def _must_be_full(self) -> None:
        cards, order = self._unit.cards, self.told.order
        pixels, found = hpx.number_of_cells(order), self._rows * self._column.repeat
        if found != pixels:
            raise InputError(
                f"{self._unit.where}: a full-sky map of order {order} must hold {pixels} values, found {found}"
            )
        for key, bound in (("FIRSTPIX", 0), ("LASTPIX", pixels - 1)):
            if key in cards and cards.integer(key) != bound:
                raise cards.error(key, f"of a full-sky map of order {order} must be {bound}")

    def values(self, cells: IntArray) -> Floats:
        """Values of nested cells of the map's own order and frame, NaN where there are none; any shape."""
        number = cells if self.told.ordering == "NESTED" else hpx.to_ring(cells, self.told.order)
        if cells.size == 0:
            return np.empty(cells.shape)
        pixels, place = np.unique(number, return_inverse=True)
        if self._pixel is not None:
            found = self._listed(pixels, self._pixel)
        else:
            found = self._inflated(pixels) if self._file.is_gzip else self._mapped(pixels)
        return found[place].reshape(cells.shape)

    def _mapped(self, pixels: IntArray) -> Floats:
        """Values of a full-sky map in a plain file: only the pages that hold them are read, and kept for a moment."""
        with decoding(self._unit.where):
            mapped = mmap.mmap(self._file.handle.fileno(), 0, prot=mmap.PROT_READ)
        mapped.madvise(mmap.MADV_RANDOM)
        rows = np.ndarray((self._rows, self._width), np.uint8, mapped, self._unit.data_offset)
        stored, found = _stored(rows, self._column), np.empty(pixels.size)
        for start in range(0, pixels.size, PAGES):
            row, number = np.divmod(pixels[start : start + PAGES], self._column.repeat)
            found[start : start + PAGES] = self._physical(stored[row, number])
            mapped.madvise(mmap.MADV_DONTNEED)
        return found

    def _inflated(self, pixels: IntArray) -> Floats:
        """The same of a gzip file, which is read to the last of them."""
        found = np.empty(pixels.size)
        for start, rows in self._blocks():
            stored = _stored(rows, self._column).ravel()
            first = start * self._column.repeat
            low, high = np.searchsorted(pixels, (first, first + stored.size))
            found[low:high] = self._physical(stored[pixels[low:high] - first])
            if high == pixels.size:
                break
        return found

    def _listed(self, pixels: IntArray, index: Column) -> Floats:
        """Values of a map that lists its pixels, in whatever order, each once."""
        found, times = np.full(pixels.size, np.nan), np.zeros(pixels.size, np.int64)
        for _, rows in self._blocks():
            listed = _stored(rows, index)[:, 0].astype(np.int64)
            near = np.flatnonzero((listed >= pixels[0]) & (listed <= pixels[-1]))
            place = np.searchsorted(pixels, listed[near])
            wanted = pixels[place] == listed[near]
            place, row = place[wanted], near[wanted]
            found[place] = self._physical(_stored(rows[row], self._column)[:, 0])
            times += np.bincount(place, minlength=pixels.size)
        if times.max(initial=0) > 1:
            twice = pixels[times > 1][0]
            raise InputError(f"{self._unit.where}: {index.name} must list a pixel once, found {twice} again")
        return found

    def _blocks(self) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """All rows in order: number of the first of a block, and their bytes (n, width)."""
        step = max(BLOCK_BYTES // self._width, 1)
        with decoding(self._unit.where):
            stream = self._file.stream()
            stream.seek(self._unit.data_offset)
            for start in range(0, self._rows, step):
                count = min(step, self._rows - start)
                block = np.frombuffer(stream.read(count * self._width), np.uint8)
                if block.size != count * self._width:
                    raise InputError(f"{self._unit.where}: must hold {self._rows} rows, found fewer: cut")
                yield start, block.reshape(count, self._width)

    def _physical(self, stored: NDArray[Any]) -> Floats:
        bad = self._unit.cards.optional_number("BAD_DATA")
        return np.asarray(with_gaps(physical(stored, self._unit, self._column), bad))


def _stored(rows: NDArray[np.uint8], column: Column) -> NDArray[Any]:
    """The numbers of a column as they are stored, a view (n, repeat) of the bytes of rows."""
    return rows[:, column.offset : column.offset + column.width].view(column.dtype)


def _table_and_column(file: FitsFile, asked: str | None) -> tuple[Hdu, Column]:
    """The table and the column that hold the values: those asked for, those of E(B-V), or the only ones."""
    units = [
        unit
        for unit in file.hdus
        if unit.header.get("XTENSION") == "BINTABLE"
        and ("NSIDE" in unit.cards or unit.header.get("PIXTYPE") == "HEALPIX")
    ]
    if not units:
        raise InputError(
            f"{file.location}: must hold a HEALPix table (PIXTYPE = 'HEALPIX', NSIDE), found none in "
            f"{len(file.hdus)} HDUs"
        )
    known = [(unit, column) for unit in units for column in _value_columns(unit)]
    names = REDDENING if asked is None else (asked.upper(),)
    found = [one for one in known if one[1].name.upper() in names]
    if asked is None and not found:
        found = known
    if len(found) != 1:
        there = "; ".join(
            f"{unit.where}: {', '.join(one.name for one in _value_columns(unit))}" for unit in units
        )
        what = f"one column {asked}" if asked else "one column of values, or one of E(B-V)"
        raise InputError(f"{file.location}: must hold {what}; name the column of values, found {there}")
    return found[0]


def _value_columns(unit: Hdu) -> list[Column]:
    index = _pixel_column(unit)
    return [one for one in columns_of(unit) if one.kind in "BIJKED" and one != index]


def _pixel_column(unit: Hdu) -> Column | None:
    """The column that lists the pixels, None for a full-sky table.

    Raises
    ------
    InputError
        The header says that there is one, and there is none.
    """
    scheme = (unit.cards.optional_text("INDXSCHM") or "").upper()
    if scheme == "IMPLICIT":
        return None
    columns = {one.name.upper(): one for one in columns_of(unit)}
    found = next((columns[name] for name in PIXEL if name in columns), None)
    if found is None and (scheme == "EXPLICIT" or unit.header.get("OBJECT") == "PARTIAL"):
        raise InputError(
            f"{unit.where}: a map with INDXSCHM = 'EXPLICIT' must have a column PIXEL, found {', '.join(columns)}"
        )
    return found


def _ordering(unit: Hdu) -> str:
    found = ordering_of(unit)
    if found == "NUNIQ":
        raise unit.cards.error("ORDERING", "of a map that is sampled must be RING or NESTED")
    return found


def _frame(unit: Hdu, said: Frame | None) -> str:
    """C or G, from the header, or from the caller where the header says nothing."""
    stated = (unit.cards.optional_text("COORDSYS") or "").upper()
    found = "C" if stated in EQUATORIAL else "G" if stated in GALACTIC else stated
    if found not in ("", "C", "G"):
        raise unit.cards.error("COORDSYS", "must be 'C' (equatorial) or 'G' (galactic)")
    if found and said and found != said:
        raise unit.cards.error("COORDSYS", f"must be {said!r} as the parameters say")
    if not found and not said:
        raise InputError(
            f"{unit.where}: COORDSYS must be present, or the frame be told (coordsys = 'C' or 'G'), found neither"
        )
    return found or str(said)
