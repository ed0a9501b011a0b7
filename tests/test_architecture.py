"""The walls of the house: who may import whom, no circles, no hidden imports, no foreign library out of its room."""

import ast
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "vmpz"

NOUNS = {"quantities", "statistics", "bits", "tiles", "frames", "products", "parameters"}
BELOW_MAKERS = NOUNS | {"sky", "kernels", "errors", "display"}

ALLOWED = {
    "errors": set(),
    "display": set(),  # how a notebook shows a thing: HTML of plain values, which knows none of the nouns
    "kernels": set(),
    "files": {"errors"},
    "physics": {"errors"},  # a model that refuses an input must name it as the rest of the package does
    "sky": {"kernels", "errors", "display"},
    **{noun: (NOUNS - {noun}) | {"sky", "kernels", "errors", "display"} for noun in NOUNS},
    "make": BELOW_MAKERS | {"physics"},
    "readers": BELOW_MAKERS | {"files", "physics"},  # moments of the PSF stamps that come with frames
    "io": BELOW_MAKERS | {"files"},
    "simulate": BELOW_MAKERS | {"files", "physics"},
    "run": BELOW_MAKERS | {"make", "readers", "io", "files"},
    "report": BELOW_MAKERS | {"run", "files"},  # figures and pages are written whole or not at all
    "cli": BELOW_MAKERS | {"run", "report", "simulate", "files"},
    "__init__": BELOW_MAKERS | {"run", "make", "io", "simulate", "readers", "report", "cli"},
    "__main__": {"cli"},
}
"""Room -> rooms it may import (its own is always allowed)."""

STANDARD = set(sys.stdlib_module_names)
EVERYWHERE = {"numpy"}
FOREIGN = {
    "errors": set(),
    "kernels": {"numba", "llvmlite"},
    "files": {"astropy.io.fits", "astropy.wcs", "fsspec", "lxml", "isal", "mmap"},
    "physics": {"scipy", "astropy.coordinates", "astropy.cosmology", "astropy.units", "astropy.time"},
    "physics.ephemeris": {"erfa"},  # the IAU routines below astropy: no tables to download, no global state
    "sky": {"mocpy", "numba"},
    "sky.hpx": {"cdshealpix", "astropy.coordinates", "astropy.units"},
    "parameters": {"pydantic"},
    "frames": {"astropy.wcs", "astropy.io.fits"},
    "make": {"astropy.wcs", "pyarrow", "scipy"},
    "readers": {"astropy.wcs", "astropy.io.fits", "lxml"},
    "readers.plaintables": {"pyarrow"},  # tables of exposures come as Parquet and CSV too
    "readers.lsstheaders": {"erfa"},  # dates in TAI: the leap seconds, without tables to download
    "io": {"astropy.io.fits", "astropy.io.votable", "lxml", "pyarrow", "mocpy"},
    "simulate": {"astropy.io.fits", "astropy.wcs", "lxml"},
    "simulate.exposuretable": {"pyarrow"},  # a table of exposures that is Parquet, as surveys keep them
    "simulate.outside": {"pyarrow"},  # catalogues of stars come as Parquet
    "simulate.galaxies": {"pyarrow"},  # and so do those of galaxies
    "simulate.galaxylaw": {"scipy"},  # the share of a Gaussian above a cut, on arrays
    "run": {"astropy.wcs", "fsspec"},
    "run.execute": {"dask", "distributed"},
    "report": {"matplotlib", "astropy.wcs", "astropy.visualization.wcsaxes", "astropy.units"},
    "cli": {"typer", "pydantic"},
    "report.progress": {"rich"},
    "report.themes": {"PIL"},  # matplotlib's own writer of PNG: images of a page get a palette
}
"""Room or file -> third parties it may import beside numpy."""

