"""Scores that depend on other candidates or instances are refused, also if they are random; all others pass."""

from collections.abc import Callable
from math import comb
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import softmax
from torch.nn.functional import dropout

from sdmr.harness.recommender import ModelError
from sdmr.harness.score_check import ERROR, REPEATS, check_independence, count_needed_signs
from tests.behavior import small
from tests.harness.scripted import Scripted, make_instances


@pytest.mark.parametrize(
    "score",
    [
        lambda candidates: np.tile(np.linspace(0, 1, candidates.shape[1]), (len(candidates), 1)),
        lambda candidates: candidates * 1.0 + 0.01 * np.arange(candidates.shape[1]),
        lambda candidates: np.cumsum(candidates, axis=1, dtype=np.float32),
        lambda candidates: np.where(np.arange(candidates.shape[1]) == 0, 1.0, 0.0) * np.ones(candidates.shape),
    ],
)
def test_scores_that_depend_on_the_order_of_candidates_are_an_error(score: Callable[[np.ndarray], Any]) -> None:
    with pytest.raises(ModelError, match=r"^Scripted scored user 0, item \d as .* came in another order"):
        check_independence(Scripted(score), make_instances([0, 1, 2], 4))


@pytest.mark.parametrize(
    "score",
    [
        lambda candidates: softmax(candidates * 1.0, axis=1),
        lambda candidates: candidates - candidates.mean(axis=1, keepdims=True),
        lambda candidates: candidates / candidates.max(initial=1),
        lambda candidates: candidates.argsort(axis=1).argsort(axis=1),
        lambda candidates: candidates + 100 + 0.01 * candidates / candidates.max(axis=1, initial=1, keepdims=True),
    ],
)
def test_scores_that_depend_on_which_candidates_there_are_are_an_error(score: Callable[[np.ndarray], Any]) -> None:
    with pytest.raises(ModelError, match=r"^Scripted scored user 0, item \d as .* came in two halves"):
        check_independence(Scripted(score), make_instances([0, 1, 2], 5))


@pytest.mark.parametrize(("dtype", "offset", "step"), [(np.float64, 1e7, 0.1), (np.float16, 100, 0.01)])
def test_a_constant_hides_no_dependence_on_the_order(dtype: type, offset: float, step: float) -> None:
    values = np.random.default_rng(0).random(101)

    def score(candidates: np.ndarray) -> np.ndarray:
        return (offset + values[candidates] + step * np.arange(candidates.shape[1])).astype(dtype)

    with pytest.raises(ModelError, match="came in another order"):
        check_independence(Scripted(score), make_instances([0, 1, 2], 101))


@pytest.mark.parametrize(
    ("dtype", "convert"), [(np.float32, np.asarray), (np.float32, np.ndarray.tolist), (np.float16, np.asarray)]
)
def test_a_unit_in_the_last_place_passes_the_check_of_order_whatever_the_offset(
    dtype: type, convert: Callable[[np.ndarray], Any]
) -> None:
    values = (3.5 + 1e-4 * np.random.default_rng(0).random(101)).astype(dtype)

    def score(candidates: np.ndarray) -> Any:
        is_odd = np.arange(candidates.shape[1]) % 2 == 1
        return convert(np.where(is_odd, values[candidates], np.nextafter(values[candidates], dtype(9))))

    check_independence(Scripted(score), make_instances([0, 1, 2], 101))


def test_the_check_looks_at_instances_from_first_to_last() -> None:
    class Late(Scripted):
        """Score by position, only for the last users."""

        def score(self, users: np.ndarray, contexts: np.ndarray, candidates: np.ndarray) -> Any:
            return np.where(users[:, None] > 90, np.arange(candidates.shape[1]), candidates * 1.0)

    with pytest.raises(ModelError, match=r"^Late scored user 9\d, "):
        check_independence(Late(np.zeros(1)), make_instances([0] * 100, 20))


