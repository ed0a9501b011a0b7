"""Masks from catalogues: their shapes against astropy, on pixels and on cells, near and far, and what they remove."""

import itertools

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from hypothesis import given, settings
from hypothesis import strategies as st

from pass_helpers import frame_of, image_wcs
from vmpz.bits import Bit, BitTable
from vmpz.errors import InputError
from vmpz.frames import Sources, image_outline
from vmpz.make.accumulate import accumulate
from vmpz.make.bitmask import bit_maps
from vmpz.make.coverage import coverage_map
from vmpz.make.footprint import footprint_map
from vmpz.make.geometry import (
    Pointing,
    mask_columns,
    mask_fraction_map,
    radius_arcsec,
    regions_near,
    regions_of,
)
from vmpz.make.pixelmasks import PixelMasks, bounding_circles
from vmpz.make.runtable import run_table
from vmpz.parameters import MaskParameters, RadiusLaw
from vmpz.sky.cells import CellSet
from vmpz.sky.covers import unit_vectors
from vmpz.sky.regions import Cap, Polygon, cells_touched, union_fractions

PLACES = [(57.99, -51.59), (359.999, 10.0), (0.001, -0.001), (123.0, 89.99), (200.0, -90.0)]


def mask(shape, **fields):
    return MaskParameters(name="HALO", shape=shape, catalogue="stars.fits", **fields)


def sources(*positions, **columns):
    lon, lat = np.array(positions, np.float64).reshape(-1, 2).T
    return Sources(lon, lat, {name: np.array(values, np.float64) for name, values in columns.items()})


def near_points(place, reach_deg, n=4000, seed=5):
    """Points (SkyCoord) around a place, even in the tangent plane."""
    rng = np.random.default_rng(seed)
    here = SkyCoord(*place, unit="deg")
    return here.directional_offset_by(
        rng.uniform(0, 360, n) * u.deg, reach_deg * np.sqrt(rng.uniform(0, 1, n)) * u.deg
    )


def hold(regions, points):
    """Which points lie in any of the regions: by the sky's own test, which knows no pixels."""
    from vmpz.sky.regions import _boundaries

    held = np.zeros(len(points), bool)
    vectors = unit_vectors(points.ra.deg, points.dec.deg)
    for one in regions:
        held |= _boundaries([one]).hold(vectors, np.zeros(len(points), np.int64))
    return held


# -- radii ----------------------------------------------------------------------------------------------


def test_radii_follow_the_law_and_the_table():
    law = RadiusLaw(a_arcsec=1000, b=0.1, radius_min_arcsec=5, radius_max_arcsec=80)
    got = radius_arcsec(law, np.array([0.0, 12.0, 15.0, 30.0]))
    np.testing.assert_allclose(got, [80, 1000 * 10**-1.2, 1000 * 10**-1.5, 5], rtol=1e-14)
    table = RadiusLaw(table=[(10, 60), (15, 20), (18, 0)])
    np.testing.assert_allclose(
        radius_arcsec(table, np.array([-3.0, 12.5, 16.5, 18.0, 25.0])), [60, 40, 10, 0, 0]
    )
    assert np.isfinite(
        radius_arcsec(RadiusLaw(a_arcsec=1, b=9, radius_max_arcsec=7), np.array([-99.0]))
    ).all()


def test_bands_have_their_own_laws():
    stars = sources((10.0, 2.0), (11.0, 2.0), G=[10.0, 17.0])
    one = mask("disc", magnitude="G", table=[(10, 30), (17, 0)], bands={"VIS": {"a_arcsec": 7}})
    assert regions_of(one, stars, "VIS") == (
        Cap(10.0, 2.0, 7 / 3600),
        Cap(11.0, 2.0, 7 / 3600),
    ) or np.allclose([cap.radius_deg for cap in regions_of(one, stars, "VIS")], 7 / 3600)
    (disc,) = regions_of(one, stars, "NIR_Y")
    np.testing.assert_allclose(
        (disc.lon_deg, disc.lat_deg, disc.radius_deg), (10.0, 2.0, 30 / 3600), rtol=1e-14
    )
    listed = one.model_copy(update={"bands": ["VIS"]})
    assert regions_of(listed, stars, "NIR_Y") == () and len(regions_of(listed, stars, "VIS")) == 1
    alone = mask("disc", bands={"VIS": {"a_arcsec": 7}})
    assert regions_of(alone, stars, "NIR_Y") == () and len(regions_of(alone, stars, "VIS")) == 2
    assert mask_columns(one) == ("G",)


