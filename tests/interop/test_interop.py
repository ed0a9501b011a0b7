"""Software that lives in an environment of its own (`make tools`) opens what we write and finds what is in it."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import io_helpers
import random_helpers
from vmpz import io
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.regions import Cap, covered_fractions

HERE = Path(__file__).parent
PYTHON = HERE.parents[1] / ".venv-interop" / "bin" / "python"

pytestmark = pytest.mark.tool


def outside(script: str, *arguments: object) -> str:
    """What a script prints there; skipped where the environment is missing, a failure under CI."""
    if not PYTHON.exists():
        told = ".venv-interop is missing: `make tools` installs it"
        pytest.fail(told) if os.environ.get("CI") == "true" else pytest.skip(told)
    return printed(PYTHON, script, *arguments)


def printed(python: Path, script: str, *arguments: object) -> str:
    """What a script prints under some Python."""
    command = [str(python), str(HERE / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def separation_deg(lon, lat, lon0, lat0):
    a, b, a0, b0 = map(np.radians, (lon, lat, lon0, lat0))
    half = np.sin((b - b0) / 2) ** 2 + np.cos(b) * np.cos(b0) * np.sin((a - a0) / 2) ** 2
    return np.degrees(2 * np.arcsin(np.sqrt(half)))


def test_lsdb_counts_as_brute_force_does(tmp_path):
    """Interoperability check 22: cone search and MOC search, of full and minimal catalogues."""
    arrays = random_helpers.points(50_000)
    lon, lat = arrays["RIGHT_ASCENSION"], arrays["DECLINATION"]
    region = CellSet.from_cells(9, np.unique(arrays["HPIX_29"] >> 40)[::2])
    region.to_moc().save(tmp_path / "moc.fits", format="fits")
    names = {"full": list(arrays), "minimal": ["RIGHT_ASCENSION", "DECLINATION", "HPIX_29"]}
    for which, some in names.items():
        held = {name: arrays[name] for name in some}
        random_helpers.write_hats(tmp_path / which, held, io.random_columns(which))
    folders = [tmp_path / which for which in names]
    found = json.loads(outside("lsdb_counts.py", 11.5, 0.1, 2500, tmp_path / "moc.fits", *folders))
    inside = separation_deg(lon, lat, 11.5, 0.1) < 2500 / 3600
    listed = region.contains(lon, lat)
    assert 1000 < inside.sum() < 49_000 and 1000 < listed.sum() < 49_000
    for told, some in zip(found, names.values(), strict=True):
        assert told["is_valid"] and told["rows"] == told["all"] == 50_000
        assert told["columns"] == [name for name in some if name != "HPIX_29"]
        assert told["cone"] == sorted(lon[inside].tolist())
        assert told["moc"] == listed.sum()


def test_heracles_reads_our_coverage(tmp_path):
    """Interoperability check 17: the reader itself, not its rule."""
    coverage = io_helpers.products()["coverage"]
    path = io.write_file(coverage, tmp_path / "coverage.fits")
    outside("heracles_map.py", path, tmp_path / "map.npy")
    found = np.load(tmp_path / "map.npy")
    assert found.size == hpx.number_of_cells(io_helpers.ORDER)
    wanted = np.zeros(found.size)
    wanted[hpx.to_ring(coverage.map.cells.cells(), io_helpers.ORDER)] = coverage.map.values
    assert np.array_equal(found, wanted)


def test_namaster_builds_the_field_of_our_coverage(tmp_path):
    """Interoperability check 18, on demand: the unit map is coupled to the power of the mask.

    VMPZ_NAMASTER names a Python with pymaster and healpy; NaMaster is compiled against libraries of its own.
    """
    python = os.environ.get("VMPZ_NAMASTER")
    if not python:
        pytest.skip("VMPZ_NAMASTER names no Python that has NaMaster")
    order = 8
    coverage = replace(
        io_helpers.products()["coverage"],
        maps={"WEIGHT": covered_fractions(Cap(40.0, 35.0, 10.0), order)},
        key=replace(io_helpers.products()["coverage"].key, order=order),
    )
    path = io.write_file(coverage, tmp_path / "coverage.fits")
    printed(Path(python), "namaster_field.py", path, tmp_path / "found.npz")
    found = np.load(tmp_path / "found.npz")
    skymap = io.read(path).map
    assert found["mask"].mean() == pytest.approx(skymap.integral_deg2() / 41252.96125, rel=1e-9)
    ring = hpx.to_ring(skymap.cells.cells(), order)
    assert np.array_equal(found["mask"][ring], skymap.values)
    scale = found["power"].max()
    for name in ("coupled", "of_unit"):
        assert np.allclose(found[name], found["power"], rtol=1e-6, atol=1e-9 * scale)
