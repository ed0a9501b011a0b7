"""The table of tiles in its three forms."""

import csv
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from pyarrow import parquet as pq

from store_helpers import fill, tile_key
from vmpz.errors import InputError
from vmpz.products import ProductKey
from vmpz.run.account import Account, Outcome
from vmpz.run.overview.content import Overview
from vmpz.run.overview.gather import overview_of
from vmpz.run.overview.table import parts_columns, parts_csv, write_parts
from vmpz.run.store import Store

KEYS = {
    "Tile_VALUE": ProductKey("-", "info", "Tile", "VALUE"),
    "MJD_MEAN": ProductKey("-", "info", "MJD", "MEAN"),
    "depth": ProductKey("-", "depth"),
}


@pytest.fixture(scope="module")
def overview(tmp_path_factory: pytest.TempPathFactory) -> Overview:
    store = Store(tmp_path_factory.mktemp("table") / "s")
    fill(store, (20000, 20001), order=8)
    account = Account()
    account.add([Outcome(tile_key(9, "depth"), "FAILED", "no")])
    account.write(store.root)
    return overview_of(store)


def test_csv_says_what_the_rows_say(overview: Overview) -> None:
    rows = list(csv.DictReader(StringIO(parts_csv(overview))))
    assert [(row["area"], row["band"]) for row in rows] == [(one.area, one.band) for one in overview.parts]
    assert len(rows) == 5 and {"depth_mag", "coverage", "Noise_RMSQ", "area_deg2"} <= set(rows[0])
    for row, one in zip(rows, overview.parts, strict=True):
        assert row["area_deg2"] == repr(float(f"{one.area_deg2:.8g}")) and int(row["missing"]) == one.missing
        observed = "" if one.observed_deg2 is None else repr(float(f"{one.observed_deg2:.8g}"))
        assert (row["hole_deg2"], row["observed_deg2"]) == ("", observed)
        assert row["depth_mag"] == (repr(float(f"{one.values['depth']:.7g}")) if one.values else "")
        assert row["lon_deg"] == ("" if np.isnan(one.lon_deg) else repr(round(one.lon_deg, 6)))
        assert all(len(text) <= 12 for text in row.values())


@pytest.mark.parametrize("end", ["parquet", "fits"])
def test_files_hold_the_same_columns(overview: Overview, tmp_path: Path, end: str) -> None:
    path = tmp_path / f"tiles.{end}"
    write_parts(overview, path)
    columns, units = parts_columns(overview)
    if end == "parquet":
        table = pq.read_table(path)
        found = {name: table[name].to_numpy() for name in table.column_names}
        assert table.schema.field("depth_mag").metadata == {b"unit": b"mag"} and units["depth_mag"] == "mag"
    else:
        read = Table.read(path, character_as_bytes=False)
        found = {name: np.asarray(read[name.upper()]) for name in columns}
        assert str(read["DEPTH_MAG"].unit) == "mag" and read.meta["EXTNAME"] == "TILES"
    assert list(found) == list(columns)
    for name, values in columns.items():
        assert np.array_equal(found[name], values, equal_nan=values.dtype.kind == "f"), name


def test_a_csv_file_is_the_text(overview: Overview, tmp_path: Path) -> None:
    write_parts(overview, tmp_path / "tiles.csv")
    assert (tmp_path / "tiles.csv").read_text() == parts_csv(overview)


def test_no_rows_are_a_table_without_rows(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    nothing = overview_of(Store(tmp_path / "s"))
    for end in ("csv", "parquet", "fits"):
        write_parts(nothing, tmp_path / f"a.{end}")
    assert parts_csv(nothing).startswith("area,band,lon_deg") and len(parts_csv(nothing).splitlines()) == 1
    assert pq.read_table(tmp_path / "a.parquet").num_rows == 0 and len(Table.read(tmp_path / "a.fits")) == 0


def test_another_end_is_refused(overview: Overview, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must end in"):
        write_parts(overview, tmp_path / "a.txt")


def test_numbers_keep_what_tells_them_apart(overview: Overview) -> None:
    values = {"Tile_VALUE": 102018211.0, "MJD_MEAN": 60604.162345, "depth": 25.12345678}
    told = replace(overview, parts=[replace(overview.parts[0], values=values, lon_deg=359.99999999)])
    maps = [replace(told.maps[0], name=name, key=key, unit="") for name, key in KEYS.items()]
    (row,) = csv.DictReader(StringIO(parts_csv(replace(told, maps=maps))))
    assert (row["Tile_VALUE"], row["MJD_MEAN"], row["depth"]) == ("102018211.0", "60604.1623", "25.12346")
    assert row["lon_deg"] == "0.0"
