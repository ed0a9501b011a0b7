"""Patches: merge the tile products of a store into one product per kind and band, and keep what is still right.

A job is one patch product. It reads the tiles' files block by block (`vmpz.run.merging`), so memory does not grow with
the patch; jobs are independent and run serially or on workers, with the same bytes. When tiles were added, remade or
retracted since the last run, only the pieces of the sky that they touch are made again.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vmpz import io
from vmpz.errors import MissingProductError, VmpzError
from vmpz.files.write import StorageError, sha256_of
from vmpz.io.collection import Collection, write_collection
from vmpz.io.names import file_name
from vmpz.make.joining import AVERAGED
from vmpz.make.merge import Merge
from vmpz.parameters import MapParameters, Parameters, PatchParameters
from vmpz.products import Product, ProductKey, Provenance
from vmpz.run.account import Outcome
from vmpz.run.bands import BandsJob, bands_jobs, run_bands
from vmpz.run.collection import collection_of
from vmpz.run.execute import execute
from vmpz.run.mapfiles import map_path
from vmpz.run.measure import versions
from vmpz.run.merging import Made, add_files, merge_files_to, units_path
from vmpz.run.patchplan import MAP_KINDS, PatchJob, PatchPlan, patch_jobs
from vmpz.run.plan import Choice, Plan
from vmpz.run.regions import region_of
from vmpz.run.setting import Setting, forms_of, forms_section
from vmpz.run.store import Entry, Store
from vmpz.run.summaries import streamed_summary

__all__ = [
    "MERGE_VERSION",
    "PatchWork",
    "collect_patches",
    "make_patches",
    "products_of",
    "run_patch",
    "write_patch",
]

MERGE_VERSION = 2


def make_patches(
    setting: Setting,
    patches: Sequence[PatchPlan],
    plan: Plan,
    choice: Choice,
    workers: int = 0,
    scheduler: str | None = None,
) -> Iterator[Outcome]:
    """Merge every chosen kind of every band of every patch; then the files of several bands."""
    merges = list(
        patch_jobs(patches, plan, Store(setting.store), choice, setting.parameters.survey.bands or ())
    )
    products = sum(len(one.groups) for one in patches)
    jobs: list[PatchJob | BandsJob] = [*merges, *bands_jobs(merges, products)]
    work = partial(_run, setting)
    for _, outcomes in execute(jobs, work, _lost, workers=workers, scheduler=scheduler):
        yield from outcomes


def _run(setting: Setting, job: PatchJob | BandsJob) -> list[Outcome]:
    return run_patch(setting, job) if isinstance(job, PatchJob) else run_bands(setting, job)


def _lost(job: PatchJob | BandsJob, reason: str) -> list[Outcome]:
    return [Outcome(job.key, "FAILED", reason)]


def collect_patches(
    setting: Setting, patches: Sequence[PatchPlan], plan: Plan, outcomes: Mapping[ProductKey, Outcome]
) -> Iterator[tuple[Outcome, Collection]]:
    """Write what every patch holds and what it lacks: its collection."""
    store, release = Store(setting.store), setting.parameters.survey.release
    first = plan.total + 2 * sum(len(one.groups) for one in patches)
    for number, one in enumerate(patches, first):
        order = setting.parameters.maps.order if one.patch.order is None else one.patch.order
        collection = collection_of(one.patch.name, release, order, one.expected(), outcomes, store, one.areas)
        key = ProductKey(one.patch.name, "collection", order=order, release=release)
        instant = setting.created + timedelta(microseconds=number)
        provenance = Provenance("collection", 1, {"id": collection.id}, {}, versions(), instant)
        old = store.entry(key)
        if old is not None and old.digest == provenance.digest and not old.faults():
            yield Outcome(key, "KEPT", path=old.location()), collection
            continue
        entry = store.put(key, provenance, partial(_written, collection, instant))
        yield Outcome(key, "DONE", path=entry.location()), collection


def _written(collection: Collection, instant: datetime, folder: Path) -> list[Path]:
    return list(write_collection(collection, folder, instant))


def run_patch(setting: Setting, job: PatchJob) -> list[Outcome]:
    """What became of a patch product; nothing if no tile has it. Tiles that lack it are told.

    The product of an earlier run, when tiles had it, is retracted with the last of them.
    """
    store = Store(setting.store)
    tiles = _entries(store, job.tiles)
    if not tiles:
        if not store.has(job.key):
            return []
        store.retract(job.key)
        return [
            Outcome(
                job.key, "NOINPUT", "no tile has it any more: the product of an earlier run was retracted"
            )
        ]
    absent = sorted(job.areas - {entry.key.area for entry in tiles})
    lacks = f"merged without {', '.join(absent)}, where there is none" if absent else ""
    try:
        entry, state = _merged(PatchWork(setting.parameters, setting.created, store, job), tiles, lacks)
    except MissingProductError as error:
        return [Outcome(job.key, "NOINPUT", str(error))]
    except StorageError:
        raise
    except VmpzError as error:
        return [Outcome(job.key, "FAILED", " | ".join([str(error), *getattr(error, "__notes__", ())]))]
    return [Outcome(job.key, state, lacks, entry.location())]


def _entries(store: Store, keys: Iterable[ProductKey]) -> list[Entry]:
    return [entry for entry in map(store.entry, keys) if entry is not None]


@dataclass(frozen=True)
class PatchWork:
    """One patch product at work: of the tiles of a store, with the parameters and the creation instant of a run."""

    parameters: Parameters
    created: datetime
    store: Store
    job: PatchJob

    @property
    def maps(self) -> MapParameters:
        """How the files of the patch are written."""
        return self.parameters.maps.model_copy(update={"forms": self.job.patch.forms})


def write_patch(work: PatchWork, folder: Path) -> list[Path]:
    """Write the files of a patch product into a folder of one's own; none if no tile has it.

    Raises
    ------
    MissingProductError
        It cannot be made of what the store has.
    MapMismatchError
        The tiles must not be merged; the message names two.
    """
    tiles = _entries(work.store, work.job.tiles)
    if not tiles:
        return []
    weights = _weights(work, tiles)
    merge, shares = (_read(work, entries) for entries in (tiles, weights))
    return _Files(work, merge, shares, _provenance(work, [*tiles, *weights], ""), None).write(folder)


def _merged(work: PatchWork, tiles: list[Entry], lacks: str) -> tuple[Entry, str]:
    job, store = work.job, work.store
    weights = _weights(work, tiles)
    provenance = _provenance(work, [*tiles, *weights], lacks)
    old = store.entry(job.key)
    if old is not None and old.digest == provenance.digest and not old.faults():
        return old, "KEPT"
    merge, shares = (_read(work, entries) for entries in (tiles, weights))
    files = _Files(work, merge, shares, provenance, old)
    entry = store.put(job.key, provenance, files.write, empty=files.are_empty, summary=files.summary)
    return entry, entry.state


def _read(work: PatchWork, entries: Iterable[Entry]) -> Merge:
    """Products to be merged; their headers are read."""
    merge = Merge(work.job.patch.allow_mixed)
    keys = {map_path(entry): entry.key for entry in entries}
    add_files(merge, keys, key=keys.__getitem__)
    return merge


def _weights(work: PatchWork, tiles: list[Entry]) -> list[Entry]:
    """Coverages that weigh the children, where the rule averages; the first tile speaks for all of them.

    Raises
    ------
    MissingProductError
        The map cannot be degraded, or a tile has no coverage.
    """
    merge = _read(work, tiles[:1])
    key, own = work.job.key, merge.head.key
    if key.order >= own.order:
        return []
    if merge.rule == "NONE":
        raise MissingProductError(
            f"{key}: {key.statistic} of order {key.order} cannot be had from a map of order {own.order}"
        )
    weights = _entries(work.store, work.job.coverages) if merge.rule in AVERAGED else []
    lacking = {one.key.area for one in tiles} - {one.key.area for one in weights}
    if weights and lacking:
        raise MissingProductError(
            f"{key}: its average needs the coverage of every tile, there is none of {', '.join(sorted(lacking))}"
        )
    return weights


def _provenance(work: PatchWork, inputs: list[Entry], lacks: str) -> Provenance:
    job, patch = work.job, work.job.patch
    extent = patch.model_dump(mode="json", include={"polygon", "cap"}, exclude_none=True)
    return Provenance(
        "merge",
        MERGE_VERSION,
        {
            "order": job.key.order,
            "list_id": patch.list_id or patch.name,
            "skypatch_id": patch.skypatch_id or patch.name,
            "region": extent,
            "bands": job.bands,
            "allow_mixed": patch.allow_mixed,
            "forms": forms_section(work.parameters, work.maps),
        },
        {entry.key.text: entry.digest for entry in inputs} | _moc_input(patch),
        versions(),
        work.created + timedelta(microseconds=job.number),
        all(bool(entry.provenance["verified"]) for entry in inputs if entry.key.kind == job.key.kind),
        (lacks,) if lacks else (),
    )


def _moc_input(patch: PatchParameters) -> dict[str, str]:
    if patch.moc is None:
        return {}
    path = Path(patch.moc)
    if not path.is_file():
        raise MissingProductError(f"patch {patch.name}: its MOC must be a file, found nothing at {path}")
    return {f"MOC:{path.name}": sha256_of(path)}


@dataclass
class _Files:
    """The files of a patch product, written when the store says where."""

    work: PatchWork
    merge: Merge
    shares: Merge
    provenance: Provenance
    old: Entry | None
    made: Made | None = None

    def are_empty(self) -> bool:
        """Whether no cell has a value; known once they are written."""
        return self.made is not None and not self.made.content.rows

    def summary(self) -> dict[str, Any]:
        """What the index tells of the map; known once it is written."""
        made = self.made
        return {} if made is None else streamed_summary(made.product.key, made.product.unit, made.content)

    def write(self, folder: Path) -> list[Path]:
        """Write them: partial HEALPix first, of which the other forms are made."""
        forms = forms_of(self.work.job.key.kind, self.work.maps, self.work.parameters.mangle)
        with TemporaryDirectory() as elsewhere:
            first = folder if "healpix" in forms else Path(elsewhere)
            path = self._merged(first)
            written = self._published(path) if "healpix" in forms else []
            written += self._others(path, folder, [form for form in forms if form != "healpix"])
        return written

    def _others(self, path: Path, folder: Path, forms: list[str]) -> list[Path]:
        """The other forms; they need the whole map in memory."""
        if not forms:
            return []
        product = replace(io.read(path), key=self.work.job.key, provenance=self.provenance)
        mangle, tiles = self.work.parameters.mangle, self._tiles()
        written = [
            io.write(product, folder, form, maps=self.work.maps, mangle=mangle, tiles=tiles) for form in forms
        ]
        return [one for paths in written for one in paths]

    def _merged(self, folder: Path) -> Path:
        job = self.work.job
        patch, region = job.patch, region_of(job.patch)
        words = {
            "LISTID": patch.list_id or patch.name,
            "SKYPATCH": patch.skypatch_id or patch.name,
            "BANDREL": ",".join(job.bands[0]) or "-1",
            "BANDPRC": ",".join(job.bands[1]) or "-1",
        }
        path = folder / str(file_name(Product(job.key, {}, None, words, "", self.provenance), "healpix"))
        self.made = merge_files_to(
            path, self.merge, self.shares, patch.name, self.work.maps, self.provenance,
            order=job.key.order,
            region=None if region is None else region.cells(self.work.parameters.maps.order),
            keywords=words,
            earlier=self._earlier(),
        )  # fmt: skip
        return path

    def _earlier(self) -> Path | None:
        """The file of an earlier merge, with its table of units beside it."""
        names = [] if self.old is None else [str(item["name"]) for item in self.old.files]
        if self.old is None or not any(name.endswith(".units.json") for name in names):
            return None
        self.old.path(".units.json")
        return self.old.path(".fits")

    def _published(self, path: Path) -> list[Path]:
        """The descriptor and the table of units of the partial HEALPix file."""
        if self.made is None:
            return []
        units = units_path(path)
        self.made.units.write(units)
        descriptor = io.describe(
            self.made.product, path, self.made.content.cells,
            convention=self.work.maps.coverage_convention, tiles=self._tiles(),
        )  # fmt: skip
        return [path, descriptor, units]

    def _tiles(self) -> list[int]:
        areas = sorted({source.key.area for source in self.merge.sources})
        return [int(area) for area in areas if area.isdigit()]


def products_of(store: Store, area: str) -> list[Product]:
    """All maps of one area of a store."""
    return [
        replace(io.read(map_path(entry)), key=entry.key)
        for entry in store.entries()
        if entry.key.area == area and entry.key.kind in MAP_KINDS
    ]
