"""The Euclid grid against its published numbers and real tiles; ownership as a partition of the sky."""

import math

import numpy as np
import pytest
from astropy.io.fits import Header
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from vmpz import tiles
from vmpz.errors import InputError
from vmpz.frames import image_outline
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.regions import Cap, Polygon, cells_inside, cells_touched
from vmpz.tiles import wide

WIDE = tiles.tiling("euclid-wide")
LAST_INDEX = 102000000 - 64 + 166636 - 1

LON = st.floats(0.0, 360.0, exclude_max=True)
LAT = st.floats(-90.0, 90.0)

# -- the regular grid -------------------------------------------------------------------------------------------------


def row_by_definition(lat):
    """RA step and number of tiles of a row."""
    step = 0.5 / math.cos(math.radians(abs(lat) - 0.5))
    return (1.0, 361) if abs(lat) == 60.5 else (step, math.ceil(360.0 / step))


def test_rows_hold_the_published_numbers():
    rows = [row_by_definition(-90 + 0.5 * i) for i in range(361)]
    assert sum(count for _, count in rows) == 166636
    assert rows[180][1] == 720 and rows[180][0] == pytest.approx(0.500019, abs=5e-7)
    assert rows[300][1] == 366
    assert rows[301] == rows[59] == (1.0, 361)
    step, count, before = wide._rows()
    np.testing.assert_allclose(step, [row[0] for row in rows], rtol=1e-15)
    assert count.tolist() == [row[1] for row in rows]
    assert before[-1] == 166636


def test_the_count_begins_at_dec_minus_88():
    first = tiles.tile("102000001")
    assert (first.lon_deg, first.lat_deg) == (0.0, -88.0)
    assert tiles.tile(102000000).lat_deg == -88.5
    assert tiles.tile(LAST_INDEX).lat_deg == 90.0
    for index in (102000000 - 65, LAST_INDEX + 1, "TILE1", ""):
        with pytest.raises(InputError, match="regular wide grid"):
            tiles.tile(index)


@pytest.mark.parametrize("offset, south, north", [(-63, -60.0, 60.5), (-62, 61.0, 90.0)])
def test_index_equals_the_two_forms_seen_in_real_tiles(offset, south, north):
    """With ceil taken as it comes in exact arithmetic, 360 in the rows +-60.5, the offset is -63, later -62."""
    before = 0
    for row in range(361):
        lat = -90 + 0.5 * row
        count = 360 if abs(lat) == 60.5 else row_by_definition(lat)[1]
        if south <= lat <= north:
            found = tiles.tile(102000000 + offset + before)
            assert (found.lon_deg, found.lat_deg) == (0.0, lat)
        before += count


@pytest.mark.parametrize(
    "index, lon, lat",
    [(102018211, 57.9990741, -51.5), (102158277, 273.7406439, 64.5)],
)
def test_real_tiles_stand_where_their_headers_say(index, lon, lat):
    one = tiles.tile(index)
    assert round(one.lon_deg, 7) == lon
    assert one.lat_deg == lat
    assert tiles.tile_at(lon, lat).id == str(index)


@pytest.mark.parametrize(
    "lon, lat, index", [(61.2837, -46.8110, "102022477"), (273.474451, 64.397273, "102158277")]
)
def test_positions_fall_into_the_real_tile(lon, lat, index):
    assert tiles.tile_at(lon, lat).id == index


def test_outline_is_the_archive_polygon_of_a_real_mosaic():
    """Footprint of tile 102158277 as the archive computes it from the header."""
    archive = [
        (274.3540218940251, 64.23206375763488),
        (273.1272020139886, 64.23206348982802),
        (273.11511335805267, 64.76536180261205),
        (274.366109291086, 64.76536207691132),
    ]
    np.testing.assert_allclose(tiles.tile(102158277).outline().vertices, archive, rtol=0, atol=1e-11)


