"""What comes from outside a simulated survey: read back by other software, against the closed forms."""

import math
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from astropy.io import fits

from vmpz.io.skysample import describe_map, sample_map
from vmpz.io.sources import read_sources
from vmpz.quantities import QUANTITIES
from vmpz.simulate.field import Sky
from vmpz.simulate.outside import (
    GALAXIES,
    STARS,
    ebv,
    maps_of,
    quality,
    reddening_coefficients,
    write_outside,
)
from vmpz.tiles import tiles_near


@pytest.fixture(scope="module")
def sky() -> Sky:
    return Sky(tiles_near(57.9988, -51.5, 2), 10.0, 3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, sky: Sky) -> Path:
    made = tmp_path_factory.mktemp("outside")
    write_outside(made, sky)
    return made / "outside"


def area_deg2(sky: Sky) -> float:
    x0, x1, y0, y1 = sky.extent
    u, v = np.meshgrid(np.linspace(x0, x1, 401), np.linspace(y0, y1, 401))
    return math.degrees(math.degrees(np.mean((1 + u * u + v * v) ** -1.5) * (x1 - x0) * (y1 - y0)))


def test_the_map_is_a_full_sky_as_planck_gives_it(folder: Path) -> None:
    with fits.open(folder / "ebv.fits", checksum=True) as hdus:
        header, column = hdus[1].header, hdus[1].data["EBV"]
    assert (header["ORDERING"], header["COORDSYS"], header["NSIDE"]) == ("RING", "G", 64)
    assert (header["INDXSCHM"], header["LASTPIX"], header["TFORM1"], header["TTYPE1"]) == (
        "IMPLICIT", 12 * 64**2 - 1, "1024E", "EBV",
    )  # fmt: skip
    assert column.shape == (48, 1024)
    ring = column.ravel().astype(float)
    assert ring.min() > 0.02
    # rings of equal latitude: the first four pixels stand at 45, 135, 225 and 315 degrees around the pole
    z = 1.0 - 1.0 / (3.0 * 64**2)
    expected = ebv([45.0, 135.0, 225.0, 315.0], [math.degrees(math.asin(z))] * 4)
    assert ring[:4] == pytest.approx(expected, rel=1e-6)
    told = describe_map(folder / "ebv.fits")
    assert (told.coordsys, told.ordering, told.column, told.unit) == ("G", "RING", "EBV", "mag")


def test_values_of_the_map_are_the_closed_form(folder: Path) -> None:
    """The north galactic pole, and the galactic centre."""
    lon, lat = [192.85948, 266.40499], [27.12825, -28.93617]
    found = sample_map(folder / "ebv.fits", lon, lat, method="bilinear")
    assert found == pytest.approx(ebv([0.0, 0.0], [90.0, 0.0]), abs=2e-5)


def test_stars_are_uniform_with_the_stated_density_and_magnitudes(folder: Path, sky: Sky) -> None:
    table = pyarrow.parquet.read_table(folder / "stars.parquet").to_pydict()
    magnitude = np.array(table["phot_g_mean_mag"])
    expected = STARS.per_deg2 * area_deg2(sky)
    assert abs(magnitude.size - expected) < 5.0 * math.sqrt(expected)
    assert magnitude.min() >= STARS.brightest
    assert magnitude.max() <= STARS.faintest
    for low, high in ((8.0, 15.0), (15.0, 18.0), (18.0, 20.0), (20.0, 21.0)):
        share = STARS.share(low, high)
        inside = np.mean((magnitude >= low) & (magnitude < high))
        assert abs(inside - share) < 5.0 * math.sqrt(share / magnitude.size)
    assert STARS.share(0.0, 30.0) == pytest.approx(1.0)
    assert STARS.share(19.0, 20.0) / STARS.share(18.0, 19.0) == pytest.approx(10.0**STARS.slope)
    x0, x1, y0, y1 = sky.extent
    lon, lat = np.radians(table["ra"]), np.radians(table["dec"])
    vectors = np.stack((np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)), axis=1)
    x, y = sky.plane.project(vectors)
    counts = np.histogram2d(x, y, 4, ((x0, x1), (y0, y1)))[0]
    assert counts.sum() == magnitude.size
    assert np.abs(counts - counts.mean()).max() < 5.0 * math.sqrt(counts.mean())


def test_galaxies_have_a_quality_that_falls_with_magnitude(folder: Path) -> None:
    with fits.open(folder / "galaxies.fits", checksum=True) as hdus:
        table = hdus["GALAXIES"].data
        magnitude, told = table["MAG"].astype(float), table["PHZ_QUALITY"].astype(float)
        units = [column.unit for column in hdus["GALAXIES"].columns]
    assert units == ["deg", "deg", "mag", None]
    known = np.isfinite(told)
    assert np.count_nonzero(~known) == -(-told.size // 50)
    assert np.array_equal(told[known], quality(magnitude)[known])
    assert quality(np.array([GALAXIES.brightest, GALAXIES.faintest])) == pytest.approx([0.95, 0.35])
    sources = read_sources(folder / "galaxies.fits", ("MAG",))
    assert np.array_equal(sources.columns["MAG"], magnitude)


def test_the_same_bytes_every_time(folder: Path, sky: Sky, tmp_path: Path) -> None:
    write_outside(tmp_path, sky)
    for path in folder.iterdir():
        assert (tmp_path / "outside" / path.name).read_bytes() == path.read_bytes()


def test_every_map_that_instruments_can_give() -> None:
    every = {f"{name}:{row.statistic}" for name, row in QUANTITIES.items()}
    assert set(maps_of(["VIS", "DECAM"])) == every
    space, ground = set(maps_of(["NISP"])), set(maps_of(["LSSTCam"]))
    assert every - space == {
        "Airmass:WMEAN", "AtmosphericExtinction:WMEAN", "Seeing:MEDIAN", "ParallacticAngle:MEAN",
        "DCR1:WMEAN", "DCR2:WMEAN", "DCRE1:WMEAN", "DCRE2:WMEAN",
    }  # fmt: skip
    assert every - ground == {"SAA:MEAN", "AA:MEAN", "BA:MEAN", "Persistence:MEAN"}


def test_coefficients_are_on_the_scale_of_a_true_reddening() -> None:
    found = reddening_coefficients(["VIS", "DECAM_g", "LSST_r", "KIDS_r"])
    assert found == {"DECAM_g": 3.705, "LSST_r": 2.701, "KIDS_r": 2.657}
