"""Measuring one band: its cell statistics, read back from the store where they hold what is needed, else by a pass.

The statistics are a product of their own. Their manifest says what was counted, on which inputs; they serve every
product whose needs are a subset, so a new n-sigma, aperture or noise factor opens no plane.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz import io
from vmpz.errors import MissingProductError
from vmpz.frames import Frame, FrameRef
from vmpz.make import PassNeeds, needs
from vmpz.make.accumulate import GoodPixels, accumulate, joint_good, over_area
from vmpz.make.goodpixels import subcell_words
from vmpz.make.needs import table_in
from vmpz.make.runtable import RunTable, run_table
from vmpz.parameters import Parameters
from vmpz.products import Product, ProductKey, Provenance
from vmpz.run.exposurepass import count_exposures, open_area
from vmpz.run.geometry import masks_digest, with_masks
from vmpz.run.store import Entry, Store
from vmpz.run.summaries import summary_of
from vmpz.sky.cells import CellSet
from vmpz.statistics import CellStatistics

__all__ = ["Grids", "Measured", "frame_digest", "good_pixels_of", "joint_counts", "measure", "versions"]

PASS_VERSION = 1
GUARDS = {"max_pixels", "verify_md5", "md5"}
"""Options of frames that refuse inputs and change no value."""
LIBRARIES = ("vmpz", "numpy", "scipy", "numba", "astropy", "cdshealpix", "mocpy", "pyarrow")


@cache
def versions() -> dict[str, str]:
    """Versions of the libraries that make the values."""
    return {name: version(name) for name in LIBRARIES}


class Grids:
    """Run tables of the grids met in one job: made once for all bands that share a grid."""

    def __init__(self, cells: CellSet, threads: int) -> None:
        self.cells = cells
        self.threads = threads
        self._tables: dict[tuple[str, tuple[int, int]], RunTable] = {}

    def of(self, ref: FrameRef) -> RunTable:
        """The run table of a frame's grid on the job's cells."""
        grid = (ref.wcs_cards, ref.shape)
        if grid not in self._tables:
            self._tables[grid] = run_table(
                ref.wcs, ref.shape, self.cells, outline=ref.outline(), threads=self.threads
            )
        return self._tables[grid]


@dataclass(frozen=True)
class Measured:
    """A band ready for its makers: the frame with its small tables, its statistics, whether all checksums held."""

    frame: Frame
    statistics: CellStatistics
    verified: bool
    notes: tuple[str, ...] = ()


def measure(
    ref: FrameRef,
    keys: Sequence[ProductKey],
    store: Store,
    grids: Grids,
    parameters: Parameters,
    created: datetime,
    stack: ExitStack,
) -> Measured:
    """Statistics that serve all these products; the frame stays open on `stack`.

    Planes that are not needed are never opened.
    """
    wanted = needs(keys, ref, parameters)
    tables = wanted.tables & ref.tables.keys()
    if wanted.planes and parameters.coverage.star_masks and "STARMASK" in ref.tables:
        tables |= {
            "STARMASK"
        }  # they cut the runs of pixels, so sums must see them whatever products are made
    inputs = {name: ref.planes[name].identity for name in sorted(wanted.planes & ref.planes.keys())}
    if "STARMASK" in tables:
        inputs["STARMASK"] = ref.tables["STARMASK"].identity
    entry = store.entry(statistics_key(ref, parameters))
    if entry is not None and not entry.faults():
        frame = stack.enter_context(open_area(ref, tables))
        needed = needs(keys, ref, parameters, table_in(frame, parameters))
        if _serves(entry, _counted(needed, ref, parameters, grids.cells), _by_file(ref, inputs)) and (
            needed.keep_good is None or not ref.has_grid or good_pixels_of(ref, store, parameters) is not None
        ):
            return Measured(frame, _read_statistics(entry), bool(entry.provenance["verified"]), _notes(entry))
    return _pass(ref, keys, inputs, tables, store, grids, parameters, created, stack)


def _pass(
    ref: FrameRef,
    keys: Sequence[ProductKey],
    inputs: Mapping[str, str],
    tables: Collection[str],
    store: Store,
    grids: Grids,
    parameters: Parameters,
    created: datetime,
    stack: ExitStack,
) -> Measured:
    """Open the planes, reduce them once and keep the statistics."""
    frame = stack.enter_context(open_area(ref, {*inputs, *tables}))
    needed = needs(keys, ref, parameters, table_in(frame, parameters))
    statistics, good = _reduced(frame, keys, needed, grids, parameters)
    files = ref.files({*inputs})
    verified = bool(inputs) and all(file.verifiable for file in files.values())
    counted = _counted(needed, ref, parameters, grids.cells)
    provenance = Provenance(
        "statistics", PASS_VERSION, counted, _by_file(ref, inputs), versions(), created, verified,
        _stray_note(statistics),
    )  # fmt: skip
    _put(store, statistics_key(ref, parameters), io.statistics_table(statistics), provenance)
    if good is not None:
        _put(store, good_pixels_key(ref, parameters), io.bit_plane_table(good.shape, good.bits), provenance)
    return Measured(frame, statistics, verified, provenance.notes)


def _reduced(
    frame: Frame, keys: Sequence[ProductKey], needed: PassNeeds, grids: Grids, parameters: Parameters
) -> tuple[CellStatistics, GoodPixels | None]:
    """The pass over an image, or over the exposures of an area."""
    ref = frame.ref
    if not ref.has_grid:
        return count_exposures(ref, keys, grids.cells, parameters, grids.threads), None
    statistics, good = accumulate(
        with_masks(frame, parameters),
        grids.of(ref),
        selections=sorted(needed.selections, key=lambda one: one.text),
        good=needed.good,
        rms_max=parameters.coverage.rms_max,
        percents=sorted(needed.percents),
        listed=sorted(needed.listed),
        inverse_variance=needed.inverse_variance,
        weight=needed.weight,
        keep_good=needed.keep_good,
        threads=grids.threads,
    )
    statistics = over_area(statistics, grids.cells, ref.outline())
    if good is not None and parameters.coverage.subcells:
        words = subcell_words(statistics.cells, grids.of(ref), good, threads=grids.threads)
        statistics = replace(statistics, columns={**statistics.columns, "subcells": words})
    return statistics, good


def _by_file(ref: FrameRef, inputs: Mapping[str, str]) -> dict[str, str]:
    """Identities by plane or table and file name."""
    return {name: file.identity for name, file in ref.files(inputs).items()}


def statistics_key(ref: FrameRef, parameters: Parameters) -> ProductKey:
    """Key of a band's cell statistics."""
    return ProductKey(
        ref.area, "statistics", instrument=ref.instrument, band=ref.band,
        order=parameters.maps.order, release=parameters.survey.release,
    )  # fmt: skip


