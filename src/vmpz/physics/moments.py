"""Shapes of PSF stamps: adaptive Gaussian-weighted second moments, FWHM, ellipticity, noise-equivalent area.

Weighted moments ``M = sum w I d d^T / sum w I`` about the centroid, with an elliptical Gaussian weight of covariance
W. The weight matches the image when ``W = 2 M`` (for a Gaussian image then W is its covariance): that W is the
adaptive second moment, Ixx, Iyy, Ixy. It is found by iterating ``W -> (M^-1 - W^-1)^-1``, which ends after one step
for a Gaussian image and has the same fixed point, or ``W -> 2 M`` where that step fails; the centroid moves by twice
the weighted offset. A stamp whose iteration fails (not finite, flux not positive, centroid outside, no convergence)
gives NaN.

Sums over few pixels are not integrals: below sigma = 0.9 pixels plain sums are wrong by per cents, by the place of the
centroid. So M is compared with the same sum of the weight's own image, ``sum w w d d^T / sum w w``, whose integral
is W / 2: it is corrected by the difference, or by the ratio where the own sum is the larger, so that it stays
positive. A sampled Gaussian then gives its covariance exactly, from sigma = 0.6 pixels on and up to the edges of the
stamp; what is solved is the least-squares fit of a Gaussian, which adaptive moments are in the limit of fine pixels.

The moments are those of the image, thus of the PSF as the pixels saw it. Values integrated over pixels have 1/12
square pixels more along each axis than the optics (`without_pixel`): that brings back the sigma of a Gaussian to
1e-3 at sigma = 1 pixel, 5e-3 at 0.7 and 1.5e-2 at 0.5; narrower ones may give NaN.

Average moments over exposures, not ellipticities.

References: Bernstein & Jarvis 2002, AJ 123, 583; Hirata & Seljak 2003, MNRAS 343, 459.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Moments",
    "adaptive_moments",
    "ellipticity",
    "fwhm",
    "noise_equivalent_area",
    "rotate",
    "size",
    "without_pixel",
]

Array = NDArray[np.float64]

FWHM_PER_SIGMA = float(np.sqrt(8.0 * np.log(2.0)))
PIXEL_VARIANCE = 1.0 / 12.0
STAMPS_AT_ONCE = 256
"""Stamps iterated together: their pixels stay in the processor's cache."""
LARGEST_SHIFT = 0.5
"""Pixels by which one step may move the centroid along an axis."""
LARGEST_STEP = 4.0
"""Factor by which one step may change the area of the weight."""


class Moments(NamedTuple):
    """Adaptive moments of stamps, each an array ``(n,)``.

    Attributes
    ----------
    ixx, iyy, ixy : array
        Second moments, square pixels; x along the last axis of a stamp, y along the one before.
    x, y : array
        Centroid from the centre of the stamp, pixels.
    """

    ixx: Array
    iyy: Array
    ixy: Array
    x: Array
    y: Array


def adaptive_moments(stamps: ArrayLike, *, tolerance: float = 1e-6, iterations: int = 100) -> Moments:
    """Adaptive Gaussian-weighted moments of many stamps.

    Parameters
    ----------
    stamps : array_like (n, height, width)
        Images of one star each, background subtracted.
    tolerance : float
        The iteration ends when moments change by less than this fraction of their trace, and the centroid by less
        than this many pixels.
    iterations : int
        A stamp that needs more has failed.

    Returns
    -------
    Moments
        NaN for stamps that failed.
    """
    images = np.asarray(stamps, np.float64)
    count, height, width = images.shape
    found = np.full((5, count), np.nan)
    for first in range(0, count, STAMPS_AT_ONCE):
        some = slice(first, first + STAMPS_AT_ONCE)
        found[:, some] = _iterate(
            np.ascontiguousarray(images[some].transpose(1, 2, 0)), tolerance, iterations
        )
    found[:, (np.abs(found[3]) > width / 2.0) | (np.abs(found[4]) > height / 2.0)] = np.nan
    return Moments(*found)


