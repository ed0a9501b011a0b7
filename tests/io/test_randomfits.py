"""Random catalogues as FITS: any number of writers in any order make one file, to the byte, or none."""

import errno
import os
import pickle
import resource
import signal
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from itertools import pairwise
from multiprocessing import get_context
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

import io_helpers
import random_helpers
from random_helpers import some
from vmpz import io
from vmpz.errors import InputError
from vmpz.files.write import StorageError, sweep
from vmpz.io import randomfits
from vmpz.io.randomcolumns import row_type
from vmpz.io.randomfits import Part

COLUMNS = {
    "full": io.random_columns(),
    "minimal": io.random_columns("minimal"),
    "all": io.random_columns(
        redshift=True, bands=("VIS", "NIR_Y"), size=True, classes=True,
        maps=(io.RandomColumn("depth_VIS", "f4", "mag"), io.RandomColumn("tile", "i8")),
    ),
}  # fmt: skip
ROWS = 20_000


@pytest.fixture(params=COLUMNS)
def columns(request):
    return COLUMNS[request.param]


def test_a_full_row_has_44_bytes():
    assert row_type(COLUMNS["full"]).itemsize == 44
    assert row_type(COLUMNS["minimal"]).itemsize == 16
    assert [one.kind for one in COLUMNS["full"]] == ["i8", "f8", "f8", "f8", "i8", "i4"]


def test_astropy_reads_it_and_its_checksums_hold(columns, tmp_path):
    arrays = random_helpers.points(ROWS, columns=columns)
    path = random_helpers.write_fits(tmp_path / "a.fits", arrays, columns)
    with fits.open(path, checksum=True) as hdus:  # a checksum that does not hold is a warning, here an error
        assert hdus[0].header["NAXIS"] == 0 and len(hdus) == 2
        table = hdus[1]
        assert table.columns.names == list(arrays)
        assert table.columns.units == [one.unit for one in columns]
        for name, array in arrays.items():
            assert np.array_equal(table.data[name], array), name
            assert table.data[name].dtype == array.dtype.newbyteorder(">")
        assert hdus[1].verify_datasum() == hdus[1].verify_checksum() == 1


@pytest.mark.gpl
def test_fitsio_reads_it(columns, tmp_path):
    fitsio = pytest.importorskip("fitsio")
    arrays = random_helpers.points(ROWS, columns=columns)
    found = fitsio.read(random_helpers.write_fits(tmp_path / "a.fits", arrays, columns))
    assert all(np.array_equal(found[name], array) for name, array in arrays.items())


@pytest.mark.tool
@pytest.mark.parametrize("strict", [False, True])
def test_fitsverify_finds_nothing(columns, strict, tmp_path):
    fitsverify = io_helpers.program("fitsverify")
    arrays = random_helpers.points(100, columns=columns)
    path = random_helpers.write_fits(tmp_path / "a.fits", arrays, columns, strict=strict)
    told = subprocess.run([fitsverify, str(path)], capture_output=True, text=True).stdout
    assert "0 warning(s) and 0 error(s)" in told, told


def test_what_the_headers_say(tmp_path):
    path = random_helpers.write_fits(tmp_path / "a.fits", random_helpers.points(7))
    first, table = fits.getheader(path, 0), fits.getheader(path, 1)
    wanted = {
        "SEED": "18446744073709551615", "NSIMOBJ": 7, "BINSEL": "bright", "DEPTHEST": "APERTURE", "BITSEL": "-1",
        "LISTID": "demo", "TILEID": -1, "TELESCOP": "Euclid", "FILTER": "-1", "SOFTNAME": "vmpz",
    }  # fmt: skip
    assert {name: first[name] for name in wanted} == wanted
    wanted = {
        "EXTNAME": "RANDOMCATALOG", "CAT_TYPE": "RANDOM", "COORD": "EQUATORIAL", "ANGLE": "DEG", "CAT_NOBJ": 7,
        "DENSITY": 1000.0, "SURVAREA": 0.75, "SAMPALGO": "EXACT", "HPXORDER": 14, "VISINTEG": 0.5, "RUNSEED": "7",
        "VERIFIED": True, "PRODDIG": io_helpers.provenance().digest,
    }  # fmt: skip
    assert {name: table[name] for name in wanted} == wanted
    assert not {"NSIDE_WK", "MASKBAND", "WGTKIND", "DEGRULE"} & {*first, *table}  # they are of maps


def test_strict_leaves_the_keywords_of_the_project_out(tmp_path):
    path = random_helpers.write_fits(tmp_path / "a.fits", random_helpers.points(7), strict=True)
    table = fits.getheader(path, 1)
    assert table["CAT_TYPE"] == "RANDOM" and "PRODDIG" not in table and "HPXORDER" not in table


