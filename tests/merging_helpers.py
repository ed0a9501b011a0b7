"""Tiles of one's own and their files, for the tests of merging."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

import io_helpers
from vmpz import io
from vmpz.make.merge import Merge
from vmpz.parameters import MapParameters
from vmpz.products import Product, Scalar
from vmpz.run.merging import Made, add_files, merge_files_to
from vmpz.run.tasks import merge_files
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap

PROVENANCE = io_helpers.provenance()
ORDER = 12
BLOCK = 4**9
"""Cells of a block, and of a unit of a map of order 12 that is not degraded below order 3."""


def streamed(
    out: Path, paths: list[Path], weights: list[Path] = (), maps: MapParameters | None = None, **more
) -> Made:
    """Merge files with a fixed provenance."""
    tiles, shares = Merge(), Merge()
    add_files(tiles, paths)
    add_files(shares, weights)
    return merge_files_to(out, tiles, shares, "CONCAT", maps or MapParameters(), PROVENANCE, **more)


def tile(
    number: int,
    cells: object,
    kind: str = "coverage",
    value: float | None = None,
    words: Mapping[str, Scalar] | None = None,
    **fields: object,
) -> Product:
    """A tile product; its values are fixed by its number unless one is given."""
    where = CellSet.from_cells(ORDER, np.concatenate([np.atleast_1d(one) for one in cells]))
    values = np.random.default_rng(number).integers(1, 64, len(where)).astype(np.float32) / 64
    values = values + 24 if kind == "depth" else values
    values = values if value is None else np.full(len(where), value, np.float32)
    rule = (
        {"WGTKIND": "MAG", "DEGRULE": "LOGQUAD"}
        if kind == "depth"
        else {"WGTKIND": "OBSFRAC", "DEGRULE": "COVERAGE"}
    )
    areas = {} if kind == "depth" else {
        "TILEAREA": where.area_deg2, "OBSAREA": SkyMap(where, values).integral_deg2()
    }  # fmt: skip
    unit = "mag" if kind == "depth" else ""
    key = io_helpers.key(kind, **{"area": str(100000000 + number), "order": ORDER, **fields})
    provenance = io_helpers.provenance(inputs={"tile": f"{number} {value}"})
    told = {**io_helpers.COMMON, **rule, **areas, **(words or {})}
    return Product(key, {"WEIGHT": SkyMap(where, values)}, None, told, unit, provenance)


def files_of(products: list[Product], folder: Path) -> list[str]:
    return [str(io.write_file(one, folder / f"{one.key.area}.fits")) for one in products]


SPREAD = [
    [np.arange(0, 300)], [np.arange(300, 500), BLOCK + np.arange(50)], [3 * BLOCK + np.arange(100)],
    [20 * BLOCK + np.arange(60)], [BLOCK + np.arange(60, 90), 21 * BLOCK - np.arange(1, 30)],
]  # fmt: skip
"""Tiles over the units 0, 1, 3 and 20 of a map at its own order."""


def from_scratch(paths: list[str], folder: Path, **more: object) -> bytes:
    merge_files(paths, folder / "fresh" / "a.fits", **more)
    return (folder / "fresh" / "a.fits").read_bytes()


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-2870] ^= 1
    path.write_bytes(content)
