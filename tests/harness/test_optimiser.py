"""Adam with λ against torch.optim.Adam on the literal loss, and against a loop over the rows of a batch."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sdmr.baselines.caser import Caser
from sdmr.baselines.neumf import GMF, MLP
from sdmr.harness import adam
from sdmr.harness.embedding import Embedding
from sdmr.harness.optimiser import Optimisation, Optimiser

N_USERS, N_ITEMS, DIM, STEPS = 7, 11, 3, 12


class Small(nn.Module):
    """Two tables (items with a padding row), an item bias and a layer with a bias: score(u, j, k), k a context item."""

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
    """`Small` on plain dense tables; the padding row is a constant zero."""
    items = torch.cat([p["items.weight"][:N_ITEMS], torch.zeros(1, DIM, dtype=p["items.weight"].dtype)])
    query = torch.tanh(p["users.weight"][users] @ p["layer.weight"].T + p["layer.bias"]) + items[contexts].sum(1)
    return (query[:, None] * items[candidates]).sum(-1) + p["bias.weight"][candidates].squeeze(-1)


def bpr(scores: Tensor) -> Tensor:
    return -F.logsigmoid(scores[:, :1] - scores[:, 1:]).sum()


def literal_loss(p: dict[str, Tensor], batch: tuple[Tensor, Tensor, Tensor], regularisation: float) -> Tensor:
    """Eq. 21 for one batch: BPR's sum + λ (Σ weights² + Σ over the distinct rows of the batch ‖row‖²)."""
    users, contexts, candidates = batch
    norms = p["layer.weight"].square().sum()
    for user in {int(u) for u in users}:
        norms = norms + p["users.weight"][user].square().sum()
    for item in {int(i) for i in torch.cat([contexts.flatten(), candidates.flatten()])} - {N_ITEMS}:
        norms = norms + p["items.weight"][item].square().sum()
    return bpr(literal_scores(p, *batch)) + regularisation * norms


