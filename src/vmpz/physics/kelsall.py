"""Zodiacal light of the smooth cloud of Kelsall et al. 1998, fitted to DIRBE: at 1.25 um.

Dust of density ``n = n0 R**-alpha exp(-beta g**gamma)`` around a centre off the Sun, R the distance from that
centre, ``zeta = |Z| / R`` from the dust's own plane (inclination i, ascending node Omega) and
``g = zeta**2 / (2 mu)`` for zeta < mu, else ``zeta - mu / 2``. A line of sight sums, out to 5.2 au from the Sun,

``n A F_sun / R_sun**2 Phi(Theta)``

with albedo A, solar flux F_sun at 1 au, scattering angle Theta and the phase function
``Phi = N (C1 + C2 Theta + exp(C3 Theta))`` of integral 1 over the sphere. The grains' own light (a black body of
``286 K R_sun**-0.46686``) is 1e-9 of this at 1.25 um and is left out.

Kelsall's dust bands and ring, about 1 to 14 per cent of the whole, are not part of the smooth cloud. The
coefficients at hand hold at 1.25 um, and DIRBE saw the sky from 64 to 124 degrees from the Sun: all else is refused,
nothing is extrapolated.
Seasons are in it: the plane's tilt, the centre's offset, the distance of the observer from the Sun.

References: Kelsall et al. 1998, ApJ 508, 44 (tables 1 and 2); San et al. 2022, A&A 666, A107 (the solar flux that
DIRBE's albedo belongs to; ASTM G173-03 has 1.6 per cent more).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vmpz.errors import InputError
from vmpz.physics.ephemeris import earth_heliocentric_au, to_ecliptic
from vmpz.physics.sphere import angle_between_deg, unit_vectors

__all__ = ["ELONGATIONS_DEG", "WAVELENGTH_UM", "cloud_density_per_au", "kelsall_mjy_sr", "phase_function"]

Array = NDArray[np.float64]

WAVELENGTH_UM = 1.25
"""Where albedo and phase function are given."""
ELONGATIONS_DEG = (64.0, 124.0)
"""Elongations that DIRBE observed and the model was fitted to."""

DENSITY_PER_AU = 1.1344e-7
RADIAL_POWER = 1.3371
VERTICAL_SCALE = 4.1415
VERTICAL_POWER = 0.94206
WIDENING = 0.18873
INCLINATION_DEG = 2.0335
NODE_DEG = 77.658
POLE = np.array(
    [
        np.sin(np.radians(NODE_DEG)) * np.sin(np.radians(INCLINATION_DEG)),
        -np.cos(np.radians(NODE_DEG)) * np.sin(np.radians(INCLINATION_DEG)),
        np.cos(np.radians(INCLINATION_DEG)),
    ]
)
"""North of the dust's plane, ecliptic axes."""
CENTRE_AU = np.array([0.011888, 0.0054765, -0.0021531])
OUTER_RADIUS_AU = 5.2

ALBEDO = 0.204
PHASE = (-0.9421, 0.1214, -0.1648)
SOLAR_FLUX_MJY = 2.3405606e8

POINTS = 48
"""Nodes of the quadrature: integrals are good to 1e-4 at all latitudes and elongations that are accepted."""


def kelsall_mjy_sr(
    lon_deg: ArrayLike,
    lat_deg: ArrayLike,
    mjd: ArrayLike,
    wavelength_um: float = WAVELENGTH_UM,
    position_au: ArrayLike | None = None,
) -> Array:
    """Zodiacal light of the smooth cloud, MJy/sr.

    Parameters
    ----------
    lon_deg, lat_deg : array_like
        ICRS positions.
    mjd : array_like
        Epochs, UTC; broadcast with the positions.
    wavelength_um : float
        1.25.
    position_au : array_like (..., 3), optional
        Heliocentric position of the observer on ICRS axes, one per epoch; by default the Earth's centre.

    Raises
    ------
    InputError
        Another wavelength, an elongation outside 64 to 124 degrees, or an observer outside the cloud.
    """
    if abs(wavelength_um - WAVELENGTH_UM) > 1e-6:
        raise InputError(
            f"the Kelsall model has coefficients at {WAVELENGTH_UM} um alone; found {wavelength_um} um: use the "
            "Leinert model, which covers 0.25 to 2.5 um"
        )
    observer = earth_heliocentric_au(mjd) if position_au is None else np.asarray(position_au, np.float64)
    sight = unit_vectors(lon_deg, lat_deg)
    _refuse_unseen(angle_between_deg(sight, -observer), observer)
    return _line_integral(to_ecliptic(sight), to_ecliptic(observer))


