"""Polygons as text and back, compiled and interpreted."""

import numpy as np
import pytest

from vmpz.kernels import polygontext
from vmpz.kernels.decimals import LONGEST

AXES = np.array(
    [[[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0.6, 0.8, 0]], [[0, 0.6, 0.8], [0, -1, 0], [0, 0, -1], [-1, 0, 0]]]
)
BY_HAND = """\
polygon 7 ( 4 caps, 0.25 weight, 0 pixel, 1.5 str):
 1 0 0 1
 0 1 0 1
 0 0 1 1
 0.59999999999999998 0.80000000000000004 0 1
polygon 8 ( 4 caps, 1 weight, 0 pixel, 2.0000000000000001e-09 str):
 0 0.59999999999999998 0.80000000000000004 1
 0 -1 0 1
 0 0 -1 1
 -1 0 0 1
"""


def take(text, is_last=True, most=1 << 60, compiled=True):
    """State, heads, lines, caps, place, line."""
    data = np.frombuffer(text.encode(), np.uint8)
    room = len(data) // 8 + 1
    heads, lines, caps = np.empty((room, 3)), np.empty(room, np.int64), np.empty((room, 4))
    function = polygontext.take_polygons if compiled else polygontext.take_polygons.py_func
    state, many, total, place, line = function(data, is_last, most, heads, lines, caps)
    return state, heads[:many].tolist(), lines[:many].tolist(), caps[:total].tolist(), place, line


@pytest.mark.parametrize("compiled", [True, False])
def test_the_text_of_quadrilaterals(compiled):
    out = np.zeros(2 * polygontext.BYTES, np.uint8)
    weights = np.array([b"0.25", b"1"], f"S{LONGEST}").view(np.uint8).reshape(2, LONGEST)
    function = polygontext.put_quadrilaterals if compiled else polygontext.put_quadrilaterals.py_func
    size = function(out, 7, weights, np.array([0, 1]), np.array([1.5, 2e-9]), AXES)
    assert out[:size].tobytes().decode() == BY_HAND
    state, heads, lines, caps, place, line = take(BY_HAND, compiled=compiled)
    assert (state, heads, lines) == (polygontext.MORE, [[4, 0.25, 1.5], [4, 1, 2e-9]], [0, 5])
    assert np.array_equal(np.array(caps)[:, :3], AXES.reshape(-1, 3)) and {one[3] for one in caps} == {1.0}
    assert (place, line) == (len(BY_HAND), 10)


def test_a_text_is_read_up_to_its_last_whole_polygon():
    second = BY_HAND.index("polygon 8")
    for stop in range(second, len(BY_HAND)):
        state, heads, _, _, place, line = take(BY_HAND[:stop], is_last=False)
        assert (state, len(heads), place, line) == (polygontext.MORE, 1, second, 5)
    assert len(take(BY_HAND, is_last=False)[1]) == 2
    assert take(BY_HAND, most=1)[0] == polygontext.FULL
    assert take(BY_HAND[:-1])[0] == polygontext.MORE and len(take(BY_HAND[:-1])[1]) == 2


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(
    ("head", "found"),
    [
        ("polygon 1 ( 1 caps, 0.5 weight, 87381 pixel, 0.25 str):", [1, 0.5, 0.25]),
        ("polygon 1 ( 1 caps, 0.5 weight, 0.25 str):", [1, 0.5, 0.25]),
        ("polygon 1 ( 0.25 str, 0.5 weight, 1 caps )", [1, 0.5, 0.25]),
        ("polygon 1 ( 1 caps, 0.5 weight):", [1, 0.5, -1]),
        ("polygon 1 ( 1 caps):", [1, 1, -1]),
        ("polygon 1 (1 caps,3 midpoints, 0.5 weight", [1, 0.5, -1]),
        ("polygon 1 1", [1, 1, -1]),
        ("polygon\t 1  1 0.5 ", [1, 0.5, -1]),
        ("polygon 1 ( 1 caps, -2e-1 weight, -1 pixel, 1e-3 str):\r", [1, -0.2, 1e-3]),
    ],
)
def test_first_lines_of_every_make(head, found, compiled):
    state, heads, _, caps, _, _ = take(f"\n{head}\n 0 0 -1\n -0.5\n\n", compiled=compiled)
    assert (state, heads, caps) == (polygontext.MORE, [found], [[0, 0, -1, -0.5]])


@pytest.mark.parametrize(
    ("text", "state", "line"),
    [
        ("polygon 1 (", polygontext.CAPS, 0),
        ("polygon 1 ( 1 weight):", polygontext.CAPS, 0),
        ("polygon 1 many", polygontext.CAPS, 0),
        ("polygon 1 ( 1.5 caps):", polygontext.CAPS, 0),
        ("polygon 1 ( -1 caps):", polygontext.CAPS, 0),
        ("polygon 1 ( 1e9 caps):", polygontext.MANY, 0),
        ("polygon 1 ( 99999999999999999999999999 caps):", polygontext.MANY, 0),
        ("polygon 1 ( 1 caps, nan weight):", polygontext.NUMBER, 0),
        ("polygon 1 ( 1 caps, 1e999 weight):", polygontext.VALUE, 0),
        ("polygon 1 ( 1 caps, 1 weight, -3 str):", polygontext.VALUE, 0),
        ("polygon 1 ( 1 caps, 1 ):", polygontext.NUMBER, 0),
        ("polygon 1 ( 1 caps ):\n 0 0 1 nan", polygontext.NUMBER, 1),
        ("polygon 1 ( 1 caps ):\n 0 0 1 1e999", polygontext.VECTOR, 1),
        ("polygon 1 ( 1 caps ):\n\n 0 0 1.1 1", polygontext.VECTOR, 2),
        ("polygon 1 ( 1 caps ):\n 0 0 0 1", polygontext.VECTOR, 1),
        ("polygon 1 ( 1 caps ):\n 0 0 1x 1", polygontext.NUMBER, 1),
        ("polygon 1 ( 1 caps ):\n 0 0 1", polygontext.MORE, 0),
        ("polygon 1 ( 1 caps ):\n 0 0 1 1 1", polygontext.OTHER, 1),
        ("polygons 1 ( 1 caps ):", polygontext.OTHER, 0),
        ("\n\nvmpz.key", polygontext.OTHER, 2),
    ],
)
def test_faults_and_where_they_stand(text, state, line):
    found = take(text + ("" if state == polygontext.MORE else "\n"))
    assert (found[0], found[5]) == (state, line)
