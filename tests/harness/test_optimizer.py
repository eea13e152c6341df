"""Hold Adam with λ to torch.optim.Adam on the literal loss, whose every step moves every row."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sdmr.baselines.mf_bpr import MFBPR
from sdmr.datasets.interactions import Interactions
from sdmr.datasets.split import split
from sdmr.harness.training import optimizer as optimizer_module
from sdmr.harness.training.layers import Embedding
from sdmr.harness.training.optimizer import OptimizationConfig, Optimizer

N_USERS, N_ITEMS, DIM, STEPS = 7, 11, 3, 12


@pytest.fixture(autouse=True)
def moves_of_small_tables_are_made_late_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimizer_module, "_MIN_ROWS", 0)


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


def make_config(regularization: float = 0.05) -> OptimizationConfig:
    return OptimizationConfig(learning_rate=0.03, regularization=regularization)


def small(unit_ball: bool = False) -> Small:
    torch.manual_seed(5)
    return Small(unit_ball).double()


def values(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def take_step(model: Small, optimizer: Optimizer, batch: tuple[Tensor, Tensor, Tensor]) -> None:
    optimizer.zero_grad()
    literal_bpr(model(*batch)).backward()
    optimizer.step()


@pytest.mark.parametrize("min_rows", [0, 2, math.inf], ids=["late", "changing", "at once"])
@pytest.mark.parametrize("n_steps", [1, 4, STEPS])
@pytest.mark.parametrize("regularization", [0.0, 0.05, 2.0])
def test_adam_equals_pytorchs_on_the_literal_loss(
    regularization: float, n_steps: int, min_rows: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compare the complete tables every `n_steps` steps."""
    monkeypatch.setattr(optimizer_module, "_MIN_ROWS", min_rows)
    model = small()
    literal = {name: value.requires_grad_() for name, value in values(model).items()}
    adam = torch.optim.Adam(literal.values(), lr=0.03)
    optimizer = Optimizer(model, make_config(regularization))
    for step, batch in enumerate(batches(), start=1):
        take_step(model, optimizer, batch)
        adam.zero_grad()
        literal_loss(literal, batch, regularization).backward()
        adam.step()
        if step % n_steps == 0:
            optimizer.catch_up()
            for name, value in values(model).items():
                torch.testing.assert_close(value, literal[name].detach(), rtol=0, atol=1e-10, msg=name)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("unit_ball", [False, True])
