"""Other people's software on the same questions: cells of positions, fills of polygons, multi-order maps."""

import astropy.units as u
import astropy_healpix
import cdshealpix.nested
import healpix_geo.nested
import numpy as np
import pytest
from astropy.coordinates import Latitude, Longitude, SkyCoord
from astropy.table import Table
from mocpy import MOC

from sky_helpers import tangent_square
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.multiorder import from_multiorder, to_multiorder
from vmpz.sky.regions import Polygon, cells_inside, cells_touched, covered_fractions
from vmpz.sky.skymap import SkyMap

PLACES = [
    (57.9988, -51.5884),
    (0.0, 0.0),
    (45.0, 41.81),
    (45.0, 20.0),
    (90.0, 60.0),
    (0.02, -20.0),
    (12.0, 89.95),
]


def grid():
    """Random positions, the poles, RA 0/360, and points a nano-degree beside borders."""
    random = np.random.default_rng(11)
    lon, lat = random.uniform(0, 360, 3000), np.degrees(np.arcsin(random.uniform(-1, 1, 3000)))
    special = [
        (0, 90),
        (123, 90),
        (0, -90),
        (360, 10),
        (0, 10),
        (359.9999999, -5),
        (45, 41.8103),
        (90, 0),
        (12.5, 89.999999),
    ]
    corners = hpx.vertices(random.integers(0, hpx.number_of_cells(4), 40), 4, 3)
    nudge = np.array([[1e-9, 1e-9], [-1e-9, 1e-9]])
    near = [(corners[0].ravel() + a, np.clip(corners[1].ravel() + b, -90, 90)) for a, b in nudge]
    return (
        np.concatenate((lon, [one[0] for one in special], *(one[0] for one in near))) % 360,
        np.concatenate((lat, [one[1] for one in special], *(one[1] for one in near))),
    )


def off_borders(lon, lat, order):
    """Positions farther than 1e-9 degrees from any border: ties are allowed on them."""
    _, x, y = hpx.face_coordinates(lon, lat)
    near = 3e-11 * 2**order
    return np.all([np.abs(v * 2**order - np.rint(v * 2**order)) > near for v in (x, y)], axis=0)


@pytest.mark.parametrize("order", [0, 1, 4, 12, 14, 20, 24])
def test_1_cells_of_positions(order):
    lon, lat = grid()
    ours, clear = hpx.cells_at(lon, lat, order), off_borders(lon, lat, order)
    healpix = astropy_healpix.HEALPix(2**order, order="nested")
    others = {
        "astropy_healpix": healpix.lonlat_to_healpix(lon * u.deg, lat * u.deg),
        "cdshealpix": cdshealpix.nested.lonlat_to_healpix(Longitude(lon, u.deg), Latitude(lat, u.deg), order),
        "healpix_geo": healpix_geo.nested.lonlat_to_healpix(lon, lat, order, "sphere"),
    }
    for name, other in others.items():
        assert np.array_equal(ours[clear], np.asarray(other, np.int64)[clear]), name
    assert clear.mean() > 0.5


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")  # where there is no neighbour
@pytest.mark.parametrize("order", [0, 1, 3, 14, 29])
def test_1_neighbours(order):
    cells = hpx.cells_at(*grid(), order) if order > 3 else np.arange(hpx.number_of_cells(order))
    found = hpx.neighbours(cells, order)
    theirs = astropy_healpix.HEALPix(2**order, order="nested").neighbours(cells).T
    south_east_last = [3, 5, 6, 7, 4, 2, 1, 0]  # theirs begin in the south-west and turn with the clock
    assert np.array_equal(found[:, south_east_last], theirs)
    across = found[:, hpx.EDGES]
    assert across.min() >= 0 and np.all(
        (hpx.neighbours(across, order)[:, hpx.EDGES] == np.repeat(cells, 4)[:, None]).any(axis=1)
    )


@pytest.mark.gpl
@pytest.mark.parametrize("order", [0, 1, 4, 12, 14, 20, 24])
def test_1_cells_of_positions_gpl(order):
    healpy, hpgeom = pytest.importorskip("healpy"), pytest.importorskip("hpgeom")
    lon, lat = grid()
    ours, clear = hpx.cells_at(lon, lat, order), off_borders(lon, lat, order)
    assert np.array_equal(ours[clear], healpy.ang2pix(2**order, lon, lat, nest=True, lonlat=True)[clear])
    assert np.array_equal(ours[clear], hpgeom.angle_to_pixel(2**order, lon, lat)[clear])
    cells = np.unique(ours)
    assert np.allclose(
        healpy.pix2ang(2**order, cells, nest=True, lonlat=True)[1], hpx.centres(cells, order)[1], atol=1e-9
    )


@pytest.mark.gpl
@pytest.mark.parametrize("place", PLACES)
def test_2_centre_in_fill(place):
    healpy, hpgeom = pytest.importorskip("healpy"), pytest.importorskip("hpgeom")
    outline = tangent_square(*place, 0.5, 20.0)
    for order in (9, 12):
        ours = cells_inside(Polygon(outline), order).cells()
        assert np.array_equal(
            ours, np.sort(hpgeom.query_polygon(2**order, *outline.T, inclusive=False, nest=True))
        )
        vectors = healpy.ang2vec(*outline.T, lonlat=True)
        assert np.array_equal(
            ours, np.sort(healpy.query_polygon(2**order, vectors, inclusive=False, nest=True))
        )


