"""Rows of planes as the 32-bit words that kernels take, and their checksum."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.bits import BitTable
from vmpz.errors import InputError
from vmpz.frames import Plane
from vmpz.kernels import words

__all__ = ["Words", "data_sum", "flag_words", "float_words", "read_only", "verify_data_sum"]

Words = NDArray[np.uint32]


def float_words(rows: NDArray[Any]) -> Words:
    """Values as words of float32: where they lie if they are, else converted to native ones."""
    if rows.dtype.kind == "f" and rows.dtype.itemsize == 4:
        return read_only(rows.view(np.uint32))
    with np.errstate(over="ignore"):
        return read_only(rows.astype(np.float32).view(np.uint32))


def flag_words(rows: NDArray[Any], bits: BitTable | None) -> Words:
    """Flags as words: where they lie if they are 32-bit ones, else converted to native ones; codes become bits."""
    unsigned = rows.view(rows.dtype.str.replace("i", "u"))
    if bits is not None and bits.kind == "code":
        codes = read_only(unsigned.astype(np.uint32))
        out = np.empty(codes.shape, np.uint32)
        words.flag_words(codes, out)
        return read_only(out)
    return read_only(unsigned.view(np.uint32) if rows.dtype.itemsize == 4 else unsigned.astype(np.uint32))


def read_only(stored: Words) -> Words:
    """A view that kernels take whether or not the memory may be written."""
    view = stored[:]
    view.flags.writeable = False
    return view


def data_sum(rows: NDArray[Any], start: int) -> int:
    """Sum of the big-endian 32-bit words that rows from row `start` on add to their data unit."""
    if rows.dtype.itemsize == 4:
        return int(words.ones_complement_sum(read_only(rows.view(np.uint32)), not rows.dtype.isnative))
    stored = rows.astype(rows.dtype.newbyteorder(">"), copy=False).tobytes()
    padded = b"\0" * (start * rows.shape[1] * rows.dtype.itemsize % 4) + stored
    padded += b"\0" * (-len(padded) % 4)
    return int(np.frombuffer(padded, ">u4").sum(dtype=np.uint64))


def verify_data_sum(plane: Plane, total: int) -> None:
    """Compare the sum of all stored words of a plane with its DATASUM.

    Raises
    ------
    InputError
        They differ.
    """
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    if total != plane.datasum and {total, plane.datasum} != {0, 0xFFFFFFFF}:
        raise InputError(
            f"{plane.where}: the data must have the DATASUM of their header, {plane.datasum}, found {total}"
        )
