"""Statistics: what is said of the values in a cell, and the small arrays left after the one pass over the pixels.

**Statistics of samples.** A sample is a value x with the fraction a of the cell that it covers and a weight w
(inverse variance); an exposure gives one sample to every cell it touches.

================  ==============================================================================================
COUNT, SUM        ``sum a``; ``sum a x``: integrals over the cell divided by the cell's area
MEAN, WMEAN       ``sum a x / sum a``; ``sum a w x / sum a w``
MIN, MAX, MODE    extremes; most frequent value, the lowest on ties
MEDIAN, QNN       of the list of values; quantile of NN per cent, linear between values
WMEDIAN           half of ``sum a w`` on either side; between two values where the half falls exactly between them
STD, RMSQ         ``sqrt(sum a (x - mean)**2 / sum a)``; ``sqrt(sum a x**2 / sum a)``
VALUE             the single value; an error where samples differ
ARGMIN, ARGMAX    number of the sample (exposure, stamp) that gives the extreme, the lowest on ties; pixels and points
                  have no numbers
================  ==============================================================================================

Samples with ``a <= A_MIN`` do not touch the cell. Samples are put into one order before anything is added, so
the result does not depend, to the last bit, on the order or the portions in which they came. Over image
pixels, all of the same share of the cell and of weight 1/RMS^2, the same statistics follow from the moments below
(`Statistic.of_moments`), all but ARGMIN and ARGMAX.

**Cell statistics.** Columns, one float64 or int64 value per cell of the area:

=====================  =============================================================================================
``geom``               exact fraction of the cell inside the image outline; where no outline is known, expected
                       share from the local pixel area
``found``              pixels whose centre lies in the cell
``valid``              of these, pixels with a valid RMS (finite, > 0, < 1e15)
``usable``             valid and RMS <= ``rms_max``
``bit.NN``             pixels with flag bit NN set (32 = inside a star mask)
``flagged.<S>``        pixels hit by any bit of selection S (`Selection.text`)
``good.<S>``           usable pixels not hit by S
``subcells``           on request: one 64-bit word, bit k set where more than half of the pixels of the k-th
                       sub-cell (nested, three orders deeper) are good for the coverage
``<P>.<sample>.<m>``   moments of plane P (RMS, BACKGROUND, IMAGE) over a sample: ``valid`` or ``good`` (usable and
                       not hit by the depth selection); m is ``n``, ``mean``, ``m2`` (sum of squared deviations from
                       the mean), ``min``, ``max``; on request ``median``, ``qNN``, ``mode``, and, weighted by
                       1/RMS^2, ``wsum``, ``wmean``, ``wmedian``
=====================  =============================================================================================

A fraction of the cell is ``geom * count / found``: exact inside, right at edges, free of lattice noise.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vmpz.errors import InputError, MissingProductError
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap

__all__ = ["A_MIN", "STATISTICS", "CellStatistics", "Samples", "Statistic", "statistic"]

Array = NDArray[np.float64]

A_MIN = 1e-9
"""Share of a cell up to which an overlap is none: the accuracy of exact covered fractions."""


@dataclass(frozen=True)
class CellStatistics:
    """Counts and moments per cell of one band of one area.

    Attributes
    ----------
    cells : CellSet
        The area's own cells that the image touches, at the working order.
    columns : mapping of str to array (len(cells),)
        See the table above.
    scalars : mapping
        Numbers for the whole band: rms_max, pixels, stray (pixels with bits unknown to the table), invalid_rms...
    """

    cells: CellSet
    columns: Mapping[str, NDArray[Any]]
    scalars: Mapping[str, Any] = field(default_factory=dict)

    def column(self, name: str) -> NDArray[Any]:
        """One column.

        Raises
        ------
        MissingProductError
            It was not counted; the message lists what was, of the same plane and sample.
        """
        if name not in self.columns:
            group = name.rpartition(".")[0]
            alike = [other for other in sorted(self.columns) if other.rpartition(".")[0] == group]
            raise MissingProductError(
                f"{name} was not counted; cell statistics hold {', '.join(alike) or 'nothing of the kind'}"
            )
        return self.columns[name]

    def fraction(self, name: str) -> NDArray[np.float64]:
        """Fraction of each cell, ``geom * count / found``, in [0, 1]; 0 where no pixel was found."""
        found = self.column("found")
        share = np.divide(self.column(name), found, out=np.zeros(found.size), where=found > 0)
        return np.asarray(np.clip(self.column("geom") * share, 0.0, 1.0))

    def map(self, values: NDArray[Any], known: NDArray[np.bool_] | None = None) -> SkyMap:
        """A map of one value per cell, keeping cells where `known` is true."""
        whole = SkyMap(self.cells, values)
        return whole if known is None else whole.where(known)


class Samples:
    """Samples collected so far, in whatever order and portions.

    Parameters
    ----------
    n_cells : int
        Cells are numbered 0 to n_cells - 1.
    """

    def __init__(self, n_cells: int) -> None:
        self.n_cells = n_cells
        self._parts: list[tuple[NDArray[Any], ...]] = []

    def add(
        self, cell: ArrayLike, x: ArrayLike, a: ArrayLike = 1.0, w: ArrayLike = 1.0, number: ArrayLike = 0
    ) -> "Samples":
        """Add samples: cell, value, covered fraction, weight, number of the sample; broadcast to one length.

        Raises
        ------
        InputError
            A value is not finite, or a fraction or weight is negative or not finite.
        """
        part = np.broadcast_arrays(
            np.asarray(cell, np.int64),
            np.asarray(x, np.float64),
            np.asarray(a, np.float64),
            np.asarray(w, np.float64),
            np.asarray(number, np.int64),
        )
        _, values, *shares, _ = part
        if not np.all(np.isfinite(values)):
            raise InputError("values of samples must be finite")
        if any(not np.all(np.isfinite(share) & (share >= 0)) for share in shares):
            raise InputError("covered fractions and weights of samples must be finite and >= 0")
        touching = part[2] > A_MIN
        part = (
            part[0],
            part[1] + 0.0,
            *part[2:],
        )  # no negative zero: it would compare equal and print otherwise
        self._parts.append(tuple(np.asarray(column[touching]).ravel() for column in part))
        return self

    def sorted(self) -> "SortedSamples":
        """All samples in their one order: by cell, value, fraction, weight, number."""
        empty = (np.empty(0, np.int64), np.empty(0), np.empty(0), np.empty(0), np.empty(0, np.int64))
        columns = [np.concatenate(parts) for parts in zip(empty, *self._parts, strict=True)]
        order = np.lexsort((columns[4], columns[3], columns[2], columns[1], columns[0]))
        return SortedSamples(self.n_cells, *(column[order] for column in columns))


@dataclass(frozen=True)
class SortedSamples:
    """Samples by cell and value; what the statistics are computed from."""

    n_cells: int
    cell: NDArray[np.int64]
    x: Array
    a: Array
    w: Array
    number: NDArray[np.int64]

    def total(self, value: Array) -> Array:
        """Sum per cell, one addition after the other."""
        return np.asarray(np.bincount(self.cell, value, self.n_cells), np.float64)

    @property
    def n(self) -> NDArray[np.int64]:
        """Samples per cell."""
        return np.bincount(self.cell, minlength=self.n_cells)

    def at(self, place: NDArray[np.floating[Any]], known: NDArray[np.bool_]) -> Array:
        """Value at a fractional place (0 = lowest) of each cell's list, linear between values."""
        first = np.cumsum(self.n) - self.n
        values = np.full(self.n_cells, np.nan)
        low = np.floor(place[known]).astype(np.int64)
        high = np.minimum(low + 1, self.n[known] - 1)
        begin, share = first[known], place[known] - low
        below, above = self.x[begin + low], self.x[begin + high]
        values[known] = below + (above - below) * share
        return values


