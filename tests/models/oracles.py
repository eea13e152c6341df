"""SDP and SDM written out with loops, straight from the paper's equations, over the parameters of a built model.

Every W is put together whole and applied to a concatenation, and nothing is computed once that an equation computes
for every candidate, hop and context item. Autograd runs through it, so that gradients can be compared, too.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from sdmr.models.sdm import SDM
from sdmr.models.sdp import SDP


def whole(first: nn.Linear, second: nn.Linear) -> tuple[Tensor, Tensor]:
    """W [d, 2d] and b [d] of a layer that is stored in two halves."""
    return torch.cat([first.weight, second.weight], dim=1), second.bias


Drop = Callable[[Tensor], Tensor]


def nothing(values: Tensor) -> Tensor:
    return values


def sdp_score(model: SDP, user: int, candidate: int, distance: str = "square", drop: Drop = nothing) -> Tensor:
    """Eq. 1-6; |·| in place of square(·), and dropout after the first layer, as the released code has them."""
    w, b = whole(model.first_user, model.first_item)
    e = torch.cat([model.users.weight[user], model.items.weight[candidate]])
    e = drop(torch.tanh(w @ e + b))
    for layer in model.further:
        assert isinstance(layer, nn.Linear)
        e = torch.tanh(layer.weight @ e + layer.bias)
    e = e * e if distance == "square" else e.abs()
    return -(torch.dot(model.output.weight[0], e) + model.output.bias[0])


def sdm_score(
    model: SDM,
    user: int,
    context: list[int],
    candidate: int,
    before_sum: str = "nothing",
    mixed: str = "distance",
    padding_is: str = "excluded",
    drop_query: Drop = nothing,
    drop: Drop = nothing,
) -> tuple[Tensor, list[list[Tensor]]]:
    """Eq. 7-18: the score, and the attention of every hop on the context items (padding left out, unless scaled)."""
    (w_a, b_a), (w_b, b_b) = whole(model.a_user, model.a_item), whole(model.b_user, model.b_item)
    (w_c, b_c), (w_d, b_d) = whole(model.c_query, model.c_context), whole(model.d_query, model.d_context)
    padding = model.items_in.num_embeddings - 1
    items = [k for k in context if k != padding or padding_is == "scaled"]
    zero = torch.zeros_like(b_a)  # of the padding, and of an empty context
    keys = [zero if k == padding else model.items_in.weight[k] for k in items] or [zero]
    values = [zero if k == padding else model.items_out.weight[k] for k in items] or [zero]

    q = torch.tanh(w_a @ torch.cat([model.users_in.weight[user], model.items_in.weight[candidate]]) + b_a)
    p = torch.tanh(w_b @ torch.cat([model.users_out.weight[user], model.items_out.weight[candidate]]) + b_b)
    q = drop_query(q)
    attention = []
    for _ in range(model.hops):
        z = [drop(torch.tanh(w_c @ torch.cat([q, key]) + b_c)).square().sum() for key in keys]
        z = [z_k * 65_535 if k == padding else z_k for k, z_k in zip(items or [-1], z, strict=True)]
        nearest = min(z)  # for float64's range; it cancels
        total = sum((torch.exp(nearest - z_k) for z_k in z), start=torch.zeros_like(z[0]))
        a = [torch.exp(nearest - z_k) / total for z_k in z]
        attention.append(a)
        e = torch.zeros_like(q)
        for a_k, value in zip(a, values, strict=True):
            each = a_k * drop(torch.tanh(w_d @ torch.cat([drop_query(p), value]) + b_d)).square()
            if before_sum == "layer":
                each = torch.relu(model.layer.weight @ each + model.layer.bias)
            e = e + each
        if mixed == "distance":
            g = torch.sigmoid(model.gate.weight @ q + model.gate.bias)
            q = (1 - g) * e + g * q
        else:
            o = -e
            g = torch.sigmoid(model.gate.weight @ o + model.gate.bias)
            q = (1 - g) * q + g * o
    return -(torch.dot(model.output.weight[0], e) + model.output.bias[0]), attention


def scatter(model: nn.Module, seed: int) -> None:
    """Parameters far from their start: biases, gates and attention all matter. Padding rows stay zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.6)
        for module in model.modules():
            if isinstance(module, nn.Embedding) and module.padding_idx is not None:
                module.weight[module.padding_idx] = 0


def assert_same_gradients(model: nn.Module, oracle: nn.Module, atol: float) -> None:
    """Every parameter of the two has the same gradient, none or zero alike; tables may hold theirs sparsely."""
    others = dict(oracle.named_parameters())
    for name, parameter in model.named_parameters():
        first, second = (
            torch.zeros(p.shape, dtype=p.dtype) if p.grad is None else p.grad.to_dense() if p.grad.is_sparse else p.grad
            for p in (parameter, others[name])
        )
        difference = (first.double() - second.double()).abs().max().item()
        assert difference <= atol, f"the gradients of {name} differ by {difference}"
