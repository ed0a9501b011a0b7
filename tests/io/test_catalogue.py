"""Catalogues with further columns: all that was there stays, byte by byte; positions are found and checked."""

import gzip
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from vmpz.errors import InputError
from vmpz.io import objects as module
from vmpz.io.catalogue import POSITIONS, Added, open_catalogue

RNG = np.random.default_rng(5)
ROWS = 70_001
LON, LAT = RNG.uniform(0, 360, ROWS), RNG.uniform(-90, 90, ROWS)
ADDED = {
    "depth_VIS": Added(RNG.random(ROWS).astype(np.float32), "mag", "depth VIS order 14"),
    "MJD_MEAN_VIS": Added(RNG.random(ROWS)),
}


def every_type(rows: int) -> fits.BinTableHDU:
    """A table with a column of every type of the standard, scaled and variable-length ones among them."""
    rng = np.random.default_rng(2)
    ragged = np.empty(rows, object)
    ragged[:] = [rng.integers(0, 9, n % 4).astype(np.int32) for n in range(rows)]
    columns = [
        fits.Column("ID", "K", array=np.arange(rows)),
        fits.Column("RA", "D", unit="deg", array=LON[:rows]),
        fits.Column("NAME", "7A", array=np.array([f"obj{n}" for n in range(rows)])),
        fits.Column("DEC", "D", unit="deg", array=LAT[:rows]),
        fits.Column("GOOD", "L", array=rng.random(rows) > 0.5),
        fits.Column("BITS", "11X", array=rng.random((rows, 11)) > 0.5),
        fits.Column("BYTE", "B", array=rng.integers(0, 255, rows).astype(np.uint8)),
        fits.Column("UNSIGNED", "I", bzero=32768, array=rng.integers(0, 65535, rows).astype(np.uint16)),
        fits.Column("SCALED", "E", bscale=0.5, array=rng.integers(0, 9, rows) * 0.5),
        fits.Column("NULLED", "J", null=-1, array=rng.integers(-1, 9, rows).astype(np.int32)),
        fits.Column("VECTOR", "6E", dim="(2,3)", array=rng.random((rows, 3, 2)).astype(np.float32)),
        fits.Column("COMPLEX", "C", array=rng.random(rows).astype(np.complex64)),
        fits.Column("DOUBLE", "M", array=rng.random(rows).astype(np.complex128)),
        fits.Column("RAGGED", "PJ()", array=ragged),
        fits.Column("LONG", "QD()", array=np.array([rng.random(n % 3) for n in range(rows)], object)),
    ]
    hdu = fits.BinTableHDU.from_columns(columns, name="OBJECTS")
    hdu.header["ORIGIN"] = ("a survey", "who made it")
    hdu.header["HIERARCH long keyword"] = 3
    hdu.header["COMMENT"] = "a comment that stays"
    hdu.header["LONGSTRN"] = "OGIP 1.0"
    hdu.header["LONGWORD"] = "x" * 200
    return hdu


def write_every_type(path: Path, rows: int = 999) -> Path:
    primary = fits.PrimaryHDU()
    primary.header["RUN"] = (7, "of the primary header")
    fits.HDUList([primary, every_type(rows)]).writeto(path, checksum=True)
    return path


def first(added: dict[str, Added], rows: int) -> dict[str, Added]:
    return {name: Added(one.values[:rows], one.unit, one.meaning) for name, one in added.items()}


# -- FITS -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 999])
@pytest.mark.parametrize("packed", [False, True])
def test_every_column_and_card_of_a_fits_table_stays(tmp_path: Path, rows: int, packed: bool) -> None:
    path = write_every_type(tmp_path / "in.fits", rows)
    source = path
    if packed:
        source = tmp_path / "in.fits.gz"
        source.write_bytes(gzip.compress(path.read_bytes()))
    table = open_catalogue(source)
    lon, lat = table.positions()
    np.testing.assert_array_equal((lon, lat), (LON[:rows], LAT[:rows]))
    table.write(tmp_path / "out.fits", first(ADDED, rows))
    with fits.open(path) as old, fits.open(tmp_path / "out.fits", checksum=True) as new:
        assert [hdu.name for hdu in new] == ["PRIMARY", "OBJECTS"]
        for hdu, other in zip(old, new):
            changed = {"CHECKSUM", "DATASUM", "NAXIS1", "TFIELDS", "PCOUNT", "THEAP"}
            kept = [str(card) for card in hdu.header.cards if card.keyword not in changed]
            assert [str(card) for card in other.header.cards if str(card) in kept] == kept
        for column in old[1].columns:
            assert new[1].columns[column.name].format == column.format
            for one, two in zip(old[1].data[column.name], new[1].data[column.name]):
                np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(new[1].data["depth_VIS"], ADDED["depth_VIS"].values[:rows])
        np.testing.assert_array_equal(new[1].data["MJD_MEAN_VIS"], ADDED["MJD_MEAN_VIS"].values[:rows])
        header = new[1].header
        assert (header["TTYPE16"], header["TUNIT16"], header["TCOMM16"]) == (
            "depth_VIS",
            "mag",
            "depth VIS order 14",
        )


