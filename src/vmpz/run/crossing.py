"""Products across bands and instruments of one area: effective coverage, visibility, redshifts of what is seen.

They are made of products of single bands that are in the store already, and of files from outside; their digest names
all of these. A kept product is told without reading any.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vmpz import io
from vmpz.errors import MissingProductError
from vmpz.files.write import StorageError
from vmpz.make import RECIPES, effective, visibility
from vmpz.make.outside import EBV
from vmpz.make.places import Scatter, scatter_of
from vmpz.parameters import Parameters, VisibilityParameters
from vmpz.products import Product, ProductKey, Provenance, digest_of
from vmpz.run.account import Outcome
from vmpz.run.classes import class_files, table_of
from vmpz.run.mapfiles import map_path
from vmpz.run.measure import Grids, joint_counts, statistics_key, versions
from vmpz.run.outside import bring, identity_of
from vmpz.run.plan import Job
from vmpz.run.setting import Setting, forms_section, reason_of
from vmpz.run.store import Entry, Store
from vmpz.run.writing import store_product, store_table
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap
from vmpz.statistics import CellStatistics

__all__ = ["across_bands"]


def across_bands(setting: Setting, job: Job, cells: CellSet) -> Iterator[Outcome]:
    """Make the products of an area that are of no single band, in the order of their keys."""
    for key in job.keys["-"]:
        try:
            yield _made(_Crossing(setting, job, key, cells))
        except MissingProductError as error:
            yield Outcome(key, "FAILED" if setting.by_name else "NOINPUT", str(error))
        except StorageError:
            raise
        except Exception as error:  # noqa: BLE001 - one tile must not take the others down
            yield Outcome(key, "FAILED", reason_of(error))


@dataclass(frozen=True)
class _Crossing:
    """One product across bands at work."""

    setting: Setting
    job: Job
    key: ProductKey
    cells: CellSet

    @property
    def parameters(self) -> Parameters:
        return self.setting.parameters

    @cached_property
    def store(self) -> Store:
        return Store(self.setting.store)

    @cached_property
    def chosen(self) -> VisibilityParameters:
        """The class of a visibility."""
        return visibility.class_of(self.key, self.parameters)

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """Products that it is made of and that are there, by what they are to it."""
        if self.key.kind == "effectivecoverage":
            return self._of_bands("coverage", self.parameters.coverage.effective)
        found = {
            f"depth {band}": one for band, one in self._of_bands("depth", [*self.chosen.reference]).items()
        }
        whose = visibility.coverage_kind(self.chosen, self.parameters)
        if whose == "effective":
            (key,) = RECIPES["effectivecoverage"].keys(self.job.frames[0], self.parameters) or (None,)
            entry = None if key is None else self.store.entry(key)
        else:
            entry = self._of_bands("coverage", [whose]).get(whose)
        if entry is not None:
            found["coverage"] = entry
        return found

    def _of_bands(self, kind: str, bands: Iterable[str]) -> dict[str, Entry]:
        """Products of a kind that exist, by band."""
        chosen, found = set(bands), {}
        for ref in self.job.frames:
            for key in RECIPES[kind].keys(ref, self.parameters) if ref.band in chosen else ():
                entry = self.store.entry(key)
                if entry is not None:
                    found[ref.band] = entry
        return found

    def read(self, name: str) -> Product:
        """A product that it is made of."""
        entry = self.entries[name]
        return replace(io.read(map_path(entry)), key=entry.key)

    def section(self) -> dict[str, Any]:
        recipe = RECIPES[self.key.kind]
        return {
            **recipe.section(self.key, self.job.frames[0], self.parameters),
            **({} if self.key.kind == "redshifts" else {"forms": forms_section(self.parameters)}),
            "cells": self.cells.digest,
        }

    def inputs(self) -> dict[str, str]:
        """Digests of the products, and identities of the files from outside."""
        told = {entry.key.text: entry.digest for entry in self.entries.values()}
        wanted = dict(RECIPES[self.key.kind].outside(self.key, self.parameters))
        if self.key.kind != "effectivecoverage":
            wanted |= class_files(self.chosen)
        return told | {f"{name}:{Path(one.location).name}": identity_of(one) for name, one in wanted.items()}

    def ebv(self) -> SkyMap | None:
        """E(B-V) on the area's cells, where extinction counts and there is a map."""
        wanted = RECIPES[self.key.kind].outside(self.key, self.parameters)
        brought = bring(wanted[EBV], self.cells) if EBV in wanted else None
        return brought if isinstance(brought, SkyMap) else None


