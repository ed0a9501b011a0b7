"""Merging files: tile products of any form to one partial HEALPix file, in memory set by a block of the sky.

Headers come first, one file after the other; then the rows, unit after unit (`vmpz.make.joining`). Beside the result a
small table (`Units`) says which rows are of which unit, and what each was made of: when a tile is added, replaced or
retracted, the rows of all other units are copied from the earlier result. The bytes are the same either way.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from vmpz import io
from vmpz.errors import InputError, MapMismatchError
from vmpz.files.write import sha256_of, write_text
from vmpz.io.fits import columns_of, must_be_whole
from vmpz.io.metadata import COVERAGE_TYPE, degrade_rule_of
from vmpz.io.rows import RowsFile, Words, open_rows
from vmpz.io.streamed import Content, read_span, write_rows
from vmpz.make.agreement import Head
from vmpz.make.joining import MergePlan, Source, Unit, merged_units, places_of
from vmpz.make.merge import Merge, head_of, source_of
from vmpz.parameters import MapParameters
from vmpz.products import Product, ProductKey, Provenance, Scalar
from vmpz.sky.cells import CellSet
from vmpz.sky.degrading import FRACTIONAL
from vmpz.sky.hpx import MAX_ORDER, cell_area_deg2
from vmpz.sky.skymap import SkyMap

__all__ = ["Made", "Units", "add_files", "merge_files_to", "units_path"]

FOOTPRINT_AREAS = ("SFPAREA", "SFPDIFF")
CUT_BY_REGION = ("TILEAREA", *FOOTPRINT_AREAS)
"""Areas of whole tiles: they say nothing of a patch that cuts tiles."""


@dataclass(frozen=True)
class Units:
    """Which rows of a merged file are of which unit: number -> (digest, first row, rows).

    `file` is the identity of that file; `zeros` says whether it lists cells of value 0.
    """

    table: Mapping[int, tuple[str, int, int]] = field(default_factory=dict)
    file: str = ""
    zeros: bool = False

    def write(self, path: Path) -> None:
        """Write as JSON, whole or not at all."""
        rows = [[number, *one] for number, one in sorted(self.table.items())]
        lines = ",\n".join(json.dumps(row) for row in rows)
        head = f'"file": {json.dumps(self.file)}, "zeros": {json.dumps(self.zeros)}'
        write_text(path, f'{{{head}, "units": [\n{lines}\n]}}\n')

    def are_of(self, file: RowsFile) -> bool:
        """Whether they are the units of this very file, all of its rows and nothing else."""
        row = 0
        for _, (_, first, count) in sorted(self.table.items()):
            if first != row or count < 0:
                return False
            row += count
        return (row, self.file) == (file.count, _identity(file))

    @classmethod
    def read(cls, path: Path) -> "Units":
        """The table of a file; empty if there is none or it cannot be read: then everything is made anew."""
        try:
            content = json.loads(path.read_text("utf-8"))
            table = {
                int(number): (str(digest), int(first), int(count))
                for number, digest, first, count in content["units"]
            }
            return cls(table, str(content["file"]), content["zeros"] is True)
        except (OSError, ValueError, KeyError, TypeError):
            return cls()


@dataclass(frozen=True)
class Made:
    """A merged product: its head (no maps), what its file holds, its units, and how many of them were copied."""

    product: Product
    content: Content
    units: Units
    copied: int


def units_path(path: Path) -> Path:
    """Place of the table of units of a merged file."""
    return path.with_name(f"{path.name}.units.json")


def add_files(
    merge: Merge,
    paths: Iterable[Path],
    *,
    key: Callable[[Path], ProductKey] | None = None,
    owned: Callable[[ProductKey], CellSet] | None = None,
) -> None:
    """Add product files to a merge.

    Parameters
    ----------
    merge : Merge
        If it allows mixed products, those of finer orders are degraded to the coarsest, their cells weighing alike.
    paths : iterable of Path
    key : callable, optional
        The key of a file, where it is better known than from the file itself.
    owned : callable, optional
        Cells that the tile of a key owns: others are left out (files of extended tiles).

    Raises
    ------
    InputError
        A file is no product.
    MapMismatchError
        Two must not be merged; the message names both.
    """
    paths, coarsest = list(paths), MAX_ORDER
    opened: Iterable[tuple[Head, Source]] = map(_opened, paths)
    if merge.agreement.allow_mixed:
        opened = list(opened)
        coarsest = min((head.key.order for head, _ in opened), default=coarsest)
    for path, (head, source) in zip(paths, opened, strict=True):
        if head.key.order > coarsest:
            merge.agreement.mixed.add("order")
            head, source = _in_memory(path, coarsest)
        if key is not None:
            known = key(path)
            head, source = replace(head, key=known), replace(source, key=known)
        if owned is not None:
            head, source = _clipped(head, source, owned(head.key))
        merge.add(head, source)


def _opened(path: Path) -> tuple[Head, Source]:
    if path.is_dir():
        raise InputError(
            f"{path}: must be a file to be merged, found a folder (`vmpz convert` makes a file of a HiPS)"
        )
    try:
        file = open_rows(path) if path.name.endswith(".fits") else None
    except OSError as error:
        raise InputError(f"{path}: must be a readable file, found {error.strerror}") from error
    return _in_memory(path) if file is None else _of_rows(file)


def _in_memory(path: Path, order: int | None = None) -> tuple[Head, Source]:
    """A file that must be read whole, degraded if an order is given; its rows are read again when they are needed."""
    identity = sha256_of(path)
    product, convention = _read_named(path)
    product = _as_stored(io.degraded(product, order))

    def load() -> Words:
        again = _as_stored(io.degraded(_read_named(path)[0], order))
        if sha256_of(path) != identity:
            raise InputError(f"{path}: must not change while it is read, found other content")
        return source_of(again).load()

    head = head_of(product, str(path), convention)
    return head, replace(source_of(product, str(path), identity), load=load)


def _as_stored(product: Product) -> Product:
    """The product with values of the types that files of the package have; no whole numbers where they are averaged."""
    cells, columns = columns_of(product, MapParameters(write_zeros=True))
    if degrade_rule_of(product) in FRACTIONAL:
        columns = {
            name: values if values.dtype.kind == "f" else values.astype(np.float32)
            for name, values in columns.items()
        }
    return replace(product, maps={name: SkyMap(cells, values) for name, values in columns.items()})


def _of_rows(file: RowsFile) -> tuple[Head, Source]:
    head = Head(str(file.path), file.key, file.keywords, file.unit, file.row_type)
    bare = replace(file, keywords={})
    return head, Source(head.name, file.key, _identity(file), _places(file), bare.rows)


def _identity(file: RowsFile) -> str:
    """Changes whenever the rows do: a checksum alone does not see two rows that change places."""
    signed = file.keywords.get("PRODDIG") or sha256_of(file.path)
    return f"{signed}:{file.datasum}:{file.count}"


def _places(file: RowsFile) -> tuple[tuple[int, int, int], ...]:
    try:
        return places_of(file.rows(verified=False), file.key.order)
    except MapMismatchError as error:
        raise InputError(f"{file.path}[1]: {error}") from error


def _read_named(path: Path) -> tuple[Product, str]:
    """A product whose messages name its file, and the coverage convention of the file."""
    try:
        return io.read(path), io.convention_of(path)
    except InputError as error:
        error.add_note(f"file: {path}")
        raise


def _clipped(head: Head, source: Source, owned: CellSet) -> tuple[Head, Source]:
    """A product without the cells that its tile does not own, and its areas."""

    def load() -> Words:
        rows = source.load()
        cells = rows.view(head.row_type).ravel()["PIXEL"].astype("i8")
        return rows[owned.index(cells) >= 0]

    rows = load()
    weight = rows.view(head.row_type).ravel()["WEIGHT"]
    integral = float(np.sum(weight, dtype=np.float64)) * cell_area_deg2(owned.order)
    areas = {"TILEAREA": owned.area_deg2, "OBSAREA": integral, "VISINTEG": integral}
    words = {
        name: areas.get(name, value) for name, value in head.keywords.items() if name not in FOOTPRINT_AREAS
    }
    identity, places = f"{source.identity}:{owned.digest}", places_of(rows, owned.order)
    return replace(head, keywords=words), replace(source, load=load, identity=identity, places=places)


# -- the result -------------------------------------------------------------------------------------------------------


def merge_files_to(
    path: Path,
    tiles: Merge,
    shares: Merge,
    area: str,
    maps: MapParameters,
    provenance: Provenance,
    *,
    order: int | None = None,
    region: CellSet | None = None,
    keywords: Mapping[str, Scalar] | None = None,
    earlier: Path | None = None,
    release: str | None = None,
) -> Made:
    """Write the merged map as a partial HEALPix file.

    Parameters
    ----------
    path : Path
    tiles, shares : Merge
        Products, and their weights.
    area : str
        Name of the patch.
    maps : MapParameters
    provenance : Provenance
    order : int, optional
        Of the result; default that of the tiles.
    region : CellSet, optional
        Cells of the tiles' order that count.
    keywords : mapping, optional
        Put over those that follow from the products.
    earlier : Path, optional
        An earlier result: units that are still right are copied from it.
    release : str, optional
        Release of the result; default that of the products.
    """
    plan = tiles.plan(order, shares, region)
    words = tiles.keywords(area, plan, shares)
    _must_be_whole_before(tiles, words, maps)
    if region is not None:
        words = {name: value for name, value in words.items() if name not in CUT_BY_REGION}
    key = tiles.agreement.key(area, plan.out_order)
    key = key if release is None else replace(key, release=release)
    product = Product(key, {}, None, {**words, **(keywords or {})}, tiles.agreement.unit, provenance)
    zeros = maps.write_zeros or maps.coverage_convention == "MER"
    old = _earlier(earlier, plan, zeros) if earlier is not None else None
    digests: dict[int, str] = {}
    copied: list[int] = []

    def pieces() -> Iterator[tuple[int, Words]]:
        for unit in merged_units(tiles.sources, shares.sources, plan):
            digests[unit.number] = unit.digest
            kept = None if old is None else _kept(unit, *old)
            copied.extend([unit.number] if kept is not None else [])
            yield unit.number, unit.rows() if kept is None else kept

    def described(content: Content) -> dict[str, Scalar]:
        observed = {"OBSAREA": content.integral_deg2, "VISINTEG": content.integral_deg2}
        return {name: value for name, value in observed.items() if region is not None and name in words}

    content = write_rows(product, path, maps, plan.out_type, pieces(), described)
    made = replace(product, keywords={**product.keywords, **described(content)})
    table = {number: (digests[number], *span) for number, span in content.spans.items()}
    file = open_rows(path)
    units = Units() if file is None else Units(table, _identity(file), zeros)
    return Made(made, content, units, len(copied))


def _must_be_whole_before(tiles: Merge, words: Mapping[str, Scalar], maps: MapParameters) -> None:
    """In the MER convention tiles must list their whole area: once they are cut or degraded, nobody can tell."""
    if maps.coverage_convention == "MER" and tiles.head.key.kind in COVERAGE_TYPE:
        rows = sum(end - first for source in tiles.sources for _, first, end in source.places)
        must_be_whole(Product(tiles.head.key, keywords=words), rows)


def _earlier(path: Path, plan: MergePlan, zeros: bool) -> tuple[RowsFile, Units] | None:
    """An earlier result whose rows are of the same kind and whole, and its units."""
    if not path.is_file():
        return None
    try:
        file, units = open_rows(path), Units.read(units_path(path))
        if file is None or (file.row_type, file.key.order) != (plan.out_type, plan.out_order):
            return None
        if units.zeros != zeros or not units.are_of(file):
            return None
        io.verify(path)
    except InputError:
        return None
    return file, units


def _kept(unit: Unit, file: RowsFile, units: Units) -> Words | None:
    """Rows of a unit in an earlier result, None if they were made of something else."""
    digest, first, count = units.table.get(unit.number, ("", 0, 0))
    return read_span(file, first, count) if digest == unit.digest else None
