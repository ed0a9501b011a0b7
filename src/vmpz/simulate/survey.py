"""`simulate`: a whole small survey on disk, ready to run.

Tiles of the real Euclid grid at any place, in the real file formats, on one common sky; the truth beside it. The side
of a pixel follows from `size`, tiles and their overlaps stay real. Single exposures of any instrument may stand beside
the mosaics, or alone; then the survey asks for every information map, with what these need from outside.
"""

import json
import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vmpz.errors import InputError
from vmpz.files.write import write_text
from vmpz.simulate import tables
from vmpz.simulate.bands import Band, band_of
from vmpz.simulate.descriptors import write_mosaic_descriptor, write_tile_descriptor
from vmpz.simulate.field import Sky
from vmpz.simulate.fitsfile import Compression, fits_file
from vmpz.simulate.frames import Frames, frames_of, pixels_for
from vmpz.simulate.galaxies import coverage_parameters, galaxy_parameters, write_galaxies
from vmpz.simulate.headers import file_name, image_header
from vmpz.simulate.outside import maps_of, outside_parameters, write_outside
from vmpz.simulate.pixels import OUTER_ARCSEC, BandPixels, Block, Grid
from vmpz.simulate.truth import write_truth
from vmpz.tiles import tiles_near, tiling

__all__ = ["Simulation", "simulate"]

PIXELS_IN_A_CELL = 100
PLANES = {"image": "f4", "rms": "f4", "flag": "i4", "background": "f4"}
EUCLID_INSTRUMENTS = ("VIS", "NISP")
DEFAULT_PLACE = (57.9988, -51.5)


@dataclass(frozen=True)
class Simulation:
    """What `simulate` wrote.

    Attributes
    ----------
    folder, parameters : Path
        The output folder and the parameter file in it.
    tiles : tuple of str
    bands : tuple of str
        Of mosaics and of single exposures.
    order : int
        HEALPix order chosen for the maps.
    """

    folder: Path
    parameters: Path
    tiles: tuple[str, ...]
    bands: tuple[str, ...]
    order: int

    def __str__(self) -> str:
        return f"{len(self.tiles)} tiles, bands {', '.join(self.bands)}: {self.parameters}"


def simulate(
    out: str | Path,
    *,
    tiles: int = 4,
    size: int = 1200,
    bands: Sequence[str] = ("VIS", "NIR_Y"),
    frames: Sequence[str | Frames] = (),
    frame_pixels: int | None = None,
    at: tuple[float, float] = DEFAULT_PLACE,
    seed: int,
    compress: Compression = None,
    xml: bool = True,
    layers: bool = True,
    galaxies: bool = False,
) -> Simulation:
    """Write a simulated survey.

    Parameters
    ----------
    out : path
        Folder; made if needed.
    tiles : int
        Number of tiles of the regular grid, those with the nearest centres.
    size : int
        Pixels along the 32' outer side, even, at least 64; 19200 is 0.1 arcsec.
    bands : sequence of str
        Of the mosaics: keys of `vmpz.simulate.bands.BANDS`; none where there are `frames`.
    frames : sequence of str or Frames
        Single exposures: instruments of `vmpz.simulate.frames.FRAMES`, or bands of theirs.
    frame_pixels : int, optional
        Along a detector of these; default grows with `size`.
    at : (float, float)
        Longitude and latitude (degrees) of the survey.
    seed : int
        Everything random follows from it; 0 to 2**64 - 1.
    compress : {None, 'gz', 'fz'}
        Of the planes.
    xml, layers : bool
        Whether descriptors, and Layers tables, are written.
    galaxies : bool
        Whether there are galaxies: a deep sample, what the survey detects, and classes of them in the parameter file
        (`vmpz.simulate.galaxies`); needs mosaics.

    Returns
    -------
    Simulation

    Raises
    ------
    InputError
        An argument is out of its range, or the tiles lie too far apart for one sky.

    Examples
    --------
    >>> import vmpz
    >>> made = vmpz.simulate("survey", tiles=1, size=400, bands=("VIS",), seed=1)  # doctest: +SKIP
    >>> account = vmpz.run("survey/survey.toml")  # doctest: +SKIP
    """
    exposures = frames_of(frames)
    _check(tiles, size, bands, bool(exposures), at, seed, compress)
    if galaxies and not bands:
        raise InputError("galaxies need bands of mosaics, found none")
    folder = Path(out)
    chosen = [band_of(name) for name in bands]
    places = sorted(tiles_near(*at, tiles), key=lambda one: one.id)
    sky = Sky(places, OUTER_ARCSEC / size, seed)
    grids = [Grid(place, size) for place in places]
    order = map_order(size, max(abs(place.lat_deg) for place in places))
    for grid in grids:
        if xml:
            _write_tile_descriptor(folder / "MER", sky, grid, order)
        for band in chosen:
            _write_band(folder / "MER", sky, grid, band, compress, xml, layers)
    for one in exposures:
        one.write(folder, sky, frame_pixels or pixels_for(size), one.camera)
    if exposures:
        write_outside(folder, sky)
    write_truth(folder / "truth", sky, grids, chosen, order)
    if galaxies:
        write_galaxies(folder, sky, grids, chosen, order)
    parameters = folder / "survey.toml"
    names = tuple(place.id for place in places)
    write_text(parameters, _parameters(names, chosen, exposures, order, layers, seed if galaxies else None))
    return Simulation(folder, parameters, names, _all_bands(chosen, exposures), order)