def _quotient(above: Array, below: Array) -> Array:
    """above / below, NaN where nothing was seen."""
    return np.asarray(np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0))


def _mean(s: SortedSamples) -> Array:
    return _quotient(s.total(s.a * s.x), s.total(s.a))


def _weighted_mean(s: SortedSamples) -> Array:
    return _quotient(s.total(s.a * s.w * s.x), s.total(s.a * s.w))


def _scatter(s: SortedSamples) -> Array:
    deviation = s.x - _mean(s)[s.cell]
    return np.sqrt(_quotient(s.total(s.a * deviation**2), s.total(s.a)))


def _root_mean_square(s: SortedSamples) -> Array:
    return np.sqrt(_quotient(s.total(s.a * s.x**2), s.total(s.a)))


def _quantile(fraction: float) -> Callable[[SortedSamples], Array]:
    return lambda s: s.at(fraction * (s.n - 1), s.n > 0)


def _known(value: Array, s: SortedSamples) -> Array:
    return np.where(s.n > 0, value, np.nan)


def _weighted_median(s: SortedSamples) -> Array:
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


def _mode(s: SortedSamples) -> Array:
    start = np.flatnonzero(np.diff(s.cell, prepend=-1) | (np.diff(s.x, prepend=np.nan) != 0))
    times = np.diff(np.append(start, s.x.size))
    best = np.lexsort(
        (-s.x[start], times)
    )  # ascending: the most frequent, and of these the lowest, comes last
    values = np.full(s.n_cells, np.nan)
    values[s.cell[start[best]]] = s.x[start[best]]
    return values


