"""`make bench`: every benchmark in one run, beside today's practice and the floor; writes docs/performance.md.

Each benchmark module has `rows()`: dictionaries with operation, unit, ours, today, floor, ratio (today / ours), target
and, where there is one, a note. Name modules on the command line to run only these (nothing is written then).
"""

import importlib
import platform
import sys
from importlib.metadata import version
from pathlib import Path

MODULES = ("startup", "geometry", "exposures", "exposurepass", "tables", "merge", "forms", "randoms", "tile")
PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
LIBRARIES = ("numpy", "numba", "astropy", "cdshealpix", "mocpy", "healpy", "pyarrow")

HEAD = """# Performance

Made by `make bench`, all figures of one run on one machine: {machine}; Python {python}; {libraries}.
*Ours* and *today* (what a user would write today with public packages) are measured side by side in the same run;
*floor* is what the machine needs for the same bytes. Compare ratios: seconds depend on the machine and its load.

| operation | unit | ours | today | floor | today / ours | ours / floor | target |
| --- | --- | ---: | ---: | ---: | ---: | ---: | --- |
"""


def figure(value: object) -> str:
    """A number with three significant digits; empty for None."""
    if value is None:
        return ""
    return value if isinstance(value, str) else f"{value:.3g}"


def line(row: dict[str, object]) -> str:
    """One row of the table."""
    floor, ours = row.get("floor"), row.get("ours")
    above = (
        ours / floor if isinstance(floor, float | int) and isinstance(ours, float | int) and floor else None
    )
    ratio = row.get("ratio")
    operation = str(row["operation"]).replace(" | ", "; ")
    cells = [operation, row["unit"], ours, row.get("today"), floor, ratio, above, row.get("target")]
    return "| " + " | ".join(figure(cell) for cell in cells) + " |"


def main() -> None:
    """Run the modules and print, and write the page when all were run."""
    chosen = sys.argv[1:] or MODULES
    head = HEAD.format(
        machine=f"{platform.machine()}, 2 cores",
        python=platform.python_version(),
        libraries=", ".join(f"{name} {version(name)}" for name in LIBRARIES),
    )
    lines, notes = [], []
    print(head, end="", flush=True)
    for name in chosen:
        for row in importlib.import_module(f"benchmarks.{name}").rows():
            lines.append(line(row))
            print(lines[-1], flush=True)
            if row.get("note"):
                notes.append(f"- {str(row['operation']).replace(' | ', '; ')}: {row['note']}")
    text = head + "\n".join(lines) + "\n" + ("\n" + "\n".join(notes) + "\n" if notes else "")
    if notes:
        print("\n" + "\n".join(notes))
    if not sys.argv[1:]:
        PAGE.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
