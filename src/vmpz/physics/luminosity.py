"""Luminosity functions: galaxies per comoving volume and absolute magnitude, and how far away they are.

Schechter 1976, ApJ 203, 297: with ``x = L / L* = 10**(0.4 (M* - M))``

    phi(M) = 0.4 ln 10 phi* x**(alpha + 1) exp(-x),        N(< M) = phi* Gamma(alpha + 1, x).

A tabulated function is a straight line in log phi between its entries, so that a power law needs two of them; it is 0
outside of them.

Distances are those of a flat universe of matter and a cosmological constant; a galaxy of absolute magnitude M at
redshift z has the apparent magnitude ``m = M + DM(z) + K(z) + E(z)``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vmpz.errors import InputError

__all__ = ["Law", "Schechter", "Tabulated", "distances", "gauss_legendre", "sampled", "upper_gamma"]

Array = NDArray[np.float64]

LN_STEP = 0.4 * np.log(10.0)
"""Of ln L per magnitude."""
CELL_MAG = 0.02
"""Of the cells in which magnitudes are sampled: three points integrate a luminosity function over one to rounding."""
FRACTION_STEPS = 120
"""Depth of the continued fraction of the incomplete gamma function: rounding at x = 1, less is needed beyond."""
SERIES_TERMS = 20
NEWTON_STEPS = 3
FAINTEST_X = 700.0
"""L / L* from which on exp(-x) is nothing."""


class Law(Protocol):
    """Galaxies per magnitude: absolute or apparent, per volume or area."""

    def density(self, mag: ArrayLike) -> Array:
        """Galaxies per magnitude."""
        ...

    def brighter(self, mag: ArrayLike) -> Array:
        """Galaxies brighter than a magnitude."""
        ...

    def between(self, bright: Array, faint: Array) -> Array:
        """Galaxies between two magnitudes that are not more than 0.1 apart."""
        ...


@dataclass(frozen=True)
class Schechter:
    """A Schechter function."""

    m_star: float
    alpha: float
    phi_star: float = 1.0

    def density(self, mag: ArrayLike) -> Array:
        """Galaxies per volume and magnitude."""
        ln_x = LN_STEP * (self.m_star - np.asarray(mag, np.float64))
        x = np.exp(np.minimum(ln_x, np.log(FAINTEST_X)))
        shape = np.where(x < FAINTEST_X, np.exp((self.alpha + 1.0) * ln_x - x), 0.0)
        return np.asarray(self.phi_star * LN_STEP * shape)

    def brighter(self, mag: ArrayLike) -> Array:
        """Galaxies per volume brighter than a magnitude."""
        ln_x = LN_STEP * (self.m_star - np.asarray(mag, np.float64))
        return np.asarray(self.phi_star * upper_gamma(self.alpha + 1.0, np.exp(np.minimum(ln_x, 700.0))))

    def between(self, bright: Array, faint: Array) -> Array:
        """Galaxies per volume between two magnitudes that are not more than 0.1 apart, to rounding."""
        nodes, weights = gauss_legendre(4)
        total = np.zeros(np.broadcast_shapes(bright.shape, faint.shape))
        for node, weight in zip(nodes, weights, strict=True):
            total += weight * self.density(0.5 * (bright + faint) + node * (faint - bright))
        return total * (faint - bright)


@dataclass(frozen=True)
class Tabulated:
    """A function through the entries of a table, exponential in between.

    Attributes
    ----------
    mag : float64 (n,)
        Ascending, n >= 2.
    phi : float64 (n,)
        Galaxies per magnitude, > 0.
    where : str
        The file, for messages.

    Raises
    ------
    InputError
        A value is not positive, magnitudes do not ascend, or there are less than two.
    """

    mag: Array
    phi: Array
    where: str = "luminosity function"

    def __post_init__(self) -> None:
        """Check the entries."""
        if self.mag.size < 2 or not np.all(np.diff(self.mag) > 0.0):
            raise InputError(f"{self.where}: at least two magnitudes must ascend, found {self.mag.size}")
        if not np.all(self.phi > 0.0):
            raise InputError(
                f"{self.where}: a density must be positive, found {self.phi.min()}: leave such entries out"
            )

    def density(self, mag: ArrayLike) -> Array:
        """Galaxies per magnitude; 0 outside the table."""
        ln_phi = np.interp(
            np.asarray(mag, np.float64), self.mag, np.log(self.phi), left=-np.inf, right=-np.inf
        )
        return np.asarray(np.exp(ln_phi))

    def brighter(self, mag: ArrayLike) -> Array:
        """Galaxies brighter than a magnitude, exactly."""
        at = np.clip(np.asarray(mag, np.float64), self.mag[0], self.mag[-1])
        place = np.clip(np.searchsorted(self.mag, at, side="right") - 1, 0, self.mag.size - 2)
        steps = np.diff(self.mag)
        slopes = np.diff(np.log(self.phi)) / steps
        before = np.concatenate([[0.0], np.cumsum(_exponential(self.phi[:-1], slopes, steps))])
        return np.asarray(before[place] + _exponential(self.phi[place], slopes[place], at - self.mag[place]))

    def between(self, bright: Array, faint: Array) -> Array:
        """Galaxies between two magnitudes, exactly."""
        return self.brighter(faint) - self.brighter(bright)


def _exponential(first: Array, slope: Array, length: Array) -> Array:
    """Integral of ``first exp(slope t)`` over t from 0 to a length."""
    rise = slope * length
    flat = np.abs(rise) < 1e-300
    return np.asarray(first * length * np.where(flat, 1.0, np.expm1(rise) / np.where(flat, 1.0, rise)))


def upper_gamma(a: float, x: ArrayLike) -> Array:
    """Upper incomplete gamma function ``Gamma(a, x)`` for any real a and x > 0.

    Of negative or small a: the continued fraction of Legendre from 1 upwards, and below it the series of the integrand,
    whose terms have no pole at whole a as the recurrence has.

    >>> round(float(upper_gamma(-0.2, 0.1)), 7)
    2.2971192
    """
    value = np.asarray(x, np.float64)
    if a > 0.5:
        from scipy.special import gamma, gammaincc  # every run would wait for it, and few need it

        return np.asarray(gamma(a) * gammaincc(a, value))
    return np.where(value < 1.0, _series(a, np.minimum(value, 1.0)), 0.0) + _fraction(a, value)


def _series(a: float, x: Array) -> Array:
    """``int_x^1 t**(a-1) exp(-t) dt``, term by term."""
    ln_x, total, factor = np.log(x), np.zeros_like(x), 1.0
    for k in range(SERIES_TERMS):
        power = a + k
        term = -ln_x if power == 0.0 else -np.expm1(power * ln_x) / power
        total += factor * term
        factor /= -(k + 1.0)
    return np.asarray(total)


def _fraction(a: float, x: Array) -> Array:
    """``Gamma(a, max(x, 1))``, a <= 1/2, from the innermost denominator outwards."""
    at = np.clip(x, 1.0, FAINTEST_X)
    below = at + 2.0 * FRACTION_STEPS + 1.0 - a
    for k in range(FRACTION_STEPS, 0, -1):
        below = at + 2.0 * k - 1.0 - a - k * (k - a) / below
    return np.asarray(np.exp(a * np.log(at) - at) / below) * (x <= FAINTEST_X)


@cache
def gauss_legendre(number: int) -> tuple[Array, Array]:
    """Nodes in [-1/2, 1/2] and weights that sum to 1, read-only."""
    nodes, weights = (one / 2.0 for one in np.polynomial.legendre.leggauss(number))
    for values in (nodes, weights):
        values.setflags(write=False)
    return nodes, weights


def sampled(law: Law, deviates: Array, *, brightest: float, faintest: float) -> Array:
    """Magnitudes by a law, from uniform deviates: the inverse of the cumulative function, to rounding.

    The cell of a deviate is looked up in the cumulative function; inside, Newton's method solves its integral.

    Parameters
    ----------
    law : Law
    deviates : float64 (n,)
        In [0, 1).
    brightest, faintest : float
        Window of the magnitudes.
    """
    edges = np.linspace(brightest, faintest, int(np.ceil((faintest - brightest) / CELL_MAG)) + 1)
    cumulative = law.brighter(edges) - law.brighter(brightest)
    wanted = deviates * cumulative[-1]
    cell = np.clip(np.searchsorted(cumulative, wanted, side="right") - 1, 0, edges.size - 2)
    inside, bright, faint = wanted - cumulative[cell], edges[cell], edges[cell + 1]
    share = inside / np.maximum(cumulative[cell + 1] - cumulative[cell], np.finfo(float).tiny)
    return _solved(law.density, inside, bright, faint, bright + np.clip(share, 0.0, 1.0) * (faint - bright))


def _solved(
    density: Callable[[Array], Array], wanted: Array, bright: Array, faint: Array, start: Array
) -> Array:
    """Where the integral from the bright ends takes the wanted values: Newton inside brackets."""
    nodes, weights = gauss_legendre(3)
    low, high, at = bright.copy(), faint.copy(), start
    for _ in range(NEWTON_STEPS):
        length = at - bright
        points = bright[:, None] + length[:, None] * (nodes + 0.5)
        miss = length * (density(points) @ weights) - wanted
        low, high = np.where(miss <= 0.0, at, low), np.where(miss > 0.0, at, high)
        slope = np.maximum(density(at), np.finfo(float).tiny)
        step = at - miss / slope
        at = np.where((step >= low) & (step <= high), step, 0.5 * (low + high))
    return at


def distances(redshift: ArrayLike, *, h0: float, omega_m: float) -> tuple[Array, Array]:
    """Distance modulus, mag, and comoving volume per redshift and square degree, Mpc3 deg-2.

    Parameters
    ----------
    redshift : array_like
        > 0.
    h0 : float
        Hubble constant, km s-1 Mpc-1.
    omega_m : float
        Matter density parameter; the universe is flat.
    """
    from astropy.cosmology import FlatLambdaCDM  # costs more than all else here, and few runs need it

    model, z = FlatLambdaCDM(H0=h0, Om0=omega_m), np.asarray(redshift, np.float64)
    per_steradian = np.asarray(model.differential_comoving_volume(z).value, np.float64)
    return np.asarray(model.distmod(z).value, np.float64), per_steradian * np.radians(1.0) ** 2
