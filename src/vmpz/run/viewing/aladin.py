"""Aladin Lite, the program that shows HiPS in a browser: found, or fetched once from the npm registry.

It is software of CDS, Strasbourg, under GPL-3, so it is no part of this package: who wants the viewer gets it from npm,
once, into a cache of the user. What is fetched is one pinned version, verified by the digest that npm publishes for it.
"""

import base64
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

from vmpz.errors import InputError
from vmpz.files.write import write_whole_folder

__all__ = ["VERSION", "aladin_lite", "user_cache"]

VERSION = "3.8.2"
PACKAGE = f"aladin-lite-{VERSION}"
INTEGRITY = "sha512-/VGtxSWZ4StdKgwjmzqNkUY/3iTaBZJ5F6bN+nAfcK1NEATcAb2CYJX4U8FElpwYMgKrypYQV5KniRzhVbH+nA=="
"""What ``npm view aladin-lite@3.8.2 dist.integrity`` prints."""
SCRIPT_SHA256 = "bed9c8ef1d1e83501b1cb782366092c72c5ecd1c88f16fef3166188ae8062066"
SCRIPT = "aladin.js"
TAKEN = {
    "package/dist/aladin.js": SCRIPT,
    **{f"package/{name}": name for name in ("LICENSE", "COPYING", "COPYING.LESSER", "README.md")},
}
"""Member of the archive -> file that is kept."""
MOST_BYTES = 1 << 25
TIMEOUT_S = 120


def user_cache() -> Path:
    """Where programs of others are kept: VMPZ_CACHE, else ``vmpz`` in the cache folder of the user (XDG).

    Raises
    ------
    InputError
        The user has no home.
    """
    told = os.environ.get("VMPZ_CACHE")
    base = os.environ.get("XDG_CACHE_HOME")
    home = Path(base) if base and Path(base).is_absolute() else Path("~/.cache")
    try:
        return (Path(told) if told else home / "vmpz").expanduser()
    except RuntimeError as error:  # a user whom the machine does not know, as in some containers
        raise InputError("the user must have a home, or VMPZ_CACHE name a folder, found neither") from error


def aladin_lite(given: Path | None = None) -> Path:
    """The script of Aladin Lite: the one that is given, the one in the cache, or fetched into it by npm.

    Parameters
    ----------
    given : Path, optional
        ``aladin.js`` of any version, or the archive ``aladin-lite-3.8.2.tgz`` of the npm registry.

    Raises
    ------
    InputError
        What is given is neither; or nothing is there and it cannot be fetched. The message says what to do.
    StorageError
        The cache cannot be written.
    """
    if given is not None and not given.is_file():
        raise InputError(f"{given}: must be aladin.js or {PACKAGE}.tgz, found nothing")
    if given is not None and not given.name.endswith(".tgz"):
        return given
    kept = user_cache() / PACKAGE / SCRIPT
    if not _is_it(kept):
        _unpack(_fetched() if given is None else given.read_bytes(), given or f"{PACKAGE}.tgz", kept.parent)
    return kept


def _is_it(script: Path) -> bool:
    return script.is_file() and hashlib.sha256(script.read_bytes()).hexdigest() == SCRIPT_SHA256


def _fetched() -> bytes:
    """The archive, by the program npm."""
    npm = shutil.which("npm")
    if npm is None:
        raise InputError(_advice("no program npm"))
    with TemporaryDirectory(prefix="vmpz-") as folder:
        words = [
            npm,
            "pack",
            f"aladin-lite@{VERSION}",
            "--ignore-scripts",
            "--silent",
            "--pack-destination",
            folder,
        ]
        try:
            done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise InputError(_advice(f"that npm failed: {error}")) from error
        archive = Path(folder) / f"{PACKAGE}.tgz"
        if done.returncode or not archive.is_file():
            raise InputError(_advice(f"that npm failed: {done.stderr.strip()[-500:] or done.returncode}"))
        return archive.read_bytes()


def _advice(found: str) -> str:
    return (
        f"Aladin Lite {VERSION} must be in {user_cache() / PACKAGE}, or npm must fetch it, found {found}. "
        f"Install npm, or on a machine with a network run `npm pack aladin-lite@{VERSION}` "
        f"and give its file here: --aladin {PACKAGE}.tgz"
    )


def _unpack(archive: bytes, name: object, folder: Path) -> None:
    """Put the script and its licences into a folder: nothing else of the archive is looked at."""
    found = "sha512-" + base64.b64encode(hashlib.sha512(archive).digest()).decode()
    if found != INTEGRITY:
        raise InputError(f"{name}: integrity must be {INTEGRITY}, found {found}")
    with write_whole_folder(folder) as temporary, tarfile.open(fileobj=io.BytesIO(archive)) as members:
        for member in members:
            stream = members.extractfile(member) if member.name in TAKEN and member.isfile() else None
            if stream is not None:
                (temporary / TAKEN[member.name]).write_bytes(stream.read(MOST_BYTES))
