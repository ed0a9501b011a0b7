"""Reader `decam`: exposures and coadds of the Dark Energy Camera, as the Community Pipeline and DESDM write them.

Community Pipeline (form `community`)
    Three tile-compressed files an exposure, `c4d_<date>_<time>_ooi|ood|oow_<filter>_<version>.fits.fz`: image, data
    quality, weight (inverse variance, 0 at defects); an extension a CCD, EXTNAME N1 to N31 and S1 to S31, in any
    order. MAGZERO is AB and holds for the pixel values of the whole exposure (MAGZERO = MAGZPT + 2.5 log10 EXPTIME);
    AVSKY and AVSIG are the sky and its scatter in these units. From PLVER 3.5 on the quality plane holds codes, before
    it bits. An exposure without an astrometric solution (WCSCAL) is refused.
DESDM (forms `desdm`, `coadd`)
    See `vmpz.readers.desdm`.

Options: `forms` (which to take, None = all), `bit_table` (a name, or names by form), `max_pixels`.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vmpz.bits import bit_table
from vmpz.errors import InputError
from vmpz.files.cards import Cards
from vmpz.files.fits import FitsFile, open_fits
from vmpz.files.hdu import Hdu
from vmpz.frames import FileRef, Frame, FrameRef, Refused
from vmpz.readers import desdm
from vmpz.readers.common import (
    Convert,
    check_options,
    file_ref,
    is_selected,
    is_wanted,
    open_planes,
    pixel_limit,
    require_listed,
    rms_of,
)
from vmpz.readers.decamccd import (
    BANDS,
    INSTRUMENT,
    Ccd,
    Headers,
    band_of,
    ccd_of,
    exposure_of,
    image_of,
    missing_planes,
    the_file,
    wanted_planes,
)
from vmpz.readers.detectors import detector_names, exposure_plane
from vmpz.readers.folders import grouped, iso_time, walk
from vmpz.readers.headerbits import bits_of

__all__ = ["detectors", "open_frame", "scan"]

FORMS = ("community", "desdm", "coadd")
OPTIONS = ("forms", "bit_table", "max_pixels")
NAME = re.compile(
    rf"(?P<area>c4d_\d{{6}}_\d{{6}})_oo(?P<kind>[idw])_(?P<band>{BANDS})_(?P<version>\w+)\.fits(?:\.fz|\.gz)?"
)
KINDS = {"i": "IMAGE", "d": "FLAG", "w": "RMS"}
PRODUCTS = {"IMAGE": "image", "FLAG": "dqmask", "RMS": "wtmap"}
"""Plane to the value of PRODTYPE."""
CCD = re.compile(r"[NS]\d{1,2}")
CODES_FROM = (3, 5)
"""Version of the pipeline that began to write codes."""


@dataclass
class _Files:
    """The files of one exposure that are read: plane to path."""

    area: str
    band: str
    version: str
    files: dict[str, str]
    notes: list[str] = field(default_factory=list)


class _Read(NamedTuple):
    """One file: its primary header, the HDU of each CCD, and references to them."""

    primary: Cards
    hdus: Mapping[str, Hdu]
    refs: Mapping[str, FileRef]
    whole: FileRef


def scan(location: str, options: Mapping[str, Any]) -> Iterator[FrameRef | Refused]:
    """Exposures and coadds of a folder, from headers and descriptors alone.

    Parameters
    ----------
    location : str
        A folder, searched through.
    options : mapping
        See the module; `bands`, `instruments`, `tiles` (ids of exposures, names of coadd tiles) and `planes` select.

    Yields
    ------
    FrameRef or Refused
        In order of area and band.

    Raises
    ------
    InputError
        The location or an option is not what it must be.
    """
    check_options(options, OPTIONS, "decam")
    forms = options.get("forms") or FORMS
    if not isinstance(forms, list | tuple) or set(forms) - set(FORMS):
        raise InputError(f"reader option forms must be a list of {', '.join(FORMS)}, found {forms!r}")
    for form in FORMS:
        if table := _given_table(form, options):
            bit_table(table)
    root = Path(location)
    if not root.is_dir():
        raise InputError(f"{location}: must be a folder of DECam files, found none")
    index = walk(root)
    found: list[FrameRef | Refused] = []
    if "community" in forms:
        found += _community(index, options)
    if {"desdm", "coadd"} & set(forms):
        tables = {form: _given_table(form, options) or "desdm" for form in ("desdm", "coadd")}
        found += desdm.scan(index, root, forms, options, tables)
    if not found and not _is_ours(index):
        raise InputError(f"{location}: must hold files of DECam, found none named like one")
    yield from sorted(found, key=_order)


def detectors(ref: FrameRef, rows: Sequence[int]) -> Sequence[FrameRef]:
    """Images of some CCDs of an exposure, by their rows; headers of the files they are in are read again.

    Raises
    ------
    InputError
        A file is not what it must be or changed since it was listed.
    """
    if ref.options["form"] == "desdm":
        return desdm.detectors(ref, rows)
    names = detector_names(ref, rows)
    read = _read_files(ref.options["files"], int(ref.options["max_pixels"]))
    for plane, file in ref.planes.items():
        require_listed(read[plane].whole.identity, file.identity, file.location)
    return [image_of(ref, row, _ccd(name, read)) for row, name in zip(rows, names, strict=True)]


def open_frame(ref: FrameRef, planes: Collection[str]) -> Frame:
    """Open the planes asked for of an image; noise comes out as RMS. An exposure itself has none.

    Raises
    ------
    InputError
        A file is not what it must be or changed since it was listed.
    """
    if not ref.has_grid:
        return Frame(ref, {}, exposures=ref.exposures, bits=bits_of(ref))
    convert = {"RMS": _to_rms(float(ref.options["smallest_weight"]))}
    return Frame(ref, open_planes(ref, planes, convert), bits=bits_of(ref))


def _to_rms(smallest: float) -> Convert:
    """Noise of a plane of inverse variances, those below the smallest being 0."""
    convert = rms_of("inverse_variance")
    return lambda weights: (
        convert(np.where(weights < smallest, 0.0, weights)) if smallest else convert(weights)
    )


def _given_table(form: str, options: Mapping[str, Any]) -> str | None:
    given = options.get("bit_table")
    name = given.get(form) if isinstance(given, Mapping) else given
    return None if name is None else str(name)


def _is_ours(index: Mapping[str, Sequence[Path]]) -> bool:
    return any(NAME.fullmatch(name) or desdm.is_named(name) or name.endswith(".xml") for name in index)


def _order(item: FrameRef | Refused) -> tuple[str, ...]:
    release = item.release if isinstance(item, FrameRef) else item.reason
    return (item.area, item.band, release)


# -- exposures of the Community Pipeline ----------------------------------------------------------------------


def _community(
    index: Mapping[str, Sequence[Path]], options: Mapping[str, Any]
) -> Iterator[FrameRef | Refused]:
    def told(name: str) -> tuple[tuple[str, str, str], str] | None:
        match = NAME.fullmatch(name)
        if match is None:
            return None
        area, band = match["area"], f"{INSTRUMENT}_{match['band']}"
        if not is_selected(options, area=area, instrument=INSTRUMENT, band=band):
            return None
        return (area, band, match["version"]), KINDS[match["kind"]]

    for (area, band, version), files in grouped(index, told):
        try:
            one = _Files(area, band, version, {})
            for plane in wanted_planes(files, options):
                one.files[plane] = the_file(map(str, files[plane]), f"{area}: {plane}", one.notes)
            yield _exposure(one, options)
        except InputError as error:
            yield Refused(area, INSTRUMENT, band, str(error))


def _exposure(one: _Files, options: Mapping[str, Any]) -> FrameRef:
    limit = pixel_limit(options)
    read = _read_files(one.files, limit)
    primary = _common_primary(one, read)
    return exposure_of(
        "community",
        one.area,
        one.band,
        [_ccd(name, read) for name in next(iter(read.values())).hdus],
        planes={plane: part.whole for plane, part in read.items() if is_wanted(options, "planes", plane)},
        files=one.files,
        begin=primary.optional_text("DATE-OBS") or "-1",
        notes=[*one.notes, *missing_planes(read, options)],
        max_pixels=limit,
        bit_table=_table_name(read, options),
        release=one.version,
        created=iso_time(primary.optional_text("DATE") or "-1"),
    )


def _read_files(files: Mapping[str, str], limit: int) -> dict[str, _Read]:
    """Headers of the files of an exposure; all must have the same CCDs."""
    read: dict[str, _Read] = {}
    for plane, path in files.items():
        with open_fits(path, limit) as file:
            hdus = _ccd_hdus(file)
            refs = {name: file_ref(file, hdu) for name, hdu in hdus.items()}
            read[plane] = _Read(file.hdus[0].cards, hdus, refs, exposure_plane(file, list(hdus.values())))
        expected = set(next(iter(read.values())).hdus)
        if set(hdus) != expected:
            raise InputError(
                f"{path}: the files of an exposure must have the same CCDs, found that "
                f"{', '.join(sorted(expected ^ set(hdus)))} are not in all"
            )
    return read


def _ccd_hdus(file: FitsFile) -> dict[str, Hdu]:
    """The image HDU of each CCD by its name, in order of CCDNUM."""
    found: dict[str, Hdu] = {}
    for hdu in [hdu for hdu in file.hdus if CCD.fullmatch(hdu.name)]:
        if hdu.name in found:
            raise InputError(f"{hdu.where}: EXTNAME {hdu.name} must stand once, found it twice")
        _ = hdu.shape
        found[hdu.name] = hdu
    if not found:
        raise InputError(f"{file.location}: must have an extension a CCD (N1 to S31), found none")
    return dict(sorted(found.items(), key=lambda item: item[1].cards.integer("CCDNUM")))


def _common_primary(one: _Files, read: Mapping[str, _Read]) -> Cards:
    """The primary header, after checking that all files are what their names say and of one exposure."""
    numbers: dict[str, int] = {}
    for plane, part in read.items():
        headers = Headers(part.primary, part.primary)
        if band_of(headers) != one.band:
            raise part.primary.error("FILTER", f"must be {one.band}, as the file name says")
        for key, expected in (("PROCTYPE", "InstCal"), ("PRODTYPE", PRODUCTS[plane])):
            if headers.optional_text(key) not in (None, expected):
                raise part.primary.error(key, f"must be {expected}, as the file name says")
        if not (headers.optional_text("WCSCAL") or "success").lower().startswith("success"):
            raise part.primary.error("WCSCAL", "must be Successful")
        numbers[part.primary.where] = part.primary.integer("EXPNUM")
    if len(set(numbers.values())) > 1:
        raise InputError(f"{one.area}: EXPNUM of all files must be one, found {numbers}")
    return next(iter(read.values())).primary


def _ccd(name: str, read: Mapping[str, _Read]) -> Ccd:
    """One CCD; its scalars are those of the first file, the image where that is selected."""
    hdus = {plane: part.hdus[name] for plane, part in read.items()}
    headers = Headers(next(iter(hdus.values())).cards, next(iter(read.values())).primary)
    planes = {plane: part.refs[name] for plane, part in read.items()}
    return ccd_of(name, headers, hdus, planes, ("AVSKY", "AVSIG"), _zero_point(headers))


def _zero_point(headers: Headers) -> float:
    """MAGZERO, else MAGZPT (for counts per second) brought to the exposure; NaN without either."""
    if "MAGZERO" in headers.holding("MAGZERO"):
        return headers.number("MAGZERO")
    return headers.optional_number("MAGZPT") + 2.5 * float(np.log10(headers.number("EXPTIME")))


def _table_name(read: Mapping[str, _Read], options: Mapping[str, Any]) -> str:
    """Bit table of the quality plane: as the options say, else by the version of the pipeline."""
    if "FLAG" not in read or not is_wanted(options, "planes", "FLAG"):
        return "-"
    if given := _given_table("community", options):
        return given
    primary = read["FLAG"].primary
    match = re.search(r"(\d+)\.(\d+)", primary.text("PLVER"))
    if match is None:
        raise primary.error(
            "PLVER", "must hold a version like V4.1 (it tells whether flags are codes or bits)"
        )
    return "decam-cp-codes" if (int(match[1]), int(match[2])) >= CODES_FROM else "decam-cp-bits"
