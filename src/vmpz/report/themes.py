"""Figures as part of a page: an SVG element that takes its colours and its font from the page.

A figure in the colours of `vmpz.report.palette` is written as SVG; then each of these colours becomes
``var(--ink, #...)`` and so on, so that the page decides what they are, in light and in dark. Maps and colour bars are
images with a palette, transparent where no cell is. Text stays text. There are no fixed sizes, no style sheet, no
metadata, and no names but those that are referred to, which begin with a prefix of the figure's own.
"""

import base64
import hashlib
import re
import xml.etree.ElementTree as ET
from io import BytesIO
from itertools import groupby

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from vmpz.report.palette import PALETTE

__all__ = ["COLOURS", "inline_svg", "shared_svg"]

COLOURS = PALETTE
"""CSS custom property -> (light, dark)."""

SVG, XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
REFERENCE = re.compile(r"url\(#([^)]+)\)")
NUMBER = re.compile(r"-?\d+\.\d{3,}")
TURN = re.compile(r"rotate\(-?0 [^)]*\)")
DROPPED = {"stroke-linejoin", "stroke-miterlimit", "font-family", "image-rendering"}
SHARED = (
    "fill",
    "stroke",
    "stroke-width",
    "stroke-linecap",
    "opacity",
    "font-size",
    "font-weight",
    "text-anchor",
    "clip-path",
)
COARSE = 128.0
"""Images of fewer pixels across are enlarged without blending: matrices."""
LEAST_RUN = 3
"""Elements that share attributes from which on a group says them once."""
VARIABLES = {light: f"var({name}, {light})" for name, (light, _) in PALETTE.items()}
MOST_COLOURS = 256
ALPHAS = 5
"""Steps of opacity where pixels are listed in part."""


def inline_svg(figure: Figure, title: str, description: str, name: str = "", over: str = "") -> str:
    """A figure as an SVG element of a page.

    Parameters
    ----------
    figure : Figure
    title, description : str
        What a screen reader says: what it is, and the numbers that it shows.
    name : str
        Prefix of the names inside, unique in the page; default from the content, so that two figures that differ have
        others.
    over : str
        Name of a drawing that lies over it (`shared_svg`).

    Returns
    -------
    str
        ``<svg class="figure" viewBox="..." role="img">...</svg>``, one line, all text escaped; the same bytes for the
        same figure.
    """
    written = _written(figure)
    prefix = name or "f" + hashlib.sha256(written + title.encode()).hexdigest()[:10]
    tree = _for_a_page(written, prefix)
    _told(tree, title, description, prefix)
    if over:
        ET.SubElement(tree, "use", {"href": f"#{over}"})
    return ET.tostring(tree, encoding="unicode")


def shared_svg(figure: Figure, name: str) -> str:
    """A figure that is drawn over others of the same width (`inline_svg`), as an element that shows nothing itself.

    Parameters
    ----------
    figure : Figure
    name : str
        Unique in the page.
    """
    tree = _for_a_page(_written(figure), f"{name}-part")
    group = ET.Element("g", {"id": name})
    group.extend(tree)
    root = ET.Element("svg", {"class": "shared", "width": "0", "height": "0", "aria-hidden": "true"})
    root.append(group)
    return ET.tostring(root, encoding="unicode")


def _written(figure: Figure) -> bytes:
    written = BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "vmpz", "path.simplify": True}):
        figure.savefig(written, format="svg", dpi=figure.dpi, metadata={"Date": None}, facecolor="none")
    return written.getvalue()


def _for_a_page(written: bytes, prefix: str) -> ET.Element:
    """The elements of an SVG file as a page has them."""
    tree = ET.fromstring(written)
    _strip(tree)
    _rename(tree, prefix)
    for element in tree.iter():
        _restyle(element)
    _group(tree)
    for element in tree.iter():
        element.tag = element.tag.removeprefix(SVG)
        if XLINK + "href" in element.attrib:
            element.set("href", element.attrib.pop(XLINK + "href"))
    return tree


def _strip(tree: ET.Element) -> None:
    """Leave out metadata, the style sheet, white space, and groups that say nothing."""
    for parent in list(tree.iter()):
        for child in list(parent):
            styled = child.tag == SVG + "defs" and len(child) == 1 and child[0].tag == SVG + "style"
            if child.tag == SVG + "metadata" or styled:
                parent.remove(child)
        parent.tail = None
        if parent.text and not parent.text.strip():
            parent.text = None
    _flatten(tree)


def _flatten(parent: ET.Element) -> None:
    """Put the children of plain groups in their place."""
    for child in list(parent):
        _flatten(child)
        if child.tag == SVG + "g" and set(child.attrib) <= {"id"}:
            place = list(parent).index(child)
            parent.remove(child)
            for offset, grandchild in enumerate(list(child)):
                parent.insert(place + offset, grandchild)


