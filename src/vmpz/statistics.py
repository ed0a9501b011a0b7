"""The small arrays that are left after the one pass over the pixels: `CellStatistics`.

Columns, one float64 or int64 value per cell of the area:

=====================  =============================================================================================
``geom``               exact fraction of the cell inside the image outline; where no outline is known, expected
                       share from the local pixel area
``found``              pixels whose centre lies in the cell
``valid``              of these, pixels with a valid RMS (finite, > 0, < 1e15)
``usable``             valid and RMS <= ``rms_max``
``bit.NN``             pixels with flag bit NN set (32 = inside a star mask)
``flagged.<S>``        pixels hit by any bit of selection S (`Selection.text`)
``good.<S>``           usable pixels not hit by S
``<P>.<sample>.<m>``   moments of plane P (RMS, BACKGROUND, IMAGE) over a sample: ``valid`` or ``good`` (usable and not hit
                       by the depth selection); m is ``n``, ``mean``, ``m2`` (sum of squared deviations from the mean), ``min``,
                       ``max``; on request ``median``, ``qNN``, and ``wsum``, ``wmean`` (weights 1/RMS^2)
=====================  =============================================================================================

A fraction of the cell is ``geom * count / found``: exact inside, right at edges, free of lattice noise.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import MissingProductError
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap

__all__ = ["CellStatistics"]


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
    """

    cells: CellSet
    columns: Mapping[str, NDArray[Any]]
    scalars: Mapping[str, Any] = field(default_factory=dict)

    def column(self, name: str) -> NDArray[Any]:
        """One column.

        Raises
        ------
        MissingProductError
            It was not counted; the message lists what was.
        """
        if name not in self.columns:
            raise MissingProductError(
                f"cell statistics hold {', '.join(sorted(self.columns))}; {name} was not counted"
            )
        return self.columns[name]

    def fraction(self, name: str) -> NDArray[np.float64]:
        """Fraction of each cell, ``geom * count / found``, in [0, 1]; 0 where no pixel was found."""
        found = self.column("found")
        share = np.divide(self.column(name), found, out=np.zeros(found.size), where=found > 0)
        return np.clip(self.column("geom") * share, 0.0, 1.0)

    def map(self, values: NDArray[Any], known: NDArray[np.bool_] | None = None) -> SkyMap:
        """A map of one value per cell, keeping cells where `known` is true."""
        whole = SkyMap(self.cells, values)
        return whole if known is None else whole.where(known)
