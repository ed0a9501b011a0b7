"""What the models say of every parameter, as Markdown: name, type, unit, default, meaning, XML element."""

import math
import re
import types
import typing
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from lxml import etree

from vmpz.io.paramsclasses import PARTS
from vmpz.io.paramselements import Said, read_elements
from vmpz.io.paramsxml import PRODUCTS, SHARED, write_parameters
from vmpz.parameters import Parameters
from vmpz.parameters.base import Section
from vmpz.parameters.keys import unit_of
from vmpz.parameters.text import models_in, toml_value

__all__ = ["GROUPS", "group", "parameters", "table", "table_of_group", "without_empty"]

GROUPS = list(Parameters.model_fields)
"""Groups of parameters, in the order of a parameter file."""

UNITS = {"_mag": "mag", "_s": "s", "depth": "AB mag", "reference": "AB mag", "zero_point": "AB mag"}
EXAMPLES = (  # parameters that together use every published element
    {
        "inputs": [{"location": "."}],
        "survey": {"instruments": ["VIS"], "bands": ["VIS"]},
        "bitmask": {"table": {"VIS": "vis-pf14"}},
        "depth": {"bits": ["INVALID"], "psf_fwhm_arcsec": 0.2},
        "coverage": {"bits": ["INVALID"]},
        "random": {"seed": 1, "number": 10},
        "mangle": {"kinds": ["coverage"], "max_order": 12},
        "patches": [{"name": "one", "list_id": "one", "tiles": ["1"]}],
    },
    {
        "inputs": [{"location": "."}],
        "survey": {"bands": ["VIS", "NIR_Y"]},
        "maps": {"forms": ["moc"], "moc_order": 12},
        "random": {"seed": 1, "density": 10.0},
    },
)


def anchor(key: str) -> str:
    """Where a parameter stands on its page."""
    return f"parameter-{key.replace('.', '-')}"


def table(heads: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; bars inside cells are escaped."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cell(one) for one in line)} |" for line in lines) + "\n"


