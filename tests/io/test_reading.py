import gzip
import json
import re
import tracemalloc

import numpy as np
import pytest
from astropy.io import fits

import io_helpers
from io_helpers import CELLS, ORDER
from vmpz import io
from vmpz.errors import InputError
from vmpz.sky import hpx
from vmpz.sky.skymap import SkyMap

VALUES = io_helpers.fractions()
TRUTH = SkyMap.from_cells(ORDER, CELLS, VALUES)


def table(columns, path, **header):
    """A file of another writer: columns by name, header keywords changed or (None) left out."""
    names = {
        np.dtype("i4"): "J",
        np.dtype("i8"): "K",
        np.dtype("i2"): "I",
        np.dtype("f4"): "E",
        np.dtype("f8"): "D",
    }
    unit = fits.BinTableHDU.from_columns(
        [fits.Column(name, names[np.asarray(array).dtype], array=array) for name, array in columns.items()]
    )
    words = {
        "PIXTYPE": "HEALPIX",
        "ORDERING": "NESTED",
        "COORDSYS": "C",
        "NSIDE": 1 << ORDER,
        "INDXSCHM": "EXPLICIT",
    }
    for name, value in {**words, **header}.items():
        if value is not None:
            unit.header[name] = value
    fits.HDUList([fits.PrimaryHDU(), unit]).writeto(path)
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "mask.fits"


def as_weight(values):
    return {"PIXEL": CELLS, "WEIGHT": values}


def test_foreign_files_need_none_of_our_keywords(path):
    product = io.read(table(as_weight(VALUES), path))
    assert product.map == TRUTH
    assert (product.key.kind, product.key.area, product.key.band) == ("map", "mask", "-")
    assert product.keywords["DEGRULE"] == "NONE"


@pytest.mark.parametrize("pixel", ["i2", "i4", "i8"])
@pytest.mark.parametrize("weight", ["f4", "f8"])
def test_any_number_type_is_read(pixel, weight, path):
    product = io.read(table({"PIXEL": CELLS.astype(pixel), "WEIGHT": VALUES.astype(weight)}, path))
    assert product.map == TRUTH
    assert product.map.values.dtype == weight


def test_integer_values_are_read(path):
    product = io.read(table(as_weight(np.arange(CELLS.size)), path))
    assert product.map.values.tolist() == list(range(CELLS.size))


def test_any_order_of_rows_is_read(path):
    shuffle = np.random.default_rng(6).permutation(CELLS.size)
    assert io.read(table({"PIXEL": CELLS[shuffle], "WEIGHT": VALUES[shuffle]}, path)).map == TRUTH


def test_columns_in_another_order_and_further_ones_are_read_by_name(path):
    columns = {"FIELD1": 2 * VALUES, "WEIGHT": VALUES, "PIXEL": CELLS}
    product = io.read(table(columns, path))
    assert product.map == TRUTH
    assert list(product.maps) == ["WEIGHT", "FIELD1"]
    assert np.array_equal(product.maps["FIELD1"].values, 2 * VALUES)


@pytest.mark.gpl
@pytest.mark.parametrize("order", [0, 3, 6, 12])
def test_ring_tables_are_read(order, path):
    healpy = pytest.importorskip("healpy")
    cells = np.random.default_rng(order).choice(12 << 2 * order, 10, replace=False)
    values = np.arange(10, dtype="f4")
    columns = {"PIXEL": healpy.nest2ring(1 << order, cells), "WEIGHT": values}
    product = io.read(table(columns, path, ORDERING="RING", NSIDE=1 << order))
    assert product.map == SkyMap.from_cells(order, cells, values)


@pytest.mark.parametrize("spelling", ["NEST", "nested", "Nested"])
def test_other_spellings_of_nested_are_read_and_reported(spelling, path):
    assert io.read(table(as_weight(VALUES), path, ORDERING=spelling)).map == TRUTH
    assert any("ORDERING must be 'NESTED'" in fault for fault in io.check(path))


@pytest.mark.parametrize("missing", [np.nan, -1.6375e30, np.float32(-1.6375e30)])
def test_missing_values_are_left_out(missing, path):
    values = VALUES.copy()
    values[[2, 7]] = missing
    product = io.read(table(as_weight(values), path))
    assert product.map == TRUTH.where(~np.isin(np.arange(CELLS.size), [2, 7]))


def test_bad_data_is_missing(path):
    values = VALUES.copy()
    values[5] = -99.0
    assert len(io.read(table(as_weight(values), path, BAD_DATA=-99.0)).map) == CELLS.size - 1


