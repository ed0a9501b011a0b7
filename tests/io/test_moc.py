import subprocess
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st
from mocpy import MOC

import io_helpers
from io_helpers import CELLS, ORDER
from vmpz import io
from vmpz.errors import InputError, MapMismatchError
from vmpz.parameters import MapParameters
from vmpz.products import Product
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.multiorder import to_multiorder
from vmpz.sky.skymap import SkyMap

PRODUCTS = io_helpers.products()


@pytest.fixture(params=PRODUCTS)
def product(request):
    return PRODUCTS[request.param]


@pytest.fixture
def path(product, tmp_path):
    return io.write_file(product, tmp_path / "a.moc.fits")


def test_the_layout_is_the_published_one(product, path):
    with fits.open(path, checksum="warn") as hdus:
        first, plain, weighted = hdus
        assert first.header["NAXIS"] == 0
        assert (plain.columns.names, plain.columns.formats) == (
            ["RANGE"],
            ["1K"],
        ) or plain.columns.formats == ["K"]
        assert plain.header["TFORM1"] == "1K"
        assert "PIXTYPE" not in plain.header
        for name, value in {
            "MOCVERS": "2.0",
            "MOCDIM": "SPACE",
            "ORDERING": "RANGE",
            "COORDSYS": "C",
            "MOCORD_S": ORDER,
        }.items():
            assert plain.header[name] == value
        assert weighted.columns.names[:2] == ["UNIQ", "WEIGHT"]
        assert weighted.columns.formats[0] == "K"
        deepest = int(hpx.from_uniq(weighted.data["UNIQ"])[0].max())
        for name, value in {
            "PIXTYPE": "HEALPIX",
            "ORDERING": "NUNIQ",
            "NSIDE": 1 << deepest,
            "MOCORDER": deepest,
            "INDXSCHM": "EXPLICIT",
            "COORDSYS": "C",
            "MOCVERS": "2.0",
        }.items():
            assert weighted.header[name] == value
        assert np.all(np.diff(weighted.data["UNIQ"]) > 0)
        assert not any(
            weighted.header.get(name) is None for name in ("WGTKIND", "DEGRULE", "VERIFIED", "PRODDIG")
        )


def test_the_plain_moc_is_the_set_of_cells(product, path):
    moc = MOC.from_fits(path)
    assert CellSet.from_moc(moc) == product.map.cells
    assert moc.max_order == ORDER
    assert moc.sky_fraction == pytest.approx(len(CELLS) / hpx.number_of_cells(ORDER), rel=1e-12)


def test_everything_comes_back(product, path):
    back = io.read(path)
    assert back.key == replace(product.key, release="-")
    assert dict(back.maps) == dict(product.maps)
    assert io.check(path) == []


def test_whole_families_of_one_value_are_one_cell(tmp_path):
    path = io.write_file(PRODUCTS["coverage"], tmp_path / "a.moc.fits")
    table = Table.read(path, hdu=2)
    orders, cells = hpx.from_uniq(np.asarray(table["UNIQ"]))
    uniq, values = to_multiorder(PRODUCTS["coverage"].map)
    assert np.array_equal(table["UNIQ"], uniq) and np.array_equal(table["WEIGHT"], values)
    assert (4, 1) in set(zip(orders.tolist(), cells.tolist(), strict=True))
    assert len(table) < CELLS.size


def test_siblings_that_differ_in_another_column_stay_apart(tmp_path):
    values = {
        "WEIGHT": np.ones(16, np.float32),
        "BIT00": np.r_[np.ones(12), 0.5, 0.5, 0.5, 0.25].astype(np.float32),
    }
    product = io_helpers.make(io_helpers.key("bitmask"), values, cells=np.arange(16))
    path = io.write_file(product, tmp_path / "a.moc.fits")
    table = Table.read(path, hdu=2)
    assert len(table) == 3 + 4
    assert dict(io.read(path).maps) == dict(product.maps)


def test_cells_of_no_flags_are_in_the_table_but_not_in_the_moc(tmp_path):
    values = np.r_[np.zeros(4), np.ones(4)].astype(np.float32)
    product = io_helpers.make(io_helpers.key("bitmask"), {"WEIGHT": values}, cells=np.arange(8))
    path = io.write_file(product, tmp_path / "a.moc.fits")
    assert CellSet.from_moc(MOC.from_fits(path)) == CellSet.from_cells(ORDER, range(4, 8))
    assert io.read(path).map == product.map


