"""Laws of statistics over exposures: the published vector, weights of 0, splits and orders of files."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from make_helpers import ORDER, cell_set, count, frame, key, parameters, ref
from sky_helpers import tangent_square
from vmpz.bits import BitTable
from vmpz.frames import Exposures
from vmpz.make import info
from vmpz.make.exposures import ExposureTotals
from vmpz.physics.noise import coadd_noise
from vmpz.products import Product
from vmpz.sky import hpx
from vmpz.sky.regions import Polygon, covered_fractions
from vmpz.statistics import STATISTICS

CELLS = cell_set(5)
NUMBER = CELLS.cells()
LON, LAT = (float(value.mean()) for value in hpx.centres(NUMBER, ORDER))
COUNTED = count(np.arange(5))
EXACT = 1e-12


def squares(sides_deg: Any, **scalars: Any) -> Exposures:
    """Exposures around the cells."""
    corners = np.array([tangent_square(LON, LAT, side, 10.0 * k) for k, side in enumerate(sides_deg)])
    values = {name: np.array(column, np.float64) for name, column in scalars.items()}
    return Exposures(tuple(f"e{k}" for k in range(len(corners))), corners, values)


def product(exposures: Exposures, quantity: str, statistic: str) -> Product:
    """An information map of exposures."""
    wanted = key("info", quantity=quantity, statistic=statistic)
    return info.make(
        wanted,
        frame(ref(planes=(), tables=("LAYERS",), exposures=exposures), exposures=exposures),
        COUNTED,
        parameters(),
    )


# -- the published vector -------------------------------------------------------------------------------------------

X, W = np.array([1.0, 2.0, 4.0]), np.array([4.0, 1.0, 1.0])
VECTOR = {
    "MEAN": 7.0 / 3.0, "WMEAN": 10.0 / 6.0, "MEDIAN": 2.0, "MIN": 1.0, "MAX": 4.0, "SUM": 7.0, "COUNT": 3.0,
    "STD": np.sqrt(14.0 / 9.0), "RMSQ": np.sqrt(7.0), "ARGMIN": 1.0, "ARGMAX": 3.0,
}  # fmt: skip
PRINTED = {"MEAN": 2.333333, "WMEAN": 1.666667, "STD": 1.247219, "RMSQ": 2.645751}


@pytest.mark.parametrize("statistic", VECTOR)
def test_the_statistics_vector(statistic: str) -> None:
    """Three exposures over whole cells; dates are kept as float64, seeings as float32."""
    exposures = squares([3.0, 3.1, 3.2], MJD=X, Seeing=X, Weight=W)
    found = product(exposures, "MJD", statistic).map
    assert len(found) == len(CELLS)
    assert found.values == pytest.approx(VECTOR[statistic], rel=EXACT)
    assert round(VECTOR[statistic], 6) == PRINTED.get(statistic, round(VECTOR[statistic], 6))
    single = product(exposures, "Seeing", statistic).map.values
    assert np.array_equal(single, np.full(len(CELLS), VECTOR[statistic], np.float32))


def test_the_noise_of_the_coadd() -> None:
    exposures = squares([3.0, 3.1, 3.2], Weight=W)
    total = product(exposures, "Weight", "SUM").map.values
    assert total == pytest.approx(6.0, rel=1e-7)
    assert total**-0.5 == pytest.approx(0.408248, abs=5e-7)
    assert coadd_noise(W) == pytest.approx(6.0**-0.5, rel=EXACT)


def test_an_exposure_without_weight_counts_and_weighs_nothing() -> None:
    """A fourth one over half of the cells: n grows by its covered fraction, means by weight and noise do not change."""
    four = squares([3.0, 3.1, 3.2, 0.06], MJD=[*X, 100.0], Weight=[*W, 0.0])
    three = four[np.arange(3)]
    share = covered_fractions(Polygon(four.corners[3]), ORDER, cells=CELLS).of_cells(NUMBER, 0.0)
    assert 0.1 < share.sum() < 4.0
    for name, statistic in (("MJD", "WMEAN"), ("MJD", "WMEDIAN"), ("Weight", "SUM")):
        one, two = (product(of, name, statistic).map.values for of in (three, four))
        assert np.array_equal(one, two)
    counted = product(four, "MJD", "COUNT").map.values
    assert counted == pytest.approx(3.0 + share, rel=EXACT)
    assert not np.array_equal(
        product(four, "MJD", "MEAN").map.values, product(three, "MJD", "MEAN").map.values
    )


# -- splits and orders ----------------------------------------------------------------------------------------------

numbers = st.floats(-1e3, 1e3, allow_nan=False).map(lambda x: round(x, 3))
positive = st.floats(0.0, 50.0, allow_nan=False).map(lambda x: round(x, 3))


@st.composite
def tables(draw: st.DrawFn) -> Exposures:
    """A few exposures, large and small, some of equal value or without weight."""
    n = draw(st.integers(1, 7))
    sides = draw(st.lists(st.sampled_from([0.02, 0.05, 0.07, 0.1, 3.0]), min_size=n, max_size=n))
    values = draw(st.lists(numbers, min_size=n, max_size=n))
    weights = draw(st.lists(positive, min_size=n, max_size=n))
    return squares(sides, MJD=values, Weight=weights, ParallacticAngle=np.array(values) % 360.0)


@settings(max_examples=30, deadline=None)
@given(tables(), st.randoms(use_true_random=False), st.data())
def test_exposures_may_come_in_any_order_and_split(
    exposures: Exposures, random: Any, data: st.DataObject
) -> None:
    """The same bits for every statistic, medians and modes as well; numbers of exposures for any split."""
    order = list(range(len(exposures)))
    random.shuffle(order)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(order)), max_size=3)))
    parts = [
        exposures[np.array(order[low:high], int)]
        for low, high in zip([0, *cuts], [*cuts, len(order)], strict=True)
    ]
    shuffled = Exposures.joined(parts)
    whole = exposures[np.array(order, int)]
    for statistic in STATISTICS.keys() - {"VALUE"}:
        names = ("MJD", "ParallacticAngle") if statistic in ("MEAN", "WMEAN") else ("MJD",)
        for name in names:
            one, two, three = (product(of, name, statistic).map for of in (exposures, shuffled, whole))
            assert np.array_equal(two.values, three.values)
            if not statistic.startswith("ARG"):
                assert one.cells == two.cells
                assert np.array_equal(one.values, two.values)


def image(draw: Any, cells: NDArray[np.int64]) -> Any:
    """Statistics of an image that sees parts of the cells."""
    size = draw.integers(1, 60)
    place = np.sort(draw.choice(cells, size))
    rms = np.where(draw.random(size) < 0.1, 1e16, draw.uniform(1.0, 2.0, size))
    back = draw.normal(5.0, 2.0, size)
    flags = np.where(draw.random(size) < 0.2, 1, 0)
    table = BitTable("toy", "1", "VIS", ())
    found = count(
        np.append(place, 4), np.append(flags, 0), {"RMS": np.append(rms, 1.5), "BACKGROUND": np.append(back, 5.0)},
        [table.select(())], table.select(()), geom=draw.uniform(0.2, 1.0, 5),
    )  # fmt: skip
    scalars = {
        "pixels": size + 1,
        "invalid_rms": 0,
        "stray": 0,
        "stray_bits": 0,
        "rms_max": 1e6,
        "validity": "RMS",
    }
    return replace(found, scalars=scalars)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 6), st.randoms(use_true_random=False))
def test_pixels_of_images_add_up_in_any_order(seed: int, number: int, random: Any) -> None:
    """Counts, areas, moments and extremes of all pixels to 1e-12 whatever comes first; the plain numbers as well."""
    draw = np.random.Generator(np.random.Philox(seed))
    images = [image(draw, np.arange(5)) for _ in range(number)]
    shuffled = list(images)
    random.shuffle(shuffled)
    made = []
    for order in (images, shuffled):
        totals = ExposureTotals(CELLS)
        for one in order:
            totals.add(one, pixel_scale_arcsec=0.2)
        made.append(totals.statistics(np.ones(5)))
    one, two = made
    assert one.columns.keys() == two.columns.keys()
    for name in one.columns:
        assert two.columns[name] == pytest.approx(one.columns[name], rel=EXACT, abs=EXACT, nan_ok=True), name
    n = sum(image_.column("BACKGROUND.valid.n") for image_ in images)
    total = sum(
        np.where(
            part.column("BACKGROUND.valid.n") > 0,
            part.column("BACKGROUND.valid.n") * part.column("BACKGROUND.valid.mean"),
            0,
        )
        for part in images
    )
    seen = n > 0
    assert one.column("BACKGROUND.valid.mean")[seen] == pytest.approx(
        (total / np.maximum(n, 1))[seen], rel=1e-11
    )


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(1, 3))
def test_words_hold_the_sub_cells_that_enough_images_see(seed: int, number: int, least: int) -> None:
    draw = np.random.Generator(np.random.Philox(seed))
    totals = ExposureTotals(CELLS, least)
    every = draw.integers(0, 1 << 64, (number, 5), np.uint64)
    for words in every:
        totals.add(image(draw, np.arange(5)), pixel_scale_arcsec=0.2, words=words)
    selection = BitTable("toy", "1", "VIS", ()).select(())
    made = totals.statistics(np.ones(5), selection, subcells=True)
    for place, word in enumerate(made.column("subcells").tolist()):
        seen = [sum(int(one) >> bit & 1 for one in every[:, place]) >= least for bit in range(64)]
        assert [bool(word >> bit & 1) for bit in range(64)] == seen
        assert made.column(f"coverage.{selection.text}")[place] == sum(seen) / 64
    assert "subcells" not in totals.statistics(np.ones(5), selection).columns
    nothing = ExposureTotals(CELLS).statistics(np.ones(5), selection, subcells=True)
    assert (nothing.column("subcells") == 0).all()
