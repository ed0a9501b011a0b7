"""Any parameters, made from the models themselves: a new field is tested without another line here."""

import types
import typing
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from annotated_types import Ge, Gt, Le, Lt, MinLen
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from vmpz.parameters import Parameters, Section
from vmpz.quantities import QUANTITIES

CHARACTERS = st.characters(blacklist_categories=["Cs"])
TEXTS = st.one_of(
    st.text(CHARACTERS, max_size=8),
    st.sampled_from(
        ["-1", "0", "12", "102018211", "VIS", "NIR_Y", "a b", " x ", "%41", "true", "[]", "</Value>"]
    ),
)
INSTANTS = st.datetimes(
    datetime(1900, 1, 1),
    datetime(2200, 1, 1),
    timezones=st.sampled_from([None, UTC, timezone(timedelta(hours=5))]),
)
OPTIONS = st.recursive(
    st.one_of(st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), TEXTS, INSTANTS),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)
INFO = st.builds(
    "{}:{}".format, st.sampled_from(sorted(QUANTITIES)), st.sampled_from(["MEAN", "RMSQ", "Q05", "MEDIAN"])
)


def _bound(metadata: typing.Iterable[Any], kind: type, name: str) -> Any:
    return next((getattr(one, name) for one in metadata if isinstance(one, kind)), None)


def _flat(metadata: typing.Iterable[Any]) -> list[Any]:
    found = []
    for one in metadata:
        found += _flat(one.metadata) if isinstance(one, FieldInfo) else [one]
    return found


def _numbers(kind: type, metadata: list[Any]) -> st.SearchStrategy[Any]:
    low, above = _bound(metadata, Ge, "ge"), _bound(metadata, Gt, "gt")
    high, below = _bound(metadata, Le, "le"), _bound(metadata, Lt, "lt")
    if kind is int:
        return st.integers(0 if low is None else low, 64 if high is None else high)
    return st.floats(
        low if above is None else above,
        high if below is None else below,
        exclude_min=above is not None,
        exclude_max=below is not None,
        allow_nan=False,
    )


def values(annotation: Any, metadata: typing.Iterable[Any] = ()) -> st.SearchStrategy[Any]:
    """Values of a type."""
    metadata, origin, inner = _flat(metadata), typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return values(inner[0], [*inner[1:], *metadata])
    if origin is typing.Literal:
        return st.sampled_from(inner)
    if origin in (typing.Union, types.UnionType):
        return st.one_of([values(one, metadata) for one in inner])
    if origin is list:
        return st.lists(values(inner[0]), min_size=_bound(metadata, MinLen, "min_length") or 0, max_size=4)
    if origin is tuple:
        return st.tuples(*map(values, inner))
    if origin is dict:
        return st.dictionaries(values(inner[0]), values(inner[1]), max_size=3)
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return sections(annotation)
    if annotation in (int, float):
        return _numbers(annotation, metadata)
    if annotation is str:
        return TEXTS.filter(lambda text: len(text) >= (_bound(metadata, MinLen, "min_length") or 0))
    return {bool: st.booleans(), datetime: INSTANTS, types.NoneType: st.none(), Any: OPTIONS}[annotation]


def sections(model: type[Section]) -> st.SearchStrategy[Section]:
    """Groups of parameters that their model accepts; each field that has a default may be left out."""
    required = {name: _of(model, name) for name, info in model.model_fields.items() if info.is_required()}
    optional = {name: _of(model, name) for name in model.model_fields if name not in required}
    return (
        st.fixed_dictionaries(required, optional=optional)
        .map(lambda given: _accepted(model, given))
        .filter(bool)
    )


def _of(model: type[Section], name: str) -> st.SearchStrategy[Any]:
    info = model.model_fields[name]
    if (model.__name__, name) == ("InfoParameters", "maps"):
        return st.lists(INFO, max_size=4)
    if (model.__name__, name) == ("MaskParameters", "name"):
        return MASK_NAMES
    return values(info.annotation, info.metadata)


MASK_NAMES = st.from_regex(r"[A-Z][A-Z0-9_]{0,3}", fullmatch=True)
"""Few of them are those of flag bits, and none is that of the star masks."""

EXTENTS = ("tiles", "moc", "polygon", "cap", "all")


def _of_shape(given: dict[str, Any]) -> dict[str, Any]:
    """A radius law or a size, and what the shape needs besides or must not have."""
    whole = {"a_arcsec": 1.0, "magnitude": "G", "width_arcsec": 2.0, **given}
    if whole["shape"] in ("ellipse", "streak"):
        whole |= {"size": "A", "minor": "B", "angle": "PA"}
    if whole["shape"] not in ("halo", "ghost"):
        whole = {
            key: one for key, one in whole.items() if key not in ("hole", "offset_arcsec", "axis_factor")
        }
    return {key: one for key, one in whole.items() if key not in ("table", "axis_deg", "radius_max_arcsec")}


def _accepted(model: type[Section], given: dict[str, Any]) -> Section | None:
    if model.__name__ == "RadiusLaw":  # one law
        given = {key: one for key, one in given.items() if key not in ("a_arcsec", "radius_max_arcsec")}
        given |= {} if given.get("table") else {"a_arcsec": 3.5}
    if model.__name__ == "MaskParameters":
        given = _of_shape(given)
    if model.__name__ == "PatchParameters":  # one extent
        said = [name for name in EXTENTS if given.get(name)]
        given = (
            {name: value for name, value in given.items() if name not in EXTENTS or name == said[0]}
            if said
            else {**{name: value for name, value in given.items() if name not in EXTENTS}, "all": True}
        )
    try:
        return model(**given)
    except ValidationError:
        return None


def _together(parts: dict[str, Any]) -> Parameters | None:
    patches = {patch.name: patch for patch in parts.get("patches", [])}
    order = parts["maps"].order if "maps" in parts else 14
    fitting = [
        patch.model_copy(update={"order": None if patch.order is None else min(patch.order, order)})
        for patch in patches.values()
    ]
    catalogues = {one.role: one for one in {one.name: one for one in parts.get("catalogues", [])}.values()}
    counted = [one.model_copy(update={"order": min(one.order, order)}) for one in catalogues.values()]
    masks = list({one.name: one for one in parts.get("masks", [])}.values())
    try:
        return Parameters(**{**parts, "patches": fitting, "catalogues": counted, "masks": masks})
    except ValidationError:
        return None


def parameters() -> st.SearchStrategy[Parameters]:
    """Whole parameters."""
    models = Parameters.model_fields
    return (
        st.fixed_dictionaries(
            {"inputs": values(models["inputs"].annotation, models["inputs"].metadata)},
            optional={
                name: values(info.annotation, info.metadata)
                for name, info in models.items()
                if name != "inputs"
            },
        )
        .map(_together)
        .filter(bool)
    )
