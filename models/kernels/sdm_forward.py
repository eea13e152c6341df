"""Compute SDM's hops, Eq. 7 to 18, on the CPU in compiled functions.

- A tanh of a sum costs one division: with e^2x and e^2y, tanh(x + y) = 1 − 2 / (1 + e^2x e^2y).
- The matrix products are BLAS's. The loops run over indices, not over rows: Numba vectorizes only these.
- A block of pairs passes through all hops, so that its numbers stay in the processor's cache.

A *pair* is an instance with one of its candidates: pair n = b · C + c is candidate c of instance b. P is the number of
pairs of a block; `first` is the block's first pair, and `size` ≤ P the number of its pairs.
"""

from typing import Any, NamedTuple

import numpy as np

from sdmr.harness.kernels import compiled
from sdmr.models.kernels.functions import draw_mask, exponential, exponentials

BLOCK = 160  # pairs
Array = Any  # an array, in the eyes of Numba


class Indices(NamedTuple):
    """Name the rows of `Memory` that each instance reads."""

    user: Array  # [B]
    item: Array  # [B, C]
    context: Array  # [B, s]; −1 on padding, but at least one entry of each row is real


class Memory(NamedTuple):
    """Hold e^2x of the summands x of the tanh that read a memory."""

    user: Array  # W_a's or W_b's part for the users
    item: Array  # and for the candidates
    context: Array  # W_c's or W_d's part for the context items


class Weights(NamedTuple):
    """Hold the weights [d, d] of the hops, transposed, and those of the output."""

    c_query: Array  # W_c's half for q
    d_query: Array  # W_d's half for p
    gate: Array  # W_g
    gate_bias: Array  # b_g, [d]
    output: Array  # w_e, [d]
    output_bias: Array  # b_e, [1]


class Dropout(NamedTuple):
    """Hold what dropout depends on, and room for its masks of a block.

    A mask of None keeps everything.
    """

    key: Array = 0  # see `draw_mask`
    query_threshold: Array = 0  # of q and p
    threshold: Array = 0  # of the tanh of Eq. 9 and 13
    query_factor: Array = 1.0  # of what is kept of q and p
    square_factor: Array = 1.0  # of what is kept of a squared tanh
    q: Array = None  # [P, d]
    p: Array = None  # [H, P, d]
    keys: Array = None  # [H, P, s · d], of Eq. 9
    values: Array = None  # [H, P, s · d], of Eq. 13


class Trace(NamedTuple):
    """Hold the hops of a block. Without dropout, one p serves all hops: H' = 1. With dropout, H' = H."""

    first_q: Array  # [P, d] before dropout
    first_p: Array  # [P, d] before dropout
    q: Array  # [H, P, d] after dropout
    p: Array  # [H', P, d] after dropout
    query: Array  # [H, P, d] e^2x of W_c's part for q
    output: Array  # [H', P, d] e^2x of W_d's part for p
    squares: Array  # [H', P, s · d], those of Eq. 13 before dropout
    attention: Array  # [H, P, s]; 0 on padding
    e: Array  # [H, P, d]
    gate: Array  # [H, P, d]
    scores: Array  # [P]


@compiled
def create_trace(n_hops, n_pairs, n_context, weights, dropout):  # type: ignore[no-untyped-def]
    """Make room for the hops of a block."""
    dim, dtype, n_outputs = len(weights.gate), weights.gate.dtype, 1 if dropout.p is None else n_hops
    shape, output_shape = (n_hops, n_pairs, dim), (n_outputs, n_pairs, dim)
    q, p = np.empty(shape, dtype), np.empty(output_shape, dtype)
    first_q = q[0] if dropout.q is None else np.empty((n_pairs, dim), dtype)
    first_p = p[0] if dropout.p is None else np.empty((n_pairs, dim), dtype)
    query, output, e, gate = (
        np.empty(shape, dtype),
        np.empty(output_shape, dtype),
        np.empty(shape, dtype),
        np.empty(shape, dtype),
    )
    squares = np.empty((n_outputs, n_pairs, n_context * dim), dtype)
    attention = np.empty((n_hops, n_pairs, n_context), dtype)
    return Trace(first_q, first_p, q, p, query, output, squares, attention, e, gate, np.empty(n_pairs, dtype))


@compiled
def compute_hops(first, size, indices, inputs, outputs, weights, dropout, trace):  # type: ignore[no-untyped-def]
    """Fill the first rows of the trace."""
    n_hops, no_bias, dim = len(trace.q), np.zeros_like(weights.gate_bias), len(weights.gate)
    add_users_to_items(first, size, indices, inputs, trace.first_q)  # Eq. 7
    add_users_to_items(first, size, indices, outputs, trace.first_p)  # Eq. 8
    draw(dropout.q, 0, first, size, dropout.key, dropout.query_threshold)
    drop(size, trace.first_q, dropout.q, dropout.query_factor, trace.q[0])
    for h in range(n_hops):
        o = min(h, len(trace.p) - 1)
        if o == h:
            mask, output, rows = get_hop(dropout.p, h), trace.output[h], trace.output[h, :size]
            draw(mask, 1 + 3 * h, first, size, dropout.key, dropout.query_threshold)
            drop(size, trace.first_p, mask, dropout.query_factor, trace.p[h])
            np.dot(trace.p[h, :size], weights.d_query, rows)
            exponentials(rows, no_bias, 2)
            square_tanh(first, size, indices, output, outputs.context, trace.squares[h])
        query, key_mask, value_mask = trace.query[h, :size], get_hop(dropout.keys, h), get_hop(dropout.values, h)
        draw(key_mask, 2 + 3 * h, first, size, dropout.key, dropout.threshold)
        draw(value_mask, 3 + 3 * h, first, size, dropout.key, dropout.threshold)
        np.dot(trace.q[h, :size], weights.c_query, query)
        exponentials(query, no_bias, 2)
        find_attention(first, indices, query, inputs.context, key_mask, dropout.square_factor, trace.attention[h])
        attend(size, trace.attention[h], trace.squares[o], value_mask, dropout.square_factor, trace.e[h])
        if h + 1 < n_hops:
            gate = trace.gate[h, :size]
            np.dot(trace.q[h, :size], weights.gate, gate)
            exponentials(gate, weights.gate_bias, -1)
            update_query(gate, trace.q[h], trace.e[h], trace.q[h + 1])
    e = trace.e[n_hops - 1]
    for n in range(size):
        o = weights.output_bias[0]
        for i in range(dim):
            o += weights.output[i] * e[n, i]
        trace.scores[n] = -o  # Eq. 12 and 17


