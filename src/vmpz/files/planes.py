"""Pixels of untrusted FITS images in row blocks: plain, gzip and tile-compressed files behind one face.

* Plain files are mapped one window at a time. Reading a plane of 1.5 GB from the page cache and summing its words takes
  0.05-0.06 s so, against 0.10-0.28 s with `preadv` into a buffer that is used again; nothing is copied, only the window
  is resident, and big-endian words come out as they lie on disk.
* gzip files are inflated forwards only (`sequential`), into the caller's buffer.
* Tile-compressed files (RICE, gzip, HCOMPRESS, PLIO) are decoded by astropy, the tiles of the block alone. What the
  decoder trusts (tile counts, heap descriptors) is checked before.

BZERO = 2**(n-1) is the unsigned convention: the words come out unsigned, so a mask is the same for signed, unsigned and
offset files. Any other BSCALE or BZERO gives floating point, BLANK gives NaN.
"""

import io
import mmap
import os
import re
import threading
import warnings
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any, Protocol

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.files.alone import HduAlone
from vmpz.files.fits import MAX_PIXELS, FitsFile, decoding
from vmpz.files.hdu import BITPIX, Hdu

__all__ = ["BlockReader", "open_plane"]

ALGORITHMS = ("RICE_1", "RICE_ONE", "GZIP_1", "GZIP_2", "HCOMPRESS_1", "PLIO_1", "NOCOMPRESS")
Blocks = NDArray[Any]


class BlockReader(Protocol):
    """What `open_plane` gives: the file-layer form of `vmpz.frames.Plane`."""

    name: str
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    sequential: bool
    datasum: int | None
    where: str

    def read(self, start: int, stop: int, out: Blocks | None = None) -> Blocks:
        """Rows [start, stop)."""
        ...

    def close(self) -> None:
        """Release the file; InputError when it changed."""
        ...


def open_plane(
    location: str,
    hdu: int | str = 0,
    name: str = "IMAGE",
    *,
    identity: str = "",
    direct: Collection[int] = (32, -32, 64, -64),
    max_pixels: int = MAX_PIXELS,
    offset: int | None = None,
) -> BlockReader:
    """Open one image for reading in row blocks.

    Parameters
    ----------
    location : str
        Path of a local FITS file, plain, gzip or tile-compressed.
    hdu : int or str
        Number or EXTNAME.
    name : str
        Canonical name of the plane.
    identity : str
        If given, what `FitsFile.identity` must give.
    direct : collection of int
        BITPIX values whose stored words the caller uses as they are and compares with `datasum` itself. For any
        other, and wherever words are converted, DATASUM is verified here and `datasum` is None.
    max_pixels : int
        Larger images are refused.
    offset : int, optional
        Where the header of HDU number `hdu` begins, as it was found with `identity`: the others are not read again.

    Raises
    ------
    InputError
        The file or the HDU is not what it must be, or is no longer what it was when it was listed.
    """
    known = (hdu, offset) if identity and offset is not None and isinstance(hdu, int) else None
    file = FitsFile(location, max_pixels, known)
    try:
        unit = file.hdu(hdu)
        if identity and file.identity(unit) != identity:
            raise InputError(
                f"{unit.where}: must be the file that was listed, found other header cards or size"
            )
        if unit.is_compressed:
            return _TiledPlane(file, unit, name, max_pixels)
        return (_GzipPlane if file.is_gzip else _MappedPlane)(file, unit, name, direct)
    except BaseException:
        file.close()
        raise


