"""What is handed over, in other people's software: every reader finds the values of the partial HEALPix file."""

import os
import random
import subprocess

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table
from lxml import etree
from mocpy import MOC

import io_helpers
from handover_helpers import FORMS, MAPS, ORDER, in_the_sky
from reader_rules import (
    catred_masks,
    cluster_visualization,
    heracles_read_vmap,
    kept_by_clusters,
    spaceborne_read,
)
from vmpz import io
from vmpz.io.collection import DPD, collection_schema
from vmpz.io.xml import schema
from vmpz.run.tasks import check_path
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet

UNSEEN = -1.6375e30
NSIDE = 1 << ORDER
WHOLE_SKY_DEG2 = 129600 / np.pi
COVERAGES = ["footprint", "coverage", "effectivecoverage"]
POLYGONS = [name for name in MAPS if name != "bitmask"]
AREAS = ["demo", "pair", "fine"]


@pytest.fixture(params=MAPS)
def name(request):
    return request.param


@pytest.fixture
def product(handed, name):
    return handed.product(name)


def ran(*command):
    """What a program prints."""
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True).stdout


# -- ourselves ------------------------------------------------------------------------------------------------


def test_the_patch_has_every_map_in_every_form(handed, name, product):
    assert len(product.map) > 50 and len(np.unique(product.map.values)) > 3
    forms = [form for form in FORMS if (name, form) != ("bitmask", "mangle")]
    for form in forms:
        found = io.read(handed.file(name, form))
        columns = ["WEIGHT"] if form == "hips" else list(product.maps)
        assert {column: found.maps[column] for column in columns} == {
            column: product.maps[column] for column in columns
        }
        assert (found.key, found.unit, found.keywords) == (product.key, product.unit, product.keywords)
    assert sorted(path.name for path in handed.entry(name).folder.glob("*.ply")) == [
        handed.file(name, form).name for form in forms if form == "mangle"
    ]


def test_the_store_is_right(handed, mer):
    for store in (handed.store, mer.store):
        count, faults = check_path(store)
        assert count > 100 and faults == []


def test_every_file_of_a_product_is_looked_into(handed, monkeypatch):
    looked = []
    monkeypatch.setattr(io, "check", lambda path: looked.append(path) or [])
    check_path(handed.store)
    for form, pattern in FORMS.items():
        assert set((handed.store / "demo").glob(f"*/{pattern}")) <= set(looked), form


# -- HEALPix --------------------------------------------------------------------------------------------------


@pytest.mark.gpl
def test_healpy(handed, name, product):
    healpy = pytest.importorskip("healpy")
    columns = healpy.read_map(str(handed.file(name)), field=None, nest=True, dtype=None)
    for found, column in zip(np.atleast_2d(columns), product.maps, strict=True):
        assert np.array_equal(found, in_the_sky(product, UNSEEN, column))


@pytest.mark.gpl
@pytest.mark.parametrize("layout", ["hdus", "columns"])
@pytest.mark.parametrize("name", ["coverage", "depth", "noise"])
def test_healpy_reads_every_band(handed, name, layout):
    healpy = pytest.importorskip("healpy")
    area = {"hdus": "demo", "columns": "pair"}[layout]
    path = handed.of_all_bands(name, area)
    for number, band in enumerate(("VIS", "NIR_Y")):
        where = {"hdu": number + 1} if layout == "hdus" else {"field": number}
        found = healpy.read_map(str(path), nest=True, dtype=None, **where)
        assert np.array_equal(found, in_the_sky(handed.product(name, area, band), UNSEEN))
        assert io.read(path, band).map == handed.product(name, area, band).map


def test_bits_of_several_bands_are_tables_where_others_are_columns(handed):
    """A bit mask has several columns a band."""
    with fits.open(handed.of_all_bands("bitmask", "pair")) as hdus:
        assert [hdu.name for hdu in hdus[1:]] == ["VIS", "NIR_Y"]
        assert all(hdu.columns.names == ["PIXEL", "WEIGHT", "BIT00"] for hdu in hdus[1:])
    with fits.open(handed.of_all_bands("coverage", "pair")) as hdus:
        assert [hdu.columns.names for hdu in hdus[1:]] == [["PIXEL", "VIS", "NIR_Y"]]


