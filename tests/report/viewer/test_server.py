"""The server of the viewer: what it answers, and whom it does not."""

import http.client
import json
import re
import signal
import subprocess
import sys
import urllib.request
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits

import viewer_helpers
from vmpz.errors import InputError
from vmpz.report.viewer.server import Viewer
from vmpz.run.query import values_at
from vmpz.run.store import Store
from vmpz.sky import hpx


@pytest.fixture(scope="module")
def viewer(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("viewer")
    (folder / "aladin.js").write_text("export default 1;\n")
    with viewer_helpers.serving(viewer_helpers.sky_of(store, folder), folder / "aladin.js") as viewer:
        yield viewer


def ask(viewer, path, method="GET", host=None, root=None):
    """Status, headers and content; the path is sent as it stands."""
    line = http.client.HTTPConnection("127.0.0.1", viewer.server_port, timeout=10)
    line.putrequest(method, f"/{viewer.word}/{path}" if root is None else root, skip_host=True)
    line.putheader("Host", host or f"127.0.0.1:{viewer.server_port}")
    line.endheaders()
    answer = line.getresponse()
    return SimpleNamespace(status=answer.status, headers=answer.headers, content=answer.read())


def told(viewer, path):
    answer = ask(viewer, path)
    assert answer.status == 200, answer.content
    return json.loads(answer.content)


# -- what it answers --------------------------------------------------------------------------------------------------


def test_the_page_and_what_it_loads(viewer):
    page = ask(viewer, "")
    assert page.status == 200 and page.headers["Content-Type"] == "text/html; charset=utf-8"
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.content.decode())
    assert loaded and all(ask(viewer, name).status == 200 for name in loaded)
    styles = re.findall(r'rel="stylesheet" href="([^"]*)"', ask(viewer, "").content.decode())
    assert styles and all(ask(viewer, name).headers["Content-Type"].startswith("text/css") for name in styles)
    script = ask(viewer, "viewer.js").content.decode()
    imported = re.findall(r'from "\./([^"]+)"', script)
    assert "aladin.js" in imported and all(ask(viewer, name).status == 200 for name in imported)
    assert not re.findall(r"https?://(?!www\.w3\.org)", page.content.decode() + script)


def test_what_there_is(viewer):
    sky = told(viewer, "sky.json")
    names = [one["name"] for one in sky["maps"]]
    assert names == list(values_at(viewer.sky.store, 58.0, -51.5))
    assert len(sky["tiles"]) == 4 and all(len(tile["outline"][0]) >= 4 for tile in sky["tiles"])
    assert sky["regions"][0] == "region.moc.fits" and "coverage_VIS > 0" in sky["regions"]
    assert sky["points"] == [{"name": "points.fits", "rows": 2000}]
    by_name = {one["name"]: one for one in sky["maps"]}
    assert by_name["coverage_VIS"]["limits"] == [0, 1] and by_name["depth_VIS"]["limits"] is None
    assert by_name["depth_VIS"]["unit"] == "mag" and len(by_name["depth_VIS"]["colours"]) > 16
    bits = [one for one in sky["maps"] if one["bit"]]
    assert bits and all(one["column"].startswith("BIT") for one in bits)


def test_values_equal_those_of_the_files_at_200_positions(viewer):
    rng = np.random.default_rng(4)
    lon, lat = 58.1 + 1.4 * (rng.random(200) - 0.5), -51.6 + 0.9 * (rng.random(200) - 0.5)
    wanted = values_at(viewer.sky.store, lon, lat)
    listed = 0
    for place, (ra, dec) in enumerate(zip(lon.tolist(), lat.tolist(), strict=True)):
        answer = told(viewer, f"values?lon={ra!r}&lat={dec!r}")
        assert len(answer["values"]) == len(wanted)
        for one, column in zip(answer["values"], wanted.values(), strict=True):
            expected = float(column.values[place])
            assert one["value"] == (None if np.isnan(expected) else expected)
            assert one["cell"] == str(hpx.cells_at(ra, dec, one["order"]))
            listed += one["value"] is not None and one["area"] != ""
        corners = np.array(answer["corners"])
        assert corners.shape == (4, 2) and np.hypot(*(corners - [ra, dec]).T).max() < 0.1
    assert listed > 1000


def test_a_picture_and_its_tiles(viewer):
    names = [one.name for one in viewer.sky.maps]
    number = names.index("depth_VIS")
    properties = ask(viewer, f"maps/{number}/properties")
    assert properties.status == 200 and b"dataproduct_type     = image" in properties.content
    order = int(re.search(rb"hips_order +=\s*(\d+)", properties.content)[1])
    depth = viewer_helpers.joined(viewer.sky.store, "depth_VIS")
    (tile, *_) = depth.cells.at_order(order).cells().tolist()
    answer = ask(viewer, f"maps/{number}/Norder{order}/Dir0/Npix{tile}.fits")
    assert answer.headers["Content-Type"] == "application/fits"
    pixels = fits.HDUList.fromstring(answer.content)[0].data
    inside = depth.cells.cells() >> (2 * (depth.order - order)) == tile
    assert np.array_equal(np.sort(pixels[np.isfinite(pixels)]), np.sort(depth.values[inside]))
    assert ask(viewer, f"maps/{number}/Moc.fits").status == 200
    assert ask(viewer, f"maps/{number}/Norder{order}/Dir0/Npix{tile + 1}.fits").status == 404


