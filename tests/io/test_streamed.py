"""A file written row by row is the file of the whole map, to the byte, whatever the cut in pieces."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import io_helpers
from io_helpers import ORDER
from vmpz import io
from vmpz.errors import InputError, MapMismatchError
from vmpz.io.metadata import COVERAGE_TYPE
from vmpz.io.rows import open_rows
from vmpz.io.streamed import read_span, write_rows
from vmpz.parameters import MapParameters
from vmpz.products import Product
from vmpz.sky.cells import CellSet
from vmpz.sky.hpx import cell_area_deg2
from vmpz.sky.skymap import SkyMap

OPTIONS = {
    "plain": MapParameters(),
    "zeros": MapParameters(write_zeros=True),
    "mer": MapParameters(coverage_convention="MER"),
    "strict": MapParameters(strict_dpdd=True),
}


def with_zeros(product):
    """The product on its whole area: some cells of it are listed with value 0."""
    where = product.map.cells | CellSet.from_cells(ORDER, np.arange(30_000, 30_050))
    maps = {
        name: SkyMap(where, one.of_cells(where.cells(), one.values.dtype.type(0)).astype(one.values.dtype))
        for name, one in product.maps.items()
    }
    return replace(product, maps=maps, keywords={**product.keywords, "TILEAREA": where.area_deg2})


PRODUCTS = {
    name: with_zeros(one) if one.key.kind in COVERAGE_TYPE else one
    for name, one in io_helpers.products().items()
}


@pytest.fixture(params=PRODUCTS)
def product(request):
    return PRODUCTS[request.param]


def records_of(product):
    """Rows of a product as they stand on disk."""
    types = {name: one.values.dtype for name, one in product.maps.items()}
    rows = np.empty(
        len(product.map),
        [("PIXEL", ">i8"), *((name, kind.newbyteorder(">")) for name, kind in types.items())],
    )
    rows["PIXEL"] = product.map.cells.cells()
    for name, one in product.maps.items():
        rows[name] = one.values
    return rows


def pieces_of(rows, cuts=()):
    """Numbered pieces as words, each in the same memory as the one before."""
    buffer = np.empty_like(rows)
    for number, piece in enumerate(np.split(rows, cuts)):
        buffer[: piece.size] = piece
        yield 7 * number, buffer[: piece.size].view(np.uint32).reshape(piece.size, rows.dtype.itemsize // 4)


def nothing(content):
    return {}


def streamed(product, path, maps, cuts=(), described=nothing):
    rows = records_of(product)
    bare = replace(product, maps={})
    return write_rows(bare, path, maps, rows.dtype, pieces_of(rows, cuts), described)


@pytest.mark.parametrize("option", OPTIONS)
def test_the_file_is_that_of_the_whole_map(product, option, tmp_path):
    maps = OPTIONS[option]
    wanted = io.write_file(product, tmp_path / "whole.fits", maps=maps).read_bytes()
    size = len(product.map)
    for cuts in ((), (0, 0, 5, 5, size), range(1, size)):
        streamed(product, tmp_path / "rows.fits", maps, cuts)
        assert (tmp_path / "rows.fits").read_bytes() == wanted
    assert sorted(one.name for one in tmp_path.iterdir()) == ["rows.fits", "whole.fits"]


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(list(PRODUCTS)), st.sampled_from(list(OPTIONS)), st.lists(st.integers(0, 90), max_size=9)
)
def test_the_cut_does_not_matter(tmp_path_factory, name, option, cuts):
    product, folder = PRODUCTS[name], tmp_path_factory.mktemp("any")
    cuts = sorted(min(cut, len(product.map)) for cut in cuts)
    content = streamed(product, folder / "rows.fits", OPTIONS[option], cuts)
    whole = io.write_file(product, folder / "whole.fits", maps=OPTIONS[option])
    assert (folder / "rows.fits").read_bytes() == whole.read_bytes()
    listed = io.read(whole).map
    assert (content.order, content.rows, content.cells) == (ORDER, len(listed), listed.cells)
    assert (content.minimum, content.maximum) == (listed.values.min(), listed.values.max())
    assert content.integral_deg2 == pytest.approx(listed.integral_deg2(), rel=1e-12)
    assert list(content.spans) == [7 * number for number in range(len(cuts) + 1)]
    spans = list(content.spans.values())
    assert [first for first, _ in spans] == np.cumsum([0, *(count for _, count in spans)])[:-1].tolist()
    assert sum(count for _, count in spans) == content.rows


def test_no_rows_and_no_pieces(tmp_path):
    for number, cells in enumerate(([], [5])):
        product = io_helpers.make(
            io_helpers.key("coverage"), {"WEIGHT": np.zeros(len(cells), np.float32)}, cells=cells
        )
        whole = io.write_file(product, tmp_path / f"{number}.fits").read_bytes()
        for pieces in ([], pieces_of(records_of(product)), pieces_of(records_of(product), [0, 0])):
            path = tmp_path / "rows.fits"
            content = write_rows(product, path, MapParameters(), records_of(product).dtype, pieces, nothing)
            assert path.read_bytes() == whole
            assert (content.rows, len(content.cells), content.integral_deg2) == (0, 0, 0.0)


def test_keywords_that_follow_from_the_content_are_those_of_the_content(tmp_path):
    product = PRODUCTS["coverage"]

    def described(content):
        return {"OBSAREA": content.integral_deg2, "TILEAREA": content.rows * cell_area_deg2(ORDER)}

    content = streamed(product, tmp_path / "rows.fits", MapParameters(), (3, 30), described)
    told = replace(product, keywords={**product.keywords, **described(content)})
    assert (tmp_path / "rows.fits").read_bytes() == io.write_file(told, tmp_path / "whole.fits").read_bytes()
    assert io.read(tmp_path / "rows.fits").keywords["OBSAREA"] == content.integral_deg2 > 0


# -- faults -----------------------------------------------------------------------------------------------------------


def spoiled(name, row, value):
    """A product with one value that cannot be written; it may stand in the last piece."""
    product = PRODUCTS[name]
    values = product.map.values.copy()
    values[row] = value
    return replace(product, maps={**product.maps, "WEIGHT": SkyMap(product.map.cells, values)})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("coverage", np.nan, "WEIGHT must be finite"),
        ("depth", np.inf, "WEIGHT must be finite"),
        ("depth", 0.0, "a depth must be positive"),
        ("footprint", 1.5, r"a fraction must lie in \[0, 1\]"),
        ("bitmask", -0.5, r"a fraction must lie in \[0, 1\]"),
    ],
)
def test_a_value_that_cannot_be_written_leaves_what_was_there(name, value, message, tmp_path):
    path = tmp_path / "a.fits"
    for there in (False, True):
        before = io.write_file(PRODUCTS[name], path).read_bytes() if there else None
        for row in (0, -1):
            for write in (
                lambda one: streamed(one, path, MapParameters(), (5, 20)),
                lambda one: io.write_file(one, path),
            ):
                with pytest.raises(InputError, match=message):
                    write(spoiled(name, row, value))
        assert [one.name for one in tmp_path.iterdir()] == (["a.fits"] if there else [])
        assert not there or path.read_bytes() == before


def test_pieces_that_fail_leave_nothing(tmp_path):
    rows = records_of(PRODUCTS["coverage"])

    def failing():
        yield from pieces_of(rows)
        raise MapMismatchError("a and b: cells must be disjoint")

    with pytest.raises(MapMismatchError, match="a and b"):
        write_rows(PRODUCTS["coverage"], tmp_path / "a.fits", MapParameters(), rows.dtype, failing(), nothing)
    assert list(tmp_path.iterdir()) == []


def test_pieces_that_do_not_ascend_are_refused(tmp_path):
    rows = records_of(PRODUCTS["depth"])
    words = rows.view(np.uint32).reshape(rows.size, -1)
    for pieces in ([(0, words[10:]), (1, words[:10])], [(0, words[:11]), (1, words[10:])]):
        with pytest.raises(InputError, match="rows must ascend"):
            write_rows(PRODUCTS["depth"], tmp_path / "a.fits", MapParameters(), rows.dtype, pieces, nothing)
    assert list(tmp_path.iterdir()) == []


def test_the_mer_convention_wants_every_cell(tmp_path):
    product = PRODUCTS["coverage"]
    part = replace(product, maps={"WEIGHT": product.map.where(product.map.values > 0)})
    with pytest.raises(MapMismatchError, match="every cell of the area"):
        streamed(part, tmp_path / "a.fits", OPTIONS["mer"], (5,))
    with pytest.raises(InputError, match="strict_dpdd leaves out COVCONV"):
        strict = MapParameters(coverage_convention="MER", strict_dpdd=True)
        streamed(product, tmp_path / "a.fits", strict)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_keyword_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match="SNR"):
        streamed(replace(PRODUCTS["coverage"], keywords={"SNR": 5.0}), tmp_path / "a.fits", MapParameters())
    assert list(tmp_path.iterdir()) == []


# -- spans ------------------------------------------------------------------------------------------------------------


def test_spans_are_the_rows(tmp_path):
    for name in ("bitmask", "tile"):
        content = streamed(PRODUCTS[name], tmp_path / "a.fits", MapParameters(), (0, 5, 6, 20))
        file = open_rows(tmp_path / "a.fits")
        rows = file.rows()
        for first, count in (*content.spans.values(), (0, file.count), (file.count, 0)):
            assert np.array_equal(read_span(file, first, count), rows[first : first + count])
    with pytest.raises(InputError, match="must not change while it is read"):
        read_span(file, file.count - 1, 1000)


def test_an_empty_product_reads_as_one(tmp_path):
    empty = Product(io_helpers.key("coverage"), {"WEIGHT": SkyMap(CellSet(ORDER), np.empty(0, np.float32))})
    streamed(replace(empty, provenance=io_helpers.provenance()), tmp_path / "a.fits", MapParameters())
    assert len(io.read(tmp_path / "a.fits").map) == 0 and io.check(tmp_path / "a.fits") == []
