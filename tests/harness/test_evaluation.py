"""Check scores, and rank among candidates or all unseen items."""

import warnings
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from scipy.special import softmax

from sdmr.datasets.task import Task
from sdmr.harness import evaluation
from sdmr.harness.evaluation import (
    rank,
    rank_among_all,
    score_all_items,
    score_candidates,
    select_instances,
)
from sdmr.harness.metrics import Ranks
from sdmr.harness.recommender import ModelError, compute_checksums
from sdmr.harness.score_check import check_independence
from tests.behavior import small
from tests.harness.scripted import PADDING, Scripted, make_instances


@pytest.mark.parametrize("targets", [[0, 3], [0, 1]])
def test_a_target_must_be_once_among_its_candidates(targets: list[int]) -> None:
    candidates = np.array([[0, 1, 2], [1, 1, 2]])
    instances = replace(make_instances([0, 1], 3), targets=np.array(targets), candidates=candidates)
    with pytest.raises(ValueError, match=f"user 1, target {targets[1]}: the target must be once"):
        _ = instances.target_columns


def test_ranks_do_not_depend_on_batches() -> None:
    rng = np.random.default_rng(0)
    recommender = Scripted(rng.integers(4, size=(23, 9)).astype(np.float32))
    instances = make_instances(list(rng.integers(9, size=23)), 9)
    one_batch = rank(recommender, instances, batch_size=1000)
    for batch_size in (1, 5, 23):
        ranks = rank(recommender, instances, batch_size)
        np.testing.assert_array_equal(ranks.above, one_batch.above)
        np.testing.assert_array_equal(ranks.tied, one_batch.tied)


def test_a_recommender_gets_the_context_it_asks_for() -> None:
    recommender = Scripted(np.zeros((1, 4)))
    rank(recommender, make_instances([0], 4))
    recommender.context_length = 2  # type: ignore[attr-defined]
    rank(recommender, make_instances([0], 4))
    default, requested = recommender.contexts[0], recommender.contexts[-1]
    np.testing.assert_array_equal(default, [[PADDING] * 17 + [7, 8, 9]])
    np.testing.assert_array_equal(requested, [[8, 9]])


