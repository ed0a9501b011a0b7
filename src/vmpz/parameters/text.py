"""Parameter files: TOML read and written, mistakes explained by file, line and key, every parameter printed."""

import json
import re
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from datetime import time as clock_time
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vmpz.errors import InputError, meant
from vmpz.parameters.base import Section
from vmpz.parameters.whole import Parameters

__all__ = ["as_toml", "example", "explain", "load", "models_in", "said", "toml_value"]


def load(path: str | Path) -> Parameters:
    """Parameters from a TOML file; locations of inputs and bit tables become absolute.

    Raises
    ------
    pydantic.ValidationError
        A key is unknown or a value does not hold what it must.
    tomllib.TOMLDecodeError
        The file is not TOML in UTF-8; the message has line and column.

    Examples
    --------
    >>> import vmpz
    >>> vmpz.load_parameters("survey.toml").depth.snr  # doctest: +SKIP
    5.0
    """
    path = Path(path)
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except UnicodeDecodeError as error:
        raise tomllib.TOMLDecodeError(f"must be UTF-8 text, found {error.reason} {error.start}") from error
    parameters = Parameters.model_validate(content)
    here = path.resolve().parent

    def absolute(location: str | None) -> str | None:
        return location if location is None or "://" in location else str(here / location)

    def table(name: Any) -> Any:
        """A bit table that is a file; names of shipped ones stay."""
        if isinstance(name, Mapping):
            return {key: table(one) for key, one in name.items()}
        return absolute(name) if isinstance(name, str) and name.endswith(".toml") else name

    inputs = [
        item.model_copy(
            update={
                "location": absolute(item.location),
                "options": {
                    key: table(value) if key == "bit_table" else value for key, value in item.options.items()
                },
            }
        )
        for item in parameters.inputs
    ]
    bitmask = parameters.bitmask.model_copy(update={"table": table(parameters.bitmask.table)})
    tiling = parameters.tiling.model_copy(update={"location": absolute(parameters.tiling.location)})
    extinction = parameters.depth.extinction
    if extinction is not None:
        extinction = extinction.model_copy(update={"map": absolute(extinction.map)})
    depth = parameters.depth.model_copy(update={"extinction": extinction})
    reddening = parameters.extinction.model_copy(update={"map": absolute(parameters.extinction.map)})
    catalogues = [
        one.model_copy(update={"location": absolute(one.location)}) for one in parameters.catalogues
    ]
    masks = [one.model_copy(update={"catalogue": absolute(one.catalogue)}) for one in parameters.masks]
    classes = [one.located(lambda location: str(absolute(location))) for one in parameters.visibility]
    patches = [patch.model_copy(update={"moc": absolute(patch.moc)}) for patch in parameters.patches]
    return parameters.model_copy(
        update={
            "inputs": inputs,
            "tiling": tiling,
            "bitmask": bitmask,
            "extinction": reddening,
            "catalogues": catalogues,
            "masks": masks,
            "depth": depth,
            "visibility": classes,
            "patches": patches,
        }
    )


def explain(error: ValidationError, path: str | Path) -> list[str]:
    """One line ``file:line: key: what must hold`` per mistake, with the nearest known key for an unknown one."""
    lines = Path(path).read_text("utf-8").splitlines()
    told = [said(problem) for problem in error.errors()]
    return [
        f"{path}:{_line_of(place, lines)}: {'.'.join(map(str, place))}: {message}" for place, message in told
    ]


def said(problem: Mapping[str, Any]) -> tuple[list[Any], str]:
    """Where a mistake stands (names and numbers of tables, then the key) and what must hold there."""
    place = [part for part in problem["loc"] if not _is_union_label(part)]
    message = problem["msg"].removeprefix("Value error, ")
    if not place:  # what concerns several tables names its key itself
        name, _, message = message.partition(": ")
        place = [int(part) if part.isdigit() else part for part in name.split(".")]
    if problem["type"] == "extra_forbidden":
        known = _keys_at(place[:-1])
        message = f"no such parameter{meant(place[-1], known)}; known here: {', '.join(known)}"
    elif problem["type"] not in {"missing", "value_error"}:
        message = f"{message}, found {problem['input']!r}"
    return place, message


