"""FITS files written in one go: small HDUs whole, planes in row blocks, each with DATASUM and CHECKSUM.

Nothing in a file depends on the clock: checksum cards have fixed comments, gzip members no time. Memory holds one row
block whatever the size of the plane.
"""

import gzip
import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from astropy.io import fits
from astropy.io.fits import Header
from numpy.typing import NDArray

from vmpz.files.hdu import checksum_text, data_sum, fold
from vmpz.files.write import write_whole

__all__ = ["Compression", "FitsWriter", "fits_file", "packed"]

Compression = Literal["gz", "fz"] | None

BLOCK = 2880
ZEROS = "0" * 16
GZIP_MAGIC = b"\x1f\x8b"


class FitsWriter:
    """Appends HDUs to an open binary stream."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def add(self, hdu: Any) -> None:
        """Append a small HDU (anything of astropy.io.fits with a header and data, a tile-compressed image as well)."""
        self.copy(*packed(hdu))

    def add_tiles(self, header: Header, data: NDArray[Any], **compression: Any) -> None:
        """Append a tile-compressed image; `header` holds the cards beside those of its structure, and the
        options are those of `astropy.io.fits.CompImageHDU`."""
        stored, tiles = packed(fits.CompImageHDU(data, **compression))
        stored.extend(header, strip=False, update=True)
        self.copy(stored, tiles)

    def copy(self, header: Header, data: Any) -> None:
        """Append an HDU whose padded data are given as bytes."""
        self._stream.write(sealed(header, data_sum(data)))
        self._stream.write(data)

    def cards(self, cards: str, data: Any) -> None:
        """Append an HDU whose header is given as card images without END, its padded data as bytes: files of hundreds
        of HDUs are written so in a third of the time."""
        self._stream.write(_sealed_text(cards, data_sum(data)))
        self._stream.write(data)

    @contextmanager
    def plane(self, header: Header, dtype: str, shape: tuple[int, int]) -> Iterator["PlaneWriter"]:
        """Append an image; the header's structural cards are already there, rows follow in order."""
        start = self._stream.tell()
        self._stream.write(sealed(header, 0))
        writer = PlaneWriter(self._stream, np.dtype(dtype).newbyteorder(">"), shape)
        yield writer
        writer.finish()
        self._stream.seek(start)
        self._stream.write(sealed(header, writer.sum))
        self._stream.seek(0, io.SEEK_END)


def packed(hdu: Any) -> tuple[Header, memoryview]:
    """Header and padded data of a small HDU as they stand in a file, for `FitsWriter.copy`."""
    whole = io.BytesIO()
    hdu.writeto(whole)
    data = whole.getbuffer()
    with fits.open(io.BytesIO(data), disable_image_compression=True) as parts:
        place, header = parts[-1].fileinfo(), parts[-1].header.copy()
    stored = data[place["datLoc"] : place["datLoc"] + place["datSpan"]]
    _forget_times(header, np.frombuffer(stored, np.uint8))
    return header, stored


def _forget_times(header: Header, data: NDArray[np.uint8]) -> None:
    """Take the time of its making out of every gzip member of a tile-compressed image, in place.

    Tiles that cannot be quantised are packed with gzip whatever the algorithm, in a column of their own.
    """
    if "ZIMAGE" not in header:
        return
    rows, width, begin = header["NAXIS2"], header["NAXIS1"], 0
    for number in range(1, header["TFIELDS"] + 1):
        form = header[f"TFORM{number}"]
        if form[1] not in "PQ":
            return  # the columns of the tiles come first
        word = np.dtype(">i8" if form[1] == "Q" else ">i4")
        table = data[: rows * width].reshape(rows, width)[:, begin : begin + 2 * word.itemsize]
        begin += 2 * word.itemsize
        if "GZIP" not in header[f"TTYPE{number}"] and "GZIP" not in header["ZCMPTYPE"]:
            continue
        for size, offset in np.ascontiguousarray(table).view(word).tolist():
            at = header.get("THEAP", rows * width) + offset
            if size and data[at : at + 2].tobytes() == GZIP_MAGIC:
                data[at + 4 : at + 8] = 0


