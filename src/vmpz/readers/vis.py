"""Reader `euclid-vis`: calibrated VIS exposures, and lists of pointings without pixels.

One exposure is a frame of 144 quadrants (`3-4.F`), or of 36 CCDs (`3-4`) in the older product: for each an image, RMS
and FLAG in extensions `<detector>.SCI|RMS|FLG` in any order, in one file or (`_sci`, `_rms`, `_flg`) three; beside it a
background file (BKG), a weight file (WGT) and a PSF file. Pixels are native ones in ADU, not background subtracted;
the zero point of their values is MAGZEROP + 2.5 log10(EXPTIME).

* WGT of a quadrant frame is the small-scale flat, 0 where INVALID: it is no inverse variance and is not used. What WGT
  of a CCD frame is, its content tells (`vmpz.readers.visweight`; a few rows are read when it is listed): noise is taken
  from it if the frame has no RMS.
* Background is BKG_MED (MJy/sr) of a detector as ADU per pixel, with the area of its middle pixel; where no header
  states it, it is unknown.
* Positions of the spacecraft (POS_X, POS_Y, POS_Z) are passed on as they are, km assumed.
* Long (566 s) and short (95 s) exposures of a pointing are exposures alike: what is given is counted. The option
  `exposures` = long or short takes only one kind, told by EXPTIME.
* TOTEXP is the number of exposures of a pointing (one dither): those that are not here are named in the notes. With
  `sequence` = observation it is that of the observation; with none nothing is compared.

Options: `bit_table`, `exposures` (all, long, short), `sequence` (pointing, observation, none), `stamp_px` (side of a
PSF stamp, 21), `psf_pixel_arcsec` (where the pixels of stamps are not those of the frame), `max_pixels`.

Pointings without pixels: see `vmpz.readers.observations`.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vmpz.bits import bit_table
from vmpz.errors import InputError
from vmpz.files.hdu import Hdu
from vmpz.frames import FileRef, Frame, FrameRef, PsfStamps, Refused
from vmpz.readers.common import (
    check_options,
    choice_option,
    file_ref,
    number_option,
    open_planes,
    require_listed,
    rms_of,
)
from vmpz.readers.detectors import (
    detector_names,
    exposure_plane,
    image_scalars,
    row_scalars,
    rows_of,
)
from vmpz.readers.headerbits import bits_of
from vmpz.readers.observations import find_observations
from vmpz.readers.visexposure import Detector, Files, detectors_in, stated, units
from vmpz.readers.visfiles import BAND, Exposure, find_exposures
from vmpz.readers.vislisting import STAMP_PX, exposure_ref
from vmpz.readers.vispsf import read_stamps

__all__ = ["detectors", "open_frame", "scan"]

OPTIONS = ("bit_table", "exposures", "sequence", "stamp_px", "psf_pixel_arcsec", "max_pixels")
CHOICES = {"exposures": ("all", "long", "short"), "sequence": ("pointing", "observation", "none")}


def scan(location: str, options: Mapping[str, Any]) -> Iterator[FrameRef | Refused]:
    """Exposures below a folder, from headers and descriptors alone.

    Parameters
    ----------
    location : str
        A folder, searched through, or an XML list of pointings.
    options : mapping
        See the module; `bands`, `instruments`, `tiles` (ids of exposures) and `planes` select, and nothing unselected
        is opened.

    Yields
    ------
    FrameRef or Refused
        In order of area. What is wrong with one exposure does not touch the others.

    Raises
    ------
    InputError
        The location or an option is not what it must be.
    """
    check_options(options, OPTIONS, "euclid-vis")
    _check_choices(options)
    folder = Path(location)
    lists = list(find_observations(folder, options))
    frames = list(find_exposures(folder, options)) if folder.is_dir() else []
    if not frames and not lists and not _is_narrowed(options):
        raise InputError(
            f"{location}: must be a folder of VIS exposures or a list of pointings, found neither"
        )
    areas = {one.id.area for one in frames if isinstance(one, Exposure)}
    every = [*frames, *(one for one in lists if one.area not in areas)]
    for one in sorted(every, key=lambda one: one.id.area if isinstance(one, Exposure) else one.area):
        if not isinstance(one, Exposure):
            yield one
            continue
        try:
            ref = exposure_ref(one, options)
        except InputError as error:
            yield Refused(one.id.area, BAND, BAND, str(error))
            continue
        if ref is not None:
            yield ref


def detectors(ref: FrameRef, rows: Sequence[int]) -> list[FrameRef]:
    """Images of some detectors of an exposure.

    Parameters
    ----------
    ref : FrameRef
        Of an exposure.
    rows : sequence of int
        Rows of its `exposures`; the images come in this order.

    Raises
    ------
    InputError
        A file is not what it was when it was listed.
    """
    with Files(int(ref.options["max_pixels"])) as files:
        wholes = list(_wholes(files, ref, rows))
        return [_image(ref, row, one, files) for row, one in zip(rows, wholes, strict=True)]


def open_frame(ref: FrameRef, planes: Collection[str]) -> Frame:
    """Open the planes of a detector, or the PSF stamps of an exposure, as far as they are asked for.

    Raises
    ------
    InputError
        A file is not what it must be, or is no longer what was listed.
    """
    if not ref.has_grid:
        stamps = _stamps(ref) if "PSF" in planes and "PSF" in ref.tables else None
        return Frame(ref, {}, exposures=ref.exposures, psf=stamps)
    noise = ref.options["noise"]
    opened = open_planes(ref, planes, {} if noise == "rms" else {"RMS": rms_of(noise)})
    return Frame(ref, opened, bits=bits_of(ref))


def _check_choices(options: Mapping[str, Any]) -> None:
    for key, choices in CHOICES.items():
        choice_option(options, key, choices)
    if options.get("bit_table"):
        bit_table(options["bit_table"])
    for key in ("stamp_px", "psf_pixel_arcsec"):
        if options.get(key) is not None:
            number_option(options, key, STAMP_PX)


def _is_narrowed(options: Mapping[str, Any]) -> bool:
    return any(options.get(key) is not None for key in ("tiles", "bands", "instruments"))


def _wholes(files: Files, ref: FrameRef, rows: Sequence[int]) -> list[Detector]:
    """Detectors of rows, with all planes listed, from files that are still those that were listed."""
    lead, path = ref.options["grid"]
    planes = {lead: units(files.file(path), lead)}
    for plane, place in ref.planes.items():
        planes[plane] = _listed(files, ref, plane, place)
    names = detector_names(ref, rows)
    chosen = {plane: {name: found[name] for name in names} for plane, found in planes.items()}
    found = {one.name: one for one in detectors_in(chosen, sorted(set(names)))}
    return [found[name] for name in names]


def _listed(files: Files, ref: FrameRef, plane: str, place: FileRef) -> dict[str, Hdu]:
    """HDUs of a plane by detector, which must be those that were listed."""
    file = files.file(place.location)
    found = units(file, "WEIGHT" if plane == "RMS" and ref.options["noise"] != "rms" else plane)
    require_listed(exposure_plane(file, list(found.values())).identity, place.identity, place.location)
    return found


def _image(ref: FrameRef, row: int, one: Detector, files: Files) -> FrameRef:
    """The image of one detector."""
    planes = {
        plane: file_ref(files.file(place.location), one.hdus[plane]) for plane, place in ref.planes.items()
    }
    known = {"gain": stated("GAIN", one.cards), "saturate": stated("SATURATE", one.cards)}
    rows = rows_of(ref)
    return replace(
        ref,
        area=rows.ids[row],
        shape=one.grid.shape,
        wcs_cards=one.grid.wcs.cards,
        planes=planes,
        tables={},
        scalars={
            **{name: value for name, value in known.items() if value is not None},
            **image_scalars(row_scalars(rows, row)),
        },
        notes=one.grid.wcs.notes,
        exposures=None,
    )


def _stamps(ref: FrameRef) -> PsfStamps:
    """PSF stamps of all detectors that have some."""
    with Files(int(ref.options["max_pixels"])) as files:
        place = ref.tables["PSF"]
        file = files.file(place.location)
        found = units(file, "PSF")
        names = detector_names(ref, range(len(rows_of(ref))))
        rows = [row for row, name in enumerate(names) if name in found]
        hdus = [found[names[row]] for row in rows]
        require_listed(exposure_plane(file, hdus).identity, place.identity, place.location)
        refs = {row: file_ref(file, hdu) for row, hdu in zip(rows, hdus, strict=True)}
        wholes = dict(zip(rows, _wholes(files, ref, rows), strict=True))
        return read_stamps(
            refs,
            {row: one.grid.wcs.wcs for row, one in wholes.items()},
            {row: one.grid.shape for row, one in wholes.items()},
            ref.options["stamp_px"],
            ref.options["psf_pixel_arcsec"],
        )
