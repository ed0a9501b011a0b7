"""Depths from catalogues: known answers, laws, faults."""

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from vmpz.errors import InputError, MapMismatchError
from vmpz.make.calibrate import (
    DepthShift,
    compare_depths,
    completeness_depth,
    depth_product,
    is_matched,
    mean_depth,
    rykoff_depth,
    shifts_share_a_sign,
    snr_depth,
)
from vmpz.physics.rykoff import effective_time, magnitude_error
from vmpz.sky import hpx
from vmpz.sky.skymap import SkyMap

ORDER = 7
DEPTHS = {1000: 24.0, 1001: 24.5, 1003: 25.0}


def generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


def placed(draw: np.random.Generator, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions in three cells, and the depth of each."""
    cells = draw.choice(list(DEPTHS), number)
    lon, lat = hpx.positions(cells, ORDER, draw.random(number), draw.random(number))
    return lon, lat, np.array([DEPTHS[cell] for cell in cells])


def test_rykoff_depth_cell_by_cell() -> None:
    draw = generator(1)
    lon, lat, depth = placed(draw, 3000)
    mag = depth - 4 + 4.5 * draw.random(3000) ** 0.5
    error = magnitude_error(mag, depth, effective_time(depth, 0.1)) * np.exp(0.1 * draw.standard_normal(3000))
    error[:20] = np.nan
    found = rykoff_depth(lon, lat, mag, error, ORDER, seed=3, resamples=30)
    assert found.map.cells.cells().tolist() == list(DEPTHS) and (found.too_few, found.undetermined) == (0, 0)
    off = found.map.values - list(DEPTHS.values())
    assert np.all(np.abs(off) < 0.02) and np.all(np.abs(off) < 3.5 * found.maps["ERROR"].values)
    assert set(found.maps) == {"WEIGHT", "ERROR", "OBJECTS", "TEFF"}
    shuffled = draw.permutation(3000)
    again = rykoff_depth(
        lon[shuffled], lat[shuffled], mag[shuffled], error[shuffled], ORDER, seed=3, resamples=30
    )
    assert again == found
    first = hpx.cells_at(lon, lat, ORDER) == 1001
    alone = rykoff_depth(lon[first], lat[first], mag[first], error[first], ORDER, seed=3, resamples=30)
    assert (
        alone.map.values[0] == found.map.values[1]
        and alone.maps["ERROR"].values[0] == found.maps["ERROR"].values[1]
    )


def test_median_and_mean_by_signal_to_noise() -> None:
    draw = generator(2)
    lon, lat, depth = placed(draw, 30_000)
    mag = depth - 2 + 2.5 * draw.random(30_000)
    snr = 5 * 10 ** (-0.4 * (mag - depth)) * np.exp(0.1 * draw.standard_normal(30_000))
    snr[0], mag[1] = np.nan, np.nan
    for measure, bias in ((snr_depth, 0.0), (mean_depth, 0.0)):
        found = measure(lon, lat, mag, snr, ORDER)
        off = found.map.values - list(DEPTHS.values())
        assert np.all(np.abs(off - bias) < 5 * found.maps["ERROR"].values + 0.01), measure
    at_ten = snr_depth(lon, lat, mag, snr, ORDER, snr=10.0)
    shift = snr_depth(lon, lat, mag, snr, ORDER).map.values - at_ten.map.values
    assert shift == pytest.approx([2.5 * np.log10(2)] * 3, abs=1e-5)


def test_completeness_depth() -> None:
    draw = generator(3)
    lon, lat, depth = placed(draw, 6000)
    mag = depth - 3 + 5 * draw.random(6000)
    z = (depth - mag) / 0.25
    seen = draw.random(6000) < 0.96 * ndtr(z)
    for fraction in (0.5, 0.95):
        found = completeness_depth(lon, lat, mag, seen, ORDER, fraction=fraction)
        off = found.map.values - (np.array(list(DEPTHS.values())) - 0.25 * ndtri(fraction))
        assert np.all(np.abs(off) < 3.5 * found.maps["ERROR"].values)
        assert np.all(found.maps["ERROR"].values < 0.08)
        assert np.all(np.abs(found.maps["PLATEAU"].values - 0.96) < 0.03)
    with pytest.raises(InputError, match="between 0 and 1"):
        completeness_depth(lon, lat, mag, seen, ORDER, fraction=1.0)


def test_cells_without_a_limit_are_left_out_and_counted() -> None:
    draw = generator(4)
    lon, lat, depth = placed(draw, 900)
    mag = depth - 3 + 5 * draw.random(900)
    cells = hpx.cells_at(lon, lat, ORDER)
    seen = (mag < depth) & (cells != 1001)
    seen |= cells == 1003  # all detected there, none in 1001
    few = np.flatnonzero(cells == 1000)[:99]
    some = np.setdiff1d(np.arange(900), np.flatnonzero(cells == 1000)[150:])
    found = completeness_depth(lon[some], lat[some], mag[some], seen[some], ORDER)
    assert found.map.cells.cells().tolist() == [1000] and (found.too_few, found.undetermined) == (0, 2)
    with pytest.raises(InputError, match="at least 100 objects that determine a limit, found none: 1 of 1"):
        completeness_depth(lon[few], lat[few], mag[few], seen[few], ORDER)
    with pytest.raises(InputError, match="found none: 0 of 0"):
        snr_depth([], [], [], [], ORDER)


def test_matching_is_by_great_circles() -> None:
    draw = generator(5)
    lon, lat = (
        np.append(draw.random(500) * 0.02 + 359.99, [0.0]) % 360,
        np.append(89.9 + 0.1 * draw.random(500), [90.0]),
    )
    angle = draw.random(501) * 3.0
    others_lat = np.minimum(lat + angle / 3600, 90.0)
    moved = np.abs(others_lat - lat) * 3600
    found = is_matched(lon[:1], lat[:1], lon[:1], others_lat[:1], 1.5)
    assert found[0] == (moved[0] <= 1.5)
    slow = np.array([np.min(separation(a, b, lon, others_lat)) <= 1.5 for a, b in zip(lon, lat)])
    assert np.array_equal(is_matched(lon, lat, lon, others_lat, 1.5), slow) and 0 < slow.sum() < 501


def separation(lon: float, lat: float, others_lon: np.ndarray, others_lat: np.ndarray) -> np.ndarray:
    """Haversine, arcsec."""
    one, two = np.radians(lat), np.radians(others_lat)
    half = (
        np.sin((two - one) / 2) ** 2
        + np.cos(one) * np.cos(two) * np.sin(np.radians(others_lon - lon) / 2) ** 2
    )
    return np.degrees(2 * np.arcsin(np.sqrt(half))) * 3600


def test_products_say_what_they_are() -> None:
    draw = generator(6)
    lon, lat, depth = placed(draw, 1000)
    found = snr_depth(lon, lat, depth, np.full(1000, 5.0), ORDER)
    product = depth_product(found, area="a", band="VIS", method="snr", source="MAG, SNR", snr=5)
    words = product.keywords
    assert (words["DEPTHEST"], words["SNRLEVEL"], words["CORRFAC"]) == ("CATALOGUE", 5.0, 1.0)
    assert words["INFOSRC"] == "SNR: MAG, SNR" and words["EXTCORR"] is False and product.unit == "mag"
    other = depth_product(found, area="a", band="VIS", method="completeness", source="MAG", fraction=0.95)
    assert (other.keywords["DEPTHEST"], other.keywords["COMPFRAC"]) == ("COMPLETENESS", 0.95)
    assert "SNRLEVEL" not in other.keywords


def test_anchors() -> None:
    catalogue = SkyMap.from_cells(5, np.arange(20), np.float32(24 + 0.01 * np.arange(20)))
    fine = SkyMap.from_cells(7, np.arange(16 * 16), np.repeat(np.float32(23.9 + 0.01 * np.arange(16)), 16))
    shift = compare_depths(catalogue, fine)
    assert shift.cells == 16 and shift.median_mag == pytest.approx(0.1, abs=1e-5)
    assert shift.scatter_mag == pytest.approx(0, abs=1e-5)
    with pytest.raises(MapMismatchError, match="as fine as"):
        compare_depths(fine, catalogue)
    with pytest.raises(MapMismatchError, match="share cells"):
        compare_depths(catalogue, SkyMap.from_cells(7, [4000], [24.0]))
    published = [DepthShift(-0.402, 0.05, 100), DepthShift(0.464, 0.05, 100), DepthShift(0.317, 0.05, 100)]
    assert not shifts_share_a_sign(published) and shifts_share_a_sign(published[1:])
    assert shifts_share_a_sign([*published[1:], DepthShift(-0.001, 0.05, 100)])
