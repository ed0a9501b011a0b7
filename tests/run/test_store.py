"""The store: a product exists whole or not at all, and only by its manifest."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpz.errors import VmpzError
from vmpz.files.write import StorageError, write_text
from vmpz.products import ProductKey, Provenance
from vmpz.run.store import Store

KEY = ProductKey("102018211", "depth", instrument="VIS", band="VIS", order=14, release="0.1")


def provenance(**parameters: object) -> Provenance:
    return Provenance("depth", 1, parameters, {"a.fits": "x"}, {}, datetime(2026, 1, 1, tzinfo=UTC))


def writer(name: str, text: str):
    def write(folder: Path) -> list[Path]:
        write_text(folder / name, text)
        return [folder / name]

    return write


@given(
    st.text(st.characters(blacklist_categories=["Cs"]), min_size=1),
    st.text(st.characters(blacklist_categories=["Cs"])),
)
def test_keys_survive_their_text_form(area: str, band: str) -> None:
    key = ProductKey(area, "info", "Noise", "RMSQ", "-", "VIS", band, 12, "0.1")
    assert ProductKey.parse(key.text) == key
    assert not set("/\0'\\ \n") & set(key.text) and not key.text.startswith(".")


def test_a_product_exists_when_its_manifest_does(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.entry(KEY) is None
    entry = store.put(KEY, provenance(snr=5), writer("a.fits", "one"))
    assert store.entry(KEY) == entry
    assert entry.digest == provenance(snr=5).digest
    assert entry.faults() == []
    (tmp_path / "x").mkdir()
    assert [one.key for one in store.entries()] == [KEY]


def test_a_remade_product_replaces_the_old_files(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put(KEY, provenance(snr=5), writer("a.fits", "one"))
    store.put(KEY, provenance(snr=3), writer("b.fits", "two"))
    assert sorted(path.name for path in store.folder(KEY).iterdir()) == ["b.fits", "manifest.json"]


def test_the_old_product_stays_when_writing_fails(tmp_path: Path) -> None:
    store = Store(tmp_path)
    old = store.put(KEY, provenance(snr=5), writer("a.fits", "one"))

    def broken(folder: Path) -> list[Path]:
        write_text(folder / "b.fits", "two")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        store.put(KEY, provenance(snr=3), broken)
    assert store.entry(KEY) == old and old.faults() == []
    assert sorted(path.name for path in store.folder(KEY).iterdir()) == ["a.fits", "manifest.json"]
    assert store.sweep() == []


def test_altered_and_missing_files_are_told(tmp_path: Path) -> None:
    store = Store(tmp_path)
    entry = store.put(KEY, provenance(), writer("a.fits", "one"))
    path = entry.path(".fits")
    path.write_text("eno")
    assert "altered" in entry.faults()[0]
    path.unlink()
    assert "missing" in entry.faults()[0]
    assert store.entry(KEY) is None


def test_a_broken_manifest_names_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put(KEY, provenance(), writer("a.fits", "one"))
    (store.folder(KEY) / "manifest.json").write_text(json.dumps({"key": 3}))
    assert store.entry(KEY) is None


def test_a_second_run_is_refused_and_a_dead_one_taken_over(tmp_path: Path) -> None:
    store = Store(tmp_path)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        import socket

        (tmp_path / ".lock").write_text(f"{child.pid} {socket.gethostname()}")
        with pytest.raises(VmpzError, match=f"process {child.pid}"), store.lock():
            pass
    finally:
        child.kill()
        child.wait()
    with store.lock():
        assert (tmp_path / ".lock").read_text().startswith(str(os.getpid()))
    assert not (tmp_path / ".lock").exists()


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


def test_a_lock_of_another_host_is_held_whatever_its_number(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text(f"{os.getpid()} elsewhere")
    with pytest.raises(VmpzError, match="on elsewhere"), Store(tmp_path).lock():
        pass
    (tmp_path / ".lock").write_text("")
    with pytest.raises(VmpzError, match="is taking this store"), Store(tmp_path).lock():
        pass
    os.utime(tmp_path / ".lock", (0, 0))
    with Store(tmp_path).lock():
        pass
    assert not list(tmp_path.iterdir())


def test_folders_of_others_are_not_swept(tmp_path: Path) -> None:
    path = tmp_path / "x" / "notes~old" / "keep.txt"
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    assert Store(tmp_path).sweep() == [] and path.exists()


def test_a_folder_that_cannot_be_made_is_a_failure_of_the_storage(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (tmp_path / KEY.area).write_text("in the way")
    with pytest.raises(StorageError, match=KEY.area):
        store.put(KEY, provenance(), writer("a.fits", "one"))
