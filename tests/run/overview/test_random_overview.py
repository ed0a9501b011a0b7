"""Random catalogues in an overview: tested against the map that they follow, and pictured."""

from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

from store_helpers import provenance, put_map, sky_map, tile_key
from vmpz import io
from vmpz.errors import InputError
from vmpz.products import Product
from vmpz.run.overview.gather import OverviewRequest, RandomsRequest, overview_of
from vmpz.run.overview.randoms import randoms_of
from vmpz.run.store import Store
from vmpz.run.summaries import summary_of
from vmpz.sky import hpx
from vmpz.sky.skymap import SkyMap

TILES, ORDER, ROWS = (20000, 20001), 9, 8_000


def points(whole: SkyMap, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions whose density follows a map."""
    rng = np.random.default_rng(5)
    chance = whole.values.astype(float) / whole.values.sum(dtype=float)
    cells = rng.choice(whole.cells.cells(), count, p=chance)
    return hpx.positions(cells, ORDER, rng.random(count), rng.random(count))


def write(path: Path, whole: SkyMap, count: int = ROWS, **keywords: object) -> Path:
    lon, lat = points(whole, count)
    Table({"RIGHT_ASCENSION": lon, "DECLINATION": lat}, meta=keywords).write(path)
    return path


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("randoms") / "s")
    for place, name in enumerate(("deep", "wide")):
        for tile in TILES:
            key = tile_key(tile, "visibility", "-", ORDER, quantity=name)
            put_map(store, key, sky_map(tile, ORDER, seed=place), recipe="visibility", number=tile + place)
    return store


@pytest.fixture(scope="module")
def deep() -> SkyMap:
    return SkyMap.join([sky_map(tile, ORDER, seed=0) for tile in TILES])


def test_the_header_says_which_map_it_follows(store: Store, deep: SkyMap, tmp_path: Path) -> None:
    path = write(tmp_path / "r.fits", deep, BINSEL="deep", HPXORDER=ORDER)
    overview = overview_of(store, OverviewRequest(randoms=[RandomsRequest(path)]))
    (one,) = overview.randoms
    assert (one.file, one.map, one.rows) == ("r.fits", "visibility_deep", ROWS) and one.passed
    assert set(one.curves) == {"visibility", "ratio", "error"} and len(one.verdicts) == 12
    assert not [note for note in overview.notes if "r.fits" in note]
    cells = deep.cells.cells()
    lon, lat = points(deep, ROWS)
    shift = 2 * (ORDER - one.density.order)
    for cell, value in zip(one.density.cells.cells(), one.density.values, strict=True):
        integral = deep.values[cells >> shift == cell].sum(dtype=float) * hpx.cell_area_deg2(ORDER)
        found = np.count_nonzero(hpx.cells_at(lon, lat, one.density.order) == cell)
        assert value == pytest.approx(found / integral)
    assert ROWS / len(one.density) >= 100


def test_a_name_chooses_the_map_and_the_wrong_one_fails(store: Store, deep: SkyMap, tmp_path: Path) -> None:
    path = write(tmp_path / "r.fits", deep)
    found, notes = randoms_of(store, RandomsRequest(path, "visibility_wide"))
    assert found.map == "visibility_wide" and not found.passed and not notes
    assert {one["name"] for one in found.verdicts if one["verdict"] == "failed"} >= {"outside"}


@pytest.mark.parametrize(
    ("name", "words"),
    [(None, {}), ("visibility_dep", {}), (None, {"BINSEL": "deep", "HPXORDER": 5}), ("depth_VIS", {})],
)
def test_a_catalogue_of_no_map_is_refused(
    store: Store, deep: SkyMap, tmp_path: Path, name: str | None, words: dict[str, object]
) -> None:
    path = write(tmp_path / "r.fits", deep, 100, **words)
    with pytest.raises(InputError, match=r"found visibility_deep, visibility_wide: name the map"):
        randoms_of(store, RandomsRequest(path, name))


def test_a_catalogue_of_another_reference_is_noted(tmp_path: Path) -> None:
    store, one, source = Store(tmp_path / "s"), sky_map(31000, ORDER), provenance("visibility")
    key = tile_key(31000, "visibility", "-", ORDER, quantity="old")
    product = Product(key, {"WEIGHT": one}, None, {"VISREF": "VIS=25.7"}, "", source)
    store.put(key, source, lambda folder: io.write(product, folder), summary=summary_of(product))
    words = {"BINSEL": "old", "HPXORDER": ORDER}
    path = write(tmp_path / "r.fits", one, 3000, VISREF="VIS=25.0", **words)
    _, notes = randoms_of(store, RandomsRequest(path))
    assert notes == ["r.fits: VISREF must be that of visibility_old, VIS=25.7; found VIS=25.0"]
    _, notes = randoms_of(
        store, RandomsRequest(write(tmp_path / "s.fits", one, 3000, VISREF="VIS=25.7", **words))
    )
    assert notes == []
