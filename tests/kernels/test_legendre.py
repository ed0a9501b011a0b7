"""Legendre functions to any degree, and harmonic analysis on rings: closed forms, mpmath, healpy."""

import math

import mpmath as mp
import numpy as np
import pytest

from vmpz.kernels import legendre
from vmpz.make.harmonics import analyse, cap_spectrum, power_spectrum, ring_layout
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.regions import Cap, covered_fractions
from vmpz.sky.skymap import SkyMap


def exact(degree: int, m: int, z: float) -> float:
    """lambda_lm to 30 digits, by the recurrence in mpmath, in which nothing underflows."""
    with mp.workdps(30):
        x = mp.mpf(z)
        value = mp.sqrt(mp.mpf(1) / (4 * mp.pi))
        for k in range(1, m + 1):
            value *= -mp.sqrt((1 - x * x) * mp.mpf(2 * k + 1) / (2 * k))
        before = mp.mpf(0)
        for n in range(m + 1, degree + 1):
            a = mp.sqrt(mp.mpf(4 * n * n - 1) / (n * n - m * m))
            b = mp.sqrt(mp.mpf((n - 1) ** 2 - m * m) / (4 * (n - 1) ** 2 - 1)) if n > m + 1 else mp.mpf(0)
            before, value = value, a * (x * value - b * before)
        return float(value)


@pytest.mark.parametrize(
    ("z", "m"),
    [(0.3, 0), (-0.7, 1), (0.0, 7), (0.9, 300), (0.999, 100), (-0.5, 1900), (0.99999, 3), (0.2, 2000)],
)
def test_columns_are_right_to_high_degrees(z: float, m: int) -> None:
    lmax = 2000
    out = np.empty(lmax + 1)
    legendre.column(z, m, lmax, out)
    for degree in sorted({m, min(m + 1, lmax), (m + lmax) // 2, lmax - 1, lmax} - set(range(m))):
        assert out[degree] == pytest.approx(exact(degree, m, z), rel=1e-9, abs=1e-12)
    assert not out[:m].any()


def test_interpreted_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    z, sine, *_ = ring_layout(2)
    generator = np.random.default_rng(1)
    north, south = generator.normal(size=(2, 8, 13, 2)).view(np.complex128)[..., 0]
    found = []
    for interpreted in (False, True):
        if interpreted:
            for name in ("_climb", "_joining", "_scaled"):
                monkeypatch.setattr(legendre, name, getattr(legendre, name).py_func)
        function = legendre.add_rings.py_func if interpreted else legendre.add_rings
        alm = np.zeros(91, np.complex128)
        function(z[:8], sine[:8], north, south, 12, alm)
        found.append(alm)
    assert np.allclose(*found, rtol=1e-12)


@pytest.mark.parametrize("order", [0, 1, 3, 6])
def test_rings_are_those_of_the_cells(order: int) -> None:
    z, sine, count, first, phase = ring_layout(order)
    assert count.sum() == hpx.number_of_cells(order)
    lon, lat = hpx.centres(hpx.from_ring(first, order), order)
    assert np.allclose(z, np.sin(np.radians(lat)), atol=1e-14)
    assert np.allclose(sine, np.cos(np.radians(lat)), rtol=1e-13)
    assert np.allclose(phase, np.radians(lon), atol=1e-13)


@pytest.mark.gpl
@pytest.mark.parametrize(("order", "lmax"), [(0, 3), (3, 24), (6, 192), (7, 200)])
def test_healpy_finds_the_same_coefficients(order: int, lmax: int) -> None:
    healpy = pytest.importorskip("healpy")
    values = np.random.default_rng(order).normal(size=hpx.number_of_cells(order))
    values[: values.size // 3] = 0.0  # a part of the sky alone
    cells = np.flatnonzero(values)
    mine = analyse(SkyMap.from_cells(order, cells, values[cells]), lmax)
    theirs = healpy.map2alm(healpy.reorder(values, n2r=True), lmax=lmax, iter=0)
    assert np.allclose(mine, theirs, atol=1e-12 * np.abs(theirs).max())
    assert np.allclose(
        power_spectrum(SkyMap.from_cells(order, cells, values[cells]), lmax), healpy.alm2cl(theirs)
    )


@pytest.mark.parametrize(("radius_deg", "order"), [(10.0, 8), (25.0, 7), (70.0, 6)])
def test_spectrum_of_a_cap(radius_deg: float, order: int) -> None:
    """Within 1e-3 of the closed form, of its height around l, up to nside/4; cells smooth as squares of their area."""
    lmax = (1 << order) // 4
    found = power_spectrum(covered_fractions(Cap(40.0, 35.0, radius_deg), order), lmax)
    degree = np.arange(lmax + 1)
    window = np.exp(-degree * (degree + 1) * hpx.cell_area_sr(order) / 12.0)
    law = cap_spectrum(radius_deg, lmax + 30)
    height = np.array([law[max(0, one - 20) : one + 20].max() for one in degree])
    assert np.all(np.abs(found / window - law[: lmax + 1]) <= 1e-3 * height)


def test_spectrum_of_a_cap_sums_to_its_area() -> None:
    law, degree = cap_spectrum(40.0, 20000), np.arange(20001)
    area = 2.0 * math.pi * (1.0 - math.cos(math.radians(40.0)))
    assert np.sum((2 * degree + 1) * law) == pytest.approx(area, rel=1e-4)


def test_nothing_and_faults() -> None:
    assert not power_spectrum(SkyMap(CellSet(4), np.empty(0)), 10).any()
    with pytest.raises(ValueError, match="lmax must lie between 0 and 48"):
        analyse(SkyMap(CellSet(4), np.empty(0)), 49)
