"""Hold Adam with λ to torch.optim.Adam on the literal loss, and to a loop over a batch's rows."""

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sdmr.harness.training.layers import Embedding
from sdmr.harness.training.optimizer import OptimizationConfig, Optimizer

N_USERS, N_ITEMS, DIM, STEPS = 7, 11, 3, 12


class Small(nn.Module):
    """Score (u, j, k), k a context item, by two tables, an item bias and a layer with a bias."""

    def __init__(self, unit_ball: bool = False) -> None:
        super().__init__()
        self.users = Embedding(N_USERS, DIM, std=0.5, unit_ball=unit_ball)
        self.items = Embedding(N_ITEMS, DIM, std=0.5, padding=True)
        self.bias = Embedding(N_ITEMS, 1, std=0.5)
        self.layer = nn.Linear(DIM, DIM)

    def forward(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        query = torch.tanh(self.layer(self.users(users))) + self.items(contexts).sum(1)  # [B, d]
        return (query[:, None] * self.items(candidates)).sum(-1) + self.bias(candidates).squeeze(-1)


def literal_scores(p: dict[str, Tensor], users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
    """Compute what `Small` does on dense tables; the padding row is a constant zero."""
    items = torch.cat([p["items.weight"][:N_ITEMS], torch.zeros(1, DIM, dtype=p["items.weight"].dtype)])
    query = torch.tanh(p["users.weight"][users] @ p["layer.weight"].T + p["layer.bias"]) + items[contexts].sum(1)
    return (query[:, None] * items[candidates]).sum(-1) + p["bias.weight"][candidates].squeeze(-1)


def literal_bpr(scores: Tensor) -> Tensor:
    return -F.logsigmoid(scores[:, :1] - scores[:, 1:]).sum()


def literal_loss(p: dict[str, Tensor], batch: tuple[Tensor, Tensor, Tensor], regularization: float) -> Tensor:
    """Compute Eq. 21 for a batch: BPR's sum + λ (Σ weights² + Σ over distinct rows ‖row‖²)."""
    users, contexts, candidates = batch
    norms = p["layer.weight"].square().sum()
    for user in {int(u) for u in users}:
        norms = norms + p["users.weight"][user].square().sum()
    for item in {int(i) for i in torch.cat([contexts.flatten(), candidates.flatten()])} - {N_ITEMS}:
        norms = norms + p["items.weight"][item].square().sum()
    return literal_bpr(literal_scores(p, *batch)) + regularization * norms


def batches(seed: int = 0) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Make batches in which rows repeat or are missing, and contexts hold padding.

    Item 10 is in none of them.
    """
    rng = np.random.default_rng(seed)
    result = []
    for _ in range(STEPS):
        users = rng.integers(N_USERS, size=4)
        contexts = np.where(rng.random((4, 2)) < 0.4, N_ITEMS, rng.integers(N_ITEMS - 1, size=(4, 2)))
        result.append((users, contexts, rng.integers(N_ITEMS - 1, size=(4, 3))))
    return [tuple(torch.from_numpy(ids) for ids in batch) for batch in result]  # type: ignore[misc]


def make_config(algorithm: Literal["dense", "rowwise"], regularization: float = 0.05) -> OptimizationConfig:
    return OptimizationConfig(learning_rate=0.03, regularization=regularization, optimizer=algorithm)


def small(unit_ball: bool = False) -> Small:
    torch.manual_seed(5)
    return Small(unit_ball).double()


def values(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def take_step(model: Small, optimizer: Optimizer, batch: tuple[Tensor, Tensor, Tensor]) -> None:
    optimizer.zero_grad()
    literal_bpr(model(*batch)).backward()
    optimizer.step()


@pytest.mark.parametrize("regularization", [0.0, 0.05, 2.0])
def test_dense_adam_equals_pytorchs_on_the_literal_loss(regularization: float) -> None:
    model = small()
    literal = {name: value.requires_grad_() for name, value in values(model).items()}
    adam = torch.optim.Adam(literal.values(), lr=0.03)
    optimizer = Optimizer(model, make_config("dense", regularization))
    for batch in batches():
        take_step(model, optimizer, batch)
        adam.zero_grad()
        literal_loss(literal, batch, regularization).backward()
        adam.step()
        for name, value in values(model).items():
            torch.testing.assert_close(value, literal[name].detach(), rtol=0, atol=1e-10, msg=name)


@pytest.mark.parametrize("regularization", [0.0, 0.05, 2.0])
def test_rowwise_adam_equals_a_loop_over_the_rows_of_the_batch(regularization: float) -> None:
    """Keep a row's moments while it is in no batch; the bias correction counts all steps."""
    model = small()
    literal = values(model)
    first = {name: torch.zeros_like(value) for name, value in literal.items()}
    second = {name: torch.zeros_like(value) for name, value in literal.items()}
    optimizer = Optimizer(model, make_config("rowwise", regularization))
    for step, batch in enumerate(batches(), start=1):
        take_step(model, optimizer, batch)
        users, contexts, candidates = batch
        p = {name: value.clone().requires_grad_() for name, value in literal.items()}
        literal_loss(p, batch, regularization).backward()
        items = {int(i) for i in torch.cat([contexts.flatten(), candidates.flatten()])} - {N_ITEMS}
        touched_rows: dict[str, set[int]] = {
            "users.weight": {int(u) for u in users},
            "items.weight": items,
            "bias.weight": {int(i) for i in candidates.flatten()},
        }
        for name, value in literal.items():
            gradient = p[name].grad
            assert gradient is not None
            for row in sorted(touched_rows.get(name, set(range(len(value))))):
                m = first[name][row] = 0.9 * first[name][row] + 0.1 * gradient[row]
                v = second[name][row] = 0.999 * second[name][row] + 0.001 * gradient[row] ** 2
                m, v = m / (1 - 0.9**step), v / (1 - 0.999**step)
                value[row] -= 0.03 * m / (v.sqrt() + 1e-8)
        for name, value in values(model).items():
            torch.testing.assert_close(value, literal[name], rtol=0, atol=1e-10, msg=name)


def test_regularization_scope_all_is_adams_weight_decay_on_every_parameter() -> None:
    """Compare with the released code: λ × the parameter enters every gradient."""
    decay, model = 0.05, small()
    literal = {name: value.requires_grad_() for name, value in values(model).items()}
    adam = torch.optim.Adam(literal.values(), lr=0.03, weight_decay=decay)
    optimizer = Optimizer(model, replace(make_config("dense", decay), regularization_scope="all"))
    first = values(model)
    for batch in batches():
        take_step(model, optimizer, batch)
        adam.zero_grad()
        literal_loss(literal, batch, 0.0).backward()
        for value in literal.values():  # dense gradients: a row that was not looked up has 0, and decays
            value.grad = torch.zeros_like(value) if value.grad is None else value.grad
        adam.step()
        for name, value in values(model).items():
            torch.testing.assert_close(value, literal[name].detach(), rtol=0, atol=1e-10, msg=name)
    after = values(model)
    assert (after["items.weight"][10].abs() < first["items.weight"][10].abs()).all()  # in no batch
    assert not after["items.weight"][N_ITEMS].any()


def test_the_learning_rate_is_halved_after_each_period() -> None:
    """Move by SGD on a loss whose gradient is 1: each move is the learning rate."""
    model = nn.Module()
    model.position = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    config = OptimizationConfig(learning_rate=0.8, regularization=0, optimizer="sgd", halve_learning_rate_every=2)
    moved: dict[int, list[float]] = {}
    for period in (2, 0):
        optimizer, moved[period] = Optimizer(model, replace(config, halve_learning_rate_every=period)), []
        for epoch in range(1, 6):
            before = model.position.item()
            optimizer.start_epoch(epoch)
            optimizer.zero_grad()
            model.position.sum().backward()
            optimizer.step()
            moved[period].append(before - model.position.item())
    assert moved[2] == pytest.approx([0.8, 0.8, 0.4, 0.4, 0.2])
    assert moved[0] == pytest.approx([0.8] * 5)


def test_rowwise_adam_halves_its_learning_rate_too() -> None:
    """Compare first steps: Adam's is the learning rate, whatever the gradient."""
    moved = []
    for epoch in (1, 4):  # three epochs on, one halving
        model = small()
        before = values(model)["users.weight"]
        optimizer = Optimizer(model, replace(make_config("rowwise", 0.0), halve_learning_rate_every=3))
        optimizer.start_epoch(epoch)
        take_step(model, optimizer, batches()[0])
        moved.append((values(model)["users.weight"] - before).abs().max().item())
    assert moved == pytest.approx([0.03, 0.015], rel=1e-4)


def test_a_row_outside_the_batch_moves_only_under_dense() -> None:
    moved: dict[str, bool] = {}
    for algorithm in ("dense", "rowwise"):
        model = small()
        optimizer = Optimizer(model, make_config(algorithm))
        batch_with_user_0 = (torch.tensor([0]), torch.tensor([[1, 2]]), torch.tensor([[3, 4, 5]]))
        batch_without = (torch.tensor([6]), torch.tensor([[1, 2]]), torch.tensor([[3, 4, 5]]))
        take_step(model, optimizer, batch_with_user_0)
        before = values(model)
        take_step(model, optimizer, batch_without)
        after = values(model)
        moved[algorithm] = not torch.equal(after["users.weight"][0], before["users.weight"][0])
        assert torch.equal(after["users.weight"][1], before["users.weight"][1])  # in neither batch: no moments
        assert not torch.equal(after["users.weight"][6], before["users.weight"][6])
    assert moved == {"dense": True, "rowwise": False}


@pytest.mark.parametrize("algorithm", ["dense", "rowwise"])
def test_padding_stays_zero_and_biases_are_not_regularized(algorithm: Literal["dense", "rowwise"]) -> None:
    model = small()
    with torch.no_grad():
        model.items.weight[N_ITEMS] = 0
    optimizer = Optimizer(model, make_config(algorithm, regularization=100.0))
    before = values(model)
    everything = torch.arange(N_ITEMS)[None].repeat(N_USERS, 1)
    optimizer.zero_grad()
    (0.0 * model(torch.arange(N_USERS), torch.full((N_USERS, 1), N_ITEMS), everything)).sum().backward()
    optimizer.step()  # the loss is flat, so that whatever moves is moved by λ
    after = values(model)
    assert not after["items.weight"][N_ITEMS].any()
    for name in ("bias.weight", "layer.bias"):
        assert torch.equal(after[name], before[name]), name
    for name in ("users.weight", "layer.weight"):
        assert ((after[name] - before[name]) * before[name] < 0).all(), name  # towards zero


@pytest.mark.parametrize("algorithm", ["dense", "rowwise"])
def test_the_unit_ball_holds_after_every_step(algorithm: Literal["dense", "rowwise"]) -> None:
    model = small(unit_ball=True)
    with torch.no_grad():
        model.users.weight.mul_(0.999 / model.users.weight.norm(dim=1, keepdim=True))
        model.items.weight[:N_ITEMS].mul_(3)
    free = small()
    free.load_state_dict(model.state_dict())
    optimizers = [Optimizer(m, make_config(algorithm, regularization=0.0)) for m in (model, free)]
    clipped = False
    for batch in batches():
        before = values(model)
        free.load_state_dict(model.state_dict())
        for m, optimizer in zip((model, free), optimizers, strict=True):
            take_step(m, optimizer, batch)
        unclipped, users = values(free)["users.weight"], values(model)["users.weight"]
        norms = unclipped.norm(dim=1, keepdim=True)
        clipped |= bool((norms > 1).any())
        torch.testing.assert_close(users, torch.where(norms > 1, unclipped / norms, unclipped), rtol=0, atol=1e-10)
        assert (users.norm(dim=1) <= 1 + 1e-12).all()
        assert (values(model)["items.weight"].norm(dim=1) > 1).any()  # only the table that asks for it
        if algorithm == "rowwise":
            inactive = [user for user in range(N_USERS) if user not in batch[0]]
            assert torch.equal(users[inactive], before["users.weight"][inactive])
    assert clipped


@pytest.mark.parametrize("algorithm", ["dense", "rowwise"])
def test_frozen_parameters_do_not_move(algorithm: Literal["dense", "rowwise"]) -> None:
    model = small()
    model.items.requires_grad_(False)
    model.layer.requires_grad_(False)
    optimizer, before = Optimizer(model, make_config(algorithm)), values(model)
    for batch in batches():
        take_step(model, optimizer, batch)
    after = values(model)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"users.weight", "bias.weight"}


@pytest.mark.parametrize("algorithm", ["dense", "rowwise"])
def test_a_loaded_state_continues_to_the_same_bits(algorithm: Literal["dense", "rowwise"]) -> None:
    uninterrupted = small()
    optimizer = Optimizer(uninterrupted, make_config(algorithm))
    for batch in batches():
        take_step(uninterrupted, optimizer, batch)

    first = small()
    optimizer = Optimizer(first, make_config(algorithm))
    for batch in batches()[: STEPS // 2]:
        take_step(first, optimizer, batch)
    second = small()
    second.load_state_dict(first.state_dict())
    resumed = Optimizer(second, make_config(algorithm))
    resumed.load_state(optimizer.get_state())
    for batch in batches()[STEPS // 2 :]:
        take_step(second, resumed, batch)
    for name, value in values(uninterrupted).items():
        assert torch.equal(values(second)[name], value), name


def test_plain_sgd_subtracts_the_gradient_and_moves_no_other_row() -> None:
    model = small()
    literal = {name: value.requires_grad_() for name, value in values(model).items()}
    sgd = torch.optim.SGD(literal.values(), lr=0.03)
    optimizer = Optimizer(model, replace(make_config("dense"), optimizer="sgd"))
    for batch in batches():
        take_step(model, optimizer, batch)
        sgd.zero_grad()
        literal_loss(literal, batch, 0.05).backward()
        sgd.step()
        for name, value in values(model).items():
            torch.testing.assert_close(value, literal[name].detach(), rtol=0, atol=1e-10, msg=name)
