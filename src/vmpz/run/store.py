"""The store: where products live, and when one exists.

``<store>/<area>/<key>/`` holds the files of one product under their published names and a ``manifest.json`` (key,
state, files with size and sha256, digest, provenance, summary), put in place last: what no manifest names does not
exist. A product is made aside, a remade one takes the place of the old, then what is left of the old one goes. Files
may stand in folders of the product (HiPS); the manifest names each.

The store is a local folder or a prefix of an object store (`vmpz.files.places`), with the same layout.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from vmpz.errors import InputError, MissingProductError
from vmpz.files.places import Folder, Place, place_of
from vmpz.files.write import write_text
from vmpz.products import ProductKey, Provenance, encode

__all__ = ["MANIFEST", "Entry", "Store", "is_inside"]

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Entry:
    """What a manifest says: the key, its state (DONE or EMPTY), its digest, its files, its provenance, its summary.

    `folder` is where the files are, or for an object store where `path` brings them.
    """

    key: ProductKey
    state: str
    digest: str
    files: tuple[dict[str, Any], ...]
    provenance: dict[str, Any]
    folder: Path
    summary: dict[str, Any] = field(default_factory=dict)
    place: Place = field(repr=False, compare=False, kw_only=True)
    below: str = field(repr=False, compare=False, kw_only=True)
    mark: str = field(repr=False, compare=False, kw_only=True)

    def path(self, suffix: str = "") -> Path:
        """The first file, or folder of files, whose name ends so; of an object store it is fetched.

        Raises
        ------
        MissingProductError
            The product has no such file.
        StorageError
            It cannot be fetched.
        """
        name = self._name(suffix)
        items = [item for item in self.files if item["name"] == name or item["name"].startswith(f"{name}/")]
        return self.place.local(self.below, items, self.mark) / name

    def whole(self) -> Path:
        """The folder with all files; those of an object store are fetched.

        Raises
        ------
        StorageError
            One cannot be fetched.
        """
        return self.place.local(self.below, self.files, self.mark)

    def location(self, suffix: str = "") -> str:
        """Path or address of what `path` gives, without fetching it."""
        return str(self.place.at(f"{self.below}/{self._name(suffix)}"))

    def _name(self, suffix: str) -> str:
        names = [str(item["name"]) for item in self.files]
        folders = [str(parent) for name in names for parent in PurePosixPath(name).parents]
        for name in (*names, *folders):
            if name.endswith(suffix) and name != ".":
                return name
        raise MissingProductError(f"{self.key} has no file *{suffix} in {self.place.at(self.below)}")

    def faults(self) -> list[str]:
        """What is wrong with the files: missing, of another size, or of another sha256."""
        return self.place.faults(self.below, self.files)


class Store:
    """A folder of products, or a prefix of an object store.

    Parameters
    ----------
    root : path or address
        ``s3://bucket/prefix`` or any other address that fsspec reaches; else a local folder. Need not exist yet.

    Raises
    ------
    InputError
        The address cannot be reached by fsspec.
    """

    def __init__(self, root: str | Path) -> None:
        self.place = place_of(root)

    @property
    def root(self) -> Any:
        """What makes the store again: a path, or the address of an object store."""
        return self.place.root

    @staticmethod
    def below(key: ProductKey) -> str:
        """Place of a product in a store: ``<area>/<key>``."""
        return f"{encode(key.area)}/{key.text}"

    def folder(self, key: ProductKey) -> Path:
        """Folder of a product of a local store.

        Raises
        ------
        InputError
            The store is no folder; `Entry.path` fetches files.
        """
        if not isinstance(self.place, Folder):
            raise InputError(f"{self.root}: must be a local folder, found an object store")
        return self.place.at(self.below(key))

    # -- reading ------------------------------------------------------------------------------------------------------

    def exists(self) -> bool:
        """Whether there is such a folder, or any object."""
        return self.place.exists()

    def entry(self, key: ProductKey) -> Entry | None:
        """The product of a key, None if it does not exist (no manifest, or a file of another size)."""
        below = self.below(key)
        content = self.place.read(f"{below}/{MANIFEST}")
        return None if content is None else self._entry(below, content, self.place.sizes(below))

    def has(self, key: ProductKey) -> bool:
        """Whether there is a manifest of a key; cheaper than reading it."""
        return self.place.has(f"{self.below(key)}/{MANIFEST}")

    def entries(self) -> Iterator[Entry]:
        """All products, in key order."""
        for top in sorted(self.place.stamps(), key=unquote):
            yield from self.entries_of(top)

    def entries_of(self, top: str) -> Iterator[Entry]:
        """The products in a folder at the top (the encoded name of an area), in key order."""
        yield from self._entries_in(self.place.sizes(top))

    def broken(self) -> Iterator[str]:
        """Folders whose manifest cannot be read, or names a file that is missing or of another size."""
        for top in self.place.stamps():
            sizes = self.place.sizes(top)
            right = {entry.below for entry in self._entries_in(sizes)}
            yield from (str(self.place.at(below)) for below in _belows(sizes) if below not in right)

    def _entries_in(self, sizes: Mapping[str, int]) -> list[Entry]:
        """The products among files with their sizes."""
        parts: dict[str, dict[str, int]] = {below: {} for below in _belows(sizes)}
        for name, size in sizes.items():
            parts.get("/".join(name.split("/")[:2]), {})[name] = size
        contents = self.place.read_many([f"{below}/{MANIFEST}" for below in parts])
        found = [
            self._entry(below, content, part)
            for (below, part), content in zip(parts.items(), contents, strict=True)
            if content is not None
        ]
        return sorted((entry for entry in found if entry is not None), key=lambda entry: entry.key)

    def _entry(self, below: str, content: bytes, sizes: Mapping[str, int]) -> Entry | None:
        """What a manifest says, None if it is none or a file that it names is not there."""
        mark = sha256(content).hexdigest()
        try:
            told = json.loads(content)
            entry = Entry(
                ProductKey(**told["key"]),
                told["state"],
                told["digest"],
                tuple(told["files"]),
                told["provenance"],
                self.place.cached(below, mark),
                told.get("summary", {}),
                place=self.place,
                below=below,
                mark=mark,
            )
            are_there = all(
                is_inside(item["name"]) and sizes.get(f"{below}/{item['name']}") == item["size"]
                for item in entry.files
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
        return entry if are_there else None

    # -- writing ------------------------------------------------------------------------------------------------------

    def put(
        self,
        key: ProductKey,
        provenance: Provenance,
        write: Callable[[Path], Sequence[Path]],
        empty: bool | Callable[[], bool] = False,
        summary: Mapping[str, Any] | Callable[[], Mapping[str, Any]] | None = None,
    ) -> Entry:
        """Write a product whole: its files aside, then in their place, then the manifest, then remove what is old.

        Parameters
        ----------
        key : ProductKey
        provenance : Provenance
        write : callable
            Gets a local folder and returns the files, and folders of files, that it wrote there, the main one first.
        empty : bool or callable
            Whether no cell has a value; may be asked when the files are written.
        summary : mapping or callable, optional
            What the index tells of the content (`vmpz.run.summaries`); may be asked when the files are written.

        Raises
        ------
        StorageError
            The storage refuses. The product that was there is still there, or none is.
        """
        below = self.below(key)
        with self.place.staging(below) as folder:
            items = [
                {"name": path.relative_to(folder).as_posix(), **self.place.describe(path)}
                for path in _all_files(write(folder))
            ]
            told = summary() if callable(summary) else summary
            content = {
                "key": asdict(key),
                "state": "EMPTY" if (empty() if callable(empty) else empty) else "DONE",
                "digest": provenance.digest,
                "files": items,
                "provenance": provenance.as_dict(),
                **({"summary": dict(told)} if told else {}),
            }
            text = json.dumps(content, indent=1, sort_keys=True, default=str) + "\n"
            write_text(folder / MANIFEST, text)
            self.place.touch(encode(key.area))
            earlier = self.place.publish(below, folder, items, MANIFEST)
        kept = {f"{below}/{name}" for name in (MANIFEST, *(item["name"] for item in items))}
        self.place.remove(name for name in earlier if name not in kept)
        entry = self.entry(key)
        if entry is None:
            raise MissingProductError(f"{self.place.at(below)}: the product just written cannot be read back")
        return entry

    def retract(self, key: ProductKey) -> None:
        """Take a product away: its manifest first, then its files. Releases keep what they froze."""
        below = self.below(key)
        names = [f"{below}/{MANIFEST}", *self.place.sizes(below)]
        self.place.touch(encode(key.area))
        self.place.remove(dict.fromkeys(names))

    def sweep(self) -> list[Path | str]:
        """Remove what killed writers left: temporaries, and files that no manifest names; folders of others stay."""
        removed = list(self.place.sweep())
        for top in self.place.stamps():
            sizes = self.place.sizes(top)
            named = {
                f"{entry.below}/{name}"
                for entry in self._entries_in(sizes)
                for name in (MANIFEST, *(item["name"] for item in entry.files))
            }
            left = [name for name in sizes if name not in named and _is_of_a_product(name)]
            self.place.remove(left)
            removed += [self.place.at(name) for name in left]
        return removed

    def lock(self) -> AbstractContextManager[None]:
        """Hold the store for one run; a lock of a dead process of this host is taken over.

        Raises
        ------
        VmpzError
            Another run holds the store; the message names its process and host.
        """
        return self.place.hold()

    # -- notes of the store itself ------------------------------------------------------------------------------------

    def read_text(self, name: str) -> str | None:
        """A small text file at the top of the store, None if there is none."""
        content = self.place.read(name)
        return None if content is None else content.decode("utf-8", "replace")

    def write_text(self, name: str, text: str) -> None:
        """Write a small text file at the top of the store, whole."""
        self.place.write(name, text.encode())


def _belows(sizes: Mapping[str, int]) -> list[str]:
    """Folders that have a manifest."""
    end = f"/{MANIFEST}"
    return [name.removesuffix(end) for name in sorted(sizes) if name.count("/") == 2 and name.endswith(end)]


def _is_of_a_product(name: str) -> bool:
    """Whether a file stands in the folder of a product, not in one of somebody else."""
    parts = name.split("/")
    try:
        return len(parts) > 2 and ProductKey.parse(parts[1]).text == parts[1]
    except ValueError:
        return False


def is_inside(name: str) -> bool:
    """Whether the name of a file stays in the folder of its product."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def _all_files(paths: Sequence[Path]) -> Iterator[Path]:
    """Files, and the files of folders in the order of their names."""
    for path in paths:
        if path.is_dir():
            yield from sorted(one for one in path.rglob("*") if one.is_file())
        else:
            yield path
