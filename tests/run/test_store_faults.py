"""Storage that fails: full disks, killed writers, read-only places, delayed visibility, clocks that jump back."""

import errno
import os
import random
import resource
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from astropy.table import Table

from store_helpers import KEY, fill, provenance, put_map, sky_map, tile_key, writer
from vmpz import io
from vmpz.cli import _status_of
from vmpz.files import places, remote
from vmpz.files.write import StorageError
from vmpz.io.forms import FORMS
from vmpz.products import Product
from vmpz.run import releases
from vmpz.run.account import Account, Outcome
from vmpz.run.index import Index
from vmpz.run.query import add_values
from vmpz.run.store import Store
from vmpz.run.tasks import check_path

ROOM = 1_500_000


class Disk:
    """A folder whose disk can be filled up: a small tmpfs where that can be mounted, else a limit on file sizes."""

    def __init__(self, folder: Path, mounted: bool) -> None:
        self.folder = folder
        self._mounted = mounted

    @contextmanager
    def full(self, left: int = 4096) -> Iterator[None]:
        if not self._mounted:
            soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (left, hard))
            try:
                yield
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            return
        filler = self.folder / "filler"
        with filler.open("wb", buffering=0) as stream:
            while (room := os.statvfs(self.folder)).f_bavail * room.f_frsize > left:
                stream.write(bytes(4096))
        try:
            yield
        finally:
            filler.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(folder)]
    mounted = os.getuid() == 0 and subprocess.run(command, check=False, capture_output=True).returncode == 0
    yield Disk(folder, mounted)
    if mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def left_behind(folder: Path) -> list[str]:
    """Temporaries below a folder."""
    return [path.name for path in folder.rglob(".*") if path.name not in (".releases", ".lock")]


def everything(store: Store) -> dict[str, bytes]:
    return {
        name: store.place.read(name) or b"" for top in store.place.stamps() for name in store.place.sizes(top)
    }


# -- 39: a full disk --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", sorted(FORMS))
def test_a_full_disk_keeps_the_old_product_and_leaves_nothing(disk: Disk, form: str) -> None:
    if form == "healsparse":
        pytest.importorskip("healsparse")
    store, key = Store(disk.folder / "s"), tile_key(20000, "coverage", order=10)

    def put(share: float) -> None:
        source = provenance("coverage", share=share)
        product = Product(key, {"WEIGHT": sky_map(20000, 10, share)}, provenance=source)
        if form == "parquet":
            product = replace(product, table=None)
        store.put(key, source, lambda folder: io.write(product, folder, form))

    put(0.1)
    old, content = store.entry(key), everything(store)
    with disk.full(), pytest.raises(StorageError, match="bytes free") as caught:
        put(1.0)
    assert str(disk.folder) in str(caught.value.filename)
    assert store.entry(key) == old and everything(store) == content and old.faults() == []
    assert left_behind(disk.folder) == []
    put(1.0)
    assert store.entry(key).faults() == []


def test_a_full_disk_keeps_the_old_account(disk: Disk) -> None:
    store = Store(disk.folder)
    Account({KEY: Outcome(KEY, "DONE")}).write(disk.folder)
    many = {replace(KEY, area=str(n)): Outcome(replace(KEY, area=str(n)), "DONE") for n in range(200)}
    with disk.full(), pytest.raises(StorageError, match="bytes free"):
        Account(many).write(disk.folder)
    assert list(Account.read(disk.folder).outcomes) == [KEY] and left_behind(store.root) == []


def test_a_full_disk_does_not_hinder_the_index(disk: Disk) -> None:
    store = Store(disk.folder)
    fill(store, [20000], ["VIS"], order=9)
    with disk.full(left=0), Index(store) as index:
        found = list(index.rows())
    with Index(store) as index:
        assert list(index.rows()) == found and len(found) == 4


def test_a_full_disk_leaves_no_release_and_no_export(disk: Disk, tmp_path: Path) -> None:
    store, elsewhere = Store(disk.folder / "s"), Store(tmp_path / "s")
    fill(store, [20000], ["VIS", "H"], order=9)
    with disk.full(left=0), pytest.raises(StorageError):
        releases.create(store, "A")
    assert releases.releases(store) == [] and left_behind(disk.folder) == []
    fill(elsewhere, [20000], order=11)
    releases.create(elsewhere, "A")
    with disk.full(), pytest.raises(StorageError, match="bytes free"):
        releases.export(elsewhere, "A", disk.folder / "out")
    assert not (disk.folder / "out").exists() and left_behind(disk.folder) == []


