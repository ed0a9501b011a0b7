"""Every statistic: the vector of the field, order and splitting to the last bit, agreement with plain numpy."""

from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from make_helpers import cell_set, count
from vmpz.errors import InputError, MissingProductError
from vmpz.statistics import STATISTICS, CellStatistics, Statistic, statistic

ALL = [*STATISTICS, "Q00", "Q10", "Q75", "Q100"]
Rows = NDArray[np.float64]


def weighted_median(x: Rows, w: Rows) -> float:
    """Half the weight below and half above, by trying every value."""
    if w.sum() == 0:
        return float("nan")
    middle = [v for v in x[w > 0] if w[x < v].sum() <= w.sum() / 2 and w[x > v].sum() <= w.sum() / 2]
    return float((min(middle) + max(middle)) / 2)


def weighted_mean(x: Rows, w: Rows) -> float:
    return float((w * x).sum() / w.sum()) if w.sum() > 0 else float("nan")


def mode(x: Rows) -> float:
    value, times = np.unique(x, return_counts=True)
    return float(value[np.argmax(times)])


def argument(x: Rows, number: Rows, extreme: float) -> float:
    return float(number[x == extreme].min())


PLAIN: dict[str, Callable[[Rows, Rows, Rows, Rows], float]] = {
    "COUNT": lambda x, a, w, i: a.sum(),
    "SUM": lambda x, a, w, i: (a * x).sum(),
    "MEAN": lambda x, a, w, i: weighted_mean(x, a),
    "WMEAN": lambda x, a, w, i: weighted_mean(x, a * w),
    "MIN": lambda x, a, w, i: x.min(),
    "MAX": lambda x, a, w, i: x.max(),
    "STD": lambda x, a, w, i: np.sqrt(np.average((x - np.average(x, weights=a)) ** 2, weights=a)),
    "RMSQ": lambda x, a, w, i: np.sqrt(np.average(x**2, weights=a)),
    "MEDIAN": lambda x, a, w, i: np.median(x),
    "WMEDIAN": lambda x, a, w, i: weighted_median(x, a * w),
    "MODE": lambda x, a, w, i: mode(x),
    "VALUE": lambda x, a, w, i: x[0],
    "ARGMIN": lambda x, a, w, i: argument(x, i, x.min()),
    "ARGMAX": lambda x, a, w, i: argument(x, i, x.max()),
    **{f"Q{p:02d}": lambda x, a, w, i, p=p: np.percentile(x, p) for p in (0, 10, 75, 100)},
}


def test_the_oracle_knows_every_row() -> None:
    assert set(PLAIN) == set(ALL)


def of(name: str, cell: Rows, *rows: Rows, n: int) -> Rows:
    row = statistic(name)
    return row.finish(row.add(row.start(n), cell, *rows))


@st.composite
def samples(draw: st.DrawFn) -> tuple[Rows, ...]:
    size = draw(st.integers(0, 40))
    seed = draw(st.integers(0, 2**32))
    generator = np.random.Generator(np.random.Philox(seed))
    cell = generator.integers(0, 6, size)
    x = generator.choice([generator.normal(0, 10.0 ** generator.integers(-3, 6)) for _ in range(12)], size)
    a = generator.choice([0.0, 0.25, 1.0, *generator.uniform(0.01, 1, 5)], size)
    w = generator.choice([0.0, 1.0, *generator.uniform(0.01, 9, 5)], size)
    return cell, x, a, w, np.arange(size)


def single(rows: tuple[Rows, ...], name: str) -> tuple[Rows, ...]:
    """For VALUE, one value per cell."""
    return (rows[0], np.sqrt(rows[0] + 2.0), *rows[2:]) if name == "VALUE" else rows


@pytest.mark.parametrize("name", ALL)
@given(rows=samples())
@settings(max_examples=25, deadline=None)
def test_agreement_with_plain_numpy(name: str, rows: tuple[Rows, ...]) -> None:
    cell, x, a, w, number = single(rows, name)
    found = of(name, cell, x, a, w, number, n=7)
    for one in range(7):
        here = (cell == one) & (a > 0)
        if not here.any():
            assert np.isnan(found[one])
            continue
        expected = PLAIN[name](x[here], a[here], w[here], number[here])
        scale = np.abs(x[here]).max(initial=1.0)
        np.testing.assert_allclose(found[one], expected, rtol=1e-12, atol=3e-12 * scale)


@pytest.mark.parametrize("name", ALL)
@given(rows=samples(), seed=st.integers(0, 2**32), cuts=st.lists(st.integers(0, 40), max_size=3))
@settings(max_examples=25, deadline=None)
def test_order_and_splitting_do_not_matter_to_the_last_bit(
    name: str, rows: tuple[Rows, ...], seed: int, cuts: list[int]
) -> None:
    rows = single(rows, name)
    whole = of(name, *rows, n=6)
    order = np.random.Generator(np.random.Philox(seed)).permutation(rows[0].size)
    row = statistic(name)
    state = row.start(6)
    for part in np.split(order, sorted(min(cut, order.size) for cut in cuts)):
        row.add(state, *(column[part] for column in rows))
    assert row.finish(state).tobytes() == whole.tobytes()


