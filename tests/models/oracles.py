"""SDP and SDM written out with loops, straight from the paper's equations, over the parameters of a built model.

Every W is put together whole and applied to a concatenation, and nothing is computed once that an equation computes
for every candidate, hop and context item. Autograd runs through it, so that gradients can be compared, too.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.sdm import SDM
from models.sdp import SDP


def whole(first: nn.Linear, second: nn.Linear) -> tuple[Tensor, Tensor]:
    """W [d, 2d] and b [d] of a layer that is stored in two halves."""
    return torch.cat([first.weight, second.weight], dim=1), second.bias


def sdp_score(model: SDP, user: int, candidate: int) -> Tensor:
    """Eq. 1-6."""
    w, b = whole(model.first_user, model.first_item)
    e = torch.cat([model.users.weight[user], model.items.weight[candidate]])
    e = torch.tanh(w @ e + b)
    for layer in model.further:
        assert isinstance(layer, nn.Linear)
        e = torch.tanh(layer.weight @ e + layer.bias)
    e = e * e
    return -(torch.dot(model.output.weight[0], e) + model.output.bias[0])


def sdm_score(model: SDM, user: int, context: list[int], candidate: int) -> tuple[Tensor, list[list[Tensor]]]:
    """Eq. 7-18: the score, and the attention of every hop on the context items (padding left out)."""
    (w_a, b_a), (w_b, b_b) = whole(model.a_user, model.a_item), whole(model.b_user, model.b_item)
    (w_c, b_c), (w_d, b_d) = whole(model.c_query, model.c_context), whole(model.d_query, model.d_context)
    padding = model.items_in.num_embeddings - 1
    items = [k for k in context if k != padding]
    keys = [model.items_in.weight[k] for k in items] or [torch.zeros_like(b_a)]  # an empty context: one zero embedding
    values = [model.items_out.weight[k] for k in items] or [torch.zeros_like(b_a)]

    q = torch.tanh(w_a @ torch.cat([model.users_in.weight[user], model.items_in.weight[candidate]]) + b_a)
    p = torch.tanh(w_b @ torch.cat([model.users_out.weight[user], model.items_out.weight[candidate]]) + b_b)
    attention = []
    for _ in range(model.hops):
        z = [torch.tanh(w_c @ torch.cat([q, key]) + b_c).square().sum() for key in keys]
        total = sum((torch.exp(-z_k) for z_k in z), start=torch.zeros_like(z[0]))
        a = [torch.exp(-z_k) / total for z_k in z]
        attention.append(a)
        e = torch.zeros_like(q)
        for a_k, value in zip(a, values, strict=True):
            e = e + a_k * torch.tanh(w_d @ torch.cat([p, value]) + b_d).square()
        g = torch.sigmoid(model.gate.weight @ q + model.gate.bias)
        q = (1 - g) * e + g * q
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
