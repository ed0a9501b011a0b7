"""Rows as they stand on disk: what `open_rows` takes it reads as `vmpz.io.read` does; the rest it leaves or refuses."""

import gzip
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

import io_helpers
from io_helpers import CELLS, ORDER
from vmpz import io
from vmpz.errors import InputError
from vmpz.io.headers import card, write_unit
from vmpz.io.rows import convention_of, open_rows
from vmpz.parameters import MapParameters
from vmpz.products import Product
from vmpz.run.store import Store
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
PRODUCTS = io_helpers.products()


@pytest.fixture(params=PRODUCTS)
def product(request):
    return PRODUCTS[request.param]


@pytest.fixture
def path(tmp_path):
    """A small coverage file of ours."""
    return io.write_file(PRODUCTS["coverage"], tmp_path / "a.fits")


def must_agree(path):
    """`open_rows` says and holds what `vmpz.io.read` does."""
    file, read = open_rows(path), io.read(path)
    assert file is not None, path
    assert file.key == read.key and file.unit == read.unit
    assert dict(file.keywords) == dict(read.keywords)
    types = {name: type(value) for name, value in file.keywords.items()}
    assert types == {name: type(value) for name, value in read.keywords.items()}
    records = file.rows().view(file.row_type).ravel()
    assert records.size == file.count == len(read.map)
    assert records.dtype.names == ("PIXEL", *read.maps)
    assert np.array_equal(records["PIXEL"], read.map.cells.cells())
    for name, one in read.maps.items():
        assert records[name].astype(one.values.dtype).tobytes() == one.values.tobytes()
        assert records.dtype[name].newbyteorder("=") == one.values.dtype
    return file


# -- files of ours ----------------------------------------------------------------------------------------------------


def test_every_kind_is_read_as_the_reader_does(product, tmp_path):
    must_agree(io.write_file(product, tmp_path / "a.fits"))
    must_agree(io.write(product, tmp_path)[0])
    must_agree(io.write(io_helpers.patch(product), tmp_path / "p")[0])
    must_agree(io.write_file(product, tmp_path / "z.fits", maps=MapParameters(write_zeros=True)))


def test_every_map_of_a_store_is_read_as_the_reader_does(store):
    paths = [
        entry.path(".fits")
        for entry in Store(store).entries()
        if any(str(item["name"]).endswith(".fits") for item in entry.files)
    ]
    assert len(paths) > 30
    for path in paths:
        must_agree(path)


def test_files_of_this_version_stay_readable(tmp_path):
    must_agree(GOLDEN / "coverage.fits")
    assert open_rows(GOLDEN / "bitmask.moc.fits") is None


def test_no_cell_and_every_order(tmp_path):
    for order in (0, 1, 14, 29):
        cells = CellSet.from_ranges(order, [(12 * 4**order - 3, 12 * 4**order)])
        for held in (CellSet(order), cells):
            values = np.full(len(held), 0.5, np.float32)
            one = Product(
                io_helpers.key("coverage", order=order), {"WEIGHT": SkyMap(held, values)}, None,
                io_helpers.COMMON, "", io_helpers.provenance(),
            )  # fmt: skip
            file = must_agree(io.write_file(one, tmp_path / "a.fits"))
            assert file.key.order == order and file.rows(verified=False).shape == (len(held), 3)


WORDS = st.text(max_size=30)


@settings(max_examples=25, deadline=None)
@given(WORDS, WORDS, st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**62), 2**62))
def test_any_keyword_comes_out_as_the_reader_gives_it(tmp_path_factory, filters, source, number, tile):
    """Quotes, slashes, blanks, '&', text that is no ASCII or long, and numbers of any size."""
    words = {"FILTLST": filters, "CORRSRC": source, "OBSAREA": number, "PSFKIND": f"5' /{source} &"}
    key = io_helpers.key("coverage", area=str(abs(tile)))
    path = tmp_path_factory.mktemp("any") / "a.fits"
    io.write_file(io_helpers.make(key, {"WEIGHT": io_helpers.fractions()}, words), path)
    if b"CONTINUE" in path.read_bytes():
        assert open_rows(path) is None
    else:
        must_agree(path)


# -- files that are left to the reader --------------------------------------------------------------------------------


def test_other_forms_and_conventions_are_left_to_the_reader(tmp_path):
    product = io_helpers.make(
        io_helpers.key("coverage"), {"WEIGHT": io_helpers.fractions()},
        {"TILEAREA": CellSet.from_cells(ORDER, CELLS).area_deg2},
    )  # fmt: skip
    others = {
        "mer.fits": MapParameters(coverage_convention="MER"),
        "strict.fits": MapParameters(strict_dpdd=True),
        "a.moc.fits": MapParameters(),
        "a.plain.moc.fits": MapParameters(),
        "a.parquet": MapParameters(),
    }
    for name, maps in others.items():
        path = io.write_file(product, tmp_path / name, maps=maps)
        assert open_rows(path) is None, name
    bare = io.write_file(replace(product, provenance=None), tmp_path / "bare.fits")
    assert open_rows(bare) is None
    packed = tmp_path / "packed.fits"
    packed.write_bytes(gzip.compress(io.write_file(product, tmp_path / "a.fits").read_bytes()))
    assert open_rows(packed) is None
    assert io.read(packed).map == product.map


