"""Mode and weighted median of lists, compiled and interpreted, against the statistics of samples and by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmpz.kernels import sortedpixels
from vmpz.kernels.words import ordered_words
from vmpz.statistics import STATISTICS, Samples

VALUES = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 3.4e38, -1e-45]),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
)
NOISE = st.one_of(st.sampled_from([1.0, 2.0, 0.5]), st.floats(2.0**-126, 2.0**49, width=32))
LISTS = st.lists(st.lists(st.tuples(VALUES, NOISE), max_size=40), min_size=1, max_size=4)


def of(lists, compiled=True):
    """Modes and weighted medians of lists of (value, noise)."""
    rows = np.array([pair for one in lists for pair in one], np.float32).reshape(-1, 2).T
    value, noise = (ordered_words(np.ascontiguousarray(row)) for row in rows)
    end = np.cumsum([len(one) for one in lists])
    begin = end - [len(one) for one in lists]
    mode, median = np.empty((2, len(lists)))
    functions = (sortedpixels.most_frequent, sortedpixels.weighted_medians)
    frequent, medians = functions if compiled else (one.py_func for one in functions)
    frequent(value, begin, end, mode)
    medians(value, noise, begin, end, median)
    return mode, median


@settings(deadline=None, max_examples=80)
@given(LISTS)
def test_pixels_are_samples_of_weight_one_over_noise_squared_to_the_last_bit(lists):
    cell = np.repeat(np.arange(len(lists)), [len(one) for one in lists])
    rows = np.array([pair for one in lists for pair in one], np.float32).reshape(-1, 2).T.astype(np.float64)
    samples = Samples(len(lists)).add(cell, rows[0], w=1.0 / rows[1] ** 2)
    mode, median = of(lists)
    assert mode.tobytes() == STATISTICS["MODE"].finish(samples).tobytes()
    np.testing.assert_array_equal(median, STATISTICS["WMEDIAN"].finish(samples))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(-9, 9), min_size=1, max_size=60), NOISE, st.randoms())
def test_laws(values, noise, random):
    """Equal weights give the median, whatever they are; the order of pixels does not matter; nor does sign."""
    pixels = [(float(one), noise) for one in values]
    mode, median = of([pixels])
    assert median[0] == np.median(values)
    different, times = np.unique(values, return_counts=True)
    assert mode[0] == different[np.argmax(times)]
    random.shuffle(pixels)
    assert of([pixels]) == (mode, median)
    assert of([[(-x, w) for x, w in pixels]])[1] == -median


@pytest.mark.parametrize("compiled", [True, False])
def test_by_hand(compiled):
    lists = [
        [(3, 1), (1, 1), (3, 1), (1, 1), (2, 1)],
        [(1, 0.5), (2, 1), (4, 1)],
        [(1, 1), (2, 2), (4, 2), (8, 2), (16, 2)],
        [],
        [(-0.0, 1), (0.0, 1), (-5, 1)],
        [(7, 3)],
    ]
    mode, median = of(lists, compiled)
    np.testing.assert_array_equal(mode, [1, 1, 1, np.nan, 0, 7])
    np.testing.assert_array_equal(median, [2, 1, 1.5, np.nan, 0, 7])
    assert not np.signbit(mode[4])


@pytest.mark.parametrize("shape", ["normal", "few values", "outliers", "constant"])
def test_long_lists(shape):
    rng = np.random.default_rng(7)
    n = 20001
    values = {
        "normal": rng.standard_normal(n),
        "few values": rng.integers(-2, 3, n).astype(float),
        "outliers": np.where(rng.random(n) < 0.01, 1e30, 1e-20 * rng.standard_normal(n)),
        "constant": np.full(n, 0.2),
    }[shape].astype(np.float32)
    noise = rng.uniform(1, 2, n).astype(np.float32)
    mode, median = of([list(zip(values, noise, strict=True))])
    different, times = np.unique(values, return_counts=True)
    assert mode[0] == different[np.argmax(times)]
    weight = 1 / noise.astype(np.float64) ** 2
    below, above = weight[values < median[0]].sum(), weight[values > median[0]].sum()
    assert median[0] in values and max(below, above) <= weight.sum() / 2
