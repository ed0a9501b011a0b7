"""Values under the cursor are those of the files."""

import time

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

import store_helpers
from vmpz import io
from vmpz.errors import InputError
from vmpz.products import ProductKey
from vmpz.run.query import Wanted, values_at
from vmpz.run.store import Store
from vmpz.run.viewing.maps import listed_maps
from vmpz.run.viewing.values import Values
from vmpz.sky import hpx
from vmpz.sky.skymap import SkyMap

TILES = (40000, 40001, 40002, 43000)


def positions(count=200, seed=1):
    """On, beside and far from the tiles of the survey."""
    rng = np.random.default_rng(seed)
    lon, lat = 58.1 + 1.4 * (rng.random(count) - 0.5), -51.6 + 0.9 * (rng.random(count) - 0.5)
    lon[:5], lat[:5] = (0.0, 359.9999999, 123.4, 45.0, 58.0), (90.0, 0.0, -90.0, 35.0, -51.5)
    return lon, lat


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("viewing") / "store")
    store_helpers.fill(store, TILES, order=9)
    return Values(store, listed_maps(store, Wanted()))


def test_at_200_positions_they_equal_those_of_a_query(store):
    store = Store(store)
    values, (lon, lat) = Values(store, listed_maps(store, Wanted())), positions()
    wanted = values_at(store, lon, lat)
    found = [values.at(*position) for position in zip(lon.tolist(), lat.tolist(), strict=True)]
    assert len(found[0]) == len(wanted) > 10
    for column in zip(*found, strict=True):
        numbers = [np.nan if one.value is None else one.value for one in column]
        expected = wanted[column[0].map]
        np.testing.assert_array_equal(numbers, expected.values.astype(np.float64), column[0].map)
        assert {one.unit for one in column} == {expected.unit}


def test_they_equal_those_that_astropy_reads(store):
    store = Store(store)
    maps = listed_maps(store, Wanted(kinds=["depth", "coverage"]))
    values, listed = Values(store, maps), 0
    tables = {
        row["key"]: fits.getdata(store.entry(ProductKey.parse(row["key"])).path(".fits"), 1)
        for one in maps
        for row in one.rows
    }
    for lon, lat in zip(*positions(40, seed=2), strict=True):
        for one, reading in zip(maps, values.at(lon, lat), strict=True):
            if not reading.area:
                continue
            (key,) = [row["key"] for row in one.rows if row["area"] == reading.area]
            table = tables[key]
            (place,) = np.flatnonzero(table["PIXEL"] == reading.cell)
            assert reading.value == float(table["WEIGHT"][place])
            assert np.float32(reading.text) == table["WEIGHT"][place]
            assert reading.cell == hpx.cells_at(lon, lat, reading.order)
            listed += 1
    assert listed > 50


@settings(max_examples=60)
@given(st.sampled_from(TILES), st.floats(-0.1, 1.1), st.floats(-0.1, 1.1))
def test_the_cell_says_the_tile(filled, tile, x, y):
    lon, lat = hpx.positions([tile], store_helpers.TILE_ORDER, np.clip(x, 0, 0.999), np.clip(y, 0, 0.999))
    cell = int(hpx.cells_at(lon[0], lat[0], 9))
    for reading in filled.at(float(lon[0]), float(lat[0])):
        assert (reading.cell, reading.order) == (cell, 9)
        assert reading.area in ("", str(cell >> 6))
        if reading.map.startswith(("coverage", "bitmask")):
            assert reading.value is not None and (reading.area or reading.value == 0)
        elif not reading.area:
            assert (reading.value, reading.text) == (None, "")


def test_a_file_of_another_form_is_asked_too(tmp_path):
    store, one = Store(tmp_path / "store"), store_helpers.sky_map(40000, 8)
    key = store_helpers.tile_key(40000, "depth", order=8)
    source = store_helpers.provenance(cells="x")
    product = store_helpers.Product(key, {"WEIGHT": one}, None, {}, "mag", source)
    entry = store.put(
        key,
        source,
        lambda folder: io.write(product, folder, "parquet"),
        summary=store_helpers.summary_of(product),
    )
    assert entry.path().name.endswith(".parquet")
    values = Values(store, listed_maps(store, Wanted()))
    lon, lat = hpx.centres(one.cells.cells()[:20], 8)
    found = [values.at(*position)[0].value for position in zip(lon, lat, strict=True)]
    assert found == [float(value) for value in one.values[:20]]


def test_whole_numbers_stay_whole(tmp_path):
    store, one = Store(tmp_path / "store"), store_helpers.sky_map(40000, 8)
    big = SkyMap(one.cells, (1 << 53) + 1 + np.arange(len(one)))
    key = store_helpers.tile_key(40000, "info", order=8, quantity="Exposures", statistic="SUM")
    store_helpers.put_map(store, key, big)
    lon, lat = hpx.centres(one.cells.cells()[:1], 8)
    (found,) = Values(store, listed_maps(store, Wanted())).at(float(lon[0]), float(lat[0]))
    assert (found.value, found.text) == ((1 << 53) + 1, str((1 << 53) + 1))


@pytest.mark.parametrize("position", [(np.nan, 0.0), (0.0, 91.0), (np.inf, 0.0), (0.0, np.nan)])
def test_no_position(filled, position):
    with pytest.raises(InputError, match="a position must be finite"):
        filled.at(*position)


def test_a_look_up_of_all_maps_takes_less_than_ten_milliseconds(store):
    store = Store(store)
    values, taken = Values(store, listed_maps(store, Wanted())), []
    for lon, lat in zip(*positions(30, seed=3), strict=True):
        begin = time.perf_counter()
        values.at(lon, lat)
        taken.append(time.perf_counter() - begin)
    assert min(taken[5:]) < 0.01
