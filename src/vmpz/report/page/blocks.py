"""What sections are made of: sections, figures with their captions, small tables, lists of numbers."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from vmpz.report.page.elements import Content, Html, element, joined
from vmpz.report.themes import inline_svg

__all__ = ["Section", "card", "drawing", "figure", "items", "numbers", "section", "table"]


@dataclass(frozen=True)
class Section:
    """A part of the page: its anchor, its title, what it holds; or, where it holds nothing, why."""

    name: str
    title: str
    body: Html | None
    reason: str = ""


def section(name: str, title: str, *children: Content) -> Section:
    """A section that holds something."""
    return Section(name, title, joined(children))


def drawing(plot: Figure, title: str, description: str, name: str, over: str = "") -> Html:
    """A figure as a drawing in the page.

    `name` is one of its own, `description` states the numbers it shows, `over` is the name of what lies over it.
    """
    prefix = (
        f"d{hashlib.sha256(name.encode()).hexdigest()[:10]}"  # names come from files, and may hold anything
    )
    return element("div", Html(inline_svg(plot, title, description, prefix, over)), class_="drawing")


def figure(title: str, picture: Html, *under: Content, code: str = "", level: int = 3) -> Html:
    """A card with a drawing that can be enlarged; `level` is that of its heading."""
    button = element(
        "button", "Enlarge", type="button", class_="enlarge", hidden=True, data_title=title,
        aria_label=f"Enlarge: {title}",
    )  # fmt: skip
    head = element("header", element(f"h{level}", title, element("code", code) if code else None), button)
    return element("figure", head, picture, element("figcaption", *under) if under else None, class_="card")


def card(*children: Content) -> Html:
    """A plain card."""
    return element("div", *children, class_="card")


def numbers(pairs: Iterable[tuple[str, str]]) -> Html:
    """Names and numbers, in a row."""
    return element(
        "dl",
        *(element("div", element("dt", name), element("dd", value)) for name, value in pairs),
        class_="numbers",
    )


def items(pairs: Mapping[str, object]) -> Html:
    """Names and values, one below the other."""
    return element(
        "dl",
        *(joined((element("dt", name), element("dd", str(value)))) for name, value in pairs.items()),
    )


def table(
    caption: str, header: Sequence[str], rows: Iterable[Sequence[Content]], text: Iterable[int] = ()
) -> Html:
    """A short table: the first column heads the rows, the rest are numbers but for the columns named in `text`."""
    worded = {0, *text}
    head = [
        element("th", name, scope="col", class_=None if place in worded else "number")
        for place, name in enumerate(header)
    ]
    body = [
        element(
            "tr",
            element("th", row[0], scope="row"),
            *(_cell(cell, place in worded) for place, cell in enumerate(row[1:], 1)),
        )
        for row in rows
    ]
    whole = element(
        "table", element("caption", caption), element("thead", element("tr", *head)), element("tbody", *body)
    )
    return element("div", whole, class_="scroll", tabindex=0, role="region", aria_label=caption)


def _cell(content: Content, is_text: bool) -> Html:
    return element("td", content, class_=None if is_text else "number")
