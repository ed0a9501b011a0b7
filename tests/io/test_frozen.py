"""Frozen tables of numbers: what LPSC code makes of a weighted MOC and of degraded maps (interoperability 10 and 11).

How the numbers were made stands in ``tests/data/frozen/make_tables.py``.
"""

import csv
import runpy
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

import io_helpers
from vmpz import io
from vmpz.products import Product
from vmpz.sky import hpx
from vmpz.sky.multiorder import from_multiorder
from vmpz.sky.skymap import SkyMap

FROZEN = Path(__file__).parents[1] / "data" / "frozen"
ORDER = 6
PARENT = 37


def rows_of(name):
    with (FROZEN / name).open(newline="") as stream:
        return list(csv.DictReader(stream))


GRADED = rows_of("ud_grade.csv")


def test_the_tables_are_those_of_the_script(tmp_path):
    script = runpy.run_path(str(FROZEN / "make_tables.py"))
    script["main"].__globals__["HERE"] = tmp_path
    script["main"]()
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert made == {path.name: path.read_bytes() for path in FROZEN.glob("*.csv")} and len(made) == 3


# -- 10: a weighted MOC and its cells ---------------------------------------------------------------------------


@pytest.fixture
def uniq():
    """NUNIQ numbers and weights of the weighted MOC."""
    rows = rows_of("wmoc.csv")
    numbers = hpx.to_uniq([int(row["cell"]) for row in rows], [int(row["order"]) for row in rows])
    return numbers, np.array([float(row["weight"]) for row in rows])


@pytest.fixture
def cells():
    """Cells and weights that `wmoc_to_healpix` makes of it."""
    rows = rows_of("wmoc_healpix.csv")
    return np.array([int(row["cell"]) for row in rows]), np.array([float(row["weight"]) for row in rows])


def test_10_a_weighted_moc_is_read_as_these_cells(uniq, cells, tmp_path):
    columns = [fits.Column("UNIQ", "K", array=uniq[0]), fits.Column("WEIGHT", "D", array=uniq[1])]
    table = fits.BinTableHDU.from_columns(columns)
    table.header.update({"PIXTYPE": "HEALPIX", "ORDERING": "NUNIQ", "MOCORDER": ORDER, "COORDSYS": "C"})
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(tmp_path / "theirs.fits")
    found = io.read(tmp_path / "theirs.fits").map
    assert found == SkyMap.from_cells(ORDER, *cells)
    assert not np.array_equal(cells[0], found.cells.cells())  # theirs follow the MOC, ours the sky
    assert np.array_equal(np.sort(cells[0]), found.cells.cells())


def test_10_these_cells_are_written_as_that_weighted_moc(uniq, cells, tmp_path):
    listed = SkyMap.from_cells(ORDER, cells[0], cells[1].astype("f4"))
    product = Product(io_helpers.key("coverage"), {"WEIGHT": listed})
    table = fits.getdata(io.write_file(product, tmp_path / "a.moc.fits"), 2)
    assert np.array_equal(table["UNIQ"], uniq[0]) and np.array_equal(table["WEIGHT"], uniq[1])


@pytest.mark.parametrize("order", [6, 8])
def test_10_a_deeper_order_repeats_them(uniq, cells, order):
    depth = 2 * (order - ORDER)
    deeper = (cells[0][:, np.newaxis] << depth) + np.arange(1 << depth)
    expected = SkyMap.from_cells(order, deeper.ravel(), np.repeat(cells[1], 1 << depth))
    assert from_multiorder(*uniq, order) == expected


# -- 11: degrading ------------------------------------------------------------------------------------------------


def family(row):
    """The children of a row as a map."""
    pairs = [pair.split(":") for pair in row["children"].split()]
    numbers = np.array([int(child) for child, _ in pairs]) + (PARENT << 2 * int(row["d"]))
    return SkyMap.from_cells(ORDER, numbers, np.array([float(value) for _, value in pairs]))


def is_full(row):
    return len(row["children"].split()) == 4 ** int(row["d"])


@pytest.mark.parametrize("row", GRADED, ids=lambda row: f"{row['mode']}-{len(row['children'].split())}")
def test_11_every_rule_gives_the_frozen_value(row, tmp_path):
    one, order = family(row), ORDER - int(row["d"])
    even = SkyMap(one.cells, np.full(len(one), 0.7))
    for weight in (None, even):
        coarse = one.degrade(order, row["rule"], weight)
        assert coarse.cells.cells().tolist() == [PARENT]
        assert coarse.values[0] == pytest.approx(float(row["vmpz"]), rel=1e-14)
    kind = io_helpers.key("coverage") if row["mode"] == "cov" else io_helpers.key("info", quantity="Noise")
    listed = one.cells.cells()
    product = io_helpers.make(kind, {"WEIGHT": one.values}, {"DEGRULE": row["rule"]}, cells=listed)
    first = io.write_file(product, tmp_path / "a.fits")
    found = io.read(io.convert(first, tmp_path / "b.fits", order)).map
    assert found.of_cells([PARENT])[0] == pytest.approx(float(row["vmpz"]), rel=2.0**-23)


def test_11_where_every_child_is_present_both_agree():
    full = [row for row in GRADED if is_full(row)]
    assert {row["mode"] for row in full} == {"arith", "quad", "log", "logquad", "cov", "sum"}
    assert all(row["lpsc"] == row["vmpz"] for row in full)


def test_11_where_some_are_absent_averages_agree_and_sums_do_not():
    """LPSC's cov divides by the children present, and its sum makes up for those absent; ours do neither."""
    partial = [row for row in GRADED if not is_full(row)]
    assert {row["mode"] for row in partial} == {"arith", "quad", "log", "logquad", "cov", "sum"}
    for row in partial:
        present, all_of_them = len(row["children"].split()), 4 ** int(row["d"])
        factor = all_of_them / present if row["mode"] in ("cov", "sum") else 1.0
        assert float(row["lpsc"]) == pytest.approx(factor * float(row["vmpz"]), rel=1e-15)
        assert (row["lpsc"] == row["vmpz"]) == (row["mode"] not in ("cov", "sum"))


def test_11_the_vectors_of_depth():
    depths = [row["vmpz"] for row in GRADED if row["mode"] == "logquad"]
    assert [round(float(value), 6) for value in depths[:2]] == [25.490784, 25.541413]