def _only_value(s: SortedSamples) -> Array:
    low, high = _quantile(0.0)(s), _quantile(1.0)(s)
    _refuse_differences(low, high)
    return low


def _refuse_differences(low: Array, high: Array) -> None:
    different = np.flatnonzero(low < high)
    if different.size:
        one = different[0]
        raise InputError(
            f"VALUE needs one value per cell, found {different.size} cells where samples differ, "
            f"e.g. {float(low[one])} and {float(high[one])}: ask for another statistic"
        )


def _argument(extreme: Callable[[SortedSamples], Array]) -> Callable[[SortedSamples], Array]:
    """Lowest number among the samples at the extreme."""

    def rule(s: SortedSamples) -> Array:
        at_extreme = s.x == extreme(s)[s.cell]
        lowest = np.full(s.n_cells, np.iinfo(np.int64).max)
        np.minimum.at(lowest, s.cell[at_extreme], s.number[at_extreme])
        return _known(lowest.astype(np.float64), s)

    return rule


class Moments:
    """The moments of one plane over one sample of pixels, ``<plane>.<sample>`` of cell statistics."""

    def __init__(self, statistics: CellStatistics, prefix: str) -> None:
        self._statistics = statistics
        self.prefix = prefix

    def __getitem__(self, name: str) -> Array:
        """A moment as float64, NaN where the sample has no pixel."""
        value = self._statistics.column(f"{self.prefix}.{name}").astype(np.float64)
        return np.where(self._statistics.column(f"{self.prefix}.n") > 0, value, np.nan)

    @property
    def covered(self) -> Array:
        """Fraction of the cell that the pixels of the sample cover, NaN where there is none."""
        fraction = self._statistics.fraction(f"{self.prefix}.n")
        return np.where(self._statistics.column(f"{self.prefix}.n") > 0, fraction, np.nan)

    def only_value(self) -> Array:
        """The value all pixels share."""
        _refuse_differences(self["min"], self["max"])
        return self["min"]


