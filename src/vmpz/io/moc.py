"""Weighted MOC files: writing.

HDU 1 is a plain IVOA MOC 2.0 (`vmpz.io.plainmoc`), so every MOC tool opens the file: the cells that are observed,
flagged, or have a value. HDU 2 is the multi-order map ``UNIQ``, ``WEIGHT`` (and the further columns), sorted
by UNIQ, where siblings are merged that agree in every column; a tolerance applies to maps of one column.
Values are intensive: integral = sum(value * cell area).
"""

from pathlib import Path

import numpy as np

from vmpz.files.write import write_whole
from vmpz.io.fits import Columns, columns_of, forms_of, record_chunks, row_type, split_keywords, verify
from vmpz.io.headers import cards_of, primary_cards, table_cards, write_unit
from vmpz.io.inventory import token_of
from vmpz.io.metadata import degrade_rule_of
from vmpz.io.orders import degraded
from vmpz.io.plainmoc import covered, plain_unit
from vmpz.parameters import MapParameters
from vmpz.products import Product, Scalar
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.multiorder import to_multiorder
from vmpz.sky.skymap import SkyMap

__all__ = ["write_moc"]

AVERAGES = ("COVERAGE", "MEAN", "QUAD", "LOGQUAD", "LOG")
Layout = dict[str, tuple[Scalar, str]]


def write_moc(product: Product, path: Path, maps: MapParameters) -> None:
    """Write a weighted MOC, whole or not at all.

    Parameters
    ----------
    product : Product
    path : Path
    maps : MapParameters
        `moc_order` (the deepest order; a finer map is degraded by its rule), `moc_tolerance`, `moc_numbering` of the
        plain MOC, convention, strictness.

    Raises
    ------
    InputError
        A value or keyword cannot be written.
    MapMismatchError
        The map must be degraded and has no rule for it.
    """
    coarse = maps.moc_order is not None and maps.moc_order < product.key.order
    product = degraded(product, maps.moc_order if coarse else None)
    columns = _multiorder(*columns_of(product, maps), product, maps.moc_tolerance)
    primary, table = split_keywords(product, maps)
    deepest = _deepest(columns, product.key.order)
    layout: Layout = {
        "EXTNAME": (token_of(product.key, "moc"), "what this is"),
        "PIXTYPE": ("HEALPIX", "HEALPix pixels"),
        "ORDERING": ("NUNIQ", "4 * 4**order + cell"),
        "COORDSYS": ("C", "equatorial (ICRS)"),
        "NSIDE": (1 << deepest, "resolution of the deepest cell"),
        "MOCORDER": (deepest, "order of the deepest cell"),
        "INDXSCHM": ("EXPLICIT", "cells are listed"),
        "MOCVERS": ("2.0", "MOC version"),
    }
    cards = table_cards(
        forms_of(columns, product.unit), row_type(columns).itemsize, len(columns["UNIQ"]), layout
    )
    with write_whole(path, verify) as temporary, temporary.open("wb") as stream:
        write_unit(stream, primary_cards(primary))
        write_unit(stream, *plain_unit(covered(product), maps.moc_numbering))
        write_unit(stream, cards + cards_of(table), record_chunks(columns))


def _multiorder(cells: CellSet, columns: Columns, product: Product, tolerance: float) -> Columns:
    """UNIQ and value columns."""
    if len(columns) == 1:
        rule = degrade_rule_of(product)
        listed = SkyMap(cells, columns["WEIGHT"])
        uniq, values = to_multiorder(listed, tolerance if rule in AVERAGES else 0.0, rule)
        return {"UNIQ": uniq, "WEIGHT": values.astype(columns["WEIGHT"].dtype)}
    rows = np.stack([array.view(f"u{array.dtype.itemsize}").astype(np.uint64) for array in columns.values()])
    _, first, group = np.unique(rows, axis=1, return_index=True, return_inverse=True)
    uniq, groups = to_multiorder(SkyMap(cells, group.ravel()))
    return {"UNIQ": uniq, **{name: array[first[groups]] for name, array in columns.items()}}


def _deepest(columns: Columns, order: int) -> int:
    if not len(columns["UNIQ"]):
        return order
    return int(hpx.from_uniq(columns["UNIQ"][-1:])[0][0])
