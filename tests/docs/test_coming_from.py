"""The pages that say how other software does the same are run as they stand, with that software."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import mangle_helpers
from vmpz.cli import app

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"(?ms)^```(?:\{code-block\} )?(python|sh|toml)\n(?::caption: (\S+)\n\n)?(.*?)^```$")
COVERAGE = "*~coverage~*~VIS~*/*_HP*.fits"


def blocks(page: str, language: str = "") -> Iterator[tuple[str, str, str]]:
    """(language, caption, text) of the blocks of a page, in their order."""
    for found in BLOCK.findall((DOCS / page).read_text("utf-8")):
        if language in ("", found[0]):
            yield found


def perform(page: str, folder: Path) -> int:
    """Do what a page says in a folder: files are written, commands run, Python executed in one namespace."""
    known: dict[str, object] = {"__name__": page}
    done = 0
    for language, caption, text in blocks(page):
        if language == "toml" and caption:
            (folder / caption).write_text(text, "utf-8")
        elif language == "python":
            exec(compile(text, f"{page}: block {done}", "exec"), known)
        elif language == "sh":
            for line in text.splitlines():
                words = line.partition("#")[0].split()
                assert words[0] == "vmpz", line
                assert not app(args=words[1:], standalone_mode=False), line
        done += 1
    return done


@pytest.fixture
def folder(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the coverage of the patch of the session's survey."""
    (found,) = (store / "demo").glob(COVERAGE)
    shutil.copy(found, tmp_path / "coverage.fits")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.gpl
@pytest.mark.tool
def test_coming_from_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("healsparse")
    mangle_helpers.pymangle()
    assert perform("coming-from.md", folder) >= 11


@pytest.mark.gpl
def test_files_are_read_as_the_page_says(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("healpy")
    pytest.importorskip("healsparse")
    assert perform("formats.md", folder) >= 6
