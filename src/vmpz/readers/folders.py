"""Folders of MER products: which files are there, and which of them are one frame.

`find_groups` walks a folder, reads its mosaic descriptors, and joins what they do not name by the tokens of the file
names: kind, band and tile. Two files of one kind, tile, band and release are one reprocessed: the later time in the
name wins and the choice is noted; with one time they must be copies, else the frame is refused with both paths.
"""

import filecmp
import os
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from vmpz.errors import InputError
from vmpz.files.fits import open_fits
from vmpz.files.xml import confined
from vmpz.frames import Refused
from vmpz.readers.common import is_selected, is_wanted
from vmpz.readers.descriptors import Mosaic, read_mosaic, tile_of

__all__ = [
    "BANDS",
    "PLANES",
    "Band",
    "Group",
    "band_named",
    "file_named",
    "find_groups",
    "grouped",
    "iso_time",
    "newest",
    "time_in_name",
    "walk",
    "xml_files",
]

Key = TypeVar("Key", bound=tuple[Any, ...])

PLANES = ("IMAGE", "RMS", "FLAG", "BACKGROUND")
MAIN_PLANES = {"IMAGE", "RMS", "FLAG"}


class Band(NamedTuple):
    """A band of MER mosaics: FILTER, INSTRUME and TELESCOP."""

    name: str
    instrument: str
    telescope: str


BANDS = {
    "VIS": Band("VIS", "VIS", "Euclid"),
    **{f"NIR-{b}": Band(f"NIR_{b}", "NISP", "Euclid") for b in "YJH"},
    **{f"DES-{b.upper()}": Band(f"DECAM_{b}", "DECAM", "NOAO") for b in "ugriz"},
    **{f"DECAM-{b.upper()}": Band(f"DECAM_{b}", "DECAM", "NOAO") for b in "ugriz"},
    **{f"LSST-{b.upper()}": Band(f"LSST_{b}", "LSST", "LSST") for b in "ugrizy"},
    **{f"CFIS-{b.upper()}": Band(f"MEGACAM_{b}", "MEGACAM", "CFHT") for b in "ur"},
    **{f"MEGACAM-{b.upper()}": Band(f"MEGACAM_{b}", "MEGACAM", "CFHT") for b in "ur"},
    **{f"PANSTARRS-{b.upper()}": Band(f"PANSTARRS_{b}", "GPC", "PS1") for b in "iz"},
    **{f"WISHES-{b.upper()}": Band(f"HSC_{b}", "HSC", "Subaru") for b in "gz"},
    **{f"HSC-{b.upper()}": Band(f"HSC_{b}", "HSC", "Subaru") for b in "gz"},
    "JEDIS-G": Band("JPCAM_g", "JPCAM", "JST"),
    "JPCAM-G": Band("JPCAM_g", "JPCAM", "JST"),
}
"""Band token of file names to the band."""

BY_NAME = {band.name: band for band in BANDS.values()}

TAIL = r"_TILE(?P<tile>\d{1,12})-[0-9A-Za-z]+_(?P<time>\d{8}T\d{6}(?:\.\d+)?)Z.*\.(?:fits(?:\.gz|\.fz)?|json)"
TOKEN = r"(?P<band>[A-Z][A-Z0-9]*(?:-[A-Z0-9]+)?)"
KINDS = {
    kind: re.compile(f"EUC_MER_{pattern.replace('BAND', TOKEN)}{TAIL}")
    for kind, pattern in {
        "RMS": "MOSAIC-BAND-RMS",
        "FLAG": "MOSAIC-BAND-FLAG",
        "IMAGE": "(?:BGSUB-)?MOSAIC-BAND",
        "BACKGROUND": "BGMOD-BAND",
        "PSF": "CATALOG-PSF-BAND",
        "GRIDPSF": "GRID-PSF-BAND",
        "LAYERS": "(?:MOSAIC-)?LAYERS-BAND",
        "STARMASK": "BRIGHT-STAR-MASKS-BAND",
    }.items()
}
"""Kind of file to the pattern of its name."""


