"""Handing a patch over: its products merged from a store into a folder, in the form and at the order asked for.

Nothing of the inputs is needed any more: what is merged are the tile products that the store holds.
"""

import typing
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from vmpz.errors import InputError, MapMismatchError, MissingProductError, meant
from vmpz.io.collection import Collection, write_collection
from vmpz.parameters import Form, Parameters, PatchParameters
from vmpz.products import ProductKey
from vmpz.run.account import Account, Outcome
from vmpz.run.collection import collection_of, relevant_and_processed
from vmpz.run.instant import said_or_now
from vmpz.run.patches import PatchWork, write_patch
from vmpz.run.patchplan import MAP_KINDS, PatchJob, groups_of
from vmpz.run.store import Store

__all__ = ["Handover", "hand_over"]


@dataclass(frozen=True)
class Handover:
    """Files that were written, products that could not be made and why, and what the patch holds and lacks."""

    files: tuple[Path, ...]
    outcomes: tuple[Outcome, ...]
    collection: Collection


def hand_over(
    parameters: Parameters,
    store: Store,
    name: str,
    out: Path,
    *,
    order: int | None = None,
    form: str | None = None,
) -> Handover:
    """Merge a patch of a store into a folder; the creation instant of the files is that of the parameters, else now.

    Parameters
    ----------
    parameters : Parameters
        Of the survey; its `patches` say what the patch is.
    store : Store
    name : str
        Of the patch.
    out : Path
        Folder; made if need be.
    order : int, optional
        Instead of that of the patch.
    form : str, optional
        Instead of the forms of the patch.

    Raises
    ------
    InputError
        There is no such patch or form, or the store holds no tile of it.
    """
    patch = _patch_named(parameters, name, order, form)
    keys = [
        entry.key
        for entry in store.entries()
        if entry.key.kind in MAP_KINDS and entry.provenance.get("recipe") != "merge"  # no patch of whatever run
        and entry.key.order == parameters.maps.order and entry.key.release == parameters.survey.release
    ]  # fmt: skip
    areas = frozenset(patch.tiles or {key.area for key in keys})
    keys = [key for key in keys if key.area in areas]
    if not keys:
        raise InputError(f"{store.root}: must hold products of the tiles of patch {name}, found none")
    groups = groups_of(keys, patch)
    created = said_or_now(parameters.survey.created)
    files: list[Path] = []
    outcomes: list[Outcome] = []
    coverages: dict[str, list[ProductKey]] = {}
    for one in keys:
        if one.kind == "coverage":
            coverages.setdefault(one.band, []).append(one)
    for number, (key, tiles) in enumerate(groups.items()):
        bands = relevant_and_processed(
            key, dict.fromkeys(groups, True), selected=parameters.survey.bands or ()
        )
        weights = tuple(coverages.get(key.band, ()))
        job = PatchJob(patch, key, tuple(tiles), weights, areas, number, bands)
        try:
            files += write_patch(PatchWork(parameters, created, store, job), out)
        except MissingProductError as error:
            outcomes.append(Outcome(key, "NOINPUT", str(error)))
        except MapMismatchError as error:
            outcomes.append(Outcome(key, "FAILED", str(error)))
    expected = [replace(tiles[0], area=area) for tiles in groups.values() for area in areas]
    told = Account.read(store.root).outcomes
    collection = collection_of(
        name, parameters.survey.release, patch.order or parameters.maps.order, expected, told, store, areas
    )
    files += write_collection(collection, out, created + timedelta(microseconds=len(groups)))
    return Handover(tuple(files), tuple(outcomes), collection)


def _patch_named(parameters: Parameters, name: str, order: int | None, form: str | None) -> PatchParameters:
    patches = {patch.name: patch for patch in parameters.patches}
    _must_be_one_of("a patch", name, list(patches))
    if order is not None and order > parameters.maps.order:
        raise InputError(
            f"a map of order {parameters.maps.order} cannot be degraded to order {order}: it is finer"
        )
    changed: dict[str, object] = {} if order is None else {"order": order}
    if form is not None:
        _must_be_one_of("a form of a patch", form, typing.get_args(Form))
        changed["forms"] = [form]
    return patches[name].model_copy(update=changed)


def _must_be_one_of(what: str, found: str, known: Sequence[str]) -> None:
    if found not in known:
        raise InputError(
            f"{what} must be one of {', '.join(known) or 'none'}, found {found}{meant(found, known)}"
        )