@dataclass(frozen=True)
class Statistic:
    """One row of the table.

    Attributes
    ----------
    name, meaning : str
    of_samples : callable
        `SortedSamples` -> one float64 per cell, NaN where it has no sample.
    of_moments : callable
        `Moments` -> the same from the moments of image pixels. Raises MissingProductError where a needed order
        statistic was not asked for in the pass, or a plane cannot give it.
    percent : float or None
        Order statistic of the pixels that the pass must keep.
    inverse_variance : bool
        Whether the pass must keep sums weighted by 1/RMS**2.
    listed : str or None
        Column that the pass must make of the list of pixels: ``mode``, or ``wmedian``, weighted by 1/RMS**2.
    """

    name: str
    meaning: str
    of_samples: Callable[[SortedSamples], Array]
    of_moments: Callable[[Moments], Array]
    percent: float | None = None
    inverse_variance: bool = False
    listed: str | None = None

    @property
    def weighs_pixels(self) -> bool:
        """Whether it weighs pixels by 1/RMS**2."""
        return self.inverse_variance or self.listed == "wmedian"

    def start(self, n_cells: int) -> Samples:
        """An empty collection of samples."""
        return Samples(n_cells)

    def add(
        self,
        state: Samples,
        cell: ArrayLike,
        x: ArrayLike,
        a: ArrayLike = 1.0,
        w: ArrayLike = 1.0,
        number: ArrayLike = 0,
    ) -> Samples:
        """Add samples; see `Samples.add`."""
        return state.add(cell, x, a, w, number)

    def finish(self, state: Samples) -> Array:
        """One float64 value per cell, NaN where there is no sample."""
        return self.of_samples(state.sorted())

    def from_moments(self, statistics: CellStatistics, prefix: str) -> Array:
        """The statistic of the pixels of ``<plane>.<sample>``, one float64 per cell, NaN where there is none."""
        return self.of_moments(Moments(statistics, prefix))


def _not_of_pixels(name: str) -> Callable[[Moments], Array]:
    def refuse(moments: Moments) -> Array:
        raise MissingProductError(
            f"{name} is the number of an exposure or stamp; image pixels ({moments.prefix}) have none"
        )

    return refuse


def _row(
    name: str,
    meaning: str,
    of_samples: Callable[[SortedSamples], Array],
    of_moments: Callable[[Moments], Array],
) -> Statistic:
    return Statistic(name, meaning, of_samples, of_moments, inverse_variance=name == "WMEAN")


def _quantile_row(percent: int) -> Statistic:
    name, column = f"Q{percent:02d}", f"q{percent:02d}"
    return Statistic(
        name, f"quantile of {percent} per cent", _quantile(percent / 100), lambda m: m[column], float(percent)
    )


STATISTICS: dict[str, Statistic] = {
    row.name: row
    for row in (
        _row("COUNT", "number of samples", lambda s: _known(s.total(s.a), s), lambda m: m.covered),
        _row("SUM", "sum", lambda s: _known(s.total(s.a * s.x), s), lambda m: m.covered * m["mean"]),
        _row("MEAN", "mean", _mean, lambda m: m["mean"]),
        _row("WMEAN", "inverse-variance weighted mean", _weighted_mean, lambda m: m["wmean"]),
        _row("MIN", "lowest value", _quantile(0.0), lambda m: m["min"]),
        _row("MAX", "highest value", _quantile(1.0), lambda m: m["max"]),
        _row("STD", "population standard deviation", _scatter, lambda m: np.sqrt(m["m2"] / m["n"])),
        _row(
            "RMSQ",
            "root mean square",
            _root_mean_square,
            lambda m: np.sqrt(m["mean"] ** 2 + m["m2"] / m["n"]),
        ),
        Statistic("MEDIAN", "median", _quantile(0.5), lambda m: m["median"], 50.0),
        Statistic("WMEDIAN", "weighted median", _weighted_median, lambda m: m["wmedian"], listed="wmedian"),
        Statistic("MODE", "most frequent value", _mode, lambda m: m["mode"], listed="mode"),
        _row("VALUE", "the single value", _only_value, Moments.only_value),
        _row(
            "ARGMIN",
            "number of the sample of the lowest value",
            _argument(_quantile(0.0)),
            _not_of_pixels("ARGMIN"),
        ),
        _row(
            "ARGMAX",
            "number of the sample of the highest value",
            _argument(_quantile(1.0)),
            _not_of_pixels("ARGMAX"),
        ),
    )
}
"""All statistics by name; `statistic` also knows the quantiles Q00 to Q100."""


def statistic(name: str) -> Statistic:
    """The row of a name.

    Raises
    ------
    InputError
        There is no such statistic; the message lists those that exist.
    """
    quantile = re.fullmatch(r"Q(\d\d|100)", name)
    if quantile:
        return _quantile_row(int(quantile[1]))
    if name not in STATISTICS:
        raise InputError(f"a statistic must be one of {', '.join(STATISTICS)}, Q00 to Q100; found {name}")
    return STATISTICS[name]
