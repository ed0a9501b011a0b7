r"""Pairs of points against closed forms: how many of all pairs of uniform points have a separation.

For a region of area A whose overlap with itself, shifted by t and averaged over directions, is A_x(t), the density of
separations is p(t) = 2 pi sin t A_x(t)/A^2. It is known for

* a cap of radius T: A_x = 2 pi - 2 arccos[(cos t - cos^2 T)/sin^2 T] - 4 cos T arccos[cos T tan(t/2)/sin T], t < 2T;
* a band abs(z) < z0: the share of the circle of radius t around a point at height z that stays in the band, over z;
* the full sphere: p = sin t/2.

N points make N(N - 1)/2 times the integral of p over a bin. The scatter of that, relative, is 0.5-0.7/sqrt(N) at large
separations (a point near the edge has fewer neighbours, and all its pairs share it), more where only pairs across the
whole region count, and that of the pairs at small ones. It is estimated from the counts around single points, as for
any U-statistic (Hoeffding 1948): 4 Var(h)/N + 2 f/N^2, h the share of the other points in the bin, f its mean.

Where points follow a visibility V that is not constant, the expectation is that of the cap times <V V'>_t/<V>^2, from
pairs of coarse cells: what the size of the cells does to both of its parts cancels.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from vmpz.errors import InputError
from vmpz.kernels.pairs import count_around, count_pairs
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.regions import Cap, cells_inside
from vmpz.sky.skymap import SkyMap

__all__ = [
    "band_pair_fraction",
    "cap_overlap_sr",
    "cap_pair_fraction",
    "checked_cap",
    "largest_cap",
    "pair_correlation",
    "pair_fractions",
    "pair_scatter",
    "sphere_pair_fraction",
    "unit_vectors",
]

Floats = NDArray[np.float64]

LOOKED_AT = 1000
"""Points around which pairs are counted for their scatter."""
NODES, WEIGHTS = np.polynomial.legendre.leggauss(48)
COARSE_CELLS = 40_000
"""Cells among which the largest cap is looked for."""
PAIRED_CELLS = 16_000
"""Cells whose pairs tell <V V'>."""


# -- closed forms -----------------------------------------------------------------------------------------------------


def cap_overlap_sr(separation_deg: ArrayLike, radius_deg: float) -> Floats:
    """Area that two caps of one radius share, by the distance of their centres, steradian; radius 0 to 180."""
    t = np.radians(np.asarray(separation_deg, np.float64))
    if radius_deg > 90.0:
        both = cap_overlap_sr(separation_deg, 180.0 - radius_deg)  # of what lies outside them
        return 4.0 * math.pi * math.cos(math.radians(180.0 - radius_deg)) + both
    cos, sin = math.cos(math.radians(radius_deg)), math.sin(math.radians(radius_deg))
    inside = t < 2.0 * math.radians(radius_deg)
    t = np.where(inside, t, 0.0)
    lens = 2.0 * np.arcsin(np.minimum(np.sin(t / 2.0) / sin, 1.0))  # = arccos[(cos t - cos^2 T)/sin^2 T]
    sector = np.arccos(np.clip(cos * np.tan(t / 2.0) / sin, -1.0, 1.0))
    return np.where(inside, 2.0 * math.pi - 2.0 * lens - 4.0 * cos * sector, 0.0)


def cap_pair_fraction(edges_deg: ArrayLike, radius_deg: float) -> Floats:
    """Share of the pairs of uniform points of a cap with separations in bins.

    Parameters
    ----------
    edges_deg : array_like (bins + 1,)
        Ascending, 0 to 180.
    radius_deg : float
        Above 0, at most 180 (the sphere).

    Returns
    -------
    float64 (bins,)
        They sum to 1 from 0 to twice the radius.
    """
    if radius_deg == 180.0:
        return sphere_pair_fraction(edges_deg)
    area = 4.0 * math.pi * math.sin(math.radians(radius_deg) / 2.0) ** 2
    limit = min(2.0 * radius_deg, 360.0 - 2.0 * radius_deg)  # where the overlap stops or changes its form
    return _integrated(
        lambda t: 2.0 * math.pi * np.sin(np.radians(t)) * cap_overlap_sr(t, radius_deg) / area**2,
        edges_deg,
        (limit,),
    )


