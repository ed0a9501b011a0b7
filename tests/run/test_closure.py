"""A survey from galaxies to randoms: what the run makes of the images follows the galaxies that were put there."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from scipy import stats

from conftest import CREATED
from vmpz import io
from vmpz.parameters import Parameters, load
from vmpz.run.randomrequests import request_of_survey
from vmpz.run.randoms import draw_catalogue
from vmpz.run.store import Store
from vmpz.run.survey import run_survey
from vmpz.simulate import simulate
from vmpz.simulate.field import Sky
from vmpz.simulate.galaxies import DEEP_DEG2
from vmpz.simulate.usable import Usable
from vmpz.sky import hpx
from vmpz.sky.skymap import SkyMap
from vmpz.tiles import tiles_near

TILES, SIZE, SEED, PLACE = 2, 800, 5, (57.9988, -51.5)
CLASSES = ("counts", "deep")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("closure")
    simulate(where, tiles=TILES, size=SIZE, at=PLACE, seed=SEED, galaxies=True)
    return where


@pytest.fixture(scope="module")
def parameters(folder: Path) -> Parameters:
    content = load(folder / "survey.toml").model_dump()
    content["info"]["maps"] = []
    content["patches"] = []
    return Parameters.model_validate(content)


@pytest.fixture(scope="module")
def store(folder: Path, parameters: Parameters) -> Path:
    account = run_survey(parameters, folder / "store", created=CREATED)
    assert not account.has_failed, account.text()
    return folder / "store"


@pytest.fixture(scope="module")
def made(store: Path) -> dict[str, SkyMap]:
    """Visibility by class, all tiles."""
    entries = [entry for entry in Store(store).entries() if entry.key.kind == "visibility"]
    assert len(entries) == TILES * len(CLASSES)
    return {
        name: SkyMap.join([io.read(one.path(".fits")).map for one in entries if one.key.quantity == name])
        for name in CLASSES
    }


@pytest.fixture(scope="module")
def galaxies(folder: Path) -> dict[str, np.ndarray]:
    table = pyarrow.parquet.read_table(folder / "galaxies" / "catalogue.parquet")
    return {name: table[name].to_numpy() for name in table.column_names}


def truth(folder: Path, name: str) -> SkyMap:
    return io.read(folder / "truth" / f"visibility-{name}.fits").map


def usable(folder: Path, name: str) -> Usable:
    told = json.loads((folder / "truth" / "galaxies.json").read_text())["classes"][name]
    sky = Sky(sorted(tiles_near(*PLACE, TILES), key=lambda one: one.id), 1920.0 / SIZE, SEED)
    return Usable(sky, told["instruments"])


def per_cell(found: SkyMap, lon_deg: np.ndarray, lat_deg: np.ndarray) -> np.ndarray:
    """Points in each cell of a map; all must lie in one."""
    place = found.cells.index(hpx.cells_at(lon_deg, lat_deg, found.order))
    assert np.all(place >= 0)
    return np.bincount(place, minlength=len(found))


def chance(number: np.ndarray, mean: np.ndarray, groups: np.ndarray, scatter: float = 1.0) -> float:
    """Probability that counts are drawn from means of the same total, by group."""
    n = np.bincount(groups, number)
    mu = np.bincount(groups, mean) * number.sum() / mean.sum()
    return float(stats.chi2.sf(np.sum((n - mu) ** 2 / mu) / scatter, n.size - 1))


def deciles(found: SkyMap) -> np.ndarray:
    """Deciles of the values, fewer where many are equal."""
    groups = np.digitize(found.values, np.quantile(found.values, np.linspace(0, 1, 11)[1:-1]))
    return np.unique(groups, return_inverse=True)[1]


@pytest.mark.parametrize("name", CLASSES)
def test_cells_of_one_depth_have_the_true_visibility(
    name: str, folder: Path, made: dict[str, SkyMap]
) -> None:
    """Where a cell is covered whole by one number of exposures: the law itself, or the deep sample's own scatter."""
    true = truth(folder, name)
    ground, cells = usable(folder, name), true.cells
    kinds = sorted(set(ground.pieces()[1]))
    whole = ground.mean(dict.fromkeys(kinds, 1.0), cells).of_cells(cells.cells(), 0.0) > 1.0 - 1e-9
    for axis in range(len(kinds[0])):
        mean, square = (
            ground.mean({one: float(one[axis]) ** power for one in kinds}, cells).of_cells(cells.cells(), 0.0)
            for power in (1, 2)
        )
        whole &= np.abs(square - mean**2) < 1e-9
    found, expected = made[name].of_cells(cells.cells(), 0.0)[whole], true.values[whole].astype(float)
    assert whole.sum() > 500 and np.unique(expected).size > 5
    error = np.full(expected.size, 3e-6)
    if name == "deep":  # the share of its galaxies that are seen at one of two depths alone is binomial
        told = json.loads((folder / "truth" / "galaxies.json").read_text())["classes"][name]
        number = told["per_deg2_at_reference"] * DEEP_DEG2
        error += 4.0 * np.sqrt(expected * np.abs(1.0 - expected) / number)
    assert np.all(np.abs(found - expected) < error)


