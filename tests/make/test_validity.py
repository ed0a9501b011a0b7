"""Which pixels are valid and usable: the edges of both rules, on an image as large as its header says."""

import numpy as np
import pytest

from pass_helpers import frame_of, image_wcs
from vmpz.make.accumulate import accumulate
from vmpz.make.runtable import run_table
from vmpz.sky.cells import CellSet

SENTINEL = 1.0000000272564224e16
"""What Euclid MER mosaics hold where there are no data: 1e16 as float32."""
WCS, SHAPE = image_wcs(57.99, -51.59, 24, 0.1), (20, 24)
MAX = np.float32(1e6)


def after(value: float, towards: float) -> np.float32:
    return np.nextafter(np.float32(value), np.float32(towards))


@pytest.fixture(scope="module")
def table():
    return run_table(WCS, SHAPE, CellSet.everything(4))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("rms", "valid", "usable"),
    [
        (SENTINEL, False, False),
        (1e15, False, False),
        (after(1e15, 0), True, False),
        (after(MAX, np.inf), True, False),
        (MAX, True, True),
        (1e-3, True, True),
        (np.finfo(np.float32).tiny, True, True),
        (0.0, False, False),
        (-0.0, False, False),
        (-1.0, False, False),
        (np.nan, False, False),
        (np.inf, False, False),
        (-np.inf, False, False),
    ],
)
def test_edges_of_validity(table, rms, valid, usable, order):
    noise = np.full(SHAPE, rms, f"{order}f4")
    statistics, _ = accumulate(frame_of({"RMS": noise}, WCS), table)
    assert statistics.column("found").sum() == noise.size
    assert statistics.column("valid").sum() == (noise.size if valid else 0)
    assert statistics.column("usable").sum() == (noise.size if usable else 0)


def test_the_largest_usable_rms_is_a_parameter(table):
    noise = np.full(SHAPE, 2.0, "f4")
    noise[:5] = after(0.5, 1.0)
    noise[5:8] = 0.5
    for largest, usable in ((0.5, 3 * 24), (2.0, noise.size), (1e30, noise.size)):
        statistics, _ = accumulate(frame_of({"RMS": noise}, WCS), table, rms_max=largest)
        assert statistics.column("usable").sum() == usable
        assert statistics.column("valid").sum() == noise.size
    noise[:] = SENTINEL
    assert not accumulate(frame_of({"RMS": noise}, WCS), table, rms_max=1e30)[0].column("usable").any()
