"""Parameter files: TOML read, mistakes explained by file, line and key, every parameter printed with its default."""

import difflib
import re
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vmpz.parameters.base import Section
from vmpz.parameters.stage2 import PatchParameters
from vmpz.parameters.whole import Parameters

__all__ = ["example", "explain", "load"]


def load(path: str | Path) -> Parameters:
    """Parameters from a TOML file; input locations become absolute.

    Raises
    ------
    pydantic.ValidationError
        A key is unknown or a value does not hold what it must.
    tomllib.TOMLDecodeError
        The file is not TOML in UTF-8; the message has line and column.
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

    inputs = [item.model_copy(update={"location": absolute(item.location)}) for item in parameters.inputs]
    tiling = parameters.tiling.model_copy(update={"location": absolute(parameters.tiling.location)})
    extinction = parameters.depth.extinction
    if extinction is not None:
        extinction = extinction.model_copy(update={"map": absolute(extinction.map)})
    depth = parameters.depth.model_copy(update={"extinction": extinction})
    patches = [patch.model_copy(update={"moc": absolute(patch.moc)}) for patch in parameters.patches]
    return parameters.model_copy(
        update={"inputs": inputs, "tiling": tiling, "depth": depth, "patches": patches}
    )


def explain(error: ValidationError, path: str | Path) -> list[str]:
    """One line ``file:line: key: what must hold`` per mistake, with the nearest known key for an unknown one."""
    lines = Path(path).read_text("utf-8").splitlines()
    return [_explain_one(problem, str(path), lines) for problem in error.errors()]


def _explain_one(problem: Mapping[str, Any], path: str, lines: list[str]) -> str:
    place = [part for part in problem["loc"] if not _is_union_label(part)]
    message = problem["msg"].removeprefix("Value error, ")
    if not place:  # what concerns several tables names its key itself
        name, _, message = message.partition(": ")
        place = [int(part) if part.isdigit() else part for part in name.split(".")]
    key = ".".join(str(part) for part in place)
    if problem["type"] == "extra_forbidden":
        known = _keys_at(place[:-1])
        near = difflib.get_close_matches(str(place[-1]), known, 1)
        message = (
            f"no such parameter{f', did you mean {near[0]}' if near else ''}; known here: {', '.join(known)}"
        )
    elif problem["type"] not in {"missing", "value_error"}:
        message = f"{message}, found {problem['input']!r}"
    return f"{path}:{_line_of(place, lines)}: {key}: {message}"


def _is_union_label(part: Any) -> bool:
    return isinstance(part, str) and ("[" in part or part in {"float", "constrained-float", "str", "int"})


def _keys_at(place: list[Any]) -> list[str]:
    model: Any = Parameters
    for part in place:
        if isinstance(part, int):
            continue
        model = next(_models_in(model.model_fields[part].annotation), None)
        if model is None:
            return []
    return list(model.model_fields)


def _models_in(annotation: Any) -> Iterator[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    elif typing.get_origin(annotation) in (list, typing.Union, types.UnionType):
        for argument in typing.get_args(annotation):
            yield from _models_in(argument)


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
        model = next(_models_in(info.annotation))
        header = f"[[{name}]]" if typing.get_origin(info.annotation) is list else f"[{name}]"
        parts.append("\n".join([_active(name, header), *_example_lines(model, name == "inputs")]))
    return "\n\n".join(parts) + "\n"


def _active(name: str, header: str) -> str:
    return f"# {header}" if name == "patches" else header


def _example_lines(model: type[Section], required: bool) -> Iterator[str]:
    for name, info in model.model_fields.items():
        default = info.get_default(call_default_factory=True)
        if info.is_required():
            line = f'{name} = "."' if required else f"# {name} = ..."
        elif default is None or model is PatchParameters:
            line = f"# {name} ="
        else:
            line = f"{name} = {_toml(default)}"
        yield f"{line:<44}# {info.description}"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + "}"
    return repr(value)
