"""Products in other people's software: the acceptance matrix of the format, and independent validators."""

import subprocess

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

import io_helpers
from io_helpers import CELLS, ORDER
from reader_rules import heracles_read_vmap, spaceborne_read
from vmpz import io
from vmpz.sky import hpx
from vmpz.sky.skymap import SkyMap

PRODUCTS = io_helpers.products()
NSIDE = 1 << ORDER
UNSEEN = -1.6375e30


@pytest.fixture(
    params=["footprint", "bitmask", "coverage", "effectivecoverage", "noise", "exposures", "depth"]
)
def product(request):
    return PRODUCTS[request.param]


@pytest.fixture
def path(product, tmp_path):
    return io.write_file(product, tmp_path / "a.fits")


def expected(sky_map, absent):
    """The whole sky in nested order."""
    full = np.full(hpx.number_of_cells(sky_map.order), absent)
    full[sky_map.cells.cells()] = sky_map.values
    return full


# -- our files ----------------------------------------------------------------------------------------------


@pytest.mark.gpl
def test_healpy_reads_the_same_values(product, path):
    healpy = pytest.importorskip("healpy")
    found = healpy.read_map(str(path), nest=True, dtype=None)
    assert np.array_equal(found, expected(product.map, np.float32(UNSEEN)).astype("f4"))
    ring = healpy.read_map(str(path), nest=False, dtype=None)
    assert np.array_equal(healpy.reorder(ring, r2n=True), found)


@pytest.mark.gpl
def test_healpy_reads_every_column(path, product):
    healpy = pytest.importorskip("healpy")
    columns = np.atleast_2d(healpy.read_map(str(path), field=None, nest=True))
    for found, one in zip(columns, product.maps.values(), strict=True):
        assert np.array_equal(found[CELLS], one.of_cells(CELLS))


@pytest.mark.gpl
@pytest.mark.parametrize("order", [0, 8, 10, pytest.param(12, marks=pytest.mark.long)])
def test_healpy_agrees_at_other_orders(order, tmp_path):
    healpy = pytest.importorskip("healpy")
    rng = np.random.default_rng(order)
    cells = np.unique(rng.integers(0, hpx.number_of_cells(order), 300))
    values = rng.random(cells.size).astype("f4")
    key = io_helpers.key("coverage", order=order)
    path = io.write_file(io_helpers.make(key, {"WEIGHT": values}, cells=cells), tmp_path / "a.fits")
    found = healpy.read_map(str(path), nest=True, dtype=None)
    assert np.array_equal(np.flatnonzero(found > -1e30), cells)
    assert np.array_equal(found[cells], values)


@pytest.mark.gpl
def test_heracles_rule_reads_the_observed_fraction(product, path):
    healpy = pytest.importorskip("healpy")
    found = heracles_read_vmap(str(path))
    assert np.array_equal(healpy.reorder(found, r2n=True), expected(product.map, 0.0))
    if product.key.kind == "coverage":
        area = found.mean() * hpx.number_of_cells(0) * hpx.cell_area_deg2(0)
        assert area == pytest.approx(product.map.integral_deg2(), rel=1e-12)


