"""A number split over the cells of a shard: nothing is lost, the law is multinomial, nodes are the same anywhere."""

from bisect import bisect_right
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from vmpz.kernels import deviates, philox, splitting

laws = settings(max_examples=60, deadline=None)
KEY = (np.uint64(7), np.uint64(0))
STREAMS, BATCH = (3, 5), 0
SPLITS = pytest.mark.parametrize(
    "split", [splitting.split, splitting.split.py_func], ids=["compiled", "plain"]
)


def counts_of(split, shard, order, levels, number, cells, weights, seed=7, batch=BATCH):
    """What each cell gets."""
    before = np.concatenate(([0], np.cumsum(weights, dtype=np.uint64))).astype(np.uint64)
    out = np.zeros(len(cells), np.int64)
    key = np.uint64(seed), np.uint64(0)
    split(shard, order, levels, number, np.asarray(cells, np.int64), before, *STREAMS, batch, *key, out)
    return out


def slowly(node, order, level, number, weights):
    """The same by its definition: weights of cells by number, whole numbers of any size, one node after the other."""
    if len(weights) == 1:
        return dict.fromkeys(weights, number)
    if number <= splitting.FEW:
        return one_by_one((4 << 2 * (order - level)) + node, number, weights)
    shift, counts = 2 * (level - 1), {}
    children = {}
    for cell, weight in weights.items():
        children.setdefault(cell >> shift, {})[cell] = weight
    left, rest = number, sum(weights.values())
    for child in sorted(children):
        weight = sum(children[child].values())
        uniq = np.uint64((4 << 2 * (order - level + 1)) + child)
        part = deviates.binomial(left, weight / rest, uniq, np.uint64(STREAMS[0]), np.uint64(BATCH), *KEY)
        counts |= slowly(child, order, level - 1, part, children[child])
        left, rest = left - part, rest - weight
    return counts


def one_by_one(uniq, number, weights):
    """Every point chooses, as whole numbers say."""
    counts, cells = dict.fromkeys(weights, 0), list(weights)
    for point in range(number):
        counter = (point // 4, uniq, STREAMS[1], BATCH)
        word = philox.philox(*(np.uint64(one) for one in counter), *KEY)[point % 4]
        spot = int(word) * sum(weights.values()) >> 64
        up_to = list(accumulate(weights.values()))
        counts[cells[bisect_right(up_to, spot)]] += 1
    return counts


@st.composite
def shards(draw):
    """A shard, its cells and their weights."""
    order = draw(st.integers(0, 29))
    levels = draw(st.integers(0, min(order, 9)))
    shard = draw(st.integers(0, 12 * 4 ** (order - levels) - 1))
    inside = draw(st.sets(st.integers(0, 4**levels - 1), min_size=1, max_size=40))
    cells = [(shard << 2 * levels) + one for one in sorted(inside)]
    weights = draw(st.lists(st.integers(1, 1 << 34), min_size=len(cells), max_size=len(cells)))
    return shard, order, levels, cells, weights


@SPLITS
@laws
@given(shards(), st.integers(0, 10**9))
@example((11, 0, 0, [11], [1]), 5)
@example((5, 9, 9, list(range(5 << 18, 5 << 18 | 64)), [1] * 64), 100)
def test_it_is_the_tree_of_binomials(split, shard, number):
    node, order, levels, cells, weights = shard
    counts = counts_of(split, node, order, levels, number, cells, weights)
    assert counts.sum() == number and counts.min() >= 0
    must = slowly(node, order, levels, number, dict(zip(cells, weights, strict=True)))
    assert counts.tolist() == [must[cell] for cell in cells]


def test_every_number_is_that_of_its_node_alone():
    rng = np.random.default_rng(3)
    cells = np.sort(rng.choice(4**6, 1500, replace=False)) + (2 << 12)
    weights = rng.integers(1, 1 << 32, cells.size)
    counts = counts_of(splitting.split, 2, 6, 6, 10**5, cells, weights)
    for child in range(8, 12):
        below = cells >> 10 == child
        part = counts_of(splitting.split, child, 6, 5, int(counts[below].sum()), cells[below], weights[below])
        assert np.array_equal(part, counts[below])


def test_numbers_are_added_and_batches_differ():
    cells, weights = np.arange(64), np.ones(64, np.int64)
    one = counts_of(splitting.split, 0, 3, 3, 1000, cells, weights)
    two = counts_of(splitting.split, 0, 3, 3, 1000, cells, weights, batch=1)
    assert two.sum() == 1000 and not np.array_equal(one, two)
    before = np.arange(65, dtype=np.uint64)
    splitting.split(0, 3, 3, 1000, cells, before, *STREAMS, 1, *KEY, one)
    assert one.sum() == 2000


def test_nothing_is_split_over_nothing():
    none = np.empty(0, np.int64)
    assert counts_of(splitting.split, 0, 9, 9, 5, none, none).size == 0
    assert counts_of(splitting.split, 0, 9, 9, 0, [3, 9], [1, 2]).tolist() == [0, 0]


@pytest.mark.parametrize("number", [40, 4000])
def test_the_law_is_multinomial(number):
    rng = np.random.default_rng(8)
    cells = np.array([0, 1, 2, 3, 5, 6, 16, 40, 41, 42, 63])
    weights = rng.integers(1, 1000, cells.size)
    share = weights / weights.sum()
    seeds = 4000
    counts = np.array(
        [counts_of(splitting.split, 0, 3, 3, number, cells, weights, seed) for seed in range(seeds)]
    )
    chi2 = ((counts - number * share) ** 2 / (number * share)).sum(1)  # of mean k - 1 for any multinomial
    assert abs(chi2.mean() - (cells.size - 1)) < 4 * chi2.std() / np.sqrt(seeds)
    total = counts.sum(0)
    assert stats.chisquare(total, number * seeds * share).pvalue > 1e-4
    covariance = number * (np.diag(share) - np.outer(share, share))
    spread = np.sqrt((np.outer(np.diag(covariance), np.diag(covariance)) + covariance**2) / seeds)
    assert np.abs((np.cov(counts.T) - covariance) / spread).max() < 5.0
