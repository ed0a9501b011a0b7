"""Schemes of random catalogues: how many points, or candidates of points, every cell gets.

`vmpz.make.randoms` has the definitions; here are the nouns, and the counts.

Every random number is a word of Philox4x64-10 under the key (seed, catalogue), of the counter (index, uniq of the cell
or node, stream, batch): no tile, file, worker or thread enters. Streams, so that no number serves two purposes:

============ ===================================================== =============== ===============
stream       what is drawn                                         index           uniq
============ ===================================================== =============== ===============
`COUNT`      Poisson number of points of a cell                    attempt         the cell
`POSITION`   place in its cell (words 0, 1), deviate of detection  index of the    the cell
             (word 2) and priority (word 3) of a point             point
`ATTRIBUTE`  redshift, magnitudes, size of a point                 index of the    the cell
                                                                   point
`NODE`       binomial number of points of a node of the quadtree   attempt         the node
`CANDIDATE`  Poisson number of candidates of a cell                attempt         the cell
`CHOICE`     cells of the points of a node that has few            every fourth    the node
                                                                   point
============ ===================================================== =============== ===============

The batch is 0, but for further candidates of the schemes that cut: their numbers per cell are drawn in batch 1, 2...,
and the candidates of a cell are counted on, so that the next one has the next index.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError, MapMismatchError
from vmpz.kernels import deviates, splitting
from vmpz.make.randomfields import ONE, Listed, Totals, fixed_point, shard_order
from vmpz.parameters import RandomParameters
from vmpz.sky import hpx

__all__ = [
    "ATTRIBUTE",
    "CANDIDATE",
    "CHOICE",
    "COUNT",
    "NODE",
    "POSITION",
    "Draw",
    "Rules",
    "candidates",
    "prepare",
    "rules_of",
    "with_batch",
]

IntArray = NDArray[np.int64]

COUNT, POSITION, ATTRIBUTE, NODE, CANDIDATE, CHOICE = range(6)

MARGIN_SIGMA = 5.0
"""Standard deviations of the number wanted by which candidates are expected to exceed it, in the schemes that cut."""
MOST = 1 << 50
"""Points, or candidates, of a catalogue: all counts up to it are exact."""
TOGETHER = 1 << 14
"""Cells whose numbers are drawn together: they stay in the cache."""


@dataclass(frozen=True)
class Rules:
    """What the user wants; see `vmpz.parameters.RandomParameters`.

    Raises
    ------
    InputError
        Neither number nor density, or both; a scheme that cuts or splits without a number; `nested` without a density;
        more than 2**50 points.

    Examples
    --------
    >>> from vmpz import Rules
    >>> Rules(seed=1, scheme="exact", number=1_000_000).number
    1000000
    """

    seed: int
    catalogue: int = 0
    scheme: str = "poisson"
    number: int | None = None
    density_deg2: float | None = None
    keep: str = "detected"
    nested: bool = False
    v_max: float | None = None
    partial: str | None = None

    def __post_init__(self) -> None:
        if (self.number is None) == (self.density_deg2 is None):
            raise InputError(
                "a random catalogue needs a size, either a number of points or a density: --number or --density, or "
                "these keys of [random]"
            )
        known = {"scheme": ("poisson", "exact", "indexed", "trim"), "keep": ("detected", "all")}
        for name, allowed in known.items():
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} must be one of {', '.join(allowed)}, found {getattr(self, name)!r}")
        if self.keeps_all and self.cuts:
            raise InputError(f"scheme {self.scheme!r} keeps what is detected, found keep = 'all'")
        if self.number is None and self.scheme != "poisson":
            raise InputError(f"scheme {self.scheme!r} needs a number of points, found a density")
        if self.number is not None and self.nested:
            raise InputError(
                "nested catalogues need a density, that of all their classes, found a number of points: classes of "
                "different visibility would have different candidates"
            )
        if self.number is not None and self.number > MOST:
            raise InputError(f"a catalogue must have at most {MOST} points, found {self.number}")

    @property
    def keeps_all(self) -> bool:
        """All candidates are points, with their visibility as weight."""
        return self.keep == "all"

    @property
    def thins(self) -> bool:
        """Candidates are detected or not, each by its deviate."""
        return self.scheme == "indexed" or (self.nested and not self.keeps_all)

    @property
    def cuts(self) -> bool:
        """Of the detected candidates those of smallest priority are kept."""
        return self.scheme in ("indexed", "trim")

    @property
    def splits(self) -> bool:
        """Numbers come from the quadtree."""
        return self.scheme in ("exact", "indexed")

    @property
    def uniform(self) -> bool:
        """Candidates are as dense in every cell, whatever its visibility."""
        return self.thins or self.keeps_all


@dataclass(frozen=True)
class Draw:
    """A catalogue that can be drawn, shard by shard; small, and the same everywhere.

    Attributes
    ----------
    rules : Rules
    order : int
        Of the cells.
    totals : Totals
    per_cell : float
        Points expected in a cell of visibility 1.
    v_max : int
        Visibility that every candidate passes, in units of 2**-32.
    budgets : tuple of mapping of shard to int
        Points or candidates of each shard, batch after batch, where the quadtree splits them.
    batches : int
        Batches of candidates.
    cut : (int, int) or None
        Largest (priority, OBJECT_ID) that is kept, once it is settled.
    """

    rules: Rules
    order: int
    totals: Totals
    per_cell: float
    v_max: int = ONE
    budgets: tuple[Mapping[int, int], ...] = ()
    batches: int = 1
    cut: tuple[int, int] | None = None

    @property
    def shards(self) -> tuple[int, ...]:
        """Shards that may hold points, ascending."""
        return tuple(shard for shard, number in self.totals.listed.items() if number)

    @property
    def density_deg2(self) -> float:
        """Points per square degree where the visibility is 1; with `keep = all`, of candidates everywhere."""
        return self.per_cell / hpx.cell_area_deg2(self.order)

    @property
    def area_deg2(self) -> float:
        """Integral of the visibility over the sky."""
        return self.totals.integral / ONE * hpx.cell_area_deg2(self.order)

    @property
    def expected(self) -> float:
        """Expected number of points: exact in all schemes but Poisson."""
        if self.rules.number is not None:
            return float(self.rules.number)
        return self.per_cell * (self.totals.cells if self.rules.keeps_all else self.totals.integral / ONE)

    @property
    def is_exact(self) -> bool:
        """Whether the number of points is `expected`, not only on average."""
        return self.rules.scheme != "poisson"

    @property
    def key(self) -> tuple[np.uint64, np.uint64]:
        """Key of all random numbers."""
        return np.uint64(self.rules.seed), np.uint64(self.rules.catalogue)

    @property
    def draw_bits(self) -> int:
        """Bits of an OBJECT_ID that hold the index of the point in its cell."""
        return 59 - 2 * self.order

    def of_shards(self, *shards: int) -> "Draw":
        """The same draw, without what other shards need: what goes to a worker. It knows no whole any more."""

        def here(mapping: Mapping[int, int]) -> dict[int, int]:
            return {shard: mapping[shard] for shard in shards if shard in mapping}

        totals = replace(self.totals, integrals=here(self.totals.integrals), listed=here(self.totals.listed))
        return replace(self, totals=totals, budgets=tuple(here(one) for one in self.budgets))


def rules_of(parameters: RandomParameters) -> Rules:
    """Rules of [random].

    Raises
    ------
    InputError
        No seed; see `Rules`.
    """
    if parameters.seed is None:
        raise InputError("a random catalogue needs a seed: --seed or [random] seed")
    return Rules(
        seed=parameters.seed,
        catalogue=parameters.catalogue,
        scheme=parameters.scheme,
        number=parameters.number,
        density_deg2=parameters.density,
        keep=parameters.keep,
        nested=parameters.nested,
        v_max=parameters.v_max,
        partial=parameters.partial,
    )


def prepare(rules: Rules, order: int, totals: Totals) -> Draw:
    """What it takes to draw any shard.

    Parameters
    ----------
    rules : Rules
    order : int
        Of the cells, 0 to 29.
    totals : Totals
        Of the whole map.

    Raises
    ------
    InputError
        Nothing is visible and a number is wanted; a visibility lies above `v_max`; more than 2**50 candidates.
    """
    totals = Totals.summed([totals])
    if rules.number is not None and not totals.integral:
        raise InputError(f"no cell has a visibility above 0, so {rules.number} points cannot be drawn")
    v_max = _v_max(rules, totals.largest)
    draw = Draw(rules, order, totals, _per_cell(rules, order, totals), v_max)
    most = draw.per_cell * (v_max / ONE) * totals.cells if rules.thins else draw.expected
    if not most <= MOST:
        raise InputError(f"a catalogue must have at most {MOST} points and candidates, found {most:.6g}")
    if rules.splits:
        draw = replace(draw, budgets=(_budget(draw, 0),))
    return draw


def with_batch(draw: Draw) -> Draw:
    """The draw with one more batch of candidates, of a scheme that cuts."""
    budgets = (*draw.budgets, _budget(draw, draw.batches)) if draw.rules.splits else ()
    return replace(draw, batches=draw.batches + 1, budgets=budgets, cut=None)


def candidates(draw: Draw, there: Listed, shard: int) -> IntArray:
    """Points, or candidates of points, of every cell; int64 (n,).

    Numbers of the quadtree need all cells of the shard; those of the other schemes are the cell's own.

    Raises
    ------
    InputError
        A cell gets more than an OBJECT_ID can tell apart.
    MapMismatchError
        The field is not the one whose totals the draw was made of.
    """
    counts = _split(draw, there, shard) if draw.rules.splits else _poisson(draw, there)
    most = int(counts.max(initial=0))
    if most > 1 << draw.draw_bits:
        raise InputError(
            f"a cell of order {draw.order} must hold at most {1 << draw.draw_bits} points, or OBJECT_ID does not "
            f"tell them apart, found {most}: draw fewer, or at a lower order"
        )
    return counts


def _v_max(rules: Rules, largest: float) -> int:
    """Visibility that every candidate passes, in units of 2**-32."""
    if rules.v_max is None:
        return max(ONE, int(fixed_point(largest)))
    v_max = int(fixed_point(rules.v_max))
    if int(fixed_point(largest)) > v_max:
        raise InputError(
            f"v_max must be at least the largest visibility, {largest:.9g}, found {rules.v_max:g}"
        )
    return v_max


def _per_cell(rules: Rules, order: int, totals: Totals) -> float:
    """Points expected in a cell of visibility 1; quotients of whole numbers are correctly rounded."""
    if rules.number is None:
        return (rules.density_deg2 or 0.0) * hpx.cell_area_deg2(order)
    if rules.keeps_all:
        return rules.number / totals.cells
    return rules.number * ONE / totals.integral


def _margin(number: int) -> int:
    """Candidates that suffice for a number: 5 standard deviations above it."""
    return number + math.ceil(MARGIN_SIGMA * math.sqrt(number))


def _budget(draw: Draw, batch: int) -> dict[int, int]:
    """Points or candidates of every shard, by the quadtree above the shards."""
    rules, totals = draw.rules, draw.totals
    number = rules.number or 0
    if rules.scheme == "indexed":  # detected is a share <V> / v_max of them
        number = -(-_margin(number) * totals.cells * draw.v_max // totals.integral)
    weights = totals.listed if rules.uniform else totals.integrals
    return _descend(number, weights, shard_order(draw.order), batch, draw.key)


def _descend(
    number: int, shards: Mapping[int, int], order: int, batch: int, key: tuple[np.uint64, np.uint64]
) -> dict[int, int]:
    """The number split over the nodes of the tree of cells down to the shards, in proportion to their weights."""
    levels = [{shard: weight for shard, weight in shards.items() if weight}]
    while len(levels) <= order:
        above: dict[int, int] = {}
        for node, weight in levels[-1].items():
            above[node >> 2] = above.get(node >> 2, 0) + weight
        levels.append(above)
    numbers = _shared(number, list(levels[-1].items()), 0, batch, key)
    for depth, weights in enumerate(reversed(levels[:-1]), start=1):
        families: dict[int, list[tuple[int, int]]] = {}
        for node, weight in weights.items():
            families.setdefault(node >> 2, []).append((node, weight))
        below: dict[int, int] = {}
        for parent, children in families.items():
            below.update(_shared(numbers[parent], children, depth, batch, key))
        numbers = below
    return numbers


def _shared(
    number: int, weights: list[tuple[int, int]], order: int, batch: int, key: tuple[np.uint64, np.uint64]
) -> dict[int, int]:
    """The number shared among siblings: each gets a binomial part of what is left, the last one the rest."""
    left, numbers = sum(weight for _, weight in weights), {}
    for node, weight in sorted(weights):
        uniq = (4 << 2 * order) + node
        part = int(
            deviates.binomial(number, weight / left, np.uint64(uniq), np.uint64(NODE), np.uint64(batch), *key)
        )
        numbers[node] = part
        number, left = number - part, left - weight
    return numbers


def _split(draw: Draw, there: Listed, shard: int) -> IntArray:
    """Numbers of all cells of a shard by the quadtree below it."""
    found = (int(there.fixed.sum()), there.cells.size)
    must = (draw.totals.integrals.get(shard, 0), draw.totals.listed.get(shard, 0))
    if found != must:
        raise MapMismatchError(
            f"scheme {draw.rules.scheme!r} draws whole shards: shard {shard} must have {must[1]} visible cells of "
            f"integral {must[0]}, found {found[1]} of {found[0]}"
        )
    weights = np.ones(there.cells.size, np.uint64) if draw.rules.uniform else there.fixed
    before = np.concatenate((np.zeros(1, np.uint64), np.cumsum(weights, dtype=np.uint64)))
    counts = np.zeros(there.cells.size, np.int64)
    levels = draw.order - shard_order(draw.order)
    for batch, budget in enumerate(draw.budgets):
        number = budget.get(shard, 0)
        splitting.split(
            shard, draw.order, levels, number, there.cells, before, NODE, CHOICE, batch, *draw.key, counts
        )
    return counts


def _poisson(draw: Draw, there: Listed) -> IntArray:
    """Numbers of any cells, each by itself."""
    stream = CANDIDATE if draw.rules.cuts or draw.rules.uniform else COUNT
    counts = np.zeros(there.cells.size, np.int64)
    for begin in range(0, counts.size, TOGETHER):
        some = there[begin : begin + TOGETHER]
        means, uniq = _means(draw, some.fixed), hpx.to_uniq(some.cells, draw.order)
        more = np.empty(means.size, np.int64)
        for batch in range(draw.batches):
            deviates.poisson_counts(means, uniq, stream, batch, *draw.key, more)
            counts[begin : begin + TOGETHER] += more
    return counts


def _means(draw: Draw, fixed: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Points, or candidates, that are expected in cells of some visibility."""
    rules = draw.rules
    if rules.keeps_all and not rules.cuts:
        return np.full(fixed.size, draw.per_cell)
    if rules.nested:
        return np.full(fixed.size, draw.per_cell * (draw.v_max / ONE))
    number = rules.number or 1
    margin = _margin(number) / number if rules.cuts else 1.0
    return np.asarray(draw.per_cell * margin * (fixed * (1.0 / ONE)), np.float64)
