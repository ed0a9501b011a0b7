"""Maps of exposures: a statistic, over the exposures that see a cell, of one number each.

A sample is a detector exposure with the exact share of the cell that its outline covers, or, ``per = "pixel"``, a point
(64 in a cell): the sum over the exposures that see the point for what adds up (Exposures, ExposureTime, Weight), their
mean for the rest.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import MissingProductError
from vmpz.frames import Exposures
from vmpz.make.values import measured_map
from vmpz.quantities import quantity
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.shares import outline_shares, subcells_inside
from vmpz.sky.skymap import SkyMap
from vmpz.statistics import Samples, statistic

__all__ = ["Field", "exposure_map", "exposure_values", "shares_of", "weights_of"]

Array = NDArray[np.float64]

Field = Callable[[NDArray[np.int64], Array, Array], Array]
"""A number that changes over the field of an exposure: (rows, lon_deg, lat_deg) -> values, arrays of one length."""

POINTS = 64
"""Points of a cell: the centres of its sub-cells."""
PAIRS_AT_ONCE = 1 << 15
ADDITIVE = {"Exposures", "ExposureTime", "Weight"}
CIRCLE = ("MEAN", "WMEAN")
WEIGHTS = {"inverse-variance": "Weight", "exposure-time": "ExposureTime"}


def exposure_map(
    exposures: Exposures,
    name: str,
    statistic_name: str,
    cells: CellSet,
    *,
    per: str = "exposure",
    field: Field | None = None,
    weight: str | None = None,
) -> SkyMap:
    """A statistic of a scalar of detector exposures.

    Parameters
    ----------
    exposures : Exposures
    name : str
        Quantity; 'Exposures' needs no scalar (of a coadd it is the number of exposures that went into it).
    statistic_name : str
        ARGMIN and ARGMAX give the number of the exposure, counted from 1; points have none.
    cells : CellSet
        The area's own cells.
    per : {'exposure', 'pixel'}
        What a sample is.
    field : callable, optional
        Where the quantity is no scalar but a function of position; by exposure only.
    weight : str, optional
        Kind of weights, see `weights_of`.

    Raises
    ------
    MissingProductError
        An exposure does not have the scalar, or the number of a point is asked for.
    """
    if per == "pixel" and (statistic_name in ("ARGMIN", "ARGMAX") or field is not None):
        raise MissingProductError(
            f"{name}:{statistic_name} is of exposures; the points of a cell have none: ask for per = exposure"
        )
    row = quantity(name)
    return measured_map(
        cells,
        exposure_values(exposures, name, statistic_name, cells, per=per, field=field, weight=weight),
        row.dtype,
    )


def exposure_values(
    exposures: Exposures,
    name: str,
    statistic_name: str,
    cells: CellSet,
    *,
    per: str = "exposure",
    field: Field | None = None,
    weight: str | None = None,
) -> Array:
    """The values of `exposure_map`, float64 (len(cells),), NaN where no exposure sees the cell; parameters as there."""
    if per == "pixel":
        if quantity(name).circular:
            raise MissingProductError(
                f"{name} is an angle that wraps, whose points have no mean: ask for per = exposure"
            )
        samples = _per_point(exposures, name, cells, weight)
        return statistic(statistic_name).finish(samples)
    if (name, statistic_name) == ("Exposures", "COUNT"):
        statistic_name = "SUM"  # of the numbers of exposures that the rows stand for, 1 but for coadds
    number, place, share = shares_of(exposures, cells)
    if field is None:
        value = _scalars(exposures, name)[number]
    else:
        value = np.asarray(
            field(number.astype(np.int64), *hpx.centres(cells.cells()[place], cells.order)), float
        )
        _must_be_known(value, name, exposures, number)
    weights = weights_of(exposures, weight)[number]
    return _finish(
        statistic_name, quantity(name).circular, len(cells), place, value, share, weights, number + 1
    )


def _finish(
    name: str,
    circular: bool,
    n_cells: int,
    place: NDArray[Any],
    value: Array,
    share: Array,
    weight: Array,
    number: NDArray[Any],
) -> Array:
    """A statistic of samples; the mean of angles that wrap is the direction of their mean vector."""
    chosen = statistic(name)
    if not circular or name not in CIRCLE:
        return chosen.finish(Samples(n_cells).add(place, value, share, weight, number))
    sine, cosine = (
        chosen.finish(Samples(n_cells).add(place, part(np.radians(value)), share, weight, number))
        for part in (np.sin, np.cos)
    )
    return np.asarray(np.degrees(np.arctan2(sine, cosine)))


@lru_cache(maxsize=2)
def shares_of(exposures: Exposures, cells: CellSet) -> tuple[NDArray[np.int32], NDArray[np.int64], Array]:
    """Pairs of exposure and cell: row, place of the cell, exact share; the maps of a band ask for the same ones."""
    row, cell, share = outline_shares(exposures.corners, cells.order, cells)
    return row, cells.index(cell), share


def weights_of(exposures: Exposures, kind: str | None = None) -> Array:
    """Weights of exposures in weighted statistics.

    Parameters
    ----------
    kind : {None, 'inverse-variance', 'exposure-time'}
        None: inverse variances; else exposure times, to which they are proportional against the sky; else 1.

    Raises
    ------
    MissingProductError
        What was asked for is not known of every exposure.
    """
    if kind is not None:
        return _scalars(exposures, WEIGHTS[kind])
    for name in WEIGHTS.values():
        weights = exposures.scalars.get(name)
        if weights is not None and np.all(np.isfinite(weights)) and np.all(weights >= 0):
            return weights
    return np.ones(len(exposures))


def _scalars(exposures: Exposures, name: str) -> Array:
    if name == "Exposures":  # a coadd is as many as went into it
        number = exposures.scalars.get(name, np.ones(len(exposures)))
        return np.where(np.isfinite(number), number, 1.0)
    values = exposures.scalars.get(name, np.full(len(exposures), np.nan))
    _must_be_known(values, name, exposures, np.arange(len(exposures)))
    return values


def _must_be_known(values: Array, name: str, exposures: Exposures, rows: NDArray[Any]) -> None:
    unknown = np.flatnonzero(~np.isfinite(values))
    if unknown.size:
        raise MissingProductError(
            f"{name} needs a value for every exposure; {exposures.ids[rows[unknown[0]]]} has none"
        )


def _per_point(exposures: Exposures, name: str, cells: CellSet, weight: str | None) -> Samples:
    """Sums at every point, over the exposures in the order of their values: the same bits for any order of theirs."""
    values, weights = _scalars(exposures, name), weights_of(exposures, weight)
    rank = np.empty(len(exposures), np.int64)
    rank[np.lexsort((weights, values))] = np.arange(rank.size)
    listed, place, share = shares_of(exposures, cells)
    row = listed.astype(np.int64)
    by_cell = np.lexsort((rank[row], place))
    row, place = row[by_cell], place[by_cell]
    samples, part = Samples(len(cells)), np.flatnonzero(share[by_cell] < 1.0)
    words = np.full(row.size, np.iinfo(np.uint64).max)
    words[part] = subcells_inside(exposures.corners, row[part], cells.cells()[place[part]], cells.order)
    for begin, end in _groups(place):
        some, here = row[begin:end], place[begin:end]
        seen = (words[begin:end, None] >> np.arange(POINTS, dtype=np.uint64) & np.uint64(1)).astype(bool)
        first = np.flatnonzero(np.diff(here, prepend=-1))
        many = np.add.reduceat(seen, first, dtype=np.int64)
        total, weighed = (
            np.add.reduceat(np.where(seen, scalar[some, None], 0.0), first) for scalar in (values, weights)
        )
        cell, point = np.nonzero(many)
        mean = total[cell, point] if name in ADDITIVE else total[cell, point] / many[cell, point]
        samples.add(here[first][cell], mean, 1.0 / POINTS, weighed[cell, point])
    return samples


def _groups(place: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Parts of a sorted list, each with all pairs of its cells, and about `PAIRS_AT_ONCE` of them."""
    begin = 0
    while begin < place.size:
        last = min(begin + PAIRS_AT_ONCE, place.size) - 1
        end = int(np.searchsorted(place, place[last], side="right"))
        yield begin, end
        begin = end
