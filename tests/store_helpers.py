"""Small stores with known maps, without a survey behind them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from vmpz import io
from vmpz.files.write import write_text
from vmpz.products import Product, ProductKey, Provenance
from vmpz.run.store import Entry, Store
from vmpz.run.summaries import summary_of
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap

CREATED = datetime(2026, 1, 1, tzinfo=UTC)
TILE_ORDER = 6
KEY = ProductKey("102018211", "depth", instrument="VIS", band="VIS", order=14, release="0.1")


def provenance(recipe: str = "depth", number: int = 0, **parameters: object) -> Provenance:
    """Provenance whose digest follows from the parameters."""
    instant = CREATED + timedelta(microseconds=number)
    return Provenance(recipe, 1, parameters, {"a.fits": "x"}, {"vmpz": "0"}, instant)


def writer(name: str, text: str):
    """Writes one text file into a product's folder."""

    def write(folder: Path) -> list[Path]:
        write_text(folder / name, text)
        return [folder / name]

    return write


def sky_map(tile: int, order: int = 11, share: float = 0.7, seed: int = 0) -> SkyMap:
    """Values in (0, 1] on a random share of the cells of a tile, which is a cell of order 6."""
    rng = np.random.default_rng([tile, seed])
    cells = CellSet.from_cells(TILE_ORDER, [tile]).at_order(order).cells()
    cells = cells[rng.random(cells.size) < share]
    return SkyMap.from_cells(order, cells, (rng.integers(1, 1001, cells.size) / 1000).astype(np.float32))


def tile_key(tile: int, kind: str, band: str = "VIS", order: int = 11, **fields: str) -> ProductKey:
    return ProductKey(str(tile), kind, instrument="VIS", band=band, order=order, release="0.1", **fields)


def put_map(
    store: Store, key: ProductKey, one: SkyMap, recipe: str | None = None, number: int = 0, **maps: SkyMap
) -> Entry:
    """Store a map (and further columns) as a partial HEALPix file with its descriptor."""
    source = provenance(
        recipe or key.kind, number, cells=one.cells.digest, values=one.values.tobytes().hex()[:64]
    )
    unit = "mag" if key.kind == "depth" else ""
    words = {"LISTID": key.area} if recipe == "merge" else {}
    product = Product(key, {"WEIGHT": one, **maps}, None, words, unit, source)
    return store.put(
        key, source, lambda folder: io.write(product, folder), empty=not len(one), summary=summary_of(product)
    )


def fill(
    store: Store, tiles: Sequence[int], bands: Sequence[str] = ("VIS", "NIR_H"), order: int = 11
) -> None:
    """Depth, coverage, a bit mask and an info map of every tile and band."""
    for number, tile in enumerate(tiles):
        for place, band in enumerate(bands):
            one = sky_map(tile, order, seed=place)
            count = 10 * number + 100 * place
            put_map(store, tile_key(tile, "coverage", band, order, selection="INVALID"), one, number=count)
            deep = SkyMap(one.cells, (24 + one.values).astype(np.float32))
            put_map(store, tile_key(tile, "depth", band, order, selection="INVALID"), deep, number=count + 1)
            noise = tile_key(tile, "info", band, order, quantity="Noise", statistic="RMSQ")
            put_map(store, noise, sky_map(tile, order, 0.5, seed=10 + place), number=count + 2)
            flags = sky_map(tile, order, 0.1, seed=20 + place)
            key = tile_key(tile, "bitmask", band, order, selection="SAT")
            put_map(store, key, flags, number=count + 3, BIT01=SkyMap(flags.cells, flags.values / 2))
