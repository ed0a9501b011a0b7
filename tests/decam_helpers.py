"""DECam files in tests: one small simulation, and changing the headers of what is there."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from astropy.io import fits

from readers_scan import Scanner
from vmpz.simulate import decamcp
from vmpz.simulate.exposures import Shot
from vmpz.simulate.field import Sky
from vmpz.tiles import tiles_near

CCDS = ("S29", "S6", "N4", "N31")
PIXELS = 32
SKY = Sky(sorted(tiles_near(52.9, -28.25, 1), key=lambda tile: tile.id), 6.0, 11)

REAL_COMMUNITY = {
    "CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV", "CUNIT1": "deg", "CUNIT2": "deg", "WCSAXES": 2,
    "CRPIX1": 13422.2, "CRPIX2": 6306.33300000001, "CRVAL1": 215.8658553515, "CRVAL2": -13.6072849842,
    "CD1_1": -1.973017594683e-07, "CD1_2": 7.286055904046e-05,
    "CD2_1": -7.285778428117e-05, "CD2_2": -1.89611031888e-07,
    "PV1_0": 0.002478697073169, "PV1_1": 1.014909365671, "PV1_2": -0.004867599457293, "PV1_3": 0.0,
    "PV1_4": 0.007388662735536, "PV1_5": -0.02021260128597, "PV1_6": 0.004342524624952,
    "PV1_7": -0.000502494416618, "PV1_8": -0.007273053780327, "PV1_9": 0.008010888416329,
    "PV1_10": -0.001341296365071, "PV2_0": -0.01104562339251, "PV2_1": 1.041073973972,
    "PV2_2": -0.007612743263759, "PV2_3": 0.0, "PV2_4": -0.04706165367744, "PV2_5": 0.01490579602482,
    "PV2_6": -0.01030286078988, "PV2_7": 0.01792576002572, "PV2_8": -0.007518309987306,
    "PV2_9": 0.007645285959324, "PV2_10": -0.002834364628169,
    "LTM1_1": 1.0, "LTM2_2": 1.0, "LTV1": -1.0, "LTV2": -1.0, "WCSDIM": 2,
    "WAT0_001": "system=image", "WAT1_001": "wtype=tpv axtype=ra", "WAT2_001": "wtype=tpv axtype=dec",
}  # fmt: skip
"""WCS of CCD S29 of c4d_190402_050618_ooi_VR_v1 (header in the tests of lsst/astro_metadata_translator)."""

REAL_DESDM = {
    "CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV", "CUNIT1": "deg", "CUNIT2": "deg", "WCSAXES": 2,
    "RADESYS": "ICRS", "EQUINOX": 2000.0,
    "CRPIX1": -4617.70016427, "CRPIX2": -8609.62886415, "CRVAL1": 358.5617798256, "CRVAL2": -57.81766737102,
    "CD1_1": -1.994451915262e-07, "CD1_2": 7.289650536209e-05,
    "CD2_1": -7.300436190616e-05, "CD2_2": -3.286398079503e-08,
    "PV1_0": -0.009146940164239, "PV1_1": 1.027766536793, "PV1_2": -0.01398090700451, "PV1_3": 0.0,
    "PV1_4": -0.02952351234152, "PV1_5": 0.02138414797012, "PV1_6": -0.01585161167923,
    "PV1_7": 0.01013118530504, "PV1_8": -0.01181821848945, "PV1_9": 0.006892844593728,
    "PV1_10": -0.007570308721554, "PV2_0": 0.002473995478717, "PV2_1": 0.9994322877373,
    "PV2_2": -0.009716336331065, "PV2_3": 0.0, "PV2_4": -0.0193351226434, "PV2_5": -0.01497696747962,
    "PV2_6": 0.009830021177779, "PV2_7": -0.02110018166535, "PV2_8": -0.006334653583388,
    "PV2_9": 0.005586126448887, "PV2_10": -0.003747169969,
}  # fmt: skip
"""WCS of D00596832_g_c50_r3630p01_immasked (header in the tests of esheldon/esutil)."""


SEEN: dict[tuple[str, int, str], decamcp.Ccd] = {}


def place_of(name: str) -> int:
    """Place of a CCD in the camera."""
    return next(i for i, one in enumerate(decamcp.CAMERA.detectors) if one.name == name)


def look(shot: Shot, name: str) -> decamcp.Ccd:
    """What a CCD sees, made once."""
    key = shot.band.name, shot.number, name
    if key not in SEEN:
        SEEN[key] = decamcp.look(shot, place_of(name), PIXELS)
    return SEEN[key]


DECAM = Scanner("decam")
scan, the_frame, refusal = DECAM.scan, DECAM.the_frame, DECAM.refusal


@dataclass
class Part:
    """One HDU as it is stored."""

    header: fits.Header
    data: bytes

    def copy(self) -> "Part":
        return Part(self.header.copy(), self.data)


def parts_of(path: Path) -> list[Part]:
    """The HDUs of a file without checksums, compressed images as the tables they are."""
    raw, parts = path.read_bytes(), []
    with fits.open(path, disable_image_compression=True) as hdus:
        for hdu in hdus:
            place, header = hdu.fileinfo(), hdu.header.copy()
            for key in ("CHECKSUM", "DATASUM"):
                header.remove(key, ignore_missing=True)
            parts.append(Part(header, raw[place["datLoc"] : place["datLoc"] + place["datSpan"]]))
    return parts


def rewrite(path: Path, change: Callable[[list[Part]], Any]) -> None:
    """Change the HDUs of a file."""
    parts = parts_of(path)
    parts = change(parts) or parts
    path.write_bytes(b"".join(part.header.tostring().encode() + part.data for part in parts))


def set_cards(number: int, **cards: Any) -> Callable[[list[Part]], None]:
    """A change of cards of one HDU, to be given to `rewrite`; None removes."""

    def change(hdus: list[Part]) -> None:
        for key, value in cards.items():
            name = key.replace("__", "-")
            if value is None:
                hdus[number].header.remove(name)
            else:
                hdus[number].header[name] = value

    return change
