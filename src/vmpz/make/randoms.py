"""Random catalogues that follow a visibility.

**Definition.** Points on the sphere, distributed as galaxies without clustering would be observed: the expected number
in a solid angle is ``nbar Int V dOmega``, with the visibility V (0 to 1, or above where the map is deeper than its
reference; the observed fraction included) and nbar, the density of points where V = 1.

**Cells.** V is float32 on the cells of one order, HPXORDER, rounded to the grid of 2**-32; integrals are exact sums of
whole numbers. Inside a cell points are uniform: in the whole cell, or in the observed ones of its 64 sub-cells, where
the map has them and `partial` is not ``cell``. No cell has less than its V because of it: V is the density of the cell
as a whole, and the sub-cells say where in it.

**Schemes** (V_c, Omega of a cell; N the number wanted)

========= ==================================================================== =================== ==================
scheme    how                                                                  number              counts of areas
========= ==================================================================== =================== ==================
poisson   Poisson(nbar Omega V_c) points in every cell                         N +- sqrt(N)        independent
exact     N split by a quadtree of binomials: base cells, their children...,   N                   multinomial
          cells; each child by its share of the integral of V
indexed   (N + 5 sqrt N) v_max / <V> candidates, split as if V = 1; detected   N                   multinomial
          where deviate < V_c / v_max; the N of least priority are kept
trim      poisson with N + 5 sqrt(N) for N; the N of least priority are kept   N                   multinomial
========= ==================================================================== =================== ==================

The counts n_i of areas of share p_i of the integral have ``Cov = -N p_i p_j`` where they are multinomial. Priorities
are 64-bit random words, ties are settled by OBJECT_ID. Where fewer than N are detected (odds below 1e-6), `indexed` and
`trim` draw more candidates.

`nested` (poisson): Poisson(nbar Omega v_max) candidates in every cell with V_c > 0, detected where
deviate < V_c / v_max. Classes drawn with one seed, density and `v_max` are then nested, point by point, where their
visibilities are. With the default v_max, 1 or the largest V above it, give `v_max` if any class has a V above 1.

`keep = all`: the candidates, uniform over the cells with V_c > 0, with WEIGHT = V_c. nbar is then the density of
candidates and N their number (poisson: expected; exact: exact); the sum of weights has the expectation
``nbar Int V dOmega``.

**Numbers** come from Philox4x64-10 (Salmon et al. 2011), keyed by (seed, catalogue) and counted by cell and index
(`vmpz.make.schemes`). A cell's points are the same whatever else is drawn, in any order and anywhere: a catalogue need
not be stored, the points of any cells can be drawn again. Poisson needs no more than V of these cells; the other
schemes the `Draw`; exact and indexed V of the whole shard too, 4**9 cells, whose numbers add up.

Two maps drawn with the same (seed, catalogue) therefore share points wherever both have some: that is what nests
classes. Catalogues that are to be independent, those of tomographic bins for instance, need different numbers
`catalogue`.

**Columns**

=============== ============================================================================================
OBJECT_ID       number of the cell times 2**b plus index of the point in it; b = 59 - 2 HPXORDER
RIGHT_ASCENSION degrees, ICRS
DECLINATION     degrees, ICRS
WEIGHT          1, or V of the cell with `keep = all`
HPIX_29         cell of order 29 that holds the point; rows ascend by it, ties by index
=============== ============================================================================================

A row is a function of seed, catalogue, cell and index, of the observed sub-cells of that cell and of its V.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError, MapMismatchError
from vmpz.kernels import cellpoints, thinning
from vmpz.make.randomfields import (
    Field,
    Listed,
    Totals,
    fixed_point,
    listed,
    shard_order,
    shards_in,
    split_field,
    totals_of,
)
from vmpz.make.schemes import ATTRIBUTE, POSITION, Draw, Rules, candidates, prepare, rules_of, with_batch
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap

__all__ = [
    "ATTRIBUTE",
    "BINS",
    "POSITION",
    "Draw",
    "Field",
    "Mapped",
    "Points",
    "Rules",
    "Totals",
    "blocks",
    "candidates_in_bin",
    "census",
    "count",
    "fixed_point",
    "histogram",
    "points",
    "prepare",
    "random_points",
    "rules_of",
    "serially",
    "settle",
    "shard_order",
    "shards_in",
    "split_field",
    "totals_of",
    "with_cut",
]

IntArray = NDArray[np.int64]
Words = NDArray[np.uint64]
Numbers = NDArray[np.unsignedinteger[Any]]

BINS = 1 << 16
"""Bins of priorities: their upper 16 bits."""
BLOCK = 1 << 16
"""Points, or candidates, that are held at a time: they stay in the cache."""

Mapped = Callable[[Callable[[Field, int], Any], Sequence[int]], Iterable[Any]]
"""``mapped(function, shards)`` gives ``function(field, shard)`` of every shard, in any order and from anywhere.

