"""DES files of reader `decam`: single-epoch CCDs and coadded tiles of DESDM, with or without Euclid descriptors.

A file holds image, mask and weight: EXTNAME SCI, MSK, WGT, or DES_EXT IMAGE, MASK, WEIGHT; in any order, the image
possibly in the primary HDU.

desdm
    One CCD of an exposure, `D<EXPNUM>_<band>_c<CCDNUM>_r<request>p<attempt>_immasked.fits.fz` (or `_red`): electrons,
    sky subtracted (SKYBRITE, SKYSIGMA say what it was). The files of one exposure, band and processing are one frame.
    Zero points are made later than the files: MAG_ZERO or MAGZERO where it stands, else unknown.
coadd
    A tile, `DES<hhmm><+-ddmm>_r<request>p<attempt>_<band>.fits.fz`: an image whose area is TILENAME, MAGZERO 30. Its
    mask has bit 0 alone: pixels that no unmasked input reaches.

A descriptor may give any file name; its zero point, which must agree with the header's to 1e-4 mag, its air mass and
its pointing fill what the headers lack.
"""

import math
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from vmpz.errors import InputError
from vmpz.files.fits import FitsFile, open_fits
from vmpz.files.hdu import Hdu
from vmpz.frames import FileRef, FrameRef, Refused
from vmpz.readers.common import (
    file_ref,
    is_selected,
    is_wanted,
    pixel_limit,
    require_listed,
)
from vmpz.readers.decamccd import (
    BANDS,
    INSTRUMENT,
    TELESCOPE,
    Ccd,
    Headers,
    band_of,
    ccd_of,
    exposure_of,
    image_of,
    missing_planes,
    one_grid,
    the_file,
    wanted_planes,
)
from vmpz.readers.desdescriptors import Descriptor, read_descriptors
from vmpz.readers.detectors import detector_names, joined_plane, joint_identity
from vmpz.readers.folders import iso_time

__all__ = ["detectors", "is_named", "scan"]

TAIL = r"\.fits(?:\.fz|\.gz)?"
EXPOSURE = re.compile(
    rf"D(?P<number>\d{{8}})_(?P<band>{BANDS})_c(?P<ccd>\d{{2}})_(?P<release>r\d+p\d+)_(?:immasked|red){TAIL}"
)
COADD = re.compile(rf"(?P<tile>DES\d{{4}}[+-]\d{{4}})_(?P<release>r\d+p\d+)_(?P<band>{BANDS}){TAIL}")
EXTENSIONS = {"SCI": "IMAGE", "MSK": "FLAG", "WGT": "RMS"}
DES_EXTENSIONS = {"IMAGE": "IMAGE", "MASK": "FLAG", "WEIGHT": "RMS"}
ZERO_POINTS = ("MAG_ZERO", "MAGZERO")
ZERO_POINT_TOLERANCE_MAG = 1e-4
COADD_MASK = "the mask of a coadd has bit 0 alone: pixels that no unmasked input reaches"


class _Named(NamedTuple):
    """A file and what its name or descriptor says of it; area is that of the frame."""

    path: str
    area: str
    band: str
    release: str
    ccd: int | None
    descriptor: Descriptor | None


@dataclass
class _Exposure:
    """The files of one exposure: CCD number to file."""

    area: str
    band: str
    release: str
    files: dict[int, _Named]
    notes: list[str] = field(default_factory=list)


def is_named(name: str) -> bool:
    """Whether a file has a published name of these forms."""
    return bool(EXPOSURE.fullmatch(name) or COADD.fullmatch(name))


def scan(
    index: Mapping[str, Sequence[Path]],
    root: Path,
    forms: Collection[str],
    options: Mapping[str, Any],
    tables: Mapping[str, str],
) -> Iterator[FrameRef | Refused]:
    """Exposures and coadds among the files of a folder.

    Parameters
    ----------
    index : mapping of str to paths
        File name to where it is.
    root : Path
    forms : collection of str
        'desdm', 'coadd' or both.
    options : mapping
        Of the reader.
    tables : mapping of str to str
        Form to bit table.
    """
    descriptors: dict[str, Descriptor] = {}
    for found in read_descriptors(index, root):
        if isinstance(found, Refused):
            yield found
        elif found.form in forms:
            descriptors[found.path] = found
    if "desdm" in forms:
        yield from _exposures(index, descriptors, options, tables["desdm"])
    if "coadd" in forms:
        yield from _coadds(index, descriptors, options, tables["coadd"])


