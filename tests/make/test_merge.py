"""Merge: joining, keywords, degrading with the weight it states, and what is refused by name."""

import numpy as np
import pytest

from make_helpers import ORDER, key
from vmpz.errors import MapMismatchError
from vmpz.make.merge import merge
from vmpz.products import Product, Scalar
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap

COVERAGE = {"WGTKIND": "OBSFRAC", "DEGRULE": "COVERAGE", "TILEAREA": 0.5, "OBSAREA": 0.25}
DEPTH = {"WGTKIND": "MAG", "DEGRULE": "LOGQUAD", "MAGZERO": 24.6, "PIXSCALE": 0.1, "EXTCORR": True}


def tile(
    kind: str, area: str, first: int, values: object, keywords: dict[str, Scalar], **fields: object
) -> Product:
    """A product of cells in a row."""
    array = np.asarray(values, np.float32)
    cells = CellSet.from_ranges(ORDER, [(first, first + array.size)])
    return Product(key(kind, area=area, **fields), {"WEIGHT": SkyMap(cells, array)}, keywords=keywords)


def coverage(area: str, first: int, *values: float, **keywords: Scalar) -> Product:
    return tile("coverage", area, first, values, {**COVERAGE, **keywords})


def depth(area: str, first: int, *values: float, **keywords: Scalar) -> Product:
    return tile("depth", area, first, values, {**DEPTH, **keywords})


TILES = (coverage("1", 1000, 1.0, 0.5), coverage("2", 1002, 0.25, 0.25), coverage("3", 1008, 1.0))


def test_joining_is_concatenation_in_any_order() -> None:
    made = merge(TILES, "patch")
    assert made.map.cells.cells().tolist() == [1000, 1001, 1002, 1003, 1008]
    assert made.map.values.tolist() == [1.0, 0.5, 0.25, 0.25, 1.0]
    assert made.map.values.dtype == np.float32
    assert merge(TILES[::-1], "patch") == made
    assert made.key == key("coverage", area="patch")
    assert made.keywords["TILEAREA"] == 1.5
    assert made.keywords["OBSAREA"] == 0.75
    assert (made.keywords["TILEID"], made.keywords["LISTID"]) == (-1, "patch")
    assert "DEGWGT" not in made.keywords


def test_coverage_loses_no_area_when_degraded() -> None:
    made = merge(TILES, "patch", ORDER - 1)
    assert made.map.cells.cells().tolist() == [250, 252]
    assert made.map.values.tolist() == [0.5, 0.25]
    assert made.map.integral_deg2() == pytest.approx(3.0 * hpx.cell_area_deg2(ORDER), rel=1e-12)
    assert made.keywords["DEGWGT"] == "NONE"


def test_an_average_is_weighted_and_says_by_what() -> None:
    deep = [depth("1", 1000, 25.0, 26.0), depth("2", 1002, 24.0, 23.0)]
    weights = [coverage("1", 1000, 1.0, 0.5), coverage("2", 1002, 0.25)]
    made = merge(deep, "patch", ORDER - 1, weights)
    m, w = np.array([25.0, 26.0, 24.0]), np.array([1.0, 0.5, 0.25])
    assert made.map.values[0] == np.float32(
        -2.5 * np.log10(np.sqrt(np.sum(w * 10 ** (-0.8 * m)) / np.sum(w)))
    )
    assert made.keywords["DEGWGT"] == "COVERAGE"
    plain = merge(deep, "patch", ORDER - 1)
    assert plain.keywords["DEGWGT"] == "NONE"
    assert plain.map.values[0] < made.map.values[0]
    observed = [tile("footprint", "1", 1000, [1.0] * 4, COVERAGE)]
    by_footprint = merge(deep, "patch", ORDER - 1, observed)
    assert by_footprint.keywords["DEGWGT"] == "FOOTPRINT"
    assert by_footprint.map == plain.map


