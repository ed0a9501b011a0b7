"""The store: where products live, and when one exists.

``<store>/<area>/<key>/`` holds the files of one product under their published names and a ``manifest.json`` (key,
state, files with size and sha256, digest, provenance), written last: what no manifest names does not exist. A remade
product is written beside the old one, the manifest is replaced, then the old files are removed.
"""

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vmpz.errors import MissingProductError, VmpzError
from vmpz.files.write import StorageError, sha256_of, sweep, write_text
from vmpz.products import ProductKey, Provenance, encode

__all__ = ["Entry", "Store"]

MANIFEST = "manifest.json"
LOCK = ".lock"
LOCK_GRACE_S = 10.0


@dataclass(frozen=True)
class Entry:
    """What a manifest says: the key, its state (DONE or EMPTY), its digest, its files and its provenance."""

    key: ProductKey
    state: str
    digest: str
    files: tuple[dict[str, Any], ...]
    provenance: dict[str, Any]
    folder: Path

    def path(self, suffix: str = "") -> Path:
        """The first file whose name ends so.

        Raises
        ------
        MissingProductError
            The product has no such file.
        """
        for item in self.files:
            if item["name"].endswith(suffix):
                return self.folder / str(item["name"])
        raise MissingProductError(f"{self.key} has no file *{suffix} in {self.folder}")

    def faults(self) -> list[str]:
        """What is wrong with the files: missing, of another size, or of another sha256."""
        found = []
        for item in self.files:
            path = self.folder / item["name"]
            if not path.is_file():
                found.append(f"{path}: the manifest names it, it is missing")
            elif path.stat().st_size != item["size"]:
                found.append(f"{path}: size must be {item['size']}, found {path.stat().st_size}")
            elif sha256_of(path) != item["sha256"]:
                found.append(f"{path}: sha256 must be {item['sha256']}, the content was altered")
        return found


class Store:
    """A folder of products.

    Parameters
    ----------
    root : path
        Need not exist yet.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def folder(self, key: ProductKey) -> Path:
        """Folder of a product."""
        return self.root / encode(key.area) / key.text

    def entry(self, key: ProductKey) -> Entry | None:
        """The product of a key, None if it does not exist (no manifest, or a file of another size)."""
        return _read_entry(self.folder(key) / MANIFEST)

    def has(self, key: ProductKey) -> bool:
        """Whether there is a manifest of a key; cheaper than reading it."""
        return (self.folder(key) / MANIFEST).is_file()

    def entries(self) -> Iterator[Entry]:
        """All products, in key order."""
        found = [_read_entry(path) for path in sorted(self.root.glob(f"*/*/{MANIFEST}"))]
        yield from sorted((entry for entry in found if entry), key=lambda entry: entry.key)

    def put(
        self,
        key: ProductKey,
        provenance: Provenance,
        write: Callable[[Path], Sequence[Path]],
        empty: bool | Callable[[], bool] = False,
    ) -> Entry:
        """Write a product whole: its files, then the manifest, then remove the files of an earlier version.

        `write` gets the product's folder and returns the files it wrote there, each of them whole; `empty` may be
        asked when they are written.
        """
        folder = self.folder(key)
        with _as_storage_error(folder):
            folder.mkdir(parents=True, exist_ok=True)
        written = write(folder)
        with _as_storage_error(folder):
            files = [
                {"name": path.name, "size": path.stat().st_size, "sha256": sha256_of(path)}
                for path in written
            ]
        content = {
            "key": asdict(key),
            "state": "EMPTY" if (empty() if callable(empty) else empty) else "DONE",
            "digest": provenance.digest,
            "files": files,
            "provenance": provenance.as_dict(),
        }
        write_text(folder / MANIFEST, json.dumps(content, indent=1, sort_keys=True, default=str) + "\n")
        named = {item["name"] for item in files} | {MANIFEST}
        with _as_storage_error(folder):
            for path in folder.iterdir():
                if path.name not in named:
                    path.unlink()
        entry = self.entry(key)
        if entry is None:
            raise MissingProductError(f"{folder}: the product just written cannot be read back")
        return entry

    def sweep(self) -> list[Path]:
        """Remove what killed writers left: temporaries, and files that no manifest names; folders of others stay."""
        removed = sweep(self.root) if self.root.is_dir() else []
        for folder in self.root.glob("*/*~*/"):
            if not _is_of_a_product(folder):
                continue
            entry = _read_entry(folder / MANIFEST)
            named = {item["name"] for item in entry.files} | {MANIFEST} if entry else set()
            for path in folder.iterdir():
                if path.name not in named:
                    path.unlink()
                    removed.append(path)
        return removed

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the store for one run; a lock of a dead process of this host is taken over.

        Raises
        ------
        VmpzError
            Another run holds the store; the message names its process and host.
        """
        path = self.root / LOCK
        with _as_storage_error(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            while not _taken(path):
                _take_from_the_dead(path)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _as_storage_error(place: Path) -> Iterator[None]:
    """Whatever the system refuses inside is a failure of the storage, with its path."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(error.errno, error.strerror or str(error), str(error.filename or place)) from error


def _is_of_a_product(folder: Path) -> bool:
    try:
        return ProductKey.parse(folder.name).text == folder.name
    except ValueError:
        return False


# -- the lock ---------------------------------------------------------------------------------------------------------


def _taken(path: Path) -> bool:
    """Make the lock with this process's name in it; False if there is one."""
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        return False
    try:
        os.write(handle, f"{os.getpid()} {socket.gethostname()}".encode())
    except OSError:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)
    return True


def _take_from_the_dead(path: Path) -> None:
    """Remove a lock whose process is gone; of two that try, one moves it away and the other starts again."""
    try:
        content, age = path.read_text("utf-8", "replace"), time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return
    process, _, host = content.partition(" ")
    if not process.isdigit():
        if age < LOCK_GRACE_S:  # made just now, its name not yet written
            raise VmpzError(f"{path.parent}: another run is taking this store; try again")
    elif not _is_dead(int(process), host):
        raise VmpzError(
            f"{path.parent}: another run holds this store: process {process} on {host} (if it is gone, remove {path})"
        )
    aside = path.with_name(f"{LOCK}.{os.getpid()}.part")
    with contextlib.suppress(FileNotFoundError):
        path.rename(aside)
        if aside.read_text("utf-8", "replace") != content:
            aside.rename(path)
        aside.unlink(missing_ok=True)


def _is_dead(process: int, host: str) -> bool:
    """Whether a process of this host is gone; a lock of our own number was left by one that had it before us."""
    if host != socket.gethostname() or process == os.getpid():
        return host == socket.gethostname()
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _read_entry(path: Path) -> Entry | None:
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text("utf-8"))
        entry = Entry(
            ProductKey(**content["key"]),
            content["state"],
            content["digest"],
            tuple(content["files"]),
            content["provenance"],
            path.parent,
        )
    except (ValueError, KeyError, TypeError):
        return None
    for item in entry.files:
        file = path.parent / item["name"]
        if not file.is_file() or file.stat().st_size != item["size"]:
            return None
    return entry