@pytest.mark.parametrize("index", [102018211, 102082894, 101999937, LAST_INDEX])
def test_outline_is_that_of_the_image(index):
    one = tiles.tile(index)
    cards = {
        "CRVAL1": round(one.lon_deg, 7),
        "CRVAL2": one.lat_deg,
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
    }
    cards |= {"CRPIX1": 9600, "CRPIX2": 9600, "CD1_1": -0.1 / 3600, "CD2_2": 0.1 / 3600}
    header = Header()
    header.update(cards)
    image = image_outline(WCS(header), (19200, 19200))
    distance = np.linalg.norm(
        _vectors(*one.outline().vertices.T)[:, None] - _vectors(*image.vertices.T)[None], axis=-1
    )
    assert np.all(distance.min(axis=0) < 1e-13) and np.all(distance.min(axis=1) < 1e-13)
    assert one.outline().area_deg2 == pytest.approx(0.28443828, abs=1e-8)


@given(LON, LAT)
@settings(max_examples=200, deadline=None)
def test_every_position_has_one_tile_and_lies_in_its_core(lon, lat):
    one = tiles.tile_at(lon, lat)
    assert one.holds(lon, lat)
    assert not one.empty
    west = lon if lon < one.east_deg else lon - 360.0
    assert one.west_deg <= west < one.east_deg
    assert one.south_deg <= lat < one.north_deg


@given(st.integers(102000000 - 64, LAST_INDEX))
@settings(max_examples=200, deadline=None)
def test_core_edges_belong_to_one_side(index):
    """West and south edges belong to a tile, east and north edges to the next."""
    one = tiles.tile(index)
    if one.empty:
        return
    low, high = max(one.south_deg, -90.0), min(one.north_deg, 90.0)
    middle = 0.5 * (low + high)
    lon = np.mod(0.5 * (one.west_deg + one.east_deg), 360.0)
    assert one.holds(lon, middle)
    assert one.holds(np.mod(one.west_deg, 360.0), low) or one.west_deg < 0  # -x modulo 360 may round
    assert not one.holds(np.mod(one.east_deg, 360.0), middle)
    assert high == 90.0 or not one.holds(lon, high)
    assert one.holds(lon, np.nextafter(high, -90.0))
    assert one.id == tiles.tile_at(lon, one.lat_deg).id


@pytest.mark.parametrize("lat", [-60.5, 60.5])
def test_the_last_tile_of_the_rows_at_60_5_is_empty(lat):
    before = wide._rows()[2]
    row = round((lat + 90) / 0.5)
    last = tiles.tile(wide.FIRST_INDEX + int(before[row + 1]) - 1)
    assert last.lat_deg == lat and last.empty
    assert not WIDE.owned(last.id, 14)
    assert last.id not in {one.id for one in tiles.tiles_near(0.0, lat, 12)}
    assert int(tiles.tile_at(359.6, lat).id) == int(before[row]) + wide.FIRST_INDEX
    assert tiles.tile_at(359.4, lat).lon_deg == 359.0


def test_nearest_tiles_are_nearest():
    for lon, lat in ((0.01, 0.2), (200.0, 60.5), (10.0, 89.9), (123.0, -89.4)):
        near = tiles.tiles_near(lon, lat, 7)
        before = wide.FIRST_INDEX + wide._rows()[2]
        south, north = (int(np.clip(2 * (lat + 90 + d), 0, 360)) for d in (-2.5, 3.5))
        every = [tiles.tile(i) for i in range(before[south], before[north + 1])]
        distance = {
            one.id: math.dist(_vectors(one.lon_deg, one.lat_deg), _vectors(lon, lat))
            for one in every
            if not one.empty
        }
        assert len({one.id for one in near}) == 7
        farthest = max(distance[one.id] for one in near)
        assert sum(d < farthest - 1e-9 for d in distance.values()) < 7


# -- ownership --------------------------------------------------------------------------------------------------------

PLACES = [
    (57.9990741, -51.5),
    (0.0, 0.0),
    (359.9, 0.3),
    (359.7, 60.5),
    (0.2, -60.5),
    (10.0, 89.7),
    (77.0, -89.9),
    (45, 41.8),
]


