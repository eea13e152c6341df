import math
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from sdmr.baselines import cmn
from sdmr.baselines.cmn import CMN
from sdmr.baselines.cmn_attention import Neighborhoods, find_neighborhoods
from sdmr.baselines.neumf import GMF
from sdmr.datasets.task import Training
from sdmr.harness.training.base import TorchRecommender
from sdmr.harness.training.optimizer import OptimizationConfig, Optimizer
from tests.behavior import RecommenderBehavior, small

FAST = OptimizationConfig(learning_rate=0.02, regularization=0.0001, batch_size=32, epochs=30)
BRIEF = replace(FAST, epochs=2)


def make(hops: int = 2, keep_self: bool = False, dim: int = 16, optimization: OptimizationConfig = FAST) -> CMN:
    return CMN(GMF(dim, "bpr", optimization), hops, keep_self, optimization=optimization)


class TestCMN(RecommenderBehavior):
    def make(self) -> CMN:
        return make()


def shaken(hops: int, keep_self: bool = False) -> CMN:
    """Create a CMN on `small()` with large random weights, in float64."""
    model = make(hops, keep_self, dim=5, optimization=replace(FAST, epochs=1))
    model.fit(small().training)
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in model.double().parameters():
            parameter.normal_()
    return model


def naive_hops(
    model: CMN, training: Training, user: int, item: int
) -> tuple[torch.Tensor, list[dict[int, torch.Tensor]]]:
    """Compute a score and each hop's attention from the equations, neighbor by neighbor."""
    taken = training.matrix.toarray()
    neighbors = [v for v in range(training.n_users) if taken[v, item] and (model.keep_self or v != user)]
    m, e, c = model.memory.weight, model.items.weight, model.external.weight
    z, o, attention = m[user] + e[item], torch.zeros_like(m[user]), []
    for hop in range(model.hops):
        if hop:
            layer = model.further[hop - 1]
            z = torch.clamp(layer.weight @ z + layer.bias + o, min=0)  # type: ignore[operator]
        total = sum(torch.exp(z @ m[v]) for v in neighbors)
        attention.append({v: torch.exp(z @ m[v]) / total for v in neighbors})
        o = torch.zeros_like(z)
        for v, p in attention[-1].items():
            o = o + p * c[v]
    hidden = torch.clamp(model.hidden.weight @ torch.cat([m[user] * e[item], o]) + model.hidden.bias, min=0)
    return model.output.weight[0] @ hidden, attention


def pairs_with_every_case(training: Training) -> tuple[torch.Tensor, torch.Tensor]:
    """Pick users [B] and candidates [B, C] of every case.

    Candidates are taken and new items, an item that nobody took, and one that only the user took.
    """
    counts = np.bincount(training.matrix.indices, minlength=training.n_items)
    alone = np.flatnonzero(counts == 1)
    owners = [training.matrix[:, [j]].nonzero()[0][0] for j in alone[:4]]
    nobody = np.flatnonzero(counts == 0)
    assert len(owners) == 4
    assert len(nobody)
    busiest = counts.argmax()
    candidates = [[j, busiest, nobody[0], 0] for j in alone[:4]]
    return torch.tensor(np.array(owners)), torch.tensor(np.array(candidates))


@pytest.mark.parametrize("hops", [1, 2, 4])
@pytest.mark.parametrize("keep_self", [False, True])
def test_scores_attention_and_gradients_follow_the_equations(hops: int, keep_self: bool) -> None:
    model, training = shaken(hops, keep_self), small().training
    users, candidates = pairs_with_every_case(training)
    contexts = torch.zeros(len(users), 0, dtype=torch.long)
    scores, attention = model(users, contexts, candidates), model.compute_attention(users, contexts, candidates)
    expected = torch.zeros_like(scores)
    for row, user in enumerate(users.tolist()):
        for column, item in enumerate(candidates[row].tolist()):
            expected[row, column], hop_attention = naive_hops(model, training, user, item)
            for hop in range(hops):
                dense = torch.zeros(training.n_users, dtype=torch.float64)
                for v, p in hop_attention[hop].items():
                    dense[v] = p
                torch.testing.assert_close(attention[hop, row, column], dense)
    torch.testing.assert_close(scores, expected)

    # Every score has another weight, so that errors of two pairs cannot cancel.
    weights = torch.arange(1, scores.numel() + 1, dtype=torch.float64).view_as(scores)
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    actual = torch.autograd.grad((weights * scores).sum(), list(parameters.values()))
    desired = torch.autograd.grad((weights * expected).sum(), list(parameters.values()))
    for name, one, other in zip(parameters, actual, desired, strict=True):
        one = one.to_dense() if one.is_sparse else one
        assert one.abs().max() > 0
        torch.testing.assert_close(one, other, msg=lambda message, name=name: f"{name}: {message}")


