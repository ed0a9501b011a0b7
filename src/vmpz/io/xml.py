"""XML descriptors: one beside every FITS product and every mangle file.

Only the root is namespaced; readers look up ``Header/...`` and ``Data/...`` without namespace. The official
schemas are not public: the namespace is the project's own (`NAMESPACE`, an argument everywhere) and `schema`
gives an unofficial one to validate with. The project's keywords are repeated as key, value and unit; of a mangle file,
which has no header, also those that a FITS file holds in its primary header (`vmpz.io.manglekeys`).
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

from lxml import etree

from vmpz.errors import InputError
from vmpz.files.write import write_whole
from vmpz.files.xml import confined, parse_xml, text_at, texts_at
from vmpz.io.envelope import envelope
from vmpz.io.inventory import Kind, kind_of, kind_of_name
from vmpz.io.manglekeys import from_pairs, to_pairs
from vmpz.io.metadata import OWN, decode, encode, encode_name, keyword, keywords_of
from vmpz.products import Product, Scalar

__all__ = [
    "NAMESPACE",
    "PREFIX",
    "Descriptor",
    "md5_of",
    "read_descriptor",
    "schema",
    "write_descriptor",
    "write_header",
]

NAMESPACE = "urn:vmpz:unofficial/schema/dpd/le3/id/vmpz/out"
"""Base of the namespaces; the name of the schema follows after a slash."""
PREFIX = "dpd-le3-id-vmpz"
VERSION = "0.1"
UNKNOWN = "UNKNOWN"
OF_RANDOMS = ("BITSEL", "DEPTHEST", "BINSEL", "SEED", "NSIMOBJ")
"""Published keywords of a random catalogue that its descriptor repeats."""
NEVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


@dataclass(frozen=True)
class Descriptor:
    """What a descriptor says.

    Attributes
    ----------
    names : Kind
        Kind and form of the product, with its published names.
    product_id, release : str
    created : datetime
    path : Path
        The file, beside the descriptor.
    md5 : str
        '' where none is stated.
    filters, tiles : tuple
        Band names; tile numbers, -1 where the product has none.
    parameters : mapping
        Keywords in the types of the table.
    polygons : tuple of tuples of (lon, lat)
        Envelope, ICRS degrees.
    unit : str
        Of WEIGHT.
    """

    names: Kind
    product_id: str
    release: str
    created: datetime
    path: Path
    md5: str
    filters: tuple[str, ...]
    tiles: tuple[int, ...]
    parameters: Mapping[str, Scalar]
    polygons: tuple[tuple[tuple[float, float], ...], ...]
    unit: str = ""


# -- writing --------------------------------------------------------------------------------------------------------


def write_descriptor(
    product: Product,
    path: Path,
    fits: Path,
    form: str,
    *,
    convention: str = "OBSERVED",
    tiles: Sequence[int] = (),
    namespace: str = NAMESPACE,
) -> None:
    """Write the descriptor of a FITS file that exists.

    Parameters
    ----------
    product : Product
        With a provenance.
    path, fits : Path
        The descriptor and its file, in one folder.
    form : {'healpix', 'moc', 'mangle', 'catalogue'}
    convention : {'OBSERVED', 'MER'}
    tiles : sequence of int
        Tiles of a patch.
    namespace : str
        Base of the namespace.
    """
    names = kind_of(product.key.kind, form)
    target = f"{namespace}/{names.schema}"
    root = etree.Element(f"{{{target}}}{names.dpd}", nsmap={PREFIX: target})
    words = keywords_of(product, convention)
    _header(root, product, names)
    data = etree.SubElement(root, "Data")
    _file(data, names, fits)
    _selection(data, names, product, words, tiles)
    _coverage(data, product)
    if names.kind == "random":
        _catalogue(data, names)
    etree.SubElement(root, "QualityFlags")
    told = {
        name: value
        for name, value in words.items()
        if ((row := keyword(name)) and row.name in OWN) or (names.kind == "random" and name in OF_RANDOMS)
    }
    told = (to_pairs(product.key.kind, words) if form == "mangle" else {}) | told
    _parameters(etree.SubElement(root, "Parameters"), told, product.unit)
    with write_whole(path) as temporary:
        temporary.write_bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True))


def _add(parent: etree._Element, name: str, text: str, /, **attributes: str) -> etree._Element:
    child = etree.SubElement(parent, name, attributes)
    child.text = text
    return child


def _instant(moment: datetime) -> str:
    moment = moment.astimezone(UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def _header(root: etree._Element, product: Product, names: Kind) -> None:
    source = product.provenance
    if source is None:
        raise InputError(
            f"{product.key}: a descriptor holds the creation instant; the product has no provenance"
        )
    version = source.versions.get("vmpz", UNKNOWN)
    write_header(root, names.dpd, source.product_id, product.key.release, version, source.created)


def write_header(
    root: etree._Element, dpd: str, product_id: str, release: str, version: str, created: datetime
) -> None:
    """Write the element Header of any product, its children in the order of the data model.

    Parameters
    ----------
    root : Element
        Root of the product.
    dpd, product_id : str
        Type and id of the product.
    release, version : str
        Data release ('-' where there is none), version of the package.
    created : datetime
    """
    header = etree.SubElement(root, "Header")
    for name, text in {
        "ProductId": product_id,
        "ProductType": dpd,
        "SoftwareName": "vmpz",
        "SoftwareRelease": version,
        "EuclidPipelineSoftwareRelease": UNKNOWN,
        "ProdSDC": UNKNOWN,
        "DataSetRelease": UNKNOWN if release == "-" else encode(release),
        "Purpose": UNKNOWN,
        "PlanId": UNKNOWN,
        "PPOId": UNKNOWN,
        "PipelineDefinitionId": UNKNOWN,
        "PpoStatus": UNKNOWN,
        "ManualValidationStatus": UNKNOWN,
        "ProductNotifiedToBeChecked": "false",
        "AutomatedValidationStatus": UNKNOWN,
        "ExpirationDate": _instant(NEVER),
        "ToBePublished": "0",
        "Published": "0",
        "Curator": UNKNOWN,
        "CreationDate": _instant(created),
    }.items():
        _add(header, name, text)


def _file(data: etree._Element, names: Kind, fits: Path) -> None:
    """The file; of a catalogue, which may have billions of rows, no digest that takes a second reading."""
    holder = etree.SubElement(data, names.element, {"format": names.format_id, "version": VERSION})
    container = etree.SubElement(holder, "DataContainer", {"filestatus": "PROPOSED"})
    if names.kind != "random":
        container.attrib.update({"checksumMethod": "MD5", "checksumValue": md5_of(fits)})
    _add(container, "FileName", fits.name)


def md5_of(path: Path) -> str:
    """MD5 of a file, hexadecimal, as descriptors state it."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _selection(
    data: etree._Element, names: Kind, product: Product, words: Mapping[str, Scalar], tiles: Sequence[int]
) -> None:
    selection = etree.SubElement(data, names.params)
    if product.key.kind == "info":
        _add(selection, "Subtype", encode(product.key.quantity))
    for name, key in (("DateObs", "DATE-OBS"), ("DateEnd", "DATE-END")) if names.kind == "random" else ():
        if words[key] != "-1":
            _add(selection, name, f"{words[key]}Z")
    filters = etree.SubElement(selection, "FilterList")
    several = str(words["FILTLST"])
    for band in several.split(",") if several != "-1" else [str(words["FILTER"])]:
        _add(etree.SubElement(filters, "Filter"), "Name", encode_name(band))
    numbers = [str(tile) for tile in tiles] or [str(words["TILEID"])]
    _add(etree.SubElement(selection, "PatchTileList"), "TileIndexList", " ".join(numbers))


