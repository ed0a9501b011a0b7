"""The one pass against loops over pixels, and its laws."""

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from pass_helpers import ArrayPlane, cells_of_pixels, frame_of, image_wcs, slow_pass
from vmpz.bits import Bit, BitTable, Selection
from vmpz.errors import InputError, MapMismatchError
from vmpz.frames import image_outline
from vmpz.kernels import pixelcells
from vmpz.make import accumulate as module
from vmpz.make.accumulate import accumulate, joint_good
from vmpz.make.goodpixels import subcell_words
from vmpz.make.pixelmasks import PixelMasks
from vmpz.make.runtable import run_table
from vmpz.sky.cells import CellSet
from vmpz.sky.regions import Cap, Polygon, covered_fractions

ORDER = 12
SHAPE = (700, 600)
WCS = image_wcs(57.99, -51.59, 600, 1.0, rotation=20)
SELECTIONS = (Selection(("A",), (1,)), Selection(("A", "TOP"), (1, 31)), Selection((), ()))
GOOD = Selection(("A", "C"), (1, 7))
MASKED = Selection(("C", "STARMASK"), (7, 32))
PERCENTS = (25, 50, 90)
LISTED = ("mode", "wmedian")
MASKS = (
    Cap(57.99, -51.59, 0.02),
    Cap(58.08, -51.6, 0.03),
    Polygon([(57.85, -51.6), (57.95, -51.66), (57.9, -51.5)]),
)


@pytest.fixture(scope="module")
def table():
    area = CellSet.from_cells(ORDER, np.unique(cells_of_pixels(WCS, SHAPE, ORDER))[5:])
    return run_table(WCS, SHAPE, area, outline=image_outline(WCS, SHAPE))


@pytest.fixture(scope="module")
def planes():
    rng = np.random.default_rng(3)
    flags = ((rng.random(SHAPE) < 0.05).astype(np.int64) << rng.integers(0, 32, SHAPE)).astype(np.uint32)
    flags[300:340, 200:300] |= 0x00F0F0F1
    noise = (1 + 0.03 * rng.standard_normal(SHAPE)).astype(np.float32)
    bad = rng.random(SHAPE) < 0.02
    noise[bad] = rng.choice(
        np.array([0, -1, np.nan, -np.nan, np.inf, -np.inf, 1e-42, 1e16, 1e7], "f4"), bad.sum()
    )
    noise[:, :60] = 1e16
    background = (3000 + 1e-2 * rng.standard_normal(SHAPE)).astype(np.float32)
    background[rng.random(SHAPE) < 0.001] = np.nan
    background[400] = 7.0
    image = (1e-20 * rng.standard_normal(SHAPE)).astype(np.float32)
    image[rng.random(SHAPE) < 1e-3] = 1e-15
    image[rng.random(SHAPE) < 1e-3] = 1e25
    return {"FLAG": flags.view(np.int32), "RMS": noise, "BACKGROUND": background, "IMAGE": image}


def compare(statistics, expected, moments=3e-6):
    """Counts, extremes and quantiles exactly, sums to rounding, moments to what float32 runs keep."""
    for name, want in expected.items():
        kind = name.rsplit(".", 1)[-1]
        if name not in statistics.columns:
            assert kind in ("median", "q25", "q90", "mode", "wmedian", "wsum", "wmean") or name == "bit.32"
            continue
        tolerance = {"mean": moments, "m2": moments, "wsum": 1e-12, "wmean": 1e-10, "mode": 0}.get(
            kind, 1e-13
        )
        np.testing.assert_allclose(statistics.column(name), want, rtol=tolerance, err_msg=name)


def stored(planes, order):
    return {name: plane.astype(plane.dtype.newbyteorder(order)) for name, plane in planes.items()}


