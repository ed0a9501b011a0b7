"""What is seen of a class of galaxies, tabulated on a lattice of depths around its reference.

An axis is the depth of a band, or E(B-V) where extinction counts. A node is looked at once, when it is first wanted;
what is seen there is a function of its place alone, so all areas have the same table however it is filled.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.make.galaxies import Branch, Galaxies
from vmpz.make.lattice import Corners, Lattice
from vmpz.parameters import VisibilityParameters

__all__ = ["Table", "lattice_of"]

Floats = NDArray[np.float64]

EBV_STEP = 0.02
"""Step of E(B-V) in the table, mag: less than 0.05 mag in any band."""


def lattice_of(chosen: VisibilityParameters) -> Lattice:
    """The lattice of a class: one axis a band of the reference, in their order; E(B-V) last where it has an axis.

    Depth maps are float32, and so is the reference: a cell of that very depth is the origin.
    """
    origin = tuple(float(np.float32(depth)) for depth in chosen.reference.values())
    if chosen.extinction == "none":
        return Lattice(origin, (chosen.step,) * len(origin))
    return Lattice((*origin, 0.0), (*(chosen.step,) * len(origin), EBV_STEP))


@dataclass
class Table:
    """What is seen of a class at the nodes of its lattice; each node is looked at once, when it is first wanted.

    Parameters
    ----------
    chosen : VisibilityParameters
    branch : Branch
    """

    chosen: VisibilityParameters
    branch: Branch
    _known: dict[tuple[int, ...], tuple[float, Floats]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.lattice = lattice_of(self.chosen)
        self._some, self._row, self._shares = _binned(self.branch.galaxies, self.chosen.redshift_bins)
        self.reference = float(self.seen(np.asarray(self.lattice.origin)).sum())
        if not self.reference > 0:
            raise InputError(
                f"visibility {self.chosen.name}: a galaxy of the class must be seen at the reference depth, found none"
            )

    def seen(self, position: Floats) -> Floats:
        """Galaxies of every object that are seen at a position of the lattice, float64 (objects,)."""
        bands = list(self.chosen.reference)
        depth = dict(zip(bands, position[: len(bands)].tolist(), strict=True))
        ebv = float(position[len(bands)]) if len(position) > len(bands) else 0.0
        return np.asarray(self.branch.galaxies.weight * self.branch.seen(depth, ebv))

    def relative(self, corners: Corners) -> Floats:
        """Seen at the nodes of some corners, over what is seen at the reference, float64 (nodes,)."""
        return np.array([self._node(node)[0] for node in corners.nodes]) / self.reference

    def redshifts(self, corners: Corners) -> Floats:
        """Galaxies seen at the nodes by redshift bin, float64 (nodes, bins)."""
        count = self.chosen.redshift_bins[2]
        return np.array([self._node(node)[1] for node in corners.nodes]).reshape(-1, count)

    def _node(self, node: NDArray[np.int64]) -> tuple[float, Floats]:
        number = tuple(node.tolist())
        if number not in self._known:
            seen = self.seen(self.lattice.position(node))
            self._known[number] = float(seen.sum()), self._by_redshift(seen)
        return self._known[number]

    def _by_redshift(self, seen: Floats) -> Floats:
        """What is seen by redshift bin; an object that stands for some width in redshift is shared."""
        return np.asarray(np.bincount(self._row, seen[self._some], len(self._shares)) @ self._shares)


def _binned(
    galaxies: Galaxies, bins: tuple[float, float, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Objects with a redshift, the row of each, and the shares of every row in the bins, float64 (rows, bins)."""
    low, high, count = bins
    edges = np.linspace(low, high, count + 1)
    some = np.flatnonzero(np.isfinite(galaxies.redshift))
    redshift = galaxies.redshift[some]
    if galaxies.spread_z == 0:
        row = np.searchsorted(edges, redshift, side="right") - 1
        inside = (row >= 0) & (row < count)
        return some[inside], row[inside], np.eye(count)
    each, row = np.unique(redshift, return_inverse=True)
    below = np.clip((edges - each[:, None]) / galaxies.spread_z + 0.5, 0.0, 1.0)
    return some, row, np.diff(below, axis=1)
