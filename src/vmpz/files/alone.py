"""One HDU of a file as a file of its own, without copying it: libraries that read from the beginning read it alone."""

import io
import os

__all__ = ["HduAlone"]

BLOCK = 2880
CARDS = (("SIMPLE", "T"), ("BITPIX", "8"), ("NAXIS", "0"))
PRIMARY = (
    ("".join(f"{key:<8}= {value:>20}".ljust(80) for key, value in CARDS) + "END").ljust(BLOCK).encode("ascii")
)


class HduAlone(io.RawIOBase):
    """An empty primary HDU, then the bytes [start, stop) of a file.

    Parameters
    ----------
    descriptor : int
        Of the open file; a copy is used and closed.
    start, stop : int
    """

    mode = "rb"

    def __init__(self, descriptor: int, start: int, stop: int) -> None:
        self._descriptor = os.dup(descriptor)
        self._start, self._size = start, BLOCK + stop - start
        self._at = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move, as in any file."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(base + offset, 0)
        return self._at

    def tell(self) -> int:
        """Where the next byte is read."""
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """The next bytes, no more than `buffer` takes; 0 at the end."""
        wanted = min(len(buffer), self._size - self._at)
        if wanted <= 0:
            return 0
        if self._at < BLOCK:
            data = PRIMARY[self._at : self._at + wanted]
        else:
            data = os.pread(self._descriptor, wanted, self._start + self._at - BLOCK)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        """Close the copy of the descriptor."""
        if not self.closed:
            os.close(self._descriptor)
        super().close()