@pytest.mark.parametrize("order", ["<", ">"])
def test_every_column_is_that_of_loops_over_pixels(table, planes, order):
    statistics, good = accumulate(
        frame_of(stored(planes, order), WCS, star_masks=MASKS), table, selections=(*SELECTIONS, MASKED), good=GOOD,
        percents=PERCENTS, listed=LISTED, list_samples=("valid", "good"), inverse_variance=True, keep_good=MASKED,
        threads=2,
    )  # fmt: skip
    drawn = PixelMasks(table, [MASKS])
    masked = np.concatenate([drawn.draw(block.start, block.stop) for block in table.blocks]) == 1
    assignment = cells_of_pixels(WCS, SHAPE, ORDER)
    touched, expected = slow_pass(planes, assignment, table.cells, (*SELECTIONS, MASKED), GOOD, masked=masked)
    np.testing.assert_array_equal(statistics.cells.cells(), touched)
    compare(statistics, expected)
    np.testing.assert_array_equal(joint_good(table, [good]), expected[f"good.{MASKED.text}"])
    names = (
        set(expected) | {"geom"} | {f"{p}.{s}.q50" for p in planes if p != "FLAG" for s in ("valid", "good")}
    )
    assert set(statistics.columns) == names
    outline = covered_fractions(image_outline(WCS, SHAPE), ORDER, cells=statistics.cells)
    np.testing.assert_array_equal(statistics.column("geom"), outline.of_cells(touched, 0.0))
    assert statistics.scalars["pixels"] == expected["found"].sum()
    assert statistics.scalars["invalid_rms"] == (expected["found"] - expected["valid"]).sum()


def test_a_good_sample_that_star_masks_veto(table, planes):
    statistics, _ = accumulate(
        frame_of(planes, WCS, star_masks=MASKS), table, good=MASKED, percents=(50,), listed=LISTED,
        list_samples=("good",), inverse_variance=True,
    )  # fmt: skip
    drawn = PixelMasks(table, [MASKS])
    masked = np.concatenate([drawn.draw(block.start, block.stop) for block in table.blocks]) == 1
    _, expected = slow_pass(
        planes, cells_of_pixels(WCS, SHAPE, ORDER), table.cells, (), MASKED, masked=masked
    )
    compare(statistics, expected)


def test_several_masks_are_bits_of_their_own(table, planes):
    """Star masks and two named masks that overlap, and between these one without regions."""
    masks = {"HALO": MASKS[1:], "EMPTY": (), "GHOST": (Cap(57.99, -51.6, 0.04, hole_deg=0.02),)}
    chosen = (
        Selection(("A", "GHOST"), (1, 35)), Selection(("STARMASK", "HALO"), (32, 33)), Selection(("EMPTY",), (34,)),
        Selection(("HALO",), (33,)), Selection(("STARMASK", "GHOST"), (32, 35)),
    )  # fmt: skip
    drawn = PixelMasks(table, [MASKS[:1], *masks.values()])
    masked = np.concatenate([drawn.draw(block.start, block.stop) for block in table.blocks])
    assert {0, 1, 2, 8} < set(np.unique(masked)) and np.any((masked & 8 != 0) & (masked & 3 != 0))
    assignment = cells_of_pixels(WCS, SHAPE, ORDER)
    for good in chosen[:2]:
        statistics, kept = accumulate(
            frame_of(planes, WCS, star_masks=MASKS[:1], masks=masks), table, selections=chosen, good=good,
            percents=(50,), inverse_variance=True, keep_good=good, list_samples=("valid", "good"),
        )  # fmt: skip
        expected = slow_pass(planes, assignment, table.cells, chosen, good, masked=masked, virtual=4)[1]
        compare(statistics, expected)
        np.testing.assert_array_equal(joint_good(table, [kept]), expected[f"good.{good.text}"])
        assert {f"bit.{bit}" for bit in range(32, 36)} <= set(statistics.columns)
        assert statistics.column("bit.34").sum() == 0 < statistics.column("bit.35").sum()
    alone, _ = accumulate(frame_of(planes, WCS, masks=masks), table, selections=chosen[3:4])
    assert "bit.32" not in alone.columns and "bit.33" in alone.columns
    np.testing.assert_array_equal(alone.column("flagged.HALO"), expected["flagged.HALO"])


