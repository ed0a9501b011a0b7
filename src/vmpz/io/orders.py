"""A product at a coarser order, by the rule that it names itself."""

from dataclasses import replace

import numpy as np

from vmpz.io.metadata import degrade_rule_of
from vmpz.products import SUBCELL, Product
from vmpz.sky.degrading import FRACTIONAL
from vmpz.sky.skymap import SkyMap

__all__ = ["degraded"]

WEIGHED = frozenset({"MEAN", "QUAD", "LOGQUAD", "LOG", "MODE"})


def degraded(product: Product, order: int | None, weight: SkyMap | None = None) -> Product:
    """The product at `order`, the product itself if that is None or its own.

    Parameters
    ----------
    product : Product
        Its DEGRULE, or that of its kind, says how.
    order : int or None
    weight : SkyMap, optional
        Coverage of every cell, for the averaging rules; without it every listed cell weighs 1 (DEGWGT = 'NONE').

    Raises
    ------
    MapMismatchError
        The order is finer than the map's, or its rule is 'NONE': not degradable.
    """
    if order is None or order == product.key.order:
        return product
    rule = degrade_rule_of(product)
    used = weight if rule in WEIGHED else None
    maps = {}
    for name, one in product.maps.items():
        if name == SUBCELL:
            continue
        coarse = one.degrade(order, rule, used)
        kind = one.values.dtype if rule not in FRACTIONAL or one.values.dtype.kind == "f" else np.float32
        maps[name] = SkyMap(coarse.cells, coarse.values.astype(kind))
    words = {**product.keywords, "DEGRULE": rule, "DEGWGT": "NONE" if used is None else "COVERAGE"}
    return replace(product, key=replace(product.key, order=order), maps=maps, keywords=words)
