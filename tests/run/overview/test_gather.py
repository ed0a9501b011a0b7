"""The overview of a store against the joined maps of its tiles, number by number."""

from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from store_helpers import CREATED, fill, provenance, put_map, sky_map, tile_key, writer
from vmpz import io
from vmpz.errors import InputError, MissingProductError
from vmpz.io.collection import Absent, Collection, Series, write_collection
from vmpz.make.merge import merge
from vmpz.parameters import MapParameters
from vmpz.products import Product, ProductKey
from vmpz.run.account import Account, Outcome
from vmpz.run.overview import reading
from vmpz.run.overview.absent import in_short
from vmpz.run.overview.content import MapOverview, Overview
from vmpz.run.overview.gather import OverviewRequest, overview_of
from vmpz.run.overview.listing import list_maps
from vmpz.run.query import Wanted
from vmpz.run.store import Store
from vmpz.run.summaries import summary_of
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap

TILES = (20000, 20001, 20002, 31000)
BANDS = ("VIS", "NIR_H")
ORDER = 10

Groups = dict[tuple[str, str], list[Product]]
Joined = dict[tuple[str, str], SkyMap]


def put_others(store: Store, tile: int) -> None:
    """Counts, an angle that wraps, whole numbers, a table, a patch of one tile."""
    one = sky_map(tile, ORDER, 0.6, seed=30)
    counts = tile_key(tile, "info", "VIS", ORDER, quantity="Exposures", statistic="COUNT")
    put_map(store, counts, SkyMap(one.cells, np.round(7 * one.values) + np.float32(0.25)), recipe="info")
    angles = tile_key(tile, "info", "VIS", ORDER, quantity="ParallacticAngle", statistic="MEAN")
    put_map(
        store,
        angles,
        SkyMap(one.cells, ((one.values * 40 + 340 - tile % 3) % 360).astype(np.float32)),
        "info",
    )
    whole = replace(tile_key(tile, "info", "-", ORDER, quantity="Tile", statistic="VALUE"), instrument="-")
    put_map(store, whole, SkyMap(one.cells, np.full(len(one), tile, np.int64)), recipe="info")
    table = tile_key(tile, "statistics", "VIS", ORDER)
    store.put(table, provenance("statistics", tile), writer("a.parquet", "no table"))


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Four tiles, one far away, two bands; failures; a patch that repeats a tile."""
    store = Store(tmp_path_factory.mktemp("overview") / "s")
    fill(store, TILES, BANDS, ORDER)
    for tile in TILES:
        put_others(store, tile)
    patch = replace(tile_key(0, "depth", order=ORDER, selection="INVALID"), area="north")
    put_map(store, patch, sky_map(TILES[0], ORDER), recipe="merge")
    account = Account(notes=("1 VIS: a note", "2 VIS: a note"))
    account.add(
        [
            Outcome(
                tile_key(20000, "depth", "NIR_Y", ORDER), "FAILED", "a.fits: cut\nwhile reading\nno such HDU"
            ),
            Outcome(tile_key(7, "depth", "VIS", ORDER), "NOINPUT", "no RMS"),
            Outcome(tile_key(20001, "depth", "VIS", ORDER), "DONE"),
        ]
    )
    account.write(store.root)
    return store


@pytest.fixture(scope="module")
def found(filled: Store) -> Overview:
    return overview_of(filled)


@pytest.fixture(scope="module")
def groups(filled: Store) -> Groups:
    """Map products of tiles by kind, or quantity, and band."""
    groups: Groups = {}
    for entry in filled.entries():
        key = entry.key
        if key.area.isdigit() and key.kind != "statistics":
            name = key.quantity if key.kind == "info" else key.kind
            groups.setdefault((name, key.band), []).append(replace(io.read(entry.path(".fits")), key=key))
    return groups


@pytest.fixture(scope="module")
def joined(groups: Groups) -> Joined:
    return {name: merge(products, "all").map for name, products in groups.items()}


def named(overview: Overview, name: tuple[str, str]) -> MapOverview:
    (one,) = [
        one
        for one in overview.maps
        if (one.key.quantity if one.key.kind == "info" else one.key.kind, one.key.band) == name
    ]
    return one


def flat(value: Any) -> Any:
    """A value in parts that `==` compares."""
    if is_dataclass(value) and not isinstance(value, type):
        return [(one.name, flat(getattr(value, one.name))) for one in fields(value)]
    if isinstance(value, SkyMap):
        return [value.order, value.cells.ranges.tolist(), flat(value.values)]
    if isinstance(value, np.ndarray):
        return (str(value.dtype), value.shape, value.tobytes())
    if isinstance(value, dict):
        return [(key, flat(one)) for key, one in value.items()]
    return [flat(one) for one in value] if isinstance(value, list | tuple) else repr(value)


# -- maps -------------------------------------------------------------------------------------------------------------


def test_every_map_is_the_join_of_its_tiles(joined: Joined, found: Overview) -> None:
    assert len(found.maps) == len(joined) == 11
    assert [one.name for one in found.maps] == sorted(one.name for one in found.maps)
    for name, whole in joined.items():
        one, area = named(found, name), hpx.cell_area_deg2(ORDER)
        assert one.picture == whole and one.picture.values.dtype == whole.values.dtype
        assert one.key.area == "-" and one.cells == len(whole)
        assert one.area_deg2 == pytest.approx(len(whole) * area, rel=1e-12)
        assert (one.minimum, one.maximum) == (whole.values.min(), whole.values.max())
        if name[0] != "ParallacticAngle":
            assert one.mean == pytest.approx(np.mean(whole.values, dtype=float), rel=1e-12)
        assert one.spread.total_deg2 == pytest.approx(one.area_deg2, rel=1e-12)
        is_fraction = name[0] == "coverage"
        assert one.observed_deg2 == (pytest.approx(whole.integral_deg2(), rel=1e-9) if is_fraction else None)
    assert named(found, ("depth", "VIS")).unit == "mag"


def test_area_by_value_is_that_of_all_cells(joined: Joined, found: Overview) -> None:
    for name, whole in joined.items():
        spread, area = named(found, name).spread, hpx.cell_area_deg2(ORDER)
        counts, _ = np.histogram(whole.values.astype(float), bins=spread.edges)
        np.testing.assert_allclose(spread.area_deg2, counts * area, atol=1e-12)
        for edge, above in zip(spread.edges[:-1], spread.above(), strict=False):
            assert above == pytest.approx(np.count_nonzero(whole.values >= edge) * area, abs=1e-9)
        for share in (0.05, 0.5, 0.95):
            expected = np.quantile(whole.values, share, method="inverted_cdf")
            bin_width = 0.0 if spread.values is not None else 1.01 * np.median(np.diff(spread.edges))
            assert abs(spread.quantile(share) - expected) <= bin_width


def test_a_mean_of_angles_is_a_direction(joined: Joined, found: Overview) -> None:
    whole = joined["ParallacticAngle", "VIS"]
    angle = np.radians(whole.values.astype(float))
    expected = np.degrees(np.arctan2(np.sin(angle).mean(), np.cos(angle).mean()))
    assert (
        named(found, ("ParallacticAngle", "VIS")).mean == pytest.approx(expected, abs=1e-9)
        and abs(expected) < 5
    )
    row = next(one for one in found.parts if (one.area, one.band) == ("20000", "VIS"))
    assert abs(row.values["ParallacticAngle_MEAN"]) < 5


@pytest.mark.parametrize("most", [3, 100, 1500])
def test_a_picture_of_too_many_cells_is_of_means(filled: Store, joined: Joined, most: int) -> None:
    coarse = overview_of(filled, OverviewRequest(Wanted(kinds=["depth"]), most_cells=most))
    whole, one = joined["depth", "VIS"], named(coarse, ("depth", "VIS")).picture
    order = max(order for order in range(ORDER + 1) if len(whole.cells.at_order(order)) <= max(most, 2))
    assert one.order == order and one.cells == whole.cells.at_order(order)
    expected = whole.degrade(order, "MEAN")
    np.testing.assert_allclose(one.values, expected.values, rtol=1e-12)


# -- tables -----------------------------------------------------------------------------------------------------------


def test_rows_of_tiles(groups: Groups, found: Overview) -> None:
    rows = {(one.area, one.band): one for one in found.parts}
    assert list(rows) == sorted(rows)
    for tile in map(str, TILES):
        for band in BANDS:
            row, area = rows[tile, band], hpx.cell_area_deg2(ORDER)
            of_tile = {
                name: one
                for (name, of), many in groups.items()
                if of == band
                for one in many
                if one.key.area == tile
            }
            assert row.products == len(of_tile) + (band == "VIS")
            assert row.values["depth"] == pytest.approx(np.mean(of_tile["depth"].map.values, dtype=float))
            assert row.observed_deg2 == pytest.approx(of_tile["coverage"].map.integral_deg2())
            assert row.area_deg2 == pytest.approx(np.count_nonzero(of_tile["coverage"].map.values > 0) * area)
            assert row.hole_deg2 is None  # no file says what the tile owns
            lon, lat = hpx.centres([int(tile)], 6)
            assert abs(row.lat_deg - lat[0]) < 0.1 and abs(row.lon_deg - lon[0]) < 0.1
        assert rows[tile, "-"].values == {"Tile_VALUE": float(tile)}
    assert (rows["20000", "NIR_Y"].products, rows["20000", "NIR_Y"].missing) == (0, 1)
    assert rows["7", "VIS"].missing == 1 and np.isnan(rows["7", "VIS"].lon_deg)


def test_holes_are_what_the_tile_owns_less_what_it_lists(tmp_path: Path) -> None:
    store, tile = Store(tmp_path / "s"), 20000
    one = sky_map(tile, 9)
    key = tile_key(tile, "coverage", order=9)
    values = np.where(np.arange(len(one)) % 5 == 0, np.float32(0), one.values)
    own = 4.0 ** (9 - 6) * hpx.cell_area_deg2(9)
    source = provenance("coverage")
    product = Product(key, {"WEIGHT": SkyMap(one.cells, values)}, None, {"TILEAREA": own}, "", source)
    maps = MapParameters(write_zeros=True)
    store.put(key, source, lambda folder: io.write(product, folder, maps=maps), summary=summary_of(product))
    (row,) = overview_of(store).parts
    positive = np.count_nonzero(values > 0) * hpx.cell_area_deg2(9)
    assert row.area_deg2 == pytest.approx(positive) and row.hole_deg2 == pytest.approx(own - positive)


def test_bits_hit_the_area_that_their_columns_hold(groups: Groups, found: Overview) -> None:
    for band in BANDS:
        (bit,) = [one for one in found.bits if one.band == band]
        masks = groups["bitmask", band]
        assert bit.number == 1 and not bit.selected
        assert bit.area_deg2 == pytest.approx(sum(one.maps["BIT01"].integral_deg2() for one in masks))
        listed = 0.0
        for tile in map(str, TILES):
            sets = [one.map.cells for many in groups.values() for one in many if one.key.area == tile]
            listed += CellSet.union(sets).area_deg2
        assert bit.of_deg2 == pytest.approx(listed)


def test_correlations_are_those_of_numpy(joined: Joined, found: Overview) -> None:
    correlations = found.correlations
    assert correlations is not None
    names = {named(found, name).name: whole for name, whole in joined.items()}
    assert not {"Tile_VALUE", "bitmask_VIS", "ParallacticAngle_MEAN_VIS"} & set(correlations.names)
    assert len(correlations.names) == 7
    for i, one in enumerate(correlations.names):
        for j, other in enumerate(correlations.names):
            both = names[one].cells & names[other].cells
            x, y = (whole.clip(both).values.astype(float) for whole in (names[one], names[other]))
            assert correlations.cells[i, j] == len(both)
            assert correlations.matrix[i, j] == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-12)


def test_what_is_missing_counts_notes_provenance(found: Overview) -> None:
    assert [(one.key.area, one.state, one.reason) for one in found.missing] == [
        ("20000", "FAILED", "a.fits: cut ... no such HDU"),
        ("7", "NOINPUT", "no RMS"),
    ]
    products = 4 * (8 + 4) + 1
    assert found.counts | {"bytes": 0} == {
        "tiles": 4, "patches": 1, "maps": 11, "products": products, "bytes": 0, "FAILED": 1, "NOINPUT": 1,
    }  # fmt: skip
    assert found.notes == ("a note (2 frames)",) and found.parameters == "" and found.area == "all tiles"
    rows = {one["recipe"]: one for one in found.provenance}
    assert sum(one["products"] for one in rows.values()) == products
    assert rows["depth"]["products"] == 8 and rows["depth"]["inputs"] == 8 and rows["depth"]["verified"] == 0
    assert rows["depth"]["differing"] == {"cells": "8", "values": "8"} and found.versions == {"vmpz": "0"}
    assert found.created is not None and found.created.isoformat() == rows["statistics"]["created"][1]


# -- what is asked ----------------------------------------------------------------------------------------------------


def test_every_file_is_opened_once(filled: Store, groups: Groups, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []
    real = reading.read_map

    def noting(path: Path) -> Product:
        opened.append(path)
        return real(path)

    monkeypatch.setattr(reading, "read_map", noting)
    overview_of(filled)
    assert len(opened) == len(set(opened)) == sum(map(len, groups.values()))
    opened.clear()
    overview_of(filled, OverviewRequest(Wanted(kinds=["depth"], bands=["VIS"], areas=["20001"])))
    assert len(opened) == 1


def test_some_tiles_bands_kinds_and_a_patch(filled: Store) -> None:
    some = overview_of(
        filled, OverviewRequest(Wanted(kinds=["depth"], bands=["NIR_H"], areas=["20000", "20001"]))
    )
    assert [one.name for one in some.maps] == ["depth_NIR_H"] and some.area == "20000, 20001"
    assert {one.area for one in some.parts} == {"20000", "20001"} and not some.missing
    patch = overview_of(filled, OverviewRequest(Wanted(areas=["north"])))
    (one,) = patch.maps
    assert (
        one.key.area == "north"
        and one.cells == len(sky_map(TILES[0], ORDER))
        and patch.counts["patches"] == 1
    )


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Wanted(areas=["20000", "5"]), "must hold the area 5"),
        (Wanted(bands=["VISS"]), "must hold the band VISS, did you mean VIS"),
        (Wanted(kinds=["effectivecoverage"]), "maps of the kinds and bands"),
        (Wanted(areas=["north", "20000"]), "a patch must be asked alone"),
    ],
)
def test_what_is_not_there_is_refused(filled: Store, wanted: Wanted, message: str) -> None:
    with pytest.raises(InputError, match=message):
        overview_of(filled, OverviewRequest(wanted))


def test_no_store_an_empty_one_tables_alone_failures_alone(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be a store"):
        overview_of(Store(tmp_path / "none"))
    (tmp_path / "s").mkdir()
    store = Store(tmp_path / "s")
    empty = overview_of(store)
    assert not empty.maps and not empty.parts and empty.created is None and empty.correlations is None
    account = Account()
    account.add([Outcome(tile_key(3, "depth"), "FAILED", "no")])
    account.write(store.root)
    with pytest.raises(InputError, match="must hold products of 5"):
        overview_of(store, OverviewRequest(Wanted(areas=["5"])))
    failed = overview_of(store)
    assert [one.missing for one in failed.parts] == [1] and not failed.maps
    put = tile_key(4, "statistics")
    store.put(put, provenance("statistics"), writer("a.parquet", "no table"))
    tables = overview_of(store)
    assert [(one.area, one.products) for one in tables.parts] == [("3", 0), ("4", 1)] and not tables.maps
    put_map(store, tile_key(5, "depth"), SkyMap(CellSet(11), np.empty(0, np.float32)))
    (nothing,) = overview_of(store).maps
    assert nothing.cells == 0 and np.isnan(nothing.mean) and np.isnan(nothing.spread.quantile(0.5))


def test_the_order_of_making_does_not_matter(tmp_path: Path) -> None:
    stores = [Store(tmp_path / name) for name in ("a", "b")]
    for store, tiles in zip(stores, (TILES, TILES[::-1]), strict=True):
        for tile in tiles:
            for place, kind in enumerate(("depth", "coverage")):
                put_map(store, tile_key(tile, kind, order=8), sky_map(tile, 8), number=tile * 2 + place)
    one, other = (overview_of(store, OverviewRequest(most_cells=200)) for store in stores)
    assert flat(replace(one, store="")) == flat(replace(other, store=""))


def test_products_without_a_summary_are_read_for_one(tmp_path: Path) -> None:
    store, key = Store(tmp_path / "s"), tile_key(20000, "depth", order=8)
    one, source = sky_map(20000, 8), provenance()
    product = Product(key, {"WEIGHT": one}, None, {}, "mag", source)
    store.put(key, source, lambda folder: io.write(product, folder))
    (found,) = overview_of(store).maps
    assert found.picture == one and found.mean == pytest.approx(np.mean(one.values, dtype=float))


def test_a_product_that_vanished_or_is_damaged_is_named(tmp_path: Path) -> None:
    store, key = Store(tmp_path / "s"), tile_key(20000, "depth", order=8)
    entry = put_map(store, key, sky_map(20000, 8))
    path = entry.path(".fits")
    content = bytearray(path.read_bytes())
    content[-3000] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(InputError) as caught:
        overview_of(store)
    assert any("depth" in note for note in getattr(caught.value, "__notes__", []))
    listing = list_maps(store, Wanted())
    with pytest.raises(MissingProductError, match="20000 VIS depth must be there"):
        reading.read_area(listing, listing.areas[0], [])


def test_progress_is_told_area_by_area(filled: Store) -> None:
    told: list[tuple[int, int, str]] = []
    overview_of(filled, OverviewRequest(Wanted(kinds=["depth"])), lambda *one: told.append(one))
    names = sorted([*map(str, TILES), "north"])
    assert told == [(place + 1, len(names), name) for place, name in enumerate(names)]


def test_a_reason_in_short() -> None:
    assert in_short("") == "" and in_short("one\n") == "one"
    assert in_short("first\nsecond\nlast") == "first ... last"


def test_what_a_collection_lacks_is_missing(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    key = replace(tile_key(20000, "depth", order=8), area="-")
    failed = Series(key, failed=(Absent("20000", "b.fits: cut"),), not_asked=("20001", "north"))
    collection = Collection("id", "0.1", "north", 8, (failed,))
    source, place = provenance("collection"), ProductKey("north", "collection", order=8, release="0.1")
    store.put(place, source, lambda folder: list(write_collection(collection, folder, CREATED)))
    account = Account()
    account.add(
        [
            Outcome(replace(key, area="20000"), "FAILED", "b.fits: cut"),
            Outcome(replace(key, area="9"), "FAILED"),
            Outcome(replace(key, area="north", band="NIR_Y"), "NOINPUT", "no tile has it"),
        ]
    )
    account.write(store.root)
    whole = overview_of(store)
    assert [(one.key.area, one.state) for one in whole.missing] == [
        ("20000", "FAILED"), ("20001", "NOTASKED"), ("9", "FAILED"), ("north", "NOINPUT"),
    ]  # fmt: skip
    assert {one.area for one in whole.parts} == {"20000", "20001", "9"}  # a patch is no tile
    patch = overview_of(store, OverviewRequest(Wanted(areas=["north"])))
    assert [one.key.area for one in patch.missing] == ["20000", "20001", "north"]


def test_a_quantity_that_is_not_installed_is_a_number(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    key = tile_key(20000, "info", order=8, quantity="Seasons", statistic="MEAN")
    put_map(store, key, sky_map(20000, 8))
    (one,) = overview_of(store).maps
    assert one.name == "Seasons_MEAN_VIS" and one.mean == pytest.approx(sky_map(20000, 8).values.mean())