def test_masks_that_are_not_there_are_not_clean(table, planes):
    halo = Selection(("HALO",), (33,))
    with pytest.raises(InputError, match="HALO needs a mask of this name as bit 33, found none"):
        accumulate(frame_of(planes, WCS), table, selections=[halo])
    with pytest.raises(InputError, match="as bit 33, found 33 GHOST, 34 HALO"):
        accumulate(frame_of(planes, WCS, masks={"GHOST": (), "HALO": ()}), table, good=halo)
    with pytest.raises(InputError, match="at most 7 masks, found 8"):
        accumulate(frame_of(planes, WCS, masks={f"M{k}": () for k in range(8)}), table)


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_inverse_variance_is_a_plane(table, planes, order):
    noise = planes["RMS"].copy()
    noise[200:210, 100:140] = 1e-21
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        weight = (1 / noise.astype(np.float64) ** 2).astype(np.float32)
    given = {**planes, "RMS": noise}
    image = ArrayPlane("IMAGE", planes["IMAGE"])
    statistics, _ = accumulate(
        frame_of({**stored(given, order), "IMAGE": image}, WCS, star_masks=MASKS), table, good=MASKED, weight=True,
        percents=PERCENTS, listed=LISTED, list_samples=("valid", "good"), inverse_variance=True, threads=2,
    )  # fmt: skip
    drawn = PixelMasks(table, [MASKS])
    masked = np.concatenate([drawn.draw(block.start, block.stop) for block in table.blocks])
    known = {name: plane for name, plane in given.items() if name != "IMAGE"} | {"WEIGHT": weight}
    expected = slow_pass(known, cells_of_pixels(WCS, SHAPE, ORDER), table.cells, (), MASKED, masked=masked)[1]
    compare(statistics, expected)
    assert np.isinf(weight[205, 110]) and (expected["WEIGHT.valid.n"] < expected["RMS.valid.n"]).any()
    assert image.rows_read == 0 and not any(name.startswith("IMAGE") for name in statistics.columns)
    assert set(expected) <= set(statistics.columns)
    with pytest.raises(InputError, match="need the plane RMS"):
        accumulate(frame_of({"FLAG": planes["FLAG"]}, WCS), table, weight=True)


def test_without_noise_the_image_decides_and_without_both_nothing(table, planes):
    assignment = cells_of_pixels(WCS, SHAPE, ORDER)
    image = np.where(np.isnan(planes["BACKGROUND"]), np.float32(np.inf), planes["BACKGROUND"])
    for chosen, validity in (({"IMAGE": image}, "IMAGE"), ({"FLAG": planes["FLAG"]}, "-")):
        statistics, _ = accumulate(frame_of(chosen, WCS), table, selections=SELECTIONS, good=GOOD)
        compare(statistics, slow_pass(chosen, assignment, table.cells, SELECTIONS, GOOD)[1])
        assert statistics.scalars["validity"] == validity


@pytest.mark.parametrize("dtype", [">i2", "<u2", "u1", ">i4", "<u4", "i1"])
def test_signed_unsigned_and_short_flags_are_the_same_mask(table, dtype):
    bits = 8 * np.dtype(dtype).itemsize
    flags = np.random.default_rng(8).integers(0, 2**bits, SHAPE).astype(np.uint64)
    words = flags.astype(np.dtype(dtype).str.replace("i", "u")).view(dtype)
    top = Selection(("TOP",), (bits - 1,))
    statistics, _ = accumulate(frame_of({"FLAG": words}, WCS), table, selections=(top,))
    place = table.cells.index(cells_of_pixels(WCS, SHAPE, ORDER))
    want = np.bincount(place[place >= 0], (flags >> np.uint64(bits - 1))[place >= 0].astype(float))
    np.testing.assert_array_equal(statistics.column("flagged.TOP"), want)
    np.testing.assert_array_equal(statistics.column(f"bit.{bits - 1:02d}"), want)


@pytest.mark.parametrize("dtype", [">f8", "<i2", ">i4", "u1"])
def test_planes_of_other_types_are_taken_as_float32(table, dtype):
    plane = np.random.default_rng(2).uniform(1, 100, SHAPE).astype(dtype)
    a, _ = accumulate(frame_of({"RMS": plane}, WCS), table, percents=(50,))
    b, _ = accumulate(frame_of({"RMS": plane.astype(np.float32)}, WCS), table, percents=(50,))
    assert a.columns.keys() == b.columns.keys()
    assert all(np.array_equal(a.column(name), b.column(name)) for name in a.columns)


