"""Validation of catalogues: those that follow the map pass, each fault fails in the row that is made for it."""

import numpy as np
import pytest
from scipy.stats import kstest

from validate_helpers import drawn, flat, judged, make_small, tallied, wavy
from vmpz.errors import InputError, MapMismatchError
from vmpz.kernels import tallies
from vmpz.make import clusterchecks, tally
from vmpz.make.countchecks import cells_check, deciles_check, extremes_check, subcells_check
from vmpz.make.tally import Expectation, Tally
from vmpz.make.validate import tally_for
from vmpz.sky import hpx
from vmpz.sky.skymap import SkyMap

NUMBER = 50_000
MAP = wavy()


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    make_small(monkeypatch)


@pytest.fixture(scope="module")
def good():
    return drawn(MAP, NUMBER, 11)[:2]


def test_our_catalogue_passes_every_test(good) -> None:
    found = judged(MAP, *good, number=NUMBER, total=float(NUMBER))
    assert found.passed, found.failed
    left = [one.name for one in found.checks if one.passed is None]
    assert left in ([], ["null"])  # TreeCorr is an extra
    assert found.rows == NUMBER
    assert found.density_deg2 * found.integral_deg2 == pytest.approx(NUMBER)


@pytest.mark.parametrize("scheme", ["poisson", "indexed", "trim"])
def test_other_schemes_pass(scheme: str) -> None:
    lon, lat, _ = drawn(MAP, NUMBER, 12, scheme=scheme)
    found = judged(MAP, lon, lat, total=float(NUMBER))
    assert found.passed, found.failed


def test_candidates_with_weights_pass() -> None:
    lon, lat, weight = drawn(MAP, NUMBER, 13, scheme="poisson", keep="all")
    density = NUMBER / (len(MAP) * hpx.cell_area_deg2(MAP.order))
    found = judged(MAP, lon, lat, weight, total=density * MAP.integral_deg2())
    assert found.passed, found.failed
    assert "deciles" in judged(MAP, lon, lat).failed


def test_points_in_subcells_pass_where_the_map_tells_of_them() -> None:
    words = np.full(len(MAP), -1, np.int64)
    words[::3] = 0x0F0F0F0F00000000
    subcells = SkyMap(MAP.cells, words)
    visibility = SkyMap(MAP.cells, np.where(words == -1, MAP.values, MAP.values * np.float32(16 / 64)))
    lon, lat, _ = drawn(visibility, NUMBER, 14, subcells)
    assert judged(visibility, lon, lat, subcells=subcells).passed
    assert {"subcells", "digits"} <= {*judged(visibility, lon, lat).failed}


# -- faults -----------------------------------------------------------------------------------------------------------


def test_uniform_points_fail_by_deciles_and_cells() -> None:
    failed = judged(MAP, *drawn(flat(MAP), NUMBER, 15)[:2]).failed
    assert {"deciles", "cells", "extremes"} <= {*failed}
    assert not {"subcells", "digits", "precision", "outside"} & {*failed}


def test_a_wrong_number_fails_by_the_total(good) -> None:
    assert judged(MAP, *good, number=NUMBER - 1).failed == ("total",)
    assert judged(MAP, *good, total=1.03 * NUMBER).failed == ("total",)


@pytest.mark.parametrize("coordinate", [0, 1])
def test_float32_coordinates_fail_by_precision(good, coordinate: int) -> None:
    position = list(good)
    position[coordinate] = position[coordinate].astype(np.float32).astype(np.float64)
    failed = judged(MAP, *position).failed
    assert "precision" in failed
    assert not {"cells", "deciles", "outside", "subcells"} & {*failed}


def test_centres_of_fine_cells_fail_by_digits(good) -> None:
    """What draws centres of cells of order 23 (0.025 arcsec)."""
    lattice = hpx.centres(hpx.cells_at(*good, 23), 23)
    failed = judged(MAP, *lattice).failed
    assert {"digits", "precision"} <= {*failed} <= {"digits", "precision"}


def test_a_sub_pixel_that_is_never_drawn_fails_by_subcells(good) -> None:
    """What takes ``randint(0, 4**n - 1)`` for sub-pixels below 4**n, here n = 2."""
    kept = (hpx.cells_at(*good, MAP.order + 2) & 15) != 15
    failed = judged(MAP, good[0][kept], good[1][kept]).failed
    assert {"subcells", "digits"} <= {*failed}
    assert not {"cells", "deciles", "outside"} & {*failed}


