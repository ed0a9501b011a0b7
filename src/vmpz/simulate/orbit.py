"""Where the simulated spacecraft is: on a halo about the second Lagrange point of Sun and Earth."""

import math

import numpy as np
from numpy.typing import NDArray

from vmpz.physics.ephemeris import earth_heliocentric_au

__all__ = ["spacecraft_km"]

LAGRANGE_KM, HALO_KM, HALO_PERIOD_DAYS = 1.5e6, 4.0e5, 180.0
ECLIPTIC_NORTH = np.array([0.0, -math.sin(math.radians(23.44)), math.cos(math.radians(23.44))])


def spacecraft_km(mjd: float) -> NDArray[np.float64]:
    """Place (3,) of the spacecraft from the Earth's centre, ICRS axes, km."""
    away = earth_heliocentric_au(mjd)
    away = away / np.linalg.norm(away)
    along = np.cross(ECLIPTIC_NORTH, away)
    phase = 2.0 * math.pi * mjd / HALO_PERIOD_DAYS
    halo = math.cos(phase) * along / np.linalg.norm(along) + math.sin(phase) * ECLIPTIC_NORTH
    return np.asarray(LAGRANGE_KM * away + HALO_KM * halo)
