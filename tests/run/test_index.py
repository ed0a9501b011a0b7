"""The index: the manifests and nothing else, whatever happens to its file."""

import json
import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mocpy import MOC

from store_helpers import KEY, fill, provenance, put_map, sky_map, tile_key, writer
from vmpz.cli import _status_of
from vmpz.errors import InputError
from vmpz.files import remote
from vmpz.run import index as module
from vmpz.run.index import Index
from vmpz.run.store import Store
from vmpz.run.summaries import _extent, cover_of
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.regions import Polygon, cells_inside

OLD = 10**18  # year 2001, in ns: older than any grace
Rows = list[dict[str, Any]]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two tiles, two bands, four kinds; stamps are old."""
    store = Store(tmp_path / "s")
    fill(store, [20000, 20001], order=9)
    age(store)
    return store


def age(store: Store, by: int = 0) -> None:
    """Give all areas old stamps."""
    for number, path in enumerate(sorted(store.root.iterdir())):
        if path.is_dir():
            os.utime(path, ns=(OLD + by + number, OLD + by + number))


def rows_of(store: Store, **asked: Any) -> Rows:
    with Index(store) as index:
        return list(index.rows(**asked))


def from_manifests(store: Store) -> Rows:
    """The slow way: an index in memory, nothing kept."""
    base = module._up_to_date(":memory:", store, False)
    index = object.__new__(Index)
    index._store, index._base = store, base
    with index:
        return list(index.rows())


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Areas whose manifests are read."""
    seen: list[str] = []
    real = Store.entries_of

    def noting(self: Store, top: str) -> Iterator[Any]:
        seen.append(top)
        return real(self, top)

    monkeypatch.setattr(Store, "entries_of", noting)
    return seen


# -- content ----------------------------------------------------------------------------------------------------------


def test_rows_say_what_manifests_say(store: Store) -> None:
    rows, entries = rows_of(store), list(store.entries())
    assert [row["key"] for row in rows] == [entry.key.text for entry in entries] and len(rows) == 16
    for row, entry in zip(rows, entries):
        product = entry.summary
        assert (row["area"], row["kind"], row["band"], row["order"], row["release"]) == (
            entry.key.area, entry.key.kind, entry.key.band, 9, "0.1",
        )  # fmt: skip
        assert (row["digest"], row["state"], row["level"]) == (entry.digest, "DONE", "tile")
        assert row["file"] == entry.files[0]["name"] and row["bytes"] == sum(
            one["size"] for one in entry.files
        )
        assert row["created"].startswith("2026-01-01T00:00:00")
        assert {name: row[name] for name in product} == product


def test_summaries_are_those_of_the_maps(store: Store) -> None:
    for kind, unit in (("coverage", ""), ("depth", "mag")):
        one = sky_map(20001, 9, seed=1)
        row = next(row for row in rows_of(store, kinds=[kind], bands=["NIR_H"], areas=["20001"]))
        low = 24 if kind == "depth" else 0
        assert row["cells"] == len(one) and row["unit"] == unit
        assert row["area_deg2"] == pytest.approx(one.cells.area_deg2)
        assert row["minimum"] == pytest.approx(one.values.min() + low, abs=1e-5)
        assert row["maximum"] == pytest.approx(one.values.max() + low, abs=1e-5)
        assert row["mean"] == pytest.approx(one.values.mean() + low, abs=1e-5)
        assert row["observed_area_deg2"] == (
            pytest.approx(one.integral_deg2()) if kind == "coverage" else None
        )


def test_envelope_and_cover_hold_every_cell(store: Store) -> None:
    for row in rows_of(store, kinds=["coverage"]):
        cells = sky_map(int(row["area"]), 9, seed=0 if row["band"] == "VIS" else 1).cells
        words = row["envelope"].removeprefix("Polygon ICRS ").split()
        polygon = np.array(words, float).reshape(-1, 2)
        assert not cells.at_order(12) - cells_inside(Polygon(polygon), 12)
        region = CellSet.from_moc(MOC.from_stcs(row["envelope"], 12), 12)
        assert not cells.at_order(12) - region and region.area_deg2 < 1.5 * hpx.cell_area_deg2(6)
        cover = cover_of(row["cover"])
        assert cover == cells.at_order(cover.order) and len(cover) <= 32


