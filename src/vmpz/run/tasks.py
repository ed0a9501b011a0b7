"""What the command line does with files and stores: one function a verb."""

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vmpz import io
from vmpz.bits import table_names
from vmpz.errors import InputError
from vmpz.files.write import sha256_of
from vmpz.make import RECIPES
from vmpz.make.merge import merge
from vmpz.parameters import MapParameters
from vmpz.products import Product, Provenance
from vmpz.readers import READERS
from vmpz.run.account import ACCOUNT, Account
from vmpz.run.instant import now
from vmpz.run.measure import LIBRARIES, versions
from vmpz.run.patches import MERGE_VERSION, products_of
from vmpz.run.store import Store

__all__ = [
    "account_of",
    "check_path",
    "convert_file",
    "diagnosis",
    "list_store",
    "merge_files",
    "products_of_area",
    "read_product",
    "summary_of",
]


def read_product(path: str | Path) -> Product:
    """Read a product file in any form."""
    return io.read(Path(path))


def products_of_area(store: str | Path, area: str) -> list[Product]:
    """All maps of one tile or patch of a store."""
    return products_of(Store(store), area)


def account_of(store: Path) -> Account:
    """The account of a store.

    Raises
    ------
    InputError
        There is no such store, or it has no account.
    """
    if not (store / ACCOUNT).is_file():
        raise InputError(f"{store}: must be a store with an {ACCOUNT}, found none")
    return Account.read(store)


def summary_of(path: Path) -> dict[str, Any]:
    """What a file is: kind, band, order, cells, areas, range of values, unit, keywords."""
    return io.summary(path)


def convert_file(source: Path, out: Path, order: int | None, tolerance: float) -> str:
    """Write a product in the form that the name of `out` says, at a coarser order if asked."""
    io.convert(source, out, order=order, tolerance=tolerance)
    return str(out)


def merge_files(files: Sequence[str], out: Path, order: int | None, weights: Sequence[str]) -> str:
    """Join tile products of one kind and band; `files` are paths, folders or @LIST (one path a line).

    A file that is named twice counts once.

    Raises
    ------
    InputError
        A file or list does not exist, a folder holds no product, or a file is none.
    MapMismatchError
        Two products must not be merged; the message names both.
    """
    paths = _expanded(files)
    products = [_read_named(path) for path in paths]
    merged = merge(products, "CONCAT", order, [_read_named(path) for path in _expanded(weights)])
    inputs = {
        product.key.text: str(product.keywords.get("PRODDIG") or sha256_of(path))
        for path, product in zip(paths, products, strict=True)
    }
    provenance = Provenance(
        "merge", MERGE_VERSION, {"order": merged.key.order}, inputs, versions(), now(),
        all(bool(product.keywords.get("VERIFIED")) for product in products),
    )  # fmt: skip
    io.write_file(merged, out, provenance=provenance, maps=MapParameters())
    return str(out)


def _read_named(path: Path) -> Product:
    """A product whose messages name its file."""
    try:
        return io.read(path)
    except InputError as error:
        error.add_note(f"file: {path}")
        raise


def _expanded(names: Sequence[str]) -> list[Path]:
    """Files of names, each once."""
    paths: list[Path] = []
    for name in names:
        if name.startswith("@"):
            lines = _existing(Path(name[1:])).read_text("utf-8", "replace").splitlines()
            paths += [Path(line.strip()) for line in lines if line.strip()]
        elif Path(name).is_dir():
            found = sorted(Path(name).rglob("*.fits"))
            if not found:
                raise InputError(f"{name}: must hold products (*.fits), found none")
            paths += found
        else:
            paths.append(Path(name))
    return list({_existing(path).resolve(): path for path in paths}.values())


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise InputError(f"{path}: must be a file, found {'a folder' if path.is_dir() else 'nothing'}")
    return path


def check_path(where: Path) -> tuple[int, list[str]]:
    """Verify one product file, or all products of a store; the number of files and the faults found.

    Raises
    ------
    InputError
        There is nothing at that path.
    """
    if where.is_file():
        return 1, io.check(where)
    if not where.is_dir():
        raise InputError(f"{where}: must be a product file or a store, found nothing")
    count, faults = 0, []
    for entry in Store(where).entries():
        count += len(entry.files)
        found = entry.faults()
        faults += found or [
            fault
            for item in entry.files
            if item["name"].endswith((".fits", ".parquet"))
            for fault in io.check(entry.folder / item["name"])
        ]
    named = {entry.folder for entry in Store(where).entries()}
    broken = [path.parent for path in sorted(where.glob("*/*/manifest.json")) if path.parent not in named]
    faults += [
        f"{folder}: its manifest cannot be read, or a file it names is missing or of another size"
        for folder in broken
    ]
    if not count and not broken:
        raise InputError(f"{where}: must be a product file or a store, found a folder without products")
    return count, faults


def list_store(where: Path) -> list[dict[str, Any]]:
    """One row a product.

    Raises
    ------
    InputError
        There is no such folder.
    """
    if not where.is_dir():
        raise InputError(f"{where}: must be a store, found {'a file' if where.exists() else 'nothing'}")
    return [
        {
            "area": entry.key.area,
            "kind": entry.key.kind,
            "quantity": entry.key.quantity,
            "statistic": entry.key.statistic,
            "selection": entry.key.selection,
            "band": entry.key.band,
            "order": entry.key.order,
            "state": entry.state,
            "digest": entry.digest[:12],
            "file": entry.files[0]["name"],
        }
        for entry in Store(where).entries()
    ]


def diagnosis() -> dict[str, Any]:
    """Versions, readers, recipes, bit tables, machine."""
    return {
        "vmpz": version("vmpz"),
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "libraries": ", ".join(f"{name} {version(name)}" for name in LIBRARIES[1:]),
        "readers": ", ".join(READERS),
        "products": ", ".join(RECIPES),
        "bit tables": ", ".join(table_names()),
    }
