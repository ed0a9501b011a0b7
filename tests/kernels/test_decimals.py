"""Numbers as text and back, compiled and interpreted, against C's printf and strtod (Python's own)."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vmpz.kernels import decimals

MAGNITUDES = st.floats(decimals.LEAST, decimals.MOST, exclude_max=True)
HALVES = st.builds(lambda k, n: k / 2**n, st.integers(1, 2**20), st.integers(0, 60))
"""Their decimals end, so many lie exactly between two numbers of 17 digits."""


def put(value, compiled=True):
    out = np.zeros(64, np.uint8)
    function = decimals.put_number if compiled else decimals.put_number.py_func
    return out[: function(out, 1, value)].tobytes()[1:].decode()


def take(text, compiled=True):
    function = decimals.take_number if compiled else decimals.take_number.py_func
    value, place = function(np.frombuffer(f" {text}".encode(), np.uint8), 1, len(text) + 1)
    return value, place - 1


@settings(deadline=None, max_examples=400)
@given(MAGNITUDES | HALVES, st.booleans())
@example(9.9999999999999991e-5, False)
@example(99999999999999.984, False)
@example(0.1 + 0.2, True)
@example(1e-28, False)
@example(1e-7, False)
def test_numbers_are_written_as_printf_does_and_come_back(value, negative):
    value = -value if negative else value
    text = put(value)
    assert text == f"{value:.17g}"
    assert len(text) <= decimals.LONGEST
    assert take(text) == (value, len(text))


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("value", [1.0, 0.5, -1 / 3, 1e-5, 12345.0, 2.0**-60, 1e15, 3.0517578125e-05])
def test_by_hand(value, compiled):
    assert put(value, compiled) == f"{value:.17g}"
    assert take(f"{value:.17g}", compiled)[0] == value


def test_what_is_too_small_to_matter_is_zero():
    assert put(0.0) == put(1e-300) == "0"


@settings(deadline=None, max_examples=400)
@given(
    st.floats(1e-58, 1e58),
    st.sampled_from(["{:.17g}", "{:.9g}", "{:.20e}", "{:.25f}", "{!r}", "+{:g}", "00{:f}"]),
)
def test_any_spelling_is_read_as_strtod_does(value, form):
    text = form.format(value)
    assert take(text) == (float(text), len(text))


@given(st.floats(-1e300, 1e300))
def test_numbers_beyond_reach_are_near(value):
    found, _ = take(repr(value))
    assert found == pytest.approx(value, rel=1e-15, abs=1e-307)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(
    ("text", "value", "used"),
    [
        ("", 0.0, 0),
        ("-", 0.0, 0),
        (".", 0.0, 0),
        ("nan", 0.0, 0),
        ("inf", 0.0, 0),
        ("e5", 0.0, 0),
        ("1e", 1.0, 1),
        ("1e+", 1.0, 1),
        (".5x", 0.5, 2),
        ("5.", 5.0, 2),
        ("1.2.3", 1.2, 3),
        ("1E3", 1000.0, 3),
        ("1e-400", 0.0, 6),
        ("0e999999", 0.0, 8),
        ("123456789012345678901234567890", 1.2345678901234567e29, 30),
    ],
)
def test_what_is_no_number_is_left_alone(text, value, used, compiled):
    found, place = take(text, compiled)
    assert place == used
    assert found == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize("text", ["1e400", "1e99999999999999999999", "9" * 400])
def test_numbers_beyond_all_are_infinite(text):
    assert take(text) == (np.inf, len(text))
