"""Completeness measured: the error function that fits detections and misses best.

The probability of detection ``P(m) = (c0/2) (1 - erf((m - m50) / (sqrt(2) w)))`` (`vmpz.physics.completeness`) is
fitted to sources that are known to be there (injections, or a deeper catalogue), each of which was detected or missed,
by maximum likelihood: no bins, and steps by the Fisher information (scoring) from the best of a grid. The limit at the
fraction f of the plateau is ``m_f = m50 - w Phi**-1(f)``; its error follows from the information of all parameters.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from vmpz.physics.completeness import error_function

__all__ = ["CompletenessFit", "fit_completeness"]

Array = NDArray[np.float64]

NARROWEST_MAG, WIDEST_MAG = 0.01, 5.0
FAINTEST_PLATEAU = 0.01
PLATEAUS, WIDTHS_MAG, QUANTILES = (0.98, 0.85, 0.6), (0.05, 0.2, 0.6), np.linspace(0.1, 0.9, 9)
"""Where the fit is begun: the best of these, m50 at quantiles of the magnitudes."""
ROUNDS, HALVINGS = 60, 12
CONVERGED = 1e-8
"""Change of the log likelihood."""
SURELY = 1e-6
"""A detection or miss is never less probable than this: one false match must not decide a fit."""
LEAST_OF_EACH = 5


@dataclass(frozen=True)
class CompletenessFit:
    """The fitted function.

    Attributes
    ----------
    m50_mag, width_mag, plateau : float
        m50, w and c0.
    covariance : float64 array (2, 2)
        Of m50 and w.
    """

    m50_mag: float
    width_mag: float
    plateau: float
    covariance: Array

    def limit(self, fraction: float) -> tuple[float, float]:
        """Magnitude at which the completeness is that fraction of the plateau, and its error."""
        quantile = float(ndtri(fraction))
        slope = np.array([1.0, -quantile])
        return self.m50_mag - self.width_mag * quantile, float(np.sqrt(slope @ self.covariance @ slope))


def fit_completeness(mag: Array, detected: NDArray[np.bool_]) -> CompletenessFit | None:
    """Fit the three-parameter error function by maximum likelihood.

    Parameters
    ----------
    mag : float64 array (n,)
        True magnitudes of sources, finite.
    detected : bool array (n,)

    Returns
    -------
    CompletenessFit or None
        None where fewer than 5 sources were detected or missed, or the sources do not determine the function.
    """
    if min(np.count_nonzero(detected), np.count_nonzero(~detected)) < LEAST_OF_EACH:
        return None
    middle = float(np.median(mag))
    found = _scored(mag - middle, detected)
    plateau, m50, width = (float(one) for one in found)
    covariance = _covariance(mag - middle, found)
    return None if covariance is None else CompletenessFit(middle + m50, width, plateau, covariance)


def _scored(mag: Array, detected: NDArray[np.bool_]) -> Array:
    """Plateau, m50 and width of the largest likelihood within bounds, by Fisher scoring with halved steps."""
    lower = np.array([FAINTEST_PLATEAU, mag.min() - 1.0, NARROWEST_MAG])
    upper = np.array([1.0, mag.max() + 1.0, WIDEST_MAG])
    grid = product(PLATEAUS, np.quantile(mag, QUANTILES), WIDTHS_MAG)
    found = min((np.array(one) for one in grid), key=lambda one: _surprise(one, mag, detected)[0])
    least, slope = _surprise(found, mag, detected)
    for _ in range(ROUNDS):
        free = ~(((found >= upper) & (slope < 0)) | ((found <= lower) & (slope > 0)))
        step = np.zeros(3)
        step[free] = -np.linalg.pinv(_information(mag, found)[np.ix_(free, free)]) @ slope[free]
        trials: list[Array] = [np.clip(found + step / 2**n, lower, upper) for n in range(HALVINGS)]
        better = next((one for one in trials if _surprise(one, mag, detected)[0] < least), None)
        if better is None:
            return found
        before, found = least, better
        least, slope = _surprise(found, mag, detected)
        if before - least < CONVERGED:
            return found
    return found


def _probability(mag: Array, plateau: float, m50: float, width: float) -> tuple[Array, Array]:
    """P of each source, and its derivatives (3, n) by c0, m50 and w."""
    chance = error_function(mag, width_mag=width, offset_mag=m50, plateau=plateau)
    z = (m50 - mag) / width
    density = plateau * np.exp(-0.5 * z**2) / np.sqrt(2.0 * np.pi) / width
    return chance, np.stack((chance / plateau, density, -density * z))


def _surprise(parameters: Array, mag: Array, detected: NDArray[np.bool_]) -> tuple[float, Array]:
    """Minus the log likelihood, and its gradient."""
    chance, slopes = _probability(mag, *parameters)
    told = np.where(detected, chance, 1.0 - chance)
    safe = np.maximum(told, SURELY)
    weight = np.where(told > SURELY, np.where(detected, 1.0, -1.0) / safe, 0.0)
    return float(-np.log(safe).sum()), -(slopes * weight).sum(axis=1)


def _information(mag: Array, parameters: Array) -> Array:
    """The Fisher information (3, 3) of plateau, m50 and width."""
    chance, slopes = _probability(mag, *parameters)
    weight = 1.0 / np.maximum(chance * (1.0 - chance), SURELY)
    return np.asarray((slopes[:, None] * slopes * weight).sum(axis=2))


def _covariance(mag: Array, parameters: Array) -> Array | None:
    """Covariance of m50 and w: of all three parameters, or of these two where the plateau is at its bound."""
    information = _information(mag, parameters)
    if parameters[0] >= 1.0:
        information = information[1:, 1:]
    if not np.linalg.cond(information) < 1e12:
        return None
    return np.asarray(np.linalg.inv(information)[-2:, -2:])
