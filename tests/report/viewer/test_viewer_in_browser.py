"""The viewer in a real browser: the map, its values and what is drawn over it, and nothing from elsewhere."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

import viewer_helpers
from browser_helpers import SOFTWARE_GL, chromium, violations, visit
from vmpz.run.query import values_at
from vmpz.run.viewing.aladin import PACKAGE, aladin_lite
from vmpz.sky import hpx

pytestmark = pytest.mark.tool
ARCHIVE = Path(sys.prefix) / "npm" / f"{PACKAGE}.tgz"
AT = (58.05, -51.55)


@pytest.fixture(scope="module")
def viewer(store, tmp_path_factory):
    if not ARCHIVE.exists():
        message = f"{ARCHIVE.name} is missing: `make tools` fetches it"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    folder = tmp_path_factory.mktemp("viewer")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VMPZ_CACHE", str(folder))
        script = aladin_lite(ARCHIVE)
    with viewer_helpers.serving(viewer_helpers.sky_of(store, folder), script) as viewer:
        yield viewer


@pytest.fixture(scope="module")
def browser():
    with chromium(*SOFTWARE_GL) as browser:
        yield browser


def is_real(error):
    """Tiles that a map has not are asked for all the same: not found is how a HiPS says so."""
    return "404 (Not Found)" not in error


@pytest.fixture(scope="module")
def seen(viewer, browser):
    """The page at a deep zoom, with everything drawn."""
    state = f"map=depth_VIS:1&show=tiles+region0+points0&at={AT[0]}+{AT[1]}&fov=0.2"
    with visit(browser, f"{viewer.address}#{state}", viewport={"width": 1100, "height": 600}) as seen:
        seen.page.wait_for_selector("html[data-ready]", state="attached")
        yield seen
        assert all(url.startswith((viewer.address, "blob:", "data:")) for url in seen.requests)
        seen.errors = [error for error in seen.errors if is_real(error)]


def eventually(seen, script, wanted, argument=None):
    """Wait until a script says what is wanted (a page with this policy evaluates nothing by itself)."""
    for _ in range(60):
        found = seen.page.evaluate(script, argument)
        if found == wanted:
            break
        seen.page.wait_for_timeout(80)
    assert found == wanted


def test_pixels_of_the_picture_are_values_of_the_file(seen, viewer):
    """Read back from the picture that is drawn, at deep zoom."""
    (depth,) = [one for one in viewer.sky.maps if one.name == "depth_VIS"]
    box = page_box(seen)
    rng = np.random.default_rng(2)
    places = [[box["width"] * x, box["height"] * y] for x, y in rng.uniform(0.1, 0.9, (60, 2))]
    sky = np.array(seen.page.evaluate("(places) => places.map((at) => vmpz.aladin.pix2world(...at))", places))
    inside = _edge_distance(sky, depth.key.order) > 0.05  # of a cell: two projections round at its edge
    wanted = values_at(viewer.sky.store, *sky[inside].T)["depth_VIS"].values.astype(float)
    assert np.isfinite(wanted).sum() > 30
    script = "(places) => places.map((at) => vmpz.aladin.getBaseImageLayer().readPixel(...at))"
    chosen = [place for place, keep in zip(places, inside.tolist(), strict=True) if keep]
    eventually(seen, script, [None if np.isnan(value) else value for value in wanted.tolist()], chosen)


def _edge_distance(positions, order):
    """Distance of each position to the edge of its cell, in sides of the cell."""
    _, x, y = hpx.face_coordinates(*positions.T)
    inside = np.stack((x, y)) * (1 << order) % 1.0
    return np.minimum(inside, 1.0 - inside).min(axis=0)


def test_values_follow_the_mouse_and_stay_where_one_clicks(seen, viewer):
    page, sky = seen.page, page_box(seen)
    page.mouse.move(sky["x"] + 200, sky["y"] + 300)
    page.mouse.move(sky["x"] + 210, sky["y"] + 310)
    page.wait_for_selector("#headline:not(:empty)")
    page.mouse.click(sky["x"] + 350, sky["y"] + 350)
    page.wait_for_selector("#tile:not([hidden])")
    kept = page.evaluate("vmpz.shown.kept")
    wanted = values_at(viewer.sky.store, *kept)
    rows = page.locator("#values tr").evaluate_all(
        "rows => rows.map((row) => [row.title.split(':')[0], row.querySelector('td').firstChild.textContent])"
    )
    shown = dict(rows)
    assert len(shown) > 10
    for name, text in shown.items():
        value = wanted[name].values[0]
        assert (text == "–" and np.isnan(value)) or np.float32(text) == np.float32(value), name
    assert page.inner_text("#tile-id").casefold().startswith("tile 1020")
    page.mouse.move(sky["x"] + 100, sky["y"] + 100)
    assert page.evaluate("vmpz.shown.kept") == kept


def page_box(seen):
    return seen.page.locator("#aladin").bounding_box()


def test_map_outline_region_and_points_coincide(seen, viewer):
    """All points lie where the map is; the region and the outlines hold it."""
    page = seen.page
    counts = page.evaluate("[vmpz.sky.tiles.length, vmpz.shown.over.size]")
    assert counts == [4, 3]
    shot = page.screenshot(clip=page_box(seen), path=os.environ.get("VMPZ_SCREENSHOT"))
    assert len(shot) > 15_000  # not an empty sky
    told = page.inner_text("#told-points0")
    assert "all" in told and "in view" in told


def test_another_map_is_chosen_and_one_is_laid_over(seen):
    page = seen.page
    page.get_by_role("button", name="coverage observed and unflagged").first.click()
    eventually(seen, "vmpz.shown.layers.map((one) => one.map.name)", ["coverage_NIR_Y"])
    page.get_by_role("button", name="Add bitmask_VIS over what is shown").click()
    eventually(seen, "vmpz.shown.layers.map((one) => one.map.name)", ["coverage_NIR_Y", "bitmask_VIS"])
    eventually(seen, "vmpz.aladin.getStackLayers().length", 2)
    page.locator("#layers input[type=range]").first.fill("0.25")
    eventually(seen, "vmpz.aladin.getOverlayImageLayer('over1').getOpacity()", 0.25)
    page.locator("#layers input[type=number]").nth(1).fill("0.5")
    page.locator("#layers input[type=number]").nth(1).press("Enter")
    assert page.evaluate("vmpz.shown.layers[1].limits") == [0, 0.5]
    assert "over=bitmask_VIS%3A0.25%3A0%3A0.5" in page.url
    page.get_by_role("button", name="Hide bitmask_VIS").click()
    eventually(seen, "vmpz.aladin.getStackLayers().length", 1)
    page.fill("#filter", "depth")
    assert page.locator("#list li:visible").count() == 2


def test_a_position_and_a_tile_are_found(seen):
    page = seen.page
    for text in ("58.2 -51.6", "3:52:48 -51:36:00", "3h52m48s,-51d36m"):
        page.fill("#goto", text)
        page.press("#goto", "Enter")
        eventually(seen, "vmpz.aladin.getRaDec().map((one) => Math.round(one * 1e6) / 1e6)", [58.2, -51.6])
    page.fill("#goto", "102018211")
    page.press("#goto", "Enter")
    page.wait_for_selector("#tile-id:text('102018211')")
    page.fill("#goto", "nowhere")
    page.press("#goto", "Enter")
    page.wait_for_function("document.querySelector('#status').textContent.includes('no tile or position')")


def test_by_keyboard(seen):
    page = seen.page
    page.focus("#sky")
    page.keyboard.press("0")
    field = page.evaluate("vmpz.aladin.getFov()[0]")
    page.keyboard.press("+")
    assert page.evaluate("vmpz.aladin.getFov()[0]") < field
    before = page.evaluate("vmpz.aladin.getRaDec()")
    page.keyboard.press("ArrowUp")
    assert page.evaluate("vmpz.aladin.getRaDec()")[1] > before[1]
    page.keyboard.press("Escape")
    assert page.evaluate("vmpz.shown.kept") is None
    page.keyboard.press("Enter")
    page.wait_for_selector("#tile-id:text('1020')")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "goto"


def test_the_address_brings_the_view_back(seen, viewer, browser):
    page = seen.page
    page.wait_for_timeout(400)  # until the view has come to rest
    url, state = page.url, page.evaluate("[vmpz.aladin.getRaDec(), vmpz.shown.kept]")
    page.goto("about:blank")  # a page less that draws
    with visit(
        browser, url, viewport={"width": 390, "height": 844}, color_scheme="dark", has_touch=True
    ) as again:
        again.page.wait_for_selector("html[data-ready]", state="attached")
        found = again.page.evaluate("[vmpz.aladin.getRaDec(), vmpz.shown.kept]")
        np.testing.assert_allclose(found, state, atol=2e-6)
        assert again.page.evaluate("document.documentElement.scrollWidth") <= 390
        if path := os.environ.get("VMPZ_SCREENSHOT"):
            again.page.screenshot(path=f"{path}.phone.png")
        assert not violations(again.page)
        again.errors = [error for error in again.errors if is_real(error)]