def test_missing_values_of_further_columns_are_nan(path):
    second = VALUES.copy()
    second[4] = -1.6375e30
    product = io.read(table({**as_weight(VALUES), "NIR_Y": second}, path))
    assert np.flatnonzero(np.isnan(product.maps["NIR_Y"].values)).tolist() == [4]
    assert product.map == TRUTH


def test_a_depth_that_is_not_positive_is_missing(path):
    depth = (24 + VALUES).astype("f4")
    depth[[0, 3]] = 0, -0.75
    product = io.read(table(as_weight(depth), path, EXTNAME="HPDEPTHMAP"))
    assert product.key.kind == "depth"
    assert len(product.map) == CELLS.size - 2
    assert product.keywords["DEGRULE"] == "LOGQUAD"


def test_an_absent_convention_means_observed_and_a_stated_one_is_undone(path, tmp_path):
    observed = io.read(table(as_weight(VALUES), path, EXTNAME="HPCOVERAGE"))
    mer = io.read(table(as_weight(1 - VALUES), tmp_path / "b.fits", EXTNAME="HPCOVERAGE", COVCONV="MER"))
    assert observed.map == mer.map == TRUTH


@pytest.mark.parametrize(
    ("name", "kind", "quantity"),
    [
        ("EUC_LE3_VMPZ-ID_HPDEPTHMAP-CONCAT-20241112T111230.257510Z_0.11.fits", "depth", "-"),
        ("EUC_LE3_VMPZ-ID_HPEXPOSURES-102018211_20241112T111230.257510Z.fits", "info", "Exposures"),
        ("EUC_LE3_VMPZ-ID_HPCOVERAGE-102018211_20241112T111230.257510Z_0.12.fits", "coverage", "-"),
    ],
)
def test_published_files_are_known_by_their_names(name, kind, quantity, tmp_path):
    product = io.read(table(as_weight(VALUES), tmp_path / name, EXTNAME="xtension", FILTER="VIS"))
    assert (product.key.kind, product.key.quantity, product.key.band) == (kind, quantity, "VIS")
    assert product.key.area == name.split("-")[2].split("_")[0]
    assert product.key.release == (
        "-" if name.endswith("Z.fits") else name.split("_")[-1].removesuffix(".fits")
    )


def test_unknown_units_are_kept(path):
    table(as_weight(VALUES), path)
    with fits.open(path, "update") as hdus:
        hdus[1].header["TUNIT2"] = "NA"
    assert io.read(path).unit == "NA"


def test_gzip_files_are_read(tmp_path):
    path = tmp_path / "a.fits"
    io.write_file(io_helpers.products()["coverage"], path)
    packed = tmp_path / "b.fits.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert io.read(packed).map == io.read(path).map


# -- coordinates, resolution, full sky ----------------------------------------------------------------------


def test_an_ecliptic_letter_is_read_as_equatorial_with_a_warning(path):
    with pytest.warns(UserWarning, match="COORDSYS is 'E'"):
        assert io.read(table(as_weight(VALUES), path, COORDSYS="E")).map == TRUTH
    assert any("COORDSYS" in fault for fault in io.check(path))
    assert any("COORDSYS" in note for note in io.summary(path)["notes"])


def test_galactic_cells_are_refused(path):
    with pytest.raises(InputError, match="COORDSYS must be 'C'"):
        io.read(table(as_weight(VALUES), path, COORDSYS="G"))


def test_an_absent_frame_is_equatorial(path):
    assert io.read(table(as_weight(VALUES), path, COORDSYS=None)).map == TRUTH


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"NSIDE": 63}, "NSIDE must be a power of two"),
        ({"NSIDE": None}, "NSIDE must be present"),
        ({"ORDERING": None}, "ORDERING must be NESTED, RING or NUNIQ, found nothing"),
        ({"ORDERING": "SPIRAL"}, "found SPIRAL"),
        ({"NSIDE": 16}, r"PIXEL must lie in \[0, 3072\)"),
        ({"COVCONV": "EUCLID"}, "COVCONV"),
    ],
)
def test_what_cannot_be_placed_is_refused(header, message, path):
    with pytest.raises(InputError, match=message) as error:
        io.read(table(as_weight(VALUES), path, **header))
    assert f"{path}[1" in str(error.value)


