"""Names of files on the command line: a file, the products of a folder, or @LIST (one path a line)."""

from collections.abc import Sequence
from pathlib import Path

from vmpz.errors import InputError
from vmpz.files.nearby import what_is_at

__all__ = ["expanded"]


def expanded(names: Sequence[str]) -> list[Path]:
    """Files of names, each once.

    Raises
    ------
    InputError
        A file or list does not exist, or a folder holds no product.
    """
    paths: list[Path] = []
    for name in names:
        if name.startswith("@"):
            lines = _existing(Path(name[1:])).read_text("utf-8", "replace").splitlines()
            paths += [Path(line.strip()) for line in lines if line.strip()]
        elif Path(name).is_dir():
            files = (
                path for path in Path(name).rglob("*.fits*") if path.name.endswith((".fits", ".fits.gz"))
            )
            found = sorted(path for path in files if not _is_hidden(path, Path(name)))
            if not found:
                raise InputError(f"{name}: must hold products (*.fits), found none")
            paths += found
        else:
            paths.append(Path(name))
    once: dict[Path, Path] = {}
    for path in paths:
        once.setdefault(_existing(path).resolve(), path)
    return list(once.values())


def _is_hidden(path: Path, folder: Path) -> bool:
    """Whether a file stands in a hidden folder: what releases keep, or what is being made."""
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise InputError(f"{path}: must be a file, found {what_is_at(path)}")
    return path