@pytest.mark.parametrize("place", PLACES)
def test_3_touching_fill(place):
    outline = tangent_square(*place, 0.5, 20.0)
    order = 11
    polygon = Polygon(outline)
    ours = cells_touched(polygon, order)
    lon, lat = Longitude(outline[:, 0], u.deg), Latitude(outline[:, 1], u.deg)
    moc = CellSet.from_moc(MOC.from_polygon(lon, lat, max_depth=order), order)
    flat, _, _ = cdshealpix.nested.polygon_search(lon, lat, order, flat=True)
    geo, _, _ = healpix_geo.nested.polygon_coverage(outline, order, ellipsoid="sphere", flat=True)
    for other in (
        moc,
        CellSet.from_cells(order, flat.astype(np.int64)),
        CellSet.from_cells(order, np.asarray(geo).astype(np.int64)),
    ):
        assert other == ours
    assert not cells_inside(polygon, order) - ours


@pytest.mark.gpl
@pytest.mark.parametrize("place", PLACES[:6])
def test_3_touching_fill_lies_inside_hpgeom_inclusive(place):
    hpgeom = pytest.importorskip("hpgeom")
    outline = tangent_square(*place, 0.5, 20.0)
    inclusive = hpgeom.query_polygon(2**11, *outline.T, inclusive=True, fact=8, nest=True)
    assert not cells_touched(Polygon(outline), 11) - CellSet.from_cells(11, inclusive)


@pytest.mark.parametrize("order", [14])
def test_4_counts_of_deeper_cells_converge_to_the_share(order):
    outline = Polygon(tangent_square(57.9988, -51.5884, 0.01, 20.0))
    share = covered_fractions(outline, order)
    worst = []
    for deeper in (3, 6):
        cells, counts = np.unique(
            cells_inside(outline, order + deeper).cells() >> 2 * deeper, return_counts=True
        )
        worst.append(
            np.abs(
                SkyMap.from_cells(order, cells, counts / 4**deeper).of_cells(share.cells.cells(), 0.0)
                - share.values
            ).max()
        )
    assert worst[1] < 0.012 and worst[1] < worst[0] / 4


def weighted():
    """A map with equal neighbours, and its multi-order form."""
    share = covered_fractions(Polygon(tangent_square(10.0, -2.0, 2.0)), 8)
    return share, *to_multiorder(share)


def test_8_weighted_moc_in_mocpy():
    share, uniq, values = weighted()
    table = Table({"UNIQ": uniq, "WEIGHT": values})
    moc = share.cells.to_moc()
    found, areas = moc.values_and_weights_in_multiordermap(table, "WEIGHT")
    assert sorted(found.tolist()) == sorted(values.tolist())
    assert np.sum(found * areas) == pytest.approx(np.radians(1) ** 2 * share.integral_deg2(), rel=1e-12)
    orders, cells = hpx.from_uniq(uniq)
    assert (
        CellSet.from_moc(
            MOC.from_healpix_cells(cells.astype(np.uint64), orders.astype(np.uint8), max_depth=8), 8
        )
        == share.cells
    )
    assert moc.sum_in_multiordermap(table, "WEIGHT") == pytest.approx(np.sum(values), rel=1e-12)


@pytest.mark.gpl
def test_8_and_9_weighted_moc_in_mhealpy():
    mhealpy = pytest.importorskip("mhealpy")
    share, uniq, values = weighted()
    theirs = mhealpy.HealpixMap(values, uniq, density=True)
    every = hpx.centres(share.cells.cells(), 8)
    pixels = theirs.ang2pix(*every, lonlat=True)
    assert np.array_equal(np.asarray(theirs.data)[pixels], share.values)
    moc = mhealpy.HealpixMap.moc_from_pixels(16, [1000, 1001], nest=True)
    data = np.arange(moc.npix, dtype=float)
    back = from_multiorder(moc.uniq, data)
    orders, cells = hpx.from_uniq(moc.uniq)
    assert back.order == 4 and back.cells == CellSet.everything(4)
    assert back.at(*hpx.centres(cells[3:4], int(orders[3])))[0] == data[3]


def test_26_union_of_tiles_is_the_sum_of_their_mocs():
    outlines = [Polygon(tangent_square(10.0 + 0.4 * k, -2.0, 0.5)) for k in range(6)]
    sets = [cells_touched(one, 10) for one in outlines]
    random = np.random.default_rng(2)
    expected = sets[0].to_moc()
    for one in sets[1:]:
        expected = expected.union(one.to_moc())
    for _ in range(5):
        random.shuffle(sets)
        total = CellSet.union(sets)
        assert total.to_moc() == expected and CellSet.from_moc(expected, 10) == total


def test_coordinates_of_astropy_are_taken_as_they_are():
    position = SkyCoord([10.0, 200.0] * u.deg, [20.0, -30.0] * u.deg)
    assert np.array_equal(
        hpx.cells_at(position.ra.deg, position.dec.deg, 9),
        astropy_healpix.HEALPix(512, order="nested", frame="icrs").skycoord_to_healpix(position),
    )
