"""Writing whole or not at all."""

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vmpz.files.write import StorageError, sha256_of, sweep, write_text, write_whole


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
