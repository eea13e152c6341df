"""The literal program and `sdmr.models.sdm.SDM(variant="released")` share no code, and must agree."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sdmr.datasets.interactions import Interactions
from sdmr.datasets.split import split
from sdmr.experiments import literal_sdm
from sdmr.experiments.literal_sdm import DIM, HOPS, LENGTH, LiteralSDM, Program
from sdmr.models.sdm import SDM, _left_over
from tests.behavior import small

N_USERS, N_ITEMS = 6, 11


def released() -> SDM:
    model = SDM(DIM, HOPS, LENGTH, "released", dropout=0, dropout_at_test="off")
    torch.manual_seed(0)
    model.build(N_USERS, N_ITEMS)
    with torch.no_grad():
        for table in (model.users_in, model.items_in, model.users_out, model.items_out):
            table.weight.normal_()
    return model.eval()


def with_weights_of(model: SDM) -> LiteralSDM:
    """The literal one with the same weights: users and items are numbered from 1, and 0 is what n_items is here."""
    literal = LiteralSDM(N_USERS, N_ITEMS)
    sides = (
        (literal.attention, "in", model.a_user, model.a_item, model.c_query, model.c_context),
        (literal.output, "out", model.b_user, model.b_item, model.d_query, model.d_context),
    )
    with torch.no_grad():
        for side, name, *halves in sides:
            users, items = getattr(model, f"users_{name}").weight, getattr(model, f"items_{name}").weight
            side.users.weight[1:], side.items.weight.data = users, torch.cat([items[-1:], items[:-1]])
            for layer, first, second in ((side.query, *halves[:2]), (side.key, *halves[2:])):
                layer.weight.data, layer.bias.data = torch.cat([first.weight, second.weight], dim=1), second.bias
    for name, layer in (("gate", model.gate), ("transform", model.layer), ("sum", model.output)):
        getattr(literal, name).load_state_dict(layer.state_dict())
    literal.sum.weight.data.neg_()  # it weighs −e
    return literal.eval()


def test_without_dropout_both_give_the_same_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(literal_sdm, "DROPOUT", 0.0)
    model = released()
    users = torch.arange(N_USERS)
    candidates = torch.randint(N_ITEMS, (N_USERS, 4))
    contexts = torch.randint(N_ITEMS, (N_USERS, LENGTH))
    contexts[torch.arange(LENGTH) < torch.arange(N_USERS)[:, None]] = N_ITEMS  # from none to all of the places
    ids = torch.where(contexts == N_ITEMS, 0, contexts + 1)
    with torch.no_grad():
        expected = with_weights_of(model)(ids, users + 1, candidates + 1)
        torch.testing.assert_close(model(users, contexts, candidates), expected, rtol=1e-5, atol=1e-5)


def test_its_queries_drop_at_test_too() -> None:
    literal = with_weights_of(released())
    contexts, users, items = (torch.ones(shape, dtype=torch.long) for shape in ((1, LENGTH), (1,), (1, 1)))
    assert literal(contexts, users, items) != literal(contexts, users, items)


def test_contexts_are_those_of_the_suite_with_what_is_left_over() -> None:
    task = small()
    program = Program(task, 0)
    order = np.random.default_rng(1).permutation(len(program.users))
    padding = task.training.n_items
    latest = torch.from_numpy(task.training.instances.contexts.last_n(LENGTH, order))
    expected = torch.where((left := _left_over(latest, padding)) == padding, 0, left + 1)
    np.testing.assert_array_equal(program._contexts(order), expected)


def test_baskets_are_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    users, items = np.arange(9).repeat(4), np.arange(36) % 20
    baskets = split(Interactions.from_raw(users, items, baskets=users), n_candidates=10)
    monkeypatch.setattr(literal_sdm, "task_of", lambda _: (baskets, None))
    monkeypatch.setattr("sys.argv", ["literal_sdm"])
    with pytest.raises(SystemExit):
        literal_sdm.main()
    assert "reads histories, not baskets" in capsys.readouterr().err


def test_negatives_are_distinct_and_not_taken() -> None:
    program = Program(small(), 0)
    negatives = program._negatives(program.users)
    for user, drawn in zip(program.users, negatives, strict=True):
        assert len(set(drawn)) == len(drawn)
        assert not set(drawn) & program.taken[user]
    assert negatives.min() == 1
    assert negatives.max() == program.n_items


def test_the_target_comes_last_among_its_candidates_and_training_ranks_it_higher() -> None:
    test = small().test
    program = Program(small(), 0)
    np.testing.assert_array_equal(program.test_candidates[:, -1] - 1, test.targets)
    np.testing.assert_array_equal(np.sort(program.test_candidates, axis=1) - 1, test.candidates)
    losses = [program.epoch() for _ in range(3)]
    assert losses[0] > losses[1] > losses[2]
    hit, gain = program.evaluate()
    assert 0 < gain <= hit <= 1
