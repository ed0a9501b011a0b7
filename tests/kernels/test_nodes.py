"""Outlines in a node: compiled as interpreted, by chords and along curves, and what is left to others."""

import numpy as np
import pytest

from sky_helpers import tangent_square
from vmpz.kernels import boxes, chords, clipping, curves, nodes, pointinside
from vmpz.sky.covers import unit_vectors

ORDER, DEPTH = 9, 5
OUTLINES = [
    tangent_square(57.9988, -51.5884, 0.5, 20.0),
    tangent_square(57.9, -51.5, 0.3, 0.0)[::-1],
    np.array([[57.5, -51.9], [58.0, -51.8], [57.5, -51.3], [57.7, -51.8]]),  # concave
    tangent_square(57.95, -51.6, 0.001),  # in one cell
]
SEAMS = [
    tangent_square(0.0, 45.0, 0.1),
    np.array([[0.0, 10.0], [1.0, 10.0], [2.0, 10.0], [1.0, 10.0]]),  # no area
]
CROSSED = [np.array([[0.0, 0.0], [1.0, 1.0], [1.0, 0.0], [0.0, 1.0]])]


def loops(outlines):
    """Corners and the first of each outline."""
    corners = np.concatenate([unit_vectors(*one.T) for one in outlines])
    return corners, np.cumsum([0, *(len(one) for one in outlines)])


def interpreted(monkeypatch):
    """The kernels as Python."""
    for module in (clipping, pointinside, chords, curves, boxes, nodes):
        for name, value in list(vars(module).items()):
            if hasattr(value, "py_func"):
                monkeypatch.setattr(module, name, value.py_func)
    return nodes


def whole(kernels, tolerance):
    """Everything the kernels make of the outlines, node by node."""
    corners, first = loops(OUTLINES)
    state, box = boxes.find_boxes(corners, first, ORDER, tolerance)
    node, row = boxes.list_nodes(box, np.arange(len(OUTLINES)), ORDER - DEPTH, DEPTH)
    found = [state, box, node, row]
    weights = np.stack((np.ones(len(OUTLINES)), np.arange(len(OUTLINES)) + 0.5), axis=1)
    for one in np.unique(node):
        inner = int(one) & (4 ** (ORDER - DEPTH) - 1)
        corner = tuple(
            sum((inner >> (2 * bit + axis) & 1) << bit for bit in range(ORDER)) << DEPTH for axis in (0, 1)
        )
        asked = (corners, first, row[node == one], box, ORDER, tolerance, 1e-9, corner, DEPTH)
        square = (
            np.zeros((4**DEPTH, 2)),
            np.zeros(4**DEPTH, bool),
            np.zeros((4**DEPTH, 2)),
            np.zeros(4**DEPTH, np.uint64),
        )
        kernels.add_outlines(*asked, weights, *square)
        some = np.array([3, 7])
        kernels.add_pairs(
            some, some % 2, np.array([0.25, 0.5]), np.array([1, 3], np.uint64), weights, *square
        )
        kernels.add_ranges(np.array([[5, 9]]), np.array([1]), weights, *square)
        found += [*kernels.list_shares(*asked), *kernels.collect(int(one) << (2 * DEPTH), *square)]
        assert not any(column.any() for column in square)
    return found


@pytest.mark.parametrize("tolerance", [0.0, 1e-3])
def test_interpreted(monkeypatch, tolerance):
    compiled = whole(nodes, tolerance)
    assert compiled[0].tolist() == [boxes.DONE] * len(OUTLINES)
    for one, two in zip(compiled, whole(interpreted(monkeypatch), tolerance), strict=True):
        assert one.dtype == two.dtype and np.asarray(one) == pytest.approx(np.asarray(two), abs=1e-12)


def test_states():
    for tolerance in (0.0, 1e-4):
        state, _ = boxes.find_boxes(*loops(OUTLINES + SEAMS + CROSSED), 12, tolerance)
        assert state.tolist() == [boxes.DONE] * 4 + [boxes.SEAM] * 2 + [boxes.CROSSED]


def test_nodes_of_an_outline_are_those_of_its_box():
    corners, first = loops(OUTLINES)
    _, box = boxes.find_boxes(corners, first, 14, 0.0)
    node, row = boxes.list_nodes(box, np.array([2, 0]), 14 - 4, 4)
    assert row.tolist() == sorted(row.tolist(), key=[2, 0].index)
    assert len(set(zip(node.tolist(), row.tolist(), strict=True))) == node.size
    wide = [
        ((box[k, 2] >> 4) - (box[k, 1] >> 4) + 1) * ((box[k, 4] >> 4) - (box[k, 3] >> 4) + 1) for k in (2, 0)
    ]
    assert np.bincount(row)[[2, 0]].tolist() == wide