def test_cells_of_several_depths_have_the_mean_of_their_visibilities(
    folder: Path, made: dict[str, SkyMap]
) -> None:
    """At the edges of exposures: the truth is the mean over the cell, not the value at its mean depth."""
    true, ground = truth(folder, "counts"), usable(folder, "counts")
    kinds = sorted(set(ground.pieces()[1]))
    number = true.cells.cells()
    covered = ground.mean(dict.fromkeys(kinds, 1.0), true.cells).of_cells(number, 0.0)
    variance = ground.mean({one: 4.0 / one[0] for one in kinds}, true.cells).of_cells(number, 0.0)
    at_mean_depth = covered * (variance / covered) ** (-1.25 * 0.3)
    found = made["counts"].of_cells(number, 0.0)
    off, off_at_mean = np.abs(found - true.values), np.abs(at_mean_depth - true.values)
    assert off.mean() < 0.6 * off_at_mean.mean()  # the rest is that pixels are large here: 29 a cell
    whole = true.values.sum(dtype=np.float64)
    assert abs(found.sum(dtype=np.float64) / whole - 1.0) < 1e-3
    assert at_mean_depth.sum() / whole - 1.0 < -3e-3


@pytest.mark.parametrize("name", CLASSES)
def test_galaxies_follow_the_visibility_that_is_made(
    name: str, made: dict[str, SkyMap], galaxies: dict[str, np.ndarray]
) -> None:
    found, here = made[name], galaxies[f"IS_{name.upper()}"]
    lon, lat = galaxies["RIGHT_ASCENSION"][here], galaxies["DECLINATION"][here]
    inside = found.cells.contains(lon, lat)
    assert np.mean(inside) > 0.9995
    number = per_cell(found, lon[inside], lat[inside])
    groups = deciles(found)
    assert chance(number, found.values, groups) > 1e-3
    assert chance(number, np.ones(len(found)), groups) < 1e-9


@pytest.mark.parametrize("name", CLASSES)
def test_randoms_have_the_density_of_the_galaxies(
    name: str,
    folder: Path,
    parameters: Parameters,
    store: Path,
    galaxies: dict[str, np.ndarray],
    tmp_path: Path,
) -> None:
    """Galaxies over randoms are flat along the true visibility and over the sky; over uniform points they are not."""
    request = request_of_survey(parameters, store, name, {})
    told = draw_catalogue(request, tmp_path / "randoms.parquet", created=CREATED)
    table = pyarrow.parquet.read_table(tmp_path / "randoms.parquet")
    lon, lat = (table[key].to_numpy() for key in ("RIGHT_ASCENSION", "DECLINATION"))
    true, here = truth(folder, name), galaxies[f"IS_{name.upper()}"]
    place = true.cells.contains(lon, lat)
    assert told["rows"] == lon.size and np.mean(place) > 0.9995
    randoms = per_cell(true, lon[place], lat[place]).astype(float)
    seen = per_cell(true, galaxies["RIGHT_ASCENSION"][here], galaxies["DECLINATION"][here])
    assert randoms.sum() > 5.0 * seen.sum()
    region = np.unique(true.cells.cells() >> 2 * (true.order - 8), return_inverse=True)[1]
    for groups in (deciles(true), region):
        assert chance(seen, randoms, groups, 1.0 + seen.sum() / randoms.sum()) > 1e-3
        assert chance(seen, np.ones(len(true)), groups) < 1e-6


def test_randoms_have_the_redshifts_and_sizes_of_the_galaxies(
    parameters: Parameters, store: Path, folder: Path, galaxies: dict[str, np.ndarray], tmp_path: Path
) -> None:
    """They are those of the deep sample, other galaxies of the same law: as many different ones as points stand for."""
    request = request_of_survey(parameters, store, "deep", {"attributes": True, "density": 200_000.0})
    draw_catalogue(request, tmp_path / "randoms.parquet", created=CREATED)
    table = pyarrow.parquet.read_table(tmp_path / "randoms.parquet")
    here = galaxies["IS_DEEP"]
    for column, own in (("REDSHIFT_TRUE", "Z"), ("REDSHIFT", "Z_PHOT"), ("SIZE", "SIZE")):
        drawn, seen = table[column].to_numpy(), galaxies[own][here]
        different = np.unique(drawn).size
        distance = stats.ks_2samp(drawn, seen).statistic
        assert different > 1000 and drawn.size > 5 * seen.size
        number = different * seen.size / (different + seen.size)
        assert stats.kstwobign.sf(distance * np.sqrt(number)) > 1e-3
        everything = stats.ks_2samp(galaxies[own], seen).statistic
        assert everything > 2 * distance or column == "SIZE"