def test_cells_listed_twice_or_outside_are_refused(path, tmp_path):
    with pytest.raises(InputError, match="listed once"):
        io.read(
            table({"PIXEL": np.append(CELLS, CELLS[3]), "WEIGHT": np.append(VALUES, 0.5).astype("f4")}, path)
        )
    with pytest.raises(InputError, match="must lie in"):
        io.read(table({"PIXEL": np.array([-1]), "WEIGHT": np.array([1.0])}, tmp_path / "b.fits"))


def test_full_sky_tables_are_read_when_they_are_small(path, tmp_path):
    values = np.random.default_rng(7).random(12 * 4**3).astype("f4")
    product = io.read(table({"SIGNAL": values}, path, NSIDE=8, INDXSCHM="IMPLICIT"))
    assert np.array_equal(product.map.values, values)
    short = table({"SIGNAL": values[1:]}, tmp_path / "b.fits", NSIDE=8, INDXSCHM="IMPLICIT")
    with pytest.raises(InputError, match="must hold 768 values, found 767"):
        io.read(short)
    deep = table({"SIGNAL": values}, tmp_path / "c.fits", NSIDE=16384, INDXSCHM="IMPLICIT")
    with pytest.raises(InputError, match="up to order 10"):
        io.read(deep)


@pytest.mark.gpl
@pytest.mark.parametrize("nest", [True, False])
def test_full_sky_and_partial_maps_of_healpy_are_read(nest, path, tmp_path):
    healpy = pytest.importorskip("healpy")
    values = np.random.default_rng(8).random(12 * 16**2)
    healpy.write_map(
        str(path),
        values if nest else healpy.reorder(values, n2r=True),
        nest=nest,
        coord="C",
        dtype=np.float64,
    )
    assert np.array_equal(io.read(path).map.values, values)
    some = np.full(values.size, healpy.UNSEEN)
    some[100:300] = values[100:300]
    part = tmp_path / "part.fits"
    healpy.write_map(
        str(part),
        some if nest else healpy.reorder(some, n2r=True),
        nest=nest,
        partial=True,
        coord="C",
        dtype=np.float64,
    )
    assert io.read(part).map == SkyMap.from_cells(4, np.arange(100, 300), values[100:300])


# -- damage -------------------------------------------------------------------------------------------------


@pytest.fixture(params=["healpix", "moc"])
def written(request, tmp_path):
    product = io_helpers.products()["coverage"]
    return io.write_file(product, tmp_path / "whole.fits", form=request.param)


@pytest.mark.parametrize("cut", [1, 100, 2880, 3000, 5760])
def test_a_cut_file_is_refused(cut, written):
    written.write_bytes(written.read_bytes()[:-cut])
    with pytest.raises(InputError, match=str(written)):
        io.read(written)
    assert len(io.check(written)) == 1


def test_a_flipped_bit_of_the_data_is_refused(written):
    data = bytearray(written.read_bytes())
    with fits.open(written) as hdus:
        place = hdus[-1].fileinfo()["datLoc"]
    data[place + 9] ^= 1
    written.write_bytes(data)
    with pytest.raises(InputError, match="DATASUM must be"):
        io.read(written)


def test_a_changed_header_is_told_from_changed_data(written):
    written.write_bytes(written.read_bytes().replace(b"'INVALID ", b"'INVALIB "))
    with pytest.raises(InputError, match="the header or its CHECKSUM card was altered"):
        io.read(written)


def test_a_file_without_checksums_is_read(path):
    with fits.open(table(as_weight(VALUES), path)) as hdus:
        assert "CHECKSUM" not in hdus[1].header
    assert io.read(path).map == TRUTH


@pytest.mark.parametrize("content", [b"", b"<html></html>", b"SIMPLE  =                    T"])
def test_what_is_no_fits_file_is_refused(content, path):
    path.write_bytes(content)
    with pytest.raises(InputError, match=str(path)):
        io.read(path)
    assert len(io.check(path)) == 1


def test_a_file_without_table_is_refused(path):
    fits.PrimaryHDU(np.zeros((3, 3))).writeto(path)
    with pytest.raises(InputError, match="must hold a HEALPix table"):
        io.read(path)
    fits.HDUList(
        [
            fits.PrimaryHDU(),
            fits.BinTableHDU.from_columns(
                [fits.Column("A", "E", array=[1.0]), fits.Column("B", "E", array=[1.0])]
            ),
        ]
    ).writeto(path, overwrite=True)
    with pytest.raises(InputError, match="a column PIXEL or UNIQ must be present, found A, B"):
        io.read(path)


