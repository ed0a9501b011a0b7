"""Model A of the zodiacal light: nodes, interpolation against a slow one, symmetries, refusals."""

from itertools import product
from math import log, radians

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vmpz.errors import InputError
from vmpz.physics import zodiacal as z
from vmpz.physics.ephemeris import OBLIQUITY_J2000_DEG, sun_ecliptic_longitude_deg

POLE = (270.0, 90.0 - OBLIQUITY_J2000_DEG)
"""North ecliptic pole, ICRS."""
NODES = [
    (row, column)
    for row, column in product(range(len(z.LONGITUDES_DEG)), range(len(z.LATITUDES_DEG)))
    if not np.isnan(z.TABLE[row, column])
]


def icrs(ecliptic_lon_deg: float, ecliptic_lat_deg: float) -> tuple[float, float]:
    """The inverse of `ecliptic_deg`, by spherical trigonometry."""
    lon, lat, tilt = (radians(angle) for angle in (ecliptic_lon_deg, ecliptic_lat_deg, OBLIQUITY_J2000_DEG))
    sine = np.sin(lat) * np.cos(tilt) + np.cos(lat) * np.sin(tilt) * np.sin(lon)
    ra = np.arctan2(np.sin(lon) * np.cos(tilt) - np.tan(lat) * np.sin(tilt), np.cos(lon))
    return float(np.degrees(ra)) % 360.0, float(np.degrees(np.arcsin(sine)))


@pytest.mark.parametrize(("lon", "lat", "value"), [(17.0, 90.0, 77), (90.0, 0.0, 259), (90.0, 60.0, 86)])
def test_published_nodes(lon: float, lat: float, value: float) -> None:
    assert z.table_radiance(lon, lat) == pytest.approx(value, rel=1e-14)


def test_every_node_that_may_be_asked_for_is_exact() -> None:
    for row, column in NODES:
        lon, lat = z.LONGITUDES_DEG[row], z.LATITUDES_DEG[column]
        if z.elongation_deg(lon, lat) >= 15.0 - 1e-9:
            assert z.table_radiance(lon, lat) == pytest.approx(z.TABLE[row, column], rel=1e-13)


def test_magnitudes_at_half_a_micron() -> None:
    found = z.ab_mag_per_arcsec2(z.mjy_sr_of_radiance([77, 259, 86], 0.5))
    assert found == pytest.approx([23.45, 22.14, 23.33], abs=0.005)


@pytest.mark.parametrize("value", [(0.0, 90.0), (90.0, 0.0), (-90.0, 60.0)])
def test_whole_way_from_icrs_and_date(value: tuple[float, float]) -> None:
    mjd = 60_432.1
    lon, lat = icrs(float(sun_ecliptic_longitude_deg(mjd)) + value[0], value[1])
    expected = z.mjy_sr_of_radiance(z.table_radiance(*value), 0.5)
    assert z.leinert_mjy_sr(lon, lat, mjd, 0.5) == pytest.approx(expected, rel=1e-7)
    assert z.leinert_mjy_sr(*POLE, mjd, 0.5) == pytest.approx(z.mjy_sr_of_radiance(77.0, 0.5), rel=1e-7)


def slow(lon: float, lat: float) -> float:
    """Log-bilinear interpolation between four nodes, one value at a time."""
    lon, lat = abs(lon), abs(lat)
    row = min(int(np.flatnonzero(lon >= z.LONGITUDES_DEG)[-1]), len(z.LONGITUDES_DEG) - 2)
    column = min(int(np.flatnonzero(lat >= z.LATITUDES_DEG)[-1]), len(z.LATITUDES_DEG) - 2)
    t = (lon - z.LONGITUDES_DEG[row]) / (z.LONGITUDES_DEG[row + 1] - z.LONGITUDES_DEG[row])
    s = (lat - z.LATITUDES_DEG[column]) / (z.LATITUDES_DEG[column + 1] - z.LATITUDES_DEG[column])
    upper = (1 - s) * log(z.TABLE[row, column]) + s * log(z.TABLE[row, column + 1])
    lower = (1 - s) * log(z.TABLE[row + 1, column]) + s * log(z.TABLE[row + 1, column + 1])
    return float(np.exp((1 - t) * upper + t * lower))


