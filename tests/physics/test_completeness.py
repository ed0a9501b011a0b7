"""Completeness functions: published vectors, Monte Carlo, limits and laws; sizes; tables of efficiency."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import erf

from vmpz.errors import InputError
from vmpz.physics import completeness as c
from vmpz.physics import depth as d
from vmpz.physics.efficiency import Efficiency, efficiency_of

TABLE = Efficiency(np.array([-2.0, -0.5, 0.0, 0.4]), np.array([[0.95, 0.9, 0.4, 0.1]]))
FUNCTIONS = {
    "gaussian": c.Completeness("gaussian"),
    "gaussian, deeper maps": c.Completeness("gaussian", snr=5.0, cut_snr=10.0, plateau=0.974),
    "gaussian, no chance": c.Completeness("gaussian", cut_snr=2.0, chance=False),
    "erf": c.Completeness("erf", offset_mag=-0.2, width_mag=0.3, plateau=0.9),
    "logistic": c.Completeness("logistic", width_mag=0.07),
    "redmapper": c.Completeness("redmapper", width_mag=0.1),
    "redmapper, limited": c.Completeness("redmapper", width_mag=0.1, max_mag=24.0),
    "hard": c.Completeness("hard", offset_mag=0.3),
    "efficiency": c.Completeness("efficiency", table=TABLE),
}


@pytest.mark.parametrize(
    ("snr", "delta", "expected"),
    [
        *(
            (5, *pair)
            for pair in [(-0.5, 0.9983), (-0.25, 0.9023), (-0.1, 0.6852), (0.0, 0.5), (0.1, 0.3300)]
        ),
        *((5, *pair) for pair in [(0.25, 0.1519), (0.5, 0.0325)]),
        *((10, *pair) for pair in [(-0.25, 0.9952), (0.1, 0.1895), (0.25, 0.0199)]),
    ],
)
def test_published_vectors(snr: float, delta: float, expected: float) -> None:
    assert round(float(c.gaussian(delta, snr)), 4) == expected
    assert float(c.gaussian(delta, snr, plateau=0.974)) == pytest.approx(0.974 * expected, abs=5e-5)
    assert float(c.gaussian(delta, snr, chance=False)) == pytest.approx(expected, abs=5e-5)


def test_a_cut_in_signal_to_noise_is_what_noisy_fluxes_do() -> None:
    noise = np.random.default_rng(4).standard_normal(400_000)
    for n, cut, delta in [(5.0, 5.0, 0.1), (5.0, 10.0, -0.7), (10.0, 3.0, 1.2)]:
        flux = n * 10 ** (-0.4 * delta)
        expected = float(c.gaussian(delta, n, cut_snr=cut))
        assert np.mean(flux + noise > cut) == pytest.approx(expected, abs=4 * np.sqrt(0.25 / noise.size))
        own = (flux + noise > cut)[noise <= cut]
        expected = float(c.gaussian(delta, n, cut_snr=cut, chance=False))
        assert own.mean() == pytest.approx(expected, abs=4 * np.sqrt(0.25 / noise.size))


def test_a_cut_at_another_ratio_is_one_at_another_depth() -> None:
    delta = np.linspace(-3, 3, 50)
    moved = delta + 2.5 * np.log10(10 / 5)
    assert c.gaussian(delta, 5.0, cut_snr=10.0) == pytest.approx(c.gaussian(moved, 10.0), abs=1e-15)


def test_chance_is_all_that_is_seen_of_what_has_no_flux() -> None:
    assert float(c.gaussian(60.0)) == pytest.approx(2.8665e-7, rel=1e-4)
    assert float(c.gaussian(60.0, chance=False)) == pytest.approx(0.0, abs=1e-22)
    assert float(c.gaussian(-np.inf, chance=False, plateau=0.9)) == 0.9
    assert float(c.gaussian(-2000.0)) == 1.0


def test_forms_against_their_formulas() -> None:
    delta = np.linspace(-1.5, 1.5, 301)
    form = {"width_mag": 0.2, "offset_mag": -0.1, "plateau": 0.9}
    expected = 0.45 * (1 - erf((delta + 0.1) / (np.sqrt(2) * 0.2)))
    assert c.error_function(delta, **form) == pytest.approx(expected, abs=1e-14)
    expected = 0.9 / (1 + np.exp((delta + 0.1) / 0.2))
    assert c.logistic(delta, **form) == pytest.approx(expected, abs=1e-14)
    expected = 0.45 * (1 + erf((min(-0.4, -0.1) - delta) / (np.sqrt(2) * 0.2))) * (delta <= -0.1)
    assert c.redmapper(delta, max_delta_mag=-0.4, **form) == pytest.approx(expected, abs=1e-14)
    assert np.array_equal(c.hard(delta, offset_mag=-0.1, plateau=0.9), np.where(delta <= -0.1, 0.9, 0.0))


def test_redmapper_ends_at_m50() -> None:
    form = {"width_mag": 0.1, "offset_mag": 0.2}
    assert float(c.redmapper(0.2, **form)) == 0.5
    assert float(c.redmapper(np.nextafter(0.2, 1), **form)) == 0.0


@pytest.mark.parametrize("name", FUNCTIONS)
@given(mag=st.floats(10, 35), depth=st.floats(18, 30), more=st.floats(0, 3))
@settings(max_examples=40, deadline=None)
def test_laws_of_completeness(name: str, mag: float, depth: float, more: float) -> None:
    function = FUNCTIONS[name]
    seen = float(function(mag, depth))
    assert 0.0 <= seen <= 1.0
    assert float(function(mag, depth + more)) >= seen
    assert float(function(mag + more, depth)) <= seen
    if mag > function.edge_mag(depth):
        assert seen == 0.0
    if name != "redmapper, limited":  # an invariance of all that knows no magnitude of its own
        assert float(function(mag + 1.0, depth + 1.0)) == pytest.approx(seen, abs=1e-9) or name in (
            "hard",
            "redmapper",
            "efficiency",
        )


@pytest.mark.parametrize("name", FUNCTIONS)
def test_scale_and_edge_say_how_it_changes(name: str) -> None:
    function = FUNCTIONS[name]
    edge = min(function.edge_mag(25.0), 32.0)
    inside = function(np.arange(20.0, edge - 1e-6, 1e-3), 25.0)
    assert np.abs(np.diff(inside)).max() / 1e-3 <= 1.001 / function.scale_mag
    if edge < 32.0:
        assert not function(np.linspace(edge + 1e-9, 40.0, 50), 25.0).any()


def test_no_table_of_efficiency_is_an_error() -> None:
    with pytest.raises(ValueError, match="needs a table"):
        c.Completeness("efficiency")(25.0, 25.0)


# -- sizes ------------------------------------------------------------------------------------------------------------


@given(radius=st.floats(0, 3), fwhm=st.floats(0.05, 2))
@settings(max_examples=60, deadline=None)
def test_extended_sources_are_noisier(radius: float, fwhm: float) -> None:
    factor = float(c.noise_factor(radius, fwhm))
    assert factor >= 1.0
    assert float(c.extended_mag(radius, fwhm)) == pytest.approx(2.5 * np.log10(factor), abs=1e-12)
    assert factor == pytest.approx(float(c.noise_factor(2 * radius, 2 * fwhm)), rel=1e-12)
    assert float(c.noise_factor(1.1 * radius, fwhm)) >= factor


def test_noise_of_a_disc_is_the_ratio_of_areas() -> None:
    area = d.disc_area_pixels(0.4, 0.2, 0.1) / d.gaussian_area_pixels(0.2, 0.1)
    assert float(c.noise_factor(0.4, 0.2)) ** 2 == pytest.approx(float(area), rel=1e-12)
    assert float(c.extended_mag(0.4, 0.2)) == pytest.approx(1.25 * np.log10(float(area)), abs=1e-12)
    sigma, length = 0.2 / d.FWHM_PER_SIGMA, 0.4 / d.HALF_LIGHT_PER_SCALE_LENGTH
    power, _ = quad(
        lambda k: k * (1 + (length * k) ** 2) ** -3 * np.exp(-((sigma * k) ** 2)), 0, np.inf, epsabs=1e-13
    )
    assert float(c.noise_factor(0.4, 0.2)) ** 2 == pytest.approx(
        2 * np.pi / power / (4 * np.pi * sigma**2), rel=1e-8
    )


def test_sizes_are_arrays() -> None:
    radius = np.array([0.0, 1e-9, 1e-4, 0.3])
    assert c.noise_factor(radius, 0.2)[:3] == pytest.approx(np.ones(3), abs=4e-6)
    assert c.noise_factor(radius, [0.2] * 4)[3] == float(c.noise_factor(0.3, 0.2)) > 1.5


# -- efficiencies -----------------------------------------------------------------------------------------------------


def test_efficiency_between_and_beyond_its_entries() -> None:
    assert TABLE([-9, -2, -1.25, -0.5, -0.25, 0.4], 25) == pytest.approx([0.95, 0.95, 0.925, 0.9, 0.65, 0.1])
    assert float(TABLE(0.4000001, 20)) == 0.0
    assert TABLE.edge_mag(25.0) == 25.4
    assert TABLE.step_mag == pytest.approx(0.4)


DELTA, MAG = np.array([-1.0, 0.0, 0.5]), np.array([20.0, 23.0])
GRID = np.array([[1.0, 0.8, 0.2], [0.9, 0.5, 0.0]])


def rows(order: np.ndarray) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """The grid as rows in some order: two columns whose product it is."""
    mag, delta = (one.ravel()[order] for one in np.meshgrid(MAG, DELTA, indexing="ij"))
    values = GRID.ravel()[order]
    return delta, [np.sqrt(values), np.sqrt(values)], mag


@given(st.permutations(range(6)))
@settings(max_examples=20, deadline=None)
def test_rows_come_in_any_order(order: list[int]) -> None:
    table = efficiency_of(*rows(np.array(order)))
    assert np.array_equal(table.mag, MAG)
    assert np.array_equal(table.delta_mag, DELTA)
    assert table.values == pytest.approx(GRID, abs=1e-15)
    assert float(table(-0.5, 21.5)) == pytest.approx(np.mean([1.0, 0.8, 0.9, 0.5]))
    assert float(table(0.0, 22.0)) == pytest.approx(0.8 / 3 + 0.5 * 2 / 3)
    assert float(table(-9.0, 10.0)) == 1.0
    assert float(table(-1.0, 23.1)) == float(table(0.51, 21.0)) == 0.0
    assert table.edge_mag(21.0) == 21.5
    assert table.edge_mag(25.0) == 23.0


def wrong(change: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    delta, columns, mag = rows(np.arange(6))
    return change(delta), change(columns[0]), change(mag)


@pytest.mark.parametrize(
    ("delta", "column", "mag", "message"),
    [
        ([0, 1], [0.5, 1.1], None, r"must be in \[0, 1\], found 1.1 in row 2"),
        ([0, 1], [-0.1, 1.0], None, r"must be in \[0, 1\], found -0.1 in row 1"),
        ([0, 1], [0.5, np.nan], None, r"must be in \[0, 1\], found nan in row 2"),
        (
            [0, 0, 1],
            [0.5, 0.5, 0.1],
            None,
            r"grid \(2 DELTA_MAG\) must stand once, found 3 rows with 2 entries",
        ),
        ([0], [0.5], None, "at least two entries each way"),
        ([0, 1], [0.5, 0.1], [20, 20], "at least two entries each way"),
        ([0, 1, 0], [0.5, 0.1, 0.1], [20, 20, 21], r"2 DELTA_MAG x 2 MAG\) must stand once, found 3 rows"),
        ([0, 1, 0, 0], [0.5, 0.1, 0.1, 0.2], [20, 20, 21, 21], "found 4 rows with 3 entries"),
    ],
)
def test_what_is_no_table_is_refused(
    delta: list[float], column: list[float], mag: list[float] | None, message: str
) -> None:
    given_mag = None if mag is None else np.array(mag, float)
    with pytest.raises(InputError, match=f"a.fits: .*{message}"):
        efficiency_of(np.array(delta, float), [np.array(column)], given_mag, where="a.fits")
