"""Writing products of jobs into the store: every form asked for, under one manifest."""

from dataclasses import replace
from pathlib import Path

from vmpz import io
from vmpz.parameters import Parameters
from vmpz.products import Product, ProductKey, Provenance
from vmpz.run.setting import forms_of
from vmpz.run.store import Entry, Store
from vmpz.run.summaries import summary_of

__all__ = ["store_product", "store_table"]


def store_product(store: Store, made: Product, provenance: Provenance, parameters: Parameters) -> Entry:
    """Write a product in every form asked for, under one manifest."""
    product = replace(
        made, keywords={**_common_keywords(made.key, parameters), **made.keywords}, provenance=provenance
    )
    maps = parameters.maps

    def files(folder: Path) -> list[Path]:
        return [
            path
            for form in forms_of(made.key.kind, maps, parameters.mangle)
            for path in io.write(product, folder, form, maps=maps, mangle=parameters.mangle)
        ]

    return store.put(made.key, provenance, files, empty=not len(product.map), summary=summary_of(product))


def store_table(store: Store, made: Product, provenance: Provenance, parameters: Parameters) -> Entry:
    """Write a product that is a table, as Parquet."""
    product = replace(made, provenance=provenance)
    return store.put(
        made.key,
        provenance,
        lambda folder: io.write(product, folder, "parquet"),
        summary=summary_of(product),
    )


def _common_keywords(key: ProductKey, parameters: Parameters) -> dict[str, str | int]:
    return {
        "INSTRUME": key.instrument if key.instrument != "-" else "-1",
        "FILTER": key.band if key.band != "-" else "-1",
        "TILEID": int(key.area) if key.area.isdigit() else -1,
        "LISTID": "-1",
        "NSIDE_WK": str(1 << parameters.maps.order),
    }