@pytest.mark.gpl
@pytest.mark.parametrize("name", ["coverage", "effectivecoverage"])
def test_heracles_rule_and_the_sky_fraction(handed, name):
    """Interoperability check 17: the mean is our sky fraction, 1 is observed, 0 is the rest of the sky."""
    healpy = pytest.importorskip("healpy")
    truth = handed.product(name).map
    found = heracles_read_vmap(str(handed.file(name)))
    assert found.mean() * WHOLE_SKY_DEG2 == pytest.approx(truth.integral_deg2(), rel=1e-12)
    assert np.array_equal(healpy.reorder(found, r2n=True), in_the_sky(handed.product(name), 0.0))
    inside = truth.cells.cells()[truth.values == 1]
    assert inside.size > 50 and np.all(found[healpy.nest2ring(NSIDE, inside)] == 1)
    assert found.mean() < 1e-4


@pytest.mark.gpl
def test_glass_draws_points_where_it_is_observed(handed):
    """Interoperability check 17: numbers go with what is observed, not with what is listed."""
    pytest.importorskip("healpy")
    glass = pytest.importorskip("glass")
    truth = handed.product("coverage").map
    visibility = heracles_read_vmap(str(handed.file("coverage")))
    density = 20.0  # per square minute of arc
    drawn = glass.positions_from_delta(
        density, np.zeros_like(visibility), vis=visibility, rng=np.random.default_rng(1)
    )
    lon, lat = np.concatenate([np.stack(one[:2]) for one in drawn], axis=1)
    expected = density * 3600 * truth.integral_deg2()
    assert abs(lon.size - expected) < 5 * np.sqrt(expected)
    cells = hpx.cells_at(lon, lat, ORDER)
    assert not np.setdiff1d(cells, truth.cells.cells()).size
    for low, high in ((0.0, 0.5), (0.5, 0.9), (0.9, 1.1)):
        some = truth.where((truth.values > low) & (truth.values <= high))
        expected = density * 3600 * some.integral_deg2()
        counted = int(np.isin(cells, some.cells.cells()).sum())
        assert abs(counted - expected) < 5 * np.sqrt(expected)


@pytest.mark.parametrize("order", [ORDER, 8, 4])
@pytest.mark.parametrize("name", COVERAGES)
def test_spaceborne_rule(handed, name, order):
    found = spaceborne_read(handed.file(name), 1 << order)
    coarse = handed.product(name).map.degrade(order, "COVERAGE")
    assert np.array_equal(np.flatnonzero(found), coarse.cells.cells())
    assert found[coarse.cells.cells()] == pytest.approx(coarse.values, rel=1e-12)


@pytest.mark.gpl
def test_rules_of_the_cluster_codes(handed):
    """A folder of descriptors, one tile each: names, paths inside, and which positions a threshold of 0.8 keeps."""
    tiles = handed.tiles("effectivecoverage")
    listed = [one for tile in tiles for one in cluster_visualization(tile.folder.parent)]
    assert [(one.tile, one.release, one.day) for one in listed] == [
        (int(tile.key.area), "0.1", "2026-01-02") for tile in tiles
    ]
    of_bands = catred_masks(sorted(handed.store.glob("1*/*/DpdHealpixCoverageVMPZ*.xml")))
    assert {int(tile): set(bands) for tile, bands in of_bands.items()} == {
        one.tile: {"VIS", "NIR_Y"} for one in listed
    }
    for path in (listed[0].path, of_bands[str(listed[1].tile)]["NIR_Y"]):
        truth = io.read(path).map
        around = CellSet.from_moc(truth.cells.to_moc().add_neighbours(), truth.order).cells()
        kept = kept_by_clusters(path, *hpx.centres(around, truth.order))
        assert np.array_equal(kept, truth.of_cells(around, 0.0) >= 0.8)
        assert 0 < kept.sum() < kept.size


# -- healsparse and tables ------------------------------------------------------------------------------------


@pytest.mark.gpl
def test_healsparse(handed, name, product):
    healsparse = pytest.importorskip("healsparse")
    cells = product.map.cells.cells()
    found = healsparse.HealSparseMap.read(str(handed.file(name, "healsparse")))
    assert (found.nside_sparse, found.valid_pixels.tolist()) == (NSIDE, cells.tolist())
    for column, one in product.maps.items():
        values = found[cells] if len(product.maps) == 1 else found[column][cells]
        assert np.array_equal(values, one.values)


@pytest.mark.gpl
@pytest.mark.parametrize("name", [name for name in MAPS if name not in ("bitmask", "tile")])
def test_healsparse_reads_the_partial_healpix_file(handed, name):
    healsparse = pytest.importorskip("healsparse")
    found = healsparse.HealSparseMap.read(str(handed.file(name)), nside_coverage=32)
    truth = handed.product(name).map
    assert np.array_equal(found.valid_pixels, truth.cells.cells())
    assert np.array_equal(found[truth.cells.cells()], truth.values)


