"""Maps as HiPS folders: the exact map, where the sky has it, in the standard, and back."""

import json
import os
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.units import deg
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st
from mocpy import MOC

import io_helpers
from io_helpers import CELLS
from vmpz import io
from vmpz.errors import InputError, MapMismatchError
from vmpz.io import hips
from vmpz.io.hipsproperties import read_properties
from vmpz.io.orders import degraded
from vmpz.io.rows import open_rows
from vmpz.parameters import MapParameters
from vmpz.run.store import Store
from vmpz.run.tasks import check_path
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap

PRODUCTS = io_helpers.products()
MER = MapParameters(coverage_convention="MER")
MANDATORY = (
    "creator_did obs_title dataproduct_type hips_version hips_release_date hips_status hips_tile_format hips_order "
    "hips_tile_width hips_frame hips_pixel_bitpix hips_pixel_cut hips_data_range hips_initial_ra hips_initial_dec "
    "hips_initial_fov hips_order_min hips_estsize moc_sky_fraction"
)
"""The standard's own, those that viewers insist on, and those that are promised."""


def cap(order, lon_deg=58.0, lat_deg=-51.5, radius_deg=1.2):
    """Cells of a cap."""
    cone = MOC.from_cone(lon_deg * deg, lat_deg * deg, radius=radius_deg * deg, max_depth=order)
    return CellSet.from_moc(cone, order).cells()


def depth(order, cells=None, **changes):
    cells = cap(order) if cells is None else cells
    values = 24 + np.random.default_rng(order).random(cells.size).astype(np.float32)
    key = io_helpers.key("depth", order=order)
    return io_helpers.make(key, {"WEIGHT": values}, io_helpers.DEPTH, "mag", cells, **changes)


def tiles(folder, order=None):
    """(order, number) -> file of every tile."""
    found = {}
    for path in folder.rglob("Npix*.fits"):
        place = int(path.parent.parent.name.removeprefix("Norder")), int(path.stem.removeprefix("Npix"))
        assert path.parent.name == f"Dir{place[1] // 10000 * 10000}"
        found[place] = path
    return {place: path for place, path in sorted(found.items()) if order in (None, place[0])}


def on_the_sky(path):
    """Pixels of a tile, and longitude and latitude of their centres, by astropy."""
    with fits.open(path, checksum=True, do_not_scale_image_data=True) as hdus:
        pixels, wcs = hdus[0].data, WCS(hdus[0].header)
    wcs.wcs.bounds_check(False, False)
    row, column = np.indices(pixels.shape)
    lon, lat = wcs.wcs_pix2world(column.ravel(), row.ravel(), 0)
    return pixels.ravel(), lon % 360.0, lat


