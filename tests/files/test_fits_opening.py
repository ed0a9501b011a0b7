"""Strict opening: structure, names, identities, checksums against astropy's."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

import readers_helpers as write
from vmpz.errors import InputError
from vmpz.files.cards import Cards
from vmpz.files.fits import open_fits
from vmpz.files.hdu import check_data_sum, data_sum, fold
from vmpz.files.planes import open_plane


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=300))
def test_sum_is_the_slow_one(data: bytes) -> None:
    assert data_sum(data) % 0xFFFFFFFF == write.ones_sum(data) % 0xFFFFFFFF


@settings(deadline=None, max_examples=60)
@given(st.lists(st.binary(min_size=4, max_size=40).map(lambda part: part[: len(part) // 4 * 4]), max_size=6))
def test_sum_of_parts_is_the_sum(parts: list[bytes]) -> None:
    total = fold(sum(data_sum(part) for part in parts))
    check_data_sum(total, data_sum(b"".join(parts)), "x")


def test_sums_of_files_written_by_astropy(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    hdus = [fits.PrimaryHDU(np.arange(35, dtype=np.int16).reshape(5, 7))]
    hdus += [fits.ImageHDU(np.ones((3, 4), np.float64), name="B")]
    table = fits.BinTableHDU.from_columns([fits.Column("X", "1J", array=np.arange(9))], name="T")
    fits.HDUList([*hdus, table]).writeto(path, checksum=True)
    with open_fits(str(path)) as file:
        assert [hdu.name for hdu in file.hdus] == ["PRIMARY", "B", "T"]
        for hdu in file.hdus:
            assert hdu.datasum is not None
            file.verify_data(hdu)
        assert file.hdu("t") is file.hdus[2]
        assert file.hdu(1).shape == (3, 4)
        with pytest.raises(InputError, match="must hold an image of two axes"):
            file.hdu("T").shape


def test_checksum_alone_tells_the_sum_of_the_data(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    array = np.arange(720, dtype=np.int32).reshape(20, 36)
    fits.PrimaryHDU(array).writeto(path, checksum=True)
    with fits.open(path) as file:
        stated = int(file[0].header["DATASUM"])
    with open_fits(str(path)) as file:
        assert file.hdus[0].datasum == stated
    header = write.image_bytes(array, checksum=False)
    whole = write.image_bytes(array, {"CHECKSUM": "0" * 16}, checksum=False)
    text = write.encode_checksum(write.ones_sum(whole))
    path.write_bytes(whole.replace(b"0" * 16, text.encode(), 1))
    with open_fits(str(path)) as file:
        check_data_sum(write.ones_sum(header[2880:]), file.hdus[0].datasum or 0, "x")
        file.verify_data(file.hdus[0])


@pytest.mark.parametrize("text", ["x", "-1", "99999999999", "1.0"])
def test_datasum_must_be_a_number(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.fits"
    path.write_bytes(write.image_bytes(np.zeros((2, 2), np.int32), {"DATASUM": text}, checksum=False))
    with pytest.raises(InputError, match="DATASUM must be"), open_fits(str(path)):
        pass


def test_gzip_of_one_and_of_several_hdus(tmp_path: Path) -> None:
    array = np.arange(5000, dtype=np.float32).reshape(50, 100)
    one, two = write.image_bytes(array), write.image_bytes(array[:9], {"EXTNAME": "TWO"}, first=False)
    path = tmp_path / "a.fits.gz"
    several = [gzip.compress(one + two), gzip.compress(one) + gzip.compress(two)]
    for content, number in [(gzip.compress(one), 1), *((content, 2) for content in several)]:
        path.write_bytes(content)
        with open_fits(str(path)) as file:
            assert len(file.hdus) == number
            for hdu in file.hdus:
                file.verify_data(hdu)


def test_a_second_member_of_equal_size_is_refused_and_not_lost(tmp_path: Path) -> None:
    array = np.arange(5000, dtype=np.float32).reshape(50, 100)
    path = tmp_path / "a.fits.gz"
    second = write.image_bytes(array, {"EXTNAME": "TWO"}, first=False)
    path.write_bytes(gzip.compress(write.image_bytes(array)) + gzip.compress(second))
    plane = open_plane(str(path))
    with pytest.raises(InputError, match="fill must end the stream, found more"):
        plane.read(0, 50)


def test_only_headers_are_read_to_list_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    path.write_bytes(write.image_bytes(np.zeros((10, 10), np.float32), {"NAXIS1": 10}))
    header = write.header_bytes(
        [("SIMPLE", True), ("BITPIX", -32), ("NAXIS", 2), ("NAXIS1", 20000), ("NAXIS2", 20000)]
    )
    with path.open("wb") as handle:  # 1.6 GB, sparse
        handle.write(header)
        handle.truncate(len(header) + -(-20000 * 20000 * 4 // 2880) * 2880)
    with open_fits(str(path)) as file:
        assert file.image().shape == (20000, 20000)


def test_identity_follows_name_size_and_header_alone(tmp_path: Path) -> None:
    array = np.zeros((4, 4), np.float32)

    def identity(folder: str, name: str, content: bytes) -> str:
        path = tmp_path / folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        with open_fits(str(path)) as file:
            return file.identity(file.hdus[0])

    first = identity("a", "x.fits", write.image_bytes(array))
    assert identity("b", "x.fits", write.image_bytes(array)) == first
    assert identity("b", "y.fits", write.image_bytes(array)) != first
    assert identity("b", "x.fits", write.image_bytes(array + 1)) != first  # DATASUM differs
    assert identity("b", "x.fits", write.image_bytes(array, {"A": 1})) != first


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        (b"SIMPLE  =                    T", b"SIMPLE  =                    F", "SIMPLE must be T"),
        (b"NAXIS   =                    2", b"NAXIS   =                 1000", "NAXIS must be 0 to 999"),
        (b"NAXIS   =                    2", b"NAXIS   =                    3", "must be NAXIS3"),
        (b"NAXIS1  =                    4", b"NAXIS1  =                   -4", "must be at least 0"),
        (
            b"NAXIS1  =                    4",
            b"NAXIS1  =                  4.0",
            "must be NAXIS1 with an integer",
        ),
        (b"NAXIS1  =                    4", b"NAXIS1  =                    0", "random groups"),
        (b"BITPIX  =                  -32", b"BITPIX  =                  -31", "BITPIX must be one of"),
    ],
)
def test_mandatory_cards(tmp_path: Path, old: bytes, new: bytes, rule: str) -> None:
    path = tmp_path / "a.fits"
    path.write_bytes(write.image_bytes(np.zeros((4, 4), np.float32), checksum=False).replace(old, new))
    with pytest.raises(InputError, match=rule), open_fits(str(path)):
        pass


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_no_damage_gets_past_as_anything_but_an_input_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(
        write.image_bytes(np.ones((20, 20), np.float32), write.WCS_CARDS)
        + write.table_bytes({"A": np.arange(4.0)}, name="T")
    )
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content))) // 2880 * 2880]
    path = tmp_path_factory.mktemp("damage") / "a.fits"
    path.write_bytes(bytes(content))
    try:
        with open_fits(str(path)) as file:
            for hdu in file.hdus:
                file.verify_data(hdu)
                assert hdu.data_offset + hdu.padded_bytes <= len(content)
    except InputError as error:
        assert str(path) in str(error)


def test_cards_by_type() -> None:
    images = [
        "A       = 1",
        "B       = 'x  '",
        "C       = T",
        "D       = 1.5",
        "E       = '2.5'",
        "F       = 1",
    ]
    raw = "".join(image.ljust(80) for image in [*images, "F       = 2", "G       =", "END"]).encode()
    cards = Cards(fits.Header.fromstring(raw), "file[0]", raw)
    assert (cards.integer("A"), cards.text("B"), cards.number("D"), cards.number("E")) == (1, "x", 1.5, 2.5)
    assert cards.optional_number("NONE") is None
    assert cards.optional_text("NONE") is None
    for read, key in [
        (cards.integer, "D"), (cards.integer, "C"), (cards.number, "C"), (cards.number, "B"), (cards.text, "A"),
        (cards.number, "F"), (cards.number, "G"), (cards.number, "NONE"),
    ]:  # fmt: skip
        with pytest.raises(InputError, match=rf"file\[0\]: {key} must"):
            read(key)