def test_rows_of_several_blocks_stay(tmp_path: Path) -> None:
    columns = {
        "RA": LON,
        "DEC": LAT,
        "N": np.arange(ROWS, dtype=np.int16),
        "S": np.array(["ab", "c", ""] * ROWS)[:ROWS],
    }
    Table(columns).write(tmp_path / "in.fits")
    table = open_catalogue(tmp_path / "in.fits")
    np.testing.assert_array_equal(table.positions(), (LON, LAT))
    table.write(tmp_path / "out.fits", ADDED)
    old, new = Table.read(tmp_path / "in.fits"), Table.read(tmp_path / "out.fits")
    assert all((old[name] == new[name]).all() for name in old.colnames)
    assert all((new[name] == one.values).all() for name, one in ADDED.items())


@given(st.integers(0, 12), st.integers(1, 7), st.integers(1, 5), st.integers(1, 4))
@settings(max_examples=30, deadline=None)
def test_any_width_and_number_of_rows_can_be_written(rows: int, width: int, block: int, more: int) -> None:
    """Rows whose width is no multiple of four, in blocks that end anywhere."""
    import tempfile

    real = module.ROWS
    module.ROWS = 4 * block
    try:
        with tempfile.TemporaryDirectory() as folder:
            source, out = Path(folder, "in.fits"), Path(folder, "out.fits")
            columns = [
                fits.Column("RA", "E", array=LON[:rows]),
                fits.Column("DEC", "D", array=LAT[:rows]),
                fits.Column("B", f"{width}B", array=RNG.integers(0, 255, (rows, width)).astype(np.uint8)),
            ]
            fits.BinTableHDU.from_columns(columns).writeto(source, checksum=True)
            table = open_catalogue(source)
            table.positions()
            added = {f"c{n}": Added(LON[:rows].astype(np.float32)) for n in range(more)}
            table.write(out, added)
            with fits.open(out, checksum=True) as new, fits.open(source) as old:
                np.testing.assert_array_equal(new[1].data["B"], old[1].data["B"])
                np.testing.assert_array_equal(new[1].data["c0"], added["c0"].values)
    finally:
        module.ROWS = real


@pytest.mark.tool
def test_fitsverify_accepts_what_is_written(tmp_path: Path) -> None:
    if shutil.which("fitsverify") is None:
        pytest.fail("fitsverify is missing") if os.environ.get("CI") == "true" else pytest.skip(
            "needs fitsverify"
        )
    table = open_catalogue(write_every_type(tmp_path / "in.fits"))
    table.positions()
    table.write(tmp_path / "out.fits", first(ADDED, 999))
    told = subprocess.run(
        ["fitsverify", "-q", tmp_path / "out.fits"], capture_output=True, text=True, check=False
    )
    assert "verification OK" in told.stdout, told.stdout


def test_the_first_table_with_positions_is_taken(tmp_path: Path) -> None:
    one = fits.BinTableHDU.from_columns([fits.Column("X", "E", array=[1.0])], name="OTHER")
    two = fits.BinTableHDU.from_columns(
        [fits.Column("alpha_j2000", "D", array=[10.0]), fits.Column("Delta_J2000", "D", array=[20.0])],
        name="CAT",
    )
    image = fits.PrimaryHDU(np.zeros((4, 4), np.float32))
    fits.HDUList([image, one, two]).writeto(tmp_path / "in.fits")
    table = open_catalogue(tmp_path / "in.fits")
    assert [one[0] for one in table.positions()] == [10.0, 20.0]
    table.write(tmp_path / "out.fits", first(ADDED, 1))
    with fits.open(tmp_path / "out.fits") as new:
        assert [hdu.name for hdu in new] == ["PRIMARY", "CAT"] and new[0].data is None