def content(folder):
    """Names and bytes of all files."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def folder(tmp_path):
    return io.write_file(depth(11), tmp_path / "a.hips")


# -- what is lost: nothing ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRODUCTS)
def test_fits_to_hips_and_back_is_the_same_file(name, tmp_path):
    product = PRODUCTS[name]
    alone = replace(product, maps={"WEIGHT": product.map})  # a HiPS has one value a pixel
    first = io.write_file(alone, tmp_path / "a.fits")
    made = io.write_file(io.read(io.write_file(product, tmp_path / "all.fits")), tmp_path / "b.hips")
    assert io.read(made) == io.read(first)
    assert io.convert(made, tmp_path / "c.fits").read_bytes() == first.read_bytes()
    assert io.check(made) == []
    assert io.summary(made)["bytes"] == sum(one.stat().st_size for one in made.rglob("*") if one.is_file())


@pytest.mark.parametrize("name", ["depth", "coverage"])
def test_a_picture_of_a_file_is_the_hips_of_its_product(name, tmp_path):
    path = io.write_file(PRODUCTS[name], tmp_path / "a.fits")
    hips.write_hips(io.read(path), tmp_path / "wanted.hips", MapParameters())
    hips.write_picture(open_rows(path), tmp_path / "found.hips")
    assert content(tmp_path / "found.hips") == content(tmp_path / "wanted.hips")


def test_a_picture_of_a_column(tmp_path):
    product = PRODUCTS["bitmask"]
    bit = list(product.maps)[1]
    path = io.write_file(product, tmp_path / "a.fits")
    hips.write_picture(open_rows(path), tmp_path / "bit.hips", bit)
    assert hips.read_hips(tmp_path / "bit.hips").map == product.maps[bit]
    assert read_properties(tmp_path / "bit.hips" / "properties")["creator_did"].endswith(f"/{bit}")


@given(order=st.integers(0, 14), data=st.data())
@settings(max_examples=25, deadline=None)
def test_any_map_of_any_order_comes_back_to_the_bit(tmp_path_factory, order, data):
    cell = st.integers(0, hpx.number_of_cells(order) - 1)
    values = data.draw(st.dictionaries(cell, st.floats(1, 40, width=32), max_size=6))
    product = depth(order, np.array(sorted(values), np.int64))
    product = replace(
        product,
        maps={"WEIGHT": SkyMap(product.map.cells, [np.float32(values[one]) for one in sorted(values)])},
    )
    made = io.write_file(product, tmp_path_factory.mktemp("any") / "a.hips")
    back = io.read(made)
    assert back.key == product.key
    assert back.map.cells == product.map.cells
    assert np.array_equal(back.map.values, product.map.values)


@pytest.mark.gpl
def test_forms_follow_one_another_without_a_change(tmp_path):
    pytest.importorskip("healsparse")
    for name, product in PRODUCTS.items():
        first = io.write_file(product, tmp_path / f"{name}.fits")
        before = first
        chain = ("parquet", "hsp", "moc.fits", "hsp", "parquet", *(() if name == "bitmask" else ("hips",)))
        for place, suffix in enumerate(chain):
            before = io.convert(before, tmp_path / f"{name}{place}.{suffix}")
        assert io.convert(before, tmp_path / f"{name}.back.fits").read_bytes() == first.read_bytes()


def test_the_mer_convention_is_named_and_exact(tmp_path):
    product = PRODUCTS["coverage"]
    made = io.write_file(product, tmp_path / "a.hips", maps=MER)
    assert json.loads((made / "vmpz.json").read_text())["keywords"]["COVCONV"] == "MER"
    assert "1 = not observed" in read_properties(made / "properties")["obs_description"]
    for (order, number), path in tiles(made).items():
        pixels = fits.getdata(path)
        assert pixels.dtype == ">f8"
        coarse = degraded(product, order + 3)
        inside = CellSet(order + 3, [(number << 6, (number + 1) << 6)])
        expected = 1 - coarse.map.clip(inside).values.astype(np.float64)
        assert np.array_equal(np.sort(pixels[~np.isnan(pixels)]), np.sort(expected))
    assert io.read(made).map == product.map
    with pytest.raises(MapMismatchError, match="must list every cell"):
        partial = io_helpers.make(
            io_helpers.key("coverage"), {"WEIGHT": io_helpers.fractions()}, {"TILEAREA": 1e3}
        )
        io.write_file(partial, tmp_path / "b.hips", maps=MER)
    assert not (tmp_path / "b.hips").exists()


# -- where things are ---------------------------------------------------------------------------------------


def test_every_pixel_lies_where_its_cell_does(tmp_path):
    """All twelve base faces, by the WCS of astropy: the value of a pixel is a cell, at or below its place."""
    order = 6
    cells = np.arange(hpx.number_of_cells(order))
    cells = cells[(cells >> 6) % 13 == 0]
    key = io_helpers.key("info", quantity="Tile", statistic="VALUE", order=order)
    product = io_helpers.make(key, {"WEIGHT": cells}, {"DEGRULE": "MAX"}, cells=cells)
    made = io.write_file(product, tmp_path / "a.hips")
    assert [len(tiles(made, level)) for level in range(4)] == [12, 48, 60, 60]
    for (level, _), path in tiles(made).items():
        pixels, lon, lat = on_the_sky(path)
        known = pixels >= 0
        here = hpx.cells_at(lon[known], lat[known], level + 3)
        assert np.array_equal(pixels[known] >> 2 * (order - level - 3), here)


@pytest.mark.parametrize(
    ("order", "deepest", "width"),
    [(0, 0, 1), (2, 2, 1), (3, 3, 1), (8, 3, 32), (11, 3, 256), (12, 3, 512), (14, 5, 512)],
)
def test_tiles_are_512_wide_and_never_above_order_3(order, deepest, width, tmp_path):
    cells = np.array([3, 4]) << (2 * order) if order else np.array([3, 4])
    made = io.write_file(depth(order, cells), tmp_path / "a.hips")
    told = read_properties(made / "properties")
    assert (int(told["hips_order"]), int(told["hips_tile_width"])) == (deepest, width)
    assert max(level for level, _ in tiles(made)) == deepest
    assert all(fits.getdata(path).shape == (width, width) for path in tiles(made).values())


@pytest.mark.parametrize("name", [name for name in PRODUCTS if name != "bitmask"])
def test_coarser_orders_follow_the_rule_of_the_product(name, tmp_path, monkeypatch):
    monkeypatch.setattr(hips, "BLOCK", 7)  # families and tiles go over the ends of blocks
    product = PRODUCTS[name]
    made = io.write_file(product, tmp_path / "a.hips")
    assert {level for level, _ in tiles(made)} == {0, 1, 2, 3}
    for level in range(4):
        coarse = degraded(product, level + 3).map
        found = [on_the_sky(path) for path in tiles(made, level).values()]
        pixels, lon, lat = (np.concatenate(part) for part in zip(*found, strict=True))
        known = pixels != np.iinfo(np.int64).min if pixels.dtype.kind == "i" else ~np.isnan(pixels)
        cells = hpx.cells_at(lon[known], lat[known], level + 3)
        assert SkyMap.from_cells(level + 3, cells, pixels[known]) == coarse
        assert pixels.dtype.newbyteorder("=") == coarse.values.dtype


def test_what_cannot_be_degraded_has_its_deepest_order_alone(tmp_path):
    key = io_helpers.key("info", quantity="PSF", statistic="MEDIAN")
    product = io_helpers.make(key, {"WEIGHT": np.ones(CELLS.size, np.float32)}, {"DEGRULE": "NONE"})
    made = io.write_file(product, tmp_path / "a.hips")
    assert {level for level, _ in tiles(made)} == {3}
    assert read_properties(made / "properties")["hips_order_min"] == "3"
    assert io.read(made).map == product.map


def test_integers_are_exact_and_say_what_is_blank(tmp_path):
    key = io_helpers.key("info", quantity="Tile", statistic="VALUE")
    values = np.arange(CELLS.size) + 2**62  # no float holds these
    made = io.write_file(io_helpers.make(key, {"WEIGHT": values}, {"DEGRULE": "MODE"}), tmp_path / "a.hips")
    assert read_properties(made / "properties")["hips_pixel_bitpix"] == "64"
    assert {fits.getheader(path)["BLANK"] for path in tiles(made).values()} == {np.iinfo(np.int64).min}
    assert np.array_equal(io.read(made).map.values, np.sort(values))


# -- properties ---------------------------------------------------------------------------------------------


def test_properties_are_complete_and_true(folder):
    told = read_properties(folder / "properties")
    assert all(told[name] for name in MANDATORY.split())
    assert told["hips_release_date"] == "2026-03-14T15:09Z"
    assert (told["hips_order"], told["hips_order_min"], told["hips_tile_width"]) == ("3", "0", "256")
    assert told["hips_pixel_bitpix"] == "-32"
    values = depth(11).map.values
    assert [float(end) for end in told["hips_data_range"].split()] == [values.min(), values.max()]
    low, high = (float(end) for end in told["hips_pixel_cut"].split())
    assert 24 < low < 24.05 < 24.95 < high < 25
    assert float(told["hips_initial_ra"]) == pytest.approx(58.0, abs=1)
    assert float(told["hips_initial_dec"]) == pytest.approx(-51.5, abs=1)
    assert 2.4 < float(told["hips_initial_fov"]) < 8
    assert float(told["moc_sky_fraction"]) == pytest.approx(len(depth(11).map) / hpx.number_of_cells(11))
    size = sum(path.stat().st_size for path in folder.rglob("*.fits"))
    assert (int(told["hips_estsize"]) - 1) * 1024 < size <= int(told["hips_estsize"]) * 1024


def test_a_date_comes_from_the_product_or_its_name_and_never_from_the_clock(tmp_path):
    product = io.read(io.write_file(depth(6, CELLS), tmp_path / "a.fits"))
    assert product.provenance is None
    unnamed = io.write_file(product, tmp_path / "a.hips")
    assert "hips_release_date" not in read_properties(unnamed / "properties")
    name = "EUC_LE3_VMPZ-ID_HPDEPTHMAP-102018211_20250102T030405.000000Z_0.12.hips"
    named = io.write_file(product, tmp_path / name)
    assert read_properties(named / "properties")["hips_release_date"] == "2025-01-02T03:04Z"


def test_a_published_name_and_no_descriptor(tmp_path):
    (path,) = io.write(PRODUCTS["depth"], tmp_path, "hips")
    assert path.name == "EUC_LE3_VMPZ-ID_HPDEPTHMAP-102018211_20260314T150926.535897Z_0.12.hips"
    assert io.read(path).key == PRODUCTS["depth"].key


def test_the_moc_is_the_cells_of_the_map(folder):
    assert MOC.from_fits(folder / "Moc.fits") == depth(11).map.cells.to_moc()


def test_an_empty_map_is_a_hips_without_tiles(tmp_path):
    made = io.write_file(depth(8, np.empty(0, np.int64)), tmp_path / "a.hips")
    assert tiles(made) == {}
    assert MOC.from_fits(made / "Moc.fits").empty()
    assert len(io.read(made).map) == 0
    assert io.read(made).key == depth(8, np.empty(0, np.int64)).key


# -- whole or not at all ------------------------------------------------------------------------------------


def test_the_same_product_makes_the_same_bytes(folder, tmp_path):
    again = io.write_file(depth(11), tmp_path / "b.hips")
    assert content(again) == content(folder)
    assert content(io.write_file(depth(10), again)) != content(folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.hips", "b.hips"]


def test_a_failure_leaves_the_old_hips(folder, tmp_path, monkeypatch):
    before = content(folder)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(hips, "text_of", full)
    with pytest.raises(OSError, match="bytes free"):
        io.write_file(depth(10), folder)
    assert content(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.hips"]


def test_what_is_no_hips_is_never_replaced(tmp_path):
    (tmp_path / "photos.hips").mkdir()
    (tmp_path / "photos.hips" / "me.jpg").write_text("x")
    (tmp_path / "file.hips").write_text("x")
    (tmp_path / "empty.hips").mkdir()
    for name in ("photos", "file"):
        with pytest.raises(InputError, match="must be a HiPS"):
            io.write_file(PRODUCTS["depth"], tmp_path / f"{name}.hips")
    assert (tmp_path / "photos.hips" / "me.jpg").read_text() == "x"
    assert io.read(io.write_file(PRODUCTS["depth"], tmp_path / "empty.hips")).key.kind == "depth"


def test_a_store_keeps_a_folder_like_a_file(tmp_path):
    product, store = PRODUCTS["depth"], Store(tmp_path / "store")

    def write(folder):
        return [path for form in ("healpix", "hips") for path in io.write(product, folder, form)]

    for _ in range(2):
        entry = store.put(product.key, product.provenance, write)
        assert entry.faults() == []
        assert io.read(entry.path(".hips")).map == io.read(entry.path(".fits")).map
        assert check_path(store.root) == (len(entry.files), [])
    next(iter(tiles(entry.path(".hips"), 3).values())).unlink()
    assert store.entry(product.key) is None
    assert check_path(io.write_file(product, tmp_path / "alone.hips")) == (1, [])


# -- damage -------------------------------------------------------------------------------------------------


def _flip(path, place):
    whole = bytearray(path.read_bytes())
    whole[place] ^= 1
    path.write_bytes(whole)


def _edited(name, old, new):
    """A change of a text file of the folder."""

    def change(folder, tile):
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return change


def _other_image(pixels, **cards):
    return lambda folder, tile: fits.writeto(tile, pixels, fits.Header(cards), overwrite=True)


ORDER_LINE = "hips_order           = "
DAMAGE = {
    "a pixel is altered": (lambda folder, tile: _flip(tile, 2880 + 700), "DATASUM"),
    "a header is altered": (lambda folder, tile: _flip(tile, 12 * 80 + 25), "CHECKSUM"),
    "a tile is cut": (lambda folder, tile: tile.write_bytes(tile.read_bytes()[:-2880]), "cut"),
    "a tile is missing": (lambda folder, tile: tile.unlink(), "a tile is missing"),
    "a tile is misnamed": (
        lambda folder, tile: tile.rename(tile.with_name("Npix768.fits")),
        "must be a tile",
    ),
    "a tile stands twice": (
        lambda folder, tile: shutil.copytree(tile.parent, tile.parent.with_name("Dir10000")),
        "stand once",
    ),
    "a tile has another width": (_other_image(np.zeros((8, 8))), "256 x 256"),
    "a tile is scaled": (_other_image(np.zeros((256, 256), "u2")), "without scaling"),
    "the label is altered": (_edited("vmpz.json", '"mag"', '"ABmag"'), "label of a HiPS"),
    "the label is no JSON": (_edited("vmpz.json", "{", ""), "label of a HiPS"),
    "the label is something else": (
        lambda folder, tile: (folder / "vmpz.json").write_text("[1]"),
        "label of",
    ),
    "properties are missing": (lambda folder, tile: (folder / "properties").unlink(), "a properties file"),
    "a property is no property": (_edited("properties", " = ", " : "), "keyword = value"),
    "the frame is galactic": (_edited("properties", "equatorial", "galactic"), "must be equatorial"),
    "tiles are pictures": (_edited("properties", "= fits", "= png"), "hips_tile_format fits"),
    "the order is wrong": (_edited("properties", f"{ORDER_LINE}3", f"{ORDER_LINE}2"), "tiles of that"),
    "the order is no number": (_edited("properties", f"{ORDER_LINE}3", f"{ORDER_LINE}x"), "whole numbers"),
    "the width is odd": (_edited("properties", "= 256", "= 255"), "power of two"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_found_and_named(damage, folder):
    change, said = DAMAGE[damage]
    change(folder, next(iter(tiles(folder, 3).values())))
    with pytest.raises(InputError, match=said) as caught:
        io.read(folder)
    assert str(folder) in str(caught.value)
    assert len(io.check(folder)) == 1


def test_a_file_is_no_hips(tmp_path):
    (tmp_path / "a.hips").write_text("x")
    with pytest.raises(InputError, match="must have a properties file"):
        io.read(tmp_path / "a.hips")


# -- other software -----------------------------------------------------------------------------------------


def hipsgen(tmp_path, *words):
    """Run CDS Hipsgen headless; what it says."""
    program = io_helpers.program("aladin")
    options = f"-Djava.awt.headless=true -Duser.home={tmp_path}"
    command = [program, "-hipsgen", *words]
    told = subprocess.run(
        command, env={**os.environ, "JAVA_TOOL_OPTIONS": options}, capture_output=True, text=True, check=True
    )
    return told.stdout + told.stderr


@pytest.mark.tool
@pytest.mark.parametrize("order", [10, 13])
def test_hipsgen_makes_the_same_tiles_of_the_same_map(order, tmp_path):
    product = depth(
        order, cap(order, lon_deg=0.0, lat_deg=41.8, radius_deg=1.0)
    )  # where three base faces meet
    source = io.write_file(product, tmp_path / "a.fits")
    theirs, ours = tmp_path / "theirs.hips", io.write_file(product, tmp_path / "ours.hips")
    hipsgen(tmp_path, f"in={source}", f"out={theirs}", "creator_did=vmpz/P/a", "MAPTILES")
    told, wanted = (read_properties(one / "properties") for one in (ours, theirs))
    for name in ("hips_order", "hips_order_min", "hips_tile_width", "hips_pixel_bitpix", "hips_frame"):
        assert told[name] == wanted[name]
    assert tiles(ours).keys() == tiles(theirs).keys()
    assert len(tiles(ours, max(3, order - 9))) == 3
    for place, path in tiles(ours).items():
        pixels, expected = fits.getdata(path), fits.getdata(tiles(theirs)[place])
        assert np.array_equal(np.isnan(pixels), np.isnan(expected))
        if place[0] == max(3, order - 9):
            assert np.array_equal(pixels, expected, equal_nan=True)
        else:
            header, other = fits.getheader(path), fits.getheader(tiles(theirs)[place])
            assert all(
                header[name] == pytest.approx(other[name]) for name in ("CRPIX1", "CRPIX2", "CD1_1", "CD2_1")
            )
    back = io.read(theirs)  # a HiPS of other software is a map
    assert back.map == product.map
    assert back.key.kind == "map"


@pytest.mark.tool
def test_hipsgen_finds_the_standard_kept(folder, tmp_path):
    said = hipsgen(tmp_path, f"out={folder}", "LINT")
    assert "*ERROR" not in said, said
    assert "IVOA HiPS 1.0 compatible" in said, said
    assert '"Moc.fits" ok' in said, said


@pytest.mark.tool
def test_fitsverify_finds_no_error_and_no_warning(folder):
    fitsverify = io_helpers.program("fitsverify")
    for path in folder.rglob("*.fits"):
        told = subprocess.run([fitsverify, str(path)], capture_output=True, text=True).stdout
        assert "0 warning(s) and 0 error(s)" in told, told
