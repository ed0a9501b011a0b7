"""`Families`: every rule against dictionaries and numpy, any cut of the stream, step by step and at once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sky_helpers import tangent_square
from vmpz.errors import MapMismatchError
from vmpz.sky.degrading import DEGRADE_RULES, MEANS, Families
from vmpz.sky.regions import Polygon, covered_fractions
from vmpz.sky.skymap import SkyMap

RULES = st.sampled_from(DEGRADE_RULES)
laws = settings(max_examples=60, deadline=None)

AVERAGES = {
    "MEAN": lambda x, w: np.sum(w * x) / np.sum(w),
    "QUAD": lambda x, w: np.sqrt(np.sum(w * x**2) / np.sum(w)),
    "LOGQUAD": lambda x, w: -2.5 * np.log10(np.sqrt(np.sum(w * 10.0 ** (-0.8 * x)) / np.sum(w))),
    "LOG": lambda x, w: -2.5 * np.log10(np.sum(w * 10.0 ** (-0.4 * x)) / np.sum(w)),
}
EXTREMES = {"MIN": np.min, "MAX": np.max, "OR": np.bitwise_or.reduce}


def heaviest(values, weights):
    """The value of largest weight, the lowest on ties."""
    total = {}
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        total[value] = total.get(value, 0.0) + weight
    return min(total, key=lambda value: (-total[value], value))


def slowly(rule, levels, cells, values, weights):
    """Parent -> value, by the definition of the rule."""
    found = {}
    for parent in dict.fromkeys((cells >> (2 * levels)).tolist()):
        mine = cells >> (2 * levels) == parent
        x, w = values[mine], weights[mine]
        known = ~np.isnan(x) if x.dtype.kind == "f" else np.ones(x.size, bool)
        if rule in ("COVERAGE", "SUM"):
            total = np.sum(x[known], dtype=np.float64)
            found[parent] = total / 4.0**levels if rule == "COVERAGE" else total
            continue
        counts = known if rule in EXTREMES else known & (w > 0)
        x, w = x[counts].astype(np.float64 if rule in AVERAGES else x.dtype), w[counts]
        if x.size:
            found[parent] = (
                EXTREMES[rule](x) if rule in EXTREMES else (AVERAGES | {"MODE": heaviest})[rule](x, w)
            )
    return found


@st.composite
def streams(draw, rule=RULES):
    """A rule, levels, and children: values that suit the rule, some NaN; weights in 1/64, whose sums are exact."""
    rule = draw(rule)
    cells = sorted(draw(st.sets(st.integers(0, 60) | st.integers(0, 12 * 4**14 - 1), max_size=50)))
    size = {"min_size": len(cells), "max_size": len(cells)}
    if rule == "OR":
        values = np.array(draw(st.lists(st.integers(0, 2**32 - 1), **size)), np.uint32)
    elif rule == "MODE" and draw(st.booleans()):
        values = np.array(draw(st.lists(st.integers(102158000, 102158002), **size)), np.int64)
    else:
        number = st.sampled_from([20.0, 20.5, 24.25, 26.0]) | st.floats(20, 27, width=32)
        values = np.array(
            draw(st.lists(number | st.just(np.nan), **size)), draw(st.sampled_from(["f4", "f8"]))
        )
    weights = np.array(draw(st.lists(st.integers(0, 64), **size)), np.float64) / 64
    return rule, draw(st.integers(1, 3)), np.array(cells, np.int64), values, weights


def streamed(rule, levels, cells, values, weights, cuts=()):
    """All parents of a stream that is cut at some rows."""
    families = Families(rule, levels)
    pieces = zip(*(np.split(one, cuts) for one in (cells, values, weights)), strict=True)
    found = [*(families.add(*piece) for piece in pieces), families.finish()]
    parents, result = (np.concatenate(one) for one in zip(*found, strict=True))
    assert not families.finish()[0].size
    return parents, result


@laws
@given(streams())
def test_every_rule_is_its_definition(stream):
    rule, _, _, values, _ = stream
    wanted = slowly(*stream)
    parents, result = streamed(*stream)
    assert parents.tolist() == sorted(wanted)
    assert result == pytest.approx([wanted[parent] for parent in parents.tolist()], rel=1e-12, abs=0)
    kept = rule in (*EXTREMES, "MODE")
    assert result.dtype == (values.dtype if kept else np.float64)


@laws
@given(streams(), st.lists(st.integers(0, 50), max_size=8))
def test_the_cut_of_the_stream_does_not_matter(stream, cuts):
    cuts = sorted(min(cut, stream[2].size) for cut in cuts)
    whole, pieces = streamed(*stream), streamed(*stream, cuts)
    assert whole[0].tobytes() == pieces[0].tobytes()
    assert whole[1].tobytes() == pieces[1].tobytes()  # to the bit


@pytest.mark.parametrize("rule", DEGRADE_RULES)
def test_the_cut_does_not_matter_for_long_families_of_any_weight(rule):
    """Sums of many inexact numbers, as thousands of children make them."""
    rng = np.random.default_rng(1)
    cells = np.flatnonzero(rng.random(9000) < 0.6)
    values = rng.integers(1, 9, cells.size).astype(np.uint32 if rule == "OR" else np.float64) * 3
    weights = rng.random(cells.size) * (rng.random(cells.size) < 0.8)
    whole = streamed(rule, 6, cells, values, weights)
    for size in (1, 7, 1000):
        pieces = streamed(rule, 6, cells, values, weights, range(size, cells.size, size))
        assert [one.tobytes() for one in pieces] == [one.tobytes() for one in whole]


@laws
@given(streams())
def test_a_family_is_given_as_soon_as_it_is_complete(stream):
    rule, levels, cells, values, weights = stream
    families, before = Families(rule, levels), None
    for row, parent in enumerate((cells >> (2 * levels)).tolist()):
        parents, _ = families.add(cells[row : row + 1], values[row : row + 1], weights[row : row + 1])
        complete = [] if before in (None, parent) else [before]
        assert parents.tolist() == complete or (rule not in ("COVERAGE", "SUM") and not parents.size)
        before = parent


@laws
@given(streams(rule=st.just("COVERAGE")))
def test_coverage_step_by_step_is_coverage_at_once(stream):
    _, _, cells, values, _ = stream
    cells, values = cells[~np.isnan(values)], values[~np.isnan(values)].astype(np.float64) / 27
    at_once = streamed("COVERAGE", 4, cells, values, np.ones(cells.size))
    step = cells, values
    for _ in range(4):
        step = streamed("COVERAGE", 1, *step, np.ones(step[0].size))
    assert step[0].tolist() == at_once[0].tolist()
    assert step[1] == pytest.approx(at_once[1], rel=1e-12, abs=0)


@pytest.mark.parametrize("rule", [*MEANS, "MIN", "MAX"])
def test_a_constant_is_kept_by_every_rule_that_is_no_sum(rule):
    cells = np.array([0, 1, 5, 6, 7, 40])
    _, result = streamed(rule, 1, cells, np.full(6, 25.3), np.array([0.1, 0.9, 0.5, 0.5, 0.25, 1.0]))
    assert result == pytest.approx(np.full(3, 25.3), rel=1e-14)


@pytest.mark.parametrize(
    ("rule", "values", "weights", "wanted"),
    [
        ("LOGQUAD", [25.0, 25.5, 26.0, 26.5], [1, 1, 1, 1], 25.490784),
        ("LOGQUAD", [25.0, 26.0, 26.0, 26.0], [1, 1, 1, 1], 25.541413),
        ("LOGQUAD", [25.0, 26.0], [1, 1], 25.296422),
        ("LOGQUAD", [25.0, 26.0, 99.0, np.nan], [1, 1, 0, 1], 25.296422),
        ("COVERAGE", [1.0, 0.5], [1, 1], 0.375),
        ("MODE", [7.0, 9.0, 8.0, 9.0], [0.5, 0.25, 0.5, 0.125], 7.0),
        ("MODE", [np.nan, np.nan, 8.0, 9.0], [1, 1, 0.5, 0.25], 8.0),
        ("MIN", [np.nan, 3.0, 2.0], [1, 1, 0], 2.0),
        ("MAX", [np.nan, 3.0, 2.0], [1, 1, 0], 3.0),
    ],
)
def test_vectors(rule, values, weights, wanted):
    size = len(values)
    parents, result = streamed(rule, 1, np.arange(8, 8 + size), np.array(values), np.array(weights, float))
    assert parents.tolist() == [2]
    assert result == pytest.approx([wanted], abs=5e-7)


@pytest.mark.parametrize("rule", [*MEANS, "MODE", "MIN", "MAX"])
def test_a_family_of_nothing_but_nan_is_left_out(rule):
    cells, values = np.array([4, 5, 8]), np.array([np.nan, np.nan, 3.0])
    for cuts in ((), (1,), (2,)):
        parents, result = streamed(rule, 1, cells, values, np.ones(3), cuts)
        assert (parents.tolist(), result.tolist()) == ([2], [pytest.approx(3.0)])


def test_rules_that_do_not_exist_are_refused():
    for rule in ("NONE", "MEDIAN", ""):
        with pytest.raises(MapMismatchError, match="rule must be one of COVERAGE, SUM"):
            Families(rule, 1)


# -- acceptance 4, on the 30' tile of the specification ---------------------------------------------------------------


def tile(lon, lat):
    fine = covered_fractions(Polygon(tangent_square(lon, lat, 0.5)), 14)
    return fine, fine.integral_deg2()


def test_coverage_keeps_the_area_from_14_to_10():
    fine, area = tile(45, 20)
    cells, values = fine.cells.cells(), np.asarray(fine.values, np.float64)
    step = cells, values
    for order in (13, 12, 11, 10):
        step = streamed("COVERAGE", 1, *step, np.ones(step[0].size))
        for cuts in ((), (1, 2, 5000)):
            parents, at_once = streamed("COVERAGE", 14 - order, cells, values, np.ones(cells.size), cuts)
            ratio = SkyMap.from_cells(order, parents, at_once).integral_deg2() / area
            assert ratio == pytest.approx(1.0, rel=1e-12, abs=0)
        assert parents.tolist() == step[0].tolist()
        assert step[1] == pytest.approx(at_once, rel=1e-12, abs=0)


@pytest.mark.parametrize(
    ("place", "rule", "inflated"), [((45, 20), "MEAN", 1.207), ((52, -28), "MAX", 1.364)]
)
def test_listed_child_and_any_child_rules_fail_as_measured(place, rule, inflated):
    fine, area = tile(*place)
    values = np.asarray(fine.values, np.float64) if rule == "MEAN" else np.ones(len(fine))
    parents, result = streamed(rule, 4, fine.cells.cells(), values, np.ones(len(fine)))
    assert SkyMap.from_cells(10, parents, result).integral_deg2() / area == pytest.approx(inflated, abs=6e-4)
