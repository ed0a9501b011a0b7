"""The rules of statistics: sorted samples to one float64 a cell, NaN where there is none."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.statistics.samples import SortedSamples

__all__ = [
    "argument",
    "known",
    "mean",
    "mode",
    "only_value",
    "quantile",
    "refuse_differences",
    "root_mean_square",
    "scatter",
    "weighted_mean",
    "weighted_median",
]

Array = NDArray[np.float64]


def _quotient(above: Array, below: Array) -> Array:
    """above / below, NaN where nothing was seen."""
    return np.asarray(np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0))


def mean(s: SortedSamples) -> Array:
    return _quotient(s.total(s.a * s.x), s.total(s.a))


def weighted_mean(s: SortedSamples) -> Array:
    return _quotient(s.total(s.a * s.w * s.x), s.total(s.a * s.w))


def scatter(s: SortedSamples) -> Array:
    deviation = s.x - mean(s)[s.cell]
    return np.sqrt(_quotient(s.total(s.a * deviation**2), s.total(s.a)))


def root_mean_square(s: SortedSamples) -> Array:
    return np.sqrt(_quotient(s.total(s.a * s.x**2), s.total(s.a)))


def quantile(fraction: float) -> Callable[[SortedSamples], Array]:
    return lambda s: s.at(fraction * (s.n - 1), s.n > 0)


def known(value: Array, s: SortedSamples) -> Array:
    return np.where(s.n > 0, value, np.nan)


def weighted_median(s: SortedSamples) -> Array:
    """Value at half of the weight; between two values where the half falls exactly between them.

    Weights are relative to the heaviest of the cell, so that equal ones add up exactly.
    """
    weight = s.a * s.w
    heaviest = np.zeros(s.n_cells)
    np.maximum.at(heaviest, s.cell, weight)
    weight = np.divide(weight, heaviest[s.cell], out=weight, where=weight > 0)
    total = s.total(weight)
    first = np.cumsum(s.n) - s.n
    running = _running_sum(weight, first, s.n)
    reached, passed = np.full((2, s.n_cells), np.nan)
    for target, chosen in ((reached, running >= total[s.cell] / 2), (passed, running > total[s.cell] / 2)):
        rows = np.flatnonzero(chosen & (weight > 0))[::-1]
        target[s.cell[rows]] = s.x[rows]  # the lowest comes last and stays
    return np.where(total > 0, (reached + passed) / 2, np.nan)


def _running_sum(value: Array, first: NDArray[np.int64], n: NDArray[np.int64]) -> Array:
    """Cumulative sum inside each cell, the additions of one cell never touching another's."""
    running = value.copy()
    for step in range(1, int(n.max(initial=0))):
        row = first[n > step] + step
        running[row] += running[row - 1]
    return running


def mode(s: SortedSamples) -> Array:
    start = np.flatnonzero(np.diff(s.cell, prepend=-1) | (np.diff(s.x, prepend=np.nan) != 0))
    times = np.diff(np.append(start, s.x.size))
    best = np.lexsort(
        (-s.x[start], times)
    )  # ascending: the most frequent, and of these the lowest, comes last
    values = np.full(s.n_cells, np.nan)
    values[s.cell[start[best]]] = s.x[start[best]]
    return values


def only_value(s: SortedSamples) -> Array:
    low, high = quantile(0.0)(s), quantile(1.0)(s)
    refuse_differences(low, high)
    return low


def refuse_differences(low: Array, high: Array) -> None:
    different = np.flatnonzero(low < high)
    if different.size:
        one = different[0]
        raise InputError(
            f"VALUE needs one value per cell, found {different.size} cells where samples differ, "
            f"e.g. {float(low[one])} and {float(high[one])}: ask for another statistic"
        )


def argument(extreme: Callable[[SortedSamples], Array]) -> Callable[[SortedSamples], Array]:
    """Lowest number among the samples at the extreme."""

    def rule(s: SortedSamples) -> Array:
        at_extreme = s.x == extreme(s)[s.cell]
        lowest = np.full(s.n_cells, np.iinfo(np.int64).max)
        np.minimum.at(lowest, s.cell[at_extreme], s.number[at_extreme])
        return known(lowest.astype(np.float64), s)

    return rule