def test_memory_grows_with_the_listed_cells_alone(path):
    cells = np.arange(10**9, 10**9 + 20_000)
    product = io_helpers.make(
        io_helpers.key("coverage", order=14), {"WEIGHT": np.ones(cells.size, np.float32)}, cells=cells
    )
    io.write_file(product, path)
    tracemalloc.start()
    assert len(io.read(path).map) == cells.size
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200 * cells.size + 2_000_000
    assert hpx.number_of_cells(14) * 4 > 1000 * peak


# -- check --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda data: data["PIXEL"].__setitem__(slice(0, 2), data["PIXEL"][1::-1].copy()),
            "PIXEL must ascend",
        ),
        (
            lambda data: data["WEIGHT"].__setitem__(4, 1.5),
            r"WEIGHT must lie in \[0, 1\], found 1.5 in 1 rows",
        ),
    ],
)
def test_check_finds_wrong_rows(change, message, path):
    io.write_file(io_helpers.products()["coverage"], path)
    with fits.open(path, "update", checksum=True) as hdus:
        change(hdus[1].data)
    (fault,) = io.check(path)
    assert re.search(message, fault)


@pytest.mark.parametrize(
    ("unit", "name", "value", "message"),
    [
        (0, "TILEID", None, "TILEID must be present"),
        (0, "NSIDE_WK", 64, "NSIDE_WK must be a str"),
        (1, "PIXTYPE", None, "PIXTYPE must be 'HEALPIX'"),
        (1, "OBJECT", "FULLSKY", "OBJECT must be 'PARTIAL'"),
        (1, "TILEAREA", "big", "TILEAREA must be a float"),
    ],
)
def test_check_finds_wrong_keywords(unit, name, value, message, path):
    io.write_file(io_helpers.products()["footprint"], path)
    with fits.open(path, "update", checksum=True) as hdus:
        if value is None:
            del hdus[unit].header[name]
        else:
            hdus[unit].header[name] = value
    assert any(message in fault for fault in io.check(path)), io.check(path)


def test_the_summary_says_what_a_file_is(path):
    io.write_file(io_helpers.products()["coverage"], path)
    told = io.summary(path)
    assert told["kind"] == "coverage"
    assert (told["instrument"], told["band"], told["order"], told["unit"]) == ("VIS", "VIS", ORDER, "")
    assert told["cells"] == CELLS.size
    assert told["area_deg2"] == pytest.approx(CELLS.size * hpx.cell_area_deg2(ORDER), rel=1e-15)
    assert told["observed_area_deg2"] == pytest.approx(
        VALUES.sum(dtype=float) * hpx.cell_area_deg2(ORDER), rel=1e-12
    )
    assert (told["minimum"], told["maximum"]) == (VALUES.min(), 1.0)
    assert told["mean"] == pytest.approx(VALUES.mean(dtype=float), rel=1e-12)
    assert told["BITN01"] == "SAT"
    assert json.dumps(told)


@pytest.mark.parametrize("name", ["NPIX", "UNIQ", "anything"])
def test_the_column_of_a_moc_1_may_have_any_name(name, path):
    uniq = 4 * 4**ORDER + CELLS
    product = io.read(table({name: uniq}, path, ORDERING="NUNIQ", MOCORDER=ORDER, NSIDE=None, INDXSCHM=None))
    assert np.array_equal(product.map.cells.cells(), CELLS)


def test_the_band_of_a_mask_with_published_table_keywords_alone(path):
    assert io.read(table(as_weight(VALUES), path, MASKBAND="NIR_H")).key.band == "NIR_H"


@pytest.mark.parametrize("form", ["healpix", "moc", "parquet"])
def test_bits_of_geometric_masks_are_columns_like_others(form, tmp_path):
    share = io_helpers.fractions()
    words = {
        "BITSEL": "0,33,39",
        "BITN00": "INVALID",
        "BITN33": "HALO",
        "BITN39": "STREAK",
        "WGTKIND": "FLAGFRAC",
    }
    maps = {
        "WEIGHT": share,
        "BIT00": share,
        "BIT33": share * np.float32(0.25),
        "BIT39": share * np.float32(0.5),
    }
    product = io_helpers.make(io_helpers.key("bitmask", selection="INVALID,HALO,STREAK"), maps, words)
    back = io.read(io.write(product, tmp_path, form)[0])
    assert list(back.maps) == list(maps) and back.key.selection == product.key.selection
    assert back.keywords.items() >= words.items()
    for name, values in maps.items():
        np.testing.assert_array_equal(back.maps[name].values, values)
