"""Single exposures between files and makers: flags under one table, one zero point, and what enters a digest."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pass_helpers import ArrayPlane, image_wcs
from vmpz.bits import Bit, BitTable
from vmpz.errors import InputError, MissingProductError
from vmpz.files.hdu import data_sum
from vmpz.frames import Exposures, FileRef, Frame, FrameRef, PsfStamps
from vmpz.make import depth, info
from vmpz.make.derived import have_zero_points
from vmpz.make.exposuremaps import exposure_values
from vmpz.make.exposures import in_common
from vmpz.make.goodpixels import SUBCELL_ORDERS, GoodPixels, subcell_words
from vmpz.make.runtable import run_table
from vmpz.parameters import Parameters
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.regions import Polygon, cells_inside, cells_touched
from vmpz.statistics import CellStatistics

SQUARE = np.array([(10.0, 0.0), (10.5, 0.0), (10.5, 0.5), (10.0, 0.5)])
CELLS = cells_inside(Polygon(SQUARE), 10)


class Plane:
    """Flags of one row."""

    name, where, sequential, datasum = "FLAG", "flags", False, None

    def __init__(self, words):
        self.data = np.array([words], np.int32)
        self.shape, self.dtype = self.data.shape, self.data.dtype

    def read(self, start, stop, out=None):
        return self.data[start:stop]

    def close(self):
        pass


def table(name, **bits):
    return BitTable(name, "1", "X", tuple(Bit(number, bit) for bit, number in bits.items()))


def exposures(number=2, **scalars):
    values = {name: np.array(value, float) for name, value in scalars.items()}
    return Exposures(tuple(f"e{n}" for n in range(number)), np.stack([SQUARE] * number), values)


def frame_ref(listed=None, planes=(), tables=("LAYERS",), **more):
    files = {name: FileRef(name, identity=name) for name in (*planes, *tables)}
    return FrameRef(
        "generic", "7", "DECAM", "g", (0, 0), "", {name: files[name] for name in planes},
        {name: files[name] for name in tables}, exposures=listed, **more,
    )  # fmt: skip


def parameters(**sections):
    return Parameters.model_validate({"inputs": [{"reader": "generic", "location": "x"}], **sections})


@pytest.mark.parametrize(
    ("own", "area", "words", "expected"),
    [
        (table("own", A=0, B=5), table("area", A=0, B=5), [1, 32], [1, 32]),
        (table("own", A=0, B=5), table("area", A=2, B=1), [1, 32, 33], [4, 2, 6]),
        (table("own", A=0, B=5), table("area", A=0, C=5), [1, 32, 33], [1, 0, 1]),
    ],
)
def test_flags_are_read_by_name(own, area, words, expected):
    frame = Frame(frame_ref(), {"FLAG": Plane(words)}, bits=own)
    found = in_common(frame, area, None)
    assert found.bits == area
    assert found.planes["FLAG"].read(0, 1).ravel().tolist() == expected


def test_fluxes_with_and_without_zero_point_are_not_mixed():
    assert have_zero_points(exposures(Zeropoint=[25.0, 26.0]))
    assert not have_zero_points(exposures())
    assert not have_zero_points(exposures(Zeropoint=[np.nan, np.nan]))
    with pytest.raises(InputError, match="e1: must have a zero point"):
        have_zero_points(exposures(Zeropoint=[25.0, np.nan]))


def test_angles_that_wrap_have_no_mean_at_a_point():
    listed = exposures(ParallacticAngle=[179.0, -179.0])
    assert np.abs(exposure_values(listed, "ParallacticAngle", "MEAN", CELLS)) == pytest.approx(180.0)
    with pytest.raises(MissingProductError, match="per = exposure"):
        exposure_values(listed, "ParallacticAngle", "MEAN", CELLS, per="pixel")


def test_where_positions_start_from_enters_the_digest_of_angles():
    ref = frame_ref(exposures())
    one, two = (
        parameters(info={"maps": ["SAA:MEAN"]}, exposures={"position_origin": origin})
        for origin in ("geocentric", "heliocentric")
    )
    (key,) = info.keys(ref, one)
    assert info.section(key, ref, one) != info.section(key, ref, two)


def test_the_depth_of_a_point_source_takes_the_stamps_of_detectors():
    listed = exposures(Zeropoint=[25.0, 25.0])
    scalars = {"zero_point": 23.9, "pixel_scale_arcsec": 1.0}
    ref = frame_ref(listed, ("RMS",), ("LAYERS", "PSF"), scalars=scalars)
    psf = PsfStamps(
        np.array([10.25, 10.25]),
        np.array([0.25, 0.25]),
        np.array([0.8, 1.0]),
        None,
        np.array([0, 1]),
    )
    ones = np.ones(len(CELLS))
    columns = {
        "geom": ones,
        "found": 2 * ones,
        "valid": 2 * ones,
        "depth.weight": 2.0 * ones,
        "RMS.good.n": 2 * ones,
    }
    statistics = CellStatistics(CELLS, columns, {"images": 2})
    chosen = parameters(depth={"estimator": "PSF"}, coverage={"bits": []})
    (key,) = depth.keys(ref, chosen)
    made = depth.make(key, Frame(ref, {}, exposures=listed, psf=psf), statistics, chosen)
    expected = 23.9 - 2.5 * np.log10(5.0 * np.sqrt(0.5) * np.sqrt(2.266 * 0.9**2))
    assert made.map.cells == CELLS
    assert made.map.values == pytest.approx(expected, abs=1e-3)
    assert depth.needs(key, ref, chosen).keep_good is not None


@pytest.mark.parametrize("scale", [5.0, 40.0])
def test_sub_cells_without_pixels_are_as_the_cell_around_them(scale):
    """Against every sub-cell looked at alone; pixels of 40 arcsec have 6 sub-cells of order 14 and more."""
    size = round(600 / scale)
    wcs, order = image_wcs(58.0, -51.5, size, scale, rotation=25), 11
    probe = run_table(
        wcs, (size, size), cells_touched(Polygon([(57, -52), (59, -52), (59, -51), (57, -51)]), order)
    )
    bits = np.zeros((size, -(-size // 64)), np.uint64)
    bad = np.random.default_rng(3).random((size, size)) < 0.3
    for row, column in np.argwhere(~bad):
        bits[row, column // 64] |= np.uint64(1) << np.uint64(column % 64)
    x, y = np.meshgrid(np.arange(size), np.arange(size))
    lon, lat = wcs.all_pix2world(x.ravel(), y.ravel(), 0)
    fine = hpx.cells_at(lon, lat, order + SUBCELL_ORDERS)
    edges = np.array([(-0.5, -0.5), (size - 0.5, -0.5), (size - 0.5, size - 0.5), (-0.5, size - 0.5)])
    outline = Polygon(np.stack(wcs.all_pix2world(*edges.T, 0), axis=1))
    words = subcell_words(probe.cells, probe, GoodPixels((size, size), bits), outline=outline)
    inside = cells_inside(outline, order + SUBCELL_ORDERS)
    without = 0
    for cell, word in zip(probe.cells.cells().tolist(), words.tolist(), strict=True):
        for k in range(64):
            sub, level = (cell << 6) + k, 0
            here = fine == sub
            held = bool(inside & CellSet.from_cells(order + SUBCELL_ORDERS, [sub]))
            while held and not here.any() and level < SUBCELL_ORDERS:
                level += 1
                here = fine >> (2 * level) == sub >> (2 * level)
            without += level > 0
            assert bool(word >> k & 1) == bool(here.any() and 2 * (~bad.ravel())[here].sum() > here.sum())
    assert (without > 100) == (scale == 40.0)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.sampled_from([0.0, -2.5, 1e16, np.nan, np.inf, 999e12, 3.75]), min_size=12, max_size=12),
    st.sampled_from([">f4", "<f4", ">f8"]), st.floats(20.0, 30.0), st.booleans(),
)  # fmt: skip
def test_fluxes_come_in_one_unit_whatever_their_words(values, kind, zero_point, given_room):
    """No data stay what they are; rows come out the same in memory of the caller and in new one."""
    stored = np.array(values).reshape(4, 3).astype(kind)
    ref = frame_ref(scalars={"zero_point": zero_point})
    plane = in_common(Frame(ref, {"RMS": ArrayPlane("RMS", stored)}), None, 25.0).planes["RMS"]
    read = plane.read(1, 4, np.empty((3, 3), np.float32) if given_room else None)
    single, factor = stored[1:].astype(np.float32), np.float32(10.0 ** (0.4 * (25.0 - zero_point)))
    with np.errstate(all="ignore"):
        expected = np.where(np.abs(single) < 1e15, single * factor, single)
    np.testing.assert_array_equal(read, single if zero_point == 25.0 else expected)


def test_stored_words_keep_their_datasum_when_they_are_converted():
    stored = np.arange(12, dtype=">f4").reshape(4, 3)
    total = data_sum(stored.tobytes())
    for shift in (0, 1):
        planes = {"RMS": ArrayPlane("RMS", stored, datasum=total + shift)}
        plane = in_common(Frame(frame_ref(scalars={"zero_point": 26.0}), planes), None, 25.0).planes["RMS"]
        plane.read(2, 4)
        if shift:
            with pytest.raises(
                InputError, match=rf"rms.fits\[0\]: the data must have the DATASUM.*{total + 1}"
            ):
                plane.read(0, 2)
        else:
            plane.read(0, 2)
