"""Exposures of reader `generic`: files that hold every detector of a camera, an image extension each.

With ``image = "{id}p.fits[*]"`` every image of two axes is a detector, and all planes are given so. Detectors are
named by EXTNAME where every image of the first plane has a name of its own, else by number of HDU. The images of
another plane belong to them by EXTNAME where these are the same names, else by order where there are as many and they
have no names of their own.

Numbers that options take from headers are looked up for every detector. Without `zero_point` a detector has none. The
pixel scale is the root of the mean area of a pixel.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vmpz.bits import bit_table
from vmpz.errors import InputError
from vmpz.files.fits import open_fits
from vmpz.files.hdu import Hdu
from vmpz.frames import Exposures, FileRef, FrameRef
from vmpz.readers.common import (
    GridCheck,
    file_ref,
    grid_of,
    require_integers,
    require_listed,
)
from vmpz.readers.detectors import (
    IMAGE_SCALARS,
    exposure_plane,
    mean_scale_arcsec,
    outline_of,
    stacked_outlines,
)
from vmpz.readers.headerbits import WITHOUT_TABLE, header_bits, join_table
from vmpz.readers.optionvalues import SCALARS, middle_of_exposure, numbers_of, quantities_in, texts_of

__all__ = ["EVERY", "NOISE", "PLANES", "detector_images", "exposure"]

EVERY = "*"
NOISE = ("rms", "weight", "inverse_variance", "variance")
PLANES = {"image": "IMAGE", **dict.fromkeys(NOISE, "RMS"), "flag": "FLAG", "background": "BACKGROUND"}
"""Option to the canonical plane it gives."""


@dataclass
class _Detector:
    """One detector: its HDU in each plane, and what headers say."""

    name: str
    grid: GridCheck
    planes: dict[str, FileRef]
    scalars: dict[str, float]


@dataclass
class _Read:
    """The files of an exposure."""

    detectors: list[_Detector]
    planes: dict[str, FileRef]
    texts: dict[str, Any]
    flag_bits: dict[str, int]


def exposure(
    area: str, files: Mapping[str, Path], options: Mapping[str, Any], limit: int, notes: Sequence[str]
) -> FrameRef:
    """The reference of an exposure, from headers alone.

    Parameters
    ----------
    area : str
    files : mapping of str to Path
        Option to the file that it names.
    options : mapping
        Of the reader.
    limit : int
        Larger images are refused.
    notes : sequence of str

    Raises
    ------
    InputError
        A file is not what it must be, or the planes do not belong together.
    """
    if "/" in area:
        raise InputError(f"{area}: the free part of the pattern of an exposure must be a name without folder")
    read = _read(files, options, limit)
    table = str(options.get("bit_table") or "-") if "FLAG" in read.planes else "-"
    where = read.detectors[0].grid.where
    joined = join_table(
        None if table == "-" else bit_table(table), read.flag_bits, read.texts["instrument"], where
    )
    said = [*notes, *dict.fromkeys(note for one in read.detectors for note in one.grid.wcs.notes)]
    if "FLAG" in read.planes and joined is None:
        said.append(WITHOUT_TABLE)
    names = sorted({name for one in read.detectors for name in one.scalars})
    columns = {name: np.array([one.scalars[name] for one in read.detectors]) for name in names}
    shared = {name: float(values[0]) for name, values in columns.items() if np.all(values == values[0])}
    return FrameRef(
        reader="generic",
        area=area,
        shape=(0, 0),
        wcs_cards="",
        planes=read.planes,
        scalars=shared,
        bit_table=table,
        notes=tuple(said),
        options={
            "noise": next((option for option in files if option in NOISE), "rms"),
            "max_pixels": limit,
            "flag_bits": read.flag_bits,
            "files": {option: str(path) for option, path in files.items()},
            "given": {key: options[key] for key in (*_names(options), "mjd_is") if key in options},
        },
        exposures=_exposures(area, read.detectors, columns),
        **read.texts,
    )


def detector_images(ref: FrameRef, rows: Sequence[int]) -> list[FrameRef]:
    """Images of some detectors of an exposure.

    Raises
    ------
    InputError
        A file is not what it must be, or is no longer what was listed.
    """
    kept = ("noise", "max_pixels", "flag_bits")
    files = {option: Path(path) for option, path in ref.options["files"].items()}
    read = _read(files, ref.options["given"], int(ref.options["max_pixels"]))
    for name, plane in read.planes.items():
        require_listed(plane.identity, ref.planes[name].identity, plane.location)
    return [
        FrameRef(
            reader="generic",
            area=f"{ref.area}[{one.name}]",
            instrument=ref.instrument,
            band=ref.band,
            shape=one.grid.shape,
            wcs_cards=one.grid.wcs.cards,
            planes=one.planes,
            scalars=one.scalars,
            bit_table=ref.bit_table,
            release=ref.release,
            created=ref.created,
            date_obs=ref.date_obs,
            date_end=ref.date_end,
            telescope=ref.telescope,
            notes=one.grid.wcs.notes,
            options={key: ref.options[key] for key in kept},
        )
        for one in (read.detectors[row] for row in rows)
    ]


def _exposures(area: str, detectors: Sequence[_Detector], columns: Mapping[str, Any]) -> Exposures:
    corners = stacked_outlines([outline_of(one.grid.wcs.wcs, one.grid.shape) for one in detectors])
    named = {IMAGE_SCALARS.get(name, name): values for name, values in columns.items()}
    scalars = {name: values for name, values in named.items() if name[0].isupper()}
    return Exposures(tuple(f"{area}[{one.name}]" for one in detectors), corners, scalars)


def _read(files: Mapping[str, Path], options: Mapping[str, Any], limit: int) -> _Read:
    """Headers of all files; the first plane says which detectors there are and what options ask for."""
    read = _Read([], {}, {}, {})
    for option, path in files.items():
        with open_fits(str(path), limit) as file:
            hdus = [hdu for hdu in file.hdus if hdu.is_image]
            if not hdus:
                raise InputError(f"{path}: must hold images of two axes, found none")
            if not read.detectors:
                read.detectors = [_Detector(name, grid_of(hdu, []), {}, {}) for name, hdu in _named(hdus)]
                read.texts = texts_of(file, hdus[0], options)
                for one, hdu in zip(read.detectors, hdus, strict=True):
                    one.scalars = _scalars(one.grid, numbers_of(file, hdu, options, _names(options)), options)
            hdus = _in_order(hdus, read.detectors, str(path))
            read.planes[PLANES[option]] = exposure_plane(file, hdus)
            for one, hdu in zip(read.detectors, hdus, strict=True):
                grid_of(hdu, [one.grid])
                one.planes[PLANES[option]] = file_ref(file, hdu)
        if option == "flag":
            read.flag_bits = _flag_bits(hdus)
    return read


def _names(options: Mapping[str, Any]) -> tuple[str, ...]:
    return (*SCALARS, *quantities_in(options))


def _scalars(grid: GridCheck, scalars: dict[str, float], options: Mapping[str, Any]) -> dict[str, float]:
    middle_of_exposure(scalars, options)
    scale = mean_scale_arcsec(outline_of(grid.wcs.wcs, grid.shape), grid.shape)
    return {**scalars, "pixel_scale_arcsec": scale}


def _named(hdus: Sequence[Hdu]) -> list[tuple[str, Hdu]]:
    """Names of detectors: EXTNAME, or the number of the HDU."""
    names = [hdu.name for hdu in hdus]
    if not all(names) or len(set(names)) < len(names):
        names = [str(hdu.index) for hdu in hdus]
    return list(zip(names, hdus, strict=True))


def _in_order(hdus: Sequence[Hdu], detectors: Sequence[_Detector], path: str) -> list[Hdu]:
    """The HDUs of a plane in the order of the detectors."""
    wanted = [one.name for one in detectors]
    named = dict(_named(hdus))
    if set(named) == set(wanted):
        return [named[name] for name in wanted]
    if len(hdus) == len(detectors) and not any(hdu.name for hdu in hdus if hdu.index):
        return list(hdus)
    raise InputError(
        f"{path}: must hold an image for each detector {', '.join(wanted)}, found {', '.join(named)}"
    )


def _flag_bits(hdus: Sequence[Hdu]) -> dict[str, int]:
    """The bits that headers name, which must be the same for all detectors."""
    first, *others = [header_bits(hdu.cards) for hdu in hdus]
    for hdu, bits in zip(hdus[1:], others, strict=True):
        if bits != first:
            raise InputError(f"{hdu.where}: flags must be numbered as in {hdus[0].where}, found other bits")
    for hdu in hdus:
        require_integers(hdu)
    return first
