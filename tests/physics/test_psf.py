"""Nearest points on the sphere against all distances."""

import numpy as np
import pytest
from astropy.coordinates import angular_separation

from vmpz.physics.psf import nearest_on_sphere


@pytest.mark.parametrize("around", [(0.0, 89.9), (0.0, 0.0), (180.0, -45.0)])
def test_nearest_agrees_with_all_distances(around: tuple[float, float]) -> None:
    generator = np.random.Generator(np.random.Philox(7))
    lon = (around[0] + generator.uniform(-0.3, 0.3, 40) / np.cos(np.radians(around[1]))) % 360
    lat = np.clip(around[1] + generator.uniform(-0.3, 0.3, 40), -90, 90)
    index, distance = nearest_on_sphere(lon[:30], lat[:30], lon[30:], lat[30:], 4)
    every = np.degrees(
        angular_separation(
            np.radians(lon[30:, None]), np.radians(lat[30:, None]), np.radians(lon[:30]), np.radians(lat[:30])
        )
    )
    assert np.array_equal(index, np.argsort(every, axis=1)[:, :4])
    assert np.allclose(distance, np.sort(every, axis=1)[:, :4], rtol=1e-9)


def test_fewer_points_than_asked_for() -> None:
    index, distance = nearest_on_sphere(
        np.array([10.0]), np.array([0.0]), np.array([11.0]), np.array([0.0]), 4
    )
    assert index.tolist() == [[0]]
    assert distance[0, 0] == pytest.approx(1.0)
