"""Merge: one map of a patch from the maps of its tiles.

A cell belongs to one tile, so merging is concatenation with a check; a coarser map is made after joining, by the rule
(DEGRULE) of the product and weighted by coverage where the rule averages (`vmpz.sky.skymap.DEGRADE_RULES`).
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vmpz.errors import MapMismatchError
from vmpz.products import Product
from vmpz.sky.skymap import SkyMap

__all__ = ["merge"]

MUST_AGREE = (
    "BITSEL", "BITTABLE", "BITTABVR", "DEGRULE", "WGTKIND", "STATIST", "SAMPLE", "INFO", "DEPTHEST", "SNRLEVEL",
    "APERDIAM", "CORRFAC", "EXTCORR", "EXTLAW", "PSFKIND", "SRCPROF", "MAGZERO", "EFFRULE", "FILTLST",
)  # fmt: skip
ADDED = ("TILEAREA", "OBSAREA", "VISINTEG", "SFPAREA", "SFPDIFF")
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
        Coverage of the same tiles: the weight of averaging rules. Without it listed children weigh 1 (DEGWGT NONE).

    Returns
    -------
    Product
        With keywords of the inputs where they agree, areas summed, DEGWGT, TILEID -1 and LISTID; no provenance.

    Raises
    ------
    MapMismatchError
        Two products must not be merged; the message names both and what differs.
    """
    if not products:
        raise MapMismatchError("a merge needs at least one product, found none")
    products = sorted(products, key=lambda product: product.key)
    first = products[0]
    for other in products[1:]:
        _must_agree(first, other)
    order = first.key.order if order is None else order
    rule = str(first.keywords.get("DEGRULE", "NONE"))
    weight = SkyMap.join([product.map for product in weights]) if weights and rule in AVERAGED else None
    maps = {}
    for name in first.maps:
        joined = SkyMap.join([product.maps[name] for product in products])
        degraded = joined if order == joined.order else joined.degrade(order, rule, weight)
        maps[name] = SkyMap(degraded.cells, degraded.values.astype(joined.values.dtype))
    keywords = {name: value for name, value in first.keywords.items() if name not in ADDED}
    keywords |= {
        name: float(np.sum([product.keywords[name] for product in products]))
        for name in ADDED
        if all(name in product.keywords for product in products)
    }
    keywords |= _period(products)
    if order != first.key.order:
        keywords["DEGWGT"] = "NONE" if weight is None else "COVERAGE"
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
    for name in MUST_AGREE:
        if one.keywords.get(name) != other.keywords.get(name):
            raise MapMismatchError(
                f"{one.key} and {other.key}: {name} must agree, found {one.keywords.get(name)!r} and "
                f"{other.keywords.get(name)!r}"
            )


def _period(products: Sequence[Product]) -> dict[str, str]:
    starts = [str(product.keywords["DATE-OBS"]) for product in products if "DATE-OBS" in product.keywords]
    ends = [str(product.keywords["DATE-END"]) for product in products if "DATE-END" in product.keywords]
    known = [one for one in starts if one != "-1"], [one for one in ends if one != "-1"]
    return {
        "DATE-OBS": min(known[0], default="-1"),
        "DATE-END": max(known[1], default="-1"),
    }
