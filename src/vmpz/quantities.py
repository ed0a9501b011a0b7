"""Quantities: what an info map may collect, with unit, type, meaning, default statistic and degrade rule.

A quantity and a statistic are independent axes; how a map of the two may be brought to a coarser order is a
function of both (`degrade_rule`). A new quantity is one row here and the reader that supplies it.
"""

from dataclasses import dataclass
from typing import Literal

from vmpz.errors import InputError

__all__ = ["QUANTITIES", "Quantity", "degrade_rule", "quantity"]

Source = Literal["plane", "flag", "psf", "exposure", "tile", "external"]


@dataclass(frozen=True)
class Quantity:
    """One row of the table.

    Attributes
    ----------
    name : str
        Value of the keyword INFO and of the XML subtype.
    unit : str
        FITS unit; '' for fractions, counts and native units of the mosaic (whose zero point is in MAGZERO).
    dtype : str
        Type of the map on disk: float32, int64 or float64.
    meaning : str
    statistic : str
        Default statistic.
    rule : str
        Degrade rule of a mean of this quantity.
    source : {'plane', 'flag', 'psf', 'exposure', 'tile', 'external'}
        Image plane `plane`; flag bit named `plane`; PSF stamps; scalars of exposures; the tile itself;
        or a map, model or catalogue from outside.
    plane : str
        The canonical plane, or the name of the flag bit.
    band_independent : bool
        One map for all bands of an area.
    """

    name: str
    unit: str
    meaning: str
    statistic: str
    rule: str
    source: Source
    plane: str = ""
    dtype: str = "float32"
    band_independent: bool = False


QUANTITIES: dict[str, Quantity] = {
    row.name: row
    for row in (
        Quantity(
            "Tile", "", "index of the tile", "VALUE", "MODE", "tile", dtype="int64", band_independent=True
        ),
        Quantity("SAA", "deg", "solar aspect angle", "MEAN", "MEAN", "exposure"),
        Quantity("AA", "deg", "alpha angle", "MEAN", "MEAN", "exposure"),
        Quantity("BA", "deg", "beta angle", "MEAN", "MEAN", "exposure"),
        Quantity("Exposures", "", "number of exposures", "COUNT", "MEAN", "exposure"),
        Quantity("ExposureTime", "s", "exposure time", "SUM", "MEAN", "exposure"),
        Quantity(
            "MJD", "d", "modified Julian date of observation", "MEAN", "MEAN", "exposure", dtype="float64"
        ),
        Quantity("Seeing", "arcsec", "FWHM of point sources in the exposure", "MEDIAN", "MEAN", "exposure"),
        Quantity("Airmass", "", "airmass", "WMEAN", "MEAN", "exposure"),
        Quantity("AtmosphericExtinction", "mag", "extinction by the atmosphere", "WMEAN", "MEAN", "exposure"),
        Quantity("Weight", "", "inverse variance per image pixel", "SUM", "MEAN", "exposure"),
        Quantity("Noise", "", "noise sigma per image pixel", "RMSQ", "QUAD", "plane", "RMS"),
        Quantity("Background", "", "background per image pixel", "MEAN", "MEAN", "plane", "BACKGROUND"),
        Quantity("Persistence", "", "fraction flagged as persistence", "MEAN", "COVERAGE", "flag", "PERSIST"),
        Quantity("PSF", "arcsec", "FWHM of the PSF", "MEAN", "QUAD", "psf"),
        Quantity("GalacticExtinction", "mag", "galactic extinction in the band", "MEAN", "MEAN", "external"),
        Quantity("ZodiacalLight", "MJy sr-1", "zodiacal light in the band", "WMEAN", "MEAN", "external"),
        Quantity(
            "StarDensity", "deg-2", "density of stars", "VALUE", "MEAN", "external", band_independent=True
        ),
        Quantity("StarBrightnessMean", "mag", "mean magnitude of stars", "MEAN", "MEAN", "external"),
        Quantity("StarBrightnessStd", "mag", "scatter of magnitudes of stars", "STD", "MEAN", "external"),
        Quantity("GalaxyDensity", "deg-2", "density of galaxies", "VALUE", "MEAN", "external"),
        Quantity("PhzQuality", "", "quality of photometric redshifts", "MEAN", "MEAN", "external"),
    )
}
"""All quantities by name, as the published cards and the lists of survey masks name them."""


def quantity(name: str) -> Quantity:
    """The row of a name.

    Raises
    ------
    InputError
        There is no such quantity; the message lists those that exist.
    """
    if name not in QUANTITIES:
        raise InputError(f"a quantity must be one of {', '.join(QUANTITIES)}; found {name}")
    return QUANTITIES[name]


def degrade_rule(name: str, statistic: str) -> str:
    """The rule by which a map of this quantity and statistic may be degraded; 'NONE' if it may not.

    COUNT and SUM are area-additive (COVERAGE); extremes stay extremes; MODE and VALUE take the value of largest
    weight, except that a quantity which is a VALUE by nature (a density) keeps its own rule, as means do; order
    statistics, scatter and identities of extremes cannot be had from maps: remade from cell statistics.

    >>> degrade_rule("Noise", "RMSQ"), degrade_rule("PSF", "MEDIAN")
    ('QUAD', 'NONE')
    """
    row = quantity(name)
    if statistic in ("COUNT", "SUM"):
        return "COVERAGE"
    if statistic in ("MIN", "MAX", "MODE"):
        return statistic
    if statistic == "VALUE":
        return row.rule if row.statistic == "VALUE" else "MODE"
    return row.rule if statistic in ("MEAN", "WMEAN", "RMSQ") else "NONE"
