from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

import io_helpers
from io_helpers import CELLS, ORDER
from vmpz import io
from vmpz.errors import InputError, MapMismatchError
from vmpz.io.metadata import KEYWORDS, OWN, PRIMARY
from vmpz.parameters import MapParameters
from vmpz.products import Product
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap

PRODUCTS = io_helpers.products()


@pytest.fixture(params=PRODUCTS)
def product(request):
    return PRODUCTS[request.param]


def test_the_layout_is_the_published_one(product, tmp_path):
    path = io.write_file(product, tmp_path / "a.fits")
    with fits.open(path, checksum="warn") as hdus:
        first, table = hdus
        assert list(first.header)[:4] == ["SIMPLE", "BITPIX", "NAXIS", "EXTEND"]
        assert first.header["NAXIS"] == 0 and first.data is None
        assert table.columns.names[:2] == ["PIXEL", "WEIGHT"]
        assert table.columns.formats[0] == "K"
        wanted = {"Tile": "K", "MJD": "D"}.get(product.key.quantity, "E")
        assert set(table.columns.formats[1:]) == {wanted}
        assert table.columns[1].unit == (product.unit or None)
        for name, value in {
            "PIXTYPE": "HEALPIX",
            "ORDERING": "NESTED",
            "COORDSYS": "C",
            "NSIDE": 1 << ORDER,
            "INDXSCHM": "EXPLICIT",
            "OBJECT": "PARTIAL",
            "MASKBAND": "-1" if product.key.band == "-" else product.key.band,
        }.items():
            assert table.header[name] == value
        assert np.array_equal(table.data["PIXEL"], np.sort(CELLS))


def test_published_keywords_stand_in_the_primary_header_in_order(product, tmp_path):
    path = io.write_file(product, tmp_path / "a.fits")
    header = fits.getheader(path, 0)
    wanted = [row.name for row in PRIMARY if row.belongs_to(product.key.kind)]
    assert [name for name in header if name in KEYWORDS] == wanted
    assert wanted[-2:] == ["SOFTNAME", "SOFTVERS"]
    assert type(header["NSIDE_WK"]) is str and header["NSIDE_WK"] == "64"
    assert header["TILEID"] == 102018211 and header["LISTID"] == "-1"
    for name in wanted:
        assert type(header[name]) is KEYWORDS[name].type
    if product.key.kind in ("coverage", "bitmask", "depth"):
        assert header["BITSEL"] == "0,1,32"
    if product.key.kind == "info":
        assert header["INFO"] == product.key.quantity


def test_everything_comes_back(product, tmp_path):
    path, _ = io.write(product, tmp_path)
    back = io.read(path)
    assert back.key == product.key
    assert back.unit == product.unit
    assert list(back.maps) == list(product.maps)
    for name, one in product.maps.items():
        assert back.maps[name] == one
        assert back.maps[name].values.dtype == one.values.dtype
    assert {name: back.keywords[name] for name in product.keywords} == product.keywords
    assert back.keywords["PRODDIG"] == product.provenance.digest
    assert io.check(path) == []


def test_a_product_that_was_read_is_written_to_the_same_bytes(product, tmp_path):
    path = io.write_file(product, tmp_path / "a.fits")
    back = io.read(path)
    again = io.write_file(replace(back, key=product.key), tmp_path / "b.fits")
    assert path.read_bytes() == again.read_bytes()


def test_the_same_product_makes_the_same_bytes_whatever_the_clock(product, tmp_path, monkeypatch):
    path = io.write_file(product, tmp_path / "a.fits")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    assert path.read_bytes() == io.write_file(product, tmp_path / "b.fits").read_bytes()


@given(
    st.integers(0, 29),
    st.lists(st.tuples(st.integers(0, 2**63), st.floats(0, 1, width=32)), max_size=60),
)
@settings(max_examples=60, deadline=None)
def test_any_fraction_on_any_cells_comes_back(tmp_path_factory, order, rows):
    rows = {cell % hpx.number_of_cells(order): value for cell, value in rows}
    listed = SkyMap.from_cells(order, list(rows), np.array(list(rows.values()), np.float32))
    product = Product(io_helpers.key("coverage", order=order), {"WEIGHT": listed})
    path = tmp_path_factory.mktemp("any") / "a.fits"
    io.write_file(product, path, maps=MapParameters(write_zeros=True))
    assert io.read(path).map == listed
    io.write_file(product, path)
    assert io.read(path).map == listed.where(listed.values > 0)


