"""Parameter products: the parameters of a survey as XML, one product a kind of map, one to one.

Each product holds the parameters that all kinds share (`SHARED`) and its own section.
What has a published element stands there; the rest stands in the block ``Parameters`` as key, value and unit, under
dotted keys (``depth.psf_fwhm_arcsec``): a key without value is a default that is found out later. Reading what was
written gives equal parameters back. Products from elsewhere may hold published elements alone, in any order, at the
top of ``Data`` or inside a block ``<X>Params``; what they do not say is left to a base or to the defaults, and what no
parameter can hold is refused by name. Where data come from ([[inputs]]) is no matter of a parameter product.

The official schemas are not public: namespace and schema (``data/params.xsd``) are the project's own.
"""

import hashlib
import json
import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lxml import etree

from vmpz.errors import InputError
from vmpz.files.write import write_whole
from vmpz.files.xml import Element, parse_xml
from vmpz.io.metadata import decode, encode, encode_name
from vmpz.io.paramsclasses import complete_classes, read_classes, write_classes
from vmpz.io.paramselements import BESIDE, Said, Where, names_of_bits, read_elements, write_elements
from vmpz.io.xml import PREFIX, write_header
from vmpz.parameters import (
    Parameters,
    flatten,
    overlaid,
    unit_of,
    validated,
    value_of,
    value_text,
)  # fmt: skip

__all__ = [
    "NAMESPACE", "PRODUCTS", "ParameterProduct", "Told", "params_schema", "read_parameters", "write_parameters",
]  # fmt: skip

NAMESPACE = "urn:vmpz:unofficial/schema/dpd/le3/id/vmpz/in"
"""Base of the namespaces; the name of the schema follows after a slash."""
SHARED = (
    "survey",
    "tiling",
    "maps",
    "exposures",
    "site",
    "zodiacal",
    "extinction",
    "catalogues",
    "masks",
    "patches",
)
"""Sections that every product holds."""
NO_INPUTS = {"inputs.0.location": "."}
EXTENTS = ("tiles", "moc", "polygon", "cap", "all")
"""Parameters that say what a patch covers."""


