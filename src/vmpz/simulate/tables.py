"""Tables beside the planes: PSF stamps, Layers, bright-star masks."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from vmpz.files.write import write_text
from vmpz.simulate.bands import Band
from vmpz.simulate.field import Sky, generator
from vmpz.simulate.fitsfile import FitsWriter, fits_file
from vmpz.simulate.geometry import regular_polygon, to_angles
from vmpz.simulate.headers import wcs_header
from vmpz.simulate.pixels import Grid

__all__ = [
    "POLYGON_MASK_CORNERS",
    "is_disc",
    "star_mask_outlines",
    "write_catalog_psf",
    "write_grid_psf",
    "write_layers",
    "write_star_masks",
]

Array = NDArray[np.floating[Any]]

CATALOG_STAMPS_PER_SIDE = 32
GRID_STAMPS_PER_SIDE = 48
STAMP_PIXEL_ARCSEC = 0.1
POLYGON_MASK_CORNERS = 8
ROWS_AT_ONCE = 256


def write_catalog_psf(path: Path, sky: Sky, grid: Grid, band: Band) -> None:
    """Catalogue PSF: a mosaic of stamps at random positions of the tile, and their table."""
    side = CATALOG_STAMPS_PER_SIDE
    number = side * side
    draw = generator(sky.seed, f"stamps {grid.tile.id} {band.name}")
    x, y = draw.uniform(0.5, grid.size + 0.5, (2, number))
    lon, lat = grid.plane.angles(grid.x(x - 1), grid.y(y - 1))
    fwhm = _fwhm(sky, grid, band, x, y)
    row, column = np.divmod(np.arange(number), side)
    px = band.stamp_px
    centre = {"x_center": column * px + (px + 1) / 2, "y_center": row * px + (px + 1) / 2}
    stamps = _stamps(fwhm, px).reshape(side, side, px, px).swapaxes(1, 2).reshape(side * px, side * px)
    image = fits.ImageHDU(stamps.astype(np.float32), psf_header(sky, grid, band), name="PSF image")
    columns = {**centre, "x": x, "y": y, "RA": lon, "Dec": lat, "FWHM": fwhm}
    with fits_file(path) as file:
        file.add(fits.PrimaryHDU())
        file.add(image)
        file.add(_table(columns, "Stamps information"))


def write_grid_psf(path: Path, sky: Sky, grid: Grid, band: Band) -> None:
    """Grid PSF: stamps in a regular grid on an image of the size of the mosaic, and their table."""
    side = min(GRID_STAMPS_PER_SIDE, grid.size // band.stamp_px)
    at = np.floor((np.arange(side) + 0.5) * grid.size / side).astype(np.int64)
    row, column = (index.ravel() for index in np.meshgrid(at, at, indexing="ij"))
    fwhm = _fwhm(sky, grid, band, column + 1.0, row + 1.0)
    header = psf_header(sky, grid, band)
    header["EXTNAME"] = "PSF image"
    structure = fits.Header(
        [
            ("XTENSION", "IMAGE", "image extension"),
            ("BITPIX", -32, "array data type"),
            ("NAXIS", 2, "number of array dimensions"),
            ("NAXIS1", grid.size),
            ("NAXIS2", grid.size),
            ("PCOUNT", 0),
            ("GCOUNT", 1),
        ]
    )
    structure.extend(header, strip=False)
    with fits_file(path) as file:
        file.add(fits.PrimaryHDU())
        _write_grid_image(
            file, structure, grid.size, at, _stamps(fwhm, band.stamp_px).reshape(side, side, -1)
        )
        file.add(_table({"x": column + 1.0, "y": row + 1.0, "FWHM": fwhm}, "Stamps information"))


def _write_grid_image(
    file: FitsWriter, header: fits.Header, size: int, at: NDArray[np.int64], stamps: Array
) -> None:
    """Stamps around rows and columns `at`, (n, n, pixels), written in row blocks."""
    px = math.isqrt(stamps.shape[-1])
    half = px // 2
    with file.plane(header, "f4", (size, size)) as plane:
        for start in range(0, size, ROWS_AT_ONCE):
            rows = np.zeros((min(ROWS_AT_ONCE, size - start), size), np.float32)
            for i, middle in enumerate(at):
                first, last = max(middle - half, start), min(middle + half + 1, start + len(rows))
                for j, column in enumerate(at if first < last else ()):
                    stamp = stamps[i, j].reshape(px, px)[first - middle + half : last - middle + half]
                    rows[first - start : last - start, column - half : column + half + 1] = stamp
            plane.write(rows)


def psf_header(sky: Sky, grid: Grid, band: Band) -> fits.Header:
    """Cards of a PSF image: the WCS of the mosaic, exposure time, gain, saturation, size and width of the stamps."""
    middle = (grid.size + 1) / 2
    header = wcs_header(grid)
    for card in (
        ("EXPTIME", 4 * band.exposure_time_s, "Maximum equivalent exposure time (s)"),
        ("GAIN", 4 * 3.48 * band.exposure_time_s, "Maximum equivalent gain (e-/ADU)"),
        ("SATURATE", 300.0 * band.rms, "Saturation level (ADU)"),
        ("STMPSIZE", band.stamp_px, "Size of a PSF stamp (pixels)"),
        (
            "FWHM",
            float(_fwhm(sky, grid, band, np.array(middle), np.array(middle))),
            "central PSF stamp FWHM (arcsec)",
        ),
    ):
        header.append(card)
    return header


def write_layers(path: Path, sky: Sky, grid: Grid, band: Band) -> None:
    """Layers: every detector of every exposure that touches the image, with corners in radian."""
    detectors = sky.detectors(band.instrument)
    touching = grid.quads_touching(detectors.rectangles.quads(sky.plane))
    lon, lat = to_angles(detectors.rectangles.quads(sky.plane).corners[touching])
    exposure = detectors.exposure[touching]
    scalars = [sky.scalars(int(number)) for number in exposure]
    names = [
        f"EUC_{band.instrument}_SIM_{band.name}_{number // 4:05d}-{number % 4 + 1}.fits"
        for number in exposure
    ]
    polygon = np.radians(np.stack((lon, lat), axis=2)).reshape(-1, 8)
    columns = [
        fits.Column("CALIB_IMAGE", "80A", array=np.array(names, "S80")),
        fits.Column("EXTNAME", "15A", array=np.array([detectors.names[i] for i in touching], "S15")),
        fits.Column("EXPTIME", "1E", unit="s", array=np.full(len(touching), band.exposure_time_s)),
        fits.Column("POLYGON", "8D", unit="rad", array=polygon),
        fits.Column("ALPHA", "1E", unit="deg", array=np.array([one["ALPHA"] for one in scalars])),
        fits.Column("BETA", "1E", unit="deg", array=np.array([one["BETA"] for one in scalars])),
        fits.Column("SAA", "1E", unit="deg", array=np.array([one["SAA"] for one in scalars])),
        fits.Column("MJD-OBS", "1E", unit="d", array=np.array([one["MJD-OBS"] for one in scalars])),
    ]
    with fits_file(path) as file:
        file.add(fits.PrimaryHDU())
        file.add(fits.BinTableHDU.from_columns(columns, name="LAYERS"))


def write_star_masks(path: Path, sky: Sky, grid: Grid) -> None:
    """Bright-star masks of a tile: discs, and an octagon for every third star."""
    write_text(path, json.dumps(star_mask_outlines(sky, grid), indent=1) + "\n")


def star_mask_outlines(sky: Sky, grid: Grid) -> list[dict[str, object]]:
    """One object per star near the image: a disc (RA, Dec, radius, deg) or a polygon of [RA, Dec] pairs."""
    discs, numbers, bounds = grid.place_discs(sky.halos)
    near = (bounds[:, 1] >= 0) & (bounds[:, 0] < grid.size)
    return [
        _star_mask(centre, float(radius), int(number))
        for centre, radius, number in zip(discs.centres[near], discs.radii[near], numbers[near], strict=True)
    ]


def _star_mask(centre: Array, radius: float, number: int) -> dict[str, object]:
    if is_disc(number):
        lon, lat = (float(angle) for angle in to_angles(centre))
        return {"RA": lon, "Dec": lat, "radius": math.degrees(radius)}
    corners = to_angles(regular_polygon(centre, radius, POLYGON_MASK_CORNERS))
    return {"polygon": np.stack(corners, axis=1).tolist()}


def is_disc(number: int) -> bool:
    """Whether the mask of a star is a disc; every third is an octagon with its corners on the halo."""
    return number % 3 != 0


def _fwhm(sky: Sky, grid: Grid, band: Band, x: Array, y: Array) -> Array:
    """PSF width at FITS pixel coordinates (from 1)."""
    directions = grid.plane.vectors(grid.x(x - 1), grid.y(y - 1))
    return sky.fwhm_arcsec(band, *sky.plane.project(directions))


def _stamps(fwhm_arcsec: Array, side: int) -> Array:
    """Gaussian stamps of unit sum, (n, side, side)."""
    offset = (np.arange(side) - side // 2) * STAMP_PIXEL_ARCSEC
    distance2 = offset[:, None] ** 2 + offset[None, :] ** 2
    stamps = np.exp(-4.0 * math.log(2.0) * distance2 / fwhm_arcsec[:, None, None] ** 2)
    return np.asarray(stamps / stamps.sum(axis=(1, 2), keepdims=True))


def _table(columns: dict[str, Array], name: str) -> fits.BinTableHDU:
    """A table of doubles."""
    return fits.BinTableHDU.from_columns(
        [fits.Column(key, "1D", array=np.asarray(values, float)) for key, values in columns.items()],
        name=name,
    )
