"""HEALPix tables in FITS files: reading, strictly where the content is at stake, tolerantly where only style is.

Refused: files that are not whole, checksums that do not hold, pixels outside the sphere or listed twice, an
unknown ordering or resolution, galactic cells, full-sky tables of high order. Accepted: any integer and float
types, any order of rows, NESTED and RING, further columns, tables without the package's keywords (an absent
COVCONV means OBSERVED), multi-order maps of other software. UNSEEN, BAD_DATA and NaN mean missing, and so
does a depth that is not positive. Memory grows with the listed cells alone.

A file may hold one map a band (`bands_of`): as tables named like the bands, or as columns of one table. Then the
band must be named; what HDU 0 says holds for every band whose own table does not say otherwise.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError, MapMismatchError
from vmpz.files.fits import FitsFile, Hdu, open_fits
from vmpz.files.tables import Table, read_table
from vmpz.io.inventory import kind_of_token
from vmpz.io.metadata import (
    COVERAGE_TYPE,
    DEGRADE_RULE,
    WEIGHT_KIND,
    Keyword,
    decode,
    encode,
    from_disk,
    key_of,
    keyword,
)
from vmpz.io.names import parse_name
from vmpz.io.pixelisation import EQUATORIAL, GALACTIC, order_of, ordering_of, with_gaps
from vmpz.products import Product, Scalar
from vmpz.quantities import QUANTITIES, degrade_rule
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.multiorder import from_multiorder
from vmpz.sky.skymap import SkyMap

__all__ = [
    "MAX_CELLS",
    "MapTable",
    "bands_of",
    "identity",
    "map_table",
    "read_fits",
    "rule_of",
    "values_of",
    "words_of",
]

FULL_SKY_ORDER = 10
"""Deepest order of a full-sky table that is read (12.6 million cells)."""
MAX_CELLS = 1 << 28
"""Largest number of cells that a multi-order map may unfold to."""


@dataclass(frozen=True)
class MapTable:
    """The HEALPix table of a file: unit, columns, name of the index column ('' = full sky), names of the values."""

    unit: Hdu
    table: Table
    index: str
    columns: tuple[str, ...]
    words: Mapping[str, Scalar]
    token: str
    """What the file says it holds, in the words of file names."""
    moc_order: int | None = None
    """Order of the plain MOC in front of a weighted one."""

    @property
    def ordering(self) -> str:
        """NESTED, RING, NUNIQ or RANGE."""
        if self.index == "RANGE":
            return "RANGE"
        return ordering_of(self.unit) if self.index != "UNIQ" else "NUNIQ"

    @property
    def order(self) -> int:
        """Order of NSIDE."""
        return order_of(self.unit)


def read_fits(path: Path, band: str | None = None) -> Product:
    """The product in a FITS file: a partial HEALPix table, a weighted or plain MOC, or a small full-sky map.

    Parameters
    ----------
    path : Path
    band : str, optional
        Which map to read of a file that holds several bands; of no effect on any other.

    Raises
    ------
    InputError
        The file does not hold what it must; the message names file, HDU and keyword or column. Or it holds several
        bands and none of them was named.
    """
    with open_fits(str(path)) as file:
        found = map_table(file, band)
    return _product(path, found)


def bands_of(file: FitsFile) -> tuple[str, ...]:
    """The bands of a file that holds one map a band, as tables or as columns; none for any other file."""
    stated = decode(str(file.hdus[0].header.get("FILTLST", "-1")).strip())
    if stated == "-1":
        return ()
    bands, tables = stated.split(","), _tables(file)
    columns = [name for name in tables[0].header["TTYPE*"].values() if name != "PIXEL"] if tables else []
    found = bands in ([decode(unit.name) for unit in tables], [decode(str(name)) for name in columns])
    return tuple(bands) if found else ()


def map_table(file: FitsFile, band: str | None = None) -> MapTable:
    """The first HEALPix table of a file that holds values, else a plain MOC; of several bands, that of the one named.

    Raises
    ------
    InputError
        There is none, or a file of several bands has not this one.
    """
    bands = bands_of(file)
    if bands:
        return _band_table(file, bands, band)
    tables = _tables(file)
    plain = [
        unit
        for unit in tables
        if unit.cards.integer("TFIELDS") == 1 and unit.header.get("PIXTYPE") != "HEALPIX"
    ]
    valued = [unit for unit in tables if unit not in plain]
    if not tables:
        raise InputError(
            f"{file.location}: must hold a HEALPix table, found no binary table in {len(file.hdus)} HDUs"
        )
    unit = (valued or plain)[0]
    table = _as_moc(read_table(file, unit), unit)
    moc_order = _moc_order(plain[0]) if valued and plain else None
    words = words_of(file.hdus[0].header) | words_of(unit.header)
    if not valued and "NSIDE_WK" in words:
        raise InputError(
            f"{file.location}: the table of values must follow the MOC of a product, found none: the file is cut"
        )
    index = _index_column(table, unit)
    return MapTable(unit, table, index, _value_columns(table, index), words, unit.name, moc_order)


def _tables(file: FitsFile) -> list[Hdu]:
    return [unit for unit in file.hdus if unit.header.get("XTENSION") == "BINTABLE"]


def _band_table(file: FitsFile, bands: tuple[str, ...], band: str | None) -> MapTable:
    """The map of one band, as if it stood alone."""
    if band not in bands:
        raise InputError(
            f"{file.location}: holds the bands {', '.join(bands)}, one of which must be named "
            f"(`vmpz convert IN OUT --band {bands[0]}`, `vmpz.io.read(path, band={bands[0]!r})`); "
            f"found {band or 'none'}"
        )
    tables, words = _tables(file), words_of(file.hdus[0].header)
    unit = tables[bands.index(band)] if decode(tables[0].name) == bands[0] else tables[0]
    if decode(unit.name) == band:
        table = read_table(file, unit)
        words = {name: value for name, value in words.items() if not name.startswith("DATE-")}
        words |= words_of(unit.header)
        return MapTable(unit, table, "PIXEL", _value_columns(table, "PIXEL"), words, file.hdus[0].name)
    name = encode(band)
    both = read_table(file, unit, ("PIXEL", name))
    some = ~np.isnan(with_gaps(both[name], None))
    alone = Table(
        {"PIXEL": both["PIXEL"][some], "WEIGHT": both[name][some]}, {"WEIGHT": both.units[name]}, both.where
    )
    words |= words_of(unit.header) | {"FILTER": band, "MASKBAND": band, "FILTLST": "-1"}
    return MapTable(unit, alone, "PIXEL", ("WEIGHT",), words, unit.name)


def _as_moc(table: Table, unit: Hdu) -> Table:
    """The only column of a plain MOC under the name of its numbering; MOC 1 leaves its name free (NPIX...)."""
    role = {"NUNIQ": "UNIQ", "RANGE": "RANGE"}.get(str(unit.header.get("ORDERING", "")).upper())
    if role is None or len(table.columns) != 1:
        return table
    (numbers,) = table.columns.values()
    return Table({role: numbers}, {role: ""}, table.where)


def _index_column(table: Table, unit: Hdu) -> str:
    for name in ("PIXEL", "UNIQ", "RANGE"):
        if name in table:
            return name
    if unit.header.get("INDXSCHM") == "IMPLICIT" or unit.header.get("OBJECT") == "FULLSKY":
        return ""
    raise InputError(
        f"{unit.where}: a column PIXEL or UNIQ must be present, found {', '.join(table.columns)}"
    )


def _value_columns(table: Table, index: str) -> tuple[str, ...]:
    """Names of the columns of numbers, WEIGHT first."""
    names = [
        name for name, values in table.columns.items() if name.upper() != index and values.dtype.kind in "iuf"
    ]
    return tuple(sorted(names, key=lambda name: name.upper() != "WEIGHT"))


def _moc_order(unit: Hdu) -> int | None:
    for name in ("MOCORD_S", "MOCORDER"):
        if name in unit.cards:
            return unit.cards.integer(name)
    return None


def words_of(header: Mapping[str, Any]) -> dict[str, Scalar]:
    """Keywords of a header that the package knows, in its types; what cannot be brought to its type is left out."""
    found: dict[str, Scalar] = {}
    for name in dict.fromkeys(header):
        row = keyword(name)
        value = None if row is None else _converted(row, header[name])
        if value is not None:
            found[name] = value
    return found


def _converted(row: Keyword, value: Any) -> Scalar | None:
    try:
        if row.type is str:
            return decode(str(value).strip()) if isinstance(value, str | int | float) else None
        if row.type is bool:
            return value if isinstance(value, bool) else None
        number = row.type(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number == float(value) else None


# -- table to maps --------------------------------------------------------------------------------------------------


def _product(path: Path, found: MapTable) -> Product:
    _must_be_equatorial(found.unit)
    kind, quantity, area, release = identity(path, found.token, found.words, bare=not found.columns)
    words = {name: value for name, value in found.words.items() if name != "COVCONV"}
    words.setdefault("WGTKIND", WEIGHT_KIND.get(kind, "VALUE"))
    words.setdefault("DEGRULE", rule_of(kind, quantity, words))
    try:
        maps = _maps(found, kind, str(found.words.get("COVCONV", "OBSERVED")))
    except (MapMismatchError, ValueError) as error:
        raise InputError(f"{found.unit.where}: {error}") from error
    order = maps["WEIGHT"].order
    unit = "" if not found.columns else found.table.units[found.columns[0]]
    key = key_of(kind, quantity, order, words, area, release)
    return Product(key, maps, None, words, unit)


def identity(
    path: Path, token: str, words: Mapping[str, Scalar], *, bare: bool = False
) -> tuple[str, str, str, str]:
    """Kind, quantity, area and release, from a token, the file name or the keywords; kind 'map' where nothing tells.

    `token` is what the file says it holds, in the words of file names ('' for nothing); `bare` = cells without values.
    """
    name = parse_name(path.name)
    known = kind_of_token(token) or (kind_of_token(name.token) if name else None)
    if known is None and "INFO" in words:
        known = "info", str(words["INFO"])
    if known is None and "DEPTHEST" in words:
        known = "depth", "-"
    kind, quantity = known or ("footprint" if bare else "map", "-")
    return kind, quantity, name.instance if name else path.name.split(".")[0], name.release if name else "-"


def rule_of(kind: str, quantity: str, words: Mapping[str, Scalar]) -> str:
    """The degrade rule of a map that names none."""
    if kind == "info" and quantity in QUANTITIES:
        return degrade_rule(quantity, str(words.get("STATIST", QUANTITIES[quantity].statistic)))
    return DEGRADE_RULE.get(kind, "NONE")


def _must_be_equatorial(unit: Hdu) -> None:
    frame = (unit.cards.optional_text("COORDSYS") or "C").upper()
    if frame in GALACTIC:
        raise InputError(
            f"{unit.where}: COORDSYS must be 'C' (equatorial), found {frame!r}: its cells lie elsewhere"
        )
    if frame not in EQUATORIAL:
        warnings.warn(
            f"{unit.where}: COORDSYS is {frame!r}, not 'C'; read as equatorial, as old software wrote it",
            stacklevel=4,
        )


def _maps(found: MapTable, kind: str, convention: str) -> dict[str, SkyMap]:
    values = _values(found, kind, convention)
    names = {name: "WEIGHT" if place == 0 else name for place, name in enumerate(values)}
    if found.ordering == "RANGE" or not values:
        covered = _plain_moc(found)
        return {"WEIGHT": SkyMap(covered, np.ones(len(covered), np.float32))}
    cells = _cells(found, len(next(iter(values.values()))))
    known = ~np.isnan(values[found.columns[0]]) if values[found.columns[0]].dtype.kind == "f" else None
    if known is not None and not known.all():
        cells, values = cells[known], {name: array[known] for name, array in values.items()}
    if found.ordering == "NUNIQ":
        return {names[name]: _unfolded(found, cells, array) for name, array in values.items()}
    return {names[name]: SkyMap.from_cells(found.order, cells, array) for name, array in values.items()}


def _values(found: MapTable, kind: str, convention: str) -> dict[str, NDArray[Any]]:
    columns = {name: found.table[name].ravel() for name in found.columns}
    bad = found.unit.cards.optional_number("BAD_DATA")
    return values_of(columns, kind, convention, found.unit.where, bad)


def values_of(
    columns: Mapping[str, NDArray[Any]], kind: str, convention: str, where: str, bad: float | None = None
) -> dict[str, NDArray[Any]]:
    """Value columns, WEIGHT first: what is missing (UNSEEN, `bad`) is NaN, coverage is the observed fraction.

    Raises
    ------
    InputError
        The convention does not exist.
    """
    if convention not in ("OBSERVED", "MER"):
        raise InputError(f"{where}: COVCONV must be OBSERVED or MER, found {convention}")
    values = {name: with_gaps(array, bad) for name, array in columns.items()}
    first = next(iter(values), "")
    if values and (kind in COVERAGE_TYPE or convention == "MER"):
        values[first] = from_disk(values[first], convention)
    if values and kind == "depth":
        values[first] = np.where(values[first] > 0, values[first], np.array(np.nan, values[first].dtype))
    return values


def _cells(found: MapTable, rows: int) -> NDArray[np.int64]:
    """Index column as int64: nested cells, or NUNIQ numbers."""
    if found.index == "":
        return _all_cells(found, rows)
    index = found.table[found.index].ravel()
    if index.dtype.kind not in "iu":
        raise InputError(f"{found.unit.where}: column {found.index} must hold integers, found {index.dtype}")
    cells = index.astype(np.int64)
    if found.ordering == "NUNIQ":
        return cells
    limit = hpx.number_of_cells(found.order)
    if cells.size and (cells.min() < 0 or cells.max() >= limit):
        raise InputError(
            f"{found.unit.where}: PIXEL must lie in [0, {limit}), found {cells.min()} to {cells.max()}"
        )
    return hpx.from_ring(cells, found.order) if found.ordering == "RING" else cells


def _all_cells(found: MapTable, rows: int) -> NDArray[np.int64]:
    if found.order > FULL_SKY_ORDER:
        raise InputError(
            f"{found.unit.where}: a full-sky table is read up to order {FULL_SKY_ORDER}, found order {found.order}: "
            "degrade it or write it as a partial table (column PIXEL) first"
        )
    if rows != hpx.number_of_cells(found.order):
        raise InputError(
            f"{found.unit.where}: a full-sky table must hold {hpx.number_of_cells(found.order)} values, found {rows}"
        )
    cells = np.arange(rows, dtype=np.int64)
    return hpx.from_ring(cells, found.order) if found.ordering == "RING" else cells


def _unfolded(found: MapTable, uniq: NDArray[np.int64], values: NDArray[Any]) -> SkyMap:
    orders, _ = hpx.from_uniq(uniq)
    order = max(found.moc_order or 0, int(orders.max(initial=0)))
    if not uniq.size and found.moc_order is None:
        order = found.order
    count = float(np.sum(4.0 ** (order - orders)))
    if count > MAX_CELLS:
        raise InputError(
            f"{found.unit.where}: a multi-order map must unfold to at most {MAX_CELLS} cells, found {count:.3g}"
        )
    return from_multiorder(uniq, values, order)


def _plain_moc(found: MapTable) -> CellSet:
    """Cells of a MOC without values, at its stated order."""
    order = _moc_order(found.unit)
    numbers = found.table[found.index].ravel().astype(np.int64)
    if found.index == "UNIQ":
        cells = CellSet.from_uniq(numbers, order)
    else:
        if order is None or not 0 <= order <= hpx.MAX_ORDER or numbers.size % 2:
            raise InputError(
                f"{found.unit.where}: a MOC of ranges must have MOCORD_S and whole ranges, found {order}"
            )
        shift = 2 * (hpx.MAX_ORDER - order)
        cells = CellSet.from_ranges(order, numbers.reshape(-1, 2) >> shift)
    if len(cells) > MAX_CELLS:
        raise InputError(
            f"{found.unit.where}: a MOC must unfold to at most {MAX_CELLS} cells, found {len(cells)}"
        )
    return cells
