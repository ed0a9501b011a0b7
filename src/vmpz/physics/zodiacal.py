"""Zodiacal light as a function of position and date: Leinert et al. 1998, and its units.

Table 17 of Leinert et al. gives the brightness at 0.5 um seen from the Earth's orbit, over helioecliptic longitude
``|lambda - lambda_sun|`` and ecliptic latitude ``|beta|``, symmetric in both. Between the nodes its logarithm is
interpolated bilinearly; where a needed node is empty, and below 15 degrees from the Sun, there is no value. At
another wavelength the spectrum is that of the Sun, relative to 0.5 um, times the colour correction

``f_co = 1 + c log10(lambda / 0.5 um)``, c = 0.6 above 90 degrees of elongation, 0.8 below 30, linear between
(below 0.5 um: 0.9 and 1.2).

The table is good to about 10 per cent. It knows no season: the tilt of the dust's plane against the ecliptic and
the Earth's changing distance from the Sun (together up to 10 per cent) are in `vmpz.physics.kelsall` alone.
Longitudes are those of J2000; the Sun is where the Earth's centre sees it.

The Sun's spectrum: four nodes of Colina, Bohlin & Castelli 1996 at the Euclid bands; elsewhere means over 0.05 um
(0.1 um from 0.7 um) of the extraterrestrial spectrum of ASTM G173-03, which agrees with those four to 2 per cent.

References: Leinert et al. 1998, A&AS 127, 1 (table 17, equation 22); Colina, Bohlin & Castelli 1996, AJ 112, 307;
ASTM G173-03.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vmpz.errors import InputError
from vmpz.physics.ephemeris import ecliptic_deg, sun_ecliptic_longitude_deg

__all__ = [
    "SMALLEST_ELONGATION_DEG",
    "SOLAR_FLUX",
    "ab_mag_per_arcsec2",
    "colour_factor",
    "elongation_deg",
    "leinert_mjy_sr",
    "mjy_sr_of_radiance",
    "solar_flux_at",
    "table_radiance",
]

Array = NDArray[np.float64]

SMALLEST_ELONGATION_DEG = 15.0
WAVELENGTHS_UM = (0.25, 2.5)
"""Where the colour correction is published."""

LIGHT_M_S = 299_792_458.0
SQUARE_ARCSEC_PER_SR = (180.0 * 3600.0 / np.pi) ** 2
AB_ZERO_JY = 3630.780_547_701_0141
"""Flux density of AB magnitude 0: 10**(-48.6 / 2.5) erg s-1 cm-2 Hz-1."""

LATITUDES_DEG = np.array([0, 5, 10, 15, 20, 25, 30, 45, 60, 75, 90], np.float64)
LONGITUDES_DEG = np.array(
    [0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 60, 75, 90, 105, 120, 135, 150, 165, 180], np.float64
)
EMPTY = np.nan
TABLE = np.array(
    [
        [EMPTY, EMPTY, EMPTY, 3140, 1610, 985, 640, 275, 150, 100, 77],
        [EMPTY, EMPTY, EMPTY, 2940, 1540, 945, 625, 271, 150, 100, 77],
        [EMPTY, EMPTY, 4740, 2470, 1370, 865, 590, 264, 148, 100, 77],
        [11500, 6780, 3440, 1860, 1110, 755, 525, 251, 146, 100, 77],
        [6400, 4480, 2410, 1410, 910, 635, 454, 237, 141, 99, 77],
        [3840, 2830, 1730, 1100, 749, 545, 410, 223, 136, 97, 77],
        [2480, 1870, 1220, 845, 615, 467, 365, 207, 131, 95, 77],
        [1650, 1270, 910, 680, 510, 397, 320, 193, 125, 93, 77],
        [1180, 940, 700, 530, 416, 338, 282, 179, 120, 92, 77],
        [910, 730, 555, 442, 356, 292, 250, 166, 116, 90, 77],
        [505, 442, 352, 292, 243, 209, 183, 134, 104, 86, 77],
        [338, 317, 269, 227, 196, 172, 151, 116, 93, 82, 77],
        [259, 251, 225, 193, 166, 147, 132, 104, 86, 79, 77],
        [212, 210, 197, 170, 150, 133, 119, 96, 82, 77, 77],
        [188, 186, 177, 154, 138, 125, 113, 90, 77, 74, 77],
        [179, 178, 166, 147, 134, 122, 110, 90, 77, 73, 77],
        [179, 178, 165, 148, 137, 127, 116, 96, 79, 72, 77],
        [196, 192, 179, 165, 151, 141, 131, 104, 82, 72, 77],
        [230, 212, 195, 178, 163, 148, 134, 105, 83, 72, 77],
    ]
)
"""1e-8 W m-2 sr-1 um-1 at 0.5 um, by helioecliptic longitude (rows) and latitude (columns)."""

LOG_TABLE = np.log(TABLE)

SOLAR_FLUX = {
    0.35: 0.527,
    0.375: 0.565,
    0.40: 0.740,
    0.425: 0.906,
    0.45: 0.982,
    0.475: 1.038,
    0.50: 1.0,
    0.55: 0.967,
    0.60: 0.917,
    0.65: 0.825,
    0.72: 0.701,
    0.80: 0.590,
    0.85: 0.524,
    0.90: 0.472,
    0.95: 0.427,
    1.00: 0.383,
    1.08: 0.315,
    1.20: 0.258,
    1.37: 0.188,
    1.50: 0.152,
    1.77: 0.092,
    2.00: 0.060,
    2.50: 0.026,
}
"""Wavelength, um, to the Sun's flux per unit wavelength over that at 0.5 um."""


