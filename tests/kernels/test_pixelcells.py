"""The run table against the exact assignment: the mapping and the HEALPix library, pixel by pixel."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.wcs import Sip

from pass_helpers import cells_of_pixels, image_wcs
from vmpz.frames import image_outline
from vmpz.kernels import goodpixels, pixelcells
from vmpz.make import leaves
from vmpz.make.runtable import run_table, subcell_runs
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet

PLACES = (
    (57.9988, -51.5884, 0), (0, 0, 0), (150, 2, 33), (10, 41.81, 0), (45, 20, 0), (90, 60, 10),
    (270, 66.2, 0), (0.02, -20, 0), (30, 89, 0), (12, 89.95, 0), (33, -41.5, 0), (200, -70, 45),
)  # fmt: skip
KINDS = (
    {"kind": "SIP"}, {"kind": "TPV"}, {"rotation": 77.0}, {"flip": True}, {"dec_first": True},
    {"kind": "SIP", "rotation": 201.0, "flip": True, "dec_first": True},
)  # fmt: skip


def differing(table, rows):
    """Pixels of whole rows whose cell differs from the exact one, and pixels compared."""
    cells, bad = np.append(table.cells.cells(), -1), 0
    for block in table.blocks:
        here = rows[(rows >= block.start) & (rows < block.stop)]
        if here.size:
            grid = np.broadcast_to(here[:, None], (here.size, table.shape[1]))
            columns = np.broadcast_to(np.arange(table.shape[1]), grid.shape)
            exact = cells_of_pixels(table.wcs, table.shape, table.cells.order, grid, columns)
            bad += int(np.sum(cells[table.places(block)[here - block.start]] != exact))
    return bad, rows.size * table.shape[1]


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_no_pixel_differs_at_the_twelve_places(place):
    lon, lat, rotation = place
    size = 3000
    table = run_table(image_wcs(lon, lat, size, 0.1, rotation=rotation), (size, size), CellSet.everything(14))
    assert table.found.sum() == size**2
    bad, compared = differing(table, np.linspace(0, size - 1, 40).astype(int))
    assert (bad, compared) == (0, 40 * size)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_no_pixel_differs_whatever_the_mapping(kind):
    size = 2500
    table = run_table(image_wcs(31.3, -14.2, size, 0.1, **kind), (size, size), CellSet.everything(14))
    bad, compared = differing(table, np.linspace(0, size - 1, 40).astype(int))
    assert (bad, compared) == (0, 40 * size)


def test_the_guard_decides_where_interpolation_is_not_enough(monkeypatch):
    size, examine = 1500, leaves._examine
    wcs = image_wcs(31.3, -14.2, size, 0.1, rotation=20, kind="SIP")
    a, b = np.zeros((5, 5)), np.zeros((5, 5))
    a[3, 0], b[0, 3], a[1, 2] = 1e-11, -1e-11, 5e-12
    wcs.sip = Sip(a, b, None, None, wcs.wcs.crpix)
    table = run_table(wcs, (size, size), CellSet.everything(16))
    rows = np.arange(size)
    assert table.exact > 0 and differing(table, rows)[0] == 0
    monkeypatch.setattr(
        leaves, "_examine", lambda *parts: replace(examine(*parts), guard=np.zeros(parts[1].size))
    )
    assert differing(run_table(wcs, (size, size), CellSet.everything(16)), rows)[0] > 0


@pytest.mark.parametrize("order", [0, 5, 10, 17, 19, 20])
def test_no_pixel_differs_at_any_order(order):
    shape = (700, 900) if order < 20 else (70, 90)  # cells smaller than pixels
    table = run_table(image_wcs(44.9, 41.79, 900, 0.3, rotation=10), shape, CellSet.everything(order))
    assert differing(table, np.arange(0, shape[0], 9))[0] == 0


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_runs_by_sub_cells_are_those_of_a_deeper_table(place):
    """Also where faces meet, at the poles, and inside an area of which a part of the cells is wanted."""
    lon, lat, rotation = place
    wcs, shape, order, levels = (
        image_wcs(lon, lat, 700, 0.9, rotation=rotation, kind="TPV"),
        (640, 700),
        13,
        3,
    )
    whole = run_table(wcs, shape, CellSet.everything(order))
    table = run_table(wcs, shape, CellSet.from_cells(order, whole.cells.cells()[::2]))
    deeper = run_table(wcs, shape, table.cells.at_order(order + levels))
    found = np.zeros(len(table.cells) << 2 * levels, np.int64)
    for runs in subcell_runs(table, levels):
        goodpixels.count_pixels(shape[1], runs.first, runs.cell, runs.row_start, found)
    expected = np.zeros_like(found)
    expected[table.cells.at_order(order + levels).index(deeper.cells.cells())] = deeper.found
    np.testing.assert_array_equal(found, expected)


@pytest.mark.long
@pytest.mark.parametrize("place", PLACES, ids=str)
@pytest.mark.parametrize("order", [12, 14, 16])
def test_no_pixel_differs_on_whole_tiles(place, order):
    lon, lat, rotation = place
    table = run_table(
        image_wcs(lon, lat, 19200, 0.1, rotation=rotation), (19200, 19200), CellSet.everything(order)
    )
    assert differing(table, np.linspace(0, 19199, 100).astype(int))[0] == 0


def test_wide_images_and_images_of_one_row_or_column():
    for shape in ((3, 70000), (1, 5), (1100, 1), (1, 1)):
        table = run_table(image_wcs(200.0, 10.0, 70000, 0.2), shape, CellSet.everything(12))
        assert differing(table, np.arange(shape[0]))[0] == 0
        assert table.blocks[0].first.dtype == (np.uint32 if shape[1] > 65536 else np.uint16)


def test_pixels_off_the_sky_belong_to_no_cell():
    wcs = image_wcs(10.0, 10.0, 400, 1800.0)
    wcs.wcs.ctype = ["RA---SIN", "DEC--SIN"]
    wcs.wcs.set()
    table = run_table(wcs, (400, 400), CellSet.everything(4))
    world = wcs.all_pix2world(*np.mgrid[:400, :400][::-1].reshape(2, -1).astype(float), 0)
    known = np.isfinite(world[0])
    assert 0 < known.sum() < 160000
    assert table.found.sum() == known.sum()
    np.testing.assert_array_equal(
        table.found, np.unique(hpx.cells_at(world[0][known], world[1][known], 4), return_counts=True)[1]
    )


def test_only_cells_of_the_area_come_out():
    wcs, shape, order = image_wcs(150.0, 2.0, 800, 1.0, rotation=33), (800, 800), 12
    exact = cells_of_pixels(wcs, shape, order)
    area = CellSet.from_cells(order, np.unique(exact)[::3])
    table = run_table(wcs, shape, area)
    assert table.cells == area
    got = np.append(table.cells.cells(), -1)[np.concatenate([table.places(block) for block in table.blocks])]
    np.testing.assert_array_equal(got, np.where(area.index(exact) >= 0, exact, -1))
    empty = run_table(wcs, shape, CellSet(order))
    assert len(empty.cells) == 0 and empty.found.size == 0


def test_threads_do_not_matter():
    wcs, shape = image_wcs(12.0, 89.95, 1100, 1.0), (1100, 1100)
    one, two = (run_table(wcs, shape, CellSet.everything(12), threads=n) for n in (1, 2))
    assert one.cells == two.cells and one.exact == two.exact
    for a, b in zip(one.blocks, two.blocks, strict=True):
        assert all(
            np.array_equal(getattr(a, k), getattr(b, k)) for k in ("first", "slot", "row_start", "cells")
        )


def test_expected_share_from_pixel_areas_is_that_of_the_outline():
    wcs, shape = image_wcs(57.9, -51.6, 700, 1.0, rotation=20), (700, 700)
    table = run_table(wcs, shape, CellSet.everything(12))
    area = np.sum(table.geom) * hpx.cell_area_deg2(12)
    assert area == pytest.approx(image_outline(wcs, shape).area_deg2, rel=1e-7)
    assert np.max(table.geom) < 1.01


def test_biquadratic_is_exact_for_biquadratic_functions():
    rng = np.random.default_rng(5)
    coefficients = rng.standard_normal((4, 3, 3))
    half = np.array([0.0, 7.5, 31.5, 255.5])
    coefficients[0, 1:], coefficients[0, :, 1:] = 0, 0
    at = np.stack((-half, 0 * half, half), axis=1)
    powers = at[..., None] ** np.arange(3)
    nodes = np.einsum("nij,nri,ncj->nrc", coefficients, powers, powers)
    np.testing.assert_allclose(pixelcells.biquadratic(nodes, half, half), coefficients, rtol=1e-9, atol=1e-9)


def test_interpreted_is_compiled():
    leaves = np.array([[0, 0, 6, 40, -1, 0, 0, 0, 9, 9], [0, 40, 6, 5, 0, 0, 0, 0, 0, 0]])
    shape = np.zeros((2, 2, 3, 3))
    shape[:, 0, 0, 0], shape[:, 0, 0, 1], shape[:, 0, 1, 0] = (4.3, 4.2), (0.17, -0.08), (0.31, 0.5)
    shape[0, 0, 0, 2] = 1e-3
    box = np.arange(81, dtype=np.int32)
    exact = np.repeat(np.arange(6, dtype=np.int32), 5)
    results = []
    for function in (pixelcells.trace, pixelcells.trace.py_func):
        first, cell, rows = np.zeros(400, np.uint16), np.zeros(400, np.int32), np.zeros(7, np.int64)
        count = function(0, 6, 45, leaves, shape, np.full(2, 1e-9), box, exact, first, cell, rows)
        results.append((count, first[:count].tolist(), cell[:count].tolist(), rows.tolist()))
    assert results[0] == results[1] and results[0][0] > 20
