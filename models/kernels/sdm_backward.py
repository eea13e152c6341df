"""Compute the gradients of SDM's hops on the CPU in compiled functions.

See `sdm_forward` for the terms.
Only pairs whose score has a gradient take part: the *active* ones. A BPR loss on the hardest of four negatives leaves
two of five. K is their number in a block; gradients by pair are in their order. `grad_x` is the gradient of the loss
with respect to x.
"""

from typing import NamedTuple

import numpy as np

from sdmr.harness.kernels import compiled
from sdmr.models.kernels.functions import add, add_product, sum_rows, take_rows
from sdmr.models.kernels.sdm_forward import Array, get_hop


class Sides(NamedTuple):
    """Hold the gradients by pair of a block, and working memory."""

    q: Array  # [P, d]
    p: Array  # [P, d]
    e: Array  # [P, d]
    output: Array  # [P, d], as the next
    step: Array
    query: Array  # [H · P, d], as the next three
    gate: Array
    rows: Array
    product: Array  # [d, d]


@compiled
def create_sides(n_hops, n_pairs, weights):  # type: ignore[no-untyped-def]
    """Make room for a block."""
    shape, rows, dtype = (n_pairs, len(weights.gate)), (n_hops * n_pairs, len(weights.gate)), weights.gate.dtype
    q, p, e, output, step = (
        np.empty(shape, dtype),
        np.empty(shape, dtype),
        np.empty(shape, dtype),
        np.empty(shape, dtype),
        np.empty(shape, dtype),
    )
    query, gate, taken = np.empty(rows, dtype), np.empty(rows, dtype), np.empty(rows, dtype)
    return Sides(q, p, e, output, step, query, gate, taken, np.empty_like(weights.gate))


@compiled
def backpropagate(pairs, first, grad_scores, indices, inputs, outputs, weights, dropout, trace, sides, grads):  # type: ignore[no-untyped-def]
    """Add a block's gradients to `grads`: those of both memories' summands, and of the weights.

    Args:
        pairs: [K], the active pairs, from 0.
        first: The block's first pair.
        grad_scores: [P].
        indices: The rows that each instance reads.
        inputs: The memory that q and the keys read.
        outputs: The memory that p and the values read.
        weights: The weights of the hops; not transposed.
        dropout: What dropout has kept.
        trace: The hops.
        sides: Working memory.
        grads: The gradients of (inputs, outputs, weights).
    """
    grad_inputs, grad_outputs, grad_weights = grads
    n_hops, size, product = len(trace.q), len(pairs), sides.product
    q, p, e, output, step = sides.q[:size], sides.p[:size], sides.e[:size], sides.output[:size], sides.step[:size]
    q[:], p[:], output[:] = 0, 0, 0
    output_backward(pairs, grad_scores, trace.e[n_hops - 1], weights.output, grad_weights.output, e)
    for h in range(n_hops - 1, -1, -1):
        query = sides.query[h * size : (h + 1) * size]
        take_rows(trace.q[h], pairs, sides.rows[h * size : (h + 1) * size])
        if h + 1 < n_hops:
            gate = sides.gate[h * size : (h + 1) * size]
            update_query_backward(pairs, trace.q[h], trace.gate[h], trace.e[h], q, e, gate)
            np.dot(gate, weights.gate, step)
            add(step, q)
        o = min(h, len(trace.p) - 1)
        key_mask, value_mask = get_hop(dropout.keys, h), get_hop(dropout.values, h)
        value_side = trace.output[o], outputs.context, output, grad_outputs.context
        key_side = trace.query[h], inputs.context, query, grad_inputs.context
        shared = pairs, first, indices, trace.attention[h], dropout.square_factor, e
        attend_backward(shared, value_side, value_mask, key_side, key_mask)
        np.dot(query, weights.c_query, step)
        add(step, q)
        if o == h:  # otherwise the hop before has the same output query
            np.dot(output, weights.d_query, step)
            drop_backward(pairs, step, get_hop(dropout.p, h), dropout.query_factor)
            add(step, p)
            take_rows(trace.p[o], pairs, step)
            add_product(output, step, product, grad_weights.d_query)
            output[:] = 0
    drop_backward(pairs, q, dropout.q, dropout.query_factor)
    end, gated = n_hops * size, (n_hops - 1) * size
    add_product(sides.query[:end], sides.rows[:end], product, grad_weights.c_query)
    if gated:
        add_product(sides.gate[:gated], sides.rows[:gated], product, grad_weights.gate)
        sum_rows(sides.gate[:gated], grad_weights.gate_bias)
    add_users_to_items_backward(pairs, first, indices, trace.first_q, q, grad_inputs)
    add_users_to_items_backward(pairs, first, indices, trace.first_p, p, grad_outputs)


