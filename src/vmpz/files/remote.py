"""A store's place on an object store (``s3://`` and whatever else fsspec reaches).

An object appears whole when its upload ends; there is no rename and no condition that every server honours. So files
are made in a local folder, uploaded, and compared with what the server then has: the size, and the ETag where it is the
MD5 that is expected, else the SHA-256 of the object read back. The manifest is uploaded last. What fails is tried again
a few times, with growing pauses; then the storage has failed. Files to be read are fetched once into a cache.

Endpoint and credentials come from where fsspec and its libraries look for them (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID,
the configuration of fsspec), never from parameters.
"""

import errno
import hashlib
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import fsspec

from vmpz.errors import InputError
from vmpz.files.locks import hold_object
from vmpz.files.write import SUFFIX, StorageError, as_storage_error, sha256_of

__all__ = ["ObjectStore", "cache_folder"]

ATTEMPTS = 4
FIRST_PAUSE_S = 0.3
GROWTH = 3.0
THREADS = 8
PART = 50 << 20
"""Bytes of a part of an upload in parts; smaller files than two of them go in one."""
STAMPS = ".changed"

Item = Mapping[str, Any]
T = TypeVar("T")
Result = TypeVar("Result")


@cache
def cache_folder() -> Path:
    """Where files of object stores are kept: VMPZ_CACHE, else a folder that this process removes when it ends."""
    told = os.environ.get("VMPZ_CACHE")
    if told:
        return Path(told).expanduser()
    _kept.append(tempfile.TemporaryDirectory(prefix="vmpz-"))
    return Path(_kept[-1].name)


_kept: list[tempfile.TemporaryDirectory[str]] = []


