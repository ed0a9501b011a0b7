"""Maps of catalogues: numbers are conserved, a uniform sky comes out uniform, the order of sources is no matter."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmpz.errors import InputError, MapMismatchError, MissingProductError
from vmpz.frames import Sources
from vmpz.make.sources import Window, density_map, source_map
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap
from vmpz.statistics import STATISTICS

ORDER = 8
LEVELS = 3
PARENT = 1234
AREA = CellSet.from_ranges(ORDER, [(PARENT << 2 * LEVELS, (PARENT + 4) << 2 * LEVELS)])
"""Four cells of order 5."""


def drawn(seed: int, count: int, cells: CellSet = AREA, fraction: np.ndarray | None = None) -> Sources:
    """Sources uniform over cells, or over the observed share of each, with magnitudes of which some are missing."""
    rng = np.random.default_rng(seed)
    chance = np.ones(len(cells)) if fraction is None else fraction
    cell = rng.choice(cells.cells(), count, p=chance / chance.sum())
    lon, lat = hpx.positions(cell, cells.order, rng.random(count), rng.random(count))
    mag = np.where(rng.random(count) < 0.1, np.nan, np.round(rng.uniform(12, 20, count), 1))
    return Sources(lon, lat, {"mag": mag})


def holes(seed: int, cells: CellSet = AREA) -> np.ndarray:
    """A third of the cells unobserved, a third whole, a third anything between."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, len(cells))
    return np.where(kind == 0, 0.0, np.where(kind == 1, 1.0, rng.random(len(cells))))


def shuffled(sources: Sources, seed: int) -> Sources:
    by = np.random.default_rng(seed).permutation(len(sources))
    return Sources(
        sources.lon_deg[by], sources.lat_deg[by], {k: one[by] for k, one in sources.columns.items()}
    )


def number(found: SkyMap, cells: CellSet, fraction: np.ndarray) -> float:
    """Density times observed area."""
    share = fraction[cells.index(found.cells.cells())]
    return float(np.sum(found.values * share, dtype=np.float64) * hpx.cell_area_deg2(cells.order))


RULES = {
    name: getattr(np, name.lower()) for name in ("MEAN", "STD", "MEDIAN", "MIN", "MAX", "SUM", "SIZE")
} | {"RMSQ": lambda x: np.sqrt(np.mean(x**2)), "Q25": lambda x: np.quantile(x, 0.25)}
RULES["COUNT"] = RULES.pop("SIZE")
seeds = st.integers(0, 2**32)
orders = st.integers(0, ORDER)
windows = st.sampled_from([None, ("mag", 14.0, 16.0), ("mag", 12.5, np.inf)])


@settings(max_examples=50, deadline=None)
@given(seeds, orders, windows, st.integers(0, 300))
def test_density_times_area_is_the_number_of_sources(
    seed: int, order: int, window: Window | None, count: int
) -> None:
    sources, fraction = drawn(seed, count, AREA.at_order(4)), holes(seed)
    found = density_map(sources, AREA, fraction, order=order, window=window)
    place = AREA.index(hpx.cells_at(sources.lon_deg, sources.lat_deg, ORDER))
    counted = (place >= 0) & (fraction[place] > 0)
    if window:
        counted &= (sources.columns["mag"] >= window[1]) & (sources.columns["mag"] < window[2])
    assert number(found, AREA, fraction) == pytest.approx(np.sum(counted), rel=1e-6, abs=1e-9)
    assert found.cells == CellSet.from_cells(
        ORDER, AREA.cells()[fraction > 0]
    )  # absent where unobserved, 0 elsewhere
    assert found.values.dtype == np.float32


@settings(max_examples=30, deadline=None)
@given(seeds, orders, st.booleans(), st.sampled_from(sorted(set(STATISTICS) - {"ARGMIN", "ARGMAX", "VALUE"})))
def test_the_order_of_sources_is_no_matter(seed: int, order: int, everywhere: bool, name: str) -> None:
    sources, fraction = drawn(seed, 300), holes(seed)
    more = {"order": order, "everywhere": everywhere}
    other = shuffled(sources, seed)
    assert density_map(sources, AREA, fraction, **more) == density_map(other, AREA, fraction, **more)
    maps = [source_map(one, AREA, fraction, column="mag", name=name, **more) for one in (sources, other)]
    assert maps[0] == maps[1]


