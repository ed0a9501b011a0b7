"""Parameters by dotted key: ``depth.aperture_arcsec``, ``patches.0.name``.

For forms that know only keys and values, such as the key/value blocks of XML products. A value as text is the text
itself where the parameter is one, else what stands in a parameter file; None (a default that is found out later) has
no text.
"""

import tomllib
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate, takewhile
from typing import Any

from pydantic import ValidationError

from vmpz.errors import InputError
from vmpz.parameters.base import Section, unit_of
from vmpz.parameters.text import models_in, said, toml_value
from vmpz.parameters.whole import Parameters

__all__ = ["flatten", "overlaid", "unit_of", "validated", "value_of", "value_text"]


def flatten(parameters: Parameters, sections: Iterable[str]) -> dict[str, Any]:
    """Every value of some sections by its dotted key, in the order of the models."""
    return {key: value for name in sections for key, value in _leaves(name, getattr(parameters, name))}


def _leaves(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Section):
        for name in type(value).model_fields:
            yield from _leaves(f"{key}.{name}", getattr(value, name))
    elif isinstance(value, list) and value and isinstance(value[0], Section):
        for number, one in enumerate(value):
            yield from _leaves(f"{key}.{number}", one)
    else:
        yield key, value


def overlaid(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Values of both, those of `above` where both speak; a list of tables is that of one or the other, whole."""
    lists = {name for name in map(_list_of, above) if name}
    kept = {
        key: value
        for key, value in below.items()
        if _list_of(key) not in lists
        and not any(key == one or key.startswith(f"{one}.") or one.startswith(f"{key}.") for one in above)
    }
    return kept | dict(above)


def _list_of(key: str) -> str | None:
    """The section that a key belongs to if it is a list of tables."""
    section = key.split(".")[0]
    info = Parameters.model_fields.get(section)
    return section if info is not None and typing.get_origin(info.annotation) is list else None


def value_text(key: str, value: Any) -> str:
    """The value of a parameter, not None, as text, which `value_of` understands."""
    annotation = _annotation(key)
    plain = annotation is None or _is_text(annotation)
    return value if plain and isinstance(value, str) else toml_value(value)


def value_of(key: str, text: str) -> Any:
    """The value that a text means for a parameter; the text itself where there is no such parameter.

    Raises
    ------
    ValueError
        The text is not that of a value; the message says what must hold and what was found.
    """
    annotation = _annotation(key)
    if annotation is None or _is_text(annotation):
        return text
    try:
        if "\n" in text or "\r" in text:
            raise ValueError("several lines")
        return tomllib.loads(f"value = {text}")["value"]
    except ValueError:
        raise ValueError(f"must be a value as in a parameter file, found {text!r}") from None


def _annotation(key: str) -> Any:
    """Type of the parameter of a dotted key, None if there is none."""
    model: type[Section] | None = Parameters
    annotation: Any = None
    for part in key.split("."):
        if part.isdigit():
            continue
        if model is None or part not in model.model_fields:
            return None
        annotation = model.model_fields[part].annotation
        model = next(models_in(annotation), None)
    return annotation


def _is_text(annotation: Any) -> bool:
    if typing.get_origin(annotation) is typing.Literal:
        return all(isinstance(one, str) for one in typing.get_args(annotation))
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return all(_is_text(one) for one in typing.get_args(annotation) if one is not types.NoneType)
    return annotation is str


def validated(values: Mapping[str, Any], places: Mapping[str, str]) -> Parameters:
    """Parameters of dotted keys.

    Parameters
    ----------
    values : mapping
        As of `flatten`.
    places : mapping
        Where each value was found, for messages; the nearest key tells the place of a mistake.

    Raises
    ------
    InputError
        The values are not parameters; one line ``place: key: what must hold`` each.
    """
    try:
        return Parameters.model_validate(_nested(values, places))
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            parts, message = said(problem)
            key = ".".join(map(str, parts))
            place = _place(key, places).removesuffix(f": {key}")
            lines.append(f"{place}: {key}: {message}")
        raise InputError("\n".join(lines)) from error


def _place(key: str, places: Mapping[str, str]) -> str:
    """Where a key was said, else what lies nearest: above it, below it or beside it."""

    def common(other: str) -> int:
        pairs = zip(key.split("."), other.split("."))
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

    nearest = max(places, key=common, default="")
    return places[nearest] if places and common(nearest) >= max(1, key.count(".")) else "parameters"


def _nested(values: Mapping[str, Any], places: Mapping[str, str]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in values.items():
        *above, last = key.split(".")
        whole = next((one for one in accumulate(above, "{}.{}".format) if one in values), None)
        if whole is not None:
            raise InputError(f"{_place(key, places)}: {key}: must not stand beside {whole}, which holds it")
        branch = tree
        for part in above:
            branch = branch.setdefault(part, {})
        branch[last] = value
    for name, branch in tree.items():
        if _list_of(name) and isinstance(branch, dict):
            wanted = [str(number) for number in range(len(branch))]
            if set(branch) != set(wanted):
                found = ", ".join(branch)
                raise InputError(f"{_place(name, places)}: {name}: must be numbered from 0, found {found}")
            tree[name] = [branch[number] for number in wanted]
    return tree
