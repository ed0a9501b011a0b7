"""A table of the detectors of visits beside images of LSST or HSC: `ccdVisitTable`, `visitSummary`, or one alike.

FITS, Parquet or CSV. Columns, in any case: the visit (visit or visitId) and the detector (detector or detector_id; in
a visitSummary also id), then any of seeing (FWHM, arcsec), psfSigma (pixels), skyBg and skyNoise (per pixel, in the
unit of the images), zeroPoint (AB mag of one count) and pixelScale (arcsec).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.physics.moments import FWHM_PER_SIGMA
from vmpz.readers.plaintables import PlainTable

__all__ = ["VisitTable", "read_visits"]

VISIT, DETECTOR = ("visit", "visitid"), ("detector", "detector_id", "detectorid", "id")
VALUES = ("seeing", "psfsigma", "skybg", "skynoise", "zeropoint", "pixelscale")


@dataclass(frozen=True)
class VisitTable:
    """Rows by visit and detector: the values of `VALUES` that are there and finite."""

    where: str
    rows: Mapping[tuple[int, int], Mapping[str, float]]

    def scalars(self, visit: str, detector: int, scale_arcsec: float) -> dict[str, float]:
        """What the table says of a detector, by quantity: Seeing, Background, Noise, Zeropoint.

        Parameters
        ----------
        visit : str
        detector : int
        scale_arcsec : float
            Side of a pixel, where the table does not say it.
        """
        row = self.rows.get((int(visit), detector), {}) if visit.isdigit() else {}
        found = {"Background": "skybg", "Noise": "skynoise", "Zeropoint": "zeropoint", "Seeing": "seeing"}
        values = {name: row[key] for name, key in found.items() if key in row}
        if "Seeing" not in values and "psfsigma" in row:
            values["Seeing"] = row["psfsigma"] * row.get("pixelscale", scale_arcsec) * FWHM_PER_SIGMA
        return values


def read_visits(path: Path) -> VisitTable:
    """Read such a table.

    Raises
    ------
    InputError
        The file cannot be read, has no column for the visit or the detector, none of values, or two rows of one
        detector that differ.
    """
    table = PlainTable(path)
    columns = table.read([name for name in (*VISIT, *DETECTOR, *VALUES) if name in table])
    visit, detector = (_integers(columns, names, path) for names in (VISIT, DETECTOR))
    values = {name: _numbers(columns[name], name, path) for name in VALUES if name in columns}
    if not values:
        raise InputError(
            f"{path}: must have a column among {', '.join(VALUES)}, found {', '.join(table.units)}"
        )
    rows: dict[tuple[int, int], dict[str, float]] = {}
    for place, key in enumerate(zip(visit.tolist(), detector.tolist(), strict=True)):
        row = {name: float(column[place]) for name, column in values.items() if np.isfinite(column[place])}
        if rows.setdefault(key, row) != row:
            raise InputError(
                f"{path}: row {place + 1}: visit {key[0]}, detector {key[1]} must stand once, found two"
            )
    return VisitTable(str(path), rows)


def _integers(columns: Mapping[str, Any], names: tuple[str, ...], path: Path) -> NDArray[np.int64]:
    name = next((name for name in names if name in columns), None)
    if name is None:
        raise InputError(f"{path}: must have a column {' or '.join(names)}, found {', '.join(columns)}")
    values = columns[name]
    if values.dtype.kind not in "iu" or values.ndim != 1:
        raise InputError(f"{path}: column {name} must hold integers, found {values.dtype}")
    return np.asarray(values, np.int64)


def _numbers(values: Any, name: str, path: Path) -> NDArray[np.float64]:
    if values.dtype.kind not in "iuf" or values.ndim != 1:
        raise InputError(f"{path}: column {name} must hold numbers, found {values.dtype}")
    return np.asarray(values, np.float64)
