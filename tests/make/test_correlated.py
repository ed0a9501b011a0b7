"""Correlated noise of images: drizzled white noise, whose factors are known, and what must not matter."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import sparse

from vmpz.errors import InputError
from vmpz.make.correlated import NoisePlanes, correlated_noise, stencil
from vmpz.physics.depth import depth_mag
from vmpz.physics.noise import drizzle_correlation

PIXEL = 0.1
DITHERS = 11


def generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


def overlaps(pixels: int, drop: float, shift: float) -> sparse.csr_array:
    """Lengths of output pixels (rows) that drops of one dither cover; the input pixels lie side by side."""
    left = np.arange(-2, int(np.ceil(pixels / drop)) + 2) * drop + shift
    rows, columns, lengths = [], [], []
    for number, begin in enumerate(left):
        for pixel in range(max(0, int(np.floor(begin))), min(pixels, int(np.ceil(begin + drop)))):
            rows.append(pixel)
            columns.append(number)
            lengths.append(min(begin + drop, pixel + 1) - max(begin, pixel))
    return sparse.csr_array((lengths, (rows, columns)), shape=(pixels, left.size))


def drizzled(draw: np.random.Generator, pixels: int, drop: float) -> tuple[np.ndarray, np.ndarray]:
    """White noise of unit variance per output area, drizzled from evenly spread dithers; its exact RMS per pixel.

    An input pixel is drop x drop output pixels, so its surface brightness has the variance dithers / drop**2 if the
    mean of all exposures is to have that of unit area.
    """
    image, variance = np.zeros((pixels, pixels)), np.zeros((pixels, pixels))
    for dither in range(DITHERS):
        shifts = (dither + 0.5) / DITHERS, (7 * dither % DITHERS + 0.5) / DITHERS
        rows, columns = (overlaps(pixels, drop, shift * drop) for shift in shifts)
        native = draw.standard_normal((rows.shape[1], columns.shape[1])) / drop / np.sqrt(DITHERS)
        image += rows @ native @ columns.T
        squares = np.outer(rows.power(2).sum(axis=1), columns.power(2).sum(axis=1))
        variance += squares / drop**2 / DITHERS
    return image, np.sqrt(variance)


def exact_factor(drop: float, shape: np.ndarray) -> float:
    """C of an aperture for many dithers: the overlap of drop and pixel, correlated with itself, on each axis."""
    step = 1e-3
    grid = np.arange(-drop - 1, drop + 1 + step, step)
    overlap = np.clip(np.minimum(drop / 2, grid + 0.5) - np.maximum(-drop / 2, grid - 0.5), 0, None)
    lags = np.arange(shape.shape[0])
    shifted = [overlap @ np.interp(grid - lag, grid, overlap, left=0, right=0) for lag in lags]
    rho = np.array(shifted) / shifted[0]
    y, x = np.nonzero(shape)
    total = (rho[np.abs(y[:, None] - y)] * rho[np.abs(x[:, None] - x)]).sum()
    return float(np.sqrt(total / y.size))


def everywhere(image: np.ndarray, rms: np.ndarray) -> NoisePlanes:
    return NoisePlanes.of(image, rms, np.ones(image.shape, bool))


@pytest.mark.parametrize(("drop", "too_deep_mag"), [(1.0, 0.44), (2.0, 0.951), (3.0, 1.321)])
def test_drizzled_white_noise(drop: float, too_deep_mag: float) -> None:
    """Uncorrected depths are too deep by the drizzle limit; the measured factor brings them to the true noise."""
    image, rms = drizzled(generator(int(drop)), 1200, drop)
    found = correlated_noise(everywhere(image, rms), PIXEL, [0.7, 2.0, 6.0], seed=5, number=40_000)
    true = depth_mag(1.0, 100.0, zero_point_mag=25.0)  # unit variance per area: what a large aperture sees
    uncorrected = depth_mag(np.sqrt(np.mean(rms**2)), 100.0, zero_point_mag=25.0)
    assert uncorrected - true == pytest.approx(too_deep_mag, abs=0.05)
    small, middle, large = found.apertures
    assert small.apertures > 20_000
    for one in (small, middle):
        exact = exact_factor(drop, stencil(one.diameter_arcsec / PIXEL))
        of_aperture = {"rms": np.sqrt(np.mean(rms**2)), "area_pixels": one.pixels, "zero_point_mag": 25.0}
        corrected = depth_mag(**of_aperture, correlated_noise=one.factor)
        sampling_mag = 2.5 / np.log(10) * one.error / one.factor
        assert abs(corrected - depth_mag(**of_aperture, correlated_noise=exact)) <= max(
            0.02, 2.5 * sampling_mag
        )
        assert abs(2.5 * np.log10(one.autocovariance / exact)) <= 0.02
    limit = float(drizzle_correlation(drop))
    edges_mag = 2.5 * np.log10(limit / exact_factor(drop, stencil(60.0)))
    assert edges_mag < 0.06
    off_mag = 2.5 * np.log10(limit / large.autocovariance) - edges_mag
    assert abs(off_mag) < 0.02 + 3 * 2.5 / np.log(10) * large.autocovariance_error / large.autocovariance
    assert found.rms_ratio == pytest.approx(1.0, abs=0.01)
    assert found.fit is not None and 0.5 <= found.fit.b <= 1.0


def test_white_noise_needs_no_correction_whatever_its_level() -> None:
    draw = generator(2)
    rms = np.exp(0.5 * draw.standard_normal((700, 900)))
    image = draw.standard_normal(rms.shape) * rms + 3.0
    found = correlated_noise(everywhere(image - 3.0, rms), PIXEL, [0.3, 1.0], seed=1)
    for one in found.apertures:
        assert (
            abs(one.factor - 1) < 4 * one.error and abs(one.autocovariance - 1) < 5 * one.autocovariance_error
        )
    assert [one.pixels for one in found.apertures] == [np.count_nonzero(stencil(d)) for d in (3.0, 10.0)]
    constant = correlated_noise(
        everywhere(draw.standard_normal(rms.shape) + 3.0, np.ones(rms.shape)), PIXEL, [1.0], seed=1
    )
    assert abs(constant.apertures[0].factor - 1) < 4 * constant.apertures[0].error and constant.fit is None


def test_the_scale_of_the_rms_is_told_apart_from_correlation() -> None:
    image = generator(3).standard_normal((600, 600))
    found = correlated_noise(everywhere(image, np.full(image.shape, 2.0)), PIXEL, [1.0], seed=1)
    assert found.rms_ratio == pytest.approx(0.5, abs=0.005)
    assert found.apertures[0].factor == pytest.approx(0.5, abs=0.04)
    assert found.apertures[0].autocovariance == pytest.approx(1.0, abs=0.02)


def test_sources_and_masked_pixels_are_left_out() -> None:
    draw = generator(4)
    image = draw.standard_normal((800, 800))
    clean = correlated_noise(everywhere(image, np.ones(image.shape)), PIXEL, [1.0], seed=1)
    y, x = (draw.integers(0, 800, 300) for _ in range(2))
    spots = image.copy()
    np.add.at(spots, (y, x), 60.0)
    good = np.ones(image.shape, bool)
    good[:, 300:420] = False
    spots[:, 300:420] = np.nan
    spots[500, 600] = np.inf
    rms = np.ones(image.shape)
    rms[:40] = 1e16
    rms[40] = -1
    rms[41] = np.nan
    found = correlated_noise(NoisePlanes.of(spots, rms, good), PIXEL, [1.0], seed=1, grow_arcsec=0.5)
    one = found.apertures[0]
    assert one.apertures < clean.apertures[0].apertures
    assert abs(one.factor - 1) < 4 * one.error and abs(one.autocovariance - 1) < 0.03
    assert found.usable_fraction == pytest.approx(1 - (42 * 800 + 758 * 120 + 1) / 640_000, abs=1e-9)
    assert 0.02 < found.source_fraction < 0.5


def test_the_answer_depends_on_the_seed_alone() -> None:
    image = generator(6).standard_normal((700, 500))
    planes = everywhere(image, np.ones(image.shape))
    one = correlated_noise(planes, PIXEL, [0.5, 2.0], seed=1, number=300)
    assert one == correlated_noise(planes, PIXEL, [0.5, 2.0], seed=1, number=300)
    alone = correlated_noise(planes, PIXEL, [0.5], seed=1, number=300)
    assert alone.apertures[0].factor == one.apertures[0].factor
    other = correlated_noise(planes, PIXEL, [0.5], seed=2, number=300)
    assert other.apertures[0].factor != one.apertures[0].factor


def test_rows_are_read_once_and_in_order() -> None:
    image, read = generator(7).standard_normal((1100, 300)), []

    def rows(start: int, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        read.append((start, stop))
        part = image[start:stop]
        return part, np.ones(part.shape), np.ones(part.shape, bool)

    correlated_noise(NoisePlanes(image.shape, rows), PIXEL, [1.0], seed=1)
    assert read[0][0] == 0 and read[-1][1] == 1100
    assert all(one[1] == two[0] for one, two in pairwise(read))
    assert max(stop - start for start, stop in read) < 600


def test_faults_of_images() -> None:
    image = generator(8).standard_normal((300, 300))
    with pytest.raises(InputError, match="must have one shape"):
        NoisePlanes.of(image, image[:-1], image > 0)
    nothing = NoisePlanes.of(image, np.ones(image.shape), np.zeros(image.shape, bool))
    with pytest.raises(InputError, match="all are masked"):
        correlated_noise(nothing, PIXEL, [1.0], seed=1)
    with pytest.raises(InputError, match="at least 100 empty apertures of 4 arcsec"):
        correlated_noise(everywhere(image, np.ones(image.shape)), PIXEL, [4.0], seed=1)
    for diameter in (0.05, 40.0):
        with pytest.raises(InputError, match="1 to 300 pixels"):
            correlated_noise(everywhere(image, np.ones(image.shape)), PIXEL, [diameter], seed=1)