def test_owned_cells_are_those_with_their_centre_in_the_core():
    """Against every cell of the sky and comparisons written out."""
    order = 8
    lon, lat = hpx.centres(np.arange(hpx.number_of_cells(order)), order)
    for place in PLACES:
        for one in tiles.tiles_near(*place, 9):
            east = np.where(lon < one.east_deg, lon, lon - 360.0)
            inside = (east >= one.west_deg) & (lat >= one.south_deg) & (lat < one.north_deg)
            assert WIDE.owned(one.id, order) == CellSet.from_cells(order, np.flatnonzero(inside))


@pytest.mark.parametrize("place", PLACES)
def test_owned_cells_leave_no_hole_and_no_overlap(place):
    order = 12
    region = cells_inside(Cap(*place, 0.8), order)
    index = np.unique(wide._indices(*hpx.centres(region.cells(), order)))
    parts = [WIDE.owned(str(one), order) for one in index]
    joined = CellSet.union(parts)
    assert len(joined) == sum(len(part) for part in parts)
    assert not region - joined


@pytest.mark.parametrize("order", [14, 17])
def test_deep_orders_agree_with_direct_tests_at_random_cells(order):
    rng = np.random.default_rng(order)
    for place in PLACES:
        one = tiles.tile_at(*place)
        owned = WIDE.owned(one.id, order)
        centre = np.array([one.lon_deg, one.lat_deg])
        lon = centre[0] + rng.uniform(-0.6, 0.6, 4000) * (one.east_deg - one.west_deg)
        lat = np.clip(centre[1] + rng.uniform(-0.3, 0.3, 4000), -90.0, 90.0)
        cells = hpx.cells_at(lon, lat, order)
        np.testing.assert_array_equal(owned.index(cells) >= 0, one.holds(*hpx.centres(cells, order)))
        area = math.radians(one.east_deg - one.west_deg) * (
            math.sin(math.radians(min(one.north_deg, 90))) - math.sin(math.radians(max(one.south_deg, -90)))
        )
        assert owned.area_deg2 == pytest.approx(math.degrees(math.degrees(area)), rel=16.0 / 2.0**order * 20)


def test_radius_bound_holds_for_every_cell_of_low_orders():
    for order in range(7):
        cells = np.arange(hpx.number_of_cells(order))
        lon, lat = (np.radians(a)[:, None] for a in hpx.centres(cells, order))
        vlon, vlat = (np.radians(a) for a in hpx.vertices(cells, order))
        far = np.arccos(np.sin(lat) * np.sin(vlat) + np.cos(lat) * np.cos(vlat) * np.cos(lon - vlon))
        assert np.degrees(far.max()) < wide._cell_radius_deg(order)


@pytest.mark.parametrize(
    "order, lat", [(12, 70.0), (12, -69.5), (13, 88.0), (14, 89.0), (14, 90.0), (14, -90.0)]
)
def test_owned_cells_lie_whole_inside_the_image(order, lat):
    """The outer margin completes every cell, so each is computed by one job."""
    one = tiles.tile_at(33.0, lat)
    lon, lat = hpx.vertices(WIDE.owned(one.id, order).cells(), order, 2)
    centre, east, north = tiles.tangent_frame(one.lon_deg, one.lat_deg)
    vectors = _vectors(lon, lat)
    depth = vectors @ centre
    half = math.radians(16.0 / 60.0) - math.radians(0.1 / 3600.0)
    assert np.abs(vectors @ east / depth).max() < half
    assert np.abs(vectors @ north / depth).max() < half


def _vectors(lon, lat):
    lon, lat = np.radians(lon), np.radians(lat)
    return np.stack((np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)), axis=-1)


# -- the other tilings ------------------------------------------------------------------------------------------------


def test_healpix_tiles_own_their_descendants():
    tiling = tiles.tiling("healpix", order=3)
    owned = tiling.owned("17", 5)
    assert owned.cells().tolist() == list(range(17 * 16, 18 * 16))
    assert len(tiles.tiling("healpix").owned("49151", 6)) == 1
    for name in ("768", "-1", "x"):
        with pytest.raises(InputError, match="cell of order 3"):
            tiling.owned(name, 5)
    with pytest.raises(InputError, match="working order"):
        tiling.owned("17", 2)


