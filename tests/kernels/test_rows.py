"""Rows as files hold them: big-endian words; bisection, merging and ranges, interpreted and compiled."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vmpz.kernels import rows as kernel

laws = settings(max_examples=60, deadline=None)
NUMBERS = st.integers(0, 12 * 4**29 - 1)
"""Every cell number there is: the upper of its two words is in use from order 15 on."""


def either(function):
    return function, function.py_func


def words(cells, values=None, form=">f4"):
    """Records of cells and values as uint32 (n, words)."""
    records = np.zeros(len(cells), [("PIXEL", ">i8"), ("WEIGHT", form)])
    records["PIXEL"] = cells
    records["WEIGHT"] = np.arange(len(cells)) if values is None else values
    return records.view(np.uint32).reshape(len(cells), records.dtype.itemsize // 4)


def numbers(rows):
    """Cell numbers of rows, as numpy reads them."""
    return rows[:, :2].copy().view(">i8").ravel().astype(np.int64)


def merged(function, lists, form=">f4"):
    """The result of a merge, the rows, and what is at fault."""
    start = np.concatenate(([0], np.cumsum([len(one) for one in lists]))).astype(np.int64)
    rows = np.concatenate([words(one, form=form) for one in lists])
    out, at_fault = np.zeros_like(rows), np.full(3, -9, np.int64)
    return function(rows, start, out, at_fault), rows, out, at_fault.tolist()


@laws
@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20), st.sampled_from([">f4", ">f8", ">i8"]))
def test_cell_numbers_are_those_of_numpy(cells, form):
    rows = words(cells, form=form)
    for function in either(kernel.cells_of):
        out = np.empty(len(cells), np.int64)
        with np.errstate(over="ignore"):
            function(rows, out)
        assert out.tolist() == cells == numbers(rows).tolist()


@laws
@given(st.sets(NUMBERS, max_size=40), NUMBERS, st.integers(0, 40))
def test_bisection_is_that_of_numpy(cells, wanted, low):
    cells = sorted(cells)
    low = min(low, len(cells))
    for function in either(kernel.first_row):
        for cell in (wanted, *cells[:3]):
            assert function(words(cells), cell, low) == low + np.searchsorted(cells[low:], cell)


@st.composite
def disjoint_lists(draw):
    """Sorted lists without a common cell, some of them empty; in runs, as tiles are, or one by one."""
    cells = sorted(draw(st.sets(st.integers(0, 60) | NUMBERS, max_size=50)))
    owner = draw(st.lists(st.integers(0, 4), min_size=len(cells), max_size=len(cells)))
    return [[cell for cell, mine in zip(cells, owner, strict=True) if mine == k] for k in range(5)]


@laws
@given(disjoint_lists(), st.sampled_from([">f4", ">f8"]))
@example([[], [], []], ">f4")
@example([[0], [], [12 * 4**29 - 1]], ">f4")
def test_merging_is_sorting_of_the_concatenation(lists, form):
    for function in either(kernel.merge_sorted):
        with np.errstate(over="ignore"):
            right, rows, out, _ = merged(function, lists, form)
        assert right
        by_cell = np.argsort(numbers(rows), kind="stable")
        assert np.array_equal(out, rows[by_cell])


@laws
@given(disjoint_lists(), st.data())
def test_a_cell_in_two_lists_is_named_with_both(lists, data):
    owners = [k for k, one in enumerate(lists) if one]
    if not owners:
        return
    first = data.draw(st.sampled_from(owners))
    second = data.draw(st.sampled_from([k for k in range(len(lists)) if k != first]))
    cell = data.draw(st.sampled_from(lists[first]))
    twice = [sorted([*one, cell]) if k == second else one for k, one in enumerate(lists)]
    for function in either(kernel.merge_sorted):
        right, *_, at_fault = merged(function, twice)
        assert not right
        assert set(at_fault[:2]) == {first, second} and at_fault[2] == cell


@laws
@given(disjoint_lists(), st.data())
def test_a_list_that_does_not_ascend_is_named_alone(lists, data):
    """Swapped or repeated; whatever the other lists hold between, the same list is named twice."""
    long = [k for k, one in enumerate(lists) if len(one) > 1]
    if not long:
        return
    which = data.draw(st.sampled_from(long))
    place = data.draw(st.integers(0, len(lists[which]) - 2))
    wrong = [list(one) for one in lists]
    if data.draw(st.booleans()):
        wrong[which][place + 1] = wrong[which][place]
    else:
        wrong[which][place : place + 2] = wrong[which][place : place + 2][::-1]
    for function in either(kernel.merge_sorted):
        right, *_, at_fault = merged(function, wrong)
        assert not right
        assert at_fault[:2] == [which, which]


@pytest.mark.parametrize("lists", [[[-5, 3], [4]], [[7], [-1, 8]], [[-1]]])
def test_a_negative_number_is_at_fault_by_itself(lists):
    which = next(k for k, one in enumerate(lists) if one[0] < 0)
    for function in either(kernel.merge_sorted):
        with np.errstate(over="ignore"):
            right, *_, at_fault = merged(function, lists)
        assert not right
        assert at_fault == [which, which, lists[which][0]]


@laws
@given(st.sets(st.integers(0, 60) | NUMBERS, max_size=60))
def test_ranges_unfold_to_the_cells(cells):
    cells = sorted(cells)
    for function in either(kernel.covered_ranges):
        ranges = np.zeros((len(cells), 2), np.int64)
        count = function(words(cells), ranges)
        found = ranges[:count].tolist()
        assert [cell for begin, end in found for cell in range(begin, end)] == cells
        assert all(end < begin for (_, end), (begin, _) in pairwise(found))
