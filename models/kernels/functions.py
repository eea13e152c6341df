"""Compute exponentials, products and random masks inside compiled loops."""

from typing import Any

import numba
import numpy as np
from numba import types
from numba.extending import overload

from sdmr.harness.kernels import compiled

# e^x = 2^k e^r with r = x − k ln 2, |r| ≤ ½ ln 2. k ln 2 is subtracted in two parts, of which the first is exact.
# The coefficients are those of the Cephes library (S. Moshier); the relative error is below 2e-7.
_LOG2_E, _LN2_HIGH, _LN2_LOW = np.float32(1.44269504), np.float32(0.693359375), np.float32(-2.12194440e-4)
_C3, _C4, _C5 = np.float32(1.6666665459e-1), np.float32(4.1665795894e-2), np.float32(8.3334519073e-3)
_C6, _C7 = np.float32(1.3981999507e-3), np.float32(1.9875691500e-4)
_HALF, _ONE = np.float32(0.5), np.float32(1)
_GAMMA, _MIX_1, _MIX_2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_30, _27, _31 = np.uint64(30), np.uint64(27), np.uint64(31)


def exponential(x: Any) -> Any:
    """Compute e^x of a float32 number within ±86, or of a float64 number.

    Loops over it are vectorized, as those over NumPy's exp are not.
    """
    raise NotImplementedError("for compiled functions")


@overload(exponential, jit_options={"fastmath": {"reassoc", "contract", "nsz"}, "error_model": "numpy"})
def _exponential(x):  # type: ignore[no-untyped-def]
    if x != types.float32:
        return lambda x: np.exp(x)

    def compute_float32(x):  # type: ignore[no-untyped-def]
        k = np.floor(x * _LOG2_E + _HALF)
        r = x - k * _LN2_HIGH - k * _LN2_LOW
        series = ((((_C7 * r + _C6) * r + _C5) * r + _C4) * r + _C3) * r + _HALF
        power = np.int32((np.int32(k) + np.int32(127)) << np.int32(23)).view(np.float32)  # 2^k, by its exponent's bits
        return (series * r * r + r + _ONE) * power

    return compute_float32


@compiled
def exponentials(x, bias, factor):  # type: ignore[no-untyped-def]
    """Replace x by e^(factor · (x + bias)).

    It is bounded so that no product of two is 0 · ∞.
    """
    bound, factor = x.dtype.type(86), x.dtype.type(factor)
    for n in range(x.shape[0]):
        for i in range(x.shape[1]):
            y = factor * (x[n, i] + bias[i])
            y = bound if y > bound else y  # NaN stays NaN
            y = -bound if y < -bound else y
            x[n, i] = exponential(y)


@numba.njit(nogil=True, cache=True)
def mix(x):  # type: ignore[no-untyped-def]
    """Turn a counter into a random number."""
    x = (x ^ (x >> _30)) * _MIX_1
    x = (x ^ (x >> _27)) * _MIX_2
    return x ^ (x >> _31)


@numba.njit(nogil=True, cache=True)
def draw_mask(key, number, first, threshold, mask):  # type: ignore[no-untyped-def]
    """Draw a mask [n, m] that drops threshold / 65,536 of its entries.

    Row i depends on the key, the number of the mask, and first + i alone. Each 64-bit number of
    SplitMix64 (Steele et al. 2014) decides on four entries.
    """
    n, n_words = len(mask), -(-mask.shape[1] // 4)
    words = np.empty((n, n_words), np.uint64)
    start = mix(np.uint64(key) + np.uint64(number) * _GAMMA) + np.uint64(first * n_words) * _GAMMA
    for i in range(n):
        for w in range(n_words):
            words[i, w] = mix(start + np.uint64(i * n_words + w) * _GAMMA)
    numbers = words.view(np.uint16)
    for i in range(n):
        for m in range(mask.shape[1]):
            mask[i, m] = numbers[i, m] >= threshold


@compiled
def add_product(x, y, product, result):  # type: ignore[no-untyped-def]
    """Add xᵀ y to the result; `product` is working memory.

    BLAS takes longer for one product of many rows than for many of some rows.
    """
    for start in range(0, len(x), 128):
        np.dot(x[start : start + 128].T, y[start : start + 128], product)
        add(product, result)


@compiled
def add(x, result):  # type: ignore[no-untyped-def]
    """Add x to the result."""
    for n in range(x.shape[0]):
        for i in range(x.shape[1]):
            result[n, i] += x[n, i]


@compiled
def sum_rows(x, result):  # type: ignore[no-untyped-def]
    """Add the rows of x to the result."""
    for n in range(x.shape[0]):
        for i in range(x.shape[1]):
            result[i] += x[n, i]


@compiled
def take_rows(table, rows, result):  # type: ignore[no-untyped-def]
    """Copy some rows of a table."""
    for n in range(len(rows)):
        for i in range(table.shape[1]):
            result[n, i] = table[rows[n], i]
