"""Stamps on the sky: the Jacobian of a mapping, and shapes that do not depend on how the detector is turned."""

import numpy as np
import pytest
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_area
from hypothesis import given
from hypothesis import strategies as st

from vmpz.readers.stamps import joined_stamps, pixel_jacobian, stamps_on_sky

ZERO = np.array([0.0])


def tangent(
    matrix_arcsec: np.ndarray, lon: float = 30.0, lat: float = -40.0, *, swapped: bool = False
) -> WCS:
    """TAN about the first pixel; rows of the matrix: arcsec to the east and to the north."""
    wcs = WCS(naxis=2)
    order = [1, 0] if swapped else [0, 1]
    wcs.wcs.ctype = [("RA---TAN", "DEC--TAN")[axis] for axis in order]
    wcs.wcs.crval = np.array([lon, lat])[order]
    wcs.wcs.crpix = [1.0, 1.0]
    wcs.wcs.cd = matrix_arcsec[order] / 3600.0
    wcs.wcs.set()
    return wcs


def turned(angle_deg: float, scale_arcsec: float = 0.3, mirrored: bool = False) -> np.ndarray:
    c, s = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    return scale_arcsec * np.array([[c, -s], [s, c]]) @ np.diag([1.0 if mirrored else -1.0, 1.0])


def gaussian(moments: np.ndarray, size: int = 41) -> np.ndarray:
    inverse = np.linalg.inv(moments)
    y, x = np.mgrid[:size, :size] - size // 2
    return np.exp(-0.5 * (inverse[0, 0] * x * x + 2 * inverse[0, 1] * x * y + inverse[1, 1] * y * y))


@given(st.floats(0.0, 360.0), st.floats(0.05, 30.0), st.floats(-85.0, 85.0), st.booleans(), st.booleans())
def test_the_jacobian_at_the_tangent_point_is_the_matrix(
    angle_deg: float, scale: float, lat: float, mirrored: bool, swapped: bool
) -> None:
    matrix = turned(angle_deg, scale, mirrored)
    wcs = tangent(matrix, lat=lat, swapped=swapped)
    found = pixel_jacobian(wcs, ZERO, ZERO)
    np.testing.assert_allclose(found[0], np.diag([-1.0, 1.0]) @ matrix, atol=1e-7 * scale)
    area = proj_plane_pixel_area(wcs) * 3600.0**2
    assert abs(np.linalg.det(found[0])) == pytest.approx(area, rel=1e-7)


@given(st.floats(0.0, 360.0), st.booleans(), st.floats(-0.3, 0.3), st.floats(-0.3, 0.3))
def test_the_shape_on_the_sky_does_not_turn_with_the_detector(
    angle_deg: float, mirrored: bool, e1: float, e2: float
) -> None:
    """A PSF of given moments on the sky, drawn on a detector of any orientation, is found again."""
    on_sky = 0.04 * np.array([[1.0 + e1, e2], [e2, 1.0 - e1]])
    wcs = tangent(turned(angle_deg, mirrored=mirrored))
    samples = np.linalg.inv(pixel_jacobian(wcs, ZERO, ZERO)[0]) * 4.0
    stamp = gaussian(samples @ on_sky @ samples.T)
    psf = stamps_on_sky(stamp[None], 4.0, wcs, ZERO, ZERO, 7)
    np.testing.assert_allclose(psf.moments_arcsec2[0], [on_sky[0, 0], on_sky[1, 1], on_sky[0, 1]], atol=1e-6)
    assert psf.fwhm_arcsec[0] == pytest.approx(2.354820045 * np.linalg.det(on_sky) ** 0.25, rel=1e-4)
    assert (psf.lon_deg[0], psf.lat_deg[0]) == pytest.approx((30.0, -40.0), abs=1e-12)
    assert psf.detector.tolist() == [7]


def test_stamps_of_detectors_are_joined_in_order() -> None:
    wcs = tangent(turned(0.0))
    parts = [
        stamps_on_sky(np.stack([gaussian(np.eye(2) * s)] * n), 1.0, wcs, np.arange(n) * 1.0, np.zeros(n), row)
        for row, (n, s) in enumerate(((2, 4.0), (1, 9.0)))
    ]
    joined = joined_stamps(parts)
    assert joined.detector.tolist() == [0, 0, 1]
    np.testing.assert_allclose(joined.fwhm_arcsec, 2.354820045 * 0.3 * np.array([2.0, 2.0, 3.0]), rtol=1e-4)
    assert joined.moments_arcsec2.shape == (3, 3)
    assert len(joined_stamps([]).lon_deg) == 0
