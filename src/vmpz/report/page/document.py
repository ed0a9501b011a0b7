"""The whole page: head, contents, sections, styles and script, in one file that asks nothing of any network."""

import base64
import hashlib
from collections.abc import Callable
from importlib import resources

import matplotlib

from vmpz.report.page.blocks import Section
from vmpz.report.page.elements import Html, element, joined
from vmpz.report.page.maps import depth, maps, maps_in_numbers, values
from vmpz.report.page.records import missing, parameters, provenance, reading, tiles
from vmpz.report.page.relations import bits, correlations, randoms, redshifts, seams
from vmpz.report.page.sky import lines_of
from vmpz.report.page.summary import masthead, name_of_survey
from vmpz.report.themes import COLOURS
from vmpz.run.overview.content import Overview

__all__ = ["SUFFIXES", "page_of"]

SUFFIXES = (".html", ".htm")
"""Of the files that hold a page."""

SECTIONS: tuple[Callable[[Overview], Section], ...] = (
    maps, depth, values, maps_in_numbers, seams, bits, correlations, redshifts, randoms, tiles, missing, provenance,
    parameters,
)  # fmt: skip
"""In their order; what holds nothing is named at the end."""


def page_of(overview: Overview, title: str | None = None) -> str:
    """The report page of an overview, the same text for the same overview.

    Parameters
    ----------
    overview : Overview
    title : str, optional
        Heading; default the name of the survey.

    Returns
    -------
    str
        HTML. Every text of the overview is escaped; the only scripts that may run are its own, by their hashes, and
        nothing is fetched from anywhere.
    """
    with matplotlib.rc_context({"text.parse_math": False}):  # names in files may hold dollars
        found, lines = [make(overview) for make in SECTIONS], lines_of(overview)
    shown = [one for one in found if one.body is not None]
    shown.append(reading([one for one in found if one.body is None]))
    heading = title or name_of_survey(overview)
    contents = element("ul", *(element("li", element("a", one.title, href=f"#{one.name}")) for one in shown))
    main = element("main", masthead(overview, heading), *map(_section, shown), id="main")
    body = element(
        "body",
        element("a", "To the content", href="#main", class_="skip"),
        lines,
        element(
            "div",
            element("nav", contents, aria_label="Contents"),
            element("div", main, _footer(overview), class_="content"),
            class_="frame",
        ),
        _lens(),
        element("script", Html(_asset("page.js"))),
    )
    return f"<!doctype html>\n{element('html', _head(heading), body, lang='en')}\n"


def _section(one: Section) -> Html:
    heading = element("h2", one.title, id=f"{one.name}-title")
    return element("section", heading, one.body, id=one.name, aria_labelledby=f"{one.name}-title")


def _head(title: str) -> Html:
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_policy()),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="generator", content="vmpz"),
        element("title", f"{title}: report of sky maps"),
        element("style", Html(_colours() + _asset("base.css", "vmpz.report") + _asset("page.css"))),
        element("script", Html(_asset("theme.js"))),
    )  # fmt: skip


def _policy() -> str:
    """Nothing may be fetched; scripts run by their hashes alone."""
    hashes = " ".join(f"'sha256-{_hash(_asset(name))}'" for name in ("theme.js", "page.js"))
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _asset(name: str, room: str = "vmpz.report.page") -> str:
    return (resources.files(room) / "assets" / name).read_text("utf-8")


def _colours() -> str:
    """The colours of figures, as custom properties."""
    pairs = "".join(f"{name}:light-dark({light},{dark});" for name, (light, dark) in COLOURS.items())
    return f":root{{{pairs}}}\n"


def _lens() -> Html:
    """The window in which a figure is enlarged."""
    close = element("button", "Close", type="button")
    return element(
        "dialog",
        element("header", element("p"), close),
        element("div", class_="drawing", tabindex=0),
        id="lens",
    )


def _footer(overview: Overview) -> Html:
    made = overview.versions.get("vmpz")
    return element(
        "footer",
        joined(
            (
                "Made by vmpz",
                f" {made}" if made else None,
                ". This file is complete: it asks nothing of any network.",
            )
        ),
    )
