"""Points in cells: uniform, in their cells, the same however they are drawn; positions against exact arithmetic."""

import re

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from scipy import stats
from scipy.spatial import cKDTree

from vmpz.kernels import cellpoints, philox
from vmpz.sky import hpx

KEY = (np.uint64(20), np.uint64(26))
STREAM, BATCH = np.uint64(3), np.uint64(5)
ORDERS = [0, 3, 14, 22, 24, 29]
NONE = np.empty(0, np.int64)
FULL = 2**64 - 1


def special_cells(order):
    """At both poles, corners of faces, |sin lat| = 2/3, the equator, and on both sides of longitude 0."""
    end, half = (1 << order) - 1, 1 << max(order - 1, 0)
    places = [
        (1, end, end), (9, 0, 0), (0, 0, 0), (3, end, 0), (2, 0, end), (2, half % (end + 1), end - half % (end + 1)),
        (4, half % (end + 1), half % (end + 1)), (6, end, 0), (8, end, end), (11, half % (end + 1), half % (end + 1)),
    ]  # fmt: skip
    return np.unique([int(hpx.nested_cells(*place, order)) for place in places])


def points(order, cells, counts, words=None, wanted=(True, True)):
    """Longitude, latitude, order-29 cell and number of points by counts."""
    cells, counts = np.asarray(cells, np.int64), np.asarray(counts, np.int64)
    words = np.zeros(cells.size, np.uint64) if words is None else np.asarray(words, np.uint64)
    total = int(counts.sum())
    lon, lat = np.empty(total), np.empty(total)
    pixel, draw = (np.empty(total if one else 0, np.int64) for one in wanted)
    cellpoints.draw_points(order, cells, words, counts, STREAM, BATCH, *KEY, lon, lat, pixel, draw)
    return lon, lat, pixel, draw


def listed(order, cells, words, place, draw):
    cells, words = np.asarray(cells, np.int64), np.asarray(words, np.uint64)
    lon, lat, pixel = np.empty(place.size), np.empty(place.size), np.empty(place.size, np.int64)
    cellpoints.draw_listed(order, cells, words, place, draw, STREAM, BATCH, *KEY, lon, lat, pixel)
    return lon, lat, pixel


def blocks(order, cells, draw):
    """Words of points, from the generator alone."""
    counters = np.empty((draw.size, 4), np.uint64)
    counters[:, 0], counters[:, 1], counters[:, 2], counters[:, 3] = (
        draw,
        hpx.to_uniq(cells, order),
        STREAM,
        BATCH,
    )
    out = np.empty_like(counters)
    philox.blocks(counters, *KEY, out)
    return out


def inside(order, cell, lon, lat):
    """Coordinates in [0, 1) of positions in their cell, and which of them rounding left on its face."""
    face, x, y = hpx.face_coordinates(lon, lat)
    own, ix, iy = hpx.faces(cell, order)
    here = face == own
    u, v = (np.clip(one * (1 << order) - first, 0, 1 - 1e-12)[here] for one, first in ((x, ix), (y, iy)))
    return u, v, here


def uniformity(order, cell, number):
    """Chi2 chance of 64 x 64 parts, distances of some points from their nearest neighbours as chances, and checks."""
    lon, lat, pixel, draw = points(order, [cell], [number])
    assert np.all((lon >= 0) & (lon < 360) & (np.abs(lat) <= 90))
    deep, up = hpx.cells_at(lon, lat, 29), 2 * (29 - order)
    assert np.all(pixel >> up == cell)
    assert np.mean(deep >> up != cell) <= 1e-6  # positions are rounded, order-29 cells are not
    assert np.mean(deep != pixel) < 1e-4
    assert np.all(np.diff(pixel) >= 0) and np.array_equal(np.sort(draw), np.arange(number))
    if order <= 24:  # a position is a pair of words; deeper, where degrees end, those of the generator
        pair = lon.view(np.uint64), lat.view(np.uint64)
    else:
        pair = tuple(np.ascontiguousarray(blocks(order, cell, draw).T[:2]))
    assert np.unique(pair[0] * np.uint64(0x9E3779B97F4A7C15) + pair[1]).size == number
    u, v, here = inside(order, cell, lon, lat)
    assert u.size > number * (1 - 1e-4)
    parts = np.bincount((u * 64).astype(int) * 64 + (v * 64).astype(int), minlength=4096)
    assert parts.min() > 0
    expected = u.size / 4096
    chance = stats.chi2.sf(np.sum((parts - expected) ** 2) / expected, 4095)
    square, draw = np.stack((u, v), axis=1)[draw[here] < 10**6], draw[here][draw[here] < 10**6]
    distance, _ = cKDTree(square, boxsize=1.0).query(square[draw < 500], k=2)
    return chance, 1 - (1 - np.pi * distance[:, 1] ** 2) ** (draw.size - 1)


