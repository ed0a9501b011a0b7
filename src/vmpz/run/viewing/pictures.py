"""HiPS of the maps of a viewer, made when a map is first chosen and kept by what it is made of.

The pieces of a map are merged into one file as `vmpz merge` does, and its rows are cut into tiles, so memory is set by
the ranges of its cells (16 bytes each) and a block of the sky, never by the number of tiles. Files in other forms than
ours need the map in memory.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

from vmpz import io
from vmpz.errors import InputError
from vmpz.files.write import StorageError
from vmpz.io.hips import write_picture
from vmpz.io.rows import RowsFile, open_rows
from vmpz.make.merge import merge
from vmpz.parameters import MapParameters
from vmpz.run.mapfiles import read_map
from vmpz.run.named import JOINED
from vmpz.run.store import Store
from vmpz.run.tasks import merge_files
from vmpz.run.viewing.maps import ListedMap, opened

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
            if not _is_whole(path):
                with _joined(self._store, one, self._folder) as file:
                    self._write(file, path, one.column)
        return path

    def _write(self, file: RowsFile, path: Path, column: str) -> None:
        try:
            write_picture(file, path, column)
        except StorageError:
            if not _is_whole(path):  # else another viewer was first, and made the same
                raise

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """Nothing is being made inside: waits for what is."""
        with self._making:
            yield


def _is_whole(path: Path) -> bool:
    return (path / "properties").is_file()


def _digest(one: ListedMap) -> str:
    parts = [str(VERSION), one.column, *sorted(f"{row['key']} {row['digest']}" for row in one.rows)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:40]


@contextmanager
def _joined(store: Store, one: ListedMap, folder: Path) -> Iterator[RowsFile]:
    """All pieces of a map as one file of ours, while inside."""
    pieces = [opened(store, row) for row in one.rows]
    if len(pieces) == 1 and isinstance(pieces[0], RowsFile):
        yield pieces[0]
        return
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".merging.", suffix=".part", dir=folder) as aside:
        path = Path(aside) / "merged.fits"
        files = [piece for piece in pieces if isinstance(piece, RowsFile)]
        if len(files) == len(pieces):
            merge_files([str(file.path) for file in files], path, allow_mixed=True)
        else:
            products = [read_map(piece.path) if isinstance(piece, RowsFile) else piece for piece in pieces]
            io.write_file(merge(products, JOINED), path, maps=MapParameters(write_zeros=True))
        joined = open_rows(path)
        if joined is None:
            raise InputError(f"{one.name}: its pieces must make a partial HEALPix file, found another")
        yield joined
