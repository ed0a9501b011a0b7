"""Executing: order and results do not depend on the engine; a failing job takes nobody down."""

import os
import signal
from dataclasses import dataclass

import pytest

from vmpz.files.write import StorageError
from vmpz.run.execute import EngineLostError, execute


@dataclass(frozen=True)
class Sum:
    id: str
    numbers: tuple[int, ...]
    after: tuple[str, ...] = ()


def work(job: Sum) -> int:
    if sum(job.numbers) < 0:
        raise ValueError("numbers must not sum below zero")
    if sum(job.numbers) == 666:
        os.kill(os.getpid(), signal.SIGKILL)
    return sum(job.numbers)


def full(job: Sum) -> int:
    if job.id == "full":
        raise StorageError(28, "No space left on device", "store/a.fits")
    return work(job)


def failed(job: Sum, reason: str) -> str:
    return f"failed: {reason}"


JOBS = [Sum(str(n), (n, 1), (str(n - 5),) if n % 7 == 0 and n >= 5 else ()) for n in range(20)]


def test_serial_keeps_the_order_and_the_dependencies() -> None:
    seen = [job.id for job, _ in execute(list(reversed(JOBS)), work, failed)]
    assert len(seen) == 20
    for job in JOBS:
        for before in job.after:
            assert seen.index(before) < seen.index(job.id)


def test_a_failing_job_is_a_result() -> None:
    results = {job.id: result for job, result in execute([Sum("a", (1,)), Sum("b", (-1,))], work, failed)}
    assert results["a"] == 1
    assert "must not sum below zero" in results["b"]


@pytest.mark.parametrize("count", [2])
def test_workers_give_what_serial_gives_and_survive_a_killed_process(count: int) -> None:
    jobs = [*JOBS, Sum("bad", (-1,)), Sum("killer", (666,)), Sum("last", (5,), ("killer", "bad"))]
    results = {job.id: result for job, result in execute(jobs, work, failed, workers=count)}
    serial = {job.id: result for job, result in execute(JOBS, work, failed)}
    assert {key: results[key] for key in serial} == serial
    assert "must not sum below zero" in results["bad"]
    assert "process died" in results["killer"]
    assert results["last"] == 5


@pytest.mark.parametrize("workers", [0, 1])
def test_a_full_disk_ends_everything(workers: int) -> None:
    jobs = [Sum("full", (28,)), *JOBS]
    with pytest.raises(StorageError, match="No space left on device") as caught:
        list(execute(jobs, full, failed, workers=workers))
    assert caught.value.filename == "store/a.fits"


def test_a_scheduler_that_does_not_answer_is_an_engine_that_is_lost() -> None:
    with pytest.raises(EngineLostError, match="nowhere"):
        list(execute(JOBS, work, failed, scheduler="nowhere"))