# -- who wrote what in which order leaves no trace ------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(list(COLUMNS)),
    cuts=st.lists(st.integers(0, 700), max_size=9),
    shuffled=st.randoms(use_true_random=False),
)
def test_any_cut_in_any_order(tmp_path_factory, name, cuts, shuffled):
    columns, folder = COLUMNS[name], tmp_path_factory.mktemp("any")
    arrays = random_helpers.points(700, columns=columns)
    wanted = random_helpers.write_fits(folder / "whole.fits", arrays, columns).read_bytes()
    ends = [0, *sorted(cuts), 700]
    spans = list(pairwise(ends))
    shuffled.shuffle(spans)
    with io.create_random_fits(folder / "parts.fits", columns, 700, random_helpers.product()) as table:
        place = pickle.loads(pickle.dumps(table.place))
        parts = [io.write_rows(place, start, some(arrays, start, stop)) for start, stop in spans]
        for part in reversed(parts):
            table.take(part)
    assert (folder / "parts.fits").read_bytes() == wanted


def test_processes_write_one_file(tmp_path):
    arrays = random_helpers.points(ROWS)
    wanted = random_helpers.write_fits(tmp_path / "one.fits", arrays).read_bytes()
    spans = [(start, start + 1000) for start in range(0, ROWS, 1000)]
    with (
        ProcessPoolExecutor(2, get_context("forkserver")) as pool,
        io.create_random_fits(
            tmp_path / "two.fits", COLUMNS["full"], ROWS, random_helpers.product(), reread=True
        ) as table,
    ):
        for job in [
            pool.submit(io.write_rows, table.place, one, some(arrays, one, two)) for one, two in spans
        ]:
            table.take(job.result())
    assert (tmp_path / "two.fits").read_bytes() == wanted


def test_a_file_of_more_than_2_gigabytes_and_2_billion_rows(tmp_path, monkeypatch):
    """Its rows but the last few are holes in the file: zeros, whose sum is known."""
    monkeypatch.setattr(randomfits.shutil, "disk_usage", lambda path: SimpleNamespace(free=1 << 50))
    rows, columns = (1 << 31) + 1000, COLUMNS["minimal"]
    arrays = random_helpers.points(600, columns=columns)
    with io.create_random_fits(tmp_path / "big.fits", columns, rows, random_helpers.product()) as table:
        table.take(io.write_rows(table.place, rows - 600, arrays))
        table.take(Part(0, rows - 600, 0))
    assert fits.getheader(tmp_path / "big.fits", 1)["NAXIS2"] == rows
    catalogue = io.open_random(tmp_path / "big.fits")
    assert catalogue.rows == catalogue.keywords["NSIMOBJ"] == rows
    with (tmp_path / "big.fits").open("rb") as stream:
        stream.seek(table.place.offset + (rows - 600) * 16)
        found = np.frombuffer(stream.read(600 * 16), row_type(columns))
    assert all(np.array_equal(found[name], array) for name, array in arrays.items())
    assert (tmp_path / "big.fits").stat().st_size > 16 << 31


def test_no_rows(tmp_path):
    path = random_helpers.write_fits(tmp_path / "a.fits", random_helpers.points(0))
    assert io.check(path) == [] and io.open_random(path).rows == 0
    with fits.open(path, checksum=True) as hdus:
        assert len(hdus[1].data) == 0


# -- whole or not at all --------------------------------------------------------------------------------------


def created(path, rows=100):
    return io.create_random_fits(path, COLUMNS["full"], rows, random_helpers.product())


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([], "100 rows must be written, found 0"),
        ([(0, 40), (60, 100)], "found row 40 never"),
        ([(0, 60), (40, 100)], "found row 40 twice"),
        ([(0, 100), (0, 100)], "found row 0 twice"),
        ([(1, 100)], "found row 0 never"),
        ([(0, 99)], "100 rows must be written, found 99"),
    ],
)
def test_every_row_is_written_once(parts, message, tmp_path):
    arrays = random_helpers.points(100)
    with pytest.raises(InputError, match=message), created(tmp_path / "a.fits") as table:
        for start, stop in parts:
            table.take(io.write_rows(table.place, start, some(arrays, start, stop)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"RIGHT_ASCENSION": lambda a: a.astype(np.float32)},
            "RIGHT_ASCENSION must be float64 .*found float32",
        ),
        ({"OBJECT_ID": lambda a: a.astype(np.uint64)}, "OBJECT_ID must be int64 .*found uint64"),
        ({"TOM_BIN_ID": lambda a: a.astype(">i4")}, "TOM_BIN_ID must be int32"),
        ({"WEIGHT": lambda a: a[:-1]}, "WEIGHT must be float64 of 100 rows"),
        ({"WEIGHT": lambda a: a[:, None]}, "WEIGHT must be float64 of 100 rows"),
        ({"WEIGHT": None}, "columns must be"),
        ({"MORE": lambda a: np.zeros(100)}, "columns must be .*found .*MORE"),
        ({"RIGHT_ASCENSION": lambda a: np.where(a == a[3], 360.0, a)}, r"must lie in \[0, 360\)"),
        ({"RIGHT_ASCENSION": lambda a: -a}, r"must lie in \[0, 360\)"),
        ({"DECLINATION": lambda a: np.where(a == a[3], np.nan, a)}, r"must lie in \[-90, 90\]"),
    ],
)
def test_other_arrays_are_refused(change, message, tmp_path):
    arrays = random_helpers.points(100)
    for name, how in change.items():
        old = arrays.pop(name, None)
        arrays |= {} if how is None else {name: how(old)}
    with pytest.raises(InputError, match=message), created(tmp_path / "a.fits") as table:
        io.write_rows(table.place, 0, arrays)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("first", [-1, 1, 100])
