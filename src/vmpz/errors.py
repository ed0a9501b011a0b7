"""The four exceptions of the package.

Every message says what must hold, what was found, and where (file, HDU, key).
"""

__all__ = ["InputError", "MapMismatchError", "MissingProductError", "VmpzError"]


class VmpzError(Exception):
    """Base of every error that the package raises on purpose."""


class InputError(VmpzError):
    """An input (file, header, plane, table, descriptor) does not hold what it must."""


class MapMismatchError(VmpzError):
    """Two maps, tables or products that must agree (order, convention, bits, units) do not."""


class MissingProductError(VmpzError):
    """A product that is needed does not exist in the store."""
