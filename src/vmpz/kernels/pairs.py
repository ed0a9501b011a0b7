"""Pairs of points on the sphere, counted by separation, every one of them."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["count_pairs"]

FloatArray = NDArray[np.float64]

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
    bins, kinds = edges.size - 1, weights.shape[0]
    low, high = edges[0], edges[bins]
    step = TABLE / (high - low)
    first = np.empty(TABLE + 1, np.int64)  # the bin of the lower end of each equal step of squared chord
    place = 0
    for k in range(TABLE + 1):
        while place < bins - 1 and edges[place + 1] <= low + k / step:
            place += 1
        first[k] = place
    out[:] = 0.0
    sums = np.zeros((kinds, bins))
    for i in range(points.shape[1]):
        x, y, z = points[0, i], points[1, i], points[2, i]
        sums[:] = 0.0
        for j in range(i):
            a, b, c = points[0, j] - x, points[1, j] - y, points[2, j] - z
            chord = a * a + b * b + c * c
            if low <= chord < high:
                place = max(first[np.int64((chord - low) * step)] - 1, 0)
                while edges[place + 1] <= chord:
                    place += 1
                for kind in range(kinds):
                    sums[kind, place] += weights[kind, j]
        for kind in range(kinds):
            for place in range(bins):
                out[kind, place] += weights[kind, i] * sums[kind, place]
