"""FITS headers and checksums by byte.

Cards are laid out here rather than by a library, so a header is the same under every version of it: fixed
columns, fixed comments (also those of CHECKSUM and DATASUM, where libraries put the clock), floats in their
shortest exact form, long strings continued. Values are encoded (`vmpz.io.metadata.encode`), so nothing can
break out of its card.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from vmpz.files.hdu import checksum_text, data_sum, fold
from vmpz.io.metadata import encode, keyword
from vmpz.kernels.words import ones_complement_sum
from vmpz.products import Scalar

__all__ = ["card", "cards_of", "primary_cards", "sum_of", "table_cards", "unit_header", "write_unit"]

BLOCK = 2880
WIDTH = 80
LONGEST_STRING = 68
ALL_ONES = 0xFFFFFFFF


def card(name: str, value: Scalar, comment: str = "") -> str:
    """One card of 80 characters, or several for a string that does not fit on one."""
    text = encode(value).replace("'", "''") if isinstance(value, str) else ""
    if len(text) > LONGEST_STRING:
        return _long_card(name, text)
    image = f"{name:<8}= {_value_text(value, text)}"
    if comment and len(image) + 3 + len(comment) <= WIDTH:
        image = f"{image} / {comment}"
    return f"{image:<{WIDTH}}"


def _value_text(value: Scalar, text: str) -> str:
    if isinstance(value, str):
        quoted = f"'{text:<8}'"
        return f"{quoted:<20}"
    if isinstance(value, bool):
        return f"{'T' if value else 'F':>20}"
    if isinstance(value, int):
        return f"{value:>20}"
    mantissa, _, exponent = repr(value).partition("e")
    mantissa = mantissa if "." in mantissa else f"{mantissa}.0"
    return f"{mantissa}E{exponent}".rjust(20) if exponent else f"{mantissa:>20}"


def _long_card(name: str, text: str) -> str:
    """A string over several cards (CONTINUE); a doubled quote is never split."""
    pieces = []
    while len(text) > LONGEST_STRING - 1:
        cut = LONGEST_STRING - 1
        if (cut - len(text[:cut].rstrip("'"))) % 2:
            cut -= 1
        pieces.append(f"'{text[:cut]}&'")
        text = text[cut:]
    pieces.append(f"'{text}'")
    heads = [f"{name:<8}= ", *["CONTINUE  "] * (len(pieces) - 1)]
    return "".join(f"{head}{piece}".ljust(WIDTH) for head, piece in zip(heads, pieces, strict=True))


def cards_of(words: Mapping[str, Scalar]) -> list[str]:
    """Cards of keywords that are in the table of the package, with its comments and units.

    The standard reserves DATE-xxx for dates, so one that is not known ('-1') has no card.
    """
    cards = []
    for name, value in words.items():
        if name.startswith("DATE-") and value == "-1":
            continue
        row = keyword(name)
        comment = "" if row is None else f"[{row.unit}] {row.comment}" if row.unit else row.comment
        cards.append(card(name, value, comment))
    return cards


def primary_cards(words: Mapping[str, Scalar]) -> list[str]:
    """Cards of a primary header without data."""
    return [
        card("SIMPLE", True, "FITS standard 4.0"),
        card("BITPIX", 8, "no data here"),
        card("NAXIS", 0),
        card("EXTEND", True, "a table follows"),
        *cards_of(words),
    ]


def table_cards(
    columns: Mapping[str, tuple[str, str]],
    row_bytes: int,
    rows: int,
    layout: Mapping[str, tuple[Scalar, str]],
) -> list[str]:
    """Cards of a binary table.

    Parameters
    ----------
    columns : mapping of name to (TFORM, TUNIT)
        In order; no TUNIT card where it is ''.
    row_bytes, rows : int
    layout : mapping of keyword to (value, comment)
        What follows the columns.
    """
    cards = [
        card("XTENSION", "BINTABLE", "binary table"),
        card("BITPIX", 8, "bytes"),
        card("NAXIS", 2),
        card("NAXIS1", row_bytes, "bytes of a row"),
        card("NAXIS2", rows, "number of rows"),
        card("PCOUNT", 0),
        card("GCOUNT", 1),
        card("TFIELDS", len(columns), "number of columns"),
    ]
    for number, (name, (form, unit)) in enumerate(columns.items(), 1):
        cards += [card(f"TTYPE{number}", name), card(f"TFORM{number}", form)]
        cards += [card(f"TUNIT{number}", unit)] if unit else []
    return cards + [card(name, value, comment) for name, (value, comment) in layout.items()]


def write_unit(
    stream: IO[bytes], cards: list[str] | Callable[[], list[str]], chunks: Iterable[NDArray[Any]] = ()
) -> None:
    """Write one header-data unit with DATASUM and CHECKSUM.

    Parameters
    ----------
    stream : seekable binary file, at the place of the unit
    cards : list of str, or callable
        Without checksums and END. A callable is asked again when the data are written: its values may depend on them,
        the number of its cards may not.
    chunks : iterable of arrays
        The data in disk byte order; every chunk but the last a multiple of 4 bytes long.
    """
    ask = cards if callable(cards) else lambda: cards
    start, first = stream.tell(), unit_header(ask(), 0)
    stream.write(first)
    total = size = 0
    for chunk in chunks:
        data = chunk.view(np.uint8)
        total, size = fold(total + sum_of(data)), size + data.size
        stream.write(data.data)
    stream.write(bytes(-size % BLOCK))
    stream.seek(start)
    header = unit_header(ask(), total)
    if len(header) != len(first):
        raise ValueError(f"a header must keep its length, {len(first)} bytes, found {len(header)}")
    stream.write(header)
    stream.seek(0, 2)


def unit_header(cards: list[str], datasum: int) -> bytes:
    """A whole header with CHECKSUM and DATASUM; its length does not depend on the sum of the data."""
    whole = fold(data_sum(_header(cards, datasum, "0" * 16)) + datasum)
    return _header(cards, datasum, checksum_text(ALL_ONES - whole))


def sum_of(data: NDArray[np.uint8]) -> int:
    """Sum of the words of data, compiled where they are whole and aligned."""
    if data.size % 4 or data.ctypes.data % 4:
        return data_sum(data)
    return int(ones_complement_sum(data.view(np.uint32).reshape(1, -1), bool(np.little_endian)))


def _header(cards: list[str], datasum: int, checksum: str) -> bytes:
    continued = (
        [card("LONGSTRN", "OGIP 1.0", "strings may be continued")]
        if any(len(one) > WIDTH for one in cards)
        else []
    )
    ends = [card("CHECKSUM", checksum, "HDU checksum"), card("DATASUM", str(datasum), "data unit checksum")]
    text = "".join([*cards, *continued, *ends, f"{'END':<{WIDTH}}"])
    return text.ljust(-(-len(text) // BLOCK) * BLOCK).encode("ascii")
