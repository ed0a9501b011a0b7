"""Bit masks: joint fractions from tiny pixel arrays (experiment 9), columns, names and defaults."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from make_helpers import TABLE, count, frame, key, parameters, ref
from vmpz.errors import InputError, MissingProductError
from vmpz.make import bitmask, coverage
from vmpz.make.bitmask import bit_maps
from vmpz.make.coverage import coverage_map
from vmpz.make.footprint import footprint_map

INVALID, SAT = 1 << 0, 1 << 3


@pytest.mark.parametrize(("overlap", "joint"), [(0, 0.6), (10, 0.5), (30, 0.3)])
@pytest.mark.parametrize("unused", [0, 1 << 31])
@pytest.mark.parametrize("names", [("INVALID", "SAT"), ("SAT", "INVALID")])
def test_joint_fraction_of_two_bits(overlap: int, joint: float, unused: int, names: tuple[str, str]) -> None:
    """Experiment 9: 30 % of pixels each, overlapping by 0, 10, 30 %."""
    flags = np.zeros(100, np.uint64)
    flags[:30] |= np.uint64(INVALID)
    flags[30 - overlap : 60 - overlap] |= np.uint64(SAT)
    flags[::7] |= np.uint64(unused)
    both = TABLE.select(names)
    counted = count(np.zeros(100, np.int64), flags, selections=[both])
    maps = bit_maps(counted, both)
    assert list(maps) == ["WEIGHT", "BIT00", "BIT03"]
    assert maps["WEIGHT"].values[0] == np.float32(joint)
    assert maps["BIT00"].values[0] == maps["BIT03"].values[0] == np.float32(0.3)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2**32 - 1)), min_size=1, max_size=60))
@settings(max_examples=40, deadline=None)
def test_laws_of_fractions(pixels: list[tuple[int, int]]) -> None:
    cell, flags = (np.array(column) for column in zip(*pixels, strict=True))
    cell[0] = 3
    selections = [
        TABLE.select(names) for names in (("INVALID",), ("SAT",), ("INVALID", "SAT"), TABLE.default)
    ]
    rms = np.where(flags % 5 == 0, 1e16, 1.0)
    counted = count(cell, flags.astype(np.uint64), {"RMS": rms}, selections)
    one, two, joint = (counted.fraction(f"flagged.{selection.text}") for selection in selections[:3])
    assert np.all(np.maximum(one, two) <= joint + 1e-15)
    assert np.all(joint <= np.minimum(1, one + two) + 1e-15)
    footprint, coverage = footprint_map(counted), coverage_map(counted, selections[3])
    assert np.all(coverage.values <= footprint.of_cells(coverage.cells.cells(), 0.0))
    assert np.all((coverage.values > 0) & (coverage.values <= 1))
    assert len(bit_maps(counted, selections[2])["WEIGHT"]) == np.count_nonzero(joint)


def test_or_and_and_majority_follow_from_fractions() -> None:
    flags = np.array([1, 0, 1, 1, 0, 0], np.uint64)
    selection = TABLE.select(["INVALID"])
    counted = count(np.array([0, 0, 1, 1, 2, 2]), flags, selections=[selection])
    fraction = bit_maps(counted, selection, zeros=True)["WEIGHT"].values
    assert (fraction > 0).tolist() == [True, True, False]
    assert (fraction == 1).tolist() == [False, True, False]
    assert (fraction >= 0.5).tolist() == [True, True, False]


def test_the_product_names_its_bits() -> None:
    settings = parameters(bitmask={"bits": ["SAT", "TOP", "INVALID"], "table": {}})
    of = ref()
    selection = TABLE.select(["SAT", "TOP", "INVALID"])
    counted = count(np.zeros(4, np.int64), np.array([1, 8, 1 << 31, 0], np.uint64), selections=[selection])
    product = bitmask.make(key("bitmask", selection=selection.text), frame(of), counted, settings)
    assert product.map.values[0] == 0.75
    assert list(product.maps) == ["WEIGHT", "BIT00", "BIT03", "BIT31"]
    expected = {
        "BITSEL": "0,3,31", "BITTABLE": "toy", "BITTABVR": "1", "BITN00": "INVALID", "BITN03": "SAT", "BITN31": "TOP",
        "WGTKIND": "FLAGFRAC", "DEGRULE": "COVERAGE",
    }  # fmt: skip
    assert product.keywords.items() >= expected.items()
    only = bitmask.make(
        product.key, frame(of), counted, parameters(bitmask={"bits": ["SAT"], "per_bit": False})
    )
    assert list(only.maps) == ["WEIGHT"]


def test_keys_choose_by_name_by_band_and_by_table() -> None:
    vis = ref(bit_table="vis-pf15")
    assert bitmask.keys(vis, parameters())[0].selection == "INVALID"
    by_instrument = parameters(bitmask={"bits": {"VIS": ["NO_DATA", "SAT"], "NISP": ["SATUR"]}})
    assert bitmask.keys(vis, by_instrument)[0].selection == "SAT,NO_DATA"
    override = parameters(bitmask={"bits": ["CR_REGION"], "table": {"VIS": "vis-pf14"}})
    assert bitmask.keys(ref(), override)[0].selection == "CR_REGION"
    with pytest.raises(InputError, match="found HALO"):
        bitmask.keys(vis, parameters(bitmask={"bits": ["HALO"]}))
    with pytest.raises(InputError, match="found INVALID"):
        bitmask.keys(ref(), parameters(bitmask={"bits": ["INVALID"]}))


def test_the_digest_sees_what_matters_and_no_more() -> None:
    """Flagged fractions have no polarity: a bit mask is the same in either convention of coverage."""
    of = ref(bit_table="vis-pf15")
    (only,) = bitmask.keys(of, parameters())
    plain, mer, zeros, joint = (
        bitmask.section(only, of, parameters(**one))
        for one in (
            {},
            {"maps": {"coverage_convention": "MER"}},
            {"maps": {"write_zeros": True}},
            {"bitmask": {"per_bit": False}},
        )
    )
    assert plain == mer
    assert plain != zeros
    assert plain != joint


def test_masks_of_the_parameters_are_bits_of_every_table() -> None:
    masks = [
        {"name": "HALO", "shape": "halo", "catalogue": "a.fits", "a_arcsec": 9},
        {"name": "STREAK", "shape": "polygons", "catalogue": "b.json", "marks": "defect"},
    ]
    settings = parameters(masks=masks, bitmask={"bits": ["STREAK", "SAT", "HALO"], "table": {}})
    vis = ref(bit_table="vis-pf15")
    (only,) = bitmask.keys(vis, settings)
    assert only.selection == "SAT,HALO,STREAK"
    wanted = bitmask.needs(only, vis, settings)
    assert {one.bitsel for one in wanted.selections} == {"3,33,34"} and wanted.tables == set()
    assert (
        coverage.keys(vis, settings)[0].selection == "INVALID,SAT,NO_DATA"
    )  # vetoed where they are named alone
    vetoed = parameters(masks=masks, coverage={"bits": ["INVALID", "HALO"]})
    assert coverage.keys(vis, vetoed)[0].selection == "INVALID,HALO"
    table = TABLE.with_masks({"HALO": "source", "STREAK": "defect"})
    selection = table.select(only.selection.split(","))
    counted = count(np.zeros(4, np.int64), np.array([8, 0, 1, 0], np.uint64), selections=[selection])
    zero = {"bit.33": np.array([1]), "bit.34": np.array([0])}
    counted = replace(counted, columns={**counted.columns, **zero})
    product = bitmask.make(only, frame(vis, masks={"HALO": (), "STREAK": ()}), counted, settings)
    assert list(product.maps) == ["WEIGHT", "BIT03", "BIT33", "BIT34"]
    expected = {"BITSEL": "3,33,34", "BITN33": "HALO", "BITN34": "STREAK", "BITTABLE": "toy"}
    assert product.keywords.items() >= expected.items()
    with pytest.raises(InputError, match="every name must stand once, found SAT twice"):
        bitmask.keys(vis, parameters(masks=[{**masks[0], "name": "SAT"}]))
    alone = ref()
    assert bitmask.keys(alone, parameters(masks=masks))[0].selection == "-"
    settings = parameters(masks=masks, bitmask={"bits": ["HALO"]})
    assert bitmask.keys(alone, settings)[0].selection == "HALO"
    assert bitmask.needs(bitmask.keys(alone, settings)[0], alone, settings).planes == set()


def test_the_digest_knows_the_masks_that_a_key_names() -> None:
    halo = {"name": "HALO", "shape": "halo", "catalogue": "a.fits", "a_arcsec": 9}
    of = ref(bit_table="vis-pf15")
    bare, same, other = (
        parameters(bitmask={"bits": ["HALO"]}, masks=[one])
        for one in (halo, {**halo, "catalogue": "b.fits"}, {**halo, "a_arcsec": 8})
    )
    (only,) = bitmask.keys(of, bare)
    assert bitmask.section(only, of, bare) == bitmask.section(
        only, of, same
    )  # what a catalogue holds is an input
    assert bitmask.section(only, of, bare) != bitmask.section(only, of, other)
    plain = key("bitmask", selection="INVALID")
    assert bitmask.section(plain, of, bare) == bitmask.section(plain, of, parameters())
    assert coverage.section(plain, of, bare) == coverage.section(plain, of, parameters())


def test_without_a_table_there_is_no_default_bit_mask() -> None:
    of = ref()
    (only,) = bitmask.keys(of, parameters())
    assert only.selection == "-"
    assert bitmask.needs(only, of, parameters()).planes == {"FLAG"}
    with pytest.raises(MissingProductError, match="what the flags mean"):
        bitmask.make(only, frame(of, bits=None), count(np.zeros(1, np.int64)), parameters())
    with pytest.raises(MissingProductError, match=f"nor the default of table {TABLE.name} gives one"):
        bitmask.make(only, frame(of, bits=TABLE), count(np.zeros(1, np.int64)), parameters())
    with pytest.raises(InputError, match="at least one flag"):
        bit_maps(count(np.zeros(1, np.int64)), TABLE.select(()))
    with pytest.raises(MissingProductError, match="there is no FLAG"):
        sat = key("bitmask", selection="SAT")
        bitmask.make(sat, frame(ref(planes=("RMS",))), count(np.zeros(1, np.int64)), parameters())
