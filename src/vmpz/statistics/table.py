"""The table of statistics."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vmpz.errors import InputError, MissingProductError, meant
from vmpz.statistics import rules
from vmpz.statistics.cells import CellStatistics, Moments
from vmpz.statistics.samples import Samples, SortedSamples

__all__ = ["STATISTICS", "Statistic", "statistic"]

Array = NDArray[np.float64]


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
        name,
        f"quantile of {percent} per cent",
        rules.quantile(percent / 100),
        lambda m: m[column],
        float(percent),
    )


STATISTICS: dict[str, Statistic] = {
    row.name: row
    for row in (
        _row("COUNT", "number of samples", lambda s: rules.known(s.total(s.a), s), lambda m: m.covered),
        _row("SUM", "sum", lambda s: rules.known(s.total(s.a * s.x), s), lambda m: m.total),
        _row("MEAN", "mean", rules.mean, lambda m: m["mean"]),
        _row("WMEAN", "inverse-variance weighted mean", rules.weighted_mean, lambda m: m["wmean"]),
        _row("MIN", "lowest value", rules.quantile(0.0), lambda m: m["min"]),
        _row("MAX", "highest value", rules.quantile(1.0), lambda m: m["max"]),
        _row("STD", "population standard deviation", rules.scatter, lambda m: np.sqrt(m["m2"] / m["n"])),
        _row(
            "RMSQ",
            "root mean square",
            rules.root_mean_square,
            lambda m: np.sqrt(m["mean"] ** 2 + m["m2"] / m["n"]),
        ),
        Statistic("MEDIAN", "median", rules.quantile(0.5), lambda m: m["median"], 50.0),
        Statistic(
            "WMEDIAN", "weighted median", rules.weighted_median, lambda m: m["wmedian"], listed="wmedian"
        ),
        Statistic("MODE", "most frequent value", rules.mode, lambda m: m["mode"], listed="mode"),
        _row("VALUE", "the single value", rules.only_value, Moments.only_value),
        _row(
            "ARGMIN",
            "number of the sample of the lowest value",
            rules.argument(rules.quantile(0.0)),
            _not_of_pixels("ARGMIN"),
        ),
        _row(
            "ARGMAX",
            "number of the sample of the highest value",
            rules.argument(rules.quantile(1.0)),
            _not_of_pixels("ARGMAX"),
        ),
    )
}
"""All statistics by name; `statistic` also knows the quantiles Q00 to Q100 and those of other packages."""


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
    if name not in STATISTICS and name not in _others():
        every = (*STATISTICS, *_others())
        raise InputError(
            f"a statistic must be one of {', '.join(every)}, Q00 to Q100; found {name}{meant(name, every)}"
        )
    return STATISTICS.get(name) or _others()[name]


@cache
def _others() -> dict[str, Statistic]:
    """Rows of other packages."""
    return {point.name: point.load() for point in entry_points(group="vmpz.statistics")}
