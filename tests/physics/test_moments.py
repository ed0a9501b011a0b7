"""Shapes of stamps: closed forms, a slow iteration, and the adaptive moments of GalSim."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares
from scipy.special import erf

from vmpz.physics import moments as m
from vmpz.physics.depth import gaussian_area_pixels


def grid(side: int) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[0:side, 0:side] - (side - 1) / 2.0
    return x, y


def gaussian(xx: float, yy: float, xy: float, dx: float = 0.0, dy: float = 0.0, side: int = 21) -> np.ndarray:
    x, y = grid(side)
    x, y = x - dx, y - dy
    return np.exp(-0.5 * (yy * x * x - 2 * xy * x * y + xx * y * y) / (xx * yy - xy * xy))


def moffat(fwhm: float, beta: float, shear: float = 0.0, side: int = 41) -> np.ndarray:
    x, y = grid(side)
    scale = fwhm / 2 / np.sqrt(2 ** (1 / beta) - 1)
    return (1 + ((1 - shear) * x * x + (1 + shear) * y * y) / scale**2) ** -beta


def integrated(sigma: float, dx: float, dy: float, side: int = 21) -> np.ndarray:
    """A round Gaussian integrated over pixels."""
    x, y = grid(side)

    def share(u: np.ndarray, d: float) -> np.ndarray:
        root = sigma * np.sqrt(2)
        return 0.5 * (erf((u + 0.5 - d) / root) - erf((u - 0.5 - d) / root))

    return share(x, dx) * share(y, dy)


@given(
    major=st.floats(1.2, 3.5),
    ratio=st.floats(0.6, 1.0),
    angle=st.floats(0, np.pi),
    dx=st.floats(-2, 2),
    dy=st.floats(-2, 2),
    flux=st.floats(1e-6, 1e6),
)
@settings(max_examples=60, deadline=None)
def test_elliptical_gaussians_give_back_their_covariance(
    major: float, ratio: float, angle: float, dx: float, dy: float, flux: float
) -> None:
    a, b = major**2, (major * ratio) ** 2
    c, s = np.cos(angle), np.sin(angle)
    xx, yy, xy = a * c * c + b * s * s, a * s * s + b * c * c, (a - b) * c * s
    found = m.adaptive_moments(flux * gaussian(xx, yy, xy, dx, dy)[None])
    assert found.ixx[0] == pytest.approx(xx, abs=1e-5)
    assert found.iyy[0] == pytest.approx(yy, abs=1e-5)
    assert found.ixy[0] == pytest.approx(xy, abs=1e-5)
    assert [found.x[0], found.y[0]] == pytest.approx([dx, dy], abs=1e-5)
    e1, e2 = m.ellipticity(found.ixx, found.iyy, found.ixy)
    e = (a - b) / (a + b)
    assert [e1[0], e2[0]] == pytest.approx([e * np.cos(2 * angle), e * np.sin(2 * angle)], abs=1e-5)
    assert m.size(found.ixx, found.iyy, found.ixy)[0] == pytest.approx(major * ratio**0.5, abs=1e-5)


@pytest.mark.parametrize("sigma", [0.6, 0.7, 0.85, 1.0, 2.0, 6.0])
@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.5, 0.0), (0.5, 0.5), (0.2, -0.4)])
def test_sampled_gaussians_of_any_width_give_back_their_sigma(
    sigma: float, shift: tuple[float, float]
) -> None:
    found = m.adaptive_moments(gaussian(sigma**2, sigma**2, 0.0, *shift)[None])
    assert m.size(found.ixx, found.iyy, found.ixy)[0] == pytest.approx(sigma, rel=1e-5)
    assert m.fwhm(found.ixx, found.iyy, found.ixy)[0] == pytest.approx(2.3548 * sigma, rel=3e-5)


@pytest.mark.parametrize(
    ("sigma", "good_to"), [(0.5, 1.5e-2), (0.6, 1e-2), (0.7, 6e-3), (1.0, 1.2e-3), (2.0, 1e-4)]
)
@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.5, 0.5), (0.25, 0.1)])
def test_integrated_gaussians_give_back_their_sigma_without_the_pixel(
    sigma: float, good_to: float, shift: tuple[float, float]
) -> None:
    found = m.adaptive_moments(integrated(sigma, *shift)[None])
    with_pixel = m.size(found.ixx, found.iyy, found.ixy)[0]
    assert with_pixel == pytest.approx(np.sqrt(sigma**2 + 1 / 12), rel=good_to)
    moments = m.without_pixel(found.ixx, found.iyy, found.ixy)
    assert m.size(*moments)[0] == pytest.approx(sigma, rel=good_to)


@pytest.mark.parametrize(("fwhm", "beta", "shear"), [(3.0, 2.5, 0.0), (4.0, 3.5, 0.2), (5.0, 4.8, -0.3)])
def test_moffats_have_the_best_fitting_gaussian(fwhm: float, beta: float, shear: float) -> None:
    """Matched weights are the least-squares Gaussian: an unweighted fit finds the same shape."""
    image = moffat(fwhm, beta, shear)
    x, y = grid(41)

    def misfit(p: np.ndarray) -> np.ndarray:
        return (p[0] * np.exp(-0.5 * (x * x / p[1] + y * y / p[2])) - image).ravel()

    fit = least_squares(misfit, [1.0, 2.0, 2.0], xtol=1e-14, ftol=1e-14, gtol=1e-14).x
    found = m.adaptive_moments(image[None], tolerance=1e-9)
    assert [found.ixx[0], found.iyy[0]] == pytest.approx(fit[1:], rel=1e-6)
    assert found.ixy[0] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(("fwhm", "beta", "shear"), [(5.0, 2.5, 0.0), (6.0, 3.5, 0.2), (7.0, 4.8, -0.3)])
def test_moffats_agree_with_the_plain_iteration_where_sampling_is_fine(
    fwhm: float, beta: float, shear: float
) -> None:
    image = moffat(fwhm, beta, shear, side=81)
    x, y = grid(81)
    xx = yy = 4.0
    for _ in range(300):  # W -> 2 M, one pixel sum at a time
        weighted = image * np.exp(-0.5 * (x * x / xx + y * y / yy))
        xx, yy = (2 * (weighted * d * d).sum() / weighted.sum() for d in (x, y))
    found = m.adaptive_moments(image[None])
    assert [found.ixx[0], found.iyy[0]] == pytest.approx([xx, yy], rel=1e-5)


def test_galsim_agrees() -> None:
    galsim = pytest.importorskip("galsim")
    images = [moffat(f, b, s, side=61) for f, b, s in ((4.5, 2.5, 0.1), (5.0, 3.5, -0.2), (6.0, 4.5, 0.3))]
    found = m.adaptive_moments(images)
    e1, e2 = m.ellipticity(found.ixx, found.iyy, found.ixy)
    for i, image in enumerate(images):
        theirs = galsim.hsm.FindAdaptiveMom(galsim.Image(image), precision=1e-8)
        assert m.size(found.ixx, found.iyy, found.ixy)[i] == pytest.approx(theirs.moments_sigma, rel=2e-5)
        assert [e1[i], e2[i]] == pytest.approx([theirs.observed_shape.e1, theirs.observed_shape.e2], abs=3e-5)


def test_stamps_do_not_see_each_other() -> None:
    images = np.stack(
        [moffat(f, 3.0, s, side=21) for f in np.linspace(2, 5, 40) for s in np.linspace(-0.2, 0.2, 10)]
    )
    together = np.stack(m.adaptive_moments(images))
    alone = np.concatenate([np.stack(m.adaptive_moments(image[None])) for image in images], axis=1)
    assert np.allclose(together, alone, rtol=1e-12, atol=1e-12)
    assert not np.isnan(together).any()


def test_stamps_that_cannot_be_measured_are_nan() -> None:
    noise = np.random.Generator(np.random.Philox(5)).standard_normal((21, 21))
    broken = gaussian(4.0, 4.0, 0.0)
    broken[3, 3] = np.nan
    empty = np.zeros((21, 21))
    hole = -gaussian(4.0, 4.0, 0.0)
    flat = np.ones((21, 21))
    good = gaussian(4.0, 4.0, 0.0)
    found = m.adaptive_moments([broken, empty, hole, noise - noise.mean(), flat, good])
    assert np.isnan(np.stack(found)[:, :3]).all()
    assert np.isnan(found.ixx[4]) or found.ixx[4] > 36.0  # a flat stamp has no size of its own
    assert found.ixx[5] == pytest.approx(4.0, abs=1e-5)
    assert m.adaptive_moments(np.zeros((0, 21, 21))).ixx.shape == (0,)
    assert np.isnan(m.adaptive_moments([moffat(4, 3)], iterations=1).ixx).all()


def test_moments_survive_noise() -> None:
    generator = np.random.Generator(np.random.Philox(6))
    image = gaussian(4.0, 2.0, 0.5)
    noisy = image + 0.01 * generator.standard_normal((400, 21, 21))
    found = m.adaptive_moments(noisy)
    for values, truth in zip(found[:3], (4.0, 2.0, 0.5), strict=True):
        assert abs(values.mean() - truth) < 4 * values.std() / np.sqrt(400) + 0.005


@given(angle=st.floats(0, 2 * np.pi), scale=st.floats(0.05, 0.5), flip=st.booleans())
@settings(max_examples=40, deadline=None)
def test_rotation(angle: float, scale: float, flip: bool) -> None:
    jacobian = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if flip:
        jacobian = jacobian @ np.diag([-1.0, 1.0])
    xx, yy, xy = 3.0, 2.0, 0.4
    matrix = jacobian @ np.array([[xx, xy], [xy, yy]]) @ jacobian.T
    turned = m.rotate([xx, xx], [yy, yy], [xy, xy], np.stack([jacobian, jacobian]))
    for values, expected in zip(turned, (matrix[0, 0], matrix[1, 1], matrix[0, 1]), strict=True):
        assert values == pytest.approx([expected] * 2, abs=1e-14)
    assert m.size(*turned) == pytest.approx(scale * m.size(xx, yy, xy))
    assert np.hypot(*m.ellipticity(*turned)) == pytest.approx(np.hypot(*m.ellipticity(xx, yy, xy)))


def test_sizes_of_impossible_moments_are_nan() -> None:
    assert np.isnan(m.size([1.0, -1.0, np.nan], [1.0, 1.0, 1.0], [1.5, 0.0, 0.0])).all()
    assert m.size(4.0, 4.0, 0.0) == 2.0


def test_noise_equivalent_area() -> None:
    sigma = 2.0
    area = m.noise_equivalent_area(np.stack([gaussian(4.0, 4.0, 0.0, side=41), np.zeros((41, 41))]))
    assert area[0] == pytest.approx(4 * np.pi * sigma**2, rel=1e-6)
    assert area[0] == pytest.approx(gaussian_area_pixels(2.3548200450309493 * sigma, 1.0), rel=1e-6)
    assert np.isnan(area[1])
    assert m.noise_equivalent_area(np.ones((3, 3))) == pytest.approx(9.0)
