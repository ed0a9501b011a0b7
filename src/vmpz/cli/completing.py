"""Completion of values: names that a store or a parameter file among the words of the command holds.

Folder names of a local store tell areas, kinds, bands and maps, the text of a parameter file bands, tiles, patches and
classes. Nothing heavy is imported, only a few folders are listed, and what cannot be read completes nothing.
"""

import contextlib
import os
import tomllib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import typer

__all__ = [
    "FORMS", "KINDS", "SUFFIXES", "areas", "bands", "classes", "forms", "instruments", "kinds", "maps", "out_file",
    "patches", "products", "releases", "tiles",
]  # fmt: skip

KINDS = (
    "bitmask", "coverage", "depth", "effectivecoverage", "footprint", "info", "redshifts", "visibility",
)  # fmt: skip
FORMS = ("healpix", "healsparse", "hips", "mangle", "moc", "parquet", "plainmoc", "stcs")
SUFFIXES = (
    ".fits",
    ".hips",
    ".hsp",
    ".moc.fits",
    ".moc.json",
    ".parquet",
    ".plain.moc.fits",
    ".ply",
    ".stcs",
)
"""Names whose tables are in rooms that take long to import; a test compares."""
AREAS = 8
"""Areas of a store whose folders are listed."""
FIELDS = ("area", "kind", "quantity", "statistic", "selection", "instrument", "band")


@dataclass
class Place:
    """What the words of a command point to."""

    survey: dict[str, Any] = field(default_factory=dict)
    store: Path | None = None


def _completes(names: Callable[[Place], Iterable[str]]) -> Callable[[typer.Context, str], list[str]]:
    """A completion of a list of names, joined by commas; none stands twice."""

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        try:
            known = sorted({name for name in names(_place(ctx)) if name.isprintable()} - {"-", ""})
        except (OSError, ValueError, TypeError, AttributeError, KeyError):  # completion is never an error
            return []
        head, comma, last = incomplete.rpartition(",")
        taken = head.split(",")
        return [f"{head}{comma}{name}" for name in known if name.startswith(last) and name not in taken]

    return complete


def _place(ctx: typer.Context) -> Place:
    words = [Path(word) for word in _words(ctx) if word and "://" not in word]
    files = [word for word in words if word.suffix == ".toml" and word.is_file()]
    survey = tomllib.loads(files[0].read_text("utf-8")) if files else {}
    folders = [word for word in words if word.is_dir()] + [file.parent / "store" for file in files]
    return Place(survey, next((folder for folder in folders if folder.is_dir()), None))


def _words(ctx: Any) -> Iterator[str]:
    """Words of a command and of those above it; those that stand before an option without its value are in `args`."""
    while ctx is not None:
        for value in (*ctx.params.values(), *ctx.args):
            yield from map(str, value if isinstance(value, list | tuple) else [value])
        ctx = ctx.parent


def _areas(place: Place) -> list[str]:
    if place.store is None:
        return []
    with os.scandir(place.store) as found:
        return sorted(one.name for one in found if one.name[0] != "." and one.is_dir())


def _keys(place: Place) -> Iterator[dict[str, str]]:
    """Keys of products of some areas, the first and the last by name."""
    names = _areas(place)
    for area in dict.fromkeys([*names[: AREAS // 2], *names[-AREAS // 2 :]]):
        folders: list[str] = []
        with contextlib.suppress(OSError):  # an area that may not be looked into
            folders = os.listdir(Path(place.store or "", area))
        for folder in folders:
            parts = [unquote(part) for part in folder.split("~")]
            if len(parts) > len(FIELDS):
                yield dict(zip(FIELDS, parts))


def _map_name(key: dict[str, str]) -> str:
    """How expressions call a map."""
    first = {"info": f"{key['quantity']}_{key['statistic']}", "visibility": f"visibility_{key['quantity']}"}
    name = first.get(key["kind"], key["kind"])
    return name if key["band"] == "-" else f"{name}_{key['band']}"


def _of_inputs(place: Place, name: str) -> list[str]:
    return [one for item in place.survey.get("inputs", []) for one in item.get(name) or []]


def _survey_bands(place: Place) -> list[str]:
    return [*(place.survey.get("survey", {}).get("bands") or []), *_of_inputs(place, "bands")]


kinds = _completes(lambda place: {key["kind"] for key in _keys(place)} or KINDS)
products = _completes(lambda place: KINDS)
bands = _completes(lambda place: [*_survey_bands(place), *(key["band"] for key in _keys(place))])
areas = _completes(_areas)
tiles = _completes(
    lambda place: [
        *(place.survey.get("survey", {}).get("tiles") or []),
        *(area for area in _areas(place) if area not in _patches(place)),
    ]
)
instruments = _completes(
    lambda place: [
        *(place.survey.get("survey", {}).get("instruments") or []),
        *(key["instrument"] for key in _keys(place)),
    ]
)
classes = _completes(
    lambda place: [
        *(one.get("name", "") for one in place.survey.get("visibility", [])),
        *(key["quantity"] for key in _keys(place) if key["kind"] == "visibility"),
    ]
)
maps = _completes(lambda place: {_map_name(key) for key in _keys(place) if key["kind"] in KINDS})
forms = _completes(lambda place: FORMS)
releases = _completes(
    lambda place: (
        [one.stem for one in Path(place.store or "", ".releases").glob("*.json")] if place.store else []
    )
)


def _patches(place: Place) -> list[str]:
    return [one.get("name", "") for one in place.survey.get("patches", [])]


patches = _completes(_patches)


def out_file(incomplete: str) -> list[str]:
    """Ends of the name of a file to be written, once its stem is there."""
    folder, slash, name = incomplete.rpartition("/")
    stem, dot, _ = name.partition(".")
    return [f"{folder}{slash}{stem}{end}" for end in SUFFIXES] if stem and dot else []
