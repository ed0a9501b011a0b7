"""The command line as a user meets it: results, messages, exit status."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vmpz import io
from vmpz.cli import _status_of
from vmpz.run.store import Store
from vmpz.sky.skymap import SkyMap


def run(*arguments: object) -> int:
    return _status_of([str(one) for one in arguments])


def product(store: Path, kind: str, band: str, area: str | None = None) -> Path:
    """The first FITS file of a kind and band (of a tile unless an area is named)."""
    for entry in Store(store).entries():
        here = entry.key.area == area if area else entry.key.area.isdigit()
        if entry.key.kind == kind and entry.key.band == band and here:
            return entry.path(".fits")
    raise LookupError(kind)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from vmpz.cli import _status_of; _status_of(['--help']);"
        "print(sorted({'numpy', 'astropy', 'numba', 'mocpy', 'dask', 'pyarrow', 'pydantic'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "[]"
    assert "simulate" in out and "doctor" in out


def test_version_and_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out.startswith("vmpz 0.")
    assert run("run") == 2
    assert run("nonsense") == 2


def test_a_wrong_parameter_is_named_with_file_line_and_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "c.toml"
    path.write_text('[[inputs]]\nlocation = "."\n[maps]\nordre = 12\n')
    assert run("run", path) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"{path}:4: maps.ordre: no such parameter, did you mean order")
    path.write_text("[maps\n")
    assert run("run", path) == 2
    assert "not TOML" in capsys.readouterr().err
    assert run("run", tmp_path / "nothing.toml") == 2


def test_inputs_that_are_none_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.toml").write_text('[[inputs]]\nlocation = "."\n')
    assert run("run", tmp_path / "c.toml") == 3
    assert "must hold MER mosaics, found no file" in capsys.readouterr().err
    (tmp_path / "c.toml").write_text('[[inputs]]\nlocation = "nowhere"\n')
    assert run("run", tmp_path / "c.toml") == 3
    assert "nowhere" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ('[info]\nmaps = ["Noize:RMSQ"]', "a quantity must be one of Tile, SAA"),
        ('[info]\nmaps = ["Noise:SOMETHING"]', "a statistic must be one of"),
        ('[bitmask]\nbits = ["INVALLID"]', "flag names must be among INVALID, HOT"),
        ('[bitmask]\ntable = {VIS = "vis-pf99"}', "bit table must be one of"),
    ],
)
def test_names_that_do_not_exist_are_mistakes_of_the_parameters(
    survey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], section: str, message: str
) -> None:
    path = tmp_path / "c.toml"
    path.write_text(
        f'[survey]\nbands = ["VIS"]\n[[inputs]]\nlocation = "{survey.parent / "MER"}"\n{section}\n'
    )
    assert run("run", path) == 2
    assert message in capsys.readouterr().err


def test_a_dry_run_tells_the_cost(survey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("run", survey, "--store", tmp_path / "s", "--dry-run", "--json") == 0
    told = json.loads(capsys.readouterr().out)["plan"]
    assert told["jobs"] == 8 and told["input_bytes"] > 1e6 and told["memory_bytes"] > 0
    assert not (tmp_path / "s").exists()


def test_show_prints_and_draws(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = product(store, "depth", "VIS")
    assert run("show", path, "--json", "--plot", tmp_path / "a.png") == 0
    told = json.loads(capsys.readouterr().out)
    expected = {"kind", "instrument", "band", "order", "cells", "area_deg2", "observed_area_deg2", "minimum", "mean",
                "maximum", "unit"}  # fmt: skip
    assert expected <= set(told)
    assert told["kind"] == "depth" and told["band"] == "VIS" and told["unit"] == "mag"
    assert 20 < told["minimum"] <= told["mean"] <= told["maximum"] < 30
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert run("show", path) == 0
    assert "SNRLEVEL" in capsys.readouterr().out


def test_check_accepts_a_store_and_finds_what_was_altered(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("check", store) == 0, capsys.readouterr().err
    capsys.readouterr()
    copy = tmp_path / "s"
    shutil.copytree(store, copy)
    path = product(copy, "coverage", "VIS")
    content = bytearray(path.read_bytes())
    content[-3000] ^= 1
    path.write_bytes(bytes(content))
    assert run("check", copy) == 6
    assert path.name in capsys.readouterr().err
    assert run("check", path) == 6
    path.unlink()
    assert run("check", copy) == 6
    assert run("check", tmp_path / "nowhere") == 3


def test_merge_joins_files_and_a_folder(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [
        entry.path(".fits")
        for entry in Store(store).entries()
        if entry.key.kind == "coverage" and entry.key.band == "VIS" and entry.key.area.isdigit()
    ]
    listing = tmp_path / "list.txt"
    listing.write_text("\n".join(str(path) for path in reversed(files)))
    assert run("merge", *files, "-o", tmp_path / "a.fits", "--order", 10) == 0
    assert run("merge", f"@{listing}", "-o", tmp_path / "b.fits", "--order", 10) == 0
    capsys.readouterr()
    areas = []
    for path in (*files, tmp_path / "a.fits", tmp_path / "b.fits"):
        assert run("show", path, "--json") == 0
        areas.append(json.loads(capsys.readouterr().out)["observed_area_deg2"])
    assert areas[-1] == areas[-2] == pytest.approx(sum(areas[:-2]), rel=1e-6)
    assert run("merge", files[0], files[0], "-o", tmp_path / "once.fits") == 0  # named twice, counted once
    (tmp_path / "copy").mkdir()
    copy = shutil.copy(files[0], tmp_path / "copy")
    assert run("merge", files[0], copy, "-o", tmp_path / "twice.fits") == 0  # the same tile again counts once
    assert (tmp_path / "once.fits").stat().st_size == (tmp_path / "twice.fits").stat().st_size
    half = io.read(copy)
    half = replace(half, maps={"WEIGHT": SkyMap(half.map.cells, half.map.values * np.float32(0.5))})
    other = io.write_file(half, tmp_path / "half" / files[0].name)
    assert run("merge", files[0], other, "-o", tmp_path / "c.fits") == 3
    assert "cells must be disjoint" in capsys.readouterr().err
    assert run("merge", files[0], product(store, "depth", "VIS"), "-o", tmp_path / "c.fits") == 3
    assert not (tmp_path / "c.fits").exists()
    assert "kind must agree" in capsys.readouterr().err


def test_convert_goes_to_a_moc_and_back(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = product(store, "footprint", "NIR_Y")
    assert run("convert", path, tmp_path / "a.moc.fits") == 0
    assert run("convert", tmp_path / "a.moc.fits", tmp_path / "b.fits") == 0
    assert run("convert", path, tmp_path / "c.fits", "--order", 9) == 0
    capsys.readouterr()
    told = []
    for one in (path, tmp_path / "b.fits", tmp_path / "c.fits"):
        assert run("show", one, "--json") == 0
        told.append(json.loads(capsys.readouterr().out))
    assert told[0]["cells"] == told[1]["cells"]
    assert told[0]["observed_area_deg2"] == told[1]["observed_area_deg2"]
    assert told[2]["observed_area_deg2"] == pytest.approx(told[0]["observed_area_deg2"], rel=1e-6)
    assert run("convert", path, tmp_path / "d.fits", "--order", 20) == 3
    assert run("convert", path, tmp_path / "d.unknown") == 3


def test_list_and_status(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", store, "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert {"footprint", "coverage", "depth", "bitmask", "info", "statistics"} <= {
        row["kind"] for row in rows
    }
    assert run("status", store) == 0
    assert "DONE" in capsys.readouterr().out


def test_params_and_doctor(survey: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("params", "--example") == 0
    assert "[depth]" in capsys.readouterr().out
    assert run("params", "--schema") == 0
    assert "aperture_arcsec" in capsys.readouterr().out
    assert run("params", "--file", survey) == 0
    assert run("params") == 2
    capsys.readouterr()
    assert run("doctor") == 0
    out = capsys.readouterr().out
    assert "euclid-mer" in out and "vis-pf14" in out


def test_storage_that_refuses_ends_with_its_own_status(
    survey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("not a folder")
    assert run("run", survey, "--store", tmp_path / "file" / "s") == 5
    assert "file" in capsys.readouterr().err


def test_what_is_not_there_is_refused(
    survey: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, message, status in (
        (("status", tmp_path), "must be a store", 3),
        (("list", tmp_path / "no"), "must be a store, found nothing", 3),
        (("merge", f"@{tmp_path}/no", "-o", tmp_path / "o.fits"), "must be a file, found nothing", 3),
        (("merge", tmp_path, "-o", tmp_path / "o.fits"), "must hold products", 3),
        (("run", tmp_path), "found a folder", 2),
        (("run", survey, "--store", tmp_path / "s", "--created", "today"), "must be an ISO date", 2),
        (("show", product(store, "depth", "VIS"), "--plot", tmp_path / "a.xyz"), "a figure must end in", 2),
    ):
        assert run(*words) == status, words
        told = " ".join(capsys.readouterr().err.replace("\u2502", " ").split())
        assert message in told, (words, told)


def test_the_epoch_of_the_environment_must_be_a_number(
    survey: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    assert run("run", survey, "--store", tmp_path / "s") == 2
    assert "SOURCE_DATE_EPOCH must be a whole number" in capsys.readouterr().err


WAITS = """
import signal
from vmpz.cli import main
from vmpz.report.progress import Reporter
ended = Reporter.ended
Reporter.ended = lambda *told: (ended(*told), signal.pause())
main()
"""
"""The command, which waits for a signal once the first job has ended: a run might be over before one comes."""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interrupted_run_says_so_and_keeps_what_is_done(survey: Path, tmp_path: Path, name: str) -> None:
    command = [sys.executable, "-c", WAITS, "run", str(survey), "--store", str(tmp_path / "s")]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None and "[1/8]" in child.stderr.readline()
    child.send_signal(getattr(signal, name))
    _, error = child.communicate(timeout=60)
    assert child.returncode == 130 and "interrupted; what is done is kept" in error
    assert "Traceback" not in error and "[2/8]" not in error and not (tmp_path / "s" / ".lock").exists()
    assert len({entry.key.area for entry in Store(tmp_path / "s").entries()}) == 1
    assert run("check", tmp_path / "s") == 0 and run("status", tmp_path / "s") == 0


def test_a_reader_that_left_ends_a_command_in_peace(survey: Path) -> None:
    for words in (
        "params --example | head -1",
        "params --schema | head -1",
        "list {} >&-",
    ):
        command = f"set -o pipefail; {sys.executable} -m vmpz {words.format(survey.parent / 'MER')}"
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
        assert "Traceback" not in done.stderr and done.returncode in (0, 3), words


def test_a_terminal_that_is_gone_does_not_end_the_run(survey: Path, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [
        sys.executable,
        "-m",
        "vmpz",
        "run",
        str(survey),
        "--store",
        str(tmp_path / "s"),
        "--bands",
        "VIS",
        "--products",
        "footprint",
    ]
    assert subprocess.run(command, stdout=subprocess.PIPE, stderr=writer, check=False).returncode == 0
    os.close(writer)
    assert len({entry.key.area for entry in Store(tmp_path / "s").entries()}) == 4
