r"""The null test of clustering: the Landy-Szalay estimator of a catalogue against one that follows V is 0.

w = (DD - 2 DR + RR)/RR in bins of separation, by TreeCorr (https://rmjarvis.github.io/TreeCorr, an optional extra:
``pip install vmpz[validate]``). R is another catalogue, or points drawn from the map here. For N_D and N_R independent
points of one law the variance is 2 (1/N_D + 1/N_R)^2 (1/f - 1), f the share of pairs in the bin: the terms of first
order, those of edges and of the density, cancel (Landy & Szalay 1993, ApJ 412, 64).
"""

import importlib.util
import math

import numpy as np
from numpy.typing import NDArray

from vmpz.make.checks import Check, by_p, left_out, p_of_chi2
from vmpz.make.tally import Expectation, Sample
from vmpz.sky import hpx

__all__ = ["has_treecorr", "landy_szalay", "null_check", "reference_points"]

Floats = NDArray[np.float64]

BINS = 10
SMALLEST_DEG = 1.0 / 3600.0
LEAST_PAIRS = 200.0
"""Pairs that the first bin should expect."""


def has_treecorr() -> bool:
    """Whether TreeCorr is installed."""
    return importlib.util.find_spec("treecorr") is not None


def reference_points(expectation: Expectation, number: int, seed: int) -> Sample:
    """Independent points that follow V, uniform inside cells (numpy's Philox, keyed by the seed)."""
    generator = np.random.Generator(np.random.Philox(key=[seed, 0]))
    reached = np.cumsum(expectation.visibility)
    place = np.searchsorted(reached, generator.random(number) * reached[-1], side="right")
    cells = expectation.cells.cells()[np.minimum(place, reached.size - 1)]
    x, y = generator.random(number), generator.random(number)
    lon, lat = hpx.positions(cells, expectation.order, x, y)
    return Sample(lon, lat, np.ones(number), np.zeros(number), 1.0)


def landy_szalay(data: Sample, randoms: Sample, edges_deg: Floats) -> tuple[Floats, Floats, Floats]:
    """w, its standard error under the null, and the share of random pairs, in logarithmic bins of separation.

    Parameters
    ----------
    data, randoms : Sample
    edges_deg : float64 (bins + 1,)
        Evenly spaced in their logarithm.

    Raises
    ------
    ImportError
        TreeCorr is not installed.
    """
    import treecorr

    def catalogue(sample: Sample) -> "treecorr.Catalog":
        return treecorr.Catalog(
            ra=sample.lon_deg, dec=sample.lat_deg, w=sample.weight, ra_units="deg", dec_units="deg"
        )

    def counted(one: "treecorr.Catalog", two: "treecorr.Catalog | None" = None) -> "treecorr.NNCorrelation":
        pairs = treecorr.NNCorrelation(
            min_sep=edges_deg[0],
            max_sep=edges_deg[-1],
            nbins=edges_deg.size - 1,
            sep_units="deg",
            metric="Arc",
            bin_slop=0.01,
            verbose=0,
        )
        pairs.process(one, two, num_threads=1)
        return pairs

    d, r = catalogue(data), catalogue(randoms)
    dd, dr, rr = counted(d), counted(d, r), counted(r)
    w, _ = dd.calculateXi(rr=rr, dr=dr)
    share = rr.weight / rr.tot
    with np.errstate(divide="ignore"):
        scatter = np.sqrt(2.0 * np.maximum(1.0 / share - 1.0, 0.0))
    return np.asarray(w), scatter * (1.0 / _number(data) + 1.0 / _number(randoms)), np.asarray(share)


def _number(sample: Sample) -> float:
    """Points of equal weight that scatter as much."""
    return float(np.sum(sample.weight)) ** 2 / float(np.sum(sample.weight**2))


def null_check(data: Sample, randoms: Sample, area_deg2: float, against: str) -> Check:
    """w = 0: chi-square of its bins."""
    meaning = "chi-square of w of Landy and Szalay"
    if not has_treecorr():
        return left_out("null", meaning, "TreeCorr is not installed: pip install vmpz[validate]")
    if min(len(data), len(randoms)) < 500:
        return left_out("null", meaning, f"{min(len(data), len(randoms))} objects are too few")
    lowest = math.sqrt(2.0 * LEAST_PAIRS * area_deg2 / math.pi) / _number(data)
    highest = min(0.6 * math.sqrt(area_deg2 / math.pi), 60.0)
    if highest < SMALLEST_DEG:
        return left_out("null", meaning, "the map is smaller than an arcsecond")
    edges = np.geomspace(min(lowest, highest / 4.0), highest, BINS + 1)
    w, error, share = landy_szalay(data, randoms, edges)
    used = share > 0
    chi2 = float(np.sum((w[used] / error[used]) ** 2))
    freedom = int(used.sum())
    note = f"{len(data)} objects against {len(randoms)} {against}, {edges[0]:.3g}-{edges[-1]:.3g} deg, {freedom} bins"
    curves = {"separation": np.sqrt(edges[1:] * edges[:-1])[used], "w": w[used], "error": error[used]}
    return by_p("null", chi2, meaning, p_of_chi2(chi2, freedom), note=note, curves=curves)