The function is picklable."""


@dataclass(frozen=True, eq=False)
class Points:
    """Points of a field, n of them, in the order of the catalogue.

    Attributes
    ----------
    order : int
        Of the cells in which they were drawn.
    lon, lat : float64 (n,)
        ICRS degrees, in [0, 360) and [-90, 90].
    pixel29 : int64 (n,)
        Cell of order 29; ascending, ties by `draw`.
    draw : int64 (n,)
        Index of the point in its cell: with the cell it counts all its random numbers.
    place : int64 (n,)
        Place of its cell in the field.
    weight : float64 (n,)
    """

    order: int
    lon: NDArray[np.float64]
    lat: NDArray[np.float64]
    pixel29: IntArray
    draw: IntArray
    place: IntArray
    weight: NDArray[np.float64]

    def __len__(self) -> int:
        return int(self.lon.size)

    @property
    def cell(self) -> IntArray:
        """Cells of the points, int64 (n,)."""
        return self.pixel29 >> 2 * (hpx.MAX_ORDER - self.order)

    @property
    def object_id(self) -> IntArray:
        """OBJECT_ID, int64 (n,)."""
        return _object_id(self.cell, self.draw, self.order)


def random_points(visibility: SkyMap, rules: Rules, subcells: SkyMap | None = None) -> Points:
    """The random catalogue of a map in memory, drawn at its own order.

    Parameters
    ----------
    visibility : SkyMap
        Observed fraction included.
    rules : Rules
        Seed, scheme, number or density...
    subcells : SkyMap, optional
        Observed sub-cells of the same cells (`Field.words`), int64 or uint64.

    Raises
    ------
    InputError
        Nothing is visible and a number is wanted, or a visibility is out of range.

    Examples
    --------
    >>> from vmpz import CellSet, Rules, SkyMap, random_points
    >>> half = SkyMap(CellSet.from_ranges(8, [(1000, 2000)]), [0.5] * 1000)
    >>> len(random_points(half, Rules(seed=1, scheme="exact", number=10)))
    10
    """
    cells, values = visibility.cells.cells(), visibility.values.astype(np.float32)
    words = None if subcells is None else subcells.of_cells(cells, 0).astype(np.int64).view(np.uint64)
    fields = dict(split_field(visibility.order, cells, values, words))
    draw = prepare(rules, visibility.order, Totals.summed(map(totals_of, fields.values())))
    draw = settle(draw, draw.shards, serially(fields.__getitem__))
    parts = [points(draw, fields[shard], shard) for shard in draw.shards]
    before = np.searchsorted(cells, [fields[shard].cells[0] for shard in draw.shards])
    parts = [replace(part, place=part.place + start) for part, start in zip(parts, before)]
    names = [name for name in Points.__dataclass_fields__ if name != "order"]
    parts = parts or [points(draw, Field(draw.order, cells[:0], values[:0]), 0)]
    return Points(draw.order, *(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def count(draw: Draw, field: Field, shard: int, only: CellSet | None = None) -> int:
    """Number of points of a shard; parameters and errors are those of `points`."""
    return census(draw, field, shard, only)[0]


def census(draw: Draw, field: Field, shard: int, only: CellSet | None = None) -> tuple[int, Numbers]:
    """The same, and the points, or candidates, of each visible cell that is wanted: to be kept for `blocks`."""
    there, counts = _numbers(draw, field, shard, only)
    small = counts.astype(np.min_scalar_type(int(counts.max(initial=0))))
    if not (draw.rules.thins or draw.rules.cuts):
        return int(counts.sum()), small
    kept = (_kept(draw, there[part], counts[part]) for part in _parts(counts, BLOCK))
    return sum(int(np.count_nonzero(one)) for one in kept), small


def points(draw: Draw, field: Field, shard: int, only: CellSet | None = None) -> Points:
    """Points of a shard.

    Parameters
    ----------
    draw : Draw
        Settled, if its scheme cuts (`settle`).
    field : Field
        Of this shard. Schemes exact and indexed want all of its cells, the others any.
    shard : int
    only : CellSet, optional
        Cells whose points are wanted, of the order of the field; default all.

    Raises
    ------
    InputError
        The cut is not settled; words of sub-cells are wanted and there are none; a visibility is out of range; a cell
        gets more points than OBJECT_ID can tell apart.
    MapMismatchError
        The field is not of this order or shard, its cells do not ascend, or it is not the one that was totalled.
    """
    there, counts = _numbers(draw, field, shard, only)
    return _points(draw, field, there, counts)


def blocks(
    draw: Draw,
    field: Field,
    shard: int,
    only: CellSet | None = None,
    size: int = BLOCK,
    numbers: Numbers | None = None,
) -> Iterator[Points]:
    """`points`, about `size` candidates at a time (or one cell, if it has more): bounded memory at any density.

    The numbers of the cells are drawn again where they were not kept (`census`).
    """
    there, counts = _numbers(draw, field, shard, only, numbers)
    for part in _parts(counts, size):
        yield _points(draw, field, there[part], counts[part])


def histogram(draw: Draw, field: Field, shard: int) -> IntArray:
    """Detected candidates of a shard by the upper 16 bits of their priority, int64 (65536,); shards add."""
    there, counts = _numbers(draw, field, shard, None)
    found = np.zeros(BINS, np.int64)
    for part in _parts(counts, BLOCK):
        detected, priority = _chances(draw, there[part], counts[part])
        found += np.bincount((priority[detected] >> np.uint64(48)).astype(np.int64), minlength=BINS)
    return found


def candidates_in_bin(draw: Draw, field: Field, shard: int, number: int) -> tuple[Words, IntArray]:
    """Priorities and OBJECT_IDs of the detected candidates in one bin of the histogram; uint64 (n,), int64 (n,)."""
    there, counts = _numbers(draw, field, shard, None)
    priorities, identities = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    for part in _parts(counts, BLOCK):
        detected, priority = _chances(draw, there[part], counts[part])
        detected &= priority >> np.uint64(48) == number
        place, index = _listing(counts[part], detected)
        priorities.append(priority[detected])
        identities.append(_object_id(there.cells[part][place], index, draw.order))
    return np.concatenate(priorities), np.concatenate(identities)


def with_cut(draw: Draw, priority: int, object_id: int) -> Draw:
    """The draw that keeps the detected candidates up to this (priority, OBJECT_ID)."""
    return replace(draw, cut=(int(priority), int(object_id)))


def serially(field_of: Callable[[int], Field]) -> Mapped:
    """The way to map over shards one after the other; `field_of` gives the field of a shard."""

    def mapped(function: Callable[[Field, int], Any], shards: Sequence[int]) -> Iterator[Any]:
        return (function(field_of(shard), shard) for shard in shards)

    return mapped


def settle(draw: Draw, shards: Sequence[int], mapped: Mapped) -> Draw:
    """The draw with its cut, if its scheme has one, so that exactly the number wanted is kept.

    Parameters
    ----------
    draw : Draw
    shards : sequence of int
        All shards of the draw (`Draw.shards`), in any order.
    mapped : callable
        `serially`, or something that spreads the work.

    Raises
    ------
    MapMismatchError
        Shards are missing or given twice.
    """
    if not draw.rules.cuts or draw.cut is not None:
        return draw
    if sorted(shards) != list(draw.shards):
        raise MapMismatchError(
            f"a cut needs each of the {len(draw.shards)} shards of the draw once, found {len(shards)} others"
        )
    wanted = draw.rules.number or 0
    while True:
        found = np.zeros(BINS, np.int64)
        for one in mapped(partial(histogram, draw), shards):
            found += one
        if found.sum() >= wanted:
            break
        draw = with_batch(draw)
    up_to = np.cumsum(found)
    number = int(np.searchsorted(up_to, wanted))
    lists = list(mapped(partial(candidates_in_bin, draw, number=number), shards))
    priority, identity = (np.concatenate(column) for column in zip(*lists, strict=True))
    last = np.lexsort((identity, priority))[wanted - int(up_to[number] - found[number]) - 1]
    return with_cut(draw, int(priority[last]), int(identity[last]))


def _numbers(
    draw: Draw, field: Field, shard: int, only: CellSet | None, known: Numbers | None = None
) -> tuple[Listed, IntArray]:
    """The visible cells that are wanted, and their points or candidates."""
    if field.order != draw.order or (only is not None and only.order != draw.order):
        raise MapMismatchError(
            f"points are drawn in cells of order {draw.order}, found a field of order {field.order}"
            + ("" if only is None else f" and cells of order {only.order}")
        )
    there = listed(field, shard)
    if only is not None and (known is not None or not draw.rules.splits):
        there = there[only.index(there.cells) >= 0]
    if known is not None:
        return there, known.astype(np.int64)
    counts = candidates(draw, there, shard)
    if only is not None and draw.rules.splits:
        wanted = only.index(there.cells) >= 0
        there, counts = there[wanted], counts[wanted]
    return there, counts


def _parts(counts: IntArray, size: int) -> Iterator[slice]:
    """Runs of cells with about `size` points, at least one cell each."""
    up_to, begin = np.cumsum(counts), 0
    while begin < counts.size:
        before = int(up_to[begin - 1]) if begin else 0
        end = max(int(np.searchsorted(up_to, before + size, side="right")), begin + 1)
        yield slice(begin, end)
        begin = end


def _listing(counts: IntArray, kept: NDArray[np.bool_]) -> tuple[IntArray, IntArray]:
    """Cell (its place) and index in it of every candidate that is kept."""
    size = int(np.count_nonzero(kept))
    place, index = np.empty(size, np.int64), np.empty(size, np.int64)
    thinning.list_points(counts, kept, place, index)
    return place, index


def _chances(draw: Draw, there: Listed, counts: IntArray) -> tuple[NDArray[np.bool_], Words]:
    """Whether each candidate is detected, and its priority."""
    size = int(counts.sum())
    deviate, priority = np.empty(size, np.uint64), np.empty(size, np.uint64)
    cellpoints.chances(there.cells, draw.order, counts, POSITION, 0, *draw.key, deviate, priority)
    detected = np.ones(size, np.bool_)
    if draw.rules.thins:
        thinning.detect(deviate, counts, there.fixed, np.uint64(draw.v_max), detected)
    return detected, priority


def _kept(draw: Draw, there: Listed, counts: IntArray) -> NDArray[np.bool_]:
    """Whether each candidate becomes a point."""
    if draw.rules.cuts and draw.cut is None:
        raise InputError(
            f"scheme {draw.rules.scheme!r} needs its cut before points are drawn: `settle` the draw"
        )
    kept, priority = _chances(draw, there, counts)
    if draw.cut is not None:
        bound = np.uint64(draw.cut[0])
        kept &= priority <= bound
        tied = kept & (priority == bound)
        place, index = _listing(counts, tied)
        kept[tied] = _object_id(there.cells[place], index, draw.order) <= draw.cut[1]
    return kept


def _points(draw: Draw, field: Field, there: Listed, counts: IntArray) -> Points:
    """The points of some cells."""
    words = _words(draw, field, there)
    if draw.rules.thins or draw.rules.cuts:
        place, index = _listing(counts, _kept(draw, there, counts))
    else:
        place, index = np.zeros((2, int(counts.sum())), np.int64)
        thinning.list_cells(counts, place)
    lon, lat, pixel29 = np.empty(place.size), np.empty(place.size), np.empty(place.size, np.int64)
    if draw.rules.thins or draw.rules.cuts:
        cellpoints.draw_listed(
            draw.order, there.cells, words, place, index, POSITION, 0, *draw.key, lon, lat, pixel29
        )
        thinning.sort_in_cells(place, pixel29, index, lon, lat)
    else:
        cellpoints.draw_points(
            draw.order, there.cells, words, counts, POSITION, 0, *draw.key, lon, lat, pixel29, index
        )
    if there.cells.size != field.cells.size:
        place = there.place[place]
    weight = field.visibility[place].astype(np.float64) if draw.rules.keeps_all else np.ones(place.size)
    return Points(draw.order, lon, lat, pixel29, index, place, weight)


def _words(draw: Draw, field: Field, there: Listed) -> Words:
    """Observed sub-cells of the cells, 0 where points may lie anywhere."""
    if field.words is not None and draw.rules.partial != "cell":
        return field.words[there.place]
    if draw.rules.partial == "subcells" and field.cells.size:
        raise InputError("points in observed sub-cells need the words of the map, found a map without them")
    return np.zeros(there.cells.size, np.uint64)


def _object_id(cells: IntArray, index: IntArray, order: int) -> IntArray:
    return (cells << (59 - 2 * order)) | index