@dataclass
class Group:
    """The files of one frame: kind to path, and the descriptor that names them, if there is one."""

    tile: str
    band: str
    files: dict[str, str]
    mosaic: Mosaic | None = None
    created: str = "-1"
    notes: list[str] = field(default_factory=list)


def band_named(name: str) -> Band:
    """The band of a FILTER value or a file-name token; an unknown one stands for itself."""
    unknown = Band(name, name.replace("-", "_").split("_")[0], "-1")
    return BY_NAME.get(name) or BANDS.get(name) or unknown


def find_groups(location: Path, options: Mapping[str, Any]) -> Iterator[Group | Refused]:
    """Frames below a folder, in order of tile and band, then release; what cannot be read is yielded as `Refused`.

    Parameters
    ----------
    location : Path
        A folder or one mosaic descriptor.
    options : mapping
        Selection by `tiles`, `bands`, `instruments` and `planes`.

    Raises
    ------
    InputError
        There is no such folder, or the descriptor is of another product.
    """
    if location.is_file() or not location.is_dir():
        mosaic = read_mosaic(str(location))
        if isinstance(mosaic, str):
            raise InputError(f"{location}: must describe a MER mosaic, found {mosaic}")
        yield from _described([mosaic], {}, location.parent, options)
        return
    index = walk(location)
    mosaics, refused = _read_descriptors(index, options)
    if not mosaics and not refused and not any(_parse_name(name)[1] for name in index):
        raise InputError(f"{location}: must hold MER mosaics, found no file or descriptor of one")
    found = list(_described(mosaics, index, location, options))
    refused += [group for group in found if isinstance(group, Refused)]
    groups = [group for group in found if isinstance(group, Group)]
    named = {path for group in groups for path in group.files.values()}
    loose = _without_remnants(groups, _loose(index, named, refused, options))
    yield from sorted([*groups, *refused, *loose], key=lambda group: (_tile(group), _name(group)))


def walk(root: Path) -> dict[str, list[Path]]:
    """File name to paths, in a fixed order; hidden files and folders are left alone."""
    index: dict[str, list[Path]] = defaultdict(list)
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                index[name].append(Path(folder) / name)
    return dict(index)


def xml_files(index: Mapping[str, Sequence[Path]]) -> list[Path]:
    """The XML files among those of a folder."""
    return [path for name, paths in index.items() if name.endswith(".xml") for path in paths]