@pytest.mark.parametrize("hops", [1, 3])
@pytest.mark.parametrize("negatives", ["all", "hardest"])
def test_compiled_gradients_are_those_of_autograd(
    hops: int, negatives: Literal["all", "hardest"], threads: int
) -> None:
    model, (users, candidates) = shaken(hops), pairs_with_every_case(small().training)
    model.optimization = replace(model.optimization, negatives=negatives)
    inputs = users, torch.zeros(len(users), 0, dtype=torch.long), candidates
    losses, gradients = [], []
    for compute_gradients in (model.compute_gradients, partial(TorchRecommender.compute_gradients, model)):
        model.zero_grad()
        losses.append(compute_gradients(*inputs))
        gradients.append({name: p.grad.to_dense() for name, p in model.named_parameters() if p.grad is not None})
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[1].items():
        torch.testing.assert_close(gradients[0][name], gradient, rtol=1e-9, atol=1e-9, msg=name)


def test_a_subclass_with_other_scores_is_trained_by_its_own_gradients() -> None:
    class Halved(CMN):
        def forward(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
            return super().forward(users, contexts, candidates) / 2

    model, (users, candidates) = shaken(hops=2), pairs_with_every_case(small().training)
    inputs = users, torch.zeros(len(users), 0, dtype=torch.long), candidates
    model.__class__ = Halved
    assert model.compute_gradients(*inputs) == pytest.approx(model.loss(model(*inputs)).item())
    assert model.loss(model(*inputs)).item() != pytest.approx(model.loss(CMN.forward(model, *inputs)).item())


def test_attention_sums_to_one_over_the_neighborhood_and_no_user_attends_to_itself() -> None:
    training = small().training
    taken = torch.tensor(training.matrix.toarray()) > 0
    users = torch.arange(training.n_users)
    candidates = torch.arange(training.n_items).expand(len(users), -1)
    contexts = torch.zeros(len(users), 0, dtype=torch.long)
    for keep_self in (False, True):
        attention = shaken(hops=2, keep_self=keep_self).compute_attention(
            users, contexts, candidates
        )  # [H, B, C, n_users]
        is_neighbor = taken.T.expand(len(users), -1, -1).clone()
        if not keep_self:
            is_neighbor[users, :, users] = False
        assert ((attention > 0) <= is_neighbor).all()
        sums = attention.sum(-1)
        torch.testing.assert_close(sums, is_neighbor.any(-1).to(sums.dtype).expand_as(sums))
        self_attention = attention[:, users, :, users]  # [B, H, C]
        assert bool((self_attention > 0).any()) == keep_self


def test_the_score_of_an_item_does_not_depend_on_whether_the_user_took_it() -> None:
    """Check for a leak: if u is in N(j), the score of (u, j) reveals whether u took j."""
    model, training = shaken(hops=2), small().training
    user = 0
    column = training.matrix[[user]].indices[0]
    matrix_without = training.matrix.tolil()
    matrix_without[user, column] = 0
    contexts, one = torch.zeros(1, 0, dtype=torch.long), torch.tensor([user])
    is_blind = {}
    for keep_self in (False, True):
        model.keep_self = keep_self
        model.set_neighborhoods(training.matrix)
        score_if_taken = model(one, contexts, torch.tensor([[column]])).item()
        model.set_neighborhoods(matrix_without.tocsr())
        is_blind[keep_self] = model(one, contexts, torch.tensor([[column]])).item() == score_if_taken
    assert is_blind == {False: True, True: False}


def test_an_item_without_neighbors_is_scored_without_memory() -> None:
    model, training = shaken(hops=3), small().training
    counts = np.bincount(training.matrix.indices, minlength=training.n_items)
    item = int(np.flatnonzero(counts == 0)[0])
    score = model(torch.tensor([4]), torch.zeros(1, 0, dtype=torch.long), torch.tensor([[item]]))
    product = torch.cat([model.memory.weight[4] * model.items.weight[item], torch.zeros(5, dtype=torch.float64)])
    expected = model.output.weight @ torch.relu(model.hidden.weight @ product + model.hidden.bias)
    torch.testing.assert_close(score[0], expected)


@pytest.mark.parametrize("max_entries", [1, 7, 50])
def test_blocks_bound_memory_and_change_no_score(max_entries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, test = shaken(hops=2), small().test
    inputs = torch.tensor(test.users), torch.zeros(len(test), 0, dtype=torch.long), torch.tensor(test.candidates)
    together, attention = model(*inputs), model.compute_attention(*inputs)
    sizes = []
    monkeypatch.setattr(cmn, "MAX_ENTRIES", max_entries)

    def record_size(*pairs_and_index: Any) -> Neighborhoods:
        neighborhoods = find_neighborhoods(*pairs_and_index)
        sizes.append(len(neighborhoods.pair))
        return neighborhoods

    monkeypatch.setattr(cmn, "find_neighborhoods", record_size)
    torch.testing.assert_close(model(*inputs), together)
    max_neighbors = np.bincount(small().training.matrix.indices).max()
    assert len(sizes) > 1
    assert max(sizes) <= max_entries + max_neighbors
    torch.testing.assert_close(model.compute_attention(*inputs), attention)


def test_large_queries_do_not_overflow() -> None:
    model, test = shaken(hops=2), small().test
    with torch.no_grad():
        model.memory.weight.mul_(1e4)
    inputs = torch.tensor(test.users), torch.empty(len(test.users), 0), torch.tensor(test.candidates)
    with torch.no_grad():
        compiled = model(*inputs)
    expected = model(*inputs).detach()
    assert torch.isfinite(expected).all()
    torch.testing.assert_close(compiled, expected)
    assert math.isfinite(model.compute_gradients(*inputs))


def test_memories_start_from_half_of_gmf_and_gmf_is_frozen() -> None:
    gmf = GMF(4, "bpr", BRIEF)
    gmf.fit(small().training)
    before = {name: value.clone() for name, value in gmf.state_dict().items()}
    model = CMN(gmf, optimization=BRIEF)
    model.build(small().training.n_users, small().training.n_items)
    torch.testing.assert_close(model.memory.weight, gmf.product.users.weight / 2)
    torch.testing.assert_close(model.items.weight, gmf.product.items.weight / 2)
    assert all((layer.bias == 1).all() for layer in model.further)
    model.fit(small().training)
    for name, value in gmf.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    assert not torch.equal(model.memory.weight, gmf.product.users.weight / 2)


@pytest.mark.parametrize("regularization_rows", ["batch", "pair", "none"])
def test_regularization_acts_on_weights_and_on_the_rows_that_the_option_names(regularization_rows: str) -> None:
    users, candidates = pairs_with_every_case(small().training)
    after = []
    for regularization in (0.0, 0.1):
        model = shaken(hops=2)
        model.optimization = replace(BRIEF, optimizer="sgd", learning_rate=1.0, regularization=regularization)
        model.regularization_rows = regularization_rows  # type: ignore[assignment]
        model.build(small().training.n_users, small().training.n_items)
        torch.manual_seed(3)
        with torch.no_grad():
            for parameter in model.double().parameters():
                parameter.normal_()
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        optimizer = Optimizer(model, model.optimization)
        optimizer.start_epoch(1)
        model.compute_gradients(users, torch.zeros(len(users), 0, dtype=torch.long), candidates)
        optimizer.step()
        after.append({name: p.detach().clone() for name, p in model.named_parameters()})
    taken = small().training.matrix.toarray() > 0
    is_neighbor, is_user = np.zeros(len(taken), bool), np.zeros(len(taken), bool)
    is_candidate = np.zeros(taken.shape[1], bool)
    is_user[users], is_candidate[candidates.flatten()] = True, True
    for user, items in zip(users.tolist(), candidates, strict=True):
        is_neighbor |= taken[:, items].any(axis=1) & (np.arange(len(taken)) != user)
    expected = {
        "batch": (is_user | is_neighbor, is_candidate, is_neighbor),
        "pair": (is_user, is_candidate, is_user & False),
        "none": (is_user & False, is_candidate & False, is_user & False),
    }[regularization_rows]
    regularized = dict(zip(("memory.weight", "items.weight", "external.weight"), expected, strict=True))
    for name in (*regularized, "hidden.weight", "output.weight"):
        acts_on = torch.as_tensor(regularized.get(name, True)).view(-1, 1)
        torch.testing.assert_close(after[0][name] - after[1][name], 0.2 * acts_on * before[name])


def test_a_user_of_several_instances_is_regularized_once_a_batch() -> None:
    users, candidates = pairs_with_every_case(small().training)
    parts = []  # that λ adds to the gradient of the memories
    for copies in (1, 2):
        gradients = []
        for regularization_rows in ("none", "pair"):
            model = shaken(hops=2)
            model.optimization = replace(BRIEF, regularization=0.1)
            model.regularization_rows = regularization_rows  # type: ignore[assignment]
            contexts = torch.zeros(copies * len(users), 0, dtype=torch.long)
            model.compute_gradients(users.repeat(copies), contexts, candidates.repeat(copies, 1))
            gradients.append(model.memory.weight.grad.to_dense())  # type: ignore[union-attr]
        parts.append(gradients[1] - gradients[0])
    assert parts[0].any()
    torch.testing.assert_close(*parts)


def test_the_start_is_no_model_since_the_last_layers_are_random() -> None:
    model = make(optimization=replace(BRIEF, epochs=1))
    model.fit(small().training)
    assert "validation" not in model.history[0]


def test_a_saved_cmn_holds_its_neighborhoods(tmp_path) -> None:  # type: ignore[no-untyped-def]
    model, again = make(optimization=BRIEF), make(optimization=BRIEF)
    model.fit(small().training)
    model.save(tmp_path / "model.pt")
    again.load(tmp_path / "model.pt", small().training.n_users, small().training.n_items)
    test = small().test
    inputs = test.users, test.contexts.last_n(0), test.candidates
    np.testing.assert_array_equal(again.score(*inputs), model.score(*inputs))


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="hops"):
        CMN(GMF(objective="bpr"), hops=0)
    with pytest.raises(ValueError, match='objective "bpr"'):
        CMN(GMF())
    with pytest.raises(ValueError, match="regularization_rows=pair has no effect with regularization_scope=all"):
        CMN(GMF(objective="bpr"), regularization_rows="pair", optimization=replace(BRIEF, regularization_scope="all"))