def band_pair_fraction(edges_deg: ArrayLike, height: float) -> Floats:
    """The same of a band of sin(lat) between -height and height, 0 < height <= 1."""
    width = math.degrees(math.asin(height))
    return _integrated(
        lambda t: np.sin(np.radians(t)) * _share_of_circle(t, height) / (2.0 * height),
        edges_deg,
        (2.0 * width, 90.0, 180.0 - 2.0 * width),
    )


def sphere_pair_fraction(edges_deg: ArrayLike) -> Floats:
    """The same of the full sphere: differences of sin^2(t/2)."""
    return np.diff(np.sin(np.radians(np.asarray(edges_deg, np.float64)) / 2.0) ** 2)


def _share_of_circle(separation_deg: Floats, height: float) -> Floats:
    """Share of circles around points of a band that lies in it, mean over the band."""
    u = (np.arange(2000) + 0.5) / 2000.0
    rise = u * u * (3.0 - 2.0 * u)  # heights denser at the ends, where the share has its kinks
    z = height * (2.0 * rise - 1.0)
    weight = 6.0 * u * (1.0 - u) / u.size
    t = np.radians(separation_deg)[..., None]
    reach = np.sin(t) * np.sqrt(1.0 - z * z)
    with np.errstate(divide="ignore", invalid="ignore"):
        below = np.arccos(np.clip((height - z * np.cos(t)) / reach, -1.0, 1.0))  # half angle above the band
        above = np.arccos(np.clip((-height - z * np.cos(t)) / reach, -1.0, 1.0))  # half angle above its foot
    return np.asarray(((above - below) * weight).sum(axis=-1) / math.pi)


def _integrated(
    density: Callable[[Floats], Floats], edges_deg: ArrayLike, kinks: tuple[float, ...]
) -> Floats:
    """Integrals over bins of a density per radian, by Gauss-Legendre sums between its kinks."""
    edges = np.asarray(edges_deg, np.float64)
    if edges.ndim != 1 or edges.size < 2 or np.any(np.diff(edges) <= 0) or edges[0] < 0 or edges[-1] > 180.0:
        raise ValueError(f"edges must ascend between 0 and 180 degrees, found {edges}")
    cuts = np.unique([*edges, *(kink for kink in kinks if edges[0] < kink < edges[-1])])
    middle, half = (cuts[1:] + cuts[:-1]) / 2.0, np.diff(cuts) / 2.0
    pieces = np.sum(density(middle[:, None] + half[:, None] * NODES) * WEIGHTS, axis=1) * np.radians(half)
    return np.add.reduceat(pieces, np.searchsorted(cuts, edges[:-1]))


# -- points -----------------------------------------------------------------------------------------------------------


def unit_vectors(lon_deg: ArrayLike, lat_deg: ArrayLike) -> Floats:
    """Unit vectors (3, n) of positions."""
    lon, lat = np.radians(np.asarray(lon_deg, np.float64)), np.radians(np.asarray(lat_deg, np.float64))
    return np.stack((np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)))


def pair_fractions(points: Floats, weights: Floats, edges_deg: ArrayLike) -> tuple[Floats, Floats]:
    """Share of all pairs (i < j) with separations in bins, by weights.

    Parameters
    ----------
    points : float64 (3, n)
        Unit vectors; time grows as n^2.
    weights : float64 (k, n)
    edges_deg : array_like (bins + 1,)

    Returns
    -------
    fractions : float64 (k, bins)
    total : float64 (k,)
        Sums of products of weights over all pairs; n (n - 1)/2 for weights of 1.
    """
    chords = 4.0 * np.sin(np.radians(np.asarray(edges_deg, np.float64)) / 2.0) ** 2
    out = np.empty((len(weights), chords.size - 1))
    count_pairs(np.ascontiguousarray(points), np.ascontiguousarray(weights), chords, out)
    total = (weights.sum(axis=1) ** 2 - (weights**2).sum(axis=1)) / 2.0
    return out / total[:, None], total


