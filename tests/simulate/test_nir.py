"""Simulated NIR exposures: the structure of the public files, and the same bytes every time."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from vmpz.physics.ephemeris import earth_heliocentric_au
from vmpz.simulate import nir
from vmpz.simulate.exposures import Shot, shots
from vmpz.simulate.field import Sky
from vmpz.simulate.orbit import spacecraft_km
from vmpz.tiles import tiles_near

PIXELS = 16
NAMES = [f"{row}{column}" for row in range(1, 5) for column in range(1, 5)]


@pytest.fixture(scope="module")
def all_shots() -> list[Shot]:
    return list(shots(Sky(tiles_near(57.9988, -51.5, 1), 1.6, 3), nir.CAMERA))


@pytest.fixture(scope="module")
def written(all_shots: list[Shot], tmp_path_factory: pytest.TempPathFactory) -> tuple[Shot, dict[str, Path]]:
    return all_shots[2], nir.write_exposure(tmp_path_factory.mktemp("nir"), all_shots[2], pixels=PIXELS)


def test_three_bands_and_four_dithers(all_shots: list[Shot]) -> None:
    assert {(shot.band.name, shot.dither) for shot in all_shots} == {
        (band, dither) for band in ("NIR_Y", "NIR_J", "NIR_H") for dither in range(4)
    }
    assert len({nir.exposure_id(shot) for shot in all_shots}) == len(all_shots)
    assert [one.name for one in nir.CAMERA.detectors] == NAMES


def test_names_are_the_published_ones(written: tuple[Shot, dict[str, Path]]) -> None:
    _, paths = written
    for kind, end in (("IMAGE", "fits"), ("IMAGE-BKG", "fits"), ("PSF-I", "fits"), ("PSF-M", "psf")):
        assert paths[kind].parent.name == "2681"
        assert paths[kind].name.startswith(f"EUC_NIR_W-CAL-{kind}_Y-2681-2_20260")
        assert paths[kind].name.endswith(f"Z.{end}")
    assert len({path.name.rpartition("_")[2] for kind, path in paths.items() if kind != "XML"}) == 4


def test_files_have_the_structure_of_the_public_ones(written: tuple[Shot, dict[str, Path]]) -> None:
    shot, paths = written
    for kind in ("IMAGE", "IMAGE-BKG"):
        with fits.open(paths[kind], checksum=True) as hdus:
            order = NAMES if kind == "IMAGE" else NAMES[::-1]
            expected = [f"DET{name}.{layer}" for name in order for layer in ("SCI", "RMS", "DQ")]
            assert [hdu.name for hdu in hdus[1:]] == expected
            assert hdus[0].data is None
            assert [hdu.header["BITPIX"] for hdu in hdus[1:4]] == [-32, -32, 32]
            assert all(hdu.data.shape == (PIXELS, PIXELS) for hdu in hdus[1:])
            head = hdus[0].header
            assert (head["FILTER"], head["OBS_ID"], head["DITHOBS"], head["EXPNUM"]) == ("Y", 2681, 3, 3)
            assert hdus["DET23.SCI"].header["ZPAB"] == shot.band.zero_point_mag
            assert hdus["DET23.DQ"].header["MSK_FLAG_PERSIST"] == 13
            assert "SAA" not in head
    with fits.open(paths["PSF-I"], checksum=True) as hdus:
        assert [hdu.name for hdu in hdus[1:]] == [f"DET{name}.PSF" for name in NAMES]
        assert all(hdu.data.sum() == pytest.approx(1.0, abs=1e-5) for hdu in hdus[1:])
    with fits.open(paths["PSF-M"], checksum=True) as hdus:
        assert [hdu.header["DET_ID"] for hdu in hdus[1:]] == NAMES
        assert all(hdu.data["PSF_MASK"].shape == (1, 1, 61, 61) for hdu in hdus[1:])


def test_planes_and_astrometry(written: tuple[Shot, dict[str, Path]]) -> None:
    """The background is that of the pixels of the image, though its own header says other places."""
    shot, paths = written
    with fits.open(paths["IMAGE"]) as image, fits.open(paths["IMAGE-BKG"]) as background:
        for row, name in enumerate(NAMES):
            truth = nir.detector_planes(shot, row, PIXELS)
            for layer, plane in (("SCI", "IMAGE"), ("RMS", "RMS"), ("DQ", "FLAG")):
                np.testing.assert_array_equal(image[f"DET{name}.{layer}"].data, truth[plane])
            np.testing.assert_array_equal(background[f"DET{name}.SCI"].data, truth["BACKGROUND"])
            here = WCS(image[f"DET{name}.SCI"].header).pixel_to_world(8, 8)
            there = WCS(background[f"DET{name}.SCI"].header).pixel_to_world(8, 8)
            assert 0.1 < here.separation(there).arcsec < 10.0


def test_nearly_all_pixels_are_flagged_as_in_real_frames(written: tuple[Shot, dict[str, Path]]) -> None:
    with fits.open(written[1]["IMAGE"]) as hdus:
        words = np.concatenate([hdus[f"DET{name}.DQ"].data.ravel() for name in NAMES])
    most = np.isin(words, (0x800, 0x8800))
    assert np.all(words & 0x800)
    assert 0.5 < most.mean() < 1.0


def test_the_same_bytes_every_time(
    all_shots: list[Shot], written: tuple[Shot, dict[str, Path]], tmp_path: Path
) -> None:
    again = nir.write_exposure(tmp_path, all_shots[2], pixels=PIXELS)
    for kind, path in written[1].items():
        assert again[kind].name == path.name
        assert _digest(again[kind]) == _digest(path), kind


def test_compressed_images_hold_the_same(all_shots: list[Shot], tmp_path: Path) -> None:
    few = replace(all_shots[2], camera=replace(nir.CAMERA, detectors=nir.CAMERA.detectors[:2]))
    plain = nir.write_exposure(tmp_path / "plain", few, pixels=PIXELS)
    packed = nir.write_exposure(tmp_path / "packed", few, pixels=PIXELS, compress="gz", xml=False)
    assert "XML" not in packed
    assert packed["IMAGE"].name == plain["IMAGE"].name + ".gz"
    with fits.open(packed["IMAGE"]) as one, fits.open(plain["IMAGE"]) as two:
        np.testing.assert_array_equal(one["DET12.SCI"].data, two["DET12.SCI"].data)


@pytest.mark.parametrize("mjd", [60604.0, 60700.0, 60780.5])
def test_the_spacecraft_is_about_the_second_lagrange_point(mjd: float) -> None:
    """1.5 million km from the Earth, away from the Sun, on a halo of 0.4 million km."""
    away = earth_heliocentric_au(mjd)
    away = away / np.linalg.norm(away)
    place = spacecraft_km(mjd)
    assert place @ away == pytest.approx(1.5e6, rel=0.01)
    assert np.linalg.norm(place - (place @ away) * away) == pytest.approx(4e5, rel=0.01)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
