"""Compute the loss of Caser and all its gradients in one function, on a CPU.

Matrix products compute the responses of the filters; compiled loops do the rest. The maximum over time passes the
gradient to one window a filter, and ReLU and dropout to few filters: loops over those are faster than products.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sdmr.harness.kernels import compiled


def compute_gradients(
    compute_loss: Callable[[NDArray[Any]], tuple[float, NDArray[Any]]],
    mask: Tensor,
    factor: float,
    image: Tensor,
    users: Tensor,
    candidates: Tensor,
    biases: Tensor,
    layers: Sequence[tuple[Tensor, Tensor]],
) -> tuple[float, list[Tensor], list[tuple[Tensor, Tensor]]]:
    """Compute Caser's loss, and its gradients with respect to rows of tables and to layers.

    Args:
        compute_loss: Returns the loss of scores [B, C] and its gradient.
        mask: [B, n] of dropout on [õ; o], filter after filter.
        factor: What the entries that are kept are multiplied by.
        image: [B, L, d] the items of the context.
        users: [B, d] rows of P.
        candidates: [B, C, 2d] rows of W'.
        biases: [B, C, 1] of b'.
        layers: Weight and bias of the vertical filters, of W, and of the horizontal filters of height 1, 2 … L.

    Returns:
        The loss, the gradients of image, users, candidates and biases, and those of the layers.
    """
    (vertical, vertical_bias), (hidden, hidden_bias), *horizontal = layers
    filters, filter_biases = zip(*horizontal, strict=True)
    rows, dim = image.flatten(1), image.shape[2]
    windows = [(h, first) for h in range(len(filters)) for first in range(len(filters) - h)]
    responses = image.new_empty(len(windows), len(image), len(filters[0]))
    for (h, first), response in zip(windows, responses, strict=True):
        torch.mm(rows[:, first * dim : (first + h + 1) * dim], filters[h].T, out=response)
    hidden = _swap(hidden, (dim, len(vertical)))
    scale = image.numpy().dtype.type(factor)
    convolved, starts = _run(
        _convolve, image, responses, torch.stack(filter_biases), vertical, vertical_bias, mask, scale
    )
    z = torch.addmm(hidden_bias, convolved, hidden.T).relu_()
    x = torch.cat([z, users], dim=1)  # [B, 2d]

    loss, grad_scores = compute_loss(_score(x.numpy(), candidates.numpy(), biases.numpy()))
    grad_x, grad_candidates = _run(_score_backward, grad_scores, x, candidates)
    grad_z = torch.where(z > 0, grad_x[:, :dim], 0)
    weights = torch.cat([weight.flatten() for weight in filters])
    grad_image, grad_vertical, grad_vertical_bias, grad_weights, grad_filter_biases = _run(
        _convolve_backward, grad_z @ hidden, convolved, image, starts, mask, vertical, weights, scale
    )
    grad_filters = [
        grad.view_as(layer)
        for grad, layer in zip(grad_weights.split([layer.numel() for layer in filters]), filters, strict=True)
    ]
    grad_hidden = _swap(grad_z.T @ convolved, (len(vertical), dim)), grad_z.sum(0)
    grad_layers = [
        (grad_vertical, grad_vertical_bias),
        grad_hidden,
        *zip(grad_filters, grad_filter_biases, strict=True),
    ]
    return loss, [grad_image, grad_x[:, dim:], grad_candidates, torch.from_numpy(grad_scores)[..., None]], grad_layers


def _swap(hidden: Tensor, shape: tuple[int, int]) -> Tensor:
    """Transpose the columns of W for õ, [d, n_v] or [n_v, d]."""
    n = shape[0] * shape[1]
    return torch.cat([hidden[:, :n].unflatten(1, shape).transpose(1, 2).flatten(1), hidden[:, n:]], dim=1)


def _run(loop: Callable[..., tuple[NDArray[Any], ...]], *inputs: Any) -> list[Tensor]:
    arrays = (each.contiguous().numpy() if isinstance(each, Tensor) else each for each in inputs)
    return [torch.from_numpy(output) for output in loop(*arrays)]


@compiled
def _dot(x, y):  # type: ignore[no-untyped-def]
    total = x.dtype.type(0)
    for i in range(len(x)):
        total += x[i] * y[i]
    return total


@compiled
def _add(total, factor, x):  # type: ignore[no-untyped-def]
    for i in range(len(total)):
        total[i] += factor * x[i]


@compiled
def _score(x, candidates, biases):  # type: ignore[no-untyped-def]
    """Compute Eq. 11, [B, C]."""
    n, n_candidates, _ = candidates.shape
    scores = np.empty((n, n_candidates), x.dtype)
    for b in range(n):
        for c in range(n_candidates):
            scores[b, c] = _dot(x[b], candidates[b, c]) + biases[b, c, 0]
    return scores


@compiled
def _score_backward(grad_scores, x, candidates):  # type: ignore[no-untyped-def]
    """Compute the gradients of `_score` with respect to x and the candidates."""
    n, n_candidates, size = candidates.shape
    grad_x, grad_candidates = np.zeros_like(x), np.empty_like(candidates)
    for b in range(n):
        for c in range(n_candidates):
            g = grad_scores[b, c]
            _add(grad_x[b], g, candidates[b, c])
            for i in range(size):
                grad_candidates[b, c, i] = g * x[b, i]
    return grad_x, grad_candidates


@compiled
def _convolve(image, responses, biases, vertical, vertical_bias, mask, factor):  # type: ignore[no-untyped-def]
    """Compute dropout([õ; o]) [B, n] and the best start of each filter [B, L, n_h].

    Args:
        responses: [windows, B, n_h], by height, then by start; without bias.
        biases: [L, n_h].
    """
    n, length, dim = image.shape
    n_horizontal, zero = responses.shape[2], image.dtype.type(0)
    convolved = np.empty((n, len(vertical) * dim + biases.size), image.dtype)
    starts, highest = np.zeros((n, *biases.shape), np.int32), np.empty(n_horizontal, image.dtype)
    for b in range(n):
        values, k = convolved[b], 0
        for f in range(len(vertical)):
            values[k : k + dim] = vertical_bias[f]
            for r in range(length):
                _add(values[k : k + dim], vertical[f, r], image[b, r])
            k += dim
        window = 0
        for h in range(length):
            highest[:] = -np.inf
            for first in range(length - h):
                for f in range(n_horizontal):
                    response = responses[window, b, f]
                    is_higher = response > highest[f]
                    highest[f] = response if is_higher else highest[f]
                    starts[b, h, f] = first if is_higher else starts[b, h, f]
                window += 1
            for f in range(n_horizontal):
                values[k + f] = max(highest[f] + biases[h, f], zero)
            k += n_horizontal
        for i in range(len(values)):
            values[i] *= factor if mask[b, i] else zero
    return convolved, starts


@compiled
def _convolve_backward(  # type: ignore[no-untyped-def]
    grad_convolved, convolved, image, starts, mask, vertical, filters, factor
):
    """Compute the gradients of `_convolve` with respect to image, weights and biases.

    Args:
        filters: The weights of all horizontal filters, one after the other.
    """
    n, length, dim = image.shape
    n_vertical, zero = len(vertical), image.dtype.type(0)
    grad_image = np.zeros((n, length * dim), image.dtype)
    grad_vertical, grad_vertical_bias = np.zeros_like(vertical), np.zeros(n_vertical, image.dtype)
    grad_filters, grad_biases = np.zeros_like(filters), np.zeros(starts.shape[1:], image.dtype)
    g = np.empty(grad_convolved.shape[1], image.dtype)
    for b in range(n):
        for i in range(len(g)):
            g[i] = grad_convolved[b, i] * (factor if mask[b, i] else zero)
        k, row, grad_row = 0, image[b].reshape(-1), grad_image[b]
        for f in range(n_vertical):
            column = g[k : k + dim]
            grad_vertical_bias[f] += column.sum()
            for r in range(length):
                grad_vertical[f, r] += _dot(column, image[b, r])
                _add(grad_row[r * dim : (r + 1) * dim], vertical[f, r], column)
            k += dim
        weight = 0  # where the weights of the filter begin
        for h in range(length):
            size = (h + 1) * dim
            for f in range(starts.shape[2]):
                if convolved[b, k] != 0:  # else ReLU or dropout stops the gradient
                    first = starts[b, h, f] * dim
                    grad_biases[h, f] += g[k]
                    _add(grad_filters[weight : weight + size], g[k], row[first : first + size])
                    _add(grad_row[first : first + size], g[k], filters[weight : weight + size])
                weight, k = weight + size, k + 1
    return grad_image.reshape(image.shape), grad_vertical, grad_vertical_bias, grad_filters, grad_biases
