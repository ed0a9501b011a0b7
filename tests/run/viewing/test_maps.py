"""What a viewer lists."""

import pytest

import store_helpers
from vmpz.errors import InputError, MissingProductError
from vmpz.products import ProductKey
from vmpz.run.query import Wanted, values_at
from vmpz.run.store import Store
from vmpz.run.viewing.maps import listed_maps, opened

TILES = (40000, 40001)


@pytest.fixture
def filled(tmp_path):
    store = Store(tmp_path / "store")
    store_helpers.fill(store, TILES, order=9)
    return store


def test_maps_are_those_of_a_query(store):
    maps = listed_maps(Store(store), Wanted())
    assert [one.name for one in maps] == list(values_at(Store(store), 58.0, -51.5))


def test_bits_stand_below_their_mask(filled):
    maps = {one.name: one for one in listed_maps(filled, Wanted())}
    assert len(maps) == 10
    bit = maps["bitmask_VIS_BIT01"]
    assert bit.is_bit and bit.is_fraction and bit.column == "BIT01" and bit.ends is None
    assert maps["bitmask_VIS"].is_fraction and not maps["bitmask_VIS"].is_bit
    assert not maps["depth_VIS"].is_fraction and maps["depth_VIS"].unit == "mag"
    low, high = maps["depth_VIS"].ends
    assert 24 < low < high <= 25 and len(maps["depth_VIS"].rows) == 2


def test_what_is_asked_for(filled):
    assert [one.name for one in listed_maps(filled, Wanted(kinds=["depth"], bands=["VIS"]))] == ["depth_VIS"]
    assert len(listed_maps(filled, Wanted(areas=["40000"]))[0].rows) == 1
    with pytest.raises(InputError):
        listed_maps(filled, Wanted(kinds=["footprint"]))


def test_a_product_that_was_remade_is_not_mistaken_for_the_one_before(filled):
    (one,) = listed_maps(filled, Wanted(kinds=["depth"], bands=["VIS"]))
    key = ProductKey.parse(one.rows[0]["key"])
    store_helpers.put_map(filled, key, store_helpers.sky_map(TILES[0], 9, seed=99), number=500)
    with pytest.raises(MissingProductError, match="start the viewer again"):
        opened(filled, one.rows[0])
    filled.retract(ProductKey.parse(one.rows[1]["key"]))
    with pytest.raises(MissingProductError, match="40001 VIS depth"):
        opened(filled, one.rows[1])
