"""Kernels of regions: compiled as interpreted, and the order of arcs and regions."""

import math

import numpy as np
import pytest

from sky_helpers import tangent_square
from vmpz.kernels import clipping, pointinside
from vmpz.sky.covers import Boundaries, unit_vectors
from vmpz.sky.regions import Cap, Polygon

REGIONS = [
    Cap(10.0, 41.81, 3.0),
    Cap(0.0, 90.0, 4.0, outside=True),
    Polygon(tangent_square(45.0, 0.0, 6.0, 20.0)),
    Polygon([(350.0, 40.0), (10.0, 42.0), (0.0, 60.0), (2.0, 43.0)]),
    Polygon([(0.0, 80.0), (90.0, 80.0), (180.0, 80.0), (270.0, 80.0)]),
]


def boundaries(regions=REGIONS):
    return Boundaries.of([one.arcs for one in regions], [one.everything for one in regions])


def interpreted(monkeypatch, module):
    """Replace every kernel of a module by its Python source."""
    for name, value in list(vars(module).items()):
        if hasattr(value, "py_func"):
            monkeypatch.setattr(module, name, value.py_func)
    return module


def test_trace_interpreted(monkeypatch):
    arcs = boundaries()
    compiled = clipping.trace(arcs.arcs, arcs.first, 3)
    plain = interpreted(monkeypatch, clipping).trace(arcs.arcs, arcs.first, 3)
    for one, two in zip(compiled, plain, strict=True):
        assert one.dtype == two.dtype and one == pytest.approx(two, abs=1e-12)


def test_trace_gives_the_area_modulo_whole_cells():
    arcs = boundaries()
    owner, cell, share = clipping.trace(arcs.arcs, arcs.first, 4)
    for k, region in enumerate(REGIONS):
        area = region.area_deg2 * math.radians(1) ** 2 / (4 * math.pi / (12 * 4**4))
        assert abs(math.remainder(share[owner == k].sum() - area, 1.0)) < 1e-10
    assert np.all(np.diff(owner) >= 0) and cell.min() >= 0 and cell.max() < 12 * 4**4


def test_regions_do_not_know_one_another():
    together = clipping.trace(boundaries().arcs, boundaries().first, 6)
    for k, region in enumerate(REGIONS):
        alone = boundaries([region])
        _, cell, share = clipping.trace(alone.arcs, alone.first, 6)
        assert np.array_equal(together[1][together[0] == k], cell)
        assert np.array_equal(together[2][together[0] == k], share)


def test_inside_interpreted_and_against_signs(monkeypatch):
    arcs = boundaries()
    random = np.random.default_rng(3)
    points = random.normal(size=(400, 3))
    points[200:] = arcs.arcs[random.integers(0, len(arcs.arcs), 200), 3:6] + 0.05 * points[200:]
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    owner = np.sort(random.integers(0, len(REGIONS), 400))
    compiled = pointinside.inside(points, owner, arcs.arcs, arcs.first)
    plain = interpreted(monkeypatch, pointinside).inside(points, owner, arcs.arcs, arcs.first)
    assert np.array_equal(compiled, plain)
    centre = unit_vectors(10.0, 41.81)
    assert np.array_equal(compiled[owner == 0], points[owner == 0] @ centre > math.cos(math.radians(3.0)))
    square = arcs.arcs[arcs.first[2] : arcs.first[3]]
    left = np.cross(square[:, 3:6], square[:, 6:9]) @ points[owner == 2].T > 0
    assert np.array_equal(compiled[owner == 2], left.all(axis=0))
    assert np.array_equal(compiled[owner == 4], points[owner == 4, 2] > 0.9) or np.any(compiled[owner == 4])


def test_crossings(monkeypatch):
    bow = unit_vectors([0, 1, 1, 0], [0, 1, 0, 1])
    line = unit_vectors(np.linspace(0, 1, 30), np.linspace(0, 1e-3, 30))
    assert tuple(pointinside.first_crossing(bow)) == (0, 2)
    assert tuple(pointinside.first_crossing(line)) == (-1, -1)
    plain = interpreted(monkeypatch, pointinside)
    assert plain.first_crossing(bow) == (0, 2) and plain.first_crossing(line) == (-1, -1)
