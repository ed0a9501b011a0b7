"""Long tables: rows stand in the page once, as the text of a CSV file; its script sorts, filters and pages them.

The first rows are drawn already, so the table is there without a script too.
"""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vmpz.report.page.elements import Html, element, joined
from vmpz.report.page.numbers import count, decimals_of

__all__ = ["PAGE", "Sheet", "csv_of", "sheet_of"]

PAGE = 100
"""Rows that are shown at a time; the script reads it from the page."""


@dataclass(frozen=True)
class Sheet:
    """A long table.

    Attributes
    ----------
    name : str
        Of the element, and of the CSV file that can be had.
    caption : str
    text : str
        CSV with a header; the first column heads the rows, and is text even where it looks like a number.
    labels : mapping of str to str
        Heading of a column where it is not its name.
    marked : str
        Column of counts: rows in which it is not 0 are marked.
    as_written : bool
        Whether numbers stand as in the text; else a column has the same decimals throughout.
    """

    name: str
    caption: str
    text: str
    labels: Mapping[str, str] = field(default_factory=dict)
    marked: str = ""
    as_written: bool = False


@dataclass(frozen=True)
class _Column:
    name: str
    label: str
    is_number: bool
    decimals: int | None
    is_mark: bool

    def shown(self, text: str) -> str:
        """As a cell shows it."""
        if text and self.decimals is not None:
            return f"{float(text):.{self.decimals}f}"
        return text or "–"


def csv_of(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """The text of a CSV file."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([header, *rows])
    return out.getvalue()


def sheet_of(sheet: Sheet) -> Html:
    """The table with its first rows, its controls and its data."""
    header, *rows = csv.reader(io.StringIO(sheet.text))
    columns = _columns(sheet, header, rows)
    body = joined(_row(columns, row) for row in rows[:PAGE])
    table = element(
        "table",
        element("caption", sheet.caption),
        element("thead", element("tr", *(_heading(one) for one in columns))),
        element("tbody", body),
    )
    return element(
        "div",
        _controls(sheet.name, len(rows)),
        element("div", table, class_="scroll", tabindex=0, role="region", aria_label=sheet.caption),
        element("div", class_="pager"),
        element("script", _as_json(sheet.text), type="application/json"),
        class_="sheet", id=sheet.name, data_page=PAGE,
    )  # fmt: skip


def _columns(sheet: Sheet, header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[_Column]:
    columns = []
    for place, name in enumerate(header):
        known = [row[place] for row in rows if row[place]]
        numbers = _numbers(known) if place else []
        is_whole = all(value.lstrip("-").isdigit() for value in known)
        decimals = decimals_of(max(numbers)) if numbers and not (is_whole or sheet.as_written) else None
        columns.append(
            _Column(name, sheet.labels.get(name, name), bool(numbers), decimals, name == sheet.marked)
        )
    return columns


def _numbers(values: Sequence[str]) -> list[float]:
    """Their sizes; none where one is not a finite number."""
    try:
        numbers = [abs(float(value)) for value in values]
    except ValueError:
        return []
    return numbers if all(map(math.isfinite, numbers)) else []


def _heading(column: _Column) -> Html:
    return element(
        "th", column.label, scope="col", data_name=column.name, data_number=column.is_number,
        data_decimals=column.decimals, data_mark=column.is_mark,
    )  # fmt: skip


def _row(columns: Sequence[_Column], row: Sequence[str]) -> Html:
    first = element("th", row[0], scope="row")
    rest = [
        element("td", column.shown(value), class_="number" if column.is_number else None)
        for column, value in zip(columns[1:], row[1:], strict=True)
    ]
    marked = any(
        column.is_mark and value not in ("", "0") for column, value in zip(columns, row, strict=True)
    )
    return element("tr", first, *rest, class_="lacking" if marked else None)


def _controls(name: str, rows: int) -> Html:
    """What needs the script; it shows them."""
    return element(
        "div",
        element("label", "Filter ", element("input", type="search", placeholder="words", spellcheck="false")),
        element("output", f"{count(rows)} rows", aria_live="polite"),
        element("button", "Download CSV", type="button", data_file=f"{name}.csv"),
        class_="controls",
        hidden=True,
    )


def _as_json(text: str) -> Html:
    """A JSON string that cannot end the script element it stands in."""
    return Html(json.dumps(text, ensure_ascii=False).replace("<", "\\u003c"))
