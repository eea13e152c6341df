"""Loops over the entries of SDP's tensors, compiled by Numba.

`user` and `item` hold e^2x of the summands of a tanh (see `autograd`). `grad_x` is the gradient of the loss with
respect to x. The loops run over indices, not over rows: Numba vectorizes only these.
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
