"""Maps by name: those of a store's area and those in files, each read when it is first used.

In a store a map is called ``kind_BAND`` (``depth_VIS``, ``coverage_NIR_H``), ``kind`` where it has no band
(``effectivecoverage``), an info map ``Quantity_STATISTIC_BAND`` (``Noise_RMSQ_VIS``, ``Tile_VALUE``), a visibility
``visibility_CLASS``. A file is called
the same by its header; ``NAME=FILE`` gives it another name, and A, B, C... are the files in their order. A file of
several bands holds a map a band (``A_VIS``). Of a bit mask, ``bitmask_VIS_SAT`` and ``bitmask_VIS_BIT03`` are single
bits. Upper and lower case are one where no two names differ by that alone.
"""

import hashlib
import keyword
import re
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

from vmpz import io
from vmpz.errors import InputError, VmpzError, meant
from vmpz.files.nearby import what_is_at
from vmpz.io.forms import FORMS
from vmpz.io.multiband import bands_in
from vmpz.make.expressions import ExpressionError
from vmpz.make.merge import merge
from vmpz.make.scene import Layer
from vmpz.products import Product, ProductKey
from vmpz.run.mapfiles import map_path
from vmpz.run.patchplan import MAP_KINDS
from vmpz.run.store import Entry, Store

__all__ = ["JOINED", "NamedMap", "NamedMaps", "name_of"]

JOINED = "CONCAT"
"""Area of what joins several tiles."""
KINDS = MAP_KINDS


def name_of(key: ProductKey) -> str:
    """The name of a map in expressions.

    >>> name_of(ProductKey("1", "depth", band="NIR_H"))
    'depth_NIR_H'
    """
    parts = {
        "info": (key.quantity, key.statistic, key.band),
        "visibility": (key.kind, key.quantity),
    }.get(key.kind, (key.kind, key.band))
    return re.sub(r"\W", "_", "_".join(part for part in parts if part != "-"), flags=re.ASCII)


@dataclass(frozen=True)
class NamedMap:
    """What a name stands for: the map, what is told of it, and identities of the inputs by their names."""

    layer: Layer
    told: str
    inputs: Mapping[str, str]


@dataclass
class _Source:
    """Where a product comes from: what is told of it, how it is read, and identities of the inputs where known."""

    told: str
    read: Callable[[], Product]
    known: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def product(self) -> Product:
        return self.read()

    def map(self, column: str = "WEIGHT") -> NamedMap:
        product = self.product
        return NamedMap(Layer(product, column), self.told, self.known or {self.told: _identity(product)})


class NamedMaps:
    """What names stand for.

    Parameters
    ----------
    sources : sequence of str
        At most one store, and files: ``FILE`` or ``NAME=FILE``.
    area : str, optional
        Patch or tile of the store; default the only patch there is, else all tiles joined.

    Raises
    ------
    InputError
        A file does not exist, a folder is no store, there are two stores, or the store has not this area.
    """

    def __init__(self, sources: Sequence[str], area: str | None = None) -> None:
        self._named: dict[str, list[_Source]] = {}
        self._closed: list[tuple[set[str], Path, _Source]] = []
        self.area: str | None = None
        stores = [one for one in sources if _is_store(one)]
        if len(stores) > 1 or (area is not None and not stores):
            raise InputError(f"an area is one of one store, found {', '.join(stores) or 'no store'}")
        for store in stores:
            self._add_store(store, area)
        self._add_files([one for one in sources if one not in stores])

    def find(self, name: str, where: str = "") -> NamedMap:
        """The map of a name; `where` stands before the message if there is none.

        Raises
        ------
        ExpressionError
            There is no such map, or there are several; the message lists the names that there are.
        InputError
            Its file does not hold what it must.
        """
        source = self._source(name)
        if source is None and self._closed:
            self._open_files()
            source = self._source(name)
        if source is not None:
            return source.map()
        names = list(self._named)
        for base in sorted(self._named, key=len, reverse=True):
            if name.casefold().startswith(f"{base}_".casefold()):
                known = self._source(base)
                column = None if known is None else _bit_column(known.product, name[len(base) + 1 :])
                if known is not None and column is not None:
                    return known.map(column)
                names += [] if known is None else [f"{base}_{bit}" for bit in _bit_names(known.product)]
        raise ExpressionError(
            f"{where}there is no map {name}{meant(name, names)}; there are {', '.join(sorted(self._named))}"
        )

    def bands_of(self, kind: str) -> list[str]:
        """Bands of a kind of map, as they stand in names."""
        self._open_files()
        start = f"{kind}_"
        return [name.removeprefix(start) for name in sorted(self._named) if name.startswith(start)]

    def with_coverage(self, layer: Layer) -> Layer:
        """The layer with the coverage of its band and order as its weight, where there is just one."""
        name = name_of(replace(layer.product.key, kind="coverage"))
        found = self._named.get(name, [])
        if len(found) != 1 or found[0].product.map.order != layer.map.order:
            return layer
        return replace(layer, weight=found[0].product.map)

    def _source(self, name: str) -> _Source | None:
        alike = [one for one in self._named if one.casefold() == name.casefold()]
        known = name if name in alike else alike[0] if len(alike) == 1 else None
        if known is None:
            return None
        sources = self._named[known]
        if len(sources) > 1:
            raise ExpressionError(
                f"{known} must stand for one map, found {'; '.join(one.told for one in sources)}: name files NAME=FILE"
            )
        return sources[0]

    def _add(self, name: str, source: _Source) -> None:
        sources = self._named.setdefault(name, [])
        if source not in sources:
            sources.append(source)

    # -- stores ---------------------------------------------------------------------------------------------------

    def _add_store(self, root: str, area: str | None) -> None:
        entries = [entry for entry in Store(root).entries() if entry.key.kind in KINDS]
        areas = _areas(root, entries, area)
        self.area = next(iter(areas)) if len(areas) == 1 else JOINED
        groups: dict[ProductKey, list[Entry]] = {}
        for entry in entries:
            if entry.key.area in areas:
                groups.setdefault(replace(entry.key, area="-"), []).append(entry)
        for key, members in groups.items():
            many = f"{len(members)} tiles" if len(members) > 1 else members[0].key.area
            digests = {entry.key.text: entry.digest for entry in members}
            told = f"{many}: {key}, order {key.order}, release {key.release}"
            self._add(name_of(key), _Source(told, partial(_joined, members), digests))

    # -- files ----------------------------------------------------------------------------------------------------

    def _add_files(self, words: Sequence[str]) -> None:
        files = [_name_and_path(word) for word in words]
        given = [name for name, _ in files if name]
        for name in given:
            if given.count(name) > 1 or not _can_be_a_name(name):
                raise InputError(f"{name}=...: a name must be a word of letters and digits, given once")
        for letter, (name, path) in zip(string.ascii_uppercase, files):
            source = _Source(path.name, partial(_read, path))
            labels = {name or letter, letter} - (set(given) - {name})
            for label in labels:
                self._add(label, source)
            self._closed.append((labels, path, source))

    def _open_files(self) -> None:
        """Give files the names that their headers say."""
        for labels, path, source in self._closed:
            bands = bands_in(path) if path.name.endswith((".fits", ".fits.gz")) else ()
            for band in bands:
                one = _Source(f"{path.name} {band}", partial(_read, path, band))
                for name in (name_of(one.product.key), *(f"{label}_{band}" for label in labels)):
                    self._add(name, one)
            if not bands:
                self._add(name_of(source.product.key), source)
        self._closed = []