def pair_scatter(points: Floats, weight: Floats, edges_deg: ArrayLike) -> Floats:
    """Standard error of the fractions of `pair_fractions`, estimated from the points themselves, float64 (bins,)."""
    chords = 4.0 * np.sin(np.radians(np.asarray(edges_deg, np.float64)) / 2.0) ** 2
    number = weight.size
    chosen = np.linspace(0, number - 1, min(number, LOOKED_AT)).astype(np.int64)
    out = np.empty((chosen.size, 1, chords.size - 1))
    count_around(np.ascontiguousarray(points), np.ascontiguousarray(weight[None]), chosen, chords, out)
    total, squares = float(np.sum(weight)), float(np.sum(weight**2))
    mine = weight[chosen, None]
    share = out[:, 0] / (total - mine)
    mean = np.sum(share * mine, axis=0) / np.sum(mine)
    shot = mean * squares / total**2
    first = np.maximum(np.sum((mine * (share - mean)) ** 2, axis=0) / np.sum(mine**2) - shot, 0.0)
    variance = 4.0 * first * squares / total**2 + 2.0 * mean * (squares / total**2) ** 2
    return np.asarray(np.sqrt(variance))


def pair_correlation(visibility: SkyMap, cap: Cap, edges_deg: ArrayLike) -> Floats:
    """<V V'>_t/<V>^2 inside a cap in bins of separation, absent cells 0; 1 where V is constant.

    Cells are a `PAIRED_CELLS`-th of the cap or up to four times that; separations should be wide against them.
    """
    order = hpx.MAX_ORDER
    while order > 0 and hpx.cell_area_deg2(order) * PAIRED_CELLS < cap.area_deg2:
        order -= 1
    inside = cells_inside(cap, order)
    cells, deeper = inside.cells(), 2 * (order - visibility.order)
    if deeper >= 0:
        values = visibility.of_cells(cells >> deeper, 0.0).astype(np.float64)
    else:
        here = visibility.clip(inside.at_order(visibility.order))
        place = inside.index(here.cells.cells() >> -deeper)
        values = np.bincount(place, here.values.astype(np.float64), cells.size).astype(np.float64)
    if cells.size < 2 or np.all(values == values[0]):
        return np.ones(np.size(edges_deg) - 1)
    both = np.stack((values, np.ones(cells.size)))
    (mine, uniform), _ = pair_fractions(unit_vectors(*hpx.centres(cells, order)), both, edges_deg)
    return np.asarray(np.divide(mine, uniform, out=np.ones_like(mine), where=uniform > 0))


def largest_cap(cells: CellSet) -> Cap | None:
    """A large cap inside a set of cells: the largest around centres of coarse cells, less what these are coarse.

    None where there is no cap of more than two coarse cells; the sphere where the set is all of it.
    """
    if len(cells) == hpx.number_of_cells(cells.order):
        return Cap(0.0, 0.0, 180.0)
    order = cells.order
    while order > 0 and len(cells.at_order(order)) > COARSE_CELLS:
        order -= 1
    whole = ~(~cells).at_order(order)
    if not whole:
        return None
    listed = whole.cells()
    corners = unit_vectors(*(one.ravel() for one in hpx.vertices(listed, order)))
    _, first, shared = np.unique(
        np.round(corners * 2.0**32).astype(np.int64), axis=1, return_index=True, return_counts=True
    )
    corners = corners[:, first]
    three = (abs(abs(corners[2]) - 2.0 / 3.0) < 1e-9) & (abs(corners[0] * corners[1]) < 1e-9)  # of base faces
    edge = corners[:, shared < np.where(three, 3, 4)]  # corners at which a cell is missing
    lon, lat = hpx.centres(listed, order)
    chord, _ = cKDTree(edge.T).query(unit_vectors(lon, lat).T)
    best = int(np.argmax(chord))
    side = math.degrees(math.sqrt(hpx.cell_area_sr(order)))
    radius = 2.0 * math.degrees(math.asin(min(chord[best] / 2.0, 1.0))) - side
    return Cap(float(lon[best]), float(lat[best]), radius) if radius > side else None


def checked_cap(lon_deg: float, lat_deg: float, radius_deg: float) -> Cap:
    """A cap in which pairs can be counted.

    Raises
    ------
    InputError
        It is none, or has no extent.
    """
    if not 0.0 < radius_deg <= 180.0:
        raise InputError(
            f"the radius of a cap must lie above 0 and at most at 180 degrees, found {radius_deg}"
        )
    return Cap(lon_deg, lat_deg, radius_deg)
