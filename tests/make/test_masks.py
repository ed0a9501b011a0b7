"""Masks against the dense sky, sets against Python and mocpy, areas, curves, orders, products, intersections."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mocpy import MOC

from vmpz.errors import InputError, MapMismatchError
from vmpz.make import masks, scene
from vmpz.make.expressions import TRUE, ExpressionError, Operand, number_of, parse, truth_of
from vmpz.make.masks import area_curve, even_cuts, intersection, mask, mask_product
from vmpz.make.scene import Layer, scene_of
from vmpz.products import Product, ProductKey
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap

CELL = hpx.cell_area_deg2
RULES = {"OBSFRAC": "COVERAGE", "FLAGFRAC": "COVERAGE", "MAG": "LOGQUAD", "VALUE": "NONE"}
KINDS = {"OBSFRAC": "coverage", "FLAGFRAC": "bitmask", "MAG": "depth", "VALUE": "info"}


def layer(order, cells, values, kind="OBSFRAC", band="VIS", **more):
    """A map of a patch."""
    key = ProductKey(
        "demo",
        more.pop("product", KINDS[kind]),
        instrument=more.pop("instrument", band),
        band=band,
        order=order,
    )
    words = {"WGTKIND": kind, "DEGRULE": RULES[kind], **more}
    return Layer(Product(key, {"WEIGHT": SkyMap.from_cells(order, cells, np.float32(values))}, None, words))


def of_set(cells, **more):
    """A plain MOC."""
    return layer(cells.order, cells.cells(), np.ones(len(cells)), product="footprint", band="-", **more)


def made(text, layers, *, order=None, within=None, **more):
    """Mask, areas and scene of an expression."""
    expression = parse(text)
    where = scene_of(expression, layers, order, within)
    return *mask(expression, where, **more), where


def cells_of(text, layers, **more):
    return made(text, layers, **more)[0].cells


# -- against the dense sky --------------------------------------------------------------------------------------------

FEW = 12 * 4**3


@st.composite
def maps(draw, kinds=("OBSFRAC", "MAG")):
    """A map of order 0 to 3."""
    order = draw(st.integers(0, 3))
    cells = draw(st.sets(st.integers(0, 12 * 4**order - 1), max_size=12))
    cells |= set(range(draw(st.integers(0, 12 * 4**order)))) if draw(st.booleans()) else set()
    kind = draw(st.sampled_from(kinds))
    choices = [0.25, 0.5, 1.0] if kind == "OBSFRAC" else [24.0, 25.0, 25.5]
    whole = draw(st.booleans())
    values = [1.0 if whole and kind == "OBSFRAC" else draw(st.sampled_from(choices)) for _ in cells]
    return layer(order, sorted(cells), values, kind)


def dense(one, order=3):
    """The map on every cell of the sky, NaN or 0 where it is absent."""
    cells = np.arange(12 * 4**order) >> 2 * (order - one.map.order)
    return Operand(one.map.of_cells(cells, 0.0 if one.is_fraction else np.nan), one.is_fraction)


EXPRESSIONS = [
    "A", "~A", "A & B", "A | B", "A - B", "A ^ B", "~(A | B) & C", "A > 0.4", "not A > 24.5", "A > 0.4 and B > 24.5",
    "(A - B) | C", "known(A) & ~known(B)", "A >= B or C == 0.5", "abs(A - B) < 1 and not C", "24 < A < 26 and B",
    "(A > 0) + (B > 0) + (C > 0) >= 2", "min(A, B) > 0.4", "(A < 0.3) | ~B & C",
]  # fmt: skip


@given(st.sampled_from(EXPRESSIONS), maps(), maps(), maps(), st.sampled_from([9, 1 << 19]))
@settings(max_examples=100, deadline=None)
def test_masks_are_those_of_the_dense_sky(text, one, two, three, block):
    layers = {
        name: item for name, item in zip("ABC", (one, two, three), strict=True) if name in parse(text).names
    }
    scene.BLOCK, before = block, scene.BLOCK
    try:
        found, areas, where = made(text, layers, within=CellSet.everything(0))
    finally:
        scene.BLOCK = before
    order, expression = where.order, parse(text)
    operands = {name: dense(item, order) for name, item in layers.items()}
    if expression.is_logical(where.fractions):
        wanted = np.flatnonzero(truth_of(expression.root, operands) == TRUE)
        assert np.array_equal(found.cells.cells(), wanted)
        assert np.all(found.values == 1) and found.values.dtype == np.float32
        assert areas.kept_deg2 == wanted.size * CELL(order)
    else:
        values = number_of(expression.root, operands).astype(np.float32)
        known = np.flatnonzero(np.isfinite(values))
        assert found == SkyMap.from_cells(order, known, values[known])
    assert areas.within_deg2 == 12 * 4**order * CELL(order)


@given(st.lists(maps(), min_size=1, max_size=3), st.integers(0, 3), st.sampled_from([1, 7, 1 << 19]))
@settings(max_examples=80, deadline=None)
def test_pieces_cover_every_cell_once_and_nothing_changes_in_them(several, order, block):
    layers = {f"m{n}": one for n, one in enumerate(several)}
    order = max(order, *(one.map.order for one in several))
    inside = CellSet.union([one.map.cells.at_order(order) for one in several])
    where = scene_of(parse("m0 > 0"), layers, order, inside)
    scene.BLOCK, before = block, scene.BLOCK
    try:
        pieces = list(where.pieces())
    finally:
        scene.BLOCK = before
    cells = [np.arange(a, a + n) for p in pieces for a, n in zip(p.start, p.length, strict=True)]
    assert np.array_equal(np.concatenate([*cells, []]), inside.cells())
    for name, one in layers.items():
        values = [np.repeat(piece.maps[name].values, piece.length) for piece in pieces]
        wanted = dense(one, order).values[inside.cells()]
        assert np.array_equal(np.concatenate([*values, []]), wanted, equal_nan=True)


# -- sets -------------------------------------------------------------------------------------------------------------


def sets(order=4):
    number = st.integers(0, 12 * 4**order - 1)
    spans = st.lists(st.tuples(number, st.integers(0, 200)), max_size=6)
    return spans.map(
        lambda rows: CellSet.from_ranges(order, [(a, min(a + n, 12 * 4**order)) for a, n in rows])
    )


@given(sets(), sets(), sets(2))
@settings(max_examples=50, deadline=None)
def test_set_algebra_is_that_of_python_and_of_mocpy(one, two, coarse):
    layers = {"A": of_set(one), "B": of_set(two)}
    a, b = set(one.cells().tolist()), set(two.cells().tolist())
    sky = set(range(12 * 4**4))
    wanted = {
        "A & B": (a & b, one.to_moc().intersection(two.to_moc())),
        "A | B": (a | b, one.to_moc().union(two.to_moc())),
        "A ^ B": (a ^ b, one.to_moc().symmetric_difference(two.to_moc())),
        "~A": (sky - a, one.to_moc().complement()),
        "A - B": (a - b, one.to_moc().intersection(two.to_moc().complement())),
        "~(A | B)": (sky - a - b, one.to_moc().union(two.to_moc()).complement()),
    }
    for text, (members, moc) in wanted.items():
        found = cells_of(text, {name: layers[name] for name in parse(text).names})
        assert set(found.cells().tolist()) == members, text
        assert found.to_moc() == moc, text
    fine = cells_of("A | B", {"A": layers["A"], "B": of_set(coarse)})
    assert fine == one | coarse.at_order(4)


@given(sets(), sets())
@settings(max_examples=40, deadline=None)
def test_laws_of_sets(one, two):
    layers = {"A": of_set(one), "B": of_set(two)}

    def same(left, right):
        assert cells_of(left, layers) == cells_of(right, layers)

    same("~(A & B)", "~A | ~B")
    same("not (A or B)", "not A and not B")
    same("(A & A) - ~B", "A & B")
    same("A ^ B", "(A | B) - (A & B)")


def test_a_set_of_the_deepest_order_is_never_unfolded():
    """Borders cost, cells do not: a quarter of the sky at order 29 beside a few cells of a depth map."""
    deep = CellSet(29, [(5, 1 << 58)])
    where = scene.Scene(29, CellSet.everything(29), {"A": deep}, frozenset("A"))
    assert sum(len(piece.start) for piece in where.pieces()) == 3
    with pytest.raises(InputError, match="at most 268435456 cells, found more at order 29"):
        mask(parse("A"), where)
    deep_depth = layer(3, [0, 1, 700], [24, 25, 26], "MAG")
    where = scene.Scene(
        29, deep_depth.map.cells.at_order(29), {"A": deep, "d": deep_depth.map}, frozenset("A")
    )
    assert sum(len(piece.start) for piece in where.pieces()) == 4
    assert area_curve(parse("A & (d > 24)"), where, "d", [23, 24.5])[1] == (24.5, pytest.approx(CELL(3)))


def test_where_an_expression_is_about_the_whole_sky():
    """A set expression that holds of nothing is; a cut is about the cells of its maps."""
    coverage = {"c": layer(3, [1, 2, 3], [0.5, 1.0, 0.25])}
    assert len(cells_of("~c", coverage)) == 12 * 4**3 - 3
    assert cells_of("not c > 0.4", coverage).cells().tolist() == [3]
    assert cells_of("c < 0.6", coverage).cells().tolist() == [1, 3]
    assert cells_of("c < 0.6", coverage, within=CellSet.from_cells(2, [0])).cells().tolist() == [0, 1, 3]
    assert len(cells_of("c < 0.6", coverage, within=CellSet.everything(3))) == 12 * 4**3 - 1
    assert cells_of("known(c)", coverage).cells().tolist() == [1, 2, 3]
    depth = coverage | {"d": layer(3, [2, 3, 4], [24, 25, 26], "MAG")}
    assert cells_of("c - d", depth).cells().tolist() == [1]
    assert cells_of("~c & d", depth).cells().tolist() == [4]
    assert cells_of("d > 24.5 or c < 0.3", depth).cells().tolist() == [3, 4]


# -- orders -----------------------------------------------------------------------------------------------------------


def test_a_coarse_value_is_that_of_its_children():
    layers = {"d": layer(2, [0, 1], [24.0, 25.0], "MAG"), "c": layer(3, [0, 3, 4, 7], [1.0, 0.9, 0.5, 1.0])}
    found, _, where = made("d > 24.5 and c > 0.8", layers)
    assert where.order == 3 and found.cells.cells().tolist() == [7]
    assert len(cells_of("d > 24.5", {"d": layers["d"]}, order=4)) == 16


def test_a_fine_map_is_degraded_by_its_own_rule():
    depth = layer(3, [0, 1, 2, 3], [25, 25.5, 26, 26.5], "MAG")
    assert len(cells_of("abs(d - 25.490784) < 1e-5", {"d": depth}, order=2)) == 1
    coverage = SkyMap.from_cells(3, [0, 1, 2, 3], np.float32([1, 0, 0, 0]))
    weighed = Layer(depth.product, weight=coverage)
    assert len(cells_of("d == 25", {"d": weighed}, order=2)) == 1
    fraction = layer(3, [0, 1], [1.0, 0.5])
    assert made("c == 0.375", {"c": fraction}, order=2)[0].cells.cells().tolist() == [0]
    with pytest.raises(MapMismatchError) as error:
        made("x > 3", {"x": layer(3, [0], [4.0], "VALUE")}, order=2)
    assert "wanted at order 2" in error.value.__notes__[0]


# -- areas ------------------------------------------------------------------------------------------------------------


@given(maps(), maps(("OBSFRAC",)), maps())
@settings(max_examples=40, deadline=None)
def test_areas_add_up_and_terms_say_what_they_cost(one, two, three):
    layers = {"A": one, "B": two, "C": three}
    for weight in (None, "B"):
        text = "known(A) and B > 0.3 and (C > 24.5 or ~C)"
        found, areas, where = made(text, layers, weight=weight)
        _, other, _ = made(f"not ({text})", layers, weight=weight)
        unknown = made(f"not known({text.split(' and ')[2]})", layers, weight=weight)[1].kept_deg2
        assert unknown == 0.0
        assert areas.kept_deg2 + other.kept_deg2 == pytest.approx(areas.within_deg2, rel=1e-12)
        cells = where.within.cells()
        operands = {name: dense(item, where.order) for name, item in layers.items()}
        size = CELL(where.order) * (
            operands["B"].values[cells].astype(float) if weight else np.ones(cells.size)
        )
        truth = np.array([truth_of(term, operands)[cells] == TRUE for term in parse(text).terms])
        for place, term in enumerate(areas.terms):
            others = np.delete(truth, place, axis=0).all(axis=0)
            assert term.removes_deg2 == pytest.approx(size[~truth[place]].sum(), abs=1e-9)
            assert term.only_deg2 == pytest.approx(size[~truth[place] & others].sum(), abs=1e-9)
            assert term.left_deg2 == pytest.approx(size[truth[: place + 1].all(axis=0)].sum(), abs=1e-9)
        assert areas.terms[-1].left_deg2 == pytest.approx(areas.kept_deg2)
        assert areas.kept_deg2 == pytest.approx(
            SkyMap(found.cells, np.ones(len(found))).integral_deg2()
            if not weight
            else size[truth.all(axis=0)].sum()
        )


@given(maps(("MAG",)), maps(("OBSFRAC",)), st.sampled_from(["<", "<=", ">", ">="]), st.booleans())
@settings(max_examples=40, deadline=None)
def test_the_curve_is_the_area_of_the_mask_at_every_cut(depth, coverage, operator, weighed):
    layers = {"d": depth, "c": coverage}
    text = "d {operator} {cut} and c > 0.3"
    weight = "c" if weighed else None
    expression = parse(text.format(operator=operator, cut=20))
    cuts = [25.5, 23.5, 24.0, 24.25, 25.0, 26.0]
    curve = area_curve(expression, scene_of(expression, layers), "d", cuts, weight=weight)
    assert [cut for cut, _ in curve] == sorted(cuts)
    for cut, area in curve:
        kept = made(text.format(operator=operator, cut=cut), layers, weight=weight)[1].kept_deg2
        assert area == pytest.approx(kept, abs=1e-9)


def test_which_cut_a_curve_varies():
    layers = {"d": layer(3, [0, 1, 2], [24, 25, 26], "MAG"), "c": layer(3, [0, 1], [0.7, 1.0])}

    def counts(text, name, cuts):
        expression = parse(text)
        curve = area_curve(expression, scene_of(expression, layers), name, cuts)
        return [round(area / CELL(3)) for _, area in curve]

    assert counts("c > 0.2", "d", [24, 25, 26]) == [2, 1, 0], "where no term cuts, the cut is >="
    assert counts("24.5 > d", "d", [24, 25, 26]) == [0, 1, 2], "the direction is kept"
    assert counts("d + 0 > 24.5 and known(c)", "d", [24, 26]) == [2, 1], "what is no cut stays"
    assert counts("c >= 0.5", "c", [0.7, 0.70001, 1e300]) == [2, 1, 0], "in the type of the map"
    with pytest.raises(ExpressionError, match="at most must cut on d, found 2"):
        counts("24 < d < 26", "d", [25])
    with pytest.raises(ExpressionError, match="needs a cut, found the arithmetic"):
        counts("d + c", "d", [25])


def test_even_cuts():
    assert even_cuts(24, 24.5, 0.1) == [24.0, 24.1, 24.2, 24.3, 24.4, 24.5]
    assert even_cuts(0.013, 1.0)[:3] == [0.0, 0.05, 0.1] and even_cuts(0.013, 1.0)[-1] == 1.0
    cuts = even_cuts(23.37, 26.02)
    assert cuts[0] <= 23.37 and cuts[-1] >= 26.02 and len(cuts) < 60 and cuts[1] == 23.4
    assert even_cuts(1, 1) == [1.0]
    for bad in (
        (1, 2, 0),
        (1, 2, -1),
        (2, 1, 0.1),
        (0, 1, 1e-9),
        (0, np.inf, 1),
        (0, np.nan, 1),
        (0, 1, np.nan),
    ):
        with pytest.raises(InputError, match="must ascend by a positive step"):
            even_cuts(*bad)


def test_a_weight_must_be_a_fraction():
    layers = {"d": layer(3, [0], [24], "MAG")}
    for call in (mask, lambda *args, **more: area_curve(*args, "d", [24], **more)):
        with pytest.raises(InputError, match="must be a coverage or a footprint, found d"):
            call(parse("d > 3"), scene_of(parse("d > 3"), layers), weight="d")


# -- values and products ----------------------------------------------------------------------------------------------


def test_a_mask_may_hold_the_observed_fraction():
    layers = {
        "d": layer(3, [0, 1, 2, 3], [24, 25, 26, 27], "MAG"),
        "c": layer(3, [0, 1, 2], [0.5, 0.25, 1.0]),
    }
    found, areas, _ = made("d > 24.5", layers, weight="c", fraction=True)
    assert found == SkyMap.from_cells(3, [1, 2], np.float32([0.25, 1.0]))
    assert areas.kept_deg2 == pytest.approx(found.integral_deg2()) == pytest.approx(1.25 * CELL(3))


def test_arithmetic_gives_a_map_of_its_values():
    layers = {"d": layer(3, [0, 1, 2], [24, 25, 26], "MAG"), "e": layer(2, [0, 4], [23, 1], "MAG")}
    found, areas, _ = made("d - e", layers)
    assert found == SkyMap.from_cells(3, [0, 1, 2], np.float32([1, 2, 3]))
    assert areas.kept_deg2 == pytest.approx(3 * CELL(3)) and areas.terms == ()
    assert len(made("log10(d - 25)", layers)[0]) == 1, "no value where there is none"
    assert len(made("d * 1e300", layers)[0]) == 0


def product_of(text, layers, **more):
    expression = parse(text)
    where = scene_of(expression, layers)
    return mask_product(mask(expression, where, **more)[0], expression, layers, where, "demo")


DATES = {
    "DATE-OBS": "2024-05-01T00:00:00",
    "DATE-END": "2024-06-01T00:00:00",
    "TELESCOP": "Euclid",
    "LISTID": "demo",
}
LATER = {**DATES, "DATE-OBS": "2024-05-02T00:00:00", "DATE-END": "2024-07-01T00:00:00"}


def test_what_product_a_mask_is():
    vis, nir = (
        layer(3, [0, 1], [0.5, 1.0], **DATES),
        layer(3, [1, 2], [0.75, 1.0], band="NIR_H", instrument="NIR", **LATER),
    )
    one = product_of("c > 0.6", {"c": vis})
    assert one.key == ProductKey("demo", "footprint", instrument="VIS", band="VIS", order=3)
    assert one.keywords["MASKEXPR"] == "c > 0.6" and "FILTLST" not in one.keywords
    both = product_of("c >  0.6 and d>0.1", {"c": vis, "d": nir})
    assert both.key == ProductKey("demo", "footprint", order=3)
    assert both.keywords == {
        "WGTKIND": "OBSFRAC", "DEGRULE": "COVERAGE", "TILEAREA": 3 * CELL(3), "OBSAREA": CELL(3),
        "FILTLST": "VIS,NIR_H", "BANDREL": "VIS,NIR_H", "BANDPRC": "VIS,NIR_H", "MASKEXPR": "c > 0.6 and d>0.1",
        "TELESCOP": "Euclid", "LISTID": "demo", "DATE-OBS": "2024-05-01T00:00:00", "DATE-END": "2024-07-01T00:00:00",
    }  # fmt: skip
    values = product_of("c - 2 * d", {"c": vis, "d": nir})
    assert (values.key.kind, values.key.quantity, values.keywords["DEGRULE"]) == (
        "info",
        "Expression",
        "NONE",
    )
    effective = layer(3, [1], [1.0], product="effectivecoverage", band="-", FILTLST="VIS,NIR_Y")
    assert (
        product_of("e > 0.8 and d > 0", {"e": effective, "d": nir}).keywords["FILTLST"] == "VIS,NIR_Y,NIR_H"
    )


# -- intersections ----------------------------------------------------------------------------------------------------

BANDS = ("VIS", "NIR_Y", "NIR_J")


@given(st.lists(st.lists(st.tuples(*[st.booleans()] * 3), min_size=1, max_size=20), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_intersections_keep_the_bounds_that_hold_for_the_joint_fraction(cells):
    """Pixels of each cell that are good in three bands; the joint fraction lies between the bounds, so do the rules."""
    good = [np.array(pixels) for pixels in cells]
    bands = [np.float32([one[:, band].mean() for one in good]) for band in range(3)]
    joint = np.array([one.all(axis=1).mean() for one in good])
    maps_ = [layer(5, range(len(cells)), band, band=name) for band, name in zip(bands, BANDS, strict=True)]
    low = np.maximum(0, np.sum(bands, axis=0, dtype=float) - 2)
    high = np.min(bands, axis=0)
    for rule in ("MIN", "PRODUCT"):
        found = intersection([one.product for one in maps_], rule).map
        values = found.of_cells(np.arange(len(cells)), 0.0)
        assert np.all(values <= high) and np.all(values >= low - 1e-7) and np.all(found.values > 0)
        if rule == "MIN":
            assert np.all(joint <= values + 1e-7)
    assert np.all(joint >= low - 1e-7)


def test_an_intersection_is_one_product():
    vis = layer(3, [0, 1, 2], [0.5, 1.0, 0.2], TILEAREA=4 * CELL(3), **DATES).product
    nir = layer(
        3, [1, 2, 5], [0.75, 0.5, 1.0], band="NIR_H", instrument="NIR", TILEAREA=4 * CELL(3), **LATER
    ).product
    made_ = intersection([vis, nir], "PRODUCT")
    assert made_.key == ProductKey("demo", "effectivecoverage", order=3)
    assert made_.map == SkyMap.from_cells(3, [1, 2], np.float32([0.75, 0.1]))
    expected = {
        "EFFRULE": "PRODUCT", "FILTLST": "VIS,NIR_H", "BANDREL": "VIS,NIR_H", "BANDPRC": "VIS,NIR_H", "LISTID": "demo",
        "WGTKIND": "OBSFRAC", "DEGRULE": "COVERAGE", "TILEAREA": 4 * CELL(3), "DATE-END": "2024-07-01T00:00:00",
    }  # fmt: skip
    assert made_.keywords.items() >= expected.items()
    assert made_.keywords["OBSAREA"] == pytest.approx(0.85 * CELL(3))
    again = product_of("a * b", {"a": Layer(vis), "b": Layer(nir)})
    assert again.map == made_.map and again.key == made_.key and again.keywords["EFFRULE"] == "PRODUCT"
    least = product_of("min(a, b)", {"a": Layer(vis), "b": Layer(nir)})
    assert least.map == intersection([nir, vis], "MIN").map and least.keywords["EFFRULE"] == "MIN"
    prints = [layer(3, [0, 1], [1, 0.5], product="footprint", band=band).product for band in BANDS]
    whole = intersection(prints, "MIN")
    assert whole.key.kind == "footprint" and whole.keywords["FILTLST"] == "VIS,NIR_Y,NIR_J"
    assert whole.map == prints[0].map


def test_what_must_not_be_intersected():
    vis, nir = layer(3, [0], [0.5]).product, layer(3, [0], [0.5], band="NIR_H").product
    for products, error, message in (
        ([], InputError, "found none"),
        ([layer(3, [0], [24], "MAG").product], InputError, "found depth"),
        ([vis, vis], MapMismatchError, "bands to intersect must differ, found VIS, VIS"),
        (
            [vis, layer(4, [0], [1], band="NIR_H").product],
            MapMismatchError,
            "order must agree, found 3 and 4",
        ),
        (
            [vis, layer(3, [0], [1], product="footprint", band="NIR_H").product],
            MapMismatchError,
            "kind must agree",
        ),
    ):
        with pytest.raises(error, match=message):
            intersection(products, "MIN")
    with pytest.raises(InputError, match="MIN or PRODUCT, found JOINT"):
        intersection([vis, nir], "JOINT")


def test_mocpy_reads_what_was_meant():
    """A check of the oracle: its complement is that of the sky."""
    assert MOC.from_string("0/0").complement() == MOC.from_string("0/1-11")
    assert masks.MOST_CELLS == 1 << 28