def _is_store(word: str) -> bool:
    """Whether a word is a store: a folder that is no product by its name, or a place of an object store."""
    suffixes = tuple(suffix for form in FORMS.values() for suffix in form.suffixes)
    return not word.rstrip("/").endswith(suffixes) and ("://" in word or Path(word).is_dir())


def _areas(root: str, entries: Sequence[Entry], area: str | None) -> set[str]:
    """Areas of a store that are taken."""
    there = {entry.key.area for entry in entries}
    patches = {entry.key.area for entry in entries if entry.provenance.get("recipe") == "merge"}
    if not there or (area is not None and area not in there):
        wanted = "must be a store with maps" if area is None else f"must hold the area {area}"
        raise InputError(f"{root}: {wanted}, found {', '.join(sorted(there)) or 'none'}{meant(area, there)}")
    if area is not None:
        return {area}
    return patches if len(patches) == 1 else there - patches or patches


def _joined(entries: Sequence[Entry]) -> Product:
    """The product of one area, or of several joined."""
    products = [replace(_read(map_path(entry)), key=entry.key) for entry in entries]
    return products[0] if len(products) == 1 else merge(products, JOINED)


def _read(path: Path, band: str | None = None) -> Product:
    try:
        product = io.read(path, band)
    except VmpzError as error:
        error.add_note(f"file: {path}")
        raise
    if not product.maps:
        raise InputError(f"{path}: must hold a map, found a table")
    return product


def _name_and_path(word: str) -> tuple[str, Path]:
    name, equal, rest = word.partition("=")
    name, path = ("", Path(word)) if not equal or Path(word).exists() else (name, Path(rest))
    if not path.exists():
        raise InputError(f"{path}: must be a product file or a store, found {what_is_at(path)}")
    return name, path


def _can_be_a_name(word: str) -> bool:
    return word.isascii() and word.isidentifier() and word[0] != "_" and not keyword.iskeyword(word)


def _bit_column(product: Product, suffix: str) -> str | None:
    """The column of a bit mask that a number (BIT03) or the name of a bit says."""
    for column in product.maps:
        told = (column, str(product.keywords.get(f"BITN{column.removeprefix('BIT')}", "")))
        if column != "WEIGHT" and suffix.casefold() in (one.casefold() for one in told):
            return column
    return None


def _bit_names(product: Product) -> list[str]:
    """Names of the bits that have a column."""
    return [
        str(product.keywords.get(f"BITN{column.removeprefix('BIT')}", column))
        for column in product.maps
        if column != "WEIGHT"
    ]


def _identity(product: Product) -> str:
    """The digest that a product carries, else that of its map."""
    values = product.map.cells.digest.encode() + product.map.values.tobytes()
    return str(product.keywords.get("PRODDIG") or hashlib.sha256(values).hexdigest())