def leinert_mjy_sr(
    lon_deg: ArrayLike,
    lat_deg: ArrayLike,
    mjd: ArrayLike,
    wavelength_um: float,
    solar_flux: float | None = None,
) -> Array:
    """Zodiacal light of Leinert et al. 1998, MJy/sr.

    Parameters
    ----------
    lon_deg, lat_deg : array_like
        ICRS positions.
    mjd : array_like
        Epochs, UTC; broadcast with the positions: (n,) positions and (k, 1) epochs give (k, n).
    wavelength_um : float
        0.25 to 2.5 um.
    solar_flux : float, optional
        The Sun's flux per unit wavelength over that at 0.5 um; by default interpolated in `SOLAR_FLUX`.

    Raises
    ------
    InputError
        A position is less than 15 degrees from the Sun, or needs an empty node of the table; the wavelength is
        outside the published range, or outside `SOLAR_FLUX` and no solar flux was given.
    """
    low, high = WAVELENGTHS_UM
    if not low <= wavelength_um <= high:
        raise InputError(f"the Leinert model holds from {low} to {high} um; found {wavelength_um} um")
    flux = solar_flux_at(wavelength_um) if solar_flux is None else solar_flux
    lon, lat = ecliptic_deg(lon_deg, lat_deg)
    from_sun = np.abs((lon - sun_ecliptic_longitude_deg(mjd) + 180.0) % 360.0 - 180.0)
    lat = np.abs(lat)
    radiance = table_radiance(from_sun, lat)
    radiance *= flux * colour_factor(wavelength_um, elongation_deg(from_sun, lat))
    return mjy_sr_of_radiance(radiance, wavelength_um)


