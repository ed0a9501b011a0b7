"""Joining block by block is concatenation, clip and degrading of the whole; what is held; what is refused."""

import weakref
from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from make_helpers import key
from vmpz.errors import MapMismatchError
from vmpz.make import joining
from vmpz.make.joining import (
    BLOCK_LEVELS,
    MergePlan,
    Source,
    block_order,
    merged_units,
    native,
    places_of,
    rows_of,
)
from vmpz.make.merge import merge
from vmpz.products import Product
from vmpz.sky.cells import CellSet
from vmpz.sky.degrading import DEGRADE_RULES, FRACTIONAL
from vmpz.sky.skymap import SkyMap

laws = settings(max_examples=60, deadline=None)
ORDER = 12
"""Blocks are then cells of order 3."""
BLOCK = 4**BLOCK_LEVELS
ROW = np.dtype([("PIXEL", ">i8"), ("WEIGHT", ">f4")])
TWO = np.dtype([("PIXEL", ">i8"), ("WEIGHT", ">f4"), ("BIT00", ">f4")])


def source(
    name: str, cells: object, values: object, row: np.dtype = ROW, identity: str | None = None
) -> Source:
    """A source in memory."""
    numbers = np.asarray(cells, np.int64)
    records = np.zeros(numbers.size, row)
    records["PIXEL"] = numbers
    for column in row.names[1:]:
        records[column] = values
    rows = rows_of(records)
    places = places_of(rows, ORDER)
    return Source(
        name, key("coverage", area=name), name if identity is None else identity, places, lambda: rows
    )


def plan(out_order: int = ORDER, rule: str = "COVERAGE", **more: object) -> MergePlan:
    return MergePlan(ORDER, out_order, rule, ROW, **more)


def joined(sources: list[Source], how: MergePlan, weights: list[Source] = ()) -> SkyMap:
    """The result as a map; units must come in the order of the sky, each with cells of its own."""
    cells, values, numbers = [], [], []
    for unit in merged_units(sources, weights, how):
        records = unit.rows().copy().view(how.row_type).ravel()
        mine = records["PIXEL"].astype(np.int64)
        assert set((mine >> 2 * (how.out_order - how.unit_order)).tolist()) <= {unit.number}
        assert np.all(np.diff(mine) > 0)
        cells.append(mine), values.append(native(records["WEIGHT"])), numbers.append(unit.number)
    assert numbers == sorted(set(numbers))
    whole = np.concatenate([*cells, np.empty(0, np.int64)])
    return SkyMap(
        CellSet.from_cells(how.out_order, whole), np.concatenate([*values, np.empty(0, np.float32)])
    )


RULES = st.sampled_from([rule for rule in DEGRADE_RULES if rule != "OR"])
NUMBERS = st.integers(0, 40) | st.integers(BLOCK - 20, BLOCK + 20) | st.integers(0, 12 * 4**ORDER - 1)


@st.composite
def tilings(draw):
    """Cells with values and weights in 1/64 (sums are exact), shared out among tiles, and the map of all of them."""
    cells = sorted(draw(st.sets(NUMBERS, min_size=1, max_size=60)))
    size = {"min_size": len(cells), "max_size": len(cells)}
    values = np.array(draw(st.lists(st.integers(20 * 64, 27 * 64), **size)), np.float32) / 64
    weights = np.array(draw(st.lists(st.integers(0, 64), **size)), np.float32) / 64
    owner = np.array(draw(st.lists(st.integers(0, 4), **size)))
    numbers = np.array(cells)
    tiles = [source(f"tile {k}", numbers[owner == k], values[owner == k]) for k in range(5)]
    shares = [source(f"share {k}", numbers[owner == k], weights[owner == k]) for k in range(5)]
    where = CellSet.from_cells(ORDER, numbers)
    return tiles, shares, SkyMap(where, values), SkyMap(where, weights)


@st.composite
def regions(draw):
    """No region, or ranges of cells."""
    ranges = draw(st.none() | st.lists(st.tuples(NUMBERS, NUMBERS).map(sorted), max_size=3))
    return None if ranges is None else CellSet.from_ranges(ORDER, ranges)


