"""Angles to the Sun: symmetries, closed forms, and the origins of a position."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from hypothesis import given, settings
from hypothesis import strategies as st

from vmpz.errors import InputError
from vmpz.physics import solarangles as s
from vmpz.physics.ephemeris import KM_PER_AU, earth_heliocentric_au, sun_barycentric_au
from vmpz.physics.sphere import angle_between_deg, position_angle_deg, unit_vectors

LON, LAT, ANGLE = st.floats(0, 360), st.floats(-89, 89), st.floats(-180, 180)


def test_the_sun_is_where_astropy_sees_it_from_the_earth() -> None:
    mjd = np.array([58_849.0, 60_000.0, 61_234.5])
    sun = SkyCoord(*s.sun_direction(mjd).T, representation_type="cartesian", frame="icrs")
    expected = SkyCoord(*(-earth_heliocentric_au(mjd).T), representation_type="cartesian", frame="icrs")
    assert sun.separation(expected).deg.max() < 1e-9
    assert np.allclose(np.linalg.norm(s.sun_direction(mjd), axis=-1), 1.0)


def test_origins_of_a_position_agree() -> None:
    mjd = np.array([60_000.0, 60_100.0])
    halo_km = np.array([[1.2e6, 8e5, -3e5], [-9e5, 9e5, 4e5]])
    heliocentric_km = earth_heliocentric_au(mjd) * KM_PER_AU + halo_km
    barycentric_km = heliocentric_km + sun_barycentric_au(mjd) * KM_PER_AU
    here = s.sun_direction(mjd, halo_km)
    assert np.allclose(s.sun_direction(mjd, heliocentric_km, origin="heliocentric"), here, atol=1e-12)
    assert np.allclose(s.sun_direction(mjd, barycentric_km, origin="barycentric"), here, atol=1e-12)
    from_earth = angle_between_deg(here, s.sun_direction(mjd))
    assert np.all((from_earth > 0.05) & (from_earth < 0.7))


@pytest.mark.parametrize(
    ("position", "origin", "message"),
    [
        ([1.5e8, 0, 0], "geocentric", "origin or its unit"),
        ([1.5e6, 0, 0], "heliocentric", "origin or its unit"),
        ([1.0, 0, 0], "barycentric", "origin or its unit"),
        ([1.5e6, 0], "geocentric", "three components"),
        ([1.5e6, 0, 0], "selenocentric", "one of geocentric"),
    ],
)
def test_a_wrong_position_is_refused(position: list[float], origin: s.Origin, message: str) -> None:
    with pytest.raises(InputError, match=message):
        s.sun_direction(60_000.0, position, origin=origin)


@given(lon=LON, lat=LAT, sun_lon=LON, sun_lat=LAT)
@settings(max_examples=80, deadline=None)
def test_the_solar_aspect_angle_is_symmetric(lon: float, lat: float, sun_lon: float, sun_lat: float) -> None:
    there = s.solar_aspect_angle_deg(lon, lat, unit_vectors(sun_lon, sun_lat))
    back = s.solar_aspect_angle_deg(sun_lon, sun_lat, 3.0 * unit_vectors(lon, lat))
    assert there == pytest.approx(back, abs=1e-12)
    cosine = unit_vectors(lon, lat) @ unit_vectors(sun_lon, sun_lat)
    assert np.cos(np.radians(there)) == pytest.approx(cosine, abs=1e-14)
    assert s.solar_aspect_angle_deg(lon, lat, -unit_vectors(sun_lon, sun_lat)) == pytest.approx(180 - there)


@given(lon=LON, lat=LAT, side=ANGLE, saa=st.floats(60, 120), alpha=st.floats(-90, 90))
@settings(max_examples=80, deadline=None)
def test_alpha_and_beta_place_the_sun_in_the_body_frame(
    lon: float, lat: float, side: float, saa: float, alpha: float
) -> None:
    pointing = unit_vectors(lon, lat)
    east = unit_vectors(lon + 90.0, 0.0)
    north = np.cross(pointing, east)

    def on_sky(angle: float) -> np.ndarray:
        return np.cos(np.radians(angle)) * north + np.sin(np.radians(angle)) * east

    beta = np.radians(saa - 90.0)
    z, across = on_sky(side), on_sky(side + 90.0)
    turned = np.radians(alpha)
    sun = -np.sin(beta) * pointing + np.cos(beta) * (np.sin(turned) * across + np.cos(turned) * z)
    found = s.alpha_angle_deg(lon, lat, side, sun)
    assert (found - alpha + 180) % 360 - 180 == pytest.approx(0.0, abs=1e-9)
    assert s.beta_angle_deg(lon, lat, sun) == pytest.approx(saa - 90.0, abs=1e-9)


def test_alpha_vanishes_where_the_sun_lies_in_the_plane_of_boresight_and_sunshield() -> None:
    sun = unit_vectors(200.0, 10.0)
    side = position_angle_deg(100.0, 5.0, sun)
    assert s.alpha_angle_deg(100.0, 5.0, side, sun) == 0.0
    assert s.alpha_angle_deg(100.0, 5.0, side + 5.0, sun) == pytest.approx(-5.0, abs=1e-9)
    assert s.beta_angle_deg(100.0, 5.0, unit_vectors(190.0, 0.0)) == pytest.approx(0.0, abs=1e-9)
    assert s.beta_angle_deg(100.0, 5.0, -unit_vectors(100.0, 5.0)) == pytest.approx(90.0)