@pytest.mark.parametrize("content", [b"", b"<html></html>", b"SIMPLE  =", bytes(50_000), b"\xff" * 2880])
def test_what_is_no_fits_file_is_left_to_the_reader(content, tmp_path):
    path = tmp_path / "a.fits"
    path.write_bytes(content)
    assert open_rows(path) is None
    with pytest.raises(InputError):
        io.read(path)


@pytest.mark.gpl
def test_files_of_healpy_are_left_to_the_reader(tmp_path):
    healpy = pytest.importorskip("healpy")
    full = np.full(12 * 64**2, healpy.UNSEEN)
    full[CELLS[full.size > CELLS]] = 0.5
    for name, nest in (("nested", True), ("ring", False)):
        path = tmp_path / f"{name}.fits"
        healpy.write_map(path, full, nest=nest, coord="C", partial=True, dtype=np.float32)
        assert open_rows(path) is None
        assert len(io.read(path).map) == np.sum(full > 0)


def edited(path, change, **options):
    """The file with its table changed by astropy, as a user would."""
    with fits.open(path) as hdus:
        table = fits.BinTableHDU(hdus[1].data.copy(), hdus[1].header)
        change(table)
        fits.HDUList([hdus[0].copy(), table]).writeto(path, overwrite=True, **options)
    return path


def _nan(table):
    table.data["WEIGHT"][3] = np.nan


def _unseen(table):
    table.data["WEIGHT"][3] = -1.6375e30


def _zero(table):
    table.data["WEIGHT"][3] = 0.0


def _shuffle(table):
    table.data[:] = table.data[::-1].copy()


def _twice(table):
    table.data["PIXEL"][4] = table.data["PIXEL"][3]


def _outside(table):
    table.data["PIXEL"][-1] = 12 * 4**ORDER


@pytest.mark.parametrize("change", [_nan, _unseen, _zero, _shuffle, _twice, _outside])
@pytest.mark.parametrize("name", ["coverage", "depth"])
def test_a_table_that_other_software_changed_is_left_to_the_reader(change, name, tmp_path):
    """Its checksum holds, its header is still that of the package, and only its CHECKSUM card tells."""
    path = edited(io.write_file(PRODUCTS[name], tmp_path / "a.fits"), change, checksum=True)
    assert open_rows(path) is None
    if change in (_twice, _outside):
        with pytest.raises(InputError, match=r"listed once|must lie in"):
            io.read(path)
    elif change is not _shuffle:
        kept = len(CELLS) - (change is not _zero or name == "depth")
        assert len(io.read(path).map) == kept
    else:
        assert len(io.read(path).map) == len(CELLS)


def test_a_table_that_was_changed_in_place_is_refused(path):
    """As software does that knows no checksums. A sum does not see the order of its words: places do."""
    file = open_rows(path)
    for row, name, value in ((3, "WEIGHT", np.nan), (3, "WEIGHT", 0.0), (4, "PIXEL", CELLS[3])):
        records = np.memmap(path, file.row_type, "r+", file.offset, (file.count,))
        kept = records[name][row].copy()
        records[name][row] = value
        records.flush()
        with pytest.raises(InputError, match="DATASUM must be"):
            open_rows(path).rows()
        records[name][row] = kept
        records.flush()
    must_agree(path)


def sealed(path, out, change=lambda cards: cards, more=0):
    """The file written again by our own writer with other cards of the table: what a later version might write."""
    with fits.open(path) as hdus:
        places = [hdu.fileinfo() for hdu in hdus]
    raw = path.read_bytes()
    headers = [raw[place["hdrLoc"] : place["datLoc"]].decode() for place in places]
    own = ("CHECKSUM", "DATASUM ", "END     ", " " * 8)
    cards = [
        [one[at : at + 80] for at in range(0, len(one), 80) if one[at : at + 8] not in own] for one in headers
    ]
    with fits.open(path) as hdus:
        data = np.frombuffer(hdus[1].data.tobytes(), ">u4").astype(">u4")
    with out.open("wb") as stream:
        write_unit(stream, cards[0])
        for _ in range(1 + more):
            write_unit(stream, change(cards[1]), [data])
    return out


def swapped(name, value):
    """A change of the value of one card; it is added where there is none, and left out for None."""

    def change(cards):
        others = [one for one in cards if one[:8].rstrip() != name]
        at = next((place for place, one in enumerate(cards) if one[:8].rstrip() == name), len(others))
        return [*others[:at], *([] if value is None else [card(name, value)]), *others[at:]]

    return change


