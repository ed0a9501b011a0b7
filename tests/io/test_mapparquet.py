"""Maps as Parquet tables: nothing is lost, anybody reads them, damage is found."""

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
from vmpz.errors import InputError, MapMismatchError
from vmpz.io import mapparquet
from vmpz.parameters import MapParameters
from vmpz.sky.skymap import SkyMap

PRODUCTS = io_helpers.products()
MER = MapParameters(coverage_convention="MER")


@pytest.fixture
def path(tmp_path):
    return io.write_file(PRODUCTS["coverage"], tmp_path / "a.parquet")


@pytest.mark.parametrize("name", PRODUCTS)
def test_fits_to_parquet_and_back_is_the_same_file(name, tmp_path):
    first = io.write_file(PRODUCTS[name], tmp_path / "a.fits")
    table = io.convert(first, tmp_path / "b.parquet")
    assert io.read(table) == io.read(first)
    assert io.convert(table, tmp_path / "c.fits").read_bytes() == first.read_bytes()
    assert io.check(table) == []
    assert io.summary(table)["cells"] == len(io.read(first).map)


def test_a_published_name_and_no_descriptor(tmp_path):
    (path,) = io.write(PRODUCTS["depth"], tmp_path, "parquet")
    assert path.name == "EUC_LE3_VMPZ-ID_HPDEPTHMAP-102018211_20260314T150926.535897Z_0.12.parquet"
    assert io.read(path).key == PRODUCTS["depth"].key


@pytest.mark.parametrize("name", PRODUCTS)
def test_any_parquet_reader_finds_cells_and_values(name, tmp_path):
    product = PRODUCTS[name]
    table = pq.read_table(io.write_file(product, tmp_path / "a.parquet"))
    assert table.column_names == ["PIXEL", *product.maps]
    assert table.schema.field("PIXEL").type == pa.int64()
    expected = {"tile": pa.int64(), "mjd": pa.float64()}.get(name, pa.float32())
    assert table.schema.field("WEIGHT").type == expected
    assert np.array_equal(table["PIXEL"].to_numpy(), np.sort(CELLS))
    for column, one in product.maps.items():
        assert np.array_equal(
            table[column].to_numpy(), one.of_cells(np.sort(CELLS)).astype(expected.to_pandas_dtype())
        )
    told = table.schema.metadata
    assert (told[b"order"], told[b"nside"]) == (b"6", b"64")
    assert (told[b"ordering"], told[b"coordsys"]) == (b"NESTED", b"C")
    assert json.loads(told[b"vmpz.keywords"])["DEGRULE"]
    assert told.get(b"covconv") == (b"OBSERVED" if "cover" in name or name == "footprint" else None)


def test_rows_are_packed_and_come_in_groups(tmp_path, monkeypatch):
    whole = io.write_file(PRODUCTS["bitmask"], tmp_path / "a.parquet")
    monkeypatch.setattr(mapparquet, "GROUP", 7)
    path = io.write_file(PRODUCTS["bitmask"], tmp_path / "b.parquet")
    meta = pq.read_metadata(path)
    assert [meta.row_group(k).num_rows for k in range(meta.num_row_groups)] == [7, 7, 7, 7, 2]
    assert "DELTA_BINARY_PACKED" in meta.row_group(0).column(0).encodings
    assert "BYTE_STREAM_SPLIT" in meta.row_group(0).column(1).encodings
    assert meta.row_group(0).column(1).compression == "ZSTD"
    assert io.read(path) == io.read(whole)


def test_the_same_product_makes_the_same_bytes(path, tmp_path):
    assert io.write_file(PRODUCTS["coverage"], tmp_path / "b.parquet").read_bytes() == path.read_bytes()


