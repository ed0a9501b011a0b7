"""What the rows of a table of exposures are called: instrument, band, exposure and detector.

A name is that of the option (text in which {column} stands for the value of a column), else the value of a column that
is known.
"""

import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.readers.plaintables import PlainTable

__all__ = ["NAMES", "RowNames", "row_names"]

Rows = NDArray[np.int64]
Texts = NDArray[np.str_]

NAMES = {
    "instrument": ("instrument", "camera"),
    "band": ("band", "filter"),
    "exposure": (
        "exposure",
        "expnum",
        "visit",
        "visitid",
        "exposure_id",
        "exposureid",
        "obs_id",
        "observationid",
    ),
    "detector": ("detector", "ccdnum", "ccd", "ccdname", "detector_id", "det_id", "extname", "chip"),
}
"""What a row is called to the columns that may tell."""


@dataclass(frozen=True)
class RowNames:
    """What rows are called: distinct names, and which is that of each row."""

    distinct: Texts
    which: Rows

    def __getitem__(self, rows: Any) -> "RowNames":
        return RowNames(self.distinct, self.which[rows])

    def texts(self) -> list[str]:
        """Name by name."""
        return list(self.distinct[self.which].tolist())


def row_names(table: PlainTable, key: str, options: Mapping[str, Any]) -> RowNames | None:
    """What rows are called; None without an option and a column that is known.

    Parameters
    ----------
    table : PlainTable
    key : {'instrument', 'band', 'exposure', 'detector'}
    options : mapping
        Texts by key, and `band_names`: what values of a band are replaced by.

    Raises
    ------
    InputError
        The option is no such text, or a column is missing or holds neither text nor numbers.
    """
    template = options.get(key)
    if not template:
        column = next((name for name in NAMES[key] if name in table), None)
        if column is None:
            return None
        template = f"{{{column}}}"
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise InputError(
            f"reader option {key} must be text with {{column}}, found {template!r}: {error}"
        ) from None
    columns = table.read([name for _, name, _, _ in parts if name])
    names, which = np.array([""]), np.zeros(table.rows, np.int64)
    for text, name, _, _ in parts:
        names = np.char.add(names, text)
        if name:
            distinct, mine = np.unique(columns[name.lower()], return_inverse=True)
            both, which = np.unique(which * len(distinct) + mine, return_inverse=True)
            texts = _as_text(distinct, key, f"{table.where}: column {name}", options)
            names = np.char.add(names[both // max(len(distinct), 1)], texts[both % max(len(distinct), 1)])
    distinct, same = np.unique(names, return_inverse=True)
    return RowNames(distinct, same[which])


def _as_text(values: NDArray[Any], key: str, where: str, options: Mapping[str, Any]) -> Texts:
    """Values as text: whole numbers without a point, '' where there is none."""
    if values.ndim != 1 or values.dtype.kind not in "iufU":
        raise InputError(f"{where} must hold text or numbers, found {values.dtype}")
    if values.dtype.kind == "f":
        known = np.isfinite(values)
        numbers = np.where(known, values, 0.0)
        is_whole = np.array_equal(numbers, np.trunc(numbers)) and np.all(np.abs(numbers) < 2.0**53)
        return np.where(known, (numbers.astype(np.int64) if is_whole else numbers).astype(str), "")
    texts = np.char.strip(values.astype(str))
    if key == "band":
        for old, new in (options.get("band_names") or {}).items():
            texts = np.where(texts == old, str(new), texts)
    return texts
