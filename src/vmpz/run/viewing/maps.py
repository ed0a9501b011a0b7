"""The maps that a viewer lists: every map of a store's tiles (or of an area), and the further columns of each.

Maps are called as in expressions (`vmpz.run.query`). What is listed is the store as it was when it was looked at: a
product that is remade later is seen by who looks again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from vmpz import io
from vmpz.errors import MissingProductError
from vmpz.io.rows import RowsFile, open_rows
from vmpz.make.scene import FRACTIONS
from vmpz.products import SUBCELL, Product, ProductKey, Scalar
from vmpz.run.index import Row
from vmpz.run.mapfiles import map_path
from vmpz.run.query import StoredMap, Wanted, stored_maps
from vmpz.run.store import Store

__all__ = ["ListedMap", "listed_maps", "opened"]


@dataclass(frozen=True)
class ListedMap:
    """One map, or one further column of it.

    Attributes
    ----------
    name : str
        depth_VIS, bitmask_VIS_BIT03.
    column : str
        WEIGHT, BIT03, ...
    key : ProductKey
        Of its first piece.
    unit : str
    keywords : mapping
        Of its first piece.
    rows : tuple of Row
        Its pieces: rows of the index, one an area.
    """

    name: str
    column: str
    key: ProductKey
    unit: str
    keywords: Mapping[str, Scalar]
    rows: tuple[Row, ...]

    @property
    def is_fraction(self) -> bool:
        """Whether a cell that is not listed counts as 0."""
        return (self.column == "WEIGHT" and self.keywords.get("WGTKIND") in FRACTIONS) or self.is_bit

    @property
    def is_bit(self) -> bool:
        """Whether it is the column of one flag bit."""
        return self.key.kind == "bitmask" and self.column != "WEIGHT"

    @property
    def bit_name(self) -> str:
        """Name of the bit, '' where it is none or has no name."""
        return str(self.keywords.get(f"BITN{self.column.removeprefix('BIT')}", "")) if self.is_bit else ""

    @property
    def ends(self) -> tuple[float, float] | None:
        """Smallest and largest value of the map; of columns nothing is known."""
        low = [row["minimum"] for row in self.rows if row["minimum"] is not None]
        high = [row["maximum"] for row in self.rows if row["maximum"] is not None]
        return (min(low), max(high)) if low and high and self.column == "WEIGHT" else None


def listed_maps(store: Store, wanted: Wanted) -> list[ListedMap]:
    """All maps that are asked for, in the order of their names, each followed by its columns.

    Raises
    ------
    InputError
        There is no such store, or no map that is asked for.
    MissingProductError
        A product of the index is no longer there.
    """
    return [one for stored in stored_maps(store, wanted) for one in _columns_of(store, stored)]


def _columns_of(store: Store, stored: StoredMap) -> list[ListedMap]:
    first = opened(store, stored.rows[0])
    key = ProductKey.parse(stored.rows[0]["key"])
    names = list(first.maps) if isinstance(first, Product) else list(first.row_type.names or ())[1:]
    return [
        ListedMap(
            stored.name if column == "WEIGHT" else f"{stored.name}_{column}", column, key,
            first.unit if column == "WEIGHT" else "", first.keywords, stored.rows,
        )
        for column in names
        if column != SUBCELL  # bits, of no use as a number
    ]  # fmt: skip


def opened(store: Store, row: Row) -> RowsFile | Product:
    """The product of a row of the index: mapped where it is a file of ours, else read.

    Raises
    ------
    InputError
        The file cannot be read.
    MissingProductError
        It is no longer there.
    """
    key = ProductKey.parse(row["key"])
    entry = store.entry(key)
    if entry is None or entry.digest != row["digest"]:
        raise MissingProductError(
            f"{store.root}: {key} must be there as it was when the viewer started, found it remade or gone: "
            "start the viewer again"
        )
    path = map_path(entry)
    file: Any = open_rows(path) if path.name.endswith(".fits") else None
    return replace(io.read(path), key=key) if file is None else file