@pytest.mark.parametrize("length", [-1, 2.5, "5", None])
def test_a_context_length_that_is_no_number_of_items_is_an_error(length: Any) -> None:
    recommender = Scripted(np.zeros((1, 4)))
    recommender.context_length = length  # type: ignore[attr-defined]
    with pytest.raises(ModelError, match=rf"^Scripted\.context_length is {length!r}, expected an integer, 0 or more$"):
        rank(recommender, make_instances([0], 4))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("is_target", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_score_that_is_not_finite_is_an_error(bad: float, is_target: bool, dtype: type) -> None:
    scores: np.ndarray = np.zeros((5, 6), dtype=dtype)
    scores[3, 4] = bad
    instances = make_instances([4 if is_target else 1] * 5, 6)
    with pytest.raises(ValueError, match=rf"^Scripted scored user 3, item 4 as {bad}"):
        rank(Scripted(scores), instances, batch_size=2)


@pytest.mark.parametrize(
    "score",
    [
        lambda candidates: np.zeros(len(candidates)),
        lambda candidates: np.zeros((len(candidates), 1)),
        lambda candidates: np.zeros(candidates.T.shape),
        lambda candidates: np.zeros((len(candidates), candidates.shape[1] + 1)),
        lambda candidates: np.zeros((len(candidates) + 1, candidates.shape[1])),
        lambda candidates: np.zeros((*candidates.shape, 1)),
        lambda candidates: np.float64(0),
    ],
)
def test_scores_of_a_wrong_shape_are_an_error(score: Callable[[np.ndarray], Any]) -> None:
    with pytest.raises(ValueError, match=r"^Scripted\.score "):
        rank(Scripted(score), make_instances([0, 1, 2], 4))


@pytest.mark.parametrize(
    ("score", "type_name"),
    [
        (lambda candidates: np.full(candidates.shape, 2**60), "int64"),
        (lambda candidates: np.zeros(candidates.shape, dtype=bool), "bool"),
        (lambda candidates: np.zeros(candidates.shape, dtype=complex), "complex128"),
        (lambda candidates: np.zeros(candidates.shape, dtype=object), "object"),
        (lambda candidates: np.full(candidates.shape, "1.5"), "<U3"),
        (lambda candidates: torch.zeros(candidates.shape, dtype=torch.bool), "torch.bool"),
        (lambda candidates: np.ma.masked_equal(candidates * 1.0, 0), "MaskedArray"),
        (lambda candidates: csr_matrix(candidates), "csr_matrix"),
        (lambda candidates: pd.DataFrame({"a": ["x"] * len(candidates)}), "DataFrame"),
        (lambda candidates: [[1.0], *candidates[1:].tolist()], "list"),
        (lambda candidates: torch.zeros(candidates.shape).to(torch.float8_e4m3fn), "torch.float8_e4m3fn"),
        (lambda candidates: None, "NoneType"),
    ],
)
def test_scores_of_a_wrong_type_are_an_error(score: Callable[[np.ndarray], Any], type_name: str) -> None:
    with pytest.raises(ModelError, match=rf"^Scripted\.score .*{type_name}$"):
        rank(Scripted(score), make_instances([0, 1, 2], 4))


@pytest.mark.parametrize(
    "convert",
    [
        lambda scores: torch.from_numpy(scores),
        lambda scores: torch.from_numpy(scores).requires_grad_(),
        lambda scores: torch.from_numpy(scores).half(),
        lambda scores: torch.from_numpy(scores).to_sparse(),
        lambda scores: torch.from_numpy(scores).bfloat16(),
        lambda scores: torch.from_numpy(scores).int(),
        lambda scores: scores.astype(np.float16),
        lambda scores: scores.astype(">f4"),
        lambda scores: scores.astype(np.uint8),
        lambda scores: scores.astype(">i8"),
        lambda scores: np.asfortranarray(scores),
        lambda scores: scores.view(np.matrix),
        lambda scores: np.ma.array(scores),
        lambda scores: pd.DataFrame(scores),
        lambda scores: scores.tolist(),
    ],
)
def test_scores_in_any_array_of_numbers_are_ranked(convert: Callable[[np.ndarray], Any]) -> None:
    rng = np.random.default_rng(0)
    table = rng.integers(5, size=(7, 6)).astype(np.float64)
    instances = make_instances(rng.integers(6, size=7).tolist(), 6)
    expected = rank(Scripted(table), instances)

    class Converted(Scripted):
        def score(self, users: np.ndarray, contexts: np.ndarray, candidates: np.ndarray) -> Any:
            return convert(super().score(users, contexts, candidates))

    ranks = rank(Converted(table), instances)
    np.testing.assert_array_equal(ranks.above, expected.above)
    np.testing.assert_array_equal(ranks.tied, expected.tied)
    check_independence(Scripted(lambda candidates: convert(candidates * 1.0)), instances)


class Writer(Scripted):
    """Write into all that `score` receives."""

    def score(self, users: np.ndarray, contexts: np.ndarray, candidates: np.ndarray) -> Any:
        scores = super().score(users, contexts, candidates)
        for received in (users, contexts, candidates):
            received[:] = 0
        return scores


class OneBuffer(Scripted):
    """Return the same array again and again."""

    buffer = np.zeros(10_000)

    def score(self, users: np.ndarray, contexts: np.ndarray, candidates: np.ndarray) -> Any:
        scores = self.buffer[: candidates.size].reshape(candidates.shape)
        scores[:] = super().score(users, contexts, candidates)
        return scores


@pytest.mark.parametrize("model", [Writer, OneBuffer])
def test_ranks_do_not_depend_on_what_a_model_writes_to(model: type[Scripted]) -> None:
    rng = np.random.default_rng(0)
    table = rng.normal(size=(23, 90))
    instances = make_instances(rng.integers(90, size=23).tolist(), 90)
    seen = csr_matrix((23, 90))
    before = compute_checksums(instances)
    for rank_instances in (
        lambda model: rank(model, instances, batch_size=5),
        lambda model: rank_among_all(model, instances, seen, max_scores=10 * 90),
        lambda model: check_independence(model, instances),
    ):
        results = rank_instances(model(table)), rank_instances(Scripted(table))
        if results[0] is not None:
            np.testing.assert_array_equal(results[0].above, results[1].above)
    assert compute_checksums(instances) == before


@pytest.mark.parametrize("is_scored_in_blocks", [True, False])
def test_rows_with_fewer_candidates_are_ranked_among_those(is_scored_in_blocks: bool) -> None:
    rng = np.random.default_rng(0)
    table = rng.integers(4, size=(9, 12)).astype(np.float32)  # with ties
    instances = make_instances(rng.integers(3, size=9).tolist(), 12)
    n_candidates = rng.integers(3, 13, size=9)
    is_padding = np.arange(12) >= n_candidates[:, None]
    candidates = np.where(is_padding, instances.targets[:, None], instances.candidates)
    padded = replace(instances, candidates=candidates, n_candidates=n_candidates)
    ranks = rank(Scripted(table), padded, 2 if is_scored_in_blocks else 100, keep_sort_position=True)
    for user, (target, n) in enumerate(zip(instances.targets, n_candidates, strict=True)):
        others = np.delete(table[user, :n], target)
        assert ranks.above[user] == (others > table[user, target]).sum()
        assert ranks.tied[user] == (others == table[user, target]).sum()
        assert ranks.sort_position is not None
        assert ranks.above[user] <= ranks.sort_position[user] <= ranks.above[user] + ranks.tied[user]
    check_independence(Scripted(table), padded)
    full = replace(instances, n_candidates=np.full(9, 12))
    np.testing.assert_array_equal(rank(Scripted(table), full).above, rank(Scripted(table), instances).above)


def test_nothing_to_rank_is_an_error() -> None:
    nobody = make_instances([], 4)
    for rank_nobody in (
        lambda: rank(Scripted(np.ones((1, 4))), nobody),
        lambda: rank_among_all(Scripted(np.ones((1, 4))), nobody, csr_matrix((1, 4))),
    ):
        with pytest.raises(ValueError, match=r"no instances to rank: a user \(or a basket\) needs 3 interactions"):
            rank_nobody()


class ScoresAll(Scripted):
    def score(self, users: np.ndarray, contexts: np.ndarray, candidates: np.ndarray) -> Any:
        assert len(users) <= 16, "score_all is faster"
        return super().score(users, contexts, candidates)

    def score_all(self, users: np.ndarray, contexts: np.ndarray) -> Any:
        return torch.from_numpy(self.table[users])  # type: ignore[index]


@settings(max_examples=60)
@given(
    st.integers(0, 2**32 - 1), st.integers(1, 400), st.booleans(), st.sampled_from([Scripted, ScoresAll]), st.booleans()
)
def test_ranks_among_all_items_equal_those_of_a_loop(
    seed: int, max_scores: int, keep_sort_position: bool, model: type[Scripted], are_all_ranked: bool
) -> None:
    rng = np.random.default_rng(seed)
    n_users, n_items = 7, 60
    table = rng.integers(6, size=(n_users, n_items)).astype(np.float32)
    taken = rng.random((n_users, n_items)) < 0.3
    instances = make_instances(rng.integers(n_items, size=n_users).tolist(), n_items)
    taken[np.arange(n_users), instances.targets] = True
    is_ranked = (rng.random(n_items) < 0.7) | are_all_ranked
    if not are_all_ranked:
        instances = replace(instances, ranked_items=np.flatnonzero(is_ranked))
    ranks = rank_among_all(model(table), instances, csr_matrix(taken.astype(float)), keep_sort_position, max_scores)
    for user, target in enumerate(instances.targets):
        others = [table[user, item] for item in range(n_items) if is_ranked[item] and not taken[user, item]]
        if not is_ranked[target]:
            table[user, target] = -np.inf
        assert ranks.above[user] == sum(score > table[user, target] for score in others)
        assert ranks.tied[user] == sum(score == table[user, target] for score in others)
        assert ranks.others is not None
        assert ranks.others[user] == len(others)
    if keep_sort_position:
        assert ranks.sort_position is not None
        assert (ranks.above <= ranks.sort_position).all()
        assert (ranks.sort_position <= ranks.above + ranks.tied).all()


def test_a_fixed_sample_is_ranked_among_all_items_where_each_is_scored_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert len(select_instances(Scripted(np.zeros((1, 1))), 22_502, 23_585)) == 2845  # Epinions
    assert evaluation.MAX_BLOCK_PAIRS == 2**32
    monkeypatch.setattr(evaluation, "MAX_PAIRS", 1050)
    slow, fast = Scripted(np.zeros((1, 1))), ScoresAll(np.zeros((1, 1)))
    rows = select_instances(slow, 300, 100)
    assert len(rows) == len(set(rows)) == 10
    assert (rows == np.sort(rows)).all()
    assert 0 <= rows[0] < rows[-1] < 300
    np.testing.assert_array_equal(select_instances(Scripted(np.ones((1, 1))), 300, 100), rows)
    slow_but_at_once = ScoresAll(np.zeros((1, 1)))
    slow_but_at_once.scores_by_pair = True  # type: ignore[attr-defined]
    np.testing.assert_array_equal(select_instances(slow_but_at_once, 300, 100), rows)
    for recommender, n_instances in ((fast, 300), (slow, 10)):
        np.testing.assert_array_equal(select_instances(recommender, n_instances, 100), np.arange(n_instances))
    monkeypatch.setattr(evaluation, "MAX_BLOCK_PAIRS", 20_000)
    assert len(select_instances(fast, 300, 100)) == 200


def test_no_more_pairs_are_scored_at_a_time_than_stated() -> None:
    seen, n_items = [], 70_000

    def score(candidates: np.ndarray) -> np.ndarray:
        seen.append(candidates.shape)
        return candidates * -1.0

    instances = make_instances([5] * 300, n_items)
    rank_among_all(Scripted(score), instances, csr_matrix((300, n_items)), max_scores=2**22)
    assert max(rows * columns for rows, columns in seen) <= 256 * 101
    assert max(rows for rows, _ in seen) * n_items <= 2**22


def make_task_of_copies() -> Task:
    """Make a task of its own arrays, so that a test may write to them."""
    training, test = deepcopy((small().training, small().test))
    return Task(training, test)


def rank_in_both_ways(model: Any, task: Task) -> list[Callable[[], Ranks]]:
    return [lambda: rank(model, task.test), lambda: rank_among_all(model, task.test, task.seen)]


@pytest.mark.parametrize("number", [0, 1])
def test_a_change_of_a_tasks_instances_is_an_error_that_names_the_model(number: int) -> None:
    task, n_items = make_task_of_copies(), small().training.n_items
    model = Scripted(np.tile(np.arange(n_items, dtype=float), (small().training.n_users, 1)))
    expected = rank_in_both_ways(model, task)[number]()
    assert (rank_in_both_ways(model, task)[number]().above == expected.above).all()
    with warnings.catch_warnings(action="ignore"):  # PyTorch's, that the array is read-only
        torch.from_numpy(task.test.contexts.items)[0] += 1  # as a fit may do to the training items
    with pytest.raises(ModelError, match=r"^Scripted has changed heldout\.contexts\.items, which models share"):
        rank_in_both_ways(model, task)[number]()


def test_instances_that_a_model_changes_while_it_ranks_are_an_error_also_if_they_are_a_copy() -> None:
    instances = make_instances([0, 1, 2], 4)

    def score(candidates: np.ndarray) -> np.ndarray:
        instances.users[:] = 0
        return candidates

    with pytest.raises(ModelError, match=r"^Scripted has changed heldout\.users, which models share"):
        rank(Scripted(score), instances)


@pytest.mark.parametrize("number", [0, 1])
def test_ranking_refuses_scores_that_depend_on_the_other_candidates(number: int) -> None:
    model = Scripted(lambda candidates: softmax(candidates * 0.1, axis=1))
    with pytest.raises(ModelError, match=r"^Scripted scored user .* must not depend on the other candidates"):
        rank_in_both_ways(model, small())[number]()


class Noise(Scripted):
    """Draw scores from PyTorch's generator."""

    def score(self, users: np.ndarray, contexts: np.ndarray, candidates: np.ndarray) -> Any:
        return torch.rand(candidates.shape)


class NoiseAll(Noise):
    def score_all(self, users: np.ndarray, contexts: np.ndarray) -> Any:
        return torch.rand(len(users), small().training.n_items)


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("model", [Noise, NoiseAll])
def test_the_checks_of_ranking_draw_no_random_number(model: type[Noise], number: int) -> None:
    task = small()
    torch.manual_seed(0)
    ranks = rank_in_both_ways(model(np.zeros(1)), task)[number]()
    following = torch.rand(1)
    torch.manual_seed(0)
    if number == 0:
        scores = score_candidates(model(np.zeros(1)), task.test)
    else:
        blocks = score_all_items(model(np.zeros(1)), task.test.users, task.test.contexts, task.training.n_items)
        scores = np.concatenate([block for _, block in blocks])
    assert torch.rand(1) == following
    columns = task.test.target_columns if number == 0 else task.test.targets
    if number == 1:
        is_candidate = task.seen[task.test.users].toarray() == 0
        is_candidate[np.arange(len(columns)), columns] = True
        scores = np.where(is_candidate, scores, -np.inf)
    assert ranks.above.tolist() == [(row > row[column]).sum() for row, column in zip(scores, columns, strict=True)]


class OtherAll(ScoresAll):
    def score_all(self, users: np.ndarray, contexts: np.ndarray) -> Any:
        scores = self.table[users].copy()  # type: ignore[index]
        scores[:, 3] += 0.5
        return scores


def test_score_all_and_score_must_agree_before_they_rank() -> None:
    instances, table = make_instances([0, 1, 2], 60), np.tile(np.arange(60.0), (3, 1))
    message = (
        r"^OtherAll\.score_all scored user 0, item 3 as 3\.5, and score as 3\.0: column n must be the score of item n$"
    )
    with pytest.raises(ModelError, match=message):
        rank_among_all(OtherAll(table), instances, csr_matrix((3, 60)))
    rank_among_all(ScoresAll(table), instances, csr_matrix((3, 60)))


def test_the_sample_to_rank_among_all_is_random_and_never_empty(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(evaluation, "MAX_PAIRS", 2000)
    slow = Scripted(np.zeros((1, 1)))
    rows = select_instances(slow, 300, 100)
    assert len(set(rows.tolist())) == 20
    assert rows[-1] >= 150
    assert rows.tolist() != list(range(0, 300, 15))
    assert len(select_instances(slow, 300, 5000)) == 1


class LateFault(Scripted):
    """Let `score_all` differ for late users, or late items."""

    first_user, first_item = 0, 0

    def score_all(self, users: np.ndarray, contexts: np.ndarray) -> np.ndarray:
        is_late = (users[:, None] >= self.first_user) & (np.arange(1000) >= self.first_item)
        return np.arange(1000.0) + 50.0 * is_late


@pytest.mark.parametrize("faults", [{"first_user": 60}, {"first_item": 600}])
def test_the_check_of_score_all_looks_at_late_users_and_items(faults: dict[str, int]) -> None:
    model = LateFault(lambda candidates: candidates * 1.0)
    vars(model).update(faults)
    with pytest.raises(ModelError, match=r"^LateFault\.score_all scored user"):
        rank_among_all(model, make_instances([0] * 64, 1000), csr_matrix((64, 1000)))


def test_a_sample_to_rank_among_all_items_has_no_instance_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "MAX_PAIRS", 20_000)
    assert len(set(select_instances(Scripted(np.zeros((1, 1))), 300, 100).tolist())) == 200
