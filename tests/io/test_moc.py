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
from sky_helpers import mp_polygon_area_deg2, tangent_square
from vmpz import io
from vmpz.errors import InputError, MapMismatchError
from vmpz.parameters import MapParameters
from vmpz.products import Product
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.multiorder import to_multiorder
from vmpz.sky.regions import Cap, Polygon, cells_inside
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


# -- plain MOCs -----------------------------------------------------------------------------------------------

ALONE = ("a.plain.moc.fits", "a.moc.json", "a.moc.txt")
LOADED_AS = {".fits": "fits", ".json": "json", ".txt": "ascii"}
NUMBERINGS = ("RANGE", "NUNIQ")


@pytest.fixture(params=NUMBERINGS)
def numbered(request):
    return MapParameters(moc_numbering=request.param)


def test_the_plain_moc_can_be_numbered_as_old_readers_want(product, tmp_path):
    path = io.write_file(product, tmp_path / "a.moc.fits", maps=MapParameters(moc_numbering="NUNIQ"))
    with fits.open(path, checksum="warn") as (_, plain, weighted):
        assert (plain.columns.names, plain.header["TFORM1"]) == (["UNIQ"], "1K")
        wanted = {
            "ORDERING": "NUNIQ",
            "MOCORDER": ORDER,
            "MOCVERS": "2.0",
            "COORDSYS": "C",
            "MOCDIM": "SPACE",
        }
        assert {name: plain.header[name] for name in wanted} == wanted and "PIXTYPE" not in plain.header
        assert np.all(np.diff(plain.data["UNIQ"]) > 0)
        assert CellSet.from_uniq(plain.data["UNIQ"], ORDER) == product.map.cells
        ones = to_multiorder(SkyMap(product.map.cells, np.ones(CELLS.size)))[0]
        assert np.array_equal(plain.data["UNIQ"], ones)  # canonical
        assert weighted.header["PIXTYPE"] == "HEALPIX"
    assert CellSet.from_moc(MOC.from_fits(path)) == product.map.cells
    assert dict(io.read(path).maps) == dict(product.maps)
    assert io.check(path) == []


@pytest.mark.parametrize("name", ALONE)
def test_a_moc_alone(name, numbered, product, tmp_path):
    path = io.write_file(product, tmp_path / name, maps=numbered)
    moc = MOC.load(path, LOADED_AS[path.suffix])
    assert CellSet.from_moc(moc) == product.map.cells and moc.max_order == ORDER
    back = io.read(path)
    assert back.key.kind == "footprint" and back.map.cells == product.map.cells
    assert np.all(back.map.values == 1) and back.keywords["DEGRULE"] == "COVERAGE"
    assert io.check(path) == []


def test_a_moc_alone_keeps_its_order_and_its_emptiness(tmp_path):
    for cells in (CellSet(9), CellSet.from_ranges(9, [(1024, 2048)]), CellSet.everything(9)):
        product = Product(
            io_helpers.key("coverage", order=9), {"WEIGHT": SkyMap(cells, np.ones(len(cells), "f4"))}
        )
        for name in ALONE:
            assert io.read(io.write_file(product, tmp_path / name)).map.cells == cells


def test_what_is_not_observed_is_in_no_moc(tmp_path):
    values = np.r_[np.zeros(4), np.ones(4)].astype(np.float32)
    product = io_helpers.make(io_helpers.key("coverage"), {"WEIGHT": values}, cells=np.arange(8))
    for name in ALONE:
        assert io.read(io.write_file(product, tmp_path / name)).map.cells == CellSet.from_cells(
            ORDER, range(4, 8)
        )


def test_a_coarser_moc_needs_no_rule(tmp_path):
    """A parent is covered where a child is; that holds of medians too."""
    key = io_helpers.key("info", quantity="PSF", statistic="MEDIAN")
    median = io_helpers.make(key, {"WEIGHT": io_helpers.fractions()}, {"DEGRULE": "NONE"})
    for name in ALONE:
        path = io.write_file(median, tmp_path / name, maps=MapParameters(moc_order=4))
        assert io.read(path).map.cells == median.map.cells.at_order(4)