def test_vector_of_the_field() -> None:
    """Experiment 11, and an exposure of weight 0."""
    x, w = np.array([1.0, 2.0, 4.0]), np.array([4.0, 1.0, 1.0])
    expected = {
        "MEAN": 7 / 3, "WMEAN": 10 / 6, "MEDIAN": 2.0, "MIN": 1.0, "MAX": 4.0, "SUM": 7.0, "STD": 1.247219,
        "RMSQ": 2.645751, "COUNT": 3.0,
    }  # fmt: skip
    for order in permutations(range(3)):
        chosen = list(order)
        found = {
            name: of(name, np.zeros(3, int), x[chosen], np.ones(3), w[chosen], n=1)[0] for name in expected
        }
        assert found == pytest.approx(expected, abs=5e-7)
        assert found["STD"] == pytest.approx(np.sqrt(14 / 9), abs=1e-12)
        assert found["RMSQ"] == pytest.approx(np.sqrt(7), abs=1e-12)
    with_useless = (np.zeros(4, int), [1, 2, 4, 8], [1, 1, 1, 0.5], [4, 1, 1, 0])
    assert of("WMEAN", *with_useless, n=1)[0] == of("WMEAN", np.zeros(3, int), x, np.ones(3), w, n=1)[0]
    assert of("COUNT", *with_useless, n=1)[0] == 3.5


def test_sums_and_counts_add_over_disjoint_parts() -> None:
    whole = of("SUM", [0, 0], [3.0, 3.0], [0.25, 0.75], n=1)
    assert whole == of("SUM", [0], [3.0], [1.0], n=1) == 3.0
    assert of("COUNT", [0, 0], [3.0, 9.0], [0.25, 0.75], n=1) == 1.0


def test_value_refuses_differences_and_samples_must_be_numbers() -> None:
    with pytest.raises(InputError, match="found 1 cells where samples differ"):
        of("VALUE", [0, 1, 1], [1.0, 2.0, 3.0], n=2)
    for rows in (([0], [np.nan]), ([0], [1.0], [-0.5]), ([0], [1.0], [1.0], [np.inf])):
        with pytest.raises(InputError, match="finite"):
            of("MEAN", *rows, n=1)


def test_touching_without_overlap_is_no_sample() -> None:
    assert of("MIN", [0, 0], [1.0, 5.0], [1e-12, 0.5], n=1) == 5.0


PIXEL_ROWS = ["COUNT", "SUM", "MEAN", "WMEAN", "MIN", "MAX", "STD", "RMSQ", "MEDIAN", "Q10", "Q75"]


@pytest.mark.parametrize("name", PIXEL_ROWS)
def test_of_pixels_is_of_samples_of_equal_share(name: str) -> None:
    generator = np.random.Generator(np.random.Philox(3))
    cell = generator.integers(0, 4, 300)
    rms = np.where(generator.random(300) < 0.2, 1e16, generator.uniform(1, 3, 300))
    background = generator.normal(0, 5, 300)
    rms[cell == 2] = np.nan
    geom = np.array([1.0, 0.5, 1.0, 0.125])
    counted = count(cell, planes={"RMS": rms, "BACKGROUND": background}, geom=geom, percents=(10, 75))
    share = geom / counted.column("found")
    valid = np.isfinite(rms) & (rms < 1e15)
    here = cell[valid]
    expected = of(name, here, background[valid], share[here], 1 / rms[valid] ** 2, n=4)
    found = statistic(name).from_moments(counted, "BACKGROUND.valid")
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-13)
    assert np.isnan(found[2])


def test_value_of_pixels() -> None:
    same = count(np.array([0, 0, 1]), planes={"IMAGE": np.array([2.0, 2.0, 7.0])})
    assert np.array_equal(statistic("VALUE").from_moments(same, "IMAGE.valid"), [2.0, 7.0])
    mixed = count(np.array([0, 0, 1]), planes={"IMAGE": np.array([2.0, 3.0, 7.0])})
    with pytest.raises(InputError, match="samples differ"):
        statistic("VALUE").from_moments(mixed, "IMAGE.valid")


@pytest.mark.parametrize("name", ["MODE", "WMEDIAN", "ARGMIN", "ARGMAX", "Q33"])
def test_what_pixels_cannot_give_is_said(name: str) -> None:
    with pytest.raises(MissingProductError):
        statistic(name).from_moments(count(np.zeros(2, np.int64)), "RMS.valid")


def test_fraction_is_exact_geometry_times_counts() -> None:
    columns = {
        "geom": np.array([1.0, 0.3, 1.0, 1.0]),
        "found": np.array([4, 3, 0, 3]),
        "x": np.array([1, 3, 0, 1]),
    }
    fraction = CellStatistics(cell_set(4), columns).fraction("x")
    assert np.array_equal(fraction, [0.25, 0.3, 0.0, 1 / 3])
    with pytest.raises(MissingProductError, match="y was not counted; cell statistics hold found, geom, x"):
        CellStatistics(cell_set(4), columns).fraction("y")


def test_rows_have_their_own_name() -> None:
    assert all(isinstance(row, Statistic) and row.name == name for name, row in STATISTICS.items())
    assert statistic("Q07").percent == 7.0
