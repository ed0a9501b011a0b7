"""Points against regions, and edges of an outline against one another.

A region is a loop of arcs (`vmpz.kernels.clipping`): one full circle, a ring between two, or great-circle edges. A
point is in a polygon when the way from it to the middle of an edge arrives from the left after an even number of
crossings, or from the right after an odd one; the edge is the one whose plane is farthest from the point, so that
the way never runs along it. No projection is used: any polygon, any place, poles included.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["first_crossing", "inside"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@njit(cache=True, nogil=True, error_model="numpy")
def _in_circle(arc: FloatArray, point: FloatArray) -> bool:
    """Whether a point lies left of a full circle, by chord length, which stays exact for small circles."""
    a, b = arc[3:6], arc[6:9]
    size = a[0] * a[0] + a[1] * a[1] + a[2] * a[2]
    n0 = (a[1] * b[2] - a[2] * b[1]) / size
    n1 = (a[2] * b[0] - a[0] * b[2]) / size
    n2 = (a[0] * b[1] - a[1] * b[0]) / size
    height = arc[0] * n0 + arc[1] * n1 + arc[2] * n2
    near = 1.0 if height >= 0.0 else -1.0  # measure from the pole of the smaller side
    distance2 = (point[0] - near * n0) ** 2 + (point[1] - near * n1) ** 2 + (point[2] - near * n2) ** 2
    within = distance2 < 2.0 * size / (1.0 + abs(height))
    return bool(within) == (near > 0.0)


@njit(cache=True, nogil=True, error_model="numpy")
def _in_polygon(starts: FloatArray, normals: FloatArray, middles: FloatArray, point: FloatArray) -> bool:
    """Parity of crossings on the way from a point to the middle of the edge whose plane is farthest from it."""
    edges = starts.shape[0]
    best, widest = 0, -1.0
    for k in range(edges):
        distance = abs(normals[k, 0] * point[0] + normals[k, 1] * point[1] + normals[k, 2] * point[2])
        if distance > widest:
            best, widest = k, distance
    goal = middles[best]
    w0 = point[1] * goal[2] - point[2] * goal[1]
    w1 = point[2] * goal[0] - point[0] * goal[2]
    w2 = point[0] * goal[1] - point[1] * goal[0]
    n = normals[best]
    inside_now = bool(n[0] * point[0] + n[1] * point[1] + n[2] * point[2] > 0.0)
    a = starts[0]
    left_a = w0 * a[0] + w1 * a[1] + w2 * a[2] >= 0.0
    for k in range(edges):
        b = starts[k + 1 if k + 1 < edges else 0]
        left_b = w0 * b[0] + w1 * b[1] + w2 * b[2] >= 0.0
        if left_a != left_b and k != best:
            n = normals[k]
            from_left = n[0] * point[0] + n[1] * point[1] + n[2] * point[2] >= 0.0
            to_left = n[0] * goal[0] + n[1] * goal[1] + n[2] * goal[2] >= 0.0
            # a and b on both sides of the way, its ends on both sides of the edge, and not at the antipode
            if from_left != to_left and to_left == left_a:
                inside_now = not inside_now
        left_a = left_b
    return inside_now


@njit(cache=True, nogil=True, error_model="numpy")
def inside(points: FloatArray, owner: IntArray, arcs: FloatArray, first: IntArray) -> NDArray[np.bool_]:
    """Whether points lie in the regions that ask for them.

    Parameters
    ----------
    points : float64 (m, 3)
        Unit vectors.
    owner : int64 (m,)
        Region to test each point against, ascending.
    arcs, first
        As for `vmpz.kernels.clipping.trace`; a region is a loop of great-circle edges, or one or two full circles:
        a region on the left of both is a ring.

    Returns
    -------
    bool (m,)
    """
    answer = np.empty(owner.size, np.bool_)
    held = np.int64(-1)
    starts, normals, middles = np.empty((0, 3)), np.empty((0, 3)), np.empty((0, 3))
    for i in range(owner.size):
        region = owner[i]
        begin, end = first[region], first[region + 1]
        if end - begin <= 2:
            answer[i] = _in_circle(arcs[begin], points[i]) and _in_circle(arcs[end - 1], points[i])
            continue
        if region != held:
            starts = arcs[begin:end, 3:6].copy()
            normals, middles = np.empty_like(starts), np.empty_like(starts)
            for k in range(end - begin):
                arc = arcs[begin + k]
                c, n = math.cos(0.5 * arc[9]), math.sin(0.5 * arc[9])
                middles[k] = arc[3:6] * c + arc[6:9] * n
                normals[k, 0] = arc[4] * arc[8] - arc[5] * arc[7]
                normals[k, 1] = arc[5] * arc[6] - arc[3] * arc[8]
                normals[k, 2] = arc[3] * arc[7] - arc[4] * arc[6]
            held = region
        answer[i] = _in_polygon(starts, normals, middles, points[i])
    return answer


@njit(cache=True, nogil=True)
def _side(a: FloatArray, b: FloatArray, c: FloatArray) -> int:
    """+1 where c lies left of the edge a, b, -1 right of it, 0 on its great circle within rounding."""
    b0, b1, b2 = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    c0, c1, c2 = c[0] - a[0], c[1] - a[1], c[2] - a[2]
    volume = a[0] * (b1 * c2 - b2 * c1) + a[1] * (b2 * c0 - b0 * c2) + a[2] * (b0 * c1 - b1 * c0)
    doubt = 1e-15 * (abs(b0) + abs(b1) + abs(b2) + abs(c0) + abs(c1) + abs(c2))
    if volume > doubt:
        return 1
    return -1 if volume < -doubt else 0


@njit(cache=True, nogil=True)
def first_crossing(vertices: FloatArray) -> tuple[int, int]:
    """First pair of edges of a closed polygon that cross, as numbers of their first vertices, or (-1, -1).

    `vertices` are unit vectors (n, 3); edge k goes from vertex k to the next one. Edges that only touch do
    not cross.
    """
    many = vertices.shape[0]
    for i in range(many):
        a, b = vertices[i], vertices[(i + 1) % many]
        for j in range(i + 2, many if i > 0 else many - 1):
            c, d = vertices[j], vertices[(j + 1) % many]
            side = _side(a, b, d)
            if side == 0 or _side(a, b, c) != -side:
                continue
            if _side(c, d, a) == side and _side(c, d, b) == -side:
                return i, j
    return -1, -1
