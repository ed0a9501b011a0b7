"""Reader `euclid-nir`: calibrated exposures of Euclid's NISP photometer.

An exposure of a band is an image file of 16 detectors, each with the extensions DETxy.SCI, DETxy.RMS and DETxy.DQ in
any order, and, if they are there, a background file of the same structure, a PSF image and a PSF model. The id of a
frame is ``NIR_<band>-<observation>-<number>``, as in the names of its files.

- Images are in electrons with their background; ZPAB (of the detector, else of the exposure) holds the exposure time,
  and must agree with a descriptor to 1e-4 mag.
- Planes of a detector are matched pixel by pixel. The background file keeps an older astrometry, so its detectors
  are told by DET_ID and its WCS is not looked at.
- Flags are named by the headers (`MSK_FLAG_<NAME>` = bit), joined with the table `nir`.
- The middle of an exposure is MJD-OBS, taken as UTC, plus half of ELAPTIME (else of EXPTIME).
- The PSF comes from the stamps of the PSF image, else from the PSFEx model at 4 x 4 places of each detector; option
  `psf` = image or model chooses. The number PSF of a detector is PSF_FWHM of the model.
- Solar angles are taken from SAA, ALPHA, BETA where a header has them; POS_X, POS_Y, POS_Z (km) are passed on.

Options: `bit_table`, `psf`, `max_pixels`.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from vmpz.bits import bit_table
from vmpz.errors import InputError
from vmpz.files.cards import Cards
from vmpz.files.fits import FitsFile, open_fits
from vmpz.files.hdu import Hdu
from vmpz.frames import Exposures, FileRef, Frame, FrameRef, Refused
from vmpz.readers.common import (
    SECONDS_PER_DAY,
    check_options,
    choice_option,
    file_ref,
    is_wanted,
    open_planes,
    pixel_limit,
    require_listed,
)
from vmpz.readers.detectors import (
    detector_names,
    exposure_plane,
    image_scalars,
    outline_of,
    row_scalars,
    rows_of,
    stacked_outlines,
)
from vmpz.readers.headerbits import bits_of, join_table
from vmpz.readers.nirfiles import INSTRUMENT, Exposure, find_exposures, missing_exposures
from vmpz.readers.nirimage import LAYERS, Detector, backgrounds_in, detectors_in, flag_bits
from vmpz.readers.nirpsf import PSF_CHOICES, PsfFiles, list_psf, read_psf

__all__ = ["detectors", "open_frame", "scan"]

OPTIONS = ("bit_table", "psf", "max_pixels")
DEFAULT_TABLE = "nir"
DETECTORS = 16
ZERO_POINT_TOLERANCE_MAG = 1e-4
ANGLES = {"SAA": "SAA", "ALPHA": "AA", "BETA": "BA"}
ORBIT = {"POS_X": "PositionX", "POS_Y": "PositionY", "POS_Z": "PositionZ"}
UNKNOWN = {"ExposureTime": "EXPTIME", "MJD": "MJD-OBS"}
POINTING = {"RA": "PointingLon", "DEC": "PointingLat", "PA": "PositionAngle"}

Array = NDArray[np.float64]


def scan(location: str, options: Mapping[str, Any]) -> Iterator[FrameRef | Refused]:
    """Exposures below a folder, from headers and descriptors alone.

    Parameters
    ----------
    location : str
        A folder, searched through.
    options : mapping
        See the module; `bands`, `instruments`, `tiles` (ids of exposures) and `planes` select.

    Yields
    ------
    FrameRef or Refused
        In order of id. Of two exposures with one place in the observation sequence and one time the second is refused.

    Raises
    ------
    InputError
        The location or an option is not what it must be.
    """
    check_options(options, OPTIONS, "euclid-nir")
    bit_table(_table_name(options))
    choice_option(options, "psf", PSF_CHOICES)
    taken: dict[tuple[Any, ...], str] = {}
    for exposure in find_exposures(Path(location), options):
        if isinstance(exposure, Refused):
            yield exposure
            continue
        try:
            yield _frame(exposure, options, taken)
        except InputError as error:
            yield Refused(exposure.area, INSTRUMENT, f"NIR_{exposure.id.band}", str(error))


def detectors(ref: FrameRef, rows: Sequence[int]) -> Sequence[FrameRef]:
    """Images of some detectors of an exposure, from headers alone.

    Parameters
    ----------
    ref : FrameRef
        Of an exposure.
    rows : sequence of int
        Rows of its `exposures`.

    Raises
    ------
    InputError
        A file is not what it must be, or is no longer what was listed.
    """
    names = [name.removeprefix("DET") for name in detector_names(ref, rows)]
    found: list[dict[str, FileRef]] = [{} for _ in rows]
    with open_fits(str(ref.options["image"]), int(ref.options["max_pixels"])) as file:
        known = {one.name: one for one in detectors_in(file)}
        for plane in [plane for plane in LAYERS if plane in ref.planes]:
            hdus = {one.name: one.hdus[plane] for one in known.values()}
            _fill(found, names, plane, file, hdus, ref)
    if "BACKGROUND" in ref.planes:
        with open_fits(ref.planes["BACKGROUND"].location, int(ref.options["max_pixels"])) as file:
            _fill(found, names, "BACKGROUND", file, backgrounds_in(file, known.values()), ref)
    return [
        _image(ref, row, known[name], planes) for row, name, planes in zip(rows, names, found, strict=True)
    ]


def open_frame(ref: FrameRef, planes: Collection[str]) -> Frame:
    """Open the planes asked for of a detector, or the PSF stamps of an exposure.

    Raises
    ------
    InputError
        A file is not what it must be or changed since it was listed.
    """
    if not ref.has_grid:
        stamps = read_psf(ref, _sky(ref)) if "PSF" in planes and "PSF" in ref.tables else None
        return Frame(ref, {}, exposures=ref.exposures, psf=stamps, bits=bits_of(ref))
    return Frame(ref, open_planes(ref, planes), bits=bits_of(ref))


# -- an exposure ------------------------------------------------------------------------------------------------


def _frame(exposure: Exposure, options: Mapping[str, Any], taken: dict[tuple[Any, ...], str]) -> FrameRef:
    limit = pixel_limit(options)
    with open_fits(exposure.files["IMAGE"], limit) as file:
        primary = file.hdus[0].cards
        _check_identity(exposure, primary, required=True)
        place = _check_sequence(exposure, primary, taken)
        found = detectors_in(file)
        planes = {
            plane: exposure_plane(file, [one.hdus[plane] for one in found])
            for plane in LAYERS
            if is_wanted(options, "planes", plane)
        }
    planes |= _background(exposure, found, options, limit)
    psf = list_psf(exposure.files, options, lambda cards: _check_identity(exposure, cards))
    scalars = _scalars(exposure, found, primary, psf)
    table = _table_name(options) if "FLAG" in planes else "-"
    bits = flag_bits(found, primary)
    notes = _notes(exposure, found, primary, scalars, psf)
    if "FLAG" in planes:
        join_table(bit_table(table), bits, INSTRUMENT, planes["FLAG"].location)
        source = "the names of the headers and the meanings of" if bits else "the names of"
        notes = (*notes, f"flags are read with {source} the table {table}")
    ids = tuple(f"{exposure.area}[DET{one.name}]" for one in found)
    described = exposure.descriptor
    if place is not None:
        taken[place] = exposure.area
    return FrameRef(
        reader="euclid-nir",
        area=exposure.area,
        instrument=INSTRUMENT,
        band=f"NIR_{exposure.id.band}",
        shape=(0, 0),
        wcs_cards="",
        planes=planes,
        tables={} if psf.table is None else {"PSF": psf.table},
        scalars=_common(found, scalars),
        bit_table=table,
        release=_first(primary, "DATASETR", "VERSION") if described is None else described.release,
        created=exposure.created,
        date_obs=_first(primary, "UTC-OBS", "DATE-OBS"),
        date_end=_first(primary, "UTC-END", "DATE-END"),
        telescope=_first(primary, "TELESCOP"),
        notes=notes,
        options={
            "image": exposure.files["IMAGE"], "psf": psf.source, "flag_bits": bits, "max_pixels": limit
        },
        exposures=Exposures(ids, stacked_outlines([outline_of(one.mapping, one.shape) for one in found]), scalars),
    )  # fmt: skip


def _background(
    exposure: Exposure, found: Sequence[Detector], options: Mapping[str, Any], limit: int
) -> dict[str, FileRef]:
    """The background plane, if there is one and it is wanted."""
    if "IMAGE-BKG" not in exposure.files or not is_wanted(options, "planes", "BACKGROUND"):
        return {}
    with open_fits(exposure.files["IMAGE-BKG"], limit) as file:
        _check_identity(exposure, file.hdus[0].cards)
        hdus = backgrounds_in(file, found)
        return {"BACKGROUND": exposure_plane(file, [hdus[one.name] for one in found])}


def _check_identity(exposure: Exposure, cards: Cards, *, required: bool = False) -> None:
    """FILTER and OBS_ID are those of the file names."""
    if (required or "FILTER" in cards) and cards.text("FILTER").removeprefix("NIR_") != exposure.id.band:
        raise cards.error("FILTER", f"must be {exposure.id.band}, as in the file name")
    if (required or "OBS_ID" in cards) and cards.integer("OBS_ID") != exposure.id.observation:
        raise cards.error("OBS_ID", f"must be {exposure.id.observation}, as in the file name")


def _check_sequence(
    exposure: Exposure, primary: Cards, taken: Mapping[tuple[Any, ...], str]
) -> tuple[Any, ...] | None:
    """Place in the observation sequence and time, which no other exposure may have: it would count twice."""
    keys = ("DITHOBS", "EXPNUM", "MJD-OBS")
    if not all(key in primary for key in keys):
        return None
    place = (exposure.id.observation, exposure.id.band, *(primary.number(key) for key in keys))
    other = taken.get(place, exposure.area)
    if other != exposure.area:
        raise InputError(
            f"{primary.where}: OBS_ID, DITHOBS, EXPNUM and MJD-OBS must be those of one exposure, found {place[0]}, "
            f"{place[2]:g}, {place[3]:g}, {place[4]} in {other} as well"
        )
    return place


def _scalars(
    exposure: Exposure, found: Sequence[Detector], primary: Cards, psf: PsfFiles
) -> dict[str, Array]:
    """Scalars of the detectors by quantity; what no header says is left out."""

    def values(key: str) -> Array:
        return np.array([_number(key, one.cards, primary) for one in found])

    seconds, elapsed, start = values("EXPTIME"), values("ELAPTIME"), values("MJD-OBS")
    scales = np.array([one.scale_arcsec for one in found])
    known = {
        "ExposureTime": seconds,
        "MJD": start + 0.5 * np.where(np.isfinite(elapsed), elapsed, seconds) / SECONDS_PER_DAY,
        "Zeropoint": np.array([_zero_point(exposure, one, primary) for one in found]),
        "PixelScale": scales,
        "PSF": np.array([psf.fwhm_px.get(one.name, np.nan) for one in found]) * scales,
        **{name: values(key) for key, name in (ANGLES | ORBIT | POINTING).items()},
    }
    return {name: found_values for name, found_values in known.items() if np.isfinite(found_values).any()}


def _number(key: str, cards: Cards, primary: Cards) -> float:
    """A number of the detector's header, else of the primary one, else NaN."""
    for some in (cards, primary):
        if key in some:
            return some.number(key)
    return float("nan")


