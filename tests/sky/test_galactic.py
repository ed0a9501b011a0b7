"""Galactic coordinates against astropy, and as the rotation that they are."""

import numpy as np
from astropy.coordinates import SkyCoord

from vmpz.sky.covers import unit_vectors
from vmpz.sky.galactic import GALACTIC_FROM_ICRS, galactic

RNG = np.random.default_rng(2)
LON, LAT = RNG.uniform(-360, 720, 20_000), np.degrees(np.arcsin(RNG.uniform(-1, 1, 20_000)))


def test_they_are_those_of_astropy() -> None:
    lon = np.concatenate((LON, [0, 77, 0, 192.85948, 12.85948, 266.4, 0]))
    lat = np.concatenate((LAT, [90, 90, -90, 27.12825, -27.12825, -28.9, 0]))
    expected = SkyCoord(lon, lat, unit="deg").galactic
    x, y = galactic(lon, lat)
    assert SkyCoord(x, y, unit="deg", frame="galactic").separation(expected).deg.max() < 1e-10
    assert np.abs(y - expected.b.deg).max() < 1e-10
    assert x.min() >= 0 and x.max() < 360


def test_it_is_a_rotation() -> None:
    np.testing.assert_allclose(GALACTIC_FROM_ICRS @ GALACTIC_FROM_ICRS.T, np.eye(3), atol=1e-14)
    assert np.linalg.det(GALACTIC_FROM_ICRS) > 0
    turned = unit_vectors(*galactic(LON, LAT))
    np.testing.assert_allclose(
        turned @ turned[0], unit_vectors(LON, LAT) @ unit_vectors(LON[0], LAT[0]), atol=1e-13
    )


def test_shapes_broadcast() -> None:
    x, y = galactic(np.zeros((3, 1)), np.zeros(2))
    assert x.shape == y.shape == (3, 2)
