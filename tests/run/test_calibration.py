"""Depth of catalogues in files: products of every method, anchors, messages and exit status."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits

from vmpz import io
from vmpz.cli import _status_of
from vmpz.physics.rykoff import effective_time, magnitude_error
from vmpz.sky import hpx

ORDER = 7
DEPTHS = {1000: 24.0, 1001: 24.5}


def run(*arguments: object) -> int:
    return _status_of([str(one) for one in ("calibrate", *arguments)])


def told(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict:
    assert run(*arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def objects() -> dict[str, np.ndarray]:
    """A catalogue of two cells of different depth (10 sigma), and few objects in a third."""
    draw = np.random.Generator(np.random.Philox(1))
    cells = np.repeat([*DEPTHS, 1002], (800, 800, 50))
    lon, lat = hpx.positions(cells, ORDER, draw.random(cells.size), draw.random(cells.size))
    depth = np.array([{**DEPTHS, 1002: 24.0}[cell] for cell in cells])
    mag = depth - 4 + 5 * draw.random(cells.size) ** 0.5
    error = magnitude_error(mag, depth, effective_time(depth, 0.02)) * np.exp(
        0.1 * draw.standard_normal(cells.size)
    )
    flux = 10 ** (-0.4 * (mag - 23.9))
    return {
        "RA": lon,
        "DEC": lat,
        "MAG": mag,
        "MAGERR": error,
        "FLUX": flux,
        "FLUXERR": flux * error * np.log(10) / 2.5,
        "SNR": 2.5 / np.log(10) / error,
        "STAR": (draw.random(cells.size) < 0.5).astype(float),
        "SEEN": (mag + 0.2 * draw.standard_normal(cells.size) < depth).astype(float),
    }


@pytest.fixture(params=["fits", "parquet"])
def catalogue(request: pytest.FixtureRequest, tmp_path: Path, objects: dict[str, np.ndarray]) -> Path:
    path = tmp_path / f"objects.{request.param}"
    if request.param == "fits":
        columns = [fits.Column(name, "D", array=values) for name, values in objects.items()]
        fits.BinTableHDU.from_columns(columns).writeto(path, checksum=True)
    else:
        pq.write_table(pa.table(objects), path)
    return path


def test_rykoff_product(catalogue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "depth.fits"
    measured = ("depth", catalogue, "--order", ORDER, "--seed", 4, "--band", "VIS", "--resamples", 30)
    answer = told(capsys, *measured, "--magnitude", "MAG", "--error", "MAGERR", "-o", out)
    assert (answer["cells"], answer["too_few"], answer["undetermined"]) == (2, 1, 0)
    product = io.read(out)
    assert io.check(out) == [] and product.key.kind == "depth" and product.key.band == "VIS"
    assert product.map.cells.cells().tolist() == list(DEPTHS)
    assert product.map.values == pytest.approx(list(DEPTHS.values()), abs=0.03)
    assert {"ERROR", "OBJECTS", "TEFF"} <= set(product.maps)
    assert np.all(product.maps["ERROR"].values < 0.02)
    expected = {"DEPTHEST": "CATALOGUE", "SNRLEVEL": 10.0, "CORRFAC": 1.0, "INFOSRC": "RYKOFF: MAG, MAGERR",
                "EXTCORR": False, "DEGRULE": "LOGQUAD"}  # fmt: skip
    assert {name: product.keywords[name] for name in expected} == expected
    by_flux = tmp_path / "flux.fits"
    assert run(*measured, "--flux", "FLUX", "--flux-error", "FLUXERR", "-o", by_flux) == 0
    assert io.read(by_flux).map.values == pytest.approx(product.map.values, abs=1e-4)
    again = tmp_path / "again.fits"
    assert run(*measured, "--magnitude", "MAG", "--error", "MAGERR", "-o", again) == 0
    assert again.read_bytes() == out.read_bytes()


def test_signal_to_noise_and_selection(
    catalogue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("depth", catalogue, "--order", ORDER, "--magnitude", "MAG", "--snr", "SNR")
    chosen = ("--select", "STAR:1:", "--select", "SNR:3:20")
    answer = told(capsys, *words, "--method", "snr", "--level", 10, *chosen)
    assert answer["cells"] == 2 and answer["objects"] < 800
    assert answer["median_mag"] == pytest.approx(24.25, abs=0.05)
    mean = told(capsys, *words, "--method", "mean", "--level", 10, "--minimum", 30)
    assert mean["median_mag"] == pytest.approx(24.25, abs=0.1)


def test_completeness_from_injections_and_from_a_deeper_catalogue(
    catalogue: Path, objects: dict[str, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("depth", catalogue, "--order", ORDER, "--method", "completeness", "--magnitude", "MAG")
    out = tmp_path / "m50.fits"
    injected = told(capsys, *words, "--detected", "SEEN", "-o", out)
    assert injected["median_mag"] == pytest.approx(24.25, abs=0.06)
    product = io.read(out)
    assert (product.keywords["DEPTHEST"], product.keywords["COMPFRAC"]) == ("COMPLETENESS", 0.5)
    assert "SNRLEVEL" not in product.keywords and "PLATEAU" in product.maps
    shallow = tmp_path / "shallow.parquet"
    seen = objects["SEEN"] == 1
    pq.write_table(pa.table({"RA": objects["RA"][seen], "DEC": objects["DEC"][seen] + 1e-5}), shallow)
    matched = told(capsys, *words, "--matched", shallow, "--radius", 0.1)
    assert matched["median_mag"] == pytest.approx(injected["median_mag"], abs=1e-6)
    only = told(capsys, *words, "--matched", shallow, "--radius", 0.1, "--within", out, "--fraction", 0.95)
    assert only["too_few"] == 0 and only["median_mag"] == pytest.approx(24.25 - 0.2 * 1.645, abs=0.12)


def test_anchors(catalogue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = tmp_path / "one.fits", tmp_path / "two.fits"
    words = ("depth", catalogue, "--order", ORDER, "--magnitude", "MAG", "--snr", "SNR", "--method", "snr")
    assert run(*words, "-o", one, "--level", 10) == 0
    capsys.readouterr()
    answer = told(capsys, *words, "-o", two, "--level", 5, "--against", one)
    assert answer["shift_mag"] == pytest.approx(2.5 * np.log10(2), abs=1e-5) and answer["shared_cells"] == 2
    both = told(capsys, "compare", one, two, two, one)
    assert both["share_a_sign"] is False and [row["shift_mag"] > 0 for row in both["bands"]] == [False, True]
    assert run("compare", one, two, two, one) == 0
    assert "do not share a sign" in capsys.readouterr().err
    assert run("compare", one) == 2


def test_faults_of_catalogues(catalogue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    depth = ("depth", catalogue, "--order", ORDER)
    known = ("--magnitude", "MAG", "--error", "MAGERR", "--seed", 1)
    cases = [
        (3, "column NOPE must be present", ["--magnitude", "NOPE", "--error", "MAGERR", "--seed", 1]),
        (2, "need a seed", ["--magnitude", "MAG", "--error", "MAGERR"]),
        (2, "one of a magnitude and a flux", ["--error", "MAGERR", "--seed", 1]),
        (2, "one of an error, a flux error", ["--magnitude", "MAG", "--seed", 1]),
        (2, "must be named as such", ["--flux", "FLUX", "--error", "MAGERR", "--seed", 1]),
        (2, "COLUMN:LOW:HIGH", [*known, "--select", "STAR"]),
        (2, "column of detections or", [*known, "--method", "completeness"]),
        (3, "must hold 0 and 1", ["--magnitude", "MAG", "--method", "completeness", "--detected", "SNR"]),
        (3, "at least 10000 objects", [*known, "--minimum", 10000]),
        (
            3,
            "found nothing",
            ["--magnitude", "MAG", "--method", "completeness", "--matched", tmp_path / "no.fits"],
        ),
        (2, "two columns", [*known, "--positions", "RA"]),
    ]
    for status, message, more in cases:
        assert run(*depth, *more) == status, message
        assert message in " ".join(capsys.readouterr().err.split()), message
    assert list(tmp_path.glob("*.out")) == []
    assert run(*depth, *known, "-o", tmp_path / "depth.xyz") == 3
