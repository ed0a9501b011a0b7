"""Requests of random catalogues: from a survey and its store, or from map files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vmpz.errors import InputError, meant
from vmpz.make.outside import EBV
from vmpz.make.visibility import wanted
from vmpz.parameters import Parameters, RandomParameters
from vmpz.products import ProductKey
from vmpz.run.account import ACCOUNT
from vmpz.run.attributes import Extras
from vmpz.run.expanding import expanded
from vmpz.run.mapfiles import map_path
from vmpz.run.maprows import forget_replaced
from vmpz.run.named import name_of
from vmpz.run.patchplan import MAP_KINDS
from vmpz.run.randoms import RandomRequest, drawing_order
from vmpz.run.regions import PatchRegion, region_of
from vmpz.run.store import Entry, Store
from vmpz.sky.cells import CellSet
from vmpz.sky.hpx import MAX_ORDER
from vmpz.sky.regions import Cap, Polygon

__all__ = ["request_of_maps", "request_of_survey"]

Shape = Path | Cap | Polygon


def request_of_maps(
    files: Sequence[str], said: Mapping[str, Any], *, region: Shape | None = None, only: Shape | None = None
) -> RandomRequest:
    """A request for points that follow maps in files.

    Parameters
    ----------
    files : sequence of str
        Files, folders, @LIST.
    said : mapping
        Parameters of [random]; None where nothing is said. `maps` are NAME=FILE.
    region, only : Path, Cap or Polygon, optional
        What counts of the map; which points are wanted.

    Raises
    ------
    InputError
        A file does not exist, or a parameter does not hold what it must.
    """
    for file in files:
        if Path(file).is_dir() and Store(file).place.has(ACCOUNT):
            raise InputError(
                f"{file}: must be maps of one visibility, found a store: say its SURVEY.toml and --selection CLASS"
            )
    random = RandomParameters().overridden(said)
    if random.attributes:
        raise InputError("attributes are those of a class of a survey: say SURVEY.toml and --selection")
    attached = {}
    for word in random.maps:
        name, equal, file = word.partition("=")
        if not equal:
            raise InputError(f"a map to be attached must be NAME=FILE, found {word!r}")
        attached[name] = tuple(expanded([file]))
    paths = tuple(expanded(files))
    forget_replaced()
    order = drawing_order(paths, random)
    return RandomRequest(paths, random, _cells(region, order), _cells(only, order), Extras(attached))


def request_of_survey(
    parameters: Parameters,
    store: str | Path,
    selection: str | None,
    said: Mapping[str, Any],
    *,
    patch: str | None = None,
    region: Shape | None = None,
    only: Shape | None = None,
) -> RandomRequest:
    """A request for points that follow the visibility of a class in the tiles of a store.

    Parameters
    ----------
    parameters : Parameters
        Their [random] is what `said` does not say.
    store : path or address
    selection : str or None
        Name of the class; default the only one there is.
    said : mapping
        See `request_of_maps`; `maps` are names in the store (`vmpz.run.named`).
    patch : str, optional
        Patch whose tiles and region count; default all tiles.
    region, only : Path, Cap or Polygon, optional

    Raises
    ------
    InputError
        There is no such class, patch or map, or a parameter does not hold what it must.
    """
    names = [one.name for one in parameters.visibility]
    if not names:
        raise InputError(
            "a random catalogue needs a class of galaxies, one [[visibility]] or more; there is none"
        )
    chosen = selection or (names[0] if len(names) == 1 else None)
    if chosen not in names:
        raise InputError(
            f"the class must be one of {', '.join(names)}, found {selection or 'none'}"
            f"{meant(selection, names)}"
        )
    where = next((one for one in parameters.patches if one.name == patch), None)
    if patch is not None and where is None:
        known = [one.name for one in parameters.patches]
        raise InputError(
            f"the patch must be one of {', '.join(known) or 'none'}, found {patch}{meant(patch, known)}"
        )
    random = parameters.random.overridden(said)
    forget_replaced()
    tiles = _tiles(Store(store), parameters, None if where is None else where.tiles)
    paths = _files(tiles, f"visibility_{chosen}", store)
    row = next(one for one in parameters.visibility if one.name == chosen)
    maps = {name: _files(tiles, name, store) for name in random.maps}
    extras = Extras(maps)
    if random.attributes:
        depths = {band: _files(tiles, f"depth_{band}", store) for band in row.reference}
        ebv = wanted(ProductKey("-", "visibility", row.name), parameters).get(EBV)
        extras = Extras(maps, row, parameters, depths, ebv)
    order = parameters.maps.order if random.order is None else random.order
    shape = None if where is None else region_of(where)
    inside = _cells(region, order)
    if shape is not None:
        cells = shape.cells(parameters.maps.order).at_order(order)
        inside = cells if inside is None else cells & inside
    return RandomRequest(
        paths, random, inside, _cells(only, order), extras, row.tom_bin, patch or parameters.survey.name
    )


def _cells(shape: Shape | None, order: int) -> CellSet | None:
    return None if shape is None else PatchRegion(shape).cells(min(order, MAX_ORDER))


def _tiles(store: Store, parameters: Parameters, areas: Sequence[str] | None) -> list[Entry]:
    """Map products of tiles, of the order and release of the survey."""
    return [
        entry
        for entry in store.entries()
        if entry.key.kind in MAP_KINDS
        and entry.provenance.get("recipe") != "merge"
        and entry.state != "EMPTY"
        and (entry.key.order, entry.key.release) == (parameters.maps.order, parameters.survey.release)
        and (areas is None or entry.key.area in areas)
    ]


def _files(tiles: Sequence[Entry], name: str, store: str | Path) -> tuple[Path, ...]:
    found = sorted(map_path(entry) for entry in tiles if name_of(entry.key) == name)
    if not found:
        known = sorted({name_of(entry.key) for entry in tiles})
        raise InputError(
            f"{store}: must hold the map {name}, found {', '.join(known) or 'none'}{meant(name, known)}"
        )
    return tuple(found)