def test_adam_equals_pytorchs_when_rows_are_read_seldom(unit_ball: bool, dtype: torch.dtype) -> None:
    """Read rows of a long tail, some after a thousand steps, at a rate that is halved on the way."""
    n, dim, rate, regularization = 400, 16, 0.01, 0.01
    torch.manual_seed(0)
    model, rng = nn.Module(), np.random.default_rng(0)
    model.table = Embedding(n, dim, std=0.27, unit_ball=unit_ball)
    model.to(dtype)
    literal = model.table.weight.detach().double().requires_grad_()
    adam = torch.optim.Adam([literal], lr=rate)
    config = OptimizationConfig(learning_rate=rate, regularization=regularization, halve_learning_rate_every=1)
    optimizer, popularity = Optimizer(model, config), 1 / np.arange(1, n + 1) ** 1.5
    for step in range(1500):
        if step % 1200 == 0:
            optimizer.start_epoch(1 + step // 1200)
            adam.param_groups[0]["lr"] = rate / 2 ** (step // 1200)
        ids = torch.from_numpy(rng.choice(n, 3, p=popularity / popularity.sum()))
        target = torch.from_numpy(rng.normal(size=(3, dim)))
        optimizer.zero_grad()
        (model.table(ids) - target.to(dtype)).square().sum().backward()
        optimizer.step()
        adam.zero_grad()
        norms = regularization * literal[ids.unique()].square().sum()
        ((literal[ids] - target).square().sum() + norms).backward()
        adam.step()
        with torch.no_grad():
            literal /= literal.norm(dim=1, keepdim=True).clamp(min=1) if unit_ball else 1
    difference = (model.table.weight.detach() - literal.detach()).norm() / literal.detach().norm()
    assert difference < (1e-6 if dtype == torch.float32 else 1e-7)


def test_a_table_that_is_read_as_a_matrix_moves_as_pytorchs() -> None:
    """Take steps on single rows, and steps on the complete table."""
    torch.manual_seed(0)
    model, ids = nn.Module(), torch.tensor([3])
    model.table = Embedding(N_ITEMS, DIM, std=0.5).double()
    literal = model.table.weight.detach().clone().requires_grad_()
    optimizer, adam = Optimizer(model, make_config(0.0)), torch.optim.Adam([literal], lr=0.03)
    for step in range(STEPS):
        optimizer.zero_grad()
        adam.zero_grad()
        for table, rows in ((model.table.weight, model.table(ids)), (literal, literal[ids])):
            (rows if step % 3 else table).exp().sum().backward()
        optimizer.step()
        adam.step()
    torch.testing.assert_close(model.table.weight, literal, rtol=0, atol=1e-10)


def test_a_table_without_gradient_stays_in_this_step() -> None:
    model = nn.Module()
    model.table, model.other = Embedding(4, 2, std=0.5), Embedding(4, 2, std=0.5)
    optimizer, ids = Optimizer(model, make_config()), torch.tensor([0, 2])
    moved = []
    for table in (model.table, model.table, model.other, model.table):
        before = model.table.weight.detach().clone()
        optimizer.zero_grad()
        table(ids[:1] if moved else ids).sum().backward()
        optimizer.step()
        moved.append((model.table.weight != before).any(dim=1).tolist())
    assert moved == [[True, False, True, False], [True, False, True, False], [False] * 4, [True, False, True, False]]


def test_regularization_scope_all_is_adams_weight_decay_on_every_parameter() -> None:
    """Compare with the released code: λ × the parameter enters every gradient."""
    decay, model = 0.05, small()
    literal = {name: value.requires_grad_() for name, value in values(model).items()}
    adam = torch.optim.Adam(literal.values(), lr=0.03, weight_decay=decay)
    optimizer = Optimizer(model, replace(make_config(decay), regularization_scope="all"))
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


def test_adam_halves_its_learning_rate_too() -> None:
    """Compare first steps: Adam's is the learning rate, whatever the gradient."""
    moved = []
    for epoch in (1, 4):  # three epochs on, one halving
        model = small()
        before = values(model)["users.weight"]
        optimizer = Optimizer(model, replace(make_config(0.0), halve_learning_rate_every=3))
        optimizer.start_epoch(epoch)
        take_step(model, optimizer, batches()[0])
        moved.append((values(model)["users.weight"] - before).abs().max().item())
    assert moved == pytest.approx([0.03, 0.015], rel=1e-4)


@pytest.mark.parametrize("read", ["lookup", "weight", "evaluation", "catch up", "state", "close"])
def test_a_row_outside_the_batch_moves_before_it_is_read(read: str) -> None:
    model = small()
    optimizer = Optimizer(model, make_config())
    batch_with_user_0 = (torch.tensor([0]), torch.tensor([[1, 2]]), torch.tensor([[3, 4, 5]]))
    batch_without = (torch.tensor([6]), torch.tensor([[1, 2]]), torch.tensor([[3, 4, 5]]))
    take_step(model, optimizer, batch_with_user_0)
    before = values(model)["users.weight"]
    take_step(model, optimizer, batch_without)
    readers = {
        "lookup": lambda: model.users(torch.tensor([0, 1])),
        "weight": lambda: model.users.weight,
        "evaluation": model.eval,
        "catch up": optimizer.catch_up,
        "state": optimizer.get_state,
        "close": optimizer.close,
    }
    assert torch.equal(values(model)["users.weight"][0], before[0])
    readers[read]()
    after = values(model)["users.weight"]
    assert not torch.equal(after[0], before[0])
    assert torch.equal(after[1], before[1])  # in neither batch: no moments
    assert not torch.equal(after[6], before[6])


def test_padding_stays_zero_and_biases_are_not_regularized() -> None:
    model = small()
    with torch.no_grad():
        model.items.weight[N_ITEMS] = 0
    optimizer = Optimizer(model, make_config(regularization=100.0))
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


def test_the_unit_ball_holds_after_every_step() -> None:
    model = small(unit_ball=True)
    with torch.no_grad():
        model.users.weight.mul_(0.999 / model.users.weight.norm(dim=1, keepdim=True))
        model.items.weight[:N_ITEMS].mul_(3)
    free = small()
    free.load_state_dict(model.state_dict())
    optimizers = [Optimizer(m, make_config(regularization=0.0)) for m in (model, free)]
    clipped = False
    for batch in batches():
        free.load_state_dict(model.state_dict())
        for m, optimizer in zip((model, free), optimizers, strict=True):
            take_step(m, optimizer, batch)
            optimizer.catch_up()
        unclipped, users = values(free)["users.weight"], values(model)["users.weight"]
        norms = unclipped.norm(dim=1, keepdim=True)
        clipped |= bool((norms > 1).any())
        torch.testing.assert_close(users, torch.where(norms > 1, unclipped / norms, unclipped), rtol=0, atol=1e-10)
        assert (users.norm(dim=1) <= 1 + 1e-12).all()
        assert (values(model)["items.weight"].norm(dim=1) > 1).any()  # only the table that asks for it
    assert clipped


def test_frozen_parameters_do_not_move() -> None:
    model = small()
    model.items.requires_grad_(False)
    model.layer.requires_grad_(False)
    optimizer, before = Optimizer(model, make_config()), values(model)
    for batch in batches():
        take_step(model, optimizer, batch)
    after = values(model)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"users.weight", "bias.weight"}


def test_a_loaded_state_continues_to_the_same_bits() -> None:
    models = [small(), small()]
    optimizers = [Optimizer(model, make_config()) for model in models]
    for step, batch in enumerate(batches()):
        if step == STEPS // 2:
            states = [optimizer.get_state() for optimizer in optimizers]
            resumed = small()
            resumed.load_state_dict(models[1].state_dict())
            models[1], optimizers[1] = resumed, Optimizer(resumed, make_config())
            optimizers[1].load_state(states[1])
        for model, optimizer in zip(models, optimizers, strict=True):
            take_step(model, optimizer, batch)
    for optimizer in optimizers:
        optimizer.catch_up()
    for name, value in values(models[0]).items():
        assert torch.equal(values(models[1])[name], value), name


def test_plain_sgd_subtracts_the_gradient_and_moves_no_other_row() -> None:
    model = small()
    literal = {name: value.requires_grad_() for name, value in values(model).items()}
    sgd = torch.optim.SGD(literal.values(), lr=0.03)
    optimizer = Optimizer(model, replace(make_config(), optimizer="sgd"))
    for batch in batches():
        take_step(model, optimizer, batch)
        sgd.zero_grad()
        literal_loss(literal, batch, 0.05).backward()
        sgd.step()
        for name, value in values(model).items():
            torch.testing.assert_close(value, literal[name].detach(), rtol=0, atol=1e-10, msg=name)


def test_a_table_outside_lambda_stays_where_the_loss_is_flat() -> None:
    model, ids = nn.Module(), torch.tensor([0, 2])
    model.free, model.regularized = (Embedding(4, 2, std=0.5, regularized=value) for value in (False, True))
    optimizer = Optimizer(model, OptimizationConfig(regularization=100.0))
    before = [table.weight.detach().clone() for table in (model.free, model.regularized)]
    optimizer.zero_grad()
    (0.0 * (model.free(ids) + model.regularized(ids))).sum().backward()
    optimizer.step()
    assert torch.equal(model.free.weight, before[0])
    assert not torch.equal(model.regularized.weight, before[1])


def test_the_unit_ball_holds_under_sgd() -> None:
    model, ids = nn.Module(), torch.tensor([0, 2])
    model.table = Embedding(4, 2, std=0.1, unit_ball=True)
    optimizer = Optimizer(model, OptimizationConfig(5.0, 0.0, optimizer="sgd"))
    model.table(ids).sum().backward()
    optimizer.step()
    assert model.table.weight.norm(dim=1)[ids].tolist() == pytest.approx([1.0, 1.0])


def test_parameters_after_a_number_of_epochs_have_all_moves_of_adam(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    users, items = np.unique(np.stack([rng.integers(30, size=300), rng.integers(400, size=300)]), axis=1)
    task = split(Interactions.from_raw(users, items, np.arange(len(users))), n_candidates=5)
    options = OptimizationConfig(learning_rate=0.05, batch_size=4, n_negatives=1, epochs=2, device="cpu")
    tables = []
    for min_rows in (8, 10**9):  # the latter: every row moves in each step
        monkeypatch.setattr(optimizer_module, "_MIN_ROWS", min_rows)
        model = MFBPR(dim=4, optimization=options)
        model.fit(replace(task.training, epochs=2))
        tables.append({name: value.clone() for name, value in model.state_dict().items()})
    for name, value in tables[0].items():
        torch.testing.assert_close(value, tables[1][name], rtol=1e-4, atol=1e-5)
