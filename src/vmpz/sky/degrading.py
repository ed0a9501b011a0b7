"""Degrading: values of cells to values of their parents, by rule, from a stream of cells.

`Families` takes children in ascending order, piece by piece, and gives every parent as soon as its family is complete;
the result does not depend on where the stream was cut. A child that is absent or NaN counts as 0 where the rule is
COVERAGE or SUM and is left out everywhere else.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import MapMismatchError
from vmpz.kernels.families import add_children

__all__ = ["DEGRADE_RULES", "FRACTIONAL", "MEANS", "Families"]

IntArray = NDArray[np.int64]
Values = NDArray[Any]
Transform = Callable[[Values], Values]
Parents = tuple[IntArray, Values]
Rows = tuple[IntArray, Values, Values]

NO_PARENT = np.iinfo(np.int64).max


def _as_power(factor: float) -> tuple[Transform, Transform]:
    """A magnitude as ``10**(-factor m)``, and back."""
    return lambda m: 10.0 ** (-factor * m), lambda x: -np.log10(x) / factor


MEANS: dict[str, tuple[Transform, Transform]] = {
    "MEAN": (lambda x: x, lambda x: x),
    "QUAD": (np.square, np.sqrt),
    "LOGQUAD": _as_power(0.8),
    "LOG": _as_power(0.4),
}
"""Averaging rules: what is averaged, and the way back."""

FRACTIONAL = frozenset({"COVERAGE", *MEANS})
"""Rules that make fractions of whole numbers."""

EXTREMES: dict[str, np.ufunc] = {"MIN": np.minimum, "MAX": np.maximum, "OR": np.bitwise_or}

DEGRADE_RULES = ("COVERAGE", "SUM", *MEANS, *EXTREMES, "MODE")
"""Degrade rules: COVERAGE sum/4**dk with absent = 0; SUM; MEAN, QUAD (root mean square), LOGQUAD
``-2.5 log10 sqrt <10**(-0.8 m)>``, LOG ``-2.5 log10 <10**(-0.4 m)>``, all weighted; MIN; MAX; OR; MODE (largest
weight, lowest value on ties)."""


class Families:
    """Parents of a stream of children.

    Parameters
    ----------
    rule : str
        One of `DEGRADE_RULES`.
    levels : int
        Orders between child and parent, at least 1.

    Raises
    ------
    MapMismatchError
        The rule does not exist ('NONE' marks a map that cannot be degraded).
    """

    def __init__(self, rule: str, levels: int) -> None:
        if rule not in DEGRADE_RULES:
            raise MapMismatchError(
                f"rule must be one of {', '.join(DEGRADE_RULES)}, found {rule}: "
                "this map is not degradable, remake it from cell statistics"
            )
        self.rule, self.shift = rule, 2 * levels
        self._parent, self._sums = np.full(1, -1, np.int64), np.zeros(2)
        self._rows: list[Rows] = []

    def add(self, cells: IntArray, values: Values, weight: Values | None = None) -> Parents:
        """Children that follow those before; the parents that they complete.

        Parameters
        ----------
        cells : int64 (n,)
            Ascending.
        values : (n,)
        weight : (n,), optional
            Coverage of each child for the averaging rules and MODE; default 1 each.

        Returns
        -------
        parents : int64 (m,)
            Ascending; of rules other than COVERAGE and SUM without those whose children are all NaN or (averages and
            MODE) of weight zero.
        values : (m,)
            float64, except MIN, MAX, MODE and OR which keep the dtype.
        """
        if self.rule in EXTREMES or self.rule == "MODE":
            return self._held_back(cells, values, _ones_or(weight, values.size))
        additive = self.rule in ("COVERAGE", "SUM")
        moments = values.astype(np.float64, copy=False)
        moments = moments if additive else np.asarray(MEANS[self.rule][0](moments))
        share = np.ones(cells.size) if additive else _ones_or(weight, cells.size)
        most = min(cells.size, _parents_of(cells, self.shift) + 1)
        parents, sums = np.empty(most, np.int64), np.empty((most, 2))
        count = add_children(cells, moments, share, self.shift, self._parent, self._sums, parents, sums)
        return self._finished(parents[:count], sums[:count])

    def finish(self) -> Parents:
        """The parents that are left when no more children come."""
        if self._rows:
            return self._complete(NO_PARENT)
        if self._parent[0] < 0:
            return np.empty(0, np.int64), np.empty(0)
        found = self._finished(self._parent.copy(), self._sums[None].copy())
        self._parent[0] = -1
        return found

    def _finished(self, parents: IntArray, sums: Values) -> Parents:
        if self.rule == "SUM":
            return parents, sums[:, 1].copy()
        if self.rule == "COVERAGE":
            return parents, sums[:, 1] / (1 << self.shift)
        some = sums[:, 0] > 0.0
        return parents[some], np.asarray(MEANS[self.rule][1](sums[some, 1] / sums[some, 0]))

    def _held_back(self, cells: IntArray, values: Values, weight: Values) -> Parents:
        """Rules that are no sums: what is known of the last family waits for the next call, in as few rows as do."""
        counts = (values == values) & ((weight > 0.0) | (self.rule != "MODE"))
        self._rows.append((cells[counts] >> self.shift, values[counts], weight[counts]))
        return self._complete(int(cells[-1]) >> self.shift if cells.size else 0)

    def _complete(self, last: int) -> Parents:
        """Families before the parent `last`."""
        reduced = _summed if self.rule == "MODE" else partial(_extremes, EXTREMES[self.rule])
        parents, values, weight = reduced(*(np.concatenate(one) for one in zip(*self._rows, strict=True)))
        cut = int(np.searchsorted(parents, last))
        self._rows = [(parents[cut:], values[cut:], weight[cut:])]
        if self.rule == "MODE":
            return _modes(parents[:cut], values[:cut], weight[:cut])
        return parents[:cut], values[:cut]


def _parents_of(cells: IntArray, shift: int) -> int:
    """Number of parents from that of the first cell to that of the last."""
    return int((cells[-1] >> shift) - (cells[0] >> shift)) + 1 if cells.size else 0


def _ones_or(weight: Values | None, size: int) -> NDArray[np.float64]:
    return np.ones(size) if weight is None else weight.astype(np.float64, copy=False)


def _extremes(extreme: np.ufunc, parents: IntArray, values: Values, weight: Values) -> Rows:
    """One row a family."""
    first = _firsts(parents)
    return parents[first], extreme.reduceat(values, first) if first.size else values, weight[first]


def _summed(parents: IntArray, values: Values, weight: Values) -> Rows:
    """One row per family and value; weights are added one after the other."""
    by_value = np.lexsort((values, parents))
    parents, values, weight = parents[by_value], values[by_value], weight[by_value]
    first = _firsts(parents, values)
    group = np.repeat(np.arange(first.size), np.diff(first, append=parents.size))
    return parents[first], values[first], np.bincount(group, weight)


def _modes(parents: IntArray, values: Values, weight: Values) -> Parents:
    """The value of largest weight of each family, the lowest on ties; from one row per family and value."""
    best = np.lexsort((values, -weight, parents))
    best = best[_firsts(parents[best])]
    return parents[best], values[best]


def _firsts(*columns: Values) -> IntArray:
    """Where a row differs from the one before in any column."""
    differs = np.ones(columns[0].size, np.bool_)
    differs[1:] = np.logical_or.reduce([one[1:] != one[:-1] for one in columns])
    return np.flatnonzero(differs)
