"""Fluxes with noise added, against lower and upper bounds."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["within"]

Floats = NDArray[np.float64]


@njit(cache=True, nogil=True)
def within(
    flux: Floats, widening: Floats, variance: Floats, deviates: NDArray[Any], largest: float, noise: Floats,
    flux_low: Floats, flux_high: Floats, snr_low: Floats, snr_high: Floats,
    pairs: NDArray[np.int64], ratio_low: Floats, ratio_high: Floats,
    passed: NDArray[np.bool_], counts: NDArray[np.int64],
) -> None:  # fmt: skip
    """Whether every noisy flux of an object lies within its bounds, realisation by realisation.

    The noise of object j in band b is ``s = noise[b] * widening[b, j]``; of it ``sqrt(s**2 - variance[b, j])`` is
    added, nothing where the object is noisier than that already.

    Parameters
    ----------
    flux, widening, variance : float64 (bands, n)
        Flux, factor on the noise, variance that the flux has already.
    deviates : float (bands, n, realisations)
        Standard normal.
    largest : float
        Of all deviates without their signs: what it cannot move across a bound is decided at once.
    noise : float64 (bands,)
    flux_low, flux_high, snr_low, snr_high : float64 (bands,)
        Bounds, inclusive, of the noisy flux and of its ratio to s; infinite where there is none.
    pairs, ratio_low, ratio_high : int64 (k, 2), float64 (k,), float64 (k,)
        Bounds, inclusive, of the ratio of the noisy fluxes of two bands; their bounds let positive ones pass alone.
    passed : bool (n, realisations)
        Output.
    counts : int64 (n,)
        Output: how many realisations pass.
    """
    bands, count, realisations = deviates.shape
    added = np.zeros(bands)
    for j in range(count):
        alive = realisations
        for r in range(realisations):
            passed[j, r] = True
        for b in range(bands):
            total = noise[b] * widening[b, j]
            excess = total * total - variance[b, j]
            added[b] = np.sqrt(excess) if excess > 0.0 else 0.0
            low = max(flux_low[b], snr_low[b] * total)
            high = min(flux_high[b], snr_high[b] * total)
            lowest, highest = flux[b, j] - added[b] * largest, flux[b, j] + added[b] * largest
            if low <= lowest and highest <= high:
                continue
            alive = 0
            if lowest <= high and low <= highest:
                for r in range(realisations):
                    value = flux[b, j] + added[b] * deviates[b, j, r]
                    passed[j, r] &= low <= value <= high
                    alive += passed[j, r]
            if alive == 0:
                for r in range(realisations):
                    passed[j, r] = False
                break
        if alive > 0 and pairs.shape[0] > 0:
            alive = 0
            for r in range(realisations):
                for k in range(pairs.shape[0]):
                    a, b = pairs[k, 0], pairs[k, 1]
                    one = flux[a, j] + added[a] * deviates[a, j, r]
                    other = flux[b, j] + added[b] * deviates[b, j, r]
                    passed[j, r] &= ratio_low[k] * other <= one <= ratio_high[k] * other
                alive += passed[j, r]
        counts[j] = alive
