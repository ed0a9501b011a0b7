"""Effective coverage: JOINT on pixels, MIN and PRODUCT of maps, and the bounds that hold between them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from make_helpers import TABLE, cell_set, count, key, parameters, ref
from vmpz.errors import InputError, MissingProductError
from vmpz.make import effective
from vmpz.make.coverage import coverage_map
from vmpz.make.effective import combined_map, joint_map
from vmpz.sky.skymap import SkyMap

BANDS = ["VIS", "NIR_Y", "NIR_J"]
SAT = TABLE.select(["SAT"])
KEY = key("effectivecoverage", instrument="-", band="-")


@given(st.lists(st.tuples(st.integers(0, 4), *[st.booleans()] * 3), min_size=1, max_size=80))
@settings(max_examples=40, deadline=None)
def test_bounds(pixels: list[tuple[int, bool, bool, bool]]) -> None:
    cell, *bad = (np.array(column) for column in zip(*pixels, strict=True))
    cell[0] = 4
    bands = [count(cell, np.where(one, 8, 0).astype(np.uint64), selections=[SAT]) for one in bad]
    good = ~np.any(bad, axis=0)
    joint = np.array([np.count_nonzero(good[cell == one]) for one in range(5)])
    cells = cell_set(5)
    number = cells.cells()
    maps = [coverage_map(band, SAT) for band in bands]
    exact = joint_map(bands[0], joint).of_cells(number, 0.0)
    lowest = combined_map(maps, "MIN", cells).of_cells(number, 0.0)
    singles = sum(one.of_cells(number, 0.0).astype(float) for one in maps)
    assert np.all(exact <= lowest)
    assert np.all(exact >= np.maximum(0.0, singles - 2) - 1e-6)
    product = combined_map(maps, "PRODUCT", cells).of_cells(number, 0.0)
    assert np.all(product <= lowest)


def test_rules_by_hand() -> None:
    cells = cell_set(3)
    one = SkyMap(cells, np.float32([1.0, 0.5, 0.25]))
    two = SkyMap.from_cells(10, [1000, 1002], np.float32([0.5, 1.0]))
    assert np.array_equal(combined_map([one, two], "MIN", cells).values, np.float32([0.5, 0.25]))
    assert np.array_equal(
        combined_map([one, two], "PRODUCT", cells, zeros=True).values, np.float32([0.5, 0, 0.25])
    )
    with pytest.raises(InputError, match="MIN or PRODUCT, found MAX"):
        combined_map([one], "MAX", cells)


def test_products_and_what_they_need() -> None:
    bands = [ref(band=band) for band in BANDS]
    joint = parameters(coverage={"effective": BANDS})
    assert effective.keys(bands[0], parameters()) == []
    assert effective.keys(bands[0], joint) == [KEY]
    counted = count(np.zeros(4, np.int64), geom=np.array([0.5]))
    made = effective.make(KEY, bands, counted.cells, joint, statistics=counted, joint=np.array([3]))
    assert made.map.values[0] == np.float32(0.375)
    expected = {"EFFRULE": "JOINT", "FILTLST": "VIS,NIR_Y,NIR_J", "WGTKIND": "OBSFRAC", "TELESCOP": "-1"}
    assert made.keywords.items() >= expected.items()
    by_min = parameters(coverage={"effective": BANDS, "rule": "MIN"})
    maps = {
        band: SkyMap(counted.cells, np.float32([share]))
        for band, share in zip(BANDS, (0.5, 0.25, 1), strict=True)
    }
    assert effective.make(KEY, bands, counted.cells, by_min, coverages=maps).map.values[0] == 0.25
    for given_, what in (({"refs": bands[:2]}, "a frame"), ({"coverages": {}}, "a coverage")):
        arguments = {"refs": bands, "coverages": maps, **given_}
        with pytest.raises(MissingProductError, match=what):
            effective.make(KEY, arguments["refs"], counted.cells, by_min, coverages=arguments["coverages"])
    with pytest.raises(MissingProductError, match="were not kept"):
        effective.make(KEY, bands, counted.cells, joint)


def test_joint_pixels_must_be_the_same_pixels() -> None:
    """A band on another grid of the same shape would be joined to the wrong pixels."""
    joint = parameters(coverage={"effective": BANDS[:2]})
    counted = count(np.zeros(4, np.int64))
    one = ref(band="VIS")
    respelled = replace(one, band="NIR_Y", wcs_cards=one.wcs_cards.replace("10.0", "1.0E1"))
    moved = replace(one, band="NIR_Y", wcs_cards=one.wcs_cards.replace("CRPIX1  = 50.5", "CRPIX1  = 50.6"))
    larger = replace(one, band="NIR_Y", shape=(100, 102))
    made = effective.make(
        KEY, [one, respelled], counted.cells, joint, statistics=counted, joint=np.array([3])
    )
    assert made.map.values[0] == 0.75
    for other, found in ((moved, r"0\.1 px away"), (larger, r"\(100, 102\)")):
        with pytest.raises(InputError, match=rf"JOINT needs the pixels of 102018211 VIS.*{found}"):
            effective.make(KEY, [one, other], counted.cells, joint, statistics=counted, joint=np.array([3]))


def test_good_pixels_are_kept_for_joint_alone() -> None:
    of = ref(bit_table="vis-pf15")
    wanted = effective.needs(KEY, of, parameters(coverage={"effective": BANDS}))
    assert wanted.keep_good is not None
    assert wanted.keep_good.text == "INVALID,SAT,NO_DATA"
    assert wanted.planes == {"RMS", "FLAG"}
    assert (
        effective.needs(KEY, of, parameters(coverage={"effective": BANDS, "rule": "MIN"})).keep_good is None
    )
    assert effective.needs(KEY, of, parameters(coverage={"effective": ["NIR_Y"]})).planes == frozenset()
