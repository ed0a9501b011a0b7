"""Philox4x64-10: published answers, numpy's, the compiled and the interpreted kernel, streams that know nothing of
each other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from vmpz.kernels import philox

WORD = st.integers(0, 2**64 - 1)
ONES = 2**64 - 1

ANSWERS = [  # counter, key, block: the first three from Random123 (Salmon et al. 2011)
    ("0 0 0 0", "0 0", "16554d9eca36314c db20fe9d672d0fdc d7e772cee186176b 7e68b68aec7ba23b"),
    (
        "ffffffffffffffff ffffffffffffffff ffffffffffffffff ffffffffffffffff",
        "ffffffffffffffff ffffffffffffffff",
        "87b092c3013fe90b 438c3c67be8d0224 9cc7d7c69cd777b6 a09caebf594f0ba0",
    ),
    (
        "243f6a8885a308d3 13198a2e03707344 a4093822299f31d0 082efa98ec4e6c89",
        "452821e638d01377 be5466cf34e90c6c",
        "a528f45403e61d95 38c72dbd566e9788 a5a1610e72fd18b5 57bd43b5e52b7fe6",
    ),
    ("1 0 0 0", "0 0", "02f4ba6408e4d89b 3dd62b0b9ca8c5b2 1c8667a55d902e79 907d7a052fd5b4dc"),
]


def words(text):
    return [np.uint64(int(word, 16)) for word in text.split()]


def interpreted(monkeypatch):
    """The kernel as Python."""
    for name in ("philox", "unit", "blocks"):
        monkeypatch.setattr(philox, name, getattr(philox, name).py_func)
    return philox


def drawn(counters, k0=0, k1=0):
    out = np.empty_like(counters)
    philox.blocks(counters, np.uint64(k0), np.uint64(k1), out)
    return out


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(("counter", "key", "block"), ANSWERS)
def test_known_answers(monkeypatch, compiled, counter, key, block):
    kernel = philox if compiled else interpreted(monkeypatch)
    expected = [int(word) for word in words(block)]
    assert [int(word) for word in kernel.philox(*words(counter), *words(key))] == expected
    out = np.empty((1, 4), np.uint64)
    kernel.blocks(np.array([words(counter)]), *words(key), out)
    assert out[0].tolist() == expected


@settings(deadline=None, max_examples=100)
@given(st.lists(WORD, min_size=4, max_size=4), WORD, WORD)
def test_numpy_draws_the_same_blocks(counter, k0, k1):
    """numpy adds one to its counter before each block."""
    numbers = (
        np.random.Philox(counter=np.array(counter, np.uint64), key=np.array([k0, k1], np.uint64))
        .random_raw(8)
        .reshape(2, 4)
    )
    whole = sum(word << (64 * i) for i, word in enumerate(counter))
    counters = [[((whole + n) >> (64 * i)) & ONES for i in range(4)] for n in (1, 2)]
    assert np.array_equal(drawn(np.array(counters, np.uint64), k0, k1), numbers)
    assert tuple(
        philox.philox.py_func(*np.array(counters[0], np.uint64), np.uint64(k0), np.uint64(k1))
    ) == tuple(numbers[0])


@settings(deadline=None)
@given(WORD, WORD)
def test_products_of_words(a, b):
    high, low = philox.multiply(np.uint64(a), np.uint64(b))
    assert (int(high) << 64) + int(low) == a * b
    assert type(high) is type(low) is np.uint64


def test_deviates_are_multiples_of_the_grain_below_one():
    for function in (philox.unit, philox.unit.py_func):
        assert function(np.uint64(0)) == function(np.uint64(2**11 - 1)) == 0.0
        assert function(np.uint64(2**11)) == 2.0**-53
        assert function(np.uint64(ONES)) == 1.0 - 2.0**-53
        assert function(np.uint64(2**63)) == 0.5


def test_neighbouring_counters_and_keys_know_nothing_of_each_other():
    """Words of one block, of the next point, cell, stream, batch and key: no correlation, each uniform."""
    n = 200_000
    counters = np.zeros((n, 4), np.uint64)
    counters[:, 0] = np.arange(n)
    counters[:, 1] = 4 << 28
    columns = list(drawn(counters, 1, 2).T)
    for word in range(4):
        step = np.zeros(4, np.uint64)
        step[word] = 1
        columns.append(drawn(counters + step, 1, 2)[:, 0])
    columns += [drawn(counters, 2, 2)[:, 0], drawn(counters, 1, 3)[:, 0]]
    deviates = np.array(columns) * 2.0**-64
    correlation = np.corrcoef(deviates)[np.triu_indices(len(columns), 1)] * np.sqrt(n)
    assert np.abs(correlation).max() < 4.5 and 0.7 < correlation.std() < 1.3
    for column in deviates:
        expected = n / 1024
        chi2 = np.sum((np.bincount((column * 1024).astype(int), minlength=1024) - expected) ** 2) / expected
        assert 1e-4 < stats.chi2.sf(chi2, 1023) < 1 - 1e-4


def test_a_bit_of_the_input_changes_half_of_the_output():
    rng = np.random.default_rng(5)
    counters = rng.integers(0, 2**64, (256, 4), np.uint64)
    block = drawn(counters, 3, 4)
    for word in range(4):
        for bit in range(0, 64, 7):
            step = np.zeros(4, np.uint64)
            step[word] = np.uint64(1) << np.uint64(bit)
            changed = np.bitwise_count(block ^ drawn(counters ^ step, 3, 4)).sum(axis=1)
            assert abs(changed.mean() - 128) < 5 * 8 / np.sqrt(256)
