"""Tests by counting: the total, what lies outside, classes of visibility, cells, sub-cells, digits of positions."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import pdtr, pdtrc

from vmpz.kernels.tallies import group_until
from vmpz.make.checks import Check, by_p, left_out, p_of_chi2
from vmpz.make.tally import Sample, Tally
from vmpz.sky import hpx

__all__ = [
    "cells_check",
    "deciles_check",
    "digits_check",
    "extremes_check",
    "outside_check",
    "precision_check",
    "subcells_check",
    "total_check",
]

Floats = NDArray[np.float64]

ENOUGH = 10.0
"""Weight that a group of cells must expect for its chi-square."""
GRAIN_MAS = 1.0
"""Coarsest lattice of coordinates that is no lattice for any separation of interest."""


def total_check(tally: Tally, number: int | None, weight: float | None) -> Check:
    """Rows against the stated number, and the sum of weights against its stated expectation."""
    if number is not None and (weight is None or tally.rows != number):
        off, note = tally.rows - number, f"{tally.rows} rows, {number} stated"
        return Check("total", float(off), "rows less the number stated", None, "0", off == 0, note)
    meaning = "sum of weights less expectation, in sigma"
    if weight is None:
        return left_out("total", meaning, "neither the catalogue nor an option states a number or a density")
    pull = (tally.total - weight) / math.sqrt(tally.total_squares or 1.0)
    note = f"{tally.total:.8g} found, {weight:.8g} expected"
    return Check("total", pull, meaning, None, "abs <= 5", abs(pull) <= 5.0, note)


def outside_check(tally: Tally) -> Check:
    """Objects where V is 0 or the map is not known; one in 1e8 may be a point on a border, rounded."""
    most = tally.rows // 100_000_000
    return Check(
        "outside", float(tally.outside), "objects where V is 0 or absent", None, f"<= {most}", tally.outside <= most,
        f"{100.0 * tally.outside / max(tally.rows, 1):.3g} % of the rows",
    )  # fmt: skip


def deciles_check(tally: Tally) -> Check:
    """Density over V in the deciles of V: its slope against V is 0 within 3 sigma."""
    meaning = "slope of density/V against V, in sigma"
    group = tally.expectation.classes()
    expected, found = np.bincount(group, tally.expected), np.bincount(group, tally.sums)
    if expected.size < 2:
        return left_out("deciles", meaning, "V has one value")
    if expected.min() < ENOUGH:
        return left_out("deciles", meaning, f"a decile expects fewer than {ENOUGH:g} objects")
    visibility = np.bincount(group, tally.expectation.visibility) / np.bincount(group)
    spread = np.bincount(group, tally.mean_weight[1] * tally.expected)
    ratio, error = found / expected, np.sqrt(spread) / expected
    weight = error**-2
    centre = np.sum(weight * visibility) / np.sum(weight)
    leverage = np.sum(weight * (visibility - centre) ** 2)
    pull = float(np.sum(weight * (visibility - centre) * ratio) / math.sqrt(leverage))
    curves = {"visibility": visibility, "ratio": ratio, "error": error}
    note = f"slope {pull / math.sqrt(leverage):.3g} +- {1 / math.sqrt(leverage):.2g} in {ratio.size} classes"
    return Check("deciles", pull, meaning, None, "abs <= 3", abs(pull) <= 3.0, note, curves)


def cells_check(tally: Tally) -> Check:
    """Chi-square per cell, neighbours along the nested curve together where one expects too few."""
    meaning = "chi-square per degree of freedom, cells"
    expected = tally.expected
    group = np.empty(expected.size, np.int64)
    count = group_until(expected, ENOUGH, group)
    if count < 2:
        return left_out("cells", meaning, f"fewer than two groups of cells expect {ENOUGH:g} objects")
    mean = np.bincount(group, expected).astype(np.float64)
    found = np.bincount(group, tally.sums)
    pulls = (found - mean) / np.sqrt(np.bincount(group, expected * tally.mean_weight[1]))
    chi2, freedom = float(np.sum(pulls**2)), count - 1
    edges = np.linspace(-8.0, 8.0, 81)
    height, _ = np.histogram(np.clip(pulls, -7.999, 7.999), edges)
    return by_p(
        "cells", chi2 / freedom, meaning, _p_of_counts(chi2, freedom, mean), even=True,
        note=f"{count} groups of {expected.size / count:.3g} cells of order {tally.expectation.order}",
        curves={"edges": edges, "height": height.astype(np.float64), "groups": np.array([float(count)])},
    )  # fmt: skip


def _p_of_counts(chi2: float, freedom: int, mean: Floats) -> float:
    """p of Pearson's chi-square of Poisson counts: a gamma law of its own mean and variance, 2 + 1/mean a cell."""
    variance = 2.0 * freedom + float(np.sum(1.0 / mean)) * freedom / mean.size
    scale = variance / (2.0 * freedom)
    return p_of_chi2(chi2 / scale, freedom / scale)


