"""Angles between a spacecraft's attitude and the Sun.

Solar aspect angle: the angle between the pointing n and the direction s from the spacecraft to the Sun,
``cos SAA = n . s``. With the Earth in place of a spacecraft in orbit about the second Lagrange point, s is wrong by
up to 0.4 degrees; the caller decides.

Alpha and beta angle. Their published definition was not found; this project's is the following. The body axis z
stands on n, on the side of the sunshield: its position angle on the sky is given. Then

- alpha is the rotation about n, positive from north through east, that would bring z to the side of the Sun: 0 when
  the Sun lies in the half plane of n and z;
- beta is the angle by which n leans away from the Sun beyond the right angle: ``beta = SAA - 90``.

The Sun in the body frame is thus ``(-sin beta, cos beta sin alpha, cos beta cos alpha)`` on n, the axis 90 degrees
east of z, and z. Angles in a header come first: they follow the mission's definition.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vmpz.errors import InputError
from vmpz.physics.ephemeris import KM_PER_AU, earth_heliocentric_au, sun_barycentric_au
from vmpz.physics.sphere import angle_between_deg, unit_vectors
from vmpz.physics.sphere import position_angle_deg as direction_angle_deg

__all__ = ["Origin", "alpha_angle_deg", "beta_angle_deg", "solar_aspect_angle_deg", "sun_direction"]

Array = NDArray[np.float64]
Origin = Literal["geocentric", "heliocentric", "barycentric"]

DISTANCES_AU: dict[Origin, tuple[float, float]] = {
    "geocentric": (0.0, 0.1),
    "heliocentric": (0.5, 2.0),
    "barycentric": (0.5, 2.0),
}
"""Where a telescope can be, to tell a wrong origin or unit: to ten times the distance of L2, or near 1 au."""


def sun_direction(
    mjd: ArrayLike, position_km: ArrayLike | None = None, *, origin: Origin = "geocentric"
) -> Array:
    """Unit vectors ``(..., 3)`` from an observer to the Sun, ICRS axes; geometric (aberration: 0.006 degrees).

    Parameters
    ----------
    mjd : array_like
        Epochs, UTC.
    position_km : array_like (..., 3), optional
        The observer on ICRS axes, one for each epoch; by default the Earth's centre. From au: times `KM_PER_AU`
        of `vmpz.physics.ephemeris`.
    origin : {'geocentric', 'heliocentric', 'barycentric'}
        Where the position starts from.

    Raises
    ------
    InputError
        An unknown origin, a position that does not end in three components, or one at a distance where no telescope
        is (geocentric: above 0.1 au; else outside 0.5 to 2 au): another origin or unit.
    """
    sun = -earth_heliocentric_au(mjd)
    if position_km is not None:
        place = _checked(np.asarray(position_km, np.float64) / KM_PER_AU, origin)
        start = {"geocentric": sun, "heliocentric": np.zeros(3), "barycentric": sun_barycentric_au(mjd)}[
            origin
        ]
        sun = start - place
    return np.asarray(sun / np.linalg.norm(sun, axis=-1, keepdims=True))


def solar_aspect_angle_deg(lon_deg: ArrayLike, lat_deg: ArrayLike, sun: Array) -> Array:
    """Angle between pointings and the Sun, 0 to 180 degrees.

    Parameters
    ----------
    lon_deg, lat_deg : array_like
        ICRS pointings.
    sun : array (..., 3)
        Spacecraft to Sun, any length (`sun_direction`).
    """
    return angle_between_deg(unit_vectors(lon_deg, lat_deg), sun)


def alpha_angle_deg(
    lon_deg: ArrayLike, lat_deg: ArrayLike, position_angle_deg: ArrayLike, sun: Array
) -> Array:
    """Alpha angle in [-180, 180) degrees, as this module defines it.

    Parameters
    ----------
    lon_deg, lat_deg : array_like
        ICRS pointings.
    position_angle_deg : array_like
        Position angle, from north through east, of the body axis on the side of the sunshield.
    sun : array (..., 3)
        Spacecraft to Sun, any length (`sun_direction`).
    """
    side_deg = direction_angle_deg(lon_deg, lat_deg, sun)
    return np.asarray((side_deg - np.asarray(position_angle_deg) + 180.0) % 360.0 - 180.0)


def beta_angle_deg(lon_deg: ArrayLike, lat_deg: ArrayLike, sun: Array) -> Array:
    """Beta angle, ``SAA - 90``, in [-90, 90] degrees; it does not depend on the rotation about the pointing."""
    return solar_aspect_angle_deg(lon_deg, lat_deg, sun) - 90.0


def _checked(place_au: Array, origin: Origin) -> Array:
    if origin not in DISTANCES_AU:
        raise InputError(f"an origin must be one of {', '.join(DISTANCES_AU)}; found {origin!r}")
    if place_au.ndim == 0 or place_au.shape[-1] != 3:
        raise InputError(f"a position must end in three components; found shape {place_au.shape}")
    low, high = DISTANCES_AU[origin]
    distance = np.linalg.norm(place_au, axis=-1)
    wrong = (distance < low) | (distance > high)
    if np.any(wrong):
        raise InputError(
            f"a {origin} position of a telescope must be {low} to {high} au long; found {distance[wrong].flat[0]:.6g} "
            "au: is its origin or its unit another one?"
        )
    return place_au
