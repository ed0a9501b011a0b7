"""Random catalogues: the same points for any split of the work, the laws of the four schemes, what is refused."""

import hashlib
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from vmpz.errors import InputError, MapMismatchError
from vmpz.kernels import cellpoints, thinning
from vmpz.make import randoms, schemes
from vmpz.make.randomfields import ONE
from vmpz.make.randoms import (
    Field,
    Rules,
    Totals,
    blocks,
    census,
    count,
    fixed_point,
    histogram,
    points,
    prepare,
    random_points,
    serially,
    settle,
    split_field,
    totals_of,
    with_cut,
)
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap

SCHEMES = ("poisson", "exact", "indexed", "trim")
EACH = pytest.mark.parametrize(
    "rules",
    [
        Rules(11, number=3000),
        Rules(11, density_deg2=900.0, nested=True),
        Rules(11, number=3000, keep="all"),
        Rules(11, scheme="exact", number=3000),
        Rules(11, scheme="exact", number=3000, keep="all"),
        Rules(11, scheme="indexed", number=3000),
        Rules(11, scheme="trim", number=3000),
    ],
    ids=["poisson", "nested", "poisson-all", "exact", "exact-all", "indexed", "trim"],
)
ORDER = 11
"""Shards are then cells of order 2."""


class Sky:
    """A map in memory."""

    def __init__(self, order, cells, visibility, words=None):
        self.order, self.cells = order, np.asarray(cells, np.int64)
        self.visibility, self.words = np.asarray(visibility, np.float32), words
        self.fields = dict(split_field(order, self.cells, self.visibility, words))
        self.totals = Totals.summed(totals_of(one) for one in self.fields.values())

    def draw(self, rules, mapped=None):
        draw = prepare(rules, self.order, self.totals)
        return settle(draw, draw.shards, mapped or serially(self.fields.__getitem__))

    def all_points(self, draw):
        return [points(draw, self.fields[shard], shard) for shard in self.fields]


def patchwork(seed=1):
    """Runs of cells in six shards on both hemispheres, with holes, V from 0 to 1.3, and some words."""
    rng = np.random.default_rng(seed)
    size = 4**9
    cells = np.concatenate(
        [np.arange(3000) + begin for begin in (7 * size - 1500, 90 * size + 77, 140 * size, 191 * size - 9)]
    )
    cells = cells[rng.random(cells.size) < 0.9]
    visibility = np.round(rng.uniform(0, 1.3, cells.size), 2)
    words = rng.integers(0, 1 << 64, cells.size, np.uint64) | rng.integers(0, 1 << 64, cells.size, np.uint64)
    return Sky(ORDER, cells, visibility, words)


SKY = patchwork()
COLUMNS = ("object_id", "lon", "lat", "weight", "pixel29")


def rows_of(pieces):
    """Columns of any pieces of a catalogue, one row a point, in the order of the catalogue."""
    rows = {name: np.concatenate([getattr(one, name) for one in pieces]) for name in COLUMNS}
    order = np.lexsort((rows["object_id"], rows["pixel29"]))
    return {name: column[order] for name, column in rows.items()}


def digest(pieces):
    """SHA-256 of the rows of a catalogue."""
    return hashlib.sha256(b"".join(rows_of(pieces)[name].tobytes() for name in COLUMNS)).hexdigest()


# -- the same points for any split of the work ----------------------------------------------------------------


