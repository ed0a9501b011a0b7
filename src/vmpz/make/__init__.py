"""Makers: pure functions from cell statistics, outlines, scalars and parameters to products.

`RECIPES` is the table of products: kind -> how its keys, needs and maps are made. A new product is a maker
file, a parameter model and one row here. `needs` adds up what the pass must read and count for a list of
keys."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_
from typing import Any, Literal

from vmpz.bits import BitTable
from vmpz.frames import FrameRef
from vmpz.make import bitmask, coverage, depth, effective, footprint, info, visibility
from vmpz.make.needs import PassNeeds, table_for
from vmpz.make.outside import Outside
from vmpz.parameters import Parameters
from vmpz.products import ProductKey

__all__ = ["RECIPES", "PassNeeds", "Recipe", "needs"]


def _nothing(key: ProductKey, parameters: Parameters) -> dict[str, Outside]:
    return {}


@dataclass(frozen=True)
class Recipe:
    """How one kind of product is made.

    Attributes
    ----------
    kind : str
    version : int
        Raised when the same inputs and parameters give another result; part of the digest.
    scope : {'band', 'tile'}
        A band product is made from the statistics of one band, ``make(key, frame, statistics, parameters, maps)``;
        a tile product crosses bands and instruments, see its maker.
    keys : callable
        ``(ref, parameters)`` -> the keys of this kind, one per product.
    needs : callable
        ``(key, ref, parameters)`` -> `PassNeeds`.
    section : callable
        ``(key, ref, parameters)`` -> the parameters that enter the digest, ready for JSON.
    make : callable
        -> `Product` without provenance (of a table, its columns). Raises MissingProductError where the frame cannot
        give it (state NOINPUT).
    outside : callable
        ``(key, parameters)`` -> what `make` wants from outside the survey, by name.
    """

    kind: str
    version: int
    scope: Literal["band", "tile"]
    keys: Callable[[FrameRef, Parameters], list[ProductKey]]
    needs: Callable[[ProductKey, FrameRef, Parameters], PassNeeds]
    section: Callable[[ProductKey, FrameRef, Parameters], dict[str, Any]]
    make: Callable[..., Any]
    outside: Callable[[ProductKey, Parameters], Mapping[str, Outside]] = _nothing


RECIPES: dict[str, Recipe] = {
    recipe.kind: recipe
    for recipe in (
        Recipe("footprint", 1, "band", footprint.keys, footprint.needs, footprint.section, footprint.make),
        Recipe("bitmask", 1, "band", bitmask.keys, bitmask.needs, bitmask.section, bitmask.make),
        Recipe("coverage", 1, "band", coverage.keys, coverage.needs, coverage.section, coverage.make),
        Recipe("info", 1, "band", info.keys, info.needs, info.section, info.make, info.wanted),
        Recipe("depth", 1, "band", depth.keys, depth.needs, depth.section, depth.make, depth.wanted),
        Recipe(
            "effectivecoverage", 1, "tile", effective.keys, effective.needs, effective.section, effective.make
        ),
        Recipe(
            "visibility",
            1,
            "tile",
            visibility.keys,
            visibility.needs,
            visibility.section,
            visibility.make,
            visibility.wanted,
        ),
        Recipe(
            "redshifts",
            1,
            "tile",
            visibility.redshift_keys,
            visibility.needs,
            visibility.section,
            visibility.redshifts,
            visibility.wanted,
        ),
    )
}
"""All products by kind."""


def needs(
    keys: Iterable[ProductKey], ref: FrameRef, parameters: Parameters, table: BitTable | None = None
) -> PassNeeds:
    """What one pass over the frame must read and count so that all these products can be made.

    Parameters
    ----------
    keys : iterable of ProductKey
        Of this frame's area; tile products too.
    ref : FrameRef
    parameters : Parameters
    table : BitTable, optional
        The table of the opened frame (`needs.table_in`), where its header has the last word on bit numbers.
    """
    wanted = reduce(or_, (RECIPES[key.kind].needs(key, ref, parameters) for key in keys), PassNeeds())
    if table is None or table == table_for(ref, parameters):
        return wanted

    def again(selection: Any) -> Any:
        return None if selection is None else table.select(selection.names)

    return replace(
        wanted,
        selections=frozenset(again(one) for one in wanted.selections),
        good=again(wanted.good),
        keep_good=again(wanted.keep_good),
    )
