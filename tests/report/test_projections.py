"""Maps on the pixels of a figure: nothing is smoothed, nothing vanishes, areas stay."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmpz.errors import InputError
from vmpz.report.projections import allsky, chosen, gnomonic, sampled
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.regions import Cap, cells_inside
from vmpz.sky.skymap import SkyMap

SKY_DEG2 = 129600.0 / np.pi


def cap(lon: float, lat: float, radius: float, order: int, seed: int = 0) -> SkyMap:
    cells = cells_inside(Cap(lon, lat, radius), order)
    return SkyMap(cells, np.random.default_rng(seed).normal(size=len(cells)))


def around(lon: float, lat: float, half_deg: float, columns: int):
    return gnomonic(columns, (lon, lat), (-half_deg, half_deg, -half_deg, half_deg))


def test_a_gnomonic_frame_is_the_tangent_plane() -> None:
    frame = around(210.0, -35.0, 2.0, 9)
    lon, lat = frame.positions()
    x, y = (np.arange(9) - 4.0) * frame.pixel_deg, (np.arange(9) - 4.0) * frame.pixel_deg
    xi, eta = np.radians(np.meshgrid(-x, y))
    # Calabretta & Greisen (2002), equations 12-14, 54, 55: standard coordinates to the sphere.
    rho = np.hypot(xi, eta)
    c, lat0 = np.arctan(rho), np.radians(-35.0)
    with np.errstate(invalid="ignore"):
        sine = np.where(rho > 0.0, eta * np.sin(c) * np.cos(lat0) / np.where(rho > 0.0, rho, 1.0), 0.0)
    expected_lat = np.degrees(np.arcsin(np.cos(c) * np.sin(lat0) + sine))
    expected_lon = 210.0 + np.degrees(
        np.arctan2(xi * np.sin(c), rho * np.cos(lat0) * np.cos(c) - eta * np.sin(lat0) * np.sin(c))
    )
    expected_lon[4, 4] = 210.0
    assert np.allclose(lat, expected_lat, atol=1e-9) and np.allclose(lon, expected_lon, atol=1e-9)
    assert (
        frame.pole is None
        and around(3.0, 89.0, 2.0, 9).pole == 90.0
        and around(3.0, -89.0, 2.0, 9).pole == -90.0
    )


def test_positions_and_pixels_are_inverse() -> None:
    for frame in (around(359.9, 89.5, 3.0, 20), around(0.0, 0.0, 20.0, 20), allsky(40, 77.0)):
        lon, lat = frame.positions(0.25, -0.25)
        sky = np.isfinite(lon)
        x, y = frame.pixels(lon[sky], lat[sky])
        rows, columns = np.nonzero(sky)
        assert np.allclose(x, columns + 0.25, atol=1e-6) and np.allclose(y, rows - 0.25, atol=1e-6)
    assert np.isnan(around(0.0, 0.0, 5.0, 10).pixels(np.array([180.0]), np.array([0.0]))[0]).all()


def test_where_cells_are_wide_pixels_are_the_values_at_their_centres() -> None:
    for lon, lat in ((0.0, 10.0), (133.0, -90.0), (57.0, 89.0)):
        one = cap(lon, lat, 4.0, 6)
        frame = around(lon, lat, 6.0, 100)
        picture = sampled(one, frame)
        assert not picture.averaged
        assert np.array_equal(picture.values, one.at(*frame.positions()), equal_nan=True)
        assert np.array_equal(picture.listed == 1.0, np.isfinite(picture.values))
        assert set(np.unique(picture.values[picture.listed > 0])) == set(one.values)  # no cell is missed


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 2**31),
    st.integers(9, 13),
    st.sampled_from([(12.0, 3.0), (45.0, 41.8), (200.0, -75.0), (90.0, 90.0)]),
)
def test_no_cell_alone_vanishes(seed: int, order: int, centre: tuple[float, float]) -> None:
    frame = around(*centre, 3.0, 60)
    lon, lat = (one[5:-5, 5:-5].ravel() for one in frame.positions())
    some = np.random.default_rng(seed).choice(lon.size, 6, replace=False)
    cells = CellSet.from_cells(order, hpx.cells_at(lon[some], lat[some], order))
    listed = np.pad(sampled(SkyMap(cells, np.ones(len(cells))), frame).listed, 1)
    x, y = frame.pixels(*hpx.centres(cells.cells(), order))
    for column, row in zip(np.rint(x).astype(int), np.rint(y).astype(int), strict=True):
        assert listed[row : row + 3, column : column + 3].max() > 0.0


@pytest.mark.parametrize("order", [7, 8, 9, 11])
def test_no_hole_vanishes(order: int) -> None:
    frame = around(40.0, 20.0, 8.0, 60)
    hole = hpx.cells_at(41.0, 21.0, order)
    cells = cells_inside(Cap(40.0, 20.0, 7.0), order) - CellSet.from_cells(order, hole)
    listed = sampled(SkyMap(cells, np.ones(len(cells))), frame).listed
    x, y = (
        round(float(one[0]))
        for one in frame.pixels(*(np.atleast_1d(one) for one in hpx.centres(hole, order)))
    )
    near = listed[y - 1 : y + 2, x - 1 : x + 2]
    lost = hpx.cell_area_deg2(order) / frame.pixel_deg**2
    assert 1.0 - near.min() > 0.3 * min(lost, 1.0)
    assert abs((1.0 - near).sum() - lost) < 0.4 * lost + 0.02


@pytest.mark.parametrize("order", [6, 8, 10])
def test_areas_stay(order: int) -> None:
    one = cap(100.0, -30.0, 10.0, order)
    narrow = around(100.0, -30.0, 11.0, 120)
    assert (
        abs(
            np.average(sampled(one, narrow).listed, weights=_pixel_areas(narrow))
            * _pixel_areas(narrow).sum()
            / one.cells.area_deg2
            - 1
        )
        < 0.01
    )
    whole = allsky(240, 100.0)
    assert abs(sampled(one, whole).listed.sum() * whole.pixel_deg**2 / one.cells.area_deg2 - 1.0) < 0.03


def _pixel_areas(frame) -> np.ndarray:
    """Of a gnomonic frame: cos**3 of the distance from the centre."""
    rows, columns = frame.shape
    x, y = np.meshgrid(np.arange(columns) - (columns - 1) / 2, np.arange(rows) - (rows - 1) / 2)
    return frame.pixel_deg**2 * (1.0 + np.radians(np.hypot(x, y) * frame.pixel_deg) ** 2) ** -1.5


def test_means_are_those_of_the_cells_under_a_pixel() -> None:
    one = cap(30.0, 50.0, 1.6, 10, seed=3)
    frame = around(30.0, 50.0, 1.0, 8)
    picture = sampled(one, frame)
    assert picture.averaged and picture.listed.min() == 1.0
    columns, rows = frame.pixels(*hpx.centres(one.cells.cells(), 10))
    for row, column in ((2, 3), (5, 5), (4, 1)):
        under = (np.abs(columns - column) < 0.5) & (np.abs(rows - row) < 0.5)
        error = one.values.std() / np.sqrt(under.sum()) * 0.6  # of cells that lie on the sides
        assert abs(picture.values[row, column] - one.values[under].mean()) < 4.0 * error


def test_the_whole_sky() -> None:
    one = SkyMap(CellSet.everything(3), np.arange(768.0))
    frame = allsky(200)
    picture = sampled(one, frame)
    lon, lat = frame.positions()
    assert (
        np.array_equal(np.isfinite(lon), picture.listed == 1.0)
        and np.isnan(lon[0, 0])
        and np.isnan(lon[-1, -1])
    )
    assert abs(picture.listed.sum() * frame.pixel_deg**2 / SKY_DEG2 - 1.0) < 0.003
    middle = frame.shape[0] // 2
    assert (
        lon[middle, 99] < 2.0 and lon[middle, 50] > lon[middle, 90] and lat[75, 100] > 0.0
    )  # RA grows to the left
    assert abs(allsky(200, 90.0).positions()[0][middle, 99] - 90.0) < 2.0
    for order in (5, 8):  # to the limb and over the seam, finer than pixels too
        fine = SkyMap(CellSet.everything(order), np.ones(12 * 4**order))
        assert np.all(sampled(fine, allsky(60)).listed[np.isfinite(allsky(60).positions()[0])] == 1.0)


def test_cells_at_the_sheared_limb_do_not_vanish() -> None:
    frame = allsky(80)
    lon, lat = np.full(40, 178.0), np.linspace(-80.0, 80.0, 40)
    cells = CellSet.from_cells(8, hpx.cells_at(lon, lat, 8))
    listed = np.pad(sampled(SkyMap(cells, np.ones(len(cells))), frame).listed, 1)
    x, y = frame.pixels(*hpx.centres(cells.cells(), 8))
    for column, row in zip(np.rint(x).astype(int), np.rint(y).astype(int), strict=True):
        assert listed[row : row + 3, column : column + 3].max() > 0.0


def test_angles_are_averaged_as_directions_and_names_not_at_all() -> None:
    cells = cells_inside(Cap(10.0, 10.0, 2.0), 10)
    frame = around(10.0, 10.0, 1.0, 20)
    angles = np.where(np.arange(len(cells)) % 2, 359.0, 1.0)
    found = sampled(SkyMap(cells, angles), frame, circular=True).values
    assert np.all(np.minimum(found, 360.0 - found) < 1.0)
    names = np.where(np.arange(len(cells)) % 2, 102017761, 102018210)
    assert set(np.unique(sampled(SkyMap(cells, names), frame, classes=True).values)) == {
        102017761.0,
        102018210.0,
    }


def test_what_is_nan_is_not_listed() -> None:
    one = SkyMap(CellSet.from_cells(5, [7, 8]), [np.nan, 2.0])
    frame = chosen([one], 50)
    assert np.nanmin(sampled(one, frame).values) == 2.0
    nothing = sampled(SkyMap(CellSet(9), []), frame)
    assert np.isnan(nothing.values).all() and not nothing.listed.any()
    assert not sampled(SkyMap(CellSet.from_cells(12, [7, 8]), [np.nan] * 2), frame).listed.any()


@pytest.mark.parametrize("centre", [(0.0, 0.0), (359.99, -89.9), (12.0, 90.0), (180.0, 45.0)])
def test_a_frame_shows_its_maps_whole(centre: tuple[float, float]) -> None:
    one = cap(*centre, 2.0, 8)
    frame = chosen([one], 80)
    lon, lat = hpx.vertices(one.cells.cells(), 8)
    x, y = frame.pixels(lon.ravel(), lat.ravel())
    assert frame.kind == "gnomonic" and frame.shape[1] == 80
    assert x.min() > -0.5 and x.max() < 79.5 and y.min() > -0.5 and y.max() < frame.shape[0] - 0.5
    assert max(x.max() - x.min(), y.max() - y.min()) > 60.0
    beside = np.array([[centre[0], centre[1] - 4.0 if centre[1] > -80 else -85.0]])
    x, y = chosen([one], 80, beside=[beside]).pixels(*beside.T)
    assert -0.5 < x[0] < 79.5 and y[0] > -0.5


def test_auto_takes_the_whole_sky_for_what_is_wide() -> None:
    assert chosen([cap(0.0, 0.0, 29.0, 4)], 50).kind == "gnomonic"
    assert chosen([cap(0.0, 0.0, 34.0, 4)], 50).kind == "allsky"
    assert chosen([SkyMap(CellSet.everything(2), np.ones(192))], 50).kind == "allsky"
    assert chosen([SkyMap(CellSet(9), [])], 50).kind == "gnomonic"
    zoomed = chosen(
        [SkyMap(CellSet.everything(2), np.ones(192))], 50, centre_deg=(370.0, 20.0), radius_deg=2.0
    )
    assert zoomed.kind == "gnomonic" and tuple(zoomed.wcs.wcs.crval) == (10.0, 20.0)


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"projection": "tan"}, "a projection must be one of auto, gnomonic, allsky, found tan"),
        ({"centre_deg": (10.0, 91.0)}, "a centre must be a longitude and a latitude in degrees, found 10 91"),
        ({"centre_deg": (np.nan, 1.0)}, "a centre must be"),
        ({"radius_deg": 0.0}, r"the radius of a frame must lie in \(0, 75\] degrees, found 0"),
        ({"projection": "gnomonic"}, "must lie within 75 degrees of its centre"),
    ],
)
def test_what_cannot_be_shown_is_refused(wish: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        chosen([SkyMap(CellSet.everything(2), np.ones(192))], 50, **wish)  # type: ignore[arg-type]


def test_strips_are_shown_with_sky_beside_them() -> None:
    for lon, lat in (
        (np.full(50, 10.0), np.linspace(0.0, 8.0, 50)),
        (np.linspace(0.0, 8.0, 50), np.full(50, 3.0)),
    ):
        cells = CellSet.from_cells(12, hpx.cells_at(lon, lat, 12))
        frame = chosen([SkyMap(cells, np.ones(len(cells)))], 100)
        assert 30 <= frame.shape[0] <= 145
        x, y = frame.pixels(*hpx.centres(cells.cells(), 12))
        assert x.min() > 0 and x.max() < 99 and y.min() > 0 and y.max() < frame.shape[0] - 1