def _all_bands(chosen: Sequence[Band], exposures: Sequence[Frames]) -> tuple[str, ...]:
    """Bands of mosaics and of exposures, each once."""
    return tuple(
        dict.fromkeys([*(band.name for band in chosen), *(name for one in exposures for name in one.bands)])
    )


def _check(
    tiles: int,
    size: int,
    bands: Sequence[str],
    has_frames: bool,
    at: tuple[float, float],
    seed: int,
    compress: Compression,
) -> None:
    if tiles < 1:
        raise InputError(f"tiles must be at least 1, found {tiles}")
    if size < 64 or size % 2:
        raise InputError(f"size must be an even number of pixels from 64 on, found {size}")
    if not (bands or has_frames) or len(set(bands)) != len(bands):
        raise InputError(
            "bands must be named once each, at least one where there are no frames, found "
            f"{', '.join(bands) or 'none'}"
        )
    if not (math.isfinite(at[0]) and abs(at[1]) <= 90.0):
        raise InputError(f"at must be a position in degrees, found {at[0]}, {at[1]}")
    if not 0 <= seed < 1 << 64:
        raise InputError(f"seed must lie between 0 and 2**64 - 1, found {seed}")
    if compress not in (None, "gz", "fz"):
        raise InputError(f"compress must be gz, fz or none, found {compress}")


def map_order(size: int, lat_deg: float) -> int:
    """Order of the maps: the deepest up to 14 whose cells hold 100 pixels, but fine enough for a tile's outer margin to
    complete every cell its core owns (12 up to 70 deg of declination, 13 up to 88, else 14)."""
    cells_in_a_tile = [
        math.radians(OUTER_ARCSEC / 3600.0) ** 2 * 3.0 * 4.0**order / math.pi for order in range(15)
    ]
    deepest = max(order for order in range(15) if size * size >= PIXELS_IN_A_CELL * cells_in_a_tile[order])
    return max(deepest, 12 if lat_deg <= 70.0 else 13 if lat_deg <= 88.0 else 14)


def _write_tile_descriptor(root: Path, sky: Sky, grid: Grid, order: int) -> None:
    inner = tiling("euclid-wide").owned(grid.tile.id, order)
    path = root / grid.tile.id / file_name(sky.seed, grid.tile.id, None, "tile")
    write_tile_descriptor(path, sky, grid, order, inner)


def _write_band(
    root: Path, sky: Sky, grid: Grid, band: Band, compress: Compression, xml: bool, layers: bool
) -> None:
    """All files of one band of one tile."""
    folder = root / grid.tile.id / band.instrument
    kinds = [*PLANES, "catalog-psf", "grid-psf", "star-masks", "mosaic"]
    kinds += ["layers"] if layers and band.instrument in EUCLID_INSTRUMENTS else []
    names = {kind: file_name(sky.seed, grid.tile.id, band, kind) for kind in kinds}
    quality = _write_planes(folder, names, BandPixels(sky, grid, band), compress)
    tables.write_catalog_psf(folder / names["catalog-psf"], sky, grid, band)
    tables.write_grid_psf(folder / names["grid-psf"], sky, grid, band)
    tables.write_star_masks(folder / names["star-masks"], sky, grid)
    if "layers" in names:
        tables.write_layers(folder / names["layers"], sky, grid, band)
    if xml:
        stored = {
            kind: name + (f".{compress}" if compress and kind in PLANES else "")
            for kind, name in names.items()
        }
        write_mosaic_descriptor(folder / names["mosaic"], sky, grid, band, stored, quality)