def table_radiance(helioecliptic_lon_deg: ArrayLike, ecliptic_lat_deg: ArrayLike) -> Array:
    """Brightness at 0.5 um, 1e-8 W m-2 sr-1 um-1: table 17, log-bilinear, symmetric in both angles.

    Parameters
    ----------
    helioecliptic_lon_deg : array_like
        Longitude from the Sun, -180 to 180 degrees.
    ecliptic_lat_deg : array_like

    Raises
    ------
    InputError
        An elongation below 15 degrees, or a value that needs an empty node of the table.
    """
    lon, lat = np.abs(np.asarray(helioecliptic_lon_deg, np.float64)), np.abs(np.asarray(ecliptic_lat_deg))
    nearest = float(np.min(elongation_deg(lon, lat), initial=180.0))
    if nearest < SMALLEST_ELONGATION_DEG * (1.0 - 1e-12):
        raise InputError(
            f"the Leinert model holds from {SMALLEST_ELONGATION_DEG} deg from the Sun on; found {nearest:.4f} deg"
        )
    row, down = _between(lon, LONGITUDES_DEG)
    column, right = _between(lat, LATITUDES_DEG)
    log: Array = np.zeros(np.broadcast_shapes(row.shape, column.shape))
    for step_down, weight_down in ((0, 1.0 - down), (1, down)):
        for step_right, weight_right in ((0, 1.0 - right), (1, right)):
            weight = weight_down * weight_right
            node = LOG_TABLE[row + step_down, column + step_right]
            log += np.where(weight > 0.0, weight * node, 0.0)
    if np.isnan(log).any():
        at = (
            np.broadcast_to(lon, log.shape)[np.isnan(log)][0],
            np.broadcast_to(lat, log.shape)[np.isnan(log)][0],
        )
        raise InputError(
            f"the Leinert table has no value around {at[0]:.4f} deg of longitude from the Sun and latitude "
            f"{at[1]:.4f} deg ({int(np.isnan(log).sum())} positions)"
        )
    return np.asarray(np.exp(log))


def elongation_deg(helioecliptic_lon_deg: ArrayLike, ecliptic_lat_deg: ArrayLike) -> Array:
    """Angle from the Sun: ``cos e = cos beta cos dlambda``, degrees."""
    cosine = np.cos(np.radians(ecliptic_lat_deg)) * np.cos(np.radians(helioecliptic_lon_deg))
    return np.asarray(np.degrees(np.arccos(cosine)))


def colour_factor(wavelength_um: float, elongation_deg: ArrayLike) -> Array:
    """Colour of the zodiacal light relative to the Sun, ``f_co``; 1 at 0.5 um, redder near the Sun."""
    far, near = (0.6, 0.8) if wavelength_um > 0.5 else (0.9, 1.2)
    slope = np.interp(np.asarray(elongation_deg, np.float64), [30.0, 90.0], [near, far])
    return np.asarray(1.0 + slope * np.log10(wavelength_um / 0.5))


def solar_flux_at(wavelength_um: float) -> float:
    """The Sun's flux per unit wavelength over that at 0.5 um: `SOLAR_FLUX`, straight in logarithms.

    Raises
    ------
    InputError
        The wavelength is outside the table.
    """
    nodes = np.array(list(SOLAR_FLUX))
    if not nodes[0] <= wavelength_um <= nodes[-1]:
        raise InputError(
            f"the solar flux is known from {nodes[0]} to {nodes[-1]} um; found {wavelength_um} um: give solar_flux"
        )
    if wavelength_um in SOLAR_FLUX:
        return SOLAR_FLUX[wavelength_um]
    return float(np.exp(np.interp(np.log(wavelength_um), np.log(nodes), np.log(list(SOLAR_FLUX.values())))))


def mjy_sr_of_radiance(radiance: ArrayLike, wavelength_um: float) -> Array:
    """MJy/sr of a radiance in 1e-8 W m-2 sr-1 um-1: ``I_nu = I_lambda lambda**2 / c``."""
    per_metre = np.asarray(radiance, np.float64) * 1e-2
    return np.asarray(per_metre * (wavelength_um * 1e-6) ** 2 / LIGHT_M_S / 1e-20)


def ab_mag_per_arcsec2(mjy_sr: ArrayLike) -> Array:
    """AB magnitude per square arcsec of a surface brightness in MJy/sr."""
    jansky = np.asarray(mjy_sr, np.float64) * 1e6 / SQUARE_ARCSEC_PER_SR
    return np.asarray(-2.5 * np.log10(jansky / AB_ZERO_JY))


def _between(values: Array, nodes: Array) -> tuple[NDArray[np.intp], Array]:
    """Index of the node below each value, and the share of the way to the next."""
    below = np.clip(np.searchsorted(nodes, values, side="right") - 1, 0, len(nodes) - 2)
    return below, (values - nodes[below]) / (nodes[below + 1] - nodes[below])
