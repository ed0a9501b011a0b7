"""Drawing and writing the shards of a random catalogue, on threads or workers, in any of its forms."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import accumulate, groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from vmpz import io
from vmpz.errors import VmpzError
from vmpz.files.write import write_whole_folder
from vmpz.io import Part, Partition, Place, RandomColumn
from vmpz.make import randoms
from vmpz.make.randoms import Draw, Field, Points
from vmpz.products import SUBCELL, Product
from vmpz.run.attributes import Extras
from vmpz.run.execute import execute
from vmpz.run.maprows import forget_replaced, map_rows
from vmpz.sky.cells import CellSet
from vmpz.sky.hpx import MAX_ORDER

__all__ = ["FINEST_STEPS", "Spread", "Visibility", "Work", "mapped", "write_catalogue"]

PARTITION_ROWS = 1 << 21
"""Largest expected number of rows of a HATS partition."""
JOB_ROWS = 1 << 20
"""Rows of a job, at least, unless it is the last."""
ATTRIBUTED_ROWS = 1 << 20
"""Rows that are drawn at a time where columns are attached: every time, these look at the whole shard."""
FINEST_STEPS = 9
"""Orders by which points may be drawn finer than the map: a cell of it is a shard then."""
KEPT_BYTES = 1 << 28
"""Numbers of cells that are kept from counting to drawing; beyond, they are drawn twice."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Visibility:
    """The map that points follow: files on disjoint cells; picklable.

    Attributes
    ----------
    paths : tuple of Path
    order : int
        At which points are drawn: that of the map, or at most `FINEST_STEPS` finer.
    region : CellSet or None
        Cells of that order that count.
    subcells : bool
        Whether what the map says of its sub-cells is used.
    """

    paths: tuple[Path, ...]
    order: int
    region: CellSet | None = None
    subcells: bool = True

    @property
    def shards(self) -> list[int]:
        """Shards that the map touches, ascending."""
        rows, order = map_rows(self.paths), randoms.shard_order(self.order)
        above = randoms.shard_order(rows.order)
        if order <= above:
            return [int(one) for one in CellSet.from_cells(above, rows.blocks).at_order(order).cells()]
        down, inside = 2 * (rows.order - above), 2 * (rows.order - order)
        cells = (rows.between(block << down, (block + 1) << down)["PIXEL"] for block in rows.blocks)
        return [int(one) for block in cells for one in np.unique(np.asarray(block, np.int64) >> inside)]

    def field(self, shard: int) -> Field:
        """The visibility of one shard."""
        _reuse_memory()
        rows, shift = map_rows(self.paths), 2 * (self.order - randoms.shard_order(self.order))
        levels = 2 * (self.order - rows.order)
        begin, end = shard << shift, (shard + 1) << shift
        found = rows.between(begin >> levels, ((end - 1) >> levels) + 1)
        cells, values = np.asarray(found["PIXEL"], np.int64), np.asarray(found["WEIGHT"], np.float32)
        words = None
        if SUBCELL in found and self.subcells and not levels:
            words = np.asarray(found[SUBCELL], np.int64).view(np.uint64)
        if levels:
            cells = ((cells[:, None] << levels) + np.arange(1 << levels)).ravel()
            values = np.repeat(values, 1 << levels)
        if not levels and self.region is None:
            return Field(self.order, cells, values, words)
        kept = (cells >= begin) & (cells < end)
        if self.region is not None:
            kept &= self.region.index(cells) >= 0
        return Field(self.order, cells[kept], values[kept], None if words is None else words[kept])


@cache
def _reuse_memory() -> None:
    """Have the C library keep memory that is freed: fresh pages cost more than what is written to them.

    The C library of GNU returns none below 64 MiB once it has freed a block of just below 32 MiB (mallopt(3)).
    """
    np.empty((1 << 25) - (1 << 13), np.uint8)


def mapped(function: Callable[[T], R], items: Sequence[T], threads: int) -> Iterator[R]:
    """Results in the order of the items; a few are in flight. Kernels hold no lock."""
    if threads < 2 or len(items) < 2:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        left = iter(items)
        running = [pool.submit(function, item) for item in islice(left, 2 * threads)]
        while running:
            result = running.pop(0).result()
            running += [pool.submit(function, item) for item in islice(left, 1)]
            yield result