@given(lon=st.floats(-180, 180), lat=st.floats(-90, 90))
@settings(max_examples=200, deadline=None)
def test_interpolation_is_symmetric_and_that_of_the_slow_one(lon: float, lat: float) -> None:
    assume(z.elongation_deg(lon, lat) > 21.0)
    value = z.table_radiance(lon, lat)
    assert value == z.table_radiance(-lon, lat) == z.table_radiance(lon, -lat)
    assert value == pytest.approx(slow(lon, lat), rel=1e-12)


def test_too_near_the_sun_and_empty_nodes_are_refused() -> None:
    with pytest.raises(InputError, match=r"15\.0 deg from the Sun on; found 14\.9"):
        z.table_radiance([90.0, 14.9], [0.0, 0.0])
    with pytest.raises(InputError, match=r"no value around 13\.0000 deg.*8\.0000 deg \(1 positions\)"):
        z.table_radiance([13.0, 90.0], [8.0, 0.0])
    assert z.elongation_deg(13.0, 8.0) > 15.0
    mjd = 60_000.0
    sun = icrs(float(sun_ecliptic_longitude_deg(mjd)), 0.0)
    with pytest.raises(InputError, match="from the Sun on"):
        z.leinert_mjy_sr(*sun, mjd, 0.72)


def test_colour() -> None:
    assert z.colour_factor(0.5, [20.0, 60.0, 120.0]) == pytest.approx([1.0] * 3)
    assert z.colour_factor(5.0, [20.0, 30.0, 60.0, 90.0, 150.0]) == pytest.approx([1.8, 1.8, 1.7, 1.6, 1.6])
    assert z.colour_factor(0.05, [20.0, 60.0, 120.0]) == pytest.approx([-0.2, -0.05, 0.1])


def test_spectrum() -> None:
    """Brightness at another wavelength: solar flux, colour and the change to per-frequency units, no more."""
    mjd = 60_200.0
    lon, lat = icrs(float(sun_ecliptic_longitude_deg(mjd)) + 90.0, 60.0)
    for um, flux in {0.72: 0.701, 1.08: 0.315, 1.37: 0.188, 1.77: 0.092}.items():
        assert z.solar_flux_at(um) == flux
        expected = z.mjy_sr_of_radiance(86.0 * flux * (1 + 0.6 * np.log10(um / 0.5)), um)
        assert z.leinert_mjy_sr(lon, lat, mjd, um) == pytest.approx(expected, rel=1e-6)
    given = z.leinert_mjy_sr(lon, lat, mjd, 0.72, solar_flux=0.8)
    assert given == pytest.approx(z.leinert_mjy_sr(lon, lat, mjd, 0.72) * 0.8 / 0.701, rel=1e-12)
    for wrong in (0.2, 3.0):
        with pytest.raises(InputError, match=r"0\.25 to 2\.5 um"):
            z.leinert_mjy_sr(lon, lat, mjd, wrong)
    with pytest.raises(InputError, match="give solar_flux"):
        z.leinert_mjy_sr(lon, lat, mjd, 0.30)
    assert z.leinert_mjy_sr(lon, lat, mjd, 0.30, solar_flux=0.3) > 0


def test_the_solar_spectrum_has_no_jump_between_its_sources() -> None:
    """A black body of the Sun's temperature follows it to 15 per cent above 0.45 um."""
    for um in np.linspace(0.45, 2.5, 100):
        body = (0.5 / um) ** 5 * np.expm1(14_388 / (0.5 * 5772)) / np.expm1(14_388 / (um * 5772))
        assert z.solar_flux_at(float(um)) == pytest.approx(body, rel=0.15)


def test_epochs_and_positions_broadcast_and_seasons_return() -> None:
    lon, lat = np.array([60.0, 61.0, 62.0]), np.array([-50.0, -50.0, -49.0])
    mjd = np.array([60_200.0, 60_320.0])
    both = z.leinert_mjy_sr(lon, lat, mjd[:, None], 0.72)
    assert both.shape == (2, 3)
    assert np.array_equal(both[1], z.leinert_mjy_sr(lon, lat, mjd[1], 0.72))
    year_later = z.leinert_mjy_sr(lon, lat, mjd[0] + 365.25636, 0.72)
    assert year_later == pytest.approx(both[0], rel=2e-4)
