"""XML descriptors of MER products: mosaics (`DpdMerBksMosaic`, `DpdMerMosaic`) and tiles (`DpdMerTile`).

Elements are looked up by local name. The structure of `DpdMerTile` is not public: NUNIQ lists are taken from the text
of `InnerNUNIQIndex` (numbers apart by blanks or commas, in one element or many), polygons from
`InnerSpatialFootprint` (Polygon/Vertex/C1, C2 in degrees).
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from vmpz.errors import InputError
from vmpz.files.fits import open_regular
from vmpz.files.xml import MAX_BYTES, Element, parse_xml, text_at, texts_at
from vmpz.frames import FileRef
from vmpz.sky.cells import CellSet
from vmpz.sky.regions import Polygon

__all__ = ["Mosaic", "number_at", "read_mosaic", "read_tiles", "tile_of", "xml_ref"]

MOSAICS = ("DpdMerBksMosaic", "DpdMerMosaic")
STORAGES = {
    "DataStorage": "IMAGE",
    "RmsStorage": "RMS",
    "FlagStorage": "FLAG",
    "BackgroundStorage": "BACKGROUND",
    "PsfModelStorage": "PSF",
    "LayersStorage": "LAYERS",
    "BrightStarMasksStorage": "STARMASK",
}
"""Element of Data to the kind of file it names."""
LARGEST_NUMBER = 1e6


@dataclass(frozen=True)
class Mosaic:
    """What the descriptor of one mosaic says.

    Attributes
    ----------
    files, md5 : mapping of str to str
        Kind to file name as written, and to its MD5 where one is stated.
    footprint : tuple of (float, float)
        Vertices of ImgSpatialFootprint, degrees.
    """

    ref: FileRef
    tile: str
    band: str
    instrument: str
    zero_point: float | None
    footprint: tuple[tuple[float, float], ...]
    release: str
    created: str
    date_obs: str
    date_end: str
    files: Mapping[str, str]
    md5: Mapping[str, str]


def read_mosaic(location: str) -> Mosaic | str:
    """Read the descriptor of a mosaic; for another product, its name.

    Raises
    ------
    InputError
        It is not safe or well-formed XML, or a mosaic whose tile, filter, zero point or polygon is not what it must be.
    """
    root = parse_xml(location)
    if root.tag not in MOSAICS:
        return str(root.tag)
    band = text_at(root, "Data/Filter/Name", location) or text_at(
        root, "Data/Filter", location, required=True
    )
    containers = dict(_containers(root))
    names = {kind: text_at(box, "FileName", location) for kind, box in containers.items()}
    sums = {kind: box.get("checksumValue", "").lower() for kind, box in containers.items() if _has_md5(box)}
    return Mosaic(
        ref=xml_ref(location),
        tile=_tile_id(root, location),
        band=band or "-",
        instrument=text_at(root, "Data/Instrument/Name", location)
        or text_at(root, "Data/Instrument", location)
        or "-",
        zero_point=number_at(root, location, "Data/ZeroPoint/Value", "Data/ZeroPoint"),
        footprint=tuple(_vertices(root, "Data/ImgSpatialFootprint", location)),
        release=text_at(root, "Header/DataSetRelease", location) or "-1",
        created=text_at(root, "Header/CreationDate", location) or "-1",
        date_obs=text_at(root, "Data/FirstObservationDateTime", location) or "-1",
        date_end=text_at(root, "Data/LastObservationDateTime", location) or "-1",
        files={kind: name for kind, name in names.items() if name},
        md5={kind: value for kind, value in sums.items() if re.fullmatch("[0-9a-f]{32}", value)},
    )


def read_tiles(location: str) -> dict[str, CellSet | Polygon]:
    """Inner areas of MER tiles by tile id.

    Parameters
    ----------
    location : str
        A `DpdMerTile` descriptor, a folder of them (searched through), or a text file that lists descriptors, one a
        line, relative to it.

    Returns
    -------
    dict of str to CellSet or Polygon
        The NUNIQ list where there is one, else the polygon; in ascending order of id.

    Raises
    ------
    InputError
        There is no tile, a descriptor holds no inner area, or two of them give one tile different areas.
    """
    tiles: dict[str, CellSet | Polygon] = {}
    origin: dict[str, str] = {}
    for path in _tile_files(Path(location)):
        root = parse_xml(str(path))
        if root.tag != "DpdMerTile":
            continue
        tile = _tile_id(root, str(path))
        area = _inner_area(root, str(path))
        if tile in tiles and tiles[tile] != area:
            raise InputError(f"tile {tile} must have one inner area, found two in {origin[tile]} and {path}")
        tiles[tile], origin[tile] = area, str(path)
    if not tiles:
        raise InputError(f"{location}: must hold DpdMerTile descriptors, found none")
    return dict(sorted(tiles.items()))


def tile_of(location: str) -> str:
    """Tile id of a descriptor that is otherwise refused, '-' where it cannot be told."""
    try:
        return _tile_id(parse_xml(location), location)
    except InputError:
        return "-"


def number_at(root: Element, where: str, *paths: str) -> float | None:
    """The number at the first of some paths that has a text; None where none has.

    Raises
    ------
    InputError
        The text is no number below 1e6 in size, or there are several.
    """
    for path in paths:
        text = text_at(root, path, where)
        if text is None:
            continue
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not abs(value) < LARGEST_NUMBER:
            raise InputError(f"{where}: {path} must be a finite number, found {text[:80]!r}")
        return value
    return None


def xml_ref(location: str) -> FileRef:
    """Reference to a small file, identified by its whole content."""
    with open_regular(location) as handle:
        data = handle.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise InputError(f"{location}: must be at most {MAX_BYTES} bytes")
    return FileRef(location, 0, len(data), hashlib.sha256(data).hexdigest(), True)


def _tile_files(location: Path) -> list[Path]:
    if location.is_dir():
        return sorted(path for path in location.rglob("*.xml") if path.is_file())
    if location.suffix.lower() == ".xml":
        return [location]
    with open_regular(str(location)) as handle:
        try:
            lines = handle.read(1 << 26).decode("utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise InputError(f"{location}: must be a list of file names in UTF-8") from error
    names = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return [location.parent / name for name in names]


def _inner_area(root: Element, where: str) -> CellSet | Polygon:
    text = " ".join("".join(map(str, box.itertext())) for box in root.iterfind("Data//InnerNUNIQIndex"))
    numbers = text.replace(",", " ").split()
    if numbers:
        try:
            return CellSet.from_uniq([int(number) for number in numbers])
        except (ValueError, OverflowError) as error:
            raise InputError(f"{where}: InnerNUNIQIndex must list NUNIQ cells, found: {error}") from error
    vertices = list(_vertices(root, "Data//InnerSpatialFootprint", where))
    if not vertices:
        raise InputError(f"{where}: must hold InnerNUNIQIndex or InnerSpatialFootprint, found neither")
    return Polygon(vertices)


def _containers(root: Element) -> Iterable[tuple[str, Element]]:
    """The first DataContainer below each storage."""
    for name, kind in STORAGES.items():
        for storage in root.iterfind(f"Data/{name}"):
            box = storage.find(".//DataContainer")
            if box is not None:
                yield kind, box
                break


def _has_md5(box: Element) -> bool:
    return (box.get("checksumMethod") or "").upper() == "MD5"


def _tile_id(root: Element, where: str) -> str:
    text = (
        text_at(root, "Data/TileIndex", where) or text_at(root, "Data//TileIndex", where, required=True) or ""
    )
    if not re.fullmatch(r"\d{1,12}", text):
        raise InputError(f"{where}: TileIndex must be a number, found {text[:80]!r}")
    return text


def _vertices(root: Element, path: str, where: str) -> Iterable[tuple[float, float]]:
    """Vertices of the first polygon below a path."""
    box = root.find(path)
    polygon = None if box is None else box.find(".//Polygon")
    for vertex in () if polygon is None else polygon.iterfind("Vertex"):
        pair = [texts_at(vertex, axis) or texts_at(vertex, f"Position/{axis}") for axis in ("C1", "C2")]
        try:
            lon, lat = (float(texts[0]) for texts in pair)
        except (ValueError, IndexError) as error:
            raise InputError(
                f"{where}: {path}: a Vertex must hold numbers C1 and C2, found {pair}"
            ) from error
        if not (abs(lon) <= 360.0 and abs(lat) <= 90.0):
            raise InputError(f"{where}: {path}: C1, C2 must be RA and Dec in degrees, found {lon}, {lat}")
        yield lon, lat
