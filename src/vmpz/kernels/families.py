"""Children to parents: weighted sums over families of cells, child after child.

Sums are made in the order of the cells, one after the other, and the family that is not yet complete is carried from
call to call: the result does not depend on where the list was cut.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["add_children"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@njit(cache=True, nogil=True)
def add_children(
    cells: IntArray, values: FloatArray, weights: FloatArray, shift: int,
    open_parent: IntArray, open_sums: FloatArray, parents: IntArray, sums: FloatArray,
) -> int:  # fmt: skip
    """Add children to their families and give the families that are complete.

    Parameters
    ----------
    cells : int64 (n,)
        Ascending, none below those of earlier calls.
    values, weights : float64 (n,)
        NaN values, and weights that are not positive, add nothing.
    shift : int
        Bits between child and parent, 2 per order.
    open_parent, open_sums : int64 (1,), float64 (2,)
        The family carried over (-1: none), its sum of weights and weighted sum; changed.
    parents, sums : int64 (n,), float64 (n, 2)
        Output: complete families, sum of weights and weighted sum.

    Returns
    -------
    int
        How many families are complete.
    """
    count = 0
    parent, total, weighted = open_parent[0], open_sums[0], open_sums[1]
    for k in range(cells.size):
        above = cells[k] >> shift
        if above != parent:
            if parent >= 0:
                parents[count], sums[count, 0], sums[count, 1] = parent, total, weighted
                count += 1
            parent, total, weighted = above, 0.0, 0.0
        if weights[k] > 0.0 and values[k] == values[k]:
            total += weights[k]
            weighted += weights[k] * values[k]
    open_parent[0], open_sums[0], open_sums[1] = parent, total, weighted
    return count
