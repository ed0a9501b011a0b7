"""Is this tree a release? It is clean and tagged, and changelog and citation say the version of the tag."""

import re
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
SECTION = re.compile(r"^## \[(?P<version>\d+\.\d+\.\d+)\] - (?P<date>\d{4}-\d{2}-\d{2})$", re.MULTILINE)


def main() -> int:
    """Every reason against it on standard error; the exit status."""
    faults = faults_of(
        version_of_tree(), releases(read("CHANGELOG.md")), yaml.safe_load(read("CITATION.cff"))
    )
    if said("git", "status", "--porcelain"):
        faults.append("the tree must be clean, found changes: git status")
    if not said("git", "tag", "--points-at", "HEAD"):
        faults.append("the tree must be tagged, found no tag here")
    print(*(f"error: {fault}" for fault in faults), sep="\n", end="\n" if faults else "", file=sys.stderr)
    return min(len(faults), 1)


def faults_of(version: str, released: list[tuple[str, str]], citation: dict[str, object]) -> list[str]:
    """What is wrong with a version, by what changelog and citation say."""
    newest = released[0] if released else ("none", "none")
    cited = str(citation.get("version", "none")), str(citation.get("date-released", "none"))
    faults = []
    if newest[0] != version:
        faults.append(f"CHANGELOG.md: the newest release must be {version}, found {newest[0]}")
    if cited != newest:
        faults.append(f"CITATION.cff: version and date-released must be {newest}, found {cited}")
    return faults


def releases(changelog: str) -> list[tuple[str, str]]:
    """Version and date of every release, as they stand."""
    return [(found["version"], found["date"]) for found in SECTION.finditer(changelog)]


def version_of_tree() -> str:
    """As it is built from here."""
    return said(Path(sys.executable).with_name("hatchling"), "version")


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def said(*command: str | Path) -> str:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
