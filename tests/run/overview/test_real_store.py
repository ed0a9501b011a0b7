"""The overview of a run of the simulated survey: tiles of the grid, patches, and other places of the store."""

from pathlib import Path

import fsspec
import numpy as np
import pytest

from vmpz.parameters import as_toml, load
from vmpz.run.overview.content import Overview
from vmpz.run.overview.gather import OverviewRequest, overview_of
from vmpz.run.query import Wanted
from vmpz.run.store import Store
from vmpz.tiles import tile, tiling


@pytest.fixture(scope="module")
def found(store: Path) -> Overview:
    return overview_of(Store(store))


def test_tiles_own_what_the_grid_gives_them(found: Overview) -> None:
    assert found.counts["tiles"] == 4 and len(found.outlines) == 4
    for one in found.parts:
        (order,) = {item.key.order for item in found.maps}
        own = tiling("euclid-wide").owned(one.area, order).area_deg2
        assert one.hole_deg2 is not None and one.area_deg2 + one.hole_deg2 == pytest.approx(own)
        assert one.observed_deg2 is not None and 0 < one.observed_deg2 <= one.area_deg2
        assert abs(one.lat_deg - tile(one.area).lat_deg) < 0.01


def test_seams_are_those_of_tiles_that_touch(found: Overview) -> None:
    assert found.seams and {one.seams for one in found.seam_summaries if one.name.startswith("depth")} == {4}
    for one in found.seams:
        first, other = tile(one.one), tile(one.other)
        assert abs(first.lat_deg - other.lat_deg) <= 0.5 and one.pairs >= 10 and np.isfinite(one.error)


def test_a_report_says_what_was_run(found: Overview, survey: Path) -> None:
    assert found.parameters == as_toml(load(survey))
    assert {one["recipe"] for one in found.provenance} >= {
        "footprint",
        "coverage",
        "depth",
        "merge",
        "collection",
    }
    assert sum(one["products"] for one in found.provenance) == found.counts["products"]
    assert not found.missing and found.versions["vmpz"]


def test_a_patch_shows_the_outlines_of_its_tiles(store: Path, found: Overview) -> None:
    patch = overview_of(Store(store), OverviewRequest(Wanted(areas=["demo"])))
    assert {one.key.area for one in patch.maps} == {"demo"} and list(patch.outlines) == list(found.outlines)
    assert {one.area for one in patch.parts} == {"demo"} and np.isfinite(patch.parts[0].lon_deg)
    assert not patch.seams


def test_an_object_store_tells_the_same(store: Path, found: Overview) -> None:
    there = fsspec.filesystem("memory")
    there.put(str(store), "/overview", recursive=True)
    again = overview_of(Store("memory://overview"))
    assert [one.name for one in again.maps] == [one.name for one in found.maps]
    assert all(one.picture == other.picture for one, other in zip(again.maps, found.maps, strict=True))
    assert again.parts == found.parts and again.seams == found.seams and again.parameters == found.parameters
    assert again.counts == found.counts
