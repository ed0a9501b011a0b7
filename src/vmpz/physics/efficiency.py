"""Efficiencies measured by injections, tabulated against magnitude minus depth, and against magnitude too.

Between the entries they are interpolated (bi)linearly. On the bright side of a table its first value holds; beyond its
faint end nothing is selected, in both columns: a table must reach as faint as what it selects.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vmpz.errors import InputError

__all__ = ["Efficiency", "efficiency_of"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Efficiency:
    """Efficiencies on a grid.

    Attributes
    ----------
    delta_mag : float64 (n,)
        Magnitude minus depth, ascending.
    values : float64 (k, n)
        In [0, 1]; k = 1 where they do not depend on the magnitude.
    mag : float64 (k,)
        Magnitudes, ascending; empty where they do not matter.
    """

    delta_mag: Array
    values: Array
    mag: Array = field(default_factory=lambda: np.empty(0))

    def __call__(self, delta_mag: ArrayLike, mag: ArrayLike) -> Array:
        """Efficiency at magnitudes and their differences from the depth; broadcast."""
        delta, magnitude = np.broadcast_arrays(np.asarray(delta_mag, np.float64), mag)
        if not self.mag.size:
            return np.asarray(np.interp(delta, self.delta_mag, self.values[0], right=0.0))
        left, across = _place(self.delta_mag, delta)
        low, along = _place(self.mag, magnitude)
        right, high = left + 1, low + 1
        faint = (1.0 - across) * self.values[high, left] + across * self.values[high, right]
        bright = (1.0 - across) * self.values[low, left] + across * self.values[low, right]
        beyond = (delta > self.delta_mag[-1]) | (magnitude > self.mag[-1])
        return np.where(beyond, 0.0, (1.0 - along) * bright + along * faint)

    def edge_mag(self, depth_mag: float) -> float:
        """Magnitude beyond which nothing is selected."""
        ends = [depth_mag + self.delta_mag[-1], *self.mag[-1:]]
        return float(min(ends))

    @property
    def step_mag(self) -> float:
        """The smallest step of the table in magnitude minus depth."""
        return float(np.diff(self.delta_mag).min())


def _place(grid: Array, at: Array) -> tuple[NDArray[np.intp], Array]:
    """Cell of a grid and place in it, 0 to 1; what lies outside has its ends."""
    left = np.clip(np.searchsorted(grid, at, side="right") - 1, 0, grid.size - 2)
    return left, np.clip((at - grid[left]) / (grid[left + 1] - grid[left]), 0.0, 1.0)


def efficiency_of(
    delta_mag: Array, columns: Sequence[Array], mag: Array | None = None, *, where: str = "efficiency"
) -> Efficiency:
    """A table from its rows, in any order: the product of columns of efficiency.

    Parameters
    ----------
    delta_mag : float64 (rows,)
        Magnitude minus depth.
    columns : sequence of float64 (rows,)
        Efficiencies that are multiplied: detection, classification.
    mag : float64 (rows,), optional
        Magnitudes; with them the rows must be a full grid.
    where : str
        The file, for messages.

    Raises
    ------
    InputError
        An efficiency is outside [0, 1], an entry stands twice, or the grid has holes or less than two steps.
    """
    for values in columns:
        bad = np.flatnonzero(~((values >= 0.0) & (values <= 1.0)))
        if bad.size:
            raise InputError(
                f"{where}: an efficiency must be in [0, 1], found {values[bad[0]]} in row {bad[0] + 1}"
            )
    product = np.prod(np.asarray(columns, np.float64), axis=0)
    across, along = np.unique(delta_mag), np.empty(0) if mag is None else np.unique(mag)
    lines = max(along.size, 1)
    if across.size < 2 or (mag is not None and along.size < 2):
        raise InputError(f"{where}: a table must have at least two entries each way, found one")
    place = np.searchsorted(across, delta_mag)
    if mag is not None:
        place = place + across.size * np.searchsorted(along, mag)
    if product.size != lines * across.size or np.unique(place).size != product.size:
        wanted = f"{across.size} DELTA_MAG" + ("" if mag is None else f" x {along.size} MAG")
        raise InputError(
            f"{where}: every entry of the grid ({wanted}) must stand once, found {product.size} rows "
            f"with {np.unique(place).size} entries"
        )
    values = np.empty(product.size)
    values[place] = product
    return Efficiency(across, values.reshape(lines, across.size), along)
