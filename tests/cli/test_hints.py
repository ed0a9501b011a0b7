"""The first page, examples that parse, and what a mistyped word is answered by."""

import shlex
from pathlib import Path

import pytest
import typer

from vmpz.cli import _status_of, app
from vmpz.cli.hints import EXAMPLES, SECTIONS, _all, _clause

ROOT = typer.main.get_command(app)


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = _status_of([str(one) for one in arguments])
    told = capsys.readouterr()
    return status, told.out, told.err


def test_every_command_stands_in_a_section_and_has_an_example() -> None:
    assert {name for names in SECTIONS.values() for name in names} >= set(ROOT.commands)
    leaves = {name for name, command in _all(ROOT) if not hasattr(command, "commands")}
    assert leaves <= set(EXAMPLES)
    assert {name for name in EXAMPLES if name.split()[0] in ROOT.commands} <= leaves


@pytest.mark.parametrize("line", [line for lines in EXAMPLES.values() for line in lines])
def test_examples_parse(line: str) -> None:
    """Every word of an example is one of the command."""
    program, *words = shlex.split(line)
    words = words[: words.index(">")] if ">" in words else words
    assert program == "vmpz"
    group, context = ROOT, None
    while hasattr(group, "commands"):
        context = group.make_context(program, words, parent=context)
        name, group, words = group.resolve_command(context, [*context._protected_args, *context.args])
    group.make_context(name, words, parent=context)


def test_the_first_page_has_every_command_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "--help")
    lines = out.splitlines()
    assert status == 0 and max(map(len, lines)) <= 80
    heads = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert heads == ["Options:", *(f"{name}:" for name in SECTIONS)]
    for name, command in ROOT.commands.items():
        (line,) = [one for one in lines if one.startswith(f"  {name} ")]
        assert line.endswith(_clause(command.help)[-20:]), line
    assert "vmpz demo" in out and "docs/first-steps.md" in out
    assert "Begin with" in run(capsys)[2]


def test_help_of_a_command_ends_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["run"], ["release", "survey/store", "create"], ["calibrate", "noise"]):
        status, out, _ = run(capsys, *words, "--help")
        assert status == 0 and "Examples:\n    vmpz " in out


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        ("hlep", 2, "Did you mean 'vmpz --help'"),
        ("help", 2, "Did you mean 'vmpz --help'"),
        ("releas", 2, "Did you mean 'release'?"),
        ("release {store} creat x", 2, "Did you mean 'create'?"),
        ("run {survey} --band VIS", 2, "--bands"),
        ("run {survey} --store {new} --bands nir_y", 2, "found nir_y, did you mean NIR_Y"),
        ("run {survey} --store {new} --products dept", 2, "found dept, did you mean depth"),
        ("run {survey} --store {new} --instruments NIPS", 2, "found NIPS, did you mean NISP"),
        ("run {folder}", 2, "found a folder, did you mean {survey}"),
        ("run {folder}/survey.tml", 2, "found nothing, did you mean {survey}"),
        ("list {store} --kinds dept", 3, "must hold the kind dept, did you mean depth; found bitmask"),
        ("list {store} --bands NIR_J", 3, "must hold the band NIR_J, did you mean NIR_Y; found NIR_Y, VIS"),
        ("list {store} --area dmeo", 3, "must hold the area dmeo, did you mean demo; found"),
        ("query {store} --at 58 -51.5 --kinds dpeth", 3, "did you mean depth"),
        ("release {store} create r --bands VISS", 3, "did you mean VIS"),
        ("release {store} verify r", 3, "must have a release r, found none"),
        ("random {survey} --selection x -o {new}.fits --store {store}", 3, "needs a class of galaxies"),
        ("random --map {file} -o {new}.csv --number 1 --seed 1", 3, "must end in .fits or .parquet"),
        ("random --map {file} -o {new}.fits --number 1 --seed 1 --scheme poison", 2, "did you mean poisson"),
        ("mask {store} --where bitmask_VIS_INVALDI>0", 2, "did you mean bitmask_VIS_INVALID"),
        ("mask {store} --where depth_VIS>24 --area dmeo", 3, "did you mean demo"),
        ("merge {file} -o {new}.fits --format healpx", 3, "found healpx, did you mean healpix"),
        ("merge {survey} --patch dmeo -o {new}", 3, "did you mean demo"),
        ("show {store}", 3, "must be a product file, found a store (`vmpz list"),
        ("show {folder}", 3, "must be a product file, found a folder"),
        ("convert {store} {new}.fits", 3, "must be a product file, found a store"),
        ("show {file}x", 3, "must be a readable file, found nothing, did you mean {file}"),
        ("status {store}x", 3, "found nothing, did you mean {store}"),
        ("list {file}", 3, "must be a store, found a file"),
        (
            "validate {file} --map {file}",
            3,
            "points follow a visibility or an observed fraction, found a map",
        ),
        ("simulate {new} --bands VIZ", 3, "found VIZ, did you mean VIS"),
    ],
)
def test_what_is_not_known_is_answered_by_what_is(
    survey: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    words: str, status: int, told: str,
) -> None:  # fmt: skip
    file = next(one for one in sorted(store.rglob("*DEPTH*.fits")) if ".releases" not in one.parts)
    names = {
        "survey": survey, "folder": survey.parent, "store": store, "file": file, "new": tmp_path / "new",
    }  # fmt: skip
    found, _, error = run(capsys, *(word.format(**names) for word in words.split()))
    assert found == status, error
    assert told.format(**names) in " ".join(error.split()), error
    assert "Errno" not in error


def test_kinds_that_there_are_but_not_here_are_no_mistake(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = {one.name.split("~")[1] for one in store.glob("*/*~*")}
    absent = next(
        kind for kind in ("redshifts", "visibility", "effectivecoverage", "info") if kind not in there
    )
    assert run(capsys, "list", store, "--kinds", absent)[:2] == (0, "no products\n")