@given(
    cells=st.dictionaries(st.integers(0, 12 * 4**14 - 1), st.floats(0, 1, width=32), max_size=60),
    mer=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_any_coverage_comes_back_to_the_bit_in_either_convention(tmp_path_factory, cells, mer):
    number = np.array(sorted(cells), np.int64)
    values = np.array([cells[one] for one in number.tolist()], np.float32)
    values[values < 2**-30] = 0  # see `vmpz.io.metadata`: what a complement keeps
    product = io_helpers.make(io_helpers.key("coverage", order=14), {"WEIGHT": values}, cells=number)
    maps = MapParameters(coverage_convention="MER" if mer else "OBSERVED", write_zeros=True)
    path = io.write_file(product, tmp_path_factory.mktemp("any") / "a.parquet", maps=maps)
    assert io.read(path).map == SkyMap(product.map.cells, values)
    assert io.read(path).map.values.dtype == np.float32


def test_the_mer_convention_is_named_and_exact(tmp_path):
    path = io.write_file(PRODUCTS["coverage"], tmp_path / "a.parquet", maps=MER)
    table = pq.read_table(path)
    assert table.schema.metadata[b"covconv"] == b"MER"
    assert table.schema.field("WEIGHT").type == pa.float64()
    assert np.array_equal(1 - table["WEIGHT"].to_numpy(), PRODUCTS["coverage"].map.values)
    assert io.read(path).map == PRODUCTS["coverage"].map
    assert "COVCONV" not in io.read(path).keywords
    partial = io_helpers.make(
        io_helpers.key("coverage"), {"WEIGHT": io_helpers.fractions()}, {"TILEAREA": 1e3}
    )
    with pytest.raises(MapMismatchError, match="must list every cell"):
        io.write_file(partial, tmp_path / "b.parquet", maps=MER)


def test_zeros_of_a_coverage_are_left_out_unless_asked_for(tmp_path):
    product = io_helpers.make(io_helpers.key("coverage"), {"WEIGHT": np.where(CELLS % 2, 0.0, 0.5)})
    short = io.write_file(product, tmp_path / "a.parquet")
    whole = io.write_file(product, tmp_path / "b.parquet", maps=MapParameters(write_zeros=True))
    assert len(io.read(short).map) == np.sum(CELLS % 2 == 0)
    assert len(io.read(whole).map) == CELLS.size


def test_a_map_without_cells_comes_back(tmp_path):
    none = io_helpers.make(io_helpers.key("depth"), {"WEIGHT": np.empty(0, np.float32)}, cells=[])
    back = io.read(io.write_file(none, tmp_path / "a.parquet"))
    assert len(back.map) == 0
    assert back.map.order == ORDER


# -- damage -------------------------------------------------------------------------------------------------


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(max_examples=150, deadline=None)
def test_a_flipped_bit_anywhere_is_found_or_of_no_effect(tmp_path_factory, place, bit):
    path = tmp_path_factory.mktemp("flip") / "a.parquet"
    io.write_file(PRODUCTS["coverage"], path)
    truth, whole = io.read(path), bytearray(path.read_bytes())
    whole[int(place * len(whole))] ^= 1 << bit
    path.write_bytes(whole)
    try:
        assert io.read(path) == truth
    except InputError as error:
        assert str(path) in str(error)


def test_a_flipped_bit_of_a_value_is_found(path):
    whole = bytearray(path.read_bytes())
    meta = pq.read_metadata(path)
    for column in range(meta.num_columns):
        chunk = meta.row_group(0).column(column)
        place = chunk.data_page_offset + chunk.total_compressed_size - 2
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(InputError, match="page checksums hold"):
            io.read(path)
        assert len(io.check(path)) == 1


@pytest.mark.parametrize("cut", [1, 8, 600, -3])
def test_a_cut_file_is_found(cut, path):
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(InputError, match=str(path)):
        io.read(path)


# -- tables of other software -------------------------------------------------------------------------------


def foreign(path, metadata, **columns):
    table = pa.table({"WEIGHT": [0.25, 0.5], "PIXEL": [9, 3], **columns})
    pq.write_table(table.replace_schema_metadata(metadata), path)
    return path


def test_a_table_of_others_is_a_map_if_it_says_its_order(tmp_path):
    path = foreign(tmp_path / "theirs.parquet", {"nside": "64"}, name=["a", "b"], other=[1, 2])
    product = io.read(path)
    assert product.map == SkyMap.from_cells(6, [3, 9], [0.5, 0.25])
    assert list(product.maps) == ["WEIGHT", "other"]
    assert (product.key.kind, product.key.area) == ("map", "theirs")
    named = "EUC_LE3_VMPZ-ID_HPCOVERAGE-12_20260314T150926.535897Z_0.12.parquet"
    assert io.read(foreign(tmp_path / named, {"order": "6"})).key.kind == "coverage"


@pytest.mark.parametrize(
    ("metadata", "columns", "said"),
    [
        ({}, {}, "must hold the order"),
        ({"nside": "63"}, {}, "must hold the order"),
        ({"order": "6", "nside": "32"}, {}, "must hold the order"),
        ({"order": "30"}, {}, "must hold the order"),
        ({"order": "six"}, {}, "must hold the order"),
        ({"order": "6", "ordering": "RING"}, {}, "ordering must be NESTED"),
        ({"order": "6", "coordsys": "G"}, {}, "coordsys must be C"),
        ({"order": "6"}, {"PIXEL": [3, 3]}, "listed once"),
        ({"order": "0"}, {"PIXEL": [3, 12]}, "inside"),
        ({"order": "6"}, {"PIXEL": [-1, 3]}, "inside"),
        ({"order": "6"}, {"PIXEL": [1.0, 3.0]}, "columns PIXEL"),
        ({"order": "6"}, {"WEIGHT": ["a", "b"]}, "columns PIXEL"),
        ({"order": "6"}, {"WEIGHT": None}, "columns PIXEL"),
    ],
)
def test_what_is_no_map_is_refused(metadata, columns, said, tmp_path):
    content = {name: values for name, values in columns.items() if values is not None}
    path = foreign(tmp_path / "a.parquet", metadata, **content)
    if None in columns.values():
        pq.write_table(pq.read_table(path).drop(["WEIGHT"]), path)
    with pytest.raises(InputError, match=said) as caught:
        io.read(path)
    assert str(path) in str(caught.value)
