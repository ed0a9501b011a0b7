"""The documentation says what there is: products, parameters, commands, tables; links lead somewhere."""

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import vmpz
from vmpz.io.inventory import INVENTORY, TABLE_TOKENS
from vmpz.io.paramsclasses import PARTS
from vmpz.io.paramselements import SCALARS
from vmpz.make import RECIPES
from vmpz.parameters import Parameters
from vmpz.parameters.text import models_in
from vmpz.report.themes import inline_svg

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(
    path for path in DOCS.rglob("*.md") if not {"_build", "data"} & set(path.relative_to(DOCS).parts)
)
TEXTS = [ROOT / "README.md", *PAGES]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
IMAGE = re.compile(r"!\[[^\]]*\]\(([^)\s]+)\)")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
OUTSIDE = re.compile(r"<(?:script|img|iframe|source)[^>]* src=\"https?:|<link[^>]* href=\"https?:")
"""What a browser would fetch from elsewhere."""
CODE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def tables() -> Iterator[ModuleType]:
    """What writes the generated parts, without Sphinx."""
    sys.path.insert(0, str(DOCS / "_ext"))
    yield importlib.import_module("tables")
    sys.path.remove(str(DOCS / "_ext"))


def _text(name: str) -> str:
    return (DOCS / name).read_text("utf-8")


def test_every_product_has_a_page_with_its_facts(tables: ModuleType) -> None:
    kinds = {*RECIPES, *(kind for kind, _ in INVENTORY), *TABLE_TOKENS}
    assert kinds == set(tables.PAGES)
    for kind, page in tables.PAGES.items():
        assert f"```{{generated}} product {kind}\n" in _text(f"products/{page}.md"), kind
        assert f"`{kind}`" in tables.product(kind)
    listed = re.search(r"```\{toctree\}\n:hidden:\n\n(.*?)\n```", _text("products/index.md"), re.DOTALL)
    assert listed and set(listed[1].split()) == {path.stem for path in (DOCS / "products").glob("*.md")} - {
        "index"
    }


def test_every_maker_stands_on_a_page() -> None:
    shown = set(re.findall(r"automodule:: (\S+)", "".join(path.read_text("utf-8") for path in PAGES)))
    makers = {recipe.make.__module__ for recipe in RECIPES.values()}
    assert makers <= shown
    assert all(importlib.util.find_spec(name) for name in shown)


def test_every_parameter_is_listed_with_its_anchor(tables: ModuleType) -> None:
    listed = tables.GENERATED["parameters"]()
    assert "```{generated} parameters\n" in _text("parameters.md")

    def all_below(path: str, annotation: object) -> Iterator[str]:
        for model in models_in(annotation):
            for name, info in model.model_fields.items():
                yield f"{path}.{name}"
                yield from all_below(f"{path}.{name}", info.annotation)

    for group, info in Parameters.model_fields.items():
        assert f"(parameters-{group})=" in listed
        for key in all_below(group, info.annotation):
            assert f"{{#parameter-{key.replace('.', '-')}}}" in listed, key


def test_elements_of_xml_products_are_found_by_reading_them(tables: ModuleType) -> None:
    row = next(
        line
        for line in tables.GENERATED["parameters"]().splitlines()
        if "#parameter-depth-aperture_arcsec}" in line
    )
    assert row.split(" | ")[2:5] == ["number > 0", "arcsec", "`2.0`"] and "`ApertureDiameter`" in row


def test_elements_that_hold_a_parameter_stand_beside_it(tables: ModuleType) -> None:
    listed = tables.GENERATED["parameters"]().splitlines()
    rows = {found[1]: line for line in listed if (found := re.search(r"\{#parameter-(\S+?)\}", line))}
    held = [(f"visibility-{part.key}", part.element) for part in PARTS]
    held += [(one.key, one.element) for section in SCALARS.values() for one in section]
    for key, element in held:
        assert f"`{element}`" in rows[key.replace(".", "-")], (key, element)


