"""Examples in docstrings and in the README do what they say."""

import doctest
import importlib
import re
import shutil
from pathlib import Path

import pytest

import vmpz

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "vmpz"
PROMPT = ">>> "
README_BLOCK = re.compile(r"(?ms)^```python\n(.*?)^```$")


def _module_of(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = sorted(_module_of(path) for path in SOURCE.rglob("*.py") if PROMPT in path.read_text("utf-8"))


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    failures, count = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert count > 0 and failures == 0


@pytest.mark.parametrize("name", vmpz.__all__)
def test_every_public_name_has_an_example(name: str) -> None:
    assert PROMPT in (getattr(vmpz, name).__doc__ or ""), name


@pytest.fixture
def beside(store: Path, survey: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where `survey/survey.toml` is a survey that was run."""
    own = tmp_path / "survey"
    shutil.copytree(store, own / "store")
    shutil.copy(survey, own)
    (own / "MER").symlink_to(survey.parent / "MER")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_python_of_the_readme_runs(beside: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known: dict[str, object] = {}
    for number, block in enumerate(README_BLOCK.findall((ROOT / "README.md").read_text("utf-8"))):
        exec(compile(block, f"README.md: block {number}", "exec"), known)
    assert capsys.readouterr().out
