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


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=50), st.booleans())
def test_every_value_is_in_a_bin(values: list[float], unit_bins: bool) -> None:
    array = np.array(values, np.float32)
    histogram = Histogram(float(array.min()), float(array.max()), unit_bins)
    histogram.add(array)
    assert histogram.counts.sum() == array.size
    assert histogram.edges[0] <= array.min() and histogram.edges[-1] >= array.max()
    assert np.all(np.diff(histogram.edges) > 0) and histogram.counts.size <= BINS


def test_whole_numbers_have_bins_of_their_own() -> None:
    histogram = Histogram(0.2, 4.0, unit_bins=True)
    histogram.add(np.array([0.2, 1, 1, 3, 4, 4, 4]))
    assert histogram.edges.tolist() == [-0.5, 0.5, 1.5, 2.5, 3.5, 4.5]
    assert histogram.counts.tolist() == [1, 2, 0, 1, 3]
    assert Histogram(7.0, 7.0, unit_bins=False).edges.tolist() == [6.5, 7.5]
    assert Histogram(0.0, 1e6, unit_bins=True).counts.size == BINS


def test_nothing_is_an_empty_picture() -> None:
    assert len(Picture(ORDER, 0, 100).finish()) == 0
    assert Histogram(float("nan"), float("nan"), unit_bins=False).counts.sum() == 0
    assert pytest.approx(Histogram(1.0, 2.0, unit_bins=False).edges[1]) == 1 + 1 / BINS
