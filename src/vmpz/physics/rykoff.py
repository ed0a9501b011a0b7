"""The noise model of catalogue magnitudes of Rykoff et al. (2015), and its fit.

With F the flux in units of the zero point, F_lim that at the limiting magnitude of signal-to-noise ratio n, and
t_eff the effective exposure time (source counts per unit flux),

``sigma_m = (2.5 / ln 10) sqrt((1 + F_noise / F) / (F t_eff))``, ``F_noise = F_lim**2 t_eff / n**2 - F_lim``,

which is a mixture of background and source noise with the share ``s = n**2 / (F_lim t_eff)`` of the source in the
variance at the limit:

``sigma_m = (2.5 / (n ln 10)) sqrt((1 - s) (F_lim / F)**2 + s F_lim / F)``, 0 <= s <= 1.

So ``sigma_m(m_lim) = 2.5 / (n ln 10)`` whatever s is, and the squared errors are linear in
``A = (1 - s) F_lim**2`` and ``B = s F_lim``: the fit of least absolute deviations is a sequence of weighted linear
fits in two unknowns that are not negative, done for all bootstrap samples at once.

References: Rykoff, Rozo & Keisler 2015, arXiv:1509.00870; the code of redMaPPer.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "ZERO_POINT_MAG",
    "NoiseFit",
    "effective_time",
    "fit_noise_model",
    "magnitude_error",
    "magnitude_error_at_limit",
    "source_share",
]

Array = NDArray[np.float64]

ZERO_POINT_MAG = 22.5
"""AB magnitude of unit flux (a nanomaggy) in which t_eff is given."""
MAG_PER_RELATIVE_FLUX = 2.5 / np.log(10.0)
SHARES = np.array([0.0, 1e-4, 1e-3, 0.01, 0.03, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0])
"""Where the fit is begun: the best of these, each with the median limit that the objects give."""
SELECTIONS = 3
ROUNDS = 60
FLOOR = 1e-3
"""Residuals below this share of the median one weigh alike: the weights of least absolute deviations stay finite."""
CONVERGED = 1e-5


def magnitude_error_at_limit(snr: float) -> float:
    """Error of the magnitude at the limit of signal-to-noise ratio n, ``2.5 / (n ln 10)``: 0.108574 for n = 10."""
    return float(MAG_PER_RELATIVE_FLUX / snr)


def magnitude_error(
    mag: ArrayLike,
    limit_mag: ArrayLike,
    effective_time: ArrayLike,
    *,
    snr: float = 10.0,
    zero_point_mag: float = ZERO_POINT_MAG,
) -> Array:
    """Error of a magnitude by the noise model.

    Parameters
    ----------
    mag : array_like
        AB magnitude.
    limit_mag : array_like
        Limiting magnitude at `snr`.
    effective_time : array_like
        t_eff, counts per unit of flux at `zero_point_mag`, at least ``n**2 / F_lim`` (no background at all); infinite
        where the source adds no noise.
    snr : float
        n.
    zero_point_mag : float
        AB magnitude of unit flux.

    Raises
    ------
    ValueError
        t_eff is smaller: the background would be negative.
    """
    share = source_share(limit_mag, effective_time, snr=snr, zero_point_mag=zero_point_mag)
    if np.any(share > 1.0 + 1e-12):
        raise ValueError(
            f"t_eff must be at least n**2 / F_lim, found {float(np.max(share)):g} times less: a negative background"
        )
    ratio = 10.0 ** (0.4 * (np.asarray(mag, np.float64) - np.asarray(limit_mag, np.float64)))
    return np.asarray(magnitude_error_at_limit(snr) * np.sqrt((1.0 - share) * ratio**2 + share * ratio))


def source_share(
    limit_mag: ArrayLike,
    effective_time: ArrayLike,
    *,
    snr: float = 10.0,
    zero_point_mag: float = ZERO_POINT_MAG,
) -> Array:
    """Share s of the source in the variance at the limit, ``n**2 / (F_lim t_eff)``."""
    flux = 10.0 ** (-0.4 * (np.asarray(limit_mag, np.float64) - zero_point_mag))
    return np.asarray(snr**2 / (flux * np.asarray(effective_time, np.float64)))


def effective_time(
    limit_mag: ArrayLike, share: ArrayLike, *, snr: float = 10.0, zero_point_mag: float = ZERO_POINT_MAG
) -> Array:
    """t_eff of a limit and a source share: the inverse of `source_share`; infinite for a share of 0."""
    flux = 10.0 ** (-0.4 * (np.asarray(limit_mag, np.float64) - zero_point_mag))
    with np.errstate(divide="ignore"):
        return np.asarray(snr**2 / (flux * np.asarray(share, np.float64)))


@dataclass(frozen=True)
class NoiseFit:
    """The noise model that fits a catalogue best.

    Attributes
    ----------
    limit_mag, limit_error_mag : float
        Limiting magnitude, and the standard deviation of those of bootstrap samples (NaN without samples).
    effective_time : float
        t_eff; infinite where no noise of the source is seen.
    share : float
        Share of the source in the variance at the limit.
    objects : int
        Number of objects that were fitted.
    """

    limit_mag: float
    limit_error_mag: float
    effective_time: float
    share: float
    objects: int


def fit_noise_model(
    mag: Array,
    error_mag: Array,
    *,
    generator: np.random.Generator,
    snr: float = 10.0,
    zero_point_mag: float = ZERO_POINT_MAG,
    resamples: int = 100,
    least_snr: float = 5.0,
    brightest: float = 0.98,
) -> NoiseFit | None:
    """Fit the noise model to magnitudes and their errors by least absolute deviations.

    Parameters
    ----------
    mag, error_mag : float64 array (n,)
        AB magnitudes and errors; objects without both are left out.
    generator : numpy.random.Generator
        Of the bootstrap samples.
    snr : float
        n of the limit.
    zero_point_mag : float
        AB magnitude of unit flux, for t_eff.
    resamples : int
        Number of bootstrap samples.
    least_snr, brightest : float
        Objects of a larger signal-to-noise ratio are used, of these the brightest share in magnitude.

    Returns
    -------
    NoiseFit or None
        None where no two objects are left.
    """
    known = np.isfinite(mag) & np.isfinite(error_mag) & (error_mag > 0)
    limit_error_mag = magnitude_error_at_limit(snr)
    used = known & (error_mag < magnitude_error_at_limit(least_snr))
    for _ in range(SELECTIONS):
        if np.count_nonzero(used) < 2:
            return None
        used &= mag <= np.quantile(mag[used], brightest)
        objects = _Objects.of(mag[used], error_mag[used] / limit_error_mag)
        pair = objects.fit(np.ones((1, len(objects))), objects.start())[0]
        used = known & (mag < objects.mag_at(pair, snr / least_snr))
    samples = objects.fit(_bootstrap_counts(len(objects), resamples, generator), pair)
    limit = float(objects.mag_at(pair))
    share = float(pair[1]) * 10.0 ** (0.4 * (limit - objects.pivot_mag))
    return NoiseFit(
        limit,
        float(np.std(objects.mag_at(samples), ddof=1)) if resamples > 1 else np.nan,
        float(effective_time(limit, share, snr=snr, zero_point_mag=zero_point_mag)),
        share,
        len(objects),
    )


def _bootstrap_counts(objects: int, resamples: int, generator: np.random.Generator) -> Array:
    """How often each object stands in each sample (resamples, objects)."""
    drawn = (generator.random((resamples, objects)) * objects).astype(np.int64)
    drawn += np.arange(resamples)[:, None] * objects
    counts = np.bincount(drawn.ravel(), minlength=resamples * objects)
    return counts.reshape(resamples, objects).astype(np.float64)


@dataclass(frozen=True)
class _Objects:
    """What is fitted: errors in units of that at the limit against inverse flux in units of that at the pivot."""

    pivot_mag: float
    inverse_flux: Array
    error: Array

    @classmethod
    def of(cls, mag: Array, error: Array) -> "_Objects":
        pivot_mag = float(np.median(mag))
        return cls(pivot_mag, 10.0 ** (0.4 * (mag - pivot_mag)), error)

    def __len__(self) -> int:
        return int(self.error.size)

    def model(self, pairs: Array) -> Array:
        """Errors (samples, objects) for coefficients A, B (samples, 2)."""
        return np.asarray(np.sqrt(self.inverse_flux * (pairs[:, :1] * self.inverse_flux + pairs[:, 1:])))

    def mag_at(self, pairs: Array, error: float = 1.0) -> Array:
        """Magnitude at which the model gives an error, ``A / F**2 + B / F`` its square; coefficients (..., 2)."""
        a, b = pairs[..., 0], pairs[..., 1]
        flux = (b + np.sqrt(b**2 + 4.0 * a * error**2)) / (2.0 * error**2)
        return np.asarray(self.pivot_mag - 2.5 * np.log10(flux))

    def start(self) -> Array:
        """Where to begin: for each share the median limit of the objects one by one; the pair of least deviations."""
        squares, pairs = self.error**2, []
        for share in SHARES:
            # (1 - s) v**2 + s v = squares, v = F_lim / F
            v = 2.0 * squares / (share + np.sqrt(share**2 + 4.0 * (1.0 - share) * squares))
            limit_flux = np.median(v / self.inverse_flux)
            pairs.append([(1.0 - share) * limit_flux**2, share * limit_flux])
        deviations = np.abs(self.model(np.array(pairs)) - self.error).sum(axis=1)
        return np.array(pairs[int(np.argmin(deviations))])

    def fit(self, counts: Array, start: Array) -> Array:
        """Coefficients (samples, 2) of least absolute deviations; samples count objects (samples, objects)."""
        best = pairs = np.repeat(start[None], counts.shape[0], axis=0)
        least = np.full(counts.shape[0], np.inf)
        floor = FLOOR * max(float(np.median(np.abs(self.model(start[None]) - self.error))), 1e-12)
        for _ in range(ROUNDS):
            model = np.maximum(self.model(pairs), np.finfo(float).tiny)
            residual = np.abs(model - self.error)
            deviations = (residual * counts).sum(axis=1)
            is_better = deviations < least
            best, least = np.where(is_better[:, None], pairs, best), np.minimum(least, deviations)
            previous, pairs = pairs, self._step(model, counts / np.maximum(residual, floor))
            if np.all(np.abs(pairs - previous).sum(axis=1) <= CONVERGED * previous.sum(axis=1)):
                break
        return best

    def _step(self, model: Array, weight: Array) -> Array:
        """The weighted linear fit of the errors, linearised at the present ones (Gauss and Newton)."""
        u, v = self.inverse_flux**2, self.inverse_flux
        weight = weight / model**2
        uu, uv, vv = weight @ (u * u), weight @ (u * v), weight @ (v * v)
        weight *= np.maximum(model * (2.0 * self.error - model), 0.0)
        return _not_negative(uu, uv, vv, weight @ u, weight @ v)


def _not_negative(uu: Array, uv: Array, vv: Array, ua: Array, va: Array) -> Array:
    """Solutions (n, 2), none negative, of the normal equations of two unknowns."""
    determinant = uu * vv - uv**2
    is_singular = determinant <= 1e-14 * uu * vv
    safe = np.where(is_singular, 1.0, determinant)
    a, b = (ua * vv - va * uv) / safe, (va * uu - ua * uv) / safe
    first, second = (b < 0) | is_singular, (a < 0) & ~is_singular
    a = np.where(first, ua / uu, np.where(second, 0.0, a))
    b = np.where(first, 0.0, np.where(second, va / vv, b))
    return np.stack((a, b), axis=1)
