"""Weighted MOC <-> `SkyMap`: a map as cells of mixed orders (NUNIQ numbers), one value each.

Four siblings that are all in the map are replaced by their parent where their values are equal, or differ by
no more than a tolerance; a family that lacks a member never merges, so no cell crosses the edge of the
footprint. Guarantees of a tolerance: every value is within it of the value of its cell; the integral of what
is averaged (the value, or flux squared for depths, by the rule) is kept; the result does not depend on the
order of processing. Values are intensive (a fraction, a depth, a density), so
``integral = sum(value * cell area)``.

>>> uniq, values = to_multiorder(SkyMap.from_cells(1, [4, 5, 6, 7, 9], [0.5, 0.5, 0.5, 0.5, 1.0]))
>>> uniq.tolist(), values.tolist()
([5, 25], [0.5, 1.0])
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vmpz.errors import InputError, MapMismatchError
from vmpz.kernels import siblings
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import MEANS, SkyMap

__all__ = ["from_multiorder", "to_multiorder"]

IntArray = NDArray[np.int64]
Values = NDArray[Any]


def to_multiorder(sky_map: SkyMap, tolerance: float = 0.0, rule: str = "MEAN") -> tuple[IntArray, Values]:
    """Cells of mixed orders with the values of a map.

    Parameters
    ----------
    sky_map : SkyMap
        Values of any numeric type.
    tolerance : float
        Largest difference of the values in one cell (magnitudes for a depth); 0 loses nothing.
    rule : str
        How values are averaged within a tolerance: MEAN or COVERAGE, QUAD, LOGQUAD (depth), LOG.

    Returns
    -------
    uniq : int64 (n,)
        NUNIQ numbers, ascending.
    values : (n,)
        Of the map's type without a tolerance, else float64.

    Raises
    ------
    InputError
        The tolerance is negative or not finite, or the rule is no average.
    """
    if not 0.0 <= tolerance < np.inf:
        raise InputError(f"the tolerance must be 0 or more, found {tolerance}")
    if tolerance > 0.0:
        uniq, values = _within(sky_map, tolerance, rule)
    else:
        uniq, row = siblings.merge_equal(sky_map.cells.ranges, _bits(sky_map.values), sky_map.order)
        values = sky_map.values[row]
    place = siblings.ascending(uniq, sky_map.order)
    return uniq[place], values[place]


def from_multiorder(uniq: ArrayLike, values: ArrayLike, order: int | None = None) -> SkyMap:
    """Map of cells of mixed orders, every cell divided down to one order.

    Parameters
    ----------
    uniq : array_like of int, shape (n,)
        NUNIQ numbers in any order.
    values : array_like, shape (n,)
    order : int, optional
        At least that of the deepest cell, which is the default.

    Raises
    ------
    InputError
        A cell is deeper than the order, or two cells overlap.
    MapMismatchError
        There is not one value per cell.
    """
    number, value = np.asarray(uniq, np.int64).ravel(), np.asarray(values).ravel()
    if number.size != value.size:
        raise MapMismatchError(f"a map needs one value per cell: {number.size} cells, {value.size} values")
    orders, cells = hpx.from_uniq(number)
    deepest = int(orders.max(initial=0))
    order = deepest if order is None else order
    if deepest > order:
        raise InputError(f"cells must not be deeper than order {order}, found order {deepest}")
    shift = 2 * (order - orders)
    begin, end = cells << shift, (cells + 1) << shift
    on_sky = np.argsort(begin, kind="stable")
    begin, end, value = begin[on_sky], end[on_sky], value[on_sky]
    twice = np.flatnonzero(begin[1:] < end[:-1])
    if twice.size:
        raise InputError(
            f"cells must not overlap, found {number[on_sky[twice[0]]]} and {number[on_sky[twice[0] + 1]]} (NUNIQ)"
        )
    whole = CellSet.from_ranges(order, np.stack((begin, end), axis=1))
    return SkyMap(whole, np.repeat(value, end - begin))


def _bits(values: Values) -> NDArray[np.uint64]:
    """The bits of values, so that equal means the same number to the last bit."""
    if values.dtype.kind not in "biuf" or values.dtype.itemsize > 8:
        raise InputError(f"values must be numbers of at most 64 bits, found {values.dtype}")
    native = np.ascontiguousarray(values, values.dtype.newbyteorder("="))
    return native.view(f"u{values.dtype.itemsize}").astype(np.uint64, copy=False)


def _within(sky_map: SkyMap, tolerance: float, rule: str) -> tuple[IntArray, Values]:
    """Cells in sky order with their averages."""
    name = "MEAN" if rule == "COVERAGE" else rule
    if name not in MEANS:
        raise InputError(
            f"the rule must be COVERAGE, {', '.join(MEANS)} to merge within a tolerance, found {rule}"
        )
    forward, back = MEANS[name]
    values = sky_map.values.astype(np.float64)
    uniq, least, most, mean = siblings.merge_within(
        sky_map.cells.cells(), values, np.asarray(forward(values)), sky_map.order, tolerance
    )
    return uniq, np.clip(back(mean), least, most)
