"""Tests by separation: nearest neighbours, pairs in a cap, the power spectrum of the shot noise."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.special import kolmogorov

from vmpz.make.checks import Check, by_p, left_out, p_of_chi2
from vmpz.make.harmonics import power_spectrum
from vmpz.make.paircounts import cap_pair_fraction, pair_correlation, pair_fractions, pair_scatter
from vmpz.make.tally import Tally
from vmpz.sky import hpx
from vmpz.sky.skymap import SkyMap

__all__ = ["neighbours_check", "pairs_check", "spectrum_check"]

Floats = NDArray[np.float64]

FEW = 200
"""Objects below which separations tell nothing."""
TESTED = 16_000
"""Objects whose nearest neighbour is looked at: an eighth of them, so that few share one distance."""
DISC_POINTS = 64
FARTHEST = 9.0
"""Neighbours expected within the discs that must be whole: all but exp(-9) of the distances end in them."""
BINS = 12
SPECTRUM_ORDER = 10
SPECTRUM_STEPS = 2e8
"""Steps of the Legendre recurrence that a spectrum may take: a second or two."""
LEAST_MODES = 8.0
"""Independent modes of a band of the spectrum."""


# -- nearest neighbours -----------------------------------------------------------------------------------------------


def neighbours_check(tally: Tally) -> Check:
    """P(> r) = exp(-expected objects within r), Kolmogorov-Smirnov; pi n r^2 where the density n is constant."""
    meaning = "Kolmogorov-Smirnov distance of nearest neighbours"
    sample = tally.near
    if len(sample) < FEW:
        return left_out("neighbours", meaning, f"{len(sample)} objects are too few")
    vectors = sample.vectors.T
    tested = np.flatnonzero(sample.deviate < min(0.125, TESTED / len(sample)))
    density = _Density(tally, sample.share)
    farthest = _disc_radius(density, vectors[tested], tally)
    tested, farthest = tested[farthest > 0], farthest[farthest > 0]
    if tested.size < FEW // 8:
        return left_out("neighbours", meaning, "too few objects whose surroundings are observed as a whole")
    chord, _ = cKDTree(vectors).query(vectors[tested], k=2)
    radius = 2.0 * np.arcsin(np.minimum(chord[:, 1] / 2.0, 1.0))
    expected = density.within(vectors[tested], radius)
    u = np.sort(-np.expm1(-expected))
    steps = np.arange(u.size + 1) / u.size
    distance = float(max(np.max(steps[1:] - u), np.max(u - steps[:-1])))
    p = float(kolmogorov(distance * (math.sqrt(u.size) + 0.12 + 0.11 / math.sqrt(u.size))))
    mean = math.degrees(math.sqrt(float(np.median(radius**2)))) * 3600.0
    curves = {"expected": np.sort(expected), "beyond": 1.0 - steps[:-1]}
    note = f"{u.size} objects, median distance {mean:.3g} arcsec"
    return by_p("neighbours", distance, meaning, p, note=note, curves=curves)


class _Density:
    """Objects of the near sample per steradian, by cell; 0 outside its regions."""

    def __init__(self, tally: Tally, share: float) -> None:
        here = tally.near_cells
        number = tally.expectation.cells.cells()[here]
        area = hpx.cell_area_sr(tally.expectation.order)
        objects = tally.expected / tally.mean_weight[0]
        self.map = SkyMap.from_cells(tally.expectation.order, number, objects[here] * share / area)
        self.whole = SkyMap.from_cells(tally.expectation.order, number, tally.expectation.whole[here])

    def within(self, vectors: Floats, radius: Floats) -> Floats:
        """Objects expected within discs (radius in radians), by points of equal area in them."""
        lon, lat = _discs(vectors, radius)
        return np.asarray(self.map.at(lon, lat, 0.0).mean(axis=1) * 4.0 * math.pi * np.sin(radius / 2.0) ** 2)

    def are_whole(self, vectors: Floats, radius: Floats) -> NDArray[np.bool_]:
        """Whether no cell of a disc is observed in part."""
        lon, lat = _discs(vectors, radius)
        return np.asarray(np.all(self.whole.at(lon, lat, 1.0) > 0, axis=1))


def _disc_radius(density: _Density, vectors: Floats, tally: Tally) -> Floats:
    """Radius of the disc in which the neighbour is looked for, radians; 0 where it touches a cell observed in part.

    It does not depend on where the neighbour is, so leaving discs out does not change the law of distances.
    """
    lon, lat = _positions(vectors)
    here = np.maximum(density.map.at(lon, lat, 0.0), 1e-300)
    radius = 2.0 * np.arcsin(np.sqrt(np.minimum(FARTHEST / (4.0 * math.pi * here), 1.0)))
    if np.all(tally.expectation.whole):
        return radius
    return np.where(density.are_whole(vectors, radius), radius, 0.0)


def _discs(vectors: Floats, radius: Floats) -> tuple[Floats, Floats]:
    """Positions (n, DISC_POINTS), degrees, that cover discs evenly: a sunflower (Vogel 1979)."""
    k = np.arange(DISC_POINTS)
    height = (k + 0.5) / DISC_POINTS * 2.0 * np.sin(radius / 2.0)[:, None] ** 2  # 1 - cos
    turn = k * math.pi * (3.0 - math.sqrt(5.0)) + 2.0 * math.pi * np.modf(vectors[:, :1] * 1e6)[0]
    side = np.sqrt(height * (2.0 - height))
    pole = np.where(np.abs(vectors[:, 2:]) < 0.9, [[0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]])
    east = np.cross(pole, vectors)
    east /= np.linalg.norm(east, axis=1, keepdims=True)
    north = np.cross(vectors, east)
    points = (
        vectors[:, None] * (1.0 - height)[..., None]
        + east[:, None] * (side * np.cos(turn))[..., None]
        + north[:, None] * (side * np.sin(turn))[..., None]
    )
    return _positions(points)


def _positions(vectors: Floats) -> tuple[Floats, Floats]:
    x, y, z = (vectors[..., k] for k in range(3))
    return np.degrees(np.arctan2(y, x)), np.degrees(np.arctan2(z, np.hypot(x, y)))


# -- pairs ------------------------------------------------------------------------------------------------------------


def pairs_check(tally: Tally, visibility: SkyMap) -> Check:
    """Pairs of the objects in a cap against its closed form, times <V V'>/<V>^2 where V is not constant."""
    meaning = "largest deviation of pair counts, in sigma"
    cap, sample = tally.cap, tally.capped
    if cap is None:
        return left_out(
            "pairs", meaning, "no cap of more than two cells lies inside the map (--cap names one)"
        )
    if len(sample) < FEW:
        return left_out("pairs", meaning, f"{len(sample)} objects in the cap are too few")
    widest = min(2.0 * cap.radius_deg, 180.0)
    edges = np.geomspace(cap.radius_deg / 15.0, 0.95 * widest, BINS + 1)
    correlation = pair_correlation(visibility, cap, edges)
    (found,), _ = pair_fractions(sample.vectors, sample.weight[None], edges)
    expected = cap_pair_fraction(edges, cap.radius_deg) * correlation
    number = float(np.sum(sample.weight)) ** 2 / float(np.sum(sample.weight**2))
    used = expected * (number - 1.0) / 2.0 > 1.0
    if not used.any():
        return left_out("pairs", meaning, "no bin expects more pairs than objects")
    scale = expected[used]
    ratio, error = found[used] / scale, pair_scatter(sample.vectors, sample.weight, edges)[used] / scale
    separation = np.sqrt(edges[1:] * edges[:-1])[used]
    pulls = np.abs(ratio - 1.0) / np.maximum(error, 1.0 / number)
    worst = int(np.argmax(pulls))
    largest = float(pulls[worst])
    note = (
        f"{len(sample)} objects within {cap.radius_deg:.4g} deg of ({cap.lon_deg:.4f}, {cap.lat_deg:+.4f}); worst at "
        f"{separation[worst]:.3g} deg, {100 * (ratio[worst] - 1.0):+.2f} %"
    )
    curves = {"separation": separation, "ratio": ratio, "error": error}
    return by_p("pairs", largest, meaning, min(1.0, pulls.size * math.erfc(largest / math.sqrt(2.0))), note=note,
                curves=curves)  # fmt: skip


