"""Catalogues in files against maps in files: forms, what headers state, exit status, JSON, the figure."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from validate_helpers import drawn, flat, make_small, wavy
from vmpz import io
from vmpz.cli import _status_of
from vmpz.errors import InputError
from vmpz.make import tally
from vmpz.products import Product, ProductKey
from vmpz.run.validation import ValidationRequest, validate_file
from vmpz.sky import hpx

MAP = wavy(7)
NUMBER = 20_000


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    make_small(monkeypatch)


def write_map(path: Path, skymap, kind: str = "coverage", words: str = "OBSFRAC") -> Path:
    key = ProductKey("test", kind, order=skymap.order)
    io.write_file(Product(key, {"WEIGHT": skymap}, None, {"WGTKIND": words, "DEGRULE": "COVERAGE"}, ""), path)
    return path


def write_catalogue(path: Path, lon, lat, **more) -> Path:
    pq.write_table(pa.table({"ra": lon, "dec": lat, **more}), path)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("validation")
    return {
        "map": write_map(folder / "v.fits", MAP),
        "good": write_catalogue(folder / "good.parquet", *drawn(MAP, NUMBER, 1)[:2]),
        "other": write_catalogue(folder / "other.parquet", *drawn(MAP, NUMBER, 2)[:2]),
        "uniform": write_catalogue(folder / "uniform.parquet", *drawn(flat(MAP), NUMBER, 3)[:2]),
    }


def run(*arguments: object) -> int:
    return _status_of(["validate", *(str(one) for one in arguments)])


def test_a_good_catalogue_passes_and_is_drawn(
    files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figure = tmp_path / "figure.png"
    assert run(files["good"], "--map", files["map"], "--number", NUMBER, "-o", figure) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["test", "verdict", "statistic", "p"]
    assert lines[-1].startswith(f"{NUMBER} rows, ")
    assert lines[-1].endswith(": passed")
    with Image.open(figure) as image:
        assert image.size == (1540, 880)
        assert len(image.convert("RGB").getcolors(1 << 24)) > 100


def test_a_bad_one_has_the_status_of_what_is_unverified(files, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(files["uniform"], "--map", files["map"], "--json") == 6
    told = json.loads(capsys.readouterr().out)
    assert told["passed"] is False
    failed = {one["name"] for one in told["checks"] if one["verdict"] == "failed"}
    assert {"deciles", "cells"} <= failed
    assert told["rows"] == NUMBER


def test_the_null_against_another_catalogue(files, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("treecorr")
    monkeypatch.setattr(tally, "WIDE", 8000)
    against = {
        name: validate_file(ValidationRequest(files["good"], (files["map"],), randoms=files[name]))["null"]
        for name in ("other", "uniform")
    }
    assert against["other"].passed
    assert against["uniform"].passed is False
    assert "of the other catalogue" in against["other"].note


def test_stated_densities_and_caps(files) -> None:
    density = NUMBER / MAP.integral_deg2()
    good = ValidationRequest(files["good"], (files["map"],), density_deg2=density, cap=(30.0, 20.0, 3.0))
    found = validate_file(good)
    assert found["total"].passed
    assert found["pairs"].passed
    assert "within 3 deg" in found["pairs"].note
    off = ValidationRequest(files["good"], (files["map"],), density_deg2=1.05 * density)
    assert validate_file(off).failed == ("total",)


def test_a_column_of_weights_counts_unless_told(files, tmp_path: Path) -> None:
    lon, lat, weight = drawn(MAP, NUMBER, 4, scheme="poisson", keep="all")
    path = write_catalogue(tmp_path / "all.parquet", lon, lat, weight=weight)
    assert validate_file(ValidationRequest(path, (files["map"],))).passed
    assert "deciles" in validate_file(ValidationRequest(path, (files["map"],), weights=False)).failed


def test_coverage_leaves_cells_out_of_what_is_tested_inside(files, tmp_path: Path) -> None:
    """Points in the northern half of partly covered cells alone."""
    share = np.where(np.arange(len(MAP)) % 2 == 0, 1.0, 0.5).astype(np.float32)
    partial = type(MAP)(MAP.cells, share)
    lon, lat, _ = drawn(partial, NUMBER, 6)
    upper = hpx.cells_at(lon, lat, MAP.order + 1) & 1 == 1
    halved = (partial.at(lon, lat) == 0.5) & ~upper
    x, y = hpx.centres(hpx.cells_at(lon, lat, 29) + (1 << (2 * (28 - MAP.order))), 29)
    moved = write_catalogue(tmp_path / "half.parquet", np.where(halved, x, lon), np.where(halved, y, lat))
    visible = write_map(tmp_path / "half.fits", partial)
    assert {"subcells", "digits"} <= {*validate_file(ValidationRequest(moved, (visible,))).failed}
    found = validate_file(ValidationRequest(moved, (visible,), coverage=visible))
    assert found["subcells"].passed
    assert not {"digits", "neighbours"} & {*found.failed}


def test_what_is_refused(files, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "none.fits", "--map", files["map"]) == 3
    assert run(files["good"], "--map", files["map"], "-o", tmp_path / "figure.txt") == 2
    assert run(files["good"], "--map", files["map"], "--cap", 30, 20, 0) == 3
    assert "radius of a cap" in capsys.readouterr().err
    bad = write_catalogue(tmp_path / "bad.parquet", np.array([30.0, np.nan]), np.array([20.0, 20.0]))
    with pytest.raises(InputError, match="row 2") as refused:
        validate_file(ValidationRequest(bad, (files["map"],)))
    assert any("bad.parquet" in note for note in refused.value.__notes__)
    empty = write_catalogue(tmp_path / "empty.parquet", np.empty(0), np.empty(0))
    with pytest.raises(InputError, match="must hold objects"):
        validate_file(ValidationRequest(empty, (files["map"],)))
