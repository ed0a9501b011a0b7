"""Rows of partial HEALPix files that the package wrote, as they stand on disk: for merging thousands of files.

A header of ours has fixed columns, so it is read here card by card, each different card once; rows are mapped,
never copied, and verified by their checksum when they are first touched. What they hold is not looked at: a table
whose CHECKSUM card is the one that `vmpz.io.headers` writes (other software puts the clock there) was checked when it
was written, and has not been touched since. A file of any other make, or with anything unusual in its header, is not
read here (`open_rows` gives None) but by `vmpz.io.read`.
"""

import mmap
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.files.fits import open_fits
from vmpz.files.hdu import BLOCK, fold
from vmpz.io.headers import card
from vmpz.io.inventory import kind_of_token
from vmpz.io.metadata import key_of
from vmpz.io.names import parse_name
from vmpz.io.reading import words_of
from vmpz.kernels.words import ones_complement_sum
from vmpz.products import ProductKey, Scalar
from vmpz.sky.hpx import MAX_ORDER

__all__ = ["RowsFile", "Words", "convention_of", "open_rows"]

Words = NDArray[np.uint32]

CARD = 80
HEADER_BYTES = 16 * BLOCK
ALL_ONES = 0xFFFFFFFF
TYPES = {"K": ">i8", "E": ">f4", "D": ">f8"}
LAYOUT = {"XTENSION": "BINTABLE", "BITPIX": 8, "NAXIS": 2, "PCOUNT": 0, "GCOUNT": 1, "PIXTYPE": "HEALPIX",
          "ORDERING": "NESTED", "COORDSYS": "C", "INDXSCHM": "EXPLICIT", "OBJECT": "PARTIAL"}  # fmt: skip

UNUSUAL = ("BAD_DATA", "TSCAL", "TZERO", "TNULL", "TDIM")

_NOT_OURS = (KeyError, ValueError, TypeError)


