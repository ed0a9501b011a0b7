"""Cell statistics: the small arrays left after the one pass over the pixels, and the moments among them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import MissingProductError
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap
from vmpz.statistics.rules import refuse_differences

__all__ = ["CellStatistics", "Moments"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class CellStatistics:
    """Counts and moments per cell of one band of one area.

    Attributes
    ----------
    cells : CellSet
        The area's own cells that the image touches, at the working order.
    columns : mapping of str to array (len(cells),)
        See the table above.
    scalars : mapping
        Numbers for the whole band: rms_max, pixels, stray (pixels with bits unknown to the table), invalid_rms...

    Examples
    --------
    >>> import numpy as np
    >>> from vmpz import CellSet, CellStatistics
    >>> columns = {"geom": np.array([1.0, 0.5]), "found": np.array([100, 50]), "valid": np.array([100, 40])}
    >>> CellStatistics(CellSet.from_cells(14, [7, 8]), columns).fraction("valid")
    array([1. , 0.4])
    """

    cells: CellSet
    columns: Mapping[str, NDArray[Any]]
    scalars: Mapping[str, Any] = field(default_factory=dict)

    def column(self, name: str) -> NDArray[Any]:
        """One column.

        Raises
        ------
        MissingProductError
            It was not counted; the message lists what was, of the same plane and sample.
        """
        if name not in self.columns:
            group = name.rpartition(".")[0]
            alike = [other for other in sorted(self.columns) if other.rpartition(".")[0] == group]
            raise MissingProductError(
                f"{name} was not counted; cell statistics hold {', '.join(alike) or 'nothing of the kind'}"
            )
        return self.columns[name]

    def fraction(self, name: str) -> NDArray[np.float64]:
        """Fraction of each cell, ``geom * count / found``, in [0, 1]; 0 where no pixel was found."""
        found = self.column("found")
        share = np.divide(self.column(name), found, out=np.zeros(found.size), where=found > 0)
        return np.asarray(np.clip(self.column("geom") * share, 0.0, 1.0))

    @property
    def of_exposures(self) -> bool:
        """Whether counts are areas summed over single exposures."""
        return "images" in self.scalars

    def hit(self, name: str) -> NDArray[np.float64]:
        """Flagged share: of the cell; of single exposures, flagged area over observed area, both summed."""
        if not self.of_exposures:
            return self.fraction(name)
        found = self.column("found")
        share = np.divide(self.column(name), found, out=np.zeros(found.size), where=found > 0)
        return np.asarray(np.clip(share, 0.0, 1.0))

    def map(self, values: NDArray[Any], known: NDArray[np.bool_] | None = None) -> SkyMap:
        """A map of one value per cell, keeping cells where `known` is true."""
        whole = SkyMap(self.cells, values)
        return whole if known is None else whole.where(known)


class Moments:
    """The moments of one plane over one sample of pixels, ``<plane>.<sample>`` of cell statistics."""

    def __init__(self, statistics: CellStatistics, prefix: str) -> None:
        self._statistics = statistics
        self.prefix = prefix

    def __getitem__(self, name: str) -> Array:
        """A moment as float64, NaN where the sample has no pixel."""
        value = self._statistics.column(f"{self.prefix}.{name}").astype(np.float64)
        return np.where(self._statistics.column(f"{self.prefix}.n") > 0, value, np.nan)

    @property
    def covered(self) -> Array:
        """Fraction of the cell that the pixels of the sample cover, summed over exposures; NaN where there is none."""
        area = self._statistics.columns.get(f"{self.prefix}.area")
        fraction = self._statistics.fraction(f"{self.prefix}.n") if area is None else area
        return np.where(self._statistics.column(f"{self.prefix}.n") > 0, fraction, np.nan)

    @property
    def total(self) -> Array:
        """What the pixels cover times their mean, summed over exposures; NaN where there is none."""
        summed = self._statistics.columns.get(f"{self.prefix}.sum")
        return self.covered * self["mean"] if summed is None else summed

    def only_value(self) -> Array:
        """The value all pixels share."""
        refuse_differences(self["min"], self["max"])
        return self["min"]
