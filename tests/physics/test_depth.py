"""Limiting magnitudes: the published vectors, closed forms and the laws of units."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import dblquad, quad

from vmpz.physics import depth as d
from vmpz.physics.noise import coadd_noise, weight_of_noise

Q1 = {"zero_point_mag": 23.9}


def q1_area(px: float = 0.1, diameter: float = 2.0) -> float:
    return float(d.aperture_area_pixels(diameter, px))


def test_q1_vectors() -> None:
    assert d.depth_mag(1e-3, q1_area(), snr=5, **Q1) == pytest.approx(26.531138, abs=5e-7)
    assert d.depth_mag(1e-3, q1_area(), snr=10, **Q1) == pytest.approx(25.778563, abs=5e-7)


@pytest.mark.parametrize(
    ("diameter", "px", "snr", "offset"),
    [(2.0, 0.1, 5, 4.868862), (2.0, 0.1, 10, 5.621437), (1.95, 0.263, 10, 4.544059)],
)
def test_offset_between_zero_point_and_depth(diameter: float, px: float, snr: float, offset: float) -> None:
    assert -d.depth_mag(1.0, q1_area(px, diameter), zero_point_mag=0.0, snr=snr) == pytest.approx(
        offset, abs=1e-6
    )


def test_inverse_vector_of_des() -> None:
    noise = d.noise_of_depth(24.7, q1_area(0.263, 1.95), zero_point_mag=30.0, snr=10)
    assert noise == pytest.approx(2.0062, abs=5e-5)


@given(
    rms=st.floats(1e-6, 1e3),
    factor=st.floats(1e-4, 1e4),
    snr=st.floats(0.5, 50),
    correlated=st.floats(1, 5),
    area=st.floats(1, 1e4),
)
@settings(max_examples=60, deadline=None)
def test_laws_of_depth(rms: float, factor: float, snr: float, correlated: float, area: float) -> None:
    given = {"snr": snr, "correlated_noise": correlated}
    depth = d.depth_mag(rms, area, zero_point_mag=25.0, **given)
    other_unit = d.depth_mag(rms * factor, area, zero_point_mag=25.0 + 2.5 * np.log10(factor), **given)
    assert abs(other_unit - depth) < 1e-12
    back = d.noise_of_depth(depth, area, zero_point_mag=25.0, **given)
    assert back == pytest.approx(rms, rel=1e-12)
    assert depth - d.depth_mag(2 * rms, area, zero_point_mag=25.0, **given) == pytest.approx(
        2.5 * np.log10(2)
    )


def test_a_gaussian_core_is_deeper_by_the_ratio_of_areas() -> None:
    point = d.depth_mag(1e-3, d.gaussian_area_pixels(0.2, 0.1), **Q1)
    aperture = d.depth_mag(1e-3, q1_area(), **Q1)
    assert point - aperture == pytest.approx(1.25 * np.log10(np.pi / 0.01 / d.gaussian_area_pixels(0.2, 0.1)))


def test_gaussian_area_is_that_of_a_sampled_psf() -> None:
    x = np.arange(-60, 61) * 0.05
    sigma = 0.4 / d.FWHM_PER_SIGMA
    psf = np.exp(-(x[:, None] ** 2 + x**2) / (2 * sigma**2))
    psf /= psf.sum()
    assert d.gaussian_area_pixels(0.4, 0.05) == pytest.approx(1 / (psf**2).sum(), rel=1e-9)
    assert d.gaussian_area_pixels(1.0, 1.0) == pytest.approx(2.266, abs=5e-4)


@pytest.mark.parametrize(("half_light", "fwhm"), [(0.3, 0.2), (0.3, 0.7), (1.5, 0.2), (0.05, 0.5)])
def test_disc_area_is_that_of_the_convolved_profile(half_light: float, fwhm: float) -> None:
    h, sigma = half_light / d.HALF_LIGHT_PER_SCALE_LENGTH, fwhm / d.FWHM_PER_SIGMA

    def power(k: float) -> float:
        return (1 + (h * k) ** 2) ** -3 * np.exp(-((sigma * k) ** 2)) * k / (2 * np.pi)

    squared = quad(power, 0, np.inf, epsabs=0, epsrel=1e-10)[0]
    assert d.disc_area_pixels(half_light, fwhm, 0.1) == pytest.approx(1 / squared / 0.01, rel=1e-8)


def test_disc_area_has_both_limits() -> None:
    h = 0.4 / d.HALF_LIGHT_PER_SCALE_LENGTH
    assert d.disc_area_pixels(0.4, 1e-6, 0.1) == pytest.approx(8 * np.pi * h**2 / 0.01, rel=1e-9)
    assert d.disc_area_pixels(1e-6, 0.4, 0.1) == pytest.approx(d.gaussian_area_pixels(0.4, 0.1), rel=1e-9)


def test_half_light_radius_holds_half_of_the_disc() -> None:
    radius = d.HALF_LIGHT_PER_SCALE_LENGTH
    inside = dblquad(lambda r, _: r * np.exp(-r) / (2 * np.pi), 0, 2 * np.pi, 0, radius)[0]
    assert inside == pytest.approx(0.5, abs=1e-12)


def test_surface_brightness_limit() -> None:
    decasu = 30.0 - 2.5 * np.log10(2.5 / (2 * 0.263))
    assert d.surface_brightness_limit(2.5, 0.263, zero_point_mag=30.0, snr=1) == pytest.approx(
        decasu, abs=1e-12
    )
    square = d.depth_mag(2.5, (10 / 0.263) ** 2, zero_point_mag=30.0, snr=3) + 2.5 * np.log10(100.0)
    limit = d.surface_brightness_limit(2.5, 0.263, zero_point_mag=30.0, side_arcsec=10.0, snr=3)
    assert limit == pytest.approx(square, abs=1e-12)


def test_extinction() -> None:
    assert np.allclose(d.extinction_mag([0.0, 0.1], 2.081), [0.0, 0.2081])


def test_depths_of_exposures_in_closed_form() -> None:
    """decasu and LSST, each by its own formula in plain numpy."""
    sky, zero, areas = np.array([2.0, 3.5, 5.0]), np.array([29.8, 30.1, 30.4]), np.array([12.0, 20.0, 31.0])
    w = 10.0 ** (-0.8 * (30.0 - zero)) / sky**2
    weights = weight_of_noise(sky, zero, 30.0)
    assert weights == pytest.approx(w, rel=1e-13)
    sigma, px = coadd_noise(weights), 0.263
    decasu = 30.0 - 2.5 * np.log10(10.0 / np.sqrt(w.sum()) * np.sqrt(np.pi) / px)
    assert d.depth_mag(sigma, q1_area(px), zero_point_mag=30.0, snr=10) == pytest.approx(decasu, abs=1e-12)
    surface = 30.0 - 2.5 * np.log10(1.0 / np.sqrt(w.sum()) / (2.0 * px))
    assert d.surface_brightness_limit(sigma, px, zero_point_mag=30.0, snr=1) == pytest.approx(
        surface, abs=1e-12
    )
    lsst = 30.0 - 2.5 * np.log10(5.0 * np.sqrt((w * areas).sum() / w.sum() / w.sum()))
    assert d.psf_depth_mag(w, areas, zero_point_mag=30.0) == pytest.approx(lsst, abs=1e-12)
    optimal = 30.0 - 2.5 * np.log10(5.0 / np.sqrt((w / areas).sum()))
    assert d.optimal_psf_depth_mag(w, areas, zero_point_mag=30.0) == pytest.approx(optimal, abs=1e-12)


def test_the_mosaics_formula_is_that_of_exposures_where_they_must_agree() -> None:
    """Equal PSFs: mean and optimal limit are the limit of the coadd; an aperture's area in place of the PSF's: Q1."""
    weights = np.array([4.0, 1.0, 1.0])
    sigma = coadd_noise(weights)
    assert sigma == pytest.approx(0.408248, abs=5e-7)
    q1 = d.depth_mag(sigma, q1_area(), **Q1)
    assert d.psf_depth_mag(weights, q1_area(), **Q1) == pytest.approx(q1, abs=1e-12)
    assert d.optimal_psf_depth_mag(weights, q1_area(), **Q1) == pytest.approx(q1, abs=1e-12)


@given(
    exposures=st.lists(st.tuples(st.floats(0.01, 10), st.floats(1, 100)), min_size=1, max_size=6),
    correlated=st.floats(1, 3),
)
@settings(max_examples=60, deadline=None)
def test_laws_of_psf_depths(exposures: list[tuple[float, float]], correlated: float) -> None:
    weights, areas = np.array(exposures).T
    mean = d.psf_depth_mag(weights, areas, zero_point_mag=25.0)
    optimal = d.optimal_psf_depth_mag(weights, areas, zero_point_mag=25.0)
    assert optimal >= mean - 1e-12
    for of in (d.psf_depth_mag, d.optimal_psf_depth_mag):
        four = of(np.tile(weights, 4), np.tile(areas, 4), zero_point_mag=25.0)
        three = of(np.tile(weights, 3), np.tile(areas, 3), zero_point_mag=25.0)
        one = of(weights, areas, zero_point_mag=25.0)
        assert four - one == pytest.approx(0.752575, abs=5e-7)
        assert four - three == pytest.approx(0.156173, abs=5e-7)
        less = of(weights, areas, zero_point_mag=25.0, correlated_noise=correlated)
        assert one - less == pytest.approx(2.5 * np.log10(correlated), abs=1e-12)
        assert of([*weights, 0.0], [*areas, 7.0], zero_point_mag=25.0) == pytest.approx(one, abs=1e-12)
        per_cell = of(np.stack([weights, 0 * weights]), areas, zero_point_mag=25.0, axis=1)
        assert per_cell == pytest.approx([float(one), -np.inf], abs=1e-12)
