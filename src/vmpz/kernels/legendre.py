"""Associated Legendre functions along rings: the inner sums of a spherical harmonic analysis.

Normalised functions lambda_lm, so that Y_lm = lambda_lm(cos theta) exp(i m phi), by upward recurrence in l (as in
Gorski et al. 2005, and Press et al., Numerical Recipes 6.7). lambda_mm falls as sin(theta)**m below the least float64
at high m, so a column starts with an exponent of its own and joins the sums when it has grown to 2**-200; what it
would have added before is less than rounding of the rest.
"""

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["add_rings", "column"]

FloatArray = NDArray[np.float64]
Array = NDArray[Any]

JOIN = -200.0
"""Binary exponent from which a column counts."""
GROWN = 2.0**400
SHRINK = 2.0**-400


@njit(cache=True, nogil=True)
def add_rings(z: FloatArray, sine: FloatArray, north: Array, south: Array, lmax: int, alm: Array) -> None:
    """Add pairs of rings at z and -z to the coefficients: alm += sum over rings of lambda_lm F_m.

    Parameters
    ----------
    z, sine : float64 (n,)
        cos(theta) >= 0 of the northern ring of each pair, and sin(theta).
    north, south : complex128 (n, lmax + 1)
        Fourier sums F_m of the two rings, the weight of a cell included; zero where there is no ring. On the equator
        all stands in `north`.
    lmax : int
    alm : complex128 ((lmax + 1)(lmax + 2)/2,)
        a_lm at m (2 lmax + 1 - m)/2 + l; added to.
    """
    factor, back, sums = np.empty(lmax + 1), np.zeros(lmax + 1), np.empty((2, lmax + 1))
    log_start = math.log2(1.0 / math.sqrt(4.0 * math.pi))
    for m in range(lmax + 1):
        if m > 0:
            log_start += 0.5 * math.log2((2.0 * m + 1.0) / (2.0 * m))
        for degree in range(m + 1, lmax + 1):
            factor[degree] = math.sqrt(
                (4.0 * degree * degree - 1.0) / ((degree - m) * np.float64(degree + m))
            )
            back[degree] = factor[degree] / factor[degree - 1] if degree > m + 1 else 0.0
        sums[:] = 0.0
        for k in range(z.size):
            even, odd = north[k, m] + south[k, m], north[k, m] - south[k, m]
            if even == 0.0 and odd == 0.0:
                continue
            exponent = log_start + (m * math.log2(sine[k]) if m > 0 else 0.0)
            degree, before, value = _joining(z[k], m, lmax, exponent, factor, back)
            if (degree - m) & 1:
                even, odd = odd, even
            _climb(z[k], degree, lmax, before, value, even, odd, factor, back, sums)
        sign = -1.0 if m & 1 else 1.0
        place = m * (2 * lmax + 1 - m) // 2
        for degree in range(m, lmax + 1):
            alm[place + degree] += sign * complex(sums[0, degree], sums[1, degree])


@njit(cache=True, nogil=True)
def _climb(
    x: float,
    degree: int,
    lmax: int,
    before: float,
    value: float,
    even: complex,
    odd: complex,
    factor: FloatArray,
    back: FloatArray,
    sums: FloatArray,
) -> None:
    """Add a column from a degree on, two degrees at a time: those of `even` and those of `odd`."""
    real, imag, odd_real, odd_imag = even.real, even.imag, odd.real, odd.imag
    while degree < lmax:
        above = factor[degree + 1] * x * value - back[degree + 1] * before
        sums[0, degree] += real * value
        sums[1, degree] += imag * value
        sums[0, degree + 1] += odd_real * above
        sums[1, degree + 1] += odd_imag * above
        degree += 2
        if degree <= lmax:
            before, value = above, factor[degree] * x * above - back[degree] * value
    if degree == lmax:
        sums[0, degree] += real * value
        sums[1, degree] += imag * value


@njit(cache=True, nogil=True)
def _joining(
    x: float, m: int, lmax: int, exponent: float, factor: FloatArray, back: FloatArray
) -> tuple[int, float, float]:
    """The degree at which a column has grown to 2**JOIN, its value there and the one before."""
    before, value, degree = 0.0, 1.0, m
    while degree <= lmax:
        if value != 0.0 and exponent + math.log2(abs(value)) >= JOIN:
            return degree, _scaled(before, exponent), _scaled(value, exponent)
        degree += 1
        if degree > lmax:
            break
        before, value = value, factor[degree] * x * value - back[degree] * before
        if abs(value) > GROWN:
            before, value, exponent = before * SHRINK, value * SHRINK, exponent + 400.0
    return lmax + 1, 0.0, 0.0


@njit(cache=True, nogil=True)
def _scaled(value: float, exponent: float) -> float:
    """``value * 2**exponent``, in two steps, neither of which leaves the range of float64."""
    half = 0.5 * exponent
    return float(value * 2.0**half * 2.0**half)


@njit(cache=True, nogil=True)
def column(z: float, m: int, lmax: int, out: FloatArray) -> None:
    """lambda_lm(z) of one m, for l = 0 ... lmax; 0 below m and where it is less than 2**-200."""
    out[:] = 0.0
    north, south = np.zeros((1, lmax + 1), np.complex128), np.zeros((1, lmax + 1), np.complex128)
    north[0, m] = 1.0
    alm = np.zeros((lmax + 1) * (lmax + 2) // 2, np.complex128)
    heights, sines = np.array([abs(z)]), np.array([math.sqrt(1.0 - z * z)])
    add_rings(heights, sines, north, south, lmax, alm)
    for degree in range(m, lmax + 1):
        value = alm[m * (2 * lmax + 1 - m) // 2 + degree].real
        out[degree] = -value if z < 0.0 and (degree + m) & 1 else value
