"""What stands in a product file besides its values: the one table of FITS keywords, and the coverage convention.

Keywords come in two groups: those of the primary header, as the published cards list them, and those of the
table (HDU 1), most of them the project's own, repeated in the XML descriptor. Unused strings of the primary
header are written as '-1', never dropped, but for dates: the FITS standard reserves DATE-OBS and DATE-END for
dates, so one that is not known has no card. A new keyword is one row here.

Coverage convention. Inside the package, and by default on disk, a coverage-type value is the observed
fraction (COVCONV = 'OBSERVED'). The older MER convention (1 - observed fraction, COVCONV = 'MER') is applied
here and nowhere else. The complement of a small float32 fraction needs more digits than a float32 has, so
WEIGHT is a float64 ('D') in MER files and the way back is exact for every fraction above 2**-30.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.products import Product, ProductKey, Scalar

__all__ = [
    "BOUNDED",
    "COVERAGE_TYPE",
    "FRACTIONS",
    "KEYWORDS",
    "OWN",
    "PRIMARY",
    "TABLE",
    "Keyword",
    "decode",
    "degrade_rule_of",
    "encode",
    "encode_name",
    "from_disk",
    "key_of",
    "keyword",
    "keywords_of",
    "to_disk",
]

COVERAGE_TYPE = frozenset({"footprint", "coverage", "effectivecoverage"})
"""Kinds whose values are observed fractions."""
FRACTIONS = COVERAGE_TYPE | {"bitmask", "visibility"}
"""Kinds whose values are fractions or probabilities: not negative, absent = 0, degraded as fractions."""
BOUNDED = FRACTIONS - {"visibility"}
"""Those that cannot exceed 1; where a place is deeper than the reference, visibility does."""
BIT_KINDS = frozenset({"bitmask", "coverage", "effectivecoverage", "depth", "visibility", "random"})
NOT_USED = "-1"
OF_MAPS = frozenset({"NSIDE_WK", "MASKBAND", "WGTKIND", "DEGRULE"})
"""Keywords that have no meaning for a list of points."""


@dataclass(frozen=True)
class Keyword:
    """One FITS keyword.

    Attributes
    ----------
    name, comment : str
        `name` may end in 'nn', which stands for two digits.
    type : type
        str, int, float or bool.
    unit : str
    kinds : frozenset of str or None
        Kinds of product for which it is always written (`default` where nothing is known); None = all.
    default : value or None
        None: written only when there is a value.
    """

    name: str
    type: type
    comment: str
    unit: str = ""
    kinds: frozenset[str] | None = None
    default: Scalar | None = None

    def belongs_to(self, kind: str) -> bool:
        """Whether products of this kind always have it."""
        alien = kind == "random" and self.name in OF_MAPS
        return not alien and self.default is not None and (self.kinds is None or kind in self.kinds)


def _always(name: str, kind: type, comment: str, default: Scalar = NOT_USED, *kinds: str) -> Keyword:
    return Keyword(name, kind, comment, kinds=frozenset(kinds) or None, default=default)


PRIMARY = (
    _always("DATE-OBS", str, "first observation considered"),
    _always("DATE-END", str, "last observation considered"),
    _always("TELESCOP", str, "telescope"),
    _always("INSTRUME", str, "instrument"),
    _always("FILTER", str, "filter"),
    _always("FILTLST", str, "filters that are combined"),
    _always("TILEID", int, "MER tile, -1 if several", -1),
    _always("LISTID", str, "list of MER tiles, -1 for a single tile"),
    _always("NSIDE_WK", str, "NSIDE of frame to HEALPix"),
    _always("BITSEL", str, "selected flag bits", NOT_USED, *BIT_KINDS),
    _always("INFO", str, "collected quantity", NOT_USED, "info"),
    _always("DEPTHEST", str, "estimator of the depth", NOT_USED, "depth", "visibility", "random"),
    _always("BINSEL", str, "selection of the bin or population", NOT_USED, "visibility", "random"),
    _always("SEED", str, "seed", NOT_USED, "random"),
    _always("NSIMOBJ", int, "number of objects", -1, "random"),
    _always("SOFTNAME", str, "software"),
    _always("SOFTVERS", str, "version of the software"),
)
"""Keywords of the primary header, in their order."""

TABLE = (
    Keyword("MASKBAND", str, "photometric band", default=NOT_USED),
    _always("COVCONV", str, "OBSERVED: 1 = observed; MER: 1 = not observed", "OBSERVED", *COVERAGE_TYPE),
    _always("WGTKIND", str, "what WEIGHT is", "VALUE"),
    _always("DEGRULE", str, "rule by which the map may be degraded", "NONE"),
    _always("STATIST", str, "statistic", NOT_USED, "info"),
    _always("SAMPLE", str, "what a sample is", NOT_USED, "info"),
    Keyword("INFOSRC", str, "where the values come from"),
    Keyword("DEGWGT", str, "weight used in degrading"),
    Keyword("BANDREL", str, "relevant bands"),
    Keyword("BANDPRC", str, "processed bands"),
    _always("VERIFIED", bool, "every input carried a checksum that held", False),
    Keyword("CAT_NOBJ", int, "number of objects"),
    Keyword("DENSITY", float, "points where the visibility is 1", "deg-2"),
    Keyword("SURVAREA", float, "area in which points were drawn", "deg2"),
    Keyword("SAMPALGO", str, "scheme by which points were drawn"),
    Keyword("RANDCAT", str, "number of the catalogue of this seed"),
    Keyword("RANDKEEP", str, "DETECTED points, or ALL with WEIGHT"),
    Keyword("PARTCELL", str, "where in partly observed cells points are"),
    Keyword("HPXORDER", int, "order at which points were drawn"),
    Keyword("SNRLEVEL", float, "signal-to-noise ratio"),
    Keyword("COMPFRAC", float, "share of the plateau of completeness"),
    Keyword("APERDIAM", float, "aperture diameter", "arcsec"),
    Keyword("PIXSCALE", float, "side of an image pixel", "arcsec"),
    Keyword("PSFKIND", str, "source of the PSF"),
    Keyword("SRCPROF", str, "profile and size of the extended source"),
    Keyword("CORRFAC", float, "correlated-noise factor applied"),
    Keyword("CORRSRC", str, "where the factor came from"),
    Keyword("EXTCORR", bool, "corrected for galactic extinction"),
    Keyword("EXTLAW", str, "coefficient law of the extinction"),
    Keyword("MAGZERO", float, "AB zero point, -1 if several", "mag"),
    Keyword("BITTABLE", str, "flag bit table"),
    Keyword("BITTABVR", str, "version of the bit table"),
    Keyword("BITNnn", str, "name of the flag bit"),
    Keyword("EFFRULE", str, "how bands are combined"),
    Keyword("MASKEXPR", str, "expression of a mask"),
    Keyword("MASKIN", str, "maps that its names stand for"),
    Keyword("TILEAREA", float, "area of the own cells", "deg2"),
    Keyword("OBSAREA", float, "observed area", "deg2"),
    Keyword("SFPAREA", float, "area of ImgSpatialFootprint on own cells", "deg2"),
    Keyword("SFPDIFF", float, "ImgSpatialFootprint minus valid RMS", "deg2"),
    Keyword("VISINTEG", float, "integral of the visibility", "deg2"),
    Keyword("VISREF", str, "reference depths by band", "mag"),
    Keyword("VISMAX", float, "largest visibility over coverage"),
    Keyword("VISSEL", str, "how galaxies are selected"),
    Keyword("VISCLASS", str, "borders of the visibility classes of n(z)"),
    Keyword("SKYPATCH", str, "patch"),
    Keyword("INREL", str, "data releases of the inputs"),
    Keyword("MIXED", str, "what differs among the merged products"),
    Keyword("RUNSEED", str, "seed of the run"),
    Keyword("PRODDIG", str, "digest of inputs, parameters, recipe"),
)
"""Keywords of the table, in their order; the layout (PIXTYPE, ORDERING...) is that of the form."""

KEYWORDS = {row.name: row for row in (*PRIMARY, *TABLE)}
OWN = frozenset(row.name for row in TABLE) - {"MASKBAND"}
"""The project's own keywords: left out of FITS files when these must hold the published ones alone."""

