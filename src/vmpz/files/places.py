"""Places of stores: a local folder, or a prefix of an object store, behind one set of operations.

Names are relative, with '/' between their parts. What makes a group of files count is the one that is put in place last
(a manifest): `publish` verifies all others first, and takes the old one away before it replaces a file that it names.
"""

import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from vmpz.files.locks import take_folder
from vmpz.files.remote import ObjectStore
from vmpz.files.write import (
    SUFFIX,
    StorageError,
    as_storage_error,
    flush,
    remove,
    sha256_of,
    sweep,
    write_whole,
)

__all__ = ["Folder", "ObjectStore", "Place", "place_of"]

Item = Mapping[str, Any]
"""A file: name, size, sha256 (and on object stores the ETag that it must have)."""


class Place(Protocol):
    """Where named files are kept. All methods raise `StorageError` where the storage refuses."""

    root: Any
    """What makes the place again: a path, or an address."""

    def at(self, name: str) -> Path | str:
        """Path or address of a file."""
        ...

    def exists(self) -> bool:
        """Whether there is such a folder, or any object."""
        ...

    def has(self, name: str) -> bool:
        """Whether there is a file of that name."""
        ...

    def read(self, name: str) -> bytes | None:
        """Content of a small file, None if there is none."""
        ...

    def read_many(self, names: Sequence[str]) -> Iterator[bytes | None]:
        """Contents of many small files, in their order."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Write a small file whole."""
        ...

    def sizes(self, below: str) -> dict[str, int]:
        """Names (from the root) and sizes of all files below a folder."""
        ...

    def stamps(self) -> dict[str, tuple[str, float]]:
        """Of every folder at the top: what changes with every `touch` ('' if unknown), and its age in seconds."""
        ...

    def touch(self, top: str) -> None:
        """Give a folder at the top a new stamp."""
        ...

    def staging(self, below: str) -> AbstractContextManager[Path]:
        """A local folder in which the files of a folder are made; it goes with the context."""
        ...

    def describe(self, path: Path) -> dict[str, Any]:
        """What `faults` will compare: size, sha256..."""
        ...

    def publish(self, below: str, staged: Path, items: Sequence[Item], last: str) -> list[str]:
        """Put staged files in their place, `last` when all others are there and verified; what was there before."""
        ...

    def faults(self, below: str, items: Sequence[Item]) -> list[str]:
        """What is wrong with files of a folder: missing, of another size, or of another sha256."""
        ...

    def local(self, below: str, items: Sequence[Item], mark: str) -> Path:
        """A local folder that holds these files of a folder; `mark` changes with their content."""
        ...

    def cached(self, below: str, mark: str) -> Path:
        """The folder of `local`, whether or not anything is in it yet."""
        ...

    def fetch(self, name: str, target: Path, item: Item) -> None:
        """Copy a file to a local path, whole and verified."""
        ...

    def freeze(self, source: str, target: str, item: Item) -> None:
        """Give a file a second name whose content stays when the first is replaced."""
        ...

    def remove(self, names: Iterable[str]) -> None:
        """Remove files, and folders that are empty then."""
        ...

    def sweep(self) -> Sequence[Path | str]:
        """Remove temporaries that killed writers left; returns them."""
        ...

    def hold(self) -> AbstractContextManager[None]:
        """Hold the place for one run."""
        ...


def place_of(root: str | Path) -> Place:
    """The place of an address (``s3://bucket/prefix``, any protocol of fsspec) or of a local path.

    Raises
    ------
    InputError
        The address cannot be reached by fsspec.
    """
    if isinstance(root, str) and "://" in root and not root.startswith("file://"):
        return ObjectStore(root)
    return Folder(Path(str(root).removeprefix("file://")))


