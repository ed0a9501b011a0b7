"""What the command line does with files and stores: one function a verb."""

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vmpz import io
from vmpz.bits import table_names
from vmpz.errors import InputError
from vmpz.make import RECIPES
from vmpz.make.merge import merge
from vmpz.parameters import MapParameters
from vmpz.products import Product, Provenance
from vmpz.readers import READERS
from vmpz.run.measure import LIBRARIES, versions
from vmpz.run.patches import MERGE_VERSION, products_of
from vmpz.run.store import Store

__all__ = [
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


def summary_of(path: Path) -> dict[str, Any]:
    """What a file is: kind, band, order, cells, areas, range of values, unit, keywords."""
    return io.summary(path)


def convert_file(source: Path, out: Path, order: int | None, tolerance: float) -> str:
    """Write a product in the form that the name of `out` says, at a coarser order if asked."""
    io.convert(source, out, order=order, tolerance=tolerance)
    return str(out)


def merge_files(files: Sequence[str], out: Path, order: int | None, weights: Sequence[str]) -> str:
    """Join tile products of one kind and band; `files` are paths, folders or @LIST (one path a line)."""
    paths = _expanded(files)
    products = [io.read(path) for path in paths]
    merged = merge(products, "CONCAT", order, [io.read(path) for path in _expanded(weights)])
    inputs = {
        path.name: product.provenance.digest
        if product.provenance
        else str(product.keywords.get("PRODDIG", "-"))
        for path, product in zip(paths, products, strict=True)
    }
    provenance = Provenance(
        "merge", MERGE_VERSION, {"order": merged.key.order}, inputs, versions(), _now(),
        all(bool(product.keywords.get("VERIFIED")) for product in products),
    )  # fmt: skip
    io.write_file(merged, out, provenance=provenance, maps=MapParameters())
    return str(out)


def _expanded(names: Sequence[str]) -> list[Path]:
    paths: list[Path] = []
    for name in names:
        if name.startswith("@"):
            lines = Path(name[1:]).read_text("utf-8").splitlines()
            paths += [Path(line.strip()) for line in lines if line.strip()]
        elif Path(name).is_dir():
            paths += sorted(Path(name).rglob("*.fits"))
        else:
            paths.append(Path(name))
    for path in paths:
        if not path.is_file():
            raise InputError(f"{path}: there is no such file")
    return paths


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
    """One row a product."""
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


def _now() -> datetime:
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    return datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
