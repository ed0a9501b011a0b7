"""What exposures do not say themselves: computed from site, time, pointing and orbit, and brought to one zero point.

==========================================  =================================================================
Airmass                                     of the pointing (else the middle of the detector) at start, middle
                                            and end of the exposure, seen from the site
ParallacticAngle, DCR1, DCR2, DCRE1, DCRE2  at the middle of the exposure, from the site
AtmosphericExtinction                       extinction of the band in mag per airmass ([site]) times Airmass
SAA, AA, BA                                 from the direction to the Sun seen from the spacecraft, where its
                                            position is known, and the attitude
ZodiacalLight                               of a model, at every cell, at the epoch of the exposure
Weight                                      1 / Noise^2 where only the noise is given
PSF                                         the Seeing, where no other width is given
Weight, Noise, Background                   in units of the zero point of [exposures]
==========================================  =================================================================

A value that the files give is never computed.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError, MissingProductError
from vmpz.frames import Exposures
from vmpz.make.exposuremaps import Field
from vmpz.parameters import Parameters
from vmpz.physics import atmosphere, kelsall, solarangles, zodiacal
from vmpz.physics.bands import PIVOT_UM
from vmpz.sky.covers import unit_vectors

__all__ = ["completed", "have_zero_points", "zero_point_factor", "zodiacal_light"]

Array = NDArray[np.float64]
Columns = dict[str, Array]

FLUXES = {"Noise": 1.0, "Background": 1.0, "Weight": -2.0}
"""Scalars in units of flux, and the power of the unit in them."""
OF_SPACECRAFT = ("PositionX", "SAA")
"""Scalars that no exposure from the ground has."""
SECONDS_PER_DAY = 86_400.0


def completed(exposures: Exposures, band: str, parameters: Parameters) -> Exposures:
    """The exposures with all scalars that can be computed, in the units of the parameters' zero point.

    Parameters
    ----------
    exposures : Exposures
    band : str
    parameters : Parameters
        [site] and [exposures].

    Raises
    ------
    InputError
        Fluxes of some exposures have a zero point, those of others do not.
    """
    table = dict(exposures.scalars)
    for fill in (_weights, _widths, _atmosphere, _solar_angles):
        for name, values in fill(table, exposures, band, parameters).items():
            known = table.get(name, np.full(len(exposures), np.nan))
            table[name] = np.where(np.isfinite(known), known, values)
    table |= _scaled(table, exposures, parameters.exposures.zero_point)
    return replace(exposures, scalars=table)


def have_zero_points(exposures: Exposures) -> bool:
    """Whether exposures have zero points, so that fluxes can be brought to one.

    Raises
    ------
    InputError
        Some have one, others do not: fluxes of both must not be mixed.
    """
    known = np.isfinite(exposures.scalars.get("Zeropoint", np.full(len(exposures), np.nan)))
    if known.any() and not known.all():
        raise InputError(
            f"{exposures.ids[int(np.flatnonzero(~known)[0])]}: must have a zero point, as the other exposures do"
        )
    return bool(known.any())


def zero_point_factor(zero_point: float, target: float) -> float:
    """Factor from flux units of one zero point to those of another, ``10**(0.4 (target - zp))``."""
    return float(10.0 ** (0.4 * (target - zero_point)))


def zodiacal_light(exposures: Exposures, band: str, parameters: Parameters) -> Field:
    """The zodiacal light (MJy/sr) of a band as a function of exposure and position.

    Raises
    ------
    MissingProductError
        An exposure has no epoch.
    InputError
        The model does not reach the band, or has no wavelength for it.
    """
    chosen = parameters.zodiacal
    wavelength = chosen.wavelength_um.get(band, PIVOT_UM.get(band))
    if wavelength is None:
        raise InputError(
            f"[zodiacal] wavelength_um must name band {band}; known are {', '.join(sorted(PIVOT_UM))}"
        )
    mjd = exposures.scalars.get("MJD", np.full(len(exposures), np.nan))
    unknown = np.flatnonzero(~np.isfinite(mjd))
    if unknown.size:
        raise MissingProductError(
            f"ZodiacalLight needs the epoch of every exposure; {exposures.ids[unknown[0]]} has none"
        )

    def leinert(rows: NDArray[np.int64], lon_deg: Array, lat_deg: Array) -> Array:
        return zodiacal.leinert_mjy_sr(
            lon_deg, lat_deg, mjd[rows], wavelength, solar_flux=chosen.solar_flux.get(band)
        )

    def smooth_cloud(rows: NDArray[np.int64], lon_deg: Array, lat_deg: Array) -> Array:
        return kelsall.kelsall_mjy_sr(lon_deg, lat_deg, mjd[rows], wavelength)

    return leinert if chosen.model == "leinert" else smooth_cloud


def _weights(table: Mapping[str, Array], exposures: Exposures, band: str, parameters: Parameters) -> Columns:
    return {"Weight": table["Noise"] ** -2.0} if "Noise" in table else {}


def _widths(table: Mapping[str, Array], exposures: Exposures, band: str, parameters: Parameters) -> Columns:
    return {"PSF": table["Seeing"]} if "Seeing" in table else {}


def _atmosphere(
    table: Mapping[str, Array], exposures: Exposures, band: str, parameters: Parameters
) -> Columns:
    """From site, time and pointing, as far as they are known; nothing above the atmosphere."""
    unknown = np.full(len(exposures), np.nan)
    if any(np.isfinite(table.get(name, unknown)).any() for name in OF_SPACECRAFT):
        return {}
    site = {
        "site_lon_deg": _else(table.get("SiteLon"), parameters.site.lon_deg, unknown),
        "site_lat_deg": _else(table.get("SiteLat"), parameters.site.lat_deg, unknown),
    }
    lon, lat = _pointing(table, exposures)
    middle = table.get("MJD", unknown)
    seconds = table.get("ExposureTime", unknown)
    computed: Columns = {}
    if np.isfinite(site["site_lon_deg"] + site["site_lat_deg"] + middle).any():
        zenith = atmosphere.zenith_distance_deg(lon, lat, middle, **site)
        angle = atmosphere.parallactic_angle_deg(lon, lat, middle, **site)
        start = middle - 0.5 * np.nan_to_num(seconds) / SECONDS_PER_DAY
        computed["Airmass"] = atmosphere.mean_airmass(lon, lat, start, np.nan_to_num(seconds), **site)
        computed["ParallacticAngle"] = angle
        computed["DCR1"], computed["DCR2"] = atmosphere.refraction_templates(zenith, angle)
        computed["DCRE1"], computed["DCRE2"] = atmosphere.ellipticity_templates(zenith, angle)
    coefficient = parameters.site.extinction.get(band)
    if coefficient is not None:
        airmass = table.get("Airmass", unknown)
        airmass = np.where(np.isfinite(airmass), airmass, computed.get("Airmass", unknown))
        computed["AtmosphericExtinction"] = atmosphere.atmospheric_extinction_mag(coefficient, airmass)
    return computed


def _solar_angles(
    table: Mapping[str, Array], exposures: Exposures, band: str, parameters: Parameters
) -> Columns:
    """From the position of the spacecraft and its attitude."""
    if not {"PositionX", "PositionY", "PositionZ", "MJD"} <= table.keys():
        return {}
    position = np.stack([table[f"Position{axis}"] for axis in "XYZ"], axis=1)
    known = np.flatnonzero(np.isfinite(position).all(axis=1) & np.isfinite(table["MJD"]))
    lon, lat = (values[known] for values in _pointing(table, exposures))
    origin = parameters.exposures.position_origin
    sun = solarangles.sun_direction(table["MJD"][known], position[known], origin=origin)
    computed: Columns = {"SAA": np.full(len(exposures), np.nan)}
    computed["SAA"][known] = solarangles.solar_aspect_angle_deg(lon, lat, sun)
    computed["BA"] = computed["SAA"] - 90.0
    if "PositionAngle" in table:
        computed["AA"] = np.full(len(exposures), np.nan)
        computed["AA"][known] = solarangles.alpha_angle_deg(lon, lat, table["PositionAngle"][known], sun)
    return computed


def _scaled(table: Mapping[str, Array], exposures: Exposures, target: float) -> Columns:
    present = {name: power for name, power in FLUXES.items() if name in table}
    if not present or not have_zero_points(exposures):
        return {}
    factor = 10.0 ** (0.4 * (target - table["Zeropoint"]))
    return {name: table[name] * factor**power for name, power in present.items()}


def _pointing(table: Mapping[str, Array], exposures: Exposures) -> tuple[Array, Array]:
    """Pointing of every exposure, else the middle of the detector."""
    vectors = unit_vectors(exposures.corners[..., 0], exposures.corners[..., 1]).sum(axis=1)
    x, y, z = vectors.T
    middle = (np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y))))
    return tuple(  # type: ignore[return-value]
        _else(table.get(name), None, values)
        for name, values in zip(("PointingLon", "PointingLat"), middle, strict=True)
    )


def _else(values: Array | None, given: float | None, otherwise: Array) -> Array:
    """Values of the files, else the parameter, else something else."""
    other = otherwise if given is None else np.full(otherwise.shape, float(given))
    return other if values is None else np.where(np.isfinite(values), values, other)