def good_pixels_key(ref: FrameRef, parameters: Parameters) -> ProductKey:
    """Key of a band's good-pixel plane."""
    return ProductKey(
        ref.area, "goodpixels", instrument=ref.instrument, band=ref.band,
        order=parameters.maps.order, release=parameters.survey.release,
    )  # fmt: skip


def good_pixels_of(ref: FrameRef, store: Store, parameters: Parameters) -> Entry | None:
    """The good-pixel plane that was kept by the pass whose statistics stand in the store, None if there is none."""
    kept = store.entry(good_pixels_key(ref, parameters))
    statistics = store.entry(statistics_key(ref, parameters))
    if kept is None or statistics is None or kept.faults():
        return None
    same = {**kept.provenance, "notes": []} == {**statistics.provenance, "notes": []}
    return kept if same else None


def joint_counts(
    refs: Sequence[FrameRef], store: Store, grids: Grids, parameters: Parameters
) -> tuple[CellStatistics, NDArray[np.int64]]:
    """Statistics of the first band, and pixels of each cell that are good in all bands.

    Raises
    ------
    MissingProductError
        The good pixels of a band were not kept.
    """
    planes = []
    for ref in refs:
        entry = good_pixels_of(ref, store, parameters)
        if entry is None:
            raise MissingProductError(
                f"{ref.name}: its good pixels were not kept, so JOINT cannot be counted"
            )
        planes.append(_read_good(entry))
    first = store.entry(statistics_key(refs[0], parameters)) if refs else None
    if first is None:
        raise MissingProductError("effective coverage needs the statistics of at least one band, found none")
    table, statistics = grids.of(refs[0]), _read_statistics(first)
    counts = np.zeros(len(statistics.cells), np.int64)
    counts[statistics.cells.index(table.cells.cells())] = joint_good(table, planes)
    return statistics, counts