def test_an_empty_map_is_a_valid_file(tmp_path):
    empty = Product(io_helpers.key("coverage"), {"WEIGHT": SkyMap(CellSet(ORDER), np.empty(0, np.float32))})
    path = io.write_file(empty, tmp_path / "a.fits")
    assert len(io.read(path).map) == 0
    assert io.check(path) == []
    assert len(fits.getdata(path)) == 0


def test_more_rows_than_a_block_are_written_in_order(tmp_path):
    cells = np.arange(5, 200_000)
    values = np.random.default_rng(3).random(cells.size).astype(np.float32)
    product = io_helpers.make(io_helpers.key("coverage", order=12), {"WEIGHT": values}, cells=cells)
    path = io.write_file(product, tmp_path / "a.fits")
    table = fits.getdata(path)
    assert np.array_equal(table["PIXEL"], cells)
    assert np.array_equal(table["WEIGHT"], values)
    assert fits.open(path)[1].verify_datasum() == 1


def test_float64_fractions_are_rounded_to_float32(tmp_path):
    exact = np.random.default_rng(4).random(CELLS.size)
    path = io.write_file(io_helpers.make(io_helpers.key("coverage"), {"WEIGHT": exact}), tmp_path / "a.fits")
    assert np.array_equal(io.read(path).map.values, exact.astype(np.float32))
    assert np.abs(io.read(path).map.values - exact).max() <= 2.0**-24


@pytest.mark.parametrize("bad", [np.nan, np.inf, -0.1, 1.1])
def test_values_that_are_no_fractions_are_not_written(bad, tmp_path):
    values = io_helpers.fractions()
    values[3] = bad
    path = tmp_path / "a.fits"
    with pytest.raises(InputError, match=r"WEIGHT must be finite|fraction must lie"):
        io.write_file(io_helpers.make(io_helpers.key("coverage"), {"WEIGHT": values}), path)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_keyword_is_refused_by_name(tmp_path):
    product = io_helpers.make(io_helpers.key("coverage"), {"WEIGHT": io_helpers.fractions()}, {"SNR": 5})
    with pytest.raises(InputError, match="SNR"):
        io.write_file(product, tmp_path / "a.fits")
    wrong = io_helpers.make(io_helpers.key("coverage"), {"WEIGHT": io_helpers.fractions()}, {"BITSEL": 3})
    with pytest.raises(InputError, match="BITSEL must be a str"):
        io.write_file(wrong, tmp_path / "a.fits")


def test_numpy_scalars_are_taken_as_what_they_are(tmp_path):
    words = {"OBSAREA": np.float64(0.5), "VERIFIED": np.bool_(True), "SNRLEVEL": np.int64(5)}
    product = io_helpers.make(io_helpers.key("depth"), {"WEIGHT": io_helpers.fractions()}, words)
    header = fits.getheader(io.write_file(product, tmp_path / "a.fits"), 1)
    assert (header["OBSAREA"], header["VERIFIED"], header["SNRLEVEL"]) == (0.5, True, 5.0)


def test_strict_files_hold_the_published_keywords_alone_and_the_descriptor_the_rest(product, tmp_path):
    path, descriptor = io.write(product, tmp_path, maps=MapParameters(strict_dpdd=True))
    header = fits.getheader(path, 1)
    assert not [name for name in header if name in OWN or name.startswith("BITN")]
    assert {"MASKBAND", "PIXTYPE", "CHECKSUM"} <= set(header)
    back = io.read(descriptor)
    assert back.key == product.key
    assert {name: back.keywords[name] for name in product.keywords} == product.keywords


# -- polarity -----------------------------------------------------------------------------------------------