# -- spectrum ---------------------------------------------------------------------------------------------------------


def spectrum_check(tally: Tally) -> Check:
    """Pseudo-spectrum of (n - nbar V)/nbar over its flat expectation, (1/nbar) <V>: chi-square of bands."""
    meaning = "chi-square of bands of the spectrum"
    field, variance, visibility = _coarse(tally)
    order = field.order
    lmax = 2 << order
    held = variance.values
    share = float(np.sum(held)) ** 2 / (float(np.sum(held**2)) * hpx.number_of_cells(order))
    least = math.ceil(180.0 / math.degrees(math.sqrt(4.0 * math.pi * share)))
    edges = _bands(least, lmax, share)
    if edges.size < 3:
        return left_out("spectrum", meaning, f"the map is too small: fewer than two bands up to l = {lmax}")
    noise = float(np.sum(held)) * hpx.cell_area_sr(order) ** 2 / (4.0 * math.pi)
    spectrum, masked = power_spectrum(field, lmax) / noise, power_spectrum(visibility, lmax)
    modes = 2.0 * np.arange(lmax + 1) + 1.0
    inside = slice(0, edges[-1])
    band = np.add.reduceat((modes * spectrum)[inside], edges[:-1]) / np.add.reduceat(
        modes[inside], edges[:-1]
    )
    covariance = _band_covariance(edges, masked, share) + 1.0 / float(np.sum(tally.counts))
    chi2, p = _chi2_of_bands(band, covariance)
    curves = {
        "l": (edges[1:] + edges[:-1] - 1.0) / 2.0, "ratio": band, "error": np.sqrt(np.diag(covariance)),
        "mask_l": np.arange(1.0, lmax + 1.0), "mask": masked[1:] / max(masked[0], 1e-300),
    }  # fmt: skip
    note = f"{band.size} bands, l = {edges[0]}-{edges[-1] - 1}, order {order}, sky share {share:.3g}"
    return by_p("spectrum", chi2, meaning, p, even=True, note=note, curves=curves)


