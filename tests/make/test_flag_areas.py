"""Flagged areas of cells against brute force: every pixel split 32 x 32, astropy.wcs, cdshealpix, bincount.

One pattern of flags on the sky is drawn with ever smaller pixels. Edges of flagged regions run along pixel edges, so
what the counts get wrong is the lattice noise of cell edges alone. Theory: a row of pixels that crosses an edge of a
cell adds an error that is uniform over one pixel. Were rows independent, the number of pixels in a cell of m x m
pixels would scatter by sqrt(0.0724 * 4 m) = 0.54 sqrt(m) (mean over all directions of the edges, Matheron); along
straight edges they are not, and whole cells are measured to scatter by 0.36 sqrt(m) (2.5e-4 of a cell of 128.8 pixels).
A share p of a cell flagged in pieces then has an error of 0.36 to 0.54 times sqrt(p (1 - p)) m**-1.5.
"""

import astropy.units as u
import cdshealpix.nested
import numpy as np
import pytest
from astropy.coordinates import Latitude, Longitude

from pass_helpers import frame_of, image_wcs
from vmpz.bits import Selection
from vmpz.frames import image_outline
from vmpz.make.accumulate import accumulate
from vmpz.make.runtable import run_table
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.regions import Polygon

ORDER, SIZE, SCALE, SPLIT = 12, 80, 10.0, 32
FLAGGED = Selection(("A", "B"), (0, 5))
WHOLE_CELLS, INDEPENDENT_ROWS = 0.36, 0.54


def pixels_per_side(scale):
    return np.sqrt(hpx.cell_area_deg2(ORDER)) * 3600 / scale


def wcs_of(scale):
    return image_wcs(57.99, -51.59, round(SIZE * SCALE / scale), scale, rotation=20)


@pytest.fixture(scope="module")
def flags():
    """A disc, a column, and single pixels; bits of the selection, and one that is not in it."""
    rng = np.random.default_rng(5)
    row, column = np.mgrid[:SIZE, :SIZE]
    out = np.where(rng.random((SIZE, SIZE)) < 0.25, 1, 0) | np.where(
        rng.random((SIZE, SIZE)) < 0.2, 1 << 9, 0
    )
    out |= np.where(np.hypot(row - 50, column - 30) < 12, 1 << 5, 0)
    out[:, 61] |= 1
    return out.astype(np.int32)


@pytest.fixture(scope="module")
def brute(flags):
    """Cells and flagged solid angle (deg2) of each, by splitting every flagged pixel."""
    row, column = np.nonzero(flags & FLAGGED.mask)
    part = (np.arange(SPLIT) + 0.5) / SPLIT - 0.5
    y = (row[:, None, None] + part[:, None] + 0 * part).ravel()
    x = (column[:, None, None] + 0 * part[:, None] + part).ravel()
    lon, lat = wcs_of(SCALE).all_pix2world(x, y, 0)
    cell = cdshealpix.nested.lonlat_to_healpix(Longitude(lon * u.deg), Latitude(lat * u.deg), ORDER)
    area = pixel_areas(np.hypot(x - SIZE / 2 + 0.5, y - SIZE / 2 + 0.5), SCALE) / SPLIT**2
    cells, place = np.unique(cell.astype(np.int64), return_inverse=True)
    return cells, np.bincount(place, area)


def pixel_areas(distance_pixels, scale):
    """Solid angle (deg2) of pixels of a gnomonic image: the cube of the cosine of the distance from its centre."""
    tangent = np.radians(distance_pixels * scale / 3600)
    return (scale / 3600) ** 2 * (1 + tangent**2) ** -1.5


def counted(flags, divide):
    """Cell statistics of the same flags with pixels smaller by a whole number."""
    fine, wcs = np.kron(flags, np.ones((divide, divide), np.int32)), wcs_of(SCALE / divide)
    table = run_table(wcs, fine.shape, CellSet.everything(ORDER), outline=image_outline(wcs, fine.shape))
    return accumulate(frame_of({"FLAG": fine}, wcs), table, selections=(FLAGGED,))[0], fine


@pytest.fixture(scope="module")
def series(flags):
    return {divide: counted(flags, divide) for divide in (1, 2, 4, 8, 16)}


def flagged_fractions(statistics, brute):
    """Counted and exact flagged fraction of every cell."""
    cells, area = brute
    exact = np.zeros(len(statistics.cells))
    place = statistics.cells.index(cells)
    exact[place[place >= 0]] = area[place >= 0] / hpx.cell_area_deg2(ORDER)
    return statistics.fraction(f"flagged.{FLAGGED.text}"), exact


def test_fractions_converge_to_brute_force_as_the_lattice_noise_predicts(series, brute):
    scatter = []
    for divide, (statistics, _) in series.items():
        counted, exact = flagged_fractions(statistics, brute)
        inside = statistics.column("geom") > 1 - 1e-9
        error, cell_share = (counted - exact)[inside], exact[inside]
        assert error.size > 200
        noise = pixels_per_side(SCALE / divide) ** -1.5
        unit = noise * np.sqrt(np.mean(cell_share * (1 - cell_share)))
        scatter.append(np.sqrt(np.mean(error**2)))
        # three standard deviations of a scatter; two cells share the error of an edge, so half of them are independent
        slack = 3 / np.sqrt(error.size)
        assert WHOLE_CELLS * (1 - slack) < scatter[-1] / unit < INDEPENDENT_ROWS * (1 + slack)
        assert np.abs(error).max() < 5 * INDEPENDENT_ROWS * noise / 2
    assert np.all(np.diff(scatter) < 0)
    assert scatter[-1] < scatter[0] / 50  # 16**1.5 = 64, and rows become less independent


def test_the_sum_is_the_flagged_area(series, brute, flags):
    wcs, square = wcs_of(SCALE), np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    pixels = np.argwhere(flags & FLAGGED.mask)[:, ::-1]
    area = sum(Polygon(wcs.all_pix2world(one + square, 0)).area_deg2 for one in pixels)
    assert brute[1].sum() == pytest.approx(area, rel=1e-11)
    for divide, (statistics, fine) in series.items():
        number = statistics.column(f"flagged.{FLAGGED.text}")
        assert number.sum() == np.count_nonzero(fine & FLAGGED.mask)
        x, y = wcs_of(SCALE / divide).all_world2pix(*hpx.centres(statistics.cells.cells(), ORDER), 0)
        centre = (fine.shape[0] - 1) / 2
        local = pixel_areas(np.hypot(x - centre, y - centre), SCALE / divide)
        assert (number * local).sum() == pytest.approx(area, rel=1e-6)
        # what one cell finds too many another finds too few: only differences of their fractions are left
        counted, exact = flagged_fractions(statistics, brute)
        pixels_wrong = (
            INDEPENDENT_ROWS * np.sqrt(pixels_per_side(SCALE / divide)) * np.std(exact) * exact.size**0.5
        )
        assert counted.sum() * hpx.cell_area_deg2(ORDER) == pytest.approx(
            area, rel=3 * pixels_wrong / number.sum()
        )


def test_flagged_and_unflagged_are_the_image(series):
    statistics, fine = series[16]
    both = sum(statistics.fraction(f"{kind}.{FLAGGED.text}") for kind in ("flagged", "good"))
    np.testing.assert_allclose(both, statistics.column("geom"), rtol=1e-14, atol=1e-16)
    image = image_outline(wcs_of(SCALE / 16), fine.shape).area_deg2
    assert both.sum() * hpx.cell_area_deg2(ORDER) == pytest.approx(image, rel=1e-12)
