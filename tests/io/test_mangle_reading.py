"""Polygon files of any make: what is understood, and what is refused, by file and line."""

import io as streams
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import io_helpers
import mangle_helpers
from mangle_helpers import cap, great_circles, mask_text, rectangle
from vmpz import io
from vmpz.errors import InputError
from vmpz.parameters import MapParameters
from vmpz.sky import hpx
from vmpz.sky.regions import Cap, Polygon, covered_fractions

TRIANGLE = [(10.0, -5.0), (20.0, -4.0), (14.0, 6.0)]
OCTANT = "polygon 0 ( 3 caps, 0.5 weight, 0 pixel, 1.5707963267948966 str):\n 1 0 0 1\n 0 1 0 1\n 0 0 1 1\n"


@pytest.fixture
def file(tmp_path):
    """Writes a text to a file of a name."""

    def write(text, name="mask.ply"):
        path = tmp_path / name
        path.write_bytes(text.encode("latin-1"))
        return path

    return write


# -- tolerance ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        f"1 polygons\n{OCTANT}",
        f"1 polygons\r\npixelization 9d\r\nreal 10\r\n{OCTANT}".replace("\n", "\r\n"),
        f"Made by José with snap a.pol b.pol\n\n1 polygons\nunit d\nsomething else 5\npixelization -1s\n{OCTANT}",
        OCTANT,
        f"snapped\nbalkanized\n\n{OCTANT}\n\n",
        f"1 polygons\n{OCTANT}what follows is not for us\n\nnot even 7 polygons\n",
        f"1 polygons\n{OCTANT}"[:-1],
        "1 polygons\npolygon 0 ( 3 caps, 0.5 weight ):\n1 0 0 1 0 1 0 1\n0 0 1\n1",
        "1 polygons\npolygon 5 3 0.5\n 1 0 0 1\n\n 0 -1 0 -1\n 0 0 1 1\n",
    ],
)
def test_an_octant_in_any_dress(text, file):
    mask = io.read_polygons(file(text))
    assert (len(mask), mask.weights.tolist(), mask.first.tolist()) == (1, [0.5], [0, 3])
    assert mask.area_deg2 == pytest.approx(math.degrees(math.degrees(math.pi / 2)), rel=1e-12)
    assert mask.observed_area_deg2 == pytest.approx(mask.area_deg2 / 2)
    assert mask.weight_at([45, 45, 225], [30, -30, 30]).tolist() == [0.5, 0, 0]
    assert mask.balkanized == ("balkanized" in text)


def test_a_weight_that_is_not_stated_is_one(file):
    mask = io.read_polygons(file("1 polygons\npolygon 3 1\n 0 0 1 0.5\n"))
    assert mask.weights.tolist() == [1.0]
    assert mask.area_deg2 == pytest.approx(math.degrees(math.degrees(math.pi)))


def test_stated_areas_are_kept_where_caps_do_not_tell_them(file):
    mask = io.read_polygons(file(mask_text([rectangle(0, 90, 0, 30)], areas=[0.7])))
    assert mask.areas.tolist() == [0.7]
    unknown = io.read_polygons(file(mask_text([rectangle(0, 90, 0, 30)])))
    assert np.isnan(unknown.areas[0]) and unknown.area_deg2 == 0.0


# -- to products --------------------------------------------------------------------------------------------


def test_a_foreign_mask_is_laid_on_cells(file):
    text = mask_text([great_circles(TRIANGLE), [cap(200, 60, 3)]], [1, 0.25])
    product = io.read(file(text), order=8)
    triangle, disc = covered_fractions(Polygon(TRIANGLE), 8), covered_fractions(Cap(200, 60, 3), 8)
    assert (product.key.kind, product.key.area, product.key.order) == ("coverage", "mask", 8)
    assert product.keywords == {"WGTKIND": "OBSFRAC", "DEGRULE": "COVERAGE"}
    assert product.map.cells == triangle.cells | disc.cells
    assert np.allclose(product.map.of_cells(triangle.cells.cells()), triangle.values, rtol=0, atol=1e-7)
    assert np.allclose(product.map.of_cells(disc.cells.cells()), disc.values / 4, rtol=0, atol=1e-7)
    assert product.map.values.dtype == np.float32