def rotate(ixx: ArrayLike, iyy: ArrayLike, ixy: ArrayLike, jacobian: ArrayLike) -> tuple[Array, Array, Array]:
    """Moments in other coordinates: ``J I J^T``.

    Parameters
    ----------
    ixx, iyy, ixy : array_like
        Moments in pixels.
    jacobian : array_like (..., 2, 2)
        Rows: the change of x (towards west) and of y (towards north), for a step of one pixel along x (first
        column) and along y (second); in arcsec the moments become square arcsec.
    """
    turn = np.asarray(jacobian, np.float64)
    (a, b), (c, d) = ((turn[..., i, 0], turn[..., i, 1]) for i in (0, 1))
    xx, yy, xy = (np.asarray(moment, np.float64) for moment in (ixx, iyy, ixy))
    return (
        a * a * xx + 2.0 * a * b * xy + b * b * yy,
        c * c * xx + 2.0 * c * d * xy + d * d * yy,
        a * c * xx + (a * d + b * c) * xy + b * d * yy,
    )


def ellipticity(ixx: ArrayLike, iyy: ArrayLike, ixy: ArrayLike) -> tuple[Array, Array]:
    """``e1 = (Ixx - Iyy) / (Ixx + Iyy)`` and ``e2 = 2 Ixy / (Ixx + Iyy)``."""
    xx, yy = np.asarray(ixx, np.float64), np.asarray(iyy, np.float64)
    trace = xx + yy
    return (xx - yy) / trace, 2.0 * np.asarray(ixy, np.float64) / trace


def size(ixx: ArrayLike, iyy: ArrayLike, ixy: ArrayLike) -> Array:
    """``(Ixx Iyy - Ixy**2)**(1/4)``: the sigma of the round Gaussian of equal area; NaN without a positive area."""
    area = np.asarray(ixx, np.float64) * np.asarray(iyy) - np.asarray(ixy, np.float64) ** 2
    return np.asarray(np.where(area > 0.0, area, np.nan) ** 0.25)


def fwhm(ixx: ArrayLike, iyy: ArrayLike, ixy: ArrayLike) -> Array:
    """Full width at half maximum of the matched Gaussian, ``2.3548 size``, in the unit of the square root."""
    return np.asarray(FWHM_PER_SIGMA * size(ixx, iyy, ixy))


def without_pixel(ixx: ArrayLike, iyy: ArrayLike, ixy: ArrayLike) -> tuple[Array, Array, Array]:
    """Moments in square pixels less those of a pixel, 1/12 along each axis."""
    xx, yy = np.asarray(ixx, np.float64), np.asarray(iyy, np.float64)
    return xx - PIXEL_VARIANCE, yy - PIXEL_VARIANCE, np.asarray(ixy, np.float64)


def noise_equivalent_area(stamps: ArrayLike) -> Array:
    """``(sum I)**2 / sum I**2`` of stamps ``(..., height, width)``, pixels: ``1 / sum psf**2`` of a normalised PSF.

    NaN for a stamp without light.
    """
    images = np.asarray(stamps, np.float64)
    squares = np.einsum("...yx,...yx->...", images, images)
    area = np.full(squares.shape, np.nan)
    np.divide(images.sum(axis=(-2, -1)) ** 2, squares, out=area, where=squares > 0.0)
    return area


def _iterate(pixels: Array, tolerance: float, iterations: int) -> Array:
    """(Ixx, Iyy, Ixy, x, y) of images ``(height, width, n)``; NaN where the iteration fails.

    Stamps run along the last axis, so that every operation is one over many stamps.
    """
    found = np.full((5, pixels.shape[2]), np.nan)
    left = np.flatnonzero(np.isfinite(pixels).all(axis=(0, 1)) & pixels.any(axis=(0, 1)))
    pixels = pixels[:, :, left]
    state = _start(pixels)
    for _ in range(iterations):
        if not len(left):
            break
        ahead, is_good = _step(state, pixels)
        change = np.abs(ahead - state)
        change[:3] /= ahead[0] + ahead[1]
        is_done = is_good & (change.max(axis=0) < tolerance)
        found[:, left[is_done]] = ahead[:, is_done]
        on = is_good & ~is_done
        state = ahead
        if not on.all():
            left, pixels, state = left[on], pixels[:, :, on], ahead[:, on]
    return found


