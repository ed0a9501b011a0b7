"""Pictures of maps are HiPS that hold exactly the maps, made once."""

from dataclasses import replace

import numpy as np
import pytest

import store_helpers
from vmpz import io
from vmpz.files.write import StorageError
from vmpz.io.hips import read_hips, write_picture
from vmpz.io.hipsproperties import read_properties
from vmpz.products import ProductKey
from vmpz.run.query import Wanted
from vmpz.run.store import Store
from vmpz.run.viewing import pictures as drawn
from vmpz.run.viewing.maps import listed_maps
from vmpz.run.viewing.pictures import Pictures
from vmpz.sky.skymap import SkyMap

TILES = (40000, 40001, 43000)


@pytest.fixture
def filled(tmp_path):
    store = Store(tmp_path / "store")
    store_helpers.fill(store, TILES, ["VIS"], order=9)
    return store


def maps_in(store, **wanted):
    return {one.name: one for one in listed_maps(store, Wanted(**wanted))}


def joined(store, one):
    """The map from its files, one after the other."""
    pieces = [io.read(store.entry(ProductKey.parse(row["key"])).path(".fits")) for row in one.rows]
    return SkyMap.join([piece.maps[one.column] for piece in pieces])


def test_every_map_and_bit_is_shown_as_it_is(filled, tmp_path):
    pictures, dids = Pictures(filled, tmp_path / "cache"), set()
    for one in maps_in(filled).values():
        folder = pictures.of(one)
        assert read_hips(folder).map == joined(filled, one)
        told = read_properties(folder / "properties")
        assert told["hips_pixel_bitpix"] == "-32" and told["hips_order_min"] == "0"
        dids.add(told["creator_did"])
    assert len(dids) == 5  # by which a viewer tells them apart
    assert not list((tmp_path / "cache").glob(".*"))


def test_a_picture_is_made_once_and_again_when_a_tile_is_remade(filled, tmp_path):
    pictures, one = Pictures(filled, tmp_path / "cache"), maps_in(filled)["depth_VIS"]
    first = pictures.of(one)
    made = (first / "properties").stat().st_mtime_ns
    assert Pictures(filled, tmp_path / "cache").of(one) == first
    assert (first / "properties").stat().st_mtime_ns == made
    store_helpers.put_map(
        filled, ProductKey.parse(one.rows[0]["key"]), store_helpers.sky_map(TILES[0], 9, seed=7), number=900
    )
    again = maps_in(filled)["depth_VIS"]
    assert Pictures(filled, tmp_path / "cache").of(again) != first
    assert read_hips(Pictures(filled, tmp_path / "cache").of(again)).map == joined(filled, again)


def test_another_viewer_may_be_first(filled, tmp_path, monkeypatch):
    one, folder = maps_in(filled)["depth_VIS"], tmp_path / "cache"

    def overtaken(file, path, column):
        write_picture(file, path, column)
        raise StorageError(39, "Directory not empty", str(path))

    def full(file, path, column):
        raise StorageError(28, "No space left on device", str(path))

    monkeypatch.setattr(drawn, "write_picture", full)
    with pytest.raises(StorageError, match="No space left"):
        Pictures(filled, folder).of(one)
    monkeypatch.setattr(drawn, "write_picture", overtaken)
    assert read_hips(Pictures(filled, folder).of(one)).map == joined(filled, one)


def test_one_tile_is_cut_from_its_own_file(filled, tmp_path):
    one = maps_in(filled, areas=["43000"])["coverage_VIS"]
    assert read_hips(Pictures(filled, tmp_path / "cache").of(one)).map == joined(filled, one)


def test_whole_numbers_and_maps_that_are_not_degraded(tmp_path):
    """A viewer draws no 64-bit integers, and from afar it would show nothing of a map of one order."""
    store, one = Store(tmp_path / "store"), store_helpers.sky_map(40000, 12, 0.05)
    numbers = SkyMap(one.cells, np.arange(len(one)) % 7)
    key = store_helpers.tile_key(40000, "info", order=12, quantity="Exposures", statistic="MEDIAN")
    store_helpers.put_map(store, key, numbers)
    (listed,) = listed_maps(store, Wanted())
    assert listed.keywords["DEGRULE"] == "NONE"
    folder = Pictures(store, tmp_path / "cache").of(listed)
    found = read_hips(folder).map
    assert found == numbers and found.values.dtype == np.float32
    assert sorted(path.name for path in folder.glob("Norder*")) == [f"Norder{order}" for order in range(4)]


def test_other_forms_are_joined_in_memory(tmp_path):
    store = Store(tmp_path / "store")
    for number, (tile, form) in enumerate(zip(TILES, ("parquet", "healpix", "hips"), strict=True)):
        key, source = (
            store_helpers.tile_key(tile, "coverage", order=9),
            store_helpers.provenance(number=number, n=number),
        )
        product = store_helpers.Product(key, {"WEIGHT": store_helpers.sky_map(tile, 9)}, None, {}, "", source)
        store.put(
            key, source, lambda folder, one=product, form=form: io.write(one, folder, form),
            summary=store_helpers.summary_of(product),
        )  # fmt: skip
    (one,) = listed_maps(store, Wanted())
    found = read_hips(Pictures(store, tmp_path / "cache").of(one)).map
    assert found == SkyMap.join([store_helpers.sky_map(tile, 9) for tile in TILES])
    (alone,) = listed_maps(store, Wanted(areas=["40000"]))
    assert read_hips(Pictures(store, tmp_path / "cache").of(alone)).map == store_helpers.sky_map(40000, 9)


def test_an_empty_map(tmp_path):
    store = Store(tmp_path / "store")
    nothing = store_helpers.sky_map(40000, 9).where(np.zeros(len(store_helpers.sky_map(40000, 9)), bool))
    store_helpers.put_map(store, store_helpers.tile_key(40000, "depth", order=9), nothing)
    (one,) = listed_maps(store, Wanted())
    folder = Pictures(store, tmp_path / "cache").of(one)
    assert len(read_hips(folder).map) == 0 and replace(one).ends is None
