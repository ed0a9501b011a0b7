"""Numbers of random points: exact sums, the quadtree above the shards, what each cell gets, what is refused."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from vmpz.errors import InputError, MapMismatchError
from vmpz.kernels import deviates
from vmpz.make import schemes
from vmpz.make.randomfields import (
    LARGEST,
    ONE,
    Field,
    Totals,
    fixed_point,
    listed,
    shard_order,
    split_field,
    totals_of,
)
from vmpz.make.schemes import NODE, Rules, candidates, prepare, rules_of, with_batch
from vmpz.parameters import RandomParameters
from vmpz.sky import hpx

laws = settings(max_examples=60, deadline=None)
VISIBILITIES = arrays.arrays(
    np.float32,
    st.integers(1, 200),
    elements=st.floats(0, 4, width=32) | st.sampled_from([0.0, 2.0**-34, 1.0]),
)


def sky(order, cells, visibility):
    """Fields by shard, and their totals."""
    fields = dict(split_field(order, np.asarray(cells, np.int64), np.asarray(visibility, np.float32)))
    return fields, Totals.summed(totals_of(one) for one in fields.values())


# -- fixed point and totals -----------------------------------------------------------------------------------


@laws
@given(st.floats(0, LARGEST, width=32))
@example(1.0)
@example(2.0**-33)
@example(3 * 2.0**-33)
@example(float(np.nextafter(np.float32(1), np.float32(2))))
def test_fixed_point_is_the_nearest_multiple(value):
    assert int(fixed_point(value)) == round(Fraction(value) * ONE)  # both round half to even


@pytest.mark.parametrize("value", [np.nan, -0.1, np.inf, 1025.0])
def test_visibility_out_of_range_is_refused(value):
    with pytest.raises(InputError, match=r"visibility must lie in \[0, 1024\], found"):
        fixed_point([0.5, value])


@laws
@given(VISIBILITIES, st.randoms(use_true_random=False))
def test_totals_are_the_same_for_any_partition(visibility, rng):
    order, cells = 12, np.sort(np.array(rng.sample(range(3 * 4**9), visibility.size)))
    _, whole = sky(order, cells, visibility)
    cut = sorted(rng.sample(range(visibility.size + 1), min(4, visibility.size)))
    parts = [
        totals_of(field)
        for begin, end in zip([0, *cut], [*cut, visibility.size], strict=True)
        for _, field in split_field(order, cells[begin:end], visibility[begin:end])
    ]
    rng.shuffle(parts)
    pieces = Totals()
    for part in parts:
        pieces = pieces + part
    assert pieces == whole
    assert whole.integral == sum(round(Fraction(float(one)) * ONE) for one in visibility)
    assert whole.cells == np.count_nonzero(fixed_point(visibility))
    assert list(whole.integrals) == sorted(whole.integrals)


def test_an_empty_field_adds_nothing():
    empty = Field(14, np.empty(0, np.int64), np.empty(0, np.float32))
    assert totals_of(empty) == Totals() and len(listed(empty).cells) == 0
    unseen = Field(14, np.arange(3), np.zeros(3, np.float32))
    assert totals_of(unseen) == Totals()


@pytest.mark.parametrize(
    ("field", "shard", "message"),
    [
        (Field(3, np.array([2, 1]), np.ones(2, np.float32)), 0, "must ascend"),
        (Field(3, np.array([1, 1]), np.ones(2, np.float32)), 0, "must ascend"),
        (Field(3, np.array([1, 2]), np.ones(3, np.float32)), 0, "one value for each of its 2 cells"),
        (Field(3, np.array([1]), np.ones(1, np.float32), np.zeros(2, np.uint64)), 0, "one value for each"),
        (Field(3, np.array([1, 64]), np.ones(2, np.float32)), None, "must lie in shard 0, found 0 to 1"),
        (Field(3, np.array([64]), np.ones(1, np.float32)), 0, "must lie in shard 0, found 1 to 1"),
    ],
)
def test_fields_that_are_none_are_refused(field, shard, message):
    with pytest.raises(MapMismatchError, match=message):
        listed(field, shard)


def test_shards_hold_4_to_the_9_cells_or_are_base_cells():
    assert [shard_order(order) for order in (0, 3, 9, 10, 14, 29)] == [0, 0, 0, 1, 5, 20]
    fields, totals = sky(10, [0, 4**9 - 1, 4**9, 5 * 4**9], np.ones(4))
    assert list(fields) == [0, 1, 5] and totals.listed == {0: 2, 1: 1, 5: 1}


# -- rules and draws ------------------------------------------------------------------------------------------


def test_rules_need_a_seed_and_a_size():
    with pytest.raises(InputError, match=r"needs a seed: --seed or \[random\] seed"):
        rules_of(RandomParameters(number=3))
    with pytest.raises(InputError, match="needs a size, either a number of points or a density"):
        rules_of(RandomParameters(seed=0))
    with pytest.raises(InputError, match="nested catalogues need a density"):
        rules_of(RandomParameters(seed=0, number=3, nested=True))
    with pytest.raises(InputError, match="either a number"):
        Rules(0, number=3, density_deg2=3.0)
    with pytest.raises(InputError, match="scheme 'trim' needs a number of points, found a density"):
        Rules(0, scheme="trim", density_deg2=3.0)
    every = RandomParameters(
        seed=2**64 - 1, catalogue=4, density=7.5, keep="all", nested=True, v_max=2.0, partial="cell"
    )
    assert rules_of(every) == Rules(2**64 - 1, 4, "poisson", None, 7.5, "all", True, 2.0, "cell")


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(InputError, match="no cell has a visibility above 0, so 5 points cannot be drawn"):
        prepare(Rules(1, scheme="exact", number=5), 14, Totals())
    _, totals = sky(4, [3, 4], [0.5, 1.5])
    with pytest.raises(InputError, match=r"v_max must be at least the largest visibility, 1\.5, found 1"):
        prepare(Rules(1, density_deg2=5.0, nested=True, v_max=1.0), 4, totals)
    assert prepare(Rules(1, density_deg2=5.0, nested=True), 4, totals).v_max == 3 * ONE // 2
    assert prepare(Rules(1, density_deg2=5.0), 4, Totals()).expected == 0.0


def test_density_number_and_area_belong_together():
    visibility = np.array([0.25, 0.5, 1.0])
    _, totals = sky(4, [3, 4, 90], visibility)
    cell = hpx.cell_area_deg2(4)
    draw = prepare(Rules(1, density_deg2=200.0), 4, totals)
    assert draw.area_deg2 == pytest.approx(1.75 * cell, rel=1e-15)
    assert draw.expected == pytest.approx(200.0 * 1.75 * cell, rel=1e-15)
    assert prepare(Rules(1, number=1000), 4, totals).density_deg2 == pytest.approx(1000 / 1.75 / cell)
    every = prepare(Rules(1, number=1000, keep="all"), 4, totals)
    assert every.density_deg2 == pytest.approx(1000 / 3 / cell) and every.expected == 1000
    every = prepare(Rules(1, density_deg2=200.0, keep="all"), 4, totals)
    assert every.expected == pytest.approx(600.0 * cell)
    assert [prepare(Rules(1, scheme=one, number=9), 4, totals).is_exact for one in ("poisson", "trim")] == [
        False,
        True,
    ]


# -- the quadtree ---------------------------------------------------------------------------------------------


def slowly(number, weights, order, at=0, seed=5):
    """Numbers of the nodes of an order by the tree of binomials from the base cells on, in whole numbers."""
    left, rest, counts = number, sum(weights.values()), {}
    for child in sorted({node >> 2 * (order - at) for node in weights}):
        inside = {node: weight for node, weight in weights.items() if node >> 2 * (order - at) == child}
        uniq = np.uint64((4 << 2 * at) + child)
        part = deviates.binomial(
            left,
            sum(inside.values()) / rest,
            uniq,
            np.uint64(NODE),
            np.uint64(0),
            np.uint64(seed),
            np.uint64(0),
        )
        counts |= {child: part} if at == order else slowly(part, inside, order, at + 1, seed)
        left, rest = left - part, rest - sum(inside.values())
    return counts


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 14),
    st.lists(st.integers(0, 2**62), min_size=1, max_size=60),
    st.integers(1, 10**6),
    st.randoms(use_true_random=False),
)
def test_numbers_of_shards_are_those_of_the_tree_and_cells_add_up(order, spots, number, rng):
    cells = np.unique(np.array(spots) % (12 * 4**order))
    fields, totals = sky(order, cells, rng.choices([0.1, 0.5, 1.0, 3.0], k=cells.size))
    for keep, weights in (("detected", totals.integrals), ("all", totals.listed)):
        draw = prepare(Rules(5, scheme="exact", number=number, keep=keep), order, totals)
        assert draw.budgets[0] == slowly(number, weights, shard_order(order))
        assert sum(draw.budgets[0].values()) == number
        for shard, field in fields.items():
            counts = candidates(draw.of_shards(shard), listed(field), shard)
            assert counts.sum() == draw.budgets[0][shard]


def test_numbers_of_shards_are_multinomial():
    weights = {shard: 1 + (7 * shard) % 11 for shard in range(0, 48, 3)}
    share = np.array(list(weights.values())) / sum(weights.values())
    number, seeds = 500, 1000
    counts = np.array(
        [
            list(schemes._descend(number, weights, 1, 0, (np.uint64(seed), np.uint64(0))).values())
            for seed in range(seeds)
        ]
    )
    assert (counts.sum(1) == number).all()
    assert stats.chisquare(counts.sum(0), number * seeds * share).pvalue > 1e-4
    covariance = number * (np.diag(share) - np.outer(share, share))
    spread = np.sqrt((np.outer(np.diag(covariance), np.diag(covariance)) + covariance**2) / seeds)
    assert np.abs((np.cov(counts.T) - covariance) / spread).max() < 5.0


@pytest.mark.parametrize("scheme", ["exact", "indexed"])
def test_a_field_that_is_not_the_one_that_was_totalled_is_refused(scheme):
    fields, totals = sky(10, [1, 2, 4**9], [0.5, 0.5, 1.0])
    draw = prepare(Rules(1, scheme=scheme, number=5), 10, totals)
    part = Field(10, np.array([1]), np.array([0.5], np.float32))
    message = "shard 0 must have 2 visible cells of integral 4294967296, found 1 of 2147483648"
    with pytest.raises(MapMismatchError, match=message):
        candidates(draw, listed(part, 0), 0)
    assert candidates(draw, listed(fields[0], 0), 0).sum() == draw.budgets[0][0]


# -- what a cell gets -----------------------------------------------------------------------------------------


def test_poisson_counts_are_poisson_of_the_visibility():
    order, visibility = 8, np.tile([0.1, 0.5, 1.0, 2.5], 5000)
    fields, totals = sky(order, np.arange(20000), visibility)
    draw = prepare(Rules(3, density_deg2=4.0 / hpx.cell_area_deg2(order)), order, totals)
    counts = candidates(draw, listed(fields[0]), 0)
    for value in (0.1, 0.5, 1.0, 2.5):
        here = counts[visibility == value]
        edges = np.arange(stats.poisson.ppf(1 - 3e-3, 4 * value) + 1)
        expected = stats.poisson.pmf(edges, 4 * value)
        found = np.bincount(np.minimum(here, edges.size), minlength=edges.size + 1)
        assert stats.chisquare(found, 5000 * np.append(expected, 1 - expected.sum())).pvalue > 1e-3


def test_margins_of_candidates():
    order = 5
    fields, totals = sky(order, np.arange(2000), np.linspace(0.1, 1.2, 2000))
    indexed = prepare(Rules(3, scheme="indexed", number=10**4), order, totals)
    mean = totals.integral / totals.cells / indexed.v_max
    (number,) = {sum(budget.values()) for budget in indexed.budgets}
    assert number == pytest.approx((10**4 + 500) / mean, abs=1.0) and indexed.v_max > ONE
    more = with_batch(indexed)
    assert more.batches == 2 and more.budgets[0] == indexed.budgets[0] != more.budgets[1]
    one, two = (sum(candidates(d, listed(f), s).sum() for s, f in fields.items()) for d in (indexed, more))
    assert (one, two) == (number, 2 * number)
    trim = prepare(Rules(3, scheme="trim", number=10**4), order, totals)
    total = sum(candidates(trim, listed(f), s).sum() for s, f in fields.items())
    assert abs(total - 10500) < 5 * 10500**0.5


def test_more_points_than_object_id_can_tell_apart_are_refused():
    fields, totals = sky(29, [7], [1.0])
    (shard,) = fields
    two = prepare(Rules(1, scheme="exact", number=2), 29, totals)
    assert candidates(two, listed(fields[shard]), shard).tolist() == [2]
    three = prepare(replace(two.rules, number=3), 29, totals)
    with pytest.raises(InputError, match=r"a cell of order 29 must hold at most 2 points, .* found 3"):
        candidates(three, listed(fields[shard]), shard)
