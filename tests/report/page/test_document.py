"""The page as a document: what it holds, that it is whole, safe and the same every time."""

import base64
import hashlib
import re
from dataclasses import replace
from importlib import resources
from itertools import pairwise

import pytest
from lxml import html

from overview_helpers import HOSTILE, PROVENANCE, fake_overview
from vmpz.products import ProductKey
from vmpz.report.page.document import page_of
from vmpz.report.page.summary import MOST_BORDERS, borders_of
from vmpz.run.overview.content import Missing, Overview

NAMES = [
    "maps", "depth", "values", "numbers", "seams", "bits", "correlations", "redshifts", "randoms", "tiles", "missing",
    "provenance", "parameters", "reading",
]  # fmt: skip


@pytest.fixture(scope="module")
def hostile(overview: Overview) -> html.HtmlElement:
    return html.document_fromstring(page_of(bare(overview, HOSTILE), HOSTILE))


def bare(overview: Overview, text: str) -> Overview:
    """Without most of its maps, and with a text wherever there is one."""
    return replace(
        overview, store=text, area=text, notes=[text], parameters=text, maps=overview.maps[:1], versions={text: text},
        provenance=[PROVENANCE | {"recipe": text, "parameters": {text: text}}], correlations=None, redshifts=[],
        randoms=[], seams=[],
        bits=[replace(overview.bits[0], name=text, band=text)],
    )  # fmt: skip


def test_every_section_is_there_and_named_in_the_contents(page: str) -> None:
    tree = html.document_fromstring(page)
    assert [one.get("id") for one in tree.findall(".//main/section")] == NAMES
    assert [link.get("href") for link in tree.findall(".//nav//a")] == [f"#{name}" for name in NAMES]


def test_headings_descend_one_by_one_from_one_title(page: str) -> None:
    levels = [int(one.tag[1]) for one in html.document_fromstring(page).iter("h1", "h2", "h3", "h4")]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_names_are_given_once(page: str) -> None:
    names = [one.get("id") for one in html.document_fromstring(page).iter() if one.get("id")]
    assert len(set(names)) == len(names)


def test_the_same_overview_makes_the_same_page() -> None:
    small = bare(fake_overview(bands=("VIS",)), "x")
    assert page_of(small) == page_of(bare(fake_overview(bands=("VIS",)), "x"))


def test_nothing_is_referred_to_outside(page: str) -> None:
    tree = html.document_fromstring(page)
    links = [
        value
        for one in tree.iter()
        for name, value in one.attrib.items()
        if name in ("src", "href", "xlink:href")
    ]
    assert links and all(link.startswith(("#", "data:image/png;base64,")) for link in links)
    assert not re.search(r"url\((?!['\"]?#)|@import", page)


def test_scripts_run_by_their_hashes_alone(page: str) -> None:
    tree = html.document_fromstring(page)
    (policy,) = [one.get("content") for one in tree.iter("meta") if one.get("http-equiv")]
    assert (
        policy.startswith("default-src 'none'; script-src 'sha256-")
        and "unsafe-inline" not in policy.split(";")[1]
    )
    scripts = [one.text for one in tree.iter("script") if one.get("type") is None]
    assert len(scripts) == 2
    for text in scripts:
        assert base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in policy
    assert not [name for one in tree.iter() for name in one.attrib if name.startswith("on")]


def test_hostile_text_stays_text(hostile: html.HtmlElement) -> None:
    assert len([one for one in hostile.iter("script") if one.get("type") is None]) == 2
    assert not [
        one for one in hostile.iter("script") if "alert" in (one.text or "") and one.get("type") is None
    ]
    assert hostile.findtext(".//h1") == HOSTILE
    assert hostile.findtext(".//pre") == HOSTILE
    assert HOSTILE in [cell.text for cell in hostile.findall(".//tbody/tr/th")]
    assert HOSTILE in [cell.text for cell in hostile.findall(".//tbody/tr/td")]
    assert HOSTILE in [item.text for item in hostile.findall(".//li")]


def test_pictures_say_their_numbers(page: str) -> None:
    tree = html.document_fromstring(page)
    drawings = tree.findall(".//main//svg")
    assert drawings and all(one.get("role") == "img" and one.findtext("title") for one in drawings)
    (depth,) = [one for one in drawings if one.findtext("title") == "Depth, VIS"]
    assert re.search(r"deg² listed; smallest 24\.\d\d, median 2[45]\.\d\d, mean", depth.findtext("desc"))


def test_what_many_tiles_lack_for_the_same_reason_is_told_once(overview: Overview) -> None:
    failed = overview.missing[0]
    absent = [
        Missing(ProductKey(str(tile), "info", "PSF", "MEAN", band="VIS"), "NOINPUT", f"{tile} VIS has no PSF")
        for tile in range(1000, 6000)
    ]
    small = bare(replace(overview, missing=[failed, *absent]), "x")
    rows = html.document_fromstring(page_of(small)).findall(".//div[@id='missing-table']//tbody/tr")
    told = [[cell.text_content() for cell in row] for row in rows]
    assert told[0][0] == failed.key.area and told[0][3] == "FAILED" and len(told) == 2
    assert told[1] == ["5\u202f000: 1000 to 5999", "VIS", "info PSF MEAN", "NOINPUT", "... VIS has no PSF"]


def test_lines_over_maps_are_in_the_page_once(page: str, overview: Overview) -> None:
    tree = html.document_fromstring(page)
    (shared,) = [one for one in tree.iter("svg") if one.get("class") == "shared"]
    assert shared.get("aria-hidden") == "true" and shared[0].get("id") == "sky-lines"
    uses = [one.get("href") for one in tree.iter("use") if one.get("href") == "#sky-lines"]
    assert len(uses) == len(overview.maps) + len(overview.randoms)
    boxes = {
        svg.get("viewbox").split()[2]
        for svg in tree.iter("svg")
        if svg.find("use[@href='#sky-lines']") is not None
    }
    assert len(boxes) == 1  # of one width, so that the lines fit


def test_what_is_not_there_is_named_with_its_reason() -> None:
    empty = Overview(
        store="store", area="-", created=None, versions={}, maps=[], parts=[], outlines={}, seams=[], bits=[],
        correlations=None, redshifts=[], randoms=[], missing=[], counts={}, notes=[], parameters="",
    )  # fmt: skip
    tree = html.document_fromstring(page_of(empty))
    assert [one.get("id") for one in tree.findall(".//main/section")] == ["missing", "reading"]
    lines = [one.text for one in tree.findall(".//section[@id='reading']//li")]
    assert "Random catalogues: none was given (--randoms FILE)." in lines and len(lines) == 12


def test_styles_and_script_stay_small() -> None:
    assets = resources.files("vmpz.report.page") / "assets"
    assert len((assets / "page.js").read_bytes()) < 8000
    assert len((assets / "page.css").read_bytes()) < 12000


def test_borders_are_not_drawn_where_they_would_hide_the_map(overview: Overview) -> None:
    assert borders_of(overview) == overview.outlines != {}
    (square,) = overview.outlines[next(iter(overview.outlines))]
    many = replace(overview, outlines={str(place): [square] for place in range(MOST_BORDERS + 1)})
    assert borders_of(many) == {}