@pytest.mark.parametrize("name", ALONE)
def test_a_moc_alone_by_conversion(name, tmp_path):
    source = io.write_file(PRODUCTS["coverage"], tmp_path / "c.fits")
    plain = io.convert(source, tmp_path / name)
    assert io.read(plain).map.cells == PRODUCTS["coverage"].map.cells
    others = [io.convert(plain, tmp_path / f"b{other[1:]}").read_bytes() for other in ALONE]
    assert others == [io.convert(source, tmp_path / other).read_bytes() for other in ALONE]


@given(
    st.integers(0, 29),
    st.lists(st.integers(0, 12 * 4**29 - 1), max_size=60),
    st.sampled_from(ALONE),
    st.sampled_from(NUMBERINGS),
)
@settings(max_examples=60, deadline=None)
def test_5_any_set_comes_back_bit_for_bit_and_canonical(tmp_path_factory, order, cells, name, numbering):
    first = [cell >> 2 * (29 - order) for cell in cells]
    listed = CellSet.from_cells(order, [*first, *(cell ^ one for cell in first for one in range(4))])
    product = Product(
        io_helpers.key("coverage", order=order), {"WEIGHT": SkyMap(listed, np.ones(len(listed), "f4"))}
    )
    maps = MapParameters(moc_numbering=numbering)
    path = io.write_file(product, tmp_path_factory.mktemp("any") / name, maps=maps)
    assert io.read(path).map.cells == listed
    moc = MOC.load(path, LOADED_AS[path.suffix])
    assert moc == listed.to_moc() and moc.max_order == order
    if order <= 23:  # of a single deeper cell mocpy finds no area
        assert moc.sky_fraction * 41252.96124941927 == pytest.approx(listed.area_deg2, rel=1e-12)


def test_5_first_and_last_cell_of_every_order(tmp_path):
    for order in range(30):
        for cell in (0, hpx.number_of_cells(order) - 1):
            one = CellSet.from_cells(order, [cell])
            product = Product(
                io_helpers.key("coverage", order=order), {"WEIGHT": SkyMap(one, np.ones(1, "f4"))}
            )
            for name in (*ALONE, "b.moc.fits"):
                path = io.write_file(product, tmp_path / name, maps=MapParameters(moc_numbering="NUNIQ"))
                assert io.read(path).map.cells == one
            assert fits.getdata(path, 1)["UNIQ"].tolist() == [4 * 4**order + cell]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(
            ("a.moc.txt", text)
            for text in ("", "hello", "30/1", "5/99999999", "t5/3", "3/1 3/1", "3/1\0", "3/\xb5")
        ),
        *(
            ("a.moc.json", text)
            for text in ("", "[]", "null", '{"30": [1]}', '{"5": [99999999]}', '{"5": [-1]}')
        ),
        *(
            ("a.moc.json", text)
            for text in ('{"a": [1]}', '{"5": [1.5]}', '{"5": ["1"]}', '{"5": 7}', '{"5": [[1]]}')
        ),
    ],
)
def test_texts_that_are_no_moc_are_refused(name, text, tmp_path):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InputError, match=str(path)):
        io.read(path)
    assert len(io.check(path)) == 1


def test_a_text_that_would_unfold_too_far_is_refused(tmp_path):
    for name, text in (("a.moc.txt", "0/0-11 29/"), ("a.moc.json", '{"0": [0], "29": []}')):
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError, match="unfold to at most"):
            io.read(tmp_path / name)


# -- regions --------------------------------------------------------------------------------------------------

