"""Weighted MOC <-> map."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sky_helpers import levelwise_merge, tangent_square
from vmpz.errors import InputError, MapMismatchError
from vmpz.kernels import siblings
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.multiorder import from_multiorder, to_multiorder
from vmpz.sky.regions import Polygon, covered_fractions
from vmpz.sky.skymap import SkyMap


@st.composite
def maps(draw, dtype=np.float64):
    """Maps of a few values on a patch of one or two families of order 3."""
    cells = sorted(draw(st.sets(st.integers(256, 511), min_size=0, max_size=256)))
    whole = draw(st.booleans())
    cells = list(range(256, 512)) if whole else cells
    levels = draw(st.integers(1, 4))
    block = draw(st.sampled_from([1, 4, 16, 64]))
    pattern = draw(st.lists(st.integers(0, levels), min_size=256, max_size=256))
    values = np.array([pattern[(cell - 256) // block] for cell in cells]) / 4
    return SkyMap.from_cells(5, cells, values.astype(dtype))


def canonical(uniq, values):
    """No four siblings of one value."""
    held = dict(zip(uniq.tolist(), values.tolist(), strict=True))
    return not any(
        all(held.get(one + k) == value for k in range(4))
        for one, value in held.items()
        if one % 4 == 0 and one >= 16
    )


@settings(max_examples=80, deadline=None)
@given(maps())
def test_round_trip_is_exact_and_canonical(sky_map):
    uniq, values = to_multiorder(sky_map)
    assert np.all(np.diff(uniq) > 0) and canonical(uniq, values)
    assert from_multiorder(uniq, values, sky_map.order) == sky_map
    orders, _ = hpx.from_uniq(uniq)
    assert np.sum(values * hpx.cell_area_deg2(0) / 4.0**orders) == pytest.approx(
        sky_map.integral_deg2(), rel=1e-12
    )
    assert CellSet.from_uniq(uniq, sky_map.order) == sky_map.cells


@settings(max_examples=40, deadline=None)
@given(maps())
def test_same_as_merging_level_by_level(sky_map):
    uniq, values = to_multiorder(sky_map)
    slow_uniq, slow_values = levelwise_merge(sky_map)
    assert np.array_equal(uniq, slow_uniq) and np.array_equal(values, slow_values)


@settings(max_examples=60, deadline=None)
@given(maps(), st.sampled_from([0.02, 0.25, 0.6]), st.randoms())
def test_tolerance(sky_map, tolerance, random):
    uniq, values = to_multiorder(sky_map, tolerance)
    again = from_multiorder(uniq, values, sky_map.order)
    assert again.cells == sky_map.cells
    assert np.all(np.abs(again.values - sky_map.values) <= tolerance)
    assert again.integral_deg2() == pytest.approx(sky_map.integral_deg2(), rel=1e-12)
    assert len(uniq) <= len(to_multiorder(sky_map)[0])
    rows = list(range(len(sky_map)))
    random.shuffle(rows)
    shuffled = SkyMap.from_cells(5, sky_map.cells.cells()[rows], sky_map.values[rows])
    assert np.array_equal(to_multiorder(shuffled, tolerance)[1], values)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.int32, np.uint8, bool, ">f4"])
def test_every_type_of_value(dtype):
    values = (np.arange(256) // 16 % 3).astype(dtype)
    sky_map = SkyMap(CellSet.from_ranges(4, [(512, 768)]), values)
    uniq, merged = to_multiorder(sky_map)
    assert merged.dtype == np.dtype(dtype) and len(uniq) < 256
    assert from_multiorder(uniq, merged, 4) == sky_map
    large = SkyMap(CellSet.from_ranges(4, [(0, 4)]), np.array([2**60, 2**60, 2**60, 2**60 + 1]))
    assert len(to_multiorder(large)[0]) == 4


def test_depth_is_averaged_as_flux_squared():
    depth = np.array([25.0, 25.5, 26.0, 26.5])
    sky_map = SkyMap(CellSet.from_ranges(3, [(8, 12)]), depth)
    uniq, values = to_multiorder(sky_map, 1.5, "LOGQUAD")
    assert uniq.tolist() == [4 * 16 + 2]
    assert values[0] == pytest.approx(25.490784, abs=1e-6)
    assert len(to_multiorder(sky_map, 1.49, "LOGQUAD")[0]) == 4
    assert to_multiorder(sky_map, 1.5, "QUAD")[1][0] == pytest.approx(np.sqrt(np.mean(depth**2)))
    assert to_multiorder(sky_map, 1.5)[1][0] == depth.mean()
    assert np.array_equal(to_multiorder(SkyMap(sky_map.cells, np.full(4, 25.1)), 0.1, "LOGQUAD")[1], [25.1])


def test_first_and_last_cell_of_every_order():
    for order in range(30):
        for cell in (0, hpx.number_of_cells(order) - 1):
            sky_map = SkyMap.from_cells(order, [cell], [0.5])
            uniq, values = to_multiorder(sky_map)
            assert uniq.tolist() == [4 * 4**order + cell]
            assert from_multiorder(uniq, values) == sky_map
    whole = SkyMap(CellSet.everything(3), np.ones(768))
    assert to_multiorder(whole)[0].tolist() == list(range(4, 16))
    assert to_multiorder(whole, 0.1)[0].tolist() == list(range(4, 16))


def test_no_cell_crosses_the_edge_of_the_footprint():
    share = covered_fractions(Polygon(tangent_square(10.0, -2.0, 1.0)), 9)
    holes = share.where(share.cells.cells() % 37 > 0)
    uniq, _ = to_multiorder(holes, 1.0)
    assert CellSet.from_uniq(uniq, 9) == holes.cells


@pytest.mark.parametrize(
    ("uniq", "values", "order", "error"),
    [
        ([16, 4], [1.0, 2.0], None, InputError),
        ([16, 16], [1.0, 1.0], None, InputError),
        ([64], [1.0], 1, InputError),
        ([16, 17], [1.0], None, MapMismatchError),
        ([3], [1.0], None, ValueError),
    ],
)
def test_bad_multi_order_maps_are_refused(uniq, values, order, error):
    with pytest.raises(error):
        from_multiorder(uniq, values, order)


def test_bad_requests_are_refused():
    sky_map = SkyMap.from_cells(2, [3], [0.5])
    for tolerance in (-0.1, np.nan, np.inf):
        with pytest.raises(InputError, match="tolerance"):
            to_multiorder(sky_map, tolerance)
    with pytest.raises(InputError, match="rule"):
        to_multiorder(sky_map, 0.1, "MODE")
    with pytest.raises(InputError, match="64 bits"):
        to_multiorder(SkyMap.from_cells(2, [3], [0.5 + 0j]))


def test_nothing():
    uniq, values = to_multiorder(SkyMap(CellSet(5), np.empty(0)))
    assert uniq.size == 0 and values.size == 0
    assert len(from_multiorder(uniq, values, 5)) == 0
    assert to_multiorder(SkyMap(CellSet(5), np.empty(0)), 0.1)[0].size == 0


def test_kernels_interpreted():
    cells = np.array([16, 17, 18, 19, 20, 24, 25, 26, 27])
    values = np.array([1.0, 1.0, 1.0, 1.0, 2.0, 3.0, 3.1, 3.0, 3.0])
    ranges = CellSet.from_cells(3, cells).ranges
    for one, two in zip(
        siblings.merge_equal.py_func(ranges, values.view(np.uint64), 3),
        siblings.merge_equal(ranges, values.view(np.uint64), 3),
        strict=True,
    ):
        assert np.array_equal(one, two)
    for one, two in zip(
        siblings.merge_within.py_func(cells, values, values, 3, 0.2),
        siblings.merge_within(cells, values, values, 3, 0.2),
        strict=True,
    ):
        assert np.array_equal(one, two)
    mixed = siblings.merge_equal(ranges, values.view(np.uint64), 3)[0]
    assert np.array_equal(siblings.ascending.py_func(mixed, 3), np.argsort(mixed))
