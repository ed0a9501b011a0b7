"""A number split over the cells of a shard by a quadtree of binomials."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from vmpz.kernels.deviates import binomial

__all__ = ["split"]

IntArray = NDArray[np.int64]
Words = NDArray[np.uint64]


@njit(cache=True, nogil=True)
def _first_from(cells: IntArray, number: int, begin: int, end: int) -> int:
    """First of the ascending cells [begin, end) that is not below a number, `end` if there is none."""
    if cells[end - 1] < number:
        return end
    while begin < end:
        middle = (begin + end) >> 1
        if cells[middle] < number:
            begin = middle + 1
        else:
            end = middle
    return begin


@njit(cache=True, nogil=True)
def split(
    shard: int,
    order: int,
    levels: int,
    number: int,
    cells: IntArray,
    before: Words,
    stream: int,
    batch: int,
    k0: np.uint64,
    k1: np.uint64,
    out: IntArray,
) -> None:
    """Share a number of points among the cells of a shard, in proportion to their weights.

    A node hands its points down to its four children, in their order: each gets a binomial part of what is left, of
    probability its weight over the weight left, under the counter (attempt, uniq of the child, stream, batch). A child
    without weight gets none and the last one with weight all the rest, so no point is lost. The parts are multinomial.
    Weights are whole numbers below 2**63; where they are below 2**53, probabilities are correctly rounded.

    Parameters
    ----------
    shard, order, levels : int
        The shard, order of the cells, and how many levels it lies above them.
    number : int
    cells : int64 (n,)
        Ascending, all of them in the shard.
    before : uint64 (n + 1,)
        Sum of the weights before each cell, and of all; no weight is 0.
    stream, batch, k0, k1
    out : int64 (n,)
        To which the numbers are added.
    """
    size = 3 * levels + 4
    nodes, depths = np.empty(size, np.int64), np.empty(size, np.int64)
    begins, ends, numbers = np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size, np.int64)
    nodes[0], depths[0], begins[0], ends[0], numbers[0] = shard, levels, 0, cells.size, number
    waiting = 1 if number > 0 and cells.size > 0 else 0
    while waiting > 0:
        waiting -= 1
        node, depth = nodes[waiting], depths[waiting]
        begin, end, left = begins[waiting], ends[waiting], numbers[waiting]
        if depth == 0 or end - begin == 1:  # all that a node of one cell hands down goes there
            out[begin] += left
            continue
        depth -= 1
        uniq = np.int64(4) << 2 * (order - depth)
        while left > 0:
            child = cells[begin] >> 2 * depth
            stop = begin + 1 if depth == 0 else _first_from(cells, (child + 1) << 2 * depth, begin, end)
            part = left
            if stop < end:
                weight, rest = before[stop] - before[begin], before[end] - before[begin]
                chance = np.float64(weight) / np.float64(rest)
                part = binomial(
                    left, chance, np.uint64(uniq + child), np.uint64(stream), np.uint64(batch), k0, k1
                )
            if depth == 0:
                out[begin] += part
            elif part > 0:
                nodes[waiting], depths[waiting] = child, depth
                begins[waiting], ends[waiting], numbers[waiting] = begin, stop, part
                waiting += 1
            left -= part
            begin = stop