def batches(seed: int = 0) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Batches in which rows repeat, some rows are missing, and contexts hold padding. Item 10 is in none of them."""
    rng = np.random.default_rng(seed)
    result = []
    for _ in range(STEPS):
        users = rng.integers(N_USERS, size=4)
        contexts = np.where(rng.random((4, 2)) < 0.4, N_ITEMS, rng.integers(N_ITEMS - 1, size=(4, 2)))
        result.append((users, contexts, rng.integers(N_ITEMS - 1, size=(4, 3))))
    return [tuple(torch.from_numpy(ids) for ids in batch) for batch in result]  # type: ignore[misc]


def options(optimizer: Literal["dense", "rowwise"], regularisation: float = 0.05) -> Optimisation:
    return Optimisation(learning_rate=0.03, regularisation=regularisation, optimizer=optimizer)


def small(unit_ball: bool = False) -> Small:
    torch.manual_seed(5)
    return Small(unit_ball).double()


def values(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def take_step(model: Small, optimiser: Optimiser, batch: tuple[Tensor, Tensor, Tensor]) -> None:
    optimiser.zero_grad()
    bpr(model(*batch)).backward()
    optimiser.step()


@pytest.mark.parametrize("regularisation", [0.0, 0.05, 2.0])
def test_dense_is_adam_on_the_literal_loss(regularisation: float) -> None:
    model = small()
    literal = {name: value.requires_grad_() for name, value in values(model).items()}
    adam = torch.optim.Adam(literal.values(), lr=0.03)
    optimiser = Optimiser(model, options("dense", regularisation))
    for batch in batches():
        take_step(model, optimiser, batch)
        adam.zero_grad()
        literal_loss(literal, batch, regularisation).backward()
        adam.step()
        for name, value in values(model).items():
            torch.testing.assert_close(value, literal[name].detach(), rtol=0, atol=1e-10, msg=name)


@pytest.mark.parametrize("regularisation", [0.0, 0.05, 2.0])
def test_rowwise_is_a_loop_of_adam_over_the_rows_of_the_batch(regularisation: float) -> None:
    """Moments belong to a row and stay while it is away; the bias correction counts the steps of the run."""
    model = small()
    literal = values(model)
    first = {name: torch.zeros_like(value) for name, value in literal.items()}
    second = {name: torch.zeros_like(value) for name, value in literal.items()}
    optimiser = Optimiser(model, options("rowwise", regularisation))
    for step, batch in enumerate(batches(), start=1):
        take_step(model, optimiser, batch)
        users, contexts, candidates = batch
        p = {name: value.clone().requires_grad_() for name, value in literal.items()}
        literal_loss(p, batch, regularisation).backward()
        items = {int(i) for i in torch.cat([contexts.flatten(), candidates.flatten()])} - {N_ITEMS}
        rows_of: dict[str, set[int]] = {
            "users.weight": {int(u) for u in users},
            "items.weight": items,
            "bias.weight": {int(i) for i in candidates.flatten()},
        }
        for name, value in literal.items():
            gradient = p[name].grad
            assert gradient is not None
            for row in sorted(rows_of.get(name, set(range(len(value))))):
                m = first[name][row] = 0.9 * first[name][row] + 0.1 * gradient[row]
                v = second[name][row] = 0.999 * second[name][row] + 0.001 * gradient[row] ** 2
                m, v = m / (1 - 0.9**step), v / (1 - 0.999**step)
                value[row] -= 0.03 * m / (v.sqrt() + 1e-8)
        for name, value in values(model).items():
            torch.testing.assert_close(value, literal[name], rtol=0, atol=1e-10, msg=name)


def test_regularise_all_is_adams_weight_decay_on_every_parameter() -> None:
    """As the released code has it: λ × the parameter in its gradient, biases and rows outside the batch included."""
    decay, model = 0.05, small()
    literal = {name: value.requires_grad_() for name, value in values(model).items()}
    adam = torch.optim.Adam(literal.values(), lr=0.03, weight_decay=decay)
    optimiser = Optimiser(model, replace(options("dense", decay), regularise="all"))
    first = values(model)
    for batch in batches():
        take_step(model, optimiser, batch)
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


def test_the_learning_rate_is_halved_every_so_many_epochs() -> None:
    """SGD on a loss whose gradient is 1 moves by the learning rate."""
    model = nn.Module()
    model.place = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    once = Optimisation(learning_rate=0.8, regularisation=0, optimizer="sgd", halve_every=2)
    moved: dict[int, list[float]] = {}
    for halve_every in (2, 0):
        optimiser, moved[halve_every] = Optimiser(model, replace(once, halve_every=halve_every)), []
        for epoch in range(1, 6):
            before = model.place.item()
            optimiser.start_epoch(epoch)
            optimiser.zero_grad()
            model.place.sum().backward()
            optimiser.step()
            moved[halve_every].append(before - model.place.item())
    assert moved[2] == pytest.approx([0.8, 0.8, 0.4, 0.4, 0.2])
    assert moved[0] == pytest.approx([0.8] * 5)


def test_rowwise_heeds_the_halving() -> None:
    """Adam's first step is the learning rate, whatever the gradient."""
    moved = []
    for epoch in (1, 4):  # three epochs on, one halving
        model = small()
        before = values(model)["users.weight"]
        optimiser = Optimiser(model, replace(options("rowwise", 0.0), halve_every=3))
        optimiser.start_epoch(epoch)
        take_step(model, optimiser, batches()[0])
        moved.append((values(model)["users.weight"] - before).abs().max().item())
    assert moved == pytest.approx([0.03, 0.015], rel=1e-4)


def test_a_row_outside_the_batch_moves_only_under_dense() -> None:
    moved: dict[str, bool] = {}
    for optimizer in ("dense", "rowwise"):
        model = small()
        optimiser = Optimiser(model, options(optimizer))
        with_user_0 = (torch.tensor([0]), torch.tensor([[1, 2]]), torch.tensor([[3, 4, 5]]))
        without = (torch.tensor([6]), torch.tensor([[1, 2]]), torch.tensor([[3, 4, 5]]))
        take_step(model, optimiser, with_user_0)
        before = values(model)
        take_step(model, optimiser, without)
        after = values(model)
        moved[optimizer] = not torch.equal(after["users.weight"][0], before["users.weight"][0])
        assert torch.equal(after["users.weight"][1], before["users.weight"][1])  # in neither batch: no moments
        assert not torch.equal(after["users.weight"][6], before["users.weight"][6])
    assert moved == {"dense": True, "rowwise": False}


@pytest.mark.parametrize("optimizer", ["dense", "rowwise"])
def test_padding_stays_zero_and_biases_are_not_regularised(optimizer: Literal["dense", "rowwise"]) -> None:
    model = small()
    with torch.no_grad():
        model.items.weight[N_ITEMS] = 0
    optimiser = Optimiser(model, options(optimizer, regularisation=100.0))
    before = values(model)
    everything = torch.arange(N_ITEMS)[None].repeat(N_USERS, 1)
    optimiser.zero_grad()
    (0.0 * model(torch.arange(N_USERS), torch.full((N_USERS, 1), N_ITEMS), everything)).sum().backward()
    optimiser.step()  # the loss is flat, so that whatever moves is moved by λ
    after = values(model)
    assert not after["items.weight"][N_ITEMS].any()
    for name in ("bias.weight", "layer.bias"):
        assert torch.equal(after[name], before[name]), name
    for name in ("users.weight", "layer.weight"):
        assert ((after[name] - before[name]) * before[name] < 0).all(), name  # towards zero