@pytest.mark.parametrize("order", ORDERS)
def test_points_are_uniform_in_their_cells(order):
    cells = special_cells(order)
    found = [uniformity(order, cell, 600_000 // cells.size) for cell in cells]
    assert all(1e-4 < chance < 1 - 1e-4 for chance, _ in found)
    assert stats.kstest(np.concatenate([nearest for _, nearest in found]), "uniform").pvalue > 0.01


@pytest.mark.long
@pytest.mark.parametrize("order", ORDERS)
def test_ten_million_points_are_uniform_in_their_cell(order):
    cells = special_cells(order)[::3]
    for cell in cells:
        chance, nearest = uniformity(order, cell, 10_000_000)
        assert 1e-4 < chance < 1 - 1e-4
        assert stats.kstest(nearest, "uniform").pvalue > 0.01 / len(cells)  # 0.01 for all cells of an order


@pytest.mark.parametrize("order", range(30))
def test_points_lie_in_their_cells(order):
    rng = np.random.default_rng(order)
    cells = np.union1d(special_cells(order), rng.integers(0, hpx.number_of_cells(order), 500))
    counts = np.full(cells.size, 33_000 // cells.size)
    lon, lat, pixel, _ = points(order, cells, counts)
    assert np.array_equal(hpx.cells_at(lon, lat, order), np.repeat(cells, counts))
    assert np.array_equal(pixel >> (2 * (29 - order)), np.repeat(cells, counts))
    assert np.mean(hpx.cells_at(lon, lat, 29) != pixel) < 1e-4


def exact(order, cell, u, v):
    """Longitude and latitude of u, v in a cell, to 60 digits (Gorski et al. 2005)."""
    face, ix, iy = (int(one) for one in hpx.faces(cell, order))
    side, row = 1 << order, 1 - face // 4
    x, y = (mpmath.mpf(i) + mpmath.mpf(w) for i, w in ((ix, u), (iy, v)))
    x, y = x / side, y / side
    height = row - 1 + x + y
    meridian = 2 * (face % 4) + (row != 0)
    m = 2 - row * height
    if m > 1:
        return 45 * (meridian + x - y) % 360, mpmath.degrees(mpmath.asin(2 * height / 3))
    turn = (x - y) / m if m else mpmath.mpf(0)
    return 45 * (meridian + turn), row * (90 - 2 * mpmath.degrees(mpmath.asin(m / mpmath.sqrt(6))))


@st.composite
def cells_and_places(draw):
    order = draw(st.integers(0, 29))
    few = st.sampled_from(special_cells(order).tolist())
    cell = draw(st.one_of(few, st.integers(0, hpx.number_of_cells(order) - 1)))
    unit = st.one_of(st.sampled_from([0, 1, 2**52, 2**53 - 1]), st.integers(0, 2**53 - 1))
    return order, cell, draw(unit) * 2.0**-53, draw(unit) * 2.0**-53


@settings(deadline=None, max_examples=300)
@given(cells_and_places())
def test_positions_keep_all_digits(where):
    """Latitudes within six roundings, longitudes within two units in the last place, and never 360."""
    order, cell, u, v = where
    square = tuple(int(one) for one in hpx.faces(cell, order))
    lon, lat = cellpoints._position.py_func(square, order, u, v)
    assert 0 <= lon < 360 and abs(lat) <= 90
    with mpmath.workprec(300):
        true_lon, true_lat = exact(order, cell, u, v)
        turn = min(abs(lon - true_lon), abs(lon + 360 - true_lon), abs(lon - 360 - true_lon))
        assert turn <= 2 * np.spacing(max(lon, 45.0))
        assert abs(lat - true_lat) <= 6 * 2.0**-53 * abs(true_lat)


def test_next_to_longitude_0_and_the_poles():
    for order in (0, 5, 14, 29):
        end = (1 << order) - 1
        below = cellpoints._position((4, end // 2, end // 2), order, 0.25, 0.25 + 2.0**-53)
        assert below[0] == 360 - 2.0**-44 or 359 < below[0] < 360
        assert cellpoints._position((4, 0, 0), order, 0.5, 0.5)[0] == 0.0
        assert cellpoints._position((8, 0, 0), order, 0.0, 0.0) == (45.0, -90.0)
        pole = cellpoints._position((3, end, end), order, 1 - 2.0**-53, 1 - 2.0**-53)
        assert pole[0] == 315.0 and pole[1] == (90.0 if order else 90.0 - 2.0**-46)


def test_positions_are_the_same_bits_on_every_machine():
    """No operation is fused, none is left to a library."""
    kernel = njit(cellpoints._position.py_func, error_model="numpy")
    kernel((np.int64(1), np.int64(2), np.int64(3)), 5, 0.5, 0.25)
    (assembly,) = kernel.inspect_asm().values()
    assert not re.findall(r"\b(?:vfn?m(?:add|sub)|fn?madd|fn?msub|fml[as])\w*", assembly)
    assert not re.findall(r"[$\s](?:asin|fma)\b", assembly)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_points_do_not_depend_on_what_else_is_drawn(data):
    """By counts as listed, sorted, in any order of cells, with and without the columns that are not wanted."""
    order = data.draw(st.sampled_from([0, 1, 14, 26, 27, 29]))
    number = hpx.number_of_cells(order)
    cells = np.array(data.draw(st.lists(st.integers(0, number - 1), min_size=1, max_size=30)))
    count = st.one_of(st.integers(0, 3), st.integers(0, 40), st.just(700))
    counts = np.array([data.draw(count) for _ in cells])
    word = st.one_of(st.sampled_from([0, FULL, 1, 1 << 63]), st.integers(0, FULL))
    words = np.array([data.draw(word) for _ in cells], np.uint64)
    if data.draw(st.booleans()):
        rank = np.argsort(cells)
        cells, counts, words = cells[rank], counts[rank], words[rank]
    lon, lat, pixel, draw = points(order, cells, counts, words)
    place = np.repeat(np.arange(cells.size), counts)
    number = np.concatenate([np.arange(n) for n in counts])
    slow = listed(order, cells, words, place, number)
    rank = np.lexsort((number, slow[2], place))
    for one, two in zip((lon, lat, pixel, draw), (*slow, number), strict=True):
        assert np.array_equal(one, two[rank])
    for wanted in ((False, False), (True, False), (False, True)):
        part = points(order, cells, counts, words, wanted)
        assert np.array_equal(part[0], lon) and np.array_equal(part[1], lat)
        assert [one.size for one in part[2:]] == [lon.size if one else 0 for one in wanted]


def test_nothing_to_draw():
    for cells in (NONE, np.array([5, 7])):
        assert all(one.size == 0 for one in points(14, cells, np.zeros(cells.size, np.int64)))


@pytest.mark.parametrize("order", [0, 6, 14, 23, 26])
@pytest.mark.parametrize("word", [1, 1 << 63, 0x8001, 0x0F0F3F3F00FF1234, FULL - 1, FULL >> 1])
def test_points_of_cells_observed_in_part(order, word):
    """Only in the observed sub-cells, in each as often, uniform in it."""
    cell = special_cells(order)[0]
    n = 60_000
    lon, lat, pixel, _ = points(order, [cell], [n], [word])
    places = np.flatnonzero([word >> bit & 1 for bit in range(64)])
    down = 2 * (26 - order)
    sub = hpx.cells_at(lon, lat, order + 3) - 64 * cell
    assert np.isin(sub, places).all() and np.array_equal(sub, (pixel >> down) - 64 * cell)
    found = np.bincount(sub, minlength=64)[places]
    if places.size > 1:
        assert 1e-4 < stats.chisquare(found).pvalue < 1 - 1e-4
    u, v, _ = inside(order, cell, lon, lat)
    parts = np.bincount((u * 64).astype(int) % 8 * 8 + (v * 64).astype(int) % 8, minlength=64)
    assert 1e-4 < stats.chisquare(parts).pvalue < 1 - 1e-4


def test_words_of_whole_cells():
    for order in (0, 14, 26, 27, 29):
        cells = special_cells(order)
        counts = np.full(cells.size, 20)
        whole = points(order, cells, counts)
        other = FULL if order <= 26 else 0x1234
        for one, two in zip(
            whole, points(order, cells, counts, np.full(cells.size, other, np.uint64)), strict=True
        ):
            assert np.array_equal(one, two)


def test_words_of_the_generator():
    """Word 0 and 1 are the place, 2 and 3 the chances."""
    order, cells, counts = 14, np.array([3, 9, 4 * 4**14 + 5]), np.array([2, 0, 400])
    own, number = np.repeat(cells, counts), np.concatenate([np.arange(n) for n in counts])
    words = blocks(order, own, number)
    deviate, priority = np.empty((2, own.size), np.uint64)
    cellpoints.chances(cells, order, counts, STREAM, BATCH, *KEY, deviate, priority)
    assert np.array_equal(deviate, words[:, 2]) and np.array_equal(priority, words[:, 3])
    pixel = listed(order, cells, np.zeros(3, np.uint64), np.repeat(np.arange(3), counts), number)[2]
    deep = [(one >> np.uint64(64 - 15)).astype(np.int64) for one in words.T[:2]]
    assert np.array_equal(pixel, (own << 30) | hpx.nested_cells(0, *deep, 15))


@pytest.mark.parametrize("order", [0, 14, 29])
def test_interpreted(monkeypatch, order):
    """Bit for bit."""
    cells = special_cells(order)
    counts = np.resize([3, 0, 25, 1], cells.size)
    words = np.resize(np.array([0, 0x0F0F3F3F00FF1234], np.uint64), cells.size)
    place, number = np.repeat(np.arange(cells.size), 3), np.tile(np.arange(3), cells.size)

    def everything():
        deviate, priority = np.empty((2, counts.sum()), np.uint64)
        cellpoints.chances(cells, order, counts, STREAM, BATCH, *KEY, deviate, priority)
        return (
            *points(order, cells, counts, words),
            *listed(order, cells, words, place, number),
            deviate,
            priority,
        )

    compiled = everything()
    for module in (philox, cellpoints):
        for name, value in list(vars(module).items()):
            if hasattr(value, "py_func"):
                monkeypatch.setattr(module, name, value.py_func)
    for one, two in zip(compiled, everything(), strict=True):
        assert one.tobytes() == two.tobytes()


def test_the_chance_to_lie_in_a_sub_cell_is_exact():
    """The place of a set bit, and how many are set, against a loop over the bits."""
    rng = np.random.default_rng(2)
    for word in [1, 1 << 63, FULL, 0x5555, *rng.integers(1, FULL, 40, np.uint64)]:
        places = [bit for bit in range(64) if int(word) >> bit & 1]
        found = [int(cellpoints._place(np.uint64(word), np.uint64(rank))) for rank in range(len(places))]
        assert found == places and cellpoints._ones(np.uint64(word)) == len(places)