@settings(max_examples=30, deadline=None)
@given(seeds, orders, windows, st.booleans())
def test_areas_add_up(seed: int, order: int, window: Window | None, everywhere: bool) -> None:
    """Two areas that share coarse cells: each knows its own part; sources of one do not count in the other."""
    sources, fraction = drawn(seed, 400), holes(seed)
    cut = int(np.random.default_rng(seed).integers(1, len(AREA)))
    more = {"order": order, "window": window, "everywhere": everywhere}
    whole = number(density_map(sources, AREA, fraction, **more), AREA, fraction)
    parts = 0.0
    for part in (slice(None, cut), slice(cut, None)):
        cells = CellSet.from_cells(ORDER, AREA.cells()[part])
        parts += number(density_map(sources, cells, fraction[part], **more), cells, fraction[part])
    assert parts == pytest.approx(whole, rel=1e-6, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(seeds, orders, st.floats(12, 20), st.booleans())
def test_adjacent_windows_add_up(seed: int, order: int, cut: float, everywhere: bool) -> None:
    sources, fraction = drawn(seed, 300), holes(seed)
    low, high, both = (
        density_map(sources, AREA, fraction, order=order, window=("mag", *edges), everywhere=everywhere)
        for edges in ((0.0, cut), (cut, 99.0), (0.0, 99.0))
    )
    np.testing.assert_allclose(low.values + high.values, both.values, rtol=1e-5)


@settings(max_examples=40, deadline=None)
@given(seeds, orders, st.sampled_from(sorted(RULES)))
def test_statistics_are_those_of_the_sources_in_each_coarse_cell(seed: int, order: int, name: str) -> None:
    sources, fraction = drawn(seed, 200), holes(seed)
    found = source_map(sources, AREA, fraction, column="mag", name=name, order=order)
    rule = RULES[name]
    own = AREA.index(hpx.cells_at(sources.lon_deg, sources.lat_deg, ORDER))
    mag = sources.columns["mag"]
    shift = 2 * (ORDER - order)
    for cell, share in zip(AREA.cells(), fraction):
        inside = (AREA.cells()[own] >> shift == cell >> shift) & (fraction[own] > 0) & np.isfinite(mag)
        value = found.of_cells([cell])[0]
        if share == 0 or not inside.any():
            assert np.isnan(value)
        else:
            assert value == pytest.approx(rule(mag[inside]), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("everywhere", [False, True])
def test_a_uniform_sky_is_recovered_through_holes(everywhere: bool) -> None:
    """Poisson within 3 sigma, per coarse cell in the mean of squares, and over all without bias."""
    order, density = 9, 40_000.0
    area = CellSet.from_ranges(order, [(PARENT << 8, (PARENT + 16) << 8)])
    rng, fraction = np.random.default_rng(11), holes(5, area)
    exposed = np.ones(len(area)) if everywhere else fraction
    count = rng.poisson(density * hpx.cell_area_deg2(order) * exposed.sum())
    found = density_map(drawn(12, count, area, exposed), area, fraction, order=5, everywhere=everywhere)
    omega = hpx.cell_area_deg2(order)
    total = number(found, area, fraction) / (omega * fraction.sum())
    square = np.sum(fraction**2) if everywhere else fraction.sum()  # variance: sum of f^2 or f
    sigma = np.sqrt(density * square / omega) / fraction.sum()
    assert abs(total - density) < 3 * sigma
    pulls = []
    for parent in range(PARENT, PARENT + 16):
        inside = area.cells() >> 8 == parent
        f = fraction[inside]
        variance = density * (np.sum(f**2) if everywhere else f.sum()) / omega / f.sum() ** 2
        value = found.of_cells(area.cells()[inside & (fraction > 0)])
        assert np.ptp(value) == 0
        pulls.append((value[0] - density) / np.sqrt(variance))
    assert abs(np.sum(np.square(pulls)) - 16) < 3 * np.sqrt(32)


def test_an_area_without_sources_has_density_zero_and_no_brightness() -> None:
    none, fraction = Sources(np.empty(0), np.empty(0), {"mag": np.empty(0)}), holes(1)
    found = density_map(none, AREA, fraction, order=5)
    assert len(found) == np.sum(fraction > 0) and not found.values.any()
    assert len(source_map(none, AREA, fraction, column="mag", order=5)) == 0
    assert len(density_map(none, AREA, np.zeros(len(AREA)), order=5)) == 0
    assert len(density_map(none, CellSet(ORDER), np.empty(0), order=5)) == 0


def test_the_same_order_gives_each_cell_its_own_sources() -> None:
    one = int(AREA.cells()[7])
    sources = Sources(*hpx.centres([one, one], ORDER), {"mag": np.array([15.0, 17.0])})
    fraction = np.full(len(AREA), 0.5)
    found = density_map(sources, AREA, fraction, order=ORDER)
    assert found.of_cells([one])[0] == np.float32(2 / (0.5 * hpx.cell_area_deg2(ORDER)))
    assert found.values.sum() == found.of_cells([one])[0]
    assert source_map(sources, AREA, fraction, column="mag", name="STD", order=ORDER).values.tolist() == [1.0]


def test_what_does_not_fit_is_refused() -> None:
    sources, whole = drawn(1, 10), np.ones(len(AREA))
    for fraction in (whole[1:], whole * 1.1, whole - 2, whole * np.nan):
        with pytest.raises(MapMismatchError, match=r"one observed fraction in \[0, 1\] per cell"):
            density_map(sources, AREA, fraction, order=5)
    for order in (-1, ORDER + 1):
        with pytest.raises(MapMismatchError, match=f"an order of 0 to 8, found {order}"):
            density_map(sources, AREA, whole, order=order)
    with pytest.raises(InputError, match="must have a column G, found mag"):
        density_map(sources, AREA, whole, order=5, window=("G", 12.0, 18.0))
    with pytest.raises(InputError, match="must have a column G, found mag"):
        source_map(sources, AREA, whole, order=5, column="G")
    with pytest.raises(MissingProductError, match="sources have none"):
        source_map(sources, AREA, whole, order=5, column="mag", name="ARGMAX")
    with pytest.raises(InputError, match="a statistic must be one of"):
        source_map(sources, AREA, whole, order=5, column="mag", name="MEANEST")
