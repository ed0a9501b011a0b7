"""Partial HEALPix files: writing.

HDU 0 is empty and holds the published keywords; HDU 1 is a binary table of ``PIXEL`` (int64), ``WEIGHT``
(float32; int64 for identities, float64 for MJD and for the MER convention) and further value columns, NESTED,
ascending, with the layout and the project's keywords. Values go straight from the map to disk in big-endian
records, block by block.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError, MapMismatchError
from vmpz.files.fits import open_fits
from vmpz.files.write import write_whole
from vmpz.io.headers import cards_of, primary_cards, table_cards, write_unit
from vmpz.io.inventory import token_of
from vmpz.io.metadata import BOUNDED, COVERAGE_TYPE, FRACTIONS, OWN, PRIMARY, keyword, keywords_of, to_disk
from vmpz.parameters import MapParameters
from vmpz.products import Product, ProductKey, Scalar
from vmpz.sky.cells import CellSet
from vmpz.sky.hpx import cell_area_deg2

__all__ = [
    "Columns",
    "cell_chunks",
    "columns_of",
    "must_be_values",
    "must_be_whole",
    "partial_layout",
    "record_chunks",
    "split_keywords",
    "verify",
    "write_partial",
]

ROWS = 1 << 16
FORMS = {"i8": "K", "f4": "E", "f8": "D"}
AREA_TOLERANCE = 1e-6

Columns = dict[str, NDArray[Any]]


def write_partial(product: Product, path: Path, maps: MapParameters) -> None:
    """Write a partial HEALPix file, whole or not at all.

    Parameters
    ----------
    product : Product
        With maps; cells of value 0 of coverage-type products are left out unless `maps.write_zeros`.
    path : Path
    maps : MapParameters
        Convention, zeros, strictness.

    Raises
    ------
    InputError
        A value cannot be written: NaN, a fraction outside [0, 1], a keyword that is not in the table.
    """
    cells, values = columns_of(product, maps)
    columns: Columns = {"PIXEL": np.empty(0, np.int64), **values}
    primary, table = split_keywords(product, maps)
    layout = partial_layout(product.key)
    cards = table_cards(forms_of(columns, product.unit), row_type(columns).itemsize, len(cells), layout)
    with write_whole(path, verify) as temporary, temporary.open("wb") as stream:
        write_unit(stream, primary_cards(primary))
        write_unit(stream, cards + cards_of(table), cell_chunks(cells, columns))


def partial_layout(key: ProductKey) -> dict[str, tuple[Scalar, str]]:
    """Keywords of the layout of a partial HEALPix table, with their comments."""
    return {
        "EXTNAME": (token_of(key, "healpix"), "what this is"),
        "PIXTYPE": ("HEALPIX", "HEALPix pixels"),
        "ORDERING": ("NESTED", "numbering"),
        "COORDSYS": ("C", "equatorial (ICRS)"),
        "NSIDE": (1 << key.order, "resolution"),
        "INDXSCHM": ("EXPLICIT", "pixel numbers are listed"),
        "OBJECT": ("PARTIAL", "part of the sky"),
    }


def cell_chunks(cells: CellSet, columns: Columns) -> Iterator[NDArray[Any]]:
    """Rows as records; cell numbers are unfolded from their ranges block by block."""
    buffer = np.empty(min(len(cells), ROWS), row_type(columns))
    for start, numbers in cells.blocks(ROWS):
        block = buffer[: numbers.size]
        block["PIXEL"] = numbers
        for name in list(columns)[1:]:
            block[name] = columns[name][start : start + numbers.size]
        yield block


def columns_of(product: Product, maps: MapParameters) -> tuple[CellSet, Columns]:
    """Listed cells and values of a product as they stand on disk: types, convention, zeros.

    Raises
    ------
    InputError
        A value is NaN or infinite, or a fraction lies outside [0, 1].
    MapMismatchError
        Columns differ in cells, or the MER convention is asked of a map that does not list its whole area.
    """
    if "WEIGHT" not in product.maps:
        raise InputError(f"{product.key}: a product with maps must have a map WEIGHT")
    cells = product.map.cells
    if any(one.cells != cells for one in product.maps.values()) or cells.order != product.key.order:
        raise MapMismatchError(
            f"{product.key}: all maps must list the same cells at order {product.key.order}"
        )
    values = {name: _disk_values(name, one.values, product) for name, one in product.maps.items()}
    if product.key.kind not in COVERAGE_TYPE:
        return cells, values
    if maps.coverage_convention == "MER":
        must_be_whole(product, len(product.map))
    elif not maps.write_zeros and not values["WEIGHT"].all():
        some = values["WEIGHT"] > 0
        cells = CellSet.from_cells(cells.order, cells.cells()[some])
        values = {name: array[some] for name, array in values.items()}
    return cells, {**values, "WEIGHT": to_disk(values["WEIGHT"], maps.coverage_convention)}


def _disk_values(name: str, values: NDArray[Any], product: Product) -> NDArray[Any]:
    """Values in their type on disk."""
    if values.dtype.kind in "iub":
        return values.astype(np.int64, copy=False)
    exact = values.dtype == np.float64 and product.key.quantity == "MJD"
    with np.errstate(over="ignore"):
        stored = values if exact else values.astype(np.float32, copy=False)
    if name == "WEIGHT":
        must_be_values(stored, product)
    return stored


def must_be_values(weight: NDArray[Any], product: Product) -> tuple[float, float]:
    """Values of WEIGHT are finite, fractions in [0, 1], depths positive: what means missing to a reader is left out.

    Returns
    -------
    tuple of float
        Smallest and largest value; inf and -inf of none.

    Raises
    ------
    InputError
        They are not.
    """
    low, high = (float(weight.min()), float(weight.max())) if weight.size else (np.inf, -np.inf)
    if weight.size and not (np.isfinite(low) and np.isfinite(high)):
        raise InputError(f"{product.key}: WEIGHT must be finite; unmeasured cells are left out, never NaN")
    kind = product.key.kind
    if kind in FRACTIONS and (low < 0 or (high > 1 and kind in BOUNDED)):
        within = "lie in [0, 1]" if kind in BOUNDED else "not be negative"
        raise InputError(f"{product.key}: a fraction must {within}, found {low} to {high}")
    if kind == "depth" and low <= 0:
        raise InputError(
            f"{product.key}: a depth must be positive, found {low}; unmeasured cells are left out"
        )
    return low, high


def must_be_whole(product: Product, rows: int) -> None:
    """In the MER convention absence would mean observed, so every cell of the area, or its parent, must be listed.

    Raises
    ------
    MapMismatchError
        Fewer are.
    """
    area, listed = product.keywords.get("TILEAREA"), rows * cell_area_deg2(product.key.order)
    if area is not None and float(area) - listed > AREA_TOLERANCE * float(area):
        raise MapMismatchError(
            f"{product.key}: the MER convention must list every cell of the area, {area} deg2; found {listed} deg2 "
            "([maps] write_zeros = true lists all)"
        )


def split_keywords(product: Product, maps: MapParameters) -> tuple[dict[str, Scalar], dict[str, Scalar]]:
    """Keywords of the primary header and of the table.

    Raises
    ------
    InputError
        The MER convention is asked for without the keyword that names it.
    """
    if maps.strict_dpdd and maps.coverage_convention == "MER" and product.key.kind in COVERAGE_TYPE:
        raise InputError(
            f"{product.key}: strict_dpdd leaves out COVCONV, so the convention must be OBSERVED, found MER"
        )
    words = keywords_of(product, maps.coverage_convention)
    first = {name: value for name, value in words.items() if keyword(name) in PRIMARY}
    left_out = OWN if maps.strict_dpdd else frozenset()
    rest = {
        name: value for name, value in words.items() if name not in first and _row_name(name) not in left_out
    }
    return first, rest


def _row_name(name: str) -> str:
    row = keyword(name)
    return "" if row is None else row.name


def row_type(columns: Mapping[str, NDArray[Any]]) -> np.dtype[Any]:
    """The record of a row, big-endian."""
    return np.dtype([(name, array.dtype.newbyteorder(">")) for name, array in columns.items()])


def forms_of(columns: Mapping[str, NDArray[Any]], unit: str) -> dict[str, tuple[str, str]]:
    """TFORM and TUNIT of every column; the unit is that of WEIGHT."""
    return {
        name: (FORMS[f"{array.dtype.kind}{array.dtype.itemsize}"], unit if name == "WEIGHT" else "")
        for name, array in columns.items()
    }


def record_chunks(columns: Mapping[str, NDArray[Any]]) -> Iterator[NDArray[Any]]:
    """Rows as big-endian records, in blocks that stay in the cache; a block is valid until the next."""
    rows = len(next(iter(columns.values())))
    buffer = np.empty(min(rows, ROWS), row_type(columns))
    for start in range(0, rows, ROWS):
        block = buffer[: min(ROWS, rows - start)]
        for name, array in columns.items():
            block[name] = array[start : start + ROWS]
        yield block


def verify(path: Path) -> None:
    """Read a file back: its structure must be whole and its checksums must hold.

    Raises
    ------
    InputError
        They are not.
    """
    with open_fits(str(path)) as file:
        for unit in file.hdus:
            file.verify_data(unit)
