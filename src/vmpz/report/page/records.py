"""Sections of records: tiles, what is missing, provenance, parameters, terms."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from vmpz.report.page.blocks import Section, card, items, section, table
from vmpz.report.page.elements import Content, Html, element, joined
from vmpz.report.page.numbers import count
from vmpz.report.page.sheet import Sheet, csv_of, sheet_of
from vmpz.report.page.words import TERMS
from vmpz.run.overview.content import Overview
from vmpz.run.overview.table import parts_csv

__all__ = ["missing", "parameters", "provenance", "reading", "tiles"]

LABELS = {
    "area": "tile", "lon_deg": "RA, deg", "lat_deg": "Dec, deg", "area_deg2": "listed, deg²",
    "observed_deg2": "observed, deg²", "hole_deg2": "holes, deg²",
}  # fmt: skip


def tiles(overview: Overview) -> Section:
    """A row a tile and band."""
    name, title = "tiles", "Tiles"
    if not overview.parts:
        return Section(name, title, None, "the store holds no tile")
    intro = (
        "A row a tile and band: areas, and the mean of every map over the tile. Marked rows lack products."
    )
    caption = "Tiles and bands, with means of maps"
    sheet = Sheet("tile-table", caption, parts_csv(overview), LABELS, marked="missing")
    return section(name, title, element("p", intro), sheet_of(sheet))


def missing(overview: Overview) -> Section:
    """What failed, and what had no input, with reasons."""
    name, title = "missing", "Missing products"
    notes = [element("h3", "Notes"), element("ul", *(element("li", text) for text in overview.notes))]
    after = joined(notes) if overview.notes else None
    if not overview.missing:
        return section(name, title, element("p", "Nothing is missing of what was asked for."), after)
    header = ("area", "band", "product", "state", "reason")
    rows = [
        (
            one.key.area,
            one.key.band,
            _product(one.key.kind, one.key.quantity, one.key.statistic),
            one.state,
            one.reason,
        )
        for one in overview.missing
    ]
    intro = "FAILED: could not be made. NOINPUT: an input that it needs is not there."
    sheet = Sheet("missing-table", "Products that are not there", csv_of(header, rows), {"area": "tile"})
    return section(name, title, element("p", intro), sheet_of(sheet), after)


def _product(*words: str) -> str:
    return " ".join(word for word in words if word != "-")


def provenance(overview: Overview) -> Section:
    """What made the products, in which versions."""
    children: list[Content] = [
        element("p", "What the products were made with; their manifests say the same, file by file.")
    ]
    if overview.provenance:
        header = list(dict.fromkeys(name for row in overview.provenance for name in row))
        rows = [[_told(row.get(name)) for name in header] for row in overview.provenance]
        words = [place for place, name in enumerate(header) if not _is_numeric(overview.provenance, name)]
        children.append(
            table("Products by recipe", [name.replace("_", " ") for name in header], rows, text=words)
        )
    if overview.versions:
        children.append(
            card(
                element("h3", "Versions"),
                element("details", element("summary", "Software"), items(overview.versions), open=True),
            )
        )
    return section("provenance", "Provenance", *children)


def _is_numeric(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    return all(
        isinstance(row.get(name), int | float | None) and not isinstance(row.get(name), bool) for row in rows
    )


def _told(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, int):
        return count(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_told(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_told, value))
    return str(value) if isinstance(value, str) else json.dumps(value)


def parameters(overview: Overview) -> Section:
    """The parameters of the last run."""
    name, title = "parameters", "Parameters"
    if not overview.parameters:
        return Section(name, title, None, "the store keeps none")
    shown = element(
        "details", element("summary", f"{count(overview.parameters.count(chr(10)))} lines of TOML"),
        element("button", "Copy", type="button", class_="copy", hidden=True), element("pre", overview.parameters),
    )  # fmt: skip
    return section(
        name, title, element("p", "Of the last run: with them the products are made again."), card(shown)
    )


def reading(absent: Sequence[Section]) -> Section:
    """Terms, and what the page does not show and why."""
    terms = element(
        "dl",
        *(joined((element("dt", term), element("dd", meaning))) for term, meaning in TERMS.items()),
        class_="terms",
    )
    return section("reading", "How to read this page", card(terms), _absent(absent) if absent else None)


def _absent(absent: Sequence[Section]) -> Html:
    lines = [element("li", f"{one.title}: {one.reason}.") for one in absent]
    return joined((element("h3", "Not shown"), element("ul", *lines)))
