"""Completion of values through the protocols of the shells."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from vmpz.cli import app
from vmpz.cli.completing import FORMS, KINDS, SUFFIXES
from vmpz.io.forms import FORMS as ALL_FORMS
from vmpz.make import RECIPES
from vmpz.run.named import name_of
from vmpz.run.store import Store

ROOT = typer.main.get_command(app)


def bash(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str) -> list[str]:
    """What bash gets for a line that ends where the cursor is."""
    words = line.split(" ")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    monkeypatch.setenv("_VMPZ_COMPLETE", "complete_bash")
    with pytest.raises(SystemExit) as left:
        ROOT.main(args=[], prog_name="vmpz", standalone_mode=False)
    assert left.value.code == 0
    return capsys.readouterr().out.split()


def test_the_names_are_those_of_the_tables() -> None:
    assert set(KINDS) == set(RECIPES) and set(FORMS) == set(ALL_FORMS)
    assert {suffix for form in ALL_FORMS.values() for suffix in form.suffixes} >= set(SUFFIXES)


def test_values_come_from_the_words_of_the_line(
    survey: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    def found(line: str) -> list[str]:
        return bash(monkeypatch, capsys, line.format(survey=survey, store=store, no=tmp_path / "no"))

    keys = [entry.key for entry in Store(store).entries()]
    areas = sorted({key.area for key in keys})
    assert "release" in found("vmpz rele")
    assert found("vmpz run {survey} --ban") == ["--bands"]
    assert found("vmpz run {survey} --bands ") == ["NIR_Y", "VIS"]
    assert found("vmpz run {survey} --bands VIS,") == ["VIS,NIR_Y"]
    assert found("vmpz run {survey} --bands=N") == ["NIR_Y"]
    assert found("vmpz run {survey} --products de") == ["depth"]
    assert found("vmpz list {store} --kinds ") == sorted({key.kind for key in keys})
    assert found("vmpz list {store} --area ") == areas
    assert found("vmpz run {survey} --store {store} --tiles ") == [one for one in areas if one.isdigit()]
    assert found("vmpz merge {survey} --patch ") == ["demo"]
    assert found("vmpz merge {survey} --format heal") == ["healpix", "healsparse"]
    assert found("vmpz convert a.fits out.mo") == ["out.moc.fits", "out.moc.json"]
    assert found("vmpz convert a.fits out") == []
    maps = {name_of(key) for key in keys if key.kind in KINDS and key.kind != "redshifts"}
    assert set(found("vmpz mask {store} --within ")) == maps
    for line in ("vmpz list {no} --bands ", "vmpz run {no}.toml --bands ", "vmpz query s3://b/p --bands "):
        assert found(line) == []


def test_what_is_broken_in_a_store_hides_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for band in ("VIS", "NIR%0AY", "NIR%1B%5B2J"):
        (tmp_path / "1" / f"1~depth~-~-~-~VIS~{band}~14~-").mkdir(parents=True)
    (tmp_path / "1" / "notes.txt").write_text("")
    (tmp_path / "2").mkdir()
    listdir = os.listdir

    def refusing(path: Path) -> list[str]:
        if Path(path).name == "2":
            raise PermissionError(13, "Permission denied", str(path))
        return listdir(path)

    monkeypatch.setattr(os, "listdir", refusing)
    assert bash(monkeypatch, capsys, f"vmpz list {tmp_path} --bands ") == ["VIS"]
    assert bash(monkeypatch, capsys, f"vmpz list {tmp_path} --area ") == ["1", "2"]


def test_of_a_huge_store_only_some_areas_are_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for tile in range(200):
        (tmp_path / f"{tile:03d}" / f"{tile:03d}~depth~-~-~-~VIS~VIS~14~-").mkdir(parents=True)
    seen: list[str] = []
    listdir = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: seen.append(Path(path).name) or listdir(path))
    assert bash(monkeypatch, capsys, f"vmpz list {tmp_path} --bands ") == ["VIS"]
    assert seen == ["000", "001", "002", "003", "196", "197", "198", "199"]


@pytest.mark.parametrize(
    "text",
    [
        "[survey\n",
        "survey = 3\n",
        "[survey]\nbands = 3\n",
        "[survey]\nbands = [1, 2]\ntiles = [[1]]\ninstruments = [{}]\n",
        "[[patches]]\n",
    ],
)
def test_a_file_that_is_none_completes_nothing(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "survey.toml").write_text(text)
    for option in ("--bands", "--tiles", "--instruments"):
        assert bash(monkeypatch, capsys, f"vmpz run {tmp_path}/survey.toml {option} ") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_gets_its_script_and_its_words(shell: str, store: Path) -> None:
    """In a process of its own: nothing heavy is imported, and the answer is that of the shell's protocol."""
    code = (
        "import sys; sys.argv = ['vmpz']; from vmpz.cli import main\n"
        "try: main()\n"
        "finally: print(sorted({'numpy', 'astropy', 'numba', 'fsspec'} & set(sys.modules)), file=sys.stderr)"
    )
    words = f"vmpz list {store} --kinds dep"
    told = {
        "_VMPZ_COMPLETE": f"complete_{shell}", "COMP_WORDS": words, "COMP_CWORD": "4",
        "_TYPER_COMPLETE_ARGS": words, "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }  # fmt: skip
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=os.environ | told, capture_output=True, text=True, check=True)
    assert "depth" in done.stdout and done.stderr.splitlines()[-1] == "[]"
