"""`CellSet` against Python sets."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmpz.errors import MapMismatchError
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet

ORDER = 3
listed = st.lists(st.integers(0, hpx.number_of_cells(ORDER) - 1), max_size=60)
bunched = st.lists(st.tuples(st.integers(0, 760), st.integers(1, 8)), max_size=12).map(
    lambda runs: [cell for start, length in runs for cell in range(start, start + length)]
)
members = st.one_of(listed, bunched)
laws = settings(max_examples=80, deadline=None)


def made(cells):
    return CellSet.from_cells(ORDER, cells)


@laws
@given(members, members)
def test_algebra_is_that_of_sets(a, b):
    one, two = made(a), made(b)
    for ours, theirs in (
        (one | two, set(a) | set(b)),
        (one & two, set(a) & set(b)),
        (one - two, set(a) - set(b)),
        (one ^ two, set(a) ^ set(b)),
    ):
        assert ours.cells().tolist() == sorted(theirs)
        assert ours == made(sorted(theirs)) and hash(ours) == hash(made(list(theirs)))
    assert CellSet.union([one, two, one]) == one | two


@laws
@given(members, members, members)
def test_algebra_is_associative_and_distributive(a, b, c):
    one, two, three = made(a), made(b), made(c)
    assert (one | two) | three == one | (two | three)
    assert one & (two | three) == (one & two) | (one & three)
    assert one - (two | three) == (one - two) & (one - three)
    assert one ^ two == (one - two) | (two - one)


@laws
@given(members, st.randoms())
def test_order_and_repeats_do_not_matter(a, random):
    shuffled = a + a[: len(a) // 2]
    random.shuffle(shuffled)
    ranges = [(cell, cell + 1) for cell in shuffled]
    for other in (made(shuffled), CellSet.from_ranges(ORDER, ranges), pickle.loads(pickle.dumps(made(a)))):
        assert other == made(a) and hash(other) == hash(made(a)) and other.digest == made(a).digest
        assert other.__dask_tokenize__() == made(a).__dask_tokenize__()


@laws
@given(members)
def test_reading(a):
    cells = made(a)
    every = np.arange(hpx.number_of_cells(ORDER))
    place = cells.index(every)
    assert len(cells) == len(set(a)) and bool(cells) == bool(a)
    assert np.array_equal(every[place >= 0], cells.cells())
    assert np.array_equal(cells.cells()[place[place >= 0]], every[place >= 0])
    assert np.array_equal(cells.contains(*hpx.centres(every, ORDER)), place >= 0)
    assert cells.area_deg2 == pytest.approx(len(set(a)) * hpx.cell_area_deg2(ORDER))
    bounds = cells.ranges.ravel()
    assert np.all(np.diff(bounds) > 0) and cells.ranges.dtype == np.int64
    assert cells.index(every.reshape(16, -1)).shape == (16, 48)


@laws
@given(members, st.integers(0, 6))
def test_other_orders(a, order):
    moved = made(a).at_order(order)
    if order >= ORDER:
        expected = {
            child
            for cell in a
            for child in range(cell << 2 * (order - ORDER), (cell + 1) << 2 * (order - ORDER))
        }
    else:
        expected = {cell >> 2 * (ORDER - order) for cell in a}
    assert moved.order == order and moved.cells().tolist() == sorted(expected)


@laws
@given(members)
def test_moc_and_uniq_round_trips(a):
    cells = made(a)
    if a:
        moc = cells.to_moc()
        assert moc.sky_fraction == pytest.approx(len(cells) / hpx.number_of_cells(ORDER), rel=1e-12)
        assert CellSet.from_moc(moc) == cells and CellSet.from_moc(moc, ORDER) == cells
        assert CellSet.from_moc(moc, 1) == cells.at_order(1)
        assert CellSet.from_uniq(moc.uniq_hpx.astype(np.int64), ORDER) == cells
    assert CellSet.from_uniq(hpx.to_uniq(cells.cells(), ORDER), ORDER) == cells


@pytest.mark.parametrize("order", [0, 14, 29])
def test_ends_of_every_order(order):
    last = hpx.number_of_cells(order) - 1
    ends = CellSet.from_cells(order, [0, last])
    assert ends.cells().tolist() == [0, last] and len(CellSet.everything(order)) == last + 1
    assert (CellSet.everything(order) - ends) | ends == CellSet.everything(order)
    assert CellSet.from_moc(ends.to_moc(), order) == ends


def test_nothing():
    empty = CellSet(5)
    assert len(empty) == 0 and not empty and empty.cells().size == 0
    assert empty == CellSet.from_cells(5, []) == CellSet.from_ranges(5, [(7, 7)]) == CellSet.from_uniq([], 5)
    assert empty.index([1, 2]).tolist() == [-1, -1] and not empty.contains(1.0, 2.0)
    assert empty.at_order(9) == CellSet(9) and empty.at_order(2) == CellSet(2)
    assert empty | empty == empty and empty ^ empty == empty


def test_difference_of_sets_far_apart_is_the_first():
    low, high = made([0, 5]), made([7, 700])
    assert low - high == low and high - low == high


def test_what_is_refused():
    for bad in ([(3, 3)], [(5, 9), (2, 4)], [(1, 3), (3, 5)], [(-1, 4)], [(0, 769)]):
        with pytest.raises(ValueError, match="ranges must ascend"):
            CellSet(ORDER, bad)
    for order in (-1, 30):
        with pytest.raises(ValueError, match="order"):
            CellSet(order)
    with pytest.raises(MapMismatchError, match="one order"):
        CellSet(3) | CellSet(4)
    with pytest.raises(MapMismatchError, match="one order"):
        CellSet.union([CellSet(3), CellSet(4)])
    with pytest.raises(ValueError, match="deeper"):
        CellSet.from_uniq([4 * 4**5], 4)
    with pytest.raises(ValueError, match="read-only"):
        CellSet.everything(2).ranges[0, 0] = 1
    with pytest.raises(TypeError):
        CellSet(3) | {3}
    assert CellSet(3) != CellSet(4) and CellSet(3) != {3}
    assert "order=3" in repr(CellSet(3))


def test_depths_beyond_the_order_are_covered_outward():
    deep = CellSet.from_cells(10, [5 * 4**7 + 3, 9 * 4**7])
    assert CellSet.from_moc(deep.to_moc(), 3).cells().tolist() == [5, 9]


@laws
@given(members, st.integers(1, 20))
def test_blocks_one_after_the_other_are_all_cells(a, size):
    found = list(made(a).blocks(size))
    numbers = [block.tolist() for _, block in found]
    assert [cell for block in numbers for cell in block] == sorted(set(a))
    assert all(len(block) == size for block in numbers[:-1])
    assert [start for start, _ in found] == list(range(0, len(made(a)), size))
