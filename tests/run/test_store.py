"""The store: a product exists whole or not at all, and only by its manifest, in a folder as on an object store."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store_helpers import KEY, provenance, writer
from vmpz.errors import InputError, MissingProductError, VmpzError
from vmpz.files import locks, places
from vmpz.files.write import StorageError, write_text
from vmpz.products import ProductKey
from vmpz.run.store import MANIFEST, Store


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A new store in a folder, and on an object store in memory."""
    monkeypatch.setattr(locks, "SETTLE_S", 0.0)
    return Store(tmp_path / "s" if request.param == "folder" else f"memory://{uuid4().hex}/s")


def names_in(store: Store) -> list[str]:
    """All files of the products."""
    return sorted(name for top in store.place.stamps() for name in store.place.sizes(top))


def overwrite(store: Store, name: str, content: bytes) -> None:
    """Change a file behind the back of the store."""
    store.place.write(name, content)


@given(
    st.text(st.characters(blacklist_categories=["Cs"]), min_size=1),
    st.text(st.characters(blacklist_categories=["Cs"])),
)
def test_keys_survive_their_text_form(area: str, band: str) -> None:
    key = ProductKey(area, "info", "Noise", "RMSQ", "-", "VIS", band, 12, "0.1")
    assert ProductKey.parse(key.text) == key
    assert not set("/\0'\\ \n") & set(key.text) and not key.text.startswith(".")


def test_a_product_exists_when_its_manifest_does(store: Store) -> None:
    assert store.entry(KEY) is None and not store.has(KEY) and not store.exists()
    entry = store.put(KEY, provenance(snr=5), writer("a.fits", "one"), summary={"cells": 3})
    assert store.entry(KEY) == entry and store.has(KEY) and store.exists()
    assert entry.digest == provenance(snr=5).digest
    assert entry.summary == {"cells": 3}
    assert entry.faults() == []
    assert entry.path(".fits").read_text() == "one"
    assert entry.location().endswith(f"{KEY.text}/a.fits")
    overwrite(store, "x/notes.txt", b"mine")
    assert [one.key for one in store.entries()] == [KEY]


def test_entries_come_in_key_order(store: Store) -> None:
    keys = [
        replace(KEY, area=area, band=band)
        for area in ("2", "10", "a~b", "Ä", "it's; DROP")
        for band in ("VIS", "H")
    ]
    for key in reversed(keys):
        store.put(key, provenance(), writer("a.fits", "one"))
    assert [one.key for one in store.entries()] == sorted(keys)


def test_a_remade_product_replaces_the_old_files(store: Store) -> None:
    store.put(KEY, provenance(snr=5), writer("a.fits", "one"))
    entry = store.put(KEY, provenance(snr=3), writer("b.fits", "two"))
    assert [name.rpartition("/")[2] for name in names_in(store)] == ["b.fits", MANIFEST]
    again = store.put(KEY, provenance(snr=2), writer("b.fits", "six"))
    assert again.path().read_text() == "six" and again != entry and again.faults() == []


def test_the_old_product_stays_when_writing_fails(store: Store) -> None:
    old = store.put(KEY, provenance(snr=5), writer("a.fits", "one"))

    def broken(folder: Path) -> list[Path]:
        write_text(folder / "a.fits", "two")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        store.put(KEY, provenance(snr=3), broken)
    assert store.entry(KEY) == old and old.faults() == []
    assert len(names_in(store)) == 2
    assert store.sweep() == []


def test_altered_and_missing_files_are_told(store: Store) -> None:
    entry = store.put(KEY, provenance(), writer("a.fits", "one"))
    name = f"{store.below(KEY)}/a.fits"
    overwrite(store, name, b"eno")
    assert "altered" in entry.faults()[0] and "a.fits" in entry.faults()[0]
    overwrite(store, name, b"longer")
    assert "size must be 3" in entry.faults()[0] and store.entry(KEY) is None
    store.place.remove([name])
    assert "missing" in entry.faults()[0]
    assert store.entry(KEY) is None and store.has(KEY)
    assert list(store.broken()) == [str(store.place.at(store.below(KEY)))]


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "\udcff",
        json.dumps({"key": 3}),
        json.dumps(
            {"key": {"area": "1", "kind": "x"}, "state": "DONE", "digest": "", "files": [3], "provenance": {}}
        ),
    ],
)
def test_a_broken_manifest_names_nothing(store: Store, content: str) -> None:
    store.put(KEY, provenance(), writer("a.fits", "one"))
    overwrite(store, f"{store.below(KEY)}/{MANIFEST}", content.encode("utf-8", "surrogateescape"))
    assert store.entry(KEY) is None and list(store.entries()) == []
    assert len(list(store.broken())) == 1
    assert len(store.sweep()) == 2 and names_in(store) == []


