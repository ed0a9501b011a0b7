"""Jobs: read inputs, call makers, write products. The only place where computing meets files.

A band job opens each band of one tile and instrument in turn. A product that is there with the right digest is kept;
cell statistics that already hold what is needed are read back instead of the planes; otherwise one pass makes them. A
product that cannot be made for want of an optional input is NOINPUT; any other error is FAILED, with the key and the
file in the reason, and takes no other product down.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from vmpz.errors import InputError, MissingProductError, VmpzError
from vmpz.files.write import StorageError
from vmpz.frames import FileRef, FrameRef
from vmpz.make import RECIPES, needs
from vmpz.make.needs import PassNeeds
from vmpz.parameters import Parameters
from vmpz.products import ProductKey, Provenance, digest_of
from vmpz.run.account import Outcome
from vmpz.run.crossing import across_bands
from vmpz.run.geometry import masks_digest
from vmpz.run.measure import (
    Grids,
    Measured,
    frame_digest,
    good_pixels_of,
    measure,
    statistics_key,
    versions,
)
from vmpz.run.outside import bring, identity_of
from vmpz.run.plan import Job
from vmpz.run.setting import Setting, forms_section, reason_of
from vmpz.run.store import Store
from vmpz.run.tilings import must_be_regular
from vmpz.run.writing import store_product
from vmpz.sky.cells import CellSet

__all__ = ["failed_job", "run_job"]


def run_job(setting: Setting, job: Job) -> list[Outcome]:
    """Do one job; a failing product is an outcome, storage that fails is an error of the whole run."""
    try:
        cells = setting.tiling.owned(job.area, setting.parameters.maps.order)
        for ref in job.frames if setting.tiling.kind == "euclid-wide" else ():
            if ref.has_grid:
                must_be_regular(ref)
    except VmpzError as error:
        return failed_job(job, str(error))
    work = across_bands if job.instrument == "-" else _band_after_band
    return list(work(setting, job, cells))


def failed_job(job: Job, reason: str) -> list[Outcome]:
    """Outcomes of a job that was lost as a whole."""
    return [Outcome(key, "FAILED", reason) for keys in job.keys.values() for key in keys]


# -- one tile, one instrument -----------------------------------------------------------------------------------------


@dataclass
class _Band:
    """One band of one tile at work: what is shared by its products."""

    setting: Setting
    job: Job
    ref: FrameRef
    store: Store
    grids: Grids

    @property
    def parameters(self) -> Parameters:
        return self.setting.parameters

    def absent(self, key: ProductKey, reason: str) -> Outcome:
        """A product that cannot be made: a failure only if it was asked for by name."""
        return Outcome(key, "FAILED" if self.setting.by_name else "NOINPUT", reason)

    def digest(self, key: ProductKey) -> str:
        """What the provenance of this product must be for it to be kept."""
        return digest_of(key.kind, RECIPES[key.kind].version, self.section(key), self.inputs(key))

    def section(self, key: ProductKey) -> dict[str, object]:
        recipe, masked = RECIPES[key.kind], bool(self.parameters.masks)
        listed = "LAYERS" in recipe.needs(key, self.ref, self.parameters).tables
        return {
            **recipe.section(key, self.ref, self.parameters),
            "forms": forms_section(self.parameters),
            "cells": self.grids.cells.digest,
            "frame": frame_digest(self.ref, exposures=listed or masked or not self.ref.has_grid),
            **({"masks": masks_digest(self.parameters)} if masked else {}),
        }

    def files(self, key: ProductKey) -> dict[str, FileRef]:
        """The files that this product depends on; those of the frame's first plane if there is none."""
        needed = RECIPES[key.kind].needs(key, self.ref, self.parameters)
        return self.ref.files(needed.planes | needed.tables) or self.ref.files(sorted(self.ref.planes)[:1])

    def inputs(self, key: ProductKey) -> dict[str, str]:
        """Identity of every input that this product depends on."""
        told = {name: file.identity for name, file in self.files(key).items()}
        wanted = RECIPES[key.kind].outside(key, self.parameters)
        return told | {f"{name}:{Path(one.location).name}": identity_of(one) for name, one in wanted.items()}