OPTIONAL = {"io.healsparse": {"healsparse"}, "make.landyszalay": {"treecorr"}}
"""File -> packages of an optional extra: imported inside functions alone, so nothing needs them.

Healsparse maps are what Rubin and DESC exchange, and its library is their definition; it needs hpgeom (GPL). TreeCorr
(BSD) counts the pairs of the null test of a catalogue.
"""
GPL = {"healpy", "healsparse", "hpgeom", "fitsio", "pymangle", "skyproj", "mhealpy", "zodipy"}


def files() -> list[tuple[str, str, ast.Module]]:
    """(room, dotted name, syntax tree) of every file of the package."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
        found.append((parts[0], name, ast.parse(path.read_text("utf-8"), str(path))))
    return found


FILES = files()


def imports(tree: ast.AST) -> list[tuple[str, int]]:
    """Every module that is imported anywhere below a node, with its line."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise AssertionError(f"line {node.lineno}: imports are absolute")
            found += [(f"{node.module}.{alias.name}", node.lineno) for alias in node.names]
    return found


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


@pytest.mark.parametrize(("room", "name", "tree"), FILES, ids=[name for _, name, _ in FILES])
def test_rooms_import_only_what_the_plan_allows(room: str, name: str, tree: ast.Module) -> None:
    assert room in ALLOWED, f"{room} is not in the plan of the house"
    for module, line in imports(tree):
        if module == "vmpz" or module.startswith("vmpz."):
            other = room_of(module)
            if (
                module.startswith("vmpz.")
                and not (SOURCE / other).exists()
                and not (SOURCE / f"{other}.py").exists()
            ):
                other = "__init__"
            assert other == room or other in ALLOWED[room], f"{name}:{line}: {room} must not import {other}"


@pytest.mark.parametrize(("room", "name", "tree"), FILES, ids=[name for _, name, _ in FILES])
def test_third_parties_stay_in_their_rooms(room: str, name: str, tree: ast.Module) -> None:
    allowed = EVERYWHERE | FOREIGN.get(room, set()) | FOREIGN.get(name, set())
    for module, line in imports(tree):
        top = module.split(".")[0]
        if top in STANDARD or top == "vmpz" or top in OPTIONAL.get(name, ()):
            continue
        assert top not in GPL, f"{name}:{line}: {top} is GPL"
        assert any(module == one or module.startswith(f"{one}.") for one in allowed), (
            f"{name}:{line}: {room} must not import {module}"
        )


@pytest.mark.parametrize(("room", "name", "tree"), FILES, ids=[name for _, name, _ in FILES])
def test_no_import_of_the_package_inside_functions(room: str, name: str, tree: ast.Module) -> None:
    if room in {"cli", "__init__"}:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            hidden = [f"{m} (line {line})" for m, line in imports(node) if m.split(".")[0] == "vmpz"]
            assert not hidden, f"{name}: {hidden} stands inside a function"


@pytest.mark.parametrize("name", OPTIONAL)
def test_packages_of_extras_are_imported_inside_functions(name: str) -> None:
    (tree,) = [tree for _, other, tree in FILES if other == name]
    inside = {
        found
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for found in imports(node)
    }
    outside = {module.split(".")[0] for module, line in imports(tree) if (module, line) not in inside}
    assert not outside & OPTIONAL[name]


def test_there_are_no_circles() -> None:
    names = {name for _, name, _ in FILES}
    graph: dict[str, set[str]] = {}
    for _, name, tree in FILES:
        if name == "__init__":
            continue
        targets = set()
        for module, _ in imports(tree):
            if module.startswith("vmpz."):
                inner = module.removeprefix("vmpz.")
                while inner and inner not in names:
                    inner = inner.rpartition(".")[0]
                targets.add(inner)
        graph[name] = targets - {name, ""}
    tuple(TopologicalSorter(graph).static_order())


def test_no_asserts_guard_users_and_files_stay_short() -> None:
    for _, name, tree in FILES:
        lines = max((getattr(node, "end_lineno", 0) or 0 for node in ast.walk(tree)), default=0)
        assert lines <= 450, f"{name} has {lines} lines"
        assert not [n for n in ast.walk(tree) if isinstance(n, ast.Assert)], f"{name}: an assert guards input"
