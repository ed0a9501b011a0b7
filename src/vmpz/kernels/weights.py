"""Inverse variances of pixels as a plane, and sums of planes weighted by them, in float64."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from vmpz.kernels.words import float_of, native_word, ordered_word

__all__ = ["inverse_variances", "weigh_rows"]

Array = NDArray[Any]


@njit(cache=True, nogil=True, error_model="numpy")
def inverse_variances(rms: Array, swap: bool, out: Array) -> None:
    """1/RMS**2 of stored words, uint32 (rows, columns), as float32; infinite or NaN where that has no value."""
    for row in range(rms.shape[0]):
        words, values = rms[row], out[row]
        for i in range(words.size):
            noise = np.float64(float_of(words[i], swap))
            values[i] = np.float32(1.0 / (noise * noise))


@njit(cache=True, nogil=True, error_model="numpy")
def weigh_rows(
    columns: int, first: Array, slot: Array, virtual: Array, row_start: Array, flags: Array, words: Array, swap: bool,
    rms: Array, rms_swap: bool, limits: Array, veto: np.uint32, virtual_veto: np.uint8, sums: Array,
) -> None:  # fmt: skip
    """Add the weighted sums of a plane over finite pixels.

    Parameters
    ----------
    columns, first, slot, virtual, row_start, flags, limits, veto, virtual_veto :
        As in `binning.add_rows`.
    words, swap, rms, rms_swap : uint32 array (rows, columns), bool
        The plane and the noise plane.
    sums : float64 array (slots, 2, 2)
        Added to, by sample (valid, good): sum of weights, weighted sum.
    """
    for row in range(row_start.size - 1):
        flag_row = flags[row if flags.shape[0] > 1 else 0]
        word_row, rms_row = words[row], rms[row]
        for k in range(row_start[row], row_start[row + 1]):
            if slot[k] < 0:
                continue
            end = np.int64(first[k + 1]) if k + 1 < row_start[row + 1] else np.int64(columns)
            vetoed = virtual.size > 0 and (virtual[k] & virtual_veto) != 0
            all_sum, all_weighted, good_sum, good_weighted = 0.0, 0.0, 0.0, 0.0
            for i in range(np.int64(first[k]), end):
                place = ordered_word(native_word(rms_row[i], rms_swap))
                value = np.float64(float_of(word_row[i], swap))
                if place < limits[0] or place > limits[1] or not np.isfinite(value):
                    continue
                weight = 1.0 / np.float64(float_of(rms_row[i], rms_swap)) ** 2
                all_sum += weight
                all_weighted += weight * value
                if place <= limits[2] and not vetoed and (flag_row[i] & veto) == np.uint32(0):
                    good_sum += weight
                    good_weighted += weight * value
            sums[slot[k], 0, 0] += all_sum
            sums[slot[k], 0, 1] += all_weighted
            sums[slot[k], 1, 0] += good_sum
            sums[slot[k], 1, 1] += good_weighted
