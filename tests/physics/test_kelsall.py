"""Model B of the zodiacal light: closed forms of its parts, a slow integral, ZodiPy, refusals."""

import numpy as np
import pytest
from scipy.integrate import quad

from vmpz.errors import InputError
from vmpz.physics import kelsall as k
from vmpz.physics.ephemeris import earth_heliocentric_au, to_ecliptic
from vmpz.physics.sphere import angle_between_deg, unit_vectors
from vmpz.physics.zodiacal import leinert_mjy_sr

MJD = 60_500.0


def seen(count: int, mjd: float = MJD) -> tuple[np.ndarray, np.ndarray]:
    """Positions all over the sky at the elongations that the model covers."""
    generator = np.random.Generator(np.random.Philox(4))
    lon, lat = (
        generator.uniform(0, 360, 4 * count),
        np.degrees(np.arcsin(generator.uniform(-1, 1, 4 * count))),
    )
    away = angle_between_deg(unit_vectors(lon, lat), -earth_heliocentric_au(mjd))
    inside = np.flatnonzero((away > 64) & (away < 124))[:count]
    return lon[inside], lat[inside]


def test_the_phase_function_is_normalised_over_the_sphere() -> None:
    whole = quad(lambda t: 2 * np.pi * np.sin(t) * k.phase_function(t), 0, np.pi)[0]
    assert whole == pytest.approx(1.0, abs=1e-12)
    forward, back = k.phase_function([np.radians(60), np.pi])
    assert back > forward * 0.5


def test_density_at_points_worked_by_hand() -> None:
    tilt, node = np.radians(k.INCLINATION_DEG), np.radians(k.NODE_DEG)
    pole = np.array([np.sin(node) * np.sin(tilt), -np.cos(node) * np.sin(tilt), np.cos(tilt)])
    in_plane = np.cross(pole, [1.0, 0.0, 0.0])
    in_plane /= np.linalg.norm(in_plane)
    assert k.cloud_density_per_au(k.CENTRE_AU + 2.0 * in_plane) == pytest.approx(
        1.1344e-7 * 2**-1.3371, rel=1e-12
    )
    above = k.cloud_density_per_au(k.CENTRE_AU + 1.5 * pole)
    expected = 1.1344e-7 * 1.5**-1.3371 * np.exp(-4.1415 * (1 - 0.18873 / 2) ** 0.94206)
    assert above == pytest.approx(expected, rel=1e-12)
    at_edge = (np.cos(np.arcsin(0.18873)) * in_plane) + 0.18873 * pole  # both branches of g meet at zeta = mu
    low, high = (k.cloud_density_per_au(k.CENTRE_AU + at_edge + step * pole) for step in (-1e-9, 1e-9))
    assert low == pytest.approx(high, rel=1e-7)


def test_the_line_of_sight_integral_is_good_to_1e_4() -> None:
    lon, lat = seen(12)
    observer = to_ecliptic(earth_heliocentric_au(MJD))

    def slow(sight: np.ndarray) -> float:
        def source(distance: float) -> float:
            position = observer + distance * sight
            radius = np.linalg.norm(position)
            angle = np.arccos(-(position @ sight) / radius)
            return float(
                0.204 * 2.3405606e8 / radius**2 * k.phase_function(angle) * k.cloud_density_per_au(position)
            )

        along = observer @ sight
        end = np.sqrt(along**2 + 5.2**2 - observer @ observer) - along
        return quad(source, 0, end, limit=400, epsrel=1e-9)[0]

    expected = [slow(to_ecliptic(sight)) for sight in unit_vectors(lon, lat)]
    assert k.kelsall_mjy_sr(lon, lat, MJD) == pytest.approx(expected, rel=1e-4)


