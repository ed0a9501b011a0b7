"""A small simulated survey, made once for all tests, and its files."""

import re
from pathlib import Path

import numpy as np
from astropy.io import fits

NAME = re.compile(
    r"(EUC_MER_(?P<kind>.+)|(?P<dpd>Dpd\w+?)(_[\w-]+)?)_TILE(?P<tile>\d{9})-(?P<suffix>[0-9A-F]{6})"
    r"_(?P<time>\d{8}T\d{6}\.\d{6})Z_00\.00\.(?P<extension>fits|json|xml)(?P<packed>|\.gz|\.fz)"
)

TOKENS = {"VIS": "VIS", "NIR_Y": "NIR-Y", "NIR_J": "NIR-J", "DECAM_g": "DES-G"}
FOLDERS = {"VIS": "VIS", "NIR_Y": "NISP", "NIR_J": "NISP", "DECAM_g": "DECAM"}
KINDS = {
    "image": "BGSUB-MOSAIC-{}",
    "rms": "MOSAIC-{}-RMS",
    "flag": "MOSAIC-{}-FLAG",
    "background": "BGMOD-{}",
    "catalog-psf": "CATALOG-PSF-{}",
    "grid-psf": "GRID-PSF-{}",
    "layers": "LAYERS-{}",
    "star-masks": "BRIGHT-STAR-MASKS-{}",
}


def file_of(folder: Path, tile: str, band: str, kind: str) -> Path:
    """The one file of a kind."""
    if kind == "mosaic":
        pattern = f"DpdMerBksMosaic_{TOKENS[band]}_*.xml"
    else:
        pattern = f"EUC_MER_{KINDS[kind].format(TOKENS[band])}_TILE*"
    found = list((folder / "MER" / tile / FOLDERS[band]).glob(pattern))
    assert len(found) == 1, (pattern, found)
    return found[0]


def plane(folder: Path, tile: str, band: str, kind: str) -> np.ndarray:
    """Data of a plane."""
    path = file_of(folder, tile, band, kind)
    return fits.getdata(path, 1 if path.suffix == ".fz" else 0)
