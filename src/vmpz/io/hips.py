"""HiPS: a map as a folder of square FITS tiles that sky viewers open (IVOA HiPS 1.0).

A HEALPix map in nested order is a HiPS but for the order of its values: a tile is a cell of a coarser order, its pixels
are the cells inside. So values are only moved, never interpolated, and the deepest tiles hold exactly the map. Tiles
are 512 pixels wide for maps of order 12 and deeper and narrower below, where the tiles stay at order 3, as CDS Hipsgen
does. Coarser orders down to 0 are made from the map by the product's own degrade rule, unweighted; a map that cannot be
degraded has its deepest order alone. Pixels of cells that are not listed are NaN, or BLANK in maps of integers.

In a tile the x bits of the cell number run down the rows and the y bits along the columns of the picture, so
``pixels[width - 1 - ix, iy]`` in the order of FITS, where rows go upwards. Every tile has the WCS of its place.

The folder holds ``properties``, ``Moc.fits`` (the listed cells), ``Norder<k>/Dir<d>/Npix<n>.fits``, and ``vmpz.json``
with the key, keywords and unit, from which `read_hips` gives the product back. A HiPS has one value a pixel: of
products of several columns WEIGHT alone is kept. One tile is in memory at a time beside the map.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.files.fits import FitsFile, open_fits
from vmpz.files.hdu import Hdu, check_data_sum, data_sum
from vmpz.files.write import size_of, write_text, write_whole_folder
from vmpz.io.fits import columns_of
from vmpz.io.headers import card, primary_cards, write_unit
from vmpz.io.hipsproperties import properties_of, read_properties, text_of
from vmpz.io.labels import as_json, label_words, product_of
from vmpz.io.metadata import COVERAGE_TYPE, degrade_rule_of, from_disk, to_disk
from vmpz.io.plainmoc import plain_unit
from vmpz.io.rows import RowsFile
from vmpz.parameters import MapParameters
from vmpz.products import Product, ProductKey, Scalar
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.degrading import DEGRADE_RULES, Families

__all__ = ["read_hips", "write_hips", "write_picture"]

BLOCK = 1 << 18
LABEL = "vmpz.json"
BLANK = int(np.iinfo(np.int64).min)
SHALLOWEST = 3
WIDEST = 9
"""Binary logarithm of the largest width of a tile."""

Stream = Iterator[tuple[NDArray[np.int64], NDArray[Any]]]
"""Cells, ascending, and their values, piece by piece."""


@dataclass(frozen=True)
class Pyramid:
    """How a map is cut: order of the deepest tiles, and orders between a tile and its pixels."""

    order: int
    depth: int

    @classmethod
    def of(cls, order: int) -> "Pyramid":
        """That of a map: tiles of 512 pixels, of fewer where they would lie above order 3."""
        deepest = min(order, max(SHALLOWEST, order - WIDEST))
        return cls(deepest, order - deepest)

    @property
    def width(self) -> int:
        """Pixels along a side of a tile."""
        return 1 << self.depth

    @cached_property
    def places(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Row and column of each cell inside a tile, in nested order."""
        _, ix, iy = hpx.faces(np.arange(self.width**2), self.depth)
        return self.width - 1 - ix, iy

    def picture(self, cells: NDArray[np.int64], values: NDArray[Any]) -> NDArray[Any]:
        """Pixels of one tile (rows upwards, big-endian) from the cells that are known in it."""
        blank = BLANK if values.dtype.kind == "i" else np.nan
        pixels = np.full((self.width, self.width), blank, values.dtype.newbyteorder(">"))
        rows, columns = self.places
        inside = cells & (self.width**2 - 1)
        pixels[rows[inside], columns[inside]] = values
        return pixels

    def known(self, pixels: NDArray[Any], blank: int | None) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """The inverse of `picture`: cells inside the tile that have a value, and their values."""
        values = pixels[self.places]
        some = ~np.isnan(values) if values.dtype.kind == "f" else values != blank
        return np.flatnonzero(some), values[some].astype(values.dtype.newbyteorder("="))


# -- writing --------------------------------------------------------------------------------------------------------