# -- shapes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES)
def test_discs_and_rings_are_circles_of_the_sphere(place):
    star, points = SkyCoord(*place, unit="deg"), near_points(place, 0.05)
    (disc,) = regions_of(mask("disc", a_arcsec=90), sources(place), "VIS")
    apart = star.separation(points).arcsec
    np.testing.assert_array_equal(hold([disc], points), apart < 90)
    (ring,) = regions_of(mask("halo", a_arcsec=90, hole=0.5), sources(place), "VIS")
    np.testing.assert_array_equal(hold([ring], points), (apart < 90) & (apart > 45))
    assert ring.area_deg2 == pytest.approx(0.75 * disc.area_deg2, rel=1e-6)


@pytest.mark.parametrize("place", PLACES[:4])
def test_halos_and_ghosts_are_displaced(place):
    star = SkyCoord(*place, unit="deg")
    one = mask("ghost", a_arcsec=20, offset_arcsec=(30, 40), angles_deg=[0, 90])
    for region, turn in zip(regions_of(one, sources(place), "VIS"), (0, 90), strict=True):
        ghost = SkyCoord(region.lon_deg, region.lat_deg, unit="deg")
        assert star.separation(ghost).arcsec == pytest.approx(50, rel=1e-9)
        want = np.degrees(np.arctan2(30, 40)) + turn
        assert (star.position_angle(ghost).deg - want + 180) % 360 - 180 == pytest.approx(0, abs=1e-6)
    axis = star.directional_offset_by(30 * u.deg, 0.2 * u.deg)
    mirrored = mask("ghost", a_arcsec=20, axis_factor=-0.5, axis_deg=(axis.ra.deg, axis.dec.deg))
    (region,) = regions_of(mirrored, sources(place), "VIS")
    want = axis.directional_offset_by(axis.position_angle(star) + 180 * u.deg, 0.1 * u.deg)
    assert want.separation(SkyCoord(region.lon_deg, region.lat_deg, unit="deg")).arcsec < 1e-6
    exposures = [Pointing(axis.ra.deg, axis.dec.deg, 10), Pointing(star.ra.deg, star.dec.deg, 20)]
    two = regions_of(mirrored, sources(place), "VIS", pointings=exposures)
    assert (
        len(two) == 2 and star.separation(SkyCoord(two[1].lon_deg, two[1].lat_deg, unit="deg")).arcsec < 1e-6
    )
    with pytest.raises(InputError, match="needs an optical axis"):
        regions_of(mask("ghost", a_arcsec=20, axis_factor=-0.5), sources(place), "VIS")


@pytest.mark.parametrize("place", PLACES[:4])
@pytest.mark.parametrize("angle", [0.0, 33.0, 250.0])
def test_ellipses_have_their_area_and_their_edge(place, angle):
    galaxy, points = SkyCoord(*place, unit="deg"), near_points(place, 0.05)
    rows = sources(place, A=[2.5], B=[1.0], PA=[angle])
    one = mask("ellipse", size="A", minor="B", angle="PA", size_unit_arcsec=60)
    (ellipse,) = regions_of(one, rows, "VIS")
    assert ellipse.area_deg2 == pytest.approx(np.pi * 2.5 / 60**2, rel=1e-5)
    along = galaxy.separation(points).arcmin * np.cos(galaxy.position_angle(points).rad - np.radians(angle))
    across = galaxy.separation(points).arcmin * np.sin(galaxy.position_angle(points).rad - np.radians(angle))
    radius = np.hypot(along / 2.5, across / 1.0)
    clear = np.abs(radius - 1) > 1e-3
    np.testing.assert_array_equal(hold([ellipse], points)[clear], (radius < 1)[clear])


