"""One header-data unit of a FITS file: mandatory cards in their places, sizes, and checksums.

Checksums (FITS standard 4.0, appendix J): the sums of a whole HDU, of its header and of its data are ones-complement
sums of big-endian 32-bit words, so header sum + DATASUM must give all ones. That is checked at opening, without
touching the data; DATASUM itself is checked where the data are read.
"""

import hashlib
import math
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import IO, Any

import numpy as np
from astropy.io.fits import Header

from vmpz.errors import InputError
from vmpz.files.cards import Cards

__all__ = ["BITPIX", "BLOCK", "Hdu", "check_data_sum", "checksum_text", "data_sum", "fold", "read_hdu"]

BLOCK = 2880
CARD = 80
MAX_HEADER_BLOCKS = 2048
BITPIX = (8, 16, 32, 64, -32, -64)
ALL_ONES = 0xFFFFFFFF
PUNCTUATION = frozenset(b":;<=>?@[\\]^_`")
PRINTABLE = bytes(range(0x20, 0x7F))
SIMPLE_TEXT = re.compile(rb"= '([^']*)' *(?:/.*)?")
"""A string without a quote in it, after the keyword of its card."""


@dataclass(frozen=True)
class Hdu:
    """One header-data unit: its header, and where its data lie in the (inflated) file.

    `stored_bitpix` and `axes` are BITPIX and NAXIS1, NAXIS2... of the stored array.
    """

    location: str
    index: int
    header_bytes: bytes = field(repr=False)
    data_offset: int
    data_bytes: int
    stored_bitpix: int
    axes: tuple[int, ...]

    @cached_property
    def name(self) -> str:
        """EXTNAME, or PRIMARY, or ''."""
        plain = self._plain("EXTNAME")
        value = self.header.get("EXTNAME", "PRIMARY" if self.index == 0 else "") if plain is None else plain
        return str(value).strip()

    @property
    def where(self) -> str:
        """File and HDU, for messages."""
        return f"{self.location}[{self.index}{' ' + self.name if self.name and self.index else ''}]"

    @cached_property
    def cards(self) -> Cards:
        """The header, read by type."""
        return Cards(self.header, self.where, self.header_bytes)

    @cached_property
    def header(self) -> Header:
        """The header, its cards not yet interpreted."""
        return Header.fromstring(self.header_bytes)

    @cached_property
    def header_sum(self) -> int:
        """Ones-complement sum of the header."""
        return data_sum(self.header_bytes)

    @property
    def header_sha256(self) -> str:
        """SHA-256 of the header, hexadecimal."""
        return hashlib.sha256(self.header_bytes).hexdigest()

    @property
    def is_compressed(self) -> bool:
        """Whether this is an image in tile-compressed form."""
        return b"ZIMAGE" in self.header_bytes and bool(self.header.get("ZIMAGE") is True)

    @property
    def is_image(self) -> bool:
        """Whether this holds an image of two axes, compressed or not."""
        if self.is_compressed:
            return bool(self.header.get("ZNAXIS") == 2)
        return (self.index == 0 or (self._text("XTENSION") == "IMAGE")) and len(self.axes) == 2

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, columns of the image.

        Raises
        ------
        InputError
            There is no image of two axes.
        """
        if not self.is_image:
            raise InputError(f"{self.where}: must hold an image of two axes, found NAXIS = {len(self.axes)}")
        if self.is_compressed:
            return self.cards.integer("ZNAXIS2"), self.cards.integer("ZNAXIS1")
        return self.axes[1], self.axes[0]

    @property
    def bitpix(self) -> int:
        """BITPIX of the image itself."""
        return self.cards.integer("ZBITPIX") if self.is_compressed else self.stored_bitpix

    @property
    def offset(self) -> int:
        """Where the header begins in the (inflated) file."""
        return self.data_offset - len(self.header_bytes)

    @property
    def padded_bytes(self) -> int:
        """Size of the data with their fill."""
        return -(-self.data_bytes // BLOCK) * BLOCK

    @property
    def datasum(self) -> int | None:
        """What the stored data must sum to: DATASUM, or what CHECKSUM leaves for the data, None if neither is there."""
        stated = self._stated_datasum
        if stated is None and self._has_checksum:
            return ALL_ONES - self.header_sum
        return stated

    @property
    def _stated_datasum(self) -> int | None:
        text = self._text("DATASUM")
        if text is None:
            return None
        if not re.fullmatch(r"\d{1,10}", text) or int(text) > ALL_ONES:
            raise self.cards.error("DATASUM", "must be an unsigned 32-bit number in a string")
        return int(text)

    @property
    def _has_checksum(self) -> bool:
        return (self._text("CHECKSUM") or "0" * 16) != "0" * 16

    def _text(self, key: str) -> str | None:
        """A string card, None where it is missing or empty."""
        if key.encode() not in self.header_bytes:
            return None
        plain = self._plain(key)
        return self.cards.optional_text(key) if plain is None else plain.strip() or None

    def _plain(self, key: str) -> str | None:
        """The value of a string card that stands once in fixed format, without parsing the hundred others."""
        found = re.finditer(f"{key:8}".encode(), self.header_bytes)
        places = [match.start() for match in found if match.start() % CARD == 0]
        if len(places) != 1:
            return None
        plain = SIMPLE_TEXT.fullmatch(self.header_bytes, places[0] + 8, places[0] + CARD)
        return plain[1].decode() if plain else None

    def verify_header(self) -> None:
        """Check the header against CHECKSUM and DATASUM without reading the data.

        Raises
        ------
        InputError
            Header sum + DATASUM is not all ones.
        """
        stated = self._stated_datasum
        if stated is not None and self._has_checksum and fold(self.header_sum + stated) not in (0, ALL_ONES):
            raise InputError(
                f"{self.where}: CHECKSUM must hold for the header and DATASUM = {stated}, found that it does not: the "
                "header or its CHECKSUM card was altered (the data are checked against DATASUM when they are read)"
            )


def data_sum(data: Any) -> int:
    """Ones-complement sum of big-endian 32-bit words (FITS standard 4.0, appendix J); short data are zero-filled."""
    flat = np.frombuffer(data, np.uint8)
    whole = flat.size // 4 * 4
    total = int(flat[:whole].view(">u4").sum(dtype=np.uint64)) if whole else 0
    rest = flat[whole:].tobytes()
    return fold(total + int.from_bytes(rest.ljust(4, b"\0"), "big"))


def fold(total: int) -> int:
    """Bring a sum back to 32 bits by adding the carries (end-around carry)."""
    while total > ALL_ONES:
        total = (total & ALL_ONES) + (total >> 32)
    return total


def checksum_text(complement: int) -> str:
    """A 32-bit complement as the 16 letters and digits of a CHECKSUM card (FITS standard 4.0, appendix J.2)."""
    letters = bytearray(16)
    for place in range(4):
        quotient, rest = divmod(complement >> (24 - 8 * place) & 0xFF, 4)
        four = [quotient + 48 + rest, quotient + 48, quotient + 48, quotient + 48]
        while PUNCTUATION.intersection(four):
            for i in (0, 2):
                if four[i] in PUNCTUATION or four[i + 1] in PUNCTUATION:
                    four[i], four[i + 1] = four[i] + 1, four[i + 1] - 1
        letters[place::4] = bytes(four)
    return bytes(letters[-1:] + letters[:-1]).decode("ascii")


def check_data_sum(found: int, expected: int, where: str) -> None:
    """Refuse data whose sum is not the stated one (0 and all ones are the same number).

    Raises
    ------
    InputError
        The sums differ.
    """
    if found % ALL_ONES != expected % ALL_ONES:
        raise InputError(f"{where}: DATASUM must be {expected}, found {found}: the data were altered")


def read_hdu(stream: IO[bytes], location: str, index: int, offset: int, max_pixels: int) -> Hdu:
    """Read the header that begins at the present place of a stream.

    Parameters
    ----------
    stream : file
        At the first byte of the header.
    location, index, offset
        File, number of the HDU, and place of its header in the (inflated) file.
    max_pixels : int
        Limit on the product of NAXISn.

    Raises
    ------
    InputError
        A mandatory card is missing, out of place or out of range, or the header has no end.
    """
    where = f"{location}[{index}]"
    raw = _read_header(stream, where, index)
    images = [raw[at : at + CARD].decode("ascii") for at in range(0, len(raw), CARD)]
    bitpix, axes, size = _structure(images, where, index, max_pixels)
    return Hdu(location, index, raw, offset + len(raw), size, bitpix, axes)


def _read_header(stream: IO[bytes], where: str, index: int) -> bytes:
    """The blocks of one header, through the one that holds END."""
    blocks: list[bytes] = []
    begin = b"SIMPLE  =" if index == 0 else b"XTENSION="
    while len(blocks) < MAX_HEADER_BLOCKS:
        block = stream.read(BLOCK)
        if not blocks and not block.startswith(begin):
            raise InputError(f"{where}: a header must begin with {begin.decode()}, found {block[:16]!r}")
        if len(block) != BLOCK:
            raise InputError(
                f"{where}: the header must have an END card, found that the file ends before it: cut"
            )
        if block.translate(None, PRINTABLE):
            raise InputError(
                f"{where}: header cards must be printable ASCII, found {block.translate(None, PRINTABLE)[:8]!r}"
            )
        blocks.append(block)
        if any(block[at : at + CARD].rstrip() == b"END" for at in range(0, BLOCK, CARD)):
            return b"".join(blocks)
    raise InputError(
        f"{where}: a header must not be longer than {MAX_HEADER_BLOCKS} blocks, found no END in them"
    )


def _structure(
    images: list[str], where: str, index: int, max_pixels: int
) -> tuple[int, tuple[int, ...], int]:
    """BITPIX, axes and size of the data from the mandatory cards, each in its place."""
    if index == 0 and not re.match(r"SIMPLE  = +T\b", images[0]):
        raise InputError(f"{where}: SIMPLE must be T, found {images[0].strip()!r}")
    bitpix = _mandatory(images, 1, "BITPIX", where)
    if bitpix not in BITPIX:
        raise InputError(f"{where}: BITPIX must be one of {BITPIX}, found {bitpix}")
    naxis = _mandatory(images, 2, "NAXIS", where)
    if not 0 <= naxis <= 999:
        raise InputError(f"{where}: NAXIS must be 0 to 999, found {naxis}")
    axes = [_mandatory(images, 3 + n, f"NAXIS{n + 1}", where) for n in range(naxis)]
    pcount, gcount = _count(images, "PCOUNT", 0, where), _count(images, "GCOUNT", 1, where)
    if min([*axes, pcount]) < 0 or gcount < 1:
        raise InputError(
            f"{where}: NAXISn and PCOUNT must be at least 0, GCOUNT 1, found {axes}, {pcount}, {gcount}"
        )
    if naxis and axes[0] == 0 and index == 0 and naxis > 1:
        raise InputError(f"{where}: random groups are not read, found NAXIS1 = 0")
    pixels = math.prod(axes) if naxis else 0
    if pixels > max_pixels * (8 if naxis == 2 and bitpix == 8 else 1):
        raise InputError(f"{where}: the product of NAXISn must not exceed {max_pixels}, found {axes}")
    return bitpix, tuple(axes), abs(bitpix) // 8 * gcount * (pcount + pixels)


def _mandatory(images: list[str], place: int, key: str, where: str) -> int:
    image = images[place] if place < len(images) else ""
    match = re.fullmatch(rf"{key:8}= +([+-]?\d+) *(/.*)?", image)
    if match is None:
        raise InputError(f"{where}: card {place + 1} must be {key} with an integer, found {image.strip()!r}")
    return int(match[1])


def _count(images: list[str], key: str, default: int, where: str) -> int:
    places = [place for place, image in enumerate(images) if image.startswith(f"{key:8}=")]
    return _mandatory(images, places[0], key, where) if places else default