def test_a_tile_without_weight_is_not_left_out_in_silence() -> None:
    deep = [depth("1", 1000, 25.0), depth("2", 1004, 26.0)]
    with pytest.raises(MapMismatchError, match=r"^2 VIS depth: its average needs its own coverage"):
        merge(deep, "patch", ORDER - 1, [coverage("1", 1000, 1.0)])
    empty = Product(
        key("coverage", area="2"), {"WEIGHT": SkyMap(CellSet(ORDER), np.float32([]))}, None, COVERAGE
    )
    flagged = merge(deep, "patch", ORDER - 1, [coverage("1", 1000, 1.0), empty])
    assert flagged.map.cells.cells().tolist() == [250]
    assert len(merge(deep, "patch", ORDER - 1, [coverage("whole", 1000, *[1.0] * 8)]).map) == 2


@pytest.mark.parametrize(
    "weight",
    [
        tile("coverage", "1", 1000, [1.0], COVERAGE, band="NIR_Y"),
        tile("coverage", "1", 1000, [1.0], COVERAGE, order=ORDER + 1),
        tile("effectivecoverage", "1", 1000, [1.0], COVERAGE),
        tile("bitmask", "1", 1000, [1.0], {"WGTKIND": "FLAGFRAC"}),
    ],
)
def test_a_weight_is_the_coverage_of_the_same_band_and_order(weight: Product) -> None:
    with pytest.raises(MapMismatchError, match="cannot weigh"):
        merge([depth("1", 1000, 25.0)], "patch", ORDER - 1, [weight])


@pytest.mark.parametrize(
    ("name", "value"),
    [("BITSEL", "0,3"), ("BITTABVR", "15"), ("SNRLEVEL", 10.0), ("CORRFAC", 1.5), ("EXTLAW", "F99")],
)
def test_definitions_that_differ_are_refused(name: str, value: Scalar) -> None:
    with pytest.raises(MapMismatchError, match=f"{name} must agree"):
        merge([depth("1", 1000, 25.0), depth("2", 1001, 25.0, **{name: value})], "patch")


def test_what_else_is_refused() -> None:
    with pytest.raises(MapMismatchError, match="at least one product"):
        merge([], "patch")
    with pytest.raises(MapMismatchError, match="found 1000 in both"):
        merge([coverage("1", 1000, 1.0), coverage("2", 1000, 1.0)], "patch")
    with pytest.raises(MapMismatchError, match="VIS coverage and 2 NIR_Y coverage: band must agree"):
        merge([coverage("1", 1000, 1.0), tile("coverage", "2", 1001, [1.0], COVERAGE, band="NIR_Y")], "patch")
    with pytest.raises(MapMismatchError, match="not degradable"):
        merge([tile("info", "1", 1000, [1.0], {"DEGRULE": "NONE"})], "patch", ORDER - 1)


def test_keywords_that_differ_say_several() -> None:
    one = depth("1", 1000, 25.0, **{"DATE-OBS": "2025-01-02T00:00:00.000", "DATE-END": "-1"})
    two = depth(
        "2", 1001, 25.0, MAGZERO=24.7, PIXSCALE=0.1 + 1e-12,
        **{"DATE-OBS": "2025-01-01T00:00:00.000", "DATE-END": "2025-01-03T00:00:00.000"},
    )  # fmt: skip
    made = merge([one, two], "patch").keywords
    assert (made["MAGZERO"], made["PIXSCALE"], made["EXTCORR"]) == (-1.0, 0.1, True)
    assert (made["DATE-OBS"], made["DATE-END"]) == ("2025-01-01T00:00:00.000", "2025-01-03T00:00:00.000")
    noise = [
        tile("info", "1", 1000, [1.0], {"DEGRULE": "QUAD", "MAGZERO": 24.6}),
        tile("info", "2", 1001, [1.0], {"DEGRULE": "QUAD", "MAGZERO": 24.7}),
    ]
    with pytest.raises(MapMismatchError, match="MAGZERO must agree"):
        merge(noise, "patch")
