"""The training loop: repeatable, resumable, stopped in time, and blind to the test side."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from sdmr.baselines.mf_bpr import MFBPR
from sdmr.datasets.task import HeldOut, Instances, Training
from sdmr.harness.embedding import Embedding
from sdmr.harness.optimiser import Optimisation
from sdmr.harness.ranking import Ranks
from sdmr.harness.training import TorchRecommender, best_epoch
from tests.behaviour import small

OPTIMISATION = Optimisation(learning_rate=0.02, regularisation=0.001, batch_size=48, epochs=4, patience=4, device="cpu")
ROWWISE = replace(OPTIMISATION, optimizer="rowwise")


class Killed(Exception):
    """Stands for whatever ends a process."""


class Factors(TorchRecommender):
    """A small recommender with all that a model may hold: two tables, padding, a layer with a bias, dropout."""

    context_length = 3

    def __init__(self, dropout: float = 0.0, optimisation: Optimisation = OPTIMISATION) -> None:
        super().__init__(optimisation)
        self.rate = dropout

    def build(self, n_users: int, n_items: int) -> None:
        self.users = Embedding(n_users, 4, std=0.3)
        self.items = Embedding(n_items, 4, std=0.3, padding=True)
        self.layer = nn.Linear(4, 4)
        self.dropout = nn.Dropout(self.rate)

    def forward(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        query = self.dropout(torch.tanh(self.layer(self.users(users)))) + self.items(contexts).mean(1)
        return (query[:, None] * self.items(candidates)).sum(-1)


class Parent(TorchRecommender):
    """Its part's scores, scaled, and a dropout of its own; notes the state of the part whenever it uses it."""

    context_length = Factors.context_length

    def __init__(self, part: Factors | Parent, optimisation: Optimisation = OPTIMISATION) -> None:
        super().__init__(optimisation)
        self.part = part
        self.part_was_fitted_at_build = False
        self.modes: set[tuple[bool, bool, bool]] = set()  # training: this model's dropout, the part, the part's dropout

    def build(self, n_users: int, n_items: int) -> None:
        self.part_was_fitted_at_build = self.part.fitted
        self.items = Embedding(n_items, 1, std=0.3)
        self.dropout = nn.Dropout(0.5)

    def forward(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        self.modes.add((self.dropout.training, self.part.training, self.part.dropout.training))
        return self.dropout(self.items(candidates).squeeze(-1)) + self.part(users, contexts, candidates)


MAKERS: dict[str, Callable[[], TorchRecommender]] = {
    "dense": lambda: MFBPR(dim=4, item_bias=True, optimisation=OPTIMISATION),
    "rowwise": lambda: MFBPR(dim=4, item_bias=True, optimisation=ROWWISE),
    "dropout": lambda: Factors(dropout=0.3),
    "dropout, rowwise": lambda: Factors(dropout=0.3, optimisation=ROWWISE),
    "with a part": lambda: Parent(Factors(dropout=0.3)),
    "with a part of a part": lambda: Parent(Parent(Factors(dropout=0.3))),
}
every_maker = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())


def bits(model: TorchRecommender) -> tuple[dict[str, Tensor], list[dict[str, float]]]:
    """All that a fit leaves: parameters, and the history less its seconds."""
    history = [{key: value for key, value in entry.items() if "seconds" not in key} for entry in model.history]
    return {name: value.clone() for name, value in model.state_dict().items()}, history


def assert_same_bits(model: TorchRecommender, other: TorchRecommender) -> None:
    (parameters, history), (others, other_history) = bits(model), bits(other)
    assert history == other_history
    assert parameters.keys() == others.keys()
    for name, value in parameters.items():
        assert torch.equal(value, others[name]), name


def fitted(model: TorchRecommender, training: Training) -> TorchRecommender:
    model.fit(training)
    return model


def watch(model: TorchRecommender, on_call: Callable[[int, tuple[Tensor, ...]], None]) -> None:
    """Have `on_call(number from 1, inputs)` called before every forward pass of the model itself."""
    forward, calls = model.forward, count(1)

    def watched(*inputs: Tensor) -> Tensor:
        on_call(next(calls), inputs)
        return forward(*inputs)

    model.forward = watched  # type: ignore[assignment, method-assign]


def kill_at(model: TorchRecommender, moment: int) -> None:
    def kill(call: int, inputs: tuple[Tensor, ...]) -> None:
        if call == moment:
            raise Killed

    watch(model, kill)