def _zero_point(exposure: Exposure, one: Detector, primary: Cards) -> float:
    """The descriptor's zero point, else that of the headers; both must agree."""
    stated = exposure.descriptor.zero_points.get(one.name) if exposure.descriptor else None
    header = _number("ZPAB", one.cards, primary)
    if np.isnan(header) and stated is None:
        raise InputError(f"{one.cards.where}: ZPAB must be present, found no such keyword")
    if stated is None:
        return header
    if abs(stated - header) > ZERO_POINT_TOLERANCE_MAG:
        raise InputError(
            f"{one.cards.where}: zero points must agree to {ZERO_POINT_TOLERANCE_MAG} mag, found ZPAB = {header} and "
            f"{stated} in the descriptor"
        )
    return stated


def _common(found: Sequence[Detector], scalars: Mapping[str, Array]) -> dict[str, float]:
    """Scalars of the exposure: numbers that all detectors share, and the mean side of a pixel."""
    gains = np.array([_number("GAIN", one.cards, one.cards) for one in found])
    named = {
        "zero_point": scalars["Zeropoint"],
        "exposure_time_s": scalars.get("ExposureTime", np.full(1, np.nan)),
        "gain": gains,
    }
    same = {name: float(some[0]) for name, some in named.items() if np.all(some == some[0])}
    return {**same, "pixel_scale_arcsec": float(scalars["PixelScale"].mean())}


