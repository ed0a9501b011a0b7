"""Pixel noise: how exposures add up, and how resampling hides noise in correlations.

Inverse variances add, so a coadd of exposures with sky variance ``v_i`` and zero point ``ZP_i`` has, in flux units of
a common zero point ZP, the weight ``sum 10**(-0.8 (ZP - ZP_i)) / v_i``.

Resampling spreads each input pixel over several output pixels. The variance of one output pixel then tells less than
the noise of a large aperture by the factor R, `drizzle_correlation`, and a depth computed from it as if the noise
were white is too deep by ``2.5 log10 R``.

References: Casertano et al. 2000, AJ 120, 2747 (appendix A); decasu for the weights.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["coadd_noise", "drizzle_correlation", "weight_of_noise"]

Array = NDArray[np.float64]


def weight_of_noise(sky_sigma: ArrayLike, exposure_zero_point_mag: ArrayLike, zero_point_mag: float) -> Array:
    """Inverse variance of an exposure's pixel in flux units of `zero_point_mag`.

    ``10**(-0.8 (ZP - ZP_i)) / sigma_i**2``: an exposure of larger zero point counts more units for the same flux.
    """
    steps_mag = zero_point_mag - np.asarray(exposure_zero_point_mag, np.float64)
    return np.asarray(10.0 ** (-0.8 * steps_mag) / np.asarray(sky_sigma, np.float64) ** 2)


def coadd_noise(weights: ArrayLike, axis: int | None = None) -> Array:
    """Noise sigma of an inverse-variance coadd, ``(sum w)**(-1/2)``; infinite where all weights are 0."""
    total = np.asarray(np.sum(np.asarray(weights, np.float64), axis=axis))
    sigma = np.full(total.shape, np.inf)
    np.divide(1.0, np.sqrt(total), out=sigma, where=total > 0)
    return sigma


def drizzle_correlation(drop_per_pixel: ArrayLike) -> Array:
    """Noise ratio R of a drizzled image: large-aperture noise over its white-noise value from the pixel variance.

    ``R = r / (1 - 1/(3 r))`` for r >= 1 and ``1 / (1 - r/3)`` for r <= 1, with r the side of the drop (pixfrac times
    the input pixel) over the side of the output pixel: the limit of many dithers and large apertures.

    Raises
    ------
    ValueError
        r is negative.
    """
    r = np.asarray(drop_per_pixel, np.float64)
    if np.any(r < 0):
        raise ValueError(f"drop size over output pixel must be >= 0, found {float(r.min())}")
    large = np.maximum(r, 1.0)
    return np.where(r >= 1.0, large / (1.0 - 1.0 / (3.0 * large)), 1.0 / (1.0 - np.minimum(r, 1.0) / 3.0))
