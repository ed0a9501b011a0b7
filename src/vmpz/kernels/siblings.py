"""Values on sorted cells -> fewer, larger cells: four siblings become their parent.

Without loss, a parent replaces its cells where all of them have one value; that is a maximal aligned block in
a run of equal values, so runs are found and cut into blocks, and no tree is built. Within a tolerance, cells go
one by one on a stack of (minimum, maximum, mean); whenever its last four are siblings whose joint range is
small enough they are replaced by their parent. The result depends on nothing but the values.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["ascending", "merge_equal", "merge_within"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@njit(cache=True, nogil=True)
def merge_equal(ranges: IntArray, bits: NDArray[np.uint64], order: int) -> tuple[IntArray, IntArray]:
    """NUNIQ cells of the coarsest map with the same values, in sky order, and the row of each one's value.

    Parameters
    ----------
    ranges : int64 (n, 2)
        Sorted, disjoint, half-open ranges of cells.
    bits : uint64 (m,)
        The values' bits, cell after cell.
    order : int
    """
    uniq, row = np.empty(bits.size, np.int64), np.empty(bits.size, np.int64)
    count, place = 0, 0
    for k in range(ranges.shape[0]):
        cell, end = ranges[k, 0], ranges[k, 1]
        while cell < end:
            value, first = bits[place], place
            stop = cell
            while stop < end and bits[place] == value:
                stop += 1
                place += 1
            while cell < stop:
                level, size = 0, np.int64(1)
                while level < order and cell & (4 * size - 1) == 0 and cell + 4 * size <= stop:
                    level += 1
                    size *= 4
                uniq[count] = (np.int64(4) << (2 * (order - level))) + (cell >> (2 * level))
                row[count] = first
                count += 1
                cell += size
    return uniq[:count].copy(), row[:count].copy()


@njit(cache=True, nogil=True, error_model="numpy")
def merge_within(
    cells: IntArray, values: FloatArray, moments: FloatArray, order: int, tolerance: float
) -> tuple[IntArray, FloatArray, FloatArray, FloatArray]:
    """NUNIQ cells in sky order with least and greatest value and mean moment of their members.

    Parameters
    ----------
    cells : int64 (m,)
        Ascending.
    values, moments : float64 (m,)
        What the tolerance is about, and what is averaged.
    order : int
    tolerance : float
        Largest difference between the members of a cell.
    """
    count = 0
    uniq = np.empty(cells.size, np.int64)
    least, most, mean = np.empty(cells.size), np.empty(cells.size), np.empty(cells.size)
    for k in range(cells.size):
        uniq[count] = (np.int64(4) << (2 * order)) + cells[k]
        least[count], most[count], mean[count] = values[k], values[k], moments[k]
        count += 1
        while count >= 4 and uniq[count - 1] & 3 == 3 and uniq[count - 1] >= 16:
            first = count - 4
            if uniq[first] != uniq[count - 1] - 3 or uniq[first + 1] != uniq[first] + 1:
                break
            if uniq[first + 2] != uniq[first] + 2:
                break
            low = min(min(least[first], least[first + 1]), min(least[first + 2], least[first + 3]))
            high = max(max(most[first], most[first + 1]), max(most[first + 2], most[first + 3]))
            if not high - low <= tolerance:
                break
            mean[first] = 0.25 * ((mean[first] + mean[first + 1]) + (mean[first + 2] + mean[first + 3]))
            least[first], most[first] = low, high
            uniq[first] >>= 2
            count = first + 1
    return uniq[:count].copy(), least[:count].copy(), most[:count].copy(), mean[:count].copy()


@njit(cache=True, nogil=True)
def ascending(uniq: IntArray, order: int) -> IntArray:
    """Places of NUNIQ cells in ascending order, of cells that come in sky order: a counting sort by their order."""
    level = np.empty(uniq.size, np.int8)
    start = np.zeros(order + 2, np.int64)
    for k in range(uniq.size):
        depth = order
        while uniq[k] < np.int64(4) << (2 * depth):
            depth -= 1
        level[k] = depth
        start[depth + 1] += 1
    for depth in range(order + 1):
        start[depth + 1] += start[depth]
    place = np.empty(uniq.size, np.int64)
    for k in range(uniq.size):
        place[start[level[k]]] = k
        start[level[k]] += 1
    return place
