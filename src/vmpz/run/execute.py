"""Executing jobs: one after the other, or on Dask workers. The one importer of dask.

A job is a small picklable value; `work` turns it into a small result and writes products itself, so the truth of a run
is on disk and never in the engine. Jobs may name others that must have ended before. Results come back in the order in
which they end; a bounded window of jobs is in flight.
"""

import contextlib
import heapq
import secrets
import signal
import threading
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from vmpz.errors import VmpzError
from vmpz.files.write import StorageError

__all__ = ["EngineLostError", "execute"]

WINDOW_PER_WORKER = 3
DASK_SETTINGS = {
    # Values that keep innocent tasks alive when a worker dies, and turn a hang into an error.
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.scheduler.no-workers-timeout": "120s",
    "distributed.scheduler.allowed-failures": 1,
    "distributed.deploy.lost-worker-timeout": "10m",
    "distributed.worker.daemon": True,
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.logging.distributed": "error",
}


class EngineLostError(VmpzError):
    """The workers are gone; what was finished is kept and the run can be resumed."""


class Task(Protocol):
    """What `execute` needs to know of a job."""

    @property
    def id(self) -> str: ...
    @property
    def after(self) -> tuple[str, ...]: ...


T = TypeVar("T", bound=Task)
Result = TypeVar("Result")


def execute(
    jobs: Sequence[T],
    work: Callable[[T], Result],
    failed: Callable[[T, str], Result],
    *,
    workers: int = 0,
    scheduler: str | None = None,
) -> Generator[tuple[T, Result], None, None]:
    """Run jobs and give ``(job, result)`` as they end.

    Parameters
    ----------
    jobs : sequence
        With `id` and `after` (ids that must have ended); ids outside the sequence count as ended.
    work : callable
        Job to result; importable by name when workers are used. It does not raise for a failing tile.
    failed : callable
        Makes a result of a job whose process died or that raised, from the job and the reason.
    workers : int
        0: serial in this process. n: a local Dask cluster of n processes of one thread.
    scheduler : str, optional
        Address of a running Dask scheduler; takes the place of `workers`.

    Raises
    ------
    EngineLostError
        No worker is left or can be reached.
    StorageError
        A job could not write: the others could not either, so none is begun any more.
    """
    if workers == 0 and scheduler is None:
        for job in _in_order(jobs):
            try:
                result = work(job)
            except StorageError:
                raise
            except Exception:  # noqa: BLE001 - a job must never take the others down; the reason is kept
                result = failed(job, traceback.format_exc())
            yield job, result
        return
    yield from _on_dask(jobs, work, failed, workers, scheduler)


def _in_order(jobs: Sequence[T]) -> Iterator[T]:
    ready = _Ready(jobs)
    while (job := ready.take()) is not None:
        yield job
        ready.ended(job)


class _Ready:
    """Jobs whose predecessors have ended, in their given order."""

    def __init__(self, jobs: Sequence[T]) -> None:
        self.jobs = jobs
        place = {job.id: number for number, job in enumerate(jobs)}
        self.waiting = {n: {i for i in job.after if i in place} for n, job in enumerate(jobs)}
        self.followers: dict[str, list[int]] = {}
        for number, ids in self.waiting.items():
            for i in ids:
                self.followers.setdefault(i, []).append(number)
        self.heap = [number for number, ids in self.waiting.items() if not ids]
        heapq.heapify(self.heap)

    def take(self) -> Any:
        return self.jobs[heapq.heappop(self.heap)] if self.heap else None

    def ended(self, job: Task) -> None:
        for number in self.followers.get(job.id, ()):
            self.waiting[number].discard(job.id)
            if not self.waiting[number]:
                heapq.heappush(self.heap, number)


@contextlib.contextmanager
def _deaf_children() -> Iterator[None]:
    """Processes begun inside do not hear the Ctrl-C of the terminal: the driver alone decides and closes them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, heard)


def _reached(connect: Callable[[], Any], scheduler: str | None) -> Any:
    try:
        return connect()
    except (OSError, ValueError) as error:
        raise EngineLostError(f"the scheduler {scheduler} must answer, found: {error}") from error


def _on_dask(
    jobs: Sequence[T],
    work: Callable[[T], Result],
    failed: Callable[[T, str], Result],
    workers: int,
    scheduler: str | None,
) -> Iterator[tuple[T, Result]]:
    import dask
    from distributed import Client, LocalCluster, as_completed
    from distributed.scheduler import KilledWorker, NoWorkerError

    settings: Mapping[str, Any] = DASK_SETTINGS
    with dask.config.set(settings):
        cluster = None
        if scheduler is None:
            with _deaf_children():
                cluster = LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    processes=True,
                    host="127.0.0.1",
                    dashboard_address="127.0.0.1:0",
                )
        try:
            with _reached(lambda: Client(cluster or scheduler, set_as_default=False), scheduler) as client:
                run = secrets.token_hex(
                    4
                )  # a scheduler that serves other runs too must not mix their jobs up
                ready = _Ready(jobs)
                running: dict[Any, T] = {}
                accused: dict[
                    str, T
                ] = {}  # jobs that were there when a process died: each is tried once more, alone
                alone: set[str] = set()
                ended = as_completed(loop=client.loop)
                window = WINDOW_PER_WORKER * max(workers, len(client.scheduler_info()["workers"]), 1)

                def submit(job: T) -> None:
                    attempt = "again" if job.id in alone else "first"
                    future = client.submit(work, job, key=f"{job.id}-{run}-{attempt}", pure=False)
                    running[future] = job
                    ended.add(future)

                def fill() -> None:
                    while len(running) < window and (job := ready.take()) is not None:
                        submit(job)
                    if not running and accused:
                        suspect = accused.pop(next(iter(accused)))
                        alone.add(suspect.id)
                        submit(suspect)

                fill()
                while running:
                    future = next(ended)
                    job = running.pop(future)
                    error = future.exception()
                    if isinstance(error, NoWorkerError):
                        raise EngineLostError(
                            f"no worker is left to run {job.id}; run again to resume"
                        ) from error
                    if isinstance(error, StorageError):
                        raise error
                    if isinstance(error, KilledWorker) and job.id not in alone:
                        accused[job.id] = job
                        future.release()
                        fill()
                        continue
                    if isinstance(error, KilledWorker):
                        result = failed(job, f"its worker process died: {error}")
                    elif error is not None:
                        result = failed(job, "".join(traceback.format_exception(error)))
                    else:
                        result = future.result()
                    future.release()
                    yield job, result
                    ready.ended(job)
                    fill()
        finally:
            if cluster is not None:
                cluster.close()