@pytest.mark.parametrize("place", PLACES[:4])
@pytest.mark.parametrize("arms", [1, 2, 3, 4, 6])
def test_spikes_are_bars_from_the_star(place, arms):
    star, points = SkyCoord(*place, unit="deg"), near_points(place, 0.03)
    one = mask("spikes", a_arcsec=80, width_arcsec=10, arms=arms, angles_deg=[15])
    regions = regions_of(one, sources(place), "VIS", pointings=[Pointing(0, 0, 5)])
    assert len(regions) == (arms // 2 if arms % 2 == 0 else arms)
    apart, towards = star.separation(points).arcsec, star.position_angle(points).rad
    want = np.zeros(len(points), bool)
    for k in range(arms):
        turn = towards - np.radians(20 + 360 * k / arms)
        along, across = apart * np.cos(turn), apart * np.sin(turn)
        want |= (along > 0) & (along < 80) & (np.abs(across) < 5)
    wrong = hold(regions, points) != want
    assert want.any() and not wrong[np.abs(apart) > 1e-3].any()


@pytest.mark.parametrize("place", PLACES[:4])
def test_streaks_run_along_great_circles(place):
    begin, points = SkyCoord(*place, unit="deg"), near_points(place, 0.3)
    end = begin.directional_offset_by(70 * u.deg, 0.25 * u.deg)
    rows = sources(place, RA2=[end.ra.deg], DEC2=[end.dec.deg])
    (streak,) = regions_of(mask("streak", end=("RA2", "DEC2"), width_arcsec=60), rows, "VIS")
    apart, towards = begin.separation(points).rad, begin.position_angle(points).rad
    turn = towards - begin.position_angle(end).rad
    across = np.degrees(np.arcsin(np.sin(apart) * np.sin(turn))) * 3600
    along = np.degrees(np.arctan2(np.sin(apart) * np.cos(turn), np.cos(apart)))
    want = (np.abs(across) < 30) & (along > 0) & (along < 0.25)
    np.testing.assert_array_equal(hold([streak], points), want)
    middle = begin.directional_offset_by(70 * u.deg, 0.125 * u.deg)
    angle = middle.position_angle(end).deg
    rows = sources((middle.ra.deg, middle.dec.deg), L=[0.25], PA=[angle])
    one = mask("streak", size="L", angle="PA", size_unit_arcsec=3600, width_arcsec=60)
    (other,) = regions_of(one, rows, "VIS")
    np.testing.assert_array_equal(hold([other], points), want)


def test_polygons_and_discs_of_a_file_are_taken_as_they_are():
    regions = (Cap(10.0, 2.0, 0.1), Polygon([(20, 3), (21, 3), (21, 4)]))
    assert regions_of(mask("polygons"), regions, "VIS") == regions
    assert regions_of(mask("polygons"), regions, "VIS", near=Cap(20.5, 3.5, 0.1)) == regions[1:]
    assert regions_of(mask("polygons", bands=["VIS"]), regions, "NIR_H") == ()
    with pytest.raises(InputError, match="polygons needs regions"):
        regions_of(mask("polygons"), sources((10, 2)), "VIS")
    with pytest.raises(InputError, match="disc needs rows of a catalogue, found regions"):
        regions_of(mask("disc", a_arcsec=3), regions, "VIS")


@pytest.mark.parametrize(
    ("one", "rows", "message"),
    [
        (
            mask("disc", a_arcsec=9, b=0.1, magnitude="G"),
            sources((1, 2), R=[3]),
            "column G must be there, found R",
        ),
        (
            mask("disc", a_arcsec=9, b=0.1, magnitude="G"),
            sources((1, 2), (1, 3), G=[3, np.nan]),
            r"column G must be finite, found nan in row 2 \(1 of 2 rows\)",
        ),
        (mask("disc", a_arcsec=9), sources((1, 2), (1, 93)), "degrees on the sky, found 1.0, 93.0 in row 2"),
        (mask("disc", size="R"), sources((1, 2), R=[-1]), "no size below 0"),
        (mask("disc", size="R", size_unit_arcsec=3600), sources((1, 2), R=[190]), "at most 180 degrees"),
        (
            mask("ellipse", size="A", minor="B", angle="PA"),
            sources((1, 2), A=[1], B=[2], PA=[0]),
            "0 < minor <= size",
        ),
        (
            mask("streak", size="L", angle="PA", size_unit_arcsec=3600, width_arcsec=60),
            sources((1, 2), L=[70], PA=[3]),
            "below 59 degrees",
        ),
        (
            mask("streak", end=("A", "D"), width_arcsec=6),
            sources((1, 2), A=[181], D=[-2]),
            "must not end opposite",
        ),
    ],
)
def test_sources_that_make_no_mask_are_refused(one, rows, message):
    with pytest.raises(InputError, match=message):
        regions_of(one, rows, "VIS")


# -- near and far ---------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**32), st.sampled_from(PLACES), st.floats(-3, 1))
def test_no_mask_that_reaches_in_is_left_out(seed, place, log_size):
    """Regions kept near an outline are all that touch a cell of it, whatever their size and wherever their centre."""
    rng = np.random.default_rng(seed)
    outline = Cap(*place, 0.3)
    near = SkyCoord(*place, unit="deg").directional_offset_by(
        rng.uniform(0, 360, 12) * u.deg, rng.uniform(0, 3, 12) * u.deg
    )
    size = 10.0**log_size * rng.uniform(0.2, 1, 12)
    rows = sources(
        *zip(near.ra.deg, near.dec.deg, strict=True), R=size, B=0.3 * size, PA=rng.uniform(0, 360, 12)
    )
    cells = cells_touched(outline, 9)
    for one in (
        mask("disc", size="R", size_unit_arcsec=3600),
        mask("ellipse", size="R", minor="B", angle="PA", size_unit_arcsec=3600),
        mask("streak", size="R", angle="PA", size_unit_arcsec=3600, width_arcsec=300),
        mask("spikes", size="R", angle="PA", size_unit_arcsec=3600, width_arcsec=300, arms=3),
        mask("halo", size="R", angle="PA", size_unit_arcsec=3600, offset_arcsec=(600, 0), hole=0.3),
    ):
        everything = regions_of(one, rows, "VIS")
        inner = cells_touched(Cap(*place, 0.2), 11)
        strictly = {region for region in everything if len(cells_touched(region, 11) & inner)}
        for kept in (regions_of(one, rows, "VIS", near=outline), regions_near(everything, outline)):
            assert strictly <= set(kept) <= set(everything)
        some, whole = mask_fraction_map(everything, cells), union_fractions(everything, 9, cells)
        assert some.cells == whole.cells and np.array_equal(some.values, whole.values)


def test_bounding_circles_hold_their_regions():
    regions = [
        Cap(3.0, 4.0, 5.0), Cap(3.0, 4.0, 5.0, outside=True), Cap(3.0, 4.0, 5.0, hole_deg=1.0),
        Polygon([(359, 89), (120, 89), (240, 89.5)]), Polygon([(10, 0), (11, 0), (11, 1)], outside=True),
        Polygon([(0, 10), (100, -10), (200, 10), (300, -10)]),
    ]  # fmt: skip
    centres, reaches = bounding_circles(regions)
    np.testing.assert_array_equal(reaches == 2.0, [False, True, False, False, True, True])
    points = SkyCoord(*np.random.default_rng(2).uniform((0, -90), (360, 90), (20000, 2)).T, unit="deg")
    vectors = unit_vectors(points.ra.deg, points.dec.deg)
    for one, centre, reach in zip(regions, centres, reaches, strict=True):
        assert np.all(np.linalg.norm(vectors[hold([one], points)] - centre, axis=1) <= reach)
    assert regions_near([], regions[0]) == ()


# -- on pixels ------------------------------------------------------------------------------------------

SHAPE = (530, 140)
EVERY = (
    mask("disc", size="R", size_unit_arcsec=3600),
    mask("ellipse", size="R", minor="B", angle="PA", size_unit_arcsec=3600),
    mask("streak", size="L", angle="PA", size_unit_arcsec=3600, width_arcsec=15),
    mask("spikes", size="R", angle="PA", size_unit_arcsec=3600, width_arcsec=5),
    mask("ghost", size="R", angle="PA", size_unit_arcsec=3600, offset_arcsec=(90, 0), hole=0.6),
)


@pytest.mark.parametrize(
    ("place", "scale_arcsec"), [*((place, 1.0) for place in PLACES), (PLACES[1], 30.0), (PLACES[3], 30.0)]
)
def test_masks_hold_the_pixels_whose_centre_is_inside(place, scale_arcsec):
    """Every shape, several masks at once, across patches and edges, at the pole and at right ascension 0."""
    wcs = image_wcs(*place, 400, scale_arcsec, rotation=20)
    table = run_table(wcs, SHAPE, CellSet.everything(8))
    rng, size = np.random.default_rng(11), scale_arcsec / 3600
    reach = 280 * size
    star = SkyCoord(*place, unit="deg").directional_offset_by(
        rng.uniform(0, 360, 8) * u.deg, reach * np.sqrt(rng.uniform(0, 1, 8)) * u.deg
    )
    radius = np.array([2, 5, 20, 60, 200, 150, 0.3, 100]) * size
    rows = sources(
        *zip(star.ra.deg, star.dec.deg, strict=True),
        R=radius,
        B=0.4 * radius,
        L=3 * radius,
        PA=rng.uniform(0, 360, len(radius)),
    )
    masks = [regions_of(one, rows, "VIS", near=image_outline(wcs, SHAPE)) for one in EVERY]
    drawn = PixelMasks(table, masks)
    got = np.concatenate([drawn.draw(block.start, block.stop) for block in table.blocks])
    pixels = SkyCoord(
        *wcs.all_pix2world(*np.mgrid[: SHAPE[0], : SHAPE[1]][::-1].reshape(2, -1).astype(float), 0),
        unit="deg",
    )
    for bit, one in enumerate(EVERY):
        want = hold(regions_of(one, rows, "VIS"), pixels).reshape(SHAPE)
        assert want.any() and not want.all()
        np.testing.assert_array_equal(got >> bit & 1, want, err_msg=one.shape)


def test_what_is_outside_of_a_region_is_drawn_too():
    wcs = image_wcs(0.01, 89.95, 400, 1.0)
    table = run_table(wcs, SHAPE, CellSet.everything(8))
    pixels = SkyCoord(
        *wcs.all_pix2world(*np.mgrid[: SHAPE[0], : SHAPE[1]][::-1].reshape(2, -1).astype(float), 0),
        unit="deg",
    )
    triangle = Polygon([(0.0, 89.95), (120.0, 89.97), (240.0, 89.96)], outside=True)
    for region in (Cap(0.01, 89.95, 0.04, outside=True), triangle, Cap(190.0, -60.0, 3.0, outside=True)):
        drawn = PixelMasks(table, [(), [region]])
        got = np.concatenate([drawn.draw(block.start, block.stop) for block in table.blocks])
        np.testing.assert_array_equal(got, 2 * hold([region], pixels).reshape(SHAPE))


def test_images_that_no_polynomial_follows_are_drawn_pixel_by_pixel():
    """An image of half the sky: its patches bend too much, some of its pixels are nowhere."""
    wcs = image_wcs(40.0, 30.0, 300, 1500.0)
    wcs.wcs.ctype = ["RA---SIN", "DEC--SIN"]
    wcs.wcs.set()
    table = run_table(wcs, (300, 300), CellSet.everything(3))
    rows, columns = np.mgrid[:300, :300].astype(float)
    lon, lat = wcs.all_pix2world(columns.ravel(), rows.ravel(), 0)
    known = np.isfinite(lon)
    regions = [
        Cap(40.0, 30.0, 20.0),
        Cap(100.0, 10.0, 8.0, hole_deg=3.0),
        Polygon([(0, 0), (20, 0), (10, 20)]),
    ]
    drawn = PixelMasks(table, [regions])
    got = np.concatenate([drawn.draw(block.start, block.stop) for block in table.blocks]).ravel()
    points = SkyCoord(lon[known], lat[known], unit="deg")
    assert 0.1 < known.mean() < 0.9
    np.testing.assert_array_equal(got[known] == 1, hold(regions, points))
    assert not got[~known].any()


def test_polygons_too_large_for_a_plane_are_refused():
    wcs = image_wcs(*PLACES[0], 60, 1.0)
    table = run_table(wcs, (60, 60), CellSet.everything(8))
    with pytest.raises(InputError, match=r"within 30 degrees of its middle, found 51\.4"):
        PixelMasks(table, [[Polygon([(0, 0), (90, 0), (45, 70)])]])


# -- acceptance -----------------------------------------------------------------------------------------

TABLE = BitTable("toy", "1", "VIS", (Bit(3, "A"), Bit(17, "B"), Bit(31, "UNUSED"))).with_masks(
    {"LEFT": "source", "RIGHT": "defect"}
)


@pytest.mark.parametrize(("overlap", "union"), [(0.0, 0.6), (0.1, 0.5), (0.3, 0.3)])
@pytest.mark.parametrize("pair", [("A", "B"), ("A", "LEFT"), ("LEFT", "RIGHT")], ids="-".join)
def test_joint_bits(pair, overlap, union):
    """Two bits of 30 per cent each: joint fraction, OR, AND, majority, whether pixels or geometry set them."""
    columns, rows = 400, 300
    wcs = image_wcs(10.0, -20.0, columns, 1.0)
    spans = {pair[0]: (0, 120), pair[1]: (round(120 - overlap * columns), round(240 - overlap * columns))}
    flags, strips = np.zeros((rows, columns), np.int32), {"LEFT": (), "RIGHT": ()}
    for name, (begin, end) in spans.items():
        if name in strips:
            lon, lat = wcs.all_pix2world(
                [begin - 0.5, end - 0.5, end - 0.5, begin - 0.5], [-9, -9, rows + 9, rows + 9], 0
            )
            strips[name] = (Polygon(np.stack((lon, lat), axis=1)),)
        else:
            flags[:, begin:end] |= 1 << TABLE.by_name[name].number
    frame = frame_of({"FLAG": flags}, wcs, bits=TABLE, masks=strips)
    table = run_table(wcs, flags.shape, CellSet.everything(0), outline=image_outline(wcs, flags.shape))
    for names in itertools.permutations((*pair, "UNUSED")):
        selection = TABLE.select(names)
        statistics, _ = accumulate(frame, table, selections=[selection])
        found = statistics.column("found").sum()
        assert found == flags.size
        assert statistics.column(f"flagged.{selection.text}").sum() == round(union * found)
        assert statistics.column(f"good.{selection.text}").sum() == found - round(union * found)
        for name in pair:
            assert statistics.column(f"bit.{TABLE.by_name[name].number:02d}").sum() == round(0.3 * found)
        maps = bit_maps(statistics, selection, zeros=True)
        inside = statistics.column("geom")
        np.testing.assert_allclose(maps["WEIGHT"].values / inside, union, rtol=1e-6)
        single = [maps[f"BIT{TABLE.by_name[name].number:02d}"].values for name in pair]
        assert np.all(maps["WEIGHT"].values >= np.maximum(*single))
        assert np.all(maps["WEIGHT"].values <= np.minimum(inside, np.add(*single)) + 1e-7)


def union_area_deg2(discs):
    """Area of a union of discs: Green's theorem along the arcs of circles that no other disc holds.

    In the equal-area azimuthal plane about the image small circles are circles to a few 1e-6 of their area.
    """
    centre = SkyCoord(57.99, -51.59, unit="deg")
    place = SkyCoord([one.lon_deg for one in discs], [one.lat_deg for one in discs], unit="deg")
    distance, towards = 2 * np.sin(centre.separation(place).rad / 2), centre.position_angle(place).rad
    x, y = distance * np.sin(towards), distance * np.cos(towards)
    r = 2 * np.sin(np.radians([one.radius_deg for one in discs]) / 2)
    total = 0.0
    for i in range(len(r)):
        apart = np.hypot(x - x[i], y - y[i])
        if np.any((apart + r[i] <= r) & (np.arange(len(r)) != i)):
            continue
        others = np.flatnonzero((apart < r + r[i]) & (apart + r > r[i]) & (apart > 0))
        cosine = (apart[others] ** 2 + r[i] ** 2 - r[others] ** 2) / (2 * apart[others] * r[i])
        middle, half = np.arctan2(y[others] - y[i], x[others] - x[i]), np.arccos(cosine)
        ends = np.sort(
            np.concatenate(([0, 2 * np.pi], *((middle + s * half) % (2 * np.pi) for s in (-1, 1))))
        )
        for begin, end in itertools.pairwise(ends):
            turn = (0.5 * (begin + end) - middle + np.pi) % (2 * np.pi) - np.pi
            if np.all(np.abs(turn) > half):
                total += 0.5 * r[i] * (
                    r[i] * (end - begin) + x[i] * (np.sin(end) - np.sin(begin)) - y[i] * (np.cos(end) - np.cos(begin))
                )  # fmt: skip
    return total * np.degrees(1) ** 2


def test_star_holes_remove_the_area_of_their_union():
    """A thousand stars of 10 to 80 arcsec, on pixels and without them, at order 14, to 0.1 per cent."""
    size, rng = 1920, np.random.default_rng(20)
    wcs = image_wcs(57.99, -51.59, size, 1.0)
    x, y = rng.uniform(-0.23, 0.23, (2, 1000))
    lon, lat = 57.99 + x / np.cos(np.radians(-51.59)), -51.59 + y
    stars = sources(*zip(lon, lat, strict=True), G=rng.uniform(10, 19, 1000))
    law = mask("disc", magnitude="G", a_arcsec=800, b=0.1, radius_min_arcsec=10, radius_max_arcsec=80)
    holes = regions_of(law, stars, "VIS")
    truth = union_area_deg2(holes)
    assert 0.1 < truth < 0.8 * sum(one.area_deg2 for one in holes)
    outline = image_outline(wcs, (size, size))
    table = run_table(wcs, (size, size), CellSet.everything(14), outline=outline)
    noise = np.ones((size, size), np.float32)
    noise[:, :300] = 1e16
    left, frame = (
        TABLE.select(["LEFT"]),
        frame_of({"RMS": noise}, wcs, bits=TABLE, masks={"LEFT": holes, "RIGHT": ()}),
    )
    statistics, _ = accumulate(frame, table, selections=[left])
    on_pixels = bit_maps(statistics, left)["WEIGHT"]
    without = mask_fraction_map(holes, table.cells)
    for made in (on_pixels, without):
        assert made.integral_deg2() == pytest.approx(truth, rel=1e-3)
    difference = without.of_cells(table.cells.cells(), 0.0) - on_pixels.of_cells(table.cells.cells(), 0.0)
    assert np.abs(difference).max() < 0.08
    coverage, footprint = coverage_map(statistics, left), footprint_map(statistics)
    below = footprint.of_cells(coverage.cells.cells(), 0.0) - coverage.values
    assert below.min() >= 0.0 and below.max() > 0.9
