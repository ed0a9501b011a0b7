"""Random catalogues against the visibility of the store that they follow."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vmpz import io
from vmpz.errors import InputError, MissingProductError, meant
from vmpz.make.tally import Tally
from vmpz.products import Scalar
from vmpz.run.mapfiles import map_path
from vmpz.run.overview.content import RandomsOverview
from vmpz.run.overview.listing import Listed, Listing, list_maps
from vmpz.run.query import Wanted
from vmpz.run.store import Store
from vmpz.run.validation import ValidationRequest, tested_file
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap

__all__ = ["RandomsRequest", "randoms_of"]

EXPECTED = 100.0
"""Points that a cell of the picture shall expect on average."""
LEAST = 10.0
"""Points that it must expect to be shown."""
MUST_AGREE = ("VISREF", "VISSEL")
"""Keywords that say which visibility a catalogue was drawn from."""


@dataclass(frozen=True)
class RandomsRequest:
    """A catalogue, and the name of the map that it follows (visibility_deep); None: what its header says (BINSEL)."""

    file: Path
    map: str | None = None


def randoms_of(store: Store, request: RandomsRequest) -> tuple[RandomsOverview, list[str]]:
    """Test a catalogue against the visibility of all tiles of a store, which is read for it.

    Memory grows with the cells of this one map.

    Returns
    -------
    RandomsOverview
    notes : list of str
        A line for every keyword by which the catalogue was drawn from another map of that name.

    Raises
    ------
    InputError
        The file cannot be read, does not say which map it follows, or the store has no such map.
    MapMismatchError
        The map is nowhere positive.
    """
    keywords = io.open_random(request.file).keywords
    listing = list_maps(store, Wanted())
    followed = _followed(store, listing, request, keywords)
    tested = tested_file(ValidationRequest(request.file, _files(store, listing, followed)))
    found = RandomsOverview(
        file=request.file.name,
        map=followed.name,
        rows=tested.validation.rows,
        passed=tested.validation.passed,
        density=_density(tested.tally),
        curves=tested.validation["deciles"].curves,
        verdicts=tested.validation.as_dict()["checks"],
        keywords=keywords,
    )
    words = tested.map_keywords
    return found, [
        f"{request.file.name}: {word} must be that of {followed.name}, {words[word]}; found {keywords[word]}"
        for word in MUST_AGREE
        if word in keywords and keywords[word] != words.get(word, keywords[word])
    ]


def _followed(
    store: Store, listing: Listing, request: RandomsRequest, keywords: Mapping[str, Scalar]
) -> Listed:
    """The map that a catalogue follows: of the name that is given, or of the class and order that it states."""
    known = [one for one in listing.maps if one.key.kind == "visibility"]
    stated = (keywords.get("BINSEL"), keywords.get("HPXORDER"))
    chosen = [one for one in known if request.map in (None, one.name)]
    if request.map is None:
        chosen = [one for one in known if (one.key.quantity, one.key.order) == stated]
    if len(chosen) != 1:
        asked = request.map or f"BINSEL {stated[0]}, HPXORDER {stated[1]}"
        raise InputError(
            f"{request.file}: must follow one visibility of the tiles of {store.root} ({asked}), found "
            f"{', '.join(one.name for one in chosen or known) or 'none'}: name the map"
            + ("" if request.map is None else meant(request.map, [one.name for one in known]))
        )
    return chosen[0]


def _files(store: Store, listing: Listing, followed: Listed) -> tuple[Path, ...]:
    """Its files, of the tiles in which it lists anything."""
    keys = [replace(followed.key, area=area.name) for area in listing.areas if followed.key in area.means]
    found = []
    for key in keys:
        entry = store.entry(key)
        if entry is None:
            raise MissingProductError(
                f"{store.root}: {key} must be there as the index says, found it incomplete"
            )
        found += [map_path(entry)] if entry.state != "EMPTY" else []
    return tuple(found)


def _density(tally: Tally) -> SkyMap:
    """Sum of weights over the integral of V (deg-2), on the finest cells that expect enough points on average."""
    cells = tally.expectation.cells
    order = cells.order
    while order and tally.rows < EXPECTED * len(cells.at_order(order)):
        order -= 1
    parents, which = np.unique(cells.cells() >> 2 * (cells.order - order), return_inverse=True)
    integral = np.bincount(which, tally.expectation.visibility) * hpx.cell_area_deg2(cells.order)
    shown = np.bincount(which, tally.expected) >= LEAST
    return SkyMap(
        CellSet.from_cells(order, parents[shown]), (np.bincount(which, tally.sums) / integral)[shown]
    )