@laws
@given(tilings(), regions(), st.sampled_from([12, 11, 8, 3, 2, 0]), RULES, st.booleans(), st.randoms())
def test_block_by_block_is_the_whole_at_once(tiling, region, out_order, rule, weighted, random):
    tiles, shares, whole, weight = tiling
    random.shuffle(tiles)
    random.shuffle(shares)
    weighed = weighted and rule in ("MEAN", "QUAD", "LOGQUAD", "LOG", "MODE") and out_order < ORDER
    how = plan(out_order, rule, region=region, weight_type=ROW if weighed else None)
    made = joined(tiles, how, shares)
    clipped = whole if region is None else whole.clip(region)
    wanted = clipped.degrade(out_order, rule, weight if weighed else None)
    assert made.cells == wanted.cells
    assert made.values.tobytes() == wanted.values.astype(np.float32).tobytes()  # to the bit


def test_bit_sets_are_united():
    row = np.dtype([("PIXEL", ">i8"), ("WEIGHT", ">i8")])
    tiles = [source("a", [0, 5], [1, 2], row), source("b", [1, 3], [4, 9], row)]
    how = replace(plan(ORDER - 1, "OR"), row_type=row)
    made = joined(tiles, how)
    assert made.cells.cells().tolist() == [0, 1] and made.values.tolist() == [13, 2]


def test_every_column_is_degraded():
    tiles = [source("a", [0, 1], 0.5, TWO), source("b", [2, 3, 9], 1.0, TWO)]
    (unit,) = merged_units(tiles, (), replace(plan(ORDER - 1), row_type=TWO))
    records = unit.rows().view(TWO).ravel()
    assert records["PIXEL"].tolist() == [0, 2]
    assert records["WEIGHT"].tolist() == records["BIT00"].tolist() == [0.75, 0.25]


@pytest.mark.parametrize("rule", sorted(FRACTIONAL))
def test_whole_numbers_are_never_made_fractions_and_cut_off(rule):
    cells = CellSet.from_ranges(ORDER, [(0, 3)])
    one = Product(
        key("info", order=ORDER), {"WEIGHT": SkyMap(cells, np.array([1, 2, 2]))}, None, {"DEGRULE": rule}
    )
    with pytest.raises(
        MapMismatchError, match=f"WEIGHT must hold floats to be degraded by {rule}, found whole numbers"
    ):
        merge([one], "p", ORDER - 1)
    assert merge([one], "p").map == one.map
    assert merge([replace(one, keywords={"DEGRULE": "SUM"})], "p", ORDER - 1).map.values.tolist() == [5]
    assert merge([replace(one, keywords={"DEGRULE": "MODE"})], "p", ORDER - 1).map.values.tolist() == [2]


def test_columns_that_are_not_known_in_the_same_places_are_refused():
    one = source("a", [0, 5], 25.0, TWO)
    one.load().view(TWO).ravel()["BIT00"][1] = np.nan
    (unit,) = merged_units([one], (), replace(plan(ORDER - 1, "MEAN"), row_type=TWO))
    with pytest.raises(MapMismatchError, match="column BIT00 must be known where WEIGHT is"):
        unit.rows()


# -- merging is commutative, associative and idempotent ---------------------------------------------------------------


def product(name: str, cells: CellSet, values: np.ndarray) -> Product:
    words = {"WGTKIND": "OBSFRAC", "DEGRULE": "COVERAGE", "TILEAREA": cells.area_deg2, "TELESCOP": "Euclid"}
    return Product(key("coverage", area=name, order=ORDER), {"WEIGHT": SkyMap(cells, values)}, None, words)


@laws
@given(tilings(), st.sampled_from([ORDER, 7, 1]))
def test_any_grouping_gives_the_same_map(tiling, order):
    _, _, whole, _ = tiling
    cells = np.array_split(whole.cells.cells()[::-1], 3)
    parts = [
        product(str(k), CellSet.from_cells(ORDER, one), whole.clip(CellSet.from_cells(ORDER, one)).values)
        for k, one in enumerate(cells)
        if one.size
    ]
    at_once = merge(parts, "p", order)
    assert at_once == merge(parts[::-1], "p", order)
    for one, two in combinations(parts, 2):
        rest = [part for part in parts if part is not one and part is not two]
        grouped = merge([merge([one, two], "q"), *rest], "p", order)
        assert grouped.map == at_once.map and grouped.key == at_once.key
        near = {"TILEAREA": pytest.approx(at_once.keywords["TILEAREA"], rel=1e-14)}
        assert grouped.keywords == {**at_once.keywords, **near}
    again = merge([at_once], "p")
    assert again.map == at_once.map and again.key == at_once.key
    assert again.keywords == at_once.keywords