def detectors(ref: FrameRef, rows: Sequence[int]) -> Sequence[FrameRef]:
    """Images of some CCDs of an exposure; only their files are opened.

    Raises
    ------
    InputError
        A file is not what it must be or changed since it was listed.
    """
    limit, selection = int(ref.options["max_pixels"]), {"planes": tuple(ref.planes)}
    images = []
    for row, name in zip(rows, detector_names(ref, rows), strict=True):
        path, identity = ref.options["files"][name]
        ccd, _ = _ccd(_Named(path, ref.area, ref.band, ref.release, None, None), selection, limit)
        require_listed(joint_identity(ccd.planes.values()), identity, path)
        images.append(image_of(ref, row, ccd))
    return images


# -- single-epoch exposures ---------------------------------------------------------------------------------------


def _exposures(
    index: Mapping[str, Sequence[Path]],
    descriptors: Mapping[str, Descriptor],
    options: Mapping[str, Any],
    table: str,
) -> Iterator[FrameRef | Refused]:
    groups: dict[tuple[str, str, str], list[_Named]] = defaultdict(list)
    for one in _named_exposures(index, descriptors, options):
        if isinstance(one, Refused):
            yield one
        else:
            groups[one.area, one.band, one.release].append(one)
    for (area, band, release), files in sorted(groups.items()):
        exposure = _Exposure(area, band, release, {})
        try:
            for ccd in sorted({one.ccd or 0 for one in files}):
                paths = {one.path: one for one in files if one.ccd == ccd}
                chosen = the_file(paths, f"{area}: CCD {ccd}", exposure.notes)
                exposure.files[ccd] = paths[chosen]
            yield _exposure(exposure, options, table)
        except InputError as error:
            yield Refused(area, INSTRUMENT, band, str(error))


def _named_exposures(
    index: Mapping[str, Sequence[Path]], descriptors: Mapping[str, Descriptor], options: Mapping[str, Any]
) -> Iterator[_Named | Refused]:
    """Files of CCDs by name, then those of any name that a descriptor names (their headers say which CCD it is)."""
    for name, paths in index.items():
        match = EXPOSURE.fullmatch(name)
        if match is None:
            continue
        area, band = f"D{match['number']}", f"{INSTRUMENT}_{match['band']}"
        if is_selected(options, area=area, instrument=INSTRUMENT, band=band):
            for path in map(str, paths):
                yield _Named(path, area, band, match["release"], int(match["ccd"]), descriptors.get(path))
    for path, descriptor in descriptors.items():
        chosen = is_selected(options, instrument=INSTRUMENT, band=descriptor.band)
        if descriptor.form != "desdm" or EXPOSURE.fullmatch(Path(path).name) or not chosen:
            continue
        try:
            with open_fits(path) as file:
                headers = Headers.of(file, next(iter(_planes_of(file).values())))
                area, ccd = f"D{_integer(headers, 'EXPNUM'):08d}", _integer(headers, "CCDNUM")
        except InputError as error:
            yield Refused("-", INSTRUMENT, descriptor.band, str(error))
            continue
        if is_wanted(options, "tiles", area):
            yield _Named(path, area, descriptor.band, descriptor.release, ccd, descriptor)


