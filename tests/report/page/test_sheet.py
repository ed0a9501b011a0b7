"""Long tables: the data is the CSV text itself, the first rows are drawn."""

import json

from hypothesis import given
from hypothesis import strategies as st
from lxml import html

from vmpz.report.page.sheet import PAGE, Sheet, csv_of, sheet_of

CELL = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=12)


@given(st.lists(st.tuples(CELL, CELL), max_size=5))
def test_the_data_is_the_csv_and_cannot_end_its_element(rows: list[tuple[str, str]]) -> None:
    text = csv_of(("a", "b"), rows)
    found = html.fromstring(sheet_of(Sheet("s", "Caption", text)))
    (data,) = found.iter("script")
    assert json.loads(data.text) == text
    assert len(found.findall(".//tbody/tr")) == len(rows)


def test_a_column_has_its_decimals_and_marked_rows_are_marked() -> None:
    rows = [("7", 25.123456, 3, "", 0), ("8", 24.0, -2, 1e-9, 2)]
    found = html.fromstring(
        sheet_of(Sheet("s", "c", csv_of(("id", "depth", "n", "x", "missing"), rows), marked="missing"))
    )
    heads = {head.get("data-name"): dict(head.attrib) for head in found.findall(".//thead/tr/th")}
    assert "data-number" not in heads["id"] and "data-number" in heads["n"]
    assert heads["depth"]["data-decimals"] == "3" and "data-decimals" not in heads["n"]
    lines = [[cell.text for cell in row] for row in found.findall(".//tbody/tr")]
    assert lines[0] == ["7", "25.123", "3", "–", "0"]
    assert lines[1][:3] == ["8", "24.000", "-2"]
    assert [row.get("class") for row in found.findall(".//tbody/tr")] == [None, "lacking"]


def test_only_a_page_of_rows_is_drawn() -> None:
    found = html.fromstring(sheet_of(Sheet("s", "c", csv_of(("a", "b"), [(k, k) for k in range(3 * PAGE)]))))
    assert len(found.findall(".//tbody/tr")) == PAGE