def frame_digest(ref: FrameRef, exposures: bool = True) -> str:
    """SHA-256 of all that a frame is beside its files: what the reader took from headers, descriptors and options.

    Parameters
    ----------
    ref : FrameRef
    exposures : bool
        With its exposures: the detectors that touch the area, no others; where their pixels or stamps count, all else
        that is known of them too.
    """
    options = {name: value for name, value in ref.options.items() if name not in {*GUARDS, "rows"}}
    parts = [] if ref.has_grid else [one for one in ref.members if one.planes or "PSF" in one.tables]
    counted = [(frame_digest(replace(one, exposures=None)), ref.options["rows"][one.area]) for one in parts]
    told = (
        ref.shape, ref.wcs_cards, sorted(ref.scalars.items()), Path(ref.bit_table).name, ref.footprint,
        ref.date_obs, ref.date_end, ref.telescope, options,
        *([ref.exposures.digest, counted] if exposures and ref.exposures is not None else []),
    )  # fmt: skip
    return sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()


# -- what was counted -------------------------------------------------------------------------------------------------


def _counted(needed: PassNeeds, ref: FrameRef, parameters: Parameters, cells: CellSet) -> dict[str, Any]:
    """What a pass for these needs counts, as it stands in the manifest."""
    return {
        "planes": sorted(needed.planes & ref.planes.keys()),
        "selections": sorted(f"{one.text} {one.bitsel}" for one in needed.selections),
        "good": f"{needed.good.text} {needed.good.bitsel}" if needed.good else None,
        "keep_good": needed.keep_good.text if needed.keep_good else None,
        "rms_max": parameters.coverage.rms_max,
        "percents": sorted(needed.percents),
        "listed": sorted(needed.listed),
        "inverse_variance": needed.inverse_variance,
        "weight": needed.weight,
        "masks": masks_digest(parameters),
        "min_good": None if ref.has_grid else parameters.exposures.min_good,
        "subcells": parameters.coverage.subcells and needed.keep_good is not None,
        "cells": cells.digest,
        "frame": frame_digest(ref, exposures=not ref.has_grid or bool(parameters.masks)),
    }


def _serves(entry: Entry, counted: Mapping[str, Any], inputs: Mapping[str, str]) -> bool:
    """Whether statistics that are there hold all that is to be counted, of the same inputs."""
    had, made_of = entry.provenance["parameters"], entry.provenance["inputs"]
    return (
        entry.provenance["recipe_version"] == PASS_VERSION
        and had["rms_max"] == counted["rms_max"]
        and all(had.get(name) == counted[name] for name in ("cells", "frame"))
        and had.get("masks", {}) == counted["masks"]
        and had.get("min_good") == counted["min_good"]
        and (counted["good"] is None or had["good"] == counted["good"])
        and (counted["keep_good"] is None or had["keep_good"] == counted["keep_good"])
        and all(had.get(name, False) >= counted[name] for name in ("inverse_variance", "subcells", "weight"))
        and all(
            set(had.get(name, ())) >= set(counted[name])
            for name in ("planes", "selections", "percents", "listed")
        )
        and all(made_of.get(name) == identity for name, identity in inputs.items())
    )


def _stray_note(statistics: CellStatistics) -> tuple[str, ...]:
    stray = int(statistics.scalars.get("stray", 0))
    if not stray:
        return ()
    bits = int(statistics.scalars["stray_bits"])
    numbers = ", ".join(str(number) for number in range(32) if bits >> number & 1)
    return (
        f"{stray} pixels have flag bits that the bit table does not name ({numbers}); they are not masked",
    )


def _notes(entry: Entry) -> tuple[str, ...]:
    return tuple(entry.provenance.get("notes", ()))


# -- tables -----------------------------------------------------------------------------------------------------------


def _put(store: Store, key: ProductKey, table: Any, provenance: Provenance) -> None:
    product = Product(key, table=table, provenance=provenance)
    store.put(
        key, provenance, lambda folder: io.write(product, folder, "parquet"), summary=summary_of(product)
    )


def _read_statistics(entry: Entry) -> CellStatistics:
    return io.read_statistics(io.read(entry.path(".parquet")).table)


def _read_good(entry: Entry) -> GoodPixels:
    return GoodPixels(*io.read_bit_plane(io.read(entry.path(".parquet")).table))