def test_rows_beyond_the_table_are_refused(first, tmp_path):
    with (
        pytest.raises(InputError, match="must lie in the table of 100"),
        created(tmp_path / "a.fits") as table,
    ):
        io.write_rows(table.place, first, random_helpers.points(100))


def test_a_full_disk_is_known_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(randomfits.shutil, "disk_usage", lambda path: SimpleNamespace(free=4000))
    with pytest.raises(StorageError, match=r"needs \d+ bytes") as refused, created(tmp_path / "a.fits"):
        pytest.fail("there is no room")
    assert refused.value.errno == errno.ENOSPC and list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_on_the_way(tmp_path, monkeypatch):
    (tmp_path / "a.fits").write_text("what was there")
    truth, left = os.pwrite, [3000]

    def pwrite(handle, data, offset):
        done = truth(handle, data[: left[0]], offset) if left[0] else 0
        left[0] -= done
        if not done:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return done

    monkeypatch.setattr(randomfits.os, "pwrite", pwrite)
    with pytest.raises(StorageError, match="No space left"), created(tmp_path / "a.fits") as table:
        io.write_rows(table.place, 0, random_helpers.points(100))
    assert [path.read_text() for path in tmp_path.iterdir()] == ["what was there"]


def test_the_system_refuses_so_large_a_file(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
    try:
        with pytest.raises(StorageError), created(tmp_path / "a.fits", 10_000):
            pytest.fail("the system has a limit")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_short_writes_go_on(tmp_path, monkeypatch):
    arrays = random_helpers.points(1000)
    wanted = random_helpers.write_fits(tmp_path / "a.fits", arrays).read_bytes()
    truth = os.pwrite
    monkeypatch.setattr(
        randomfits.os, "pwrite", lambda handle, data, offset: truth(handle, data[:999], offset)
    )
    assert random_helpers.write_fits(tmp_path / "b.fits", arrays).read_bytes() == wanted


def test_a_killed_writer_leaves_nothing_under_the_name(tmp_path):
    code = (
        "import sys, time, random_helpers as r\nfrom pathlib import Path\nfrom vmpz import io\n"
        "with io.create_random_fits(Path(sys.argv[1]), io.random_columns(), 100, r.product()) as table:\n"
        "    io.write_rows(table.place, 0, r.points(50))\n    print('written', flush=True)\n    time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.fits")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(io_helpers.HERE)}
    ) as writer:
        assert writer.stdout.readline() == "written\n"
        writer.send_signal(signal.SIGKILL)
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".a.fits.") and left.name.endswith(".part")
    assert sweep(tmp_path) == [left] and list(tmp_path.iterdir()) == []


def test_reading_back_finds_what_the_disk_made_of_it(tmp_path):
    arrays = random_helpers.points(100)
    for reread in (True, False):
        made = io.create_random_fits(
            tmp_path / "a.fits", COLUMNS["full"], 100, random_helpers.product(), reread=reread
        )
        with pytest.raises(InputError, match="DATASUM") if reread else nullcontext(), made as table:
            table.take(io.write_rows(table.place, 0, arrays))
            with table.place.path.open("r+b") as stream:
                stream.seek(table.place.offset + 5)
                stream.write(b"\xff")
        assert (tmp_path / "a.fits").exists() is not reread
    assert "DATASUM" in io.check(tmp_path / "a.fits")[0]


def test_another_kind_and_unknown_keywords_are_refused(tmp_path):
    coverage = io_helpers.products()["coverage"]
    for product, message in (
        (coverage, "must be a random catalogue"),
        (random_helpers.product(NONE=1), "NONE"),
    ):
        made = io.create_random_fits(tmp_path / "a.fits", COLUMNS["full"], 1, product)
        with pytest.raises(InputError, match=message), made:
            pytest.fail("it was made")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"which": "minimal", "redshift": True}, "minimal catalogue must hold the position alone"),
        ({"bands": ("VIS", "vis")}, "differ by more than their case"),
        ({"maps": [io.RandomColumn("weight", "f4")]}, "differ by more than their case"),
        ({"maps": [io.RandomColumn("a", "i2")]}, "must be one of"),
        ({"maps": [io.RandomColumn(" a", "f4")]}, "name of printable ASCII"),
    ],
)
def test_columns_that_no_table_can_hold(options, message):
    with pytest.raises(InputError, match=message):
        io.random_columns(**options)
