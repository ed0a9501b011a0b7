"""What the command line does with files and stores: one function a verb."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vmpz import io
from vmpz.errors import InputError
from vmpz.files.nearby import what_is_at
from vmpz.io.forms import form_named, form_of
from vmpz.make.merge import Merge
from vmpz.parameters import MangleParameters, MapParameters
from vmpz.products import Product, ProductKey, Provenance
from vmpz.run.account import ACCOUNT, Account
from vmpz.run.expanding import expanded
from vmpz.run.index import Index
from vmpz.run.instant import now
from vmpz.run.measure import versions
from vmpz.run.merging import Made, add_files, merge_files_to, units_path
from vmpz.run.patches import MERGE_VERSION, products_of
from vmpz.run.regions import PatchRegion
from vmpz.run.store import Entry, Store
from vmpz.sky.cells import CellSet
from vmpz.tiles import tiling

__all__ = [
    "account_of",
    "check_path",
    "convert_file",
    "list_store",
    "merge_files",
    "products_of_area",
    "read_product",
    "summary_of",
]


def read_product(path: str | Path, band: str | None = None) -> Product:
    """Read a product file in any form; of a file that holds several bands, the one named."""
    return io.read(_of_a_product(Path(path)), band)


def _of_a_product(path: Path) -> Path:
    """The path, unless a folder stands there that is no product: then the message tells what it is."""
    if not path.is_dir() or path.suffix == ".hips" or io.is_random(path):
        return path
    is_store = Store(path).place.has(ACCOUNT)
    told = f"a store (`vmpz list {path}` tells what it holds)" if is_store else "a folder"
    raise InputError(f"{path}: must be a product file, found {told}")


def products_of_area(store: str | Path, area: str) -> list[Product]:
    """All maps of one tile or patch of a store."""
    return products_of(Store(store), area)


def account_of(store: str | Path) -> Account:
    """The account of a store.

    Raises
    ------
    InputError
        There is no such store, or it has no account.
    """
    if not Store(store).place.has(ACCOUNT):
        found = "none" if Store(store).exists() else what_is_at(store)
        raise InputError(f"{store}: must be a store with an {ACCOUNT}, found {found}")
    return Account.read(store)


def summary_of(path: Path) -> dict[str, Any]:
    """What a file is: kind, band, order, cells, areas, range of values, unit, keywords."""
    return io.summary(_of_a_product(path))


def convert_file(
    source: Path,
    out: Path,
    order: int | None,
    maps: MapParameters,
    *,
    weight: Path | None = None,
    band: str | None = None,
) -> str:
    """Write a product in the form that the name of `out` says, at a coarser order if asked."""
    mangle = MangleParameters(convention=maps.coverage_convention)
    io.convert(_of_a_product(source), out, order=order, weight=weight, band=band, maps=maps, mangle=mangle)
    return str(out)


def merge_files(
    files: Sequence[str],
    out: Path,
    order: int | None = None,
    weights: Sequence[str] = (),
    *,
    form: str | None = None,
    region: PatchRegion | None = None,
    owners: str | None = None,
    allow_mixed: bool = False,
    update: bool = False,
    maps: MapParameters | None = None,
) -> Made:
    """Join tile products of one kind and band; `files` are paths, folders or @LIST (one path a line).

    A file that is named twice counts once. Memory is set by a block of the sky, not by the number of files, for
    partial HEALPix files; other forms are made of that file and need the whole map in memory.

    Parameters
    ----------
    files : sequence of str
    out : Path
        File to write; its name says the form unless `form` does.
    order : int, optional
        Of the result; default that of the tiles.
    weights : sequence of str
        Coverage files of the same tiles, for averages.
    form : str, optional
    region : PatchRegion, optional
        Only cells inside.
    owners : str, optional
        Tiling by whose tiles each cell is taken from the one that owns it ('euclid-wide'): files of extended tiles.
    allow_mixed : bool
        Merge products that differ in release, selection, order..., and record it in MIXED.
    update : bool
        Keep a table of units beside the result, and copy from an earlier result what has not changed.
    maps : MapParameters, optional
        Convention, zeros, tolerance of the result.

    Raises
    ------
    InputError
        A file or list does not exist, a folder holds no product, or a file is none.
    MapMismatchError
        Two products must not be merged; the message names both.
    """
    maps = maps or MapParameters()
    how = form_named(form) if form else form_of(out)
    if update and how.name != "healpix":
        raise InputError(f"{out}: only a partial HEALPix file is updated (.fits), found the form {how.name}")
    paths, tiles, shares = expanded(files), Merge(allow_mixed), Merge(allow_mixed)
    owned = None if owners is None else _owned_by(owners)
    add_files(tiles, paths, owned=owned)
    add_files(shares, expanded(weights), owned=owned)
    inside = None if region is None else region.cells(tiles.head.key.order)
    asked = {
        "order": order,
        "region": None if inside is None else inside.digest,
        "owners": owners,
        "mixed": allow_mixed,
    }
    provenance = Provenance(
        "merge", MERGE_VERSION, {**asked, "forms": maps.model_dump(mode="json")},
        {f"{one.key.text}/{Path(one.name).resolve().name}": one.identity for one in (*tiles.sources, *shares.sources)},
        versions(), now(), tiles.agreement.verified,
    )  # fmt: skip
    with _healpix_beside(out, how.name) as path:
        made = merge_files_to(
            path, tiles, shares, "CONCAT", maps, provenance, order=order, region=inside,
            earlier=path if update else None,
        )  # fmt: skip
        if path != out:
            mangle = MangleParameters(convention=maps.coverage_convention)
            io.write_file(io.read(path), out, form=how.name, provenance=provenance, maps=maps, mangle=mangle)
        elif update:
            made.units.write(units_path(path))
    return made


@contextmanager
def _healpix_beside(out: Path, form: str) -> Iterator[Path]:
    """Where to merge to: the result itself, or a file beside it of which another form is made."""
    if form == "healpix":
        yield out
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{out.name}.", suffix=".part", dir=out.parent) as folder:
        yield Path(folder) / "merged.fits"


def _owned_by(kind: str) -> Callable[[ProductKey], CellSet]:
    grid = tiling(kind)
    return lambda key: grid.owned(key.area, key.order)


def check_path(where: str | Path) -> tuple[int, list[str]]:
    """Verify one product file, or all products of a store; the number of files and the faults found.

    Raises
    ------
    InputError
        There is nothing at that path.
    """
    path, store = Path(where), Store(where)
    if path.is_file() or (path.is_dir() and (path.suffix == ".hips" or io.is_random(path))):
        return 1, io.check(path)
    if not store.exists():
        raise InputError(f"{where}: must be a product file or a store, found {what_is_at(where)}")
    count, faults = 0, []
    for entry in store.entries():
        count += len(entry.files)
        faults += entry.faults() or _content_faults(entry)
    broken = list(store.broken())
    faults += [
        f"{folder}: its manifest cannot be read, or a file it names is missing or of another size"
        for folder in broken
    ]
    if not count and not broken:
        raise InputError(f"{where}: must be a product file or a store, found a folder without products")
    return count, faults


def _content_faults(entry: Entry) -> list[str]:
    """What is wrong inside the files of a product."""
    folder = entry.whole()
    return [
        fault
        for name in dict.fromkeys(item["name"].partition("/")[0] for item in entry.files)
        if name.endswith((".fits", ".ply", ".parquet", ".hsp", ".hips"))
        for fault in io.check(folder / name)
    ]


def list_store(
    where: str | Path,
    *,
    kinds: Sequence[str] | None = None,
    bands: Sequence[str] | None = None,
    areas: Sequence[str] | None = None,
    rebuild: bool = False,
) -> list[dict[str, Any]]:
    """One row a product, from the index.

    Parameters
    ----------
    where : path or address
    kinds, bands, areas : sequence of str, optional
        What is listed; default all.
    rebuild : bool
        Make the index again from the manifests.

    Raises
    ------
    InputError
        There is no such store, or it has no such band or area, or there is no such kind.
    """
    with Index(Store(where), rebuild) as index:
        index.must_know(kinds=kinds, bands=bands, areas=areas)
        rows = list(index.rows(kinds=kinds, bands=bands, areas=areas))
    hidden = ("folder", "extent", "cover")
    return [
        {name: value for name, value in row.items() if name not in hidden} | {"digest": row["digest"][:12]}
        for row in rows
    ]