def _first(cards: Cards, *keys: str) -> str:
    """The first of some texts that a header has."""
    return next((text for key in keys if (text := cards.optional_text(key))), "-1")


def _notes(
    exposure: Exposure, found: Sequence[Detector], primary: Cards, scalars: Mapping[str, Array], psf: PsfFiles
) -> tuple[str, ...]:
    notes = [*exposure.notes, *dict.fromkeys(note for one in found for note in one.wcs.notes), *psf.notes]
    if len(found) < DETECTORS:
        notes.append(f"{len(found)} of {DETECTORS} detectors are in the image file")
    if "IMAGE-BKG" not in exposure.files:
        notes.append("there is no background file (W-CAL-IMAGE-BKG)")
    notes += [f"{name} is not known: no {key}" for name, key in UNKNOWN.items() if name not in scalars]
    if "MJD" in scalars:
        length = next((key for key in ("ELAPTIME", "EXPTIME") if key in primary), "")
        notes.append(f"MJD-OBS is taken as UTC at the beginning, and {length} as the duration")
    if "SAA" not in scalars:
        known = "PositionX" in scalars
        notes.append(
            "SAA is in no header: it follows from POS_X, POS_Y, POS_Z (km) and the time"
            if known
            else "SAA is in no header, and no position of the spacecraft"
        )
    return (*notes, *_sequence_notes(exposure, primary))


