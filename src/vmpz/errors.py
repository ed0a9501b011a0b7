"""The four exceptions of the package, and the hint that a message gives for a name that is not known.

Every message says what must hold, what was found, and where (file, HDU, key).
"""

import difflib
from collections.abc import Iterable

__all__ = ["InputError", "MapMismatchError", "MissingProductError", "VmpzError", "meant", "nearest"]


def nearest(found: object, known: Iterable[object]) -> str | None:
    """The known name that an unknown one resembles most, whatever its case; None if none is near."""
    if found is None:
        return None
    names = {str(name).casefold(): str(name) for name in known}
    near = difflib.get_close_matches(str(found).casefold(), names, 1)
    return names[near[0]] if near else None


def meant(found: object, known: Iterable[object]) -> str:
    """The end of a message about an unknown name: ``, did you mean X`` where a known one is near, else nothing.

    >>> f"band must be among VIS, NIR_Y; found vis{meant('vis', ['VIS', 'NIR_Y'])}"
    'band must be among VIS, NIR_Y; found vis, did you mean VIS'
    """
    near = nearest(found, known)
    return "" if near is None else f", did you mean {near}"


class VmpzError(Exception):
    """Base of every error that the package raises on purpose."""


class InputError(VmpzError):
    """An input (file, header, plane, table, descriptor) does not hold what it must."""


class MapMismatchError(VmpzError):
    """Two maps, tables or products that must agree (order, convention, bits, units) do not."""


class MissingProductError(VmpzError):
    """A product that is needed does not exist in the store."""
