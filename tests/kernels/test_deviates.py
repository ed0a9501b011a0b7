"""Poisson and binomial counts against the laws of scipy, and the functions that decide them against mpmath."""

import re

import mpmath
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numba import njit
from scipy import stats

from vmpz.kernels import deviates, philox

KEY = (np.uint64(11), np.uint64(17))
N = 100_000
MEANS = [0.01, 0.3, 1.0, 3.7, 12.0, 29.999, 30.0, 31.5, 100.0, 1e3, 1e4, 1e6, 1e8, 1e10]
TRIALS = [
    (1, 0.3), (20, 0.5), (59, 0.5), (60, 0.5), (61, 0.51), (200, 0.9), (10**3, 0.0299), (10**3, 0.0301),
    (10**6, 0.37), (10**9, 1e-9), (10**9, 2.99e-8), (10**9, 3.01e-8), (10**10, 1 / 3), (10**10, 1 - 1e-6),
    (10**11, 0.75),
]  # fmt: skip


def interpreted(monkeypatch):
    """The kernels as Python."""
    for module in (philox, deviates):
        for name, value in list(vars(module).items()):
            if hasattr(value, "py_func"):
                monkeypatch.setattr(module, name, value.py_func)
    return deviates


def poisson(means, first=0, stream=1):
    means = np.asarray(means, np.float64)
    out = np.empty(means.size, np.int64)
    deviates.poisson_counts(means, first + np.arange(means.size), np.uint64(stream), np.uint64(0), *KEY, out)
    return out


@njit
def binomial(n, p, number=N):
    out = np.empty(number, np.int64)
    for i in range(number):
        out[i] = deviates.binomial(n, p, np.uint64(i), np.uint64(2), np.uint64(0), KEY[0], KEY[1])
    return out


def chi2_probability(counts, law):
    """Chance of a larger chi2, in bins of equal probability as far as whole numbers allow, and of the two tails."""
    edges = np.unique(law.ppf(np.linspace(0, 1, 61)[1:-1]).astype(np.int64))
    expected = np.diff(np.concatenate(([0.0], law.cdf(edges), [1.0]))) * counts.size
    found = np.bincount(np.searchsorted(edges, counts, side="left"), minlength=edges.size + 1)
    keep = expected > 5
    expected, found = (np.append(one[keep], one[~keep].sum()) for one in (expected, found))
    used = expected > 1e-3
    return stats.chi2.sf(np.sum((found - expected)[used] ** 2 / expected[used]), used.sum() - 1)


def check(counts, law):
    """Chi2, mean and variance of counts agree with a law."""
    assert 1e-4 < chi2_probability(counts, law) <= 1 - 1e-6
    mean, variance, kurtosis = (float(one) for one in law.stats(moments="mvk"))
    assert abs(np.mean(counts - mean)) < 4.5 * np.sqrt(variance / counts.size)
    scatter = np.sqrt((kurtosis + 2) / counts.size)
    assert abs(np.mean((counts - mean) ** 2) / variance - 1) < 4.5 * scatter


@pytest.mark.parametrize("mean", MEANS)
def test_poisson(mean):
    check(poisson(np.full(4 * N, mean)), stats.poisson(mean))


@pytest.mark.parametrize(("n", "p"), TRIALS)
def test_binomial(n, p):
    check(binomial(n, p), stats.binom(n, p))


@pytest.mark.parametrize("mean", [5.3, 29.999, 30.0, 45.0])
def test_every_poisson_count_comes_as_often_as_it_should(mean):
    counts = np.bincount(poisson(np.full(10 * N, mean)))
    expected = stats.poisson(mean).pmf(np.arange(counts.size)) * counts.sum()
    keep = expected > 8
    assert (
        1e-4 < stats.chi2.sf(np.sum((counts - expected)[keep] ** 2 / expected[keep]), keep.sum()) < 1 - 1e-4
    )


@pytest.mark.parametrize(("n", "p"), [(40, 0.2), (80, 0.45), (1000, 0.04)])
def test_every_binomial_count_comes_as_often_as_it_should(n, p):
    counts = np.bincount(binomial(n, p, 2 * N))
    expected = stats.binom(n, p).pmf(np.arange(counts.size)) * counts.sum()
    keep = expected > 8
    assert (
        1e-4 < stats.chi2.sf(np.sum((counts - expected)[keep] ** 2 / expected[keep]), keep.sum()) < 1 - 1e-4
    )


def test_cells_of_different_means_in_one_call_are_those_of_single_calls():
    means = np.concatenate((np.geomspace(1e-6, 1e9, 1500), [0.0, -1.0, np.nan, 0.0, 5.0]))
    counts = poisson(means, 7)
    single = [
        deviates.poisson(mean, np.uint64(7 + i), np.uint64(1), np.uint64(0), *KEY)
        for i, mean in enumerate(means)
    ]
    assert counts.tolist() == single and counts[-5:-1].tolist() == [0, 0, 0, 0]
    assert poisson(means[100:], 107).tolist() == single[100:]