PLACES = [(57.9, -51.5), (0.0, 0.0), (20.0, 88.9), (90.0, 41.81), (45.0, -90.0), (0.01, 30.0)]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("hole", [False, True])
def test_27_regions_cover_their_cells_and_no_more_than_a_ring_around(place, hole, tmp_path):
    order = 11
    cells = cells_inside(Polygon(tangent_square(*place, 0.5)), order)
    cells = cells - cells_inside(Cap(*place, 0.1), order) if hole else cells
    product = Product(
        io_helpers.key("footprint", order=order), {"WEIGHT": SkyMap(cells, np.ones(len(cells), "f4"))}
    )
    text = io.write_file(product, tmp_path / "a.stcs").read_text()
    found = MOC.from_stcs(text, order)
    ring = CellSet.from_moc(cells.to_moc().add_neighbours(), order)
    touched = CellSet.from_moc(found, order)
    assert not cells - touched and not touched - ring
    deeper = CellSet.from_moc(MOC.from_stcs(text, order + 4), order + 4)
    assert deeper.area_deg2 == pytest.approx(cells.area_deg2, rel=0.08)


def test_27_the_polygons_of_a_region_have_the_area_of_its_cells(tmp_path):
    """Vertices counter-clockwise on the sky, edges divided where deeper cells meet them."""
    cells = CellSet.from_cells(6, [*range(64, 128), 131, 4100])
    product = Product(io_helpers.key("footprint"), {"WEIGHT": SkyMap(cells, np.ones(len(cells), "f4"))})
    lines = io.write_file(product, tmp_path / "a.stcs").read_text().splitlines()
    assert (lines[0], lines[-1], len(lines)) == ("Union ICRS (", ")", 2 + 3)
    polygons = [np.array(line.split()[1:], float).reshape(-1, 2) for line in lines[1:-1]]
    assert sorted(len(one) for one in polygons) == [4, 4, 32]
    for one in polygons:
        x, y = (one[:, 0] - one[0, 0] + 180) % 360 - 180, one[:, 1]
        assert np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) < 0  # east is to the left on the sky
    total = sum(mp_polygon_area_deg2(one.tolist()) for one in polygons)
    assert total == pytest.approx(cells.area_deg2, rel=2e-4)


def test_a_region_is_read_by_no_one_who_needs_an_order(tmp_path):
    path = io.write_file(PRODUCTS["coverage"], tmp_path / "a.stcs")
    with pytest.raises(InputError, match="an STC-S region has none"):
        io.read(path)
    empty = Product(io_helpers.key("coverage"), {"WEIGHT": SkyMap(CellSet(ORDER), np.empty(0, np.float32))})
    with pytest.raises(InputError, match="at least one cell, found none"):
        io.write_file(empty, tmp_path / "b.stcs")


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
    total = everything.sum_in_multiordermap(table, "WEIGHT")
    assert total == pytest.approx(np.sum(table["WEIGHT"]), rel=1e-12)
    half = CellSet.from_cells(ORDER, CELLS[:8]).to_moc()
    inside, weights = half.values_and_weights_in_multiordermap(table, "WEIGHT")
    expected = product.map.clip(CellSet.from_cells(ORDER, CELLS[:8])).integral_deg2()
    assert np.sum(np.asarray(inside) * np.asarray(weights)) * (180 / np.pi) ** 2 == pytest.approx(
        expected, rel=1e-9
    )


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


def ran(*command):
    """What a program prints."""
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True).stdout


@pytest.mark.tool
def test_the_moc_program_agrees(numbered, product, tmp_path):
    moc = io_helpers.program("moc")
    for name in ("a.moc.fits", "a.plain.moc.fits"):
        path = io.write_file(product, tmp_path / name, maps=numbered)
        told = ran(moc, "info", path)
        assert "MOC type: SPACE" in told and f"MOC depth: {ORDER}" in told
        share = float(told.split("MOC coverage:")[1].split("%")[0])
        assert share == pytest.approx(100 * CELLS.size / hpx.number_of_cells(ORDER), rel=1e-6)
        assert MOC.from_str(ran(moc, "convert", path, "ascii")) == product.map.cells.to_moc()
    for name in ("a.moc.json", "a.moc.txt"):
        path = io.write_file(product, tmp_path / name)
        how = LOADED_AS[path.suffix]
        assert (
            MOC.from_str(ran(moc, "convert", "-t", "smoc", "-f", how, path, "ascii"))
            == product.map.cells.to_moc()
        )


