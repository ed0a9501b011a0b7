"""The page in Chromium: no requests, sorting, filtering, theme, enlarging, keyboard, phone, accessibility."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from browser_helpers import Visit, chromium, violations, visit
from overview_helpers import fake_overview
from vmpz.report.page.document import page_of
from vmpz.run.overview.content import Overview
from vmpz.run.overview.table import parts_csv

pytestmark = pytest.mark.tool

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
CELLS = "[...document.querySelector('#tile-table tbody').rows].map(row => [...row.cells].map(cell => cell.textContent))"

SORTED = f"""[...document.querySelectorAll('#tile-table thead th')].map(head => {{
    const press = () => {{
        head.querySelector('button').click();
        return [head.getAttribute('aria-sort'), {CELLS}];
    }};
    return ['number' in head.dataset, [press(), press()]];
}})"""
"""Every heading pressed twice: whether its column holds numbers, and direction and cells after each time."""


@pytest.fixture(scope="module")
def address(page: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page, "utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture
def seen(browser: Any, address: str) -> Iterator[Visit]:
    with visit(browser, address, viewport=DESKTOP, color_scheme="light") as opened:
        yield opened


def test_the_page_asks_for_itself_alone(seen: Visit, address: str) -> None:
    assert [url for url in seen.requests if not url.startswith("data:")] == [address]


def test_the_table_sorts_by_every_column(seen: Visit) -> None:
    page = seen.page
    for place, (is_number, told) in enumerate(page.evaluate(SORTED)):
        assert [direction for direction, _ in told] == ["ascending", "descending"]
        for direction, rows in told:
            if is_number:
                shown = [row[place] for row in rows]
                assert shown == sorted(shown, key=float, reverse=direction == "descending")
    assert page.locator("#tile-table thead th").count() >= 10
    assert page.locator("#tile-table thead th:not([aria-sort=none])").count() == 1


def test_the_table_filters_and_turns_pages(seen: Visit) -> None:
    page = seen.page
    rows, output = page.locator("#tile-table tbody tr"), page.locator("#tile-table output")
    assert (rows.count(), output.inner_text()) == (100, "149 rows")
    page.get_by_role("button", name="Next").click()
    assert (rows.count(), page.locator("#tile-table .pager span").inner_text()) == (49, "101 to 149 of 149")
    page.locator("#tile-table input").fill("14 vis")
    assert (rows.count(), output.inner_text()) == (12, "12 of 149 rows")
    page.locator("#tile-table input").fill("nowhere")
    assert (rows.count(), output.inner_text()) == (0, "0 of 149 rows")


def test_rows_that_lack_products_are_marked(seen: Visit) -> None:
    assert seen.page.locator("#tile-table tr.lacking").count() == 2


def test_the_csv_is_the_table(seen: Visit, overview: Overview) -> None:
    with seen.page.expect_download() as waiting:
        seen.page.locator("#tile-table button", has_text="Download CSV").click()
    assert Path(waiting.value.path()).read_text("utf-8") == parts_csv(overview)
    assert waiting.value.suggested_filename == "tile-table.csv"


def test_the_first_rows_are_those_without_a_script(browser: Any, address: str, seen: Visit) -> None:
    with visit(browser, address, java_script_enabled=False) as plain:
        rows = plain.page.locator("#tile-table tbody tr")
        still = [row.split("\t") for row in rows.all_inner_texts()]
        assert plain.page.locator("button:visible").count() == 0
    assert still == seen.page.evaluate(CELLS)


def test_the_theme_is_remembered(seen: Visit, address: str) -> None:
    page = seen.page
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.locator("#theme").click()
    dark = page.evaluate(ground)
    assert light != dark and page.locator("#theme").get_attribute("aria-pressed") == "true"
    page.goto(address)
    assert page.evaluate(ground) == dark


def test_a_map_is_enlarged_by_keyboard_alone(seen: Visit) -> None:
    page = seen.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#main"
    button = page.get_by_role("button", name="Enlarge: Depth, VIS")
    before = page.locator("figure svg").count()
    button.focus()
    page.keyboard.press("Enter")
    assert page.locator("#lens svg").get_attribute("role") == "img"
    assert page.locator("#lens").get_attribute("aria-label") == "Depth, VIS"
    page.keyboard.press("Escape")
    assert not page.locator("#lens").is_visible() and page.locator("figure svg").count() == before
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Enlarge: Depth, VIS"
    page.locator("#tile-table thead button").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("#tile-table thead th").first.get_attribute("aria-sort") == "ascending"


@pytest.mark.parametrize("width", [320, 390, 768])
def test_nothing_is_wider_than_a_phone(browser: Any, address: str, width: int) -> None:
    with visit(browser, address, viewport={**PHONE, "width": width}) as small:
        assert small.page.evaluate("document.documentElement.scrollWidth") <= width
        assert "Scroll sideways" in small.page.evaluate(
            "getComputedStyle(document.querySelector('#tile-table .scroll'), '::before').content"
        )


@pytest.mark.parametrize(("viewport", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")])
def test_the_page_is_accessible(browser: Any, address: str, viewport: dict[str, int], scheme: str) -> None:
    with visit(browser, address, viewport=viewport, color_scheme=scheme) as shown:
        shown.page.locator("#tile-table input").fill(
            "149"
        )  # one row is as good as a hundred, in a fifth of the time
        assert violations(shown.page) == []


@pytest.mark.long
@pytest.mark.parametrize(("viewport", "scheme"), [(DESKTOP, "dark"), (PHONE, "light")])
def test_the_whole_page_is_accessible(
    browser: Any, tmp_path: Path, viewport: dict[str, int], scheme: str
) -> None:
    path = tmp_path / "report.html"
    path.write_text(page_of(fake_overview()), "utf-8")
    with visit(browser, path.as_uri(), viewport=viewport, color_scheme=scheme) as shown:
        shown.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
        assert violations(shown.page) == []


@pytest.mark.long
def test_sixty_thousand_rows(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    names = [str(10**8 + number) for number in range(30_000)]
    path.write_text(page_of(fake_overview(names)), "utf-8")
    assert path.stat().st_size < 15e6
    with visit(browser, path.as_uri()) as large:
        timing = large.page.evaluate("performance.timing.loadEventEnd - performance.timing.navigationStart")
        assert timing < 3000
        large.page.locator("#tile-table th[data-name^=depth] button").click()
        place = large.page.evaluate("document.querySelector('#tile-table th[data-name^=depth]').cellIndex")
        depth = [float(row[place]) for row in large.page.evaluate(CELLS)]
        assert depth == sorted(depth)
        large.page.locator("#tile-table input").fill("100000777 vis")
        assert large.page.locator("#tile-table tbody tr").count() == 1
