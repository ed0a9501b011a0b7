"""Files of NIR exposures: which of them are one exposure, their descriptors, and whether an observation is complete.

An exposure of a band is four files, told by name: calibrated image, background model, PSF image and PSF model; only
the image is needed. A descriptor (`DpdNirCalibratedFrame`) says which files are one product; what no descriptor names
is joined by band, observation and number in the names, and of reprocessed files the latest is taken. Which element of
a descriptor stores which file is not public, so the names tell that too.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from vmpz.errors import InputError
from vmpz.files.xml import Element, parse_xml, text_at, texts_at
from vmpz.frames import FileRef, Refused
from vmpz.readers.common import is_selected
from vmpz.readers.descriptors import number_at, xml_ref
from vmpz.readers.folders import file_named, grouped, iso_time, newest, time_in_name, walk, xml_files

__all__ = [
    "INSTRUMENT",
    "Descriptor",
    "Exposure",
    "ExposureId",
    "find_exposures",
    "missing_exposures",
]

INSTRUMENT = "NISP"
PRODUCT = "DpdNirCalibratedFrame"
NAME = re.compile(
    r"EUC_NIR_[A-Z]+-CAL-(?P<kind>IMAGE|IMAGE-BKG|PSF-I|PSF-M)_(?P<band>[YJH])-(?P<observation>\d{1,12})-"
    r"(?P<number>\d{1,6})_(?P<time>\d{8}T\d{6}(?:\.\d+)?)Z(?:_[\d.]+)?\.(?:fits|psf)(?:\.gz|\.fz)?"
)
TOKENS = re.compile(r"(?<![A-Z])(?P<band>[YJH])-(?P<observation>\d{1,12})-(?P<number>\d{1,6})(?!\d)")
BANDS = "YJH"
DITHERS = 4
"""Exposures of a band in an observation of the wide survey."""


class ExposureId(NamedTuple):
    """Observation, number of the exposure in it, and band, as in file names."""

    observation: int
    number: int
    band: str

    @property
    def area(self) -> str:
        """The id of the frame."""
        return f"NIR_{self.band}-{self.observation}-{self.number}"


@dataclass(frozen=True)
class Descriptor:
    """What the descriptor of an exposure says.

    Attributes
    ----------
    files : tuple of str
        File names as written.
    zero_points : mapping of str to float
        By detector ('11' to '44'), AB mag.
    sequence : mapping of str to str
        ObservationSequence, element to text.
    """

    ref: FileRef
    files: tuple[str, ...]
    zero_points: Mapping[str, float]
    sequence: Mapping[str, str]
    release: str
    created: str


@dataclass
class Exposure:
    """The files of one exposure: kind (IMAGE, IMAGE-BKG, PSF-I, PSF-M) to path, and the descriptor that names them."""

    id: ExposureId
    files: dict[str, str]
    descriptor: Descriptor | None = None
    created: str = "-1"
    siblings: frozenset[ExposureId] = frozenset()
    """All exposures of the observation whose images are here."""
    notes: list[str] = field(default_factory=list)

    @property
    def area(self) -> str:
        """The id of the frame."""
        return self.id.area


def find_exposures(location: Path, options: Mapping[str, Any]) -> Iterator[Exposure | Refused]:
    """Exposures below a folder, in order of observation, number and band; no FITS file is opened.

    Parameters
    ----------
    location : Path
        A folder, searched through.
    options : mapping
        Selection by `tiles` (ids of exposures), `bands` and `instruments`.

    Raises
    ------
    InputError
        There is no such folder, or it holds no NIR exposure.
    """
    if not location.is_dir():
        raise InputError(f"{location}: must be a folder of NIR exposures, found none")
    index = walk(location)
    known = {one for name in index if (one := _id_of(name, "IMAGE"))}
    descriptors = xml_files(index)
    if not known and not descriptors:
        raise InputError(f"{location}: must hold NIR exposures, found no file named like one")
    found = list(_described(descriptors, index, location, options))
    taken = {path for one in found if isinstance(one, Exposure) for path in one.files.values()}
    described = {one.area for one in found if isinstance(one, Exposure)}
    shut = {one.area for one in found if isinstance(one, Refused)}
    found += [
        item
        for item in _loose(index, taken, options)
        if item.area not in shut and (isinstance(item, Exposure) or item.area not in described)
    ]
    for exposure in [item for item in found if isinstance(item, Exposure)]:
        here = exposure.id.observation
        exposure.siblings = frozenset(other for other in known if other.observation == here)
    yield from sorted(found, key=_order)


def missing_exposures(
    this: ExposureId, siblings: Collection[ExposureId], wide: bool, total: int | None
) -> list[str]:
    """What an observation lacks, in words; nothing if it is complete.

    An observation of the wide survey has four dithers of three bands; any other at least all bands of each number that
    is there, unless a pointing has fewer exposures.

    Parameters
    ----------
    this : ExposureId
    siblings : collection of ExposureId
        The exposures of the observation that are here.
    wide : bool
        Whether it is one of the wide survey.
    total : int or None
        Exposures of a pointing (TOTEXP).
    """
    numbers = sorted({one.number for one in siblings})
    expected = len(BANDS) if total is None else min(total, len(BANDS))
    absent = [
        ExposureId(this.observation, number, band).area
        for number in numbers
        if sum(one.number == number for one in siblings) < expected
        for band in BANDS
        if ExposureId(this.observation, number, band) not in siblings
    ]
    words = (
        [f"observation {this.observation} is not complete, missing: {', '.join(absent)}"] if absent else []
    )
    if wide and len(numbers) < DITHERS:
        words.append(
            f"observation {this.observation} is not complete: {len(numbers)} of {DITHERS} dithers are here"
        )
    return words


def _order(item: Exposure | Refused) -> tuple[str, ...]:
    detail = item.created if isinstance(item, Exposure) else item.reason
    return (item.area, detail)


def _id_of(name: str, kind: str | None = None) -> ExposureId | None:
    match = NAME.fullmatch(name)
    return None if match is None or kind not in (None, match["kind"]) else _id_from(match)


def _id_from(match: re.Match[str]) -> ExposureId:
    return ExposureId(int(match["observation"]), int(match["number"]), match["band"])


def _is_selected(one: ExposureId, options: Mapping[str, Any]) -> bool:
    return is_selected(options, area=one.area, instrument=INSTRUMENT, band=f"NIR_{one.band}")


def _described(
    descriptors: Collection[Path], index: Mapping[str, list[Path]], root: Path, options: Mapping[str, Any]
) -> Iterator[Exposure | Refused]:
    """One exposure per descriptor, of exactly the files it names."""
    for path in descriptors:
        tokens = TOKENS.search(path.name)
        named = _id_from(tokens) if tokens else None
        if named and not _is_selected(named, options):
            continue
        try:
            descriptor = _read_descriptor(str(path))
            if descriptor is None:
                continue
            files = dict(_named_files(descriptor, index, root))
            one = _common_id(descriptor, files)
        except InputError as error:
            named = named or _id_inside(str(path))
            area, band = (named.area, f"NIR_{named.band}") if named else ("-", "-")
            yield Refused(area, INSTRUMENT, band, str(error))
            continue
        if _is_selected(one, options):
            yield Exposure(one, files, descriptor, iso_time(descriptor.created))


def _id_inside(location: str) -> ExposureId | None:
    """The exposure of a descriptor that is otherwise refused, None where it cannot be told."""
    try:
        names = texts_at(parse_xml(location), "Data//DataContainer/FileName")
    except InputError:
        return None
    ids = {one for name in names if (one := _id_of(Path(name).name))}
    return ids.pop() if len(ids) == 1 else None


def _read_descriptor(location: str) -> Descriptor | None:
    """The descriptor of an exposure, None if it is of another product."""
    root = parse_xml(location)
    if root.tag != PRODUCT:
        return None
    sequence = root.find("Data/ObservationSequence")
    return Descriptor(
        ref=xml_ref(location),
        files=tuple(texts_at(root, "Data//DataContainer/FileName")),
        zero_points=dict(_zero_points(root, location)),
        sequence={
            str(child.tag): (child.text or "").strip() for child in ([] if sequence is None else sequence)
        },
        release=text_at(root, "Header/DataSetRelease", location) or "-1",
        created=text_at(root, "Header/CreationDate", location) or "-1",
    )


def _zero_points(root: Element, where: str) -> Iterator[tuple[str, float]]:
    for detector in root.iterfind("Data/DetectorList/*"):
        name = text_at(detector, "DetectorId", where)
        value = number_at(detector, f"{where}: detector {name}", "ZeroPoint/Value", "ZeroPoint")
        if name is not None and value is not None:
            yield name.upper().removeprefix("DET"), value


def _named_files(
    descriptor: Descriptor, index: Mapping[str, list[Path]], root: Path
) -> Iterator[tuple[str, str]]:
    """Kind and path of what a descriptor names."""
    where = descriptor.ref.location
    for name in descriptor.files:
        match = NAME.fullmatch(Path(name).name)
        if match is None:
            raise InputError(
                f"{where}: FileName must be a published name of a NIR file, found {name[:120]!r}"
            )
        yield match["kind"], file_named(name, index, where, root)


def _common_id(descriptor: Descriptor, files: Mapping[str, str]) -> ExposureId:
    """The exposure of all files of a descriptor."""
    ids = {one for path in files.values() if (one := _id_of(Path(path).name))}
    if len(ids) != 1 or "IMAGE" not in files:
        raise InputError(
            f"{descriptor.ref.location}: must name the files of one exposure, its image among them, "
            f"found {', '.join(descriptor.files) or 'none'}"
        )
    one = ids.pop()
    stated = descriptor.sequence.get("ObservationId", str(one.observation))
    if stated.lstrip("0") != str(one.observation):
        raise InputError(
            f"{descriptor.ref.location}: ObservationSequence must be that of its files, {one.observation}, found "
            f"ObservationId {stated[:80]!r}"
        )
    return one


def _loose(
    index: Mapping[str, list[Path]], taken: Collection[str], options: Mapping[str, Any]
) -> Iterator[Exposure | Refused]:
    """Exposures of files that no descriptor names."""

    def told(name: str) -> tuple[ExposureId, str] | None:
        match = NAME.fullmatch(name)
        one = _id_of(name)
        return (one, match["kind"]) if match and one and _is_selected(one, options) else None

    for one, files in grouped(index, told, taken):
        exposure = Exposure(one, {})
        try:
            for kind, paths in sorted(files.items()):
                exposure.files[kind] = str(newest(paths, exposure.notes))
            if "IMAGE" not in exposure.files:
                names = ", ".join(Path(path).name for path in exposure.files.values())
                raise InputError(f"{one.area}: must have an image (W-CAL-IMAGE), found {names} alone")
        except InputError as error:
            yield Refused(one.area, INSTRUMENT, f"NIR_{one.band}", str(error))
            continue
        exposure.created = time_in_name(Path(exposure.files["IMAGE"]))
        yield exposure
