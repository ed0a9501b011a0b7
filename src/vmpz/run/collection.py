"""What a patch holds and what it lacks: its collection, and which bands are relevant and processed."""

import hashlib
import json
import uuid
from collections.abc import Collection as Areas
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from vmpz import io
from vmpz.frames import Refused
from vmpz.io.collection import Absent, Collection, Present, Series
from vmpz.io.rows import open_rows
from vmpz.products import ProductKey
from vmpz.run.account import Outcome
from vmpz.run.store import Entry, Store
from vmpz.sky.hpx import cell_area_deg2

__all__ = ["collection_of", "relevant_and_processed"]

Bands = tuple[str, ...]


def relevant_and_processed(
    key: ProductKey,
    made: Mapping[ProductKey, bool],
    *,
    refused: Iterable[Refused] = (),
    selected: Sequence[str] = (),
) -> tuple[Bands, Bands]:
    """Relevant and processed bands of a patch product: BANDREL and BANDPRC.

    A band is relevant when it is selected and an input of it touches the patch, be it one that cannot be used. It is
    processed when its product of the same kind, quantity and statistic is there or can be made, with cells or without;
    for a product that is of no band (an effective coverage, a map of tiles), when its coverage is.

    Parameters
    ----------
    key : ProductKey
        The patch product.
    made : mapping of ProductKey to bool
        Every product of the patch that the survey asks for, and whether at least one tile has it.
    refused : iterable of Refused
        Frames of the patch that cannot be used.
    selected : sequence of str
        Bands in the order of FILTLST; default all, by instrument and name.

    Returns
    -------
    relevant, processed : tuple of str
        In that order.
    """
    touched = {(one.instrument, one.band) for one in made} | {(one.instrument, one.band) for one in refused}
    found = list(dict.fromkeys(band for _, band in sorted(touched) if band != "-"))
    relevant = tuple(band for band in selected or found if band in found)
    like = replace(key, kind="coverage", quantity="-", statistic="-") if key.band == "-" else key
    done = {one.band for one, there in made.items() if there and _is_like(one, like)}
    return relevant, tuple(band for band in relevant if band in done)


def _is_like(one: ProductKey, other: ProductKey) -> bool:
    """Whether two products differ in band, and what goes with the band, alone."""
    mine = (one.area, one.kind, one.quantity, one.statistic)
    return mine == (other.area, other.kind, other.quantity, other.statistic)


# -- the collection ---------------------------------------------------------------------------------------------------


@dataclass
class _Rows:
    """A series being gathered."""

    present: list[Present] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    no_input: list[Absent] = field(default_factory=list)
    failed: list[Absent] = field(default_factory=list)
    not_asked: list[str] = field(default_factory=list)
    untouched: list[str] = field(default_factory=list)

    def series(self, key: ProductKey) -> Series:
        return Series(key, *(tuple(rows) for rows in vars(self).values()))


def collection_of(
    patch: str,
    release: str,
    order: int,
    expected: Iterable[ProductKey],
    outcomes: Mapping[ProductKey, Outcome],
    store: Store,
    areas: Areas[str] | None = None,
) -> Collection:
    """The collection of a patch: the products of its tiles, and its own.

    A product that the last run could not make is not PRESENT, even where an earlier one left its files.

    Parameters
    ----------
    patch, release : str
    order : int
        Of the products of the patch.
    expected : iterable of ProductKey
        What the survey asks for in the patch: products of tiles, and of the patch itself (whose area it is).
    outcomes : mapping of ProductKey to Outcome
        What became of them (`Account.outcomes`); a refused frame stands there as a product of kind 'frame'.
    store : Store
    areas : collection of str, optional
        Tiles of the patch; default those of the expected products.
    """
    asked: dict[ProductKey, set[str]] = {}
    for key in expected:
        asked.setdefault(key if key.area == patch else replace(key, area="-"), set()).add(key.area)
    tiles = sorted({area for found in asked.values() for area in found} - {patch} if areas is None else areas)
    refused = _refused(outcomes, set(tiles))
    for key in refused:
        asked.setdefault(replace(key, area="-"), set()).add(key.area)
    reasons = _reasons(refused)
    series = []
    for shared, found in sorted(asked.items()):
        rows = _Rows()
        everywhere = [patch] if shared.area == patch else tiles
        for area in sorted(found) if shared.kind == "frame" else everywhere:
            _place(rows, replace(shared, area=area), area in found, outcomes, store, reasons)
        series.append(rows.series(shared))
    return Collection(_id_of(patch, release, order, series), release, patch, order, tuple(series))


def _refused(outcomes: Mapping[ProductKey, Outcome], tiles: set[str]) -> dict[ProductKey, str]:
    """Frames that cannot be used, with those whose fault hides which tile they are of ('-')."""
    return {
        key: one.reason
        for key, one in outcomes.items()
        if key.kind == "frame" and one.state == "FAILED" and key.area in {*tiles, "-"}
    }


def _reasons(refused: Mapping[ProductKey, str]) -> dict[tuple[str, str, str], str]:
    """Why there is no product of an area, instrument and band, and ('-') of an area across bands."""
    reasons: dict[tuple[str, str, str], str] = {}
    for key, reason in sorted(refused.items()):
        reasons.setdefault((key.area, key.instrument, key.band), reason)
        reasons.setdefault((key.area, "-", "-"), reason)
    return reasons


def _place(
    rows: _Rows,
    key: ProductKey,
    is_asked: bool,
    outcomes: Mapping[ProductKey, Outcome],
    store: Store,
    reasons: Mapping[tuple[str, str, str], str],
) -> None:
    """Put a product where its state belongs."""
    outcome = outcomes.get(key)
    state = "" if outcome is None else outcome.state
    reason = "" if outcome is None else outcome.reason
    refusal = reasons.get((key.area, key.instrument, key.band))
    if state == "FAILED":
        rows.failed.append(Absent(key.area, reason))
    elif state == "NOINPUT":
        rows.no_input.append(Absent(key.area, reason))
    elif not is_asked and refusal is not None:
        rows.failed.append(Absent(key.area, refusal))
    elif not is_asked:
        rows.untouched.append(key.area)
    elif (entry := store.entry(key)) is not None:
        if entry.state == "EMPTY":
            rows.empty.append(key.area)
        else:
            rows.present.append(_present(entry))
    elif state:
        rows.failed.append(Absent(key.area, "the store has lost it"))
    else:
        rows.not_asked.append(key.area)


def _present(entry: Entry) -> Present:
    first = entry.files[0]
    cells, area_deg2 = _content(entry)
    return Present(entry.key.area, str(first["name"]), str(first["sha256"]), entry.digest, cells, area_deg2)


def _content(entry: Entry) -> tuple[int | None, float | None]:
    """Number of cells and area: of the manifest; of the headers, where it does not say; else of the file."""
    path = None if entry.summary else entry.path()
    file = open_rows(path) if path is not None and path.name.endswith(".fits") else None
    if file is not None:
        stated = file.keywords.get("OBSAREA")
        return file.count, file.count * cell_area_deg2(file.key.order) if stated is None else float(stated)
    told = entry.summary if path is None else io.summary(path)
    observed = told.get("observed_area_deg2")
    return told.get("cells"), told.get("area_deg2") if observed is None else observed


def _id_of(patch: str, release: str, order: int, series: Iterable[Series]) -> str:
    """UUID (version 5) of what the collection says."""
    content = hashlib.sha256(json.dumps([patch, release, order]).encode())
    for one in series:
        content.update(repr(one).encode())
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"vmpz:collection:{content.hexdigest()}"))
