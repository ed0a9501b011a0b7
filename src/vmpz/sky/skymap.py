"""`SkyMap`: a `CellSet` and one value per cell; look-up, clipping, joining and degrading by rule.

Coverage-type values are observed fractions (1 = observed, absent = 0).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vmpz.display import card, facts, number
from vmpz.errors import MapMismatchError
from vmpz.kernels.lookup import copy_ranges
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.degrading import DEGRADE_RULES, MEANS, Families

__all__ = ["DEGRADE_RULES", "MEANS", "SkyMap"]

BLOCK = 1 << 16
"""Cells that are degraded at a time: what is needed on the way stays in the cache."""

Values = NDArray[Any]


class SkyMap:
    """Values on a set of cells.

    Parameters
    ----------
    cells : CellSet
        Where the map is known.
    values : array_like, shape (len(cells),)
        One value per cell, in ascending cell order; kept read-only. Any numeric dtype.

    Raises
    ------
    MapMismatchError
        There is not exactly one value per cell.

    Examples
    --------
    >>> from vmpz import CellSet, SkyMap
    >>> coverage = SkyMap(CellSet.from_ranges(8, [(100, 104)]), [1.0, 1.0, 0.5, 0.0])
    >>> coverage.degrade(7, "COVERAGE").values
    array([0.625])
    >>> coverage.at(0.0, 90.0, absent=0.0)
    array(0.)
    """

    __slots__ = ("_cells", "_values")

    def __init__(self, cells: CellSet, values: ArrayLike) -> None:
        array = np.array(values)
        if array.shape != (len(cells),):
            raise MapMismatchError(
                f"a map needs one value per cell: {len(cells)} cells, values of shape {array.shape}"
            )
        array.setflags(write=False)
        self._cells = cells
        self._values = array

    @classmethod
    def from_cells(cls, order: int, cells: ArrayLike, values: ArrayLike) -> "SkyMap":
        """Map from cell numbers in any order, none twice.

        Raises
        ------
        MapMismatchError
            A cell is listed twice, or lengths differ.
        """
        number = np.asarray(cells, dtype=np.int64).ravel()
        array = np.asarray(values).ravel()
        if number.size != array.size:
            raise MapMismatchError(
                f"a map needs one value per cell: {number.size} cells, {array.size} values"
            )
        if np.any(np.diff(number) <= 0):
            by_cell = np.argsort(number, kind="stable")
            number, array = number[by_cell], array[by_cell]
            twice = np.flatnonzero(np.diff(number) == 0)
            if twice.size:
                raise MapMismatchError(f"a cell must be listed once: cell {number[twice[0]]} is listed again")
        return cls(CellSet.from_cells(order, number), array)

    @property
    def cells(self) -> CellSet:
        """Where the map is known."""
        return self._cells

    @property
    def order(self) -> int:
        """HEALPix order."""
        return self._cells.order

    @property
    def values(self) -> Values:
        """Read-only values, one per cell in ascending cell order."""
        return self._values

    def __len__(self) -> int:
        return len(self._cells)

    def at(self, lon_deg: ArrayLike, lat_deg: ArrayLike, absent: float = np.nan) -> Values:
        """Values at positions (ICRS degrees); `absent` where the map is not known."""
        return self.of_cells(hpx.cells_at(lon_deg, lat_deg, self.order), absent)

    def of_cells(self, cells: ArrayLike, absent: float = np.nan) -> Values:
        """Values of cells of the map's own order; `absent` where the map is not known."""
        place = self._cells.index(cells)
        if len(self) == 0:
            return np.full(place.shape, absent, np.result_type(self._values.dtype, type(absent)))
        return np.where(place >= 0, self._values[np.maximum(place, 0)], absent)

    def clip(self, cells: CellSet) -> "SkyMap":
        """The part of the map inside a set of cells."""
        kept = self._cells & cells
        return SkyMap(kept, self._values[self._cells.index(kept.cells())])

    def where(self, chosen: ArrayLike) -> "SkyMap":
        """The part of the map where a boolean array, one per cell, is true."""
        mask = np.asarray(chosen, bool)
        return SkyMap(CellSet.from_cells(self.order, self._cells.cells()[mask]), self._values[mask])

    def integral_deg2(self) -> float:
        """Sum of value times cell area: for a coverage-type map, the observed area in square degrees."""
        return float(np.sum(self._values, dtype=np.float64)) * hpx.cell_area_deg2(self.order)

    @staticmethod
    def join(maps: Sequence["SkyMap"]) -> "SkyMap":
        """Concatenation of maps on disjoint cells, whatever their order in the sequence.

        Raises
        ------
        MapMismatchError
            Orders differ or a cell is in two maps.
        """
        orders = {one.order for one in maps}
        if len(orders) != 1:
            raise MapMismatchError(f"maps to join must have one order, found {sorted(orders)}")
        twice = CellSet.shared([one.cells for one in maps])
        if twice is not None:
            raise MapMismatchError(
                f"maps to join must be disjoint: cell {twice[2]} is in those at places {twice[0]} and {twice[1]}"
            )
        ranges = np.concatenate([one.cells.ranges for one in maps])
        length = ranges[:, 1] - ranges[:, 0]
        values = np.concatenate([one.values for one in maps])
        by_start, begin = np.argsort(ranges[:, 0], kind="stable"), np.cumsum(length) - length
        joined = np.empty_like(values)
        copy_ranges(values, begin[by_start], length[by_start], joined)
        return SkyMap(CellSet.from_ranges(orders.pop(), ranges), joined)

    def degrade(self, order: int, rule: str, weight: "SkyMap | None" = None) -> "SkyMap":
        """The map at a coarser order.

        Parameters
        ----------
        order : int
            At most the map's own.
        rule : str
            One of `DEGRADE_RULES`; 'NONE' marks a map that cannot be degraded.
        weight : SkyMap, optional
            Coverage of each child (same order, absent = 0) for the averaging rules. Without it every listed
            child weighs 1. A parent whose weights are all zero is left out.

        Returns
        -------
        SkyMap
            float64, except MIN, MAX, MODE and OR which keep the dtype.

        Raises
        ------
        MapMismatchError
            The order is finer than the map's, the rule does not exist, or the weight has another order.
        """
        if order > self.order:
            raise MapMismatchError(f"a map of order {self.order} cannot be degraded to order {order}")
        families = Families(rule, self.order - order)
        if weight is not None and weight.order != self.order:
            raise MapMismatchError(f"the weight must have order {self.order}, found {weight.order}")
        if order == self.order or len(self) == 0:
            return self if order == self.order else SkyMap(CellSet(order), self._values)
        found = []
        for start, children in self._cells.blocks(BLOCK):
            share = None if weight is None else weight.of_cells(children, 0.0)
            found.append(families.add(children, self._values[start : start + children.size], share))
        found.append(families.finish())
        return SkyMap(
            CellSet.from_cells(order, np.concatenate([parents for parents, _ in found])),
            np.concatenate([values for _, values in found]),
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SkyMap):
            return NotImplemented
        return self._cells == other.cells and np.array_equal(self._values, other.values, equal_nan=True)

    def __hash__(self) -> int:
        return hash((self._cells, self._values.tobytes()))

    def __dask_tokenize__(self) -> tuple[str, str, str, bytes]:
        return ("vmpz.SkyMap", self._cells.digest, str(self._values.dtype), self._values.tobytes())

    def __reduce__(self) -> tuple[type, tuple[CellSet, Values]]:
        return (SkyMap, (self._cells, np.asarray(self._values)))

    def __repr__(self) -> str:
        values = f"dtype={self._values.dtype}{self._range('values=%s to %s')}".replace("\u2009", "")  # ASCII
        return (
            f"SkyMap(order={self.order}, cells={len(self)}, area={self._cells.area_deg2:.6g} deg2, {values})"
        )

    def _repr_html_(self) -> str:
        """What a notebook shows: the facts and a picture."""
        return card("SkyMap", facts(self.facts()), beside=self.picture())

    def facts(self, unit: str = "") -> list[tuple[str, Any]]:
        """Order, cells, area, type and range of the values, for display."""
        return [
            *self._cells.facts(),
            ("values", f"{self._values.dtype}{self._range('%s to %s')} {unit}".rstrip()),
        ]

    def picture(self, unit: str = "") -> str:
        """A small picture as HTML, '' of an empty map."""
        return self._cells.picture(self._values, unit)

    def _range(self, text: str) -> str:
        """``, low to high`` of the finite values, '' where there is none."""
        if not len(self):
            return ""
        limits = self._values.min(), self._values.max()  # NaN where any value is
        if not np.all(np.isfinite(limits)):
            finite = self._values[np.isfinite(self._values)]
            limits = (finite.min(), finite.max()) if finite.size else (np.nan, np.nan)
        return f", {text % (number(limits[0]), number(limits[1]))}"
