"""Healsparse maps: what we write is what the library reads, what it writes we read, with either of its backends."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

import io_helpers
from io_helpers import CELLS, ORDER, TILE
from vmpz import io
from vmpz.errors import InputError, MapMismatchError
from vmpz.io import healsparse as form
from vmpz.parameters import MapParameters
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap

healsparse = pytest.importorskip("healsparse")
pytestmark = pytest.mark.gpl

Map = healsparse.HealSparseMap
PRODUCTS = io_helpers.products()
NSIDE = 1 << ORDER
MER = MapParameters(coverage_convention="MER")
UNSEEN = np.float32(-1.6375e30)


@pytest.fixture(params=["fitsio", "astropy"], autouse=True)
def backend(request, monkeypatch):
    """What the library reads and writes FITS with: fitsio where it is installed, else astropy."""
    if request.param == "astropy":
        monkeypatch.setattr(healsparse.fits_shim, "use_fitsio", False)
        monkeypatch.setattr(healsparse.fits_shim, "use_rustfits", False)
    else:
        pytest.importorskip("fitsio")
    return request.param


def block(order=9, faces=(0, 4)):
    """All cells of two cells of order 4 and some of a third."""
    size = 4 ** (order - 4)
    whole = np.concatenate([np.arange(face * 256 * size, (face * 256 + 1) * size) for face in faces])
    return np.concatenate([whole, np.arange(300 * size, 300 * size + size // 3)])


def coverage(order=9, seed=5):
    cells = np.unique(block(order))
    values = np.random.default_rng(seed).integers(1, 4097, cells.size).astype(np.float32) / 4096
    return io_helpers.make(
        io_helpers.key("coverage", order=order), {"WEIGHT": values}, {"OBSAREA": 0.1 + 0.2}, cells=cells
    )


@pytest.fixture
def path(tmp_path):
    return io.write_file(coverage(), tmp_path / "a.hsp")


# -- what we write ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRODUCTS)
def test_fits_to_healsparse_and_back_is_the_same_file(name, tmp_path):
    first = io.write_file(PRODUCTS[name], tmp_path / "a.fits")
    made = io.convert(first, tmp_path / "b.hsp")
    assert io.read(made) == io.read(first)
    assert io.convert(made, tmp_path / "c.fits").read_bytes() == first.read_bytes()
    assert io.check(made) == []


def test_a_published_name_and_no_descriptor(tmp_path):
    (path,) = io.write(PRODUCTS["depth"], tmp_path, "healsparse")
    assert path.name == "EUC_LE3_VMPZ-ID_HPDEPTHMAP-102018211_20260314T150926.535897Z_0.12.hsp"
    assert io.read(path).key == PRODUCTS["depth"].key


@pytest.mark.parametrize("name", [name for name in PRODUCTS if name != "bitmask"])
def test_the_library_reads_the_same_cells_and_values(name, tmp_path):
    product = PRODUCTS[name]
    found = Map.read(str(io.write_file(product, tmp_path / "a.hsp")))
    expected = product.map.values if name in ("tile", "mjd") else product.map.values.astype(np.float32)
    assert found.nside_sparse == NSIDE
    assert np.array_equal(found.valid_pixels, np.sort(CELLS))
    assert np.array_equal(found[np.sort(CELLS)], expected)
    assert found.dtype.newbyteorder("=") == expected.dtype
    assert found._sentinel == (np.iinfo(np.int64).min if name == "tile" else expected.dtype.type(-1.6375e30))
    assert found.metadata["TELESCOP"] == "Euclid"
    assert found.metadata.get("COVCONV") == ("OBSERVED" if "cover" in name or name == "footprint" else None)
    assert found.metadata.get("BUNIT", "") == product.unit


def test_a_bit_mask_is_a_map_of_records_that_keeps_the_fractions(tmp_path):
    product = PRODUCTS["bitmask"]
    found = Map.read(str(io.write_file(product, tmp_path / "a.hsp")))
    assert found.primary == "WEIGHT"
    assert np.array_equal(found.valid_pixels, np.sort(CELLS))
    for name, one in product.maps.items():
        assert np.array_equal(found[name][CELLS], one.of_cells(CELLS).astype(np.float32))
    assert found.metadata["BITN32"] == "STARMASK"


@pytest.mark.parametrize(("order", "nside"), [(0, 1), (3, 1), (5, 2), (8, 16), (9, 32), (12, 32)])
def test_the_coverage_resolution_is_32_or_leaves_256_cells_a_block(order, nside, tmp_path):
    product = io_helpers.make(
        io_helpers.key("depth", order=order), {"WEIGHT": np.ones(2, np.float32)}, cells=[3, 7]
    )
    found = Map.read(str(io.write_file(product, tmp_path / "a.hsp")))
    assert (found.nside_coverage, found.nside_sparse) == (nside, 1 << order)
    assert found.valid_pixels.tolist() == [3, 7]


def test_blocks_are_read_alone(path):
    truth = coverage().map
    found = Map.read(str(path), pixels=[0])
    inside = truth.clip(CellSet(9, [(0, 4**4)]))
    assert np.array_equal(found.valid_pixels, inside.cells.cells())
    assert np.array_equal(found[inside.cells.cells()], inside.values)


def test_degrading_on_reading_agrees_where_a_family_is_whole(path):
    """The library leaves absent children out, the observed fraction counts them as 0: they agree inside."""
    ours = coverage().map.degrade(7, "COVERAGE")
    listed = CellSet.from_cells(7, coverage().map.cells.cells() >> 4)
    full = [
        cell
        for cell in listed.cells()
        if np.isin(np.arange(16 * cell, 16 * cell + 16), coverage().map.cells.cells()).all()
    ]
    assert len(full) > 100
    for found in (Map.read(str(path), degrade_nside=128), Map.read(str(path)).degrade(128)):
        assert np.array_equal(found.valid_pixels, listed.cells())
        assert np.allclose(found[np.array(full)], ours.of_cells(full), rtol=1e-6)


def test_a_fraction_at_a_coarser_order_is_the_fraction_of_set_cells(tmp_path):
    """A high-resolution boolean and our degraded footprint (interoperability check 16)."""
    cells = np.unique(np.random.default_rng(1).choice(block(11), 20_000))
    key = io_helpers.key("footprint", order=11)
    product = io_helpers.make(key, {"WEIGHT": np.ones(cells.size, np.float32)}, cells=cells)
    fine = Map.read(str(io.write_file(product, tmp_path / "a.hsp")))
    truth = fine.fracdet_map(512)
    coarse = Map.read(str(io.convert(tmp_path / "a.hsp", tmp_path / "b.hsp", 9)))
    assert np.array_equal(coarse.valid_pixels, truth.valid_pixels)
    assert np.abs(coarse[coarse.valid_pixels] - truth[truth.valid_pixels]).max() < 1e-7
    boolean = Map.make_empty(32, 2048, bool)
    boolean[cells] = True
    assert np.abs(boolean.fracdet_map(512)[truth.valid_pixels] - coarse[truth.valid_pixels]).max() < 1e-7


def test_a_wide_mask_of_our_bits_masks_what_has_no_coverage_left(tmp_path):
    """Cells that are flagged as a whole (interoperability check 15)."""
    rng = np.random.default_rng(3)
    cells, states = np.arange(2000), rng.integers(0, 4, 2000)
    planes = {"BIT00": (states & 1).astype(np.float32), "BIT01": (states >> 1).astype(np.float32)}
    flagged = np.maximum(planes["BIT00"], planes["BIT01"])
    key = io_helpers.key("bitmask", order=9)
    mask = io_helpers.make(key, {"WEIGHT": flagged, **planes}, io_helpers.BITS, cells=cells)
    left = io_helpers.make(
        io_helpers.key("coverage", order=9), {"WEIGHT": 1 - flagged}, io_helpers.BITS, cells=cells
    )
    found = Map.read(str(io.write_file(mask, tmp_path / "mask.hsp")))
    wide = Map.make_empty(32, 512, healsparse.WIDE_MASK, wide_mask_maxbits=8)
    for bit, name in enumerate(planes):
        wide.set_bits_pix(cells[found[name][cells] > 0], [bit])
        assert np.array_equal(wide.check_bits_pix(cells, [bit]), planes[name] > 0)
    seen = Map.read(str(io.write_file(left, tmp_path / "left.hsp", maps=MapParameters(write_zeros=True))))
    seen.apply_mask(wide, mask_bit_arr=[0, 1])
    assert np.array_equal(seen.valid_pixels, cells[flagged == 0])
    assert np.array_equal(seen.valid_pixels, left.map.cells.cells()[left.map.values > 0])


def test_the_library_writes_our_map_in_its_other_forms(path, tmp_path):
    found = Map.read(str(path))
    found.write(str(tmp_path / "b.hsparquet"), format="parquet")
    again = Map.read(str(tmp_path / "b.hsparquet"))
    assert np.array_equal(again.valid_pixels, found.valid_pixels)
    assert np.array_equal(again[again.valid_pixels], found[found.valid_pixels])
    found.write(str(tmp_path / "b.fits"), format="healpix")
    assert io.read(tmp_path / "b.fits").map == coverage().map


def test_the_mer_convention_is_named_and_exact(tmp_path):
    made = io.write_file(PRODUCTS["coverage"], tmp_path / "a.hsp", maps=MER)
    found = Map.read(str(made))
    assert found.metadata["COVCONV"] == "MER"
    assert found.dtype == np.float64
    assert np.array_equal(1 - found[np.sort(CELLS)], PRODUCTS["coverage"].map.values)
    assert io.read(made).map == PRODUCTS["coverage"].map
    assert "COVCONV" not in io.read(made).keywords
    partial = io_helpers.make(
        io_helpers.key("coverage"), {"WEIGHT": io_helpers.fractions()}, {"TILEAREA": 1e3}
    )
    with pytest.raises(MapMismatchError, match="must list every cell"):
        io.write_file(partial, tmp_path / "b.hsp", maps=MER)


@given(area=st.floats(-1e30, 1e30, allow_subnormal=False), text=st.text(max_size=90))
@settings(max_examples=20, deadline=None)
def test_numbers_and_texts_come_back_to_the_last_digit(tmp_path_factory, area, text):
    words = {**PRODUCTS["coverage"].keywords, "OBSAREA": area, "INREL": text}
    product = replace(PRODUCTS["coverage"], keywords=words)
    path = io.write_file(product, tmp_path_factory.mktemp("any") / "a.hsp")
    back = io.read(path).keywords
    assert back["OBSAREA"] == area
    assert back["INREL"] == text


def test_a_map_without_cells_comes_back(tmp_path):
    none = io_helpers.make(io_helpers.key("depth"), {"WEIGHT": np.empty(0, np.float32)}, cells=[])
    back = io.read(io.write_file(none, tmp_path / "a.hsp"))
    assert len(back.map) == 0
    assert back.key == none.key


@pytest.mark.parametrize("name", ["coverage", "bitmask", "tile", "mjd"])
def test_the_same_product_makes_the_same_bytes_at_any_time(name, tmp_path, monkeypatch):
    made = []
    for clock in (1e9, 1.5e9):
        monkeypatch.setattr("time.time", lambda clock=clock: clock)
        made.append(io.write_file(PRODUCTS[name], tmp_path / f"{clock}.hsp").read_bytes())
    assert made[0] == made[1]


def test_rows_go_over_block_by_block(path, tmp_path, monkeypatch):
    monkeypatch.setattr(form, "ROWS", 100)
    assert io.write_file(coverage(), tmp_path / "b.hsp").read_bytes() == path.read_bytes()
    first = io.write_file(PRODUCTS["bitmask"], tmp_path / "c.fits")
    monkeypatch.setattr(form, "ROWS", 7)
    assert io.read(io.convert(first, tmp_path / "c.hsp")) == io.read(first)


def test_the_value_that_means_none_is_refused(tmp_path):
    for key, value in (("Tile", np.iinfo(np.int64).min), ("Background", UNSEEN)):
        values = np.array([value] * CELLS.size)
        product = io_helpers.make(io_helpers.key("info", quantity=key, statistic="MEAN"), {"WEIGHT": values})
        with pytest.raises(InputError, match="means no value"):
            io.write_file(product, tmp_path / "a.hsp")
    assert list(tmp_path.iterdir()) == []


# -- what the library writes --------------------------------------------------------------------------------


def theirs(path, dtype, values, cells=CELLS, **options):
    """A map of the library, without our metadata."""
    one = Map.make_empty(8, NSIDE, dtype, **options)
    one.update_values_pix(np.asarray(cells), values)
    one.write(str(path))
    return path


@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", "i4", "i8", "u1"])
def test_maps_without_our_words_are_read(dtype, tmp_path):
    values = np.arange(1, CELLS.size + 1).astype(dtype)
    product = io.read(theirs(tmp_path / "theirs.hs", dtype, values))
    assert product.map == SkyMap.from_cells(ORDER, CELLS, values)
    assert (product.key.kind, product.key.area, product.key.order) == ("map", "theirs", ORDER)
    named = f"EUC_LE3_VMPZ-ID_HPCOVERAGE-{TILE}_20260314T150926.535897Z_0.12.hsp"
    assert (
        io.read(theirs(tmp_path / named, "f4", np.full(CELLS.size, np.float32(0.5)))).key.kind == "coverage"
    )


def test_a_sentinel_of_their_own_is_missing_too(tmp_path):
    values = np.where(CELLS % 2, 7.0, 0.25).astype(np.float32)
    product = io.read(theirs(tmp_path / "a.hsp", "f4", values, sentinel=7.0))
    assert np.array_equal(product.map.cells.cells(), np.sort(CELLS[CELLS % 2 == 0]))
    one = Map.make_empty(8, NSIDE, "f4")
    one[CELLS] = np.where(CELLS % 2, np.nan, 1).astype(np.float32)
    one.write(str(tmp_path / "b.hs.fits"))
    assert np.array_equal(io.read(tmp_path / "b.hs.fits").map.cells.cells(), np.sort(CELLS[CELLS % 2 == 0]))
    assert io.check(tmp_path / "b.hs.fits") == []


@pytest.mark.parametrize("packed", [False, True])
def test_booleans_are_ones(packed, tmp_path):
    product = io.read(theirs(tmp_path / "a.hsp", bool, np.ones(CELLS.size, bool), bit_packed=packed))
    assert product.map == SkyMap.from_cells(ORDER, CELLS, np.ones(CELLS.size, np.float32))


def test_a_wide_mask_is_its_bits(tmp_path):
    one = Map.make_empty(8, NSIDE, healsparse.WIDE_MASK, wide_mask_maxbits=16)
    one.set_bits_pix(CELLS[:5], [1])
    one.set_bits_pix(CELLS[3:9], [12])
    one.write(str(tmp_path / "a.hsp"))
    product = io.read(tmp_path / "a.hsp")
    assert list(product.maps) == ["WEIGHT", "BIT01", "BIT12"]
    assert np.array_equal(product.map.cells.cells(), CELLS[:9])
    assert product.maps["BIT01"].values.tolist() == [1.0] * 5 + [0.0] * 4
    assert product.maps["BIT12"].values.tolist() == [0.0] * 3 + [1.0] * 6


def test_records_have_their_primary_field_first(tmp_path):
    values = np.zeros(CELLS.size, [("count", "i4"), ("depth", "f8")])
    values["depth"], values["count"] = np.arange(CELLS.size), 3
    product = io.read(theirs(tmp_path / "a.hsp", values.dtype, values, primary="depth"))
    assert list(product.maps) == ["WEIGHT", "count"]
    assert product.map == SkyMap.from_cells(ORDER, CELLS, np.arange(CELLS.size, dtype=float))


def test_what_a_user_made_of_our_map_is_read(path, tmp_path):
    """Degraded, cut and relabelled by the library: order and cells are those of the map, changed cards count."""
    one = Map.read(str(path)).degrade(64)
    one[one.valid_pixels[:3]] = None
    one.metadata = {**Map.read(str(path)).metadata, "OBSAREA": 0.25, "EFFRULE": "MIN"}
    one.metadata.pop("COMMENT", None)
    one.write(str(tmp_path / "b.hsp"))
    product = io.read(tmp_path / "b.hsp")
    assert product.key == replace(coverage().key, order=6)
    assert np.array_equal(product.map.cells.cells(), one.valid_pixels)
    assert (product.keywords["OBSAREA"], product.keywords["EFFRULE"]) == (0.25, "MIN")
    assert io.read(path).keywords["OBSAREA"] == 0.1 + 0.2


def test_a_moc_of_the_library_has_our_cells(path, tmp_path):
    """Interoperability check 7."""
    Map.read(str(path)).write_moc(str(tmp_path / "a.moc.fits"))
    assert io.read(tmp_path / "a.moc.fits").map.cells == coverage().map.cells


# -- damage -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [1, 2880, 5760])
def test_a_cut_file_is_found(cut, path):
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(InputError, match=r"a\.hsp"):
        io.read(path)
    assert len(io.check(path)) == 1


def test_an_altered_value_is_found(path):
    whole = bytearray(path.read_bytes())
    place = len(whole) - 2880
    whole[place : place + 40] = bytes(40)
    path.write_bytes(whole)
    with pytest.raises(InputError, match="must be a healsparse map"):
        io.read(path)


def test_other_files_are_refused(path, tmp_path):
    other = io.write_file(PRODUCTS["depth"], tmp_path / "b.fits").rename(tmp_path / "b.hsp")
    with pytest.raises(InputError, match="HDU SPARSE"):
        io.read(other)
    with fits.open(path, mode="update", disable_image_compression=True) as hdus:
        hdus["SPARSE"].header["PIXTYPE"] = "HEALPIX"
    with pytest.raises(InputError, match="PIXTYPE must be HEALSPARSE"):
        io.read(path)


def test_floats_that_are_no_numbers_are_refused(path):
    with fits.open(path, mode="update", disable_image_compression=True) as hdus:
        hdus["SPARSE"].header["VMPZFLTS"] = "[1"
    with pytest.raises(InputError, match="VMPZFLTS"):
        io.read(path)


@pytest.mark.parametrize("name", ["a[1].hsp", "a(b).hsp"])
def test_brackets_that_a_backend_takes_for_commands_are_refused(name, path, tmp_path):
    with pytest.raises(InputError, match="no brackets"):
        io.write_file(coverage(), tmp_path / name)
    with pytest.raises(InputError, match="no brackets"):
        io.read(path.rename(tmp_path / name))
    assert [one.name for one in tmp_path.iterdir()] == [name]


def test_without_the_package_the_message_says_how_to_get_it(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "healsparse", None)
    for act in (lambda: io.read(path), lambda: io.write_file(coverage(), path)):
        with pytest.raises(InputError, match=r"pip install vmpz\[healsparse\]"):
            act()