def whole(product):
    """The product with every cell of its area listed."""
    area = product.map.cells | CellSet.from_cells(ORDER, np.arange(30_000, 30_050))
    values = product.map.of_cells(area.cells(), np.float32(0)).astype(np.float32)
    words = {**product.keywords, "TILEAREA": area.area_deg2}
    return replace(product, maps={"WEIGHT": SkyMap(area, values)}, keywords=words)


@pytest.mark.parametrize("kind", ["footprint", "coverage", "effectivecoverage"])
@pytest.mark.parametrize("form", ["healpix", "moc"])
def test_polarity_is_the_identity_there_and_back(kind, form, tmp_path):
    product = whole(PRODUCTS[kind])
    table = 2 if form == "moc" else 1
    ours = io.write_file(product, tmp_path / "ours.fits", form=form)
    mer = io.write_file(
        product, tmp_path / "mer.fits", form=form, maps=MapParameters(coverage_convention="MER")
    )
    assert fits.getheader(ours, table)["COVCONV"] == "OBSERVED"
    assert fits.getheader(mer, table)["COVCONV"] == "MER"
    back = io.read(mer)
    assert back.map == product.map
    assert io.check(mer) == []
    again = io.write_file(replace(back, key=product.key), tmp_path / "again.fits", form=form)
    assert again.read_bytes() == ours.read_bytes()


def test_areas_agree_in_both_conventions(tmp_path):
    values = np.random.default_rng(5).random(CELLS.size).astype(np.float32)
    product = whole(io_helpers.make(io_helpers.key("coverage"), {"WEIGHT": values}))
    ours = fits.getdata(io.write_file(product, tmp_path / "a.fits"))
    mer = fits.getdata(
        io.write_file(product, tmp_path / "b.fits", maps=MapParameters(coverage_convention="MER"))
    )
    assert np.isclose(np.sum(1.0 - mer["WEIGHT"]), np.sum(ours["WEIGHT"], dtype=float), rtol=1e-12, atol=0)
    assert len(mer) == len(product.map) and len(ours) == len(CELLS)


@given(st.lists(st.floats(2.0**-30, 1, width=32), min_size=1, max_size=50))
@settings(max_examples=50, deadline=None)
def test_polarity_is_exact_for_every_fraction(tmp_path_factory, values):
    product = io_helpers.make(
        io_helpers.key("coverage"), {"WEIGHT": np.array(values, np.float32)}, cells=np.arange(len(values))
    )
    path = tmp_path_factory.mktemp("any") / "a.fits"
    io.write_file(product, path, maps=MapParameters(coverage_convention="MER"))
    assert io.read(path).map == product.map


def test_other_maps_know_no_polarity(tmp_path):
    for name in ("bitmask", "depth", "noise"):
        plain = io.write_file(PRODUCTS[name], tmp_path / "a.fits")
        mer = io.write_file(
            PRODUCTS[name], tmp_path / "b.fits", maps=MapParameters(coverage_convention="MER")
        )
        assert plain.read_bytes() == mer.read_bytes()
        assert "COVCONV" not in fits.getheader(plain, 1)


def test_the_mer_convention_wants_the_whole_area_and_its_keyword(tmp_path):
    product = whole(PRODUCTS["coverage"])
    part = replace(product, maps={"WEIGHT": product.map.where(product.map.values > 0)})
    with pytest.raises(MapMismatchError, match="every cell of the area"):
        io.write_file(part, tmp_path / "a.fits", maps=MapParameters(coverage_convention="MER"))
    with pytest.raises(InputError, match="COVCONV"):
        io.write_file(
            product, tmp_path / "a.fits", maps=MapParameters(coverage_convention="MER", strict_dpdd=True)
        )


def test_zeros_are_left_out_unless_they_are_asked_for(tmp_path):
    product = whole(PRODUCTS["coverage"])
    without = io.write_file(product, tmp_path / "a.fits")
    assert Table.read(without, hdu=1)["WEIGHT"].min() > 0
    zeros = io.write_file(product, tmp_path / "b.fits", maps=MapParameters(write_zeros=True))
    assert len(Table.read(zeros, hdu=1)) == len(product.map)
    assert io.read(zeros).map == product.map