class Folder:
    """A local folder; see `Place`. It need not exist yet."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def at(self, name: str) -> Path:
        """Path of a file."""
        return self.root / name

    def exists(self) -> bool:
        """Whether the folder exists."""
        return self.root.is_dir()

    def has(self, name: str) -> bool:
        """Whether there is a file of that name."""
        return self.at(name).is_file()

    def read(self, name: str) -> bytes | None:
        """Content of a file, None if there is none."""
        with as_storage_error(self.at(name)):
            try:
                return self.at(name).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def read_many(self, names: Sequence[str]) -> Iterator[bytes | None]:
        """Contents of files, one after the other."""
        return map(self.read, names)

    def write(self, name: str, content: bytes) -> None:
        """Write a file whole."""
        with write_whole(self.at(name)) as temporary:
            temporary.write_bytes(content)

    def sizes(self, below: str) -> dict[str, int]:
        """Names and sizes of all files below a folder."""
        found: dict[str, int] = {}
        with as_storage_error(self.at(below)):
            for folder, _, names in os.walk(self.at(below), onerror=_unless_gone):
                for name in names:
                    path = Path(folder, name)
                    with suppress(FileNotFoundError):  # gone since it was listed
                        found[path.relative_to(self.root).as_posix()] = path.stat().st_size
        return found

    def stamps(self) -> dict[str, tuple[str, float]]:
        """Of every folder at the top: its time of modification in ns, and seconds since."""
        with as_storage_error(self.root):
            if not self.root.is_dir():
                return {}
            times = {
                one.name: one.stat().st_mtime_ns
                for one in os.scandir(self.root)
                if one.is_dir() and not one.name.startswith(".")
            }
        return {name: (str(moment), time.time() - moment / 1e9) for name, moment in sorted(times.items())}

    def touch(self, top: str) -> None:
        """Set the time of modification of a folder at the top."""
        with as_storage_error(self.at(top)):
            os.utime(self.at(top))

    @contextmanager
    def staging(self, below: str) -> Iterator[Path]:
        """A hidden folder inside the folder; `sweep` finds it if the process is killed."""
        folder = self.at(below)
        with as_storage_error(folder):
            folder.mkdir(parents=True, exist_ok=True)
            temporary = folder / f".new.{secrets.token_hex(4)}{SUFFIX}"
            temporary.mkdir()
        try:
            yield temporary
        finally:
            with suppress(OSError):
                remove(temporary)

    def describe(self, path: Path) -> dict[str, Any]:
        """Size and sha256 of a local file."""
        with as_storage_error(path):
            return {"size": path.stat().st_size, "sha256": sha256_of(path)}

    def publish(self, below: str, staged: Path, items: Sequence[Item], last: str) -> list[str]:
        """Rename staged files into their place; `last` counts, and is absent while a file that it names is replaced."""
        folder, aside = self.at(below), staged.relative_to(self.root).as_posix()
        there = [name for name in self.sizes(below) if not name.startswith(f"{aside}/")]
        with as_storage_error(folder):
            targets = [folder / item["name"] for item in items]
            if any(f"{below}/{item['name']}" in there for item in items):
                (folder / last).unlink(missing_ok=True)
            for item, target in zip(items, targets, strict=True):
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(staged / item["name"], target)
            for parent in {target.parent for target in targets}:
                flush(parent)
            os.replace(staged / last, folder / last)
            flush(folder)
        return there

    def faults(self, below: str, items: Sequence[Item]) -> list[str]:
        """What is wrong with files of a folder: missing, of another size, or of another sha256."""
        found = (self._fault(self.at(f"{below}/{item['name']}"), item) for item in items)
        return [fault for fault in found if fault is not None]

    def _fault(self, path: Path, item: Item) -> str | None:
        with as_storage_error(path):
            if not path.is_file():
                return f"{path}: the manifest names it, it is missing"
            if path.stat().st_size != item["size"]:
                return f"{path}: size must be {item['size']}, found {path.stat().st_size}"
            if sha256_of(path) != item["sha256"]:
                return f"{path}: sha256 must be {item['sha256']}, the content was altered"
        return None

    def local(self, below: str, items: Sequence[Item], mark: str) -> Path:
        """The folder itself."""
        return self.at(below)

    def cached(self, below: str, mark: str) -> Path:
        """The folder itself."""
        return self.at(below)

    def fetch(self, name: str, target: Path, item: Item) -> None:
        """Copy a file to a local path, whole and verified."""
        with write_whole(target) as temporary:
            shutil.copyfile(self.at(name), temporary)
            if sha256_of(temporary) != item["sha256"]:
                raise StorageError(
                    5, f"sha256 must be {item['sha256']}, the content was altered", str(self.at(name))
                )

    def freeze(self, source: str, target: str, item: Item) -> None:
        """A hard link, or a copy where the file system has none."""
        path = self.at(target)
        with as_storage_error(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(self.at(source), path)
            except FileExistsError:
                raise
            except OSError:
                self.fetch(source, path, item)

    def remove(self, names: Iterable[str]) -> None:
        """Remove files, and folders that are empty then."""
        parents = set()
        with as_storage_error(self.root):
            for name in names:
                self.at(name).unlink(missing_ok=True)
                parents.add(self.at(name).parent)
        for parent in sorted(parents, key=lambda one: -len(one.parts)):
            with suppress(OSError):  # the first that is not empty ends it
                while parent != self.root:
                    parent.rmdir()
                    parent = parent.parent

    def sweep(self) -> list[Path]:
        """Remove temporaries that killed writers left."""
        with as_storage_error(self.root):
            return sweep(self.root) if self.root.is_dir() else []

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the folder for one run (`vmpz.files.locks.take_folder`)."""
        with as_storage_error(self.root):
            lock = take_folder(self.root)
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _unless_gone(error: OSError) -> None:
    """A folder that cannot be listed is an error, one that is not there holds nothing."""
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error
