"""Healsparse files (``.hsp``): maps for the software of Rubin and DESC, through the library `healsparse`.

An optional extra (``pip install vmpz[healsparse]``): the library brings GPL packages, so nothing else of the package
knows it, and it is imported where it is used.

A product of one column is a map of its type: float32, float64 for MJD and for the MER convention, int64 for
identities. Cells that are not listed hold the sentinel: UNSEEN for floats, the lowest int64 for integers, so 0 stays a
value. A product of several columns is a map of records with the primary field WEIGHT, the further columns beside it:
a bit mask holds *fractions* of cells, which the library's wide masks (one bit a cell and flag) cannot keep;
``m["BIT07"] > 0`` is the plane that they would hold. The coverage resolution is NSIDE 32, lower where a block would
hold fewer than 256 cells.

The metadata are the keywords that a FITS file of the product would hold (a coverage-type map says COVCONV = 'OBSERVED';
'MER', 1 - observed fraction in float64, is written on request like in the other forms), BUNIT, the key as VMPZKEY, and
as VMPZFLTS the floats, which headers written by the library round to a dozen digits. All of them and every value come
back exactly. The library writes no checksum: a file is checked to be whole, and compressed maps by their own sums.

Maps of other software are read as well: floats, integers, records (primary field first), booleans (a footprint) and
wide masks (a bit mask of whole cells).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.files.fits import open_fits
from vmpz.files.write import write_whole
from vmpz.io.fits import Columns, columns_of
from vmpz.io.labels import as_json, label_words, product_of
from vmpz.io.metadata import decode, encode
from vmpz.io.pixelisation import UNSEEN
from vmpz.io.reading import words_of
from vmpz.parameters import MapParameters
from vmpz.products import Product, ProductKey, Scalar

__all__ = ["read_healsparse", "write_healsparse"]

ROWS = 1 << 20
COVERAGE_ORDER = 5
"""NSIDE 32, as is usual for survey maps."""
SMALLEST_BLOCK = 4
"""Orders between a coverage cell and a cell, at least: 256 cells."""
SENTINEL = {"f": UNSEEN, "i": int(np.iinfo(np.int64).min)}
GZIP_HEAD = b"\x1f\x8b\x08\x00"
"""Beginning of a gzip member without extra fields; its time follows."""
KEY, UNIT, FLOATS = "VMPZKEY", "BUNIT", "VMPZFLTS"


def write_healsparse(product: Product, path: Path, maps: MapParameters) -> None:
    """Write a healsparse file, whole or not at all.

    Parameters
    ----------
    product : Product
    path : Path
    maps : MapParameters
        Convention and zeros of a coverage. The project's keywords are kept whatever `strict_dpdd` says: no published
        product has this form.

    Raises
    ------
    InputError
        The library is not installed, the path has brackets, or a value cannot be written: NaN, a fraction outside
        [0, 1], the sentinel.
    MapMismatchError
        The MER convention is asked of a map that does not list its whole area.
    """
    library = _library(path)
    cells, columns = columns_of(product, maps)
    weight = columns["WEIGHT"]
    sentinel = weight.dtype.type(SENTINEL[weight.dtype.kind])
    if (weight == sentinel).any():
        raise InputError(
            f"{product.key}: WEIGHT must not be {sentinel}, which means no value in healsparse files"
        )
    order = product.key.order
    coverage_order = min(COVERAGE_ORDER, max(order - SMALLEST_BLOCK, 0))
    several = len(columns) > 1
    sparse = library.HealSparseMap.make_empty(
        1 << coverage_order,
        1 << order,
        np.dtype([(name, array.dtype) for name, array in columns.items()]) if several else weight.dtype,
        primary="WEIGHT" if several else None,
        sentinel=sentinel,
        metadata=_metadata(product, maps.coverage_convention),
        cov_pixels=cells.at_order(coverage_order).cells(),
    )
    for start, numbers in cells.blocks(ROWS):
        values = _block(columns, start, start + numbers.size)
        sparse.update_values_pix(numbers, values, check_unique=False)
    with write_whole(path, _verify) as temporary:
        sparse.write(str(temporary))
        _forget_the_clock(temporary)


def read_healsparse(path: Path) -> Product:
    """The product in a healsparse file: that of `write_healsparse`, or the map of other software.

    Raises
    ------
    InputError
        The library is not installed, the path has brackets, or the file is cut or no healsparse map.
    """
    library = _library(path)
    with open_fits(str(path)) as file:
        unit = file.hdu("SPARSE")
        if unit.header.get("PIXTYPE") != "HEALSPARSE":
            raise InputError(f"{unit.where}: PIXTYPE must be HEALSPARSE, found {unit.header.get('PIXTYPE')}")
        words, told = _words(unit.header, unit.where), unit.header
    try:
        sparse = library.HealSparseMap.read(str(path))
        cells = sparse.valid_pixels
        columns = _columns(sparse, cells)
    except Exception as error:  # whatever the library makes of damaged bytes
        raise InputError(f"{path}: must be a healsparse map, found: {error!r}") from error
    order = int(sparse.nside_sparse).bit_length() - 1
    key = ProductKey.parse(decode(str(told[KEY]))) if KEY in told else None
    return product_of(
        path, order, cells.astype(np.int64), columns, words, decode(str(told.get(UNIT, ""))), key
    )


def _library(path: Path) -> Any:
    if set("[(") & set(str(path)):
        raise InputError(
            f"{path}: must have no brackets: a FITS backend of healsparse takes them for commands"
        )
    try:
        import healsparse
    except ImportError as error:
        raise InputError(
            f"{path}: healsparse files need the package healsparse: pip install vmpz[healsparse]"
        ) from error
    return healsparse


def _block(columns: Columns, start: int, stop: int) -> NDArray[Any]:
    """Rows as the library takes them: plain values, or records."""
    if len(columns) == 1:
        return columns["WEIGHT"][start:stop]
    rows = np.empty(stop - start, np.dtype([(name, array.dtype) for name, array in columns.items()]))
    for name, array in columns.items():
        rows[name] = array[start:stop]
    return rows


def _metadata(product: Product, convention: str) -> dict[str, Scalar]:
    """Keywords that a FITS header of any writer holds; floats in full beside them."""
    words = label_words(product, convention)
    shown = {name: encode(value) if isinstance(value, str) else value for name, value in words.items()}
    floats = {name: value for name, value in words.items() if isinstance(value, float)}
    unit: dict[str, Scalar] = {UNIT: encode(product.unit)} if product.unit else {}
    return {**shown, **unit, KEY: encode(product.key.text), FLOATS: encode(as_json(floats))}


def _words(header: Mapping[str, Any], where: str) -> dict[str, Scalar]:
    """Keywords of a header, floats with all their digits where the card beside them still says the same."""
    words = words_of(header)
    try:
        floats = json.loads(decode(str(header.get(FLOATS, "{}"))))
        exact = {
            name: float(value)
            for name, value in floats.items()
            if isinstance(words.get(name), float)
            and np.isclose(float(words[name]), value, rtol=1e-11, atol=0)
        }
    except (ValueError, AttributeError, TypeError) as error:
        raise InputError(f"{where}: {FLOATS} must hold numbers by keyword as JSON, found {error}") from error
    return words | exact


def _columns(sparse: Any, cells: NDArray[np.int64]) -> Columns:
    """Values of the listed cells by column, WEIGHT first."""
    if sparse.is_wide_mask_map:
        return _bits(sparse[cells])
    values = sparse[cells]
    if values.dtype.fields is not None:
        names = [sparse.primary, *(name for name in values.dtype.names if name != sparse.primary)]
        return {"WEIGHT" if name == names[0] else name: _native(values[name]) for name in names}
    return {"WEIGHT": np.ones(cells.size, np.float32) if values.dtype == np.bool_ else _native(values)}


def _native(values: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(values.astype(values.dtype.newbyteorder("="), copy=False))


def _bits(words: NDArray[np.uint8]) -> Columns:
    """A wide mask, uint8 (cells, bytes), as fractions 0 and 1: any bit, then the bits that are set somewhere."""
    columns: Columns = {"WEIGHT": np.ones(len(words), np.float32)}
    for bit in range(8 * words.shape[1]):
        plane = (words[:, bit // 8] >> (bit % 8)) & 1
        if plane.any():
            columns[f"BIT{bit:02d}"] = plane.astype(np.float32)
    return columns


def _forget_the_clock(path: Path) -> None:
    """Zero the times in gzip members of compressed tiles, where the library writes through astropy."""
    with open_fits(str(path)) as file:
        unit = file.hdu("SPARSE")
    if not unit.is_compressed or not unit.cards.text("ZCMPTYPE").startswith("GZIP"):
        return
    rows, width = unit.cards.integer("NAXIS2"), unit.cards.integer("NAXIS1")
    descriptor = ">i8" if "Q" in unit.cards.text("TFORM1") else ">i4"
    with path.open("r+b") as stream:
        stream.seek(unit.data_offset)
        table = np.frombuffer(stream.read(rows * width), descriptor).reshape(rows, -1)
        heap = unit.data_offset + rows * width
        for place in heap + table[:, 1].astype(np.int64):
            stream.seek(place)
            if stream.read(4) == GZIP_HEAD:
                stream.write(bytes(4))


def _verify(path: Path) -> None:
    with open_fits(str(path)) as file:
        file.hdu("SPARSE")
