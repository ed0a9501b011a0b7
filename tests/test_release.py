"""What a release rests on: versions from tags, changelog and citation that agree, a guide that tells the walls."""

import re
import shutil
import subprocess
import sys
import tomllib
from datetime import date
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import release
from test_architecture import ALLOWED, NOUNS, SOURCE

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text("utf-8")
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))

KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
"""Headings of Keep a Changelog."""
NEEDED = {"cff-version", "message", "title", "authors"}
KNOWN = NEEDED | {
    "abstract", "commit", "contact", "date-released", "doi", "identifiers", "keywords", "license", "license-url",
    "preferred-citation", "references", "repository", "repository-artifact", "repository-code", "type", "url",
    "version",
}  # fmt: skip
"""Keys that the Citation File Format 1.2.0 requires, and has."""
PERSON = {
    "family-names",
    "given-names",
    "name-particle",
    "name-suffix",
    "orcid",
    "affiliation",
    "email",
    "alias",
    "website",
}
ENTITY = {"name", "address", "city", "country", "email", "orcid", "website", "alias"}


# -- version --------------------------------------------------------------------------------------------------------


def test_the_version_is_of_a_tag() -> None:
    assert PROJECT["dynamic"] == ["version"] and "version" not in PROJECT
    number = Version(version("vmpz"))
    assert number.epoch == 0 and len(number.release) <= 3
    assert number.local is None or number.is_devrelease, "a released version has no local part"


def test_every_promised_python_is_allowed_and_the_oldest_is_the_floor() -> None:
    promised = [text.rpartition(" ")[2] for text in PROJECT["classifiers"] if "Python :: 3." in text]
    allowed = Requirement(f"python {PROJECT['requires-python']}").specifier
    assert all(f"{minor}.0" in allowed for minor in promised)
    assert min(Version(minor) for minor in promised) == min(Version(one.version) for one in allowed)


def test_every_dependency_has_a_floor_that_the_oldest_are_tried_with() -> None:
    for text in PROJECT["dependencies"]:
        assert [one.operator for one in Requirement(text).specifier] == [">="], text


# -- constraints ----------------------------------------------------------------------------------------------------


def test_constraints_are_pins_with_hashes_and_without_addresses() -> None:
    """Whoever compiles them gives the same file, whatever index it was read from."""
    files = sorted(ROOT.glob("constraints*.txt"))
    assert len(files) == 6
    for path in files:
        for line in path.read_text("utf-8").replace("\\\n    ", "").splitlines():
            assert re.fullmatch(r"[\w.\[\]-]+==[\w.!+]+( ; [^/#]+?)?( --hash=sha256:[0-9a-f]{64})+", line), (
                line
            )


@pytest.mark.parametrize(
    ("name", "extras"),
    [("constraints.txt", ("test", "oracles", "lint", "fast", "s3")), ("constraints-docs.txt", ("docs",))],
)
def test_every_dependency_is_pinned_within_its_bounds(name: str, extras: tuple[str, ...]) -> None:
    lines = re.findall(r"^([\w.-]+)(?:\[.*\])?==([\w.!+]+)", (ROOT / name).read_text("utf-8"), re.MULTILINE)
    pinned = {canonicalize_name(package): version for package, version in lines}
    groups = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][extra] for extra in extras)]
    for needed in (Requirement(text) for group in groups for text in group):
        assert pinned[canonicalize_name(needed.name)] in needed.specifier, needed


@pytest.mark.long
def test_compiling_the_constraints_again_changes_nothing(tmp_path: Path) -> None:
    """Needs an index of packages. Pins that are there are kept, so newer packages change nothing either."""
    for path in (*ROOT.glob("constraints*"), *(ROOT / name for name in ("Makefile", "pyproject.toml"))):
        shutil.copy(path, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("constraints*.txt")}
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parents[1])
    done = subprocess.run(["make", "constraints"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {path.name: path.read_bytes() for path in tmp_path.glob("constraints*.txt")} == before


# -- changelog and citation -----------------------------------------------------------------------------------------


def test_the_changelog_keeps_its_form() -> None:
    headings = re.findall(r"^## (.*)$", CHANGELOG, re.MULTILINE)
    assert CHANGELOG.startswith("# Changelog\n") and headings[0] == "[Unreleased]"
    found = release.releases(CHANGELOG)
    assert len(found) == len(headings) - 1, f"a release is '## [X.Y.Z] - YYYY-MM-DD', found {headings[1:]}"
    for (newer, late), (older, early) in pairwise(found):
        assert Version(newer) > Version(older) and date.fromisoformat(late) >= date.fromisoformat(early)
    assert set(re.findall(r"^### (.*)$", CHANGELOG, re.MULTILINE)) <= set(KINDS)


def test_the_citation_is_one() -> None:
    assert NEEDED <= set(CITATION) <= KNOWN and CITATION["cff-version"] == "1.2.0"
    assert CITATION["type"] in ("software", "dataset") and CITATION["license"] == PROJECT["license"]
    assert CITATION["authors"]
    for author in CITATION["authors"]:
        assert set(author) <= (ENTITY if "name" in author else PERSON), author
    assert {author["name"] for author in CITATION["authors"] if "name" in author} <= {
        author["name"] for author in PROJECT["authors"]
    }


def test_citation_and_changelog_agree() -> None:
    released = release.releases(CHANGELOG)
    newest = released[0][0] if released else "none"
    assert release.faults_of(newest, released, CITATION) == []


def test_a_release_that_nothing_tells_is_refused() -> None:
    told = [("1.2.3", "2030-01-02")]
    cited = {"version": "1.2.3", "date-released": date(2030, 1, 2)}
    assert release.faults_of("1.2.3", told, cited) == []
    assert release.faults_of("1.2.4", told, cited) == [
        "CHANGELOG.md: the newest release must be 1.2.4, found 1.2.3"
    ]
    (fault,) = release.faults_of("1.2.3", told, cited | {"version": "1.2.2"})
    assert fault.startswith(
        "CITATION.cff: version and date-released must be ('1.2.3', '2030-01-02'), found ('1.2.2'"
    )
    assert len(release.faults_of("1.2.3", [], {})) == 1


# -- the guide ------------------------------------------------------------------------------------------------------


def test_the_table_of_the_guide_is_that_of_the_walls() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    found: dict[str, set[str]] = {}
    for first, last in re.findall(r"^\| (.*?) \|.*\| ([^|]*) \|$", text, re.MULTILINE)[2:]:
        rooms, may = set(re.findall(r"`(\w+)`", first)), set(re.findall(r"`(\w+)`", last))
        if "the nouns" in last or "one another" in last:
            may |= NOUNS
        found |= {room: may - ({room} if room in NOUNS else set()) for room in rooms}
    assert found == {room: may for room, may in ALLOWED.items() if not room.startswith("__")}


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "CHANGELOG.md"])
def test_paths_of_the_guide_exist(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    for path in re.findall(r"`((?:src|tests|tools|docs|benchmarks)/[\w/.]+)`|\]\((?!http)([^)]+)\)", text):
        there = "".join(path)
        assert "NAME" in there or "_x." in there or "/x." in there or (ROOT / there).exists(), there


def test_targets_of_the_guide_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for line in re.findall(r"make ([a-z][a-z -]*)", (ROOT / "CONTRIBUTING.md").read_text("utf-8")):
        assert set(line.split()[:1]) <= targets | {"up"}, line


def test_the_package_is_typed() -> None:
    assert (SOURCE / "py.typed").exists()
