"""PSF stamps of exposures: Gaussians on the sky, sampled in pixels as they lie at a place of a detector."""

import math
from typing import Any

import numpy as np
from astropy.wcs import WCS
from numpy.typing import ArrayLike, NDArray

from vmpz.simulate.exposures import Shot
from vmpz.simulate.geometry import ARCSEC, Plane
from vmpz.sky.covers import unit_vectors

__all__ = ["gaussian_stamps", "middle_turn", "west_north"]

Array = NDArray[np.floating[Any]]

FWHM_PER_SIGMA = math.sqrt(8.0 * math.log(2.0))


def west_north(wcs: WCS, x: ArrayLike, y: ArrayLike) -> Array:
    """Arcsec to the west and the north (rows) per pixel along x and y (columns), (n, 2, 2), at pixels from 0."""
    turns = []
    for px, py in zip(np.atleast_1d(x), np.atleast_1d(y), strict=True):
        lon, lat = wcs.all_pix2world(
            px + np.array([0.0, 0.5, -0.5, 0.0, 0.0]), py + np.array([0, 0, 0, 0.5, -0.5]), 0
        )
        east, north = Plane.at(float(lon[0]), float(lat[0])).project(unit_vectors(lon, lat))
        place = np.stack((-east, north)) / ARCSEC
        turns.append(np.stack((place[:, 1] - place[:, 2], place[:, 3] - place[:, 4]), axis=1))
    return np.array(turns)


def middle_turn(wcs: WCS, shape: tuple[int, int]) -> Array:
    """The same (2, 2) in the middle of an image of (rows, columns)."""
    return np.asarray(west_north(wcs, (shape[1] - 1) / 2.0, (shape[0] - 1) / 2.0)[0])


def gaussian_stamps(shot: Shot, turn: Array, side: int) -> Array:
    """Stamps (n, side, side) of unit sum with the width and ellipticity of an exposure.

    Parameters
    ----------
    shot : Shot
    turn : array (n, 2, 2)
        Arcsec to the west and the north per sample of a stamp along x and y.
    side : int
        Samples along a side, odd.
    """
    e1, e2 = shot.ellipticity
    half = (shot.fwhm_arcsec / FWHM_PER_SIGMA) ** 2 / math.sqrt(1.0 - e1 * e1 - e2 * e2)
    inverse = np.linalg.inv(half * np.array([[1.0 + e1, e2], [e2, 1.0 - e1]]))
    form = np.swapaxes(turn, 1, 2) @ inverse @ turn
    place = np.arange(side) - side // 2
    dx, dy = place[None, None, :], place[None, :, None]
    a, b, c = (form[:, i, j, None, None] for i, j in ((0, 0), (0, 1), (1, 1)))
    stamps = np.exp(-0.5 * (a * dx * dx + 2.0 * b * dx * dy + c * dy * dy))
    return np.asarray(stamps / stamps.sum(axis=(1, 2), keepdims=True))