class _StoredPlane:
    """What plain and gzip images share: the stored words and what BSCALE, BZERO and BLANK make of them."""

    sequential = False

    def __init__(self, file: FitsFile, hdu: Hdu, name: str, direct: Collection[int]) -> None:
        self.name = name
        self.shape = hdu.shape
        self.where = hdu.where
        self._file = file
        self._hdu = hdu
        self._stored = np.dtype(f">{'f' if hdu.bitpix < 0 else 'i'}{abs(hdu.bitpix) // 8}")
        if hdu.bitpix == 8:
            self._stored = np.dtype("u1")
        self.dtype, self._convert = _scaling(hdu, self._stored)
        self.datasum = hdu.datasum if self._convert is None and hdu.bitpix in direct else None
        if self.datasum is None:
            file.verify_data(hdu)

    def _span(self, start: int, stop: int) -> tuple[int, int]:
        """Offset of the first row in the file, and size of the rows."""
        if not 0 <= start <= stop <= self.shape[0]:
            raise ValueError(f"rows must lie in [0, {self.shape[0]}], found [{start}, {stop})")
        row = self.shape[1] * self._stored.itemsize
        return self._hdu.data_offset + start * row, (stop - start) * row

    def _finish(self, words: Blocks, out: Blocks | None) -> Blocks:
        """Physical values of stored words, in `out` where it fits."""
        if self._convert is None:
            return words
        values = _usable(out, words.shape, self.dtype)
        values = np.empty(words.shape, self.dtype) if values is None else values
        self._convert(words, values)
        return values

    def close(self) -> None:
        """Release the file.

        Raises
        ------
        InputError
            It changed while it was read.
        """
        try:
            self._file.unchanged()
        except FileNotFoundError as error:
            raise InputError(f"{self.where}: must not vanish while it is read") from error
        finally:
            self._file.close()


