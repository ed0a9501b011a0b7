"""Writing whole or not at all."""

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vmpz.files.write import (
    SUFFIX,
    StorageError,
    sha256_of,
    size_of,
    sweep,
    write_text,
    write_whole,
    write_whole_folder,
)


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole_and_replaces_the_old(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.txt"
    write_text(path, "old")
    seen = []
    with write_whole(path, verify=lambda temporary: seen.append(temporary.read_text())) as temporary:
        assert temporary.parent == path.parent
        assert path.name in temporary.name
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert seen == ["new"]
    assert left(path.parent) == ["a.txt"]
    assert sha256_of(path) == hashlib.sha256(b"new").hexdigest()


def test_content_is_on_the_disk_before_its_name_and_the_name_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power cut could leave a final name with nothing in it."""
    told: list[tuple[str, str]] = []
    for name in ("replace", "rename"):
        real = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda old, new, real=real: (told.append(("rename", Path(new).name)), real(old, new))
        )
    monkeypatch.setattr(
        os, "fsync", lambda handle: told.append(("disk", Path(os.readlink(f"/proc/self/fd/{handle}")).suffix))
    )
    write_text(tmp_path / "a.txt", "a")
    assert told == [("disk", SUFFIX), ("rename", "a.txt"), ("disk", "")]
    told.clear()
    with write_whole_folder(tmp_path / "folder") as temporary:
        (temporary / "b.fits").write_text("b")
    assert told == [("disk", ".fits"), ("disk", SUFFIX), ("rename", "folder"), ("disk", "")]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def refuse(temporary: Path) -> None:
        raise ValueError(temporary.name)

    with pytest.raises(ValueError, match=r"a\.txt"), write_whole(path, verify=refuse) as temporary:
        temporary.write_text("new")
    with pytest.raises(KeyboardInterrupt), write_whole(path) as temporary:
        temporary.write_text("ne")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert left(tmp_path) == ["a.txt"]


def test_the_system_says_no(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="bytes free"):
        write_text(tmp_path / ("x" * 300), "text")
    assert left(tmp_path) == []
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StorageError, match="must be a file, found a device, pipe or socket"):
        write_text(tmp_path / "pipe", "text")
    (tmp_path / "pipe").unlink()
    longest = "é" * 127
    write_text(tmp_path / longest, "text")
    assert left(tmp_path) == [longest]


def test_a_full_disk_names_path_and_free_bytes(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught, write_whole(tmp_path / "a.bin") as temporary:
        temporary.write_bytes(b"half")
        raise OSError(28, "No space left on device")
    assert caught.value.errno == 28
    assert caught.value.filename == str(tmp_path / "a.bin")
    assert "bytes free" in str(caught.value)
    assert left(tmp_path) == []


KILLED = """
import sys, time
from pathlib import Path
from vmpz.files.write import write_whole
with write_whole(Path(sys.argv[1])) as temporary:
    temporary.write_bytes(b"half")
    print("ready", flush=True)
    time.sleep(60)
"""


def test_what_a_killed_writer_leaves_is_swept(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        os.kill(writer.pid, signal.SIGKILL)
    assert path.read_bytes() == b"old"
    assert len(left(tmp_path)) == 2
    (swept,) = sweep(tmp_path)
    assert "a.bin" in swept.name
    assert left(tmp_path) == ["a.bin"]


# -- folders ------------------------------------------------------------------------------------------------


def fill(folder: Path, text: str) -> None:
    (folder / "deep").mkdir()
    (folder / "deep" / "a.txt").write_text(text)
    (folder / "b.txt").write_text(text)


def make(path: Path, text: str) -> None:
    with write_whole_folder(path) as temporary:
        fill(temporary, text)


def test_a_folder_appears_whole_and_replaces_the_old(tmp_path: Path) -> None:
    path = tmp_path / "up" / "a.hips"
    make(path, "old")
    seen = []
    with write_whole_folder(path, verify=lambda temporary: seen.append(left(temporary))) as temporary:
        assert temporary.parent == path.parent
        fill(temporary, "newer")
        (temporary / "b.txt").unlink()
        assert (path / "b.txt").read_text() == "old"
    assert seen == [["deep"]]
    assert left(path) == ["deep"]
    assert (path / "deep" / "a.txt").read_text() == "newer"
    assert left(path.parent) == ["a.hips"]
    assert size_of(path) == len("newer") == size_of(path / "deep" / "a.txt")


def test_a_folder_takes_the_place_of_a_file_or_a_link(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "old")
    make(tmp_path / "elsewhere", "stays")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("file", "link"):
        make(tmp_path / name, "new")
        assert (tmp_path / name / "b.txt").read_text() == "new"
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "elsewhere" / "b.txt").read_text() == "stays"
    assert left(tmp_path) == ["elsewhere", "file", "link"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError()])
def test_a_failure_leaves_the_old_folder_and_nothing_else(error: BaseException, tmp_path: Path) -> None:
    path = tmp_path / "a.hips"
    make(path, "old")
    with pytest.raises(type(error)), write_whole_folder(path) as temporary:
        fill(temporary, "half")
        raise error
    assert (path / "b.txt").read_text() == "old"
    assert left(tmp_path) == ["a.hips"]


def test_a_folder_that_cannot_be_moved_in_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, rename = tmp_path / "a.hips", os.rename
    make(path, "old")

    def refuse(source: Path, target: Path) -> None:
        if Path(source).suffix == ".part":
            raise OSError(5, "Input/output error")
        rename(source, target)

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(StorageError, match="Input/output error"):
        make(path, "new")
    assert (path / "b.txt").read_text() == "old"
    assert left(tmp_path) == ["a.hips"]


KILLED_BETWEEN = """
import os, sys
from pathlib import Path
from vmpz.files import write
rename = os.rename
def dies(source, target):
    if Path(source).suffix == ".part":
        os.kill(os.getpid(), 9)
    rename(source, target)
os.rename = dies
with write.write_whole_folder(Path(sys.argv[1])) as temporary:
    (temporary / "b.txt").write_text("new")
"""


def test_a_folder_moved_aside_comes_back_when_its_writer_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "a.hips"
    make(path, "old")
    subprocess.run([sys.executable, "-c", KILLED_BETWEEN, str(path)], check=False)
    assert len(left(tmp_path)) == 2
    assert not path.exists()
    (swept,) = sweep(tmp_path)
    assert swept.suffix == ".part"
    assert (path / "b.txt").read_text() == "old"
    assert left(tmp_path) == ["a.hips"]


def test_what_a_killed_writer_of_a_folder_leaves_is_swept(tmp_path: Path) -> None:
    make(tmp_path / "a.hips", "new")
    for name in (".a.hips.0123abcd.part", ".a.hips.0123abcd.aside"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "deep" / "b.txt").write_text("x")
    (tmp_path / ".notes.aside").write_text("of somebody else")
    assert len(sweep(tmp_path)) == 2
    assert left(tmp_path) == [".notes.aside", "a.hips"]


def test_an_input_that_cannot_be_read_while_a_file_is_written_is_named(tmp_path):
    gone = tmp_path / "tile.fits"
    with pytest.raises(StorageError) as caught, write_whole(tmp_path / "a.fits") as temporary:
        temporary.write_bytes(gone.read_bytes())
    assert caught.value.filename == str(gone) and list(tmp_path.iterdir()) == []
