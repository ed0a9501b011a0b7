"""Aladin Lite is found, or fetched once by npm and verified."""

import base64
import hashlib
import io
import tarfile

import pytest

from vmpz.errors import InputError
from vmpz.run.viewing import aladin
from vmpz.run.viewing.aladin import PACKAGE, aladin_lite, user_cache

SCRIPT = b"export default 'a stand-in';\n"


def archive(script=SCRIPT):
    """An archive as npm makes them, with members that want to be elsewhere."""
    made = io.BytesIO()
    members = {
        "package/dist/aladin.js": script,
        "package/LICENSE": b"GPL",
        "package/../../evil": b"!",
        "/etc/evil": b"!",
    }
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        for name, content in {**members, "/etc/evil": b"!"}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return made.getvalue()


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A cache of its own, no program on the path, and the digests of the stand-in."""
    content = archive()
    monkeypatch.setenv("VMPZ_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()
    monkeypatch.setattr(aladin, "INTEGRITY", integrity)
    monkeypatch.setattr(aladin, "SCRIPT_SHA256", hashlib.sha256(SCRIPT).hexdigest())
    (tmp_path / f"{PACKAGE}.tgz").write_bytes(content)
    return tmp_path


def npm(home, script):
    """A program npm, in place of the real one."""
    (home / "bin").mkdir()
    (home / "bin" / "npm").write_text(f'#!/bin/sh\necho "$@" > {home}/asked\n{script}\n')
    (home / "bin" / "npm").chmod(0o755)


def test_the_cache_of_the_user(monkeypatch, tmp_path):
    monkeypatch.delenv("VMPZ_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache() == tmp_path / "vmpz"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_cache() == tmp_path / ".cache" / "vmpz"


def test_an_archive_is_unpacked_into_the_cache_and_nothing_else_of_it(home):
    script = aladin_lite(home / f"{PACKAGE}.tgz")
    assert script == home / "cache" / PACKAGE / "aladin.js" and script.read_bytes() == SCRIPT
    assert sorted(path.name for path in script.parent.iterdir()) == ["LICENSE", "aladin.js"]
    assert not list(home.rglob("evil"))
    assert aladin_lite() == script  # found from now on


def test_npm_is_asked_once(home):
    npm(home, f'/bin/cp {home}/{PACKAGE}.tgz "$6"')
    script = aladin_lite()
    assert script.read_bytes() == SCRIPT
    asked = (home / "asked").read_text()
    assert asked.startswith("pack aladin-lite@3.8.2 --ignore-scripts --silent --pack-destination ")
    (home / "asked").unlink()
    assert aladin_lite() == script and not (home / "asked").exists()


def test_a_script_that_was_altered_is_fetched_again(home):
    script = aladin_lite(home / f"{PACKAGE}.tgz")
    script.write_text("altered")
    with pytest.raises(InputError, match="found no program npm"):
        aladin_lite()
    assert aladin_lite(home / f"{PACKAGE}.tgz").read_bytes() == SCRIPT


def test_another_archive_is_refused(home):
    (home / f"{PACKAGE}.tgz").write_bytes(archive(b"evil"))
    with pytest.raises(InputError, match="integrity must be sha512-"):
        aladin_lite(home / f"{PACKAGE}.tgz")
    npm(home, f'/bin/cp {home}/{PACKAGE}.tgz "$6"')
    with pytest.raises(InputError, match="integrity must be sha512-"):
        aladin_lite()
    assert not (home / "cache" / PACKAGE).exists()


@pytest.mark.parametrize("script", ["echo no network >&2; exit 7", "exit 0"])
def test_npm_that_fails_is_told_with_what_to_do(home, script):
    npm(home, script)
    with pytest.raises(
        InputError, match=r"(?s)npm failed.*npm pack aladin-lite@3\.8\.2.*--aladin aladin-lite-3\.8\.2\.tgz"
    ):
        aladin_lite()


def test_a_script_of_ones_own(home):
    (home / "mine.js").write_text("mine")
    assert aladin_lite(home / "mine.js") == home / "mine.js"
    with pytest.raises(InputError, match=r"must be aladin\.js or aladin-lite-3\.8\.2\.tgz, found nothing"):
        aladin_lite(home / "none.js")