@dataclass(frozen=True)
class ParameterProduct:
    """Published names of one parameter product; `section` is the group of parameters that it holds."""

    section: str
    dpd: str
    schema: str
    data_type: str
    labels: tuple[str, ...]
    """Names of the first version, accepted on reading."""

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that its root may have."""
        return self.dpd, *self.labels


def _row(section: str, dpd: str, schema: str, data_type: str, *labels: str) -> ParameterProduct:
    return ParameterProduct(
        section,
        f"Dpd{dpd}ParamsVMPZ",
        f"euc-le3-id-vmpz-Params{schema}.xsd",
        f"{data_type}ParamsVMPZ",
        tuple(f"VMPZIDParams{label}" for label in labels),
    )


PRODUCTS = {
    row.section: row
    for row in (
        _row("footprint", "FootprintMask", "FootprintMask", "weightMaskGeneric", "Footprint"),
        _row("bitmask", "BitMask", "BitMask", "bitMask", "BitMask"),
        _row("coverage", "CoverageMask", "CoverageMask", "coverageMask", "Coverage"),
        _row("info", "InfoMap", "InfoMap", "infoMap", "InfoMaps", "InfoMap"),
        _row("depth", "DepthMap", "DepthMap", "depthMap", "Depth"),
        _row("visibility", "VisibilityMask", "VisibilityMask", "visibilityMask", "Visibility"),
        _row("random", "Random", "Random", "randomCatalog", "Random"),
        _row("mangle", "Mangle", "Mangle", "mangle", "Mangle"),
    )
}
"""Section -> names. Those of bit mask, coverage and mangle follow the pattern of the published ones."""


@dataclass(frozen=True)
class Told:
    """What parameter products say.

    Attributes
    ----------
    parameters : Parameters
        The inputs are those of the base; without one they are a placeholder, the present folder.
    tiles : tuple of str
        Tiles that stage 1 shall process (an argument of a run, not a parameter); empty = all.
    classes : tuple of str
        Classes of galaxies that random catalogues shall follow: an argument as well.
    """

    parameters: Parameters
    tiles: tuple[str, ...]
    classes: tuple[str, ...] = ()


# -- writing ----------------------------------------------------------------------------------------------------------


def write_parameters(
    parameters: Parameters, folder: str | Path, created: datetime, *, namespace: str = NAMESPACE
) -> list[Path]:
    """Write the parameter products of a survey.

    Parameters
    ----------
    parameters : Parameters
    folder : path
        Need not exist yet; products of the same survey there are replaced.
    created : datetime
        Creation instant, for the header.
    namespace : str
        Base of the namespace.

    Returns
    -------
    list of Path
        One ``<Dpd name>-<survey>.xml`` a product.

    Raises
    ------
    StorageError
        The system refuses.
    """
    made = []
    for names in PRODUCTS.values():
        if names.section in Parameters.model_fields:
            path = Path(folder) / f"{names.dpd}-{encode_name(parameters.survey.name)}.xml"
            with write_whole(path) as temporary:
                temporary.write_bytes(_document(parameters, names, created, namespace))
            made.append(path)
    return made


def _document(parameters: Parameters, names: ParameterProduct, created: datetime, namespace: str) -> bytes:
    values = _values_of(parameters, names)
    target = f"{namespace}/{names.schema}"
    root = etree.Element(f"{{{target}}}{names.dpd}", nsmap={PREFIX: target})
    identity = uuid.uuid5(uuid.NAMESPACE_URL, f"vmpz:{_digest(names, values)}")
    write_header(root, names.dpd, str(identity), parameters.survey.release, version("vmpz"), created)
    data = etree.SubElement(root, "Data")
    write_elements(data, names.section, values)
    if names.section == "visibility":
        write_classes(data, values)
    etree.SubElement(root, "QualityFlags")
    said = Said()
    _read_data(data, names, said, lambda element: str(element.tag))
    block = etree.SubElement(root, "Parameters")
    for key, value in values.items():
        if key not in said.values:
            _write_pair(block, key, value)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def _values_of(parameters: Parameters, names: ParameterProduct) -> dict[str, Any]:
    values = flatten(parameters, (*SHARED, names.section))
    beside = BESIDE.get(names.section)
    return (
        values if beside is None else values | {beside: flatten(parameters, [beside.split(".")[0]])[beside]}
    )


def _digest(names: ParameterProduct, values: Mapping[str, Any]) -> str:
    texts = {key: None if value is None else value_text(key, value) for key, value in values.items()}
    return hashlib.sha256(json.dumps([names.dpd, texts], sort_keys=True).encode()).hexdigest()


def _write_pair(block: Element, key: str, value: Any) -> None:
    pair = etree.SubElement(block, "Parameter")
    etree.SubElement(pair, "Key").text = key
    if value is not None:
        etree.SubElement(pair, "Value").text = encode(value_text(key, value))
    if unit_of(key):
        etree.SubElement(pair, "Unit").text = unit_of(key)


# -- the schema -------------------------------------------------------------------------------------------------------


@cache
def params_schema(names: ParameterProduct, namespace: str = NAMESPACE) -> etree.XMLSchema:
    """The unofficial schema of a parameter product."""
    return etree.XMLSchema(_rules(names, namespace))


def _rules(names: ParameterProduct, namespace: str) -> Element:
    text = (resources.files("vmpz") / "data" / "params.xsd").read_text("utf-8")
    for mark, value in {
        "@NAMESPACE@": f"{namespace}/{names.schema}",
        "@DPD@": names.dpd,
        "@TYPE@": names.data_type,
    }.items():
        text = text.replace(mark, value)
    return etree.fromstring(text.encode())


@cache
def _order(names: ParameterProduct) -> dict[str, int]:
    """Place of each element in the schema."""
    order: dict[str, int] = {}
    for number, rule in enumerate(_rules(names, NAMESPACE).iter("{*}element")):
        order.setdefault(str(rule.get("name")), number)
    return order


# -- reading ----------------------------------------------------------------------------------------------------------


def read_parameters(
    paths: Iterable[str | Path], base: Parameters | None = None, ignore: Iterable[str] = ()
) -> Told:
    """Parameters of one or several parameter products.

    Parameters
    ----------
    paths : iterable of path
        XML files, or folders that hold nothing else.
    base : Parameters, optional
        Speaks where the products do not; default the defaults.
    ignore : iterable of str
        Elements and keys that no parameter can hold and that may be passed over.

    Raises
    ------
    InputError
        A file is no parameter product or breaks the schema, two disagree, a value is impossible, or something has no
        place in the parameters; messages have the form ``file:line: element: what must hold, found``.
    """
    said = Said()
    files = [file for path in paths for file in _files(Path(path))]
    if not files:
        raise InputError("parameter products must be named, found none")
    for path in files:
        _read_product(path, said)
    passed = set(ignore)
    homeless = [f"{place}: {message}" for name, place, message in said.homeless if name not in passed]
    if homeless:
        raise InputError("\n".join(homeless))
    below = NO_INPUTS if base is None else flatten(base, Parameters.model_fields)
    values = _completed(said, below)
    return Told(validated(values, said.places), tuple(said.tiles), tuple(said.classes))


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(path.glob("*.xml"))
    if not found:
        raise InputError(f"{path}: must hold parameter products (*.xml), found none")
    return found


def _completed(said: Said, below: Mapping[str, Any]) -> dict[str, Any]:
    """What the products say over the base, with flag names for numbers, and everything that they rely on."""
    _find_list_of_tiles(said, below)
    complete_classes(said, below)
    values = overlaid(below, said.values)
    for key in said.numbered:
        values[key] = names_of_bits(said, key, values.get("bitmask.table", {}))
    for key, place in said.wanted.items():
        if not any(values[one] is not None for one in values if one == key or one.startswith(f"{key}.")):
            raise InputError(f"{place}: {key}: must be given beside it, or by the base; found nothing")
    return values


def _find_list_of_tiles(said: Said, below: Mapping[str, Any]) -> None:
    """Give the patch of a list of tiles its name; one of which only the id is said is that of the base.

    Raises
    ------
    InputError
        The tiles of the list stand nowhere.
    """
    list_id, head = said.values.get("patches.0.list_id"), "patches.0."
    if list_id is None:
        return
    if any(f"{head}{one}" in said.values for one in EXTENTS):
        said.values.setdefault(f"{head}name", list_id)
        return
    known = re.compile(r"(patches\.\d+\.)(?:list_id|name)")
    found = [match[1] for key, value in below.items() if (match := known.fullmatch(key)) and value == list_id]
    if not found:
        raise InputError(
            f"{said.places[f'{head}list_id']}: must stand beside its tiles (PatchTileList/TileIndexList), or be the "
            f"list_id of a patch of the base; found {list_id} alone"
        )
    told = {key: said.values.pop(key) for key in list(said.values) if key.startswith(head)}
    said.values |= {key: value for key, value in below.items() if key.startswith("patches.")}
    said.values |= {key.replace(head, found[0], 1): value for key, value in told.items()}


def _read_product(path: Path, said: Said) -> None:
    root = parse_xml(str(path))
    where = _Place(path, root)
    names = next((row for row in PRODUCTS.values() if root.tag in row.names), None)
    if names is None:
        known = ", ".join(row.dpd for row in PRODUCTS.values())
        raise InputError(f"{path}:{root.sourceline}: root must be one of {known}; found {root.tag}")
    kind = root.find("Header/ProductType")
    if kind is not None and (kind.text or "").strip() not in names.names:
        raise InputError(f"{where(kind)}: must be {names.dpd}, found {kind.text}")
    for data in root.iterfind("Data"):
        _arrange(data, names)
    _check(root, names, path)
    for data in root.iterfind("Data"):
        _read_data(data, names, said, where)
    for pair in root.iterfind("Parameters/Parameter"):
        _read_pair(pair, names, said, where)


def _read_data(data: Element, names: ParameterProduct, said: Said, where: Where) -> None:
    read_elements(data, names.section, said, where)
    if names.section == "visibility":
        read_classes(data, said, where)


class _Place:
    """Where an element stands: ``file:line: path below the root``."""

    def __init__(self, path: Path, root: Element) -> None:
        self.path = path
        self.tree = root.getroottree()

    def __call__(self, element: Element) -> str:
        below = self.tree.getpath(element).split("/", 2)[-1]
        return f"{self.path}:{element.sourceline}: {below}"


def _arrange(data: Element, names: ParameterProduct) -> None:
    """Lift what stands inside blocks ``<X>Params`` and put elements into the order of the schema (none is public)."""
    for block in [one for one in data if str(one.tag).endswith("Params")]:
        data.extend(list(block))
        data.remove(block)
    order = _order(names)
    data[:] = sorted(data, key=lambda element: order.get(str(element.tag), len(order)))


def _check(root: Element, names: ParameterProduct, path: Path) -> None:
    """Validate by the schema; of several messages about one element the first tells most."""
    root.tag = f"{{{NAMESPACE}/{names.schema}}}{names.dpd}"
    rules = params_schema(names)
    valid = rules.validate(root)
    root.tag = names.dpd
    if valid:
        return
    told: dict[tuple[int, str], str] = {}
    entries: Any = rules.error_log
    for error in entries:
        element = "/".join(error.path.split("/")[2:]) or names.dpd
        message = re.sub(r"^Element '[^']*'(, attribute '[^']*')?: ", "", error.message).rstrip(".")
        told.setdefault((error.line, element), f"{path}:{error.line}: {element}: {message}")
    raise InputError("\n".join(told.values()))


def _read_pair(pair: Element, names: ParameterProduct, said: Said, where: _Place) -> None:
    """One key and its value; a parameter of another product is as homeless as a foreign one."""
    key, place = (pair.findtext("Key") or "").strip(), where(pair)
    section = key.partition(".")[0]
    own = {*SHARED, names.section} & set(Parameters.model_fields)
    if section not in own and key != BESIDE.get(names.section):
        known = ", ".join(sorted(own))
        said.homeless.append(
            (key, place, f"must be a parameter of {known}, or be ignored by name; found {key}")
        )
        return
    unit = (pair.findtext("Unit") or "").strip()
    if unit and unit_of(key) and unit != unit_of(key):
        raise InputError(f"{place}: {key}: must be in {unit_of(key)}, found {unit}")
    texts = [one.text or "" for one in pair if str(one.tag).endswith("Value")]
    if len(texts) > 1:
        raise InputError(f"{place}: {key}: must have one value, found {' and '.join(texts)}")
    try:
        said.add(key, value_of(key, decode(texts[0])) if texts else None, f"{place}: {key}")
    except ValueError as error:
        raise InputError(f"{place}: {key}: {error}") from error
