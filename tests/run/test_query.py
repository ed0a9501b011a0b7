"""Asking a store: the same values as looking into every map by hand, each file read once."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st
from mocpy import MOC
from pyarrow import parquet as pq

from store_helpers import TILE_ORDER, fill, put_map, sky_map, tile_key
from vmpz import io
from vmpz.cli import _status_of
from vmpz.errors import InputError, MissingProductError
from vmpz.run import query as module
from vmpz.run.named import name_of
from vmpz.run.query import Wanted, add_values, region_of_store, stored_maps, values_at
from vmpz.run.store import Store
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap

TILES = (20000, 20001, 20007, 31000)
FRACTIONS = ("coverage", "bitmask")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Four tiles (one far away), two bands, four kinds, and a patch that repeats a tile with other values."""
    store = Store(tmp_path_factory.mktemp("query") / "s")
    fill(store, TILES, order=10)
    patch = replace(tile_key(0, "depth", order=10, selection="INVALID"), area="north")
    one = sky_map(20000, 10)
    put_map(store, patch, SkyMap(one.cells, one.values + 5), recipe="merge")
    return store


def inside(tiles: tuple[int, ...], count: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Positions in tiles, in no order."""
    rng = np.random.default_rng(seed)
    tile = rng.choice(tiles, count)
    return hpx.positions(tile, TILE_ORDER, rng.random(count), rng.random(count))


def by_hand(store: Store, lon: Any, lat: Any) -> dict[str, np.ndarray]:
    """Every position looked up in every map of every tile."""
    found: dict[str, np.ndarray] = {}
    for entry in store.entries():
        if not entry.key.area.isdigit():
            continue
        product = io.read(entry.path(".fits"))
        for column, one in product.maps.items():
            name = name_of(entry.key) + ("" if column == "WEIGHT" else f"_{column}")
            absent = 0.0 if entry.key.kind in FRACTIONS else np.nan
            values = found.setdefault(name, np.full(np.size(lon), absent))
            cells = hpx.cells_at(lon, lat, one.order)
            for place, cell in enumerate(np.ravel(cells)):
                index = int(one.cells.index([cell])[0])
                if index >= 0:
                    values[place] = one.values[index]
    return found


# -- at positions -----------------------------------------------------------------------------------------------------


def test_values_are_those_of_the_maps(store: Store) -> None:
    lon, lat = inside((*TILES, 20002, 5), 300)
    found, expected = values_at(store, lon, lat), by_hand(store, lon, lat)
    assert list(found) == sorted(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name].values, values, err_msg=name)
    assert {"depth_VIS", "coverage_NIR_H", "Noise_RMSQ_VIS", "bitmask_VIS", "bitmask_VIS_BIT01"} <= set(found)
    assert found["depth_VIS"].unit == "mag" and found["depth_VIS"].values.dtype == np.float32
    assert found["depth_VIS"].meaning == "depth INVALID VIS VIS order 10 release 0.1"


@given(
    st.lists(
        st.tuples(st.floats(-720, 720) | st.just(np.nan), st.floats(-90, 90) | st.just(np.nan)), max_size=20
    )
)
@settings(max_examples=8, deadline=None)
def test_positions_anywhere_have_the_values_of_their_cells(
    store: Store, where: list[tuple[float, float]]
) -> None:
    lon, lat = np.array(where, float).reshape(-1, 2).T
    known = np.isfinite(lon) & np.isfinite(lat)
    found = values_at(store, lon, lat, Wanted(kinds=["depth", "coverage"]))
    expected = by_hand(store, lon[known], lat[known])
    for name, one in found.items():
        np.testing.assert_array_equal(one.values[known], expected[name])
        absent = 0.0 if name.startswith("coverage") else np.nan
        np.testing.assert_array_equal(one.values[~known], np.full((~known).sum(), absent))


def test_positions_on_the_edges_of_cells_have_one_value(store: Store) -> None:
    """Corners of cells: whatever cell the library says, at any order, it is the cell that the map is asked for."""
    lon, lat = (part.ravel() for part in hpx.vertices(CellSet.from_cells(6, TILES).at_order(9).cells(), 9))
    found = values_at(store, lon, lat, Wanted(kinds=["depth"], bands=["VIS"]))
    np.testing.assert_array_equal(found["depth_VIS"].values, by_hand(store, lon, lat)["depth_VIS"])


def test_where_nothing_is_fractions_are_0_and_others_unknown(store: Store) -> None:
    found = {name: one.values[0] for name, one in values_at(store, 10.0, 80.0).items()}
    assert found["coverage_VIS"] == found["bitmask_VIS"] == found["bitmask_VIS_BIT01"] == 0.0
    assert np.isnan(found["depth_VIS"]) and np.isnan(found["Noise_RMSQ_NIR_H"])


def test_patches_are_asked_by_their_name_only(store: Store) -> None:
    lon, lat = inside((20000,), 50)
    tiles = values_at(store, lon, lat, Wanted(kinds=["depth"], bands=["VIS"]))["depth_VIS"].values
    patch = values_at(store, lon, lat, Wanted(areas=["north"]))
    assert list(patch) == ["depth_VIS"]
    one = sky_map(20000, 10)
    np.testing.assert_array_equal(
        patch["depth_VIS"].values, SkyMap(one.cells, one.values + 5).at(lon, lat).astype(np.float32)
    )
    assert np.nanmin(tiles) >= 24
    one_tile = values_at(store, lon, lat, Wanted(kinds=["depth"], bands=["VIS"], areas=["20001"]))
    assert np.isnan(one_tile["depth_VIS"].values).all()


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Wanted(kinds=["nothing"]), "must hold the kind nothing; found bitmask"),
        (Wanted(kinds=["footprint"]), "of tiles; a patch is asked by its name"),
        (Wanted(areas=["nrth"]), "must hold the area nrth, did you mean north; found 20000"),
        (Wanted(areas=["north"], kinds=["footprint"]), "found none of these areas"),
        (Wanted(kinds=["statistics"]), "must hold maps"),
    ],
)
def test_maps_that_are_not_there_are_refused(store: Store, wanted: Wanted, message: str) -> None:
    with pytest.raises(InputError, match=message):
        values_at(store, 0.0, 0.0, wanted)


def test_a_latitude_beyond_the_poles_is_named(store: Store) -> None:
    with pytest.raises(InputError, match=r"row 3: a latitude must lie in \[-90, 90\] degrees, found 91"):
        values_at(store, [0, np.nan, 0], [0, 95, 91])


def test_maps_of_one_name_are_told_apart(tmp_path: Path) -> None:
    store, one = Store(tmp_path), sky_map(20000, 9)
    put_map(store, tile_key(20000, "bitmask", order=9, selection="SAT"), one)
    put_map(store, tile_key(20000, "bitmask", order=9, selection="INVALID,HOT"), one)
    put_map(store, tile_key(20000, "depth", order=9), one)
    put_map(store, tile_key(20000, "depth", order=8), sky_map(20000, 8))
    put_map(store, replace(tile_key(20000, "depth", order=9), release="0.2"), one)
    assert [one.name for one in stored_maps(store)] == [
        "bitmask_VIS_INVALID_HOT", "bitmask_VIS_SAT", "depth_VIS_8_0_1", "depth_VIS_9_0_1", "depth_VIS_9_0_2",
    ]  # fmt: skip


def test_maps_of_integers_become_numbers_that_know_nan(tmp_path: Path) -> None:
    cells = CellSet.from_cells(6, [20000]).at_order(9)
    one = SkyMap(cells, np.full(len(cells), 102018211, np.int64))
    key = replace(tile_key(20000, "info", "-", order=9, quantity="Tile", statistic="VALUE"), instrument="-")
    put_map(Store(tmp_path), key, one)
    lon, lat = inside((20000, 5), 40)
    found = values_at(Store(tmp_path), lon, lat)["Tile_VALUE"].values
    np.testing.assert_array_equal(found, one.at(lon, lat))
    assert found.dtype == np.float64


# -- files ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys of products that are read."""
    seen: list[str] = []
    real = module._read

    def noting(store: Store, row: dict[str, Any]) -> Any:
        seen.append(row["key"])
        return real(store, row)

    monkeypatch.setattr(module, "_read", noting)
    return seen


def test_every_file_is_read_once_and_none_in_vain(store: Store, read: list[str]) -> None:
    lon, lat = inside((20000, 20001), 2000)
    values_at(store, lon, lat)
    assert len(read) == len(set(read)) and {key.split("~")[0] for key in read} == {"20000", "20001"}
    assert len(read) == 16


def test_products_without_a_summary_are_all_read(tmp_path: Path, read: list[str]) -> None:
    store = Store(tmp_path)
    fill(store, [20000, 20001], ["VIS"], order=9)
    for path in tmp_path.rglob("manifest.json"):
        content = json.loads(path.read_text())
        path.write_text(json.dumps({**content, "summary": {}}))
    lon, lat = inside((20000, 20001), 100)
    found, expected = values_at(store, lon, lat), by_hand(store, lon, lat)
    for name, one in found.items():
        np.testing.assert_array_equal(one.values, expected[name])
    assert len(read) == 8
    region = tmp_path / "r.fits"
    MOC.from_string("6/20000").save(region, format="fits")
    assert {row["area"] for row in region_of_store(store, region)["products"]} == {"20000"}


def test_a_product_that_vanished_is_told(tmp_path: Path) -> None:
    store = Store(tmp_path)
    fill(store, [20000], ["VIS"], order=9)
    values_at(store, 0, 0)
    entry = next(entry for entry in store.entries() if entry.key.kind == "depth")
    entry.path(".fits").unlink()
    lon, lat = inside((20000,), 3)
    found = values_at(store, lon, lat)
    assert "depth_VIS" not in found  # its stamp is young, so the index looked again
    rows = [{"key": entry.key.text}]
    with pytest.raises(MissingProductError, match="found it incomplete"):
        module._read(store, rows[0])


def test_a_damaged_product_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    fill(store, [20000], ["VIS"], order=9)
    path = next(entry for entry in store.entries() if entry.key.kind == "depth").path(".fits")
    content = bytearray(path.read_bytes())
    content[-2880] ^= 1
    path.write_bytes(bytes(content))
    lon, lat = inside((20000,), 3)
    with pytest.raises(InputError, match="DATASUM") as caught:
        values_at(store, lon, lat)
    assert any("20000 VIS depth" in note for note in caught.value.__notes__)


def test_an_object_store_gives_the_same_values(store: Store) -> None:
    other = Store(f"memory://{uuid4().hex}/s")
    fill(other, TILES, order=10)
    lon, lat = inside(TILES, 200)
    one, two = values_at(store, lon, lat), values_at(other, lon, lat)
    assert list(one) == list(two)
    for name in one:
        np.testing.assert_array_equal(one[name].values, two[name].values)


@pytest.mark.gpl
def test_healsparse_finds_the_same_values(store: Store) -> None:
    healsparse = pytest.importorskip("healsparse")
    lon, lat = inside((*TILES, 20003), 5000)
    one = healsparse.HealSparseMap.make_empty(32, 1 << 10, np.float32)
    for tile in TILES:
        values = sky_map(tile, 10)
        one[values.cells.cells()] = (24 + values.values).astype(np.float32)
    expected = one.get_values_pos(lon, lat, lonlat=True)
    found = values_at(store, lon, lat, Wanted(["depth"], ["VIS"]))["depth_VIS"].values
    np.testing.assert_array_equal(np.nan_to_num(found, nan=one.sentinel), expected)


# -- catalogues -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["fits", "parquet"])
def test_a_catalogue_gets_all_values_as_columns(store: Store, tmp_path: Path, end: str) -> None:
    lon, lat = inside((*TILES, 5), 500)
    names = np.array([f"object {n}" for n in range(500)])
    Table({"id": np.arange(500), "Right_Ascension": lon, "Declination": lat, "name": names}).write(
        tmp_path / f"in.{end}"
    )
    told = add_values(store, tmp_path / f"in.{end}", tmp_path / f"out.{end}")
    if end == "fits":
        new = Table.read(tmp_path / "out.fits")
    else:  # astropy itself needs pandas for this form
        new = Table(pq.read_table(tmp_path / "out.parquet").to_pydict())
    assert new.colnames == ["id", "Right_Ascension", "Declination", "name", *told]
    assert list(new["name"].astype(str)) == list(names) and list(new["id"]) == list(range(500))
    for name, one in values_at(store, lon, lat).items():
        np.testing.assert_array_equal(np.ma.filled(new[name], np.nan), one.values)


def test_a_wrong_position_names_its_catalogue(store: Store, tmp_path: Path) -> None:
    Table({"ra": [1.0, 2.0], "dec": [1.0, 100.0]}).write(tmp_path / "in.fits")
    with pytest.raises(InputError, match="row 2: a latitude") as caught:
        add_values(store, tmp_path / "in.fits", tmp_path / "out.fits")
    assert f"catalogue: {tmp_path / 'in.fits'}" in caught.value.__notes__
    assert not (tmp_path / "out.fits").exists()


# -- regions ----------------------------------------------------------------------------------------------------------


def write_moc(cells: CellSet, path: Path) -> Path:
    cells.to_moc().save(path, format="fits")
    return path


def regions() -> Iterator[CellSet]:
    rng = np.random.default_rng(3)
    for order in (5, 8, 10, 12):
        cells = CellSet.from_cells(6, [20000, 20001, 20002, 100]).at_order(order).cells()
        yield CellSet.from_cells(order, cells[rng.random(cells.size) < 0.4])


@pytest.mark.parametrize("region", list(regions()), ids=lambda one: f"order {one.order}")
def test_what_lies_in_a_region_is_what_its_smallest_cells_say(
    store: Store, tmp_path: Path, region: CellSet
) -> None:
    told = region_of_store(store, write_moc(region, tmp_path / "r.fits"))
    assert told["region_deg2"] == pytest.approx(region.area_deg2)
    fine = region.at_order(12).cells()
    area = hpx.cell_area_deg2(12)
    maps = {row["map"]: row for row in told["maps"]}
    overlaps = {row["key"]: row["overlap_deg2"] for row in told["products"]}
    sums: dict[str, list[np.ndarray]] = {}
    for entry in store.entries():
        if not entry.key.area.isdigit():
            continue
        one = io.read(entry.path(".fits")).map
        place = one.cells.index(fine >> 4)
        values = one.values[place[place >= 0]].astype(float)
        sums.setdefault(name_of(entry.key), []).append(values)
        assert overlaps.pop(entry.key.text, 0.0) == pytest.approx(values.size * area)
    assert not overlaps
    for name, parts in sums.items():
        values = np.concatenate(parts)
        row = maps.pop(name, None)
        assert (row is None) == (values.size == 0)
        if row is not None:
            assert row["area_deg2"] == pytest.approx(values.size * area)
            assert row["mean"] == pytest.approx(values.mean())
            assert (row["minimum"], row["maximum"]) == (values.min(), values.max())
            fraction = name.split("_")[0] in FRACTIONS
            assert ("integral_deg2" in row) == fraction
            if fraction:
                assert row["integral_deg2"] == pytest.approx(values.sum() * area)
    assert not maps


def test_tiles_that_the_region_cannot_touch_are_not_read(
    store: Store, tmp_path: Path, read: list[str]
) -> None:
    region_of_store(store, write_moc(CellSet.from_cells(7, [4 * 31000]), tmp_path / "r.fits"))
    assert {key.split("~")[0] for key in read} == {"31000"}


def test_a_region_that_is_none_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be a MOC, found nothing"):
        region_of_store(store, tmp_path / "no.fits")


# -- the command line -------------------------------------------------------------------------------------------------


def run(*words: object) -> int:
    return _status_of([str(word) for word in words])


def test_the_command_line_tells_values(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = sky_map(20000, 10)
    lon, lat = (float(part[0]) for part in hpx.centres(one.cells.cells()[:1], 10))
    assert run("query", store.root, "--at", lon, lat, "--json", "--bands", "VIS") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["coverage_VIS"] == pytest.approx(float(one.values[0])) and "coverage_NIR_H" not in told
    assert run("query", store.root, "--at", lon, lat, "--kinds", "depth") == 0
    out = capsys.readouterr().out
    assert "depth_VIS" in out and "mag" in out
    assert run("query", store.root, "--at", 10, 80, "--json", "--kinds", "depth") == 0
    assert json.loads(capsys.readouterr().out) == {"depth_NIR_H": None, "depth_VIS": None}


def test_the_command_line_writes_catalogues(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lon, lat = inside(TILES, 10)
    Table({"X": lon, "Y": lat}).write(tmp_path / "in.fits")
    words = ("query", store.root, "--catalog", tmp_path / "in.fits", "-o", tmp_path / "out.fits")
    assert run(*words, "--kinds", "depth") == 3
    assert "columns of position" in capsys.readouterr().err
    assert run(*words, "--kinds", "depth", "--columns", "X,Y", "--json") == 0
    assert json.loads(capsys.readouterr().out)["added"] == ["depth_NIR_H", "depth_VIS"]
    assert Table.read(tmp_path / "out.fits").colnames == ["X", "Y", "depth_NIR_H", "depth_VIS"]


def test_the_command_line_tells_regions(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_moc(CellSet.from_cells(6, [20001]), tmp_path / "r.fits")
    assert run("query", store.root, "--region", path, "--json", "--kinds", "coverage") == 0
    told = json.loads(capsys.readouterr().out)
    assert {row["area"] for row in told["products"]} == {"20001"} and len(told["maps"]) == 2
    assert run("query", store.root, "--region", path) == 0
    assert "coverage_VIS" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [(), ("--at", 1, 2, "--region", "r.fits"), ("--catalog", "in.fits"), ("-o", "out.fits", "--at", 1, 2)],
)
def test_the_command_line_asks_one_thing_at_a_time(store: Store, words: tuple[object, ...]) -> None:
    assert run("query", store.root, *words) == 2
