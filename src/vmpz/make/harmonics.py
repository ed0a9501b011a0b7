r"""Power spectra of maps on part of the sky, without a full-sky array.

Definition: a_lm = sum over cells of Omega f Y*_lm(centre), absent cells 0; C_l = sum over m of abs(a_lm)^2/(2l + 1):
the pseudo-spectrum, neither divided by the share of the sky nor freed of the cell's window. Rings of HEALPix (Gorski et
al. 2005, ApJ 622, 759) are summed over longitude by FFT, then over latitude by Legendre functions
(`vmpz.kernels.legendre`).

The libraries that analyse HEALPix maps (healpy, ducc0 and what stands on them) are under the GPL; this is our own and
healpy's `map2alm` without iterations is its oracle in the tests.

Shot noise: for N points that follow nbar V, the field (n - nbar V)/nbar, summed in cells, has the flat pseudo-spectrum
(1/nbar) integral V dOmega/4 pi: cells are summed exactly, so the window of the cell does not enter.
"""

import math

import numpy as np
from numpy.typing import NDArray

from vmpz.kernels.legendre import add_rings
from vmpz.sky import hpx
from vmpz.sky.skymap import SkyMap

__all__ = ["analyse", "cap_spectrum", "power_spectrum", "ring_layout"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Complex = NDArray[np.complex128]


def ring_layout(order: int) -> tuple[Floats, Floats, Ints, Ints, Floats]:
    """Rings of an order from north to south.

    Returns
    -------
    z, sine : float64 (4 nside - 1,)
        cos(theta), and sin(theta) to full precision.
    count, first : int64
        Cells of each ring, and the RING number of its first.
    phase : float64
        Longitude of the first cell, radians.
    """
    nside = 1 << order
    ring = np.arange(1, 4 * nside, dtype=np.int64)
    polar = np.minimum(ring, 4 * nside - ring)
    cap = polar < nside
    count = np.where(cap, 4 * polar, 4 * nside)
    north = np.where(cap, 1.0 - polar**2 / (3.0 * nside**2), (2.0 * nside - ring) * 2.0 / (3.0 * nside))
    z = np.where(cap & (ring > 2 * nside), -north, north)
    small = polar**2 / (3.0 * nside**2)  # 1 - |z| of the caps
    sine = np.where(cap, np.sqrt(small * (2.0 - small)), np.sqrt((1.0 - z) * (1.0 + z)))
    shifted = cap | ((ring - nside) % 2 == 0)
    phase = np.where(shifted, math.pi / count, 0.0)
    return z, sine, count, np.concatenate(([0], np.cumsum(count)[:-1])).astype(np.int64), phase


def analyse(skymap: SkyMap, lmax: int) -> Complex:
    """Harmonic coefficients of a map, absent cells 0.

    Parameters
    ----------
    skymap : SkyMap
    lmax : int
        At most 3 nside, beyond which cells do not tell modes apart.

    Returns
    -------
    complex128 ((lmax + 1)(lmax + 2)/2,)
        a_lm at ``m (2 lmax + 1 - m)/2 + l``, m from 0 on (the map is real).

    Raises
    ------
    ValueError
        `lmax` is negative or above 3 nside.
    """
    nside = 1 << skymap.order
    if not 0 <= lmax <= 3 * nside:
        raise ValueError(f"lmax must lie between 0 and {3 * nside} at order {skymap.order}, found {lmax}")
    alm = np.zeros((lmax + 1) * (lmax + 2) // 2, np.complex128)
    if not len(skymap):
        return alm
    z, sine, count, first, phase = ring_layout(skymap.order)
    number = hpx.to_ring(skymap.cells.cells(), skymap.order)
    by_ring = np.argsort(number)
    number, values = number[by_ring], skymap.values[by_ring].astype(np.float64)
    ring = np.searchsorted(first, number, side="right") - 1
    listed, start = np.unique(ring, return_index=True)
    stop = np.append(start[1:], ring.size)
    pair = np.minimum(listed, 4 * nside - 2 - listed)
    pairs, row = np.unique(pair, return_inverse=True)
    sums = np.zeros((2, pairs.size, lmax + 1), np.complex128)
    for k in range(listed.size):
        one = int(listed[k])
        around = np.zeros(count[one])
        around[number[start[k] : stop[k]] - first[one]] = values[start[k] : stop[k]]
        sums[int(one != pair[k]), row[k]] = _fourier(around, phase[one], lmax)
    sums *= hpx.cell_area_sr(skymap.order)
    add_rings(z[pairs], sine[pairs], sums[0], sums[1], lmax, alm)
    return alm


def _fourier(around: Floats, phase: float, lmax: int) -> Complex:
    """Sums f exp(-i m phi) of a ring, m = 0 ... lmax; a ring of few cells repeats itself in m."""
    m = np.arange(lmax + 1)
    transform = np.fft.fft(around)[m % around.size]
    return np.asarray(transform * np.exp(-1j * phase * m))


def power_spectrum(skymap: SkyMap, lmax: int) -> Floats:
    """Pseudo-spectrum C_l of a map, l = 0 ... `lmax` (see the module); errors as of `analyse`."""
    alm = analyse(skymap, lmax)
    power = np.zeros(lmax + 1)
    for m in range(lmax + 1):
        place = m * (2 * lmax + 1 - m) // 2
        part = alm[place + m : place + lmax + 1]
        power[m:] += (1.0 if m == 0 else 2.0) * (part.real**2 + part.imag**2)
    return power / (2.0 * np.arange(lmax + 1) + 1.0)


def cap_spectrum(radius_deg: float, lmax: int) -> Floats:
    """C_l of a map that is 1 inside a cap: pi (P_(l-1) - P_(l+1))^2/(2l + 1)^2 at cos(radius), pi (1 - cos)^2 at 0."""
    x = math.cos(math.radians(radius_deg))
    legendre = np.empty(lmax + 2)
    legendre[0], legendre[1] = 1.0, x
    for degree in range(1, lmax + 1):
        legendre[degree + 1] = ((2 * degree + 1) * x * legendre[degree] - degree * legendre[degree - 1]) / (
            degree + 1
        )
    spectrum = np.empty(lmax + 1)
    spectrum[0] = 4.0 * math.pi * math.sin(math.radians(radius_deg) / 2.0) ** 4
    degree_ = np.arange(1, lmax + 1)
    spectrum[1:] = math.pi * (legendre[:-2] - legendre[2:]) ** 2 / (2 * degree_ + 1) ** 2
    return spectrum