@pytest.mark.gpl
def test_fast_randoms_of_healsparse_fail_and_exact_ones_pass() -> None:
    healsparse = pytest.importorskip("healsparse")
    even = flat(MAP)
    theirs = healsparse.HealSparseMap.make_empty(32, 256, np.float32)
    theirs[even.cells.cells()] = even.values
    generator = np.random.RandomState(5)
    fast = healsparse.make_uniform_randoms_fast(theirs, NUMBER, nside_randoms=1 << 23, rng=generator)
    assert {"digits", "precision"} <= {*judged(even, *fast).failed}
    exact = healsparse.make_uniform_randoms(theirs, NUMBER, rng=generator)
    assert judged(even, *exact).passed


def test_a_shift_by_one_cell_fails_by_what_lies_outside(good) -> None:
    face, x, y = hpx.faces(hpx.cells_at(*good, MAP.order), MAP.order)
    generator = np.random.default_rng(3)
    moved = hpx.nested_cells(face, x + 1, y, MAP.order)
    failed = judged(MAP, *hpx.positions(moved, MAP.order, *generator.random((2, NUMBER)))).failed
    assert {"outside", "cells"} <= {*failed}


def test_a_hole_fails_by_the_worst_cell(good) -> None:
    lon, lat = good
    away = np.hypot((lon - 30.0) * np.cos(np.radians(20.0)), lat - 20.0) > 1.0
    found = judged(MAP, lon[away], lat[away])
    assert {"cells", "extremes"} <= {*found.failed}
    assert "order" in found["extremes"].note


def test_a_small_hole_is_lost_among_cells_and_found_among_orders() -> None:
    """Where cells hold a few objects each, a hole shows at the order of its size alone."""
    wide = wavy(8, 25.0, 0.1)
    lon, lat, _ = drawn(wide, 120_000, 5)
    hole = hpx.cells_at(lon, lat, 6) == hpx.cells_at(30.0, 20.0, 6)
    count = tallied(wide, lon[~hole], lat[~hole])
    assert extremes_check(count).passed is False
    assert "order 6" in extremes_check(count).note
    assert extremes_check(tallied(wide, lon, lat)).passed
    assert cells_check(count).passed


def test_doubled_points_fail_by_neighbours(good) -> None:
    lon, lat = good
    shifted = lat + 0.002
    inside = MAP.cells.contains(lon, shifted)
    both = np.concatenate((lon, lon[inside])), np.concatenate((lat, shifted[inside]))
    assert "neighbours" in judged(MAP, *both).failed


def test_points_more_even_than_chance_fail() -> None:
    even = flat(MAP)
    cells = np.repeat(even.cells.cells(), 16)
    generator = np.random.default_rng(8)
    lon, lat = hpx.positions(cells, even.order, *generator.random((2, cells.size)))
    check = judged(even, lon, lat)["cells"]
    assert check.passed is False
    assert "more even" in check.note


# -- laws -------------------------------------------------------------------------------------------------------------


def test_p_values_are_uniform_over_seeds() -> None:
    """Of what is counted: 60 catalogues of each seed."""
    small = wavy(6, 8.0)
    p = {"cells": [], "subcells": []}
    slopes = []
    for seed in range(60):
        count = tallied(small, *drawn(small, 6000, seed)[:2])
        p["cells"].append(cells_check(count).p)
        p["subcells"].append(subcells_check(count).p)
        slopes.append(deciles_check(count).statistic)
    for name, values in p.items():
        assert kstest(values, "uniform").pvalue > 1e-3, name
    assert kstest(slopes, "norm").pvalue > 1e-3


def test_p_values_of_separations_are_not_low() -> None:
    """Neighbours and the spectrum of 24 catalogues: one p-value of each in a thousand may be that low."""
    small = wavy(7, 8.0)
    found: dict[str, list[float]] = {"neighbours": [], "spectrum": []}
    for seed in range(24):
        count = tallied(small, *drawn(small, 5000, seed)[:2])
        for check in (clusterchecks.neighbours_check(count), clusterchecks.spectrum_check(count)):
            found[check.name].append(check.p)
    for name, values in found.items():
        assert kstest(values, "uniform").pvalue > 1e-3, (name, values)
        assert min(values) >= 0.001, name


def test_blocks_do_not_matter(good) -> None:
    counts = [tallied(MAP, *good, block=block) for block in (999, NUMBER)]
    for name in ("counts", "sums", "squares", "grid", "digits"):
        assert np.array_equal(*(getattr(one, name) for one in counts)), name
    for name in ("near", "capped", "wide"):
        assert np.array_equal(*(getattr(one, name).lon_deg for one in counts)), name


