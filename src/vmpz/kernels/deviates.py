"""Poisson and binomial counts that are functions of a counter, the same bits on every machine.

Counts of a mean below `INVERTED` come from the inverse of the distribution function, others from transformed rejection
with a squeeze: PTRS (Hormann 1993, Insurance: Mathematics and Economics 12, 39) and BTRS (Hormann 1993, Journal of
Statistical Computation and Simulation 46, 101). Probabilities are compared in the saddle-point form of Loader (2000,
"Fast and accurate computation of binomial probabilities"), in which nothing cancels however large the counts.

Everything is decided by IEEE sums, products, quotients and square roots of float64, never fused: `exp`, `log` and
`log1p` are written out here (after fdlibm, Sun Microsystems 1993), as those of C libraries differ between machines.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from vmpz.kernels.philox import philox, unit

__all__ = ["binomial", "exp", "log", "log1p", "poisson", "poisson_counts"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

INVERTED = 30.0
TAIL = 1e-20  # of the probability, where an inversion ends: far below the grain of a deviate, above the first terms
TOGETHER = 512  # cells

BIAS, MANTISSA_BITS = np.int64(1023), np.int64(52)
MANTISSA = np.int64(0x000FFFFFFFFFFFFF)
ONE, ROOT_HALF = np.int64(0x3FF0000000000000), np.int64(0x3FE6A09E667F3BCD)  # bits of 1 and of sqrt(1/2)
LN2_HIGH, LN2_LOW, INVERSE_LN2 = (
    6.93147180369123816490e-01,
    1.90821492927058770002e-10,
    1.44269504088896338700,
)
HALF_LN_2PI = 0.91893853320467274178
STIRLING = np.array(
    [
        0.0,
        0.08106146679532726,
        0.0413406959554093,
        0.02767792568499834,
        0.020790672103765093,
        0.016644691189821193,
        0.013876128823070748,
        0.01189670994589177,
        0.010411265261972096,
        0.009255462182712733,
        0.00833056343336287,
        0.007573675487951841,
        0.00694284010720953,
        0.006408994188004207,
        0.0059513701127588475,
        0.005554733551962801,
    ]
)
"""ln(k!) - ln(sqrt(2 pi k) (k / e)**k) of k = 1 to 15."""


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def exp(x: float) -> float:
    """Exponential function of x in [-700, 700], within 1 ulp."""
    k = math.floor(INVERSE_LN2 * x + 0.5)
    high, low = x - k * LN2_HIGH, k * LN2_LOW
    r = high - low
    t = r * r
    c = 6.61375632143793436117e-05 + t * (-1.65339022054652515390e-06 + t * 4.13813679705723846039e-08)
    c = r - t * (1.66666666666666019037e-01 + t * (-2.77777777770155933842e-03 + t * c))
    power = np.int64((np.int64(k) + BIAS) << MANTISSA_BITS).view(np.float64)
    return float((1.0 - ((low - (r * c) / (2.0 - c)) - high)) * power)


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def log(x: float) -> float:
    """Natural logarithm of a normal positive x, within 1 ulp."""
    bits = np.float64(x).view(np.int64) + (ONE - ROOT_HALF)
    k = float((bits >> MANTISSA_BITS) - BIAS)
    f = np.int64((bits & MANTISSA) + ROOT_HALF).view(np.float64) - 1.0
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    even = w * (3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01))
    odd = 2.857142874366239149e-01 + w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01)
    odd = z * (6.666666666666735130e-01 + w * odd)
    half = 0.5 * f * f
    return float(k * LN2_HIGH - ((half - (s * (half + (even + odd)) + k * LN2_LOW)) - f))


@njit(cache=True, nogil=True, error_model="numpy")
def log1p(x: float) -> float:
    """ln(1 + x) of x in (-1, 1], within 2 ulp."""
    whole = 1.0 + x
    if whole == 1.0:
        return float(x)
    return float(log(whole) + (x - (whole - 1.0)) / whole)


@njit(cache=True, nogil=True, error_model="numpy")
def _rarity(k: float, mean: float, excess: float) -> float:
    """Minus the logarithm of the Poisson probability of k where `mean` are expected; `excess` is their difference.

    The Stirling error of k and Loader's deviance, k ln(k / mean) - excess.
    """
    if k == 0.0:
        return float(mean)
    v = excess / (k + mean)
    if abs(v) < 0.5:
        deviance, term, last, j = excess * v, 2.0 * k * v, np.inf, 1.0
        while deviance != last:
            last = deviance
            term *= v * v
            j += 2.0
            deviance += term / j
    else:
        deviance = k * log(k / mean) - excess
    if k < 16.0:
        stirling = STIRLING[int(k)]
    else:
        q = 1.0 / (k * k)
        stirling = (1 / 12 - q * (1 / 360 - q * (1 / 1260 - q * (1 / 1680 - q * (1 / 1188))))) / k
    return float(stirling + deviance + 0.5 * log(k) + HALF_LN_2PI)


@njit(cache=True, nogil=True, error_model="numpy")
def _poisson_rejected(
    mean: float, c1: np.uint64, c2: np.uint64, c3: np.uint64, k0: np.uint64, k1: np.uint64
) -> int:
    """PTRS; the integer part of the mean is added last, so that a large one costs no digits."""
    b = 0.931 + 2.53 * math.sqrt(mean)
    a = -0.059 + 0.02483 * b
    scale = 1.1239 + 1.1328 / (b - 3.4)
    squeeze = 0.9277 - 3.6224 / (b - 2.0)
    whole = np.floor(mean)
    block = np.uint64(0)
    while True:
        w0, w1, w2, w3 = philox(block, c1, c2, c3, k0, k1)
        block = block + np.uint64(1)
        for second in range(2):
            u, v = unit(w2 if second else w0) - 0.5, 1.0 - unit(w3 if second else w1)
            room = 0.5 - abs(u)
            if room < 0.013 and v > room:
                continue
            excess = np.floor((2.0 * a / room + b) * u + ((mean - whole) + 0.43))
            k = whole + excess
            if k < 0.0:
                continue
            if room >= 0.07 and v <= squeeze:
                return int(k)
            if log(v * scale / (a / (room * room) + b)) <= -_rarity(k, mean, excess - (mean - whole)):
                return int(k)


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _poisson_inverted(mean: float, probability: float, u: float) -> int:
    """Inversion of a deviate, of a mean below `INVERTED`; `probability` is that of none."""
    total, k = probability, 0
    while u >= total and probability > TAIL:
        k += 1
        probability *= mean / k
        total += probability
    return k


@njit(cache=True, nogil=True, error_model="numpy")
def poisson(mean: float, c1: np.uint64, c2: np.uint64, c3: np.uint64, k0: np.uint64, k1: np.uint64) -> int:
    """Poisson count that is a function of a counter and a key.

    Parameters
    ----------
    mean : float
        Up to 2**50; 0 where it is not positive.
    c1, c2, c3, k0, k1 : uint64
        The blocks of the counters (0, c1, c2, c3), (1, c1, c2, c3), ... under the key (k0, k1) are taken.
    """
    if mean >= INVERTED:
        return int(_poisson_rejected(mean, c1, c2, c3, k0, k1))
    if not mean > 0.0:
        return 0
    return int(_poisson_inverted(mean, exp(-mean), unit(philox(np.uint64(0), c1, c2, c3, k0, k1)[0])))


@njit(cache=True, nogil=True, error_model="numpy")
def _binomial_inverted(n: float, p: float, u: float) -> int:
    """Inversion of a deviate, of a mean below `INVERTED`, p <= 1/2."""
    odds = p / (1.0 - p)
    probability = exp(n * log1p(-p))
    total, k = probability, 0.0
    while u >= total and probability > TAIL and k < n:
        probability *= (n - k) / (k + 1.0) * odds
        k += 1.0
        total += probability
    return int(k)


@njit(cache=True, nogil=True, error_model="numpy")
def _binomial_rejected(
    n: float, p: float, c1: np.uint64, c2: np.uint64, c3: np.uint64, k0: np.uint64, k1: np.uint64
) -> int:
    """BTRS, p <= 1/2: a binomial probability is the product of two of Poisson but for a constant."""
    mean, others = n * p, n * (1.0 - p)
    width = math.sqrt(mean * (1.0 - p))
    b = 1.15 + 2.53 * width
    a = -0.0873 + 0.0248 * b + 0.01 * p
    scale = (2.83 + 5.1 / b) * width
    squeeze = 0.92 - 4.2 / b
    whole, mode = np.floor(mean), np.floor((n + 1.0) * p)
    part = mean - whole
    most = _rarity(mode, mean, (mode - whole) - part) + _rarity(n - mode, others, part - (mode - whole))
    block = np.uint64(0)
    while True:
        w0, w1, w2, w3 = philox(block, c1, c2, c3, k0, k1)
        block = block + np.uint64(1)
        for second in range(2):
            u, v = unit(w2 if second else w0) - 0.5, 1.0 - unit(w3 if second else w1)
            room = 0.5 - abs(u)
            excess = np.floor((2.0 * a / room + b) * u + (part + 0.5))
            k = whole + excess
            if not 0.0 <= k <= n:
                continue
            if room >= 0.07 and v <= squeeze:
                return int(k)
            rarity = _rarity(k, mean, excess - part) + _rarity(n - k, others, part - excess)
            if log(v * scale / (a / (room * room) + b)) <= most - rarity:
                return int(k)


@njit(cache=True, nogil=True, error_model="numpy")
def binomial(
    n: int, p: float, c1: np.uint64, c2: np.uint64, c3: np.uint64, k0: np.uint64, k1: np.uint64
) -> int:
    """Binomial count that is a function of a counter and a key.

    Parameters
    ----------
    n : int
        Up to 2**50; 0 where it is not positive.
    p : float
        0 where it is not positive, n from 1 on.
    c1, c2, c3, k0, k1 : uint64
        As for `poisson`.
    """
    if n <= 0 or not p > 0.0:
        return 0
    if p >= 1.0:
        return n
    rarer = min(p, 1.0 - p)
    if n * rarer >= INVERTED:
        k = _binomial_rejected(float(n), rarer, c1, c2, c3, k0, k1)
    else:
        k = _binomial_inverted(float(n), rarer, unit(philox(np.uint64(0), c1, c2, c3, k0, k1)[0]))
    return int(k if p <= 0.5 else n - k)


@njit(cache=True, nogil=True, error_model="numpy")
def poisson_counts(
    means: FloatArray, uniq: IntArray, stream: np.uint64, batch: np.uint64,
    k0: np.uint64, k1: np.uint64, out: IntArray,
) -> None:  # fmt: skip
    """Poisson counts of cells, each a function of its own number; those of `poisson`.

    Step by step for some cells together: where a count ends cannot be foreseen, and should not hold up the next block.

    Parameters
    ----------
    means : float64 (n,)
    uniq : int64 (n,)
        Cells by their NUNIQ numbers: second word of their counters.
    stream, batch : uint64
        Third and fourth word.
    k0, k1 : uint64
        Key.
    out : int64 (n,)
    """
    stream, batch = np.uint64(stream), np.uint64(batch)
    u, none = np.empty(TOGETHER), np.empty(TOGETHER)
    for first in range(0, means.size, TOGETHER):
        mean, cell, count = (
            means[first : first + TOGETHER],
            uniq[first : first + TOGETHER],
            out[first : first + TOGETHER],
        )
        for i in range(mean.size):
            if mean[i] < INVERTED:
                u[i] = unit(philox(np.uint64(0), np.uint64(cell[i]), stream, batch, k0, k1)[0])
        for i in range(mean.size):
            none[i] = exp(-mean[i] if 0.0 < mean[i] < INVERTED else 0.0)
        for i in range(mean.size):
            if mean[i] >= INVERTED:
                count[i] = _poisson_rejected(mean[i], np.uint64(cell[i]), stream, batch, k0, k1)
            else:
                count[i] = _poisson_inverted(mean[i], none[i], u[i])
