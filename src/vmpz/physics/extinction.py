"""Galactic extinction per band: coefficients ``R_b = A_b / E(B-V)`` of named laws.

The convention alone moves A_VIS by 17 per cent, so a law has a name and belongs to the scale of a map of E(B-V):

``F99-RV3.1``
    Fitzpatrick 1999, PASP 111, 63, R_V = 3.1, at the pivot wavelengths; a true E(B-V).
``SFD``
    The same times 0.86 (Schlafly & Finkbeiner 2011, ApJ 737, 103): for the map of Schlegel, Finkbeiner & Davis 1998.
``Q1``
    As implied by the curve used for the photometry of Euclid's first quick release.
``DES-DR1``
    Abbott et al. 2018, ApJS 239, 18 (section 4.2): Fitzpatrick 1999 for the map of Schlegel et al. 1998.
``HSC-PDR``
    The coefficients of the HSC pipeline (lsst/obs_subaru, ``config/extinctionCoeffs.py``), for that map.
``LSST-CCM89``
    The coefficients of rubin_sim and lsst/obs_lsst: Cardelli, Clayton & Mathis 1989, ApJ 345, 245, R_V = 3.1, a
    flat spectrum.
"""

from collections.abc import Mapping

from vmpz.errors import InputError

__all__ = ["LAWS", "coefficient"]

LAWS: dict[str, dict[str, float]] = {
    "F99-RV3.1": {"VIS": 2.081, "NIR_Y": 1.022, "NIR_J": 0.691, "NIR_H": 0.465},
    "SFD": {"VIS": 1.790, "NIR_Y": 0.879, "NIR_J": 0.595, "NIR_H": 0.400},
    "Q1": {"VIS": 2.10, "NIR_Y": 1.13, "NIR_J": 0.81, "NIR_H": 0.50},
    "DES-DR1": {"DECAM_g": 3.186, "DECAM_r": 2.140, "DECAM_i": 1.569, "DECAM_z": 1.196, "DECAM_Y": 1.048},
    "HSC-PDR": {"HSC_g": 3.240, "HSC_r": 2.276, "HSC_i": 1.633, "HSC_z": 1.263, "HSC_y": 1.075},
    "LSST-CCM89": {
        "LSST_u": 4.757,
        "LSST_g": 3.661,
        "LSST_r": 2.701,
        "LSST_i": 2.054,
        "LSST_z": 1.590,
        "LSST_y": 1.308,
    },
}
"""Law, then band, to A_b / E(B-V)."""


def coefficient(law: str, band: str, given: Mapping[str, float] | None = None) -> float:
    """A_b / E(B-V) of a band by a named law.

    Parameters
    ----------
    law : str
        One of `LAWS`, or any name if `given` has the band.
    band : str
        As in the keyword FILTER of products.
    given : mapping of str to float, optional
        Coefficients by band that go before the law's.

    Raises
    ------
    InputError
        Neither the law nor `given` has the band; the message names what is covered.
    """
    if given and band in given:
        return given[band]
    if law not in LAWS:
        raise InputError(
            f"the extinction law must be one of {', '.join(LAWS)}, or `coefficients` must give band {band}; "
            f"found law {law!r}"
        )
    if band not in LAWS[law]:
        raise InputError(
            f"the extinction law {law} covers {', '.join(LAWS[law])}, not {band}: give it in `coefficients`"
        )
    return LAWS[law][band]
