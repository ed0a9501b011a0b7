"""Progress of a run, as lines."""

import pytest

from vmpz.products import ProductKey
from vmpz.report.progress import Reporter
from vmpz.run.account import Outcome


def test_what_failed_is_said_at_once_and_what_has_no_input_is_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    key = ProductKey("7", "depth", instrument="CAM", band="g")
    with Reporter() as reporter:
        reporter.start(2)
        reporter.ended("7~CAM", [Outcome(key, "DONE"), Outcome(key, "NOINPUT", "no RMS")])
        reporter.ended("8~CAM", [Outcome(key, "KEPT"), Outcome(key, "FAILED", "no zero point")])
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "[1/2] 7~CAM: 1 made, 0 kept, 1 without input",
        "[2/2] 8~CAM: 0 made, 1 kept",
        Outcome(key, "FAILED", "no zero point").line,
    ]