@dataclass(frozen=True)
class Work:
    """A catalogue being drawn; picklable."""

    visibility: Visibility
    draw: Draw
    columns: tuple[RandomColumn, ...]
    extras: Extras
    tom_bin: int = -1
    only: CellSet | None = None

    @property
    def shards(self) -> list[int]:
        """Shards that have points."""
        if self.only is None:
            return list(self.draw.shards)
        wanted = self.only.at_order(randoms.shard_order(self.draw.order))
        return [shard for shard in self.draw.shards if wanted.index([shard])[0] >= 0]

    def census(self, shard: int) -> tuple[int, NDArray[Any] | None]:
        """Rows of a shard, and the numbers of its cells if they had to be drawn for it."""
        if self.draw.rules.scheme == "exact" and self.only is None:
            return self.draw.budgets[0].get(shard, 0), None
        return randoms.census(self.draw, self.visibility.field(shard), shard, self.only)

    def blocks(self, shard: int, numbers: NDArray[Any] | None = None) -> Iterator[dict[str, NDArray[Any]]]:
        """Rows of a shard, some at a time: every column, and HPIX_29."""
        one = self.visibility.field(shard)
        size = randoms.BLOCK if self.extras.empty else ATTRIBUTED_ROWS
        for points in randoms.blocks(self.draw, one, shard, self.only, size, numbers):
            yield self._arrays(one, points)

    def _arrays(self, one: Field, points: Points) -> dict[str, NDArray[Any]]:
        found: dict[str, NDArray[Any]] = {
            "RIGHT_ASCENSION": points.lon,
            "DECLINATION": points.lat,
            "HPIX_29": points.pixel29,
        }
        names = {column.name for column in self.columns}
        if "OBJECT_ID" in names:
            found |= {
                "OBJECT_ID": points.object_id,
                "WEIGHT": points.weight,
                "TOM_BIN_ID": np.full(len(points), self.tom_bin, np.int32),
            }
        return found | self.extras.arrays(self.draw, one, points)

    def own(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The columns of the catalogue alone."""
        return {column.name: arrays[column.name] for column in self.columns}

    def of(self, shards: Sequence[int]) -> "Work":
        """The same, without what other shards need: what goes to a worker."""
        return replace(self, draw=self.draw.of_shards(*shards))


@dataclass(frozen=True)
class _Job:
    """Some shards, and where their rows go."""

    number: int
    shards: tuple[int, ...]
    work: Work
    place: Place | None = None
    first_row: int = 0
    numbers: Mapping[int, NDArray[Any]] = field(default_factory=dict)
    folder: Path | None = None
    partition: int = 0
    after: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Name of the job."""
        return f"random~{self.number}"


@dataclass(frozen=True)
class Spread:
    """Who draws: threads of this process, or workers."""

    threads: int
    workers: int
    scheduler: str | None

    @property
    def here(self) -> bool:
        """Whether this process draws."""
        return not self.workers and self.scheduler is None

    def over(self, jobs: Sequence[_Job], work: Callable[[_Job], R]) -> Iterator[R]:
        """Results of jobs in any order.

        Raises
        ------
        VmpzError
            A job failed; the catalogue is not written.
        """
        if self.here:
            yield from mapped(work, jobs, self.threads)
            return
        done = execute(jobs, partial(_elsewhere, work), _lost, workers=self.workers, scheduler=self.scheduler)
        for _, result in done:
            if isinstance(result, _Lost):
                raise VmpzError(f"drawing failed: {result.reason}")
            yield result


def _elsewhere(work: Callable[[_Job], R], job: _Job) -> R:
    """Work of a process that may have seen other files at these places."""
    forget_replaced()
    return work(job)


@dataclass(frozen=True)
class _Lost:
    reason: str


def _lost(job: _Job, reason: str) -> Any:
    return _Lost(reason)


def _grouped(shards: Sequence[int], rows: Sequence[int], least: int) -> list[list[int]]:
    """Shards in groups of at least so many rows."""
    groups: list[list[int]] = [[]]
    total = 0
    for shard, count in zip(shards, rows, strict=True):
        groups[-1].append(shard)
        total += count
        if total >= least:
            groups.append([])
            total = 0
    return [group for group in groups if group]


# -- forms ------------------------------------------------------------------------------------------------------------


def write_catalogue(work: Work, out: Path, product: Product, spread: Spread) -> int:
    """Write all rows in the form that the name says, whole or not at all; gives their number.

    Raises
    ------
    VmpzError
        Drawing failed; nothing is written.
    """
    if out.name.endswith(".fits"):
        return _write_fits(work, out, product, spread)
    if out.name.endswith(".parquet"):
        return _write_parquet(work, out, product, spread)
    return _write_hats(work, out, product, spread)


def _write_fits(work: Work, out: Path, product: Product, spread: Spread) -> int:
    shards, counts, kept = work.shards, [], {}
    room = KEPT_BYTES if spread.here else 0
    for shard, (rows, numbers) in zip(shards, mapped(work.census, shards, spread.threads)):
        counts.append(rows)
        if numbers is not None and numbers.nbytes <= room:
            kept[shard], room = numbers, room - numbers.nbytes
    before = dict(zip(shards, accumulate(counts, initial=0)))
    total = sum(counts)
    with io.create_random_fits(out, work.columns, total, product) as file:
        jobs = [
            _Job(number, tuple(group), work.of(group), file.place, before[group[0]], kept)
            for number, group in enumerate(_grouped(shards, counts, JOB_ROWS))
        ]
        for parts in spread.over(jobs, _fits_rows):
            for part in parts:
                file.take(part)
    return total


def _fits_rows(job: _Job) -> list[Part]:
    row, parts = job.first_row, []
    for shard in job.shards:
        for arrays in job.work.blocks(shard, job.numbers.get(shard)):
            if job.place is not None and arrays["HPIX_29"].size:
                parts.append(io.write_rows(job.place, row, job.work.own(arrays)))
                row += arrays["HPIX_29"].size
    return parts


def _write_parquet(work: Work, out: Path, product: Product, spread: Spread) -> int:
    def rows_of(shard: int) -> Iterable[dict[str, NDArray[Any]]]:
        rows = (work.own(arrays) for arrays in work.blocks(shard))
        return list(rows) if ahead else rows

    shards = work.shards
    ahead = work.draw.expected <= JOB_ROWS * len(shards)  # several shards of fewer rows fit in memory
    with io.create_random_parquet(out, work.columns, product) as file:
        for blocks in mapped(rows_of, shards, spread.threads if ahead else 1):
            for arrays in blocks:
                file.write(arrays)
    return int(file.rows)


def _write_hats(work: Work, out: Path, product: Product, spread: Spread) -> int:
    order = _partition_order(work.draw)
    above = 2 * max(randoms.shard_order(work.draw.order) - order, 0)
    groups: dict[int, list[int]] = {}
    for shard in work.shards:
        groups.setdefault(shard >> above, []).append(shard)
    with write_whole_folder(out) as folder:
        jobs = [
            _Job(number, tuple(group), work.of(group), folder=folder, partition=order)
            for number, group in enumerate(groups.values())
        ]
        partitions = [one for made in spread.over(jobs, _partitions) for one in made]
        io.finish_hats(folder, partitions, work.columns, product)
    return sum(one.rows for one in partitions)


def _partition_order(draw: Draw) -> int:
    """The coarsest order whose cells are expected to hold no more than `PARTITION_ROWS` points."""
    order = 0
    while order < draw.order and draw.per_cell * 4.0 ** (draw.order - order) > PARTITION_ROWS:
        order += 1
    return order


def _partitions(job: _Job) -> list[Partition]:
    """Write the partitions of a job, one after the other: one of several shards, or several of one."""
    return [
        _partition(job, number, [arrays for _, arrays in parts])
        for number, parts in groupby(_by_partition(job), key=itemgetter(0))
    ]


def _by_partition(job: _Job) -> Iterator[tuple[int, dict[str, NDArray[Any]]]]:
    """Rows of a job, some at a time, and the partition that they are all in."""
    shift = 2 * (MAX_ORDER - job.partition)
    for shard in job.shards:
        for arrays in job.work.blocks(shard):
            index = arrays["HPIX_29"]
            if not index.size:
                continue
            numbers = np.arange(index[0] >> shift, (index[-1] >> shift) + 2)
            begin = np.searchsorted(index, numbers << shift)
            for number, first, last in zip(numbers, begin, begin[1:]):
                if last > first:
                    yield int(number), {name: values[first:last] for name, values in arrays.items()}


def _partition(job: _Job, number: int, parts: list[dict[str, NDArray[Any]]]) -> Partition:
    arrays = {name: np.concatenate([one[name] for one in parts]) for name in parts[0]}
    if job.folder is None:
        raise VmpzError(f"{job.id}: partitions need a folder, found none")
    return io.write_partition(job.folder, job.partition, number, job.work.columns, arrays)