def test_the_order_of_a_foreign_mask(file):
    """14, or so coarse that the mask has at most 2**24 cells."""
    assert io.read(file(mask_text([[cap(10, 10, 0.1)]]))).key.order == 14
    assert io.read(file(mask_text([[cap(10, 10, 0.1)]])), order=10).key.order == 10
    wide = file(mask_text([rectangle(0, 30, 0, 5)], areas=[math.radians(150)]))
    assert io.read(wide).key.order == math.floor(math.log2(2**24 / hpx.cell_area_deg2(0) ** -1 / 8594.4) / 2)


@pytest.mark.parametrize(
    ("weights", "kind"), [([1, 1], "footprint"), ([1, 0.5], "coverage"), ([24.5, 25.5], "map")]
)
def test_weights_tell_what_nothing_else_does(weights, kind, file):
    text = mask_text([[cap(10, 10, 1)], [cap(13, 10, 1)]], weights)
    product = io.read(file(text), order=9)
    assert product.key.kind == kind
    assert product.map.values.max() == weights[1] if kind == "map" else product.map.values.max() <= 1


def test_the_name_tells_what_weights_are_and_depths_are_averaged(file):
    """Two halves of different depth: a cell between them has a depth, at the rim too."""
    west, east = (
        [*great_circles([(9, 0), (10, 0), (10, 1), (9, 1)])],
        [*great_circles([(10, 0), (11, 0), (11, 1), (10, 1)])],
    )
    name = "EUC_LE3_VMPZ-ID_MANGLEDEPTHMAP-102018211_20260314T150926.535897Z_0.12.ply"
    product = io.read(file(mask_text([west, east], [24, 26]), name), order=7)
    key = product.key
    assert (key.kind, key.area, key.release) == ("depth", "102018211", "0.12")
    assert product.map.values.min() == 24 and product.map.values.max() == 26
    seam = product.map.at([10.0], [0.5])[0]
    assert 24 < seam < 26


def test_a_foreign_mask_can_be_converted(file, tmp_path):
    path = file(mask_text([great_circles(TRIANGLE)], [0.5]))
    out = io.convert(path, tmp_path / "a.fits", order=7)
    found = io.read(out)
    assert io.check(out) == [] and found.key.order == 7
    area = Polygon(TRIANGLE).area_deg2
    assert found.map.integral_deg2() == pytest.approx(area / 2, rel=1e-6)
    again = io.read(io.convert(out, tmp_path / "b.ply"))
    assert again.map == found.map
    assert io.summary(path)["observed_area_deg2"] == pytest.approx(area / 2, rel=1e-6)


def test_cells_are_recognized_whatever_wrote_them(tmp_path):
    """Caps in another order and of fewer digits, no notes, an unknown pixelization."""
    coverage = mangle_helpers.coverage(80.0, 70.0, radius=0.2, order=12)
    path = io.write_file(coverage, tmp_path / "a.ply", maps=MapParameters(strict_dpdd=True))
    lines = path.read_text().splitlines()
    mixed = [lines[0], "pixelization 5d"]
    for at in range(4, len(lines), 5):
        caps = [" ".join(f"{float(one):.12f}" for one in lines[at + k].split()) for k in (3, 1, 4, 2)]
        mixed += [lines[at], *caps]
    other = tmp_path / "other.pol"
    other.write_text("\n".join(mixed) + "\n")
    found = io.read(other)
    assert found.map == coverage.map and found.key.kind == "coverage"