def test_unknown_bits_are_counted_and_codes_are_bits(table):
    rng = np.random.default_rng(6)
    words = rng.choice([0, 1, 2, 6, 1 << 20], SHAPE).astype(">i4")
    bits = BitTable("t", "1", "VIS", (Bit(0, "BAD"), Bit(1, "SAT")))
    statistics, _ = accumulate(
        frame_of({"FLAG": words}, WCS, bits=bits), table, selections=(bits.select(["SAT"]),)
    )
    owned = table.cells.index(cells_of_pixels(WCS, SHAPE, ORDER)) >= 0
    assert statistics.scalars["stray"] == np.sum(np.isin(words, (6, 1 << 20)) & owned)
    assert statistics.scalars["stray_bits"] == 4 | 1 << 20
    assert statistics.column("flagged.SAT").sum() == np.sum(np.isin(words, (2, 6)) & owned)

    codes = rng.integers(0, 8, SHAPE).astype(">i2")
    coded = BitTable("c", "1", "DECAM", (Bit(1, "BAD"), Bit(3, "SAT"), Bit(5, "CR")), kind="code")
    statistics, _ = accumulate(
        frame_of({"FLAG": codes}, WCS, bits=coded), table, selections=(coded.select(["SAT", "CR"]),)
    )
    assert statistics.column("flagged.SAT,CR").sum() == np.sum(np.isin(codes, (3, 5)) & owned)
    assert statistics.column("bit.03").sum() == np.sum((codes == 3) & owned)
    assert statistics.scalars["stray"] == np.sum(np.isin(codes, (2, 4, 6, 7)) & owned)


# -- laws -----------------------------------------------------------------------------------------------


def identical(a, b):
    return a.columns.keys() == b.columns.keys() and all(
        a.column(name).tobytes() == b.column(name).tobytes() for name in a.columns
    )


def test_bytes_do_not_depend_on_threads_or_on_the_rows_read_at_a_time(table, planes, monkeypatch):
    options = {
        "selections": SELECTIONS,
        "good": GOOD,
        "percents": PERCENTS,
        "listed": LISTED,
        "inverse_variance": True,
        "keep_good": GOOD,
    }
    seen = []
    one, kept = accumulate(frame_of(planes, WCS), table, **options, progress=seen.append)
    assert seen == [512, 700]
    for threads, window in ((2, 128), (3, 37), (1, 512)):
        monkeypatch.setattr(module, "WINDOW_ROWS", window)
        other, kept_too = accumulate(frame_of(planes, WCS), table, **options, threads=threads)
        assert identical(one, other) and np.array_equal(kept.bits, kept_too.bits)
        assert one.scalars == other.scalars


def test_planes_that_must_be_read_in_order_are(table, planes):
    frame = frame_of(planes, WCS, sequential=True)
    other, _ = accumulate(frame, table, good=GOOD, threads=2)
    assert identical(other, accumulate(frame_of(planes, WCS), table, good=GOOD)[0])
    assert all(plane.rows_read == SHAPE[0] for plane in frame.planes.values())


def test_areas_that_are_disjoint_give_the_pieces_of_the_whole(table, planes):
    options = {"selections": SELECTIONS, "good": GOOD, "percents": (50,), "listed": LISTED}
    whole, _ = accumulate(frame_of(planes, WCS), table, **options)
    cells = table.cells.cells()
    for part in (cells[::2], cells[1::2]):
        own = run_table(WCS, SHAPE, CellSet.from_cells(ORDER, part), outline=image_outline(WCS, SHAPE))
        piece, _ = accumulate(frame_of(planes, WCS), own, **options)
        np.testing.assert_array_equal(piece.cells.cells(), part)
        chosen = table.cells.index(part)
        for name in piece.columns:
            if name != "geom":
                assert piece.column(name).tobytes() == whole.column(name)[chosen].tobytes(), name
            np.testing.assert_allclose(piece.column(name), whole.column(name)[chosen], rtol=1e-12)


