"""Plain IVOA MOCs: the cells of a product without their values.

Alone (``.plain.moc.fits``, ``.moc.json``, ``.moc.txt``) or as HDU 1 of a weighted MOC. In FITS either ranges at
order 29 (MOC 2.0) or NUNIQ cells, which readers of MOC 1 want too; the text forms are those of the standard (ASCII)
and of Aladin (JSON). A plain MOC is read as a footprint.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from mocpy import MOC
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.files.write import write_text, write_whole
from vmpz.io.fits import Columns, record_chunks, verify
from vmpz.io.headers import primary_cards, table_cards, write_unit
from vmpz.io.metadata import FRACTIONS, key_of
from vmpz.io.reading import MAX_CELLS, read_fits
from vmpz.parameters import MapParameters
from vmpz.products import Product, Scalar
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap

__all__ = ["covered", "plain_unit", "read_plain_moc", "write_plain_moc"]

WIDTH = 80
TEXT = {".json": "json", ".txt": "ascii"}
Layout = dict[str, tuple[Scalar, str]]


def covered(product: Product, order: int | None = None) -> CellSet:
    """Cells that are observed (whatever the convention on disk), flagged, or have a value.

    Parameters
    ----------
    product : Product
    order : int, optional
        A coarser one keeps every cell that is covered in part.
    """
    cells = product.map.cells
    if product.key.kind in FRACTIONS:
        cells = product.map.where(product.map.values.astype(np.float32) > 0).cells
    return cells if order is None or order >= cells.order else cells.at_order(order)


def plain_unit(cells: CellSet, numbering: str) -> tuple[list[str], Iterable[NDArray[Any]]]:
    """Cards and rows of the HDU of a plain MOC, numbered as 'RANGE' or 'NUNIQ'."""
    columns = _numbers(cells, numbering)
    layout: Layout = {
        "EXTNAME": ("MOC", "coverage without values"),
        "MOCVERS": ("2.0", "MOC version"),
        "MOCDIM": ("SPACE", "dimension"),
        "ORDERING": _ORDERING[numbering],
        "COORDSYS": ("C", "equatorial (ICRS)"),
        "MOCORD_S": (cells.order, "resolution"),
        **({"MOCORDER": (cells.order, "resolution, as MOC 1 names it")} if numbering == "NUNIQ" else {}),
        "MOCTOOL": ("vmpz", "software"),
    }
    ((name, numbers),) = columns.items()
    return table_cards({name: ("1K", "")}, 8, len(numbers), layout), record_chunks(columns)


_ORDERING: dict[str, tuple[Scalar, str]] = {
    "RANGE": ("RANGE", "half-open ranges at order 29"),
    "NUNIQ": ("NUNIQ", "4 * 4**order + cell"),
}


def _numbers(cells: CellSet, numbering: str) -> Columns:
    if numbering == "NUNIQ":
        return {"UNIQ": np.sort(np.asarray(cells.to_moc().uniq_hpx)).astype(np.int64)}
    return {"RANGE": cells.ranges.ravel() << (2 * (hpx.MAX_ORDER - cells.order))}


def write_plain_moc(product: Product, path: Path, maps: MapParameters) -> None:
    """Write the cells of a product as a MOC alone, whole or not at all; FITS, JSON or ASCII as the name ends.

    Parameters
    ----------
    product : Product
    path : Path
    maps : MapParameters
        `moc_order`, the deepest order, and `moc_numbering`.
    """
    cells = covered(product, maps.moc_order)
    if path.suffix in TEXT:
        write_text(path, cells.to_moc().to_string(TEXT[path.suffix], fold=WIDTH).rstrip("\n") + "\n")
        return
    with write_whole(path, verify) as temporary, temporary.open("wb") as stream:
        write_unit(stream, primary_cards({}))
        write_unit(stream, *plain_unit(cells, maps.moc_numbering))


def read_plain_moc(path: Path) -> Product:
    """The footprint that a plain MOC in any of its forms is.

    Raises
    ------
    InputError
        It is no MOC, names a cell that does not exist, or unfolds to too many cells.
    """
    if path.suffix not in TEXT:
        return read_fits(path)
    cells = _from_json(path) if TEXT[path.suffix] == "json" else _from_ascii(path)
    if len(cells) > MAX_CELLS:
        raise InputError(f"{path}: a MOC must unfold to at most {MAX_CELLS} cells, found {len(cells)}")
    key = key_of("footprint", "-", cells.order, {}, path.name.split(".")[0], "-")
    words: dict[str, Scalar] = {"WGTKIND": "OBSFRAC", "DEGRULE": "COVERAGE"}
    return Product(key, {"WEIGHT": SkyMap(cells, np.ones(len(cells), np.float32))}, None, words)


def _from_ascii(path: Path) -> CellSet:
    text = _text(path)
    deepest = max((int(order) for order in re.findall(r"(\d{1,9})\s*/", text)), default=0)
    try:
        if deepest > hpx.MAX_ORDER:
            raise ValueError(f"order {deepest}")
        return CellSet.from_moc(MOC.from_str(text))
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: must be a MOC in ASCII, found {str(error)[:200]}") from error


def _from_json(path: Path) -> CellSet:
    """Checked here: mocpy takes cells that do not exist for others."""
    try:
        content = json.loads(_text(path))
        orders = {int(order): np.array(cells, np.object_) for order, cells in content.items()}
    except (ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: must be a MOC in JSON, found {error}") from error
    for order, cells in orders.items():
        known = 0 <= order <= hpx.MAX_ORDER and cells.ndim == 1
        if not known or not all(
            type(cell) is int and 0 <= cell < hpx.number_of_cells(order) for cell in cells
        ):
            raise InputError(
                f"{path}: must hold lists of cells by order, found one that does not exist at {order}"
            )
    uniq = [hpx.to_uniq(cells.astype(np.int64), order) for order, cells in orders.items()]
    return CellSet.from_uniq(np.concatenate([*uniq, np.empty(0, np.int64)]), max(orders, default=0))


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: must be ASCII text, found {error.reason} at {error.start}") from error
