"""Simulated visits of LSST and HSC, and ways to spoil a file of theirs."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from vmpz.frames import FrameRef, Manifest
from vmpz.readers import open_frame, scan_inputs
from vmpz.simulate import lsst
from vmpz.simulate.exposures import Camera, Shot, shots
from vmpz.simulate.field import Sky
from vmpz.tiles import tiles_near

PIXELS = 24
LSST, HSC = replace(lsst.LSST_CAMERA, dithers=1), replace(lsst.HSC_CAMERA, dithers=1)


@cache
def the_sky() -> Sky:
    return Sky(sorted(tiles_near(52.9, -28.25, 1), key=lambda one: one.id), 16.0, 5)


WRITTEN: dict[str, Path] = {}


def written(factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of both surveys, written once for all tests."""
    if not WRITTEN:
        folder = factory.mktemp("rubin")
        lsst.write_lsst(folder / "lsst", the_sky(), pixels=PIXELS, camera=LSST)
        lsst.write_hsc(folder / "hsc", the_sky(), pixels=PIXELS, camera=HSC)
        WRITTEN.update(lsst=folder / "lsst", hsc=folder / "hsc")
    return WRITTEN


def scan(location: Path, **options: Any) -> Manifest:
    place = SimpleNamespace(reader="lsst", location=str(location), bands=None, options=options)
    return scan_inputs([place])


def visits(camera: Camera) -> Iterator[tuple[str, Shot]]:
    """Number of each visit and its exposure."""
    for shot in shots(the_sky(), camera):
        yield str(lsst.visit_of(shot)), shot


def array(ref: FrameRef, plane: str) -> np.ndarray:
    with open_frame(ref, [plane]) as frame:
        return np.array(frame.planes[plane].read(0, ref.shape[0]))


def rewrite(path: Path, change: Callable[[fits.HDUList], Any], target: Path | None = None) -> Path:
    """A file with something changed, uncompressed, without checksums."""
    with fits.open(path) as found:
        hdus = fits.HDUList([fits.PrimaryHDU(header=found[0].header), *(_copy(hdu) for hdu in found[1:])])
    for hdu in hdus:
        for key in ("CHECKSUM", "DATASUM"):
            hdu.header.remove(key, ignore_missing=True)
    changed = change(hdus)
    (changed if isinstance(changed, fits.HDUList) else hdus).writeto(target or path, overwrite=True)
    return target or path


def _copy(hdu: Any) -> Any:
    if isinstance(hdu, fits.BinTableHDU) and not isinstance(hdu, fits.CompImageHDU):
        return hdu.copy()
    return fits.ImageHDU(hdu.data.copy(), hdu.header.copy())
