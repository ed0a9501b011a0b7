"""What the blocks of an image give, added up in block order: the columns of `CellStatistics`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.bits import STARMASK, Selection
from vmpz.frames import Plane
from vmpz.kernels import binning
from vmpz.make.goodpixels import GoodPixels
from vmpz.make.orderstatistics import ClosedLists, Orders, OrderStatistics, Pool
from vmpz.make.runtable import RunBlock, RunTable
from vmpz.make.storedwords import verify_data_sum
from vmpz.statistics import CellStatistics

__all__ = ["PLANES", "SAMPLES", "WEIGHT", "Partial", "Request", "Totals"]

PLANES = ("RMS", "BACKGROUND", "IMAGE")
WEIGHT = "WEIGHT"
"""Inverse variance, made of RMS on the way; it stands where IMAGE does, which says nothing where there is an RMS."""

SAMPLES = ("valid", "good")
FIRST_BIT = 2

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Request:
    """What is to be counted; see `accumulate`."""

    selections: tuple[Selection, ...]
    good: Selection
    rms_max: float
    inverse_variance: bool
    keep_good: Selection | None
    orders: Orders
    planes: tuple[str, ...]
    """Name of each of the three planes whose moments are kept, '' where there is none."""
    lists: tuple[tuple[str, str], ...]
    """Planes and samples whose order statistics are wanted."""
    virtual: tuple[int, ...] = ()
    """Numbers of the virtual bits that there are, ascending."""
    pool: Pool | None = None
    """What lists go to that are not of this image alone."""

    @property
    def first_selection(self) -> int:
        """Where the counts of selections begin."""
        return FIRST_BIT + binning.BITS + (self.virtual[-1] + 1 - STARMASK if self.virtual else 0)

    @property
    def counters(self) -> int:
        """Counts of a cell; see `vmpz.kernels.binning.add_rows`."""
        return self.first_selection + 2 * len(self.selections)


@dataclass
class Partial:
    """What one block gives, by slot: see `vmpz.kernels.binning.add_rows`.

    `lists` holds the order statistics, by plane and sample.
    """

    block: RunBlock
    counts: NDArray[np.int32]
    moments: Floats
    weights: Floats
    stray: NDArray[np.int64]
    kept: NDArray[np.uint64]
    data_sums: dict[str, int] = field(default_factory=dict)
    lists: dict[tuple[str, str], ClosedLists] = field(default_factory=dict)

    @classmethod
    def empty(cls, block: RunBlock, columns: int, request: Request) -> "Partial":
        """Nothing counted yet."""
        slots = block.cells.size
        moments = np.zeros((slots, len(PLANES), len(SAMPLES), 6))
        moments[..., 4], moments[..., 5] = np.inf, -np.inf
        kept = (block.stop - block.start, -(-columns // 64)) if request.keep_good is not None else (0, 0)
        return cls(
            block,
            np.zeros((slots, request.counters), np.int32),
            moments,
            np.zeros((slots if request.inverse_variance else 0, len(PLANES), len(SAMPLES), 2)),
            np.zeros(2, np.int64),
            np.zeros(kept, np.uint64),
        )


class Totals:
    """Statistics of the whole image, filled block by block in block order."""

    def __init__(self, table: RunTable, request: Request, planes: Mapping[str, Plane]) -> None:
        n = len(table.cells)
        self.table, self.request, self.planes = table, request, planes
        self.counts = np.zeros((n, request.counters), np.int64)
        self.n, self.mean, self.m2 = np.zeros((3, n, len(PLANES), len(SAMPLES)))
        self.low, self.high = np.full(self.n.shape, np.inf), np.full(self.n.shape, -np.inf)
        self.weights = np.zeros((n if request.inverse_variance else 0, len(PLANES), len(SAMPLES), 2))
        self.order = {key: OrderStatistics(table, request.orders) for key in request.lists}
        self.stray, self.stray_bits = 0, 0
        self.kept: list[NDArray[np.uint64]] = []
        self.data_sums: dict[str, int] = {}

    def add(self, partial: Partial) -> None:
        """Add the next block."""
        here = partial.block.cells
        self.counts[here] += partial.counts
        for sample in range(len(SAMPLES)):
            self._add_moments(here, sample, partial.moments[:, :, sample])
        if self.request.inverse_variance:
            self.weights[here] += partial.weights
        if self.request.pool is not None:
            self.request.pool.add(self.table, partial.block, partial.lists)
        for key, closed in partial.lists.items() if self.request.pool is None else ():
            self.order[key].add(partial.block, closed)
        self.stray += int(partial.stray[0])
        self.stray_bits |= int(partial.stray[1])
        if self.request.keep_good is not None:
            self.kept.append(partial.kept)
        for name, value in partial.data_sums.items():
            self.data_sums[name] = self.data_sums.get(name, 0) + value

    def _add_moments(self, here: NDArray[np.int32], sample: int, moments: Floats) -> None:
        """Pairwise update of mean and sum of squared deviations (Chan, Golub and LeVeque 1979)."""
        n, pivot, s1, s2, low, high = np.moveaxis(moments, -1, 0)
        if not n.any():
            return
        at = (here, slice(None), sample)
        share = s1 / np.maximum(n, 1)
        before, total = self.n[at], self.n[at] + n
        weight = n / np.maximum(total, 1)
        delta = np.where(n > 0, pivot + share - self.mean[at], 0.0)
        self.mean[at] += delta * weight
        self.m2[at] += np.maximum(s2 - s1 * share, 0.0) + delta**2 * before * weight
        self.n[at] = total
        self.low[at] = np.minimum(self.low[at], low)
        self.high[at] = np.maximum(self.high[at], high)

    def verify(self) -> None:
        """Compare the sums of the stored words with DATASUM.

        Raises
        ------
        InputError
            They differ.
        """
        for name, total in self.data_sums.items():
            verify_data_sum(self.planes[name], total)

    def statistics(self) -> CellStatistics:
        """The columns of `vmpz.statistics`."""
        columns: dict[str, NDArray[Any]] = {"geom": self.table.geom}
        found = columns["found"] = self.table.found
        columns["valid"], columns["usable"] = found - self.counts[:, 0], found - self.counts[:, 1]
        for number in (*range(binning.BITS), *self.request.virtual):
            columns[f"bit.{number:02d}"] = self.counts[:, FIRST_BIT + number].copy()
        first, many = self.request.first_selection, len(self.request.selections)
        for s, selection in enumerate(self.request.selections):
            columns[f"flagged.{selection.text}"] = self.counts[:, first + s].copy()
            columns[f"good.{selection.text}"] = columns["usable"] - self.counts[:, first + many + s]
        for p, name in enumerate(self.request.planes):
            for s, sample in enumerate(SAMPLES):
                if name:
                    columns.update(self._moments(f"{name}.{sample}", p, s))
        for (name, sample), order in self.order.items() if self.request.pool is None else ():
            columns.update(order.columns(f"{name}.{sample}"))
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
        return {
            "rms_max": self.request.rms_max,
            "pixels": int(self.table.found.sum()),
            "invalid_rms": int(self.counts[:, 0].sum()),
            "stray": self.stray,
            "stray_bits": self.stray_bits,
            "validity": next((name for name in ("RMS", "IMAGE") if name in self.planes), "-"),
        }

    def good_pixels(self) -> GoodPixels | None:
        """The plane that was to be kept."""
        if self.request.keep_good is None:
            return None
        return GoodPixels(self.table.shape, np.concatenate(self.kept))
