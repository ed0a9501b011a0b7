"""Pairs of points on the sphere, counted by separation, every one of them."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["count_around", "count_pairs"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

TABLE = 1 << 12


@njit(cache=True, nogil=True)
def count_pairs(points: FloatArray, weights: FloatArray, edges: FloatArray, out: FloatArray) -> None:
    """Sum of products of weights over all pairs, by squared chord.

    Parameters
    ----------
    points : float64 (3, n)
        Unit vectors.
    weights : float64 (k, n)
        Several weights of each point; pairs are counted with each.
    edges : float64 (bins + 1,)
        Squared chords (0 to 4), ascending; a bin holds its lower edge.
    out : float64 (k, bins)
        Output.
    """
    first, sums = _steps(edges), np.empty(out.shape)
    out[:] = 0.0
    for i in range(points.shape[1]):
        _count_row(points, weights, i, i, edges, first, sums)
        for kind in range(out.shape[0]):
            for place in range(out.shape[1]):
                out[kind, place] += weights[kind, i] * sums[kind, place]


@njit(cache=True, nogil=True)
def count_around(
    points: FloatArray, weights: FloatArray, chosen: IntArray, edges: FloatArray, out: FloatArray
) -> None:
    """Sum of the weights of all other points by squared chord from each of some points, (chosen, k, bins)."""
    first = _steps(edges)
    for k in range(chosen.size):
        _count_row(points, weights, chosen[k], points.shape[1], edges, first, out[k])


@njit(cache=True, nogil=True)
def _steps(edges: FloatArray) -> IntArray:
    """Bin of the lower end of each of TABLE equal steps of squared chord."""
    first, place = np.empty(TABLE + 1, np.int64), 0
    for k in range(TABLE + 1):
        while place < edges.size - 2 and edges[place + 1] <= edges[0] + k * (edges[-1] - edges[0]) / TABLE:
            place += 1
        first[k] = place
    return first


@njit(cache=True, nogil=True)
def _count_row(
    points: FloatArray,
    weights: FloatArray,
    i: int,
    stop: int,
    edges: FloatArray,
    first: IntArray,
    sums: FloatArray,
) -> None:
    """Weights of the points before `stop`, but point i, by squared chord from it."""
    sums[:] = 0.0
    low, high = edges[0], edges[-1]
    step = TABLE / (high - low)
    x, y, z = points[0, i], points[1, i], points[2, i]
    for j in range(stop):
        a, b, c = points[0, j] - x, points[1, j] - y, points[2, j] - z
        chord = a * a + b * b + c * c
        if low <= chord < high and j != i:
            place = max(first[np.int64((chord - low) * step)] - 1, 0)
            while edges[place + 1] <= chord:
                place += 1
            for kind in range(sums.shape[0]):
                sums[kind, place] += weights[kind, j]
