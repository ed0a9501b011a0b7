"""What an installation has, lacks and cannot do, a line each with a verdict and what helps.

``ok``; ``missing``: an optional part that is not there, with what it would give; ``problem``: something that is needed
does not work.
"""

import inspect
import locale
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from vmpz import kernels
from vmpz.bits import table_names
from vmpz.errors import InputError
from vmpz.files.remote import cache_folder
from vmpz.make import RECIPES
from vmpz.readers import READERS, reader
from vmpz.run.viewing.aladin import PACKAGE, user_cache

__all__ = ["EXTRAS", "Finding", "diagnosis", "reader_text"]

Verdict = Literal["ok", "missing", "problem"]
GIGABYTE = 1e9
LITTLE_DISK = 1e9
LITTLE_MEMORY = 1.5e9
"""Bytes that a run needs at least."""


@dataclass(frozen=True)
class Extra:
    """An optional part: the module that it brings, and what that gives."""

    module: str
    gives: str


EXTRAS = {
    "fast": Extra("isal", "gzip files are read several times as fast"),
    "validate": Extra("treecorr", "the null test of `vmpz validate` counts pairs"),
    "s3": Extra("s3fs", "stores on S3 (s3://bucket/prefix)"),
    "healsparse": Extra(
        "healsparse", "healsparse maps (.hsp); needs hpgeom, which is GPL, so `all` leaves it out"
    ),
}
"""Extras of the package that a user may want."""

GROUPS = ("vmpz.readers", "vmpz.quantities", "vmpz.statistics")
"""Entry points by which other packages add to the tables."""


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, the verdict, what was found, and what to do where it is not ok."""

    what: str
    verdict: Verdict
    found: str
    advice: str = ""

    def as_dict(self) -> Mapping[str, str]:
        """Ready for JSON."""
        return asdict(self)


def diagnosis() -> list[Finding]:
    """Look at versions, extras, tables, other packages, the machine, and what a run writes to."""
    return [
        *_versions(),
        *(_extra(name, one) for name, one in EXTRAS.items()),
        *_tables(),
        *(_plugin(point) for group in GROUPS for point in entry_points(group=group)),
        _memory(),
        *_folders(),
        _kernels(),
        _encoding(),
        _viewer(),
    ]


def _versions() -> Iterator[Finding]:
    """The package, Python, and the libraries that it says it needs, with the least version of each."""
    yield Finding("vmpz", "ok", version("vmpz"))
    machine = f"{platform.system()} {platform.machine()}"
    yield Finding("python", "ok", f"{platform.python_version()} ({sys.executable}), {machine}")
    found: list[str] = []
    wrong: list[str] = []
    for line in requires("vmpz") or []:
        needed, _, condition = line.partition(";")
        if "extra" in condition:
            continue
        name, least = re.match(r"([\w.-]+)(?:\s*>=\s*([\w.]+))?", needed).groups()  # type: ignore[union-attr]
        there = _version(name)
        (found if there else wrong).append(f"{name} {there or 'not installed'}")
        if there and least and _numbers(there) < _numbers(least):
            wrong.append(f"{name} {there} is older than {least}")
    yield Finding(
        "libraries",
        "problem" if wrong else "ok",
        ", ".join(wrong or found),
        "pip install --upgrade vmpz brings them" if wrong else "",
    )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(one) for one in re.findall(r"\d+", text))


def _extra(name: str, one: Extra) -> Finding:
    if find_spec(one.module) is None:
        return Finding(f"vmpz[{name}]", "missing", one.gives, f"pip install 'vmpz[{name}]'")
    return Finding(f"vmpz[{name}]", "ok", f"{one.module} {_version(one.module) or ''}: {one.gives}")


def _tables() -> Iterator[Finding]:
    yield Finding("readers", "ok", ", ".join(READERS))
    yield Finding("products", "ok", ", ".join(RECIPES))
    yield Finding("bit tables", "ok", ", ".join(table_names()))


def _plugin(point: EntryPoint) -> Finding:
    """A row that another package adds, loaded."""
    what = f"{point.group.removeprefix('vmpz.')} {point.name}"
    try:
        point.load()
    except Exception as error:  # noqa: BLE001 - whatever a foreign package raises is what is to be told
        told = f"{point.value} cannot be loaded: {type(error).__name__}: {error}"
        return Finding(what, "problem", told, "ask those who made that package, or uninstall it")
    return Finding(what, "ok", point.value)


def _memory() -> Finding:
    """Cores that this process may use and memory."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    told = f"{usable} of {os.cpu_count()} cores for threads and workers"
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return Finding("machine", "ok", told)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    told += f", {memory / GIGABYTE:.3g} GB of memory"
    if memory < LITTLE_MEMORY:
        return Finding("machine", "problem", told, "a run needs about 1 GB a worker")
    return Finding("machine", "ok", told)


