"""Score by loops, straight from the equations of SDP and SDM.

Every W is applied to a concatenation, and everything is computed anew for every candidate, hop and context item.
Autograd runs through the loops, so that tests can compare gradients, too.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from sdmr.harness.training.layers import Dropout
from sdmr.models.sdm import SDM
from sdmr.models.sdp import SDP
from tests.oracles.batched import join_halves

# Instances for SDM: contexts of full length, short, of one item, empty, and with an item twice.
N_ITEMS = 9
USERS = torch.tensor([4, 0, 4, 2, 1])
CONTEXTS = torch.tensor(
    [
        [1, 0, 5, 8],
        [N_ITEMS, N_ITEMS, 3, 6],
        [N_ITEMS, N_ITEMS, N_ITEMS, 2],
        [N_ITEMS, N_ITEMS, N_ITEMS, N_ITEMS],  # empty
        [7, 7, 2, 7],  # an item twice, and a candidate in its own context
    ]
)
CANDIDATES = torch.tensor([[1, 6, 2], [3, 0, 1], [6, 6, 0], [5, 8, 4], [2, 7, 0]])

Drop = Callable[[Tensor], Tensor]


def keep(values: Tensor) -> Tensor:
    return values


def sdp_score(model: SDP, user: int, candidate: int, distance: str = "square", drop: Drop = keep) -> Tensor:
    """Compute Eq. 1-6, if asked with |·| for square(·) and dropout after the first layer, as in the released code."""
    w, b = join_halves(model.first_user, model.first_item)
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
    value_layer: str = "nothing",
    gate_update: str = "distance",
    padding_choice: str = "excluded",
    drop_query: Drop = keep,
    drop: Drop = keep,
) -> tuple[Tensor, list[list[Tensor]]]:
    """Compute Eq. 7-18: the score, and every hop's attention to the context items.

    Padding is left out, unless it is scaled.
    """
    (w_a, b_a), (w_b, b_b) = join_halves(model.a_user, model.a_item), join_halves(model.b_user, model.b_item)
    (w_c, b_c), (w_d, b_d) = join_halves(model.c_query, model.c_context), join_halves(model.d_query, model.d_context)
    padding = model.items_in.num_embeddings - 1
    items = [k for k in context if k != padding or padding_choice == "scaled"]
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
            summand = a_k * drop(torch.tanh(w_d @ torch.cat([drop_query(p), value]) + b_d)).square()
            if value_layer == "layer":
                summand = torch.relu(model.layer.weight @ summand + model.layer.bias)
            e = e + summand
        if gate_update == "distance":
            g = torch.sigmoid(model.gate.weight @ q + model.gate.bias)
            q = (1 - g) * e + g * q
        else:
            o = -e
            g = torch.sigmoid(model.gate.weight @ o + model.gate.bias)
            q = (1 - g) * q + g * o
    return -(torch.dot(model.output.weight[0], e) + model.output.bias[0]), attention


def sdm_scores(model: SDM, **choices: Any) -> tuple[Tensor, list[list[list[list[Tensor]]]]]:
    """Compute the scores [B, C] and the attention of the instances above.

    The attention is by instance, candidate, hop and real context item.
    """
    scores, attention = [], []
    for user, context, candidates in zip(USERS.tolist(), CONTEXTS.tolist(), CANDIDATES.tolist(), strict=True):
        row = [sdm_score(model, user, context, candidate, **choices) for candidate in candidates]
        scores.append(torch.stack([score for score, _ in row]))
        attention.append([a for _, a in row])
    return torch.stack(scores), attention


def build_sdm(model: SDM, dtype: torch.dtype = torch.float64) -> SDM:
    """Build a model for the instances above, its parameters far from their start."""
    model.build(n_users=5, n_items=N_ITEMS)
    model.to(dtype)
    scatter(model, seed=model.hops)
    return model


class Scaled(Dropout):
    """Multiply every value, so that the effect of dropout is known."""

    def __init__(self, factor: float) -> None:
        super().__init__(0.5, "on")
        self.factor = factor

    def forward(self, values: Tensor) -> Tensor:
        return values * self.factor


def scatter(model: nn.Module, seed: int) -> None:
    """Set parameters far from their start, so that biases, gates and attention matter.

    Padding rows stay zero.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.6)
        for module in model.modules():
            if isinstance(module, nn.Embedding) and module.padding_idx is not None:
                module.weight[module.padding_idx] = 0


def assert_same_gradients(model: nn.Module, oracle: nn.Module, atol: float) -> None:
    """Assert that every parameter of two models has the same gradient.

    None and zero are alike. Tables may hold theirs sparsely.
    """
    others = dict(oracle.named_parameters())
    for name, parameter in model.named_parameters():
        first, second = (
            torch.zeros(p.shape, dtype=p.dtype) if p.grad is None else p.grad.to_dense() if p.grad.is_sparse else p.grad
            for p in (parameter, others[name])
        )
        difference = (first.double() - second.double()).abs().max().item()
        assert difference <= atol, f"the gradients of {name} differ by {difference}"


class Halved(Dropout):
    """Halve every value, so that the effect of dropout is known."""

    def forward(self, values: Tensor) -> Tensor:
        return values / 2


def check_sdp(model: SDP, drop: Drop = keep, distance: str = "square") -> None:
    """Compare a model's scores and gradients with those of the loops."""
    model.build(n_users=5, n_items=7)
    model.double()
    scatter(model, seed=model.layers)
    oracle = copy.deepcopy(model)
    if drop is not keep:
        model.dropout = Halved(0.5)
    users = torch.tensor([4, 0, 4])
    candidates = torch.tensor([[1, 6, 2, 2], [3, 0, 1, 5], [6, 6, 0, 4]])
    weights = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    scores = model(users, torch.empty(3, 0, dtype=torch.int64), candidates)
    expected = torch.stack(
        [
            torch.stack([sdp_score(oracle, int(user), int(candidate), distance, drop) for candidate in row])
            for user, row in zip(users, candidates, strict=True)
        ]
    )
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-9)
    (scores * weights).sum().backward()
    (expected * weights).sum().backward()
    assert_same_gradients(model, oracle, atol=1e-9)
