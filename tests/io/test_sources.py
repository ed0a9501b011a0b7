"""Catalogues of sources: the same rows from every form, inside any cells; what is refused; memory."""

import gzip
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.io.votable import from_table, writeto
from astropy.table import MaskedColumn, Table
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_helpers import PEAK_KIB
from vmpz.errors import InputError
from vmpz.frames import Sources
from vmpz.io import objects, sources
from vmpz.io.sources import read_sources
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet

RNG = np.random.default_rng(8)
ROWS = 5000
LON, LAT = RNG.uniform(0, 360, ROWS), np.degrees(np.arcsin(RNG.uniform(-1, 1, ROWS)))
MAG = np.where(RNG.random(ROWS) < 0.1, np.nan, RNG.uniform(12, 22, ROWS))
CLASS = RNG.integers(-1, 5, ROWS).astype(np.int32)
COLUMNS = {"RA": LON, "DEC": LAT, "mag": MAG, "class": CLASS}
CAP = CellSet.from_cells(5, np.arange(3000, 5000))


def to_fits(path: Path, columns: Mapping[str, np.ndarray]) -> None:
    letters = {"f8": "D", "f4": "E", "i4": "J", "i8": "K"}
    made = [
        fits.Column(name, letters[one.dtype.str[1:]], unit="deg" if name in ("RA", "DEC") else None, array=one,
                    null=-1 if one.dtype.kind == "i" else None)
        for name, one in columns.items()
    ]  # fmt: skip
    fits.BinTableHDU.from_columns(made).writeto(path, checksum=True, overwrite=True)


def masked(columns: Mapping[str, np.ndarray]) -> Table:
    """Missing numbers as archives have them: masked, not NaN."""
    return Table({name: MaskedColumn(one, mask=(one == -1) if one.dtype.kind == "i" else ~np.isfinite(one))
                  for name, one in columns.items()}, units={"RA": "deg", "DEC": "deg"})  # fmt: skip


def to_arrow(columns: Mapping[str, np.ndarray]) -> pa.Table:
    return pa.table(
        {
            name: pa.array(one, mask=(one == -1) if one.dtype.kind == "i" else np.isnan(one))
            for name, one in columns.items()
        }
    )


def write(path: Path, columns: Mapping[str, np.ndarray] = COLUMNS) -> Path:
    """A catalogue in the form that the name says."""
    if path.name.endswith(".parquet"):
        pq.write_table(to_arrow(columns), path, row_group_size=700, write_page_checksum=True)
    elif path.name.endswith(".csv"):
        pa_csv.write_csv(to_arrow(columns), path)
    elif path.name.endswith(".csv.gz"):  # as the Gaia archive has it
        write(path.with_suffix(""), columns)
        text = b"# %ECSV 1.0\n# ---\n" + path.with_suffix("").read_bytes().replace(b",,", b",null,")
        path.write_bytes(gzip.compress(text, 1))
    elif ".vot" in path.name:
        form = path.name.split(".")[0]
        document = from_table(masked(columns))
        for field in document.get_first_table().fields:
            field.values.null = -1 if field.datatype == "int" else None
        writeto(document, str(path), tabledata_format=form)
    elif path.name.endswith(".gz"):
        write(path.with_suffix(""), columns)
        path.write_bytes(gzip.compress(path.with_suffix("").read_bytes(), 1))
    else:
        to_fits(path, columns)
    return path


FORMS = [
    "a.fits", "a.fits.gz", "a.parquet", "a.csv", "a.csv.gz", "tabledata.vot", "binary.vot", "binary2.vot",
]  # fmt: skip


def same(found: Sources, rows: np.ndarray) -> None:
    np.testing.assert_array_equal(found.lon_deg, LON[rows])
    np.testing.assert_array_equal(found.lat_deg, LAT[rows])
    np.testing.assert_array_equal(found.columns["mag"], MAG[rows])
    np.testing.assert_array_equal(found.columns["CLASS"], np.where(CLASS == -1, np.nan, CLASS)[rows])


@pytest.mark.parametrize("name", FORMS)
def test_every_form_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name)
    same(read_sources(path, ["mag", "CLASS"]), np.arange(ROWS))
    inside = np.flatnonzero(CAP.contains(LON, LAT))
    assert 0 < inside.size < ROWS
    same(read_sources(path, ["mag", "CLASS"], cells=CAP), inside)
    assert read_sources(path, positions=("ra", "DEC")).columns == {}


