"""The index of a store: one row a product, in SQLite, made from the manifests and from nothing else.

It is a convenience: deleted, corrupted or locked, it is made again with the same content. It stands beside the products
(``index.sqlite``), or in the cache where the store is an object store or may not be written to; whoever cannot have the
file makes an index in memory. One writer at a time, rollback journal, and no value ever becomes part of a statement.

Which manifests are read. Whoever puts a product in place first gives the folder of its area a new stamp (its time of
modification; on an object store a small object ``.changed/<area>``). The index keeps the stamp with which it read an
area, and reads the area again when the stamp differs: other products cost nothing. A stamp younger than `GRACE_S` is
not kept, since the manifest it announces may not be there yet; so nothing is missed unless a writer stands still for
longer than that between stamp and manifest. What changes a folder behind the back of `vmpz` is seen where it adds or
removes folders of products; else `rebuild` reads everything.
"""

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

from vmpz.errors import InputError, listed, meant
from vmpz.files.nearby import what_is_at
from vmpz.files.places import Folder
from vmpz.files.remote import cache_folder
from vmpz.products import KINDS
from vmpz.run.store import Entry, Store

__all__ = ["Index"]

INDEX = "index.sqlite"
VERSION = 1
GRACE_S = 60.0
PATIENCE_S = 10.0
BATCH = 64
CHECKED_BYTES = 1 << 26

COLUMNS = (
    "key", "folder", "area", "level", "kind", "quantity", "statistic", "selection", "instrument", "band", "order",
    "release", "recipe", "state", "digest", "created", "file", "bytes", "cells", "area_deg2", "observed_area_deg2",
    "minimum", "mean", "maximum", "unit", "extent",
)  # fmt: skip

TABLES = """
CREATE TABLE areas (folder TEXT PRIMARY KEY, stamp TEXT NOT NULL);
CREATE TABLE extents (id TEXT PRIMARY KEY, envelope TEXT, cover TEXT);
CREATE TABLE products (
    key TEXT PRIMARY KEY, folder TEXT NOT NULL, area TEXT NOT NULL, level TEXT NOT NULL, kind TEXT NOT NULL,
    quantity TEXT NOT NULL, statistic TEXT NOT NULL, selection TEXT NOT NULL, instrument TEXT NOT NULL,
    band TEXT NOT NULL, "order" INTEGER NOT NULL, release TEXT NOT NULL, recipe TEXT NOT NULL, state TEXT NOT NULL,
    digest TEXT NOT NULL, created TEXT NOT NULL, file TEXT NOT NULL, bytes INTEGER NOT NULL, cells INTEGER,
    area_deg2 REAL, observed_area_deg2 REAL, minimum REAL, mean REAL, maximum REAL, unit TEXT, extent TEXT
);
CREATE INDEX by_folder ON products (folder);
CREATE INDEX by_kind ON products (kind, band);
"""
DROPS = "".join(f"DROP TABLE IF EXISTS {name};" for name in ("areas", "extents", "products"))
INSERT = f"INSERT OR REPLACE INTO products VALUES ({', '.join('?' * len(COLUMNS))})"
SELECT = """
SELECT products.*, envelope, cover FROM products LEFT JOIN extents ON id = extent
WHERE (:kinds IS NULL OR kind IN (SELECT value FROM json_each(:kinds)))
  AND (:bands IS NULL OR band IN (SELECT value FROM json_each(:bands)))
  AND (:areas IS NULL OR area IN (SELECT value FROM json_each(:areas)))
  AND (:level IS NULL OR level = :level)
ORDER BY area, kind, quantity, statistic, selection, instrument, band, "order", release
"""

OF_PATCHES = ("merge", "multiband", "collection")
"""Recipes of what stands for several tiles."""

Row = dict[str, Any]


class Index:
    """The index of a store, brought up to date when it is made.

    Parameters
    ----------
    store : Store
    rebuild : bool
        Read every manifest again.

    Raises
    ------
    InputError
        There is no such store.
    """

    def __init__(self, store: Store, rebuild: bool = False) -> None:
        if not store.exists():
            raise InputError(f"{store.root}: must be a store, found {what_is_at(store.root)}")
        self._store = store
        self._base = _opened(store, rebuild)

    def rows(
        self,
        *,
        kinds: Collection[str] | None = None,
        bands: Collection[str] | None = None,
        areas: Collection[str] | None = None,
        level: str | None = None,
    ) -> Iterator[Row]:
        """Rows in key order: `COLUMNS`, envelope and cover; what is not known is None.

        Parameters
        ----------
        kinds, bands, areas : collection of str, optional
            What counts; default all.
        level : {'tile', 'patch'}, optional
        """
        asked = {"kinds": _listed(kinds), "bands": _listed(bands), "areas": _listed(areas), "level": level}
        cursor = self._base.execute(SELECT, asked)
        names = [column[0] for column in cursor.description]
        for values in cursor:
            yield dict(zip(names, values, strict=True))

    def must_know(
        self,
        *,
        kinds: Collection[str] | None = None,
        bands: Collection[str] | None = None,
        areas: Collection[str] | None = None,
    ) -> None:
        """Refuse names that no product has; a kind that there is, but not here, is no mistake.

        Raises
        ------
        InputError
            The message lists the names that there are, and the one that may be meant.
        """
        for column, asked in (("kind", kinds), ("band", bands), ("area", areas)):
            known = {row[0] for row in self._base.execute(f"SELECT DISTINCT {column} FROM products")}
            unknown = sorted(set(asked or ()) - known - set(KINDS if column == "kind" else ()))
            if unknown and known:
                names = known - {"-"}
                guess = meant(unknown[0], names)
                raise InputError(
                    f"{self._store.root}: must hold the {column} {unknown[0]}{guess}; found {listed(names)}"
                )

    def close(self) -> None:
        """Release the file."""
        self._base.close()

    def __enter__(self) -> "Index":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _listed(names: Collection[str] | None) -> str | None:
    return None if names is None else json.dumps(sorted(names))


