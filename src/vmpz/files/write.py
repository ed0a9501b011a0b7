"""Writing whole or not at all: beside its place, flushed to disk, verified, then renamed.

Temporaries are named after the file they will become (``.<name>.<random>.part``), so that what a killed process
leaves behind can be found and swept.
"""

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["StorageError", "sha256_of", "sweep", "write_text", "write_whole"]

SUFFIX = ".part"


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
    short = path.name.encode()[:200].decode(errors="ignore")  # room for the suffix in 255 bytes
    temporary = path.with_name(f".{short}.{secrets.token_hex(4)}{SUFFIX}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _flush(temporary)
        if verify is not None:
            verify(temporary)
        os.replace(temporary, path)
        _flush(path.parent)
    except OSError as error:
        raise StorageError(error.errno, f"{error.strerror or error}; {_free(path)}", str(path)) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a small UTF-8 text file whole."""
    with write_whole(path) as temporary:
        temporary.write_text(text, "utf-8")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal, read in blocks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sweep(folder: Path) -> list[Path]:
    """Remove temporaries that a killed process left below a folder; returns what was removed."""
    left = sorted(folder.rglob(f".*{SUFFIX}"))
    for path in left:
        path.unlink(missing_ok=True)
    return left


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _free(path: Path) -> str:
    for folder in path.parents:
        if folder.exists():
            return f"{shutil.disk_usage(folder).free} bytes free in {folder}"
    return "no such folder"
