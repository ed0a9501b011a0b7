"""Candidates of random points that are detected, and points of a cell brought into the order of the catalogue."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from vmpz.kernels.philox import multiply

__all__ = ["detect", "list_cells", "list_points", "sort_in_cells", "to_fixed"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Words = NDArray[np.uint64]

FEW = 32
"""Points of a cell up to which insertion is the fastest way to sort."""


@njit(cache=True, nogil=True)
def to_fixed(values: NDArray[np.float32], one: float, largest: float, out: Words) -> int:
    """Visibilities in units of 1 / `one`, rounded to the nearest, half to even.

    Parameters
    ----------
    values : float32 (n,)
    one, largest : float
        The product of both is below 2**53.
    out : uint64 (n,)

    Returns
    -------
    int
        How many are above 0 in that unit; -1 if one is not a number, or outside [0, largest].
    """
    above, wrong = 0, 0
    for k in range(values.size):
        value = np.float64(values[k])
        inside = 0.0 <= value <= largest
        fixed = np.int64(np.rint((value if inside else 0.0) * one))
        out[k] = np.uint64(fixed)
        above += int(fixed > 0)
        wrong += int(not inside)
    return -1 if wrong else above


@njit(cache=True, nogil=True)
def detect(
    deviates: Words, counts: IntArray, visibility: Words, v_max: np.uint64, out: NDArray[np.bool_]
) -> None:
    """Whether each candidate is detected: ``deviate / 2**64 < visibility / v_max``, exactly, in whole numbers.

    Parameters
    ----------
    deviates : uint64 (m,)
        Of the candidates of every cell, one cell after the other.
    counts, visibility : int64 (n,), uint64 (n,)
        Candidates and visibility of every cell; `v_max` in the same unit.
    out : bool (m,)
    """
    k = 0
    for cell in range(counts.size):
        least = np.uint64(visibility[cell])
        for _ in range(counts[cell]):
            out[k] = multiply(deviates[k], np.uint64(v_max))[0] < least  # floor(d v_max / 2**64) < v
            k += 1


@njit(cache=True, nogil=True)
def list_points(counts: IntArray, kept: NDArray[np.bool_], place: IntArray, index: IntArray) -> None:
    """The candidates that are kept, cell after cell.

    Parameters
    ----------
    counts : int64 (n,)
        Candidates of every cell.
    kept : bool (m,)
        Whether each is kept.
    place, index : int64 (k,)
        Output: the cell (its place) and the number in it of each.
    """
    k = i = 0
    for cell in range(counts.size):
        for number in range(counts[cell]):
            if kept[i]:
                place[k], index[k] = cell, number
                k += 1
            i += 1


@njit(cache=True, nogil=True)
def list_cells(counts: IntArray, place: IntArray) -> None:
    """The cell (its place) of every candidate, of counts int64 (n,); `place` is int64 (m,), all 0 before.

    Marks where cells begin, then fills up: how many points a cell has is not waited for.
    """
    begin = 0
    for cell in range(counts.size):
        if begin < place.size:
            place[begin] = cell
        begin += counts[cell]
    here = np.int64(0)
    for k in range(place.size):
        here = max(here, place[k])
        place[k] = here


@njit(cache=True, nogil=True)
def sort_in_cells(
    place: IntArray, pixel29: IntArray, draw: IntArray, lon: FloatArray, lat: FloatArray
) -> None:
    """Sort the points of each cell by `pixel29`, ties by `draw`, in place; all (n,).

    The points of a cell, those of one `place`, stand together, in the order of `draw`.
    """
    begin = 0
    while begin < place.size:
        end = begin + 1
        while end < place.size and place[end] == place[begin]:
            end += 1
        if end - begin <= FEW:
            for i in range(begin + 1, end):
                pixel, index, x, y = pixel29[i], draw[i], lon[i], lat[i]
                k = i
                while k > begin and pixel29[k - 1] > pixel:
                    pixel29[k], draw[k], lon[k], lat[k] = pixel29[k - 1], draw[k - 1], lon[k - 1], lat[k - 1]
                    k -= 1
                pixel29[k], draw[k], lon[k], lat[k] = pixel, index, x, y
        else:
            order = begin + np.argsort(pixel29[begin:end], kind="mergesort")
            pixel29[begin:end], draw[begin:end] = pixel29[order], draw[order]
            lon[begin:end], lat[begin:end] = lon[order], lat[order]
        begin = end