def _start(pixels: Array) -> Array:
    """A round weight of the image's noise-equivalent area, at the centroid of the squared image."""
    light, (x, y), _ = _about(pixels * pixels, *_offsets(pixels.shape, 0.0, 0.0))
    largest = pixels.shape[0] * pixels.shape[1] / 16.0
    variance = np.clip(pixels.sum(axis=(0, 1)) ** 2 / light / (4.0 * np.pi), 0.2, largest)
    return np.stack((variance, variance, np.zeros_like(variance), x, y))


def _step(state: Array, pixels: Array) -> tuple[Array, NDArray[np.bool_]]:
    """One step of all images; where it is not good the column means nothing."""
    xx, yy, xy, x, y = state
    px, py, pxy = _inverse(xx, yy, xy)
    dx, dy = _offsets(pixels.shape, x, y)
    form = (-pxy * dy)[:, None] * dx
    form -= (0.5 * py * dy * dy)[:, None]
    form -= 0.5 * px * dx * dx
    weight = np.exp(form, out=form)
    light, means, seconds = _about(weight * pixels, dx, dy)
    own_light, own_means, own_seconds = _about(weight * weight, dx, dy)
    is_good = (light > 0.0) & (own_light > 0.0)
    half = 0.5 * state[:3]
    too_wide = own_seconds[:2] > half[:2]
    ratio = np.where(too_wide, half[:2] / np.where(too_wide, own_seconds[:2], 1.0), 1.0)
    mxx, myy = np.where(too_wide, seconds[:2] * ratio, seconds[:2] + half[:2] - own_seconds[:2])
    mxy = half[2] + (seconds[2] - own_seconds[2]) * np.sqrt(ratio[0] * ratio[1])
    is_good &= (mxx > 0.0) & (mxx * myy > mxy * mxy)
    matched = _matched(np.where(is_good, (mxx, myy, mxy), half), (px, py, pxy), xx * yy - xy * xy)
    shift = np.clip(2.0 * ratio * (means - own_means), -LARGEST_SHIFT, LARGEST_SHIFT)
    return np.concatenate((matched, state[3:] + shift)), is_good


def _offsets(shape: tuple[int, ...], x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
    """Pixels from a point, along x ``(width, n)`` and y ``(height, n)``."""
    height, width, count = shape
    columns, rows = (np.arange(side)[:, None] - (side - 1) / 2.0 for side in (width, height))
    return columns - np.broadcast_to(x, count), rows - np.broadcast_to(y, count)


def _about(weighted: Array, dx: Array, dy: Array) -> tuple[Array, Array, Array]:
    """Sum, and first and second moments about a point, of weighted images; moments without light mean nothing."""
    along_x, along_y = weighted.sum(axis=0), weighted.sum(axis=1)
    cross = np.einsum("yxn,xn->yn", weighted, dx)
    light = along_y.sum(axis=0)
    unit = np.where(light > 0.0, light, 1.0)
    means = np.stack(((along_x * dx).sum(axis=0), (along_y * dy).sum(axis=0)))
    seconds = np.stack(
        ((along_x * dx * dx).sum(axis=0), (along_y * dy * dy).sum(axis=0), (cross * dy).sum(axis=0))
    )
    return light, means / unit, seconds / unit


def _matched(moments: Array, weight_inverse: tuple[Array, Array, Array], area: Array) -> Array:
    """``(M^-1 - W^-1)^-1`` where that is an ellipse of an area not far from the last one's, else ``2 M``."""
    ax, ay, axy = (m - w for m, w in zip(_inverse(*moments), weight_inverse, strict=True))
    determinant = ax * ay - axy * axy
    growth = determinant * area
    is_near = (ax > 0.0) & (growth > LARGEST_STEP**-2) & (growth < LARGEST_STEP**2)
    safe = np.where(is_near, determinant, 1.0)
    return np.where(is_near, np.stack((ay / safe, ax / safe, -axy / safe)), 2.0 * moments)


def _inverse(xx: Array, yy: Array, xy: Array) -> tuple[Array, Array, Array]:
    determinant = xx * yy - xy * xy
    return yy / determinant, xx / determinant, -xy / determinant
