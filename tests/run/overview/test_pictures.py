"""Pictures and histograms gathered in pieces are those of the whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpz.run.overview.pictures import BINS, Histogram, Picture
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap

ORDER = 5


@st.composite
def pieces(draw: st.DrawFn) -> list[SkyMap]:
    """A map of random cells, in pieces of random cells: coarse cells are shared between pieces."""
    seed, share, parts = draw(st.integers(0, 1000)), draw(st.floats(0.01, 1.0)), draw(st.integers(1, 6))
    rng = np.random.default_rng(seed)
    cells = np.flatnonzero(rng.random(12 * 4**ORDER) < share)
    owner, values = rng.integers(0, parts, cells.size), rng.normal(50.0, 100.0, cells.size)
    return [SkyMap(CellSet.from_cells(ORDER, cells[owner == k]), values[owner == k]) for k in range(parts)]


@given(pieces(), st.integers(12, 20000))
def test_a_picture_is_of_means_at_the_finest_order_that_is_few_enough(parts: list[SkyMap], most: int) -> None:
    whole = SkyMap.join(parts)
    picture = Picture(ORDER, len(whole), most)
    for one in parts:
        picture.add(one)
    found = picture.finish()
    order = max(order for order in range(ORDER + 1) if len(whole.cells.at_order(order)) <= most)
    assert found.order == order and found.cells == whole.cells.at_order(order)
    np.testing.assert_allclose(found.values, whole.degrade(order, "MEAN").values, rtol=1e-9, atol=1e-9)


@given(pieces())
def test_angles_are_averaged_as_directions(parts: list[SkyMap]) -> None:
    whole = SkyMap.join(parts)
    picture = Picture(ORDER, len(whole), 12, circular=True)
    for one in parts:
        picture.add(one)
    found = picture.finish()
    if found.order < ORDER:
        angle = np.exp(1j * np.radians(whole.values))
        parent = whole.cells.cells() >> 2 * (ORDER - found.order)
        for cell, value in zip(found.cells.cells(), found.values, strict=True):
            total = angle[parent == cell].sum()
            assert abs(np.exp(1j * np.radians(value)) * abs(total) - total) < 1e-9


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=50))
def test_every_value_is_in_a_bin(values: list[float]) -> None:
    array = np.array(values, np.float32)
    histogram = Histogram(float(array.min()), float(array.max()))
    histogram.add(array)
    found = histogram.spread(2.0)
    assert found.total_deg2 == 2.0 * array.size
    assert found.edges[0] <= array.min() and found.edges[-1] >= array.max()
    assert np.all(np.diff(found.edges) > 0) and found.area_deg2.size <= BINS


@given(st.integers(0, 1000), st.sampled_from([1.0, 1e2, 1e4]), st.floats(0.0, 1.0))
def test_percentiles_are_right_where_a_few_values_lie_far_away(seed: int, far: float, share: float) -> None:
    draw = np.random.default_rng(seed)
    values = np.append(draw.normal(25.0, 0.3, 5000), 25.0 + far * draw.random(5))
    histogram = Histogram(float(values.min()), float(values.max()))
    histogram.add(values)
    bin_width = np.ptp(values) / 2**16 + 0.01  # of the histogram, and of the part that is shown
    low, high = np.quantile(values, [max(share - 0.001, 0.0), min(share + 0.001, 1.0)])
    shown = histogram.spread(1.0)
    if 0.002 < share < 0.998:
        assert low - bin_width <= shown.quantile(share) <= high + bin_width
    for edge, deeper in zip(shown.edges[1:-1:16], shown.above()[1:-1:16], strict=True):
        assert deeper == pytest.approx(np.count_nonzero(values >= edge), abs=1)


def test_values_that_stand_alone_are_their_own_percentiles() -> None:
    constant = Histogram(1e-20, 1e-20)
    constant.add(np.full(3, 1e-20))
    assert constant.spread(1.0).quantile(0.05) == 1e-20
    counts = Histogram(1.0, 4.0)
    counts.add(np.array([1, 1, 2, 4]))
    assert [counts.spread(0.1).quantile(share) for share in (0.0, 0.49, 0.51, 0.76, 1.0)] == [1, 1, 2, 4, 4]
    counts.add(np.array([2.5, 2.5, 2.5]))  # means of counts are none
    assert counts.spread(0.1).quantile(0.5) == pytest.approx(2.5, abs=3 / 250)


def test_values_as_near_as_numbers_can_be_are_one() -> None:
    day = 60000.0
    for steps in (1, 5, 40, 3000):
        histogram = Histogram(day, day + steps * np.spacing(day))
        histogram.add(np.array([day, day + steps * np.spacing(day)]))
        assert histogram.spread(1.0).total_deg2 == 2.0
        assert histogram.spread(1.0).quantile(0.9) == pytest.approx(day, abs=1e-7)


def test_whole_numbers_have_bins_of_their_own() -> None:
    histogram = Histogram(-1.0, 4.0)
    histogram.add(np.array([-1, 1, 1, 3, 4, 4, 4]))
    found = histogram.spread(1.0)
    assert found.edges.tolist() == [-1.5, -0.5, 0.5, 1.5, 2.5, 3.5, 4.5]
    assert found.area_deg2.tolist() == [1, 0, 2, 0, 1, 3]
    many = Histogram(0.0, 1e6)
    many.add(np.arange(1_000_001))
    assert many.spread(1.0).area_deg2.size <= BINS


def test_nothing_is_an_empty_picture() -> None:
    assert len(Picture(ORDER, 0, 100).finish()) == 0
    assert Histogram(float("nan"), float("nan")).spread(1.0).total_deg2 == 0
    assert np.isnan(Histogram(float("nan"), float("nan")).spread(1.0).quantile(0.5))
