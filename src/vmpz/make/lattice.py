"""Functions of several depths, tabulated once and looked up anywhere.

The nodes are a regular lattice around an origin; a position lies in a simplex of d + 1 of them (Kuhn's triangulation of
the cubes: the corners met on the way from the lowest by the largest fractions first), in which the function is linear,
or its logarithm is. It is exact at the nodes, so at the origin, and continuous; a node is a pure function of its
number, so the values at a position do not depend on what else is looked up. Only nodes of a weight above zero are
wanted: their number grows with the spread of the positions, not with the cube.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vmpz.errors import InputError

__all__ = ["Corners", "Lattice"]

Floats = NDArray[np.float64]
IntArray = NDArray[np.int64]

FARTHEST = 1 << 40
"""Largest number of a node along an axis: beyond it a position has no fraction left."""


@dataclass(frozen=True)
class Corners:
    """Nodes around n positions in d dimensions.

    Attributes
    ----------
    nodes : int64 (k, d)
        All nodes that are wanted, each once, in ascending order.
    place : int64 (n, d + 1)
        Which of them the corners of each position are; 0 where the weight is 0.
    weight : float64 (n, d + 1)
        Barycentric weights, which sum to 1.
    """

    nodes: IntArray
    place: IntArray
    weight: Floats

    def linear(self, values: ArrayLike) -> Floats:
        """Interpolated values, float64 (n,), of those of the nodes (k,)."""
        if not len(self.nodes):
            return np.empty(0)
        return np.asarray((self.weight * np.asarray(values, np.float64)[self.place]).sum(axis=1))

    def logarithmic(self, values: ArrayLike) -> Floats:
        """The same, linear in the logarithm where all corners are above 0: exact for exponentials."""
        known = np.asarray(values, np.float64)
        plain = self.linear(known)
        if not plain.size:
            return plain
        used = self.weight > 0
        positive = np.where(used, known[self.place] > 0, True).all(axis=1)
        one_node = used.sum(axis=1) == 1
        logarithm = np.log(np.where(known > 0, known, 1.0))
        smooth = np.exp(self.linear(logarithm))
        return np.where(positive & ~one_node, smooth, plain)


@dataclass(frozen=True)
class Lattice:
    """A lattice of nodes ``origin + step * number``.

    Attributes
    ----------
    origin, step : tuple of float
        One per dimension.
    """

    origin: tuple[float, ...]
    step: tuple[float, ...]

    def corners(self, positions: ArrayLike) -> Corners:
        """Nodes around positions, float64 (n, d).

        Raises
        ------
        InputError
            A position is not finite, or so far away that it has no place in the lattice.
        """
        where = np.asarray(positions, np.float64).reshape(-1, len(self.origin))
        steps = (where - np.asarray(self.origin)) / np.asarray(self.step)
        if not (np.abs(steps) < FARTHEST).all():
            bad = where[np.flatnonzero(~(np.abs(steps) < FARTHEST).all(axis=1))[0]]
            raise InputError(
                f"positions in a table must be finite numbers near its origin, found {bad.tolist()}"
            )
        base = np.floor(steps)
        fraction = steps - base
        by_size = np.argsort(-fraction, axis=1, kind="stable")
        sorted_fraction = np.take_along_axis(fraction, by_size, axis=1)
        ones = np.ones((len(where), 1))
        weight = -np.diff(np.concatenate((ones, sorted_fraction, 0 * ones), axis=1), axis=1)
        step_of = np.eye(len(self.origin), dtype=np.int64)[by_size]
        numbers = np.concatenate((base[:, None, :].astype(np.int64), step_of), axis=1).cumsum(axis=1)
        used = weight > 0
        nodes, inverse = np.unique(numbers[used], axis=0, return_inverse=True)
        place = np.zeros(weight.shape, np.int64)
        place[used] = inverse.reshape(-1)
        return Corners(nodes.reshape(-1, len(self.origin)), place, weight)

    def position(self, node: IntArray) -> Floats:
        """Position of a node, float64 (d,)."""
        return np.asarray(self.origin) + np.asarray(self.step) * node

    def tabulated(self, function: Callable[[Floats], float], corners: Corners) -> Floats:
        """Values of a function of position at the nodes of some corners, float64 (k,)."""
        return np.array([function(self.position(node)) for node in corners.nodes], np.float64)
