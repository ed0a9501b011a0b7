"""Everything that a viewer asks of a store."""

import json

import pytest

import store_helpers
from vmpz.products import ProductKey
from vmpz.run.query import Wanted
from vmpz.run.store import Store
from vmpz.run.viewing.sky import Sky
from vmpz.sky.cells import CellSet

TILES = (40000, 40001, 43000)


@pytest.fixture
def filled(tmp_path):
    """Three tiles, of which a patch holds two."""
    store = Store(tmp_path / "store")
    store_helpers.fill(store, TILES, ["VIS"], order=9)
    joined = store_helpers.SkyMap.join([store_helpers.sky_map(tile, 9) for tile in TILES[:2]])
    key = ProductKey(
        "north", "coverage", selection="INVALID", instrument="VIS", band="VIS", order=9, release="0.1"
    )
    store_helpers.put_map(store, key, joined, recipe="merge", number=700)
    return store


def test_the_outlines_are_those_of_all_tiles_or_of_those_in_the_patch(filled):
    assert list(Sky(filled).outlines()) == ["40000", "40001", "43000"]
    assert list(Sky(filled, Wanted(areas=["north"])).outlines()) == ["40000", "40001"]
    assert list(Sky(filled, Wanted(areas=["43000"])).outlines()) == ["43000"]


def test_a_tile_tells_its_maps(filled):
    rows = Sky(filled).tile("40001")
    assert [row["map"] for row in rows] == ["Noise_RMSQ_VIS", "bitmask_VIS", "coverage_VIS", "depth_VIS"]
    assert all(row["minimum"] <= row["mean"] <= row["maximum"] for row in rows)
    assert [row["map"] for row in Sky(filled, Wanted(areas=["north"])).tile("north")] == ["coverage_VIS"]


def test_regions_are_files_in_their_order_then_maps_of_observed_fractions(filled, tmp_path):
    files = []
    for cell in (5, 9):
        (tmp_path / str(cell)).mkdir()
        files.append(tmp_path / str(cell) / "one.moc.fits")
        CellSet.from_cells(4, [cell]).to_moc().save(files[-1], format="fits")
    sky = Sky(filled, regions=files)
    assert sky.regions == ["one.moc.fits", "one.moc.fits", "coverage_VIS > 0"]
    assert [json.loads(sky.region(number)).get("4") for number in (0, 1)] == [[5], [9]]
    assert sky.region(2) == Sky(filled, Wanted(kinds=["coverage"])).region(0)
