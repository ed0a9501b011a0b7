"""Luminosity functions: the incomplete gamma against mpmath, integrals, sampling; distances against quadrature."""

from itertools import pairwise

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import kstest

from vmpz.errors import InputError
from vmpz.physics.luminosity import Law, Schechter, Tabulated, distances, gauss_legendre, sampled, upper_gamma

TABLE = Tabulated(np.array([-24.0, -22.0, -21.5, -16.0]), np.array([1e-6, 1e-3, 1e-3, 2e-2]))
LAWS = [Schechter(-21.0, -1.2, 4e-3), Schechter(-20.5, 0.5), Schechter(-21.0, -1.0), TABLE]


def test_published_vector() -> None:
    assert float(upper_gamma(-0.2, 0.1)) == pytest.approx(2.2971192, abs=5e-8)


@pytest.mark.parametrize(
    "a", [-2.5, -2.0, -1.0 - 1e-9, -1.0, -0.999, -0.2, -1e-6, 0.0, 1e-9, 0.3, 0.5, 0.8, 2.7]
)
def test_upper_gamma_against_mpmath(a: float) -> None:
    x = np.concatenate([np.logspace(-12, 2.8, 24), [0.9999, 1.0, 1.0001]])
    expected = [float(mpmath.gammainc(a, one)) for one in x]
    assert upper_gamma(a, x) == pytest.approx(expected, rel=1e-12)


def test_upper_gamma_far_out_is_nothing() -> None:
    assert upper_gamma(-0.2, np.array([699.0, 701.0, 1e30])) == pytest.approx([0.0, 0.0, 0.0], abs=1e-300)


@pytest.mark.parametrize("law", LAWS)
def test_cumulative_is_the_integral(law: Law) -> None:
    edges = [-25.0, -23.7, -22.0, -21.5, -20.3, -16.0]
    for bright, faint in pairwise(edges):
        expected, _ = quad(lambda mag: float(law.density(mag)), bright, faint, points=[-24.0], epsrel=1e-12)
        found = float(law.brighter(faint) - law.brighter(bright))
        assert found == pytest.approx(expected, rel=1e-7 if law is TABLE else 1e-10)


@pytest.mark.parametrize("law", LAWS)
def test_narrow_cells_are_the_same_integral(law: Law) -> None:
    edges = np.arange(-27.0, -12.0, 0.05)
    found = law.between(edges[:-1], edges[1:])
    assert found == pytest.approx(
        np.diff(law.brighter(edges)), rel=1e-9, abs=1e-14 * float(law.brighter(-12))
    )


def test_schechter_at_its_knee() -> None:
    law = Schechter(-21.0, -1.2, 2.0)
    assert float(law.density(-21.0)) == pytest.approx(0.4 * np.log(10) * 2.0 / np.e)
    assert float(law.brighter(-18.5)) == pytest.approx(2 * 2.2971192, abs=2e-7)
    assert float(law.density(-40.0)) < 1e-300


def test_two_entries_are_a_power_law() -> None:
    law = Tabulated(np.array([15.0, 30.0]), 10 ** (0.4 * np.array([0.0, 15.0])))
    assert float(law.density(22.0)) == pytest.approx(10 ** (0.4 * 7))
    assert float(law.brighter(22.0)) == pytest.approx((10**2.8 - 1) / (0.4 * np.log(10)), rel=1e-13)
    assert float(law.density(14.999)) == float(law.density(30.001)) == float(law.brighter(14.0)) == 0.0
    assert float(law.brighter(99.0)) == float(law.brighter(30.0))


@pytest.mark.parametrize(
    ("mag", "phi", "message"),
    [
        ([1.0], [1.0], "at least two magnitudes must ascend, found 1"),
        ([1.0, 1.0], [1.0, 2.0], "must ascend"),
        ([1.0, 2.0], [1.0, 0.0], "a density must be positive, found 0.0"),
        ([1.0, 2.0], [1.0, np.nan], "a density must be positive"),
    ],
)
def test_tables_that_are_none(mag: list[float], phi: list[float], message: str) -> None:
    with pytest.raises(InputError, match=f"phi.fits: .*{message}"):
        Tabulated(np.array(mag), np.array(phi), "phi.fits")


@pytest.mark.parametrize("law", LAWS)
def test_sampling_follows_the_law(law: Law) -> None:
    deviates = np.random.default_rng(11).random(1_000_000 if law is LAWS[0] else 100_000)
    mag = sampled(law, deviates, brightest=-26.0, faintest=-17.0)
    first, last = (float(law.brighter(end)) for end in (-26.0, -17.0))
    assert mag.min() >= -26.0
    assert mag.max() <= -17.0
    back = (law.brighter(mag) - first) / (last - first)
    assert np.abs(back - deviates).max() < 1e-13
    assert kstest(back, "uniform").pvalue > 0.01


@given(deviate=st.floats(0, 1, exclude_max=True), m_star=st.floats(-23, -19), alpha=st.floats(-1.9, 1.0))
@settings(max_examples=40, deadline=None)
def test_inverse_of_the_cumulative(deviate: float, m_star: float, alpha: float) -> None:
    law = Schechter(m_star, alpha)
    (mag,) = sampled(law, np.array([deviate]), brightest=-28.0, faintest=-10.0)
    share = float((law.brighter(mag) - law.brighter(-28.0)) / (law.brighter(-10.0) - law.brighter(-28.0)))
    assert share == pytest.approx(deviate, abs=1e-12)


def test_distances_against_quadrature() -> None:
    for z in (0.01, 0.5, 2.0):
        modulus, volume = distances(z, h0=70.0, omega_m=0.3)
        distance, _ = quad(
            lambda x: 299792.458 / 70.0 / np.sqrt(0.3 * (1 + x) ** 3 + 0.7), 0, z, epsrel=1e-12
        )
        assert float(modulus) == pytest.approx(5 * np.log10((1 + z) * distance) + 25, abs=1e-9)
        rate = 299792.458 / 70.0 / np.sqrt(0.3 * (1 + z) ** 3 + 0.7)
        assert float(volume) == pytest.approx(distance**2 * rate * (np.pi / 180) ** 2, rel=1e-9)


def test_gauss_legendre_is_of_a_unit_cell() -> None:
    nodes, weights = gauss_legendre(4)
    assert weights.sum() == pytest.approx(1.0)
    assert weights @ nodes**6 == pytest.approx(2 * 0.5**7 / 7)
    with pytest.raises(ValueError, match="read-only"):
        nodes[0] = 0.0