def test_polygons_that_are_almost_cells_are_no_cells(tmp_path):
    coverage = mangle_helpers.coverage(80.0, 20.0, radius=0.2, order=9)
    path = io.write_file(coverage, tmp_path / "a.ply", maps=MapParameters(strict_dpdd=True))
    mask = io.read_polygons(path)
    turned = np.array(mask.caps)
    turned[:, :3] = turned[:, :3] @ np.array([[0.6, 0.8, 0], [-0.8, 0.6, 0], [0, 0, 1]])
    text = mask_text(turned.reshape(-1, 4, 4).tolist(), mask.weights)
    path.write_text(text)
    found = io.read(path, order=9).map
    assert found.integral_deg2() == pytest.approx(coverage.map.integral_deg2(), rel=1e-4)
    assert len(found) > len(coverage.map)


# -- faults -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "mask.ply:1: the first line must be `<N> polygons`, found ''"),
        ("ply\nformat ascii 1.0\n", "mask.ply:1: the first line must be"),
        ("many polygons\n", "mask.ply:1: the number of polygons must be a whole number, found many"),
        ("-3 polygons\n", "mask.ply:1: the number of polygons must be a whole number, found -3"),
        ("1" * 30 + " polygons\n", "must be a whole number, found 1111"),
        (
            f"999999999999999999 polygons\n{OCTANT}",
            "mask.ply:6: 999999999999999999 polygons must be whole, found 1",
        ),
        (
            f"2 polygons\n{OCTANT}",
            "mask.ply:6: 2 polygons must be whole, found 1 before the end: the file is cut",
        ),
        (
            f"2 polygons\n{OCTANT}{OCTANT[:-9]}",
            "mask.ply:6: 2 polygons must be whole, found 1 before the end",
        ),
        ("2 polygons\n", "2 polygons must be whole, found 0 before the end"),
        (f"1 polygons\n{OCTANT}\n{OCTANT}", "mask.ply:7: 1 polygons were announced, found another"),
        (f"0 polygons\n{OCTANT}", "mask.ply:2: 0 polygons were announced, found another"),
        (
            f"2 polygons\n{OCTANT}junk\n{OCTANT}",
            "mask.ply:6: a polygon must begin with `polygon`, found 'junk'",
        ),
        (
            f"2 polygons\n{OCTANT}polygon 1 ( 9 caps):\n 0 0 1 1\n",
            "mask.ply:6: 2 polygons must be whole, found 1",
        ),
        (
            "1 polygons\npolygon 0 ( 1e18 caps):\n 0 0 1 1\n",
            "mask.ply:2: a polygon must have at most 65536 caps",
        ),
        (
            "1 polygons\npolygon 0 ( x caps):\n",
            "mask.ply:2: a number must stand, found 'polygon 0 ( x caps):'",
        ),
        ("1 polygons\npolygon 0 ( 1 weight):\n", "mask.ply:2: a polygon must state its number of caps"),
        (
            OCTANT.replace("0 1 0 1", "0 1 0.1 1"),
            "mask.ply:3: a cap must be a unit vector and a finite number",
        ),
        (OCTANT.replace("0 1 0 1", "0 nan 0 1"), "mask.ply:3: a number must stand, found 'nan 0 1'"),
        (
            OCTANT.replace("0 1 0 1", "0 1 0 1e999"),
            "mask.ply:3: a cap must be a unit vector and a finite number",
        ),
        (OCTANT.replace("0 1 0 1", "0 1 0 \0"), "mask.ply:3: a number must stand"),
        (OCTANT.replace("0.5 weight", "nan weight"), "mask.ply:1: a number must stand"),
        (OCTANT.replace("0.5 weight", "1e999 weight"), "mask.ply:1: weight and area must be finite"),
        (
            OCTANT.replace("0.5 weight", "-0.5 weight"),
            "mask.ply:1: the weight must not be negative, found -0.5",
        ),
        (
            OCTANT.replace("1.57", "1.58"),
            "mask.ply:1: the area must be that of the caps, 1.57079633 str, found 1.5807",
        ),
        (f"1 polygons\n{OCTANT}vmpz.key what\n", "mask.ply: the notes after the last polygon must be a key"),
        (f"1 polygons\n{OCTANT}\0\n", "mask.ply:6: must be text, found a zero byte"),
        ("\0\1\2" * 100, "mask.ply:1: must be text, found a zero byte"),
        ("x" * (1 << 20), "a polygon must begin within 1048576 bytes"),
        (
            f"1 polygons\n{OCTANT}" + "x" * (1 << 21),
            "at most 1048576 bytes must follow the 1 polygons announced",
        ),
    ],
)
def test_faults_are_named_by_file_and_line(text, message, file):
    path = file(text)
    for read in (io.read, io.read_polygons):
        with pytest.raises(InputError) as caught:
            read(path)
        assert message in str(caught.value)
    assert any(message in fault for fault in io.check(path))


