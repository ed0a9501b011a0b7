"""Sections of records: tiles, what is missing, provenance, parameters, terms."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from vmpz.products import ProductKey
from vmpz.report.page.blocks import Section, card, items, section, table
from vmpz.report.page.elements import Html, element, joined
from vmpz.report.page.numbers import count
from vmpz.report.page.sheet import Sheet, csv_of, sheet_of
from vmpz.report.page.words import TERMS
from vmpz.run.overview.content import Missing, Overview
from vmpz.run.overview.table import parts_csv

__all__ = ["missing", "parameters", "provenance", "reading", "tiles"]

MOST_ALONE = 2000
"""Missing products that have a row each; of more, those that are alike share one."""
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
    rows = _alone(overview.missing) if len(overview.missing) <= MOST_ALONE else _alike(overview.missing)
    intro = "FAILED: could not be made. NOINPUT: an input that it needs is not there. NOTASKED: no run has made it."
    sheet = Sheet("missing-table", "Products that are not there", csv_of(header, rows), {"area": "tile"})
    return section(name, title, element("p", intro), sheet_of(sheet), after)


def _alone(found: Sequence[Missing]) -> list[tuple[str, ...]]:
    return [(one.key.area, one.key.band, _product(one.key), one.state, one.reason) for one in found]


def _alike(found: Sequence[Missing]) -> list[tuple[str, ...]]:
    """A row for what many tiles lack for the same reason."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for area, *told, reason in _alone(found):
        groups.setdefault((*told, reason.replace(area, "...")), []).append(area)
    return [
        (areas[0], *told) if len(areas) == 1 else (f"{count(len(areas))}: {areas[0]} to {areas[-1]}", *told)
        for told, areas in groups.items()
    ]


def _product(key: ProductKey) -> str:
    words = (key.kind, key.quantity, key.statistic)
    return " ".join(word for word in words if word != "-")


def provenance(overview: Overview) -> Section:
    """What made the products, with which parameters, in which versions."""
    name, title, rows = "provenance", "Provenance", overview.provenance
    if not rows and not overview.versions:
        return Section(name, title, None, "there are no products")
    header = ("recipe", "version", "products", "inputs", "verified", "created (UTC)")
    lines = [
        (str(row["recipe"]), str(row["recipe_version"]), count(row["products"]), count(row["inputs"]),
         count(row["verified"]), _span(row["created"]))
        for row in rows
    ]  # fmt: skip
    recipes = card(element("h3", "Parameters by recipe"), *map(_settings, rows)) if rows else None
    software = card(element("h3", "Software"), element("div", items(overview.versions), class_="list"))
    return section(
        name, title, element("p", "What the products were made with; their manifests say the same, file by file."),
        table("Products by recipe", header, lines, text=[1, 5]) if rows else None,
        element("div", recipes, software if overview.versions else None, class_="grid wide after"),
    )  # fmt: skip


def _span(created: Sequence[str]) -> str:
    """From the oldest to the newest, to the second."""
    return " to ".join(dict.fromkeys(instant[:19].replace("T", " ") for instant in created))


def _settings(row: Mapping[str, Any]) -> Html:
    """Parameters that all products of a recipe share, and in how many values the others come."""
    said = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in row["parameters"].items()
    }
    said |= {name: f"differs: {values} values" for name, values in row["differing"].items()}
    return element("details", element("summary", str(row["recipe"])), items(said))


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