def kill_while_writing(patch: pytest.MonkeyPatch, after: int) -> None:
    """Let so many files be written, and kill when half of the next is on the disk."""
    number = count()

    def sync_or_die(descriptor: int) -> None:
        if next(number) >= after:
            os.truncate(descriptor, os.fstat(descriptor).st_size // 2)
            raise Killed

    patch.setattr(os, "fsync", sync_or_die)


def n_calls(model: TorchRecommender, training: Training) -> int:
    """Fit, and count the forward passes that it took: batches, and blocks of the development instances."""
    calls = [0]
    watch(model, lambda call, inputs: calls.append(call))
    model.fit(training)
    return calls[-1]


# --- the same bits ---


@every_maker
def test_the_same_seed_gives_the_same_bits(make: Callable[[], TorchRecommender]) -> None:
    model = fitted(make(), small().training)
    torch.manual_seed(99)  # whatever state the caller's generators are in
    np.random.seed(99)  # noqa: NPY002
    assert_same_bits(fitted(make(), small().training), model)
    other = fitted(make(), replace(small().training, seed=1))
    assert bits(other)[1] != bits(model)[1]
    assert any(not torch.equal(value, bits(model)[0][name]) for name, value in bits(other)[0].items())


@every_maker
def test_a_killed_fit_goes_on_to_the_same_bits(make: Callable[[], TorchRecommender], tmp_path: Path) -> None:
    whole = make()
    total = n_calls(whole, small().training)
    an_epoch = total // OPTIMISATION.epochs
    assert total == an_epoch * OPTIMISATION.epochs > 2 * OPTIMISATION.epochs
    for moment in range(1, total + 1):
        training = replace(small().training, checkpoint=tmp_path / f"{moment}.pt")
        model = make()
        kill_at(model, moment)
        with pytest.raises(Killed):
            model.fit(training)
        torch.manual_seed(moment)
        again = make()
        left = n_calls(again, training)
        assert left == total - (moment - 1) // an_epoch * an_epoch  # finished epochs are not trained again
        assert_same_bits(again, whole)


@every_maker
def test_a_fit_killed_twice_goes_on_to_the_same_bits(make: Callable[[], TorchRecommender], tmp_path: Path) -> None:
    training = replace(small().training, checkpoint=tmp_path / "fit.pt")
    an_epoch = n_calls(make(), small().training) // OPTIMISATION.epochs
    for _ in range(2):
        model = make()
        kill_at(model, an_epoch + 2)  # in the second epoch of what is left
        with pytest.raises(Killed):
            model.fit(training)
    assert_same_bits(fitted(make(), training), fitted(make(), small().training))


@every_maker
def test_a_fit_killed_while_it_writes_goes_on_to_the_same_bits(
    make: Callable[[], TorchRecommender], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, training = fitted(make(), small().training), replace(small().training, checkpoint=tmp_path / "fit.pt")
    with monkeypatch.context() as patch:
        kill_while_writing(patch, after=2)
        with pytest.raises(Killed):
            make().fit(training)
    again = make()
    assert n_calls(again, training) == n_calls(make(), small().training) // 2  # two of four epochs are left
    assert_same_bits(again, whole)


def test_a_finished_fit_is_read_from_its_checkpoint(tmp_path: Path) -> None:
    training = replace(small().training, checkpoint=tmp_path / "fit.pt")
    whole, again = fitted(Factors(), training), Factors()
    assert n_calls(again, training) == 0
    assert_same_bits(again, whole)


# --- early stopping ---


class Clock(TorchRecommender):
    """One parameter that tells the epoch: its gradient is 1, so that Adam moves it by the learning rate a batch.

    In epoch e it ranks the targets of script[e] of the development instances first, and the others last.
    """

    def __init__(self, script: list[int], optimisation: Optimisation) -> None:
        super().__init__(optimisation)
        self.script = script

    def build(self, n_users: int, n_items: int) -> None:
        self.time = nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def forward(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        return self.time * torch.ones(candidates.shape)

    def loss(self, scores: Tensor) -> Tensor:
        return self.time.sum()

    @property
    def epoch(self) -> int:
        batches = -(-len(small().training.instances) // self.optimisation.batch_size)
        return round(-self.time.item() / self.optimisation.learning_rate / batches)

    def score(self, users: np.ndarray, contexts: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        development = small().training.development
        target = dict(zip(development.users, development.targets, strict=True))
        is_target = candidates == np.array([target[user] for user in users])[:, None]
        is_first = np.isin(users, development.users[: self.script[self.epoch]])
        return np.where(is_target, np.where(is_first, 1.0, -1.0)[:, None], 0.0)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=9, max_size=9), st.integers(1, 4), st.integers(1, 8))
def test_it_stops_and_restores_as_the_development_curve_says(script: list[int], patience: int, epochs: int) -> None:
    best, last = 1, 1
    for epoch in range(1, epochs + 1):
        last = epoch
        if script[epoch] > script[best]:
            best = epoch
        if epoch - best == patience:
            break

    options = replace(OPTIMISATION, regularisation=0, batch_size=100, patience=patience, epochs=epochs)
    model = Clock(script, options)
    model.fit(small().training)
    n = len(small().training.development)
    assert [entry["epoch"] for entry in model.history] == list(range(last + 1))
    np.testing.assert_allclose([e["development"] for e in model.history[1:]], np.array(script[1 : last + 1]) / n)
    assert model.epoch == best


@pytest.mark.parametrize(("select_by", "best"), [("NDCG@10", 2), ("hit@10", 4)])
def test_the_epoch_is_chosen_by_what_is_asked_for(
    select_by: Literal["NDCG@10", "hit@10"], best: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hit@10, then NDCG@10: epochs 3 to 5 have the best hits, 4 and 5 the better NDCG of these, 4 comes first."""
    places = iter([[0, 20, 20], [0, 0, 20], [5, 5, 5], [2, 2, 2], [2, 2, 2]])  # of three targets, epoch by epoch

    def ranks(*_: object) -> Ranks:
        return Ranks(np.array(next(places)), np.zeros(3, int))

    monkeypatch.setattr("sdmr.harness.training.count_ranks", ranks)
    options = replace(OPTIMISATION, regularisation=0, batch_size=100, epochs=5, patience=5, select_by=select_by)
    model = Clock([0] * 6, options)
    model.fit(small().training)
    assert model.epoch == best == best_epoch(model.history)
    assert ("development_hit" in model.history[1]) == (select_by == "hit@10")


def test_the_epoch_is_chosen_on_the_same_few_development_instances() -> None:
    seen: list[list[int]] = []
    for seed in (0, 1):
        model = Factors(optimisation=replace(OPTIMISATION, development_instances=5, epochs=2))

        def note(call: int, inputs: tuple[Tensor, ...], model: TorchRecommender = model) -> None:
            if not model.training:
                seen.append(inputs[0].tolist())

        watch(model, note)
        model.fit(replace(small().training, seed=seed))
    assert len(seen) == 4  # two epochs, twice
    assert seen == [seen[0]] * 4
    assert len(set(seen[0])) == 5
    assert set(seen[0]) <= set(small().training.development.users.tolist())


# --- what is trained on ---


@pytest.fixture(scope="module")
def batches() -> list[list[tuple[Tensor, ...]]]:
    """Every training batch (users, contexts, candidates) of twelve epochs."""
    model, epochs = Factors(optimisation=replace(OPTIMISATION, epochs=12, patience=12)), 12
    seen: list[tuple[Tensor, ...]] = []

    def note(call: int, inputs: tuple[Tensor, ...]) -> None:
        if model.training:
            seen.append(tuple(ids.clone() for ids in inputs))

    watch(model, note)
    model.fit(small().training)
    size = len(seen) // epochs
    assert len(seen) == size * epochs
    return [seen[start : start + size] for start in range(0, len(seen), size)]


def test_an_epoch_visits_every_instance_once_with_its_context(batches: list[list[tuple[Tensor, ...]]]) -> None:
    instances = small().training.instances
    contexts = instances.contexts.latest(Factors.context_length)
    expected = sorted(zip(instances.users, instances.targets, map(tuple, contexts), strict=True))
    orders = []
    for epoch in batches:
        visited = [
            (user, candidates[0], tuple(context))
            for batch in epoch
            for user, context, candidates in zip(*(ids.tolist() for ids in batch), strict=True)
        ]
        assert sorted(visited) == expected
        orders.append([visit[:2] for visit in visited])
        assert [len(batch[0]) for batch in epoch[:-1]] == [OPTIMISATION.batch_size] * (len(epoch) - 1)
    assert len(set(map(tuple, orders))) == len(orders)


def test_negatives_are_no_training_items_and_held_out_items_are_not_spared(
    batches: list[list[tuple[Tensor, ...]]],
) -> None:
    training, test = small().training, small().test
    taken = {(int(u), int(i)) for u, i in zip(*training.matrix.nonzero(), strict=True)}
    held_out = {
        (int(u), int(i)) for side in (training.development, test) for u, i in zip(side.users, side.targets, strict=True)
    }
    n_unseen = training.n_items - np.diff(training.matrix.indptr)
    n_held_out = np.bincount([user for user, _ in held_out], minlength=training.n_users)
    negatives, drawn, expected, by_epoch = 0, 0, 0.0, []
    for epoch in batches:
        pairs = [
            (user, item)
            for users, _, candidates in epoch
            for user, items in zip(users.tolist(), candidates.tolist(), strict=True)
            for item in items[1:]
        ]
        assert not taken.intersection(pairs)
        negatives += len(pairs)
        drawn += sum(pair in held_out for pair in pairs)
        expected += sum(n_held_out[user] / n_unseen[user] for user, _ in pairs)
        by_epoch.append(sorted(pairs))
    assert negatives == 12 * 4 * len(training.instances)
    assert abs(drawn - expected) < 4 * np.sqrt(expected)  # as often as any other unseen item
    assert len(set(map(tuple, by_epoch))) == len(by_epoch)


@pytest.mark.parametrize("negatives", ["all", "hardest"])
def test_bpr_is_a_sum_over_all_negatives_or_the_hardest(negatives: Literal["all", "hardest"]) -> None:
    scores = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    expected, counted = 0.0, torch.zeros(5, 4, dtype=torch.bool)
    counted[:, 0] = True
    for row, (positive, *others) in enumerate(scores.tolist()):
        for column, negative in enumerate(others, start=1):
            if negatives == "all" or negative == max(others):
                expected += float(np.log1p(np.exp(-(positive - negative))))
                counted[row, column] = True
    loss = MFBPR(optimisation=replace(OPTIMISATION, negatives=negatives)).loss(scores)
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    loss.backward()
    assert scores.grad is not None
    assert torch.equal(scores.grad != 0, counted)
    assert (scores.grad[:, 0] < 0).all()


def test_the_loss_in_the_history_is_the_mean_of_a_positive() -> None:
    """With steps too small to move a weight it can be had again from the batches: BPR of positives and negatives."""
    model = Factors(optimisation=replace(OPTIMISATION, learning_rate=1e-30, epochs=1))
    losses: list[float] = []

    def add(call: int, inputs: tuple[Tensor, ...]) -> None:
        if model.training:
            scores = Factors.forward(model, *inputs).detach()
            losses.extend(F.softplus(scores[:, 1:] - scores[:, :1]).sum(1).tolist())

    watch(model, add)
    model.fit(small().training)
    assert len(losses) == len(small().training.instances)
    assert model.history[1]["loss"] == pytest.approx(np.mean(losses), rel=1e-5)


# --- errors ---


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_an_error(bad: float, tmp_path: Path) -> None:
    class Diverging(Factors):
        batch = 0

        def loss(self, scores: Tensor) -> Tensor:
            self.batch += 1
            return super().loss(scores) * (bad if self.batch == 3 else 1)  # two batches an epoch

    checkpoint, model = tmp_path / "fit.pt", Diverging()
    with pytest.raises(FloatingPointError, match=f"^Diverging: the loss is {bad} in epoch 2"):
        model.fit(replace(small().training, checkpoint=checkpoint))
    assert not model.fitted
    kept = torch.load(checkpoint, weights_only=True)
    assert len(kept["history"]) == 2  # the epoch that failed has left nothing
    assert all(value.isfinite().all() for value in kept["parameters"].values())


def test_a_development_score_that_is_not_finite_is_an_error() -> None:
    class Unrankable(Factors):
        def forward(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
            scores = super().forward(users, contexts, candidates)
            return scores if self.training else scores / 0

    with pytest.raises(ValueError, match=r"^Unrankable scored user"):
        Unrankable().fit(small().training)


# --- parts ---


def test_parts_are_fitted_first_and_then_left_alone() -> None:
    alone = fitted(Factors(dropout=0.3), small().training)
    parent = Parent(Factors(dropout=0.3))
    parent.fit(small().training)
    assert parent.part_was_fitted_at_build
    assert parent.part.fitted
    assert_same_bits(parent.part, alone)
    assert not any(parameter.requires_grad for parameter in parent.part.parameters())
    assert parent.items.weight.requires_grad


def test_a_fitted_part_is_not_fitted_again() -> None:
    part = Factors()
    part.fit(replace(small().training, seed=8))
    before = {name: value.clone() for name, value in part.state_dict().items()}

    def refuse(training: Training) -> None:
        raise AssertionError("fitted again")

    part.fit = refuse  # type: ignore[method-assign]
    parent = Parent(part)
    parent.fit(small().training)
    for name, value in part.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_the_dropout_of_parts_stays_off() -> None:
    parent = Parent(Factors(dropout=0.5))
    parent.fit(small().training)
    assert parent.modes == {(True, False, False), (False, False, False)}  # training, and ranking development items


# --- files ---


@every_maker
def test_a_saved_recommender_scores_as_before(make: Callable[[], TorchRecommender], tmp_path: Path) -> None:
    training, test = small().training, small().test
    model, path = fitted(make(), training), tmp_path / "model.pt"
    model.save(path)
    loaded = make()
    loaded.load(path, training.n_users, training.n_items)
    assert_same_bits(loaded, model)
    inputs = test.users, test.contexts.latest(model.context_length), test.candidates
    np.testing.assert_array_equal(loaded.score(*inputs), model.score(*inputs))
    assert loaded.fitted
    assert all(part.fitted for part in loaded.parts.values())
    assert not any(parameter.requires_grad for part in loaded.parts.values() for parameter in part.parameters())
    assert [file.name for file in tmp_path.iterdir()] == ["model.pt"]


def test_a_save_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, path = fitted(Factors(), small().training), tmp_path / "model.pt"
    model.save(path)
    before = path.read_bytes()

    with monkeypatch.context() as patch:
        kill_while_writing(patch, after=0)
        with pytest.raises(Killed):
            model.save(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["model.pt"]


# --- the test side ---


def reachable(root: object) -> Iterator[object]:
    """Everything that can be reached from `root` by attributes, items, array bases and closures."""
    known: dict[int, object] = {}
    stack = [root]
    while stack:
        thing = stack.pop()
        if id(thing) in known or isinstance(thing, type | ModuleType):
            continue
        known[id(thing)] = thing
        yield thing
        if isinstance(thing, np.ndarray):
            stack.append(thing.base)
        elif isinstance(thing, FunctionType):  # its globals are the program, not what it was handed
            stack.extend(cell.cell_contents for cell in thing.__closure__ or ())
        else:
            stack.extend(gc.get_referents(thing))


def leaks(thing: object, test: HeldOut) -> list[str]:
    """How the test instances can be reached from a thing."""
    own = {"users": test.users, "targets": test.targets, "candidates": test.candidates}
    own |= {name: getattr(test.contexts, name) for name in ("start", "length", "place", "count")}
    # `contexts.items` is not the test side's own: it holds the training items, once for all instances.
    found = []
    for other in reachable(thing):
        if other is test or other is test.contexts:
            found.append(type(other).__name__)
        elif isinstance(other, np.ndarray):
            found += [name for name, array in own.items() if np.shares_memory(other, array)]
            found += [name for name in ("targets", "candidates") if np.array_equal(other, own[name])]
    return found


class Spy:
    """A recommender that keeps what it was handed."""

    def fit(self, training: Training) -> None:
        self.training = training
        training.matrix  # noqa: B018  it is cached on first use: what it holds must be looked at, too


def test_the_test_side_cannot_be_reached_from_what_fit_receives() -> None:
    task, spy = small(), Spy()
    spy.fit(task.training)
    seen = {id(thing) for thing in reachable(spy.training)}
    assert {id(task.training.development.candidates), id(spy.training.matrix.indices)} <= seen  # it did look
    assert leaks(spy.training, task.test) == []


@pytest.mark.parametrize("hide", ["attribute", "view", "copy", "closure"])
def test_the_search_for_leaks_finds_one(hide: str) -> None:
    task = small()
    test = task.test
    hidden = {
        "attribute": test,
        "view": test.users[1:3],
        "copy": {"deep": [test.targets.copy()]},
        "closure": lambda: test.candidates,
    }
    training = replace(task.training)
    object.__setattr__(training, "cache", hidden[hide])
    assert leaks(training, test) != []


def test_held_out_pairs_are_in_no_matrix_and_no_context() -> None:
    training, test = small().training, small().test
    for held in (training.development, test):
        assert not training.matrix[held.users, held.targets].any()
    sides: list[Instances] = [training.instances, training.development, test]
    for side in sides:
        contexts = side.contexts.latest(training.n_items)
        for held in (training.development, test):
            target = dict(zip(held.users.tolist(), held.targets.tolist(), strict=True))
            for user, context in zip(side.users.tolist(), contexts.tolist(), strict=True):
                assert target.get(user) not in context


def test_without_development_instances_no_epoch_can_be_chosen() -> None:
    training = small().training
    nothing = training.development.take(np.arange(0))
    with pytest.raises(ValueError, match="Factors cannot choose its epoch"):
        Factors().fit(replace(training, development=nothing))