@pytest.mark.tool
@pytest.mark.parametrize(
    ("verb", "combine"),
    [
        ("union", CellSet.__or__), ("inter", CellSet.__and__), ("minus", CellSet.__sub__), ("symdiff", CellSet.__xor__),
    ],
)  # fmt: skip
def test_the_moc_program_combines(verb, combine, numbered, tmp_path):
    moc = io_helpers.program("moc")
    sets = [CellSet.from_cells(ORDER, CELLS[:20]), CellSet.from_cells(ORDER, [*CELLS[10:], 5000])]
    paths = []
    for number, cells in enumerate(sets):
        product = Product(io_helpers.key("footprint"), {"WEIGHT": SkyMap(cells, np.ones(len(cells), "f4"))})
        paths.append(io.write_file(product, tmp_path / f"{number}.moc.fits", maps=numbered))
    ran(moc, "op", verb, *paths, "fits", tmp_path / "out.fits")
    assert io.read(tmp_path / "out.fits").map.cells == combine(*sets)


@pytest.mark.tool
def test_the_moc_program_takes_cells_and_values(tmp_path):
    """Of a multi-order map it reads only the column PROBDENSITY of HDU 1, and text; the lone table is no MOC for it."""
    moc = io_helpers.program("moc")
    product = PRODUCTS["coverage"]
    path = io.write_file(product, tmp_path / "a.moc.fits")
    with fits.open(path) as hdus:
        table, header = hdus[2].data, hdus[2].header
        fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(table, header)]).writeto(tmp_path / "lone.fits")
        density = fits.Column("PROBDENSITY", "D", array=table["WEIGHT"])
        renamed = fits.BinTableHDU.from_columns([table.columns["UNIQ"], density])
        for name in ("PIXTYPE", "ORDERING", "COORDSYS", "INDXSCHM", "MOCORDER"):
            renamed.header[name] = header[name]
        fits.HDUList([fits.PrimaryHDU(), renamed]).writeto(tmp_path / "ligo.fits")
        rows = zip(table["UNIQ"].tolist(), table["WEIGHT"].tolist(), strict=True)
    text = tmp_path / "cells.txt"
    text.write_text("".join(f"{uniq} {value!r}\n" for uniq, value in rows))
    everything = product.map.cells.to_moc()
    assert MOC.from_str(ran(moc, "from", "vcells", "ascii", "-d", ORDER, text, "ascii")) == everything
    assert MOC.from_str(ran(moc, "from", "vcells", "multires", tmp_path / "ligo.fits", "ascii")) == everything
    total = float(ran(moc, "op", "momsum", tmp_path / "ligo.fits", path))
    assert total == pytest.approx(product.map.integral_deg2() * (np.pi / 180) ** 2, rel=1e-6)
    refused = subprocess.run([moc, "info", str(tmp_path / "lone.fits")], capture_output=True)
    assert refused.returncode != 0


@pytest.mark.tool
@pytest.mark.parametrize("name", ["a.moc.fits", "a.plain.moc.fits"])
def test_fitsverify_finds_nothing(name, numbered, product, tmp_path):
    fitsverify = io_helpers.program("fitsverify")
    path = io.write_file(product, tmp_path / name, maps=numbered)
    told = subprocess.run([fitsverify, str(path)], capture_output=True, text=True).stdout
    assert "0 warning(s) and 0 error(s)" in told, told


@pytest.mark.gpl
def test_mhealpy_reads_the_second_table_whatever_the_first(numbered, tmp_path):
    mhealpy = pytest.importorskip("mhealpy")
    path = io.write_file(PRODUCTS["coverage"], tmp_path / "a.moc.fits", maps=numbered)
    found = mhealpy.HealpixMap.read_map(str(path), hdu=2, uniq_field=0, field=1)
    assert np.array_equal(np.asarray(found.data), fits.getdata(path, 2)["WEIGHT"])