def _rename(tree: ET.Element, prefix: str) -> None:
    """Drop names that nothing refers to; the others become the prefix and a number."""
    used: dict[str, str] = {}
    for element in tree.iter():
        for key, value in element.attrib.items():
            found = (
                REFERENCE.findall(value) if key != XLINK + "href" else [value[1:]] if value[:1] == "#" else []
            )
            for one in found:
                used.setdefault(one, f"{prefix}-{len(used)}")
    for element in tree.iter():
        for key, value in list(element.attrib.items()):
            if key == "id":
                element.attrib.pop("id")
                if value in used:
                    element.set("id", used[value])
            elif key == XLINK + "href" and value.startswith("#"):
                element.set(key, f"#{used[value[1:]]}")
            else:
                element.set(key, REFERENCE.sub(lambda one: f"url(#{used[one[1]]})", value))


def _restyle(element: ET.Element) -> None:
    """Colours of the page, its font, short numbers, small images."""
    for part in element.attrib.pop("style", "").split(";"):
        key, _, value = (piece.strip() for piece in part.partition(":"))
        if key and key not in DROPPED:
            element.set(key, value.removesuffix("px"))
    element.attrib.pop("image-rendering", None)
    for key in ("fill", "stroke"):
        if key in element.attrib:
            element.set(key, VARIABLES.get(element.attrib[key], element.attrib[key]))
    for key in ("d", "x", "y", "width", "height"):
        if key in element.attrib:
            element.set(key, NUMBER.sub(_short, " ".join(element.attrib[key].split())))
    if TURN.fullmatch(element.get("transform", "")):
        element.attrib.pop("transform")
    href = element.get(XLINK + "href", "")
    if href.startswith("data:image/png;base64,"):
        element.set(XLINK + "href", _small(href))
        if float(element.get("width", "0")) < COARSE:
            element.set("image-rendering", "pixelated")


def _short(found: re.Match[str]) -> str:
    text = f"{float(found[0]):.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _group(parent: ET.Element) -> None:
    """Say once what neighbours have in common."""
    children = list(parent)
    for child in children:
        parent.remove(child)
        _group(child)
    shown = [child for child in children if not _unseen(parent, child)]
    for look, run in groupby(shown, key=_look):
        same = list(run)
        if len(same) < LEAST_RUN or not look[1]:
            parent.extend(same)
            continue
        group = ET.SubElement(parent, SVG + "g", dict(look[1]))
        for child in same:
            for key, _ in look[1]:
                child.attrib.pop(key)
            group.append(child)


def _unseen(parent: ET.Element, child: ET.Element) -> bool:
    """Whether it is a path without fill and line."""
    bare = child.tag == SVG + "path" and child.get("fill") == "none" and child.get("stroke", "none") == "none"
    return bare and "id" not in child.attrib and parent.tag in (SVG + "g", SVG + "svg")


def _look(element: ET.Element) -> tuple[str, tuple[tuple[str, str], ...]]:
    return element.tag, tuple((key, element.attrib[key]) for key in SHARED if key in element.attrib)


def _told(tree: ET.Element, title: str, description: str, prefix: str) -> None:
    """The root: what it is and says, its view box, no fixed size."""
    box = tree.get("viewBox", "")
    tree.attrib.clear()
    names = {"title": f"{prefix}-t", "desc": f"{prefix}-d"}
    tree.attrib.update(
        {
            "class": "figure",
            "viewBox": NUMBER.sub(_short, box),
            "role": "img",
            "aria-labelledby": names["title"],
            "aria-describedby": names["desc"],
            "font-family": "inherit",
        }
    )
    for place, (tag, text) in enumerate({"title": title, "desc": description}.items()):
        told = ET.Element(tag, {"id": names[tag]})
        told.text = text
        tree.insert(place, told)


def _small(href: str) -> str:
    """The same image with a palette."""
    with Image.open(BytesIO(base64.b64decode(href.partition(",")[2]))) as image:
        pixels = np.asarray(image.convert("RGBA"))
    written = BytesIO()
    _with_palette(pixels).save(written, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(written.getvalue()).decode()


def _with_palette(pixels: np.ndarray) -> Image.Image:
    """An image of at most 256 colours: as they are, or where there are more in fewer steps of opacity and colour."""
    number = np.ascontiguousarray(pixels).view("<u4").ravel()
    number = np.where(pixels[..., 3].ravel() == 0, 0, number)
    starts = np.flatnonzero(np.diff(number, prepend=~number[:1]))  # neighbours are often alike: fewer to sort
    colours, which = np.unique(number[starts], return_inverse=True)
    if colours.size > MOST_COLOURS:
        stepped = pixels.copy()
        stepped[..., 3] = np.rint(np.ceil(pixels[..., 3] / 255.0 * ALPHAS) / ALPHAS * 255.0)
        stepped[pixels[..., 3] == 0] = 0
        return Image.fromarray(stepped, "RGBA").quantize(
            MOST_COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE
        )
    table = colours.astype("<u4").view(np.uint8).reshape(-1, 4)
    place = np.repeat(which.astype(np.uint8), np.diff(starts, append=number.size))
    image = Image.fromarray(place.reshape(pixels.shape[:2]), "P")
    image.putpalette(table[:, :3].tobytes())
    image.info["transparency"] = table[:, 3].tobytes()
    return image