@pytest.mark.parametrize("pair", POSITIONS)
@pytest.mark.parametrize("end", ["fits", "parquet"])
def test_usual_names_are_found_in_any_case(tmp_path: Path, pair: tuple[str, str], end: str) -> None:
    lon, lat = pair
    Table({"x": [0.0], lat.lower(): [20.0], lon.title(): [10.0]}).write(tmp_path / f"in.{end}")
    assert [one[0] for one in open_catalogue(tmp_path / f"in.{end}").positions()] == [10.0, 20.0]


@pytest.mark.parametrize("end", ["fits", "parquet"])
def test_columns_of_position_can_be_named(tmp_path: Path, end: str) -> None:
    Table({"RA": [0.0], "DEC": [0.0], "l": [1.0], "b": [2.0]}).write(tmp_path / f"in.{end}")
    table = open_catalogue(tmp_path / f"in.{end}")
    assert [one[0] for one in table.positions(["L", "b"])] == [1.0, 2.0]
    table.write(tmp_path / f"out.{end}", first(ADDED, 1))
    with pytest.raises(InputError, match="columns of position X/Y must be present, found RA, DEC, l, b"):
        table.positions(["X", "Y"])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ([fits.Column("A", "D", array=[1.0])], "RA/DEC or .* must be present, found A"),
        (
            [fits.Column("RA", "D", unit="rad", array=[1.0]), fits.Column("DEC", "D", array=[1.0])],
            "TUNIT1 .*deg",
        ),
        (
            [fits.Column("RA", "2D", array=[[1.0, 2]]), fits.Column("DEC", "D", array=[1.0])],
            "TFORM1 .*one number",
        ),
        ([fits.Column("RA", "J", array=[1]), fits.Column("DEC", "D", array=[1.0])], "TFORM1 .*one number"),
        (
            [fits.Column("RA", "E", bscale=0.5, array=[1.0]), fits.Column("DEC", "D", array=[1.0])],
            "not be scaled",
        ),
    ],
)
def test_positions_that_are_none_are_refused(
    tmp_path: Path, columns: list[fits.Column], message: str
) -> None:
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "in.fits")
    with pytest.raises(InputError, match=message):
        open_catalogue(tmp_path / "in.fits").positions()


def test_files_that_are_no_catalogue_are_refused(tmp_path: Path) -> None:
    fits.PrimaryHDU(np.zeros((3, 3))).writeto(tmp_path / "image.fits")
    with pytest.raises(InputError, match="must hold a binary table"):
        open_catalogue(tmp_path / "image.fits").positions()
    with pytest.raises(InputError, match="found nothing"):
        open_catalogue(tmp_path / "no.fits")
    (tmp_path / "text.parquet").write_text("not Parquet")
    with pytest.raises(InputError, match="must be whole Parquet"):
        open_catalogue(tmp_path / "text.parquet")


@pytest.mark.parametrize("end", ["fits", "parquet"])
def test_names_that_are_taken_and_other_forms_are_refused(tmp_path: Path, end: str) -> None:
    Table({"RA": [1.0], "DEC": [1.0], "Depth_vis": [1.0]}).write(tmp_path / f"in.{end}")
    table = open_catalogue(tmp_path / f"in.{end}")
    table.positions()
    with pytest.raises(InputError, match="must not have the columns to be added yet, found depth_VIS"):
        table.write(tmp_path / f"out.{end}", first(ADDED, 1))
    with pytest.raises(InputError, match=f"must end in .{end}"):
        table.write(tmp_path / "out.csv", first(ADDED, 1))
    assert [path.name for path in tmp_path.iterdir()] == [f"in.{end}"]


def test_an_altered_byte_is_found(tmp_path: Path) -> None:
    for rows, ragged in ((50, False), (50, True)):
        path = tmp_path / f"in{ragged}.fits"
        hdu = every_type(rows) if ragged else fits.table_to_hdu(Table({"RA": LON[:rows], "DEC": LAT[:rows]}))
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path, checksum=True)
        content = bytearray(path.read_bytes())
        content[-2880 + 7] ^= 1
        path.write_bytes(bytes(content))
        with pytest.raises(InputError, match="DATASUM"):
            open_catalogue(path).positions()


