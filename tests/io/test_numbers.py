"""Columns of numbers as tables of one's own: the same numbers from FITS, CSV and Parquet."""

import csv
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.table import Table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vmpz import io
from vmpz.errors import InputError
from vmpz.io.fits import verify
from vmpz.io.metadata import decode

FLOATS = st.floats(width=64, allow_nan=True, allow_infinity=False)


NAMES = ["102018211", "-", "", 'a "patch", quoted', "line\nend", "Pöl ~%"]


def test_names_come_back_from_every_form(tmp_path: Path) -> None:
    columns = {"area": np.array(NAMES), "number": np.arange(len(NAMES))}
    for end in ("fits", "csv", "parquet"):
        io.write_columns(tmp_path / f"table.{end}", columns, {}, {}, name="NAMES")
    verify(tmp_path / "table.fits")
    read = Table.read(tmp_path / "table.fits", hdu=1, character_as_bytes=False)["AREA"]
    assert [decode(text) for text in read.tolist()] == NAMES and read.tolist()[:2] == NAMES[:2]
    assert pq.read_table(tmp_path / "table.parquet")["area"].to_pylist() == NAMES
    with (tmp_path / "table.csv").open(newline="") as stream:
        assert [row["area"] for row in csv.DictReader(stream)] == NAMES


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(-(2**62), 2**62), FLOATS), min_size=1, max_size=20))
def test_every_form_gives_the_same_numbers_back(tmp_path: Path, rows: list[tuple[int, float]]) -> None:
    number, value = np.array([one for one, _ in rows], np.int64), np.array([one for _, one in rows])
    columns = {"number": number, "area_deg2": value}
    for end in ("fits", "csv", "parquet"):
        path = tmp_path / f"table.{end}"
        io.write_columns(path, columns, {"area_deg2": "deg2"}, {"BINSEL": "bright"}, name="NUMBERS")
        first = path.read_bytes()
        io.write_columns(path, columns, {"area_deg2": "deg2"}, {"BINSEL": "bright"}, name="NUMBERS")
        assert path.read_bytes() == first
    verify(tmp_path / "table.fits")
    table = Table.read(tmp_path / "table.fits", hdu=1)
    assert np.array_equal(table["NUMBER"], number) and np.array_equal(
        table["AREA_DEG2"], value, equal_nan=True
    )
    assert str(table["AREA_DEG2"].unit) == "deg2" and table.meta["BINSEL"] == "bright"
    parquet = pq.read_table(tmp_path / "table.parquet")
    assert np.array_equal(parquet["number"], number)
    assert np.array_equal(parquet["area_deg2"].to_numpy(), value, equal_nan=True)
    lines = (tmp_path / "table.csv").read_text().splitlines()
    assert lines[0] == "number,area_deg2"
    parts = [line.split(",") for line in lines[1:]]
    assert [int(one) for one, _ in parts] == number.tolist()
    assert np.array_equal([float(one or "nan") for _, one in parts], value, equal_nan=True)


def test_other_ends_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a table must end in \.fits, \.csv, \.parquet, found \.txt"):
        io.write_columns(tmp_path / "x.txt", {"a": np.zeros(1)}, {}, {}, name="A")
    assert not list(tmp_path.iterdir())
