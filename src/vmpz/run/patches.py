"""Patches: merge the tile products of a store into one product per kind and band, and keep what is still right."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

from vmpz import io
from vmpz.errors import MissingProductError, VmpzError
from vmpz.make.merge import AVERAGED, merge
from vmpz.parameters import PatchParameters
from vmpz.products import Product, ProductKey, Provenance
from vmpz.run.account import Outcome
from vmpz.run.jobs import Setting, store_product
from vmpz.run.measure import versions
from vmpz.run.plan import Choice, Plan
from vmpz.run.store import Entry, Store

__all__ = ["MAP_KINDS", "make_patches", "products_of"]

MERGE_VERSION = 1
MAP_KINDS = {"footprint", "bitmask", "coverage", "effectivecoverage", "info", "depth"}


def make_patches(setting: Setting, plan: Plan, store: Store, choice: Choice) -> Iterator[Outcome]:
    """Merge every chosen kind of every band of every patch of the parameters.

    What is merged are the products that the parameters ask for, never what else an earlier run left in the store;
    the numbers (time stamps) follow from the plan alone.
    """
    number = plan.total
    for patch in setting.parameters.patches:
        areas = plan.areas if patch.all else frozenset(patch.tiles or ())
        tiles = [key for key in plan.numbers if key.area in areas and key.kind in MAP_KINDS]
        for key, sources in _groups(tiles, patch).items():
            if choice.takes_kind(key.kind):
                coverages = [one for one in tiles if one.kind == "coverage" and one.band == key.band]
                yield from _outcome(_Merge(setting, store, patch, key, areas, number), sources, coverages)
            number += 1


def _groups(keys: Iterable[ProductKey], patch: PatchParameters) -> dict[ProductKey, list[ProductKey]]:
    """Keys of tile products by the key of the patch product that they make."""
    groups: dict[ProductKey, list[ProductKey]] = {}
    for key in sorted(keys):
        order = key.order if patch.order is None else patch.order
        groups.setdefault(replace(key, area=patch.name, order=order), []).append(key)
    return dict(sorted(groups.items()))


@dataclass(frozen=True)
class _Merge:
    """One patch product at work."""

    setting: Setting
    store: Store
    patch: PatchParameters
    key: ProductKey
    areas: frozenset[str]
    number: int

    def entries(self, keys: Iterable[ProductKey]) -> list[Entry]:
        return [entry for entry in map(self.store.entry, keys) if entry is not None]


def _outcome(
    work: _Merge, sources: Iterable[ProductKey], coverages: Iterable[ProductKey]
) -> Iterator[Outcome]:
    """What became of a patch product; none if no tile has it. Tiles that lack it are told."""
    tiles = work.entries(sources)
    if not tiles:
        return
    absent = sorted(work.areas - {entry.key.area for entry in tiles})
    lacks = f"merged without {', '.join(absent)}, where there is none" if absent else ""
    try:
        entry, state = _merged(work, tiles, work.entries(coverages), lacks)
    except MissingProductError as error:
        yield Outcome(work.key, "NOINPUT", str(error))
    except VmpzError as error:
        yield Outcome(work.key, "FAILED", " | ".join([str(error), *getattr(error, "__notes__", ())]))
    else:
        yield Outcome(work.key, state, lacks, str(entry.path()))


def _merged(work: _Merge, tiles: list[Entry], coverages: list[Entry], lacks: str) -> tuple[Entry, str]:
    patch, key, parameters = work.patch, work.key, work.setting.parameters
    maps = parameters.maps.model_copy(update={"forms": patch.forms})
    first = _product_of(tiles[0])
    weights = coverages if _needs_weights(first, key) else []
    unweighted = {one.key.area for one in tiles} - {one.key.area for one in weights}
    if weights and unweighted:
        raise MissingProductError(
            f"{key}: its average needs the coverage of every tile, there is none of {', '.join(sorted(unweighted))}"
        )
    provenance = Provenance(
        "merge",
        MERGE_VERSION,
        {
            "order": key.order,
            "list_id": patch.list_id or patch.name,
            "forms": maps.model_dump(mode="json"),
        },
        {entry.key.text: entry.digest for entry in (*tiles, *weights)},
        versions(),
        work.setting.created + timedelta(microseconds=work.number),
        all(bool(entry.provenance["verified"]) for entry in tiles),
        (lacks,) if lacks else (),
    )
    old = work.store.entry(key)
    if old is not None and old.digest == provenance.digest and not old.faults():
        return old, "KEPT"
    products = [first, *(_product_of(entry) for entry in tiles[1:])]
    made = merge(products, patch.name, key.order, [_product_of(entry) for entry in weights])
    made = replace(made, keywords={**made.keywords, "LISTID": patch.list_id or patch.name})
    entry = store_product(work.store, made, provenance, parameters.model_copy(update={"maps": maps}))
    return entry, entry.state


def _needs_weights(tile: Product, key: ProductKey) -> bool:
    """Whether the coverage weighs the children of a patch product.

    Raises
    ------
    MissingProductError
        The map cannot be degraded.
    """
    rule = tile.keywords.get("DEGRULE", "NONE")
    if key.order < tile.key.order and rule == "NONE":
        raise MissingProductError(
            f"{key}: {key.statistic} of order {key.order} cannot be had from a map of order {tile.key.order}"
        )
    return key.order < tile.key.order and rule in AVERAGED


def _product_of(entry: Entry) -> Product:
    product = io.read(entry.path(".fits"))
    return replace(product, key=entry.key)


def products_of(store: Store, area: str) -> list[Product]:
    """All maps of one area of a store."""
    return [
        _product_of(entry)
        for entry in store.entries()
        if entry.key.area == area and entry.key.kind in MAP_KINDS
    ]
