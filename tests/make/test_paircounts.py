"""Pair counts: closed forms against one another and against points, caps inside maps, the null of clustering."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from validate_helpers import drawn, flat, sample, tallied, wavy
from vmpz.errors import InputError
from vmpz.kernels import pairs
from vmpz.make import landyszalay
from vmpz.make.harmonics import cap_spectrum
from vmpz.make.landyszalay import landy_szalay, null_check
from vmpz.make.paircounts import (
    band_pair_fraction,
    cap_overlap_sr,
    cap_pair_fraction,
    checked_cap,
    largest_cap,
    pair_correlation,
    pair_fractions,
    pair_scatter,
    sphere_pair_fraction,
    unit_vectors,
)
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.regions import Cap, cells_inside, covered_fractions

# -- closed forms -----------------------------------------------------------------------------------------------------


@given(st.floats(0.01, 179.0), st.integers(1, 30))
@settings(deadline=None)
def test_all_pairs_of_a_cap_have_a_separation(radius: float, bins: int) -> None:
    edges = np.linspace(0.0, min(2.0 * radius, 180.0), bins + 1)
    assert cap_pair_fraction(edges, radius).sum() == pytest.approx(1.0, rel=1e-6)


@given(st.floats(0.01, 1.0), st.integers(1, 30))
@settings(max_examples=10, deadline=None)
def test_all_pairs_of_a_band_have_a_separation(height: float, bins: int) -> None:
    assert band_pair_fraction(np.linspace(0.0, 180.0, bins + 1), height).sum() == pytest.approx(1.0, rel=1e-5)


def test_wholes_are_the_sphere() -> None:
    edges = np.linspace(0.0, 180.0, 19)
    law = (np.cos(np.radians(edges[:-1])) - np.cos(np.radians(edges[1:]))) / 2.0
    assert np.allclose(sphere_pair_fraction(edges), law, atol=1e-15)
    assert np.allclose(cap_pair_fraction(edges, 180.0), law, atol=1e-15)
    assert np.allclose(cap_pair_fraction(edges, 179.99), law, rtol=1e-6)
    assert np.allclose(band_pair_fraction(edges, 1.0), law, rtol=1e-5)


@pytest.mark.parametrize("radius", [20.0, 60.0, 90.0, 130.0])
def test_overlap_is_the_transform_of_the_spectrum(radius: float) -> None:
    """A_x(t) = sum (2 l + 1) C_l P_l(cos t)."""
    t = np.array([0.0, 5.0, 33.0, 77.0, 100.0, 150.0, 180.0])
    law = cap_spectrum(radius, 3000)
    total = np.polynomial.legendre.legval(np.cos(np.radians(t)), (2 * np.arange(3001) + 1) * law)
    assert np.allclose(cap_overlap_sr(t, radius), total, atol=3e-3)
    assert cap_overlap_sr(0.0, radius) == pytest.approx(2 * math.pi * (1 - math.cos(math.radians(radius))))


def test_faulty_edges_and_caps() -> None:
    for edges in ([0.0], [2.0, 1.0], [-1.0, 1.0], [0.0, 181.0]):
        with pytest.raises(ValueError, match="ascend between 0 and 180"):
            cap_pair_fraction(edges, 10.0)
    with pytest.raises(InputError, match="radius of a cap"):
        checked_cap(0.0, 0.0, 0.0)


# -- points -----------------------------------------------------------------------------------------------------------


def test_every_pair_is_counted_once() -> None:
    generator = np.random.default_rng(2)
    points = unit_vectors(generator.uniform(0, 360, 80), generator.uniform(-90, 90, 80))
    weights, edges = generator.random((2, 80)), np.array([3.0, 20.0, 55.0, 60.0, 179.0])
    angle = np.degrees(np.arccos(np.clip(points.T @ points, -1.0, 1.0)))[np.triu_indices(80, 1)]
    found, total = pair_fractions(points, weights, edges)
    for kind in range(2):
        product = np.outer(weights[kind], weights[kind])[np.triu_indices(80, 1)]
        assert total[kind] == pytest.approx(product.sum())
        assert np.allclose(found[kind] * total[kind], np.histogram(angle, edges, weights=product)[0])


def test_interpreted_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    points = unit_vectors(np.linspace(0, 350, 30), np.linspace(-80, 80, 30))
    weights, edges = np.ones((1, 30)), np.linspace(0.0, 4.0, 8)
    found = [np.empty((1, 7)), np.empty((1, 7))]
    pairs.count_pairs(points, weights, edges, found[0])
    for name in ("_count_row", "_steps"):
        monkeypatch.setattr(pairs, name, getattr(pairs, name).py_func)
    pairs.count_pairs.py_func(points, weights, edges, found[1])
    assert np.allclose(*found)


CAPS = [(0.3, 12, 30.0, 20.0), (5.0, 9, 10.0, 89.0), (40.0, 6, 0.0, -30.0), (120.0, 5, 200.0, 10.0)]


@pytest.mark.parametrize(("radius", "order", "lon", "lat"), CAPS)
def test_our_points_in_a_cap(radius: float, order: int, lon: float, lat: float) -> None:
    """Within 3 x 0.7/sqrt(N) in every bin with more pairs than points, unbiased over seeds; half of them as well."""
    cap = Cap(lon, lat, radius)
    around = flat(covered_fractions(cap, order))
    edges = np.geomspace(0.05, 0.8, 9) * min(2.0 * radius, 180.0)
    law = cap_pair_fraction(edges, radius)
    found = []
    for seed in range(12):
        x, y, _ = drawn(around, 3000, seed)
        points = unit_vectors(x, y)
        points = points[:, unit_vectors(lon, lat) @ points >= math.cos(math.radians(radius))]
        for half in (points, points[:, ::2]):
            number = half.shape[1]
            (share,), _ = pair_fractions(half, np.ones((1, number)), edges)
            assert np.all(law * (number - 1) / 2 > 1)
            assert np.all(np.abs(share / law - 1.0) <= 3 * 0.7 / math.sqrt(number))
            if half is points:
                found.append(share / law - 1.0)
    mean, error = np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / math.sqrt(len(found))
    assert np.all(np.abs(mean) <= 3.5 * error), mean / error  # 3 standard errors, by Student's law of 12


@pytest.mark.parametrize("height", [0.25, 1.0])
def test_our_points_in_a_band_and_on_the_sphere(height: float) -> None:
    everything = flat(covered_fractions(Cap(0.0, 0.0, 180.0), 3))
    edges, found = np.linspace(5.0, 175.0, 9), []
    law = band_pair_fraction(edges, height)
    for seed in range(8):
        points = unit_vectors(*drawn(everything, int(2000 / height), seed)[:2])
        points = points[:, np.abs(points[2]) < height]
        (share,), _ = pair_fractions(points, np.ones((1, points.shape[1])), edges)
        assert np.all(np.abs(share / law - 1.0) <= 3 * 0.7 / math.sqrt(points.shape[1]))
        found.append(share / law - 1.0)
    error = np.std(found, axis=0, ddof=1) / math.sqrt(len(found))
    assert np.all(np.abs(np.mean(found, axis=0)) <= 4.0 * error)


def test_scatter_is_that_of_many_catalogues() -> None:
    skymap = wavy(7)
    cap = largest_cap(skymap.cells)
    edges = np.geomspace(0.06, 0.9, 7) * 2.0 * cap.radius_deg
    law = cap_pair_fraction(edges, cap.radius_deg) * pair_correlation(skymap, cap, edges)
    found, told = [], []
    for seed in range(40):
        points = tallied(skymap, *drawn(skymap, 1500, seed)[:2], cap=cap).capped
        found.append(pair_fractions(points.vectors, points.weight[None], edges)[0][0] / law)
        told.append(pair_scatter(points.vectors, points.weight, edges) / law)
    ratio = np.std(found, axis=0, ddof=1) / np.mean(told, axis=0)
    assert np.all((ratio > 0.65) & (ratio < 1.45)), ratio
    assert np.all(np.abs(np.mean(found, axis=0) - 1.0) <= 4.0 * np.mean(told, axis=0) / math.sqrt(40))


# -- caps in maps -----------------------------------------------------------------------------------------------------


WITHIN = [(10.0, 20.0, 5.0, 8), (50.0, 89.0, 3.0, 9), (0.0, 0.0, 60.0, 6), (0.0, -90.0, 100.0, 6)]


@pytest.mark.parametrize(("lon", "lat", "radius", "order"), WITHIN)
def test_largest_cap_of_a_cap(lon: float, lat: float, radius: float, order: int) -> None:
    cells = cells_inside(Cap(lon, lat, radius), order)
    found = largest_cap(cells)
    assert 0.85 * radius <= found.radius_deg < radius
    assert not len(cells_inside(found, order) - cells)


def test_largest_cap_keeps_clear_of_holes() -> None:
    cells = cells_inside(Cap(10.0, 20.0, 5.0), 8) - cells_inside(Cap(10.0, 20.0, 0.5), 8)
    found = largest_cap(cells)
    assert 1.7 < found.radius_deg < 2.3
    assert not len(cells_inside(found, 8) - cells)


def test_no_cap_and_the_whole_sky() -> None:
    assert largest_cap(CellSet.from_cells(5, [3])) is None
    assert largest_cap(CellSet.from_cells(5, np.arange(0, 3000, 2))) is None
    assert largest_cap(CellSet.everything(9)).radius_deg == 180.0


# -- clustering -------------------------------------------------------------------------------------------------------


def test_uniform_points_on_a_thinned_sample_show_the_correlation_of_the_mask() -> None:
    """w = <V V'>/<V>^2 - 1 of points that follow V against uniform ones; V-randoms give 0."""
    pytest.importorskip("treecorr")
    cap = Cap(30.0, 20.0, 8.0)
    skymap = wavy(8, 8.0, 0.35)
    edges = np.geomspace(0.4, 3.0, 7)
    expected = pair_correlation(skymap, cap, edges) - 1.0
    assert np.abs(expected).max() > 0.05
    data, uniform, following = sample(skymap, 8000, 1), sample(flat(skymap), 8000, 2), sample(skymap, 8000, 3)
    w, error, _ = landy_szalay(data, uniform, edges)
    spread = np.sqrt(
        error**2 + (0.1 * np.abs(expected).max()) ** 2
    )  # the correlation adds terms of first order
    assert np.all(np.abs(w - expected) <= 3.0 * spread), (w - expected) / spread
    w, error, _ = landy_szalay(data, following, edges)
    assert np.sum((w / error) ** 2) < 23.0  # p = 1e-3 of 6 bins
    assert np.all(np.abs(w) <= 4.0 * error)


def test_error_of_the_null_is_that_of_many_seeds() -> None:
    pytest.importorskip("treecorr")
    skymap, edges = wavy(7), np.geomspace(0.3, 5.0, 5)
    pulls = []
    for seed in range(16):
        w, error, _ = landy_szalay(sample(skymap, 800, seed), sample(skymap, 1200, 100 + seed), edges)
        pulls.append(w / error)
    chi2 = float(np.sum(np.square(pulls)))
    assert 34.0 < chi2 < 104.0  # 64 of them: p in [1e-3, 1 - 1e-3]


def test_without_treecorr_the_null_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landyszalay, "has_treecorr", lambda: False)
    some = sample(wavy(5), 1000, 1)
    check = null_check(some, some, 200.0, "points")
    assert check.passed is None
    assert "pip install vmpz[validate]" in check.note


def test_correlation_of_constant_visibility_is_one() -> None:
    edges = np.array([1.0, 2.0, 4.0])
    assert np.array_equal(pair_correlation(flat(wavy(8)), Cap(30.0, 20.0, 3.0), edges), np.ones(2))
    assert hpx.cell_area_deg2(8) > 0
