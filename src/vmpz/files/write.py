"""Writing whole or not at all: beside its place, flushed to disk, verified, then renamed.

Temporaries are named after the file or folder they will become (``.<name>.<random>.part``), so that what a killed
process leaves behind can be found and swept. A folder that is replaced is moved aside first
(``.<name>.<random>.aside``): no system call swaps two folders everywhere, and `sweep` puts it back if the new one never
came.
"""

import errno
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = [
    "StorageError",
    "as_storage_error",
    "flush",
    "remove",
    "sha256_of",
    "size_of",
    "sweep",
    "write_text",
    "write_whole",
    "write_whole_folder",
]

SUFFIX = ".part"
ASIDE = ".aside"


class StorageError(OSError):
    """A file could not be written; names the path and the free bytes beside the system's reason."""


@contextmanager
def write_whole(path: Path, verify: Callable[[Path], None] | None = None) -> Iterator[Path]:
    """Give a temporary path to write to; on leaving, flush, `verify` it and rename it to `path`.

    The file at `path` is untouched until the very end, and no temporary is left after an error.

    Raises
    ------
    StorageError
        The system refuses (full, read-only, name too long...).
    """
    with _beside(path) as temporary:
        yield temporary
        flush(temporary)
        if verify is not None:
            verify(temporary)
        os.replace(temporary, path)
        flush(path.parent)


@contextmanager
def write_whole_folder(path: Path, verify: Callable[[Path], None] | None = None) -> Iterator[Path]:
    """Give a new folder to fill; on leaving, flush all of it, `verify` it and rename it to `path`.

    What stood at `path` is untouched until the very end; then it is moved aside, and removed once the new folder is in
    its place.

    Raises
    ------
    StorageError
        The system refuses (full, read-only, name too long...).
    """
    with _beside(path) as temporary:
        temporary.mkdir()
        yield temporary
        for folder, _, names in os.walk(temporary, topdown=False):
            for name in names:
                flush(Path(folder, name))
            flush(Path(folder))
        if verify is not None:
            verify(temporary)
        _take_the_place_of(path, temporary)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """The name of a temporary beside a path; whatever is left of it goes, and what the system says names its path."""
    short = path.name.encode()[:200].decode(errors="ignore")  # room for the suffix in 255 bytes
    temporary = path.with_name(f".{short}.{secrets.token_hex(4)}{SUFFIX}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise OSError(errno.EINVAL, "what is replaced must be a file, found a device, pipe or socket")
        yield temporary
    except OSError as error:
        at_fault = _at_fault(error, path, temporary)
        raise StorageError(
            error.errno, f"{error.strerror or error}; {_free(at_fault)}", str(at_fault)
        ) from error
    finally:
        with suppress(OSError):
            remove(temporary)


def _at_fault(error: OSError, path: Path, temporary: Path) -> Path:
    """What the system refused: the path that was to be written, or a file from elsewhere that could not be read."""
    if not isinstance(error.filename, str):
        return path
    found = Path(error.filename)
    ours = temporary in (found, *found.parents) or found in (path, *path.parents)
    return path if ours else found


def _take_the_place_of(path: Path, temporary: Path) -> None:
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}{ASIDE}")
    there = os.path.lexists(path)
    if there:
        os.rename(path, aside)
    try:
        os.rename(temporary, path)
    except OSError:
        if there:
            os.rename(aside, path)
        raise
    flush(path.parent)
    if there:
        remove(aside)


def write_text(path: Path, text: str) -> None:
    """Write a small UTF-8 text file whole."""
    with write_whole(path) as temporary:
        temporary.write_text(text, "utf-8")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal, read in blocks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files of a folder."""
    files = (one for one in path.rglob("*") if not one.is_dir()) if path.is_dir() else (path,)
    return sum(one.stat().st_size for one in files)


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it; nothing happens where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sweep(folder: Path) -> list[Path]:
    """Remove temporaries that a killed process left below a folder; returns what was removed.

    A folder that was moved aside is put back if its successor never came.
    """
    left = sorted(folder.rglob(f".*{SUFFIX}"))
    for path in sorted(folder.rglob(f".*{ASIDE}")):
        match = re.fullmatch(rf"\.(.+)\.[0-9a-f]{{8}}{re.escape(ASIDE)}", path.name)
        if match and not os.path.lexists(path.with_name(match[1])):
            os.rename(path, path.with_name(match[1]))
        elif match:
            left.append(path)
    for path in left:
        remove(path)
    return left


def flush(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def as_storage_error(place: Path) -> Iterator[None]:
    """Whatever the system refuses inside is a failure of the storage, with its path."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        path = error.filename or place
        reason = f"{error.strerror or error}; {_free(Path(place))}"
        raise StorageError(error.errno, reason, str(path)) from error


def _free(path: Path) -> str:
    for folder in path.parents:
        with suppress(OSError):  # not there, or no name at all
            return f"{shutil.disk_usage(folder).free} bytes free in {folder}"
    return "no such folder"