def _write_planes(
    folder: Path, names: dict[str, str], pixels: BandPixels, compress: Compression
) -> dict[str, float]:
    """Image, RMS, flags and background side by side, one row block after the other; returns the image's statistics."""
    shape = (pixels.grid.size, pixels.grid.size)
    quality = Quality(pixels.mask("unobserved"))
    with ExitStack() as stack:
        planes = {}
        for kind, dtype in PLANES.items():
            writer = stack.enter_context(fits_file(folder / names[kind], compress))
            header = image_header(pixels.grid, pixels.band, kind)
            planes[kind] = stack.enter_context(writer.plane(header, dtype, shape))
        for block in pixels.blocks():
            planes["image"].write(block.image)
            planes["rms"].write(block.rms)
            planes["flag"].write(block.flags)
            planes["background"].write(block.background)
            quality.add(block)
    return quality.values()


class Quality:
    """QualityParams of a mosaic, summed block by block over all pixels.

    Parameters
    ----------
    mask : int
        Bits of an unusable pixel: any of them counts as masked.
    """

    def __init__(self, mask: int) -> None:
        self._mask = np.uint32(mask)
        self._count = self._covered = self._masked = 0
        self._sum = self._squares = 0.0
        self._low, self._high = math.inf, -math.inf

    def add(self, block: Block) -> None:
        """Take in a row block."""
        image = block.image.astype(np.float64)
        self._count += image.size
        self._sum += float(image.sum())
        self._squares += float(np.sum(image * image))
        self._low, self._high = min(self._low, float(image.min())), max(self._high, float(image.max()))
        self._covered += int(np.count_nonzero(block.exposures))
        self._masked += int(np.count_nonzero(block.flags.view(np.uint32) & self._mask))

    def values(self) -> dict[str, float]:
        """Element name to number."""
        mean = self._sum / self._count
        return {
            "Mean": mean,
            "StDev": math.sqrt(max(self._squares / self._count - mean * mean, 0.0)),
            "Min": self._low,
            "Max": self._high,
            "MaskedPixelFraction": self._masked / self._count,
            "CoverageFraction": self._covered / self._count,
        }


def _parameters(
    tiles: Sequence[str],
    bands: Sequence[Band],
    exposures: Sequence[Frames],
    order: int,
    layers: bool,
    seed: int | None,
) -> str:
    """The parameter file; `seed` is that of the galaxies, None where there are none."""
    instruments = {band.instrument for band in bands}
    names = _all_bands(bands, exposures)
    blocks = [*([MOSAICS] if bands else []), *(one.inputs for one in exposures)]
    external = _external_flags([band.name for band in bands if band.instrument == "DECAM"])
    if seed is not None:
        external = (external or "\n[coverage]\n") + coverage_parameters(bands)
    return PARAMETERS.format(
        bands=json.dumps(names),
        tiles=f"tiles = {json.dumps(tiles)}\n" if exposures else "",
        inputs="\n".join(block.strip("\n") + "\n" for block in blocks),
        order=order,
        info=json.dumps(_maps(instruments, exposures, layers)),
        patch_order=order - 1,
        external=external,
        outside=outside_parameters(names) if exposures else "",
        galaxies="" if seed is None else galaxy_parameters(bands, seed),
    )


def _external_flags(names: Sequence[str]) -> str:
    """Flags of external mosaics, by band: exposures of the same instrument may have others."""
    if not names:
        return ""

    def each(value: str) -> str:
        return ", ".join(f"{name} = {value}" for name in names)

    return EXTERNAL_FLAGS.format(
        bits=each('["BPM"]'), table=each('"desdm"'), vetoed=each('["BPM", "SATURATE"]')
    )


def _maps(instruments: set[str], exposures: Sequence[Frames], layers: bool) -> list[str]:
    """Information maps: all that there can be of exposures; a few of mosaics alone."""
    if exposures:
        return maps_of({*instruments, *(one.camera.instrument for one in exposures)})
    listed = layers and instruments & set(EUCLID_INSTRUMENTS)
    return ["Noise:RMSQ", "Background:MEAN", "PSF:MEAN", *(["Exposures:COUNT", "SAA:MEAN"] if listed else [])]


PARAMETERS = """\
[survey]
name = "simulated"
release = "0.1"
bands = {bands}
{tiles}
[tiling]
kind = "euclid-wide"

{inputs}
[maps]
order = {order}
{external}
[info]
maps = {info}
{outside}{galaxies}
[[patches]]
name = "demo"
all = true
order = {patch_order}
"""

MOSAICS = """
[[inputs]]
reader = "euclid-mer"
location = "MER"
"""

EXTERNAL_FLAGS = """
[bitmask]
bits = {{VIS = ["INVALID"], NISP = ["INVALID"], {bits}}}
table = {{{table}}}

[coverage]
bits = {{{vetoed}}}
"""
