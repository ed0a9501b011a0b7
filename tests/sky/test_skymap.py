"""`SkyMap`: look-up, clipping, joining, and degrading by rule."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmpz.errors import MapMismatchError
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import DEGRADE_RULES, SkyMap

laws = settings(max_examples=60, deadline=None)


@st.composite
def maps(draw, order=3, low=0.1, high=1.0):
    cells = draw(st.sets(st.integers(0, hpx.number_of_cells(order) - 1), min_size=1, max_size=60))
    start = draw(st.integers(0, 11)) * 4**order
    cells = sorted(cells | set(range(start, start + 16)))
    values = draw(st.lists(st.floats(low, high), min_size=len(cells), max_size=len(cells)))
    return SkyMap.from_cells(order, cells, values)


def families(sky_map, order):
    """Children by parent, as dictionaries do it."""
    shift = 2 * (sky_map.order - order)
    found = {}
    for cell, value in zip(sky_map.cells.cells().tolist(), sky_map.values.tolist(), strict=True):
        found.setdefault(cell >> shift, {})[cell] = value
    return found


@laws
@given(maps(), st.randoms())
def test_order_of_cells_does_not_matter(sky_map, random):
    rows = list(range(len(sky_map)))
    random.shuffle(rows)
    shuffled = SkyMap.from_cells(3, sky_map.cells.cells()[rows], sky_map.values[rows])
    again = pickle.loads(pickle.dumps(sky_map))
    for other in (shuffled, again):
        assert other == sky_map and hash(other) == hash(sky_map)
        assert other.__dask_tokenize__() == sky_map.__dask_tokenize__()


@laws
@given(maps())
def test_look_up(sky_map):
    every = np.arange(hpx.number_of_cells(3))
    held = dict(zip(sky_map.cells.cells().tolist(), sky_map.values.tolist(), strict=True))
    assert sky_map.of_cells(every, -1.0).tolist() == [held.get(cell, -1.0) for cell in every.tolist()]
    assert np.array_equal(sky_map.at(*hpx.centres(every, 3), absent=-1.0), sky_map.of_cells(every, -1.0))
    assert np.isnan(sky_map.of_cells(every)).sum() == every.size - len(sky_map)


@laws
@given(maps(), st.integers(0, 700), st.integers(1, 60))
def test_clip_and_join_invert(sky_map, start, length):
    part = CellSet.from_ranges(3, [(start, start + length)])
    inside, outside = sky_map.clip(part), sky_map.clip(sky_map.cells - part)
    assert SkyMap.join([outside, inside]) == SkyMap.join([inside, outside]) == sky_map
    assert inside.integral_deg2() + outside.integral_deg2() == pytest.approx(sky_map.integral_deg2())
    assert sky_map.where(np.isin(sky_map.cells.cells(), part.cells())) == inside
    if len(inside):
        with pytest.raises(MapMismatchError, match="disjoint"):
            SkyMap.join([sky_map, inside])


@laws
@given(maps(), st.integers(0, 3))
def test_coverage_conserves_area(sky_map, order):
    up = sky_map.degrade(order, "COVERAGE")
    assert up.integral_deg2() == pytest.approx(sky_map.integral_deg2(), rel=1e-12)
    assert up.degrade(0, "COVERAGE").values == pytest.approx(sky_map.degrade(0, "COVERAGE").values, rel=1e-13)
    assert sky_map.degrade(order, "SUM").values.sum() == pytest.approx(sky_map.values.sum(), rel=1e-12)


FORMULAS = {
    "MEAN": lambda x, w: np.sum(w * x) / np.sum(w),
    "QUAD": lambda x, w: np.sqrt(np.sum(w * x**2) / np.sum(w)),
    "LOGQUAD": lambda x, w: -2.5 * np.log10(np.sqrt(np.sum(w * 10 ** (-0.8 * x)) / np.sum(w))),
    "LOG": lambda x, w: -2.5 * np.log10(np.sum(w * 10 ** (-0.4 * x)) / np.sum(w)),
    "COVERAGE": lambda x, w: np.sum(x) / 16,
    "SUM": lambda x, w: np.sum(x),
    "MIN": lambda x, w: np.min(x),
    "MAX": lambda x, w: np.max(x),
}


@pytest.mark.parametrize("rule", FORMULAS)
@settings(max_examples=30, deadline=None)
@given(sky_map=maps(low=20.0, high=27.0), weight=maps())
def test_rules_family_by_family(rule, sky_map, weight):
    for cover in (None, weight):
        up = sky_map.degrade(1, rule, cover)
        expected = {}
        for parent, children in families(sky_map, 1).items():
            x = np.array(list(children.values()))
            w = np.ones(x.size) if cover is None else cover.of_cells(list(children), 0.0)
            if np.sum(w) > 0 or rule in ("COVERAGE", "SUM", "MIN", "MAX"):
                expected[parent] = FORMULAS[rule](x, w)
        assert up.cells.cells().tolist() == sorted(expected)
        assert up.values == pytest.approx([expected[cell] for cell in sorted(expected)], rel=1e-12)


def test_vectors_of_the_specification():
    def parent(values, rule):
        return (
            SkyMap(CellSet.from_ranges(2, [(4, 4 + len(values))]), np.array(values))
            .degrade(1, rule)
            .values[0]
        )

    assert parent([25.0, 25.5, 26.0, 26.5], "LOGQUAD") == pytest.approx(25.490784, abs=5e-7)
    assert parent([25.0, 26.0, 26.0, 26.0], "LOGQUAD") == pytest.approx(25.541413, abs=5e-7)
    assert parent([25.0, 26.0], "LOGQUAD") == pytest.approx(25.296422, abs=5e-7)


def test_mode_or_and_types():
    cells = CellSet.from_ranges(2, [(4, 8)])
    votes = SkyMap(cells, np.array([3, 1, 3, 1]))
    assert votes.degrade(1, "MODE").values.tolist() == [1]
    weighted = votes.degrade(1, "MODE", SkyMap(cells, np.array([0.5, 0.2, 0.1, 0.3])))
    assert weighted.values.tolist() == [3] and weighted.values.dtype == votes.values.dtype
    assert SkyMap(cells, np.array([1, 2, 4, 2], np.int32)).degrade(1, "OR").values.tolist() == [7]
    assert SkyMap(cells, np.array([1, 2, 4, 2], np.uint8)).degrade(1, "MAX").values.dtype == np.uint8
    assert SkyMap(cells, np.array([1, 2, 4, 2], np.uint8)).degrade(0, "COVERAGE").values[0] == 9 / 16
    unknown = SkyMap(cells, np.array([1.0, np.nan, 3.0, np.nan]))
    assert unknown.degrade(1, "MEAN").values.tolist() == [2.0]
    assert len(SkyMap(cells, np.full(4, np.nan)).degrade(1, "MEAN")) == 0


def test_children_without_weight_count_for_nothing():
    cells = CellSet.from_ranges(2, [(4, 12)])
    depth = SkyMap(cells, np.array([25.0, 99.0, 25.0, 99.0, 26.0, 26.0, 26.0, 26.0]))
    weight = SkyMap.from_cells(2, [4, 6], [0.3, 0.9])
    up = depth.degrade(1, "LOGQUAD", weight)
    assert up.cells.cells().tolist() == [1] and up.values == pytest.approx([25.0])


def test_what_is_refused():
    sky_map = SkyMap(CellSet.from_ranges(2, [(4, 8)]), np.ones(4))
    with pytest.raises(MapMismatchError, match="one value per cell"):
        SkyMap(CellSet.everything(1), np.ones(3))
    with pytest.raises(MapMismatchError, match="one value per cell"):
        SkyMap.from_cells(2, [1, 2], [1.0])
    with pytest.raises(MapMismatchError, match="once"):
        SkyMap.from_cells(2, [1, 2, 1], [1.0, 2.0, 3.0])
    with pytest.raises(MapMismatchError, match="cannot be degraded"):
        sky_map.degrade(3, "MEAN")
    with pytest.raises(MapMismatchError, match="NONE"):
        sky_map.degrade(1, "NONE")
    with pytest.raises(MapMismatchError, match="weight"):
        sky_map.degrade(1, "MEAN", SkyMap(CellSet.everything(1), np.ones(48)))
    with pytest.raises(MapMismatchError, match="one order"):
        SkyMap.join([sky_map, SkyMap(CellSet(3), [])])
    with pytest.raises(ValueError, match="read-only"):
        sky_map.values[0] = 2.0
    assert sky_map != "map" and "order=2" in repr(sky_map)


def test_nothing():
    empty = SkyMap(CellSet(4), np.empty(0))
    assert len(empty) == 0 and empty.integral_deg2() == 0.0
    assert empty.of_cells([1, 2], 0.0).tolist() == [0.0, 0.0]
    for rule in DEGRADE_RULES:
        assert empty.degrade(2, rule).cells == CellSet(2)
    assert SkyMap.join([empty, empty]) == empty
