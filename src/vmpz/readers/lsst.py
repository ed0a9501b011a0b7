"""Reader `lsst`: images of the LSST pipelines, of LSST's cameras and of HSC on Subaru.

A file is one detector of one visit (calexp, visit_image, CORR) or one patch of a coadd (deepCoadd_calexp,
calexp-HSC-I-9813-4,4): HDUs IMAGE, MASK and VARIANCE, plain or tile-compressed, a TAN-SIP WCS in each, and tables of
an archive behind them. The files of a visit are one exposure, its detectors the rows; a patch is an image. File names
are those of `vmpz.readers.lsstnames`; a single file may have any.

* RMS is the square root of VARIANCE.
* The bits of MASK are named by its header (MP_<NAME>), never by a fixed table; the table lsst gives meanings by name.
* The zero point is that of `vmpz.readers.lsstheaders`, else of the table of visits, else the option.
* Seeing, background and noise come from the table of visits (`vmpz.readers.visits`), else from the header: SEEING_MODE
  (pixels) or SEEING (arcsec) of HSC; BGMEAN or SKYLEVEL, and SKYSIGMA, where the pixels are counts. SEEING of LSST is
  that of a monitor beside the telescope and is not used.

Options: `files` (a pattern like "visit_image_*.fits" instead of the known names), `summary` (the table of visits;
below the location, or a path), `zero_point` (instead of what the files state), `band`, `instrument`, `bit_table` (for
files without ``MP_`` cards), `max_pixels`.
"""

import filecmp
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vmpz.bits import bit_table
from vmpz.errors import InputError
from vmpz.frames import Exposures, Frame, FrameRef, Refused
from vmpz.readers.common import (
    SECONDS_PER_DAY,
    check_options,
    check_texts,
    is_selected,
    number_option,
    open_planes,
    pixel_limit,
    require_listed,
    rms_of,
)
from vmpz.readers.detectors import (
    image_scalars,
    joined_plane,
    joint_identity,
    row_scalars,
    rows_of,
    stacked_outlines,
)
from vmpz.readers.headerbits import BY_NAME, bits_of
from vmpz.readers.lsstheaders import to_iso
from vmpz.readers.lsstimages import PLANES, Image, known_name, read_image
from vmpz.readers.lsstnames import INSTRUMENTS, name_of
from vmpz.readers.visits import VisitTable, read_visits

__all__ = ["detectors", "open_frame", "scan"]

OPTIONS = ("files", "summary", "zero_point", "band", "instrument", "bit_table", "max_pixels")
SAME_TIME_S = 1.0
TELESCOPES = {"HSC": "Subaru"}


def scan(location: str, options: Mapping[str, Any]) -> Iterator[FrameRef | Refused]:
    """Visits and patches below a folder (or in one file), from headers and the table of visits alone.

    Parameters
    ----------
    location : str
        A folder, searched through, or one file.
    options : mapping
        See the module; `bands`, `instruments`, `tiles` (visits and patches) and `planes` select. What the name of a
        file tells is not selected is not opened.

    Yields
    ------
    FrameRef or Refused
        In order of area. A detector that cannot be used is refused alone; files that do not fit together are refused
        with their visit.

    Raises
    ------
    InputError
        The location, the table of visits or an option is not what it must be.
    """
    check_options(options, OPTIONS, "lsst")
    _check(options)
    visits = _visit_table(location, options)
    found: list[FrameRef | Refused] = []
    groups: dict[tuple[str, str], list[Image]] = defaultdict(list)
    for path in _files(Path(location), options):
        try:
            image = read_image(path, visits, options)
        except InputError as error:
            found.append(Refused(*known_name(path, options), str(error)))
            continue
        if not is_selected(options, area=image.area, instrument=image.instrument, band=image.band):
            continue
        if image.is_patch:
            found.append(_image_ref(image, options))
        else:
            groups[image.area, image.instrument].append(image)
    found += [_visit(images, options) for images in groups.values()]
    yield from sorted(found, key=lambda one: (one.area, one.instrument, one.band, isinstance(one, Refused)))


