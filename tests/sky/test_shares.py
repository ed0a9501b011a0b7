"""Shares of many outlines: areas, the other exact way, padding, and the same bytes whatever the order and the split."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sky_helpers import from_tangent_plane, tangent_square
from vmpz.errors import InputError
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.covers import Boundaries, cover, rounding
from vmpz.sky.regions import Polygon, cells_inside
from vmpz.sky.shares import iterate_shares, outline_shares, sums_and_union, weighted_sums
from vmpz.sky.skymap import SkyMap

PLACES = [
    (57.9988, -51.5884), (0.0, 0.0), (150.0, 2.0), (10.0, 41.81), (45.0, 20.0), (90.0, 60.0), (270.0, 66.2),
    (0.02, -20.0), (30.0, 89.0), (12.0, 89.95), (33.0, -41.5), (200.0, -70.0), (0.0, 90.0), (45.0, -90.0),
    (45.0, 0.0), (359.999, -41.81), (180.0, 89.9999),
]  # fmt: skip
places = st.tuples(
    st.floats(0, 360), st.one_of(st.floats(-90, 90), st.sampled_from([90.0, -90.0, 0.0, 41.81, -41.81]))
)


@st.composite
def stars(draw, smallest=0.02, largest=3.0):
    """Star-shaped outlines (m, 2), mostly concave, anywhere, in either direction."""
    count = draw(st.integers(3, 9))
    radii = np.tan(np.radians(draw(st.floats(smallest, largest)))) * np.array(
        draw(st.lists(st.floats(0.2, 1.0), min_size=count, max_size=count))
    )
    turn = draw(st.floats(0, 2 * np.pi)) + 2 * np.pi * np.arange(count) / count
    outline = from_tangent_plane(*draw(places), radii * np.cos(turn), radii * np.sin(turn))
    return outline[::-1] if draw(st.booleans()) else outline


def survey(count=40, seed=1, place=(58.0, -51.0), spread=0.3, side=0.06):
    """Turned squares (n, 4, 2) that overlap one another, and two scalars each."""
    random = np.random.default_rng(seed)
    shift = random.uniform(-spread, spread, (count, 2)) / (np.cos(np.radians(place[1])), 1.0)
    outlines = np.array(
        [
            tangent_square(*(place + one), side, turn)
            for one, turn in zip(shift, random.uniform(0, 90, count), strict=True)
        ]
    )
    return outlines, random.uniform(1.0, 600.0, (count, 2))


def padded(outline, length):
    """The same outline with its last vertex repeated."""
    return np.concatenate((outline, np.repeat(outline[-1:], length - len(outline), axis=0)))


def difference(one, two):
    """Largest difference of two maps, absent = 0."""
    cells = (one.cells | two.cells).cells()
    return np.abs(one.of_cells(cells, 0.0) - two.of_cells(cells, 0.0)).max(initial=0.0)


def traced(outline, order):
    """Shares of one outline the other way: the true arcs followed from cell to cell, as a map."""
    found = cover(Boundaries.of([Polygon(outline).arcs], [False]), order)
    whole = CellSet.from_ranges(order, found.whole).cells()
    kept = found.share > 0.0
    return SkyMap.from_cells(
        order,
        np.concatenate((found.cell[kept], whole)),
        np.concatenate((found.share[kept], np.ones(whole.size))),
    )


def shares_of(outline, order, **options):
    """Shares of one outline as a map."""
    _, cell, share = outline_shares(outline[np.newaxis], order, **options)
    return SkyMap.from_cells(order, cell, share)


# -- geometry -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("side", "order"), [(0.06, 14), (0.5, 12), (0.5, 9), (9.0, 7), (9.0, 4)])
def test_shares_add_up_to_the_area(place, side, order):
    closed = 4 * np.arcsin(np.sin(np.radians(side / 2)) ** 2) * (180 / np.pi) ** 2
    for angle in (0.0, 33.0, 45.0):
        square = tangent_square(*place, side, angle)
        share = shares_of(square, order)
        assert share.integral_deg2() == pytest.approx(Polygon(square).area_deg2, rel=2e-12)
        assert share.integral_deg2() == pytest.approx(closed, rel=1e-9)
        assert share.values.min() > 0.0 and share.values.max() <= 1.0


@settings(max_examples=150, deadline=None)
@given(stars(), st.sampled_from([3, 6, 9, 11]))
def test_curves_are_the_true_arcs(outline, order):
    assert difference(shares_of(outline, order), traced(outline, order)) <= 2.0 * rounding(order)


@settings(max_examples=60, deadline=None)
@given(stars(), st.sampled_from([4, 8, 11]), st.sampled_from([1e-2, 1e-4, 1e-6]))
def test_chords_keep_their_tolerance(outline, order, tolerance):
    chords = shares_of(outline, order, chord_tolerance=tolerance)
    assert difference(chords, shares_of(outline, order)) <= tolerance


@pytest.mark.parametrize("order", [0, 1, 2, 5, 14, 18, 24])
def test_any_order(order):
    side = min(20 * 58.6 / 2**order, 40.0)
    for place in PLACES[::4]:
        outline = tangent_square(*place, side, 20.0)
        assert difference(shares_of(outline, order), traced(outline, order)) <= 2.0 * rounding(order)


def test_an_outline_inside_one_cell():
    for side in (1e-2, 1e-4, 1e-6):
        square = tangent_square(57.9988, -51.5884, side, 10.0)
        share = shares_of(square, 3)
        assert len(share) == 1
        assert share.integral_deg2() == pytest.approx(Polygon(square).area_deg2, rel=1e-14 / np.radians(side))


@pytest.mark.parametrize("side", [2.5, 4.5])
def test_outlines_larger_than_a_node(side):
    """At order 14 a node is 1.8 degrees wide; boxes of more than a million cells take the other way."""
    outline = tangent_square(57.9988, -51.5884, side, 10.0)
    assert difference(shares_of(outline, 14), traced(outline, 14)) < 1e-10
    (cells, sums, union) = sums_and_union(outline[np.newaxis], [[1.0]], 14)
    assert np.array_equal(union, sums[:, 0]) and union.max() == 1.0
    assert len(cells) == len(shares_of(outline, 14))


def test_cells_inside_are_whole_and_cells_outside_absent():
    outline = tangent_square(57.9988, -51.5884, 0.5, 10.0)
    for tolerance in (None, 1e-4):
        share = shares_of(outline, 14, chord_tolerance=tolerance)
        inner = traced(tangent_square(57.9988, -51.5884, 0.48, 10.0), 14).cells
        outer = traced(tangent_square(57.9988, -51.5884, 0.52, 10.0), 14).cells
        assert np.all(share.clip(inner).values == 1.0) and not (share.cells - outer)


@settings(max_examples=30, deadline=None)
@given(stars(), st.integers(1, 4), st.sampled_from([None, 1e-4]))
def test_repeated_vertices_change_nothing(outline, more, tolerance):
    one = outline_shares(outline[np.newaxis], 9, chord_tolerance=tolerance)
    for filled in (padded(outline, len(outline) + more), np.repeat(outline, 2, axis=0)):
        two = outline_shares(filled[np.newaxis], 9, chord_tolerance=tolerance)
        assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


# -- sums -----------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    st.permutations(range(24)),
    st.sampled_from([(58.0, -51.0), (45.0, 41.81), (90.0, 60.0), (12.0, 89.9)]),
    st.sampled_from([None, 1e-4]),
    st.integers(1, 3),
)
def test_any_order_of_outlines_and_any_threads_give_the_same_bytes(order, place, tolerance, threads):
    outlines, weights = survey(24, place=place, spread=1.0, side=0.5)
    outlines[5] = outlines[4] = outlines[3]  # the same outline with other scalars
    outlines[7] = outlines[6]  # the same first vertex
    outlines[7, 2, 1] += 1e-3
    one = sums_and_union(outlines, weights, 9, chord_tolerance=tolerance)
    two = sums_and_union(outlines[order], weights[order], 9, chord_tolerance=tolerance, threads=threads)
    assert one[0] == two[0]
    assert one[1].tobytes() == two[1].tobytes() and one[2].tobytes() == two[2].tobytes()


@pytest.mark.parametrize("place", [(58.0, -51.0), (0.0, 0.0), (45.0, 41.81), (12.0, 89.99)])
@pytest.mark.parametrize("tolerance", [None, 1e-4])
def test_sums_are_those_of_the_outlines_one_by_one(place, tolerance):
    outlines, weights = survey(place=place)
    cells, sums = weighted_sums(outlines, weights, 12, chord_tolerance=tolerance)
    expected = np.zeros_like(sums)
    for outline, weight in zip(outlines, weights, strict=True):
        share = traced(outline, 12).of_cells(cells.cells(), 0.0)
        expected += share[:, np.newaxis] * weight
    assert np.abs(sums - expected).max() <= (600.0 * len(outlines) * 1e-4 if tolerance else 1e-8)
    total = sums.sum(axis=0) * hpx.cell_area_deg2(12)
    area = np.array([Polygon(one).area_deg2 for one in outlines])
    assert total == pytest.approx(area @ weights, rel=1e-4 if tolerance else 1e-12)


def test_shares_come_by_cell_then_by_outline_and_make_the_same_sums():
    outlines, weights = survey(place=(0.0, -41.81), spread=2.0, side=0.7)
    outline, cell, share = outline_shares(outlines, 10, threads=2)
    assert outline.dtype == np.int32 and cell.dtype == np.int64 and share.dtype == np.float64
    assert np.all((np.diff(cell) > 0) | ((np.diff(cell) == 0) & (np.diff(outline) > 0)))
    cells, sums = weighted_sums(outlines, weights, 10)
    assert np.array_equal(np.unique(cell), cells.cells())
    for k in range(2):
        assert np.bincount(cells.index(cell), share * weights[outline, k]) == pytest.approx(
            sums[:, k], rel=1e-13
        )


def test_pieces_hold_all_outlines_of_their_cells():
    outlines, _ = survey(place=(58.0, -51.0), spread=3.0, side=1.0)
    pieces = list(iterate_shares(outlines, 14, cells_inside(Polygon(outlines[0]), 14)))
    assert len(pieces) > 1
    assert all(one[1][-1] < two[1][0] for one, two in pairwise(pieces))


@pytest.mark.parametrize("place", [(58.0, -51.0), (45.0, 41.81), (12.0, 89.9)])
def test_chosen_cells_are_a_part_of_all(place):
    outlines, weights = survey(place=place, spread=2.0, side=0.7)
    cells, sums, union = sums_and_union(outlines, weights, 10)
    some = CellSet.from_cells(10, cells.cells()[::3]) | CellSet.from_cells(10, [0, 5])
    few, few_sums, few_union = sums_and_union(outlines, weights, 10, some)
    place = cells.index(few.cells())
    assert few == cells & some
    assert np.array_equal(few_sums, sums[place]) and np.array_equal(few_union, union[place])
    outline, cell, share = outline_shares(outlines, 10)
    kept = some.index(cell) >= 0
    assert [one.tolist() for one in outline_shares(outlines, 10, some)] == [
        one[kept].tolist() for one in (outline, cell, share)
    ]


@pytest.mark.parametrize(
    ("place", "tolerance"),
    [
        ((58.0, -51.0), 1e-4),
        ((0.0, 0.0), None),
        ((45.0, 41.81), None),
        ((12.0, 89.99), None),
        ((12.0, 89.99), 1e-4),
    ],
)
def test_union_against_deep_cells_and_between_its_bounds(place, tolerance):
    outlines, weights = survey(60, place=place, spread=0.1, side=0.06)
    cells, _, union = sums_and_union(outlines, weights, 12, chord_tolerance=tolerance)
    outline, cell, share = outline_shares(outlines, 12, chord_tolerance=tolerance)
    table = np.zeros((len(outlines), len(cells)))
    table[outline, cells.index(cell)] = share
    assert np.all(union >= table.max(axis=0)) and np.all(
        union <= np.minimum(table.sum(axis=0) * (1 + 1e-15), 1.0)
    )
    alone = (table > 0).sum(axis=0) == 1
    assert np.array_equal(union[alone], table.max(axis=0)[alone])
    deep = CellSet.union([cells_inside(Polygon(one), 18) for one in outlines])
    number, count = np.unique(deep.cells() >> 12, return_counts=True)
    fine = SkyMap.from_cells(12, number, count / 4096.0)
    assert difference(SkyMap(cells, union), fine) < 0.08
    assert union.sum() * hpx.cell_area_deg2(12) == pytest.approx(deep.area_deg2, rel=2e-3)


def test_nothing():
    none = np.empty((0, 4, 2))
    cells, sums, union = sums_and_union(none, np.empty((0, 3)), 14)
    assert cells == CellSet(14) and sums.shape == (0, 3) and union.shape == (0,)
    assert [one.size for one in outline_shares(none, 14)] == [0, 0, 0]
    outlines, weights = survey(3)
    cells, sums = weighted_sums(outlines, weights[:, :0], 12)
    assert len(cells) > 0 and sums.shape == (len(cells), 0)
    elsewhere = CellSet.from_cells(12, [0])
    assert len(weighted_sums(outlines, weights, 12, elsewhere)[0]) == 0


def test_weights_may_be_nought_or_negative():
    outlines, weights = survey(10)
    _, sums = weighted_sums(
        outlines, np.stack((weights[:, 0], -weights[:, 0], 0 * weights[:, 0]), axis=1), 12
    )
    assert np.array_equal(sums[:, 0], -sums[:, 1]) and not sums[:, 2].any()


def test_what_is_refused():
    outlines, weights = survey(3)
    crossed = np.array([[[0.0, 10.0], [1, 11], [1, 10], [0, 11]]])
    flat = np.array([[[0.0, 0.0], [1, 0], [2, 0], [1, 0]]])
    for tolerance in (None, 1e-4):
        with pytest.raises(InputError, match="outline 0 must not cross"):
            weighted_sums(crossed, [[1.0]], 8, chord_tolerance=tolerance)
        with pytest.raises(InputError, match="outline 0"):
            outline_shares(flat, 8, chord_tolerance=tolerance)
    with pytest.raises(InputError, match="shape"):
        outline_shares(np.zeros((3, 2)), 8)
    with pytest.raises(InputError, match="latitudes"):
        outline_shares(crossed + 90.0, 8)
    with pytest.raises(InputError, match="tolerance must be positive"):
        outline_shares(outlines, 8, chord_tolerance=0.0)
    for wrong in (weights[:2], weights[:, 0], weights * np.nan):
        with pytest.raises(InputError, match="weights must be finite"):
            weighted_sums(outlines, wrong, 8)
