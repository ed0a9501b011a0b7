"""Pixel noise: coadds in closed form, and drizzled white noise simulated."""

from itertools import product

import numpy as np
import pytest
from scipy.sparse import csr_array

from vmpz.physics.depth import aperture_area_pixels, depth_mag
from vmpz.physics.noise import coadd_noise, drizzle_correlation, weight_of_noise


def coadd_depth(n: int) -> float:
    sigma = coadd_noise([weight_of_noise(1e-3, 23.9, 23.9)] * n)
    return float(depth_mag(sigma, aperture_area_pixels(2.0, 0.1), zero_point_mag=23.9))


def test_exposures_deepen() -> None:
    assert coadd_depth(4) - coadd_depth(1) == pytest.approx(0.752575, abs=5e-7)
    assert coadd_depth(4) - coadd_depth(3) == pytest.approx(0.156173, abs=5e-7)


def test_coadd_vector_and_useless_exposure() -> None:
    assert coadd_noise([4, 1, 1]) == pytest.approx(0.408248, abs=5e-7)
    assert coadd_noise([4, 1, 1, 0]) == coadd_noise([4, 1, 1])
    assert np.array_equal(coadd_noise([[0.0, 0.0], [4.0, 0.0]], axis=1), [np.inf, 0.5])


def test_weights_are_inverse_variances_in_common_units() -> None:
    flux_factor = 10 ** (0.4 * (25.0 - 24.2))  # one unit of an exposure of ZP 24.2, in units of ZP 25
    assert weight_of_noise(3.0, 24.2, 25.0) == pytest.approx((3.0 * flux_factor) ** -2, rel=1e-13)


def test_drizzle_limits() -> None:
    assert np.allclose(drizzle_correlation([1, 2, 3]), [1.5, 2.4, 3.375], rtol=1e-15)
    assert np.allclose(2.5 * np.log10(drizzle_correlation([1, 2, 3])), [0.440, 0.951, 1.321], atol=5e-4)
    assert drizzle_correlation(0.0) == 1.0
    below, above = drizzle_correlation([1 - 1e-12, 1 + 1e-12])
    assert below == pytest.approx(above)
    with pytest.raises(ValueError, match=">= 0"):
        drizzle_correlation(-1.0)


def drizzle_weights(inputs: int, r: int, shift: float) -> csr_array:
    """Overlap of each output pixel (side 1/r) with the drop of each input pixel (side 1), along one axis."""
    edge = np.arange(inputs * r + 1) / r
    low, high = edge[:-1, None], edge[1:, None]
    drop = np.arange(inputs) + shift
    return csr_array(np.clip(np.minimum(high, drop + 1) - np.maximum(low, drop), 0, None))


@pytest.mark.parametrize(("r", "too_deep"), [(1, 0.44), (2, 0.95), (3, 1.32)])
def test_uncorrected_depth_of_drizzled_white_noise_is_too_deep(r: int, too_deep: float) -> None:
    """White noise drizzled at 16 dithers onto r times finer pixels; variances of dithers add in a coadd."""
    inputs, dithers, side = 512, 4, 32 * r
    generator = np.random.Generator(np.random.Philox(20))
    shifts = (np.arange(dithers) + 0.5) / dithers - 0.5
    pixel_variance, aperture_variance = [], []
    for dx, dy in product(shifts, shifts):
        image = generator.standard_normal((inputs, inputs))
        drizzled = (drizzle_weights(inputs, r, dy) @ image) @ drizzle_weights(inputs, r, dx).T
        inner = drizzled[side // 2 : -side // 2, side // 2 : -side // 2]
        cut = len(inner) // side
        apertures = inner.reshape(cut, side, cut, side).sum(axis=(1, 3))
        pixel_variance.append(inner.var())
        aperture_variance.append(np.mean(apertures**2) / side**2)
    excess_mag = 1.25 * np.log10(np.mean(aperture_variance) / np.mean(pixel_variance))
    assert excess_mag == pytest.approx(too_deep, abs=0.05)
