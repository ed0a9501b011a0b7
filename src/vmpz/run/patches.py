"""Patches: merge the tile products of a store into one product per kind and band, and keep what is still right."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta

from vmpz import io
from vmpz.errors import MapMismatchError, MissingProductError, VmpzError
from vmpz.make.merge import AVERAGED, merge
from vmpz.parameters import PatchParameters
from vmpz.products import Product, ProductKey, Provenance
from vmpz.run.account import Outcome
from vmpz.run.jobs import Setting, store_product
from vmpz.run.measure import versions
from vmpz.run.plan import Plan
from vmpz.run.store import Entry, Store

__all__ = ["MAP_KINDS", "make_patches", "products_of"]

MERGE_VERSION = 1
MAP_KINDS = {"footprint", "bitmask", "coverage", "effectivecoverage", "info", "depth"}


def make_patches(setting: Setting, plan: Plan, store: Store) -> Iterator[Outcome]:
    """Merge every product kind and band of every patch of the parameters."""
    areas = {job.area for job in plan.jobs}
    number = 1 + max((n for job in plan.jobs for n in job.numbers.values()), default=0)
    for patch in setting.parameters.patches:
        chosen = areas if patch.all else set(patch.tiles or ())
        entries = [
            entry for entry in store.entries() if entry.key.area in chosen and entry.key.kind in MAP_KINDS
        ]
        for key, group in _groups(entries, patch).items():
            yield _merged(setting, store, patch, key, group, entries, number)
            number += 1


def _groups(entries: Iterable[Entry], patch: PatchParameters) -> dict[ProductKey, list[Entry]]:
    groups: dict[ProductKey, list[Entry]] = {}
    for entry in entries:
        order = entry.key.order if patch.order is None else patch.order
        groups.setdefault(replace(entry.key, area=patch.name, order=order), []).append(entry)
    return dict(sorted(groups.items()))


def _merged(
    setting: Setting,
    store: Store,
    patch: PatchParameters,
    key: ProductKey,
    group: list[Entry],
    entries: list[Entry],
    number: int,
) -> Outcome:
    try:
        products = [_product_of(entry) for entry in group]
        weights = []
        if products[0].keywords.get("DEGRULE") in AVERAGED and key.order < products[0].key.order:
            weights = [
                entry for entry in entries if entry.key.kind == "coverage" and entry.key.band == key.band
            ]
        inputs = {entry.key.text: entry.digest for entry in (*group, *weights)}
        section = {
            "order": key.order,
            "forms": setting.parameters.maps.model_dump(mode="json") | {"forms": patch.forms},
        }
        provenance = Provenance(
            "merge",
            MERGE_VERSION,
            section,
            inputs,
            versions(),
            setting.created + timedelta(microseconds=number),
            all(bool(entry.provenance["verified"]) for entry in group),
        )
        old = store.entry(key)
        if old is not None and old.digest == provenance.digest:
            return Outcome(key, "KEPT", path=str(old.path()))
        made = merge(products, patch.name, key.order, [_product_of(entry) for entry in weights])
        made = replace(made, keywords={**made.keywords, "LISTID": patch.list_id or patch.name})
        maps = setting.parameters.maps.model_copy(update={"forms": patch.forms})
        entry = store_product(store, made, provenance, setting.parameters.model_copy(update={"maps": maps}))
    except MissingProductError as error:
        return Outcome(key, "NOINPUT", str(error))
    except MapMismatchError as error:
        return Outcome(key, "NOINPUT" if "not degradable" in str(error) else "FAILED", str(error))
    except VmpzError as error:
        return Outcome(key, "FAILED", str(error))
    return Outcome(key, entry.state, path=str(entry.path()))


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