def _made(work: _Crossing) -> Outcome:
    started = time.monotonic()
    section, inputs = work.section(), work.inputs()
    recipe, old = RECIPES[work.key.kind], work.store.entry(work.key)
    digest = digest_of(work.key.kind, recipe.version, section, inputs)
    if old is not None and old.digest == digest and not old.faults():
        return Outcome(work.key, "KEPT", path=old.location())
    makers: Mapping[str, Callable[[_Crossing], Product]] = {
        "effectivecoverage": _effective_coverage,
        "visibility": _visibility,
        "redshifts": _redshifts,
    }
    made = makers[work.key.kind](work)
    maps = work.entries.values()
    provenance = Provenance(
        work.key.kind,
        recipe.version,
        section,
        inputs,
        versions(),
        work.setting.created + timedelta(microseconds=work.job.numbers[work.key]),
        bool(maps) and all(bool(entry.provenance["verified"]) for entry in maps),
        _notes(work, made),
    )
    write = store_product if made.maps else store_table
    entry = write(work.store, made, provenance, work.parameters)
    return Outcome(work.key, entry.state, path=entry.location(), seconds=round(time.monotonic() - started, 3))


def _effective_coverage(work: _Crossing) -> Product:
    parameters = work.parameters
    refs = [ref for ref in work.job.frames if ref.band in parameters.coverage.effective]
    if parameters.coverage.rule == "JOINT":
        grids = Grids(work.cells, work.setting.threads)
        statistics, joint = joint_counts(refs, work.store, grids, parameters)
        return effective.make(work.key, refs, work.cells, parameters, statistics=statistics, joint=joint)
    maps = {band: work.read(band).map for band in work.entries}
    return effective.make(work.key, refs, work.cells, parameters, coverages=maps)


def _visibility(work: _Crossing) -> Product:
    coverage, depths = _coverage_and_depths(work)
    return visibility.make(
        work.key,
        work.job.frames,
        work.parameters,
        table_of(work.chosen, work.parameters),
        coverage,
        depths,
        ebv=work.ebv(),
        scatter=_scatter(work),
        subcells=_subcells(work),
    )


def _redshifts(work: _Crossing) -> Product:
    coverage, depths = _coverage_and_depths(work)
    visibility.must_fit(work.chosen, depths)
    maps = {band: one.map for band, one in depths.items()}
    table = table_of(work.chosen, work.parameters)
    columns = visibility.redshifts(work.key, table, coverage.map, maps, work.ebv(), _scatter(work))
    borders = ",".join(f"{border:g}" for border in work.chosen.classes)
    words = {**visibility.definition(work.chosen, depths, coverage), "VISCLASS": borders}
    return Product(work.key, table=io.plain_table(columns), keywords=words)


def _coverage_and_depths(work: _Crossing) -> tuple[Product, dict[str, Product]]:
    if "coverage" not in work.entries:
        whose = visibility.coverage_kind(work.chosen, work.parameters)
        what = "the effective coverage" if whose == "effective" else f"the coverage of {whose}"
        raise MissingProductError(f"{work.key} needs {what}; there is none")
    names = [name for name in work.entries if name.startswith("depth ")]
    return work.read("coverage"), {name.removeprefix("depth "): work.read(name) for name in names}


def _subcells(work: _Crossing) -> SkyMap | None:
    """Sub-cells that every band of the coverage observes, int64 words; None where they are not kept.

    They follow from what the coverage is made of, so its digest stands for them.
    """
    if not work.parameters.coverage.subcells:
        return None
    bands = visibility.coverage_bands(work.chosen, work.parameters)
    joint: SkyMap | None = None
    for band, statistics in _statistics(work, bands):
        if "subcells" not in statistics.columns:
            raise MissingProductError(f"{work.key} needs the sub-cells of {band}; they were not kept")
        words = SkyMap(statistics.cells, statistics.column("subcells").astype(np.uint64).view(np.int64))
        if joint is not None:
            words = SkyMap(words.cells, words.values & joint.of_cells(words.cells.cells(), 0))
        joint = words
    return joint


def _scatter(work: _Crossing) -> dict[str, Scatter]:
    """Scatter of the noise inside cells by band, where depths are those of the pixels of a mosaic."""
    sample = visibility.SAMPLE_OF.get(work.parameters.depth.source)
    if sample is None:
        return {}
    found = {
        band: scatter_of(statistics, sample) for band, statistics in _statistics(work, work.chosen.reference)
    }
    return {band: one for band, one in found.items() if one is not None}


def _statistics(work: _Crossing, bands: Collection[str]) -> Iterator[tuple[str, CellStatistics]]:
    """Cell statistics of some bands; the digests of coverage and depth, which are made of them, stand for them."""
    for ref in (ref for ref in work.job.frames if ref.band in bands):
        entry = work.store.entry(statistics_key(ref, work.parameters))
        if entry is None:
            raise MissingProductError(f"{work.key} needs the cell statistics of {ref.band}; there are none")
        yield ref.band, io.read_statistics(io.read(entry.path(".parquet")).table)


def _notes(work: _Crossing, made: Product) -> tuple[str, ...]:
    """What the provenance tells of a visibility: places deeper than the reference, noise of the deep sample."""
    largest = float(made.keywords.get("VISMAX", 0.0))
    if work.key.kind != "visibility" or largest <= 1.0:
        return ()
    return (f"some cells are deeper than the reference: V is up to {largest:.4g} times the coverage there",)
