"""What stands where a file or folder was expected, and the name beside it that may be meant."""

import os
from pathlib import Path

from vmpz.errors import nearest

__all__ = ["what_is_at"]

MOST = 10_000
"""Names of a folder that are compared: a third of a second; of larger folders nothing is meant."""


def what_is_at(path: str | Path) -> str:
    """The end of a message about a path: what is found there, and the nearest name in its folder.

    ``a file``, ``a folder``, ``a link that leads nowhere``, ``something else (device, pipe)``, or ``nothing``, then
    perhaps ``, did you mean PATH``: the first part of the path that does not exist is the one that is mended. An
    address is not looked at.
    """
    if os.path.isfile(path):
        return "a file"
    if os.path.isdir(path):
        return "a folder"
    if os.path.exists(path):
        return "something else (device, pipe)"
    return "a link that leads nowhere" if os.path.lexists(path) else f"nothing{_beside(Path(path))}"


def _beside(path: Path) -> str:
    missing = next((one for one in (*reversed(path.parents), path) if not os.path.exists(one)), path)
    try:
        names = sorted(name for name in os.listdir(missing.parent) if not name.startswith("."))
    except (OSError, ValueError):  # a folder that may not be read, a name that is none
        return ""
    near = None if missing.name.endswith(":") or len(names) > MOST else nearest(missing.name, names)
    return "" if near is None else f", did you mean {missing.parent / near}"