def _exposure(one: _Exposure, options: Mapping[str, Any], table: str) -> FrameRef:
    limit = pixel_limit(options)
    read = [_ccd(file, options, limit) for file in one.files.values()]
    ccds, (first, begin) = [ccd for ccd, _ in read], read[0]
    for ccd in ccds:
        if ccd.planes.keys() != first.planes.keys():
            raise InputError(
                f"{ccd.grid.where}: must have planes {', '.join(first.planes)}, found {', '.join(ccd.planes)}"
            )
    files = {
        ccd.name: [file.path, joint_identity(ccd.planes.values())]
        for ccd, file in zip(ccds, one.files.values(), strict=True)
    }
    created = [file.descriptor.created for file in one.files.values() if file.descriptor]
    return exposure_of(
        "desdm",
        one.area,
        one.band,
        ccds,
        planes={
            plane: joined_plane([ccd.planes[plane] for ccd in ccds])
            for plane in first.planes
            if is_wanted(options, "planes", plane)
        },
        files=files,
        begin=begin,
        notes=[*one.notes, *missing_planes(first.planes, options)],
        max_pixels=limit,
        bit_table=table if "FLAG" in first.planes and is_wanted(options, "planes", "FLAG") else "-",
        release=one.release,
        created=iso_time(max(created, default="-1")),
    )


def _ccd(file: _Named, options: Mapping[str, Any], limit: int) -> tuple[Ccd, str]:
    """One CCD and its DATE-OBS, after checking that the file is what its name or descriptor says."""
    headers, hdus, planes = _open(file.path, options, limit)
    number = _integer(headers, "CCDNUM")
    if {file.ccd, file.descriptor and file.descriptor.ccd} - {None, number}:
        raise headers.holding("CCDNUM").error("CCDNUM", "must be as the file name and the descriptor say")
    if f"D{_integer(headers, 'EXPNUM'):08d}" != file.area:
        raise headers.holding("EXPNUM").error("EXPNUM", f"must be that of {file.area}, as the file name says")
    if band_of(headers) != file.band:
        raise headers.holding("FILTER").error("FILTER", f"must be {file.band}, as name or descriptor say")
    zero_point = _zero_point(headers, file.descriptor)
    ccd = ccd_of(f"c{number:02d}", headers, hdus, planes, ("SKYBRITE", "SKYSIGMA"), zero_point)
    stated = {} if file.descriptor is None else file.descriptor.scalars
    filled = {name: value for name, value in stated.items() if math.isnan(ccd.scalars[name])}
    ccd = replace(ccd, scalars={**ccd.scalars, **filled})
    return ccd, headers.optional_text("DATE-OBS") or "-1"


def _open(
    path: str, options: Mapping[str, Any], limit: int
) -> tuple[Headers, dict[str, Hdu], dict[str, FileRef]]:
    """The headers that hold the scalars, and the planes of a file that are read."""
    with open_fits(path, limit) as file:
        found = _planes_of(file)
        hdus = {plane: found[plane] for plane in wanted_planes(found, options)}
        headers = Headers.of(file, found.get("IMAGE", next(iter(hdus.values()))))
        return headers, hdus, {plane: file_ref(file, hdu) for plane, hdu in hdus.items()}


def _integer(headers: Headers, key: str) -> int:
    return headers.holding(key).integer(key)


def _planes_of(file: FitsFile) -> dict[str, Hdu]:
    """The HDU of each plane, by EXTNAME or DES_EXT."""
    found: dict[str, Hdu] = {}
    for hdu in file.hdus:
        kind = EXTENSIONS.get(hdu.name) or DES_EXTENSIONS.get(hdu.cards.optional_text("DES_EXT") or "")
        if kind is None:
            continue
        if kind in found:
            raise InputError(
                f"{hdu.where}: must be the only {kind} plane, found another in {found[kind].where}"
            )
        _ = hdu.shape
        found[kind] = hdu
    if not found:
        raise InputError(f"{file.location}: must have an HDU SCI, MSK or WGT, found none")
    return found


