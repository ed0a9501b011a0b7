"""Opening FITS files that nobody vouches for.

The structure (blocks of 2880 bytes, mandatory cards, sizes) is read here, byte by byte, and must be whole before
anything else looks at the file: a file cut by one byte, a BITPIX outside the standard, an array larger than the file or
a stray tail are refused, naming file and HDU. Only then are header values interpreted (`vmpz.files.cards`) and pixels
read (`vmpz.files.planes`). Headers alone are read here; of a gzip file nothing but its first header when its trailer
agrees with it.

Checksums (FITS standard 4.0, appendix J): the sums of a whole HDU, of its header and of its data are ones-complement
sums of big-endian 32-bit words, so header sum + DATASUM must give all ones. That is checked at opening, without
touching the data; DATASUM itself is checked where the data are read.
"""

import gzip
import hashlib
import io
import math
import os
import re
import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import IO, Any

import numpy as np
from astropy.io.fits import Header

from vmpz.errors import InputError
from vmpz.files.cards import Cards

try:  # the same interface, faster
    from isal import igzip
except ImportError:
    igzip = None  # type: ignore[assignment]

__all__ = ["MAX_PIXELS", "FitsFile", "Hdu", "data_sum", "decoding", "open_fits", "open_regular"]

BLOCK = 2880
CARD = 80
MAX_HEADER_BLOCKS = 2048
MAX_PIXELS = 1 << 32
"""Largest number of pixels of one plane that is accepted by default."""
GZIP_RATIO = 1032
"""Deflate cannot do better, so a declared size beyond this is a false one."""
BITPIX = (8, 16, 32, 64, -32, -64)
ALL_ONES = 0xFFFFFFFF
FITS_SUFFIXES = (".fits", ".fits.gz", ".fits.fz", ".fit", ".fts")