def test_every_command_and_option_is_listed(tables: ModuleType) -> None:
    listed = tables.GENERATED["commands"]()
    for name, command in tables.commands():
        section = listed.partition(f"## `vmpz {name}`\n")[2].partition("\n## ")[0]
        for option in command.params:
            if not getattr(option, "hidden", False):
                words = [] if option.param_type_name == "argument" else option.opts
                assert all(word in section for word in words), (name, words)


def test_every_generated_part_has_a_page_and_can_be_written(tables: ModuleType) -> None:
    asked = re.findall(
        r"```\{generated\} (\w+)(?: (\w+))?\n", "".join(path.read_text("utf-8") for path in PAGES)
    )
    assert {name for name, _ in asked} == set(tables.GENERATED)
    for name, argument in set(asked):
        text = tables.GENERATED[name](*([argument] if argument else []))
        assert text.count("| --- |") >= 1, name


def test_every_public_name_is_documented() -> None:
    text = "".join(path.read_text("utf-8") for path in PAGES)
    described = set(re.findall(r"auto(?:class|function|exception):: (?:vmpz\.)?(\w+)$", text, re.MULTILINE))
    assert set(vmpz.__all__) <= described
    listed = re.search(r"autosummary::\n(.*?)```", _text("python.md"), re.DOTALL)
    assert listed and set(listed[1].split()) - {":nosignatures:"} == set(vmpz.__all__)


def test_the_diagram_is_what_is_drawn(tables: ModuleType) -> None:
    assert (DOCS / "images" / "flow.svg").read_text("utf-8") == importlib.import_module("flow").flow() + "\n"


@pytest.mark.long
def test_pictures_that_need_no_survey_are_what_is_drawn(tables: ModuleType) -> None:
    """By the pinned matplotlib; else `docs/_ext/draw.py` draws them again."""
    for name, (draw, title, told) in importlib.import_module("pictures").PICTURES.items():
        kept = (DOCS / "images" / f"{name}.svg").read_text("utf-8")
        assert kept == inline_svg(draw(), title, told) + "\n", name


def test_pictures_that_are_shown_are_there_and_described() -> None:
    shown = set(re.findall(r"```\{picture\} (\S+)", "".join(path.read_text("utf-8") for path in PAGES)))
    assert shown == {path.stem for path in (DOCS / "images").glob("*.svg")}
    for name in shown:
        svg = (DOCS / "images" / f"{name}.svg").read_text("utf-8")
        assert svg.startswith('<svg class="figure" viewBox="') and "<title id=" in svg and 'role="img"' in svg
        assert "http" not in svg.replace("http://www.w3.org", "") and len(svg) < 120_000


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_of_a_page_lead_somewhere(path: Path) -> None:
    text = CODE.sub("", path.read_text("utf-8"))
    for target in LINK.findall(text) + IMAGE.findall(text):
        place, _, _ = target.partition("#")
        if place and not re.match(r"[a-z]+://|mailto:", target):
            assert (path.parent / place).exists(), target


def test_promises_are_shown_by_tests() -> None:
    named = TEST.findall(_text("reliability.md"))
    assert len(named) > 30
    for file, name in named:
        assert f"\ndef {name}(" in (ROOT / file).read_text("utf-8"), f"{file}::{name}"


@pytest.mark.long
def test_the_site_builds_without_warnings_and_needs_no_network(tmp_path: Path) -> None:
    """Notebooks are not executed here: see test_tutorials."""
    pytest.importorskip("sphinx_design")
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", str(DOCS), str(tmp_path / "site")]
    settings = {**os.environ, "VMPZ_DOCS_NOTEBOOKS": "off"}
    built = subprocess.run(command, env=settings, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > len(PAGES)
    for path in pages:
        assert not OUTSIDE.search(path.read_text("utf-8")), path.name
    for path in (tmp_path / "site").rglob("*.css"):
        assert not re.search(r"url\([\"']?https?:|@import [\"']?https?:", path.read_text("utf-8")), path.name
