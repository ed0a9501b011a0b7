"""Sums and unions of outlines, and the chord path."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sky_helpers import tangent_square
from vmpz.errors import InputError
from vmpz.sky.cells import CellSet
from vmpz.sky.regions import Cap, Polygon, cells_inside, covered_fractions, sum_fractions, union_fractions


def scattered(count, seed=1, lon=50.0, lat=-51.9, spread=0.15, side=0.06):
    """Squares around one place, (count, 4, 2)."""
    random = np.random.default_rng(seed)
    return np.array(
        [
            tangent_square(
                lon + random.uniform(-spread, spread), lat + random.uniform(-spread, spread), side, turn
            )
            for turn in random.uniform(0, 90, count)
        ]
    )


places = st.tuples(
    st.floats(0, 360), st.one_of(st.floats(-89.5, 89.5), st.sampled_from([0.0, 41.81, -41.81]))
)


@settings(max_examples=40, deadline=None)
@given(places, st.floats(0.001, 0.3), st.floats(0, 90), st.sampled_from([1e-2, 1e-4, 1e-6]))
def test_chords_keep_their_tolerance(place, side, angle, tolerance):
    square = tangent_square(*place, side, angle)
    exact, chords = (
        covered_fractions(Polygon(square), 12),
        covered_fractions(square[np.newaxis], 12, chord_tolerance=tolerance),
    )
    cells = (exact.cells | chords.cells).cells()
    assert np.abs(exact.of_cells(cells, 0.0) - chords.of_cells(cells, 0.0)).max() <= tolerance
    assert chords.values.max() <= 1.0 and chords.values.min() > 0.0


@pytest.mark.parametrize("order", [3, 10, 14, 17])
def test_chords_at_other_orders(order):
    outlines = scattered(12)
    for tolerance in (1e-3, 1e-4):
        exact, chords = (
            sum_fractions(outlines, order),
            sum_fractions(outlines, order, chord_tolerance=tolerance),
        )
        cells = (exact.cells | chords.cells).cells()
        assert np.abs(exact.of_cells(cells, 0.0) - chords.of_cells(cells, 0.0)).max() <= 12 * tolerance
        assert chords.integral_deg2() == pytest.approx(exact.integral_deg2(), rel=tolerance)


def test_chords_of_concave_outlines_and_either_direction():
    arrow = np.array([[10.0, -2.0], [10.3, -1.9], [10.0, -1.5], [10.1, -1.9]])
    exact = covered_fractions(Polygon(arrow), 12)
    for outline in (arrow, arrow[::-1]):
        chords = covered_fractions(outline[np.newaxis], 12, chord_tolerance=1e-5)
        assert np.abs(exact.values - chords.of_cells(exact.cells.cells(), 0.0)).max() <= 1e-5


@pytest.mark.parametrize("place", [(0.0, 0.0), (45.0, 41.81), (90.0, 60.0), (12.0, 89.99), (45.0, 0.0)])
def test_chords_over_seams_are_exact(place):
    outlines = scattered(5, lon=place[0], lat=place[1], spread=0.001, side=0.2)
    exact, chords = sum_fractions(outlines, 11), sum_fractions(outlines, 11, chord_tolerance=1e-4)
    assert chords.integral_deg2() == pytest.approx(exact.integral_deg2(), rel=1e-4)
    assert np.abs(exact.values - chords.of_cells(exact.cells.cells(), 0.0)).max() <= 5e-4


def test_sum_is_the_number_of_outlines():
    tile = tangent_square(57.9988, -51.5884, 0.3)
    for form in (np.repeat(tile[np.newaxis], 700, axis=0), [Polygon(tile)] * 700):
        for tolerance in (None, 1e-4):
            one = covered_fractions(Polygon(tile), 9, chord_tolerance=tolerance)
            many = sum_fractions(form, 9, chord_tolerance=tolerance)
            assert many.cells == one.cells
            assert many.values == pytest.approx(700 * one.values, rel=1e-12)


def test_sum_mixes_regions_and_adds_areas():
    regions = [Cap(50.0, -51.9, 0.1), Cap(50.0, -51.9, 179.9, outside=True), *map(Polygon, scattered(20))]
    area = sum(one.area_deg2 for one in regions)
    for tolerance in (None, 1e-4):
        assert sum_fractions(regions, 10, chord_tolerance=tolerance).integral_deg2() == pytest.approx(
            area, rel=1e-4 if tolerance else 1e-12
        )


@pytest.mark.parametrize("order", [10, 20])
def test_sum_limits_to_cells_and_works_at_any_order(order):
    side = 5 * 60.0 / 2**order
    outlines = scattered(4, spread=side / 3, side=side)
    total = sum_fractions(outlines, order, chord_tolerance=1e-4)
    pieces = [covered_fractions(Polygon(one), order) for one in outlines]
    expected = sum(piece.of_cells(total.cells.cells(), 0.0) for piece in pieces)
    assert total.values == pytest.approx(expected, abs=4e-4)
    some = CellSet.from_cells(order, total.cells.cells()[::3])
    assert sum_fractions(outlines, order, some, chord_tolerance=1e-4) == total.clip(some)


def test_union_against_deep_cells():
    outlines = scattered(60)
    for form, tolerance in ((outlines, 1e-4), ([Polygon(one) for one in outlines], None)):
        union = union_fractions(form, 12, chord_tolerance=tolerance)
        deep = CellSet.union([cells_inside(Polygon(one), 17) for one in outlines]).cells() >> 10
        cells, counts = np.unique(deep, return_counts=True)
        miss = union.of_cells(cells, 0.0) - counts / 4**5
        assert np.abs(miss).max() < 4 / 64 and np.sqrt(np.mean(miss**2)) < 0.3 / 64
        assert abs(np.mean(miss)) < 1e-3


def test_union_is_exact_where_it_must_be():
    outlines = [Polygon(one) for one in scattered(40)]
    order = 12
    pieces = [covered_fractions(one, order) for one in outlines]
    union = union_fractions(outlines, order)
    cells = union.cells.cells()
    shares = np.array([piece.of_cells(cells, 0.0) for piece in pieces])
    touching, most = (shares > 0).sum(axis=0), shares.max(axis=0)
    exact = (most == 1) | (touching == 1)
    assert np.array_equal(union.values[exact], most[exact])
    assert np.all(union.values >= most) and np.all(union.values <= np.minimum(shares.sum(axis=0), 1.0))
    assert 0 < exact.sum() < exact.size


def test_union_does_not_depend_on_the_order_of_outlines():
    regions = [*map(Polygon, scattered(30)), Cap(50.0, -51.9, 0.1), Cap(50.1, -51.95, 0.05)]
    union = union_fractions(regions, 12)
    assert union_fractions(regions[::-1], 12) == union
    assert union_fractions([*regions, *regions[:7]], 12).cells == union.cells
    some = CellSet.from_cells(12, union.cells.cells()[::3])
    assert union_fractions(regions, 12, some) == union.clip(some)


@pytest.mark.parametrize("place", [(0.0, 0.0), (45.0, 41.81), (90.0, 60.0), (12.0, 89.99)])
def test_union_over_seams(place):
    outlines = scattered(8, lon=place[0], lat=place[1], spread=0.05, side=0.2)
    union = union_fractions(outlines, 12)
    deep = CellSet.union([cells_inside(Polygon(one), 17) for one in outlines])
    assert union.integral_deg2() == pytest.approx(deep.area_deg2, rel=1e-3)


def test_union_of_nothing_and_of_one():
    assert len(union_fractions([], 9)) == 0 and len(sum_fractions([], 9)) == 0
    cap = Cap(10.0, 41.81, 1.0)
    assert union_fractions([cap], 9) == covered_fractions(cap, 9)
    assert union_fractions(cap, 9) == covered_fractions(cap, 9)


def test_bad_outlines_are_refused():
    crossed = np.array([[[0.0, 10.0], [1, 11], [1, 10], [0, 11]]])
    for tolerance in (None, 1e-4):
        with pytest.raises(InputError, match="cross"):
            sum_fractions(crossed, 8, chord_tolerance=tolerance)
    with pytest.raises(InputError, match="shape"):
        sum_fractions(np.zeros((3, 2)), 8)
    with pytest.raises(InputError, match="latitudes"):
        sum_fractions(crossed + 90.0, 8)
    with pytest.raises(InputError, match="positive"):
        sum_fractions(scattered(2), 8, chord_tolerance=0.0)