class ObjectStore:
    """A prefix of an object store; see `vmpz.files.places.Place`.

    Parameters
    ----------
    root : str
        ``protocol://bucket/prefix``.

    Raises
    ------
    InputError
        The protocol is not known, its library is not installed, or there is no bucket.
    """

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/")
        try:
            self._fs, base = fsspec.core.url_to_fs(root, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise InputError(
                f"{root}: must be a place that fsspec reaches (s3:// needs the extra vmpz[s3]), found: {error}"
            ) from error
        self._base = str(base).rstrip("/")
        protocols = {self._fs.protocol} if isinstance(self._fs.protocol, str) else set(self._fs.protocol)
        self._is_s3 = "s3" in protocols
        if not self._base.strip("/"):
            raise InputError(f"{root}: must name a bucket or folder")

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return (ObjectStore, (self.root,))

    def at(self, name: str) -> str:
        """Address of an object."""
        return f"{self.root}/{name}" if name else self.root

    def _key(self, name: str) -> str:
        return f"{self._base}/{name}" if name else self._base

    # -- reading ------------------------------------------------------------------------------------------------------

    def exists(self) -> bool:
        """Whether there is anything."""
        return bool(self._patiently("", lambda: self._ls("")))

    def has(self, name: str) -> bool:
        """Whether there is an object of that name."""
        return self._patiently(name, lambda: self._info(name)) is not None

    def read(self, name: str) -> bytes | None:
        """Content of an object, None if there is none."""
        return self._patiently(name, lambda: self._read(name))

    def _read(self, name: str) -> bytes | None:
        try:
            return bytes(self._fs.cat_file(self._key(name)))
        except FileNotFoundError:
            return None

    def read_many(self, names: Sequence[str]) -> Iterator[bytes | None]:
        """Contents of many objects, in their order, several at a time."""
        return iter(self._together(self.read, names))

    def sizes(self, below: str) -> dict[str, int]:
        """Names and sizes of all objects below a name."""
        found = self._patiently(below, lambda: self._find(below))
        return {name: int(info["size"]) for name, info in found.items()}

    def _find(self, below: str) -> dict[str, Item]:
        start = self._key(below) + "/"
        try:
            found = self._fs.find(self._key(below), detail=True)
        except FileNotFoundError:
            return {}
        return {
            name[len(self._base) + 1 :]: info
            for name, info in sorted(found.items())
            if name.startswith(start) and info["type"] == "file" and not name.endswith("/")
        }

    def stamps(self) -> dict[str, tuple[str, float]]:
        """Of every folder at the top: what changes whenever `touch` is called for it, and its age in seconds.

        A folder that was never touched has the stamp ''.
        """
        marks = self._patiently(STAMPS, lambda: self._find(STAMPS))
        told = {name.removeprefix(f"{STAMPS}/"): _stamp(info) for name, info in marks.items()}
        return {top: told.get(top, ("", 0.0)) for top in self._tops()}

    def _tops(self) -> list[str]:
        """Names of the folders at the top, hidden ones left out."""
        found = self._patiently("", lambda: self._ls(""))
        names = [
            str(one["name"]).rstrip("/").rpartition("/")[2] for one in found if one["type"] == "directory"
        ]
        return sorted(name for name in names if not name.startswith("."))

    def _ls(self, below: str) -> list[Item]:
        try:
            return list(self._fs.ls(self._key(below), detail=True))
        except FileNotFoundError:
            return []

    def local(self, below: str, items: Sequence[Item], mark: str) -> Path:
        """A local folder that holds files of a folder, each fetched once.

        Parameters
        ----------
        below : str
        items : sequence of mappings
            Files to fetch: name, size, sha256.
        mark : str
            Of the content: what has the same mark has the same files.

        Raises
        ------
        StorageError
            A file cannot be fetched, or is not what its size and sha256 say.
        """
        folder = self.cached(below, mark)
        missing = [item for item in items if not _is_there(folder / item["name"], item)]
        self._together(
            lambda item: self.fetch(f"{below}/{item['name']}", folder / item["name"], item), missing
        )
        return folder

    def cached(self, below: str, mark: str) -> Path:
        """The folder of `local`."""
        return cache_folder() / hashlib.sha256(f"{self.root} {below} {mark}".encode()).hexdigest()

    def fetch(self, name: str, target: Path, item: Item) -> None:
        """Copy a file to a local path, whole and verified.

        Raises
        ------
        StorageError
            It is not what its size and sha256 say, even when it is read again.
        """

        temporary = target.with_name(f".{secrets.token_hex(8)}{SUFFIX}")

        def once() -> None:
            self._fs.get_file(self._key(name), str(temporary))
            _must_be(temporary, item)

        with as_storage_error(target):
            target.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._patiently(name, once)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)

    def faults(self, below: str, items: Sequence[Item]) -> list[str]:
        """What is wrong with objects of a folder: missing, of another size, or of another sha256.

        An object whose ETag is that of the manifest is not read again: one listing tells of all.
        """
        there = self._patiently(below, lambda: self._find(below))
        names = [f"{below}/{item['name']}" for item in items]
        found = self._together(
            lambda one: self._fault(one[0], one[1], there.get(one[0])), list(zip(names, items))
        )
        return [fault for fault in found if fault is not None]

    def _fault(self, name: str, item: Item, info: Item | None) -> str | None:
        if info is None:
            return f"{self.at(name)}: the manifest names it, it is missing"
        if info["size"] != item["size"]:
            return f"{self.at(name)}: size must be {item['size']}, found {info['size']}"
        if _etag(info) and _etag(info) == item.get("etag"):
            return None
        found = self._patiently(name, lambda: self._sha256(name, int(item["size"])))
        if found != item["sha256"]:
            return f"{self.at(name)}: sha256 must be {item['sha256']}, the content was altered"
        return None

    def _info(self, name: str) -> Item | None:
        try:
            return dict(self._fs.info(self._key(name)))
        except FileNotFoundError:
            return None

    def _sha256(self, name: str, size: int) -> str:
        """SHA-256 of an object, read in parts and on no condition (an opened file would ask for its ETag)."""
        digest = hashlib.sha256()
        for start in range(0, size, PART):
            digest.update(self._fs.cat_file(self._key(name), start=start, end=min(start + PART, size)))
        return digest.hexdigest()

    # -- writing ------------------------------------------------------------------------------------------------------

    def write(self, name: str, content: bytes) -> None:
        """Write a small object and make sure that it is there."""
        item = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest(), "etag": _md5(content)}

        def once() -> None:
            self._fs.pipe_file(self._key(name), content)
            self._must_hold(name, item)

        self._patiently(name, once, missing_is_final=False)

    @contextmanager
    def staging(self, below: str) -> Iterator[Path]:
        """A local folder in which the files of a folder are made."""
        with tempfile.TemporaryDirectory(prefix="vmpz-") as folder:
            yield Path(folder)

    def describe(self, path: Path) -> dict[str, Any]:
        """Size, sha256 and expected ETag of a local file."""
        return {"size": path.stat().st_size, "sha256": sha256_of(path), "etag": _expected_etag(path)}

    def publish(self, below: str, staged: Path, items: Sequence[Item], last: str) -> list[str]:
        """Upload files of a local folder, verify them, then upload the one that counts: `last`.

        Where an object of the same name must give way, `last` is removed first: what it names is always there.
        Returns the names of what was there before.
        """
        there = self.sizes(below)
        if any(f"{below}/{item['name']}" in there for item in items):
            self.remove([f"{below}/{last}"])
        self._together(
            lambda item: self._upload(staged / item["name"], f"{below}/{item['name']}", item), items
        )
        self.write(f"{below}/{last}", (staged / last).read_bytes())
        return list(there)

    def _upload(self, path: Path, name: str, item: Item) -> None:
        options = {"chunksize": PART} if self._is_s3 else {}

        def once() -> None:
            self._fs.put_file(str(path), self._key(name), **options)
            self._must_hold(name, item)

        self._patiently(name, once, missing_is_final=False)

    def freeze(self, source: str, target: str, item: Item) -> None:
        """Copy an object on the server and make sure of the copy."""

        def once() -> None:
            self._fs.cp_file(self._key(source), self._key(target))
            self._must_hold(target, item)

        self._patiently(source, once)

    def _must_hold(self, name: str, item: Item) -> None:
        fault = self._fault(name, item, self._patiently(name, lambda: self._info(name)))
        if fault is not None:
            raise OSError(errno.EIO, f"must be there after it was written, found {fault}")

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects; those that are gone already are no error."""
        self._together(lambda name: self._patiently(name, lambda: self._remove(name)), list(names))

    def _remove(self, name: str) -> None:
        try:
            self._fs.rm_file(self._key(name))
        except FileNotFoundError:
            return

    def touch(self, top: str) -> None:
        """Give a folder at the top a new stamp."""
        name, mark = f"{STAMPS}/{top}", f"{time.time_ns()} {secrets.token_hex(8)}".encode()
        self._patiently(name, lambda: self._fs.pipe_file(self._key(name), mark), missing_is_final=False)

    def sweep(self) -> list[str]:
        """Nothing: no temporary is ever made here."""
        return []

    def hold(self) -> AbstractContextManager[None]:
        """Hold the place for one run (`vmpz.files.locks.hold_object`)."""
        return hold_object(self.root, self.read, self.write, self.remove)

    # -- patience -----------------------------------------------------------------------------------------------------

    def _patiently(self, name: str, call: Callable[[], Result], missing_is_final: bool = True) -> Result:
        """Try a few times; what a server refuses for good (no right, no such thing) is not asked again.

        Raises
        ------
        StorageError
            It did not work; names the object and the last reason.
        """
        reason: Exception
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(FIRST_PAUSE_S * GROWTH ** (attempt - 1))
            try:
                return call()
            except Exception as error:  # every library under fsspec has errors of its own
                reason = error
                if isinstance(error, StorageError):
                    raise
                if isinstance(error, PermissionError) or (
                    isinstance(error, FileNotFoundError) and missing_is_final
                ):
                    break
        number = getattr(reason, "errno", None) or errno.EIO
        raise StorageError(
            number, f"{str(reason) or repr(reason)} (tried {attempt + 1} times)", self.at(name)
        ) from reason

    def _together(self, call: Callable[[T], Result], things: Sequence[T]) -> list[Result]:
        """Do the same to several things at a time; the first error ends it."""
        if len(things) < 2:
            return [call(one) for one in things]
        with ThreadPoolExecutor(min(THREADS, len(things))) as pool:
            return list(pool.map(call, things))


def _stamp(info: Item) -> tuple[str, float]:
    """What tells two uploads apart, and seconds since the last."""
    moment = info.get("LastModified") or info.get("created") or info.get("mtime")
    seconds = moment.timestamp() if isinstance(moment, datetime) else moment
    if not isinstance(seconds, int | float):
        return "", 0.0
    return f"{seconds} {_etag(info)}", time.time() - seconds


def _is_there(path: Path, item: Item) -> bool:
    return path.is_file() and path.stat().st_size == item["size"]


def _must_be(path: Path, item: Item) -> None:
    size = path.stat().st_size
    if size != item["size"]:
        raise OSError(errno.EIO, f"size must be {item['size']}, found {size}")
    if sha256_of(path) != item["sha256"]:
        raise OSError(errno.EIO, f"sha256 must be {item['sha256']}, the content was altered")


def _etag(info: Item) -> str:
    return str(info.get("ETag") or "").strip('"').lower()


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _expected_etag(path: Path) -> str:
    """What S3 makes of an unencrypted upload: the MD5, or the MD5 of the MD5s of the parts and their number."""
    with path.open("rb") as stream:
        if path.stat().st_size < 2 * PART:
            return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        parts = [
            hashlib.md5(part, usedforsecurity=False).digest() for part in iter(lambda: stream.read(PART), b"")
        ]
    return f"{_md5(b''.join(parts))}-{len(parts)}"
