"""Regions and points that are drawn over maps."""

import numpy as np
import pytest
from mocpy import MOC

import random_helpers
import store_helpers
from vmpz.errors import InputError
from vmpz.run.query import Wanted
from vmpz.run.store import Store
from vmpz.run.viewing import overlays
from vmpz.run.viewing.maps import listed_maps
from vmpz.run.viewing.overlays import Points, moc_of_file, moc_of_map
from vmpz.sky.cells import CellSet

TILES = (40000, 40001, 43000)


def cells_of(text):
    return CellSet.from_moc(MOC.from_string(text, "json"))


@pytest.fixture
def coverage(tmp_path):
    store = Store(tmp_path / "store")
    store_helpers.fill(store, TILES, ["VIS"], order=9)
    return store, listed_maps(store, Wanted(kinds=["coverage"]))[0]


def everywhere(order=9):
    return CellSet.union([store_helpers.sky_map(tile, order).cells for tile in TILES])


def test_the_region_of_a_map_is_where_it_is_above_zero(coverage):
    assert cells_of(moc_of_map(*coverage)) == everywhere()


def test_a_region_of_too_many_ranges_is_drawn_coarser_and_holds_all_of_it(coverage, monkeypatch):
    monkeypatch.setattr(overlays, "MOST_RANGES", 10)
    monkeypatch.setattr(overlays, "BATCH", 5)  # several sets on the way
    found = cells_of(moc_of_map(*coverage))
    assert 3 < found.order < 9 and len(found.ranges) <= 10
    assert not everywhere() - found.at_order(9)


def test_a_file_of_a_region(tmp_path):
    wanted = CellSet.from_cells(7, [1, 2, 9, 5000])
    wanted.to_moc().save(tmp_path / "some.moc.fits", format="fits")
    assert cells_of(moc_of_file(tmp_path / "some.moc.fits")) == wanted
    with pytest.raises(InputError, match="must be a MOC or a product"):
        moc_of_file(tmp_path / "none.fits")


@pytest.fixture
def catalogue(tmp_path):
    """Points about (58, -51.5)."""
    return random_helpers.write_fits(tmp_path / "a.fits", random_helpers.points(5000))


def test_points_inside_a_view(catalogue):
    points, arrays = Points(catalogue), random_helpers.points(5000)
    lon, lat = (arrays[name] for name in ("RIGHT_ASCENSION", "DECLINATION"))
    middle = float(lon[17]), float(lat[17])
    a, d = np.radians(lon - middle[0]), np.radians(lat)
    cosine = np.sin(d) * np.sin(np.radians(middle[1])) + np.cos(d) * np.cos(np.radians(middle[1])) * np.cos(a)
    away = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    radius = float(np.quantile(away, 0.3) + 1e-9)
    inside = away < radius
    shown = points.inside(*middle, radius)
    assert 0 < inside.sum() < 5000 == points.rows
    assert (shown.every, shown.inside) == (1, inside.sum())
    assert set(shown.lon_deg) == set(lon[inside]) and set(shown.lat_deg) == set(lat[inside])


@pytest.mark.parametrize(("kept", "step"), [(1 << 21, 1), (700, 8)])
def test_too_many_points_are_thinned_evenly_and_nested(catalogue, monkeypatch, kept, step):
    monkeypatch.setattr(overlays, "MOST_KEPT", kept)
    lon = random_helpers.points(5000)["RIGHT_ASCENSION"]
    before = None
    for most in (4000, 600, 100, 9):
        shown = Points(catalogue).inside(0.0, 0.0, 180.0, most)
        assert len(shown.lon_deg) <= most and shown.every >= step
        assert shown.every & (shown.every - 1) == 0
        np.testing.assert_array_equal(shown.lon_deg, lon[:: shown.every])
        assert abs(shown.inside - 5000) < step and (before is None or set(shown.lon_deg) <= before)
        before = set(shown.lon_deg)


def test_there_is_a_limit_whatever_is_asked_for(catalogue, monkeypatch):
    monkeypatch.setattr(overlays, "MOST_POINTS", 100)
    assert 0 < len(Points(catalogue).inside(0.0, 0.0, 180.0, 10**9).lon_deg) <= 100
    assert len(Points(catalogue).inside(0.0, 0.0, 180.0, -5).lon_deg) == 1


def test_no_catalogue(tmp_path):
    with pytest.raises(InputError):
        Points(tmp_path / "none.fits")
