"""Noise of images in files: simulated mosaics, any FITS image, lines to paste, messages and exit status."""

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from vmpz.cli import _status_of
from vmpz.parameters import DepthParameters

BITS = "INVALID,NO_DATA,SAT,OBJECTS"


def run(*arguments: object) -> int:
    return _status_of([str(one) for one in ("calibrate", *arguments)])


def told(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict:
    assert run(*arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


def mosaic(survey: Path) -> list[object]:
    """Words for a simulated VIS mosaic; its pixels measure 2.7 arcsec."""
    folder = survey.parent / "MER" / "102018211" / "VIS"
    image, rms, flags = (next(folder.glob(f"*{name}*.fits")) for name in ("BGSUB", "RMS", "FLAG"))
    return ["noise", image, "--rms", rms, "--flags", flags, "--bits", BITS, "--bit-table", "vis-pf15",
            "--grow", 8, "--seed", 1]  # fmt: skip


def test_noise_of_a_simulated_mosaic_is_white(survey: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = told(capsys, *mosaic(survey), "--aperture", 14, "--aperture", 6)
    assert answer["pixel_scale_arcsec"] == pytest.approx(1920 / 720, rel=0.01)
    for one in answer["apertures"]:
        assert one["apertures"] > 3000 and abs(one["factor"] - 1) < 4 * one["error"]
        assert abs(one["autocovariance"] - 1) < 0.01
    assert answer["rms_ratio"] == pytest.approx(1, abs=0.005) and answer["source_fraction"] < 0.05


def test_sources_without_flags_are_found(survey: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = mosaic(survey)
    answer = told(capsys, *["INVALID" if one == BITS else one for one in words], "--aperture", 6)
    assert answer["rms_ratio"] == pytest.approx(1, abs=0.03) and 0.1 < answer["source_fraction"] < 0.5
    assert answer["apertures"][0]["factor"] == pytest.approx(1, abs=0.06)


def test_lines_to_paste_are_parameters(survey: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for band in ((), ("--band", "VIS")):
        assert run(*mosaic(survey), "--aperture", 8, *band) == 0
        out = capsys.readouterr().out
        pasted = DepthParameters.model_validate(tomllib.loads(out[out.index("[depth]") :])["depth"])
        factor = pasted.correlated_noise if not band else pasted.correlated_noise["VIS"]
        assert abs(factor - 1) < 0.1 and pasted.aperture_arcsec == 8
        assert pasted.correlated_noise_source.startswith("empty apertures, ")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Image, RMS, flags and background in one compressed file without a WCS; noise 2, background 50."""
    draw = np.random.Generator(np.random.Philox(9))
    values = 2 * draw.standard_normal((500, 400)) + 50
    flags = np.zeros(values.shape, np.int32)
    flags[:, :50], flags[:, 50:90] = 4, 1
    values[:, :50] = 1e4
    path = tmp_path / "image.fits"
    units = [fits.PrimaryHDU()]
    for name, plane in (
        ("SCI", values),
        ("RMS", np.full(values.shape, 2.0)),
        ("FLG", flags),
        ("BKG", np.full(values.shape, 50.0)),
    ):
        units.append(fits.ImageHDU(plane.astype(np.int32 if name == "FLG" else np.float32), name=name))
    fits.HDUList(units).writeto(path, checksum=True)
    return path


def words(image: Path, *more: object) -> list[object]:
    return [
        "noise",
        image,
        "--rms",
        f"{image}[RMS]",
        "--aperture",
        1,
        "--seed",
        2,
        "--pixel-scale",
        0.2,
        *more,
    ]


def test_any_image_by_the_names_of_its_units(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flagged = ("--flags", f"{image}[FLG]", "--background", f"{image}[4]")
    every = told(capsys, *words(image, *flagged))
    some = told(capsys, *words(image, *flagged, "--bits", "2"))
    assert every["usable_fraction"] == pytest.approx(310 / 400) and some["usable_fraction"] == pytest.approx(
        350 / 400
    )
    for answer in (every, some):
        assert abs(answer["apertures"][0]["factor"] - 1) < 4 * answer["apertures"][0]["error"]
        assert answer["fit"] is None


def test_faults_of_images(image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.fits"
    fits.PrimaryHDU(np.ones((500, 399), np.float32)).writeto(other)
    cases = [
        (3, "shape must be (500, 400), found (500, 399)", ["--rms", other]),
        (3, "must hold integers", ["--flags", f"{image}[RMS]"]),
        (3, "HDU NONE must stand once", ["--rms", f"{image}[NONE]"]),
        (3, "must be a readable file", ["--background", tmp_path / "no.fits"]),
        (2, "must be given, found none", ["--bits", "2"]),
        (2, "bits must be numbers from 0 to 31", ["--flags", f"{image}[FLG]", "--bits", "SAT"]),
        (3, "at least 100 empty apertures", ["--aperture", 40]),
    ]  # fmt: skip
    for status, message, more in cases:
        assert run(*words(image, *more)) == status, message
        assert message in capsys.readouterr().err
    flags = fits.getdata(image, "FLG")
    fits.PrimaryHDU(np.ones_like(flags)).writeto(tmp_path / "all.fits")
    assert run(*words(image, "--flags", tmp_path / "all.fits")) == 3
    assert "all are masked" in capsys.readouterr().err
    assert run("noise", image, "--rms", image, "--aperture", 1, "--seed", 1) == 3
    assert "CTYPE1" in capsys.readouterr().err
    assert run("noise", image, "--rms", image, "--aperture", 1) == 2