@pytest.mark.parametrize("optimizer", ["dense", "rowwise"])
def test_the_unit_ball_holds_after_every_step(optimizer: Literal["dense", "rowwise"]) -> None:
    model = small(unit_ball=True)
    with torch.no_grad():
        model.users.weight.mul_(0.999 / model.users.weight.norm(dim=1, keepdim=True))
        model.items.weight[:N_ITEMS].mul_(3)
    free = small()
    free.load_state_dict(model.state_dict())
    optimisers = [Optimiser(m, options(optimizer, regularisation=0.0)) for m in (model, free)]
    clipped = False
    for batch in batches():
        before = values(model)
        free.load_state_dict(model.state_dict())
        for m, optimiser in zip((model, free), optimisers, strict=True):
            take_step(m, optimiser, batch)
        unclipped, users = values(free)["users.weight"], values(model)["users.weight"]
        norms = unclipped.norm(dim=1, keepdim=True)
        clipped |= bool((norms > 1).any())
        torch.testing.assert_close(users, torch.where(norms > 1, unclipped / norms, unclipped), rtol=0, atol=1e-10)
        assert (users.norm(dim=1) <= 1 + 1e-12).all()
        assert (values(model)["items.weight"].norm(dim=1) > 1).any()  # only the table that asks for it
        if optimizer == "rowwise":
            away = [user for user in range(N_USERS) if user not in batch[0]]
            assert torch.equal(users[away], before["users.weight"][away])
    assert clipped


@pytest.mark.parametrize("optimizer", ["dense", "rowwise"])
def test_frozen_parameters_do_not_move(optimizer: Literal["dense", "rowwise"]) -> None:
    model = small()
    model.items.requires_grad_(False)
    model.layer.requires_grad_(False)
    optimiser, before = Optimiser(model, options(optimizer)), values(model)
    for batch in batches():
        take_step(model, optimiser, batch)
    after = values(model)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"users.weight", "bias.weight"}


