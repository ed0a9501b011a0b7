"""A viewer of a store on a free port, with a region and points that coincide with a map."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import random_helpers
from vmpz import io
from vmpz.products import ProductKey
from vmpz.report.viewer.server import Viewer, viewer_of
from vmpz.run.query import Wanted
from vmpz.run.store import Store
from vmpz.run.viewing.maps import listed_maps
from vmpz.run.viewing.sky import Sky
from vmpz.sky import hpx
from vmpz.sky.skymap import SkyMap


def joined(store: Store, name: str) -> SkyMap:
    """A map over all tiles."""
    (one,) = [one for one in listed_maps(store, Wanted()) if one.name == name]
    entries = [store.entry(ProductKey.parse(row["key"])) for row in one.rows]
    return SkyMap.join([io.read(entry.path(".fits")).map for entry in entries if entry is not None])


def sky_of(root: Path, folder: Path) -> Sky:
    """All tiles; the footprint of one of them as a region, and points where the coverage is above one half."""
    store = Store(root)
    coverage = joined(store, "coverage_VIS")
    rng = np.random.default_rng(1)
    cells = rng.choice(coverage.where(coverage.values > 0.5).cells.cells(), 2000)
    lon, lat = hpx.centres(cells, coverage.order)
    arrays = random_helpers.points(cells.size)
    deep = hpx.cells_at(lon, lat, 29)
    by_cell = np.argsort(deep, kind="stable")
    arrays |= {"RIGHT_ASCENSION": lon[by_cell], "DECLINATION": lat[by_cell], "HPIX_29": deep[by_cell]}
    catalogue = random_helpers.write_fits(folder / "points.fits", arrays)
    coverage.cells.at_order(9).to_moc().save(folder / "region.moc.fits", format="fits")
    return Sky(store, regions=[folder / "region.moc.fits"], points=[catalogue], cache=folder)


@contextmanager
def serving(sky: Sky, script: Path) -> Iterator[Viewer]:
    """The server, in a thread of its own."""
    with viewer_of(sky, script) as viewer:
        thread = threading.Thread(target=viewer.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield viewer
        finally:
            viewer.shutdown()
            thread.join()