def _band_after_band(setting: Setting, job: Job, cells: CellSet) -> Iterator[Outcome]:
    grids = Grids(cells, setting.threads)
    for ref in job.frames:
        yield from _products_of(_Band(setting, job, ref, Store(setting.store), grids))


def _products_of(band: _Band) -> Iterator[Outcome]:
    todo = []
    for key in band.job.keys[band.ref.band]:
        entry = band.store.entry(key)
        if key in band.job.missing:
            yield band.absent(key, band.job.missing[key])
            continue
        try:
            kept = entry is not None and entry.digest == band.digest(key) and not entry.faults()
        except VmpzError as error:  # a file from outside is not what it must be
            yield Outcome(key, "FAILED", reason_of(error))
            continue
        if entry is not None and kept:
            yield Outcome(key, "KEPT", path=entry.location())
        else:
            todo.append(key)
    if not todo and not _must_serve(band):
        return
    with ExitStack() as stack:
        try:
            measured = _measured(band, todo, stack)
        except StorageError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a bad input provokes stays in its tile and band
            for key in todo:
                yield Outcome(key, "FAILED", reason_of(error))
            return
        for key in todo:
            yield _one_product(band, key, measured)


def _must_serve(band: _Band) -> bool:
    """Whether the tile's products across instruments want of this band what is not kept: good pixels or statistics."""
    wanted = needs(band.job.crossing, band.ref, band.parameters)
    if wanted == PassNeeds():
        return False
    keeps = wanted.keep_good is not None
    if keeps and band.ref.has_grid and good_pixels_of(band.ref, band.store, band.parameters) is None:
        return True
    entry = band.store.entry(statistics_key(band.ref, band.parameters))
    had = {} if entry is None else entry.provenance["parameters"]
    return (
        not had
        or not set(had["planes"]) >= wanted.planes & band.ref.planes.keys()
        or (wanted.good is not None and had["good"] is None)
        or (keeps and band.parameters.coverage.subcells and not had["subcells"])
    )


def _measured(band: _Band, todo: list[ProductKey], stack: ExitStack) -> Measured:
    """Cell statistics for these products; an input that changed while it was read is tried once more."""
    keys = (*todo, *band.job.crossing)
    created = _instant(band.setting, band.job, band.ref)
    try:
        return measure(band.ref, keys, band.store, band.grids, band.parameters, created, stack)
    except InputError as error:
        if "changed" not in str(error):
            raise
    stack.close()
    return measure(band.ref, keys, band.store, band.grids, band.parameters, created, stack)


def _one_product(band: _Band, key: ProductKey, measured: Measured) -> Outcome:
    started = time.monotonic()
    try:
        recipe = RECIPES[key.kind]
        wanted = recipe.outside(key, band.parameters)
        brought = {name: bring(one, band.grids.cells) for name, one in wanted.items()}
        made = recipe.make(key, measured.frame, measured.statistics, band.parameters, brought)
        provenance = Provenance(
            key.kind,
            RECIPES[key.kind].version,
            band.section(key),
            band.inputs(key),
            versions(),
            band.setting.created + timedelta(microseconds=band.job.numbers[key]),
            all(file.verifiable for file in band.files(key).values()),
            (*band.ref.notes, *measured.notes),
        )
        entry = store_product(band.store, made, provenance, band.parameters)
    except MissingProductError as error:
        return band.absent(key, str(error))
    except StorageError:
        raise
    except Exception as error:  # noqa: BLE001 - one product must not take the others down
        return Outcome(key, "FAILED", reason_of(error))
    return Outcome(key, entry.state, path=entry.location(), seconds=round(time.monotonic() - started, 3))


def _instant(setting: Setting, job: Job, ref: FrameRef) -> datetime:
    """Creation instant of a band's statistics: that of its first product."""
    numbers = [number for key, number in job.numbers.items() if key.band == ref.band]
    return setting.created + timedelta(microseconds=min(numbers, default=0))
