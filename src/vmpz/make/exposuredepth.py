"""Depth from the scalars of exposures: how deep their coadd is, without looking at a pixel.

An exposure adds the weight ``w_i = (side_i / sigma_i)**2`` to the part of a cell that it covers: the inverse
variance of a flux per square arcsecond, sigma_i its sky noise per pixel in units of the common zero point and side_i
the side of a pixel. The cell has ``W = sum_i a_i w_i / f``, a_i the share that exposure i covers and f that of their
union, so where all exposures cover all of a cell the limits are those of decasu (APERTURE, SURFBRIGHT) and of LSST's
``psf_maglim`` (PSF: the area of the PSF averaged with the weights) at any point of it.
"""

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import MissingProductError
from vmpz.frames import Exposures
from vmpz.make.exposuremaps import shares_of
from vmpz.parameters import DepthParameters
from vmpz.physics.depth import (
    aperture_area_pixels,
    depth_mag,
    disc_area_pixels,
    gaussian_area_pixels,
    surface_brightness_limit,
)
from vmpz.sky.cells import CellSet
from vmpz.sky.regions import union_fractions

__all__ = ["exposure_depth"]

Array = NDArray[np.float64]


def exposure_depth(
    exposures: Exposures,
    cells: CellSet,
    chosen: DepthParameters,
    *,
    zero_point: float,
    correlated_noise: float = 1.0,
) -> Array:
    """Limiting magnitude of every cell, float64 (len(cells),), NaN where no exposure is.

    Parameters
    ----------
    exposures : Exposures
        Scalars Noise (units of `zero_point`), PixelScale and, for point and extended sources, PSF or Seeing.
    cells : CellSet
    chosen : DepthParameters
        Estimator, n, aperture, disc.
    zero_point, correlated_noise : float

    Raises
    ------
    MissingProductError
        An exposure lacks a scalar.
    """
    row, place, share = shares_of(exposures, cells)
    weight = (_known(exposures, "PixelScale") / _known(exposures, "Noise"))[row] ** 2 * share
    common = {"zero_point_mag": zero_point, "snr": chosen.snr, "correlated_noise": correlated_noise}

    def total(values: Array) -> Array:
        return np.asarray(np.bincount(place, values, len(cells)), np.float64)

    union = union_fractions(exposures.corners, cells.order, cells=cells).of_cells(cells.cells(), 0.0)
    seen = total(share) > 0
    covered = np.where(seen, np.asarray(union, np.float64), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        noise = np.sqrt(covered / total(weight))
        if chosen.estimator == "SURFBRIGHT":
            return surface_brightness_limit(noise, 1.0, side_arcsec=chosen.aperture_arcsec, **common)
        if chosen.estimator == "APERTURE":
            return depth_mag(noise, aperture_area_pixels(chosen.aperture_arcsec, 1.0), **common)
        area = _area(exposures, chosen)[row]
        if chosen.estimator == "PSFOPTIMAL":
            return depth_mag(np.sqrt(covered / total(weight / area)), 1.0, **common)
        return depth_mag(noise, total(weight * area) / total(weight), **common)


def _area(exposures: Exposures, chosen: DepthParameters) -> Array:
    """Noise-equivalent area of the source in each exposure, square arcsec."""
    name = "PSF" if "PSF" in exposures.scalars else "Seeing"
    fwhm = (
        np.full(len(exposures), chosen.psf_fwhm_arcsec)
        if chosen.psf_fwhm_arcsec is not None
        else _known(exposures, name)
    )
    if chosen.estimator == "EXTENDED":
        return disc_area_pixels(chosen.half_light_arcsec, fwhm, 1.0)
    return gaussian_area_pixels(fwhm, 1.0)


def _known(exposures: Exposures, name: str) -> Array:
    values = exposures.scalars.get(name, np.full(len(exposures), np.nan))
    wrong = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
    if wrong.size:
        raise MissingProductError(
            f"a depth of exposures needs a positive {name} of every one; {exposures.ids[wrong[0]]} has none"
        )
    return values
