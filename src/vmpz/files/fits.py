"""Opening FITS files that nobody vouches for.

The structure (blocks of 2880 bytes, mandatory cards, sizes) is read here, byte by byte, and must be whole before
anything else looks at the file: a file cut by one byte, a BITPIX outside the standard, an array larger than the file or
a stray tail are refused, naming file and HDU. Only then are header values interpreted (`vmpz.files.cards`) and pixels
read (`vmpz.files.planes`). Headers alone are read here; of a gzip file nothing but its first header when its trailer
agrees with it.

Checksums of headers are verified here, those of data where the data are read (`vmpz.files.hdu`).
"""

import gzip
import hashlib
import io
import os
import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from vmpz.errors import InputError
from vmpz.files.hdu import BLOCK, Hdu, check_data_sum, data_sum, fold, read_hdu
from vmpz.files.nearby import what_is_at

try:  # the same interface, faster
    from isal import igzip
except ImportError:
    igzip = None  # type: ignore[assignment]

__all__ = ["MAX_PIXELS", "FitsFile", "Hdu", "data_sum", "decoding", "fold", "open_fits", "open_regular"]

MAX_PIXELS = 1 << 32
"""Largest number of pixels of one plane that is accepted by default."""
GZIP_RATIO = 1032
"""Deflate cannot do better, so a declared size beyond this is a false one."""


class FitsFile:
    """An open file whose structure is whole.

    With `at` (number and place of an HDU, as a former opening found them) only that one is read, so that an image of a
    file of hundreds is opened at the cost of one; its caller compares the identity.

    Attributes
    ----------
    location : str
    hdus : tuple of Hdu
    size : int
        Bytes on disk.
    is_gzip : bool
    """

    def __init__(
        self, location: str, max_pixels: int = MAX_PIXELS, at: tuple[int, int] | None = None
    ) -> None:
        self.location = location
        self.handle = open_regular(location)
        try:
            self.stat = os.fstat(self.handle.fileno())
            self.size = self.stat.st_size
            if self.size == 0:
                raise InputError(f"{location}: must be a FITS file, found an empty file")
            self.is_gzip = self.handle.read(2) == b"\x1f\x8b"
            with decoding(location):
                if self.is_gzip:
                    self.hdus = tuple(self._scan_gzip(max_pixels))
                else:
                    self.hdus = tuple(
                        self._scan_plain(max_pixels) if at is None else self._at(*at, max_pixels)
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
            (hdu,) = self._at(index, offset, max_pixels)
            offset, index = hdu.data_offset + hdu.padded_bytes, index + 1
            yield hdu

    def _at(self, index: int, offset: int, max_pixels: int) -> Iterator[Hdu]:
        self.handle.seek(offset)
        hdu = read_hdu(self.handle, self.location, index, offset, max_pixels)
        end = hdu.data_offset + hdu.padded_bytes
        if end > self.size:
            raise InputError(
                f"{hdu.where}: the header asks for a file of at least {end} bytes, found {self.size}: cut"
            )
        yield hdu

    def _scan_gzip(self, max_pixels: int) -> Iterator[Hdu]:
        stream = self.stream()
        first = read_hdu(stream, self.location, 0, 0, max_pixels)
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
            hdu = read_hdu(stream, self.location, index, offset, max_pixels)
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
    except FileNotFoundError as error:
        raise InputError(f"{location}: must be a readable file, found {what_is_at(location)}") from error
    except OSError as error:
        raise InputError(f"{location}: must be a readable file, found {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{location!r}: must be the name of a file: {error}") from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise InputError(f"{location}: must be a regular file, found {what_is_at(location)}")
    return os.fdopen(handle, "rb")


@contextmanager
def decoding(where: str) -> Iterator[None]:
    """Turn what a decoder raises about damaged bytes into an `InputError`."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile, OSError) as error:
        raise InputError(f"{where}: must be readable to its end, found: {error}") from error


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
