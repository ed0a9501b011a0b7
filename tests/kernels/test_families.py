"""Sums over families: the slow and obvious loop, interpreted and compiled, and any cut of the list."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vmpz.kernels import families as kernel

laws = settings(max_examples=60, deadline=None)
VALUES = st.floats(-1e6, 1e6) | st.sampled_from([0.0, np.nan])
WEIGHTS = st.floats(0, 1) | st.sampled_from([0.0, 1.0, -1.0, np.nan])


@st.composite
def children(draw):
    """Cells, values and weights, the cells ascending: some near one another, some anywhere on a sphere of order 29."""
    near = st.integers(0, 40)
    cells = sorted(draw(st.sets(near | st.integers(0, 12 * 4**29 - 1), max_size=40)))
    size = {"min_size": len(cells), "max_size": len(cells)}
    return (
        np.array(cells, np.int64),
        np.array(draw(st.lists(VALUES, **size)), np.float64),
        np.array(draw(st.lists(WEIGHTS, **size)), np.float64),
    )


def slowly(cells, values, weights, shift):
    """Parent -> [sum of weights, weighted sum], one child after the other."""
    found = {}
    for cell, value, weight in zip(cells.tolist(), values.tolist(), weights.tolist(), strict=True):
        sums = found.setdefault(cell >> shift, [0.0, 0.0])
        if weight > 0 and value == value:
            sums[0] += weight
            sums[1] += weight * value
    return found


def streamed(function, pieces, shift):
    """Parents and sums of a list that comes in pieces, and of the family that is left open."""
    parent, left, found = np.full(1, -1, np.int64), np.zeros(2), {}
    for cells, values, weights in pieces:
        parents, sums = np.empty(cells.size, np.int64), np.empty((cells.size, 2))
        count = function(cells, values, weights, shift, parent, left, parents, sums)
        assert not set(parents[:count].tolist()) & set(found)
        found |= dict(zip(parents[:count].tolist(), sums[:count].tolist(), strict=True))
    return found | ({int(parent[0]): left.tolist()} if parent[0] >= 0 else {})


@laws
@given(children(), st.integers(1, 29), st.lists(st.integers(0, 40), max_size=6))
def test_sums_are_those_of_the_slow_loop_whatever_the_cut(rows, levels, cuts):
    wanted = slowly(*rows, 2 * levels)
    cuts = sorted(min(cut, rows[0].size) for cut in cuts)
    pieces = list(zip(*(np.split(one, cuts) for one in rows), strict=True))
    for function in (kernel.add_children, kernel.add_children.py_func):
        for cut in ([rows], pieces):
            found = streamed(function, cut, 2 * levels)
            assert list(found) == sorted(wanted)
            assert found == wanted  # to the bit


def test_nothing_leaves_everything_as_it_was():
    nothing = np.empty(0, np.int64), np.empty(0), np.empty(0)
    for function in (kernel.add_children, kernel.add_children.py_func):
        assert streamed(function, [nothing, nothing], 2) == {}
        one = np.array([7]), np.array([0.5]), np.array([1.0])
        assert streamed(function, [nothing, one, nothing], 2) == {1: [1.0, 0.5]}