def write_hips(product: Product, path: Path, maps: MapParameters) -> None:
    """Write the WEIGHT of a product as a HiPS folder, whole or not at all.

    Parameters
    ----------
    product : Product
    path : Path
        Of the folder. A HiPS that is there is replaced, anything else is left alone.
    maps : MapParameters
        Convention and zeros of a coverage; `strict_dpdd` has no meaning here.

    Raises
    ------
    InputError
        A value or keyword cannot be written, or something else than a HiPS is in the way.
    MapMismatchError
        The MER convention is asked of a map that does not list its whole area.
    """
    cells, columns = columns_of(replace(product, maps={"WEIGHT": product.map}), maps)
    _write(path, product, cells, columns["WEIGHT"], maps.coverage_convention)


def write_picture(file: RowsFile, path: Path, column: str = "WEIGHT") -> None:
    """Write a column of a file of ours as a HiPS folder to look at, whole or not at all.

    Pixels are float32, which every viewer draws (no other type is sure to be): whole numbers are exact up to 2**24.
    Rows of that type are mapped, not loaded: memory is set by the ranges of the cells (16 bytes each) and one tile.
    Coarser orders of a map that cannot be degraded are means.

    Parameters
    ----------
    file : RowsFile
    path : Path
        Of the folder. A HiPS that is there is replaced, anything else is left alone.
    column : str

    Raises
    ------
    InputError
        The file was altered, or something else than a HiPS is in the way.
    """
    records = file.rows().view(file.row_type).ravel()
    cells = CellSet.union(
        CellSet.from_cells(file.key.order, records["PIXEL"][start : start + BLOCK].astype(np.int64))
        for start in range(0, max(records.size, 1), BLOCK)
    )
    is_map = column == "WEIGHT"
    product = Product(file.key, {}, None, file.keywords, file.unit if is_map else "")
    if degrade_rule_of(product) not in DEGRADE_RULES:
        product = replace(product, keywords={**file.keywords, "DEGRULE": "MEAN"})
    values = records[column].astype(">f4", copy=False)
    _write(path, product, cells, values, "OBSERVED", "" if is_map else f"/{column}")


