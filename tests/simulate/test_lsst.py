"""Visits and coadds of LSST and HSC: files as the pipelines write them, and what their pixels hold."""

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS

from lsst_helpers import HSC, LSST, PIXELS, the_sky, visits, written
from vmpz.simulate import lsst
from vmpz.simulate.exposures import shots
from vmpz.simulate.geometry import ARCSEC
from vmpz.sky.covers import unit_vectors


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return written(tmp_path_factory)


def detectors(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.fits") if path.name.startswith(("visit_image", "CORR")))


def test_the_detectors_are_the_real_ones() -> None:
    raft = {one.name: one for one in LSST.detectors}
    assert sorted(raft) == [f"R22_S{row}{column}" for row in range(3) for column in range(3)]
    assert raft["R22_S12"].x0 - raft["R22_S11"].x1 == pytest.approx(2.21 * lsst.MM)
    assert raft["R22_S21"].y0 - raft["R22_S11"].y1 == pytest.approx(1.29 * lsst.MM)
    ccds = {one.name: one for one in HSC.detectors}
    assert len(ccds) == 20
    for name, number, x, y in (
        ("0_20", 33, 4247.59, -1926.1),
        ("1_12", 50, 0.7, 2325.48),
        ("1_21", 67, -4244.55, 6803.7),
        ("0_09", 56, -2122.67, -6400.98),
    ):
        index = [one.name for one in HSC.detectors].index(name)
        assert lsst.detector_number(HSC, index) == number
        one = ccds[name]
        assert 0.5 * (one.x0 + one.x1) == pytest.approx(x * 0.168, abs=0.6)
        assert 0.5 * (one.y0 + one.y1) == pytest.approx(y * 0.168, abs=0.6)


def test_names_and_numbers_of_files(folders: dict[str, Path]) -> None:
    assert len(detectors(folders["lsst"])) == 9 * len(list(visits(LSST)))
    assert len(detectors(folders["hsc"])) == 20 * len(list(visits(HSC)))
    first = detectors(folders["lsst"])[0]
    assert first.name == "visit_image_LSSTCam_r_r_57_2025110100001_R22_S00_LSSTCam_runs_SIM.fits"
    assert detectors(folders["hsc"])[0].name == "CORR-0002000-032.fits"
    patches = {path.name for path in folders["hsc"].rglob("calexp*")}
    assert patches == {"calexp-HSC-I-9813-4,4.fits", "calexp-HSC-R-9813-4,4.fits"}


@pytest.mark.parametrize(
    ("name", "form"), [("lsst", "compressed"), ("hsc", "new"), ("hsc", "old")], ids=["lsst", "hsc", "old hsc"]
)
def test_structure_and_cards(folders: dict[str, Path], name: str, form: str) -> None:
    found = detectors(folders[name])
    path = found[-1] if form == "old" else found[0]
    with fits.open(path, checksum=True, disable_image_compression=True) as hdus:
        hdus.verify("exception")
        primary = hdus[0].header
        assert hdus[0].data is None
        assert [hdu.header["EXTTYPE"] for hdu in hdus[1:4]] == ["IMAGE", "MASK", "VARIANCE"]
        assert all(hdu.header["INHERIT"] for hdu in hdus[1:4])
        assert [hdu.header.get("EXTNAME") for hdu in hdus[1:4]] == (
            [None] * 3 if form == "old" else ["IMAGE", "MASK", "VARIANCE"]
        )
        assert [hdu.header.get("ZIMAGE", False) for hdu in hdus[1:4]] == [form == "compressed"] * 3
        assert hdus[1].header["CTYPE1"] == "RA---TAN-SIP"
        assert hdus[1].header.get("BUNIT") == ("nJy" if name == "lsst" else None)
        assert {key for key in hdus[2].header if key.startswith("MP_")} >= {"MP_BAD", "MP_DETECTED_NEGATIVE"}
        assert primary["ROTTYPE"] == "SKY"
        assert isinstance(primary["BORE-AIRMASS"], float)
        if form == "old":
            assert len(hdus) == 4
            assert primary["FLUXMAG0"] == pytest.approx(10 ** (0.4 * 32.9))
            assert primary["TIME-MID"].endswith("Z")
        else:
            assert hdus[4].header["EXTTYPE"] == "ARCHIVE_INDEX"
            assert primary["AR_HDU"] == 5
            assert primary["TIMESYS"] == "TAI"
            assert [hdu.name for hdu in hdus[5:]] == ["POLYGON", "PHOTOCALIB"]
        assert primary["FILTER"] == {"compressed": "r_57", "new": "HSC-I2", "old": "HSC-R"}[form]


@pytest.mark.parametrize("name", ["lsst", "hsc"])
def test_astropy_reads_the_planes_and_the_date(folders: dict[str, Path], name: str) -> None:
    camera = {"lsst": LSST, "hsc": HSC}[name]
    path = detectors(folders[name])[0]
    with fits.open(path) as hdus:
        area = str(hdus[0].header["IDNUM"])
        shot = dict(visits(camera))[area]
        seen = lsst.scene(shot, 0, PIXELS)
        np.testing.assert_array_equal(hdus[1].data, seen.image)
        np.testing.assert_array_equal(hdus[2].data, seen.mask)
        np.testing.assert_array_equal(hdus[3].data, seen.variance)
        assert (hdus[2].data.dtype.kind, hdus[2].data.dtype.itemsize) == ("i", 4)
        middle = Time(hdus[0].header["DATE-AVG"], scale="tai").utc.mjd
        assert abs(middle - shot.middle_mjd) < 1e-6 / 86400 * 1.1
        scale = hdus["PHOTOCALIB"].data["calibrationMean"][1]
        assert 31.4 - 2.5 * np.log10(scale) == pytest.approx(shot.band.zero_point_mag, abs=1e-12)


def test_the_same_bytes_every_time(folders: dict[str, Path], tmp_path: Path) -> None:
    lsst.write_lsst(tmp_path, the_sky(), pixels=PIXELS, camera=LSST)
    again = list(tmp_path.rglob("*.fits"))
    assert len(again) == 2 * (9 + 1) + 1
    for path in again:
        assert path.read_bytes() == (folders["lsst"] / path.relative_to(tmp_path)).read_bytes()


@pytest.mark.parametrize("camera", [LSST, HSC], ids=["lsst", "hsc"])
def test_distortion_moves_a_corner_as_the_camera_does(camera: Any) -> None:
    shot = next(shots(the_sky(), camera))
    one = camera.detectors[0]
    wcs = WCS(lsst.scene(shot, 0, PIXELS).wcs)
    x, y = shot.plane.project(unit_vectors(*wcs.all_pix2world(PIXELS - 0.5, -0.5, 0)))
    radius = np.hypot(one.x0, one.y0)
    stretch = 1.0 + lsst.DISTORTION[camera.instrument] * radius**2
    assert (float(x) / ARCSEC, float(y) / ARCSEC) == pytest.approx(
        (one.x0 * stretch, one.y0 * stretch), abs=1e-6
    )
    assert 1e-6 < 1.0 - stretch < 0.02


def test_mask_planes_are_numbered_differently(folders: dict[str, Path]) -> None:
    tables = [dict(fits.getheader(path, 2)["MP_*"]) for path in detectors(folders["hsc"])[:2]]
    assert tables[0] != tables[1]
    assert set(tables[0]) == set(tables[1])
    assert tables[0]["MP_SAT"] == tables[1]["MP_SAT"] == 1


def test_the_table_of_visits(folders: dict[str, Path]) -> None:
    with fits.open(folders["lsst"] / "ccdVisitTable.fits") as hdus:
        table = hdus[1].data
    assert len(table) == len(detectors(folders["lsst"]))
    shot = next(shots(the_sky(), LSST))
    seen = lsst.scene(shot, 3, PIXELS)
    row = table[3]
    assert (row["visitId"], row["detector"], row["physical_filter"]) == (lsst.visit_of(shot), 93, "r_57")
    assert row["psfSigma"] * row["pixelScale"] * 2.354820045 == pytest.approx(shot.fwhm_arcsec)
    assert (row["skyBg"], row["skyNoise"]) == (seen.background, seen.noise)


def test_inputs_blocks_are_toml() -> None:
    for block in (lsst.lsst_inputs("LSST"), lsst.hsc_inputs("HSC")):
        (place,) = tomllib.loads(block)["inputs"]
        assert place["reader"] == "lsst"
