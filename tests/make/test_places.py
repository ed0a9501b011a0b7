"""Cells of two depths: what is seen there is the mean of both, exactly where there are two levels of noise."""

import numpy as np
import pytest

from vmpz.make.galaxies import Galaxies
from vmpz.make.places import LEAST_SCATTER, Scatter, places_of, scatter_of, visible
from vmpz.make.visibilitytable import Table
from vmpz.parameters import VisibilityParameters
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap
from vmpz.statistics import CellStatistics

ORDER = 10
CELLS = CellSet.from_ranges(ORDER, [(0, 60)])
BANDS = ("VIS", "NIR_Y")


class Law:
    """Seen as 10**(0.4 VIS + 0.2 NIR_Y)."""

    galaxies = Galaxies(np.ones(1))

    def seen(self, depth_mag: dict[str, float], ebv_mag: float = 0.0) -> np.ndarray:
        return np.array([10 ** (0.4 * (depth_mag["VIS"] - 25) + 0.2 * (depth_mag["NIR_Y"] - 24))])


def table() -> Table:
    reference = {"VIS": 25.0, "NIR_Y": 24.0}
    one = VisibilityParameters(name="x", reference=reference, coverage="VIS", counts={"slope": 0.4})  # type: ignore[arg-type]
    return Table(one, Law())  # type: ignore[arg-type]


def moments(pixels: np.ndarray) -> CellStatistics:
    """Cell statistics of noise (cells, pixels)."""
    n = pixels.shape[1]
    columns = {
        "geom": np.ones(len(CELLS)), "found": np.full(len(CELLS), n),
        "RMS.good.n": np.full(len(CELLS), n), "RMS.good.mean": pixels.mean(axis=1),
        "RMS.good.m2": pixels.var(axis=1) * n, "RMS.good.min": pixels.min(axis=1), "RMS.good.max": pixels.max(axis=1),
    }  # fmt: skip
    return CellStatistics(CELLS, columns)


def depth(noise: np.ndarray, zero_point: float) -> SkyMap:
    return SkyMap(CELLS, zero_point - 2.5 * np.log10(np.sqrt((noise**2).mean(axis=1))))


def of_pixels(vis: np.ndarray, nir: np.ndarray) -> np.ndarray:
    """The obvious version: the law in every pixel, averaged."""
    return 10 ** (0.4 * (25.1 - 2.5 * np.log10(vis) - 25) + 0.2 * (23.9 - 2.5 * np.log10(nir) - 24))


def made(vis: np.ndarray, nir: np.ndarray) -> np.ndarray:
    one = table()
    depths = {"VIS": depth(vis, 25.1), "NIR_Y": depth(nir, 23.9)}
    scatter = {band: scatter_of(moments(noise)) for band, noise in zip(BANDS, (vis, nir))}
    places = places_of(one.chosen, SkyMap(CELLS, np.ones(len(CELLS))), depths, None, scatter)  # type: ignore[arg-type]
    return visible(one, places)


def levels(share: np.ndarray, low: float, high: float, pixels: int = 1000) -> np.ndarray:
    return np.where(np.arange(pixels) < np.rint(share * pixels)[:, None], high, low)


def test_two_levels_are_exact_whatever_their_shares() -> None:
    share = np.linspace(0.02, 0.98, len(CELLS))
    vis, nir = levels(share, 0.5, 1.0), levels(share, 0.8, 1.3)
    assert np.allclose(made(vis, nir), of_pixels(vis, nir).mean(axis=1), rtol=1e-4)
    mean = [np.sqrt((one**2).mean(axis=1))[:, None] for one in (vis, nir)]
    assert np.abs(of_pixels(*mean)[:, 0] / of_pixels(vis, nir).mean(axis=1) - 1).max() > 0.1  # so it matters


def test_one_band_of_two_levels_and_noise_of_the_noise_map() -> None:
    rng = np.random.default_rng(8)
    share = np.linspace(0.05, 0.95, len(CELLS))
    vis = levels(share, 0.5, 1.0) * rng.normal(1.0, 0.03, (len(CELLS), 1000))
    nir = np.full((len(CELLS), 1000), 0.9)
    exact = of_pixels(vis, nir).mean(axis=1)
    assert np.allclose(
        made(vis, nir), exact, rtol=0.02
    )  # least and greatest value are those of the noise too
    at_mean = of_pixels(np.sqrt((vis**2).mean(axis=1))[:, None], nir[:, :1])[:, 0]
    assert np.abs(at_mean / exact - 1).max() > 0.05


def test_many_levels_are_right_to_their_moments() -> None:
    rng = np.random.default_rng(9)
    vis = rng.choice([0.5, 0.577, 0.707, 1.0], (len(CELLS), 1000))
    nir = np.full((len(CELLS), 1000), 0.9)
    assert np.allclose(made(vis, nir), of_pixels(vis, nir).mean(axis=1), rtol=0.01)


def test_a_little_scatter_is_that_of_the_noise_map() -> None:
    """So a cell at the reference has V = coverage to the bit, with the noise of real noise maps."""
    rng = np.random.default_rng(10)
    noise = rng.normal(1.0, 0.8 * LEAST_SCATTER, (len(CELLS), 1000))
    one = table()
    at = {"VIS": SkyMap(CELLS, np.full(60, 25.0)), "NIR_Y": SkyMap(CELLS, np.full(60, 24.0))}
    scatter = {band: scatter_of(moments(noise)) for band in BANDS}
    fraction = SkyMap(CELLS, np.linspace(0.1, 1, 60))
    places = places_of(one.chosen, fraction, at, None, scatter)  # type: ignore[arg-type]
    assert places.row.size == 60 and np.array_equal(visible(one, places), np.ones(60))


def test_shares_of_a_cell_add_up_and_depths_do_not_run_away() -> None:
    size = SkyMap(CELLS, np.linspace(0.0, 0.999, 60))
    scatter = {"VIS": Scatter(size, SkyMap(CELLS, np.linspace(0.01, 0.99, 60)))}
    at = {"VIS": SkyMap(CELLS, np.full(60, 25.0)), "NIR_Y": SkyMap(CELLS, np.full(60, 24.0))}
    places = places_of(table().chosen, SkyMap(CELLS, np.ones(60)), at, None, scatter)
    assert np.allclose(places.mean(np.ones(places.row.size)), 1.0)
    assert (places.positions[:, 0] <= 27.5).all() and (places.positions[:, 1] == 24.0).all()


@pytest.mark.parametrize("lacking", ["images", "moments"])
def test_where_nothing_is_known_of_the_scatter(lacking: str) -> None:
    one = moments(np.ones((len(CELLS), 3)))
    if lacking == "images":
        one = CellStatistics(one.cells, one.columns, {"images": 3.0})
    else:
        one = CellStatistics(one.cells, {"geom": one.columns["geom"], "found": one.columns["found"]})
    assert scatter_of(one) is None