@pytest.mark.parametrize("name", FORMS)
def test_rows_do_not_depend_on_the_blocks(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / name)
    monkeypatch.setattr(objects, "ROWS", 64)
    monkeypatch.setattr(sources, "ROWS", 64)
    monkeypatch.setattr(sources, "CSV_BYTES", 1 << 12)
    same(read_sources(path, ["mag", "CLASS"], cells=CAP), np.flatnonzero(CAP.contains(LON, LAT)))


@pytest.fixture(scope="module")
def sorted_parquet(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray, np.ndarray]:
    """Rows by cell, as catalogues of archives are, positions at the poles and the zero meridian among them."""
    lon = np.concatenate((LON, [0, 0, 359.9999, 0.0001, 45, 0, 180, 360, -10, 400]))
    lat = np.concatenate((LAT, [90, -90, 0, 0, 89.9, -89.9, 0, 5, 3, 7]))
    by_cell = np.argsort(hpx.cells_at(lon, lat, 12), kind="stable")
    lon, lat = lon[by_cell], lat[by_cell]
    path = tmp_path_factory.mktemp("sorted") / "s.parquet"
    pq.write_table(pa.table({"ra": lon, "dec": lat}), path, row_group_size=50)
    return path, lon, lat


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 13), st.integers(1, 30), st.integers(0, 2**32))
def test_any_cells_get_their_rows_whatever_is_skipped(
    sorted_parquet, order: int, count: int, seed: int
) -> None:
    path, lon, lat = sorted_parquet
    rng = np.random.default_rng(seed)
    near = hpx.cells_at(rng.choice(lon, 3), rng.choice(lat, 3), order)
    cells = CellSet.from_cells(
        order,
        np.concatenate((near, rng.integers(0, hpx.number_of_cells(order)) // count + np.arange(count)))
        % hpx.number_of_cells(order),
    )
    found, expected = read_sources(path, cells=cells), cells.contains(lon, lat)
    np.testing.assert_array_equal((found.lon_deg, found.lat_deg), (lon[expected], lat[expected]))


def test_row_groups_outside_are_not_read(sorted_parquet, tmp_path: Path) -> None:
    """The data of the first row group are overwritten: only who reads it sees it."""
    path, lon, lat = sorted_parquet
    broken = tmp_path / "b.parquet"
    data = bytearray(path.read_bytes())
    data[4:600] = bytes(596)
    broken.write_bytes(data)
    cells = CellSet.from_cells(6, hpx.cells_at(lon[-1:], lat[-1:], 6))
    assert len(read_sources(broken, cells=cells)) == cells.contains(lon, lat).sum() > 0
    with pytest.raises(InputError, match="must be whole Parquet"):
        read_sources(broken)


def test_no_cells_hold_nothing(tmp_path: Path) -> None:
    for name in ("a.parquet", "a.fits"):
        found = read_sources(write(tmp_path / name), ["mag"], cells=CellSet(7))
        assert len(found) == 0 and found.columns["mag"].shape == (0,)


@pytest.mark.parametrize("name", FORMS)
def test_a_catalogue_may_be_empty(tmp_path: Path, name: str) -> None:
    empty = {key: one[:0] for key, one in COLUMNS.items()}
    if ".csv" in name:
        (tmp_path / name).write_bytes(
            gzip.compress(b"RA,DEC,mag\n") if name.endswith("gz") else b"RA,DEC,mag\n"
        )
    else:
        write(tmp_path / name, empty)
    for cells in (None, CAP):
        assert len(read_sources(tmp_path / name, ["mag"], cells=cells)) == 0


# -- faults -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize(
    ("changed", "value"), [("RA", np.nan), ("DEC", np.nan), ("DEC", -90.01), ("DEC", 1e30), ("RA", np.inf)]
)
def test_a_position_that_is_none_is_told_with_its_row(
    tmp_path: Path, name: str, changed: str, value: float
) -> None:
    few = {key: one[:20].copy() for key, one in COLUMNS.items()}
    few[changed][12] = value
    path = write(tmp_path / name, few)
    with pytest.raises(InputError, match=re.escape(f"{path}: a position must be finite") + ".* in row 13"):
        read_sources(path, cells=CAP if changed == "RA" else None)


@pytest.mark.parametrize("name", FORMS)
def test_columns_that_are_not_there_are_told(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, {key: one[:5] for key, one in COLUMNS.items()})
    with pytest.raises(InputError, match="column phz must be present, found RA, DEC, mag, class"):
        read_sources(path, ["phz"])
    with pytest.raises(InputError, match="columns of position l/b must be present, found RA"):
        read_sources(path, positions=("l", "b"))


def test_columns_of_text_are_told(tmp_path: Path) -> None:
    table = Table({"RA": [1.0], "DEC": [2.0], "name": ["x"]})
    table.write(tmp_path / "a.fits")
    table.write(tmp_path / "a.vot", format="votable")
    pq.write_table(pa.table({"RA": [1.0], "DEC": [2.0], "name": ["x"]}), tmp_path / "a.parquet")
    (tmp_path / "a.csv").write_text("RA,DEC,name\n1,2,x\n")
    for name, rule in (
        ("a.fits", "TFORM3 of name must be one number"),
        ("a.vot", "column name must hold one number a row"),
        ("a.parquet", "column name must hold numbers, found string"),
        ("a.csv", "must be CSV with a header line and numbers.*'x'"),
    ):
        with pytest.raises(InputError, match=rule):
            read_sources(tmp_path / name, ["name"])


def test_columns_that_stand_twice_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("RA,DEC,mag,mag\n1,2,3,4\n")
    schema = pa.schema([(name, pa.float64()) for name in ("RA", "DEC", "mag", "mag")])
    pq.write_table(pa.Table.from_arrays([pa.array([1.0])] * 4, schema=schema), tmp_path / "a.parquet")
    for name in ("a.csv", "a.parquet"):
        with pytest.raises(InputError, match="column mag must stand once, found it 2 times"):
            read_sources(tmp_path / name, ["mag"])


@pytest.mark.parametrize("name", ["a.fits", "tabledata.vot"])
def test_positions_in_other_units_are_refused(tmp_path: Path, name: str) -> None:
    table = Table({"RA": [1.0], "DEC": [0.5]}, units={"RA": "rad", "DEC": "rad"})
    table.write(tmp_path / name, format="votable" if name.endswith("vot") else "fits")
    with pytest.raises(InputError, match=r"RA must be deg"):
        read_sources(tmp_path / name)


def test_files_that_are_not_whole_are_refused(tmp_path: Path) -> None:
    for name in FORMS:
        if ".csv" in name and not name.endswith("gz"):
            continue  # text that ends early is a shorter text
        path = write(tmp_path / name)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(InputError, match=re.escape(str(path))):
            read_sources(path, ["mag"])
    with pytest.raises(InputError, match="found nothing"):
        read_sources(tmp_path / "absent.parquet")
    for name in ("no.vot", "no.parquet", "no.csv", "no.fits"):
        (tmp_path / name).write_bytes(b"\0\1\2 not a table")
        with pytest.raises(InputError, match=name):
            read_sources(tmp_path / name)


def test_altered_data_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.fits")
    data = bytearray(path.read_bytes())
    data[-2880 * 3] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match="DATASUM"):
        read_sources(path)


