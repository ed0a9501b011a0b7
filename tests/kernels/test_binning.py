"""Kernels of the pass alone: words, bits, good pixels, quantiles; interpreted and compiled."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmpz.kernels import binning, goodpixels, quantiles, spans, weights, words

FLOATS = st.one_of(
    st.floats(width=32), st.sampled_from([0.0, -0.0, np.nan, np.inf, -np.inf, 1e-42, 1e16, -1e-42])
)
COLUMNS = 23
FIRST = np.array([0, 9, 17, 4], np.uint16)
SLOT = np.array([0, -1, 1, 1], np.int32)
ROWS = np.array([0, 3, 4])
NO_MASKS, NONE = np.zeros(0, np.uint8), np.uint8(0)
LIMITS = words.ordered_words(np.array([np.finfo("f4").tiny, 1e15, 1e6], np.float32))


def either(function):
    return function, function.py_func


@pytest.fixture
def image():
    rng = np.random.default_rng(4)
    flags = (rng.random((2, COLUMNS)) < 0.3) * (1 << rng.integers(0, 32, (2, COLUMNS)))
    noise = rng.normal(1.0, 0.03, (2, COLUMNS)).astype(np.float32)
    noise[rng.random(noise.shape) < 0.2] = np.nan
    value = rng.normal(3e3, 1e-2, noise.shape).astype(np.float32)
    value[0, 2] = np.inf
    return flags.astype(np.uint32), noise, value


@settings(deadline=None, max_examples=60)
@given(st.lists(FLOATS, min_size=1, max_size=9))
def test_ordered_words_order_like_floats(values):
    array = np.array(values, np.float32)
    order = words.ordered_words(array)
    known = ~np.isnan(array)
    assert np.all((order[known][:, None] <= order[known]) | (array[known][:, None] >= array[known]))
    infinities = words.ordered_words(np.array([-np.inf, np.inf], np.float32))
    assert np.all((order[~known] > infinities[1]) | (order[~known] < infinities[0]))
    back = np.array([words.ordered_float(one) for one in order[known]])
    assert np.array_equal(back, array[known].astype(np.float64))
    raw = array.view(np.uint32)
    for swap, stored in ((False, raw), (True, raw.byteswap())):
        for function in either(words.native_word):
            assert [int(function(one, swap)) for one in stored] == raw.tolist()


def test_codes_become_single_bits():
    codes = np.array([[0, 1, 7, 31, 32, 4000000000]], np.uint32)
    for function in either(words.flag_words):
        out = np.empty_like(codes)
        function(codes, out)
        assert out.tolist() == [[0, 2, 128, 1 << 31, 1 << 31, 1 << 31]]


def test_datasum_is_that_of_astropy():
    from astropy.io import fits

    data = np.random.default_rng(1).standard_normal((37, 21)).astype(">f4")
    hdu = fits.ImageHDU(data)
    hdu.add_datasum()
    for function in either(words.ones_complement_sum):
        total = int(function(data.view(np.uint32), True))
        while total >> 32:
            total = (total & 0xFFFFFFFF) + (total >> 32)
        assert total == int(hdu.header["DATASUM"])


@pytest.mark.parametrize("bits", [1, 3, 20, 32])
def test_bit_counts(bits):
    rng = np.random.default_rng(bits)
    flags = (1 << rng.choice(32, bits, replace=False))[rng.integers(0, bits, 240)].astype(np.uint32)
    union = np.bitwise_or.reduce(flags)
    for function in either(binning._count_bits):
        counts = np.zeros(32, np.int32)
        with np.errstate(over="ignore"):
            alone = function(flags, union, counts)
        assert counts.tolist() == [int(np.sum(flags >> bit & 1)) for bit in range(32)]
        assert alone == (240 if bits == 1 else -1)


def test_rows_interpreted_are_rows_compiled(image):
    flags, noise, value = image
    nothing = np.zeros((0, 0), np.uint32)
    results = []
    for function in either(binning.add_rows):
        counts, moments = np.zeros((2, 34 + 3 + 4), np.int32), np.zeros((2, 3, 2, 6))
        moments[..., 4], moments[..., 5] = np.inf, -np.inf
        stray = np.zeros(2, np.int64)
        planes = (noise.view(np.uint32), value.byteswap().view(np.uint32), nothing, nothing)
        with np.errstate(all="ignore"):
            function(
                COLUMNS, FIRST, SLOT, np.array([0, 0, 5, 2], np.uint8), ROWS, flags, np.uint32(0xFFFF), planes,
                (False, True, False, False), 0, LIMITS, np.array([0xFF, 1 << 31], np.uint32),
                np.array([2, 5], np.uint8), np.uint32(0xF), np.uint8(4), counts, moments, stray,
            )  # fmt: skip
        results.append((counts, moments, stray))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][2], results[1][2])
    np.testing.assert_allclose(results[0][1], results[1][1], rtol=1e-5)
    assert results[0][0].any() and results[0][2][0] > 0
    assert results[0][0][:, 34:37].tolist() == [[0, 0, 0], [6, 19, 6]]


def test_good_pixels_weights_and_lists(image):
    flags, noise, value = image
    cell = np.full(flags.shape, -1)
    cell[0, :9], cell[0, 17:], cell[1] = 0, 1, 1
    usable = np.isfinite(noise) & (cell >= 0)
    good = usable & ((flags & 0xF) == 0)
    geometry = (COLUMNS, FIRST, SLOT, NO_MASKS, ROWS.copy(), flags)
    geometry[1][3] = 0
    deciding = noise.view(np.uint32)
    for pack, count, weigh, gather in zip(
        either(goodpixels.pack_rows), either(goodpixels.count_rows), either(weights.weigh_rows),
        either(quantiles.gather_rows), strict=True,
    ):  # fmt: skip
        bits = np.zeros((2, 1), np.uint64)
        pack(*geometry, deciding, False, LIMITS, np.uint32(0xF), NONE, bits)
        unpacked = np.unpackbits(bits.view(np.uint8), axis=1, bitorder="little")[:, :COLUMNS]
        np.testing.assert_array_equal(unpacked, good)
        counts = np.zeros(2, np.int64)
        count(COLUMNS, FIRST, SLOT, ROWS, bits, counts)
        assert counts.tolist() == [np.sum(good & (cell == k)) for k in (0, 1)]
        sums = np.zeros((2, 2, 2))
        plane = value.view(np.uint32)
        weigh(*geometry, plane, False, deciding, False, LIMITS, np.uint32(0xF), NONE, sums)
        for k in (0, 1):
            for s, sample in enumerate((usable, good)):
                here = sample & (cell == k) & np.isfinite(value)
                weight = 1 / noise[here].astype(float) ** 2
                np.testing.assert_allclose(
                    sums[k, s], [weight.sum(), np.sum(weight * value[here])], rtol=1e-12
                )
        for wanted in (0, 9 + 29):
            end, out, beside = np.array([0, 9]), np.zeros(9 + 29, np.int32), np.zeros(wanted, np.int32)
            gather(
                *geometry,
                plane,
                False,
                deciding,
                False,
                LIMITS,
                True,
                np.uint32(0xF),
                NONE,
                end,
                out,
                beside,
            )
            for k, begin in enumerate((0, 9)):
                here = good & (cell == k) & np.isfinite(value)
                np.testing.assert_array_equal(out[begin : end[k]], words.ordered_words(value[here]))
                if wanted:
                    np.testing.assert_array_equal(beside[begin : end[k]], words.ordered_words(noise[here]))


def test_inverse_variances_are_those_of_numpy(image):
    _, noise, _ = image
    noise[0, :4] = 0.0, np.inf, 1e-30, 1e16
    with np.errstate(divide="ignore", over="ignore"):
        want = (1 / noise.astype(np.float64) ** 2).astype(np.float32)
    for function, swap in itertools.product(either(weights.inverse_variances), (False, True)):
        out = np.empty_like(noise)
        with np.errstate(divide="ignore", over="ignore"):
            function((noise.byteswap() if swap else noise).view(np.uint32), swap, out)
        np.testing.assert_array_equal(out, want)


def test_runs_are_cut_where_any_bit_changes():
    marked = np.zeros((2, COLUMNS), np.uint8)
    marked[0, 5:12], marked[0, 7:9], marked[1, 22] = 1, 129, 4
    for function in either(spans.cut_runs):
        first, slot = np.zeros(16, np.uint16), np.zeros(16, np.int32)
        virtual, rows = np.zeros(16, np.uint8), np.zeros(3, np.int64)
        runs = np.array([0, 9, 17, 4], np.uint16)
        assert function(COLUMNS, runs, SLOT, ROWS, marked, first, slot, virtual, rows) == 8
        assert first[:8].tolist() == [0, 5, 7, 9, 12, 17, 4, 22] and rows.tolist() == [0, 6, 8]
        assert slot[:8].tolist() == [0, 0, 0, -1, -1, 1, 1, 1]
        assert virtual[:8].tolist() == [0, 1, 129, 1, 0, 0, 0, 4]


def test_regions_drawn_interpreted_are_regions_compiled():
    """A flat patch of the sky of 0.01 rad a pixel: a disc, a ring, what is outside of a disc, a triangle."""
    rows, columns, step = 12, 20, 0.01
    frames = np.array([[[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]] * 4)
    shape = np.zeros((1, 3, 3, 3))
    shape[0, 0, 0, 1], shape[0, 1, 1, 0] = step, step
    shape[0, 2, 0] = 1, 0, -(step**2) / 2
    shape[0, 2, 2, 0] = -(step**2) / 2
    corners = np.array([[-0.052, -0.033], [0.052, -0.033], [0.003, 0.048]])
    inner, outer = np.array([-1.0, 0.0251, -1.0, -1.0]), np.array([0.0351, 0.0551, 0.0402, 0.07])
    v, u = (np.arange(rows) - 5.5)[:, None] * step, (np.arange(columns) - 9.5) * step
    chord = np.sqrt(u**2 + v**2 + ((u**2 + v**2) / 2) ** 2)
    x, y = (w / (1 - (u**2 + v**2) / 2) for w in np.broadcast_arrays(u, v))
    left = [
        (b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0]) > 0
        for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True)
    ]
    want = (chord <= 0.0351) * 1 + ((chord > 0.0251) & (chord <= 0.0551)) * 2
    want += (chord > 0.0402) * 4 + np.logical_and.reduce(left) * 8
    for function in either(spans.draw):
        marked = np.zeros((rows + 1, columns + 2), np.uint8)
        doubt, rough = function(
            frames, inner, outer, np.array([0, 0, 0, 0, 3]), corners, np.array([False, False, True, False]),
            np.array([1, 2, 4, 8], np.uint8), np.array([[1, 2, rows, columns]]), shape, np.array([[0.0, 0, 1]]),
            np.array([0.2]), np.array([1e-12]), np.array([True]), marked,
        )  # fmt: skip
        np.testing.assert_array_equal(marked[1:, 2:], want)
        assert doubt.size == rough.size == 0 and not marked[0].any() and not marked[:, :2].any()


@settings(deadline=None, max_examples=60)
@given(st.sampled_from([1, 63, 64, 65, 128, 200]), st.data())
def test_bits_and_pixels_of_any_runs_are_counted(columns, data):
    """Runs of any length, of cells wanted or not, in rows that need not begin at column 0."""
    rows = [sorted(data.draw(st.sets(st.integers(0, columns - 1), min_size=1, max_size=9))) for _ in range(2)]
    first = np.array([one for row in rows for one in row], np.uint16)
    slot = np.array(
        data.draw(st.lists(st.integers(-1, 2), min_size=first.size, max_size=first.size)), np.int32
    )
    row_start = np.array([0, len(rows[0]), first.size])
    good = np.random.default_rng(columns).random((2, columns)) < 0.6
    bits = np.zeros((2, -(-columns // 64)), np.uint64)
    bits.view(np.uint8)[:, : -(-columns // 8)] = np.packbits(good, axis=1, bitorder="little")
    place = np.full(good.shape, -1)
    for row, starts in enumerate(rows):
        for k, start in enumerate(starts):
            place[row, start:] = slot[row_start[row] + k]
    want = [np.bincount(place[chosen], minlength=3) for chosen in (place >= 0, good & (place >= 0))]
    for pixels, rows_of in zip(either(goodpixels.count_pixels), either(goodpixels.count_rows), strict=True):
        counts = np.zeros((2, 3), np.int64)
        with np.errstate(over="ignore"):
            pixels(columns, first, slot, row_start, counts[0])
            rows_of(columns, first, slot, row_start, bits, counts[1])
        np.testing.assert_array_equal(counts, want)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(FLOATS, min_size=1, max_size=20), st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=20)
)
def test_scaled_and_renumbered_words(values, flags):
    stored, out = np.array([values], np.float32), np.zeros((1, len(values)), np.float32)
    with np.errstate(all="ignore"):
        want = np.where(np.abs(stored) < 1e15, stored * np.float32(0.3), stored)
    bits, table = np.arange(256), np.zeros((4, 256), np.uint32)
    moved = {0: 31, 9: 2, 18: 0, 31: 1}
    for old, new in moved.items():
        table[old // 8] |= ((bits >> old % 8 & 1) << new).astype(np.uint32)
    words_in, words_out = np.array([flags], np.uint32), np.zeros((1, len(flags)), np.uint32)
    for swap in (False, True):
        for function, other in zip(either(words.scale), either(words.renumber), strict=True):
            raw = stored.view(np.uint32)
            function(raw.byteswap() if swap else raw, swap, np.float32(0.3), np.float32(1e15), out)
            np.testing.assert_array_equal(out, want)
            other(words_in.byteswap() if swap else words_in, swap, table, words_out)
            assert words_out[0].tolist() == [
                sum((word >> old & 1) << new for old, new in moved.items()) for word in flags
            ]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=70),
        min_size=1,
        max_size=4,
    ),
    st.lists(st.integers(0, 100), min_size=1, max_size=3),
)
def test_quantiles_are_those_of_numpy(lists, percents):
    arrays = [np.array(one, np.float32) for one in lists]
    end = np.cumsum([one.size for one in arrays])
    begin = end - np.array([one.size for one in arrays])
    fractions = np.array(percents) / 100
    out = np.empty((len(lists), len(percents)))
    quantiles.select(words.ordered_words(np.concatenate(arrays)), begin, end, fractions, out)
    for array, got in zip(arrays, out, strict=True):
        if array.size == 0:
            assert np.isnan(got).all()
        else:
            value = np.sort(array.astype(np.float64))
            want = np.quantile(value, fractions)
            np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12 * np.abs(value).max())


@pytest.mark.parametrize("shape", ["normal", "few values", "outliers", "constant"])
def test_long_lists_and_the_interpreter(shape):
    rng = np.random.default_rng(7)
    values = {
        "normal": rng.standard_normal(20000),
        "few values": rng.integers(0, 4, 20000).astype(float),
        "outliers": np.where(rng.random(20000) < 0.01, 1e30, 1e-20 * rng.standard_normal(20000)),
        "constant": np.full(20000, 0.2),
    }[shape].astype(np.float32)
    fractions = np.array([0.0, 0.01, 0.5, 0.999, 1.0])
    out = np.empty((1, 5))
    quantiles.select(words.ordered_words(values), np.array([0]), np.array([20000]), fractions, out)
    np.testing.assert_allclose(out[0], np.quantile(values.astype(float), fractions), rtol=1e-13)
    short = np.empty((1, 5))
    quantiles.select.py_func(
        words.ordered_words(values[:200]), np.array([0]), np.array([200]), fractions, short
    )
    np.testing.assert_allclose(short[0], np.quantile(values[:200].astype(float), fractions), rtol=1e-13)