def _catalogue(data: etree._Element, names: Kind) -> None:
    described = etree.SubElement(data, "CatalogDescription")
    for name, text in {
        "PathToCatalogFile": f"{names.dpd}.Data.{names.element}.DataContainer.FileName",
        "CatalogType": "RANDOM",
        "CatalogOrigin": "SIMULATION",
        "CatalogName": names.stem,
        "CatalogFormatHDU": "1",
    }.items():
        _add(described, name, text)


def _coverage(data: etree._Element, product: Product) -> None:
    coverage = etree.SubElement(data, "SpatialCoverage")
    for vertices in envelope(product.map.cells):
        polygon = etree.SubElement(coverage, "Polygon")
        for lon, lat in vertices.tolist():
            vertex = etree.SubElement(polygon, "Vertex")
            _add(vertex, "C1", f"{lon:.10f}" if lon < 359.99999999995 else "0.0000000000")
            _add(vertex, "C2", f"{lat:.10f}")


def _parameters(parameters: etree._Element, words: Mapping[str, Scalar], unit: str) -> None:
    if unit:
        one = etree.SubElement(parameters, "Parameter")
        _add(one, "Key", "TUNIT2")
        _add(one, "Value", encode(unit))
    for name, value in words.items():
        row = keyword(name)
        one = etree.SubElement(parameters, "Parameter")
        _add(one, "Key", name)
        _add(
            one,
            "Value",
            encode(value)
            if isinstance(value, str)
            else str(value).lower()
            if value is True or value is False
            else repr(value),
        )
        if row is not None and row.unit:
            _add(one, "Unit", row.unit)