@pytest.mark.parametrize("cells", [[], [0], [5, 90, 700], list(range(768))])
def test_covers_of_any_extent_are_short(cells: list[int]) -> None:
    told = _extent(CellSet.from_cells(3, cells))
    cover = cover_of(told["cover"])
    assert len(cover) <= 32 and cover == CellSet.from_cells(3, cells).at_order(cover.order)
    if not cells:
        assert told["envelope"] is None
        return
    assert CellSet.from_moc(MOC.from_string(told["cover"]), cover.order) == cover
    region = CellSet.from_moc(MOC.from_stcs(told["envelope"], 9), 9)
    missing = (
        CellSet.from_cells(3, cells).at_order(9) - region
    )  # between corners, cells of a wide set may bulge
    assert missing.area_deg2 <= (1e-2 * region.area_deg2 if "Union" in told["envelope"] else 0.0)


def test_rows_are_chosen_by_kind_band_area_and_level(store: Store) -> None:
    patch = replace(tile_key(0, "depth", order=9), area="north")
    put_map(store, patch, sky_map(20000, 9), recipe="merge")
    assert len(rows_of(store, kinds=["depth"])) == 5
    assert len(rows_of(store, kinds=["depth", "info"], bands=["VIS"])) == 5
    assert [row["area"] for row in rows_of(store, level="patch")] == ["north"]
    assert {row["area"] for row in rows_of(store, level="tile")} == {"20000", "20001"}
    assert rows_of(store, kinds=["depth"], areas=["north"])[0]["recipe"] == "merge"
    assert rows_of(store, kinds=[]) == [] and rows_of(store, bands=["X' OR '1'='1"]) == []


def test_names_stay_values(tmp_path: Path) -> None:
    store = Store(tmp_path)
    names = ["'; DROP TABLE products; --", "-rf", " ", "Ä\u2028", '"', "%", "a/../b", ".hidden"]
    for name in names:
        store.put(replace(KEY, area=name, band=name, release=name), provenance(), writer("a.fits", "one"))
    assert sorted(row["area"] for row in rows_of(store)) == sorted(names)
    for name in names:
        (row,) = rows_of(store, areas=[name], bands=[name])
        assert (row["area"], row["band"], row["release"]) == (name, name, name)


def test_products_without_a_summary_are_listed(tmp_path: Path) -> None:
    Store(tmp_path).put(KEY, provenance(), writer("a.fits", "one"))
    (row,) = rows_of(Store(tmp_path))
    assert row["cells"] is None and row["envelope"] is None and row["cover"] is None and row["bytes"] == 3


def test_a_store_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for name, found in (("no", "nothing"), ("file", "a file")):
        with pytest.raises(InputError, match=f"must be a store, found {found}"):
            Index(Store(tmp_path / name))


# -- freshness --------------------------------------------------------------------------------------------------------


def test_manifests_are_read_only_where_something_changed(store: Store, reading: list[str]) -> None:
    rows = rows_of(store)
    assert reading == ["20000", "20001"]
    assert rows_of(store) == rows and reading == ["20000", "20001"]
    put_map(store, tile_key(20001, "depth", "J", order=9), sky_map(20001, 9))
    assert len(rows_of(store)) == 17 and reading == ["20000", "20001", "20001"]


def test_a_young_stamp_is_not_trusted(store: Store, reading: list[str]) -> None:
    """A manifest that lands after its stamp was seen is found, though nothing tells of it any more."""
    os.utime(store.root / "20001")
    stamp = (store.root / "20001").stat().st_mtime_ns
    (folder,) = (store.root / "20001").glob("*depth*NIR_H*")
    shutil.move(folder, store.root.parent / "aside")
    os.utime(store.root / "20001", ns=(stamp, stamp))
    assert len(rows_of(store)) == 15
    shutil.move(store.root.parent / "aside", folder)
    os.utime(store.root / "20001", ns=(stamp, stamp))
    assert len(rows_of(store)) == 16


def test_folders_that_are_removed_or_brought_by_hand_are_seen(store: Store) -> None:
    assert len(rows_of(store)) == 16
    (folder,) = (store.root / "20001").glob("*depth*NIR_H*")
    shutil.rmtree(folder)
    assert len(rows_of(store)) == 15
    shutil.rmtree(store.root / "20000")
    assert {row["area"] for row in rows_of(store)} == {"20001"}


def test_rebuild_reads_everything(
    store: Store, reading: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    rows_of(store)
    path = next((store.root / "20000").glob("*depth*VIS*/manifest.json"))
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "state": "EMPTY"}))
    assert {row["state"] for row in rows_of(store)} == {"DONE"}
    reading.clear()
    assert _status_of(["list", str(store.root), "--rebuild", "--json"]) == 0
    states = [row["state"] for row in json.loads(capsys.readouterr().out)]
    assert sorted(states) == ["DONE"] * 15 + ["EMPTY"] and reading == ["20000", "20001"]


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["put", "remake", "remove", "read", "rebuild"]),
        st.sampled_from(["1", "2", "north"]),
        st.sampled_from(["VIS", "H"]),
    ),
    max_size=12,
)