@pytest.mark.parametrize("name", ["../other/a.fits", "/etc/passwd", "x/../../a.fits"])
def test_a_manifest_that_names_files_of_others_names_nothing(tmp_path: Path, name: str) -> None:
    store = Store(tmp_path)
    store.put(KEY, provenance(), writer("a.fits", "one"))
    path = store.folder(KEY) / MANIFEST
    told = json.loads(path.read_text())
    told["files"] = [{"name": name, "size": 3, "sha256": "x"}]
    path.write_text(json.dumps(told))
    assert store.entry(KEY) is None


# -- folders of files -------------------------------------------------------------------------------------------------


def hips(*names: str):
    """Writes files into a folder of a product's folder and returns the folder."""

    def write(folder: Path) -> list[Path]:
        for name in names:
            write_text(folder / "map.hips" / name, name)
        write_text(folder / "map.xml", "about it")
        return [folder / "map.xml", folder / "map.hips"]

    return write


def test_a_product_may_hold_folders(store: Store) -> None:
    entry = store.put(
        KEY, provenance(), hips("properties", "Norder3/Dir0/Npix1.fits", "Norder3/Dir0/Npix2.fits")
    )
    assert [item["name"] for item in entry.files] == [
        "map.xml",
        "map.hips/Norder3/Dir0/Npix1.fits",
        "map.hips/Norder3/Dir0/Npix2.fits",
        "map.hips/properties",
    ]
    folder = entry.path(".hips")
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == [
        "Npix1.fits", "Npix2.fits", "properties",
    ]  # fmt: skip
    assert entry.path("Npix2.fits").read_text() == "Norder3/Dir0/Npix2.fits"
    assert entry.path().name == "map.xml" and entry.faults() == []
    with pytest.raises(MissingProductError, match=r"no file \*\.moc"):
        entry.path(".moc")
    overwrite(store, f"{store.below(KEY)}/map.hips/Norder3/Dir0/Npix3.fits", b"of nobody")
    assert len(store.sweep()) == 1
    store.put(KEY, provenance(snr=3), hips("properties"))
    assert [name.rpartition("~")[2] for name in names_in(store)] == [
        f"0.1/{MANIFEST}", "0.1/map.hips/properties", "0.1/map.xml",
    ]  # fmt: skip
    assert sorted(path.name for path in store.entry(KEY).path(".hips").iterdir()) == ["properties"]