def cloud_density_per_au(heliocentric: Array) -> Array:
    """Cross section of the dust per volume, 1/au, at heliocentric ecliptic positions ``(..., 3)`` in au."""
    from_centre = heliocentric - CENTRE_AU
    radius = np.sqrt(np.einsum("...i,...i->...", from_centre, from_centre))
    zeta = np.abs(np.einsum("...i,i->...", from_centre, POLE)) / radius
    spread = np.where(zeta < WIDENING, zeta**2 / (2.0 * WIDENING), zeta - WIDENING / 2.0)
    return np.asarray(
        DENSITY_PER_AU * radius**-RADIAL_POWER * np.exp(-VERTICAL_SCALE * spread**VERTICAL_POWER)
    )


def phase_function(scattering_angle_rad: ArrayLike) -> Array:
    """Share of scattered light per steradian at a scattering angle; its integral over the sphere is 1."""
    angle = np.asarray(scattering_angle_rad, np.float64)
    constant, linear, decay = PHASE
    whole = 2.0 * constant + np.pi * linear + (np.exp(decay * np.pi) + 1.0) / (decay**2 + 1.0)
    return np.asarray((constant + linear * angle + np.exp(decay * angle)) / (2.0 * np.pi * whole))


def _refuse_unseen(elongation_deg: Array, observer: Array) -> None:
    low, high = ELONGATIONS_DEG
    least, most = np.min(elongation_deg, initial=high), np.max(elongation_deg, initial=low)
    if least < low or most > high:
        raise InputError(
            f"the Kelsall model was fitted from {low} to {high} deg from the Sun; found {least:.3f} to {most:.3f}"
        )
    farthest = float(np.max(np.linalg.norm(observer, axis=-1), initial=1.0))
    if not farthest < OUTER_RADIUS_AU:
        raise InputError(
            f"the observer must be within {OUTER_RADIUS_AU} au of the Sun; found {farthest} au (is the position "
            "heliocentric, in au?)"
        )


def _line_integral(sight: Array, observer: Array) -> Array:
    """Brightness along unit vectors from a position: Gauss-Legendre in the square root of the distance.

    The square root crowds the nodes where the dust is, near the observer; one node of all lines at a time keeps
    the memory at a few arrays of the result's shape.
    """
    along = np.einsum("...i,...i->...", sight, observer)
    outside = OUTER_RADIUS_AU**2 - np.einsum("...i,...i->...", observer, observer)
    length = np.sqrt(along**2 + outside) - along
    total = np.zeros_like(length)
    nodes, weights = np.polynomial.legendre.leggauss(POINTS)
    for node, weight in zip((nodes + 1.0) / 2.0, weights / 2.0, strict=True):
        position = observer + (length * node**2)[..., None] * sight
        total += weight * 2.0 * node * _source(position, sight)
    return np.asarray(total * length)


def _source(position: Array, sight: Array) -> Array:
    """Light sent towards the observer per length, MJy/sr/au."""
    radius = np.sqrt(np.einsum("...i,...i->...", position, position))
    cosine = -np.einsum("...i,...i->...", position, sight) / radius
    phase = phase_function(np.arccos(np.clip(cosine, -1.0, 1.0)))
    return np.asarray(ALBEDO * SOLAR_FLUX_MJY / radius**2 * phase * cloud_density_per_au(position))