@pytest.mark.parametrize("nside", [NSIDE, NSIDE // 2, 4, 1])
def test_spaceborne_rule_reads_the_observed_fraction(nside, tmp_path):
    product = PRODUCTS["coverage"]
    path = io.write_file(product, tmp_path / "a.fits")
    found = spaceborne_read(path, nside)
    coarse = product.map.degrade(nside.bit_length() - 1, "COVERAGE")
    assert np.allclose(found, expected(coarse, 0.0), rtol=1e-12, atol=0)


@pytest.mark.gpl
@pytest.mark.parametrize("name", ["footprint", "coverage", "noise", "depth"])
def test_healsparse_reads_the_same_cells_and_values_and_back(name, tmp_path):
    healsparse = pytest.importorskip("healsparse")
    product = PRODUCTS[name]
    path = io.write_file(product, tmp_path / "a.fits")
    found = healsparse.HealSparseMap.read(str(path), nside_coverage=32)
    assert np.array_equal(found.valid_pixels, np.sort(CELLS))
    assert np.array_equal(found[CELLS], product.map.of_cells(CELLS))
    full = tmp_path / "full.fits"
    healpy = pytest.importorskip("healpy")
    healpy.write_map(
        str(full), found.generate_healpix_map(), nest=True, partial=True, coord="C", dtype=np.float32
    )
    assert io.read(full).map == SkyMap(product.map.cells, product.map.values.astype("f4"))


def test_astropy_opens_it_as_a_table(path, product):
    table = Table.read(path, hdu=1)
    assert table.colnames == ["PIXEL", *product.maps]
    assert str(table["WEIGHT"].unit or "") == product.unit
    with fits.open(path, checksum="warn") as hdus:
        hdus.verify("exception")


# -- the matrix: variations of a file, by reader ------------------------------------------------------------

STRUCTURE = ("TTYPE", "TFORM", "NAXIS", "TFIELDS", "XTENSION", "BITPIX", "PCOUNT", "GCOUNT")
OK, ERROR, WRONG = "ok", "error", "wrong"


def vary(path, change):
    with fits.open(path) as hdus:
        table, header = hdus[1].data, hdus[1].header.copy()
        columns = {"PIXEL": table["PIXEL"].astype("i8"), "WEIGHT": table["WEIGHT"].astype("f4")}
    for name in ("CHECKSUM", "DATASUM"):
        del header[name]
    columns = change(columns, header) or columns
    kinds = {"i4": "J", "i8": "K", "f4": "E", "f8": "D"}
    unit = fits.BinTableHDU.from_columns(
        [
            fits.Column(name, kinds[f"{a.dtype.kind}{a.dtype.itemsize}"], array=a)
            for name, a in columns.items()
        ]
    )
    for card in header.cards:
        if not card.keyword.startswith(STRUCTURE):
            unit.header.append(card)
    fits.HDUList([fits.PrimaryHDU(), unit]).writeto(path, overwrite=True)


def remove(*names):
    def change(columns, header):
        for name in names:
            del header[name]

    return change


def put(**words):
    def change(columns, header):
        header.update(words)

    return change


def typed(name, dtype):
    return lambda columns, header: {**columns, name: columns[name].astype(dtype)}


def shuffled(columns, header):
    order = np.random.default_rng(13).permutation(len(columns["PIXEL"]))
    return {name: array[order] for name, array in columns.items()}


def ring(columns, header):
    healpy = pytest.importorskip("healpy")
    header["ORDERING"] = "RING"
    return {**columns, "PIXEL": healpy.nest2ring(NSIDE, columns["PIXEL"])}


MATRIX = {
    "as written": (put(), OK, OK, OK, OK),
    "without INDXSCHM": (remove("INDXSCHM"), OK, OK, OK, OK),
    "without OBJECT": (remove("OBJECT"), OK, OK, OK, OK),
    "without PIXTYPE": (remove("PIXTYPE"), OK, OK, OK, OK),
    "without INDXSCHM and OBJECT": (remove("INDXSCHM", "OBJECT"), ERROR, ERROR, OK, OK),
    "WEIGHT float64": (typed("WEIGHT", "f8"), OK, OK, OK, OK),
    "PIXEL int32": (typed("PIXEL", "i4"), OK, OK, OK, OK),
    "rows shuffled": (shuffled, OK, OK, OK, OK),
    "RING": (ring, OK, OK, OK, OK),
    "ORDERING NEST": (put(ORDERING="NEST"), OK, WRONG, ERROR, OK),
    "ORDERING nested": (put(ORDERING="nested"), OK, WRONG, ERROR, OK),
    "columns swapped": (lambda columns, header: dict(reversed(columns.items())), WRONG, WRONG, OK, OK),
    "TUNIT2 mag": (put(TUNIT2="mag"), OK, OK, OK, OK),
    "TUNIT2 NA": (put(TUNIT2="NA"), OK, OK, OK, OK),
    "several columns": (lambda columns, header: {**columns, "X": 2 * columns["WEIGHT"]}, OK, OK, OK, OK),
}


@pytest.mark.gpl
@pytest.mark.parametrize("variation", MATRIX)
def test_the_acceptance_matrix(variation, tmp_path):
    healpy = pytest.importorskip("healpy")
    change, by_healpy, by_heracles, by_spaceborne, by_us = MATRIX[variation]
    path = io.write_file(PRODUCTS["coverage"], tmp_path / "a.fits")
    vary(path, change)
    truth = expected(PRODUCTS["coverage"].map, 0.0)

    def with_healpy():
        found = healpy.read_map(str(path), nest=True, dtype=float)
        return np.where(found < -1e30, 0.0, found)

    readers = {
        "healpy": (with_healpy, by_healpy),
        "heracles": (lambda: healpy.reorder(heracles_read_vmap(str(path)), r2n=True), by_heracles),
        "Spaceborne": (lambda: spaceborne_read(path, NSIDE), by_spaceborne),
        "vmpz": (lambda: expected(io.read(path).map, 0.0), by_us),
    }
    for name, (reader, outcome) in readers.items():
        assert _outcome(reader, truth) == outcome, f"{name} on a file {variation}"


def _outcome(reader, truth):
    try:
        found = reader()
    except Exception:  # noqa: BLE001 - any refusal counts
        return ERROR
    return OK if np.array_equal(found, truth) else WRONG


# -- validators ---------------------------------------------------------------------------------------------


@pytest.mark.tool
@pytest.mark.parametrize("form", ["healpix", "moc"])
@pytest.mark.parametrize("name", PRODUCTS)
def test_fitsverify_finds_no_error_and_no_warning(name, form, tmp_path):
    fitsverify = io_helpers.program("fitsverify")
    path, _ = io.write(PRODUCTS[name], tmp_path, form)
    told = subprocess.run([fitsverify, str(path)], capture_output=True, text=True).stdout
    assert "0 warning(s) and 0 error(s)" in told, told


@pytest.mark.tool
def test_stilts_reads_the_cells_and_knows_that_they_are_healpix(tmp_path):
    stilts = io_helpers.program("stilts")
    path = io.write_file(PRODUCTS["coverage"], tmp_path / "a.fits")
    out = tmp_path / "a.csv"
    command = [stilts, "tpipe", f"in={path}#1", "ifmt=fits", f"out={out}", "ofmt=csv"]
    subprocess.run(command, check=True, capture_output=True, text=True)
    found = np.genfromtxt(out, delimiter=",", names=True)
    assert np.array_equal(found["PIXEL"], np.sort(CELLS))
    assert np.allclose(found["WEIGHT"], PRODUCTS["coverage"].map.values, rtol=1e-6)
    command = [stilts, "tpipe", f"in={path}#1", "ifmt=fits", "omode=meta"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.lower()
    for word in (f"stil_hpx_level:\n    {ORDER}", "stil_hpx_isnest:\n    true"):
        assert word in told
