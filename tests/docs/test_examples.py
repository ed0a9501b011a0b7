"""Examples in docstrings, in the README and on pages do what they say."""

import doctest
import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import typer
from astropy.io import fits
from astropy.wcs import WCS

import vmpz
from vmpz.cli import app

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "vmpz"
README = (ROOT / "README.md").read_text("utf-8")
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs/products").glob("*.md")),
]
PROGRAM = typer.main.get_command(app)
PROMPT = ">>> "
BLOCK = re.compile(r"(?ms)^```([^\n`]*)\n(.*?)^```$")
SHELL = {"", "sh", "bash"}
ENDLESS = ("vmpz view", "make demo", "git clone")
"""What the README says and a test does otherwise, or not at all."""
AT_ONCE = {"--help", "--version", "--install-completion", "--show-completion"}
"""Options that act while they are read."""


def _blocks(text: str, *languages: str) -> list[str]:
    return [block for language, block in BLOCK.findall(text) if language in languages]


def _commands(text: str) -> Iterator[str]:
    """Lines of the shell, without their comments; a comment may go on below."""
    for line in "".join(_blocks(text, *SHELL)).splitlines():
        command = re.sub(r"(^|\s+)#.*", "", line)
        if command:
            yield command


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
    for number, block in enumerate(_blocks(README, "python")):
        exec(compile(block, f"README.md: block {number}", "exec"), known)
    assert capsys.readouterr().out


def _calls(command: str) -> Iterator[list[str]]:
    """The words of each program that a line of the shell starts."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars="&|;<>")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if word in {"&&", "|", ";", ">"}:
            yield words
            words = []
        else:
            words.append(word)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_of_a_page_are_those_there_are(path: Path) -> None:
    """Commands, options and values that are named; nothing runs."""
    for words in (one for command in _commands(path.read_text("utf-8")) for one in _calls(command)):
        found, context, rest = PROGRAM, None, words[1:]
        while words[:1] == ["vmpz"] and not AT_ONCE & set(words):
            context = found.make_context(found.name or "vmpz", rest, parent=context)
            if not hasattr(found, "resolve_command"):
                break
            _, found, rest = found.resolve_command(context, [*context._protected_args, *context.args])


def test_images_of_the_readme_are_made_into_maps(tmp_path: Path) -> None:
    """And are known again where they are moved with their table of flags."""
    own = tmp_path / "own"
    own.mkdir()
    for block in _blocks(README, "toml"):
        (own / block.partition("\n")[0].removeprefix("# ")).write_text(block)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ("RA---TAN", "DEC--TAN"), (187.7, 12.4), (100.5, 100.5)
    wcs.wcs.cdelt = (-1.0 / 3600.0, 1.0 / 3600.0)
    header = wcs.to_header()
    header["FILTER"], header["MAGZERO"] = "g", 27.3
    flags = np.zeros((200, 200), np.int16)
    flags[60:80, 60:80], flags[120:140, 120:140] = 1, 4
    (own / "images").mkdir()
    for name, plane in (("sci", np.zeros((200, 200))), ("rms", np.full((200, 200), 0.5)), ("flag", flags)):
        fits.PrimaryHDU(plane, header).writeto(own / f"images/A1_{name}.fits")
    account = vmpz.run(own / "survey.toml")
    assert {one.state for one in account.outcomes.values()} == {"DONE"}
    made = {
        key.kind: vmpz.read(one.path) for key, one in account.outcomes.items() if one.path.endswith(".fits")
    }
    assert {"footprint", "bitmask", "coverage", "depth", "info"} <= made.keys()
    assert made["coverage"].key.selection == "BAD,SATURATED"
    lost = made["footprint"].map.integral_deg2() - made["coverage"].map.integral_deg2()
    assert lost == pytest.approx(
        400.0 / 3600.0**2, rel=5e-3
    )  # a pixel counts by its cell's area over its number
    moved = vmpz.run(own.rename(tmp_path / "moved") / "survey.toml")
    assert {one.state for one in moved.outcomes.values()} == {"KEPT"}


@pytest.mark.long
def test_commands_of_the_readme_run_as_written(tmp_path: Path) -> None:
    """One after another in one folder, as a reader would."""
    settings = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    commands = [one for one in _commands(README) if one.startswith("vmpz") and not one.startswith(ENDLESS)]
    for command in ["vmpz demo demo", *commands]:
        done = subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, env=settings, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
