"""The four exceptions of the package, and the hint that a message gives for a name that is not known.

Every message says what must hold, what was found, and where (file, HDU, key).
"""

import difflib
from collections.abc import Collection, Iterable

__all__ = ["InputError", "MapMismatchError", "MissingProductError", "VmpzError", "listed", "meant", "nearest"]


def nearest(found: object, known: Iterable[object]) -> str | None:
    """The known name that an unknown one resembles most, whatever its case; None if none is near."""
    if found is None:
        return None
    names = {str(name).casefold(): str(name) for name in known}
    near = difflib.get_close_matches(str(found).casefold(), names, 1)
    return names[near[0]] if near else None


def listed(names: Collection[str], most: int = 20) -> str:
    """Names for a message, in the order of the alphabet: the first of them and how many more, or ``none``."""
    shown, more = sorted(names)[:most], len(names) - most
    return (", ".join(shown) or "none") + (f" and {more} more" if more > 0 else "")


def meant(found: object, known: Iterable[object]) -> str:
    """The end of a message about an unknown name: ``, did you mean X`` where a known one is near, else nothing.

    >>> f"band must be among VIS, NIR_Y; found vis{meant('vis', ['VIS', 'NIR_Y'])}"
    'band must be among VIS, NIR_Y; found vis, did you mean VIS'
    """
    near = nearest(found, known)
    return "" if near is None else f", did you mean {near}"


class VmpzError(Exception):
    """Base of every error that the package raises on purpose.

    Examples
    --------
    >>> import vmpz
    >>> try:
    ...     vmpz.Cap(0.0, 95.0, 1.0)
    ... except vmpz.VmpzError as error:
    ...     print(type(error).__name__)
    InputError
    """


class InputError(VmpzError):
    """An input (file, header, plane, table, descriptor) does not hold what it must.

    Examples
    --------
    >>> import vmpz
    >>> vmpz.Cap(0.0, 95.0, 1.0)
    Traceback (most recent call last):
        ...
    vmpz.errors.InputError: the centre of a cap must be a position in degrees, found 0.0, 95.0
    """


class MapMismatchError(VmpzError):
    """Two maps, tables or products that must agree (order, convention, bits, units) do not.

    Examples
    --------
    >>> import vmpz
    >>> vmpz.SkyMap(vmpz.CellSet.everything(0), [1.0])
    Traceback (most recent call last):
        ...
    vmpz.errors.MapMismatchError: a map needs one value per cell: 12 cells, values of shape (1,)
    """


class MissingProductError(VmpzError):
    """A product that is needed does not exist in the store.

    Examples
    --------
    >>> import vmpz
    >>> vmpz.CellStatistics(vmpz.CellSet.everything(0), {}).column("found")
    Traceback (most recent call last):
        ...
    vmpz.errors.MissingProductError: found was not counted; cell statistics hold nothing of the kind
    """
