"""Any parameters, made from the models themselves: a new field is tested without another line here."""

import types
import typing
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from annotated_types import Ge, Gt, Le, Lt, MinLen
from hypothesis import strategies as st
from pydantic import AfterValidator, ValidationError
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
        high = below - 1 if below is not None else high
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
        is_window = any(isinstance(one, AfterValidator) for one in metadata)
        return st.tuples(*map(values, inner)).map(lambda pair: tuple(sorted(pair)) if is_window else pair)
    if origin is dict:
        least = _bound(metadata, MinLen, "min_length") or 0
        return st.dictionaries(values(inner[0]), values(inner[1]), min_size=least, max_size=3)
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return sections(annotation)
    if annotation in (int, float):
        return _numbers(annotation, metadata)
    if annotation is str:
        return TEXTS.filter(lambda text: len(text) >= (_bound(metadata, MinLen, "min_length") or 0))
    return {bool: st.booleans(), datetime: INSTANTS, types.NoneType: st.none(), Any: OPTIONS}[annotation]


def sections(model: type[Section]) -> st.SearchStrategy[Section]:
    """Groups of parameters that their model accepts; each field that has a default may be left out."""
    said = SAID.get(model.__name__, ())
    required = {
        name: _of(model, name)
        for name, info in model.model_fields.items()
        if info.is_required() or name in said
    }
    optional = {name: _of(model, name) for name in model.model_fields if name not in required}
    return (
        st.fixed_dictionaries(required, optional=optional)
        .map(lambda given: _accepted(model, given))
        .filter(bool)
    )


SAID = {
    "VisibilityParameters": ("selection", "deep", "luminosity"),
    "SelectionParameters": ("completeness",),
}
"""What is never left to its default, that every kind of class comes up."""


def _of(model: type[Section], name: str) -> st.SearchStrategy[Any]:
    info = model.model_fields[name]
    if (model.__name__, name) == ("InfoParameters", "maps"):
        return st.lists(INFO, max_size=4)
    if (model.__name__, name) == ("MaskParameters", "name"):
        return MASK_NAMES
    if (model.__name__, name) == ("VisibilityParameters", "name"):
        return CLASS_NAMES
    if (model.__name__, name) == ("VisibilityParameters", "reference"):
        return st.dictionaries(BANDS, values(float), min_size=1, max_size=3)
    if (model.__name__, name) == ("VisibilityParameters", "depth_error"):
        return st.dictionaries(BANDS, values(float, [Ge(0)]), max_size=3)
    if (model.__name__, name) == ("SelectionParameters", "bands"):
        return st.lists(BANDS, max_size=3)
    return values(info.annotation, info.metadata)


MASK_NAMES = st.from_regex(r"[A-Z][A-Z0-9_]{0,3}", fullmatch=True)
"""Few of them are those of flag bits, and none is that of the star masks."""
CLASS_NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,3}", fullmatch=True)
BANDS = st.one_of(TEXTS, st.sampled_from(["VIS", "NIR_Y"]))

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


def _one_of(given: dict[str, Any], names: tuple[str, ...], default: dict[str, Any]) -> dict[str, Any]:
    """The first of several that exclude one another, or a default."""
    said = next((name for name in names if given.get(name) not in (None, {})), None)
    rest = {key: one for key, one in given.items() if key not in names}
    return rest | (default if said is None else {said: given[said]})


def _a_luminosity_function(given: dict[str, Any]) -> dict[str, Any]:
    """A table or a Schechter function; the bright end below the faint one; no redshift below zero."""
    given = {**given, "redshift": sorted(abs(z) for z in given["redshift"])}
    if not given.get("brightest", -28.0) < given.get("faintest", -10.0):
        given = {key: one for key, one in given.items() if key not in ("brightest", "faintest")}
    if given.get("table"):
        return {key: one for key, one in given.items() if key not in ("m_star", "alpha")}
    whole = {key: one for key, one in given.items() if key != "table"}
    return {**whole, "m_star": given.get("m_star") or -20.5, "alpha": given.get("alpha") or -1.0}


def _a_selection(given: dict[str, Any]) -> dict[str, Any]:
    """What the completeness needs, and nothing that goes with another."""
    kind = given.get("completeness", "gaussian")
    rest = {key: one for key, one in given.items() if key not in ("expression", "efficiency")}
    if kind in ("expression", "efficiency"):
        said = given.get(kind)
        rest[kind] = "snr_VIS > 5" if said is None else said
    return rest


def _a_class(given: dict[str, Any]) -> dict[str, Any]:
    """One law, a deep sample and a seed where they are needed, and the reference depth of every band."""
    given = _one_of(given, ("deep", "luminosity", "counts"), {"counts": {"slope": 0.3}})
    chosen = given.get("selection")
    if chosen is not None and chosen.completeness == "expression" and given.get("seed") is None:
        given["seed"] = 1 << 63
    if chosen is not None and chosen.completeness == "expression" and "deep" not in given:
        given = {key: one for key, one in given.items() if key not in ("selection", "seed")}
    named = [*(chosen.bands if chosen is not None else []), *given.get("depth_error", ())]
    given["reference"] = {**dict.fromkeys(named, 25.0), **given["reference"]}
    given["classes"] = sorted({abs(edge) + 1e-3 for edge in given.get("classes", [0.5])})
    return given


def _a_random_catalogue(given: dict[str, Any]) -> dict[str, Any]:
    """A number or a density, and what goes with the scheme."""
    scheme = given.get("scheme", "poisson")
    unfit = ["density"] if given.get("number") is not None or scheme != "poisson" else []
    unfit += [] if scheme == "poisson" else ["nested"]
    unfit += ["keep"] if scheme in ("indexed", "trim") else []
    return {key: one for key, one in given.items() if key not in unfit}


FITTING = {
    "LuminosityParameters": _a_luminosity_function,
    "CountsParameters": lambda given: _one_of(given, ("table", "slope"), {"slope": 0.0}),
    "DeepSampleParameters": lambda given: _one_of(given, ("fluxes", "magnitudes"), {"fluxes": {"VIS": "F"}}),
    "SelectionParameters": _a_selection,
    "VisibilityParameters": _a_class,
    "RandomParameters": _a_random_catalogue,
}
"""Model -> how values are made to suit one another."""


def _accepted(model: type[Section], given: dict[str, Any]) -> Section | None:
    given = FITTING.get(model.__name__, dict)(given)
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
    unique = {
        name: list({one.name: one for one in parts.get(name, [])}.values())
        for name in ("masks", "visibility")
    }
    try:
        return Parameters(**{**parts, **unique, "patches": fitting, "catalogues": counted})
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
