"""The doctor: what is there, what is missing, what is broken, each with what helps."""

import json
import os
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from vmpz.cli import _status_of
from vmpz.readers import READERS
from vmpz.run import diagnosis as room
from vmpz.run.diagnosis import EXTRAS, Finding, diagnosis


def found(what: str) -> Finding:
    return next(one for one in diagnosis() if one.what == what)


def test_a_sound_installation_is_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    findings = {one.what: one for one in diagnosis()}
    assert {"vmpz", "python", "libraries", "readers", "products", "machine", "kernels", "text"} <= set(
        findings
    )
    assert {f"vmpz[{name}]" for name in EXTRAS} <= set(findings)
    wrong = [one for one in findings.values() if one.verdict == "problem"]
    assert not wrong
    assert all(one.advice for one in findings.values() if one.verdict != "ok")
    assert _status_of(["doctor", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["what"] for one in told] == list(findings) and set(told[0]) == {
        "what",
        "verdict",
        "found",
        "advice",
    }
    assert "euclid-mer" in findings["readers"].found and "numba" in findings["libraries"].found


def test_what_is_optional_is_missing_and_no_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(room, "find_spec", lambda name: None)
    monkeypatch.setattr(room.shutil, "which", lambda name: None)
    monkeypatch.setattr(room, "user_cache", lambda: tmp_path)
    assert found("vmpz[s3]") == Finding(
        "vmpz[s3]", "missing", "stores on S3 (s3://bucket/prefix)", "pip install 'vmpz[s3]'"
    )
    assert found("viewer").verdict == "missing"
    assert _status_of(["doctor"]) == 0
    assert "missing  vmpz[fast]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["numpy>=2.0", "nosuchpackage>=1"], "nosuchpackage not installed"),
        (["numpy>=99.1"], "is older than 99.1"),
        (["pyerfa>=2.0.1.99"], "is older than 2.0.1.99"),
        (["extra-lib>=2"], "extra-lib not installed"),
    ],
)
def test_libraries_that_are_missing_or_old_are_a_problem(
    lines: list[str], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(room, "requires", lambda name: [*lines, "other>=3; extra == 'x'"])
    one = found("libraries")
    assert one.verdict == "problem" and told in one.found and one.advice
    assert _status_of(["doctor"]) == 3
    assert "problems: libraries" in capsys.readouterr().err


def test_a_reader_of_another_package_that_does_not_load_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    points = {
        "vmpz.readers": [EntryPoint("mine", "vmpz_nowhere:reader", "vmpz.readers")],
        "vmpz.quantities": [EntryPoint("good", "vmpz.quantities:QUANTITIES", "vmpz.quantities")],
    }
    monkeypatch.setattr(room, "entry_points", lambda group: points.get(group, []))
    assert found("readers mine").verdict == "problem"
    assert "ModuleNotFoundError" in found("readers mine").found
    assert found("quantities good").verdict == "ok"


def test_kernels_that_cannot_be_kept_and_text_that_is_not_utf8_are_problems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "new"))
    assert (
        found("kernels").found.startswith("0 compiled ones are kept in") and found("kernels").verdict == "ok"
    )
    monkeypatch.setattr(room.os, "access", lambda path, mode: False)
    monkeypatch.setattr(room.locale, "getpreferredencoding", lambda do_setlocale: "ANSI_X3.4-1968")
    findings = {one.what: one for one in diagnosis()}
    for what in ("kernels", "text", "this folder"):
        assert findings[what].verdict == "problem" and findings[what].advice, what


def test_folders_that_are_gone_or_closed_are_problems_and_do_not_end_the_doctor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(room, "cache_folder", lambda: Path("/closed/cache"))
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/closed/numba")
    stat = os.stat

    def refusing(path: object, **options: object) -> os.stat_result:
        if str(path).startswith("/closed/"):
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "stat", refusing)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # a user whom the machine does not know
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    findings = {one.what: one for one in diagnosis()}
    assert findings["this folder"].verdict == "problem" and findings["this folder"].advice
    assert findings["viewer"].verdict == "missing" and "must have a home" in findings["viewer"].found
    assert {"cache (until the end)", "kernels", "machine"} <= set(findings)


def test_an_installation_that_cannot_be_imported_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "vmpz.run.diagnosis", None)
    assert _status_of(["doctor"]) == 3
    assert "force-reinstall" in capsys.readouterr().err


def test_every_reader_tells_its_files_and_options(capsys: pytest.CaptureFixture[str]) -> None:
    for name in READERS:
        assert _status_of(["params", "--reader", name]) == 0
        assert capsys.readouterr().out.startswith(f"Reader `{name}`: ")
    assert _status_of(["params", "--reader", "generik"]) == 3
    assert capsys.readouterr().err.rstrip().endswith("found generik, did you mean generic")