@settings(deadline=None, max_examples=15)
@given(st.floats(-1e6, 1e6), st.sampled_from([1e-4, 1.0, 1e3]), st.integers(-60, 60))
def test_moments_keep_six_digits_whatever_offset_scale_and_unit(offset, spread, exponent):
    shape, wcs = (130, 140), image_wcs(10.0, 5.0, 140, 3.0)
    cells = run_table(wcs, shape, CellSet.everything(10))
    rng = np.random.default_rng(1)
    plane = (
        (offset + spread * rng.standard_normal(shape)).astype(np.float32) * np.float32(2.0**exponent)
    ).astype("f4")
    plane[::17, ::5] = plane.flat[0] + np.float32(1e3 * spread * 2.0**exponent)
    statistics, _ = accumulate(frame_of({"IMAGE": plane}, wcs), cells)
    place = cells.cells.index(cells_of_pixels(wcs, shape, 10))
    for k in range(len(cells.cells)):
        value = plane[place == k].astype(np.float64)
        m2 = np.sum((value - value.mean()) ** 2)
        scatter = np.sqrt(m2 / value.size)
        assert statistics.column("IMAGE.valid.mean")[k] == pytest.approx(
            value.mean(), rel=1e-12, abs=1e-6 * scatter
        )
        assert statistics.column("IMAGE.valid.m2")[k] == pytest.approx(m2, rel=5e-6)


def test_joint_good_is_the_and_of_bands(table, planes):
    kept = [accumulate(frame_of(planes, WCS), table, keep_good=one)[1] for one in SELECTIONS[:2]]
    other = Selection(("Z",), (5,))
    kept.append(accumulate(frame_of(planes, WCS), table, keep_good=other)[1])
    union = Selection(("ALL",), (1, 5, 31))
    statistics, _ = accumulate(frame_of(planes, WCS), table, selections=(union,))
    np.testing.assert_array_equal(joint_good(table, kept), statistics.column("good.ALL"))
    with pytest.raises(InputError, match="must have shape"):
        joint_good(table, [])


def test_subcell_words_show_where_good_pixels_are(planes):
    shape, wcs = (300, 320), image_wcs(57.99, -51.59, 320, 1.0, rotation=20)
    cut = {name: plane[: shape[0], : shape[1]] for name, plane in planes.items()}
    table = run_table(wcs, shape, CellSet.everything(10))
    _, kept = accumulate(frame_of(cut, wcs), table, keep_good=GOOD)
    children = cells_of_pixels(wcs, shape, 13)
    noise = cut["RMS"]
    usable = np.isfinite(noise) & (noise >= np.finfo(np.float32).tiny) & (noise <= 1e6)
    good = usable & ((cut["FLAG"].astype(np.int64) & GOOD.mask) == 0)
    want = [
        sum(1 << k for k in range(64) if (2 * good - 1)[children == 64 * cell + k].sum() > 0)
        for cell in table.cells.cells()
    ]
    assert subcell_words(table.cells, table, kept).tolist() == want
    assert subcell_words(table.cells, table, kept, threads=2).tolist() == want
    assert 0 < sum(want) < len(want) * (2**64 - 1)
    with pytest.raises(MapMismatchError, match="order 9, found 10"):
        subcell_words(table.cells.at_order(9), table, kept)


# -- faults ---------------------------------------------------------------------------------------------


def test_fault_18_planes_of_another_shape(table, planes):
    frame = frame_of({"RMS": planes["RMS"], "FLAG": planes["FLAG"][:-1]}, WCS)
    with pytest.raises(
        InputError, match=r"flag.fits\[0\]: plane FLAG of 102018211 VIS must have the shape.*\(699, 600\)"
    ):
        accumulate(frame, table)


def test_what_is_not_there_cannot_be_asked_for(table, planes):
    with pytest.raises(InputError, match="star masks"):
        accumulate(frame_of(planes, WCS), table, selections=(MASKED,))
    with pytest.raises(InputError, match="need the plane RMS"):
        accumulate(frame_of({"IMAGE": planes["IMAGE"]}, WCS), table, inverse_variance=True)
    with pytest.raises(InputError, match="integers of at most 32 bits"):
        accumulate(frame_of({"FLAG": planes["IMAGE"]}, WCS), table)
    with pytest.raises(InputError, match="whole per cents"):
        accumulate(frame_of(planes, WCS), table, percents=(12.5,))


