"""Galactic coordinates of ICRS positions."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vmpz.sky.covers import unit_vectors

__all__ = ["GALACTIC_FROM_ICRS", "galactic"]

GALACTIC_FROM_ICRS = np.array(
    [
        [-0.05487565771259163, -0.8734370519556159, -0.48383507361671546],
        [0.4941094371927268, -0.4448297212232952, 0.7469821839866676],
        [-0.8676661375596576, -0.19807633727300053, 0.4559838136873016],
    ]
)
"""Rotation of unit vectors. The IAU 1958 system (Blaauw et al. 1960, MNRAS 121, 123), precessed from B1950 to FK5 J2000
(pole at RA 192.859481, Dec 27.128251, north celestial pole at l = 122.931919; Reid & Brunthaler 2004, ApJ 616, 872),
times the rotation of FK5 against ICRS (USNO Circular 179, eq. 3.12): the definition that astropy uses. That of the
Hipparcos catalogue (ESA SP-1200, 1.5.3), without the latter rotation, differs by 0.02 arcsec."""


def galactic(lon_deg: ArrayLike, lat_deg: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Galactic longitude in [0, 360) and latitude (degrees) of ICRS positions (degrees, broadcast shapes)."""
    x, y, z = np.moveaxis(unit_vectors(lon_deg, lat_deg) @ GALACTIC_FROM_ICRS.T, -1, 0)
    return np.mod(np.degrees(np.arctan2(y, x)), 360.0), np.degrees(np.arctan2(z, np.hypot(x, y)))
