"""HiPS of the maps of a viewer, made when a map is first chosen and kept by what it is made of.

The pieces of a map are merged into one file as `vmpz merge` does, and its rows are cut into tiles, so memory is set by
the ranges of its cells (16 bytes each) and a block of the sky, never by the number of tiles. Files in other forms than
ours need the map in memory.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

import numpy as np

from vmpz import io
from vmpz.io.hips import write_hips, write_picture
from vmpz.io.rows import RowsFile, open_rows
from vmpz.make.merge import merge
from vmpz.parameters import MapParameters
from vmpz.products import Product
from vmpz.run.named import JOINED
from vmpz.run.store import Store
from vmpz.run.tasks import merge_files
from vmpz.run.viewing.maps import ListedMap, opened
from vmpz.sky.skymap import SkyMap

__all__ = ["Pictures"]

VERSION = 1
"""Of the way in which they are made."""


class Pictures:
    """HiPS folders of maps, one made at a time.

    Parameters
    ----------
    store : Store
    folder : Path
        Where they are kept.
    """

    def __init__(self, store: Store, folder: Path) -> None:
        self._store, self._folder = store, folder
        self._making = Lock()

    def of(self, one: ListedMap) -> Path:
        """The HiPS folder of a map; made if it is not there.

        Raises
        ------
        InputError
            A file of the map cannot be read.
        MapMismatchError
            Its pieces do not fit together.
        MissingProductError
            A product is no longer there.
        StorageError
            The folder cannot be written.
        """
        path = self._folder / f"{_digest(one)}.hips"
        with self._making:
            if not (path / "properties").is_file():
                with _joined(self._store, one, self._folder) as source:
                    _write(source, one.column, path)
        return path

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """Nothing is being made inside: waits for what is."""
        with self._making:
            yield


def _digest(one: ListedMap) -> str:
    parts = [str(VERSION), one.column, *sorted(f"{row['key']} {row['digest']}" for row in one.rows)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:40]


@contextmanager
def _joined(store: Store, one: ListedMap, folder: Path) -> Iterator[RowsFile | Product]:
    """All pieces of a map as one: a file while inside, or a product."""
    pieces = [opened(store, row) for row in one.rows]
    files = [piece for piece in pieces if isinstance(piece, RowsFile)]
    if len(pieces) == 1:
        yield pieces[0]
    elif len(files) == len(pieces):
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".merging.", suffix=".part", dir=folder) as aside:
            path = Path(aside) / "merged.fits"
            merge_files([str(file.path) for file in files], path, allow_mixed=True)
            yield open_rows(path) or io.read(path)
    else:
        yield merge([io.read(one.path) if isinstance(one, RowsFile) else one for one in pieces], JOINED)


def _write(source: RowsFile | Product, column: str, path: Path) -> None:
    if isinstance(source, RowsFile):
        write_picture(source, path, column)
        return
    chosen = source.maps[column]
    picture = SkyMap(chosen.cells, chosen.values.astype(np.float32))
    write_hips(replace(source, maps={"WEIGHT": picture}), path, MapParameters(write_zeros=True))