def test_weights_of_a_fraction_lie_between_0_and_1(tmp_path):
    path = io.write_file(mangle_helpers.products()["coverage"], tmp_path / "a.ply")
    text = path.read_text()
    for wrong in ("1.5", "-0.5"):
        path.write_text(text.replace("( 4 caps, 1 weight", f"( 4 caps, {wrong} weight", 1))
        with pytest.raises(InputError, match=rf"a.ply:5: the weight must lie in \[0, 1\], found {wrong}"):
            io.read(path)


def test_a_file_that_is_cut_anywhere_is_never_taken_for_whole(tmp_path):
    path = io.write_file(mangle_helpers.products()["coverage"], tmp_path / "a.ply")
    data = path.read_bytes()
    last = data.index(b"\nvmpz.key") - 1  # the last digit of the last polygon
    for size in [*range(0, last, 211), *range(last - 80, last), *range(last + 8, len(data) - 2)]:
        path.write_bytes(data[:size])
        with pytest.raises(InputError):
            io.read(path)


def test_cells_that_overlap_or_unfold_too_far_are_refused(tmp_path):
    product = io_helpers.make(io_helpers.key("coverage"), {"WEIGHT": np.ones(2, "f4")}, cells=[7, 9])
    path = io.write_file(product, tmp_path / "a.ply")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:9], *lines[4:9], *lines[14:]]))
    with pytest.raises(InputError, match="cells must not overlap"):
        io.read(path)
    path.write_text("".join(lines).replace("~6~", "~28~"))
    with pytest.raises(InputError, match="must unfold to at most"):
        io.read(path)
    path.write_text("".join(lines).replace("~6~", "~40~"))
    with pytest.raises(InputError, match="must unfold to at most"):
        io.read(path)


def test_folders_and_missing_files_are_refused(tmp_path):
    (tmp_path / "a.ply").mkdir()
    for name in ("a.ply", "b.ply"):
        with pytest.raises(InputError, match="must be a"):
            io.read(tmp_path / name)


BASE = f"3 polygons\nsnapped\n{OCTANT}polygon 1 2\n 1 0 0 1 0 0 1 -0.5\npolygon 2 ( 1 caps ):\n 0 0 -1 0.01\n".encode()


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(BASE) - 1), st.integers(1, 9), st.binary(max_size=4)), max_size=4),
    st.integers(1, 64),
)
def test_damage_is_an_input_error_or_a_mask(tmp_path_factory, edits, block):
    """Whatever stands in a file, and however it is cut into blocks."""
    data = BASE
    for at, size, new in edits:
        data = data[:at] + new + data[at + size :]
    path = tmp_path_factory.mktemp("damage") / "a.ply"
    path.write_bytes(data)
    found = []
    for size in (block, 1 << 22):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("vmpz.io.polygonfile.BLOCK", size)
            try:
                mask = io.read_polygons(path)
            except InputError as error:
                found.append(str(error))
            else:
                out = streams.BytesIO()
                np.savez(out, caps=mask.caps, first=mask.first, weights=mask.weights, areas=mask.areas)
                found.append(out.getvalue())
    assert found[0] == found[1]
