"""Where outlines lie: the box of each in its face, and the nodes of the tree of cells that it reaches into."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from vmpz.kernels.chords import LARGEST_BOX, outline_points
from vmpz.kernels.clipping import spread
from vmpz.kernels.pointinside import first_crossing

__all__ = ["CROSSED", "DONE", "MOST_POINTS", "SEAM", "SUB_CELL_TOLERANCE", "find_boxes", "list_nodes"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

DONE, SEAM, CROSSED = 0, 1, 2  # states of an outline
MOST_POINTS = 1 << 14
SUB_CELL_TOLERANCE = 1e-3  # of a cell, for the outline of a curve among the sub-cells: 1/125 of one


@njit(cache=True, nogil=True, error_model="numpy")
def find_boxes(
    corners: FloatArray, first: IntArray, order: int, tolerance: float
) -> tuple[IntArray, IntArray]:
    """Where outlines lie.

    Parameters
    ----------
    corners : float64 (c, 3)
        Unit vectors of the vertices, outline after outline, in either orientation; vertices may be repeated.
    first : int64 (n + 1,)
        First corner of each outline, and the number of corners.
    order : int
    tolerance : float
        Of chords, in cells; 0 for curves.

    Returns
    -------
    state : int64 (n,)
        `DONE`; `SEAM` where the outline does not lie in one smooth piece of a face, is too large or has no area;
        `CROSSED` where edges cross.
    box : int64 (n, 6)
        Face, first and last column, first and last row, and the orientation, +1 or -1.
    """
    nside = float(1 << order)
    many_outlines = first.size - 1
    state, box = np.empty(many_outlines, np.int64), np.zeros((many_outlines, 6), np.int64)
    points = np.empty((MOST_POINTS, 2))
    near = tolerance if tolerance > 0.0 else SUB_CELL_TOLERANCE
    for k in range(many_outlines):
        outline = corners[first[k] : first[k + 1]]
        state[k] = CROSSED
        if first_crossing(outline)[0] >= 0:
            continue
        state[k] = SEAM
        many, face = outline_points(outline, nside, near, points)
        left, right, bottom, top = np.inf, -np.inf, np.inf, -np.inf
        twice = 0.0
        for j in range(many):
            x, y = points[j, 0], points[j, 1]
            left, right, bottom, top = min(left, x), max(right, x), min(bottom, y), max(top, y)
            if j > 0:
                px, py = points[j - 1, 0] - points[0, 0], points[j - 1, 1] - points[0, 1]
                twice += px * (y - points[0, 1]) - (x - points[0, 0]) * py
        left, right, bottom, top = left - near, right + near, bottom - near, top + near
        if many == 0 or twice == 0.0 or left < 0.0 or bottom < 0.0 or right >= nside or top >= nside:
            continue
        box[k, 0], box[k, 5] = face, 1 if twice > 0.0 else -1
        box[k, 1], box[k, 2], box[k, 3], box[k, 4] = int(left), int(right), int(bottom), int(top)
        if (box[k, 2] - box[k, 1] + 1) * (box[k, 4] - box[k, 3] + 1) <= LARGEST_BOX:
            state[k] = DONE
    return state, box


@njit(cache=True, nogil=True)
def list_nodes(box: IntArray, rows: IntArray, level: int, depth: int) -> tuple[IntArray, IntArray]:
    """Pairs of a node (of order `level`) and an outline whose box reaches into it, outline after outline in `rows`."""
    count = 0
    for row in rows:
        wide = (box[row, 2] >> depth) - (box[row, 1] >> depth) + 1
        count += wide * ((box[row, 4] >> depth) - (box[row, 3] >> depth) + 1)
    node, owner = np.empty(count, np.int64), np.empty(count, np.int64)
    count = 0
    for row in rows:
        for y in range(box[row, 3] >> depth, (box[row, 4] >> depth) + 1):
            for x in range(box[row, 1] >> depth, (box[row, 2] >> depth) + 1):
                node[count] = (box[row, 0] << (2 * level)) | spread(x) | (spread(y) << 1)
                owner[count] = row
                count += 1
    return node, owner