def _write(
    path: Path, product: Product, cells: CellSet, values: NDArray[Any], convention: str, part: str = ""
) -> None:
    """Write listed cells and their values as they stand on disk; `part` tells columns of a product apart."""
    _must_be_replaceable(path)
    words, pyramid = label_words(product, convention), Pyramid.of(product.key.order)
    properties = properties_of(product, words, path, cells, values)
    with write_whole_folder(path, _verify) as folder:
        orders = _write_tiles(folder, product, pyramid, cells, values, convention)
        with (folder / "Moc.fits").open("wb") as stream:
            write_unit(stream, primary_cards({}))
            write_unit(stream, *plain_unit(cells, "RANGE"))
        properties |= {
            "creator_did": properties["creator_did"] + part,
            "hips_order": str(pyramid.order),
            "hips_order_min": str(orders[0]),
            "hips_tile_width": str(pyramid.width),
            "hips_pixel_bitpix": str(_bitpix(values.dtype)),
            "hips_estsize": str(-(-size_of(folder) // 1024)),
        }
        write_text(folder / "properties", text_of(properties))
        write_text(folder / LABEL, _label_text(product, words, len(cells)))


def _must_be_replaceable(path: Path) -> None:
    is_folder = path.is_dir()
    if path.exists() and not (is_folder and ((path / "properties").is_file() or not any(path.iterdir()))):
        what = "another folder" if is_folder else "a file"
        raise InputError(
            f"{path}: what a HiPS replaces must be a HiPS (a folder with properties), found {what}"
        )


def _write_tiles(
    folder: Path, product: Product, pyramid: Pyramid, cells: CellSet, values: NDArray[Any], convention: str
) -> range:
    """Tiles of all orders; which orders these are."""
    on_disk = convention if product.key.kind in COVERAGE_TYPE else "OBSERVED"
    observed, rule = from_disk(values, on_disk), degrade_rule_of(product)
    orders = range(0 if rule in DEGRADE_RULES else pyramid.order, pyramid.order + 1)
    for order in orders:
        stream = _coarser(_pieces(cells, observed), rule, pyramid.order - order, observed.dtype)
        for number, inside, some in _by_tile(stream, pyramid.depth):
            pixels = pyramid.picture(inside, to_disk(some, on_disk))
            place = folder / f"Norder{order}" / f"Dir{number // 10000 * 10000}"
            place.mkdir(parents=True, exist_ok=True)
            with (place / f"Npix{number}.fits").open("wb") as file:
                write_unit(file, _tile_cards(order, number, pixels, product.unit), [pixels])
    return orders


def _pieces(cells: CellSet, values: NDArray[Any]) -> Stream:
    for start, numbers in cells.blocks(BLOCK):
        some = values[start : start + numbers.size]
        yield numbers, some.astype(some.dtype.newbyteorder("="), copy=False)


def _coarser(stream: Stream, rule: str, levels: int, dtype: np.dtype[Any]) -> Stream:
    """The stream of the parents, as `vmpz.io.orders.degraded` makes them."""
    if not levels:
        yield from stream
        return
    families = Families(rule, levels)
    for cells, values in stream:
        parents, coarse = families.add(cells, values)
        yield parents, coarse.astype(dtype)
    parents, coarse = families.finish()
    yield parents, coarse.astype(dtype)


def _by_tile(stream: Stream, depth: int) -> Iterator[tuple[int, NDArray[np.int64], NDArray[Any]]]:
    """The stream cut at the borders of tiles: number, cells and values of one tile after another."""
    held: list[tuple[NDArray[np.int64], NDArray[Any]]] = []
    number = -1
    for cells, values in stream:
        tiles = cells >> (2 * depth)
        bounds = [0, *(np.flatnonzero(tiles[1:] != tiles[:-1]) + 1), cells.size] if cells.size else []
        for start, stop in pairwise(bounds):
            if held and tiles[start] != number:
                yield number, *_joined(held)
                held = []
            number = int(tiles[start])
            held.append((cells[start:stop], values[start:stop]))
    if held:
        yield number, *_joined(held)


def _joined(
    held: Iterable[tuple[NDArray[np.int64], NDArray[Any]]],
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    cells, values = zip(*held, strict=True)
    return np.concatenate(cells), np.concatenate(values)


def _tile_cards(order: int, number: int, pixels: NDArray[Any], unit: str) -> list[str]:
    """Header of a tile: an image with the WCS of its place in the HPX projection (Calabretta & Roukema 2007)."""
    width, face, tx, ty = len(pixels), *(int(part) for part in hpx.faces(number, order))
    side = width << order
    x, y = _FACE_CENTRES[face]
    step = 45.0 / side
    layout: dict[str, Scalar] = {
        "SIMPLE": True,
        "BITPIX": _bitpix(pixels.dtype),
        "NAXIS": 2,
        "NAXIS1": width,
        "NAXIS2": width,
        **({"BLANK": BLANK} if pixels.dtype.kind == "i" else {}),
        **({"BUNIT": unit} if unit else {}),
        "ORDER": order,
        "NPIX": number,
        "CRPIX1": side * (45 - y + x) / 90 - ty * width + 0.5,
        "CRPIX2": width - side * (45 - y - x) / 90 + tx * width + 0.5,
        "CD1_1": -step,
        "CD1_2": -step,
        "CD2_1": step,
        "CD2_2": -step,
        "CTYPE1": "RA---HPX",
        "CTYPE2": "DEC--HPX",
        "CRVAL1": 0.0,
        "CRVAL2": 0.0,
        "PV2_1": 4,
        "PV2_2": 3,
        "RADESYS": "ICRS",
    }
    return [card(name, value) for name, value in layout.items()]


_FACE_CENTRES = (
    *((45 + 90 * k - 360 * (k > 1), 45) for k in range(4)),
    *((90 * k - 360 * (k > 2), 0) for k in range(4)),
    *((45 + 90 * k - 360 * (k > 1), -45) for k in range(4)),
)
"""Middle of each base face in the plane of the projection, deg."""


def _bitpix(dtype: np.dtype[Any]) -> int:
    return 8 * dtype.itemsize * (-1 if dtype.kind == "f" else 1)


def _verify(folder: Path) -> None:
    for path in folder.rglob("*.fits"):
        with open_fits(str(path)) as file:
            for unit in file.hdus:
                file.verify_data(unit)


def _label_text(product: Product, words: dict[str, Scalar], cells: int) -> str:
    told = {"key": product.key.text, "keywords": words, "unit": product.unit, "cells": cells}
    return json.dumps({**told, "sha256": _digest(told)}, indent=1, sort_keys=True) + "\n"


def _digest(told: dict[str, Any]) -> str:
    return hashlib.sha256(as_json(told).encode()).hexdigest()


# -- reading --------------------------------------------------------------------------------------------------------


def read_hips(path: Path) -> Product:
    """The product in a HiPS folder of FITS tiles: that of `write_hips`, or the map in one of other software.

    Parameters
    ----------
    path : Path

    Raises
    ------
    InputError
        It is no HiPS of equatorial FITS images, a tile is cut, altered or not of its width, or cells are missing.
    """
    pyramid = _pyramid_of(path)
    words, unit, key, count = _label(path)
    order = pyramid.order + pyramid.depth
    if key is not None and key.order != order:
        raise InputError(f"{path}: a map of order {key.order} must have tiles of that, found order {order}")
    cells, values = _read_tiles(path, pyramid)
    if count is not None and cells.size != count:
        raise InputError(f"{path}: the tiles must hold {count} cells, found {cells.size}: a tile is missing")
    return product_of(path, order, cells, {"WEIGHT": values}, words, unit, key)


def _pyramid_of(path: Path) -> Pyramid:
    where = path / "properties"
    told = read_properties(where)
    frame = told.get("hips_frame", "")
    if frame != "equatorial" or "fits" not in told.get("hips_tile_format", "").split():
        raise InputError(
            f"{where}: hips_frame must be equatorial and hips_tile_format fits, found {frame or 'none'}, "
            f"{told.get('hips_tile_format', 'none')}"
        )
    try:
        order, width = int(told["hips_order"]), int(told.get("hips_tile_width", 1 << WIDEST))
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{where}: hips_order and hips_tile_width must be whole numbers, found {error}"
        ) from error
    depth = width.bit_length() - 1
    if order < 0 or width != 1 << max(depth, 0) or order + depth > hpx.MAX_ORDER:
        raise InputError(
            f"{where}: hips_tile_width must be a power of two and pixels at most of order {hpx.MAX_ORDER}, "
            f"found order {order}, width {width}"
        )
    return Pyramid(order, depth)


def _label(path: Path) -> tuple[dict[str, Scalar], str, ProductKey | None, int | None]:
    """Keywords, unit, key and number of cells that a HiPS of ours states."""
    where = path / LABEL
    if not where.exists():
        return {}, "", None, None
    try:
        told = json.loads(where.read_text("utf-8"))
        stated = told.pop("sha256")
        if stated != _digest(told):
            raise ValueError("that it was altered")
        return told["keywords"], told["unit"], ProductKey.parse(told["key"]), told["cells"]
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise InputError(f"{where}: must be the label of a HiPS, found {error}") from error


def _read_tiles(path: Path, pyramid: Pyramid) -> tuple[NDArray[np.int64], NDArray[Any]]:
    files: dict[int, Path] = {}
    for file in sorted((path / f"Norder{pyramid.order}").glob("Dir*/Npix*.fits")):
        match = re.fullmatch(r"Npix(\d{1,18})\.fits", file.name)
        if match is None or int(match[1]) >= hpx.number_of_cells(pyramid.order):
            raise InputError(f"{file}: must be a tile of order {pyramid.order}, found another name")
        if int(match[1]) in files:
            raise InputError(f"{file}: a tile must stand once, found {files[int(match[1])]} beside it")
        files[int(match[1])] = file
    held = [(np.empty(0, np.int64), np.empty(0, np.float32))] if not files else []
    for number, file in sorted(files.items()):
        with open_fits(str(file)) as opened:
            unit = opened.image()
            inside, values = pyramid.known(_pixels(opened, unit, pyramid.width), _blank(unit))
        held.append(((number << (2 * pyramid.depth)) + inside, values))
    return _joined(held)


def _pixels(file: FitsFile, unit: Hdu, width: int) -> NDArray[Any]:
    """Stored pixels of a tile, compared with their checksum."""
    scale = (unit.cards.optional_number("BSCALE") or 1.0, unit.cards.optional_number("BZERO") or 0.0)
    if unit.is_compressed or unit.shape != (width, width) or scale != (1.0, 0.0):
        raise InputError(
            f"{unit.where}: a tile must be an image of {width} x {width} pixels without scaling, found {unit.shape}"
        )
    stream = file.stream()
    stream.seek(unit.data_offset)
    data = stream.read(unit.padded_bytes)
    if unit.datasum is not None:
        check_data_sum(data_sum(data), unit.datasum, unit.where)
    stored = np.dtype(
        f">{'f' if unit.bitpix < 0 else 'i' if unit.bitpix > 8 else 'u'}{abs(unit.bitpix) // 8}"
    )
    return np.frombuffer(data, stored, width**2).reshape(width, width)


def _blank(unit: Hdu) -> int | None:
    return unit.cards.integer("BLANK") if "BLANK" in unit.cards else None
