"""Fixtures shared by rooms that need a whole survey: it is simulated and run once per session and worker."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import settings

# No deadline: how long one example takes tells of the machine, of kernels compiled on the first, of other processes.
settings.register_profile("suite", max_examples=60, deadline=None)
settings.load_profile("suite")
CREATED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture(scope="session", autouse=True)
def _no_test_waits_for_the_disk() -> Iterator[None]:
    """Thousands of small files are written whole; none has to outlast a power cut.

    What is written, renamed and removed is the same; that the disk is waited for, and what happens if it fails, is
    tested where `os.fsync` is another thing for a moment.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)
        yield


@pytest.fixture(scope="session")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four tiles, two bands, in the real formats; the parameter file."""
    from vmpz.simulate import simulate

    folder = tmp_path_factory.mktemp("survey")
    simulate(folder, tiles=4, size=720, bands=("VIS", "NIR_Y"), at=(57.9988, -51.5), seed=3)
    return folder / "survey.toml"


@pytest.fixture(scope="session")
def store(survey: Path) -> Path:
    """The store of a serial run of the survey: the reference. Never change it."""
    from vmpz.parameters import load
    from vmpz.run.survey import run_survey

    account = run_survey(load(survey), survey.parent / "store", created=CREATED, threads=2)
    assert not account.has_failed, account.text()
    return survey.parent / "store"