def test_a_catalogue_can_take_its_own_place(tmp_path: Path) -> None:
    path = write_every_type(tmp_path / "in.fits")
    table = open_catalogue(path)
    table.positions()
    table.write(path, first(ADDED, 999))
    with fits.open(path, checksum=True) as new:
        np.testing.assert_array_equal(new[1].data["RA"], LON[:999])
        assert "depth_VIS" in new[1].columns.names


# -- Parquet ----------------------------------------------------------------------------------------------------------


def parquet_table(rows: int) -> pa.Table:
    rng = np.random.default_rng(3)
    return pa.table(
        {
            "ra": pa.array(LON[:rows], pa.float64()),
            "dec": pa.array([None if n == 5 else value for n, value in enumerate(LAT[:rows])], pa.float64()),
            "name": pa.array([None if n % 7 == 0 else f"Ä{n % 5}" for n in range(rows)], pa.string()),
            "when": pa.array(rng.integers(0, 10**15, rows), pa.timestamp("us", "UTC")),
            "list": pa.array([[1.5] * (n % 3) for n in range(rows)], pa.list_(pa.float64())),
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(rng.random(2 * rows)), 2),
            "kind": pa.array(["star", "galaxy"] * rows)[:rows].dictionary_encode(),
            "struct": pa.array(
                [{"a": n % 100, "b": None if n % 3 else True} for n in range(rows)],
                pa.struct([("a", pa.int8()), ("b", pa.bool_())]),
            ),
        }
    ).replace_schema_metadata({"made": "by hand"})


@pytest.mark.parametrize("rows", [0, 1, 50, ROWS])
def test_every_column_of_a_parquet_file_stays(tmp_path: Path, rows: int) -> None:
    old = parquet_table(rows)
    pq.write_table(old, tmp_path / "in.parquet", row_group_size=10_000)
    old = pq.read_table(tmp_path / "in.parquet")
    table = open_catalogue(tmp_path / "in.parquet")
    lon, lat = table.positions()
    np.testing.assert_array_equal(lon, LON[:rows])
    assert np.isnan(lat[5:6]).all() and np.isfinite(lat[6:]).all()
    table.write(tmp_path / "out.parquet", first(ADDED, rows))
    new = pq.read_table(tmp_path / "out.parquet", page_checksum_verification=True)
    assert new.column_names == [*old.column_names, *ADDED]
    assert new.select(old.column_names).equals(old, check_metadata=True)
    np.testing.assert_array_equal(new["depth_VIS"].to_numpy(), ADDED["depth_VIS"].values[:rows])
    assert new.schema.field("depth_VIS").metadata == {b"unit": b"mag", b"description": b"depth VIS order 14"}


def test_positions_of_a_parquet_file_must_be_numbers(tmp_path: Path) -> None:
    pq.write_table(pa.table({"ra": ["a"], "dec": [1.0]}), tmp_path / "in.parquet")
    with pytest.raises(InputError, match="column ra must hold numbers, found string"):
        open_catalogue(tmp_path / "in.parquet").positions()
    pq.write_table(pa.table({"x": [1.0]}), tmp_path / "in.parquet")
    with pytest.raises(InputError, match="must be present, found x"):
        open_catalogue(tmp_path / "in.parquet").positions()


def test_a_page_that_was_altered_is_found(tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    options = {"compression": None, "use_dictionary": False, "write_page_checksum": True}
    pq.write_table(pa.table({"ra": LON, "dec": LAT}), path, **options)
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match="page checksums hold"):
        open_catalogue(path).positions()


def test_bytes_depend_on_the_content_alone(tmp_path: Path) -> None:
    Table({"RA": LON, "DEC": LAT}).write(tmp_path / "in.fits")
    pq.write_table(parquet_table(ROWS), tmp_path / "in.parquet")
    for end in ("fits", "parquet"):
        table = open_catalogue(tmp_path / f"in.{end}")
        table.positions()
        for name in ("a", "b"):
            table.write(tmp_path / f"{name}.{end}", ADDED)
        assert (tmp_path / f"a.{end}").read_bytes() == (tmp_path / f"b.{end}").read_bytes()
