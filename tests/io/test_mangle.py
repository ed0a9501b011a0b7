"""Polygon files that we write: the form, the way back, conventions, descriptors."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

import io_helpers
import mangle_helpers
from vmpz import io
from vmpz.errors import InputError, MapMismatchError
from vmpz.io.inventory import kind_of
from vmpz.io.mangle import COARSEST
from vmpz.io.xml import schema
from vmpz.parameters import MangleParameters, MapParameters
from vmpz.products import Product
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap

PRODUCTS = mangle_helpers.products()
GOLDEN = Path(__file__).parents[1] / "data" / "golden"
STRICT = MapParameters(strict_dpdd=True)
MER = MangleParameters(convention="MER")


@pytest.fixture(params=PRODUCTS)
def product(request):
    return PRODUCTS[request.param]


# -- the form -----------------------------------------------------------------------------------------------


def test_the_form_is_the_one_that_mangle_reads(tmp_path):
    path = io.write_file(PRODUCTS["coverage"], tmp_path / "a.ply", maps=STRICT)
    lines = path.read_text().split("\n")
    assert lines[:4] == ["30 polygons", "pixelization 0s", "snapped", "balkanized"]
    assert len(lines) == 4 + 5 * 30 + 1 and lines[-1] == ""
    for k, line in enumerate(lines[4:-1]):
        if k % 5 == 0:
            head = re.fullmatch(r"polygon (\d+) \( 4 caps, (\S+) weight, 0 pixel, (\S+) str\):", line)
            assert int(head[1]) == k // 5
            assert max(map(len, head.groups())) <= 24  # pymangle reads no longer words
            assert float(head[3]) == pytest.approx(hpx.cell_area_sr(io_helpers.ORDER), rel=2e-3)
        else:
            *axis, cm = line.split()
            assert cm == "1" and len(axis) == 3
            assert np.linalg.norm([float(one) for one in axis]) == pytest.approx(1, abs=1e-15)
            assert all(f"{float(one):.17g}" == one for one in axis)


def test_what_the_product_is_follows_the_last_polygon_where_mangle_no_longer_reads(tmp_path):
    bare = io.write_file(PRODUCTS["depth"], tmp_path / "a.ply", maps=STRICT).read_text()
    text = io.write_file(PRODUCTS["depth"], tmp_path / "b.ply").read_text()
    assert text.startswith(bare)
    notes = dict(line.split(" ", 1) for line in text.removeprefix(bare).splitlines())
    assert notes.keys() == {"vmpz.key", "vmpz.keywords", "vmpz.unit", "vmpz.type"}
    assert (notes["vmpz.key"], notes["vmpz.unit"], notes["vmpz.type"]) == (
        PRODUCTS["depth"].key.text,
        "mag",
        "f4",
    )


def test_equal_siblings_are_one_polygon_down_to_order_12(tmp_path):
    order = COARSEST + 2
    cells = CellSet.from_cells(6, [7777]).at_order(order)
    whole = Product(
        io_helpers.key("coverage", order=order), {"WEIGHT": SkyMap(cells, np.ones(len(cells), "f4"))}
    )
    path = io.write_file(whole, tmp_path / "a.ply")
    assert mangle_helpers.polygons_of(path) == len(cells) // 16
    assert io.read(path).map == whole.map
    coarse = Product(
        io_helpers.key("coverage", order=8), {"WEIGHT": SkyMap(cells.at_order(8), np.ones(16, "f4"))}
    )
    assert mangle_helpers.polygons_of(io.write_file(coarse, tmp_path / "b.ply")) == 16


def test_bytes_are_the_same_every_time_and_of_any_block(tmp_path, monkeypatch):
    coverage = mangle_helpers.coverage(10.0, -30.0, order=12)
    first = io.write_file(coverage, tmp_path / "a.ply").read_bytes()
    monkeypatch.setattr("vmpz.io.mangle.ROWS", 7)
    monkeypatch.setattr("vmpz.io.polygonfile.BLOCK", 1000)
    assert io.write_file(coverage, tmp_path / "b.ply").read_bytes() == first
    assert io.read(tmp_path / "b.ply").map == coverage.map


def test_the_file_is_as_it_was(tmp_path):
    """Words to the letter, numbers to the last digits but two: sines differ between machines."""
    text = io.write_file(PRODUCTS["coverage"], tmp_path / "a.ply").read_text()
    kept = mangle_helpers.tokens((GOLDEN / "coverage.ply").read_text())
    found = mangle_helpers.tokens(text)
    assert len(found) == len(kept)
    for one, other in zip(found, kept, strict=True):
        assert one == pytest.approx(other, rel=1e-12, abs=1e-14) if isinstance(one, float) else one == other
    assert io.read(GOLDEN / "coverage.ply").map == PRODUCTS["coverage"].map
    assert io.check(GOLDEN / "coverage.ply") == []


# -- the way back -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("convention", ["OBSERVED", "MER"])
def test_everything_comes_back(product, convention, tmp_path):
    mangle = MangleParameters(convention=convention)
    path = io.write_file(product, tmp_path / "a.ply", mangle=mangle)
    back = io.read(path)
    assert back.map == product.map and back.map.values.dtype == product.map.values.dtype
    assert (back.key, back.unit) == (product.key, product.unit)
    assert {name: back.keywords[name] for name in product.keywords} == product.keywords
    assert "COVCONV" not in back.keywords
    assert io.check(path) == []


CELLS = st.lists(
    st.tuples(st.integers(0, 2**63 - 1), st.sampled_from([0.25, 0.5, 1.0]) | st.floats(0, 1, width=32)),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 20), st.sampled_from([4, 200, 2**62]), CELLS, st.booleans())
def test_any_map_comes_back_bit_for_bit(tmp_path_factory, order, span, rows, is_mer):
    """Families and single cells of any order anywhere, both conventions."""
    cells = {cell % min(hpx.number_of_cells(order), span): value for cell, value in rows}
    values = np.array(list(cells.values()), np.float32)
    if is_mer:  # whose complement, a double, holds steps of 2**-53
        values = np.round(values * np.float32(2**24)) / np.float32(2**24)
    listed = SkyMap.from_cells(order, list(cells), values)
    product = Product(io_helpers.key("coverage", order=order), {"WEIGHT": listed})
    path = tmp_path_factory.mktemp("any") / "a.ply"
    mangle = MER if is_mer else MangleParameters()
    io.write_file(product, path, mangle=mangle, maps=MapParameters(write_zeros=True))
    assert io.read(path).map == listed


@pytest.mark.parametrize("order", [0, 1, 2, 5])
def test_every_cell_of_the_sphere_comes_back(order, tmp_path):
    """Poles, seams of the projection and longitude 0 among them."""
    cells = CellSet.everything(order)
    values = np.linspace(0.1, 1, len(cells), dtype=np.float32)
    product = Product(io_helpers.key("coverage", order=order), {"WEIGHT": SkyMap(cells, values)})
    assert io.read(io.write_file(product, tmp_path / "a.ply")).map == product.map


def test_an_empty_map_is_a_valid_file(tmp_path):
    empty = Product(
        io_helpers.key("coverage"), {"WEIGHT": SkyMap(CellSet(io_helpers.ORDER), np.empty(0, "f4"))}
    )
    path = io.write_file(empty, tmp_path / "a.ply")
    assert path.read_text().startswith("0 polygons\n")
    assert io.read(path).map == empty.map
    bare = io.write_file(empty, tmp_path / "b.ply", maps=STRICT)
    assert len(io.read(bare).map) == 0 and len(io.read_polygons(bare)) == 0


def test_conversion_to_and_from_other_forms(tmp_path):
    coverage = PRODUCTS["coverage"]
    fits = io.write_file(coverage, tmp_path / "a.fits")
    ply = io.convert(fits, tmp_path / "b.ply")
    moc = io.convert(ply, tmp_path / "c.moc.fits")
    assert io.read(moc).map == io.read(ply).map == coverage.map
    coarse = io.read(io.convert(ply, tmp_path / "d.ply", order=4))
    assert coarse.key.order == 4
    assert coarse.map.integral_deg2() == pytest.approx(coverage.map.integral_deg2(), rel=1e-6)


# -- parameters ---------------------------------------------------------------------------------------------


def test_a_coarser_order_follows_the_rule_of_the_product(tmp_path):
    depth = PRODUCTS["depth"]
    path = io.write_file(depth, tmp_path / "a.ply", mangle=MangleParameters(max_order=5))
    back = io.read(path)
    assert back.map == SkyMap(
        depth.map.cells.at_order(5), depth.map.degrade(5, "LOGQUAD").values.astype(np.float32)
    )
    assert back.keywords["DEGWGT"] == "NONE"
    finer = io.write_file(depth, tmp_path / "b.ply", mangle=MangleParameters(max_order=9))
    assert io.read(finer).map == depth.map
    median = replace(depth, keywords={**depth.keywords, "DEGRULE": "NONE"})
    with pytest.raises(MapMismatchError, match="not degradable"):
        io.write_file(median, tmp_path / "c.ply", mangle=MangleParameters(max_order=4))


def test_light_polygons_are_left_out_and_weights_rounded(tmp_path):
    coverage = mangle_helpers.coverage(200.0, 10.0, order=13, holes=0.5)
    path = io.write_file(coverage, tmp_path / "a.ply", mangle=MangleParameters(weight_min=0.3))
    assert io.read(path).map == coverage.map.where(coverage.map.values >= np.float32(0.3))
    stepped = io.write_file(coverage, tmp_path / "b.ply", mangle=MangleParameters(weight_step=0.25))
    found, expected = io.read(stepped).map, np.rint(coverage.map.values / np.float32(0.25)) / 4
    assert found == SkyMap(coverage.map.cells, expected.astype(np.float32)).where(expected > 0)
    assert mangle_helpers.polygons_of(stepped) < len(coverage.map)
    odd = io.write_file(coverage, tmp_path / "c.ply", mangle=MangleParameters(weight_step=0.35))
    assert io.read(odd).map.values.max() == 1.0


def test_negative_values_are_weights_like_any_other(tmp_path):
    """Of an info map; nothing is left out where no least weight is asked for."""
    angles = io_helpers.fractions() - np.float32(0.5)
    info = io_helpers.make(
        io_helpers.key("info", quantity="BA", statistic="MEAN"), {"WEIGHT": angles}, unit="deg"
    )
    path = io.write_file(info, tmp_path / "a.ply")
    assert (angles < 0).any() and io.read(path).map == info.map
    assert io.read_polygons(path).weights.min() == angles.min()


# -- polarity -----------------------------------------------------------------------------------------------


def test_polarity_of_every_convention_is_the_same_area(tmp_path):
    """f -> MER -> mangle -> f is the identity, and so is the area of each."""
    product = mangle_helpers.coverage(120.0, -20.0, order=13)
    values = np.where(np.arange(len(product.map)) % 9 == 0, np.float32(0), product.map.values)
    product = replace(product, maps={"WEIGHT": SkyMap(product.map.cells, values)})
    area = product.map.integral_deg2()
    mer = MapParameters(coverage_convention="MER")
    fits = io.write_file(product, tmp_path / "a.fits", maps=mer)
    ply = io.convert(fits, tmp_path / "b.ply", mangle=MER)
    back = io.convert(ply, tmp_path / "c.ply")
    assert '"COVCONV": "MER"' in ply.read_text() and '"COVCONV": "OBSERVED"' in back.read_text()
    assert io.read(ply).map == io.read(fits).map == product.map
    assert io.read(back).map == product.map.where(values > 0)
    mer_mask, mask = io.read_polygons(ply), io.read_polygons(back)
    assert mer_mask.area_deg2 - mer_mask.observed_area_deg2 == pytest.approx(area, rel=1e-5)
    assert mask.observed_area_deg2 == pytest.approx(area, rel=1e-5)
    assert io.read(ply).map.integral_deg2() == pytest.approx(area, rel=1e-12)


def test_weights_of_zero_are_written_where_they_mean_observed(tmp_path):
    product = io_helpers.make(
        io_helpers.key("coverage"), {"WEIGHT": np.array([0, 1, 0.5], "f4")}, cells=[1, 2, 3]
    )
    weights = {
        name: io.read_polygons(
            io.write_file(product, tmp_path / f"{name}.ply", mangle=mangle)
        ).weights.tolist()
        for name, mangle in {"MER": MER, "OBSERVED": MangleParameters()}.items()
    }
    assert weights == {"MER": [1, 0, 0.5], "OBSERVED": [1, 0.5]}


def test_in_the_mer_convention_nothing_is_left_out(tmp_path):
    coverage = PRODUCTS["coverage"]
    with pytest.raises(InputError, match="strict_dpdd leaves out COVCONV"):
        io.write_file(coverage, tmp_path / "a.ply", mangle=MER, maps=STRICT)
    with pytest.raises(InputError, match="weight_min must be 0"):
        io.write_file(coverage, tmp_path / "a.ply", mangle=MangleParameters(convention="MER", weight_min=0.1))
    with pytest.raises(MapMismatchError, match="every cell of the area"):
        io.write_file(replace(coverage, keywords={"TILEAREA": 100.0}), tmp_path / "a.ply", mangle=MER)
    assert list(tmp_path.iterdir()) == []


# -- what cannot be written ---------------------------------------------------------------------------------


def test_what_has_no_such_form_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match="there is no bitmask as mangle"):
        io.write_file(io_helpers.products()["bitmask"], tmp_path / "a.ply")
    with pytest.raises(InputError, match="there is no bitmask as mangle"):
        io.write(io_helpers.products()["bitmask"], tmp_path, "mangle")
    coverage = PRODUCTS["coverage"]
    two = replace(coverage, maps={**coverage.maps, "BIT00": coverage.map})
    with pytest.raises(InputError, match="must have one column, found WEIGHT, BIT00"):
        io.write_file(two, tmp_path / "a.ply")
    io.write_file(replace(two, key=io_helpers.key("info", quantity="PSF")), tmp_path / "psf.ply")
    assert io.read(tmp_path / "psf.ply").maps == {"WEIGHT": coverage.map}  # what is beside it is left out
    (tmp_path / "psf.ply").unlink()
    huge = io_helpers.make(
        io_helpers.key("info", quantity="Tile"), {"WEIGHT": np.array([2**53 + 1])}, cells=[1]
    )
    with pytest.raises(InputError, match=r"below 2\*\*53"):
        io.write_file(huge, tmp_path / "a.ply")
    assert list(tmp_path.iterdir()) == []


# -- descriptors --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("maps", [MapParameters(), STRICT], ids=["noted", "strict"])
def test_file_and_descriptor_hold_everything(product, maps, tmp_path):
    path, descriptor = io.write(product, tmp_path, "mangle", maps=maps)
    assert path.suffix == ".ply" and "_MANGLE" in path.name
    assert descriptor.name.startswith(f"{kind_of(product.key.kind, 'mangle').dpd}-102018211-")
    back = io.read(descriptor)
    assert back.map == product.map and back.map.values.dtype == product.map.values.dtype
    key = product.key
    if product.key.kind == "visibility" and maps is STRICT:  # whose descriptor names no instrument
        key = replace(key, instrument="-")
    assert (back.key, back.unit) == (key, product.unit)
    assert {name: back.keywords[name] for name in product.keywords} == product.keywords
    assert io.check(descriptor) == io.check(path) == []
    rules = schema(kind_of(product.key.kind, "mangle"))
    assert rules.validate(etree.parse(descriptor)), rules.error_log


def pairs(descriptor):
    return {
        one.findtext("Key"): one.findtext("Value") for one in etree.parse(descriptor).iterfind(".//Parameter")
    }


COMMON = {
    "DATE-OBS",
    "DATE-END",
    "INSTRUM",
    "TELESCOP",
    "FILTER",
    "TILEINDEX",
    "SKYPATCH_ID",
    "CREATOR",
    "VERSION",
}


@pytest.mark.parametrize(
    ("name", "expected", "missing"),
    [
        (
            "coverage",
            {"TILEINDEX": "102018211", "INSTRUM": "VIS", "COVCONV": "OBSERVED", "CREATOR": "vmpz"},
            set(),
        ),
        ("noise", {"COLLECT_INFO": "rms", "COLLECT_EST": "RMSQ"}, set()),
        ("mjd", {"COLLECT_INFO": "MJD", "COLLECT_EST": "Mean", "TUNIT2": "d"}, set()),
        ("depth", {"DEPTH_EST": "APERTURE", "SNR_LEVEL": "5.0", "TUNIT2": "mag"}, set()),
        ("visibility", {"ESTIMATOR": "APERTURE", "SEL": "TOM3"}, {"INSTRUM", "FILTER"}),
        ("effectivecoverage", {"FILTER": "-1", "FILTLST": "VIS,NIR_Y", "EFFRULE": "JOINT"}, set()),
    ],
)
def test_the_keys_are_those_of_the_cards(name, expected, missing, tmp_path):
    found = pairs(io.write(PRODUCTS[name], tmp_path, "mangle")[1])
    assert COMMON - found.keys() == missing
    assert expected.items() <= found.items()
    assert not {"INSTRUME", "TILEID", "SOFTNAME", "SOFTVERS", "NSIDE_WK"} & found.keys()


def test_a_patch_names_itself_and_its_tiles(tmp_path):
    patch = io_helpers.patch(PRODUCTS["coverage"])
    path, descriptor = io.write(patch, tmp_path, "mangle", tiles=[102018211, 102018212], mangle=MER)
    assert "MANGLECOVERAGE-CONCAT-" in path.name
    found = pairs(descriptor)
    assert (found["TILEINDEX"], found["SKYPATCH_ID"], found["COVCONV"]) == ("-1", "demo", "MER")
    named = replace(patch, keywords={**patch.keywords, "SKYPATCH": "deep"})
    assert pairs(io.write(named, tmp_path, "mangle")[1])["SKYPATCH_ID"] == "deep"
    assert io.read(descriptor).key == patch.key and io.read(descriptor).map == patch.map


def test_a_descriptor_tells_the_convention_of_a_file_that_does_not(tmp_path):
    """As mangle's own programs leave it, which write polygons alone."""
    path, descriptor = io.write(PRODUCTS["coverage"], tmp_path, "mangle", mangle=MER)
    text = path.read_text()
    path.write_text(text[: text.index("vmpz.")])
    with pytest.raises(InputError, match="its MD5 must be that of the descriptor"):
        io.read(descriptor)
    told = descriptor.read_text()
    descriptor.write_text(re.sub(r' checksumMethod="MD5" checksumValue="\w+"', "", told))
    assert io.read(descriptor).map == PRODUCTS["coverage"].map
    assert io.read(path).map.values[0] == 0.0  # alone it is what mangle means


def test_check_compares_a_descriptor_with_its_file(tmp_path):
    path, descriptor = io.write(PRODUCTS["coverage"], tmp_path, "mangle")
    text = descriptor.read_text()
    descriptor.write_text(text.replace("<Value>SAT</Value>", "<Value>CR</Value>"))
    assert any("BITN01 must agree" in fault for fault in io.check(path))
    descriptor.write_text(text)
    path.write_text(path.read_text().replace("balkanized\n", ""))
    assert any("checksumValue must be" in fault for fault in io.check(descriptor))
    path.write_text("3 polygons\n")
    assert any("the file is cut" in fault for fault in io.check(path))
