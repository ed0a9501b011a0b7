"""Cards of a notebook: whole HTML, escaped, without scripts or addresses; pictures that a library reads back."""

import base64
import io as streams
import re
import time
from collections.abc import Iterator
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import colormaps
from matplotlib.image import imread

from vmpz import display
from vmpz.make.checks import Check
from vmpz.make.validate import Validation
from vmpz.parameters import DepthParameters, Parameters
from vmpz.products import Product, ProductKey
from vmpz.run.account import Account, Outcome
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap

VOID = {"img"}


class Reader(HTMLParser):
    """Reads HTML and refuses what is not closed, what acts, and what is fetched."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.pictures: list[bytes] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in {
            "div", "details", "summary", "table", "thead", "tbody", "tr", "th", "td", "span", "i", "figure",
            "figcaption", "img", "style",
        }  # fmt: skip
        for name, value in attrs:
            assert not name.startswith("on") and name != "href"
            if name == "src":
                assert value is not None and value.startswith("data:image/png;base64,")
                self.pictures.append(base64.b64decode(value.partition(",")[2]))
        if tag == "img":
            assert dict(attrs)["alt"]
        self.open += [] if tag in VOID else [tag]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += f"{data}\n"
        else:
            assert "url(" not in data and "@import" not in data


def things() -> Iterator[object]:
    cells = CellSet.from_cells(6, np.arange(100, 180))
    one = SkyMap(cells, np.linspace(24.0, 25.0, 80, dtype=np.float32))
    key = ProductKey("<b>7</b>", "depth", instrument="VIS", band="VIS", order=6)
    account = Account(notes=("7 VIS: <script>alert(1)</script>",), incomplete=["a <i>line</i>"])
    account.add([Outcome(key, "FAILED", "why & <script>"), Outcome(ProductKey("8", "depth"), "DONE")])
    yield cells
    yield one
    yield Product(
        key, {"WEIGHT": one, "ERROR": one}, keywords={"OBJECT": "<img src=x onerror=1>"}, unit="mag"
    )
    yield Product(ProductKey("7", "statistics"), table=None)
    yield account
    yield Account(plan={"jobs": 1, "cannot_be_made": ["<b>"]})
    yield Validation((Check("cells", 1.5, "<u>chi</u>", 1e-9, "p at least 1e-4", False),), 10, 5.0, 2.0)
    yield DepthParameters(snr=10)
    yield Parameters(inputs=[{"location": "<a href=x>"}], maps={"order": 9})
    yield CellSet(4)
    yield SkyMap(CellSet(4), [])
    yield SkyMap(cells, np.full(80, np.nan))
    yield SkyMap(cells, np.arange(80, dtype=np.uint64) << np.uint64(57))
    yield SkyMap(cells, np.ones(80, bool))
    yield SkyMap(cells, np.arange(80) * 10**6)


@pytest.mark.parametrize("thing", list(things()), ids=lambda one: type(one).__name__)
def test_what_a_notebook_shows_is_whole_and_harmless(thing: object) -> None:
    card = thing._repr_html_()  # type: ignore[attr-defined]
    assert card == thing._repr_html_()  # type: ignore[attr-defined]
    read = Reader(card)
    assert "<script" not in card and "http" not in card
    for picture in read.pictures:
        assert imread(streams.BytesIO(picture)).shape[2] == 4 and len(picture) < 20_000
    line = repr(thing)
    assert line.isprintable() and line.isascii() and len(line) < 300


@given(st.text())
def test_text_stays_text(text: str) -> None:
    made = display.card(
        text, display.facts([(text, text)]), display.unfolding(text, display.table((text,), [(text,)]), text)
    )
    shown = Reader(made).text
    plain = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    if plain.strip() and "\0" not in text and "\r" not in text:
        assert shown.count(plain) >= 5


@given(st.integers(2, 40), st.integers(2, 40), st.integers(0, 2**32))
def test_a_picture_is_the_values_in_the_colours_of_the_scale(height: int, width: int, seed: int) -> None:
    """matplotlib's own scale gives the same colours to 7 of 255 parts; NaN is transparent."""
    generator = np.random.default_rng(seed)
    values = generator.uniform(size=(height, width))
    values[generator.uniform(size=values.shape) < 0.2] = np.nan
    values[0, :2] = 0.0, 1.0
    (picture,) = Reader(display.picture(values, "a picture")).pictures
    seen = np.round(imread(streams.BytesIO(picture)) * 255)
    low, high = np.nanpercentile(values, (1, 99))
    expected = 255 * colormaps["viridis"](np.clip((values - low) / (high - low), 0, 1))
    known = np.isfinite(values)
    assert np.all(seen[~known, 3] == 0) and np.all(seen[known, 3] == 255)
    assert np.max(np.abs(seen - expected)[known], initial=0) <= 7


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (1234567, "1\u2009234\u2009567"),
        (9999, "9999"),
        (0.000012345678, "1.23457e-05"),
        (np.float32(24.5), "24.5"),
        (None, "-"),
        (np.nan, "-"),
        (True, "True"),
        ("x", "x"),
    ],
)
def test_numbers_as_people_read_them(value: object, told: str) -> None:
    assert display.number(value) == told


def test_what_differs_from_the_defaults_stands_out() -> None:
    parameters = Parameters(inputs=[{"location": "."}], depth={"snr": 10, "aperture_arcsec": 3})
    assert repr(parameters.depth) == "DepthParameters(snr=10.0, aperture_arcsec=3.0)"
    assert repr(parameters.maps) == "MapParameters()"
    card = parameters._repr_html_()
    told = Reader(card).text
    assert "[depth]" in told and "snr = 10.0; aperture_arcsec = 3.0" in told and "defaults" in told
    rows = re.findall(r"<tr class=marked>(.*?)</tr>", parameters.depth._repr_html_())
    snr, aperture = (Reader(f"<table><tr>{row}</tr></table>").text.splitlines() for row in rows)
    assert snr == ["snr", "10", "5", DepthParameters.model_fields["snr"].description]
    assert aperture[:4] == ["aperture_arcsec", "3", "arcsec", "2"]


def test_a_large_map_is_shown_at_once() -> None:
    """Ten million cells: the picture costs what its pixels cost."""
    start = np.arange(10_000, dtype=np.int64) * 1100
    cells = CellSet(14, np.stack((start, start + 1000), axis=1))
    one = SkyMap(cells, np.broadcast_to(np.float32(1.0), len(cells)))
    one.picture()
    began = time.process_time()
    one.picture()
    assert time.process_time() - began < 0.2
