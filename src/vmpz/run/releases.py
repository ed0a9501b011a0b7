"""Releases: named, frozen lists of products, which a store keeps whatever is made later.

``<store>/.releases/NAME.json`` lists products (key, digest, files with size and sha256); it is written once, last, and
never changed. The files themselves stand below ``.releases/NAME/`` as hard links, or as copies where there are no links
and on object stores: a product that is remade or removed afterwards leaves them alone, so a release can always be
verified and exported. On a local disk a release costs nothing until a product is remade.
"""

import hashlib
import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vmpz import io
from vmpz.errors import InputError, VmpzError, meant
from vmpz.files.nearby import what_is_at
from vmpz.files.write import sha256_of, write_text, write_whole_folder
from vmpz.io.forms import FORMS, form_named
from vmpz.products import ProductKey
from vmpz.run.index import Index
from vmpz.run.instant import now
from vmpz.run.mapfiles import map_file
from vmpz.run.named import KINDS
from vmpz.run.store import Entry, Store, is_inside

__all__ = [
    "Frozen",
    "Release",
    "UnverifiedError",
    "Verdict",
    "create",
    "diff",
    "export",
    "read",
    "releases",
    "verify",
]

FOLDER = ".releases"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
SUMS = "SHA256SUMS"
COPY = "copy"


class UnverifiedError(VmpzError):
    """Files are not what their size and sha256 say."""


@dataclass(frozen=True)
class Frozen:
    """One product of a release: key, digest, files (name, size, sha256)."""

    key: ProductKey
    digest: str
    files: tuple[dict[str, Any], ...]

    @classmethod
    def of(cls, entry: Entry) -> "Frozen":
        """A product as it is now."""
        files = tuple({name: item[name] for name in sorted(item)} for item in entry.files)
        return cls(entry.key, entry.digest, files)

    @property
    def content(self) -> tuple[Any, ...]:
        """What makes it another product when it changes."""
        return self.digest, tuple(sorted((item["name"], item["size"], item["sha256"]) for item in self.files))

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {"key": self.key.text, "digest": self.digest, "files": list(self.files)}


