import io
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import example, given, settings
from hypothesis import strategies as st

import io_helpers
from vmpz.io.headers import card, cards_of, primary_cards, write_unit
from vmpz.io.metadata import KEYWORDS, decode, encode, keyword, keywords_of


def header_of(*cards: str) -> fits.Header:
    text = "".join([*primary_cards({}), *cards, f"{'END':<80}"])
    return fits.Header.fromstring(text.ljust(-(-len(text) // 2880) * 2880))


@pytest.mark.parametrize(
    ("value", "image"),
    [
        ("VIS", "FILTER  = 'VIS     '           / filter"),
        (True, "FILTER  =                    T / filter"),
        (-1, "FILTER  =                   -1 / filter"),
        (5.0, "FILTER  =                  5.0 / filter"),
        (1e-5, "FILTER  =              1.0E-05 / filter"),
        ("O'Neil", "FILTER  = 'O''Neil '           / filter"),
    ],
)
def test_a_card_is_laid_out_in_fixed_columns(value, image):
    assert card("FILTER", value, "filter") == f"{image:<80}"


def test_the_width_of_a_card_is_kept_by_every_comment_of_the_table():
    for row in KEYWORDS.values():
        value = {str: "x" * 18, int: 10**9, float: 1 / 3, bool: True}[row.type]
        (image,) = cards_of({row.name.replace("nn", "07"): "2024-01-01" if "DATE" in row.name else value})
        assert len(image) == 80
        assert row.comment in image, f"the comment of {row.name} is cut"


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(1.2345678901234567e-05)
@example(-1.7976931348623157e308)
@settings(max_examples=200, deadline=None)
def test_floats_come_back_to_the_last_bit(value):
    assert header_of(card("PIXSCALE", value))["PIXSCALE"] == value


@given(st.text(max_size=300))
@example("it's\nSIMPLE  =                    F")
@example("'" * 200)
@example("&" * 140)
@example("'  /")
@example("x" * 67 + "'" * 20)
@example("blank at the end   ")
@example("100 % \N{GREEK SMALL LETTER SIGMA}\0\r")
@settings(max_examples=300, deadline=None)
def test_no_text_breaks_out_of_its_card_and_all_come_back(text):
    image = card("SRCPROF", text, "comment")
    assert len(image) % 80 == 0
    assert image.isascii() and image.isprintable()
    header = header_of(image, card("AFTER", 1))
    assert decode(header["SRCPROF"]) == text
    assert header["AFTER"] == 1
    assert [name for name in header if name not in ("SIMPLE", "BITPIX", "NAXIS", "EXTEND")] == [
        "SRCPROF",
        "AFTER",
    ]


def test_plain_text_is_written_as_it_is():
    assert encode("NIR_Y, it's 5' & more; DROP TABLE -rf") == "NIR_Y, it's 5' & more; DROP TABLE -rf"


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("2024-05-01T01:02:03.25", "2024-05-01T01:02:03.250"),
        ("2024-05-01T01:02:03.123456Z", "2024-05-01T01:02:03.123"),
        ("2024-05-01T01:02:03+02:00", "2024-04-30T23:02:03.000"),
        ("2024-05-01", "2024-05-01T00:00:00.000"),
        ("-1", None),
        ("yesterday'; DROP", None),
    ],
)
def test_dates_are_written_as_dates_or_not_at_all(given, written):
    product = io_helpers.products()["coverage"]
    words = keywords_of(replace(product, keywords={**product.keywords, "DATE-OBS": given}))
    assert words["DATE-OBS"] == (written or "-1")
    assert [image[11:34] for image in cards_of(words) if image.startswith("DATE-OBS")] == (
        [written] if written else []
    )


def test_bit_names_share_one_row():
    assert keyword("BITN07") is keyword("BITN32") is KEYWORDS["BITNnn"]
    assert keyword("BITNAB") is None


@pytest.mark.parametrize("size", [0, 4, 12, 2880, 2881 * 12, 100_000])
def test_checksums_are_those_of_astropy(size, tmp_path):
    data = np.random.default_rng(size).integers(0, 256, size).astype(np.uint8)
    cards = [card("XTENSION", "IMAGE"), card("BITPIX", 8), card("NAXIS", 1), card("NAXIS1", size)]
    cards += [card("PCOUNT", 0), card("GCOUNT", 1), card("EXTNAME", f"SIZE{size}")]
    stream = io.BytesIO()
    write_unit(stream, primary_cards({}))
    write_unit(stream, cards, [data[at : at + 2880] for at in range(0, size, 2880)])
    path = tmp_path / "unit.fits"
    path.write_bytes(stream.getvalue())
    with fits.open(path, checksum="warn") as hdus:
        for hdu in hdus:
            assert hdu.verify_checksum() == 1
            assert hdu.verify_datasum() == 1
        assert hdus[1].header.comments["CHECKSUM"] == "HDU checksum"
        assert np.array_equal(hdus[1].data if size else np.empty(0), data)
