"""Merge: one map of a patch from the maps of its tiles.

**Definition.** A cell belongs to one tile, so merging is concatenation with a check: a cell that two products list is
an error that names both. A coarser map is made after joining, by the rule (DEGRULE) of the product, weighted by the
coverage of the same band where the rule averages.

| DEGRULE | value of a parent (w = coverage of the child, absent = 0) |
| --- | --- |
| COVERAGE | ``sum(f) / 4**dk``, an absent child counts as 0 |
| SUM | sum |
| MEAN, QUAD | ``sum(w x) / sum(w)``; ``sqrt(sum(w x**2) / sum(w))`` |
| LOGQUAD | ``-2.5 log10 sqrt(sum(w 10**(-0.8 m)) / sum(w))``: depth |
| LOG | ``-2.5 log10(sum(w 10**(-0.4 m)) / sum(w))`` |
| MIN, MAX, OR | extremes; union of bit sets |
| MODE | value of largest weight, the lowest on ties |
| NONE | not degradable: remade from cell statistics |

**Keywords** are those that all products share; areas are summed; DEGWGT names the weight (COVERAGE, FOOTPRINT, NONE);
TILEID is -1; LISTID names the patch; MIXED lists what differs where that was allowed.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from vmpz.errors import MapMismatchError
from vmpz.make.agreement import Agreement, Head
from vmpz.make.joining import (
    AVERAGED,
    MOST_LOADED,
    MergePlan,
    Source,
    Words,
    cells_in,
    places_of,
    rows_of,
)
from vmpz.products import SUBCELL, Product, ProductKey, Scalar
from vmpz.sky.cells import CellSet
from vmpz.sky.degrading import FRACTIONAL
from vmpz.sky.skymap import SkyMap

__all__ = ["Merge", "head_of", "merge", "source_of"]

WEIGHT_KINDS = ("coverage", "footprint")


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

    Examples
    --------
    >>> from vmpz import CellSet, Product, ProductKey, SkyMap, merge
    >>> def tile(area, start):
    ...     values = SkyMap(CellSet.from_ranges(12, [(start, start + 16)]), [0.5] * 16)
    ...     words = {"WGTKIND": "OBSFRAC", "DEGRULE": "COVERAGE"}
    ...     return Product(ProductKey(area, "coverage", band="VIS", order=12), {"WEIGHT": values}, keywords=words)
    >>> patch = merge([tile("one", 0), tile("two", 16)], "both", order=10)
    >>> patch.map.values, patch.map.cells.ranges.tolist()
    (array([0.5, 0.5]), [[0, 2]])
    """
    tiles, shares = Merge(), Merge()
    for product in products:
        tiles.agreement.add(head_of(product))
    for one in weights:
        shares.agreement.add(head_of(one))
    plan = tiles.plan(order, shares)
    weight = None if plan.weight_type is None else _joined(weights, "WEIGHT")
    if weight is not None:
        _must_be_weighed(products, weights, weight)
    maps = {}
    for name in products[0].maps:
        if name == SUBCELL and plan.out_order < plan.order:
            continue
        joined = _joined(products, name)
        coarse = (
            joined if plan.out_order == joined.order else joined.degrade(plan.out_order, plan.rule, weight)
        )
        maps[name] = SkyMap(coarse.cells, coarse.values.astype(joined.values.dtype, copy=False))
    words = tiles.keywords(area, plan, shares)
    return Product(tiles.agreement.key(area, plan.out_order), maps, None, words, tiles.agreement.unit)


def _must_be_weighed(products: Sequence[Product], weights: Sequence[Product], weight: SkyMap) -> None:
    areas = {one.key.area for one in weights}
    for one in products:
        if one.key.area not in areas and len(one.map) and not one.map.cells & weight.cells:
            raise _unweighed(str(one.key), weights[0].key.kind)


def _unweighed(name: str, kind: str) -> MapMismatchError:
    return MapMismatchError(f"{name}: its average needs its own {kind}, found none among the weights")


def _joined(products: Sequence[Product], name: str) -> SkyMap:
    """The maps of one column as one; two products that share a cell are named."""
    maps = [product.maps[name] for product in products]
    twice = CellSet.shared([one.cells for one in maps])
    if twice is not None:
        one, other = sorted(str(products[place].key) for place in twice[:2])
        raise MapMismatchError(f"{one} and {other}: cells must be disjoint, found {twice[2]} in both")
    return SkyMap.join(maps)


