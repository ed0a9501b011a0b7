"""VIS exposures for tests: a small sky, shots of few quadrants, and what astropy reads from the files."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from astropy.io import fits

from vmpz.frames import FrameRef, Manifest
from vmpz.readers import scan_inputs
from vmpz.simulate.exposures import Camera, Shot, shots
from vmpz.simulate.field import Sky
from vmpz.simulate.vis import CAMERA, Form, shortened, write_exposure
from vmpz.tiles import tile

OPTIONS = {"psf_pixel_arcsec": 0.1}
FORM = Form(pixels=16, stamps=3)
FEW = replace(CAMERA, detectors=CAMERA.detectors[2:5])
"""1-1.G, 1-1.H and 1-2.E."""


@cache
def sky() -> Sky:
    return Sky([tile("102018210")], 6.0, 11)


def shot(number: int = 0, camera: Camera = FEW, *, short: bool = False) -> Shot:
    one = list(shots(sky(), camera))[number]
    return shortened(one) if short else one


def write(
    folder: Path, number: int = 0, camera: Camera = FEW, short: bool = False, **form: Any
) -> dict[str, Path]:
    """One exposure; `form` changes how it is written."""
    return write_exposure(folder, shot(number, camera, short=short), replace(FORM, **form))


def scan(folder: Path, selection: dict[str, Any] | None = None, **options: Any) -> Manifest:
    place = SimpleNamespace(reader="euclid-vis", location=str(folder), bands=None, options=OPTIONS | options)
    return scan_inputs([place], **(selection or {}))


def the_frame(folder: Path, **options: Any) -> FrameRef:
    manifest = scan(folder, **options)
    assert not manifest.refused, manifest.refused
    (frame,) = manifest.frames
    return frame


def refusal(folder: Path, **options: Any) -> str:
    manifest = scan(folder, **options)
    assert not manifest.frames
    (item,) = manifest.refused
    return item.reason


def change(path: Path, edit: Callable[[fits.HDUList], Any]) -> None:
    """Edit a file with astropy; checksums are made anew."""
    with fits.open(path, memmap=False) as hdus:
        edit(hdus)
        for hdu in hdus:
            for key in ("CHECKSUM", "DATASUM"):
                hdu.header.remove(key, ignore_missing=True)
        hdus.writeto(path, overwrite=True, checksum=True)


def arrays(path: Path) -> dict[str, np.ndarray]:
    """EXTNAME to data."""
    with fits.open(path, memmap=False) as hdus:
        return {hdu.name: hdu.data for hdu in hdus[1:]}


def headers(path: Path) -> dict[str, fits.Header]:
    with fits.open(path, memmap=False) as hdus:
        return {hdu.name: hdu.header for hdu in hdus}