def test_the_check_leaves_the_random_numbers_of_the_ranking_as_two_calls_and_a_third_do() -> None:
    instances = make_instances([0, 1, 2], 4)
    torch.manual_seed(0)
    check_independence(Scripted(lambda candidates: torch.rand(candidates.shape)), instances)
    number = torch.rand(1)
    torch.manual_seed(0)
    torch.rand(3, *instances.candidates.shape)
    assert torch.rand(1) == number


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-6, 1.0, 1e6]))
def test_rounding_and_random_scores_pass_the_check_of_order(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(scale=scale, size=101).astype(np.float32)
    noise = np.float32(1e-6) * np.abs(values).max() * np.linspace(0, 1, 101, dtype=np.float32)
    instances = make_instances([0, 1, 2], 101)
    check_independence(Scripted(lambda candidates: values[candidates] + noise[: candidates.shape[1]]), instances)
    check_independence(Scripted(lambda candidates: rng.normal(size=candidates.shape)), make_instances([0, 1], 4))


def test_a_large_score_does_not_hide_that_others_depend_on_the_candidates() -> None:
    class Softmax(Scripted):
        """Normalize over the candidates, and exclude some items."""

        def score(self, users, contexts, candidates):  # type: ignore[no-untyped-def]
            exponentials = np.exp(candidates % 7)
            probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
            return np.where(candidates % 5 == 0, -1e9, probabilities)

    with pytest.raises(ModelError, match=r"Softmax scored user .* must not depend on the other candidates"):
        check_independence(Softmax(np.zeros(1)), small().test)


RNG = np.random.default_rng(0)
FACTORS, ITEMS = (torch.from_numpy(RNG.normal(scale=0.35, size=(n, 64)).astype(np.float32)) for n in (16, 101))


class Noisy(Scripted):
    """Score by users and candidates, with noise of some sort; then, perhaps, by a softmax over the row."""

    def __init__(self, noise: str, is_softmax: bool) -> None:
        super().__init__(np.zeros(1))
        self.noise, self.is_softmax, self.rng, self.calls = noise, is_softmax, np.random.default_rng(0), 0

    def score(self, users: NDArray, contexts: NDArray, candidates: NDArray) -> Any:
        rows, table = FACTORS[users], ITEMS
        if self.noise == "dropout of a state":
            rows = dropout(rows, 0.1)
        elif self.noise == "dropout of a table":
            table = dropout(table, 0.1)
        scores = (rows[:, None] * table[candidates]).sum(-1).double().numpy()
        if self.is_softmax:
            scores = softmax(scores, axis=1)
        self.calls += 1
        return scores + self.draw(users, scores)

    def draw(self, users: NDArray, scores: NDArray) -> Any:
        if self.noise == "five percent":
            return 0.05 * scores * np.random.normal(size=scores.shape)  # noqa: NPY002
        if self.noise == "heavy tails":
            return 1e-4 * self.rng.standard_cauchy(scores.shape)
        if self.noise == "one user":
            return (users == 3)[:, None] * self.rng.normal(size=scores.shape)
        if self.noise == "drift":
            return 0.3 * self.calls
        return float(self.noise == "third call" and self.calls == 3)


NOISES = [
    "dropout of a state",
    "dropout of a table",
    "five percent",
    "heavy tails",
    "one user",
    "third call",
    "drift",
]


@pytest.mark.parametrize("noise", [*NOISES, "none"])
@pytest.mark.parametrize("is_softmax", [True, False])
def test_noise_neither_hides_a_dependence_on_other_candidates_nor_is_one(noise: str, is_softmax: bool) -> None:
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)
    model, instances = Noisy(noise, is_softmax), make_instances([0] * 16, 101)
    if is_softmax:
        with pytest.raises(
            ModelError, match=r"^Noisy scored user \d+, item \d+ as .*: a score must not depend on the othe"
        ):
            check_independence(model, instances)
    else:
        check_independence(model, instances)


@pytest.mark.parametrize("scale", [0.0, 0.05])
@pytest.mark.parametrize(
    "standardize",
    [
        lambda scores: (scores - scores.mean(axis=0)) / scores.std(axis=0),
        lambda scores: torch.nn.BatchNorm1d(scores.shape[1], track_running_stats=False)(torch.from_numpy(scores)),
        lambda scores: scores + len(scores),
    ],
)
def test_scores_that_depend_on_other_instances_are_an_error(
    standardize: Callable[[NDArray], Any], scale: float
) -> None:
    table, rng = RNG.normal(size=(16, 20)).astype(np.float32), np.random.default_rng(0)

    class ByColumn(Scripted):
        def score(self, users: NDArray, contexts: NDArray, candidates: NDArray) -> Any:
            noise = scale * rng.normal(size=candidates.shape).astype(np.float32)
            return standardize(table[users[:, None], candidates] + noise)

    cause = (
        "on average when candidates and instances came in parts" if scale else "when the instances came in two halves"
    )
    with pytest.raises(ModelError, match=rf"^ByColumn scored .* {cause}: a score must not depend on the other"):
        check_independence(ByColumn(np.zeros(1)), make_instances([0] * 16, 20))


@pytest.mark.parametrize("n_scores", [1, 16 * 20, 16 * 101, 16 * 1001])
def test_random_scores_are_refused_with_a_probability_below_one_in_a_billion(n_scores: int) -> None:
    needed = count_needed_signs(n_scores)
    tail = sum(comb(REPEATS, number) for number in range(needed, REPEATS + 1)) / 2**REPEATS
    assert 2 * n_scores * tail <= ERROR == 1e-9
    assert needed < REPEATS  # so that a dependence may be missed in some of the comparisons


@pytest.mark.parametrize(
    "score", [lambda candidates: candidates * 1.0, lambda candidates: candidates + torch.rand(1).item()]
)
def test_a_fixed_state_of_the_generators_spares_scores_that_draw_alike_any_repetition(
    score: Callable[[NDArray], Any],
) -> None:
    model = Scripted(score)
    check_independence(model, make_instances([0, 1, 2], 4))
    assert len(model.contexts) == 5


def test_a_row_of_close_candidates_may_be_rounded_as_the_others() -> None:
    table = np.random.default_rng(0).normal(size=(5, 20))
    table[2] = 0

    class Rounding(Scripted):
        def score(self, users: np.ndarray, contexts: np.ndarray, candidates: np.ndarray) -> Any:
            return super().score(users, contexts, candidates) + 1e-6 * (np.arange(candidates.shape[1]) % 2)

    check_independence(Rounding(table), make_instances([0] * 5, 20))


def test_a_score_far_from_the_others_may_be_rounded_in_32_bits() -> None:
    values = np.random.default_rng(0).normal(size=102)  # so that candidate 60 comes at an odd place among the halves
    values[60] = 1e6

    def score(candidates: np.ndarray) -> np.ndarray:
        scores = values[candidates]
        return scores + 6e-8 * np.abs(scores) * (np.arange(candidates.shape[1]) % 2)

    check_independence(Scripted(score), make_instances([0] * 3, 102))


def test_scores_that_depend_on_whether_candidates_are_sorted_are_an_error() -> None:
    with pytest.raises(ModelError, match="came in another order"):
        check_independence(Scripted(lambda c: c + 0.5 * (c[:, :1] > c[:, -1:])), make_instances([0] * 3, 20))
