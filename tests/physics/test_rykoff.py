"""The noise model: its identity, its two forms, and its fit against truth and a general minimiser."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from vmpz.physics.rykoff import (
    effective_time,
    fit_noise_model,
    magnitude_error,
    magnitude_error_at_limit,
    source_share,
)

LIMIT = 24.3


def simulated(
    draw: np.random.Generator, objects: int, share: float, scatter: float = 0.1, snr: float = 10.0
) -> tuple[np.ndarray, np.ndarray]:
    """Magnitudes with noise, of counts that grow as 10**(0.3 m), and the errors that a catalogue tells of them."""
    time = effective_time(LIMIT, share, snr=snr)
    faint, bright = LIMIT + 0.8, LIMIT - 6
    mag = bright + np.log10(draw.random(objects) * (10 ** (0.3 * (faint - bright)) - 1) + 1) / 0.3
    relative = magnitude_error(mag, LIMIT, time, snr=snr) * np.log(10) / 2.5
    flux = 10 ** (-0.4 * (mag - LIMIT)) * (1 + relative * draw.standard_normal(objects))
    flux = flux[flux > 0]
    seen = LIMIT - 2.5 * np.log10(flux)
    return seen, magnitude_error(seen, LIMIT, time, snr=snr) * np.exp(
        scatter * draw.standard_normal(seen.size)
    )


def generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


def test_error_at_the_limit() -> None:
    assert magnitude_error_at_limit(10) == pytest.approx(0.108574, abs=5e-7)
    assert magnitude_error_at_limit(5) == pytest.approx(0.217147, abs=5e-7)


@given(st.floats(18, 28), st.floats(1e-6, 1.0), st.sampled_from([5.0, 10.0]), st.floats(15, 30))
def test_the_identity_and_the_published_form(limit: float, share: float, snr: float, mag: float) -> None:
    time = effective_time(limit, share, snr=snr)
    assert source_share(limit, time, snr=snr) == pytest.approx(share)
    assert magnitude_error(limit, limit, time, snr=snr) == pytest.approx(magnitude_error_at_limit(snr))
    flux, edge = 10 ** (-0.4 * (mag - 22.5)), 10 ** (-0.4 * (limit - 22.5))
    noise = edge**2 * time / snr**2 - edge
    published = 2.5 / np.log(10) * np.sqrt((1 + noise / flux) / (flux * time))
    assert magnitude_error(mag, limit, time, snr=snr) == pytest.approx(published, rel=1e-9)


def test_limits_of_the_model() -> None:
    assert magnitude_error(24.0, 25.0, np.inf) == pytest.approx(0.1085736 * 10**-0.4)
    with pytest.raises(ValueError, match="negative background"):
        magnitude_error(24.0, 25.0, effective_time(25.0, 1.1))


@pytest.mark.parametrize("share", [0.0, 0.02, 0.24, 1.0])
def test_exact_errors_give_back_the_model(share: float) -> None:
    mag = np.linspace(18, 25, 400)
    error = magnitude_error(mag, LIMIT, effective_time(LIMIT, share))
    fit = fit_noise_model(mag, error, generator=generator(1), resamples=10)
    assert fit is not None
    assert fit.limit_mag == pytest.approx(LIMIT, abs=1e-4) and fit.limit_error_mag < 1e-3
    assert fit.share == pytest.approx(share, abs=1e-3)
    with np.errstate(divide="ignore"):
        assert fit.effective_time == pytest.approx(effective_time(LIMIT, fit.share), rel=0.01) or share == 0


@pytest.mark.parametrize("share", [0.0, 0.24])
def test_a_thousand_objects_give_the_limit_and_its_error(share: float) -> None:
    """Recovery to 0.02 mag and 3 sigma each time; over many catalogues the pulls are standard normal."""
    limits, pulls = [], []
    for seed in range(30):
        draw = generator(seed)
        fit = fit_noise_model(*simulated(draw, 1000, share), generator=draw, resamples=40)
        assert fit is not None and fit.objects > 800
        limits.append(fit.limit_mag - LIMIT)
        pulls.append(limits[-1] / fit.limit_error_mag)
    assert np.max(np.abs(limits)) < 0.02
    assert abs(np.mean(pulls)) < 3 / np.sqrt(30)
    assert (
        0.65 < np.std(pulls, ddof=1) < 1.4
    )  # 0.1 % and 99.9 % points for 30 deviates and errors of 40 samples
    assert np.count_nonzero(np.abs(pulls) > 3) <= 1


def test_scatter_of_the_errors_does_not_bias_it() -> None:
    """Objects are chosen by the model's S/N: choosing by each one's own would cut the noisy ones near the limit."""
    found = [
        fit_noise_model(*simulated(draw, 1000, 0.1, scatter=0.2), generator=draw, resamples=0)
        for draw in map(generator, range(20))
    ]
    limits = np.array([fit.limit_mag for fit in found if fit is not None])
    assert abs(limits.mean() - LIMIT) < 3 * limits.std() / np.sqrt(20) + 0.002


@given(st.integers(0, 2**32), st.floats(0.0, 0.9))
@settings(max_examples=5, deadline=None)
def test_no_general_minimiser_finds_less_deviation(seed: int, share: float) -> None:
    draw = generator(seed)
    mag, error = simulated(draw, 300, share, scatter=0.2)
    fit = fit_noise_model(mag, error, generator=draw, resamples=0, least_snr=0.5, brightest=1.0)
    assert fit is not None
    used = magnitude_error(mag, fit.limit_mag, fit.effective_time) < magnitude_error_at_limit(0.5)

    def deviation(limit: float, odds: float) -> float:
        time = effective_time(limit, 1 / (1 + np.exp(-odds)))
        return float(np.abs(magnitude_error(mag[used], limit, time) - error[used]).sum())

    ours = float(np.abs(magnitude_error(mag, fit.limit_mag, fit.effective_time) - error)[used].sum())
    others = [
        minimize(lambda x: deviation(*x), (LIMIT, odds), method="Nelder-Mead", options={"maxiter": 1000}).fun
        for odds in (-6.0, -1.0, 2.0)
    ]
    assert ours <= min(others) * 1.0005


def test_units_of_flux_do_not_matter_and_nothing_is_fitted_to_nothing() -> None:
    mag, error = simulated(generator(3), 500, 0.2)
    one = fit_noise_model(mag, error, generator=generator(1))
    two = fit_noise_model(mag, error, generator=generator(1), zero_point_mag=23.9)
    assert one is not None and two is not None and one.limit_mag == two.limit_mag
    assert two.effective_time / one.effective_time == pytest.approx(10 ** (-0.4 * 1.4))
    again = fit_noise_model(np.append(mag, np.nan), np.append(error, 0.1), generator=generator(1))
    assert again == one
    assert fit_noise_model(mag[:0], error[:0], generator=generator(1)) is None
    assert fit_noise_model(mag, np.full(mag.size, np.nan), generator=generator(1)) is None
    assert fit_noise_model(mag, np.full(mag.size, 2.0), generator=generator(1)) is None
