"""Reader `euclid-mer`: folders of Euclid MER mosaics, with or without their XML descriptors.

One frame is one band of one tile. Files are joined by tile, band and kind, never by the suffix or time in their
names: a descriptor says which files are one product; what no descriptor names is joined by the tokens of the file
names, one frame per DATASETR. The instrument and the FILTER of a band token come from one table. The zero point is that
of the descriptor, else MAGZERO; both must agree to 1e-4 mag.

Options: `bit_table` (a name, or names by band or instrument), `max_pixels`, `verify_md5`.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmpz.bits import bit_table
from vmpz.errors import InputError
from vmpz.files.fits import open_fits, open_regular
from vmpz.files.hdu import Hdu
from vmpz.frames import FileRef, Frame, FrameRef, PsfStamps, Refused
from vmpz.readers.common import (
    GridCheck,
    check_options,
    file_ref,
    grid_of,
    is_wanted,
    open_planes,
    pixel_limit,
    require_integers,
)
from vmpz.readers.descriptors import xml_ref
from vmpz.readers.folders import PLANES, Band, Group, band_named, find_groups
from vmpz.readers.headerbits import bits_of, header_bits, join_table
from vmpz.readers.merpsf import read_psf, with_moments
from vmpz.readers.tables import read_layers, read_star_masks, table_hdu

__all__ = ["open_frame", "scan"]

OPTIONS = ("bit_table", "max_pixels", "verify_md5")
NOMINAL_SCALE_ARCSEC = 0.1
EXACT_SCALE_ARCSEC = 1e-9
ZERO_POINT_TOLERANCE_MAG = 1e-4
DEFAULT_TABLES = {"VIS": "vis-pf14", "NISP": "nir"}
PSF_SCALARS = {
    "EXPTIME": "exposure_time_s",
    "GAIN": "gain",
    "SATURATE": "saturate",
    "FWHM": "psf_fwhm_arcsec",
}


def scan(location: str, options: Mapping[str, Any]) -> Iterator[FrameRef | Refused]:
    """Frames below a folder (or of one descriptor), from headers and descriptors alone.

    Parameters
    ----------
    location : str
        A folder, searched through, or one XML descriptor.
    options : mapping
        See the module; `bands`, `instruments`, `tiles` and `planes` select, and nothing unselected is opened.

    Yields
    ------
    FrameRef or Refused
        In order of tile and band. What is wrong with one band does not touch the others.

    Raises
    ------
    InputError
        The location or an option is not what it must be.
    """
    check_options(options, OPTIONS, "euclid-mer")
    given = options.get("bit_table")
    for name in given.values() if isinstance(given, Mapping) else [given] if given else []:
        bit_table(name)
    for group in find_groups(Path(location), options):
        if isinstance(group, Refused):
            yield group
            continue
        try:
            yield _frame(group, options)
        except InputError as error:
            band = band_named(group.band)
            yield Refused(group.tile, band.instrument, band.name, str(error))


def open_frame(ref: FrameRef, planes: Collection[str]) -> Frame:
    """Open the planes and tables asked for; what the frame lacks is absent, nothing else is touched.

    Parameters
    ----------
    ref : FrameRef
    planes : collection of str
        Canonical planes, and tables PSF, PSFIMAGE, LAYERS, STARMASK.

    Raises
    ------
    InputError
        A file is not what it must be or changed since it was listed.
    """
    wanted = {name: table for name, table in ref.tables.items() if name in planes}
    exposures = read_layers(wanted["LAYERS"]) if "LAYERS" in wanted else None
    star_masks = read_star_masks(wanted["STARMASK"]) if "STARMASK" in wanted else None
    psf, bits = _psf(ref, wanted), bits_of(ref)
    for name in [name for name in ref.planes if name in planes]:
        _verify_md5(ref, name)
    opened = open_planes(ref, planes)
    return Frame(ref, opened, exposures=exposures, psf=psf, star_masks=star_masks, bits=bits)


def _psf(ref: FrameRef, wanted: Mapping[str, FileRef]) -> PsfStamps | None:
    """PSF stamps, with moments where their image is asked for."""
    if "PSF" not in wanted:
        return None
    stamps = read_psf(wanted["PSF"], ref.wcs)
    if "PSFIMAGE" not in wanted:
        return stamps
    return with_moments(stamps, wanted["PSF"], wanted["PSFIMAGE"], ref.wcs)


@dataclass
class _Collected:
    """What the headers of one group say."""

    planes: dict[str, FileRef]
    grids: list[GridCheck]
    zero_points: dict[str, float]
    flag_bits: dict[str, int]
    release: str
    notes: list[str]


def _frame(group: Group, options: Mapping[str, Any]) -> FrameRef:
    band = band_named(group.band)
    found = _read_planes(group, band, options)
    tables, scalars = _read_tables(group)
    missing = [kind for kind in PLANES if kind not in found.planes and is_wanted(options, "planes", kind)]
    found.notes += [f"there is no {kind} plane" for kind in missing]
    grid = found.grids[0]
    scale = grid.wcs.scale_arcsec
    if abs(scale - NOMINAL_SCALE_ARCSEC) < EXACT_SCALE_ARCSEC:
        scale = NOMINAL_SCALE_ARCSEC
    else:
        found.notes.append(f"pixel scale {scale:.6g} arcsec instead of {NOMINAL_SCALE_ARCSEC}")
    mosaic = group.mosaic
    return FrameRef(
        reader="euclid-mer",
        area=group.tile,
        instrument=band.instrument,
        band=band.name,
        shape=grid.shape,
        wcs_cards=grid.wcs.cards,
        planes=found.planes,
        tables=tables,
        scalars={**scalars, "pixel_scale_arcsec": scale, "zero_point": _zero_point(group, found)},
        bit_table=_table_name(band, options, found),
        footprint=mosaic.footprint if mosaic else (),
        release=mosaic.release if mosaic and mosaic.release != "-1" else found.release,
        created=group.created,
        date_obs=mosaic.date_obs if mosaic else "-1",
        date_end=mosaic.date_end if mosaic else "-1",
        telescope=band.telescope,
        notes=(*group.notes, *found.notes),
        options={
            "flag_bits": found.flag_bits,
            "md5": _stated_md5(group),
            "verify_md5": bool(options.get("verify_md5", False)),
            "max_pixels": pixel_limit(options),
        },
    )


def _stated_md5(group: Group) -> dict[str, str]:
    """MD5 of the files that lie there under the very name in the descriptor, not compressed since."""
    stated = {} if group.mosaic is None else group.mosaic.md5
    names = {} if group.mosaic is None else group.mosaic.files
    return {kind: md5 for kind, md5 in stated.items() if Path(group.files.get(kind, "")).name == names[kind]}


def _read_planes(group: Group, band: Band, options: Mapping[str, Any]) -> _Collected:
    """Headers of the planes: one grid, one filter, one zero point."""
    found = _Collected({}, [], {}, {}, "-1", [])
    limit = pixel_limit(options)
    for kind in [kind for kind in PLANES if kind in group.files]:
        with open_fits(group.files[kind], limit) as file:
            hdu = file.image()
            grid = grid_of(hdu, found.grids)
            found.grids.append(grid)
            found.notes += [note for note in grid.wcs.notes if len(found.grids) == 1]
            found.planes[kind] = file_ref(file, hdu)
            _read_cards(hdu, kind, band, found)
    if not found.planes:
        raise InputError(
            f"{group.tile} {band.name}: must have an image, RMS, flag or background plane, found none"
        )
    return found


def _read_cards(hdu: Hdu, kind: str, band: Band, found: _Collected) -> None:
    cards = hdu.cards
    name = cards.optional_text("FILTER")
    if name is not None and band_named(name) != band:
        raise cards.error("FILTER", f"must be {band.name}, as the file name or descriptor says")
    value = cards.optional_number("MAGZERO")
    if value is not None:
        found.zero_points[hdu.where] = value
    if kind == "FLAG":
        found.flag_bits = header_bits(cards)
        require_integers(hdu)
    if found.release == "-1":
        found.release = cards.optional_text("DATASETR") or "-1"


def _read_tables(group: Group) -> tuple[dict[str, FileRef], dict[str, float]]:
    """References to the tables, and the scalars that the PSF header gives."""
    tables: dict[str, FileRef] = {}
    scalars: dict[str, float] = {}
    for kind in [kind for kind in ("PSF", "LAYERS") if kind in group.files]:
        with open_fits(group.files[kind]) as file:
            tables[kind] = file_ref(file, table_hdu(file))
            image = next((hdu for hdu in file.hdus if hdu.is_image), None)
            if kind == "PSF" and image is not None:
                if "STMPSIZE" in image.cards:
                    tables["PSFIMAGE"] = file_ref(file, image)
                known = {name: image.cards.optional_number(key) for key, name in PSF_SCALARS.items()}
                scalars = {name: value for name, value in known.items() if value is not None}
    if "STARMASK" in group.files:
        tables["STARMASK"] = xml_ref(group.files["STARMASK"])
    if group.mosaic:
        tables["XML"] = group.mosaic.ref
    return tables, scalars


def _zero_point(group: Group, found: _Collected) -> float:
    """The descriptor's zero point, else that of the headers; all must agree."""
    stated = dict(found.zero_points)
    if group.mosaic and group.mosaic.zero_point is not None:
        stated = {group.mosaic.ref.location: group.mosaic.zero_point, **stated}
    if not stated:
        raise InputError(
            f"{found.grids[0].where}: MAGZERO (or ZeroPoint in a descriptor) must be present, found none"
        )
    (first, value), *others = stated.items()
    for where, other in others:
        if abs(other - value) > ZERO_POINT_TOLERANCE_MAG:
            raise InputError(
                f"{where}: zero points must agree to {ZERO_POINT_TOLERANCE_MAG} mag, found {other}, "
                f"and {value} in {first}"
            )
    return value