@dataclass(frozen=True)
class Hdu:
    """One header-data unit: its header, and where its data lie in the (inflated) file."""

    location: str
    index: int
    header: Header
    header_sum: int
    header_sha256: str
    data_offset: int
    data_bytes: int

    @property
    def name(self) -> str:
        """EXTNAME, or PRIMARY, or ''."""
        value = self.header.get("EXTNAME", "PRIMARY" if self.index == 0 else "")
        return str(value).strip()

    @property
    def where(self) -> str:
        """File and HDU, for messages."""
        return f"{self.location}[{self.index}{' ' + self.name if self.name and self.index else ''}]"

    @cached_property
    def cards(self) -> Cards:
        """The header, read by type."""
        return Cards(self.header, self.where)

    @property
    def is_compressed(self) -> bool:
        """Whether this is an image in tile-compressed form."""
        return bool(self.header.get("ZIMAGE") is True)

    @property
    def is_image(self) -> bool:
        """Whether this holds an image of two axes, compressed or not."""
        if self.is_compressed:
            return bool(self.header.get("ZNAXIS") == 2)
        return (self.index == 0 or self.header.get("XTENSION") == "IMAGE") and bool(self.header["NAXIS"] == 2)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, columns of the image.

        Raises
        ------
        InputError
            There is no image of two axes.
        """
        if not self.is_image:
            raise InputError(
                f"{self.where}: must hold an image of two axes, found NAXIS = {self.header['NAXIS']}"
            )
        z = "Z" if self.is_compressed else ""
        return self.cards.integer(f"{z}NAXIS2"), self.cards.integer(f"{z}NAXIS1")

    @property
    def bitpix(self) -> int:
        """BITPIX of the image itself."""
        return self.cards.integer("ZBITPIX" if self.is_compressed else "BITPIX")

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
        text = self.cards.optional_text("DATASUM")
        if text is None:
            return None
        if not re.fullmatch(r"\d{1,10}", text) or int(text) > ALL_ONES:
            raise self.cards.error("DATASUM", "must be an unsigned 32-bit number in a string")
        return int(text)

    @property
    def _has_checksum(self) -> bool:
        return (self.cards.optional_text("CHECKSUM") or "0" * 16) != "0" * 16

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


class FitsFile:
    """An open file whose structure is whole.

    Attributes
    ----------
    location : str
    hdus : tuple of Hdu
    size : int
        Bytes on disk.
    is_gzip : bool
    """

    def __init__(self, location: str, max_pixels: int = MAX_PIXELS) -> None:
        self.location = location
        self.handle = open_regular(location)
        try:
            self.stat = os.fstat(self.handle.fileno())
            self.size = self.stat.st_size
            if self.size == 0:
                raise InputError(f"{location}: must be a FITS file, found an empty file")
            self.is_gzip = self.handle.read(2) == b"\x1f\x8b"
            with decoding(location):
                self.hdus = tuple(
                    self._scan_gzip(max_pixels) if self.is_gzip else self._scan_plain(max_pixels)
                )
            for hdu in self.hdus:
                hdu.verify_header()
        except BaseException:
            self.handle.close()
            raise

    def hdu(self, which: int | str) -> Hdu:
        """The HDU of a number or an EXTNAME.

        Raises
        ------
        InputError
            There is none, or the name stands more than once.
        """
        found = [
            hdu
            for hdu in self.hdus
            if which in (hdu.index, hdu.name) or str(which).upper() == hdu.name.upper()
        ]
        if len(found) != 1:
            names = ", ".join(f"{hdu.index} {hdu.name}".strip() for hdu in self.hdus)
            raise InputError(
                f"{self.location}: HDU {which} must stand once, found {len(found)} among: {names}"
            )
        return found[0]

    def image(self) -> Hdu:
        """The first HDU that holds an image of two axes.

        Raises
        ------
        InputError
            There is none.
        """
        for hdu in self.hdus:
            if hdu.is_image:
                return hdu
        raise InputError(
            f"{self.location}: must hold an image of two axes, found none in {len(self.hdus)} HDUs"
        )

    def identity(self, hdu: Hdu) -> str:
        """Digest of file name, size and header cards (DATASUM among them): content without reading it."""
        text = f"{os.path.basename(self.location)}\n{self.size}\n{hdu.index}\n{hdu.header_sha256}"
        return hashlib.sha256(text.encode()).hexdigest()

    def stream(self) -> IO[bytes]:
        """The (inflated) bytes from the beginning."""
        self.handle.seek(0)
        if not self.is_gzip:
            return self.handle
        inflate = gzip.GzipFile if igzip is None else igzip.IGzipFile
        return io.BufferedReader(inflate(fileobj=self.handle, mode="rb"), 1 << 20)  # type: ignore[no-untyped-call]

    def verify_data(self, hdu: Hdu) -> None:
        """Read the stored data of one HDU once and compare with their checksum, where there is one.

        Raises
        ------
        InputError
            The sum differs.
        """
        if hdu.datasum is None:
            return
        with decoding(hdu.where):
            stream = self.stream()
            _skip(stream, hdu.data_offset, hdu.where)
            total, left = 0, hdu.padded_bytes
            while left:
                chunk = _take(stream, min(left, 1 << 22), hdu.where)
                total, left = fold(total + data_sum(chunk)), left - len(chunk)
        check_data_sum(total, hdu.datasum, hdu.where)

    def unchanged(self) -> None:
        """Check that the file on disk is still the one that was opened.

        Raises
        ------
        InputError
            Size or modification time differ.
        """
        for now in (os.fstat(self.handle.fileno()), os.stat(self.location)):
            if (now.st_size, now.st_mtime_ns) != (self.stat.st_size, self.stat.st_mtime_ns):
                raise InputError(
                    f"{self.location}: must not change while it is read, found it written to "
                    f"(now {now.st_size} bytes, then {self.size})"
                )

    def close(self) -> None:
        """Release the file."""
        self.handle.close()

    def _scan_plain(self, max_pixels: int) -> Iterator[Hdu]:
        if self.size % BLOCK:
            raise InputError(
                f"{self.location}: size must be a multiple of {BLOCK} bytes, found {self.size}"
                f"{'' if self._looks_like_fits() else ', and it does not begin like a FITS file'}"
            )
        offset = index = 0
        while offset < self.size:
            self.handle.seek(offset)
            hdu = _read_hdu(self.handle, self.location, index, offset, max_pixels)
            offset, index = hdu.data_offset + hdu.padded_bytes, index + 1
            if offset > self.size:
                raise InputError(
                    f"{hdu.where}: the header asks for a file of at least {offset} bytes, found {self.size}: cut"
                )
            yield hdu

    def _scan_gzip(self, max_pixels: int) -> Iterator[Hdu]:
        stream = self.stream()
        first = _read_hdu(stream, self.location, 0, 0, max_pixels)
        offset, index = first.data_offset + first.padded_bytes, 1
        if offset > GZIP_RATIO * self.size:
            raise InputError(
                f"{first.where}: {self.size} bytes of gzip cannot hold the {offset} that the header declares"
            )
        yield first
        if self._gzip_trailer() == offset % (1 << 32):
            return
        _skip(stream, first.padded_bytes, first.where)
        while stream.peek(1):  # type: ignore[attr-defined]
            hdu = _read_hdu(stream, self.location, index, offset, max_pixels)
            _skip(stream, hdu.padded_bytes, hdu.where)
            offset, index = hdu.data_offset + hdu.padded_bytes, index + 1
            yield hdu

    def _gzip_trailer(self) -> int:
        """Inflated size modulo 2**32 as the last member states it."""
        return int(struct.unpack("<I", os.pread(self.handle.fileno(), 4, self.size - 4))[0])

    def _looks_like_fits(self) -> bool:
        return os.pread(self.handle.fileno(), 9, 0) == b"SIMPLE  ="


@contextmanager
def open_fits(location: str, max_pixels: int = MAX_PIXELS) -> Iterator[FitsFile]:
    """Open a FITS file, plain or gzip, for its headers.

    Parameters
    ----------
    location : str
        Path of a local file.
    max_pixels : int
        Planes that declare more are refused before anything is allocated.

    Raises
    ------
    InputError
        The file is not a whole FITS file; the message names file, HDU and keyword.
    """
    file = FitsFile(location, max_pixels)
    try:
        yield file
    finally:
        file.close()


def open_regular(location: str) -> io.BufferedReader:
    """Open a regular file for reading; a folder, device, socket or named pipe is refused without blocking.

    Raises
    ------
    InputError
        There is no such file, it may not be read, or it is not a regular one.
    """
    try:
        handle = os.open(location, os.O_RDONLY | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        raise InputError(f"{location!r}: must be a readable file, found: {error}") from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise InputError(f"{location}: must be a regular file, found something else (folder, device, pipe)")
    return os.fdopen(handle, "rb")


@contextmanager
def decoding(where: str) -> Iterator[None]:
    """Turn what a decoder raises about damaged bytes into an `InputError`."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile, OSError) as error:
        raise InputError(f"{where}: must be readable to its end, found: {error}") from error


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


