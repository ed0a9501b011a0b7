"""Quantities: what an info map may collect, with unit, type, meaning, default statistic and degrade rule.

A quantity and a statistic are independent axes; how a map of the two may be brought to a coarser order is a
function of both (`degrade_rule`). A new quantity is one row here and the reader that supplies it; a row of another
package comes by an entry point of group ``vmpz.quantities``.
"""

from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Literal

from vmpz.errors import InputError, meant

__all__ = ["QUANTITIES", "Quantity", "degrade_rule", "quantity"]

Source = Literal["plane", "flag", "psf", "exposure", "tile", "sky", "catalogue"]


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
    source : {'plane', 'flag', 'psf', 'exposure', 'tile', 'sky', 'catalogue'}
        Image plane `plane`; flag bit named `plane`; PSF stamps; scalars of exposures; the tile itself; a map of the sky
        from outside; or a catalogue of role `plane`. What a frame has no plane or stamps for is taken from the scalars
        of its exposures.
    plane : str
        The canonical plane, the name of the flag bit, or the role of the catalogue.
    band_independent : bool
        One map for all bands of an area.
    circular : bool
        An angle that wraps: its means are directions of mean vectors, and no map of it can be degraded.
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
    circular: bool = False


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
        Quantity("ParallacticAngle", "deg", "parallactic angle", "MEAN", "NONE", "exposure", circular=True),
        Quantity("DCR1", "", "refraction along right ascension, tan z sin q", "WMEAN", "MEAN", "exposure"),
        Quantity("DCR2", "", "refraction along declination, tan z cos q", "WMEAN", "MEAN", "exposure"),
        Quantity("DCRE1", "", "ellipticity by refraction, tan^2 z cos 2q", "WMEAN", "MEAN", "exposure"),
        Quantity("DCRE2", "", "ellipticity by refraction, tan^2 z sin 2q", "WMEAN", "MEAN", "exposure"),
        Quantity("ZodiacalLight", "MJy sr-1", "zodiacal light in the band", "WMEAN", "MEAN", "exposure"),
        Quantity("Weight", "", "inverse variance per image pixel", "SUM", "MEAN", "plane", "WEIGHT"),
        Quantity("Noise", "", "noise sigma per image pixel", "RMSQ", "QUAD", "plane", "RMS"),
        Quantity("Background", "", "background per image pixel", "MEAN", "MEAN", "plane", "BACKGROUND"),
        Quantity("Persistence", "", "fraction flagged as persistence", "MEAN", "COVERAGE", "flag", "PERSIST"),
        Quantity("PSF", "arcsec", "FWHM of the PSF", "MEAN", "QUAD", "psf"),
        Quantity("PSFE1", "", "ellipticity e1 of the PSF, positive to the west", "MEAN", "MEAN", "psf"),
        Quantity("PSFE2", "", "ellipticity e2 of the PSF, positive to the north-west", "MEAN", "MEAN", "psf"),
        Quantity("GalacticExtinction", "mag", "galactic extinction in the band", "MEAN", "MEAN", "sky"),
        Quantity(
            "StarDensity",
            "deg-2",
            "density of stars",
            "VALUE",
            "MEAN",
            "catalogue",
            "stars",
            band_independent=True,
        ),
        Quantity(
            "StarBrightnessMean", "mag", "mean magnitude of stars", "MEAN", "MEAN", "catalogue", "stars"
        ),
        Quantity(
            "StarBrightnessStd", "mag", "scatter of magnitudes of stars", "STD", "MEAN", "catalogue", "stars"
        ),
        Quantity("GalaxyDensity", "deg-2", "density of galaxies", "VALUE", "MEAN", "catalogue", "galaxies"),
        Quantity("PhzQuality", "", "quality of photometric redshifts", "MEAN", "MEAN", "catalogue", "photoz"),
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
    if name not in QUANTITIES and name not in _others():
        known = (*QUANTITIES, *_others())
        raise InputError(f"a quantity must be one of {', '.join(known)}; found {name}{meant(name, known)}")
    return QUANTITIES.get(name) or _others()[name]


@cache
def _others() -> dict[str, Quantity]:
    """Rows of other packages."""
    return {point.name: point.load() for point in entry_points(group="vmpz.quantities")}


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