class _MappedPlane(_StoredPlane):
    """A plane of a plain file; `read` may be called from several threads."""

    def read(self, start: int, stop: int, out: Blocks | None = None) -> Blocks:
        """Rows [start, stop): a read-only view of a mapped window, or scaled values (in `out` where it fits)."""
        offset, size = self._span(start, stop)
        handle = self._file.handle.fileno()
        if os.fstat(handle).st_size < offset + size:
            raise InputError(f"{self.where}: must not change while it is read, found that it shrank")
        if size == 0:
            return np.empty((stop - start, self.shape[1]), self.dtype)
        skip = offset % mmap.ALLOCATIONGRANULARITY
        window = mmap.mmap(
            handle, size + skip, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ, offset=offset - skip
        )
        words = np.frombuffer(window, self._stored, size // self._stored.itemsize, skip)
        return self._finish(words.reshape(stop - start, self.shape[1]), out)


class _GzipPlane(_StoredPlane):
    """A plane of a gzip file, read forwards."""

    sequential = True

    def __init__(self, file: FitsFile, hdu: Hdu, name: str, direct: Collection[int]) -> None:
        super().__init__(file, hdu, name, direct)
        self._stream = file.stream()
        self._at = 0
        self._is_last = hdu.index == len(file.hdus) - 1

    def read(self, start: int, stop: int, out: Blocks | None = None) -> Blocks:
        """Rows [start, stop); rows behind the present place are out of reach."""
        offset, size = self._span(start, stop)
        if offset < self._at:
            raise ValueError(f"{self.where}: rows of a gzip file must be read in ascending order")
        shape = (stop - start, self.shape[1])
        words = _usable(out, shape, self._stored) if self._convert is None else None
        words = np.empty(shape, self._stored) if words is None else words
        with decoding(self.where):
            if offset > self._at:
                self._stream.seek(offset)
            self._fill(memoryview(words.reshape(-1).view(np.uint8)))  # type: ignore[arg-type]
            self._at = offset + size
            if stop == self.shape[0] and self._is_last:
                self._end()
        return self._finish(words, out)

    def _fill(self, buffer: memoryview) -> None:
        done = 0
        while done < len(buffer):
            count = self._stream.readinto(buffer[done:])  # type: ignore[attr-defined]
            if not count:
                raise InputError(
                    f"{self.where}: must hold {self.shape[0]} rows, found that the stream ends before: cut"
                )
            done += count

    def _end(self) -> None:
        """The fill and nothing after it; reaching the end makes the library check length and CRC-32."""
        fill = self._hdu.padded_bytes - self._hdu.data_bytes
        rest = self._stream.read(fill + 1)
        if len(rest) != fill:
            found = "more" if len(rest) > fill else f"{len(rest)}"
            raise InputError(f"{self.where}: {fill} bytes of fill must end the stream, found {found}")

    def close(self) -> None:
        """Release the file."""
        with suppress(OSError):
            self._stream.close()
        super().close()


class _TiledPlane:
    """A plane of a tile-compressed image. The stored bytes are compared with DATASUM when it is opened."""

    sequential = False
    datasum: int | None = None

    def __init__(self, file: FitsFile, hdu: Hdu, name: str, max_pixels: int) -> None:
        if file.is_gzip:
            raise InputError(f"{hdu.where}: a tile-compressed image must not be inside gzip")
        self.name = name
        self.shape = hdu.shape
        self.where = hdu.where
        self._file = file
        self._lock = threading.Lock()
        _check_tiles(file, hdu, max_pixels)
        file.verify_data(hdu)
        with decoding(self.where), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            alone = HduAlone(file.handle.fileno(), hdu.offset, hdu.data_offset + hdu.padded_bytes)
            self._hdus = fits.open(io.BufferedReader(alone), memmap=False, lazy_load_hdus=True)
            self._image = self._hdus[1]
        try:
            self.dtype = np.dtype(self.read(0, min(1, self.shape[0])).dtype)
        except BaseException:
            self._hdus.close()
            raise

    def read(self, start: int, stop: int, out: Blocks | None = None) -> Blocks:
        """Rows [start, stop), decoded; one thread at a time."""
        if not 0 <= start <= stop <= self.shape[0]:
            raise ValueError(f"rows must lie in [0, {self.shape[0]}], found [{start}, {stop})")
        if start == stop:
            return np.empty((0, self.shape[1]), self.dtype)
        with self._lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                values = self._image.section[start:stop]
            except Exception as error:  # whatever a decoder makes of damaged bytes
                raise InputError(
                    f"{self.where}: tiles of rows {start} to {stop} must decode, found: {error!r}"
                ) from error
        if values.shape != (stop - start, self.shape[1]):
            raise InputError(f"{self.where}: rows {start} to {stop} must decode to {self.shape[1]} columns")
        return np.ascontiguousarray(values)

    def close(self) -> None:
        """Release the file."""
        self._hdus.close()
        try:
            self._file.unchanged()
        finally:
            self._file.close()


def _usable(out: Blocks | None, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Blocks | None:
    """The beginning of `out` as an array of that shape and type, None where it cannot be used."""
    count = int(np.prod(shape))
    if (
        out is None
        or not out.flags.c_contiguous
        or not out.flags.writeable
        or out.nbytes < count * dtype.itemsize
    ):
        return None
    return out.reshape(-1).view(np.uint8)[: count * dtype.itemsize].view(dtype).reshape(shape)


def _scaling(
    hdu: Hdu, stored: np.dtype[Any]
) -> tuple[np.dtype[Any], Callable[[Blocks, Blocks], None] | None]:
    """Type that `read` returns, and the conversion from stored words (None: none needed)."""
    scale = hdu.cards.optional_number("BSCALE")
    zero = hdu.cards.optional_number("BZERO")
    scale, zero = 1.0 if scale is None else scale, 0.0 if zero is None else zero
    if (scale, zero) == (1.0, 0.0):
        return stored, None
    if scale == 0.0:
        raise hdu.cards.error("BSCALE", "must not be 0")
    bits = 8 * stored.itemsize
    if scale == 1.0 and stored.kind in "iu" and zero == (-128 if bits == 8 else 2 ** (bits - 1)):
        other = np.dtype("i1") if bits == 8 else np.dtype(f">u{stored.itemsize}")
        top = other.type(-128) if bits == 8 else np.array(1 << (bits - 1), other)
        return other, lambda words, values: np.copyto(values, words.view(other) ^ top)
    wide = np.dtype(np.float64 if (bits >= 32 and stored.kind == "i") or bits == 64 else np.float32)
    blank = hdu.cards.integer("BLANK") if "BLANK" in hdu.cards and stored.kind in "iu" else None

    def physical(words: Blocks, values: Blocks) -> None:
        np.multiply(words, scale, out=values, casting="unsafe")
        values += zero
        if blank is not None:
            values[words == blank] = np.nan

    return wide, physical


def _check_tiles(file: FitsFile, hdu: Hdu, max_pixels: int) -> None:
    """What the decoder trusts: axes, tile sizes, algorithm, number of tiles and the descriptors into the heap."""
    cards, (rows, columns) = hdu.cards, hdu.shape
    if rows < 1 or columns < 1 or rows * columns > max_pixels:
        raise InputError(
            f"{hdu.where}: ZNAXISn must be at least 1, their product at most {max_pixels}, found {hdu.shape}"
        )
    if hdu.bitpix not in BITPIX:
        raise cards.error("ZBITPIX", "must be a standard BITPIX")
    if cards.text("ZCMPTYPE") not in ALGORITHMS:
        raise cards.error("ZCMPTYPE", f"must be one of {', '.join(ALGORITHMS)}")
    width = cards.integer("ZTILE1") if "ZTILE1" in cards else columns
    height = cards.integer("ZTILE2") if "ZTILE2" in cards else 1
    if min(width, height) < 1 or min(width, columns) * min(height, rows) > 1 << 28:
        raise InputError(
            f"{hdu.where}: ZTILEn must be at least 1 and a tile at most 2**28 pixels, found {width}, {height}"
        )
    tiles = -(-columns // width) * -(-rows // height)
    if cards.integer("NAXIS2") != tiles:
        raise cards.error("NAXIS2", f"must be the number of tiles, {tiles}")
    pixels = min(width, columns) * min(height, rows)
    _check_descriptors(file, hdu, tiles, 2 * pixels * abs(hdu.bitpix) // 8 + 4096)


def _check_descriptors(file: FitsFile, hdu: Hdu, tiles: int, largest: int) -> None:
    """Every variable-length column must point into the heap, and no tile may be far longer than its pixels."""
    cards = hdu.cards
    columns = _columns(hdu)
    width = sum(WIDTHS[kind] * repeat for repeat, kind, _ in columns)
    if width != cards.integer("NAXIS1"):
        raise cards.error("NAXIS1", f"must be the sum of the column widths, {width}")
    begin = cards.integer("THEAP") if "THEAP" in cards else width * tiles
    heap = width * tiles + cards.integer("PCOUNT") - begin
    table = os.pread(file.handle.fileno(), width * tiles, hdu.data_offset)
    offset = 0
    for number, (repeat, kind, of) in enumerate(columns, 1):
        if kind in "PQ" and repeat:
            words = np.dtype(">i4" if kind == "P" else ">i8")
            pair = np.ndarray((tiles, 2), words, table, offset, (width, words.itemsize)).astype(np.int64)
            size = pair[:, 0] * WIDTHS.get(of, 1)
            if pair.min(initial=0) < 0 or np.any(size > largest) or np.any(pair[:, 1] > heap - size):
                name = cards.optional_text(f"TTYPE{number}")
                raise InputError(f"{hdu.where}: tiles of {name} must lie in a heap of {heap} bytes")
        offset += WIDTHS[kind] * repeat


def _columns(hdu: Hdu) -> list[tuple[int, str, str]]:
    """Repeat count, type letter and, for variable-length columns, type of the elements."""
    columns = []
    for number in range(1, hdu.cards.integer("TFIELDS") + 1):
        match = re.fullmatch(
            r"(\d{0,9})([LBAIJKEDCMPQ])([LBAIJKEDCM]?)(\(\d*\))?", hdu.cards.text(f"TFORM{number}")
        )
        if match is None:
            raise hdu.cards.error(f"TFORM{number}", "must be a table format of the standard")
        columns.append((int(match[1] or 1), match[2], match[3]))
    return columns


WIDTHS = {"L": 1, "B": 1, "A": 1, "I": 2, "J": 4, "K": 8, "E": 4, "D": 8, "C": 8, "M": 16, "P": 8, "Q": 16}
