"""One VIS exposure in its files: HDUs by detector, one grid for all planes of each, and what the headers say."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from vmpz.errors import InputError
from vmpz.files.cards import Cards
from vmpz.files.fits import FitsFile, open_fits
from vmpz.files.hdu import Hdu
from vmpz.frames import Exposures
from vmpz.readers.common import SECONDS_PER_DAY, GridCheck, grid_of
from vmpz.readers.detectors import outline_of, stacked_outlines
from vmpz.readers.stamps import middle_scale_arcsec

__all__ = [
    "CCDS",
    "QUADRANTS",
    "Detector",
    "Files",
    "background_adu",
    "check_same_exposure",
    "detectors_in",
    "exposure_rows",
    "exposure_time_s",
    "has_quadrants",
    "identity_of",
    "stated",
    "units",
    "zero_point",
]

CONTENTS = {"IMAGE": "SCI", "RMS": "RMS", "FLAG": "FLG", "BACKGROUND": "BKG", "PSF": "PSF", "WEIGHT": "WGT"}
"""Plane or table to the last part of its EXTNAME; background, PSF and weight files leave it out."""
QUADRANTS, CCDS = 144, 36
UNIT = re.compile(r"(?P<detector>[1-6]-[1-6](?:\.[EFGH])?)(?:\.(?P<content>[A-Z]+))?", re.IGNORECASE)
LONE = {None, "BKG", "PSF", "WGT"}
IDENTITY = ("OBS_ID", "DITHOBS", "PTGID", "EXPNUM")
EXPOSURE_SCALARS = {
    "SAA": "SAA",
    "ALPHA": "AA",
    "BETA": "BA",
    "POS_X": "PositionX",
    "POS_Y": "PositionY",
    "POS_Z": "PositionZ",
    "RA": "PointingLon",
    "DEC": "PointingLat",
    "PA": "PositionAngle",
}
"""Primary keyword to the scalar it gives as it is."""
AB_ZERO_JY = 3631.0
"""Flux density of magnitude 0 (Oke & Gunn 1983, ApJ 266, 713)."""


class Detector(NamedTuple):
    """A detector of an exposure: its name, and its HDUs by plane, which share one grid."""

    name: str
    hdus: Mapping[str, Hdu]
    grid: GridCheck

    @property
    def cards(self) -> Cards:
        """The header of its first plane."""
        return next(iter(self.hdus.values())).cards


@dataclass
class Files:
    """Open files, each opened once; a context manager."""

    max_pixels: int
    stack: ExitStack = field(default_factory=ExitStack)
    opened: dict[str, FitsFile] = field(default_factory=dict)

    def __enter__(self) -> "Files":
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def file(self, path: str) -> FitsFile:
        """The open file of a path."""
        if path not in self.opened:
            self.opened[path] = self.stack.enter_context(open_fits(path, self.max_pixels))
        return self.opened[path]


def units(file: FitsFile, plane: str) -> dict[str, Hdu]:
    """HDUs of a plane by detector, in order of name, whatever their order in the file.

    Raises
    ------
    InputError
        A detector stands twice, or quadrants and CCDs are mixed.
    """
    found: dict[str | None, dict[str, Hdu]] = {}
    for hdu in file.hdus[1:]:
        match = UNIT.fullmatch(hdu.name)
        if match is None:
            continue
        content = match["content"].upper() if match["content"] else None
        name = match["detector"].upper()
        if name in found.setdefault(content, {}):
            raise InputError(
                f"{hdu.where}: EXTNAME must stand once, found it in HDU {found[content][name].index} too"
            )
        found[content][name] = hdu
    chosen = found.get(CONTENTS[plane])
    if chosen is None:
        lone = [content for content in found if content in LONE]
        chosen = found[lone[0]] if len(lone) == 1 else {}
    if len({"." in name for name in chosen}) > 1:
        raise InputError(f"{file.location}: must hold quadrants or CCDs, found both")
    return dict(sorted(chosen.items()))


def detectors_in(planes: Mapping[str, Mapping[str, Hdu]], names: Sequence[str]) -> Iterator[Detector]:
    """Detectors of these names, from HDUs by plane and detector; the first plane gives the grid.

    Raises
    ------
    InputError
        A detector lacks a plane that others have, or its planes differ in shape or, where they have one, WCS.
    """
    for plane, found in planes.items():
        odd = sorted(set(names).symmetric_difference(found))
        if odd:
            where = next(iter(found.values())).location
            raise InputError(
                f"{where}: every detector must have the same planes, found {odd[0]}.{CONTENTS[plane]} "
                f"{'alone' if odd[0] in found else 'missing'}"
            )
    for name in names:
        hdus = {plane: found[name] for plane, found in planes.items()}
        first, *others = hdus.values()
        grid = grid_of(first, ())
        for hdu in others:
            grid_of(hdu, [grid], may_lack_wcs=True)
        yield Detector(name, hdus, grid)


def has_quadrants(names: Sequence[str]) -> bool:
    """Whether these are names of quadrants, not of CCDs."""
    return any("." in name for name in names)


def stated(key: str, *headers: Cards) -> float | None:
    """A number from the first header that has the keyword; None if none has it."""
    return next((cards.number(key) for cards in headers if key in cards), None)


def check_same_exposure(headers: Sequence[Cards]) -> None:
    """Refuse primary headers of different exposures.

    Raises
    ------
    InputError
        OBS_ID, DITHOBS, PTGID or EXPNUM stands in two of them with different values.
    """
    for key in IDENTITY:
        have = [cards for cards in headers if key in cards]
        for cards in have[1:]:
            if identity_of(cards, key) != identity_of(have[0], key):
                raise cards.error(
                    key,
                    f"must be that of {have[0].where} ({identity_of(have[0], key)}): files of one exposure",
                )


def identity_of(cards: Cards, key: str) -> str:
    """An integer, or a string that spells one, without leading zeros."""
    try:
        return str(cards.integer(key))
    except InputError:
        return cards.text(key).lstrip("0") or "0"


def exposure_time_s(*headers: Cards) -> float:
    """EXPTIME, which must be positive."""
    value = stated("EXPTIME", *headers)
    if value is None or value <= 0.0:
        raise headers[0].error("EXPTIME", "must be a positive number")
    return value


def zero_point(*headers: Cards) -> float:
    """AB magnitude of one ADU: MAGZEROP (of 1 ADU/s) + 2.5 log10(EXPTIME).

    Raises
    ------
    InputError
        MAGZEROP is missing or no number (a string that spells one is), or EXPTIME is not positive.
    """
    value = stated("MAGZEROP", *headers)
    if value is None:
        raise headers[0].error("MAGZEROP", "must be present")
    return value + 2.5 * float(np.log10(exposure_time_s(*headers)))


def background_adu(surface_mjy_sr: float, scale_arcsec: float, zero_point_mag: float) -> float:
    """A surface brightness (MJy/sr) as value per pixel of a zero point: AB magnitudes, m = -2.5 log10(f / 3631 Jy)."""
    solid_sr = np.radians(scale_arcsec / 3600.0) ** 2
    return float(surface_mjy_sr * 1e6 * solid_sr / AB_ZERO_JY * 10.0 ** (0.4 * zero_point_mag))


def exposure_rows(
    area: str, found: Sequence[Detector], primary: Cards, background: Mapping[str, Hdu]
) -> Exposures:
    """The rows of an exposure: outlines and scalars of its detectors.

    Parameters
    ----------
    area : str
    found : sequence of Detector
    primary : Cards
        Primary header of the frame.
    background : mapping of str to Hdu
        By detector; where BKG_MED is looked for first.
    """
    outlines = [outline_of(one.grid.wcs.wcs, one.grid.shape) for one in found]
    times = np.array([exposure_time_s(one.cards, primary) for one in found])
    zero_points = np.array([zero_point(one.cards, primary) for one in found])
    scales = np.array([middle_scale_arcsec(one.grid.wcs.wcs, one.grid.shape) for one in found])
    scalars = {"ExposureTime": times, "Zeropoint": zero_points, "PixelScale": scales}
    for key, name in EXPOSURE_SCALARS.items():
        value = stated(key, primary)
        if value is not None:
            scalars[name] = np.full(len(found), value)
    start = stated("MJD-OBS", primary)
    if start is not None:
        scalars["MJD"] = start + 0.5 * times / SECONDS_PER_DAY
    levels = [_surface(one, background.get(one.name)) for one in found]
    if any(level is not None for level in levels):
        scalars["Background"] = np.array(
            [
                np.nan if level is None else background_adu(level, scale, zero)
                for level, scale, zero in zip(levels, scales, zero_points, strict=True)
            ]
        )
    return Exposures(tuple(f"{area}[{one.name}]" for one in found), stacked_outlines(outlines), scalars)


def _surface(one: Detector, background: Hdu | None) -> float | None:
    """BKG_MED of a detector, MJy/sr."""
    headers = [one.cards] if background is None else [background.cards, one.cards]
    return stated("BKG_MED", *headers)