@pytest.mark.gpl
@pytest.mark.parametrize(("name", "error"), [("bitmask", NotImplementedError), ("tile", ValueError)])
def test_healsparse_needs_its_own_form_of_several_columns_and_of_whole_numbers(handed, name, error):
    healsparse = pytest.importorskip("healsparse")
    with pytest.raises(error):
        healsparse.HealSparseMap.read(str(handed.file(name)), nside_coverage=32)


def test_any_parquet_reader(handed, name, product):
    table = pq.read_table(handed.file(name, "parquet"))
    assert table.column_names == ["PIXEL", *product.maps]
    assert np.array_equal(table["PIXEL"], product.map.cells.cells())
    for column, one in product.maps.items():
        values = table[column].to_numpy()
        assert values.dtype == one.values.dtype and np.array_equal(values, one.values)
    assert table.schema.metadata[b"order"] == str(ORDER).encode()


# -- MOC ------------------------------------------------------------------------------------------------------


def test_mocpy(handed, name, product):
    path = handed.file(name, "moc")
    found = MOC.from_fits(path)
    observed = product.map.where(product.map.values > 0).cells
    assert (CellSet.from_moc(found, ORDER), found.max_order) == (observed, ORDER)
    table = Table.read(path, hdu=2)
    values, solid_angles = found.values_and_weights_in_multiordermap(
        Table({"UNIQ": np.asarray(table["UNIQ"], np.uint64), "WEIGHT": np.asarray(table["WEIGHT"], float)}),
        "WEIGHT",
    )
    integral = np.sum(np.asarray(values) * np.asarray(solid_angles)) * (180 / np.pi) ** 2
    assert integral == pytest.approx(product.map.integral_deg2(), rel=1e-9)


@pytest.mark.gpl
def test_mhealpy(handed, name, product):
    mhealpy = pytest.importorskip("mhealpy")
    found = mhealpy.HealpixMap.read_map(str(handed.file(name, "moc")), hdu=2, uniq_field=0, field=1)
    pixels = found.ang2pix(*hpx.centres(product.map.cells.cells(), ORDER), lonlat=True)
    assert np.array_equal(np.asarray(found.data)[pixels], product.map.values)


@pytest.mark.tool
def test_the_moc_program(handed, tmp_path):
    moc = io_helpers.program("moc")
    files = [handed.file("coverage", "moc", band=band) for band in ("VIS", "NIR_Y")]
    sets = [handed.product("coverage", band=band).map.cells for band in ("VIS", "NIR_Y")]
    for path, cells in zip(files, sets, strict=True):
        told = ran(moc, "info", path)
        assert f"MOC depth: {ORDER}" in told
        share = float(told.split("MOC coverage:")[1].split("%")[0]) / 100
        assert share == pytest.approx(len(cells) / hpx.number_of_cells(ORDER), rel=1e-6)
    for verb, expected in {"inter": sets[0] & sets[1], "minus": sets[0] - sets[1]}.items():
        ran(moc, "op", verb, *files, "fits", tmp_path / "out.fits")
        assert io.read(tmp_path / "out.fits").map.cells == expected
        assert len(expected) > 0


@pytest.mark.parametrize("name", ["footprint", "coverage", "effectivecoverage", "tile"])
def test_the_moc_of_a_patch_is_the_union_of_those_of_its_tiles_in_any_order(handed, name):
    """Interoperability check 26."""
    tiles = [MOC.from_fits(next(one.folder.glob(FORMS["moc"]))) for one in handed.tiles(name)]
    whole = MOC.from_fits(handed.file(name, "moc", "fine"))
    assert len(tiles) == 4
    for seed in range(4):
        random.Random(seed).shuffle(tiles)
        union = tiles[0].union(*tiles[1:])
        assert union == whole and np.array_equal(union.to_depth29_ranges, whole.to_depth29_ranges)


# -- polygons -------------------------------------------------------------------------------------------------


@pytest.mark.gpl
@pytest.mark.parametrize(("name", "area"), [*((name, "demo") for name in POLYGONS), ("coverage", "fine")])
def test_pymangle(handed, name, area):
    pymangle = pytest.importorskip("pymangle")
    truth = handed.product(name, area).map
    found = pymangle.Mangle(str(handed.file(name, "mangle", area)))
    weights = np.asarray(found.weight(*hpx.centres(truth.cells.cells(), truth.order)), float)
    assert np.array_equal(weights.astype(truth.values.dtype), truth.values)
    beside = CellSet.from_moc(truth.cells.to_moc().add_neighbours(), truth.order) - truth.cells
    assert not np.any(found.contains(*hpx.centres(beside.cells(), truth.order)))
    integral = float(np.sum(found.areas * found.weights))
    near = {ORDER: 1e-6, 12: 1e-7}[truth.order]
    assert integral == pytest.approx(truth.integral_deg2(), rel=near)


