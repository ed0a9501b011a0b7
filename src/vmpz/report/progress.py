"""Progress of a run: a bar on a terminal, plain lines elsewhere, always on standard error."""

import sys
from contextlib import suppress
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from vmpz.run.account import Outcome

__all__ = ["Reporter"]


class _Console(Console):
    """A console whose reader may leave: the run goes on."""

    def on_broken_pipe(self) -> None:
        """Nothing, where rich would leave the program."""


class Reporter:
    """Told of jobs and outcomes by the run; a context manager.

    Parameters
    ----------
    quiet : bool
        Say nothing but failures.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self.console = _Console(stderr=True, soft_wrap=True, highlight=False)
        self.progress: Progress | None = None
        self.done = 0
        self.total = 0

    def __enter__(self) -> "Reporter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.progress is not None:
            self.progress.stop()

    def start(self, jobs: int) -> None:
        """A run of so many jobs begins."""
        self.total = jobs
        if sys.stderr.isatty() and not self.quiet:
            self.progress = Progress(
                TextColumn("{task.description:<28}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=self.console,
            )
            self.progress.add_task("jobs", total=jobs)
            self.progress.start()

    def ended(self, name: str, outcomes: list[Outcome]) -> None:
        """A job ended."""
        self.done += 1
        made = sum(outcome.state in {"DONE", "EMPTY"} for outcome in outcomes)
        kept = sum(outcome.state == "KEPT" for outcome in outcomes)
        missing = sum(outcome.state == "NOINPUT" for outcome in outcomes)
        if self.progress is not None:
            self.progress.update(self.progress.task_ids[0], advance=1, description=name)
        elif not self.quiet:
            lacking = f", {missing} without input" if missing else ""
            self._say(f"[{self.done}/{self.total}] {name}: {made} made, {kept} kept{lacking}")
        for outcome in outcomes:
            if outcome.state == "FAILED":
                self._say(outcome.line)

    def _say(self, line: str) -> None:
        """Tell it; a terminal that is gone does not end the run."""
        with suppress(OSError):
            self.console.print(line, markup=False)