def grouped(
    index: Mapping[str, Sequence[Path]],
    told: Callable[[str], tuple[Key, str] | None],
    taken: Collection[str] = (),
) -> list[tuple[Key, dict[str, list[Path]]]]:
    """Files joined by what their names tell, in order of keys.

    Parameters
    ----------
    index : mapping of str to paths
        File name to where it is.
    told : callable
        From a name to the key of its frame and its kind; None leaves it out.
    taken : collection of str
        Paths that are left out.
    """
    found: dict[Key, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for name, paths in index.items():
        one = told(name)
        left = [path for path in paths if str(path) not in taken]
        if one is not None and left:
            key, kind = one
            found[key][kind] += left
    return [(key, dict(found[key])) for key in sorted(found)]


def _parse_name(name: str) -> tuple[str, re.Match[str] | None]:
    """Kind of a file, and its band, tile and time, from a published name."""
    for kind, pattern in KINDS.items():
        match = pattern.fullmatch(name)
        if match:
            return kind, match
    return "-", None


def _tile(group: Group | Refused) -> str:
    return group.tile if isinstance(group, Group) else group.area


def _name(group: Group | Refused) -> str:
    return band_named(group.band).name


def _is_selected(tile: str, band: Band, options: Mapping[str, Any]) -> bool:
    return is_selected(options, area=tile, instrument=band.instrument, band=band.name)


def _is_kind_wanted(kind: str, options: Mapping[str, Any]) -> bool:
    """Tables are always wanted: they are small, and only their headers are read here."""
    return kind not in PLANES or is_wanted(options, "planes", kind)


def _read_descriptors(
    index: dict[str, list[Path]], options: Mapping[str, Any]
) -> tuple[list[Mosaic], list[Refused]]:
    mosaics, refused = [], []
    for path in xml_files(index):
        token = re.search(r"TILE(\d{1,12})", path.name)
        if token and not is_wanted(options, "tiles", token[1]):
            continue
        try:
            found = read_mosaic(str(path))
        except InputError as error:
            refused.append(Refused(token[1] if token else tile_of(str(path)), "-", "-", str(error)))
            continue
        if isinstance(found, Mosaic):
            mosaics.append(found)
    return mosaics, refused


def _described(
    mosaics: list[Mosaic], index: dict[str, list[Path]], root: Path, options: Mapping[str, Any]
) -> Iterator[Group | Refused]:
    """One group per descriptor, of exactly the files it names."""
    for mosaic in mosaics:
        band = band_named(mosaic.band)
        if not _is_selected(mosaic.tile, band, options):
            continue
        where = mosaic.ref.location
        try:
            files = {
                kind: file_named(name, index, where, root)
                for kind, name in mosaic.files.items()
                if _is_kind_wanted(kind, options)
            }
            for kind, path in files.items():
                _check_tokens(Path(path).name, mosaic, kind)
            yield Group(mosaic.tile, band.name, files, mosaic, iso_time(mosaic.created))
        except InputError as error:
            yield Refused(
                mosaic.tile,
                band.instrument,
                band.name,
                f"{where}: {error}" if where not in str(error) else str(error),
            )


def file_named(name: str, index: Mapping[str, Sequence[Path]], where: str, root: Path) -> str:
    """The file that a descriptor (`where`) means: beside it, in its data folder, or the only one of that name.

    Archives compress files without touching their descriptors, so where the name is nowhere, that with or without
    ``.gz`` is taken.
    """
    folder = Path(where).parent
    twin = name.removesuffix(".gz") if name.endswith(".gz") else f"{name}.gz"
    name = twin if name not in index and twin in index else name
    elsewhere = [path for path in index.get(name, []) if path.parent != folder]
    if not (folder / name).exists() and len(elsewhere) == 1:
        folder = elsewhere[0].parent
    return str(confined(folder, name, where, root))


def _check_tokens(name: str, mosaic: Mosaic, kind: str) -> None:
    """A file with a published name must carry the tile and band of its descriptor."""
    _, match = _parse_name(name)
    if match and (match["tile"] != mosaic.tile or band_named(match["band"]) != band_named(mosaic.band)):
        raise InputError(
            f"{mosaic.ref.location}: {kind} must be a file of tile {mosaic.tile}, {mosaic.band}, found {name}"
        )


def _loose(
    index: dict[str, list[Path]], named: set[str], refused: list[Refused], options: Mapping[str, Any]
) -> Iterator[Group | Refused]:
    """Frames of files that no descriptor names; a band whose descriptor was refused is not tried without it."""
    shut = {(item.area, item.band) for item in refused}
    for (tile, name), files in _by_frame(index, named, options):
        if not MAIN_PLANES & set(files) or shut & {(tile, name), (tile, "-")}:
            continue
        try:
            ambiguous = any(len(paths) > 1 for paths in files.values())
            for part in _by_release(files) if ambiguous else [files]:
                yield _group(tile, name, part)
        except InputError as error:
            band = band_named(name)
            yield Refused(tile, band.instrument, band.name, str(error))


def _without_remnants(
    described: Iterable[Group], loose: Iterable[Group | Refused]
) -> Iterator[Group | Refused]:
    """Loose frames, but for those that lack a main plane of a described one: copies and leftovers beside it, noted."""
    for group in loose:
        files = group.files if isinstance(group, Group) else None
        fuller = [
            other
            for other in described
            if files is not None
            and (other.tile, _name(other)) == (_tile(group), _name(group))
            and (MAIN_PLANES & set(other.files)) - set(files)
        ]
        for other in fuller:
            names = sorted(Path(path).name for path in (files or {}).values())
            other.notes.append(f"left out, named by no descriptor: {', '.join(names)}")
        if not fuller:
            yield group


def _by_frame(
    index: dict[str, list[Path]], named: set[str], options: Mapping[str, Any]
) -> list[tuple[tuple[str, str], dict[str, list[Path]]]]:
    """(tile, band) to kind to files, of what is selected and not named by a descriptor."""

    def told(name: str) -> tuple[tuple[str, str], str] | None:
        kind, match = _parse_name(name)
        if match is None or not _is_kind_wanted(kind, options):
            return None
        band = band_named(match["band"])
        return ((match["tile"], band.name), kind) if _is_selected(match["tile"], band, options) else None

    return grouped(index, told, named)


def _by_release(files: Mapping[str, list[Path]]) -> list[dict[str, list[Path]]]:
    """Files apart by DATASETR of their headers; tables carry none and go with every release."""
    parts: dict[str, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for kind in [kind for kind in PLANES if kind in files]:
        for path in files[kind]:
            with open_fits(str(path)) as file:
                release = file.image().cards.optional_text("DATASETR") or "-1"
            parts[release][kind].append(path)
    tables = {kind: paths for kind, paths in files.items() if kind not in PLANES}
    return [{**part, **tables} for _, part in sorted(parts.items())]


def _group(tile: str, band: str, files: Mapping[str, list[Path]]) -> Group:
    group = Group(tile, band, {})
    for kind, paths in files.items():
        group.files[kind] = str(newest(paths, group.notes))
    grid = group.files.pop("GRIDPSF", None)
    if grid is not None:
        group.files.setdefault("PSF", grid)
    group.created = max(time_in_name(Path(path)) for path in group.files.values())
    return group


def newest(paths: list[Path], notes: list[str]) -> Path:
    """The file with the latest time in its name; what was left out is added to the notes.

    Raises
    ------
    InputError
        Two files of the latest time differ.
    """
    ordered = sorted(paths, key=lambda path: (time_in_name(path), str(path)))
    best = ordered[-1]
    for other in ordered[:-1]:
        if time_in_name(other) < time_in_name(best):
            notes.append(f"{best.name} was chosen over the older {other.name}")
        elif _same_content(other, best):
            notes.append(f"{best.name} and {other.name} are copies")
        else:
            raise InputError(
                f"two files of one kind, area, band, release and time must be copies, found {other} and {best}"
            )
    return best


def _same_content(one: Path, two: Path) -> bool:
    if one.suffix == two.suffix:
        return filecmp.cmp(one, two, shallow=False)
    sums = []
    for path in (one, two):
        with open_fits(str(path)) as file:
            hdu = file.image()
            sums.append((hdu.header_sha256, hdu.datasum))
    return sums[0] == sums[1] and sums[0][1] is not None


def time_in_name(path: Path) -> str:
    match = re.search(r"_(\d{8}T\d{6}(?:\.\d+)?)Z", path.name)
    return iso_time(match[1]) if match else "-1"


def iso_time(text: str) -> str:
    """A time as yyyy-mm-ddThh:mm:ss.ffffff without zone letter, so that texts sort as times; others unchanged."""
    match = re.fullmatch(r"(\d{4})-?(\d\d)-?(\d\d)T(\d\d):?(\d\d):?(\d\d)(?:\.(\d+))?(?:Z|\+00:00)?", text)
    if match is None:
        return text
    year, month, day, hour, minute, second, fraction = match.groups(default="")
    return f"{year}-{month}-{day}T{hour}:{minute}:{second}.{fraction[:6]:0<6}"
