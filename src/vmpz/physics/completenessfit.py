"""Completeness measured: the error function that fits detections and misses best.

The probability of detection ``P(m) = (c0/2) (1 - erf((m - m50) / (sqrt(2) w)))`` (`vmpz.physics.completeness`) is
fitted to sources that are known to be there (injections, or a deeper catalogue), each of which was detected or missed,
by maximum likelihood: no bins. The limit at the fraction f of the plateau is ``m_f = m50 - w Phi**-1(f)``; its error
follows from the Fisher information of all parameters.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import ndtri

from vmpz.physics.completeness import error_function

__all__ = ["CompletenessFit", "fit_completeness"]

Array = NDArray[np.float64]

NARROWEST_MAG, WIDEST_MAG = 0.01, 5.0
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
    starts = [
        (plateau, edge - middle, 0.3) for plateau in (0.95, 0.7) for edge in np.quantile(mag, (0.2, 0.5, 0.8))
    ]
    bounds = [(0.01, 1.0), (mag.min() - middle - 1.0, mag.max() - middle + 1.0), (NARROWEST_MAG, WIDEST_MAG)]
    found = [
        minimize(_surprise, start, (mag - middle, detected), jac=True, method="L-BFGS-B", bounds=bounds)
        for start in starts
    ]
    plateau, m50, width = min(found, key=lambda one: float(one.fun)).x
    covariance = _covariance(mag - middle, plateau, m50, width)
    if covariance is None:
        return None
    return CompletenessFit(middle + float(m50), float(width), float(plateau), covariance)


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
    return float(-np.log(safe).sum()), -(slopes @ weight)


def _covariance(mag: Array, plateau: float, m50: float, width: float) -> Array | None:
    """Covariance of m50 and w: of all three parameters, or of these two where the plateau is at its bound."""
    chance, slopes = _probability(mag, plateau, m50, width)
    weight = 1.0 / np.maximum(chance * (1.0 - chance), SURELY)
    free = slopes if plateau < 1.0 - 1e-6 else slopes[1:]
    information = (free * weight) @ free.T
    if not np.linalg.cond(information) < 1e12:
        return None
    return np.asarray(np.linalg.inv(information)[-2:, -2:])
