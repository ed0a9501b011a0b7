"""VIS files of the simulation: real structure, real cards, and what astropy makes of them."""

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from vis_helpers import FEW, FORM, arrays, headers, shot, sky, write
from vmpz.simulate.exposures import shots
from vmpz.simulate.vis import CAMERA, CCD_CAMERA, FOLDER, INPUTS, detector_planes, exposure_id, write_vis


def test_the_focal_plane_is_the_real_one() -> None:
    assert len(CAMERA.detectors) == 144
    assert len(CCD_CAMERA.detectors) == 36
    places = {one.name: one for one in CAMERA.detectors}
    assert set(places) == {
        f"{row}-{column}.{letter}" for row in range(1, 7) for column in range(1, 7) for letter in "EFGH"
    }
    assert all(
        one.x1 - one.x0 == pytest.approx(204.8) and one.y1 - one.y0 == pytest.approx(206.6)
        for one in CAMERA.detectors
    )
    # Row 1 is in the north; the right half of the plane is turned by 180 degrees.
    assert places["1-3.E"].y0 > places["2-3.H"].y1
    assert places["1-3.E"].x0 < places["1-3.F"].x0
    assert places["1-3.E"].y0 < places["1-3.H"].y0
    assert places["1-4.E"].x0 > places["1-4.F"].x0
    assert places["1-4.E"].y0 > places["1-4.H"].y0
    # Quadrants of a CCD cover it once.
    whole = {one.name: one for one in CCD_CAMERA.detectors}["3-4"]
    parts = [places[f"3-4.{letter}"] for letter in "EFGH"]
    assert (min(p.x0 for p in parts), max(p.x1 for p in parts)) == pytest.approx((whole.x0, whole.x1))
    assert sum((p.x1 - p.x0) * (p.y1 - p.y0) for p in parts) == pytest.approx(409.6 * 413.2)
    apart = [abs(a.x0 - b.x0) + abs(a.y0 - b.y0) for i, a in enumerate(parts) for b in parts[:i]]
    assert min(apart) > 200.0


def test_files_of_an_exposure(tmp_path: Path) -> None:
    paths = write(tmp_path)
    assert set(paths) == {"DET", "BKG", "WGT", "PSF", "XML"}
    time = r"__\d{8}T\d{6}\.\d{6}Z\.fits"
    for kind in ("DET", "BKG", "WGT"):
        assert re.fullmatch(rf"EUC_VIS_SWL-{kind}-002681-00-1-0000000{time}", paths[kind].name)
    assert re.fullmatch(rf"EUC_VIS_GRD-PSF-000-000000-0000000{time}", paths["PSF"].name)
    for path in (path for kind, path in paths.items() if kind != "XML"):
        with fits.open(path, checksum=True) as hdus:
            hdus.verify("exception")
            assert all("CHECKSUM" in hdu.header and "DATASUM" in hdu.header for hdu in hdus)


def test_extensions_of_a_frame(tmp_path: Path) -> None:
    paths = write(tmp_path)
    names = [one.name for one in FEW.detectors]
    frame = headers(paths["DET"])
    expected = [f"{name}.{content}" for name in names for content in ("SCI", "RMS", "FLG")]
    assert sorted(set(frame) - {"PRIMARY"}) == sorted(expected)
    assert [name for name in frame if name != "PRIMARY"] != expected
    for name, header in frame.items():
        if name != "PRIMARY":
            assert header["BITPIX"] == (32 if name.endswith("FLG") else -32)
            assert isinstance(header["MAGZEROP"], str)
            assert header["CTYPE1"] == "RA---TPV"
            terms = {key for key in header if key.startswith("PV")}
            assert terms == {f"PV{axis}_{term}" for axis in (1, 2) for term in (1, 2, 4, 5, 6, 7, 8, 9, 10)}
    primary = frame["PRIMARY"]
    for key in (
        "SAA",
        "ALPHA",
        "BETA",
        "POS_X",
        "VEL_Z",
        "FOV_LON1",
        "FOV_LAT4",
        "OBS_ID",
        "TOTEXP",
        "OBSMODE",
    ):
        assert key in primary
    for kind, side in (("BKG", None), ("WGT", None), ("PSF", 63)):
        found = headers(paths[kind])
        assert set(found) == {"PRIMARY", *names}
        assert side is None or all(
            header["NAXIS1"] == side for name, header in found.items() if name != "PRIMARY"
        )
    assert {"BKG_MED", "BKG_MAD"} <= set(headers(paths["BKG"])[names[0]])


def test_planes_of_a_frame(tmp_path: Path) -> None:
    paths = write(tmp_path)
    frame, weight = arrays(paths["DET"]), arrays(paths["WGT"])
    for index, one in enumerate(FEW.detectors):
        truth = detector_planes(shot(), index, FORM.pixels)
        for content, plane in (("SCI", "IMAGE"), ("RMS", "RMS"), ("FLG", "FLAG")):
            np.testing.assert_array_equal(frame[f"{one.name}.{content}"], truth[plane])
        np.testing.assert_array_equal(weight[one.name] == 0, (truth["FLAG"] & 1) != 0)
        assert np.median(weight[one.name]) == pytest.approx(1.0, abs=0.01)
        noise = (truth["IMAGE"] - truth["BACKGROUND"]) / truth["RMS"]
        assert noise.std() == pytest.approx(1.0, abs=0.2)


def test_bytes_depend_on_nothing_else(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one"), write(tmp_path / "two")
    sums = [
        {kind: hashlib.sha256(path.read_bytes()).hexdigest() for kind, path in paths.items()}
        for paths in (one, two)
    ]
    assert sums[0] == sums[1]
    assert {kind: path.name for kind, path in one.items()} == {kind: path.name for kind, path in two.items()}


def test_a_survey_has_long_and_short_exposures_and_one_without_background(tmp_path: Path) -> None:
    corners = replace(CAMERA, detectors=(CAMERA.detectors[0], CAMERA.detectors[-1]))
    write_vis(tmp_path, sky(), pixels=16, stamps=1, camera=corners)
    names = [path.name for path in tmp_path.rglob("*.fits")]
    assert (tmp_path / FOLDER / "2681").is_dir()
    count = 2 * len(list(shots(sky(), corners)))
    assert sum("SWL-DET" in name for name in names) == count
    assert sum("SWL-BKG" in name for name in names) == count - 1
    assert exposure_id(shot(3, short=True)) == "002681-03-2"
    assert not any("SWL-BKG-002681-03-2" in name for name in names)
    assert 'reader = "euclid-vis"' in INPUTS
