"""Random catalogues as Parquet: the layout that HATS readers look for, the same bytes from any writers, or nothing."""

import resource

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import random_helpers
from random_helpers import some
from vmpz import io
from vmpz.errors import InputError
from vmpz.files.write import StorageError, write_whole_folder
from vmpz.io import hats
from vmpz.io.hats import Partition, partition_path

ROWS = 5000
FULL = io.random_columns()
ALL = io.random_columns(redshift=True, bands=("VIS",), size=True, classes=True)
MINIMAL = io.random_columns("minimal")


def content(folder):
    """Every file of a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_the_layout(tmp_path):
    arrays = random_helpers.points(ROWS)
    folder = random_helpers.write_hats(tmp_path / "hats", arrays)
    pixels = np.unique(arrays["HPIX_29"] >> 48).tolist()
    files = [f"dataset/Norder=5/Dir=0/Npix={pixel}.parquet" for pixel in pixels]
    others = ["partition_info.csv", "hats.properties", "properties", "dataset/_common_metadata"]
    assert sorted(content(folder)) == sorted([*files, *others])
    assert (folder / "partition_info.csv").read_text().startswith("Norder,Npix,num_rows,sha256\n5,")
    told = dict(line.split("=", 1) for line in (folder / "hats.properties").read_text().splitlines())
    wanted = {
        "obs_collection": "random_demo_bright", "dataproduct_type": "object", "hats_nrows": str(ROWS),
        "hats_col_ra": "RIGHT_ASCENSION", "hats_col_dec": "DECLINATION", "hats_col_healpix": "_healpix_29",
        "hats_col_healpix_order": "29", "hats_npix_suffix": ".parquet", "hats_order": "5",
        "hats_creation_date": "2026-03-14T15:09UTC", "vmpz_SEED": "18446744073709551615", "vmpz_HPXORDER": "14",
    }  # fmt: skip
    assert {name: told[name] for name in wanted} == wanted
    assert float(told["moc_sky_fraction"]) == len(pixels) / (12 * 4**5)
    for place, pixel in zip(files, pixels, strict=True):
        table = pq.read_table(folder / place, partitioning=None)
        assert table.column_names == ["_healpix_29", *(name for name in arrays if name != "HPIX_29")]
        inside = arrays["HPIX_29"] >> 48 == pixel
        assert np.array_equal(table["_healpix_29"], arrays["HPIX_29"][inside])
        assert np.array_equal(table["RIGHT_ASCENSION"], arrays["RIGHT_ASCENSION"][inside])
        assert table.schema.equals(pq.read_schema(folder / "dataset/_common_metadata"))


def test_ten_thousand_cells_share_a_folder():
    assert partition_path(8, 9_999) == "dataset/Norder=8/Dir=0/Npix=9999.parquet"
    assert partition_path(8, 10_000) == "dataset/Norder=8/Dir=10000/Npix=10000.parquet"
    assert partition_path(8, 786_431) == "dataset/Norder=8/Dir=780000/Npix=786431.parquet"


@pytest.mark.parametrize("columns", [FULL, ALL], ids=["full", "all"])
def test_how_it_is_encoded(columns, tmp_path):
    arrays = random_helpers.points(ROWS, columns=columns)
    path = random_helpers.write_parquet(tmp_path / "a.parquet", arrays, columns)
    group = pq.read_metadata(path).row_group(0)
    for number, one in enumerate(columns):
        chunk = group.column(number)
        assert chunk.path_in_schema == one.name and chunk.compression == "ZSTD"
        assert {"i": "DELTA_BINARY_PACKED", "f": "BYTE_STREAM_SPLIT"}[one.kind[0]] in chunk.encodings
        assert chunk.is_stats_set == (one.name in ("RIGHT_ASCENSION", "DECLINATION", "HPIX_29"))
    field = pq.read_schema(path).field("RIGHT_ASCENSION")
    assert field.metadata[b"unit"] == b"deg" and field.type == pa.float64()


def test_a_minimal_catalogue_has_the_index_all_the_same(tmp_path):
    names = ["HPIX_29", "RIGHT_ASCENSION", "DECLINATION"]
    arrays = {name: random_helpers.points(ROWS)[name] for name in names}
    folder = random_helpers.write_hats(tmp_path / "hats", arrays, MINIMAL)
    found = random_helpers.everything(folder)
    assert sorted(found) == sorted(names) and all(np.array_equal(found[name], arrays[name]) for name in names)
    assert io.check(folder) == []


def test_the_order_of_the_writers_leaves_no_trace(tmp_path):
    arrays = random_helpers.points(ROWS)
    wanted = content(random_helpers.write_hats(tmp_path / "one", arrays))
    of_rows = arrays["HPIX_29"] >> 48
    with write_whole_folder(tmp_path / "two") as folder:
        for _ in range(2):  # a worker that died is replaced by another
            partitions = [
                io.write_partition(
                    folder, 5, pixel, FULL, some(arrays, *np.searchsorted(of_rows, [pixel, pixel + 1]))
                )
                for pixel in np.unique(of_rows).tolist()
            ]
        io.finish_hats(folder, partitions, FULL, random_helpers.product())
    assert content(tmp_path / "two") == wanted


def test_partitions_of_several_orders(tmp_path):
    arrays = random_helpers.points(ROWS)
    index = arrays["HPIX_29"]
    cells = [(4, pixel) for pixel in np.unique(index >> 50).tolist()]
    cells = [*cells[1:], *((5, 4 * cells[0][1] + k) for k in range(4))]
    with write_whole_folder(tmp_path / "hats") as folder:
        partitions = []
        for order, pixel in cells:
            span = np.searchsorted(index, Partition(order, pixel, 0, 0, "").pixels_29)
            if span[1] > span[0]:
                partitions.append(io.write_partition(folder, order, pixel, FULL, some(arrays, *span)))
        io.finish_hats(folder, partitions, FULL, random_helpers.product())
    assert np.array_equal(random_helpers.everything(tmp_path / "hats")["HPIX_29"], index)
    assert io.check(tmp_path / "hats") == []


def test_nothing_at_all(tmp_path):
    folder = random_helpers.write_hats(tmp_path / "hats", random_helpers.points(0))
    assert io.open_random(folder).rows == 0 and io.check(folder) == []


# -- what is refused ------------------------------------------------------------------------------------------


@pytest.fixture
def arrays():
    return random_helpers.points(ROWS)


@pytest.fixture
def pixel(arrays):
    return int(arrays["HPIX_29"][ROWS // 2] >> 48)


def mine(arrays, pixel):
    return some(arrays, *np.searchsorted(arrays["HPIX_29"] >> 48, [pixel, pixel + 1]))


def test_partitions_that_are_none(arrays, pixel, tmp_path):
    rows = mine(arrays, pixel)
    faults = [
        (pixel + 1, rows, "must lie in"),
        (pixel, {name: array[::-1] for name, array in rows.items()}, "must ascend"),
        (pixel, some(rows, 0, 0), "must have rows"),
        (pixel, {**rows, "WEIGHT": rows["WEIGHT"].astype(np.float32)}, "WEIGHT must be float64"),
        (pixel, {**rows, "DECLINATION": rows["DECLINATION"] + 100}, "must lie in .-90"),
        (pixel, {name: array for name, array in rows.items() if name != "HPIX_29"}, "columns must be"),
    ]
    for where, held, message in faults:
        with pytest.raises(InputError, match=message):
            io.write_partition(tmp_path, 5, where, FULL, held)
    assert list(tmp_path.rglob("*.parquet")) == []


def test_partitions_must_be_those_that_were_written(arrays, pixel, tmp_path):
    def finish(*partitions):
        with write_whole_folder(tmp_path / "hats") as folder:
            one = io.write_partition(folder, 5, pixel, FULL, mine(arrays, pixel))
            for part in partitions:
                part(folder, one)
            io.finish_hats(folder, [one], FULL, random_helpers.product())

    def cut(folder, one):
        path = folder / partition_path(5, pixel)
        path.write_bytes(path.read_bytes()[:-1])

    finish()
    other = int(arrays["HPIX_29"][0] >> 48)
    before = content(tmp_path / "hats")
    for fault in (
        lambda folder, one: (folder / partition_path(5, pixel)).unlink(),
        lambda folder, one: (folder / "dataset" / "more").write_text("stray"),
        lambda folder, one: io.write_partition(folder, 5, other, FULL, mine(arrays, other)),
        cut,
    ):
        with pytest.raises(InputError, match=r"must have .* bytes as it was written"):
            finish(fault)
    assert content(tmp_path / "hats") == before and len(list(tmp_path.iterdir())) == 1


def test_partitions_must_be_disjoint(arrays, pixel, tmp_path):
    rows = mine(arrays, pixel)
    partitions = [io.write_partition(tmp_path, 5, pixel, FULL, rows)]
    partitions.append(io.write_partition(tmp_path, 4, pixel // 4, FULL, rows))
    with pytest.raises(InputError, match="must be disjoint"):
        io.finish_hats(tmp_path, partitions, FULL, random_helpers.product())


def test_the_system_refuses(arrays, pixel, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 12, hard))
    try:
        with pytest.raises(StorageError), write_whole_folder(tmp_path / "hats") as folder:
            io.write_partition(folder, 5, pixel, FULL, mine(arrays, pixel))
        with pytest.raises(StorageError):
            random_helpers.write_parquet(tmp_path / "a.parquet", arrays)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


# -- one file -------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 1000), max_size=6))
def test_how_rows_are_given_leaves_no_trace(tmp_path_factory, cuts):
    folder, arrays = tmp_path_factory.mktemp("any"), random_helpers.points(1000)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(hats, "GROUP", 300)
        one = random_helpers.write_parquet(folder / "one.parquet", arrays)
        many = random_helpers.write_parquet(folder / "many.parquet", arrays, cuts=sorted(cuts))
    assert one.read_bytes() == many.read_bytes()
    metadata = pq.read_metadata(one)
    assert [metadata.row_group(k).num_rows for k in range(metadata.num_row_groups)] == [300, 300, 300, 100]
    found = pq.read_table(one)
    assert all(np.array_equal(found[name], array) for name, array in arrays.items())


def test_arrays_may_be_used_again(tmp_path):
    arrays = random_helpers.points(100)
    wanted = random_helpers.write_parquet(tmp_path / "a.parquet", arrays).read_bytes()
    buffer = {name: array.copy() for name, array in some(arrays, 0, 50).items()}
    with io.create_random_parquet(tmp_path / "b.parquet", FULL, random_helpers.product()) as file:
        for start in (0, 50):
            for name, array in buffer.items():
                array[:] = arrays[name][start : start + 50]
            file.write(buffer)
    assert (tmp_path / "b.parquet").read_bytes() == wanted


def test_an_error_on_the_way_leaves_what_was_there(tmp_path):
    arrays = random_helpers.points(100)
    path = random_helpers.write_parquet(tmp_path / "a.parquet", arrays)
    before = path.read_bytes()
    wrong = {**arrays, "WEIGHT": arrays["WEIGHT"].astype(np.float32)}
    with (
        pytest.raises(InputError, match="WEIGHT must be float64"),
        io.create_random_parquet(path, FULL, random_helpers.product()) as file,
    ):
        file.write(arrays)
        file.write(wrong)
    with (
        pytest.raises(InputError, match="NONE"),
        io.create_random_parquet(path, FULL, random_helpers.product(NONE=1)),
    ):
        pytest.fail("it was made")
    assert content(tmp_path) == {"a.parquet": before}


def test_no_rows_in_one_file(tmp_path):
    path = random_helpers.write_parquet(tmp_path / "a.parquet", random_helpers.points(0))
    assert io.open_random(path).rows == 0 and io.check(path) == []
