"""The pass over the exposures of an area: detector images one after the other, in the order of their ids.

Only detectors that touch the area are opened, and of them only the planes that are needed. A detector image is small,
so memory is that of a few whatever the number of exposures: threads take an image each, and what these give is added
up in order.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vmpz.bits import BitTable
from vmpz.errors import InputError
from vmpz.frames import Frame, FrameRef, PsfStamps
from vmpz.make import PassNeeds, needs
from vmpz.make.accumulate import accumulate
from vmpz.make.exposures import ExposureTotals, in_common
from vmpz.make.geometry import Pointing
from vmpz.make.goodpixels import subcell_words
from vmpz.make.needs import table_in
from vmpz.make.orderstatistics import Orders, Pool
from vmpz.make.runtable import RunTable, run_table
from vmpz.parameters import Parameters
from vmpz.products import ProductKey
from vmpz.readers import bits_of, detectors_of, open_frame
from vmpz.readers.headerbits import BY_NAME
from vmpz.run.geometry import pointings_of, with_masks
from vmpz.sky.cells import CellSet
from vmpz.sky.regions import union_fractions
from vmpz.sky.shares import weighted_sums
from vmpz.statistics import CellStatistics

__all__ = ["count_exposures", "open_area"]

LISTED_AT_ONCE = 1 << 25
"""Pixels whose values are listed at once, for medians and the like."""

_Image = tuple[FrameRef, tuple[Pointing, ...]]


class _Counted(NamedTuple):
    """What one image gives."""

    statistics: CellStatistics
    scale_arcsec: float
    words: NDArray[np.uint64] | None


def open_area(ref: FrameRef, planes: Collection[str]) -> Frame:
    """Open a frame: an image, an image with exposures beside it, or the exposures of an area (no planes).

    Raises
    ------
    InputError
        A file is not what it must be, or is no longer what was listed.
    """
    if not ref.members:
        return open_frame(ref, planes)
    if ref.has_grid:
        return replace(open_frame(ref, set(planes) - {"LAYERS"}), exposures=ref.exposures)
    stamps = _stamps(ref) if "PSF" in planes and "PSF" in ref.tables else None
    return Frame(ref, {}, exposures=ref.exposures, psf=stamps, bits=bits_of(ref))


def _stamps(ref: FrameRef) -> PsfStamps:
    """Stamps of all detectors of the area, by their rows in its exposures."""
    parts: list[PsfStamps] = []
    first = 0
    for member in ref.members:
        rows = np.array(ref.options["rows"][member.area], np.int64)
        with open_frame(member, {"PSF"}) as frame:
            if frame.psf is None:
                raise InputError(f"{member.name}: must have PSF stamps, as was listed; found none")
            parts.append(_of_rows(frame.psf, rows, first))
        first += rows.size
    moments = [one.moments_arcsec2 for one in parts]
    return PsfStamps(
        np.concatenate([one.lon_deg for one in parts]),
        np.concatenate([one.lat_deg for one in parts]),
        np.concatenate([one.fwhm_arcsec for one in parts]),
        None
        if any(one is None for one in moments)
        else np.concatenate([one for one in moments if one is not None]),
        np.concatenate([one.detector for one in parts if one.detector is not None]),
    )


def _of_rows(psf: PsfStamps, rows: Any, first: int) -> PsfStamps:
    """The stamps of some detectors of an exposure, the first of which has row `first` of the area."""
    detector = psf.detector if psf.detector is not None else np.zeros(psf.fwhm_arcsec.size, np.int64)
    place = np.searchsorted(rows, detector)
    kept = (place < rows.size) & (rows[np.minimum(place, rows.size - 1)] == detector)
    moments = psf.moments_arcsec2
    return PsfStamps(
        psf.lon_deg[kept],
        psf.lat_deg[kept],
        psf.fwhm_arcsec[kept],
        None if moments is None else moments[kept],
        place[kept] + first,
    )


def count_exposures(
    ref: FrameRef, keys: Sequence[ProductKey], cells: CellSet, parameters: Parameters, threads: int
) -> CellStatistics:
    """Cell statistics of the exposures of an area, see `vmpz.make.exposures`.

    Raises
    ------
    InputError
        A file is not what it must be, or is no longer what was listed.
    """
    table = table_in(Frame(ref, {}, bits=bits_of(ref)), parameters)
    wanted = needs(keys, ref, parameters, table)
    totals = ExposureTotals(cells, parameters.exposures.min_good)
    planes = wanted.planes & ref.planes.keys()

    def count(image: _Image) -> _Counted | None:
        with _opened(image, planes, cells, parameters) as opened:
            if opened is None:
                return None
            frame, grid = opened
            return _counted(_in_common(frame, ref, table, parameters), grid, wanted, parameters)

    for one in _in_order(count, _images(ref) if planes else (), threads):
        if one is not None:
            totals.add(one.statistics, pixel_scale_arcsec=one.scale_arcsec, good=wanted.good, words=one.words)
    outlines = ref.exposures.corners if ref.exposures is not None else np.empty((0, 3, 2))
    union = union_fractions(outlines, cells.order, cells=cells).of_cells(cells.cells(), 0.0)
    statistics = totals.statistics(
        np.asarray(union, np.float64), wanted.keep_good, subcells=parameters.coverage.subcells
    )
    if not planes:
        return _of_outlines(statistics, outlines)
    orders = Orders.of(wanted.percents, wanted.listed)
    if orders:
        listed = _order_statistics(ref, wanted, table, cells, totals.pixels, parameters, threads)
        statistics = replace(statistics, columns={**statistics.columns, **listed})
    return statistics


def _order_statistics(
    ref: FrameRef,
    wanted: PassNeeds,
    table: BitTable | None,
    cells: CellSet,
    pixels: NDArray[np.int64],
    parameters: Parameters,
    threads: int,
) -> dict[str, NDArray[Any]]:
    """Columns of order statistics, group of cells by group: no more pixels are listed at once than memory may hold."""
    number, place = cells.cells(), np.cumsum(pixels) // LISTED_AT_ONCE
    columns: dict[str, NDArray[Any]] = {}
    orders = Orders.of(wanted.percents, wanted.listed)
    for group in np.unique(place):
        here = np.flatnonzero(place == group)
        some = CellSet.from_cells(cells.order, number[here])
        pool = Pool(some, pixels[here], orders)
        for image in _images(ref):
            with _opened(image, wanted.planes & ref.planes.keys(), some, parameters) as opened:
                if opened is None:
                    continue
                accumulate(
                    _in_common(opened[0], ref, table, parameters),
                    opened[1],
                    rms_max=parameters.coverage.rms_max,
                    percents=wanted.percents,
                    listed=wanted.listed,
                    weight=wanted.weight,
                    pool=pool,
                    threads=threads,
                )
        for name, values in pool.columns().items():
            columns.setdefault(name, np.full(len(cells), np.nan))[here] = values
    return columns


def _in_common(frame: Frame, ref: FrameRef, table: BitTable | None, parameters: Parameters) -> Frame:
    """An image in the units and with the flags of its area.

    A table that the parameters name says what the numbers in the images mean, unless these have numbers of their own.
    """
    named = {ref.band, ref.instrument} & parameters.bitmask.table.keys()
    if named and not frame.ref.options.get(BY_NAME):
        frame = replace(frame, bits=table)
    return in_common(frame, table, ref.scalars.get("zero_point"))


def _of_outlines(statistics: CellStatistics, outlines: Any) -> CellStatistics:
    """Exposures without pixels: what is inside an outline is valid."""
    cells = statistics.cells
    touched, sums = weighted_sums(outlines, np.ones((len(outlines), 1)), cells.order, cells)
    area = np.zeros(len(cells))
    area[cells.index(touched.cells())] = sums[:, 0]
    columns = {**statistics.columns, "found": area, "valid": area, "usable": area}
    return replace(statistics, columns=columns)


def _images(ref: FrameRef) -> Iterator[_Image]:
    """Images of the detectors of an area, and the pointing of each."""
    for member in ref.members:
        pointings = pointings_of(member)
        for image in detectors_of(member, ref.options["rows"][member.area]):
            yield image, pointings


@contextmanager
def _opened(
    image: _Image, planes: Collection[str], cells: CellSet, parameters: Parameters
) -> Iterator[tuple[Frame, RunTable] | None]:
    """An open image and which cells hold its pixels; None where none does."""
    ref, pointings = image
    grid = run_table(ref.wcs, ref.shape, cells, outline=ref.outline())
    if not len(grid.cells):
        yield None
        return
    with open_frame(ref, planes) as frame:
        yield with_masks(frame, parameters, pointings), grid


def _in_order(
    work: Callable[[_Image], _Counted | None], images: Iterable[_Image], threads: int
) -> Iterator[_Counted | None]:
    """Results in the order of the images, of which no more than a few are at work."""
    if threads == 1:
        yield from map(work, images)
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[_Counted | None]] = deque()
        for image in images:
            waiting.append(pool.submit(work, image))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _counted(frame: Frame, grid: RunTable, wanted: PassNeeds, parameters: Parameters) -> _Counted:
    """One image: the pass over it, and its good sub-cells where they are wanted."""
    statistics, good = accumulate(
        frame,
        grid,
        selections=sorted(wanted.selections, key=lambda one: one.text),
        good=wanted.good,
        rms_max=parameters.coverage.rms_max,
        inverse_variance=wanted.inverse_variance,
        weight=wanted.weight,
        keep_good=wanted.keep_good,
    )
    words = None if good is None else subcell_words(grid.cells, grid, good, outline=grid.outline)
    return _Counted(statistics, float(frame.ref.scalars["pixel_scale_arcsec"]), words)
