"""Rows of maps by place: of one file or of the tiles of a survey, whatever their number, without reading them whole.

Headers are read once a process, rows are mapped when a place is looked at, and what was not looked at for long is let
go. What is found depends on the cells alone, not on how they are spread over files.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import MapMismatchError
from vmpz.kernels.rows import first_row
from vmpz.make.joining import MOST_LOADED, Words, block_order, native
from vmpz.make.merge import Merge
from vmpz.products import Scalar
from vmpz.run.merging import add_files
from vmpz.run.outside import stamp_of

__all__ = ["MapRows", "forget_replaced", "map_rows"]


class MapRows:
    """A map in files on disjoint cells.

    Parameters
    ----------
    paths : sequence of Path
        Products of one kind, band and order that may be merged (`vmpz.make.agreement`), in any order.

    Raises
    ------
    InputError
        A file is no product.
    MapMismatchError
        Two must not be merged; the message names both.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._merge = Merge()
        add_files(self._merge, paths)
        self.key = self._merge.head.key
        self.order = self.key.order
        self.unit = self._merge.agreement.unit
        self.row_type = self._merge.head.row_type
        self.shift = 2 * (self.order - block_order(self.order))
        self._blocks: dict[int, list[tuple[int, int, int]]] = {}
        for place, source in enumerate(self._merge.sources):
            for block, first, end in source.places:
                self._blocks.setdefault(block, []).append((place, first, end))
        self._loaded: OrderedDict[int, Words] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def identities(self) -> dict[str, str]:
        """Identity of every file by key and name."""
        return {f"{one.key.text}/{Path(one.name).name}": one.identity for one in self._merge.sources}

    @property
    def verified(self) -> bool:
        """Whether every input of the files carried a checksum that held."""
        return self._merge.agreement.verified

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns beside PIXEL; WEIGHT first."""
        return tuple(self.row_type.names or ())[1:]

    @property
    def blocks(self) -> list[int]:
        """Cells of `block_order` that hold rows, ascending."""
        return sorted(self._blocks)

    def keywords(self, area: str) -> dict[str, Scalar]:
        """Keywords of the map as a whole."""
        return self._merge.agreement.keywords(area)

    def between(self, begin: int, end: int) -> Mapping[str, NDArray[np.generic]]:
        """Rows of the cells in [begin, end), ascending: native arrays by column, PIXEL among them.

        Raises
        ------
        MapMismatchError
            Two files list one cell; the message names both.
        """
        parts, names = [], []
        for block in range(begin >> self.shift, ((end - 1) >> self.shift) + 1):
            for place, first, last in self._blocks.get(block, ()):
                rows = self._rows(place)
                low = first_row(rows[first:last], begin, 0)
                high = first_row(rows[first:last], end, low)
                if high > low:
                    parts.append(rows[first + low : first + high])
                    names.append(self._merge.sources[place].name)
        records = [part.view(self.row_type).ravel() for part in parts]
        whole = np.concatenate(records) if records else np.empty(0, self.row_type)
        found = {name: native(whole[name]) for name in self.row_type.names or ()}
        return found if len(parts) < 2 else _ascending(found, [len(one) for one in records], names)

    def values(self, cells: NDArray[np.int64], column: str = "WEIGHT") -> NDArray[np.float64]:
        """Values of ascending cells of the map's own order, float64 (n,); NaN where there is none."""
        values = np.full(cells.size, np.nan)
        if cells.size:
            found = self.between(int(cells[0]), int(cells[-1]) + 1)
            pixel = found["PIXEL"]
            place = np.minimum(np.searchsorted(pixel, cells), max(pixel.size - 1, 0))
            there = pixel[place] == cells if pixel.size else np.zeros(cells.size, bool)
            values[there] = found[column][place[there]]
        return values

    def _rows(self, place: int) -> Words:
        with self._lock:
            rows = self._loaded.pop(place, None)
            rows = self._loaded[place] = self._merge.sources[place].load() if rows is None else rows
            if len(self._loaded) > MOST_LOADED:
                self._loaded.popitem(last=False)
        return rows


def _ascending(
    found: Mapping[str, NDArray[np.generic]], lengths: Sequence[int], names: Sequence[str]
) -> dict[str, NDArray[np.generic]]:
    order = np.argsort(found["PIXEL"], kind="stable")
    pixel = found["PIXEL"][order]
    twice = np.flatnonzero(pixel[1:] == pixel[:-1])
    if twice.size:
        whose = np.repeat(np.arange(len(names)), lengths)[order[twice[0] : twice[0] + 2]]
        one, other = (names[place] for place in whose)
        raise MapMismatchError(f"{one} and {other}: cells must be disjoint, found {pixel[twice[0]]} in both")
    return {name: values[order] for name, values in found.items()}


@lru_cache(64)
def map_rows(paths: tuple[Path, ...]) -> MapRows:
    """The map in some files, opened once a process, or once more after `forget_replaced` found one replaced."""
    _stamps.update({path: stamp_of(str(path)) for path in paths})
    return MapRows(paths)


_stamps: dict[Path, tuple[int, int]] = {}
"""Of the files of all maps that were opened."""


def forget_replaced() -> None:
    """Forget all maps if a file of one was replaced since it was opened."""
    if any(stamp_of(str(path)) != stamp for path, stamp in _stamps.items()):
        _stamps.clear()
        map_rows.cache_clear()