WEIGHT_KIND = dict.fromkeys(COVERAGE_TYPE, "OBSFRAC") | {
    "bitmask": "FLAGFRAC",
    "depth": "MAG",
    "visibility": "PROBAB",
}
DEGRADE_RULE = dict.fromkeys(FRACTIONS, "COVERAGE") | {"depth": "LOGQUAD"}


def keyword(name: str) -> Keyword | None:
    """The row of a keyword (BITN07 is the row BITNnn), None if there is none."""
    if name not in KEYWORDS and name[-2:].isdigit():
        name = f"{name[:-2]}nn"
    return KEYWORDS.get(name)


# -- values and convention ------------------------------------------------------------------------------------------


def to_disk(values: NDArray[Any], convention: str) -> NDArray[Any]:
    """Observed fractions in the convention of the file (float64 for MER)."""
    return 1.0 - values.astype(np.float64) if convention == "MER" else values


def from_disk(values: NDArray[Any], convention: str) -> NDArray[Any]:
    """Observed fractions of what a file holds (float32 for MER)."""
    return (1.0 - values.astype(np.float64)).astype(np.float32) if convention == "MER" else values


PRINTABLE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


def encode(text: str) -> str:
    """Text that a FITS card and an XML element hold without loss.

    What is not printable ASCII, '%', blanks at either end and an '&' at the end are percent-encoded, so a value
    cannot break out of its card; so is a quote before a '/', where astropy 8 takes the rest for a comment.
    """
    inner = text.strip(" ")
    before = len(text) - len(text.lstrip(" ")) if inner else 0
    quoted = re.sub("'(?= */)", "%27", quote(inner, safe=PRINTABLE))
    coded = "%20" * before + quoted + "%20" * (len(text) - len(inner) - before)
    return f"{coded[:-1]}%26" if coded.endswith("&") else coded