def cell(text: str) -> str:
    """One line of text that can stand in a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def parameters() -> str:
    """Every group of parameters, one section each."""
    return "\n".join(group(name) for name in GROUPS)


def group(name: str) -> str:
    """One group with the groups inside it."""
    info = Parameters.model_fields[name]
    many = typing.get_origin(info.annotation) is list
    model = next(models_in(info.annotation))
    header = f"[[{name}]]" if many else f"[{name}]"
    product = PRODUCTS[name].dpd if name in PRODUCTS else "every parameter product" if name in SHARED else ""
    told = f"XML: {f'`{product}`' if name in PRODUCTS else product}." if product else ""
    about = f"{_summary(model)} {told}".strip()
    return f"(parameters-{name})=\n## `{header}`\n\n{about}\n\n{_section(name, model, 3)}"


def _summary(model: type[Section]) -> str:
    text = (model.__doc__ or "").strip().split("\n\n")[0]
    text = text.partition("]: ")[2] or text if text.startswith("[") else text
    text = "" if text.startswith("[") else " ".join(text.split())
    return text[:1].upper() + text[1:]


def _section(path: str, model: type[Section], level: int, named: bool = True) -> str:
    """Rows of a group; `named` gives every parameter and inner group an anchor."""
    rows, below = [], []
    for name, info in model.model_fields.items():
        key = f"{path}.{name}"
        inner = list(models_in(info.annotation))
        below += [(key, one) for one in inner if one not in [other for _, other in below]]
        rows.append(
            [
                f"[`{name}`]{{#{anchor(key)}}}" if named else f"[`{name}`](#{anchor(key)})",
                str(info.description or ""),
                _type_text(info.annotation, info.metadata, key),
                unit_of(key) or next((unit for end, unit in UNITS.items() if name.endswith(end)), ""),
                _default(info),
                _element(key) if named else "",
            ]
        )
    heads = ["name", "meaning", "type", "unit", "default", "XML"]
    text = table(*without_empty(heads, rows))
    for key, one in below:
        target = f"\n(parameters-{key.replace('.', '-')})=" if named else ""
        head = f"{'#' * level} `{key}`" if named else f"**`{key}`**"
        text += f"{target}\n{head}\n\n{_summary(one)}\n\n{_section(key, one, level + 1, named)}"
    return text


def table_of_group(name: str) -> str:
    """The parameters of one group and of those inside it, without a heading of its own."""
    return _section(name, next(models_in(Parameters.model_fields[name].annotation)), 3, named=False)


def without_empty(heads: list[str], rows: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    """Heads and rows without the columns that no row fills."""
    kept = [number for number, _ in enumerate(heads) if any(row[number] for row in rows)]
    return [heads[one] for one in kept], [[row[one] for one in kept] for row in rows]


def _default(info: typing.Any) -> str:
    if info.is_required():
        return "*required*"
    value = info.get_default(call_default_factory=True)
    return "—" if value is None else f"`{toml_value(value)}`"


NAMES = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "`true`, `false`",
    datetime: "time",
    typing.Any: "any",
}
SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}


def _type_text(annotation: typing.Any, metadata: list[typing.Any], key: str = "") -> str:
    """A type in the words of a parameter file, with its bounds."""
    bounds = _bounds(metadata)
    return f"{_plain_type(annotation, key)} {bounds}".strip()


def _bounds(metadata: list[typing.Any]) -> str:
    found = []
    for one in metadata:
        for part in getattr(one, "metadata", None) or [one]:
            found += [
                f"{sign} {_number(value)}"
                for name, sign in SIGNS.items()
                if (value := getattr(part, name, None)) is not None
            ]
    return ", ".join(dict.fromkeys(found))


def _number(value: float) -> str:
    power = math.log2(value) if value > 1e6 else 0.5
    return f"2^{power:.0f}" if power == int(power) else f"{value:g}"


def _plain_type(annotation: typing.Any, key: str) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type_text(arguments[0], list(arguments[1:]), key)
    if origin is typing.Literal:
        return ", ".join(f"`{one}`" for one in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(
            dict.fromkeys(_plain_type(one, key) for one in arguments if one is not types.NoneType)
        )
    if origin is list:
        return f"list of {_several(_plain_type(arguments[0], key))}"
    if origin is tuple:
        return f"[{', '.join(_plain_type(one, key) for one in arguments if one is not ...)}]"
    if origin is dict:
        return f"table of {_several(_plain_type(arguments[1], ''))}"
    if isinstance(annotation, type) and issubclass(annotation, Section) and not key:
        return f"tables of {', '.join(f'`{name}`' for name in annotation.model_fields)}"
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return f"[table](#parameters-{key.replace('.', '-')})"
    return NAMES[annotation]


def _several(name: str) -> str:
    return re.sub(r"^(text|whole number|number)\b", r"\1s", name)


# -- elements of XML parameter products ------------------------------------------------------------------------------


def _element(key: str) -> str:
    return ", ".join(f"`{name}`" for name in _elements().get(key, []))


@cache
def _elements() -> dict[str, list[str]]:
    """Dotted key -> elements of parameter products that hold it, found by reading every element by itself."""
    found: dict[str, list[str]] = {}
    for section, data in _written():
        for element in data:
            said = Said()
            alone = etree.Element("Data")
            alone.append(deepcopy(element))
            read_elements(alone, section, said, lambda one: str(one.tag))
            for key in (*said.values, *said.wanted):
                names = found.setdefault(key.replace(".0.", "."), [])
                names += [one for one in [str(element.tag)] if one not in names]
    for part in PARTS:
        found.setdefault(f"visibility.{part.key}", []).append(part.element)
    return found | {"visibility.name": ["BinSel"], "visibility.reference": ["ReferenceDepthList"]}


def _written() -> Iterator[tuple[str, typing.Any]]:
    for example in EXAMPLES:
        with TemporaryDirectory() as folder:
            write_parameters(Parameters.model_validate(example), folder, datetime(2026, 1, 1, tzinfo=UTC))
            for section, names in PRODUCTS.items():
                for path in Path(folder).glob(f"{names.dpd}-*.xml"):
                    yield section, etree.parse(str(path)).getroot().find("Data")
