"""Detectors of open NIR files: the extensions of an image file and of a background file, and the flags they name."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from astropy.wcs import WCS

from vmpz.errors import InputError
from vmpz.files.cards import Cards
from vmpz.files.fits import FitsFile
from vmpz.files.hdu import Hdu
from vmpz.files.wcs import CelestialWcs, read_wcs
from vmpz.readers.headerbits import header_bits
from vmpz.readers.stamps import middle_scale_arcsec

__all__ = ["LAYERS", "Detector", "backgrounds_in", "detector_of", "detectors_in", "flag_bits"]

LAYERS = {"IMAGE": "SCI", "RMS": "RMS", "FLAG": "DQ"}
"""Plane to the end of EXTNAME."""
EXTENSION = re.compile(r"DET([1-4][1-4])\.(SCI|RMS|DQ)")
DETECTOR = re.compile(r"(?:DET)?([1-4][1-4])")


@dataclass(frozen=True)
class Detector:
    """One detector of an open image file: its extensions by plane, and its mapping to the sky."""

    name: str
    hdus: Mapping[str, Hdu]
    wcs: CelestialWcs

    @property
    def cards(self) -> Cards:
        """Header of the image."""
        return self.hdus["IMAGE"].cards

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of all its planes."""
        return self.hdus["IMAGE"].shape

    @cached_property
    def mapping(self) -> WCS:
        """From pixels to the sky."""
        return self.wcs.wcs

    @cached_property
    def scale_arcsec(self) -> float:
        """Side of a pixel in its middle."""
        return middle_scale_arcsec(self.mapping, self.shape)


def detectors_in(file: FitsFile) -> list[Detector]:
    """The detectors of an image file, in order of their names.

    Raises
    ------
    InputError
        There is none, or the extensions of one are not three of one shape, or not of the type or WCS they must have.
    """
    found: dict[str, dict[str, Hdu]] = {}
    for hdu in file.hdus:
        match = EXTENSION.fullmatch(hdu.name.upper())
        if match is None:
            continue
        layers = found.setdefault(match[1], {})
        if match[2] in layers:
            raise InputError(f"{hdu.where}: {match[0]} must stand once, found it twice")
        layers[match[2]] = hdu
        if (detector_of(hdu) or match[1]) != match[1]:
            raise hdu.cards.error("DET_ID", f"must be that of EXTNAME {match[0]}")
    if not found:
        raise InputError(
            f"{file.location}: must hold extensions DETxy.SCI, found none in {len(file.hdus)} HDUs"
        )
    return [_detector(file.location, name, found[name]) for name in sorted(found)]


def _detector(location: str, name: str, layers: Mapping[str, Hdu]) -> Detector:
    absent = [layer for layer in LAYERS.values() if layer not in layers]
    if absent:
        raise InputError(
            f"{location}: DET{name} must have SCI, RMS and DQ, found no {' and no '.join(absent)}"
        )
    image = layers["SCI"]
    for layer, hdu in layers.items():
        if hdu.shape != image.shape:
            raise InputError(
                f"{hdu.where}: must have the shape of {image.name}, {image.shape}, found {hdu.shape}"
            )
        if (hdu.bitpix > 0) != (layer == "DQ"):
            kind = "integers" if layer == "DQ" else "floating point"
            raise hdu.cards.error(
                "ZBITPIX" if hdu.is_compressed else "BITPIX", f"of {layer} must be one of {kind}"
            )
    planes = {plane: layers[layer] for plane, layer in LAYERS.items()}
    return Detector(name, planes, read_wcs(image.cards, image.shape))


def backgrounds_in(file: FitsFile, found: Collection[Detector]) -> dict[str, Hdu]:
    """The background of each detector: the SCI extensions of the file by DET_ID, else by EXTNAME.

    Raises
    ------
    InputError
        A detector has none or two, or one of another shape.
    """
    hdus: dict[str, Hdu] = {}
    for hdu in file.hdus:
        match = EXTENSION.fullmatch(hdu.name.upper())
        if match is None or match[2] != "SCI":
            continue
        name = detector_of(hdu) or match[1]
        if name in hdus:
            raise InputError(
                f"{hdu.where}: DET_ID {name} must stand once, found it in {hdus[name].name} as well"
            )
        hdus[name] = hdu
    for one in found:
        if one.name not in hdus:
            raise InputError(
                f"{file.location}: must hold the background of DET{one.name}, found {', '.join(hdus)}"
            )
        if hdus[one.name].shape != one.shape:
            raise InputError(
                f"{hdus[one.name].where}: must have the shape of the image of DET{one.name}, {one.shape}, "
                f"found {hdus[one.name].shape}"
            )
    return hdus


def flag_bits(found: Sequence[Detector], primary: Cards) -> dict[str, int]:
    """The bits that headers name: those of the flags, else of the image, else of the exposure.

    Raises
    ------
    InputError
        The detectors do not agree.
    """
    first: tuple[str, dict[str, int]] | None = None
    for one in found:
        flags = one.hdus["FLAG"].cards
        bits = header_bits(flags) or header_bits(one.cards) or header_bits(primary)
        if first is None:
            first = flags.where, bits
        if bits != first[1]:
            raise InputError(f"{flags.where}: MSK_FLAG_ cards must be those of {first[0]}, found others")
    return first[1] if first else {}


def detector_of(hdu: Hdu) -> str | None:
    """Detector of DET_ID, '11' to '44'; None where it is not stated.

    Raises
    ------
    InputError
        It is something else.
    """
    value = hdu.header.get("DET_ID")
    if value is None:
        return None
    match = DETECTOR.fullmatch(str(value).strip().upper())
    if match is None:
        raise hdu.cards.error("DET_ID", "must be a detector, 11 to 44")
    return match[1]
