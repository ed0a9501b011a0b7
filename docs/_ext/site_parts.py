"""What the site adds to Sphinx: generated tables, pictures in the colours of the page, formulas as MathML."""

import re
from pathlib import Path
from typing import Any

import latex2mathml.converter
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

from tables import GENERATED

PICTURES = Path(__file__).parents[1] / "images"
SCALE = 1.3
"""Pixels of a page, at most, for a unit of a picture."""
LEAST = 440
"""Pixels below which a picture does not shrink further but is scrolled."""


GENERATED_PART = re.compile(r"^```\{generated\} (\w+)(?: (\w+))?\n```$", re.MULTILINE)


def write_generated(app: Sphinx, page: str, source: list[str]) -> None:
    """Put the tables that the package itself states where a page asks for them, see `tables.GENERATED`."""

    def written(match: re.Match[str]) -> str:
        name, *rest = [one for one in match.groups() if one]
        if name not in GENERATED:
            raise ExtensionError(
                f"{page}: a generated part must be one of {', '.join(GENERATED)}, found {name}"
            )
        return GENERATED[name](*rest)

    source[0] = GENERATED_PART.sub(written, source[0])


def generated_pages(app: Sphinx, env: BuildEnvironment, *changes: set[str]) -> list[str]:
    """Pages with generated parts are always read again."""
    paths = {page: Path(env.doc2path(page)) for page in env.found_docs}
    return [page for page, path in paths.items() if GENERATED_PART.search(path.read_text("utf-8"))]


def note_anchors(app: Sphinx, doctree: nodes.document) -> None:
    """Let other pages refer to what has an id inside a table."""
    labels, page = app.env.domains.standard_domain, app.env.docname
    for node in doctree.findall(nodes.inline):
        for name in node["ids"]:
            labels.labels[name] = page, name, node.astext()
            labels.anonlabels[name] = page, name


def join_streams(app: Sphinx, doctree: nodes.document) -> None:
    """Pieces of what a cell printed as one text, as they came: MyST-NB would end a line after each."""
    for node in list(doctree.findall(_is_stream)):
        before = node.previous_sibling()
        if (
            isinstance(before, nodes.literal_block)
            and _is_stream(before)
            and before["classes"] == node["classes"]
        ):
            text = before.astext() + node.astext()
            before.children, before.rawsource = [], text
            before += nodes.Text(text)
            node.parent.remove(node)


def _is_stream(node: nodes.Node) -> bool:
    return isinstance(node, nodes.literal_block) and "stream" in node["classes"]


class Picture(SphinxDirective):
    """``{picture} NAME``: an SVG of images/, put into the page so that it takes its colours; content: the caption."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        path = PICTURES / f"{self.arguments[0]}.svg"
        if not path.is_file():
            raise self.error(f"{path.name}: there is no such picture; docs/_ext/draw.py makes them")
        self.env.note_dependency(str(path))
        svg = path.read_text("utf-8")
        width = float(svg.partition('viewBox="')[2].split()[2])
        style = f"max-width: {SCALE * width:.0f}px; min-width: {min(0.8 * width, LEAST):.0f}px"
        figure = nodes.figure(classes=["vmpz-picture"])
        figure += nodes.raw("", f'<div style="{style}">{svg}</div>', format="html")
        if self.content:
            caption = nodes.paragraph()
            self.state.nested_parse(self.content, self.content_offset, caption)
            figure += nodes.caption("", "", *caption.children[0].children)
        return [figure]


def visit_inline_math(translator: Any, node: nodes.math) -> None:
    """An inline formula as MathML: browsers draw it without a script."""
    translator.body.append(latex2mathml.converter.convert(node.astext()))
    raise nodes.SkipNode


def visit_display_math(translator: Any, node: nodes.math_block) -> None:
    """A formula on a line of its own."""
    mathml = latex2mathml.converter.convert(node.astext(), display="block")
    translator.body.append(f'<div class="vmpz-formula">{mathml}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives and the renderer of formulas."""
    app.connect("source-read", write_generated)
    app.connect("env-get-outdated", generated_pages)
    app.connect("doctree-read", note_anchors)
    app.connect("doctree-read", join_streams)
    app.add_directive("picture", Picture)
    app.add_html_math_renderer("mathml", (visit_inline_math, None), (visit_display_math, None))
    return {"parallel_read_safe": True}