class Merge:
    """Products to be merged: what they agree in, and their rows.

    Parameters
    ----------
    allow_mixed : bool
        See `Agreement`.
    """

    def __init__(self, allow_mixed: bool = False) -> None:
        self.agreement = Agreement(allow_mixed)
        self.sources: list[Source] = []
        self._known: set[tuple[ProductKey, str]] = set()

    def add(self, head: Head, source: Source) -> None:
        """One more product; one that is there already, to the last row and under whatever name, counts once.

        Raises
        ------
        MapMismatchError
            It must not be merged with the others; the message names two.
        """
        if source.identity and (source.key, source.identity) in self._known:
            return
        self._known.add((source.key, source.identity))
        self.agreement.add(head)
        self.sources.append(source)

    @property
    def head(self) -> Head:
        """Head of the first product.

        Raises
        ------
        MapMismatchError
            There is none.
        """
        if self.agreement.first is None:
            raise MapMismatchError("a merge needs at least one product, found none")
        return self.agreement.first

    @property
    def rule(self) -> str:
        """Degrade rule."""
        return str(self.head.keywords.get("DEGRULE", "NONE"))

    def plan(self, order: int | None, shares: "Merge", region: CellSet | None = None) -> MergePlan:
        """How these products are merged.

        Parameters
        ----------
        order : int, optional
            Of the result; default that of the products.
        shares : Merge
            Their weights; of no use unless the rule averages and the order is coarser.
        region : CellSet, optional
            Cells of the products' order that count.

        Raises
        ------
        MapMismatchError
            The order is finer than that of the products, the rule is NONE or would make fractions of whole numbers, a
            weight is no coverage of their order and band, or a product has no weight anywhere.
        """
        own = self.head.key.order
        order = own if order is None else order
        if order > own:
            raise MapMismatchError(f"a map of order {own} cannot be degraded to order {order}")
        if order < own and self.rule == "NONE":
            raise MapMismatchError(
                f"{self.head.name}: this map is not degradable (DEGRULE NONE), remake it from cell statistics"
            )
        row_type = self.head.row_type
        values = [name for name in (row_type.names or ())[1:] if name != SUBCELL]
        whole = [name for name in values if row_type[name].kind in "iu"]
        if order < own and whole and self.rule in FRACTIONAL:
            raise MapMismatchError(
                f"{self.head.name}: {whole[0]} must hold floats to be degraded by {self.rule}, found whole numbers"
            )
        weighed = shares.agreement.first is not None and self.rule in AVERAGED and order < own
        if weighed:
            self._must_be_weighed(shares)
        weight_type = shares.head.row_type if weighed else None
        return MergePlan(own, order, self.rule, row_type, weight_type, region)

    def keywords(self, area: str, plan: MergePlan, shares: "Merge") -> dict[str, Scalar]:
        """Keywords of the result."""
        words = self.agreement.keywords(area)
        if plan.out_order < plan.order:
            words["DEGWGT"] = "NONE" if plan.weight_type is None else shares.head.key.kind.upper()
        return words

    def _must_be_weighed(self, shares: "Merge") -> None:
        tile, kind = self.head.key, shares.head.key.kind
        wanted = kind if kind in WEIGHT_KINDS else "coverage", tile.order, tile.band
        found = kind, shares.head.key.order, shares.head.key.band
        if found != wanted:
            raise MapMismatchError(
                f"{shares.head.name} cannot weigh {self.head.name}: kind, order and band must be {wanted}, "
                f"found {found}"
            )
        areas = {one.key.area for one in shares.sources}
        once = lru_cache(MOST_LOADED)(lambda place: shares.sources[place].load())
        for source in self.sources:
            if source.key.area not in areas and source.places and not _meet(source, shares.sources, once):
                raise _unweighed(source.name, kind)


def _meet(source: Source, others: Sequence[Source], rows_of_other: Callable[[int], Words]) -> bool:
    """Whether a product shares a cell with others."""
    blocks = {block for block, _, _ in source.places}
    mine = cells_in(source.load())
    return any(
        np.isin(mine, cells_in(rows_of_other(place)[first:end])).any()
        for place, other in enumerate(others)
        for block, first, end in other.places
        if block in blocks
    )


# -- products in memory -----------------------------------------------------------------------------------------------


def head_of(product: Product, name: str = "", convention: str = "OBSERVED") -> Head:
    """Head of a product; `name` instead of its key in messages."""
    return Head(
        name or str(product.key), product.key, product.keywords, product.unit, _row_type(product), convention
    )


def source_of(product: Product, name: str = "", identity: str = "") -> Source:
    """Rows of a product in memory."""
    if any(one.cells != product.map.cells for one in product.maps.values()):
        raise MapMismatchError(f"{name or product.key}: all columns must list the same cells")
    records = np.empty(len(product.map), _row_type(product))
    records["PIXEL"] = product.map.cells.cells()
    for column, one in product.maps.items():
        records[column] = one.values
    rows = rows_of(records)
    return Source(
        name or str(product.key), product.key, identity, places_of(rows, product.key.order), lambda: rows
    )


def _row_type(product: Product) -> np.dtype[Any]:
    """Big-endian record of the columns; every type is widened to one of 4 or 8 bytes."""
    fields: list[tuple[str, Any]] = [("PIXEL", ">i8")]
    for name, one in product.maps.items():
        kind = one.values.dtype
        wide = (
            kind
            if kind.itemsize in (4, 8)
            else np.result_type(kind, np.float32 if kind.kind == "f" else np.int32)
        )
        fields.append((name, wide.newbyteorder(">")))
    return np.dtype(fields)
