"""Limiting magnitudes of background-limited images.

Every definition has the form ``m = ZP - 2.5 log10(n C RMS sqrt(A))``: n the signal-to-noise ratio, C the factor by
which noise correlated between pixels exceeds white noise on that scale (`vmpz.physics.noise`), RMS the noise per
image pixel in flux units of the zero point, and A an area in image pixels that says what is detected: a circular
aperture, the noise-equivalent area of the PSF, or that of a galaxy seen through the PSF. A surface brightness limit
is the same flux spread over a square on the sky. Extinction makes every limit shallower by A_b.

The noise of a coadd comes from the weights of its exposures (`vmpz.physics.noise.coadd_noise`): decasu's ``maglim``
is `depth_mag` of it in a 2 arcsec aperture with n = 10, its surface-brightness variant `surface_brightness_limit`
with n = 1. Point sources in exposures of different PSFs have two limits, `psf_depth_mag` and
`optimal_psf_depth_mag`.

References: Euclid DPDD Q1, HEALPix depth map (2 arcsec aperture, 5 sigma); LSST ``psf_maglim``; decasu (DES).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vmpz.physics.noise import coadd_noise

__all__ = [
    "HALF_LIGHT_PER_SCALE_LENGTH",
    "aperture_area_pixels",
    "depth_mag",
    "disc_area_pixels",
    "extinction_mag",
    "gaussian_area_pixels",
    "noise_of_depth",
    "optimal_psf_depth_mag",
    "psf_depth_mag",
    "surface_brightness_limit",
]

Array = NDArray[np.float64]

FWHM_PER_SIGMA = float(np.sqrt(8.0 * np.log(2.0)))
HALF_LIGHT_PER_SCALE_LENGTH = 1.6783469900166605
"""Half-light radius of an exponential disc in scale lengths: (1 + x) exp(-x) = 1/2."""


def aperture_area_pixels(aperture_arcsec: ArrayLike, pixel_scale_arcsec: ArrayLike) -> Array:
    """Area, in image pixels, of a circular aperture given by its diameter."""
    return np.asarray(np.pi * (np.asarray(aperture_arcsec) / 2.0 / np.asarray(pixel_scale_arcsec)) ** 2)


def gaussian_area_pixels(fwhm_arcsec: ArrayLike, pixel_scale_arcsec: ArrayLike) -> Array:
    """Noise-equivalent area ``1 / sum psf**2`` of a Gaussian PSF, in image pixels.

    ``4 pi sigma**2 = 2.266 FWHM**2``: the area of the optimal (PSF-weighted) flux measurement of a point source.
    """
    sigma = np.asarray(fwhm_arcsec, np.float64) / FWHM_PER_SIGMA
    return np.asarray(4.0 * np.pi * (sigma / np.asarray(pixel_scale_arcsec)) ** 2)


def disc_area_pixels(
    half_light_arcsec: float, fwhm_arcsec: ArrayLike, pixel_scale_arcsec: ArrayLike
) -> Array:
    """Noise-equivalent area of an exponential disc convolved with a Gaussian PSF, in image pixels.

    With scale length h and ``a = (sigma / h)**2`` the integral of the squared profile, taken over its Fourier
    transform ``(1 + h**2 k**2)**(-3/2) exp(-sigma**2 k**2 / 2)``, gives ``A = 4 pi h**2 / (e**a E_3(a))``; it tends
    to ``8 pi h**2`` for a sharp PSF and to the area of the PSF for a small disc.

    Parameters
    ----------
    half_light_arcsec : float
        Half-light radius of the (round) disc before convolution, > 0.
    fwhm_arcsec, pixel_scale_arcsec : array_like
        FWHM of the PSF; side of an image pixel.
    """
    scale_length = half_light_arcsec / HALF_LIGHT_PER_SCALE_LENGTH
    blur = (np.asarray(fwhm_arcsec, np.float64) / FWHM_PER_SIGMA / scale_length) ** 2
    from scipy.special import hyperu  # only this estimator needs it, and every run would wait for it

    scaled_exponential_integral = hyperu(1.0, -1.0, blur)  # e**a E_3(a), without overflow
    return np.asarray(
        4.0 * np.pi * (scale_length / np.asarray(pixel_scale_arcsec)) ** 2 / scaled_exponential_integral
    )


def depth_mag(
    rms: ArrayLike,
    area_pixels: ArrayLike,
    *,
    zero_point_mag: float,
    snr: float = 5.0,
    correlated_noise: float = 1.0,
) -> Array:
    """Limiting AB magnitude ``ZP - 2.5 log10(n C RMS sqrt(A))``.

    Parameters
    ----------
    rms : array_like
        Noise sigma per image pixel, flux units of the zero point.
    area_pixels : array_like
        Area of the aperture, or noise-equivalent area of the source, in image pixels.
    zero_point_mag : float
        AB magnitude of unit flux.
    snr : float
        Signal-to-noise ratio n at the limit.
    correlated_noise : float
        Factor C: noise in the area over its white-noise value.
    """
    noise = snr * correlated_noise * np.asarray(rms, np.float64) * np.sqrt(area_pixels)
    return np.asarray(zero_point_mag - 2.5 * np.log10(noise))


def psf_depth_mag(
    weights: ArrayLike,
    psf_area_pixels: ArrayLike,
    *,
    zero_point_mag: float,
    snr: float = 5.0,
    correlated_noise: float = 1.0,
    axis: int | None = None,
) -> Array:
    """Point-source limit of a coadd by its mean PSF area, ``ZP - 2.5 log10(n C sqrt(<A>_w / sum w))``.

    With n = 5 and C = 1 this is the ``psf_maglim`` of LSST; -inf where all weights are 0.

    Parameters
    ----------
    weights : array_like
        Inverse variances per image pixel of the exposures, flux units of the zero point
        (`vmpz.physics.noise.weight_of_noise`).
    psf_area_pixels : array_like
        Noise-equivalent areas of their PSFs, image pixels; broadcast with the weights.
    axis : int, optional
        The axis of exposures; by default all are one coadd.
    """
    weight, area = np.broadcast_arrays(np.asarray(weights, np.float64), psf_area_pixels)
    total = np.asarray(weight.sum(axis=axis))
    mean = np.ones(total.shape)
    np.divide((weight * area).sum(axis=axis), total, out=mean, where=total > 0)
    return depth_mag(
        coadd_noise(weight, axis),
        mean,
        zero_point_mag=zero_point_mag,
        snr=snr,
        correlated_noise=correlated_noise,
    )


def optimal_psf_depth_mag(
    weights: ArrayLike,
    psf_area_pixels: ArrayLike,
    *,
    zero_point_mag: float,
    snr: float = 5.0,
    correlated_noise: float = 1.0,
    axis: int | None = None,
) -> Array:
    """Point-source limit when every exposure is measured with its own PSF, ``ZP - 2.5 log10(n C / sqrt(sum w/A))``.

    Never shallower than `psf_depth_mag`, whose parameters it has.
    """
    noise = coadd_noise(np.asarray(weights, np.float64) / np.asarray(psf_area_pixels, np.float64), axis)
    return depth_mag(noise, 1.0, zero_point_mag=zero_point_mag, snr=snr, correlated_noise=correlated_noise)


def surface_brightness_limit(
    rms: ArrayLike,
    pixel_scale_arcsec: ArrayLike,
    *,
    zero_point_mag: float,
    side_arcsec: float = 2.0,
    snr: float = 5.0,
    correlated_noise: float = 1.0,
) -> Array:
    """Limiting surface brightness, AB mag per square arcsec, averaged over a square of the given side.

    ``ZP - 2.5 log10(n C RMS / (px side))``; with n = 1 and a side of 2 arcsec this is the variant of decasu.
    """
    per_square_arcsec = np.asarray(rms, np.float64) / (np.asarray(pixel_scale_arcsec) * side_arcsec)
    return np.asarray(zero_point_mag - 2.5 * np.log10(snr * correlated_noise * per_square_arcsec))


def noise_of_depth(
    depth_mag: ArrayLike,
    area_pixels: ArrayLike,
    *,
    zero_point_mag: float,
    snr: float = 5.0,
    correlated_noise: float = 1.0,
) -> Array:
    """Noise sigma per image pixel that gives a limiting magnitude; the inverse of `depth_mag`."""
    flux = 10.0 ** (-0.4 * (np.asarray(depth_mag, np.float64) - zero_point_mag))
    return np.asarray(flux / (snr * correlated_noise * np.sqrt(area_pixels)))


def extinction_mag(ebv_mag: ArrayLike, coefficient: float) -> Array:
    """Extinction ``A_b = R_b E(B-V)`` in a band; R_b belongs to a named law and to the scale of the E(B-V) map."""
    return np.asarray(coefficient * np.asarray(ebv_mag, np.float64))
