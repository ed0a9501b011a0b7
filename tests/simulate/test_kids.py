"""The KiDS simulation: focal plane, names, headers, and the same bytes every time."""

import tomllib
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from decam_helpers import SKY
from vmpz.simulate import kids
from vmpz.simulate.field import Sky
from vmpz.tiles import tiles_near

PIXELS = 48


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("kids")
    kids.write_kids(place, SKY, pixels=PIXELS)
    return place


def test_the_focal_plane() -> None:
    assert len(kids.CAMERA.detectors) == 32
    assert len({one.name for one in kids.CAMERA.detectors}) == 32
    x0, x1, y0, y1 = kids.CAMERA.field_arcsec
    assert (x1 - x0, y1 - y0) == pytest.approx((0.214 * (8 * 2048 + 700), 0.214 * (4 * 4100 + 55 + 2 * 376)))
    assert (x0 + x1, y0 + y1) == pytest.approx((0.0, 0.0), abs=1e-9)
    rows = sorted({one.y0 for one in kids.CAMERA.detectors})
    gaps = np.diff(rows) - 4100 * 0.214
    assert gaps == pytest.approx([376 * 0.214, 55 * 0.214, 376 * 0.214])


def test_a_file_of_each_kind(folder: Path) -> None:
    coadds = list(kids.coadds(SKY, pixels=PIXELS))
    assert [one.band.name for one in coadds] == list(kids.CAMERA.bands)
    assert {path.name for path in folder.iterdir()} == {
        one.name(what) for one in coadds for what in ("sci", "wei", "msk")
    }
    assert coadds[2].name("sci") == "KiDS_DR4.0_53.0_-28.0_r_sci.fits"


def test_astropy_reads_the_files(folder: Path) -> None:
    (coadd,) = [one for one in kids.coadds(SKY, pixels=PIXELS) if one.band.name == "KIDS_r"]
    for what in ("sci", "wei", "msk"):
        with fits.open(folder / coadd.name(what), checksum=True) as hdus:
            hdus.verify("exception")
            assert len(hdus) == 1
            assert hdus[0].data.shape == coadd.shape
            assert hdus[0].header["FILTER"] == "r_SDSS"
            assert hdus[0].header["BITPIX"] == (16 if what == "msk" else -32)
    header = fits.getheader(folder / coadd.name("sci"))
    assert (header["NCOMBINE"], header["EXPTIME"], header["TEXPTIME"]) == (5, 1800.0, 1800.0)
    assert header["ESO TEL AIRM START"] > header["ESO TEL AIRM END"] >= 1.0
    assert header["MJD-END"] - header["MJD-OBS"] == pytest.approx((5 * 360 + 4 * 45) / 86400, abs=2e-8)
    assert np.all((fits.getdata(folder / coadd.name("wei")) > 0) == coadd.reached())


def test_tiles_cover_a_large_sky() -> None:
    sky = Sky(sorted(tiles_near(52.9, -28.25, 9), key=lambda tile: tile.id), 6.0, 11)
    tiles = [one for one in kids.coadds(sky, pixels=PIXELS) if one.band.name == "KIDS_r"]
    assert len(tiles) == len({one.area for one in tiles}) == 6


def test_the_same_bytes_every_time(folder: Path, tmp_path: Path) -> None:
    kids.write_kids(tmp_path, SKY, pixels=PIXELS)
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (folder / path.name).read_bytes()


def test_the_inputs_block_is_toml() -> None:
    (place,) = tomllib.loads(kids.INPUTS.format(location="KiDS"))["inputs"]
    assert (place["reader"], place["location"]) == ("kids", "KiDS")
    assert place["options"]["keywords"] == {"Background": "BKGMED"}


def test_below_the_horizon_there_is_no_air_mass(tmp_path: Path) -> None:
    sky = Sky(sorted(tiles_near(150.0, 70.0, 1), key=lambda tile: tile.id), 6.0, 11)
    kids.write_kids(tmp_path, sky, pixels=PIXELS)
    for path in tmp_path.glob("*_sci.fits"):
        assert not [key for key in fits.getheader(path) if "AIR" in key]
