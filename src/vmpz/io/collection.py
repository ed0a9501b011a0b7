"""Collections: what a patch holds and what it lacks, as ``DpdCollectionVMPZ`` XML and the same as JSON.

Every product that could be there is listed with its state, grouped into series that differ in area alone: PRESENT
(file, sha256, digest, cells, area), EMPTY (made, no cell has a value), NOINPUT (which input), FAILED (why), NOTASKED
(no run has been asked for it, or no input of the band touches the area: `Series.untouched`). A collection is complete
when every relevant product, one whose area an input of its band touches, is PRESENT or EMPTY.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lxml import etree

from vmpz.errors import InputError
from vmpz.files.write import write_whole
from vmpz.files.xml import Element, parse_xml
from vmpz.io.metadata import decode, encode
from vmpz.io.names import collection_name
from vmpz.io.xml import NAMESPACE, PREFIX, write_header
from vmpz.products import ProductKey
from vmpz.products import encode as encode_part

__all__ = [
    "DPD", "Absent", "Collection", "Missing", "Present", "Series", "collection_faults", "collection_schema",
    "read_collection", "write_collection",
]  # fmt: skip

DPD = "DpdCollectionVMPZ"
SCHEMA = "euc-le3-id-vmpz-Collection.xsd"
MAX_BYTES = 1 << 31
SHARED_TYPES = ("genericHeader", "qualityFlags", "keyValueParameters", "key", "text", "instant", "uuid")
"""Types of the schema of products that this one uses too."""


@dataclass(frozen=True, slots=True)
class Present:
    """A product that is there.

    `digest` is that of its provenance; `cells` counts the listed cells, None for a table that has none; `area_deg2` is
    the observed area where the product states one, else that of the listed cells.
    """

    area: str
    file: str
    sha256: str
    digest: str
    cells: int | None = None
    area_deg2: float | None = None


@dataclass(frozen=True, slots=True)
class Absent:
    """An area where the product is not, and why."""

    area: str
    reason: str


@dataclass(frozen=True)
class Series:
    """Products that differ in area alone; areas ascend.

    Attributes
    ----------
    key : ProductKey
        What they share. Its area is '-' for the products of the tiles, and the patch for its own product.
    present : tuple of Present
    empty : tuple of str
        Areas of products without any cell.
    no_input, failed : tuple of Absent
    not_asked : tuple of str
        Areas that an input touches, for which no run has made the product.
    untouched : tuple of str
        Areas that no input of the band touches: not relevant.
    """

    key: ProductKey
    present: tuple[Present, ...] = ()
    empty: tuple[str, ...] = ()
    no_input: tuple[Absent, ...] = ()
    failed: tuple[Absent, ...] = ()
    not_asked: tuple[str, ...] = ()
    untouched: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Missing:
    """A relevant product that is neither PRESENT nor EMPTY."""

    key: ProductKey
    state: str
    reason: str

    def __str__(self) -> str:
        return f"{self.state}: {self.key}: {self.reason}"


@dataclass(frozen=True)
class Collection:
    """What a patch holds and what it lacks.

    Attributes
    ----------
    id : str
        UUID that follows from the content.
    release, patch : str
    order : int
        Of the products of the patch.
    series : tuple of Series
        In the order of their keys.
    """

    id: str
    release: str
    patch: str
    order: int
    series: tuple[Series, ...]

    @property
    def is_complete(self) -> bool:
        """Whether every relevant product is PRESENT or EMPTY."""
        return next(self.missing(), None) is None

    def missing(self) -> Iterator[Missing]:
        """Relevant products that are neither, with the reason."""
        for one in self.series:
            told = [(absent.area, "NOINPUT", absent.reason) for absent in one.no_input]
            told += [(absent.area, "FAILED", absent.reason) for absent in one.failed]
            told += [(area, "NOTASKED", "no run has made it") for area in one.not_asked]
            for area, state, reason in sorted(told):
                yield Missing(replace(one.key, area=area), state, reason)

    def counts(self) -> dict[str, int]:
        """Number of products by state."""
        return {
            "PRESENT": sum(len(one.present) for one in self.series),
            "EMPTY": sum(len(one.empty) for one in self.series),
            "NOINPUT": sum(len(one.no_input) for one in self.series),
            "FAILED": sum(len(one.failed) for one in self.series),
            "NOTASKED": sum(len(one.not_asked) + len(one.untouched) for one in self.series),
        }


# -- writing ----------------------------------------------------------------------------------------------------------


def write_collection(collection: Collection, folder: str | Path, created: datetime) -> tuple[Path, Path]:
    """Write a collection as XML and as JSON, ``DpdCollectionVMPZ-<patch>-<time>Z_<release>``, series by series.

    Parameters
    ----------
    collection : Collection
    folder : path
    created : datetime
        Creation instant, for the names and the headers.

    Returns
    -------
    tuple of Path
        XML, JSON.
    """
    name = collection_name(DPD, collection.patch, created, collection.release)
    xml, other = (Path(folder) / f"{name}.{end}" for end in ("xml", "json"))
    with write_whole(xml) as temporary, etree.xmlfile(str(temporary), encoding="UTF-8") as stream:
        _write_xml(stream, collection, created)
    with write_whole(other) as temporary, temporary.open("w", encoding="utf-8") as text:
        text.writelines(_json_of(collection, created))
    return xml, other


def _write_xml(stream: Any, collection: Collection, created: datetime) -> None:
    target = f"{NAMESPACE}/{SCHEMA}"
    stream.write_declaration()
    with stream.element(f"{{{target}}}{DPD}", nsmap={PREFIX: target}):
        stream.write("\n")
        holder = etree.Element("holder")
        write_header(holder, DPD, collection.id, collection.release, version("vmpz"), created)
        stream.write(holder[0], pretty_print=True)
        with stream.element("Data"):
            stream.write("\n")
            head = {"Patch": encode(collection.patch), "Order": str(collection.order)}
            for name, value in (head | {"Complete": str(collection.is_complete).lower()}).items():
                stream.write(_element(name, value), pretty_print=True)
            for one in collection.series:
                stream.write(_series_element(one), pretty_print=True)
        stream.write("\n")
        stream.write(_element("QualityFlags"), pretty_print=True)
        parameters = _element("Parameters")
        for state, count in collection.counts().items():
            parameter = etree.SubElement(parameters, "Parameter")
            parameter.extend([_element("Key", state), _element("Value", str(count))])
        stream.write(parameters, pretty_print=True)


def _element(name: str, text: str | None = None, /, **attributes: str) -> Element:
    element = etree.Element(name, attributes)
    element.text = text
    return element


def _series_element(series: Series) -> Element:
    root = _element("Series", **{name: encode(str(value)) for name, value in asdict(series.key).items()})
    for one in series.present:
        told = {name: getattr(one, name) for name in _PRESENT}
        words = {name: value if isinstance(value, str) else repr(value) for name, value in told.items()}
        known = {name: encode(words[name]) for name, value in told.items() if value is not None}
        root.append(_element("Present", **known))
    for name, areas in _areas_of(series).items():
        if areas:
            root.append(_element(name, " ".join(map(encode_part, areas))))
    for name, absents in _absents_of(series).items():
        root.extend([_element(name, encode(one.reason), area=encode(one.area)) for one in absents])
    return root


_PRESENT = tuple(item.name for item in fields(Present))


def _areas_of(series: Series) -> dict[str, tuple[str, ...]]:
    return {"Empty": series.empty, "NotAsked": series.not_asked, "Untouched": series.untouched}


def _absents_of(series: Series) -> dict[str, tuple[Absent, ...]]:
    return {"NoInput": series.no_input, "Failed": series.failed}


def _json_of(collection: Collection, created: datetime) -> Iterator[str]:
    head = {
        "type": DPD,
        "id": collection.id,
        "release": collection.release,
        "patch": collection.patch,
        "order": collection.order,
        "created": created.astimezone(UTC).isoformat(),
        "complete": collection.is_complete,
        "counts": collection.counts(),
    }
    yield json.dumps(head, indent=1)[:-2] + ',\n "series": ['
    for number, one in enumerate(collection.series):
        key = json.dumps(asdict(one.key))
        rows = ",\n   ".join(json.dumps([getattr(row, name) for name in _PRESENT]) for row in one.present)
        absents = {
            name: [[row.area, row.reason] for row in rows_of] for name, rows_of in _absents_of(one).items()
        }
        rest = json.dumps({name.upper(): told for name, told in (_areas_of(one) | absents).items()})
        yield f'{"," if number else ""}\n  {key[:-1]},\n   "PRESENT": [{rows}],\n   {rest[1:]}'
    yield "\n ]\n}\n"


# -- reading ----------------------------------------------------------------------------------------------------------


def read_collection(path: str | Path) -> Collection:
    """A collection from its XML or its JSON.

    Raises
    ------
    InputError
        The file is no collection.
    """
    path = Path(path)
    try:
        return _from_json(path) if path.suffix == ".json" else _from_xml(parse_xml(str(path), MAX_BYTES))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: must be a collection of products, found {error!r}") from error


def _from_json(path: Path) -> Collection:
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path}: must be at most {MAX_BYTES} bytes, found {path.stat().st_size}")
    content = json.loads(path.read_text("utf-8"))
    if content["type"] != DPD:
        raise ValueError(content["type"])
    told = {name: str(content[name]) for name in ("id", "release", "patch")}
    series = [_series(one, [Present(*row) for row in one["PRESENT"]]) for one in content["series"]]
    return Collection(**told, order=int(content["order"]), series=tuple(series))


def _from_xml(root: Element) -> Collection:
    if root.tag != DPD:
        raise ValueError(root.tag)
    release = decode(root.findtext("Header/DataSetRelease", ""))
    return Collection(
        root.findtext("Header/ProductId", ""),
        "-" if release == "UNKNOWN" else release,
        decode(root.findtext("Data/Patch", "")),
        int(root.findtext("Data/Order", "")),
        tuple(_series_of(one) for one in root.iterfind("Data/Series")),
    )


def _series_of(element: Element) -> Series:
    told: dict[str, Any] = {str(name): decode(str(value)) for name, value in element.attrib.items()}
    for name in ("Empty", "NotAsked", "Untouched"):
        told[name.upper()] = [decode(part) for part in element.findtext(name, "").split()]
    for name in ("NoInput", "Failed"):
        told[name.upper()] = [
            (decode(str(one.attrib["area"])), decode(one.text or "")) for one in element.iterfind(name)
        ]
    return _series(told, [_present_of(one) for one in element.iterfind("Present")])


def _present_of(element: Element) -> Present:
    told = {str(name): decode(str(value)) for name, value in element.attrib.items()}
    cells, area = told.pop("cells", None), told.pop("area_deg2", None)
    return Present(
        **told, cells=None if cells is None else int(cells), area_deg2=None if area is None else float(area)
    )


def _series(told: Mapping[str, Any], present: list[Present]) -> Series:
    parts: dict[str, Any] = {item.name: str(told[item.name]) for item in fields(ProductKey)}
    key = ProductKey(**{**parts, "order": int(parts["order"])})
    no_input, failed = (tuple(Absent(*row) for row in told[name]) for name in ("NOINPUT", "FAILED"))
    empty, not_asked, untouched = (tuple(map(str, told[name])) for name in ("EMPTY", "NOTASKED", "UNTOUCHED"))
    return Series(key, tuple(present), empty, no_input, failed, not_asked, untouched)


# -- checking ---------------------------------------------------------------------------------------------------------


def collection_faults(path: Path) -> list[str]:
    """What is wrong with a collection: its schema, or a twin in the other form that says something else.

    Raises
    ------
    InputError
        The file is no collection.
    """
    found = read_collection(path)
    faults = []
    if path.suffix == ".xml":
        rules = collection_schema()
        parser = etree.XMLParser(resolve_entities=False, no_network=True)
        if not rules.validate(etree.parse(str(path), parser)):
            entries: Any = rules.error_log
            faults += [f"{path}:{entry.line}: {entry.message}" for entry in entries]
    twin = path.with_suffix(".json" if path.suffix == ".xml" else ".xml")
    if twin.is_file() and read_collection(twin) != found:
        faults.append(f"{path}: must say what {twin.name} says, found a difference")
    return faults


def collection_schema() -> etree.XMLSchema:
    """The unofficial schema of a collection; types that products share are those of their schema."""
    rules, shared = (_rules(name) for name in ("collection.xsd", "product.xsd"))
    rules.extend([one for one in shared if one.get("name") in SHARED_TYPES])
    return etree.XMLSchema(rules)


def _rules(name: str) -> Element:
    text = (resources.files("vmpz") / "data" / name).read_text("utf-8")
    return etree.fromstring(
        text.replace("@NAMESPACE@", f"{NAMESPACE}/{SCHEMA}").replace("@DPD@", DPD).encode()
    )
