"""The elements of classes of galaxies in a parameter product of visibility, and the parameters they are, both ways.

A product holds a list of classes, or one class alone. What is published of it is little (BINSEL, DEPTHEST, a luminosity
function or a deep sample, a reference depth); the rest of a class stands in the key/value block, as everywhere.
"""

from collections.abc import Mapping
from typing import Any

from lxml import etree

from vmpz.errors import InputError
from vmpz.files.xml import Element
from vmpz.io.metadata import decode, encode
from vmpz.io.paramselements import NOT_USED, Said, Scalar, Where, number_text, text_of

__all__ = ["complete_classes", "read_classes", "write_classes"]

HEAD = "visibility."
PARTS = (
    Scalar("LuminosityFunction/MStar", "luminosity.m_star", float),
    Scalar("LuminosityFunction/Alpha", "luminosity.alpha", float),
    Scalar("LuminosityFunction/PhiStar", "luminosity.phi_star", float),
    Scalar("LuminosityFunction/Table", "luminosity.table", str),
    Scalar("DeepSample/Catalogue", "deep.catalogue", str),
    Scalar("NumberCounts/Slope", "counts.slope", float),
    Scalar("NumberCounts/Table", "counts.table", str),
    Scalar("Selection/Completeness", "selection.completeness", str),
    Scalar("Selection/SnrLevel", "selection.snr", float),
    Scalar("Selection/Expression", "selection.expression", str),
    Scalar("Selection/Efficiency", "selection.efficiency", str),
    Scalar("SelectionSeed", "seed", int),
)
"""Elements below that of a class, in the order of the schema; keys below that of the class."""
WINDOW = ("RedshiftMin", "RedshiftMax")


def write_classes(data: Element, values: Mapping[str, Any]) -> None:
    """Write what elements can hold of every class."""
    number = 0
    holder: Element | None = None
    while f"{HEAD}{number}.name" in values:
        holder = etree.SubElement(data, "ClassList") if holder is None else holder
        head = f"{HEAD}{number}."
        own = {key.removeprefix(head): value for key, value in values.items() if key.startswith(head)}
        _write_class(etree.SubElement(holder, "Class"), own)
        number += 1


def _write_class(one: Element, values: Mapping[str, Any]) -> None:
    etree.SubElement(one, "BinSel").text = encode(values["name"])
    depths = etree.SubElement(one, "ReferenceDepthList")
    for band, depth in values["reference"].items():
        reference = etree.SubElement(depths, "ReferenceDepth")
        etree.SubElement(reference, "Filter").text = encode(band)
        etree.SubElement(reference, "Depth").text = number_text(depth)
    for part in PARTS:
        value = values.get(part.key)
        if isinstance(value, part.kind):
            element = _below(one, part.element)
            element.text = encode(value) if isinstance(value, str) else number_text(value)
    if "luminosity.redshift" in values:
        for name, edge in zip(WINDOW, values["luminosity.redshift"], strict=True):
            _below(one, f"LuminosityFunction/{name}").text = number_text(edge)


def _below(parent: Element, path: str) -> Element:
    """A new element at the end of a path; what is above it is made where it is missing."""
    *above, last = path.split("/")
    for name in above:
        found = parent.find(name)
        parent = etree.SubElement(parent, name) if found is None else found
    return etree.SubElement(parent, last)


def read_classes(data: Element, said: Said, where: Where) -> None:
    """Read a list of classes, or one class alone.

    Raises
    ------
    InputError
        Two elements disagree, or one is missing beside another.
    """
    holder = data.find("ClassList")
    classes = [data] if holder is None and data.find("BinSel") is not None else []
    for number, one in enumerate(classes if holder is None else list(holder)):
        name = one.find("BinSel")
        if name is not None and text_of(name) != NOT_USED:
            said.add(f"{HEAD}{number}.name", decode(text_of(name)), where(name))
            _read_class(one, f"{HEAD}{number}.", said, where)


def _read_class(one: Element, head: str, said: Said, where: Where) -> None:
    for depths in one.iterfind("ReferenceDepthList"):
        told = {decode(row.findtext("Filter") or ""): float(row.findtext("Depth") or "nan") for row in depths}
        said.add(f"{head}reference", told, where(depths))
    for part in PARTS:
        for element in one.iterfind(part.element):
            text = text_of(element)
            value = decode(text) if part.kind is str else part.kind(text)
            said.add(f"{head}{part.key}", value, where(element))
    edges = [one.find(f"LuminosityFunction/{name}") for name in WINDOW]
    known = [edge for edge in edges if edge is not None]
    if len(known) == 1:
        raise InputError(
            f"{where(known[0])}: must stand beside the other of {' and '.join(WINDOW)}, found one"
        )
    if known:
        said.add(f"{head}luminosity.redshift", [float(text_of(edge)) for edge in known], where(known[0]))


def complete_classes(said: Said, below: Mapping[str, Any]) -> None:
    """A class without a reference depth is that of the same name of the base, but for what is said of it."""
    known = {
        value: key.removesuffix("name")
        for key, value in below.items()
        if key.startswith(HEAD) and key.endswith(".name") and key.count(".") == 2
    }
    names = [
        key for key in said.values if key.startswith(HEAD) and key.endswith(".name") and key.count(".") == 2
    ]
    for key in names:
        head, found = key.removesuffix("name"), known.get(said.values[key])
        if f"{head}reference" in said.values or found is None:
            continue
        own = {one.removeprefix(head) for one in said.values if one.startswith(head)}
        for other, value in below.items():
            rest = other.removeprefix(found)
            if other.startswith(found) and not any(
                rest == one or rest.startswith(f"{one}.") or one.startswith(f"{rest}.") for one in own
            ):
                said.values[head + rest] = value