def detectors(ref: FrameRef, rows: Sequence[int]) -> list[FrameRef]:
    """Images of some detectors of a visit, in the order asked for; their headers alone are read.

    The bits of each are numbered as in its own header: join detectors by the names of bits.

    Raises
    ------
    InputError
        A file is not what it must be, or is no longer what was listed.
    """
    exposures = rows_of(ref)
    options = {**ref.options["reader"], "planes": list(ref.planes)}
    images = []
    for row in rows:
        image = read_image(Path(ref.options["files"][row]), None, options, known=row_scalars(exposures, row))
        require_listed(_digest(image, ref.planes), ref.options["identities"][row], image.where)
        images.append(_image_ref(image, options))
    return images


def open_frame(ref: FrameRef, planes: Collection[str]) -> Frame:
    """Open the planes of an image; a visit has none of its own, only its detectors.

    Raises
    ------
    InputError
        A file is not what it must be or changed since it was listed.
    """
    if not ref.has_grid:
        return Frame(ref, {}, exposures=ref.exposures, bits=bits_of(ref))
    return Frame(ref, open_planes(ref, planes, {"RMS": rms_of("variance")}), bits=bits_of(ref))


# -- which files ----------------------------------------------------------------------------------------------


def _check(options: Mapping[str, Any]) -> None:
    check_texts(options, ("files", "summary", "band", "instrument", "bit_table"))
    if options.get("bit_table"):
        bit_table(options["bit_table"])
    if options.get("zero_point") is not None:
        number_option(options, "zero_point", 0.0)


def _visit_table(location: str, options: Mapping[str, Any]) -> VisitTable | None:
    """The table of visits that the options name, looked for below the location first."""
    if not options.get("summary"):
        return None
    below = Path(location) / options["summary"]
    return read_visits(below if below.is_file() else Path(options["summary"]))


def _files(location: Path, options: Mapping[str, Any]) -> Iterator[Path]:
    """Files to look into, by path; those whose name tells that they are not selected are left out."""
    if location.is_file():
        yield location
        return
    if not location.is_dir():
        raise InputError(f"{location}: must be a folder or a file, found neither")
    pattern = options.get("files")
    for path in sorted(location.rglob(pattern or "*")):
        name = name_of(path)
        if not path.is_file() or (name is None and not pattern):
            continue
        area, instrument, band = known_name(path, options) if name else ("-", "-", "-")
        if is_selected(options, area=area, instrument=instrument, band=band):
            yield path


# -- references -----------------------------------------------------------------------------------------------


def _image_ref(image: Image, options: Mapping[str, Any]) -> FrameRef:
    """One image: a patch or a detector."""
    return FrameRef(
        reader="lsst",
        area=image.id,
        instrument=image.instrument,
        band=image.band,
        shape=image.shape,
        wcs_cards=image.wcs.cards,
        planes=image.planes,
        scalars=image_scalars(image.scalars),
        bit_table=image.bit_table,
        created=image.created,
        notes=image.notes,
        telescope=_telescope(image),
        options={**_reader_options(options), "flag_bits": image.flag_bits, BY_NAME: True},
    )


def _visit(images: list[Image], options: Mapping[str, Any]) -> FrameRef | Refused:
    """The exposure of all detectors of a visit."""
    first = images[0]
    try:
        notes: list[str] = []
        rows = sorted(_distinct(images, notes), key=lambda one: (one.number, one.detector))
        _check_one_exposure(rows)
        return _visit_ref(rows, notes, options)
    except InputError as error:
        return Refused(first.area, first.instrument, first.band, str(error))


def _distinct(images: list[Image], notes: list[str]) -> Iterator[Image]:
    """One image a detector; copies count once."""
    by_detector: dict[str, Image] = {}
    for image in images:
        other = by_detector.setdefault(image.id, image)
        if other is image:
            yield image
        elif filecmp.cmp(other.path, image.path, shallow=False):
            notes.append(f"{other.path} and {image.path} are copies")
        else:
            raise InputError(
                f"{image.id}: two files of one detector must be copies, found {other.path} and {image.path} "
                "(the option files chooses among kinds of images)"
            )


