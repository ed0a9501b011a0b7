"""Mangle polygon files: reading.

A file whose polygons are the quadrilaterals of HEALPix cells (those of the package are) gives back these cells, so a map
survives to the last bit. Any other mask is laid on the cells of one order (`vmpz.io.polygons`): the order asked for, else
14, or the deepest at which its area takes at most 2**24 cells. Then a weight is an observed fraction, and the value of a
cell the sum of weight times covered share; of a file that says it holds something else, a depth for instance, the mean
weight.

What a file holds is told by its notes (`vmpz.io.polygonfile`), else by its descriptor, else by its name; where nothing
tells, weights of 1 are a footprint, fractions a coverage, and other weights a map of no kind. Without a word on the
convention a weight is an observed fraction, as mangle means it.
"""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.io.labels import product_of
from vmpz.io.metadata import FRACTIONS, decode, key_of
from vmpz.io.polygonfile import Block, PolygonFile
from vmpz.io.polygons import MangleMask
from vmpz.io.reading import identity
from vmpz.kernels import caps as kernels
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
AREA = 1e-5  # relative difference of a stated area
CORNER = 1e-5  # distance of a corner from that of the cell, in sides
TYPES = {"i8": np.int64, "f4": np.float32, "f8": np.float64}
QUANTITY_TYPES = {"Tile": "i8", "MJD": "f8"}


def read_polygons(path: str | Path) -> MangleMask:
    """The mask in a mangle polygon file of any make.

    Any caps, any pixelization, shortened first lines; an unstated weight is 1. A stated area must be that of the caps
    where one circle or great circles alone bound a polygon, and takes its place where it is 0 or missing.

    Raises
    ------
    InputError
        The file does not hold what it must; the message names file and line.
    """
    path = Path(path)
    with PolygonFile(path) as file:
        whole = Block.join([_checked(path, block)[0] for block in file.blocks()])
    _must_be_positive(path, whole.lines[whole.weights < 0.0], file.notes)
    return MangleMask(whole.caps, whole.first, whole.weights, whole.areas, file.balkanized)


def read_mangle(
    path: Path,
    order: int | None = None,
    *,
    words: Mapping[str, Scalar] | None = None,
    kind: str = "",
) -> Product:
    """The product in a mangle polygon file.

    Parameters
    ----------
    path : Path
    order : int, optional
        Of the map of a mask whose polygons are no cells.
    words : mapping, optional
        Keywords that a descriptor tells, COVCONV among them; the file's own come first.
    kind : str, optional
        What a descriptor says that the file is.

    Raises
    ------
    InputError
        The file does not hold what it must; the message names file and line.
    """
    path = Path(path)
    with PolygonFile(path) as file:
        cells = _as_cells(path, file.blocks())
    if cells is None:
        with PolygonFile(path) as file:
            whole = Block.join([_checked(path, block)[0] for block in file.blocks()])
        mask = MangleMask(whole.caps, whole.first, whole.weights, whole.areas, file.balkanized)