class PlaneWriter:
    """Rows of one plane, in order."""

    def __init__(self, stream: IO[bytes], dtype: np.dtype[Any], shape: tuple[int, int]) -> None:
        self._stream, self._dtype, self._shape = stream, dtype, shape
        self._rows = 0
        self.sum = 0

    def write(self, rows: NDArray[Any]) -> None:
        """Append rows, shape (n, columns)."""
        block = np.ascontiguousarray(rows, self._dtype)
        self.sum = fold(self.sum + data_sum(block.reshape(-1).view(np.uint8)))
        self._stream.write(block.data)
        self._rows += len(rows)

    def finish(self) -> None:
        """Fill the last block."""
        if self._rows != self._shape[0]:
            raise ValueError(f"a plane of {self._shape[0]} rows was given {self._rows}")
        size = self._shape[0] * self._shape[1] * self._dtype.itemsize
        self._stream.write(bytes(-size % BLOCK))


def sealed(header: Header, total: int) -> bytes:
    """Bytes of a header with DATASUM of its data and its own CHECKSUM (FITS standard 4.0, appendix J)."""
    sealed_header = header.copy()
    sealed_header["CHECKSUM"] = (ZEROS, "HDU checksum")
    sealed_header["DATASUM"] = (str(total), "data unit checksum")
    return _with_checksum(sealed_header.tostring().encode("ascii"), total)


def _sealed_text(cards: str, total: int) -> bytes:
    """The same of a header given as card images without END."""
    sums = f"CHECKSUM= '{ZEROS}'   / HDU checksum".ljust(80)
    sums += f"DATASUM = '{total:<8}'".ljust(30) + " / data unit checksum".ljust(50)
    text = f"{cards}{sums}{'END':80}"
    return _with_checksum((text + " " * (-len(text) % BLOCK)).encode("ascii"), total)


def _with_checksum(text: bytes, total: int) -> bytes:
    complement = ~fold(data_sum(text) + total) & 0xFFFFFFFF
    return text.replace(b"CHECKSUM= '" + ZEROS.encode(), b"CHECKSUM= '" + checksum_text(complement).encode())


@contextmanager
def fits_file(path: Path, compress: Compression = None) -> Iterator[FitsWriter]:
    """A FITS file that exists whole or not at all; `compress` adds .gz (gzip) or .fz (tile compression).

    Tile compression is lossless: RICE_1 for integers, GZIP_2 for floats.
    """
    target = path if compress is None else path.with_name(f"{path.name}.{compress}")
    with write_whole(target) as temporary:
        plain = temporary if compress is None else temporary.with_name(temporary.name + ".plain")
        try:
            with plain.open("w+b") as stream:
                yield FitsWriter(stream)
            if compress == "gz":
                _gzip(plain, temporary)
            elif compress == "fz":
                _tile_compress(plain, temporary)
        finally:
            if plain != temporary:
                plain.unlink(missing_ok=True)


def _gzip(source: Path, target: Path) -> None:
    with (
        source.open("rb") as plain,
        target.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", compresslevel=3, fileobj=raw, mtime=0) as packed,
    ):
        shutil.copyfileobj(plain, packed, 1 << 20)


def _tile_compress(source: Path, target: Path) -> None:
    """Compress row by row; the compressed plane, not the plane, is held in memory."""
    packed = source.with_name(source.name + ".packed")
    try:
        with fits.open(source, memmap=True) as plain:
            header = plain[0].header.copy()
            for key in ("CHECKSUM", "DATASUM"):
                header.remove(key)
            kind = "RICE_1" if header["BITPIX"] > 0 else "GZIP_2"
            fits.CompImageHDU(plain[0].data, header, compression_type=kind, quantize_level=0.0).writeto(
                packed
            )
        stored = np.memmap(packed, np.uint8, "r+")
        with target.open("wb") as stream, fits.open(packed, disable_image_compression=True) as parts:
            writer = FitsWriter(stream)
            for part in parts:
                place = part.fileinfo()
                data = stored[place["datLoc"] : place["datLoc"] + place["datSpan"]]
                _forget_times(part.header, data)
                writer.copy(part.header, data)
    finally:
        packed.unlink(missing_ok=True)
