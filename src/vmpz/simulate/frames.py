"""Single exposures in the simulated survey: who writes them, and the block of a survey file that reads them.

One row an instrument. A camera of fewer bands, dithers or detectors makes a smaller survey of the same sky.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from vmpz.errors import InputError, meant
from vmpz.simulate import decam, exposuretable, kids, lsst, nir, vis
from vmpz.simulate.exposures import Camera
from vmpz.simulate.field import Sky

__all__ = ["FRAMES", "Frames", "frames_of", "pixels_for"]

Write = Callable[[Path, Sky, int, Camera], None]

SMALLEST_DETECTOR = 32
STAMPS = 3
"""Of the PSF, along a side of a VIS quadrant; public files hold 9, which are nine tenths of their bytes."""


@dataclass(frozen=True)
class Frames:
    """Single exposures of one instrument.

    Attributes
    ----------
    camera : Camera
        What is written: its bands, dithers and detectors.
    write : callable
        ``(folder of the survey, sky, pixels of a detector, camera)``.
    inputs : str
        The block of a survey file.
    """

    camera: Camera
    write: Write
    inputs: str

    @property
    def bands(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self.camera.bands)

    def of_band(self, name: str) -> "Frames":
        """Exposures of one band alone."""
        return replace(self, camera=replace(self.camera, bands={name: self.camera.bands[name]}))


def _vis(folder: Path, sky: Sky, pixels: int, camera: Camera) -> None:
    vis.write_vis(folder, sky, pixels=pixels, stamps=STAMPS, short=False, camera=camera)


def _nir(folder: Path, sky: Sky, pixels: int, camera: Camera) -> None:
    nir.write_nir(folder, sky, pixels=pixels, camera=camera)


def _decam(folder: Path, sky: Sky, pixels: int, camera: Camera) -> None:
    whole = replace(camera, detectors=decam.CAMERA.detectors)
    ccds = [one.name for one in camera.detectors]
    decam.write_decam(folder / decam.FOLDER, sky, pixels=2 * (pixels // 2), ccds=ccds, camera=whole)


def _kids(folder: Path, sky: Sky, pixels: int, camera: Camera) -> None:
    kids.write_kids(folder / "KIDS", sky, pixels=2 * pixels, bands=camera.bands)


def _lsst(folder: Path, sky: Sky, pixels: int, camera: Camera) -> None:
    lsst.write_lsst(folder / "LSST", sky, pixels=pixels, camera=camera)


def _hsc(folder: Path, sky: Sky, pixels: int, camera: Camera) -> None:
    lsst.write_hsc(folder / "HSC", sky, pixels=pixels, camera=camera)


def _table(folder: Path, sky: Sky, pixels: int, camera: Camera) -> None:
    chosen = {band: exposuretable.NAMES[band] for band in camera.bands}
    exposuretable.write_tables(folder / "TABLE", sky, names=chosen)


FRAMES = {
    "VIS": Frames(vis.CAMERA, _vis, vis.INPUTS),
    "NISP": Frames(nir.CAMERA, _nir, nir.INPUTS),
    "DECAM": Frames(decam.CAMERA, _decam, decam.COMMUNITY),
    "KIDS": Frames(kids.CAMERA, _kids, kids.INPUTS.format(location="KIDS")),
    "LSST": Frames(lsst.LSST_CAMERA, _lsst, lsst.lsst_inputs("LSST") + 'files = "visit_image_*.fits"\n'),
    "HSC": Frames(
        lsst.HSC_CAMERA, _hsc, lsst.hsc_inputs("HSC") + '[inputs.options]\nfiles = "CORR-*.fits"\n'
    ),
    "TABLE": Frames(exposuretable.CAMERA, _table, exposuretable.INPUTS.format(location="TABLE")),
}
"""Instrument, as `vmpz simulate --frames` names it, to its exposures; TABLE are those of a survey that keeps a table of
them instead of images. Coadds beside them are no exposures."""


def frames_of(names: Iterable[str | Frames]) -> list[Frames]:
    """Exposures by the name of their instrument (all its bands) or of a band.

    Raises
    ------
    InputError
        There is no such instrument or band, or one is named twice.
    """
    by_band = {band: one.of_band(band) for one in FRAMES.values() for band in one.bands}
    chosen = []
    for name in names:
        if isinstance(name, str) and name not in FRAMES and name not in by_band:
            raise InputError(
                f"frames must be of an instrument ({', '.join(FRAMES)}) or a band ({', '.join(by_band)}), found {name}"
                f"{meant(name, (*FRAMES, *by_band))}"
            )
        chosen.append(name if isinstance(name, Frames) else FRAMES.get(name) or by_band[name])
    bands = [band for one in chosen for band in one.bands]
    if twice := sorted({band for band in bands if bands.count(band) > 1}):
        raise InputError(f"frames must be named once each, found {', '.join(twice)} twice")
    return _joined(chosen)


def _joined(chosen: list[Frames]) -> list[Frames]:
    """One block of inputs an instrument, whatever number of its bands was named."""
    joined: dict[str, Frames] = {}
    for one in chosen:
        other = joined.get(one.inputs)
        bands = {**(other.camera.bands if other else {}), **one.camera.bands}
        joined[one.inputs] = replace(one, camera=replace(one.camera, bands=bands))
    return list(joined.values())


def pixels_for(size: int) -> int:
    """Pixels along a detector in a survey whose tiles have `size` pixels along their outer side."""
    return max(SMALLEST_DETECTOR, size // 20)
