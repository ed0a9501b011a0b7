"""Columns packed into big-endian rows: numpy's records, and the sum of their words; compiled and interpreted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmpz.files.hdu import data_sum, fold
from vmpz.kernels.packing import pack_long_words, pack_words

SWAP = bool(np.little_endian)
KERNELS = {4: pack_words, 8: pack_long_words}


@pytest.mark.parametrize("compiled", [True, False])
@settings(max_examples=30, deadline=None)
@given(
    kinds=st.lists(st.sampled_from(["i8", "f8", "i4", "f4"]), min_size=1, max_size=6),
    rows=st.integers(0, 20),
    seed=st.integers(0, 99),
)
def test_rows_are_those_of_numpy(compiled, kinds, rows, seed):
    rng = np.random.default_rng(seed)
    names = [f"c{k}" for k in range(len(kinds))]
    columns = [
        rng.bytes(rows * np.dtype(kind).itemsize) for kind in kinds
    ]  # any bits, NaN with payloads and negative zeros among them
    wanted = np.empty(rows, [(name, f">{kind}") for name, kind in zip(names, kinds, strict=True)])
    found = np.zeros((rows, wanted.dtype.itemsize // 4), np.uint32)
    total = first = 0
    for name, kind, bits in zip(names, kinds, columns, strict=True):
        size = np.dtype(kind).itemsize
        wanted.view(np.dtype({"names": [name], "formats": [f">u{size}"], "offsets": [4 * first],
                              "itemsize": wanted.dtype.itemsize}))[name] = np.frombuffer(bits, f"u{size}")  # fmt: skip
        kernel = KERNELS[size] if compiled else KERNELS[size].py_func
        with np.errstate(over="ignore"):
            total += int(kernel(np.frombuffer(bits, f"u{size}"), SWAP, found[:, first:]))
        first += size // 4
    assert found.tobytes() == wanted.tobytes()
    assert fold(total) == data_sum(wanted.tobytes())
