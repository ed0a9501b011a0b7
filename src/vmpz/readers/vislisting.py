"""From the files of one VIS exposure to its reference: planes, rows, flags, and what had to be assumed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.bits import bit_table
from vmpz.errors import InputError
from vmpz.files.cards import Cards
from vmpz.files.fits import FitsFile
from vmpz.files.hdu import Hdu
from vmpz.frames import Exposures, FileRef, FrameRef
from vmpz.readers.common import (
    canonical_plane,
    file_ref,
    is_wanted,
    number_option,
    pixel_limit,
    require_integers,
)
from vmpz.readers.detectors import exposure_plane
from vmpz.readers.headerbits import header_bits, join_table
from vmpz.readers.visexposure import (
    CCDS,
    QUADRANTS,
    Detector,
    Files,
    check_same_exposure,
    detectors_in,
    exposure_rows,
    exposure_time_s,
    has_quadrants,
    identity_of,
    stated,
    units,
)
from vmpz.readers.visfiles import BAND, Exposure
from vmpz.readers.visweight import neighbour_scatter, weight_kind

__all__ = ["STAMP_PX", "exposure_ref"]

FRAME_PLANES = ("IMAGE", "RMS", "FLAG")
FILES = {
    "IMAGE": ("DET", "DET_sci"),
    "RMS": ("DET", "DET_rms"),
    "FLAG": ("DET", "DET_flg"),
    "BACKGROUND": ("BKG",),
}
"""Plane to the kinds of file that may hold it."""
LONG_S = 300.0
"""Exposures from this time on are long ones."""
STAMP_PX = 21
SAMPLE_ROWS = 64


@dataclass
class _Listed:
    """Planes of an exposure while it is listed: open file and HDUs by detector; which of them are wanted."""

    files: Files
    places: dict[str, FitsFile] = field(default_factory=dict)
    hdus: dict[str, dict[str, Hdu]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    noise: str = "rms"

    def find(self, plane: str, one: Exposure) -> None:
        """Take a plane from the first file that holds it, if one does."""
        for path in [one.files[kind] for kind in FILES[plane] if kind in one.files]:
            file = self.files.file(path)
            found = units(file, plane)
            if found and plane not in self.hdus:
                self.places[plane], self.hdus[plane] = file, found

    @property
    def names(self) -> list[str]:
        """All detectors of the frame."""
        return sorted(next(iter(self.hdus.values())))


def exposure_ref(one: Exposure, options: Mapping[str, Any]) -> FrameRef | None:
    """The reference to an exposure, from headers; None if it is of the kind that is not asked for.

    Raises
    ------
    InputError
        A file is not what it must be.
    """
    with Files(pixel_limit(options)) as files:
        listed = _Listed(files, notes=list(one.notes))
        wanted = _find_planes(one, listed, options)
        lead = next(iter(listed.hdus))
        primary = listed.places[lead].hdus[0].cards
        time_s = _check_headers(one, listed, primary)
        if options.get("exposures", "all") not in ("all", "long" if time_s >= LONG_S else "short"):
            return None
        found = list(detectors_in(listed.hdus, listed.names))
        rows = exposure_rows(one.id.area, found, primary, listed.hdus.get("BACKGROUND", {}))
        flag_bits, table = _flag_table(found, listed, options)
        psf = _psf_table(one, listed)
        listed.notes += _missing(one, primary, options)
        return FrameRef(
            reader="euclid-vis",
            area=one.id.area,
            instrument=BAND,
            band=BAND,
            shape=(0, 0),
            wcs_cards="",
            planes={
                plane: exposure_plane(listed.places[plane], list(listed.hdus[plane].values()))
                for plane in wanted
            },
            tables={**psf, **({"XML": one.descriptor.ref} if one.descriptor else {})},
            scalars=_common_scalars(found, primary, rows),
            bit_table=table,
            release=_release(one, primary),
            created=one.created,
            date_obs=primary.optional_text("DATE-OBS") or "-1",
            date_end=primary.optional_text("DATE-END") or "-1",
            telescope="Euclid",
            notes=tuple(dict.fromkeys(listed.notes)),
            options={
                "flag_bits": flag_bits,
                "max_pixels": files.max_pixels,
                "noise": listed.noise,
                "stamp_px": int(number_option(options, "stamp_px", STAMP_PX)),
                "psf_pixel_arcsec": options.get("psf_pixel_arcsec"),
                "grid": [lead, listed.places[lead].location],
            },
            exposures=rows,
        )


def _find_planes(one: Exposure, listed: _Listed, options: Mapping[str, Any]) -> list[str]:
    """Planes that are wanted and here; the first one listed is of the frame itself, for its grid."""
    for plane in FRAME_PLANES:
        if is_wanted(options, "planes", plane):
            listed.find(plane, one)
    if not listed.hdus:
        for plane in FRAME_PLANES:
            if not listed.hdus:
                listed.find(plane, one)
    if not listed.hdus:
        raise InputError(f"{one.id.area}: must have a frame with detectors (3-4.F.SCI...), found none")
    _use_weight(one, listed, options)
    if is_wanted(options, "planes", "BACKGROUND"):
        listed.find("BACKGROUND", one)
    wanted = [plane for plane in FILES if is_wanted(options, "planes", plane)]
    listed.notes += [f"there is no {plane} plane" for plane in wanted if plane not in listed.hdus]
    return [plane for plane in wanted if plane in listed.hdus]


def _use_weight(one: Exposure, listed: _Listed, options: Mapping[str, Any]) -> None:
    """Say what the weight file is, and take the noise of a CCD frame without RMS from it.

    Raises
    ------
    InputError
        The noise must come from it and its content does not tell what it is.
    """
    if "WGT" not in one.files or not is_wanted(options, "planes", "RMS"):
        return
    name = Path(one.files["WGT"]).name
    if has_quadrants(listed.names):
        listed.notes.append(f"{name} is the small-scale flat: no inverse variance, not used")
        return
    file = listed.files.file(one.files["WGT"])
    found = units(file, "WEIGHT")
    kind = _kind_of_weight(file, found, listed)
    if "RMS" in listed.hdus:
        listed.notes.append(f"{name} is told by its content to be: {kind.replace('_', ' ')}; not used")
    elif kind in ("inverse_variance", "rms"):
        listed.places["RMS"], listed.hdus["RMS"], listed.noise = file, found, kind
        listed.notes.append(
            f"noise is taken from {name}, told by its content to be: {kind.replace('_', ' ')}"
        )
    elif kind == "unknown":
        raise InputError(
            f"{file.location}: the content of a weight file must agree with the noise of the frame as an inverse "
            "variance, an RMS or a flat about 1, found none of them or several"
        )
    else:
        listed.notes.append(f"{name} is told by its content to be: flat; not used")


def _kind_of_weight(file: FitsFile, found: Mapping[str, Hdu], listed: _Listed) -> str:
    """What the weight file holds, by the middle rows of the first detector."""
    name = listed.names[0]
    if name not in found:
        raise InputError(f"{file.location}: must hold {name}, found no such EXTNAME")
    weight = _middle_rows(file, found[name])
    if "RMS" in listed.hdus:
        noise = _middle_rows(listed.places["RMS"], listed.hdus["RMS"][name])
        good = np.isfinite(noise) & (noise > 0.0) & (weight > 0.0) & (noise < 1e15)
        return weight_kind(weight[good], float(np.median(noise[good])) if good.any() else float("nan"))
    if "IMAGE" not in listed.hdus:
        return "unknown"
    image = _middle_rows(listed.places["IMAGE"], listed.hdus["IMAGE"][name])
    return weight_kind(weight, neighbour_scatter(np.where(weight > 0.0, image, np.nan)))


def _middle_rows(file: FitsFile, hdu: Hdu) -> NDArray[np.float64]:
    plane = canonical_plane(file_ref(file, hdu), "WEIGHT")
    try:
        start = max(0, (plane.shape[0] - SAMPLE_ROWS) // 2)
        return np.array(plane.read(start, min(plane.shape[0], start + SAMPLE_ROWS)), np.float64)
    finally:
        plane.close()


def _check_headers(one: Exposure, listed: _Listed, primary: Cards) -> float:
    """All files are of the exposure that their names say; its time in seconds, and notes of what it is."""
    headers = {file.location: file.hdus[0].cards for file in listed.places.values()}
    check_same_exposure(list(headers.values()))
    instrument = primary.optional_text("INSTRUME")
    if instrument is not None and not instrument.upper().startswith(BAND):
        raise primary.error("INSTRUME", f"must be {BAND}")
    told = identity_of(primary, "OBS_ID") if "OBS_ID" in primary and has_quadrants(listed.names) else None
    if told not in (None, one.id.observation.lstrip("0") or "0"):
        raise primary.error("OBS_ID", f"must be {one.id.observation}, as the name of the file says")
    first = next(iter(listed.hdus.values()))[listed.names[0]]
    time_s = exposure_time_s(first.cards, primary)
    number = len(listed.names)
    full, what = (QUADRANTS, "quadrants") if has_quadrants(listed.names) else (CCDS, "CCDs")
    if number != full:
        listed.notes.append(f"{number} of {full} {what} are here")
    mode = primary.optional_text("OBSMODE") or "not stated"
    kind = "long" if time_s >= LONG_S else "short"
    listed.notes.append(f"{kind} exposure, {time_s:g} s, observation mode {mode}")
    return time_s


def _flag_table(
    found: Sequence[Detector], listed: _Listed, options: Mapping[str, Any]
) -> tuple[dict[str, int], str]:
    """Bits that the header of the flags states, and the name of the table: as the options say, else by product."""
    if "FLAG" not in found[0].hdus:
        return {}, "-"
    for one in found:
        require_integers(one.hdus["FLAG"])
    stated_bits = header_bits(found[0].hdus["FLAG"].cards)
    name = str(options.get("bit_table") or ("vis-pf14" if has_quadrants(listed.names) else "vis-pf13"))
    join_table(bit_table(name), stated_bits, BAND, found[0].hdus["FLAG"].where)
    if not options.get("bit_table"):
        listed.notes.append(f"flags are read with the table {name} (default)")
    return stated_bits, name


def _psf_table(one: Exposure, listed: _Listed) -> dict[str, FileRef]:
    """The PSF file, if it holds stamps of a detector of the frame."""
    if "PSF" not in one.files:
        listed.notes.append("there is no PSF file")
        return {}
    file = listed.files.file(one.files["PSF"])
    found = units(file, "PSF")
    here = [name for name in listed.names if name in found]
    if not here:
        raise InputError(f"{file.location}: must hold stamps of the detectors of the frame, found none")
    if len(here) < len(listed.names):
        listed.notes.append(f"{len(here)} of {len(listed.names)} detectors have PSF stamps")
    listed.notes.append(
        "PSF stamps stand at the centres of a regular partition of each detector (no coordinates)"
    )
    return {"PSF": exposure_plane(file, [found[name] for name in here])}


def _missing(one: Exposure, primary: Cards, options: Mapping[str, Any]) -> list[str]:
    """What TOTEXP says is missing of the pointing or observation, in words."""
    sequence, total = options.get("sequence", "pointing"), stated("TOTEXP", primary)
    if sequence == "none" or total is None:
        return []
    of_dither = {
        other for other in one.siblings if sequence == "observation" or other.dither == one.id.dither
    }
    what = f"observation {one.id.observation}" + (
        f" dither {one.id.dither}" if sequence == "pointing" else ""
    )
    if len(of_dither) >= total:
        more = len(of_dither) > total
        return [f"{what}: {len(of_dither)} exposures are here, TOTEXP says {total:g}"] if more else []
    numbers = {str(number) for number in range(1, int(total) + 1)} - {
        other.number.lstrip("0") or "0" for other in of_dither
    }
    absent = f", missing: number {', '.join(sorted(numbers))}" if sequence == "pointing" and numbers else ""
    return [f"{what} is not complete: {len(of_dither)} of {total:g} exposures (TOTEXP) are here{absent}"]


def _release(one: Exposure, primary: Cards) -> str:
    told = one.descriptor.release if one.descriptor else "-1"
    return told if told != "-1" else primary.optional_text("DATASETR") or "-1"


def _common_scalars(found: Sequence[Detector], primary: Cards, rows: Exposures) -> dict[str, float]:
    """Scalars that all detectors share."""
    scalars = {"pixel_scale_arcsec": float(np.median(rows.scalars["PixelScale"]))}
    for name, values in (
        ("zero_point", rows.scalars["Zeropoint"]),
        ("exposure_time_s", rows.scalars["ExposureTime"]),
    ):
        if np.all(values == values[0]):
            scalars[name] = float(values[0])
    return scalars
