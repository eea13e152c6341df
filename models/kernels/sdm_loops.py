"""Run SDM's hops block by block.

The result is scores, or the BPR loss and its gradients by rows and layers.
"""

from typing import NamedTuple

import numpy as np

from sdmr.harness.kernels import compiled
from sdmr.harness.training.losses import compute_bpr
from sdmr.models.kernels.functions import add_product, exponentials, sum_rows, take_rows
from sdmr.models.kernels.sdm_backward import backpropagate, create_sides
from sdmr.models.kernels.sdm_forward import BLOCK, Array, Memory, Weights, compute_hops, create_trace


class Layers(NamedTuple):
    """Hold the halves of W_a … W_d that read a memory, or their gradients."""

    user: Array  # [d, d]
    item: Array  # [d, d]
    item_bias: Array  # [d]
    context: Array  # [d, d]
    context_bias: Array  # [d]


class Rows(NamedTuple):
    """Hold the distinct rows that a batch reads from a memory, or their gradients."""

    user: Array  # [n_users, d]
    item: Array  # [n, d], the candidates first


@compiled
def train(indices, contexts, inputs, outputs, dropout, input_layers, output_layers, weights, n_hops, only_hardest):  # type: ignore[no-untyped-def]
    """Compute the loss, the gradients of the layers and weights, and those of the rows.

    Args:
        indices: Positions of users among `inputs.user`, of candidates among `inputs.item`, of context items among
            `contexts`.
        contexts: [m], the rows of `inputs.item` that are context items.
        inputs: The rows of the memory that q and the keys read.
        outputs: Those of the memory that p and the values read.
        dropout: What dropout depends on.
        input_layers: Of the memory.
        output_layers: Of the memory.
        weights: Those of the hops and of the output.
        n_hops: H.
        only_hardest: Whether only the hardest negative counts.
    """
    n_candidates, n_items, loss = indices.item.shape[1], indices.item.max() + 1, 0.0
    memories = project(inputs, input_layers, n_items, contexts), project(outputs, output_layers, n_items, contexts)
    turned = transpose(weights)
    grads = zeros_like_memory(memories[0]), zeros_like_memory(memories[1]), zeros_like_weights(weights)
    n_instances = max(1, BLOCK // n_candidates)
    trace = create_trace(n_hops, n_instances * n_candidates, indices.context.shape[1], weights, dropout)
    sides = create_sides(n_hops, n_instances * n_candidates, weights)
    pairs, is_active = np.empty(n_instances * n_candidates, np.int64), np.zeros(n_items, np.bool_)
    for start in range(0, len(indices.item), n_instances):
        first, size = start * n_candidates, min(n_instances, len(indices.item) - start) * n_candidates
        compute_hops(first, size, indices, memories[0], memories[1], turned, dropout, trace)
        block_loss, grad_scores = compute_bpr(trace.scores[:size].reshape(-1, n_candidates), only_hardest)
        loss += block_loss
        grad_scores, n_active = grad_scores.reshape(-1), 0
        for n in range(size):
            if grad_scores[n] != 0:  # NaN included
                pairs[n_active] = n
                is_active[indices.item[(first + n) // n_candidates, n % n_candidates]] = True
                n_active += 1
        backpropagate(
            pairs[:n_active],
            first,
            grad_scores,
            indices,
            memories[0],
            memories[1],
            weights,
            dropout,
            trace,
            sides,
            grads,
        )
    active = np.flatnonzero(is_active)
    users_in, items_in, layers_in = project_backward(inputs, input_layers, active, contexts, grads[0])
    users_out, items_out, layers_out = project_backward(outputs, output_layers, active, contexts, grads[1])
    return loss, (layers_in, layers_out, grads[2]), (users_in, items_in, users_out, items_out)


@compiled
def transpose(weights):  # type: ignore[no-untyped-def]
    """Transpose the matrices."""
    c_query, d_query, gate = weights.c_query.T.copy(), weights.d_query.T.copy(), weights.gate.T.copy()
    return Weights(c_query, d_query, gate, weights.gate_bias, weights.output, weights.output_bias)


@compiled
def zeros_like_memory(memory):  # type: ignore[no-untyped-def]
    """Return gradients of zero."""
    return Memory(np.zeros_like(memory.user), np.zeros_like(memory.item), np.zeros_like(memory.context))


@compiled
def zeros_like_weights(weights):  # type: ignore[no-untyped-def]
    """Return gradients of zero."""
    c_query, d_query, gate = (np.zeros_like(weights.gate), np.zeros_like(weights.gate), np.zeros_like(weights.gate))
    bias, output, output_bias = weights.gate_bias, weights.output, weights.output_bias
    return Weights(c_query, d_query, gate, np.zeros_like(bias), np.zeros_like(output), np.zeros_like(output_bias))


@compiled
def project(rows, layers, n_items, contexts):  # type: ignore[no-untyped-def]
    """Compute e^2x of the layers' summands x."""
    read, no_bias = np.empty((len(contexts), rows.item.shape[1]), rows.item.dtype), np.zeros_like(layers.item_bias)
    take_rows(rows.item, contexts, read)
    user, item = np.dot(rows.user, layers.user.T), np.dot(rows.item[:n_items], layers.item.T)
    context = np.dot(read, layers.context.T)
    exponentials(user, no_bias, 2)
    exponentials(item, layers.item_bias, 2)
    exponentials(context, layers.context_bias, 2)
    return Memory(user, item, context)


@compiled
def project_backward(rows, layers, active, contexts, grads):  # type: ignore[no-untyped-def]
    """Turn the gradients of the summands into those of the rows and of the layers."""
    grad_layers = zeros_like_layers(layers)
    users, items = np.dot(grads.user, layers.user), np.zeros_like(rows.item)
    add_product(grads.user, rows.user, np.empty_like(layers.user), grad_layers.user)
    add_rows_backward(
        rows.item, active, grads.item[active], layers.item, items, grad_layers.item, grad_layers.item_bias
    )
    add_rows_backward(
        rows.item, contexts, grads.context, layers.context, items, grad_layers.context, grad_layers.context_bias
    )
    return users, items, grad_layers


@compiled
def add_rows_backward(table, rows, gradient, weight, grad_table, grad_weight, grad_bias):  # type: ignore[no-untyped-def]
    """Add the gradients of a layer on some rows of a table."""
    x = np.empty_like(gradient)
    take_rows(table, rows, x)
    add_product(gradient, x, np.empty_like(weight), grad_weight)
    sum_rows(gradient, grad_bias)
    np.dot(gradient, weight, x)
    for n in range(len(rows)):
        for i in range(x.shape[1]):
            grad_table[rows[n], i] += x[n, i]


@compiled
def zeros_like_layers(layers):  # type: ignore[no-untyped-def]
    """Return gradients of zero."""
    user, item, context = np.zeros_like(layers.user), np.zeros_like(layers.item), np.zeros_like(layers.context)
    return Layers(user, item, np.zeros_like(layers.item_bias), context, np.zeros_like(layers.context_bias))


@compiled
def score(indices, inputs, outputs, weights, dropout, n_hops, has_trace):  # type: ignore[no-untyped-def]
    """Return the scores [B · C], e of the last hop and the attention.

    Without has_trace, e [B · C, d] and the attention [B · C, H, s] are empty.
    """
    n, n_context, dim, dtype = indices.item.size, indices.context.shape[1], len(weights.gate), weights.gate.dtype
    trace, turned, n_kept = create_trace(n_hops, BLOCK, n_context, weights, dropout), transpose(weights), n * has_trace
    scores, e, attention = (
        np.empty(n, dtype),
        np.empty((n_kept, dim), dtype),
        np.empty((n_kept, n_hops, n_context), dtype),
    )
    for first in range(0, n, BLOCK):
        size = min(BLOCK, n - first)
        compute_hops(first, size, indices, inputs, outputs, turned, dropout, trace)
        scores[first : first + size] = trace.scores[:size]
        if has_trace:
            e[first : first + size] = trace.e[n_hops - 1, :size]
            for h in range(n_hops):
                attention[first : first + size, h] = trace.attention[h, :size]
    return scores, e, attention