@given(OPERATIONS, st.booleans())
@settings(max_examples=25, deadline=None)
def test_the_index_is_that_of_the_manifests_whatever_happened(
    operations: list[tuple[str, ...]], old: bool
) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        store.root.mkdir(exist_ok=True)
        for number, (what, area, band) in enumerate(operations):
            key = replace(KEY, area=area, band=band)
            if what in ("put", "remake"):
                source = provenance(snr=5 if what == "put" else number)
                store.put(key, source, writer("a.fits", f"{number}"), summary={"cells": number})
            elif what == "remove":
                shutil.rmtree(store.folder(key), ignore_errors=True)
            elif what == "rebuild":
                Index(store, rebuild=True).close()
            if old and what != "read" and (store.root / area).exists():
                stamp = OLD + number
                os.utime(store.root / area, ns=(stamp, stamp))
            assert what != "read" or rows_of(store) == from_manifests(store)
        assert rows_of(store) == from_manifests(store)


# -- 47: deleted, corrupted, locked -----------------------------------------------------------------------------------


def remove(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def overwrite_middle(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096 : len(content) - 4096] = os.urandom(len(content) - 8192)
    path.write_bytes(bytes(content))


def zero_a_page(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[8192:12288] = bytes(4096)
    path.write_bytes(bytes(content))


def put_text(path: Path) -> None:
    path.write_text("this is no database at all, but long enough to be taken for one" * 100)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def put_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def leave_journal(path: Path) -> None:
    path.with_name("index.sqlite-journal").write_bytes(os.urandom(5000))
    put_text(path)


def other_version(path: Path) -> None:
    with sqlite3.connect(path) as base:
        base.executescript("DROP TABLE products; CREATE TABLE products (x); PRAGMA user_version = 99")


@pytest.mark.parametrize(
    "damage",
    [remove, cut, overwrite_middle, zero_a_page, put_text, empty, put_folder, leave_journal, other_version],
)
def test_a_damaged_index_is_made_again(store: Store, damage: Callable[[Path], None]) -> None:
    rows = rows_of(store)
    path = store.root / "index.sqlite"
    damage(path)
    assert rows_of(store) == rows and len(rows) == 16
    assert rows_of(store) == rows
    if damage is not put_folder:
        with sqlite3.connect(path) as base:
            assert base.execute("SELECT count(*) FROM products").fetchone() == (16,)


def test_a_locked_index_hinders_nobody(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.05)
    rows = rows_of(store)
    age(store, by=1000)
    base = sqlite3.connect(store.root / "index.sqlite", isolation_level=None)
    base.execute("BEGIN EXCLUSIVE")
    assert rows_of(store) == rows
    base.execute("ROLLBACK")
    base.close()
    assert rows_of(store) == rows


def test_readers_do_not_wait_for_each_other(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.05)
    with Index(store) as one, Index(store) as other:
        assert list(one.rows()) == list(other.rows())


def test_a_killed_writer_leaves_a_whole_index(store: Store) -> None:
    rows = rows_of(store)
    for attempt in range(12):
        child = os.fork()
        if not child:
            try:
                while True:
                    Index(store, rebuild=True).close()
            finally:
                os._exit(1)
        time.sleep(0.004 * attempt)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert rows_of(store) == rows


# -- object stores ----------------------------------------------------------------------------------------------------


def test_an_object_store_is_indexed_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reading: list[str]
) -> None:
    monkeypatch.setenv("VMPZ_CACHE", str(tmp_path / "cache"))
    remote.cache_folder.cache_clear()
    store = Store(f"memory://{uuid4().hex}/s")
    with pytest.raises(InputError, match="found nothing"):
        Index(store)
    fill(store, [20000, 20001], ["VIS"], order=9)
    rows = rows_of(store)
    assert len(rows) == 8 and list(tmp_path.rglob("index.sqlite"))
    monkeypatch.setattr(module, "GRACE_S", -1.0)
    assert rows_of(store) == rows
    reading.clear()
    assert rows_of(store) == rows and reading == []
    put_map(store, tile_key(20001, "depth", "J", order=9), sky_map(20001, 9))
    assert len(rows_of(store)) == 9 and reading == ["20001"]
    remote.cache_folder.cache_clear()


def test_areas_without_a_stamp_are_always_read(reading: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE_S", -1.0)
    store = Store(f"memory://{uuid4().hex}/s")
    fill(store, [20000], ["VIS"], order=9)
    store.place.remove(list(store.place.sizes(".changed")))
    assert len(rows_of(store)) == len(rows_of(store)) == 4 and reading == ["20000", "20000"]
