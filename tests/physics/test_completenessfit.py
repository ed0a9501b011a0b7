"""The fit of completeness: truth, its errors, a general minimiser, and what determines nothing."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import ndtr, ndtri

from vmpz.physics.completenessfit import fit_completeness


def generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


def simulated(
    draw: np.random.Generator, number: int, plateau: float, width: float
) -> tuple[np.ndarray, np.ndarray]:
    mag = 22 + 5 * draw.random(number)
    return mag, draw.random(number) < plateau * ndtr((25.0 - mag) / width)


def test_pulls_of_completeness_are_normal() -> None:
    pulls = []
    for seed in range(40):
        draw = generator(seed)
        mag = 22 + 5 * draw.random(800)
        fit = fit_completeness(mag, draw.random(800) < 0.9 * ndtr((25.0 - mag) / 0.4))
        assert fit is not None
        limit, error = fit.limit(0.5)
        pulls.append((limit - 25.0) / error)
    assert abs(np.mean(pulls)) < 3.3 / np.sqrt(40) and 0.7 < np.std(pulls, ddof=1) < 1.37


@pytest.mark.parametrize(("plateau", "width"), [(0.9, 0.4), (1.0, 0.1), (0.5, 0.8)])
def test_no_general_minimiser_finds_a_larger_likelihood(plateau: float, width: float) -> None:
    mag, seen = simulated(generator(7), 1000, plateau, width)
    fit = fit_completeness(mag, seen)
    assert fit is not None

    def surprise(plateau: float, m50: float, width: float) -> float:
        if not (0.01 <= plateau <= 1 and 0.01 <= width <= 5):
            return np.inf
        chance = plateau * ndtr((m50 - mag) / width)
        return float(-np.log(np.maximum(np.where(seen, chance, 1 - chance), 1e-6)).sum())

    others = [
        minimize(lambda x: surprise(*x), (min(plateau, 0.97), start, width), method="Nelder-Mead").fun
        for start in (24.8, 25.2)
    ]
    assert surprise(fit.plateau, fit.m50_mag, fit.width_mag) <= min(others) + 1e-4


def test_limits_at_fractions_of_the_plateau() -> None:
    fit = fit_completeness(*simulated(generator(1), 20_000, 0.8, 0.3))
    assert fit is not None
    for fraction in (0.5, 0.95):
        limit, error = fit.limit(fraction)
        assert limit == pytest.approx(fit.m50_mag - fit.width_mag * ndtri(fraction))
        assert abs(limit - (25.0 - 0.3 * ndtri(fraction))) < 4 * error
    assert fit.limit(0.95)[1] > fit.limit(0.5)[1]


def test_what_determines_nothing_is_not_fitted() -> None:
    mag, seen = simulated(generator(2), 200, 0.9, 0.3)
    for some in (np.zeros(200, bool), np.ones(200, bool), np.arange(200) < 4):
        assert fit_completeness(mag, some) is None
    assert fit_completeness(np.full(50, 20.0), np.arange(50) % 2 == 0) is None
    assert fit_completeness(mag[:0], seen[:0]) is None
