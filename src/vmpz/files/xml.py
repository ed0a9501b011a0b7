"""XML descriptors that nobody vouches for.

No DOCTYPE of any kind (so no entities, bombs or outside files), no network, bounded size and depth; what comes out has
local names only, comments and processing instructions removed. File names found inside are bare names or relative
paths that must lead to a regular file inside the folder given.
"""

import os
import stat
from pathlib import Path

from lxml import etree

from vmpz.errors import InputError
from vmpz.files.fits import open_regular

__all__ = ["Element", "confined", "parse_xml", "text_at", "texts_at"]

MAX_BYTES = 64 << 20
Element = etree._Element


def parse_xml(location: str, max_bytes: int = MAX_BYTES) -> Element:
    """Root element of an XML file, namespaces removed from names.

    Raises
    ------
    InputError
        The file is too large, not XML, too deep (256 levels) or has a DOCTYPE.
    """
    with open_regular(location) as handle:
        size = os.fstat(handle.fileno()).st_size
        if size > max_bytes:
            raise InputError(f"{location}: an XML descriptor must be at most {max_bytes} bytes, found {size}")
        data = handle.read(max_bytes + 1)
    if b"\0" in data:
        raise InputError(f"{location}: an XML descriptor must be UTF-8, found NUL bytes")
    if b"<!DOCTYPE" in data:
        raise InputError(f"{location}: DOCTYPE not allowed")
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise InputError(f"{location}: must be well-formed XML, found: {error}") from error
    if root.getroottree().docinfo.doctype:  # type: ignore[union-attr]
        raise InputError(f"{location}: DOCTYPE not allowed")
    for element in root.iter():
        if isinstance(element.tag, str):
            element.tag = etree.QName(element).localname
    return root


def texts_at(root: Element, path: str) -> list[str]:
    """Texts of all elements at a path of local names, without surrounding blanks; empty ones left out."""
    return [text for text in ((element.text or "").strip() for element in root.iterfind(path)) if text]


def text_at(root: Element, path: str, where: str, *, required: bool = False) -> str | None:
    """The one text at a path, None where there is none.

    Raises
    ------
    InputError
        There are several different ones, or none where it is required.
    """
    found = sorted(set(texts_at(root, path)))
    if len(found) > 1 or (required and not found):
        raise InputError(f"{where}: {path} must stand once, found {found or 'nothing'}")
    return found[0] if found else None


def confined(folder: str | Path, name: str, where: str, below: str | Path | None = None) -> Path:
    """The regular file that a name found inside a descriptor means.

    Parameters
    ----------
    folder : path
        Where the descriptor lies; the file is looked for there and in its ``data`` folder.
    name : str
        As found.
    where : str
        The descriptor, for messages.
    below : path, optional
        Folder that must not be left, symbolic links followed; default `folder`.

    Raises
    ------
    InputError
        The name is absolute, climbs out, leads out through a link, or is no regular file.
    """
    root = Path(os.path.realpath(below or folder))
    parts = Path(name).parts
    if not name or "\0" in name or "\\" in name or Path(name).is_absolute() or ".." in parts:
        raise InputError(f"{where}: FileName must be a plain name inside the folder, found {name!r}")
    for candidate in (Path(folder) / name, Path(folder) / "data" / name):
        try:
            mode = candidate.lstat().st_mode
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            raise InputError(
                f"{where}: FileName must be a usable name, found {name[:80]!r}: {error}"
            ) from error
        real = Path(os.path.realpath(candidate))
        if not real.is_relative_to(root):
            raise InputError(f"{where}: FileName must not lead out of {root}, found {name!r}")
        if stat.S_ISLNK(mode):
            mode = real.stat().st_mode if real.exists() else 0
        if not stat.S_ISREG(mode):
            raise InputError(f"{where}: FileName must be a regular file, found {name!r}")
        return candidate
    raise InputError(f"{where}: FileName must exist, found no {name!r} beside it")