def _folders() -> Iterator[Finding]:
    """Where stores, temporary files and copies of remote files go."""
    yield _folder("this folder", Path.cwd, "work where there is room, or say --store")
    kept = "VMPZ_CACHE" in os.environ
    advice = (
        "set VMPZ_CACHE to a folder with room" if kept else "set TMPDIR or VMPZ_CACHE to a folder with room"
    )
    yield _folder("cache (VMPZ_CACHE)" if kept else "cache (until the end)", cache_folder, advice)


def _folder(what: str, named: Callable[[], Path], advice: str) -> Finding:
    try:
        path = named()
        there = _there(path)
        free = shutil.disk_usage(there).free
    except OSError as error:  # a folder that was removed, one that may not be looked at
        return Finding(what, "problem", str(error), advice)
    told = f"{path}, {free / GIGABYTE:.3g} GB free"
    if not os.access(there, os.W_OK):
        return Finding(what, "problem", f"{told}, may not be written to", advice)
    return Finding(
        what, "ok" if free > LITTLE_DISK else "problem", told, "" if free > LITTLE_DISK else advice
    )


def _there(path: Path) -> Path:
    """The first of a folder and those above it that exists, as far as may be looked."""
    return next(one for one in (path, *path.parents) if os.path.exists(one))


def _kernels() -> Finding:
    """Where compiled kernels are kept: NUMBA_CACHE_DIR, else beside the sources, else in the user's own cache."""
    told = os.environ.get("NUMBA_CACHE_DIR")
    beside = Path(kernels.__path__[0]) / "__pycache__"
    folder = Path(told) if told else beside
    count = sum(1 for _ in folder.rglob("*.nbi")) if os.path.isdir(folder) else 0
    if os.access(_there(folder.absolute()), os.W_OK):
        first = "" if count else "; the first run compiles them, which takes a minute"
        return Finding("kernels", "ok", f"{count} compiled ones are kept in {folder}{first}")
    if told or not os.access(os.path.expanduser("~"), os.W_OK):
        advice = "set NUMBA_CACHE_DIR to a folder that may be written to, else every process compiles again"
        return Finding("kernels", "problem", f"{folder} may not be written to", advice)
    return Finding("kernels", "ok", "compiled ones are kept in the cache of the user (numba)")


def reader_text(name: str) -> str:
    """What a reader says of its files and options: the docstring of its module.

    Raises
    ------
    InputError
        There is no such reader; the message lists those there are.
    """
    said = inspect.getdoc(inspect.getmodule(reader(name).scan))
    return said or f"reader {name} tells nothing of its files and options"


def _encoding() -> Finding:
    names = {"files": locale.getpreferredencoding(False), "names of files": sys.getfilesystemencoding()}
    told = ", ".join(f"{what} {name}" for what, name in names.items())
    if all(name.lower().replace("-", "") == "utf8" for name in names.values()):
        return Finding("text", "ok", told)
    return Finding("text", "problem", told, "set LC_ALL=C.UTF-8, or PYTHONUTF8=1")


def _viewer() -> Finding:
    """What `vmpz view` needs: Aladin Lite in the cache of the user, or npm, which fetches it."""
    try:
        kept, npm = user_cache() / PACKAGE, shutil.which("npm")
    except InputError as error:
        return Finding("viewer", "missing", f"Aladin Lite, for `vmpz view`: {error}", "set VMPZ_CACHE")
    if os.path.isdir(kept):
        return Finding("viewer", "ok", f"Aladin Lite in {kept}")
    if npm is None:
        advice = (
            "install Node.js, whose npm fetches it, or say where it is: vmpz view STORE --aladin aladin.js"
        )
        return Finding("viewer", "missing", "Aladin Lite, for `vmpz view`", advice)
    return Finding("viewer", "ok", f"{npm} fetches Aladin Lite when `vmpz view` is first used")
