"""The Earth, the Sun, the zenith and the ecliptic: astropy as the oracle, and no network."""

import subprocess
import sys

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import TETE, EarthLocation, SkyCoord, get_body_barycentric
from astropy.time import Time

from vmpz.errors import InputError
from vmpz.physics import ephemeris as e
from vmpz.physics.sphere import angle_between_deg, position_angle_deg, unit_vectors

EPOCHS = np.linspace(50_000.3, 61_500.7, 40)


def test_the_earth_and_the_sun_are_where_astropy_has_them() -> None:
    time = Time(EPOCHS, format="mjd", scale="utc")
    earth, sun = (get_body_barycentric(name, time).xyz.to_value(u.au).T for name in ("earth", "sun"))
    assert np.abs(e.earth_heliocentric_au(EPOCHS) - (earth - sun)).max() < 1e-5
    assert np.abs(e.sun_barycentric_au(EPOCHS) - sun).max() < 1e-9
    steps = (e.earth_heliocentric_au(EPOCHS + 0.01) - e.earth_heliocentric_au(EPOCHS - 0.01)) / 0.02
    assert np.abs(e.earth_velocity_c(EPOCHS) * e.LIGHT_AU_PER_DAY - steps).max() < 2e-5


def test_the_longitude_of_the_sun_is_good_to_a_hundredth_of_a_degree() -> None:
    sun = SkyCoord(*(-e.earth_heliocentric_au(EPOCHS).T), representation_type="cartesian", frame="icrs")
    expected = sun.barycentricmeanecliptic.lon.deg
    assert np.abs((e.sun_ecliptic_longitude_deg(EPOCHS) - expected + 180) % 360 - 180).max() < 1e-4
    at_equinox = Time("2024-03-20T03:06:00", scale="utc").mjd
    of_date = e.sun_ecliptic_longitude_deg(at_equinox) + 24.2167 * 50.29 / 3600 - 20.5 / 3600
    assert (of_date + 180) % 360 - 180 == pytest.approx(0.0, abs=0.01)


def test_the_ecliptic_is_that_of_astropy() -> None:
    generator = np.random.Generator(np.random.Philox(3))
    lon, lat = generator.uniform(0, 360, 500), np.degrees(np.arcsin(generator.uniform(-1, 1, 500)))
    expected = SkyCoord(lon * u.deg, lat * u.deg).barycentricmeanecliptic
    found = SkyCoord(
        *(values * u.deg for values in e.ecliptic_deg(lon, lat)), frame="barycentricmeanecliptic"
    )
    assert expected.separation(found).deg.max() < 2e-5
    assert e.ecliptic_deg(0.0, 90.0)[1] == pytest.approx(90.0 - e.OBLIQUITY_J2000_DEG, abs=1e-12)


def test_the_zenith_is_that_of_the_site() -> None:
    site = EarthLocation(lon=-70.8065 * u.deg, lat=-30.1690 * u.deg, height=2200 * u.m)
    for mjd in (56_000.123, 60_600.9):
        zenith = e.zenith(mjd, -70.8065, -30.1690)
        lst = Time(mjd, format="mjd", scale="utc", location=site)
        lst.delta_ut1_utc = 0.0  # the table of UT1 - UTC is what this package does without
        expected = unit_vectors(lst.sidereal_time("apparent").deg, -30.1690)
        of_date = SkyCoord(*zenith, representation_type="cartesian").transform_to(TETE(obstime=lst))
        assert (
            angle_between_deg(unit_vectors(of_date.ra.deg, of_date.dec.deg), expected) < 0.006
        )  # aberration


def test_epochs_unknown_and_wrong() -> None:
    assert np.isnan(e.earth_heliocentric_au([60_000.0, np.nan])).tolist() == [[False] * 3, [True] * 3]
    assert np.isnan(e.zenith(np.nan, 10.0, 20.0)).all()
    for wrong in (0.0, 2_460_000.5, np.inf):
        with pytest.raises(InputError, match="1900 to 2100"):
            e.zenith([60_000.0, wrong], 0.0, 0.0)


def test_nothing_is_read_from_tables_of_the_earths_rotation() -> None:
    """In a fresh interpreter without sockets or files of IERS: astropy is not even imported."""
    code = (
        "import socket, sys\n"
        "def refuse(*a, **k): raise AssertionError('network')\n"
        "socket.socket = socket.create_connection = refuse\n"
        "from vmpz.physics import atmosphere, kelsall, solarangles, zodiacal\n"
        "site = dict(site_lon_deg=-70.8, site_lat_deg=-30.2)\n"
        "atmosphere.airmass(atmosphere.zenith_distance_deg(10., -30., 61000., **site))\n"
        "zodiacal.leinert_mjy_sr(10., -80., 61000., 0.72)\n"
        "kelsall.kelsall_mjy_sr(10., -80., 61000.)\n"
        "solarangles.sun_direction(61000.)\n"
        "assert not [m for m in sys.modules if m.startswith('astropy')], 'astropy'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_directions() -> None:
    assert position_angle_deg(10.0, 20.0, unit_vectors(10.0, 21.0)) == pytest.approx(0.0, abs=1e-12)
    assert position_angle_deg(10.0, 0.0, unit_vectors(11.0, 0.0)) == pytest.approx(90.0)
    one, other = SkyCoord(33 * u.deg, -71 * u.deg), SkyCoord(120 * u.deg, 12 * u.deg)
    found = position_angle_deg(33.0, -71.0, unit_vectors(120.0, 12.0))
    assert found == pytest.approx(one.position_angle(other).wrap_at(180 * u.deg).deg, abs=1e-12)
    assert angle_between_deg(unit_vectors(33, -71), 7 * unit_vectors(120, 12)) == pytest.approx(
        one.separation(other).deg, abs=1e-12
    )
    near = angle_between_deg(unit_vectors(0.0, 0.0), unit_vectors(1e-9, 0.0))
    assert near == pytest.approx(1e-9, rel=1e-9)