def _is_union_label(part: Any) -> bool:
    return isinstance(part, str) and ("[" in part or part in {"float", "constrained-float", "str", "int"})


def _keys_at(place: list[Any]) -> list[str]:
    model: Any = Parameters
    for part in place:
        if isinstance(part, int):
            continue
        model = next(models_in(model.model_fields[part].annotation), None)
        if model is None:
            return []
    return list(model.model_fields)


def models_in(annotation: Any) -> Iterator[type[Section]]:
    """The groups of parameters that a type names, alone, in a list or in a union."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    elif typing.get_origin(annotation) in (list, typing.Union, types.UnionType):
        for argument in typing.get_args(annotation):
            yield from models_in(argument)


def _line_of(place: list[Any], lines: list[str]) -> int:
    """Line of a key in TOML text: its table header first, then the key below it; 1 when nothing is found."""
    names = [part for part in place if isinstance(part, str)]
    index = next((part for part in place if isinstance(part, int)), 0)
    best, table, seen = 1, "", -1
    for number, line in enumerate(lines, 1):
        header = re.match(r"\s*\[(\[?)\s*([^\]]+?)\s*\]", line)
        if header:
            table = header[2].replace(" ", "")
            seen = seen + 1 if header[1] and table == names[0] else seen
            if table == ".".join(names[: len(table.split("."))]) and (not header[1] or seen == index):
                best = number
            continue
        inside = table.split(".") if table else []
        if inside == names[: len(inside)] and (seen in (-1, index) or table != names[0]):
            rest = names[len(inside) :]
            if rest and re.match(rf"\s*[\"']?{re.escape(rest[0])}[\"']?\s*[.=]", line):
                return number
    return best


def example() -> str:
    """A TOML file of every parameter, each with its meaning and its default."""
    parts = []
    for name, info in Parameters.model_fields.items():
        model = next(models_in(info.annotation))
        tables = typing.get_origin(info.annotation) is list
        mark = "# " if tables and not info.is_required() else ""
        header = f"{mark}[[{name}]]" if tables else f"[{name}]"
        parts.append("\n".join([header, *_example_lines(model, mark, name == "inputs")]))
    return "\n\n".join(parts) + "\n"


def _example_lines(model: type[Section], mark: str, required: bool) -> Iterator[str]:
    for name, info in model.model_fields.items():
        default = info.get_default(call_default_factory=True)
        if info.is_required():
            line = f'{name} = "."' if required else f"# {name} = ..."
        elif default is None:
            line = f"# {name} ="
        else:
            line = f"{mark}{name} = {toml_value(default)}"
        yield f"{line:<44}# {info.description}"


def as_toml(parameters: Parameters) -> str:
    """A parameter file that says what differs from the defaults; `load` gives equal parameters back.

    Raises
    ------
    InputError
        A reader's option is of a type that TOML has not.
    """
    blocks = []
    for name in type(parameters).model_fields:
        value = getattr(parameters, name)
        header = f"[[{name}]]" if isinstance(value, list) else f"[{name}]"
        for section in value if isinstance(value, list) else [value]:
            changed = [f"{key} = {toml_value(one)}" for key, one in section.changed().items()]
            if changed:
                blocks.append("\n".join([header, *changed]))
    return "\n\n".join(blocks) + "\n" if blocks else ""


def toml_value(value: Any) -> str:
    """A value as it stands in a parameter file.

    Raises
    ------
    InputError
        TOML has no such type.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, datetime):
        return (value if value.tzinfo is None else value.astimezone(UTC)).isoformat()
    if isinstance(value, date | clock_time):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    if isinstance(value, Section):
        return toml_value(value.changed())
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_toml_key(key)} = {toml_value(item)}" for key, item in value.items()) + "}"
    raise InputError(f"a parameter file holds text, numbers, times, lists and tables; found {value!r}")


def _toml_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else toml_value(key)