@pytest.mark.parametrize("dtype", [">f4", ">i4", ">f8", ">i2"])
def test_data_are_checked_against_their_datasum(table, dtype):
    data = np.random.default_rng(9).uniform(1, 50, SHAPE).astype(dtype)
    hdu = fits.ImageHDU(data)
    hdu.add_datasum()
    name = "FLAG" if dtype == ">i4" else "RMS"
    right = ArrayPlane(name, data, datasum=int(hdu.header["DATASUM"]))
    accumulate(frame_of({name: right}, WCS), table, threads=2)
    flipped = data.copy()
    flipped.view(np.uint8)[333, 77] ^= 16
    with pytest.raises(InputError, match=r"\.fits\[0\]: the data must have the DATASUM"):
        accumulate(frame_of({name: ArrayPlane(name, flipped, datasum=right.datasum)}, WCS), table)


# -- star masks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "axes"),
    [
        ("TAN", {"rotation": 30.0}), ("TAN", {"dec_first": True}), ("SIP", {"flip": True}),
        ("SIP", {"dec_first": True}), ("TPV", {"rotation": 30.0}),
    ],
    ids=str,
)  # fmt: skip
def test_star_masks_hold_the_pixels_whose_centre_is_inside(kind, axes):
    shape, wcs = (530, 600), image_wcs(359.98, -51.59, 600, 1.0, kind=kind, **axes)
    grid = run_table(wcs, shape, CellSet.everything(11))
    world = wcs.all_pix2world(*np.mgrid[: shape[0], : shape[1]][::-1].reshape(2, -1).astype(float), 0)
    lon, lat = world[wcs.wcs.lng], world[wcs.wcs.lat]
    for region in (
        Cap(359.98, -51.59, 0.01), Cap(0.03, -51.55, 0.03), Cap(359.9, -51.6, 5 / 3600), Cap(10.0, -40.0, 0.1),
        Cap(359.98, -51.59, 0.05, outside=True), Cap(180.0, 51.59, 179.95),
        Polygon([(359.95, -51.62), (359.97, -51.66), (0.01, -51.64), (359.99, -51.63), (0.0, -51.60)]),
    ):  # fmt: skip
        drawn = PixelMasks(grid, [[region]])
        got = np.concatenate([drawn.draw(block.start, block.stop) for block in grid.blocks])
        np.testing.assert_array_equal(got.ravel() == 1, _holds(region, lon, lat))


def _holds(region, lon, lat):
    if isinstance(region, Cap):
        a, b = np.radians(lat), np.radians(region.lat_deg)
        hav = (
            np.sin((a - b) / 2) ** 2
            + np.cos(a) * np.cos(b) * np.sin(np.radians(lon - region.lon_deg) / 2) ** 2
        )
        return (hav <= np.sin(np.radians(region.radius_deg) / 2) ** 2) ^ region.outside
    from matplotlib.path import Path

    def gnomonic(lon, lat):
        d, x = np.radians(lat), np.radians(lon - 359.98)
        d0 = np.radians(-51.63)
        depth = np.sin(d0) * np.sin(d) + np.cos(d0) * np.cos(d) * np.cos(x)
        return np.stack(
            (
                np.cos(d) * np.sin(x) / depth,
                (np.cos(d0) * np.sin(d) - np.sin(d0) * np.cos(d) * np.cos(x)) / depth,
            ),
            1,
        )

    return Path(gnomonic(*region.vertices.T)).contains_points(gnomonic(lon, lat))


def test_cutting_runs_changes_no_pixel(table):
    block = table.blocks[0]
    cut, virtual = PixelMasks(table, [MASKS]).cut(block)
    marked = PixelMasks(table, [MASKS]).draw(block.start, block.stop)
    before, after, inside = (np.empty(marked.shape, np.int32) for _ in range(3))
    pixelcells.expand(block.first, block.slot, block.row_start, SHAPE[1], before)
    pixelcells.expand(cut.first, cut.slot, cut.row_start, SHAPE[1], after)
    pixelcells.expand(cut.first, virtual.astype(np.int32), cut.row_start, SHAPE[1], inside)
    assert marked.any() and np.array_equal(before, after) and np.array_equal(inside, marked)
