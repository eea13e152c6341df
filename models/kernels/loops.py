"""Loops over the entries of SDP's and SDM's tensors, compiled by Numba.

`user`, `item`, `query`, `output`, `keys` and `values` hold e^2x of the summands of a tanh (see `autograd`), except in
`tanh_of_sums_backward`. `grad_x` is the gradient of the loss with respect to x. The loops run over indices, not over
rows: Numba vectorizes only these.
"""

import numpy as np

from sdmr.harness.kernels import compiled


@compiled
def distances(user, item_index, item, weight):  # type: ignore[no-untyped-def]
    """Compute Σ_i weight_i tanh²(user_i + item_i) for each candidate, [B, C]."""
    n, n_candidates = item_index.shape
    result = np.empty((n, n_candidates), item.dtype)
    one, two = item.dtype.type(1), item.dtype.type(2)
    for b in range(n):
        for c in range(n_candidates):
            row, total = item_index[b, c], item.dtype.type(0)
            for i in range(len(weight)):
                t = one - two / (one + user[b, i] * item[row, i])
                total += weight[i] * (t * t)
            result[b, c] = total
    return (result,)


@compiled
def distances_backward(user, item_index, gradient, item, weight):  # type: ignore[no-untyped-def]
    """Compute the gradients of `distances` with respect to user, item and weight."""
    grad_user, grad_item, grad_weight = np.zeros_like(user), np.zeros_like(item), np.zeros_like(weight)
    one, two = item.dtype.type(1), item.dtype.type(2)
    for b in range(item_index.shape[0]):
        for c in range(item_index.shape[1]):
            row, grad_distance = item_index[b, c], gradient[b, c]
            if grad_distance == 0:
                continue
            factor = grad_distance + grad_distance
            for i in range(len(weight)):
                t = one - two / (one + user[b, i] * item[row, i])
                grad_weight[i] += grad_distance * (t * t)
                g = factor * weight[i] * (t - t * t * t)
                grad_item[row, i] += g
                grad_user[b, i] += g
    return grad_user, grad_item, grad_weight


@compiled
def tanh_of_sums(user, item_index, item):  # type: ignore[no-untyped-def]
    """Compute tanh(user + item) for each candidate, [B, C, d]."""
    n, n_candidates = item_index.shape
    result = np.empty((n, n_candidates, user.shape[1]), user.dtype)
    one, two = user.dtype.type(1), user.dtype.type(2)
    for b in range(n):
        for c in range(n_candidates):
            row = item_index[b, c]
            for i in range(user.shape[1]):
                result[b, c, i] = one - two / (one + user[b, i] * item[row, i])
    return (result,)


@compiled
def tanh_of_sums_backward(result, item_index, active, grad_result, item):  # type: ignore[no-untyped-def]
    """Compute the gradients of `tanh_of_sums` with respect to user and item, from the active candidates."""
    grad_user, grad_item = np.zeros((len(result), result.shape[2]), result.dtype), np.zeros_like(item)
    one = result.dtype.type(1)
    for b in range(active.shape[0]):
        for k in range(active.shape[1]):
            c = active[b, k]
            row = item_index[b, c]
            for i in range(result.shape[2]):
                t = result[b, c, i]
                g = grad_result[b, k, i] * (one - t * t)
                grad_user[b, i] += g
                grad_item[row, i] += g
    return grad_user, grad_item


@compiled
def attend(query, output, keys, values, is_padding):  # type: ignore[no-untyped-def]
    """Compute e [B, C, d] and the attention [B, C, s] of one hop."""
    n, n_candidates, dim = query.shape
    n_context = keys.shape[1]
    e, attention = np.zeros_like(query), np.zeros((n, n_candidates, n_context), query.dtype)
    one, two = query.dtype.type(1), query.dtype.type(2)
    for b in range(n):
        for c in range(n_candidates):
            a = attention[b, c]
            smallest_z = a.dtype.type(np.inf)
            for j in range(n_context):
                if is_padding[b, j]:
                    continue
                z = a.dtype.type(0)
                for i in range(dim):
                    t = one - two / (one + query[b, c, i] * keys[b, j, i])
                    z += t * t
                a[j] = z
                smallest_z = min(smallest_z, z)
            total = a.dtype.type(0)
            for j in range(n_context):
                if not is_padding[b, j]:
                    a[j] = np.exp(smallest_z - a[j])
                    total += a[j]
            for j in range(n_context):
                if is_padding[b, j]:
                    continue
                a[j] /= total
                weight = a[j]
                for i in range(dim):
                    t = one - two / (one + output[b, c, i] * values[b, j, i])
                    e[b, c, i] += weight * (t * t)
    return e, attention


@compiled
def attend_backward(  # type: ignore[no-untyped-def]
    query, output, keys, values, is_padding, attention, active, grad_e, grad_output, grad_keys, grad_values
):
    """Compute the query's gradient, and add to those of output, keys and values.

    With t = tanh(x): d t²/dx = 2 (t − t³). With a = softmax(−z): grad_z_j = a_j (Σ_k a_k grad_a_k − grad_a_j).
    """
    n, n_active, dim = grad_e.shape
    n_context = keys.shape[1]
    grad_query = np.zeros_like(grad_e)
    grad_attention, one, two = np.zeros(n_context, query.dtype), query.dtype.type(1), query.dtype.type(2)
    for b in range(n):
        for k in range(n_active):
            c = active[b, k]
            mean = grad_attention.dtype.type(0)
            for j in range(n_context):
                if is_padding[b, j]:
                    continue
                a = attention[b, c, j]
                factor = a + a
                grad_a = grad_attention.dtype.type(0)
                for i in range(dim):
                    t = one - two / (one + output[b, c, i] * values[b, j, i])
                    grad_a += grad_e[b, k, i] * (t * t)
                    g = factor * grad_e[b, k, i] * (t - t * t * t)
                    grad_output[b, k, i] += g
                    grad_values[b, j, i] += g
                grad_attention[j] = grad_a
                mean += a * grad_a
            for j in range(n_context):
                if is_padding[b, j]:
                    continue
                grad_z = attention[b, c, j] * (mean - grad_attention[j])
                factor = grad_z + grad_z
                for i in range(dim):
                    t = one - two / (one + query[b, c, i] * keys[b, j, i])
                    g = factor * (t - t * t * t)
                    grad_query[b, k, i] += g
                    grad_keys[b, j, i] += g
    return (grad_query,)


@compiled
def gate_backward(q, g, e, active, grad_next_q):  # type: ignore[no-untyped-def]
    """Compute the gradients of Eq. 15 with respect to the gate's argument, q and e."""
    grad_gate, grad_q, grad_e = np.empty_like(grad_next_q), np.empty_like(grad_next_q), np.empty_like(grad_next_q)
    for b in range(grad_next_q.shape[0]):
        for k in range(grad_next_q.shape[1]):
            c = active[b, k]
            for i in range(grad_next_q.shape[2]):
                grad_q[b, k, i] = grad_next_q[b, k, i] * g[b, c, i]
                grad_e[b, k, i] = grad_next_q[b, k, i] - grad_q[b, k, i]
                grad_gate[b, k, i] = grad_e[b, k, i] * g[b, c, i] * (q[b, c, i] - e[b, c, i])
    return grad_gate, grad_q, grad_e