# -- programs -------------------------------------------------------------------------------------------------


@pytest.mark.tool
@pytest.mark.parametrize("name", ["coverage", "depth", "tile"])
def test_stilts_finds_values_at_positions(handed, name, tmp_path):
    """Positions by its own HEALPix, and back to cells."""
    stilts = io_helpers.program("stilts")
    out = tmp_path / "a.csv"
    steps = [
        f"addcol LON healpixNestLon({ORDER},PIXEL)",
        f"addcol LAT healpixNestLat({ORDER},PIXEL)",
        f"addcol CELL healpixNestIndex({ORDER},LON,LAT)",
    ]
    command = [stilts, "tpipe", f"in={handed.file(name)}#1", "ifmt=fits", f"out={out}", "ofmt=csv"]
    ran(*command, *(f"cmd={step}" for step in steps))
    found, truth = np.genfromtxt(out, delimiter=",", names=True), handed.product(name).map
    assert np.array_equal(found["CELL"], truth.cells.cells())
    assert np.array_equal(found["WEIGHT"].astype(truth.values.dtype), truth.values)
    lon, lat = hpx.centres(truth.cells.cells(), ORDER)
    assert np.allclose(found["LON"], lon, atol=1e-9) and np.allclose(found["LAT"], lat, atol=1e-9)


@pytest.mark.tool
def test_hipsgen_makes_the_deepest_tiles_of_our_hips(handed, tmp_path):
    aladin = io_helpers.program("aladin")
    options = f"-Djava.awt.headless=true -Duser.home={tmp_path}"
    ours, theirs = handed.file("depth", "hips"), tmp_path / "theirs.hips"
    words = [f"in={handed.file('depth')}", f"out={theirs}", "creator_did=vmpz/P/demo", "MAPTILES"]
    subprocess.run(
        [aladin, "-hipsgen", *words],
        env={**os.environ, "JAVA_TOOL_OPTIONS": options}, capture_output=True, check=True,
    )  # fmt: skip
    deepest = sorted(path.relative_to(ours) for path in ours.glob("Norder3/*/*.fits"))
    assert deepest == sorted(path.relative_to(theirs) for path in theirs.glob("Norder3/*/*.fits"))
    for path in deepest:
        one, other = fits.getdata(ours / path), fits.getdata(theirs / path)
        assert np.array_equal(one, other, equal_nan=True) and np.isfinite(one).any()
    assert io.read(theirs).map == handed.product("depth").map


@pytest.mark.tool
@pytest.mark.parametrize("area", AREAS)
def test_fitsverify_finds_no_error_and_no_warning(handed, mer, area):
    fitsverify = io_helpers.program("fitsverify")
    files = [path for one in (handed, mer) for path in sorted((one.store / area).rglob("*.fits"))]
    told = subprocess.run([fitsverify, "-q", *map(str, files)], capture_output=True, text=True)
    lines = told.stdout.splitlines()
    assert told.returncode == 0 and sum(line.startswith("verification OK") for line in lines) == len(files)
    assert len(files) > 5


@pytest.mark.tool
@pytest.mark.gpl
def test_fitsverify_finds_no_error_in_healsparse_maps(handed):
    """Long words stand in CONTINUE cards, as the library writes them: that is what it warns of."""
    fitsverify = io_helpers.program("fitsverify")
    for path in (handed.store / "demo").rglob("*.hsp"):
        told = subprocess.run([fitsverify, str(path)], capture_output=True, text=True).stdout
        assert "0 error(s)" in told, told
        assert told.count("*** Warning") == told.count("*** Warning: The OGIP long string keyword convention")


def test_descriptors_and_collections_are_valid(handed, mer):
    paths = [
        path
        for one in (handed, mer)
        for path in sorted(one.store.rglob("*.xml"))
        if path.relative_to(one.store).parts[0] in AREAS
    ]
    assert len(paths) > 80
    rules = {DPD: collection_schema()}
    for path in paths:
        root = etree.parse(path).getroot()
        dpd = etree.QName(root).localname
        assert path.name.startswith(f"{dpd}-")
        if dpd not in rules:
            rules[dpd] = schema(io.read_descriptor(path).names)
        assert rules[dpd].validate(root), rules[dpd].error_log
        assert io.check(path) == []


@pytest.mark.tool
def test_xmllint_finds_descriptors_well_formed(handed):
    xmllint = io_helpers.program("xmllint")
    assert ran(xmllint, "--noout", "--nonet", *sorted(handed.store.rglob("*.xml"))) == ""
