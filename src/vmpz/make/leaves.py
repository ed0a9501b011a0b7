"""Leaves: the pieces of an image on which pixels map smoothly into the HEALPix plane.

The face coordinates of HEALPix are evaluated through the image's own mapping on 5 x 5 points of each leaf (512
pixels, halved down to 16 where needed). A leaf is smooth if all points have one base face and lie on one side of
the parallels sin(dec) = +-2/3, where the projection has a kink, and if the biquadratic polynomial through 3 x 3 of
them predicts the others to 1e-3 pixel. Eight times the worst prediction error is the guard of the leaf.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.kernels import pixelcells
from vmpz.sky import hpx

__all__ = ["LARGEST", "Leaves", "Positions", "find_leaves", "pixel_positions"]

LARGEST, SMALLEST = 512, 16
POINTS = np.linspace(-1.0, 1.0, 5)
ROUNDING = 4e-13
"""Rounding of mapping and face coordinates, in units of a base face (8e-8 arcsec)."""
TRANSITION_DEG = math.degrees(math.asin(2.0 / 3.0))

Positions = Callable[
    [NDArray[np.float64], NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float64]]
]


@dataclass(frozen=True)
class Leaves:
    """Leaves of the image and what was learned about them; polynomials are in units of the base face."""

    row: NDArray[np.int64]
    column: NDArray[np.int64]
    height: NDArray[np.int64]
    width: NDArray[np.int64]
    face: NDArray[np.int64]
    smooth: NDArray[np.bool_]
    shape: NDArray[np.float64]
    guard: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def take(self, chosen: NDArray[Any]) -> "Leaves":
        axis = {"shape": 1, "low": 1, "high": 1}
        return Leaves(*(np.take(a, chosen, axis=axis.get(k, 0)) for k, a in vars(self).items()))

    @property
    def longest_step(self) -> float:
        """Bound on the change of x or y from a pixel to the next but one across its corner; infinite off the leaves."""
        if not self.smooth.all():
            return math.inf
        power, less = np.arange(3), np.array([0, 0, 1])
        half_v, half_u = (0.5 * (size[:, None] - 1.0) for size in (self.height, self.width))
        v, u, dv, du = (half_v**power, half_u**power, power * half_v**less, power * half_u**less)
        size = np.abs(self.shape)
        change = np.einsum("anij,ni,nj->an", size, v, du) + np.einsum("anij,ni,nj->an", size, dv, u)
        return float(change.max(initial=0.0))

    @staticmethod
    def join(parts: list["Leaves"]) -> "Leaves":
        axis = {"shape": 1, "low": 1, "high": 1}
        return Leaves(
            *(np.concatenate([vars(part)[k] for part in parts], axis=axis.get(k, 0)) for k in vars(parts[0]))
        )


def pixel_positions(wcs: WCS) -> Positions:
    """Function (column, row) -> (lon, lat) in degrees, through every term of a celestial WCS; NaN off the sky.

    Raises
    ------
    InputError
        The axes are not two axes of right ascension and declination.
    """
    if wcs.naxis != 2 or (wcs.wcs.lngtyp.strip(), wcs.wcs.lattyp.strip()) != ("RA", "DEC"):
        raise InputError(f"image axes must be RA and DEC, found {', '.join(map(str, wcs.wcs.ctype))}")
    longitude, latitude = wcs.wcs.lng, wcs.wcs.lat

    def positions(
        column: NDArray[np.float64], row: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        world = wcs.all_pix2world(column.ravel(), row.ravel(), 0)
        return world[longitude].reshape(column.shape), world[latitude].reshape(column.shape)

    return positions


def find_leaves(positions: Positions, shape: tuple[int, int]) -> Leaves:
    """Quadtree of leaves, smooth where they can be, in any order."""
    size = LARGEST
    row, column = (a.ravel() for a in np.mgrid[0 : shape[0] : size, 0 : shape[1] : size])
    done = []
    while row.size:
        leaves = _examine(
            positions, row, column, np.minimum(size, shape[0] - row), np.minimum(size, shape[1] - column)
        )
        keep = leaves.smooth if size > SMALLEST else np.ones(row.size, bool)
        done.append(leaves.take(np.flatnonzero(keep)))
        size //= 2
        quarter = np.array([[0, 0, size, size], [0, size, 0, size]])[:, None, :]
        row, column = (np.stack((row[~keep], column[~keep]))[:, :, None] + quarter).reshape(2, -1)
        inside = (row < shape[0]) & (column < shape[1])
        row, column = row[inside], column[inside]
    return Leaves.join(done)


def _examine(
    positions: Positions,
    row: NDArray[np.int64],
    column: NDArray[np.int64],
    height: NDArray[np.int64],
    width: NDArray[np.int64],
) -> Leaves:
    """Polynomials, guard and smoothness of leaves."""
    half_height, half_width = (np.asarray(0.5 * (size - 1), np.float64) for size in (height, width))
    v = half_height[:, None, None] * POINTS[:, None]
    u = half_width[:, None, None] * POINTS
    rows, columns = np.broadcast_arrays(
        row[:, None, None] + half_height[:, None, None] + v,
        column[:, None, None] + half_width[:, None, None] + u,
    )
    lon, lat = positions(columns, rows)
    known = np.isfinite(lon) & np.isfinite(lat)
    face, x, y = hpx.face_coordinates(np.where(known, lon, 0.0), np.where(known, lat, 0.0))
    xy = np.stack((x, y))
    shape = pixelcells.biquadratic(xy[:, :, ::2, ::2], half_height, half_width)
    powers_v, powers_u = v[..., None] ** np.arange(3), u[..., None] ** np.arange(3)
    predicted = np.einsum("anij,nrki,nkcj->anrc", shape, powers_v, powers_u)
    error = np.abs(predicted - xy).max(axis=(0, 2, 3))
    step = np.abs(shape[:, :, [0, 1], [1, 0]]).max(axis=(0, 2))
    low, high = xy.min(axis=(2, 3)), xy.max(axis=(2, 3))
    margin = 0.02 * (high - low) + 1e-12
    beyond = np.abs(lat) - TRANSITION_DEG
    least, most = beyond.min(axis=(1, 2)), beyond.max(axis=(1, 2))
    clear = 0.02 * (most - least) + 1e-12
    smooth = (
        known.all(axis=(1, 2))
        & (face == face[:, :1, :1]).all(axis=(1, 2))
        & ((low > margin) & (high < 1 - margin)).all(axis=0)
        & ((least > clear) | (most < -clear))
        & (error <= 1e-3 * step + ROUNDING)
    )
    return Leaves(
        row,
        column,
        height,
        width,
        face[:, 0, 0],
        smooth,
        shape,
        8 * error + ROUNDING,
        low - margin,
        high + margin,
    )