@compiled
def output_backward(pairs, grad_scores, e, weight, grad_weight, grad_e):  # type: ignore[no-untyped-def]
    """Compute grad_e, and add to the gradient of w_e (Eq. 12 and 17)."""
    for k in range(len(pairs)):
        n = pairs[k]
        for i in range(len(weight)):
            grad_weight[i] -= grad_scores[n] * e[n, i]
            grad_e[k, i] = -grad_scores[n] * weight[i]


@compiled
def update_query_backward(pairs, q, gate, e, grad_q, grad_e, grad_gate):  # type: ignore[no-untyped-def]
    """Compute the gradients of Eq. 14 and 15.

    grad_q holds that of q^(h+1) before, and that of q^h after.
    """
    one = q.dtype.type(1)
    for k in range(len(pairs)):
        n = pairs[k]
        for i in range(q.shape[1]):
            g = gate[n, i]
            grad_gate[k, i] = grad_q[k, i] * (q[n, i] - e[n, i]) * (g * (one - g))
        for i in range(q.shape[1]):  # Numba vectorizes no loop over so many arrays at once
            g = gate[n, i]
            grad_e[k, i] = grad_q[k, i] * (one - g)
            grad_q[k, i] *= g


@compiled
def attend_backward(shared, value_side, value_mask, key_side, key_mask):  # type: ignore[no-untyped-def]
    """Compute grad_query, and add to grad_keys, grad_output and grad_values (Eq. 9, 10, 13, 16).

    With t = tanh(x): d t²/dx = 2 (t − t³). With a = softmax(−z): grad_z_j = a_j (Σ_k a_k grad_a_k − grad_a_j).
    """
    pairs, first, indices, attention, factor, grad_e = shared
    output, values, grad_output, grad_values = value_side
    query, keys, grad_query, grad_keys = key_side
    n_candidates, n_context, dim = indices.item.shape[1], indices.context.shape[1], query.shape[1]
    zero, one, two = query.dtype.type(0), query.dtype.type(1), query.dtype.type(2)
    grad_attention, factor = np.zeros(n_context, query.dtype), query.dtype.type(factor)
    for k in range(len(pairs)):
        n, mean = pairs[k], zero
        context = indices.context[(first + n) // n_candidates]
        for i in range(dim):
            grad_query[k, i] = zero
        for j in range(n_context):
            a, row, start = attention[n, j], context[j], j * dim
            if a == 0:
                continue
            scale, grad_a = two * a * factor, zero
            for i in range(dim):
                t = one - two / (one + output[n, i] * values[row, i])
                grad = grad_e[k, i] if value_mask is None or value_mask[n, start + i] else zero
                grad_a += grad * (t * t)
                g = scale * grad * (t - t * t * t)
                grad_output[k, i] += g
                grad_values[row, i] += g
            grad_attention[j] = grad_a * factor
            mean += a * grad_attention[j]
        for j in range(n_context):
            a, row, start = attention[n, j], context[j], j * dim
            if a == 0:
                continue
            scale = two * a * (mean - grad_attention[j]) * factor
            for i in range(dim):
                t = one - two / (one + query[n, i] * keys[row, i])
                g = scale * (t - t * t * t) if key_mask is None or key_mask[n, start + i] else zero
                grad_query[k, i] += g
                grad_keys[row, i] += g


@compiled
def drop_backward(pairs, gradient, mask, factor):  # type: ignore[no-untyped-def]
    """Turn the gradient after dropout into that before."""
    if mask is None:
        return
    zero, factor = gradient.dtype.type(0), gradient.dtype.type(factor)
    for k in range(len(pairs)):
        for i in range(gradient.shape[1]):
            gradient[k, i] = factor * gradient[k, i] if mask[pairs[k], i] else zero


@compiled
def add_users_to_items_backward(pairs, first, indices, tanh, grad_tanh, grads):  # type: ignore[no-untyped-def]
    """Add to the gradients of the users' and the items' summands (Eq. 7 or 8); grad_tanh is overwritten."""
    one, n_candidates = tanh.dtype.type(1), indices.item.shape[1]
    for k in range(len(pairs)):
        n = pairs[k]
        b = (first + n) // n_candidates
        user, item = indices.user[b], indices.item[b, first + n - b * n_candidates]
        for i in range(tanh.shape[1]):
            grad_tanh[k, i] *= one - tanh[n, i] * tanh[n, i]
        for i in range(tanh.shape[1]):
            grads.user[user, i] += grad_tanh[k, i]
            grads.item[item, i] += grad_tanh[k, i]
