"""The one pass: the planes of one band of an area to `CellStatistics`.

Planes are streamed once, in row blocks of fixed height. Every block gives partial counts and moments of the cells
it touches; these are added in block order, so the bytes do not depend on threads or memory. What comes out and what
each column means is in `vmpz.statistics`.

A pixel is *valid* if its RMS is finite, > 0 and < 1e15 (numbers below the normal range of float32 count as 0; without
an RMS plane: if its IMAGE is finite; without both: always), *usable* if moreover RMS <= ``rms_max``, *good* if
moreover no bit of the depth selection hits it. Planes are taken as float32, flags as unsigned 32-bit words; the
inverse variance 1/RMS**2 (WEIGHT) is a plane too, made of the RMS on the way. Geometric masks are virtual flag bits: 32
inside the star masks, 33 and on inside the further masks of the frame, in their order.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmpz.bits import STARMASK, VIRTUAL, BitTable, Selection
from vmpz.errors import InputError
from vmpz.frames import Frame, Plane
from vmpz.kernels import binning, goodpixels, quantiles, weights, words
from vmpz.make.goodpixels import GoodPixels, joint_good
from vmpz.make.orderstatistics import BlockLists, Orders, Pool
from vmpz.make.pixelmasks import PixelMasks
from vmpz.make.runtable import RunBlock, RunTable
from vmpz.make.storedwords import Words, data_sum, flag_words, float_words, read_only
from vmpz.make.totals import PLANES, SAMPLES, WEIGHT, Partial, Request, Totals
from vmpz.sky.cells import CellSet
from vmpz.sky.regions import Polygon, covered_fractions
from vmpz.statistics import CellStatistics

__all__ = ["GoodPixels", "accumulate", "joint_good"]

WINDOW_ROWS = 128
"""Rows read at a time."""

NO_RMS = 1e15
"""RMS from which on a pixel holds no data (Euclid MER: 1e16)."""


def accumulate(
    frame: Frame,
    table: RunTable,
    *,
    selections: Iterable[Selection] = (),
    good: Selection | None = None,
    rms_max: float = 1e6,
    percents: Iterable[float] = (),
    listed: Iterable[str] = (),
    list_samples: Iterable[str] = ("valid",),
    inverse_variance: bool = False,
    weight: bool = False,
    keep_good: Selection | None = None,
    pool: Pool | None = None,
    threads: int = 1,
    progress: Callable[[int], None] | None = None,
) -> tuple[CellStatistics, GoodPixels | None]:
    """Read the planes of a frame once and reduce them to statistics of the table's cells.

    Parameters
    ----------
    frame : Frame
        Its open planes among RMS, BACKGROUND, IMAGE and FLAG are read; without FLAG all flags are zero.
    table : RunTable
        Of the frame's grid; the same for all bands.
    selections : iterable of Selection
        Joint selections to count.
    good : Selection, optional
        What good pixels must not be hit by (the depth selection); nothing by default.
    rms_max : float
        Largest usable RMS, units of the image.
    percents : iterable of float
        Order statistics of every float plane, whole per cents: ``qNN``, and ``median`` for 50.
    listed : iterable of str
        Also ``mode``, ``wmedian`` (the median weighted by 1/RMS**2), of every float plane.
    list_samples : iterable of str
        The samples that `percents` and `listed` are wanted for, 'valid' or 'good'.
    inverse_variance : bool
        Also ``wsum`` and ``wmean``.
    weight : bool
        Also the moments of the inverse variance, ``WEIGHT.valid.mean`` and so on, in place of those of IMAGE, which
        is not read then.
    keep_good : Selection, optional
        Also keep the plane of usable pixels not hit by this selection.
    pool : Pool, optional
        Where the lists of pixels go, for order statistics over several images.
    threads : int
        Row blocks worked on at once. Planes that must be read in order (gzip) are read by one.
    progress : callable, optional
        Called with the number of rows done.

    Returns
    -------
    CellStatistics
        Scalars: rms_max, pixels, invalid_rms, stray (pixels with bits unknown to the table), stray_bits (their
        OR), validity (the plane that decides it, '-' for none).
    GoodPixels or None

    Raises
    ------
    InputError
        A plane has another shape than the grid, flags are no integers of up to 32 bits, data do not have their
        DATASUM, or what was asked for needs a plane or star masks that the frame does not have.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> import numpy as np
    >>> from astropy.wcs import WCS
    >>> from vmpz import CellSet, Frame, FrameRef, accumulate, run_table
    >>> wcs = WCS({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 58.0, "CRVAL2": -51.5, "CRPIX1": 50.5,
    ...            "CRPIX2": 50.5, "CDELT1": -0.001, "CDELT2": 0.001})
    >>> noise = np.full((100, 100), 0.01, "f4")
    >>> plane = SimpleNamespace(name="RMS", shape=noise.shape, dtype=noise.dtype, sequential=False, datasum=None,
    ...                         where="RMS", read=lambda start, stop, out=None: noise[start:stop], close=lambda: None)
    >>> ref = FrameRef("generic", "field", "CAM", "r", noise.shape, wcs.to_header().tostring("\\n"), {})
    >>> table = run_table(wcs, noise.shape, CellSet.everything(12), outline=ref.outline())
    >>> statistics, _ = accumulate(Frame(ref, {"RMS": plane}), table)
    >>> int(statistics.column("valid").sum()), round(float(statistics.fraction("valid").max()), 6)
    (10000, 1.0)
    """
    unread = {"IMAGE"} if weight else set()
    planes = {name: frame.planes[name] for name in (*PLANES, "FLAG") if name in frame.planes.keys() - unread}
    kept = tuple(name if name in planes else "" for name in PLANES)
    kept = (*kept[:2], WEIGHT) if weight else kept
    orders = Orders.of(percents, listed)
    request = Request(
        tuple({one.text: one for one in selections}.values()),
        good or Selection((), ()),
        rms_max,
        inverse_variance,
        keep_good,
        orders,
        kept,
        tuple((p, s) for p in kept for s in SAMPLES if orders and p and s in set(list_samples)),
        tuple(_virtual_bits(frame)),
        pool,
    )
    _check(frame, table, request, planes)
    totals = Totals(table, request, planes)
    rows = 0
    for partial in _partials(frame, table, request, planes, threads):
        totals.add(partial)
        rows += partial.block.stop - partial.block.start
        if progress is not None:
            progress(rows)
    totals.verify()
    return totals.statistics(), totals.good_pixels()


def over_area(statistics: CellStatistics, cells: CellSet, outline: Polygon) -> CellStatistics:
    """The same statistics on all own cells of an area.

    Cells that hold no pixel centre have counts of 0, no moments (NaN), and the exact share of the outline as ``geom``.
    """
    place = cells.index(statistics.cells.cells())
    columns = {}
    for name, values in statistics.columns.items():
        absent = np.nan if values.dtype.kind == "f" and not name.endswith(".wsum") else 0
        columns[name] = np.full(len(cells), absent, values.dtype)
        columns[name][place] = values
    share = covered_fractions(outline, cells.order, cells=cells).of_cells(cells.cells(), 0.0)
    columns["geom"] = np.asarray(share, np.float64)
    columns["geom"][place] = statistics.column("geom")
    return CellStatistics(cells, columns, statistics.scalars)


def _virtual_bits(frame: Frame) -> dict[int, str]:
    """Number and name of the virtual bits that a frame has, ascending."""
    star_masks = {} if frame.star_masks is None else {STARMASK: "STARMASK"}
    return star_masks | dict(enumerate(frame.masks, STARMASK + 1))


def _check(frame: Frame, table: RunTable, request: Request, planes: Mapping[str, Plane]) -> None:
    """Refuse what cannot be counted before any pixel is read."""
    for plane in planes.values():
        if tuple(plane.shape) != tuple(table.shape):
            raise InputError(
                f"{plane.where}: plane {plane.name} of {frame.ref.name} must have the shape of the grid, "
                f"{table.shape}, found {tuple(plane.shape)}"
            )
    flags = planes.get("FLAG")
    if flags is not None and (flags.dtype.kind not in "iu" or flags.dtype.itemsize > 4):
        raise InputError(f"{flags.where}: flags must be integers of at most 32 bits, found {flags.dtype}")
    named = (*request.selections, request.good, *([request.keep_good] if request.keep_good else []))
    if frame.star_masks is None and any(STARMASK in selection.numbers for selection in named):
        raise InputError(f"{frame.ref.name}: the selection STARMASK needs star masks, found none")
    there = _virtual_bits(frame)
    masked = [one for one in named if one.virtual_mask]
    for number, name in sorted({pair for one in masked for pair in zip(one.numbers, one.names, strict=True)}):
        if number >= STARMASK and there.get(number) != name:
            raise InputError(
                f"{frame.ref.name}: the selection {name} needs a mask of this name as bit {number}, "
                f"found {', '.join(f'{n} {there[n]}' for n in there) or 'none'}"
            )
    if len(frame.masks) >= VIRTUAL:
        raise InputError(
            f"{frame.ref.name}: there must be at most {VIRTUAL - 1} masks, found {len(frame.masks)}"
        )
    if (
        request.inverse_variance or request.orders.weighted or WEIGHT in request.planes
    ) and "RMS" not in planes:
        raise InputError(
            f"{frame.ref.name}: inverse-variance weights need the plane RMS, found {', '.join(planes)}"
        )


# -- one block ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Meaning:
    """How the stored words of a band are read: byte order, validity, masks in the byte order of the flags."""

    swaps: tuple[bool, ...]
    flag_swap: bool
    decider: int
    limits: NDArray[np.int32]
    known: np.uint32
    low_masks: NDArray[np.uint32]
    high_masks: NDArray[np.uint8]
    veto: tuple[np.uint32, np.uint8]
    kept_veto: tuple[np.uint32, np.uint8]

    @classmethod
    def of(cls, planes: Mapping[str, Plane], bits: BitTable | None, request: Request) -> "_Meaning":
        swapped = {name: _stays_swapped(plane) for name, plane in planes.items()}
        flag_swap = swapped.get("FLAG", False) and not (bits is not None and bits.kind == "code")

        def stored(mask: int) -> np.uint32:
            word = np.uint32(mask & 0xFFFFFFFF)
            return np.uint32(word.byteswap()) if flag_swap else word

        def veto(selection: Selection) -> tuple[np.uint32, np.uint8]:
            return stored(selection.mask), np.uint8(selection.virtual_mask)

        decider, limits = _validity(planes, request.rms_max)
        return cls(
            (*(swapped.get(name, False) for name in request.planes), False),
            flag_swap,
            decider,
            limits,
            stored(0xFFFFFFFF if bits is None else bits.known),
            np.array([stored(one.mask) for one in request.selections], np.uint32),
            np.array([one.virtual_mask for one in request.selections], np.uint8),
            veto(request.good),
            veto(request.keep_good or Selection((), ())),
        )


def _stays_swapped(plane: Plane) -> bool:
    """Whether the words of a plane are used as they lie in the file, in the other byte order."""
    return (
        plane.dtype.itemsize == 4
        and (plane.dtype.kind == "f") == (plane.name != "FLAG")
        and not plane.dtype.isnative
    )


def _validity(planes: Mapping[str, Plane], rms_max: float) -> tuple[int, NDArray[np.int32]]:
    """Plane that decides validity, and its ordered words: lowest valid, highest valid, highest usable."""
    single = np.finfo(np.float32)
    if "RMS" in planes:
        largest = np.nextafter(np.float32(NO_RMS), np.float32(0))
        usable = min(largest, np.float32(min(rms_max, NO_RMS)))
        return 0, words.ordered_words(np.array([single.tiny, largest, usable], np.float32))
    if "IMAGE" in planes:
        return 2, words.ordered_words(np.array([single.min, single.max, single.max], np.float32))
    return 3, np.array([-(2**31), 2**31 - 1, 2**31 - 1], np.int32)


def _partials(
    frame: Frame, table: RunTable, request: Request, planes: Mapping[str, Plane], threads: int
) -> Iterator[Partial]:
    """Partial results in block order."""
    buffers = threading.local()
    masks = PixelMasks(table, (frame.star_masks or (), *frame.masks.values()))
    one = _Pass(frame, table, request, planes, _Meaning.of(planes, frame.bits, request), masks, buffers)
    if threads == 1 or any(plane.sequential for plane in planes.values()):
        yield from map(one.reduce, table.blocks)
        return
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(one.reduce, table.blocks)


@dataclass(frozen=True)
class _Pass:
    """One band on its way through the pass."""

    frame: Frame
    table: RunTable
    request: Request
    planes: Mapping[str, Plane]
    meaning: _Meaning
    masks: PixelMasks
    buffers: threading.local

    def reduce(self, block: RunBlock) -> Partial:
        """Partial result of one block."""
        partial = Partial.empty(block, self.table.shape[1], self.request)
        orders = self.request.orders
        lists = {
            key: BlockLists.empty(block, orders.weighted and key[0] != "RMS") for key in self.request.lists
        }
        runs, virtual = self.masks.cut(block)
        for start in range(block.start, block.stop, WINDOW_ROWS):
            rows = slice(start - block.start, min(start + WINDOW_ROWS, block.stop) - block.start)
            self._add(partial, lists, runs, virtual, rows)
        if self.meaning.flag_swap:
            bits = partial.counts[:, 2 : 2 + STARMASK]
            bits[:] = bits[:, words.bit_places(True)]
            partial.stray[1] = int(np.uint32(partial.stray[1]).byteswap())
        finished = (block.found == self.table.found[block.cells]) & (self.request.pool is None)
        partial.lists = {key: one.close(finished, orders) for key, one in lists.items()}
        return partial

    def _add(
        self,
        partial: Partial,
        lists: Mapping[tuple[str, str], BlockLists],
        runs: RunBlock,
        virtual: NDArray[np.uint8],
        rows: slice,
    ) -> None:
        """Read a window of rows and add it."""
        meaning, columns = self.meaning, self.table.shape[1]
        nothing = read_only(np.zeros((1, columns), np.uint32))
        data = self._read(runs.start + rows.start, runs.start + rows.stop, partial.data_sums)
        flags = data.get("FLAG", nothing)
        floats = (*(data.get(name, nothing[:0]) for name in self.request.planes), nothing)
        deciding, swap = floats[meaning.decider], meaning.swaps[meaning.decider]
        geometry = (
            columns,
            runs.first,
            runs.slot,
            virtual,
            runs.row_start[rows.start : rows.stop + 1],
            flags,
        )
        binning.add_rows(
            *geometry, meaning.known, floats, meaning.swaps, meaning.decider, meaning.limits,
            meaning.low_masks, meaning.high_masks, *meaning.veto, partial.counts, partial.moments, partial.stray,
        )  # fmt: skip
        if self.request.keep_good is not None:
            goodpixels.pack_rows(
                *geometry, deciding, swap, meaning.limits, *meaning.kept_veto, partial.kept[rows]
            )
        for p, name in enumerate(self.request.planes):
            if self.request.inverse_variance and name:
                weights.weigh_rows(
                    *geometry, data[name], meaning.swaps[p], data["RMS"], meaning.swaps[0], meaning.limits,
                    *meaning.veto, partial.weights[:, p],
                )  # fmt: skip
            for sample in SAMPLES:
                if (name, sample) in lists:
                    one = lists[name, sample]
                    quantiles.gather_rows(
                        *geometry, data[name], meaning.swaps[p], deciding, swap, meaning.limits, sample == "good",
                        *meaning.veto, one.end, one.words[0], one.beside,
                    )  # fmt: skip

    def _read(self, start: int, stop: int, data_sums: dict[str, int]) -> dict[str, Words]:
        """Words of rows [start, stop) of every plane."""
        if not hasattr(self.buffers, "of"):
            shape = (WINDOW_ROWS, self.table.shape[1])
            self.buffers.of = {name: np.empty(shape, plane.dtype) for name, plane in self.planes.items()}
            self.buffers.weight = np.empty(shape if WEIGHT in self.request.planes else (0, 0), np.float32)
        data = {}
        for name, plane in self.planes.items():
            rows = np.ascontiguousarray(plane.read(start, stop, self.buffers.of[name][: stop - start]))
            if plane.datasum is not None:
                data_sums[name] = data_sums.get(name, 0) + data_sum(rows, start)
            data[name] = flag_words(rows, self.frame.bits) if name == "FLAG" else float_words(rows)
        if WEIGHT in self.request.planes:
            values = self.buffers.weight[: stop - start]
            weights.inverse_variances(data["RMS"], self.meaning.swaps[0], values)
            data[WEIGHT] = float_words(values)
        return data