@dataclass(frozen=True)
class RowsFile:
    """What the headers of a file say, and where its rows are.

    Attributes
    ----------
    path : Path
    key : ProductKey
    keywords : mapping
        As `vmpz.io.read` gives them.
    unit : str
        Of WEIGHT.
    row_type : numpy.dtype
        Big-endian record: PIXEL, WEIGHT, further columns.
    count : int
        Number of rows.
    offset, datasum : int
        Place of the rows in the file, and what they must sum to.
    """

    path: Path
    key: ProductKey
    keywords: Mapping[str, Scalar]
    unit: str
    row_type: np.dtype[Any]
    count: int
    offset: int
    datasum: int

    def rows(self, *, verified: bool = True) -> Words:
        """The rows as big-endian words, uint32 (count, words), mapped from the file.

        Raises
        ------
        InputError
            The file was changed since it was opened, or (where `verified`) DATASUM does not hold.
        """
        size = self.row_type.itemsize
        if self.path.stat().st_size != self.offset + _padded(self.count * size):
            raise InputError(f"{self.path}: must not change while it is read, found another size")
        if not self.count:
            return np.empty((0, size // 4), np.uint32)
        with self.path.open("rb") as stream:
            mapped = mmap.mmap(stream.fileno(), 0, prot=mmap.PROT_READ)
        words = np.frombuffer(mapped, np.uint32, self.count * size // 4, self.offset)
        if verified:
            found = fold(int(ones_complement_sum(words.reshape(1, -1), bool(np.little_endian))))
            if found % ALL_ONES != self.datasum % ALL_ONES:
                raise InputError(
                    f"{self.path}[1]: DATASUM must be {self.datasum}, found {found}: the data were altered"
                )
        return words.reshape(self.count, -1)


def open_rows(path: Path) -> RowsFile | None:
    """Open a file of ours by its headers; None if it is of another make or convention.

    Raises
    ------
    InputError
        It is ours, and cut, or its header was altered.
    """
    with path.open("rb") as stream:
        head = stream.read(HEADER_BYTES)
        size = os.fstat(stream.fileno()).st_size
    try:
        primary, end = _cards(head, 0)
        table, offset = _cards(head, end)
        if not _is_ours(primary, table) or not _is_sealed(table, head[end:offset]):
            return None
        row_type = _row_type(table)
        count, datasum = int(table["NAXIS2"]), int(table["DATASUM"])
        if row_type.itemsize != table["NAXIS1"]:
            return None
        key, words = _described(path, primary, table)
    except _NOT_OURS:
        return None
    whole = offset + _padded(count * row_type.itemsize)
    if size > whole:  # more HDUs, or something that is none
        return None
    if size < whole:
        raise InputError(f"{path}: size must be {whole}, found {size}: cut")
    total = fold(_sum(head[end:offset]) + datasum)
    if total not in (0, ALL_ONES) or _sum(head[:end]) not in (0, ALL_ONES):
        raise InputError(
            f"{path}: CHECKSUM of the headers must hold, found that it does not: a header was altered"
        )
    return RowsFile(path, key, words, str(table.get("TUNIT2", "")), row_type, count, offset, datasum)


def convention_of(path: Path) -> str:
    """Coverage convention that a FITS file states; OBSERVED where it states none, or is no FITS file.

    Raises
    ------
    InputError
        The file is not whole.
    """
    if not path.name.endswith((".fits", ".fits.gz")):
        return "OBSERVED"
    with open_fits(str(path)) as file:
        stated = [unit.cards.optional_text("COVCONV") for unit in file.hdus if "COVCONV" in unit.cards]
    return (stated[0] if stated else None) or "OBSERVED"


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _sum(header: bytes) -> int:
    return fold(
        int(ones_complement_sum(np.frombuffer(header, np.uint32).reshape(1, -1), bool(np.little_endian)))
    )


def _cards(head: bytes, begin: int) -> tuple[dict[str, Scalar], int]:
    """Values of a header that begins there, and where it ends."""
    found: dict[str, Scalar] = {}
    for at in range(begin, len(head), CARD):
        name, value = _card(head[at : at + CARD])
        if name == "END":
            return found, begin + _padded(at + CARD - begin)
        if name and found.setdefault(name, value) != value:
            raise ValueError(name)
    raise ValueError("END")


@lru_cache(maxsize=1 << 14)
def _card(raw: bytes) -> tuple[str, Scalar]:
    """Keyword and value of a card as `vmpz.io.headers` lays it out; '' for a comment.

    Raises
    ------
    ValueError
        It is laid out otherwise.
    """
    text = raw.decode("ascii")
    name = text[:8].rstrip()
    if name == "END" or (name in ("", "COMMENT", "HISTORY") and text[8:10] != "= "):
        return ("END" if name == "END" else ""), ""
    if text[8:10] != "= ":
        raise ValueError(text)
    rest = text[10:]
    if rest.startswith("'"):
        return name, _quoted(rest)
    value = rest.partition("/")[0].strip()
    if value in ("T", "F"):
        return name, value == "T"
    return name, float(value) if any(mark in value for mark in ".E") else int(value)


def _quoted(text: str) -> str:
    inside = text[1:].replace("''", "\0")
    value, closed, _ = inside.partition("'")
    if not closed or value.endswith("&"):
        raise ValueError(text)
    return value.replace("\0", "'").rstrip()


def _is_ours(primary: Mapping[str, Scalar], table: Mapping[str, Scalar]) -> bool:
    return (
        primary["SIMPLE"] is True
        and primary["NAXIS"] == 0
        and primary["SOFTNAME"] == "vmpz"
        and all(table[name] == value for name, value in LAYOUT.items())
        and table.get("COVCONV", "OBSERVED") == "OBSERVED"
        and {"WGTKIND", "DEGRULE"} <= table.keys()
        and not any(name.startswith(UNUSUAL) for name in table)
    )


def _is_sealed(table: Mapping[str, Scalar], header: bytes) -> bool:
    """Whether the CHECKSUM card is that of our writer."""
    return card("CHECKSUM", str(table["CHECKSUM"]), "HDU checksum").encode() in header


def _row_type(table: Mapping[str, Scalar]) -> np.dtype[Any]:
    fields = [
        (str(table[f"TTYPE{n}"]), TYPES[str(table[f"TFORM{n}"])]) for n in range(1, int(table["TFIELDS"]) + 1)
    ]
    if [name for name, _ in fields[:2]] != ["PIXEL", "WEIGHT"] or fields[0][1] != TYPES["K"]:
        raise ValueError(fields)
    return np.dtype(fields)


def _described(
    path: Path, primary: Mapping[str, Scalar], table: Mapping[str, Scalar]
) -> tuple[ProductKey, dict[str, Scalar]]:
    words = _words(tuple(primary.items())) | _words(tuple(table.items()))
    words.pop("COVCONV", None)
    known = kind_of_token(str(table["EXTNAME"]))
    nside = int(table["NSIDE"])
    if known is None or not 1 <= nside <= 1 << MAX_ORDER or nside & (nside - 1):
        raise ValueError(table["EXTNAME"])
    name = parse_name(path.name)
    area, release = (name.instance, name.release) if name else (path.name.split(".")[0], "-")
    return key_of(*known, nside.bit_length() - 1, words, area, release), words


def _words(items: tuple[tuple[str, Scalar], ...]) -> dict[str, Scalar]:
    found: dict[str, Scalar] = {}
    for item in items:
        found.update(_word(*item))
    return found


@lru_cache(maxsize=1 << 14, typed=True)
def _word(name: str, value: Scalar) -> Mapping[str, Scalar]:
    return words_of({name: value})
