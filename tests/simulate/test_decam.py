"""The DECam simulation: focal plane, orientation, air mass, and the structure of its files."""

import tomllib
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import AltAz, EarthLocation, SkyCoord
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS

from decam_helpers import CCDS, PIXELS, SKY
from vmpz.simulate import decamcp as decam
from vmpz.simulate import desdm
from vmpz.simulate.decam import INPUTS, write_decam
from vmpz.simulate.field import Sky
from vmpz.tiles import tiles_near

NUMBERS = {
    "S29": 1,
    "S25": 4,
    "S20": 8,
    "S14": 13,
    "S8": 19,
    "S1": 25,
    "S7": 31,
    "N1": 32,
    "N7": 38,
    "N8": 39,
}
NUMBERS |= {"N14": 45, "N20": 51, "N25": 56, "N29": 60, "N30": 61, "N31": 62}


def test_the_focal_plane() -> None:
    assert len(decam.CCDS) == 62
    assert {name: decam.CCDS[name] for name in NUMBERS} == NUMBERS
    assert sorted(decam.CCDS.values()) == list(range(1, 63))
    names = [one.name for one in decam.CAMERA.detectors]
    assert len(names) == 60
    assert set(decam.CCDS) - set(names) == {"S30", "N30"}
    x0, x1, y0, y1 = decam.CAMERA.field_arcsec
    assert (x1 - x0, y1 - y0) == pytest.approx((7781.6, 7045.1))
    centre = {one.name: ((one.x0 + one.x1) / 2, (one.y0 + one.y1) / 2) for one in decam.CAMERA.detectors}
    assert centre["N4"] == pytest.approx((0.0, -centre["S4"][1]))
    assert centre["S29"][1] > 0 > centre["N29"][1]


def test_the_orientation_is_that_of_a_real_header() -> None:
    """S29 lies north-west of the pointing, columns run to the south and rows to the east (CRPIX and CD of
    c4d_190402_050618_ooi_VR_v1: 13422.2, 6306.3; CD1_2 > 0 > CD2_1)."""
    shot = next(decam.community_shots(SKY))
    one = next(one for one in decam.CAMERA.detectors if one.name == "S29")
    header = decam.ccd_header(shot, one, 4096)
    assert header["CRPIX1"] == pytest.approx(13422.2, abs=30.0)
    assert header["CRPIX2"] == pytest.approx(6306.3, abs=30.0)
    angle = np.degrees(np.arctan2(header["CD1_1"], -header["CD2_1"]))
    assert angle == pytest.approx(-shot.position_angle_deg)
    assert np.hypot(header["CD1_1"], header["CD2_1"]) == pytest.approx(7.286e-5, rel=5e-3)


def test_the_distortion_is_small_and_radial() -> None:
    shot = next(decam.community_shots(SKY))
    scales = {}
    for one in decam.CAMERA.detectors:
        wcs = WCS(decam.ccd_header(shot, one, PIXELS))
        scales[one.name] = decam.pixel_scale_arcsec(wcs, PIXELS)
    low, high = min(scales.values()), max(scales.values())
    assert 0.002 < high / low - 1.0 < 0.006
    assert {name for name, scale in scales.items() if scale == high} <= {"N4", "S4"}


@pytest.mark.parametrize("place", [(52.9, -28.25), (0.1, 5.0)])
def test_air_mass_agrees_with_astropy(place: tuple[float, float]) -> None:
    sky = Sky(tiles_near(*place, 1), 6.0, 1)
    site = EarthLocation.from_geodetic(decam.SITE_DEG[0] * u.deg, decam.SITE_DEG[1] * u.deg)
    for shot in [*decam.community_shots(sky), decam.desdm_shot(sky)]:
        when = Time(shot.middle_mjd, format="mjd", scale="utc")
        with_astropy = SkyCoord(shot.lon_deg, shot.lat_deg, unit="deg").transform_to(
            AltAz(obstime=when, location=site)
        )
        assert decam.zenith_distance_deg(shot) == pytest.approx(90.0 - with_astropy.alt.deg, abs=0.02)
        assert decam.airmass(shot) == pytest.approx(float(with_astropy.secz), abs=2e-3)
        assert decam.airmass(shot) < 3.0


def test_all_files_of_an_exposure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shot = next(decam.community_shots(SKY))
    monkeypatch.setattr(decam, "community_shots", lambda sky, camera: iter([shot]))
    decam.write_community(tmp_path, SKY, pixels=8)
    paths = [tmp_path / decam.community_name(shot, kind) for kind in "idw"]
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    for path, product in zip(paths, ("image", "dqmask", "wtmap"), strict=True):
        with fits.open(path, checksum=True, disable_image_compression=True) as hdus:
            assert len(hdus) == 61
            assert hdus[0].header["PRODTYPE"] == product
            assert hdus[0].header["OBS-LONG"] == 70.81489
            assert [hdu.header["CCDNUM"] for hdu in hdus[1:]] == [n for n in range(1, 63) if n not in (2, 61)]
            assert {hdu.header["ZCMPTYPE"] for hdu in hdus[1:]} == (
                {"GZIP_2"} if product == "wtmap" else {"RICE_1"}
            )
            assert all(decam.CCDS[hdu.name] == hdu.header["CCDNUM"] for hdu in hdus[1:])
    with fits.open(paths[1]) as hdus:
        assert hdus["S4"].data.shape == (8, 4)
        assert hdus["S4"].data.dtype.kind == "i"


def test_one_exposure_lacks_its_air_mass() -> None:
    shots = [*decam.community_shots(SKY), decam.desdm_shot(SKY)]
    lacking = [shot for shot in shots if "AIRMASS" not in decam.observation_cards(shot)]
    assert [(shot.band.name, shot.number) for shot in lacking] == [("DECAM_g", 1)]
    assert len({decam.exposure_number(shot) for shot in shots}) == len(shots) == 4


def test_same_bytes_every_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_decam(tmp_path / name, SKY, pixels=16, ccds=CCDS[:2])
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.fz"))
    assert len(files) == 3 * 3 + 4 + 1
    for path in files:
        assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes()


def test_codes_are_one_a_pixel() -> None:
    seen = decam.look(next(decam.community_shots(SKY)), 35, PIXELS)
    codes = decam.quality_codes(seen.roles)
    assert set(np.unique(codes)) <= {0, 1, 3, 4, 5}
    hit = np.any([seen.roles[role] for role in ("column", "core", "trail", "cosmic")], axis=0)
    assert np.array_equal(codes > 0, hit)


def test_names_of_tiles() -> None:
    assert desdm.tile_name(SKY) == "DES0331-2800"


def test_the_inputs_are_those_of_the_reader() -> None:
    (block,) = tomllib.loads(INPUTS)["inputs"]
    assert block == {"reader": "decam", "location": "DECAM", "options": {"forms": ["community", "desdm"]}}
