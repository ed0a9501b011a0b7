"""What a user would write today to bring a mosaic tile into HEALPix cells: WCS, ang2pix, unique, bincount.

Flags: number and ten bits; RMS and background: n, mean, standard deviation, minimum and maximum of finite pixels.
Rows are taken in chunks of 1200 to bound the memory.
"""

import healpy
import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

__all__ = ["median", "reduce_block", "reduce_rows"]

CHUNK = 1200
BITS = (0, 1, 2, 3, 4, 5, 6, 7, 12, 18)


def reduce_rows(paths: dict[str, str], nside: int, start: int, stop: int) -> dict[int, dict[str, np.ndarray]]:
    """Statistics of the cells that rows [start, stop) touch, by first row of the chunk."""
    header = fits.getheader(paths["FLAG"])
    wcs = WCS(header)
    planes = {name: fits.open(path, memmap=True)[0].data for name, path in paths.items()}
    chunks = range(start, stop, CHUNK)
    return {row: reduce_block(wcs, planes, nside, row, min(row + CHUNK, stop)) for row in chunks}


def reduce_block(
    wcs: WCS, planes: dict[str, np.ndarray], nside: int, row: int, end: int
) -> dict[str, np.ndarray]:
    """Statistics of the cells that rows [row, end) touch."""
    y, x = np.mgrid[row:end, 0 : planes["FLAG"].shape[1]]
    lon, lat = wcs.all_pix2world(x.ravel(), y.ravel(), 0)
    cells = healpy.ang2pix(nside, lon, lat, lonlat=True, nest=True)
    unique, inverse = np.unique(cells, return_inverse=True)
    result = {"cells": unique, "n": np.bincount(inverse, minlength=unique.size)}
    flags = planes["FLAG"][row:end].ravel()
    for bit in BITS:
        result[f"bit{bit}"] = np.bincount(inverse, (flags >> bit) & 1, unique.size)
    for name in ("RMS", "BACKGROUND"):
        value = planes[name][row:end].ravel().astype(np.float64)
        known = np.isfinite(value) & (value < 1e15)
        where, value = inverse[known], value[known]
        n = np.bincount(where, minlength=unique.size)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.bincount(where, value, unique.size) / n
            result[f"{name}.std"] = np.sqrt(np.bincount(where, (value - mean[where]) ** 2, unique.size) / n)
        result[f"{name}.mean"] = mean
        low, high = np.full(unique.size, np.inf), np.full(unique.size, -np.inf)
        np.minimum.at(low, where, value)
        np.maximum.at(high, where, value)
        result[f"{name}.min"], result[f"{name}.max"] = low, high
    return result


def median(values: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Median per cell: sort by cell, split, take the median of each part."""
    by_cell = np.argsort(cells.ravel(), kind="stable")
    ordered = cells.ravel()[by_cell]
    borders = np.flatnonzero(np.diff(ordered)) + 1
    return np.array([np.median(part) for part in np.split(values.ravel()[by_cell], borders)])
