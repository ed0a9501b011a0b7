"""The page on extending, run as it stands: a package of another folder adds a survey, a quantity and a statistic."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from vmpz import io

PAGE = Path(__file__).parents[1] / "docs" / "extend.md"
LONGEST = 40
BLOCK = re.compile(r"```\{code-block\} \w+\n:caption: (\S+)\n\n(.*?)```", re.DOTALL)
POINTINGS = ((30.0, -10.0, 50.0), (30.4, -10.1, 70.0), (30.1, -9.6, 65.0))


def blocks(name: str) -> list[str]:
    return [text for caption, text in BLOCK.findall(PAGE.read_text("utf-8")) if caption == name]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The package as an installer leaves it: the module, and the entry points of its project file."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "mooncam.py").write_text("\n\n".join(blocks("mooncam.py")), "utf-8")
    project = tomllib.loads(blocks("pyproject.toml")[0])["project"]
    told = folder / f"{project['name']}-{project['version']}.dist-info"
    told.mkdir()
    (told / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items()), ""]
    (told / "entry_points.txt").write_text("\n".join(lines))
    return folder


def run(package: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vmpz", *arguments]
    there = {**os.environ, "PYTHONPATH": str(package)}
    return subprocess.run(command, capture_output=True, text=True, env=there, check=False)


def test_every_example_is_short() -> None:
    for text in blocks("mooncam.py"):
        assert len(text.splitlines()) <= LONGEST


def test_a_survey_a_quantity_and_a_statistic_from_outside(package: Path, tmp_path: Path) -> None:
    lines = [
        json.dumps({"id": f"p{number}", "ra": ra, "dec": dec, "exptime": 100 * (number + 1), "moon": moon})
        for number, (ra, dec, moon) in enumerate(POINTINGS)
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(lines))
    (tmp_path / "survey.toml").write_text(blocks("survey.toml")[0])
    done = run(package, "run", str(tmp_path / "survey.toml"), "--store", str(tmp_path / "store"))
    assert done.returncode == 0, done.stdout + done.stderr
    found = {
        (one.key.quantity, one.key.statistic): one
        for one in map(io.read, (tmp_path / "store").rglob("*.fits"))
    }
    at = {name: one.map.at([30.2], [-9.9])[0] for name, one in found.items() if one.key.kind == "info"}
    assert at == {
        ("Exposures", "COUNT"): 3.0, ("ExposureTime", "SUM"): 600.0,
        ("MoonDistance", "MIN"): 50.0, ("MoonDistance", "SPAN"): 20.0,
    }  # fmt: skip


def test_what_is_wrong_in_the_log_is_told(package: Path, tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text(
        '{"id": "p0", "ra": 30.0, "dec": -10.0, "exptime": 1, "moon": 50}\nno json\n'
    )
    (tmp_path / "survey.toml").write_text(blocks("survey.toml")[0])
    done = run(package, "run", str(tmp_path / "survey.toml"), "--store", str(tmp_path / "store"))
    assert done.returncode == 4
    assert "must be a pointing, found no json" in done.stdout + done.stderr


def test_unknown_names_list_those_of_other_packages(package: Path, tmp_path: Path) -> None:
    text = blocks("survey.toml")[0].replace("MoonDistance:MIN", "MonDistance:MIN")
    (tmp_path / "survey.toml").write_text(text)
    done = run(package, "run", str(tmp_path / "survey.toml"))
    assert done.returncode == 2
    assert "MoonDistance" in done.stderr