@pytest.mark.parametrize("end", ["fits", "parquet"])
def test_a_full_disk_leaves_no_half_catalogue(
    disk: Disk, tmp_path: Path, end: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(tmp_path / "s")
    fill(store, [20000], ["VIS"], order=9)
    rng = np.random.default_rng(1)
    Table({"RA": rng.random(3000), "DEC": rng.random(3000)}).write(tmp_path / f"in.{end}")
    out = disk.folder / f"out.{end}"
    with disk.full():
        with pytest.raises(StorageError, match="bytes free"):
            add_values(store, tmp_path / f"in.{end}", out)
        words = ["query", str(store.root), "--catalog", str(tmp_path / f"in.{end}"), "-o", str(out)]
        assert _status_of(words) == 5
    assert out.name in capsys.readouterr().err
    assert not out.exists() and left_behind(disk.folder) == []


# -- 40: writers that are killed --------------------------------------------------------------------------------------


def write_for_ever(folder: Path, number: int) -> None:
    """Put a product of three files again and again."""

    def write(folder: Path) -> list[Path]:
        for name in ("a.fits", "a.xml", "map.hips/b"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(f"{name} {number % 7} " * 20_000)
        return [folder / "a.fits", folder / "a.xml", folder / "map.hips"]

    while True:
        Store(folder).put(KEY, provenance(n=number % 7), write)
        number += 1


def kill_writers(folder: Path, times: int) -> None:
    """After every kill, what a manifest names is whole; in the end a writer in peace makes what it always makes."""
    rng, store = random.Random(7), Store(folder)
    seen = 0
    for attempt in range(times):
        child = os.fork()
        if not child:
            try:
                write_for_ever(folder, attempt)
            finally:
                os._exit(1)
        time.sleep(rng.uniform(0.0, 0.06))
        os.kill(child, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        entry = store.entry(KEY)
        if entry is not None:
            seen += 1
            numbers = {(store.folder(KEY) / item["name"]).read_text().split()[1] for item in entry.files}
            assert entry.faults() == [] and len(numbers) == 1
            assert entry.digest == provenance(n=int(numbers.pop())).digest
    store.sweep()
    entry = store.entry(KEY)
    kept = {store.below(KEY) + "/" + item["name"] for item in entry.files} if entry else set()
    assert {name for name in store.place.sizes(KEY.area) if not name.endswith("manifest.json")} == kept
    assert seen > times // 4 and not left_behind(folder)
    done, undisturbed = store.put(KEY, provenance(), writer("c", "x")), Store(folder / "other")
    again = undisturbed.put(KEY, provenance(), writer("c", "x"))
    assert (done.digest, done.files) == (again.digest, again.files)


def test_what_a_manifest_names_is_whole_however_often_writers_are_killed(tmp_path: Path) -> None:
    kill_writers(tmp_path, 25)


@pytest.mark.long
def test_what_a_manifest_names_is_whole_after_a_hundred_kills(tmp_path: Path) -> None:
    kill_writers(tmp_path, 100)


def test_a_writer_that_dies_before_the_manifest_leaves_no_mixture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Die at every single renaming: afterwards there is the old product, or none, or the new one."""
    real = os.replace
    for last in range(3):
        store = Store(tmp_path / str(last))
        old = store.put(KEY, provenance(snr=5), two("one"))
        left = [last]

        def replace_some(source: Path, target: Path, left: list[int] = left) -> None:
            if "manifest" not in str(source) and not left[0]:
                raise KeyboardInterrupt
            left[0] -= ".new." in str(source) and ".part" not in Path(source).name
            real(source, target)

        monkeypatch.setattr(places.os, "replace", replace_some)
        with suppress(KeyboardInterrupt):
            store.put(KEY, provenance(snr=3), two("two"))
        monkeypatch.setattr(places.os, "replace", real)
        entry = store.entry(KEY)
        assert entry is None or entry.faults() == []
        assert entry is None or entry.digest in (old.digest, provenance(snr=3).digest)


def two(text: str):
    def write(folder: Path) -> list[Path]:
        return [*writer("a.fits", text)(folder), *writer("b.xml", text)(folder)]

    return write


# -- 41: places that refuse -------------------------------------------------------------------------------------------


def test_a_name_that_is_too_long_is_a_failure_of_the_storage(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        Store(tmp_path).put(replace(KEY, area="x" * 300), provenance(), writer("a.fits", "one"))
    assert caught.value.errno == errno.ENAMETOOLONG and not list(tmp_path.iterdir())


def test_a_read_only_store_is_read_and_not_written(disk: Disk, tmp_path: Path) -> None:
    store = Store(disk.folder)
    fill(store, [20000], ["VIS"], order=9)
    expected = [entry.key.text for entry in store.entries()]
    if subprocess.run(
        ["mount", "-o", "remount,ro", str(disk.folder)], check=False, capture_output=True
    ).returncode:
        pytest.skip("needs the right to mount a file system read-only")
    with pytest.raises(StorageError) as caught:
        store.put(KEY, provenance(), writer("a.fits", "one"))
    assert caught.value.errno == errno.EROFS
    with pytest.raises(StorageError), store.lock():
        pass
    with Index(store) as index:
        assert [row["key"] for row in index.rows()] == expected
    assert check_path(disk.folder)[1] == []


def test_an_input_output_error_keeps_the_old_product(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    old = store.put(KEY, provenance(snr=5), writer("a.fits", "one"))

    def failing(handle: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(StorageError) as caught:
        store.put(KEY, provenance(snr=3), writer("a.fits", "two"))
    monkeypatch.undo()
    assert caught.value.errno == errno.EIO and str(tmp_path) in str(caught.value.filename)
    assert store.entry(KEY) == old and old.faults() == [] and left_behind(tmp_path) == []


# -- 43: what is written is seen late ---------------------------------------------------------------------------------


@pytest.mark.parametrize("root", ["folder", "memory"])
def test_a_manifest_that_is_seen_before_its_files_names_nothing(tmp_path: Path, root: str) -> None:
    """Files of one store appear in another one by one, the manifest first."""
    whole = Store(tmp_path / "whole")
    fill(whole, [20000], ["VIS"], order=9)
    late = Store(tmp_path / "late" if root == "folder" else f"memory://{uuid4().hex}/s")
    names = sorted(everything(whole), key=lambda name: not name.endswith("manifest.json"))
    for name in names:
        assert list(late.entries()) == [] or name not in names[:5]
        late.place.write(name, whole.place.read(name) or b"")
        for entry in late.entries():
            assert entry.faults() == []
    assert [entry.key for entry in late.entries()] == [entry.key for entry in whole.entries()]


# -- 46: products that were deleted or altered ------------------------------------------------------------------------


def test_check_lists_what_was_deleted_or_altered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(tmp_path)
    fill(store, [20000], ["VIS"], order=9)
    assert _status_of(["check", str(tmp_path)]) == 0
    one, other, *_ = store.entries()
    path, gone = one.path(".fits"), other.path(".fits")
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(bytes(content))
    gone.unlink()
    capsys.readouterr()
    assert _status_of(["check", str(tmp_path)]) == 6
    told = capsys.readouterr().err
    assert f"{path}: sha256 must be" in told and str(gone.parent) in told


def test_check_reads_an_object_store(capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(f"memory://{uuid4().hex}/s")
    assert _status_of(["check", store.root]) == 3
    fill(store, [20000], ["VIS"], order=9)
    assert _status_of(["check", store.root]) == 0
    one, *_ = store.entries()
    name = f"{one.below}/{one.files[0]['name']}"
    content = bytearray(store.place.read(name))
    content[-100] ^= 1
    store.place.write(name, bytes(content))
    assert _status_of(["check", store.root]) == 6
    assert f"{store.root}/{name}: sha256 must be" in capsys.readouterr().err


def test_an_altered_object_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "FIRST_PAUSE_S", 0.0)
    store = Store(f"memory://{uuid4().hex}/s")
    entry = store.put(KEY, provenance(), writer("a.fits", "one"))
    store.place.write(f"{entry.below}/a.fits", b"two")
    with pytest.raises(StorageError, match=r"sha256 must be .*, the content was altered \(tried 4 times\)"):
        entry.path()
    assert not list(entry.folder.glob("*")) and not list(entry.folder.glob(".*"))


# -- 48: clocks -------------------------------------------------------------------------------------------------------


def test_a_clock_that_jumps_back_hides_no_product(tmp_path: Path) -> None:
    """Stamps are compared, not ordered; instants of products are those of the run, in UTC."""
    store = Store(tmp_path)
    store.put(KEY, provenance(snr=5), writer("a.fits", "one"))
    os.utime(tmp_path / KEY.area, ns=(2 * 10**18, 2 * 10**18))  # year 2033
    with Index(store) as index:
        assert len(list(index.rows())) == 1
    os.utime(tmp_path / KEY.area, ns=(10**18, 10**18))  # year 2001
    with Index(store) as index:
        assert len(list(index.rows())) == 1
    store.put(replace(KEY, band="H"), provenance(snr=5), writer("a.fits", "one"))
    os.utime(tmp_path / KEY.area, ns=(9 * 10**17, 9 * 10**17))
    with Index(store) as index:
        rows = list(index.rows())
    assert [row["band"] for row in rows] == ["H", "VIS"]
    assert {datetime.fromisoformat(row["created"]) for row in rows} == {datetime(2026, 1, 1, tzinfo=UTC)}


def test_positions_of_a_map_are_read_again_after_it_is_remade(tmp_path: Path) -> None:
    store, key = Store(tmp_path), tile_key(20000, "depth", order=9)
    put_map(store, key, sky_map(20000, 9, seed=1))
    first = store.entry(key)
    put_map(store, key, sky_map(20000, 9, seed=2))
    second = store.entry(key)
    assert first.mark != second.mark and second.faults() == []
