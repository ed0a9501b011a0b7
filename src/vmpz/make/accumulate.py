"""The one pass: the planes of one band of an area to `CellStatistics`.

Planes are streamed once, in row blocks of fixed height. Every block gives partial counts and moments of the cells it
touches; these are added in block order, so the bytes do not depend on threads or memory. What comes out and what each column
means is in `vmpz.statistics`.

A pixel is *valid* if its RMS is finite, > 0 and < 1e15 (without an RMS plane: if its IMAGE is finite; without both: always),
*usable* if moreover RMS <= ``rms_max``, *good* if moreover no bit of the depth selection hits it. Planes are
taken as float32, flags as unsigned 32-bit words.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.bits import STARMASK, Selection
from vmpz.errors import InputError
from vmpz.frames import Frame, Plane
from vmpz.kernels import binning
from vmpz.make.runtable import RunBlock, RunTable
from vmpz.statistics import CellStatistics

__all__ = ["GoodPixels", "accumulate", "joint_good"]

WINDOW_ROWS = 128
"""Rows read at a time."""

PLANES = ("RMS", "BACKGROUND", "IMAGE")
SAMPLES = ("valid", "good")
NOTHING = np.zeros((0, 0), np.uint32)
NOTHING.flags.writeable = False

Words = NDArray[np.uint32]


@dataclass(frozen=True)
class GoodPixels:
    """Usable pixels of an area's own cells that a selection does not hit, one bit each.

    Attributes
    ----------
    shape : (int, int)
        Rows, columns.
    bits : uint64 array (rows, ceil(columns / 64))
        Lowest bit first.
    """

    shape: tuple[int, int]
    bits: NDArray[np.uint64]


@dataclass(frozen=True)
class _Request:
    """What is to be counted."""

    selections: tuple[Selection, ...]
    good: Selection
    rms_max: float
    keep_good: Selection | None
    inverse_variance: bool

    def masks(self) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
        """Real bits of the joint selections, and whether each holds the virtual bit."""
        pairs = [_split(selection) for selection in self.selections]
        return np.array([low for low, _ in pairs], np.uint32), np.array([high for _, high in pairs], bool)


@dataclass
class _Partial:
    """What one block gives."""

    block: RunBlock
    counts: NDArray[np.int32]
    moments: NDArray[np.float64]
    weights: NDArray[np.float64]
    stray: NDArray[np.int64]
    kept: NDArray[np.uint64]
    data_sums: dict[str, int] = field(default_factory=dict)


def accumulate(
    frame: Frame,
    table: RunTable,
    *,
    selections: Iterable[Selection] = (),
    good: Selection | None = None,
    rms_max: float = 1e6,
    inverse_variance: bool = False,
    keep_good: Selection | None = None,
    threads: int = 1,
    progress: Callable[[int], None] | None = None,
) -> tuple[CellStatistics, GoodPixels | None]:
    """Read the planes of a frame once and reduce them to statistics of the table's cells.

    Parameters
    ----------
    frame : Frame
        Its open planes among RMS, BACKGROUND, IMAGE and FLAG are read; FLAG words are all zero without that plane.
    table : RunTable
        Of the frame's grid; the same for all bands.
    selections : iterable of Selection
        Joint selections to count.
    good : Selection, optional
        What good pixels must not be hit by (the depth selection); none by default.
    rms_max : float
        Largest usable RMS, units of the image.
    inverse_variance : bool
        Also ``wsum`` and ``wmean``.
    keep_good : Selection, optional
        Also keep the plane of usable pixels not hit by this selection.
    threads : int
        Row blocks worked on at once; 1 is enough for planes that must be read in order (gzip).
    progress : callable, optional
        Called with the number of rows done.

    Returns
    -------
    CellStatistics
        Scalars: rms_max, pixels, invalid_rms, stray (pixels with bits unknown to the table), stray_bits (their OR),
        validity (RMS, IMAGE or '-').
    GoodPixels or None

    Raises
    ------
    InputError
        A plane has another shape than the grid, flags are no integers of up to 32 bits, data do not have their DATASUM, or what
        was asked for needs a plane or star masks that the frame does not have.
    """
    empty = Selection((), ())
    request = _Request(
        tuple({one.text: one for one in selections}.values()),
        good or empty,
        rms_max,
        keep_good,
        inverse_variance,
    )
    planes = {name: frame.planes[name] for name in (*PLANES, "FLAG") if name in frame.planes}
    _check(frame, table, request, planes)
    totals = _Totals(table, request, planes)
    rows = 0
    for partial in _partials(frame, table, request, planes, threads):
        totals.add(partial)
        rows += partial.block.stop - partial.block.start
        if progress is not None:
            progress(rows)
    totals.verify(planes)
    return totals.statistics(frame), totals.good_pixels()


def joint_good(table: RunTable, planes: Iterable[GoodPixels]) -> NDArray[np.int64]:
    """Pixels of each cell that are good in all bands.

    Parameters
    ----------
    table : RunTable
    planes : iterable of GoodPixels
        Of the table's grid, at least one.

    Returns
    -------
    int64 array (len(table.cells),)

    Raises
    ------
    InputError
        There is no plane, or one has another shape.
    """
    many = list(planes)
    if not many or any(one.shape != table.shape for one in many):
        raise InputError(
            f"good-pixel planes must have shape {table.shape}, found {[one.shape for one in many]}"
        )
    total = np.zeros(len(table.cells), np.int64)
    for block in table.blocks:
        bits = np.bitwise_and.reduce([one.bits[block.start : block.stop] for one in many])
        counts = np.zeros(block.cells.size, np.int64)
        binning.count_good(block.first, block.slot, block.row_start, table.shape[1], bits, counts)
        total[block.cells] += counts
    return total


def _split(selection: Selection) -> tuple[int, bool]:
    """Mask of the real bits, and whether the virtual bit is among the rest."""
    return selection.mask & 0xFFFFFFFF, bool(selection.mask >> STARMASK & 1)


def _check(frame: Frame, table: RunTable, request: _Request, planes: Mapping[str, Plane]) -> None:
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
    if request.inverse_variance and "RMS" not in planes:
        raise InputError(
            f"{frame.ref.name}: inverse-variance sums need the plane RMS, found {', '.join(planes)}"
        )


# -- reading --------------------------------------------------------------------------------------------


def _partials(
    frame: Frame, table: RunTable, request: _Request, planes: Mapping[str, Plane], threads: int
) -> Iterator[_Partial]:
    """Partial results in block order."""
    buffers = threading.local()

    def work(block: RunBlock) -> _Partial:
        if not hasattr(buffers, "of"):
            shape = (WINDOW_ROWS, table.shape[1])
            buffers.of = {name: np.empty(shape, plane.dtype) for name, plane in planes.items()}
        return _reduce(frame, table, request, planes, block, buffers.of)

    if threads == 1 or any(plane.sequential for plane in planes.values()):
        yield from map(work, table.blocks)
        return
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(work, table.blocks)


def _reduce(
    frame: Frame,
    table: RunTable,
    request: _Request,
    planes: Mapping[str, Plane],
    block: RunBlock,
    buffers: Mapping[str, NDArray[Any]],
) -> _Partial:
    """Partial result of one block."""
    columns = table.shape[1]
    slots, low_high = block.cells.size, request.masks()
    moments = np.zeros((slots, len(PLANES), 2, 6))
    moments[..., 4], moments[..., 5] = np.inf, -np.inf
    kept_rows = block.stop - block.start if request.keep_good is not None else 0
    partial = _Partial(
        block,
        np.zeros((slots, 3 + binning.BITS + 2 * len(request.selections)), np.int32),
        moments,
        np.zeros((slots if request.inverse_variance else 0, len(PLANES), 2, 2)),
        np.zeros(2, np.int64),
        np.zeros((kept_rows, -(-columns // 64) if kept_rows else 0), np.uint64),
    )
    good, kept = _split(request.good), _split(request.keep_good or request.good)
    coded, known = _meaning(frame)
    virtual = np.zeros(0, np.uint8)
    for start in range(block.start, block.stop, WINDOW_ROWS):
        stop = min(start + WINDOW_ROWS, block.stop)
        words, swaps = _read(planes, start, stop, buffers, partial.data_sums)
        binning.add_rows(
            columns, block.first, block.slot, virtual,
            block.row_start[start - block.start : stop - block.start + 1],
            words["FLAG"], swaps["FLAG"], coded, known,
            tuple(words[name] for name in PLANES), tuple(swaps[name] for name in PLANES),
            np.float32(request.rms_max), *low_high, np.uint32(good[0]), good[1],
            partial.counts, partial.moments, partial.weights,
            np.uint32(kept[0]), kept[1], partial.kept[start - block.start : stop - block.start], partial.stray,
        )  # fmt: skip
    return partial


def _meaning(frame: Frame) -> tuple[bool, np.uint32]:
    """Whether flags are codes, and the bits that mean something."""
    if frame.bits is None:
        return False, np.uint32(0xFFFFFFFF)
    return frame.bits.kind == "code", np.uint32(frame.bits.known)


def _read(
    planes: Mapping[str, Plane],
    start: int,
    stop: int,
    buffers: Mapping[str, NDArray[Any]],
    data_sums: dict[str, int],
) -> tuple[dict[str, Words], dict[str, bool]]:
    """Words of rows [start, stop) of every plane, and which of them are byte-swapped."""
    words = dict.fromkeys((*PLANES, "FLAG"), NOTHING)
    swaps = dict.fromkeys((*PLANES, "FLAG"), False)
    for name, plane in planes.items():
        rows = np.ascontiguousarray(plane.read(start, stop, buffers[name][: stop - start]))
        if plane.datasum is not None:
            data_sums[name] = data_sums.get(name, 0) + _data_sum(rows, start)
        words[name], swaps[name] = _words(rows, name)
    return words, swaps


def _words(rows: NDArray[Any], name: str) -> tuple[Words, bool]:
    """Rows as read-only 32-bit words: as they lie in memory where they are such words, else converted."""
    swap = not rows.dtype.isnative
    if rows.dtype.itemsize == 4 and rows.dtype.kind == ("f" if name != "FLAG" else rows.dtype.kind):
        words = rows.view(np.uint32)
    elif name == "FLAG":
        words, swap = rows.view(rows.dtype.str.replace("i", "u")).astype(np.uint32), False
    else:
        with np.errstate(over="ignore"):
            words, swap = rows.astype(np.float32).view(np.uint32), False
    words = words[:]
    words.flags.writeable = False
    return words, swap


def _data_sum(rows: NDArray[Any], start: int) -> int:
    """Sum of the big-endian 32-bit words that rows from row `start` on add to their data unit."""
    if rows.dtype.itemsize == 4:
        view = rows.view(np.uint32)
        view.flags.writeable = False
        return int(binning.ones_complement_sum(view, not rows.dtype.isnative))
    stored = rows.astype(rows.dtype.newbyteorder(">"), copy=False).tobytes()
    ahead = start * rows.shape[1] * rows.dtype.itemsize % 4
    padded = b"\0" * ahead + stored
    padded += b"\0" * (-len(padded) % 4)
    return int(np.frombuffer(padded, ">u4").sum(dtype=np.uint64))


# -- adding up ------------------------------------------------------------------------------------------


class _Totals:
    """Statistics of the whole image, filled block by block in block order."""

    def __init__(self, table: RunTable, request: _Request, planes: Mapping[str, Plane]) -> None:
        n = len(table.cells)
        self.table, self.request, self.planes = table, request, planes
        self.counts = np.zeros((n, 3 + binning.BITS + 2 * len(request.selections)), np.int64)
        self.n, self.mean, self.m2 = np.zeros((3, n, len(PLANES), 2))
        self.low = np.full(self.n.shape, np.inf)
        self.high = np.full(self.n.shape, -np.inf)
        self.weights = np.zeros((n if request.inverse_variance else 0, len(PLANES), 2, 2))
        self.stray, self.stray_bits = 0, 0
        self.kept: list[NDArray[np.uint64]] = []
        self.data_sums: dict[str, int] = {}

    def add(self, partial: _Partial) -> None:
        """Add the next block."""
        here = partial.block.cells
        self.counts[here] += partial.counts
        self._add_moments(here, partial.moments)
        if self.request.inverse_variance:
            self.weights[here] += partial.weights
        self.stray += int(partial.stray[0])
        self.stray_bits |= int(partial.stray[1])
        if self.request.keep_good is not None:
            self.kept.append(partial.kept)
        for name, value in partial.data_sums.items():
            self.data_sums[name] = self.data_sums.get(name, 0) + value

    def _add_moments(self, here: NDArray[np.int32], moments: NDArray[np.float64]) -> None:
        """Pairwise update of mean and sum of squared deviations (Chan, Golub and LeVeque 1979)."""
        n, pivot, s1, s2, low, high = np.moveaxis(moments, -1, 0)
        share = s1 / np.maximum(n, 1)
        before, total = self.n[here], self.n[here] + n
        weight = n / np.maximum(total, 1)
        delta = np.where(n > 0, pivot + share - self.mean[here], 0.0)
        self.mean[here] += delta * weight
        self.m2[here] += np.maximum(s2 - s1 * share, 0.0) + delta**2 * before * weight
        self.n[here] = total
        self.low[here] = np.minimum(self.low[here], low)
        self.high[here] = np.maximum(self.high[here], high)

    def verify(self, planes: Mapping[str, Plane]) -> None:
        """Compare the sums of the stored words with DATASUM."""
        for name, total in self.data_sums.items():
            while total >> 32:
                total = (total & 0xFFFFFFFF) + (total >> 32)
            stated = planes[name].datasum
            if stated is not None and total != stated and {total, stated} != {0, 0xFFFFFFFF}:
                raise InputError(f"{planes[name].where}: the data must have DATASUM {stated}, found {total}")

    def statistics(self, frame: Frame) -> CellStatistics:
        """The columns of `vmpz.statistics`."""
        columns: dict[str, NDArray[Any]] = {"geom": self.table.geom}
        columns["found"], columns["valid"], columns["usable"] = (self.counts[:, i].copy() for i in range(3))
        for number in range(binning.BITS if frame.star_masks is not None else STARMASK):
            columns[f"bit.{number:02d}"] = self.counts[:, 3 + number].copy()
        first = 3 + binning.BITS
        for s, selection in enumerate(self.request.selections):
            columns[f"flagged.{selection.text}"] = self.counts[:, first + s].copy()
            columns[f"good.{selection.text}"] = self.counts[
                :, first + len(self.request.selections) + s
            ].copy()
        for p, name in enumerate(PLANES):
            for s, sample in enumerate(SAMPLES):
                if name in self.planes:
                    columns.update(self._moments(f"{name}.{sample}", p, s))
        return CellStatistics(self.table.cells, columns, self._scalars())

    def _moments(self, prefix: str, p: int, s: int) -> dict[str, NDArray[Any]]:
        n = self.n[:, p, s]
        known = n > 0
        columns = {
            f"{prefix}.n": n.astype(np.int64),
            f"{prefix}.mean": np.where(known, self.mean[:, p, s], np.nan),
            f"{prefix}.m2": np.where(known, self.m2[:, p, s], np.nan),
            f"{prefix}.min": np.where(known, self.low[:, p, s], np.nan),
            f"{prefix}.max": np.where(known, self.high[:, p, s], np.nan),
        }
        if self.request.inverse_variance:
            total, weighted = self.weights[:, p, s, 0], self.weights[:, p, s, 1]
            columns[f"{prefix}.wsum"] = total.copy()
            columns[f"{prefix}.wmean"] = np.divide(
                weighted, total, out=np.full(n.size, np.nan), where=total > 0
            )
        return columns

    def _scalars(self) -> dict[str, Any]:
        found, valid = int(self.counts[:, 0].sum()), int(self.counts[:, 1].sum())
        return {
            "rms_max": self.request.rms_max,
            "pixels": found,
            "invalid_rms": found - valid,
            "stray": self.stray,
            "stray_bits": self.stray_bits,
            "validity": next((name for name in ("RMS", "IMAGE") if name in self.planes), "-"),
        }

    def good_pixels(self) -> GoodPixels | None:
        """The kept plane."""
        if self.request.keep_good is None:
            return None
        return GoodPixels(self.table.shape, np.concatenate(self.kept))