def test_the_light_of_the_grains_themselves_may_be_left_out() -> None:
    """At 0.9 au, nearest to the Sun on any line that is accepted: a black body of 300 K against scattered light."""
    temperature, frequency = 286 * 0.9**-0.46686, 2.99792458e8 / 1.25e-6
    planck = 2 * 6.62607015e-34 * frequency**3 / 2.99792458e8**2 / 1e-20
    emitted = (1 - k.ALBEDO) * planck * np.exp(-14_387.77 / (1.25 * temperature))
    assert emitted < 1e-8 * k.ALBEDO * k.SOLAR_FLUX_MJY * k.phase_function(np.pi / 2)


@pytest.mark.gpl
@pytest.mark.parametrize("mjd", [MJD, 61_020.0])
def test_zodipy_agrees(mjd: float) -> None:
    """Its albedo has more digits than the published 0.204: 6e-4."""
    zodipy = pytest.importorskip("zodipy")
    from astropy import units as u
    from astropy.coordinates import SkyCoord
    from astropy.time import Time

    lon, lat = seen(400, mjd)
    model = zodipy.Model(1.25 * u.um, gauss_quad_degree=150)
    sky = SkyCoord(lon * u.deg, lat * u.deg, obstime=Time(mjd, format="mjd"))
    cloud, *rest = model.evaluate(sky, return_comps=True).to_value(u.MJy / u.sr)
    assert k.kelsall_mjy_sr(lon, lat, mjd) == pytest.approx(cloud * 0.204 / 0.20411939612669797, rel=1.5e-4)
    share = sum(rest) / (cloud + sum(rest))
    assert 0.005 < share.min() < share.max() < 0.15


def test_both_models_agree_to_their_uncertainty() -> None:
    """Leinert is the whole light, Kelsall the cloud without bands and ring (1 to 14 per cent)."""
    lon, lat = seen(300)
    ratio = leinert_mjy_sr(lon, lat, MJD, 1.25) / k.kelsall_mjy_sr(lon, lat, MJD)
    assert 1.05 < np.median(ratio) < 1.35
    assert 0.9 < ratio.min() < ratio.max() < 1.6


def test_the_cloud_has_seasons_and_a_place() -> None:
    poles = [k.kelsall_mjy_sr(270.0, 66.5607, MJD + day) for day in range(0, 365, 15)]
    assert 1.1 < max(poles) / min(poles) < 1.4
    earth = earth_heliocentric_au(MJD)
    lon, lat = seen(5)
    assert np.array_equal(k.kelsall_mjy_sr(lon, lat, MJD, position_au=earth), k.kelsall_mjy_sr(lon, lat, MJD))
    farther = k.kelsall_mjy_sr(270.0, 66.5607, MJD, position_au=1.01 * earth)
    assert 0.95 < farther / k.kelsall_mjy_sr(270.0, 66.5607, MJD) < 0.99
    epochs = MJD + np.array([[0.0], [0.5]])
    lon, lat = np.array([270.0, 271.0]), np.array([66.0, 66.0])
    assert np.allclose(
        k.kelsall_mjy_sr(lon, lat, epochs)[1], k.kelsall_mjy_sr(lon, lat, MJD + 0.5), rtol=1e-14
    )


def test_what_the_model_does_not_cover_is_refused() -> None:
    for wrong in (0.72, 1.37, 2.2):
        with pytest.raises(InputError, match=r"coefficients at 1\.25 um alone"):
            k.kelsall_mjy_sr(270.0, 66.0, MJD, wrong)
    x, y, z = -earth_heliocentric_au(MJD)
    sun = np.degrees(np.arctan2(y, x)), np.degrees(np.arctan2(z, np.hypot(x, y)))
    for lon, lat in (sun, (sun[0] + 180.0, -sun[1])):
        with pytest.raises(InputError, match=r"64\.0 to 124\.0 deg from the Sun"):
            k.kelsall_mjy_sr([270.0, lon], [66.0, lat], MJD)
    with pytest.raises(InputError, match=r"within 5\.2 au.*heliocentric, in au"):
        k.kelsall_mjy_sr(270.0, 66.0, MJD, position_au=earth_heliocentric_au(MJD) * 1.5e8)
