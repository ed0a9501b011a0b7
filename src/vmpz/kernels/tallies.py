"""Counting objects: per cell, inside cells, and groups of cells that hold enough."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["add_counts", "add_folded", "group_until"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@njit(cache=True, nogil=True)
def add_counts(
    place: IntArray, weight: FloatArray, counts: IntArray, sums: FloatArray, squares: FloatArray
) -> int:
    """Add objects to the cells they lie in; gives how many lie in none (place -1)."""
    lost = 0
    for k in range(place.size):
        cell = place[k]
        if cell < 0:
            lost += 1
            continue
        counts[cell] += 1
        sums[cell] += weight[k]
        squares[cell] += weight[k] * weight[k]
    return lost


@njit(cache=True, nogil=True)
def add_folded(
    pixel29: IntArray, chosen: NDArray[np.bool_], order: int, depth: int, grid: IntArray, digits: IntArray
) -> None:
    """Fold objects on one cell of an order.

    Parameters
    ----------
    pixel29 : int64 (n,)
        Nested cells of order 29.
    chosen : bool (n,)
        Which count.
    order : int
        Of the cells that are folded.
    depth : int
        Levels of `grid` below it.
    grid : int64 (4**depth,)
        Objects by nested sub-cell; added to.
    digits : int64 (28 - order, 16)
        Objects by the digits (quarters) of two levels, one below the other, from order 29 upwards; added to.
    """
    inside = (np.int64(1) << (2 * (29 - order))) - 1
    shift = 2 * (29 - order - depth)
    for k in range(pixel29.size):
        if chosen[k]:
            rest = pixel29[k] & inside
            grid[rest >> shift] += 1
            for level in range(digits.shape[0]):
                digits[level, (rest >> (2 * level)) & 15] += 1


@njit(cache=True, nogil=True)
def group_until(expected: FloatArray, least: float, group: IntArray) -> int:
    """Group neighbours in a list until each group expects at least `least`; the rest joins the last group.

    Parameters
    ----------
    expected : float64 (n,)
    least : float
    group : int64 (n,)
        Output, ascending; the number of groups is returned.
    """
    number, total = 0, 0.0
    for k in range(expected.size):
        group[k] = number
        total += expected[k]
        if total >= least:
            number, total = number + 1, 0.0
    if number == 0:
        return 1 if expected.size else 0
    for k in range(expected.size - 1, -1, -1):
        if group[k] < number:
            break
        group[k] = number - 1
    return number