@pytest.mark.parametrize("optimizer", ["dense", "rowwise"])
def test_a_loaded_state_goes_on_to_the_same_bits(optimizer: Literal["dense", "rowwise"]) -> None:
    whole = small()
    optimiser = Optimiser(whole, options(optimizer))
    for batch in batches():
        take_step(whole, optimiser, batch)

    first = small()
    optimiser = Optimiser(first, options(optimizer))
    for batch in batches()[: STEPS // 2]:
        take_step(first, optimiser, batch)
    second = small()
    second.load_state_dict(first.state_dict())
    resumed = Optimiser(second, options(optimizer))
    resumed.load(optimiser.state())
    for batch in batches()[STEPS // 2 :]:
        take_step(second, resumed, batch)
    for name, value in values(whole).items():
        assert torch.equal(values(second)[name], value), name


@pytest.mark.parametrize(
    ("field", "value"),
    [("negatives", "hard"), ("optimizer", "lion"), ("regularise", "some"), ("select_by", "loss")],
)
def test_an_unknown_choice_is_an_error(field: str, value: str) -> None:
    wrong: dict[str, Any] = {field: value}
    with pytest.raises(ValueError, match=f"{field} must be .* not '{value}'"):
        Optimisation(**wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate must be more than 0, not 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate must be more than 0, not nan"),
        ({"regularisation": -0.01}, "regularisation must be 0 or more, not -0.01"),
        ({"epochs": 0}, "epochs must be 1 or more, not 0"),
        ({"patience": 0}, "patience must be 1 or more, not 0"),
        ({"batch_size": 0}, "batch_size must be 1 or more, not 0"),
        ({"n_negatives": 0}, "n_negatives must be 1 or more, not 0"),
        ({"development_instances": 0}, "development_instances must be 1 or more, not 0"),
        ({"halve_every": -1}, "halve_every must be a number of epochs, or 0"),
        ({"development_instances": "some"}, 'development_instances must be a number or "all"'),
        ({"regularise": "all", "optimizer": "rowwise"}, "regularise=all moves every row"),
        ({"regularise": "all", "optimizer": "sgd"}, "regularise=all moves every row"),
    ],
)
def test_a_choice_without_effect_or_sense_is_an_error(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Optimisation(**wrong)


def test_the_hardest_negative_means_nothing_to_a_log_loss() -> None:
    hardest = Optimisation(negatives="hardest")
    assert Optimisation().for_log_loss() == Optimisation()
    for make in (Caser, MLP, GMF):
        with pytest.raises(ValueError, match="negatives=hardest has no effect on a log loss"):
            make(optimisation=hardest)
    assert GMF(objective="bpr", optimisation=hardest).optimisation == hardest


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_compiled_adam_is_the_plain_one(dtype: torch.dtype, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which the tests above hold to PyTorch's and to the loop over rows; on a GPU the plain one is used."""
    monkeypatch.setattr(adam, "_WORTH_A_THREAD", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    torch.manual_seed(0)
    ours = [torch.randn(9, 5, dtype=dtype) for _ in range(3)]
    ours[2].square_()
    plain, sums = [table.clone() for table in ours], torch.randn(4, 5, dtype=dtype)
    rows, at = torch.tensor([8, 1, 2, 3, 4, 5]), torch.tensor([2, -1, 0, 3, -1, 1])
    for step in (1, 2, 50):
        adam.adam(ours[0], ours[1], ours[2], rows, at, sums, 0.3, 0.1, 0.01, step)
        corrected = 0.01 / (1 - 0.9**step), 1 / math.sqrt(1 - 0.999**step)
        adam._adam_in_torch(plain[0], plain[1], plain[2], rows, at, sums, 0.3, 0.1, *corrected)
    for table, wanted in zip(ours, plain, strict=True):
        torch.testing.assert_close(table, wanted)


def test_moments_that_nothing_counts_are_zero_and_nan_is_not_hidden() -> None:
    """Subnormal numbers, which a row away for a thousand steps decays to, cost ten times as much to compute with."""
    weight, row, away = nn.Parameter(torch.ones(1, 2)), torch.tensor([0]), torch.tensor([-1])
    plain, first, second = torch.optim.Adam([weight], lr=0.01), torch.zeros(1, 2), torch.zeros(1, 2)
    ours, gradient = torch.ones(1, 2), torch.tensor([[0.5, -1e-3]])
    for step in range(1, 1200):
        at, weight.grad = (row, gradient) if step == 1 else (away, torch.zeros(1, 2))
        adam.adam(ours, first, second, row, at, gradient, 0.0, 0.0, 0.01, step)
        plain.step()
    torch.testing.assert_close(ours, weight.detach())
    assert 0 < plain.state[weight]["exp_avg"].abs().max() < torch.finfo(torch.float32).tiny
    assert not first.any()
    adam.adam(ours, first, second, row, row, torch.tensor([[torch.nan, 1.0]]), 0.0, 0.0, 0.01, 1200)
    assert ours.isnan().tolist() == [[True, False]]


def test_plain_sgd_subtracts_the_gradient_and_moves_no_other_row() -> None:
    model = small()
    literal = {name: value.requires_grad_() for name, value in values(model).items()}
    sgd = torch.optim.SGD(literal.values(), lr=0.03)
    optimiser = Optimiser(model, replace(options("dense"), optimizer="sgd"))
    for batch in batches():
        take_step(model, optimiser, batch)
        sgd.zero_grad()
        literal_loss(literal, batch, 0.05).backward()
        sgd.step()
        for name, value in values(model).items():
            torch.testing.assert_close(value, literal[name].detach(), rtol=0, atol=1e-10, msg=name)


def test_an_embedding_starts_with_the_stated_deviation() -> None:
    torch.manual_seed(0)
    weight = Embedding(4000, 25, std=0.3, padding=True).weight.detach()
    assert weight.shape == (4001, 25)
    assert not weight[4000].any()
    n = 4000 * 25
    assert abs(weight[:4000].mean().item()) < 5 * 0.3 / math.sqrt(n)
    assert abs(weight[:4000].std().item() - 0.3) < 5 * 0.3 / math.sqrt(2 * n)


def test_rows_looked_up_together_have_the_gradient_of_pytorchs_embedding() -> None:
    torch.manual_seed(0)
    table = Embedding(6, 3, std=1.0, padding=True)
    plain = nn.Embedding(7, 3, padding_idx=6, _weight=table.weight.detach().clone())
    ids = torch.tensor([[0, 2], [2, 6]]), torch.tensor([5, 2, 6])
    for ours, each in zip(table.each(*ids), ids, strict=True):
        assert torch.equal(ours, plain(each))
    sum((rows * rows).sum() + rows.sum() for rows in table.each(*ids)).backward()  # type: ignore[union-attr]
    sum((plain(each) * plain(each)).sum() + plain(each).sum() for each in ids).backward()  # type: ignore[union-attr]
    assert table.weight.grad is not None
    assert plain.weight.grad is not None
    torch.testing.assert_close(table.weight.grad.to_dense(), plain.weight.grad)