def _sequence_notes(exposure: Exposure, primary: Cards) -> list[str]:
    """What the observation lacks, by the observation sequence of headers, else of the descriptor."""
    sequence = exposure.descriptor.sequence if exposure.descriptor else {}
    stated = sequence.get("TotalExposure", "")
    total = primary.integer("TOTEXP") if "TOTEXP" in primary else int(stated) if stated.isdigit() else None
    wide = primary.optional_text("OBSMODE") == "WIDE"
    notes = missing_exposures(exposure.id, exposure.siblings, wide, total)
    number = primary.integer("EXPNUM") if "EXPNUM" in primary else None
    if number is not None and total is not None and number > total:
        notes.append(f"EXPNUM = {number} is beyond TOTEXP = {total}")
    return notes


def _table_name(options: Mapping[str, Any]) -> str:
    return str(options.get("bit_table") or DEFAULT_TABLE)


# -- its detectors ----------------------------------------------------------------------------------------------


def _fill(
    found: Sequence[dict[str, FileRef]],
    names: Sequence[str],
    plane: str,
    file: FitsFile,
    hdus: Mapping[str, Hdu],
    ref: FrameRef,
) -> None:
    """Add one plane of the detectors asked for; all HDUs must be those that were listed."""
    whole = exposure_plane(file, [hdus[name] for name in sorted(hdus)])
    require_listed(whole.identity, ref.planes[plane].identity, file.location)
    for planes, name in zip(found, names, strict=True):
        planes[plane] = file_ref(file, hdus[name])


def _image(ref: FrameRef, row: int, one: Detector, planes: Mapping[str, FileRef]) -> FrameRef:
    """The image of one detector."""
    scalars = image_scalars(row_scalars(rows_of(ref), row))
    gain = _number("GAIN", one.cards, one.cards)
    scalars |= {"gain": gain} if np.isfinite(gain) else {}
    return replace(
        ref,
        area=f"{ref.area}[DET{one.name}]",
        shape=one.shape,
        wcs_cards=one.wcs.cards,
        planes=dict(planes),
        tables={},
        scalars=scalars,
        notes=(),
        exposures=None,
    )


def _sky(ref: FrameRef) -> dict[str, tuple[WCS, tuple[int, int]]]:
    """Mapping and shape of every detector."""
    with open_fits(str(ref.options["image"]), int(ref.options["max_pixels"])) as file:
        return {one.name: (one.mapping, one.shape) for one in detectors_in(file)}