def _check_one_exposure(rows: Sequence[Image]) -> None:
    """All detectors of a visit have one band, and were exposed at one time."""
    first = rows[0]
    for image in rows[1:]:
        if image.band != first.band:
            raise InputError(
                f"{image.where}: files of one visit must have one band, found {image.band}, {first.band} in "
                f"{first.where}"
            )
        for name, tolerance in (("ExposureTime", SAME_TIME_S), ("MJD", SAME_TIME_S / SECONDS_PER_DAY)):
            one, other = (each.scalars.get(name) for each in (image, first))
            if one is not None and other is not None and abs(one - other) > tolerance:
                raise InputError(
                    f"{image.where}: files of one visit must have one {name}, found {one}, {other} in {first.where}"
                )


def _visit_ref(rows: Sequence[Image], notes: list[str], options: Mapping[str, Any]) -> FrameRef:
    first = rows[0]
    names = [name for name in PLANES if all(name in image.planes for image in rows)]
    exposures = _exposures(rows)
    zero_points = set(exposures.scalars["Zeropoint"].tolist())
    start, end = _dates(first)
    return FrameRef(
        reader="lsst",
        area=first.area,
        instrument=first.instrument,
        band=first.band,
        shape=(0, 0),
        wcs_cards="",
        planes={name: joined_plane([image.planes[name] for image in rows]) for name in names},
        scalars={"zero_point": zero_points.pop()} if len(zero_points) == 1 else {},
        bit_table=first.bit_table,
        created=max(image.created for image in rows),
        date_obs=start,
        date_end=end,
        telescope=_telescope(first),
        notes=_notes(rows, notes),
        options={
            **_reader_options(options),
            "reader": _reader_options(options),
            "files": [str(image.path) for image in rows],
            "identities": [_digest(image, names) for image in rows],
            "flag_bits": _union([image.flag_bits for image in rows], first.area),
            BY_NAME: True,
        },
        exposures=exposures,
    )


def _exposures(rows: Sequence[Image]) -> Exposures:
    names = sorted({name for image in rows for name in image.scalars})
    return Exposures(
        tuple(image.id for image in rows),
        stacked_outlines([image.corners for image in rows]),
        {name: np.array([image.scalars.get(name, np.nan) for image in rows]) for name in names},
    )


def _digest(image: Image, planes: Collection[str]) -> str:
    """What identifies these planes of a detector."""
    return joint_identity(image.planes[name] for name in sorted(planes))


def _union(tables: Sequence[Mapping[str, int]], area: str) -> dict[str, int]:
    """All names of bits; the numbers of the first table, then free ones."""
    union: dict[str, int] = {}
    for table in tables:
        for name, number in table.items():
            if name not in union:
                free = next((n for n in (number, *range(32)) if n not in union.values()), None)
                if free is None:
                    raise InputError(f"{area}: detectors must name at most 32 bits together, found more")
                union[name] = free
    return union


def _notes(rows: Sequence[Image], notes: list[str]) -> tuple[str, ...]:
    """What was assumed for any detector, each said once."""
    if len({tuple(sorted(image.flag_bits.items())) for image in rows}) > 1:
        notes.append("detectors number their flag bits differently: they are joined by name")
    return tuple(dict.fromkeys([*notes, *(note for image in rows for note in image.notes)]))


def _dates(image: Image) -> tuple[str, str]:
    """Beginning and end (UTC), '-1' where not known."""
    middle, length = image.scalars.get("MJD"), image.scalars.get("ExposureTime")
    if middle is None or length is None:
        return "-1", "-1"
    half = 0.5 * length / SECONDS_PER_DAY
    return to_iso(middle - half), to_iso(middle + half)


def _telescope(image: Image) -> str:
    return TELESCOPES.get(image.instrument, "LSST") if image.instrument in INSTRUMENTS.values() else "-1"


def _reader_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that opening needs again."""
    kept = {key: options[key] for key in ("band", "instrument", "bit_table") if options.get(key)}
    return {**kept, "max_pixels": pixel_limit(options)}
