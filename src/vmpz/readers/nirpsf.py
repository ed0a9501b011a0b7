"""PSF files of NIR exposures: the PSF image (one stamp a detector) and the PSFEx model.

PSF image: an extension per detector, DET_ID or EXTNAME ``DETxy.PSF``, with OVERSAMP samples a pixel; the stamp stands
in the middle of the detector. An image that varies over the detector (POLNAXIS > 0) does not say where its stamps stand
and is left aside. PSF model: a table per detector, told by DET_ID.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from astropy.wcs import WCS

from vmpz.errors import InputError
from vmpz.files.cards import Cards
from vmpz.files.fits import FitsFile, open_fits
from vmpz.files.hdu import Hdu
from vmpz.files.planes import open_plane
from vmpz.frames import FileRef, FrameRef, PsfStamps
from vmpz.readers.common import require_listed
from vmpz.readers.detectors import exposure_plane
from vmpz.readers.nirimage import detector_of
from vmpz.readers.psfex import psfex_fwhm_px, read_psfex
from vmpz.readers.stamps import grid_positions, joined_stamps, stamps_on_sky

__all__ = ["PSF_CHOICES", "PsfFiles", "list_psf", "read_psf"]

PSF_CHOICES = ("image", "model")
"""Values of the option `psf`; without it the first that is there."""
FILES = {"image": "PSF-I", "model": "PSF-M"}
EXTENSION = re.compile(r"DET([1-4][1-4])(?:\.PSF)?")
LARGEST_STAMP = 1 << 20
PLACES = 4
"""A model is evaluated at so many places along each side of a detector."""

Sky = Mapping[str, tuple[WCS, tuple[int, int]]]


@dataclass(frozen=True)
class PsfFiles:
    """The PSF files of an exposure, from their headers.

    Attributes
    ----------
    source : {'image', 'model', ''}
        Where stamps come from.
    table : FileRef or None
        That file.
    fwhm_px : mapping of str to float
        PSF_FWHM of the model by detector, pixels.
    """

    source: str = ""
    table: FileRef | None = None
    fwhm_px: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def list_psf(
    files: Mapping[str, str], options: Mapping[str, Any], check: Callable[[Cards], None]
) -> PsfFiles:
    """What PSF there is of an exposure.

    Parameters
    ----------
    files : mapping of str to str
        Kind of file to path.
    options : mapping
        `psf` chooses between image and model.
    check : callable
        Refuses headers of another exposure.

    Raises
    ------
    InputError
        A file or one of its headers is not what it must be.
    """
    wanted = options.get("psf")
    tables: dict[str, FileRef] = {}
    fwhm_px: dict[str, float] = {}
    notes: list[str] = []
    for source in [source for source in PSF_CHOICES if FILES[source] in files]:
        with open_fits(files[FILES[source]]) as file:
            for hdu in file.hdus:
                check(hdu.cards)
            hdus = _detectors(file, source)
            if source == "model":
                fwhm_px = {name: value for name, hdu in hdus.items() if (value := psfex_fwhm_px(hdu))}
            elif varying := [name for name, hdu in hdus.items() if hdu.cards.optional_number("POLNAXIS")]:
                notes.append(f"the PSF image is left aside: it varies over the detector (DET{varying[0]})")
                continue
            tables[source] = exposure_plane(file, list(hdus.values()))
    chosen = wanted if wanted in tables else "" if wanted else next(iter(tables), "")
    notes.append(_choice(chosen, wanted))
    if fwhm_px:
        notes.append(
            "the number PSF of a detector, also where a stamp has no moments, is PSF_FWHM of the PSFEx model"
        )
    return PsfFiles(chosen, tables.get(chosen), fwhm_px, tuple(notes))


def read_psf(ref: FrameRef, sky: Sky) -> PsfStamps:
    """Stamps of all detectors of an exposure; where one has no moments, PSF_FWHM of the model stands in.

    Parameters
    ----------
    ref : FrameRef
    sky : mapping
        Detector to its mapping and shape.

    Raises
    ------
    InputError
        The file is not what it must be or no longer what was listed.
    """
    table, source = ref.tables["PSF"], str(ref.options["psf"])
    listed = ref.exposures
    rows = {} if listed is None else {name.split("[DET")[-1][:-1]: row for row, name in enumerate(listed.ids)}
    parts = []
    with open_fits(table.location) as file:
        hdus = _detectors(file, source)
        require_listed(exposure_plane(file, list(hdus.values())).identity, table.identity, table.location)
        for name, row in rows.items():
            if name in hdus:
                of = _stamp_of_image if source == "image" else _stamps_of_model
                parts.append(of(file, hdus[name], *sky[name], row))
    stamps = joined_stamps(parts)
    known = listed.scalars.get("PSF") if listed is not None else None
    if known is not None and stamps.detector is not None:
        measured = stamps.fwhm_arcsec
        width = np.where(np.isfinite(measured), measured, known[stamps.detector])
        return replace(stamps, fwhm_arcsec=width)
    return stamps


def _detectors(file: FitsFile, source: str) -> dict[str, Hdu]:
    """The HDU of each detector, in order of detectors."""
    found: dict[str, Hdu] = {}
    for hdu in file.hdus:
        if not (hdu.is_image if source == "image" else hdu.header.get("XTENSION") == "BINTABLE"):
            continue
        match = EXTENSION.fullmatch(hdu.name.upper()) if source == "image" else None
        name = detector_of(hdu) or (match[1] if match else None)
        if name is None:
            raise hdu.cards.error("DET_ID", "must be a detector, 11 to 44")
        if name in found:
            raise InputError(f"{hdu.where}: DET_ID {name} must stand once, found it twice")
        found[name] = hdu
    if not found:
        raise InputError(f"{file.location}: must hold the PSF of a detector, found none")
    return dict(sorted(found.items()))


def _choice(chosen: str, wanted: str | None) -> str:
    if not chosen:
        return f"there is no PSF {wanted}" if wanted else "there is no PSF file (W-CAL-PSF-I, W-CAL-PSF-M)"
    if chosen == "image":
        return "PSF stamps are those of the PSF image, one in the middle of each detector"
    return f"PSF stamps are those of the PSFEx model, at {PLACES} x {PLACES} places where it varies"


def _stamp_of_image(file: FitsFile, hdu: Hdu, wcs: WCS, shape: tuple[int, int], row: int) -> PsfStamps:
    samples = hdu.cards.number("OVERSAMP")
    if not samples > 0:
        raise hdu.cards.error("OVERSAMP", "must be positive")
    plane = open_plane(file.location, hdu.index, "PSF", direct=(), max_pixels=LARGEST_STAMP)
    try:
        stamp = plane.read(0, plane.shape[0])
    finally:
        plane.close()
    return stamps_on_sky(stamp[None], samples, wcs, *grid_positions(shape, 1, 1), row)


def _stamps_of_model(file: FitsFile, hdu: Hdu, wcs: WCS, shape: tuple[int, int], row: int) -> PsfStamps:
    model = read_psfex(file, hdu)
    places = PLACES if model.degree else 1
    x, y = grid_positions(shape, places, places)
    return stamps_on_sky(model.stamps(x + 1.0, y + 1.0), 1.0 / model.step_px, wcs, x, y, row)