# -- the file ---------------------------------------------------------------------------------------------------------


def _opened(store: Store, rebuild: bool) -> sqlite3.Connection:
    """The index up to date: the file, a new file in the place of a corrupted one, or an index in memory."""
    path = _place(store)
    try:
        return _up_to_date(path, store, rebuild)
    except sqlite3.OperationalError:  # locked, read-only, full
        return _up_to_date(":memory:", store, rebuild)
    except sqlite3.DatabaseError:  # not a database, or one that is damaged
        with suppress(OSError):
            _removed(path)
            with suppress(sqlite3.DatabaseError):
                return _up_to_date(path, store, rebuild)
        return _up_to_date(":memory:", store, rebuild)


def _place(store: Store) -> str:
    if isinstance(store.place, Folder):
        return str(store.place.at(INDEX))
    folder = cache_folder() / sha256(str(store.root).encode()).hexdigest()
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    return str(folder / INDEX)


def _removed(path: str) -> None:
    for name in (path, f"{path}-journal"):
        Path(name).unlink(missing_ok=True)


def _up_to_date(path: str, store: Store, rebuild: bool) -> sqlite3.Connection:
    base = sqlite3.connect(path, timeout=PATIENCE_S, isolation_level=None)
    try:
        base.execute("PRAGMA journal_mode = DELETE")
        _make_tables(base)
        _must_be_whole(base)
        if rebuild:
            base.executescript(f"BEGIN IMMEDIATE; {DROPS} {TABLES} COMMIT;")
        _read_changes(base, store)
    except BaseException:
        base.close()
        raise
    return base


def _make_tables(base: sqlite3.Connection) -> None:
    """The tables of this version; those of another are dropped."""
    if base.execute("PRAGMA user_version").fetchone()[0] == VERSION:
        return
    base.executescript(f"BEGIN IMMEDIATE; {DROPS} {TABLES} PRAGMA user_version = {VERSION}; COMMIT;")


def _must_be_whole(base: sqlite3.Connection) -> None:
    """Check a file that is not too large for it."""
    pages, size = (base.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    if pages * size <= CHECKED_BYTES:
        (found,) = base.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(found)


# -- what changed -----------------------------------------------------------------------------------------------------


def _read_changes(base: sqlite3.Connection, store: Store) -> None:
    """Read again the areas whose stamps differ from those that are kept."""
    stamps = store.place.stamps()
    kept = dict(base.execute("SELECT folder, stamp FROM areas"))
    changed = [top for top, (stamp, _) in stamps.items() if not stamp or kept.get(top) != stamp]
    gone = [top for top in kept if top not in stamps]
    todo = [*gone, *changed]
    for start in range(0, len(todo), BATCH):
        base.execute("BEGIN IMMEDIATE")
        try:
            for top in todo[start : start + BATCH]:
                _replace(base, top, store.entries_of(top) if top in stamps else ())
                _keep(base, top, *stamps.get(top, (None, 0.0)))
        except BaseException:
            if base.in_transaction:
                base.execute("ROLLBACK")
            raise
        base.execute("COMMIT")


def _replace(base: sqlite3.Connection, top: str, entries: Iterable[Entry]) -> None:
    base.execute("DELETE FROM products WHERE folder = ?", (top,))
    for entry in entries:
        extent = _extent(entry)
        if extent is not None:
            base.execute("INSERT OR IGNORE INTO extents VALUES (?, ?, ?)", extent)
        row = _row(top, entry) | {"extent": None if extent is None else extent[0]}
        base.execute(INSERT, [row[name] for name in COLUMNS])


def _keep(base: sqlite3.Connection, top: str, stamp: str | None, age_s: float) -> None:
    """Remember the stamp of an area; '' one that is too young, nothing of an area that is gone."""
    base.execute("DELETE FROM areas WHERE folder = ?", (top,))
    if stamp is not None:
        base.execute("INSERT INTO areas VALUES (?, ?)", (top, stamp if age_s > GRACE_S else ""))


def _extent(entry: Entry) -> tuple[str, str | None, str | None] | None:
    """Envelope and cover, which most products of an area share, under a digest of theirs."""
    envelope, cover = (entry.summary.get(name) for name in ("envelope", "cover"))
    if cover is None:
        return None
    return sha256(f"{envelope} {cover}".encode()).hexdigest()[:32], envelope, cover


def _row(top: str, entry: Entry) -> Row:
    key, source = entry.key, entry.provenance
    numbers = ("cells", "area_deg2", "observed_area_deg2", "minimum", "mean", "maximum", "unit")
    return {
        **asdict(key),
        "key": key.text,
        "folder": top,
        "recipe": str(source.get("recipe", "")),
        "level": "patch" if source.get("recipe") in OF_PATCHES else "tile",
        "state": entry.state,
        "digest": entry.digest,
        "created": str(source.get("created", "")),
        "file": str(entry.files[0]["name"]) if entry.files else "",
        "bytes": sum(int(item["size"]) for item in entry.files),
        **{name: entry.summary.get(name) for name in numbers},
    }