def schema(names: Kind, namespace: str = NAMESPACE) -> etree.XMLSchema:
    """The unofficial schema of a product."""
    text = (resources.files("vmpz") / "data" / "product.xsd").read_text("utf-8")
    if names.kind == "random":
        text = text.replace('"Data" type="mapData"', '"Data" type="catalogueData"')
    for mark, value in {
        "@NAMESPACE@": f"{namespace}/{names.schema}",
        "@DPD@": names.dpd,
        "@ELEMENT@": names.element,
        "@FORMAT@": names.format_id,
    }.items():
        text = text.replace(mark, value)
    return etree.XMLSchema(etree.fromstring(text.encode()))


# -- reading --------------------------------------------------------------------------------------------------------


def read_descriptor(path: Path) -> Descriptor:
    """What a descriptor says; any namespace.

    Raises
    ------
    InputError
        It is not a descriptor of a known product, has a DOCTYPE, lacks an element, or names a file outside its folder.
    """
    root, where = parse_xml(str(path)), str(path)
    names = kind_of_name(root.tag)
    if names is None:
        raise InputError(f"{where}: root must be one of the products of VMPZ-ID, found {root.tag}")
    container = f"Data/{names.element}/DataContainer"
    params = f"Data/{names.params}"
    element = root.find(container)
    return Descriptor(
        names=names,
        product_id=_text(root, "Header/ProductId", where),
        release=decode(_text(root, "Header/DataSetRelease", where)),
        created=_created(_text(root, "Header/CreationDate", where), where),
        path=confined(path.parent, _text(root, f"{container}/FileName", where), where),
        md5="" if element is None else str(element.get("checksumValue", "")),
        filters=tuple(decode(text) for text in texts_at(root, f"{params}/FilterList/Filter/Name")),
        tiles=_tiles(_text(root, f"{params}/PatchTileList/TileIndexList", where), where),
        parameters=_read_parameters(root, names),
        polygons=tuple(_vertices(one, where) for one in root.iterfind("Data/SpatialCoverage/Polygon")),
        unit=decode(dict(_pairs(root)).get("TUNIT2", "")),
    )


def _text(root: etree._Element, path: str, where: str) -> str:
    return text_at(root, path, where, required=True) or ""


def _created(text: str, where: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"{where}: CreationDate must be an ISO date and time, found {text!r}") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _tiles(text: str, where: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.replace(",", " ").split())
    except ValueError:
        raise InputError(f"{where}: TileIndexList must hold integers, found {text[:80]!r}") from None


def _vertices(polygon: etree._Element, where: str) -> tuple[tuple[float, float], ...]:
    try:
        return tuple(
            (float(vertex.findtext("C1", "")), float(vertex.findtext("C2", "")))
            for vertex in polygon.iterfind("Vertex")
        )
    except ValueError:
        raise InputError(f"{where}: C1 and C2 of a Vertex must be numbers") from None


def _pairs(root: etree._Element) -> list[tuple[str, str]]:
    return [
        (one.findtext("Key", ""), one.findtext("Value", "")) for one in root.iterfind("Parameters/Parameter")
    ]


def _read_parameters(root: etree._Element, names: Kind) -> dict[str, Scalar]:
    found: dict[str, Scalar] = {}
    pairs = _pairs(root)
    for name, text in from_pairs(names.kind, pairs) if names.form == "mangle" else pairs:
        row = keyword(name)
        if row is None:
            continue
        try:
            found[name] = text == "true" if row.type is bool else row.type(decode(text))
        except ValueError:
            continue
    return found
