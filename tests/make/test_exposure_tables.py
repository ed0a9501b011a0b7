"""Exposure maps against what a cell-centre code makes of the same table, in plain numpy, great circle by great circle.

Where a cell lies wholly inside some outlines and wholly outside all others, shares are 0 or 1 and the number of
exposures, total time, means weighted or not, extremes and their exposures have closed forms at the centre of the cell.
"""

import numpy as np
import pytest

from sky_helpers import tangent_square
from vmpz.frames import Exposures
from vmpz.make.exposuremaps import exposure_values
from vmpz.make.info import exposure_map
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.covers import unit_vectors
from vmpz.sky.regions import Polygon, cells_touched

ORDER = 13
PLACES = [(58.0, -51.0), (0.0, 0.0), (45.0, 41.81), (90.0, 66.0), (12.0, 89.9)]


def table(place, count=25, seed=4):
    """Turned squares around one place, and what a table of exposures says of them."""
    random = np.random.default_rng(seed)
    east = min(0.3 / np.cos(np.radians(place[1])), 180.0)
    corners = []
    for _ in range(count):
        lon, lat = (
            place[0] + random.uniform(-east, east),
            np.clip(place[1] + random.uniform(-0.3, 0.3), -90, 90),
        )
        square = tangent_square(lon, lat, random.uniform(0.15, 0.4), random.uniform(0.0, 90.0))
        corners.append(square)
    scalars = {
        "ExposureTime": random.uniform(30.0, 600.0, count),
        "Seeing": random.uniform(0.5, 1.5, count),
        "Weight": random.uniform(0.1, 2.0, count),
        "Airmass": random.uniform(1.0, 2.0, count),
    }
    return Exposures(tuple(f"exposure {k}" for k in range(count)), np.array(corners), scalars)


def seen(exposures):
    """Cells that every outline holds wholly or not at all, and which (exposures, cells), by half spaces alone."""
    cells = CellSet.union([cells_touched(Polygon(one), ORDER) for one in exposures.corners]).cells()
    centre = unit_vectors(*hpx.centres(cells, ORDER))
    corner = unit_vectors(*hpx.vertices(cells, ORDER))
    reach = 1.1 * np.linalg.norm(corner - centre[:, np.newaxis], axis=2).max()
    inside, certain = [], np.ones(cells.size, bool)
    for outline in unit_vectors(exposures.corners[..., 0], exposures.corners[..., 1]):
        normal = np.cross(outline, np.roll(outline, -1, axis=0))
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        normal *= np.sign(normal @ outline.mean(axis=0))[:, np.newaxis]
        height = (centre @ normal.T).min(axis=1)
        inside.append(height > 0.0)
        certain &= np.abs(height) > reach
    inside = np.array(inside)
    certain &= inside.any(axis=0)
    return CellSet.from_cells(ORDER, cells[certain]), inside[:, certain]


def closed_forms(inside, value, weight):
    """What a code that looks at cell centres makes of a column."""
    held = np.where(inside, value[:, np.newaxis], np.nan)
    number = inside.sum(axis=0)
    share = inside * weight[:, np.newaxis]
    mean = np.nansum(held, axis=0) / number
    return {
        "COUNT": number,
        "SUM": np.nansum(held, axis=0),
        "MEAN": mean,
        "WMEAN": np.nansum(held * share, axis=0) / share.sum(axis=0),
        "MIN": np.nanmin(held, axis=0),
        "MAX": np.nanmax(held, axis=0),
        "STD": np.sqrt(np.nansum((held - mean) ** 2, axis=0) / number),
        "RMSQ": np.sqrt(np.nansum(held**2, axis=0) / number),
        "MEDIAN": np.nanmedian(held, axis=0),
        "ARGMIN": np.nanargmin(held, axis=0) + 1,
        "ARGMAX": np.nanargmax(held, axis=0) + 1,
    }


@pytest.mark.parametrize("place", PLACES)
def test_number_time_and_seeing_are_those_at_cell_centres(place):
    exposures = table(place)
    cells, inside = seen(exposures)
    assert len(cells) > 300 and inside.sum(axis=0).max() > 5
    number = exposure_values(exposures, "Exposures", "SUM", cells)
    assert number == pytest.approx(inside.sum(axis=0), rel=1e-12)
    for name in ("ExposureTime", "Seeing"):
        expected = closed_forms(inside, exposures.scalars[name], exposures.scalars["Weight"])
        for statistic, values in expected.items():
            found = exposure_values(exposures, name, statistic, cells)
            assert found == pytest.approx(values, rel=1e-12, abs=1e-12), (name, statistic)


def test_without_weights_a_weighted_mean_is_weighted_by_time():
    exposures = table(PLACES[0])
    scalars = {name: values for name, values in exposures.scalars.items() if name != "Weight"}
    cells, inside = seen(exposures)
    found = exposure_values(Exposures(exposures.ids, exposures.corners, scalars), "Seeing", "WMEAN", cells)
    expected = closed_forms(inside, scalars["Seeing"], scalars["ExposureTime"])["WMEAN"]
    assert found == pytest.approx(expected, rel=1e-12)


def test_maps_are_those_values_in_their_type_and_absent_where_nothing_sees():
    exposures = table(PLACES[0])
    cells, inside = seen(exposures)
    wider = cells | CellSet.from_cells(ORDER, [0, 1, 2])
    sky_map = exposure_map(exposures, "ExposureTime", "SUM", wider)
    assert sky_map.cells == cells
    expected = closed_forms(inside, exposures.scalars["ExposureTime"], np.ones(len(exposures)))["SUM"]
    assert sky_map.values == pytest.approx(expected.astype(sky_map.values.dtype), rel=1e-6)
    shuffled = np.random.default_rng(1).permutation(len(exposures))
    assert exposure_map(exposures[shuffled], "Seeing", "MAX", wider) == exposure_map(
        exposures, "Seeing", "MAX", wider
    )