@dataclass(frozen=True)
class Release:
    """A release: name, instant of creation (UTC), products in key order."""

    name: str
    created: str
    products: tuple[Frozen, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of the list of products: the release, whatever it is called."""
        content = json.dumps([[one.key.text, *one.content] for one in self.products])
        return hashlib.sha256(content.encode()).hexdigest()

    @property
    def bytes(self) -> int:
        """Bytes of all files."""
        return sum(item["size"] for one in self.products for item in one.files)

    def text(self) -> str:
        """The JSON file: one product a line."""
        head = {"name": self.name, "created": self.created, "digest": self.digest}
        lines = ",\n".join(json.dumps(one.as_dict(), sort_keys=True) for one in self.products)
        return f'{json.dumps(head)[:-1]}, "products": [\n{lines}\n]}}\n'

    @property
    def summary(self) -> dict[str, Any]:
        """Name, instant, numbers and digest."""
        files = sum(len(one.files) for one in self.products)
        return {
            "name": self.name, "created": self.created, "products": len(self.products), "files": files,
            "bytes": self.bytes, "digest": self.digest,
        }  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """What was found: files checked, faults of the frozen files, and what became of the products in the store."""

    files: int
    faults: tuple[str, ...]
    since: tuple[str, ...]


def create(
    store: Store,
    name: str,
    *,
    kinds: Collection[str] | None = None,
    bands: Collection[str] | None = None,
    areas: Collection[str] | None = None,
) -> Release:
    """Freeze the products of a store, all or those chosen, under a name.

    Every file is verified when it is frozen.

    Raises
    ------
    InputError
        The name is none, or taken; the store has no such product.
    UnverifiedError
        A product is not what its manifest says: nothing is created.
    VmpzError
        A run holds the store.
    """
    if not NAME.fullmatch(name):
        raise InputError(f"a release must be named with letters, digits and '._-', found {name!r}")
    if not store.exists():
        raise InputError(f"{store.root}: must be a store, found {what_is_at(store.root)}")
    with store.lock():
        if store.place.has(_list_of(name)):
            raise InputError(f"{store.root}: release {name} exists already; a release never changes")
        with Index(store) as index:
            index.must_know(kinds=kinds, bands=bands, areas=areas)
            keys = [row["key"] for row in index.rows(kinds=kinds, bands=bands, areas=areas)]
        store.place.remove(list(store.place.sizes(_folder_of(name))))  # of a creation that was cut short
        entries = (store.entry(ProductKey.parse(key)) for key in keys)
        try:
            products = tuple(_frozen(store, name, entry) for entry in entries if entry is not None)
        except BaseException:
            store.place.remove(list(store.place.sizes(_folder_of(name))))
            raise
        if not products:
            raise InputError(f"{store.root}: must hold products to release, found none that are asked for")
        release = Release(name, now().isoformat(), tuple(sorted(products, key=lambda one: one.key)))
        store.write_text(_list_of(name), release.text())
    return release


def _frozen(store: Store, name: str, entry: Entry) -> Frozen:
    """Freeze the files of a product, and verify what is frozen."""
    product = Frozen.of(entry)
    for fault in entry.faults():
        raise UnverifiedError(f"release {name} cannot be made: {fault}")
    below = Store.below(product.key)
    for item in product.files:
        store.place.freeze(f"{below}/{item['name']}", f"{_folder_of(name)}/{below}/{item['name']}", item)
    return product


def _list_of(name: str) -> str:
    return f"{FOLDER}/{name}.json"


def _folder_of(name: str) -> str:
    return f"{FOLDER}/{name}"


# -- reading ----------------------------------------------------------------------------------------------------------


def releases(store: Store) -> list[Release]:
    """All releases of a store, the oldest first.

    Raises
    ------
    InputError
        There is no such store, or a list of products cannot be read.
    """
    if not store.exists():
        raise InputError(f"{store.root}: must be a store, found {what_is_at(store.root)}")
    found = [read(store, name) for name in _names(store)]
    return sorted(found, key=lambda one: (one.created, one.name))


def _names(store: Store) -> list[str]:
    files = [name for name in store.place.sizes(FOLDER) if name.count("/") == 1 and name.endswith(".json")]
    return [name.removeprefix(f"{FOLDER}/").removesuffix(".json") for name in files]


def read(store: Store, name: str) -> Release:
    """The release of a name.

    Raises
    ------
    InputError
        There is none.
    UnverifiedError
        Its list of products was altered.
    """
    text = store.read_text(_list_of(name)) if NAME.fullmatch(name) else None
    if text is None:
        known = _names(store)
        raise InputError(
            f"{store.root}: must have a release {name}, found {', '.join(known) or 'none'}{meant(name, known)}"
        )
    where = store.place.at(_list_of(name))
    try:
        told = json.loads(text)
        products = tuple(
            Frozen(ProductKey.parse(one["key"]), one["digest"], tuple(one["files"]))
            for one in told["products"]
        )
        release = Release(told["name"], told["created"], products)
        is_whole = (release.digest, release.name) == (told["digest"], name)
        stays = all(is_inside(item["name"]) for one in products for item in one.files)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnverifiedError(f"{where}: must be the list of a release, found {error!r}") from error
    if not stays:
        raise UnverifiedError(
            f"{where}: files must stay in the folder of their product, found one that does not"
        )
    if not is_whole:
        raise UnverifiedError(
            f"{where}: the list of products must have the digest {told['digest']}: it was altered"
        )
    return release


def verify(store: Store, name: str) -> Verdict:
    """Compare every file of a release with its size and sha256, and the release with the store as it is now.

    Raises
    ------
    InputError
        There is no such release.
    UnverifiedError
        Its list of products was altered.
    """
    release = read(store, name)
    faults, since, files = [], [], 0
    for product in release.products:
        files += len(product.files)
        faults += store.place.faults(f"{_folder_of(name)}/{Store.below(product.key)}", product.files)
        entry = store.entry(product.key)
        if entry is None:
            since.append(f"{product.key.text}: the store has it no more")
        elif Frozen.of(entry).content != product.content:
            since.append(f"{product.key.text}: the store has it remade")
    return Verdict(files, tuple(faults), tuple(since))


def diff(store: Store, one: str, other: str | None = None) -> dict[str, list[str]]:
    """Keys that were added, removed or changed from one release to another (default the store as it is now).

    Raises
    ------
    InputError
        There is no such release.
    """
    before = {product.key: product.content for product in read(store, one).products}
    later = read(store, other).products if other is not None else map(Frozen.of, store.entries())
    after = {product.key: product.content for product in later}
    return {
        "added": [key.text for key in sorted(after.keys() - before.keys())],
        "removed": [key.text for key in sorted(before.keys() - after.keys())],
        "changed": [key.text for key in sorted(before.keys() & after.keys()) if before[key] != after[key]],
    }


# -- handing over -----------------------------------------------------------------------------------------------------


def export(store: Store, name: str, out: Path, form: str = COPY) -> int:
    """Write a release into a new folder, whole or not at all; returns the number of files.

    Beside the products stand the list (``release.json``) and ``SHA256SUMS``, which ``sha256sum -c`` accepts.

    Parameters
    ----------
    store : Store
    name : str
    out : Path
        Must not exist.
    form : str
        'copy': files as they are, with their descriptors; else a form of `io.FORMS` in which maps are written instead.

    Raises
    ------
    InputError
        There is no such release or form, or `out` exists.
    UnverifiedError
        A file of the release is not what it must be.
    StorageError
        The system refuses.
    """
    release = read(store, name)
    if form != COPY:
        form_named(form)
    if out.exists():
        raise InputError(f"{out}: must not exist yet, found {'a folder' if out.is_dir() else 'a file'}")
    sums: dict[str, str] = {}
    with write_whole_folder(out) as folder:
        for product in release.products:
            sums |= _exported(store, name, product, folder, form)
        write_text(folder / "release.json", release.text())
        sums["release.json"] = hashlib.sha256(release.text().encode()).hexdigest()
        write_text(folder / SUMS, "".join(f"{sha}  {path}\n" for path, sha in sorted(sums.items())))
    return len(sums)


def _exported(store: Store, name: str, product: Frozen, folder: Path, form: str) -> dict[str, str]:
    """Write the files of a product, or its map in another form (there are no bit masks of polygons); sha256 by name."""
    key = product.key
    if form != COPY and key.kind in KINDS and (key.kind, form) != ("bitmask", "mangle"):
        return _converted(store, name, product, folder, form)
    return _copied(store, name, product, folder)


def _copied(store: Store, name: str, product: Frozen, folder: Path) -> dict[str, str]:
    below = Store.below(product.key)
    place = f"{_folder_of(name)}/{below}"
    for fault in store.place.faults(place, product.files):
        raise UnverifiedError(f"release {name}: {fault}")
    for item in product.files:
        store.place.fetch(f"{place}/{item['name']}", folder / below / item["name"], item)
    return {f"{below}/{item['name']}": str(item["sha256"]) for item in product.files}


def _converted(store: Store, name: str, product: Frozen, folder: Path, form: str) -> dict[str, str]:
    below = Store.below(product.key)
    with TemporaryDirectory() as elsewhere:
        _copied(store, name, product, Path(elsewhere))
        path = Path(elsewhere, below, map_file(product.files))
        suffix = next(one for row in FORMS.values() for one in row.suffixes if path.name.endswith(one))
        made = folder / below / f"{path.name.removesuffix(suffix)}{FORMS[form].suffixes[0]}"
        io.convert(path, made)
    files = sorted(one for one in made.rglob("*") if one.is_file()) if made.is_dir() else [made]
    return {one.relative_to(folder).as_posix(): sha256_of(one) for one in files}
