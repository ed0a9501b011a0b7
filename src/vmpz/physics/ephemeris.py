"""Where the Earth and the Sun are, how the Earth is turned, and the ecliptic.

The routines of the IAU's Standards of Fundamental Astronomy, in the ERFA library that astropy rests on: no
tables are read, none are downloaded, no global state is set. Epochs are modified Julian dates in UTC, from 1900 to
2100 (anything else is an InputError); an unknown epoch (NaN) gives NaN. Two things
that only observation knows are left out: UT1 - UTC (at most 0.9 s, so 13.5 arcsec of the Earth's rotation) and
the motion of the pole (0.3 arcsec). TT - UTC is its value since 2017; before, it was smaller by up to 13 s since
1990, during which the Sun moves 0.5 arcsec.

References: Bretagnon & Francou 1988, A&A 202, 309 (Earth, as ``epv00``); McCarthy & Luzum 2003, Celestial Mechanics
and Dynamical Astronomy 85, 37 (precession and nutation IAU 2000B, 1 milliarcsec); Capitaine, Wallace & McCarthy 2003,
A&A 406, 1135 (sidereal time).
"""

import erfa
import numpy as np
from numpy.typing import ArrayLike, NDArray

from vmpz.errors import InputError
from vmpz.physics.sphere import unit_vectors

__all__ = [
    "KM_PER_AU",
    "earth_heliocentric_au",
    "earth_velocity_c",
    "ecliptic_deg",
    "sun_barycentric_au",
    "sun_ecliptic_longitude_deg",
    "to_ecliptic",
    "zenith",
]

Array = NDArray[np.float64]

KM_PER_AU = 149_597_870.7
MJD_ZERO_JD = 2_400_000.5
MJD_RANGE = (15_020.0, 88_069.0)
"""1900 to 2100, where the ephemeris of the Earth is published."""
TT_MINUS_UTC_DAYS = 69.184 / 86_400.0
LIGHT_AU_PER_DAY = 173.144_632_674_24
OBLIQUITY_J2000_DEG = 84_381.406 / 3600.0
"""Obliquity of the ecliptic at J2000, IAU 2006; the frame bias to ICRS (0.02 arcsec) is left out."""


def earth_heliocentric_au(mjd: ArrayLike) -> Array:
    """Vectors ``(..., 3)`` from the Sun to the Earth's centre, ICRS axes, good to 1e-7 au (1900 to 2100)."""
    from_sun, _, _ = _earth(mjd)
    return from_sun


def sun_barycentric_au(mjd: ArrayLike) -> Array:
    """Vectors ``(..., 3)`` from the barycentre of the solar system to the Sun, ICRS axes; up to 0.01 au long."""
    from_sun, from_barycentre, _ = _earth(mjd)
    return from_barycentre - from_sun


def earth_velocity_c(mjd: ArrayLike) -> Array:
    """Barycentric velocity ``(..., 3)`` of the Earth in units of the speed of light: stars shift towards it."""
    _, _, velocity = _earth(mjd)
    return velocity / LIGHT_AU_PER_DAY


def to_ecliptic(vectors: Array) -> Array:
    """Vectors ``(..., 3)`` of ICRS axes turned to the mean ecliptic and equinox of J2000."""
    sine, cosine = np.sin(np.radians(OBLIQUITY_J2000_DEG)), np.cos(np.radians(OBLIQUITY_J2000_DEG))
    x, y, z = np.moveaxis(vectors, -1, 0)
    return np.stack((x, cosine * y + sine * z, cosine * z - sine * y), axis=-1)


def ecliptic_deg(lon_deg: ArrayLike, lat_deg: ArrayLike) -> tuple[Array, Array]:
    """Ecliptic longitude and latitude (J2000, degrees) of ICRS positions in degrees."""
    x, y, z = np.moveaxis(to_ecliptic(unit_vectors(lon_deg, lat_deg)), -1, 0)
    return np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))


def sun_ecliptic_longitude_deg(mjd: ArrayLike) -> Array:
    """Geometric ecliptic longitude of the Sun seen from the Earth's centre, equinox J2000, degrees in [0, 360).

    Aberration would move it by -0.0057 degrees, and a star beside the Sun by the same.
    """
    x, y, _ = np.moveaxis(to_ecliptic(-earth_heliocentric_au(mjd)), -1, 0)
    return np.asarray(np.degrees(np.arctan2(y, x)) % 360.0)


def zenith(mjd: ArrayLike, site_lon_deg: ArrayLike, site_lat_deg: ArrayLike) -> Array:
    """Direction ``(..., 3)`` of a site's zenith on ICRS axes, good to 13.5 arcsec (UT1 - UTC).

    Parameters
    ----------
    mjd : array_like
        Epochs, UTC.
    site_lon_deg, site_lat_deg : array_like
        Geodetic longitude (east positive) and latitude.
    """
    epochs, index = _distinct(mjd)
    with np.errstate(invalid="ignore"):  # unknown epochs stay unknown
        of_date = erfa.pnm00b(MJD_ZERO_JD, epochs + TT_MINUS_UTC_DAYS)[index]
        turned_deg = np.degrees(erfa.gst00b(MJD_ZERO_JD, epochs))[index]
    local = unit_vectors(turned_deg + site_lon_deg, site_lat_deg)
    icrs: Array = np.einsum("...ji,...j->...i", of_date, local)
    return icrs


def _earth(mjd: ArrayLike) -> tuple[Array, Array, Array]:
    """The Earth from the Sun and from the barycentre, au, and its barycentric velocity, au/day."""
    epochs, index = _distinct(mjd)
    known = np.isfinite(epochs)
    heliocentric, barycentric = erfa.epv00(
        MJD_ZERO_JD, np.where(known, epochs, MJD_RANGE[0]) + TT_MINUS_UTC_DAYS
    )
    vectors = (heliocentric["p"], barycentric["p"], barycentric["v"])
    from_sun, from_barycentre, velocity = (
        np.where(known[..., None], vector, np.nan)[index] for vector in vectors
    )
    return from_sun, from_barycentre, velocity


def _distinct(mjd: ArrayLike) -> tuple[Array, NDArray[np.intp]]:
    """The different epochs, UTC, and which of them each is: the detectors of an exposure share one."""
    epochs, index = np.unique(np.asarray(mjd, np.float64), return_inverse=True)
    first, last = MJD_RANGE
    wrong = epochs[(epochs < first) | (epochs > last)]
    if wrong.size:
        raise InputError(
            f"an epoch must be an MJD from {first:.0f} to {last:.0f} (1900 to 2100); found {wrong[0]}"
        )
    return epochs, index.reshape(np.shape(mjd))
