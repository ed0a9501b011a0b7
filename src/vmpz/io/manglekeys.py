"""Keys of the descriptors of mangle files: the published cards name some keywords, and some of their values, otherwise.

What the cards do not list but a FITS file of the product would say (selected bits, list of tiles) keeps its FITS name,
so that file and descriptor together hold everything.
"""

from collections.abc import Iterable, Mapping

from vmpz.io.metadata import NOT_USED, PRIMARY, keyword
from vmpz.products import Scalar

__all__ = ["from_pairs", "to_pairs"]

COMMON = {
    "DATE-OBS": "DATE-OBS",
    "DATE-END": "DATE-END",
    "INSTRUM": "INSTRUME",
    "TELESCOP": "TELESCOP",
    "FILTER": "FILTER",
    "TILEINDEX": "TILEID",
    "SKYPATCH_ID": "SKYPATCH",
    "CREATOR": "SOFTNAME",
    "VERSION": "SOFTVERS",
}
"""Key -> FITS keyword."""
OF_KIND = {
    "info": {"COLLECT_INFO": "INFO", "COLLECT_EST": "STATIST"},
    "depth": {"DEPTH_EST": "DEPTHEST", "SNR_LEVEL": "SNRLEVEL"},
    "visibility": {"ESTIMATOR": "DEPTHEST", "SEL": "BINSEL"},
}
LEFT_OUT = {"visibility": frozenset({"INSTRUME", "FILTER"})}
NOT_TOLD = frozenset({"NSIDE_WK"})
"""Keywords of HEALPix files alone."""
VALUES = {
    "COLLECT_INFO": {
        "Background": "background",
        "Noise": "rms",
        "Airmass": "airmass",
        "Seeing": "seeing",
        "ExposureTime": "exposureTime",
        "ZodiacalLight": "zodiacal",
        "AtmosphericExtinction": "atmospheric extinction",
    },
    "COLLECT_EST": {"VALUE": "Value", "MEAN": "Mean", "MEDIAN": "Median", "STD": "Std", "SUM": "Sum"},
}
"""Published values of a key, by ours; others are the same."""


def _names(kind: str) -> dict[str, str]:
    """Keys of a kind of product -> FITS keywords."""
    left_out = LEFT_OUT.get(kind, frozenset())
    return {key: name for key, name in (COMMON | OF_KIND.get(kind, {})).items() if name not in left_out}


def to_pairs(kind: str, words: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Keys and values of a product for its descriptor, in the order of the cards.

    Parameters
    ----------
    kind : str
    words : mapping
        All keywords (`vmpz.io.metadata.keywords_of`).
    """
    names = _names(kind)
    known = {"SKYPATCH": words.get("LISTID", NOT_USED), **words}
    pairs = {key: known.get(name, NOT_USED) for key, name in names.items()}
    pairs |= {key: VALUES[key].get(str(pairs[key]), pairs[key]) for key in VALUES if key in pairs}
    told = {*names.values(), *LEFT_OUT.get(kind, ()), *NOT_TOLD}
    rest = [row.name for row in PRIMARY if row.name not in told]
    return pairs | {name: words[name] for name in rest if str(words.get(name, NOT_USED)) != NOT_USED}


def from_pairs(kind: str, pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Keywords and their texts of the keys of a descriptor; what is not used is left out."""
    names = _names(kind)
    found = []
    for key, text in pairs:
        value = next((ours for ours, theirs in VALUES.get(key, {}).items() if theirs == text), text)
        if key not in names or (value != NOT_USED and keyword(names[key]) is not None):
            found.append((names.get(key, key), value))
    return found