def test_regions_points_and_tiles(viewer):
    moc = told(viewer, "regions/0")
    assert max(map(int, moc)) <= 9
    shown = told(viewer, "points/0?lon=58&lat=-51.6&radius=5&most=2000")
    assert len(shown["lon"]) == 2000 and (shown["every"], shown["inside"]) == (1, 2000)
    rows = told(viewer, "tile?id=102018211")
    assert {row["map"] for row in rows} <= {one.name for one in viewer.sky.maps}
    assert all(row["cells"] > 0 and row["file"].endswith(".fits") for row in rows)
    assert told(viewer, "tile?id=nothing") == []


def test_a_head_has_no_content(viewer):
    answer = ask(viewer, "sky.json", "HEAD")
    assert answer.status == 200 and int(answer.headers["Content-Length"]) > 1000 and not answer.content


# -- whom it does not -------------------------------------------------------------------------------------------------


def test_it_listens_on_this_machine_alone(viewer):
    assert viewer.server_address[0] == "127.0.0.1"
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{22}/", viewer.address)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "[::1]:{port}"]
)
def test_a_host_that_is_not_this_machine(viewer, host):
    answer = ask(viewer, "", host=host.format(port=viewer.server_port))
    assert answer.status == 403 and b"<html" not in answer.content
    assert ask(viewer, "", host=f"localhost:{viewer.server_port}").status == 200


@pytest.mark.parametrize("root", ["/", "/sky.json", "/wrong/sky.json", "//", "*", "/%00/"])
def test_who_does_not_know_the_word(viewer, root):
    assert ask(viewer, "", root=root).status == 404


@pytest.mark.parametrize(
    "path",
    [
        "maps/0/../../../../../../etc/passwd", "maps/0/..%2f..%2f..%2fetc%2fpasswd", "maps/0/vmpz.json", "maps/0/",
        "maps/0/Norder3/", "maps/0/Norder3/Dir0/../../properties", "maps/999/properties", "maps/-1/properties",
        "../viewer.js", "assets/viewer.js", "server.py", "viewer.js%00", "viewer.js/", "regions/99", "points/99",
    ],
)  # fmt: skip
def test_there_is_no_way_out_and_no_listing(viewer, path):
    assert ask(viewer, path).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"])
def test_it_only_reads(viewer, method):
    assert ask(viewer, "sky.json", method).status == 501


@pytest.mark.parametrize(
    "path",
    [
        "values",
        "values?lon=1",
        "values?lon=x&lat=1",
        "values?lon=nan&lat=1",
        "values?lon=1&lat=91",
        "points/0?lat=2&radius=3&most=1",
        "points/0?lon=1&lat=2&radius=3&most=inf",
        "points/0?lon=1",
    ],
)
def test_what_is_no_position_is_told(viewer, path):
    answer = ask(viewer, path)
    assert answer.status == 400 and "must be" in json.loads(answer.content)["error"]


def test_the_page_may_load_nothing_from_elsewhere(viewer):
    for path in ("", "sky.json", "nothing"):
        headers = ask(viewer, path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "connect-src 'self' data: blob:" in policy
        assert "http" not in policy and "*" not in policy and "'unsafe-eval'" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "Access-Control-Allow-Origin" not in headers and "Python" not in headers["Server"]


def test_a_fault_of_the_store_is_told(viewer, monkeypatch):
    def fail(number):
        raise OSError(28, "No space left on device", "/cache")

    monkeypatch.setattr(viewer.sky, "picture", fail)
    answer = ask(viewer, "maps/0/properties")
    assert answer.status == 500 and "No space left" in json.loads(answer.content)["error"]


def test_a_port_that_is_taken(viewer):
    with pytest.raises(InputError, match=f"port {viewer.server_port} must be free"):
        Viewer(viewer.sky, viewer.aladin, viewer.server_port)


# -- the command ------------------------------------------------------------------------------------------------------


def test_the_command_serves_until_it_is_interrupted(store, tmp_path):
    (tmp_path / "aladin.js").write_text("export default 1;\n")
    words = ["view", str(store), "--no-browser", "--aladin", str(tmp_path / "aladin.js"), "--kinds", "depth"]
    with subprocess.Popen(
        [sys.executable, "-m", "vmpz", *words], stdout=subprocess.PIPE, text=True
    ) as command:
        address = command.stdout.readline().split()[0]
        sky = json.load(urllib.request.urlopen(f"{address}sky.json"))
        assert [one["name"] for one in sky["maps"]] == ["depth_NIR_Y", "depth_VIS"]
        command.send_signal(signal.SIGINT)
        assert command.wait(10) == 0


def test_no_store(tmp_path):
    with pytest.raises(InputError, match="must be a store"):
        viewer_helpers.Sky(Store(tmp_path / "none"))
