"""Merge: one map of a patch from the maps of its tiles.

A cell belongs to one tile, so merging is concatenation with a check; a coarser map is made after joining, by the rule
(DEGRULE) of the product and weighted by coverage where the rule averages (`vmpz.sky.skymap.DEGRADE_RULES`).
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from vmpz.errors import MapMismatchError
from vmpz.products import Product
from vmpz.sky.skymap import SkyMap

__all__ = ["merge"]

MUST_AGREE = (
    "BITSEL", "BITTABLE", "BITTABVR", "DEGRULE", "WGTKIND", "STATIST", "SAMPLE", "INFO", "DEPTHEST", "SNRLEVEL",
    "APERDIAM", "CORRFAC", "EXTCORR", "EXTLAW", "PSFKIND", "SRCPROF", "EFFRULE", "FILTLST",
)  # fmt: skip
OF_THE_FILE = {"PRODDIG", "DATE-OBS", "DATE-END"}
SAME = 1e-6
"""Relative difference below which two numbers of headers (pixel scales, say) are one."""
ADDED = ("TILEAREA", "OBSAREA", "VISINTEG", "SFPAREA", "SFPDIFF")
WEIGHT_KINDS = {"coverage", "footprint"}
AVERAGED = {"MEAN", "QUAD", "LOGQUAD", "LOG", "MODE"}


def merge(
    products: Sequence[Product], area: str, order: int | None = None, weights: Sequence[Product] = ()
) -> Product:
    """Join tile products and degrade them.

    Parameters
    ----------
    products : sequence of Product
        Of one kind, quantity, statistic, selection, band, order and release, on disjoint cells; in any order.
    area : str
        Name of the patch.
    order : int, optional
        Order of the merged map, at most that of the tiles (the default).
    weights : sequence of Product
        Coverage (or footprint) of the same tiles: the weight of averaging rules. Without it listed children weigh 1
        (DEGWGT NONE). A parent cell without weight is left out.

    Returns
    -------
    Product
        With keywords of the inputs where they agree, areas summed, DEGWGT, TILEID -1 and LISTID; no provenance.

    Raises
    ------
    MapMismatchError
        Two products must not be merged, or a weight is no coverage of their order and band; the message names both
        and what differs. Or a product has no weight anywhere.
    """
    if not products:
        raise MapMismatchError("a merge needs at least one product, found none")
    products = sorted(products, key=lambda product: product.key)
    first = products[0]
    for other in products[1:]:
        _must_agree(first, other)
    order = first.key.order if order is None else order
    rule = str(first.keywords.get("DEGRULE", "NONE"))
    weight = _weight(products, weights) if weights and rule in AVERAGED else None
    maps = {}
    for name in first.maps:
        joined = _joined(products, name)
        degraded = joined if order == joined.order else joined.degrade(order, rule, weight)
        maps[name] = SkyMap(degraded.cells, degraded.values.astype(joined.values.dtype))
    keywords = {
        name: _common([product.keywords.get(name) for product in products])
        for name in first.keywords
        if name not in OF_THE_FILE and all(name in product.keywords for product in products)
    }
    keywords |= {
        name: math.fsum(float(product.keywords[name]) for product in products)
        for name in ADDED
        if name in keywords
    }
    keywords |= _period(products)
    if order != first.key.order:
        keywords["DEGWGT"] = "NONE" if weight is None else weights[0].key.kind.upper()
    keywords |= {"TILEID": -1, "LISTID": area}
    return Product(replace(first.key, area=area, order=order), maps, None, keywords, first.unit)


def _must_agree(one: Product, other: Product) -> None:
    if replace(one.key, area="-") != replace(other.key, area="-"):
        raise MapMismatchError(
            f"products to merge must differ in area alone: {one.key.text} and {other.key.text}"
        )
    if one.unit != other.unit:
        raise MapMismatchError(
            f"{one.key} and {other.key}: units must agree, found {one.unit!r}, {other.unit!r}"
        )
    if list(one.maps) != list(other.maps):
        raise MapMismatchError(
            f"{one.key} and {other.key}: columns must agree, found {', '.join(one.maps)} and {', '.join(other.maps)}"
        )
    zero_point = (
        () if one.key.kind == "depth" else ("MAGZERO",)
    )  # values in image units mean nothing without it
    for name in (*MUST_AGREE, *zero_point):
        if one.keywords.get(name) != other.keywords.get(name):
            raise MapMismatchError(
                f"{one.key} and {other.key}: {name} must agree, found {one.keywords.get(name)!r} and "
                f"{other.keywords.get(name)!r}"
            )


def _joined(products: Sequence[Product], name: str) -> SkyMap:
    """The maps of one column as one; two products that share a cell are named."""
    maps = [product.maps[name] for product in products]
    try:
        return SkyMap.join(maps)
    except MapMismatchError as error:
        cells = np.concatenate([one.cells.cells() for one in maps])
        order = np.argsort(cells, kind="stable")
        again = np.flatnonzero(np.diff(cells[order]) == 0)[:1]
        if not again.size:
            raise
        ends = np.cumsum([len(one) for one in maps])
        one, other = (
            products[int(np.searchsorted(ends, order[n], "right"))].key for n in (again[0], again[0] + 1)
        )
        shared = cells[order[again[0]]]
        raise MapMismatchError(
            f"{one} and {other}: cells must be disjoint, found {shared} in both"
        ) from error


def _weight(products: Sequence[Product], weights: Sequence[Product]) -> SkyMap:
    tile, kind = products[0], weights[0].key.kind
    for one in weights:
        found = one.key.kind, one.key.order, one.key.band
        wanted = kind if kind in WEIGHT_KINDS else "coverage", tile.key.order, tile.key.band
        if found != wanted:
            raise MapMismatchError(
                f"{one.key} cannot weigh {tile.key}: kind, order and band must be {wanted}, found {found}"
            )
    weight = _joined(weights, "WEIGHT")
    areas = {one.key.area for one in weights}
    for one in products:
        if one.key.area not in areas and len(one.map) and not one.map.cells & weight.cells:
            raise MapMismatchError(
                f"{one.key}: its average needs its own {kind}, found none among the weights"
            )
    return weight


def _common(values: Sequence[Any]) -> Any:
    """The value that all have; else what the header says for several: '-1', -1, or false."""
    first = values[0]
    if isinstance(first, float) and all(math.isclose(first, float(one), rel_tol=SAME) for one in values):
        return first
    if all(one == first for one in values):
        return first
    return False if isinstance(first, bool) else "-1" if isinstance(first, str) else type(first)(-1)


def _period(products: Sequence[Product]) -> dict[str, str]:
    starts = [str(product.keywords["DATE-OBS"]) for product in products if "DATE-OBS" in product.keywords]
    ends = [str(product.keywords["DATE-END"]) for product in products if "DATE-END" in product.keywords]
    known = [one for one in starts if one != "-1"], [one for one in ends if one != "-1"]
    return {
        "DATE-OBS": min(known[0], default="-1"),
        "DATE-END": max(known[1], default="-1"),
    }
