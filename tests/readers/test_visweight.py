"""What a weight file holds, told by its content."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from vmpz.readers.visweight import neighbour_scatter, weight_kind

SHAPE = (64, 200)


@given(st.floats(0.01, 100.0), st.integers(0, 2**32 - 1))
def test_each_kind_is_told_where_the_noise_sets_them_apart(sigma: float, seed: int) -> None:
    assume(abs(np.log(sigma)) > 1.0)
    draw = np.random.default_rng(seed)
    noise = sigma * (1.0 + 0.05 * draw.standard_normal(SHAPE))
    holes = draw.random(SHAPE) < 0.02
    for kind, values in {
        "inverse_variance": noise**-2.0,
        "rms": noise,
        "flat": 1.0 + 0.01 * draw.standard_normal(SHAPE),
    }.items():
        assert weight_kind(np.where(holes, 0.0, values), sigma) == kind


@pytest.mark.parametrize("sigma", [1.0, float("nan"), 0.0, -2.0])
def test_what_cannot_be_told(sigma: float) -> None:
    assert weight_kind(np.ones(SHAPE), sigma) == "unknown"


def test_nothing_agrees_or_nothing_is_there() -> None:
    assert weight_kind(np.full(SHAPE, 40.0), 4.0) == "unknown"
    assert weight_kind(np.zeros(SHAPE), 4.0) == "unknown"
    assert weight_kind(np.full(SHAPE, np.nan), 4.0) == "unknown"


@given(st.floats(0.01, 100.0), st.floats(-1e4, 1e4))
def test_scatter_of_neighbours_is_the_noise_whatever_the_level(sigma: float, level: float) -> None:
    draw = np.random.default_rng(7)
    image = level + sigma * draw.standard_normal(SHAPE)
    image[draw.random(SHAPE) < 0.01] += 1e3 * sigma
    image[:, 50] = np.nan
    assert neighbour_scatter(image) == pytest.approx(sigma, rel=0.1)


def test_no_scatter() -> None:
    assert np.isnan(neighbour_scatter(np.ones(SHAPE)))
    assert np.isnan(neighbour_scatter(np.full(SHAPE, np.nan)))