# -- what is loaded, and when -----------------------------------------------------------------------------------------


class Counted:
    """Sources that tell when they are loaded, and which of them are held."""

    def __init__(self, count: int) -> None:
        self.loads: list[int] = []
        rng = np.random.default_rng(3)
        edges = np.sort(rng.choice(40 * BLOCK, 2 * count, replace=False)).reshape(-1, 2)
        self.sources = [self._counting(k, np.arange(a, b, 997)) for k, (a, b) in enumerate(edges)]

    def _counting(self, number: int, cells: np.ndarray) -> Source:
        one = source(str(number), cells, 0.5)

        def load():
            self.loads.append(number)
            return one.load()

        return replace(one, load=load)

    def blocks(self, number: int) -> set[int]:
        return {block for block, _, _ in self.sources[number].places}


@pytest.mark.parametrize("out_order", [ORDER, 3, 1, 0])
def test_every_source_is_loaded_once_and_only_for_what_is_made(out_order):
    counted = Counted(30)
    units = list(merged_units(counted.sources, (), plan(out_order)))
    assert counted.loads == []
    how = plan(out_order)
    for unit in merged_units(counted.sources, (), how):
        before = len(counted.loads)
        unit.rows()
        shift = 2 * (block_order(ORDER) - how.unit_order)
        assert all(
            unit.number in {block >> shift for block in counted.blocks(k)} for k in counted.loads[before:]
        )
    assert sorted(counted.loads) == [k for k in range(30) if counted.blocks(k)]
    kept = Counted(30)
    for unit in merged_units(kept.sources, (), how):
        if unit.number != units[0].number:
            continue
        unit.rows()
    shift = 2 * (block_order(ORDER) - how.unit_order)
    assert set(kept.loads) == {
        k for k in range(30) if units[0].number in {block >> shift for block in kept.blocks(k)}
    }


class Tracked(np.ndarray):
    """An array that tells when it goes."""


@pytest.mark.parametrize("out_order", [ORDER, 3, 1, 0])
@pytest.mark.parametrize("weighted", [False, True])
def test_no_more_is_held_than_touches_a_block(out_order, weighted):
    """Also of a coarse result, whose units hold many blocks: files held open are few, memory is that of a block."""
    counted = Counted(40)
    held: dict[int, int] = {}
    most = 0

    def tracked(one: Source, number: int) -> Source:
        def load():
            nonlocal most
            rows = one.load().copy().view(Tracked)
            held[number] = held.get(number, 0) + 1
            weakref.finalize(rows, held.pop, number)
            most = max(most, len(held))
            return rows

        return replace(one, load=load)

    tiles = [tracked(one, k) for k, one in enumerate(counted.sources)]
    shares = [tracked(one, 100 + k) for k, one in enumerate(counted.sources)] if weighted else ()
    rule, row = ("MEAN", ROW) if weighted and out_order < ORDER else ("COVERAGE", None)
    for unit in merged_units(tiles, shares, plan(out_order, rule, weight_type=row)):
        unit.rows()
    touching = max(
        sum(block in counted.blocks(k) or block + 1 in counted.blocks(k) for k in range(40))
        for block in range(40)
    )
    assert 0 < most <= touching * (2 if row is not None else 1)
    assert not held


def test_no_more_tiles_are_loaded_than_may_be_however_many_reach_from_one_block_into_the_next(monkeypatch):
    monkeypatch.setattr(joining, "MOST_LOADED", 3)
    held: set[int] = set()
    most, loads = 0, 0

    def tracked(one: Source, number: int) -> Source:
        def load() -> np.ndarray:
            nonlocal most, loads
            rows = one.load().copy().view(Tracked)
            held.add(number)
            weakref.finalize(rows, held.discard, number)
            most, loads = max(most, len(held)), loads + 1
            return rows

        return replace(one, load=load)

    tiles = [source(str(k), [k, 9 * BLOCK + k], (k + 1) / 64) for k in range(20)]
    found = joined([tracked(one, k) for k, one in enumerate(tiles)], plan())
    assert found == joined(tiles, plan())
    assert most <= 4 and loads <= 40


# -- digests ----------------------------------------------------------------------------------------------------------