@pytest.mark.parametrize("convention", ["OBSERVED", "MER"])
def test_the_moc_is_what_is_observed_whatever_the_convention(convention, tmp_path):
    values = np.r_[np.zeros(4), np.ones(4)].astype(np.float32)
    product = io_helpers.make(io_helpers.key("coverage"), {"WEIGHT": values}, cells=np.arange(8))
    maps = MapParameters(coverage_convention=convention, write_zeros=True)
    path = io.write_file(product, tmp_path / "a.moc.fits", maps=maps)
    assert CellSet.from_moc(MOC.from_fits(path)) == CellSet.from_cells(ORDER, range(4, 8))
    assert io.read(path).map == product.map


@given(
    st.integers(0, 29),
    st.lists(st.tuples(st.integers(0, 2**63), st.sampled_from([0.25, 0.5, 1.0])), min_size=1, max_size=80),
)
@settings(max_examples=60, deadline=None)
def test_any_map_comes_back_bit_for_bit(tmp_path_factory, order, rows):
    rows = {cell % min(hpx.number_of_cells(order), 200): value for cell, value in rows}
    listed = SkyMap.from_cells(order, list(rows), np.array(list(rows.values()), np.float32))
    product = Product(io_helpers.key("coverage", order=order), {"WEIGHT": listed})
    path = io.write_file(product, tmp_path_factory.mktemp("any") / "a.moc.fits")
    assert io.read(path).map == listed
    assert CellSet.from_moc(MOC.from_fits(path), order) == listed.cells


def test_an_empty_map_is_a_valid_file(tmp_path):
    empty = Product(io_helpers.key("coverage"), {"WEIGHT": SkyMap(CellSet(ORDER), np.empty(0, np.float32))})
    path = io.write_file(empty, tmp_path / "a.moc.fits")
    assert io.read(path).map == empty.map
    assert io.check(path) == []


def test_a_tolerance_moves_no_value_farther_and_keeps_the_area(tmp_path):
    cells = np.arange(4096)
    values = (0.5 + 0.05 * np.random.default_rng(9).random(cells.size)).astype(np.float32)
    product = io_helpers.make(io_helpers.key("coverage"), {"WEIGHT": values}, cells=cells)
    path = io.write_file(product, tmp_path / "a.moc.fits", maps=MapParameters(moc_tolerance=0.1))
    back = io.read(path).map
    assert len(fits.getdata(path, 2)) == 1
    assert np.abs(back.values - values).max() <= 0.1
    assert back.integral_deg2() == pytest.approx(product.map.integral_deg2(), rel=2.0**-24)


def test_a_coarser_order_follows_the_rule_of_the_product(tmp_path):
    product = PRODUCTS["coverage"]
    path = io.write_file(product, tmp_path / "a.moc.fits", maps=MapParameters(moc_order=4))
    back = io.read(path)
    assert back.key.order == 4
    assert back.map.integral_deg2() == pytest.approx(product.map.integral_deg2(), rel=1e-6)
    assert back.keywords["DEGWGT"] == "NONE"
    median = io_helpers.make(
        io_helpers.key("info", quantity="PSF", statistic="MEDIAN"),
        {"WEIGHT": io_helpers.fractions()},
        {"DEGRULE": "NONE"},
    )
    with pytest.raises(MapMismatchError, match="not degradable"):
        io.write_file(median, tmp_path / "b.moc.fits", maps=MapParameters(moc_order=4))


def test_a_product_that_lost_its_table_of_values_is_refused(path):
    with fits.open(path) as hdus:
        cut = hdus[2].fileinfo()["hdrLoc"]
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputError, match="the file is cut"):
        io.read(path)


def test_plain_mocs_are_read_as_footprints(tmp_path):
    cells = CellSet.from_cells(8, [*range(100, 300), 7000])
    path = tmp_path / "plain.fits"
    cells.to_moc().save(path, format="fits")
    product = io.read(path)
    assert product.key.kind == "footprint" and product.map.cells == cells
    assert np.all(product.map.values == 1)
    uniq = np.sort(hpx.to_uniq([7000, 12], [8, 6]))
    table = fits.BinTableHDU.from_columns([fits.Column("UNIQ", "K", array=uniq)])
    for name, value in {"ORDERING": "NUNIQ", "MOCORDER": 8, "MOCVERS": "2.0", "COORDSYS": "C"}.items():
        table.header[name] = value
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(tmp_path / "uniq.fits")
    assert io.read(tmp_path / "uniq.fits").map.cells == CellSet.from_uniq(uniq, 8)


def test_maps_that_would_unfold_too_far_are_refused(tmp_path):
    path = tmp_path / "all.fits"
    MOC.from_depth29_ranges(29, np.array([[0, 12 << 58]], np.uint64)).save(path, format="fits")
    with pytest.raises(InputError, match="unfold to at most"):
        io.read(path)


