"""What stands at a path, and what may be meant."""

import os
from pathlib import Path

from vmpz.files.nearby import what_is_at


def test_what_is_there_and_what_may_be_meant(tmp_path: Path) -> None:
    (tmp_path / "survey").mkdir()
    (tmp_path / "survey" / "survey.toml").write_text("")
    (tmp_path / ".hidden.toml").write_text("")
    os.mkfifo(tmp_path / "pipe")
    assert what_is_at(tmp_path) == "a folder"
    assert what_is_at(tmp_path / "survey" / "survey.toml") == "a file"
    assert what_is_at(tmp_path / "pipe") == "something else (device, pipe)"
    assert what_is_at(tmp_path / "survey" / "survey.tmol") == (
        f"nothing, did you mean {tmp_path / 'survey' / 'survey.toml'}"
    )
    assert what_is_at(tmp_path / "suvrey" / "survey.toml") == f"nothing, did you mean {tmp_path / 'survey'}"
    assert what_is_at(tmp_path / "hidden.toml") == "nothing"
    assert what_is_at(tmp_path / "survey" / "survey.toml" / "x") == "nothing"
    assert what_is_at("s3://bucket/prefix") == what_is_at("a\0b") == what_is_at("") == "nothing"
