"""Chromium for tests of pages: started once, every request recorded, nothing but this machine may be asked."""

import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

FLAGS = [
    "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
SOFTWARE_GL = [
    "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist",
]  # fmt: skip
"""What a page that draws by WebGL needs where there is no graphics card."""


@dataclass
class Visit:
    """A page in a browser, what it asked for and what went wrong in it."""

    page: Any
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def must_be_clean(self) -> None:
        """Nothing outside this machine was asked, and the console has no error."""
        assert not [url for url in self.requests if not _is_local(url)]
        assert not self.errors


def _is_local(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("file", "data", "blob", "about") or parts.hostname in (
        "127.0.0.1",
        "localhost",
        "::1",
    )


@contextmanager
def chromium(*flags: str) -> Iterator[Any]:
    """A browser of playwright; the test is skipped where Chromium or playwright is missing, and fails under CI."""
    program = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        program = None
    if program is None:
        message = "chromium or playwright is missing: `make tools` installs them"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=[*FLAGS, *flags])
        yield browser
        browser.close()


@contextmanager
def visit(browser: Any, url: str, **options: Any) -> Iterator[Visit]:
    """A page of a context of its own (`options`: viewport, color_scheme, ...); requests leave the machine never.

    On leaving, what was asked of other machines and errors of the console fail the test.
    """
    context = browser.new_context(**options)
    seen = Visit(context.new_page())
    context.route("**/*", lambda route: route.continue_() if _is_local(route.request.url) else route.abort())
    context.on("request", lambda request: seen.requests.append(request.url))
    context.on("weberror", lambda error: seen.errors.append(str(error.error)))
    context.on("console", lambda line: seen.errors.append(line.text) if line.type == "error" else None)
    seen.page.goto(url)
    yield seen
    seen.must_be_clean()
    context.close()


AXE = Path(sys.prefix) / "npm" / "node_modules" / "axe-core" / "axe.min.js"
AXE_SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"


def violations(page: Any) -> list[str]:
    """What axe-core finds wrong with a page for who cannot see it, or cannot use a mouse."""
    if not AXE.exists():
        message = "axe-core is missing: `make tools` installs it"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    script = AXE.read_bytes()
    assert hashlib.sha256(script).hexdigest() == AXE_SHA256, f"{AXE} is not axe-core 4.14.1"
    page.evaluate(script.decode())
    found = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
    return [
        f"{one['id']}: {node['html']}: {node['failureSummary']}" for one in found for node in one["nodes"]
    ]