# -- other people's software --------------------------------------------------------------------------------


def test_the_lone_weighted_table_is_no_moc_for_mocpy(path, tmp_path):
    with fits.open(path) as hdus:
        fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(hdus[2].data, hdus[2].header)]).writeto(
            tmp_path / "lone.fits", checksum=True
        )
    with pytest.raises(Exception):  # noqa: B017 - whatever mocpy raises
        MOC.from_fits(tmp_path / "lone.fits")
    assert len(io.read(tmp_path / "lone.fits").map) == CELLS.size


def test_mocpy_takes_values_and_weights_of_the_second_table(tmp_path):
    product = PRODUCTS["coverage"]
    path = io.write_file(product, tmp_path / "a.moc.fits")
    table = Table.read(path, hdu=2)
    table["UNIQ"] = np.asarray(table["UNIQ"]).astype(np.uint64)
    table["WEIGHT"] = np.asarray(table["WEIGHT"]).astype(np.float64)
    everything = MOC.from_fits(path)
    values, weights = everything.values_and_weights_in_multiordermap(table, "WEIGHT")
    orders, _ = hpx.from_uniq(np.asarray(table["UNIQ"]).astype(np.int64))
    assert sorted(values) == sorted(np.asarray(table["WEIGHT"]))
    assert np.allclose(sorted(weights), sorted(4 * np.pi / (12 * 4.0**orders)), rtol=1e-12, atol=0)
    area = np.sum(np.asarray(values) * np.asarray(weights)) * (180 / np.pi) ** 2
    assert area == pytest.approx(product.map.integral_deg2(), rel=1e-9)


@pytest.mark.gpl
@pytest.mark.parametrize("name", ["coverage", "depth", "noise"])
def test_mhealpy_reads_the_second_table(name, tmp_path):
    mhealpy = pytest.importorskip("mhealpy")
    product = PRODUCTS[name]
    path = io.write_file(product, tmp_path / "a.moc.fits")
    found = mhealpy.HealpixMap.read_map(str(path), hdu=2, uniq_field=0, field=1)
    table = fits.getdata(path, 2)
    assert np.array_equal(found.uniq, table["UNIQ"])
    assert np.array_equal(np.asarray(found.data), table["WEIGHT"])


@pytest.mark.gpl
@pytest.mark.parametrize("full", [True, False])
def test_maps_that_mhealpy_writes_are_read(full, tmp_path):
    mhealpy = pytest.importorskip("mhealpy")
    uniq, values = np.array([16 * 4 + 3, 16 * 4 + 8, 256 + 40]), np.array([0.5, 0.25, 1.0])
    if full:
        uniq = np.r_[4 + np.arange(1, 12), 16 + np.arange(4)]
        values = np.random.default_rng(10).random(uniq.size)
    path = tmp_path / "m.fits"
    mhealpy.HealpixMap(values, uniq).write_map(str(path))
    header = fits.getheader(path, 1)
    assert header["ORDERING"] == "NUNIQ" and "COORDSYS" not in header
    found = io.read(path).map
    orders, cells = hpx.from_uniq(uniq)
    for order, cell, value in zip(orders, cells, values, strict=True):
        assert np.all(
            found.of_cells(
                np.arange(cell << 2 * (found.order - order), (cell + 1) << 2 * (found.order - order))
            )
            == value
        )
    assert len(found) == np.sum(4 ** (found.order - orders))


@pytest.mark.gpl
def test_mocs_that_healsparse_writes_are_read(tmp_path):
    healsparse = pytest.importorskip("healsparse")
    mask = healsparse.HealSparseMap.make_empty(32, 512, bool, sentinel=False)
    mask[np.arange(1000, 3000)] = True
    mask.write_moc(str(tmp_path / "hs.fits"))
    assert io.read(tmp_path / "hs.fits").map.cells.at_order(9) == CellSet.from_ranges(9, [(1000, 3000)])


@pytest.mark.tool
def test_the_moc_program_agrees(path, tmp_path):
    moc = io_helpers.program("moc")
    told = subprocess.run([moc, "info", str(path)], capture_output=True, text=True, check=True).stdout
    assert "MOC type: SPACE" in told and f"MOC depth: {ORDER}" in told
    ascii_form = subprocess.run(
        [moc, "convert", str(path), "ascii"], capture_output=True, text=True, check=True
    ).stdout
    assert MOC.from_str(ascii_form) == MOC.from_fits(path)
