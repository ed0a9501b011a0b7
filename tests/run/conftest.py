"""A survey with classes of galaxies, simulated and run once per session and worker."""

import shutil
from pathlib import Path

import pytest

from visibility_helpers import run, write_survey


@pytest.fixture(scope="session")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tiles, two bands, three classes, run serially; its parameter file. Never change it."""
    survey = write_survey(tmp_path_factory.mktemp("seen"))
    account = run(survey)
    assert {one.state for one in account.outcomes.values()} == {"DONE"}, account.text()
    return survey


@pytest.fixture
def mine(seen: Path, tmp_path: Path) -> Path:
    """A copy of that survey and its store to change."""
    shutil.copytree(seen.parent, tmp_path / "mine")
    return tmp_path / "mine" / "survey.toml"