def test_folders_of_old_files_go_with_them(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put(KEY, provenance(), hips("Norder3/Dir0/Npix1.fits"))
    store.put(KEY, provenance(snr=3), writer("a.fits", "one"))
    assert sorted(path.name for path in store.folder(KEY).iterdir()) == ["a.fits", MANIFEST]


# -- sweeping ---------------------------------------------------------------------------------------------------------


def test_what_no_manifest_names_is_swept(store: Store) -> None:
    store.put(KEY, provenance(), writer("a.fits", "one"))
    other = replace(KEY, band="H")
    overwrite(store, f"{store.below(other)}/b.fits", b"half a product")
    overwrite(store, f"{store.below(KEY)}/c.fits", b"left over")
    assert len(store.sweep()) == 2
    assert store.entry(KEY).faults() == [] and len(names_in(store)) == 2


def test_folders_of_others_are_not_swept(store: Store) -> None:
    overwrite(store, "x/notes~old/keep.txt", b"mine")
    overwrite(store, "x/keep.txt", b"mine")
    assert store.sweep() == [] and len(names_in(store)) == 2


def test_killed_writers_leave_nothing_under_a_final_name(tmp_path: Path) -> None:
    """Kill a process that writes again and again, at many moments: every named file is whole."""
    code = (
        "import sys; from pathlib import Path\n"
        "from vmpz.files.write import StorageError, write_text\n"
        "print('ready', flush=True)\n"
        "n = 0\n"
        "while True:\n"
        "    write_text(Path(sys.argv[1]) / 'a.txt', str(n % 10) * 200_000); n += 1\n"
    )
    for attempt in range(6):
        child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
        assert child.stdout is not None and child.stdout.readline()
        try:
            child.wait(timeout=0.02 + 0.013 * attempt)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        child.stdout.close()
        path = tmp_path / "a.txt"
        if path.exists():
            text = path.read_text()
            assert len(text) == 200_000 and len(set(text)) == 1
    Store(tmp_path).sweep()
    assert not list(tmp_path.glob(".*.part"))


# -- the lock ---------------------------------------------------------------------------------------------------------


def test_a_second_run_is_refused_and_a_dead_one_taken_over(store: Store) -> None:
    import socket

    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        overwrite(store, ".lock", f"{child.pid} {socket.gethostname()} now x".encode())
        with pytest.raises(VmpzError, match=f"process {child.pid}"), store.lock():
            pass
    finally:
        child.kill()
        child.wait()
    overwrite(store, ".lock", f"{child.pid} {socket.gethostname()}".encode())
    with store.lock():
        assert store.read_text(".lock").startswith(str(os.getpid()))
    assert store.read_text(".lock") is None


def test_a_lock_of_another_host_is_held_whatever_its_number(store: Store) -> None:
    overwrite(store, ".lock", f"{os.getpid()} elsewhere".encode())
    with pytest.raises(VmpzError, match=r"on elsewhere|holds this store"), store.lock():
        pass


def test_a_lock_without_a_name_is_one_that_is_just_taken(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text("")
    with pytest.raises(VmpzError, match="is taking this store"), Store(tmp_path).lock():
        pass
    os.utime(tmp_path / ".lock", (0, 0))
    with Store(tmp_path).lock():
        pass
    assert not list(tmp_path.iterdir())


def test_of_two_that_lock_an_object_store_at_once_one_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one writes its lock while ours settles: ours was overwritten, so we give way."""
    store = Store(f"memory://{uuid4().hex}/s")
    monkeypatch.setattr(locks.time, "sleep", lambda _: overwrite(store, ".lock", b"7 elsewhere now x"))
    with (
        pytest.raises(VmpzError, match="is taking this store: process 7 on elsewhere since now"),
        store.lock(),
    ):
        pass
    assert store.read_text(".lock") == "7 elsewhere now x"


def test_a_lock_that_another_took_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "SETTLE_S", 0.0)
    store = Store(f"memory://{uuid4().hex}/s")
    with store.lock():
        overwrite(store, ".lock", b"7 elsewhere now x")
    assert store.read_text(".lock") == "7 elsewhere now x"


# -- places -----------------------------------------------------------------------------------------------------------


def test_a_folder_that_cannot_be_made_is_a_failure_of_the_storage(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (tmp_path / KEY.area).write_text("in the way")
    with pytest.raises(StorageError, match=KEY.area):
        store.put(KEY, provenance(), writer("a.fits", "one"))


@pytest.mark.parametrize("root", ["nowhere://bucket/x", "memory://", "s3://"])
def test_addresses_that_lead_nowhere_are_refused(root: str) -> None:
    with pytest.raises(InputError, match=r"must be a place|must name a bucket"):
        Store(root)


def test_an_address_of_a_file_is_a_folder(tmp_path: Path) -> None:
    assert Store(f"file://{tmp_path}").place.at("x") == tmp_path / "x"
    assert isinstance(Store(str(tmp_path)).place, places.Folder)


def test_an_object_store_has_no_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be a local folder"):
        Store("memory://a/b").folder(KEY)


def test_a_store_survives_being_sent_to_another_process(store: Store) -> None:
    import pickle

    entry = store.put(KEY, provenance(), writer("a.fits", "one"))
    there = pickle.loads(pickle.dumps(entry))
    assert there == entry and there.path().read_text() == "one"


def test_a_retracted_product_is_gone_and_its_neighbours_stay(store: Store) -> None:
    other = replace(KEY, band="NIR_Y")
    for key in (KEY, other):
        store.put(key, provenance(), writer("a.txt", "content"))
    store.retract(KEY)
    assert store.entry(KEY) is None and not store.has(KEY)
    assert [entry.key for entry in store.entries()] == [other]
    assert all(KEY.text not in name for name in names_in(store))
    store.retract(KEY)  # nothing to take away is no fault