def digests(sources: list[Source], how: MergePlan, weights: list[Source] = ()) -> dict[int, str]:
    return {unit.number: unit.digest for unit in merged_units(sources, weights, how)}


def test_a_digest_changes_with_all_that_a_unit_is_made_of_and_with_nothing_else():
    tiles = [source("a", [0, 1, BLOCK + 1], 0.5), source("b", [2, 3], 0.5), source("c", [2 * BLOCK], 0.5)]
    how = plan()
    first = digests(tiles, how)
    assert list(first) == [0, 1, 2] and len(set(first.values())) == 3
    assert digests(tiles[::-1], how) == first
    other = source("b", [2, 3], 0.25, identity="b, made again")
    assert {k for k, one in digests([tiles[0], other, tiles[2]], how).items() if one != first[k]} == {0}
    assert {k for k, one in digests(tiles[:2], how).items() if one != first[k]} == set()
    added = digests([*tiles, source("d", [BLOCK + 5], 0.5)], how)
    assert {k for k, one in added.items() if one != first[k]} == {1}
    cut = digests(tiles, plan(region=CellSet.from_ranges(ORDER, [(0, BLOCK + 9)])))
    assert set(cut) == {0, 1} and cut[0] == first[0] and cut[1] != first[1]


def test_a_digest_changes_with_the_plan_and_the_weights():
    tiles, shares = [source("a", [0, 1], 25.0)], [source("w", [0, 1], 0.5)]
    plans = [plan(), plan(ORDER - 1), plan(ORDER - 1, "MEAN"), plan(ORDER - 2, "MEAN")]
    found = [digests(tiles, one)[0] for one in plans]
    how = plan(ORDER - 1, "MEAN", weight_type=ROW)
    found += [digests(tiles, how, shares)[0], digests(tiles, how, [replace(shares[0], identity="v")])[0]]
    found += [digests(tiles, how, [*shares, source("x", [2], 0.5)])[0]]
    assert len(set(found)) == len(found)


# -- what is refused --------------------------------------------------------------------------------------------------


def test_a_cell_in_two_products_is_refused_with_both_names():
    for cell in (0, 7, BLOCK + 3):
        tiles = [source("a", [cell, cell + 2], 0.5), source("b", [cell + 9], 1.0), source("c", [cell], 0.5)]
        for how in (plan(), plan(2)):
            with pytest.raises(
                MapMismatchError, match=f"^(a and c|c and a): cells must be disjoint, found {cell} in"
            ):
                joined(tiles, how)
    shares = [source("v", [0], 0.5), source("w", [0], 0.5)]
    with pytest.raises(MapMismatchError, match="v and w: cells must be disjoint"):
        joined([source("a", [0], 25.0)], plan(2, "MEAN", weight_type=ROW), shares)


def unsorted(cells: list[int]) -> np.ndarray:
    records = np.zeros(len(cells), ROW)
    records["PIXEL"] = cells
    return rows_of(records)


@laws
@given(st.lists(NUMBERS, min_size=2, max_size=12))
def test_rows_that_do_not_ascend_are_never_joined(cells):
    """Seen by their places, or when they are merged."""
    rows = unsorted(cells)
    ascends = all(a < b for a, b in pairwise(cells))
    try:
        one = Source("a.fits", key("coverage", area="a"), "a", places_of(rows, ORDER), lambda: rows)
        made = joined([one, source("b", [], [])], plan())
    except MapMismatchError as error:
        assert not ascends and "sorted by PIXEL" in str(error)
        return
    assert ascends and made.cells.cells().tolist() == cells


@pytest.mark.parametrize("cells", [[-1], [-5, 3], [12 * 4**ORDER], [0, 12 * 4**ORDER], [2**62]])
def test_cells_outside_the_sphere_are_refused(cells):
    with pytest.raises(MapMismatchError, match=r"PIXEL must lie in \[0, 201326592\), found"):
        places_of(unsorted(cells), ORDER)


def test_places_of_nothing_and_of_shallow_maps():
    assert places_of(unsorted([]), ORDER) == ()
    assert places_of(unsorted([0, 1, 47]), 1) == ((0, 0, 2), (11, 2, 3))
    assert places_of(unsorted([0, 5, 11]), 0) == ((0, 0, 1), (5, 1, 2), (11, 2, 3))
    assert list(merged_units([source("a", [], [])], (), plan())) == []
    assert list(merged_units([], (), plan())) == []
