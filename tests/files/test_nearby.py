"""What stands at a path, and what may be meant."""

import os
from pathlib import Path

import pytest

from vmpz.files.nearby import MOST, what_is_at


def test_what_is_there_and_what_may_be_meant(tmp_path: Path) -> None:
    (tmp_path / "survey").mkdir()
    (tmp_path / "survey" / "survey.toml").write_text("")
    (tmp_path / ".hidden.toml").write_text("")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("nowhere")
    assert what_is_at(tmp_path) == "a folder"
    assert what_is_at(tmp_path / "survey" / "survey.toml") == "a file"
    assert what_is_at(tmp_path / "pipe") == "something else (device, pipe)"
    assert what_is_at(tmp_path / "link") == "a link that leads nowhere"
    assert what_is_at(tmp_path / "survey" / "survey.tmol") == (
        f"nothing, did you mean {tmp_path / 'survey' / 'survey.toml'}"
    )
    assert what_is_at(tmp_path / "suvrey" / "survey.toml") == f"nothing, did you mean {tmp_path / 'survey'}"
    assert what_is_at(tmp_path / "hidden.toml") == "nothing"
    assert what_is_at(tmp_path / "survey" / "survey.toml" / "x") == "nothing"
    assert what_is_at("s3://bucket/prefix") == what_is_at("a\0b") == what_is_at("") == "nothing"


def test_nothing_is_meant_in_a_huge_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Comparing a hundred thousand names would take three seconds."""
    names = [f"tile_{number}.fits" for number in range(MOST + 1)]
    monkeypatch.setattr(os, "listdir", lambda path: names[:100])
    assert what_is_at(tmp_path / "tile-77.fits") == f"nothing, did you mean {tmp_path / 'tile_77.fits'}"
    monkeypatch.setattr(os, "listdir", lambda path: names)
    assert what_is_at(tmp_path / "tile-77.fits") == "nothing"
