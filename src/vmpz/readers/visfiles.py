"""Files of VIS exposures: which of them are one exposure, their descriptors, and whether a pointing is complete.

An exposure is a calibrated frame (DET; one file, or `_sci`, `_rms` and `_flg`), its background (BKG), its weight (WGT)
and a PSF file that many exposures share. A descriptor (`DpdVisCalibratedQuadFrame`, `DpdVisCalibratedFrame`) says which
are one product; what no descriptor names is joined by observation, dither and number in the names, and of reprocessed
files the latest is taken. The PSF file of such an exposure is that of its folder, or of the nearest folder above.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from vmpz.errors import InputError
from vmpz.files.xml import parse_xml, text_at
from vmpz.frames import FileRef, Refused
from vmpz.readers.common import is_selected
from vmpz.readers.descriptors import xml_ref
from vmpz.readers.folders import file_named, grouped, iso_time, newest, time_in_name, walk, xml_files

__all__ = ["BAND", "Descriptor", "Exposure", "ExposureId", "find_exposures"]

BAND = "VIS"
"""Band and instrument alike."""
PRODUCTS = ("DpdVisCalibratedQuadFrame", "DpdVisCalibratedFrame")
TIME = r"_{1,2}\d{8}T\d{6}(?:\.\d+)?Z"
END = r"(?:_[\d.]+)?\.fits(?:\.gz|\.fz)?"
NAME = re.compile(
    rf"EUC_VIS_SWL[-_](?P<kind>DET|BKG|WGT)-(?P<observation>\d{{1,12}})-(?P<dither>\d{{1,12}})-(?P<number>\d{{1,12}})"
    rf"(?:-\d+)?{TIME}(?:_(?P<part>sci|rms|flg))?{END}"
)
PSF_NAME = re.compile(rf"EUC_VIS_GRD-PSF(?:-\d+)*{TIME}{END}")
STORAGES = {
    "DataStorage": "DET",
    "RmsStorage": "DET_rms",
    "FlagMapStorage": "DET_flg",
    "BackgroundStorage": "BKG",
    "WeightStorage": "WGT",
    "PsfModelStorage": "PSF",
}
"""Element of Data to the kind of file it names."""


class ExposureId(NamedTuple):
    """Observation, dither and number, as in file names."""

    observation: str
    dither: str
    number: str

    @property
    def area(self) -> str:
        """The id of the frame."""
        return f"VIS-{self.observation}-{self.dither}-{self.number}"


@dataclass(frozen=True)
class Descriptor:
    """What the descriptor of an exposure says: files by kind, release and time of creation."""

    ref: FileRef
    files: Mapping[str, str]
    release: str
    created: str


@dataclass
class Exposure:
    """The files of one exposure.

    Attributes
    ----------
    files : dict of str to str
        Kind to path: DET, BKG, WGT, PSF, and DET_sci, DET_rms, DET_flg of a frame in three files.
    siblings : frozenset of ExposureId
        All exposures of the observation whose frames are here.
    """

    id: ExposureId
    files: dict[str, str]
    descriptor: Descriptor | None = None
    created: str = "-1"
    siblings: frozenset[ExposureId] = frozenset()
    notes: list[str] = field(default_factory=list)


def find_exposures(location: Path, options: Mapping[str, Any]) -> Iterator[Exposure | Refused]:
    """Exposures below a folder, in order of observation, dither and number; no FITS file is opened.

    Parameters
    ----------
    location : Path
        A folder, searched through.
    options : mapping
        Selection by `tiles` (ids of exposures), `bands` and `instruments`.
    """
    index = walk(location)
    known = {one for name in index if (one := _id_of(name, "DET"))}
    found = list(_described(index, location, options))
    taken = {path for one in found if isinstance(one, Exposure) for path in one.files.values()}
    shut = {one.area for one in found if isinstance(one, Refused)}
    found += [item for item in _loose(index, taken, location, options) if _area(item) not in shut]
    for item in found:
        if isinstance(item, Exposure):
            item.siblings = frozenset(one for one in known if one.observation == item.id.observation)
    yield from sorted(found, key=lambda item: (_area(item), getattr(item, "created", "")))


def _area(item: Exposure | Refused) -> str:
    return item.id.area if isinstance(item, Exposure) else item.area


def _id_of(name: str, kind: str | None = None) -> ExposureId | None:
    match = NAME.fullmatch(name)
    if match is None or kind not in (None, match["kind"]):
        return None
    return ExposureId(match["observation"], match["dither"], match["number"])


def _kind_of(name: str) -> str:
    match = NAME.fullmatch(name)
    if match is None:
        return "PSF" if PSF_NAME.fullmatch(name) else "-"
    return f"{match['kind']}_{match['part']}" if match["part"] else match["kind"]


def _is_selected(one: ExposureId, options: Mapping[str, Any]) -> bool:
    return is_selected(options, area=one.area, instrument=BAND, band=BAND)


def _described(
    index: Mapping[str, list[Path]], root: Path, options: Mapping[str, Any]
) -> Iterator[Exposure | Refused]:
    """One exposure per descriptor, of exactly the files it names."""
    for path in xml_files(index):
        one = None
        try:
            descriptor = _read_descriptor(str(path))
            if descriptor is None:
                continue
            one = _common_id(descriptor)
            if not _is_selected(one, options):
                continue
            exposure = Exposure(one, {}, descriptor, iso_time(descriptor.created))
            for kind, name in _present(exposure, descriptor, index):
                exposure.files[kind] = file_named(name, index, descriptor.ref.location, root)
        except InputError as error:
            yield Refused(one.area if one else "-", BAND, BAND, str(error))
            continue
        yield exposure


def _read_descriptor(location: str) -> Descriptor | None:
    """The descriptor of an exposure, None if it is of another product."""
    root = parse_xml(location)
    if root.tag not in PRODUCTS:
        return None
    files = {}
    for element, kind in STORAGES.items():
        box = root.find(f"Data/{element}//DataContainer")
        name = None if box is None else text_at(box, "FileName", location)
        if name:
            files[kind] = name
    return Descriptor(
        ref=xml_ref(location),
        files=files,
        release=text_at(root, "Header/DataSetRelease", location) or "-1",
        created=text_at(root, "Header/CreationDate", location) or "-1",
    )


def _common_id(descriptor: Descriptor) -> ExposureId:
    """The exposure of all files of a descriptor."""
    ids = {one for name in descriptor.files.values() if (one := _id_of(Path(name).name))}
    if len(ids) != 1 or "DET" not in descriptor.files:
        raise InputError(
            f"{descriptor.ref.location}: must name the files of one exposure, its frame (DataStorage) among them, "
            f"found {', '.join(descriptor.files.values()) or 'none'}"
        )
    return ids.pop()


def _present(
    exposure: Exposure, descriptor: Descriptor, index: Mapping[str, list[Path]]
) -> Iterator[tuple[str, str]]:
    """Kind and name of the files of a descriptor; one beside the frame itself may be left out, which is noted.

    The kind of each of the three files of a frame is told by its name.
    """
    for kind, name in descriptor.files.items():
        told = _kind_of(Path(name).name)
        is_frame = kind.startswith("DET")
        if is_frame or {name, f"{name}.gz", name.removesuffix(".gz")} & set(index):
            yield (told if is_frame and told.startswith("DET") else kind), name
        else:
            exposure.notes.append(f"the {kind} file of the descriptor is not here ({name[:120]})")


def _loose(
    index: Mapping[str, list[Path]], taken: Collection[str], root: Path, options: Mapping[str, Any]
) -> Iterator[Exposure | Refused]:
    """Exposures of files that no descriptor names."""

    def told(name: str) -> tuple[ExposureId, str] | None:
        one = _id_of(name)
        return (one, _kind_of(name)) if one and _is_selected(one, options) else None

    stamps = [path for name, paths in index.items() if PSF_NAME.fullmatch(name) for path in paths]
    for one, files in grouped(index, told, taken):
        exposure = Exposure(one, {})
        try:
            for kind, paths in sorted(files.items()):
                exposure.files[kind] = str(newest(paths, exposure.notes))
            frames = [Path(path) for kind, path in exposure.files.items() if kind.startswith("DET")]
            if not frames:
                names = ", ".join(Path(path).name for path in exposure.files.values())
                raise InputError(f"{one.area}: must have a calibrated frame (DET), found {names} alone")
            psf = _nearest_psf(frames[0], stamps, root, exposure.notes)
        except InputError as error:
            yield Refused(one.area, BAND, BAND, str(error))
            continue
        exposure.files.update({"PSF": str(psf)} if psf else {})
        exposure.created = max(time_in_name(path) for path in frames)
        yield exposure


def _nearest_psf(frame: Path, stamps: Collection[Path], root: Path, notes: list[str]) -> Path | None:
    """The latest PSF file in the folder of a frame or, where it has none, in the nearest one above."""
    for folder in (frame.parent, *frame.parent.parents):
        here = [path for path in stamps if path.parent == folder]
        if here:
            return newest(here, notes)
        if folder == root:
            break
    return None
