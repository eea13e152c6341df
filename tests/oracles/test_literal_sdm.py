"""The literal program and `sdmr.models.released.ReleasedSDM` share no code, and must agree."""

from pathlib import Path

import numpy as np
import pytest
import torch

from sdmr.experiments.core import cli
from sdmr.models.released import ReleasedSDM, fill_left_over
from tests.behavior import small
from tests.oracles import literal_sdm
from tests.oracles.literal_sdm import DIM, HOPS, LENGTH, LiteralSDM, Program

N_USERS, N_ITEMS = 6, 11


def make_released() -> ReleasedSDM:
    model = ReleasedSDM(DIM, HOPS, LENGTH, dropout=0, dropout_at_test="off")
    torch.manual_seed(0)
    model.build(N_USERS, N_ITEMS)
    with torch.no_grad():
        for table in (model.users_in, model.items_in, model.users_out, model.items_out):
            table.weight.normal_()
    return model.eval()


def copy_weights(model: ReleasedSDM) -> LiteralSDM:
    """Make the literal model with the same weights; it counts users and items from 1, and its 0 is our n_items."""
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


def test_the_literal_model_and_the_released_one_score_alike_without_dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(literal_sdm, "DROPOUT", 0.0)
    model = make_released()
    users = torch.arange(N_USERS)
    candidates = torch.randint(N_ITEMS, (N_USERS, 4))
    contexts = torch.randint(N_ITEMS, (N_USERS, LENGTH))
    contexts[torch.arange(LENGTH) < torch.arange(N_USERS)[:, None]] = N_ITEMS  # from an empty to a full context
    ids = torch.where(contexts == N_ITEMS, 0, contexts + 1)
    with torch.no_grad():
        literal = copy_weights(model)
        expected = torch.stack([literal(ids, users + 1, column + 1) for column in candidates.T], dim=1)
        torch.testing.assert_close(model(users, contexts, candidates), expected, rtol=1e-5, atol=1e-5)


def test_queries_of_the_literal_model_drop_at_test_too() -> None:
    literal = copy_weights(make_released())
    contexts, users, items = (torch.ones(shape, dtype=torch.long) for shape in ((1, LENGTH), (1,), (1,)))
    assert literal(contexts, users, items) != literal(contexts, users, items)


def test_contexts_of_the_program_are_those_of_the_suite_with_left_over_items() -> None:
    task = small()
    program = Program(task, 0)
    order = np.random.default_rng(1).permutation(len(program.users))
    padding = task.training.n_items
    context = torch.from_numpy(task.training.instances.contexts.last_n(LENGTH, order))
    expected = torch.where((left := fill_left_over(context, padding)) == padding, 0, left + 1)
    np.testing.assert_array_equal(program._contexts(order), expected)


def test_a_data_set_with_baskets_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SDMR_CACHE", str(tmp_path / "cache"))
    rows = "".join(f"{row // 4},{row % 200},{row // 4}\n" for row in range(600))
    (tmp_path / "baskets.csv").write_text("user,item,basket\n" + rows)
    arguments = ["dataset=csv", f"dataset.path={tmp_path / 'baskets.csv'}", "dataset.basket=basket"]
    assert literal_sdm.run(arguments) == cli.WRONG_USE
    assert "dataset=csv: the authors' program reads histories, not baskets" in capsys.readouterr().err


def test_the_program_prints_each_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SDMR_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(5)
    rows = [f"{user},{item},{time}" for user in range(50) for time, item in enumerate(rng.choice(140, 8, False))]
    (tmp_path / "small.csv").write_text("\n".join(["user,item,time", *rows]) + "\n")
    arguments = ["seeds=2", "epochs=1", "dataset=csv", f"dataset.path={tmp_path / 'small.csv'}", "dataset.time=time"]
    assert literal_sdm.run(arguments) == 0
    assert [line.partition(": ")[0] for line in capsys.readouterr().out.splitlines()] == [
        "seed 0, epoch 1",
        "seed 1, epoch 1",
    ]


def test_negatives_of_the_program_are_distinct_and_not_taken_by_the_user() -> None:
    program = Program(small(), 0)
    negatives = program._negatives(program.users)
    for user, drawn in zip(program.users, negatives, strict=True):
        assert len(set(drawn)) == len(drawn)
        assert not set(drawn) & program.taken[user]
    assert negatives.min() == 1
    assert negatives.max() == program.n_items


def test_the_programs_target_comes_last_among_its_candidates_and_training_lowers_the_loss() -> None:
    test = small().test
    program = Program(small(), 0)
    np.testing.assert_array_equal(program.test_candidates[:, -1] - 1, test.targets)
    np.testing.assert_array_equal(np.sort(program.test_candidates, axis=1) - 1, test.candidates)
    losses = [program.run_epoch() for _ in range(3)]
    assert losses[0] > losses[1] > losses[2]
    hit, gain = program.evaluate()
    assert 0 < gain <= hit <= 1
