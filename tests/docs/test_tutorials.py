"""The tutorials: what each page must be, that every command in them exists, and that they run from end to end."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import yaml

from vmpz.cli import app

FOLDER = Path(__file__).parents[2] / "docs" / "tutorials"
NAMES = ("euclid-tile", "another-survey", "clustering", "cluster")
FENCE = re.compile(r"^```(\S*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHELL = ("%%bash", "%%writefile")
LONGEST_S = 600


def pages() -> dict[str, str]:
    return {name: (FOLDER / f"{name}.md").read_text(encoding="utf-8") for name in NAMES}


def cells_of(page: str) -> list[str]:
    """Sources of the code cells, without their options."""
    found = (body for kind, body in FENCE.findall(page) if kind == "{code-cell}")
    return [re.sub(r"\A(:[^\n]*\n)+\n*", "", body) for body in found]


def commands_of(page: str) -> Iterator[list[str]]:
    """Words of every `vmpz` command of cells and of blocks that show a shell."""
    shells = [body for kind, body in FENCE.findall(page) if kind == "sh"]
    shells += [cell.partition("\n")[2] for cell in cells_of(page) if cell.startswith(SHELL)]
    for shell in shells:
        for line in shell.replace("\\\n", " ").splitlines():
            for part in re.split(r"\||&&|;", line):
                words = shlex.split(part, comments=True)
                if "vmpz" in words:
                    yield words[words.index("vmpz") + 1 :]


def test_a_page_is_a_notebook_that_downloads() -> None:
    for name, page in pages().items():
        front = yaml.safe_load(page.split("---")[1])
        assert front["file_format"] == "mystnb" and front["kernelspec"]["name"] == "python3", name
        assert f"{{nb-download}}`{name}.ipynb`" in page, name
        assert len(re.findall(r"^# ", re.sub(FENCE, "", page), re.MULTILINE)) == 1, name
        assert cells_of(page)[-1].rstrip().endswith("scratch.cleanup()"), name


def test_the_index_lists_the_pages() -> None:
    index = (FOLDER / "index.md").read_text(encoding="utf-8")
    assert all(index.count(name) == 2 for name in NAMES if name != "cluster")
    assert {path.stem for path in FOLDER.glob("*.md")} == {*NAMES, "index"}


def test_code_parses_and_no_output_is_kept() -> None:
    for name, page in pages().items():
        assert "```{code-cell} ipython3" in page and "/tmp/" not in page and "/home/" not in page, name
        for cell in cells_of(page):
            if not cell.startswith("%%"):
                ast.parse(re.sub(r"^%.*$", "", cell, flags=re.MULTILINE))


def test_shell_cells_stop_at_the_first_failure() -> None:
    for name, page in pages().items():
        assert '["bash", "-eo", "pipefail", "-c", cell]' in cells_of(page)[0], name
        assert all(not cell.startswith("!") and "\n!" not in cell for cell in cells_of(page)), name


def test_every_command_exists_with_its_options() -> None:
    root = typer.main.get_command(app)
    found = [(name, words) for name, page in pages().items() for words in commands_of(page)]
    assert len(found) > 20
    for name, words in found:
        group, rest = root, list(words)
        while isinstance(getattr(group, "commands", None), dict):
            assert rest and rest[0] in group.commands, f"{name}: vmpz {shlex.join(words)}"
            group = group.commands[rest.pop(0)]
        known = {option for parameter in group.params for option in parameter.opts}
        options = [word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)]
        assert set(options) <= known, f"{name}: vmpz {shlex.join(words)}"


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_a_tutorial_runs(name: str) -> None:
    """Every cell, with all that it asserts, in a kernel of this interpreter; no path of this machine is printed."""
    nbclient = pytest.importorskip("nbclient")
    reading = pytest.importorskip("myst_nb.core.read")
    page = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    notebook = reading.read_myst_markdown_notebook(page)
    resources = {"metadata": {"path": str(FOLDER)}}
    nbclient.NotebookClient(notebook, timeout=LONGEST_S, kernel_name="python3", resources=resources).execute()
    printed = [
        output.get("text", "") or str(output.get("data", {}).get("text/plain", ""))
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.get("name") != "stderr"
    ]
    text = "".join(printed)
    assert text
    for place in (str(FOLDER.parents[1]), "/tmp/", str(Path.home())):
        assert place not in text, place
