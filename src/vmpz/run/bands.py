"""Files of several bands: one per kind of a patch, made of the patch's products of each band."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Literal

from vmpz import io
from vmpz.errors import VmpzError
from vmpz.files.write import StorageError
from vmpz.io.multiband import publish_multiband
from vmpz.io.rows import RowsFile, open_rows
from vmpz.parameters import PatchParameters
from vmpz.products import Product, ProductKey, Provenance
from vmpz.run.account import Outcome
from vmpz.run.mapfiles import map_path
from vmpz.run.measure import versions
from vmpz.run.patchplan import PatchJob
from vmpz.run.setting import Setting
from vmpz.run.store import Entry, Store

__all__ = ["BandsJob", "bands_jobs", "run_bands"]

BANDS_VERSION = 1


@dataclass(frozen=True)
class BandsJob:
    """One file of several bands: the patch products that it holds, in the order of their bands."""

    patch: PatchParameters
    layout: Literal["hdus", "columns"]
    key: ProductKey
    members: tuple[ProductKey, ...]
    bands: tuple[tuple[str, ...], tuple[str, ...]]
    areas: frozenset[str]
    number: int
    after: tuple[str, ...]

    @property
    def id(self) -> str:
        """Name of the job: the text of the key."""
        return self.key.text


def bands_jobs(merges: Iterable[PatchJob], beyond: int) -> Iterator[BandsJob]:
    """Jobs for the patches that want one file of all bands a kind.

    The number of a file is that of its first band and `beyond` more, whatever other kinds are chosen. A bit mask has
    several columns a band, so its bands are always tables.
    """
    groups: dict[ProductKey, list[PatchJob]] = {}
    for job in merges:
        if job.patch.multi_band != "none" and job.key.band != "-":
            groups.setdefault(_key_of_all(job.key), []).append(job)
    for key, jobs in sorted(groups.items()):
        first, number = jobs[0], min(job.number for job in jobs) + beyond
        order = {band: rank for rank, band in enumerate(first.bands[0])}
        jobs.sort(key=lambda job: order.get(job.key.band, len(order)))
        if first.patch.multi_band == "none":
            continue
        layout = "hdus" if key.quantity == "bitmask" else first.patch.multi_band
        members, after = tuple(job.key for job in jobs), tuple(job.id for job in jobs)
        yield BandsJob(first.patch, layout, key, members, first.bands, first.areas, number, after)


def _key_of_all(key: ProductKey) -> ProductKey:
    """Key of the file of all bands: of a kind of its own, whose quantity says what is in it."""
    quantity = key.quantity if key.kind == "info" else key.kind
    return replace(key, kind="multiband", quantity=quantity, selection="-", instrument="-", band="-")


def run_bands(setting: Setting, job: BandsJob) -> list[Outcome]:
    """What became of a file of several bands; nothing if no band has a product."""
    store = Store(setting.store)
    entries = [entry for entry in map(store.entry, job.members) if entry is not None]
    if not entries:
        if store.has(job.key):
            store.retract(job.key)
        return []
    provenance = _provenance(setting, job, entries)
    old = store.entry(job.key)
    if old is not None and old.digest == provenance.digest and not old.faults():
        return [Outcome(job.key, "KEPT", path=old.location())]

    def write(folder: Path) -> list[Path]:
        bands = [_band(entry) for entry in entries]
        tiles = sorted(int(area) for area in job.areas if area.isdigit())
        written = publish_multiband(
            bands, folder, setting.parameters.maps, job.layout, relevant=job.bands[0], processed=job.bands[1],
            skypatch=job.patch.skypatch_id or job.patch.name, provenance=provenance, tiles=tiles,
        )  # fmt: skip
        return list(written)

    try:
        entry = store.put(job.key, provenance, write, empty=all(one.state == "EMPTY" for one in entries))
    except StorageError:
        raise
    except VmpzError as error:
        return [Outcome(job.key, "FAILED", " | ".join([str(error), *getattr(error, "__notes__", ())]))]
    return [Outcome(job.key, entry.state, path=entry.location())]


def _band(entry: Entry) -> Product | RowsFile:
    path = map_path(entry)
    file = open_rows(path) if path.name.endswith(".fits") else None
    return replace(io.read(path), key=entry.key) if file is None else replace(file, key=entry.key)


def _provenance(setting: Setting, job: BandsJob, entries: list[Entry]) -> Provenance:
    return Provenance(
        "multiband",
        BANDS_VERSION,
        {
            "layout": job.layout,
            "bands": job.bands,
            "skypatch_id": job.patch.skypatch_id or job.patch.name,
            "forms": setting.parameters.maps.model_dump(mode="json"),
        },
        {entry.key.text: entry.digest for entry in entries},
        versions(),
        setting.created + timedelta(microseconds=job.number),
        all(bool(entry.provenance["verified"]) for entry in entries),
    )
