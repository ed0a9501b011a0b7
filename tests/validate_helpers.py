"""Maps of visibility, catalogues that follow them, and their tests in one call."""

import numpy as np
import pytest

from vmpz.make import clusterchecks, paircounts, tally
from vmpz.make.randoms import random_points, rules_of
from vmpz.make.tally import Sample, Tally
from vmpz.make.validate import Validation, tally_for, validate
from vmpz.parameters.random import RandomParameters
from vmpz.sky import hpx
from vmpz.sky.regions import Cap, cells_inside
from vmpz.sky.skymap import SkyMap


def make_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples of catalogues that are tested in a moment."""
    monkeypatch.setattr(tally, "CAPPED", 3000)
    monkeypatch.setattr(paircounts, "PAIRED_CELLS", 2500)
    monkeypatch.setattr(tally, "WIDE", 2000)
    monkeypatch.setattr(clusterchecks, "SPECTRUM_STEPS", 3e7)


def wavy(order=8, radius_deg=8.0, amplitude=0.25, lon_deg=30.0, lat_deg=20.0) -> SkyMap:
    """V between 0.6 -+ amplitude in waves of a few degrees, in a cap."""
    cells = cells_inside(Cap(lon_deg, lat_deg, radius_deg), order)
    lon, lat = hpx.centres(cells.cells(), order)
    waves = np.sin(np.radians(90.0 * lon)) * np.cos(np.radians(70.0 * lat))
    return SkyMap(cells, (0.6 + amplitude * waves).astype(np.float32))


def flat(skymap: SkyMap) -> SkyMap:
    return SkyMap(skymap.cells, np.ones(len(skymap), np.float32))


def drawn(skymap: SkyMap, number: int, seed: int, subcells: SkyMap | None = None, **more):
    """Longitudes, latitudes and weights of a catalogue of exactly so many points (unless a scheme is named)."""
    chosen = RandomParameters(**{"seed": seed, "number": number, "scheme": "exact", **more})
    points = random_points(skymap, rules_of(chosen), subcells)
    return points.lon, points.lat, points.weight


def sample(skymap: SkyMap, number: int, seed: int) -> Sample:
    lon, lat, weight = drawn(skymap, number, seed)
    return Sample(lon, lat, weight, np.zeros(lon.size), 1.0)


def judged(
    skymap: SkyMap, lon, lat, weight=None, *, number=None, total=None, cap=None, subcells=None
) -> Validation:
    """All tests of a catalogue, of which `number` rows and a sum of weights `total` are stated."""
    count = tallied(skymap, lon, lat, weight, cap=cap, subcells=subcells)
    return validate(count, skymap, number=number, weight=total, seed=99)


def tallied(skymap: SkyMap, lon, lat, weight=None, *, cap=None, subcells=None, block=7001) -> Tally:
    count = tally_for(skymap, lon.size, cap=cap, subcells=subcells)
    for start in range(0, lon.size, block):
        part = slice(start, start + block)
        count.add(lon[part], lat[part], None if weight is None else weight[part])
    return count
