"""Holding a store for one run.

In a folder the lock is a file that only one process can create; what it says (process and host) tells whether its owner
is gone. On an object store nothing can be created by one alone, so the lock is an object that is written, left to
settle and read back: of two runs that begin within the settling time at most one goes on, unless one of them stands
still for longer than that between looking and writing. Then both run; they write the same bytes, each object whole.
"""

import contextlib
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from vmpz.errors import VmpzError

__all__ = ["LOCK", "hold_object", "take_folder"]

LOCK = ".lock"
GRACE_S = 10.0
SETTLE_S = 1.0


# -- in a folder ------------------------------------------------------------------------------------------------------


def take_folder(root: Path) -> Path:
    """Take a folder, which is made if need be, and give the lock, to be removed in the end.

    The lock of a dead process of this host is taken over.

    Raises
    ------
    VmpzError
        Another run holds it; the message names its process and host.
    OSError
        The system refuses.
    """
    path = root / LOCK
    root.mkdir(parents=True, exist_ok=True)
    while not _taken(path):
        _take_from_the_dead(path)
    return path


def _taken(path: Path) -> bool:
    """Make the lock with this process's name in it; False if there is one."""
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        return False
    try:
        os.write(handle, f"{os.getpid()} {socket.gethostname()}".encode())
    except OSError:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)
    return True


def _take_from_the_dead(path: Path) -> None:
    """Remove a lock whose process is gone; of two that try, one moves it away and the other starts again."""
    try:
        content, age = path.read_text("utf-8", "replace"), time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return
    process, _, host = content.partition(" ")
    if not process.isdigit():
        if abs(age) < GRACE_S:  # made just now, its name not yet written
            raise VmpzError(f"{path.parent}: another run is taking this store; try again")
    elif not _is_dead(int(process), host):
        raise VmpzError(
            f"{path.parent}: another run holds this store: process {process} on {host} (if it is gone, remove {path})"
        )
    aside = path.with_name(f"{LOCK}.{os.getpid()}.part")
    with contextlib.suppress(FileNotFoundError):
        path.rename(aside)
        if aside.read_text("utf-8", "replace") != content:
            aside.rename(path)
        aside.unlink(missing_ok=True)


def _is_dead(process: int, host: str) -> bool:
    """Whether a process of this host is gone; a lock of our own number was left by one that had it before us."""
    if host != socket.gethostname() or process == os.getpid():
        return host == socket.gethostname()
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


# -- on an object store -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def hold_object(
    root: str,
    read: Callable[[str], bytes | None],
    write: Callable[[str, bytes], None],
    remove: Callable[[list[str]], None],
) -> Iterator[None]:
    """Hold a prefix of an object store; the lock of a dead process of this host is taken over.

    Parameters
    ----------
    root : str
        For messages.
    read, write, remove : callable
        Of objects by name.

    Raises
    ------
    VmpzError
        Another run holds it; the message names its process, host and beginning.
    """
    _must_be_free(root, read(LOCK))
    since = datetime.now(UTC).isoformat(timespec="seconds")
    mine = f"{os.getpid()} {socket.gethostname()} {since} {secrets.token_hex(8)}".encode()
    write(LOCK, mine)
    time.sleep(SETTLE_S)
    found = read(LOCK)
    if found != mine:
        raise VmpzError(f"{root}: another run is taking this store{_whose(found)}; try again")
    try:
        yield
    finally:
        if read(LOCK) == mine:
            remove([LOCK])


def _must_be_free(root: str, found: bytes | None) -> None:
    if found is None:
        return
    process, host = [*found.decode("utf-8", "replace").split(), "", ""][:2]
    if not (process.isdigit() and _is_dead(int(process), host)):
        raise VmpzError(
            f"{root}: another run holds this store{_whose(found)} (if it is gone, remove {root}/{LOCK})"
        )


def _whose(found: bytes | None) -> str:
    words = [] if found is None else found.decode("utf-8", "replace").split()
    return f": process {words[0]} on {words[1]} since {words[2]}" if len(words) > 2 else ""