def test_samples_are_bounded() -> None:
    lon, lat, _ = drawn(MAP, 400_000, 21)
    count = tallied(MAP, lon, lat, block=65536)
    assert 20_000 < len(count.near) < 4 * tally.NEAR
    assert 2700 < len(count.capped) < 3300
    assert 1750 < len(count.wide) < 2250
    more = Tally(Expectation.of(MAP), 10)  # a catalogue that says it is small
    more.add(lon, lat)
    assert len(more.near) <= 4 * tally.NEAR
    assert len(more.wide) <= 4 * tally.WIDE


def test_interpreted_is_compiled() -> None:
    expected = np.random.default_rng(1).random(50) * 4.0
    groups = [np.empty(50, np.int64), np.empty(50, np.int64)]
    counts = [
        function(expected, 10.0, group)
        for function, group in zip((tallies.group_until, tallies.group_until.py_func), groups, strict=True)
    ]
    assert counts[0] == counts[1]
    assert np.array_equal(*groups)
    assert np.all(np.bincount(groups[0], expected) >= 10.0)
    pixel = np.random.default_rng(2).integers(0, 12 << 58, 200)
    found = []
    for function in (tallies.add_folded, tallies.add_folded.py_func):
        grid, digits = np.zeros(64, np.int64), np.zeros((18, 16), np.int64)
        function(pixel, pixel % 3 > 0, 10, 3, grid, digits)
        found.append((grid, digits))
    assert np.array_equal(found[0][0], found[1][0])
    assert np.array_equal(found[0][1], found[1][1])


# -- refused, and left out --------------------------------------------------------------------------------------------


def test_bad_rows_are_named() -> None:
    count = tally_for(MAP, 10)
    count.add([30.0], [20.0])
    for position in (([30.0, np.nan], [20.0, 20.0]), ([30.0, 30.0], [20.0, 91.0])):
        with pytest.raises(InputError, match="row 3: longitude must be finite"):
            count.add(*position)
    with pytest.raises(InputError, match="weight finite and not negative"):
        count.add([30.0], [20.0], [-1.0])


def test_bad_maps_are_refused() -> None:
    for values in (np.full(len(MAP), np.nan), np.full(len(MAP), -0.1)):
        with pytest.raises(MapMismatchError, match="finite and not negative"):
            tally_for(SkyMap(MAP.cells, values), 10)
    with pytest.raises(MapMismatchError, match="positive in a cell"):
        tally_for(SkyMap(MAP.cells, np.zeros(len(MAP))), 10)
    with pytest.raises(MapMismatchError, match="order of the visibility, 8; found 5"):
        tally_for(MAP, 10, coverage=wavy(5))


def test_few_objects_leave_tests_out() -> None:
    lon, lat, _ = drawn(MAP, 40, 1)
    found = judged(MAP, lon, lat)
    assert found.passed
    out = {one.name for one in found.checks if one.passed is None}
    assert {"total", "deciles", "subcells", "digits", "precision", "neighbours", "pairs", "null"} <= out
    assert all(one.note for one in found.checks if one.passed is None)


@pytest.mark.parametrize("order", [0, 3, 24])
def test_any_order(order: int) -> None:
    cells = np.arange(12) if order == 0 else hpx.cells_at(10.0, 5.0, order) + np.arange(3)
    tiny = SkyMap.from_cells(order, cells, np.ones(cells.size))
    lon, lat, _ = drawn(tiny, 3000, 4)
    found = judged(tiny, lon, lat, number=3000)
    assert found.passed, found.failed


@pytest.mark.parametrize("order", [28, 29])
def test_cells_without_levels_below_them(order: int) -> None:
    cells = hpx.cells_at(10.0, 5.0, order) + np.arange(2)
    tiny = SkyMap.from_cells(order, cells, np.ones(2))
    found = judged(tiny, *hpx.centres(np.repeat(cells, [35, 26]), order))
    assert found["digits"].passed is None
    assert found["subcells"].passed is None
    assert found["cells"].passed


def test_a_catalogue_that_lies_elsewhere_is_refused() -> None:
    lon, lat, _ = drawn(wavy(lon_deg=200.0), 1000, 3)
    with pytest.raises(InputError, match="found none of 1000 there"):
        judged(MAP, lon, lat, total=1000.0)
