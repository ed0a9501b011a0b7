import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import io_helpers
from io_helpers import CELLS, ORDER
from vmpz import io
from vmpz.errors import InputError
from vmpz.products import Product
from vmpz.sky.cells import CellSet
from vmpz.statistics import CellStatistics


def statistics(seed=11):
    rng = np.random.default_rng(seed)
    columns = {
        "geom": rng.random(CELLS.size),
        "found": rng.integers(0, 20_000, CELLS.size),
        "bit.07": rng.integers(0, 2**40, CELLS.size),
        "good.INVALID,SAT": rng.integers(0, 20_000, CELLS.size),
        "RMS.good.mean": np.where(rng.random(CELLS.size) < 0.2, np.nan, rng.normal(size=CELLS.size)),
    }
    scalars = {
        "rms_max": 1e6,
        "pixels": np.int64(144_000_000),
        "stray": 0,
        "note": "x",
        "stray_bits": 1 << 31,
    }
    return CellStatistics(CellSet.from_cells(ORDER, CELLS), columns, scalars)


def product(table):
    return Product(
        io_helpers.key("statistics"),
        table=table,
        keywords={"BITTABLE": "vis"},
        provenance=io_helpers.provenance(),
    )


@pytest.fixture
def path(tmp_path):
    (path,) = io.write(product(io.statistics_table(statistics())), tmp_path, "parquet")
    return path


def test_statistics_come_back_exactly(path):
    truth, back = statistics(), io.read(path)
    assert path.name == "EUC_LE3_VMPZ-ID_CELLSTATISTICS-102018211_20260314T150926.535897Z_0.12.parquet"
    assert back.key == io_helpers.key("statistics")
    assert back.keywords == {"BITTABLE": "vis", "PRODDIG": io_helpers.provenance().digest}
    found = io.read_statistics(back.table)
    assert found.cells == truth.cells
    assert found.scalars == truth.scalars
    assert list(found.columns) == list(truth.columns)
    for name, values in truth.columns.items():
        assert found.columns[name].dtype == values.dtype
        assert np.array_equal(found.columns[name], values, equal_nan=values.dtype.kind == "f")
    assert io.check(path) == []


def test_any_parquet_reader_finds_cells_and_columns(path):
    table = pq.read_table(path)
    assert table["cell"].to_pylist() == sorted(CELLS.tolist())
    assert json.loads(table.schema.metadata[b"vmpz.scalars"])["pixels"] == 144_000_000


def test_the_same_product_makes_the_same_bytes(path, tmp_path):
    again = tmp_path / "again.parquet"
    io.write_file(product(io.statistics_table(statistics())), again)
    assert again.read_bytes() == path.read_bytes()


def test_any_table_comes_back(tmp_path):
    table = pa.table({"row": pa.array([0, 1], pa.int32()), "bits": pa.array([b"\0\1", b""], pa.binary())})
    table = table.replace_schema_metadata({"shape": "2 16"})
    key = io_helpers.key("goodpixels")
    path = io.write_file(Product(key, table=table), tmp_path / "g.parquet")
    back = io.read(path)
    assert back.table.equals(table, check_metadata=True)
    assert back.key == key
    assert io.summary(path)["cells"] is None


@given(st.lists(st.floats(width=64), max_size=40), st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_floats_keep_every_bit(tmp_path_factory, values, seed):
    array = np.array(values)
    table = pa.table({"x": array})
    path = tmp_path_factory.mktemp("any") / "a.parquet"
    io.write_file(product(table), path)
    assert io.read(path).table["x"].to_numpy().tobytes() == array.tobytes()


def test_a_flipped_bit_of_any_page_is_found(path):
    whole = path.read_bytes()
    meta = pq.read_metadata(path)
    column = meta.row_group(0).column(0)
    for number in range(meta.num_columns):
        column = meta.row_group(0).column(number)
        end = column.data_page_offset + column.total_compressed_size
        path.write_bytes(whole[: end - 2] + bytes([whole[end - 2] ^ 1]) + whole[end - 1 :])
        with pytest.raises(InputError, match="page checksums hold"):
            io.read(path)
        assert len(io.check(path)) == 1


@pytest.mark.parametrize("cut", [1, 8, 500, -3])
def test_a_cut_file_is_found(cut, path):
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(InputError, match=str(path)):
        io.read(path)


def test_tables_of_others_are_refused(tmp_path):
    path = tmp_path / "other.parquet"
    pq.write_table(pa.table({"x": [1]}), path)
    with pytest.raises(InputError, match="product key"):
        io.read(path)
    with pytest.raises(InputError, match="a column cell"):
        io.read_statistics(pa.table({"x": [1]}))


def test_a_product_of_nothing_is_refused(tmp_path):
    with pytest.raises(InputError, match="only a product with maps or a table"):
        io.write_file(Product(io_helpers.key("statistics")), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="must end in"):
        io.write_file(io_helpers.products()["depth"], tmp_path / "a.png")