@compiled
def get_hop(mask, hop):  # type: ignore[no-untyped-def]
    """Return a hop's mask."""
    if mask is None:
        return None
    return mask[hop]


@compiled
def draw(mask, number, first, size, key, threshold):  # type: ignore[no-untyped-def]
    """Draw the mask of this number for the pairs of a block."""
    if mask is not None:
        draw_mask(key, number, first, threshold, mask[:size])


@compiled
def drop(size, x, mask, factor, result):  # type: ignore[no-untyped-def]
    """Apply dropout; without a mask, x and the result are the same array."""
    if mask is None:
        return
    zero, factor = x.dtype.type(0), x.dtype.type(factor)
    for n in range(size):
        for i in range(x.shape[1]):
            result[n, i] = factor * x[n, i] if mask[n, i] else zero


@compiled
def add_users_to_items(first, size, indices, memory, result):  # type: ignore[no-untyped-def]
    """Compute tanh(user + item) of each pair."""
    one, two, n_candidates = result.dtype.type(1), result.dtype.type(2), indices.item.shape[1]
    for n in range(size):
        b = (first + n) // n_candidates
        user, item = indices.user[b], indices.item[b, first + n - b * n_candidates]
        for i in range(result.shape[1]):
            result[n, i] = one - two / (one + memory.user[user, i] * memory.item[item, i])


@compiled
def square_tanh(first, size, indices, output, values, squares):  # type: ignore[no-untyped-def]
    """Compute the squares of Eq. 13."""
    one, two, n_candidates, dim = output.dtype.type(1), output.dtype.type(2), indices.item.shape[1], output.shape[1]
    for n in range(size):
        context = indices.context[(first + n) // n_candidates]
        for j in range(len(context)):
            row, start = context[j], j * dim
            if row >= 0:
                for i in range(dim):
                    t = one - two / (one + output[n, i] * values[row, i])
                    squares[n, start + i] = t * t


@compiled
def find_attention(first, indices, query, keys, mask, factor, attention):  # type: ignore[no-untyped-def]
    """Compute a of each pair (Eq. 9, 10 and 16)."""
    n_candidates, n_context, dim = indices.item.shape[1], attention.shape[1], query.shape[1]
    zero, one, two = query.dtype.type(0), query.dtype.type(1), query.dtype.type(2)
    bound, factor = query.dtype.type(86), query.dtype.type(factor)
    for n in range(len(query)):
        context, minimum = indices.context[(first + n) // n_candidates], query.dtype.type(np.inf)
        for j in range(n_context):
            row, z, start = context[j], zero, j * dim
            if row >= 0:
                for i in range(dim):
                    t = one - two / (one + query[n, i] * keys[row, i])
                    z += t * t if mask is None or mask[n, start + i] else zero
                minimum = min(minimum, z)
            attention[n, j] = z
        for j in range(n_context):
            y = (attention[n, j] - minimum) * factor  # at least 0, but on padding
            attention[n, j] = bound if y > bound else y
    flat = attention.reshape(-1)
    for n in range(len(query) * n_context):  # apart from the other loops, since it is vectorized
        flat[n] = exponential(-flat[n])
    for n in range(len(query)):
        context, total = indices.context[(first + n) // n_candidates], zero
        for j in range(n_context):
            total += attention[n, j] if context[j] >= 0 else zero
        for j in range(n_context):
            attention[n, j] = attention[n, j] / total if context[j] >= 0 else zero


@compiled
def attend(size, attention, squares, mask, factor, e):  # type: ignore[no-untyped-def]
    """Compute e of each pair (Eq. 13)."""
    zero, factor, dim = e.dtype.type(0), e.dtype.type(factor), e.shape[1]
    for n in range(size):
        for i in range(dim):
            e[n, i] = zero
        for j in range(attention.shape[1]):
            weight, start = attention[n, j] * factor, j * dim
            if weight != 0:
                for i in range(dim):
                    e[n, i] += weight * squares[n, start + i] if mask is None or mask[n, start + i] else zero


@compiled
def update_query(gate, q, e, result):  # type: ignore[no-untyped-def]
    """Compute q^(h+1), and the gate from e^−x (Eq. 14 and 15)."""
    one = gate.dtype.type(1)
    for n in range(gate.shape[0]):
        for i in range(gate.shape[1]):
            g = one / (one + gate[n, i])
            gate[n, i] = g
            result[n, i] = e[n, i] + g * (q[n, i] - e[n, i])
