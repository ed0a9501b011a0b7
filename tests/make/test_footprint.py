"""Footprint: sources, values, keywords, and what it never does."""

import numpy as np
import pytest

from make_helpers import ORDER, count, exposures, frame, key, parameters, ref
from vmpz.errors import MissingProductError
from vmpz.make import footprint
from vmpz.make.footprint import footprint_map
from vmpz.sky import hpx
from vmpz.sky.regions import Polygon, covered_fractions

CELL = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3])
RMS = np.array([1, 1, 1e16, np.nan, 1, 2, 3, 4, 0.0, -1.0, 1e7])
GEOM = np.array([1.0, 0.5, 1.0, 0.2])
COUNTED = count(CELL, planes={"RMS": RMS}, geom=GEOM)


def test_from_valid_rms() -> None:
    found = footprint_map(COUNTED)
    assert found.values.dtype == np.float32
    assert np.array_equal(found.cells.cells(), [1000, 1001, 1003])  # no valid pixel in the third
    assert np.array_equal(found.values, np.float32([0.5, 0.5, 0.2]))


def test_from_the_outline_and_binary() -> None:
    assert np.array_equal(footprint_map(COUNTED, source="outline").values, GEOM.astype(np.float32))
    assert np.array_equal(footprint_map(COUNTED, values="binary").values, [1.0, 1.0, 1.0])
    zeros = footprint_map(COUNTED, values="binary", zeros=True)
    assert np.array_equal(zeros.values, [1.0, 1.0, 0.0, 1.0])


def test_from_layers_is_the_union_of_outlines() -> None:
    lon, lat = hpx.vertices(np.arange(1000, 1004), ORDER)
    whole = Polygon(np.stack((lon[0], lat[0]), axis=1))
    found = footprint_map(COUNTED, source="layers", exposures=exposures(("a", whole, {}), ("b", whole, {})))
    assert np.allclose(found.of_cells([1000]), 1.0, atol=1e-6)
    assert found.integral_deg2() == pytest.approx(
        whole.area_deg2, rel=1e-5
    )  # corners joined by great circles
    angle = np.radians(np.arange(0, 360, 30))
    shifted = Polygon(
        np.stack((lon[1].mean() + 0.02 * np.sin(angle), lat[1].mean() + 0.02 * np.cos(angle)), axis=1)
    )
    alone = footprint_map(COUNTED, source="layers", exposures=exposures(("a", shifted, {})))
    exact = covered_fractions(shifted, ORDER, cells=COUNTED.cells)
    assert np.array_equal(alone.values, exact.values.astype(np.float32)[exact.values > 0])
    with pytest.raises(MissingProductError, match="has none"):
        footprint_map(COUNTED, source="layers")


def test_the_product_states_areas_and_needs() -> None:
    settings = parameters()
    of = ref(date_obs="2025-01-01T00:00:00.000", telescope="Euclid")
    product = footprint.make(footprint.keys(of, settings)[0], frame(of), COUNTED, settings)
    assert product.key == key("footprint")
    area = hpx.cell_area_deg2(ORDER)
    assert product.keywords["TILEAREA"] == pytest.approx(4 * area)
    assert product.keywords["OBSAREA"] == pytest.approx(1.2 * area, rel=1e-7)
    assert product.keywords["WGTKIND"] == "OBSFRAC"
    assert product.keywords["DEGRULE"] == "COVERAGE"
    assert product.keywords["DATE-OBS"] == "2025-01-01T00:00:00.000"
    assert product.keywords["DATE-END"] == "-1"
    wanted = {
        source: footprint.needs(product.key, of, parameters(footprint={"source": source}))
        for source in ("rms", "outline", "layers")
    }
    assert [wanted[s].planes for s in wanted] == [{"RMS"}, set(), set()]
    assert wanted["layers"].tables == {"LAYERS"}
    assert wanted["layers"].missing(of) == ("LAYERS",)
    assert wanted["rms"].missing(of) == ()


def test_zeros_stand_where_absence_is_not_zero() -> None:
    of = ref()
    for maps in ({"write_zeros": True}, {"coverage_convention": "MER"}):
        product = footprint.make(key("footprint"), frame(of), COUNTED, parameters(maps=maps))
        assert len(product.map) == 4
        assert product.map.of_cells([1002]) == 0.0


def test_validity_without_rms_only_where_the_reader_says_so() -> None:
    settings = parameters()
    assert footprint.needs(key("footprint"), ref(planes=("IMAGE",)), settings).missing(
        ref(planes=("IMAGE",))
    ) == ("RMS",)
    told = ref(planes=("IMAGE",), options={"validity": "IMAGE"})
    assert footprint.needs(key("footprint"), told, settings).missing(told) == ()
    with pytest.raises(MissingProductError, match="there is no RMS"):
        footprint.make(key("footprint"), frame(ref(planes=("IMAGE",))), COUNTED, settings)


def test_the_stated_footprint_and_what_no_exposure_reached() -> None:
    settings = parameters()
    lon, lat = hpx.vertices(np.arange(1000, 1004), ORDER)
    corners = tuple((float(x), float(y)) for x, y in zip(lon[0], lat[0], strict=True))
    of = ref(footprint=corners)
    product = footprint.make(footprint.keys(of, settings)[0], frame(of), COUNTED, settings)
    area = hpx.cell_area_deg2(ORDER)
    stated = covered_fractions(Polygon(corners), ORDER, cells=COUNTED.cells).integral_deg2()
    assert stated == pytest.approx(area, rel=1e-6)  # corners joined by great circles
    assert product.keywords["SFPAREA"] == pytest.approx(stated, rel=1e-12)
    assert product.keywords["SFPDIFF"] == pytest.approx(stated - 1.2 * area, rel=1e-6)
    alone = footprint_map(COUNTED, source="descriptor", descriptor=Polygon(corners))
    asked = parameters(footprint={"source": "descriptor"})
    assert footprint.needs(product.key, of, asked).planes == set()
    assert footprint.make(product.key, frame(of), COUNTED, asked).map == alone
    with pytest.raises(MissingProductError, match="ImgSpatialFootprint"):
        footprint.make(product.key, frame(ref()), COUNTED, asked)
    assert alone.integral_deg2() == pytest.approx(stated, rel=1e-6)
    with pytest.raises(MissingProductError, match="ImgSpatialFootprint"):
        footprint_map(COUNTED, source="descriptor")
