"""Readers: from the files of a survey family to frames, and the manifest of all inputs.

A reader is two or three functions: `scan(location, options)` gives a `FrameRef` (or `Refused`) per frame from headers
alone, `open(ref, planes)` opens the planes and tables asked for and no others. Where a frame is an exposure (its
`exposures` list the detectors), `detectors(ref, rows)` gives an image reference for each of these rows, which `open`
opens like any image; `open` of the exposure itself gives its tables (PSF stamps) and no planes. A new format is one
file and one row in `READERS`, or an entry point of group ``vmpz.readers`` in another package: a tuple of these
functions. All readers take the options `bands`, `instruments`, `tiles`
and `planes` (what to take, None = all) beside their own; nothing unselected is opened.
"""

import filecmp
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any, NamedTuple, Protocol

from vmpz.errors import InputError, meant
from vmpz.frames import Frame, FrameRef, Manifest, Refused
from vmpz.readers import decam, euclid, exposures, generic, kids, lsst, nir, vis
from vmpz.readers.detectors import exposure_of_image
from vmpz.readers.headerbits import bits_of
from vmpz.readers.tables import read_star_masks

__all__ = [
    "READERS",
    "Reader",
    "bits_of",
    "detectors_of",
    "exposure_of_image",
    "open_frame",
    "read_star_masks",
    "reader",
    "scan_inputs",
]


class Scan(Protocol):
    """Frames of a location, from headers alone."""

    def __call__(self, location: str, options: Mapping[str, Any], /) -> Iterable[FrameRef | Refused]: ...


class Open(Protocol):
    """A frame with the planes and tables asked for."""

    def __call__(self, ref: FrameRef, planes: Collection[str], /) -> Frame: ...


class Detectors(Protocol):
    """Images of some detectors of an exposure, by their rows, in that order."""

    def __call__(self, ref: FrameRef, rows: Sequence[int], /) -> Sequence[FrameRef]: ...


class Reader(NamedTuple):
    """One survey family: files to frames."""

    scan: Scan
    open: Open
    detectors: Detectors | None = None


READERS: dict[str, Reader] = {
    "decam": Reader(decam.scan, decam.open_frame, decam.detectors),
    "euclid-mer": Reader(euclid.scan, euclid.open_frame),
    "euclid-nir": Reader(nir.scan, nir.open_frame, nir.detectors),
    "euclid-vis": Reader(vis.scan, vis.open_frame, vis.detectors),
    "exposures": Reader(exposures.scan, exposures.open_frame),
    "generic": Reader(generic.scan, generic.open_frame, generic.detectors),
    "kids": Reader(kids.scan, kids.open_frame),
    "lsst": Reader(lsst.scan, lsst.open_frame, lsst.detectors),
}


class Place(Protocol):
    """One place where frames are, as in the parameters `[[inputs]]`."""

    @property
    def reader(self) -> str: ...
    @property
    def location(self) -> str: ...
    @property
    def bands(self) -> Collection[str] | None: ...
    @property
    def options(self) -> Mapping[str, Any]: ...


def reader(name: str) -> Reader:
    """The reader of that name, of this package or of an entry point.

    Raises
    ------
    InputError
        There is none; the message lists those there are.
    """
    if name in READERS:
        return READERS[name]
    others = {point.name: point for point in entry_points(group="vmpz.readers")}
    if name not in others:
        known = sorted({*READERS, *others})
        raise InputError(f"reader must be one of {', '.join(known)}, found {name}{meant(name, known)}")
    return Reader(*others[name].load())


def open_frame(ref: FrameRef, planes: Collection[str]) -> Frame:
    """Open a frame with the reader that made its reference; use it as a context manager.

    Raises
    ------
    InputError
        A file is not what it must be, or is no longer what was listed.
    """
    return reader(ref.reader).open(ref, planes)


