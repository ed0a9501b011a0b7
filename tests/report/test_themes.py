"""Figures in a page: colours and font of the page, names of their own, small, the same every time."""

import base64
import re
import xml.etree.ElementTree as ET
from io import BytesIO

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from vmpz.report.figures import INLINE_DPI, INLINE_IN, INLINE_PT, Panel, map_figure
from vmpz.report.palette import INK, PALETTE, SERIES, SURFACE
from vmpz.report.themes import inline_svg, shared_svg
from vmpz.sky.regions import Cap, cells_inside
from vmpz.sky.skymap import SkyMap

RING = [np.array([[39.0, -21.0], [41.0, -21.0], [41.0, -19.0]])]


def noisy(order: int = 9, levels: int = 64, dpi: int = 50) -> Figure:
    cells = cells_inside(Cap(40.0, -20.0, 1.5), order)
    one = SkyMap(cells, np.random.default_rng(1).normal(size=len(cells)))
    panel = Panel(one, label="noise <&> [deg⁻²]", levels=levels)
    return map_figure(panel, outlines=RING, width_in=INLINE_IN, size_pt=INLINE_PT, dpi=dpi)


def plain(colour: str = SERIES[0]) -> Figure:
    figure = Figure((4, 3), facecolor=SURFACE)
    axes = figure.add_axes((0.1, 0.1, 0.8, 0.8))
    axes.plot([0, 1], [0, 1], color=colour, marker="o", label="one")
    axes.tick_params(labelcolor=INK)
    axes.legend()
    return figure


SVG = inline_svg(noisy(), "A map", "Its numbers")


def test_the_element_scales_and_speaks() -> None:
    root = ET.fromstring(SVG)
    assert root.tag == "svg" and "width" not in root.attrib and "height" not in root.attrib
    assert root.get("role") == "img" and root.get("font-family") == "inherit"
    assert re.fullmatch(r"0 0 [\d.]+ [\d.]+", root.get("viewBox", ""))
    title, desc = root[0], root[1]
    assert (title.tag, title.text, desc.tag, desc.text) == ("title", "A map", "desc", "Its numbers")
    assert (root.get("aria-labelledby"), root.get("aria-describedby")) == (title.get("id"), desc.get("id"))


def test_what_is_shared_is_drawn_where_it_is_named() -> None:
    shared = ET.fromstring(shared_svg(plain(), "lines"))
    assert (shared.get("class"), shared.get("aria-hidden")) == ("shared", "true")
    (group,) = shared
    assert group.get("id") == "lines" and len(group) > 3
    root = ET.fromstring(inline_svg(plain(), "t", "d", "name", over="lines"))
    assert root[-1].tag == "use" and root[-1].get("href") == "#lines"


def test_nothing_stands_in_it_that_a_strict_page_forbids() -> None:
    assert not re.search(r"<(style|script|metadata|!DOCTYPE|\?xml)|\sstyle=|xmlns|http", SVG)
    assert "DejaVu" not in SVG and "\n" not in SVG
    assert all(one.startswith(("data:image/png;base64,", "#")) for one in re.findall(r'href="([^"]*)"', SVG))


def test_colours_are_those_of_the_page() -> None:
    for name in ("--ink", "--muted", "--grid", "--surface", "--absent"):
        assert f"var({name}, {PALETTE[name][0]})" in SVG
    bare = re.sub(r"var\([^)]*\)", "", SVG)
    assert not [light for light, _ in PALETTE.values() if light in bare]
    assert "var(--series-1, " in inline_svg(plain(), "t", "d")


def test_text_stays_text_and_is_escaped() -> None:
    assert ">noise &lt;&amp;&gt; [deg⁻²]</text>" in SVG
    assert "&lt;script&gt;" in inline_svg(plain(), "<script>", 'a "b" & c') and "<script>" not in inline_svg(
        plain(), "<script>", ""
    )


def test_names_are_unique_and_all_are_there() -> None:
    both = (
        SVG
        + inline_svg(plain(), "t", "d")
        + inline_svg(plain(SERIES[1]), "t", "d")
        + inline_svg(plain(), "t", "d", name="again")
    )
    names = re.findall(r'\sid="([^"]+)"', both)
    used = re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"|aria-(?:labelled|described)by="([^"]+)"', both)
    assert len(names) == len(set(names)) and set(names) == {"".join(one) for one in used}
    assert any(name.startswith("again-") for name in names)


def test_the_same_figure_is_the_same_text() -> None:
    assert inline_svg(noisy(), "A map", "Its numbers") == SVG


def images(svg: str) -> list[Image.Image]:
    return [Image.open(BytesIO(base64.b64decode(one))) for one in re.findall(r"base64,([^\"]+)", svg)]


@pytest.mark.parametrize("order", [7, 10])
def test_images_have_a_palette_and_are_transparent_where_no_cell_is(order: int) -> None:
    figure = noisy(order)
    drawn = np.asarray(figure.axes[0].images[0].get_array())[::-1]
    image = images(inline_svg(figure, "t", "d"))[0]
    found = np.asarray(image.convert("RGBA")).astype(int)
    if found.shape[0] == drawn.shape[0] and not np.array_equal(found[..., 3] == 0, drawn[..., 3] == 0):
        drawn = drawn[::-1]
    assert image.mode == "P" and found.shape == drawn.shape
    assert np.array_equal(found[..., 3] == 0, drawn[..., 3] == 0)
    full = drawn[..., 3] == 255
    step = np.abs(found - drawn)[full].max() if full.any() else 0
    assert step <= (0 if order == 7 else 40)  # few opacities: the colours themselves
    assert np.abs(found[..., 3] - drawn[..., 3]).max() <= 255 / 5 + 12


def test_maps_are_small() -> None:
    assert len(inline_svg(noisy(8, dpi=INLINE_DPI), "t", "d")) < 60_000