def _coarse(tally: Tally) -> tuple[SkyMap, SkyMap, SkyMap]:
    """(n - nbar V)/nbar per steradian, its variance, and V, in cells whose spectrum can be made in a moment."""
    number, order = tally.expectation.cells.cells(), tally.expectation.order
    coarse = min(order, SPECTRUM_ORDER)
    while coarse > 0 and _steps(number >> (2 * (order - coarse)), coarse) > SPECTRUM_STEPS:
        coarse -= 1
    parent, group = np.unique(number >> (2 * (order - coarse)), return_inverse=True)
    unit = tally.density_sr * hpx.cell_area_sr(coarse)
    field = np.bincount(group, tally.sums - tally.expected) / unit
    variance = np.bincount(group, tally.expected * tally.mean_weight[1]) / unit**2
    visibility = np.bincount(group, tally.expectation.visibility) / 4.0 ** (order - coarse)
    return tuple(SkyMap.from_cells(coarse, parent, one) for one in (field, variance, visibility))  # type: ignore[return-value]


def _steps(parent: NDArray[np.int64], order: int) -> float:
    """Steps of the recurrence: rings that the cells lie on times half the square of lmax."""
    _, lat = hpx.centres(np.unique(parent), order)
    rings = np.unique(np.round(np.abs(lat) * (4 << order)).astype(np.int64)).size
    return 0.5 * rings * float(2 << order) ** 2


def _bands(least: int, lmax: int, share: float) -> NDArray[np.int64]:
    """Edges of bands, wider than `least` and than what holds `LEAST_MODES`, growing by a fifth."""
    edges = [max(least, 2)]
    while True:
        low = edges[-1]
        high = max(low + max(least, 2), math.ceil(1.2 * low))
        high = max(high, math.ceil(math.sqrt(low**2 + LEAST_MODES / share)))
        if high > lmax + 1:
            return np.array(edges, np.int64)
        edges.append(high)


def _band_covariance(edges: NDArray[np.int64], mask: Floats, share: float) -> Floats:
    """Covariance of band powers of white noise on part of the sky, over the noise squared.

    Modes a distance d apart in l are correlated as the spectrum of the mask, projected on one axis: the flat-sky limit
    of the coupling of Hivon et al. 2002 (ApJ 567, 2). Its sum is that of 2/modes.
    """
    lmax = mask.size - 1
    distance, degree = np.arange(lmax + 1.0)[:, None], np.arange(lmax + 1.0)[None, :]
    kernel = np.empty(lmax + 1)
    for start in range(0, lmax + 1, 256):
        d = distance[start : start + 256]
        outer = np.sqrt(np.maximum((degree + 0.5) ** 2 - d**2, 0.0))
        inner = np.sqrt(np.maximum((degree - 0.5) ** 2 - d**2, 0.0)) * (degree > 0)
        kernel[start : start + 256] = ((outer - inner) * mask).sum(axis=1)
    both = np.concatenate((kernel[:0:-1], kernel))
    from scipy.signal import fftconvolve  # costs as much as half of what a report imports

    both /= both.sum()
    root = np.sqrt(2.0 * np.arange(lmax + 1) + 1.0)
    count = edges.size - 1
    covariance, norm = np.empty((count, count)), np.empty(count)
    for b in range(count):
        one = np.zeros(lmax + 1)
        one[edges[b] : edges[b + 1]] = root[edges[b] : edges[b + 1]]
        norm[b] = np.sum(one**2)
        spread = fftconvolve(one, both)[lmax : 2 * lmax + 1] * root
        covariance[b] = np.add.reduceat(spread[: edges[-1]], edges[:-1])
    covariance = 0.5 * (covariance + covariance.T)
    return np.asarray(2.0 / share * covariance / np.outer(norm, norm))


def _chi2_of_bands(band: Floats, covariance: Floats) -> tuple[float, float]:
    """Chi-square and p of band powers over their expectation.

    A band of nu modes follows chi-square/nu, made normal by its cube root (Wilson & Hilferty 1931).
    """
    pull = np.cbrt(np.maximum(band, 0.0)) - (1.0 - np.diag(covariance) / 9.0)
    chi2 = float(pull @ np.linalg.solve(covariance / 9.0, pull))
    return chi2, p_of_chi2(chi2, float(band.size))