def test_a_file_sealed_again_is_still_ours(path, tmp_path):
    again = sealed(path, tmp_path / "b.fits")
    assert again.read_bytes() == path.read_bytes()
    must_agree(again)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("COORDSYS", "c"), ("COORDSYS", "G"), ("COORDSYS", None), ("ORDERING", "RING"), ("ORDERING", "nested"),
        ("PIXTYPE", None), ("INDXSCHM", "IMPLICIT"), ("OBJECT", "FULLSKY"), ("NSIDE", 63), ("NSIDE", 1 << 30),
        ("NSIDE", -64), ("BAD_DATA", -1.0), ("TSCAL1", 2.0), ("TZERO1", 1.0), ("TSCAL2", 2.0), ("TZERO2", 0.5),
        ("TSCAL3", 2.0), ("TZERO4", 1.0), ("TNULL1", 17), ("TDIM2", "(1)"), ("COVCONV", "MER"), ("COVCONV", "X"),
        ("WGTKIND", None), ("DEGRULE", None), ("EXTNAME", "xtension"), ("TTYPE1", "UNIQ"), ("TTYPE2", "VALUE"),
        ("TFORM1", "1K"), ("TFORM2", "1E"), ("TFORM2", "J"),
    ],
)  # fmt: skip
def test_a_layout_of_another_kind_is_left_to_the_reader(name, value, tmp_path):
    path = io.write_file(PRODUCTS["bitmask"], tmp_path / "a.fits")
    assert open_rows(sealed(path, tmp_path / "b.fits", swapped(name, value))) is None


def test_a_card_that_says_two_things_is_left_to_the_reader(path, tmp_path):
    def change(cards):
        return [*cards, card("DEGRULE", "MEAN")]

    assert open_rows(sealed(path, tmp_path / "b.fits", change)) is None
    must_agree(sealed(path, tmp_path / "c.fits", lambda cards: [*cards, card("DEGRULE", "COVERAGE")]))


def test_more_than_one_table_is_left_to_the_reader(path, tmp_path):
    assert open_rows(sealed(path, tmp_path / "b.fits", more=1)) is None
    tail = tmp_path / "tail.fits"
    tail.write_bytes(path.read_bytes() + b"\0" * 100)
    assert open_rows(tail) is None
    with pytest.raises(InputError, match="multiple of 2880"):
        io.read(tail)


# -- files that are refused -------------------------------------------------------------------------------------------


def test_a_file_that_is_cut_is_refused_wherever(path, tmp_path):
    content, cut = path.read_bytes(), tmp_path / "cut.fits"
    for size in (len(content) - 1, len(content) - 2880, len(content) - 2881, 2880 * 2, 2880 + 80, 2880, 100):
        cut.write_bytes(content[:size])
        try:
            file = open_rows(cut)
        except InputError as error:
            assert "cut" in str(error)
            continue
        assert file is None
        with pytest.raises(InputError):
            io.read(cut)


@pytest.mark.filterwarnings("ignore:The following header keyword")
def test_a_bit_that_flips_anywhere_is_never_read_over(path, tmp_path):
    """In the headers at once, in the rows when they are read; in the padding it changes nothing."""
    content, flipped = path.read_bytes(), tmp_path / "flipped.fits"
    rows, file = open_rows(path).rows().tobytes(), open_rows(path)
    ends = file.offset, file.offset + file.count * file.row_type.itemsize
    rng = np.random.default_rng(2)
    for place in rng.permutation(len(content))[:1500]:
        altered = bytearray(content)
        altered[place] ^= 1 << int(rng.integers(0, 8))
        flipped.write_bytes(altered)
        try:
            again = open_rows(flipped)
        except InputError as error:
            assert place < ends[0] and str(flipped) in str(error)
            continue
        if again is None:
            assert place < ends[0]
            with pytest.raises(InputError):
                io.read(flipped)
            continue
        assert place >= ends[0]
        if place < ends[1]:
            with pytest.raises(InputError, match=r"flipped.fits\[1\]: DATASUM must be"):
                again.rows()
        else:
            assert again.rows().tobytes() == rows


def test_a_file_that_changes_after_it_was_opened_is_refused(path, tmp_path):
    file = open_rows(path)
    shutil.copy(path, tmp_path / "kept.fits")
    path.write_bytes(path.read_bytes()[:-2880])
    with pytest.raises(InputError, match="must not change"):
        file.rows()
    other = io_helpers.make(io_helpers.key("coverage"), {"WEIGHT": io_helpers.fractions(9)}, io_helpers.BITS)
    io.write_file(other, path)
    with pytest.raises(InputError, match="DATASUM must be"):
        file.rows()


def test_convention_of_files(tmp_path):
    product = io_helpers.make(
        io_helpers.key("coverage"), {"WEIGHT": io_helpers.fractions()},
        {"TILEAREA": CellSet.from_cells(ORDER, CELLS).area_deg2},
    )  # fmt: skip
    mer = MapParameters(coverage_convention="MER")
    for name, maps, wanted in (
        ("a.fits", None, "OBSERVED"), ("b.fits", mer, "MER"), ("b.moc.fits", mer, "MER"),
        ("c.fits", MapParameters(strict_dpdd=True), "OBSERVED"),
    ):  # fmt: skip
        assert convention_of(io.write_file(product, tmp_path / name, maps=maps)) == wanted
    cut = tmp_path / "cut.fits"
    cut.write_bytes((tmp_path / "b.fits").read_bytes()[:-1])
    with pytest.raises(InputError):
        convention_of(cut)