def encode_name(text: str) -> str:
    """Text as a bare name of letters, digits and '_.+-%', beginning with none of '.+-' unless it is '-1'."""
    coded = quote(text, safe="+").replace("~", "%7E")
    return (
        coded if text == NOT_USED or coded[:1] not in (".", "-", "+") else f"%{ord(coded[0]):02X}{coded[1:]}"
    )


def decode(text: str) -> str:
    """The inverse of `encode` and `encode_name`."""
    return unquote(text)


# -- product <-> keywords -------------------------------------------------------------------------------------------


def keywords_of(product: Product, convention: str = "OBSERVED") -> dict[str, Scalar]:
    """Every keyword of a product, in the order of the table: what the maker knows, the key, the provenance, defaults.

    Raises
    ------
    InputError
        A keyword is not in the table, or a value has not its type.
    """
    known = {**product.keywords, **_from_key(product), **_from_provenance(product)}
    known |= {"COVCONV": convention} if product.key.kind in COVERAGE_TYPE else {}
    known.setdefault("WGTKIND", WEIGHT_KIND.get(product.key.kind, "VALUE"))
    known["DEGRULE"] = degrade_rule_of(product)
    unknown = sorted(name for name in known if keyword(name) is None)
    if unknown:
        raise InputError(
            f"{product.key}: keywords must be in the table of the package, found {', '.join(unknown)}"
        )
    result: dict[str, Scalar] = {}
    for row in (*PRIMARY, *TABLE):
        if product.key.kind == "random" and row.name in OF_MAPS:
            continue
        names = sorted(name for name in known if keyword(name) is row)
        result |= {name: _typed(row, known[name], str(product.key)) for name in names}
        if row.name.startswith("DATE-"):
            result[row.name] = _date(str(result.get(row.name, NOT_USED)))
            continue
        if not names and row.default is not None and row.belongs_to(product.key.kind):
            result[row.name] = row.default
    return result


