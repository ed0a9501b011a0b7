"""The server of the viewer: on this machine alone, reading alone, for one browser that knows its address.

It listens on 127.0.0.1 and answers GET and HEAD below a random word of its address, to requests whose Host is this
machine (so no page from elsewhere can ask through a name that it points here). Paths are matched, never joined to a
folder: there is no listing and no way out. The page may load nothing from anywhere else (Content-Security-Policy).
"""

import json
import math
import re
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from vmpz.errors import InputError, VmpzError
from vmpz.report.viewer.answers import description, points_told, values_told
from vmpz.run.viewing.sky import Sky

__all__ = ["Viewer", "viewer_of"]

LOOPBACK = "127.0.0.1"
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src data:; connect-src 'self' data: blob:; worker-src blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".fits": "application/fits"}
PATIENCE_S = 30
HIPS_FILE = re.compile(r"properties|Moc\.fits|Norder\d{1,2}/Dir\d{1,18}/Npix\d{1,18}\.fits")
"""Files of a HiPS that are served."""

Answer = tuple[str, bytes]
"""Type and content."""


class Viewer(ThreadingHTTPServer):
    """The server; `address` is what a browser opens.

    Parameters
    ----------
    sky : Sky
    aladin : Path
        Script of Aladin Lite.
    port : int
        0 is any free one.

    Raises
    ------
    InputError
        The port is not free.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, sky: Sky, aladin: Path, port: int = 0) -> None:
        self.sky, self.aladin = sky, aladin
        self.word = secrets.token_urlsafe(16)
        try:
            super().__init__((LOOPBACK, port), _Request)
        except OSError as error:
            raise InputError(f"port {port} must be free on {LOOPBACK}, found: {error.strerror}") from error

    @property
    def address(self) -> str:
        """Address of the page, with the word that opens it."""
        return f"http://{LOOPBACK}:{self.server_port}/{self.word}/"

    @property
    def hosts(self) -> tuple[str, ...]:
        """What a browser on this machine calls it."""
        return f"{LOOPBACK}:{self.server_port}", f"localhost:{self.server_port}"

    @cached_property
    def description(self) -> bytes:
        """What the page is told first."""
        return _json(description(self.sky))

    def serve(self) -> None:
        """Answer until Ctrl-C."""
        try:
            self.serve_forever()
        except KeyboardInterrupt:
            return

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that no longer wants an answer is no error."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


@contextmanager
def viewer_of(sky: Sky, aladin: Path, port: int = 0) -> Iterator[Viewer]:
    """A server that is closed in the end, after what is being made is whole; errors as of `Viewer`."""
    with Viewer(sky, aladin, port) as viewer:
        try:
            yield viewer
        finally:
            sky.close()


class _Request(BaseHTTPRequestHandler):
    server: Viewer
    timeout = PATIENCE_S
    server_version = "vmpz"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer."""
        self._answer()

    def do_HEAD(self) -> None:
        """Answer without content."""
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is logged."""

    def _answer(self) -> None:
        if self.headers.get("Host") not in self.server.hosts:
            self._refuse(HTTPStatus.FORBIDDEN, "the host must be this machine")
            return
        address = urlsplit(self.path)
        _, word, path = [*address.path.split("/", 2), "", ""][:3]
        if not secrets.compare_digest(word.encode(), self.server.word.encode()):
            self._refuse(HTTPStatus.NOT_FOUND, "no such address: open the one that the viewer printed")
            return
        try:
            answer = _answer_to(self.server, unquote(path), _numbers_of(address.query))
        except (InputError, ValueError) as error:
            self._refuse(HTTPStatus.BAD_REQUEST, _told(error))
        except (VmpzError, OSError) as error:
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, _told(error))
        else:
            if answer is None:
                self._refuse(HTTPStatus.NOT_FOUND, "no such file")
            else:
                self._send(HTTPStatus.OK, *answer)

    def _refuse(self, status: HTTPStatus, reason: str) -> None:
        self._send(status, "application/json", _json({"error": reason}))

    def _send(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        is_text = kind.startswith("text/")
        self.send_header("Content-Type", f"{kind}; charset=utf-8" if is_text else kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store" if "json" in kind else "private, max-age=3600")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _answer_to(viewer: Viewer, path: str, asked: dict[str, str]) -> Answer | None:
    """What is at a path, None if nothing is."""
    for pattern, answer in ROUTES:
        match = pattern.fullmatch(path)
        if match is not None:
            return answer(viewer, match, asked)
    return None


def _asset(viewer: Viewer, match: re.Match[str], asked: dict[str, str]) -> Answer:
    name = match[0] or "viewer.html"
    room = "vmpz.report" if name == "base.css" else "vmpz.report.viewer"
    content = resources.files(room).joinpath("assets", name).read_bytes()
    return TYPES[Path(name).suffix], content


def _aladin(viewer: Viewer, match: re.Match[str], asked: dict[str, str]) -> Answer:
    return TYPES[".js"], viewer.aladin.read_bytes()


def _nothing(viewer: Viewer, match: re.Match[str], asked: dict[str, str]) -> Answer:
    return "image/x-icon", b""


def _sky(viewer: Viewer, match: re.Match[str], asked: dict[str, str]) -> Answer:
    return "application/json", viewer.description


def _values(viewer: Viewer, match: re.Match[str], asked: dict[str, str]) -> Answer:
    return _as_json(values_told(viewer.sky.values(_number(asked, "lon"), _number(asked, "lat"))))


def _tile(viewer: Viewer, match: re.Match[str], asked: dict[str, str]) -> Answer:
    return _as_json(viewer.sky.tile(asked.get("id", "")))


def _region(viewer: Viewer, match: re.Match[str], asked: dict[str, str]) -> Answer | None:
    number = int(match[1])
    if number >= len(viewer.sky.regions):
        return None
    return "application/json", viewer.sky.region(number).encode()


def _points(viewer: Viewer, match: re.Match[str], asked: dict[str, str]) -> Answer | None:
    number = int(match[1])
    if number >= len(viewer.sky.points):
        return None
    lon, lat, radius, most = (_number(asked, name) for name in ("lon", "lat", "radius", "most"))
    return _as_json(points_told(viewer.sky.points_inside(number, lon, lat, radius, int(most))))


def _hips(viewer: Viewer, match: re.Match[str], asked: dict[str, str]) -> Answer | None:
    number = int(match[1])
    if number >= len(viewer.sky.maps) or HIPS_FILE.fullmatch(match[2]) is None:
        return None
    file = viewer.sky.picture(number) / match[2]
    return (TYPES.get(file.suffix, "text/plain"), file.read_bytes()) if file.is_file() else None


ROUTES: tuple[tuple[re.Pattern[str], Callable[[Viewer, re.Match[str], dict[str, str]], Answer | None]], ...]
ROUTES = (
    (re.compile(r"|(?:base|viewer)\.css|(?:viewer|elements|geometry)\.js"), _asset),
    (re.compile(r"aladin\.js"), _aladin),
    (re.compile(r"favicon\.ico"), _nothing),
    (re.compile(r"sky\.json"), _sky),
    (re.compile(r"values"), _values),
    (re.compile(r"tile"), _tile),
    (re.compile(r"regions/(\d{1,6})"), _region),
    (re.compile(r"points/(\d{1,6})"), _points),
    (re.compile(r"maps/(\d{1,6})/(.+)"), _hips),
)
"""What there is, by path below the word."""


def _numbers_of(query: str) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(query, max_num_fields=8).items()}


def _number(asked: dict[str, str], name: str) -> float:
    try:
        number = float(asked[name])
    except (KeyError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{name} must be a number, found {asked.get(name, 'nothing')}")
    return number


def _told(error: Exception) -> str:
    return "; ".join([str(error), *getattr(error, "__notes__", ())])


def _as_json(content: Any) -> Answer:
    return "application/json", _json(content)


def _json(content: Any) -> bytes:
    return json.dumps(content, separators=(",", ":"), allow_nan=False).encode()
