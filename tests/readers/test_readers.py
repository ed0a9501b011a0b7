"""The table of readers: names, entry points, selection over several places."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import readers_helpers as write
import vmpz.readers
from vmpz.errors import InputError
from vmpz.readers import READERS, Reader, reader, scan_inputs


def test_unknown_reader_lists_the_known() -> None:
    with pytest.raises(InputError, match=f"one of {', '.join(sorted(READERS))}, found nope"):
        reader("nope")


def test_entry_points_add_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    def scan(location: str, options: Any) -> list[Any]:
        return []

    point = SimpleNamespace(name="mine", load=lambda: (scan, READERS["generic"].open))
    monkeypatch.setattr(
        vmpz.readers, "entry_points", lambda group: [point] if group == "vmpz.readers" else []
    )
    assert reader("mine") == Reader(scan, READERS["generic"].open)
    with pytest.raises(InputError, match=", ".join(sorted([*READERS, "mine"]))):
        reader("nope")


def test_selections_of_the_run_and_of_a_place_are_both_held(tmp_path: Path) -> None:
    for tile in ("102018210", "102018211"):
        for band in ("VIS", "NIR_Y", "DECAM_g"):
            write.write_band(tmp_path, band, tile, kinds=["RMS"])

    def bands(place_bands: Any, options: dict[str, Any], **selection: Any) -> set[tuple[str, str]]:
        place = SimpleNamespace(
            reader="euclid-mer", location=str(tmp_path), bands=place_bands, options=options
        )
        return {(ref.area, ref.band) for ref in scan_inputs([place], **selection)}

    assert len(bands(None, {})) == 6
    assert {band for _, band in bands(["VIS", "NIR_Y"], {})} == {"VIS", "NIR_Y"}
    assert {band for _, band in bands(["VIS", "NIR_Y"], {"bands": ["NIR_Y"]}, bands=["NIR_Y", "VIS"])} == {
        "NIR_Y"
    }
    assert bands(None, {"tiles": ["102018211"]}, instruments=["DECAM"]) == {("102018211", "DECAM_g")}
    assert bands(["VIS"], {}, bands=["NIR_Y"]) == set()
