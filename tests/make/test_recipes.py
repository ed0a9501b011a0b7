"""The table of recipes: every kind through one pass, needs that add up, and units that leave maps alone."""

import json

import numpy as np
import pytest

from make_helpers import TABLE, count, frame, parameters, ref
from vmpz.bits import Bit, BitTable
from vmpz.make import RECIPES, PassNeeds, needs
from vmpz.make.needs import table_in
from vmpz.products import KINDS

BAND_KINDS = [kind for kind, recipe in RECIPES.items() if recipe.scope == "band"]


def test_every_kind_of_map_has_a_recipe() -> None:
    assert set(RECIPES) == set(KINDS) - {"statistics", "goodpixels"}
    assert all(kind == recipe.kind for kind, recipe in RECIPES.items())


def test_one_pass_serves_all_products() -> None:
    settings = parameters(
        info={"maps": ["Noise:RMSQ", "Background:MEDIAN", "Persistence:MEAN", "Tile:VALUE"]},
        depth={"bits": ["SAT"]},
        coverage={"effective": ["VIS"]},
    )
    of = ref(bit_table="vis-pf15")
    keys = [key for recipe in RECIPES.values() for key in recipe.keys(of, settings)]
    assert [key.kind for key in keys] == [*BAND_KINDS[:3], *["info"] * 4, "depth", "effectivecoverage"]
    wanted = needs(keys, of, settings)
    assert wanted.planes == {"RMS", "FLAG", "BACKGROUND"}
    assert {one.text for one in wanted.selections} == {"INVALID", "INVALID,SAT,NO_DATA", "SAT"}
    assert wanted.good is not None
    assert wanted.good.text == "SAT"
    assert wanted.keep_good is not None
    assert wanted.keep_good.text == "INVALID,SAT,NO_DATA"
    assert wanted.percents == {50.0}
    assert wanted.missing(of) == ()
    cell = np.repeat(np.arange(3), 4)
    flags = np.array([0, 1, 8, 0, 1 << 13, 0, 0, 0, 8, 8, 8, 8], np.uint64)
    planes = {"RMS": np.linspace(1, 2, 12), "BACKGROUND": np.linspace(-1, 1, 12)}
    bare = needs(keys, of, settings, TABLE)
    counted = count(cell, flags, planes, sorted(bare.selections, key=str), bare.good)
    for key in keys:
        recipe = RECIPES[key.kind]
        if recipe.scope == "tile":
            continue
        product = recipe.make(key, frame(of), counted, settings)
        assert product.key == key
        assert next(iter(product.maps)) == "WEIGHT"
        assert {"WGTKIND", "DEGRULE", "TELESCOP"} <= product.keywords.keys()
        assert np.all(np.isfinite(product.map.values))
        assert recipe.section(key, of, settings) == recipe.section(key, of, settings)


def test_nothing_wanted_opens_nothing() -> None:
    assert needs([], ref(), parameters()) == PassNeeds()


def test_the_table_of_the_opened_frame_has_the_last_word_on_numbers() -> None:
    of = ref(bit_table="nir")
    settings = parameters()
    keys = RECIPES["coverage"].keys(of, settings)
    assert keys[0].selection == "INVALID,SATUR"
    swapped = BitTable("nir", "header", "NISP", (Bit(0, "SATUR"), Bit(7, "INVALID")))
    (selection,) = needs(keys, of, settings, swapped).selections
    assert selection.mask == 0b10000001
    counted = count(np.zeros(3, np.int64), np.array([1, 1 << 7, 1 << 10], np.uint64), selections=[selection])
    product = RECIPES["coverage"].make(keys[0], frame(of, bits=swapped), counted, settings)
    assert product.map.values[0] == pytest.approx(1 / 3)
    assert product.keywords["BITSEL"] == "0,7"
    named = parameters(bitmask={"table": {"VIS": "nir"}})
    table = table_in(frame(of, bits=swapped), named)
    assert table is not None
    assert table.name == "nir"
    assert table.version != "header"


@pytest.mark.parametrize("kind", BAND_KINDS)
def test_sections_are_plain_data(kind: str) -> None:
    of = ref(bit_table="vis-pf15")
    settings = parameters(depth={"extinction": {"map": "a", "law": "F99", "coefficients": {"VIS": 2.0}}})
    for key in RECIPES[kind].keys(of, settings):
        assert json.loads(json.dumps(RECIPES[kind].section(key, of, settings)))