def check_data_sum(found: int, expected: int, where: str) -> None:
    """Refuse data whose sum is not the stated one (0 and all ones are the same number).

    Raises
    ------
    InputError
        The sums differ.
    """
    if found % ALL_ONES != expected % ALL_ONES:
        raise InputError(f"{where}: DATASUM must be {expected}, found {found}: the data were altered")


def _take(stream: IO[bytes], size: int, where: str) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise InputError(f"{where}: must go on for {size} bytes more, found {len(data)}: the file is cut")
    return data


def _skip(stream: IO[bytes], size: int, where: str) -> None:
    """Go on by `size` bytes and make sure that they exist."""
    if size:
        stream.seek(size - 1, os.SEEK_CUR)
        _take(stream, 1, where)


def _read_hdu(stream: IO[bytes], location: str, index: int, offset: int, max_pixels: int) -> Hdu:
    where = f"{location}[{index}]"
    raw = _read_header(stream, where, index)
    images = [raw[at : at + CARD].decode("ascii") for at in range(0, len(raw), CARD)]
    size = _data_bytes(images, where, index, max_pixels)
    header = Header.fromstring(raw)
    return Hdu(
        location, index, header, data_sum(raw), hashlib.sha256(raw).hexdigest(), offset + len(raw), size
    )


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


PRINTABLE = bytes(range(0x20, 0x7F))


def _data_bytes(images: list[str], where: str, index: int, max_pixels: int) -> int:
    """Size of the data from the mandatory cards, each in its place."""
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
    return abs(bitpix) // 8 * gcount * (pcount + pixels)


def _mandatory(images: list[str], place: int, key: str, where: str) -> int:
    image = images[place] if place < len(images) else ""
    match = re.fullmatch(rf"{key:8}= +([+-]?\d+) *(/.*)?", image)
    if match is None:
        raise InputError(f"{where}: card {place + 1} must be {key} with an integer, found {image.strip()!r}")
    return int(match[1])


def _count(images: list[str], key: str, default: int, where: str) -> int:
    places = [place for place, image in enumerate(images) if image.startswith(f"{key:8}=")]
    return _mandatory(images, places[0], key, where) if places else default
