"""Random numbers that are a function of where they are used: Philox4x64-10.

Salmon, Moraes, Dror & Shaw 2011 (SC11, "Parallel random numbers: as easy as 1, 2, 3"). A block of four words is a
bijection of its counter under a key: no state, so no order of evaluation, and any point can be drawn again alone.
"""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

__all__ = ["blocks", "multiply", "philox", "unit"]

Words = NDArray[np.uint64]
Block = tuple[np.uint64, np.uint64, np.uint64, np.uint64]

MULTIPLIER_0, MULTIPLIER_1 = np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157)
WEYL_0, WEYL_1 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBB67AE8584CAA73B)  # golden ratio, sqrt(3) - 1
ROUNDS = 10
SHIFT = np.uint64(11)  # to the 53 bits of a float64
GRAIN = 2.0**-53
LOW = (1 << 64) - 1


def multiply(a: np.uint64, b: np.uint64) -> tuple[np.uint64, np.uint64]:
    """High and low word of the product of two words; one instruction where compiled."""
    product = int(a) * int(b)
    return np.uint64(product >> 64), np.uint64(product & LOW)


def _add(a: np.uint64, b: np.uint64) -> np.uint64:
    """Sum of two words modulo 2**64."""
    return np.uint64((int(a) + int(b)) & LOW)


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def _wide_product(context, a, b):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, words):  # type: ignore[no-untyped-def]
        word, wide = ir.IntType(64), ir.IntType(128)
        product = builder.mul(builder.zext(words[0], wide), builder.zext(words[1], wide))
        high = builder.trunc(builder.lshr(product, wide(64)), word)
        return context.make_tuple(builder, signature.return_type, (high, builder.trunc(product, word)))

    return types.UniTuple(types.uint64, 2)(types.uint64, types.uint64), generate


@overload(multiply)  # type: ignore[untyped-decorator, unused-ignore]
def _multiply_compiled(a, b):  # type: ignore[no-untyped-def]
    return lambda a, b: _wide_product(a, b)


@overload(_add)  # type: ignore[untyped-decorator, unused-ignore]
def _add_compiled(a, b):  # type: ignore[no-untyped-def]
    return lambda a, b: np.uint64(a) + np.uint64(b)


@njit(cache=True, nogil=True, forceinline=True)
def philox(c0: np.uint64, c1: np.uint64, c2: np.uint64, c3: np.uint64, k0: np.uint64, k1: np.uint64) -> Block:
    """The four words of one counter (c0, c1, c2, c3) under a key (k0, k1), all uint64."""
    c0, c1, c2, c3 = np.uint64(c0), np.uint64(c1), np.uint64(c2), np.uint64(c3)
    k0, k1 = np.uint64(k0), np.uint64(k1)
    for _ in range(ROUNDS):
        high0, low0 = multiply(MULTIPLIER_0, c0)
        high1, low1 = multiply(MULTIPLIER_1, c2)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = _add(k0, WEYL_0), _add(k1, WEYL_1)
    return c0, c1, c2, c3


@njit(cache=True, nogil=True, forceinline=True)
def unit(word: np.uint64) -> float:
    """Uniform deviate in [0, 1) of a word, a multiple of 2**-53."""
    return np.float64(np.uint64(word) >> SHIFT) * GRAIN


@njit(cache=True, nogil=True)
def blocks(counters: Words, k0: np.uint64, k1: np.uint64, out: Words) -> None:
    """Blocks of counters uint64 (n, 4) under one key; `out` is uint64 (n, 4)."""
    for row in range(counters.shape[0]):
        c = counters[row]
        out[row, 0], out[row, 1], out[row, 2], out[row, 3] = philox(c[0], c[1], c[2], c[3], k0, k1)
