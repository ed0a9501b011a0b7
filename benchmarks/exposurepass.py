"""The pass over single exposures at real size, beside today's script and the floor.

Two VIS exposures of three quadrants (2048 x 2066 pixels of 0.1 arcsec, TPV) and a detector of NIR (2040 x 2040 pixels
of 0.3 arcsec, SIP) over one tile are written once to a temporary folder (0.5 GB, removed at the end), then read from
the page cache: images from files to cell statistics, sub-cells seen well among them. Figures are CPU seconds unless
said otherwise, the best of three. Today's script is WCS, ang2pix, unique and bincount for every detector, on an eighth
of one, and knows no sub-cells. The constant of an image is that of quadrants of 64 x 65 such pixels. What needs no
pixels is timed at the scale of a tile: 16 exposures of 144 quadrants with 81 stamps each.
``python -m benchmarks.exposurepass`` prints the rows.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from benchmarks.exposures import survey
from benchmarks.reference import reduce_block
from benchmarks.tile import _row, _status, _sum, timed
from vmpz.bits import Selection
from vmpz.frames import Exposures, FrameRef, Manifest, PsfStamps
from vmpz.make.accumulate import accumulate
from vmpz.make.exposuremaps import exposure_map, shares_of
from vmpz.make.goodpixels import subcell_words
from vmpz.make.psfmaps import psf_maps
from vmpz.make.runtable import run_table
from vmpz.parameters import Parameters
from vmpz.readers import detectors_of, open_frame, scan_inputs
from vmpz.run.exposurepass import count_exposures
from vmpz.run.gathering import gather
from vmpz.run.plan import Job, make_plan
from vmpz.simulate import nir, vis
from vmpz.simulate.exposures import Camera, Detector, Shot
from vmpz.simulate.field import Sky
from vmpz.simulate.fitsfile import fits_file
from vmpz.simulate.visheaders import Seen, exposure_id, extension_cards, primary_header
from vmpz.sky.cells import CellSet
from vmpz.statistics import CellStatistics
from vmpz.tiles import tiles_near, tiling

__all__ = ["rows"]

CENTRE = (57.9988, -51.5884)
TILE, ORDER = "102018211", 14
PLANES = ("FLAG", "RMS", "BACKGROUND")
QUADRANTS = ("3-3.E", "3-3.F", "3-3.G")
PART = 8
STAMPS = 81


class Scene(NamedTuple):
    """What is to be counted: the job of the tile, its own cells, the parameters."""

    job: Job
    cells: CellSet
    parameters: Parameters

    @property
    def ref(self) -> FrameRef:
        """The exposures of the tile."""
        return self.job.frames[0]

    def count(self, threads: int = 1) -> CellStatistics:
        """The whole pass."""
        return count_exposures(self.ref, self.job.keys[self.ref.band], self.cells, self.parameters, threads)

    def images(self) -> Iterator[FrameRef]:
        """All detectors."""
        for member in self.ref.members:
            yield from detectors_of(member, self.ref.options["rows"][member.area])


# -- the scene ------------------------------------------------------------------------------------------


def make_vis(folder: Path, camera: Camera, exposures: int, shape: tuple[int, int]) -> None:
    """Exposures of some quadrants: frame and background as public files have them, stars, columns, cosmic rays."""
    for number in range(exposures):
        shot = _shot(camera, "VIS", number)
        seen = [_see(shot, index, shape) for index in range(len(camera.detectors))]
        for kind, contents in (("DET", ("SCI", "RMS", "FLG")), ("BKG", ("BKG",))):
            name = f"EUC_VIS_SWL-{kind}-{exposure_id(shot)}-0000000__20260115T120000.000000Z.fits"
            with fits_file(folder / name, None) as file:
                file.copy(primary_header(shot), b"")
                for one in seen:
                    for content in contents:
                        data = one.planes[content]
                        words = data.astype(data.dtype.newbyteorder(">")).tobytes()
                        cards = extension_cards(shot, one, content, data)
                        file.cards(cards, words + bytes(-len(words) % 2880))


def _shot(camera: Camera, band: str, number: int) -> Shot:
    """Another place and position angle each."""
    sky = Sky(tiles_near(*CENTRE, 1), 0.1, 1)
    lon, lat = CENTRE[0] + 0.003 * number, CENTRE[1] + 0.001 * number
    return Shot(
        sky, camera, camera.bands[band], number, 0, number, lon, lat, 1.5 * number - 3.0, 60604.0 + number
    )


def _see(shot: Shot, index: int, shape: tuple[int, int]) -> Seen:
    rng = np.random.default_rng((shot.number, index))
    header = shot.wcs_header(shot.camera.detectors[index], shape)
    header.update(vis.detector_header(shot, index, shape[1]))
    noise = np.float32(shot.band.rms) * (1 + 0.03 * rng.standard_normal(shape, np.float32))
    planes = {
        "SCI": noise,
        "RMS": noise,
        "FLG": _flags(rng, shape),
        "BKG": np.full(shape, shot.band.background, np.float32) + noise / 100,
    }
    cards = str(header.tostring(endcard=False, padding=False))
    return Seen(shot.camera.detectors[index].name, cards, WCS(header), planes)


def _flags(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.int32]:
    """Trails of cosmic rays, star discs with saturated cores, bad columns and the border."""
    flags, size = np.zeros(shape, np.int32), shape[0] * shape[1]
    row, column = rng.integers(0, np.array(shape)[:, None] - 8, (2, size // 3000))
    for step in range(6):
        flags[row + step, column + step // 2] |= 1 << 4 | 1
    flags[:, rng.integers(0, shape[1], 5)] |= 1 << 7 | 1
    y, x = np.ogrid[: shape[0], : shape[1]]
    for _ in range(size // 400_000):
        distance2 = (x - rng.integers(shape[1])) ** 2 + (y - rng.integers(shape[0])) ** 2
        flags[distance2 < 100**2] |= 1 << 18
        flags[distance2 < 20**2] |= 1 << 3 | 1
    for edge in (np.s_[:4], np.s_[-4:], np.s_[:, :4], np.s_[:, -4:]):
        flags[edge] |= 1 << 6
    return flags


def make_nir(folder: Path) -> None:
    """An exposure of one detector."""
    camera = replace(nir.CAMERA, detectors=tuple(one for one in nir.CAMERA.detectors if one.name == "32"))
    nir.write_exposure(folder, _shot(camera, "NIR_H", 0), pixels=2040, xml=False)


def quadrants(side_arcsec: float | None = None) -> Camera:
    """Some quadrants of VIS, or all of them cut to a small side."""
    if side_arcsec is None:
        return replace(
            vis.CAMERA, detectors=tuple(one for one in vis.CAMERA.detectors if one.name in QUADRANTS)
        )
    cut = [
        Detector(one.name, one.x0, one.x0 + side_arcsec, one.y0, one.y0 + side_arcsec * 65 / 64)
        for one in vis.CAMERA.detectors
    ]
    return replace(vis.CAMERA, detectors=tuple(cut))


def scene(folder: Path, instrument: str) -> Scene:
    """What was written to a folder, planned as a run does."""
    parameters = _parameters({"VIS": "euclid-vis", "NISP": "euclid-nir"}[instrument], str(folder))
    grid = tiling("euclid-wide")
    manifest = gather(scan_inputs(parameters.inputs), parameters, grid)
    job = next(one for one in make_plan(manifest, parameters).jobs if one.area == TILE)
    return Scene(job, grid.owned(TILE, ORDER), parameters)


def _parameters(reader: str, location: str) -> Parameters:
    sections: dict[str, Any] = {
        "inputs": [{"reader": reader, "location": location}],
        "maps": {"order": ORDER},
        "info": {"maps": ["Noise:MEAN", "Background:MEAN"]},
    }
    return Parameters.model_validate(sections)


# -- what is timed --------------------------------------------------------------------------------------


def floor(images: list[FrameRef]) -> float:
    """CPU seconds to add up the words as they lie in the mapped files."""

    def add() -> None:
        for image in images:
            with open_frame(image, PLANES) as frame:
                for plane in frame.planes.values():
                    _sum(plane.read(0, image.shape[0]).view(np.uint32))

    return timed(add)[0]


def today(image: FrameRef) -> float:
    """CPU seconds of the script of today for a detector, from a part of it."""
    start, rows = image.shape[0] // 2, image.shape[0] // PART
    with open_frame(image, PLANES) as frame:
        planes = {name: plane.read(0, image.shape[0]) for name, plane in frame.planes.items()}
        return PART * timed(lambda: reduce_block(image.wcs, planes, 1 << ORDER, start, start + rows), 1)[0]


def steps(image: FrameRef, cells: CellSet) -> dict[str, float]:
    """CPU seconds of the steps of one image."""
    table = run_table(image.wcs, image.shape, cells, outline=image.outline())

    def reduce() -> Any:
        with open_frame(image, PLANES) as frame:
            return accumulate(frame, table, keep_good=Selection((), ()))

    good = reduce()[1]
    return {
        "run table": timed(lambda: run_table(image.wcs, image.shape, cells, outline=image.outline()).geom)[0],
        "mosaic pass": timed(reduce)[0],
        "sub-cells": timed(lambda: subcell_words(table.cells, table, good, outline=table.outline))[0],
    }


def tile_scale() -> tuple[Exposures, PsfStamps]:
    """16 exposures of 144 quadrants about one place, and stamps of all of them."""
    outlines, weights = survey(4)
    outlines = outlines - outlines.mean(axis=(0, 1)) + CENTRE
    outlines = np.concatenate([outlines + 0.01 * step for step in range(4)])
    weights = np.tile(weights, (4, 1))
    names = tuple(f"{row}" for row in range(len(outlines)))
    exposures = Exposures(names, outlines, {"ExposureTime": weights[:, 1]})
    share = (np.arange(9) + 0.5) / 9
    u, v = (one.ravel()[:, None] for one in np.meshgrid(share, share))
    a, b, c, d = outlines.transpose(1, 0, 2)[:, :, None]
    place = (1 - u) * (1 - v) * a + u * (1 - v) * b + u * v * c + (1 - u) * v * d
    lon, lat = place.reshape(-1, 2).T
    detector = np.repeat(np.arange(len(outlines)), STAMPS)
    moments = np.stack((1 + 0.1 * np.sin(lon), 1 + 0.1 * np.cos(lat), 0 * lon), axis=1)
    return exposures, PsfStamps(lon, lat, moments[:, 0], moments, detector)


def without_pixels() -> list[dict[str, Any]]:
    """Rows of what needs no pixels, at the scale of a tile."""
    exposures, stamps = tile_scale()
    cells = tiling("euclid-wide").owned(TILE, ORDER)
    ones = np.ones(len(cells))
    statistics = CellStatistics(cells, {"valid": ones}, {})

    def anew(how: str, per: str) -> None:
        shares_of.cache_clear()
        exposure_map(exposures, "ExposureTime", how, cells, per=per)

    anew("MEDIAN", "exposure")
    what = f"{len(exposures)} detectors"
    moments, _ = timed(lambda: psf_maps(stamps, statistics, quantity="PSFE1", exposures=exposures), 1)
    return [
        _row(f"map of a scalar, {what}", "CPU s", timed(lambda: anew("MEDIAN", "exposure"))[0], None, None, "< 1 s"),
        _row(f"the same per point, {what}", "CPU s", timed(lambda: anew("SUM", "pixel"), 1)[0], None, None, "< 2 s"),
        _row(f"PSF ellipticity, {stamps.fwhm_arcsec.size} stamps", "CPU s", moments, None, None, "< 1 s"),
        gathering(),
    ]  # fmt: skip


def gathering() -> dict[str, Any]:
    """The row of planning: exposures of 144 quadrants to the tiles that they touch."""
    number = 200
    outlines, weights = survey(number)
    parameters = _parameters("euclid-vis", "")
    names = tuple(f"[{row}]" for row in range(144))
    refs = [
        FrameRef(
            "euclid-vis", f"{row:04d}", "VIS", "VIS", (0, 0), "", {},
            exposures=Exposures(names, part, {"ExposureTime": times[:, 1]}),
        )
        for row, (part, times) in enumerate(zip(np.split(outlines, number), np.split(weights, number), strict=True))
    ]  # fmt: skip
    seconds = timed(lambda: gather(Manifest(tuple(refs)), parameters, tiling("euclid-wide")), 1)[0]
    return _row("gathering by tile", "ms an exposure", seconds / number * 1e3, None, None, "< 20")


def fresh(folder: Path, times: int) -> dict[str, float]:
    """Memory of a fresh process that counts the exposures of a folder, each so many times over."""
    command = [sys.executable, "-m", "benchmarks.exposurepass", "process", str(folder), str(times)]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def _process(folder: str, times: int) -> None:
    one = scene(Path(folder), "VIS")
    start = time.perf_counter()
    members = one.ref.members * times
    ref = replace(one.ref, members=members)
    Scene(replace(one.job, frames=(ref,)), one.cells, one.parameters).count(threads=2)
    wall = time.perf_counter() - start
    print(json.dumps({"wall": wall, "highest": _status("VmHWM"), "images": 3 * len(members)}))


# -- the table ------------------------------------------------------------------------------------------


def rows() -> list[dict[str, Any]]:
    """Rows of the table of performance: operation, unit, ours, today, floor, ratio (today / ours), target, note."""
    with tempfile.TemporaryDirectory(prefix="vmpz-bench-") as name:
        folder = Path(name)
        for part in ("vis", "small", "nir"):
            (folder / part).mkdir()
        make_vis(folder / "vis", quadrants(), 2, (2066, 2048))
        make_vis(folder / "small", quadrants(6.4), 1, (65, 64))
        make_nir(folder / "nir")
        return [*_of_pixels(folder), *without_pixels()]


def _of_pixels(folder: Path) -> list[dict[str, Any]]:
    small = scene(folder / "small", "VIS")
    number = small.count().scalars["images"]
    constant = timed(small.count)[0] / number
    few, many = fresh(folder / "vis", 1), fresh(folder / "vis", 8)
    threads = many["wall"] / many["images"] * 1e3
    return [
        *_of_instrument(folder / "vis", "VIS", constant),
        *_of_instrument(folder / "nir", "NISP", constant),
        _row(
            "constant of an image (quadrants of 64 x 65 pixels)", "CPU ms", constant * 1e3, None, None, "< 30"
        ),
        _row("VIS images, 2 threads", "wall ms an image", threads, None, None, ""),
        _row(f"resident memory (VmHWM), {few['images']} images", "GiB", few["highest"], None, None, "<= 1"),
        _row(f"resident memory (VmHWM), {many['images']} images", "GiB", many["highest"], None, None, "<= 1"),
    ]


def _of_instrument(folder: Path, instrument: str, constant: float) -> list[dict[str, Any]]:
    one = scene(folder, instrument)
    images = list(one.images())
    pixels = sum(image.shape[0] * image.shape[1] for image in images)
    each = pixels / len(images)
    one.count()
    whole = timed(one.count)[0]
    floors, script = floor(images), today(images[0])
    parts = steps(images[0], one.cells)
    note = ", ".join(f"{name} {seconds / each * 1e9:.3g} ns" for name, seconds in parts.items())
    above = (whole / len(images) - constant) / (parts["run table"] + parts["mosaic pass"])
    what = f"{instrument} images, files to statistics and sub-cells"
    figures = (seconds * 1e9 for seconds in (whole / pixels, script / each, floors / pixels))
    return [
        _row(what, "ns/pixel", *figures, "", f"of one image: {note}"),
        _row(
            f"{instrument} images less the constant, in passes over a mosaic", "", above, None, None, "<= 2"
        ),
    ]


if __name__ == "__main__":
    if sys.argv[1:2] == ["process"]:
        _process(sys.argv[2], int(sys.argv[3]))
    else:
        for line in rows():
            print({key: f"{value:.4g}" if isinstance(value, float) else value for key, value in line.items()})
