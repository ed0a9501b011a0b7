"""`vmpz report`: a page of a real store."""

from pathlib import Path

import pytest
from lxml import html

from vmpz.cli import _status_of
from vmpz.run.overview.gather import OverviewRequest, overview_of
from vmpz.run.overview.table import parts_csv
from vmpz.run.query import Wanted
from vmpz.run.store import Store

SOME = ("--kinds", "depth,coverage", "--bands", "VIS")


def run(*arguments: object) -> int:
    return _status_of(["report", *map(str, arguments)])


def test_a_page_and_a_table_are_written_and_named(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, table = tmp_path / "report.html", tmp_path / "tiles.csv"
    assert run(store, page, *SOME, "--table", table, "--title", "A & B") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(f"{table}: 4 rows") and said[1].startswith(f"{page}: 2 maps of 4 tiles, ")
    tree = html.document_fromstring(page.read_text("utf-8"))
    assert tree.findtext(".//h1") == "A & B"
    assert {one.text for one in tree.findall(".//figure//h4/code")} == {"coverage_VIS", "depth_VIS"}
    overview = overview_of(Store(store), OverviewRequest(Wanted(["depth", "coverage"], ["VIS"])))
    assert table.read_text("utf-8") == parts_csv(overview)
    assert page.stat().st_size < 3e6
    again = tmp_path / "again.html"
    assert run(store, again, *SOME, "--title", "A & B") == 0
    assert again.read_bytes() == page.read_bytes()


def test_what_cannot_be_shown_leaves_nothing(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(store, tmp_path / "report.pdf") == 2
    assert "must end in .html" in capsys.readouterr().err
    assert run(tmp_path / "nowhere", tmp_path / "report.html") == 3
    assert run(store, tmp_path / "report.html", "--bands", "NIR_K") == 3
    assert run(store, tmp_path / "report.html", "--randoms", tmp_path / "none.fits") != 0
    assert not list(tmp_path.iterdir())
