"""Masks: where an expression on maps holds, the area that its terms cost, intersections of several bands.

**Definition.** A mask is the set of cells where an expression (`vmpz.make.expressions`) is true; what is unknown never
enters. As a product it is a footprint: 1 in every cell of the mask, or the observed fraction of a named coverage there.
An arithmetic expression gives a map of its values: the minimum or the product of several coverages is an effective
coverage (EFFRULE MIN or PRODUCT), that of several footprints a footprint; any other is an info map named Expression.

**Order.** The expression is evaluated at the order of the finest map, or at the one asked for. A map coarser than that
gives its value to all children, as values are intensive; a finer one is degraded first by its own rule (DEGRULE),
averages weighted by coverage where that is known; of a set every parent that it touches counts.

**Where.** Cells are those of any of the maps, or those of one that is named. An expression of bare names alone that
holds where there is nothing (``~A``) is one about the whole sky.

**Areas** are sums of whole cells, or of observed area where a coverage is named. Of every term of a top-level `and` is
told what it removes by itself, what no other term removes, and what is left after it and those before it.

**Intersection** of B bands: always ``max(0, sum f_b - (B - 1)) <= f <= min f_b``. MIN is the upper bound; PRODUCT is
right where holes of different bands are independent; the joint fraction itself is only had from pixels.

**Unit** none; **keywords** WGTKIND = OBSFRAC, DEGRULE = COVERAGE, TILEAREA (of all cells) and OBSAREA in deg2, FILTLST,
MASKEXPR (the expression), EFFRULE.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import and_
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError, MapMismatchError
from vmpz.make.effective import combined_map
from vmpz.make.expressions import TRUE, Expression, ExpressionError, Node, number_of, truth_of
from vmpz.make.scene import Layer, Pieces, Scene
from vmpz.make.values import coverage_keywords
from vmpz.products import Product, ProductKey, Scalar
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap

__all__ = ["Areas", "TermArea", "area_curve", "even_cuts", "intersection", "mask", "mask_product"]

MOST_CELLS = 1 << 28
"""Largest number of cells of a mask."""
MOST_CUTS = 10_000
COMBINED = {"footprint": "footprint", "coverage": "effectivecoverage"}
"""Kind of the intersection of several bands of a kind."""
COVERAGE_TYPE = {"footprint", "coverage", "effectivecoverage"}
SHARED = ("TELESCOP", "LISTID", "SKYPATCH", "INREL")

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TermArea:
    """What one term of an `and` costs, deg2: removed by it alone, removed by no other term, left after it."""

    term: str
    removes_deg2: float
    only_deg2: float
    left_deg2: float


@dataclass(frozen=True)
class Areas:
    """Area of all cells and of the mask, deg2, and what each term costs."""

    within_deg2: float
    kept_deg2: float
    terms: tuple[TermArea, ...] = ()


def mask(
    expression: Expression, scene: Scene, *, weight: str | None = None, fraction: bool = False
) -> tuple[SkyMap, Areas]:
    """Evaluate an expression.

    Parameters
    ----------
    expression : Expression
    scene : Scene
        Of every map that is named.
    weight : str, optional
        Name of the coverage in which areas are counted; without it every cell counts whole.
    fraction : bool
        The mask holds the values of `weight` (cells of value 0 are left out), not 1.

    Returns
    -------
    SkyMap
        float32; of an arithmetic expression its values where they are finite.
    Areas

    Raises
    ------
    InputError
        The weight is no fraction, or the mask has too many cells.
    """
    _must_be_fraction(scene, weight)
    terms = expression.terms if expression.is_logical(scene.fractions) else ()
    tally, found = _Tally(len(terms)), _Found(scene.order)
    for pieces in scene.pieces():
        truths = _truths(terms, pieces)
        values = np.ones(pieces.start.size, np.float32)
        if not terms:
            values = _in_float32(number_of(expression.root, pieces.maps))
        elif fraction and weight is not None:
            values = _in_float32(pieces.maps[weight].values)
        kept: Flags = np.isfinite(values) & truths.all(axis=0)
        tally.add(_cells_of(pieces, weight), truths, kept)
        found.add(pieces, values, kept & (values > 0) if fraction else kept)
    return found.map(), tally.areas(terms, hpx.cell_area_deg2(scene.order))


def _must_be_fraction(scene: Scene, weight: str | None) -> None:
    if weight is not None and weight not in scene.fractions:
        raise InputError(
            f"the weight must be a coverage or a footprint, found {weight}, which is no fraction"
        )


def _in_float32(values: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def _truths(terms: Sequence[Node], pieces: Pieces) -> Flags:
    """Where each term is true, (terms, pieces)."""
    return np.array([truth_of(term, pieces.maps) == TRUE for term in terms], bool).reshape(
        len(terms), pieces.start.size
    )


def _cells_of(pieces: Pieces, weight: str | None) -> Floats:
    """Cells of each piece, by their observed fraction if there is a weight."""
    length = pieces.length.astype(np.float64)
    return length if weight is None else length * pieces.maps[weight].values


class _Tally:
    """Sums of cells: of all, of those kept, and of what every term removes and leaves."""

    def __init__(self, terms: int) -> None:
        self.within = self.kept = 0.0
        self.removed, self.only, self.left = np.zeros((3, terms))

    def add(self, cells: Floats, truths: Flags, kept: Flags) -> None:
        alone = ~truths & (np.count_nonzero(truths, axis=0) == len(truths) - 1)
        self.within += float(cells.sum())
        self.kept += float(cells[kept].sum())
        self.removed += np.where(truths, 0.0, cells).sum(axis=1)
        self.only += np.where(alone, cells, 0.0).sum(axis=1)
        self.left += np.where(np.logical_and.accumulate(truths, axis=0), cells, 0.0).sum(axis=1)

    def areas(self, terms: Sequence[Node], cell_deg2: float) -> Areas:
        columns = np.stack((self.removed, self.only, self.left), axis=1) * cell_deg2
        rows = tuple(TermArea(term.text, *row) for term, row in zip(terms, columns.tolist(), strict=True))
        return Areas(self.within * cell_deg2, self.kept * cell_deg2, rows)


class _Found:
    """Pieces of a mask and their values."""

    def __init__(self, order: int) -> None:
        self.order, self.count = order, 0
        self.ranges = [np.empty((0, 2), np.int64)]
        self.values = [np.empty(0, np.float32)]

    def add(self, pieces: Pieces, values: NDArray[np.float32], kept: Flags) -> None:
        start, length = pieces.start[kept], pieces.length[kept]
        self.count += int(length.sum())
        if self.count > MOST_CELLS:
            raise InputError(
                f"a mask must have at most {MOST_CELLS} cells, found more at order {self.order}: "
                "ask for a coarser order or a smaller area"
            )
        touching = CellSet.from_ranges(self.order, np.stack((start, start + length), axis=1))
        self.ranges.append(touching.ranges)
        self.values.append(np.repeat(values[kept], length))

    def map(self) -> SkyMap:
        return SkyMap(
            CellSet.from_ranges(self.order, np.concatenate(self.ranges)), np.concatenate(self.values)
        )


# -- area against cut -------------------------------------------------------------------------------------------------


def area_curve(
    expression: Expression, scene: Scene, name: str, cuts: Sequence[float], *, weight: str | None = None
) -> list[tuple[float, float]]:
    """Area that is kept as the cut on one map varies, all other terms as they are.

    Parameters
    ----------
    expression : Expression
        The number of its term that cuts on the map is replaced by each of the cuts; where no term does, the cut is
        ``name >= cut``.
    scene : Scene
    name : str
    cuts : sequence of float
    weight : str, optional
        See `mask`.

    Returns
    -------
    list of (cut, area in deg2)
        Ascending.

    Raises
    ------
    ExpressionError
        The expression is arithmetic, or several terms cut on the map.
    """
    _must_be_fraction(scene, weight)
    operator, others = _varied(expression, scene, name)
    places = np.array(sorted(cuts), np.float64)
    sums = np.zeros(places.size + 1)
    side: Any = "left" if operator in (">", "<=") else "right"
    for pieces in scene.pieces():
        values = pieces.maps[name].values
        counted = _truths(others, pieces).all(axis=0) & ~np.isnan(values)
        with np.errstate(over="ignore"):
            place = np.searchsorted(places.astype(values.dtype), values[counted], side=side)
        sums += np.bincount(place, _cells_of(pieces, weight)[counted], places.size + 1)
    above = np.cumsum(sums[::-1])[::-1][1:]
    kept = above if operator in (">", ">=") else np.cumsum(sums)[:-1]
    area = kept * hpx.cell_area_deg2(scene.order)
    return list(zip(places.tolist(), area.tolist(), strict=True))


def _varied(expression: Expression, scene: Scene, name: str) -> tuple[str, list[Node]]:
    """The operator of the term that cuts on a map, and the other terms."""
    if not expression.is_logical(scene.fractions):
        raise ExpressionError(f"an area against a cut needs a cut, found the arithmetic {expression.text!r}")
    cuts = [(term, term.cut_on(name)) for term in expression.terms]
    operators = [operator for _, operator in cuts if operator is not None]
    if len(operators) > 1:
        raise ExpressionError(
            f"one term of {expression.text!r} at most must cut on {name}, found {len(operators)}"
        )
    return "".join(operators) or ">=", [term for term, operator in cuts if operator is None]


def even_cuts(start: float, stop: float, step: float | None = None) -> list[float]:
    """Cuts from `start` to `stop`, at steps of 1, 2 or 5 times a power of ten where none is given.

    Raises
    ------
    InputError
        The step is not positive, the end lies before the start, or there are too many cuts.
    """
    if step is None:
        rough = max(stop - start, 1e-9) / 25
        power = 10.0 ** np.floor(np.log10(rough))
        step = float(next(one for one in (1, 2, 5, 10) if one * power >= rough) * power)
        start, stop = np.floor(start / step) * step, np.ceil(stop / step) * step
    if not (step > 0 and start <= stop < np.inf and (stop - start) / step < MOST_CUTS):
        raise InputError(
            f"cuts must ascend by a positive step, {MOST_CUTS} at most; found {start:g} to {stop:g} by {step:g}"
        )
    count = int(np.floor((stop - start) / step + 1e-9)) + 1
    return [float(f"{start + place * step:.12g}") for place in range(count)]


# -- products ---------------------------------------------------------------------------------------------------------


def mask_product(
    values: SkyMap, expression: Expression, layers: Mapping[str, Layer], scene: Scene, area: str
) -> Product:
    """The product of a mask, without provenance.

    Parameters
    ----------
    values : SkyMap
        Of `mask`.
    expression : Expression
    layers : mapping of str to Layer
        Every map that it names, and the weight.
    scene : Scene
    area : str
        Of the key.
    """
    products = [layer.product for layer in layers.values()]
    named = [layers[name].product for name in expression.names]
    if expression.is_logical(scene.fractions):
        made = _fractions(values, "footprint", products, scene.within, area)
    elif expression.combination and {one.key.kind for one in named} <= COVERAGE_TYPE:
        rule, kinds = expression.combination[0], {one.key.kind for one in named}
        kind = "footprint" if kinds == {"footprint"} else "effectivecoverage"
        made = _combined(values, kind, rule, named, scene.within, area)
    else:
        key = _key(products, "info", area, scene.order, quantity="Expression", statistic="VALUE")
        made = Product(
            key, {"WEIGHT": values}, keywords={**_keywords(products), "WGTKIND": "VALUE", "DEGRULE": "NONE"}
        )
    return replace(made, keywords={**made.keywords, "MASKEXPR": expression.text})


def intersection(products: Sequence[Product], rule: str) -> Product:
    """Footprint or coverage of several bands as one product, from the bands' maps.

    Parameters
    ----------
    products : sequence of Product
        Footprints, or coverages, of different bands, of one area, order and release.
    rule : {'MIN', 'PRODUCT'}

    Returns
    -------
    Product
        A footprint or an effective coverage: float32, cells of value 0 left out; FILTER is -1, FILTLST, BANDREL and
        BANDPRC list the bands as given; EFFRULE is the rule. No provenance.

    Raises
    ------
    MapMismatchError
        The products differ in more than the band, or two are of one band.
    InputError
        There is none, they are of another kind, or the rule is another.
    """
    kinds = {product.key.kind for product in products}
    if not products or not kinds <= set(COMBINED):
        raise InputError(
            f"footprints or coverages must be given to intersect, found {', '.join(kinds) or 'none'}"
        )
    first = products[0].key
    for other in (product.key for product in products[1:]):
        for name in ("kind", "area", "order", "release"):
            if getattr(first, name) != getattr(other, name):
                raise MapMismatchError(
                    f"{first} and {other}: {name} must agree, found {getattr(first, name)} and {getattr(other, name)}"
                )
    bands = [product.key.band for product in products]
    if len(set(bands)) < len(bands):
        raise MapMismatchError(f"{first}: bands to intersect must differ, found {', '.join(bands)}")
    shared = reduce(and_, (product.map.cells for product in products))
    values = combined_map([product.map for product in products], rule, shared)
    whole = CellSet.union(product.map.cells for product in products)
    made = _combined(values, COMBINED[first.kind], rule, products, whole, first.area)
    own = {product.keywords.get("TILEAREA", whole.area_deg2) for product in products}
    return replace(made, keywords={**made.keywords, "TILEAREA": max(own)})


def _combined(
    values: SkyMap, kind: str, rule: str, products: Sequence[Product], cells: CellSet, area: str
) -> Product:
    made = _fractions(values.where(values.values > 0), kind, products, cells, area)
    return replace(made, keywords={**made.keywords, "EFFRULE": rule})


def _fractions(values: SkyMap, kind: str, products: Sequence[Product], cells: CellSet, area: str) -> Product:
    keywords = {**_keywords(products), **coverage_keywords(cells, values)}
    return Product(_key(products, kind, area, values.order), {"WEIGHT": values}, keywords=keywords)


def _key(products: Sequence[Product], kind: str, area: str, order: int, **fields: str) -> ProductKey:
    """A key with what all products share; of several bands '-'."""
    bands = _bands(products)
    banded = [product.key for product in products if product.key.band != "-"]
    return ProductKey(
        area,
        kind,
        instrument=_one({key.instrument for key in banded}) if len(bands) == 1 else "-",
        band=_one(set(bands)),
        order=order,
        release=_one({product.key.release for product in products}),
        **fields,
    )


def _one(values: set[str]) -> str:
    return next(iter(values)) if len(values) == 1 else "-"


def _bands(products: Sequence[Product]) -> list[str]:
    """Bands of products in their order, those of FILTLST too."""
    found: list[str] = []
    for product in products:
        listed = str(product.keywords.get("FILTLST", "-1")).split(",")
        found += [product.key.band] if product.key.band != "-" else [one for one in listed if one != "-1"]
    return list(dict.fromkeys(found))


def _keywords(products: Sequence[Product]) -> dict[str, Scalar]:
    """Keywords that all products share, their period, their bands if there are several."""
    words: dict[str, Scalar] = {}
    for name in SHARED:
        values = {product.keywords.get(name) for product in products}
        if len(values) == 1 and None not in values:
            words[name] = products[0].keywords[name]
    for name, extreme in (("DATE-OBS", min), ("DATE-END", max)):
        dates = [str(product.keywords.get(name, "-1")) for product in products]
        words[name] = extreme((date for date in dates if date != "-1"), default="-1")
    bands = ",".join(_bands(products))
    return words | (dict.fromkeys(("FILTLST", "BANDREL", "BANDPRC"), bands) if "," in bands else {})
