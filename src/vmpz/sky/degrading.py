"""Degrading: values of cells to values of their parents, by rule, from a stream of cells.

`Families` takes children in ascending order, piece by piece, and gives every parent as soon as its family is complete;
the result does not depend on where the stream was cut. An absent child counts as 0 where the rule is COVERAGE or SUM
and is left out everywhere else.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import MapMismatchError
from vmpz.kernels.families import add_children

__all__ = ["DEGRADE_RULES", "MEANS", "Families"]

IntArray = NDArray[np.int64]
Values = NDArray[Any]
Transform = Callable[[Values], Values]
Parents = tuple[IntArray, Values]


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
        self._rows: list[tuple[IntArray, Values, Values]] = []

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
            Ascending; without those whose weights are all zero.
        values : (m,)
            float64, except MIN, MAX, MODE and OR which keep the dtype.
        """
        if self.rule in EXTREMES or self.rule == "MODE":
            return self._held_back(cells, values, _ones_or(weight, values.size))
        additive = self.rule in ("COVERAGE", "SUM")
        moments = values.astype(np.float64, copy=False)
        moments = moments if additive else np.asarray(MEANS[self.rule][0](moments))
        share = np.ones(cells.size) if additive else _ones_or(weight, cells.size)
        parents, sums = np.empty(cells.size, np.int64), np.empty((cells.size, 2))
        count = add_children(cells, moments, share, self.shift, self._parent, self._sums, parents, sums)
        return self._finished(parents[:count], sums[:count])

    def finish(self) -> Parents:
        """The parents that are left when no more children come."""
        if self._rows:
            return self._reduced(*self._taken(None))
        parents = self._parent[self._parent >= 0]
        found = self._finished(parents.copy(), self._sums[None][: parents.size].copy())
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
        """Rules that look at a whole family at once: rows of the last family wait for the next call."""
        self._rows.append((cells, values, weight))
        last = int(cells[-1]) >> self.shift if cells.size else -1
        return self._reduced(*self._taken(last))

    def _taken(self, last: int | None) -> tuple[IntArray, Values, Values]:
        """Rows of complete families; those of the family `last` are kept."""
        cells, values, weight = (np.concatenate(one) for one in zip(*self._rows, strict=True))
        cut = cells.size if last is None else int(np.searchsorted(cells, last << self.shift))
        self._rows = [] if cut == cells.size else [(cells[cut:], values[cut:], weight[cut:])]
        return cells[:cut], values[:cut], weight[:cut]

    def _reduced(self, cells: IntArray, values: Values, weight: Values) -> Parents:
        if not cells.size:
            return cells, values
        parents = cells >> self.shift
        start = np.flatnonzero(np.concatenate(([True], parents[1:] != parents[:-1])))
        if self.rule in EXTREMES:
            return parents[start], EXTREMES[self.rule].reduceat(values, start)
        return _modes(parents, values, weight)


def _ones_or(weight: Values | None, size: int) -> NDArray[np.float64]:
    return np.ones(size) if weight is None else weight.astype(np.float64, copy=False)


def _modes(parents: IntArray, values: Values, weight: Values) -> Parents:
    """The value of largest weight of each family, the lowest on ties."""
    by_value = np.lexsort((values, parents))
    parents, values, weight = parents[by_value], values[by_value], weight[by_value]
    first = np.flatnonzero(
        np.concatenate(([True], (parents[1:] != parents[:-1]) | (values[1:] != values[:-1])))
    )
    total = np.add.reduceat(weight, first)
    parents, values = parents[first], values[first]
    best = np.lexsort((values, -total, parents))
    best = best[np.concatenate(([True], np.diff(parents[best]) != 0))]
    best = best[total[best] > 0]
    return parents[best], values[best]
