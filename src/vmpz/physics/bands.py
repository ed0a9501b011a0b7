"""Pivot wavelengths of the bands, micrometres.

``sqrt(int T lambda dlambda / int T / lambda dlambda)`` with T the throughput per photon: where a broad band's AB
magnitude stands for a flux density.

Sources. NIR: Euclid Collaboration: Schirmer et al. 2022, A&A 662, A92 (1.0809, 1.3673, 1.7714). VIS: the value that
the solar flux of `vmpz.physics.zodiacal` belongs to; published throughputs of 2019 to 2024 give 0.715 to 0.725.
The others are computed from published total throughputs with atmosphere: DECam g to Y, DES Data Release 1 (Abbott
et al. 2018, ApJS 239, 18), u the mission's filter file of 2014; HSC, Kawanomoto et al. 2018, PASJ 70, 66 (r2 and i2,
the filters since 2016); LSST, syseng throughputs 1.9 (2023); OmegaCAM, ESO's exposure-time calculator with
corrector; MegaCam, the filters of 2015; Pan-STARRS, Tonry et al. 2012, ApJ 750, 99.
"""

from vmpz.errors import InputError

__all__ = ["PIVOT_UM", "pivot_um"]

PIVOT_UM = {
    "VIS": 0.720,
    "NIR_Y": 1.081,
    "NIR_J": 1.367,
    "NIR_H": 1.771,
    "DECAM_u": 0.386,
    "DECAM_g": 0.481,
    "DECAM_r": 0.642,
    "DECAM_i": 0.781,
    "DECAM_z": 0.917,
    "DECAM_Y": 0.990,
    "KIDS_u": 0.365,
    "KIDS_g": 0.477,
    "KIDS_r": 0.629,
    "KIDS_i": 0.750,
    "LSST_u": 0.372,
    "LSST_g": 0.479,
    "LSST_r": 0.621,
    "LSST_i": 0.755,
    "LSST_z": 0.867,
    "LSST_y": 0.975,
    "HSC_g": 0.479,
    "HSC_r": 0.621,
    "HSC_i": 0.773,
    "HSC_z": 0.890,
    "HSC_y": 0.977,
    "MEGACAM_u": 0.368,
    "MEGACAM_r": 0.638,
    "PANSTARRS_i": 0.753,
    "PANSTARRS_z": 0.867,
}
"""Band, as in the keyword FILTER of products, to wavelength."""


def pivot_um(band: str) -> float:
    """Pivot wavelength of a band, micrometres.

    Raises
    ------
    InputError
        The table has no such band; the message lists those it has.
    """
    if band not in PIVOT_UM:
        raise InputError(f"no pivot wavelength is known for band {band}; known: {', '.join(PIVOT_UM)}")
    return PIVOT_UM[band]
