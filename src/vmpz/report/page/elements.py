"""HTML elements as text: whatever is not HTML already is escaped where it is put in, so no text can become markup."""

from collections.abc import Iterable
from html import escape

__all__ = ["Html", "breakable", "element", "joined"]

VOID = {"br", "input", "meta", "wbr"}


class Html(str):
    """Text that is markup; a plain string beside it is escaped."""

    __slots__ = ()


Content = str | int | None
Attribute = str | int | bool | None


def element(tag: str, *children: Content, **attributes: Attribute) -> Html:
    """An element with its children and attributes.

    Parameters
    ----------
    tag : str
    *children : str, int or None
        `Html` as it stands, other text escaped, None left out.
    **attributes : str, int, bool or None
        A final underscore is dropped (`class_`), others are hyphens (`aria_label`); True gives the bare name, None and
        False leave it out.

    >>> element("p", "a < b", class_="note")
    '<p class="note">a &lt; b</p>'
    """
    opening = f"<{tag}{''.join(_attribute(name, value) for name, value in attributes.items())}>"
    return Html(opening if tag in VOID else f"{opening}{joined(children)}</{tag}>")


def joined(parts: Iterable[Content], between: str = "") -> Html:
    """Children one after the other, plain text escaped."""
    return Html(_escaped(between).join(_escaped(part) for part in parts if part is not None))


def breakable(name: str) -> Html:
    """A name that may be broken after its underscores."""
    return joined(name.replace("_", "_\n").split("\n"), Html("<wbr>"))


def _escaped(part: str | int) -> str:
    return part if isinstance(part, Html) else escape(str(part))


def _attribute(name: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    name = name.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'
