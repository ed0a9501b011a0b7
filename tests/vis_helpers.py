"""VIS exposures for tests: a small sky, shots of few quadrants, and what astropy reads from the files."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from astropy.io import fits

from readers_scan import Scanner
from vmpz.simulate.exposures import Camera, Detector, Shot, shots
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


@cache
def _files(
    number: int, detectors: tuple[Detector, ...], short: bool, form: Form
) -> dict[str, tuple[Path, bytes]]:
    """The files of an exposure, made once: kind to path below its folder and content."""
    with TemporaryDirectory() as place:
        one = shot(number, replace(CAMERA, detectors=detectors), short=short)
        paths = write_exposure(Path(place), one, form)
        return {kind: (path.relative_to(place), path.read_bytes()) for kind, path in paths.items()}


def write(
    folder: Path, number: int = 0, camera: Camera = FEW, short: bool = False, **form: Any
) -> dict[str, Path]:
    """One exposure; `form` changes how it is written."""
    paths = {}
    for kind, (name, content) in _files(number, camera.detectors, short, replace(FORM, **form)).items():
        paths[kind] = folder / name
        paths[kind].parent.mkdir(parents=True, exist_ok=True)
        paths[kind].write_bytes(content)
    return paths


VIS = Scanner("euclid-vis", OPTIONS)
scan, the_frame, refusal = VIS.scan, VIS.the_frame, VIS.refusal


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
