"""The atmosphere above a telescope: airmass, extinction, and the templates of differential chromatic refraction.

Airmass is the polynomial of Hardie (1962) in ``sec z - 1``,
``X = sec z - 0.0018167 (sec z - 1) - 0.002875 (sec z - 1)**2 - 0.0008083 (sec z - 1)**3``, good to 0.1 per cent
to X = 6.8 (z = 82 degrees) and to 1 per cent at z = 85; beyond, and below the horizon, it is not defined here: NaN.

Zenith distances are geometric (above no atmosphere), good to 0.004 degrees, which is UT1 - UTC; precession,
nutation and annual aberration are applied. Refraction would raise a source by 58 arcsec tan z and lower its
airmass by 0.002 at z = 60. The parallactic angle is the position angle of the zenith from the north of ICRS through
east, as a north-up map needs it (the north of date differs by up to 0.15 deg / cos lat in 2025): positive west of
the meridian.

References: Hardie 1962, in Astronomical Techniques (ed. Hiltner), 178; Plazas & Bernstein 2012, PASP 124, 1113 and
Meyers & Burchat 2015, ApJ 807, 182 (shift tan z along the parallactic direction, second moments tan**2 z).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vmpz.physics.ephemeris import earth_velocity_c, zenith
from vmpz.physics.sphere import angle_between_deg, position_angle_deg, unit_vectors

__all__ = [
    "LARGEST_ZENITH_DISTANCE_DEG",
    "airmass",
    "atmospheric_extinction_mag",
    "ellipticity_templates",
    "mean_airmass",
    "parallactic_angle_deg",
    "refraction_templates",
    "zenith_distance_deg",
]

Array = NDArray[np.float64]

LARGEST_ZENITH_DISTANCE_DEG = 85.0
"""Where the polynomial is still good to 1 per cent."""

SECONDS_PER_DAY = 86_400.0


def airmass(zenith_distance_deg: ArrayLike) -> Array:
    """Airmass X(z) of Hardie (1962); 1 at the zenith, NaN for z < 0 and z > 85 degrees."""
    z = np.asarray(zenith_distance_deg, np.float64)
    inside = np.where((z >= 0.0) & (z <= LARGEST_ZENITH_DISTANCE_DEG), z, np.nan)
    secant = 1.0 / np.cos(np.radians(inside))
    excess = secant - 1.0
    return np.asarray(secant - excess * (0.0018167 + excess * (0.002875 + excess * 0.0008083)))


def zenith_distance_deg(
    lon_deg: ArrayLike,
    lat_deg: ArrayLike,
    mjd: ArrayLike,
    *,
    site_lon_deg: ArrayLike,
    site_lat_deg: ArrayLike,
) -> Array:
    """Geometric zenith distance of ICRS positions, 0 to 180 degrees, good to 0.004 degrees.

    Parameters
    ----------
    lon_deg, lat_deg : array_like
        Right ascension and declination, ICRS.
    mjd : array_like
        Epochs, UTC; broadcast with the positions.
    site_lon_deg, site_lat_deg : array_like
        Geodetic longitude (east positive) and latitude of the telescope; broadcast with the epochs.
    """
    apparent = unit_vectors(lon_deg, lat_deg) + earth_velocity_c(mjd)
    return angle_between_deg(apparent, zenith(mjd, site_lon_deg, site_lat_deg))


def parallactic_angle_deg(
    lon_deg: ArrayLike,
    lat_deg: ArrayLike,
    mjd: ArrayLike,
    *,
    site_lon_deg: ArrayLike,
    site_lat_deg: ArrayLike,
) -> Array:
    """Position angle of the zenith from ICRS north through east, -180 to 180 degrees; as `zenith_distance_deg`."""
    return position_angle_deg(lon_deg, lat_deg, zenith(mjd, site_lon_deg, site_lat_deg))


def mean_airmass(
    lon_deg: ArrayLike,
    lat_deg: ArrayLike,
    mjd_start: ArrayLike,
    exposure_s: ArrayLike,
    *,
    site_lon_deg: ArrayLike,
    site_lat_deg: ArrayLike,
) -> Array:
    """Mean of the airmasses at the start, the middle and the end of exposures; NaN if one of them is.

    Parameters
    ----------
    lon_deg, lat_deg, site_lon_deg, site_lat_deg : array_like
        As in `zenith_distance_deg`.
    mjd_start, exposure_s : array_like
        Start (UTC) and duration.
    """
    start, days = np.asarray(mjd_start, np.float64), np.asarray(exposure_s, np.float64) / SECONDS_PER_DAY
    site = {"site_lon_deg": site_lon_deg, "site_lat_deg": site_lat_deg}
    instants = (start, start + days / 2.0, start + days)
    return np.asarray(
        sum(airmass(zenith_distance_deg(lon_deg, lat_deg, at, **site)) for at in instants) / 3.0
    )


def atmospheric_extinction_mag(coefficient_mag_per_airmass: ArrayLike, airmass: ArrayLike) -> Array:
    """Extinction ``k X`` of the atmosphere; k belongs to a site and a band."""
    return np.asarray(np.asarray(coefficient_mag_per_airmass, np.float64) * np.asarray(airmass, np.float64))


def refraction_templates(
    zenith_distance_deg: ArrayLike, parallactic_angle_deg: ArrayLike
) -> tuple[Array, Array]:
    """``tan z sin q`` and ``tan z cos q``: shift of a band's centroid with colour, towards east and north.

    NaN for z > 85 degrees, where refraction is no longer proportional to tan z.
    """
    slant, q = _slant(zenith_distance_deg), np.radians(parallactic_angle_deg)
    return slant * np.sin(q), slant * np.cos(q)


def ellipticity_templates(
    zenith_distance_deg: ArrayLike, parallactic_angle_deg: ArrayLike
) -> tuple[Array, Array]:
    """``tan**2 z cos 2q`` and ``tan**2 z sin 2q``: smearing of the PSF within a band; NaN for z > 85 degrees.

    With q from north through east the first grows along north and the second along north-east. On the axes of
    `vmpz.physics.moments` (x = west, y = north), e1 goes as minus the first and e2 as minus the second.
    """
    slant, q = _slant(zenith_distance_deg), np.radians(parallactic_angle_deg)
    return slant**2 * np.cos(2.0 * q), slant**2 * np.sin(2.0 * q)


def _slant(zenith_distance_deg: ArrayLike) -> Array:
    z = np.asarray(zenith_distance_deg, np.float64)
    inside = np.where((z >= 0.0) & (z <= LARGEST_ZENITH_DISTANCE_DEG), z, np.nan)
    return np.asarray(np.tan(np.radians(inside)))