@EACH
@pytest.mark.parametrize("tiles", [1, 9, 100])
def test_any_tiling_gives_the_same_bytes(rules, tiles):
    rng = np.random.default_rng(tiles)
    draw = SKY.draw(rules)
    whole = digest(SKY.all_points(draw))
    owner = rng.integers(0, tiles, SKY.cells.size // 50 + 1).repeat(50)[: SKY.cells.size]
    parts = []
    pieces = []
    for tile in rng.permutation(tiles):
        mine = owner == tile
        fields = dict(split_field(ORDER, SKY.cells[mine], SKY.visibility[mine], SKY.words[mine]))
        parts += [totals_of(one) for one in fields.values()]
        only = CellSet.from_cells(ORDER, SKY.cells[mine])
        for shard, field in fields.items():
            clipped = field if rules.scheme in ("poisson", "trim") else SKY.fields[shard]
            pieces.append(points(draw, clipped, shard, only))
            assert count(draw, clipped, shard, only) == len(pieces[-1])
    assert Totals.summed(parts) == SKY.totals
    assert digest(pieces) == whole


@EACH
@pytest.mark.parametrize("workers", [1, 2, 7])
def test_any_number_of_workers_gives_the_same_bytes(rules, workers):
    def mapped(function, shards):
        tasks = [pickle.dumps((function, SKY.fields[shard], shard)) for shard in shards]
        with ThreadPoolExecutor(workers) as pool:
            futures = [pool.submit(worker, task) for task in tasks]
            return [one.result() for one in futures[::-1]]

    def worker(task):
        function, field, shard = pickle.loads(task)
        return function(field, shard)

    shards = np.random.default_rng(workers).permutation(list(SKY.fields)).tolist()
    draw = prepare(rules, ORDER, SKY.totals)
    draw = settle(draw, shards, mapped)
    with ThreadPoolExecutor(workers) as pool:
        pieces = list(pool.map(lambda one: points(draw.of_shards(one), SKY.fields[one], one), shards))
    assert draw == SKY.draw(rules)
    assert digest(pieces) == digest(SKY.all_points(draw))


@EACH
def test_blocks_are_the_points_piece_by_piece(rules):
    draw = SKY.draw(rules)
    for shard, field in SKY.fields.items():
        whole, pieces = points(draw, field, shard), list(blocks(draw, field, shard, size=37))
        assert len(pieces) >= len(whole) / 37
        for name in (*COLUMNS, "cell", "draw", "place"):
            joined = np.concatenate([getattr(one, name) for one in pieces])
            assert joined.tobytes() == getattr(whole, name).tobytes()


@EACH
def test_numbers_that_were_kept_are_those_that_are_drawn_again(rules):
    draw = SKY.draw(rules)
    for shard, field in SKY.fields.items():
        for only in (None, CellSet.from_cells(ORDER, field.cells[::3])):
            rows, numbers = census(draw, field, shard, only)
            assert rows == count(draw, field, shard, only) and numbers.dtype == np.uint8
            kept = list(blocks(draw, field, shard, only, 37, numbers))
            again = list(blocks(draw, field, shard, only, 37))
            assert sum(map(len, kept)) == rows
            assert [one.object_id.tolist() for one in kept] == [one.object_id.tolist() for one in again]


@EACH
def test_rows_stand_in_the_order_of_the_sky_each_in_its_cell(rules):
    draw = SKY.draw(rules)
    total = 0
    for shard, field in SKY.fields.items():
        found = points(draw, field, shard)
        assert count(draw, field, shard) == len(found)
        order = np.lexsort((found.draw, found.pixel29))
        assert np.array_equal(order, np.arange(len(found)))
        assert np.array_equal(found.cell, field.cells[found.place])
        assert np.array_equal(hpx.cells_at(found.lon, found.lat, ORDER), found.cell)
        assert np.unique(found.object_id).size == len(found)
        assert np.array_equal(found.object_id, (found.cell << 37) | found.draw)
        assert (field.visibility[found.place] > 0).all()
        sub = hpx.cells_at(found.lon, found.lat, ORDER + 3) & 63
        assert ((field.words[found.place] >> sub.astype(np.uint64)) & np.uint64(1)).all()
        total += len(found)
    if draw.is_exact:
        assert total == 3000
    else:
        assert abs(total - draw.expected) < 5 * draw.expected**0.5


@EACH
def test_points_of_any_cell_can_be_drawn_again(rules):
    draw = SKY.draw(rules)
    shard = draw.shards[2]
    field = SKY.fields[shard]
    whole = points(draw, field, shard)
    for cell in np.unique(whole.cell)[::100]:
        at = np.flatnonzero(field.cells == cell)
        alone = Field(ORDER, field.cells[at], field.visibility[at], field.words[at])
        if draw.rules.splits:
            alone = field
        again = points(draw.of_shards(shard), alone, shard, CellSet.from_cells(ORDER, cell))
        for name in COLUMNS:
            assert np.array_equal(getattr(again, name), getattr(whole, name)[whole.cell == cell])


GOLDEN = {
    "poisson": "201941a8f3a2ab00",
    "exact": "a8f873ca228001dd",
    "indexed": "baf38d12bf4d1adb",
    "trim": "3457caa02304f778",
}
"""Of the whole numbers of a catalogue: they depend on no machine, and a seed stands for them for good."""


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_seed_stands_for_the_same_points_for_good(scheme):
    pieces = SKY.all_points(SKY.draw(Rules(20260101, 1, scheme, 3000)))
    numbers = [
        getattr(one, name).astype("<i8").tobytes() for one in pieces for name in ("object_id", "pixel29")
    ]
    assert hashlib.sha256(b"".join(numbers)).hexdigest()[:16] == GOLDEN[scheme]


def test_seeds_and_catalogues_are_independent():
    kinds = [SKY.draw(Rules(*key, number=3000)) for key in ((1, 0), (2, 0), (1, 1), (2**64 - 1, 2**64 - 1))]
    rows = [rows_of(SKY.all_points(draw)) for draw in kinds]
    places = [set(zip(one["lon"], one["lat"], strict=True)) for one in rows]
    for i, one in enumerate(places):
        for other in places[:i]:
            assert not one & other


@st.composite
def small_skies(draw):
    order = draw(st.sampled_from([0, 1, 5, 9, 10, 14, 22, 29]))
    spots = draw(st.lists(st.integers(0, 12 * 4**order - 1), min_size=1, max_size=20, unique=True))
    more = st.lists(
        st.sampled_from([0.0, 1e-10, 0.001, 0.3, 1.0, 1.7]), min_size=len(spots), max_size=len(spots)
    )
    return Sky(order, sorted(spots), draw(more))


@settings(max_examples=60, deadline=None)
@given(small_skies(), st.sampled_from(SCHEMES), st.integers(1, 40), st.integers(0, 2**64 - 1))
@example(Sky(0, [5], [1.0]), "indexed", 1, 0)
@example(Sky(0, range(12), [0.5] * 12), "trim", 30, 0)
def test_any_sky_has_its_number_of_points(sky, scheme, number, seed):
    rules = Rules(seed, scheme=scheme, number=number)
    if not sky.totals.integral:
        with pytest.raises(InputError, match="no cell has a visibility above 0"):
            prepare(rules, sky.order, sky.totals)
        return
    try:
        draw = sky.draw(rules)
        pieces = sky.all_points(draw)
    except InputError as error:  # two points at most fit a cell of order 29
        assert sky.order == 29 and "must hold at most 2 points" in str(error)
        return
    total = sum(len(one) for one in pieces)
    assert total == number if draw.is_exact else total <= number + 10 * number**0.5 + 10
    for piece in pieces:
        assert np.array_equal(hpx.cells_at(piece.lon, piece.lat, sky.order), piece.cell)
    again = sky.all_points(pickle.loads(pickle.dumps(draw)))
    assert digest(again) == digest(pieces)


def test_nothing_is_drawn_of_nothing():
    empty = Field(14, np.empty(0, np.int64), np.empty(0, np.float32))
    draw = prepare(Rules(1, density_deg2=10.0), 14, Totals())
    assert draw.shards == () and count(draw, empty, 0) == 0 and len(points(draw, empty, 0)) == 0
    draw = SKY.draw(Rules(1, scheme="trim", number=3))
    assert len(points(draw, Field(ORDER, empty.cells, empty.visibility), 3)) == 0


# -- the laws of the schemes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", [*SCHEMES, "nested"])
def test_density_follows_the_visibility(scheme):
    """Points per decile of V over the integral of V there, and the total."""
    rng = np.random.default_rng(4)
    sky = Sky(10, np.arange(200_000) + 5 * 4**9, rng.beta(2, 1.5, 200_000) * 1.25)
    number = 400_000
    rules = Rules(2, scheme="poisson" if scheme == "nested" else scheme, number=number)
    if scheme == "nested":
        density = number / prepare(rules, 10, sky.totals).area_deg2
        rules = Rules(2, density_deg2=density, nested=True)
    pieces = sky.all_points(sky.draw(rules))
    place = np.searchsorted(sky.cells, np.concatenate([one.cell for one in pieces]))
    if scheme in ("poisson", "nested"):
        assert abs(place.size - number) < 5 * number**0.5
    else:
        assert place.size == number
    edges = np.quantile(sky.visibility, np.linspace(0, 1, 11))
    decile = np.clip(np.searchsorted(edges, sky.visibility, side="right") - 1, 0, 9)
    found = np.bincount(decile[place], minlength=10)
    weight = np.bincount(decile, sky.visibility.astype(float))
    expected = number * weight / weight.sum()
    assert stats.chi2.sf(((found - expected) ** 2 / expected).sum(), 10) > 1e-3
    fit = stats.linregress(np.arange(10), found / expected)
    slope = (np.arange(10) - 4.5) @ (found / expected) / 82.5
    assert abs(slope) < 3 * np.sqrt(((np.arange(10) - 4.5) ** 2 / expected).sum()) / 82.5, fit
    per_cell = np.bincount(place, minlength=sky.cells.size)
    mean = number * sky.visibility / sky.visibility.sum(dtype=float)
    chi2 = ((per_cell - mean) ** 2)[mean > 0.5].sum() / mean[mean > 0.5].sum()
    assert abs(chi2 - 1) < 0.02


NUMBER = 120


def small_sky():
    rng = np.random.default_rng(6)
    return Sky(3, np.sort(rng.choice(2 * 64, 90, replace=False)) + 3 * 64, rng.uniform(0.05, 1.2, 90))


def realisations(scheme, sky, number):
    """Points of every cell in many small catalogues, int (number, cells), and all positions; must follow V."""
    counts, lon, lat = np.zeros((number, sky.cells.size), int), [], []
    for seed in range(number):
        for one in sky.all_points(sky.draw(Rules(seed, SCHEMES.index(scheme), scheme, NUMBER))):
            np.add.at(counts[seed], np.searchsorted(sky.cells, one.cell), 1)
            lon.append(one.lon)
            lat.append(one.lat)
    share = fixed_point(sky.visibility) / sky.totals.integral
    assert stats.chisquare(counts.sum(0), counts.sum() * share).pvalue > 1e-3
    return counts, np.concatenate(lon), np.concatenate(lat)


def must_have_the_covariance(scheme, counts, sky):
    """Of the counts of five areas of share p: N (p_i delta_ij - p_i p_j), or N p_i delta_ij (poisson)."""
    first = np.array([0, 7, 25, 40, 66])
    share = np.add.reduceat(fixed_point(sky.visibility) / sky.totals.integral, first)
    counts, covariance = np.add.reduceat(counts, first, axis=1), NUMBER * np.diag(share)
    if scheme == "poisson":
        fano = counts.var(0) / counts.mean(0)
        assert np.abs(fano - 1).max() < 4 * np.sqrt(2 / len(counts))
    else:
        assert (counts.sum(1) == NUMBER).all()
        covariance -= NUMBER * np.outer(share, share)
    spread = np.sqrt((np.outer(np.diag(covariance), np.diag(covariance)) + covariance**2) / len(counts))
    assert np.abs((np.cov(counts.T) - covariance) / spread).max() < 4.5


def test_the_schemes_are_equivalent():
    """Covariance of the counts of areas, and positions, in 1000 small realisations of each."""
    sky, found = small_sky(), {}
    for scheme in SCHEMES:
        counts, *found[scheme] = realisations(scheme, sky, 1000)
        must_have_the_covariance(scheme, counts, sky)
    chances = [
        stats.ks_2samp(found[one][axis], found[other][axis]).pvalue
        for one, other in combinations(SCHEMES, 2)
        for axis in (0, 1)
    ]
    assert min(chances) > 0.01 / len(chances)  # 0.01 for all of them together


@pytest.mark.parametrize("scheme", ["indexed", "trim"])
def test_further_batches_leave_the_law_alone(scheme, monkeypatch):
    """With too few candidates in the first batch, more are drawn; points of a cell go on where it ended."""
    monkeypatch.setattr(schemes, "MARGIN_SIGMA", -1.0)
    sky = small_sky()
    batches = [sky.draw(Rules(seed, 0, scheme, NUMBER)).batches for seed in range(20)]
    assert set(batches) <= {1, 2, 3} and sum(batches) > 30
    must_have_the_covariance(scheme, realisations(scheme, sky, 300)[0], sky)


@pytest.mark.parametrize("scheme", ["indexed", "trim"])
def test_the_cut_is_that_of_a_sorted_list(scheme):
    draw = SKY.draw(Rules(9, scheme=scheme, number=2000))
    priorities, identities, chosen = [], [], []
    for shard, field in SKY.fields.items():
        there = randoms.listed(field, shard)
        counts = randoms.candidates(draw, there, shard)
        deviate, priority = np.empty((2, counts.sum()), np.uint64)
        cellpoints.chances(there.cells, ORDER, counts, schemes.POSITION, 0, *draw.key, deviate, priority)
        place = np.repeat(np.arange(counts.size), counts)
        index = np.concatenate([np.arange(one) for one in counts])
        seen = np.ones(place.size, bool)
        if scheme == "indexed":
            limits = [int(there.fixed[k]) << 64 for k in place]
            seen = np.array([int(d) * draw.v_max < limit for d, limit in zip(deviate, limits, strict=True)])
        priorities.append(priority[seen])
        identities.append((there.cells[place[seen]] << 37) | index[seen])
        chosen.append(points(draw, field, shard).object_id)
    priority, identity = np.concatenate(priorities), np.concatenate(identities)
    first = np.lexsort((identity, priority))[:2000]
    assert set(identity[first].tolist()) == set(np.concatenate(chosen).tolist())
    assert draw.cut == (int(priority[first[-1]]), int(identity[first[-1]]))
    detected = sum(histogram(draw, field, shard).sum() for shard, field in SKY.fields.items())
    assert detected == priority.size


def test_ties_of_priority_are_settled_by_object_id(monkeypatch):
    monkeypatch.setattr(cellpoints, "chances", lambda *those: (those[-2].fill(0), those[-1].fill(5 << 50)))
    draw = SKY.draw(Rules(9, scheme="trim", number=2000))
    found = np.concatenate([one.object_id for one in SKY.all_points(draw)])
    more = np.concatenate([one.object_id for one in SKY.all_points(with_cut(draw, (5 << 50) + 1, 0))])
    assert found.size == 2000 and draw.cut == (5 << 50, int(np.sort(found)[-1]))
    assert np.array_equal(np.sort(found), np.sort(more)[:2000])


# -- nested and weighted --------------------------------------------------------------------------------------


def test_classes_are_nested_point_by_point():
    rng = np.random.default_rng(5)
    rules = Rules(3, density_deg2=500.0, nested=True, v_max=2.0)
    factors = np.sort(rng.uniform(0.0, 1.5, (4, SKY.cells.size)), axis=0)
    sets = []
    for factor in factors:
        sky = Sky(ORDER, SKY.cells, SKY.visibility * factor, SKY.words)
        pieces = sky.all_points(sky.draw(rules))
        sets.append({row for one in pieces for row in zip(one.object_id, one.lon, one.lat, strict=True)})
    assert all(fewer < more for fewer, more in pairwise(sets))
    every = Sky(ORDER, SKY.cells, np.where(SKY.visibility > 0, 2.0, 0.0), SKY.words)
    draw = every.draw(rules)
    assert sum(map(len, every.all_points(draw))) > len(sets[-1])
    candidates = sum(randoms.candidates(draw, randoms.listed(f), s).sum() for s, f in every.fields.items())
    assert sum(map(len, every.all_points(draw))) == candidates  # V = v_max keeps every one


@pytest.mark.parametrize("scheme", ["poisson", "exact"])
def test_weights_of_all_candidates_follow_the_visibility(scheme):
    rng = np.random.default_rng(7)
    sky = Sky(9, np.arange(60_000), rng.uniform(0.01, 1.3, 60_000))
    draw = sky.draw(Rules(3, scheme=scheme, number=300_000, keep="all"))
    pieces = sky.all_points(draw)
    weight, place = (np.concatenate([getattr(p, n) for p in pieces]) for n in ("weight", "place"))
    if scheme == "exact":
        assert place.size == 300_000
    assert np.array_equal(weight, sky.visibility[place].astype(np.float64))
    area = draw.density_deg2 * hpx.cell_area_deg2(9)
    for part in np.array_split(np.arange(sky.cells.size), 10):
        mine = (place >= part[0]) & (place <= part[-1])
        expected = area * sky.visibility[part].sum(dtype=float)
        assert abs(weight[mine].sum() - expected) < 4 * np.sqrt(area * (sky.visibility[part] ** 2.0).sum())
    assert stats.chisquare(np.bincount(place // 600, minlength=100)).pvalue > 1e-3
    assert draw.density_deg2 * draw.area_deg2 == pytest.approx(
        300_000 * sky.visibility.mean(dtype=float), rel=1e-6
    )


def test_detected_points_are_among_all_candidates():
    rules = Rules(3, density_deg2=500.0, nested=True)
    sky = Sky(ORDER, SKY.cells, np.minimum(SKY.visibility, 1.0))
    detected, every = (
        {row for one in sky.all_points(sky.draw(how)) for row in zip(one.object_id, one.lon, strict=True)}
        for how in (rules, replace(rules, keep="all"))
    )
    assert detected < every


# -- kernels --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("detect", [thinning.detect, thinning.detect.py_func], ids=["compiled", "plain"])
def test_detection_is_a_comparison_of_whole_numbers(detect):
    rng = np.random.default_rng(2)
    visibility = np.array([1, ONE // 3, ONE, 2 * ONE, 3 * ONE], np.uint64)
    counts = np.full(5, 200)
    for v_max in (3 * ONE, 5 * ONE + 7, 1024 * ONE):
        bounds = np.array([(int(v) << 64) // v_max for v in visibility.repeat(200)], object)
        deviates = np.array(
            [min(max(int(b) + int(rng.integers(-2, 3)), 0), 2**64 - 1) for b in bounds], np.uint64
        )
        out = np.empty(1000, np.bool_)
        detect(deviates, counts, visibility, np.uint64(v_max), out)
        must = [int(d) * v_max < int(v) << 64 for d, v in zip(deviates, visibility.repeat(200), strict=True)]
        assert out.tolist() == must and 0 < sum(must) < 1000


@pytest.mark.parametrize("plain", [False, True], ids=["compiled", "plain"])
@given(st.lists(st.integers(0, 4), max_size=30))
def test_every_candidate_has_its_cell(plain, numbers):
    list_cells = thinning.list_cells.py_func if plain else thinning.list_cells
    counts = np.array(numbers, np.int64)
    place = np.zeros(counts.sum(), np.int64)
    list_cells(counts, place)
    assert np.array_equal(place, np.repeat(np.arange(counts.size), counts))


@pytest.mark.parametrize("plain", [False, True], ids=["compiled", "plain"])
def test_visibilities_are_rounded_half_to_even(plain):
    to_fixed = thinning.to_fixed.py_func if plain else thinning.to_fixed
    values = np.array([0.0, -0.0, 2.0**-33, 1.5 * 2.0**-32, 2.5 * 2.0**-32, 0.1, 1.0, 1024.0], np.float32)
    out = np.empty(values.size, np.uint64)
    assert to_fixed(values, float(ONE), 1024.0, out) == 5
    assert out.tolist() == [round(Fraction(float(one)) * ONE) for one in values]
    for wrong in (np.nan, np.inf, -1e-30, np.nextafter(np.float32(1024), np.float32(np.inf))):
        assert to_fixed(np.array([1.0, wrong, 0.0], np.float32), float(ONE), 1024.0, out) == -1


@pytest.mark.parametrize("plain", [False, True], ids=["compiled", "plain"])
def test_points_of_a_cell_are_sorted_in_place(plain):
    sort = thinning.sort_in_cells.py_func if plain else thinning.sort_in_cells
    list_points = thinning.list_points.py_func if plain else thinning.list_points
    rng = np.random.default_rng(3)
    counts = np.array([0, 3, 1, 200, 0, 32, 33, 0])
    kept = rng.random(counts.sum()) < 0.8
    place, draw = np.empty((2, kept.sum()), np.int64)
    list_points(counts, kept, place, draw)
    assert np.array_equal(place, np.repeat(np.arange(8), counts)[kept])
    assert np.array_equal(draw, np.concatenate([np.arange(n) for n in counts])[kept])
    pixel, lon, lat = rng.integers(0, 20, place.size), rng.random(place.size), rng.random(place.size)
    order = np.lexsort((draw, pixel, place))
    must = [one[order] for one in (pixel, draw, lon, lat)]
    sort(place, pixel, draw, lon, lat)
    for one, other in zip((pixel, draw, lon, lat), must, strict=True):
        assert np.array_equal(one, other)


# -- what is refused ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["indexed", "trim"])
def test_a_cut_must_be_settled_over_all_shards(scheme):
    draw = prepare(Rules(1, scheme=scheme, number=50), ORDER, SKY.totals)
    shard = draw.shards[0]
    for function in (points, count):
        with pytest.raises(InputError, match="needs its cut before points are drawn"):
            function(draw, SKY.fields[shard], shard)
    for shards in (draw.shards[1:], (*draw.shards, shard)):
        with pytest.raises(MapMismatchError, match="a cut needs each of the 6 shards of the draw once"):
            settle(draw, shards, serially(SKY.fields.__getitem__))


def test_orders_and_sub_cells_must_be_there():
    draw = SKY.draw(Rules(1, number=50, partial="subcells"))
    shard = draw.shards[0]
    field = SKY.fields[shard]
    with pytest.raises(MapMismatchError, match="cells of order 11, found a field of order 10"):
        points(draw, replace(field, order=10), shard)
    with pytest.raises(MapMismatchError, match="a field of order 11 and cells of order 10"):
        points(draw, field, shard, CellSet.everything(10))
    with pytest.raises(InputError, match="need the words of the map, found a map without them"):
        points(draw, replace(field, words=None), shard)
    anywhere = points(SKY.draw(Rules(1, number=50, partial="cell")), field, shard)
    without = points(SKY.draw(Rules(1, number=50)), replace(field, words=None), shard)
    assert digest([anywhere]) == digest([without]) != digest([points(draw, field, shard)])


# -- other people's software ----------------------------------------------------------------------------------


@pytest.mark.gpl
def test_points_are_those_of_healsparse():
    """The exact uniform randoms of healsparse: counts of cells, and places inside them, in a two-sample test."""
    healsparse = pytest.importorskip("healsparse")
    order, number = 7, 100_000
    rng = np.random.default_rng(10)
    cells = np.sort(rng.choice(2 * 4**order, 4000, replace=False)) + 3 * 4**order
    other = healsparse.HealSparseMap.make_empty(32, 1 << order, np.float32)
    other.update_values_pix(cells, np.ones(cells.size, np.float32), nest=True)
    lon, lat = healsparse.make_uniform_randoms(other, number, rng=np.random.RandomState(3))
    sky = Sky(order, cells, np.ones(cells.size))
    mine = sky.all_points(sky.draw(Rules(4, scheme="exact", number=number)))
    x, y = (np.concatenate([getattr(one, name) for one in mine]) for name in ("lon", "lat"))
    counts = [
        np.bincount(np.searchsorted(cells, hpx.cells_at(*at, order)) // 40, minlength=100)
        for at in ((lon, lat), (x, y))
    ]
    assert stats.chi2_contingency(counts).pvalue > 1e-3
    inside = [hpx.face_coordinates(*at)[1:] for at in ((lon, lat), (x, y))]
    for axis in (0, 1):
        one, two = (np.mod(at[axis] * 2.0**order, 1.0) for at in inside)
        assert stats.ks_2samp(one, two).pvalue > 1e-3


@pytest.mark.parametrize("rules", [Rules(7, number=3000, scheme="exact"), Rules(7, density_deg2=900.0)])
def test_a_map_in_memory_is_drawn_at_once(rules: Rules) -> None:
    """Over several shards; place is that in the whole map."""
    cells = CellSet.from_ranges(11, [(260_000, 270_000), (900_000, 901_000)])
    values = np.linspace(0.0, 1.2, len(cells)).astype(np.float32)
    found = random_points(SkyMap(cells, values), rules)
    assert rules.number is None or len(found) == rules.number
    assert np.array_equal(cells.cells()[found.place], found.cell)
    assert (np.diff(found.pixel29) >= 0).all()
    nothing = random_points(SkyMap(CellSet(11), np.empty(0, np.float32)), Rules(7, density_deg2=5.0))
    assert len(nothing) == 0
