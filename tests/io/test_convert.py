import numpy as np
import pytest
from astropy.io import fits

import io_helpers
from io_helpers import CELLS, ORDER
from vmpz import io
from vmpz.errors import MapMismatchError
from vmpz.parameters import MapParameters
from vmpz.sky.skymap import SkyMap

PRODUCTS = io_helpers.products()


@pytest.mark.parametrize("name", PRODUCTS)
def test_form_changes_keep_everything(name, tmp_path):
    first = io.write_file(PRODUCTS[name], tmp_path / "a.fits")
    moc = io.convert(first, tmp_path / "b.moc.fits")
    back = io.convert(moc, tmp_path / "c.fits")
    assert back.read_bytes() == first.read_bytes()


def test_coverage_keeps_its_area_down_to_any_order(tmp_path):
    first = io.write_file(PRODUCTS["coverage"], tmp_path / "a.fits")
    for order in range(ORDER + 1):
        coarse = io.read(io.convert(first, tmp_path / "b.fits", order))
        assert coarse.key.order == order
        assert coarse.map.integral_deg2() == pytest.approx(
            PRODUCTS["coverage"].map.integral_deg2(), rel=2.0**-24
        )
        assert io.check(tmp_path / "b.fits") == []


def test_a_depth_is_degraded_by_its_rule_and_says_with_what_weight(tmp_path):
    cells, depth = np.arange(4), np.array([25, 25.5, 26, 26.5])
    key = io_helpers.key("depth")
    source = io.write_file(io_helpers.make(key, {"WEIGHT": depth}, cells=cells), tmp_path / "a.fits")
    plain = io.read(io.convert(source, tmp_path / "b.fits", ORDER - 1))
    assert plain.map.values[0] == pytest.approx(25.490784, abs=2e-6)
    assert plain.keywords["DEGWGT"] == "NONE"
    coverage = io_helpers.make(
        io_helpers.key("coverage"), {"WEIGHT": np.array([1.0, 1.0, 0.5])}, cells=cells[[0, 1, 3]]
    )
    weight = io.write_file(coverage, tmp_path / "w.fits")
    weighed = io.read(io.convert(source, tmp_path / "c.fits", ORDER - 1, weight=weight))
    flux = np.average(10 ** (-0.8 * depth), weights=[1, 1, 0, 0.5])
    assert weighed.map.values[0] == pytest.approx(-1.25 * np.log10(flux), abs=2e-6)
    assert weighed.keywords["DEGWGT"] == "COVERAGE"


def test_integers_stay_integers(tmp_path):
    first = io.write_file(PRODUCTS["tile"], tmp_path / "a.fits")
    coarse = io.read(io.convert(first, tmp_path / "b.fits", 3))
    assert coarse.map.values.dtype == np.int64
    assert set(coarse.map.values.tolist()) == {102018211}


def test_what_cannot_be_degraded_is_refused(tmp_path):
    product = io_helpers.make(
        io_helpers.key("info", quantity="PSF", statistic="MEDIAN"), {"WEIGHT": np.ones(CELLS.size)}
    )
    first = io.write_file(product, tmp_path / "a.fits")
    with pytest.raises(MapMismatchError, match="not degradable"):
        io.convert(first, tmp_path / "b.fits", 3)
    with pytest.raises(MapMismatchError, match="cannot be degraded to order 9"):
        io.convert(first, tmp_path / "b.fits", 9)
    assert not (tmp_path / "b.fits").exists()


def test_a_moc_within_a_tolerance(tmp_path):
    values = 24 + np.random.default_rng(12).random(1024) / 100
    product = io_helpers.make(
        io_helpers.key("depth"), {"WEIGHT": values.astype(np.float32)}, cells=np.arange(1024)
    )
    first = io.write_file(product, tmp_path / "a.fits")
    moc = io.convert(first, tmp_path / "b.moc.fits", maps=MapParameters(moc_tolerance=0.02))
    assert len(fits.getdata(moc, 2)) == 1
    assert np.abs(io.read(moc).map.values - values).max() <= 0.02 + 1e-6
    assert io.read(moc).map.cells == SkyMap.from_cells(ORDER, np.arange(1024), values).cells