def extremes_check(tally: Tally) -> Check:
    """The worst cell of all orders, from that of the map to the base cells: finds holes and heaps of any size."""
    expected, ratio = tally.expected, tally.mean_weight[1]
    number, order = tally.expectation.cells.cells(), tally.expectation.order
    found, variance = tally.sums, expected * ratio
    worst, tests, note = 1.0, 0, ""
    for coarse in range(order, -1, -1):
        if coarse < order:
            number = number >> 2
            start = np.flatnonzero(np.diff(number, prepend=-1))
            number = number[start]
            expected, found, variance = (np.add.reduceat(one, start) for one in (expected, found, variance))
        if number.size < 2:
            break
        unit = variance / expected  # what one independent object weighs
        mean, seen = expected / unit, np.round(found / unit, 6)
        tail = np.minimum(
            pdtr(np.floor(seen), mean), np.where(seen >= 1.0, pdtrc(np.ceil(seen) - 1.0, mean), 1.0)
        )
        tests += 2 * number.size
        k = int(np.argmin(tail))
        if not note or tail[k] < worst:
            worst = float(tail[k])
            lon, lat = hpx.centres(number[k : k + 1], coarse)
            note = (
                f"order {coarse}, cell {number[k]} at ({lon[0]:.5f}, {lat[0]:+.5f}): {found[k]:.6g} found, "
                f"{expected[k]:.6g} expected"
            )
    if not tests:
        return left_out("extremes", "probability of the worst cell", "the map has one cell")
    return by_p("extremes", worst, "probability of the worst cell", min(1.0, worst * tests), note=note)


def subcells_check(tally: Tally) -> Check:
    """Chi-square of the sub-cells of all cells, folded on one: 64 x 64 where there are enough objects, else 8 x 8."""
    meaning = "chi-square per degree of freedom, sub-cells"
    total = int(tally.grid.sum())
    depth = tally.depth
    while depth > 0 and total < 2.0 * ENOUGH * 4**depth:
        depth = 3 if depth > 3 else 0
    if depth == 0:
        return left_out("subcells", meaning, f"{total} objects in whole cells are too few")
    grid = tally.grid.reshape(4**depth, -1).sum(axis=1).astype(np.float64)
    mean = total / grid.size
    chi2 = float(np.sum((grid - mean) ** 2) / mean)
    note = (
        f"{1 << depth} x {1 << depth} sub-cells of {mean:.4g} objects, {int(np.sum(grid == 0))} of them empty"
    )
    p = _p_of_counts(chi2, grid.size - 1, np.full(grid.size, mean))
    curves = {"image": _as_image(grid / mean, depth), "error": np.array([1.0 / math.sqrt(mean)])}
    return by_p("subcells", chi2 / (grid.size - 1), meaning, p, even=True, note=note, curves=curves)


def _as_image(grid: Floats, depth: int) -> Floats:
    """Values of nested sub-cells as rows (y) and columns (x)."""
    _, x, y = hpx.faces(np.arange(grid.size), depth)
    image = np.empty((1 << depth, 1 << depth))
    image[y, x] = grid
    return image


def digits_check(tally: Tally) -> Check:
    """Digits of HEALPix addresses, pairs of neighbouring levels down to order 29: lattices show at their level."""
    meaning = "largest chi-square of 15 degrees of freedom of a level"
    digits = tally.digits.astype(np.float64)
    if not digits.size or digits[0].sum() < 16 * ENOUGH:
        return left_out("digits", meaning, "too few objects in whole cells, or no levels below the map's")
    mean = digits.sum(axis=1) / 16.0
    chi2 = np.sum((digits - mean[:, None]) ** 2, axis=1) / mean
    worst = int(np.argmax(chi2))
    p = min(1.0, p_of_chi2(float(chi2[worst]), 15.0) * chi2.size)
    side = 3.6e6 * math.sqrt(hpx.cell_area_deg2(hpx.MAX_ORDER - 1 - worst))
    note = f"worst at order {hpx.MAX_ORDER - 1 - worst} (cells of {side:.3g} mas)"
    return by_p("digits", float(chi2[worst]), meaning, p, note=note)


def precision_check(sample: Sample) -> Check:
    """Grain of coordinates: a lattice repeats them, and float32 numbers are 1 in 2^29 of the float64 ones."""
    meaning = "grain of coordinates, mas"
    if len(sample) < 100:
        return left_out("precision", meaning, "fewer than 100 objects")
    narrow = [float(np.mean(one == one.astype(np.float32))) for one in (sample.lon_deg, sample.lat_deg)]
    grains = []
    for name, values in (("RA", sample.lon_deg), ("Dec", sample.lat_deg)):
        repeats, at_one_degree = _repeats(values)
        grain = repeats / at_one_degree if repeats > 20 else 0.0
        scale = float(np.mean(np.cos(np.radians(sample.lat_deg)))) if name == "RA" else 1.0
        grains.append(3.6e6 * grain * scale)
    worst = max(grains)
    note = "coordinates are float64"
    if max(narrow) > 0.5:
        note = f"{'RA' if narrow[0] > 0.5 else 'Dec'} are float32 numbers"
    elif worst > 0:
        note = f"lattice of {grains[0]:.3g} mas in RA, {grains[1]:.3g} mas in Dec"
    passed = worst <= GRAIN_MAS and max(narrow) <= 0.5
    return Check("precision", worst, meaning, None, f"<= {GRAIN_MAS:g}, not float32", passed, note)


def _repeats(values: Floats) -> tuple[float, float]:
    """Pairs of equal values, and how many a lattice of step 1 would give, by the local density of values."""
    ordered = np.sort(values)
    _, same = np.unique(ordered, return_counts=True)
    pairs = float(np.sum(same * (same - 1.0)) / 2.0)
    step = max(ordered.size // 64, 2)
    ends = ordered[::step]
    width = np.diff(ends)
    density = np.divide(float(step) ** 2 / 2.0, width, out=np.zeros_like(width), where=width > 0)
    return pairs, max(float(np.sum(density)), 1e-300)