def test_given_cells_are_owned_at_any_order():
    areas = {one.id: WIDE.owned(one.id, 12) for one in tiles.tiles_near(0.0, -60.5, 4)}
    tiling = tiles.tiling("mer-tiles", areas=areas)
    for name, area in areas.items():
        assert tiling.owned(name, 12) == area
        assert tiling.owned(name, 14) == area.at_order(14)
        centre = hpx.centres(area.at_order(10).cells(), 10)
        expected = area.at_order(10).cells()[area.contains(centre[0], np.nextafter(centre[1], 90.0) + 1e-9)]
        assert tiling.owned(name, 10) == CellSet.from_cells(10, expected)


def test_given_cells_stay_disjoint_when_made_coarser():
    areas = {str(i): CellSet.from_cells(9, range(i, 4**9, 3)) for i in range(3)}
    tiling = tiles.tiling("mer-tiles", areas=areas)
    parts = [tiling.owned(name, 7) for name in areas]
    assert sum(len(part) for part in parts) == len(CellSet.union(parts)) == 4**7


def test_given_cells_must_not_overlap():
    areas = {
        "1": CellSet.from_cells(5, [8]),
        "2": CellSet.from_cells(6, [31, 40]),
        "3": CellSet.from_cells(4, [2]),
    }
    with pytest.raises(InputError, match=r"tiles \d and \d: inner areas must not overlap"):
        tiles.tiling("mer-tiles", areas=areas)


def test_given_polygons_and_cells_together():
    core = WIDE.owned("102018211", 12)
    outline = tiles.tile(102018211).outline()
    tiling = tiles.tiling("mer-tiles", areas={"102018211": core, "9": outline})
    assert tiling.owned("102018211", 12) == core
    assert tiling.owned("9", 12) == cells_inside(outline, 12) - core


@pytest.mark.parametrize("place", [(0.1, 10.0), (123.0, 89.9), (50.0, -30.0)])
def test_each_image_owns_what_is_nearest_to_its_centre(place):
    order = 11
    areas = {name: _square(*at) for name, at in zip("dcba", _around(*place), strict=True)}
    tiling = tiles.tiling("inputs", areas=areas)
    inside = {name: cells_touched(area, order) for name, area in areas.items()}
    centres = {name: _mean(area) for name, area in areas.items()}
    union = CellSet.union(inside.values())
    cells = union.cells()
    vectors = _vectors(*hpx.centres(cells, order))
    best, owner = np.full(cells.size, -2.0), np.full(cells.size, "-")
    for name in sorted(areas):
        near = np.where(inside[name].index(cells) >= 0, vectors @ centres[name], -3.0)
        owner[near > best + 1e-13] = name
        best = np.maximum(best, near)
    for name in areas:
        assert tiling.owned(name, order) == CellSet.from_cells(order, cells[owner == name])


def test_equally_near_centres_go_to_the_first_id():
    areas = {"b": _square(50.0, 0.0), "a": _square(50.0, 0.0)}
    tiling = tiles.tiling("inputs", areas=areas)
    assert tiling.owned("a", 10) == cells_touched(areas["a"], 10)
    assert not tiling.owned("b", 10)


def _around(lon, lat):
    """Four overlapping centres about a place."""
    centre, east, north = tiles.tangent_frame(lon, lat)
    for x, y in ((-0.002, -0.002), (0.003, -0.002), (-0.002, 0.004), (0.0025, 0.0027)):
        yield tuple(float(a) for a in wide._angles(centre + x * east + y * north))


def _square(lon, lat, half=0.005):
    centre, east, north = tiles.tangent_frame(lon, lat)
    return Polygon(
        [
            wide._angles(centre + x * half * east + y * half * north)
            for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))
        ]
    )


def _mean(polygon):
    total = _vectors(*polygon.vertices.T).sum(axis=0)
    return total / np.linalg.norm(total)


def test_unknown_tilings_and_tiles_are_refused():
    with pytest.raises(InputError, match="euclid-wide, mer-tiles, healpix, inputs"):
        tiles.tiling("sdss")
    with pytest.raises(InputError, match="no such area"):
        tiles.tiling("inputs", areas={"a": _square(0, 0)}).owned("z", 8)
    with pytest.raises(InputError, match="no such area"):
        tiles.tiling("mer-tiles", areas={}).owned("z", 8)
