"""A number split over the cells of a shard by a quadtree of binomials."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from vmpz.kernels.deviates import binomial
from vmpz.kernels.philox import multiply, philox

__all__ = ["FEW", "split"]

IntArray = NDArray[np.int64]
Words = NDArray[np.uint64]

FEW = 32
"""Points of a node that choose their cells one by one."""


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
def _choose(word: np.uint64, before: Words, begin: int, end: int) -> int:
    """The one of the cells [begin, end) that a random word chooses, in proportion to their weights."""
    spot = before[begin] + multiply(np.uint64(word), before[end] - before[begin])[0]
    while end - begin > 1:
        middle = (begin + end) >> 1
        if before[middle] <= spot:
            begin = middle
        else:
            end = middle
    return begin


@njit(cache=True, nogil=True)
def _one_by_one(
    number: int,
    before: Words,
    begin: int,
    end: int,
    uniq: np.uint64,
    stream: np.uint64,
    batch: np.uint64,
    k0: np.uint64,
    k1: np.uint64,
    out: IntArray,
) -> None:
    """Every point of a node chooses its cell: point i by word i % 4 of the block of counter i // 4."""
    for first in range(0, number, 4):
        w0, w1, w2, w3 = philox(np.uint64(first >> 2), uniq, stream, batch, k0, k1)
        out[_choose(w0, before, begin, end)] += 1
        if first + 1 < number:
            out[_choose(w1, before, begin, end)] += 1
        if first + 2 < number:
            out[_choose(w2, before, begin, end)] += 1
        if first + 3 < number:
            out[_choose(w3, before, begin, end)] += 1


@njit(cache=True, nogil=True)
def split(
    shard: int,
    order: int,
    levels: int,
    number: int,
    cells: IntArray,
    before: Words,
    node_stream: int,
    choice_stream: int,
    batch: int,
    k0: np.uint64,
    k1: np.uint64,
    out: IntArray,
) -> None:
    """Share a number of points among the cells of a shard, in proportion to their weights: multinomial numbers.

    A node hands its points down to its four children, in their order: each gets a binomial part of what is left, of
    probability its weight over the weight left, under the counter (attempt, uniq of the child, node_stream, batch). A
    child without weight gets none and the last one with weight all the rest, so no point is lost. Where a node has no
    more than `FEW` points, each of them chooses its cell: the one that holds ``floor(w W / 2**64)`` of the total
    weight W of the node, of a word w under (block, uniq of the node, choice_stream, batch).

    Weights are whole numbers, their sum is below 2**63; below 2**53, probabilities are correctly rounded.

    Parameters
    ----------
    shard, order, levels : int
        The shard, order of the cells, and how many levels it lies above them.
    number : int
    cells : int64 (n,)
        Ascending, all of them in the shard.
    before : uint64 (n + 1,)
        Sum of the weights before each cell, and of all; no weight is 0.
    node_stream, choice_stream, batch : int
    k0, k1 : uint64
        Key.
    out : int64 (n,)
        To which the numbers are added.
    """
    size = 3 * levels + 4
    nodes, depths = np.empty(size, np.int64), np.empty(size, np.int64)
    begins, ends, numbers = np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size, np.int64)
    nodes[0], depths[0], begins[0], ends[0], numbers[0] = shard, levels, 0, cells.size, number
    streams, part_of = (np.uint64(node_stream), np.uint64(choice_stream)), np.uint64(batch)
    waiting = 1 if number > 0 and cells.size > 0 else 0
    while waiting > 0:
        waiting -= 1
        node, depth = nodes[waiting], depths[waiting]
        begin, end, left = begins[waiting], ends[waiting], numbers[waiting]
        if end - begin == 1:  # all that a node of one cell hands down goes there
            out[begin] += left
            continue
        if left <= FEW:
            uniq = np.uint64((np.int64(4) << 2 * (order - depth)) + node)
            _one_by_one(left, before, begin, end, uniq, streams[1], part_of, k0, k1, out)
            continue
        depth -= 1
        base = np.int64(4) << 2 * (order - depth)
        while left > 0:
            child = cells[begin] >> 2 * depth
            stop = begin + 1 if depth == 0 else _first_from(cells, (child + 1) << 2 * depth, begin, end)
            part = left
            if stop < end:
                weight, rest = before[stop] - before[begin], before[end] - before[begin]
                chance = np.float64(weight) / np.float64(rest)
                part = binomial(left, chance, np.uint64(base + child), streams[0], part_of, k0, k1)
            if part > 0:
                nodes[waiting], depths[waiting] = child, depth
                begins[waiting], ends[waiting], numbers[waiting] = begin, stop, part
                waiting += 1
            left -= part
            begin = stop