def degrade_rule_of(product: Product) -> str:
    """The rule by which a product may be degraded: its own, else that of its kind, else 'NONE'."""
    return str(product.keywords.get("DEGRULE", DEGRADE_RULE.get(product.key.kind, "NONE")))


def _from_key(product: Product) -> dict[str, Scalar]:
    key, patch = product.key, str(product.keywords.get("LISTID", NOT_USED))
    is_tile = patch == NOT_USED and key.area.isascii() and key.area.isdigit()
    found: dict[str, Scalar] = {
        "TILEID": int(key.area) if is_tile else -1,
        "LISTID": NOT_USED if is_tile else patch if patch != NOT_USED else key.area,
        "INSTRUME": NOT_USED if key.instrument == "-" else key.instrument,
        "FILTER": NOT_USED if key.band == "-" else key.band,
        "MASKBAND": NOT_USED if key.band == "-" else key.band,
    }
    if key.kind == "info":
        found |= {"INFO": key.quantity, "STATIST": key.statistic}
    if key.kind in ("visibility", "random") and key.quantity != "-":
        found |= {"BINSEL": key.quantity}
    if "NSIDE_WK" not in product.keywords and key.order >= 0:
        found["NSIDE_WK"] = str(1 << key.order)
    return found


def _from_provenance(product: Product) -> dict[str, Scalar]:
    source = product.provenance
    if source is None:
        return {}
    return {
        "SOFTNAME": "vmpz",
        "SOFTVERS": source.versions.get("vmpz", NOT_USED),
        "VERIFIED": source.verified,
        "PRODDIG": source.digest,
    }


def _date(text: str) -> str:
    """An ISO date and time as UTC, ``yyyy-mm-ddThh:mm:ss.sss``; '-1' for what is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return NOT_USED
    moment = moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    return moment.isoformat(timespec="milliseconds")


def _typed(row: Keyword, value: Any, where: str) -> Scalar:
    """The value in the type of its row; numpy scalars become Python's."""
    value = value.item() if isinstance(value, np.generic) else value
    if row.type is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if (
        not isinstance(value, Scalar)
        or type(value) is not row.type
        or value != value
        or value in (math.inf, -math.inf)
    ):
        raise InputError(f"{where}: {row.name} must be a {row.type.__name__}, found {value!r}")
    return value


def key_of(
    kind: str, quantity: str, order: int, words: Mapping[str, Scalar], area: str, release: str
) -> ProductKey:
    """The key that the keywords of a file describe; `area` where they do not name one."""
    tile = words.get("TILEID", -1)
    listed = str(words.get("LISTID", NOT_USED))
    if kind == "info":
        quantity = str(words.get("INFO", quantity))
    if kind == "visibility":
        quantity = str(words.get("BINSEL", quantity))
    return ProductKey(
        area=listed if listed != NOT_USED else str(tile) if tile != -1 else area,
        kind=kind,
        quantity=_or_dash(quantity),
        statistic=_or_dash(words.get("STATIST", NOT_USED)) if kind == "info" else "-",
        selection=_selection(words),
        instrument=_or_dash(words.get("INSTRUME", NOT_USED)),
        band=_or_dash(words.get("FILTER", words.get("MASKBAND", NOT_USED))),
        order=order,
        release=release,
    )


def _or_dash(value: Scalar) -> str:
    return "-" if str(value) in (NOT_USED, "") else str(value)


def _selection(words: Mapping[str, Scalar]) -> str:
    """Names of the selected bits where the file gives them, else their numbers."""
    numbers = [part for part in str(words.get("BITSEL", NOT_USED)).split(",") if part.strip().isdigit()]
    return ",".join(str(words.get(f"BITN{int(number):02d}", number)) for number in numbers) or "-"