def _zero_point(headers: Headers, descriptor: Descriptor | None) -> float:
    """That of the descriptor, else MAG_ZERO or MAGZERO; NaN where there is none.

    Raises
    ------
    InputError
        Two of them differ.
    """
    stated = (
        {}
        if descriptor is None or descriptor.zero_point is None
        else {descriptor.ref.location: descriptor.zero_point}
    )
    for key in ZERO_POINTS:
        value = headers.optional_number(key)
        if not math.isnan(value):
            stated[f"{headers.holding(key).where}: {key}"] = value
    values = list(stated.values())
    if values and max(values) - min(values) > ZERO_POINT_TOLERANCE_MAG:
        raise InputError(f"zero points must agree to {ZERO_POINT_TOLERANCE_MAG} mag, found {stated}")
    return values[0] if values else float("nan")


# -- coadded tiles ------------------------------------------------------------------------------------------------


def _coadds(
    index: Mapping[str, Sequence[Path]],
    descriptors: Mapping[str, Descriptor],
    options: Mapping[str, Any],
    table: str,
) -> Iterator[FrameRef | Refused]:
    named: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for name, paths in index.items():
        match = COADD.fullmatch(name)
        if match is None:
            continue
        tile, band = match["tile"], f"{INSTRUMENT}_{match['band']}"
        if is_selected(options, area=tile, instrument=INSTRUMENT, band=band):
            named[tile, band, match["release"]] += map(str, paths)
    for (tile, band, release), found in sorted(named.items()):
        notes: list[str] = []
        try:
            path = the_file(found, tile, notes)
            one = _Named(path, tile, band, release, None, descriptors.get(path))
            yield _coadd(one, notes, options, table)
        except InputError as error:
            yield Refused(tile, INSTRUMENT, band, str(error))
    for path, descriptor in descriptors.items():
        chosen = is_selected(options, instrument=INSTRUMENT, band=descriptor.band)
        if descriptor.form != "coadd" or COADD.fullmatch(Path(path).name) or not chosen:
            continue
        try:
            ref = _coadd(
                _Named(path, "", descriptor.band, descriptor.release, None, descriptor), [], options, table
            )
        except InputError as error:
            yield Refused("-", INSTRUMENT, descriptor.band, str(error))
            continue
        if is_wanted(options, "tiles", ref.area):
            yield ref


def _coadd(file: _Named, notes: list[str], options: Mapping[str, Any], table: str) -> FrameRef:
    limit = pixel_limit(options)
    headers, hdus, planes = _open(file.path, options, limit)
    tile = _coadd_tile(file, headers)
    grid = one_grid(hdus)
    zero_point = _zero_point(headers, file.descriptor)
    if math.isnan(zero_point):
        raise headers.own.error("MAGZERO", "(or ZeroPoint in a descriptor) must be present")
    known = {"zero_point": zero_point, "pixel_scale_arcsec": grid.wcs.scale_arcsec}
    known["saturate"] = headers.positive("SATURATE")
    notes += missing_planes(hdus, options)
    notes += [*grid.wcs.notes, *([COADD_MASK] if "FLAG" in hdus else [])]
    return FrameRef(
        reader="decam",
        area=tile,
        instrument=INSTRUMENT,
        band=file.band,
        shape=grid.shape,
        wcs_cards=grid.wcs.cards,
        planes={plane: ref for plane, ref in planes.items() if is_wanted(options, "planes", plane)},
        tables={"XML": file.descriptor.ref} if file.descriptor else {},
        scalars={name: value for name, value in known.items() if not math.isnan(value)},
        bit_table=table if "FLAG" in hdus else "-",
        release=file.release,
        created=iso_time(file.descriptor.created) if file.descriptor else "-1",
        telescope=TELESCOPE,
        notes=tuple(notes),
        options={"form": "coadd", "max_pixels": limit, "smallest_weight": 0.0},
    )


def _coadd_tile(file: _Named, headers: Headers) -> str:
    """TILENAME, after checking that it and the band are what the name or the descriptor says."""
    tile = headers.holding("TILENAME").text("TILENAME")
    if file.area not in ("", tile):
        raise headers.holding("TILENAME").error("TILENAME", f"must be {file.area}, as the file name says")
    key = "FILTER" if "FILTER" in headers.holding("FILTER") else "BAND"
    if band_of(headers, key) != file.band:
        raise headers.holding(key).error(key, f"must be {file.band}, as name or descriptor say")
    return tile
