"""What maps, keywords and terms are called and what they mean, for people."""

from collections.abc import Mapping

from vmpz.errors import InputError
from vmpz.products import ProductKey, Scalar
from vmpz.quantities import quantity
from vmpz.report.figures import TITLES

__all__ = ["KEYWORDS", "TERMS", "definition_of", "title_of"]

STATISTICS = {
    "MEAN": "mean", "WMEAN": "weighted mean", "RMSQ": "root mean square", "MEDIAN": "median", "SUM": "sum",
    "COUNT": "number", "VALUE": "value", "MIN": "smallest", "MAX": "largest", "STD": "scatter", "MODE": "most frequent",
}  # fmt: skip

KEYWORDS = (
    "BITSEL", "BITTABLE", "STATIST", "SAMPLE", "DEPTHEST", "SNRLEVEL", "APERDIAM", "PIXSCALE", "PSFKIND", "SRCPROF",
    "CORRFAC", "CORRSRC", "EXTCORR", "EXTLAW", "MAGZERO", "BINSEL", "VISSEL", "VISREF", "VISMAX", "VISINTEG",
    "COVCONV", "DEGRULE", "VERIFIED",
)  # fmt: skip
"""Keywords of a file that say what its values are; -1 is not used."""

TERMS = {
    "cell": "A pixel of HEALPix, nested numbering, ICRS. At order k a cell is 58.6° / 2^k wide: 25.8″ at order 13, "
    "12.9″ at order 14. A cell belongs to the tile whose core holds its centre.",
    "observed fraction": "Share of the area of a cell that was observed: 1 is all of it, and a cell that is not listed "
    "has 0. Footprint, coverage and effective coverage are observed fractions.",
    "footprint": "Where there is an image at all, with valid noise.",
    "coverage": "Observed fraction of a band without the pixels that selected flag bits or masks hit.",
    "effective coverage": "Observed fraction of several bands together, from the good pixels that they share.",
    "flagged fraction": "Share of the area of a cell that a flag bit hits: 0 is clean. With several bits: hit by any.",
    "depth": "Magnitude at which a source reaches a signal-to-noise ratio; its definition stands below each map "
    "(keywords DEPTHEST, SNRLEVEL, APERDIAM, CORRFAC, EXTCORR).",
    "visibility": "Probability that a galaxy of a class is seen, relative to a reference depth, times the observed "
    "fraction. It may exceed 1 where the survey is deeper than the reference.",
    "random catalogue": "Points whose density follows a visibility map.",
    "hole": "Area inside the core of a tile that is not listed, or listed with 0.",
    "seam": "The border of two tiles. Its step is the mean difference of neighbouring cells across it; the pull is the "
    "step over its standard error.",
    "n(z)": "Distribution of redshift of the galaxies seen, normalised to 1, by classes of visibility.",
    "median, 5 %, 95 %": "Values below which half, 5 % and 95 % of the listed area lie.",
    "listed area": "Area of all cells that a map has a value for, whatever part of them was observed.",
}
"""Terms of the page."""


def title_of(key: ProductKey) -> str:
    """What a map shows, without its band; the statistic is named where it is not the usual one of the quantity.

    >>> title_of(ProductKey("-", "info", "PSF", "MEAN", band="VIS"))
    'FWHM of the PSF'
    >>> title_of(ProductKey("-", "info", "PSF", "MAX", band="VIS"))
    'FWHM of the PSF, largest'
    """
    if key.kind != "info":
        title = TITLES.get(key.kind, key.kind)
        return f"{title} of {key.quantity}" if key.quantity != "-" else title
    try:
        row = quantity(key.quantity)
        meaning, usual = row.meaning, row.statistic
    except InputError:  # made with a package that is not installed here
        meaning, usual = key.quantity, "-"
    statistic = "" if key.statistic == usual else STATISTICS.get(key.statistic, key.statistic)
    title = f"{meaning}, {statistic}" if statistic else meaning
    return title[:1].upper() + title[1:]


def definition_of(key: ProductKey, words: Mapping[str, Scalar]) -> str:
    """What values of a map are, in a sentence, from its keywords; '' where its title says it all."""
    if key.kind == "depth":
        return _depth(words)
    if key.kind in ("coverage", "bitmask") and key.selection != "-":
        return f"Flags {key.selection.replace(',', ', ')}; table {words.get('BITTABLE', 'unknown')}."
    if key.kind == "visibility":
        return f"Reference {words.get('VISREF', 'unknown')}; selection {words.get('VISSEL', 'unknown')}."
    return ""


def _depth(words: Mapping[str, Scalar]) -> str:
    parts = [f"{_figure(words.get('SNRLEVEL'))} sigma"]
    if _is_said(words.get("APERDIAM")):
        parts.append(f"in an aperture of {_figure(words.get('APERDIAM'))} arcsec")
    parts.append(f"({words.get('DEPTHEST', 'estimator unknown')}),")
    if _is_said(words.get("CORRFAC")):
        parts.append(f"noise factor {_figure(words.get('CORRFAC'))},")
    parts.append(f"{'' if words.get('EXTCORR') is True else 'not '}corrected for galactic extinction.")
    return " ".join(parts)


def _is_said(value: Scalar | None) -> bool:
    return value is not None and str(value) not in ("-1", "-1.0", "")


def _figure(value: Scalar | None) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)
