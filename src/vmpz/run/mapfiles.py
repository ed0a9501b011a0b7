"""Which file of a product is read, where it has several forms."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vmpz.io.forms import FORMS
from vmpz.run.store import Entry

__all__ = ["map_file", "map_path"]

READ_FIRST = ("healpix", "parquet", "moc", "hips")
"""Forms of which one is read where a product has several."""


def map_path(entry: Entry) -> Path:
    """The file of a map of the store that is read (`map_file`); errors as of `Entry.path`."""
    return entry.path(map_file(entry.files))


def map_file(files: Sequence[dict[str, Any]]) -> str:
    """The file (or folder of files) of a product that is read, in the form that holds most and is read fastest."""
    tops = list(dict.fromkeys(str(item["name"]).partition("/")[0] for item in files))
    return min(tops, key=_rank)


def _rank(name: str) -> int:
    for form in FORMS.values():
        if name.endswith(form.suffixes):
            return READ_FIRST.index(form.name) if form.name in READ_FIRST else len(READ_FIRST)
    return len(READ_FIRST) + 1