def detectors_of(ref: FrameRef, rows: Sequence[int]) -> Sequence[FrameRef]:
    """Image references of some detectors of an exposure; an image is its own and only detector.

    Raises
    ------
    InputError
        A file is not what it must be, is no longer what was listed, or the exposure has no pixels.
    """
    if ref.has_grid:
        return [ref for _ in rows]
    expand = reader(ref.reader).detectors
    if expand is None or not ref.planes:
        raise InputError(f"{ref.name}: must have planes, found a table of exposures without pixels")
    return expand(ref, rows)


def scan_inputs(
    places: Iterable[Place],
    *,
    bands: Collection[str] | None = None,
    instruments: Collection[str] | None = None,
    tiles: Collection[str] | None = None,
    planes: Collection[str] | None = None,
) -> Manifest:
    """All frames of all places, in order of area, instrument and band.

    Of several frames of one area and band the latest is taken: by the number of the DataSetRelease within one family of
    releases (Q1_R1 < Q1_R2), then by CreationDate; the choice is noted. Copies count once.

    Parameters
    ----------
    places : iterable of InputParameters (or alike)
    bands, instruments, tiles, planes : collection of str, optional
        What to take; the rest is not opened.

    Raises
    ------
    InputError
        A reader, an option or a location is wrong. What is wrong with one frame stands in `Manifest.refused`.
    """
    found: dict[tuple[str, str, str], list[FrameRef]] = defaultdict(list)
    refused: list[Refused] = []
    for place in places:
        selection = {"bands": bands, "instruments": instruments, "tiles": tiles, "planes": planes}
        chosen = {key: _both(names, place.options.get(key)) for key, names in selection.items()}
        chosen["bands"] = _both(chosen["bands"], place.bands)
        for item in reader(place.reader).scan(place.location, {**place.options, **chosen}):
            if isinstance(item, Refused):
                refused.append(item)
            else:
                found[item.area, item.instrument, item.band].append(item)
    frames: list[FrameRef] = []
    notes: list[str] = []
    for key in sorted(found):
        best = _latest(found[key], notes)
        if isinstance(best, Refused):
            refused.append(best)
        else:
            frames.append(best)
            notes += [f"{best.name}: {note}" for note in best.notes]
    refused.sort(key=lambda item: (item.area, item.instrument, item.band, item.reason))
    return Manifest(tuple(frames), tuple(notes), tuple(refused))


def _both(one: Collection[str] | None, two: Collection[str] | None) -> list[str] | None:
    if one is None or two is None:
        chosen = two if one is None else one
        return None if chosen is None else list(chosen)
    return [name for name in one if name in two]


def _latest(candidates: list[FrameRef], notes: list[str]) -> FrameRef | Refused:
    """The frame to use among those of one area and band."""
    same_family = len({_family(ref.release) for ref in candidates}) == 1

    def rank(ref: FrameRef) -> tuple[Any, ...]:
        return (_numbers(ref.release) if same_family else (), ref.created)

    ordered = sorted(candidates, key=rank)
    best = ordered[-1]
    for other in ordered[:-1]:
        here, there = _place_of(best), _place_of(other)
        if _same_content(other, best):
            notes.append(f"{best.name}: {here} and {there} are the same frame")
        elif rank(other) == rank(best):
            reason = (
                f"{best.name}: two frames of one release ({best.release}) and creation date ({best.created}) must have "
                f"the same content, found {there} and {here}"
            )
            return Refused(best.area, best.instrument, best.band, reason)
        else:
            notes.append(
                f"{best.name}: {here} ({best.release}, {best.created}) was chosen over {there} "
                f"({other.release}, {other.created})"
            )
    return best


def _family(release: str) -> str:
    return re.sub(r"\d+", "#", release)


def _numbers(release: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", release))


def _same_content(one: FrameRef, two: FrameRef) -> bool:
    """Same detectors, and same planes by identity; files without a checksum are compared byte by byte."""
    alike = one.planes.keys() == two.planes.keys() and one.exposures == two.exposures
    return alike and all(
        plane.identity == two.planes[name].identity
        and (plane.verifiable or filecmp.cmp(plane.location, two.planes[name].location, shallow=False))
        for name, plane in one.planes.items()
    )


def _place_of(ref: FrameRef) -> str:
    return next((file.location for file in {**ref.planes, **ref.tables}.values()), ref.area)