def test_edges(monkeypatch):
    for kernel in (deviates, interpreted(monkeypatch)):
        counter = [np.uint64(one) for one in (3, 1, 0, 11, 17)]
        assert [kernel.poisson(mean, *counter) for mean in (0.0, -0.0, -3.0, float("nan"), 1e-300)] == [0] * 5
        assert [kernel.binomial(n, 0.5, *counter) for n in (0, -1)] == [0, 0]
        assert [kernel.binomial(100, p, *counter) for p in (0.0, -1.0, float("nan"))] == [0, 0, 0]
        assert [kernel.binomial(100, p, *counter) for p in (1.0, 1.5)] == [100, 100]
        assert kernel.binomial(10**11, 1e-300, *counter) == 0
        assert kernel.binomial(10**11, 1.0 - 2.0**-53, *counter) == 10**11


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 2**62), st.integers(0, 10**11), st.floats(0, 1))
def test_laws_of_binomials(cell, n, p):
    counter = [np.uint64(one) for one in (cell, 1, 0, 11, 17)]
    k = deviates.binomial(n, p, *counter)
    assert 0 <= k <= n
    if p > 0.5:
        assert deviates.binomial(n, 1.0 - p, *counter) == n - k  # 1 - p is exact


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**62), st.floats(0, deviates.INVERTED), st.floats(0, deviates.INVERTED))
def test_inverted_counts_grow_with_their_mean(cell, one, two):
    counter = [np.uint64(word) for word in (cell, 1, 0, 11, 17)]
    low, high = sorted((one, two))
    assert deviates.poisson(low, *counter) <= deviates.poisson(min(high, 29.99), *counter) or high > 29.99


@settings(deadline=None, max_examples=300)
@given(st.floats(-700, 700), st.floats(1e-300, 1e300), st.floats(-1 + 2.0**-50, 1))
def test_elementary_functions(x, positive, small):
    with mpmath.workprec(200):
        for found, true, ulps in (
            (deviates.exp(x), mpmath.exp(x), 1.0),
            (deviates.log(positive), mpmath.log(positive), 1.0),
            (deviates.log(1.0 + small), mpmath.log(mpmath.mpf(1.0 + small)), 1.0),
            (deviates.log1p(small), mpmath.log1p(small), 2.0),
        ):
            assert abs(mpmath.mpf(found) - true) <= ulps * np.spacing(abs(found))


def rarity_roundings(k, mean, true):
    """Bound of the error of `_rarity`, in units of 2**-53: what every rounded operation can add, to first order.

    With d the difference, w = |d| / (k + mean) and t_i = 2 k w**(2 i + 1) of Loader's series: d carries 1 rounding,
    d v 5, a term t_i / (2 i + 1) 5 + 8 i, and every sum 1 of what it sums; the series ends where a term is nothing.
    Logarithms are within 1 ulp, which is 2 roundings.
    """
    if k == 0:
        return 0.0
    away = abs(k - mean)
    w = away / (k + mean)
    if 0.0 < w < 0.5:
        first, rest = away * w, k * (np.log1p(w) - np.log1p(-w) - 2.0 * w)
        sums = np.log(2.0**-53) / (2.0 * np.log(w)) + 2.0
        deviance = 5.0 * (first + rest) + 8.0 * k * w**3 / (1.0 - w * w) + sums * (first + rest)
    else:
        deviance = k * (1.0 + 3.0 * abs(np.log(k / mean))) + away + true
    return deviance + 3.0 * true + np.log(k) + 3.0  # three sums, the logarithm of k, the Stirling error


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 10**10), st.floats(-8, 8))
@example(101, -6.69)
def test_probabilities_of_large_counts_lose_nothing(k, sigmas):
    """A sum of logarithms of factorials would: 3e-5 at 1e10."""
    mean = max(k + sigmas * np.sqrt(k), 30.0)
    whole = np.floor(mean)
    excess = (k - whole) - (mean - whole)
    with mpmath.workprec(200):
        true = mpmath.mpf(mean) - k * mpmath.log(mean) + mpmath.loggamma(k + 1)
        lost = abs(deviates._rarity(float(k), mean, excess) - true)
        assert lost <= 2.0**-53 * rarity_roundings(k, mean, float(true))


def test_interpreted(monkeypatch):
    """Bit for bit."""
    means = np.concatenate((np.geomspace(1e-3, 1e9, 700), [0.0, 29.999999, 30.0, -1.0]))
    trials = [(n, p) for n, p in TRIALS for _ in range(4)]
    values = np.geomspace(1e-300, 1e300, 999)

    def everything():
        counter = [np.uint64(2), np.uint64(0), *KEY]
        binomials = [deviates.binomial(n, p, np.uint64(i), *counter) for i, (n, p) in enumerate(trials)]
        functions = [
            [deviates.exp(x) for x in np.linspace(-700, 700, 999)],
            [deviates.log(x) for x in values],
            [deviates.log1p(x) for x in np.linspace(-0.999, 1, 999)],
        ]
        return poisson(means), np.array(binomials), np.array(functions)

    compiled = everything()
    interpreted(monkeypatch)
    for one, two in zip(compiled, everything(), strict=True):
        assert one.tobytes() == two.tobytes()


@pytest.mark.parametrize(
    "name", ["poisson_counts", "_poisson_rejected", "_binomial_rejected", "_binomial_inverted"]
)
def test_nothing_is_fused_and_no_library_is_called(name):
    """The same operations in the same order on every machine."""
    arrays = (np.ones(3), np.arange(3), *[np.uint64(1)] * 4, np.empty(3, np.int64))
    arguments = {
        "poisson_counts": arrays,
        "_poisson_rejected": (40.0, *[np.uint64(1)] * 5),
        "_binomial_rejected": (100.0, 0.4, *[np.uint64(1)] * 5),
        "_binomial_inverted": (100.0, 0.1, 0.3),
    }[name]
    kernel = njit(
        getattr(deviates, name).py_func, nogil=True, error_model="numpy"
    )  # a cached one cannot be read
    kernel(*arguments)
    (assembly,) = kernel.inspect_asm().values()
    assert "fastmath" not in getattr(deviates, name).targetoptions
    assert not re.findall(r"\b(?:vfn?m(?:add|sub)|fn?madd|fn?msub|fml[as])\w*", assembly)
    assert not re.findall(r"[$\s](?:exp|log|log1p|lgamma|pow|fma)\b", assembly)
