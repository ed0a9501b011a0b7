"""Masks from stores and files: maps by name, an expression on them, its areas, a file."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vmpz import io
from vmpz.io.forms import form_of
from vmpz.make.expressions import Expression, ExpressionError, parse
from vmpz.make.joining import AVERAGED
from vmpz.make.masks import Areas, area_curve, even_cuts, mask, mask_product
from vmpz.make.scene import Layer, Scene, scene_of
from vmpz.products import Provenance
from vmpz.run.instant import now
from vmpz.run.measure import versions
from vmpz.run.named import JOINED, NamedMap, NamedMaps
from vmpz.sky.cells import CellSet

__all__ = ["MaskRequest", "make_mask"]

MASK_VERSION = 1
SKY = "sky"
RULES = {"MIN": ("min({})", ", "), "PRODUCT": ("{}", " * ")}


@dataclass(frozen=True)
class MaskRequest:
    """What is asked for.

    Attributes
    ----------
    sources : tuple of str
        A store, files, ``NAME=FILE`` (`vmpz.run.named`).
    where : str or None
        The expression; default where the map of the curve is known.
    area : str or None
        Patch or tile of the store; default the only patch there is, else all tiles.
    order : int or None
        At which it is evaluated; default that of the finest map.
    within : str or None
        'sky', or the map whose cells count; default all cells of the maps named.
    weight : str or None
        Coverage in which areas are counted.
    fraction : bool
        The mask holds the observed fraction of the weight instead of 1.
    curve : str or None
        ``NAME`` or ``NAME:FROM:TO:STEP``: area against the cut on that map.
    intersect : str or None
        Instead of an expression: footprint or coverage, of which `bands` (default all) are combined by `rule`.
    """

    sources: tuple[str, ...]
    where: str | None = None
    area: str | None = None
    order: int | None = None
    within: str | None = None
    weight: str | None = None
    fraction: bool = False
    curve: str | None = None
    intersect: str | None = None
    bands: tuple[str, ...] = ()
    rule: str = "MIN"


def make_mask(request: MaskRequest, out: Path | None = None) -> dict[str, Any]:
    """Make a mask, write it, and tell what it costs.

    Parameters
    ----------
    request : MaskRequest
    out : Path, optional
        File to write; its name says the form. Without it areas are told and nothing is written.

    Returns
    -------
    dict
        Ready for JSON: file, expression, kind, area, order, cells, weight, within_deg2, kept_deg2, kept_percent,
        observed_deg2 (of the fractions that are written, None if they are none); `terms`, what each term of a top-level
        `and` removes by itself, what none other removes, what is left after it; `curve`.

    Raises
    ------
    ExpressionError
        The expression is not one, or names a map that there is not; or options do not go together.
    InputError
        A source does not exist or does not hold what it must.
    """
    if out is not None:
        form_of(out)
    maps = NamedMaps(request.sources, request.area)
    expression = parse(_where(request, maps))
    named = _named(request, expression, maps)
    layers = {
        name: _layer(one, request.order, maps)
        for name, one in named.items()
        if name in expression.names or name in (request.weight, _curved(request))
    }
    scene = scene_of(expression, layers, request.order, _within(request, named))
    if request.fraction and not (request.weight and expression.is_logical(scene.fractions)):
        raise ExpressionError(
            "fractions are those of a weight where a cut holds: --where and --weight must both be given"
        )
    values, areas = mask(expression, scene, weight=request.weight, fraction=request.fraction)
    product = mask_product(values, expression, layers, scene, maps.area or _area(layers))
    if out is not None:
        told = "; ".join(f"{name}={one.told}" for name, one in named.items())
        product = replace(product, keywords={**product.keywords, "MASKIN": told})
        io.write_file(product, out, provenance=_provenance(request, expression, named))
    return {
        "file": None if out is None else str(out),
        "expression": expression.text,
        "kind": product.key.kind,
        "area": product.key.area,
        "order": scene.order,
        "cells": len(product.map),
        "weight": request.weight,
        **_told(areas),
        "observed_deg2": product.keywords.get("OBSAREA"),
        "curve": [] if request.curve is None else _curve(request, expression, scene, named, areas),
    }


def _where(request: MaskRequest, maps: NamedMaps) -> str:
    """The expression that is asked for."""
    if request.where is not None and request.intersect is None:
        return request.where
    if request.where is None and request.intersect is not None:
        bands = request.bands or maps.bands_of(request.intersect)
        if request.rule not in RULES or len(bands) < 2:
            raise ExpressionError(
                f"two bands or more of {request.intersect} must be combined by {' or '.join(RULES)}, "
                f"found {', '.join(bands) or 'none'} by {request.rule}"
            )
        form, between = RULES[request.rule]
        return form.format(between.join(f"{request.intersect}_{band}" for band in bands))
    if request.where is None and request.curve is not None:
        return f"known({_curved(request)})"
    raise ExpressionError("one of an expression, a kind to intersect, and a curve must be asked for")


def _curved(request: MaskRequest) -> str | None:
    """The map whose cut is varied."""
    return None if request.curve is None else request.curve.partition(":")[0]


def _named(request: MaskRequest, expression: Expression, maps: NamedMaps) -> dict[str, NamedMap]:
    """The maps that are named anywhere."""
    places = {name: f"expression, column {column}" for name, column in expression.names.items()}
    for place, name in (("weight", request.weight), ("curve", _curved(request)), ("within", request.within)):
        if name is not None and (place, name) != ("within", SKY):
            places.setdefault(name, place)
    return {name: maps.find(name, f"{place}: ") for name, place in places.items()}


def _layer(named: NamedMap, order: int | None, maps: NamedMaps) -> Layer:
    """The map, with its coverage if that is needed to degrade it."""
    layer = named.layer
    is_finer = order is not None and order < layer.map.order
    return (
        maps.with_coverage(layer) if is_finer and layer.product.keywords.get("DEGRULE") in AVERAGED else layer
    )


def _within(request: MaskRequest, named: Mapping[str, NamedMap]) -> CellSet | None:
    if request.within is None:
        return None
    return CellSet.everything(0) if request.within == SKY else named[request.within].layer.map.cells


def _area(layers: Mapping[str, Layer]) -> str:
    areas = {layer.product.key.area for layer in layers.values()}
    return areas.pop() if len(areas) == 1 else JOINED


def _provenance(request: MaskRequest, expression: Expression, named: Mapping[str, NamedMap]) -> Provenance:
    products = [one.layer.product for one in named.values()]
    asked = {
        "expression": expression.text,
        "order": request.order,
        "within": request.within,
        "weight": request.weight,
        "fraction": request.fraction,
    }
    inputs = {
        f"{name}: {told}": identity for name, one in named.items() for told, identity in one.inputs.items()
    }
    verified = all(bool(product.keywords.get("VERIFIED")) for product in products)
    return Provenance("mask", MASK_VERSION, asked, inputs, versions(), now(), verified)


# -- telling ----------------------------------------------------------------------------------------------------------


def _told(areas: Areas) -> dict[str, Any]:
    terms = [
        asdict(term)
        | {
            "removes_percent": _percent(term.removes_deg2, areas.within_deg2),
            "left_percent": _percent(term.left_deg2, areas.within_deg2),
        }
        for term in areas.terms
    ]
    kept = _percent(areas.kept_deg2, areas.within_deg2)
    return {
        "within_deg2": areas.within_deg2,
        "kept_deg2": areas.kept_deg2,
        "kept_percent": kept,
        "terms": terms,
    }


def _curve(
    request: MaskRequest,
    expression: Expression,
    scene: Scene,
    named: Mapping[str, NamedMap],
    areas: Areas,
) -> list[dict[str, float | None]]:
    """Cut, area kept, and its share of the area that the mask is taken from."""
    name, *limits = str(request.curve).split(":")
    cut = named[name].layer
    alike = [one for one in expression.names if named[one].layer.map is cut.map]
    values = cut.map.values[np.isfinite(cut.map.values)]
    if limits:
        cuts = even_cuts(*_numbers(limits, str(request.curve)))
    else:
        cuts = even_cuts(float(values.min()), float(values.max())) if values.size else []
    found = area_curve(expression, scene, alike[0] if alike else name, cuts, weight=request.weight)
    return [
        {"cut": cut, "kept_deg2": kept, "kept_percent": _percent(kept, areas.within_deg2)}
        for cut, kept in found
    ]


def _numbers(words: list[str], text: str) -> tuple[float, float, float]:
    try:
        start, stop, step = map(float, words)
    except ValueError as error:
        raise ExpressionError(f"a curve must be NAME or NAME:FROM:TO:STEP, found {text!r}") from error
    return start, stop, step


def _percent(part_deg2: float, whole_deg2: float) -> float | None:
    return 100 * part_deg2 / whole_deg2 if whole_deg2 else None
