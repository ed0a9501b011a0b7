"""Mangle polygon files: reading.

A file whose polygons are the quadrilaterals of HEALPix cells (those of the package are) gives back these cells, so a
map survives to the last bit. Any other mask is laid on the cells of one order (`vmpz.io.polygons`): the order asked
for, else 14, or the deepest at which its area takes at most 2**24 cells. There a weight is an observed fraction, and
the value of a cell the sum of weight times covered share; in a file that says it holds something else, a depth for
instance, the mean weight of what is covered.

What a file holds is told by its notes (`vmpz.io.polygonfile`), else by its descriptor, else by its name; where nothing
tells, weights of 1 are a footprint, fractions a coverage, and others a map of no kind. Without a word on the convention
a weight is an observed fraction, as mangle means it.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.io.labels import product_of
from vmpz.io.metadata import BOUNDED, COVERAGE_TYPE, FRACTIONS, decode, key_of
from vmpz.io.polygonfile import Block, PolygonFile
from vmpz.io.polygons import MangleMask
from vmpz.io.reading import MAX_CELLS, identity
from vmpz.io.xml import Descriptor, md5_of
from vmpz.kernels.outlines import outlines
from vmpz.products import Product, ProductKey, Scalar
from vmpz.sky import hpx
from vmpz.sky.covers import unit_vectors
from vmpz.sky.multiorder import from_multiorder
from vmpz.sky.skymap import SkyMap

__all__ = ["read_mangle", "read_polygons"]

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

ORDER = 14
ENOUGH_CELLS = 1 << 24
AREA = 1e-5  # relative difference of a stated area from that of the caps
LEAST_AREA = 1e-14  # steradian: mangle writes areas with 15 decimals
CORNER = 1e-5  # distance of a corner from that of the cell, in sides
ROUNDING = 1e-6  # by which a fraction may pass 1
TYPES = {"i8": np.int64, "f4": np.float32, "f8": np.float64}
QUANTITY_TYPES = {"Tile": "i8", "MJD": "f8"}


def read_polygons(path: str | Path) -> MangleMask:
    """The mask in a mangle polygon file of any make.

    Any caps, any pixelization, shortened first lines; an unstated weight is 1. A stated area must be that of the caps
    where one circle or great circles alone bound a polygon; there the area is known where none is stated. Weights are
    not negative, unless the file says that they are no fractions.

    Raises
    ------
    InputError
        The file does not hold what it must; the message names file and line.
    """
    path = Path(path)
    mask, notes, lines = _whole(path)
    _check_weights(path, mask.weights, lines, _noted(path, notes).key.kind if notes else "map")
    return mask


def read_mangle(path: Path, order: int | None = None, told: Descriptor | None = None) -> Product:
    """The product in a mangle polygon file.

    Parameters
    ----------
    path : Path
    order : int, optional
        Of the map of a mask whose polygons are not the cells of a map.
    told : Descriptor, optional
        What a descriptor says; what the file says itself comes first.

    Raises
    ------
    InputError
        The file does not hold what it must; the message names file and line.
    """
    if told is not None and told.md5 and md5_of(path) != told.md5:
        raise InputError(f"{path}: its MD5 must be that of the descriptor, {told.md5}: the file was altered")
    with PolygonFile(path) as file:
        cells = _cells_of(path, file.blocks())
    if cells is None:
        mask, notes, lines = _whole(path)
        label = _labelled(path, notes, told, mask.weights)
        _check_weights(path, mask.weights, lines, label.key.kind)
        return _laid_out(path, mask, label, order)
    label = _labelled(path, file.notes, told, cells.weights)
    _check_weights(path, cells.weights, cells.lines, label.key.kind)
    return label.product(path, _unfolded(path, cells, label))


# -- polygons -----------------------------------------------------------------------------------------------


def _whole(path: Path) -> tuple[MangleMask, dict[str, str], IntArray]:
    """Mask, notes, and the line of each polygon."""
    with PolygonFile(path) as file:
        whole = Block.join([_checked(path, block)[0] for block in file.blocks()])
    mask = MangleMask(whole.caps, whole.first, whole.weights, whole.areas, file.balkanized)
    return mask, file.notes, whole.lines


def _checked(path: Path, block: Block) -> tuple[Block, IntArray, FloatArray]:
    """A block whose areas are filled in where the caps tell them; first arc of each polygon, arcs."""
    start, arcs, areas, _ = outlines(block.caps, block.first)
    stated = block.areas > 0.0
    wrong = np.flatnonzero(stated & (np.abs(block.areas - areas) > AREA * areas + LEAST_AREA))
    if wrong.size:
        one = wrong[0]
        raise InputError(
            f"{path}:{block.lines[one]}: the area must be that of the caps, {areas[one]:.9g} str, "
            f"found {block.areas[one]:.9g}"
        )
    return replace(block, areas=np.where(stated, block.areas, areas)), start, arcs


def _check_weights(path: Path, weights: FloatArray, lines: IntArray, kind: str) -> None:
    """A fraction lies in [0, 1]; any other weight may have any value where the file says what it is."""
    most = 1.0 + ROUNDING if kind in BOUNDED else math.inf
    least = 0.0 if kind in FRACTIONS or kind == "map" else -math.inf
    wrong = np.flatnonzero((weights < least) | (weights > most))
    if wrong.size:
        raise InputError(
            f"{path}:{lines[wrong[0]]}: the weight must {'lie in [0, 1]' if most < 2.0 else 'not be negative'}, "
            f"found {weights[wrong[0]]:g}"
        )


# -- cells --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Cells:
    """Polygons that are cells: NUNIQ numbers, weights, lines."""

    uniq: IntArray
    weights: FloatArray
    lines: IntArray


def _cells_of(path: Path, blocks: Iterable[Block]) -> _Cells | None:
    """The cells whose quadrilaterals the polygons are; None as soon as one is not."""
    found = [_Cells(np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64))]
    for block in blocks:
        uniq = _uniq(*_checked(path, block))
        if uniq is None:
            return None
        found.append(_Cells(uniq, block.weights, block.lines))
    return _Cells(
        np.concatenate([one.uniq for one in found]),
        np.concatenate([one.weights for one in found]),
        np.concatenate([one.lines for one in found]),
    )


def _uniq(block: Block, start: IntArray, arcs: FloatArray) -> IntArray | None:
    """NUNIQ numbers of the cells with the corners of the polygons; None if one has others."""
    if np.any(np.diff(start) != 4):
        return None
    corners = arcs[:, 3:6].reshape(-1, 4, 3)
    middle = corners.sum(axis=1)
    lon = np.degrees(np.arctan2(middle[:, 1], middle[:, 0]))
    lat = np.degrees(np.arctan2(middle[:, 2], np.hypot(middle[:, 0], middle[:, 1])))
    depth = np.log2(hpx.cell_area_sr(0) / block.areas) / 2.0
    orders = np.clip(np.rint(depth), 0, hpx.MAX_ORDER).astype(np.int64)
    uniq = np.empty(len(block.areas), np.int64)
    for order in np.unique(orders).tolist():
        here = orders == order
        cells = hpx.cells_at(lon[here], lat[here], order)
        expected = unit_vectors(*hpx.vertices(cells, order))
        apart = np.linalg.norm(corners[here][:, :, None] - expected[:, None], axis=3).min(axis=2)
        if apart.max(initial=0.0) > CORNER * math.sqrt(hpx.cell_area_sr(order)):
            return None
        uniq[here] = hpx.to_uniq(cells, order)
    return uniq


def _unfolded(path: Path, cells: _Cells, label: "_Label") -> SkyMap:
    """The map at the order that the file states, else that of its deepest cell."""
    orders, _ = hpx.from_uniq(cells.uniq)
    order = max(label.order, int(orders.max(initial=0)))
    count = float(np.sum(4.0 ** (order - orders)))
    if order > hpx.MAX_ORDER or count > MAX_CELLS:
        raise InputError(
            f"{path}: cells must unfold to at most {MAX_CELLS} of order {hpx.MAX_ORDER} or less, "
            f"found {count:.3g} of order {order}"
        )
    values = np.rint(cells.weights) if label.type == "i8" else cells.weights
    try:
        return from_multiorder(cells.uniq, values.astype(TYPES[label.type]), order)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


# -- masks --------------------------------------------------------------------------------------------------


def _laid_out(path: Path, mask: MangleMask, label: "_Label", order: int | None) -> Product:
    """The map of a mask, observed fractions where weights are."""
    if order is None:
        most = math.log2(ENOUGH_CELLS * hpx.cell_area_deg2(0) / max(mask.area_deg2, 1e-30)) / 2.0
        order = min(ORDER, max(math.floor(most), 0))
    is_fraction = label.key.kind in FRACTIONS
    if label.words.get("COVCONV") == "MER":
        mask = replace(mask, weights=1.0 - mask.weights)
        label = replace(label, words={**label.words, "COVCONV": "OBSERVED"})
    one = mask.to_map(order, mean=not is_fraction)
    values = np.clip(one.values, 0.0, 1.0) if label.key.kind in BOUNDED else one.values
    return label.product(path, SkyMap(one.cells, values.astype(np.float32)))


# -- what it is ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Label:
    """What a file says about itself, or its descriptor, or its name.

    `type` is that of the values in the file, `order` the least of the map.
    """

    key: ProductKey
    words: Mapping[str, Scalar]
    unit: str
    type: str
    order: int = 0

    def product(self, path: Path, one: SkyMap) -> Product:
        """The product of a map as it stands in the file."""
        columns = {"WEIGHT": one.values}
        return product_of(path, one.order, one.cells.cells(), columns, self.words, self.unit, self.key)


def _labelled(path: Path, notes: Mapping[str, str], told: Descriptor | None, weights: FloatArray) -> _Label:
    """The label of a file; without a word, weights decide between footprint, coverage and a map of no kind."""
    if notes:
        return _noted(path, notes)
    words = {} if told is None else told.parameters
    kind, quantity, area, release = identity(path, "", words)
    kind = kind if told is None else told.names.kind
    if kind == "map" and weights.size and weights.min() >= 0.0 and weights.max() <= 1.0:
        kind = "footprint" if weights.min() == 1.0 else "coverage"
    key = key_of(kind, quantity, 0, words, area, release)
    is_mer = kind in COVERAGE_TYPE and words.get("COVCONV") == "MER"
    unit = "" if told is None else told.unit
    return _Label(key, words, unit, "f8" if is_mer else QUANTITY_TYPES.get(key.quantity, "f4"))


def _noted(path: Path, notes: Mapping[str, str]) -> _Label:
    """What the notes of a file of the package say."""
    try:
        key, words = ProductKey.parse(notes["key"]), json.loads(notes["keywords"])
        kind = notes["type"]
        if not isinstance(words, dict) or kind not in TYPES:
            raise ValueError(f"keywords {words!r:.40}, type {kind:.40}")
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{path}: the notes after the last polygon must be a key, keywords and a type, found {error!r:.200}"
        ) from error
    return _Label(key, words, decode(notes.get("unit", "")), kind, max(key.order, 0))
