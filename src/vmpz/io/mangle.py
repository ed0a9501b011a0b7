"""Mangle polygon files: writing.

The map becomes cells of mixed orders, each the quadrilateral of the four great circles through its corners; `str`
states the area of the quadrilateral, not that of the cell. Edges of HEALPix cells are no great circles, so where a
large cell meets small ones their quadrilaterals leave gaps. Siblings of one value therefore merge up to order 12 alone:
the area of a map is then right to 1e-6 (astride ``|sin(dec)| = 2/3`` to 2e-6 for a map of 0.3 degrees radius, to 1e-5
for one of 0.05), and fewer than 1 of 1e4 positions take the weight of a neighbour, wherever ``|dec| < 85`` degrees
(measured; the few cells that touch a pole lose up to 10 % of their area). A map of a coarser order is written cell by
cell, and is as wrong as its cells are large (1e-5 of a cell's area, rms, at order 10).

The weight of a coverage-type product is the observed fraction, in the MER convention 1 - it; other values stand as they
are; of an information map of several columns WEIGHT alone is kept. After the last polygon, where mangle and pymangle no
longer read, stand key, keywords and unit of the product (`vmpz.io.polygonfile`), unless files must hold the published
form alone (`strict_dpdd`).
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.files.write import write_whole
from vmpz.io.fits import columns_of
from vmpz.io.inventory import kind_of
from vmpz.io.labels import as_json, label_words
from vmpz.io.metadata import BOUNDED, COVERAGE_TYPE, encode
from vmpz.io.orders import degraded
from vmpz.io.polygonfile import MARK, PolygonFile
from vmpz.kernels import polygontext
from vmpz.kernels.decimals import LONGEST
from vmpz.kernels.outlines import quadrilaterals
from vmpz.parameters import MangleParameters, MapParameters
from vmpz.products import Product
from vmpz.sky import hpx
from vmpz.sky.covers import unit_vectors
from vmpz.sky.multiorder import to_multiorder
from vmpz.sky.skymap import SkyMap

__all__ = ["COARSEST", "write_mangle"]

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

COARSEST = 12
"""Order of the largest polygons of a finer map."""
ROWS = 1 << 14
LARGEST_WHOLE = 1 << 53


def write_mangle(product: Product, path: Path, maps: MapParameters, mangle: MangleParameters) -> None:
    """Write a mangle polygon file, whole or not at all.

    Parameters
    ----------
    product : Product
        Of one map.
    path : Path
    maps : MapParameters
        Zeros, strictness.
    mangle : MangleParameters
        Deepest order (a finer map is degraded by its rule), least weight, step of the weights, convention.

    Raises
    ------
    InputError
        The product has no such form, or a value or keyword cannot be written.
    MapMismatchError
        The map must be degraded and has no rule for it, or does not list its whole area for the MER convention.
    """
    kind_of(product.key.kind, "mangle")
    _must_be_told(product, maps, mangle)
    coarse = mangle.max_order is not None and mangle.max_order < product.key.order
    product = _in_steps(degraded(product, mangle.max_order if coarse else None), mangle.weight_step)
    uniq, weights = _polygons(product, maps, mangle)
    with write_whole(path, _verify) as temporary, temporary.open("wb") as stream:
        stream.write(f"{len(uniq)} polygons\npixelization 0s\nsnapped\nbalkanized\n".encode())
        for text in _blocks(uniq, weights):
            stream.write(text)
        if not maps.strict_dpdd:
            stream.write(_notes(product, mangle.convention, weights.dtype))


def _must_be_told(product: Product, maps: MapParameters, mangle: MangleParameters) -> None:
    """In the MER convention nothing may be left out: neither polygons nor the word that names it."""
    if mangle.convention != "MER" or product.key.kind not in COVERAGE_TYPE:
        return
    if maps.strict_dpdd:
        raise InputError(
            f"{product.key}: strict_dpdd leaves out COVCONV, so the convention must be OBSERVED, found MER"
        )
    if mangle.weight_min > 0.0:
        raise InputError(
            f"{product.key}: in the MER convention every polygon is written, so weight_min must be 0, "
            f"found {mangle.weight_min}"
        )


def _in_steps(product: Product, step: float) -> Product:
    """Values rounded to multiples of a step; a fraction stays in [0, 1]."""
    if step == 0.0:
        return product
    one = product.map
    values = np.rint(one.values.astype(np.float64) / step) * step
    if product.key.kind in BOUNDED:
        values = np.minimum(values, 1.0)
    return replace(
        product, maps={**product.maps, "WEIGHT": SkyMap(one.cells, values.astype(one.values.dtype))}
    )


def _polygons(
    product: Product, maps: MapParameters, mangle: MangleParameters
) -> tuple[IntArray, NDArray[Any]]:
    """NUNIQ cells and weights as they stand on disk."""
    cells, columns = columns_of(product, maps.model_copy(update={"coverage_convention": mangle.convention}))
    if len(columns) > 1 and product.key.kind not in ("info", "visibility"):
        raise InputError(
            f"{product.key}: a polygon holds one weight, so a product must have one column, found {', '.join(columns)}"
        )
    weights = columns["WEIGHT"]
    if weights.dtype.kind == "i" and np.any(np.abs(weights) > LARGEST_WHOLE):
        raise InputError(f"{product.key}: whole numbers must lie below 2**53 to be weights")
    uniq, weights = _divided(*to_multiorder(SkyMap(cells, weights)), min(COARSEST, product.key.order))
    if mangle.weight_min > 0.0:
        uniq, weights = uniq[weights >= mangle.weight_min], weights[weights >= mangle.weight_min]
    return uniq, weights


def _divided(uniq: IntArray, values: NDArray[Any], order: int) -> tuple[IntArray, NDArray[Any]]:
    """The same with cells that are coarser than an order divided down to it."""
    orders, _ = hpx.from_uniq(uniq)
    depth = np.maximum(order - orders, 0)
    many = np.int64(1) << (2 * depth)
    whole = np.repeat(uniq << (2 * depth), many)
    part = np.arange(whole.size) - np.repeat(np.cumsum(many) - many, many)
    place = np.argsort(whole + part, kind="stable")
    return (whole + part)[place], np.repeat(values, many)[place]


def _blocks(uniq: IntArray, weights: NDArray[Any]) -> Iterator[memoryview]:
    """Text of the polygons; a block is valid until the next."""
    different, row = np.unique(weights, return_inverse=True)
    spelled = np.array([_spelled(one) for one in different.tolist()], f"S{LONGEST}")
    letters = spelled.view(np.uint8).reshape(len(spelled), LONGEST)
    orders, cells = hpx.from_uniq(uniq)
    out = np.empty(min(len(uniq), ROWS) * polygontext.BYTES, np.uint8)
    for begin in range(0, len(uniq), ROWS):
        part = slice(begin, begin + ROWS)
        normals, areas = quadrilaterals(_corners(cells[part], orders[part]))
        size = polygontext.put_quadrilaterals(out, begin, letters, row[part], areas, normals)
        yield out[:size].data


def _spelled(weight: float) -> bytes:
    return b"%d" % weight if isinstance(weight, int) else b"%.17g" % weight


def _corners(cells: IntArray, orders: IntArray) -> FloatArray:
    """Unit vectors (n, 4, 3) of the corners of cells of mixed orders, counter-clockwise."""
    corners = np.empty((len(cells), 4, 3))
    for order in np.unique(orders).tolist():
        here = orders == order
        corners[here] = unit_vectors(*hpx.vertices(cells[here], order))
    return corners


def _notes(product: Product, convention: str, kind: np.dtype[Any]) -> bytes:
    """Key, keywords and unit of the product, and the type of its values, by line."""
    told = {
        "key": product.key.text,
        "keywords": as_json(label_words(product, convention)),
        "unit": encode(product.unit),
        "type": f"{kind.kind}{kind.itemsize}",
    }
    return "".join(f"{MARK}{name} {text}".rstrip() + "\n" for name, text in told.items()).encode("ascii")


def _verify(path: Path) -> None:
    """Read a file back.

    Raises
    ------
    InputError
        It is not whole.
    """
    with PolygonFile(path) as file:
        for _ in file.blocks():
            pass