def _table_name(band: Band, options: Mapping[str, Any], found: _Collected) -> str:
    """Bit table of the FLAG plane: as the options say, else the default of the instrument."""
    if "FLAG" not in found.planes:
        return "-"
    given = options.get("bit_table")
    if isinstance(given, Mapping):
        given = given.get(band.name, given.get(band.instrument, given.get("default")))
    name = given or DEFAULT_TABLES.get(band.instrument, "-")
    table = None if name == "-" else bit_table(name)
    if join_table(table, found.flag_bits, band.instrument, found.planes["FLAG"].location) is None:
        found.notes.append("no bit table is public for this mosaic, so no flag names can be used")
    elif table is not None and not given:
        found.notes.append(f"flags are read with the table {name} (default)")
    return str(name)


def _verify_md5(ref: FrameRef, name: str) -> None:
    """Compare a file with the MD5 of its descriptor, when asked or when nothing else vouches for its data."""
    expected = ref.options.get("md5", {}).get(name)
    if expected is None or (ref.planes[name].verifiable and not ref.options.get("verify_md5")):
        return
    with open_regular(ref.planes[name].location) as handle:
        found = hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != expected:
        raise InputError(
            f"{ref.planes[name].location}: MD5 must be {expected} (descriptor), found {found}: altered"
        )
