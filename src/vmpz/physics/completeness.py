"""Completeness: the probability that a source of a magnitude is selected where images have a limiting magnitude.

Every function takes ``delta_mag = m - m_lim`` and has a plateau, the completeness of bright sources. They are smooth,
except that `hard` and `redmapper` end at an edge.

Noise is that of a background-limited flux: at the depth ``m_n`` of signal-to-noise ratio n a source of magnitude m has
the ratio ``n 10**(-0.4 (m - m_n))``, scattered by a standard normal deviate. An extended source is noisier than a point
by the square root of its noise-equivalent area (`vmpz.physics.depth.disc_area_pixels`), so its depth is shallower.

References: Rykoff et al. 2014, ApJ 785, 104 (redMaPPer), and Rykoff, Rozo & Keisler 2015, arXiv:1509.00870, for
galaxies near the limit of maps of depth.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vmpz.physics.depth import disc_area_pixels, gaussian_area_pixels
from vmpz.physics.efficiency import Efficiency

__all__ = [
    "Completeness",
    "Kind",
    "error_function",
    "extended_mag",
    "gaussian",
    "hard",
    "logistic",
    "noise_factor",
    "redmapper",
]

Array = NDArray[np.float64]
Kind = Literal["gaussian", "erf", "logistic", "redmapper", "hard", "efficiency"]

LARGEST_EXPONENT = 300.0  # of ten: a source so bright is seen, and float64 ends at 308


def gaussian(
    delta_mag: ArrayLike,
    snr: float = 5.0,
    *,
    cut_snr: float | None = None,
    plateau: float = 1.0,
    chance: bool = True,
) -> Array:
    """A cut in the signal-to-noise ratio of a flux with normal noise, ``Phi(n 10**(-0.4 delta) - n')``.

    With n' = n it is ``Phi(n (10**(-0.4 delta) - 1))``, one half at the depth. Noise alone lifts a share ``Phi(-n')``
    of sources without any flux above the cut. They are false detections, as many as there are faint sources in a list;
    without them (``chance=False``) the probability is that of sources whose noise alone would stay below the cut,
    ``(Phi(n 10**(-0.4 delta) - n') - Phi(-n')) / Phi(n')``: it differs by less than 3e-7 at n' = 5.

    Parameters
    ----------
    delta_mag : array_like
        Magnitude minus depth.
    snr : float
        Signal-to-noise ratio n of a source at the depth.
    cut_snr : float, optional
        That of the cut, n'; default n.
    plateau : float
        Factor on all.
    chance : bool
        Whether sources count that noise alone lifts above the cut.
    """
    from scipy.special import ndtr  # every run would wait for it, and few need it

    cut = snr if cut_snr is None else cut_snr
    exponent = np.minimum(-0.4 * np.asarray(delta_mag, np.float64), LARGEST_EXPONENT)
    seen = ndtr(snr * 10.0**exponent - cut)
    if not chance:
        seen = np.maximum(seen - ndtr(-cut), 0.0) / ndtr(cut)
    return np.asarray(plateau * seen)


def error_function(
    delta_mag: ArrayLike, *, width_mag: float, offset_mag: float = 0.0, plateau: float = 1.0
) -> Array:
    """The three-parameter form ``c0/2 (1 - erf((m - m50) / (sqrt(2) w)))``, with ``m50 = m_lim + offset``."""
    from scipy.special import ndtr  # every run would wait for it, and few need it

    return np.asarray(plateau * ndtr((offset_mag - np.asarray(delta_mag, np.float64)) / width_mag))


def logistic(
    delta_mag: ArrayLike, *, width_mag: float, offset_mag: float = 0.0, plateau: float = 1.0
) -> Array:
    """``c0 / (1 + exp((m - m50) / w))``, with ``m50 = m_lim + offset``."""
    from scipy.special import expit  # every run would wait for it, and few need it

    return np.asarray(plateau * expit((offset_mag - np.asarray(delta_mag, np.float64)) / width_mag))


def redmapper(
    delta_mag: ArrayLike,
    *,
    width_mag: float,
    offset_mag: float = 0.0,
    max_delta_mag: ArrayLike = np.inf,
    plateau: float = 1.0,
) -> Array:
    """The form of redMaPPer, ``(1 + erf((min(m_max, m50) - m) / (sqrt(2) sigma_m))) / 2``, and 0 beyond m50.

    Parameters
    ----------
    delta_mag : array_like
        Magnitude minus depth.
    width_mag : float
        Error sigma_m of a magnitude at the limit.
    offset_mag : float
        m50 minus depth.
    max_delta_mag : array_like
        Limit of the sample itself, m_max, minus depth.
    plateau : float
        Factor on all.
    """
    delta = np.asarray(delta_mag, np.float64)
    limit = np.minimum(max_delta_mag, offset_mag)
    return np.where(
        delta <= offset_mag, error_function(delta - limit, width_mag=width_mag, plateau=plateau), 0.0
    )


def hard(delta_mag: ArrayLike, *, offset_mag: float = 0.0, plateau: float = 1.0) -> Array:
    """All sources down to ``m50 = m_lim + offset``, and none beyond."""
    return np.where(np.asarray(delta_mag, np.float64) <= offset_mag, plateau, 0.0)


def noise_factor(half_light_arcsec: ArrayLike, psf_fwhm_arcsec: ArrayLike) -> Array:
    """Noise of a source over that of a point, the square root of their noise-equivalent areas.

    Exponential discs of the given half-light radii, through a Gaussian PSF; 1 where the radius is 0.
    """
    radius, fwhm = np.broadcast_arrays(np.asarray(half_light_arcsec, np.float64), psf_fwhm_arcsec)
    factor = np.ones(radius.shape)
    large = (
        radius > 1e-3 * fwhm
    )  # a smaller disc differs from a point by less than 4e-6, and its formula overflows
    areas = [disc_area_pixels(1.0, fwhm[large] / radius[large], 1.0), gaussian_area_pixels(fwhm[large], 1.0)]
    factor[large] = np.sqrt(areas[0] * radius[large] ** 2 / areas[1])
    return factor


def extended_mag(half_light_arcsec: ArrayLike, psf_fwhm_arcsec: ArrayLike) -> Array:
    """How much shallower the depth is for an extended source than for a point, ``1.25 log10(A_ext / A_psf)``."""
    return np.asarray(2.5 * np.log10(noise_factor(half_light_arcsec, psf_fwhm_arcsec)))


@dataclass(frozen=True)
class Completeness:
    """A completeness function with its numbers: callable with magnitudes and a depth.

    Attributes
    ----------
    kind : {'gaussian', 'erf', 'logistic', 'redmapper', 'hard', 'efficiency'}
        Which function.
    snr, cut_snr, chance
        Of `gaussian`.
    offset_mag, width_mag, plateau
        Of all that have them.
    max_mag : float
        Limit m_max of the sample itself (`redmapper`).
    table : Efficiency or None
        The table of `efficiency`.
    """

    kind: Kind
    snr: float = 5.0
    cut_snr: float | None = None
    chance: bool = True
    offset_mag: float = 0.0
    width_mag: float = 0.1
    plateau: float = 1.0
    max_mag: float = np.inf
    table: Efficiency | None = None

    def __call__(self, mag: ArrayLike, depth_mag: ArrayLike) -> Array:
        """Probability to be selected, of magnitudes where the images have some depth; broadcast."""
        magnitude, depth = np.asarray(mag, np.float64), np.asarray(depth_mag, np.float64)
        delta = magnitude - depth
        match self.kind:
            case "gaussian":
                return gaussian(
                    delta, self.snr, cut_snr=self.cut_snr, plateau=self.plateau, chance=self.chance
                )
            case "hard":
                return hard(delta, offset_mag=self.offset_mag, plateau=self.plateau)
            case "redmapper":
                return redmapper(delta, max_delta_mag=self.max_mag - depth, **self._form)
            case "efficiency":
                return self.plateau * self._efficiency(delta, magnitude)
            case "erf":
                return error_function(delta, **self._form)
            case "logistic":
                return logistic(delta, **self._form)

    def edge_mag(self, depth_mag: float) -> float:
        """Magnitude beyond which nothing is selected, where the function ends at a step; else infinity."""
        match self.kind:
            case "hard" | "redmapper":
                return depth_mag + self.offset_mag
            case "efficiency" if self.table is not None:
                return self.table.edge_mag(depth_mag)
            case _:
                return np.inf

    @property
    def scale_mag(self) -> float:
        """Length over which it changes, mag."""
        match self.kind:
            case "gaussian":
                return 2.5 / math.log(10.0) / max(self.snr, self.cut_snr or 0.0)
            case "hard":
                return np.inf
            case "efficiency" if self.table is not None:
                return self.table.step_mag
            case _:
                return self.width_mag

    @property
    def _form(self) -> dict[str, float]:
        return {"width_mag": self.width_mag, "offset_mag": self.offset_mag, "plateau": self.plateau}

    def _efficiency(self, delta: Array, mag: Array) -> Array:
        if self.table is None:
            raise ValueError("completeness by efficiency needs a table, found none")
        return self.table(delta, mag)