# -- memory -----------------------------------------------------------------------------------------------------------


def test_memory_holds_a_block_and_the_rows_kept(tmp_path: Path) -> None:
    """A table of 320 MB that takes no room: all its rows lie at (0, 0)."""
    rows, path = 4_000_000, tmp_path / "a.fits"
    columns = [
        fits.Column("RA", "D", array=[0.0]),
        fits.Column("DEC", "D", array=[0.0]),
        fits.Column("F", "8D"),
    ]
    table = fits.BinTableHDU.from_columns(columns)
    table.header["NAXIS2"] = rows
    assert table.header["NAXIS1"] == 80
    head = (fits.PrimaryHDU().header.tostring() + table.header.tostring()).encode()
    with path.open("wb") as stream:
        stream.write(head)
        stream.truncate(len(head) + -(-rows * 80 // 2880) * 2880)
    code = f"""{PEAK_KIB}
from pathlib import Path
from vmpz.io.sources import read_sources
from vmpz.sky.cells import CellSet
cells = CellSet.from_cells(9, [1000])
assert not cells.contains(0.0, 0.0)
before = peak_kib()
assert len(read_sources(Path({str(path)!r}), cells=cells)) == 0
print(peak_kib() - before)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert int(told.stdout) < 40 * 1024, f"{int(told.stdout) / 1024:.0f} MiB"
